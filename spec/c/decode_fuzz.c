/*
** decode_fuzz.c - hostile bytes for the codec (libFuzzer).
** The first byte of an input chooses the flags. What must hold:
**   check and decode agree, as far as codec.h says they do;
**   decoding takes at most 96 bytes of memory a byte of input;
**   a decoded value encodes, counting gives the same length, a buffer of
**   that length is enough, and decoding and encoding again gives the same.
**
**   clang -g -O1 -fsanitize=fuzzer,address,undefined -I host \
**     $(pkg-config --cflags lua5.4) spec/c/decode_fuzz.c host/encode*.c \
**     host/decode*.c host/check.c host/seen.c host/buf.c -llua5.4 -lm
*/
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

enum { CONSTANT_BYTES = 160 << 10 }; /* the Lua stack grows in steps */

static size_t in_use, peak;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *count_alloc(void *ud, void *block, size_t old, size_t size) {
  (void)ud;
  in_use -= block != NULL ? old : 0;
  if (size == 0) {
    free(block);
    return NULL;
  }
  void *new = realloc(block, size);
  in_use += new != NULL ? size : old;
  peak = in_use > peak ? in_use : peak;
  return new;
}

static void expect(bool holds, const char *what, const CodecError *err) {
  if (holds)
    return;
  fprintf(stderr, "%s (status %d: %s, path %s)\n", what, (int)err->status,
          err->why, err->path);
  abort();
}

/* Raises "odd" for odd numbers, so that hooks fail now and then. */
static int hook(lua_State *L) {
  if (lua_isinteger(L, 1) && lua_tointeger(L, 1) % 2 == 1)
    return luaL_error(L, "odd");
  lua_newtable(L);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "was");
  luaL_setmetatable(L, "fuzz.hooked");
  return 1;
}

static int unhook(lua_State *L) {
  lua_getfield(L, 1, "was");
  return 1;
}

/* [metatable] = entry and types[name] = entry; the registry is on the top. */
static void add_type(lua_State *L, const char *name, bool hooked) {
  lua_createtable(L, 4, 0);
  lua_pushstring(L, name);
  lua_rawseti(L, -2, 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 2);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 3);
  luaL_newmetatable(L, hooked ? "fuzz.hooked" : "fuzz.plain");
  if (hooked) {
    lua_pushcfunction(L, unhook);
    lua_rawseti(L, -3, 2);
    lua_pushcfunction(L, hook);
    lua_rawseti(L, -3, 3);
  }
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, 4);
  lua_pushvalue(L, -2);
  lua_rawset(L, -4);
  lua_getfield(L, -2, "types");
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}

static lua_State *new_state(void) {
  lua_State *L = lua_newstate(count_alloc, NULL);
  codec_registry(L);
  add_type(L, "p", false);
  add_type(L, "h", true);
  lua_pushcfunction(L, hook);
  lua_pushstring(L, "f");
  lua_rawset(L, -3);
  lua_getfield(L, -1, "functions");
  lua_pushcfunction(L, hook);
  lua_setfield(L, -2, "f");
  lua_settop(L, 0);
  return L;
}

/* Append the value on the top; a refusal must be one that can happen. */
static bool encode(lua_State *L, Buf *b, const CodecOptions *opts) {
  CodecError err;
  int top = lua_gettop(L);
  CodecStatus status = codec_encode(L, top, 1, b, opts, &err);
  expect(lua_gettop(L) == top, "encode moved the stack", &err);
  expect(status == CODEC_OK || status == CODEC_DEPTH || status == CODEC_TYPE ||
             status == CODEC_HOOK,
         "a decoded value does not encode", &err);
  return status == CODEC_OK;
}

/* The length that counting gives is enough, and one byte less is not. */
static void fill(lua_State *L, size_t len, const CodecOptions *opts) {
  CodecError err = {.status = CODEC_OK};
  Buf fixed;
  char *room = malloc(len);
  for (size_t less = 0; room != NULL && less < 2 && less < len; less++) {
    buf_fixed(&fixed, room, len - less);
    codec_encode(L, lua_gettop(L), 1, &fixed, opts, &err);
    expect(err.status == (less == 0 ? CODEC_OK : CODEC_FULL) &&
               fixed.len == (less == 0 ? len : 0) &&
               (less == 0 || errno == ENOSPC),
           "a fixed buffer is not filled to its end", &err);
  }
  free(room);
}

static void round_trip(lua_State *L, uint32_t flags) {
  CodecError err = {.status = CODEC_OK};
  CodecOptions opts = {.flags = flags, .max_depth = 4000};
  Buf once, twice, count;
  size_t used;
  buf_init(&once);
  buf_init(&twice);
  buf_count(&count);
  if (encode(L, &once, &opts)) {
    encode(L, &count, &opts);
    expect(count.len == once.len, "counting gives another length", &err);
    fill(L, count.len, &opts);
    opts.flags = 0;
    codec_decode(L, once.base, once.len, &used, 1, &opts, &err);
    if (err.status == CODEC_OK) {
      expect(used == once.len, "not all was read", &err);
      opts.flags = flags;
      expect(encode(L, &twice, &opts), "encodes once only", &err);
      expect((flags & CODEC_SORTED) == 0 ||
                 (once.len == twice.len &&
                  memcmp(once.base, twice.base, once.len) == 0),
             "other bytes the second time", &err);
    } else {
      expect(err.status == CODEC_HOOK || err.status == CODEC_REF ||
                 err.status == CODEC_KEY,
             "what was encoded does not decode", &err);
    }
  }
  buf_clear(&once);
  buf_clear(&twice);
}

static uint32_t flags_of(uint8_t choice) {
  return (choice & 1 ? CODEC_STRICT : 0) | (choice & 2 ? CODEC_BIG_FLOAT : 0) |
         (choice & 4 ? CODEC_BIG_STRING : 0) |
         (choice & 8 ? CODEC_SHARED_MEMORY : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  static unsigned runs;
  CodecError err, check_err;
  if (size == 0)
    return 0;
  if (L == NULL)
    L = new_state();
  if (++runs % 256 == 0)
    lua_gc(L, LUA_GCCOLLECT);
  uint8_t choice = data[0];
  CodecOptions opts = {.flags = flags_of(choice)};
  size_t used, checked;
  int n = choice >> 6 == 3 ? 2 : 1;
  codec_check(data + 1, size - 1, &checked, n, &opts, &check_err);
  lua_gc(L, LUA_GCSTOP);
  size_t before = in_use;
  peak = in_use;
  CodecStatus status =
      codec_decode(L, data + 1, size - 1, &used, n, &opts, &err);
  expect(peak - before <= 96 * size + CONSTANT_BYTES, "too much memory", &err);
  lua_gc(L, LUA_GCRESTART);
  if (status == CODEC_OK) {
    expect(check_err.status == CODEC_OK && checked == used,
           "decode takes what check refuses", &check_err);
    round_trip(L, (choice & 16 ? CODEC_SORTED : 0) |
                      (choice & 32 ? CODEC_DEDUPE : 0) |
                      (choice & 8 ? CODEC_BYTES : 0));
  } else {
    expect(lua_gettop(L) == 0, "a failure leaves values", &err);
    expect(err.at <= size - 1, "an offset outside", &err);
  }
  lua_settop(L, 0);
  return 0;
}
