-- A session at the prompt: text in, text out. Reading keys, drawing and running
-- chunks is for the program, which asks a session what to do with them.

_ENV = require "tidepool.globals" ()
local commands = require "tidepool.commands"
local complete = require "tidepool.complete"
local core = require "tidepool.core"
local help = require "tidepool.help"
local pool = require "tidepool.pool"
local pretty = require "tidepool.pretty"
local progress = require "tidepool.progress"

local prompt = {}

local globals = _G
local MOST_NAMES = 99
local LOCAL_LOST = "a local is gone after its chunk; leave out `local` to keep it"

---@class tidepool.Session
---@field colour boolean
---@field width fun(): integer
---@field write_file fun(name: string, text: string): true?, string?
---@field chunks { text: string, ok: boolean }[] what was typed and ran
---@field given table<string, any> results by the names that they were given
local Session = {}
Session.__index = Session

---- chunks ---------------------------------------------------------------------------

local function compile(text)
  return load(text, "=stdin", "t")
end

-- The chunk, or nil and why it is none; and whether it is an expression.
local function compile_any(text)
  local rest = text:match "^%s*=(.*)"
  local chunk, message = compile("return " .. (rest or text))
  if chunk or rest or message == "not enough memory" then return chunk, message, true end
  return compile(text)
end

-- Would more text help? A string that ends with its line is none.
local function is_unfinished(message, text)
  if not message:find "near <eof>$" then return false end
  return not message:find "unfinished string near" or text:find "\\z?%s*$" ~= nil
end

---Whether the text is an unfinished chunk.
---@param text string
---@return boolean
function Session.is_open(_, text)
  text = text:match "^%s*\\time%s+(.*)" or text
  if text:find "^%s*\\" then return false end
  local chunk, message, expression = compile_any(text)
  if chunk then return false end
  if is_unfinished(message, text) then return true end
  if expression then return false end
  local _, other = compile("return " .. text)
  return is_unfinished(other, text)
end

-- A `;` behind an expression, and not in a comment.
local function is_silenced(text)
  local head = text:match "^(.*);%s*$"
  return head and not compile("return " .. head:gsub("^%s*=", "") .. "?")
end

---The text as a function; or nil and a message. With it may come a warning.
---@param text string
---@return function? chunk
---@return string? message
---@return string? warning
function Session:load(text)
  self.is_command, self.is_silent, self.is_timed = false, false, false
  local name, rest = text:match "^%s*\\(%S*)%s*(.-)%s*$"
  if name then return commands.load(self, name, rest) end
  return self:load_chunk(text)
end

---As `load`, for Lua text alone.
function Session:load_chunk(text)
  local chunk, message, expression = compile_any(text)
  if not chunk then return nil, self:paint("error", message) end
  self.is_silent = expression and is_silenced(text)
  if not expression and text:find "^%s*local%f[^%w_]" then return chunk, nil, LOCAL_LOST end
  return chunk
end

---A chunk was accepted and ran, with or without an error.
---@param text string
---@param ok boolean
function Session:entered(text, ok)
  if not text:find "^%s*\\" then self.chunks[#self.chunks + 1] = { text = text, ok = ok } end
end

---- results --------------------------------------------------------------------------

local function is_same(a, b)
  return rawequal(a, b) or a ~= a and b ~= b
end

-- Sets a global, unless the user has a value of their own there.
function Session:give(name, value)
  local present = rawget(globals, name)
  if present == nil or is_same(present, self.given[name]) then
    rawset(globals, name, value)
    self.given[name] = value
  else
    self.given[name] = nil
  end
end

function Session:remember(n, ...)
  if n == 0 then return end
  self:give("_", (...))
  local several = n > 1 and math.min(n, MOST_NAMES) or 0
  for i = 1, math.max(several, self.several) do
    self:give("_" .. i, i <= several and (select(i, ...)) or nil)
  end
  self.several = several
end

---What there is to print of a chunk's values, if anything.
---@param ... any
---@return string?
function Session:results(...)
  local n = select("#", ...)
  if self.is_command then return n > 0 and table.concat({ ... }, "\n") or nil end
  self:remember(n, ...)
  local lines = {}
  if n > 0 and not self.is_silent then lines[1] = self:format(...) end
  if self.is_timed then lines[#lines + 1] = self:paint("mark", self:timing()) end
  return lines[1] and table.concat(lines, "\n")
end

---The values in this session's width and colours.
function Session:format(...)
  return pretty.format({ colour = self.colour, width = self.width() }, ...)
end

function Session:paint(kind, text)
  return pretty.paint(self.colour, kind, text)
end

---- errors ---------------------------------------------------------------------------

local TRACED = 10 -- frames at each end of a traceback

-- How many frames there are from this level on. Their number may be 200000, so
-- this must not ask for one after the other.
local function count_frames(level)
  level = level + 1
  local most = 1
  while debug.getinfo(level + most, "l") do most = most * 2 end
  local least = most // 2
  while most - least > 1 do
    local middle = (least + most) // 2
    if debug.getinfo(level + middle, "l") then least = middle else most = middle end
  end
  return most
end

-- The lines of n frames; between them are lines of tail calls.
local function add_frames(lines, level, n)
  for line in debug.traceback("", level + 1):gmatch "\n(\t[^\n]*)" do
    if n == 0 then break end
    if not line:find "^\t%(%.%.%.tail" then n = n - 1 end
    lines[#lines + 1] = line
  end
end

local function traceback(level, n)
  local lines = { "stack traceback:" }
  if n <= 2 * TRACED then
    add_frames(lines, level + 1, n)
  else
    add_frames(lines, level + 1, TRACED)
    lines[#lines + 1] = ("\t... (%d levels)"):format(n - 2 * TRACED)
    add_frames(lines, level + 1 + n - TRACED, TRACED)
  end
  return table.concat(lines, "\n")
end

-- What an error value says, and whether it says by itself where it came from.
local function describe(err)
  if type(err) == "string" then return err end
  if type(err) == "number" then return tostring(err) end
  local meta = debug.getmetatable(err)
  if type(meta) == "table" and rawget(meta, "__tostring") ~= nil then
    local ok, text = pcall(tostring, err)
    if ok then return text, true end
  end
  return ("(error object is a %s value)"):format(type(err))
end

-- A function that was typed here misses what was typed with it: the workers have other globals.
local function hint(err, text)
  if debug.getmetatable(err) ~= core.error_type then return "" end
  local name = text:match "^[^\n]*a nil value %(global '([%w_]+)'%)"
    or text:match '^unknown function "([%w_]+)'
  if name == nil or rawget(globals, name) == nil then return "" end
  return ("\n(%s is a global here; workers have globals of their own)"):format(name)
end

---The message handler of chunks: what to print of an error. A handler that calls
---this must do nothing else, so that the frames below are those of the error.
---@param err any
---@return string
function Session:failure(err)
  progress.clear()
  local text, complete_text = describe(err)
  if text:find "^interrupted!$" or text:find "^[^\n]*:%d+: interrupted!$" then
    return self:paint("error", "interrupted!")
  end
  if not (complete_text or self.is_command) then
    local level = debug.getinfo(1, "t").istailcall and 2 or 3
    local n = count_frames(level) - self.depth
    if n > 0 then text = text .. "\n" .. traceback(level, n) end
  end
  local first, rest = text:match "^([^\n]*)(.*)$"
  text = self:paint("error", first) .. hint(err, text)
  return rest == "" and text or text .. "\n" .. self:paint("mark", rest:sub(2))
end

---- around a run ----------------------------------------------------------------------

---A chunk is about to run: the caller's frames are none of the chunk's.
function Session:started()
  self.depth = count_frames(2)
  self.began, self.began_cpu, self.took = core.now(), os.clock(), nil
end

---It has run.
function Session:finished()
  self.took, self.took_cpu = core.now() - self.began, os.clock() - self.began_cpu
  progress.clear()
end

local function span(seconds)
  if seconds < 1 then return ("%.1f ms"):format(seconds * 1e3) end
  if seconds < 60 then return ("%.2f s"):format(seconds) end
  return progress.span(seconds)
end

---How long the last chunk ran, for the right side of the prompt.
---@return string
function Session:right()
  return self.took and span(self.took) or ""
end

function Session:timing()
  if not self.took then self:finished() end
  return ("%s, of it %s in this process"):format(span(self.took), span(self.took_cpu))
end

---- the rest --------------------------------------------------------------------------

---@return string
function Session:prompt()
  local own = rawget(globals, "_PROMPT")
  local ok, text = pcall(tostring, own)
  if own ~= nil and ok then return text end
  return self:paint("prompt", ">") .. " "
end

---What may stand in place of text[first..cursor].
---@param text string
---@param cursor integer bytes before the cursor
---@return integer first
---@return string[] words sorted
function Session.complete(_, text, cursor)
  local head = text:sub(1, cursor)
  local first, words = complete.words(head, commands.names())
  local topic = head:match "^%s*\\help%s+([%w_.:]+)$"
  if words[1] or not topic then return first, words end
  return #head - #topic + 1, help.topics(topic)
end

---Running pools of this process, the oldest first.
---@return tidepool.Pool[]
function Session.pools()
  return pool.live()
end

---What is to say of a value, of a name, or of the prompt.
---@param ... any
---@return string
function Session:help(...)
  local what = ...
  local all = select("#", ...) == 0 or what == "help" or rawequal(what, self.helper)
  local text = all and help.overview(commands.usages()) or help.of(self.chunks, what)
  return help.wrap(text, self.width())
end

local function offer(name, value)
  if rawget(globals, name) == nil then rawset(globals, name, value) end
end

---A new session; it offers `p` and `help` as globals if these names are free.
---@param o { colour: boolean, width: (fun(): integer), write_file: function }
---@return tidepool.Session
function prompt.session(o)
  local self = setmetatable({
    colour = o.colour, width = o.width, write_file = o.write_file,
    chunks = {}, given = {}, several = 0, depth = 0,
  }, Session)
  pool.shows_progress, progress.width = true, o.width
  offer("p", function(...) globals.print(self:format(...)) end)
  self.helper = setmetatable({}, {
    __call = function(_, ...) globals.print(self:help(...)) end,
    __tostring = function() return self:help() end,
  })
  offer("help", self.helper)
  return self
end

return prompt
