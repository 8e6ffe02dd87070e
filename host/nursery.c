/*
** nursery.c - a small process to fork supervisors from.
** Runs in: parent (open, close, request) and the nursery itself.
**
** Why: forking a parent with a 1 GiB heap takes 20 to 50 ms, stops it, and
** lets it pay again for every page that it writes afterwards; the supervisor
** and all replacements would carry that heap.  So one process is forked while
** the parent is small, when the module is loaded (about 0.1 ms), and forks the
** supervisors.  A start by exec would need a program to execute, which the
** plain module under a foreign host does not have, and costs 0.5 ms and more.
** Without a nursery (it was killed) a new one is forked, late.
**
** What all workers need before they know their pool, a Lua state with its
** libraries, is made here, once: they inherit it and copy what they change.
**
** It holds one end of a pair and the parent's pidfd: when either tells that
** the parent is gone, it ends.  It never has to be waited for.
*/
#include <errno.h>

#include "supervisor.h"
#include "supervisor_child.h"

enum { TAG_REQUEST, TAG_HOST };

/* The host is gone: supervisors end by themselves, unless they are stopped. */
static void end_nursery(void) {
  static const uint64_t patience_ns = 300000000, look_ns = 2000000;
  uint64_t end = sys_now_ns() + patience_ns;
  while (sys_has_children() && sys_now_ns() < end)
    sys_sleep_ns(look_ns);
  sys_kill_children();
  sys_exit(0);
}

static void be_nursery(int fd, int host, WorkerMain *child) {
  fd = sys_lift(fd);
  int host_fd = sys_lift(sys_pidfd(host));
  int poll_fd = sys_lift(sys_poll_new());
  int keep[] = {fd, host_fd, poll_fd};
  sys_become_nursery();
  sys_title("tidepool nursery");
  sys_keep_fds(keep, 3);
  sys_use_stdio(-1, -1);
  sys_poll_add(poll_fd, fd, TAG_REQUEST);
  if (host_fd >= 0)
    sys_poll_add(poll_fd, host_fd, TAG_HOST);
  if (!sys_is_parent(host))
    sys_exit(0);
  for (void *prepared = NULL;;) {
    if (prepared == NULL)
      prepared = child->prepare();
    uint32_t tags[SYS_MAX_EVENTS];
    int n = sys_poll_wait(poll_fd, tags, SYS_FOREVER);
    for (int i = 0; i < n; i++)
      if (tags[i] == TAG_HOST)
        end_nursery();
    if (n <= 0)
      continue;
    SupervisorStart start = {
        .host_fd = host_fd, .child = child, .prepared = prepared};
    int n_fds = SUPERVISOR_FDS;
    long got =
        sys_receive(fd, &start.brief, sizeof start.brief, start.fds, &n_fds);
    if (got == 0 || (got < 0 && errno != EAGAIN))
      end_nursery();
    for (int i = 0; i < n_fds; i++)
      start.fds[i] = sys_lift(start.fds[i]);
    if (got == (long)sizeof start.brief && sys_fork() == 0)
      supervisor_run(&start);
    for (int i = 0; i < n_fds; i++)
      sys_close(start.fds[i]);
  }
}

int nursery_open(Nursery *n, WorkerMain *child) {
  int ends[2];
  int host = sys_getpid();
  *n = (Nursery){.fd = -1, .owner = host, .child = child};
  if (sys_pair(ends) != 0)
    return -1;
  n->pid = sys_fork();
  if (n->pid == 0) {
    sys_close(ends[0]);
    be_nursery(ends[1], host, child);
  }
  sys_close(ends[1]);
  if (n->pid < 0) {
    sys_close(ends[0]);
    return -1;
  }
  n->fd = ends[0];
  return 0;
}

void nursery_close(Nursery *n) {
  static const int64_t patience_ns = 100000000;
  if (n->fd < 0)
    return;
  sys_close(n->fd);
  sys_wait(n->pid, patience_ns);
  n->fd = -1;
}
