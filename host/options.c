/*
** options.c - the command line, as the stand-alone lua reads it and more.
** Runs in: the parent.  Owns: nothing.
*/
#define _GNU_SOURCE
#include "options.h"

#include <stdlib.h>
#include <string.h>

const char options_usage[] =
    "usage: %s [options] [script | -m mod] [args]\n"
    "  -e stat    run the Lua text 'stat'\n"
    "  -l mod     require 'mod' into the global 'mod'\n"
    "  -l g=mod   require 'mod' into the global 'g'\n"
    "  -m mod     end of the options, run module 'mod' as the script\n"
    "  -I dir     look for modules in 'dir' first\n"
    "  -i         go on at the prompt after the script\n"
    "  -v         show the version of Lua\n"
    "  -E         ignore LUA_INIT, LUA_PATH and LUA_CPATH\n"
    "  -W         turn warnings on\n"
    "  -j N       workers of a pool that does not say how many\n"
    "  --         end of the options\n"
    "  -          end of the options, run standard input\n"
    "  --strict        undeclared globals are errors\n"
    "  --text-only     refuse binary chunks\n"
    "  --check file... parse the files, run nothing\n"
    "  --list          list the job scripts, which -m finds\n"
    "  --help          show this text and exit\n"
    "  --version       show the versions of all parts and exit\n";

const char *options_value(char **argv, int *i) {
  if (strchr("eIjlm", argv[*i][1]) == NULL)
    return NULL;
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
  enum { MOST = 65535 };
  if (digits == NULL || strspn(digits, "0123456789") != strlen(digits))
    return false;
  long n = strtol(digits, NULL, 10);
  return n >= 1 && n <= MOST && setenv("TIDEPOOL_PROCESSES", digits, 1) == 0;
}

static const char unknown[] = "unrecognized option '%s'";
static const char incomplete[] = "'%s' needs argument";

static const char *parse_long(Options *o, char **argv, int i) {
  const struct {
    const char *name;
    bool *flag;
  } flags[] = {{"--help", &o->help},
               {"--version", &o->versions},
               {"--list", &o->list},
               {"--strict", &o->strict},
               {"--text-only", &o->text_only}};
  for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
    if (strcmp(argv[i], flags[k].name) == 0) {
      *flags[k].flag = true;
      return NULL;
    }
  if (strcmp(argv[i], "--check") != 0)
    return unknown;
  o->files = i + 1;
  return argv[i + 1] != NULL ? NULL : incomplete;
}

static const char *parse_letter(Options *o, const char *letter) {
  if (letter[1] != '\0')
    return unknown;
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
    return unknown;
  }
}

/* One option, which starts with '-': NULL or the complaint about it. */
static const char *parse_option(Options *o, char **argv, int *i) {
  switch (argv[*i][1]) {
  case '-':
    return parse_long(o, argv, *i);
  case 'e':
    o->statement = true;
    return options_value(argv, i) ? NULL : incomplete;
  case 'l':
  case 'I':
    return options_value(argv, i) ? NULL : incomplete;
  case 'm':
    o->kind = SCRIPT_MODULE;
    o->module = options_value(argv, i);
    o->script = *i;
    return o->module ? NULL : incomplete;
  case 'j':
    return set_processes(options_value(argv, i))
               ? NULL
               : "'%s' needs a number of processes";
  default:
    return parse_letter(o, argv[*i] + 1);
  }
}

/* Are the options over at argv[i], for there is what they are for? */
static bool find_script(Options *o, char **argv, int i) {
  bool bare = strcmp(argv[i], "-") == 0, last = strcmp(argv[i], "--") == 0;
  if (argv[i][0] == '-' && !bare && !last)
    return false;
  o->kind = bare ? SCRIPT_INPUT : SCRIPT_FILE;
  o->script = argv[i + last] != NULL ? i + last : 0;
  return true;
}

Options options_parse(int argc, char **argv) {
  Options o = {.end = argc};
  for (int i = 1; i < argc; i++) {
    int here = i;
    if (find_script(&o, argv, i) ||
        (o.bad = parse_option(&o, argv, &i)) != NULL || o.module || o.files) {
      o.end = here;
      break;
    }
  }
  return o;
}
