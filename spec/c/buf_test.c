/*
** buf_test.c - a byte buffer grows, ends, counts and says so.
** Runs in: the tests.  Owns: nothing.  Never: Lua, the kernel.
*/
#include "buf.h"
#include "check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void grows_and_keeps_bytes(void) {
  Buf b;
  buf_init(&b);
  for (int i = 0; i < 10000; i++) {
    uint8_t byte = (uint8_t)(i * 7);
    if (buf_append(&b, &byte, 1) != 0)
      break;
  }
  bool same = b.len == 10000;
  for (size_t i = 0; same && i < b.len; i++)
    same = b.base[i] == (uint8_t)(i * 7);
  check(same, "10000 single bytes come out as they went in");
  check(b.cap >= b.len && b.cap < 3 * b.len, "room stays below three times");
  buf_clear(&b);
  check(b.base == NULL && b.len == 0 && b.cap == 0, "clear leaves it empty");
  check(buf_append(&b, "x", 1) == 0 && b.len == 1, "it works after clear");
  buf_clear(&b);
}

static void reserve_adds_no_bytes(void) {
  Buf b;
  buf_init(&b);
  check(buf_reserve(&b, 1000) == 0, "1000 bytes of room");
  check(b.len == 0 && b.cap >= 1000, "room is not length");
  const uint8_t *base = b.base;
  memset(b.base, 0xAA, 1000);
  b.len = 1000;
  check(buf_reserve(&b, 0) == 0 && b.base == base, "no need, no move");
  buf_clear(&b);
}

static void refuses_impossible_sizes(void) {
  Buf b;
  buf_init(&b);
  buf_append(&b, "abc", 3);
  errno = 0;
  check(buf_reserve(&b, SIZE_MAX) == -1 && errno == ENOMEM,
        "SIZE_MAX bytes are ENOMEM");
  errno = 0;
  check(buf_reserve(&b, SIZE_MAX - 2) == -1 && errno == ENOMEM,
        "a sum that wraps is ENOMEM");
  check(b.len == 3 && memcmp(b.base, "abc", 3) == 0,
        "a refusal changes nothing");
  buf_clear(&b);
}

static void fixed_ends_where_its_room_ends(void) {
  uint8_t room[9];
  memset(room, 0x55, sizeof room);
  Buf b;
  buf_fixed(&b, room, 8);
  check(buf_append(&b, "12345678", 8) == 0, "eight bytes fit in eight");
  errno = 0;
  check(buf_append(&b, "9", 1) == -1 && errno == ENOSPC, "a ninth is ENOSPC");
  check(b.len == 8 && room[8] == 0x55, "nothing is written behind the end");
  check(buf_append(&b, "", 0) == 0, "no bytes always fit");
  buf_clear(&b);
  check(memcmp(room, "12345678", 8) == 0, "clear leaves the room alone");
}

static void count_keeps_only_the_length(void) {
  Buf b;
  buf_count(&b);
  check(buf_append(&b, "hello", 5) == 0 && buf_append(&b, "!", 1) == 0,
        "counting never fails");
  check(b.len == 6 && b.base == NULL, "six bytes, none kept");
  buf_clear(&b);
}

int main(void) {
  grows_and_keeps_bytes();
  reserve_adds_no_bytes();
  refuses_impossible_sizes();
  fixed_ends_where_its_room_ends();
  count_keeps_only_the_length();
  return report();
}
