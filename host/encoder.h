/*
** encoder.h - what the encode*.c share; for nobody else.
**
** Stack discipline: a table (or other value with an identity) is encoded as
** the top of the stack, at the absolute index `t`; whatever is left above it
** is popped by who pushed it. Each level has ENCODE_ROOM free slots.
**
** Depth: counted by who writes what is inside, so that the calls on the way
** there are the last thing their callers do: a processor foresees some 16
** returns. What fails need not count back.
*/
#ifndef ENCODER_H
#define ENCODER_H

#include "codec.h"
#include "head.h"
#include "seen.h"

enum { AGAIN = CODEC_HOOK + 1 }; /* a status: write it all again */
enum { AT_ONCE = 8, ENCODE_ROOM = AT_ONCE + 12 };

typedef struct Encoder {
  lua_State *L;
  Buf *b;
  CodecError *err;
  size_t start, max_bytes;
  size_t marks, strings; /* how many were given an index */
  size_t len;            /* of the string at work */
  uint32_t flags;
  int depth, max_depth;
  int stack_end; /* up to here there are free slots */
  int cache;     /* stack index: what hooks made, by object */
  bool careful, guarded, want_guard, twice, second;
  Seen seen, texts;
} Encoder;

/* Out of line, or who does not call it pays for its registers. */
#define NOINLINE __attribute__((noinline))
#define RARELY __attribute__((noinline, cold))

RARELY CodecStatus encode_head_slowly(Encoder *e, unsigned major, uint64_t arg);

/* Is there room for `bytes` and a head? Else write what fits exactly. */
static inline bool encode_is_roomy(const Buf *b, size_t bytes) {
  return b->base != NULL && b->cap - b->len >= bytes + HEAD_MOST;
}

static inline CodecStatus encode_head(Encoder *e, unsigned major,
                                      uint64_t arg) {
  Buf *b = e->b;
  if (!encode_is_roomy(b, 0))
    return encode_head_slowly(e, major, arg);
  b->len += head_put(b->base + b->len, major, arg);
  return CODEC_OK;
}

CodecStatus encode_message(Encoder *e, int first, int n);
CodecStatus encode_name(Encoder *e, const char *s, size_t len);
/* The value at `index`; unless it is a scalar that is the top. */
CodecStatus encode_value(Encoder *e, int index, int type);
CodecStatus encode_array(Encoder *e, int t, size_t n, bool holes);
CodecStatus encode_map(Encoder *e, int t);
CodecStatus encode_plain(Encoder *e, int t);
/* The key at t + 1 and the value at t + 2, the top. */
CodecStatus encode_pair(Encoder *e, int t);
size_t encode_count_pairs(lua_State *L, int t);

/* encode_flat.c: the table at `t`, if it is a short one of scalars. False: it is
** not, or there is no room. */
bool encode_flat(lua_State *L, int t, Buf *b, uint32_t flags);

/* encode_sorted.c: a map in the order of its encoded keys */
CodecStatus encode_sorted(Encoder *e, int t);

/* encode_object.c: what the registry of names knows */
CodecStatus encode_object(Encoder *e, int t, int type);
CodecStatus encode_function(Encoder *e, int index);
CodecStatus encode_guarded(Encoder *e, int first, int n);

/* encode_error.c: the kind of a bad value and the way to it */
RARELY CodecStatus encode_fail(Encoder *e, CodecStatus status, const char *why);
RARELY CodecStatus encode_fail_full(Encoder *e);
RARELY CodecStatus encode_fail_depth(Encoder *e);
RARELY CodecStatus encode_fail_under(Encoder *e, int key, CodecStatus status);
RARELY CodecStatus encode_fail_key(Encoder *e, CodecStatus status);
RARELY CodecStatus encode_refuse(Encoder *e, int index);
void encode_bracket_path(CodecError *err);

#endif
