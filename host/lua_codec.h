/*
** lua_codec.h - the Lua face of the codec.
*/
#ifndef LUA_CODEC_H
#define LUA_CODEC_H

#include <lua.h>

/* Push the table `tidepool.codec`. */
int luaopen_tidepool_codec(lua_State *L);

/* Its function diag, in lua_codec_diag.c: CBOR for people to read. */
int lua_codec_diag(lua_State *L);

#endif
