/*
** options.h - the command line.
*/
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

/* What argv[script] is. */
typedef enum ScriptKind { SCRIPT_FILE, SCRIPT_INPUT, SCRIPT_MODULE } ScriptKind;

typedef struct Options {
  const char *bad; /* format of the complaint about argv[end] */
  int end;         /* argv[1] .. argv[end - 1] are options */
  int script;      /* index of the script, 0: none */
  ScriptKind kind;
  const char *module; /* of -m */
  int files;          /* index of the first file to --check, 0: none */
  bool statement, interactive, lua_version, no_environment;
  bool help, versions, list, strict, text_only; /* the long options */
} Options;

/* argv[0] needs not be there. TIDEPOOL_PROCESSES is set here (-j). */
Options options_parse(int argc, char **argv);

/* The value of the option argv[*i], `-xvalue` or `-x value`: *i becomes its
** last word. NULL without one. */
const char *options_value(char **argv, int *i);

/* What --help prints, and what stands below the complaint about an option. */
extern const char options_usage[];

#endif
