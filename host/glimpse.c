/*
** glimpse.c - a short text of an item's values, for people.
** Runs in: workers; in the parent for items that were lost.  Owns: nothing.
** Read from the bytes: an item that failed must not be built a second time.
*/
#include "glimpse.h"

#include <ctype.h>
#include <stdio.h>

#include "codec.h"
#include "frame.h"
#include "head.h"

enum { LONGEST_STRING = 60 };

typedef struct Glimpse {
  const uint8_t *p, *end;
  char *text;
  size_t len, room;
} Glimpse;

static void put(Glimpse *g, const void *s, size_t n) {
  size_t left = g->room - g->len;
  n = n < left ? n : left;
  memcpy(g->text + g->len, s, n);
  g->len += n;
}

static void put_text(Glimpse *g, const char *s) {
  put(g, s, strlen(s));
}

/* The most of n bytes up to `most` that does not cut a character. */
static size_t whole(const void *s, size_t n, size_t most) {
  const uint8_t *bytes = s;
  if (n <= most)
    return n;
  while (most > 0 && (bytes[most] & 0xc0) == 0x80)
    most--;
  return most;
}

static void put_byte(Glimpse *g, uint8_t c, bool utf8) {
  char escape[5] = {'\\', (char)c};
  if (c == '\n')
    put_text(g, "\\n");
  else if (c == '"' || c == '\\')
    put(g, escape, 2);
  else if (c < ' ' || c == 127 || (c > 127 && !utf8))
    put(g, escape, (size_t)snprintf(escape, sizeof escape, "\\%03u", c));
  else
    put(g, &c, 1);
}

static void put_string(Glimpse *g, size_t n) {
  size_t shown = whole(g->p, n, LONGEST_STRING);
  bool utf8 = codec_is_utf8(g->p, shown);
  put_text(g, "\"");
  for (size_t i = 0; i < shown; i++)
    put_byte(g, g->p[i], utf8);
  put_text(g, shown < n ? "\"..." : "\"");
  g->p += n;
}

static void put_float(Glimpse *g, double d) {
  char text[32];
  snprintf(text, sizeof text, "%.14g", d);
  put_text(g, text);
  if (text[strspn(text, "-0123456789")] == '\0')
    put_text(g, ".0");
}

static void put_other(Glimpse *g, const Head *head) {
  if (head->info == OTHER_TRUE || head->info == OTHER_FALSE)
    put_text(g, head->info == OTHER_TRUE ? "true" : "false");
  else if (head->info <= INFO_ONE)
    put_text(g, "nil");
  else
    put_float(g, head_float(head));
}

static bool put_value(Glimpse *g);

/* `name = ` or `[key] = ` */
static bool put_key(Glimpse *g) {
  const uint8_t *p = g->p;
  Head head;
  bool word = head_get(&p, g->end, &head) == HEAD_OK &&
              head.major == MAJOR_BYTES && head.arg < LONGEST_STRING &&
              head.arg <= (size_t)(g->end - p) && head.arg > 0;
  for (size_t i = 0; word && i < head.arg; i++)
    word = isalpha(p[i]) || p[i] == '_' || (i > 0 && isdigit(p[i]));
  if (word) {
    put(g, p, head.arg);
    g->p = p + head.arg;
  } else {
    put_text(g, "[");
    if (!put_value(g))
      return false;
    put_text(g, "]");
  }
  put_text(g, " = ");
  return true;
}

static bool put_table(Glimpse *g, uint64_t n, bool keys) {
  put_text(g, "{");
  for (uint64_t i = 0; i < n; i++) {
    if (i > 0)
      put_text(g, ", ");
    if ((keys && !put_key(g)) || !put_value(g))
      return false;
  }
  put_text(g, "}");
  return true;
}

static bool put_tagged(Glimpse *g, uint64_t tag) {
  if (tag != TAG_REF)
    return put_value(g);
  Head head;
  put_text(g, "{...}"); /* again a table that was shown */
  return head_get(&g->p, g->end, &head) == HEAD_OK;
}

/* False: there is no room for more, or the bytes end. */
static bool put_value(Glimpse *g) {
  char text[32];
  Head head;
  if (g->len == g->room || head_get(&g->p, g->end, &head) != HEAD_OK)
    return false;
  switch (head.major) {
  case MAJOR_UNSIGNED:
  case MAJOR_NEGATIVE:
    snprintf(text, sizeof text, "%lld",
             (long long)(head.major == MAJOR_UNSIGNED ? head.arg : ~head.arg));
    put_text(g, text);
    return true;
  case MAJOR_BYTES:
  case MAJOR_TEXT:
    if (head.arg > (size_t)(g->end - g->p))
      return false;
    put_string(g, head.arg);
    return true;
  case MAJOR_ARRAY:
  case MAJOR_MAP:
    return put_table(g, head.arg, head.major == MAJOR_MAP);
  case MAJOR_TAG:
    return put_tagged(g, head.arg);
  default:
    put_other(g, &head);
    return true;
  }
}

void glimpse_frame(const uint8_t *frame, size_t size, char *text, size_t room) {
  static const char more[] = "...";
  size_t used = 0;
  int n = frame_get(frame, size, &used);
  Glimpse g = {frame + used, frame + size, text, 0, room - 1};
  for (int i = 0; i < n; i++) {
    if (i > 0)
      put_text(&g, ", ");
    if (!put_value(&g))
      break;
  }
  if (g.len == g.room) {
    g.len = whole(text, g.len, g.room - (sizeof more - 1));
    put_text(&g, more);
  }
  text[g.len] = '\0';
}
