/*
** window_test.c - a worker's results against a naive reference.
** Runs in: the tests.  Owns: a region of its own.  Never: Lua.
**
** The reference keeps a copy of the bytes of every result that waits.  The
** parent takes them in order, late, some at once; now and then the worker
** dies and its successor adopts what waits.
*/
#define _GNU_SOURCE
#include "window.h"
#include "check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BYTES = 1 << 20, SOFT = 1 << 18, STEPS = 60000 };

typedef struct Result {
  uint8_t *copy;
  size_t at, bytes;
} Result;

typedef struct Model {
  Window window;
  uint8_t *base;
  Result result[WINDOW_BLOCKS];
  uint64_t collected, published;
  bool whole, inside, apart, fits_alone;
  size_t widened, moved, wrapped, adopted;
} Model;

static Result *result_of(Model *m, uint64_t number) {
  return &m->result[number % WINDOW_BLOCKS];
}

static void collect(Model *m) {
  Result *r = result_of(m, m->collected++);
  m->whole &= r->bytes == 0 || memcmp(m->base + r->at, r->copy, r->bytes) == 0;
  free(r->copy);
  *r = (Result){0};
}

static bool is_apart(Model *m, size_t at, size_t bytes) {
  for (uint64_t i = m->collected; i < m->published; i++) {
    const Result *r = result_of(m, i);
    if (r->bytes > 0 && at < r->at + r->bytes && r->at < at + bytes)
      return false;
  }
  return true;
}

static size_t random_size(void) {
  switch (below(24)) {
  case 0:
    return below(SOFT + SOFT / 2);
  case 1:
    return 0;
  case 2:
    return below(SOFT / 3);
  case 3:
    return below(BYTES);
  default:
    return below(SOFT / 40);
  }
}

/* In pieces, as an encoder does; what fits when nothing waits must fit. */
static void fill(Model *m, Buf *b, size_t bytes, bool wide) {
  uint8_t piece[997];
  memset(piece, (int)below(256), sizeof piece);
  while (b->len < bytes) {
    size_t n = bytes - b->len < sizeof piece ? bytes - b->len : sizeof piece;
    if (buf_append(b, piece, n) == 0)
      continue;
    m->inside &= errno == ENOSPC;
    if (window_move(&m->window, b)) {
      m->moved++;
      continue;
    }
    if (wide || m->window.limit == m->window.bytes)
      return;
    while (m->collected < m->published)
      collect(m);
    window_free(&m->window, m->collected);
    window_widen(&m->window);
    m->widened++;
    wide = true;
  }
}

static void publish(Model *m) {
  Buf b;
  window_free(&m->window, m->collected);
  bool empty = window_is_empty(&m->window);
  window_open(&m->window, &b);
  bool wide = m->window.limit == m->window.bytes;
  size_t waiting = m->published - m->collected, bytes = random_size();
  if (window_offset(&m->window, &b) == 0 && waiting > 0)
    m->wrapped++;
  fill(m, &b, bytes, wide);
  size_t at = window_offset(&m->window, &b);
  m->inside &= at + b.len <= BYTES;
  m->apart &= is_apart(m, at, b.len);
  m->fits_alone &= !empty || b.len == bytes;
  Result r = {.at = at, .bytes = b.len, .copy = malloc(b.len + 1)};
  if (r.copy == NULL)
    abort();
  if (b.len > 0)
    memcpy(r.copy, b.base, b.len);
  window_commit(&m->window, &b);
  *result_of(m, m->published++) = r;
}

/* A worker died: half a result may lie where the next one was begun. */
static void respawn(Model *m) {
  Buf b;
  uint64_t from = m->collected;
  window_free(&m->window, from);
  window_open(&m->window, &b);
  for (size_t n = below(3); n > 0; n--)
    buf_append(&b, "half a result", 13);
  window_init(&m->window, m->base, BYTES, SOFT);
  m->window.oldest = m->window.next = from;
  for (uint64_t i = from; i < m->published; i++) {
    if (below(4) == 0 && m->collected < m->published && below(9) == 0)
      collect(m); /* the parent goes on meanwhile */
    Result r = i < m->collected ? (Result){0} : *result_of(m, i);
    window_adopt(&m->window, i, r.at, r.bytes);
  }
  window_free(&m->window, from);
  m->adopted++;
}

static void step(Model *m, size_t lag) {
  size_t waiting = (size_t)(m->published - m->collected);
  if (waiting < WINDOW_BLOCKS && waiting < lag)
    publish(m);
  else
    for (size_t n = 1 + below(waiting); n > 0; n--)
      collect(m);
  if (m->collected < m->published && below(4) == 0)
    collect(m);
  if (below(200) == 0)
    respawn(m);
}

static void results_wait_unharmed(void) {
  static Model m;
  m = (Model){.whole = true, .inside = true, .apart = true, .fits_alone = true};
  m.base = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m.base == MAP_FAILED)
    abort();
  window_init(&m.window, m.base, BYTES, SOFT);
  for (size_t i = 0; i < STEPS; i++)
    step(&m, 1 + (i / 500 % 4 == 0 ? WINDOW_BLOCKS : below(40)));
  while (m.collected < m.published)
    collect(&m);
  check(m.whole, "no result is overwritten before it is collected");
  check(m.inside, "results lie inside the window, refusals are ENOSPC");
  check(m.apart, "a new result lies apart from all that wait");
  check(m.fits_alone, "what fits into the window fits when nothing waits");
  check(m.widened > 100 && m.wrapped > 100 && m.adopted > 100,
        "the window was widened, wrapped and adopted");
  check(m.moved > 10, "results that did not fit began elsewhere");
  munmap(m.base, BYTES);
}

static void commit_bytes(Window *w, size_t bytes) {
  Buf b;
  window_open(w, &b);
  if (buf_reserve(&b, bytes) != 0)
    abort();
  b.len = bytes;
  window_commit(w, &b);
}

static void empty_results_take_no_room(void) {
  Window w;
  uint8_t *base = aligned_alloc(1 << 16, BYTES);
  if (base == NULL)
    abort();
  window_init(&w, base, BYTES, SOFT);
  commit_bytes(&w, 0);
  commit_bytes(&w, 0);
  window_free(&w, 0);
  check(window_is_empty(&w), "empty results do not wait");
  commit_bytes(&w, 100);
  commit_bytes(&w, 0);
  window_free(&w, 2);
  check(!window_is_empty(&w), "a result behind empty ones waits");
  window_free(&w, 3);
  check(window_is_empty(&w), "an empty one behind it does not");
  window_free(&w, 99);
  check(w.oldest == 4 && w.next == 4, "no more is freed than there is");
  free(base);
}

static void warm_memory_is_used_again(void) {
  enum { SIZE = 1 << 15 };
  Window w;
  Buf b;
  uint8_t *base = aligned_alloc(1 << 16, BYTES);
  if (base == NULL)
    abort();
  window_init(&w, base, BYTES, SOFT);
  for (size_t i = 0; i < 3; i++)
    commit_bytes(&w, SIZE);
  check(w.block[2].at == 2 * SIZE, "results lie side by side");
  window_free(&w, 2);
  window_open(&w, &b);
  check(b.base == base, "below there is room for two: taken first");
  check(buf_reserve(&b, 3 * SIZE) != 0, "but not for three");
  check(window_move(&w, &b) && b.base == base + 3 * SIZE, "above there is");
  check(buf_reserve(&b, 3 * SIZE) == 0, "they fit");
  check(!window_move(&w, &b), "there is no third place");
  free(base);
}

int main(void) {
  results_wait_unharmed();
  empty_results_take_no_room();
  warm_memory_is_used_again();
  return report();
}
