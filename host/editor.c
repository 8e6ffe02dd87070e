/*
** editor.c - chunks of Lua edited in a terminal, by libedit.
** Runs in: the parent.  Owns: the terminal's mode while it reads, libedit.
** Never: Lua (see session.c).
**
** libedit is loaded when the prompt starts and is needed no more than this.
** What it cannot do is done by keys of our own: next_char answers a key that no
** keyboard has (U+0081 to U+0086, control characters that are dropped when they
** are typed) and libedit calls the function bound to it, in any keymap.  So it
** is in a known state whenever something happens while it waits.
*/
#define _GNU_SOURCE
#include "editor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "editor_keys.h"
#include "history.h"
#include "sys.h"
#include "sys_file.h"
#include "sys_prompt.h"

Editor *editor_of(EditLine *el) {
  Editor *e;
  libedit.el_get(el, EL_CLIENTDATA, &e);
  return e;
}

static const char paste_on[] = "\33[?2004h", paste_off[] = "\33[?2004l";

/* The terminal is libedit's, or everybody's. */
static void take_terminal(Editor *e) {
  libedit.el_set(e->el, EL_PREP_TERM, 1);
  e->n_before = sys_typed_ahead();
  fputs(paste_on, stdout);
  uselocale(e->locale);
}

static void give_terminal(Editor *e) {
  libedit.el_set(e->el, EL_PREP_TERM, 0);
  fputs(paste_off, stdout);
  fflush(stdout);
  uselocale(LC_GLOBAL_LOCALE);
  sys_terminal_set(e->mode);
}

/*
** Keys
*/

static const uint64_t calm_ns = 20000000;

void editor_take_signal(Editor *e) {
  int number = sys_signal_next(e->fds[SIGNALS]);
  switch (number) {
  case SIGINT:
    e->event = INTERRUPT;
    break;
  case SIGTSTP:
    e->event = STOP;
    break;
  case SIGWINCH:
  case SIGCONT:
    e->event = RESIZE;
    break;
  case SIGTERM:
  case SIGHUP:
  case SIGQUIT:
    e->event = CLOSE;
    e->hooks.end_by(e->hooks.context, number);
    break;
  }
}

/* Waits for a byte or an event. What a pool does is shown some 50 times a
** second, so that the line stays readable. */
static void wait_for_key(Editor *e) {
  enum { MS = 1000000 };
  while (e->event == NOTHING) {
    uint64_t now = sys_now_ns();
    bool calm = now >= e->calm_ns;
    int i = sys_wait_readable(e->fds, calm ? e->n_fds : OWN,
                              calm ? -1 : (int)((e->calm_ns - now) / MS) + 1);
    if (i == INPUT)
      return;
    if (i == SIGNALS)
      editor_take_signal(e);
    if (i >= OWN) {
      e->event = READY;
      e->ready_fd = e->fds[i];
    }
  }
}

/* A Ctrl-D is read as a zero byte when it was typed before the terminal was
** libedit's. */
bool editor_read_byte(Editor *e, char *byte) {
  enum { CTRL_D = 4 };
  if (sys_file_read(STDIN_FILENO, byte, 1) != 1)
    return false;
  bool before = e->n_before > 0;
  e->n_before -= before;
  if (before && *byte == '\0')
    *byte = CTRL_D;
  return true;
}

/* The next byte; false: an event comes first. */
static bool next_byte(Editor *e, char *byte) {
  if (e->n_held > 0) {
    *byte = e->held[0];
    memmove(e->held, e->held + 1, --e->n_held);
    return true;
  }
  wait_for_key(e);
  if (e->event == NOTHING && editor_read_byte(e, byte))
    return true;
  if (e->event == NOTHING)
    e->event = CLOSE;
  return false;
}

/* After an escape: does a terminal announce what is pasted? If not, the bytes
** looked at are held. */
static bool paste_begins(Editor *e) {
  static const char mark[] = "[200~";
  enum { AT_ONCE_MS = 20 };
  static const int input = STDIN_FILENO;
  for (size_t i = 0; mark[i] != '\0'; i++) {
    if (sys_wait_readable(&input, 1, AT_ONCE_MS) != 0 ||
        !editor_read_byte(e, &e->held[i]))
      return false;
    e->n_held = i + 1;
    if (e->held[i] != mark[i])
      return false;
  }
  e->n_held = 0;
  return true;
}

/* A character of UTF-8, byte by byte; 0 while it is incomplete. */
static int add_byte(Editor *e, char byte, wchar_t *c) {
  bool first = mbsinit(&e->partial);
  size_t n = mbrtowc(c, &byte, 1, &e->partial);
  if (n == (size_t)-2)
    return 0;
  if (n != (size_t)-1)
    return 1;
  memset(&e->partial, 0, sizeof e->partial);
  if (!first) { /* it may begin the next one */
    memmove(e->held + 1, e->held, e->n_held++);
    e->held[0] = byte;
  }
  *c = 0xFFFD;
  return 1;
}

/* For libedit: 1 and a character. */
static int next_char(EditLine *el, wchar_t *c) {
  Editor *e = editor_of(el);
  char byte;
  do {
    bool held = e->n_held > 0;
    if (!next_byte(e, &byte)) {
      *c = KEY_EVENT;
      return 1;
    }
    if (byte == '\33' && !held && paste_begins(e)) {
      *c = KEY_PASTE;
      return 1;
    }
  } while (add_byte(e, byte, c) == 0 || (*c >= 0x80 && *c < 0xA0));
  return 1;
}

/*
** Above the line: libedit has cleared it and asks for the prompt to draw it
** again; the cursor is where the prompt will be.
*/

void editor_fresh_line(void) {
  static const char mark[] = "\u23CE";
  printf("%s%*s\r\33[K", mark, sys_terminal_columns() - 1, "");
  fflush(stdout);
}

static void act_above(Editor *e) {
  Event what = e->above;
  e->above = NOTHING;
  if (what == NOTHING)
    return;
  if (what == RESIZE) {
    libedit.el_resize(e->el);
    return;
  }
  give_terminal(e);
  if (what == LIST) {
    puts(e->list);
  } else if (what == STOP) {
    sys_suspend();
    editor_fresh_line();
  } else {
    e->hooks.ready(e->hooks.context, e->ready_fd);
    e->calm_ns = sys_now_ns() + calm_ns;
    editor_fresh_line();
  }
  take_terminal(e);
}

static char none[] = "";

/* libedit asks for the right one first. */
static char *right_prompt(EditLine *el) {
  Editor *e = editor_of(el);
  act_above(e);
  return e->right != NULL ? e->right : none;
}

static char *left_prompt(EditLine *el) {
  Editor *e = editor_of(el);
  return e->prompt != NULL ? e->prompt : none;
}

/*
** Prompts: libedit wants escape sequences between marks, and a character after
** them.
*/

enum { MARK = '\1' };

static size_t escape_length(const char *s) {
  if (s[0] != '\33' || s[1] == '\0')
    return 0;
  size_t n = 2;
  if (s[1] == '[')
    n += strspn(s + n, "0123456789;:?");
  return s[1] == '[' && s[n] != '\0' ? n + 1 : n;
}

static char *mark_escapes(const char *s) {
  char *marked = malloc(3 * strlen(s) + 2), *to = marked;
  if (marked == NULL)
    return NULL;
  while (*s != '\0') {
    size_t n = escape_length(s);
    if (n == 0) {
      if (*s != MARK)
        *to++ = *s;
      s++;
      continue;
    }
    for (*to++ = MARK; (n = escape_length(s)) > 0; s += n, to += n)
      memcpy(to, s, n);
    *to++ = MARK;
    if (*s == '\0')
      *to++ = ' ';
  }
  *to = '\0';
  return marked;
}

/* Lines of the prompt before its last one are printed, libedit has but one. */
static void set_prompts(Editor *e, const char *prompt, const char *right) {
  const char *last = strrchr(prompt, '\n');
  last = last != NULL ? last + 1 : prompt;
  fwrite(prompt, 1, (size_t)(last - prompt), stdout);
  free(e->prompt);
  free(e->right);
  e->prompt = mark_escapes(last);
  e->right = mark_escapes(right);
}

/*
** Life
*/

static void begin_history(Editor *e) {
  HistEvent event;
  e->history = libedit.history_init();
  if (e->history == NULL)
    return;
  libedit.history(e->history, &event, H_SETSIZE, HISTORY_ENTRIES);
  libedit.history(e->history, &event, H_SETUNIQUE, 1);
  libedit.el_set(e->el, EL_HIST, libedit.history, e->history);
}

Editor *editor_new(const char *program, const EditorHooks *hooks) {
  struct termios *mode = sys_terminal_mode();
  Editor *e = mode != NULL && libedit_load() ? calloc(1, sizeof *e) : NULL;
  if (e == NULL) {
    free(mode);
    return NULL;
  }
  e->hooks = *hooks;
  e->mode = mode;
  buf_init(&e->text);
  e->fds[SIGNALS] = sys_signals_open();
  e->fds[INPUT] = STDIN_FILENO;
  e->n_fds = OWN;
  e->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (e->locale != (locale_t)0)
    uselocale(e->locale);
  e->el = libedit.el_init(program, stdin, stdout, stderr);
  if (e->el != NULL) {
    libedit.el_set(e->el, EL_CLIENTDATA, e);
    libedit.el_wset(e->el, EL_GETCFN, next_char);
    libedit.el_set(e->el, EL_PROMPT_ESC, left_prompt, MARK);
    libedit.el_set(e->el, EL_RPROMPT_ESC, right_prompt, MARK);
    begin_history(e);
    editor_bind_keys(e->el);
  }
  uselocale(LC_GLOBAL_LOCALE);
  sys_terminal_set(mode);
  if (e->el != NULL && e->history != NULL && e->fds[SIGNALS] >= 0)
    return e;
  editor_free(e);
  return NULL;
}

void editor_free(Editor *e) {
  if (e->el != NULL)
    libedit.el_end(e->el);
  if (e->history != NULL)
    libedit.history_end(e->history);
  if (e->locale != (locale_t)0)
    freelocale(e->locale);
  if (e->fds[SIGNALS] >= 0)
    sys_close(e->fds[SIGNALS]);
  sys_terminal_set(e->mode);
  free(e->mode);
  free(e->prompt);
  free(e->right);
  free(e->history_path);
  buf_clear(&e->text);
  free(e);
}

EditorEnd editor_read(Editor *e, const char *prompt, const char *right) {
  int n;
  set_prompts(e, prompt, right);
  e->end = EDITOR_CLOSED;
  e->event = e->above = NOTHING;
  e->back = 0;
  take_terminal(e);
  libedit.el_wgets(e->el, &n);
  if (e->end == EDITOR_CLOSED)
    putchar('\n');
  give_terminal(e);
  return e->end;
}

void editor_watch(Editor *e, const int *fds, int n) {
  e->n_fds = OWN;
  for (int i = 0; i < n && i < EDITOR_WATCHED; i++)
    e->fds[e->n_fds++] = fds[i];
}

const char *editor_text(const Editor *e, size_t *n) {
  *n = e->text.len - 1;
  return (char *)e->text.base;
}

/*
** History
*/

static void add_entry(void *to, const char *text) {
  Editor *e = to;
  HistEvent event;
  if (mbstowcs(NULL, text, 0) != (size_t)-1) /* libedit stops at others */
    libedit.history(e->history, &event, H_ENTER, text);
}

int editor_use_history(Editor *e, const char *path) {
  uselocale(e->locale);
  int status = history_load(path, add_entry, e);
  uselocale(LC_GLOBAL_LOCALE);
  e->history_path = status == 0 ? strdup(path) : NULL;
  return status;
}

int editor_remember(Editor *e, const char *text) {
  HistEvent last;
  if (text[0] == '\0' || text[0] == ' ')
    return 0;
  if (libedit.history(e->history, &last, H_FIRST) == 0 &&
      strcmp(last.str, text) == 0)
    return 0;
  uselocale(e->locale);
  add_entry(e, text);
  uselocale(LC_GLOBAL_LOCALE);
  return e->history_path != NULL ? history_append(e->history_path, text) : 0;
}
