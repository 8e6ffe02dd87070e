/*
** glimpse.h - a short text of an item's values, for people.
*/
#ifndef GLIMPSE_H
#define GLIMPSE_H

#include <stddef.h>
#include <stdint.h>

enum { GLIMPSE_ROOM = 128 };

/* Writes what a frame holds, `"a.txt", {size = 3}`, at most `room` bytes with
** the zero at the end; what is longer ends in "...". */
void glimpse_frame(const uint8_t *frame, size_t size, char *text, size_t room);

#endif
