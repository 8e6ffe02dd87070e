-- Measures Lua without a pool: ./tidepool beside lua5.4, in turn, each run in a process of its own.
-- Run: tidepool scripts/bench/lua.lua [ROUNDS] [CASE...]     (31 rounds of all cases)
-- Prints: medians of processor time (start: of elapsed time), and the median of the rounds' ratios.

local tidepool = require "tidepool"

local OURS, THEIRS = "./tidepool", "lua5.4"
local STARTS = 20 -- in a loop of one shell, which both pay

local cases = {}

function cases.fib()
  local function fib(n)
    if n < 2 then return n end
    return fib(n - 1) + fib(n - 2)
  end
  fib(26)
end

function cases.strings()
  local parts, bytes = {}, 0
  for i = 1, 20000 do parts[i] = ("%d:%s"):format(i, tostring(i * 1.5)):upper() end
  for part in table.concat(parts, ","):gmatch "[^,]+" do bytes = bytes + #part end
end

function cases.sort()
  local list, x = {}, 42
  for i = 1, 20000 do
    x = (x * 1103515245 + 12345) & 0x7fffffff
    list[i] = x
  end
  table.sort(list)
  table.sort(list, function(a, b) return a > b end)
end

function cases.objects()
  local Point = {}
  Point.__index = Point
  function Point.add(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, Point) end
  local sum, step = setmetatable({ x = 0, y = 0 }, Point), setmetatable({ x = 1, y = 2 }, Point)
  for _ = 1, 100000 do sum = sum:add(step) end
end

---- in the measured process -------------------------------------------------------------

if arg[1] == "--run" then
  local begin = os.clock()
  cases[arg[2]]()
  print(os.clock() - begin)
  return
end

---- in the measuring one ----------------------------------------------------------------

local function start_time(program)
  local begin = tidepool.now()
  os.execute(("for i in %s; do %s -e ''; done"):format(("1 "):rep(STARTS), program))
  return (tidepool.now() - begin) / STARTS
end

local function run_time(program, name)
  local command = ("LUA_CPATH='./?.so;;' %s %s --run %s"):format(program, arg[0], name)
  local pipe = assert(io.popen(command))
  local seconds = pipe:read "n"
  pipe:close()
  return assert(seconds, "the program did not end well")
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function measure(name, rounds)
  local ours, theirs, ratios = {}, {}, {}
  local time = name == "start" and start_time or run_time
  for i = 1, rounds do
    ours[i], theirs[i] = time(OURS, name), time(THEIRS, name)
    ratios[i] = ours[i] / theirs[i]
  end
  local ratio, goal = median(ratios), name == "start" and 1.1 or 1.0
  print(("%-8s %9.2f ms %9.2f ms %8.2f  <= %.1f  %s"):format(name, median(ours) * 1e3,
    median(theirs) * 1e3, ratio, goal, ratio <= goal and "PASS" or "below"))
end

local rounds = math.tointeger(tonumber(arg[1] or nil))
local names = { table.unpack(arg, rounds and 2 or 1) }
print(("%-8s %12s %12s %8s  goal"):format("", OURS, THEIRS, "ratio"))
for _, name in ipairs(names[1] and names or { "start", "fib", "strings", "sort", "objects" }) do
  measure(name, rounds or 31)
end
