/*
** sys_process.c - the OS door: processes, their roles, children and strays.
** Runs in: every process.  Owns: nothing.  Never: Lua, tasks, policy.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

extern char **environ;

enum { NS_PER_MS = 1000000 };

/* ---- processes ---- */

/*
** Without a system call: the number is kept in a page that the kernel wipes
** in a forked child.
*/
int sys_getpid(void) {
  static int *kept; /* of this process alone */
  if (kept == NULL) {
    void *page = sys_pages(sys_page_bytes());
    if (page == NULL)
      return (int)getpid();
    if (madvise(page, sys_page_bytes(), MADV_WIPEONFORK) != 0) {
      sys_free_pages(page, sys_page_bytes());
      return (int)getpid();
    }
    kept = page;
  }
  if (*kept == 0)
    *kept = (int)getpid();
  return *kept;
}

int sys_ask_pid(void) {
  return (int)getpid();
}

/*
** Signals are blocked over the fork, so that no handler of the host runs in
** the child; the child's role decides what it wants to hear.  Output is
** flushed first, so that nothing is written twice.
*/
int sys_fork(void) {
  sigset_t all, old;
  fflush(NULL);
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &old);
  int pid = (int)fork();
  int saved = errno;
  if (pid != 0)
    sigprocmask(SIG_SETMASK, &old, NULL);
  errno = saved;
  return pid;
}

/*
** What fork does for the sake of threads, of handlers and of stdio writes to
** pages of libc, which both processes then have to copy.
*/
int sys_fork_own(void) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  return (int)_Fork();
#else
  return (int)fork();
#endif
}

void sys_exit(int status) {
  _exit(status);
}

int sys_pidfd(int pid) {
#ifdef SYS_pidfd_open
  return (int)syscall(SYS_pidfd_open, pid, 0);
#else
  (void)pid;
  errno = ENOSYS;
  return -1;
#endif
}

bool sys_is_parent(int pid) {
  return getppid() == pid;
}

bool sys_die_with(int parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return sys_is_parent(parent);
}

void sys_live_on(void) {
  prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

void sys_continue(int pid) {
  if (pid > 1)
    kill(pid, SIGCONT);
}

void sys_stop(int pid) {
  if (pid > 1)
    kill(pid, SIGSTOP);
}

void sys_kill(int pid) {
  if (pid > 1)
    kill(pid, SIGKILL);
}

int sys_wait(int pid, int64_t timeout_ns) {
  uint64_t end = sys_now_ns() + (uint64_t)timeout_ns;
  for (;;) {
    int got = (int)waitpid(pid, NULL, WNOHANG);
    if (got == pid || (got < 0 && errno == ECHILD))
      return 0; /* ECHILD: the host reaps everything; fine */
    if (sys_now_ns() >= end)
      return -1;
    sys_sleep_ns(NS_PER_MS / 10);
  }
}

void sys_await_end(int pid, uint64_t until_ns) {
  int fd = pid > 1 ? sys_pidfd(pid) : -1;
  struct pollfd one = {.fd = fd, .events = POLLIN};
  while (pid > 1 && kill(pid, 0) == 0 && sys_now_ns() < until_ns)
    if (poll(&one, 1, fd >= 0) > 0) /* 1 ms */
      break;
    else if (fd < 0)
      sys_sleep_ns(NS_PER_MS / 10);
  sys_close(fd);
}

int sys_lift(int fd) {
  enum { LIFTED = 256 };
  struct rlimit lim;
  if (fd < 0)
    return fd;
  int base = LIFTED;
  if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < 2 * LIFTED)
    base = (int)(lim.rlim_cur / 2);
  int high = fcntl(fd, F_DUPFD_CLOEXEC, base);
  if (high < 0)
    return fd;
  close(fd);
  return high;
}

static void close_from_to(int from, int to) {
  if (from > to)
    return;
#ifdef SYS_close_range
  if (syscall(SYS_close_range, (unsigned)from, (unsigned)to, 0) == 0)
    return;
#endif
  int top = (int)sysconf(_SC_OPEN_MAX);
  for (int fd = from; fd <= to && fd < top; fd++)
    close(fd);
}

void sys_keep_fds(const int *keep, int n) {
  int from = STDERR_FILENO + 1, next;
  do {
    next = INT32_MAX;
    for (int i = 0; i < n; i++)
      if (keep[i] >= from && keep[i] < next)
        next = keep[i];
    close_from_to(from, next - 1);
    from = next < INT32_MAX ? next + 1 : next;
  } while (next < INT32_MAX);
}

int sys_open_cwd(void) {
  int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fd >= 0 ? fd : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void sys_use_cwd(int fd) {
  if (fd >= 0 && fchdir(fd) == 0)
    close(fd);
}

static void use_as(int fd, int flags, int standard) {
  if (fd < 0)
    fd = open("/dev/null", flags | O_CLOEXEC);
  if (fd >= 0 && fd != standard) {
    dup2(fd, standard);
    close(fd);
  }
}

void sys_use_stdio(int out, int err) {
  __fpurge(stdin); /* the host may have read ahead */
  use_as(-1, O_RDONLY, STDIN_FILENO);
  use_as(out, O_WRONLY, STDOUT_FILENO);
  use_as(err, O_WRONLY, STDERR_FILENO);
}

void sys_hold_stdio(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 &&
        open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
      return;
}

int sys_copy_stdio(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  return copy >= 0 ? copy : open("/dev/null", O_WRONLY | O_CLOEXEC);
}

void sys_title(const char *text) {
  prctl(PR_SET_NAME, text, 0, 0, 0);
}

size_t sys_environ(char *to, size_t room) {
  size_t n = 0;
  for (char **e = environ; e != NULL && *e != NULL; e++) {
    size_t bytes = strlen(*e) + 1;
    if (n + bytes <= room)
      memcpy(to + n, *e, bytes);
    n += bytes;
  }
  return n;
}

/* Strays of a child carry the name with the number of its birth. */
static const char MARK[] = "TIDEPOOL_WORKER=";

void sys_mark(char mark[SYS_MARK_BYTES], int pid, uint32_t birth) {
  snprintf(mark, SYS_MARK_BYTES, "%s%d.%u", MARK, pid, birth);
}

int sys_use_environ(char *block, size_t bytes, char *mark) {
  size_t n = 2;
  for (size_t at = 0; at < bytes; at += strlen(block + at) + 1)
    n++;
  char **list = calloc(n, sizeof *list);
  if (list == NULL)
    return -1;
  n = 0;
  list[n++] = mark;
  for (size_t at = 0; at < bytes; at += strlen(block + at) + 1)
    if (strncmp(block + at, MARK, sizeof MARK - 1) != 0)
      list[n++] = block + at;
  environ = list;
  return 0;
}

/* ---- roles ---- */

static void nothing(int number) {
  (void)number;
}

/* Signal dispositions of the host are not ours. */
static void reset_signals(void) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int i = 1; i < NSIG; i++)
    if (i != SIGKILL && i != SIGSTOP)
      sigaction(i, &standard, NULL);
}

static void handle(int number, void (*how)(int)) {
  struct sigaction act = {.sa_handler = how};
  sigaction(number, &act, NULL);
}

/* Not SIG_IGN: programs that a task starts get the default back. */
static void survive(int number) {
  struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
  sigaction(number, &act, NULL);
}

void sys_become_nursery(void) {
  reset_signals();
  handle(SIGCHLD, SIG_IGN);
}

int sys_become_supervisor(void) {
  sigset_t children;
  handle(SIGCHLD, SIG_DFL);
  survive(SIGINT); /* its workers */
  survive(SIGPIPE);
  survive(SIGXFSZ);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  return signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
** Children inherit the score.  To open the file of a new process takes longer
** than its fork, so the supervisor moves its own to and fro.  All of it is a
** preference: the pool works without it.
*/
void sys_oom_open(SysOom *o) {
  o->fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  o->own_bytes = o->fd < 0 ? 0 : read(o->fd, o->own, sizeof o->own);
}

void sys_oom_offer(const SysOom *o, bool offered) {
  if (o->own_bytes <= 0)
    return;
  ssize_t n = offered ? pwrite(o->fd, "500", 3, 0)
                      : pwrite(o->fd, o->own, (size_t)o->own_bytes, 0);
  (void)n;
}

bool sys_become_worker(int supervisor) {
  sigset_t none;
  if (!sys_die_with(supervisor))
    return false;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  return true;
}

/* ---- children and strays ---- */

ReapKind sys_reap_peek(int *pid, int *why) {
  siginfo_t info = {0};
  int how = WEXITED | WSTOPPED | WNOHANG;
  if (waitid(P_ALL, 0, &info, how | WNOWAIT) != 0 || info.si_pid == 0)
    return REAP_NONE;
  *pid = (int)info.si_pid;
  if (info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED) {
    waitid(P_PID, (id_t)info.si_pid, &info, WSTOPPED | WNOHANG);
    return REAP_STOPPED;
  }
  *why = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
  return REAP_DEAD;
}

void sys_reap(int pid) {
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    continue;
}

void sys_clear_children_event(int fd) {
  struct signalfd_siginfo info;
  while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
    continue;
}

static bool file_text(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  ssize_t n = read(fd, text, room - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  return n > 0;
}

/* The birth named by the environment that `stray` was started with, or 0. */
static uint32_t mark_of(int stray) {
  char path[64], line[64];
  uint32_t found = 0;
  snprintf(path, sizeof path, "/proc/%d/environ", stray);
  FILE *f = fopen(path, "re");
  if (f == NULL)
    return 0;
  size_t n = 0;
  for (int c; found == 0 && (c = getc(f)) != EOF;) {
    if (n < sizeof line - 1)
      line[n++] = (char)c;
    if (c != '\0')
      continue;
    line[n - 1] = '\0';
    n = 0;
    int parent;
    uint32_t birth;
    if (sscanf(line, "TIDEPOOL_WORKER=%d.%u", &parent, &birth) == 2 &&
        parent == sys_getpid())
      found = birth;
  }
  fclose(f);
  return found;
}

static bool is_stray(int pid, const SysWorker *alive, int n) {
  for (int i = 0; i < n; i++)
    if (alive[i].pid == pid)
      return false;
  uint32_t mark = mark_of(pid);
  for (int i = 0; i < n; i++)
    if (alive[i].birth == mark)
      return false;
  return mark != 0;
}

bool sys_has_children(void) {
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

typedef struct Children {
  int fd;
  ssize_t at, n;
  char text[1024];
} Children;

static int next_char(Children *c) {
  if (c->at == c->n) {
    c->n = read(c->fd, c->text, sizeof c->text);
    c->at = 0;
  }
  return c->n > 0 ? c->text[c->at++] : EOF;
}

static int next_child(Children *c) {
  int pid = 0;
  for (int digit; (digit = next_char(c)) >= '0';)
    pid = pid * 10 + digit - '0';
  return pid;
}

/*
** Processes left behind by a worker come to us (we are their subreaper).
** They are told from workers by the list, and from each other by the mark.
*/
static void kill_those(bool all, const SysWorker *alive, int n) {
  char path[64];
  if (!sys_has_children())
    return; /* there is no child; opening the list takes far longer */
  snprintf(path, sizeof path, "/proc/self/task/%d/children", sys_getpid());
  Children c = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
  if (c.fd < 0)
    return;
  for (int pid; (pid = next_child(&c)) > 0;)
    if (all || is_stray(pid, alive, n))
      kill(pid, SIGKILL);
  close(c.fd);
}

void sys_kill_strays(const SysWorker *alive, int n) {
  kill_those(false, alive, n);
}

void sys_kill_children(void) {
  kill_those(true, NULL, 0);
}

/* Who dies leaves its children to us: they are there once it is reaped. */
void sys_end_children(int64_t timeout_ns) {
  uint64_t end = sys_now_ns() + (uint64_t)timeout_ns;
  int got, reaped = 1;
  do {
    if (reaped > 0)
      sys_kill_children();
    else
      sys_sleep_ns(NS_PER_MS / 10);
    for (reaped = 0; (got = (int)waitpid(-1, NULL, WNOHANG)) > 0;)
      reaped++;
  } while (got == 0 && sys_now_ns() < end);
}

int sys_why_killed(void) {
  return SIGKILL;
}

int sys_why_signal(int why) {
  return WIFSIGNALED(why) ? WTERMSIG(why) : 0;
}

int sys_why_status(int why) {
  return WIFEXITED(why) ? WEXITSTATUS(why) : -1;
}

const char *sys_signal_name(int number) {
  static const struct {
    int number;
    const char *name;
  } names[] = {{SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"},
               {SIGILL, "SIGILL"},   {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"},
               {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGKILL, "SIGKILL"},
               {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
               {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"},
               {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].number == number)
      return names[i].name;
  return "a signal";
}

/* ---- CPUs ---- */

static int affinity_count(void) {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t *set = CPU_ALLOC(cpus);
    if (set == NULL)
      break;
    size_t bytes = CPU_ALLOC_SIZE(cpus);
    int n = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (n > 0)
      return n;
  }
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

/* Both forms hold two numbers: quota and period; no quota reads as none. */
static int quota_in(const char *quota_path, const char *period_path) {
  char text[128];
  long quota, period = 100000;
  if (!file_text(quota_path, text, sizeof text) ||
      sscanf(text, "%ld %ld", &quota, &period) < 1)
    return 0;
  if (period_path != NULL && file_text(period_path, text, sizeof text))
    period = atol(text);
  if (quota <= 0 || period <= 0)
    return 0;
  return (int)((quota + period - 1) / period);
}

/* The group of version 2 is named in /proc; its ancestors bind as well. */
static int cgroup_count(void) {
  char text[1024], path[1200];
  int least = quota_in("/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
                       "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  char *group = file_text("/proc/self/cgroup", text, sizeof text)
                    ? strstr(text, "0::/")
                    : NULL;
  if (group == NULL)
    return least;
  group += strlen("0::");
  group[strcspn(group, "\n")] = '\0';
  for (char *cut; (cut = strrchr(group, '/')) != NULL; *cut = '\0') {
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    int n = quota_in(path, NULL);
    if (n > 0 && (least == 0 || n < least))
      least = n;
  }
  int n = quota_in("/sys/fs/cgroup/cpu.max", NULL);
  return n > 0 && (least == 0 || n < least) ? n : least;
}

int sys_cpu_count(void) {
  int cpus = affinity_count();
  int quota = cgroup_count();
  return quota > 0 && quota < cpus ? quota : cpus;
}
