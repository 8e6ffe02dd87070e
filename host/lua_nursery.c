/*
** lua_nursery.c - the nursery that belongs to a Lua state.
** Runs in: every process.  Owns: the nursery, until the state is closed.
*/
#include "lua_nursery.h"

#include <lauxlib.h>

#include "sys.h"
#include "task.h"

static const char NURSERY[] = "tidepool.nursery"; /* registry key, type */

static int nursery_gc(lua_State *L) {
  Nursery *n = luaL_checkudata(L, 1, NURSERY);
  if (n->owner == sys_getpid())
    nursery_close(n);
  return 0;
}

void open_nursery(lua_State *L, WorkerMain *child) {
  Nursery *n = lua_newuserdatauv(L, sizeof *n, 0);
  *n = (Nursery){.fd = -1, .owner = sys_getpid(), .child = child};
  if (luaL_newmetatable(L, NURSERY)) {
    lua_pushcfunction(L, nursery_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, NURSERY);
  if (runner_of(L) == NULL)
    nursery_open(n, child); /* failing: tried again when it is needed */
}

Nursery *nursery_of(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, NURSERY);
  Nursery *n = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return n;
}
