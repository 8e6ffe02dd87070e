-- The command line's part in Lua: job scripts, and modules that run as the main program.

local core = require "tidepool.core"

local cli = {}

local function parent(path)
  return path:match "^(.*)/[^/]*$" or "."
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- Where job scripts are: what the user says first, then what came with the program.
local function folders(program)
  local list = {}
  for folder in (os.getenv "TIDEPOOL_SCRIPTS" or ""):gmatch "[^:]+" do
    list[#list + 1] = folder
  end
  local installed = parent(parent(program)) .. "/share/tidepool/scripts"
  list[#list + 1] = exists(installed) and installed or parent(program) .. "/scripts"
  return list
end

---- -m ------------------------------------------------------------------------

local function load_module(name)
  local looked = {}
  for _, searcher in ipairs(package.searchers) do
    local ok, loader, where = pcall(searcher, name)
    if not ok then return nil, loader end
    if type(loader) == "function" then return loader, where end
    if type(loader) == "string" then looked[#looked + 1] = loader end
  end
  return nil, ("module '%s' not found:\n\t%s"):format(name, table.concat(looked, "\n\t"))
end

---The module's loader, found as `require` does and then among the job scripts; arg[0] becomes
---its file.
---@param name string
---@param program string the program's file
---@return function? loader, string? message
function cli.find(name, program)
  local path = package.path
  for _, folder in ipairs(folders(program)) do
    package.path = package.path .. ";" .. folder .. "/?.lua"
  end
  local loader, where = load_module(name)
  package.path = path
  if not loader then return nil, where end
  if type(arg) == "table" then rawset(arg, 0, where) end
  return loader
end

---- --list ----------------------------------------------------------------------

-- The comment that a file begins with.
local function first_comment(text)
  text = text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", ""):gsub("^%s+", "")
  local level, from = text:match "^%-%-%[(=*)%[()"
  if level then return text:sub(from, (text:find("]" .. level .. "]", from, true) or 0) - 1) end
  local lines = {}
  for line in text:gmatch "([^\n]*)\n?" do
    lines[#lines + 1] = line:match "^%-%-+(.*)"
    if not line:find "^%-%-" then break end
  end
  return table.concat(lines, " ")
end

local function first_sentence(path)
  local file = io.open(path, "rb")
  local text = file and file:read(4096) or ""
  if file then file:close() end
  local words = first_comment(text):gsub("[%s%c]+", " "):gsub("^ ", ""):gsub(" $", "")
  return (words .. " "):match "^(.-[.!?]) " or words
end

-- Name -> path of all job scripts, and the sorted names.
local function scripts(program)
  local paths, names = {}, {}
  for _, folder in ipairs(folders(program)) do
    for path in core.walk.files(folder, { max_depth = 1, include = "*.lua" }) do
      local name = path:match "([^/]*)%.lua$"
      if not paths[name] then names[#names + 1] = name end
      paths[name] = paths[name] or path
    end
  end
  table.sort(names)
  return paths, names
end

local function cut(line, columns)
  if columns == 0 or (utf8.len(line) or #line) <= columns then return line end
  local from = utf8.len(line) and utf8.offset(line, columns + 1) or columns + 1
  return line:sub(1, from - 1)
end

---Prints the job scripts, each with the first sentence of its first comment.
---@param columns integer of the terminal; 0: print all
---@param program string the program's file
function cli.list(columns, program)
  local paths, names = scripts(program)
  local width = 0
  for _, name in ipairs(names) do
    width = math.max(width, #name)
  end
  for _, name in ipairs(names) do
    local line = ("%-" .. width .. "s  %s"):format(name, first_sentence(paths[name]))
    print(cut(line:gsub("%s+$", ""), columns))
  end
end

return cli
