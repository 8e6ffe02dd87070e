/*
** fault_test.c - operations that lose an allocation, each of theirs in turn.
** Runs in: the tests, and workers.  Owns: malloc's failures (--wrap), the state
** in which fault_test.lua runs.
**
**   fault_test [STRIDE]     every STRIDEth allocation; the more there are, the
**                           fewer
**
** Allocation n fails, or n and the next, or all from n on: of Lua's allocator
** and of malloc, in the parent or in a worker.  The operation does its work, or
** raises "not enough memory"; afterwards all works, and no descriptor and no
** process is left over.
*/
#define _GNU_SOURCE
#include "fresh.h"
#include "lua_core.h"
#include "sys.h"
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_S = 20, MANY = 200, TRIALS = 60, ALL = 1 << 30 };
enum { MOST_OF_CHILDREN = 4000 };

/* ---- faults ---- */

static struct {
  uint64_t at, length; /* the first one that fails, and how many; 0: none */
  uint64_t seen, hits;
  int spared;  /* the process whose allocations do not count, or 0 */
  bool inside; /* Lua's allocator asks malloc */
} faults;

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t n);
void *__wrap_realloc(void *block, size_t n);
void *__real_alloc_for_lua(void *a, void *block, size_t old, size_t new);
void *__wrap_alloc_for_lua(void *a, void *block, size_t old, size_t new);

static bool fails(void) {
  if (faults.length == 0 || faults.inside ||
      (faults.spared != 0 && faults.spared == getpid()))
    return false;
  uint64_t n = ++faults.seen;
  bool hit = n >= faults.at && n - faults.at < faults.length;
  faults.hits += hit;
  if (hit)
    errno = ENOMEM;
  return hit;
}

void *__wrap_malloc(size_t n) {
  return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size) {
  return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t n) {
  return fails() ? NULL : __real_realloc(block, n);
}

void *__wrap_alloc_for_lua(void *a, void *block, size_t old, size_t new) {
  bool more = new > 0 && (block == NULL || new > old);
  if (more && fails())
    return NULL;
  faults.inside = true;
  void *result = __real_alloc_for_lua(a, block, old, new);
  faults.inside = false;
  return result;
}

static void arm(uint64_t at, uint64_t length) {
  faults.seen = faults.hits = 0;
  faults.at = at;
  faults.length = length;
}

static uint64_t disarm(void) {
  faults.length = 0;
  return faults.hits;
}

/* For tasks: package.loadlib("", "luaopen_fault_arm")(n, length), and what ends
** it returns how many failed. */
int luaopen_fault_arm(lua_State *L);
int luaopen_fault_disarm(lua_State *L);

int luaopen_fault_arm(lua_State *L) {
  arm((uint64_t)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2));
  return 0;
}

int luaopen_fault_disarm(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)disarm());
  return 1;
}

/* ---- trials ---- */

typedef struct Trial {
  const char *name;
  uint64_t at, length;
} Trial;

static Trial now; /* for the watchdog */

static void bark(int number) {
  (void)number;
  disarm();
  printf("HANGS: %s, %d from %d on\n", now.name, (int)now.length, (int)now.at);
  fflush(stdout);
  _exit(2);
}

static bool complain(const char *what) {
  printf("%s, %d from %d on: %s\n", now.name, (int)now.length, (int)now.at,
         what);
  return false;
}

static int open_fds(lua_State *L) {
  int n = 0;
  lua_gc(L, LUA_GCCOLLECT); /* pools that nobody holds */
  lua_gc(L, LUA_GCCOLLECT);
  DIR *d = opendir("/proc/self/fd");
  while (d != NULL && readdir(d) != NULL)
    n++;
  closedir(d);
  return n;
}

/* 1: the list, 2: the operation's table; the error is on top. */
enum { LIST = 1, OPERATION };

static bool is_clean(lua_State *L, int status) {
  if (status == LUA_OK)
    return true;
  const char *text = luaL_tolstring(L, -1, NULL);
  lua_getfield(L, OPERATION, "allowed");
  if (!lua_isnil(L, -1) && strstr(text, lua_tostring(L, -1)) != NULL)
    return true;
  if (strstr(text, "not enough memory") != NULL ||
      strstr(text, "the Lua stack cannot grow") != NULL ||
      strstr(text, strerror(ENOMEM)) != NULL)
    return true;
  return complain(text);
}

/* The operation is broken here; or it breaks its worker itself, and returns how
** often; or what it forks is broken, which nobody counts. */
static bool attempt(lua_State *L, uint64_t *hits) {
  lua_settop(L, OPERATION);
  bool worker = lua_getfield(L, OPERATION, "in_worker") == LUA_TFUNCTION;
  bool child =
      !worker && lua_getfield(L, OPERATION, "in_children") == LUA_TFUNCTION;
  if (!worker && !child)
    lua_getfield(L, OPERATION, "run");
  lua_pushinteger(L, (lua_Integer)now.at);
  lua_pushinteger(L, (lua_Integer)now.length);
  faults.spared = child ? (int)getpid() : 0;
  if (!worker)
    arm(now.at, now.length);
  int status = lua_pcall(L, 2, 1, 0);
  *hits = disarm();
  if (worker && status == LUA_OK)
    *hits = (uint64_t)lua_tointeger(L, -1);
  if (child)
    *hits = now.at < MOST_OF_CHILDREN;
  if (!is_clean(L, status))
    return false;
  lua_getfield(L, LIST, "check");
  if (lua_pcall(L, 0, 0, 0) != LUA_OK)
    return complain(luaL_tolstring(L, -1, NULL));
  return true;
}

/* All allocations if they are few. */
static uint32_t stride_of(uint64_t count, uint32_t most) {
  return count > most ? (uint32_t)(count / most) : 1;
}

static bool fail_each(lua_State *L, uint64_t length, uint32_t stride) {
  uint64_t hits = 1;
  now.length = length;
  for (now.at = 1; hits > 0; now.at += stride) {
    alarm(LIMIT_S);
    if (!attempt(L, &hits))
      return false;
  }
  return true;
}

static uint64_t count_allocations(lua_State *L) {
  uint64_t hits;
  now.at = ALL;
  now.length = 1;
  attempt(L, &hits); /* the first time is another one */
  return attempt(L, &hits) ? faults.seen : 0;
}

static void play(lua_State *L, uint32_t given) {
  static const uint64_t lengths[] = {1, 2, MANY};
  lua_getfield(L, 2, "name");
  now.name = lua_tostring(L, -1);
  uint64_t count = count_allocations(L);
  if (faults.spared != 0)
    count = MOST_OF_CHILDREN;
  int fds = open_fds(L);
  bool right = true, dear = lua_getfield(L, OPERATION, "dear") != LUA_TNIL;
  uint32_t stride =
      given > 0 ? given : stride_of(count, dear ? TRIALS / 4 : TRIALS);
  for (int i = 0; i < 3 && right; i++)
    right = fail_each(L, lengths[i], stride);
  printf("%s: %d allocations\n", now.name, (int)count);
  check(right && count > 0, now.name);
  check(open_fds(L) == fds, "no descriptor is left over");
}

/* Orphans come to us. */
static bool are_gone(void) {
  enum { LOOKS = 2000 };
  int got = 0;
  for (int i = 0; i < LOOKS && got >= 0; i++)
    if ((got = waitpid(-1, NULL, WNOHANG)) == 0)
      sys_sleep_ns(1000000);
  return got < 0;
}

int main(int argc, char **argv) {
  uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGALRM, bark);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  lua_State *L = fresh_state();
  luaL_openlibs(L);
  luaL_requiref(L, "tidepool", luaopen_tidepool, 1);
  lua_settop(L, 0);
  if (luaL_dofile(L, "spec/c/fault_test.lua") != LUA_OK) {
    printf("%s\n", lua_tostring(L, -1));
    return 1;
  }
  for (int i = 1; lua_rawgeti(L, 1, i) == LUA_TTABLE; i++) {
    play(L, stride);
    lua_settop(L, 1);
  }
  lua_close(L);
  check(are_gone(), "no process is left over");
  return report();
}
