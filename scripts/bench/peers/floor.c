/*
** floor.c - what a codec over Lua's public C API cannot be faster than.
** Runs in: the benchmark.  Owns: one buffer.  Never: limits, checks, errors.
**
** floor.walk(v)      lua_next over all of v, scalars copied to a buffer
** floor.plan(v)      v as a flat list of operations
** floor.build(plan)  v again, by lua_createtable, lua_rawseti and lua_rawset
** floor.bulk(plan)   the same, longer arrays by function(...) return {...} end
*/
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 16 << 20, BULK_LEAST = 8, BULK_MOST = 4096 };
enum { OP_INTEGER, OP_FLOAT, OP_STRING, OP_BOOLEAN, OP_ARRAY, OP_MAP };

typedef struct Op {
  int kind;
  union {
    lua_Integer i;
    lua_Number f;
    size_t n;
  } u;
  const char *text; /* of a string that the plan's user value keeps */
} Op;

typedef struct Plan {
  size_t n, cap;
  Op *ops;
} Plan;

static char *buffer; /* one for all calls: its price is not what is measured */

static char *put(char *to, char tag, const void *from, size_t n) {
  *to = tag;
  memcpy(to + 1, from, n);
  return to + 1 + n;
}

static char *value_walk(lua_State *L, char *to);

static char *table_walk(lua_State *L, char *to) {
  char *head = to;
  unsigned n = 0;
  to += 1 + sizeof n;
  lua_checkstack(L, 4);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      size_t len;
      const char *key = lua_tolstring(L, -2, &len);
      to = put(to, (char)len, key, len);
    }
    to = value_walk(L, to);
    lua_pop(L, 1);
    n++;
  }
  put(head, OP_MAP, &n, sizeof n);
  return to;
}

static char *value_walk(lua_State *L, char *to) {
  switch (lua_type(L, -1)) {
  case LUA_TNUMBER:
    if (lua_isinteger(L, -1)) {
      lua_Integer i = lua_tointegerx(L, -1, NULL);
      return put(to, OP_INTEGER, &i, sizeof i);
    } else {
      lua_Number f = lua_tonumberx(L, -1, NULL);
      return put(to, OP_FLOAT, &f, sizeof f);
    }
  case LUA_TSTRING: {
    size_t n;
    const char *s = lua_tolstring(L, -1, &n);
    return put(put(to, OP_STRING, &n, 4), 0, s, n);
  }
  case LUA_TTABLE:
    return table_walk(L, to);
  default:
    *to = OP_BOOLEAN;
    return to + 1;
  }
}

static int f_walk(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, value_walk(L, buffer) - buffer);
  return 1;
}

static Op *op_new(lua_State *L, Plan *p, int kind) {
  if (p->n == p->cap) {
    size_t cap = p->cap ? 2 * p->cap : 64;
    Op *ops = realloc(p->ops, cap * sizeof *ops);
    if (!ops)
      luaL_error(L, "not enough memory");
    p->ops = ops;
    p->cap = cap;
  }
  p->ops[p->n] = (Op){.kind = kind};
  return &p->ops[p->n++];
}

static void value_plan(lua_State *L, Plan *p);

static void table_plan(lua_State *L, Plan *p) {
  size_t n = lua_rawlen(L, -1), at = p->n;
  luaL_checkstack(L, 4, NULL);
  op_new(L, p, n ? OP_ARRAY : OP_MAP)->u.n = n;
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i);
    value_plan(L, p);
    lua_pop(L, 1);
  }
  if (n)
    return;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pushvalue(L, -2);
    value_plan(L, p);
    lua_pop(L, 1);
    value_plan(L, p);
    lua_pop(L, 1);
    p->ops[at].u.n++;
  }
}

static void value_plan(lua_State *L, Plan *p) {
  switch (lua_type(L, -1)) {
  case LUA_TNUMBER:
    if (lua_isinteger(L, -1))
      op_new(L, p, OP_INTEGER)->u.i = lua_tointeger(L, -1);
    else
      op_new(L, p, OP_FLOAT)->u.f = lua_tonumber(L, -1);
    break;
  case LUA_TSTRING: {
    Op *op = op_new(L, p, OP_STRING);
    op->text = lua_tolstring(L, -1, &op->u.n);
    break;
  }
  case LUA_TTABLE:
    table_plan(L, p);
    break;
  default:
    op_new(L, p, OP_BOOLEAN)->u.i = lua_toboolean(L, -1);
  }
}

static int f_plan(lua_State *L) {
  lua_settop(L, 1);
  Plan *p = lua_newuserdatauv(L, sizeof *p, 1);
  memset(p, 0, sizeof *p);
  lua_insert(L, 1);
  value_plan(L, p);
  lua_setiuservalue(L, 1, 1);
  return 1;
}

static const Op *value_build(lua_State *L, const Op *op, int bulk);

static const Op *array_bulk(lua_State *L, const Op *op, size_t n) {
  lua_checkstack(L, (int)n + 8);
  lua_pushvalue(L, lua_upvalueindex(1));
  for (size_t i = 0; i < n; i++)
    op = value_build(L, op, 1);
  lua_call(L, (int)n, 1);
  return op;
}

static const Op *table_build(lua_State *L, const Op *op, int bulk) {
  size_t n = op->u.n;
  if (op->kind == OP_ARRAY) {
    if (bulk && n >= BULK_LEAST && n <= BULK_MOST)
      return array_bulk(L, op + 1, n);
    op++;
    lua_createtable(L, (int)n, 0);
    for (size_t i = 1; i <= n; i++) {
      op = value_build(L, op, bulk);
      lua_rawseti(L, -2, (lua_Integer)i);
    }
    return op;
  }
  op++;
  lua_createtable(L, 0, (int)n);
  for (size_t i = 0; i < n; i++) {
    op = value_build(L, value_build(L, op, bulk), bulk);
    lua_rawset(L, -3);
  }
  return op;
}

static const Op *value_build(lua_State *L, const Op *op, int bulk) {
  switch (op->kind) {
  case OP_INTEGER:
    lua_pushinteger(L, op->u.i);
    return op + 1;
  case OP_FLOAT:
    lua_pushnumber(L, op->u.f);
    return op + 1;
  case OP_STRING:
    lua_pushlstring(L, op->text, op->u.n);
    return op + 1;
  case OP_BOOLEAN:
    lua_pushboolean(L, (int)op->u.i);
    return op + 1;
  default:
    lua_checkstack(L, 8);
    return table_build(L, op, bulk);
  }
}

static int f_build(lua_State *L) {
  const Plan *p = lua_touserdata(L, 1);
  value_build(L, p->ops, 0);
  return 1;
}

static int f_bulk(lua_State *L) {
  const Plan *p = lua_touserdata(L, 1);
  value_build(L, p->ops, 1);
  return 1;
}

int luaopen_floor(lua_State *L);
int luaopen_floor(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"walk", f_walk}, {"plan", f_plan}, {"build", f_build}, {NULL, NULL}};
  buffer = malloc(BUFFER);
  if (!buffer)
    return luaL_error(L, "not enough memory");
  luaL_newlib(L, functions);
  if (luaL_loadstring(L, "return function(...) return {...} end"))
    return lua_error(L);
  lua_call(L, 0, 1);
  lua_pushcclosure(L, f_bulk, 1);
  lua_setfield(L, -2, "bulk");
  return 1;
}
