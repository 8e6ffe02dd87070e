-- The examples of RFC 8949: Appendix A (values and their bytes) and F.1 (bytes to be refused).
local tidepool = require "tidepool"
local codec = tidepool.codec

local function unhex(s)
  return (s:gsub("%s+", ""):gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function hex(s)
  return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function range(n)
  local t = {}
  for i = 1, n do t[i] = i end
  return t
end

-- {hex, value}: encodes to these bytes and decodes from them.
local both = {
  { "00", 0 }, { "01", 1 }, { "0a", 10 }, { "17", 23 }, { "1818", 24 }, { "1819", 25 },
  { "1864", 100 }, { "1903e8", 1000 }, { "1a000f4240", 1000000 },
  { "1b000000e8d4a51000", 1000000000000 },
  { "20", -1 }, { "29", -10 }, { "3863", -100 }, { "3903e7", -1000 },
  { "f90000", 0.0 }, { "f98000", -0.0 }, { "f93c00", 1.0 }, { "fb3ff199999999999a", 1.1 },
  { "f93e00", 1.5 }, { "f97bff", 65504.0 }, { "fa47c35000", 100000.0 },
  { "fa7f7fffff", 3.4028234663852886e+38 }, { "fb7e37e43c8800759c", 1.0e+300 },
  { "f90001", 5.960464477539063e-8 }, { "f90400", 0.00006103515625 }, { "f9c400", -4.0 },
  { "fbc010666666666666", -4.1 }, { "f97c00", math.huge }, { "f9fc00", -math.huge },
  { "f4", false }, { "f5", true },
  { "60", "" }, { "6161", "a" }, { "6449455446", "IETF" }, { "62225c", '"\\' },
  { "62c3bc", "\u{fc}" }, { "63e6b0b4", "\u{6c34}" }, { "64f0908591", "\u{10151}" },
  { "83010203", { 1, 2, 3 } }, { "8301820203820405", { 1, { 2, 3 }, { 4, 5 } } },
  { "98190102030405060708090a0b0c0d0e0f101112131415161718181819", range(25) },
  { "a0", {} }, { "826161a161626163", { "a", { b = "c" } } },
}

-- {hex, value}: decodes to the value, and is written in another way.
local decoded = {
  { "40", "" }, { "4401020304", "\1\2\3\4" }, { "80", {} }, { "a201020304", { [1] = 2, [3] = 4 } },
  { "a26161016162820203", { a = 1, b = { 2, 3 } } },
  { "a56161614161626142616361436164614461656145",
    { a = "A", b = "B", c = "C", d = "D", e = "E" } },
  { "fa7f800000", math.huge }, { "faff800000", -math.huge },
  { "fb7ff0000000000000", math.huge }, { "fbfff0000000000000", -math.huge },
  { "5f42010243030405ff", "\1\2\3\4\5" }, { "7f657374726561646d696e67ff", "streaming" },
  { "9fff", {} }, { "9f018202039f0405ffff", { 1, { 2, 3 }, { 4, 5 } } },
  { "9f01820203820405ff", { 1, { 2, 3 }, { 4, 5 } } },
  { "83018202039f0405ff", { 1, { 2, 3 }, { 4, 5 } } },
  { "83019f0203ff820405", { 1, { 2, 3 }, { 4, 5 } } },
  { "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", range(25) },
  { "bf61610161629f0203ffff", { a = 1, b = { 2, 3 } } },
  { "826161bf61626163ff", { "a", { b = "c" } } },
  { "bf6346756ef563416d7421ff", { Fun = true, Amt = -2 } },
}

local tagged = {
  { "c074323031332d30332d32315432303a30343a30305a", 0, "2013-03-21T20:04:00Z" },
  { "c11a514b67b0", 1, 1363896240 }, { "c1fb41d452d9ec200000", 1, 1363896240.5 },
  { "d74401020304", 23, "\1\2\3\4" }, { "d818456449455446", 24, "dIETF" },
  { "d82076687474703a2f2f7777772e6578616d706c652e636f6d", 32, "http://www.example.com" },
}

-- Beyond 64 bits: hex, as a string, as a float.
local big = {
  { "1bffffffffffffffff", "18446744073709551615", 18446744073709551615.0 },
  { "c249010000000000000000", "18446744073709551616", 18446744073709551616.0 },
  { "3bffffffffffffffff", "-18446744073709551616", -18446744073709551616.0 },
  { "c349010000000000000000", "-18446744073709551617", -18446744073709551617.0 },
}

local diagnostics = {
  ["1bffffffffffffffff"] = "18446744073709551615",
  ["3bffffffffffffffff"] = "-18446744073709551616",
  ["c249010000000000000000"] = "2(h'010000000000000000')", ["f90000"] = "0.0",
  ["f98000"] = "-0.0", ["fb3ff199999999999a"] = "1.1", ["fb7e37e43c8800759c"] = "1.0e+300",
  ["f97c00"] = "Infinity", ["f97e00"] = "NaN", ["fbfff0000000000000"] = "-Infinity",
  ["f4"] = "false", ["f6"] = "null", ["f7"] = "undefined", ["f0"] = "simple(16)",
  ["f8ff"] = "simple(255)", ["c11a514b67b0"] = "1(1363896240)",
  ["d74401020304"] = "23(h'01020304')",
  ["40"] = "h''", ["60"] = '""', ["62225c"] = [["\"\\"]], ["63e6b0b4"] = '"\u{6c34}"',
  ["8301820203820405"] = "[1, [2, 3], [4, 5]]", ["a201020304"] = "{1: 2, 3: 4}",
  ["a26161016162820203"] = '{"a": 1, "b": [2, 3]}', ["9fff"] = "[_ ]",
  ["5f42010243030405ff"] = "(_ h'0102', h'030405')",
  ["7f657374726561646d696e67ff"] = '(_ "strea", "ming")',
  ["9f018202039f0405ffff"] = "[_ 1, [2, 3], [_ 4, 5]]",
  ["bf61610161629f0203ffff"] = '{_ "a": 1, "b": [_ 2, 3]}',
}

-- F.1: not well-formed. Those cut off, then the others.
local truncated = [[18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900
  fa0000 fb000000 41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203
  81 818181818181818181 8200 a1 a20102 a100 a2000000 c0 5f4100 7f6100 9f 9f0102 bf bf01020102 819f
  9f8000 9f9f9f9f9fffffffff 9f819f819f9fffffff]]
local malformed = [[1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe
  f800 f801 f818 f81f 5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff
  5f5f4100ffff 7f7f6100ffff ff 81ff 8200ff a1ff a1ff00 a100ff a20000ff 9f81ff 9f829f819f9fffffffff
  bf00ff bf000000ff 1f 3f df]]

local function equal_floats(a, b)
  return math.type(a) == math.type(b) and a == b and 1 / a == 1 / b
end

describe("RFC 8949 Appendix A", function()
  it("is what encode writes", function()
    for _, case in ipairs(both) do
      assert.equal(case[1], hex(codec.encode(case[2])))
    end
    assert.equal("f97e00", hex(codec.encode(0 / 0)))
    assert.equal("f97e00", hex(codec.encode(-(0 / 0))))
    assert.equal("f6", hex(codec.encode(nil)))
  end)

  it("is what decode reads", function()
    for _, list in ipairs { both, decoded } do
      for _, case in ipairs(list) do
        local value, next_position = codec.decode(unhex(case[1]))
        assert.same(case[2], value, case[1])
        assert.equal(#case[1] // 2 + 1, next_position)
        if type(value) == "number" then
          assert.is_true(equal_floats(case[2], value), case[1])
        end
      end
    end
  end)

  it("has NaN in three widths, null and undefined", function()
    for _, bytes in ipairs { "f97e00", "fa7fc00000", "fb7ff8000000000000" } do
      local value = codec.decode(unhex(bytes))
      assert.is_true(value ~= value)
    end
    for _, bytes in ipairs { "f6", "f7" } do
      assert.is_nil((codec.decode(unhex(bytes))))
    end
  end)

  it("has tags, which become objects and encode back", function()
    for _, case in ipairs(tagged) do
      local object = codec.decode(unhex(case[1]))
      assert.equal(case[2], object.tag)
      assert.same(case[3], object.value)
      if case[2] < 2 then assert.equal(case[1], hex(codec.encode(object))) end
    end
  end)

  it("has integers beyond 64 bits, which an option reads", function()
    for _, case in ipairs(big) do
      local bytes = unhex(case[1])
      assert.equal(case[2], (codec.decode(bytes, nil, { bigint = "string" })))
      assert.equal(case[3], (codec.decode(bytes, nil, { bigint = "float" })))
      assert.has_error(function() codec.decode(bytes) end,
        "cannot decode: an integer of more than 64 bits at offset 0")
    end
  end)

  it("has simple values without a meaning, which are refused", function()
    for _, case in ipairs { { "f0", 16 }, { "f8ff", 255 } } do
      assert.has_error(function() codec.decode(unhex(case[1])) end,
        ("cannot decode: the simple value %d at offset 0"):format(case[2]))
    end
  end)

  it("reads as diagnostic notation", function()
    for bytes, text in pairs(diagnostics) do
      assert.equal(text, codec.diag(unhex(bytes)))
    end
  end)
end)

describe("RFC 8949 F.1", function()
  it("has truncated items, which decode and check refuse", function()
    for bytes in truncated:gmatch("%x+") do
      local _, message = codec.try_decode(unhex(bytes))
      assert.matches("^cannot decode: truncated at offset %d+$", message)
      assert.equal(message, select(2, codec.check(unhex(bytes))))
    end
  end)

  it("has malformed items, which decode, check and diag refuse", function()
    for bytes in malformed:gmatch("%x+") do
      local value, message = codec.try_decode(unhex(bytes))
      assert.is_nil(value)
      assert.matches("^cannot decode: .* at offset %d+$", message)
      assert.is_nil(codec.check(unhex(bytes)), bytes)
      assert.is_false(pcall(codec.diag, unhex(bytes)), bytes)
    end
  end)
end)
