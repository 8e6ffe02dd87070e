/*
** lua_digest.h - tidepool.digest.
*/
#ifndef LUA_DIGEST_H
#define LUA_DIGEST_H

#include <lua.h>

int luaopen_tidepool_digest(lua_State *L);

#endif
