/*
** state.c - fresh Lua states for workers.
** Runs in: workers, and the parent in serial mode.  Owns: nothing.
*/
#include "state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "fresh.h"
#include "sys.h"

void state_reseed(lua_State *L) {
  lua_Integer seed[2];
  sys_random(seed, sizeof seed);
  lua_getglobal(L, LUA_MATHLIBNAME);
  lua_getfield(L, -1, "randomseed");
  lua_pushinteger(L, seed[0]);
  lua_pushinteger(L, seed[1]);
  lua_call(L, 2, 0);
  lua_pop(L, 1);
}

/*
** A process that ends need not give back its memory: only finalizers have to
** run.  They run in the reverse order of their making, so the one made first
** is the last, and leaves before Lua frees, and thereby copies, what the
** process shares with others.
*/
static int leave_last(lua_State *L) {
  const bool *leaving = lua_touserdata(L, 1);
  if (!*leaving)
    return 0; /* somebody emptied the registry */
  fflush(NULL);
  sys_exit(0);
  return 0;
}

static const char LEAVING[] = "tidepool.leaving"; /* registry key */

static void make_first(lua_State *L) {
  bool *leaving = lua_newuserdatauv(L, sizeof *leaving, 0);
  *leaving = false;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, leave_last);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, LEAVING);
}

/* A collection leaves the stack three times the room that is asked for. */
static int collect(lua_State *L) {
  enum { ROOM = 60 };
  luaL_checkstack(L, ROOM, NULL);
  lua_gc(L, LUA_GCCOLLECT);
  return 0;
}

void state_settle(lua_State *L) {
  void *a;
  lua_getallocf(L, &a);
  lua_pushcfunction(L, collect);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK)
    lua_pop(L, 1);
  alloc_forget_spares(a);
}

void state_leave(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LEAVING);
  bool *leaving = lua_touserdata(L, -1);
  if (leaving != NULL)
    *leaving = true;
  lua_close(L);
  fflush(NULL);
  sys_exit(0);
}

/*
** A call writes to its record, and a record is made when calls first go so
** deep.  All made together, before anything else, they share a page or two.
*/
static int call_deep(lua_State *L) {
  enum { DEPTH = 40 };
  lua_Integer depth = lua_tointeger(L, 1) + 1;
  if (depth < DEPTH) {
    lua_pushcfunction(L, call_deep);
    lua_pushinteger(L, depth);
    lua_call(L, 1, 0);
  }
  return 0;
}

/* Stack: the module, room, where to put its address. */
static int open_all(lua_State *L) {
  lua_CFunction module = lua_tocfunction(L, 1);
  size_t room = (size_t)lua_tointeger(L, 2);
  void **beside = lua_touserdata(L, 3);
  make_first(L);
  *beside = memset(lua_newuserdatauv(L, room, 0), 0, room);
  luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, call_deep);
  lua_call(L, 0, 0);
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, module);
  lua_setfield(L, -2, "tidepool");
  return 0;
}

lua_State *state_new(lua_CFunction module, size_t room, void **beside) {
  lua_State *L = fresh_state();
  if (L == NULL)
    return NULL;
  lua_pushcfunction(L, open_all);
  lua_pushcfunction(L, module);
  lua_pushinteger(L, (lua_Integer)room);
  lua_pushlightuserdata(L, beside);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
    lua_close(L);
    return NULL;
  }
  return L;
}

/* The last line of a worker's stack is the C code that called the task. */
static void push_traceback(lua_State *L, lua_State *from) {
  static const char last[] = "\n\t[C]: in ?";
  luaL_traceback(L, from, NULL, 1);
  size_t n;
  const char *text = lua_tolstring(L, -1, &n);
  size_t cut = sizeof last - 1;
  if (n > cut && memcmp(text + n - cut, last, cut) == 0)
    lua_pushlstring(L, text, n - cut);
}

int state_on_error(lua_State *L) {
  lua_settop(L, 1);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  push_traceback(L, L);
  lua_rawseti(L, 2, 2);
  lua_settop(L, 2);
  return 1;
}

static void out_of_patience(lua_State *L, lua_Debug *ar) {
  (void)ar;
  luaL_error(L, "__tostring ran for too long");
}

static int describe(lua_State *L) {
  enum { MOST_INSTRUCTIONS = 10000000 };
  if (lua_type(L, 1) == LUA_TTABLE || lua_type(L, 1) == LUA_TUSERDATA) {
    if (luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL) {
      lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
      return 1;
    }
    lua_sethook(L, out_of_patience, LUA_MASKCOUNT, MOST_INSTRUCTIONS);
  }
  luaL_tolstring(L, 1, NULL);
  return 1;
}

void state_describe(lua_State *L, int idx) {
  lua_Hook hook = lua_gethook(L);
  int mask = lua_gethookmask(L), count = lua_gethookcount(L);
  idx = lua_absindex(L, idx);
  lua_pushcfunction(L, describe);
  lua_pushvalue(L, idx);
  int status = lua_pcall(L, 1, 1, 0);
  lua_sethook(L, hook, mask, count);
  if (status == LUA_OK)
    return;
  lua_pop(L, 1);
  lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, idx));
}

void state_warn(lua_State *L, const char *what) {
  state_describe(L, -1);
  lua_warning(L, "tidepool: ", 1);
  lua_warning(L, what, 1);
  lua_warning(L, ": ", 1);
  lua_warning(L, lua_tostring(L, -1), 0);
  lua_pop(L, 1);
}
