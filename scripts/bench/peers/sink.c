/*
** sink.c - the codec of host/ without Lua strings, as the pool uses it.
** Runs in: the benchmark.  Owns: one buffer.  Never: anything a user calls.
**
** sink.encode(v)    into a buffer that stays, strings as bytes; gives the size
** sink.decode(s)    the value, without the pcall that codec.decode is under
*/
#include <lauxlib.h>
#include <lua.h>

#include "codec.h"

static Buf buffer; /* one for all calls: its price is not what is measured */

static const CodecOptions bytes = {.flags = CODEC_BYTES};

static int f_encode(lua_State *L) {
  CodecError err;
  buffer.len = 0;
  if (codec_encode(L, 1, 1, &buffer, &bytes, &err) != CODEC_OK)
    return luaL_error(L, "cannot encode: %s", err.why);
  lua_pushinteger(L, (lua_Integer)buffer.len);
  return 1;
}

static int f_decode(lua_State *L) {
  size_t n, used;
  const char *s = luaL_checklstring(L, 1, &n);
  CodecError err;
  if (codec_decode_raw(L, (const uint8_t *)s, n, &used, 1, &bytes, &err) !=
      CODEC_OK)
    return luaL_error(L, "cannot decode: %s", err.why);
  return 1;
}

int luaopen_sink(lua_State *L);
int luaopen_sink(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"encode", f_encode}, {"decode", f_decode}, {NULL, NULL}};
  buf_init(&buffer);
  codec_registry(L);
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
