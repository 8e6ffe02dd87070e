/*
** session.h - the prompt of a terminal: edited chunks, results, running pools.
*/
#ifndef SESSION_H
#define SESSION_H

#include <lua.h>
#include <stdbool.h>

typedef enum SessionEnd {
  SESSION_CLOSED,    /* as after the end of the input */
  SESSION_KILLED,    /* by a signal, see guard_die */
  SESSION_IMPOSSIBLE /* no terminal, or nothing to edit with */
} SessionEnd;

SessionEnd session_run(lua_State *L, bool greet);

#endif
