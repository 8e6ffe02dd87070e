/*
** seen.h - a map from addresses to numbers, for the time of one message.
** The first few stand in the struct: small messages allocate nothing.
*/
#ifndef SEEN_H
#define SEEN_H

#include <stddef.h>

enum { SEEN_FEW = 12 };

typedef struct SeenPair {
  const void *address; /* NULL: a free slot */
  size_t number;
} SeenPair;

typedef struct Seen {
  SeenPair *slots; /* NULL while they are few */
  size_t count, mask;
  SeenPair few[SEEN_FEW];
} Seen;

static inline void seen_init(Seen *seen) {
  seen->slots = NULL;
  seen->count = 0;
}

void seen_clear(Seen *seen);

/*
** The number of `address` (not NULL), 0 when it is new. The pointer is good
** until the next call. NULL: no memory.
*/
size_t *seen_number(Seen *seen, const void *address);

#endif
