-- Task functions on their way: `define` turns one into bytes in the parent,
-- `build` and `find` turn those into a function in a worker.
--
-- A definition is a name, or
--   {code = {dump ...}, cells = {cell ...}, uses = {{cell number ...} ...}}
-- with one dump and one list of upvalues for each function. A cell is one
-- upvalue, shared by all functions that see it: {env = true}, {name = ...},
-- {fn = index of a function} or {value = ...}; the first function is the task.

local core = require "tidepool.core"

-- A task may take away or replace any global: hold on to what we use.
local assert, error, ipairs, load, pairs, pcall, rawequal, require, tonumber, type =
  assert, error, ipairs, load, pairs, pcall, rawequal, require, tonumber, type
local debug, math, package, string = debug, math, package, string
local getmetatable, next, setmetatable, tostring = getmetatable, next, setmetatable, tostring
local globals = _G
local codec = core.codec

local functions = {}

---- names ------------------------------------------------------------------

local standard = {}
for _, name in ipairs { "_G", "string", "table", "math", "io", "os", "utf8", "coroutine",
  "debug", "package" } do
  standard[name] = true
end

-- Can a worker get this module by its name?
local function is_findable(name)
  return standard[name] or name == "tidepool" or package.preload[name]
    or package.searchpath(name, package.path) or package.searchpath(name, package.cpath)
end

local function module_name(value)
  for name, module in pairs(package.loaded) do
    if rawequal(module, value) and type(name) == "string" and is_findable(name) then
      return name
    end
  end
end

local function is_c(value)
  return type(value) == "function" and debug.getinfo(value, "S").what == "C"
end

-- Globals of every worker; what else a script's _G has is its own.
local basic = {}
for name in string.gmatch("assert collectgarbage dofile error getmetatable ipairs load loadfile "
  .. "next pairs pcall print rawequal rawget rawlen rawset require select setmetatable tonumber "
  .. "tostring type warn xpcall", "%a+") do
  basic[name] = true
end

-- A key that a worker finds: a dot would part it.
local function field_of(module, value)
  for key, field in next, module do
    if rawequal(field, value) and type(key) == "string" and string.find(key, "^[^.]+$")
      and (module ~= globals or basic[key]) then
      return key
    end
  end
end

-- "module.field", the module, the field. What a script adds to Lua's own
-- modules a worker does not have, so of these only C functions count.
local function field_name(value)
  local of_lua = is_c(value)
  for name, module in pairs(package.loaded) do
    if type(module) == "table" and type(name) == "string" and not string.find(name, "^tidepool%.")
      and (of_lua or not standard[name]) then
      local key = field_of(module, value)
      if key and is_findable(name) then
        return name == "_G" and key or name .. "." .. key, module, key
      end
    end
  end
end

---- by value ---------------------------------------------------------------

local function label_of(f)
  local info = debug.getinfo(f, "S")
  return ("function <%s:%d>"):format(info.short_src, info.linedefined)
end

local Definition = {}
Definition.__index = Definition

-- How an upvalue travels, or nil when its value has to.
local function reference(name, value)
  if name == "_ENV" then return { env = true } end
  local kind = type(value)
  if kind == "table" or kind == "userdata" then
    local module = module_name(value)
    return module and { name = module }
  end
  local field = kind == "function" and field_name(value)
  return field and { name = field }
end

-- `why` is the codec's: "cannot encode value<path>: <what>".
local function refuse(f, name, why)
  local path, what = tostring(why):match "^cannot encode value(.-): (.*)$"
  local err = setmetatable({
    kind = "encode",
    message = ("cannot send upvalue %q%s of %s: %s")
      :format(name, path or "", label_of(f), what or tostring(why)),
  }, core.error_type)
  error(err, 0)
end

function Definition:cell(f, i, name, value)
  local id = debug.upvalueid(f, i)
  if self.cell_of[id] then return self.cell_of[id] end
  local k = #self.cells + 1
  self.cell_of[id] = k
  self.cells[k] = {}
  local cell = reference(name, value)
  if not cell and type(value) == "function" and not is_c(value) then
    cell = { fn = self:add(value) }
  end
  if not cell then
    local ok, why = pcall(codec.encode, value)
    if not ok then refuse(f, name, why) end
    cell = { value = value }
    self.simple = self.simple and type(value) ~= "table" and type(value) ~= "userdata"
  end
  self.cells[k] = cell
  return k
end

---Adds a function and all that it refers to; returns its index.
function Definition:add(f)
  if self.index_of[f] then return self.index_of[f] end
  local index = #self.code + 1
  self.index_of[f] = index
  self.code[index] = string.dump(f)
  self.uses[index] = {}
  for i = 1, math.huge do
    local name, value = debug.getupvalue(f, i)
    if not name then break end
    self.uses[index][i] = self:cell(f, i, name, value)
  end
  return index
end

local function by_value(f)
  local d = setmetatable({
    code = {}, cells = {}, uses = {}, cell_of = {}, index_of = {}, simple = true,
  }, Definition)
  d:add(f)
  local text = codec.encode({ code = d.code, cells = d.cells, uses = d.uses },
    { strings = "bytes" })
  return text, d.simple and #d.code == 1
end

---- define ------------------------------------------------------------------

-- What became of a task function, as long as it is the same (lua_start.c looks):
-- {text, label, n, upvalue 1 ... n}, or {text, label, false, module, key} when
-- it goes by name. Upvalues that are no objects: unchanged, same bytes.
local cache = setmetatable({}, { __mode = "k" })
functions.cache = cache

local function remember(f, text, label)
  local entry, n = { text, label, 0 }, 0
  while true do
    local name, value = debug.getupvalue(f, n + 1)
    if not name then break end
    n = n + 1
    entry[3 + n] = value
  end
  entry[3] = n
  cache[f] = entry
  return text, label
end

local function define_named(value, name, module, key)
  local text = codec.encode(name)
  cache[value] = { text, name, false, module, key }
  return text, name
end

-- Strings are never swept from a weak table.
local MOST_NAMES, names = 512, 0

local function define_string(name)
  if names == MOST_NAMES then
    for key in pairs(cache) do
      if type(key) == "string" then cache[key] = nil end
    end
    names = 0
  end
  names = names + 1
  cache[name] = { codec.encode(name), name, 0 }
  return cache[name][1], name
end

---What `define` said of a function that has not changed since, or nothing.
function functions.known(f)
  return core.known(cache, f)
end

---Bytes that say in a worker which function is meant, and its name for people.
---Raises an error that names what cannot be sent.
---@param f string|function|table a name, a function, or a callable with a name
---@return string text, string label
function functions.define(f)
  local text, label = functions.known(f)
  if text then return text, label end
  if type(f) == "string" then return define_string(f) end
  local name, module, key = field_name(f)
  if name then return define_named(f, name, module, key) end
  if type(f) ~= "function" then
    local meta = getmetatable(f)
    if type(meta) ~= "table" or not meta.__call then
      error(("bad task function: a %s is not callable"):format(type(f)), 0)
    end
    error(("bad task function: a callable %s must be reachable by name in a loaded module")
      :format(type(f)), 0)
  end
  if is_c(f) then error("bad task function: a C function that no loaded module has", 0) end
  local simple
  text, simple = by_value(f)
  label = label_of(f)
  if simple then return remember(f, text, label) end
  return text, label
end

-- Serial mode: the function itself, under a number. Its job holds it.
local kept = setmetatable({}, { __mode = "v" })
local number_of = setmetatable({}, { __mode = "k" })
local last_number = 0

---As `define`, for a pool whose tasks run in this very state.
function functions.keep(f)
  if type(f) == "string" then return functions.define(f) end
  local label = field_name(f) or type(f) == "function" and label_of(f) or type(f)
  if not number_of[f] then
    last_number = last_number + 1
    number_of[f], kept[last_number] = last_number, f
  end
  return codec.encode((" kept %d"):format(number_of[f])), label, f
end

---- in a worker --------------------------------------------------------------

local function is_callable(value)
  local meta = debug.getmetatable(value)
  return type(value) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

local function walk(from, path)
  local value = from
  for key in string.gmatch(path, "[^.]+") do
    local kind = type(value)
    if kind ~= "table" and kind ~= "userdata" then return nil end
    value = value[key]
  end
  return value
end

local function load_module(name)
  local loaded = package.loaded[name]
  if loaded ~= nil then return loaded end
  if pcall(package.searchpath, name, "") and not package.preload[name]
    and not package.searchpath(name, package.path)
    and not package.searchpath(name, package.cpath) and #package.searchers <= 4 then
    return nil
  end
  return require(name)
end

-- "a.b.c": module "a.b" with field c, else module "a" with path b.c.
local function find_in_modules(name)
  local module, path = name, ""
  while true do
    local shorter, last = string.match(module, "^(.*)%.([^.]*)$")
    if not shorter or shorter == "" then return nil end
    module, path = shorter, path == "" and last or last .. "." .. path
    local loaded = load_module(module)
    local value = loaded ~= nil and loaded ~= true and walk(loaded, path)
    if value then return value end
  end
end

local function unknown(name, what)
  error(string.format("unknown function %q%s", name, what or ""), 0)
end

---The function of that name: a path from the globals, then a field of a loaded
---module, then of one that `require` finds. Raises when there is none.
function functions.find(name)
  local number = string.match(name, "^ kept (%d+)$")
  if number then return kept[tonumber(number)] end
  local value = walk(globals, name)
  if value == nil then value = find_in_modules(name) end
  if value == nil then unknown(name) end
  if not is_callable(value) then unknown(name, ": a " .. type(value)) end
  return value
end

local function named_value(name)
  local module = package.loaded[name]
  if module == nil and standard[string.match(name, "^[^.]+")] then module = walk(globals, name) end
  if module ~= nil then return module end
  local value = walk(globals, name)
  if value == nil then value = find_in_modules(name) end
  return value ~= nil and value or require(name)
end

local function cell_value(cell, made)
  if cell.env then return globals end
  if cell.fn then return made[cell.fn] end
  if cell.name then return named_value(cell.name) end
  return cell.value
end

---A function from its definition.
function functions.build(d)
  local made, owner = {}, {}
  for i, code in ipairs(d.code) do
    made[i] = assert(load(code, nil, "b"))
  end
  for i, uses in ipairs(d.uses) do
    for at, k in ipairs(uses) do
      local first = owner[k]
      if first then
        debug.upvaluejoin(made[i], at, made[first.fn], first.at)
      else
        owner[k] = { fn = i, at = at }
        debug.setupvalue(made[i], at, cell_value(d.cells[k], made))
      end
    end
  end
  return made[1]
end

return functions
