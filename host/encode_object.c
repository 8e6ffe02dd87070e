/*
** encode_object.c - what the registry of names knows, and its hooks.
** Runs in: every process.  Owns: nothing.  Never: raises, makes a Lua string.
*/
#include "encoder.h"

/* Push what is known of the value on the top, which is popped; its type. */
static int look_up(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &codec_registry_key) != LUA_TTABLE)
    return LUA_TNIL;
  lua_insert(L, -2);
  return lua_rawget(L, -2);
}

/* Push what the hook at the top makes of the object at `t`; pops the hook. */
static CodecStatus call_hook(Encoder *e, int t) {
  lua_State *L = e->L;
  lua_pushvalue(L, t);
  if (lua_rawget(L, e->cache) != LUA_TNIL)
    return CODEC_OK;
  lua_pop(L, 1);
  lua_pushvalue(L, t);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    const char *why =
        lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "a hook raised";
    return encode_fail(e, CODEC_HOOK, why);
  }
  lua_pushvalue(L, t);
  lua_pushvalue(L, -2);
  lua_rawset(L, e->cache);
  return CODEC_OK;
}

/* The value at `index`, on the top, of which an object is made. */
static CodecStatus put_inner(Encoder *e, int index, int type) {
  e->depth++;
  CodecStatus status = encode_value(e, index, type);
  e->depth--;
  return status;
}

/* The entry of its metatable is on the top, the object at t. */
static CodecStatus put_object(Encoder *e, int t) {
  lua_State *L = e->L;
  size_t len;
  lua_rawgeti(L, -1, 1);
  const char *name = lua_tolstring(L, -1, &len);
  lua_rawgeti(L, -2, 2);
  bool hook = lua_toboolean(L, -1);
  if (hook && !e->guarded) {
    e->want_guard = true;
    return (CodecStatus)AGAIN;
  }
  if (!hook && lua_type(L, t) != LUA_TTABLE)
    return encode_refuse(e, t);
  CodecStatus status = encode_head(e, MAJOR_TAG, TAG_OBJECT);
  if (status == CODEC_OK)
    status = encode_head(e, MAJOR_ARRAY, 2);
  if (status == CODEC_OK)
    status = encode_name(e, name, len);
  if (status == CODEC_OK && hook)
    status = call_hook(e, t);
  if (status != CODEC_OK)
    return status;
  if (hook)
    return put_inner(e, lua_gettop(L), lua_type(L, -1));
  lua_settop(L, t);
  return encode_plain(e, t);
}

CodecStatus encode_function(Encoder *e, int t) {
  static const char kind[] = "lua.function";
  size_t len;
  lua_pushvalue(e->L, t);
  if (look_up(e->L) != LUA_TSTRING)
    return encode_refuse(e, t);
  const char *name = lua_tolstring(e->L, -1, &len);
  CodecStatus status = encode_head(e, MAJOR_TAG, TAG_OBJECT);
  if (status == CODEC_OK)
    status = encode_head(e, MAJOR_ARRAY, 2);
  if (status == CODEC_OK)
    status = encode_name(e, kind, sizeof kind - 1);
  if (status == CODEC_OK)
    status = encode_name(e, name, len);
  return status;
}

static CodecStatus put_kind(Encoder *e, int t, lua_Integer kind) {
  if (kind == CODEC_KIND_ARRAY)
    return encode_array(e, t, lua_rawlen(e->L, t), true);
  if (kind == CODEC_KIND_MAP)
    return (e->flags & CODEC_SORTED) != 0 ? encode_sorted(e, t)
                                          : encode_map(e, t);
  CodecStatus status =
      encode_head(e, MAJOR_TAG, *(uint64_t *)lua_touserdata(e->L, t));
  if (status != CODEC_OK)
    return status;
  int type = lua_getiuservalue(e->L, t, 1);
  return put_inner(e, t + 1, type);
}

/* The metatable of the value at `t` is on the top; it may have no name. */
CodecStatus encode_object(Encoder *e, int t, int type) {
  lua_State *L = e->L;
  int known = look_up(L);
  if (known == LUA_TTABLE)
    return put_object(e, t);
  lua_Integer kind = lua_tointeger(L, -1);
  lua_settop(L, t);
  if (known == LUA_TNUMBER)
    return put_kind(e, t, kind);
  return type == LUA_TTABLE ? encode_plain(e, t) : encode_refuse(e, t);
}

/* --- messages with hooks, within one lua_pcall --- */

/* Stack: the encoder, the n values. */
static int guarded_message(lua_State *L) {
  Encoder *e = lua_touserdata(L, 1);
  int n = lua_gettop(L) - 1;
  lua_newtable(L);
  e->cache = n + 2;
  e->err->status = encode_message(e, 2, n);
  return 0;
}

static CodecStatus call_guarded(Encoder *e, int first, int n) {
  lua_State *L = e->L;
  lua_pushcfunction(L, guarded_message);
  lua_pushlightuserdata(L, e);
  for (int i = 0; i < n; i++)
    lua_pushvalue(L, first + i);
  int result = lua_pcall(L, n + 1, 0, 0);
  if (result == LUA_OK)
    return e->err->status;
  e->err->value = 1;
  if (result == LUA_ERRMEM)
    return encode_fail(e, CODEC_MEMORY, "not enough memory");
  return encode_fail(e, CODEC_HOOK,
                     lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1)
                                                    : "a hook raised");
}

CodecStatus encode_guarded(Encoder *e, int first, int n) {
  if (!lua_checkstack(e->L, n + ENCODE_ROOM))
    return encode_fail(e, CODEC_STACK, "the Lua stack cannot grow");
  int top = lua_gettop(e->L);
  seen_clear(&e->seen);
  e->b->len = e->start;
  e->depth = e->stack_end = 0;
  e->twice = false;
  e->guarded = true;
  CodecStatus status = call_guarded(e, first, n);
  lua_settop(e->L, top);
  return status;
}
