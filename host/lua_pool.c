/*
** lua_pool.c - the pool: open, pump, wait, end.
** Runs in: parent.  Owns: the Pool in its userdata.
** All waiting of the parent happens in pump_and_wait.
*/
#include "lua_pool.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lua_nursery.h"
#include "sys.h"

static const double NS_PER_S = 1e9;

PoolBox *check_pool(lua_State *L, int idx) {
  PoolBox *box = luaL_checkudata(L, idx, POOL_TYPE);
  if (box->pool == NULL)
    luaL_error(L, "pool is not open");
  if (box->pid != sys_getpid())
    luaL_error(L, "pool belongs to another process");
  return box;
}

/* ---- time ---- */

uint64_t check_deadline(lua_State *L, int idx) {
  if (lua_isnoneornil(L, idx))
    return UINT64_MAX;
  double s = luaL_checknumber(L, idx);
  if (!(s >= 0))
    luaL_argerror(L, idx, "timeout is negative or not a number");
  if (s > 1e9)
    return UINT64_MAX;
  return sys_now_ns() + (uint64_t)(s * NS_PER_S);
}

int raise_timeout(lua_State *L, const char *what) {
  push_error(L, "timeout", what);
  return lua_error(L);
}

/* ---- pumping ---- */

int pool_push_job(lua_State *L, int idx, uint64_t id) {
  lua_Integer key = job_key(id);
  lua_getiuservalue(L, idx, key != 0 ? POOL_JOBS : POOL_ITERATORS);
  if (lua_rawgeti(L, -1, key != 0 ? key : (lua_Integer)id) == LUA_TUSERDATA &&
      ((Job *)lua_touserdata(L, -1))->id == id) {
    lua_remove(L, -2);
    return LUA_TUSERDATA;
  }
  lua_pop(L, 2);
  lua_pushnil(L);
  return LUA_TNIL;
}

static Job *feeding_after(const PoolBox *box, uint64_t id) {
  Job *j = box->feeding;
  while (j != NULL && j->id <= id)
    j = j->flow->next_feeding;
  return j;
}

static void feed_all(lua_State *L, int idx) {
  PoolBox *box = lua_touserdata(L, idx);
  Job *j;
  for (uint64_t id = 0; (j = feeding_after(box, id)) != NULL;) {
    id = j->id;
    if (pool_push_job(L, idx, id) == LUA_TUSERDATA) {
      job_feed(L, lua_gettop(L));
      job_check_done(L, lua_gettop(L));
    }
    lua_pop(L, 1);
  }
}

static void push_broken(lua_State *L, int why) {
  int top = lua_gettop(L);
  if (why < 0)
    lua_pushliteral(L, "the pool is broken: its supervisor died and could not "
                       "be replaced");
  else
    lua_pushfstring(L,
                    "the pool is broken: its workers die at start; the last "
                    "one %s",
                    push_end(L, why));
  push_error(L, "lost", lua_tostring(L, -1));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* Why nothing runs any more: an error value. */
static void push_reason(lua_State *L, const PoolBox *box) {
  uint8_t frame[TABLE_ERROR_BYTES];
  size_t used;
  if (box->pool == NULL || pool_state(box->pool) == POOL_TERMINATED) {
    push_error(L, "terminated", "the pool was terminated");
    return;
  }
  size_t n = pool_start_error(box->pool, (char *)frame, sizeof frame);
  if (n > 0)
    push_frame(L, frame, n, &used);
  else
    push_broken(L, pool_broken_why(box->pool));
}

/* Jobs may end jobs (callbacks), so each round starts anew. */
static bool end_all(lua_State *L, int idx, int list) {
  for (bool any = false;; any = true) {
    lua_getiuservalue(L, idx, list);
    lua_pushnil(L);
    if (lua_next(L, -2) == 0) {
      lua_pop(L, 1);
      return any;
    }
    int job = lua_gettop(L);
    Job *j = lua_touserdata(L, job);
    push_reason(L, j->box);
    j->cut_short = true;
    job_free_blocks(j);
    job_end(L, job);
    lua_settop(L, job - 3);
  }
}

bool pool_pump(lua_State *L, int idx) {
  return pool_pump_for(L, idx, NULL);
}

bool pool_pump_for(lua_State *L, int idx, const Job *taker) {
  PoolBox *box = lua_touserdata(L, idx);
  Settling s = {.box = box, .taker = taker};
  luaL_checkstack(L, LUA_MINSTACK, "pool");
  if (pool_has_next(box->pool))
    job_settle_all(L, idx, &s);
  bool settled = s.any;
  if (pool_state(box->pool) >= POOL_TERMINATED) {
    settled |= end_all(L, idx, POOL_JOBS);
    settled |= end_all(L, idx, POOL_ITERATORS);
    return settled;
  }
  if (box->feeding != NULL)
    feed_all(L, idx);
  else if (pool_state(box->pool) == POOL_CLOSED)
    pool_close(box->pool); /* and drained, when nothing is outstanding */
  return settled;
}

/* Serial mode: calls fn(arg), which borrows the caller's state, in a frame of
** its own, so that the runner has an empty stack. A status of lua_pcall. */
static int call_serial(lua_State *L, lua_CFunction fn, void *arg) {
  Runner *before = runner_of(L);
  lua_pushcfunction(L, fn);
  lua_pushlightuserdata(L, arg);
  int status = lua_pcall(L, 1, 0, 0);
  runner_return(L, before);
  return status;
}

typedef struct Serial {
  PoolBox *box;
  Task task;
  Buf out;
} Serial;

static int run_in_frame(lua_State *L) {
  Serial *s = lua_touserdata(L, 1);
  Runner *r = &s->box->runner;
  _Atomic uint32_t cut = 0, progress = 0;
  _Atomic uint64_t bytes = 0;
  runner_borrow(r, L);
  runner_run(r, &s->task, &s->out, (TaskMeter){&cut, &progress, &bytes});
  return 0;
}

static bool run_serial(lua_State *L, int idx) {
  Serial s = {.box = lua_touserdata(L, idx)};
  Settling settling = {.box = s.box, .stage = SETTLING_BEGUN};
  Finished *f = &settling.finished;
  const Chunk *c = &f->chunk;
  if (!pool_is_serial(s.box->pool) || !pool_serial_next(s.box->pool, &f->chunk))
    return false;
  s.task = (Task){.fn = c->fn->number,
                  .definition = c->fn->text,
                  .definition_bytes = c->fn->bytes,
                  .args = c->heap + c->from,
                  .args_bytes = c->bytes,
                  .job = c->job,
                  .first = c->first,
                  .count = c->count,
                  .attempt = c->attempt,
                  .stops = c->stops};
  buf_init(&s.out);
  uint64_t begin_ns = sys_now_ns();
  int status = call_serial(L, run_in_frame, &s);
  f->busy_ns = sys_now_ns() - begin_ns;
  f->pid = s.box->pid;
  f->result = (Completion){.state = SLOT_DONE,
                           .bytes = s.out.base,
                           .size = s.out.len,
                           .finished = s.task.finished};
  f->heap = s.out.base; /* freed when it is settled */
  if (status == LUA_OK)
    job_settle_all(L, idx, &settling);
  else
    job_end_held(L, idx, &settling);
  return true;
}

/* A handler of the host may have set a hook: an instruction of Lua lets it
** run. True: it raised, the error is on top of the stack. */
static bool hooks_raise(lua_State *L) {
  if (luaL_loadstring(L, "local interrupted = true") != LUA_OK)
    return true;
  return lua_pcall(L, 0, 0, 0) != LUA_OK;
}

static void run_hooks(lua_State *L, int cancelled) {
  if (!hooks_raise(L))
    return;
  if (cancelled != 0) {
    const Job *j = lua_touserdata(L, cancelled);
    job_abandon(L, cancelled);
    pool_doom(j->box->pool, j->id);
  }
  lua_error(L);
}

void let_hooks_run(lua_State *L, int cancelled) {
  if (lua_gethook(L) != NULL)
    run_hooks(L, cancelled);
}

/*
** Nobody sleeps longer than a nap.  Who waits for several chunks looks at them
** in between, so that errors, progress and callbacks are not late; and a signal
** that came between the look at Lua's hooks and the sleep did not end it.
*/
static PoolWait sleep_until(Pool *pool, uint32_t enough, uint64_t deadline) {
  static const uint64_t short_ns = 20000000, long_ns = 200000000;
  uint64_t now = sys_now_ns(), nap_ns = enough > 1 ? short_ns : long_ns;
  if (deadline > now + nap_ns)
    deadline = now + nap_ns;
  return pool_wait(pool, enough,
                   deadline > now ? (int64_t)(deadline - now) : 0);
}

bool pump_and_wait(lua_State *L, int idx, const Wait *wait) {
  PoolBox *box = lua_touserdata(L, idx);
  let_hooks_run(L, wait->cancelled);
  if (pool_pump_for(L, idx, wait->taker) || run_serial(L, idx) ||
      box->pool == NULL)
    return true;
  let_hooks_run(L, wait->cancelled); /* of callbacks and inputs */
  if (pool_is_stuck(box->pool))
    luaL_error(L, "a hook of the decoder cannot wait: the pool is repaired "
                  "when it returns");
  PoolWait how = sleep_until(box->pool, wait->enough, wait->deadline);
  if (how == WAIT_SIGNAL)
    run_hooks(L, wait->cancelled);
  return how != WAIT_TIMEOUT || sys_now_ns() < wait->deadline;
}

/* ---- ending ---- */

static int m_close(lua_State *L) {
  PoolBox *box = check_pool(L, 1);
  pool_pump(L, 1);
  pool_mark_closed(box->pool);
  if (box->feeding == NULL)
    pool_close(box->pool);
  return 0;
}

static int m_terminate(lua_State *L) {
  PoolBox *box = check_pool(L, 1);
  if (pool_state(box->pool) < POOL_TERMINATED)
    pool_pump(L, 1); /* what is done keeps its results */
  pool_terminate(box->pool);
  pool_pump(L, 1);
  return 0;
}

/* Nobody takes from an iterator while we join: what it has read will run,
** more is not read. */
static void cut_iterators(lua_State *L, PoolBox *box) {
  Job *next;
  for (Job *j = box->feeding; j != NULL; j = next) {
    next = j->flow->next_feeding;
    if (j->kind < JOB_ORDERED || j->drafting)
      continue;
    job_unlink(j);
    if (pool_push_job(L, 1, j->id) == LUA_TUSERDATA && !j->exhausted) {
      int job = lua_gettop(L);
      j->exhausted = true;
      lua_pushliteral(L, "pool is closed");
      job_set_fatal(L, job);
      job_check_done(L, job);
    }
    lua_settop(L, 2);
  }
}

/* At the end of a serial pool: its one worker leaves in an orderly way. */
static int finish_in_frame(lua_State *L) {
  Runner *r = lua_touserdata(L, 1);
  runner_borrow(r, L);
  runner_finish(r);
  luaL_unref(L, LUA_REGISTRYINDEX, r->finalizer);
  luaL_unref(L, LUA_REGISTRYINDEX, r->functions);
  return 0;
}

static void finish_serial(lua_State *L, PoolBox *box) {
  if (call_serial(L, finish_in_frame, &box->runner) != LUA_OK)
    lua_error(L);
}

/* What later calls say, when shared memory is gone. */
static void keep_reason(lua_State *L, const PoolBox *box) {
  if (pool_state(box->pool) < POOL_TERMINATED || pool_is_released(box->pool))
    return;
  push_reason(L, box);
  lua_setiuservalue(L, 1, POOL_REASON);
}

static int m_join(lua_State *L) {
  PoolBox *box = check_pool(L, 1);
  Wait wait = {.enough = 1, .deadline = check_deadline(L, 2)};
  lua_settop(L, 2);
  if (pool_state(box->pool) == POOL_OPEN)
    return luaL_error(L, "pool is still running: close or terminate it first");
  cut_iterators(L, box);
  for (;;) {
    pool_pump(L, 1);
    if (pool_is_ended(box->pool) && pool_state(box->pool) >= POOL_DRAINED) {
      if (pool_is_held(box->pool)) /* we are in a hook of its decoder */
        return 0;
      keep_reason(L, box);
      if (!pool_is_released(box->pool) && pool_is_serial(box->pool) &&
          pool_state(box->pool) == POOL_DRAINED)
        finish_serial(L, box);
      pool_release(box->pool);
      return 0;
    }
    if (run_serial(L, 1))
      continue;
    if (!pump_and_wait(L, 1, &wait) && !pool_is_ended(box->pool))
      return raise_timeout(L,
                           "the workers have not ended within the time given");
  }
}

/* Workers are killed and seen dead, or given up after a moment. */
static void stop_now(PoolBox *box) {
  static const uint64_t patience_ns = 100000000;
  uint64_t end = sys_now_ns() + patience_ns;
  pool_terminate(box->pool);
  while (!pool_is_ended(box->pool) && sys_now_ns() < end)
    pool_wait(box->pool, 1, (int64_t)(end - sys_now_ns()));
}

static int m__gc(lua_State *L) {
  PoolBox *box = luaL_checkudata(L, 1, POOL_TYPE);
  Pool *pool = box->pool;
  if (pool == NULL || box->pid != sys_getpid())
    return 0;
  if (pool_state(pool) == POOL_OPEN) {
    lua_getiuservalue(L, 1, POOL_NAME);
    lua_pushfstring(L, "tidepool: pool \"%s\" was not closed",
                    lua_tostring(L, -1));
    lua_warning(L, lua_tostring(L, -1), 0);
  }
  stop_now(box);
  box->pool = NULL;
  pool_free(pool);
  end_all(L, 1, POOL_JOBS); /* a finalizer may still ask for results */
  free(box->spare_key);
  box->spare_key = NULL;
  box->n_spare = box->spare_room = 0;
  return 0;
}

static const char *state_name(const PoolBox *box) {
  static const char *const names[] = {"open", "closed", "closed", "terminated",
                                      "broken"};
  return box->pool == NULL ? "collected" : names[pool_state(box->pool)];
}

static int m__tostring(lua_State *L) {
  PoolBox *box = luaL_checkudata(L, 1, POOL_TYPE);
  lua_getiuservalue(L, 1, POOL_NAME);
  lua_pushfstring(L, "tidepool.pool \"%s\" (%s", lua_tostring(L, -1),
                  state_name(box));
  if (box->pool == NULL)
    lua_pushliteral(L, ")");
  else if (pool_is_serial(box->pool))
    lua_pushliteral(L, ", serial)");
  else
    lua_pushfstring(L, ", %d worker%s)", (int)pool_size(box->pool),
                    pool_size(box->pool) == 1 ? "" : "s");
  lua_concat(L, 2);
  return 1;
}

/* ---- event loops ---- */

static int m_step(lua_State *L) {
  PoolBox *box = check_pool(L, 1);
  uint64_t deadline =
      lua_isnoneornil(L, 2) ? sys_now_ns() : check_deadline(L, 2);
  Wait wait = {.enough = 1, .deadline = deadline};
  lua_settop(L, 1);
  pool_poll(box->pool);
  bool happened = pool_pump(L, 1);
  while (run_serial(L, 1))
    happened = true;
  while (!happened && sys_now_ns() < deadline)
    happened = pump_and_wait(L, 1, &wait) && pool_pump(L, 1);
  pool_poll(box->pool);
  pool_pump(L, 1); /* what finished before the parent was armed again */
  lua_pushboolean(L, happened);
  return 1;
}

static int m_pollfd(lua_State *L) {
  PoolBox *box = check_pool(L, 1);
  if (pool_is_released(box->pool))
    return luaL_error(L, "pool is closed");
  pool_poll(box->pool);
  lua_pushinteger(L, pool_fd(box->pool));
  return 1;
}

static int m_events(lua_State *L) {
  lua_pushliteral(L, "r");
  return 1;
}

static int m_timeout(lua_State *L) {
  lua_pushnil(L);
  return 1;
}

static int f_is_open(lua_State *L) {
  PoolBox *box = check_pool(L, 1);
  pool_pump(L, 1);
  lua_pushboolean(L, pool_state(box->pool) == POOL_OPEN);
  return 1;
}

/* core.state(pool): its name, and why it ended. */
static int f_state(lua_State *L) {
  PoolBox *box = check_pool(L, 1);
  pool_pump(L, 1);
  lua_pushstring(L, state_name(box));
  if (pool_state(box->pool) < POOL_TERMINATED)
    return 1;
  if (lua_getiuservalue(L, 1, POOL_REASON) == LUA_TNIL) {
    lua_pop(L, 1);
    push_reason(L, box);
  }
  return 2;
}

/* 0: no worker; 1: a worker of a pool; 2: a worker of a worker's pool */
static uint32_t depth_of(lua_State *L) {
  const Runner *r = runner_of(L);
  return r == NULL ? 0 : r->depth;
}

/* ---- opening ---- */

static lua_Integer field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void set_lists(lua_State *L, int box) {
  for (int i = POOL_JOBS; i <= POOL_FUNCTIONS; i++) {
    lua_newtable(L);
    if (i == POOL_ITERATORS) {
      lua_createtable(L, 0, 1);
      lua_pushliteral(L, "v");
      lua_setfield(L, -2, "__mode");
      lua_setmetatable(L, -2);
    }
    lua_setiuservalue(L, box, i);
  }
  lua_getfield(L, 1, "name");
  lua_setiuservalue(L, box, POOL_NAME);
}

typedef struct SerialStart {
  Runner *runner;
  const PoolSpec *spec;
  Buf failure;
} SerialStart;

static int start_in_frame(lua_State *L) {
  SerialStart *s = lua_touserdata(L, 1);
  runner_borrow(s->runner, L);
  runner_start(s->runner, s->spec->options, s->spec->options_bytes,
               &s->failure);
  return 0;
}

static void start_serial(lua_State *L, PoolBox *box, const PoolSpec *spec) {
  SerialStart s = {.runner = &box->runner, .spec = spec};
  size_t used;
  buf_init(&s.failure);
  box->runner.items_left = UINT64_MAX;
  box->runner.depth = spec->depth;
  box->runner.most_bytes = SIZE_MAX / 4;
  if (call_serial(L, start_in_frame, &s) != LUA_OK)
    lua_error(L);
  if (s.failure.len == 0)
    return;
  push_frame(L, s.failure.base, s.failure.len, &used);
  buf_clear(&s.failure);
  lua_error(L);
}

/* core.open{processes =, max_items =, window_bytes =, retries =, options =,
** name =} */
static int core_open(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  enum { DEEPEST = 2 };
  uint32_t depth = depth_of(L) + 1;
  if (depth > DEEPEST)
    return luaL_error(L, "pools can be nested %d deep", DEEPEST);
  PoolBox *box = lua_newuserdatauv(L, sizeof *box, POOL_VALUES);
  *box =
      (PoolBox){.pid = sys_getpid(), .retries = (uint32_t)field(L, "retries")};
  set_lists(L, 2);
  luaL_setmetatable(L, POOL_TYPE);
  PoolSpec spec = {.processes = (uint32_t)field(L, "processes"),
                   .depth = depth,
                   .max_items = (uint64_t)field(L, "max_items"),
                   .window_bytes = (uint64_t)field(L, "window_bytes")};
  lua_getfield(L, 1, "options");
  spec.options = (const uint8_t *)luaL_checklstring(L, -1, &spec.options_bytes);
  lua_getfield(L, 1, "digests");
  spec.digests = lua_tostring(L, -1);
  if (pool_open(&box->pool, &spec, nursery_of(L)) != 0)
    return luaL_error(L, "cannot start a pool of %d processes: %s",
                      (int)spec.processes, strerror(errno));
  if (spec.processes == 0)
    start_serial(L, box, &spec);
  lua_settop(L, 2);
  return 1;
}

void open_pools(lua_State *L) {
  static const luaL_Reg meta[] = {
      {"__gc", m__gc}, {"__tostring", m__tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"close", m_close},   {"terminate", m_terminate}, {"join", m_join},
      {"step", m_step},     {"pollfd", m_pollfd},       {"getfd", m_pollfd},
      {"events", m_events}, {"timeout", m_timeout},     {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"open", core_open},         {"map", core_map},
      {"straight", core_straight}, {"known", core_known},
      {"is_open", f_is_open},      {"state", f_state},
      {"look", core_look},         {NULL, NULL}};
  luaL_newmetatable(L, POOL_TYPE);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_setfield(L, -2, "pool_type"); /* for lua/tidepool/pool.lua to finish */
  luaL_setfuncs(L, functions, 0);
}
