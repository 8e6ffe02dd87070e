/*
** codec.h - Lua values <-> CBOR (RFC 8949), the C side of the codec.
** encode.c writes, decode.c reads, check.c walks without building.
** Rows above use only what stands here.
**
** The profile. Shortest heads and floats; definite lengths. Strings are text
** when they are valid UTF-8, else byte strings. A table whose keys are all in
** 1..#t is an array (its few holes are null), any other a map; {} is a map.
**   tag 27  [name, value]: an object of a registered metatable, or
**           ["lua.function", name]: a registered function
**   tag 28  in front of a table that is met again later in the message
**   tag 29  its index among the tags 28 so far: the same table again
**   tag 256, 25  a namespace of strings, and references into it (on demand)
** Read as well: big integers that fit (tags 2, 3), typed arrays (64..87), the
** magic 55799; any other tag becomes an object that encodes back the same.
*/
#ifndef CODEC_H
#define CODEC_H

#include <stdbool.h>
#include <lua.h>

#include "buf.h"

typedef enum CodecStatus {
  CODEC_OK,
  CODEC_FULL,      /* the buffer could not grow: errno says why */
  CODEC_TYPE,      /* a value that cannot travel */
  CODEC_DEPTH,     /* nested too deep */
  CODEC_STACK,     /* the Lua stack cannot grow */
  CODEC_MEMORY,    /* Lua or malloc has no memory */
  CODEC_TRUNCATED, /* the bytes end inside a value */
  CODEC_FORM,      /* bytes that are not well formed */
  CODEC_RANGE,     /* a number that Lua does not have */
  CODEC_LIMIT,     /* larger than an option allows */
  CODEC_KEY,       /* nil or NaN as a table key, or a duplicate (strict) */
  CODEC_REF,       /* a bad shared reference */
  CODEC_NAME,      /* a name that is not registered here */
  CODEC_HOOK       /* a registered function raised */
} CodecStatus;

/* No Lua string in it: making one could raise. */
typedef struct CodecError {
  CodecStatus status;
  int value;      /* encode: which of the n values, from 1 */
  size_t at;      /* decode: byte offset of the fault */
  char path[160]; /* encode: way to the bad value, `["opts"].cb` or "" */
  char why[160];  /* e.g. "a coroutine" (encode), "truncated" (decode) */
} CodecError;

enum {
  CODEC_BYTES = 1 << 0, /* strings as byte strings, never looked at (pool) */
  CODEC_SHARED_MEMORY = 1 << 1, /* decode: the bytes may change under us */
  CODEC_TEXT = 1 << 2,          /* encode: refuse strings that are not UTF-8 */
  CODEC_TREE = 1 << 3,          /* encode: no identity, cycles end by depth */
  CODEC_SORTED = 1 << 4,        /* encode: equal contents give equal bytes */
  CODEC_DEDUPE = 1 << 5,        /* encode: strings met again as references */
  CODEC_STRICT = 1 << 6,    /* decode: shortest form, UTF-8, no duplicates */
  CODEC_BIG_FLOAT = 1 << 7, /* decode: big integers as floats */
  CODEC_BIG_STRING = 1 << 8 /* decode: big integers as decimal strings */
};

typedef struct CodecOptions {
  uint32_t flags;
  int max_depth;    /* 0: 1000; at most CODEC_DEPTH_MOST */
  size_t max_bytes; /* 0: no limit */
  int null;         /* decode_raw: stack index of what null becomes, 0: nil */
  int tags; /* decode_raw: stack index of a table tag -> function, or 0 */
} CodecOptions;

enum { CODEC_DEPTH_DEFAULT = 1000, CODEC_DEPTH_MOST = 10000 };

/*
** Append the n values from stack index `first` on, one after the other, with
** no head around them; shared tables keep their identity within one call.
** Never raises, never calls back into Lua but for registered hooks (in a
** pcall); on failure b->len is as before the call.
*/
CodecStatus codec_encode(lua_State *L, int first, int n, Buf *b,
                         const CodecOptions *opts, CodecError *err);

/*
** Push the next n values (what one codec_encode of n values wrote). `*used`
** becomes the number of bytes read. Raises nothing: works under a pcall of its
** own; on failure the stack is as before. An unprotected twin for callers that
** stand in a pcall already is codec_decode_raw: it may raise a memory error.
*/
CodecStatus codec_decode(lua_State *L, const uint8_t *bytes, size_t size,
                         size_t *used, int n, const CodecOptions *opts,
                         CodecError *err);
CodecStatus codec_decode_raw(lua_State *L, const uint8_t *bytes, size_t size,
                             size_t *used, int n, const CodecOptions *opts,
                             CodecError *err);

/*
** Walk over n values without building them (no lua_State). What decode takes
** passes; but decode alone knows names, duplicate keys (strict), what is
** inside the byte strings of the tags 2, 3, 64..87, and memory.
*/
CodecStatus codec_check(const uint8_t *bytes, size_t size, size_t *used, int n,
                        const CodecOptions *opts, CodecError *err);

/*
** Push what this state knows by name (raises only for want of memory): a table
**   [metatable] = {name, encode, decode, metatable}, or one of the kinds below
**   [function] = name
**   types = {[name] = {name, encode, decode, metatable}}
**   functions = {[name] = function}
**   array, map, tag = the metatables of those marks
** It is made at the first call. encode and decode are functions or false.
*/
void codec_registry(lua_State *L);
enum { CODEC_KIND_ARRAY = 1, CODEC_KIND_MAP, CODEC_KIND_TAG };

/* Push an object of the tag that holds the value on the top; pops it. */
void codec_push_tag(lua_State *L, uint64_t tag);

/* Well-formed UTF-8 as of RFC 3629? */
bool codec_is_utf8(const uint8_t *bytes, size_t size);

/* Two addresses: the keys of Lua's registry that the codec uses. */
extern const char codec_registry_key, codec_bulk_key;

#endif
