/*
** encode_flat.c - short lists and records of scalars, on a way of their own.
** Runs in: every process.  Owns: nothing.  Never: raises, makes a Lua string.
**
** A path and its digest, a row, an item's few options: such a table is written
** while it is walked, without a look at its kind before and with no state, for
** nothing in it can have been met before.  The bytes are those of encode.c,
** which takes over where the table turns out to be something else.
*/
#include "encoder.h"
#include "scalar.h"

enum { FLAT_ROOM = 3 };

/* A string that is text if it can be. */
static size_t append_text(lua_State *L, int idx, const Buf *b) {
  size_t len;
  if (lua_type(L, idx) != LUA_TSTRING)
    return 0;
  const char *s = lua_tolstring(L, idx, &len);
  if (!encode_is_roomy(b, len))
    return 0;
  bool is_text = codec_is_utf8((const uint8_t *)s, len);
  uint8_t *to = b->base + b->len;
  size_t head = head_put(to, is_text ? MAJOR_TEXT : MAJOR_BYTES, len);
  memcpy(to + head, s, len);
  return head + len;
}

static inline bool put(lua_State *L, int idx, Buf *b, uint32_t flags) {
  size_t bytes = scalar_append(L, idx, b, flags);
  if (bytes == 0 && (flags & CODEC_BYTES) == 0)
    bytes = append_text(L, idx, b);
  b->len += bytes;
  return bytes > 0;
}

/* The first pair lies above `top`. How many there are, 0: it is no list. */
static unsigned put_list(lua_State *L, int t, int top, Buf *b, uint32_t flags) {
  unsigned n = 0;
  do {
    if (++n == INFO_ONE || !lua_isinteger(L, top + 1) ||
        lua_tointeger(L, top + 1) != n || !put(L, top + 2, b, flags))
      return 0;
    lua_settop(L, top + 1);
  } while (lua_next(L, t));
  return n;
}

static unsigned put_record(lua_State *L, int t, int top, Buf *b,
                           uint32_t flags) {
  unsigned n = 0;
  do {
    if (++n == INFO_ONE || lua_type(L, top + 1) != LUA_TSTRING ||
        !put(L, top + 1, b, flags) || !put(L, top + 2, b, flags))
      return 0;
    lua_settop(L, top + 1);
  } while (lua_next(L, t));
  return n;
}

bool encode_flat(lua_State *L, int t, Buf *b, uint32_t flags) {
  size_t at = b->len;
  int top = lua_gettop(L);
  if (!encode_is_roomy(b, 0) || !lua_checkstack(L, FLAT_ROOM) ||
      lua_getmetatable(L, t)) {
    lua_settop(L, top);
    return false;
  }
  unsigned n = 0, major = MAJOR_MAP;
  b->len++;
  lua_pushnil(L);
  if (lua_next(L, t)) {
    bool is_record = lua_type(L, top + 1) == LUA_TSTRING;
    major = is_record ? MAJOR_MAP : MAJOR_ARRAY;
    n = is_record ? put_record(L, t, top, b, flags)
                  : put_list(L, t, top, b, flags);
    lua_settop(L, top);
    if (n == 0)
      return false;
  }
  b->base[at] = (uint8_t)(major << 5 | n);
  return true;
}
