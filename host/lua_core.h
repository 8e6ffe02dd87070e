/*
** lua_core.h - the module itself.
*/
#ifndef LUA_CORE_H
#define LUA_CORE_H

#include <lua.h>

int luaopen_tidepool(lua_State *L);

#endif
