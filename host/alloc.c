/*
** alloc.c - memory of a Lua state: small blocks by size class.
** Runs in: every process of the program.  Owns: the chunks they are cut from.
**
** Lua tells the size of a block when it gives it back, so a block needs no
** head, and the one given back last, still warm, is the next one taken.  Small
** blocks are never returned to the system: a state lives as long as its
*process.
** Large ones are malloc's.
*/
#include "alloc.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

enum {
  UNIT = 16,
  MOST_SMALL = 512,
  CLASSES = MOST_SMALL / UNIT,
  FIRST_CHUNK = 1 << 14, /* each is as large as all before it, up to */
  MOST_CHUNK = 1 << 18,
  MOST_HEAP = 32 << 20, /* in malloc's heap: it allows no more */
  MOST_KEPT = 128 << 20
};

/* The sanitizer shall see each block. */
#if defined(__SANITIZE_ADDRESS__)
static const size_t most_small = 0;
#else
static const size_t most_small = MOST_SMALL;
#endif

typedef struct Spare {
  struct Spare *next;
} Spare;

typedef struct Chunk {
  _Alignas(UNIT) struct Chunk *next;
} Chunk;

struct Alloc {
  Spare *spare[CLASSES];
  unsigned char *at, *end; /* what is left of the newest chunk */
  Chunk *newest;
  size_t bytes; /* of all chunks */
  void *large;  /* given back last, or NULL */
  size_t large_bytes;
  Alloc *older;
};

/* A leak checker must find what lives as long as the process. */
static Alloc *newest;

/*
** To return memory and to fault it in again costs more than to fill it.  So
** malloc keeps what was freed, up to a point; of what it would map, and take
** back at once, the last block is kept here.
*/
static void keep_warm(void) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, MOST_HEAP);
  mallopt(M_TRIM_THRESHOLD, 2 * MOST_HEAP);
#endif
}

/* A limit counts the block that is kept, too. */
static bool drop_large(Alloc *a) {
  void *kept = a->large;
  a->large = NULL;
  free(kept);
  return kept != NULL;
}

static void *take_large(Alloc *a, size_t size) {
  void *block = a->large;
  if (block == NULL || size > a->large_bytes || size < a->large_bytes / 2) {
    block = malloc(size);
    return block == NULL && drop_large(a) ? malloc(size) : block;
  }
  a->large = NULL;
  return block;
}

static void *resize_large(Alloc *a, void *block, size_t size) {
  void *resized = realloc(block, size);
  return resized == NULL && drop_large(a) ? realloc(block, size) : resized;
}

static void give_large(Alloc *a, void *block) {
  size_t bytes = malloc_usable_size(block);
  if (bytes >= MOST_HEAP && bytes <= MOST_KEPT) {
    sys_lend(block, bytes);
    void *kept = a->large;
    a->large = block;
    a->large_bytes = bytes;
    block = kept;
  }
  free(block);
}

Alloc *alloc_new(void) {
  Alloc *a = calloc(1, sizeof *a);
  keep_warm();
  if (a == NULL)
    return NULL;
  a->older = newest;
  newest = a;
  return a;
}

void alloc_forget_spares(Alloc *a) {
  memset(a->spare, 0, sizeof a->spare);
}

static size_t class_of(size_t size) {
  return (size - 1) / UNIT;
}

static void give(Alloc *a, void *block, size_t size) {
  Spare *s = block;
  s->next = a->spare[class_of(size)];
  a->spare[class_of(size)] = s;
}

/* The old one's rest serves for smaller blocks. */
static int new_chunk(Alloc *a) {
  size_t bytes = a->bytes < FIRST_CHUNK  ? FIRST_CHUNK
                 : a->bytes < MOST_CHUNK ? a->bytes
                                         : MOST_CHUNK;
  Chunk *c = malloc(bytes);
  if (c == NULL)
    return -1;
  if (a->at < a->end)
    give(a, a->at, (size_t)(a->end - a->at));
  c->next = a->newest;
  a->newest = c;
  a->bytes += bytes;
  a->at = (unsigned char *)(c + 1);
  a->end = (unsigned char *)c + bytes;
  return 0;
}

static void *take(Alloc *a, size_t size) {
  size_t class = class_of(size), room = (class + 1) * UNIT;
  Spare *s = a->spare[class];
  if (s != NULL) {
    a->spare[class] = s->next;
    return s;
  }
  if ((size_t)(a->end - a->at) < room && new_chunk(a) != 0)
    return NULL;
  void *block = a->at;
  a->at += room;
  return block;
}

static bool is_small(size_t size) {
  return size - 1 < most_small;
}

static void release(Alloc *a, void *block, size_t size) {
  if (is_small(size))
    give(a, block, size);
  else
    give_large(a, block);
}

/* From small to large or back. Making a block smaller must not fail: without
** memory it stays what it is. */
static void *move(Alloc *a, void *block, size_t old_size, size_t new_size) {
  void *moved =
      is_small(new_size) ? take(a, new_size) : take_large(a, new_size);
  if (moved == NULL)
    return new_size < old_size ? block : NULL;
  memcpy(moved, block, old_size < new_size ? old_size : new_size);
  release(a, block, old_size);
  return moved;
}

void *alloc_for_lua(void *ud, void *block, size_t old_size, size_t new_size) {
  Alloc *a = ud;
  if (block == NULL) /* then old_size is a type */
    return is_small(new_size) ? take(a, new_size)
           : new_size > 0     ? take_large(a, new_size)
                              : NULL;
  if (new_size == 0) {
    release(a, block, old_size);
    return NULL;
  }
  if (!is_small(old_size) && !is_small(new_size))
    return resize_large(a, block, new_size);
  if (is_small(old_size) && is_small(new_size) &&
      class_of(old_size) == class_of(new_size))
    return block;
  return move(a, block, old_size, new_size);
}
