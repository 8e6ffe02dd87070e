/*
** pty.c - a program in a pseudo terminal, driven line by line over two pipes.
** Runs in: specs.  Owns: the terminal, the program.
**
**   pty ROWS COLUMNS program argument...
**
** It reads:  s HEX    these bytes are typed    k N   signal N to the program
**            w R C    the window's size        m     tell the mode
** It writes: o HEX    bytes of the program     t     nothing for 100 ms
**            m same   the mode is as it was at the start, or `m other`
**            x N      the program ended: its status, or 128 + its signal
** At the end of its input it hangs up.
*/
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { TICK_MS = 100, ROOM = 1 << 16 };

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void set_size(int terminal, const char *rows, const char *columns) {
  struct winsize size = {.ws_row = (unsigned short)atoi(rows),
                         .ws_col = (unsigned short)atoi(columns)};
  ioctl(terminal, TIOCSWINSZ, &size);
}

static int open_terminal(char **argv) {
  int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
    fail("pseudo terminal");
  set_size(terminal, argv[1], argv[2]);
  return terminal;
}

static int start(int terminal, char **argv) {
  int inner = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (inner < 0)
    fail("terminal");
  int pid = fork();
  if (pid != 0) {
    close(inner);
    return pid;
  }
  setsid();
  ioctl(inner, TIOCSCTTY, 0);
  for (int fd = 0; fd < 3; fd++)
    dup2(inner, fd);
  execvp(argv[3], argv + 3);
  fail(argv[3]);
  return -1;
}

/* Typing never blocks: what the program prints meanwhile is let through. */
static bool pump(int terminal, int timeout_ms);

static void type(int terminal, const char *hex) {
  char byte;
  unsigned value;
  for (; sscanf(hex, "%2x", &value) == 1; hex += 2) {
    byte = (char)value;
    struct pollfd p = {.fd = terminal, .events = POLLOUT};
    while (poll(&p, 1, 0) == 0)
      pump(terminal, 1);
    if (write(terminal, &byte, 1) != 1)
      return;
  }
}

/* What the program has printed; false: it will print no more. */
static bool pump(int terminal, int timeout_ms) {
  unsigned char bytes[4096];
  struct pollfd p = {.fd = terminal, .events = POLLIN};
  if (poll(&p, 1, timeout_ms) != 1)
    return true;
  ssize_t n = read(terminal, bytes, sizeof bytes);
  if (n <= 0)
    return false;
  fputs("o ", stdout);
  for (ssize_t i = 0; i < n; i++)
    printf("%02x", bytes[i]);
  putchar('\n');
  return true;
}

static void obey(int terminal, int pid, const struct termios *first,
                 char *line) {
  struct termios now;
  char *rest = line + 2;
  switch (line[0]) {
  case 's':
    type(terminal, rest);
    break;
  case 'k':
    kill(pid, atoi(rest));
    break;
  case 'w': {
    char *columns = strchr(rest, ' ');
    set_size(terminal, rest, columns != NULL ? columns : "80");
    break;
  }
  case 'm':
    tcgetattr(terminal, &now);
    puts(memcmp(&now, first, sizeof now) == 0 ? "m same" : "m other");
    break;
  }
}

int main(int argc, char **argv) {
  static char line[ROOM * 4];
  struct termios first = {0};
  if (argc < 4)
    return 2;
  setvbuf(stdin, NULL, _IONBF, 0);
  int terminal = open_terminal(argv);
  tcgetattr(terminal, &first);
  int status, pid = start(terminal, argv);
  for (bool open = true; open;) {
    struct pollfd p[] = {{.fd = terminal, .events = POLLIN},
                         {.fd = STDIN_FILENO, .events = POLLIN}};
    if (poll(p, 2, TICK_MS) == 0)
      puts("t");
    if (p[0].revents != 0)
      open = pump(terminal, 0);
    if (p[1].revents != 0 && fgets(line, sizeof line, stdin) != NULL)
      obey(terminal, pid, &first, line);
    else if (p[1].revents != 0)
      break;
    fflush(stdout);
  }
  close(terminal);
  waitpid(pid, &status, 0);
  printf("x %d\n",
         WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  return 0;
}
