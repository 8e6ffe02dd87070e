/*
** decode_tag.c - what tags mean: sharing, names, big integers, typed arrays.
** Runs in: every process.  Owns: the registry of names.  Never: runs bytecode.
*/
#include "decoder.h"

#include <lauxlib.h>
#include <stdio.h>

enum { BIG_MOST = 1024 }; /* bytes of a big integer that becomes a string */

const char codec_registry_key = 0;

/* --- the registry of names --- */

static void add_kind(lua_State *L, const char *name, int kind) {
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_pushinteger(L, kind);
  lua_rawset(L, -4);
  lua_setfield(L, -2, name);
}

void codec_registry(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &codec_registry_key) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_newtable(L);
  add_kind(L, "array", CODEC_KIND_ARRAY);
  add_kind(L, "map", CODEC_KIND_MAP);
  add_kind(L, "tag", CODEC_KIND_TAG);
  lua_newtable(L);
  lua_setfield(L, -2, "types");
  lua_newtable(L);
  lua_setfield(L, -2, "functions");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &codec_registry_key);
}

void codec_push_tag(lua_State *L, uint64_t tag) {
  uint64_t *object = lua_newuserdatauv(L, sizeof *object, 1);
  *object = tag;
  codec_registry(L);
  lua_getfield(L, -1, "tag");
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
}

/* --- the memo: marked values and strings of a namespace --- */

void decode_move_down(Decoder *d, int n) {
  lua_rotate(d->L, d->bottom + 1, n);
  d->below += n;
  d->memo += d->memo != 0 ? n : 0;
  d->keys_at += d->keys_at != 0 ? n : 0;
}

static void open_memo(Decoder *d) {
  if (d->memo != 0)
    return;
  lua_newtable(d->L);
  lua_newtable(d->L);
  decode_move_down(d, 2);
  d->memo = d->bottom + 1;
}

void decode_keep_mark(Decoder *d, size_t mark) {
  lua_pushvalue(d->L, -1);
  lua_rawseti(d->L, d->memo, (lua_Integer)mark + 1);
}

static CodecStatus bad_reference(Decoder *d, const char *why) {
  return decode_fail(d, CODEC_REF, "%s", why);
}

static CodecStatus get_index(Decoder *d, uint64_t *index) {
  Head head;
  CodecStatus status = decode_head(d, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major != MAJOR_UNSIGNED || head.info == INFO_OPEN)
    return bad_reference(d, "a reference that is no index");
  *index = head.arg;
  return CODEC_OK;
}

static CodecStatus get_marked(Decoder *d, size_t mark) {
  Head head;
  if (mark != NO_MARK)
    return bad_reference(d, "a mark on a mark");
  open_memo(d);
  mark = d->marks++;
  CodecStatus status = decode_head(d, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major == MAJOR_ARRAY)
    return decode_array(d, head, mark);
  if (head.major == MAJOR_MAP)
    return decode_map(d, head, mark);
  if (head.major == MAJOR_TAG)
    return decode_tag(d, head, mark);
  return bad_reference(d, "a mark on a value without identity");
}

static CodecStatus get_reference(Decoder *d) {
  uint64_t index;
  CodecStatus status = get_index(d, &index);
  if (status != CODEC_OK)
    return status;
  if (index >= d->marks)
    return bad_reference(d, "a reference to no mark");
  if (lua_rawgeti(d->L, d->memo, (lua_Integer)index + 1) == LUA_TNIL)
    return bad_reference(d, "a reference to an object in the making");
  return CODEC_OK;
}

/* The string on the top takes an index if a reference would be shorter. */
CodecStatus decode_add_string(Decoder *d, size_t len) {
  size_t next = d->strings - d->strings_from;
  size_t least = next < 24         ? 3
                 : next <= 0xff    ? 4
                 : next <= 0xffff  ? 5
                 : next >> 32 == 0 ? 7
                                   : 11;
  if (len < least)
    return CODEC_OK;
  d->strings++;
  lua_pushvalue(d->L, -1);
  lua_rawseti(d->L, d->memo + 1, (lua_Integer)d->strings);
  return CODEC_OK;
}

static CodecStatus get_string_reference(Decoder *d) {
  uint64_t index;
  CodecStatus status = get_index(d, &index);
  if (status != CODEC_OK)
    return status;
  if (!d->in_namespace || index >= d->strings - d->strings_from)
    return bad_reference(d, "a reference to no string");
  lua_rawgeti(d->L, d->memo + 1, (lua_Integer)(d->strings_from + index + 1));
  return CODEC_OK;
}

static CodecStatus get_content(Decoder *d) {
  d->owed++;
  return decode_value(d);
}

static CodecStatus get_namespace(Decoder *d) {
  size_t from = d->strings_from, strings = d->strings;
  bool outer = d->in_namespace;
  open_memo(d);
  d->strings_from = d->strings;
  d->in_namespace = true;
  CodecStatus status = get_content(d);
  d->strings_from = from;
  d->strings = strings;
  d->in_namespace = outer;
  return status;
}

/* --- names --- */

static CodecStatus get_name(Decoder *d) {
  Head head;
  CodecStatus status = decode_head(d, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major != MAJOR_ARRAY || head.info == INFO_OPEN || head.arg != 2)
    return decode_fail(d, CODEC_FORM, "a tag 27 without name and value");
  d->owed += 2;
  status = decode_value(d);
  if (status == CODEC_OK && lua_type(d->L, -1) != LUA_TSTRING)
    return decode_fail(d, CODEC_FORM, "a tag 27 without name and value");
  return status;
}

static CodecStatus unknown_name(Decoder *d, const char *kind) {
  return decode_fail(d, CODEC_NAME, "the %s \"%.80s\" is not registered", kind,
                     lua_tostring(d->L, -1));
}

static CodecStatus get_function(Decoder *d) {
  CodecStatus status = decode_value(d);
  if (status != CODEC_OK)
    return status;
  if (lua_type(d->L, -1) != LUA_TSTRING)
    return decode_fail(d, CODEC_FORM, "a function without a name");
  codec_registry(d->L);
  lua_getfield(d->L, -1, "functions");
  lua_pushvalue(d->L, -3);
  if (lua_rawget(d->L, -2) == LUA_TNIL) {
    lua_pop(d->L, 3);
    return unknown_name(d, "function");
  }
  lua_replace(d->L, -4);
  lua_pop(d->L, 2);
  return CODEC_OK;
}

/* Call the hook below the value on the top, leave what it makes of it. */
static CodecStatus call_hook(Decoder *d, const uint8_t *item) {
  if (lua_pcall(d->L, 1, 1, 0) == LUA_OK)
    return CODEC_OK;
  d->item = item;
  return decode_fail(d, CODEC_HOOK, "%.140s",
                     lua_type(d->L, -1) == LUA_TSTRING ? lua_tostring(d->L, -1)
                                                       : "a hook raised");
}

/* Without a hook the value itself, a table, becomes the object. */
static CodecStatus get_plain_object(Decoder *d, size_t mark) {
  Head head;
  d->owed--;
  CodecStatus status = decode_head(d, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major != MAJOR_ARRAY && head.major != MAJOR_MAP)
    return decode_fail(d, CODEC_NAME, "an object that is no table");
  status = head.major == MAJOR_ARRAY ? decode_array(d, head, mark)
                                     : decode_map(d, head, mark);
  if (status == CODEC_OK) {
    lua_rawgeti(d->L, -2, 4);
    lua_setmetatable(d->L, -2);
  }
  return status;
}

static CodecStatus get_object(Decoder *d, size_t mark) {
  lua_State *L = d->L;
  const uint8_t *item = d->item;
  CodecStatus status = get_name(d);
  if (status != CODEC_OK)
    return status;
  if (strcmp(lua_tostring(L, -1), "lua.function") == 0) {
    lua_pop(L, 1);
    status = get_function(d);
    if (status == CODEC_OK)
      decode_set_mark(d, mark);
    return status;
  }
  codec_registry(L);
  lua_getfield(L, -1, "types");
  lua_pushvalue(L, -3);
  if (lua_rawget(L, -2) != LUA_TTABLE) {
    lua_pop(L, 3);
    d->item = item;
    return unknown_name(d, "type");
  }
  lua_replace(L, -4);
  lua_pop(L, 2);
  lua_rawgeti(L, -1, 3); /* stack: entry, hook */
  bool hook = lua_toboolean(L, -1);
  if (!hook)
    lua_pop(L, 1);
  status = hook ? decode_value(d) : get_plain_object(d, mark);
  if (status != CODEC_OK)
    return status;
  if (hook) {
    status = call_hook(d, item);
    if (status == CODEC_OK)
      decode_set_mark(d, mark);
  }
  lua_remove(L, -2);
  return status;
}

/* --- big integers --- */

typedef struct Big {
  uint8_t bytes[BIG_MOST + 1]; /* big-endian */
  size_t len;
  bool negative;
} Big;

/* The magnitude of -1 - n is n + 1. */
static void add_one(Big *big) {
  size_t i = big->len;
  while (i > 0 && ++big->bytes[i - 1] == 0)
    i--;
  if (i > 0)
    return;
  memmove(big->bytes + 1, big->bytes, big->len++);
  big->bytes[0] = 1;
}

static void push_big_float(lua_State *L, const Big *big) {
  uint64_t top = 0;
  size_t i = 0;
  for (; i < big->len && i < 8; i++)
    top = top << 8 | big->bytes[i];
  int rest = (int)(8 * (big->len - i));
  for (; i < big->len; i++)
    top |= big->bytes[i] != 0; /* so that the rounding is right */
  double d = ldexp((double)top, rest);
  lua_pushnumber(L, big->negative ? -d : d);
}

/* Divides by ten again and again, so its cost bounds BIG_MOST. */
static void push_big_string(lua_State *L, Big *big) {
  char digits[BIG_MOST * 5 / 2 + 4];
  size_t at = sizeof digits, first = 0;
  do {
    unsigned rest = 0;
    for (size_t i = first; i < big->len; i++) {
      unsigned v = rest << 8 | big->bytes[i];
      big->bytes[i] = (uint8_t)(v / 10);
      rest = v % 10;
    }
    digits[--at] = (char)('0' + rest);
    while (first < big->len && big->bytes[first] == 0)
      first++;
  } while (first < big->len);
  if (big->negative)
    digits[--at] = '-';
  lua_pushlstring(L, digits + at, sizeof digits - at);
}

static CodecStatus push_big(Decoder *d, const uint8_t *bytes, size_t len,
                            bool negative) {
  Big big;
  if ((d->flags & (CODEC_BIG_FLOAT | CODEC_BIG_STRING)) == 0)
    return decode_fail(d, CODEC_RANGE, "an integer of more than 64 bits");
  if (len > BIG_MOST)
    return decode_fail(d, CODEC_LIMIT, "an integer of more than %d bytes",
                       BIG_MOST);
  memcpy(big.bytes, bytes, len);
  big.len = len;
  big.negative = negative;
  if (negative)
    add_one(&big);
  if ((d->flags & CODEC_BIG_FLOAT) != 0)
    push_big_float(d->L, &big);
  else
    push_big_string(d->L, &big);
  return CODEC_OK;
}

CodecStatus decode_big(Decoder *d, bool negative, uint64_t arg) {
  uint8_t bytes[8];
  uint64_t v = head_big_endian(arg, 8);
  memcpy(bytes, &v, 8);
  return push_big(d, bytes, 8, negative);
}

/* Push a byte string, as the content of a tag. */
static CodecStatus get_bytes(Decoder *d) {
  Head head;
  CodecStatus status = decode_head(d, &head);
  if (status != CODEC_OK)
    return status;
  if (head.major == MAJOR_BYTES)
    return decode_string(d, head);
  if (head.major == MAJOR_TAG && head.arg == TAG_STRING_REF)
    return get_string_reference(d);
  return decode_fail(d, CODEC_FORM, "a tag that needs a byte string");
}

static CodecStatus get_big(Decoder *d, bool negative) {
  size_t len;
  uint64_t value = 0;
  const uint8_t *item = d->item;
  CodecStatus status = get_bytes(d);
  if (status != CODEC_OK)
    return status;
  const uint8_t *bytes = (const uint8_t *)lua_tolstring(d->L, -1, &len);
  for (; len > 0 && *bytes == 0; len--)
    bytes++;
  for (size_t i = 0; i < len && i < 8; i++)
    value = value << 8 | bytes[i];
  if (len > 8 || value > INT64_MAX) {
    d->item = item;
    status = push_big(d, bytes, len, negative);
  } else {
    lua_Integer i = (lua_Integer)value;
    lua_pushinteger(d->L, negative ? -1 - i : i);
  }
  if (status == CODEC_OK)
    lua_remove(d->L, -2);
  return status;
}

/* --- typed arrays (RFC 8746): the tag is 010 float signed little size2 --- */

typedef struct Elements {
  bool is_float, is_signed, is_little;
  size_t bytes; /* of an element */
} Elements;

static CodecStatus push_element(Decoder *d, const Elements *how,
                                const uint8_t *from) {
  uint8_t bytes[8];
  for (size_t i = 0; i < how->bytes; i++)
    bytes[i] = from[how->is_little ? how->bytes - 1 - i : i];
  uint64_t v = 0;
  for (size_t i = 0; i < how->bytes; i++)
    v = v << 8 | bytes[i];
  if (how->is_float) {
    uint8_t info = how->bytes == 2   ? INFO_TWO
                   : how->bytes == 4 ? INFO_FOUR
                                     : INFO_EIGHT;
    Head head = {.major = MAJOR_OTHER, .info = info, .arg = v};
    lua_pushnumber(d->L, head_float(&head));
  } else if (how->is_signed) {
    unsigned shift = (unsigned)(64 - 8 * how->bytes);
    lua_pushinteger(d->L, (lua_Integer)(v << shift) >> shift);
  } else if (v > INT64_MAX)
    return decode_big(d, false, v);
  else
    lua_pushinteger(d->L, (lua_Integer)v);
  return CODEC_OK;
}

static CodecStatus get_typed(Decoder *d, unsigned tag) {
  Elements how = {(tag & 16) != 0, (tag & 8) != 0, (tag & 4) != 0,
                  (size_t)1 << (tag & 3)};
  if (how.is_float)
    how.bytes *= 2;
  if (tag == 76 || (how.is_float && (how.is_signed || how.bytes > 8)))
    return decode_fail(d, CODEC_RANGE, "a typed array of tag %u", tag);
  size_t len;
  const uint8_t *item = d->item;
  CodecStatus status = get_bytes(d);
  if (status != CODEC_OK)
    return status;
  const uint8_t *from = (const uint8_t *)lua_tolstring(d->L, -1, &len);
  d->item = item;
  if (len % how.bytes != 0)
    return decode_fail(d, CODEC_FORM, "a typed array with an odd end");
  size_t n = len / how.bytes;
  lua_createtable(d->L, n <= INT32_MAX / 32 ? (int)n : 0, 0);
  for (size_t i = 0; i < n && status == CODEC_OK; i++) {
    status = push_element(d, &how, from + i * how.bytes);
    if (status == CODEC_OK)
      lua_rawseti(d->L, -2, (lua_Integer)i + 1);
  }
  if (status == CODEC_OK)
    lua_remove(d->L, -2);
  return status;
}

/* --- all tags --- */

static CodecStatus get_other_tag(Decoder *d, uint64_t tag, size_t mark) {
  lua_State *L = d->L;
  const uint8_t *item = d->item;
  if (d->opts->tags != 0) {
    lua_pushinteger(L, (lua_Integer)tag);
    if (lua_rawget(L, d->opts->tags) == LUA_TFUNCTION) {
      CodecStatus status = get_content(d);
      if (status != CODEC_OK)
        return status;
      status = call_hook(d, item);
      if (status == CODEC_OK)
        decode_set_mark(d, mark);
      return status;
    }
    lua_pop(L, 1);
  }
  lua_pushnil(L);
  codec_push_tag(L, tag);
  decode_set_mark(d, mark);
  CodecStatus status = get_content(d);
  if (status == CODEC_OK)
    lua_setiuservalue(L, -2, 1);
  return status;
}

static CodecStatus get_known_tag(Decoder *d, unsigned tag) {
  switch (tag) {
  case TAG_POSITIVE:
  case TAG_NEGATIVE:
    return get_big(d, tag == TAG_NEGATIVE);
  case TAG_STRING_REF:
    return get_string_reference(d);
  case TAG_REF:
    return get_reference(d);
  case TAG_NAMESPACE:
    return get_namespace(d);
  case TAG_CBOR:
    return get_content(d);
  default:
    return get_typed(d, tag);
  }
}

static bool is_known(uint64_t tag) {
  return tag == TAG_POSITIVE || tag == TAG_NEGATIVE || tag == TAG_STRING_REF ||
         tag == TAG_REF || tag == TAG_NAMESPACE || tag == TAG_CBOR ||
         (tag >= TAG_TYPED_FIRST && tag <= TAG_TYPED_LAST);
}

CodecStatus decode_tag(Decoder *d, Head head, size_t mark) {
  if (head.info == INFO_OPEN)
    return decode_fail(d, CODEC_FORM, "a tag of no length");
  CodecStatus status = decode_enter(d);
  if (status != CODEC_OK)
    return status;
  if (head.arg == TAG_MARK)
    status = get_marked(d, mark);
  else if (head.arg == TAG_OBJECT)
    status = get_object(d, mark);
  else if (!is_known(head.arg))
    status = get_other_tag(d, head.arg, mark);
  else if (mark != NO_MARK)
    status = bad_reference(d, "a mark on a value without identity");
  else
    status = get_known_tag(d, (unsigned)head.arg);
  d->depth--;
  return status;
}
