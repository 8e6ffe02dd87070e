/*
** sys.c - the OS door: time, memory, wake-ups, messages.
** Runs in: every process.  Owns: nothing.  Never: Lua, tasks, policy.
*/
#define _GNU_SOURCE
#include "sys.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- time ---- */

enum { NS_PER_MS = 1000000 };
static const uint64_t NS_PER_S = 1000000000;

static uint64_t ns_of(struct timespec t) {
  return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t sys_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return ns_of(t);
}

uint64_t sys_cpu_ns(int pid) {
  struct timespec t;
  clockid_t clock;
  if (pid <= 1 || clock_getcpuclockid(pid, &clock) != 0 ||
      clock_gettime(clock, &t) != 0)
    return 0;
  return ns_of(t);
}

int sys_sleep_ns(uint64_t ns) {
  struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S),
                       .tv_nsec = (long)(ns % NS_PER_S)};
  errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
  return errno == 0 ? 0 : -1;
}

/* ---- memory ---- */

size_t sys_page_bytes(void) {
  return (size_t)sysconf(_SC_PAGESIZE);
}

static int map_shared(Shared *s, size_t bytes, int fd) {
  int flags = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
  void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (base == MAP_FAILED)
    return -1;
  *s = (Shared){.base = base, .bytes = bytes, .fd = fd};
  return 0;
}

/* A file size limit would kill us with SIGXFSZ: do not even try. */
static bool size_allowed(size_t bytes) {
  struct rlimit lim;
  return getrlimit(RLIMIT_FSIZE, &lim) == 0 &&
         (lim.rlim_cur == RLIM_INFINITY || lim.rlim_cur >= bytes);
}

int sys_shared_new(Shared *s, size_t bytes) {
  int fd = size_allowed(bytes) ? memfd_create("tidepool", MFD_CLOEXEC) : -1;
  if (fd >= 0) {
    if (ftruncate(fd, (off_t)bytes) == 0 && map_shared(s, bytes, fd) == 0)
      return 0;
    close(fd);
  }
  return map_shared(s, bytes, -1);
}

int sys_shared_open(Shared *s, int fd, size_t bytes) {
  return map_shared(s, bytes, fd);
}

void sys_shared_free(Shared *s) {
  if (s->base != NULL)
    munmap(s->base, s->bytes);
  if (s->base != NULL && s->fd >= 0)
    close(s->fd);
  *s = (Shared){.fd = -1};
}

int sys_shared_readonly(const Shared *s) {
  return mprotect(s->base, s->bytes, PROT_READ);
}

void *sys_pages(size_t bytes) {
  int how = MAP_PRIVATE | MAP_ANONYMOUS;
  void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, how, -1, 0);
  return pages == MAP_FAILED ? NULL : pages;
}

void sys_free_pages(void *pages, size_t bytes) {
  if (pages != NULL)
    munmap(pages, bytes);
}

static uint8_t *page_down(void *p) {
  return (uint8_t *)((uintptr_t)p & ~(uintptr_t)(sys_page_bytes() - 1));
}

int sys_back(void *base, size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  uint8_t *from = page_down(base);
  size_t n = (size_t)((uint8_t *)base + bytes - from);
  while (madvise(from, n, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINVAL) /* an older kernel: the first touch will do it */
      return 0;
    if (errno != EINTR && errno != EAGAIN) {
      errno = ENOMEM;
      return -1;
    }
  }
#else
  (void)base, (void)bytes;
#endif
  return 0;
}

static void advise(void *base, size_t bytes, int advice) {
  uint8_t *from = page_down((uint8_t *)base + sys_page_bytes() - 1);
  uint8_t *to = page_down((uint8_t *)base + bytes);
  if (to > from)
    madvise(from, (size_t)(to - from), advice);
}

void sys_discard(void *base, size_t bytes) {
  advise(base, bytes, MADV_REMOVE);
}

void sys_lend(void *base, size_t bytes) {
  advise(base, bytes, MADV_FREE);
}

void sys_use_huge_pages(void *base, size_t bytes) {
#ifdef MADV_HUGEPAGE
  advise(base, bytes, MADV_HUGEPAGE);
#else
  (void)base, (void)bytes;
#endif
}

void sys_random(void *to, size_t bytes) {
  if (getrandom(to, bytes, GRND_NONBLOCK) == (ssize_t)bytes)
    return;
  uint64_t now = sys_now_ns() ^ (uint64_t)getpid() << 32;
  for (size_t i = 0; i < bytes; i++)
    ((uint8_t *)to)[i] = (uint8_t)(now >> i % 8 * 8);
}

/* ---- wake-ups ---- */

void sys_futex_wait(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

void sys_futex_nap(_Atomic uint32_t *word, uint32_t value, uint64_t ns) {
  struct timespec most = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
  syscall(SYS_futex, word, FUTEX_WAIT, value, &most, NULL, 0);
}

void sys_futex_wake(_Atomic uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void sys_yield(void) {
  sched_yield();
}

int sys_event_new(void) {
  return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* A full counter (EAGAIN) is as readable as can be. */
bool sys_event_kick(int fd) {
  uint64_t one = 1;
  while (write(fd, &one, sizeof one) < 0)
    if (errno != EINTR)
      return errno == EAGAIN;
  return true;
}

void sys_event_clear(int fd) {
  uint64_t count;
  while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
    continue;
}

int sys_pair(int fds[2]) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
}

bool sys_is_unread(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  return poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
}

bool sys_is_hung_up(int fd) {
  struct pollfd p = {.fd = fd};
  return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

void sys_await(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  while (poll(&p, 1, -1) < 0 && errno == EINTR)
    continue;
}

int sys_poll_new(void) {
  return epoll_create1(EPOLL_CLOEXEC);
}

int sys_poll_add(int poll_fd, int fd, uint32_t tag) {
  struct epoll_event ev = {.events = EPOLLIN, .data = {.u32 = tag}};
  return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &ev);
}

void sys_poll_mute(int poll_fd, int fd, uint32_t tag, bool mute) {
  struct epoll_event ev = {.events = mute ? 0 : EPOLLIN, .data = {.u32 = tag}};
  epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &ev);
}

void sys_poll_remove(int poll_fd, int fd) {
  epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int to_ms(int64_t ns) {
  if (ns < 0)
    return -1;
  int64_t ms = (ns + NS_PER_MS - 1) / NS_PER_MS;
  return ms > 1 << 30 ? 1 << 30 : (int)ms;
}

int sys_poll_wait(int poll_fd, uint32_t tags[SYS_MAX_EVENTS],
                  int64_t timeout_ns) {
  struct epoll_event ev[SYS_MAX_EVENTS];
  int n = epoll_wait(poll_fd, ev, SYS_MAX_EVENTS, to_ms(timeout_ns));
  for (int i = 0; i < n; i++)
    tags[i] = ev[i].data.u32;
  return n;
}

void sys_close(int fd) {
  if (fd >= 0)
    close(fd);
}

/* ---- messages with descriptors ---- */

typedef union Control {
  struct cmsghdr head;
  char room[CMSG_SPACE(sizeof(int) * SYS_MAX_FDS)];
} Control;

int sys_send(int fd, const void *bytes, size_t n, const int *fds, int n_fds) {
  Control control = {.head = {0}};
  struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
  struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
  if (n_fds > 0) {
    size_t fd_bytes = sizeof(int) * (size_t)n_fds;
    msg.msg_control = &control;
    msg.msg_controllen = CMSG_SPACE(fd_bytes);
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(fd_bytes);
    memcpy(CMSG_DATA(&control.head), fds, fd_bytes);
  }
  ssize_t sent;
  do
    sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)n ? 0 : -1;
}

long sys_receive(int fd, void *bytes, size_t n, int *fds, int *n_fds) {
  Control control;
  struct iovec part = {.iov_base = bytes, .iov_len = n};
  struct msghdr msg = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
  ssize_t got;
  do
    got = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  int room = n_fds != NULL ? *n_fds : 0;
  int received = 0;
  struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
  if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
    received = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < received; i++) {
      int one;
      memcpy(&one, CMSG_DATA(head) + sizeof one * (size_t)i, sizeof one);
      if (i < room)
        fds[i] = one;
      else
        close(one);
    }
  }
  if (n_fds != NULL)
    *n_fds = received < room ? received : room;
  return got;
}
