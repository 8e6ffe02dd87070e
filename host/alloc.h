/*
** alloc.h - memory of a Lua state: small blocks by size class.
*/
#ifndef ALLOC_H
#define ALLOC_H

#include <stddef.h>

typedef struct Alloc Alloc;

Alloc *alloc_new(void); /* for as long as the process lives; or NULL */
/* Before a fork: the holes between what is shared stay empty, so that a child
** copies few pages. */
void alloc_forget_spares(Alloc *a);

/* A lua_Alloc; `a` is an Alloc. */
void *alloc_for_lua(void *a, void *block, size_t old_size, size_t new_size);

#endif
