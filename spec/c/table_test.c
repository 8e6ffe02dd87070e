/*
** table_test.c - the slot table against a naive reference, and garbage.
** Runs in: the tests; one process plays parent, workers and supervisor.
** Owns: tables of its own.  Never: Lua.
*/
#define _GNU_SOURCE
#include "table.h"
#include "check.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 70, STEPS = 200000, WHY = 9, LIMIT_S = 60 };
enum { CELLS = 2 * TABLE_SLOTS }; /* of the submission ring */

static void new_table(Table *t, uint32_t workers) {
  TableShape shape = {.workers = workers,
                      .args_bytes = 1 << 20,
                      .window_bytes = 1 << 16,
                      .soft_bytes = 1 << 15};
  if (table_new(t, shape) != 0)
    abort();
}

static uint32_t submit(Table *t) {
  uint32_t i;
  if (!table_acquire(t, &i))
    abort();
  table_submit(t, i);
  return i;
}

/* ---- random lives ---- */

typedef enum Fate { NOWHERE, WAITS, RUNS, ENDED, HELD } Fate;

typedef struct Model {
  Table table;
  Fate fate[TABLE_SLOTS];
  SlotState ends_as[TABLE_SLOTS];
  uint32_t worker[TABLE_SLOTS];
  struct {
    bool busy;
    uint32_t slot, unread;
    uint64_t generation;
  } work[WORKERS];
  Completion held[64];
  uint32_t n_held, waits, ended;
  bool right;
} Model;

static void expect(Model *m, bool ok) {
  m->right &= ok;
}

static void model_submit(Model *m) {
  uint32_t i;
  if (!table_acquire(&m->table, &i))
    return;
  expect(m, m->fate[i] == NOWHERE);
  table_submit(&m->table, i);
  m->fate[i] = WAITS;
  m->waits++;
}

static void model_revoke(Model *m) {
  uint32_t i = below(64); /* the ones used most */
  if (m->fate[i] == NOWHERE || m->fate[i] == HELD)
    return;
  bool revoked = table_revoke(&m->table, i);
  expect(m, revoked == (m->fate[i] == WAITS));
  if (revoked) {
    m->fate[i] = NOWHERE;
    m->waits--;
  }
}

static void model_claim(Model *m, uint32_t w) {
  uint32_t i;
  uint64_t generation;
  if (m->work[w].unread >= TABLE_UNREAD)
    return;
  bool got = table_claim(&m->table, w, &i, &generation);
  expect(m, got == (m->waits > 0));
  if (!got)
    return;
  expect(m, m->fate[i] == WAITS);
  m->fate[i] = RUNS;
  m->worker[i] = w;
  m->waits--;
  m->work[w].busy = true;
  m->work[w].slot = i;
  m->work[w].generation = generation;
}

static void model_end(Model *m, uint32_t w, SlotState how) {
  uint32_t i = m->work[w].slot;
  m->fate[i] = ENDED;
  m->ends_as[i] = how;
  m->work[w].busy = false;
  m->work[w].unread++;
  m->ended++;
}

static uint64_t done_word(uint32_t w, uint64_t generation) {
  return (uint64_t)SLOT_DONE | (uint64_t)w << 8 | generation << 24;
}

/* Dies idle, with a task, or with a result that it had no time to announce. */
static void model_die(Model *m, uint32_t w) {
  Table *t = &m->table;
  bool busy = m->work[w].busy, said = busy && below(2) == 0;
  uint32_t i = m->work[w].slot;
  if (said)
    atomic_store(&t->slot[i].word, done_word(w, m->work[w].generation));
  bool held = table_repair(t, w, WHY);
  expect(m, held == (busy && !said));
  if (busy)
    model_end(m, w, said ? SLOT_DONE : SLOT_LOST);
  if (below(2) == 0) /* every step may be repeated */
    expect(m, !table_repair(t, w, WHY));
  table_reset_lane(t, w);
}

static void model_collect(Model *m) {
  Completion c;
  bool got = table_collect(&m->table, &c);
  expect(m, got == (m->ended > 0));
  if (!got)
    return;
  expect(m, m->fate[c.slot] == ENDED && m->ends_as[c.slot] == c.state);
  expect(m, m->worker[c.slot] == c.worker);
  expect(m, c.state != SLOT_LOST || m->table.slot[c.slot].why == WHY);
  m->fate[c.slot] = HELD;
  m->ended--;
  m->held[m->n_held++] = c;
}

static void model_release(Model *m) {
  uint32_t k = below(m->n_held);
  Completion c = m->held[k];
  table_release(&m->table, &c);
  m->fate[c.slot] = NOWHERE;
  m->held[k] = m->held[--m->n_held];
  m->work[c.worker].unread = (uint32_t)(table_published(&m->table, c.worker) -
                                        table_collected(&m->table, c.worker));
}

static void model_step(Model *m, uint32_t busy_part) {
  uint32_t w = below(WORKERS);
  uint32_t what = below(16);
  if (what < 5 && m->waits < 500)
    model_submit(m);
  else if (what < 6)
    model_revoke(m);
  else if (what < 9 && !m->work[w].busy)
    model_claim(m, w);
  else if (what < 13 && m->work[w].busy) {
    table_finish(&m->table, w, m->work[w].slot, m->work[w].generation);
    model_end(m, w, SLOT_DONE);
  } else if (what == 13 && below(8) == 0 && m->work[w].unread < TABLE_UNREAD)
    model_die(m, w);
  else if (busy_part == 0 && m->n_held < 64 && below(2) == 0)
    model_collect(m);
  else if (busy_part == 0 && m->n_held > 0)
    model_release(m);
}

static void every_task_ends_once(void) {
  static Model m;
  m = (Model){.right = true};
  new_table(&m.table, WORKERS);
  for (uint32_t i = 0; i < STEPS; i++) /* now and then the parent is busy */
    model_step(&m, i / 8000 % 3 == 2);
  for (uint32_t w = 0; w < WORKERS; w++)
    model_die(&m, w);
  while (m.n_held > 0)
    model_release(&m);
  while (m.ended > 0 && m.right) {
    model_collect(&m);
    model_release(&m);
  }
  for (uint32_t i = 0; i < TABLE_SLOTS; i++)
    if (m.fate[i] == WAITS)
      expect(&m, table_revoke(&m.table, i));
  check(m.right, "tasks do what the reference says");
  check(m.table.n_spare == m.table.n_used, "all slots are free again");
  table_free(&m.table);
}

/* ---- single promises ---- */

static void completions_wait_in_their_order(void) {
  Table t;
  Completion c[3];
  uint32_t slot;
  uint64_t generation;
  new_table(&t, 1);
  for (int i = 0; i < 3; i++) {
    submit(&t);
    table_claim(&t, 0, &slot, &generation);
    table_finish(&t, 0, slot, generation);
  }
  bool got = table_collect(&t, &c[0]) && table_collect(&t, &c[1]);
  check(got && table_has_completions(&t), "two are taken, one waits");
  table_release(&t, &c[1]);
  check(table_collected(&t, 0) == 0, "the first is held: none is freed");
  table_release(&t, &c[0]);
  check(table_collect(&t, &c[2]) && !table_collect(&t, &c[0]),
        "the third comes, and no fourth");
  table_release(&t, &c[2]);
  check(table_collected(&t, 0) == 3, "nothing waits: all are freed");
  table_free(&t);
}

static void the_worker_hears_of_free_blocks(void) {
  enum { TASKS = 40, FEW = 16 };
  Table t;
  Completion c;
  uint32_t slot;
  uint64_t generation;
  new_table(&t, 1);
  for (int i = 0; i < TASKS; i++) {
    submit(&t);
    table_claim(&t, 0, &slot, &generation);
    table_finish(&t, 0, slot, generation);
  }
  bool in_time = true;
  for (uint64_t i = 1; i <= TASKS && table_collect(&t, &c); i++) {
    table_release(&t, &c);
    in_time = in_time && table_collected(&t, 0) + FEW > i;
  }
  check(in_time, "while more is there it hears of a few at once");
  check(!table_collect(&t, &c), "then nothing is there");
  check(table_collected(&t, 0) == TASKS, "and it has heard of all");
  table_free(&t);
}

static void claim_and_finish(Table *t, uint32_t worker) {
  uint32_t slot;
  uint64_t generation;
  submit(t);
  if (!table_claim(t, worker, &slot, &generation))
    abort();
  table_finish(t, worker, slot, generation);
}

/* Whose completions are collected while the first always has another one. */
static void workers_take_turns(void) {
  enum { MANY = 70 };
  Table t;
  Completion c;
  uint32_t others = 0;
  new_table(&t, MANY);
  claim_and_finish(&t, 3);
  claim_and_finish(&t, MANY - 1);
  for (int i = 0; i < 40; i++) {
    claim_and_finish(&t, 0);
    if (!table_collect(&t, &c))
      abort();
    others += c.worker != 0;
    table_release(&t, &c);
  }
  check(others == 2, "each worker has its turn");
  table_free(&t);
}

static void a_result_is_taken_once(void) {
  Table t;
  Completion c, again;
  uint32_t slot;
  uint64_t generation;
  new_table(&t, 2);
  submit(&t);
  table_claim(&t, 1, &slot, &generation);
  table_finish(&t, 1, slot, generation);
  check(table_collect(&t, &c), "the result comes");
  table_finish(&t, 1, slot, generation);
  check(!table_collect(&t, &again), "said twice, it comes once");
  table_release(&t, &c);
  for (uint64_t g = generation - 1; g < generation + 3; g++) {
    table_finish(&t, 1, slot, g);
    check(!table_collect(&t, &again), "of a free slot nothing comes");
  }
  check(t.n_spare == t.n_used, "the slot is free, once");
  table_free(&t);
}

static void revoked_tasks_leave_room(void) {
  Table t;
  uint32_t slot, first;
  uint64_t generation;
  new_table(&t, 2);
  first = submit(&t); /* nobody claims: its cell stays at the ring's end */
  uint32_t full = 0;
  for (uint32_t i = 0; i < CELLS + 9; i++) {
    if (!table_acquire(&t, &slot)) {
      full++;
      continue;
    }
    table_submit(&t, slot);
    table_revoke(&t, slot);
  }
  check(full == 10, "behind a waiting task the ring is full, and says so");
  check(table_claim(&t, 0, &slot, &generation) && slot == first,
        "the waiting task is the one that is claimed");
  check(table_acquire(&t, &slot), "then there is room");
  table_submit(&t, slot);
  check(table_claim(&t, 1, &first, &generation) && first == slot,
        "and what is submitted is claimed");
  table_free(&t);
}

static void blocks_that_wait_are_told(void) {
  Table t;
  Completion c;
  uint32_t slot;
  uint64_t generation;
  size_t at, bytes;
  new_table(&t, 1);
  submit(&t);
  table_claim(&t, 0, &slot, &generation);
  atomic_store(&t.slot[slot].result_at, 640);
  atomic_store(&t.slot[slot].result_bytes, 77);
  table_finish(&t, 0, slot, generation);
  table_waiting_block(&t, 0, 0, &at, &bytes);
  check(at == 640 && bytes == 77, "a result that waits has its block");
  table_collect(&t, &c);
  table_waiting_block(&t, 0, 0, &at, &bytes);
  check(at == 640 && bytes == 77, "taken, not released: still");
  table_release(&t, &c);
  table_waiting_block(&t, 0, 0, &at, &bytes);
  check(bytes == 0, "released: no more");
  table_free(&t);
}

static void serve(Table *t, uint32_t me) {
  uint32_t slot;
  uint64_t generation;
  while (table_stopping(t) == STOP_NOT) {
    uint64_t published = table_published(t, me);
    if (published - table_collected(t, me) >= TABLE_UNREAD)
      table_wait_collected(t, me, published - TABLE_UNREAD / 2);
    if (table_claim(t, me, &slot, &generation))
      table_finish(t, me, slot, generation);
    else
      table_sleep(t, me);
  }
  _exit(0);
}

static bool await_completion(Table *t, Completion *c) {
  enum { PATIENCE_MS = 5000 };
  struct pollfd event = {.fd = t->event_fd, .events = POLLIN};
  for (;;) {
    table_arm(t, 1);
    if (table_collect(t, c))
      return true;
    if (poll(&event, 1, PATIENCE_MS) != 1)
      return false;
    sys_event_clear(t->event_fd);
  }
}

/* One worker runs a task for ever, the other one dozes and falls asleep: tasks
** come just then, at no moment that can be chosen. */
static void a_quick_task_does_not_wait_for_the_busy(void) {
  enum { ROUNDS = 1000, MOST_NS = 2000000 };
  Table t;
  Completion c;
  uint32_t slot, round = 0;
  uint64_t generation;
  new_table(&t, 2);
  submit(&t);
  table_claim(&t, 0, &slot, &generation);
  pid_t other = fork();
  if (other == 0)
    serve(&t, 1);
  while (round < ROUNDS && table_acquire(&t, &slot)) {
    t.slot[slot].quick = 1;
    table_submit(&t, slot);
    if (!await_completion(&t, &c))
      break;
    table_release(&t, &c);
    struct timespec pause = {.tv_nsec = (long)below(MOST_NS)};
    nanosleep(&pause, NULL);
    round++;
  }
  check(round == ROUNDS, "a sleeper is woken, or wakes by himself");
  table_stop(&t, STOP_NOW);
  waitpid(other, NULL, 0);
  table_free(&t);
}

static uint32_t count_asleep(const Table *t) {
  return (uint32_t)__builtin_popcountll(atomic_load(&t->idle[0]));
}

/* All of them say that they sleep; how many still do after n tasks. */
static uint32_t asleep_after(Table *t, uint32_t n) {
  atomic_store(&t->idle[0], ((uint64_t)1 << t->shape.workers) - 1);
  while (n-- > 0)
    submit(t);
  return count_asleep(t);
}

static void nobody_is_woken_while_it_holds(void) {
  enum { SLEEPERS = 8, PROCESSORS = 2, LARGE = 1 << 16 };
  Table t;
  uint32_t slot = 0;
  new_table(&t, SLEEPERS);
  table_set_cpus(&t, PROCESSORS);
  check(asleep_after(&t, 3) == SLEEPERS - 3, "each task wakes a sleeper");
  table_hold(&t, true);
  check(asleep_after(&t, 3) == SLEEPERS, "held tasks wake none");
  table_hold(&t, false);
  check(asleep_after(&t, 0) == SLEEPERS && table_unclaimed(&t) == 6,
        "nobody is woken twice for a task");
  table_hold(&t, true);
  asleep_after(&t, 3);
  table_hold(&t, false);
  check(count_asleep(&t) == SLEEPERS - PROCESSORS,
        "at the end as many are woken as can run at once");
  table_hold(&t, true);
  check(asleep_after(&t, TABLE_SLOTS / 2) == 0, "many do not wait for the end");
  check(asleep_after(&t, 0) == SLEEPERS && table_acquire(&t, &slot),
        "all sleep, and there is room");
  t.slot[slot].args_bytes = LARGE;
  table_submit(&t, slot);
  check(count_asleep(&t) < SLEEPERS, "nor does a large one");
  table_free(&t);
}

static bool sleeps(const Table *t, uint32_t worker) {
  return atomic_load(&t->idle[0]) >> worker & 1;
}

/* A worker that sleeps, and is stopped there. */
static pid_t stopped_sleeper(Table *t, uint32_t me) {
  pid_t pid = fork();
  if (pid == 0)
    serve(t, me);
  while (!sleeps(t, me))
    sched_yield();
  kill(pid, SIGSTOP);
  waitpid(pid, NULL, WUNTRACED);
  return pid;
}

enum { BUSY = 3 }; /* a worker that the test plays */

/* Who sleeps is woken for tasks, of which another worker claims some, and much
** later they may go on. */
static void wake_late(Table *t, const pid_t *sleepers, int n) {
  enum { TASKS = 64, CLAIMS = 20, LATE_NS = 2000000 };
  uint32_t slot;
  uint64_t generation, until = sys_now_ns() + LATE_NS;
  for (int i = 0; i < TASKS; i++)
    submit(t);
  for (int i = 0; i < CLAIMS && table_claim(t, BUSY, &slot, &generation); i++)
    table_finish(t, BUSY, slot, generation);
  while (sys_now_ns() < until)
    sched_yield();
  while (n-- > 0)
    kill(sleepers[n], SIGCONT);
}

/* Collects all; when the first one of that worker was done, 0: none. */
static uint64_t first_done(Table *t, uint32_t worker) {
  uint64_t first = 0;
  Completion c;
  while (t->n_spare < t->n_used && await_completion(t, &c)) {
    if (first == 0 && c.worker == worker)
      first = sys_now_ns();
    table_release(t, &c);
  }
  return first;
}

static void end_all(Table *t, const pid_t *sleepers, int n) {
  table_stop(t, STOP_NOW);
  while (n-- > 0)
    waitpid(sleepers[n], NULL, 0);
  table_free(t);
}

/* Others claimed many tasks, but use no processor. */
static void who_comes_late_looks_first(void) {
  enum { SLEEPER = 2 };
  const uint64_t looks_ns = 1000000;
  Table t;
  new_table(&t, BUSY + 1);
  table_set_cpus(&t, 1);
  pid_t sleeper = stopped_sleeper(&t, SLEEPER);
  wake_late(&t, &sleeper, 1);
  uint64_t begin = sys_now_ns();
  check(first_done(&t, SLEEPER) >= begin + looks_ns,
        "and works when they do not suffice");
  end_all(&t, &sleeper, 1);
}

static volatile sig_atomic_t over;

static void be_over(int number) {
  (void)number;
  over = 1;
}

/* A worker that needs the processor, for tasks of that length; 0: for one that
** does not end. */
static pid_t burn(Table *t, uint32_t me, uint64_t task_ns) {
  uint32_t slot;
  uint64_t generation;
  pid_t pid = fork();
  if (pid != 0)
    return pid;
  sigaction(SIGTERM, &(struct sigaction){.sa_handler = be_over}, NULL);
  while (!over) {
    bool got = task_ns > 0 && table_claim(t, me, &slot, &generation);
    uint64_t until = sys_now_ns() + task_ns;
    while (!over && sys_now_ns() < until)
      continue;
    if (got)
      table_finish(t, me, slot, generation);
  }
  _exit(0);
}

/* There is always something to do. */
static void feed(Table *t) {
  enum { ENOUGH = 32 };
  Completion c;
  while (table_collect(t, &c))
    table_release(t, &c);
  while (table_unclaimed(t) < ENOUGH)
    submit(t);
}

enum { FIRST = 1, PAIR = 2, QUICK_NS = 100000 };

/* Two sleepers, and two more workers that keep the processor busy. */
static void new_busy_table(Table *t, pid_t *sleepers, pid_t *burners,
                           uint64_t task_ns) {
  const uint32_t busy[PAIR] = {0, BUSY + 1};
  new_table(t, BUSY + 2);
  table_set_cpus(t, 1);
  for (uint32_t i = 0; i < PAIR; i++) {
    burners[i] = burn(t, busy[i], task_ns);
    table_set_pid(t, busy[i], burners[i]);
    sleepers[i] = stopped_sleeper(t, FIRST + i);
    table_set_pid(t, FIRST + i, sleepers[i]);
  }
}

static void end_burners(const pid_t *burners) {
  for (int i = 0; i < PAIR; i++) {
    kill(burners[i], SIGTERM);
    waitpid(burners[i], NULL, 0);
  }
}

static char state_of_process(pid_t pid) {
  char path[32], state = '?';
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(path, "r");
  if (f != NULL && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
    state = '?';
  if (f != NULL)
    fclose(f);
  return state;
}

/* It naps, but does not say that it sleeps. */
static bool rests(const Table *t, uint32_t worker, pid_t pid) {
  return !sleeps(t, worker) && state_of_process(pid) == 'S';
}

/* The one of the pair that sleeps, with tasks there, while the other one rests;
** 0: none. */
static uint32_t sleeper_beside_rester(const Table *t, const pid_t *pair) {
  for (uint32_t i = 0; i < PAIR; i++)
    if (sleeps(t, FIRST + i) && rests(t, FIRST + 1 - i, pair[1 - i]) &&
        table_unclaimed(t) > 0)
      return FIRST + i;
  return 0;
}

/* A rest may end just then, since the rester wakes who is needed, and elsewhere
** programs run that need the processor.  So it is looked at often. */
static void while_one_rests_the_late_sleep_on(void) {
  enum { TIMES = 20 };
  const uint64_t most_ns = 60000000000;
  Table t;
  pid_t sleepers[PAIR], burners[PAIR];
  int slept_on = 0;
  new_busy_table(&t, sleepers, burners, QUICK_NS);
  wake_late(&t, sleepers, PAIR);
  for (uint64_t until = sys_now_ns() + most_ns;
       slept_on < TIMES && sys_now_ns() < until;) {
    feed(&t);
    uint32_t sleeper = sleeper_beside_rester(&t, sleepers);
    if (sleeper == 0)
      continue;
    submit(&t);
    slept_on += sleeps(&t, sleeper);
  }
  check(slept_on == TIMES, "and nobody is woken");
  end_burners(burners);
  first_done(&t, FIRST);
  check(t.n_spare == t.n_used, "until they are needed");
  end_all(&t, sleepers, PAIR);
}

static void await_rester(Table *t, uint32_t worker, pid_t pid) {
  kill(pid, SIGCONT);
  while (!rests(t, worker, pid))
    feed(t);
}

/* The first one was away for so long that the second took its place. */
static void one_rests_at_a_time(void) {
  const uint64_t absent_ns = 50000000, most_ns = 2000000000;
  Table t;
  pid_t sleepers[PAIR], burners[PAIR];
  new_busy_table(&t, sleepers, burners, QUICK_NS);
  wake_late(&t, sleepers, 0);
  await_rester(&t, FIRST, sleepers[0]);
  kill(sleepers[0], SIGSTOP);
  for (uint64_t until = sys_now_ns() + absent_ns; sys_now_ns() < until;)
    feed(&t);
  await_rester(&t, FIRST + 1, sleepers[1]);
  kill(sleepers[0], SIGCONT);
  uint64_t until = sys_now_ns() + most_ns;
  while (!sleeps(&t, FIRST) && sys_now_ns() < until)
    feed(&t);
  check(sleeps(&t, FIRST), "who was replaced sleeps on");
  end_burners(burners);
  first_done(&t, FIRST);
  check(t.n_spare == t.n_used, "until it is needed");
  end_all(&t, sleepers, PAIR);
}

/* Others keep the processors busy, but take none of the tasks. */
static void tasks_do_not_wait_for_long_ones(void) {
  Table t;
  pid_t sleepers[PAIR], burners[PAIR];
  new_busy_table(&t, sleepers, burners, 0);
  wake_late(&t, sleepers, PAIR);
  first_done(&t, FIRST);
  check(t.n_spare == t.n_used, "who came late runs them");
  end_burners(burners);
  end_all(&t, sleepers, PAIR);
}

/* Each one takes the parent a while, as it does in life. */
static uint32_t run_in_row(Table *t, uint32_t n) {
  enum { AT_ONCE = 16, WHILE_NS = 2000 };
  Completion c;
  uint32_t done = 0;
  for (uint32_t i = 1; i <= n; i++) {
    uint64_t until = sys_now_ns() + WHILE_NS;
    submit(t);
    for (; i % AT_ONCE == 0 && table_collect(t, &c); done++)
      table_release(t, &c);
    while (sys_now_ns() < until)
      continue;
  }
  for (; done < n && await_completion(t, &c); done++)
    table_release(t, &c);
  return done;
}

/* On one processor. */
static void tasks_in_a_row_are_not_a_switch_each(void) {
  enum { TASKS = 10000 };
  Table t;
  cpu_set_t all, one;
  struct rusage used;
  sched_getaffinity(0, sizeof all, &all);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
  new_table(&t, 1);
  pid_t worker = fork();
  if (worker == 0)
    serve(&t, 0);
  check(run_in_row(&t, TASKS) == TASKS, "all are done");
  table_stop(&t, STOP_NOW);
  wait4(worker, NULL, 0, &used);
  check(used.ru_nvcsw + used.ru_nivcsw < TASKS / 4,
        "the worker does many of them before it sleeps");
  sched_setaffinity(0, sizeof all, &all);
  table_free(&t);
}

static void look_up(int number) {
  (void)number;
}

/* Told to wake when it slept again: its waker had cleared the bit of the sleep
** before. */
static void a_late_waker_leaves_no_sleeper_behind(void) {
  Table t;
  uint32_t slot;
  uint64_t generation;
  int status = 1;
  new_table(&t, 1);
  pid_t worker = fork();
  if (worker == 0) {
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = look_up}, NULL);
    while (!table_claim(&t, 0, &slot, &generation))
      table_sleep(&t, 0);
    _exit(atomic_load(t.idle) != 0);
  }
  while (atomic_load(t.idle) == 0)
    sys_sleep_ns(100000);
  table_hold(&t, true);
  submit(&t);
  table_reset_lane(&t, 0);
  while (waitpid(worker, &status, WNOHANG) == 0) {
    kill(worker, SIGUSR1);
    sys_sleep_ns(1000000);
  }
  check(status == 0, "who runs a task is not taken for a sleeper");
  table_free(&t);
}

/* It got no further than to clear the bit of whom it meant to wake. */
static void a_waker_cut_short_leaves_nobody_asleep(void) {
  enum { DEAD, STOPPED, SLEEPER, WAYS = 2, LOOKS = 2000 };
  Table t;
  for (uint32_t way = 0; way < WAYS; way++) {
    new_table(&t, SLEEPER + 1);
    pid_t sleeper = fork();
    if (sleeper == 0) {
      table_sleep(&t, SLEEPER);
      _exit(0);
    }
    while (atomic_load(t.idle) == 0)
      sys_sleep_ns(100000);
    atomic_store(t.idle, 0);
    if (way == DEAD)
      table_repair(&t, DEAD, WHY);
    else
      table_pass_over(&t, STOPPED);
    int looks = 0;
    while (waitpid(sleeper, NULL, WNOHANG) == 0 && looks++ < LOOKS)
      sys_sleep_ns(1000000);
    check(looks < LOOKS, "whom it had not woken yet is woken");
    kill(sleeper, SIGKILL);
    waitpid(sleeper, NULL, 0);
    table_free(&t);
  }
}

/* ---- garbage ---- */

static void scribble(Table *t) {
  uint8_t *at = t->region.base;
  size_t bytes = t->shape.control_bytes & ~(size_t)7;
  uint32_t kind = below(4);
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t w = random_word();
    if (kind == 1)
      w &= 0xff03; /* plausible words */
    else if (kind == 2)
      w = UINT64_MAX;
    else if (kind == 3 && w % 16 != 0)
      continue;
    memcpy(at + i, &w, sizeof w);
  }
}

static void use_scribbled(Table *t) {
  Completion c;
  uint32_t slot;
  char error[TABLE_ERROR_BYTES];
  for (int i = 0; i < 2000 && table_collect(t, &c); i++) {
    if (c.size > 0)
      *(volatile const uint8_t *)&c.bytes[c.size - 1];
    table_release(t, &c);
  }
  for (int i = 0; i < 50 && table_acquire(t, &slot); i++) {
    table_submit(t, slot);
    if (i % 2 == 0)
      table_revoke(t, slot);
    table_inspect(t, slot, &c);
    if (c.size > 0)
      *(volatile const uint8_t *)&c.bytes[c.size - 1];
  }
  table_start_error(t, error, sizeof error);
  for (uint32_t w = 0; w < t->shape.workers; w++)
    table_repair(t, w, WHY);
  table_wake_idle(t);
  table_wake_parent(t);
}

/* Workers write anything: parent and supervisor go on, inside their bounds. */
static void garbage_harms_nobody(void) {
  Table t;
  for (int round = 0; round < 40; round++) {
    new_table(&t, round % 2 == 0 ? 3 : WORKERS);
    for (int i = 0; i < 10; i++)
      submit(&t);
    scribble(&t);
    use_scribbled(&t);
    table_free(&t);
  }
  check(true, "parent and supervisor live among garbage");
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  alarm(LIMIT_S * 5);
  every_task_ends_once();
  completions_wait_in_their_order();
  the_worker_hears_of_free_blocks();
  workers_take_turns();
  a_result_is_taken_once();
  blocks_that_wait_are_told();
  a_quick_task_does_not_wait_for_the_busy();
  nobody_is_woken_while_it_holds();
  who_comes_late_looks_first();
  while_one_rests_the_late_sleep_on();
  one_rests_at_a_time();
  tasks_do_not_wait_for_long_ones();
  tasks_in_a_row_are_not_a_switch_each();
  a_late_waker_leaves_no_sleeper_behind();
  a_waker_cut_short_leaves_nobody_asleep();
  garbage_harms_nobody();
  alarm(LIMIT_S); /* a spinning parent dies of it */
  revoked_tasks_leave_room();
  return report();
}
