/*
** decode.c - CBOR to Lua values.
** Runs in: every process.  Owns: nothing.  Never: trusts the bytes.
*/
#include "decoder.h"
#include "scalar.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>

enum {
  BULK_LEAST = 8, /* arrays of so many elements are built by a closure */
  BULK_MOST = 4096,
  STACKED_MOST = 1 << 16,
  PRESIZE_MOST = 1 << 26
};

/* The head then lives in registers: a tenth of the time of an array. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

const char codec_bulk_key = 0;

CodecStatus decode_fail(Decoder *d, CodecStatus status, const char *format,
                        ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(d->err->why, sizeof d->err->why, format, args);
  va_end(args);
  d->err->at = (size_t)(d->item - d->base);
  return status;
}

static ALWAYS_INLINE CodecStatus get_item(Decoder *d, Head head);

static CodecStatus truncated(Decoder *d) {
  return decode_fail(d, CODEC_TRUNCATED, "truncated");
}

static CodecStatus fail_head(Decoder *d, HeadResult result) {
  return result == HEAD_TRUNCATED ? truncated(d)
                                  : decode_fail(d, CODEC_FORM, "reserved head");
}

static ALWAYS_INLINE CodecStatus get_head(Decoder *d, Head *head) {
  d->item = d->p;
  HeadResult result = head_get(&d->p, d->end, head);
  if (result != HEAD_OK)
    return fail_head(d, result);
  if ((d->flags & CODEC_STRICT) != 0 && head->major != MAJOR_OTHER &&
      !head_is_shortest(head))
    return decode_fail(d, CODEC_FORM, "a head longer than needed");
  return CODEC_OK;
}

CodecStatus decode_head(Decoder *d, Head *head) {
  return get_head(d, head);
}

static inline CodecStatus enter(Decoder *d) {
  if (d->depth >= d->max_depth)
    return decode_fail(d, CODEC_DEPTH, "nested deeper than %d levels",
                       d->max_depth);
  if (!lua_checkstack(d->L, DECODE_ROOM))
    return decode_fail(d, CODEC_STACK, "the Lua stack cannot grow");
  d->depth++;
  return CODEC_OK;
}

CodecStatus decode_enter(Decoder *d) {
  return enter(d);
}

/* Do the bytes left cover the debt and n values more? Then owe them. */
static inline bool owe(Decoder *d, uint64_t n) {
  size_t left = (size_t)(d->end - d->p);
  if (left < d->owed || n > left - d->owed)
    return false;
  d->owed += (size_t)n;
  return true;
}

static inline bool at_break(Decoder *d) {
  if (d->p == d->end || head_once(*d->p) != 0xff)
    return false;
  d->p++;
  return true;
}

/* --- strings --- */

NOINLINE const char *decode_push_copy(lua_State *L, const char *s, size_t len) {
  char copy[SHORT_STRING];
  return lua_pushlstring(L, memcpy(copy, s, len), len);
}

static CodecStatus finish_string(Decoder *d, Head head, size_t len) {
  if ((d->flags & CODEC_STRICT) != 0 && head.major == MAJOR_TEXT &&
      !codec_is_utf8((const uint8_t *)lua_tostring(d->L, -1), len))
    return decode_fail(d, CODEC_FORM, "text that is not UTF-8");
  if (d->in_namespace && head.info != INFO_OPEN)
    return decode_add_string(d, len);
  return CODEC_OK;
}

/* One chunk: its bytes begin at *from. */
static CodecStatus get_chunk(Decoder *d, unsigned major, Head *chunk,
                             const uint8_t **from) {
  CodecStatus status = get_head(d, chunk);
  if (status != CODEC_OK)
    return status;
  if (chunk->major != major || chunk->info == INFO_OPEN)
    return decode_fail(d, CODEC_FORM, "a chunk of another kind");
  if (chunk->arg > (size_t)(d->end - d->p))
    return truncated(d);
  if ((d->flags & CODEC_STRICT) != 0 && major == MAJOR_TEXT &&
      !codec_is_utf8(d->p, (size_t)chunk->arg))
    return decode_fail(d, CODEC_FORM, "text that is not UTF-8");
  *from = d->p;
  d->p += chunk->arg;
  return CODEC_OK;
}

/* Chunks are summed first, then copied into one block of that size. */
static CodecStatus get_chunks(Decoder *d, Head head) {
  const uint8_t *begin = d->p, *from;
  size_t total = 0, len = 0;
  Head chunk;
  CodecStatus status;
  while (!at_break(d)) {
    if ((status = get_chunk(d, head.major, &chunk, &from)) != CODEC_OK)
      return status;
    total += (size_t)chunk.arg;
  }
  const uint8_t *behind = d->p;
  char *block = lua_newuserdatauv(d->L, total, 0);
  d->p = begin;
  while (!at_break(d)) {
    if ((status = get_chunk(d, head.major, &chunk, &from)) != CODEC_OK)
      return status;
    if (chunk.arg > total - len)
      return decode_fail(d, CODEC_FORM, "bytes that change");
    memcpy(block + len, from, (size_t)chunk.arg);
    len += (size_t)chunk.arg;
  }
  if (d->p != behind)
    return decode_fail(d, CODEC_FORM, "bytes that change");
  lua_pushlstring(d->L, block, len);
  lua_remove(d->L, -2);
  return finish_string(d, head, len);
}

CodecStatus decode_string(Decoder *d, Head head) {
  if (head.info == INFO_OPEN)
    return get_chunks(d, head);
  if (head.arg > (size_t)(d->end - d->p))
    return truncated(d);
  decode_push_string(d, (size_t)head.arg);
  if (d->in_namespace || (d->flags & CODEC_STRICT) != 0)
    return finish_string(d, head, (size_t)head.arg);
  return CODEC_OK;
}

/* --- arrays --- */

static void push_bulk(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &codec_bulk_key) == LUA_TFUNCTION)
    return;
  lua_pop(L, 1);
  if (luaL_loadbufferx(L, "return {...}", 12, "=codec", "t") != LUA_OK)
    lua_error(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &codec_bulk_key);
}

/*
** The number at *p, of which 9 bytes may be read, without a Head: long arrays
** are made of them. Moves *p behind it.
*/
static ALWAYS_INLINE bool push_number(lua_State *L, const uint8_t **p,
                                      unsigned first) {
  uint64_t v;
  memcpy(&v, *p + 1, 8);
  v = head_once(__builtin_bswap64(v));
  if (first == (MAJOR_OTHER << 5 | INFO_EIGHT)) {
    double number;
    memcpy(&number, &v, 8);
    lua_pushnumber(L, number);
    *p += 9;
    return true;
  }
  unsigned info = first & 31, bytes = 0;
  if (first >= MAJOR_BYTES << 5 || info > INFO_EIGHT)
    return false;
  if (info < INFO_ONE)
    v = info;
  else {
    bytes = 1U << (info - INFO_ONE);
    v >>= 64 - 8 * bytes;
  }
  if (v > INT64_MAX)
    return false;
  lua_pushinteger(L, (lua_Integer)(v ^ (0 - (uint64_t)(first >> 5))));
  *p += 1 + bytes;
  return true;
}

/* Push the numbers that come next, n at most: how many? */
static int push_numbers(Decoder *d, int n) {
  lua_State *L = d->L;
  const uint8_t *p = d->p, *end = d->quick_end;
  int i = 0;
  while (i < n && p < end && push_number(L, &p, (unsigned)head_once(*p)))
    i++;
  d->p = p;
  d->owed -= (size_t)i;
  return i;
}

/* `return {...}` over n values is twice as fast as n times lua_rawseti. */
static CodecStatus get_bulk(Decoder *d, int n) {
  push_bulk(d->L);
  d->stacked += (size_t)n;
  for (int i = push_numbers(d, n); i < n; i += 1 + push_numbers(d, n - i - 1)) {
    CodecStatus status = decode_value(d);
    if (status != CODEC_OK)
      return status;
  }
  d->stacked -= (size_t)n;
  lua_call(d->L, n, 1);
  return CODEC_OK;
}

static CodecStatus get_open_array(Decoder *d, size_t mark) {
  lua_newtable(d->L);
  decode_set_mark(d, mark);
  for (lua_Integer i = 1; !at_break(d); i++) {
    d->owed++;
    CodecStatus status = decode_value(d);
    if (status != CODEC_OK)
      return status;
    lua_rawseti(d->L, -2, i);
  }
  return CODEC_OK;
}

static CodecStatus get_elements(Decoder *d, size_t n, size_t mark) {
  lua_createtable(d->L, n <= PRESIZE_MOST ? (int)n : 0, 0);
  decode_set_mark(d, mark);
  for (size_t i = 1; i <= n; i++) {
    CodecStatus status = decode_value(d);
    if (status != CODEC_OK)
      return status;
    lua_rawseti(d->L, -2, (lua_Integer)i);
  }
  return CODEC_OK;
}

CodecStatus decode_array(Decoder *d, Head head, size_t mark) {
  CodecStatus status = enter(d);
  if (status != CODEC_OK)
    return status;
  size_t n = (size_t)head.arg;
  if (head.info == INFO_OPEN)
    status = get_open_array(d, mark);
  else if (!owe(d, head.arg))
    status = truncated(d);
  else if (mark == NO_MARK && n >= BULK_LEAST && n <= BULK_MOST &&
           d->stacked + n <= STACKED_MOST &&
           lua_checkstack(d->L, (int)n + DECODE_ROOM))
    status = get_bulk(d, (int)n);
  else
    status = get_elements(d, n, mark);
  d->depth--;
  return status;
}

/* --- maps --- */

static inline CodecStatus get_pair(Decoder *d) {
  CodecStatus status = decode_key(d);
  if (status == CODEC_OK)
    status = decode_value(d);
  if (status == CODEC_OK)
    lua_rawset(d->L, -3);
  return status;
}

static CodecStatus get_open_map(Decoder *d, size_t mark) {
  lua_newtable(d->L);
  decode_set_mark(d, mark);
  while (!at_break(d)) {
    d->owed += 2;
    CodecStatus status = get_pair(d);
    if (status != CODEC_OK)
      return status;
  }
  return CODEC_OK;
}

static CodecStatus get_pairs(Decoder *d, size_t n, size_t mark) {
  lua_createtable(d->L, 0, n <= PRESIZE_MOST ? (int)n : 0);
  decode_set_mark(d, mark);
  for (size_t i = 0; i < n; i++) {
    CodecStatus status = get_pair(d);
    if (status != CODEC_OK)
      return status;
  }
  return CODEC_OK;
}

CodecStatus decode_map(Decoder *d, Head head, size_t mark) {
  CodecStatus status = enter(d);
  if (status != CODEC_OK)
    return status;
  decode_count_map(d);
  if (head.info == INFO_OPEN)
    status = get_open_map(d, mark);
  else if (head.arg > SIZE_MAX / 2 || !owe(d, 2 * head.arg))
    status = truncated(d);
  else
    status = get_pairs(d, (size_t)head.arg, mark);
  d->depth--;
  return status;
}

/* --- values --- */

static CodecStatus get_float(Decoder *d, Head head) {
  lua_Number number = head_float(&head);
  uint64_t bits;
  if ((d->flags & CODEC_STRICT) != 0 &&
      head_float_bits(number, &bits) < (size_t)1 << (head.info - INFO_ONE))
    return decode_fail(d, CODEC_FORM, "a float longer than needed");
  lua_pushnumber(d->L, number);
  return CODEC_OK;
}

static CodecStatus get_other(Decoder *d, Head head) {
  lua_State *L = d->L;
  switch (head.info) {
  case OTHER_FALSE:
  case OTHER_TRUE:
    lua_pushboolean(L, head.info == OTHER_TRUE);
    return CODEC_OK;
  case OTHER_NULL:
  case OTHER_UNDEFINED:
    if (d->opts->null != 0)
      lua_pushvalue(L, d->opts->null);
    else
      lua_pushnil(L);
    return CODEC_OK;
  case INFO_TWO:
  case INFO_FOUR:
  case INFO_EIGHT:
    return get_float(d, head);
  case INFO_OPEN:
    return decode_fail(d, CODEC_FORM, "a break outside");
  default:
    if (head.info == INFO_ONE && head.arg < 32)
      return decode_fail(d, CODEC_FORM, "a simple value in two bytes");
    return decode_fail(d, CODEC_TYPE, "the simple value %d", (int)head.arg);
  }
}

static ALWAYS_INLINE CodecStatus get_item(Decoder *d, Head head) {
  switch (head.major) {
  case MAJOR_UNSIGNED:
  case MAJOR_NEGATIVE:
    if (head.info == INFO_OPEN)
      return decode_fail(d, CODEC_FORM, "an integer of no length");
    if (head.arg > INT64_MAX)
      return decode_big(d, head.major == MAJOR_NEGATIVE, head.arg);
    lua_pushinteger(d->L, head.major == MAJOR_NEGATIVE
                              ? -1 - (lua_Integer)head.arg
                              : (lua_Integer)head.arg);
    return CODEC_OK;
  case MAJOR_BYTES:
  case MAJOR_TEXT:
    return decode_string(d, head);
  case MAJOR_ARRAY:
    return decode_array(d, head, NO_MARK);
  case MAJOR_MAP:
    return decode_map(d, head, NO_MARK);
  case MAJOR_TAG:
    return decode_tag(d, head, NO_MARK);
  default:
    return get_other(d, head);
  }
}

static NOINLINE CodecStatus get_any(Decoder *d) {
  Head head;
  CodecStatus status = get_head(d, &head);
  return status == CODEC_OK ? get_item(d, head) : status;
}

static NOINLINE CodecStatus get_number(Decoder *d, unsigned first) {
  return push_number(d->L, &d->p, first) ? CODEC_OK : get_any(d);
}

CodecStatus decode_value(Decoder *d) {
  size_t len;
  d->owed--;
  if (d->p >= d->quick_end)
    return get_any(d);
  unsigned first = (unsigned)head_once(*d->p);
  if (!decode_is_string(d, first, &len))
    return get_number(d, first);
  decode_push_string(d, len);
  return CODEC_OK;
}

CodecStatus decode_item(Decoder *d, Head head) {
  return get_item(d, head);
}

/* --- messages --- */

static CodecStatus get_message(Decoder *d, size_t size, int n) {
  if (d->opts->max_bytes != 0 && size > d->opts->max_bytes)
    return decode_fail(d, CODEC_LIMIT, "more than max_bytes");
  if ((size_t)n > size)
    return truncated(d);
  if (!lua_checkstack(d->L, n + DECODE_ROOM))
    return decode_fail(d, CODEC_STACK, "the Lua stack cannot grow");
  for (int i = 0; i < n; i++) {
    CodecStatus status = decode_value(d);
    if (status != CODEC_OK)
      return status;
  }
  return CODEC_OK;
}

static inline bool take_scalar(lua_State *L, const uint8_t **p,
                               const uint8_t *end) {
  Head head;
  if (head_get(p, end, &head) != HEAD_OK)
    return false;
  if (head.major != MAJOR_BYTES && head.major != MAJOR_TEXT)
    return scalar_push(L, &head);
  if (head.info == INFO_OPEN || head.arg > (size_t)(end - *p))
    return false;
  const char *s = (const char *)*p;
  *p += head.arg;
  if (head.arg <= SHORT_STRING)
    decode_push_copy(L, s, (size_t)head.arg);
  else
    lua_pushlstring(L, s, (size_t)head.arg);
  return true;
}

static inline bool flat_begins(const uint8_t *p, const uint8_t *end) {
  return p < end && *p >> 6 == MAJOR_ARRAY >> 1 && (*p & 31) < INFO_ONE;
}

static inline bool is_string_at(const uint8_t *p, const uint8_t *end) {
  return p < end && *p >> 6 == MAJOR_BYTES >> 1;
}

/* A short list or record of scalars: see encode_flat.c. */
static bool take_flat(lua_State *L, const uint8_t **p, const uint8_t *end) {
  enum { MAP = MAJOR_MAP << 5, ROOM = 3 };
  unsigned first = (unsigned)head_once(*(*p)++), n = first & 31;
  bool is_map = first >= MAP;
  if (n >= (is_map ? INFO_ONE : BULK_LEAST) || !lua_checkstack(L, ROOM))
    return false;
  lua_createtable(L, is_map ? 0 : (int)n, is_map ? (int)n : 0);
  for (unsigned i = 1; i <= n; i++) {
    if ((is_map && !(is_string_at(*p, end) && take_scalar(L, p, end))) ||
        !take_scalar(L, p, end))
      return false;
    if (is_map)
      lua_rawset(L, -3);
    else
      lua_rawseti(L, -2, i);
  }
  return true;
}

static bool take_simple(lua_State *L, const uint8_t *bytes, size_t size,
                        size_t *used, int n) {
  const uint8_t *p = bytes, *end = bytes + size;
  int top = lua_gettop(L);
  for (int i = 0; i < n; i++)
    if (!(scalar_begins(p, end)
              ? take_scalar(L, &p, end)
              : flat_begins(p, end) && take_flat(L, &p, end))) {
      lua_settop(L, top);
      return false;
    }
  *used = (size_t)(p - bytes);
  return true;
}

/* Field by field: an initializer would write zeros over all of it first. */
static void begin(Decoder *d, const uint8_t *bytes, size_t size, size_t n) {
  bool strict = (d->flags & CODEC_STRICT) != 0;
  d->p = d->base = d->item = bytes;
  d->end = bytes + size;
  d->quick_end = strict || size < HEAD_MOST ? bytes : d->end - (HEAD_MOST - 1);
  d->owed = n;
  d->stacked = d->marks = d->maps = d->strings_from = d->strings = 0;
  d->depth = d->below = d->memo = d->keys_at = 0;
  d->bottom = lua_gettop(d->L);
  d->in_namespace = false;
}

static CodecStatus decode_all(lua_State *L, const uint8_t *bytes, size_t size,
                              size_t *used, int n, const CodecOptions *opts,
                              CodecError *err) {
  Keys keys;
  Decoder d;
  d.L = L;
  d.opts = opts;
  d.err = err;
  d.keys = &keys;
  d.flags = opts->flags;
  d.max_depth = opts->max_depth == 0 ? CODEC_DEPTH_DEFAULT : opts->max_depth;
  begin(&d, bytes, size, (size_t)n);
  CodecStatus status = get_message(&d, size, n);
  if (status != CODEC_OK)
    lua_settop(L, d.bottom);
  else if (d.below > 0) {
    lua_rotate(L, d.bottom + 1, -d.below);
    lua_pop(L, d.below);
  }
  *used = (size_t)(d.p - bytes);
  err->status = status;
  return status;
}

CodecStatus codec_decode_raw(lua_State *L, const uint8_t *bytes, size_t size,
                             size_t *used, int n, const CodecOptions *opts,
                             CodecError *err) {
  if (!scalar_fits(opts, n) || !take_simple(L, bytes, size, used, n))
    return decode_all(L, bytes, size, used, n, opts, err);
  return err->status = CODEC_OK;
}

typedef struct Call {
  const uint8_t *bytes;
  size_t size, *used;
  int n;
  const CodecOptions *opts;
  CodecError *err;
} Call;

static int protected_call(lua_State *L) {
  Call *call = lua_touserdata(L, 1);
  lua_settop(L, 0);
  codec_decode_raw(L, call->bytes, call->size, call->used, call->n, call->opts,
                   call->err);
  return lua_gettop(L);
}

CodecStatus codec_decode(lua_State *L, const uint8_t *bytes, size_t size,
                         size_t *used, int n, const CodecOptions *opts,
                         CodecError *err) {
  Call call = {bytes, size, used, n, opts, err};
  int top = lua_gettop(L);
  err->at = 0;
  if (!lua_checkstack(L, n + DECODE_ROOM)) {
    snprintf(err->why, sizeof err->why, "the Lua stack cannot grow");
    return err->status = CODEC_STACK;
  }
  lua_pushcfunction(L, protected_call);
  lua_pushlightuserdata(L, &call);
  int result = lua_pcall(L, 1, LUA_MULTRET, 0);
  if (result == LUA_OK)
    return err->status;
  const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1)
                                                   : "an error was raised";
  snprintf(err->why, sizeof err->why, "%s", why);
  lua_settop(L, top);
  return err->status = result == LUA_ERRMEM ? CODEC_MEMORY : CODEC_HOOK;
}
