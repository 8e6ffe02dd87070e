-- Hashes every file below some folders with all processors, and checks such lists.
-- Run: tidepool scripts/hashtree.lua PATH... > list; tidepool scripts/hashtree.lua -c list
-- Prints: byte for byte what sha512sum prints for the same files sorted by name.

local tidepool = require "tidepool"
local progress = require "tidepool.progress"

local HELP = [[
usage: hashtree.lua [OPTION]... PATH...
   or: hashtree.lua [OPTION]... -c FILE

Prints the SHA-512 of every regular file below each PATH, sorted by name, in
the format of sha512sum: the same bytes as
  find PATH... -type f -print0 | LC_ALL=C sort -z | xargs -0 sha512sum
As in find, a PATH that is a symbolic link is followed if it ends in a slash.

  -a ALGORITHM       another digest than sha512: sha256, sha3-256, blake2b512 ...
  -c FILE            check the sums listed in FILE (- is standard input), as
                     sha512sum wrote them: plain, with --tag or with -z
  -j N               worker processes (default: one for each processor)
  -o FILE            write to FILE, not to standard output
  --progress=WHEN    a line on standard error: auto (if that is a terminal),
                     always or never
  --quiet            with -c, no OK lines
  --help             show this text and exit

Status: 0 if all is well; 1 if a file could not be read, changed while it was
read or has another sum, if the output could not be written, or if an option
was wrong; 130 after an interrupt.
]]

local UNIT_FILES, UNIT_BYTES = 128, 2 << 20 -- one task; a larger file is one too
local CHECK_FILES = 16 -- one task of -c, where sizes are not known
local WINDOW_FILES = 1 << 16 -- read, not printed yet
local LOOK_AHEAD = 16 -- units read for each one handed out
local RETRIES = 3 -- for files whose worker was killed
local BLOCK_BYTES = 1 << 16
local TICK_S = 0.2

---- names ------------------------------------------------------------------------

local CODES = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r" }
local BYTES = { n = "\n", r = "\r", ["\\"] = "\\" }

-- To look for single bytes is much faster than a pattern.
local function escape(name)
  if not (name:find("\\", 1, true) or name:find("\n", 1, true) or name:find("\r", 1, true)) then
    return name
  end
  return (name:gsub("[\\\n\r]", CODES))
end

-- nil: not an escaped name.
local function unescape(name)
  if name:gsub("\\[\\nr]", ""):find("\\", 1, true) then return nil end
  return (name:gsub("\\(.)", BYTES))
end

local LETTERS = { ["\a"] = "\\a", ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n", ["\v"] = "\\v",
  ["\f"] = "\\f", ["\r"] = "\\r" }

-- A name in a message: quoted where a shell would need it, as coreutils do.
local function quote(name)
  if name:find "^[%w%%+,./@_%]{}-][%w%%+,./@_%]{}#~-]*$" and not name:find "^[{}]$" then
    return name
  elseif name:find("'", 1, true) and not name:find "[^%w%%+,./@_%] ':-]" then
    return '"' .. name .. '"'
  end
  local function code(byte) return LETTERS[byte] or ("\\%03o"):format(byte:byte()) end
  local text = name:gsub("([^ -~]*)('?)([ -&(-~]*)", function(odd, tick, plain)
    local text = odd ~= "" and "'$'" .. odd:gsub(".", code) or ""
    if tick ~= "" then return text .. "'\\''" .. plain end
    return text .. (odd ~= "" and plain ~= "" and "''" or "") .. plain
  end)
  return "'" .. text .. "'"
end

local function message(...)
  return table.concat({ "tidepool", ... }, ": ") .. "\n"
end

-- Ends the program with that message.
local function fail(...)
  error({ text = message(...) }, 0)
end

---- tasks: these functions run in the workers -------------------------------------

-- The sum of a file, or nil and a message.
local function sum_of(algorithm, name)
  local sum, why = tidepool.digest.file(algorithm, name)
  if sum then return sum end
  return nil, message(quote(name), why:sub(#name + 3))
end

-- Lines for standard output, messages, number of messages.
local function hash(algorithm, names)
  local lines, failures = tidepool.digest.lines(algorithm, names)
  local messages = {}
  for i, failure in ipairs(failures) do
    messages[i] = message(quote(failure.path), failure.message)
  end
  return lines, table.concat(messages), #messages
end

local function verdict(name, word)
  if name:find("\n", 1, true) then name = "\\" .. escape(name) end
  return name .. ": " .. word .. "\n"
end

-- Like hash, then how many sums differ.
local function check(algorithm, names, sums, quiet)
  local lines, messages, differ = {}, {}, 0
  local i = 0
  for name in names:gmatch "([^\0]*)\0" do
    i = i + 1
    local sum, why = sum_of(algorithm, name)
    local ok = sum == sums[i]
    if not sum then
      messages[#messages + 1] = why
      lines[#lines + 1] = verdict(name, "FAILED open or read")
    elseif not ok or not quiet then
      lines[#lines + 1] = verdict(name, ok and "OK" or "FAILED")
    end
    if sum and not ok then differ = differ + 1 end
  end
  return table.concat(lines), table.concat(messages), #messages, differ
end

---- what to hash --------------------------------------------------------------------

local NOT_WALKED = { types = { "link", "fifo", "socket", "char", "block" }, max_depth = 1,
  onerror = function() end }

-- The set of those paths that are neither files nor folders, but links or devices.
local function others_among(paths)
  local others, seen = {}, {}
  for _, path in ipairs(paths) do
    local parent = path:match "^(.*/)[^/]+$" or ""
    if not seen[parent] and path:sub(-1) ~= "/" then
      seen[parent] = true
      for other in tidepool.files(parent == "" and "." or parent, NOT_WALKED) do
        others[parent .. other:match "[^/]*$"] = true
      end
    end
  end
  return others
end

local function least_of(heads)
  local least = heads[1]
  for i = 2, #heads do
    if heads[i].path < least.path then least = heads[i] end
  end
  return least
end

local function advance(heads, head)
  head.path, head.size = head.step()
  if head.path then return end
  for i, other in ipairs(heads) do
    if other == head then return table.remove(heads, i) end
  end
end

-- Steps through the path and size of all files below the paths, in the order of
-- their bytes. No folder is opened before its first file may be the next.
local function files_below(paths, others, onerror)
  local starts, heads, opened = { table.unpack(paths) }, {}, 0
  table.sort(starts)
  return function()
    local least
    repeat
      least = least_of(heads)
      local due = starts[opened + 1]
      local open = due and (not least or due <= least.path)
      if open then opened = opened + 1 end
      if open and not others[due] then
        heads[#heads + 1] = { step = tidepool.files(due, { sizes = "about", onerror = onerror }) }
        advance(heads, heads[#heads])
      end
    until not open
    if not least then return nil end
    local path, size = least.path, least.size
    advance(heads, least)
    return path, size
  end
end

---- what to check ---------------------------------------------------------------------

-- Steps through the records of a file: its lines or, if there are zero bytes,
-- what those end. The second value says which.
local function records(file, read_error)
  local text, at, separator = "", 1, nil
  return function()
    while true do
      local stop = separator and text:find(separator, at, true)
      if stop then
        local record = text:sub(at, stop - 1)
        at = stop + 1
        return record, separator == "\0"
      end
      local more, why = file:read(BLOCK_BYTES)
      if why then read_error() end
      if not more and at > #text then return nil end
      text, at = text:sub(at) .. (more or separator), 1
      separator = separator or (text:find("\0", 1, true) and "\0" or "\n")
    end
  end
end

-- "SUM  NAME" or, if the first such line of a list says so, "SUM NAME".
local function parse_plain(text, list)
  local sum, name = text:match "^(%x+)[ \t](.+)$"
  if not sum or #sum ~= list.digits then return nil end
  local single = #name == 1 or not name:find "^[ *]"
  if single and list.single == false then return nil end
  list.single = list.single or single
  return list.single and name or name:sub(2), sum
end

-- The name and the sum in a record; nil if it is improperly formatted.
local function parse(record, list)
  local slash, rest = record:match "^[ \t]*(\\?)(.*)$"
  local name, sum = rest:match(list.tagged)
  if not name then name, sum = parse_plain(rest, list) end
  if not name or #sum ~= list.digits then return nil end
  if slash ~= "" then name = unescape(name) end
  return name, sum:lower()
end

local function plain_line(record, zero)
  return zero and record or (record:gsub("\r$", ""))
end

-- Steps through name, size (not known: 0) and sum of the files in a list, and
-- counts in it what is no such line.
local function files_listed(list)
  local step = records(list.file, function() fail(list.name, "read error") end)
  return function()
    for record, zero in step do
      local line = plain_line(record, zero)
      if line ~= "" and line:sub(1, 1) ~= "#" then
        local name, sum = parse(line, list)
        if name then return name, 0, sum end
        list.bad = list.bad + 1
      end
    end
  end
end

local TAGS = { blake2b512 = "BLAKE2b" } -- others: the name in capitals

local function open_list(name, algorithm)
  local file, why = io.stdin, nil
  if name ~= "-" then file, why = io.open(name, "rb") end
  if not file then fail(quote(name), why:sub(#name + 3)) end
  local tag = (TAGS[algorithm] or algorithm:upper()):gsub("%p", "%%%0")
  return {
    name = name == "-" and "'standard input'" or quote(name),
    file = file,
    tagged = "^" .. tag .. " ?%((.+)%)[ \t]*=[ \t]*(%x+)$",
    digits = #tidepool.digest.string(algorithm, ""),
    bad = 0, -- lines
  }
end

---- in which order ----------------------------------------------------------------------

-- A unit is what one task gets: neighbours in the list, or one large file. Each
-- of its names ends in a zero byte.
local function units_of(files, most)
  local name, size, sum = files()
  return function()
    if not name then return nil end
    local names, sums, bytes, n = {}, {}, 0, 0
    repeat
      n = n + 1
      names[n], sums[n], bytes = name, sum, bytes + size
      name, size, sum = files()
    until not name or n == most or bytes + size > UNIT_BYTES
    names[n + 1] = ""
    return { names = table.concat(names, "\0"), files = n, bytes = bytes, sums = sums }
  end
end

local function units_below(paths, onerror)
  local others = others_among(paths)
  if #paths > 1 or others[paths[1]] then
    return units_of(files_below(paths, others, onerror), UNIT_FILES)
  end
  local step = tidepool.files(paths[1], { batch = UNIT_FILES, batch_bytes = UNIT_BYTES,
    sizes = "about", onerror = onerror })
  return function()
    local names, files, bytes = step()
    return names and { names = names, files = files, bytes = bytes }
  end
end

-- Units come in order and leave in order. Between, at most WINDOW_FILES files
-- wait; every second unit handed out is the largest known, so that a large file
-- is not begun last, and the others go in order, so that the first can leave.
local Schedule = {}
Schedule.__index = Schedule

local function new_schedule(source)
  return setmetatable({
    source = source, dry = false, -- where units come from; whether that has ended
    units = {}, first = 1, last = 0, -- those that have not left
    next = 1, large = {}, turn = false, -- to hand out: in order, by size; whose turn
    waiting = 0, files = 0, bytes = 0, -- files here; files and bytes so far
  }, Schedule)
end

local function insert_by_size(list, unit)
  local low, high = 1, #list + 1
  while low < high do
    local middle = (low + high) // 2
    if list[middle].bytes < unit.bytes then low = middle + 1 else high = middle end
  end
  table.insert(list, low, unit)
end

-- Large units that were handed out in order are still in the list by size.
function Schedule:forget_taken()
  local large = {}
  for _, unit in ipairs(self.large) do
    if not unit.taken then large[#large + 1] = unit end
  end
  self.large = large
end

function Schedule:read_one()
  local unit = self.source()
  self.dry = not unit
  if self.dry then return end
  self.last = self.last + 1
  self.units[self.last] = unit
  self.waiting = self.waiting + unit.files
  self.files, self.bytes = self.files + unit.files, self.bytes + unit.bytes
  if unit.bytes > UNIT_BYTES then insert_by_size(self.large, unit) end
  if #self.large > 2 * (self.last - self.first) + 64 then self:forget_taken() end
end

function Schedule:largest()
  local unit
  repeat
    unit = table.remove(self.large)
  until not unit or not unit.taken
  return unit
end

function Schedule:next_in_order()
  self.next = math.max(self.next, self.first)
  while self.next <= self.last and self.units[self.next].taken do self.next = self.next + 1 end
  return self.units[self.next]
end

function Schedule:read_ahead()
  for _ = 1, LOOK_AHEAD do
    if not self.dry and self.waiting < WINDOW_FILES then self:read_one() end
  end
end

-- The unit to hand out now; nil when all that may be read was handed out.
function Schedule:take()
  self:read_ahead()
  self.turn = not self.turn
  local unit = self.turn and self:largest() or self:next_in_order()
  if unit then unit.taken = true end
  return unit
end

-- The first unit, if it is done: it leaves.
function Schedule:leave()
  local unit = self.units[self.first]
  if not unit or not unit.done then return nil end
  self.units[self.first] = nil
  self.first = self.first + 1
  self.waiting = self.waiting - unit.files
  return unit
end

function Schedule:is_empty()
  return self.dry and self.first > self.last
end

---- the run -----------------------------------------------------------------------------

-- A run: options, schedule, progress line, file to write to, and what was done.
local Run = {}
Run.__index = Run

function Run:complain(text)
  self.line:clear()
  io.stderr:write(text)
end

function Run:is_on_terminal()
  if self.on_terminal == nil then
    self.on_terminal = not self.output and os.execute "test -t 1" or false
  end
  return self.on_terminal
end

function Run:print(text)
  if text == "" then return end
  if self.line.drawn and self:is_on_terminal() then self.line:clear() end
  local ok, why = self.out:write(text)
  if not ok then fail(self.output and quote(self.output) or "write error", why) end
end

local function plural(n, one, many)
  return ("%d %s"):format(n, n == 1 and one or many)
end

function Run:describe()
  local all, seconds, more = self.schedule, self.line:elapsed(), self.schedule.dry and "" or "+"
  local parts = { ("%d/%d%s files"):format(self.files, all.files, more) }
  local done, total = self.files, all.files
  if all.bytes > 0 then
    done, total = self.bytes, all.bytes
    parts[2] = ("%s/%s%s"):format(progress.bytes(done), progress.bytes(total), more)
    parts[3] = progress.bytes(done / seconds) .. "/s"
  end
  if all.dry and done > 0 then
    parts[#parts + 1] = progress.span(seconds * (total - done) / done) .. " left"
  end
  parts[#parts + 1] = plural(self.faults + self.differ, "error", "errors")
  local workers = self.processes or tidepool.cpu_count()
  parts[#parts + 1] = ("%d busy"):format(math.min(self.in_hand, workers))
  return table.concat(parts, "  ")
end

function Run:show_progress()
  if self.line:due() then self.line:draw(self:describe()) end
end

-- What a task returned, or the error it ended with.
function Run:settle(unit, text, messages, faults, differ)
  if not text then
    local err, lines = messages, {}
    for name in unit.names:gmatch "([^\0]*)\0" do
      lines[#lines + 1] = message(quote(name), err.message)
    end
    text, messages, faults = "", table.concat(lines), #lines
  end
  unit.done, unit.text, unit.messages = true, text, messages
  self.files, self.bytes = self.files + unit.files, self.bytes + unit.bytes
  self.faults, self.differ = self.faults + faults, self.differ + (differ or 0)
  for first in self.schedule.leave, self.schedule do
    if first.messages ~= "" then self:complain(first.messages) end
    self:print(first.text)
  end
  self:show_progress()
end

local function is_timeout(err)
  return type(err) == "table" and err.kind == "timeout"
end

-- Hands out units until there is none, and settles them as they are done.
function Run:round(pool)
  local units, given = {}, 0
  local results = pool:imap_unordered(self.task, function()
    local unit = self.schedule:take()
    if not unit then return nil end
    given, self.in_hand = given + 1, self.in_hand + 1
    units[given] = unit
    return self.algorithm, unit.names, unit.sums, self.quiet
  end, { chunksize = 1, on_error = "keep" })
  local function receive(ok, i, ...)
    if ok and i then
      self.in_hand = self.in_hand - 1
      self:settle(units[i], ...)
      units[i] = nil
    elseif not ok and not is_timeout(i) then
      error(i, 0)
    end
    return not ok or i
  end
  while receive(pcall(results.next, results, TICK_S)) do self:show_progress() end
end

function Run:all()
  self.schedule:read_ahead() -- while the pool's processes make themselves ready
  local pool <close> = tidepool.pool { processes = self.processes, retries = RETRIES }
  repeat
    self:round(pool)
  until self.schedule:is_empty()
  self.line:clear()
  local finish = self.output and self.out.close or self.out.flush
  local ok, why = finish(self.out)
  if not ok then fail(self.output and quote(self.output) or "write error", why) end
end

local function warn_of(n, one, many)
  if n > 0 then io.stderr:write(message("WARNING", plural(n, one, many))) end
end

-- Both return whether all was well.

function Run:hash_files()
  local function onerror(path, why)
    self.faults = self.faults + 1
    self:complain(message(quote(path), why))
  end
  self.task = hash
  self.schedule = new_schedule(units_below(self.paths, onerror))
  self:all()
  return self.faults == 0
end

function Run:check_files()
  local list = open_list(self.list, self.algorithm)
  self.task = check
  self.schedule = new_schedule(units_of(files_listed(list), CHECK_FILES))
  self:all()
  if self.schedule.files == 0 then fail(list.name, "no properly formatted checksum lines found") end
  warn_of(list.bad, "line is improperly formatted", "lines are improperly formatted")
  warn_of(self.faults, "listed file could not be read", "listed files could not be read")
  warn_of(self.differ, "computed checksum did NOT match", "computed checksums did NOT match")
  return self.faults + self.differ == 0
end

---- the command line -----------------------------------------------------------------------

local WITH_VALUE = {
  ["-a"] = "algorithm", ["-c"] = "list", ["-j"] = "processes", ["-o"] = "output",
  ["--progress"] = "progress",
}
local ALONE = { ["--quiet"] = "quiet", ["--help"] = "help" }

local function fail_usage(text, ...)
  local hint = "Try 'hashtree.lua --help' for more information.\n"
  error({ text = message(text:format(...)) .. hint }, 0)
end

-- "-jN" and "--name=value" in their two parts.
local function split(word)
  local name, value = word:match "^(%-%-[^=]*)=(.*)$"
  if not name then name, value = word:match "^(%-[^-])(.+)$" end
  return name or word, value
end

-- Options may stand behind a PATH, too; `--` ends them.
local function read_options(words)
  local o, i = { paths = {}, algorithm = "sha512", progress = "auto" }, 1
  while i <= #words do
    local name, value = split(words[i])
    if name == "--" then
      table.move(words, i + 1, #words, #o.paths + 1, o.paths)
      break
    elseif WITH_VALUE[name] then
      if not value then i, value = i + 1, words[i + 1] end
      if not value then fail_usage("option '%s' needs a value", name) end
      o[WITH_VALUE[name]] = value
    elseif ALONE[name] and not value then
      o[ALONE[name]] = true
    elseif name:find "^%-." then
      fail_usage("unrecognized option '%s'", words[i])
    else
      table.insert(o.paths, words[i])
    end
    i = i + 1
  end
  return o
end

local PROGRESS = { auto = true, always = true, never = true }

local function check_options(o)
  if o.processes then
    local n = math.tointeger(tonumber(o.processes))
    if not n or n < 1 or n > 65535 then
      fail_usage("option '-j' needs a number from 1 to 65535, not '%s'", o.processes)
    end
    o.processes = n
  end
  if not PROGRESS[o.progress] then
    fail_usage("option '--progress' is auto, always or never, not '%s'", o.progress)
  end
  local ok, why = pcall(tidepool.digest.prefetch, o.algorithm)
  local what = tostring(why):match "%((.*)%)$"
  if not ok and what then fail_usage("option '-a': %s", what) end
  if not ok then error(why, 0) end
  if o.list and o.paths[1] then fail_usage "a PATH cannot be given with option '-c'" end
  if not o.list and not o.paths[1] then fail_usage "missing PATH" end
  if o.quiet and not o.list then
    fail_usage "the --quiet option is meaningful only when verifying checksums"
  end
end

local function open_output(name)
  if not name then return io.stdout end
  local file, why = io.open(name, "wb")
  if not file then fail(quote(name), why:sub(#name + 3)) end
  return file
end

local function main(words)
  local o = read_options(words)
  if o.help then return io.stdout:write(HELP) ~= nil end
  check_options(o)
  o.out = open_output(o.output)
  o.out:setvbuf "no" -- what is written is whole lines, many at a time
  local line <close> = progress.line(o.progress)
  o.line = line
  o.files, o.bytes, o.faults, o.differ, o.in_hand = 0, 0, 0, 0, 0
  local run = setmetatable(o, Run)
  if o.list then return run:check_files() end
  return run:hash_files()
end

local SIGNALS = { ["interrupted!"] = 130, ["terminated!"] = 143 }

local ok, result = pcall(main, arg)
if ok then os.exit(result) end
local text = type(result) == "table" and result.text or nil
local status = SIGNALS[not text and tostring(result):match "%a+!$"]
if not status then io.stderr:write(text or message(tostring(result))) end
os.exit(status or 1)
