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

/* Signals become errors in coroutines, too, when they run. For a new state. */
void guard_coroutines(lua_State *L);

/* Outside of guard_call the terminal's signals are blocked, from now on. */
void guard_hold_signals(bool hold);

/* Complains about the error on top of the stack and pops it; true: none. */
bool guard_report(lua_State *L, int status);

/* The last signal has been dealt with; false: it ends the program. */
bool guard_forget(void);

/* A signal came since then. */
bool guard_is_interrupted(void);

/* The program is to end by this signal. */
void guard_end_by(int signal_number);

/* Dies by the signal whose error nobody caught; returns if there is none. */
void guard_die(void);

bool guard_ends_with(const char *s, size_t len, const char *tail);

#endif
