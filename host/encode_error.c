/*
** encode_error.c - why a value cannot be encoded, and the way to it.
** Runs in: every process.  Owns: nothing.  Never: raises, makes a Lua string.
*/
#include "encoder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

CodecStatus encode_fail(Encoder *e, CodecStatus status, const char *why) {
  e->err->path[0] = '\0';
  snprintf(e->err->why, sizeof e->err->why, "%s", why);
  return status;
}

CodecStatus encode_fail_full(Encoder *e) {
  int error = errno;
  encode_fail(e, CODEC_FULL, strerror(error));
  errno = error;
  return CODEC_FULL;
}

CodecStatus encode_fail_depth(Encoder *e) {
  char why[64];
  snprintf(why, sizeof why, "nested deeper than %d levels", e->max_depth);
  return encode_fail(e, CODEC_DEPTH, why);
}

static bool is_identifier(const char *s, size_t len) {
  if (len == 0 || len > 40 || (s[0] >= '0' && s[0] <= '9'))
    return false;
  for (size_t i = 0; i < len; i++) {
    char c = s[i];
    if (!(c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
          (c >= 'A' && c <= 'Z')))
      return false;
  }
  return true;
}

/* At least 16 bytes; what does not fit, or is long, ends in dots. */
static void quote(char *to, size_t room, const char *s, size_t len) {
  size_t n = (size_t)snprintf(to, room, "[\""), i = 0;
  for (; i < len && i < 40 && n + 12 < room; i++) {
    unsigned char c = (unsigned char)s[i];
    const char *form = c < 32 || c == 127      ? "\\%03u"
                       : c == '"' || c == '\\' ? "\\%c"
                                               : "%c";
    n += (size_t)snprintf(to + n, room - n, form, c);
  }
  snprintf(to + n, room - n, i < len ? "...\"]" : "\"]");
}

/* The step to the value under the key at `index`. */
static void describe_key(lua_State *L, int index, char *to, size_t room_for) {
  size_t len;
  const char *s;
  switch (lua_type(L, index)) {
  case LUA_TSTRING:
    s = lua_tolstring(L, index, &len);
    if (is_identifier(s, len))
      snprintf(to, room_for, ".%s", s);
    else
      quote(to, room_for, s, len);
    break;
  case LUA_TNUMBER:
    if (lua_isinteger(L, index))
      snprintf(to, room_for, "[%lld]", (long long)lua_tointeger(L, index));
    else
      snprintf(to, room_for, "[%.14g]", lua_tonumber(L, index));
    break;
  case LUA_TBOOLEAN:
    snprintf(to, room_for, "[%s]", lua_toboolean(L, index) ? "true" : "false");
    break;
  default:
    snprintf(to, room_for, "[a %s]", lua_typename(L, lua_type(L, index)));
  }
}

static void prepend(CodecError *err, const char *step) {
  char path[2 * sizeof err->path];
  size_t n = (size_t)snprintf(path, sizeof path, "%s%s", step, err->path);
  if (n >= sizeof err->path)
    memcpy(path + sizeof err->path - 4, "...", 4);
  memcpy(err->path, path, sizeof err->path);
}

/* The value under the key at `key` failed; the stack above may be anything. */
CodecStatus encode_fail_under(Encoder *e, int key, CodecStatus status) {
  char step[96];
  if ((int)status == AGAIN)
    return status;
  describe_key(e->L, key, step, sizeof step);
  prepend(e->err, step);
  return status;
}

CodecStatus encode_fail_key(Encoder *e, CodecStatus status) {
  CodecError *err = e->err;
  const char *where =
      err->path[0] == '\0' ? " as a table key" : " inside a table key";
  size_t n = strlen(err->why);
  if (status == CODEC_TYPE)
    snprintf(err->why + n, sizeof err->why - n, "%s", where);
  err->path[0] = '\0';
  return status;
}

/* A path begins in brackets: `.name...` becomes `["name"]...`. */
void encode_bracket_path(CodecError *err) {
  char step[64];
  size_t n = strcspn(err->path + 1, ".[") + 1;
  if (err->path[0] != '.' || n > 48)
    return;
  snprintf(step, sizeof step, "[\"%.*s\"]", (int)n - 1, err->path + 1);
  memmove(err->path, err->path + n, strlen(err->path + n) + 1);
  prepend(err, step);
}

CodecStatus encode_refuse(Encoder *e, int index) {
  lua_State *L = e->L;
  static const char *const kinds[] = {[LUA_TLIGHTUSERDATA] = "a light userdata",
                                      [LUA_TFUNCTION] = "a function",
                                      [LUA_TUSERDATA] = "a userdata",
                                      [LUA_TTHREAD] = "a coroutine"};
  int type = lua_type(L, index);
  encode_fail(e, CODEC_TYPE, kinds[type]);
  if (type != LUA_TUSERDATA || !lua_getmetatable(L, index))
    return CODEC_TYPE;
  lua_pushnil(L); /* lua_getfield would make a string */
  while (lua_next(L, -2)) {
    if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING &&
        strcmp(lua_tostring(L, -2), "__name") == 0) {
      snprintf(e->err->why, sizeof e->err->why, "a userdata (%.100s)",
               lua_tostring(L, -1));
      break;
    }
    lua_pop(L, 1);
  }
  return CODEC_TYPE;
}
