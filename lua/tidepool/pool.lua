-- The pool's methods: arguments are checked here, then C does the work.

local core = require "tidepool.core"
local functions = require "tidepool.functions"
local options = require "tidepool.options"

local pool = {}

local Type = core.pool_type
local Pool = Type.__index
Type.__name = "tidepool.pool"
Type.__metatable = false

local KIND = { map = 1, imap = 2, imap_unordered = 3 } -- JobKind in lua_pool.h

-- Settings of a pool that its calls inherit.
local settings = setmetatable({}, { __mode = "k" })
local last_number = 0
local next, sort = next, table.sort -- whatever a prompt's user calls `table`

---@param ... any processes, initializer, initargs; or one table of options
---@return tidepool.Pool
function pool.new(...)
  local o = options.of_pool(2, ...)
  local ok, self = pcall(core.open, o)
  if not ok then error(self, type(self) == "string" and 2 or 0) end
  last_number = last_number + 1
  o.number = last_number
  settings[self] = o
  return self
end

---Pools of this process that have not ended, the oldest first.
---@return tidepool.Pool[]
function pool.live()
  local list = {}
  for self in next, settings do
    if core.look(self) then list[#list + 1] = self end
  end
  sort(list, function(a, b) return settings[a].number < settings[b].number end)
  return list
end

---- arguments ------------------------------------------------------------------

local function check_open(self)
  if not settings[self] then
    error(("bad pool: a %s; methods are called with a colon"):format(type(self)), 4)
  end
  if core.is_open(self) then return end
  local state, reason = core.state(self)
  if state == "broken" then error(reason, 0) end
  error("pool is " .. state, 4)
end

-- text, label and, in serial mode, the function to hold on to.
local function define(self, f, level)
  local kind = type(f)
  if kind ~= "string" and kind ~= "function" and kind ~= "table" and kind ~= "userdata" then
    error(("bad task function: a %s is neither a function nor a name"):format(kind), level + 1)
  end
  if f == "" then error("bad task function: the name is empty", level + 1) end
  local own = settings[self]
  if not own.serial then
    local text, label = functions.known(f)
    if text then return text, label end
  end
  local how = own.serial and functions.keep or functions.define
  local ok, text, label, keep = pcall(how, f)
  if ok then return text, label, keep end
  error(text, type(text) == "string" and level + 1 or 0)
end

local function from_thread(thread)
  local function continue(ok, ...)
    if not ok then error((...), 0) end
    if coroutine.status(thread) == "dead" then return nil end
    return ...
  end
  return function()
    if coroutine.status(thread) == "dead" then return nil end
    return continue(coroutine.resume(thread))
  end
end

-- A sequence that is more than a plain table: read through its metamethods.
local function from_proxy(t)
  local i, n = 0, t.n or #t
  return function()
    i = i + 1
    if i <= n then return t[i] end
  end
end

local function sequence(t, level)
  local meta = debug.getmetatable(t)
  if meta and meta.__call then return function() return t() end end
  if meta and (meta.__index or meta.__len) then return from_proxy(t) end
  local n = rawget(t, "n")
  if math.type(n) ~= "integer" or n < 0 then n = #t end
  if n == 0 and next(t) ~= nil and not math.tointeger(t.n) then
    error("bad iterable: a table with keys but no sequence", level + 1)
  end
  return t, n
end

---What is iterated over, and the number of items when it is known.
local function iterable(x, level)
  local kind = type(x)
  if kind == "function" then return x end
  if kind == "table" then return sequence(x, level) end
  if kind == "thread" then return from_thread(x) end
  local meta = debug.getmetatable(x)
  if kind == "userdata" and meta and meta.__call then return x end
  error(("bad iterable: a %s is no sequence, function or coroutine"):format(kind), level + 1)
end

local function hold(o, keep)
  if keep == nil then return end
  o.hooks = o.hooks or {}
  o.hooks.keep = keep
end

---- many items ------------------------------------------------------------------

local function start(self, kind, f, xs, ...)
  check_open(self)
  local text, label, keep = define(self, f, 3)
  local source, total = iterable(xs, 3)
  local o, own = options.of_call(3, ...), settings[self]
  o.kind, o.total = KIND[kind] or KIND.map, total
  o.star = kind == "starmap"
  o.window = o.window or (kind:find "^imap" or not total) and own.window or nil
  o.window_bytes = o.window_bytes or own.window_bytes
  hold(o, keep)
  return self, text, label, source, o
end

---Whether calls that wait draw a progress line if they are not told.
pool.shows_progress = false

local function run(self, text, label, source, o)
  if pool.shows_progress and not o.is_quiet then
    o.hooks = o.hooks or {}
    o.hooks.progress = o.hooks.progress or require("tidepool.progress").new()
  end
  return core.run(self, text, label, source, o)
end

local function run_async(self, text, label, source, o)
  o.async = true
  return core.map(self, text, label, source, o)
end

---Run f on each item; wait. Columns: r[i] is the first value of f(item i).
function Pool:map(f, xs, ...)
  return run(start(self, "map", f, xs, ...))
end

function Pool:map_async(f, xs, ...)
  return run_async(start(self, "map", f, xs, ...))
end

function Pool:starmap(f, xs, ...)
  return run(start(self, "starmap", f, xs, ...))
end

function Pool:starmap_async(f, xs, ...)
  return run_async(start(self, "starmap", f, xs, ...))
end

-- Lua 5.4.4 and older forget to close the closing value of a generic `for`
-- that is left by `break` when the loop's variable is captured.
local closes_for
do
  local chunk = load [[
    local closed = false
    local value = setmetatable({}, {__close = function() closed = true end})
    for k in next, {1}, nil, value do local f = function() return k end break end
    return closed]]
  local ok, closed = pcall(chunk)
  closes_for = ok and closed
end

local function iterator(job)
  if closes_for then return job, nil, nil, job end
  return job
end

function Pool:imap(f, xs, ...)
  return iterator(core.map(start(self, "imap", f, xs, ...)))
end

function Pool:imap_unordered(f, xs, ...)
  return iterator(core.map(start(self, "imap_unordered", f, xs, ...)))
end

---- one item ---------------------------------------------------------------------

local function check_table(v, what, level)
  if v ~= nil and type(v) ~= "table" then
    error(("bad %s: a table is expected, not a %s"):format(what, type(v)), level + 1)
  end
end

local function check_arguments(args, kwargs, opts)
  check_table(args, "args", 4)
  check_table(kwargs, "kwargs", 4)
  if type(opts) ~= "function" then check_table(opts, "opts", 4) end
end

local function prepare(self, f, args, kwargs, opts, error_callback)
  check_open(self)
  local text, label, keep = define(self, f, 3)
  check_arguments(args, kwargs, opts)
  local o
  if opts ~= nil or error_callback ~= nil then
    o = options.of_call(3, opts, error_callback)
  end
  if keep then
    o = o or {}
    hold(o, keep)
  end
  return self, text, label, args, kwargs, o
end

-- A call that needs no checks goes straight; all others are prepared here.
Pool.apply = core.straight(functions.cache, prepare, true)
Pool.apply_async = core.straight(functions.cache, prepare, false)

---- scope --------------------------------------------------------------------------

function Type.__close(self, err)
  if err ~= nil then
    self:terminate()
  else
    self:close()
  end
  self:join()
end

return pool
