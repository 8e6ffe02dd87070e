/*
** lua_job.c - finished chunks become a job's results.
** Runs in: parent.  Owns: the blocks that iterators have not taken yet.
**
** Book-keeping is done before any code of the user runs.  What a chunk did
** not finish is decided here, item by item: an item that had been started by
** a worker that died is lost (or tried again), the ones behind it run again.
*/
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "frame.h"
#include "glimpse.h"
#include "head.h"
#include "lua_pool.h"
#include "scalar.h"
#include "state.h"
#include "sys.h"

static const CodecOptions options = {.flags =
                                         CODEC_BYTES | CODEC_SHARED_MEMORY};

/* ---- error objects ---- */

void push_error(lua_State *L, const char *kind, const char *message) {
  lua_createtable(L, 0, 10);
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, message);
  lua_setfield(L, -2, "message");
  luaL_setmetatable(L, ERROR_TYPE);
}

void wrap_failure(lua_State *L) {
  static const char *const fields[] = {"kind", "message", "traceback", "input",
                                       "value"};
  int first = lua_gettop(L) - FAILURE_VALUES + 1;
  lua_createtable(L, 0, 10);
  for (int i = 0; i < FAILURE_VALUES; i++) {
    lua_pushvalue(L, first + i);
    lua_setfield(L, -2, fields[i]);
  }
  luaL_setmetatable(L, ERROR_TYPE);
  lua_replace(L, first);
  lua_settop(L, first);
}

static void set_integer(lua_State *L, int t, const char *key, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, t, key);
}

void job_push_label(lua_State *L, int job) {
  const Job *j = lua_touserdata(L, job);
  if (j->bare)
    lua_pushstring(L, j->fn != NULL ? j->fn->label : NULL);
  else
    lua_getiuservalue(L, job, JOB_LABEL);
}

void set_origin(lua_State *L, int error, int job, uint64_t index,
                const Finished *f) {
  set_integer(L, error, "index", (lua_Integer)index);
  job_push_label(L, job);
  lua_setfield(L, error, "task");
  if (f == NULL)
    return;
  uint32_t attempt = index == f->chunk.first ? f->chunk.attempt : 1;
  if (f->worker > 0)
    set_integer(L, error, "worker", f->worker);
  set_integer(L, error, "pid", f->pid);
  set_integer(L, error, "attempt", attempt);
}

/* What the item was, from the arguments that are still there. */
static void set_input(lua_State *L, int error, const Pool *p, const Chunk *c,
                      uint64_t index) {
  char input[GLIMPSE_ROOM];
  const uint8_t *args = pool_arguments(p, c);
  size_t at = frame_skip(args, c->bytes, (uint32_t)(index - c->first));
  glimpse_frame(args + at, c->bytes - at, input, sizeof input);
  lua_pushstring(L, input[0] != '\0' ? input : NULL);
  lua_setfield(L, error, "input");
}

const char *push_end(lua_State *L, int why) {
  int number = sys_why_signal(why);
  return number > 0
             ? lua_pushfstring(L, "was killed by %s", sys_signal_name(number))
             : lua_pushfstring(L, "exited with status %d", sys_why_status(why));
}

static void push_lost(lua_State *L, int job, uint64_t index,
                      const Finished *f) {
  int error = lua_gettop(L) + 1, number = sys_why_signal(f->why);
  job_push_label(L, job);
  const char *label = lua_tostring(L, -1);
  if (strncmp(label, "function <", strlen("function <")) != 0)
    label = lua_pushfstring(L, "\"%s\"", label);
  const char *end = push_end(L, f->why);
  push_error(L, "lost",
             lua_pushfstring(L,
                             "worker %d (pid %d) %s while running item %I of "
                             "%s",
                             (int)f->worker, f->pid, end, (lua_Integer)index,
                             label));
  lua_replace(L, error);
  lua_settop(L, error);
  set_origin(L, error, job, index, f);
  const Job *j = lua_touserdata(L, job);
  set_input(L, error, j->box->pool, &f->chunk, index);
  if (number > 0)
    set_integer(L, error, "signal", number);
  else
    set_integer(L, error, "status", sys_why_status(f->why));
}

/* ---- the end of a job ---- */

/* Without memory the key is not used again. */
static void spare_key(PoolBox *box, lua_Integer key) {
  if (box->n_spare == box->spare_room) {
    uint32_t room = box->spare_room > 0 ? 2 * box->spare_room : 16;
    uint32_t *more = realloc(box->spare_key, room * sizeof *more);
    if (more == NULL)
      return;
    box->spare_key = more;
    box->spare_room = room;
  }
  box->spare_key[box->n_spare++] = (uint32_t)key;
}

/* From the pool's list of jobs at `list`. */
static void strike(lua_State *L, int list, Job *j) {
  lua_Integer key = job_key(j->id);
  lua_pushnil(L);
  lua_rawseti(L, list, key);
  spare_key(j->box, key);
}

void job_forget(lua_State *L, int job) {
  enum { LIST = 2 };
  Job *j = lua_touserdata(L, job);
  int top = lua_gettop(L);
  lua_Integer key = job_key(j->id);
  if (j->bare && j->done)
    return; /* its pool has made room for the result */
  lua_getiuservalue(L, job, JOB_POOL);
  lua_getiuservalue(L, -1, key != 0 ? POOL_JOBS : POOL_ITERATORS);
  if (key == 0) {
    lua_pushnil(L);
    lua_rawseti(L, top + LIST, (lua_Integer)j->id);
  } else if (lua_rawgeti(L, top + LIST, key) == LUA_TUSERDATA &&
             lua_touserdata(L, -1) == j) {
    strike(L, top + LIST, j);
  }
  lua_settop(L, top);
}

/* An interrupt is no failure of a callback or an input: it is raised where Lua
** code of the program goes on. Such an error shows in a hook that is another
** one than before. */
static const char INTERRUPT[] = "tidepool.interrupt"; /* registry key */

static void raise_interrupt(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  lua_rawgetp(L, LUA_REGISTRYINDEX, INTERRUPT);
  lua_error(L);
}

/* With the error on top of the stack (popped). */
static void put_off(lua_State *L) {
  lua_rawsetp(L, LUA_REGISTRYINDEX, INTERRUPT);
  lua_sethook(L, raise_interrupt, LUA_MASKCOUNT, 1);
}

bool job_put_off_interrupt(lua_State *L, lua_Hook before) {
  if (lua_gethook(L) == before)
    return false;
  lua_pushvalue(L, -1);
  put_off(L);
  return true;
}

/* hooks[name](the n values on top), once, in protected mode; pops them. */
static void call_hook(lua_State *L, int job, const char *name, int n) {
  int first = lua_gettop(L) - n + 1;
  lua_getiuservalue(L, job, JOB_HOOKS);
  if (lua_getfield(L, -1, name) == LUA_TNIL) {
    lua_settop(L, first - 1);
    return;
  }
  lua_insert(L, first);
  lua_pop(L, 1);
  lua_Hook before = lua_gethook(L);
  if (lua_pcall(L, n, 0, 0) != LUA_OK) {
    if (!job_put_off_interrupt(L, before))
      state_warn(L, name);
    lua_settop(L, first - 1);
  }
}

static int push_all(lua_State *L, int n) {
  int list = lua_gettop(L);
  luaL_checkstack(L, n, "too many results");
  for (int i = 1; i <= n; i++)
    lua_rawgeti(L, list, i);
  lua_remove(L, list);
  return n;
}

static int results_of(const Job *j) {
  return j->bare ? JOB_BARE : JOB_RESULTS;
}

/* One value stands for itself, several stand in a table. */
int job_push_results(lua_State *L, int job) {
  const Job *j = lua_touserdata(L, job);
  int type = lua_getiuservalue(L, job, results_of(j));
  if (j->kind == JOB_APPLY)
    return j->values == 1 ? 1 : push_all(L, j->values);
  return push_all(L, type == LUA_TTABLE ? (int)lua_rawlen(L, -1) : 0);
}

/* The error that get() raises: of the lowest item, else of the input. */
bool job_push_error(lua_State *L, int job) {
  const Job *j = lua_touserdata(L, job);
  if (j->failed == 0 && !j->fatal)
    return false;
  if (j->kind == JOB_APPLY) {
    lua_getiuservalue(L, job, results_of(j));
    return true;
  }
  if (j->failed > 0 && !j->keep) {
    lua_getiuservalue(L, job, JOB_ERRORS);
    lua_rawgeti(L, -1, (lua_Integer)j->flow->lowest_failed);
    lua_remove(L, -2);
    return true;
  }
  if (j->fatal)
    lua_getiuservalue(L, job, JOB_FATAL);
  return j->fatal;
}

/* `list`: as for strike, or 0. */
static void complete(lua_State *L, int job, Job *j, int list) {
  j->done = true;
  job_unlink(j);
  if (j->fn != NULL)
    pool_undefine(j->box->pool, j->fn);
  j->fn = NULL;
  if (j->kind == JOB_MAP) {
    lua_getiuservalue(L, job, JOB_RESULTS);
    lua_rawgeti(L, -1, 1);
    set_integer(L, lua_gettop(L), "n", (lua_Integer)j->settled);
    if (j->keep) {
      lua_getiuservalue(L, job, JOB_ERRORS);
      lua_setfield(L, -2, "errors");
    }
    lua_pop(L, 2);
  }
  if (list != 0 && job_key(j->id) != 0)
    strike(L, list, j);
  else
    job_forget(L, job);
}

static void check_done(lua_State *L, int job, Job *j, int list) {
  if (j->done || !j->exhausted || j->settled < j->fed)
    return;
  complete(L, job, j, list);
  if (!j->hooked)
    return;
  if (job_push_error(L, job))
    call_hook(L, job, "error_callback", 1);
  else
    call_hook(L, job, "callback", job_push_results(L, job));
}

void job_check_done(lua_State *L, int job) {
  check_done(L, job, lua_touserdata(L, job), 0);
}

void job_set_fatal(lua_State *L, int job) {
  Job *j = lua_touserdata(L, job);
  lua_setiuservalue(L, job, j->kind == JOB_APPLY ? results_of(j) : JOB_FATAL);
  j->fatal = true;
}

void job_end(lua_State *L, int job) {
  Job *j = lua_touserdata(L, job);
  job_forget(L, job);
  job_set_fatal(L, job);
  if (j->kind < JOB_ORDERED)
    j->failed = 0; /* the end is what get() tells */
  job_unlink(j);
  j->exhausted = j->done = true;
}

/* ---- single items ---- */

/* The error on top of the stack, popped. */
static void keep_error(lua_State *L, int job, uint64_t index) {
  const Job *j = lua_touserdata(L, job);
  if (j->kind == JOB_APPLY) {
    lua_setiuservalue(L, job, results_of(j));
    return;
  }
  if (lua_getiuservalue(L, job, JOB_ERRORS) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, job, JOB_ERRORS);
  }
  lua_insert(L, -2);
  lua_rawseti(L, -2, (lua_Integer)index);
  lua_pop(L, 1);
}

void job_fail(lua_State *L, int job, uint64_t index) {
  Job *j = lua_touserdata(L, job);
  keep_error(L, job, index);
  if (!j->bare && (j->failed == 0 || index < j->flow->lowest_failed))
    j->flow->lowest_failed = index;
  j->failed++;
  j->settled++;
  if (j->kind >= JOB_ORDERED) {
    job_queue_local(L, j, index);
  } else if (!j->keep && !j->dropped) {
    j->dropped = j->exhausted = true; /* nothing more is begun */
    job_unlink(j);
    j->fed -= pool_revoke(j->box->pool, j->id);
  }
}

void job_push_column(lua_State *L, int results, int k) {
  if (lua_rawgeti(L, results, k) == LUA_TTABLE)
    return;
  const Job *j = lua_touserdata(L, results - 1);
  bool presize = j->flow->total < 1 << 26; /* and known */
  lua_pop(L, 1);
  lua_createtable(L, presize ? (int)j->flow->total : 0, 0);
  lua_pushvalue(L, -1);
  lua_rawseti(L, results, k);
}

/* apply: the n values on top, popped. */
static void store_values(lua_State *L, int job, Job *j, int n) {
  if (n != 1) {
    lua_createtable(L, n, 0);
    lua_insert(L, -n - 1);
    int list = lua_gettop(L) - n;
    for (int i = n; i >= 1; i--)
      lua_rawseti(L, list, i);
  }
  lua_setiuservalue(L, job, results_of(j));
  j->values = n;
}

/* map: the n values on top are item `index`'s; pops them. */
static void store_row(lua_State *L, int results, uint64_t index, int n) {
  int first = lua_gettop(L) - n + 1;
  for (int k = 2; k <= n; k++) {
    job_push_column(L, results, k);
    lua_pushvalue(L, first + k - 1);
    lua_rawseti(L, -2, (lua_Integer)index);
    lua_pop(L, 1);
  }
  lua_settop(L, first - (n == 0));
  if (n > 0)
    lua_rawseti(L, results + 1, (lua_Integer)index);
}

/* ---- frames ---- */

/* One frame of `size` bytes: pushes its values, or an error object. Their
** number, or -1. May raise a memory error. */
int push_frame(lua_State *L, const uint8_t *bytes, size_t size, size_t *used) {
  size_t head = 0, body = 0;
  CodecError err;
  int n = frame_get(bytes, size, &head);
  if (n == 1 && scalar_push_one(L, bytes + head, size - head, &body)) {
    *used = head + body;
    return 1;
  }
  int values = n == FRAME_FAILURE ? FAILURE_VALUES : n;
  if (n == FRAME_BAD || (values > 4 && !lua_checkstack(L, values + 4))) {
    *used = frame_skip(bytes, size, 1);
    push_error(L, "decode", "cannot decode the results: no frame");
    return -1;
  }
  if (codec_decode_raw(L, bytes + head, size - head, &body, values, &options,
                       &err) != CODEC_OK) {
    *used = frame_skip(bytes, size, 1); /* all, if it is not whole */
    lua_pushfstring(L, "cannot decode the results: %s", err.why);
    push_error(L, "decode", lua_tostring(L, -1));
    lua_remove(L, -2);
    return -1;
  }
  *used = head + body;
  if (n != FRAME_FAILURE)
    return n;
  wrap_failure(L);
  return -1;
}

/* From where it was broken off. */
static void store_items(lua_State *L, int job, Job *j, Settling *s) {
  const Finished *f = &s->finished;
  int results = job + 1;
  if (j->kind == JOB_MAP) {
    lua_getiuservalue(L, job, JOB_RESULTS);
    job_push_column(L, results, 1);
  }
  int top = lua_gettop(L);
  while (s->item < f->result.finished) {
    uint64_t index = f->chunk.first + s->item;
    size_t used;
    int n =
        push_frame(L, f->result.bytes + s->at, f->result.size - s->at, &used);
    if (n < 0) {
      set_origin(L, lua_gettop(L), job, index, f);
      job_fail(L, job, index);
    } else {
      if (j->kind == JOB_MAP)
        store_row(L, results, index, n);
      else
        store_values(L, job, j, n);
      j->settled++;
    }
    lua_settop(L, top);
    s->at += used;
    s->item++;
  }
}

/* Out of memory, or a decode hook raised `error`: that item fails. */
static void fail_decoding(lua_State *L, int job, Settling *s, int error) {
  const Finished *f = &s->finished;
  uint64_t index = f->chunk.first + s->item;
  lua_pushfstring(L, "cannot decode the results: %s", lua_tostring(L, error));
  push_error(L, "decode", lua_tostring(L, -1));
  lua_remove(L, -2);
  set_origin(L, lua_gettop(L), job, index, f);
  job_fail(L, job, index);
  s->at += frame_skip(f->result.bytes + s->at, f->result.size - s->at, 1);
  s->item++;
}

/* ---- blocks ---- */

static void queue_block(Job *j, Block *b) {
  Block **at = j->kind == JOB_ORDERED ? &j->flow->first : j->flow->last;
  if (j->kind == JOB_ORDERED && j->flow->first != NULL) {
    Block *newest =
        (Block *)(void *)((char *)j->flow->last - offsetof(Block, next));
    if (newest->first < b->first)
      at = j->flow->last;
  }
  while (*at != NULL && (*at)->first < b->first)
    at = &(*at)->next;
  b->next = *at;
  *at = b;
  if (b->next == NULL)
    j->flow->last = &b->next;
}

static Block *new_block(lua_State *L, const Finished *f, size_t size) {
  Block *b = malloc(sizeof *b + size);
  if (b == NULL)
    luaL_error(L, "not enough memory");
  *b = (Block){.size = size};
  if (f != NULL) {
    b->first = f->chunk.first;
    b->count = f->result.finished;
    b->attempt = f->chunk.attempt;
    b->worker = f->worker;
    b->pid = f->pid;
    memcpy(b->bytes, f->result.bytes, size);
  }
  return b;
}

void job_queue_local(lua_State *L, Job *j, uint64_t index) {
  Block *b = new_block(L, NULL, 0);
  b->first = index;
  b->count = 1;
  b->local = true;
  queue_block(j, b);
}

/* One long string is decoded where it lies, which saves a copy. */
static bool is_long_string(const Finished *f) {
  enum { LONG = 1 << 14 };
  const uint8_t *b = f->result.bytes;
  return f->result.finished == 1 && f->result.size >= LONG && b[0] == 1 &&
         (b[1] >> 5 == MAJOR_BYTES || b[1] >> 5 == MAJOR_TEXT);
}

/* False when it is none, and is to be told as an error in its turn. */
static bool queue_string(lua_State *L, int job, const Finished *f) {
  Job *j = lua_touserdata(L, job);
  int top = lua_gettop(L);
  size_t used;
  lua_getiuservalue(L, job, JOB_RESULTS);
  if (push_frame(L, f->result.bytes, f->result.size, &used) == 1) {
    lua_rawseti(L, top + 1, (lua_Integer)f->chunk.first);
    Block *b = new_block(L, NULL, 0);
    b->first = f->chunk.first;
    b->count = 1;
    b->decoded = true;
    b->size = f->result.size;
    queue_block(j, b);
  }
  bool done = lua_gettop(L) == top + 1;
  lua_settop(L, top);
  return done;
}

static void queue_all(lua_State *L, int job, const Finished *f) {
  Job *j = lua_touserdata(L, job);
  if (f->result.finished == 0)
    return;
  if (!is_long_string(f) || !queue_string(L, job, f))
    queue_block(j, new_block(L, f, f->result.size));
  j->settled += f->result.finished;
  j->bytes += f->result.size;
}

/* ---- a finished chunk ---- */

static void measure(Job *j, const Finished *f) {
  if (f->result.finished == 0)
    return;
  double now = (double)f->busy_ns / f->result.finished;
  j->flow->ns_per_item =
      j->flow->ns_per_item > 0 ? (j->flow->ns_per_item + now) / 2 : now;
  now = (double)f->result.size / f->result.finished;
  j->flow->result_bytes =
      j->flow->result_bytes > 0 ? (j->flow->result_bytes + now) / 2 : now;
}

/* How many items of the chunk are settled, and what becomes of the rest. */
static uint32_t judge(lua_State *L, int job, Job *j, const Finished *f,
                      uint32_t *attempt) {
  uint32_t used = f->result.finished;
  *attempt = used == 0 ? f->chunk.attempt : 1;
  if (f->result.state == SLOT_LOST && f->result.running &&
      used < f->chunk.count) {
    if (*attempt <= j->retries && !j->dropped) {
      ++*attempt;
    } else {
      uint64_t index = f->chunk.first + used++;
      push_lost(L, job, index, f);
      job_fail(L, job, index);
      *attempt = 1;
    }
  }
  if (j->dropped && used < f->chunk.count) {
    j->fed -= f->chunk.count - used;
    used = f->chunk.count;
  }
  return used;
}

static void report_progress(lua_State *L, int job) {
  const Job *j = lua_touserdata(L, job);
  lua_pushinteger(L, (lua_Integer)j->settled);
  if (j->flow->total != UINT64_MAX || j->exhausted)
    lua_pushinteger(L, (lua_Integer)(j->exhausted ? j->fed : j->flow->total));
  else
    lua_pushnil(L);
  call_hook(L, job, "progress", 2);
}

/* False: there was no memory to keep what is left of it. */
static bool give_back(Settling *s, uint32_t used, uint32_t attempt) {
  if (s->stage == SETTLING_NOTHING)
    return true;
  s->stage = SETTLING_NOTHING;
  return pool_settle(s->box->pool, &s->finished, used, attempt);
}

/* The pool's list of jobs is at job - 1. */
static void settle_chunk(lua_State *L, int job, Job *j, Settling *s) {
  const Finished *f = &s->finished;
  uint32_t attempt;
  if (s->stage == SETTLING_BEGUN) {
    if (!j->bare)
      measure(j, f);
    j->chunks--;
    j->bytes -= f->chunk.bytes < j->bytes ? f->chunk.bytes : j->bytes;
  }
  if (j->kind >= JOB_ORDERED) {
    queue_all(L, job, f);
  } else {
    s->stage = SETTLING_STORES;
    store_items(L, job, j, s);
  }
  s->stage = SETTLING_STORED;
  uint32_t used = judge(L, job, j, f, &attempt);
  if (used < f->chunk.count)
    j->chunks++;
  if (!give_back(s, used, attempt)) {
    lua_pushliteral(L, "not enough memory"); /* Lua always has this one */
    job_end(L, job);
    return;
  }
  if (j->hooked)
    report_progress(L, job);
  check_done(L, job, j, job - 1);
}

static bool has_long_string(const Job *taker) {
  const Block *b = taker != NULL ? job_ready_block(taker) : NULL;
  return b != NULL && b->decoded;
}

static bool next_chunk(Settling *s) {
  if (has_long_string(s->taker) || !pool_next(s->box->pool, &s->finished))
    return false;
  s->stage = SETTLING_BEGUN;
  s->item = 0;
  s->at = 0;
  s->any = true;
  return true;
}

/* Pushes the job of what is held, from the list or, of an iterator, from the
** pool; NULL: it is no more. */
static Job *push_held(lua_State *L, const Settling *s, int pool, int list) {
  uint64_t id = s->finished.chunk.job;
  if (job_key(id) == 0)
    pool_push_job(L, pool, id);
  else
    lua_rawgeti(L, list, job_key(id));
  Job *j = lua_touserdata(L, -1);
  return j != NULL && j->id == id ? j : NULL;
}

/* 1: the Settling, 2: the pool, 3: nil, or the error an item fails with. */
static int settle_on(lua_State *L) {
  enum { POOL = 2, FAILS, LIST, JOB };
  Settling *s = lua_touserdata(L, 1);
  Job *j;
  lua_getiuservalue(L, POOL, POOL_JOBS);
  while (s->stage != SETTLING_NOTHING || next_chunk(s)) {
    if ((j = push_held(L, s, POOL, LIST)) != NULL) {
      if (s->stage == SETTLING_STORES && !lua_isnil(L, FAILS)) {
        s->stage = SETTLING_STORED;
        fail_decoding(L, JOB, s, FAILS);
        lua_pushnil(L);
        lua_replace(L, FAILS);
      }
      settle_chunk(L, JOB, j, s);
    }
    give_back(s, s->finished.chunk.count, 1); /* if nobody wants it any more */
    lua_settop(L, LIST);
  }
  return 0;
}

void job_end_held(lua_State *L, int pool, Settling *s) {
  int error = lua_gettop(L);
  bool held = s->stage != SETTLING_NOTHING;
  give_back(s, s->finished.chunk.count, 1);
  held = held && pool_push_job(L, pool, s->finished.chunk.job) == LUA_TUSERDATA;
  lua_pushvalue(L, error);
  if (!held)
    lua_error(L);
  job_end(L, error + 1);
}

/*
** One protected call for all of them.  What breaks it off while values are
** made, or nothing is held, may be a hook, by which a signal's handler raises:
** it is tried again, and the error raised where Lua goes on.  Else it is the
** failure of one item, or, without memory, the end of that job.
*/
void job_settle_all(lua_State *L, int pool, Settling *s) {
  int status, first = lua_gettop(L) + 1;
  enum { LATE, FAILS, RAISED };
  lua_settop(L, first + FAILS);
  for (;;) {
    lua_pushcfunction(L, settle_on);
    lua_pushlightuserdata(L, s);
    lua_pushvalue(L, pool);
    lua_pushvalue(L, first + FAILS);
    if ((status = lua_pcall(L, 3, 0, 0)) == LUA_OK)
      break;
    bool stores = s->stage == SETTLING_STORES;
    bool is_first = lua_isnil(L, first + LATE);
    if (status == LUA_ERRRUN && is_first &&
        (stores || s->stage == SETTLING_NOTHING)) {
      lua_replace(L, first + LATE);
      continue;
    }
    if (stores)
      lua_copy(L, first + RAISED, first + FAILS);
    else
      job_end_held(L, pool, s);
    lua_settop(L, first + FAILS);
  }
  lua_settop(L, first + LATE);
  if (!lua_isnil(L, first + LATE))
    put_off(L);
  lua_settop(L, first - 1);
}
