/*
** lua_start.c - a call of the user becomes a job.
** Runs in: parent.  Owns: nothing.
**
** The Lua half checks and prepares what was given.  One item for a function
** that was sent before needs none of that, and goes straight from here.
*/
#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "frame.h"
#include "lua_pool.h"
#include "scalar.h"
#include "sys.h"

/* ---- functions ---- */

/*
** functions.lua keeps what a function became as long as it is the same:
** {text, label, n, upvalue 1 ... n}, or {text, label, false, module, key} of
** one that is reached by name.
*/
enum { KNOWN_TEXT = 1, KNOWN_LABEL, KNOWN_COUNT, KNOWN_REST };

/* The two values on top; 1 is not 1.0, nor is 0.0 the same as -0.0. */
static bool are_same(lua_State *L) {
  if (!lua_rawequal(L, -1, -2))
    return false;
  return lua_type(L, -1) != LUA_TNUMBER ||
         (lua_isinteger(L, -1) == lua_isinteger(L, -2) &&
          !signbit(lua_tonumber(L, -1)) == !signbit(lua_tonumber(L, -2)));
}

static bool has_same_upvalues(lua_State *L, int fn, int entry, int n) {
  bool same = true;
  for (int i = 1; i <= n && same; i++) {
    if (lua_getupvalue(L, fn, i) == NULL)
      return false;
    lua_rawgeti(L, entry, KNOWN_REST - 1 + i);
    same = are_same(L);
    lua_pop(L, 2);
  }
  return same;
}

static bool is_still_there(lua_State *L, int fn, int entry) {
  lua_rawgeti(L, entry, KNOWN_REST);
  lua_rawgeti(L, entry, KNOWN_REST + 1);
  lua_rawget(L, -2);
  bool same = lua_rawequal(L, -1, fn);
  lua_pop(L, 2);
  return same;
}

typedef enum Known { NOT_KNOWN, KNOWN_NOW, KNOWN_FOR_EVER } Known;

/* Pushes text and label of the function at fn; nothing if it is not in the
** cache or has changed. Without upvalues it cannot change. */
static Known push_known(lua_State *L, int cache, int fn) {
  int entry = lua_gettop(L) + 1, n = -1;
  bool same = false;
  lua_pushvalue(L, fn);
  if (lua_rawget(L, cache) == LUA_TTABLE) {
    if (lua_rawgeti(L, entry, KNOWN_COUNT) == LUA_TNUMBER)
      same = has_same_upvalues(L, fn, entry, n = (int)lua_tointeger(L, -1));
    else
      same = is_still_there(L, fn, entry);
    lua_pop(L, 1);
  }
  if (!same) {
    lua_settop(L, entry - 1);
    return NOT_KNOWN;
  }
  lua_rawgeti(L, entry, KNOWN_TEXT);
  lua_rawgeti(L, entry, KNOWN_LABEL);
  lua_remove(L, entry);
  return n == 0 ? KNOWN_FOR_EVER : KNOWN_NOW;
}

/* core.known(cache, f) -> text, label, or nothing */
int core_known(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  return push_known(L, 1, 2) != NOT_KNOWN ? 2 : 0;
}

/* A full cache is emptied; what jobs still use lives on with them. */
static void forget_functions(lua_State *L, PoolBox *box) {
  int cache = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, cache) != 0; lua_pop(L, 1))
    pool_undefine(box->pool, lua_touserdata(L, -1));
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, POOL_FUNCTIONS);
  lua_replace(L, cache);
  box->straight = NULL;
  box->n_functions = 1;
}

/* The definition with the text at `idx` and the label above it, from the pool's
** cache. */
static Definition *check_function(lua_State *L, PoolBox *box, int idx) {
  enum { MOST = 512 };
  size_t bytes;
  const char *text = luaL_checklstring(L, idx, &bytes);
  lua_getiuservalue(L, 1, POOL_FUNCTIONS);
  lua_pushvalue(L, idx);
  lua_rawget(L, -2);
  Definition *d = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (d == NULL) {
    d = pool_define(box->pool, (const uint8_t *)text, bytes,
                    luaL_checkstring(L, idx + 1));
    if (d == NULL)
      luaL_error(L, "cannot send the function: %s", strerror(errno));
    if (box->n_functions++ == MOST)
      forget_functions(L, box);
    lua_pushvalue(L, idx);
    lua_pushlightuserdata(L, d);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
  d->refs++;
  return d;
}

/* ---- options ---- */

static lua_Integer option(lua_State *L, int opts, const char *name,
                          lua_Integer standard) {
  lua_Integer n = standard;
  if (lua_getfield(L, opts, name) == LUA_TNUMBER)
    n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static bool flag(lua_State *L, int opts, const char *name) {
  lua_getfield(L, opts, name);
  bool set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

static void set_function(lua_State *L, int job, Definition *fn) {
  Job *j = lua_touserdata(L, job);
  j->fn = fn;
  lua_pushstring(L, fn->label);
  lua_setiuservalue(L, job, JOB_LABEL);
}

static void set_hooks(lua_State *L, int job, int opts) {
  Job *j = lua_touserdata(L, job);
  j->hooked = lua_getfield(L, opts, "hooks") == LUA_TTABLE;
  lua_setiuservalue(L, job, JOB_HOOKS);
}

/* ---- one item ---- */

/* Pushes the sequence at `args` and the table at `kwargs`, if not 0; how many
** values, or -1: too many. */
static int push_arguments(lua_State *L, int args, int kwargs) {
  int n = 0;
  if (!lua_isnil(L, args)) {
    lua_pushvalue(L, args);
    n = job_unpack(L);
  }
  if (n < 0 || kwargs == 0 || lua_isnil(L, kwargs))
    return n;
  lua_pushvalue(L, kwargs);
  return n + 1;
}

static size_t string_bytes(lua_State *L, int n) {
  size_t bytes = 16 * (size_t)n + 16;
  for (int i = 1; i <= n; i++)
    if (lua_type(L, -i) == LUA_TSTRING)
      bytes += lua_rawlen(L, -i);
  return bytes;
}

/* The job is on top, and stays there. */
static void submit_item(lua_State *L, PoolBox *box, int args, int kwargs) {
  int job = lua_gettop(L);
  Job *j = lua_touserdata(L, job);
  j->exhausted = true;
  int n = push_arguments(L, args, kwargs);
  if (n < 0 ||
      (pool_begin(box->pool, &j->flow->draft, string_bytes(L, n)) != 0 &&
       errno != EFBIG)) {
    const char *why = n < 0 ? "too many arguments" : strerror(errno);
    job_abandon(L, job);
    luaL_error(L, n < 0 ? "%s" : "cannot submit: %s", why);
  }
  if (!job_put(L, j, n)) {
    job_abandon(L, job);
    set_origin(L, lua_gettop(L), job, 1, NULL);
    lua_error(L);
  }
  j->fed = 1;
  job_submit(L, j, 1, 1);
}

/* From (pool, fn, label, args, kwargs, opts); the job is on top then. */
static void start_prepared(lua_State *L) {
  enum { FN = 2, LABEL, ARGS, KWARGS, OPTS, JOB };
  PoolBox *box = check_pool(L, 1);
  lua_settop(L, OPTS);
  Definition *fn = check_function(L, box, FN);
  bool plain = lua_isnil(L, OPTS);
  Job *j = new_job(L, JOB_APPLY, plain ? JOB_RESULTS : JOB_HOOKS, 0);
  set_function(L, JOB, fn);
  j->retries = box->retries;
  if (!plain) {
    j->retries = (uint32_t)option(L, OPTS, "retries", box->retries);
    set_hooks(L, JOB, OPTS);
  }
  submit_item(L, box, ARGS, KWARGS);
}

/* Upvalues of a method that goes straight. */
enum {
  STRAIGHT_CACHE = 1, /* of functions */
  STRAIGHT_TYPE,      /* the metatable of pools */
  STRAIGHT_RESULT,    /* that of results */
  STRAIGHT_N,         /* "n" */
  STRAIGHT_PREPARE,   /* for all other calls: the Lua half's */
  STRAIGHT_WAITS,
  STRAIGHT_VALUES = STRAIGHT_WAITS
};

/* A pool of this process that is open, looked at now and then. */
static bool is_straight_pool(lua_State *L) {
  enum { MOST_UNPUMPED = 16 };
  if (!lua_getmetatable(L, 1) ||
      !lua_rawequal(L, -1, lua_upvalueindex(STRAIGHT_TYPE)))
    return false;
  PoolBox *box = lua_touserdata(L, 1);
  if (box->pool == NULL || box->pid != sys_getpid() ||
      pool_is_serial(box->pool))
    return false;
  if (pool_has_next(box->pool) && ++box->unpumped >= MOST_UNPUMPED) {
    box->unpumped = 0;
    pool_pump(L, 1);
  }
  return pool_state(box->pool) == POOL_OPEN;
}

/* The definition of the function at `fn`, if it is known, or NULL. What cannot
** change is known by its address the next time. */
static Definition *find_function(lua_State *L, PoolBox *box, int fn) {
  if (box->straight != NULL && lua_topointer(L, fn) == box->straight) {
    box->straight_fn->refs++;
    return box->straight_fn;
  }
  if (lua_isnil(L, fn))
    return NULL;
  Known known = push_known(L, lua_upvalueindex(STRAIGHT_CACHE), fn);
  if (known == NOT_KNOWN)
    return NULL;
  Definition *d = check_function(L, box, lua_gettop(L) - 1);
  if (known == KNOWN_FOR_EVER) {
    lua_pushvalue(L, fn);
    lua_setiuservalue(L, 1, POOL_STRAIGHT);
    box->straight = lua_topointer(L, fn);
    box->straight_fn = d;
  }
  return d;
}

/* A plain list of a few numbers and short strings becomes a frame. False: it is
** something else. */
static bool put_few(lua_State *L, int args, Buf *b) {
  lua_Unsigned n = 0;
  if (!lua_isnil(L, args)) {
    lua_pushvalue(L, lua_upvalueindex(STRAIGHT_N));
    n = lua_rawlen(L, args);
    if (lua_rawget(L, args) != LUA_TNIL || n > SCALAR_MOST)
      return false;
  }
  if (frame_put(b, (int)n) != 0)
    return false;
  for (lua_Unsigned i = 1; i <= n; i++) {
    lua_rawgeti(L, args, (lua_Integer)i);
    size_t bytes = scalar_append(L, -1, b, CODEC_BYTES);
    if (bytes == 0)
      return false;
    b->len += bytes;
  }
  return true;
}

/* The job is on top then. */
static void start_few(lua_State *L, PoolBox *box, Definition *fn,
                      const Buf *b) {
  Job *j = new_job(L, JOB_APPLY, JOB_BARE, lua_upvalueindex(STRAIGHT_RESULT));
  j->fn = fn;
  j->retries = box->retries;
  j->exhausted = true;
  j->fed = j->chunks = 1;
  Chunk c = {.job = j->id, .first = 1, .count = 1, .attempt = 1, .fn = fn};
  if (pool_submit_bytes(box->pool, b->base, b->len, c) == 0)
    return;
  int error = errno;
  job_abandon(L, lua_gettop(L));
  luaL_error(L, "cannot submit: %s", strerror(error));
}

/* (pool, f, args): the job is on top then, if there is no more to it. */
static bool start_straight(lua_State *L) {
  enum { FN = 2, ARGS, ROOM = 256 };
  uint8_t room[ROOM];
  Buf few;
  int type = lua_type(L, ARGS);
  if ((type != LUA_TTABLE && type != LUA_TNIL) || !is_straight_pool(L))
    return false;
  PoolBox *box = lua_touserdata(L, 1);
  Definition *fn = find_function(L, box, FN);
  if (fn == NULL)
    return false;
  buf_fixed(&few, room, sizeof room);
  if (put_few(L, ARGS, &few)) {
    start_few(L, box, fn, &few);
    return true;
  }
  lua_settop(L, ARGS);
  Job *j =
      new_job(L, JOB_APPLY, JOB_RESULTS, lua_upvalueindex(STRAIGHT_RESULT));
  j->retries = box->retries;
  set_function(L, lua_gettop(L), fn);
  submit_item(L, box, ARGS, 0);
  return true;
}

/* (pool, f, args, kwargs, opts, error_callback). No code of Lua runs between
** start and wait: an interrupt would leave a task that nobody waits for. */
static int m_straight(lua_State *L) {
  enum { ARGS = 3, MOST = 6 };
  bool plain = lua_gettop(L) <= ARGS;
  lua_settop(L, plain ? ARGS : MOST);
  if (!plain || !start_straight(L)) {
    lua_settop(L, plain ? ARGS : MOST);
    lua_pushvalue(L, lua_upvalueindex(STRAIGHT_PREPARE));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    start_prepared(L);
  }
  if (!lua_toboolean(L, lua_upvalueindex(STRAIGHT_WAITS)))
    return 1;
  lua_copy(L, -1, 1);
  lua_settop(L, 1);
  return job_finish(L);
}

/* core.straight(cache, prepare, waits) -> pool:apply, or pool:apply_async;
** prepare(pool, f, args, kwargs, opts, error_callback) checks all that, and
** returns pool, definition, label, args, kwargs, opts. */
int core_straight(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 3);
  lua_pushvalue(L, 1);
  luaL_getmetatable(L, POOL_TYPE);
  luaL_getmetatable(L, RESULT_TYPE);
  lua_pushliteral(L, "n");
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, m_straight, STRAIGHT_VALUES);
  return 1;
}

/* ---- many items ---- */

int core_map(lua_State *L) {
  enum { FN = 2, LABEL, SOURCE, OPTS, JOB };
  PoolBox *box = check_pool(L, 1);
  luaL_checktype(L, OPTS, LUA_TTABLE);
  lua_settop(L, OPTS);
  Definition *fn = check_function(L, box, FN);
  JobKind kind = (JobKind)option(L, OPTS, "kind", JOB_MAP);
  Job *j = new_job(L, kind, JOB_VALUES, 0);
  Flow *f = j->flow;
  set_function(L, JOB, fn);
  f->total = (uint64_t)option(L, OPTS, "total", -1);
  f->chunksize = (uint32_t)option(L, OPTS, "chunksize", 0);
  j->retries = (uint32_t)option(L, OPTS, "retries", box->retries);
  f->window = (uint64_t)option(L, OPTS, "window", 0);
  f->window_bytes = (uint64_t)option(L, OPTS, "window_bytes", 0);
  f->auto_bytes = f->window_bytes == 0;
  if (f->auto_bytes)
    f->window_bytes = POOL_WINDOW_BYTES;
  j->star = flag(L, OPTS, "star");
  j->keep = flag(L, OPTS, "keep");
  j->async = flag(L, OPTS, "async");
  lua_newtable(L);
  if (j->kind == JOB_MAP) { /* the first column is there even for no items */
    job_push_column(L, JOB + 1, 1);
    lua_pop(L, 1);
  }
  lua_setiuservalue(L, JOB, JOB_RESULTS);
  if (j->keep) {
    lua_newtable(L);
    lua_setiuservalue(L, JOB, JOB_ERRORS);
  }
  lua_pushvalue(L, SOURCE);
  lua_setiuservalue(L, JOB, JOB_SOURCE);
  set_hooks(L, JOB, OPTS);
  job_link(j);
  job_feed(L, JOB);
  let_hooks_run(L, JOB);
  job_check_done(L, JOB);
  lua_settop(L, JOB);
  return 1;
}
