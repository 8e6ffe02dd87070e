/*
** embed.h - the Lua half of the library, carried inside the program.
** The build writes the table from lua/tidepool/?.lua (build/embed.c); every
** file but meta.lua is in it, "tidepool.error" for error.lua.
*/
#ifndef EMBED_H
#define EMBED_H

#include <stddef.h>

typedef struct EmbeddedModule {
  const char *name; /* NULL ends the table */
  const unsigned char *bytes;
  size_t size;
} EmbeddedModule;

extern const EmbeddedModule embedded_modules[];

#endif
