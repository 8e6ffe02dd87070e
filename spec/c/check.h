/*
** check.h - what the tests in C share: checks are counted, and random numbers
** are the same in each run.
*/
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static int passed, failed;                   /* what report says */
static uint64_t chance = 88172645463325252U; /* the random numbers' state */

static inline void check(bool ok, const char *what) {
  ok ? passed++ : failed++;
  if (!ok)
    printf("FAILED: %s\n", what);
}

/* For main to return. */
static inline int report(void) {
  printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}

static inline uint64_t random_word(void) {
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return chance;
}

static inline size_t below(size_t n) {
  return (size_t)(random_word() % n);
}

#endif
