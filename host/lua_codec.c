/*
** lua_codec.c - the Lua face of the codec.
** Runs in: every process.  Owns: a scratch buffer per state.  Never: CBOR.
*/
#include "lua_codec.h"

#include <limits.h>
#include <lauxlib.h>
#include <string.h>

#include "buf.h"
#include "codec.h"
#include "scalar.h"

#define SCRATCH "tidepool.codec.scratch"
enum { SCRATCH_KEPT = 4 << 20 };

/* --- options --- */

typedef struct Options {
  CodecOptions codec;
  bool magic;
} Options;

static const Options no_options;

typedef enum OptionKind {
  OPTION_FLAG,   /* true sets the flag */
  OPTION_UNFLAG, /* false sets it */
  OPTION_CHOICE,
  OPTION_DEPTH,
  OPTION_BYTES,
  OPTION_MAGIC,
  OPTION_NULL,
  OPTION_TAGS
} OptionKind;

static const struct OptionName {
  const char *name;
  OptionKind kind;
  uint32_t flag;
} option_names[] = {{"strings", OPTION_CHOICE, CODEC_BYTES | CODEC_TEXT},
                    {"bigint", OPTION_CHOICE, CODEC_BIG_FLOAT},
                    {"sharing", OPTION_UNFLAG, CODEC_TREE},
                    {"strict", OPTION_FLAG, CODEC_STRICT},
                    {"deterministic", OPTION_FLAG, CODEC_SORTED},
                    {"dedupe", OPTION_FLAG, CODEC_DEDUPE},
                    {"magic", OPTION_MAGIC, 0},
                    {"max_depth", OPTION_DEPTH, 0},
                    {"max_bytes", OPTION_BYTES, 0},
                    {"null", OPTION_NULL, 0},
                    {"tags", OPTION_TAGS, 0},
                    {NULL, OPTION_FLAG, 0}};

static const struct Choice {
  const char *option, *value;
  uint32_t flag;
} choices[] = {{"strings", "auto", 0},
               {"strings", "bytes", CODEC_BYTES},
               {"strings", "text", CODEC_TEXT},
               {"bigint", "error", 0},
               {"bigint", "float", CODEC_BIG_FLOAT},
               {"bigint", "string", CODEC_BIG_STRING},
               {NULL, NULL, 0}};

static int bad_option(lua_State *L, int arg, const char *name,
                      const char *expected) {
  return luaL_argerror(L, arg,
                       lua_pushfstring(L, "option '%s': %s expected, got %s",
                                       name, expected, luaL_typename(L, -1)));
}

static bool boolean_option(lua_State *L, int arg, const char *name) {
  if (!lua_isboolean(L, -1))
    bad_option(L, arg, name, "boolean");
  return lua_toboolean(L, -1);
}

static lua_Integer integer_option(lua_State *L, int arg, const char *name,
                                  lua_Integer most) {
  int is_integer;
  lua_Integer i = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer || lua_type(L, -1) != LUA_TNUMBER)
    bad_option(L, arg, name, "integer");
  if (i < 1 || i > most)
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "option '%s': 1 to %I expected, got %I",
                                  name, (LUAI_UACINT)most, (LUAI_UACINT)i));
  return i;
}

static uint32_t choice_option(lua_State *L, int arg, const char *name) {
  if (lua_type(L, -1) != LUA_TSTRING)
    bad_option(L, arg, name, "string");
  const char *value = lua_tostring(L, -1);
  for (const struct Choice *c = choices; c->option != NULL; c++)
    if (strcmp(c->option, name) == 0 && strcmp(c->value, value) == 0)
      return c->flag;
  return (uint32_t)luaL_argerror(
      L, arg,
      lua_pushfstring(L, "option '%s': invalid value '%s'", name, value));
}

/* The table of handlers is on the top. */
static void check_tags(lua_State *L, int arg) {
  if (!lua_istable(L, -1))
    bad_option(L, arg, "tags", "table");
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (!lua_isinteger(L, -2) || !lua_isfunction(L, -1))
      luaL_argerror(L, arg,
                    "option 'tags': integer keys and functions "
                    "expected");
    lua_pop(L, 1);
  }
}

/* The option's value is on the top. */
static void take_option(lua_State *L, int arg, const struct OptionName *o,
                        Options *to) {
  switch (o->kind) {
  case OPTION_FLAG:
    to->codec.flags |= boolean_option(L, arg, o->name) ? o->flag : 0;
    break;
  case OPTION_UNFLAG:
    to->codec.flags |= boolean_option(L, arg, o->name) ? 0 : o->flag;
    break;
  case OPTION_CHOICE:
    to->codec.flags |= choice_option(L, arg, o->name);
    break;
  case OPTION_DEPTH:
    to->codec.max_depth =
        (int)integer_option(L, arg, o->name, CODEC_DEPTH_MOST);
    break;
  case OPTION_BYTES:
    to->codec.max_bytes =
        (size_t)integer_option(L, arg, o->name, LUA_MAXINTEGER);
    break;
  case OPTION_MAGIC:
    to->magic = boolean_option(L, arg, o->name);
    break;
  case OPTION_NULL:
    break;
  case OPTION_TAGS:
    check_tags(L, arg);
    break;
  }
}

static const struct OptionName *find_option(lua_State *L, int arg) {
  if (lua_type(L, -2) != LUA_TSTRING)
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "option names are strings, got a %s",
                                  luaL_typename(L, -2)));
  const char *name = lua_tostring(L, -2);
  const struct OptionName *o = option_names;
  while (o->name != NULL && strcmp(o->name, name) != 0)
    o++;
  if (o->name == NULL)
    luaL_argerror(L, arg, lua_pushfstring(L, "unknown option '%s'", name));
  return o;
}

static Options read_table(lua_State *L, int arg) {
  Options to = {.magic = false};
  luaL_checktype(L, arg, LUA_TTABLE);
  luaL_checkstack(L, 10, NULL);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    take_option(L, arg, find_option(L, arg), &to);
    lua_pop(L, 1);
  }
  if (lua_getfield(L, arg, "null") != LUA_TNIL)
    to.codec.null = lua_gettop(L);
  if (lua_getfield(L, arg, "tags") != LUA_TNIL)
    to.codec.tags = lua_gettop(L);
  return to;
}

/* Leaves `null` and `tags` on the stack when they are given. */
static inline Options read_options(lua_State *L, int arg) {
  return lua_gettop(L) < arg || lua_isnil(L, arg) ? no_options
                                                  : read_table(L, arg);
}

/* --- the scratch buffer --- */

typedef struct Scratch {
  Buf buf;
  bool is_busy; /* a hook may encode within an encode */
} Scratch;

static int m__gc(lua_State *L) {
  Scratch *scratch = luaL_checkudata(L, 1, SCRATCH);
  buf_clear(&scratch->buf);
  return 0;
}

static Scratch *push_scratch(lua_State *L) {
  Scratch *scratch = lua_newuserdatauv(L, sizeof *scratch, 0);
  buf_init(&scratch->buf);
  scratch->is_busy = false;
  luaL_setmetatable(L, SCRATCH);
  return scratch;
}

/* May push a value that has to stay on the stack. */
static Scratch *take_scratch(lua_State *L) {
  Scratch *scratch = lua_touserdata(L, lua_upvalueindex(1));
  if (scratch->is_busy)
    scratch = push_scratch(L);
  scratch->is_busy = true;
  scratch->buf.len = 0;
  return scratch;
}

/*
** Lua copies the bytes before its collector may run, so a finalizer that
** encodes may have the buffer already.
*/
static void push_bytes(lua_State *L, Scratch *scratch) {
  scratch->is_busy = false;
  lua_pushlstring(L, (const char *)scratch->buf.base, scratch->buf.len);
  if (scratch->buf.cap > SCRATCH_KEPT && !scratch->is_busy)
    buf_clear(&scratch->buf);
}

static int raise_encode(lua_State *L, const char *what, const CodecError *e) {
  if (what != NULL)
    return luaL_error(L, "cannot encode %s%s: %s", what, e->path, e->why);
  return luaL_error(L, "cannot encode argument %d%s: %s", e->value, e->path,
                    e->why);
}

/* A head and the string at 1: a concatenation copies that once. */
static void push_string(lua_State *L) {
  uint8_t head[HEAD_MOST];
  size_t len;
  const uint8_t *s = (const uint8_t *)lua_tolstring(L, 1, &len);
  unsigned major = codec_is_utf8(s, len) ? MAJOR_TEXT : MAJOR_BYTES;
  lua_pushlstring(L, (char *)head, head_put(head, major, len));
  lua_pushvalue(L, 1);
  lua_concat(L, 2);
}

/* A value that is no container needs no buffer. */
static bool push_scalar(lua_State *L) {
  uint8_t item[HEAD_MOST];
  int type = lua_type(L, 1);
  if (type == LUA_TSTRING) {
    push_string(L);
    return true;
  }
  size_t bytes = scalar_put(L, 1, type, item);
  if (bytes > 0)
    lua_pushlstring(L, (char *)item, bytes);
  return bytes > 0;
}

/* The value at 1 by way of the buffer. */
static int encode_value(lua_State *L, const Options *opts) {
  CodecError err;
  Scratch *scratch = take_scratch(L);
  uint8_t magic[3] = {MAJOR_TAG << 5 | INFO_TWO, TAG_CBOR >> 8,
                      TAG_CBOR & 0xff};
  if (opts->magic && buf_append(&scratch->buf, magic, sizeof magic) != 0) {
    scratch->is_busy = false;
    return luaL_error(L, "not enough memory");
  }
  if (codec_encode(L, 1, 1, &scratch->buf, &opts->codec, &err) != CODEC_OK) {
    scratch->is_busy = false;
    return raise_encode(L, "value", &err);
  }
  push_bytes(L, scratch);
  return 1;
}

static int f_encode(lua_State *L) {
  if (lua_gettop(L) == 1)
    return push_scalar(L) ? 1 : encode_value(L, &no_options);
  luaL_checkany(L, 1);
  Options opts = read_options(L, 2);
  return encode_value(L, &opts);
}

static int f_pack(lua_State *L) {
  static const CodecOptions opts;
  CodecError err = {.status = CODEC_FULL, .value = 1, .why = "no memory"};
  uint8_t head[HEAD_MOST];
  int n = lua_gettop(L);
  luaL_checkstack(L, 10, NULL);
  Scratch *scratch = take_scratch(L);
  size_t bytes = head_put(head, MAJOR_ARRAY, (uint64_t)n);
  if (buf_append(&scratch->buf, head, bytes) != 0 ||
      codec_encode(L, 1, n, &scratch->buf, &opts, &err) != CODEC_OK) {
    scratch->is_busy = false;
    return raise_encode(L, NULL, &err);
  }
  push_bytes(L, scratch);
  return 1;
}

/* --- decoding --- */

static const char *push_decode_message(lua_State *L, const CodecError *err,
                                       size_t from) {
  return lua_pushfstring(L, "cannot decode: %s at offset %I", err->why,
                         (LUAI_UACINT)(err->at + from));
}

/* Where to begin: the argument `i`, from 1, as an offset. */
static size_t check_start(lua_State *L, int arg, size_t size) {
  lua_Integer i = luaL_optinteger(L, arg, 1);
  luaL_argcheck(L, i >= 1 && (size_t)i - 1 <= size, arg,
                "position out of bounds");
  return (size_t)i - 1;
}

static CodecStatus refuse_rest(CodecError *err, size_t used, size_t size) {
  if (used == size)
    return CODEC_OK;
  strcpy(err->why, "bytes after the value");
  err->at = used;
  return err->status = CODEC_FORM;
}

/* Push the value if the message is a scalar and no more. */
static inline bool push_lone(lua_State *L, const uint8_t *s, size_t size) {
  const uint8_t *p = s, *end = s + size;
  Head head;
  return scalar_begins(s, end) && head_get(&p, end, &head) == HEAD_OK &&
         p == end && scalar_push(L, &head);
}

/* Push value and next position, or nil and a message: is it the former? */
static bool push_decoded(lua_State *L) {
  size_t size, used, from = 0;
  CodecError err;
  const uint8_t *s = (const uint8_t *)luaL_checklstring(L, 1, &size);
  bool to_end = lua_gettop(L) == 1;
  if (to_end && push_lone(L, s, size)) {
    lua_pushinteger(L, (lua_Integer)size + 1);
    return true;
  }
  if (!to_end) {
    to_end = lua_isnil(L, 2);
    from = to_end ? 0 : check_start(L, 2, size);
  }
  Options opts = read_options(L, 3);
  CodecStatus status =
      codec_decode_raw(L, s + from, size - from, &used, 1, &opts.codec, &err);
  if (status == CODEC_OK && to_end)
    status = refuse_rest(&err, used, size);
  if (status != CODEC_OK) {
    lua_pushnil(L);
    push_decode_message(L, &err, from);
    return false;
  }
  lua_pushinteger(L, (lua_Integer)(from + used + 1));
  return true;
}

/* lua_error would leave the position out. */
static int f_decode(lua_State *L) {
  if (!push_decoded(L))
    return luaL_error(L, "%s", lua_tostring(L, -1));
  return 2;
}

static int f_try_decode(lua_State *L) {
  push_decoded(L);
  return 2;
}

static CodecStatus unpack_all(lua_State *L, const uint8_t *s, size_t size,
                              CodecError *err) {
  static const CodecOptions opts;
  const uint8_t *p = s;
  Head head;
  size_t used;
  if (head_get(&p, s + size, &head) != HEAD_OK || head.major != MAJOR_ARRAY ||
      head.info == INFO_OPEN || head.arg > INT_MAX - 100) {
    strcpy(err->why, "not a packed list");
    err->at = 0;
    return CODEC_FORM;
  }
  CodecStatus status = codec_decode_raw(L, p, (size_t)(s + size - p), &used,
                                        (int)head.arg, &opts, err);
  err->at += (size_t)(p - s);
  used += (size_t)(p - s);
  return status == CODEC_OK ? refuse_rest(err, used, size) : status;
}

static int f_unpack(lua_State *L) {
  size_t size;
  CodecError err;
  const uint8_t *s = (const uint8_t *)luaL_checklstring(L, 1, &size);
  lua_settop(L, 1);
  if (unpack_all(L, s, size, &err) != CODEC_OK)
    return luaL_error(L, "%s", push_decode_message(L, &err, 0));
  return lua_gettop(L) - 1;
}

static int f_check(lua_State *L) {
  size_t size, used;
  CodecError err;
  const uint8_t *s = (const uint8_t *)luaL_checklstring(L, 1, &size);
  Options opts = read_options(L, 2);
  CodecStatus status = codec_check(s, size, &used, 1, &opts.codec, &err);
  if (status == CODEC_OK)
    status = refuse_rest(&err, used, size);
  if (status == CODEC_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  push_decode_message(L, &err, 0);
  return 2;
}

/* --- marks --- */

static int mark_table(lua_State *L, const char *kind) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  codec_registry(L);
  lua_getfield(L, 2, "array");
  lua_getfield(L, 2, "map");
  if (lua_getmetatable(L, 1) && !lua_rawequal(L, -1, 3) &&
      !lua_rawequal(L, -1, 4))
    return luaL_argerror(L, 1, "the table has a metatable");
  lua_getfield(L, 2, kind);
  lua_setmetatable(L, 1);
  lua_settop(L, 1);
  return 1;
}

static int f_array(lua_State *L) {
  return mark_table(L, "array");
}

static int f_map(lua_State *L) {
  return mark_table(L, "map");
}

static int f_tag(lua_State *L) {
  lua_Integer tag = luaL_checkinteger(L, 1);
  luaL_checkany(L, 2);
  luaL_argcheck(L, tag >= 0, 1, "tag out of range");
  luaL_argcheck(L,
                tag != TAG_STRING_REF && tag != TAG_NAMESPACE &&
                    (tag < TAG_OBJECT || tag > TAG_REF),
                1, "the codec writes this tag itself");
  lua_settop(L, 2);
  codec_push_tag(L, (uint64_t)tag);
  return 1;
}

static int m_tag__index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key != NULL && strcmp(key, "tag") == 0)
    lua_pushinteger(L, (lua_Integer) * (uint64_t *)lua_touserdata(L, 1));
  else if (key != NULL && strcmp(key, "value") == 0)
    lua_getiuservalue(L, 1, 1);
  else
    lua_pushnil(L);
  return 1;
}

static int m_tag__tostring(lua_State *L) {
  lua_pushfstring(L, "tag %I",
                  (LUAI_UACINT) * (uint64_t *)lua_touserdata(L, 1));
  return 1;
}

/* --- names --- */

static const char *check_name(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  luaL_argcheck(L, len > 0 && codec_is_utf8((const uint8_t *)name, len), 1,
                "name is not UTF-8 text");
  luaL_argcheck(L, strncmp(name, "lua.", 4) != 0, 1,
                "names that begin with 'lua.' are taken");
  return name;
}

static void check_hooks(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg))
    return;
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, arg)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(key, "encode") != 0 && strcmp(key, "decode") != 0)
      luaL_argerror(L, arg, "hooks are 'encode' and 'decode'");
    if (!lua_isfunction(L, -1))
      bad_option(L, arg, key, "function");
    lua_pop(L, 1);
  }
}

/* Push the hook `name` of the table at 3, or false. */
static void push_hook(lua_State *L, const char *name) {
  if (lua_isnil(L, 3) || lua_getfield(L, 3, name) == LUA_TNIL)
    lua_pushboolean(L, 0);
}

/* Forget what stands under the name of the new entry, and its metatable. */
static void forget_type(lua_State *L, int registry, int types) {
  lua_pushvalue(L, 1);
  if (lua_rawget(L, types) == LUA_TTABLE) {
    lua_rawgeti(L, -1, 4);
    lua_pushnil(L);
    lua_rawset(L, registry);
  }
  lua_pushvalue(L, 2);
  if (lua_rawget(L, registry) == LUA_TTABLE) {
    lua_rawgeti(L, -1, 1);
    lua_pushnil(L);
    lua_rawset(L, types);
  }
}

static int f_register(lua_State *L) {
  check_name(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  check_hooks(L, 3);
  lua_settop(L, 3);
  codec_registry(L);
  lua_getfield(L, 4, "types");
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, 6, 1);
  push_hook(L, "encode");
  lua_rawseti(L, 6, 2);
  lua_settop(L, 6);
  push_hook(L, "decode");
  lua_rawseti(L, 6, 3);
  lua_settop(L, 6);
  lua_pushvalue(L, 2);
  lua_rawseti(L, 6, 4);
  forget_type(L, 4, 5);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 6);
  lua_rawset(L, 5);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 6);
  lua_rawset(L, 4);
  lua_settop(L, 2);
  return 1;
}

static int f_func(lua_State *L) {
  check_name(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  codec_registry(L);
  lua_getfield(L, 3, "functions");
  lua_pushvalue(L, 1);
  if (lua_rawget(L, 4) == LUA_TFUNCTION) {
    lua_pushnil(L);
    lua_rawset(L, 3);
  }
  lua_settop(L, 4);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_rawset(L, 4);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 1);
  lua_rawset(L, 3);
  lua_settop(L, 2);
  return 1;
}

/* --- the module --- */

static void set_kind(lua_State *L, const char *kind, const char *name) {
  lua_getfield(L, -1, kind);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
}

static void open_kinds(lua_State *L) {
  codec_registry(L);
  set_kind(L, "array", "codec.array");
  set_kind(L, "map", "codec.map");
  set_kind(L, "tag", "codec.tag");
  lua_getfield(L, -1, "tag");
  lua_pushcfunction(L, m_tag__index);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, m_tag__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 2);
}

int luaopen_tidepool_codec(lua_State *L) {
  static const luaL_Reg functions[] = {{"encode", f_encode},
                                       {"pack", f_pack},
                                       {"decode", f_decode},
                                       {"try_decode", f_try_decode},
                                       {"unpack", f_unpack},
                                       {"check", f_check},
                                       {"diag", lua_codec_diag},
                                       {"array", f_array},
                                       {"map", f_map},
                                       {"tag", f_tag},
                                       {"register", f_register},
                                       {"func", f_func},
                                       {NULL, NULL}};
  if (luaL_newmetatable(L, SCRATCH)) {
    lua_pushcfunction(L, m__gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
  open_kinds(L);
  luaL_newlibtable(L, functions);
  push_scratch(L);
  luaL_setfuncs(L, functions, 1);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
