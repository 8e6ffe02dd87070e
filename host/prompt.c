/*
** prompt.c - the interactive prompt, as the stand-alone lua has it.
** Runs in: the parent.  Owns: stdin and stdout while it runs.
*/
#define _GNU_SOURCE
#include "prompt.h"

#include <lauxlib.h>
#include <stdio.h>
#include <unistd.h>

#include "guard.h"
#include "lua_rules.h"
#include "session.h"

static void show_prompt(lua_State *L, bool first) {
  const char *prompt = first ? "> " : ">> ";
  if (lua_getglobal(L, first ? "_PROMPT" : "_PROMPT2") != LUA_TNIL)
    prompt = luaL_tolstring(L, -1, NULL);
  fputs(prompt, stdout);
  fflush(stdout);
}

static void show_line(lua_State *L) {
  size_t len;
  const char *line = lua_tolstring(L, -1, &len);
  fwrite(line, 1, len, stdout);
  putchar('\n');
}

/*
** Push one line without its end; false and nothing at the end of the input.
** What does not come from a terminal is shown as if it had been typed.
*/
static bool read_line(lua_State *L, bool first) {
  int top = lua_gettop(L);
  show_prompt(L, first);
  int c = getchar();
  if (c == EOF) {
    lua_settop(L, top);
    return false;
  }
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (; c != EOF && c != '\n'; c = getchar())
    luaL_addchar(&line, (char)c);
  luaL_pushresult(&line);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  if (!isatty(STDIN_FILENO))
    show_line(L);
  return true;
}

static int load_line(lua_State *L) {
  size_t len;
  const char *line = lua_tolstring(L, 1, &len);
  return luaL_loadbufferx(L, line, len, "=stdin", rules_mode(L));
}

/* The chunk `return <line>;`, or false and nothing pushed. */
static bool load_expression(lua_State *L) {
  lua_pushliteral(L, "return ");
  lua_pushvalue(L, 1);
  lua_pushliteral(L, ";");
  lua_concat(L, 3);
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  int status = luaL_loadbuffer(L, text, len, "=stdin");
  lua_remove(L, -2);
  if (status != LUA_OK)
    lua_pop(L, 1);
  return status == LUA_OK;
}

static bool is_incomplete(lua_State *L, int status) {
  if (status != LUA_ERRSYNTAX)
    return false;
  size_t len;
  const char *message = lua_tolstring(L, -1, &len);
  return guard_ends_with(message, len, "<eof>");
}

/* Load the text at index 1, asking for more lines as long as it is open. */
static int load_statement(lua_State *L) {
  int status = load_line(L);
  while (is_incomplete(L, status) && read_line(L, false)) {
    lua_remove(L, -2);
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
    status = load_line(L);
  }
  return status;
}

/* Leaves the loaded chunk or the error message alone on the stack. */
static bool read_chunk(lua_State *L, int *status) {
  lua_settop(L, 0);
  if (!read_line(L, true))
    return false;
  const char *line = lua_tostring(L, 1);
  if (line[0] == '=') {
    lua_pushfstring(L, "return %s", line + 1);
    lua_replace(L, 1);
  }
  *status = load_expression(L) ? LUA_OK : load_statement(L);
  lua_remove(L, 1);
  return true;
}

static void print_results(lua_State *L) {
  int n = lua_gettop(L);
  if (n == 0)
    return;
  luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
  lua_getglobal(L, "print");
  lua_insert(L, 1);
  if (lua_pcall(L, n, 0, 0) != LUA_OK)
    guard_complain(
        lua_pushfstring(L, "error calling 'print' (%s)", lua_tostring(L, -1)));
}

/* False: a signal ends the program. */
static bool run_plain(lua_State *L, bool greet) {
  int status;
  if (greet)
    puts(LUA_COPYRIGHT);
  while (read_chunk(L, &status)) {
    if (status == LUA_OK)
      status = guard_call(L, 0, LUA_MULTRET);
    if (guard_report(L, status))
      print_results(L);
    if (!guard_forget())
      return false;
  }
  lua_settop(L, 0);
  putchar('\n');
  fflush(stdout);
  return true;
}

bool prompt_run(lua_State *L, bool greet) {
  const char *name = guard_name(NULL);
  SessionEnd end = session_run(L, greet);
  bool ok = end == SESSION_CLOSED;
  if (end == SESSION_IMPOSSIBLE)
    ok = run_plain(L, greet);
  guard_name(name);
  return ok;
}
