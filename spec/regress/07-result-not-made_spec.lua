-- What broke the making of one item's values off spoilt the items behind it: a
-- hook of the codec, an interrupt, a stack that is full.

local tidepool = require "tidepool"

local Odd = {}

local function register()
  local codec = require("tidepool").codec
  _G.Even = codec.register("regress.Even", {}, { encode = function(v) return v.x end })
end

setup(function()
  tidepool.codec.register("regress.Even", Odd, {
    decode = function(x)
      if x % 2 == 1 then error("odd", 0) end
      return x
    end,
  })
end)

local function even(x) return setmetatable({ x = x }, _G.Even) end -- luacheck: ignore

local function list(x)
  local t = {}
  for i = 1, 20 do t[i] = x + i end
  return t
end

---Raise `value` once, when the codec calls Lua: as an interrupt would.
local function interrupt_codec(value)
  debug.sethook(function()
    if debug.getinfo(2, "S").source ~= "=codec" then return end
    debug.sethook()
    error(value, 0)
  end, "c")
end

describe("a decode hook that raises", function()
  it("fails its own item, whatever the chunks", function()
    local pool <close> = tidepool.pool { processes = 2, initializer = register }

    for chunksize = 1, 6 do
      local r = pool:map(even, { 1, 2, 3, 4, 5, 6 }, { chunksize = chunksize, on_error = "keep" })

      assert.same({ 2, 4, 6 }, { r[2], r[4], r[6] })
      for i = 1, 5, 2 do
        assert.equal("cannot decode the results: odd", r.errors[i].message)
      end
      local options = { chunksize = chunksize, on_error = "keep" }
      for i, v, err in pool:imap(even, { 1, 2, 3, 4, 5, 6 }, options) do
        assert.equal(i % 2 == 0 and i or nil, v)
        assert.equal(i % 2 == 1, err ~= nil)
      end
    end
  end)
end)

describe("an interrupt while results are made", function()
  it("costs no result of a map", function()
    local pool <close> = tidepool.pool(1)
    local handle = pool:map_async(list, { 10, 20, 30 }, 3)

    interrupt_codec "now"
    local ok, why = pcall(function() handle:get() end)

    assert.same({ false, "now" }, { ok, why })
    assert.same({ list(10), list(20), list(30), n = 3 }, handle:get())
  end)

  it("costs no result of another call", function()
    local pool <close> = tidepool.pool(1)
    local first = pool:apply_async(list, { 5 })

    interrupt_codec "now"
    local ok, why = pcall(function() pool:apply("math.abs", { -1 }) end)

    assert.same({ false, "now" }, { ok, why })
    assert.same(list(5), first:get())
  end)

  it("leaves an iterator where it was", function()
    local pool <close> = tidepool.pool(1)
    local iterator = pool:imap(list, { 10, 20, 30 }, 3)

    interrupt_codec "now"
    local ok, why = pcall(iterator)

    assert.same({ false, "now" }, { ok, why })
    for i = 1, 3 do assert.same({ i, list(10 * i) }, { iterator() }) end
  end)
end)

describe("a C stack that is full", function()
  it("is an error of the call, which does not hang", function()
    local pool <close> = tidepool.pool(1)
    local function deeper()
      local handle = pool:apply_async("math.abs", { -1 })
      repeat until handle:ready()
      string.gsub("x", "x", deeper)
    end

    local ok, why = pcall(deeper)

    assert.is_false(ok)
    assert.matches("C stack overflow", tostring(why))
    assert.equal(7, pool:apply("math.abs", { -7 }))
  end)
end)
