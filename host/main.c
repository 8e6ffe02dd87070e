/*
** main.c - the stand-alone program: what it runs, in which order.
** Runs in: the parent.  Owns: the main lua_State, stdin, stdout.
** Never: pools, tasks (see lua_pool.c).
*/
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "fresh.h"
#include "guard.h"
#include "lua_core.h"
#include "lua_rules.h"
#include "options.h"
#include "prompt.h"
#include "state.h"
#include "sys.h"
#include "sys_file.h"

static const char *program = "tidepool"; /* argv[0], for atexit, too */

/*
** Chunks
*/

static bool run_chunk(lua_State *L, int loaded) {
  return guard_report(L, loaded == LUA_OK ? guard_call(L, 0, 0) : loaded);
}

static int load_file(lua_State *L, const char *file) {
  return luaL_loadfilex(L, file, rules_mode(L));
}

static bool run_text(lua_State *L, const char *text, const char *name) {
  return run_chunk(
      L, luaL_loadbufferx(L, text, strlen(text), name, rules_mode(L)));
}

/* `mod` or `g=mod`; of "mod-v2" the global is "mod". */
static bool run_require(lua_State *L, const char *spec) {
  const char *module = strchr(spec, '=');
  size_t len = module ? (size_t)(module - spec) : strcspn(spec, "-");
  lua_getglobal(L, "require");
  lua_pushstring(L, module ? module + 1 : spec);
  int status = guard_call(L, 1, 1);
  if (status != LUA_OK)
    return guard_report(L, status);
  lua_pushglobaltable(L);
  lua_pushlstring(L, spec, len);
  lua_rotate(L, -3, -1);
  lua_settable(L, -3);
  lua_pop(L, 1);
  return true;
}

static bool run_init(lua_State *L) {
  const char *name = "=LUA_INIT_" LUA_VERSION_MAJOR "_" LUA_VERSION_MINOR;
  const char *init = getenv(name + 1);
  if (init == NULL)
    init = getenv((name = "=LUA_INIT") + 1);
  if (init == NULL)
    return true;
  if (init[0] == '@')
    return run_chunk(L, load_file(L, init + 1));
  return run_text(L, init, name);
}

/* The script's arguments are what `arg` holds now, not what it held. */
static int push_arguments(lua_State *L) {
  if (lua_getglobal(L, "arg") != LUA_TTABLE)
    return luaL_error(L, "'arg' is not a table");
  lua_Integer n = luaL_len(L, -1);
  if (n > INT_MAX - 3)
    return luaL_error(L, "too many arguments to script");
  luaL_checkstack(L, (int)n + 3, "too many arguments to script");
  int table = lua_gettop(L);
  for (lua_Integer i = 1; i <= n; i++)
    lua_rawgeti(L, table, i);
  lua_remove(L, table);
  return (int)n;
}

/* (name, argument): calls tidepool.cli's function with the argument and the
** program's file. */
static int call_cli(lua_State *L) {
  char file[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", file, sizeof file);
  luaL_requiref(L, CORE_MODULE, luaopen_tidepool, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidepool.cli");
  lua_call(L, 1, 1);
  lua_pushvalue(L, 1);
  lua_gettable(L, -2);
  lua_pushvalue(L, 2);
  lua_pushlstring(L, file, n > 0 ? (size_t)n : 0);
  lua_call(L, 2, 2);
  return 2;
}

/* The loader of a module; as with a file, what is wrong has no traceback. */
static int load_module(lua_State *L, const char *module) {
  lua_pushcfunction(L, call_cli);
  lua_pushliteral(L, "find");
  lua_pushstring(L, module);
  int status = guard_call(L, 2, 2);
  if (status != LUA_OK)
    return status;
  bool found = !lua_isnil(L, -2);
  lua_remove(L, found ? -1 : -2);
  return found ? LUA_OK : LUA_ERRFILE;
}

static bool run_script(lua_State *L, const Options *o, char **argv) {
  int status = o->kind == SCRIPT_MODULE ? load_module(L, o->module)
               : o->kind == SCRIPT_FILE ? load_file(L, argv[o->script])
                                        : load_file(L, NULL);
  if (status == LUA_OK)
    status = guard_call(L, push_arguments(L), LUA_MULTRET);
  return guard_report(L, status);
}

static bool list_scripts(lua_State *L) {
  lua_pushcfunction(L, call_cli);
  lua_pushliteral(L, "list");
  lua_pushinteger(L, sys_columns(STDOUT_FILENO));
  return guard_report(L, guard_call(L, 2, 0));
}

static bool check_files(lua_State *L, char **files) {
  bool ok = true;
  for (; *files != NULL; files++) {
    const char *file = strcmp(*files, "-") == 0 ? NULL : *files;
    ok &= guard_report(L, load_file(L, file));
    lua_settop(L, 0);
  }
  return ok;
}

/* A folder of -I goes into package[field], `at` bytes from its begin. */
static void add_folder(lua_State *L, const char *field, const char *templates,
                       const char *folder, size_t *at) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, LUA_LOADLIBNAME);
  lua_getfield(L, -1, field);
  const char *before = luaL_optstring(L, -1, "");
  size_t len = strlen(before);
  *at = *at < len ? *at : len;
  lua_pushlstring(L, before, *at);
  *at += strlen(luaL_gsub(L, templates, "\1", folder));
  lua_pushstring(L, before + lua_rawlen(L, -2));
  lua_concat(L, 3);
  lua_setfield(L, -3, field);
  lua_settop(L, -4);
}

/* Before what LUA_PATH and LUA_INIT made of the paths. */
static void add_folders(lua_State *L, const Options *o, char **argv) {
  size_t in_path = 0, in_cpath = 0;
  for (int i = 1; i < o->end; i++) {
    char letter = argv[i][1];
    const char *value = options_value(argv, &i);
    if (letter == 'I') {
      add_folder(L, "path", "\1/?.lua;\1/?/init.lua;", value, &in_path);
      add_folder(L, "cpath", "\1/?.so;", value, &in_cpath);
    }
  }
}

/* What has an effect in its place: -e, -l and -W. */
static bool run_options(lua_State *L, const Options *o, char **argv) {
  for (int i = 1; i < o->end; i++) {
    char letter = argv[i][1];
    const char *value = options_value(argv, &i);
    if (letter == 'W')
      lua_warning(L, "@on", 0);
    if (letter == 'e' && !run_text(L, value, "=(command line)"))
      return false;
    if (letter == 'l' && !run_require(L, value))
      return false;
  }
  return true;
}

static void show_bad_option(lua_State *L, const Options *o,
                            const char *option) {
  guard_complain(lua_pushfstring(L, o->bad, option));
  fprintf(stderr, options_usage, program);
}

/*
** The program
*/

static void show_lua_version(void) {
  puts(LUA_COPYRIGHT);
  fflush(stdout);
}

static bool show_versions(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidepool");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "version");
  printf("tidepool %s\n%s\n", luaL_checkstring(L, -1), LUA_RELEASE);
  if (lua_getfield(L, -2, "versions") == LUA_TTABLE &&
      lua_getfield(L, -1, "openssl") == LUA_TSTRING)
    printf("%s\n", lua_tostring(L, -1));
  lua_settop(L, 1);
  lua_getfield(L, 1, "cpu_count");
  lua_call(L, 0, 1);
  lua_Integer n = luaL_checkinteger(L, -1);
  printf("%lld CPU%s\n", (long long)n, n == 1 ? "" : "s");
  return true;
}

static void open_libraries(lua_State *L) {
  luaL_openlibs(L);
  guard_coroutines(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_tidepool);
  lua_setfield(L, -2, "tidepool");
  lua_pop(L, 1);
}

/* The script is arg[0]; without one, the program is. */
static void set_arg(lua_State *L, int argc, char **argv, int script) {
  lua_createtable(L, argc - script, script + 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

static bool run_all(lua_State *L, const Options *o, char **argv) {
  if (!o->no_environment && !run_init(L))
    return false;
  add_folders(L, o, argv);
  if (!run_options(L, o, argv))
    return false;
  if (o->script != 0 && !run_script(L, o, argv))
    return false;
  if (o->interactive)
    return prompt_run(L, false);
  if (o->script == 0 && !o->statement && !o->lua_version) {
    if (!isatty(STDIN_FILENO))
      return run_chunk(L, load_file(L, NULL));
    return prompt_run(L, true);
  }
  return true;
}

static bool run_program(lua_State *L, const Options *o, int argc, char **argv) {
  if (o->lua_version)
    show_lua_version();
  if (o->no_environment) {
    lua_pushboolean(L, true);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  }
  open_libraries(L);
  rules_set(L, o->strict ? "s" : "");
  rules_set(L, o->text_only ? "t" : "");
  set_arg(L, argc, argv, o->script);
  lua_gc(L, LUA_GCRESTART);
  lua_gc(L, LUA_GCGEN, 0, 0);
  return o->versions ? show_versions(L)
         : o->list   ? list_scripts(L)
         : o->files  ? check_files(L, argv + o->files)
                     : run_all(L, o, argv);
}

/* main under lua_pcall: argc, argv -> whether all went well. */
static int m_main(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  lua_settop(L, 0);
  luaL_checkversion(L);
  Options o = options_parse(argc, argv);
  bool ok = o.bad == NULL;
  if (!ok)
    show_bad_option(L, &o, argv[o.end]);
  else if (o.help)
    printf(options_usage, program);
  else
    ok = run_program(L, &o, argc, argv);
  lua_pushboolean(L, ok);
  return 1;
}

/* At exit: what was printed is written, or the status tells. Who leaves with
** a failure has said why. */
static void finish_output(int status, void *unused) {
  (void)unused;
  bool failed = ferror(stdout) != 0;
  errno = 0;
  if ((fflush(stdout) == 0 && !failed) || status != 0)
    return;
  fprintf(stderr, "%s: cannot write standard output: %s\n", program,
          errno != 0 ? strerror(errno) : "an earlier write failed");
  fflush(NULL);
  _Exit(EXIT_FAILURE);
}

int main(int argc, char **argv) {
  if (argc > 0 && argv[0][0] != '\0')
    program = argv[0];
  sys_hold_stdio();
  guard_name(program);
  on_exit(finish_output, NULL);
  lua_State *L = fresh_state();
  if (L == NULL) {
    guard_complain("cannot create state: not enough memory");
    return EXIT_FAILURE;
  }
  lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, m_main);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  int status = lua_pcall(L, 2, 1, 0);
  bool ok = lua_toboolean(L, -1) && status == LUA_OK;
  guard_report(L, status);
  lua_close(L);
  if (!ok)
    guard_die();
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
