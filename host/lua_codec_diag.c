/*
** lua_codec_diag.c - CBOR in diagnostic notation (RFC 8949, section 8).
** Runs in: every process.  Owns: nothing.  Never: builds the values.
*/
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "head.h"
#include "lua_codec.h"

enum { DEPTH_MOST = 1000 };

typedef struct Diag {
  lua_State *L;
  luaL_Buffer out;
  const uint8_t *p, *end, *base;
  int depth;
} Diag;

static void show_value(Diag *d);

static void fail(Diag *d, const char *why) {
  luaL_error(d->L, "cannot decode: %s at offset %I", why,
             (LUAI_UACINT)(d->p - d->base));
}

static Head next_head(Diag *d) {
  Head head = {.arg = 0};
  switch (head_get(&d->p, d->end, &head)) {
  case HEAD_TRUNCATED:
    fail(d, "truncated");
    break;
  case HEAD_RESERVED:
    fail(d, "reserved head");
    break;
  case HEAD_OK:
    break;
  }
  return head;
}

static bool at_break(Diag *d) {
  if (d->p == d->end || *d->p != 0xff)
    return false;
  d->p++;
  return true;
}

/* --- scalars --- */

static void show_integer(Diag *d, const Head *head) {
  char text[32];
  if (head->info == INFO_OPEN)
    fail(d, "an integer of no length");
  if (head->major == MAJOR_UNSIGNED)
    snprintf(text, sizeof text, "%llu", (unsigned long long)head->arg);
  else if (head->arg == UINT64_MAX)
    snprintf(text, sizeof text, "-18446744073709551616");
  else
    snprintf(text, sizeof text, "-%llu", (unsigned long long)head->arg + 1);
  luaL_addstring(&d->out, text);
}

/* Shortest digits that give the same float back, with a point in them. */
static void show_float(Diag *d, double number) {
  char text[40];
  int digits = 1;
  do
    snprintf(text, sizeof text, "%.*g", digits, number);
  while (strtod(text, NULL) != number && digits++ < 17);
  char *e = strchr(text, 'e');
  size_t whole = e != NULL ? (size_t)(e - text) : strlen(text);
  luaL_addlstring(&d->out, text, whole);
  if (memchr(text, '.', whole) == NULL)
    luaL_addstring(&d->out, ".0");
  if (e != NULL)
    luaL_addstring(&d->out, e);
}

static void show_other(Diag *d, const Head *head) {
  static const char *const names[] = {"false", "true", "null", "undefined"};
  char text[16];
  if (head->info == INFO_OPEN)
    fail(d, "a break outside");
  if (head->info >= INFO_TWO) {
    double number = head_float(head);
    if (isfinite(number))
      show_float(d, number);
    else
      luaL_addstring(&d->out, isnan(number) ? "NaN"
                              : number > 0  ? "Infinity"
                                            : "-Infinity");
    return;
  }
  if (head->info == INFO_ONE && head->arg < 32)
    fail(d, "a simple value in two bytes");
  snprintf(text, sizeof text, "simple(%d)", (int)head->arg);
  bool is_named = head->arg >= OTHER_FALSE && head->arg <= OTHER_UNDEFINED;
  luaL_addstring(&d->out, is_named ? names[head->arg - OTHER_FALSE] : text);
}

/* --- strings --- */

static void show_text(luaL_Buffer *out, const uint8_t *s, size_t len) {
  char escape[8];
  luaL_addchar(out, '"');
  for (size_t i = 0; i < len; i++) {
    if (s[i] == '"' || s[i] == '\\')
      luaL_addchar(out, '\\');
    if (s[i] >= 32 && s[i] != 127) {
      luaL_addchar(out, (char)s[i]);
      continue;
    }
    snprintf(escape, sizeof escape, "\\u%04x", s[i]);
    luaL_addstring(out, s[i] == '\n' ? "\\n" : escape);
  }
  luaL_addchar(out, '"');
}

static void show_bytes(luaL_Buffer *out, const uint8_t *s, size_t len) {
  static const char digits[] = "0123456789abcdef";
  luaL_addstring(out, "h'");
  for (size_t i = 0; i < len; i++) {
    luaL_addchar(out, digits[s[i] >> 4]);
    luaL_addchar(out, digits[s[i] & 15]);
  }
  luaL_addchar(out, '\'');
}

static void show_chars(Diag *d, const Head *head) {
  if (head->arg > (size_t)(d->end - d->p))
    fail(d, "truncated");
  const uint8_t *s = d->p;
  d->p += head->arg;
  if (head->major == MAJOR_TEXT)
    show_text(&d->out, s, (size_t)head->arg);
  else
    show_bytes(&d->out, s, (size_t)head->arg);
}

static void show_string(Diag *d, const Head *head) {
  if (head->info != INFO_OPEN) {
    show_chars(d, head);
    return;
  }
  luaL_addstring(&d->out, "(_ ");
  for (bool is_first = true; !at_break(d); is_first = false) {
    Head chunk = next_head(d);
    if (chunk.major != head->major || chunk.info == INFO_OPEN)
      fail(d, "a chunk of another kind");
    luaL_addstring(&d->out, is_first ? "" : ", ");
    show_chars(d, &chunk);
  }
  luaL_addchar(&d->out, ')');
}

/* --- containers --- */

static void show_container(Diag *d, const Head *head) {
  bool is_map = head->major == MAJOR_MAP, is_open = head->info == INFO_OPEN;
  luaL_addchar(&d->out, is_map ? '{' : '[');
  luaL_addstring(&d->out, is_open ? "_ " : "");
  for (uint64_t i = 0; is_open ? !at_break(d) : i < head->arg; i++) {
    luaL_addstring(&d->out, i == 0 ? "" : ", ");
    show_value(d);
    if (is_map) {
      luaL_addstring(&d->out, ": ");
      show_value(d);
    }
  }
  luaL_addchar(&d->out, is_map ? '}' : ']');
}

static void show_tag(Diag *d, const Head *head) {
  char text[32];
  if (head->info == INFO_OPEN)
    fail(d, "a tag of no length");
  snprintf(text, sizeof text, "%llu(", (unsigned long long)head->arg);
  luaL_addstring(&d->out, text);
  show_value(d);
  luaL_addchar(&d->out, ')');
}

static void show_value(Diag *d) {
  Head head = next_head(d);
  if (d->depth++ >= DEPTH_MOST)
    fail(d, "nested deeper than 1000 levels");
  switch (head.major) {
  case MAJOR_UNSIGNED:
  case MAJOR_NEGATIVE:
    show_integer(d, &head);
    break;
  case MAJOR_BYTES:
  case MAJOR_TEXT:
    show_string(d, &head);
    break;
  case MAJOR_ARRAY:
  case MAJOR_MAP:
    show_container(d, &head);
    break;
  case MAJOR_TAG:
    show_tag(d, &head);
    break;
  default:
    show_other(d, &head);
  }
  d->depth--;
}

int lua_codec_diag(lua_State *L) {
  size_t size;
  const uint8_t *s = (const uint8_t *)luaL_checklstring(L, 1, &size);
  Diag d = {.L = L, .p = s, .end = s + size, .base = s};
  lua_settop(L, 1);
  luaL_buffinit(L, &d.out);
  show_value(&d);
  if (d.p != d.end)
    fail(&d, "bytes after the value");
  luaL_pushresult(&d.out);
  return 1;
}
