/*
** arena.h - blocks of the argument region, handed out by the parent alone.
*/
#ifndef ARENA_H
#define ARENA_H

#include <stddef.h>
#include <stdint.h>

enum { ARENA_CLASSES = 11 }; /* 64 bytes << 0 .. 10; above that: extents */

typedef struct Extent {
  size_t at, bytes;
} Extent;

typedef struct Spares {
  size_t *at;
  size_t n, room;
} Spares;

/* All book-keeping is private to this process: nothing that a worker writes
** can lead it astray, and no lock exists. */
typedef struct Arena {
  uint8_t *base;
  size_t bytes, top;           /* [top, bytes) is not handed out */
  size_t backed;               /* [0, backed) has memory behind it */
  Spares spare[ARENA_CLASSES]; /* freed small blocks, by size class */
  size_t span_at, span_left;   /* small blocks are cut from here */
  Extent *hole;                /* freed large blocks, sorted, not adjacent */
  size_t n_holes, hole_room;
} Arena;

void arena_init(Arena *a, uint8_t *base, size_t bytes);
void arena_clear(Arena *a);

/* A block of at least `bytes`; *room is what it has. 0, or -1: ENOSPC when
** the region has no such room now, ENOMEM when the system has none. */
int arena_alloc(Arena *a, size_t bytes, size_t *at, size_t *room);
void arena_free(Arena *a, size_t at, size_t room);
/* Gives back what lies above `used`; returns the new room. */
size_t arena_trim(Arena *a, size_t at, size_t room, size_t used);

#endif
