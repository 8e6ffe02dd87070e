/*
** pool_harness.h - pools whose workers run C: what the pool tests share.
**
** worker.c is the real one; the runner_* functions that it calls (task.h) are
** defined here, without Lua.  An item says which bytes it wants back; who began
** what is counted on a page that all processes of the test see.
*/
#ifndef POOL_HARNESS_H
#define POOL_HARNESS_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frame.h"
#include "pool.h"
#include "task.h"
#include "worker.h"
#include "check.h"

enum {
  MOST_WORKERS = 16,
  MOST_ITEMS = 1 << 18, /* of one round */
  MOST_PIDS = 1 << 22,
  PAD_BYTES = 4096
};

/* Shared by all processes of a test. */
typedef struct Page {
  _Atomic int pid[MOST_WORKERS], parent[MOST_WORKERS]; /* workers' own */
  _Atomic int nursery;
  _Atomic uint32_t gate;     /* items with `waits` end when it is not 0 */
  _Atomic uint32_t held;     /* workers from this generation on do not start */
  _Atomic uint32_t over;     /* the killer ends */
  _Atomic uint32_t mean_us;  /* between two kills, 0: none */
  _Atomic uint32_t sup_kill; /* 1: kill the supervisor, once */
  _Atomic uint64_t kills, stops, sup_kills, bad_args, finished;
  _Atomic uint8_t killed[MOST_PIDS]; /* a signal was sent to it */
  _Atomic int parent_of[MOST_PIDS];
  _Atomic uint8_t begun[MOST_ITEMS]; /* how often */
} Page;

/* What the arguments of an item hold, in front of padding. */
typedef struct Item {
  uint64_t id;
  uint32_t result_bytes, spin_us, pad, waits;
} Item;

static Page *page; /* mapped before the first fork */

static inline void spin_ns(uint64_t ns) {
  for (uint64_t end = sys_now_ns() + ns; sys_now_ns() < end;)
    continue;
}

static inline void open_page(void) {
  void *at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED)
    abort();
  page = at;
}

/* ---- bytes that tell whose they are ---- */

static inline uint8_t pattern(uint64_t seed, size_t i) {
  uint64_t x = (seed + i / 8 + 1) * 0x9E3779B97F4A7C15U;
  return (uint8_t)(x >> (24 + i % 8));
}

static inline void pattern_put(uint8_t *to, size_t n, uint64_t seed,
                               size_t from) {
  for (size_t i = 0; i < n; i++)
    to[i] = pattern(seed, from + i);
}

static inline bool pattern_is(const uint8_t *at, size_t n, uint64_t seed) {
  bool same = true;
  for (size_t i = 0; i < n && same; i++)
    same = at[i] == pattern(seed, i);
  return same;
}

/* ---- the runner: what task.c is to Lua ---- */

int runner_start(Runner *r, const uint8_t *brief, size_t bytes, Buf *failure) {
  (void)brief, (void)bytes, (void)failure;
  atomic_store(&page->pid[r->number - 1], (int)getpid());
  return 0;
}

Runner *runner_new(lua_CFunction module) {
  (void)module;
  return NULL;
}

void runner_leave(Runner *r) {
  (void)r;
  sys_exit(0);
}

static inline bool append_result(Buf *out, const Item *item) {
  uint8_t part[PAD_BYTES];
  if (buf_append(out, &item->id, sizeof item->id) != 0 ||
      buf_append(out, &item->result_bytes, sizeof item->result_bytes) != 0)
    return false;
  for (size_t at = 0; at < item->result_bytes;) {
    size_t n = item->result_bytes - at;
    n = n < sizeof part ? n : sizeof part;
    pattern_put(part, n, ~item->id, at);
    if (buf_append(out, part, n) != 0)
      return false;
    at += n;
  }
  return true;
}

/* Where it lies may change: then it is written again from its begin. */
static inline void put_result(Runner *r, Buf *out, const Item *item) {
  size_t mark = out->len;
  while (!append_result(out, item)) {
    out->len = mark;
    if (errno != ENOSPC || r->widen(r) != 0)
      sys_exit(70);
  }
}

/* The arguments are one frame with one byte string. */
enum { STRING_HEAD = 6 };

static inline bool take_item(const Task *t, size_t *at, Item *item) {
  const size_t head = STRING_HEAD + sizeof *item;
  if (t->args_bytes - *at < head)
    return false;
  memcpy(item, t->args + *at + STRING_HEAD, sizeof *item);
  *at += head;
  if (item->id != t->first + t->finished || item->pad > t->args_bytes - *at)
    return false;
  *at += item->pad;
  return pattern_is(t->args + *at - item->pad, item->pad, item->id);
}

static inline void run_item(Runner *r, const Item *item, Buf *out) {
  atomic_fetch_add(&page->begun[item->id % MOST_ITEMS], 1);
  if (item->waits)
    while (atomic_load(&page->gate) == 0)
      sys_sleep_ns(100000);
  if (item->spin_us > 0)
    spin_ns(item->spin_us * (uint64_t)1000);
  put_result(r, out, item);
  atomic_fetch_add(&page->finished, 1);
}

static inline void tell(const Task *t, const Buf *out, TaskMeter meter,
                        bool running) {
  atomic_store(meter.result_bytes, out->len);
  atomic_store(meter.progress, 2 * t->finished + running);
}

void runner_run(Runner *r, Task *task, Buf *out, TaskMeter meter) {
  size_t at = 0;
  while (task->finished < task->count && r->items_left > 0 &&
         atomic_load(meter.cut) == 0) {
    Item item = {0};
    tell(task, out, meter, true);
    if (!take_item(task, &at, &item)) {
      atomic_fetch_add(&page->bad_args, 1);
      sys_exit(71);
    }
    run_item(r, &item, out);
    task->finished++;
    r->items_left--;
    tell(task, out, meter, false);
  }
}

static inline void *prepare_worker(void) {
  static Runner runner;
  return &runner;
}

static inline void run_worker(void *runner, Table *t, const Brief *brief,
                              uint32_t me, uint32_t generation) {
  int pid = (int)getpid();
  if (me >= MOST_WORKERS || pid >= MOST_PIDS)
    sys_exit(70);
  atomic_store(&page->killed[pid], 0);
  atomic_store(&page->parent_of[pid], (int)getppid());
  atomic_store(&page->parent[me], (int)getppid());
  if (pid % 4 == 0) /* some can be killed this early */
    atomic_store(&page->pid[me], pid);
  worker_run(runner, t, brief, me, generation);
}

static WorkerMain be_worker = {prepare_worker, run_worker};

/* ---- the parent ---- */

/* What became of the items of a round, from `base` on. */
typedef struct Round {
  Pool *pool;
  Definition *fn;
  uint64_t base, next, total;
  uint64_t done, lost, wrong, twice, unexplained;
  uint8_t *outcome;
} Round;

static inline bool open_round(Round *r, const PoolSpec *spec, Nursery *nursery,
                              uint64_t base, uint64_t total) {
  *r = (Round){.base = base, .next = base, .total = total};
  memset((void *)page->begun, 0, sizeof page->begun);
  memset((void *)page->pid, 0, sizeof page->pid);
  atomic_store(&page->gate, 0);
  r->outcome = calloc(total, 1);
  if (r->outcome == NULL || pool_open(&r->pool, spec, nursery) != 0)
    return false;
  r->fn = pool_define(r->pool, (const uint8_t *)"fn", 2, "fn");
  return r->fn != NULL;
}

static inline void close_round(Round *r) {
  pool_free(r->pool);
  free(r->outcome);
}

static inline uint64_t settled(const Round *r) {
  return r->done + r->lost;
}

static inline void put_item(Buf *b, const Item *item) {
  uint8_t pad[PAD_BYTES];
  uint32_t bytes = (uint32_t)sizeof *item + item->pad;
  uint8_t head[] = {0x5a, (uint8_t)(bytes >> 24), (uint8_t)(bytes >> 16),
                    (uint8_t)(bytes >> 8), (uint8_t)bytes};
  bool ok = frame_put(b, 1) == 0 && buf_append(b, head, sizeof head) == 0 &&
            buf_append(b, item, sizeof *item) == 0;
  for (size_t at = 0; at < item->pad && ok;) {
    size_t n = item->pad - at < sizeof pad ? item->pad - at : sizeof pad;
    pattern_put(pad, n, item->id, at);
    ok = buf_append(b, pad, n) == 0;
    at += n;
  }
  if (!ok)
    abort();
}

static inline void put_items(Round *r, Draft *d, uint32_t n, Item like) {
  for (uint32_t i = 0; i < n; i++) {
    like.id = r->next + i;
    put_item(&d->buf, &like);
  }
}

static inline void submit_draft(Round *r, Draft *d, uint32_t n) {
  Chunk c = {.job = 1, .first = r->next, .count = n, .attempt = 1, .fn = r->fn};
  if (pool_submit(r->pool, d, c) != 0)
    abort();
  r->next += n;
}

/* A chunk of n items that are all like this one. */
static inline void submit(Round *r, uint32_t n, Item like) {
  Draft d;
  if (pool_begin(r->pool, &d, 64) != 0)
    abort();
  put_items(r, &d, n, like);
  submit_draft(r, &d, n);
}

static inline void count_outcome(Round *r, uint64_t id) {
  if (id < r->base || id >= r->next || r->outcome[id - r->base]++ != 0)
    r->twice++;
}

/* One result at f's `at`; false when it is not the item's. */
static inline bool take_result(const Finished *f, uint64_t id, size_t *at) {
  uint64_t got;
  uint32_t bytes;
  const size_t head = sizeof got + sizeof bytes;
  if (f->result.size - *at < head)
    return false;
  memcpy(&got, f->result.bytes + *at, sizeof got);
  memcpy(&bytes, f->result.bytes + *at + sizeof got, sizeof bytes);
  *at += head;
  if (got != id || bytes > f->result.size - *at)
    return false;
  *at += bytes;
  return pattern_is(f->result.bytes + *at - bytes, bytes, ~id);
}

static inline bool was_killed(const Finished *f) {
  int pid = f->pid;
  if (pid <= 0 || pid >= MOST_PIDS)
    return false;
  int parent = atomic_load(&page->parent_of[pid]);
  return atomic_load(&page->killed[pid]) ||
         (parent > 0 && atomic_load(&page->killed[parent]));
}

static inline void lose_item(Round *r, const Finished *f, uint64_t id) {
  int number = sys_why_signal(f->why & 0x7f);
  count_outcome(r, id);
  r->lost++;
  if (!was_killed(f) || (number != SIGKILL && number != SIGSEGV))
    r->unexplained++;
}

static inline void settle(Round *r, const Finished *f) {
  uint32_t used = 0;
  size_t at = 0;
  for (; used < f->result.finished; used++) {
    uint64_t id = f->chunk.first + used;
    count_outcome(r, id);
    if (take_result(f, id, &at))
      r->done++;
    else
      r->wrong++;
  }
  if (f->result.state == SLOT_LOST && f->result.running &&
      used < f->chunk.count)
    lose_item(r, f, f->chunk.first + used++);
  pool_settle(r->pool, f, used, 1);
}

static inline bool collect(Round *r) {
  Finished f;
  bool any = false;
  for (; pool_next(r->pool, &f); any = true)
    settle(r, &f);
  return any;
}

/* Until all that was submitted is settled, or the time is over. */
static inline bool collect_all(Round *r, uint64_t limit_ns) {
  uint64_t end = sys_now_ns() + limit_ns;
  while (pool_outstanding(r->pool) > 0 &&
         pool_state(r->pool) < POOL_TERMINATED) {
    uint64_t now = sys_now_ns();
    if (now >= end)
      return false;
    if (!collect(r))
      pool_wait(r->pool, 1, (int64_t)(end - now));
  }
  return pool_outstanding(r->pool) == 0;
}

static inline bool await_end(Round *r, uint64_t limit_ns) {
  uint64_t end = sys_now_ns() + limit_ns;
  while (!pool_is_ended(r->pool) && sys_now_ns() < end)
    if (!collect(r))
      pool_wait(r->pool, 1, (int64_t)(limit_ns / 10));
  return pool_is_ended(r->pool);
}

/* What no round may have, whatever was killed. */
static inline bool is_right(const Round *r) {
  uint32_t again = 0;
  for (uint64_t id = r->base; id < r->next; id++)
    again += atomic_load(&page->begun[id % MOST_ITEMS]) > 1;
  bool right = r->wrong == 0 && r->twice == 0 && r->unexplained == 0 &&
               again == 0 && atomic_load(&page->bad_args) == 0;
  if (!right)
    printf("wrong %d, twice %d, lost without cause %d, begun again %d, bad "
           "arguments %d\n",
           (int)r->wrong, (int)r->twice, (int)r->unexplained, (int)again,
           (int)atomic_load(&page->bad_args));
  return right;
}

#endif
