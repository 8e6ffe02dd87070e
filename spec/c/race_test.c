/*
** race_test.c - the slot table among threads, for a sanitizer to watch.
** Runs in: the tests; threads play parent, supervisor and workers (worker.c).
** Owns: a table, and sys_exit(), which ends a thread.  Never: Lua.
**
**   race_test [TASKS [SEED]]      20000 tasks, seed from the clock
**
** Built with -fsanitize=thread it tells of every access to what they share that
** the protocol does not order.  Workers die inside tasks and at their start,
** are recycled and passed over; tasks are revoked, cut and doomed; every one
** has one outcome and its own bytes.
*/
#define _GNU_SOURCE
#include "worker.h"
#include "task.h"
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_WORKERS = 4, TASKS = 20000, ROUND = 2000, MOST_COUNT = 3 };
enum { ARG_BYTES = 64, WINDOW = 1 << 18, SOFT = 1 << 14, LIMIT_S = 100 };

typedef struct Seat {
  pthread_t thread;
  Table view; /* of the same memory */
  Runner runner;
  Brief brief;
  uint32_t me, generation;
  uint64_t chance;
  _Atomic uint32_t dead;
} Seat;

typedef struct Sums {
  uint64_t done, lost, revoked, again, deaths, wrong;
} Sums;

static _Thread_local Seat *own; /* of a worker */
static Seat seats[MOST_WORKERS];
static _Atomic uint64_t deaths;

_Noreturn void sys_exit(int status) {
  (void)status;
  atomic_store(&own->dead, 1);
  pthread_exit(NULL);
}

/* ---- workers ---- */

static size_t own_chance(size_t n) {
  uint64_t *x = &own->chance;
  *x ^= *x << 13;
  *x ^= *x >> 7;
  *x ^= *x << 17;
  return (size_t)(*x % n);
}

Runner *runner_new(lua_CFunction module) {
  (void)module;
  return NULL;
}

int runner_start(Runner *r, const uint8_t *brief, size_t bytes, Buf *failure) {
  (void)r, (void)brief, (void)bytes;
  if (own_chance(20) == 0)
    sys_exit(1);
  return own_chance(20) != 0 ? 0 : (buf_append(failure, "bad", 3), -1);
}

void runner_leave(Runner *r) {
  (void)r;
  sys_exit(0);
}

static void tell(const Task *t, const Buf *out, TaskMeter meter, bool runs) {
  atomic_store_explicit(meter.result_bytes, out->len, memory_order_release);
  atomic_store_explicit(meter.progress, 2 * t->finished + runs,
                        memory_order_release);
}

/* The argument is repeated as often as it says; from the begin again when the
** buffer was changed. */
static void run_item(Runner *r, const Task *t, Buf *out) {
  uint64_t id, times;
  memcpy(&id, t->args, sizeof id);
  memcpy(&times, t->args + sizeof id, sizeof times);
  size_t mark = out->len;
  for (uint64_t i = 0; i < times; i++) {
    if (buf_append(out, &id, sizeof id) == 0)
      continue;
    if (errno != ENOSPC || r->widen(r) != 0)
      sys_exit(1);
    out->len = mark;
    i = UINT64_MAX;
  }
}

void runner_run(Runner *r, Task *t, Buf *out, TaskMeter meter) {
  while (t->finished < t->count && r->items_left > 0 &&
         (t->finished == 0 ||
          atomic_load_explicit(meter.cut, memory_order_relaxed) == 0)) {
    if (own_chance(100) == 0)
      sys_exit(1);
    tell(t, out, meter, true);
    run_item(r, t, out);
    if (own_chance(100) == 0)
      sys_exit(1);
    t->finished++;
    r->items_left--;
    tell(t, out, meter, false);
  }
}

static void *work(void *arg) {
  own = arg;
  table_set_pid(&own->view, own->me, (int)own->me + 2);
  worker_run(&own->runner, &own->view, &own->brief, own->me, own->generation);
  return NULL;
}

/* ---- the supervisor ---- */

static void seat_worker(const Table *t, uint32_t w) {
  Seat *s = &seats[w];
  s->view = *t;
  s->runner = (Runner){0};
  s->brief = (Brief){.shape = t->shape, .max_items = w == 0 ? 50 : 0};
  s->me = w;
  s->generation++;
  s->chance = 88172645463325252U + s->generation * MOST_WORKERS + w;
  atomic_store(&s->dead, 0);
  table_reset_lane(&s->view, w);
  if (pthread_create(&s->thread, NULL, work, s) != 0)
    abort();
}

static void bury(Table *t, uint32_t w) {
  pthread_join(seats[w].thread, NULL);
  table_phase(t, w);
  table_repair(t, w, 9);
  atomic_fetch_add(&deaths, 1);
}

static void *supervise(void *arg) {
  Table t = *(const Table *)arg; /* its own view */
  uint32_t alive = t.shape.workers, turn = 0;
  for (uint32_t w = 0; w < alive; w++)
    seat_worker(&t, w);
  while (alive > 0) {
    for (uint32_t w = 0; w < t.shape.workers; w++) {
      if (!atomic_load(&seats[w].dead))
        continue;
      atomic_store(&seats[w].dead, 0);
      bury(&t, w);
      if (table_stopping(&t) == STOP_NOT)
        seat_worker(&t, w);
      else
        alive--;
    }
    table_is_at(&t, 0, table_doomed(&t, 0));
    if (++turn % 16 == 0)
      table_pass_over(&t, turn / 16 % t.shape.workers);
    table_wake_idle(&t);
    sys_sleep_ns(200000);
  }
  return NULL;
}

/* ---- the parent ---- */

typedef struct Round {
  Table table;
  uint64_t next, last; /* ids */
  uint64_t id[TABLE_SLOTS], times[TABLE_SLOTS];
  uint32_t count[TABLE_SLOTS]; /* 0: not in use */
  uint32_t waiting;
  Sums sums;
} Round;

static void put(Round *r, uint32_t i, uint32_t count, bool quick) {
  Slot *s = &r->table.slot[i];
  uint8_t *args = r->table.args.base + (size_t)i * ARG_BYTES;
  memcpy(args, &r->id[i], sizeof r->id[i]);
  memcpy(args + sizeof r->id[i], &r->times[i], sizeof r->times[i]);
  s->args_at = (uint64_t)i * ARG_BYTES;
  s->args_bytes = ARG_BYTES;
  s->fn = s->fn_at = s->fn_bytes = 0;
  s->job = 1;
  s->first = r->id[i];
  s->count = r->count[i] = count;
  s->attempt = 1;
  s->stops = 0;
  s->quick = quick;
  r->waiting += count;
  table_submit(&r->table, i);
}

static void submit(Round *r) {
  uint32_t i, count = 1 + (uint32_t)below(MOST_COUNT);
  if (!table_acquire(&r->table, &i))
    return;
  r->id[i] = r->next++;
  r->times[i] = below(50) == 0 ? below(WINDOW / 8 / MOST_COUNT) : below(20);
  put(r, i, count, below(2) == 0);
}

/* What has not begun runs again, what had and did not finish is lost. */
static void run_rest(Round *r, const Completion *c) {
  uint32_t i = c->slot, left = r->count[i] - c->finished;
  r->count[i] = 0;
  r->sums.done += c->finished;
  r->waiting -= c->finished;
  if (left > 0 && c->state == SLOT_LOST && c->running) {
    r->sums.lost++;
    left--;
    r->waiting--;
  }
  if (left == 0)
    return;
  uint64_t id = r->id[i], times = r->times[i];
  r->waiting -= left;
  if (!table_acquire(&r->table, &i))
    abort();
  r->id[i] = id;
  r->times[i] = times;
  r->sums.again++;
  put(r, i, left, false);
}

static bool is_right(const Round *r, const Completion *c) {
  uint64_t id = r->id[c->slot];
  if (r->count[c->slot] == 0 || c->finished > r->count[c->slot] ||
      c->size != c->finished * r->times[c->slot] * sizeof id)
    return false;
  for (size_t at = 0; at < c->size; at += sizeof id)
    if (memcmp(c->bytes + at, &id, sizeof id) != 0)
      return false;
  return true;
}

static bool collect(Round *r) {
  Completion c;
  char error[8];
  bool any = false;
  while (table_collect(&r->table, &c)) {
    any = true;
    r->sums.wrong += !is_right(r, &c);
    table_release(&r->table, &c);
    run_rest(r, &c);
  }
  table_start_error(&r->table, error, sizeof error);
  return any;
}

static void meddle(Round *r) {
  uint32_t i = (uint32_t)below(32);
  table_pid(&r->table, 0);
  if (r->count[i] == 0)
    return;
  if (below(4) == 0)
    table_doom(&r->table, i);
  if (!table_revoke(&r->table, i)) {
    atomic_store(&r->table.slot[i].cut, 1);
    return;
  }
  r->sums.revoked += r->count[i];
  r->waiting -= r->count[i];
  r->count[i] = 0;
}

static void sleep_well(Round *r) {
  struct pollfd event = {.fd = r->table.event_fd, .events = POLLIN};
  if (table_spin_for_completions(&r->table))
    return;
  table_arm(&r->table, 1 + (uint32_t)below(3));
  if (!table_has_completions(&r->table) && poll(&event, 1, -1) == 1)
    sys_event_clear(r->table.event_fd);
}

static void play(Sums *sums, uint64_t tasks) {
  static Round r;
  static Table view;
  pthread_t supervisor;
  uint32_t ahead = below(2) == 0 ? 4 : 400;
  TableShape shape = {.workers = 1 + (uint32_t)below(MOST_WORKERS),
                      .args_bytes = (uint64_t)TABLE_SLOTS * ARG_BYTES,
                      .window_bytes = WINDOW,
                      .soft_bytes = SOFT};
  r = (Round){.last = tasks, .sums = *sums};
  if (table_new(&r.table, shape) != 0)
    abort();
  table_set_cpus(&r.table, below(2) == 0 ? 0 : 2 * MOST_WORKERS);
  view = r.table;
  if (pthread_create(&supervisor, NULL, supervise, &view) != 0)
    abort();
  while (r.next < r.last || r.waiting > 0) {
    for (int i = 0; i < 8 && r.next < r.last && r.waiting < ahead; i++)
      submit(&r);
    if (below(8) == 0)
      meddle(&r);
    if (!collect(&r) && r.waiting > 0)
      sleep_well(&r);
  }
  table_stop(&r.table, STOP_DRAINED);
  pthread_join(supervisor, NULL);
  *sums = r.sums;
  table_free(&r.table);
}

int main(int argc, char **argv) {
  uint64_t tasks = argc > 1 ? strtoull(argv[1], NULL, 10) : TASKS;
  Sums s = {0};
  chance ^= argc > 2 ? strtoull(argv[2], NULL, 10) : sys_now_ns();
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("race_test %llu %llu\n", (unsigned long long)tasks,
         (unsigned long long)(chance ^ 88172645463325252U));
  for (uint64_t n = 0; n < tasks && s.wrong == 0; n += ROUND) {
    alarm(LIMIT_S);
    play(&s, ROUND);
  }
  printf("%d items done, %d lost, %d revoked, %d chunks again, %d deaths\n",
         (int)s.done, (int)s.lost, (int)s.revoked, (int)s.again,
         (int)atomic_load(&deaths));
  check(s.wrong == 0, "every item has one outcome and its own bytes");
  check(s.lost > 0 && s.again > 0 && s.revoked > 0, "all of it happened");
  return report();
}
