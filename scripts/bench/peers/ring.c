/*
** ring.c - what two processes can say to each other at best, with no language.
** Runs in: the benchmark.  Owns: rings in shared memory.  Never: Lua.
**
** ring sleep|spin apply|echo KEY=VALUE...   (n, bytes, workers)
** sleep: who finds nothing waits on a futex at once; spin: only after 50 us.
*/
#define _GNU_SOURCE
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, PIECE = ROOM / 4, MAX_WORKERS = 64, SPIN_NS = 50000 };

/* How far one side has come, and where the other one sleeps. */
typedef struct Mark {
  _Alignas(64) _Atomic uint64_t at;
  _Atomic uint32_t bell, sleeper;
} Mark;

typedef struct Ring {
  Mark written, taken;
  _Alignas(64) unsigned char bytes[ROOM];
} Ring;

typedef struct Lane {
  Ring to, from;
} Lane;

static int spin; /* set once, before there are processes */

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

static int spin_for(const Mark *m, uint64_t old) {
  for (int64_t end = now_ns() + SPIN_NS; now_ns() < end;)
    for (int i = 0; i < 50; i++) {
      if (atomic_load_explicit(&m->at, memory_order_acquire) != old)
        return 1;
      pause_briefly();
    }
  return 0;
}

static void mark_await(Mark *m, uint64_t old) {
  if (spin && spin_for(m, old))
    return;
  while (atomic_load(&m->at) == old) {
    uint32_t bell = atomic_load(&m->bell);
    atomic_store(&m->sleeper, 1);
    if (atomic_load(&m->at) == old)
      syscall(SYS_futex, &m->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
    atomic_store(&m->sleeper, 0);
  }
}

static void mark_advance(Mark *m, uint64_t to) {
  atomic_store(&m->at, to);
  if (atomic_load(&m->sleeper)) {
    atomic_fetch_add(&m->bell, 1);
    syscall(SYS_futex, &m->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
  }
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static void ring_put(Ring *r, const unsigned char *p, size_t n) {
  uint64_t at = atomic_load_explicit(&r->written.at, memory_order_relaxed);
  while (n) {
    uint64_t taken = atomic_load(&r->taken.at);
    size_t spot = at % ROOM, room = ROOM - (size_t)(at - taken);
    if (!room) {
      mark_await(&r->taken, taken);
      continue;
    }
    size_t k = least(least(n, room), least(ROOM - spot, PIECE));
    memcpy(r->bytes + spot, p, k);
    p += k;
    n -= k;
    mark_advance(&r->written, at += k);
  }
}

static void ring_get(Ring *r, unsigned char *p, size_t n) {
  uint64_t at = atomic_load_explicit(&r->taken.at, memory_order_relaxed);
  while (n) {
    uint64_t written = atomic_load(&r->written.at);
    size_t spot = at % ROOM, have = (size_t)(written - at);
    if (!have) {
      mark_await(&r->written, written);
      continue;
    }
    size_t k = least(least(n, have), least(ROOM - spot, PIECE));
    memcpy(p, r->bytes + spot, k);
    p += k;
    n -= k;
    mark_advance(&r->taken, at += k);
  }
}

static void worker_run(Lane *lane, size_t bytes, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  unsigned char *room = malloc(bytes);
  if (!room || getppid() != parent)
    _exit(1);
  for (;;) {
    ring_get(&lane->to, room, bytes);
    ring_put(&lane->from, room, bytes);
  }
}

static Lane *workers_start(int n, size_t bytes) {
  Lane *lanes = mmap(NULL, (size_t)n * sizeof *lanes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (lanes == MAP_FAILED)
    exit(1);
  pid_t parent = getpid();
  for (int i = 0; i < n; i++)
    if (fork() == 0)
      worker_run(&lanes[i], bytes, parent);
  return lanes;
}

static void say(const char *word) {
  puts(word);
  fflush(stdout);
  getchar();
}

static int earlier(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void apply_run(long n) {
  unsigned char m[16] = {1};
  int64_t *took = malloc((size_t)n * sizeof *took);
  Lane *lane = workers_start(1, sizeof m);
  if (!took)
    exit(1);
  for (long i = -200; i < n; i++) {
    if (i == 0)
      say("begin");
    int64_t t = now_ns();
    ring_put(&lane->to, m, sizeof m);
    ring_get(&lane->from, m, sizeof m);
    if (i >= 0)
      took[i] = now_ns() - t;
  }
  say("end");
  qsort(took, (size_t)n, sizeof *took, earlier);
  printf("p50 %.3f\np99 %.3f\n", (double)took[n / 2] / 1e3,
         (double)took[n * 99 / 100] / 1e3);
}

/* One message on its way to or from each worker at any time. */
static void echo_run(long n, size_t bytes, int workers) {
  unsigned char *m = malloc(bytes), *back = malloc(bytes);
  if (!m || !back)
    exit(1);
  memset(m, 'x', bytes);
  memset(back, 'y', bytes);
  Lane *lanes = workers_start(workers, bytes);
  for (long i = -2 * workers; i < n; i++) {
    if (i == 0)
      say("begin");
    Lane *lane = &lanes[(i + 2 * workers) % workers];
    if (i >= -workers)
      ring_get(&lane->from, back, bytes);
    if (i < n - workers)
      ring_put(&lane->to, m, bytes);
  }
  say("end");
}

static long number(int argc, char **argv, const char *key, long otherwise) {
  size_t len = strlen(key);
  for (int i = 3; i < argc; i++)
    if (!strncmp(argv[i], key, len) && argv[i][len] == '=')
      return atol(argv[i] + len + 1);
  return otherwise;
}

int main(int argc, char **argv) {
  if (argc < 3)
    return 2;
  spin = !strcmp(argv[1], "spin");
  long n = number(argc, argv, "n", 20000);
  long workers = number(argc, argv, "workers", 2);
  if (workers < 1 || workers > MAX_WORKERS || n < 1)
    return 2;
  if (!strcmp(argv[2], "apply"))
    apply_run(n);
  else
    echo_run(n, (size_t)number(argc, argv, "bytes", 1 << 20), (int)workers);
  fflush(stdout);
  return 0; /* and the workers end with their parent */
}
