/*
** options.h - the command line.
*/
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>

typedef struct Options {
  const char *bad;     /* format of the complaint about argv[end] */
  int end;             /* argv[1] .. argv[end - 1] are options */
  int script;          /* index of the script, 0: none */
  bool script_is_file; /* false: "-", standard input */
  bool statement, interactive, lua_version, no_environment;
  bool help, versions; /* the long options */
} Options;

/* argv[0] needs not be there. TIDEPOOL_PROCESSES is set here (-j). */
Options options_parse(int argc, char **argv);

/* The value of argv[*i], `-xvalue` or `-x value`; NULL without one. */
const char *options_value(char **argv, int *i);

/* What --help prints, and what stands below the complaint about an option. */
extern const char options_usage[];

#endif
