-- The commands of the prompt: lines that begin with a backslash, which no Lua
-- text does.

_ENV = require "tidepool.globals" ()
local complete = require "tidepool.complete"
local core = require "tidepool.core"
local pool = require "tidepool.pool"

local commands = {}

---- \help, \jobs, \quit -----------------------------------------------------------

local list = {}

local function describe(command)
  return ("%-16s%s"):format(command.usage, command.says)
end

list.help = {
  usage = "\\help [name]", says = "what a function, module or type does",
  run = function(session, name)
    if name == "" then return session:help() end
    local command = list[name:match "^\\(%a+)"]
    return command and describe(command) or session:help(name)
  end,
}

local function describe_job(job)
  local of = job.total and (" of %d"):format(job.total) or ""
  return ("  %s of %s: %d%s items done"):format(job.kind, job.label, job.done, of)
end

local function describe_pool(view)
  local workers = ("%d of %d workers busy"):format(math.min(view.busy, view.size), view.size)
  local lines = { ("pool %q: %s, %s"):format(view.name, view.state, workers) }
  table.sort(view.jobs, function(a, b) return a.id < b.id end)
  for _, job in ipairs(view.jobs) do lines[#lines + 1] = describe_job(job) end
  return table.concat(lines, "\n")
end

list.jobs = {
  usage = "\\jobs", says = "pools of this process and what they are doing",
  run = function()
    local texts = {}
    for i, live in ipairs(pool.live()) do texts[i] = describe_pool(core.look(live)) end
    return texts[1] and table.concat(texts, "\n") or "no pools"
  end,
}

list.quit = {
  usage = "\\quit", says = "leave",
  run = function()
    warn "@off" -- of pools that are open
    os.exit(true, true)
  end,
}

---- \time ----------------------------------------------------------------------------

-- The chunk itself runs, so that nothing of ours is in its tracebacks.
list.time = {
  usage = "\\time text", says = "run Lua text and tell how long that took", needs = true,
  load = function(session, text)
    session.is_timed = true
    return session:load_chunk(text)
  end,
}

---- \reload --------------------------------------------------------------------------

local function is_own(name)
  return name == "tidepool" or name:find "^tidepool%."
end

-- Who holds the old table finds the new content in it.
local function update(old, new)
  for key in next, old do old[key] = nil end
  for key, value in next, new do rawset(old, key, value) end
  debug.setmetatable(old, debug.getmetatable(new))
end

local function reload(name)
  local old = package.loaded[name]
  package.loaded[name] = nil
  local ok, new, from = pcall(require, name)
  if not ok then
    package.loaded[name] = old
    error(new, 0)
  end
  if type(old) == "table" and type(new) == "table" and old ~= new then
    update(old, new)
    package.loaded[name] = old
  end
  return from
end

list.reload = {
  usage = "\\reload module", says = "load a module again, in place", needs = true,
  run = function(_, name)
    if is_own(name) then
      error(('cannot reload "%s": it is a part of the program'):format(name), 0)
    end
    local from = reload(name)
    local text = ("reloaded %s%s"):format(name, from and (" (%s)"):format(from) or "")
    return text .. (pool.live()[1] and "; running pools keep what they have" or "")
  end,
}

---- \save ----------------------------------------------------------------------------

-- The chunk as a part of a file: expressions are assigned, as the prompt does.
local function statement(chunk)
  if chunk:find "^%s*local%f[^%w_]" then return ("do\n%s\nend"):format(chunk) end
  local value = chunk:match "^%s*=(.*)" or chunk:match "^%s*return%f[^%w_](.*)"
  if not value and load(chunk) then return chunk:find "^%s*%(" and ";" .. chunk or chunk end
  local text = "_ = " .. (value or chunk)
  return load(text) and text or "-- " .. chunk:gsub("\n", "\n-- ")
end

local function exists(name)
  local file = io.open(name, "rb")
  if file then file:close() end
  return file ~= nil
end

local function save(session, name)
  local lines = {}
  for _, chunk in ipairs(session.chunks) do
    if chunk.ok then lines[#lines + 1] = statement(chunk.text) .. "\n" end
  end
  local ok, why = session.write_file(name, table.concat(lines))
  if not ok then error(("cannot save: %s"):format(why), 0) end
  return ("%d chunk%s saved to %s"):format(#lines, #lines == 1 and "" or "s", name)
end

list.save = {
  usage = "\\save file", says = "write what ran without an error; \\save! replaces a file",
  needs = true,
  run = function(session, name)
    if exists(name) then error(("%s exists; \\save! %s replaces it"):format(name, name), 0) end
    return save(session, name)
  end,
}

list["save!"] = { usage = "\\save! file", needs = true, run = save }

---- all of them ------------------------------------------------------------------------

---The names of all commands, as they are typed, with what they are.
---@return table<string, table>
function commands.names()
  local names = {}
  for name, command in next, list do names["\\" .. name] = command end
  return names
end

---One line each, sorted.
---@return string[]
function commands.usages()
  local lines = {}
  for _, command in next, list do
    if command.says then lines[#lines + 1] = describe(command) end
  end
  table.sort(lines)
  return lines
end

local function unknown(name)
  local _, names = complete.words("\\", commands.names())
  return ("unknown command \\%s; there are %s"):format(name, table.concat(names, " "))
end

---A command as a function, as `Session:load`.
---@param session tidepool.Session
---@param name string
---@param rest string what stands behind the name
---@return function? chunk
---@return string? message
---@return string? warning
function commands.load(session, name, rest)
  local command = list[name]
  if not command then return nil, session:paint("error", unknown(name)) end
  if command.needs and rest == "" then
    return nil, session:paint("error", "usage: " .. command.usage)
  end
  if command.load then return command.load(session, rest) end
  session.is_command = true
  return function() return command.run(session, rest) end
end

return commands
