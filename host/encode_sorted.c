/*
** encode_sorted.c - maps in the order of their encoded keys (RFC 8949, 4.2.1).
** Runs in: every process.  Owns: nothing.  Never: raises, makes a Lua string.
*/
#include "encoder.h"

#include <stdlib.h>
#include <string.h>
#include <stdio.h>

typedef struct Key {
  const uint8_t *bytes;
  size_t at, len;
  int index; /* on the Lua stack */
} Key;

static int compare_keys(const void *a, const void *b) {
  const Key *x = a, *y = b;
  size_t len = x->len < y->len ? x->len : y->len;
  int order = memcmp(x->bytes, y->bytes, len);
  return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* Encode the key on the top behind the others. */
static CodecStatus sort_key(Encoder *e, Buf *bytes, Key *key) {
  int type = lua_type(e->L, -1);
  Buf *b = e->b;
  uint32_t flags = e->flags;
  if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
    char why[80];
    snprintf(why, sizeof why, "a %s as a key cannot be sorted",
             lua_typename(e->L, type));
    return encode_fail(e, CODEC_TYPE, why);
  }
  key->at = bytes->len;
  key->index = lua_gettop(e->L);
  e->b = bytes;
  e->flags &= ~(uint32_t)CODEC_DEDUPE;
  CodecStatus status = encode_value(e, key->index, type);
  e->b = b;
  e->flags = flags;
  key->len = bytes->len - key->at;
  return status;
}

/* Leaves the n keys of the table on the stack, from t + 1 on. */
static CodecStatus sort_keys(Encoder *e, int t, Key *keys, size_t n,
                             Buf *bytes) {
  size_t i = 0;
  lua_pushnil(e->L);
  while (i < n && lua_next(e->L, t)) {
    lua_pop(e->L, 1);
    CodecStatus status = sort_key(e, bytes, &keys[i++]);
    if (status != CODEC_OK)
      return status;
    lua_pushvalue(e->L, -1);
  }
  for (size_t k = 0; k < i; k++)
    keys[k].bytes = bytes->base + keys[k].at;
  qsort(keys, i, sizeof *keys, compare_keys);
  return CODEC_OK;
}

static CodecStatus put_keys(Encoder *e, int t, const Key *keys, size_t n) {
  CodecStatus status = encode_head(e, MAJOR_MAP, n);
  int top = lua_gettop(e->L);
  e->depth++;
  for (size_t i = 0; i < n && status == CODEC_OK; i++) {
    lua_settop(e->L, top);
    lua_pushvalue(e->L, keys[i].index);
    lua_pushvalue(e->L, keys[i].index);
    lua_rawget(e->L, t);
    status = encode_pair(e, top);
  }
  e->depth--;
  return status;
}

CodecStatus encode_sorted(Encoder *e, int t) {
  size_t n = encode_count_pairs(e->L, t);
  if (n > LUAI_MAXSTACK || !lua_checkstack(e->L, (int)n + 8))
    return encode_fail(e, CODEC_STACK, "a table with too many keys to sort");
  Key *keys = malloc((n + 1) * sizeof *keys);
  if (keys == NULL)
    return encode_fail(e, CODEC_MEMORY, "not enough memory");
  Buf bytes;
  buf_init(&bytes);
  CodecStatus status = sort_keys(e, t, keys, n, &bytes);
  if (status == CODEC_OK)
    status = put_keys(e, t, keys, n);
  buf_clear(&bytes);
  free(keys);
  return status;
}
