-- Bytes from people who mean harm: memory, depth, and messages that end early.
local tidepool = require "tidepool"
local codec = tidepool.codec

local MOST = 96          -- bytes of memory a byte of input may cost
local CONSTANT = 200000  -- the Lua stack grows in steps

-- Bytes that decoding takes, whether it succeeds or not.
local function cost(bytes, opts)
  collectgarbage()
  collectgarbage("stop")
  local before = collectgarbage("count")
  local value = codec.try_decode(bytes, nil, opts)
  local after = collectgarbage("count")
  collectgarbage("restart")
  return (after - before) * 1024, value
end

local function array_of(item, n)
  return "\x9a" .. (">I4"):pack(n) .. item:rep(n)
end

local whole = {
  ["empty arrays"] = array_of("\x80", 100000),
  ["empty maps"] = array_of("\xa0", 100000),
  ["arrays of one"] = array_of("\x81\0", 60000),
  ["maps of one"] = array_of("\xa1\0\0", 50000),
  ["open arrays"] = array_of("\x9f\xff", 60000),
  ["integers"] = array_of("\0", 100000),
  ["nulls"] = array_of("\xf6", 100000),
  ["empty strings"] = array_of("\x60", 100000),
  ["short strings"] = array_of("\x42ab", 40000),
  ["tags"] = array_of("\xc6\0", 60000),
  ["tags on tags"] = array_of(("\xc6"):rep(900) .. "\0", 100),
  ["marks"] = array_of("\xd8\x1c\x80", 40000),
  ["big integers"] = array_of("\xc2\x40", 40000),
  ["typed arrays"] = "\xd8\x40\x5a" .. (">I4"):pack(100000) .. ("\0"):rep(100000),
  ["chunks"] = "\x5f" .. ("\x41a"):rep(50000) .. "\xff",
  ["nested arrays"] = array_of(("\x81"):rep(900) .. "\0", 100),
  ["groups of 100 tables"] = array_of("\x98\x64" .. ("\x80"):rep(100), 1000),
}

-- A few bytes that claim to be much.
local claims = {
  ["an array of 2^26"] = "\x9a\4\0\0\0",
  ["an array of 2^64 - 1"] = "\x9b" .. ("\xff"):rep(8),
  ["a map of 2^31"] = "\xba\x80\0\0\0",
  ["a map of 2^63"] = "\xbb\x80" .. ("\0"):rep(7),
  ["a map of 2^63 + 1"] = "\xbb\x80" .. ("\0"):rep(6) .. "\1\0\0\0\0",
  ["a string of 2^31 - 1"] = "\x5a\x7f\xff\xff\xff",
  ["a string of 2^64 - 1"] = "\x7b" .. ("\xff"):rep(8) .. "abc",
  ["chunks of 2^40"] = "\x5f\x5b\0\0\1\0\0\0\0\0a\xff",
  ["many marks"] = ("\xd8\x1c"):rep(1000),
  ["a typed array of 2^40"] = "\xd8\x52\x5b\0\0\1\0\0\0\0\0",
}

local samples = {
  { 1, -1000, 1.5, 1e300, "text", "\xff\xfe", true, false }, { a = { b = { c = { 1, 2, 3 } } } },
  ("x"):rep(300), { [1.5] = 1, [-1] = 2, [1000000] = { {}, {} } },
}

describe("codec.decode of hostile bytes", function()
  it("takes at most 96 bytes of memory a byte of input", function()
    for name, bytes in pairs(whole) do
      local taken, value = cost(bytes)
      assert.is_not_nil(value, name)
      assert.is_true(taken <= MOST * #bytes + CONSTANT,
        ("%s: %.1f a byte"):format(name, taken / #bytes))
    end
  end)

  it("does not believe what heads claim", function()
    for name, bytes in pairs(claims) do
      local taken, value = cost(bytes)
      assert.is_nil(value, name)
      assert.is_true(taken <= CONSTANT, ("%s: %d bytes"):format(name, taken))
      assert.is_nil(codec.check(bytes), name)
    end
  end)

  it("counts what nested heads claim together", function()
    for _, head in ipairs { "\x9a\0\1\0\0", "\xba\0\0\x80\0" } do
      local bytes = head:rep(900) .. ("\0"):rep(70000)
      assert.is_true(cost(bytes) <= MOST * #bytes + CONSTANT)
    end
  end)

  it("refuses a megabyte of nesting", function()
    for _, head in ipairs { "\x81", "\xa1\0", "\xa1", "\xc6", "\x9f", "\xbf\0", "\xd9\1\0",
      "\xd9\xd9\xf7", "\xd8\x1c\x81", "\xd8\x1b\x82", "\x5f", "\xd8\x1c" } do
      local bytes = head:rep(1000000 // #head)
      local taken, value = cost(bytes, { max_depth = 5000 })
      assert.is_nil(value)
      assert.is_true(taken <= MOST * #bytes)
      assert.is_nil(codec.check(bytes, { max_depth = 5000 }))
    end
    assert.equal("cannot decode: nested deeper than 1000 levels at offset 1000",
      select(2, codec.try_decode(("\x81"):rep(1000000))))
  end)

  it("counts tags as levels", function()
    assert.is_not_nil((codec.try_decode(("\xc6"):rep(1000) .. "\0")))
    assert.equal("cannot decode: nested deeper than 1000 levels at offset 1000",
      select(2, codec.try_decode(("\xc6"):rep(1001) .. "\0")))
  end)

  it("refuses every beginning of a message", function()
    local options = { {}, { dedupe = true }, { deterministic = true }, { magic = true } }
    for _, value in ipairs(samples) do
      for _, opts in ipairs(options) do
        local bytes = codec.encode({ value, value }, opts)
        for i = 0, #bytes - 1 do
          local back, text = codec.try_decode(bytes:sub(1, i))
          assert.is_nil(back)
          assert.matches("^cannot decode: truncated at offset %d+$", text)
          assert.equal(text, select(2, codec.check(bytes:sub(1, i))))
        end
      end
    end
  end)

  it("survives every change of one byte", function()
    for _, value in ipairs(samples) do
      local bytes = codec.encode({ value, value }, { dedupe = true })
      for i = 1, #bytes do
        for byte = 0, 255, 5 do
          local changed = bytes:sub(1, i - 1) .. string.char(byte) .. bytes:sub(i + 1)
          local back, after = codec.try_decode(changed, 1)
          if back ~= nil then
            assert.equal("number", type(after))
            assert.equal("string", type(codec.encode(back)))
          end
        end
      end
    end
  end)

  it("has a size limit on demand", function()
    assert.equal("cannot decode: more than max_bytes at offset 0",
      select(2, codec.try_decode("\x62ab", nil, { max_bytes = 2 })))
    assert.equal("ab", (codec.decode("\x62ab", nil, { max_bytes = 3 })))
  end)

  it("never takes bytecode or pointers", function()
    local chunk = string.dump(function() return 1 end)
    local code = codec.encode(chunk, { strings = "bytes" })
    local bytes = "\xd8\x1b\x83\x69lua.chunk" .. code .. "\x80"
    assert.equal("cannot decode: a tag 27 without name and value at offset 2",
      select(2, codec.try_decode(bytes)))
  end)
end)
