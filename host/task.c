/*
** task.c - runs the items of one task in a Lua state: decode, call, encode.
** Runs in: workers, and the parent in serial mode.  Owns: the Lua state.
** A raise inside a task stops here: it becomes a failure frame.
*/
#include "task.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "frame.h"
#include "glimpse.h"
#include "scalar.h"
#include "state.h"
#include "sys.h"

static const CodecOptions options = {.flags =
                                         CODEC_BYTES | CODEC_SHARED_MEMORY};
static const char RUNNER[] = "tidepool.runner"; /* registry key */

enum { MOST_FUNCTIONS = 512 };

/* ---- life ---- */

static void enter(lua_State *L, Runner *r) {
  lua_pushlightuserdata(L, r);
  lua_setfield(L, LUA_REGISTRYINDEX, RUNNER);
}

static int prepare(lua_State *L) {
  Runner *r = lua_touserdata(L, 1);
  enter(L, r);
  lua_newtable(L);
  r->functions = luaL_ref(L, LUA_REGISTRYINDEX);
  r->finalizer = LUA_NOREF;
  return 0;
}

/* 1: the runner, 2: the module */
static int load_own_half(lua_State *L) {
  luaL_requiref(L, CORE_MODULE, lua_tocfunction(L, 2), 0);
  lua_getglobal(L, LUA_OSLIBNAME);
  lua_getfield(L, -2, "exit");
  lua_setfield(L, -2, "exit");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidepool.worker");
  lua_call(L, 1, 0);
  lua_settop(L, 1);
  return prepare(L);
}

static int load_runner(lua_State *L, Runner *r, lua_CFunction module) {
  lua_pushcfunction(L, load_own_half);
  lua_pushlightuserdata(L, r);
  lua_pushcfunction(L, module);
  int status = lua_pcall(L, 2, 0, 0);
  lua_settop(L, 0);
  state_settle(L);
  return status;
}

Runner *runner_new(lua_CFunction module) {
  void *r;
  lua_State *L = state_new(module, sizeof(Runner), &r);
  if (L != NULL && load_runner(L, r, module) == LUA_OK) {
    ((Runner *)r)->L = L;
    return r;
  }
  if (L != NULL)
    lua_close(L);
  return NULL;
}

void runner_borrow(Runner *r, lua_State *L) {
  r->L = L;
  if (r->functions == 0) {
    lua_pushcfunction(L, prepare);
    lua_pushlightuserdata(L, r);
    lua_call(L, 1, 0);
  }
  enter(L, r);
}

void runner_return(lua_State *L, Runner *before) {
  enter(L, before);
}

Runner *runner_of(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, RUNNER);
  Runner *r = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return r;
}

typedef struct Run {
  Runner *runner;
  Task *task;
  Buf *out;
  TaskMeter meter;
  size_t at, size; /* of the item, in args */
  enum { DECODING, CALLING, ENCODING } stage;
  bool failed; /* an item did */
} Run;

/* ---- failures ---- */

/* Appends FRAME_FAILURE and its values, which are on top of the stack. */
static int put_failure(lua_State *L, Buf *out) {
  size_t mark = out->len;
  CodecError err;
  int first = lua_gettop(L) - FAILURE_VALUES + 1;
  if (frame_put(out, FRAME_FAILURE) == 0) {
    CodecStatus status =
        codec_encode(L, first, FAILURE_VALUES, out, &options, &err);
    if (status != CODEC_OK && status != CODEC_FULL) {
      lua_pushvalue(L, first + 1); /* cannot travel: its text can */
      lua_replace(L, first + FAILURE_VALUES - 1);
      status = codec_encode(L, first, FAILURE_VALUES, out, &options, &err);
    }
    if (status == CODEC_OK)
      return 0;
    errno = status == CODEC_FULL ? errno : ENOMEM;
  }
  out->len = mark;
  return -1;
}

/* The same, when none of it can be made. */
static int put_out_of_memory(Buf *out) {
  static const char values[] = "\x45"
                               "error"
                               "\x51"
                               "not enough memory"
                               "\xf6\xf6"
                               "\x51"
                               "not enough memory";
  size_t mark = out->len;
  if (frame_put(out, FRAME_FAILURE) == 0 &&
      buf_append(out, values, sizeof values - 1) == 0)
    return 0;
  out->len = mark;
  return -1;
}

/* Stack: the error of a lua_pcall. Leaves kind, message, traceback, input,
** value. */
static void explain(lua_State *L, int status, const char *kind,
                    const char *input) {
  int error = lua_gettop(L);
  lua_pushnil(L); /* traceback */
  if (status == LUA_ERRRUN && lua_type(L, error) == LUA_TTABLE) {
    lua_rawgeti(L, error, 2);
    lua_replace(L, -2);
    lua_rawgeti(L, error, 1);
    lua_replace(L, error);
  }
  state_describe(L, error);
  lua_pushstring(L, kind);
  lua_insert(L, error); /* kind value traceback message */
  lua_insert(L, -2);    /* kind value message traceback */
  lua_pushstring(L, input);
  lua_pushvalue(L, -4); /* kind value message traceback input value */
  lua_remove(L, -5);
}

typedef struct Failure {
  Runner *runner;
  const Run *run; /* or NULL: it does not start */
  Buf *out;
  int status;
  const char *kind;
} Failure;

static bool widened(Runner *r) {
  return errno == ENOSPC && r->widen != NULL && r->widen(r) == 0;
}

/* 1: the Failure, 2: the error. */
static int tell_all(lua_State *L) {
  const Failure *f = lua_touserdata(L, 1);
  const Task *t = f->runner->task;
  char input[GLIMPSE_ROOM] = "";
  if (f->run != NULL)
    glimpse_frame(t->args + f->run->at, t->args_bytes - f->run->at, input,
                  sizeof input);
  explain(L, f->status, f->kind, input[0] != '\0' ? input : NULL);
  while (put_failure(L, f->out) != 0) {
    if (errno == ENOMEM)
      return luaL_error(L, "not enough memory");
    if (widened(f->runner))
      continue;
    lua_settop(L, 0); /* not even the failure fits: send a short one */
    lua_pushstring(L, f->kind);
    lua_pushliteral(L, "the failure is too large to be sent");
    lua_settop(L, FAILURE_VALUES);
    return put_failure(L, f->out) == 0 ? 0 : luaL_error(L, "no room");
  }
  return 0;
}

/* Of the error on top of the stack, popped. False: it cannot be told at all. */
static bool tell(lua_State *L, Failure *f) {
  size_t mark = f->out->len;
  lua_pushcfunction(L, tell_all);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, f);
  lua_insert(L, -2);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK)
    return true;
  lua_pop(L, 1);
  f->out->len = mark;
  return put_out_of_memory(f->out) == 0;
}

/* ---- the function ---- */

/* Counts one more function at key 0 of the cache at idx; a full cache is
** replaced by an empty one, which is pushed. */
static bool forget_old(lua_State *L, const Runner *r, int idx) {
  idx = lua_absindex(L, idx);
  lua_rawgeti(L, idx, 0);
  lua_Integer n = lua_tointeger(L, -1) + 1;
  lua_pop(L, 1);
  if (n <= MOST_FUNCTIONS) {
    lua_pushinteger(L, n);
    lua_rawseti(L, idx, 0);
    return false;
  }
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawseti(L, LUA_REGISTRYINDEX, r->functions);
  return true;
}

/* Leaves the function as the only value on the stack, or raises. */
static void resolve(lua_State *L, const Runner *r) {
  const Task *t = r->task;
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->functions);
  if (lua_rawgeti(L, -1, (lua_Integer)t->fn) == LUA_TNIL) {
    lua_pop(L, 1);
    CodecError err;
    size_t used;
    if (codec_decode(L, t->definition, t->definition_bytes, &used, 1, &options,
                     &err) != CODEC_OK)
      luaL_error(L, "cannot read the function's definition: %s", err.why);
    if (forget_old(L, r, -2))
      lua_replace(L, -3);
    if (lua_type(L, -1) != LUA_TSTRING) {
      luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
      lua_getfield(L, -1, "tidepool.functions");
      lua_getfield(L, -1, "build");
      lua_pushvalue(L, -4);
      lua_call(L, 1, 1);
      lua_replace(L, -4);
      lua_pop(L, 2);
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, (lua_Integer)t->fn);
  }
  if (lua_type(L, -1) == LUA_TSTRING) { /* a name: looked up each time */
    lua_pushglobaltable(L);
    lua_pushvalue(L, -2);
    if (lua_rawget(L, -2) != LUA_TFUNCTION) {
      lua_pop(L, 1);
      luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
      lua_getfield(L, -1, "tidepool.functions");
      lua_getfield(L, -1, "find");
      lua_pushvalue(L, -5);
      lua_call(L, 1, 1);
    }
  }
  lua_replace(L, 1);
  lua_settop(L, 1);
}

static int resolve_protected(lua_State *L) {
  resolve(L, lua_touserdata(L, 1));
  return 1;
}

/* A function that was built before is there, and needs no protection. */
static bool push_built(lua_State *L, const Runner *r) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->functions);
  if (lua_rawgeti(L, -1, (lua_Integer)r->task->fn) == LUA_TFUNCTION) {
    lua_replace(L, -2);
    return true;
  }
  lua_pop(L, 2);
  return false;
}

static int push_function(lua_State *L, Runner *r) {
  if (push_built(L, r))
    return LUA_OK;
  lua_pushcfunction(L, resolve_protected);
  lua_pushlightuserdata(L, r);
  return lua_pcall(L, 1, 1, 1);
}

/* ---- items ---- */

/* The error on top of the stack, popped. */
static void fail_item(lua_State *L, Run *run, int status, const char *kind) {
  run->failed = true;
  if (tell(L, &(Failure){run->runner, run, run->out, status, kind}))
    return;
  if (run->runner->number == 0)
    luaL_error(L, "not enough memory");
  sys_exit(70); /* repaired as a death: this item is lost, and says so */
}

static void push_too_large(lua_State *L, Run *run, int n) {
  Buf count;
  CodecError err;
  buf_count(&count);
  if (codec_encode(L, lua_gettop(L) - n + 1, n, &count, &options, &err) !=
      CODEC_OK)
    count.len = run->runner->most_bytes;
  char text[160];
  snprintf(text, sizeof text,
           "cannot send results of %zu bytes: a worker's window has %zu bytes",
           count.len, run->runner->most_bytes);
  lua_pushstring(L, text);
}

/* The n values on top become a frame. */
static void put_results(lua_State *L, Run *run, int n) {
  CodecError err;
  CodecStatus status;
  Buf *out = run->out;
  size_t mark = out->len;
  if (n == 1 && frame_put(out, n) == 0 && scalar_put_number(L, out))
    return;
  int first = lua_gettop(L) - n + 1;
  do {
    out->len = mark;
    status = CODEC_FULL;
    if (frame_put(out, n) == 0)
      status = codec_encode(L, first, n, out, &options, &err);
  } while (status == CODEC_FULL && widened(run->runner));
  if (status == CODEC_OK)
    return;
  out->len = mark;
  if (status == CODEC_FULL && errno == ENOMEM)
    lua_pushfstring(L, "cannot send the results: %s", strerror(errno));
  else if (status == CODEC_FULL)
    push_too_large(L, run, n);
  else
    lua_pushfstring(L, "cannot send result %d%s: %s", err.value, err.path,
                    err.why);
  fail_item(L, run, LUA_OK, "encode");
}

static void step(Run *run, bool running) {
  Task *t = run->task;
  atomic_store_explicit(run->meter.result_bytes, run->out->len,
                        memory_order_release);
  atomic_store_explicit(run->meter.progress, 2 * t->finished + running,
                        memory_order_release);
}

/* Pushes the arguments of the next item; their number, or -1: a failure is
** written. */
static int take_arguments(lua_State *L, Run *run) {
  const Task *t = run->task;
  size_t used = 0;
  CodecError err;
  const uint8_t *at = t->args + run->at;
  size_t left = t->args_bytes - run->at;
  int n = frame_get(at, left, &used);
  size_t body = 0;
  if ((n == 1 && scalar_push_one(L, at + used, left - used, &body)) ||
      (n >= 0 && codec_decode_raw(L, at + used, left - used, &body, n, &options,
                                  &err) == CODEC_OK)) {
    run->size = used + body;
    return n;
  }
  run->size = frame_skip(at, left, 1);
  if (n >= 0)
    lua_pushfstring(L, "cannot decode the arguments: %s", err.why);
  else
    lua_pushliteral(L, "cannot decode the arguments: no frame");
  fail_item(L, run, LUA_OK, "decode");
  return -1;
}

/* What a task left behind in the state must not meet the next one. */
static void tidy(const Runner *r) {
  if (r->number == 0)
    return; /* serial mode: hook and collector are the user's */
  lua_sethook(r->L, NULL, 0, 0);
  if (!lua_gc(r->L, LUA_GCISRUNNING))
    lua_gc(r->L, LUA_GCRESTART);
}

/*
** The items run in one protected call together, which saves one for each of
** them; what raises ends it, is that item's failure, and the next one begins
** another.  `stage` tells whose raise it was.
*/
enum { RUN = 1, FUNCTION = 2 }; /* stack places */

/* fflush writes to its stream, and so copies pages, even if it is empty. */
static void flush(FILE *f) {
  if (__fpending(f) > 0)
    fflush(f);
}

/* What an item printed is written, at the latest, with its chunk's last one;
** that nobody reads it is no failure. */
static void check_output(lua_State *L, const Run *run) {
  if (run->task->finished + 1 == run->task->count)
    flush(stdout);
  if (run->runner->number > 0 && ferror(stdout) && !sys_is_unread(1))
    luaL_error(L, "cannot write standard output");
}

static void run_item(lua_State *L, Run *run) {
  run->stage = DECODING;
  lua_pushvalue(L, FUNCTION);
  int n = take_arguments(L, run);
  if (n < 0)
    return;
  run->stage = CALLING;
  lua_call(L, n, LUA_MULTRET);
  check_output(L, run);
  run->stage = ENCODING;
  if (lua_gethook(L) != NULL)
    tidy(run->runner);
  put_results(L, run, lua_gettop(L) - FUNCTION);
}

static void end_item(Run *run) {
  run->at += run->size;
  run->task->finished++;
  run->runner->items_left--;
  step(run, false);
}

/* What is claimed has begun: its first item runs in any case. */
static bool has_next(const Run *run) {
  const Task *t = run->task;
  if (t->finished == t->count || run->runner->items_left == 0)
    return false;
  if (t->finished == 0)
    return true;
  return !(run->failed && t->stops) &&
         atomic_load_explicit(run->meter.cut, memory_order_relaxed) == 0;
}

static int run_items(lua_State *L) {
  Run *run = lua_touserdata(L, RUN);
  while (has_next(run)) {
    step(run, true);
    run_item(L, run);
    lua_settop(L, FUNCTION);
    end_item(run);
  }
  return 0;
}

/* Stack: the handler, the function. */
static void run_all(lua_State *L, Run *run) {
  Task *t = run->task;
  while (has_next(run)) {
    lua_settop(L, 2);
    lua_pushcfunction(L, run_items);
    lua_pushlightuserdata(L, run);
    lua_pushvalue(L, 2);
    int status = lua_pcall(L, 2, 0, 1);
    if (status == LUA_OK)
      return;
    tidy(run->runner);
    run->out->len = atomic_load(run->meter.result_bytes); /* whole items */
    fail_item(L, run, status, run->stage == CALLING ? "error" : "decode");
    if (run->stage == DECODING)
      run->size = frame_skip(t->args + run->at, t->args_bytes - run->at, 1);
    end_item(run);
  }
}

/* The rest of the items get the error on top of the stack. */
static void fail_rest(lua_State *L, Run *run, int status, const char *kind) {
  Task *t = run->task;
  int error = lua_gettop(L);
  while (t->finished < t->count) {
    lua_pushvalue(L, error);
    fail_item(L, run, status, kind);
    lua_settop(L, error);
    run->at += frame_skip(t->args + run->at, t->args_bytes - run->at, 1);
    t->finished++;
    step(run, false);
  }
}

void runner_run(Runner *r, Task *task, Buf *out, TaskMeter meter) {
  lua_State *L = r->L;
  Run run = {.runner = r, .task = task, .out = out, .meter = meter};
  r->task = task;
  task->finished = 0;
  step(&run, true); /* to find the function runs code of the user, too */
  tidy(r);
  lua_settop(L, 0);
  lua_pushcfunction(L, state_on_error);
  int status = push_function(L, r);
  if (status == LUA_OK)
    run_all(L, &run);
  else
    fail_rest(L, &run, status, "unknown_function");
  lua_settop(L, 0);
  r->task = NULL;
  flush(stdout);
  flush(stderr);
}

/* ---- start and end of a worker ---- */

/* 1: the runner, 2: the brief. worker.start(options) -> finalizer */
static int start(lua_State *L) {
  Runner *r = lua_touserdata(L, 1);
  const Buf *brief = lua_touserdata(L, 2);
  size_t used;
  CodecError err;
  if (r->number > 0)
    state_reseed(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidepool.worker");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "start");
  if (codec_decode(L, brief->base, brief->len, &used, 1, &options, &err) !=
      CODEC_OK)
    return luaL_error(L, "cannot read the pool's options: %s", err.why);
  lua_call(L, 1, 1);
  r->finalizer = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int runner_start(Runner *r, const uint8_t *brief, size_t bytes, Buf *failure) {
  lua_State *L = r->L;
  Buf text = {.base = (uint8_t *)(uintptr_t)brief, .len = bytes};
  lua_settop(L, 0);
  lua_pushcfunction(L, state_on_error);
  lua_pushcfunction(L, start);
  lua_pushlightuserdata(L, r);
  lua_pushlightuserdata(L, &text);
  int status = lua_pcall(L, 2, 0, 1);
  if (status != LUA_OK)
    tell(L, &(Failure){r, NULL, failure, status, "initializer"});
  lua_settop(L, 0);
  flush(stdout);
  return status == LUA_OK ? 0 : -1;
}

void runner_finish(Runner *r) {
  lua_State *L = r->L;
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->finalizer);
  if (!lua_isnil(L, 1) && lua_pcall(L, 0, 0, 0) != LUA_OK) {
    state_describe(L, -1);
    fprintf(stderr, "tidepool: finalizer: %s\n", lua_tostring(L, -1));
  }
  lua_settop(L, 0);
}

void runner_leave(Runner *r) {
  runner_finish(r);
  state_leave(r->L);
}
