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
**
** A fork takes longer than all else that a pool needs, so a supervisor is ready
** before, the spare: it reads the next request from the pair itself.  It dies
** with the nursery, which sees by a lifeline when it is in use, or gone.  Most
** programs have one pool, or many: a request that finds no spare has one forked,
** and from the second on they are replaced a little later, unasked.
*/
#include <errno.h>
#include <string.h>

#include "supervisor.h"
#include "supervisor_child.h"

enum { TAG_REQUEST, TAG_HOST, TAG_SPARE };

typedef struct Nest {
  int fd, poll_fd;
  int spare; /* our end of its lifeline; -1: there is none */
  SupervisorStart start;
} Nest;

/* The host is gone: supervisors end by themselves, unless they are stopped. */
static void end_nursery(void) {
  static const uint64_t patience_ns = 300000000, look_ns = 200000;
  uint64_t end = sys_now_ns() + patience_ns;
  while (sys_has_children() && sys_now_ns() < end)
    sys_sleep_ns(look_ns);
  sys_kill_children();
  sys_exit(0);
}

/* Nobody could be forked for it: its sender sees its own end closed. */
static void refuse(Nest *n) {
  if (supervisor_take_request(&n->start))
    for (int i = 0; i < SUPERVISOR_FDS; i++)
      sys_close(n->start.fds[i]);
}

static void fork_spare(Nest *n) {
  int ends[2];
  if (sys_pair(ends) != 0) {
    refuse(n);
    return;
  }
  n->start.lifeline = sys_lift(ends[1]);
  int pid = sys_fork_own();
  if (pid == 0)
    supervisor_run(&n->start);
  sys_close(n->start.lifeline);
  n->spare = pid < 0 ? -1 : sys_lift(ends[0]);
  if (n->spare >= 0) {
    sys_poll_mute(n->poll_fd, n->fd, TAG_REQUEST, true);
    sys_poll_add(n->poll_fd, n->spare, TAG_SPARE);
  } else {
    sys_close(ends[0]);
    refuse(n);
  }
}

static void lose_spare(Nest *n) {
  sys_close(n->spare);
  n->spare = -1;
  sys_poll_mute(n->poll_fd, n->fd, TAG_REQUEST, false);
}

static void settle_nest(Nest *n, int host) {
  SupervisorStart *start = &n->start;
  n->fd = start->requests = sys_lift(n->fd);
  start->host_fd = sys_lift(sys_pidfd(host));
  int keep[] = {n->fd, start->host_fd};
  sys_become_nursery();
  sys_title("tidepool nursery");
  sys_keep_fds(keep, 2);
  n->poll_fd = sys_lift(sys_poll_new()); /* there is room now */
  sys_use_stdio(-1, -1);
  sys_poll_add(n->poll_fd, n->fd, TAG_REQUEST);
  if (start->host_fd >= 0)
    sys_poll_add(n->poll_fd, start->host_fd, TAG_HOST);
  if (n->poll_fd < 0 || !sys_is_parent(host))
    sys_exit(0);
}

static void be_nursery(int fd, int host, WorkerMain *child) {
  static const int64_t rest_ns = 20000000; /* a pool is being made now */
  bool many = false;
  Nest n = {.fd = fd, .spare = -1};
  n.start.child = child;
  n.start.nursery = sys_ask_pid();
  settle_nest(&n, host);
  for (int64_t rest = 0;;) {
    if (n.start.prepared == NULL)
      n.start.prepared = child->prepare();
    uint32_t tags[SYS_MAX_EVENTS];
    int got = sys_poll_wait(n.poll_fd, tags, rest);
    if (got < 0) {
      if (errno != EINTR)
        end_nursery();
      continue;
    }
    bool wanted = got == 0, lost = false;
    for (int i = 0; i < got; i++) {
      if (tags[i] == TAG_HOST || sys_is_hung_up(n.fd))
        end_nursery();
      wanted |= tags[i] == TAG_REQUEST;
      lost |= tags[i] == TAG_SPARE;
    }
    rest = SYS_FOREVER;
    if (lost) {
      lose_spare(&n);
      rest = many ? rest_ns : SYS_FOREVER;
      many = true;
    } else if (wanted) {
      fork_spare(&n);
    }
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

void nursery_expect(const Nursery *n, const char *digest) {
  Brief notice = {.depth = 0};
  strncpy(notice.digests, digest, sizeof notice.digests - 1);
  if (n->fd >= 0)
    sys_send(n->fd, &notice, sizeof notice, NULL, 0);
}

void nursery_close(Nursery *n) {
  static const int64_t patience_ns = 100000000;
  if (n->fd < 0)
    return;
  sys_close(n->fd);
  sys_wait(n->pid, patience_ns);
  n->fd = -1;
}
