/*
** check.c - CBOR walked without building it, and UTF-8.
** Runs in: every process.  Owns: nothing.  Never: Lua, the heap.
*/
#include <stdio.h>

#include "codec.h"
#include "head.h"

typedef struct Checker {
  const uint8_t *p, *end, *base;
  const uint8_t *item; /* the head of the value at work, for errors */
  CodecError *err;
  size_t owed, marks;
  size_t strings_from, strings;
  uint32_t flags;
  int depth, max_depth;
  bool in_namespace;
} Checker;

static CodecStatus check_value(Checker *c);
static CodecStatus check_item(Checker *c, const Head *head, bool marked);

static CodecStatus fail(Checker *c, CodecStatus status, const char *why) {
  snprintf(c->err->why, sizeof c->err->why, "%s", why);
  c->err->at = (size_t)(c->item - c->base);
  return status;
}

static CodecStatus next_head(Checker *c, Head *head) {
  c->item = c->p;
  switch (head_get(&c->p, c->end, head)) {
  case HEAD_TRUNCATED:
    return fail(c, CODEC_TRUNCATED, "truncated");
  case HEAD_RESERVED:
    return fail(c, CODEC_FORM, "reserved head");
  case HEAD_OK:
    break;
  }
  if ((c->flags & CODEC_STRICT) != 0 && head->major != MAJOR_OTHER &&
      !head_is_shortest(head))
    return fail(c, CODEC_FORM, "a head longer than needed");
  return CODEC_OK;
}

static bool at_break(Checker *c) {
  if (c->p == c->end || *c->p != 0xff)
    return false;
  c->p++;
  return true;
}

/* --- UTF-8 --- */

/* How many bytes the character at s takes, 0 when it is malformed. */
static size_t char_bytes(const uint8_t *s, size_t left) {
  uint8_t first = s[0], least = 0x80, most = 0xbf;
  size_t bytes = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (bytes == 1)
    return 1;
  if (first < 0xc2 || first > 0xf4 || bytes > left)
    return 0;
  if (first == 0xe0)
    least = 0xa0; /* shorter forms exist */
  else if (first == 0xed)
    most = 0x9f; /* surrogates */
  else if (first == 0xf0)
    least = 0x90;
  else if (first == 0xf4)
    most = 0x8f; /* beyond U+10FFFF */
  if (s[1] < least || s[1] > most)
    return 0;
  for (size_t i = 2; i < bytes; i++)
    if (s[i] < 0x80 || s[i] > 0xbf)
      return 0;
  return bytes;
}

#define HIGH_BITS 0x8080808080808080U

/* Four times 16 bytes are ORed at once: twice as fast as in 64 bits. */
static bool is_ascii(const uint8_t *s) {
  typedef uint64_t Pair __attribute__((vector_size(16)));
  Pair a, b, c, d;
  memcpy(&a, s, 16);
  memcpy(&b, s + 16, 16);
  memcpy(&c, s + 32, 16);
  memcpy(&d, s + 48, 16);
  a |= b | c | d;
  return ((a[0] | a[1]) & HIGH_BITS) == 0;
}

bool codec_is_utf8(const uint8_t *s, size_t size) {
  uint64_t word;
  size_t i = 0;
  while (i < size) {
    while (size - i >= 64 && is_ascii(s + i))
      i += 64;
    for (; size - i >= 8; i += 8) {
      memcpy(&word, s + i, 8);
      if ((word & HIGH_BITS) != 0)
        break;
    }
    for (size_t stop = i + 8; i < size && i < stop;) {
      size_t bytes = char_bytes(s + i, size - i);
      if (bytes == 0)
        return false;
      i += bytes;
    }
  }
  return true;
}

/* --- strings --- */

static void add_string(Checker *c, size_t len) {
  size_t next = c->strings - c->strings_from;
  c->strings += len >= (next < 24         ? 3U
                        : next <= 0xff    ? 4U
                        : next <= 0xffff  ? 5U
                        : next >> 32 == 0 ? 7U
                                          : 11U);
}

static CodecStatus check_chars(Checker *c, const Head *head) {
  if (head->arg > (size_t)(c->end - c->p))
    return fail(c, CODEC_TRUNCATED, "truncated");
  c->p += head->arg;
  return CODEC_OK;
}

static bool is_bad_text(const Checker *c, const Head *head, const uint8_t *s,
                        size_t len) {
  return (c->flags & CODEC_STRICT) != 0 && head->major == MAJOR_TEXT &&
         !codec_is_utf8(s, len);
}

static CodecStatus check_string(Checker *c, const Head *head) {
  Head chunk;
  const uint8_t *s = c->p;
  if (head->info != INFO_OPEN) {
    CodecStatus status = check_chars(c, head);
    if (status == CODEC_OK && is_bad_text(c, head, s, (size_t)head->arg))
      return fail(c, CODEC_FORM, "text that is not UTF-8");
    if (c->in_namespace)
      add_string(c, (size_t)head->arg);
    return status;
  }
  while (!at_break(c)) {
    CodecStatus status = next_head(c, &chunk);
    if (status != CODEC_OK)
      return status;
    if (chunk.major != head->major || chunk.info == INFO_OPEN)
      return fail(c, CODEC_FORM, "a chunk of another kind");
    s = c->p;
    status = check_chars(c, &chunk);
    if (status != CODEC_OK)
      return status;
    if (is_bad_text(c, head, s, (size_t)chunk.arg))
      return fail(c, CODEC_FORM, "text that is not UTF-8");
  }
  return CODEC_OK;
}

/* --- containers --- */

static CodecStatus check_key(Checker *c) {
  Head head;
  c->owed--;
  CodecStatus status = next_head(c, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major == MAJOR_OTHER &&
      (head.info == OTHER_NULL || head.info == OTHER_UNDEFINED))
    return fail(c, CODEC_KEY, "null as a table key");
  if (head.major == MAJOR_OTHER && head.info >= INFO_TWO &&
      head.info <= INFO_EIGHT && isnan(head_float(&head)))
    return fail(c, CODEC_KEY, "NaN as a table key");
  return check_item(c, &head, false);
}

static CodecStatus check_open(Checker *c, bool is_map) {
  while (!at_break(c)) {
    c->owed += is_map ? 2 : 1;
    CodecStatus status = is_map ? check_key(c) : CODEC_OK;
    if (status == CODEC_OK)
      status = check_value(c);
    if (status != CODEC_OK)
      return status;
  }
  return CODEC_OK;
}

static CodecStatus check_container(Checker *c, const Head *head) {
  bool is_map = head->major == MAJOR_MAP;
  if (head->info == INFO_OPEN)
    return check_open(c, is_map);
  size_t left = (size_t)(c->end - c->p), each = is_map ? 2 : 1;
  if (left < c->owed || head->arg > (left - c->owed) / each)
    return fail(c, CODEC_TRUNCATED, "truncated");
  c->owed += (size_t)head->arg * each;
  for (uint64_t i = 0; i < head->arg; i++) {
    CodecStatus status = is_map ? check_key(c) : CODEC_OK;
    if (status == CODEC_OK)
      status = check_value(c);
    if (status != CODEC_OK)
      return status;
  }
  return CODEC_OK;
}

/* --- tags --- */

static CodecStatus check_index(Checker *c, size_t below, const char *why) {
  Head head;
  CodecStatus status = next_head(c, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major != MAJOR_UNSIGNED || head.info == INFO_OPEN)
    return fail(c, CODEC_REF, "a reference that is no index");
  return head.arg < below ? CODEC_OK : fail(c, CODEC_REF, why);
}

static CodecStatus check_string_ref(Checker *c) {
  size_t below = c->in_namespace ? c->strings - c->strings_from : 0;
  return check_index(c, below, "a reference to no string");
}

static CodecStatus check_mark(Checker *c, bool marked) {
  Head head;
  if (marked)
    return fail(c, CODEC_REF, "a mark on a mark");
  c->marks++;
  CodecStatus status = next_head(c, &head);
  return status == CODEC_OK ? check_item(c, &head, true) : status;
}

static CodecStatus check_object(Checker *c) {
  Head head, name;
  CodecStatus status = next_head(c, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major != MAJOR_ARRAY || head.info == INFO_OPEN || head.arg != 2)
    return fail(c, CODEC_FORM, "a tag 27 without name and value");
  c->owed++;
  status = next_head(c, &name);
  if (status != CODEC_OK)
    return status;
  if (name.major != MAJOR_BYTES && name.major != MAJOR_TEXT &&
      !(name.major == MAJOR_TAG && name.arg == TAG_STRING_REF))
    return fail(c, CODEC_FORM, "a tag 27 without name and value");
  status = check_item(c, &name, false);
  return status == CODEC_OK ? check_value(c) : status;
}

static CodecStatus check_namespace(Checker *c) {
  size_t from = c->strings_from, strings = c->strings;
  bool outer = c->in_namespace;
  c->strings_from = c->strings;
  c->in_namespace = true;
  c->owed++;
  CodecStatus status = check_value(c);
  c->strings_from = from;
  c->strings = strings;
  c->in_namespace = outer;
  return status;
}

/* The content of the tags 2, 3 and 64..87. */
static CodecStatus check_bytes(Checker *c) {
  Head head;
  CodecStatus status = next_head(c, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major == MAJOR_BYTES)
    return check_string(c, &head);
  if (head.major == MAJOR_TAG && head.arg == TAG_STRING_REF)
    return check_string_ref(c);
  return fail(c, CODEC_FORM, "a tag that needs a byte string");
}

static CodecStatus check_tag(Checker *c, const Head *head, bool marked) {
  bool is_typed = head->arg >= TAG_TYPED_FIRST && head->arg <= TAG_TYPED_LAST;
  if (head->arg == TAG_MARK)
    return check_mark(c, marked);
  if (head->arg == TAG_OBJECT)
    return check_object(c);
  if (is_typed || head->arg == TAG_POSITIVE || head->arg == TAG_NEGATIVE ||
      head->arg == TAG_STRING_REF || head->arg == TAG_REF ||
      head->arg == TAG_NAMESPACE || head->arg == TAG_CBOR) {
    if (marked)
      return fail(c, CODEC_REF, "a mark on a value without identity");
    if (head->arg == TAG_STRING_REF)
      return check_string_ref(c);
    if (head->arg == TAG_REF)
      return check_index(c, c->marks, "a reference to no mark");
    if (head->arg == TAG_NAMESPACE)
      return check_namespace(c);
    if (head->arg != TAG_CBOR)
      return check_bytes(c);
  }
  c->owed++;
  return check_value(c);
}

/* --- values --- */

static CodecStatus check_integer(Checker *c, const Head *head) {
  if (head->info == INFO_OPEN)
    return fail(c, CODEC_FORM, "an integer of no length");
  if (head->arg > INT64_MAX &&
      (c->flags & (CODEC_BIG_FLOAT | CODEC_BIG_STRING)) == 0)
    return fail(c, CODEC_RANGE, "an integer of more than 64 bits");
  return CODEC_OK;
}

static CodecStatus check_other(Checker *c, const Head *head) {
  uint64_t bits;
  if (head->info >= OTHER_FALSE && head->info <= OTHER_UNDEFINED)
    return CODEC_OK;
  if (head->info == INFO_OPEN)
    return fail(c, CODEC_FORM, "a break outside");
  if (head->info < OTHER_FALSE || head->info == INFO_ONE) {
    char why[40];
    snprintf(why, sizeof why, "the simple value %d", (int)head->arg);
    return head->info == INFO_ONE && head->arg < 32
               ? fail(c, CODEC_FORM, "a simple value in two bytes")
               : fail(c, CODEC_TYPE, why);
  }
  if ((c->flags & CODEC_STRICT) != 0 &&
      head_float_bits(head_float(head), &bits) < (size_t)1
                                                     << (head->info - INFO_ONE))
    return fail(c, CODEC_FORM, "a float longer than needed");
  return CODEC_OK;
}

static CodecStatus check_item(Checker *c, const Head *head, bool marked) {
  CodecStatus status;
  switch (head->major) {
  case MAJOR_UNSIGNED:
  case MAJOR_NEGATIVE:
    return marked ? fail(c, CODEC_REF, "a mark on a value without identity")
                  : check_integer(c, head);
  case MAJOR_BYTES:
  case MAJOR_TEXT:
    return marked ? fail(c, CODEC_REF, "a mark on a value without identity")
                  : check_string(c, head);
  case MAJOR_OTHER:
    return marked ? fail(c, CODEC_REF, "a mark on a value without identity")
                  : check_other(c, head);
  }
  if (head->major == MAJOR_TAG && head->info == INFO_OPEN)
    return fail(c, CODEC_FORM, "a tag of no length");
  if (c->depth >= c->max_depth) {
    char why[64];
    snprintf(why, sizeof why, "nested deeper than %d levels", c->max_depth);
    return fail(c, CODEC_DEPTH, why);
  }
  c->depth++;
  status = head->major == MAJOR_TAG ? check_tag(c, head, marked)
                                    : check_container(c, head);
  c->depth--;
  return status;
}

static CodecStatus check_value(Checker *c) {
  Head head;
  c->owed--;
  CodecStatus status = next_head(c, &head);
  return status == CODEC_OK ? check_item(c, &head, false) : status;
}

CodecStatus codec_check(const uint8_t *bytes, size_t size, size_t *used, int n,
                        const CodecOptions *opts, CodecError *err) {
  Checker c = {.p = bytes,
               .end = bytes + size,
               .base = bytes,
               .item = bytes,
               .err = err,
               .owed = (size_t)n,
               .flags = opts->flags,
               .max_depth = opts->max_depth == 0 ? CODEC_DEPTH_DEFAULT
                                                 : opts->max_depth};
  CodecStatus status = CODEC_OK;
  if (opts->max_bytes != 0 && size > opts->max_bytes)
    status = fail(&c, CODEC_LIMIT, "more than max_bytes");
  for (int i = 0; i < n && status == CODEC_OK; i++)
    status = check_value(&c);
  *used = (size_t)(c.p - bytes);
  return err->status = status;
}
