-- The prompt of a terminal, as far as it is Lua: runs chunks, prints results and errors,
-- looks after the pools. What is typed is read by host/editor.c, what it means is prompt.lua's.

local terminal = {}

local stdout, stderr, getenv = io.stdout, io.stderr, os.getenv
local pack, unpack, tostring, warn = table.pack, table.unpack, tostring, warn

---- surroundings ------------------------------------------------------------------------

local function is_set(name)
  local value = getenv(name)
  return value ~= nil and value ~= ""
end

local function has_colour(is_terminal)
  if is_set "NO_COLOR" then return false end
  return is_terminal or is_set "CLICOLOR_FORCE" and getenv "CLICOLOR_FORCE" ~= "0"
end

-- A file of the user below $variable, or below ~/default; nil without a home.
local function user_file(variable, default, name)
  local folder = getenv(variable) or ""
  if folder:sub(1, 1) ~= "/" then
    if not is_set "HOME" then return nil end
    folder = getenv "HOME" .. "/" .. default
  end
  return folder .. "/tidepool/" .. name
end

local function history_file()
  local path = getenv "TIDEPOOL_HISTORY"
  if path then return path ~= "" and path or nil end
  return user_file("XDG_STATE_HOME", ".local/state", "history")
end

local function run_init()
  if debug.getregistry().LUA_NOENV then return end
  local path = user_file("XDG_CONFIG_HOME", ".config", "init.lua")
  local file = path and io.open(path)
  if not file then return end
  file:close()
  dofile(path)
end

local function write_file(name, text)
  local file, message = io.open(name, "wb")
  if not file then return nil, message end
  local ok, why = file:write(text)
  local closed, why_not = file:close()
  if ok and closed then return true end
  return nil, name .. ": " .. (why or why_not)
end

---- completion ---------------------------------------------------------------------------

local function common_prefix(words)
  local first, last = words[1], words[#words]
  local n = 0
  while n < #first and first:byte(n + 1) == last:byte(n + 1) do n = n + 1 end
  while n > 0 and n < #first and first:byte(n + 1) & 0xC0 == 0x80 do n = n - 1 end
  return first:sub(1, n)
end

local MOST_LISTED = 300

-- Sorted down the columns, as ls does.
local function in_columns(words, width)
  local widest = 0
  for _, word in ipairs(words) do widest = math.max(widest, utf8.len(word) or #word) end
  local columns = math.max(1, width // (widest + 2))
  local rows = (#words + columns - 1) // columns
  local lines = {}
  for row = 1, rows do
    local line = {}
    for i = row, #words, rows do
      local word = words[i]
      line[#line + 1] = word .. (" "):rep(widest + 2 - (utf8.len(word) or #word))
    end
    lines[row] = table.concat(line):gsub(" +$", "")
  end
  return table.concat(lines, "\n")
end

local function list(words, width)
  local more = #words - MOST_LISTED
  if more <= 0 then return in_columns(words, width) end
  return ("%s\n... %d more"):format(in_columns({ unpack(words, 1, MOST_LISTED) }, width), more)
end

-- Nothing; or a text and how many bytes before the cursor it replaces; or a third: a list.
local function complete(session, text, width)
  local first, words = session:complete(text, #text)
  if not first or #words == 0 then return nil end
  local typed, prefix = #text - first + 1, common_prefix(words)
  if #words == 1 or #prefix > typed then return prefix, typed end
  return nil, nil, list(words, width)
end

---- chunks ---------------------------------------------------------------------------------

local function run(session, fresh_line, text)
  local chunk, message, warning = session:load(text)
  if warning then stderr:write(warning, "\n") end
  if not chunk then
    stderr:write(message, "\n")
    return session:entered(text, false)
  end
  pcall(session.started, session) -- from where the chunk will be called, too
  local values = pack(xpcall(chunk, function(err) return session:failure(err) end))
  session:finished()
  fresh_line()
  local ok = values[1]
  if ok then
    local shown = session:results(unpack(values, 2, values.n))
    if shown then stdout:write(shown, "\n") end
  else
    stderr:write(tostring(values[2]), "\n")
  end
  session:entered(text, ok)
end

---- pools ----------------------------------------------------------------------------------

-- fd -> pool
local function by_descriptor(pools)
  local found = {}
  for _, pool in ipairs(pools) do
    local ok, fd = pcall(pool.pollfd, pool)
    if ok then found[fd] = pool end
  end
  return found
end

---@param columns fun(): integer the width of the terminal
---@param fresh_line fun() the cursor goes to the begin of a line
---@param is_terminal boolean stderr is one, too
---@return table functions for host/session.c
function terminal.open(columns, fresh_line, is_terminal)
  local session = require "tidepool.prompt".session {
    colour = has_colour(is_terminal), width = columns, write_file = write_file,
  }
  local pools = {}
  local function watched()
    pools = by_descriptor(session:pools())
    local fds = {}
    for fd in pairs(pools) do fds[#fds + 1] = fd end
    return fds
  end
  return {
    history = history_file,
    start = function()
      warn "@on" -- else nobody hears of a callback that fails
      run_init()
    end,
    stop = function() warn "@off" end, -- that the pools are open at the end is no news
    prompt = function() return session:prompt(), session:right() end,
    is_open = function(text) return session:is_open(text) end,
    complete = function(text) return complete(session, text, columns()) end,
    run = function(text) return run(session, fresh_line, text) end,
    watched = watched,
    step = function(fd) pools[fd]:step() end,
  }
end

return terminal
