-- One stock Lua without any pool, a pcall for each item: plain.lua map n=N

local n = math.tointeger(arg[2]:match "n=(%d+)")
local function twice(x) return 2 * x + 1 end

local xs = {}
for i = 1, n do xs[i] = i end

local function say(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
  io.read()
end

say "begin"
local out = {}
for i = 1, n do
  local _, y = pcall(twice, xs[i])
  out[i] = y
end
say "end"
