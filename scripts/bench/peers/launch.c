/*
** launch.c - runs one program of a benchmark and measures it from outside.
** Runs in: the benchmark.  Owns: the program's session.  Never: its result.
**
** launch SECONDS BUSY COMMAND...
** Kills the program after SECONDS, or when it is told to end itself; meanwhile BUSY processes do nothing but
** compute. The program may write lines to its standard output that are for
** launch, each answered by an empty line on its standard input:
**   begin, end   wall time and the processor time of all its processes between
**   idle         memory of its processes that have no children
** All other lines are passed on. At the end: "total" (wall), "total_cpu": the
** larger of what the kernel says of waited-for children and of what was seen
** every 10 ms (a process that nobody waits for is in that alone).
*/
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PROCS = 4096, GLANCE_MS = 10, SCAN_EVERY = 10 };

typedef struct Proc {
  pid_t pid, parent;
  double reaped; /* processor seconds of children it has waited for */
} Proc;

typedef struct Run {
  pid_t pid;
  int from, to;
  double deadline, begun, begun_cpu, seen_cpu;
} Run;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what) {
  perror(what);
  exit(125);
}

/* One process of the session, or not. */
static int proc_read(pid_t pid, pid_t session, Proc *out) {
  char path[64], text[1024];
  int parent, sid;
  long user, sys;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(path, "r");
  if (!f)
    return 0;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = '\0';
  const char *rest = strrchr(text, ')');
  if (!rest || sscanf(rest + 2,
                      "%*c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
                      "%ld %ld",
                      &parent, &sid, &user, &sys) != 4)
    return 0;
  if (sid != session)
    return 0;
  *out =
      (Proc){pid, parent, (double)(user + sys) / (double)sysconf(_SC_CLK_TCK)};
  return 1;
}

static size_t procs_list(pid_t session, Proc *list) {
  size_t n = 0;
  DIR *dir = opendir("/proc");
  if (!dir)
    die("/proc");
  for (struct dirent *e; n < MAX_PROCS && (e = readdir(dir));)
    if (isdigit((unsigned char)e->d_name[0]) &&
        proc_read(atoi(e->d_name), session, &list[n]))
      n++;
  closedir(dir);
  return n;
}

/* Of processes that are gone, nothing. */
static double procs_cpu(const Proc *list, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    clockid_t clock;
    struct timespec t;
    sum += list[i].reaped;
    if (!clock_getcpuclockid(list[i].pid, &clock) && !clock_gettime(clock, &t))
      sum += (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
  }
  return sum;
}

static double session_cpu(pid_t session) {
  static Proc list[MAX_PROCS];
  return procs_cpu(list, procs_list(session, list));
}

static int has_child(const Proc *list, size_t n, pid_t pid) {
  for (size_t i = 0; i < n; i++)
    if (list[i].parent == pid)
      return 1;
  return 0;
}

/* Adds what the kernel says of one process, in KiB. */
static void memory_add(pid_t pid, long *pss, long *own) {
  char path[64], line[256];
  long kib;
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
  FILE *f = fopen(path, "r");
  if (!f)
    die(path);
  while (fgets(line, sizeof line, f)) {
    if (sscanf(line, "Pss: %ld", &kib) == 1)
      *pss += kib;
    if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
        sscanf(line, "Private_Dirty: %ld", &kib) == 1)
      *own += kib;
  }
  fclose(f);
}

static void memory_report(pid_t session) {
  static Proc list[MAX_PROCS];
  size_t n = procs_list(session, list);
  long workers = 0, pss = 0, own = 0, other_pss = 0, ignored = 0;
  for (size_t i = 0; i < n; i++) {
    if (list[i].pid == session)
      continue;
    if (has_child(list, n, list[i].pid))
      memory_add(list[i].pid, &other_pss, &ignored);
    else
      memory_add(list[i].pid, &pss, &own), workers++;
  }
  workers += !workers;
  printf("workers %ld\npss %.1f\nown %.1f\nother_pss %ld\n", workers,
         (double)pss / (double)workers, (double)own / (double)workers,
         other_pss);
}

static void answer(const Run *run) {
  if (write(run->to, "\n", 1) != 1)
    die("write");
}

static void line_take(Run *run, const char *line) {
  if (!strcmp(line, "begin")) {
    run->begun_cpu = session_cpu(run->pid);
    run->begun = now();
    answer(run);
  } else if (!strcmp(line, "end")) {
    double end = now();
    printf("wall %.9f\n", end - run->begun);
    printf("cpu %.9f\n", session_cpu(run->pid) - run->begun_cpu);
    answer(run);
  } else if (!strcmp(line, "idle")) {
    memory_report(run->pid);
    answer(run);
  } else {
    puts(line);
  }
}

static void cpu_glance(Run *run) {
  static Proc list[MAX_PROCS]; /* looked for only now and then */
  static size_t n, calls;
  if (run->begun > 0)
    return;
  if (calls++ % SCAN_EVERY == 0)
    n = procs_list(run->pid, list);
  double cpu = procs_cpu(list, n);
  run->seen_cpu = cpu > run->seen_cpu ? cpu : run->seen_cpu;
}

/* Reads lines until the end; 0: there is no time left. */
static int lines_take(Run *run) {
  static char text[1 << 16];
  size_t have = 0;
  for (;;) {
    struct pollfd p = {.fd = run->from, .events = POLLIN};
    int ready = poll(&p, 1, GLANCE_MS);
    if (now() > run->deadline)
      return 0;
    if (!ready) {
      cpu_glance(run);
      continue;
    }
    ssize_t n = read(run->from, text + have, sizeof text - 1 - have);
    if (n <= 0)
      return 1;
    have += (size_t)n;
    text[have] = '\0';
    char *at = text;
    for (char *nl; (nl = strchr(at, '\n')); at = nl + 1) {
      *nl = '\0';
      line_take(run, at);
    }
    have -= (size_t)(at - text);
    memmove(text, at, have);
    if (have == sizeof text - 1)
      have = 0;
  }
}

static pid_t busy_start(pid_t parent) {
  pid_t pid = fork();
  if (pid)
    return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(0);
  for (volatile unsigned i = 0;; i++)
    ;
}

static volatile sig_atomic_t session;

/* The terminal tells nobody in another session. */
static void end_session(int number) {
  if (session > 0)
    kill(-session, SIGKILL);
  signal(number, SIG_DFL);
  raise(number);
}

static Run program_start(char **argv) {
  int in[2], out[2];
  if (pipe(in) || pipe(out))
    die("pipe");
  pid_t pid = fork();
  if (pid < 0)
    die("fork");
  if (pid) {
    session = pid;
    close(in[0]);
    close(out[1]);
    return (Run){.pid = pid, .from = out[0], .to = in[1]};
  }
  setsid();
  dup2(in[0], 0);
  dup2(out[1], 1);
  for (int i = 0; i < 2; i++) {
    close(in[i]);
    close(out[i]);
  }
  execvp(argv[0], argv);
  _exit(127);
}

/* Orphans are this process's to reap: it is their subreaper. */
static void orphans_reap(double until) {
  while (now() < until) {
    pid_t pid = waitpid(-1, NULL, WNOHANG);
    if (pid < 0)
      return;
    if (pid == 0)
      nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
}

static void total_report(const Run *run, double wall) {
  struct rusage u;
  getrusage(RUSAGE_CHILDREN, &u);
  double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
  printf("total %.6f\ntotal_cpu %.6f\n", wall,
         cpu > run->seen_cpu ? cpu : run->seen_cpu);
}

int main(int argc, char **argv) {
  if (argc < 4)
    return 2;
  int busy = atoi(argv[2]), status = 0;
  pid_t burners[64];
  for (int i = 0; i < busy && i < 64; i++)
    burners[i] = busy_start(getpid());
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, end_session);
  signal(SIGTERM, end_session);
  signal(SIGHUP, end_session);
  setvbuf(stdout, NULL, _IOLBF, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  double start = now();
  Run run = program_start(argv + 3);
  run.deadline = start + atof(argv[1]);
  int in_time = lines_take(&run);
  if (!in_time)
    kill(-run.pid, SIGKILL);
  waitpid(run.pid, &status, 0);
  double end = now();
  for (int i = 0; i < busy && i < 64; i++) {
    kill(burners[i], SIGKILL);
    waitpid(burners[i], NULL, 0);
  }
  orphans_reap(end + 2);
  if (!busy)
    total_report(&run, end - start);
  if (!in_time)
    puts("failed timeout");
  else if (status)
    puts("failed status");
  return 0;
}
