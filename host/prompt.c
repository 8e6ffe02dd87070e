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
#include "sys_prompt.h"

/* Who types may press Ctrl-C as soon as the prompt is there. */
static void show_prompt(lua_State *L, bool first, bool typed) {
  const char *prompt = first ? "> " : ">> ";
  if (lua_getglobal(L, first ? "_PROMPT" : "_PROMPT2") != LUA_TNIL)
    prompt = luaL_tolstring(L, -1, NULL);
  if (typed)
    sys_interrupts_wait();
  fputs(prompt, stdout);
  fflush(stdout);
}

static void show_line(lua_State *L) {
  size_t len;
  const char *line = lua_tolstring(L, -1, &len);
  fwrite(line, 1, len, stdout);
  putchar('\n');
}

typedef enum Line { LINE_END, LINE_READ, LINE_DROPPED } Line;

/* Adds a line without its end. */
static Line read_bytes(luaL_Buffer *line) {
  int c;
  while ((c = getchar()) != EOF && c != '\n')
    luaL_addchar(line, (char)c);
  return c == EOF && luaL_bufflen(line) == 0 ? LINE_END : LINE_READ;
}

/* The same; at a terminal, where a line comes whole, SIGINT drops what was
** typed. */
static Line read_typed(luaL_Buffer *line) {
  if (sys_await_typed())
    return read_bytes(line);
  putchar('\n');
  return LINE_DROPPED;
}

/*
** Push one line without its end, an empty one for one that was dropped; nothing
** at the end of the input. What does not come from a terminal is shown as if it
** had been typed.
*/
static Line read_line(lua_State *L, bool first) {
  int top = lua_gettop(L);
  bool typed = isatty(STDIN_FILENO);
  luaL_Buffer line;
  show_prompt(L, first, typed);
  luaL_buffinit(L, &line);
  Line what = typed ? read_typed(&line) : read_bytes(&line);
  luaL_pushresult(&line);
  lua_replace(L, top + 1);
  lua_settop(L, what == LINE_END ? top : top + 1);
  if (what == LINE_READ && !typed)
    show_line(L);
  return what;
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
  Line line = LINE_READ;
  int status = load_line(L);
  while (is_incomplete(L, status) &&
         (line = read_line(L, false)) == LINE_READ) {
    lua_remove(L, -2);
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
    status = load_line(L);
  }
  if (line == LINE_DROPPED) {
    lua_replace(L, 1);
    lua_settop(L, 1);
    status = load_line(L);
  }
  return status;
}

/* Leaves the loaded chunk or the error message alone on the stack. */
static bool read_chunk(lua_State *L, int *status) {
  lua_settop(L, 0);
  if (read_line(L, true) == LINE_END)
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
  if (isatty(STDIN_FILENO)) /* nothing waits where we do not look for it */
    setvbuf(stdin, NULL, _IONBF, 0);
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
