/*
** guard.c - calls of the program into Lua: signals, messages, reports.
** Runs in: the parent.  Owns: the program's signal handlers, stderr.
*/
#define _GNU_SOURCE
#include "guard.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "sys_prompt.h"

/* What a signal handler, an atexit function and every message must reach. */
static const char *program;          /* argv[0]; NULL at the prompt */
static lua_State *running;           /* whom a signal interrupts */
static volatile sig_atomic_t caught; /* the last signal, 0: none */
static int fatal_signal;             /* the signal whose error nobody caught */
static bool holding;                 /* signals wait outside of calls */

/*
** Messages
*/

void guard_complain(const char *message) {
  fflush(stdout);
  if (program != NULL)
    fprintf(stderr, "%s: ", program);
  fprintf(stderr, "%s\n", message);
  fflush(stderr);
}

static const char *interrupt_text(int signal_number) {
  return signal_number == SIGINT ? "interrupted!" : "terminated!";
}

bool guard_ends_with(const char *s, size_t len, const char *tail) {
  size_t n = strlen(tail);
  return len >= n && memcmp(s + len - n, tail, n) == 0;
}

/* What an object says of itself with all that is known, given the traceback;
** false and nothing pushed if it has no such method. */
static bool push_report(lua_State *L) {
  if (luaL_getmetafield(L, 1, "__report") == LUA_TNIL)
    return false;
  lua_pushvalue(L, 1);
  luaL_traceback(L, L, NULL, 1);
  if (lua_pcall(L, 2, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING)
    return true;
  lua_pop(L, 1);
  return false;
}

/* The message handler of every call from here. */
static int m_describe(lua_State *L) {
  size_t len;
  const char *message = lua_tolstring(L, 1, &len);
  if (message == NULL) {
    if (push_report(L))
      return 1;
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
      return 1;
    message =
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  } else if (caught != 0 &&
             guard_ends_with(message, len, interrupt_text(caught))) {
    fatal_signal = caught;
  }
  luaL_traceback(L, L, message, 1);
  return 1;
}

bool guard_report(lua_State *L, int status) {
  if (status == LUA_OK)
    return true;
  const char *message = lua_tostring(L, -1);
  guard_complain(message ? message : "(error message not a string)");
  lua_pop(L, 1);
  return false;
}

/*
** Signals: during a call, SIGINT, SIGTERM and SIGHUP become a Lua error, so
** that <close> variables are closed. The second one of a kind kills.
*/

typedef struct Handled {
  int number;
  bool even_if_ignored; /* a shell's background jobs ignore SIGINT */
} Handled;

static const Handled handled[] = {
    {SIGINT, true}, {SIGTERM, false}, {SIGHUP, false}};
enum { HANDLED = sizeof handled / sizeof handled[0] };

/* Stays as a mark that an error was an interrupt, whoever catches it. */
static void interrupted(lua_State *L, lua_Debug *ar) {
  (void)L, (void)ar;
}

static void raise_interrupt(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, interrupted, LUA_MASKCALL, 0);
  luaL_error(L, "%s", interrupt_text(caught));
}

static void set_action(int number, void (*action)(int)) {
  struct sigaction sa = {.sa_handler = action};
  sigemptyset(&sa.sa_mask);
  sigaction(number, &sa, NULL);
}

static void on_signal(int number) {
  set_action(number, SIG_DFL);
  caught = number;
  lua_sethook(running, raise_interrupt,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void catch_signals(lua_State *L) {
  running = L;
  for (int i = 0; i < HANDLED; i++) {
    struct sigaction old;
    sigaction(handled[i].number, NULL, &old);
    if (handled[i].even_if_ignored || old.sa_handler != SIG_IGN)
      set_action(handled[i].number, on_signal);
  }
}

static void release_signals(void) {
  for (int i = 0; i < HANDLED; i++) {
    struct sigaction old;
    sigaction(handled[i].number, NULL, &old);
    if (old.sa_handler == on_signal)
      set_action(handled[i].number, SIG_DFL);
  }
}

int guard_call(lua_State *L, int nargs, int nresults) {
  int handler = lua_gettop(L) - nargs;
  lua_pushcfunction(L, m_describe);
  lua_insert(L, handler);
  catch_signals(L);
  if (holding)
    sys_signals_block(false);
  int status = lua_pcall(L, nargs, nresults, handler);
  if (holding)
    sys_signals_block(true);
  release_signals();
  if (lua_gethook(L) == interrupted || lua_gethook(L) == raise_interrupt)
    lua_sethook(L, NULL, 0, 0);
  lua_remove(L, handler);
  return status;
}

const char *guard_name(const char *name) {
  const char *before = program;
  program = name;
  return before;
}

void guard_hold_signals(bool hold) {
  holding = hold;
  sys_signals_block(hold);
}

bool guard_forget(void) {
  if (caught != 0 && caught != SIGINT)
    fatal_signal = caught;
  else if (fatal_signal == SIGINT)
    fatal_signal = 0;
  caught = 0;
  return fatal_signal == 0;
}

bool guard_is_interrupted(void) {
  return caught != 0;
}

void guard_end_by(int signal_number) {
  fatal_signal = signal_number;
}

void guard_die(void) {
  if (fatal_signal == 0)
    return;
  fflush(NULL);
  set_action(fatal_signal, SIG_DFL);
  raise(fatal_signal);
}
