/*
** step_test.c - a worker is killed at any instruction of what it does.
** Runs in: the tests, their workers, and as the tracer of one.  Never: Lua.
**
**   step_test                  when it has changed what they share, every 2nd
**                              time
**   step_test STRIDE [SEED]    after every STRIDEth instruction
**
** A scene brings a worker to some state and holds it there.  It is stepped, and
** somewhere on its way the parent acts; then it is killed, the supervisor
** repairs, and whoever is left has to do what there is: every item has one
** outcome, at most one is lost, and the pool's descriptor tells of all of them.
** Where others live, replacements do not start before that.
*/
#define _GNU_SOURCE
#include "pool_harness.h"
#include "check.h"

#include <poll.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum { WATCHED_PAGES = 1024, PAGE = 4096, LOOK_EVERY = 8 };
enum { STRIDE = 2 };
enum { TICK_US = 4000, PATIENCE_MS = 3000 };
enum { ITEMS = 2000, WINDOW = 1 << 20, FOR_EVER = 1 << 30 };
static const uint64_t SECOND = 1000000000;
static const Item SMALL; /* its result is its number */

typedef struct Scene {
  const char *name;
  uint32_t workers, max_items;
  bool starts;               /* the victim is a replacement, at its start */
  bool looks;                /* workers look before they sleep */
  uint32_t busy;             /* workers that `before` has given work for long */
  void (*before)(Round *r);  /* at full speed; then the victim is held */
  void (*trigger)(Round *r); /* what makes it move */
  void (*act)(Round *r);     /* what it meets on its way */
} Scene;

typedef struct Trial {
  const Scene *scene;
  Round round;
  int victim;
  uint32_t instructions, steps; /* so far */
  const uint8_t *shared;        /* the first pages of the table, or NULL */
  unsigned char touched[WATCHED_PAGES];
  uint64_t state;
  bool blocked; /* it sleeps, or has ended by itself */
  bool ended;
} Trial;

static Nursery nursery;
static bool by_changes;

/* In place of libc's, which reads a page of the kernel's again and again until
** it stands still: for who goes step by step it never does. */
int clock_gettime(clockid_t clock, struct timespec *t) {
  return (int)syscall(SYS_clock_gettime, clock, t);
}

/* ---- the tracer ---- */

static char read_state(int pid, long *call) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/syscall", pid);
  FILE *f = fopen(path, "re");
  *call = -1;
  if (f != NULL) {
    if (fscanf(f, "%ld", call) != 1)
      *call = -1;
    fclose(f);
  }
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  f = fopen(path, "re");
  size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
  if (f != NULL)
    fclose(f);
  text[n] = '\0';
  const char *end = strrchr(text, ')');
  return end == NULL ? '?' : end[2];
}

static void await_asleep(int pid) {
  long call;
  while (read_state(pid, &call) != 'S' || call != SYS_futex)
    sys_sleep_ns(50000);
}

static void tick(int number) {
  (void)number;
}

static void set_ticks(bool on) {
  struct itimerval every = {{0, on ? TICK_US : 0}, {0, on ? TICK_US : 0}};
  setitimer(ITIMER_REAL, &every, NULL);
}

/* Until it stands still; false when it sleeps in the kernel instead. */
static bool await_stop(Trial *t) {
  long call;
  int status;
  while (waitpid(t->victim, &status, __WALL) != t->victim)
    if (read_state(t->victim, &call) == 'S')
      return false;
  t->ended = WIFEXITED(status) || WIFSIGNALED(status);
  return !t->ended;
}

static void hold(Trial *t) {
  if (ptrace(PTRACE_SEIZE, t->victim, NULL, NULL) != 0 ||
      ptrace(PTRACE_INTERRUPT, t->victim, NULL, NULL) != 0 || !await_stop(t))
    abort();
}

/* Of memory that somebody has touched, and of the parent's descriptor. */
static uint64_t read_shared(Trial *t) {
  struct pollfd one = {.fd = pool_fd(t->round.pool), .events = POLLIN};
  uint64_t sum = (uint64_t)poll(&one, 1, 0), word;
  if (t->instructions % LOOK_EVERY == 1 &&
      mincore((void *)(uintptr_t)t->shared, WATCHED_PAGES * PAGE, t->touched))
    abort();
  for (size_t i = 0; i < WATCHED_PAGES; i++)
    for (size_t at = 0; at < PAGE && t->touched[i] % 2 != 0;
         at += sizeof word) {
      memcpy(&word, t->shared + i * PAGE + at, sizeof word);
      sum = (sum ^ word) * 0x9E3779B97F4A7C15U;
    }
  return sum;
}

static bool is_step(Trial *t) {
  if (t->shared == NULL)
    return true;
  uint64_t before = t->state;
  t->state = read_shared(t);
  return t->state != before;
}

static void step(Trial *t, uint32_t n) {
  set_ticks(true);
  if (t->blocked && !t->ended) /* somebody may have woken it since */
    t->blocked = !await_stop(t);
  while (n > 0 && !t->blocked) {
    if (ptrace(PTRACE_SINGLESTEP, t->victim, NULL, NULL) != 0)
      abort();
    t->instructions++;
    t->blocked = !await_stop(t);
    if (!t->blocked && is_step(t)) {
      t->steps++;
      n--;
    }
  }
  set_ticks(false);
}

static void kill_victim(Trial *t) {
  atomic_store(&page->killed[t->victim], 1);
  if (t->ended)
    return;
  kill(t->victim, SIGKILL);
  while (!t->ended)
    await_stop(t);
}

/* ---- the workers ---- */

static void run_held(void *runner, Table *t, const Brief *brief, uint32_t me,
                     uint32_t generation) {
  if (generation > 1)
    atomic_store(&page->pid[me], (int)getpid());
  for (uint32_t from; (from = atomic_load(&page->held)) > 0;)
    if (generation < from)
      break;
    else
      sys_sleep_ns(50000);
  run_worker(runner, t, brief, me, generation);
}

static WorkerMain be_held = {prepare_worker, run_held};

/* ---- what happens before, and meanwhile ---- */

static void await_finished(uint64_t n) {
  while (atomic_load(&page->finished) < n)
    sys_sleep_ns(50000);
}

static void run_some(Round *r, uint32_t n) {
  while (n-- > 0)
    submit(r, 1, SMALL);
  if (!collect_all(r, 5 * SECOND))
    abort();
}

static void one_task(Round *r) {
  submit(r, 1, SMALL);
}

/* Who runs it dozes before it sleeps. */
static void quick_task(Round *r) {
  r->fn->ns_per_item = 1;
  submit(r, 1, SMALL);
}

static void some_tasks(Round *r) {
  submit(r, 2, SMALL);
  submit(r, 1, SMALL);
}

/* The parent wakes nobody: who finds them wakes the next one. */
static void found_tasks(Round *r) {
  pool_hold(r->pool, true);
  some_tasks(r);
}

static void one_more(Round *r) {
  pool_hold(r->pool, false);
  one_task(r);
}

static void take_results(Round *r) {
  collect(r);
}

static void close_pool(Round *r) {
  pool_close(r->pool);
}

static void go_round(Round *r) {
  run_some(r, 2 * TABLE_UNREAD + 100);
}

static void leave_unread(Round *r, uint32_t n, Item like) {
  uint64_t before = atomic_load(&page->finished);
  for (uint32_t i = 0; i < n; i++)
    submit(r, 1, like);
  await_finished(before + (n < TABLE_UNREAD ? n : TABLE_UNREAD));
}

static void leave_few(Round *r) {
  run_some(r, TABLE_UNREAD / 2);
  leave_unread(r, 5, SMALL);
}

static void leave_most(Round *r) {
  leave_unread(r, TABLE_UNREAD - 1, SMALL);
}

static void leave_all(Round *r) {
  leave_unread(r, TABLE_UNREAD + 1, SMALL);
}

/* The room that is left is too small for a result. */
static void fill_window(Round *r) {
  enum { HEAD = 12, LEFT = 16 };
  leave_unread(r, 1, (Item){.result_bytes = WINDOW - HEAD - LEFT});
}

static void wait_for_room(Round *r) {
  fill_window(r);
  submit(r, 1, SMALL);
}

static void keep_one_busy(Round *r) {
  submit(r, 1, (Item){.waits = 1});
  while (atomic_load(&page->begun[(r->next - 1) % MOST_ITEMS]) == 0)
    sys_sleep_ns(50000);
}

static const Scene scenes[] = {
    {"woken for a task", 2, .act = one_task},
    {"woken with others", 3, .act = some_tasks},
    {"runs tasks", 1, .act = some_tasks},
    {"its ring has gone round", 1, .before = go_round, .act = some_tasks},
    {"results unread", 1, .before = leave_most, .act = some_tasks},
    {"waits for a reader", 1, .before = leave_all, .act = take_results},
    {"its window is full", 1, .before = fill_window, .act = some_tasks},
    {"waits for room", 1, .before = wait_for_room, .act = take_results},
    {"told to leave", 2, .before = leave_few, .trigger = take_results,
     .act = close_pool},
    {"has run all it may", 1, 2, .act = some_tasks},
    {"starts", 1, .starts = true, .before = leave_few, .act = some_tasks},
    {"starts, and looks", 3, .starts = true, .looks = true, .act = some_tasks},
    {"wakes others", 3, .starts = true, .trigger = found_tasks,
     .act = one_more},
    {"dozes", 3, .busy = 1, .before = keep_one_busy, .trigger = quick_task,
     .act = quick_task},
};

/* ---- trials ---- */

static void settle_down(const Scene *s) {
  for (uint32_t w = 0; w < s->workers; w++)
    while (atomic_load(&page->pid[w]) == 0)
      sys_sleep_ns(50000);
}

/* The lowest one of those who sleep is woken first. */
static void choose_victim(Trial *t) {
  long call;
  uint32_t w = 0;
  settle_down(t->scene);
  if (t->scene->starts) {
    int pid = atomic_load(&page->pid[0]);
    await_asleep(pid);
    atomic_store(&page->held, 2);
    atomic_store(&page->killed[pid], 1);
    kill(pid, SIGKILL);
    while ((t->victim = atomic_load(&page->pid[0])) == pid)
      sys_sleep_ns(50000);
    return;
  }
  uint32_t asleep = 0;
  while (asleep + t->scene->busy < t->scene->workers) {
    asleep = 0;
    for (w = 0; w < t->scene->workers; w++)
      asleep += read_state(atomic_load(&page->pid[w]), &call) == 'S' &&
                call == SYS_futex;
  }
  for (w = 0; w < t->scene->workers; w++)
    if (read_state(atomic_load(&page->pid[w]), &call) == 'S' &&
        call == SYS_futex)
      break;
  t->victim = atomic_load(&page->pid[w]);
}

/* Where the table of the only pool begins. */
static const uint8_t *find_table(void) {
  unsigned long long at = 0;
  char line[256];
  FILE *f = fopen("/proc/self/maps", "re");
  while (f != NULL && at == 0 && fgets(line, sizeof line, f) != NULL)
    if (strstr(line, "memfd:tidepool") != NULL)
      sscanf(line, "%llx", &at);
  if (f != NULL)
    fclose(f);
  return (const uint8_t *)(uintptr_t)at;
}

static bool begin(Trial *t, const Scene *scene) {
  PoolSpec spec = {.processes = scene->workers,
                   .depth = 1,
                   .max_items = scene->max_items,
                   .window_bytes = WINDOW,
                   .options = (const uint8_t *)"",
                   .digests = ""};
  *t = (Trial){.scene = scene};
  setenv("TIDEPOOL_SPIN", scene->looks ? "1" : "0", 1);
  atomic_store(&page->held, scene->workers > 1 ? 2 : 0);
  atomic_store(&page->finished, 0);
  if (!open_round(&t->round, &spec, &nursery, 1, ITEMS))
    return false;
  settle_down(scene);
  if (scene->before != NULL)
    scene->before(&t->round);
  choose_victim(t);
  pool_poll(t->round.pool); /* the next result makes its descriptor readable */
  hold(t);
  t->shared = by_changes ? find_table() : NULL;
  atomic_store(&page->held, scene->workers == 1 ? 0 : scene->starts ? 3 : 2);
  if (scene->trigger != NULL)
    scene->trigger(&t->round);
  return true;
}

/* As an event loop does: it looks at nothing before the descriptor tells. */
static bool hear_all(Round *r, uint64_t busy) {
  struct pollfd one = {.fd = pool_fd(r->pool), .events = POLLIN};
  while (pool_outstanding(r->pool) > busy) {
    if (poll(&one, 1, PATIENCE_MS) != 1)
      return false;
    pool_poll(r->pool);
    collect(r);
  }
  return true;
}

static bool has_begun(uint64_t id) {
  uint64_t end = sys_now_ns() + PATIENCE_MS * (uint64_t)1000000;
  while (atomic_load(&page->begun[id % MOST_ITEMS]) == 0)
    if (sys_now_ns() > end)
      return false;
  return true;
}

/* Nobody dozes any more: whoever is left is woken for what comes later, too,
** and all of them if there is work for all. */
static bool wake_others(Trial *t) {
  Round *r = &t->round;
  uint32_t others = t->scene->workers - 1 - t->scene->busy;
  pool_hold(r->pool, false);
  sys_sleep_ns(2000000);
  quick_task(r);
  if (!hear_all(r, t->scene->busy))
    return false;
  sys_sleep_ns(2000000);
  for (uint32_t i = 0; i < others; i++)
    submit(r, 1, (Item){.waits = 1});
  bool begun = true;
  for (uint32_t i = 1; i <= others; i++)
    begun = has_begun(r->next - i) && begun;
  return begun;
}

static bool finish(Trial *t) {
  Round *r = &t->round;
  uint32_t before = t->scene->starts ? 2 : 1;
  bool heard = hear_all(r, t->scene->busy);
  if (heard && t->scene->workers > 1 && t->scene->act != close_pool)
    heard = wake_others(t);
  atomic_store(&page->held, 0);
  atomic_store(&page->gate, 1);
  bool all = hear_all(r, 0);
  pool_close(r->pool);
  bool ended = await_end(r, SECOND);
  bool right =
      is_right(r) && r->lost < before + 1 && settled(r) == r->next - r->base;
  close_round(r);
  if (!heard || !all || !ended || !right)
    printf("%s: after %d steps: %s\n", t->scene->name, (int)t->steps,
           !heard   ? "those who are left do not do what there is"
           : !all   ? "not all comes to an end"
           : !ended ? "the pool does not end"
                    : "an item has not its one outcome");
  return heard && all && ended && right;
}

/* The parent acts after `early` steps and the victim dies `late` ones later;
** how many it took. */
static bool attempt(const Scene *scene, uint32_t *early, uint32_t *late) {
  Trial t;
  if (!begin(&t, scene))
    return false;
  step(&t, *early);
  *early = t.steps;
  scene->act(&t.round);
  step(&t, *late);
  *late = t.steps - *early;
  kill_victim(&t);
  return finish(&t);
}

/* A step is an instruction, or all up to the next change. It dies as soon as
** the parent has acted, or later. */
static void play(const Scene *scene, uint32_t stride) {
  uint32_t early = FOR_EVER, late = FOR_EVER, trials = 1;
  bool right = attempt(scene, &early, &late);
  uint32_t most_early = early, most_late = late;
  for (uint32_t at = below(stride); at < most_early && right;
       at += stride, trials++) {
    early = at;
    late = 0;
    right = attempt(scene, &early, &late);
  }
  for (uint32_t at = below(stride); at < most_early + most_late && right;
       at += stride, trials++) {
    early = below(at + 1) % (most_early + 1);
    late = at - early;
    right = attempt(scene, &early, &late);
  }
  printf("%s: %d + %d steps, killed %d times\n", scene->name, (int)most_early,
         (int)most_late, (int)trials);
  check(right && most_late > 0, scene->name);
}

/* A container may forbid it. */
static bool can_trace(void) {
  int pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  bool can = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
  kill(pid, SIGKILL);
  waitpid(pid, NULL, __WALL);
  return can;
}

int main(int argc, char **argv) {
  uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : STRIDE;
  struct sigaction act = {.sa_handler = tick};
  by_changes = argc <= 1;
  chance ^= argc > 2 ? strtoull(argv[2], NULL, 10) : sys_now_ns();
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("step_test %d %llu\n", (int)stride,
         (unsigned long long)(chance ^ 88172645463325252U));
  sigaction(SIGALRM, &act, NULL);
  if (!can_trace()) {
    printf("skipped: no process may be traced here\n");
    return 0;
  }
  open_page();
  if (nursery_open(&nursery, &be_held) != 0)
    abort();
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
    play(&scenes[i], stride);
  nursery_close(&nursery);
  return report();
}
