/*
** state.h - fresh Lua states for workers.
*/
#ifndef STATE_H
#define STATE_H

#include <lua.h>

/* The name by which a module opens its C half alone. */
#define CORE_MODULE "tidepool.core"

/* All libraries open, `module` preloaded as "tidepool". NULL without memory.
** *beside is `room` zero bytes for the caller, as long as the state lives. */
lua_State *state_new(lua_CFunction module, size_t room, void **beside);

/* A state of state_new, before a fork: children will write to few pages. */
void state_settle(lua_State *L);

/* Runs what finalizers there are and ends the process. */
void state_leave(lua_State *L);

/* In a child: random numbers other than those of its siblings. May raise. */
void state_reseed(lua_State *L);

/* Message handler: replaces the error value by {value, traceback}. */
int state_on_error(lua_State *L);

/* Pushes the text of the value at idx as an uncaught error would show it.
** A __tostring that raises, or runs for ever, does no harm. */
void state_describe(lua_State *L, int idx);

/* Warns about the error value on top: "tidepool: what: text". */
void state_warn(lua_State *L, const char *what);

#endif
