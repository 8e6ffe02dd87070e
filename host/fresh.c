/*
** fresh.c - a bare Lua state, as luaL_newstate makes it.
** Runs in: every process of the program.  Owns: nothing.
*/
#include "fresh.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"

static int on_panic(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  fprintf(stderr, "PANIC: unprotected error in call to Lua API (%s)\n",
          message != NULL ? message : "error object is not a string");
  fflush(stderr);
  return 0;
}

/*
** Lua hands over a warning in pieces.  What the state of the warnings is, is
** told by which of the three functions is set: off, at the start of a
** message, or inside one.
*/
static void warn_off(void *L, const char *piece, int to_continue);
static void warn_on(void *L, const char *piece, int to_continue);

static bool obey(lua_State *L, const char *piece, int to_continue) {
  if (to_continue || piece[0] != '@')
    return false;
  if (strcmp(piece, "@off") == 0)
    lua_setwarnf(L, warn_off, L);
  else if (strcmp(piece, "@on") == 0)
    lua_setwarnf(L, warn_on, L);
  return true;
}

static void warn_off(void *L, const char *piece, int to_continue) {
  obey(L, piece, to_continue);
}

static void warn_more(void *L, const char *piece, int to_continue) {
  fputs(piece, stderr);
  if (!to_continue)
    fputc('\n', stderr);
  fflush(stderr);
  lua_setwarnf(L, to_continue ? warn_more : warn_on, L);
}

static void warn_on(void *L, const char *piece, int to_continue) {
  if (obey(L, piece, to_continue))
    return;
  fputs("Lua warning: ", stderr);
  warn_more(L, piece, to_continue);
}

lua_State *fresh_state(void) {
  Alloc *a = alloc_new();
  lua_State *L = a == NULL ? NULL : lua_newstate(alloc_for_lua, a);
  if (L == NULL)
    return NULL;
  lua_atpanic(L, on_panic);
  lua_setwarnf(L, warn_off, L);
  return L;
}
