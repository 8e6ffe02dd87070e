/*
** glob.h - names against patterns.
*/
#ifndef GLOB_H
#define GLOB_H

#include <stdbool.h>

/* The whole text. A star stops at `/`, two stars do not. */
bool glob_match(const char *glob, const char *text);

#endif
