/*
** guard.h - calls of the program into Lua: signals, messages, reports.
*/
#ifndef GUARD_H
#define GUARD_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* The name in front of messages, NULL for none; returns the one before. */
const char *guard_name(const char *name);

/* `name: message` on stderr, after what is waiting for stdout. */
void guard_complain(const char *message);

/*
** lua_pcall whose errors get a traceback and in which SIGINT, SIGTERM and
** SIGHUP become errors. The second signal of a kind kills.
*/
int guard_call(lua_State *L, int nargs, int nresults);

/* Complains about the error on top of the stack and pops it; true: none. */
bool guard_report(lua_State *L, int status);

/* The last signal has been dealt with. */
void guard_forget(void);

/* Dies by the signal whose error nobody caught; returns if there is none. */
void guard_die(void);

bool guard_ends_with(const char *s, size_t len, const char *tail);

#endif
