-- What a word at the prompt may become. Values are looked at, never run: of
-- metatables only the __index tables count.

_ENV = require "tidepool.globals" ()
local WORDS = require "tidepool.pretty".words

local complete = {}

local globals = _G
local LONGEST = 100 -- of a chain of __index tables

---- values -------------------------------------------------------------------------

-- Visits a value's own fields, then those of its __index tables, until `visit`
-- returns something.
local function search(value, visit)
  for _ = 1, LONGEST do
    local found
    if type(value) == "table" then found = visit(value) end
    if found ~= nil then return found end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index")
    if type(value) ~= "table" then return nil end
  end
end

local function field(value, key)
  return search(value, function(t) return rawget(t, key) end)
end

-- The last step of a path: what is before it, and the key.
local function split(path)
  local before, key = path:match "^(.+)[.:]([%a_][%w_]*)$"
  if before then return before, key end
  before, key = path:match "^(.-)%[(%-?%d+)%]$"
  if before then return before, math.tointeger(key) end
  before, key = path:match '^(.-)%["([^"\\]*)"%]$'
  if before then return before, key end
  return path:match "^(.-)%['([^'\\]*)'%]$"
end

---The value that a path such as `a.b["c"][1]` leads to from the globals, or nil.
---@param path string
---@return any
function complete.value(path)
  if path:find "^[%a_][%w_]*$" then return field(globals, path) end
  local before, key = split(path)
  local value = before and complete.value(before)
  if value ~= nil then return field(value, key) end
end

-- The value of the longest path at the end of the text, or nil. Of `t[a.b` that
-- is the one of `a.b`; of `("x")` a string.
local function last_value(text)
  if text:find "[\"']%)$" then return "" end
  text = text:gsub("^.*%.%.", "")
  local path = text:match "[%w_.:]+%b[][%w_.:%[%]\"']*$" or text:match "[%w_.:%[%]]+$"
  while path do
    local value = complete.value(path)
    if value ~= nil then return value end
    path = path:match "^[^%[]*%[(.+)$"
  end
end

---- names --------------------------------------------------------------------------

local function sorted(set)
  local list = {}
  for name in next, set do list[#list + 1] = name end
  table.sort(list)
  return list
end

local function add(set, prefix, names)
  for name in next, names do
    if type(name) == "string" and name:sub(1, #prefix) == prefix then set[name] = true end
  end
end

local function is_callable(value)
  local meta = debug.getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and rawget(meta, "__call") ~= nil
end

local function names_of(value, prefix, is_method)
  local set = {}
  search(value, function(t)
    for name, v in next, t do
      if type(name) == "string" and name:sub(1, #prefix) == prefix and not WORDS[name]
        and name:find "^[%a_][%w_]*$" and (not is_method or is_callable(v)) then
        set[name] = true
      end
    end
  end)
  return set
end

local function modules(prefix)
  local set = {}
  add(set, prefix, package.loaded)
  add(set, prefix, package.preload)
  for name in next, set do
    if name:find "^tidepool%." then set[name] = nil end -- its parts
  end
  return set
end

local function lua_words(head)
  local module = head:match "%f[%w_]require%s*%(?%s*[\"']([%w_.%-]*)$"
  if module then return module, modules(module) end
  local prefix = head:match "[%w_]*$"
  local before, mark = head:sub(1, -#prefix - 1):match "^(.-)%s*([.:])%s*$"
  if prefix:find "^%d" then return prefix, {} end
  if before and not before:find "%.$" then
    return prefix, names_of(last_value(before), prefix, mark == ":")
  end
  local set = names_of(globals, prefix)
  add(set, prefix, WORDS)
  return prefix, set
end

local function command_words(head, commands)
  local command = head:match "^%s*(\\%S*)$"
  if command then
    local set = {}
    add(set, command, commands)
    return command, set
  end
  local module = head:match "^%s*\\reload%s+([%w_.%-]*)$"
  if module then return module, modules(module) end
  if head:find "^%s*\\save" then return "", {} end
  return lua_words(head)
end

---The words that may stand in place of head[first..], sorted.
---@param head string the text before the cursor
---@param commands table<string, any> with the names of commands as keys
---@return integer first
---@return string[] words
function complete.words(head, commands)
  local words = head:find "^%s*\\" and command_words or lua_words
  local prefix, set = words(head, commands)
  return #head - #prefix + 1, sorted(set)
end

return complete
