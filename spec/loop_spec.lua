local helper = require "spec.helper"
local tidepool = require "tidepool"

local function square(x) return x * x end

describe("pool:step", function()
  it("collects what is finished, runs callbacks and never blocks", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool <close> = tidepool.pool(1)
    local seen
    pool:apply_async(function()
      helper.pass(path)
      return "done"
    end, nil, nil, function(x) seen = x end)

    helper.within(5, pool.step, pool, 0)
    assert.is_nil(seen)
    gate:open()

    helper.eventually(function()
      pool:step(0)
      return seen
    end)
    assert.equal("done", seen)
  end)

  it("waits up to its limit for something to happen", function()
    local pool <close> = tidepool.pool(1)
    local seen
    pool:apply_async(square, { 3 }, nil, function(x) seen = x end)

    while not seen do helper.within(15, pool.step, pool, 10) end

    assert.equal(9, seen)
  end)

  it("returns at its limit when nothing happens", function()
    local pool <close> = tidepool.pool(1)

    helper.within(5, pool.step, pool, 0.02)
  end)

  it("refuses a limit that is negative, NaN or no number", function()
    local pool <close> = tidepool.pool(1)

    for _, limit in ipairs { -1, 0 / 0, "soon" } do
      helper.refusal(function() pool:step(limit) end)
    end
  end)
end)

describe("pool:pollfd", function()
  it("is a descriptor that stays the same when a worker is replaced", function()
    local pool <close> = tidepool.pool(1)
    local fd = pool:pollfd()

    pcall(pool.apply, pool, function() os.exit(1) end)
    pool:apply(square, { 1 })

    assert.equal("integer", math.type(fd))
    assert.is_true(fd > 2)
    assert.equal(fd, pool:pollfd())
    assert.equal(fd, pool:getfd())
  end)

  it("is asked for reading, without a limit while none is pending", function()
    local pool <close> = tidepool.pool(1)

    assert.equal("r", pool:events())
    assert.is_nil(pool:timeout())
  end)
end)

describe("an event loop of cqueues", function()
  local found, cqueues = pcall(require, "cqueues")

  it("wakes when a task has finished", function()
    if not found then
      pending("needs cqueues")
      return
    end
    local pool <close> = tidepool.pool(2)
    local results = {}
    for i = 1, 5 do
      pool:apply_async(square, { i }, nil, function(x) results[#results + 1] = x end)
    end

    pool:step(0)
    local deadline = tidepool.now() + 10
    while #results < 5 and tidepool.now() < deadline do
      cqueues.poll(pool, 5)
      pool:step(0)
    end

    table.sort(results)
    assert.same({ 1, 4, 9, 16, 25 }, results)
  end)

  it("runs other coroutines meanwhile", function()
    if not found then
      pending("needs cqueues")
      return
    end
    local gate <close> = helper.gate()
    local path = gate.path
    local pool <close> = tidepool.pool(1)
    local loop = cqueues.new()
    local value
    loop:wrap(function()
      local handle = pool:apply_async(function()
        helper.pass(path)
        return "done"
      end)
      while not handle:ready() do
        cqueues.poll(pool, 10)
        pool:step(0)
      end
      value = handle:get(0)
    end)
    loop:wrap(function()
      cqueues.sleep(0.01)
      gate:open()
    end)

    assert.is_true(helper.within(9, loop.loop, loop))

    assert.equal("done", value)
  end)
end)

describe("an event loop of luv", function()
  it("wakes when a task has finished", function()
    local found, uv = pcall(require, "luv")
    if not found then
      pending("needs luv")
      return
    end
    local pool <close> = tidepool.pool(2)
    local results = {}
    local poll = uv.new_poll(pool:pollfd())
    local limit = uv.new_timer()
    local function stop()
      poll:stop()
      poll:close()
      limit:close()
    end
    for i = 1, 5 do
      pool:apply_async(square, { i }, nil, function(x)
        results[#results + 1] = x
        if #results == 5 then stop() end
      end)
    end

    poll:start("r", function() pool:step(0) end)
    limit:start(10000, 0, stop)
    pool:step(0)
    uv.run()

    table.sort(results)
    assert.same({ 1, 4, 9, 16, 25 }, results)
  end)
end)
