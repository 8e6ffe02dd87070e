/*
** editor_keys.h - what the two files of the editor share.
**
** editor.c       bytes and events become characters; the terminal; history
** editor_keys.c  what keys do
*/
#ifndef EDITOR_KEYS_H
#define EDITOR_KEYS_H

#include <locale.h>
#include <stdint.h>
#include <wchar.h>

#include "buf.h"
#include "editor.h"
#include "libedit.h"

/* What happened while a key was awaited. */
typedef enum Event {
  NOTHING,
  INTERRUPT,
  CLOSE,
  RESIZE,
  STOP,  /* Ctrl-Z */
  READY, /* a watched descriptor */
  LIST   /* of completions */
} Event;

enum { SIGNALS, INPUT, OWN }; /* the first of a wait's descriptors */

struct Editor {
  EditLine *el;
  History *history;
  char *history_path;
  locale_t locale;      /* UTF-8, in libedit only */
  struct termios *mode; /* the terminal's, outside of it */
  int fds[OWN + EDITOR_WATCHED], n_fds;
  EditorHooks hooks;
  char *prompt, *right;
  Event event; /* to be handled by on_event */
  Event above; /* to be done when the line has left the screen */
  int ready_fd;
  uint64_t calm_ns;  /* when descriptors are looked at again */
  const char *list;  /* for LIST */
  mbstate_t partial; /* bytes of a character, read so far */
  char held[8];      /* bytes read ahead, to be taken first */
  size_t n_held;
  size_t n_before; /* bytes typed while the terminal was not libedit's */
  int back;        /* entries of the history, from the newest */
  EditorEnd end;
  Buf text;
};

/* Keys that no keyboard has: next_char answers them. */
enum { KEY_PASTE = 0x84, KEY_EVENT = 0x85 };

Editor *editor_of(EditLine *el);
/* The only way to the input; false: it has ended. */
bool editor_read_byte(Editor *e, char *byte);
/* A signal came: it becomes an event. */
void editor_take_signal(Editor *e);
/* The functions bound to keys, and the user's own file. */
void editor_bind_keys(EditLine *el);

#endif
