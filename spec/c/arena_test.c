/*
** arena_test.c - blocks of the argument region against a naive reference.
** Runs in: the tests.  Owns: a region of its own.  Never: Lua.
*/
#define _GNU_SOURCE
#include "arena.h"
#include "check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
  REGION = 8 << 20,
  UNIT = 64,
  SPAN = 1 << 18,
  FIRST_SPAN = SPAN / 4,
  SMALL = 1 << 16,
  LIVE = 400,
  STEPS = 60000
};

typedef struct Block {
  size_t at, room, used;
  uint8_t mark;
} Block;

static uint8_t owned[REGION / UNIT]; /* the reference: 1 where in use */

static uint8_t *map_at(uint8_t *where, size_t bytes) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | (where != NULL ? MAP_FIXED : 0);
  void *base = mmap(where, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (base == MAP_FAILED)
    abort();
  return base;
}

static uint8_t *new_region(void) {
  uint8_t *base = map_at(NULL, REGION);
  memset(owned, 0, sizeof owned);
  return base;
}

/* Marks the units; false when one was marked so already. */
static bool own(size_t at, size_t room, uint8_t to) {
  bool ok = at % UNIT == 0 && room % UNIT == 0 && at + room <= REGION;
  for (size_t i = at / UNIT; ok && i < (at + room) / UNIT; i++) {
    ok = owned[i] != to;
    owned[i] = to;
  }
  return ok;
}

static size_t random_size(void) {
  switch (below(8)) {
  case 0:
    return 1 + below(500000);
  case 1:
    return 1 + below(70000);
  default:
    return 1 + below(3000);
  }
}

static bool is_whole(const uint8_t *base, const Block *b) {
  for (size_t i = 0; i < b->used; i++)
    if (base[b->at + i] != b->mark)
      return false;
  return true;
}

typedef struct Model {
  Arena arena;
  uint8_t *base;
  Block live[LIVE];
  size_t n;
  bool disjoint, whole, roomy, refused_rightly;
} Model;

static void take(Model *m) {
  Block b = {.used = random_size(), .mark = (uint8_t)below(256)};
  if (arena_alloc(&m->arena, b.used, &b.at, &b.room) != 0) {
    m->refused_rightly &= errno == ENOSPC;
    return;
  }
  m->roomy &= b.room >= b.used;
  m->disjoint &= own(b.at, b.room, 1);
  if (below(3) == 0) {
    b.used = 1 + below(b.used);
    size_t kept = arena_trim(&m->arena, b.at, b.room, b.used);
    m->roomy &= kept >= b.used && kept <= b.room;
    m->disjoint &= own(b.at + kept, b.room - kept, 0);
    b.room = kept;
  }
  memset(m->base + b.at, b.mark, b.used);
  m->live[m->n++] = b;
}

static void give(Model *m, size_t i) {
  Block b = m->live[i];
  m->whole &= is_whole(m->base, &b);
  m->disjoint &= own(b.at, b.room, 0);
  arena_free(&m->arena, b.at, b.room);
  m->live[i] = m->live[--m->n];
}

static void random_blocks_are_apart(void) {
  static Model m;
  m = (Model){.base = new_region(),
              .disjoint = true,
              .whole = true,
              .roomy = true,
              .refused_rightly = true};
  arena_init(&m.arena, m.base, REGION);
  for (int i = 0; i < STEPS; i++) {
    size_t wanted = i / 1000 % 2 == 0 ? LIVE : LIVE / 8;
    if (m.n < wanted && m.n < LIVE)
      take(&m);
    if (m.n > 0 && (m.n >= wanted || below(3) == 0))
      give(&m, below(m.n));
  }
  while (m.n > 0)
    give(&m, m.n - 1);
  check(m.disjoint, "no byte is handed out twice or freed twice");
  check(m.whole, "bytes stay as they were written");
  check(m.roomy, "a block has at least the room asked for");
  check(m.refused_rightly, "a full region is ENOSPC");
  size_t kept = 0; /* by the small classes, for ever */
  for (size_t i = 0; i < m.arena.n_holes; i++)
    kept += m.arena.hole[i].bytes;
  check((m.arena.top - kept) % FIRST_SPAN == 0,
        "all large blocks freed: what is left in use are whole spans");
  size_t at, room, most = REGION - m.arena.top;
  check(most == 0 || arena_alloc(&m.arena, most, &at, &room) == 0,
        "what was never handed out can be had in one piece");
  arena_clear(&m.arena);
  munmap(m.base, REGION);
}

static void freed_neighbours_join(void) {
  Arena a;
  uint8_t *base = new_region();
  size_t at[4], room, again;
  arena_init(&a, base, REGION);
  for (int i = 0; i < 4; i++)
    check(arena_alloc(&a, 1 << 20, &at[i], &room) == 0, "a block of 1 MiB");
  arena_free(&a, at[0], 1 << 20);
  arena_free(&a, at[2], 1 << 20);
  arena_free(&a, at[1], 1 << 20);
  check(arena_alloc(&a, 3 << 20, &again, &room) == 0 && again == at[0],
        "three neighbours are one block again");
  arena_free(&a, again, room);
  arena_free(&a, at[3], 1 << 20);
  check(a.top == 0 && a.n_holes == 0, "all freed: as at the beginning");
  arena_clear(&a);
  munmap(base, REGION);
}

static void refuses_impossible_sizes(void) {
  Arena a;
  uint8_t *base = new_region();
  size_t at, room;
  arena_init(&a, base, REGION);
  errno = 0;
  check(arena_alloc(&a, SIZE_MAX, &at, &room) == -1 && errno == ENOSPC,
        "SIZE_MAX bytes are ENOSPC");
  errno = 0;
  check(arena_alloc(&a, REGION + 1, &at, &room) == -1 && errno == ENOSPC,
        "more than the region is ENOSPC");
  check(arena_alloc(&a, REGION, &at, &room) == 0 && at == 0,
        "the whole region can be had");
  arena_free(&a, at, room);
  check(arena_alloc(&a, 0, &at, &room) == 0 && room > 0, "no bytes have room");
  arena_clear(&a);
  munmap(base, REGION);
}

/* Behind the first span no memory can be had: its rest is still ours, the
** next span is not. */
static void a_refused_span_is_not_used(void) {
  Arena a;
  uint8_t *base = new_region();
  size_t at, room, next, large;
  arena_init(&a, base, REGION);
  munmap(base + FIRST_SPAN, REGION - FIRST_SPAN);
  for (int i = 0; i < 3; i++)
    arena_alloc(&a, SMALL / 4, &at, &room);
  check(arena_alloc(&a, SMALL / 8, &at, &room) == 0, "8 KiB are left");
  errno = 0;
  int refused = arena_alloc(&a, SMALL, &at, &room);
  int why = errno;
  map_at(base + FIRST_SPAN, REGION - FIRST_SPAN);
  if (refused == 0) { /* a kernel that does not back memory ahead */
    arena_clear(&a);
    munmap(base, REGION);
    return;
  }
  check(why == ENOMEM, "no memory is ENOMEM");
  check(arena_alloc(&a, UNIT, &next, &room) == 0 && next + room <= FIRST_SPAN,
        "a small block comes from the span that is there");
  check(arena_alloc(&a, SPAN, &large, &room) == 0 &&
            (next + UNIT <= large || large + room <= next),
        "and no large block lies over it");
  arena_clear(&a);
  munmap(base, REGION);
}

int main(void) {
  random_blocks_are_apart();
  freed_neighbours_join();
  refuses_impossible_sizes();
  a_refused_span_is_not_used();
  return report();
}
