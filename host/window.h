/*
** window.h - one worker's part of the result region, written by it alone.
*/
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>

#include "buf.h"

enum { WINDOW_BLOCKS = 256 }; /* results that may wait to be collected */

/*
** Every finished task has a number, counted by the worker from 0 (its place in
** the worker's completion ring), and a block, which may be empty.  The parent
** frees blocks in the order of the numbers.  So the window is a ring of blocks;
** it starts again at the bottom whenever it can, to stay in warm memory.
*/
typedef struct Window {
  uint8_t *base;
  size_t bytes;          /* address space */
  size_t soft;           /* not passed while results wait */
  size_t backed;         /* [0, backed) has memory behind it */
  size_t limit;          /* where the open buffer must end */
  size_t above;          /* a larger gap than the open one begins there, or 0 */
  uint64_t oldest, next; /* numbers of the blocks that wait: [oldest, next) */
  struct {
    size_t at, bytes;
  } block[WINDOW_BLOCKS];
} Window;

void window_init(Window *w, uint8_t *base, size_t bytes, size_t soft);
/* A block that was there before us (after a respawn). */
void window_adopt(Window *w, uint64_t number, size_t at, size_t bytes);
/* The parent has freed all blocks below `freed`. */
void window_free(Window *w, uint64_t freed);
/* Is there no result that waits? Then the whole window can be had. */
int window_is_empty(const Window *w);
/* A buffer over a free room; it ends there with ENOSPC. */
void window_open(Window *w, Buf *b);
/* Opens it again, empty, over a larger one. False: there is none. */
bool window_move(Window *w, Buf *b);
/* Nothing waits any more: let the open buffer have all room above it. */
void window_widen(Window *w);
/* The buffer's bytes are block w->next. */
void window_commit(Window *w, const Buf *b);
size_t window_offset(const Window *w, const Buf *b);

#endif
