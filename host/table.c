/*
** table.c - the slot table: how tasks travel between processes.
** Runs in: parent, supervisor, workers.  Owns: the shared region.
**
** The truth about a task is one 64-bit word, state | owner | generation:
**
**   FREE --submit (parent)--> READY --claim: one CAS (worker w)--> CLAIMED(w)
**   READY --revoke: CAS (parent)--> FREE
**   CLAIMED(w) --finish: store (w)--> DONE(w) --release (parent)--> FREE
**   CLAIMED(w) --repair (supervisor, w is reaped)--> LOST(w) --release--> FREE
**
** Laws.
** 1. The slot word is the truth; all else is a hint, may be wrong, may be
**    repeated: ring cells, bitmaps, the kick.
** 2. A claim and its attribution are one CAS.
** 3. Only the reaped are repaired: no store of theirs can still come.
** 4. Every sleep has two wakers: a worker's is the parent and the supervisor,
**    the parent's is a worker and the supervisor.
** 5. No lock in shared memory.
** 6. The memory safety of parent and supervisor depends on no shared word:
**    indices are checked against private sizes, each word is read once.
** 7. The clock is monotonic.
** 8. Warm memory is used again, never mapped anew.
** 9. No file, no name.
**
** A sleeper says that it sleeps, then looks once more, then sleeps; a waker
** makes its work visible, then looks who sleeps.  Between the store and the
** look stands a full barrier, so one of the two sees the other; the stores
** themselves need no more than release, and can be under way together.  A
** worker's completion ring has twice as many cells as may be unread: the cell
** being written is never one of the last TABLE_UNREAD that repair compares with.
*/
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 2 * TABLE_SLOTS, OUT_CELLS = 2 * TABLE_UNREAD };
enum { MOST_HELD = 64, HELD_BYTES = 1024 };
enum { SLOT_BITS = 24, STATE_BITS = 8, BITMAPS = 4 };

struct TableHead {
  TABLE_LINE _Atomic uint64_t tail;  /* the parent writes */
  TABLE_LINE _Atomic uint64_t head;  /* anyone helps it forward */
  TABLE_LINE _Atomic uint32_t armed; /* completions until the next kick */
  TABLE_LINE _Atomic uint32_t stop;
  _Atomic uint32_t broken_why; /* wait status */
  _Atomic uint32_t broken;     /* the supervisor or the parent writes */
  _Atomic uint32_t slots_used; /* the parent writes; repair looks no further */
  _Atomic uint32_t cpus;       /* the parent writes; 0: never spin */
  _Atomic uint32_t waking;     /* the parent writes: it wakes somebody */
  TABLE_LINE _Atomic uint64_t rests_until; /* 0: nobody rests */
  _Atomic uint64_t busy_until; /* nobody may rest, however late it comes */
  _Atomic uint32_t rester;
  _Atomic uint32_t error_state; /* 0 none, 1 being written, 2 whole */
  uint32_t error_bytes;
  char error[TABLE_ERROR_BYTES]; /* the first failed start, encoded */
};

/* What belongs to one worker, by who writes it. */
struct Lane {
  TABLE_LINE _Atomic uint32_t futex;    /* 0: about to sleep */
  _Atomic uint32_t wants_room;          /* the worker; the parent clears */
  _Atomic uint64_t woken_ns, woken_at;  /* who wakes it: when (0: nobody says),
                                        ** and where the head was */
  TABLE_LINE _Atomic uint64_t out_tail; /* the worker, or repair after it */
  _Atomic uint32_t phase, pid;          /* the worker */
  TABLE_LINE _Atomic uint64_t out_head; /* the parent: completions released */
  _Atomic uint64_t doomed;              /* the parent: a cell, 0: none */
};

static uint64_t word_of(SlotState state, uint32_t owner, uint64_t generation) {
  return (uint64_t)state | (uint64_t)owner << STATE_BITS |
         generation << SLOT_BITS;
}

static SlotState state_of(uint64_t word) {
  return (SlotState)(word & 0xff);
}

static uint32_t owner_of(uint64_t word) {
  return word >> STATE_BITS & 0xffff;
}

static uint64_t generation_of(uint64_t word) {
  return word >> SLOT_BITS;
}

static uint64_t cell_of(uint32_t slot, uint64_t generation) {
  return generation << SLOT_BITS | slot;
}

static uint32_t slot_of(uint64_t cell) {
  return cell & (TABLE_SLOTS - 1);
}

static uint32_t words(const Table *t) {
  return (t->shape.workers + 63) / 64;
}

static _Atomic uint64_t *out_cell(const Table *t, uint32_t w, uint64_t number) {
  return t->out + (size_t)w * OUT_CELLS + number % OUT_CELLS;
}

/* ---- layout ---- */

static size_t lines(size_t bytes) {
  return (bytes + 127) & ~(size_t)127;
}

static size_t bitmap_bytes(uint32_t workers) {
  return lines((workers + 63) / 64 * sizeof(uint64_t));
}

static size_t control_bytes(uint32_t workers) {
  return BITMAPS * bitmap_bytes(workers) + lines(sizeof(TableHead)) +
         CELLS * sizeof(uint64_t) +
         workers * (sizeof(Lane) + OUT_CELLS * sizeof(uint64_t)) +
         TABLE_SLOTS * sizeof(Slot);
}

static size_t region_bytes(const TableShape *shape) {
  return shape->control_bytes + shape->args_bytes +
         shape->window_bytes * shape->workers;
}

static void lay_out(Table *t) {
  uint8_t *at = t->region.base;
  _Atomic uint64_t **bitmaps[BITMAPS] = {&t->idle, &t->done, &t->awake,
                                         &t->dozing};
  t->args = (Shared){at + t->shape.control_bytes, t->shape.args_bytes, -1};
  t->results = t->args.base + t->args.bytes;
  for (int i = 0; i < BITMAPS; i++, at += bitmap_bytes(t->shape.workers))
    *bitmaps[i] = (_Atomic uint64_t *)(void *)at;
  t->head = (TableHead *)(void *)at;
  at += lines(sizeof(TableHead));
  t->cell = (_Atomic uint64_t *)(void *)at;
  at += CELLS * sizeof(uint64_t);
  t->lane = (Lane *)(void *)at;
  at += t->shape.workers * sizeof(Lane);
  t->out = (_Atomic uint64_t *)(void *)at;
  at += t->shape.workers * OUT_CELLS * sizeof(uint64_t);
  t->slot = (Slot *)(void *)at;
}

uint8_t *table_window(const Table *t, uint32_t worker) {
  return t->results + worker * t->shape.window_bytes;
}

/* ---- waking ---- */

static void rouse(Table *t, uint32_t w) {
  atomic_store(&t->lane[w].futex, 1);
  sys_futex_wake(&t->lane[w].futex);
}

static bool is_idle(const Table *t, uint32_t w) {
  return atomic_load(&t->idle[w / 64]) >> w % 64 & 1;
}

static uint64_t head_now(const Table *t) {
  return atomic_load(&t->head->head);
}

static bool wake(Table *t, uint32_t w) {
  _Atomic uint64_t *idle = &t->idle[w / 64];
  uint64_t bit = (uint64_t)1 << w % 64;
  if (!(atomic_fetch_and(idle, ~bit) & bit))
    return false;
  atomic_store_explicit(&t->lane[w].woken_at, head_now(t),
                        memory_order_relaxed);
  atomic_store_explicit(&t->lane[w].woken_ns, sys_now_ns(),
                        memory_order_relaxed);
  rouse(t, w);
  return true;
}

static bool wake_one(Table *t) {
  for (uint32_t i = 0; i < words(t); i++) {
    uint64_t idle;
    while ((idle = atomic_load(&t->idle[i])) != 0) {
      uint32_t w = i * 64 + (uint32_t)__builtin_ctzll(idle);
      if (w >= t->shape.workers)
        break;
      if (wake(t, w))
        return true;
    }
  }
  return false;
}

static bool any(const Table *t, const _Atomic uint64_t *bitmap) {
  for (uint32_t i = 0; i < words(t); i++)
    if (atomic_load(&bitmap[i]) != 0)
      return true;
  return false;
}

uint64_t table_unclaimed(const Table *t) {
  uint64_t head = atomic_load(&t->head->head);
  uint64_t tail = atomic_load(&t->head->tail);
  return tail > head ? tail - head : 0;
}

/* Some of them, and no more than there are tasks for. False: nobody. */
static bool wake_some(Table *t, uint64_t most) {
  uint64_t n = table_unclaimed(t);
  bool woken = false;
  if (n > most)
    n = most;
  while (n-- > 0 && wake_one(t))
    woken = true;
  return woken;
}

void table_wake_idle(Table *t) {
  wake_some(t, t->shape.workers);
}

void table_wake_parent(Table *t) {
  atomic_store(&t->head->armed, 0);
  sys_event_kick(t->event_fd);
}

void table_set_cpus(Table *t, uint32_t cpus) {
  atomic_store(&t->head->cpus, cpus);
}

void table_arm(Table *t, uint32_t n) {
  atomic_store(&t->head->armed, n);
}

void table_stop(Table *t, StopKind kind) {
  atomic_store(&t->head->stop, kind);
  for (uint32_t w = 0; w < t->shape.workers; w++) {
    atomic_fetch_and(&t->idle[w / 64], ~((uint64_t)1 << w % 64));
    rouse(t, w);
  }
}

StopKind table_stopping(const Table *t) {
  return (StopKind)atomic_load(&t->head->stop);
}

int table_broken_why(const Table *t) {
  return (int)atomic_load(&t->head->broken_why);
}

void table_break(Table *t, int why) {
  atomic_store(&t->head->broken_why, (uint32_t)why);
  atomic_store(&t->head->broken, 1);
}

bool table_is_broken(const Table *t) {
  return atomic_load(&t->head->broken) != 0;
}

/* ---- looking before sleeping ---- */

/*
** A sleep and a wake-up cost some microseconds; where a processor is free it
** is cheaper to look for work a little longer.  Who looks says so in `awake`,
** and the parent then wakes nobody: the looker claims, and wakes the next one
** if there is more.  Looking that did not pay becomes shorter and stops; every
** so many sleeps it is tried again.
*/
enum { LOOKS = 50, NAPS = 100 };
static const uint64_t SPIN_FIRST_NS = 20000, SPIN_MOST_NS = 50000;
static const uint64_t SPIN_LEAST_NS = 2000, PREEMPTED_NS = 200000;

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

static uint32_t count_idle(const Table *t) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < words(t); i++)
    n += (uint32_t)__builtin_popcountll(atomic_load(&t->idle[i]));
  return n;
}

static bool has_free_cpu(const Table *t) {
  uint32_t cpus = atomic_load(&t->head->cpus);
  return cpus > 0 && t->shape.workers < cpus + count_idle(t);
}

static bool may_spin(Table *t) {
  if (t->spin_ns == 0 && t->naps++ % NAPS == 0)
    t->spin_ns = SPIN_FIRST_NS;
  return t->spin_ns > 0 && has_free_cpu(t);
}

static bool spin(Table *t, bool (*look)(const Table *t)) {
  uint64_t begin = sys_now_ns(), now = begin, before;
  do {
    for (int i = 0; i < LOOKS; i++) {
      if (look(t)) {
        if (t->spin_ns < SPIN_MOST_NS)
          t->spin_ns *= 2;
        return true;
      }
      relax();
    }
    before = now;
    now = sys_now_ns();
  } while (now - begin < t->spin_ns && now - before < PREEMPTED_NS);
  t->spin_ns /= 2;
  if (t->spin_ns < SPIN_LEAST_NS || now - before >= PREEMPTED_NS)
    t->spin_ns = 0; /* others want the processor */
  return false;
}

static void end_rest(Table *t, uint32_t w) {
  if (atomic_load(&t->head->rester) == w)
    atomic_store(&t->head->rests_until, 0);
}

static void stop_looking(Table *t, uint32_t w) {
  uint64_t others = ~((uint64_t)1 << w % 64);
  atomic_fetch_and(&t->awake[w / 64], others);
  atomic_fetch_and(&t->dozing[w / 64], others);
  end_rest(t, w);
}

static bool is_wanted(const Table *t) {
  return table_unclaimed(t) > 0 || table_stopping(t) != STOP_NOT;
}

/*
** What the other side has just written lies in several lines.  Who looked and
** found something asks for all of them at once, and not for each when the one
** before has come: they are those of the last time, where one task at a time is
** under way, and to be wrong costs nothing.  Addresses come from what was found,
** if they can: a processor that guesses its way would ask too early, and take
** the line from who is about to write it.
*/
static void fetch(const void *line) {
  __builtin_prefetch(line);
}

static void fetch_to_write(const void *line) {
  __builtin_prefetch(line, 1);
}

static void fetch_latest(const Table *t) {
  if (t->latest == NULL)
    return;
  fetch_to_write(t->latest);
  fetch(&t->latest->args_at);
  fetch(t->latest_bytes);
}

static void fetch_task(const Table *t, uint32_t me) {
  const Lane *lane = &t->lane[me];
  fetch(&t->cell[(atomic_load(&t->head->tail) - 1) % CELLS]);
  fetch_latest(t);
  fetch(&lane->out_head);
  fetch_to_write(out_cell(t, me, atomic_load(&lane->out_tail)));
  fetch_to_write(&t->awake[me / 64]);
}

static void fetch_completions(const Table *t) {
  for (uint32_t i = 0; i < words(t); i++) {
    uint64_t bits = atomic_load(&t->done[i]);
    if (bits == 0)
      continue;
    uint32_t w = i * 64 + (uint32_t)__builtin_ctzll(bits);
    if (w >= t->shape.workers)
      continue;
    fetch(&t->lane[w].out_tail);
    fetch(out_cell(t, w, t->seen[w]));
    fetch_to_write(&t->lane[w].out_head);
  }
  fetch_latest(t);
}

static bool spin_for_work(Table *t, uint32_t me) {
  _Atomic uint64_t *awake = &t->awake[me / 64];
  uint64_t bit = (uint64_t)1 << me % 64;
  if (!may_spin(t))
    return false;
  atomic_fetch_or(awake, bit);
  bool found = spin(t, is_wanted);
  if (found)
    fetch_task(t, me);
  atomic_fetch_and(awake, ~bit);
  return found;
}

/*
** Where other processors are busy, a worker that is woken takes the processor
** of its waker, which stands in the middle of the wake-up, having one task out
** of many made visible.  To sleep after that one would cost two switches for
** each of them: it lets the waker go on, once, and finds more when it is back.
*/
static bool yield_for_work(Table *t, uint32_t me) {
  _Atomic uint64_t *awake = &t->awake[me / 64];
  uint64_t bit = (uint64_t)1 << me % 64;
  if (!atomic_load(&t->head->waking))
    return false;
  atomic_fetch_or(awake, bit);
  sys_yield();
  atomic_fetch_and(awake, ~bit);
  return is_wanted(t);
}

/*
** Quick tasks are not worth a wake-up each: the worker that runs one takes the
** next one sooner.  So a few may wait, as long as somebody dozes, as workers do
** after a quick task: he looks by himself after a moment, should the others
** take longer than they used to.
*/
enum { FEW = 4 };
static const uint64_t DOZE_NS = 1000000;

static bool can_wait(const Table *t, const Slot *s) {
  return s->quick != 0 && table_unclaimed(t) <= FEW && any(t, t->dozing) &&
         count_idle(t) < t->shape.workers;
}

/* False: there is work. */
static bool doze(Table *t, uint32_t me) {
  _Atomic uint64_t *dozing = &t->dozing[me / 64];
  uint64_t bit = (uint64_t)1 << me % 64;
  atomic_fetch_or(dozing, bit);
  if (!is_wanted(t) && atomic_load(&t->lane[me].futex) == 0)
    sys_futex_nap(&t->lane[me].futex, 0, DOZE_NS);
  atomic_fetch_and(dozing, ~bit);
  return !is_wanted(t);
}

/*
** Where tasks block, all workers of a large pool come to work in turn, each with
** cold caches, though a few would keep the processors busy: the more there are,
** the less is done.  One that is woken late, since others had to go first, rests
** and sees whether they suffice: he naps, and looks what they had of the
** processors meanwhile, and that those who wait get on.  While he rests nobody
** else is woken, and who comes late sleeps on.  If they do not suffice (tasks take
** long, or other programs run) he wakes as many more as it would take, or all,
** and then nobody may rest for a while.  Who finds nothing to do, or leaves, ends
** the rest; if he does not come back it ends by itself.
*/
enum { MANY = 4 /* for each processor */, SAMPLED = 64 };
enum { LEAST_PERCENT = 50, FAR_PERCENT = 25 }; /* of all processors */
static const uint64_t LATE_NS = 200000, LONG_NS = 3000000, PACE_NS = 20000000;
static const uint64_t SLACK_NS = 8000000, SLACK_MOST_NS = 20000000;
static const uint64_t REST_NS = 1000000, REST_MOST_NS = 4000000;
static const uint64_t BUSY_NS = 64000000;

/* What some of those who are awake have done, and had of the processors. */
typedef struct Usage {
  uint64_t begin_ns, had_ns[SAMPLED], done[SAMPLED];
  uint32_t worker[SAMPLED], n, awake;
} Usage;

static bool does_rest(const Table *t) {
  uint64_t until = atomic_load(&t->head->rests_until);
  return until != 0 && sys_now_ns() < until;
}

void table_remind(Table *t) {
  if (!does_rest(t))
    table_wake_idle(t);
}

static bool has_unclaimed(const Table *t) {
  return table_unclaimed(t) > 0 && table_stopping(t) == STOP_NOT;
}

static void begin_usage(const Table *t, Usage *u) {
  u->n = u->awake = 0;
  for (uint32_t w = 0; w < t->shape.workers; w++) {
    if (is_idle(t, w))
      continue;
    u->awake++;
    if (u->n == SAMPLED)
      continue;
    u->worker[u->n] = w;
    u->done[u->n] = table_published(t, w);
    u->had_ns[u->n++] = sys_cpu_ns(table_pid(t, w));
  }
  u->begin_ns = sys_now_ns();
}

/* Of the time of all processors: but who is at a long task takes none of those
** that wait, however busy it is. */
static uint64_t percent_used(const Table *t, const Usage *u) {
  uint64_t passed = sys_now_ns() - u->begin_ns, used = 0;
  for (uint32_t i = 0; i < u->n; i++) {
    uint32_t w = u->worker[i];
    uint64_t now = sys_cpu_ns(table_pid(t, w));
    uint64_t had = now > u->had_ns[i] ? now - u->had_ns[i] : 0;
    bool at_long_one = had > LONG_NS && had > passed / 2 &&
                       table_published(t, w) == u->done[i];
    used += at_long_one ? 0 : had;
  }
  used = u->n > 0 ? used / u->n * u->awake : 0;
  return used * 100 / (passed * atomic_load(&t->head->cpus) + 1);
}

/* Tasks that wait are begun, at least one by a processor in twice LONG_NS. */
typedef struct Pace {
  uint64_t since_ns, head;
} Pace;

static bool keeps_pace(const Table *t, Pace *pace) {
  uint64_t now = sys_now_ns(), head = head_now(t),
           passed = now - pace->since_ns;
  if (passed < PACE_NS)
    return true;
  uint64_t begun = head - pace->head;
  *pace = (Pace){now, head};
  return begun * 2 * LONG_NS >= passed * atomic_load(&t->head->cpus);
}

/* Nobody else rests until then; false: somebody does, or has ended it. */
static bool rest_until(Table *t, uint64_t *mine, uint64_t until) {
  if (!atomic_compare_exchange_strong(&t->head->rests_until, mine, until))
    return false;
  *mine = until;
  return true;
}

/* False: they are far too few, as was seen twice in a row, or too slow, or there
** are no more. */
static bool nap_while_some_suffice(Table *t, uint32_t me, uint64_t *mine) {
  _Atomic uint32_t *futex = &t->lane[me].futex;
  Pace pace = {sys_now_ns(), head_now(t)};
  uint64_t ns = REST_NS, slack = SLACK_NS;
  bool far = false;
  while (has_unclaimed(t) && rest_until(t, mine, sys_now_ns() + ns + slack)) {
    Usage usage;
    begin_usage(t, &usage);
    sys_futex_nap(futex, 0, ns);
    if (atomic_load(futex) != 0)
      return true;
    if (!keeps_pace(t, &pace))
      return false;
    uint64_t percent = percent_used(t, &usage);
    bool were_far = far;
    far = percent < FAR_PERCENT;
    if (percent >= LEAST_PERCENT) {
      slack = SLACK_MOST_NS; /* who is late again, is so because of them */
      ns = ns < REST_MOST_NS ? 2 * ns : ns;
      continue;
    }
    slack = SLACK_NS;
    ns = REST_NS;
    if ((far && were_far) ||
        !wake_some(t, usage.awake * (100 - percent) / (percent + 1)))
      return false;
  }
  return true;
}

/* False: another one rests. */
static bool rest(Table *t, uint32_t me) {
  uint64_t now = sys_now_ns(), mine = atomic_load(&t->head->rests_until);
  atomic_store(&t->lane[me].futex, 0);
  if (now < mine || !rest_until(t, &mine, now + SLACK_NS))
    return false;
  atomic_store(&t->head->rester, me);
  bool suffice = nap_while_some_suffice(t, me, &mine);
  if (!rest_until(t, &mine, 0))
    return mine == 0;
  if (!suffice) {
    atomic_store(&t->head->busy_until, sys_now_ns() + BUSY_NS);
    table_wake_idle(t);
  }
  return true;
}

static void rouse_rester(Table *t) {
  uint32_t w = atomic_load(&t->head->rester);
  if (atomic_load(&t->head->rests_until) == 0 || w >= t->shape.workers)
    return;
  end_rest(t, w);
  rouse(t, w);
}

/* Others have gone first, and nobody has seen of late that they are too few. */
static bool is_late(const Table *t, const Lane *lane) {
  uint64_t woken = atomic_load(&lane->woken_ns), now = sys_now_ns();
  uint64_t claimed = head_now(t) - atomic_load(&lane->woken_at);
  return woken != 0 && now >= woken + LATE_NS &&
         now >= atomic_load(&t->head->busy_until) &&
         claimed >= (uint64_t)MANY * atomic_load(&t->head->cpus);
}

/* Woken, and not needed: true if it may sleep on. */
static bool may_sleep_on(Table *t, uint32_t me) {
  uint32_t cpus = atomic_load(&t->head->cpus);
  return cpus > 0 && t->shape.workers > cpus + count_idle(t) &&
         has_unclaimed(t) && is_late(t, &t->lane[me]) && !rest(t, me);
}

bool table_spin_for_completions(Table *t) {
  if (!may_spin(t) || !spin(t, table_has_completions))
    return false;
  fetch_completions(t);
  return true;
}

/* ---- parent ---- */

static int make_private(Table *t) {
  uint32_t w = t->shape.workers;
  t->generation = sys_pages(TABLE_SLOTS * sizeof *t->generation);
  t->spare = sys_pages(TABLE_SLOTS * sizeof *t->spare);
  t->seen = calloc(w, sizeof *t->seen);
  t->given = calloc(w, sizeof *t->given);
  t->held = calloc(w, sizeof *t->held);
  t->due = calloc(words(t), sizeof *t->due);
  if (!t->generation || !t->spare || !t->seen || !t->given || !t->held ||
      !t->due)
    return -1;
  return 0;
}

/* Address space, not memory; under a limit the windows shrink. */
static int make_shared(Table *t) {
  TableShape *shape = &t->shape;
  const size_t page = sys_page_bytes();
  const uint64_t unit = 1 << 16, least_args = 16 * unit;
  shape->control_bytes =
      (control_bytes(shape->workers) + page - 1) & ~(page - 1);
  shape->args_bytes &= ~(unit - 1);
  shape->window_bytes &= ~(unit - 1);
  while (sys_shared_new(&t->region, region_bytes(shape)) != 0) {
    if (shape->args_bytes / 2 < least_args && shape->window_bytes / 2 < unit)
      return -1;
    if (shape->args_bytes / 2 >= least_args)
      shape->args_bytes = shape->args_bytes / 2 & ~(unit - 1);
    if (shape->window_bytes / 2 >= unit)
      shape->window_bytes = shape->window_bytes / 2 & ~(unit - 1);
  }
  return 0;
}

int table_new(Table *t, TableShape shape) {
  *t = (Table){.shape = shape, .event_fd = -1};
  t->region.fd = -1;
  t->event_fd = sys_event_new();
  if (t->event_fd >= 0 && make_private(t) == 0 && make_shared(t) == 0) {
    lay_out(t);
    return 0;
  }
  int saved = errno;
  table_free(t);
  errno = saved;
  return -1;
}

void table_free(Table *t) {
  sys_shared_free(&t->region);
  sys_close(t->event_fd);
  sys_free_pages(t->generation, TABLE_SLOTS * sizeof *t->generation);
  sys_free_pages(t->spare, TABLE_SLOTS * sizeof *t->spare);
  free(t->seen);
  free(t->given);
  free(t->held);
  free(t->due);
  *t = (Table){.event_fd = -1};
}

/* Cells of revoked tasks stand in the way until somebody passes them; where a
** task still waits nobody can, until a worker takes it. */
static bool make_cell_room(Table *t) {
  uint64_t tail = atomic_load(&t->head->tail);
  for (uint32_t i = 0; i < CELLS && tail - t->head_seen >= CELLS; i++) {
    uint64_t head = t->head_seen = atomic_load(&t->head->head);
    if (tail - head < CELLS)
      break;
    uint64_t cell = atomic_load(&t->cell[head % CELLS]);
    uint64_t word = atomic_load(&t->slot[slot_of(cell)].word);
    if (word == word_of(SLOT_READY, 0, generation_of(cell)))
      return false;
    atomic_compare_exchange_strong(&t->head->head, &head, head + 1);
  }
  return tail - t->head_seen < CELLS;
}

bool table_acquire(Table *t, uint32_t *slot) {
  bool fresh = t->n_spare == 0;
  if ((fresh && t->n_used == TABLE_SLOTS) || !make_cell_room(t))
    return false;
  *slot = fresh ? t->n_used++ : t->spare[--t->n_spare];
  if (fresh) {
    t->generation[*slot] = 0;
    atomic_store(&t->head->slots_used, t->n_used);
  }
  return true;
}

/* No more are woken than can run at once: they wake others, while there is
** work for them. */
static void announce(Table *t) {
  uint32_t n = t->unannounced, cpus = atomic_load(&t->head->cpus);
  t->unannounced = 0;
  if (!any(t, t->idle) || any(t, t->awake) || can_wait(t, t->latest) ||
      does_rest(t))
    return;
  if (cpus > 0 && n > cpus)
    n = cpus;
  atomic_store(&t->head->waking, t->row > 1);
  while (n-- > 0 && wake_one(t))
    continue;
  atomic_store(&t->head->waking, 0);
}

void table_submit(Table *t, uint32_t i) {
  Slot *s = &t->slot[i];
  uint64_t generation = ++t->generation[i];
  uint64_t tail = atomic_load_explicit(&t->head->tail, memory_order_relaxed);
  atomic_store_explicit(&s->cut, 0, memory_order_relaxed);
  atomic_store_explicit(&s->progress, 0, memory_order_relaxed);
  atomic_store_explicit(&s->result_bytes, 0, memory_order_relaxed);
  atomic_store_explicit(&s->word, word_of(SLOT_READY, 0, generation),
                        memory_order_release);
  atomic_store_explicit(&t->cell[tail % CELLS], cell_of(i, generation),
                        memory_order_release);
  atomic_store_explicit(&t->head->tail, tail + 1, memory_order_release);
  atomic_thread_fence(memory_order_seq_cst);
  t->row++;
  t->unannounced++;
  t->latest = s;
  if (!t->holding || s->args_bytes > HELD_BYTES || t->unannounced == MOST_HELD)
    announce(t);
}

void table_hold(Table *t, bool holding) {
  t->holding = holding;
  if (!holding && t->unannounced > 0)
    announce(t);
}

bool table_revoke(Table *t, uint32_t i) {
  uint64_t want = word_of(SLOT_READY, 0, t->generation[i]);
  uint64_t free_word = word_of(SLOT_FREE, 0, t->generation[i]);
  if (!atomic_compare_exchange_strong(&t->slot[i].word, &want, free_word))
    return false;
  t->generation[i]++;
  t->spare[t->n_spare++] = i;
  return true;
}

SlotState table_state(const Table *t, uint32_t slot) {
  return state_of(atomic_load(&t->slot[slot].word));
}

bool table_doom(Table *t, uint32_t i) {
  uint64_t word = atomic_load(&t->slot[i].word);
  uint32_t w = owner_of(word);
  if (state_of(word) != SLOT_CLAIMED || w >= t->shape.workers)
    return false;
  atomic_store(&t->lane[w].doomed, cell_of(i, t->generation[i]));
  return true;
}

static void take_results(const Table *t, Completion *c) {
  const Slot *s = &t->slot[c->slot];
  uint32_t progress = atomic_load(&s->progress);
  size_t size = atomic_load(&s->result_bytes);
  size_t at = atomic_load(&s->result_at);
  size_t room = t->shape.window_bytes;
  if (at > room || size > room - at)
    at = size = 0; /* a worker gone wild: its items fail to decode */
  c->bytes = table_window(t, c->worker) + at;
  c->size = size;
  c->finished = progress / 2;
  c->running = progress % 2 != 0;
}

static bool collect_from(Table *t, uint32_t w, Completion *c) {
  uint64_t tail = atomic_load(&t->lane[w].out_tail);
  if (tail > t->seen[w] + OUT_CELLS)
    tail = t->seen[w] + OUT_CELLS;
  while (t->seen[w] < tail) {
    uint64_t cell = atomic_load(out_cell(t, w, t->seen[w]++));
    uint32_t i = slot_of(cell);
    uint64_t word = atomic_load(&t->slot[i].word);
    SlotState state = state_of(word);
    if (i >= t->n_used || t->generation[i] % 2 == 0 ||
        generation_of(cell) != t->generation[i] || owner_of(word) != w ||
        generation_of(word) != t->generation[i] ||
        (state != SLOT_DONE && state != SLOT_LOST))
      continue;
    if (t->seen[w] < tail) /* the next one is on its way meanwhile */
      __builtin_prefetch(
          &t->slot[slot_of(atomic_load(out_cell(t, w, t->seen[w])))]);
    *c = (Completion){.slot = i, .worker = w, .state = state};
    t->generation[i]++;
    t->held[w]++;
    t->row = 0;
    take_results(t, c);
    t->latest_bytes = c->bytes;
    return true;
  }
  return false;
}

/* Blocks are freed in order, so the head waits for the last one held. */
static void give_room(Table *t, uint32_t w) {
  Lane *lane = &t->lane[w];
  if (t->held[w] > 0 || t->given[w] == t->seen[w])
    return;
  t->given[w] = t->seen[w];
  atomic_store(&lane->out_head, t->seen[w]);
  if (atomic_load(&lane->wants_room) && atomic_exchange(&lane->wants_room, 0))
    rouse(t, w);
}

enum { TURN = 8 };

static bool collect_word(Table *t, uint32_t i, uint64_t mask, Completion *c) {
  uint64_t bits;
  while ((bits = t->due[i] & mask) != 0) {
    uint32_t w = i * 64 + (uint32_t)__builtin_ctzll(bits);
    if (w < t->shape.workers && collect_from(t, w, c)) {
      t->turn = w + (t->seen[w] % TURN == 0);
      return true;
    }
    t->due[i] &= ~(bits & -bits);
    if (w < t->shape.workers)
      give_room(t, w);
  }
  return false;
}

/* The workers take turns, some completions each: who collects one now and then
** starves nobody. */
bool table_collect(Table *t, Completion *c) {
  uint32_t first = t->turn < t->shape.workers ? t->turn : 0;
  uint64_t mask = UINT64_MAX << first % 64;
  for (uint32_t i = 0; i < words(t); i++)
    if (atomic_load(&t->done[i]) != 0)
      t->due[i] |= atomic_exchange(&t->done[i], 0);
  for (uint32_t i = 0; i <= words(t); i++, mask = UINT64_MAX)
    if (collect_word(t, (first / 64 + i) % words(t), mask, c))
      return true;
  return false;
}

bool table_has_completions(const Table *t) {
  for (uint32_t i = 0; i < words(t); i++)
    if (t->due[i] != 0 || atomic_load(&t->done[i]) != 0)
      return true;
  return false;
}

void table_inspect(const Table *t, uint32_t slot, Completion *c) {
  uint64_t word = atomic_load(&t->slot[slot].word);
  uint32_t owner = owner_of(word);
  *c = (Completion){.slot = slot};
  c->worker = owner < t->shape.workers ? owner : 0;
  c->state = state_of(word) == SLOT_DONE ? SLOT_DONE : SLOT_LOST;
  take_results(t, c);
}

/* While the worker is due it is looked at again before anybody sleeps: a few
** small blocks can wait for that, and its line is left alone. */
void table_release(Table *t, const Completion *c) {
  enum { FEW_BLOCKS = 16, SMALL = 256 };
  uint32_t w = c->worker;
  atomic_store_explicit(&t->slot[c->slot].word,
                        word_of(SLOT_FREE, 0, t->generation[c->slot]),
                        memory_order_release);
  t->spare[t->n_spare++] = c->slot;
  t->held[w]--;
  bool is_due = t->due[w / 64] >> w % 64 & 1;
  if (!is_due || c->size > SMALL || t->seen[w] - t->given[w] >= FEW_BLOCKS)
    give_room(t, w);
}

size_t table_start_error(const Table *t, char *to, size_t room) {
  if (atomic_load(&t->head->error_state) != 2)
    return 0;
  size_t n = t->head->error_bytes;
  n = n < TABLE_ERROR_BYTES ? n : TABLE_ERROR_BYTES;
  n = n < room ? n : room;
  memcpy(to, t->head->error, n);
  return n;
}

/* ---- worker ---- */

int table_attach(Table *t, TableShape shape, int fd, int event_fd) {
  *t = (Table){.shape = shape, .event_fd = event_fd};
  if (sys_shared_open(&t->region, fd, region_bytes(&shape)) != 0)
    return -1;
  lay_out(t);
  return 0;
}

bool table_claim(Table *t, uint32_t me, uint32_t *slot, uint64_t *generation) {
  for (;;) {
    uint64_t head = atomic_load(&t->head->head);
    if (head >= atomic_load(&t->head->tail))
      return false;
    uint64_t cell = atomic_load(&t->cell[head % CELLS]);
    uint32_t i = slot_of(cell);
    uint64_t want = word_of(SLOT_READY, 0, generation_of(cell));
    uint64_t mine = word_of(SLOT_CLAIMED, me, generation_of(cell));
    bool got = atomic_compare_exchange_strong(&t->slot[i].word, &want, mine);
    atomic_compare_exchange_strong(&t->head->head, &head, head + 1);
    if (got) {
      t->latest = &t->slot[i];
      t->latest_bytes = t->args.base + t->latest->args_at % t->args.bytes;
      t->dozes = t->latest->quick != 0;
      if (any(t, t->idle) && table_unclaimed(t) > 0 &&
          !can_wait(t, t->latest) && !does_rest(t))
        wake_one(t); /* the parent may have left that to us */
      *slot = i;
      *generation = generation_of(cell);
      return true;
    }
  }
}

/* False: this process can no longer be heard. */
static bool kick_if_armed(Table *t, bool at_once) {
  uint32_t n = atomic_load(&t->head->armed);
  while (n > 0) {
    uint32_t left = at_once ? 0 : n - 1;
    if (atomic_compare_exchange_strong(&t->head->armed, &n, left))
      return left > 0 || sys_event_kick(t->event_fd);
  }
  return true;
}

static void publish(Table *t, uint32_t w, uint32_t i, uint64_t generation) {
  uint64_t tail = atomic_load(&t->lane[w].out_tail);
  atomic_store_explicit(out_cell(t, w, tail), cell_of(i, generation),
                        memory_order_release);
  atomic_store_explicit(&t->lane[w].out_tail, tail + 1, memory_order_release);
  atomic_thread_fence(memory_order_seq_cst);
}

bool table_finish(Table *t, uint32_t me, uint32_t slot, uint64_t generation) {
  _Atomic uint64_t *done = &t->done[me / 64];
  uint64_t bit = (uint64_t)1 << me % 64;
  atomic_store_explicit(&t->slot[slot].word, word_of(SLOT_DONE, me, generation),
                        memory_order_release);
  publish(t, me, slot, generation);
  if (!(atomic_load(done) & bit))
    atomic_fetch_or(done, bit);
  return kick_if_armed(t, false);
}

static void mark_idle(Table *t, uint32_t me) {
  atomic_store_explicit(&t->lane[me].woken_ns, 0, memory_order_relaxed);
  atomic_store(&t->lane[me].futex, 0);
  atomic_fetch_or(&t->idle[me / 64], (uint64_t)1 << me % 64);
}

static void unmark_idle(Table *t, uint32_t me) {
  atomic_fetch_and(&t->idle[me / 64], ~((uint64_t)1 << me % 64));
}

/* Until it is woken. A waker that was late had meant another sleep. */
static void sleep_idle(Table *t, uint32_t me) {
  _Atomic uint32_t *futex = &t->lane[me].futex;
  while (atomic_load(futex) == 0)
    sys_futex_wait(futex, 0);
  if (is_idle(t, me))
    unmark_idle(t, me);
}

void table_sleep(Table *t, uint32_t me) {
  if (any(t, t->done))
    kick_if_armed(t, true);
  if (yield_for_work(t, me) || spin_for_work(t, me))
    return;
  mark_idle(t, me);
  if (is_wanted(t) || (t->dozes && !doze(t, me))) {
    unmark_idle(t, me);
    return;
  }
  rouse_rester(t);
  sleep_idle(t, me);
  while (may_sleep_on(t, me)) {
    mark_idle(t, me);
    if (does_rest(t) && table_stopping(t) == STOP_NOT)
      sleep_idle(t, me);
    else
      unmark_idle(t, me);
  }
}

uint64_t table_collected(const Table *t, uint32_t me) {
  return atomic_load(&t->lane[me].out_head);
}

uint64_t table_published(const Table *t, uint32_t me) {
  return atomic_load(&t->lane[me].out_tail);
}

void table_wait_collected(Table *t, uint32_t me, uint64_t number) {
  Lane *lane = &t->lane[me];
  while (table_collected(t, me) < number && table_stopping(t) != STOP_NOW) {
    kick_if_armed(t, true);
    atomic_store(&lane->futex, 0);
    atomic_store(&lane->wants_room, 1);
    if (table_collected(t, me) >= number || table_stopping(t) == STOP_NOW)
      break;
    while (atomic_load(&lane->futex) == 0)
      sys_futex_wait(&lane->futex, 0);
  }
  atomic_store(&lane->wants_room, 0);
}

void table_waiting_block(const Table *t, uint32_t me, uint64_t number,
                         size_t *at, size_t *bytes) {
  uint64_t cell = atomic_load(out_cell(t, me, number));
  const Slot *s = &t->slot[slot_of(cell)];
  uint64_t word = atomic_load(&s->word);
  *at = atomic_load(&s->result_at);
  *bytes = atomic_load(&s->result_bytes);
  bool waits = owner_of(word) == me &&
               generation_of(word) == generation_of(cell) &&
               atomic_load(&s->word) == word;
  if (!waits || *at > t->shape.window_bytes ||
      *bytes > t->shape.window_bytes - *at)
    *at = *bytes = 0;
}

void table_set_pid(Table *t, uint32_t me, int pid) {
  atomic_store(&t->lane[me].pid, (uint32_t)pid);
}

int table_pid(const Table *t, uint32_t worker) {
  return (int)atomic_load(&t->lane[worker].pid);
}

void table_set_phase(Table *t, uint32_t me, WorkerPhase phase) {
  if (phase == PHASE_LEAVING)
    rouse_rester(t);
  atomic_store(&t->lane[me].phase, phase);
}

void table_fail_start(Table *t, const void *error, size_t bytes) {
  uint32_t none = 0;
  if (bytes > TABLE_ERROR_BYTES ||
      !atomic_compare_exchange_strong(&t->head->error_state, &none, 1))
    return;
  memcpy(t->head->error, error, bytes);
  t->head->error_bytes = (uint32_t)bytes;
  atomic_store(&t->head->error_state, 2);
}

/* ---- supervisor ---- */

WorkerPhase table_phase(const Table *t, uint32_t worker) {
  return (WorkerPhase)atomic_load(&t->lane[worker].phase);
}

void table_reset_lane(Table *t, uint32_t worker) {
  atomic_store(&t->lane[worker].futex, 1);
  atomic_store(&t->lane[worker].wants_room, 0);
  table_set_phase(t, worker, PHASE_STARTING);
}

uint64_t table_doomed(const Table *t, uint32_t worker) {
  return atomic_load(&t->lane[worker].doomed);
}

bool table_is_at(const Table *t, uint32_t worker, uint64_t cell) {
  uint64_t word = atomic_load(&t->slot[slot_of(cell)].word);
  return word == word_of(SLOT_CLAIMED, worker, generation_of(cell));
}

/* Who died, or stands still, may just have cleared the bit of somebody whom it
** was to wake, and nobody else will. Who is not asleep does not mind. */
static void rouse_unmarked(Table *t) {
  for (uint32_t w = 0; w < t->shape.workers; w++)
    if (!is_idle(t, w))
      rouse(t, w);
}

void table_pass_over(Table *t, uint32_t worker) {
  stop_looking(t, worker);
  wake(t, worker);
  rouse_unmarked(t);
}

static bool is_published(const Table *t, uint32_t w, uint64_t cell) {
  uint64_t tail = table_published(t, w);
  uint64_t from = tail > TABLE_UNREAD ? tail - TABLE_UNREAD : 0;
  for (uint64_t i = from; i < tail; i++)
    if (atomic_load(out_cell(t, w, i)) == cell)
      return true;
  return false;
}

/*
** The worker is reaped.  What it held is lost, what it finished is delivered
** whether or not it came to say so.  Every step may be repeated.
*/
bool table_repair(Table *t, uint32_t w, int why) {
  bool held = false;
  uint32_t used = atomic_load(&t->head->slots_used);
  for (uint32_t i = 0; i < used && i < TABLE_SLOTS; i++) {
    Slot *s = &t->slot[i];
    uint64_t word = atomic_load(&s->word);
    uint64_t generation = generation_of(word);
    if (owner_of(word) != w)
      continue;
    if (state_of(word) == SLOT_CLAIMED) {
      held = true;
      s->why = (uint32_t)why;
      atomic_store(&s->word, word_of(SLOT_LOST, w, generation));
      publish(t, w, i, generation);
    } else if (state_of(word) == SLOT_DONE &&
               !is_published(t, w, cell_of(i, generation))) {
      publish(t, w, i, generation);
    }
  }
  atomic_fetch_or(&t->done[w / 64], (uint64_t)1 << w % 64);
  atomic_fetch_and(&t->idle[w / 64], ~((uint64_t)1 << w % 64));
  stop_looking(t, w);
  if (table_stopping(t) == STOP_NOT) /* else all were roused */
    rouse_unmarked(t);
  if (table_stopping(t) != STOP_DRAINED) /* it waits for the last one's end */
    table_wake_parent(t);
  return held;
}
