/*
** walk.h - walking down a tree of folders.
*/
#ifndef WALK_H
#define WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys_file.h"

/*
** One folder's names at a time are held along the current path, and a bounded
** number of descriptors: a folder high up is closed and opened again, from
** the top and link by link, when the walk comes back to it. So neither the
** number of names nor the depth nor PATH_MAX is a limit.
**
** Two ways to walk:
** - walk_next: every path of the wanted types, in the order of the bytes of
**   the whole path;
** - walk_enter, walk_entry, walk_leave: the caller says which folder is next.
*/
typedef struct Walk Walk;

typedef struct WalkRules {
  uint32_t types;    /* 1 << SysKind of what counts as a file */
  int64_t max_depth; /* names below the top, 1 = its own; 0: no limit */
  int64_t min_size;  /* of regular files */
  int64_t max_size;  /* likewise; -1: no limit */
  bool by_folder;    /* for walk_enter: links to folders are folders */
  bool follow;       /* links are what they lead to */
  bool one_filesystem;
  bool skip_hidden;
  bool sizes; /* fill in WalkItem.size */
  bool about; /* it may be a guess, where files are small */
} WalkRules;

typedef enum WalkList { WALK_INCLUDE, WALK_EXCLUDE } WalkList;

typedef enum WalkStatus {
  WALK_END,
  WALK_ITEM,
  WALK_FAULT /* `error` at `path`; the walk goes on */
} WalkStatus;

/* Lives until the next call on the same walk. */
typedef struct WalkItem {
  const char *path; /* ends in a zero byte */
  size_t len;
  size_t name_at; /* where the last component begins */
  SysKind kind;
  int64_t size;
  int error;
} WalkItem;

Walk *walk_new(const char *top); /* NULL: no memory */
void walk_free(Walk *w);         /* NULL is fine */

/* To be filled in before the first step. */
WalkRules *walk_rules(Walk *w);

/*
** A glob of zero-ended bytes: `*` `?` `[...]` not over `/`, `**` over it, `\`
** before any of them makes it plain. Without a `/` it is matched with the last
** name, else with the path below the top; with a `/` at its end it is for
** folders only. Left out is what an exclude glob matches, and any file that no
** include glob matches if there are some. 0, or -1: no memory.
*/
int walk_glob(Walk *w, WalkList list, const char *glob);

WalkStatus walk_next(Walk *w, WalkItem *item);

/*
** Goes into a folder of the current one (NULL: the top). WALK_END: not to be
** entered (too deep, a link, another file system); WALK_ITEM: it is current,
** item->path is its path; its entries are to be read to the end before the
** next call.
*/
WalkStatus walk_enter(Walk *w, const char *name, WalkItem *item);
WalkStatus walk_entry(Walk *w, WalkItem *item);
void walk_leave(Walk *w, WalkItem *item); /* item: the folder that was left */

/* The caller's own count of the current folder, {0} when it is entered. */
typedef struct WalkMark {
  size_t count, done;
} WalkMark;

WalkMark *walk_mark(const Walk *w);
size_t walk_depth(const Walk *w); /* folders entered and not left */

#endif
