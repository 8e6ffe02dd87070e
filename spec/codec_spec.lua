local tidepool = require "tidepool"
local codec = tidepool.codec

local function hex(s)
  return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function round(value, opts)
  return (codec.decode(codec.encode(value, opts)))
end

local function message(...)
  local ok, text = pcall(...)
  assert(not ok, "it was accepted")
  return (text:gsub("^[^ ]-:%d+: ", ""))
end

describe("codec.encode", function()
  it("keeps integers and floats apart", function()
    assert.equal("integer", math.type(round(3)))
    assert.equal("float", math.type(round(3.0)))
    assert.equal(-math.huge, 1 / round(-0.0))
    assert.equal(math.mininteger, round(math.mininteger))
    assert.equal((1 << 53) + 1, round((1 << 53) + 1))
  end)

  it("writes the shortest float that is exact", function()
    assert.equal("f90200", hex(codec.encode(2.0 ^ -15)))
    assert.equal("f98001", hex(codec.encode(-2.0 ^ -24)))
    assert.equal("fa33000000", hex(codec.encode(2.0 ^ -25)))
    assert.equal("f903ff", hex(codec.encode(1023 * 2.0 ^ -24)))
    assert.equal("fa387fe001", hex(codec.encode((string.unpack(">f", "\x38\x7f\xe0\x01")))))
    assert.equal("fa47800000", hex(codec.encode(65536.0)))
    assert.equal("fb0000000000000001", hex(codec.encode(5e-324)))
  end)

  it("writes strings as text when they are valid UTF-8", function()
    assert.equal("62c3bc", hex(codec.encode("\xc3\xbc")))
    for _, s in ipairs { "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "abc\x80",
      ("x"):rep(100) .. "\xe2\x82", "\xe0\x80\x80", "\xf0\x80\x80\x80", "12345678\xc3" } do
      assert.equal(2, codec.encode(s):byte() >> 5, hex(s))
      assert.equal(s, round(s))
    end
    for _, s in ipairs { "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}", ("x"):rep(200) .. "\u{20ac}",
      "\xed\x9f\xbf" } do
      assert.equal(3, codec.encode(s):byte() >> 5)
    end
    assert.equal("43616263", hex(codec.encode("abc", { strings = "bytes" })))
    assert.equal("cannot encode value[1]: a string that is not UTF-8",
      message(codec.encode, { "\xff" }, { strings = "text" }))
  end)

  it("tells text from bytes at any length, wherever the fault is", function()
    local function major(text) return codec.encode(text):byte() >> 5 end
    for _, n in ipairs { 1, 3, 4, 7, 8, 15, 16, 23, 24, 63, 64, 65, 255, 8191, 8192, 20000 } do
      assert.equal(3, major(("x"):rep(n)))
      for _, i in ipairs { 1, n // 2 + 1, n } do
        local s = ("x"):rep(i - 1) .. "\xff" .. ("x"):rep(n - i)
        assert.equal(2, major(s))
        assert.equal(s, round(s))
      end
    end
    local across = ("x"):rep(8191) .. "\xc3\xbc" .. ("x"):rep(9000)
    assert.equal(3, major(across))
    assert.equal(2, major(across .. "\xc3"))
    assert.equal(across, round(across))
  end)

  it("writes a table with keys 1..n as an array, any other as a map", function()
    assert.equal("[1, 2, 3]", codec.diag(codec.encode { 1, 2, 3 }))
    assert.equal("[1, null, 3]", codec.diag(codec.encode { 1, nil, 3 }))
    assert.equal("{}", codec.diag(codec.encode {}))
    assert.equal('{1: 10, 2: 20, "x": 1}', codec.diag(codec.encode { 10, 20, x = 1 }))
    assert.equal("{1000000: 1}", codec.diag(codec.encode { [1000000] = 1 }))
    local late = {}
    late.x, late.y, late.z = 1, 2, 3
    late[1] = 10
    assert.same(late, round(late))
    local sparse = {}
    for i = 0, 40 do sparse[1 << i] = i end
    assert.same(sparse, round(sparse))
  end)

  it("does not take other keys for the holes of an array", function()
    local t = { 1, 2, 3, 4, x = 1 }
    t[2] = nil
    local inner = {}
    local message_with_both = { inner, t, inner }
    local back = round(message_with_both)
    assert.same(t, back[2])
    assert.equal(back[1], back[3])
    local keys = {}
    for i = 1, 100 do keys[i] = i end
    for i = 20, 80 do keys[i] = nil end
    for i = 1, 61 do keys["k" .. i] = i end
    assert.same(keys, round(keys))
  end)

  it("keeps keys of all kinds", function()
    local t = { [1] = "integer", ["1"] = "string", [1.5] = "float", [true] = "boolean",
      [-1] = "negative", [0] = "zero", [math.huge] = "infinite" }
    assert.same(t, round(t))
    local key = next(round { [{ 7 }] = "table" })
    assert.same({ 7 }, key)
    key = next(round { [codec.tag(9, { 1 })] = { { 2 } } })
    assert.same({ 1 }, key.value)
  end)

  it("keeps shared tables and cycles", function()
    local shared, cycle = { 1 }, {}
    cycle.me = cycle
    local back = round { shared, { shared }, cycle, [shared] = true }
    assert.equal(back[1], back[2][1])
    assert.is_true(back[back[1]])
    assert.equal(back[3], back[3].me)
    assert.equal("[28([1]), 29(0)]", codec.diag(codec.encode { shared, shared }))
    assert.equal("28([29(0)])", codec.diag(codec.encode((function()
      local t = {}
      t[1] = t
      return t
    end)())))
  end)

  it("keeps the identity of many tables", function()
    local list = {}
    for i = 1, 5000 do list[i] = { i } end
    for i = 1, 5000 do list[5000 + i] = list[(i * 7) % 5000 + 1] end
    local back = round(list)
    for i = 1, 5000 do
      assert(back[i][1] == i and back[5000 + i] == back[(i * 7) % 5000 + 1])
    end
    assert.same({ 5000 }, back[5000])
  end)

  it("marks nothing that is met once", function()
    assert.is_nil(codec.diag(codec.encode { { 1 }, { 1 }, { a = { {} } } }):find("28", 1, true))
  end)

  it("writes trees with sharing = false, and ends cycles by depth", function()
    local shared, cycle = { 1 }, {}
    cycle[1] = cycle
    assert.equal("[[1], [1]]", codec.diag(codec.encode({ shared, shared }, { sharing = false })))
    assert.matches("^cannot encode value%[1%].*%.%.%.: nested deeper than 1000 levels$",
      message(codec.encode, cycle, { sharing = false }))
  end)

  it("names what it refuses, and the way to it", function()
    local co = coroutine.create(print)
    assert.equal('cannot encode value["opts"].cb: a coroutine',
      message(codec.encode, { opts = { cb = co } }))
    assert.equal("cannot encode value: a function", message(codec.encode, print))
    assert.equal('cannot encode value[3]["a b"][1.5][true]: a userdata (FILE*)',
      message(codec.encode, { 1, 2, { ["a b"] = { [1.5] = { [true] = io.stdout } } } }))
    assert.equal([[cannot encode value["\"\\\010"]: a coroutine]],
      message(codec.encode, { ['"\\\n'] = co }))
    assert.equal('cannot encode value["' .. ("k"):rep(40) .. '..."]: a coroutine',
      message(codec.encode, { [("k"):rep(50)] = co }))
    assert.equal('cannot encode value["' .. ("\\001"):rep(21) .. '..."]: a coroutine',
      message(codec.encode, { [("\1"):rep(40)] = co }))
    assert.equal("cannot encode value: a coroutine as a table key",
      message(codec.encode, { [co] = 1 }))
    assert.equal('cannot encode value["x"]: a coroutine inside a table key',
      message(codec.encode, { x = { [{ co }] = 1 } }))
    assert.equal("cannot encode value: a light userdata as a table key",
      message(codec.encode, { [codec.null] = 1 }))
  end)

  it("takes null for a missing value", function()
    assert.equal("[1, null]", codec.diag(codec.encode { 1, codec.null }))
    assert.equal('{"x": null}', codec.diag(codec.encode { x = codec.null }))
  end)

  it("ignores metatables that are not registered", function()
    local t = setmetatable({ 1, 2 }, { __index = error, __len = error, __pairs = error })
    assert.same({ 1, 2 }, round(t))
  end)

  it("has a depth limit of 1000, or of an option", function()
    local function nest(n)
      local t = {}
      for _ = 2, n do t = { t } end
      return t
    end
    assert.equal(1000, select(2, codec.encode(nest(1000)):gsub("\x81", "")) + 1)
    assert.matches(": nested deeper than 1000 levels$", message(codec.encode, nest(1001)))
    assert.equal("cannot encode value[1][1]: nested deeper than 2 levels",
      message(codec.encode, nest(3), { max_depth = 2 }))
    local deep = codec.encode(nest(4000), { max_depth = 10000 })
    assert.equal(4000, #deep)
    assert.is_table((codec.decode(deep, nil, { max_depth = 10000 })))
  end)

  it("has a size limit on demand", function()
    assert.equal("cannot encode value: more than max_bytes",
      message(codec.encode, ("x"):rep(100), { max_bytes = 100 }))
    assert.equal(100, #codec.encode(("x"):rep(98), { max_bytes = 100 }))
  end)

  it("sorts maps by their encoded keys on demand", function()
    local opts = { deterministic = true }
    assert.equal('{1: 3, 10: 5, -1: 4, "a": 2, "b": 1, "aa": 6, true: 8, 2.5: 7}',
      codec.diag(codec.encode({ b = 1, a = 2, [1] = 3, [-1] = 4, [10] = 5, aa = 6, [2.5] = 7,
        [true] = 8 }, opts)))
    local one, two = {}, {}
    for i = 1, 100 do one[i] = i end
    for i = 100, 1, -1 do two[i] = i end
    assert.equal(codec.encode(one, opts), codec.encode(two, opts))
    assert.equal("cannot encode value: a table as a key cannot be sorted",
      message(codec.encode, { [{}] = 1 }, opts))
    assert.equal('[28({"x": [1]}), 29(0), {"k": 29(0)}]', (function()
      local t = { x = { 1 } }
      return codec.diag(codec.encode({ t, t, { k = t } }, opts))
    end)())
  end)

  it("writes references to strings on demand", function()
    local list = {}
    for i = 1, 300 do
      list[i] = { name = "name number " .. i % 200, ["long key"] = "\xff\xfe\xfd" .. i }
    end
    local plain, deduped = codec.encode(list), codec.encode(list, { dedupe = true })
    assert.is_true(#deduped < #plain * 0.7)
    assert.same(list, (codec.decode(deduped)))
    assert.equal('256(["hello", 25(0), {25(0): 25(0)}, "hi", "hi"])', codec.diag(codec.encode(
      { "hello", "hello", { hello = "hello" }, "hi", "hi" }, { dedupe = true })))
    local shared = { "shared string" }
    assert.same({ shared, shared, "shared string" },
      round({ shared, shared, "shared string" }, { dedupe = true }))
  end)

  it("writes the magic of CBOR on demand", function()
    assert.equal("d9d9f701", hex(codec.encode(1, { magic = true })))
    assert.equal(1, round(1, { magic = true }))
  end)

  it("refuses options it does not know, by name", function()
    local function refusal(opts) return message(codec.encode, 1, opts):match("%((.*)%)$") end
    assert.equal("unknown option 'foo'", refusal { foo = 1 })
    assert.equal("option names are strings, got a number", refusal { 1 })
    assert.equal("option 'sharing': boolean expected, got string", refusal { sharing = "no" })
    assert.equal("option 'strings': invalid value 'utf8'", refusal { strings = "utf8" })
    assert.equal("option 'strings': string expected, got boolean", refusal { strings = true })
    assert.equal("option 'max_depth': integer expected, got number", refusal { max_depth = 1.5 })
    assert.equal("option 'max_depth': 1 to 10000 expected, got 0", refusal { max_depth = 0 })
    assert.equal("option 'tags': integer keys and functions expected", refusal { tags = { a = 1 } })
    assert.matches("table expected, got number", refusal(7))
  end)
end)

describe("codec.decode", function()
  it("returns the next position, and refuses a rest only without one", function()
    local value, after = codec.decode("\1\2\3", 2)
    assert.equal(2, value)
    assert.equal(3, after)
    assert.equal("cannot decode: bytes after the value at offset 1",
      message(codec.decode, "\1\2\3"))
    assert.equal("cannot decode: truncated at offset 3", message(codec.decode, "\1\2\3", 4))
    assert.matches("position out of bounds", message(codec.decode, "\1\2\3", 5))
  end)

  it("drops pairs with null, keeps them with the option null", function()
    assert.same({}, (codec.decode("\xa1\x01\xf6")))
    assert.same({ codec.null }, (codec.decode("\xa1\x01\xf6", nil, { null = codec.null })))
    assert.same({ 1, false, 3 }, (codec.decode("\x83\1\xf6\3", nil, { null = false })))
  end)

  it("refuses keys that Lua does not have", function()
    for _, case in ipairs { { "\xa1\xf6\1", "null" }, { "\xa1\xf7\1", "null" },
      { "\xa1\xf9\x7e\0\1", "NaN" }, { "\xa1\xfa\x7f\xc0\0\1\1", "NaN" } } do
      local text = "cannot decode: " .. case[2] .. " as a table key at offset 1"
      assert.equal(text, message(codec.decode, case[1]))
      assert.equal(text, select(2, codec.check(case[1])))
    end
  end)

  it("knows keys again in lists of records, whatever they are", function()
    local list, long = {}, ("k"):rep(300)
    for i = 1, 60 do
      list[i] = { id = i, [""] = "x", ab = 1, ba = 2, aab = 3, ["a\0b"] = 4, [long] = i, [i] = 2.5 }
    end
    assert.same(list, round(list))
  end)

  it("knows them when tables are shared, early or late", function()
    for _, first in ipairs { 1, 30 } do
      local list = {}
      for i = 1, 40 do
        local tags = { i }
        list[i] = { id = i, tags = tags, again = i >= first and tags or nil }
      end
      local copy = round(list)
      assert.same(list, copy)
      assert.equal(copy[40].tags, copy[40].again)
    end
  end)

  it("reads many maps whose keys all differ", function()
    local list = {}
    for i = 1, 100 do list[i] = { ["a" .. i] = i, ["b" .. i] = { ["c" .. i] = i } } end
    assert.same({ list, list }, { codec.unpack(codec.pack(list, list)) })
  end)

  it("reads numbers of every length at the end of a message", function()
    for _, x in ipairs { 23, 24, 256, 65536, 1 << 32, -1, -25, math.mininteger, 0.5, 1e10, 0.1 } do
      local list = {}
      for i = 1, 20 do
        list[i] = x
        assert.same(list, round(list))
      end
      local cut = codec.encode(list):sub(1, -2)
      assert.equal(select(2, codec.check(cut)), message(codec.decode, cut))
    end
  end)

  it("takes the last of equal keys", function()
    assert.same({ a = 2 }, (codec.decode("\xa2\x61a\1\x61a\2")))
    assert.same({ 2 }, (codec.decode("\xa2\1\1\xf9\x3c\0\2")))
  end)

  it("refuses what is not in shortest form when strict", function()
    local strict = { strict = true }
    local function refusal(s) return select(2, codec.try_decode(s, nil, strict)) end
    assert.equal("cannot decode: a head longer than needed at offset 0", refusal "\x18\x01")
    assert.equal("cannot decode: a head longer than needed at offset 1", refusal "\x81\x78\x01a")
    assert.equal("cannot decode: a float longer than needed at offset 0",
      refusal "\xfa\x3f\x80\0\0")
    assert.equal("cannot decode: text that is not UTF-8 at offset 0", refusal "\x61\xff")
    assert.equal("cannot decode: text that is not UTF-8 at offset 1",
      refusal "\x7f\x61\xc3\x61\xbc\xff")
    assert.equal("cannot decode: a table key that was there before at offset 4",
      refusal "\xa2\x61a\1\x61a\2")
    local value = { 1.5, "\u{20ac}", { a = 1, [2] = -1000 }, 1e300, "\xff" }
    assert.same(value, (codec.decode(codec.encode(value), nil, strict)))
  end)

  it("reads big integers that fit", function()
    assert.equal(1, (codec.decode("\xc2\x49\0\0\0\0\0\0\0\0\1")))
    assert.equal(math.mininteger, (codec.decode("\xc3\x48\x7f\xff\xff\xff\xff\xff\xff\xff")))
    assert.equal(0, (codec.decode("\xc2\x40")))
    assert.equal(2.0 ^ 1000, (codec.decode("\xc2\x58\x7e" .. "\1" .. ("\0"):rep(125), nil,
      { bigint = "float" })))
    assert.equal("1" .. ("0"):rep(30), (codec.decode(
      "\xc2\x4d\x0c\x9f\x2c\x9c\xd0\x46\x74\xed\xea\x40\0\0\0", nil, { bigint = "string" })))
    assert.equal("cannot decode: an integer of more than 1024 bytes at offset 0",
      message(codec.decode, "\xc2\x59\x04\x01" .. ("\1"):rep(1025), nil, { bigint = "string" }))
  end)

  it("reads typed arrays", function()
    for _, case in ipairs {
      { "\xd8\x40\x43\0\1\xff", { 0, 1, 255 } }, { "\xd8\x44\x41\xff", { 255 } },
      { "\xd8\x48\x42\x80\x7f", { -128, 127 } },
      { "\xd8\x41\x44\0\1\xff\xff", { 1, 65535 } }, { "\xd8\x45\x44\1\0\xff\xff", { 1, 65535 } },
      { "\xd8\x4d\x42\xfe\xff", { -2 } }, { "\xd8\x49\x42\xff\xfe", { -2 } },
      { "\xd8\x4a\x44\xff\xff\xff\xfe", { -2 } }, { "\xd8\x46\x44\1\0\0\x80", { 0x80000001 } },
      { "\xd8\x47\x48\1\0\0\0\0\0\0\0", { 1 } }, { "\xd8\x4b\x48" .. ("\xff"):rep(8), { -1 } },
      { "\xd8\x50\x42\x3c\0", { 1.0 } }, { "\xd8\x54\x42\0\x3e", { 1.5 } },
      { "\xd8\x51\x44\x3f\xc0\0\0", { 1.5 } }, { "\xd8\x55\x44\0\0\xc0\x3f", { 1.5 } },
      { "\xd8\x52\x48" .. (">d"):pack(0.1), { 0.1 } },
      { "\xd8\x56\x48" .. ("<d"):pack(0.1), { 0.1 } },
      { "\xd8\x40\x40", {} },
    } do
      assert.same(case[2], (codec.decode(case[1])))
    end
    assert.equal("cannot decode: a typed array with an odd end at offset 0",
      message(codec.decode, "\xd8\x41\x43\0\1\xff"))
    assert.equal("cannot decode: an integer of more than 64 bits at offset 0",
      message(codec.decode, "\xd8\x43\x48" .. ("\xff"):rep(8)))
    for _, tag in ipairs { 76, 83, 87 } do
      assert.equal("cannot decode: a typed array of tag " .. tag .. " at offset 0",
        message(codec.decode, "\xd8" .. string.char(tag) .. "\x50" .. ("\0"):rep(16)))
    end
  end)

  it("hands other tags to the functions of the option tags", function()
    local opts = { tags = { [1] = function(v) return { seconds = v } end, [5] = error } }
    assert.same({ { seconds = 7 }, { seconds = 8 } }, (codec.decode("\x82\xc1\7\xc1\8", nil, opts)))
    assert.equal("cannot decode: 7 at offset 1",
      message(codec.decode, "\x81\xc5\x617", nil, opts))
  end)

  it("refuses bad references", function()
    for bytes, text in pairs {
      ["\xd8\x1d\0"] = "a reference to no mark at offset 2",
      ["\xd8\x1c\x81\xd8\x1d\1"] = "a reference to no mark at offset 5",
      ["\xd8\x1d\x20"] = "a reference that is no index at offset 2",
      ["\xd8\x1c\xd8\x1c\x80"] = "a mark on a mark at offset 2",
      ["\xd8\x1c\1"] = "a mark on a value without identity at offset 2",
      ["\xd8\x1c\x61a"] = "a mark on a value without identity at offset 2",
      ["\xd8\x1c\xd9\xd9\xf7\x80"] = "a mark on a value without identity at offset 2",
      ["\xd8\x19\0"] = "a reference to no string at offset 2",
      ["\xd9\1\0\x82\x62ab\xd8\x19\0"] = "a reference to no string at offset 9",
      ["\x82\xd9\1\0\x63abc\xd8\x19\0"] = "a reference to no string at offset 10",
    } do
      assert.equal("cannot decode: " .. text, select(2, codec.try_decode(bytes)))
      assert.equal("cannot decode: " .. text, select(2, codec.check(bytes)))
    end
  end)

  it("forgets marks with the message", function()
    assert.same({ {}, 1 }, (codec.decode "\x82\xd8\x1c\x80\1"))
    assert.equal("cannot decode: a reference to no mark at offset 2",
      message(codec.decode, "\xd8\x1d\0"))
  end)

  it("knows nested namespaces of strings", function()
    local bytes = "\xd9\1\0\x84\x63aaa\xd9\1\0\x82\x63bbb\xd8\x19\0\xd8\x19\0\x63ccc"
    assert.same({ "aaa", { "bbb", "bbb" }, "aaa", "ccc" }, (codec.decode(bytes)))
  end)
end)

describe("codec.try_decode", function()
  it("returns the value and the next position, or nil and a message", function()
    local value, after = codec.try_decode("\xf6")
    assert.is_nil(value)
    assert.equal(2, after)
    value, after = codec.try_decode("\x82\1")
    assert.is_nil(value)
    assert.equal("cannot decode: truncated at offset 0", after)
  end)
end)

describe("codec.pack and codec.unpack", function()
  it("keep several values with their count and nils", function()
    assert.equal(0, select("#", codec.unpack(codec.pack())))
    local back = table.pack(codec.unpack(codec.pack(nil, 1, nil, "x", nil)))
    assert.same({ n = 5, nil, 1, nil, "x", nil }, back)
  end)

  it("keep identity between the values", function()
    local t = {}
    local a, b = codec.unpack(codec.pack(t, { t }))
    assert.equal(a, b[1])
  end)

  it("name the argument that cannot be sent", function()
    assert.equal('cannot encode argument 2["opts"].cb: a coroutine',
      message(codec.pack, 1, { opts = { cb = coroutine.create(print) } }))
  end)

  it("refuse what is no packed list", function()
    for _, s in ipairs { "", "\1", "\xa0", "\x9f\xff" } do
      assert.equal("cannot decode: not a packed list at offset 0", message(codec.unpack, s))
    end
    assert.equal("cannot decode: bytes after the value at offset 2",
      message(codec.unpack, "\x81\1\2"))
    assert.equal("cannot decode: truncated at offset 9",
      message(codec.unpack, "\x9b\0\0\0\0\x7f\xff\xff\x00"))
  end)
end)

describe("codec.check", function()
  it("looks at a value without making it", function()
    assert.is_true(codec.check(codec.encode { 1, "x", { a = 2.5 } }))
    local value, text = codec.check("\x82\1")
    assert.is_nil(value)
    assert.equal("cannot decode: truncated at offset 0", text)
    assert.equal("cannot decode: bytes after the value at offset 1", select(2, codec.check("\1\1")))
    assert.equal("cannot decode: more than max_bytes at offset 0",
      select(2, codec.check("\1\1", { max_bytes = 1 })))
  end)
end)

describe("codec.diag", function()
  it("shows bytes for people", function()
    assert.equal('{"a": [1, 2.5, h\'ff\', null]}',
      codec.diag(codec.encode { a = { 1, 2.5, "\xff", codec.null } }))
    assert.equal([["\u0001\n"]], codec.diag(codec.encode "\1\n"))
    assert.equal("cannot decode: truncated at offset 1", message(codec.diag, "\x81"))
    assert.equal("cannot decode: nested deeper than 1000 levels at offset 1001",
      message(codec.diag, ("\x81"):rep(100000)))
  end)
end)

describe("codec.array and codec.map", function()
  it("fix how a table is written", function()
    assert.equal("[]", codec.diag(codec.encode(codec.array {})))
    assert.equal("[]", codec.diag(codec.encode(codec.array())))
    assert.equal("[1, 2]", codec.diag(codec.encode(codec.array { 1, 2, x = 3 })))
    assert.equal("{1: 1}", codec.diag(codec.encode(codec.map { 1 })))
    assert.equal("[]", codec.diag(codec.encode(codec.array(codec.map()))))
  end)

  it("refuse a table that has a metatable of its own", function()
    assert.matches("the table has a metatable", message(codec.array, setmetatable({}, {})))
  end)
end)

describe("codec.tag", function()
  it("makes an object that is written with the tag", function()
    local object = codec.tag(0, "2013-03-21")
    assert.equal(0, object.tag)
    assert.equal("2013-03-21", object.value)
    assert.is_nil(object.other)
    assert.equal("tag 0", tostring(object))
    assert.equal('0("2013-03-21")', codec.diag(codec.encode(object)))
  end)

  it("keeps the identity of the object and of what is in it", function()
    local t = {}
    local object = codec.tag(99, t)
    t.me = object
    local back = round { object, t }
    assert.equal(back[1].value, back[2])
    assert.equal(back[2].me, back[1])
  end)

  it("refuses tags that the codec writes itself", function()
    for _, tag in ipairs { 25, 27, 28, 29, 256 } do
      assert.matches("the codec writes this tag itself", message(codec.tag, tag, 1))
    end
    assert.matches("tag out of range", message(codec.tag, -1, 1))
  end)
end)

describe("codec.register", function()
  it("sends objects of a metatable by name", function()
    local Point = {}
    assert.equal(Point, codec.register("spec.Point", Point))
    local p = setmetatable({ x = 1 }, Point)
    p.me = p
    assert.equal('[27(["spec.Point", {}])]', codec.diag(codec.encode { setmetatable({}, Point) }))
    local back = round { p, p }
    assert.equal(Point, getmetatable(back[1]))
    assert.equal(back[1], back[2])
    assert.equal(back[1], back[1].me)
  end)

  it("calls hooks, once for each object", function()
    local Set, calls = {}, 0
    codec.register("spec.Set", Set, {
      encode = function(set)
        calls = calls + 1
        local list = {}
        for key in pairs(set) do list[#list + 1] = key end
        return list
      end,
      decode = function(list)
        local set = setmetatable({}, Set)
        for _, key in ipairs(list) do set[key] = true end
        return set
      end,
    })
    local set = setmetatable({ a = true }, Set)
    local back = round { set, { set } }
    assert.equal(1, calls)
    assert.same({ a = true }, back[1])
    assert.equal(Set, getmetatable(back[1]))
    assert.equal(back[1], back[2][1])
  end)

  it("reports hooks that raise, and the way to the object", function()
    local Bad = {}
    codec.register("spec.Bad", Bad, {
      encode = function(v) if v.bad then error("no way out", 0) end return 1 end,
      decode = function() error("no way in", 0) end,
    })
    assert.equal("cannot encode value[1].x: no way out", message(codec.encode,
      { { x = setmetatable({ bad = true }, Bad) } }))
    local bytes = codec.encode { setmetatable({}, Bad) }
    assert.equal("cannot decode: no way in at offset 1", message(codec.decode, bytes))
  end)

  it("survives hooks that change what is being encoded", function()
    local Evil, outer = {}, {}
    codec.register("spec.Evil", Evil, {
      encode = function()
        for i = 1, 100 do outer["new" .. i] = i end
        for key in pairs(outer) do outer[key] = nil end
        collectgarbage()
        return codec.encode { 1 }
      end,
      decode = function(v) return v end,
    })
    for i = 1, 20 do outer["key" .. i] = setmetatable({}, Evil) end
    local ok, text = pcall(codec.encode, outer)
    assert.is_true(ok or text:find("^cannot encode value") ~= nil, text)
    assert.same({ 1 }, round { 1 })
  end)

  it("refuses names that are taken or unknown", function()
    assert.matches("names that begin with 'lua.' are taken", message(codec.register, "lua.x", {}))
    assert.matches("hooks are 'encode' and 'decode'", message(codec.register, "x", {}, { foo = 1 }))
    assert.matches("option 'encode': function expected, got number",
      message(codec.register, "x", {}, { encode = 1 }))
    assert.equal('cannot decode: the type "nobody" is not registered at offset 1',
      message(codec.decode, "\x81\xd8\x1b\x82\x66nobody\1"))
    assert.equal('cannot decode: the function "nobody" is not registered at offset 17',
      message(codec.decode, "\x81\xd8\x1b\x82\x6clua.function\x66nobody"))
    assert.equal('cannot decode: the type "lua.chunk" is not registered at offset 0',
      message(codec.decode, "\xd8\x1b\x82\x69lua.chunk\x40"))
  end)

  it("replaces what a name or a metatable had before", function()
    local A, B = {}, {}
    codec.register("spec.R", A)
    codec.register("spec.R", B)
    assert.equal("{}", codec.diag(codec.encode(setmetatable({}, A))))
    assert.equal(B, getmetatable(round(setmetatable({}, B))))
    codec.register("spec.R2", B)
    assert.equal('27(["spec.R2", {}])', codec.diag(codec.encode(setmetatable({}, B))))
    assert.is_nil((codec.try_decode("\xd8\x1b\x82\x66spec.R\xa0")))
  end)
end)

describe("codec.func", function()
  it("sends a function by name", function()
    codec.func("spec.print", print)
    assert.equal(print, round { print }[1])
    assert.equal('27(["lua.function", "spec.print"])', codec.diag(codec.encode(print)))
    codec.func("spec.print", error)
    assert.equal("cannot encode value: a function", message(codec.encode, print))
    assert.equal(error, round(error))
  end)
end)
