/*
** stray_test.c - who is taken for a stray, when there are many.
** Runs in: the tests.  Owns: kill(), which only notes whom it is asked for.
*/
#define _GNU_SOURCE
#include "sys.h"
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 1000, MOST_PIDS = 1 << 22 };

static unsigned char is_child[MOST_PIDS], hit[MOST_PIDS]; /* by number */
static int hits, strangers; /* what kill was told */

int kill(pid_t pid, int number) {
  bool known = pid > 0 && pid < MOST_PIDS && is_child[pid];
  strangers += !known || number != SIGKILL;
  hits += known && hit[pid]++ == 0;
  return 0;
}

int main(void) {
  SysWorker alive[CHILDREN];
  int pids[CHILDREN], ends[2];
  if (pipe(ends) != 0)
    abort();
  for (int i = 0; i < CHILDREN; i++) {
    char byte;
    pids[i] = fork();
    if (pids[i] == 0) {
      close(ends[1]);
      _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    if (pids[i] < 0 || pids[i] >= MOST_PIDS)
      abort();
    is_child[pids[i]] = 1;
    alive[i] = (SysWorker){pids[i], (uint32_t)i + 1};
  }
  sys_kill_children();
  check(hits == CHILDREN, "every child is found");
  check(strangers == 0, "and nobody else");
  hits = 0;
  sys_kill_strays(alive, CHILDREN);
  sys_kill_strays(NULL, 0);
  check(hits == 0 && strangers == 0, "workers and unmarked children are not");
  close(ends[1]);
  for (int i = 0; i < CHILDREN; i++)
    waitpid(pids[i], NULL, 0);
  return report();
}
