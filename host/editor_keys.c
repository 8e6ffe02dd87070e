/*
** editor_keys.c - what keys do in the editor.
** Runs in: the parent.  Owns: nothing.
*/
#define _GNU_SOURCE
#include "editor_keys.h"

#include <stdlib.h>
#include <string.h>

#include "sys_prompt.h"

/* Libedit's own functions, by keys of ours. */
static const wchar_t key_prev[] = L"\x81", key_next[] = L"\x82",
                     key_accept[] = L"\x83", key_search[] = L"\x86";

static const LineInfo *line_of(Editor *e) {
  return libedit.el_line(e->el);
}

/* Characters of valid UTF-8. */
static int count_chars(const char *from, const char *to) {
  int n = 0;
  for (; from < to; from++)
    n += (*from & 0xC0) != 0x80;
  return n;
}

/* Inserts bytes; what is no UTF-8 becomes U+FFFD, a zero byte nothing. */
static void insert(Editor *e, const char *text, size_t n) {
  wchar_t *wide = malloc((n + 1) * sizeof *wide), *to = wide;
  if (wide == NULL)
    return;
  mbstate_t state = {0};
  for (size_t i = 0; i < n;) {
    size_t used = mbrtowc(to, text + i, n - i, &state);
    if (used > n) {
      memset(&state, 0, sizeof state);
      *to = 0xFFFD;
      used = 1;
    }
    to += *to != L'\0';
    i += used > 0 ? used : 1;
  }
  *to = L'\0';
  libedit.el_winsertstr(e->el, wide);
  free(wide);
}

static unsigned char on_newline(EditLine *el, wint_t c) {
  (void)c;
  insert(editor_of(el), "\n", 1);
  return CC_REFRESH;
}

static unsigned char on_enter(EditLine *el, wint_t c) {
  Editor *e = editor_of(el);
  const LineInfo *line = line_of(e);
  size_t n = (size_t)(line->lastchar - line->buffer);
  e->text.len = 0;
  if (buf_append(&e->text, line->buffer, n) != 0 ||
      buf_append(&e->text, "", 1) != 0)
    return CC_ERROR;
  if (e->hooks.is_open(e->hooks.context, (char *)e->text.base, n))
    return on_newline(el, c);
  e->end = EDITOR_CHUNK;
  libedit.el_wpush(el, key_accept);
  return CC_NORM;
}

static const char *line_begin(const LineInfo *line, const char *at) {
  while (at > line->buffer && at[-1] != '\n')
    at--;
  return at;
}

static const char *line_end(const LineInfo *line, const char *at) {
  while (at < line->lastchar && *at != '\n')
    at++;
  return at;
}

static unsigned char go_to(Editor *e, const LineInfo *line, const char *at) {
  int n = at < line->cursor ? -count_chars(at, line->cursor)
                            : count_chars(line->cursor, at);
  libedit.el_cursor(e->el, n);
  return CC_CURSOR;
}

/* To the column it is in now, in the line that begins at `to`. */
static unsigned char go_to_line(Editor *e, const LineInfo *line,
                                const char *to) {
  int column = count_chars(line_begin(line, line->cursor), line->cursor);
  const char *end = line_end(line, to);
  while (to < end && column > 0)
    column -= count_chars(to, to + 1), to++;
  while (to < end && (*to & 0xC0) == 0x80)
    to++;
  return go_to(e, line, to);
}

static unsigned char on_begin(EditLine *el, wint_t c) {
  (void)c;
  const LineInfo *line = line_of(editor_of(el));
  return go_to(editor_of(el), line, line_begin(line, line->cursor));
}

static unsigned char on_end(EditLine *el, wint_t c) {
  (void)c;
  const LineInfo *line = line_of(editor_of(el));
  return go_to(editor_of(el), line, line_end(line, line->cursor));
}

static unsigned char on_up(EditLine *el, wint_t c) {
  (void)c;
  Editor *e = editor_of(el);
  HistEvent size;
  const LineInfo *line = line_of(e);
  const char *begin = line_begin(line, line->cursor);
  if (begin > line->buffer)
    return go_to_line(e, line, line_begin(line, begin - 1));
  if (libedit.history(e->history, &size, H_GETSIZE) != 0 || e->back >= size.num)
    return CC_ERROR;
  e->back++;
  libedit.el_wpush(el, key_prev);
  return CC_NORM;
}

/* libedit itself would drop what was typed when there is no later entry. */
static unsigned char on_down(EditLine *el, wint_t c) {
  (void)c;
  Editor *e = editor_of(el);
  const LineInfo *line = line_of(e);
  const char *end = line_end(line, line->cursor);
  if (end < line->lastchar)
    return go_to_line(e, line, end + 1);
  if (e->back == 0)
    return CC_ERROR;
  e->back--;
  libedit.el_wpush(el, key_next);
  return CC_NORM;
}

/* How far it goes back we cannot know. */
static unsigned char on_search(EditLine *el, wint_t c) {
  (void)c;
  editor_of(el)->back = 1;
  libedit.el_wpush(el, key_search);
  return CC_NORM;
}

static bool is_blank(const char *from, const char *to) {
  while (from < to && (*from == ' ' || *from == '\t'))
    from++;
  return from == to;
}

static unsigned char on_tab(EditLine *el, wint_t c) {
  (void)c;
  Editor *e = editor_of(el);
  const LineInfo *line = line_of(e);
  size_t removed, cursor = (size_t)(line->cursor - line->buffer);
  if (is_blank(line_begin(line, line->cursor), line->cursor)) {
    insert(e, "  ", 2);
    return CC_REFRESH;
  }
  const char *text = e->hooks.complete(e->hooks.context, line->buffer, cursor,
                                       &removed, &e->list);
  if (e->list != NULL) {
    e->above = LIST;
    return CC_REDISPLAY;
  }
  if (text == NULL)
    return CC_ERROR;
  libedit.el_deletestr(el, count_chars(line->cursor - removed, line->cursor));
  insert(e, text, strlen(text));
  return CC_REFRESH;
}

/* Lines end in \r or \n as the terminal likes, or in both. */
static size_t join_line_ends(char *text, size_t n) {
  size_t to = 0;
  for (size_t i = 0; i < n; i++) {
    if (text[i] == '\r' && i > 0 && text[i - 1] == '\n')
      continue;
    text[to++] = text[i] == '\r' ? '\n' : text[i];
  }
  return to;
}

static bool ends_paste(const Buf *b) {
  static const char mark[] = "\33[201~";
  size_t n = sizeof mark - 1;
  return b->len >= n && memcmp(b->base + b->len - n, mark, n) == 0;
}

/* What else happens waits, but for what ends the line. */
static bool next_pasted(Editor *e, char *byte) {
  while (e->event != INTERRUPT && e->event != CLOSE) {
    int i = sys_wait_readable(e->fds, OWN, -1);
    if (i == SIGNALS)
      editor_take_signal(e);
    if (i == INPUT && editor_read_byte(e, byte))
      return true;
    if (i == INPUT)
      e->event = CLOSE;
  }
  return false;
}

static unsigned char on_paste(EditLine *el, wint_t c) {
  (void)c;
  Editor *e = editor_of(el);
  Buf b;
  char byte;
  buf_init(&b);
  while (!ends_paste(&b) && next_pasted(e, &byte))
    if (buf_append(&b, &byte, 1) != 0)
      break;
  if (ends_paste(&b))
    b.len -= 6;
  insert(e, (char *)b.base, join_line_ends((char *)b.base, b.len));
  buf_clear(&b);
  return CC_REFRESH;
}

static unsigned char on_event(EditLine *el, wint_t c) {
  (void)c;
  enum { FAR = 1 << 30 };
  Editor *e = editor_of(el);
  Event event = e->event;
  e->event = NOTHING;
  switch (event) {
  case NOTHING:
  case LIST:
    return CC_NORM;
  case INTERRUPT:
    e->end = EDITOR_INTERRUPTED;
    libedit.el_cursor(el, FAR);
    insert(e, "^C", 2);
    libedit.el_wpush(el, key_accept);
    return CC_REFRESH;
  case CLOSE:
    return CC_EOF;
  case RESIZE:
  case STOP:
  case READY:
    e->above = event;
    return CC_REDISPLAY;
  }
  return CC_ERROR;
}

/*
** Bindings
*/

static const struct {
  const wchar_t *name;
  unsigned char (*call)(EditLine *, wint_t);
} functions[] = {{L"lua-enter", on_enter},   {L"lua-newline", on_newline},
                 {L"lua-begin", on_begin},   {L"lua-end", on_end},
                 {L"lua-up", on_up},         {L"lua-down", on_down},
                 {L"lua-search", on_search}, {L"lua-complete", on_tab},
                 {L"lua-paste", on_paste},   {L"lua-event", on_event}};

typedef struct Binding {
  const char *key, *function;
} Binding;

/* Those we cannot do without, in any keymap, and those of a new user. */
static const Binding needed[] = {
    {"^M", "lua-enter"},          {"^J", "lua-enter"},
    {"\\201", "ed-prev-history"}, {"\\202", "ed-next-history"},
    {"\\203", "ed-newline"},      {"\\204", "lua-paste"},
    {"\\205", "lua-event"},       {"\\206", "em-inc-search-prev"}};
static const Binding preferred[] = {{"^I", "lua-complete"},
                                    {"^R", "lua-search"},
                                    {"^P", "lua-up"},
                                    {"^N", "lua-down"},
                                    {"\\e[A", "lua-up"},
                                    {"\\e[B", "lua-down"},
                                    {"\\eOA", "lua-up"},
                                    {"\\eOB", "lua-down"},
                                    {"^A", "lua-begin"},
                                    {"^E", "lua-end"},
                                    {"\\e[H", "lua-begin"},
                                    {"\\e[F", "lua-end"},
                                    {"\\eOH", "lua-begin"},
                                    {"\\eOF", "lua-end"},
                                    {"\\e[1~", "lua-begin"},
                                    {"\\e[4~", "lua-end"},
                                    {"\\e[3~", "ed-delete-next-char"},
                                    {"\\e[1;5C", "em-next-word"},
                                    {"\\e[1;5D", "ed-prev-word"},
                                    {"\\e^M", "lua-newline"},
                                    {"\\e^J", "lua-newline"}};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void bind_preferred(EditLine *el) {
  for (size_t i = 0; i < COUNT(preferred); i++)
    libedit.el_set(el, EL_BIND, preferred[i].key, preferred[i].function, NULL);
}

/* The keymaps of vi hold but what is bound after they were asked for; there, an
** escape is a key by itself. */
static void bind_for_vi(EditLine *el) {
  const char *editor;
  if (libedit.el_get(el, EL_EDITOR, &editor) != 0 || editor[0] != 'v')
    return;
  for (size_t i = 0; i < COUNT(preferred); i++)
    if (preferred[i].key[0] == '^')
      libedit.el_set(el, EL_BIND, preferred[i].key, preferred[i].function,
                     NULL);
}

static void bind_needed(EditLine *el) {
  for (size_t i = 0; i < COUNT(needed); i++) {
    const Binding *b = &needed[i];
    libedit.el_set(el, EL_BIND, b->key, b->function, NULL);
    libedit.el_set(el, EL_BIND, "-a", b->key, b->function, NULL);
  }
}

/* The user's own file comes last; only what we cannot do without is ours. */
void editor_bind_keys(EditLine *el) {
  for (size_t i = 0; i < COUNT(functions); i++)
    libedit.el_wset(el, EL_ADDFN, functions[i].name, L"tidepool",
                    functions[i].call);
  libedit.el_set(el, EL_EDITOR, "emacs");
  bind_preferred(el);
  const char *file = getenv("EDITRC"), *home = getenv("HOME");
  Buf path;
  buf_init(&path);
  if (file == NULL && home != NULL &&
      buf_append(&path, home, strlen(home)) == 0 &&
      buf_append(&path, "/.editrc", sizeof "/.editrc") == 0)
    file = (char *)path.base;
  if (file != NULL)
    libedit.el_source(el, file);
  buf_clear(&path);
  bind_for_vi(el);
  bind_needed(el);
}
