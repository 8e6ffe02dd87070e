/*
** window.c - one worker's part of the result region, written by it alone.
** Runs in: worker.  Owns: which bytes of its window are in use.
*/
#include "window.h"

#include <errno.h>

#include "sys.h"

static const size_t FIRST = (size_t)1 << 12; /* memory backed at once: */
static const size_t STEP = (size_t)1 << 16;  /* it doubles up to this */
static const size_t ALIGN = 64;
static const size_t WARM = (size_t)128 << 20;

void window_init(Window *w, uint8_t *base, size_t bytes, size_t soft) {
  w->base = base; /* `block` is written when it is used */
  w->bytes = w->limit = bytes;
  w->soft = soft < bytes ? soft : bytes;
  w->backed = 0;
  w->oldest = w->next = 0;
}

static size_t slot_of(uint64_t number) {
  return number % WINDOW_BLOCKS;
}

void window_adopt(Window *w, uint64_t number, size_t at, size_t bytes) {
  if (w->oldest == w->next)
    w->oldest = number;
  w->next = number + 1;
  w->block[slot_of(number)].at = at;
  w->block[slot_of(number)].bytes = bytes;
}

void window_free(Window *w, uint64_t freed) {
  if (freed > w->oldest)
    w->oldest = freed < w->next ? freed : w->next;
  while (w->oldest < w->next && w->block[slot_of(w->oldest)].bytes == 0)
    w->oldest++;
}

int window_is_empty(const Window *w) {
  return w->oldest == w->next;
}

static int grow_window(Buf *b, size_t need) {
  Window *w = b->owner;
  size_t from = window_offset(w, b);
  if (need > w->limit - from - b->len) {
    errno = ENOSPC;
    return -1;
  }
  size_t want = from + b->len + need;
  if (want > w->backed) {
    size_t step = w->backed < FIRST ? FIRST : w->backed;
    size_t least = step < STEP ? step : STEP;
    size_t more = want - w->backed < least ? least : want - w->backed;
    if (more > w->bytes - w->backed)
      more = w->bytes - w->backed;
    if (sys_back(w->base + w->backed, more) != 0)
      return -1;
    w->backed += more;
  }
  b->cap = (w->limit < w->backed ? w->limit : w->backed) - from;
  return 0;
}

static void cool(Window *w) {
  if (w->backed <= WARM)
    return;
  sys_discard(w->base + WARM, w->backed - WARM);
  w->backed = WARM;
}

/* The end of the newest block that is not empty. */
static size_t newest_end(const Window *w) {
  uint64_t i = w->next;
  while (--i > w->oldest && w->block[slot_of(i)].bytes == 0)
    continue;
  return w->block[slot_of(i)].at + w->block[slot_of(i)].bytes;
}

/*
** Blocks that wait lie in [low, high), or, wrapped, in [low, soft) and
** [0, high).  Of the two gaps of the first case the larger one is taken.
*/
void window_open(Window *w, Buf *b) {
  size_t from = 0;
  w->limit = w->bytes;
  if (window_is_empty(w)) {
    cool(w);
  } else {
    size_t low = w->block[slot_of(w->oldest)].at;
    size_t high = newest_end(w);
    size_t above = high > low && high < w->soft ? w->soft - high : 0;
    w->limit = low;
    if (high <= low)
      from = high;
    else if (above > low) {
      from = high;
      w->limit = w->soft;
    }
  }
  from = (from + ALIGN - 1) & ~(ALIGN - 1);
  if (from > w->limit)
    from = w->limit;
  *b = (Buf){.base = w->base + from, .grow = grow_window, .owner = w};
}

void window_widen(Window *w) {
  w->limit = w->bytes;
}

void window_commit(Window *w, const Buf *b) {
  w->block[slot_of(w->next)].at = window_offset(w, b);
  w->block[slot_of(w->next)].bytes = b->len;
  w->next++;
}

size_t window_offset(const Window *w, const Buf *b) {
  return (size_t)(b->base - w->base);
}
