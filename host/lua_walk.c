/*
** lua_walk.c - tidepool.walk and tidepool.files: iterators over walk.c.
** Runs in: every process.  Owns: the iterator userdata.  Never: loses an error.
*/
#include "lua_walk.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <lauxlib.h>

#include "buf.h"
#include "walk.h"

#define WALKER_TYPE "tidepool.walk"

enum { MOST_ERRORS = 100 }; /* that are kept, besides their count */

/* User values of the iterator. */
enum { ON_ERROR = 1, ERRORS, STACK };

/* What a step gathered is kept here, not on the stack: onerror may raise. */
typedef struct Batch {
  int64_t most_files, most_bytes; /* 0: paths one by one; any number */
  int64_t files, bytes;
  Buf names;
  bool held; /* `item` is the first of the next batch */
  WalkItem item;
} Batch;

typedef struct Walker {
  Walk *walk; /* NULL: at its end, or closed */
  bool by_folder, topdown, sizes, started;
  Batch batch;
} Walker;

/* The type of all steps but the first few is settled by one comparison: the
** metatable is an upvalue of __call. */
static Walker *check_walker(lua_State *L) {
  if (lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(1))) {
    lua_pop(L, 1);
    return lua_touserdata(L, 1);
  }
  return luaL_checkudata(L, 1, WALKER_TYPE);
}

static void close_walker(Walker *k) {
  Walk *walk = k->walk;
  k->walk = NULL;
  walk_free(walk);
  k->batch.held = false;
}

/* Errors. */

static void push_no_errors(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "n");
}

/* Stack: path, message, errno. */
static void keep_error(lua_State *L, int first) {
  lua_getiuservalue(L, 1, ERRORS);
  lua_getfield(L, -1, "n");
  lua_Integer n = lua_tointeger(L, -1) + 1;
  lua_pushinteger(L, n);
  lua_setfield(L, -3, "n");
  lua_pop(L, 1);
  if (n > MOST_ERRORS)
    return;
  lua_createtable(L, 0, 3);
  static const char *const fields[] = {"path", "message", "errno"};
  for (int i = 0; i < 3; i++) {
    lua_pushvalue(L, first + i);
    lua_setfield(L, -2, fields[i]);
  }
  lua_rawseti(L, -2, n);
}

/* Calls onerror, or keeps the error and warns. The iterator is at index 1. */
static void report(lua_State *L, const WalkItem *item) {
  int base = lua_gettop(L), error = item->error;
  lua_pushlstring(L, item->path, item->len);
  lua_pushstring(L, strerror(error));
  lua_pushinteger(L, error);
  if (lua_getiuservalue(L, 1, ON_ERROR) != LUA_TNIL) {
    lua_insert(L, base + 1);
    lua_call(L, 3, 0);
  } else {
    keep_error(L, base + 1);
    lua_warning(L, lua_tostring(L, base + 1), 1);
    lua_warning(L, ": ", 1);
    lua_warning(L, strerror(error), 0);
  }
  lua_settop(L, base);
}

/* files */

static int next_file(lua_State *L, Walker *k) {
  WalkItem item;
  while (k->walk != NULL) {
    switch (walk_next(k->walk, &item)) {
    case WALK_ITEM:
      lua_pushlstring(L, item.path, item.len);
      if (k->sizes)
        lua_pushinteger(L, item.size);
      return 1 + k->sizes;
    case WALK_FAULT:
      report(L, &item);
      break;
    case WALK_END:
      close_walker(k);
      break;
    }
  }
  luaL_pushfail(L);
  return 1;
}

/* Whether there is an item to add, and it belongs to this batch. */
static bool fits(const Batch *b) {
  if (!b->held || b->files == b->most_files)
    return false;
  return b->files == 0 || b->most_bytes == 0 ||
         b->item.size <= b->most_bytes - b->bytes;
}

static void add_to_batch(lua_State *L, Batch *b) {
  if (buf_append(&b->names, b->item.path, b->item.len + 1) != 0)
    luaL_error(L, "not enough memory");
  b->files++;
  b->bytes = (int64_t)((uint64_t)b->bytes + (uint64_t)b->item.size);
  b->held = false;
}

/* Goes on to the next item, or closes the walk. */
static void hold_next(lua_State *L, Walker *k) {
  while (k->walk != NULL && !k->batch.held) {
    switch (walk_next(k->walk, &k->batch.item)) {
    case WALK_ITEM:
      k->batch.held = true;
      break;
    case WALK_FAULT:
      report(L, &k->batch.item);
      break;
    case WALK_END:
      close_walker(k);
      break;
    }
  }
}

static int next_batch(lua_State *L, Walker *k) {
  Batch *b = &k->batch;
  while (hold_next(L, k), fits(b))
    add_to_batch(L, b);
  if (b->files == 0) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushlstring(L, (const char *)b->names.base, b->names.len);
  lua_pushinteger(L, b->files);
  if (k->sizes)
    lua_pushinteger(L, b->bytes);
  b->files = b->bytes = 0;
  b->names.len = 0;
  return 2 + k->sizes;
}

/* walk. STACK holds the two lists of each folder entered, from the top. */

enum { DIRS = 1, FILES, PER_FOLDER = FILES };

static lua_Integer place(const Walker *k, int list) {
  return ((lua_Integer)walk_depth(k->walk) - 1) * PER_FOLDER + list;
}

static void push_list(lua_State *L, const Walker *k, int list) {
  lua_getiuservalue(L, 1, STACK);
  lua_rawgeti(L, -1, place(k, list));
  lua_remove(L, -2);
}

/* Makes the value on the top of the stack that list, and pops it. */
static void set_list(lua_State *L, const Walker *k, int list) {
  lua_getiuservalue(L, 1, STACK);
  lua_insert(L, -2);
  lua_rawseti(L, -2, place(k, list));
  lua_pop(L, 1);
}

static void push_new_list(lua_State *L, const Walker *k, int list) {
  lua_newtable(L);
  lua_pushvalue(L, -1);
  set_list(L, k, list);
}

/* Fills the two lists on the top of the stack. Returns whether the walk is
** still there: an onerror may close it. */
static bool fill_lists(lua_State *L, Walker *k) {
  WalkItem item;
  WalkStatus status;
  lua_Integer dirs = 0, files = 0;
  while (k->walk != NULL && (status = walk_entry(k->walk, &item)) != WALK_END) {
    if (status == WALK_FAULT) {
      report(L, &item);
      continue;
    }
    bool is_dir = item.kind == SYS_DIR;
    lua_pushstring(L, item.path + item.name_at);
    lua_rawseti(L, is_dir ? -3 : -2, is_dir ? ++dirs : ++files);
    if (is_dir)
      walk_mark(k->walk)->count++;
  }
  return k->walk != NULL;
}

/* Enters a folder of the current one, NULL: the top, and pushes its root, dirs
** and files. Returns whether it is entered. */
static bool enter(lua_State *L, Walker *k, const char *name) {
  WalkItem item;
  WalkStatus status = walk_enter(k->walk, name, &item);
  if (status == WALK_FAULT)
    report(L, &item);
  if (status != WALK_ITEM)
    return false;
  lua_pushlstring(L, item.path, item.len);
  push_new_list(L, k, DIRS);
  push_new_list(L, k, FILES);
  return fill_lists(L, k);
}

/* Pushes the next name in the current folder's list, as its reader left it:
** nil and false are names taken out. False at the end. */
static bool push_next_dir(lua_State *L, const Walker *k) {
  WalkMark *mark = walk_mark(k->walk);
  push_list(L, k, DIRS);
  while (mark->done < mark->count || mark->done < lua_rawlen(L, -1)) {
    lua_rawgeti(L, -1, (lua_Integer)++mark->done);
    if (lua_type(L, -1) == LUA_TSTRING)
      return true;
    if (lua_toboolean(L, -1))
      luaL_error(L, "dirs[%I] must be a string (got %s)",
                 (LUAI_UACINT)mark->done, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  return false;
}

/* Leaves the current folder, and pushes its root, dirs and files. */
static void leave(lua_State *L, Walker *k) {
  WalkItem item;
  push_list(L, k, DIRS);
  push_list(L, k, FILES);
  for (int list = DIRS; list <= FILES; list++) {
    lua_pushnil(L);
    set_list(L, k, list);
  }
  walk_leave(k->walk, &item);
  lua_pushlstring(L, item.path, item.len);
  lua_insert(L, -3);
}

static bool push_next_folder(lua_State *L, Walker *k) {
  if (!k->started) {
    k->started = true;
    return enter(L, k, NULL) && k->topdown;
  }
  if (push_next_dir(L, k))
    return enter(L, k, lua_tostring(L, -1)) && k->topdown;
  leave(L, k);
  return !k->topdown;
}

static int next_folder(lua_State *L, Walker *k) {
  while (k->walk != NULL && (!k->started || walk_depth(k->walk) > 0)) {
    lua_settop(L, 1);
    if (push_next_folder(L, k))
      return 3;
  }
  close_walker(k);
  luaL_pushfail(L);
  return 1;
}

/* The iterator. */

static int m__call(lua_State *L) {
  Walker *k = check_walker(L);
  lua_settop(L, 1);
  if (k->by_folder)
    return next_folder(L, k);
  return k->batch.most_files > 0 ? next_batch(L, k) : next_file(L, k);
}

static int m_close(lua_State *L) {
  close_walker(check_walker(L));
  return 0;
}

static int m__gc(lua_State *L) {
  Walker *k = check_walker(L);
  close_walker(k);
  buf_clear(&k->batch.names);
  return 0;
}

static int m_errors(lua_State *L) {
  check_walker(L);
  lua_getiuservalue(L, 1, ERRORS);
  return 1;
}

/* Options. */

typedef enum OptionType {
  OPTION_BOOLEAN,
  OPTION_HIDDEN, /* kept the other way round */
  OPTION_TOPDOWN,
  OPTION_DEPTH,
  OPTION_SIZE,
  OPTION_SIZES,
  OPTION_BATCH,
  OPTION_BATCH_BYTES,
  OPTION_INCLUDE,
  OPTION_EXCLUDE,
  OPTION_TYPES,
  OPTION_FUNCTION
} OptionType;

enum { IN_WALK = 1, IN_FILES = 2, IN_BOTH = IN_WALK | IN_FILES };

typedef struct Option {
  const char *name;
  OptionType type;
  int in;
  size_t offset; /* in WalkRules */
} Option;

static const Option options[] = {
    {"topdown", OPTION_TOPDOWN, IN_WALK, 0},
    {"onerror", OPTION_FUNCTION, IN_BOTH, 0},
    {"followlinks", OPTION_BOOLEAN, IN_BOTH, offsetof(WalkRules, follow)},
    {"one_filesystem", OPTION_BOOLEAN, IN_BOTH,
     offsetof(WalkRules, one_filesystem)},
    {"hidden", OPTION_HIDDEN, IN_BOTH, offsetof(WalkRules, skip_hidden)},
    {"sizes", OPTION_SIZES, IN_FILES, 0},
    {"batch", OPTION_BATCH, IN_FILES, 0},
    {"batch_bytes", OPTION_BATCH_BYTES, IN_FILES, 0},
    {"max_depth", OPTION_DEPTH, IN_BOTH, offsetof(WalkRules, max_depth)},
    {"min_size", OPTION_SIZE, IN_BOTH, offsetof(WalkRules, min_size)},
    {"max_size", OPTION_SIZE, IN_BOTH, offsetof(WalkRules, max_size)},
    {"include", OPTION_INCLUDE, IN_BOTH, 0},
    {"exclude", OPTION_EXCLUDE, IN_BOTH, 0},
    {"types", OPTION_TYPES, IN_BOTH, 0},
};

static int bad_option(lua_State *L, const Option *o, const char *wanted) {
  const char *got = lua_type(L, -1) == LUA_TNUMBER ? luaL_tolstring(L, -1, NULL)
                                                   : luaL_typename(L, -1);
  return luaL_error(L, "option \"%s\" must be %s (got %s)", o->name, wanted,
                    got);
}

static bool check_boolean(lua_State *L, const Option *o) {
  if (!lua_isboolean(L, -1))
    bad_option(L, o, "a boolean");
  return lua_toboolean(L, -1);
}

static void set_sizes(lua_State *L, const Option *o, WalkRules *rules) {
  rules->about = lua_type(L, -1) == LUA_TSTRING &&
                 strcmp(lua_tostring(L, -1), "about") == 0;
  if (!rules->about && !lua_isboolean(L, -1))
    bad_option(L, o, "a boolean or \"about\"");
  rules->sizes = lua_toboolean(L, -1);
}

static int64_t check_integer(lua_State *L, const Option *o, int64_t least) {
  int is_integer = 0;
  lua_Integer n = lua_tointegerx(L, -1, &is_integer);
  if (lua_type(L, -1) != LUA_TNUMBER || !is_integer || n < least)
    bad_option(L, o, least == 0 ? "an integer >= 0" : "an integer >= 1");
  return n;
}

/* Calls `each` for the string, or for each string of the list, at the top. */
static void each_string(lua_State *L, const Option *o, Walker *k,
                        void (*each)(lua_State *, Walker *, const char *)) {
  static const char wanted[] = "a string or a list of strings";
  if (lua_type(L, -1) == LUA_TSTRING) {
    each(L, k, lua_tostring(L, -1));
    return;
  }
  if (!lua_istable(L, -1))
    bad_option(L, o, wanted);
  size_t n = lua_rawlen(L, -1);
  for (size_t i = 1; i <= n; i++) {
    if (lua_rawgeti(L, -1, (lua_Integer)i) != LUA_TSTRING)
      bad_option(L, o, wanted);
    each(L, k, lua_tostring(L, -1));
    lua_pop(L, 1);
  }
}

static void include(lua_State *L, Walker *k, const char *glob) {
  if (walk_glob(k->walk, WALK_INCLUDE, glob) != 0)
    luaL_error(L, "not enough memory");
}

static void exclude(lua_State *L, Walker *k, const char *glob) {
  if (walk_glob(k->walk, WALK_EXCLUDE, glob) != 0)
    luaL_error(L, "not enough memory");
}

static void add_type(lua_State *L, Walker *k, const char *type) {
  static const struct {
    const char *name;
    SysKind kind;
  } kinds[] = {{"file", SYS_FILE}, {"link", SYS_LINK},
               {"fifo", SYS_FIFO}, {"socket", SYS_SOCKET},
               {"char", SYS_CHAR}, {"block", SYS_BLOCK}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(kinds[i].name, type) == 0) {
      walk_rules(k->walk)->types |= 1u << kinds[i].kind;
      return;
    }
  luaL_error(L, "option \"types\" has an unknown type \"%s\"", type);
}

/* The value is at the top of the stack, the iterator at index 3. */
static void set_option(lua_State *L, Walker *k, const Option *o) {
  WalkRules *rules = walk_rules(k->walk);
  void *field = (char *)rules + o->offset;
  switch (o->type) {
  case OPTION_BOOLEAN:
    *(bool *)field = check_boolean(L, o);
    break;
  case OPTION_HIDDEN:
    *(bool *)field = !check_boolean(L, o);
    break;
  case OPTION_TOPDOWN:
    k->topdown = check_boolean(L, o);
    break;
  case OPTION_DEPTH:
    *(int64_t *)field = check_integer(L, o, 1);
    break;
  case OPTION_SIZE:
    *(int64_t *)field = check_integer(L, o, 0);
    break;
  case OPTION_SIZES:
    set_sizes(L, o, rules);
    break;
  case OPTION_BATCH:
    k->batch.most_files = check_integer(L, o, 1);
    break;
  case OPTION_BATCH_BYTES:
    k->batch.most_bytes = check_integer(L, o, 1);
    break;
  case OPTION_INCLUDE:
    each_string(L, o, k, include);
    break;
  case OPTION_EXCLUDE:
    each_string(L, o, k, exclude);
    break;
  case OPTION_TYPES:
    rules->types = 0;
    each_string(L, o, k, add_type);
    break;
  case OPTION_FUNCTION:
    if (!lua_isfunction(L, -1))
      bad_option(L, o, "a function");
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 3, ON_ERROR);
    break;
  }
}

static const Option *find_option(lua_State *L, int in) {
  if (lua_type(L, -2) == LUA_TSTRING)
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
      if ((options[i].in & in) != 0 &&
          strcmp(options[i].name, lua_tostring(L, -2)) == 0)
        return &options[i];
  return NULL;
}

/* The key is below the value, at the top of the stack. */
static void check_option(lua_State *L, Walker *k, int in) {
  const Option *o = find_option(L, in);
  if (o != NULL)
    set_option(L, k, o);
  else
    luaL_error(L, "unknown option \"%s\"", luaL_tolstring(L, -2, NULL));
}

/* A closed iterator, on the stack; then what it holds. */
static Walker *new_walker(lua_State *L, const char *top) {
  Walker *k = lua_newuserdatauv(L, sizeof *k, STACK);
  *k = (Walker){.topdown = true};
  buf_init(&k->batch.names);
  luaL_setmetatable(L, WALKER_TYPE);
  push_no_errors(L);
  lua_setiuservalue(L, -2, ERRORS);
  k->walk = walk_new(top);
  if (k->walk == NULL)
    luaL_error(L, "not enough memory");
  return k;
}

/* Arguments: dir [, opts]. Leaves the iterator at the top, index 3. */
static Walker *check_arguments(lua_State *L, int in) {
  size_t len;
  const char *top = luaL_checklstring(L, 1, &len);
  luaL_argcheck(L, strlen(top) == len, 1, "path contains a zero byte");
  if (!lua_isnoneornil(L, 2))
    luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  Walker *k = new_walker(L, top);
  if (in == IN_WALK) {
    walk_rules(k->walk)->types = ~0u;
    walk_rules(k->walk)->by_folder = k->by_folder = true;
  }
  if (lua_istable(L, 2))
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1))
      check_option(L, k, in);
  if (k->batch.most_bytes > 0 && k->batch.most_files == 0)
    luaL_error(L, "option \"batch_bytes\" needs option \"batch\"");
  if (k->batch.most_bytes > 0)
    walk_rules(k->walk)->sizes = true;
  k->sizes = walk_rules(k->walk)->sizes;
  return k;
}

static int f_walk(lua_State *L) {
  check_arguments(L, IN_WALK);
  lua_newtable(L);
  lua_setiuservalue(L, -2, STACK);
  return 1;
}

static int f_files(lua_State *L) {
  check_arguments(L, IN_FILES);
  return 1;
}

static const luaL_Reg metamethods[] = {
    {"__call", m__call}, {"__gc", m__gc}, {"__close", m_close}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"close", m_close}, {"errors", m_errors}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"walk", f_walk}, {"files", f_files}, {NULL, NULL}};

int luaopen_tidepool_walk(lua_State *L) {
  if (luaL_newmetatable(L, WALKER_TYPE)) {
    lua_pushvalue(L, -1);
    luaL_setfuncs(L, metamethods, 1);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, WALKER_TYPE);
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
