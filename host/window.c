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
static const size_t ROOMY = (size_t)1 << 16;
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

static void open_gap(Window *w, Buf *b, size_t from, size_t limit) {
  from = (from + ALIGN - 1) & ~(ALIGN - 1);
  w->limit = limit;
  if (from > limit)
    from = limit;
  *b = (Buf){.base = w->base + from, .grow = grow_window, .owner = w};
}

/* The number of the newest block that is not empty. */
static uint64_t newest(const Window *w) {
  uint64_t i = w->next;
  while (--i > w->oldest && w->block[slot_of(i)].bytes == 0)
    continue;
  return i;
}

/*
** Blocks that wait lie in [low, high), or, wrapped, in [low, soft) and
** [0, high).  In the first case there are two gaps.  The lower one is warm: it
** is taken if it is the larger one, or has twice the room of the last result.
*/
void window_open(Window *w, Buf *b) {
  w->above = 0;
  if (window_is_empty(w)) {
    cool(w);
    open_gap(w, b, 0, w->bytes);
    return;
  }
  uint64_t last = newest(w);
  size_t bytes = w->block[slot_of(last)].bytes;
  size_t low = w->block[slot_of(w->oldest)].at;
  size_t high = w->block[slot_of(last)].at + bytes;
  size_t above = high > low && high < w->soft ? w->soft - high : 0;
  bool fits = low >= ROOMY && low / 2 >= bytes;
  if (high <= low)
    open_gap(w, b, high, low);
  else if (above > low && !fits)
    open_gap(w, b, high, w->soft);
  else {
    open_gap(w, b, 0, low);
    w->above = above > low ? high : 0;
  }
}

bool window_move(Window *w, Buf *b) {
  if (w->above == 0)
    return false;
  open_gap(w, b, w->above, w->soft);
  w->above = 0;
  return true;
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
