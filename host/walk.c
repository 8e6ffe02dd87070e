/*
** walk.c - walking down a tree of folders.
** Runs in: every process.  Owns: the descriptors of a walk.
** Never: Lua; opens anything but folders; holds more than MAX_OPEN of them.
*/
#define _GNU_SOURCE
#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "glob.h"

enum {
  MAX_OPEN = 16, /* besides the top, which stays open */
  ROOM_BYTES = 64 * 1024,
  KEY_BYTES = 8,
  SMALL_BYTES = 16 * 1024, /* a mean size below which sizes are guessed */
  GUESSES = 31,            /* in a row, and none for a folder's first name */
  MEAN_OF = 64             /* about as many files, the last ones */
};

enum { SYS_FAULT = SYS_BLOCK + 1 }; /* an Entry that could not be looked at */

/* A name in a folder. `key` holds its first bytes, the highest first, so that
** most comparisons are one of integers. */
typedef struct Entry {
  uint64_t key;
  uint32_t at; /* in Walk.names, from the folder's own names_at */
  uint16_t len;
  uint8_t kind;
  uint8_t error; /* of SYS_FAULT */
} Entry;

/*
** A folder on the current path. Its path is path[0, len), paths of what it
** holds begin with path[0, prefix): a `/` further, but for a top that ends in
** one. Its entries are entries[first, end), those before `next` are done.
*/
typedef struct Folder {
  int fd; /* -1: closed for want of descriptors */
  size_t len, prefix;
  size_t names_at;
  size_t first, next, end;
  WalkMark mark;
  uint64_t dev, ino; /* only known when a rule asks for it */
} Folder;

typedef struct Glob {
  WalkList list;
  bool whole_path, folders_only;
  char text[];
} Glob;

/* `folders`, `names`, `entries` are stacks that grow and shrink together. */
struct Walk {
  WalkRules rules;
  bool started;
  size_t oldest_open; /* folders [1, oldest_open) are closed */
  Buf path, names, entries, folders, globs;
  bool has_include;
  int guesses; /* since a size was looked at */
  int64_t mean;
  _Alignas(8) char room[ROOM_BYTES];
};

int walk_glob(Walk *w, WalkList list, const char *glob) {
  size_t len = strlen(glob);
  Glob *g = malloc(sizeof *g + len + 1);
  if (g == NULL || buf_append(&w->globs, &g, sizeof g) != 0) {
    free(g);
    return -1;
  }
  g->list = list;
  g->folders_only = len > 1 && glob[len - 1] == '/';
  len -= g->folders_only;
  g->whole_path = memchr(glob, '/', len) != NULL;
  size_t skip = glob[0] == '/';
  memcpy(g->text, glob + skip, len - skip);
  g->text[len - skip] = '\0';
  w->has_include = w->has_include || list == WALK_INCLUDE;
  return 0;
}

/* Stacks. */

static Folder *folders(const Walk *w) {
  return (Folder *)(void *)w->folders.base;
}

static Folder *current(const Walk *w) {
  return folders(w) + walk_depth(w) - 1;
}

size_t walk_depth(const Walk *w) {
  return w->folders.len / sizeof(Folder);
}

static void close_folders(Walk *w, size_t from, size_t to) {
  for (size_t i = from; i < to; i++) {
    sys_file_close(folders(w)[i].fd);
    folders(w)[i].fd = -1;
  }
}

static void end_path(Walk *w, size_t len) {
  w->path.len = len;
  w->path.base[len] = '\0';
}

/* `path` becomes that of a name in the current folder. There is always room
** for a `/` and a zero byte more. */
static int set_name(Walk *w, const char *name, size_t len) {
  size_t prefix = current(w)->prefix;
  w->path.len = prefix;
  if (buf_reserve(&w->path, len + 2) != 0)
    return -1;
  w->path.base[prefix - 1] = '/';
  memcpy(w->path.base + prefix, name, len);
  end_path(w, prefix + len);
  return 0;
}

/* Opens folder i below its parent, whose descriptor is `at`. */
static int open_below(Walk *w, size_t i, int at) {
  const Folder *f = folders(w) + i;
  char *path = (char *)w->path.base;
  char kept = path[f->len];
  path[f->len] = '\0';
  int fd = sys_file_open_dir(at, path + f[-1].prefix, w->rules.follow);
  path[f->len] = kept;
  return fd;
}

/* Goes the way from the top again to the current folder, and leaves open what
** it passes from folder `keep` on. */
static int reopen(Walk *w, size_t keep) {
  Folder *f = folders(w);
  size_t last = walk_depth(w) - 1;
  for (size_t i = 1; i <= last; i++) {
    f[i].fd = open_below(w, i, f[i - 1].fd);
    if (i > 1 && i - 1 < keep)
      close_folders(w, i - 1, i);
    if (f[i].fd < 0) {
      close_folders(w, keep, i);
      return -1;
    }
  }
  w->oldest_open = keep;
  return f[last].fd;
}

/* The current folder's descriptor. If it was closed, so were those above it,
** and the walk will come back to them next: as many as may be are opened. */
static int current_fd(Walk *w) {
  int fd = current(w)->fd;
  size_t last = walk_depth(w) - 1;
  if (fd < 0)
    fd = reopen(w, last > MAX_OPEN ? last - MAX_OPEN + 1 : 1);
  if (fd < 0 && errno == EMFILE)
    fd = reopen(w, last);
  return fd;
}

/* Listing. */

/* Whether a glob of `list` matches path[name_at...], or its way from the top.
 */
static bool listed(const Walk *w, WalkList list, size_t name_at, bool folder) {
  const Glob *const *globs = (const void *)w->globs.base;
  const char *path = (const char *)w->path.base;
  const Folder *top = (const void *)w->folders.base;
  for (size_t i = 0; i < w->globs.len / sizeof *globs; i++) {
    const Glob *g = globs[i];
    if (g->list == list && (folder || !g->folders_only) &&
        glob_match(g->text, path + (g->whole_path ? top->prefix : name_at)))
      return true;
  }
  return false;
}

static bool at_max_depth(const Walk *w) {
  size_t max = (size_t)w->rules.max_depth;
  return max > 0 && walk_depth(w) >= max;
}

static bool wanted(const Walk *w, size_t name_at, SysKind kind) {
  bool folder = kind == SYS_DIR;
  if (folder && !w->rules.by_folder && at_max_depth(w))
    return false;
  if (!folder && (w->rules.types & 1u << kind) == 0)
    return false;
  if (w->globs.len == 0)
    return true;
  if (listed(w, WALK_EXCLUDE, name_at, folder))
    return false;
  return folder || !w->has_include || listed(w, WALK_INCLUDE, name_at, false);
}

static uint64_t key_of(const char *name, size_t len, bool slash) {
  uint64_t key = 0;
  for (size_t i = 0; i < KEY_BYTES; i++) {
    unsigned char c = i < len ? (unsigned char)name[i] : 0;
    key = key << 8 | (i == len && slash ? '/' : c);
  }
  return key;
}

/* A folder's name stands for the paths in it, which go on with a `/`. */
static bool sorts_with_slash(const Walk *w, SysKind kind) {
  return kind == SYS_DIR && !w->rules.by_folder;
}

static int add_entry(Walk *w, const SysEntry *e, unsigned kind, int error) {
  const Folder *f = current(w);
  size_t at = w->names.len - f->names_at;
  if (at > UINT32_MAX || e->len > UINT16_MAX) {
    errno = ENOMEM;
    return -1;
  }
  Entry entry = {
      .key = key_of(e->name, e->len, sorts_with_slash(w, (SysKind)kind)),
      .at = (uint32_t)at,
      .len = (uint16_t)e->len,
      .kind = (uint8_t)kind,
      .error = (uint8_t)error};
  if (buf_append(&w->names, e->name, e->len) != 0)
    return -1;
  return buf_append(&w->entries, &entry, sizeof entry);
}

/* What a link is to this walk: 0, or -1 for one that cannot be followed. */
static int resolve_link(Walk *w, int fd, const char *name, SysKind *kind) {
  SysStat st;
  if (!w->rules.follow && !w->rules.by_folder)
    return 0;
  if (sys_file_stat_at(fd, name, true, &st) != 0) {
    bool broken_is_wanted = (w->rules.types & 1u << SYS_LINK) != 0;
    return w->rules.follow && !broken_is_wanted ? -1 : 0;
  }
  if (w->rules.follow || st.kind == SYS_DIR)
    *kind = st.kind;
  return 0;
}

static int resolve(Walk *w, int fd, const SysEntry *e, SysKind *kind) {
  SysStat st;
  *kind = e->kind;
  if (*kind == SYS_UNKNOWN) {
    if (sys_file_stat_at(fd, e->name, false, &st) != 0)
      return -1;
    *kind = st.kind;
  }
  return *kind == SYS_LINK ? resolve_link(w, fd, e->name, kind) : 0;
}

static int list_entry(Walk *w, const SysEntry *e) {
  const Folder *f = current(w);
  SysKind kind;
  if (w->rules.skip_hidden && e->name[0] == '.')
    return 0;
  if (resolve(w, f->fd, e, &kind) != 0)
    return add_entry(w, e, SYS_FAULT, errno);
  if (w->globs.len > 0 && set_name(w, e->name, e->len) != 0)
    return -1;
  return wanted(w, f->prefix, kind) ? add_entry(w, e, kind, 0) : 0;
}

static int compare(const void *a, const void *b, void *with) {
  const Entry *x = a, *y = b;
  const Walk *w = with;
  if (x->key != y->key)
    return x->key < y->key ? -1 : 1;
  const unsigned char *names = w->names.base + current(w)->names_at;
  size_t n = x->len < y->len ? x->len : y->len;
  int order = memcmp(names + x->at, names + y->at, n);
  if (order != 0)
    return order;
  int end_x = sorts_with_slash(w, x->kind) ? '/' : 0;
  int end_y = sorts_with_slash(w, y->kind) ? '/' : 0;
  int next_x = x->len > n ? names[x->at + n] : end_x;
  int next_y = y->len > n ? names[y->at + n] : end_y;
  return next_x - next_y;
}

/* Reads the names of the current folder. 0, or -1: no memory. What else goes
** wrong becomes an entry without a name. */
static int list_folder(Walk *w) {
  SysList list = {
      .fd = current(w)->fd, .room = w->room, .room_bytes = sizeof w->room};
  SysEntry e;
  int more;
  while ((more = sys_file_list(&list)) > 0)
    while (sys_file_entry(&list, &e))
      if (list_entry(w, &e) != 0)
        return -1;
  e = (SysEntry){.name = "", .len = 0};
  if (more < 0 && add_entry(w, &e, SYS_FAULT, errno) != 0)
    return -1;
  Folder *f = current(w);
  f->end = w->entries.len / sizeof(Entry);
  if (f->end - f->first > 1)
    qsort_r((Entry *)(void *)w->entries.base + f->first, f->end - f->first,
            sizeof(Entry), compare, w);
  return 0;
}

/* Going in and out. `path` holds the name of what is entered. */

static WalkStatus fault(const Walk *w, WalkItem *item, int error) {
  item->path = (const char *)w->path.base;
  item->len = w->path.len;
  item->error = error;
  return WALK_FAULT;
}

static WalkStatus tell(const Walk *w, WalkItem *item) {
  item->path = (const char *)w->path.base;
  item->len = w->path.len;
  return WALK_ITEM;
}

/* 0 enter, 1 leave it alone, -1 with errno. */
static int check_folder(const Walk *w, Folder *f) {
  SysStat st;
  if (!w->rules.follow && !w->rules.one_filesystem)
    return 0;
  if (sys_file_stat(f->fd, &st) != 0)
    return -1;
  f->dev = st.dev;
  f->ino = st.ino;
  const Folder *above = folders(w);
  size_t depth = walk_depth(w);
  if (w->rules.one_filesystem && depth > 0 && above->dev != st.dev)
    return 1;
  for (size_t i = 0; w->rules.follow && i < depth; i++)
    if (above[i].dev == st.dev && above[i].ino == st.ino) {
      errno = ELOOP;
      return -1;
    }
  return 0;
}

static int push_folder(Walk *w, const Folder *f) {
  if (buf_append(&w->folders, f, sizeof *f) != 0)
    return -1;
  size_t depth = walk_depth(w);
  if (depth - w->oldest_open > MAX_OPEN) {
    close_folders(w, w->oldest_open, w->oldest_open + 1);
    w->oldest_open++;
  }
  return 0;
}

static void forget_entries(Walk *w) {
  const Folder *f = current(w);
  w->names.len = f->names_at;
  w->entries.len = f->first * sizeof(Entry);
}

static void pop_folder(Walk *w) {
  const Folder *f = current(w);
  sys_file_close(f->fd);
  forget_entries(w);
  end_path(w, f->len);
  w->folders.len -= sizeof *f;
  size_t depth = walk_depth(w);
  if (w->oldest_open > depth && depth > 0)
    w->oldest_open = depth;
}

/* Opens what `path` names, from name_at, in the current folder. A process
** short of descriptors gets those of the folders above it first. */
static int open_folder(Walk *w, size_t name_at) {
  size_t depth = walk_depth(w);
  bool top = depth == 0;
  int at = top ? SYS_CWD : current_fd(w);
  if (!top && at < 0)
    return -1;
  const char *name = (const char *)w->path.base + name_at;
  int fd = sys_file_open_dir(at, name, top || w->rules.follow);
  if (fd < 0 && errno == EMFILE && w->oldest_open + 1 < depth) {
    close_folders(w, w->oldest_open, depth - 1);
    w->oldest_open = depth - 1;
    fd = sys_file_open_dir(at, name, w->rules.follow);
  }
  return fd;
}

/* WALK_ITEM: the folder is current, and listed. */
static WalkStatus enter_path(Walk *w, size_t name_at, WalkItem *item) {
  size_t first = w->entries.len / sizeof(Entry), len = w->path.len;
  bool slash = len > 0 && w->path.base[len - 1] == '/';
  Folder f = {.fd = open_folder(w, name_at),
              .len = len,
              .prefix = slash ? len : len + 1,
              .names_at = w->names.len,
              .first = first,
              .next = first,
              .end = first};
  int refused = f.fd < 0 ? -1 : check_folder(w, &f);
  if (refused != 0 || push_folder(w, &f) != 0) {
    int error = errno;
    sys_file_close(f.fd);
    return refused == 1 ? WALK_END : fault(w, item, error);
  }
  int listed_all = list_folder(w);
  end_path(w, len);
  if (listed_all == 0)
    return tell(w, item);
  pop_folder(w);
  return fault(w, item, ENOMEM);
}

static bool limits_size(const WalkRules *r) {
  return r->min_size > 0 || r->max_size >= 0;
}

static bool needs_size(const WalkRules *r, SysKind kind) {
  return kind != SYS_DIR && (r->sizes || (limits_size(r) && kind == SYS_FILE));
}

/*
** To look at a small file takes as long as much of what is done with it. Who
** wants sizes only to share out work gets the mean in place of most of them;
** neighbours are alike, so that large ones are seen by the first of a folder
** or soon after, and the mean rises at once.
*/
static bool guess_size(Walk *w, WalkItem *item) {
  const Folder *f = current(w);
  if (!w->rules.about || limits_size(&w->rules) || item->kind != SYS_FILE ||
      w->mean >= SMALL_BYTES || w->guesses == GUESSES ||
      f->next == f->first + 1)
    return false;
  w->guesses++;
  item->size = w->mean;
  return true;
}

static void learn_size(Walk *w, int64_t size) {
  w->guesses = 0;
  w->mean += (size - w->mean) / MEAN_OF;
}

static bool size_fits(const WalkRules *r, const SysStat *st) {
  bool too_large = r->max_size >= 0 && st->size > r->max_size;
  return st->kind != SYS_FILE || (st->size >= r->min_size && !too_large);
}

/* WALK_END: it is there, but of an unwanted size. */
static WalkStatus tell_file(Walk *w, WalkItem *item) {
  SysStat st;
  if (guess_size(w, item))
    return tell(w, item);
  int at = current_fd(w);
  const char *name = (const char *)w->path.base + item->name_at;
  if (at < 0 || sys_file_stat_at(at, name, w->rules.follow, &st) != 0)
    return fault(w, item, errno);
  item->size = st.size;
  learn_size(w, st.size);
  return size_fits(&w->rules, &st) ? tell(w, item) : WALK_END;
}

/* Steps to the next entry of the current folder, `path` follows; NULL at the
** end. An entry without a name is the folder itself. */
static const Entry *take(Walk *w, WalkStatus *status, WalkItem *item) {
  Folder *f = current(w);
  if (f->next == f->end) {
    forget_entries(w);
    return NULL;
  }
  const Entry *e = (const Entry *)(void *)w->entries.base + f->next++;
  const char *name = (const char *)w->names.base + f->names_at + e->at;
  *status = WALK_ITEM;
  item->kind = (SysKind)e->kind;
  item->name_at = f->prefix;
  if (e->len == 0)
    end_path(w, f->len);
  else if (set_name(w, name, e->len) != 0)
    *status = fault(w, item, ENOMEM);
  if (e->kind == SYS_FAULT)
    *status = fault(w, item, e->error);
  return e;
}

/* A top that is no folder. */
static WalkStatus tell_top(Walk *w, WalkItem *item) {
  SysStat st;
  const char *path = (const char *)w->path.base;
  if (sys_file_stat_at(SYS_CWD, path, true, &st) != 0)
    return fault(w, item, errno);
  if ((w->rules.types & 1u << st.kind) == 0)
    return fault(w, item, ENOTDIR);
  const char *slash = strrchr(path, '/');
  item->name_at = slash != NULL ? (size_t)(slash + 1 - path) : 0;
  item->kind = st.kind;
  item->size = st.size;
  return size_fits(&w->rules, &st) ? tell(w, item) : WALK_END;
}

static WalkStatus start(Walk *w, WalkItem *item) {
  w->started = true;
  WalkStatus status = enter_path(w, 0, item);
  if (status == WALK_FAULT && item->error == ENOTDIR && !w->rules.by_folder)
    return tell_top(w, item);
  return status;
}

/* WALK_END: not wanted, or a folder that was entered. */
static WalkStatus visit(Walk *w, WalkItem *item) {
  if (item->kind == SYS_DIR && !w->rules.by_folder) {
    WalkStatus status = enter_path(w, item->name_at, item);
    return status == WALK_ITEM ? WALK_END : status;
  }
  return needs_size(&w->rules, item->kind) ? tell_file(w, item) : tell(w, item);
}

WalkStatus walk_next(Walk *w, WalkItem *item) {
  if (!w->started) {
    WalkStatus status = start(w, item);
    if (status == WALK_FAULT || walk_depth(w) == 0)
      return status;
  }
  while (walk_depth(w) > 0) {
    WalkStatus status;
    if (take(w, &status, item) == NULL) {
      pop_folder(w);
      continue;
    }
    if (status == WALK_ITEM)
      status = visit(w, item);
    if (status != WALK_END)
      return status;
  }
  return WALK_END;
}

WalkMark *walk_mark(const Walk *w) {
  return &current(w)->mark;
}

WalkStatus walk_entry(Walk *w, WalkItem *item) {
  WalkStatus status;
  while (take(w, &status, item) != NULL) {
    if (status == WALK_ITEM)
      status = visit(w, item);
    if (status != WALK_END)
      return status;
  }
  return WALK_END;
}

/* Whether the folder that could not be entered is a link. */
static bool is_link(Walk *w, size_t name_at) {
  SysStat st;
  const char *name = (const char *)w->path.base + name_at;
  return sys_file_stat_at(current_fd(w), name, false, &st) == 0 &&
         st.kind == SYS_LINK;
}

WalkStatus walk_enter(Walk *w, const char *name, WalkItem *item) {
  if (name == NULL)
    return start(w, item);
  if (at_max_depth(w))
    return WALK_END;
  size_t name_at = current(w)->prefix;
  if (set_name(w, name, strlen(name)) != 0)
    return fault(w, item, ENOMEM);
  WalkStatus status = enter_path(w, name_at, item);
  if (status == WALK_FAULT && item->error == ENOTDIR && is_link(w, name_at))
    return WALK_END;
  return status;
}

void walk_leave(Walk *w, WalkItem *item) {
  pop_folder(w);
  tell(w, item);
}

/* Birth and death. */

Walk *walk_new(const char *top) {
  Walk *w = calloc(1, sizeof *w);
  if (w == NULL)
    return NULL;
  Buf *bufs[] = {&w->path, &w->names, &w->entries, &w->folders, &w->globs};
  for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
    buf_init(bufs[i]);
  w->rules = (WalkRules){.types = 1u << SYS_FILE, .max_size = -1};
  w->oldest_open = 1;
  w->mean = 4 * SMALL_BYTES; /* the first hundred sizes are no guesses */
  size_t len = strlen(top);
  if (buf_reserve(&w->path, len + 2) != 0) {
    free(w);
    return NULL;
  }
  memcpy(w->path.base, top, len);
  end_path(w, len);
  return w;
}

void walk_free(Walk *w) {
  if (w == NULL)
    return;
  close_folders(w, 0, walk_depth(w));
  Glob **globs = (void *)w->globs.base;
  for (size_t i = 0; i < w->globs.len / sizeof *globs; i++)
    free(globs[i]);
  buf_clear(&w->path);
  buf_clear(&w->names);
  buf_clear(&w->entries);
  buf_clear(&w->folders);
  buf_clear(&w->globs);
  free(w);
}

WalkRules *walk_rules(Walk *w) {
  return &w->rules;
}
