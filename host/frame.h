/*
** frame.h - one item in a task's bytes: a count, then so many values.
** Arguments and results look alike.  A failure stands where a count would:
** FRAME_FAILURE, then FAILURE_VALUES values: kind, message, traceback, input,
** value.
*/
#ifndef FRAME_H
#define FRAME_H

#include "buf.h"

enum { FRAME_FAILURE = -1, FRAME_BAD = -2, FAILURE_VALUES = 5 };

enum { FRAME_LONG = 254 }; /* counts from here on take four bytes more */

int frame_put_any(Buf *b, int count); /* 0, or -1 with errno */
static inline int frame_put(Buf *b, int count) {
  if (count < 0 || count >= FRAME_LONG || b->len == b->cap || b->base == NULL)
    return frame_put_any(b, count);
  b->base[b->len++] = (uint8_t)count;
  return 0;
}

/* A count, FRAME_FAILURE or FRAME_BAD; *used is the size of the head. */
int frame_get_any(const uint8_t *bytes, size_t size, size_t *used);
static inline int frame_get(const uint8_t *bytes, size_t size, size_t *used) {
  int first = size > 0 ? *(const volatile uint8_t *)bytes : FRAME_LONG;
  *used = 1;
  return first < FRAME_LONG ? first : frame_get_any(bytes, size, used);
}

/* Offset behind the first n items, or `size` when they are not whole. */
size_t frame_skip(const uint8_t *bytes, size_t size, uint32_t n);

#endif
