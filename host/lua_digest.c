/*
** lua_digest.c - tidepool.digest: a callable table over digest.c.
** Runs in: every process.  Owns: the digest userdata.  Never: loads libcrypto
** before the first digest is asked for.
*/
#define _POSIX_C_SOURCE 200809L
#include "lua_digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "digest.h"
#include "lua_nursery.h"

#define DIGEST_TYPE "tidepool.digest"
#define DEFAULT_NAME "sha512"

enum { WHY_BYTES = 160 };

static int no_memory(lua_State *L) {
  return luaL_error(L, "not enough memory");
}

/* A string without zero bytes; `arg` is the argument to blame. */
static const char *plain_string(lua_State *L, int idx, int arg,
                                const char *what) {
  size_t len;
  const char *s = luaL_checklstring(L, idx, &len);
  if (strlen(s) != len)
    luaL_argerror(L, arg, lua_pushfstring(L, "%s contains a zero byte", what));
  return s;
}

static const char *check_name(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? DEFAULT_NAME
                                 : plain_string(L, arg, arg, "digest name");
}

static const char *check_path(lua_State *L, int arg) {
  return plain_string(L, arg, arg, "path");
}

/* `arg` is the argument to blame. */
static const DigestKind *find_kind(lua_State *L, const char *name, int arg) {
  char why[WHY_BYTES];
  const DigestKind *kind = digest_find(name, why, sizeof why);
  if (kind == NULL)
    luaL_argerror(L, arg, lua_pushstring(L, why));
  return kind;
}

static const DigestKind *check_kind(lua_State *L, int arg) {
  return find_kind(L, check_name(L, arg), arg);
}

/* One name, or a sequence of them; returns how many. */
static size_t check_kinds(lua_State *L, int arg, const DigestKind **kinds) {
  if (lua_type(L, arg) != LUA_TTABLE) {
    kinds[0] = check_kind(L, arg);
    return 1;
  }
  size_t n = lua_rawlen(L, arg);
  luaL_argcheck(L, n > 0, arg, "no digest named");
  luaL_argcheck(L, n <= DIGEST_MAX_AT_ONCE, arg, "too many digests");
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, arg, (lua_Integer)i + 1);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, arg,
                  "digest names must be strings");
    kinds[i] = find_kind(L, plain_string(L, -1, arg, "digest name"), arg);
    lua_pop(L, 1);
  }
  return n;
}

/* Returns what follows the digits. */
static char *put_hex(char *at, const uint8_t *bytes, size_t n) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++) {
    *at++ = digits[bytes[i] >> 4];
    *at++ = digits[bytes[i] & 15];
  }
  return at;
}

static void push_result(lua_State *L, const DigestKind *kind,
                        const uint8_t *bytes, bool raw) {
  char hex[2 * DIGEST_MAX_BYTES];
  if (raw)
    lua_pushlstring(L, (const char *)bytes, kind->bytes);
  else
    lua_pushlstring(L, hex, (size_t)(put_hex(hex, bytes, kind->bytes) - hex));
}

/* A new userdata on the stack, closed yet. */
static Digest *new_digest(lua_State *L) {
  Digest *d = lua_newuserdatauv(L, sizeof *d, 0);
  *d = (Digest){0};
  luaL_setmetatable(L, DIGEST_TYPE);
  return d;
}

static Digest *check_digest(lua_State *L) {
  Digest *d = luaL_checkudata(L, 1, DIGEST_TYPE);
  if (d->context == NULL)
    luaL_error(L, "digest is finished");
  return d;
}

static int m_update(lua_State *L) {
  Digest *d = check_digest(L);
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  if (digest_update(d, bytes, n) != 0)
    return no_memory(L);
  lua_settop(L, 1);
  return 1;
}

static int m_final(lua_State *L) {
  Digest *d = check_digest(L);
  uint8_t out[DIGEST_MAX_BYTES];
  if (digest_final(d, out) != 0)
    return no_memory(L);
  push_result(L, d->kind, out, lua_toboolean(L, 2));
  return 1;
}

static int m_clone(lua_State *L) {
  const Digest *from = check_digest(L);
  if (digest_copy(new_digest(L), from) != 0)
    return no_memory(L);
  return 1;
}

static int m__gc(lua_State *L) {
  digest_close(luaL_checkudata(L, 1, DIGEST_TYPE));
  return 0;
}

static int m__tostring(lua_State *L) {
  const Digest *d = luaL_checkudata(L, 1, DIGEST_TYPE);
  lua_pushfstring(L, "digest (%s%s)", d->kind != NULL ? d->kind->name : "",
                  d->context == NULL ? ", finished" : "");
  return 1;
}

/* digest(name): the table itself is argument 1. */
static int f__call(lua_State *L) {
  lua_remove(L, 1);
  const DigestKind *kind = check_kind(L, 1);
  if (digest_open(new_digest(L), kind) != 0)
    return no_memory(L);
  return 1;
}

static int f_string(lua_State *L) {
  const DigestKind *kind = check_kind(L, 1);
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  uint8_t out[DIGEST_MAX_BYTES];
  if (digest_bytes(kind, bytes, n, out) != 0)
    return no_memory(L);
  push_result(L, kind, out, lua_toboolean(L, 3));
  return 1;
}

static int f_file(lua_State *L) {
  const DigestKind *kinds[DIGEST_MAX_AT_ONCE];
  uint8_t out[DIGEST_MAX_AT_ONCE][DIGEST_MAX_BYTES];
  size_t n = check_kinds(L, 1, kinds);
  const char *path = check_path(L, 2);
  bool raw = lua_toboolean(L, 3); /* before results come to that index */
  const char *why = digest_file(kinds, n, path, out);
  if (why != NULL) {
    int error = errno;
    luaL_pushfail(L);
    lua_pushfstring(L, "%s: %s", path, why);
    lua_pushinteger(L, error);
    return 3;
  }
  for (size_t i = 0; i < n; i++)
    push_result(L, kinds[i], out[i], raw);
  return (int)n;
}

/* A path as in a list of sums; returns what follows it. */
static char *put_escaped(char *at, const char *path) {
  for (; *path != '\0'; path++) {
    const char *code = *path == '\n' ? "\\n" : *path == '\r' ? "\\r" : "\\\\";
    if (*path != '\n' && *path != '\r' && *path != '\\')
      *at++ = *path;
    else
      at = (char *)memcpy(at, code, 2) + 2;
  }
  return at;
}

static void add_line(luaL_Buffer *lines, const uint8_t *sum, size_t bytes,
                     const char *path) {
  size_t len = strlen(path);
  bool plain = strpbrk(path, "\\\n\r") == NULL;
  char *room = luaL_prepbuffsize(lines, 2 * bytes + 2 * len + 4);
  char *at = room;
  if (!plain)
    *at++ = '\\';
  at = put_hex(at, sum, bytes);
  at = stpcpy(at, "  ");
  at = plain ? stpcpy(at, path) : put_escaped(at, path);
  *at++ = '\n';
  luaL_addsize(lines, (size_t)(at - room));
}

/* Places of n paths, for as long as those are where they are. */
static DigestItem *push_items(lua_State *L, size_t n) {
  if (n > SIZE_MAX / sizeof(DigestItem))
    no_memory(L);
  return lua_newuserdatauv(L, n * sizeof(DigestItem), 0);
}

static DigestItem *push_sequence(lua_State *L, int idx, size_t *n) {
  *n = lua_rawlen(L, idx);
  DigestItem *items = push_items(L, *n);
  for (size_t i = 0; i < *n; i++) {
    if (lua_rawgeti(L, idx, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_argerror(L, idx, "paths must be strings");
    items[i].path = plain_string(L, -1, idx, "path");
    lua_pop(L, 1);
  }
  return items;
}

/* Paths that each end in a zero byte; the last may do without. */
static DigestItem *push_joined(lua_State *L, int idx, size_t *n) {
  size_t len;
  const char *text = lua_tolstring(L, idx, &len), *at = text;
  for (*n = 0; at < text + len; at += strlen(at) + 1)
    ++*n;
  DigestItem *items = push_items(L, *n);
  at = text;
  for (size_t i = 0; i < *n; i++, at += strlen(at) + 1)
    items[i].path = at;
  return items;
}

static void push_failure(lua_State *L, const DigestItem *item) {
  lua_createtable(L, 0, 3);
  lua_pushstring(L, item->path);
  lua_setfield(L, -2, "path");
  lua_pushstring(L, item->why);
  lua_setfield(L, -2, "message");
  lua_pushinteger(L, item->error);
  lua_setfield(L, -2, "errno");
}

static int f_lines(lua_State *L) {
  const DigestKind *kind = check_kind(L, 1);
  bool joined = lua_type(L, 2) == LUA_TSTRING;
  if (!joined && !lua_istable(L, 2))
    return luaL_typeerror(L, 2, "string or table");
  size_t n;
  DigestItem *items = joined ? push_joined(L, 2, &n) : push_sequence(L, 2, &n);
  digest_files(kind, items, n);
  lua_newtable(L);
  lua_Integer failures = 0;
  for (size_t i = 0; i < n; i++)
    if (items[i].why != NULL) {
      push_failure(L, &items[i]);
      lua_rawseti(L, -2, ++failures);
    }
  luaL_Buffer lines;
  luaL_buffinit(L, &lines);
  for (size_t i = 0; i < n; i++)
    if (items[i].why == NULL)
      add_line(&lines, items[i].out, kind->bytes, items[i].path);
  luaL_pushresult(&lines);
  lua_insert(L, -2);
  return 2;
}

/* The next pool's workers get them while we do. */
static int f_prefetch(lua_State *L) {
  const DigestKind *kinds[DIGEST_MAX_AT_ONCE];
  const Nursery *n = nursery_of(L);
  if (n != NULL && lua_type(L, 1) != LUA_TTABLE)
    nursery_expect(n, check_name(L, 1));
  check_kinds(L, 1, kinds);
  return 0;
}

static int f_fetched(lua_State *L) {
  lua_newtable(L);
  const char *name;
  for (size_t i = 0; (name = digest_name(i)) != NULL; i++) {
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

typedef struct NameList {
  size_t len;
  char room[2048]; /* names, each with its zero byte */
} NameList;

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Called by libcrypto under its own locks: must not raise. */
static void collect_name(const char *name, void *with) {
  NameList *list = with;
  size_t bytes = strlen(name) + 1;
  if (bytes == 1 || bytes > sizeof list->room - list->len)
    return;
  for (size_t i = 0; i < bytes; i++)
    list->room[list->len++] = lower(name[i]);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once: two providers may have the same algorithm. */
static void push_names(lua_State *L, const NameList *list) {
  const char *sorted[sizeof list->room / 2];
  size_t n = 0, kept = 0;
  for (size_t at = 0; at < list->len; at += strlen(list->room + at) + 1)
    sorted[n++] = list->room + at;
  qsort(sorted, n, sizeof *sorted, by_text);
  lua_newtable(L);
  for (size_t i = 0; i < n; i++) {
    if (i > 0 && strcmp(sorted[i - 1], sorted[i]) == 0)
      continue;
    lua_pushstring(L, sorted[i]);
    lua_rawseti(L, -2, (lua_Integer)++kept);
  }
}

static int f_names(lua_State *L) {
  char why[WHY_BYTES];
  NameList list = {.len = 0};
  if (digest_names(collect_name, &list, why, sizeof why) != 0)
    return luaL_error(L, "%s", why);
  push_names(L, &list);
  return 1;
}

static int f_version(lua_State *L) {
  char why[WHY_BYTES];
  const char *version = digest_version(why, sizeof why);
  if (version == NULL) {
    luaL_pushfail(L);
    lua_pushstring(L, why);
    return 2;
  }
  lua_pushstring(L, version);
  return 1;
}

static const luaL_Reg methods[] = {
    {"update", m_update}, {"final", m_final}, {"clone", m_clone}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__gc", m__gc},
                                       {"__close", m__gc},
                                       {"__tostring", m__tostring},
                                       {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"string", f_string},     {"file", f_file},
    {"lines", f_lines},       {"names", f_names},
    {"prefetch", f_prefetch}, {"fetched", f_fetched},
    {"version", f_version},   {NULL, NULL}};

static void make_type(lua_State *L) {
  if (luaL_newmetatable(L, DIGEST_TYPE)) {
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, DIGEST_TYPE);
    lua_setfield(L, -2, "__metatable");
  }
  lua_pop(L, 1);
}

int luaopen_tidepool_digest(lua_State *L) {
  make_type(L);
  luaL_newlib(L, functions);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, f__call);
  lua_setfield(L, -2, "__call");
  lua_setmetatable(L, -2);
  return 1;
}
