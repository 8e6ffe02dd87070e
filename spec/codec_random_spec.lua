-- Random values round trip exactly, here and through a second implementation (Python's cbor2).
local tidepool = require "tidepool"
local codec = tidepool.codec

local PYTHON = "/usr/bin/python3"

local SPECIAL = { 0.0, -0.0, math.huge, -math.huge, 0 / 0, 1e300, 5e-324 }

local random = math.random

local function random_integer()
  local bits = random(0, 63)
  local i = random(0) >> bits
  return random(2) == 1 and i or ~i
end

local function random_float()
  local kind = random(6)
  if kind == 1 then return random(-100, 100) / 4 end
  if kind == 2 then return (string.unpack("<f", string.pack("<I4", random(0) & 0xffffffff))) end
  if kind == 3 then return (string.unpack("<d", string.pack("<i8", random(0)))) end
  if kind == 4 then return random(0, 2047) * 2.0 ^ -24 end
  if kind == 5 then return SPECIAL[random(#SPECIAL)] end
  return random(0) + 0.0
end

local function random_string()
  local t = {}
  local most = random(20) == 1 and 300 or 10
  local lowest, highest = 97, 122
  if random(4) == 1 then lowest, highest = 0, 255 end
  for i = 1, random(0, most) do t[i] = string.char(random(lowest, highest)) end
  return random(8) == 1 and table.concat(t) .. utf8.char(random(0xa0, 0xd7ff)) or table.concat(t)
end

-- Keys that a Python dict keeps apart too: 1 and True are one key there.
local function random_key()
  local kind = random(5)
  if kind <= 3 then return random_string() end
  if kind == 4 then return random(-20, 1000) end
  return random(1, 1000) + 0.25
end

local random_table

local function random_value(depth, seen)
  local kind = random(depth > 0 and 10 or 5)
  if kind == 1 then return random_integer() end
  if kind == 2 then return random_float() end
  if kind == 3 then return random(2) == 1 end
  if kind <= 5 then return random_string() end
  if kind == 10 and #seen > 0 then return seen[random(#seen)] end
  return random_table(depth - 1, seen)
end

function random_table(depth, seen)
  local t, kind = {}, random(4)
  seen[#seen + 1] = t
  local n = depth == 0 and random(20) == 1 and 40 or random(0, 4)
  for i = 1, n do
    if kind <= 2 then t[i] = random_value(depth, seen) end
    if kind == 2 and random(5) == 1 then t[random(n)] = nil end
    if kind >= 3 then t[random_key()] = random_value(depth, seen) end
    if kind == 4 then t[#t + 1] = random_value(depth, seen) end
  end
  return t
end

local function same_scalar(a, b)
  if math.type(a) ~= math.type(b) then return false end
  return a ~= a and b ~= b or a == b and (math.type(a) ~= "float" or 1 / a == 1 / b)
end

-- Equal in contents, subtypes and identity: `twin` maps the tables of one side to the other's.
local function same(a, b, twin)
  if type(a) ~= "table" or type(b) ~= "table" then return same_scalar(a, b) end
  if twin[a] or twin[b] then return twin[a] == b and twin[b] == a end
  twin[a], twin[b] = b, a
  for key, value in next, a do
    if b[key] == nil or not same(value, b[key], twin) then return false end
  end
  for key in next, b do
    if a[key] == nil then return false end
  end
  return true
end

local function python_has_cbor2()
  return os.execute(PYTHON .. " -c 'import cbor2' 2>/dev/null") == true
end

-- Reads messages (length and bytes), writes what cbor2 makes of each.
local SCRIPT = [[
import cbor2, struct, sys
data = open(sys.argv[1], "rb").read()
out = open(sys.argv[2], "wb")
at = 0
while at < len(data):
    (size,) = struct.unpack_from("<I", data, at)
    value = cbor2.loads(data[at + 4:at + 4 + size])
    back = cbor2.dumps(value, value_sharing=True)
    out.write(struct.pack("<I", len(back)) + back)
    at += 4 + size
]]

local function through_python(messages)
  local from, to, script = os.tmpname(), os.tmpname(), os.tmpname()
  local file = assert(io.open(from, "wb"))
  for _, message in ipairs(messages) do file:write(string.pack("<s4", message)) end
  file:close()
  file = assert(io.open(script, "wb"))
  file:write(SCRIPT)
  file:close()
  local ok = os.execute(("%s %s %s %s"):format(PYTHON, script, from, to))
  local back, at = {}, 1
  file = assert(io.open(to, "rb"))
  local data = file:read("a")
  file:close()
  for _, name in ipairs { from, to, script } do os.remove(name) end
  assert(ok, "python failed")
  while at <= #data do
    back[#back + 1], at = string.unpack("<s4", data, at)
  end
  return back
end

describe("codec with random values", function()
  it("returns each of 100,000 as it was, sharing included", function()
    math.randomseed(20240607)
    for i = 1, 100000 do
      local value = random_value(random(0, 3), {})
      local bytes = codec.encode(value)
      local back = codec.decode(bytes)
      if not same(value, back, {}) or not codec.check(bytes) then
        error(("value %d became another: %s"):format(i, codec.diag(bytes)))
      end
    end
  end)

  it("returns them with every option of encode", function()
    math.randomseed(7)
    local all = { { deterministic = true }, { dedupe = true }, { strings = "bytes" },
      { deterministic = true, dedupe = true, magic = true } }
    for i = 1, 5000 do
      local value, opts = random_value(3, {}), all[i % #all + 1]
      local bytes = codec.encode(value, opts)
      assert.is_true(same(value, (codec.decode(bytes)), {}), codec.diag(bytes))
    end
  end)

  -- Within another table they go the whole way.
  it("writes and reads short tables of scalars as it does within others", function()
    for _ = 1, 20000 do
      local t, is_list = {}, random(2) == 1
      for i = 1, random(0, random(8) == 1 and 30 or 5) do
        t[is_list and i or random_key()] = random_value(random(30) == 1 and 1 or 0, {})
      end
      if random(10) == 1 then t[random(6)] = nil end
      for _, opts in ipairs { {}, { strings = "bytes" } } do
        local bytes, within = codec.encode(t, opts), codec.encode({ t }, opts)
        assert.equal(within:sub(2), bytes)
        assert.is_true(same(t, codec.decode(bytes), {}))
        assert.is_true(same(t, codec.decode(within)[1], {}))
      end
    end
  end)

  it("gives the same bytes for the same contents when deterministic", function()
    math.randomseed(8)
    for _ = 1, 3000 do
      local value = random_value(3, {})
      local bytes = codec.encode(value, { deterministic = true })
      local back = codec.decode(bytes)
      assert.equal(codec.diag(bytes), codec.diag(codec.encode(back, { deterministic = true })))
    end
  end)

  it("is read and written alike by cbor2", function()
    if not python_has_cbor2() then
      pending("python3-cbor2 is not installed")
      return
    end
    math.randomseed(9)
    local values, messages = {}, {}
    for i = 1, 3000 do
      values[i] = random_value(3, {})
      messages[i] = codec.encode(values[i])
    end
    local back = through_python(messages)
    assert.equal(#values, #back)
    for i, bytes in ipairs(back) do
      assert.is_true(same(values[i], (codec.decode(bytes)), {}), codec.diag(messages[i]))
    end
  end)

  it("has its string references read by cbor2", function()
    if not python_has_cbor2() then
      pending("python3-cbor2 is not installed")
      return
    end
    local value = {}
    for i = 1, 400 do
      value[i] = { name = "name " .. i % 300, key = ("k"):rep(i % 12), bytes = "\xff\xfe" .. i % 7 }
    end
    local back = through_python { codec.encode(value, { dedupe = true }) }
    assert.same(value, (codec.decode(back[1])))
  end)
end)
