/*
** lua_feed.c - a job's input becomes chunks.
** Runs in: parent.  Owns: the draft of a job.
**
** Input is read one item at a time, here alone, and never more than the
** window ahead.  A chunk is a means of transport: how many items it has
** follows from how long items took so far.
*/
#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "codec.h"
#include "frame.h"
#include "lua_pool.h"
#include "scalar.h"

static const CodecOptions options = {.flags = CODEC_BYTES};

enum {
  TARGET_NS = 1000000, /* a chunk's time in a worker */
  MOST_IN_CHUNK = 8192,
  PER_WORKER = 2,   /* chunks in flight, adaptive */
  BURST = 256,      /* chunks in flight, given chunksize */
  ASYNC_PARTS = 64, /* per worker, when nothing is measured */
  AUTO_WINDOW = 4,  /* chunks read ahead per worker */
  WARM_BYTES = 4 << 20
};

/* ---- how much ---- */

static uint64_t divide_up(uint64_t n, uint64_t by) {
  return (n + by - 1) / by;
}

/* What one worker runs at most in its life bounds a chunk as well. */
static uint32_t chunk_items(const Job *j) {
  const Flow *f = j->flow;
  uint64_t n = 1, workers = pool_size(j->box->pool);
  bool known = f->total != UINT64_MAX;
  uint64_t left = known ? f->total - j->fed : UINT64_MAX;
  if (f->chunksize > 0)
    n = f->chunksize;
  else if (f->ns_per_item > 0)
    n = (uint64_t)(TARGET_NS / f->ns_per_item);
  else if (j->async && known)
    n = divide_up(f->total, workers * ASYNC_PARTS);
  if (f->chunksize == 0 && known && n > divide_up(left, PER_WORKER * workers))
    n = divide_up(left, PER_WORKER * workers);
  uint64_t most = f->chunksize == 0 ? pool_max_items(j->box->pool) : 0;
  if (most > 0 && n > most)
    n = most;
  if (f->window > 0 && n > f->window)
    n = f->window;
  if (f->chunksize == 0 && n > MOST_IN_CHUNK)
    n = MOST_IN_CHUNK;
  double most_bytes = (double)f->window_bytes / (double)(2 * workers);
  if (j->kind >= JOB_ORDERED && (double)n * f->result_bytes > most_bytes)
    n = (uint64_t)(most_bytes / f->result_bytes);
  return n < 1 ? 1 : (uint32_t)n;
}

/* When nobody says: while one chunk is worked on the next one travels, however
** large; and where travelling is most of the time, little is read ahead of busy
** workers, so that it stays in the processors' caches. */
static uint64_t auto_bytes(const Job *j, uint64_t ahead, uint32_t chunk) {
  const Flow *f = j->flow;
  if (ahead <= chunk)
    return UINT64_MAX;
  bool busy = ahead > (uint64_t)chunk * pool_size(j->box->pool);
  return busy && f->ns_per_item * chunk < TARGET_NS ? WARM_BYTES
                                                    : f->window_bytes;
}

/* Counts what is in flight, waits to be taken, and is likely to come. */
static bool has_bytes_left(const Job *j, uint64_t ahead, uint32_t chunk) {
  const Flow *f = j->flow;
  uint64_t most = f->auto_bytes ? auto_bytes(j, ahead, chunk) : f->window_bytes;
  if (j->kind < JOB_ORDERED)
    return j->bytes < most;
  double coming = f->result_bytes * (double)(j->fed - j->settled + chunk);
  return (double)j->bytes + coming <= (double)most;
}

/* Items an iterator reads ahead when nobody says: some chunks for each worker,
** or more when items are so fast that it is only a moment's work. */
static uint64_t auto_window(const Job *j, uint32_t chunk) {
  const Flow *f = j->flow;
  static const double moment_ns = 5e6;
  uint64_t workers = pool_size(j->box->pool);
  uint64_t least = AUTO_WINDOW * workers * chunk, most = MOST_IN_CHUNK;
  if (f->ns_per_item <= 0 || least >= most)
    return least;
  double items = moment_ns * (double)workers / f->ns_per_item;
  uint64_t n = items < (double)most ? (uint64_t)items : most;
  return n > least ? n : least;
}

static bool wants_more(const Job *j, uint32_t chunk) {
  const Flow *f = j->flow;
  uint64_t workers = pool_size(j->box->pool);
  uint64_t ahead = j->fed - (j->kind >= JOB_ORDERED ? f->taken : j->settled);
  if (j->exhausted || j->drafting || j->dropped)
    return false;
  if (ahead == 0)
    return true;
  if (!has_bytes_left(j, ahead, chunk))
    return false;
  if (f->ns_per_item == 0 && !j->async && j->chunks >= PER_WORKER * workers)
    return false; /* first see what an item is like */
  if (f->window > 0)
    return ahead + chunk <= f->window;
  if (j->async && f->total != UINT64_MAX)
    return true;
  if (j->kind >= JOB_ORDERED)
    return ahead + chunk <= auto_window(j, chunk);
  if (f->chunksize > 0)
    return j->chunks < BURST || j->chunks < 4 * workers;
  return j->chunks < PER_WORKER * workers + 2;
}

/* ---- items ---- */

/* Items on their way into the draft of a job. */
typedef struct Fill {
  Job *job;
  uint32_t most, got;
  bool pulling;    /* the input's code runs */
  lua_Hook before; /* the hook, before it ran */
  bool refused;    /* the last one cannot travel: its error object is on top */
} Fill;

/* Pushes what the function yields; their number, or -1 at the end. */
static int pull_call(lua_State *L, Fill *f, int source) {
  int top = lua_gettop(L);
  lua_pushvalue(L, source);
  f->before = lua_gethook(L);
  f->pulling = true;
  lua_call(L, 0, LUA_MULTRET);
  f->pulling = false;
  if (lua_gettop(L) > top && !lua_isnil(L, top + 1))
    return lua_gettop(L) - top;
  lua_settop(L, top);
  return -1;
}

static int pull_element(lua_State *L, const Job *j, int source) {
  if (j->fed >= j->flow->total)
    return -1;
  lua_rawgeti(L, source, (lua_Integer)j->fed + 1);
  return 1;
}

int job_unpack(lua_State *L) {
  int item = lua_gettop(L);
  if (lua_type(L, item) != LUA_TTABLE)
    return -1;
  lua_Integer n = (lua_Integer)lua_rawlen(L, item);
  lua_pushliteral(L, "n");
  if (lua_rawget(L, item) == LUA_TNUMBER && lua_isinteger(L, -1))
    n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (n < 0 || n > 1 << 20 || !lua_checkstack(L, (int)n + 1))
    return -1;
  for (lua_Integer i = 1; i <= n; i++)
    lua_rawgeti(L, item, i);
  lua_remove(L, item);
  return (int)n;
}

static void push_encode_error(lua_State *L, Job *j, const CodecError *err,
                              CodecStatus status, int first, int n) {
  if (status == CODEC_FULL && errno == EFBIG) {
    Buf count;
    CodecError ignored;
    buf_count(&count);
    codec_encode(L, first, n, &count, &options, &ignored);
    lua_pushfstring(L,
                    "cannot send arguments of %I bytes: the argument region "
                    "has %I bytes",
                    (lua_Integer)count.len,
                    (lua_Integer)pool_most_bytes(j->box->pool));
  } else if (status == CODEC_FULL) {
    lua_pushfstring(L, "cannot send the arguments: %s", strerror(errno));
  } else {
    lua_pushfstring(L, "cannot send argument %d%s: %s", err->value, err->path,
                    err->why);
  }
  push_error(L, "encode", lua_tostring(L, -1));
  lua_remove(L, -2);
}

bool job_put(lua_State *L, Job *j, int n) {
  Buf *b = &j->flow->draft.buf;
  size_t mark = b->len;
  if (n == 1 && frame_put(b, n) == 0 && scalar_put_number(L, b)) {
    lua_pop(L, 1);
    return true;
  }
  b->len = mark;
  int first = lua_gettop(L) - n + 1;
  CodecError err;
  CodecStatus status = CODEC_FULL;
  if (frame_put(b, n) == 0)
    status = codec_encode(L, first, n, b, &options, &err);
  if (status != CODEC_OK) {
    b->len = mark;
    push_encode_error(L, j, &err, status, first, n);
    lua_insert(L, first);
  }
  lua_settop(L, status == CODEC_OK ? first - 1 : first);
  return status == CODEC_OK;
}

/* ---- chunks ---- */

void job_submit(lua_State *L, Job *j, uint64_t first, uint32_t n) {
  if (n == 0) {
    pool_drop(j->box->pool, &j->flow->draft);
    return;
  }
  uint64_t bytes = j->flow->draft.buf.len;
  Chunk c = {.job = j->id, .first = first, .count = n, .attempt = 1};
  c.stops = j->kind == JOB_MAP && !j->keep;
  c.fn = j->fn;
  if (pool_submit(j->box->pool, &j->flow->draft, c) != 0) {
    j->fed -= n;
    luaL_error(L, "cannot submit: %s", strerror(errno));
  }
  j->chunks++;
  j->bytes += bytes;
}

static void refuse_item(lua_State *L, Fill *f, int item) {
  lua_pushfstring(L, "cannot send item %I: a %s where a sequence belongs",
                  (lua_Integer)f->job->fed, luaL_typename(L, item));
  push_error(L, "encode", lua_tostring(L, -1));
  f->refused = true;
}

/* Reads until there are as many as it says, or one cannot travel. The source is
** on top of the stack; an error object may be left above it. */
static void fill(lua_State *L, Fill *f) {
  Job *j = f->job;
  int source = lua_gettop(L);
  bool listed = lua_istable(L, source);
  while (f->got < f->most && !f->refused &&
         j->flow->draft.buf.len < j->flow->window_bytes) {
    int n = listed ? pull_element(L, j, source) : pull_call(L, f, source);
    j->exhausted |= n < 0;
    if (n < 0 || j->dropped)
      break;
    j->fed++;
    if (j->star && (n = job_unpack(L)) < 0)
      refuse_item(L, f, source + 1);
    else
      f->refused = !job_put(L, j, n);
    f->got += !f->refused;
  }
  if (listed && j->fed >= j->flow->total)
    j->exhausted = true;
}

/* 1: the Fill, 2: the source. */
static int fill_in_frame(lua_State *L) {
  Fill *f = lua_touserdata(L, 1);
  fill(L, f);
  return f->refused;
}

/* A function is called for all items of the chunk in one protected call; its
** error ends the input, any other one goes on. */
static void fill_draft(lua_State *L, int job, Fill *f) {
  if (lua_getiuservalue(L, job, JOB_SOURCE) == LUA_TTABLE) {
    fill(L, f);
    return;
  }
  lua_pushcfunction(L, fill_in_frame);
  lua_pushlightuserdata(L, f);
  lua_rotate(L, -3, -1);
  f->before = lua_gethook(L);
  f->pulling = true; /* a hook may raise before it begins */
  if (lua_pcall(L, 2, LUA_MULTRET, 0) == LUA_OK)
    return;
  if (!f->pulling)
    lua_error(L);
  job_put_off_interrupt(L, f->before);
  job_set_fatal(L, job);
  f->job->exhausted = true;
}

/* Room for what is likely: as much as the chunk before, or long strings. */
static size_t guess_bytes(lua_State *L, const Job *j, int job, uint32_t n) {
  size_t guess = 48 * (size_t)n;
  if (n == 1 && lua_getiuservalue(L, job, JOB_SOURCE) == LUA_TTABLE) {
    if (lua_rawgeti(L, -1, (lua_Integer)j->fed + 1) == LUA_TSTRING)
      guess += lua_rawlen(L, -1);
    lua_pop(L, 1);
  }
  lua_settop(L, lua_gettop(L) - (n == 1));
  return guess;
}

static void feed_chunk(lua_State *L, int job, uint32_t n) {
  Job *j = lua_touserdata(L, job);
  int top = lua_gettop(L);
  uint64_t first = j->fed + 1;
  Fill f = {.job = j, .most = n};
  luaL_checkstack(L, LUA_MINSTACK, "pool input");
  if (pool_begin(j->box->pool, &j->flow->draft, guess_bytes(L, j, job, n)) != 0)
    luaL_error(L, "cannot submit: %s", strerror(errno));
  j->drafting = true;
  fill_draft(L, job, &f);
  j->drafting = false;
  if (j->dropped || pool_state(j->box->pool) > POOL_CLOSED) {
    pool_drop(j->box->pool, &j->flow->draft); /* the input ended job or pool */
    j->fed -= f.got;
    lua_settop(L, top);
    return;
  }
  job_submit(L, j, first, f.got);
  if (f.refused) {
    set_origin(L, lua_gettop(L), job, j->fed, NULL);
    job_fail(L, job, j->fed);
  }
  lua_settop(L, top);
}

/* Its input comes without delay. */
static bool is_listed(lua_State *L, int job) {
  bool listed = lua_getiuservalue(L, job, JOB_SOURCE) == LUA_TTABLE;
  lua_pop(L, 1);
  return listed;
}

bool job_feed(lua_State *L, int job) {
  Job *j = lua_touserdata(L, job);
  bool fed = false, listed = is_listed(L, job);
  uint32_t n;
  pool_hold(j->box->pool, listed);
  while (wants_more(j, n = chunk_items(j)) &&
         pool_state(j->box->pool) <= POOL_CLOSED) {
    feed_chunk(L, job, n);
    fed = true;
  }
  pool_hold(j->box->pool, false);
  if (j->exhausted)
    job_unlink(j);
  return fed;
}

/* ---- the list of jobs that have input left ---- */

void job_link(Job *j) {
  Job **at = &j->box->feeding;
  while (*at != NULL)
    at = &(*at)->flow->next_feeding;
  *at = j;
  j->flow->next_feeding = NULL;
  j->linked = true;
}

void job_unlink(Job *j) {
  if (!j->linked)
    return;
  Job **at = &j->box->feeding;
  while (*at != j)
    at = &(*at)->flow->next_feeding;
  *at = j->flow->next_feeding;
  j->linked = false;
}
