/*
** frame.h - one item in a task's bytes: a count, then so many values.
** Arguments and results look alike.  A failure stands where a count would:
** FRAME_FAILURE, then FAILURE_VALUES values: kind, message, traceback, value.
*/
#ifndef FRAME_H
#define FRAME_H

#include "buf.h"

enum { FRAME_FAILURE = -1, FRAME_BAD = -2, FAILURE_VALUES = 4 };

int frame_put(Buf *b, int count); /* 0, or -1 with errno */
/* A count, FRAME_FAILURE or FRAME_BAD; *used is the size of the head. */
int frame_get(const uint8_t *bytes, size_t size, size_t *used);
/* Offset behind the first n items, or `size` when they are not whole. */
size_t frame_skip(const uint8_t *bytes, size_t size, uint32_t n);

#endif
