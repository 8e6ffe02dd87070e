/*
** lua_rules.h - rules that a Lua state may be put under.
*/
#ifndef LUA_RULES_H
#define LUA_RULES_H

#include <lua.h>

/*
** Each letter is a rule, for the rest of the state's life:
**   s  strict: a global is declared, by an assignment at the top level of a
**      chunk or in C, before a function may assign it, or anyone read it
**   t  text only: load, loadfile, dofile and require refuse binary chunks
*/
void rules_set(lua_State *L, const char *rules);

/* What luaL_loadfilex may load here: "t" or "bt". */
const char *rules_mode(lua_State *L);

int core_rules(lua_State *L); /* ([rules]) -> the rules in force */

#endif
