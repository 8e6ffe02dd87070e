-- Measures the pool beside its peers, in turn, and prints one table.
-- Run: tidepool scripts/bench/bench.lua [CASE...] [--name NAME] [--compare A B]; see README.md
-- Prints: medians of ours and of each peer, their ratio, and what it was to be.

local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path

local list = require "cases"
local plot = require "plot"
local results = require "results"

local HELP = [[
usage: tidepool scripts/bench/bench.lua [OPTION]... [CASE]...

Runs the CASEs (a name, or the beginning of names; default: all) from the
project's folder and prints medians, least and most of ours and each peer.

  --name NAME      keep the results in build/bench/NAME.txt, or in the file
                   NAME if that has a slash (default: last)
  --compare A B    compare two kept results (codec: of make bench-codec), exit
  --readme NAME    put that kept result, of all cases, into this folder's
                   README.md, its curves beside it, and exit; with codec that
                   of make bench-codec
  --rounds N       repeats (default: 5; some cases have their own)
  --plots DIR      where curves are drawn (default: build/bench)
  --list           the names of the cases

Status: 0; 1 if a program failed or nothing could be measured; 2 if an option
was wrong. What goals were not reached does not matter.
]]

local BUILD = "build/bench"
local ROUNDS, SECONDS = 5, 30
local SOURCES = { launch = "", ring = "", start = "$(pkg-config --cflags --libs lua5.4)",
  hashlist = "$(pkg-config --cflags --libs libcrypto)" }

local function fail(...) results.stop(1, ...) end

local function usage(...) results.stop(2, ...) end

local function shell(command, ...)
  local text = command:format(...)
  if not os.execute(text) then fail("cannot run: ", text) end
end

local function newer(file, source)
  return os.execute(("test %s -nt %s"):format(file, source))
end

local function build()
  shell("mkdir -p %s", BUILD)
  for name, flags in pairs(SOURCES) do
    local source, program = ("%s/peers/%s.c"):format(here, name), BUILD .. "/" .. name
    if not newer(program, source) then
      shell("${CC:-cc} -O2 -std=gnu11 -o %s %s %s", program, source, flags)
    end
  end
  local source, module = here .. "/peers/floor.c", BUILD .. "/floor.so"
  if not newer(module, source) then
    shell("${CC:-cc} -O2 -fPIC -shared $(pkg-config --cflags lua5.4) -o %s %s", module, source)
  end
end

-- Files of fixed contents, each of its own, and their names in a list.
local function tree_make(name, files, bytes)
  local dir = BUILD .. "/tree-" .. name
  if os.execute(("test -f %s.list"):format(dir)) then return dir end
  io.stderr:write("making ", files, " files of ", bytes, " bytes\n")
  local folders = math.min(files, 100)
  local names, block = {}, ("0123456789abcdef"):rep(math.min(bytes, 1 << 20) // 16 - 1)
  shell("mkdir -p %s && cd %s && seq -w %d | xargs mkdir -p", dir, dir, folders)
  for i = 1, files do
    local path = ("%s/%0" .. #tostring(folders) .. "d/%06d"):format(dir, (i - 1) % folders + 1, i)
    local file = assert(io.open(path, "wb"))
    for k = 1, math.max(1, bytes >> 20) do file:write(("%08d%08d"):format(i, k), block) end
    file:close()
    names[i] = path .. "\0"
  end
  table.sort(names)
  local out <close> = assert(io.open(dir .. ".list", "wb"))
  out:write(table.concat(names))
  return dir
end

---- running one program -----------------------------------------------------------------

local known, missing = {}, {}

local function available(name)
  if known[name] == nil then
    local need = list.programs[name].need
    known[name] = not need or os.execute(need .. " >/dev/null 2>&1") or false
    if not known[name] then missing[#missing + 1] = name end
  end
  return known[name]
end

local function words(args)
  local text = {}
  for key, value in pairs(args) do
    if type(key) == "string" then text[#text + 1] = key .. "=" .. value end
  end
  table.sort(text)
  return table.concat(text, " ")
end

local function command_of(case, who, args)
  local program = list.programs[who]
  local command = program[1]:gsub("%%(%u+)%%", { BUILD = BUILD, TREE = case.dir,
    CHUNK = case.chunk, BATCH = case.chunk and (case.chunk > 1 and 200 or 1) })
  if program.shell then
    command = ("sh -c '%s > /dev/null'"):format(command)
  elseif who == "fork" or who == "floor" then
    command = command .. " " .. words(args)
  else
    command = ("%s %s %s"):format(command, case.program or case[1], words(args))
  end
  return ("BENCH_DIR=%s %s/launch %d %d %s 2>%s/stderr"):format(BUILD, BUILD,
    case.seconds or SECONDS, case.busy or 0, command, BUILD)
end

-- What a program printed, as a table; "point" lines make a list.
local function run(command)
  local pipe = assert(io.popen(command))
  local out = { points = {} }
  for line in pipe:lines() do
    local x, y = line:match "^point%s+(%S+)%s+(%S+)"
    local key, value = line:match "^(%S+)%s+(%S+)"
    if x then
      out.points[#out.points + 1] = { tonumber(x), tonumber(y) }
    elseif key then
      out[key] = tonumber(value) or value
    end
  end
  pipe:close()
  return out
end

---- cases -------------------------------------------------------------------------------

-- Who takes part: ours first; their arguments are those of ours with their own.
local function entrants(case, rounds)
  local all = { { who = case.ours[1] or "ours", name = "ours", args = case.ours, rounds = rounds } }
  for _, peer in ipairs(case.peers or {}) do
    if peer.rounds ~= 0 and available(peer[1]) then
      local args = {}
      for key, value in pairs(case.ours) do args[key] = value end
      for _, key in ipairs { "n", "workers", "heap", "warm" } do
        args[key] = peer[key] or args[key]
      end
      all[#all + 1] = { who = peer[1], name = peer.as or peer[1], args = args,
        rounds = math.min(rounds, peer.rounds or rounds), goal = peer.goal, less = peer.less }
    end
  end
  return all
end

-- The last thing that a program said before it failed.
local function last_words()
  local last = ""
  for line in io.lines(BUILD .. "/stderr") do last = line end
  return last
end

local function measure(case, entrant)
  local out = run(command_of(case, entrant.who, entrant.args))
  if out.failed then
    entrant.failed = ("%s %s"):format(out.failed, last_words())
    return
  end
  local value = case.measure.value(out, entrant.args)
  local cpu = case.measure.cpu and case.measure.cpu(out, entrant.args)
  if value then table.insert(entrant.values, value) end
  if cpu then table.insert(entrant.cpus, cpu) end
end

local function case_run(case, rounds)
  rounds = math.min(case.rounds or ROUNDS, rounds or math.huge)
  if case.tree then
    case.dir = tree_make(table.unpack(case.tree))
    shell("xargs -0 cat < %s.list > /dev/null", case.dir) -- into the page cache
  end
  local all = entrants(case, rounds)
  for _, entrant in ipairs(all) do entrant.values, entrant.cpus = {}, {} end
  for round = 1, rounds do
    for _, entrant in ipairs(all) do
      if round <= entrant.rounds then measure(case, entrant) end
    end
  end
  return results.rows(case, all)
end

local function curve_run(curve)
  local all = {}
  for _, part in ipairs(curve.series) do
    if available(part[1]) then
      local args = { workers = part.workers or 2 }
      for _, key in ipairs { "n", "bytes", "us" } do args[key] = part[key] end
      local out = run(command_of({ part[3], seconds = 90 }, part[1], args))
      all[#all + 1] = { name = part[2], points = out.points }
    end
  end
  return all
end

---- the command line --------------------------------------------------------------------

local KEYS = { name = true, plots = true, readme = true, rounds = true }

local function options_read()
  local o = { cases = {}, plots = BUILD, name = "last" }
  local i = 1
  while arg[i] do
    local word = arg[i]
    if word == "--help" or word == "--list" then
      o.only = word
    elseif word == "--compare" then
      o.compare = { arg[i + 1], arg[i + 2] }
      i = i + 2
    elseif word:find "^%-%-" then
      local key = word:match "^%-%-(%a+)$"
      if not KEYS[key] then usage("unknown option ", word) end
      o[key] = arg[i + 1] or usage(word, " needs a value")
      i = i + 1
    else
      table.insert(o.cases, word)
    end
    i = i + 1
  end
  local rounds = math.tointeger(tonumber(o.rounds or 1))
  if not rounds or rounds < 1 then usage("--rounds ", o.rounds, " is not a number above 0") end
  return o
end

local function wanted(name, names)
  for _, word in ipairs(names) do
    if name == word or name:sub(1, #word + 1) == word .. "-" then return true end
  end
  return #names == 0
end

local function names_check(names)
  for _, word in ipairs(names) do
    local found = false
    for _, group in ipairs { list.cases, list.curves } do
      for _, case in ipairs(group) do found = found or wanted(case[1], { word }) end
    end
    if not found then usage("no case ", word, " (--list has all)") end
  end
end

-- Of a result that was kept before.
local function kept_file_of(name)
  local path = results.path(name)
  local file = io.open(path)
  if not file then usage(("no result is kept as %q (%s)"):format(name, path)) end
  file:close()
  return path
end

local function list_print()
  for _, group in ipairs { list.cases, list.curves } do
    for _, case in ipairs(group) do print(("%-14s %s"):format(case[1], case[2])) end
  end
end

local function compare(a, b)
  if not results.compare(kept_file_of(a), kept_file_of(b)) then
    fail(a, " and ", b, " have no case in common")
  end
end

local function readme_write(name)
  local path = kept_file_of(name)
  if name == "codec" then return results.readme(here .. "/README.md", 2, path) end
  local has, points = results.cases(path), results.points(path)
  for _, case in ipairs(list.cases) do
    if not has[case[1]] then fail(path, " lacks the case ", case[1]) end
  end
  results.readme(here .. "/README.md", 1, path)
  for _, curve in ipairs(list.curves) do
    local series = points[curve[1]]
    if series then plot.write(("%s/%s.svg"):format(here, curve[1]), curve, series) end
  end
end

local function cases_run(o)
  local out <close> = results.open(results.path(o.name))
  out:head()
  for _, case in ipairs(list.cases) do
    if wanted(case[1], o.cases) then out:case(case, case_run(case, tonumber(o.rounds))) end
  end
  for _, curve in ipairs(list.curves) do
    if wanted(curve[1], o.cases) then
      local series = curve_run(curve)
      out:curve(curve, series)
      plot.write(("%s/%s.svg"):format(o.plots, curve[1]), curve, series)
    end
  end
  for _, name in ipairs(missing) do
    out:say(("missing: %s, %s"):format(name, list.programs[name].title))
  end
  return out:summary()
end

local function main()
  local o = options_read()
  if o.only == "--help" then return io.write(HELP) end
  if o.only == "--list" then return list_print() end
  if o.compare then return compare(o.compare[1] or "", o.compare[2] or "") end
  if o.readme then return readme_write(o.readme) end
  names_check(o.cases)
  if not os.execute("test -d " .. list.folder) then
    fail("there is no ", list.folder, " below this folder")
  end
  build()
  local ok, result = pcall(cases_run, o)
  if ok then os.exit(result) end
  local why = tostring(result)
  results.stop(why:find "interrupted!$" and 130 or 1, why)
end

main()
