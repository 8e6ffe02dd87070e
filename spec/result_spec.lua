local helper = require "spec.helper"
local tidepool = require "tidepool"

local function held_pool()
  return tidepool.pool { processes = 1, scripts = "spec/fixtures/jobs.lua" }
end

---A task that waits for `gate`, on the only worker of `pool`.
local function hold(pool, gate)
  local journal <close> = helper.file()
  local handle = pool:apply_async("hold", { gate.path, journal.path })
  journal:await(1)
  return handle
end

describe("result:ready", function()
  it("is false before the end and true after it, and never blocks", function()
    local gate <close> = helper.gate()
    local pool <close> = held_pool()
    local handle = hold(pool, gate)

    assert.is_false(helper.within(5, handle.ready, handle))
    gate:open()

    helper.eventually(function() return handle:ready() end)
    assert.is_true(handle:ready())
    assert.equal("released", handle:get(0))
  end)
end)

describe("result:successful", function()
  it("raises for an unfinished task", function()
    local gate <close> = helper.gate()
    local pool <close> = held_pool()
    local handle = hold(pool, gate)

    local text = helper.refusal(function() handle:successful() end)

    assert.truthy(text:find("not ready", 1, true), text)
    gate:open()
  end)

  it("is true for a value and false for an error", function()
    local pool <close> = held_pool()
    local good = pool:apply_async("echo", { nil, n = 1 })
    local bad = pool:apply_async("fail", { "oops" })
    good:wait()
    bad:wait()

    assert.is_true(good:successful())
    assert.is_false(bad:successful())
  end)
end)

describe("result:wait", function()
  it("returns when the task has finished, also by an error", function()
    local pool <close> = held_pool()
    local good = pool:apply_async("double", { 4 })
    local bad = pool:apply_async("fail", { "oops" })

    good:wait()
    bad:wait(20)

    assert.is_true(good:ready())
    assert.is_true(bad:ready())
  end)

  it("returns at its limit and raises nothing", function()
    local gate <close> = helper.gate()
    local pool <close> = held_pool()
    local handle = hold(pool, gate)

    local start = tidepool.now()
    helper.within(5, handle.wait, handle, 0.05)

    assert.is_true(tidepool.now() - start >= 0.05)
    assert.is_false(handle:ready())
    helper.within(5, handle.wait, handle, 0)
    gate:open()
  end)
end)

describe("result:get", function()
  it("gives the same values each time", function()
    local pool <close> = held_pool()
    local handle = pool:apply_async("echo", { 1, nil, "x", nil, n = 4 })

    for _ = 1, 3 do
      assert.same({ 1, nil, "x", nil, n = 4 }, table.pack(handle:get()))
    end
  end)

  it("gives the columns of a map", function()
    local pool <close> = held_pool()

    local first, second = pool:map_async("echo", function() return nil end):get()
    assert.same({ n = 0 }, first)
    assert.is_nil(second)
    first, second = pool:starmap_async("echo", { { 1, 2 }, { 3, 4 } }):get()
    assert.same({ { 1, 3, n = 2 }, 2, 4 }, { first, second[1], second[2] })
  end)

  it("raises the error of a failed task each time", function()
    local pool <close> = held_pool()
    local handle = pool:apply_async("fail", { { code = 7 } })

    for _ = 1, 3 do
      local err = helper.failure(handle.get, handle)
      assert.equal("error", err.kind)
      assert.same({ code = 7 }, err.value)
    end
  end)

  it("raises a timeout at its limit and gives the value later", function()
    local gate <close> = helper.gate()
    local pool <close> = held_pool()
    local handle = hold(pool, gate)

    local start = tidepool.now()
    local err = helper.within(5, helper.failure, handle.get, handle, 0.05)

    assert.equal("timeout", err.kind)
    assert.is_true(tidepool.now() - start >= 0.05)
    assert.is_false(handle:ready())
    gate:open()
    assert.equal("released", handle:get(20))
  end)

  it("is a poll with the limit 0", function()
    local gate <close> = helper.gate()
    local pool <close> = held_pool()
    local handle = hold(pool, gate)

    assert.equal("timeout", helper.within(5, helper.failure, handle.get, handle, 0).kind)
    gate:open()
    handle:wait()

    assert.equal("released", handle:get(0))
  end)

  it("takes nil and infinity for no limit", function()
    local pool <close> = held_pool()

    assert.equal(2, pool:apply_async("double", { 1 }):get(nil))
    assert.equal(2, pool:apply_async("double", { 1 }):get(math.huge))
    assert.equal(2, pool:apply_async("double", { 1 }):get(1e308))
  end)

  it("refuses a limit that is negative, NaN or no number", function()
    local pool <close> = held_pool()
    local handle = pool:apply_async("double", { 1 })

    for _, limit in ipairs { -1, -0.001, 0 / 0, -math.huge, "soon", {}, true } do
      helper.refusal(function() handle:get(limit) end)
      helper.refusal(function() handle:wait(limit) end)
    end
    assert.equal(2, handle:get())
  end)

  it("tells its own timeout from an error that a task raises", function()
    local pool <close> = held_pool()

    local err = helper.failure(function() pool:apply("fail", { { kind = "timeout" } }) end)

    assert.equal("error", err.kind)
  end)

  it("raises instead of blocking after terminate", function()
    local gate <close> = helper.gate()
    local pool = held_pool()
    local running = hold(pool, gate)
    local queued = pool:apply_async("double", { 1 })

    pool:terminate()

    assert.equal("terminated", helper.within(10, helper.failure, running.get, running).kind)
    assert.equal("terminated", helper.within(10, helper.failure, queued.get, queued).kind)
    pool:join()
    assert.equal("terminated", helper.failure(queued.get, queued).kind)
  end)

  it("gives each handle of a terminated pool an error of its own", function()
    local gate <close> = helper.gate()
    local pool = held_pool()
    local first = hold(pool, gate)
    local second = pool:apply_async("double", { 1 })
    pool:terminate()
    pool:join()

    local one, other = helper.failure(first.get, first), helper.failure(second.get, second)

    assert.is_false(rawequal(one, other))
  end)
end)

describe("tostring(result)", function()
  it("shows pending, running, done and failed", function()
    local gate <close> = helper.gate()
    local pool <close> = held_pool()
    local running = hold(pool, gate)
    local pending_one = pool:apply_async("fail", { "oops" })

    assert.truthy(tostring(pending_one):find("pending", 1, true), tostring(pending_one))
    assert.truthy(tostring(running):find("running", 1, true), tostring(running))
    gate:open()
    running:wait()
    pending_one:wait()
    assert.truthy(tostring(running):find("done", 1, true), tostring(running))
    assert.truthy(tostring(pending_one):find("failed", 1, true), tostring(pending_one))
  end)
end)

describe("a result", function()
  it("can be collected after it was consumed", function()
    local pool <close> = tidepool.pool(2)
    local kept = setmetatable({}, { __mode = "k" })

    for i = 1, 20 do
      local handle = pool:apply_async(function(x) return { x } end, { i })
      kept[handle], kept[handle:get()] = true, true
    end
    collectgarbage()
    collectgarbage()

    assert.is_nil(next(kept))
  end)

  it("outlives its pool", function()
    local function double(x) return 2 * x end
    local function fail() error("no luck", 0) end
    local value, failure
    do
      local pool <close> = tidepool.pool(1)
      value, failure = pool:apply_async(double, { 21 }), pool:apply_async(fail)
    end
    collectgarbage()
    collectgarbage()

    assert.equal(42, value:get())
    assert.is_true(value:wait(0) and value:ready() and value:successful())
    assert.equal("tidepool.result (done)", tostring(value))
    local ok, err = pcall(failure.get, failure)
    assert.is_false(ok)
    assert.equal("no luck", err.message)
    assert.matches("^function <", err.task)
    assert.equal("tidepool.result (failed)", tostring(failure))
  end)

  it("costs the parent nothing once it is dropped", function()
    local pool <close> = tidepool.pool(2)
    local function identity(x) return x end
    local function burst(n)
      for i = 1, n do pool:apply_async(identity, { i }) end
      pool:apply(function() end)
      pool:map(function() end, { 1, 2 })
      collectgarbage()
      collectgarbage()
    end
    burst(5000)
    local lua, memory = collectgarbage("count"), helper.memory()

    for _ = 1, 4 do burst(5000) end

    assert.is_true(collectgarbage("count") - lua < 512)
    if not helper.sanitized then assert.is_true(helper.memory() - memory < 8 * 1024) end
  end)

  it("leaves its values collectable in the worker", function()
    local pool <close> = tidepool.pool(1)

    pool:apply(function(t)
      _G.kept = setmetatable({ t }, { __mode = "v" })
      return t
    end, { { 1 } })

    assert.is_true(pool:apply(function()
      collectgarbage()
      collectgarbage()
      return _G.kept[1] == nil
    end))
  end)
end)
