/*
** start.c - what it costs at least to have workers with a Lua state each.
** Runs in: the benchmark.  Owns: its children.  Never: tidepool.
**
** start workers=N: fork N processes, luaL_newstate in each, one call of a Lua
** function in each by way of a socket pair, exit, wait. Prints "ms".
*/
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void worker_run(int fd) {
  lua_State *L = luaL_newstate();
  long long x;
  if (!L)
    _exit(1);
  luaL_openlibs(L);
  if (luaL_dostring(L, "function twice(x) return 2 * x + 1 end"))
    _exit(1);
  while (read(fd, &x, sizeof x) == sizeof x) {
    lua_getglobal(L, "twice");
    lua_pushinteger(L, x);
    if (lua_pcall(L, 1, 1, 0))
      _exit(1);
    x = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (write(fd, &x, sizeof x) != sizeof x)
      _exit(1);
  }
  _exit(0);
}

static void workers_start(int n, int *fds) {
  for (int i = 0; i < n; i++) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
      exit(1);
    pid_t pid = fork();
    if (pid < 0)
      exit(1);
    if (pid == 0) {
      for (int k = 0; k < i; k++)
        close(fds[k]);
      close(pair[0]);
      worker_run(pair[1]);
    }
    close(pair[1]);
    fds[i] = pair[0];
  }
}

static void map_run(int n, const int *fds) {
  for (int i = 0; i < n; i++) {
    long long x = i;
    if (write(fds[i], &x, sizeof x) != sizeof x)
      exit(1);
  }
  for (int i = 0; i < n; i++) {
    long long x;
    if (read(fds[i], &x, sizeof x) != sizeof x || x != 2 * i + 1)
      exit(1);
  }
}

int main(int argc, char **argv) {
  int n = 2;
  for (int i = 1; i < argc; i++)
    sscanf(argv[i], "workers=%d", &n);
  int *fds = n > 0 ? malloc((size_t)n * sizeof *fds) : NULL;
  if (!fds)
    return 2;
  double t = now_ms();
  workers_start(n, fds);
  map_run(n, fds);
  for (int i = 0; i < n; i++)
    close(fds[i]);
  while (wait(NULL) > 0)
    ;
  printf("ms %.3f\n", now_ms() - t);
  free(fds);
  return 0;
}
