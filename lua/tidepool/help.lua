-- What \help and help() say: of Lua's functions a line of manual.lua, of ours
-- the annotations of meta.lua, of others the comment above their definition.

_ENV = require "tidepool.globals" ()
local complete = require "tidepool.complete"

local help = {}

---- entries: {name =, signature =, doc = {line ...}, list = {entry ...}} ---------------

-- Where the functions of an annotated class are, by its variable in meta.lua.
local function methods(type_name)
  local meta = debug.getregistry()[type_name]
  return meta and meta.__index
end

local function owners()
  local tidepool = package.loaded.tidepool or {}
  return {
    tidepool = tidepool, Codec = tidepool.codec, Digests = tidepool.digest,
    Pool = methods "tidepool.pool", AsyncResult = methods "tidepool.result",
    ResultIterator = methods "tidepool.iterator", Walker = methods "tidepool.walk",
    Digest = methods "tidepool.digest",
  }
end

local function add(index, entry, value)
  index[#index + 1] = entry
  index.by_name[entry.name] = entry
  if value ~= nil and not index.of[value] then index.of[value] = entry end
  return entry
end

-- The value of "file:read", "string.rep" or "print".
local function standard(name)
  local module, key = name:match "^(%w+)[.:](.+)$"
  if module == "file" then return debug.getmetatable(io.stdout).__index[key] end
  local fields = package.loaded[module or "_G"]
  return type(fields) == "table" and rawget(fields, key or name) or nil
end

local function add_manual(index)
  for line in require("tidepool.manual"):gmatch "[^\n]+" do
    local signature, text = line:match "^(.-) %-%- (.*)$"
    local name = signature:match "^[%w_.:]+"
    local module = name:match "^(%w+)[.:]" or "_G"
    local list = index.by_name[module] or
      add(index, { name = module, signature = module, doc = {}, list = {} }, package.loaded[module])
    local value = standard(name)
    local entry = { name = name, signature = signature, doc = { text } }
    list.list[#list.list + 1] = add(index, entry, type(value) == "function" and value or nil)
  end
end

-- One line of a comment for language servers, for people.
local function readable(line)
  local tag, rest = line:match "^@(%w+) ?(.*)$"
  if not tag then return line end
  if tag == "return" then return ("  %-18s%s"):format("returns", rest) end
  if tag == "param" or tag == "field" then
    local name, more = rest:match "^(%S+) ?(.*)$"
    return ("  %-18s%s"):format(name, more)
  end
  if tag == "alias" then return "  " .. rest end
end

local function read_block(block)
  local doc, kind, name = {}, nil, nil
  for _, line in ipairs(block) do
    doc[#doc + 1] = readable(line)
    local tag, rest = line:match "^@(%w+) ([%w_.]+)"
    if tag == "class" or tag == "alias" then kind, name = tag, rest end
  end
  return doc, kind, name
end

-- What a block of comment lines and the code behind it are about.
local function add_annotation(index, block, line)
  local doc, kind, class = read_block(block)
  local variable = line:match "^local (%w+) = {}"
  if kind then
    local list = add(index, { name = class, signature = class, doc = doc, list = {} })
    if variable then index.lists[variable] = list end
    if variable and index.owners[variable] then index.of[index.owners[variable]] = list end
    return
  end
  local owner, mark, name, parameters = line:match "^function (%w+)([.:])([%w_]+)(%b())"
  if not owner then return end
  local full = owner .. mark .. name
  local list = index.lists[owner].list
  local fields = index.owners[owner]
  list[#list + 1] = add(index, { name = full, signature = full .. parameters, doc = doc },
    fields and fields[name])
end

local function add_annotations(index)
  local block = {}
  for line in (require "tidepool.meta"):gmatch "([^\n]*)\n" do
    local comment = line:match "^%-%-%-([^%-].*)$"
    if comment then
      block[#block + 1] = comment
    else
      if block[1] then add_annotation(index, block, line) end
      block = {}
    end
  end
end

---Everything there is help for, by name (`by_name`) and by value (`of`).
function help.index()
  local index = { by_name = {}, of = {}, lists = {}, owners = owners() }
  add_annotations(index)
  add_manual(index)
  return index
end

---Names that begin so and for which there is help, sorted.
---@param prefix string
---@return string[]
function help.topics(prefix)
  local names = {}
  for _, entry in ipairs(help.index()) do
    local name = entry.name:gsub("^tidepool%.(%u)", "%1")
    if name:sub(1, #prefix) == prefix then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

---- texts -----------------------------------------------------------------------------

local function first_sentence(doc)
  local text = ""
  for _, line in ipairs(doc) do
    if line:find "^ " then break end
    text = text .. line .. " "
  end
  return text:match "^(.-%.)%s+%u" or text:match "^(.-)%s*$"
end

-- Lines of text that follow each other are one; of lists each is for itself.
local function add_doc(lines, doc)
  local goes_on = false
  for _, line in ipairs(doc) do
    local is_text = not line:find "^[ |]"
    if is_text and goes_on then
      lines[#lines] = lines[#lines] .. " " .. line
    else
      lines[#lines + 1] = "  " .. line
    end
    goes_on = is_text
  end
end

local function text_of(entry)
  local lines = { entry.signature }
  add_doc(lines, entry.doc)
  for _, part in ipairs(entry.list or {}) do
    lines[#lines + 1] = ("  %s\n      %s"):format(part.signature, first_sentence(part.doc))
  end
  return table.concat(lines, "\n")
end

---What `\help` alone says.
---@param usages string[] of the commands
---@return string
function help.overview(usages)
  return table.concat({
    table.concat(usages, "\n"), "",
    "Text that is an expression shows its values; `_` is the first of them, `_1`, `_2` and so on "
      .. "are all; a `;` behind it keeps it quiet. p(...) shows values, help(f) what a function "
      .. "does. Control-C drops what is typed or stops what runs.",
    'For pools: tidepool = require "tidepool", then \\help tidepool or \\help Pool. A function '
      .. "that is typed goes to workers with its local variables, but without the globals of "
      .. "this prompt.",
  }, "\n")
end

local function wrap_line(line, width)
  local indent = line:match "^    %S+ +" or line:match "^ *"
  if #line <= width or #indent > width // 2 then return line end
  local parts, column = {}, 0
  for word in line:gmatch " *[^ ]+" do
    local n = utf8.len(word) or #word
    if column > #indent and column + n > width then
      word = word:match "[^ ]+"
      parts[#parts + 1] = "\n" .. (" "):rep(#indent)
      column, n = #indent, #word
    end
    parts[#parts + 1], column = word, column + n
  end
  return table.concat(parts)
end

---A text whose lines end at words, before the terminal's width; what is indented stays so.
---@param text string
---@param width integer
---@return string
function help.wrap(text, width)
  return (text:gsub("[^\n]+", function(line) return wrap_line(line, width - 1) end))
end

---- functions of the user -------------------------------------------------------------

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

local HEADER_BYTES = 32 -- of a dump, with the number of upvalues

-- Was f defined in this text? Code without names and lines stands in that of
-- the whole text byte by byte.
local function defines(text, f)
  local rest = text:gsub("^%s*=", "")
  local chunk = load("return " .. rest) or load(text)
  local code = string.dump(f, true):sub(HEADER_BYTES + 1)
  return chunk and string.dump(chunk, true):find(code, 1, true) ~= nil
end

-- All that was typed up to the definition, and where in it the last chunk begins.
local function typed_lines(chunks, f)
  for last = #chunks, 1, -1 do
    if defines(chunks[last].text, f) then
      local lines, begin = {}, 0
      for i = 1, last do
        begin = #lines
        for _, line in ipairs(lines_of(chunks[i].text)) do lines[#lines + 1] = line end
      end
      return lines, begin
    end
  end
end

local function source_lines(chunks, f, source)
  if source == "=stdin" then return typed_lines(chunks, f) end
  if not source:find "^[@=]" then return lines_of(source), 0 end
  local file = source:find "^@" and io.open(source:sub(2), "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text and lines_of(text), 0
end

local function comment_above(lines, at)
  local first = at
  if (lines[at - 1] or ""):find "%]=*%]%s*$" then
    repeat first = first - 1 until first < 1 or lines[first]:find "%-%-%[=*%["
    if first < 1 then return {} end
  else
    while first > 1 and lines[first - 1]:find "^%s*%-%-" do first = first - 1 end
  end
  local comment = {}
  for i = first, at - 1 do
    comment[#comment + 1] = lines[i]:gsub("^%s*%-%-+%[?=*%[?%s?", ""):gsub("%s*%]=*%]%s*$", "")
  end
  return comment
end

local function parameters(f, info)
  local names = {}
  for i = 1, info.nparams do names[i] = debug.getlocal(f, i) end
  if info.isvararg then names[#names + 1] = "..." end
  return table.concat(names, ", ")
end

local function describe_function(chunks, f, name)
  local info = debug.getinfo(f, "Su")
  if info.what == "C" then return ("%s(...)\n  a function in C"):format(name or "function") end
  local lines, begin = source_lines(chunks, f, info.source)
  local text = { ("%s(%s)"):format(name or "function", parameters(f, info)) }
  if lines then
    local at = begin + info.linedefined
    local line = lines[at] or ""
    name = line:match "function%s+([%w_.:]+)%s*%(" or line:match "([%w_.]+)%s*=%s*function" or name
    text[1] = ("%s(%s)"):format(name or "function", parameters(f, info))
    for _, comment in ipairs(comment_above(lines, at)) do text[#text + 1] = "  " .. comment end
  end
  text[#text + 1] = ("  defined at %s:%d"):format(info.short_src, info.linedefined)
  return table.concat(text, "\n")
end

---- by value and by name ---------------------------------------------------------------

local function entry_of(index, value)
  if index.of[value] then return index.of[value] end
  local meta = debug.getmetatable(value)
  return type(meta) == "table" and index.of[rawget(meta, "__index")]
end

local function of_value(index, chunks, value, name)
  local entry = value ~= nil and entry_of(index, value)
  if entry then return text_of(entry) end
  if type(value) == "function" then return describe_function(chunks, value, name) end
end

-- "map" may be a method of several types.
local function by_last_name(index, name)
  local texts, last = {}, name:match "[%w_]*$"
  for _, entry in ipairs(index) do
    if entry.name:match "[%w_]*$" == last then texts[#texts + 1] = text_of(entry) end
  end
  return texts[1] and table.concat(texts, "\n\n")
end

---@param chunks { text: string }[] what was typed so far
---@param name string
---@return string
function help.of_name(chunks, name)
  local index, value = help.index(), complete.value(name)
  local entry = index.by_name[name] or index.by_name["tidepool." .. name]
  return type(value) == "function" and of_value(index, chunks, value, name)
    or entry and text_of(entry)
    or of_value(index, chunks, value, name)
    or by_last_name(index, name)
    or ("no help for %s"):format(name)
end

---What `help(v)` says of a value; of a string as a name.
---@param chunks { text: string }[]
---@param v any
---@return string
function help.of(chunks, v)
  if type(v) == "string" then return help.of_name(chunks, v) end
  return of_value(help.index(), chunks, v) or ("no help for a %s"):format(type(v))
end

return help
