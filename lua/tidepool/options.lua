-- The options of a pool and of its calls: checked, completed, never changed in
-- the caller's table.

local core = require "tidepool.core"
local functions = require "tidepool.functions"

local options = {}

local function fail(level, ...)
  error(string.format(...), level + 1)
end

---- checks: value -> value, or nil and what it has to be ---------------------

local function check_count(v)
  local n = math.type(v) and math.tointeger(v)
  if n and n >= 1 then return n end
  return nil, "an integer of at least 1"
end

local function check_from_zero(v)
  local n = math.type(v) and math.tointeger(v)
  if n and n >= 0 then return n end
  return nil, "an integer of at least 0"
end

local function check_processes(v)
  local n = check_count(v)
  if n and n <= 65535 then return n end
  return nil, "an integer from 1 to 65535"
end

local function check_flag(v)
  if type(v) == "boolean" then return v end
  return nil, "a boolean"
end

local function check_string(v)
  if type(v) == "string" then return v end
  return nil, "a string"
end

local function is_callable(v)
  local meta = debug.getmetatable(v)
  return type(v) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

local function check_function(v)
  if is_callable(v) then return v end
  return nil, "a function"
end

local function check_task(v)
  if type(v) == "string" or is_callable(v) then return v end
  return nil, "a function or the name of one"
end

local function check_sequence(v)
  if type(v) == "table" then return v end
  return nil, "a sequence"
end

local function check_scripts(v)
  if type(v) == "string" then return { v } end
  if type(v) ~= "table" then return nil, "a file name or a sequence of them" end
  for i, name in ipairs(v) do
    if type(name) ~= "string" then
      return nil, ("a sequence of file names (item %d is a %s)"):format(i, type(name))
    end
  end
  return v
end

local function check_on_error(v)
  if v == "raise" or v == "keep" then return v end
  return nil, '"raise" or "keep"'
end

local function check_progress(v)
  if v == true or v == false or is_callable(v) then return v end
  return nil, "true or a function"
end

local function later()
  return nil, "left out: this version does not have it"
end

local POOL = {
  processes = check_processes,
  scripts = check_scripts,
  initializer = check_task,
  initargs = check_sequence,
  finalizer = check_task,
  maxtasksperchild = check_count,
  retries = check_from_zero,
  window = check_count,
  window_bytes = check_count,
  serial = check_flag,
  name = check_string,
  max_memory = later, timeout = later, grace = later, seed = later, limits = later,
  sandbox = later,
}

local CALL = {
  chunksize = check_count,
  callback = check_function,
  error_callback = check_function,
  retries = check_from_zero,
  on_error = check_on_error,
  progress = check_progress,
  window = check_count,
  window_bytes = check_count,
  timeout = later, priority = later, deadline = later,
}

local function show(v)
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) == "number" or type(v) == "boolean" then return tostring(v) end
  return "a " .. type(v)
end

local function check(set, what, given, level)
  local checked = {}
  for name, value in pairs(given) do
    local checker = set[name]
    if not checker then fail(level + 1, "unknown %s option %s", what, show(name)) end
    local ok, wanted = checker(value)
    if ok == nil then
      fail(level + 1, "bad %s option %q: must be %s, not %s", what, name, wanted, show(value))
    end
    checked[name] = ok
  end
  return checked
end

---- pools --------------------------------------------------------------------

local function default_processes()
  return check_processes(tonumber(os.getenv "TIDEPOOL_PROCESSES" or nil)) or core.cpu_count()
end

-- pool(n), pool(n, initializer, initargs), pool{...}, pool()
local function gather(processes, initializer, initargs)
  if type(processes) == "table" then return processes end
  return { processes = processes, initializer = initializer, initargs = initargs }
end

local function read_script(name, level)
  local file, why = io.open(name, "rb")
  if not file then fail(level + 1, "cannot read script %s", why) end
  local text = file:read "a"
  file:close()
  if not text then fail(level + 1, "cannot read script %s", name) end
  local source = text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "")
  local chunk, message = load(source, "@" .. name, "t")
  if not chunk then
    local where = message:find(name, 1, true) and "" or name .. ": "
    fail(level + 1, "%s%s", where, message)
  end
  return { name = name, text = text }
end

local function read_scripts(names, level)
  local scripts = {}
  for i, name in ipairs(names) do
    scripts[i] = read_script(name, level + 1)
  end
  return scripts
end

local function define(o, what, level)
  local f = o[what]
  if f == nil then return nil end
  local ok, text = pcall(o.serial and functions.keep or functions.define, f)
  if ok then return text end
  fail(level + 1, "bad pool option %q: %s", what, tostring(text))
end

-- Loaders that cannot travel stay behind: what they load, workers cannot.
local function loaders(list, from)
  local sent = {}
  for key, f in from(list) do
    local own = type(key) == "string" and key:find "^tidepool"
    local ok, text
    if type(f) == "function" and not own and debug.getinfo(f, "S").what ~= "C" then
      ok, text = pcall(functions.define, f)
    end
    if ok then sent[type(key) == "string" and key or #sent + 1] = text end
  end
  return sent
end

local function encode_brief(o, level)
  local brief = {
    path = package.path, cpath = package.cpath, rules = core.rules(),
    scripts = read_scripts(o.scripts or {}, level + 1),
    initializer = define(o, "initializer", level + 1),
    finalizer = define(o, "finalizer", level + 1),
    initargs = o.initargs or {},
    preload = o.serial and {} or loaders(package.preload, pairs),
    searchers = o.serial and {} or loaders({ table.unpack(package.searchers, 5) }, ipairs),
  }
  local ok, text = pcall(core.codec.encode, brief, { strings = "bytes" })
  if not ok then
    local why = tostring(text):gsub("^cannot encode value%[\"initargs\"%]", "cannot send initargs")
    fail(level + 1, "%s", why)
  end
  return text
end

local function script_name()
  local script = type(arg) == "table" and arg[0]
  return type(script) == "string" and script:gsub("^.*/", "") or "lua"
end

---What core.open takes, from the arguments of tidepool.pool.
function options.of_pool(level, ...)
  local o = check(POOL, "pool", gather(...), level + 1)
  local processes = o.processes or default_processes()
  return {
    processes = o.serial and 0 or processes,
    serial = o.serial,
    kept = { o.initializer, o.finalizer },
    max_items = o.maxtasksperchild,
    window = o.window,
    window_bytes = o.window_bytes,
    retries = o.retries,
    name = o.name or script_name(),
    digests = table.concat(core.digest.fetched(), " "),
    options = encode_brief(o, level + 1),
  }
end

---- calls ---------------------------------------------------------------------

-- The last arguments of a call: chunksize or opts, callback, error_callback.
local function gather_call(first, callback, error_callback)
  local o = {}
  if type(first) == "table" and not is_callable(first) then
    for k, v in pairs(first) do o[k] = v end
  elseif is_callable(first) then
    callback, error_callback = first, callback
  else
    o.chunksize = first
  end
  if callback ~= nil then o.callback = callback end
  if error_callback ~= nil then o.error_callback = error_callback end
  return o
end

local function hooks(o)
  local progress = o.progress or nil
  if progress == true then progress = require("tidepool.progress").new() end
  if not (o.callback or o.error_callback or progress) then return nil end
  return { callback = o.callback, error_callback = o.error_callback, progress = progress }
end

---Options of one call, for apply, apply_async and core.map.
function options.of_call(level, ...)
  local o = check(CALL, "call", gather_call(...), level + 1)
  return {
    chunksize = o.chunksize,
    retries = o.retries,
    window = o.window,
    window_bytes = o.window_bytes,
    keep = o.on_error == "keep",
    is_quiet = o.progress == false,
    hooks = hooks(o),
  }
end

return options
