/*
** arena.c - blocks of the argument region, handed out by the parent alone.
** Runs in: parent.  Owns: which bytes of ARGS are in use.  Never: the bytes.
**
** Small blocks come in power-of-two classes and go back to a stack of their
** class, so the block used last, still warm, is the next one given.  Large
** blocks are page-sized extents, first fit from the bottom: low addresses are
** used again and again, high ones only while they are needed.
*/
#include "arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

enum { LEAST = 64, SPAN = 1 << 18, STEP = 1 << 14, PAGE = 4096 };
static const size_t MOST_SMALL = (size_t)LEAST << (ARENA_CLASSES - 1);
static const size_t WARM = (size_t)128 << 20; /* larger blocks go back cold */

void arena_init(Arena *a, uint8_t *base, size_t bytes) {
  *a = (Arena){.base = base, .bytes = bytes};
}

void arena_clear(Arena *a) {
  for (int c = 0; c < ARENA_CLASSES; c++)
    free(a->spare[c].at);
  free(a->hole);
  *a = (Arena){0};
}

/* Room for one more element, doubled when full. */
static int reserve(void **list, size_t *room, size_t n, size_t size) {
  if (n < *room)
    return 0;
  size_t more = *room == 0 ? 16 : *room * 2;
  void *grown = realloc(*list, more * size);
  if (grown == NULL)
    return -1;
  *list = grown;
  *room = more;
  return 0;
}

/* ---- extents ---- */

static size_t to_pages(size_t bytes) {
  return (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static void remove_hole(Arena *a, size_t i) {
  a->n_holes--;
  memmove(a->hole + i, a->hole + i + 1, (a->n_holes - i) * sizeof *a->hole);
}

static int take_extent(Arena *a, size_t bytes, size_t *at) {
  for (size_t i = 0; i < a->n_holes; i++) {
    Extent *h = &a->hole[i];
    if (h->bytes < bytes)
      continue;
    *at = h->at;
    h->at += bytes;
    h->bytes -= bytes;
    if (h->bytes == 0)
      remove_hole(a, i);
    return 0;
  }
  if (bytes > a->bytes - a->top) {
    errno = ENOSPC;
    return -1;
  }
  *at = a->top;
  a->top += bytes;
  return 0;
}

/* Joins its neighbours; what ends at the top lowers the top. Without memory
** for one more hole the extent is lost until the pool ends, which is safe. */
static void give_extent(Arena *a, size_t at, size_t bytes) {
  size_t i = 0;
  while (i < a->n_holes && a->hole[i].at < at)
    i++;
  if (i < a->n_holes && at + bytes == a->hole[i].at) {
    bytes += a->hole[i].bytes;
    remove_hole(a, i);
  }
  if (i > 0 && a->hole[i - 1].at + a->hole[i - 1].bytes == at) {
    i--;
    at = a->hole[i].at;
    bytes += a->hole[i].bytes;
    remove_hole(a, i);
  }
  if (at + bytes == a->top) {
    a->top = at;
    return;
  }
  if (reserve((void **)&a->hole, &a->hole_room, a->n_holes, sizeof *a->hole))
    return;
  memmove(a->hole + i + 1, a->hole + i, (a->n_holes - i) * sizeof *a->hole);
  a->hole[i] = (Extent){at, bytes};
  a->n_holes++;
}

/* What lies above it has to be backed anew, which costs little where there
** is memory. */
static void cool(Arena *a, size_t at, size_t bytes) {
  sys_discard(a->base + at, bytes);
  if (a->backed > at)
    a->backed = at;
}

static int back_up_to(Arena *a, size_t end) {
  if (end <= a->backed)
    return 0;
  if (sys_back(a->base + a->backed, end - a->backed) == 0) {
    a->backed = end;
    return 0;
  }
  errno = ENOMEM;
  return -1;
}

static int alloc_large(Arena *a, size_t bytes, size_t *at, size_t *room) {
  *room = to_pages(bytes);
  if (*room < bytes) {
    errno = ENOSPC;
    return -1;
  }
  if (take_extent(a, *room, at) != 0)
    return -1;
  if (back_up_to(a, *at + *room) == 0)
    return 0;
  give_extent(a, *at, *room);
  return -1;
}

/* ---- small blocks ---- */

static int class_of(size_t bytes) {
  int c = 0;
  while ((size_t)LEAST << c < bytes)
    c++;
  return c;
}

/* Memory comes step by step: most pools stay small. */
static int back_block(Arena *a, size_t at, size_t bytes) {
  return back_up_to(a, (at + bytes + STEP - 1) & ~(size_t)(STEP - 1));
}

static int new_span(Arena *a, size_t bytes) {
  size_t span, room = a->top == 0 ? SPAN / 4 : SPAN;
  if (take_extent(a, room, &span) != 0)
    return -1;
  if (back_block(a, span, bytes) != 0) {
    give_extent(a, span, room);
    return -1;
  }
  a->span_at = span; /* the old one's rest stays unused: under 64 KiB */
  a->span_left = room;
  return 0;
}

static int cut_span(Arena *a, size_t bytes, size_t *at) {
  if (a->span_left < bytes ? new_span(a, bytes) != 0
                           : back_block(a, a->span_at, bytes) != 0)
    return -1;
  *at = a->span_at;
  a->span_at += bytes;
  a->span_left -= bytes;
  return 0;
}

int arena_alloc(Arena *a, size_t bytes, size_t *at, size_t *room) {
  if (bytes > MOST_SMALL)
    return alloc_large(a, bytes, at, room);
  int c = class_of(bytes);
  *room = (size_t)LEAST << c;
  if (a->spare[c].n > 0) {
    *at = a->spare[c].at[--a->spare[c].n];
    return 0;
  }
  return cut_span(a, *room, at);
}

void arena_free(Arena *a, size_t at, size_t room) {
  if (room > MOST_SMALL) {
    if (room > WARM)
      cool(a, at, room);
    give_extent(a, at, room);
    return;
  }
  Spares *s = &a->spare[class_of(room)];
  if (reserve((void **)&s->at, &s->room, s->n, sizeof *s->at) == 0)
    s->at[s->n++] = at;
}

size_t arena_trim(Arena *a, size_t at, size_t room, size_t used) {
  size_t keep = to_pages(used);
  if (room <= MOST_SMALL || keep <= MOST_SMALL || keep >= room)
    return room;
  give_extent(a, at + keep, room - keep);
  return keep;
}
