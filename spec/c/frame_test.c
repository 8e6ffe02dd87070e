/*
** frame_test.c - a frame's head says what it was given, and where it ends.
** Runs in: the tests.  Owns: nothing.  Never: Lua, the kernel.
*/
#include "frame.h"
#include "check.h"

#include <stdbool.h>
#include <stdio.h>

static void heads_come_back(void) {
  static const int counts[] = {0,   1,     23,      252,           253,
                               254, 65536, 1 << 24, INT32_MAX / 2, -1};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    Buf b;
    size_t used = 0;
    buf_init(&b);
    bool put = frame_put(&b, counts[i]) == 0;
    check(put && frame_get(b.base, b.len, &used) == counts[i] && used == b.len,
          "a count is read as it was written");
    for (size_t n = 0; n < b.len; n++)
      check(frame_get(b.base, n, &used) == FRAME_BAD, "a part of it is bad");
    buf_clear(&b);
  }
}

static void impossible_counts_are_bad(void) {
  static const uint8_t most[] = {254, 0xff, 0xff, 0xff, 0xff};
  static const uint8_t over[] = {254, 0, 0, 0, 0x40};
  size_t used;
  check(frame_get(most, sizeof most, &used) == FRAME_BAD, "2^32 - 1 is bad");
  check(frame_get(over, sizeof over, &used) == FRAME_BAD, "2^30 is bad");
}

static void a_full_buffer_takes_no_head(void) {
  uint8_t room[3];
  Buf b;
  buf_fixed(&b, room, sizeof room);
  check(frame_put(&b, 70000) == -1 && b.len == 0, "no half of a head");
  check(frame_put(&b, 7) == 0 && b.len == 1, "a short one fits");
}

/* Two values; none; a failure of five; one string of three bytes. */
static void frames_are_skipped(void) {
  static const uint8_t bytes[] = {2,    1,    2, 0,    255, 1,   0xf6, 0xf6,
                                  0xf6, 0xf6, 1, 0x43, 'a', 'b', 'c'};
  static const size_t ends[] = {0, 3, 4, 10, sizeof bytes};
  for (uint32_t n = 0; n < sizeof ends / sizeof *ends; n++)
    check(frame_skip(bytes, sizeof bytes, n) == ends[n],
          "behind the first n frames");
  check(frame_skip(bytes, sizeof bytes, 5) == sizeof bytes,
        "there is no fifth: the end");
  for (size_t size = 0; size < sizeof bytes; size++)
    check(frame_skip(bytes, size, 4) == size, "cut off: the end");
}

int main(void) {
  heads_come_back();
  impossible_counts_are_bad();
  a_full_buffer_takes_no_head();
  frames_are_skipped();
  return report();
}
