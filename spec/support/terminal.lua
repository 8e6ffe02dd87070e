-- terminal.lua - a program in a pseudo terminal: type, and wait for what the screen shows.

local tidepool = require "tidepool"
local screen = require "spec.support.screen"

local Terminal = {}
Terminal.__index = Terminal

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function to_hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function from_hex(hex)
  return (hex:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

local function send(self, ...)
  self.driver:write(table.concat({ ... }, " "), "\n")
  self.driver:flush()
end

-- One event of the driver; false at its end.
local function take(self)
  local line = self.events:read "l"
  if not line then return false end
  local kind, rest = line:sub(1, 1), line:sub(3)
  if kind == "o" then
    local bytes = from_hex(rest)
    self.output = self.output .. bytes
    self.screen:write(bytes)
  elseif kind == "m" then
    self.mode_seen = rest
  elseif kind == "x" then
    self.status = math.tointeger(tonumber(rest))
  end
  return true
end

---Type keys.
function Terminal:type(keys) send(self, "s", to_hex(keys)) end

---Wait until the condition holds: a text that the screen has to show, or a function. Fails with
---the screen after `seconds` (default 20).
function Terminal:await(condition, seconds)
  local text = type(condition) == "string" and condition
  local deadline = tidepool.now() + (seconds or 20)
  while true do
    local value
    if text then
      value = (self.screen:text() .. "\n"):find(text, 1, true)
    else
      value = condition(self)
    end
    if value then return value end
    if not take(self) or tidepool.now() > deadline then
      error(("it did not come: %s; the screen:\n%s"):format(text or "what is waited for",
        self.screen:text()), 2)
    end
  end
end

---The lines on the screen.
function Terminal:lines() return self.screen:lines() end

---The line the cursor is in, up to it.
function Terminal:before_cursor()
  local line = {}
  for i = 1, self.screen.column - 1 do
    line[i] = self.screen.cells[self.screen.row][i] or " "
  end
  return table.concat(line)
end

---Wait for an empty line with the prompt in front of the cursor.
function Terminal:await_prompt(text)
  local prompt = "> " .. (text or "")
  local ok = pcall(self.await, self, function() return self:before_cursor() == prompt end)
  if not ok then error("no prompt came; the screen:\n" .. self.screen:text(), 2) end
end

---Type keys that end a line, wait for the next prompt; returns the lines above it.
function Terminal:press(keys)
  local seen, prompt = #self.output, "\27[?2004h"
  self:type(keys)
  self:await(function()
    return self.output:find(prompt, seen + 1, true) and self:before_cursor() == "> "
  end)
  local lines = self:lines()
  lines[#lines] = nil
  return lines
end

---The same for a chunk and Enter.
function Terminal:run(chunk) return self:press(chunk .. "\r") end

function Terminal:signal(number) send(self, "k", number) end

function Terminal:resize(rows, columns)
  self.screen:resize(rows, columns)
  send(self, "w", rows, columns)
end

---Whether the terminal's mode is what it was before the program.
function Terminal:is_restored()
  self.mode_seen = nil
  send(self, "m")
  self:await(function() return self.mode_seen end)
  return self.mode_seen == "same" and not self.screen.modes["?2004"]
end

---Wait for the end of the program; its status, or 128 + its signal.
function Terminal:finish()
  self:await(function() return self.status end)
  return self.status
end

function Terminal:__close()
  self.events:close() -- first: the driver may be writing
  self.driver:close()
  os.execute("rm -rf " .. self.folder)
end

assert(os.execute "make -s build/pty >&2", "cannot build build/pty")

---Start a program: `local t <close> = terminal(words, opts)`. opts: rows, columns, env (a
---table of variables), home (a folder; default: `terminal.folder`, which is empty).
return function(words, opts)
  opts = opts or {}
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute(("mkdir %s && mkfifo %s/events"):format(folder, folder)))
  local line = { "exec env -i", "PATH=" .. quote(os.getenv "PATH"), "TERM=xterm",
    "HOME=" .. (opts.home or folder), "ASAN_OPTIONS=" .. quote(os.getenv "ASAN_OPTIONS" or ""),
    "LSAN_OPTIONS=" .. quote(os.getenv "LSAN_OPTIONS" or "") }
  for name, value in pairs(opts.env or {}) do line[#line + 1] = name .. "=" .. quote(value) end
  local rows, columns = opts.rows or 24, opts.columns or 80
  line[#line + 1] = ("timeout -s KILL 120 build/pty %d %d"):format(rows, columns)
  for _, word in ipairs(words) do line[#line + 1] = quote(word) end
  line[#line + 1] = ("> %s/events"):format(folder)
  local driver = assert(io.popen(table.concat(line, " "), "w"))
  return setmetatable({
    driver = driver, events = assert(io.open(folder .. "/events", "r")), folder = folder,
    screen = screen(rows, columns), output = "",
  }, Terminal)
end
