/*
** lua_rules.c - rules that a Lua state may be put under: strict, text only.
** Runs in: parent and workers.  Owns: nothing.
** A pool's workers are put under the rules of the state that made it.
*/
#include "lua_rules.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

static const char RULES[] = "tidepool.rules"; /* registry key: the letters */

/* ---- strict ---- */

/* Is the global at 2 declared, or accessed by who need not declare? */
static bool may_access(lua_State *L, const char *also) {
  lua_Debug ar;
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL ||
      !lua_getstack(L, 1, &ar) || !lua_getinfo(L, "S", &ar))
    return true;
  return strcmp(ar.what, "C") == 0 || strcmp(ar.what, also) == 0 ||
         strncmp(ar.source, "@tidepool.", strlen("@tidepool.")) == 0;
}

static int m__index(lua_State *L) {
  if (!may_access(L, "C"))
    return luaL_error(L, "variable '%s' is not declared",
                      luaL_tolstring(L, 2, NULL));
  lua_pushnil(L);
  return 1;
}

static int m__newindex(lua_State *L) {
  if (!may_access(L, "main"))
    return luaL_error(L, "assign to undeclared variable '%s'",
                      luaL_tolstring(L, 2, NULL));
  lua_settop(L, 3);
  lua_pushvalue(L, 2);
  lua_pushboolean(L, true);
  lua_rawset(L, lua_upvalueindex(1));
  lua_rawset(L, 1);
  return 0;
}

/* Libraries ask which Lua they run on: globals of 5.1, 5.2 and LuaJIT. */
static const char *const elsewhere[] = {
    "bit",    "bit32",    "gcinfo",  "getfenv", "jit", "loadstring",
    "module", "newproxy", "setfenv", "unpack",  NULL};

static void set_strict(lua_State *L) {
  static const luaL_Reg meta[] = {
      {"__index", m__index}, {"__newindex", m__newindex}, {NULL, NULL}};
  lua_pushglobaltable(L);
  luaL_newlibtable(L, meta);
  lua_newtable(L); /* name -> true: declared */
  for (const char *const *name = elsewhere; *name != NULL; name++) {
    lua_pushboolean(L, true);
    lua_setfield(L, -2, *name);
  }
  luaL_setfuncs(L, meta, 1);
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
}

/* ---- text only ---- */

/* Calls the function that this one stands for, its mode at `at` being "t". */
static int load_text(lua_State *L, int at) {
  if (strchr(luaL_optstring(L, at, "t"), 't') == NULL) {
    luaL_pushfail(L);
    lua_pushliteral(L, "attempt to load a binary chunk (mode is 't')");
    return 2;
  }
  if (lua_gettop(L) < at)
    lua_settop(L, at);
  lua_pushliteral(L, "t");
  lua_replace(L, at);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

static int f_load(lua_State *L) {
  if (!lua_isstring(L, 1))
    luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_optstring(L, 2, NULL);
  return load_text(L, 3);
}

static int f_loadfile(lua_State *L) {
  luaL_optstring(L, 1, NULL);
  return load_text(L, 2);
}

static int end_dofile(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return lua_gettop(L) - 1;
}

static int f_dofile(lua_State *L) {
  const char *name = luaL_optstring(L, 1, NULL);
  lua_settop(L, 1);
  if (luaL_loadfilex(L, name, "t") != LUA_OK)
    return lua_error(L);
  lua_callk(L, 0, LUA_MULTRET, 0, end_dofile);
  return end_dofile(L, LUA_OK, 0);
}

/* In place of the searcher for Lua files: name -> loader, file. Upvalues: the
** table `package`, its searchpath. */
static int searcher(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, 1);
  if (lua_getfield(L, lua_upvalueindex(1), "path") != LUA_TSTRING)
    return luaL_error(L, "'package.path' must be a string");
  lua_call(L, 2, 2);
  if (lua_isnil(L, -2))
    return 1; /* where it looked */
  lua_pop(L, 1);
  const char *file = lua_tostring(L, -1);
  if (luaL_loadfilex(L, file, "t") != LUA_OK)
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s",
                      name, file, lua_tostring(L, -1));
  lua_insert(L, -2);
  return 2;
}

static void set_searcher(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_pushvalue(L, -2);
  lua_getfield(L, -3, "searchpath");
  lua_pushcclosure(L, searcher, 2);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

static void set_text_only(lua_State *L) {
  static const luaL_Reg loaders[] = {
      {"load", f_load}, {"loadfile", f_loadfile}, {"dofile", f_dofile}};
  for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++) {
    lua_getglobal(L, loaders[i].name);
    lua_pushcclosure(L, loaders[i].func, 1);
    lua_setglobal(L, loaders[i].name);
  }
  set_searcher(L);
}

/* ---- both ---- */

/* Pushes the letters. */
static const char *push_rules(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, RULES) == LUA_TSTRING)
    return lua_tostring(L, -1);
  lua_pop(L, 1);
  return lua_pushliteral(L, "");
}

static void set_rule(lua_State *L, char rule, void (*set)(lua_State *L)) {
  const char *before = push_rules(L);
  if (strchr(before, rule) == NULL) {
    set(L);
    lua_pushfstring(L, "%s%c", before, rule);
    lua_setfield(L, LUA_REGISTRYINDEX, RULES);
  }
  lua_pop(L, 1);
}

void rules_set(lua_State *L, const char *rules) {
  if (strchr(rules, 't') != NULL)
    set_rule(L, 't', set_text_only);
  if (strchr(rules, 's') != NULL)
    set_rule(L, 's', set_strict);
}

const char *rules_mode(lua_State *L) {
  bool text = strchr(push_rules(L), 't') != NULL;
  lua_pop(L, 1);
  return text ? "t" : "bt";
}

int core_rules(lua_State *L) {
  rules_set(L, luaL_optstring(L, 1, ""));
  push_rules(L);
  return 1;
}
