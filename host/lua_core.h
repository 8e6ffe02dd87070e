/*
** lua_core.h - the module itself, and what its parts share.
*/
#ifndef LUA_CORE_H
#define LUA_CORE_H

#include <lua.h>

#include "supervisor.h"

int luaopen_tidepool(lua_State *L);
lua_CFunction core_module(void);     /* luaopen_tidepool, for other states */
Nursery *core_nursery(lua_State *L); /* of this state */
uint32_t core_depth(lua_State *L);   /* 0: no worker; 1: of a pool; ... */

#endif
