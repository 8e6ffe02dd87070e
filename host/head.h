/*
** head.h - the heads of CBOR items (RFC 8949, section 3), read and written.
*/
#ifndef HEAD_H
#define HEAD_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the byte swaps below are for little-endian machines");

enum {
  MAJOR_UNSIGNED,
  MAJOR_NEGATIVE,
  MAJOR_BYTES,
  MAJOR_TEXT,
  MAJOR_ARRAY,
  MAJOR_MAP,
  MAJOR_TAG,
  MAJOR_OTHER
};

enum { /* the argument of MAJOR_OTHER, up to its simple values */
       OTHER_FALSE = 20,
       OTHER_TRUE = 21,
       OTHER_NULL = 22,
       OTHER_UNDEFINED = 23,
       INFO_ONE = 24, /* the argument is in 1, 2, 4, 8 bytes behind the head */
       INFO_TWO = 25,
       INFO_FOUR = 26,
       INFO_EIGHT = 27,
       INFO_OPEN = 31 /* of indefinite length; with MAJOR_OTHER: the break */
};

enum { HEAD_MOST = 9 }; /* bytes */

enum { /* tags with a meaning here, see codec.h */
       TAG_POSITIVE = 2,
       TAG_NEGATIVE = 3,
       TAG_STRING_REF = 25,
       TAG_OBJECT = 27,
       TAG_MARK = 28,
       TAG_REF = 29,
       TAG_TYPED_FIRST = 64,
       TAG_TYPED_LAST = 87,
       TAG_NAMESPACE = 256,
       TAG_CBOR = 55799
};

typedef struct Head {
  uint64_t arg;
  uint8_t major, info;
} Head;

typedef enum HeadResult { HEAD_OK, HEAD_TRUNCATED, HEAD_RESERVED } HeadResult;

/* In memory the `bytes` of v come first, big-endian. */
static inline uint64_t head_big_endian(uint64_t v, size_t bytes) {
  return __builtin_bswap64(v << (64 - 8 * bytes));
}

/* Write a shortest head, return its length. Needs room for 9 bytes always. */
static inline size_t head_put(uint8_t *to, unsigned major, uint64_t arg) {
  if (arg < INFO_ONE) {
    to[0] = (uint8_t)(major << 5 | arg);
    return 1;
  }
  unsigned power = arg <= 0xff ? 0 : arg <= 0xffff ? 1 : 2 + (arg >> 32 != 0);
  uint64_t v = head_big_endian(arg, (size_t)1 << power);
  to[0] = (uint8_t)(major << 5 | (INFO_ONE + power));
  memcpy(to + 1, &v, 8);
  return 1 + ((size_t)1 << power);
}

/* The value is in a register now: the compiler may not read it again. */
static inline uint64_t head_once(uint64_t v) {
  __asm__ volatile("" : "+r"(v));
  return v;
}

/* The argument in `bytes` bytes at `from`; fast where 8 may be read. */
static inline uint64_t head_get_arg(const uint8_t *from, const uint8_t *end,
                                    size_t bytes) {
  uint64_t v = 0;
  if (end - from >= 8)
    memcpy(&v, from, 8);
  else
    memcpy(&v, from, bytes);
  return head_once(__builtin_bswap64(v)) >> (64 - 8 * bytes);
}

/* Read the head at *p, move *p behind it. INFO_OPEN is left to the caller. */
static inline HeadResult head_get(const uint8_t **p, const uint8_t *end,
                                  Head *head) {
  const uint8_t *from = *p;
  if (from == end)
    return HEAD_TRUNCATED;
  unsigned first = (unsigned)head_once(*from++);
  head->major = (uint8_t)(first >> 5);
  head->info = (uint8_t)(first & 31);
  head->arg = head->info;
  if (head->info >= INFO_ONE && head->info != INFO_OPEN) {
    if (head->info > INFO_EIGHT)
      return HEAD_RESERVED;
    size_t bytes = (size_t)1 << (head->info - INFO_ONE);
    if ((size_t)(end - from) < bytes)
      return HEAD_TRUNCATED;
    head->arg = head_get_arg(from, end, bytes);
    from += bytes;
  }
  *p = from;
  return HEAD_OK;
}

/* Written in its shortest form? Floats are another matter. */
static inline bool head_is_shortest(const Head *head) {
  static const uint64_t least[4] = {24, 0x100, 0x10000, 0x100000000};
  return head->info < INFO_ONE || head->info == INFO_OPEN ||
         head->arg >= least[head->info - INFO_ONE];
}

/*
** Half precision from single: true when `single` has an exact half, NaN
** among them (as 7e00).
*/
static inline bool head_half_of(float single, uint16_t *half) {
  uint32_t bits;
  memcpy(&bits, &single, 4);
  uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffff;
  int exponent = (int)(bits >> 23 & 0xff) - 127;
  if (exponent == 128) {
    *half = (uint16_t)(rest != 0 ? 0x7e00 : sign | 0x7c00);
    return true;
  }
  if (exponent >= -14 && exponent <= 15 && (rest & 0x1fff) == 0) {
    *half = (uint16_t)(sign | (uint32_t)(exponent + 15) << 10 | rest >> 13);
    return true;
  }
  if (exponent == -127 && rest == 0) {
    *half = (uint16_t)sign;
    return true;
  }
  if (exponent < -24 || exponent > -15)
    return false;
  uint32_t shift = (uint32_t)(-1 - exponent); /* 14..23: a subnormal half */
  rest |= 0x800000;
  if ((rest & ((1U << shift) - 1)) != 0)
    return false;
  *half = (uint16_t)(sign | rest >> shift);
  return true;
}

/* The float in the argument of a MAJOR_OTHER head of INFO_TWO and up. */
static inline double head_float(const Head *head) {
  if (head->info == INFO_EIGHT) {
    double d;
    memcpy(&d, &head->arg, 8);
    return d;
  }
  if (head->info == INFO_FOUR) {
    uint32_t bits = (uint32_t)head->arg;
    float f;
    memcpy(&f, &bits, 4);
    return f;
  }
  int exponent = (int)(head->arg >> 10 & 31), rest = (int)head->arg & 0x3ff;
  double d = exponent == 0   ? ldexp(rest, -24)
             : exponent < 31 ? ldexp(rest + 1024, exponent - 25)
             : rest == 0     ? (double)INFINITY
                             : (double)NAN;
  return (head->arg & 0x8000) != 0 ? -d : d;
}

/* Bytes of the shortest float that is exactly `d`: 2, 4 or 8, and its bits. */
static inline size_t head_float_bits(double d, uint64_t *bits) {
  uint16_t half;
  float single = (float)d;
  if ((double)single == d || d != d) {
    if (head_half_of(single, &half)) {
      *bits = half;
      return 2;
    }
    uint32_t four;
    memcpy(&four, &single, 4);
    *bits = four;
    return 4;
  }
  memcpy(bits, &d, 8);
  return 8;
}

/* Write the shortest float that is exactly `d`, as head_put does. */
static inline size_t head_put_float(uint8_t *to, double d) {
  uint64_t bits;
  size_t bytes = head_float_bits(d, &bits);
  bits = head_big_endian(bits, bytes);
  to[0] = (uint8_t)(MAJOR_OTHER << 5 | (bytes == 2   ? INFO_TWO
                                        : bytes == 4 ? INFO_FOUR
                                                     : INFO_EIGHT));
  memcpy(to + 1, &bits, 8);
  return 1 + bytes;
}

#endif
