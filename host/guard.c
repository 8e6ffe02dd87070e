/*
** guard.c - calls of the program into Lua: signals, messages, reports.
** Runs in: the parent.  Owns: the program's signal handlers, stderr.
*/
#define _GNU_SOURCE
#include "guard.h"

#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "sys_prompt.h"

/* What a signal handler, an atexit function and every message must reach. */
static const char *program;          /* argv[0]; NULL at the prompt */
static lua_State *running;           /* whom a signal interrupts */
static lua_State *volatile current;  /* it, or the coroutine it is in */
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
  lua_sethook(running, interrupted, LUA_MASKCALL, 0);
  luaL_error(L, "%s", interrupt_text(caught));
}

static void set_action(int number, void (*action)(int)) {
  struct sigaction sa = {.sa_handler = action};
  sigemptyset(&sa.sa_mask);
  sigaction(number, &sa, NULL);
}

static void interrupt(lua_State *L) {
  lua_sethook(L, raise_interrupt,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void on_signal(int number) {
  set_action(number, SIG_DFL);
  caught = number;
  interrupt(running);
  interrupt(current);
}

static void catch_signals(lua_State *L) {
  running = current = L;
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

/*
** Coroutines: a hook is one of a thread, so we must know which one runs. What
** resumes them does as in Lua, and notes it.
*/

/* Resumes with the n values on top of the stack. What comes back is there then:
** that many values; or an error, and -1. */
static int resume(lua_State *L, lua_State *co, int n) {
  lua_State *before = current;
  if (!lua_checkstack(co, n)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, n);
  current = co;
  int status = lua_resume(co, L, n, &n);
  current = before;
  if (caught != 0 && lua_gethook(co) == raise_interrupt) {
    lua_sethook(co, NULL, 0, 0); /* it ended or yielded before that */
    interrupt(L);
  }
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, n + 1)) {
    lua_pop(co, n);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, n);
  return n;
}

static int f_resume(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTHREAD);
  int n = resume(L, lua_tothread(L, 1), lua_gettop(L) - 1);
  int pushed = n < 0 ? 1 : n;
  lua_pushboolean(L, n >= 0);
  lua_insert(L, -pushed - 1);
  return pushed + 1;
}

/* Raises the error, on top of the stack, that the coroutine ended with, or that
** it could not go on. */
static int raise_error(lua_State *L, lua_State *co) {
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    status = lua_resetthread(co); /* an error in closing takes its place */
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int m_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n = resume(L, co, lua_gettop(L));
  return n < 0 ? raise_error(L, co) : n;
}

static int f_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, m_wrapped, 1);
  return 1;
}

void guard_coroutines(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"resume", f_resume}, {"wrap", f_wrap}, {NULL, NULL}};
  lua_getglobal(L, LUA_COLIBNAME);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
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
