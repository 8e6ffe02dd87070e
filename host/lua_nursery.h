/*
** lua_nursery.h - the nursery that belongs to a Lua state.
*/
#ifndef LUA_NURSERY_H
#define LUA_NURSERY_H

#include <lua.h>

#include "supervisor.h"

/* At once in a host, which is small now; workers wait until they need it. */
void open_nursery(lua_State *L, WorkerMain *child);
Nursery *nursery_of(lua_State *L);

#endif
