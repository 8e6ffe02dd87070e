/*
** lua_result.c - what the user holds: AsyncResult and imap's iterator.
** Runs in: parent.  Owns: the Job in its userdata.
*/
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "lua_pool.h"

/* ---- life ---- */

static uint64_t new_id(lua_State *L, PoolBox *box, JobKind kind) {
  enum { MOST = (1 << KEY_BITS) - 1 };
  uint64_t id = ++box->last_job << KEY_BITS;
  if (kind >= JOB_ORDERED)
    return id;
  if (box->n_spare > 0)
    return id | box->spare_key[--box->n_spare];
  if (box->last_key == MOST)
    luaL_error(L, "too many calls are pending: %d", (int)MOST);
  return id | ++box->last_key;
}

Job *new_job(lua_State *L, JobKind kind, int values, int type) {
  PoolBox *box = lua_touserdata(L, 1);
  bool iterates = kind >= JOB_ORDERED;
  bool bare = values == JOB_BARE;
  size_t bytes = sizeof(Job) + (bare ? 0 : sizeof(Flow));
  Job *j = memset(lua_newuserdatauv(L, bytes, values), 0, bytes);
  int job = lua_gettop(L);
  j->box = box;
  j->kind = kind;
  j->bare = bare;
  j->id = new_id(L, box, kind);
  if (!bare) {
    j->flow->total = UINT64_MAX;
    j->flow->last = &j->flow->first;
  }
  if (type != 0)
    lua_pushvalue(L, type);
  else
    luaL_getmetatable(L, iterates ? ITERATOR_TYPE : RESULT_TYPE);
  lua_setmetatable(L, job);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, job, JOB_POOL);
  lua_getiuservalue(L, 1, iterates ? POOL_ITERATORS : POOL_JOBS);
  lua_pushvalue(L, job);
  lua_rawseti(L, -2, iterates ? (lua_Integer)j->id : job_key(j->id));
  lua_pop(L, 1);
  return j;
}

/* A hook of the decoder may end the pool, or go on with the iterator: the
** bytes that it is called from stay. */
static void drop_block(Job *j) {
  Block *b = j->flow->first;
  j->flow->first = b->next;
  if (j->flow->first == NULL)
    j->flow->last = &j->flow->first;
  j->bytes -= b->size < j->bytes ? b->size : j->bytes;
  if (!b->read) {
    free(b);
    return;
  }
  b->next = j->flow->spared;
  j->flow->spared = b;
}

void job_free_blocks(Job *j) {
  while (!j->bare && j->flow->first != NULL)
    drop_block(j);
}

static void free_spared(Job *j) {
  for (Block *next; j->flow->spared != NULL; j->flow->spared = next) {
    next = j->flow->spared->next;
    free(j->flow->spared);
  }
}

static void drop(Job *j) {
  Pool *pool = j->box->pool;
  job_free_blocks(j);
  job_unlink(j);
  if (pool != NULL && !j->bare && j->flow->draft.buf.base != NULL &&
      !j->drafting)
    pool_drop(pool, &j->flow->draft);
  if (pool != NULL && j->fn != NULL) {
    pool_revoke(pool, j->id);
    pool_undefine(pool, j->fn);
  }
  j->fn = NULL;
  j->exhausted = j->dropped = j->done = true;
}

void job_abandon(lua_State *L, int job) {
  job_forget(L, job);
  drop(lua_touserdata(L, job));
}

/* The job at 1, which has the type that the running function belongs to. */
static Job *check_job(lua_State *L, const char *type) {
  bool own = false;
  if (lua_getmetatable(L, 1)) {
    own = lua_rawequal(L, -1, lua_upvalueindex(1));
    lua_pop(L, 1);
  }
  return own ? lua_touserdata(L, 1) : luaL_checkudata(L, 1, type);
}

static int m__close(lua_State *L) {
  Job *j = check_job(L, ITERATOR_TYPE);
  if (j->box->pool != NULL)
    job_abandon(L, 1);
  return 0;
}

static int m__gc(lua_State *L) {
  Job *j = check_job(L, ITERATOR_TYPE);
  j->drafting = false; /* if at all, since an error went past it */
  drop(j);
  free_spared(j);
  return 0;
}

/* ---- AsyncResult ---- */

/* Chunks to wait for: as many as finish in a moment, but never so many that
** the workers run dry. */
static uint32_t enough(const Job *j, double moment_ns) {
  if (j->bare)
    return 1;
  double workers = pool_size(j->box->pool);
  double chunk_ns = j->flow->ns_per_item * (double)(j->fed - j->settled) /
                    (double)(j->chunks > 0 ? j->chunks : 1);
  double n = chunk_ns > 0 ? moment_ns * workers / chunk_ns : 1;
  double most = (double)(j->exhausted ? j->chunks : j->chunks / 2);
  n = n < most ? n : most;
  return n < 1 ? 1 : (uint32_t)n;
}

/* False when the deadline passed first. The job is at 1. */
static bool wait_done(lua_State *L, const Job *j, Wait wait) {
  if (j->done)
    return true;
  lua_getiuservalue(L, 1, JOB_POOL);
  int pool = lua_gettop(L);
  while (!j->done) {
    wait.enough = enough(j, 5e6);
    if (!pump_and_wait(L, pool, &wait) && !j->done)
      return false;
  }
  lua_settop(L, pool - 1);
  return true;
}

static int push_outcome(lua_State *L) {
  if (job_push_error(L, 1))
    return lua_error(L);
  return job_push_results(L, 1);
}

int job_finish(lua_State *L) {
  wait_done(L, lua_touserdata(L, 1),
            (Wait){.deadline = UINT64_MAX, .cancelled = 1});
  return push_outcome(L);
}

/* core.run(as core.map) -> results. One call: an interrupt between two would
** leave tasks to run that nobody waits for. */
static int core_run(lua_State *L) {
  core_map(L);
  lua_replace(L, 1);
  lua_settop(L, 1);
  return job_finish(L);
}

static int m_get(lua_State *L) {
  Job *j = check_job(L, RESULT_TYPE);
  if (!wait_done(L, j, (Wait){.deadline = check_deadline(L, 2)})) {
    lua_pushfstring(L, "no result within the time given: %I of %I items done",
                    (lua_Integer)j->settled, (lua_Integer)j->fed);
    return raise_timeout(L, lua_tostring(L, -1));
  }
  return push_outcome(L);
}

static int m_wait(lua_State *L) {
  Job *j = check_job(L, RESULT_TYPE);
  Wait wait = {.deadline = check_deadline(L, 2)};
  lua_pushboolean(L, wait_done(L, j, wait));
  return 1;
}

static void look(lua_State *L, const Job *j) {
  if (j->done || j->box->pool == NULL)
    return;
  lua_getiuservalue(L, 1, JOB_POOL);
  pool_pump(L, lua_gettop(L));
  lua_pop(L, 1);
}

static int m_ready(lua_State *L) {
  Job *j = check_job(L, RESULT_TYPE);
  look(L, j);
  lua_pushboolean(L, j->done);
  return 1;
}

static int m_successful(lua_State *L) {
  Job *j = check_job(L, RESULT_TYPE);
  look(L, j);
  if (!j->done)
    return luaL_error(L, "result is not ready");
  lua_pushboolean(L, !job_push_error(L, 1));
  return 1;
}

static int m__tostring(lua_State *L) {
  Job *j = check_job(L, RESULT_TYPE);
  const char *state = "pending";
  if (j->done)
    state = job_push_error(L, 1) ? "failed" : "done";
  else if (j->settled > 0 || pool_is_running(j->box->pool, j->id))
    state = "running";
  lua_pushfstring(L, "tidepool.result (%s)", state);
  return 1;
}

/* ---- imap's iterator ---- */

Block *job_ready_block(const Job *j) {
  Block *b = j->flow->first;
  if (b != NULL && j->kind == JOB_ORDERED &&
      b->first + b->taken != j->flow->taken + 1)
    return NULL;
  return b;
}

static void take_from(lua_State *L, int list, uint64_t index) {
  lua_getiuservalue(L, 1, list);
  lua_rawgeti(L, -1, (lua_Integer)index);
  lua_pushnil(L);
  lua_rawseti(L, -3, (lua_Integer)index);
  lua_remove(L, -2);
}

/* Pushes the values of item `index`, or an error object; number or -1. */
static int take_values(lua_State *L, const Block *b, uint64_t index,
                       size_t *used) {
  if (b->local || b->decoded) {
    take_from(L, b->local ? JOB_ERRORS : JOB_RESULTS, index);
    return b->local ? -1 : 1;
  }
  int n = push_frame(L, b->bytes + b->at, b->size - b->at, used);
  if (n < 0) {
    Finished f = {.worker = b->worker, .pid = b->pid};
    f.chunk.first = b->first;
    f.chunk.attempt = b->attempt;
    set_origin(L, lua_gettop(L), 1, index, &f);
  }
  return n;
}

/* i, values ... or, for a failed item, i, nil, err (kept) or a raise. */
static int take(lua_State *L, Job *j, Block *b) {
  uint64_t index = b->first + b->taken, before = j->flow->taken;
  bool was_read = b->read;
  size_t used = 0;
  lua_pushinteger(L, (lua_Integer)index);
  b->read = true;
  int n = take_values(L, b, index, &used); /* raising, it has taken nothing */
  if (j->flow->taken != before)
    return luaL_error(L, "the iterator was used while its result was made");
  j->flow->taken++;
  b->read = was_read;
  b->at += used;
  if (++b->taken == b->count && j->flow->first == b)
    drop_block(j);
  if (n >= 0)
    return n + 1;
  if (!j->keep)
    return lua_error(L);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 3;
}

static int at_end(lua_State *L, Job *j) {
  if (j->fatal) {
    lua_getiuservalue(L, 1, JOB_FATAL);
    j->fatal = j->cut_short; /* an error of the input is raised once */
    return lua_error(L);
  }
  lua_pushnil(L);
  return 1;
}

/* The common case: the next result is here, and the workers are busy. */
static bool is_well_fed(Job *j, const Block *b) {
  enum { MOST_UNPUMPED = 32 };
  if (b->taken + 1 < b->count)
    return true;
  return j->box->pool != NULL && j->chunks > 2 * pool_size(j->box->pool) &&
         ++j->flow->unpumped < MOST_UNPUMPED;
}

static int iterator_next(lua_State *L, uint64_t deadline) {
  Job *j = check_job(L, ITERATOR_TYPE);
  Block *b;
  lua_settop(L, 1);
  if ((b = job_ready_block(j)) != NULL && is_well_fed(j, b))
    return take(L, j, b);
  j->flow->unpumped = 0;
  if (j->box->pool != NULL && !j->done) {
    lua_getiuservalue(L, 1, JOB_POOL);
    pool_pump_for(L, 2, j);
    Wait wait = {.deadline = deadline, .cancelled = 1, .taker = j};
    while ((b = job_ready_block(j)) == NULL && !j->done) {
      wait.enough = enough(j, 2e5);
      if (!pump_and_wait(L, 2, &wait) && job_ready_block(j) == NULL)
        return raise_timeout(L, "no further result within the time given");
    }
    lua_settop(L, 1);
  }
  b = job_ready_block(j);
  return b != NULL ? take(L, j, b) : at_end(L, j);
}

static int m__call(lua_State *L) {
  return iterator_next(L, UINT64_MAX);
}

static int m_next(lua_State *L) {
  return iterator_next(L, check_deadline(L, 2));
}

/* Each function has the metatable of its type as upvalue. */
static void new_type(lua_State *L, const char *name, const luaL_Reg *meta,
                     const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_pushvalue(L, -1);
  luaL_setfuncs(L, meta, 1);
  lua_newtable(L);
  lua_pushvalue(L, -2);
  luaL_setfuncs(L, methods, 1);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

void open_results(lua_State *L) {
  static const luaL_Reg result_meta[] = {{"__tostring", m__tostring},
                                         {NULL, NULL}};
  static const luaL_Reg result_methods[] = {{"get", m_get},
                                            {"wait", m_wait},
                                            {"ready", m_ready},
                                            {"successful", m_successful},
                                            {NULL, NULL}};
  static const luaL_Reg iterator_meta[] = {{"__gc", m__gc},
                                           {"__close", m__close},
                                           {"__call", m__call},
                                           {"__tostring", m__tostring},
                                           {NULL, NULL}};
  static const luaL_Reg iterator_methods[] = {{"next", m_next}, {NULL, NULL}};
  new_type(L, RESULT_TYPE, result_meta, result_methods);
  new_type(L, ITERATOR_TYPE, iterator_meta, iterator_methods);
  lua_pushcfunction(L, core_run);
  lua_setfield(L, -2, "run");
}
