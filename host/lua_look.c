/*
** lua_look.c - what there is to see of a pool: its workers and its jobs.
** Runs in: parent.  Owns: nothing.
*/
#include <lauxlib.h>

#include "lua_pool.h"
#include "sys.h"

static void set_integer(lua_State *L, const char *key, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, key);
}

/* {id =, kind =, label =, done =, total =} of the job on top. */
static void push_job_view(lua_State *L) {
  static const char *const kinds[] = {"apply", "map", "imap", "imap_unordered"};
  int job = lua_gettop(L);
  const Job *j = lua_touserdata(L, job);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, kinds[j->kind]);
  lua_setfield(L, -2, "kind");
  job_push_label(L, job);
  lua_setfield(L, -2, "label");
  set_integer(L, "id", (lua_Integer)(j->id >> KEY_BITS));
  set_integer(L, "done", (lua_Integer)j->settled);
  if (j->exhausted)
    set_integer(L, "total", (lua_Integer)j->fed);
  else if (j->flow->total != UINT64_MAX)
    set_integer(L, "total", (lua_Integer)j->flow->total);
}

/* The views of a list of jobs, added to the table on top. */
static void add_job_views(lua_State *L, int list) {
  int views = lua_gettop(L);
  lua_getiuservalue(L, 1, list);
  for (lua_pushnil(L); lua_next(L, views + 1); lua_settop(L, views + 2)) {
    push_job_view(L);
    lua_rawseti(L, views, (lua_Integer)lua_rawlen(L, views) + 1);
  }
  lua_settop(L, views);
}

static bool has_ended(const Pool *pool) {
  return pool_state(pool) >= POOL_TERMINATED ||
         (pool_state(pool) == POOL_DRAINED && pool_is_ended(pool));
}

int core_look(lua_State *L) {
  PoolBox *box = luaL_checkudata(L, 1, POOL_TYPE);
  if (box->pool == NULL || box->pid != sys_getpid())
    return 0;
  pool_pump(L, 1);
  if (has_ended(box->pool))
    return 0;
  lua_createtable(L, 0, 5);
  lua_pushstring(L, pool_state(box->pool) == POOL_OPEN ? "open" : "closed");
  lua_setfield(L, -2, "state");
  lua_getiuservalue(L, 1, POOL_NAME);
  lua_setfield(L, -2, "name");
  set_integer(L, "busy", pool_busy(box->pool));
  set_integer(L, "size", pool_size(box->pool));
  lua_newtable(L);
  add_job_views(L, POOL_JOBS);
  add_job_views(L, POOL_ITERATORS);
  lua_setfield(L, -2, "jobs");
  return 1;
}
