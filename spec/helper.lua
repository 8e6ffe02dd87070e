-- helper.lua - processes, files and time as a spec sees them from outside the pool.
-- Also loaded in workers: tasks use `pass` and `note`.

local tidepool = require "tidepool"

local helper = {}

--------------------------------------------------------------------------------
-- Time

---Poll `fn` until it returns something true; fail after `seconds` (default 10).
function helper.eventually(fn, seconds)
  local deadline = tidepool.now() + (seconds or 10)
  repeat
    local value = fn()
    if value then return value end
    tidepool.sleep(0.002)
  until tidepool.now() > deadline
  error("it did not happen within " .. (seconds or 10) .. " s", 2)
end

---Call `fn` and return its values; fail when it took longer than `seconds`.
function helper.within(seconds, fn, ...)
  local start = tidepool.now()
  local results = table.pack(fn(...))
  local took = tidepool.now() - start
  if took > seconds then
    error(("it took %.2f s, more than %g s"):format(took, seconds), 2)
  end
  return table.unpack(results, 1, results.n)
end

--------------------------------------------------------------------------------
-- Errors

---The error value that `fn(...)` raises; fail when it raises none.
function helper.failure(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("no error was raised", 2) end
  return err
end

---The text of the plain string error that `fn(...)` raises, without its position.
function helper.refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("no error was raised", 2) end
  if type(err) ~= "string" then
    error("a plain string was expected, got " .. type(err) .. ": " .. tostring(err), 2)
  end
  return (err:gsub("^[^:\n]+:%d+: ", ""))
end

---The bare message of any error: of a string without its position, of an object its `message`.
function helper.message(err)
  if type(err) == "string" then return (err:gsub("^[^:\n]+:%d+: ", "")) end
  return err.message
end

--------------------------------------------------------------------------------
-- Files

local File = {}
File.__index = File

local function slurp(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

helper.slurp = slurp

function File:read() return slurp(self.path) or "" end

function File:write(text)
  local file = assert(io.open(self.path, "wb"))
  file:write(text)
  file:close()
end

function File:lines()
  local list = {}
  for line in self:read():gmatch("([^\n]*)\n") do list[#list + 1] = line end
  return list
end

---Wait until the file has at least `n` lines, then return them.
function File:await(n, seconds)
  return helper.eventually(function()
    local list = self:lines()
    return #list >= n and list
  end, seconds)
end

function File:__close() os.remove(self.path) end

---A temporary file, gone at the end of the scope: `local file <close> = helper.file(text)`.
function helper.file(text)
  local file = setmetatable({ path = os.tmpname() }, File)
  if text then file:write(text) end
  return file
end

---Append one line, in a single write.
function helper.note(path, text)
  local file = assert(io.open(path, "ab"))
  file:write(tostring(text) .. "\n")
  file:close()
end

local Gate = {}
Gate.__index = Gate

function Gate:open() assert(io.open(self.path, "wb")):close() end

function Gate:__close() os.remove(self.path) end

---A gate is a file name: tasks in `helper.pass(gate.path)` go on once `gate:open()` was called.
function helper.gate()
  local path = os.tmpname()
  os.remove(path)
  return setmetatable({ path = path }, Gate)
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

helper.exists = exists

---Wait for a gate, in a task.
function helper.pass(path)
  local deadline = tidepool.now() + 10
  while not exists(path) do
    if tidepool.now() > deadline then error("the gate stayed shut", 2) end
    tidepool.sleep(0.002)
  end
end

--------------------------------------------------------------------------------
-- Processes

---`{state =, parent =}` of a process, or nil when there is none.
function helper.process(pid)
  local text = slurp("/proc/" .. pid .. "/stat")
  local state, parent = (text or ""):match("^.*%) (%S) (%d+)")
  if not state then return nil end
  return { state = state, parent = math.tointeger(tonumber(parent)) }
end

---Whether a process runs (a zombie does not).
function helper.alive(pid)
  local process = helper.process(pid)
  return process ~= nil and process.state ~= "Z" and process.state ~= "X"
end

---The supervisor of a worker.
function helper.parent(pid) return assert(helper.process(pid), "no such process").parent end

function helper.children(pid)
  local list = {}
  local text = slurp("/proc/" .. pid .. "/task/" .. pid .. "/children") or ""
  for child in text:gmatch("%d+") do list[#list + 1] = math.tointeger(tonumber(child)) end
  return list
end

local function title(pid) return (slurp("/proc/" .. pid .. "/comm") or ""):match "^[^\n]*" end

---The process that forks supervisors for this one.
function helper.nursery()
  return helper.eventually(function()
    for _, child in ipairs(helper.children(tidepool.getpid())) do
      if title(child) == "tidepool nurser" then return child end
    end
  end)
end

---The supervisor that this nursery keeps ready. A new one may still have its parent's name.
function helper.spare(nursery)
  if title(nursery) ~= "tidepool nurser" then return nil end
  for _, child in ipairs(helper.children(nursery)) do
    local is = title(child)
    if is == "tidepool spare" or is == "tidepool nurser" then return child end
  end
end

---All processes below `pid`, zombies too, sorted; but for spares, which come and go.
function helper.descendants(pid)
  local list = {}
  local function add(parent)
    local spare = helper.spare(parent)
    for _, child in ipairs(helper.children(parent)) do
      if child ~= spare then
        list[#list + 1] = child
        add(child)
      end
    end
  end
  add(pid)
  table.sort(list)
  return list
end

---The open descriptors of this process, as "number target".
function helper.descriptors()
  local pid = tidepool.getpid()
  local pipe = assert(io.popen("readlink /proc/self/fd/1; find /proc/" .. pid ..
    "/fd -mindepth 1 -printf '%f %l\\n'"))
  local own, list = pipe:read("l"), {}
  for line in pipe:lines() do
    if not line:find(own, 1, true) then list[#list + 1] = line end
  end
  pipe:close()
  return list
end

local function set(list)
  local members = {}
  for _, value in ipairs(list) do members[value] = true end
  return members
end

---What is in `list` and was not in `before`, as text.
local function added(before, list)
  local known, new = set(before), {}
  for _, value in ipairs(list) do
    if not known[value] then new[#new + 1] = value end
  end
  return table.concat(new, "\n")
end

---Call `fn` and fail when it leaves processes or descriptors behind.
function helper.no_leaks(fn)
  local processes, descriptors = helper.descendants(tidepool.getpid()), helper.descriptors()
  fn()
  local function left() return added(processes, helper.descendants(tidepool.getpid())) end
  if not pcall(helper.eventually, function() return left() == "" end, 5) then
    error("processes left behind:\n" .. left(), 2)
  end
  local open = added(descriptors, helper.descriptors())
  if open ~= "" then error("descriptors left open:\n" .. open, 2) end
end

---Send a signal, by name or number.
function helper.kill(pid, signal)
  assert(math.type(pid) == "integer" and pid > 1, "not a process id")
  return os.execute("kill -" .. signal .. " " .. pid .. " 2>/dev/null")
end

---Memory of its own of a process, in KiB.
function helper.memory(pid)
  local text = slurp("/proc/" .. (pid or "self") .. "/status") or ""
  return math.tointeger(tonumber(text:match("RssAnon:%s+(%d+)")))
end

---The process ids of the `n` workers of an idle pool, by number of the worker.
function helper.workers(pool, n)
  local journal <close> = helper.file()
  local gate <close> = helper.gate()
  local path, gate_path = journal.path, gate.path
  local handles = {}
  for i = 1, n do
    handles[i] = pool:apply_async(function()
      helper.note(path, "here")
      helper.pass(gate_path)
      return tidepool.worker.number, tidepool.worker.pid
    end)
  end
  journal:await(n)
  gate:open()
  local pids = {}
  for i = 1, n do
    local number, pid = handles[i]:get(20)
    pids[number] = pid
  end
  return pids
end

--------------------------------------------------------------------------------
-- Programs

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

---The program that runs this spec: the host, or stock lua.
function helper.interpreter()
  if os.getenv("TIDEPOOL_LUA") then return os.getenv("TIDEPOOL_LUA") end
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return arg[i]
end

local function command(script, opts)
  local words = { opts.before or "", "exec timeout -k 1 ", opts.seconds or 20, opts.under or "",
    quote(helper.interpreter()), opts.flags or "", quote(script) }
  for _, word in ipairs(opts.args or {}) do words[#words + 1] = quote(word) end
  return table.concat(words, " ")
end

---Run a Lua program with the interpreter under test; returns stdout, stderr and the exit status
---(128 + n after signal n, 124 when it hangs). `opts`: args, flags, input, seconds, before (shell
---text), under (a program to run it with).
function helper.run(text, opts)
  opts = opts or {}
  local script <close> = helper.file(text)
  local input <close> = helper.file(opts.input or "")
  local out <close> = helper.file()
  local err <close> = helper.file()
  os.execute("chmod 644 " .. script.path)
  local line = command(script.path, opts)
  local _, how, code =
    os.execute(("%s <%s >%s 2>%s"):format(line, input.path, out.path, err.path))
  return out:read(), err:read(), how == "signal" and 128 + code or code
end

local Program = {}
Program.__index = Program

---The next line the program prints, or nil at its end.
function Program:line() return self.pipe:read("l") end

---The next line as an integer.
function Program:number() return math.tointeger(tonumber(self:line())) end

function Program:__close()
  self.pipe:close()
  os.remove(self.script.path)
end

---Start a Lua program beside this one: `local program <close> = helper.start(text)`.
function helper.start(text, opts)
  local script = helper.file(text)
  local pipe = assert(io.popen(command(script.path, opts or {}) .. " </dev/null 2>&1"))
  return setmetatable({ pipe = pipe, script = script }, Program)
end

---A sanitizer holds freed memory back, so that use of it can be seen.
helper.sanitized = os.getenv "TIDEPOOL_SANITIZED" ~= nil

---The keys of a table, in order, with blanks between.
function helper.names(of)
  local list = {}
  for name in pairs(of) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, " ")
end

return helper
