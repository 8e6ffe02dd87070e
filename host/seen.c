/*
** seen.c - a map from addresses to numbers, for the time of one message.
** Runs in: every process.  Owns: the slots of a Seen.  Never: the kernel, Lua.
*/
#include "seen.h"

#include <stdint.h>
#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

void seen_clear(Seen *seen) {
  free(seen->slots);
  seen_init(seen);
}

/* The slot of `address`, or the free one where it belongs. */
static SeenPair *slot_of(SeenPair *slots, size_t mask, const void *address) {
  uint64_t hash = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15U;
  size_t at = (size_t)(hash >> 32) & mask;
  while (slots[at].address != address && slots[at].address != NULL)
    at = (at + 1) & mask;
  return &slots[at];
}

/* Move all pairs into `size` slots (a power of two). */
static int resize(Seen *seen, size_t size) {
  SeenPair *slots = calloc(size, sizeof *slots);
  if (slots == NULL)
    return -1;
  SeenPair *old = seen->slots != NULL ? seen->slots : seen->few;
  size_t n = seen->slots != NULL ? seen->mask + 1 : seen->count;
  for (size_t i = 0; i < n; i++)
    if (old[i].address != NULL)
      *slot_of(slots, size - 1, old[i].address) = old[i];
  free(seen->slots);
  seen->slots = slots;
  seen->mask = size - 1;
  return 0;
}

static size_t *among_few(Seen *seen, const void *address) {
  for (size_t i = seen->count; i-- > 0;)
    if (seen->few[i].address == address)
      return &seen->few[i].number;
  if (seen->count == SEEN_FEW)
    return NULL;
  SeenPair *pair = &seen->few[seen->count++];
  *pair = (SeenPair){.address = address};
  return &pair->number;
}

size_t *seen_number(Seen *seen, const void *address) {
  if (seen->slots == NULL) {
    size_t *number = among_few(seen, address);
    if (number != NULL || resize(seen, FIRST_SLOTS) != 0)
      return number;
  }
  SeenPair *pair = slot_of(seen->slots, seen->mask, address);
  if (pair->address == address)
    return &pair->number;
  if (seen->count > seen->mask / 2) {
    if (resize(seen, (seen->mask + 1) * 4) != 0)
      return NULL;
    pair = slot_of(seen->slots, seen->mask, address);
  }
  *pair = (SeenPair){.address = address};
  seen->count++;
  return &pair->number;
}
