/*
** prompt.h - the interactive prompt.
*/
#ifndef PROMPT_H
#define PROMPT_H

#include <lua.h>
#include <stdbool.h>

/* Reads and runs chunks until the end of the input; edited on a terminal, else
** as the stand-alone lua does. `greet`: says first what it is. False: a signal
** ends the program. */
bool prompt_run(lua_State *L, bool greet);

#endif
