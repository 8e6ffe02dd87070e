/*
** sys.h - the OS door: memory, time, wake-ups, processes.
** Nothing here knows Lua or tasks.  Functions return 0 or -1 with errno
** unless they say otherwise; EINTR never leaves but where it is named.
*/
#ifndef SYS_H
#define SYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* time: monotonic, in ns */
uint64_t sys_now_ns(void);
/* That the process has had of the processors; 0: it is not known. */
uint64_t sys_cpu_ns(int pid);
int sys_sleep_ns(uint64_t ns); /* -1 with EINTR when a signal ended it */

/* memory shared with processes forked later or handed its descriptor */
typedef struct Shared {
  uint8_t *base;
  size_t bytes;
  int fd; /* -1: anonymous, only a fork of this process can reach it */
} Shared;

int sys_shared_new(Shared *s, size_t bytes);
int sys_shared_open(Shared *s, int fd, size_t bytes); /* takes the fd */
void sys_shared_free(Shared *s);
int sys_shared_readonly(const Shared *s); /* for this process, from now on */
int sys_back(void *base, size_t bytes);   /* memory is there, else ENOMEM */
/* Private, all zero, NULL: none. A heap with much that is free takes its time to
** find a place for a large array. */
void *sys_pages(size_t bytes);
void sys_free_pages(void *pages, size_t bytes);
/* Private memory whose contents nobody needs: the system takes it if it is
** short of memory, else it stays as it is, until something is written. */
void sys_lend(void *base, size_t bytes);
void sys_use_huge_pages(void *base, size_t bytes); /* where it can be */
void sys_discard(void *base, size_t bytes);        /* gives whole pages back */
size_t sys_page_bytes(void);
void sys_random(void *to, size_t bytes);

/* wake-ups */
void sys_futex_wait(_Atomic uint32_t *word, uint32_t value);
void sys_futex_nap(_Atomic uint32_t *word, uint32_t value, uint64_t ns);
void sys_futex_wake(_Atomic uint32_t *word);
void sys_yield(void);
int sys_event_new(void);     /* an eventfd, or -1 */
bool sys_event_kick(int fd); /* false: the descriptor is gone */
void sys_event_clear(int fd);
int sys_pair(int fds[2]);   /* two connected ends, message by message */
bool sys_is_unread(int fd); /* a pipe whose reader is gone */
bool sys_is_hung_up(int fd);
int sys_poll_new(void);
int sys_poll_add(int poll_fd, int fd, uint32_t tag);
void sys_poll_remove(int poll_fd, int fd);
/* Muted it only tells that it is hung up. */
void sys_poll_mute(int poll_fd, int fd, uint32_t tag, bool mute);

enum { SYS_FOREVER = -1 };
enum { SYS_MAX_EVENTS = 4 };
/* Waits; tags of what is readable or hung up. -1 with EINTR on a signal. */
int sys_poll_wait(int poll_fd, uint32_t tags[SYS_MAX_EVENTS],
                  int64_t timeout_ns);
void sys_await(int fd); /* until it is readable or hung up */
void sys_close(int fd);

/* messages with descriptors over a pair; n fds, at most SYS_MAX_FDS */
enum { SYS_MAX_FDS = 8 };
int sys_send(int fd, const void *bytes, size_t n, const int *fds, int n_fds);
/* bytes read, 0 at the end, -1 (EAGAIN when nothing is there); *n_fds is
** the room in `fds` on entry and the number received on return */
long sys_receive(int fd, void *bytes, size_t n, int *fds, int *n_fds);

/* processes */
int sys_getpid(void);
int sys_ask_pid(void); /* the same, cheaper for who asks once */
int sys_fork(void);    /* all signals stay blocked in the child */
/* The same, from a process of ours: it has one thread, all signals blocked and
** nothing to flush. */
int sys_fork_own(void);
_Noreturn void sys_exit(int status); /* at once: no atexit, no flush */
int sys_pidfd(int pid); /* readable when it has ended; -1 where unknown */
bool sys_is_parent(int pid);
bool sys_die_with(int parent); /* by SIGKILL; false: it is gone */
void sys_live_on(void);        /* even without it */
void sys_kill(int pid);
void sys_stop(int pid);
void sys_continue(int pid); /* SIGCONT */
bool sys_has_children(void);
int sys_wait(int pid, int64_t timeout_ns);      /* reap one child of ours */
void sys_await_end(int pid, uint64_t until_ns); /* of any process */
/* To a high number: libraries of the host close, at a fork, descriptors that
** they remember, although we had closed them and their numbers are ours now. */
int sys_lift(int fd);
void sys_keep_fds(const int *keep, int n); /* closes all others above 2 */
int sys_open_cwd(void);                    /* the root when it was deleted */
void sys_use_cwd(int fd);
/* Takes both; -1 and the standard input become /dev/null. */
void sys_use_stdio(int out, int err);
/* A closed one fails as before, but no file gets its number. */
void sys_hold_stdio(void);
int sys_copy_stdio(int fd);                /* /dev/null when it is not open */
void sys_title(const char *text);          /* what ps shows, 15 bytes */
size_t sys_environ(char *to, size_t room); /* bytes it takes, NUL between */
enum { SYS_MARK_BYTES = 48 };
/* The environment: that of `block`, and the mark. It goes on pointing into
** both. -1 without memory. */
int sys_use_environ(char *block, size_t bytes, char *mark);
/* For the next child, the one of that birth, of process `pid`. */
void sys_mark(char mark[SYS_MARK_BYTES], int pid, uint32_t birth);

/* roles: what a process of ours is before it does anything else */
void sys_become_nursery(void);          /* children reap themselves */
int sys_become_supervisor(void);        /* returns a fd readable at SIGCHLD */
bool sys_become_worker(int supervisor); /* false: the supervisor is gone */

/* The kernel's out-of-memory killer takes a worker before anybody else: those
** who are born while their parent is `offered`. */
typedef struct SysOom {
  int fd;
  long own_bytes;
  char own[8];
} SysOom;
void sys_oom_open(SysOom *o);
void sys_oom_offer(const SysOom *o, bool offered);

typedef enum ReapKind { REAP_NONE, REAP_STOPPED, REAP_DEAD } ReapKind;
/* Looks who died, without reaping; *why is a wait status. */
ReapKind sys_reap_peek(int *pid, int *why);
void sys_reap(int pid);
void sys_clear_children_event(int fd);
/* A child, and which birth it was: strays that it leaves carry that number. */
typedef struct SysWorker {
  int pid;
  uint32_t birth; /* counts from 1 */
} SysWorker;
/* Kills children that neither live nor carry the mark of one who does. */
void sys_kill_strays(const SysWorker *alive, int n);
void sys_kill_children(void);
void sys_end_children(int64_t timeout_ns); /* and theirs; reaps them */
int sys_why_killed(void);                  /* the wait status of a SIGKILL */
int sys_why_signal(int why);               /* 0: it exited */
int sys_why_status(int why);
const char *sys_signal_name(int number); /* "SIGKILL" */

int sys_cpu_count(void); /* affinity mask and cgroup quota counted, >= 1 */

#endif
