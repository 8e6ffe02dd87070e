/*
** supervisor.c - birth, death and rebirth of workers.
** Runs in: supervisor (and, at the bottom, parent).  Owns: the seats.
** Never: Lua, tasks, the parent's heap.
**
** One thread, all signals blocked, asleep until something happens:
**
**   a child died      look who, forget its pid, reap, repair its task (in
**                     the table), kill what it left behind, seat a new one,
**                     wake sleepers
**   a child stopped   wake others for the work it had been woken for, or
**                     would be: it does not count as a sleeper
**   the parent writes look at the stop word
**   the parent ended  kill everybody, end
**   a task is doomed  its worker has a moment to end it; then the worker is
**                     stopped, and killed if it is still at it: a worker that
**                     is not stopped might just now begin another task
**   a seat is due     a worker that died without having had a task comes back
**                     after 0, 1, 2, 4 ... 1000 ms; after max(8, 2 W) starts in
**                     a row of which none got ready, the pool is broken
**
** Workers die with the supervisor (PDEATHSIG); the parent sees its end of the
** pair hang up, keeps what is done, and opens another supervisor.
**
** Where supervisors come from, and why, stands in nursery.c.
*/
#define _POSIX_C_SOURCE 200809L
#include "supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "supervisor_child.h"

enum { TAG_CHILDREN, TAG_PARENT, TAG_HOST };
static const uint64_t MS = 1000000;
static const uint64_t EARLY_NS = 1000000000; /* a death this soon is early */
static const uint64_t GRACE_NS = 1000000000; /* for a doomed task */
static const uint32_t MOST_DELAY_MS = 1000;

typedef struct Seat {
  int pid; /* 0: empty */
  uint32_t generation;
  uint32_t birth; /* of all that were here */
  uint32_t delay_ms;
  uint64_t born_ns;
  uint64_t due_ns; /* empty: when to fill it */
  uint64_t doomed; /* the task it was to end, and by when; 0: none */
  uint64_t doom_ns;
  bool stopping; /* it was sent a stop for that */
} Seat;

typedef struct Sup {
  Table table;
  SupervisorStart *start;
  int children_fd, parent_fd, poll_fd, pid;
  Seat *seat;
  uint32_t n, alive, failed_starts, dooms, births;
  char mark[SYS_MARK_BYTES], title[16];
  SysOom oom;
} Sup;

/* ---- birth ---- */

static void become_worker(Sup *s, uint32_t w) {
  int event_fd = s->table.event_fd;
  sys_keep_fds(&event_fd, 1);
  if (!sys_become_worker(s->pid))
    sys_exit(0);
  sys_title(s->title);
  table_set_pid(&s->table, w, sys_ask_pid());
  s->start->child->run(s->start->prepared, &s->table, &s->start->brief, w,
                       s->seat[w].generation);
  sys_exit(0);
}

static int seat_worker(Sup *s, uint32_t w) {
  Seat *seat = &s->seat[w];
  table_reset_lane(&s->table, w);
  seat->generation++;
  seat->birth = ++s->births;
  sys_mark(s->mark, s->pid, seat->birth);
  snprintf(s->title, sizeof s->title, "tidepool %u", w + 1);
  int pid = sys_fork_own();
  if (pid == 0)
    become_worker(s, w);
  if (pid < 0)
    return -1;
  seat->pid = pid;
  seat->born_ns = sys_now_ns();
  s->alive++;
  return 0;
}

static void seat_due(Sup *s, uint64_t now) {
  if (s->alive == s->n)
    return;
  sys_oom_offer(&s->oom, true);
  for (uint32_t w = 0; w < s->n; w++) {
    Seat *seat = &s->seat[w];
    if (seat->pid != 0 || seat->due_ns > now)
      continue;
    if (seat_worker(s, w) != 0) /* the system is full: try again */
      seat->due_ns = now + 100 * MS;
  }
  sys_oom_offer(&s->oom, false);
}

static uint64_t next_seat_ns(const Sup *s) {
  uint64_t first = UINT64_MAX;
  if (s->alive == s->n || table_stopping(&s->table) != STOP_NOT)
    return first;
  for (uint32_t w = 0; w < s->n; w++)
    if (s->seat[w].pid == 0 && s->seat[w].due_ns < first)
      first = s->seat[w].due_ns;
  return first;
}

/* ---- doomed tasks ---- */

/* What the parent has given up since we looked. */
static void note_doomed(Sup *s) {
  for (uint32_t w = 0; w < s->n; w++) {
    Seat *seat = &s->seat[w];
    uint64_t task = table_doomed(&s->table, w);
    if (task == seat->doomed)
      continue;
    s->dooms += seat->doom_ns == 0;
    seat->doomed = task;
    seat->doom_ns = sys_now_ns() + GRACE_NS;
  }
}

static uint64_t next_doom_ns(const Sup *s) {
  uint64_t first = UINT64_MAX;
  for (uint32_t w = 0; w < s->n && s->dooms > 0; w++)
    if (s->seat[w].doom_ns != 0 && s->seat[w].doom_ns < first)
      first = s->seat[w].doom_ns;
  return first;
}

static void stop_doomed(Sup *s, uint64_t now) {
  for (uint32_t w = 0; w < s->n && s->dooms > 0; w++) {
    Seat *seat = &s->seat[w];
    if (seat->doom_ns == 0 || seat->doom_ns > now)
      continue;
    seat->doom_ns = 0;
    s->dooms--;
    seat->stopping = seat->pid != 0 && table_is_at(&s->table, w, seat->doomed);
    if (seat->stopping) {
      sys_continue(seat->pid); /* it tells of no stop if it stands already */
      sys_stop(seat->pid);
    }
  }
}

/* It stands still now. */
static void execute(Sup *s, uint32_t w) {
  Seat *seat = &s->seat[w];
  seat->stopping = false;
  if (table_is_at(&s->table, w, seat->doomed))
    sys_kill(seat->pid);
  else
    sys_continue(seat->pid);
}

static int64_t until_next(const Sup *s) {
  uint64_t seat = next_seat_ns(s), doom = next_doom_ns(s);
  uint64_t first = seat < doom ? seat : doom, now = sys_now_ns();
  if (first == UINT64_MAX)
    return SYS_FOREVER;
  return first <= now ? 0 : (int64_t)(first - now);
}

/* ---- death ---- */

static void leave(const Sup *s) {
  sys_end_children(100 * (int64_t)MS);
  sys_close(s->parent_fd); /* the parent need not wait for our memory */
  sys_exit(0);
}

static void kill_workers(Sup *s) {
  for (uint32_t w = 0; w < s->n; w++)
    sys_kill(s->seat[w].pid);
}

static void give_up(Sup *s, int why) {
  table_break(&s->table, why);
  table_stop(&s->table, STOP_NOW);
  table_wake_parent(&s->table);
  kill_workers(s);
}

static void kill_strays(Sup *s) {
  SysWorker *alive = malloc(sizeof *alive * s->n);
  int n = 0;
  if (alive == NULL)
    return;
  for (uint32_t w = 0; w < s->n; w++)
    if (s->seat[w].pid != 0)
      alive[n++] = (SysWorker){s->seat[w].pid, s->seat[w].birth};
  sys_kill_strays(alive, n);
  free(alive);
}

/* How long the seat stays empty, and whether the pool can go on at all. */
static void judge(Sup *s, uint32_t w, int why, bool held) {
  Seat *seat = &s->seat[w];
  WorkerPhase phase = table_phase(&s->table, w);
  uint64_t now = sys_now_ns();
  bool early = now - seat->born_ns < EARLY_NS;
  uint32_t most = 2 * s->n < 8 ? 8 : 2 * s->n;
  bool started = phase == PHASE_READY || phase == PHASE_LEAVING;
  seat->due_ns = now;
  if (started && (held || phase == PHASE_LEAVING || !early)) {
    seat->delay_ms = 0;
  } else {
    seat->due_ns += seat->delay_ms * MS;
    seat->delay_ms = seat->delay_ms == 0 ? 1 : seat->delay_ms * 2;
    if (seat->delay_ms > MOST_DELAY_MS)
      seat->delay_ms = MOST_DELAY_MS;
  }
  s->failed_starts = started ? 0 : s->failed_starts + 1;
  if (s->failed_starts >= most)
    give_up(s, why);
}

/* s->n: not a worker of ours. */
static uint32_t seat_of(const Sup *s, int pid) {
  uint32_t w = 0;
  while (w < s->n && s->seat[w].pid != pid)
    w++;
  return w;
}

static void pass_over(Sup *s, int pid) {
  uint32_t w = seat_of(s, pid);
  if (w == s->n)
    return;
  if (s->seat[w].stopping)
    execute(s, w);
  else
    table_pass_over(&s->table, w);
}

static void bury(Sup *s, int pid, int why) {
  uint32_t w = seat_of(s, pid);
  if (w == s->n) { /* a stray that came to us */
    sys_reap(pid);
    return;
  }
  s->seat[w].stopping = false;
  s->seat[w].pid = 0; /* forgotten first: nobody kills a reused number */
  sys_reap(pid);
  s->alive--;
  bool held = table_repair(&s->table, w, why);
  if (table_stopping(&s->table) == STOP_NOT)
    judge(s, w, why, held);
}

static void tend_children(Sup *s) {
  int pid, why = 0;
  ReapKind kind;
  sys_clear_children_event(s->children_fd);
  bool any_dead = false;
  while ((kind = sys_reap_peek(&pid, &why)) != REAP_NONE) {
    any_dead |= kind == REAP_DEAD;
    if (kind == REAP_DEAD)
      bury(s, pid, why);
    else
      pass_over(s, pid);
  }
  if (any_dead)
    kill_strays(s); /* a stray leaves its own children to us */
  if (table_stopping(&s->table) == STOP_NOT)
    seat_due(s, sys_now_ns());
  table_wake_idle(&s->table);
}

/* ---- the loop ---- */

static void hear_parent(Sup *s) {
  char byte;
  long got;
  while ((got = sys_receive(s->parent_fd, &byte, 1, NULL, NULL)) > 0)
    continue;
  bool gone = got == 0 || errno != EAGAIN;
  note_doomed(s);
  if (gone || table_stopping(&s->table) == STOP_NOW)
    kill_workers(s);
  if (gone)
    leave(s);
}

static int open_up(Sup *s) {
  const SupervisorStart *start = s->start;
  s->parent_fd = start->fds[FD_PARENT];
  if (start->table != NULL) {
    s->table = *start->table;
    s->table.event_fd = start->fds[FD_EVENT]; /* its old number is closed */
  } else if (table_attach(&s->table, start->brief.shape, start->fds[FD_TABLE],
                          start->fds[FD_EVENT]) != 0)
    return -1;
  sys_shared_readonly(&s->table.args);
  uint32_t n = start->brief.shape.workers;
  s->seat = calloc(n, sizeof *s->seat);
  s->n = s->seat != NULL ? n : 0;
  if (s->seat == NULL || s->children_fd < 0 || s->poll_fd < 0)
    return -1;
  return sys_poll_add(s->poll_fd, s->parent_fd, TAG_PARENT);
}

/* All that can be done before there is a request. */
static void settle_early(Sup *s, SupervisorStart *start) {
  s->start = start;
  s->pid = sys_ask_pid();
  s->children_fd = sys_lift(sys_become_supervisor());
  s->poll_fd = sys_lift(sys_poll_new());
  sys_oom_open(&s->oom);
  s->oom.fd = sys_lift(s->oom.fd);
  sys_oom_offer(&s->oom, true); /* until the workers are there */
  sys_mark(s->mark, s->pid, 0); /* the first time takes longest */
  if (start->host_fd >= 0)
    sys_poll_add(s->poll_fd, start->host_fd, TAG_HOST);
  if (s->children_fd >= 0)
    sys_poll_add(s->poll_fd, s->children_fd, TAG_CHILDREN);
}

static void close_others(const Sup *s) {
  const SupervisorStart *start = s->start;
  int keep[SUPERVISOR_FDS + 6] = {start->host_fd,  start->requests,
                                  start->lifeline, s->children_fd,
                                  s->poll_fd,      s->oom.fd};
  for (int i = 0; i < SUPERVISOR_FDS; i++)
    keep[i + 6] = start->fds[i];
  sys_keep_fds(keep, SUPERVISOR_FDS + 6);
}

/* What the parent hashes with, its workers will: load it once, here. */
static void fetch_digests(const Brief *brief) {
  char names[BRIEF_DIGESTS], why[128];
  memcpy(names, brief->digests, sizeof names);
  names[sizeof names - 1] = '\0';
  for (char *rest = names, *name; (name = strtok_r(rest, " ", &rest));)
    digest_find(name, why, sizeof why);
}

static bool is_notice(const Brief *brief) {
  return brief->shape.workers == 0;
}

bool supervisor_take_request(SupervisorStart *start) {
  Brief *brief = &start->brief;
  int n_fds = SUPERVISOR_FDS;
  long got =
      sys_receive(start->requests, brief, sizeof *brief, start->fds, &n_fds);
  if (got <= 0) {
    errno = got == 0 ? EPIPE : errno;
    return false;
  }
  for (int i = 0; i < n_fds; i++)
    start->fds[i] = sys_lift(start->fds[i]);
  if (got == (long)sizeof *brief && n_fds == SUPERVISOR_FDS)
    return true;
  if (got == (long)sizeof *brief && is_notice(brief)) {
    fetch_digests(brief);
    return supervisor_take_request(start);
  }
  for (int i = 0; i < n_fds; i++)
    sys_close(start->fds[i]);
  errno = EMFILE;
  return false;
}

/* A spare: nobody waits for it, so it ends with those who might need it. */
static void await_request(Sup *s) {
  SupervisorStart *start = s->start;
  sys_title("tidepool spare");
  close_others(s);
  sys_poll_add(s->poll_fd, start->requests, TAG_PARENT);
  if (!sys_die_with(start->nursery))
    sys_exit(0);
  while (!supervisor_take_request(start)) {
    uint32_t tags[SYS_MAX_EVENTS];
    if (errno != EAGAIN)
      sys_exit(0);
    if (s->poll_fd < 0)
      sys_await(start->requests); /* it will be told that there are too few */
    int n = sys_poll_wait(s->poll_fd, tags, SYS_FOREVER);
    for (int i = 0; i < n; i++)
      if (tags[i] == TAG_HOST)
        sys_exit(0);
  }
  sys_poll_remove(s->poll_fd, start->requests); /* the nursery's stays open */
  sys_close(start->requests);
  start->requests = -1;
  sys_live_on();
}

static void settle_in(const SupervisorStart *start) {
  sys_title("tidepool pool");
  sys_use_stdio(start->fds[FD_OUT], start->fds[FD_ERR]);
  sys_use_cwd(start->fds[FD_CWD]);
}

static int use_environ(Sup *s) {
  const Brief *brief = &s->start->brief;
  return sys_use_environ((char *)s->table.args.base + brief->options_bytes,
                         brief->environ_bytes, s->mark);
}

/* All workers, or none: the parent hears which. */
static int seat_all(Sup *s) {
  int error = 0;
  for (uint32_t w = 0; w < s->n && error == 0; w++)
    if (seat_worker(s, w) != 0)
      error = errno;
  return error;
}

void supervisor_run(SupervisorStart *start) {
  Sup s = {.start = start};
  settle_early(&s, start);
  if (start->requests >= 0)
    await_request(&s);
  else
    close_others(&s);
  settle_in(start);
  int error = open_up(&s) == 0 && use_environ(&s) == 0 ? 0 : errno;
  if (error == 0) {
    fetch_digests(&start->brief);
    error = seat_all(&s);
  }
  int hello[] = {error, s.pid};
  sys_send(s.parent_fd, hello, sizeof hello, NULL, 0);
  sys_oom_offer(&s.oom, false);
  sys_close(start->lifeline); /* not before: forking a spare can wait */
  if (error != 0) {
    kill_workers(&s);
    leave(&s);
  }
  for (;;) {
    uint32_t tags[SYS_MAX_EVENTS];
    if (table_stopping(&s.table) != STOP_NOT && s.alive == 0)
      leave(&s);
    int n = sys_poll_wait(s.poll_fd, tags, until_next(&s));
    for (int i = 0; i < n; i++) {
      if (tags[i] == TAG_HOST) {
        kill_workers(&s);
        leave(&s);
      }
      if (tags[i] == TAG_PARENT)
        hear_parent(&s);
    }
    stop_doomed(&s, sys_now_ns());
    tend_children(&s);
  }
}

/* ---- the parent's end ---- */

static int ask_nursery(Nursery *n, const SupervisorStart *start) {
  for (int tries = 0; tries < 2; tries++) {
    if (n->fd < 0 && nursery_open(n, n->child) != 0)
      return -1;
    if (sys_send(n->fd, &start->brief, sizeof start->brief, start->fds,
                 SUPERVISOR_FDS) == 0)
      return 0;
    nursery_close(n); /* it was killed */
  }
  return -1;
}

static int fork_supervisor(Supervisor *s, SupervisorStart *start, int parent) {
  int host = sys_getpid();
  s->pid = sys_fork();
  if (s->pid != 0)
    return s->pid > 0 ? 0 : -1;
  sys_close(parent);
  start->host_fd = sys_lift(sys_pidfd(host));
  sys_become_nursery();
  start->prepared = start->child->prepare();
  for (int i = 0; i < SUPERVISOR_FDS; i++)
    start->fds[i] = sys_lift(start->fds[i]);
  supervisor_run(start);
  return -1;
}

/* Waits for its first word. EPIPE: gone without one, so the nursery was
** killed, or could not fork. */
static int hear_supervisor(Supervisor *s) {
  int hello[2] = {EPIPE, 0};
  sys_await(s->fd);
  sys_receive(s->fd, hello, sizeof hello, NULL, NULL);
  if (hello[0] == 0) {
    s->peer = hello[1];
    return 0;
  }
  supervisor_close(s);
  errno = hello[0];
  return -1;
}

int supervisor_call(Supervisor *s, Nursery *n, const Table *t,
                    const Brief *brief) {
  int ends[2];
  if (sys_pair(ends) != 0)
    return -1;
  *s = (Supervisor){.fd = ends[0]};
  SupervisorStart start = {.brief = *brief,
                           .host_fd = -1,
                           .requests = -1,
                           .lifeline = -1,
                           .child = n->child};
  int *fds = start.fds;
  fds[FD_TABLE] = t->region.fd;
  fds[FD_EVENT] = t->event_fd;
  fds[FD_PARENT] = ends[1];
  fds[FD_OUT] = sys_copy_stdio(1);
  fds[FD_ERR] = sys_copy_stdio(2);
  fds[FD_CWD] = sys_open_cwd();
  bool sendable = true;
  for (int i = 0; i < SUPERVISOR_FDS; i++)
    sendable = sendable && fds[i] >= 0;
  bool copied = fds[FD_OUT] >= 0 && fds[FD_ERR] >= 0 && fds[FD_CWD] >= 0;
  start.table = sendable ? NULL : t;
  int failed = !copied    ? -1
               : sendable ? ask_nursery(n, &start)
                          : fork_supervisor(s, &start, ends[0]);
  int error = errno;
  for (int i = FD_PARENT; i < SUPERVISOR_FDS; i++)
    sys_close(fds[i]);
  if (failed == 0)
    return 0;
  supervisor_close(s);
  errno = error;
  return -1;
}

int supervisor_open(Supervisor *s, Nursery *n, const Table *t,
                    const Brief *brief) {
  if (hear_supervisor(s) == 0)
    return 0;
  if (errno != EPIPE)
    return -1;
  nursery_close(n); /* another one is forked for this */
  if (supervisor_call(s, n, t, brief) == 0 && hear_supervisor(s) == 0)
    return 0;
  if (errno == EPIPE)
    errno = EAGAIN;
  return -1;
}

/* While its end is not hung up, the process number is still its own. */
void supervisor_look(const Supervisor *s) {
  char byte = 0;
  if (!supervisor_is_gone(s))
    sys_continue(s->peer); /* somebody may have stopped it */
  sys_send(s->fd, &byte, 1, NULL, 0);
}

bool supervisor_is_gone(const Supervisor *s) {
  char byte;
  long got = sys_receive(s->fd, &byte, 1, NULL, NULL);
  return got == 0 || (got < 0 && errno != EAGAIN);
}

void supervisor_close(Supervisor *s) {
  static const int64_t patience_ns = 100000000;
  sys_close(s->fd);
  s->fd = -1;
  if (s->pid > 0)
    sys_wait(s->pid, patience_ns);
  s->pid = 0;
}
