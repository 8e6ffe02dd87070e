/*
** pool_stress_test.c - pools whose processes are killed at random.
** Runs in: the tests, their workers and a killer.  Never: Lua.
**
**   pool_stress_test [KILLS [SEED]]     600 kills, seed from the clock
**
** Each round is a pool of random shape with items of random size.  A killer
** sends SIGKILL, SIGSEGV, or SIGSTOP and SIGCONT to random workers; in some
** rounds the supervisor dies once, the parent is busy, workers are recycled,
** or the pool is terminated under way.  Every item has one outcome and its own
** bytes; lost are only items whose worker was killed; nothing hangs.
*/
#define _GNU_SOURCE
#include "pool_harness.h"
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { LIMIT_S = 60, KILLS = 600, PARENTS = 8, MOST_CHUNK = 8 };
static const uint64_t SECOND = 1000000000;
static const uint64_t MS = 1000000;

static Nursery nursery;
static Round *watched; /* for the watchdog */

/* ---- the killer ---- */

static int open_pid(int pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int send_by(int fd, int number) {
  return (int)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
}

/* Numbers are used again: is it the process that we mean? */
static bool is_ours(int pid, const char *name, int parent) {
  char path[64], text[256];
  int its_parent = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  char *from = strchr(text, '('), *end = strrchr(text, ')');
  if (from == NULL || end == NULL || sscanf(end, ") %*c %d", &its_parent) != 1)
    return false;
  return strncmp(from + 1, name, strlen(name)) == 0 &&
         (parent == 0 || its_parent == parent);
}

static bool send_to(int pid, const char *name, int parent, int number) {
  int fd = pid > 1 ? open_pid(pid) : -1;
  bool sent = false;
  if (fd >= 0 && is_ours(pid, name, parent)) {
    if (number == SIGKILL || number == SIGSEGV)
      atomic_store(&page->killed[pid], 1);
    sent = send_by(fd, number) == 0;
    if (sent && number == SIGSTOP) {
      sys_sleep_ns(below(3000) * (uint64_t)1000);
      send_by(fd, SIGCONT);
    }
  }
  sys_close(fd);
  return sent;
}

static void hit_worker(void) {
  static const int numbers[] = {SIGKILL, SIGKILL, SIGSEGV, SIGSTOP};
  uint32_t w = below(MOST_WORKERS);
  int pid = atomic_load(&page->pid[w]), number = numbers[below(4)];
  if (!send_to(pid, "tidepool ", atomic_load(&page->parent[w]), number))
    return;
  if (number == SIGSTOP) {
    atomic_fetch_add(&page->stops, 1);
    return;
  }
  atomic_fetch_add(&page->kills, 1);
  atomic_compare_exchange_strong(&page->pid[w], &pid, 0);
}

static void hit_supervisor(void) {
  if (send_to(atomic_load(&page->parent[0]), "tidepool pool", 0, SIGKILL))
    atomic_fetch_add(&page->sup_kills, 1);
  atomic_store(&page->sup_kill, 0);
}

static void be_killer(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (!atomic_load(&page->over)) {
    uint32_t mean = atomic_load(&page->mean_us);
    sys_sleep_ns((mean == 0 ? 1000 : 1 + below(2 * mean)) * (uint64_t)1000);
    if (mean > 0)
      for (uint32_t tries = 0; tries < MOST_WORKERS / 2; tries++)
        hit_worker();
    if (atomic_load(&page->sup_kill) && atomic_load(&page->pid[0]) != 0)
      hit_supervisor();
  }
  _exit(0);
}

/* ---- rounds ---- */

static uint32_t random_result(void) {
  switch (below(1024)) {
  case 0:
    return below(3 << 20); /* beyond the window's soft limit */
  case 1:
  case 2:
  case 3:
    return below(300000);
  default:
    return below(4) == 0 ? 0 : below(400);
  }
}

static Item random_item(void) {
  return (Item){.result_bytes = random_result(),
                .spin_us = below(3) == 0 ? below(100) : 0,
                .pad = below(200) == 0 ? below(100000) : below(100)};
}

static PoolSpec random_spec(void) {
  return (PoolSpec){.processes = 1 + below(5),
                    .depth = 1,
                    .max_items = below(4) == 0 ? 1 + below(50) : 0,
                    .window_bytes = 1 << 20,
                    .options = (const uint8_t *)"",
                    .digests = ""};
}

static void feed(Round *r, uint32_t most_ahead) {
  while (r->next - r->base < r->total &&
         pool_outstanding(r->pool) < most_ahead) {
    uint64_t left = r->total - (r->next - r->base);
    uint32_t n = 1 + below(MOST_CHUNK);
    submit(r, n < left ? n : (uint32_t)left, random_item());
  }
}

/* Until all is settled, or so many items are, or the time is over. A pool whose
** idle workers die brings them back late: then the round has fewer items. */
static bool run(Round *r, uint64_t until, bool busy) {
  static const uint32_t aheads[] = {1, 4, 20, 300, 3000, TABLE_SLOTS + 100};
  uint32_t ahead = aheads[below(6)];
  uint64_t begin = sys_now_ns(), end = begin + (LIMIT_S - 20) * SECOND;
  while (settled(r) < until && sys_now_ns() < end &&
         pool_state(r->pool) < POOL_TERMINATED) {
    if (sys_now_ns() < begin + 3 * SECOND)
      feed(r, ahead);
    else if (until > r->next - r->base)
      until = r->total = r->next - r->base;
    if (busy)
      spin_ns(2 * MS);
    if (!collect(r))
      pool_wait(r->pool, 1 + below(4), (int64_t)SECOND);
  }
  return settled(r) >= until;
}

static void tell_state(const char *what, const Round *r) {
  printf("%s: state %d, ended %d, %d of %d settled, %d submitted, outstanding "
         "%d, unclaimed %d, %d workers\n",
         what, (int)pool_state(r->pool), pool_is_ended(r->pool),
         (int)settled(r), (int)r->total, (int)(r->next - r->base),
         (int)pool_outstanding(r->pool), (int)pool_unclaimed(r->pool),
         (int)pool_size(r->pool));
}

static void bark(int number) {
  (void)number;
  tell_state("HANGS", watched);
  fflush(stdout);
  _exit(2);
}

typedef struct Sums {
  uint64_t rounds, items, lost, kills_before;
  bool right;
} Sums;

static bool stress_round(Sums *s, uint64_t total, uint64_t base) {
  Round r;
  PoolSpec spec = random_spec();
  bool sup = below(3) == 0, busy = below(5) == 0, cut = below(4) == 0;
  watched = &r;
  alarm(LIMIT_S);
  if (!open_round(&r, &spec, &nursery, base, total)) {
    printf("cannot open a pool: %s\n", strerror(errno));
    return false;
  }
  atomic_store(&page->sup_kill, sup);
  atomic_store(&page->mean_us, 500 + below(4000));
  uint64_t until = cut ? below((uint32_t)total) : total;
  bool ok = run(&r, until, busy);
  if (!ok)
    tell_state("DOES NOT GO ON", &r);
  if (!cut)
    pool_close(r.pool);
  else
    pool_terminate(r.pool);
  if (!await_end(&r, 10 * SECOND)) {
    tell_state("DOES NOT END", &r);
    ok = false;
  }
  atomic_store(&page->mean_us, 0);
  atomic_store(&page->sup_kill, 0);
  ok = is_right(&r) && ok;
  s->rounds++;
  s->items += settled(&r);
  s->lost += r.lost;
  close_round(&r);
  return ok;
}

static void random_kills(uint64_t kills) {
  Sums s = {.right = true};
  uint64_t base = 1;
  while (s.right && atomic_load(&page->kills) < kills) {
    uint64_t total = 200 + below(kills > KILLS ? 60000 : 8000);
    s.right = stress_round(&s, total, base);
    base += total;
  }
  printf("%d kills, %d stops, %d supervisors killed, %d rounds, %d items, %d "
         "lost\n",
         (int)atomic_load(&page->kills), (int)atomic_load(&page->stops),
         (int)atomic_load(&page->sup_kills), (int)s.rounds, (int)s.items,
         (int)s.lost);
  check(s.right, "whatever is killed, every item has one outcome");
}

/* ---- the parent ---- */

static void be_host(void) {
  Round r;
  Nursery own;
  PoolSpec spec = random_spec();
  spec.processes = 3;
  if (nursery_open(&own, &be_worker) != 0)
    _exit(1);
  atomic_store(&page->nursery, own.pid);
  if (!open_round(&r, &spec, &own, 1, MOST_ITEMS))
    _exit(1);
  run(&r, MOST_ITEMS, below(2) == 0);
  sys_sleep_ns(100 * SECOND);
  _exit(1);
}

/* Gone within a second? -1: there was none. */
static bool is_gone(int fd, uint64_t until) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  uint64_t now = sys_now_ns();
  bool gone =
      fd < 0 || poll(&one, 1, now < until ? (int)((until - now) / MS) : 0) == 1;
  sys_close(fd);
  return gone;
}

static bool kill_host(void) {
  int fds[5];
  memset((void *)page->pid, 0, sizeof page->pid);
  atomic_store(&page->finished, 0);
  chance += (uint64_t)getpid();
  random_word();
  int host = fork();
  if (host == 0)
    be_host();
  for (int w = 0; w < 3; w++)
    while (atomic_load(&page->pid[w]) == 0)
      sys_sleep_ns(MS / 10);
  sys_sleep_ns(below(30) * MS);
  for (int w = 0; w < 3; w++)
    fds[w] = open_pid(atomic_load(&page->pid[w]));
  fds[3] = open_pid(atomic_load(&page->parent[0]));
  fds[4] = open_pid(atomic_load(&page->nursery));
  kill(host, SIGKILL);
  uint64_t until = sys_now_ns() + SECOND;
  bool gone = true;
  for (int i = 0; i < 5; i++)
    gone = is_gone(fds[i], until) && gone;
  waitpid(host, NULL, 0);
  return gone;
}

static void the_parent_is_killed(int times) {
  int left = 0;
  for (int i = 0; i < times; i++) {
    alarm(LIMIT_S);
    left += !kill_host();
  }
  check(left == 0, "the parent killed: nothing of its pools is left");
}

int main(int argc, char **argv) {
  uint64_t kills = argc > 1 ? strtoull(argv[1], NULL, 10) : KILLS;
  chance ^= argc > 2 ? strtoull(argv[2], NULL, 10) : sys_now_ns();
  printf("pool_stress_test %d %llu\n", (int)kills,
         (unsigned long long)(chance ^ 88172645463325252U));
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGALRM, bark);
  open_page();
  if (nursery_open(&nursery, &be_worker) != 0)
    abort();
  int killer = fork();
  if (killer == 0)
    be_killer();
  random_kills(kills);
  atomic_store(&page->over, 1);
  waitpid(killer, NULL, 0);
  the_parent_is_killed(kills > KILLS ? 25 * PARENTS : PARENTS);
  nursery_close(&nursery);
  return report();
}
