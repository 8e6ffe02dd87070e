-- The data sets a-h of the codec's benchmark: always the same values, printable text only.

local data = { names = { "a", "b", "c", "d", "e", "f", "g", "h" } }

data.titles = { a = "1 integer", b = "1000 integers", c = "1000 floats", d = "1000 records",
  e = "path, digest", f = "1 MiB string", g = "chain of 100", h = "map of 1000" }

-- What each takes in CBOR.
data.sizes = { a = 5, b = 2725, c = 9003, d = 64662, e = 149, f = 1048581, g = 1963, h = 26003 }

local LETTERS = "abcdefghijklmnopqrstuvwxyz"
local HEX = "0123456789abcdef"

-- A generator of 0 <= x < n, the same in every run.
local function dice(seed)
  local state = seed
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end
end

local function text(roll, n, letters)
  local out = {}
  for i = 1, n do
    local k = roll(#letters) + 1
    out[i] = letters:sub(k, k)
  end
  return table.concat(out)
end

local function sequence(n, make)
  local t = {}
  for i = 1, n do t[i] = make(i) end
  return t
end

-- A float that needs all its 8 bytes.
local function float(roll, n)
  return (roll(1 << 30) + roll(1 << 22) / (1 << 22) + 0.1) / (1 << 30) * n
end

local make = {}

function make.a() return 123456 end

function make.b() return sequence(1000, function(i) return i end) end

function make.c(roll) return sequence(1000, function() return float(roll, 1000) end) end

-- Tags of 4 to 8 letters out of a few; some eights are sevens, for the size in sum.
function make.d(roll)
  local words = {}
  for n = 4, 8 do words[n] = sequence(6, function() return text(roll, n, LETTERS) end) end
  local k = -1
  local function tag()
    k = k + 1
    local n = 4 + k % 5
    return words[n == 8 and k < 5 * 63 and 7 or n][roll(6) + 1]
  end
  return sequence(1000, function(i)
    return { id = i, name = ("user_%05d"):format(roll(100000)), score = float(roll, 100),
      tags = { tag(), tag(), tag() } }
  end)
end

function make.e(roll) return { "/srv/data/" .. text(roll, 70, LETTERS), text(roll, 64, HEX) } end

function make.f(roll) return text(roll, 1 << 12, LETTERS):rep(1 << 8) end

function make.g()
  local t = { v = 100, name = "leaf" }
  for i = 99, 1, -1 do t = { v = i, name = "n" .. i, child = t } end
  return t
end

function make.h(roll)
  local t = {}
  for i = 1, 1000 do t[("key_%04d"):format(i)] = text(roll, 16, HEX) end
  return t
end

---The value of a data set.
function data.get(name)
  return make[name](dice(name:byte()))
end

---Whether two values are equal, the subtypes of their numbers counted.
function data.same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b and math.type(a) == math.type(b)
  end
  for k, v in pairs(a) do
    if not data.same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

return data
