-- Stock Lua without any pool.
-- plain.lua map n=N    a pcall for each item
-- plain.lua fib n=N    the tasks dealt out evenly by hand to two processes

local case = arg[1]
local n = math.tointeger(table.concat(arg, " "):match " n=(%d+)")

local function say(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
  return io.read()
end

local function twice(x) return 2 * x + 1 end

local function fib(x)
  if x < 2 then return x end
  return fib(x - 1) + fib(x - 2)
end

local function map()
  local xs = {}
  for i = 1, n do xs[i] = i end
  say "begin"
  local out = {}
  for i = 1, n do
    local _, y = pcall(twice, xs[i])
    out[i] = y
  end
  say "end"
  return out
end

-- The work of one of two hands: the largest task left goes to the one with less.
local function share(hand)
  local xs, load, mine = {}, { 0, 0 }, {}
  for i = 1, n do xs[i] = 18 + (i - 1) * 5 % 13 end
  table.sort(xs, function(a, b) return a > b end)
  for _, x in ipairs(xs) do
    local to = load[1] <= load[2] and 1 or 2
    load[to] = load[to] + 1.618 ^ x
    if to == hand then mine[#mine + 1] = x end
  end
  return mine
end

local function both()
  local hands = {}
  say "begin"
  for hand = 1, 2 do
    hands[hand] = io.popen(("exec lua5.4 %s part%d n=%d"):format(arg[0], hand, n))
  end
  for _, pipe in ipairs(hands) do
    pipe:read "a"
    pipe:close()
  end
  say "end"
end

local function part(hand)
  for _, x in ipairs(share(hand)) do fib(x) end
end

local run = { map = map, fib = both }
function run.part1() part(1) end
function run.part2() part(2) end
run[case]()
