local helper = require "spec.helper"
local tidepool = require "tidepool"

local function square(x) return x * x end

local function sequence(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("pool:close", function()
  it("lets everything accepted run to its end", function()
    local pool = tidepool.pool(2)
    local handles = {}
    for i = 1, 50 do handles[i] = pool:apply_async(square, { i }) end
    local map = pool:map_async(square, sequence(100))

    pool:close()
    helper.within(10, pool.join, pool)

    for i = 1, 50 do assert.equal(i * i, handles[i]:get(0)) end
    assert.equal(10000, map:get(0)[100])
  end)

  it("lets 5000 tasks submitted just before run to their end", function()
    local pool = tidepool.pool(2)
    local handles = {}
    for i = 1, 5000 do handles[i] = pool:apply_async(square, { i }) end

    pool:close()
    helper.within(14, pool.join, pool)

    for i = 1, 5000 do
      if handles[i]:get(0) ~= i * i then error("wrong result of task " .. i) end
    end
  end)

  it("lets more results than any buffer holds arrive in join", function()
    local pool = tidepool.pool(2)
    local handles = {}
    for i = 1, 100 do
      handles[i] = pool:apply_async(function(x) return tostring(x):rep(1024 * 1024 // 2) end, { i })
    end

    pool:close()
    helper.within(14, pool.join, pool)

    for i = 1, 100 do assert.equal(#tostring(i) * 1024 * 1024 // 2, #handles[i]:get(0)) end
  end)

  it("refuses later work", function()
    local pool = tidepool.pool(1)
    pool:close()

    for name, input in pairs { apply = { 1 }, apply_async = { 1 }, map = { 1 }, map_async = { 1 },
      starmap = { { 1 } }, starmap_async = { { 1 } }, imap = { 1 }, imap_unordered = { 1 } } do
      assert.equal("pool is closed", helper.refusal(function() pool[name](pool, square, input) end))
    end
    pool:join()
    assert.equal("pool is closed", helper.refusal(function() pool:apply(square, { 1 }) end))
  end)

  it("may be called twice, and after terminate", function()
    local pool = tidepool.pool(1)
    pool:close()
    pool:close()
    pool:join()
    pool:close()

    pool = tidepool.pool(1)
    pool:terminate()
    pool:close()
    pool:join()
    helper.refusal(function() pool:apply(square, { 1 }) end)
  end)
end)

describe("pool:join", function()
  it("is refused before close and terminate", function()
    local pool <close> = tidepool.pool(1)

    local text = helper.refusal(function() pool:join() end)

    assert.truthy(text:find("pool is ", 1, true), text)
    assert.equal(9, pool:apply(square, { 3 }))
  end)

  it("may be called twice", function()
    local pool = tidepool.pool(1)
    pool:close()

    pool:join()
    pool:join()
  end)

  it("raises a timeout at its limit and may be called again", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool = tidepool.pool(1)
    pool:apply_async(function() helper.pass(path) end)
    pool:close()

    local err = helper.within(5, helper.failure, pool.join, pool, 0.05)
    assert.equal("timeout", err.kind)
    gate:open()

    helper.within(10, pool.join, pool, 20)
  end)

  it("refuses a limit that is negative, NaN or no number", function()
    local pool = tidepool.pool(1)
    pool:close()

    for _, limit in ipairs { -1, 0 / 0, "soon", {} } do
      helper.refusal(function() pool:join(limit) end)
    end
    pool:join(math.huge)
  end)

  it("leaves no process and no descriptor", function()
    helper.no_leaks(function()
      local pool = tidepool.pool(3)
      pool:map(square, sequence(100))
      pool:close()
      pool:join()
    end)
  end)
end)

describe("pool:terminate", function()
  it("stops at once, with ten thousand tasks in the queue", function()
    local pool = tidepool.pool(2)
    for _ = 1, 10000 do pool:apply_async(tidepool.sleep, { 60 }) end

    helper.within(10, function()
      pool:terminate()
      pool:join()
    end)
  end)

  it("stops a busy loop", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool = tidepool.pool(1)
    pool:apply_async(function()
      helper.note(path, "looping")
      while true do end -- luacheck: ignore 542
    end)
    journal:await(1)

    helper.within(10, function()
      pool:terminate()
      pool:join()
    end)
  end)

  it("makes unfinished results raise, and keeps finished ones", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool = tidepool.pool(1)
    local done = pool:apply_async(square, { 3 })
    done:wait()
    local running = pool:apply_async(function() helper.pass(path) end)
    local queued = pool:map_async(square, { 1, 2 })

    pool:terminate()
    pool:join()

    assert.equal(9, done:get())
    assert.equal("terminated", helper.failure(running.get, running).kind)
    assert.equal("terminated", helper.failure(queued.get, queued).kind)
    assert.is_true(running:ready())
    assert.is_false(running:successful())
  end)

  it("makes every later operation raise", function()
    local pool = tidepool.pool(1)
    pool:terminate()

    for name, input in pairs { apply = { 1 }, apply_async = { 1 }, map = { 1 }, map_async = { 1 },
      starmap = { { 1 } }, starmap_async = { { 1 } }, imap = { 1 }, imap_unordered = { 1 } } do
      local text = helper.refusal(function() pool[name](pool, square, input) end)
      assert.truthy(text:find("^pool is "), text)
    end
    pool:join()
  end)

  it("may be called twice and after close", function()
    local pool = tidepool.pool(1)
    pool:close()
    pool:terminate()
    pool:terminate()
    pool:join()
    pool:terminate()
  end)

  it("stops a pool that is being drained", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool = tidepool.pool(1)
    local handle = pool:apply_async(function() helper.pass(path) end)
    pool:close()

    helper.within(10, function()
      pool:terminate()
      pool:join()
    end)

    assert.equal("terminated", helper.failure(handle.get, handle).kind)
  end)

  it("leaves no process and no descriptor", function()
    helper.no_leaks(function()
      local pool = tidepool.pool(3)
      for _ = 1, 100 do pool:apply_async(tidepool.sleep, { 60 }) end
      pool:terminate()
      pool:join()
    end)
  end)

  it("needs no join to leave nothing behind", function()
    helper.no_leaks(function()
      local pool = tidepool.pool(2)
      pool:apply_async(tidepool.sleep, { 60 })
      pool:terminate()
      pool = nil -- luacheck: ignore 311
      collectgarbage()
      collectgarbage()
    end)
  end)
end)

describe("close, terminate and join", function()
  it("may follow each other in any order", function()
    local moves = { "close", "terminate", "join" }
    local seen = 0

    helper.no_leaks(function()
      for _, first in ipairs { "close", "terminate" } do
        for _, second in ipairs(moves) do
          for _, third in ipairs(moves) do
            local pool = tidepool.pool(1)
            local handle = pool:apply_async(square, { 2 })
            pool[first](pool)
            pool[second](pool)
            pool[third](pool)
            pool:join()
            assert.is_true(handle:ready())
            seen = seen + 1
          end
        end
      end
    end)

    assert.equal(18, seen)
  end)
end)

describe("local pool <close>", function()
  ---Call `body` with a pool and check that nothing of it is left.
  local function scoped(body)
    helper.no_leaks(function()
      for _ = 1, 2 do body() end
    end)
  end

  it("ends the pool at the end of the scope, by any way out", function()
    scoped(function()
      local pool <close> = tidepool.pool(1)
      pool:apply(square, { 1 })
    end)
    scoped(function()
      local pool <close> = tidepool.pool(1)
      return pool:apply(square, { 1 })
    end)
    scoped(function()
      for i = 1, 5 do
        local pool <close> = tidepool.pool(1)
        if pool:apply(square, { i }) > 0 then break end
      end
    end)
    scoped(function()
      do
        local pool <close> = tidepool.pool(1)
        if pool:apply(square, { 1 }) == 1 then goto out end
        error("not reached")
      end
      ::out::
    end)
    scoped(function()
      local ok = pcall(function()
        local pool <close> = tidepool.pool(1)
        error(pool:apply(square, { 1 }))
      end)
      assert.is_false(ok)
    end)
  end)

  it("lets accepted work finish", function()
    local handles = {}
    do
      local pool <close> = tidepool.pool(2)
      for i = 1, 20 do handles[i] = pool:apply_async(square, { i }) end
    end

    for i = 1, 20 do assert.equal(i * i, handles[i]:get(0)) end
  end)

  it("terminates when the scope ends by an error, which goes on", function()
    local problem = { "the error" }
    local handle

    local err = helper.within(10, helper.failure, function()
      local pool <close> = tidepool.pool(1)
      handle = pool:apply_async(tidepool.sleep, { 60 })
      error(problem)
    end)

    assert.equal(problem, err)
    assert.equal("terminated", helper.failure(handle.get, handle).kind)
  end)

  it("takes a pool that has ended already", function()
    do
      local pool <close> = tidepool.pool(1)
      pool:close()
      pool:join()
    end
    do
      local pool <close> = tidepool.pool(1)
      pool:terminate()
    end
  end)
end)
