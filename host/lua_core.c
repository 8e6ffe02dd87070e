/*
** lua_core.c - the module itself: the C half, then the Lua half over it.
** Runs in: every process.  Owns: nothing.
*/
#include "lua_core.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "embed.h"
#include "lua_codec.h"
#include "lua_digest.h"
#include "lua_nursery.h"
#include "lua_pool.h"
#include "lua_rules.h"
#include "lua_walk.h"
#include "state.h"
#include "sys.h"
#include "worker.h"

/* ---- processes ---- */

static void *prepare_worker(void) {
  return worker_prepare(luaopen_tidepool);
}

static WorkerMain be_worker = {prepare_worker, worker_run};

/* ---- small functions ---- */

static int f_cpu_count(lua_State *L) {
  lua_pushinteger(L, sys_cpu_count());
  return 1;
}

static int f_now(lua_State *L) {
  lua_pushnumber(L, (double)sys_now_ns() / 1e9);
  return 1;
}

static int f_getpid(lua_State *L) {
  lua_pushinteger(L, sys_getpid());
  return 1;
}

static int f_sleep(lua_State *L) {
  enum { NAP_NS = 200000000 };
  double s = luaL_checknumber(L, 1);
  if (!(s >= 0))
    return luaL_argerror(L, 1, "seconds are negative or not a number");
  uint64_t end = sys_now_ns() + (uint64_t)(fmin(s, 1e9) * 1e9);
  for (uint64_t now; (now = sys_now_ns()) < end;) {
    sys_sleep_ns(end - now < NAP_NS ? end - now : NAP_NS);
    let_hooks_run(L, 0); /* a signal may have set one, just before we slept */
  }
  return 0;
}

static int f_worker(lua_State *L) {
  const Runner *r = runner_of(L);
  if (r == NULL || r->number == 0)
    return 0;
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, r->number);
  lua_setfield(L, -2, "number");
  lua_pushinteger(L, sys_getpid());
  lua_setfield(L, -2, "pid");
  lua_pushinteger(L, r->generation);
  lua_setfield(L, -2, "generation");
  return 1;
}

static int f_task(lua_State *L) {
  const Runner *r = runner_of(L);
  if (r == NULL || r->task == NULL) {
    lua_pushnil(L);
    return 1;
  }
  const Task *t = r->task;
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)t->job);
  lua_setfield(L, -2, "job");
  lua_pushinteger(L, (lua_Integer)(t->first + t->finished));
  lua_setfield(L, -2, "index");
  lua_pushinteger(L, t->finished == 0 ? t->attempt : 1);
  lua_setfield(L, -2, "attempt");
  return 1;
}

/* os.exit in a worker: the pool reports the status with the task. */
static int f_exit(lua_State *L) {
  int status = 0;
  if (lua_isboolean(L, 1))
    status = !lua_toboolean(L, 1);
  else
    status = (int)luaL_optinteger(L, 1, 0);
  fflush(NULL);
  sys_exit(status);
  return 0;
}

/* ---- the module ---- */

static int load_embedded(lua_State *L) {
  const EmbeddedModule *m = lua_touserdata(L, lua_upvalueindex(1));
  if (luaL_loadbufferx(L, (const char *)m->bytes, m->size, m->name, "b") !=
      LUA_OK)
    return lua_error(L);
  lua_pushstring(L, m->name);
  lua_call(L, 1, 1);
  return 1;
}

static void preload_embedded(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const EmbeddedModule *m = embedded_modules; m->name != NULL; m++) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)m);
    lua_pushcclosure(L, load_embedded, 1);
    lua_setfield(L, -2, m->name);
  }
  lua_pop(L, 1);
}

static void set_part(lua_State *L, const char *name, lua_CFunction open) {
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
  lua_setfield(L, -2, name);
}

static void open_core(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"cpu_count", f_cpu_count}, {"now", f_now},        {"getpid", f_getpid},
      {"sleep", f_sleep},         {"exit", f_exit},      {"worker", f_worker},
      {"task", f_task},           {"rules", core_rules}, {NULL, NULL}};
  luaL_newlib(L, functions);
  open_results(L);
  open_pools(L);
  set_part(L, "codec", luaopen_tidepool_codec);
  set_part(L, "digest", luaopen_tidepool_digest);
  set_part(L, "walk", luaopen_tidepool_walk);
  luaL_newmetatable(L, ERROR_TYPE);
  lua_setfield(L, -2, "error_type");
}

/*
** As "tidepool.core" only the C half, and the Lua half to be required part by
** part: a worker takes what it needs, and the rest when its script asks.
*/
int luaopen_tidepool(lua_State *L) {
  if (strcmp(luaL_optstring(L, 1, ""), CORE_MODULE) == 0) {
    preload_embedded(L);
    open_core(L);
    return 1;
  }
  open_nursery(L, &be_worker); /* first: it gets ready while we load */
  luaL_requiref(L, CORE_MODULE, luaopen_tidepool, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidepool.init");
  lua_call(L, 1, 1);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushnil(L); /* so that its functions are known as tidepool's */
  lua_setfield(L, -2, "tidepool.init");
  lua_pop(L, 1);
  return 1;
}
