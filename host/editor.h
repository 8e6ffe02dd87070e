/*
** editor.h - chunks of Lua edited in a terminal, by libedit.
*/
#ifndef EDITOR_H
#define EDITOR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Editor Editor;

enum { EDITOR_WATCHED = 30 }; /* descriptors */

typedef enum EditorEnd {
  EDITOR_CHUNK,       /* a chunk was accepted */
  EDITOR_INTERRUPTED, /* Ctrl-C: what was typed is dropped */
  EDITOR_CLOSED       /* Ctrl-D, or the terminal is gone */
} EditorEnd;

/* What the editor asks while it waits for keys; `to` is `context`. */
typedef struct EditorHooks {
  void *context;
  /* Does Enter begin a new line? */
  bool (*is_open)(void *to, const char *text, size_t n);
  /* What Tab puts in place of the last `*bytes` of the n bytes before the
  ** cursor; *list: to be shown above, or NULL. Valid until the next call. */
  const char *(*complete)(void *to, const char *text, size_t n, size_t *bytes,
                          const char **list);
  /* A watched descriptor is readable. It may print: the line comes back below.
  ** Is to call editor_watch when there are others now. */
  void (*ready)(void *to, int fd);
  /* A signal wants the end of the program. */
  void (*end_by)(void *to, int signal_number);
} EditorHooks;

/* NULL: no libedit here, or no terminal that it knows. */
Editor *editor_new(const char *program, const EditorHooks *hooks);
void editor_free(Editor *e);

/* The terminal is as it was before, whatever the end. `right` is a text for the
** right margin; both may have escape sequences. */
EditorEnd editor_read(Editor *e, const char *prompt, const char *right);
/* Descriptors to look at while keys are awaited. */
void editor_watch(Editor *e, const int *fds, int n);
/* What was accepted; valid until the next editor_read. */
const char *editor_text(const Editor *e, size_t *n);

/* Entries before the first editor_read come from `path`, later ones go there;
** 0, or -1 with errno and no file is used. */
int editor_use_history(Editor *e, const char *path);
/* Not of a text that begins with a blank or repeats the last one. */
int editor_remember(Editor *e, const char *text);

/* The cursor goes to the begin of a line, a fresh one where there is need. */
void editor_fresh_line(void);

#endif
