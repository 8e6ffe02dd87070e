/*
** fresh.h - a bare Lua state, as luaL_newstate makes it.
*/
#ifndef FRESH_H
#define FRESH_H

#include <lua.h>

/* With memory of its own (alloc.h), warnings off. NULL without memory. */
lua_State *fresh_state(void);

#endif
