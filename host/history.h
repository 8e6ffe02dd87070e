/*
** history.h - the chunks typed at prompts, kept in a file.
**
** One entry a line; a newline in it is written \n, a backslash \\. Prompts that
** run at the same time append under a lock, so none loses another's entries.
*/
#ifndef HISTORY_H
#define HISTORY_H

#include <stddef.h>

enum { HISTORY_ENTRIES = 1000 };

/* Calls `add` for the last entries, oldest first; the file is cut to them when
** it has grown to twice as many. -1 with errno. */
int history_load(const char *path, void (*add)(void *to, const char *entry),
                 void *to);

/* 0, or -1 with errno. */
int history_append(const char *path, const char *entry);

#endif
