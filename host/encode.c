/*
** encode.c - Lua values to CBOR.
** Runs in: every process.  Owns: nothing.  Never: raises, makes a Lua string.
**
** Identity. The first pass counts how often each table is met and writes
** nothing in front of any; when one was met twice a second pass marks those.
** Kind. A table with n = rawlen and n pairs is taken for an array before its
** children are written. When a hole then shows that other keys made up the
** number, everything is written again in the careful mode, which looks at
** every key first (rewinding only that table would count its children twice).
** Hooks. A hook may change tables under lua_next, which then may raise; so
** a message that needs hooks is written again within one lua_pcall.
*/
#include "encoder.h"
#include "scalar.h"

#include <errno.h>
#include <string.h>

enum { NEW, ONCE, TWICE, MARKED }; /* MARKED + i: has the index i */
enum { PIECE = 8192 };

/* --- bytes --- */

static CodecStatus append(Encoder *e, const void *bytes, size_t n) {
  return buf_append(e->b, bytes, n) == 0 ? CODEC_OK : encode_fail_full(e);
}

CodecStatus encode_head_slowly(Encoder *e, unsigned major, uint64_t arg) {
  uint8_t head[HEAD_MOST];
  return append(e, head, head_put(head, major, arg));
}

/* The head of a container stands at `at` in one byte: make it say n. */
static RARELY CodecStatus patch_head(Encoder *e, size_t at, unsigned major,
                                     uint64_t n) {
  Buf *b = e->b;
  uint8_t head[HEAD_MOST];
  size_t more = head_put(head, major, n) - 1;
  if (buf_reserve(b, more) != 0)
    return encode_fail_full(e);
  if (b->base != NULL) {
    uint8_t *to = b->base + at;
    if (more > 0)
      memmove(to + 1 + more, to + 1, b->len - at - 1);
    memcpy(to, head, 1 + more);
  }
  b->len += more;
  return CODEC_OK;
}

static RARELY CodecStatus put_chars_slowly(Encoder *e, unsigned major,
                                           const char *s, size_t len) {
  uint8_t head[HEAD_MOST];
  size_t bytes = head_put(head, major, len);
  if (buf_reserve(e->b, bytes + len) != 0)
    return encode_fail_full(e);
  append(e, head, bytes);
  return append(e, s, len);
}

static inline CodecStatus put_chars(Encoder *e, unsigned major, const char *s,
                                    size_t len) {
  Buf *b = e->b;
  if (!encode_is_roomy(b, len))
    return put_chars_slowly(e, major, s, len);
  uint8_t *to = b->base + b->len;
  size_t bytes = head_put(to, major, len);
  memcpy(to + bytes, s, len);
  b->len += bytes + len;
  return CODEC_OK;
}

/* --- scalars --- */

static inline CodecStatus put_integer(Encoder *e, lua_Integer i) {
  return i >= 0 ? encode_head(e, MAJOR_UNSIGNED, (uint64_t)i)
                : encode_head(e, MAJOR_NEGATIVE, ~(uint64_t)i);
}

static RARELY CodecStatus put_float_slowly(Encoder *e, lua_Number d) {
  uint8_t item[HEAD_MOST];
  return append(e, item, head_put_float(item, d));
}

static CodecStatus put_float(Encoder *e, lua_Number d) {
  Buf *b = e->b;
  if (!encode_is_roomy(b, 0))
    return put_float_slowly(e, d);
  b->len += head_put_float(b->base + b->len, d);
  return CODEC_OK;
}

static CodecStatus put_number(Encoder *e, int index) {
  return lua_isinteger(e->L, index) ? put_integer(e, lua_tointeger(e->L, index))
                                    : put_float(e, lua_tonumber(e->L, index));
}

/* Is a string of `len` bytes worth an index when `next` is the next one? */
static bool counts_as_string(size_t len, size_t next) {
  return len >= (next < 24         ? 3U
                 : next <= 0xff    ? 4U
                 : next <= 0xffff  ? 5U
                 : next >> 32 == 0 ? 7U
                                   : 11U);
}

/*
** A string in a namespace: a reference when it was written before. Equal
** short strings have one address in Lua, equal long ones may be written twice.
*/
static CodecStatus put_deduped(Encoder *e, unsigned major, const char *s,
                               size_t len, bool may_refer) {
  if (may_refer && len >= 3) {
    size_t *number = seen_number(&e->texts, s);
    if (number == NULL)
      return encode_fail(e, CODEC_MEMORY, "not enough memory");
    if (*number > 0) {
      CodecStatus status = encode_head(e, MAJOR_TAG, TAG_STRING_REF);
      return status != CODEC_OK ? status
                                : encode_head(e, MAJOR_UNSIGNED, *number - 1);
    }
    if (counts_as_string(len, e->strings))
      *number = e->strings + 1;
  }
  if (counts_as_string(len, e->strings))
    e->strings++;
  return put_chars(e, major, s, len);
}

#define HIGH_BITS 0x8080808080808080U

/* Copy it; are all of its bytes ASCII? */
static inline bool copy_ascii(uint8_t *to, const char *s, size_t len) {
  uint64_t word, all = 0;
  uint32_t first, last;
  if (len >= 8) {
    for (size_t i = 0; i < len - 8; i += 8) {
      memcpy(&word, s + i, 8);
      memcpy(to + i, &word, 8);
      all |= word;
    }
    memcpy(&word, s + len - 8, 8);
    memcpy(to + len - 8, &word, 8);
    all |= word;
  } else if (len >= 4) {
    memcpy(&first, s, 4);
    memcpy(&last, s + len - 4, 4);
    memcpy(to, &first, 4);
    memcpy(to + len - 4, &last, 4);
    all = first | last;
  } else if (len > 0) { /* these may be the same byte */
    all = (to[0] = (uint8_t)s[0]);
    all |= (to[len / 2] = (uint8_t)s[len / 2]);
    all |= (to[len - 1] = (uint8_t)s[len - 1]);
  }
  return (all & HIGH_BITS) == 0;
}

/* The same of 16 bytes and more, in twice as large steps. */
static inline bool copy_long_ascii(uint8_t *to, const char *s, size_t len) {
  typedef uint64_t Pair __attribute__((vector_size(16)));
  Pair two, all = {0, 0};
  for (size_t i = 0; i < len - 16; i += 16) {
    memcpy(&two, s + i, 16);
    memcpy(to + i, &two, 16);
    all |= two;
  }
  memcpy(&two, s + len - 16, 16);
  memcpy(to + len - 16, &two, 16);
  all |= two;
  return ((all[0] | all[1]) & HIGH_BITS) == 0;
}

/* Copy it; is it UTF-8? Piece by piece, while the look has it in the cache. */
static bool copy_utf8(uint8_t *to, const char *s, size_t len) {
  size_t at = 0;
  if (len >= 16 && len <= PIECE)
    return copy_long_ascii(to, s, len) ||
           codec_is_utf8((const uint8_t *)s, len);
  while (len - at > PIECE && codec_is_utf8((const uint8_t *)s + at, PIECE)) {
    memcpy(to + at, s + at, PIECE);
    at += PIECE;
  }
  memcpy(to + at, s + at, len - at);
  return codec_is_utf8((const uint8_t *)s + at, len - at);
}

/* With options that are seldom given, or without room. */
static RARELY CodecStatus put_string_slowly(Encoder *e, const char *s,
                                            size_t len) {
  unsigned major = MAJOR_BYTES;
  if ((e->flags & CODEC_BYTES) == 0) {
    if (codec_is_utf8((const uint8_t *)s, len))
      major = MAJOR_TEXT;
    else if ((e->flags & CODEC_TEXT) != 0)
      return encode_fail(e, CODEC_TYPE, "a string that is not UTF-8");
  }
  return (e->flags & CODEC_DEDUPE) != 0 ? put_deduped(e, major, s, len, true)
                                        : put_chars(e, major, s, len);
}

/* Out of line, or the short ones pay for its registers. */
static NOINLINE CodecStatus put_long_string(Encoder *e, const char *s,
                                            size_t len) {
  Buf *b = e->b;
  if (!encode_is_roomy(b, len) || (e->flags & (CODEC_TEXT | CODEC_DEDUPE)) != 0)
    return put_string_slowly(e, s, len);
  uint8_t *to = b->base + b->len;
  size_t bytes = head_put(to, MAJOR_BYTES, len);
  b->len += bytes + len;
  if ((e->flags & CODEC_BYTES) != 0)
    memcpy(to + bytes, s, len);
  else if (copy_utf8(to + bytes, s, len))
    to[0] |= MAJOR_TEXT << 5;
  return CODEC_OK;
}

/* Most strings are short and all ASCII: copied and looked at in one go. */
static CodecStatus put_string(Encoder *e, int index) {
  const char *s = lua_tolstring(e->L, index, &e->len);
  size_t len = e->len;
  Buf *b = e->b;
  if (len >= INFO_ONE || !encode_is_roomy(b, len) ||
      (e->flags & CODEC_DEDUPE) != 0)
    return put_long_string(e, s, len);
  uint8_t *to = b->base + b->len;
  unsigned major = (e->flags & CODEC_BYTES) != 0 ? MAJOR_BYTES : MAJOR_TEXT;
  if (!copy_ascii(to + 1, s, len) && major == MAJOR_TEXT)
    return put_long_string(e, s, len);
  to[0] = (uint8_t)(major << 5 | len);
  b->len += 1 + len;
  return CODEC_OK;
}

/* A name is text, whatever the options say of strings. */
CodecStatus encode_name(Encoder *e, const char *s, size_t len) {
  if ((e->flags & CODEC_DEDUPE) != 0)
    return put_deduped(e, MAJOR_TEXT, s, len, false);
  return put_chars(e, MAJOR_TEXT, s, len);
}

/* --- tables. The table at `t` is on the top of the stack. --- */

/* Scalars are popped some at a time. */
CodecStatus encode_array(Encoder *e, int t, size_t n, bool holes) {
  CodecStatus status = encode_head(e, MAJOR_ARRAY, n);
  int at = t;
  e->depth++;
  for (size_t i = 1; i <= n && status == CODEC_OK; i++) {
    int type = lua_rawgeti(e->L, t, (lua_Integer)i);
    if (type == LUA_TNIL && !holes) {
      e->careful = true;
      return (CodecStatus)AGAIN;
    }
    at++;
    status =
        type == LUA_TSTRING ? put_string(e, at) : encode_value(e, at, type);
    if (status != CODEC_OK) {
      lua_settop(e->L, t);
      lua_pushinteger(e->L, (lua_Integer)i);
      return encode_fail_under(e, t + 1, status);
    }
    if (type > LUA_TSTRING || at == t + AT_ONCE) {
      lua_settop(e->L, t);
      at = t;
    }
  }
  e->depth--;
  return status;
}

/* The key at t + 1, no string; the value at t + 2 is the top. */
static CodecStatus put_key(Encoder *e, int t) {
  int key = t + 1, type = lua_type(e->L, key);
  if (type == LUA_TLIGHTUSERDATA) {
    encode_refuse(e, key);
    return encode_fail_key(e, CODEC_TYPE);
  }
  lua_pushvalue(e->L, key);
  CodecStatus status = encode_value(e, key + 2, type);
  if (status != CODEC_OK)
    return encode_fail_key(e, status);
  lua_settop(e->L, key + 1);
  return CODEC_OK;
}

static inline CodecStatus put_pair(Encoder *e, int t) {
  CodecStatus status = lua_type(e->L, t + 1) == LUA_TSTRING
                           ? put_string(e, t + 1)
                           : put_key(e, t);
  if (status != CODEC_OK)
    return status;
  int type = lua_type(e->L, t + 2);
  status =
      type == LUA_TSTRING ? put_string(e, t + 2) : encode_value(e, t + 2, type);
  return status == CODEC_OK ? status : encode_fail_under(e, t + 1, status);
}

CodecStatus encode_pair(Encoder *e, int t) {
  return put_pair(e, t);
}

/* The first pair is on the stack. */
static CodecStatus put_pairs(Encoder *e, int t) {
  size_t at = e->b->len, n = 0;
  CodecStatus status = encode_head(e, MAJOR_MAP, 0);
  if (status != CODEC_OK)
    return status;
  e->depth++;
  do {
    status = put_pair(e, t);
    if (status != CODEC_OK)
      return status;
    lua_settop(e->L, t + 1);
    n++;
  } while (lua_next(e->L, t));
  e->depth--;
  return n < INFO_ONE && e->b->base != NULL
             ? (e->b->base[at] += (uint8_t)n, CODEC_OK)
             : patch_head(e, at, MAJOR_MAP, n);
}

CodecStatus encode_map(Encoder *e, int t) {
  lua_pushnil(e->L);
  return lua_next(e->L, t) ? put_pairs(e, t) : encode_head(e, MAJOR_MAP, 0);
}

/* How many pairs from the one on the stack on, but no more than most + 1. */
static inline size_t count_pairs(lua_State *L, int t, size_t most) {
  size_t n = 0;
  do {
    lua_settop(L, t + 1);
    if (++n > most) {
      lua_settop(L, t);
      break;
    }
  } while (lua_next(L, t));
  return n;
}

size_t encode_count_pairs(lua_State *L, int t) {
  lua_pushnil(L);
  return lua_next(L, t) ? count_pairs(L, t, SIZE_MAX - 1) : 0;
}

/* Are all keys in 1..*n, with few holes? A *n of 0 becomes the largest. */
static bool is_array(lua_State *L, int t, size_t *n) {
  size_t border = *n, largest = 0, pairs = 0;
  bool all = true;
  lua_pushnil(L);
  while (all && lua_next(L, t)) {
    lua_Integer key = lua_isinteger(L, t + 1) ? lua_tointeger(L, t + 1) : 0;
    all = key >= 1 && (border == 0 || (size_t)key <= border);
    largest = all && (size_t)key > largest ? (size_t)key : largest;
    lua_settop(L, t + 1);
    pairs++;
  }
  lua_settop(L, t);
  *n = border == 0 ? largest : border;
  return all && *n > 0 && *n - pairs <= (*n < 16 ? 8 : *n / 2);
}

/* --- kinds of tables --- */

/* Every key is looked at, from the border n or from none. */
static CodecStatus put_carefully(Encoder *e, int t, size_t n) {
  if (is_array(e->L, t, &n))
    return encode_array(e, t, n, true);
  return (e->flags & CODEC_SORTED) != 0 ? encode_sorted(e, t)
                                        : encode_map(e, t);
}

/* One key that is a string tells a map. */
CodecStatus encode_plain(Encoder *e, int t) {
  if ((e->flags & CODEC_SORTED) != 0)
    return put_carefully(e, t, 0);
  lua_pushnil(e->L);
  if (!lua_next(e->L, t))
    return encode_head(e, MAJOR_MAP, 0);
  size_t n = 0;
  if (lua_type(e->L, t + 1) == LUA_TSTRING || (n = lua_rawlen(e->L, t)) == 0)
    return put_pairs(e, t);
  size_t pairs = count_pairs(e->L, t, n);
  if (pairs == n && !e->careful)
    return encode_array(e, t, n, false);
  return pairs <= n ? put_carefully(e, t, n) : encode_map(e, t);
}

/* --- anything with an identity: at `t`, on the top --- */

static CodecStatus put_content(Encoder *e, int t, int type) {
  return lua_getmetatable(e->L, t) ? encode_object(e, t, type)
                                   : encode_plain(e, t);
}

/* The value was met before, here is its number: a reference. */
static CodecStatus put_again(Encoder *e, size_t *number) {
  size_t index = e->second ? *number - MARKED : 0;
  if (!e->second) {
    *number = TWICE;
    e->twice = true;
  }
  CodecStatus status = encode_head(e, MAJOR_TAG, TAG_REF);
  return status != CODEC_OK ? status : encode_head(e, MAJOR_UNSIGNED, index);
}

static CodecStatus put_mark(Encoder *e, int t, int type, size_t *number) {
  *number = MARKED + e->marks++;
  CodecStatus status = encode_head(e, MAJOR_TAG, TAG_MARK);
  return status != CODEC_OK ? status : put_content(e, t, type);
}

/* Slots for some levels from the top on, which is `t`. */
static bool reserve_stack(Encoder *e, int t) {
  if (!lua_checkstack(e->L, 4 * ENCODE_ROOM))
    return false;
  e->stack_end = t + 4 * ENCODE_ROOM;
  return true;
}

static NOINLINE CodecStatus put_nested(Encoder *e, int t, int type) {
  if (e->depth >= e->max_depth)
    return encode_fail_depth(e);
  if (e->b->len - e->start > e->max_bytes)
    return encode_fail(e, CODEC_LIMIT, "more than max_bytes");
  if (t + ENCODE_ROOM > e->stack_end && !reserve_stack(e, t))
    return encode_fail(e, CODEC_STACK, "the Lua stack cannot grow");
  if ((e->flags & CODEC_TREE) != 0)
    return put_content(e, t, type);
  size_t *number = seen_number(&e->seen, lua_topointer(e->L, t));
  if (number == NULL)
    return encode_fail(e, CODEC_MEMORY, "not enough memory");
  if (*number == NEW)
    *number = ONCE;
  else if (!e->second || *number >= MARKED)
    return put_again(e, number);
  else if (*number == TWICE)
    return put_mark(e, t, type, number);
  return put_content(e, t, type);
}

/* The value at `index`; unless it is a scalar that is the top. */
CodecStatus encode_value(Encoder *e, int index, int type) {
  switch (type) {
  case LUA_TNUMBER:
    return put_number(e, index);
  case LUA_TSTRING:
    return put_string(e, index);
  case LUA_TTABLE:
  case LUA_TUSERDATA:
    return put_nested(e, index, type);
  case LUA_TBOOLEAN:
    return encode_head(e, MAJOR_OTHER,
                       lua_toboolean(e->L, index) ? OTHER_TRUE : OTHER_FALSE);
  case LUA_TNIL:
    return encode_head(e, MAJOR_OTHER, OTHER_NULL);
  case LUA_TLIGHTUSERDATA:
    return lua_touserdata(e->L, index) == NULL
               ? encode_head(e, MAJOR_OTHER, OTHER_NULL)
               : encode_refuse(e, index);
  case LUA_TFUNCTION:
    return encode_function(e, index);
  default:
    return encode_refuse(e, index);
  }
}

/* --- messages --- */

static CodecStatus put_top(Encoder *e, int index) {
  int type = lua_type(e->L, index);
  if ((e->flags & CODEC_DEDUPE) != 0) {
    seen_clear(&e->texts);
    e->strings = 0;
    CodecStatus status = encode_head(e, MAJOR_TAG, TAG_NAMESPACE);
    if (status != CODEC_OK)
      return status;
  }
  if (type <= LUA_TSTRING)
    return encode_value(e, index, type);
  int top = lua_gettop(e->L);
  if (!reserve_stack(e, top))
    return encode_fail(e, CODEC_STACK, "the Lua stack cannot grow");
  if (index < top)
    lua_pushvalue(e->L, index);
  CodecStatus status = encode_value(e, lua_gettop(e->L), type);
  lua_settop(e->L, top);
  return status;
}

static CodecStatus put_all(Encoder *e, int first, int n) {
  for (int i = 0; i < n; i++) {
    CodecStatus status = put_top(e, first + i);
    if (status != CODEC_OK) {
      e->err->value = i + 1;
      return status;
    }
  }
  if (e->b->len - e->start > e->max_bytes)
    return encode_fail(e, CODEC_LIMIT, "more than max_bytes");
  return CODEC_OK;
}

/* As many passes as it takes, see the top of this file. */
CodecStatus encode_message(Encoder *e, int first, int n) {
  for (;;) {
    CodecStatus status = put_all(e, first, n);
    bool mark = status == CODEC_OK && e->twice && !e->second;
    if (!mark && ((int)status != AGAIN || (e->want_guard && !e->guarded)))
      return status;
    e->b->len = e->start;
    e->depth = 0;
    e->marks = 0;
    e->second = mark;
    if (!mark) {
      seen_clear(&e->seen);
      e->twice = false;
    }
  }
}

/* Scalars and, as there is nothing that it could be the same as, one flat
** table. */
static bool put_simple(lua_State *L, int first, int n, Buf *b, uint32_t flags) {
  size_t mark = b->len, bytes;
  bool flat = false;
  for (int i = first; i < first + n; i++)
    if ((bytes = scalar_append(L, i, b, flags)) > 0) {
      b->len += bytes;
    } else if (flat || lua_type(L, i) != LUA_TTABLE ||
               !(flat = encode_flat(L, i, b, flags))) {
      b->len = mark;
      return false;
    }
  return true;
}

static CodecStatus encode_all(lua_State *L, int first, int n, Buf *b,
                              const CodecOptions *opts, CodecError *err) {
  Encoder e;
  e.L = L;
  e.b = b;
  e.err = err;
  e.start = b->len;
  e.max_bytes = opts->max_bytes == 0 ? SIZE_MAX : opts->max_bytes;
  e.marks = e.strings = 0;
  e.flags = opts->flags;
  e.depth = e.cache = e.stack_end = 0;
  e.max_depth = opts->max_depth == 0 ? CODEC_DEPTH_DEFAULT : opts->max_depth;
  e.careful = e.guarded = e.want_guard = e.twice = e.second = false;
  seen_init(&e.seen);
  seen_init(&e.texts);
  CodecStatus status = encode_message(&e, first, n);
  if ((int)status == AGAIN)
    status = encode_guarded(&e, first, n);
  if (status != CODEC_OK) {
    int error = errno;
    b->len = e.start;
    encode_bracket_path(err);
    errno = error;
  }
  if (e.seen.slots != NULL || e.texts.slots != NULL) {
    seen_clear(&e.seen);
    seen_clear(&e.texts);
  }
  err->status = status;
  return status;
}

CodecStatus codec_encode(lua_State *L, int first, int n, Buf *b,
                         const CodecOptions *opts, CodecError *err) {
  if (scalar_fits(opts, n) && put_simple(L, first, n, b, opts->flags))
    return err->status = CODEC_OK;
  return encode_all(L, first, n, b, opts, err);
}
