/*
** libedit.c - libedit, loaded when it is needed.
** Runs in: the parent.  Owns: the functions of the library.
*/
#include "libedit.h"

#include <dlfcn.h>
#include <string.h>

Libedit libedit;

bool libedit_load(void) {
  static const struct {
    const char *name;
    void *to;
  } symbols[] = {{"el_init", &libedit.el_init},
                 {"el_end", &libedit.el_end},
                 {"el_set", &libedit.el_set},
                 {"el_wset", &libedit.el_wset},
                 {"el_get", &libedit.el_get},
                 {"el_wgets", &libedit.el_wgets},
                 {"el_line", &libedit.el_line},
                 {"el_winsertstr", &libedit.el_winsertstr},
                 {"el_deletestr", &libedit.el_deletestr},
                 {"el_cursor", &libedit.el_cursor},
                 {"el_wpush", &libedit.el_wpush},
                 {"el_source", &libedit.el_source},
                 {"el_resize", &libedit.el_resize},
                 {"history_init", &libedit.history_init},
                 {"history_end", &libedit.history_end},
                 {"history", &libedit.history}};
  void *handle = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL)
    return false;
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
    void *symbol = dlsym(handle, symbols[i].name);
    if (symbol == NULL)
      return false;
    memcpy(symbols[i].to, &symbol, sizeof symbol);
  }
  return true;
}
