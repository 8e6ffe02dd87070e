/*
** alloc.c - memory of a Lua state: small blocks by size class.
** Runs in: every process of the program.  Owns: the chunks they are cut from.
**
** Lua tells the size of a block when it gives it back, so a block needs no
** head, and the one given back last, still warm, is the next one taken.  A
** chunk of which nothing is in use any more goes back to malloc, but to find it
** takes a look at every spare block: that is done when the chunks have become
** twice as many, or when malloc has nothing left.  Large blocks are malloc's.
*/
#include "alloc.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

enum {
  UNIT = 16,
  MOST_SMALL = 512,
  CLASSES = MOST_SMALL / UNIT,
  FIRST_CHUNK = 1 << 14, /* each is as large as all before it, up to */
  MOST_CHUNK = 1 << 15,  /* a small one is more often unused */
  FIRST_SWEEP = 1 << 20,
  HUGE_FROM = 4 << 20,  /* in pages that are huge, if the system has them */
  MOST_HEAP = 32 << 20, /* in malloc's heap: it allows no more */
  MOST_KEPT = 128 << 20,
  MOST_WARM = 160 << 20,
  KEPT = 3
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
  _Alignas(UNIT) size_t bytes; /* with this head */
  size_t unused;               /* known during a sweep */
} Chunk;

typedef struct Kept {
  void *block; /* or NULL */
  size_t bytes;
  bool lent;
} Kept;

struct Alloc {
  Spare *spare[CLASSES];
  unsigned char *at, *end; /* what is left of the newest chunk */
  Chunk **chunks;          /* sorted by address */
  size_t n_chunks;
  size_t bytes;    /* of all chunks */
  size_t sweep_at; /* so many bytes */
  Kept kept[KEPT]; /* large blocks, the one given back last first */
  Alloc *older;
};

/* A leak checker must find what lives as long as the process. */
static Alloc *newest;

/*
** To return memory and to fault it in again costs more than to fill it.  So
** malloc keeps what was freed, up to a point; of what it would map, and take
** back at once, the last blocks are kept here (a collection finds more than
** one).  The older ones are lent to the system until they are used again, which
** a virtual machine may make as dear as to fault them in.
*/
static void keep_warm(void) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, MOST_HEAP);
  mallopt(M_TRIM_THRESHOLD, 2 * MOST_HEAP);
#endif
}

static void lend_cold(Alloc *a) {
  size_t warm = 0;
  for (Kept *k = a->kept; k < a->kept + KEPT; k++) {
    if (k->block == NULL)
      continue;
    warm += k->bytes;
    if (warm <= MOST_WARM || k->lent)
      continue;
    sys_lend(k->block, k->bytes);
    k->lent = true;
  }
}

static void give_large(Alloc *a, void *block) {
  size_t bytes = malloc_usable_size(block);
  if (bytes >= MOST_HEAP && bytes <= MOST_KEPT) {
    size_t last = 0;
    while (last < KEPT - 1 && a->kept[last].block != NULL)
      last++;
    void *oldest = a->kept[last].block;
    memmove(a->kept + 1, a->kept, last * sizeof *a->kept);
    a->kept[0] = (Kept){.block = block, .bytes = bytes};
    lend_cold(a);
    block = oldest;
  }
  free(block);
}

static void drop_kept(Alloc *a) {
  for (int i = 0; i < KEPT; i++)
    free(a->kept[i].block);
  memset(a->kept, 0, sizeof a->kept);
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

/*
** Sweeps
*/

/* Where in the list the chunk of a block is, or would have to be. */
static size_t find_chunk(const Alloc *a, const void *block) {
  size_t from = 0, to = a->n_chunks;
  while (from < to) {
    size_t middle = (from + to) / 2;
    const Chunk *c = a->chunks[middle];
    if ((uintptr_t)c + c->bytes <= (uintptr_t)block)
      from = middle + 1;
    else
      to = middle;
  }
  return from;
}

static bool is_inside(const Chunk *c, const void *block) {
  return (uintptr_t)block - (uintptr_t)c < c->bytes;
}

/* Neighbours in a list of spares are mostly of one chunk. NULL: of none, since
** it could not be made smaller once. */
static Chunk *chunk_of(const Alloc *a, const void *block, Chunk *last) {
  if (last != NULL && is_inside(last, block))
    return last;
  size_t i = find_chunk(a, block);
  return i < a->n_chunks && is_inside(a->chunks[i], block) ? a->chunks[i]
                                                           : NULL;
}

static bool is_unused(const Chunk *c) {
  return c->unused == c->bytes - sizeof *c;
}

/* How many chunks are unused. */
static size_t count_unused(Alloc *a) {
  size_t n = 0;
  for (size_t i = 0; i < a->n_chunks; i++)
    a->chunks[i]->unused = 0;
  if (a->at < a->end)
    chunk_of(a, a->at, NULL)->unused = (size_t)(a->end - a->at);
  Chunk *c = NULL;
  for (size_t class = 0; class < CLASSES; class ++)
    for (Spare *s = a->spare[class]; s != NULL; s = s->next) {
      c = chunk_of(a, s, c);
      if (c != NULL)
        c->unused += (class + 1) * UNIT;
    }
  for (size_t i = 0; i < a->n_chunks; i++)
    n += is_unused(a->chunks[i]);
  return n;
}

static void drop_spares(Alloc *a) {
  Chunk *c = NULL;
  if (a->at < a->end && is_unused(chunk_of(a, a->at, c)))
    a->at = a->end = NULL;
  for (size_t class = 0; class < CLASSES; class ++)
    for (Spare **s = &a->spare[class]; *s != NULL;) {
      c = chunk_of(a, *s, c);
      if (c != NULL && is_unused(c))
        *s = (*s)->next;
      else
        s = &(*s)->next;
    }
}

static void sweep(Alloc *a) {
  if (count_unused(a) > 0) {
    drop_spares(a);
    size_t kept = 0;
    for (size_t i = 0; i < a->n_chunks; i++) {
      Chunk *c = a->chunks[i];
      if (is_unused(c)) {
        a->bytes -= c->bytes;
        free(c);
      } else {
        a->chunks[kept++] = c;
      }
    }
    a->n_chunks = kept;
  }
  a->sweep_at = a->bytes < FIRST_SWEEP / 2 ? FIRST_SWEEP : 2 * a->bytes;
}

/* realloc, which has what is kept for later before it fails. */
static void *resize(Alloc *a, void *block, size_t size) {
  void *resized = realloc(block, size);
  if (resized == NULL) {
    drop_kept(a);
    sweep(a);
    resized = realloc(block, size);
  }
  if (resized != NULL && size >= HUGE_FROM)
    sys_use_huge_pages(resized, size);
  return resized;
}

/*
** Blocks
*/

static int add_chunk(Alloc *a, Chunk *c) {
  enum { STEP = 64 };
  if (a->n_chunks % STEP == 0) {
    size_t room = (a->n_chunks + STEP) * sizeof(Chunk *);
    Chunk **more = realloc(a->chunks, room);
    if (more == NULL)
      return -1;
    a->chunks = more;
  }
  size_t i = find_chunk(a, c);
  memmove(a->chunks + i + 1, a->chunks + i,
          (a->n_chunks - i) * sizeof(Chunk *));
  a->chunks[i] = c;
  a->n_chunks++;
  a->bytes += c->bytes;
  return 0;
}

/* It lies in its own first chunk: what is written often shares pages. */
Alloc *alloc_new(void) {
  Chunk *c = malloc(FIRST_CHUNK);
  keep_warm();
  if (c == NULL)
    return NULL;
  *c = (Chunk){.bytes = FIRST_CHUNK};
  Alloc *a = (Alloc *)(void *)(c + 1);
  *a = (Alloc){.sweep_at = FIRST_SWEEP, .older = newest};
  if (add_chunk(a, c) != 0) {
    free(c);
    return NULL;
  }
  a->at = (unsigned char *)a + (sizeof *a + UNIT - 1) / UNIT * UNIT;
  a->end = (unsigned char *)c + FIRST_CHUNK;
  newest = a;
  return a;
}

/* The old one's rest serves for smaller blocks. */
static int new_chunk(Alloc *a) {
  if (a->bytes >= a->sweep_at)
    sweep(a);
  size_t bytes = a->bytes < FIRST_CHUNK  ? FIRST_CHUNK
                 : a->bytes < MOST_CHUNK ? a->bytes
                                         : MOST_CHUNK;
  Chunk *c = resize(a, NULL, bytes);
  if (c == NULL)
    return -1;
  c->bytes = bytes;
  if (add_chunk(a, c) != 0) {
    free(c);
    return -1;
  }
  if (a->at < a->end)
    give(a, a->at, (size_t)(a->end - a->at));
  a->at = (unsigned char *)(c + 1);
  a->end = (unsigned char *)c + bytes;
  return 0;
}

static void *take_large(Alloc *a, size_t size) {
  for (int i = 0; i < KEPT; i++) {
    Kept k = a->kept[i];
    if (k.block == NULL || size > k.bytes || size < k.bytes / 2)
      continue;
    a->kept[i].block = NULL;
    return k.block;
  }
  return resize(a, NULL, size);
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
    return resize(a, block, new_size);
  if (is_small(old_size) && is_small(new_size) &&
      class_of(old_size) == class_of(new_size))
    return block;
  return move(a, block, old_size, new_size);
}
