/*
** options.c - the command line, as the stand-alone lua reads it and more.
** Runs in: the parent.  Owns: nothing.
*/
#define _GNU_SOURCE
#include "options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

const char options_usage[] =
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

const char *options_value(char **argv, int *i) {
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
    return options_value(argv, i) ? NULL : "'%s' needs argument";
  case 'l':
    return options_value(argv, i) ? NULL : "'%s' needs argument";
  case 'j':
    return set_processes(options_value(argv, i))
               ? NULL
               : "'%s' needs a number of processes";
  default:
    return parse_letter(o, argv[*i] + 1);
  }
}

Options options_parse(int argc, char **argv) {
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
