/*
** main.c - the stand-alone program: options, scripts, the prompt, signals.
** Runs in: the parent.  Owns: the main lua_State, stdin, stdout and the
** program's signal handlers.  Never: pools, tasks (see lua_pool.c).
*/
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "lua_core.h"

/* What a signal handler, an atexit function and every message must reach. */
static const char *program = "tidepool"; /* argv[0]; NULL at the prompt */
static lua_State *running;               /* whom a signal interrupts */
static volatile sig_atomic_t caught;     /* the last signal, 0: none */
static int fatal_signal; /* the signal whose error nobody caught */

typedef struct Options {
  const char *bad;     /* format of the complaint about argv[end] */
  int end;             /* argv[1] .. argv[end - 1] are options */
  int script;          /* index of the script, 0: none */
  bool script_is_file; /* false: "-", standard input */
  bool statement, interactive, lua_version, no_environment;
  bool help, versions; /* the long options */
} Options;

static const char usage[] =
    "usage: %s [options] [script [args]]\n"
    "  -e stat    run the Lua text 'stat'\n"
    "  -l mod     require 'mod' into the global 'mod'\n"
    "  -l g=mod   require 'mod' into the global 'g'\n"
    "  -i         go on at the prompt after the script\n"
    "  -v         show the version of Lua\n"
    "  -E         ignore LUA_INIT, LUA_PATH and LUA_CPATH\n"
    "  -W         turn warnings on\n"
    "  -j N       workers of a pool that does not say how many\n"
    "  --         end of the options\n"
    "  -          end of the options, run standard input\n"
    "  --help     show this text and exit\n"
    "  --version  show the versions of all parts and exit\n";

/*
** Messages
*/

static void complain(const char *message) {
  fflush(stdout);
  if (program != NULL)
    fprintf(stderr, "%s: ", program);
  fprintf(stderr, "%s\n", message);
  fflush(stderr);
}

static const char *interrupt_text(int signal_number) {
  return signal_number == SIGINT ? "interrupted!" : "terminated!";
}

static bool ends_with(const char *s, size_t len, const char *tail) {
  size_t n = strlen(tail);
  return len >= n && memcmp(s + len - n, tail, n) == 0;
}

/* The message handler of every call from here. */
static int m_describe(lua_State *L) {
  size_t len;
  const char *message = lua_tolstring(L, 1, &len);
  if (message == NULL) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
      return 1;
    message =
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  } else if (caught != 0 && ends_with(message, len, interrupt_text(caught))) {
    fatal_signal = caught;
  }
  luaL_traceback(L, L, message, 1);
  return 1;
}

static bool report(lua_State *L, int status) {
  if (status == LUA_OK)
    return true;
  const char *message = lua_tostring(L, -1);
  complain(message ? message : "(error message not a string)");
  lua_pop(L, 1);
  return false;
}

/*
** Signals: during a call, SIGINT, SIGTERM and SIGHUP become a Lua error, so
** that <close> variables are closed. The second one of a kind kills.
*/

typedef struct Handled {
  int number;
  bool even_if_ignored; /* a shell's background jobs ignore SIGINT */
} Handled;

static const Handled handled[] = {
    {SIGINT, true}, {SIGTERM, false}, {SIGHUP, false}};
enum { HANDLED = sizeof handled / sizeof handled[0] };

static void raise_interrupt(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "%s", interrupt_text(caught));
}

static void set_action(int number, void (*action)(int)) {
  struct sigaction sa = {.sa_handler = action};
  sigemptyset(&sa.sa_mask);
  sigaction(number, &sa, NULL);
}

static void on_signal(int number) {
  set_action(number, SIG_DFL);
  caught = number;
  lua_sethook(running, raise_interrupt,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void catch_signals(lua_State *L) {
  running = L;
  for (int i = 0; i < HANDLED; i++) {
    struct sigaction old;
    sigaction(handled[i].number, NULL, &old);
    if (handled[i].even_if_ignored || old.sa_handler != SIG_IGN)
      set_action(handled[i].number, on_signal);
  }
}

static void release_signals(void) {
  for (int i = 0; i < HANDLED; i++) {
    struct sigaction old;
    sigaction(handled[i].number, NULL, &old);
    if (old.sa_handler == on_signal)
      set_action(handled[i].number, SIG_DFL);
  }
}

static int call(lua_State *L, int nargs, int nresults) {
  int handler = lua_gettop(L) - nargs;
  lua_pushcfunction(L, m_describe);
  lua_insert(L, handler);
  catch_signals(L);
  int status = lua_pcall(L, nargs, nresults, handler);
  release_signals();
  lua_remove(L, handler);
  return status;
}

/*
** Chunks
*/

static bool run_chunk(lua_State *L, int loaded) {
  return report(L, loaded == LUA_OK ? call(L, 0, 0) : loaded);
}

static bool run_text(lua_State *L, const char *text, const char *name) {
  return run_chunk(L, luaL_loadbuffer(L, text, strlen(text), name));
}

/* `mod` or `g=mod`; of "mod-v2" the global is "mod". */
static bool run_require(lua_State *L, const char *spec) {
  const char *module = strchr(spec, '=');
  size_t len = module ? (size_t)(module - spec) : strcspn(spec, "-");
  lua_getglobal(L, "require");
  lua_pushstring(L, module ? module + 1 : spec);
  int status = call(L, 1, 1);
  if (status != LUA_OK)
    return report(L, status);
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
    return run_chunk(L, luaL_loadfile(L, init + 1));
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

static bool run_script(lua_State *L, const Options *o, char **argv) {
  const char *file = o->script_is_file ? argv[o->script] : NULL;
  int status = luaL_loadfile(L, file);
  if (status == LUA_OK)
    status = call(L, push_arguments(L), LUA_MULTRET);
  return report(L, status);
}

/*
** The prompt
*/

static void show_prompt(lua_State *L, bool first) {
  const char *prompt = first ? "> " : ">> ";
  if (lua_getglobal(L, first ? "_PROMPT" : "_PROMPT2") != LUA_TNIL)
    prompt = luaL_tolstring(L, -1, NULL);
  fputs(prompt, stdout);
  fflush(stdout);
}

/*
** Push one line without its end; false and nothing at the end of the input.
** What does not come from a terminal is shown as if it had been typed.
*/
static bool read_line(lua_State *L, bool first) {
  int top = lua_gettop(L);
  show_prompt(L, first);
  int c = getchar();
  if (c == EOF) {
    lua_settop(L, top);
    return false;
  }
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (; c != EOF && c != '\n'; c = getchar())
    luaL_addchar(&line, (char)c);
  luaL_pushresult(&line);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  if (!isatty(STDIN_FILENO))
    puts(lua_tostring(L, -1));
  return true;
}

static int load_line(lua_State *L) {
  size_t len;
  const char *line = lua_tolstring(L, 1, &len);
  return luaL_loadbuffer(L, line, len, "=stdin");
}

/* The chunk `return <line>`, or false and nothing pushed. */
static bool load_expression(lua_State *L) {
  const char *text = lua_pushfstring(L, "return %s", lua_tostring(L, 1));
  int status = luaL_loadbuffer(L, text, strlen(text), "=stdin");
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
  return ends_with(message, len, "<eof>");
}

/* Load the text at index 1, asking for more lines as long as it is open. */
static int load_statement(lua_State *L) {
  int status = load_line(L);
  while (is_incomplete(L, status) && read_line(L, false)) {
    lua_remove(L, -2);
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
    status = load_line(L);
  }
  return status;
}

/* Leaves the loaded chunk or the error message alone on the stack. */
static bool read_chunk(lua_State *L, int *status) {
  lua_settop(L, 0);
  if (!read_line(L, true))
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
    complain(
        lua_pushfstring(L, "error calling 'print' (%s)", lua_tostring(L, -1)));
}

static void run_prompt(lua_State *L) {
  const char *name = program;
  program = NULL;
  int status;
  while (read_chunk(L, &status)) {
    if (status == LUA_OK)
      status = call(L, 0, LUA_MULTRET);
    if (report(L, status))
      print_results(L);
    caught = fatal_signal = 0;
  }
  lua_settop(L, 0);
  putchar('\n');
  fflush(stdout);
  program = name;
}

/*
** Options
*/

/* `-xvalue` or `-x value`; NULL without one. */
static const char *option_value(char **argv, int *i) {
  const char *value = argv[*i] + 2;
  if (*value != '\0')
    return value;
  value = argv[*i + 1];
  if (value == NULL || *value == '-')
    return NULL;
  ++*i;
  return value;
}

static bool set_processes(const char *digits) {
  if (digits == NULL || strspn(digits, "0123456789") != strlen(digits))
    return false;
  long n = strtol(digits, NULL, 10);
  return n >= 1 && n <= INT_MAX && setenv("TIDEPOOL_PROCESSES", digits, 1) == 0;
}

static const char *parse_long(Options *o, const char *name) {
  if (strcmp(name, "--help") == 0)
    o->help = true;
  else if (strcmp(name, "--version") == 0)
    o->versions = true;
  else
    return "unrecognized option '%s'";
  return NULL;
}

static const char *parse_letter(Options *o, const char *letter) {
  if (letter[1] != '\0')
    return "unrecognized option '%s'";
  switch (letter[0]) {
  case 'i':
    o->interactive = o->lua_version = true;
    return NULL;
  case 'v':
    o->lua_version = true;
    return NULL;
  case 'E':
    o->no_environment = true;
    return NULL;
  case 'W':
    return NULL;
  default:
    return "unrecognized option '%s'";
  }
}

/* One option, which starts with '-': NULL or the complaint about it. */
static const char *parse_option(Options *o, char **argv, int *i) {
  switch (argv[*i][1]) {
  case '-':
    return parse_long(o, argv[*i]);
  case 'e':
    o->statement = true;
    return option_value(argv, i) ? NULL : "'%s' needs argument";
  case 'l':
    return option_value(argv, i) ? NULL : "'%s' needs argument";
  case 'j':
    return set_processes(option_value(argv, i))
               ? NULL
               : "'%s' needs a number of processes";
  default:
    return parse_letter(o, argv[*i] + 1);
  }
}

static Options parse_options(int argc, char **argv) {
  Options o = {.end = argc};
  for (int i = 1; i < argc; i++) {
    bool bare = strcmp(argv[i], "-") == 0, last = strcmp(argv[i], "--") == 0;
    if (argv[i][0] != '-' || bare || last) {
      o.end = i;
      o.script = i + last < argc ? i + last : 0;
      o.script_is_file = !bare;
      break;
    }
    int here = i;
    if ((o.bad = parse_option(&o, argv, &i)) != NULL) {
      o.end = here;
      break;
    }
  }
  return o;
}

/* What has an effect in its place: -e, -l and -W. */
static bool run_options(lua_State *L, const Options *o, char **argv) {
  for (int i = 1; i < o->end; i++) {
    char letter = argv[i][1];
    if (letter == 'W')
      lua_warning(L, "@on", 0);
    if (letter != 'e' && letter != 'l' && letter != 'j')
      continue;
    const char *value = option_value(argv, &i);
    if (letter == 'e' && !run_text(L, value, "=(command line)"))
      return false;
    if (letter == 'l' && !run_require(L, value))
      return false;
  }
  return true;
}

static void show_bad_option(const Options *o, const char *option) {
  fprintf(stderr, "%s: ", program);
  fprintf(stderr, o->bad, option);
  fputc('\n', stderr);
  fprintf(stderr, usage, program);
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
  if (!run_options(L, o, argv))
    return false;
  if (o->script != 0 && !run_script(L, o, argv))
    return false;
  if (o->interactive) {
    run_prompt(L);
  } else if (o->script == 0 && !o->statement && !o->lua_version) {
    if (!isatty(STDIN_FILENO))
      return run_chunk(L, luaL_loadfile(L, NULL));
    show_lua_version();
    run_prompt(L);
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
  set_arg(L, argc, argv, o->script);
  lua_gc(L, LUA_GCRESTART);
  lua_gc(L, LUA_GCGEN, 0, 0);
  return o->versions ? show_versions(L) : run_all(L, o, argv);
}

/* main under lua_pcall: argc, argv -> whether all went well. */
static int m_main(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  lua_settop(L, 0);
  luaL_checkversion(L);
  Options o = parse_options(argc, argv);
  bool ok = o.bad == NULL;
  if (!ok)
    show_bad_option(&o, argv[o.end]);
  else if (o.help)
    printf(usage, program);
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

static void die_by(int signal_number) {
  fflush(NULL);
  set_action(signal_number, SIG_DFL);
  raise(signal_number);
}

int main(int argc, char **argv) {
  if (argc > 0 && argv[0][0] != '\0')
    program = argv[0];
  on_exit(finish_output, NULL);
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    complain("cannot create state: not enough memory");
    return EXIT_FAILURE;
  }
  lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, m_main);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  int status = lua_pcall(L, 2, 1, 0);
  bool ok = lua_toboolean(L, -1) && status == LUA_OK;
  report(L, status);
  lua_close(L);
  if (!ok && fatal_signal != 0)
    die_by(fatal_signal);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
