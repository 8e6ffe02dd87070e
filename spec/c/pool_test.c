/*
** pool_test.c - what a pool promises when something dies, stops or is full.
** Runs in: the tests and their workers.  Never: Lua.
*/
#define _GNU_SOURCE
#include "pool_harness.h"
#include "check.h"

#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { LIMIT_S = 60 };
static const uint64_t SECOND = 1000000000;

static Nursery nursery; /* one for all tests, as in a program */

static Round open_pool(uint32_t workers, uint64_t total) {
  Round r;
  PoolSpec spec = {.processes = workers,
                   .depth = 1,
                   .window_bytes = 1 << 20,
                   .options = (const uint8_t *)"",
                   .digests = ""};
  alarm(LIMIT_S);
  if (!open_round(&r, &spec, &nursery, 1, total))
    abort();
  return r;
}

static bool await(_Atomic uint64_t *count, uint64_t wanted) {
  for (int i = 0; i < 20000 && atomic_load(count) < wanted; i++)
    sys_sleep_ns(100000);
  return atomic_load(count) >= wanted;
}

/* All workers have started, and sleep. */
static void await_workers(Round *r) {
  uint32_t n = pool_size(r->pool);
  for (uint32_t w = 0; w < n; w++)
    while (atomic_load(&page->pid[w]) == 0)
      sys_sleep_ns(100000);
  sys_sleep_ns(20000000);
}

static void signal_worker(uint32_t w, int number) {
  int pid = atomic_load(&page->pid[w]);
  if (number == SIGKILL)
    atomic_store(&page->killed[pid], 1);
  kill(pid, number);
}

static void kill_supervisor(void) {
  int pid = atomic_load(&page->parent[0]);
  atomic_store(&page->killed[pid], 1);
  kill(pid, SIGKILL);
}

static int open_fds(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (d != NULL && readdir(d) != NULL)
    n++;
  closedir(d);
  return n;
}

/* ---- workers ---- */

static void a_stopped_worker_keeps_no_task(void) {
  Round r = open_pool(2, 100);
  await_workers(&r);
  for (uint32_t w = 0; w < 2; w++) {
    signal_worker(w, SIGSTOP);
    sys_sleep_ns(20000000);
    submit(&r, 1, (Item){.result_bytes = 10});
    check(collect_all(&r, 2 * SECOND), "another worker takes the task");
    signal_worker(w, SIGCONT);
  }
  submit(&r, 1, (Item){.result_bytes = 10});
  submit(&r, 1, (Item){.result_bytes = 10});
  check(collect_all(&r, 2 * SECOND), "continued, they go on");
  check(is_right(&r) && r.lost == 0, "nothing is lost by it");
  close_round(&r);
}

static void work_goes_on_while_the_parent_computes(void) {
  enum { CHUNKS = 200 };
  Round r = open_pool(3, 2 * CHUNKS);
  await_workers(&r);
  atomic_store(&page->finished, 0);
  for (int i = 0; i < CHUNKS; i++)
    submit(&r, 2, (Item){.result_bytes = 50, .spin_us = 100});
  signal_worker(1, SIGKILL);
  check(await(&page->finished, 2 * CHUNKS - 2),
        "the parent does nothing: all tasks run but the one that it held");
  check(collect_all(&r, 5 * SECOND) && r.lost <= 1 && is_right(&r),
        "one item is lost at most");
  close_round(&r);
}

static void a_full_window_waits_for_the_parent(void) {
  Round r = open_pool(1, 1000);
  atomic_store(&page->finished, 0);
  for (int i = 0; i < 12; i++)
    submit(&r, 1, (Item){.result_bytes = 400000});
  submit(&r, 1, (Item){.result_bytes = 3 << 20});
  for (int i = 0; i < 300; i++)
    submit(&r, 1, (Item){.result_bytes = 0});
  sys_sleep_ns(100000000);
  check(atomic_load(&page->finished) < 12, "the worker waits");
  signal_worker(0, SIGKILL);
  check(collect_all(&r, 5 * SECOND), "collected, it goes on, dead or alive");
  check(r.done + r.lost == 313 && is_right(&r), "every item has its bytes");
  close_round(&r);
}

/* ---- the parent's own ---- */

static bool is_readable(const Pool *p) {
  struct pollfd one = {.fd = pool_fd(p), .events = POLLIN};
  return poll(&one, 1, 0) == 1;
}

static void the_descriptor_tells_the_truth(void) {
  Round r = open_pool(1, 10);
  atomic_store(&page->finished, 0);
  submit(&r, 1, (Item){.result_bytes = 5});
  await(&page->finished, 1);
  sys_sleep_ns(20000000);
  pool_poll(r.pool);
  check(is_readable(r.pool), "a result that came before is told of");
  pool_poll(r.pool);
  check(is_readable(r.pool), "as long as it waits");
  collect(&r);
  pool_poll(r.pool);
  check(!is_readable(r.pool) && settled(&r) == 1, "and no longer");
  close_round(&r);
}

static void a_held_result_outlives_the_end(void) {
  Round r = open_pool(1, 10);
  Finished f;
  submit(&r, 3, (Item){.result_bytes = 5});
  while (!pool_next(r.pool, &f))
    pool_wait(r.pool, 1, SYS_FOREVER);
  pool_terminate(r.pool);
  settle(&r, &f);
  check(r.done == 3 && is_right(&r), "terminated meanwhile, it is settled");
  check(pool_outstanding(r.pool) == 0, "once");
  check(await_end(&r, SECOND), "the pool ends");
  close_round(&r);
}

static void a_draft_outlives_the_pool(void) {
  Round r = open_pool(1, 10);
  Draft d;
  pool_begin(r.pool, &d, 64);
  put_items(&r, &d, 1, (Item){.result_bytes = 5, .pad = 100});
  pool_terminate(r.pool);
  check(await_end(&r, SECOND), "the pool ends while a draft is open");
  pool_release(r.pool);
  put_items(&r, &d, 1, (Item){.result_bytes = 5, .pad = 100000});
  pool_drop(r.pool, &d);
  close_round(&r);
}

/* ---- the supervisor ---- */

static void a_supervisor_dies(uint64_t chunks, uint32_t workers, Item like) {
  Round r = open_pool(workers, 3 * chunks);
  for (uint64_t i = 0; i < chunks; i++)
    submit(&r, 3, like);
  await_workers(&r);
  kill_supervisor();
  atomic_store(&page->gate, 1);
  check(collect_all(&r, 30 * SECOND), "everything has an outcome");
  check(is_right(&r) && settled(&r) == r.total && r.lost <= workers,
        "what was begun is lost, all else runs, with its own bytes");
  pool_close(r.pool);
  check(await_end(&r, SECOND), "the pool closes as ever");
  close_round(&r);
}

static void a_supervisor_dies_while_a_draft_is_open(void) {
  Round r = open_pool(2, 100);
  Draft d;
  for (int i = 0; i < 20; i++)
    submit(&r, 1, (Item){.result_bytes = 9, .pad = 999});
  pool_begin(r.pool, &d, 64);
  r.next += 1; /* item 22 lies in the draft, item 21 comes before it */
  put_items(&r, &d, 1, (Item){.result_bytes = 7, .pad = 3000});
  r.next -= 1;
  await_workers(&r);
  kill_supervisor();
  check(collect_all(&r, 5 * SECOND), "what was submitted has an outcome");
  submit(&r, 1, (Item){.result_bytes = 9, .pad = 3000});
  submit_draft(&r, &d, 1);
  check(collect_all(&r, 5 * SECOND) && is_right(&r) && settled(&r) == 22,
        "what was being written then runs, with its own bytes");
  close_round(&r);
}

static void a_supervisor_cannot_be_replaced(void) {
  Round r = open_pool(2, 100);
  struct rlimit old, none;
  submit(&r, 1, (Item){.waits = 1});
  await_workers(&r);
  getrlimit(RLIMIT_NOFILE, &old);
  none = old;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  kill_supervisor();
  check(await_end(&r, SECOND), "without descriptors the pool ends");
  setrlimit(RLIMIT_NOFILE, &old);
  char error[8];
  check(pool_state(r.pool) == POOL_BROKEN, "it is broken");
  check(pool_start_error(r.pool, error, sizeof error) == 0 &&
            pool_unclaimed(r.pool) == 0 && !pool_is_running(r.pool, 1),
        "and can be asked");
  pool_wait(r.pool, 1, 0);
  pool_poll(r.pool);
  close_round(&r);
}

static void a_nursery_dies(void) {
  Round r = open_pool(2, 100);
  submit(&r, 1, (Item){.result_bytes = 1});
  check(collect_all(&r, 5 * SECOND), "a task runs");
  kill(nursery.pid, SIGKILL);
  sys_sleep_ns(10000000);
  submit(&r, 1, (Item){.result_bytes = 1});
  check(collect_all(&r, 5 * SECOND), "the nursery killed, the pool goes on");
  kill_supervisor();
  submit(&r, 1, (Item){.result_bytes = 1});
  check(collect_all(&r, 5 * SECOND) && is_right(&r) && r.done == 3,
        "and the supervisor, it has new ones");
  close_round(&r);
}

/* A child of the host, with copies of all descriptors, lives through it. */
static void a_stranger_holds_the_descriptors(void) {
  Round r = open_pool(1, 100);
  int pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  await_workers(&r);
  kill_supervisor();
  submit(&r, 1, (Item){.result_bytes = 1});
  check(collect_all(&r, 5 * SECOND), "a new supervisor serves");
  bool quiet = false;
  for (int i = 0; i < 20 && !quiet; i++) {
    collect(&r);
    quiet = pool_wait(r.pool, 1, 5000000) == WAIT_TIMEOUT;
  }
  check(quiet, "and the old one's descriptor wakes nobody");
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  close_round(&r);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  open_page();
  if (nursery_open(&nursery, &be_worker) != 0)
    abort();
  int fds = open_fds();
  a_stopped_worker_keeps_no_task();
  work_goes_on_while_the_parent_computes();
  a_full_window_waits_for_the_parent();
  the_descriptor_tells_the_truth();
  a_held_result_outlives_the_end();
  a_draft_outlives_the_pool();
  a_supervisor_dies(50, 3, (Item){.result_bytes = 200, .spin_us = 500});
  a_supervisor_dies(TABLE_SLOTS + 500, 1, (Item){.pad = 30, .waits = 1});
  a_supervisor_dies_while_a_draft_is_open();
  a_supervisor_cannot_be_replaced();
  a_stranger_holds_the_descriptors();
  a_nursery_dies();
  check(open_fds() == fds, "no descriptor is left over");
  nursery_close(&nursery);
  return report();
}
