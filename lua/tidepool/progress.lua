-- The progress line on stderr: `progress = true` of a call draws one, and a
-- script may draw its own. Only on a terminal, and only when it takes longer.

local core = require "tidepool.core"

local progress = {}

local FIRST_S, EVERY_S = 0.5, 0.1
local WIDTH = 80

---- words and numbers ---------------------------------------------------------

local UNITS = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" }

---A number of bytes for people: `progress.bytes(1536)` is "1.5 KiB".
---@param n number
---@return string
function progress.bytes(n)
  local k = 1
  while n >= 1023.95 and k < #UNITS do
    n, k = n / 1024, k + 1
  end
  return (k == 1 and "%.0f %s" or "%.1f %s"):format(n, UNITS[k])
end

---A span of time for people: `progress.span(62)` is "1:02".
---@param seconds number
---@return string
function progress.span(seconds)
  local s = math.floor(math.min(seconds, 359999) + 0.5)
  if s < 3600 then return ("%d:%02d"):format(s // 60, s % 60) end
  return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60)
end

---Columns of the terminal: what COLUMNS says, else 80.
---@return integer
function progress.width()
  local columns = math.tointeger(tonumber(os.getenv "COLUMNS" or nil))
  return columns and columns > 0 and columns or WIDTH
end

---- the line ----------------------------------------------------------------------

local shown -- the line on the screen

---@class tidepool.ProgressLine
local Line = {}
Line.__index = Line

---A line that is drawn over and over: at most ten times a second, and not in
---the first half second.
---@param when "auto"|"always"|"never" auto: if stderr is a terminal
---@return tidepool.ProgressLine
function progress.line(when)
  return setmetatable({
    when = when, started = core.now(), next = core.now() + FIRST_S, drawn = false,
  }, Line)
end

local function is_terminal()
  return (os.execute "test -t 2")
end

---Whether it is time to draw. Asks for the terminal once, and not before.
---@return boolean
function Line:due()
  if self.when == "never" or core.now() < self.next then return false end
  if self.when == "auto" then self.when = is_terminal() and "always" or "never" end
  return self.when == "always"
end

---Seconds since the line was made.
---@return number
function Line:elapsed()
  return core.now() - self.started
end

---Draws a text of one column per byte, cut to the terminal's width.
---@param text string
function Line:draw(text)
  self.next, self.drawn, shown = core.now() + EVERY_S, true, self
  io.stderr:write("\r", text:sub(1, progress.width() - 1), "\27[K")
end

---Takes the line off the screen; to be done before anything else is printed.
function Line:clear()
  if self.drawn then io.stderr:write "\r\27[K" end
  self.drawn, shown = false, nil
end

---Takes whichever line is on the screen off it.
function progress.clear()
  if shown then shown:clear() end
end

---A line that is a to-be-closed variable is off the screen whatever happens.
Line.__close = Line.clear

---- of a call ------------------------------------------------------------------------

local function describe(done, total, elapsed)
  local rate = done / math.max(elapsed, 1e-9)
  local parts = { ("%d%s"):format(done, total and "/" .. total or "") }
  parts[2] = ("%.0f/s"):format(rate)
  if total and rate > 0 then parts[3] = progress.span((total - done) / rate) .. " left" end
  return table.concat(parts, "  ")
end

---What `progress = true` stands for: called with the number of items done and,
---when it is known, of all.
---@param when? "auto"|"always"|"never" default "auto"
---@return fun(done: integer, total?: integer)
function progress.new(when)
  local line = progress.line(when or "auto")
  return function(done, total)
    if total and done >= total then
      line:clear()
    elseif line:due() then
      line:draw(describe(done, total, line:elapsed()))
    end
  end
end

return progress
