/*
** lua_walk.h - tidepool.walk and tidepool.files.
*/
#ifndef LUA_WALK_H
#define LUA_WALK_H

#include <lua.h>

int luaopen_tidepool_walk(lua_State *L); /* {walk =, files =} */

#endif
