/*
** frame.c - one item in a task's bytes: a count, then so many values.
** Runs in: parent and workers.  Owns: nothing.
**
** The head is one byte: 0..253 the count, 254 a count in the next four bytes
** (little endian), 255 a failure.
*/
#include "frame.h"

#include "codec.h"

enum { LONG = FRAME_LONG, FAILURE = 255 };

int frame_put_any(Buf *b, int count) {
  uint8_t head[5] = {FAILURE};
  size_t n = 1;
  if (count >= 0 && count < LONG) {
    head[0] = (uint8_t)count;
  } else if (count >= LONG) {
    head[0] = LONG;
    for (n = 1; n < sizeof head; n++)
      head[n] = (uint8_t)((uint32_t)count >> 8 * (n - 1));
  }
  return buf_append(b, head, n);
}

int frame_get_any(const uint8_t *bytes, size_t size, size_t *used) {
  if (size == 0)
    return FRAME_BAD;
  uint8_t first = bytes[0];
  *used = 1;
  if (first == FAILURE)
    return FRAME_FAILURE;
  if (first < LONG)
    return first;
  if (size < 5)
    return FRAME_BAD;
  uint32_t count = 0;
  for (int i = 0; i < 4; i++)
    count |= (uint32_t)bytes[1 + i] << 8 * i;
  *used = 5;
  return count <= INT32_MAX / 2 ? (int)count : FRAME_BAD;
}

size_t frame_skip(const uint8_t *bytes, size_t size, uint32_t n) {
  static const CodecOptions options = {.flags = CODEC_BYTES};
  size_t at = 0;
  while (n-- > 0) {
    size_t head = 0, body;
    CodecError err;
    int count = frame_get(bytes + at, size - at, &head);
    if (count == FRAME_BAD)
      return size;
    if (count == FRAME_FAILURE)
      count = FAILURE_VALUES;
    at += head;
    if (codec_check(bytes + at, size - at, &body, count, &options, &err) !=
        CODEC_OK)
      return size;
    at += body;
  }
  return at;
}
