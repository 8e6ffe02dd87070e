-- A decode hook that ended the pool and joined it, or that waited when the
-- supervisor had died, waited for ever, at full speed; one that used
-- the iterator that it was called for read freed memory.

local helper = require "spec.helper"
local tidepool = require "tidepool"

local hook

local function register()
  local codec = require("tidepool").codec
  _G.Hooked = codec.register("regress.Hooked", {}, { encode = function(v) return v.x end })
end

setup(function()
  tidepool.codec.register("regress.Hooked", {}, {
    decode = function(x)
      local once = hook
      hook = nil
      if once then once() end
      return x
    end,
  })
end)

local function hooked(x) return { setmetatable({ x = x }, _G.Hooked), ("y"):rep(5000), x } end -- luacheck: ignore

local function open() return tidepool.pool { processes = 1, initializer = register } end

describe("a decode hook", function()
  it("may end the pool and join it", function()
    local pool <close> = open()
    function hook()
      pool:terminate()
      pool:join()
    end

    local err = helper.within(10, helper.failure, pool.map, pool, hooked, { 1, 2, 3 }, 3)

    assert.equal("terminated", err.kind)
  end)

  it("does not wait for a pool that is repaired when it returns", function()
    local pool <close> = open()
    local supervisor = helper.parent(helper.workers(pool, 1)[1])
    function hook()
      helper.kill(supervisor, "KILL")
      helper.eventually(function() return not helper.alive(supervisor) end)
      pool:apply("math.abs", { -1 })
    end

    local err = helper.within(10, helper.failure, pool.apply, pool, hooked, { 1 })

    assert.matches("a hook of the decoder cannot wait: the pool is repaired when it returns",
      err.message)
    assert.equal(1, pool:apply("math.abs", { -1 }))
  end)

  it("cannot use the iterator it is called for, and costs it no other item", function()
    local pool <close> = open()
    local iterator, inner = pool:imap(hooked, { 1, 2, 3 }, 3), nil
    function hook() inner = { iterator() } end

    assert.equal("the iterator was used while its result was made",
      (tostring(helper.failure(function() return (iterator()) end)):gsub("^.-:%d+: ", "")))
    assert.same({ 1, { 1, ("y"):rep(5000), 1 } }, inner)
    assert.same({ 2, { 2, ("y"):rep(5000), 2 } }, { iterator() })
    assert.same({ 3, { 3, ("y"):rep(5000), 3 } }, { iterator() })
  end)
end)

describe("the standard input of a worker", function()
  it("is empty, although the program has read ahead", function()
    local out, err, status = helper.run([[
      assert(io.read() == "first")
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      print(pool:apply(function() return io.read() end))
      print(io.read())
    ]], { input = "first\nsecond\n" })

    assert.equal("", err)
    assert.equal("nil\nsecond\n", out)
    assert.equal(0, status)
  end)
end)
