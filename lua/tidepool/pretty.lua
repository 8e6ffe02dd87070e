-- Values as people read them: Lua text with sorted keys, cut where it gets long.
--
-- A value becomes a tree of nodes first: {text =, width =} or, of a table,
-- {label =, items = {node ...}, width =}; the width is that of the node on one
-- line. Then the tree is laid out: what is too wide goes over several lines.
-- Limits hold while the tree is made, so that nothing beyond them is looked at.
-- No code of the user runs but __tostring.

_ENV = require "tidepool.globals" ()
local pretty = {}

local LEVELS, ITEMS, ALL_ITEMS, BYTES, KEYS = 6, 100, 1000, 500, 1000

---- colours ----------------------------------------------------------------------

local COLOURS = {
  string = "32", number = "36", word = "35", object = "33", mark = "2", error = "1;31",
  prompt = "1", plain = "0",
}

---A text in the colour of its kind, or as it is.
---@param colour boolean
---@param kind "string"|"number"|"word"|"object"|"mark"|"error"|"prompt"|"plain"
---@param text string
---@return string
function pretty.paint(colour, kind, text)
  return colour and ("\27[%sm%s\27[0m"):format(COLOURS[kind], text) or text
end

---- scalars ----------------------------------------------------------------------

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(byte) return ESCAPES[byte] or ("\\x%02x"):format(byte:byte()) end

local function escape_code(char) return ("\\u{%x}"):format(utf8.codepoint(char)) end

-- Bytes that are valid UTF-8 and do not steer a terminal stay as they are.
local function escaped(s, what)
  local parts, from = {}, 1
  while from <= #s do
    local _, bad = utf8.len(s, from)
    local good = s:sub(from, (bad or #s + 1) - 1)
    parts[#parts + 1] = good:gsub(what, escape):gsub("\xc2[\x80-\x9f]", escape_code)
    if bad then parts[#parts + 1] = escape(s:sub(bad, bad)) end
    from = (bad or #s) + 1
  end
  return table.concat(parts)
end

local function cut(s)
  local stop = BYTES
  for _ = 1, 3 do
    if s:find("^[\x80-\xbf]", stop + 1) then stop = stop - 1 end
  end
  return s:sub(1, stop)
end

local function quoted(s)
  local shown = #s > BYTES and cut(s) or s
  local text = '"' .. escaped(shown, '[\0-\31\127\\"]') .. '"'
  if #shown == #s then return text end
  return ("%s... (%d more bytes)"):format(text, #s - #shown)
end

local function number(n)
  if math.type(n) == "integer" then
    return n == math.mininteger and "math.mininteger" or tostring(n)
  end
  if n ~= n then return "nan" end
  if n == math.huge then return "math.huge" end
  if n == -math.huge then return "-math.huge" end
  local text
  for digits = 14, 17 do
    text = ("%." .. digits .. "g"):format(n)
    if tonumber(text) == n then break end
  end
  return text:find "[.e]" and text or text .. ".0"
end

-- Functions by their names in modules, as Lua's tracebacks know them.
local function c_names()
  local names = {}
  for module, fields in next, package.loaded do
    for key, value in next, type(fields) == "table" and fields or {} do
      local name = module == "_G" and key or ("%s.%s"):format(module, key)
      if type(value) == "function" and not tostring(module):find "^tidepool%."
        and (not names[value] or name < names[value]) then
        names[value] = name
      end
    end
  end
  return names
end

---- the tree -----------------------------------------------------------------------

local Printer = {}
Printer.__index = Printer

function Printer:atom(kind, text)
  return { text = pretty.paint(self.colour, kind, text), width = utf8.len(text) or #text }
end

function Printer:function_text(f)
  local info = debug.getinfo(f, "S")
  if info.what ~= "C" then
    return ("function <%s:%d>"):format(info.short_src, info.linedefined)
  end
  self.names = self.names or c_names()
  return ("function <%s>"):format(self.names[f] or "[C]")
end

-- Of an object: the text of its __tostring, else a label to put in front of it.
local function name_of(value)
  local meta = debug.getmetatable(value)
  if type(meta) ~= "table" then return nil, "" end
  if rawget(meta, "__tostring") ~= nil then
    local ok, text = pcall(tostring, value)
    if ok then return escaped(text, "[\0-\8\11-\31\127]"), "" end
    return nil, ("<error in __tostring: %s> "):format(escaped(tostring(text), "[\0-\31\127]"))
  end
  local name = rawget(meta, "__name")
  return nil, type(name) == "string" and escaped(name, "[\0-\31\127]") .. " " or ""
end

-- Anything but the content of a table; and on one line if it is in a table.
function Printer:scalar(value, in_table)
  local kind = type(value)
  if kind == "string" then return self:atom("string", quoted(value)) end
  if kind == "number" then return self:atom("number", number(value)) end
  if kind == "nil" or kind == "boolean" then return self:atom("word", tostring(value)) end
  if kind == "function" then return self:atom("object", self:function_text(value)) end
  local text, label = name_of(value)
  text = text or ("%s%s: %p"):format(label, kind, value)
  if in_table then text = text:gsub("\n.*", "...") end
  return self:atom("object", text)
end

local RANK = { number = 1, string = 2, boolean = 3 }

local function is_before(a, b)
  local kind = type(a)
  local rank, other = RANK[kind] or 4, RANK[type(b)] or 4
  if rank ~= other then return rank < other end
  if rank <= 2 then return a < b end
  if rank == 3 then return not a and b end
  return ("%s%p"):format(kind, a) < ("%s%p"):format(type(b), b)
end

-- Adds keys behind `from` that are not in 1..n; false if they are too many.
local function collect(t, n, from, keys, known)
  local visited = 0
  for key in next, t, from do
    if visited == KEYS then return false end
    visited = visited + 1
    if not known[key] and not (math.type(key) == "integer" and key >= 1 and key <= n) then
      known[key] = true
      keys[#keys + 1] = key
    end
  end
  return true
end

-- A long sequence stands in front of the other keys, so look behind it as well.
local function sorted_keys(t, n)
  local keys, known = {}, {}
  local all = collect(t, n, nil, keys, known)
  if not all and n > 0 then all = collect(t, n, n, keys, known) end
  table.sort(keys, is_before)
  return keys, all
end

local WORDS = {}
for word in ("and break do else elseif end false for function goto if in local nil not or " ..
  "repeat return then true until while"):gmatch "%a+" do WORDS[word] = true end
pretty.words = WORDS

function Printer:key(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not WORDS[key] then
    return key, "." .. key, #key
  end
  local node = self:scalar(key, true)
  local text = "[" .. node.text .. "]"
  return text, text:gsub("\27%[[%d;]*m", ""), node.width + 2
end

function Printer:more(items, count)
  items[#items + 1] = self:atom("mark", count and ("... %d more"):format(count) or "... more")
end

function Printer:add_sequence(items, t, path, level)
  local n = rawlen(t)
  for i = 1, n do
    if i > ITEMS or self.left <= 0 then return self:more(items, n - i + 1) end
    self.left = self.left - 1
    items[i] = self:node(rawget(t, i), ("%s[%d]"):format(path, i), level)
  end
end

function Printer:add_fields(items, t, path, level)
  local keys, all = sorted_keys(t, rawlen(t))
  for i, key in ipairs(keys) do
    if i > ITEMS or self.left <= 0 then return self:more(items, all and #keys - i + 1 or nil) end
    self.left = self.left - 1
    local text, step, width = self:key(key)
    local node = self:node(rawget(t, key), path .. step, level)
    node.key, node.key_width = text .. " = ", width + 3
    items[#items + 1] = node
  end
  if not all then self:more(items) end
end

function Printer:table(t, label, path, level)
  local seen = self.seen[t]
  if seen then
    return self:atom("mark", ("<%s: %s>"):format(self.open[t] and "cycle" or "shared", seen))
  end
  if next(t) == nil then return self:atom("plain", label .. "{}") end
  if level > LEVELS or self.left <= 0 then return self:atom("mark", label .. "{...}") end
  self.seen[t], self.open[t] = path, true
  local items = {}
  self:add_sequence(items, t, path, level + 1)
  self:add_fields(items, t, path, level + 1)
  self.open[t] = nil
  local width = #label + 2 * #items
  for _, item in ipairs(items) do width = width + item.width + (item.key_width or 0) end
  return { label = label, items = items, width = width }
end

function Printer:node(value, path, level)
  if type(value) ~= "table" then return self:scalar(value, level > 1) end
  local text, label = name_of(value)
  if text then return self:scalar(value, level > 1) end
  return self:table(value, label, path, level)
end

---- the layout -----------------------------------------------------------------------

-- One item a line; but scalars of a sequence share lines.
function Printer:spread(out, node, indent)
  local column = self.width
  for i, item in ipairs(node.items) do
    local shares = item.text and not item.key
    if shares and column + item.width + 2 <= self.width then
      out[#out + 1] = " "
    else
      out[#out + 1] = "\n" .. (" "):rep(indent)
      column = indent
    end
    self:put(out, item, indent)
    if i < #node.items then out[#out + 1] = "," end
    column = shares and column + item.width + 2 or self.width
  end
  out[#out + 1] = "\n" .. (" "):rep(indent - 2)
end

function Printer:flat(out, node)
  for i, item in ipairs(node.items) do
    if i > 1 then out[#out + 1] = ", " end
    self:put(out, item, 0)
  end
end

function Printer:put(out, node, indent)
  if node.key then out[#out + 1] = node.key end
  if node.text then
    out[#out + 1] = node.text
    return
  end
  out[#out + 1] = node.label .. "{"
  if indent + (node.key_width or 0) + node.width < self.width then
    self:flat(out, node)
  else
    self:spread(out, node, indent + 2)
  end
  out[#out + 1] = "}"
end

---The values as one text: on one line if they have room there.
---@param o { colour: boolean, width: integer }
---@param ... any
---@return string
function pretty.format(o, ...)
  local texts, width = {}, 0
  for i = 1, math.min(select("#", ...), ITEMS) do
    local printer = setmetatable({
      colour = o.colour, width = o.width, left = ALL_ITEMS, seen = {}, open = {},
    }, Printer)
    local node, out = printer:node((select(i, ...)), "root", 1), {}
    printer:put(out, node, 0)
    texts[i], width = table.concat(out), (width + 7) // 8 * 8 + node.width + 1
  end
  if select("#", ...) > ITEMS then texts[ITEMS + 1] = "..." end
  return table.concat(texts, width <= o.width + 1 and "\t" or "\n")
end

return pretty
