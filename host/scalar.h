/*
** scalar.h - values that are no containers, on a way of their own: most items
** of most pools are one or two of these, and need no state to be kept.
** What is not taken here goes the whole way.
*/
#ifndef SCALAR_H
#define SCALAR_H

#include "codec.h"
#include "head.h"

enum { SCALAR_MOST = 4 };

/* May these options take the short way? */
static inline bool scalar_fits(const CodecOptions *opts, int n) {
  return (opts->flags & ~(uint32_t)(CODEC_SHARED_MEMORY | CODEC_BYTES)) == 0 &&
         opts->max_bytes == 0 && opts->null == 0 && n <= SCALAR_MOST;
}

/* The commonest item is one number, and takes the shortest way. False, and
** nothing is done: it is something else, or there is no room. */
static inline bool scalar_put_number(lua_State *L, Buf *b) {
  if (b->base == NULL || b->cap - b->len < HEAD_MOST)
    return false;
  uint8_t *to = b->base + b->len;
  if (lua_isinteger(L, -1)) {
    lua_Integer i = lua_tointeger(L, -1);
    b->len += i >= 0 ? head_put(to, MAJOR_UNSIGNED, (uint64_t)i)
                     : head_put(to, MAJOR_NEGATIVE, ~(uint64_t)i);
    return true;
  }
  if (lua_type(L, -1) != LUA_TNUMBER)
    return false;
  b->len += head_put_float(to, lua_tonumber(L, -1));
  return true;
}

/* The value at idx, no string, into HEAD_MOST bytes; how many, or 0. */
static inline size_t scalar_put(lua_State *L, int idx, int type, uint8_t *to) {
  switch (type) {
  case LUA_TNUMBER: {
    if (!lua_isinteger(L, idx))
      return head_put_float(to, lua_tonumber(L, idx));
    lua_Integer i = lua_tointeger(L, idx);
    return i >= 0 ? head_put(to, MAJOR_UNSIGNED, (uint64_t)i)
                  : head_put(to, MAJOR_NEGATIVE, ~(uint64_t)i);
  }
  case LUA_TBOOLEAN:
    return head_put(to, MAJOR_OTHER,
                    lua_toboolean(L, idx) ? OTHER_TRUE : OTHER_FALSE);
  case LUA_TNIL:
    return head_put(to, MAJOR_OTHER, OTHER_NULL);
  default:
    return 0;
  }
}

/* The same into a buffer, and strings if they are no more than bytes. */
static inline size_t scalar_append(lua_State *L, int idx, const Buf *b,
                                   uint32_t flags) {
  size_t len, room = b->cap - b->len;
  if (b->base == NULL || room < HEAD_MOST)
    return 0;
  uint8_t *to = b->base + b->len;
  int type = lua_type(L, idx);
  if (type != LUA_TSTRING || (flags & CODEC_BYTES) == 0)
    return scalar_put(L, idx, type, to);
  const char *s = lua_tolstring(L, idx, &len);
  if (room - HEAD_MOST < len)
    return 0;
  size_t head = head_put(to, MAJOR_BYTES, len);
  memcpy(to + head, s, len);
  return head + len;
}

/* Does one begin here? */
static inline bool scalar_begins(const uint8_t *p, const uint8_t *end) {
  return p < end && (*p < MAJOR_ARRAY << 5 || *p >= MAJOR_OTHER << 5);
}

/* Pushes the value of a head, unless more belongs to it. */
static inline bool scalar_push(lua_State *L, const Head *head) {
  switch (head->major) {
  case MAJOR_UNSIGNED:
  case MAJOR_NEGATIVE:
    if (head->arg > INT64_MAX || head->info == INFO_OPEN)
      return false;
    lua_pushinteger(L, head->major == MAJOR_UNSIGNED ? (lua_Integer)head->arg
                                                     : (lua_Integer)~head->arg);
    return true;
  case MAJOR_OTHER:
    if (head->info == OTHER_NULL)
      lua_pushnil(L);
    else if (head->info == OTHER_TRUE || head->info == OTHER_FALSE)
      lua_pushboolean(L, head->info == OTHER_TRUE);
    else if (head->info >= INFO_TWO && head->info <= INFO_EIGHT)
      lua_pushnumber(L, head_float(head));
    else
      return false;
    return true;
  default:
    return false;
  }
}

/* The other way round, for all that one head says: nil and booleans, too. */
static inline bool scalar_push_one(lua_State *L, const uint8_t *bytes,
                                   size_t size, size_t *used) {
  const uint8_t *p = bytes;
  Head head;
  if (head_get(&p, bytes + size, &head) != HEAD_OK || !scalar_push(L, &head))
    return false;
  *used = (size_t)(p - bytes);
  return true;
}

#endif
