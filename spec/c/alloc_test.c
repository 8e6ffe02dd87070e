/*
** alloc_test.c - a Lua state's memory: blocks are apart and keep their bytes.
** Runs in: the tests.  Owns: an Alloc.  Never: Lua.
*/
#define _GNU_SOURCE
#include "alloc.h"
#include "check.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIVE = 500, STEPS = 200000, MIB = 1 << 20 };

typedef struct Block {
  uint8_t *bytes;
  size_t size;
  uint8_t mark;
} Block;

/* Mostly small, around the classes' ends, and some large. */
static size_t random_size(void) {
  switch (below(10)) {
  case 0:
    return below(100000);
  case 1:
    return 505 + below(16);
  default:
    return below(130);
  }
}

static bool is_marked(const Block *b, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (b->bytes[i] != b->mark)
      return false;
  return true;
}

/* To another size, 0 included; what both sizes have must stay. */
static bool resize(Alloc *a, Block *b, size_t size) {
  size_t both = b->size < size ? b->size : size;
  enum { LUA_TYPE = 4 }; /* what Lua passes for a new block */
  size_t old_size = b->bytes == NULL ? LUA_TYPE : b->size;
  b->bytes = alloc_for_lua(a, b->bytes, old_size, size);
  b->size = size;
  if (size == 0)
    return b->bytes == NULL;
  bool ok =
      b->bytes != NULL && (uintptr_t)b->bytes % 16 == 0 && is_marked(b, both);
  b->mark = (uint8_t)below(256);
  memset(b->bytes, b->mark, size);
  return ok;
}

static void blocks_keep_their_bytes(void) {
  static Block live[LIVE];
  Alloc *a = alloc_new();
  bool ok = a != NULL, whole = true;
  for (int i = 0; i < STEPS && ok && whole; i++) {
    Block *b = &live[below(LIVE)];
    whole = b->bytes == NULL || is_marked(b, b->size);
    ok = resize(a, b, below(4) == 0 ? 0 : random_size());
  }
  check(ok, "every size can be had, aligned, and keeps what was there");
  check(whole, "no block is written by way of another one");
  for (int i = 0; i < LIVE; i++)
    resize(a, &live[i], 0);
}

static void a_collection_gives_back_more_than_one(void) {
  enum { BLOCKS = 3 };
  Alloc *a = alloc_new();
  void *block[BLOCKS];
  bool again = true;
  for (int i = 0; i < BLOCKS; i++)
    block[i] = alloc_for_lua(a, NULL, 0, 40 * MIB);
  for (int i = 0; i < BLOCKS; i++)
    alloc_for_lua(a, block[i], 40 * MIB, 0);
  for (int i = BLOCKS - 1; i >= 0; i--)
    again &= alloc_for_lua(a, NULL, 0, 40 * MIB) == block[i];
  check(again, "large blocks are used again, the last one first");
  for (int i = 0; i < BLOCKS; i++)
    alloc_for_lua(a, block[i], 40 * MIB, 0);
}

static void a_block_given_back_is_the_next_one(void) {
  Alloc *a = alloc_new();
  void *first = alloc_for_lua(a, NULL, 0, 40 * MIB);
  alloc_for_lua(a, first, 40 * MIB, 0);
  void *second = alloc_for_lua(a, NULL, 0, 39 * MIB);
  check(second == first, "a large block is used again");
  memset(second, 7, 39 * MIB);
  void *third = alloc_for_lua(a, NULL, 0, 40 * MIB);
  check(third != NULL && third != second, "but not while it is in use");
  alloc_for_lua(a, second, 39 * MIB, 0);
  alloc_for_lua(a, third, 40 * MIB, 0);
  void *small = alloc_for_lua(a, NULL, 0, MIB);
  check(small != third && small != second, "nor for a much smaller one");
  alloc_for_lua(a, small, MIB, 0);
}

/* The sanitizer's own memory would count. */
#if !defined(__SANITIZE_ADDRESS__)
static size_t address_space(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == NULL || fscanf(f, "%lu", &pages) != 1)
    pages = 0;
  if (f != NULL)
    fclose(f);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void a_limit_does_not_count_what_is_kept(void) {
  Alloc *a = alloc_new();
  struct rlimit before, limit;
  alloc_for_lua(a, alloc_for_lua(a, NULL, 0, 100 * MIB), 100 * MIB, 0);
  getrlimit(RLIMIT_AS, &before);
  limit = before;
  limit.rlim_cur = address_space() + 20 * MIB;
  setrlimit(RLIMIT_AS, &limit);
  void *block = alloc_for_lua(a, NULL, 0, 110 * MIB);
  check(block != NULL, "a kept block makes room for another one");
  alloc_for_lua(a, block, 110 * MIB, 0);
  void *other = alloc_for_lua(a, NULL, 0, 2 * MIB);
  void *grown = alloc_for_lua(a, other, 2 * MIB, 115 * MIB);
  check(grown != NULL, "and for one that grows");
  alloc_for_lua(a, grown, 115 * MIB, 0);
  setrlimit(RLIMIT_AS, &before);
}

static size_t resident_bytes(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (size_t)usage.ru_maxrss * 1024;
}

/* What is lent to the system, and still here. */
static size_t lent_bytes(void) {
  char line[128];
  size_t kib = 0;
  FILE *f = fopen("/proc/self/smaps_rollup", "re");
  while (f != NULL && kib == 0 && fgets(line, sizeof line, f) != NULL)
    sscanf(line, "LazyFree: %zu", &kib);
  if (f != NULL)
    fclose(f);
  return kib * 1024;
}

static void the_last_ones_stay_warm(void) {
  Alloc *a = alloc_new();
  void *blocks[3];
  size_t before = lent_bytes(), size = 60 * MIB;
  for (int i = 0; i < 3; i++)
    blocks[i] = memset(alloc_for_lua(a, NULL, 0, size), 7, size);
  alloc_for_lua(a, blocks[0], size, 0);
  alloc_for_lua(a, blocks[1], size, 0);
  check(lent_bytes() < before + 2 * MIB, "two large blocks are not lent");
  alloc_for_lua(a, blocks[2], size, 0);
  check(lent_bytes() > before + 56 * MIB && lent_bytes() < before + 64 * MIB,
        "of three the oldest one is");
}

static void fill_and_empty(Alloc *a, size_t size) {
  enum { MOST = 16 * MIB / 80 };
  static void *blocks[MOST];
  size_t n = 16 * MIB / size;
  for (size_t i = 0; i < n; i++)
    blocks[i] = memset(alloc_for_lua(a, NULL, 0, size), 7, size);
  while (n > 0)
    alloc_for_lua(a, blocks[--n], size, 0);
}

static void memory_serves_other_sizes_later(void) {
  Alloc *a = alloc_new();
  size_t before = resident_bytes();
  for (size_t size = 80; size <= 480; size += 80)
    fill_and_empty(a, size);
  check(resident_bytes() - before < 48 * MIB,
        "six times 16 MiB, one after the other, take less than 48 MiB");
}

static void what_is_kept_is_given_up_when_memory_is_out(void) {
  Alloc *a = alloc_new();
  struct rlimit before, tight;
  getrlimit(RLIMIT_AS, &before);
  alloc_for_lua(a, alloc_for_lua(a, NULL, 0, 100 * MIB), 100 * MIB, 0);
  fill_and_empty(a, 80);
  tight = before;
  tight.rlim_cur = MIB; /* below what there is: nothing more is to be had */
  setrlimit(RLIMIT_AS, &tight);
  void *block = alloc_for_lua(a, NULL, 0, 6 * MIB);
  setrlimit(RLIMIT_AS, &before);
  check(block != NULL, "six MiB fit where sixteen were spare");
  alloc_for_lua(a, block, 6 * MIB, 0);
}
#endif

int main(void) {
  blocks_keep_their_bytes();
  a_block_given_back_is_the_next_one();
  a_collection_gives_back_more_than_one();
#if !defined(__SANITIZE_ADDRESS__)
  memory_serves_other_sizes_later();
  the_last_ones_stay_warm();
  a_limit_does_not_count_what_is_kept();
  what_is_kept_is_given_up_when_memory_is_out();
#endif
  return report();
}
