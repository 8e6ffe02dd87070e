/*
** prompt.h - the interactive prompt.
*/
#ifndef PROMPT_H
#define PROMPT_H

#include <lua.h>

/* Reads and runs chunks until the end of the input. */
void prompt_run(lua_State *L);

#endif
