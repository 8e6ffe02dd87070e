/*
** sys_prompt.c - the OS door of the prompt: terminal, signals, history file.
** Runs in: the parent.  Owns: nothing.  Never: Lua, what a line means.
*/
#define _GNU_SOURCE
#include "sys_prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "sys_file.h"

/* ---- terminal ---- */

struct termios *sys_terminal_mode(void) {
  struct termios *mode = malloc(sizeof *mode);
  if (mode != NULL && tcgetattr(STDIN_FILENO, mode) == 0)
    return mode;
  free(mode);
  return NULL;
}

void sys_terminal_set(const struct termios *mode) {
  while (tcsetattr(STDIN_FILENO, TCSADRAIN, mode) != 0 && errno == EINTR)
    ;
}

int sys_terminal_columns(void) {
  int n = sys_columns(STDOUT_FILENO);
  return n < 2 ? 80 : n;
}

/* ---- signals ---- */

static sigset_t terminal_signals(void) {
  static const int numbers[] = {SIGINT,  SIGTERM,  SIGHUP, SIGQUIT,
                                SIGTSTP, SIGWINCH, SIGCONT};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    sigaddset(&set, numbers[i]);
  return set;
}

int sys_signals_open(void) {
  sigset_t set = terminal_signals();
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int sys_signal_next(int fd) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

void sys_signals_block(bool block) {
  sigset_t set = terminal_signals();
  sigprocmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static sigset_t only_interrupt(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  return set;
}

void sys_interrupts_wait(void) {
  sigset_t set = only_interrupt();
  sigprocmask(SIG_BLOCK, &set, NULL);
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
}

bool sys_await_typed(void) {
  struct sigaction before, action = {.sa_handler = on_interrupt};
  struct pollfd typed = {.fd = STDIN_FILENO, .events = POLLIN};
  sigset_t set = only_interrupt(), mask;
  interrupted = 0;
  sigaction(SIGINT, &action, &before);
  sigprocmask(SIG_BLOCK, NULL, &mask);
  sigdelset(&mask, SIGINT);
  while (ppoll(&typed, 1, NULL, &mask) < 0 && errno == EINTR && !interrupted)
    continue;
  sigaction(SIGINT, &before, NULL);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  return !interrupted;
}

void sys_suspend(void) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  raise(SIGTSTP);
  sigprocmask(SIG_UNBLOCK, &stop, NULL); /* here we stand still */
  sigprocmask(SIG_BLOCK, &stop, NULL);
}

/* ---- input ---- */

size_t sys_typed_ahead(void) {
  int n = 0;
  return ioctl(STDIN_FILENO, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

int sys_wait_readable(const int *fds, int n, int timeout_ms) {
  enum { MOST = 64 };
  struct pollfd polled[MOST];
  if (n > MOST)
    n = MOST;
  for (int i = 0; i < n; i++)
    polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  if (poll(polled, (nfds_t)n, timeout_ms) <= 0)
    return -1;
  int i = 0;
  while (polled[i].revents == 0)
    i++;
  return i;
}

/* ---- a private file ---- */

static void make_folders(const char *path) {
  char *folder = strdup(path);
  if (folder == NULL)
    return;
  for (char *end = folder; (end = strchr(end + 1, '/')) != NULL; *end = '/') {
    *end = '\0';
    mkdir(folder, 0700);
  }
  free(folder);
}

static int check_private(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0)
    return -1;
  if (!S_ISREG(st.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  if ((st.st_mode & 077) != 0)
    fchmod(fd, 0600); /* failing: not our file, but we may write it */
  int status;
  do
    status = flock(fd, LOCK_EX);
  while (status != 0 && errno == EINTR);
  return status;
}

int sys_private_open(const char *path) {
  static const int flags =
      O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  int fd = open(path, flags, 0600);
  if (fd < 0 && errno == ENOENT) {
    make_folders(path);
    fd = open(path, flags, 0600);
  }
  if (fd < 0 || check_private(fd) == 0)
    return fd;
  int why = errno;
  close(fd);
  errno = why;
  return -1;
}

int sys_private_append(int fd, const void *bytes, size_t n) {
  return write(fd, bytes, n) == (ssize_t)n ? 0 : -1;
}

int sys_private_replace(int fd, const void *bytes, size_t n) {
  if (ftruncate(fd, 0) != 0)
    return -1;
  return sys_private_append(fd, bytes, n);
}
