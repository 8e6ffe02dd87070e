-- A function sent before went again as it was, although an upvalue had changed
-- from 1 to 1.0; one under a field with a dot ended the program; and one with a
-- second name in _G had, now and then, that one, which no worker knows.

local tidepool = require "tidepool"

describe("a function that was sent before", function()
  it("goes anew when an upvalue is another number", function()
    local pool <close> = tidepool.pool(1)
    local x = 1
    local function kind() return math.type(x), 1 / x end

    assert.same({ "integer", 1.0 }, { pool:apply(kind) })
    x = 1.0
    assert.same({ "float", 1.0 }, { pool:apply(kind) })
    x = 0.0
    assert.equal(math.huge, select(2, pool:apply(kind)))
    x = -0.0
    assert.equal(-math.huge, select(2, pool:apply(kind)))
  end)

  it("goes anew when the value of a tagged upvalue has changed", function()
    local pool <close> = tidepool.pool(1)
    local tagged = tidepool.codec.tag(1000, { 1 })
    local function first() return tagged.value[1] end

    assert.equal(1, pool:apply(first))
    tagged.value[1] = 2
    assert.equal(2, pool:apply(first))
  end)
end)

describe("a function of a module", function()
  it("goes by value when its field has a dot, or is empty", function()
    local pool <close> = tidepool.pool(1)
    local dotted, empty = function() return 7 end, function() return 8 end
    package.loaded["regress.dot"] = { ["a.b"] = dotted, [""] = empty }
    package.preload["regress.dot"] = function() return {} end
    finally(function() package.loaded["regress.dot"], package.preload["regress.dot"] = nil, nil end)

    for _ = 1, 3 do
      assert.equal(7, pool:apply(dotted))
      assert.equal(8, pool:apply(empty))
    end
  end)

  it("goes by a name that workers know, whatever globals the script has", function()
    local pool <close> = tidepool.pool(1)
    for i = 1, 100 do _G["regress" .. i] = string.rep end
    finally(function() for i = 1, 100 do _G["regress" .. i] = nil end end)

    assert.equal("aa", pool:apply(string.rep, { "a", 2 }))
    assert.equal("7", pool:apply(tostring, { 7 }))
  end)

  it("goes by value when the script added it to a module of Lua", function()
    local pool <close> = tidepool.pool(1)
    string.regress = function(s) return s .. "!" end -- luacheck: ignore
    finally(function() string.regress = nil end) -- luacheck: ignore

    assert.equal("hi!", pool:apply(string.regress, { "hi" })) -- luacheck: ignore
  end)
end)
