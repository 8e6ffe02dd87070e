/*
** session.c - the prompt of a terminal: between Lua and the editor.
** Runs in: the parent.  Owns: the table of lua/tidepool/terminal.lua, at
** index 1 of the stack.
*/
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "editor.h"
#include "guard.h"
#include "sys_prompt.h"

typedef struct Session {
  lua_State *L;
  Editor *editor;
} Session;

/* Calls a function of the table with the arguments on top of the stack; false
** when it raised, which was told. */
static bool call(lua_State *L, const char *name, int nargs, int nresults) {
  lua_getfield(L, 1, name);
  lua_insert(L, -nargs - 1);
  int status = guard_call(L, nargs, nresults);
  if (status != LUA_OK && guard_is_interrupted())
    lua_pushliteral(L, "interrupted!");
  return guard_report(L, status);
}

static void watch(Session *s) {
  int fds[EDITOR_WATCHED], n = 0;
  lua_settop(s->L, 1);
  if (call(s->L, "watched", 0, 1))
    for (; n < EDITOR_WATCHED; n++) {
      if (lua_rawgeti(s->L, 2, n + 1) != LUA_TNUMBER)
        break;
      fds[n] = (int)lua_tointeger(s->L, -1);
      lua_pop(s->L, 1);
    }
  editor_watch(s->editor, fds, n);
}

/*
** Hooks of the editor
*/

static bool is_open(void *to, const char *text, size_t n) {
  lua_State *L = ((Session *)to)->L;
  lua_settop(L, 1);
  lua_pushlstring(L, text, n);
  return call(L, "is_open", 1, 1) && lua_toboolean(L, -1);
}

static const char *complete(void *to, const char *text, size_t n, size_t *bytes,
                            const char **list) {
  lua_State *L = ((Session *)to)->L;
  lua_settop(L, 1);
  *bytes = 0;
  *list = NULL;
  lua_pushlstring(L, text, n);
  if (!call(L, "complete", 1, 3))
    return NULL;
  *list = lua_tostring(L, 4);
  *bytes = (size_t)lua_tointeger(L, 3);
  return lua_tostring(L, 2);
}

static void step(void *to, int fd) {
  Session *s = to;
  lua_settop(s->L, 1);
  lua_pushinteger(s->L, fd);
  call(s->L, "step", 1, 0);
  watch(s);
}

static void end_by(void *to, int signal_number) {
  (void)to;
  guard_end_by(signal_number);
}

/*
** The loop
*/

static int f_columns(lua_State *L) {
  lua_pushinteger(L, sys_terminal_columns());
  return 1;
}

static int f_fresh_line(lua_State *L) {
  (void)L;
  editor_fresh_line();
  return 0;
}

static bool is_terminal(void) {
  const char *term = getenv("TERM");
  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != NULL &&
         term[0] != '\0' && strcmp(term, "dumb") != 0;
}

/* Leaves the table at index 1, or nothing. */
static bool open_session(lua_State *L) {
  lua_settop(L, 0);
  static const char code[] = "require 'tidepool'\n"
                             "return require 'tidepool.terminal'.open(...)";
  int status = luaL_loadbuffer(L, code, sizeof code - 1, "=prompt");
  if (status == LUA_OK) {
    lua_pushcfunction(L, f_columns);
    lua_pushcfunction(L, f_fresh_line);
    lua_pushboolean(L, isatty(STDERR_FILENO));
    status = guard_call(L, 3, 1);
  }
  return guard_report(L, status);
}

static void say_history(const char *path) {
  fprintf(stderr, "no history is kept in %s: %s\n", path, strerror(errno));
}

static void use_history(const Session *s) {
  lua_settop(s->L, 1);
  const char *path = NULL;
  if (call(s->L, "history", 0, 1))
    path = lua_tostring(s->L, 2);
  if (path != NULL && editor_use_history(s->editor, path) != 0)
    say_history(path);
}

/* Callbacks may print until the line is there. */
static EditorEnd read_chunk(Session *s) {
  lua_State *L = s->L;
  watch(s);
  editor_fresh_line();
  lua_settop(L, 1);
  const char *prompt = "> ", *right = "";
  if (call(L, "prompt", 0, 2) && lua_isstring(L, 2) && lua_isstring(L, 3)) {
    prompt = lua_tostring(L, 2);
    right = lua_tostring(L, 3);
  }
  return editor_read(s->editor, prompt, right);
}

static void run_chunk(Session *s) {
  size_t n;
  const char *text = editor_text(s->editor, &n);
  if (editor_remember(s->editor, text) != 0)
    say_history("its file");
  lua_settop(s->L, 1);
  lua_pushlstring(s->L, text, n);
  call(s->L, "run", 1, 0);
}

static bool run_loop(Session *s) {
  EditorEnd end = EDITOR_INTERRUPTED;
  while (guard_forget() && end != EDITOR_CLOSED) {
    end = read_chunk(s);
    if (end == EDITOR_CHUNK)
      run_chunk(s);
  }
  return guard_forget();
}

SessionEnd session_run(lua_State *L, bool greet) {
  Session s = {.L = L};
  EditorHooks hooks = {.context = &s,
                       .is_open = is_open,
                       .complete = complete,
                       .ready = step,
                       .end_by = end_by};
  if (!is_terminal())
    return SESSION_IMPOSSIBLE;
  s.editor = editor_new("tidepool", &hooks);
  if (s.editor == NULL)
    return SESSION_IMPOSSIBLE;
  SessionEnd end = SESSION_IMPOSSIBLE;
  guard_hold_signals(true);
  if (open_session(L)) {
    if (greet)
      puts(LUA_COPYRIGHT "  (\\help for help)");
    use_history(&s);
    lua_settop(L, 1);
    call(L, "start", 0, 0);
    end = run_loop(&s) ? SESSION_CLOSED : SESSION_KILLED;
    lua_settop(L, 1);
    call(L, "stop", 0, 0);
  }
  editor_free(s.editor);
  guard_hold_signals(false);
  lua_settop(L, 0);
  return end;
}
