/*
** buf.h - a byte buffer that grows, or that ends where its room ends.
*/
#ifndef BUF_H
#define BUF_H

#include <stddef.h>
#include <stdint.h>

/*
** Bytes [0, len) are written, [len, cap) is room. `grow` makes room for
** `need` more bytes (it may move `base`) and returns 0, or returns -1 with
** errno set and changes nothing. Offsets stay valid over growth, pointers
** do not.
*/
typedef struct Buf Buf;
struct Buf {
  uint8_t *base;
  size_t len, cap;
  int (*grow)(Buf *b, size_t need);
  void *owner; /* for `grow` */
};

void buf_init(Buf *b);                            /* empty, on the heap */
void buf_fixed(Buf *b, void *base, size_t bytes); /* ENOSPC at its end */
void buf_count(Buf *b); /* keeps nothing, counts in `len`; base is NULL */
void buf_clear(Buf *b); /* frees what buf_init began */

/* Room for `need` more bytes at base + len: 0, or -1 with errno. */
static inline int buf_reserve(Buf *b, size_t need) {
  return need <= b->cap - b->len ? 0 : b->grow(b, need);
}

int buf_append(Buf *b, const void *bytes, size_t n);

#endif
