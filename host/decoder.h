/*
** decoder.h - what decode.c and decode_tag.c share; for nobody else.
**
** Stack discipline: frames use relative indices only, because the memo (two
** tables) and the keys met before slip in below all of them when a message
** first needs them. Every level makes sure of DECODE_ROOM free slots.
**
** Debt: `owed` is the number of values still due to all open containers. As
** each takes a byte at least, a container of n is believed only if the bytes
** left cover the debt and n; so all presized room together is bounded by the
** length of the input, whatever the heads claim.
*/
#ifndef DECODER_H
#define DECODER_H

#include "codec.h"
#include "head.h"

enum {
  DECODE_ROOM = 12,
  KEYS_MOST = 32,
  SHORT_STRING = 40 /* up to here Lua hashes the bytes, then copies them */
};
#define NO_MARK SIZE_MAX

/* Out of line, or who does not call it pays for its registers. */
#define NOINLINE __attribute__((noinline))

typedef struct Key {
  const char *text; /* Lua's, of the string in the slot */
  size_t len;       /* SIZE_MAX: none yet */
} Key;

typedef struct Keys {
  size_t credit; /* hits less misses */
  Key known[KEYS_MOST];
} Keys;

typedef struct Decoder {
  lua_State *L;
  const uint8_t *p, *end, *base;
  const uint8_t *quick_end; /* before it heads may be read without a look */
  const uint8_t *item;      /* the head of the value at work, for errors */
  const CodecOptions *opts;
  CodecError *err;
  size_t owed;
  size_t stacked; /* elements that wait on the Lua stack for their table */
  size_t marks;   /* tags 28 so far */
  size_t maps;    /* so far */
  size_t strings_from, strings; /* the namespace at work: [from, strings) */
  uint32_t flags;
  int depth, max_depth;
  int bottom;  /* top of the Lua stack before the message */
  int below;   /* slots above it that are not values of the message: */
  int memo;    /* stack index of the marks; the strings are above it; or 0 */
  int keys_at; /* stack index of the first of the keys; or 0 */
  Keys *keys;
  bool in_namespace;
} Decoder;

CodecStatus decode_fail(Decoder *d, CodecStatus status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Push the next value; it must be among those owed. */
CodecStatus decode_value(Decoder *d);
CodecStatus decode_head(Decoder *d, Head *head);
CodecStatus decode_item(Decoder *d, Head head);
CodecStatus decode_string(Decoder *d, Head head);
/* With a mark the container can be referred to from its inside. */
CodecStatus decode_array(Decoder *d, Head head, size_t mark);
CodecStatus decode_map(Decoder *d, Head head, size_t mark);
CodecStatus decode_enter(Decoder *d);

/* Is the next a string, with a head of one or two bytes? Then skip the head. */
static inline bool decode_is_string(Decoder *d, unsigned first, size_t *len) {
  unsigned info = first & 31;
  if (first >> 6 != MAJOR_BYTES >> 1 || info > INFO_ONE || d->in_namespace)
    return false;
  const uint8_t *p = d->p + 1;
  *len = info < INFO_ONE ? info : (size_t)head_once(*p++);
  if (*len > (size_t)(d->end - p))
    return false;
  d->p = p;
  return true;
}

/* Push a short string of bytes that may change under us. */
const char *decode_push_copy(lua_State *L, const char *s, size_t len);

/* Push the string of the next `len` bytes, which are there. */
static inline const char *decode_push_string(Decoder *d, size_t len) {
  const char *s = (const char *)d->p;
  d->p += len;
  return len <= SHORT_STRING && (d->flags & CODEC_SHARED_MEMORY) != 0
             ? decode_push_copy(d->L, s, len)
             : lua_pushlstring(d->L, s, len);
}

/* decode_key.c */
CodecStatus decode_key(Decoder *d);
void decode_count_map(Decoder *d);

/* decode_tag.c */
CodecStatus decode_tag(Decoder *d, Head head, size_t mark);
/* The n values on the top go below all of the message. */
void decode_move_down(Decoder *d, int n);
void decode_keep_mark(Decoder *d, size_t mark);
static inline void decode_set_mark(Decoder *d, size_t mark) {
  if (mark != NO_MARK)
    decode_keep_mark(d, mark);
}
CodecStatus decode_add_string(Decoder *d, size_t len);
CodecStatus decode_big(Decoder *d, bool negative, uint64_t arg);

#endif
