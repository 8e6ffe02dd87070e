-- A worker's Lua side: what happens before its first task.
-- `start` gets what options.lua made of the pool's options.

local core = require "tidepool.core"
local functions = require "tidepool.functions"

local worker = {}

local codec = core.codec

local function build(text)
  local definition = codec.decode(text)
  if type(definition) == "string" then return functions.find(definition) end
  return functions.build(definition)
end

-- Loaders of the parent that could be sent.
local function use_loaders(brief)
  for name, text in pairs(brief.preload) do
    package.preload[name] = package.preload[name] or build(text)
  end
  for _, text in ipairs(brief.searchers) do
    table.insert(package.searchers, build(text))
  end
end

-- As `lua` reads a file: a first line that begins with # does not count.
local function without_first_comment(text)
  text = text:gsub("^\xEF\xBB\xBF", "")
  return (text:gsub("^#[^\n]*", ""))
end

local function stem(path)
  return (path:gsub("^.*/", ""):gsub("%.[^.]*$", ""))
end

local function run_script(script)
  local chunk = assert(load(without_first_comment(script.text), "@" .. script.name, "t"))
  local module = chunk(script.name)
  if type(module) == "table" then package.loaded[stem(script.name)] = module end
end

-- Returns the finalizer, or nil.
function worker.start(brief)
  core.rules(brief.rules) -- by now tidepool.functions has a `load` that takes bytecode
  if package.path ~= brief.path then package.path = brief.path end
  if package.cpath ~= brief.cpath then package.cpath = brief.cpath end
  use_loaders(brief)
  for _, script in ipairs(brief.scripts) do
    run_script(script)
  end
  if brief.initializer then
    local args = brief.initargs
    build(brief.initializer)(table.unpack(args, 1, args.n or #args))
  end
  return brief.finalizer and build(brief.finalizer)
end

return worker
