/*
** buf.c - a byte buffer that grows, or that ends where its room ends.
** Runs in: every process.  Owns: the heap block of a Buf.  Never: the kernel.
*/
#include "buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 256 };

static int grow_heap(Buf *b, size_t need) {
  if (need > SIZE_MAX / 2 - b->len) {
    errno = ENOMEM;
    return -1;
  }
  size_t cap = b->cap < FIRST_BYTES ? FIRST_BYTES : b->cap * 2;
  if (cap < b->len + need)
    cap = b->len + need;
  uint8_t *base = realloc(b->base, cap);
  if (base == NULL)
    return -1;
  b->base = base;
  b->cap = cap;
  return 0;
}

static int grow_never(Buf *b, size_t need) {
  (void)b, (void)need;
  errno = ENOSPC;
  return -1;
}

void buf_init(Buf *b) {
  *b = (Buf){.grow = grow_heap};
}

void buf_fixed(Buf *b, void *base, size_t bytes) {
  *b = (Buf){.base = base, .cap = bytes, .grow = grow_never};
}

void buf_count(Buf *b) {
  *b = (Buf){.cap = SIZE_MAX, .grow = grow_never};
}

void buf_clear(Buf *b) {
  if (b->grow == grow_heap)
    free(b->base);
  buf_init(b);
}

int buf_append(Buf *b, const void *bytes, size_t n) {
  if (buf_reserve(b, n) != 0)
    return -1;
  if (b->base != NULL && n > 0)
    memcpy(b->base + b->len, bytes, n);
  b->len += n;
  return 0;
}
