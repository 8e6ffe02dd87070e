/*
** decode_key.c - the keys of maps, and those that come again and again.
** Runs in: every process.  Owns: nothing.  Never: trusts the bytes.
**
** To push a short string Lua looks it up among all it has. The records of a
** list have the same keys, so once a message has shown some maps its keys are
** kept in stack slots of their own, found by their bytes. A message whose keys
** differ stops that soon.
*/
#include "decoder.h"

#include <string.h>

enum { MAPS_BEFORE = 8, CREDIT = 16 };

/* --- keys met before --- */

static void open_keys(Decoder *d) {
  if (!lua_checkstack(d->L, KEYS_MOST + DECODE_ROOM))
    return;
  d->keys->credit = CREDIT;
  for (int i = 0; i < KEYS_MOST; i++) {
    d->keys->known[i].len = SIZE_MAX;
    lua_pushnil(d->L);
  }
  decode_move_down(d, KEYS_MOST);
  d->keys_at = d->bottom + 1;
}

void decode_count_map(Decoder *d) {
  if (++d->maps == MAPS_BEFORE)
    open_keys(d);
}

static NOINLINE void push_new(Decoder *d, Key *key, size_t len) {
  key->text = decode_push_string(d, len);
  key->len = len;
  lua_copy(d->L, -1, d->keys_at + (int)(key - d->keys->known));
  if (d->keys->credit-- == 0)
    d->keys_at = 0;
}

/* Keys are too short for the call of memcmp. */
static inline bool is_equal(const char *a, const uint8_t *b, size_t len) {
  uint64_t x, y;
  while (len >= 8) {
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    if (x != y)
      return false;
    a += 8, b += 8, len -= 8;
  }
  while (len > 0 && *a == (char)*b)
    a++, b++, len--;
  return len == 0;
}

/* The bytes of the key may change: they are compared, then forgotten. */
static inline void push_known(Decoder *d, size_t len) {
  const uint8_t *s = d->p;
  unsigned i =
      (s[0] + 3U * s[(ptrdiff_t)len - 1] + 5U * (unsigned)len) % KEYS_MOST;
  Key *key = &d->keys->known[i];
  if (key->len != len || !is_equal(key->text, s, len)) {
    push_new(d, key, len);
    return;
  }
  d->keys->credit++;
  d->p += len;
  lua_pushvalue(d->L, d->keys_at + (int)i);
}

/* --- any keys --- */

static CodecStatus check_key(Decoder *d, const uint8_t *item) {
  lua_State *L = d->L;
  lua_Number number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  d->item = item;
  if (lua_isnil(L, -1))
    return decode_fail(d, CODEC_KEY, "null as a table key");
  if (number != number)
    return decode_fail(d, CODEC_KEY, "NaN as a table key");
  if ((d->flags & CODEC_STRICT) == 0)
    return CODEC_OK;
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) != LUA_TNIL)
    return decode_fail(d, CODEC_KEY, "a table key that was there before");
  lua_pop(L, 1);
  return CODEC_OK;
}

static NOINLINE CodecStatus get_any(Decoder *d) {
  const uint8_t *item = d->p;
  bool strict = (d->flags & CODEC_STRICT) != 0;
  Head head;
  CodecStatus status = decode_head(d, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major == MAJOR_BYTES || head.major == MAJOR_TEXT)
    status = decode_string(d, head);
  else if (head.major == MAJOR_OTHER &&
           (head.info == OTHER_NULL || head.info == OTHER_UNDEFINED))
    return decode_fail(d, CODEC_KEY, "null as a table key");
  else
    status = decode_item(d, head);
  if (status != CODEC_OK || (head.major <= MAJOR_TEXT && !strict))
    return status;
  return check_key(d, item);
}

CodecStatus decode_key(Decoder *d) {
  size_t len;
  d->owed--;
  if (d->p >= d->quick_end ||
      !decode_is_string(d, (unsigned)head_once(*d->p), &len))
    return get_any(d);
  if (d->keys_at != 0)
    push_known(d, len);
  else
    decode_push_string(d, len);
  return CODEC_OK;
}
