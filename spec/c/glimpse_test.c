/*
** glimpse_test.c - what people are shown of an item's values.
** Runs in: the tests.  Owns: nothing.  Never: Lua, the kernel.
*/
#include "glimpse.h"
#include "check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct Case {
  const char *frame, *text;
  size_t size;
} Case;

#define CASE(frame, text)                                                      \
  { frame, text, sizeof(frame) - 1 }

static const Case cases[] = {
    CASE("\0", ""),
    CASE("\4\1\x38\x63\xf5\xf6", "1, -100, true, nil"),
    CASE("\3\xf9\x3c\0\xf9\x3e\0\xfb\x7f\xf0\0\0\0\0\0\0", "1.0, 1.5, inf"),
    CASE("\1\x45"
         "a\"\\\n\1",
         "\"a\\\"\\\\\\n\\001\""),
    CASE("\2\x42\xc3\xbc\x42\xc3x", "\"\xc3\xbc\", \"\\195x\""),
    CASE("\1\xa2\x42_1\x01\x42"
         "1a\x82\x02\x80",
         "{_1 = 1, [\"1a\"] = {2, {}}}"),
    CASE("\2\xd8\x1c\x81\1\xd8\x1d\0", "{1}, {...}"),
    CASE("\xff\1", ""),
};

static void values_are_shown(void) {
  char text[GLIMPSE_ROOM];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const Case *c = &cases[i];
    glimpse_frame((const uint8_t *)c->frame, c->size, text, sizeof text);
    check(strcmp(text, c->text) == 0, c->text);
  }
}

/* Each in a room of its own, so that a sanitizer sees a step beyond. */
static void parts_do_no_harm(void) {
  char text[GLIMPSE_ROOM];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t size = 0; size < cases[i].size; size++) {
      uint8_t part[64];
      uint8_t *begin = part + sizeof part - size;
      memcpy(begin, cases[i].frame, size);
      glimpse_frame(begin, size, text, sizeof text);
      check(strlen(text) < sizeof text, "a part of a frame");
    }
}

static void what_is_long_is_cut(void) {
  static const char shown[] = "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                              "xxxxxxxxxxxxxx\"..., \"xxxxxxxx";
  uint8_t frame[] = {2, 0x58, 100, [103] = 0x58, 100, [204] = 0};
  char text[GLIMPSE_ROOM], small[16];
  memset(frame + 3, 'x', 100);
  memset(frame + 105, 'x', 100);
  glimpse_frame(frame, sizeof frame, text, sizeof text);
  check(strncmp(text, shown, sizeof shown - 1) == 0, "a long string");
  check(strlen(text) == sizeof text - 1, "and another");
  glimpse_frame(frame, sizeof frame, small, sizeof small);
  check(strcmp(small, "\"xxxxxxxxxxx...") == 0, "to the room there is");
  for (size_t i = 0; i < 100; i++)
    frame[3 + i] = i % 2 == 0 ? 0xc3 : 0xbc;
  glimpse_frame(frame, sizeof frame, small, sizeof small);
  check(strcmp(small, "\"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc...") == 0,
        "not inside a character");
}

int main(void) {
  values_are_shown();
  parts_do_no_harm();
  what_is_long_is_cut();
  return report();
}
