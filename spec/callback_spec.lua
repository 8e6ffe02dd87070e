local helper = require "spec.helper"
local tidepool = require "tidepool"

local function square(x) return x * x end

local function fail(value) error(value, 0) end

---A list and a function that appends its arguments, packed, to the list.
local function recorder()
  local calls = {}
  return calls, function(...) calls[#calls + 1] = table.pack(...) end
end

describe("callback", function()
  it("runs once, in the parent, with all values", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    local handle = pool:apply_async(function() return 1, nil, 3, nil end, nil, nil, {
      callback = function(...) record(tidepool.getpid(), ...) end,
    })
    handle:get()
    handle:get()
    handle:wait()

    assert.same({ { tidepool.getpid(), 1, nil, 3, nil, n = 5 } }, calls)
  end)

  it("has run when get returns", function()
    local pool <close> = tidepool.pool(2)

    for i = 1, 200 do
      local seen
      local handle = pool:apply_async(square, { i }, nil, { callback = function(x) seen = x end })
      assert.equal(i * i, handle:get())
      assert.equal(i * i, seen)
    end
  end)

  it("may be given in place of the options", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    pool:apply_async(square, { 3 }, nil, record):get()
    pool:map_async(square, { 1, 2 }, record):get()

    assert.same({ { 9, n = 1 }, { { 1, 4, n = 2 }, n = 1 } }, calls)
  end)

  it("does not run for a failed task", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    local handle = pool:apply_async(fail, { "oops" }, nil, { callback = record })
    handle:wait()

    assert.same({}, calls)
  end)

  it("gets the whole result of a map, once", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    pool:map_async(square, { 1, 2, 3 }, { chunksize = 1, callback = record }):get()
    pool:starmap_async(function(a, b) return a, b end, { { 1, 2 } }, { callback = record }):get()

    assert.equal(2, #calls)
    assert.same({ 1, 4, 9, n = 3 }, calls[1][1])
    assert.same({ { 1, n = 1 }, 2 }, { calls[2][1], calls[2][2][1] })
  end)

  it("gets an empty table for an empty map", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    pool:map_async(square, {}, { callback = record }):get()

    assert.same({ { { n = 0 }, n = 1 } }, calls)
  end)

  it("runs only inside calls of the pool", function()
    local journal <close> = helper.file()
    local pool <close> = tidepool.pool(1)
    local calls, record = recorder()
    local handle = pool:apply_async(helper.note, { journal.path, "ran" }, nil, record)

    journal:await(1)
    assert.same({}, calls)

    handle:wait()
    assert.equal(1, #calls)
  end)

  it("runs in join", function()
    local calls, record = recorder()
    do
      local pool <close> = tidepool.pool(2)
      for i = 1, 10 do pool:apply_async(square, { i }, nil, record) end
    end

    assert.equal(10, #calls)
  end)

  it("runs for a handle that nobody keeps", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    for _ = 1, 10 do pool:apply_async(square, { 5 }, nil, record) end
    collectgarbage()

    helper.eventually(function()
      pool:step(0)
      return #calls == 10
    end)
    assert.same({ 25, n = 1 }, calls[10])
  end)

  it("may submit more work, in a long chain", function()
    local pool <close> = tidepool.pool(2)
    local sum, depth = 0, 0
    local function again(x)
      sum, depth = sum + x, depth + 1
      if depth < 100 then pool:apply_async(square, { depth }, nil, again) end
    end

    pool:apply_async(square, { 0 }, nil, again)

    helper.eventually(function()
      pool:step(0)
      return depth == 100
    end)
    assert.equal(328350, sum)
  end)

  it("may wait for another task", function()
    local pool <close> = tidepool.pool(1)
    local seen
    local other

    local handle = pool:apply_async(square, { 2 }, nil, function()
      seen = helper.within(20, function() return other:get() end)
    end)
    other = pool:apply_async(square, { 3 })
    handle:get(20)

    assert.equal(9, seen)
  end)

  it("may close the pool", function()
    local pool = tidepool.pool(2)
    local handle = pool:apply_async(square, { 2 }, nil, function() pool:close() end)

    assert.equal(4, handle:get(20))
    helper.within(10, pool.join, pool)
  end)

  it("may terminate the pool", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool = tidepool.pool(2)
    local stuck = pool:apply_async(function() helper.pass(path) end)
    local handle = pool:apply_async(square, { 2 }, nil, function() pool:terminate() end)

    assert.equal(4, handle:get(20))
    helper.within(10, pool.join, pool)
    assert.equal("terminated", helper.failure(stuck.get, stuck).kind)
  end)

  it("may use coroutines", function()
    local pool <close> = tidepool.pool(2)
    local seen = {}
    local collect = coroutine.wrap(function(x)
      while true do
        seen[#seen + 1] = x
        x = coroutine.yield()
      end
    end)

    for i = 1, 3 do pool:apply_async(square, { i }, nil, collect):get() end

    assert.same({ 1, 4, 9 }, seen)
  end)

  it("does not break the pool when it yields", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(2)
      local values = {}
      local co = coroutine.create(function()
        local handle = pool:apply_async(function() return 1 end, nil, nil, function(x)
          coroutine.yield(x)
        end)
        values[1] = handle:get()
      end)
      while coroutine.status(co) == "suspended" do assert(coroutine.resume(co)) end
      print(values[1], pool:apply(function() return 2 end))
    ]])

    assert.equal("1\t2\n", out)
    assert.equal("", err)
    assert.equal(0, status)
  end)

  it("that raises is reported by warn, and the value is kept", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(2)
      local handle = pool:apply_async(function() return "kept" end, nil, nil, function()
        error("from the callback")
      end)
      print(handle:get(), handle:successful())
      local later = pool:map(function(x) return x end, { 1, 2, 3 })
      print(later.n)
    ]], { flags = "-W" })

    assert.equal("kept\ttrue\n3\n", out)
    assert.truthy(err:find("^Lua warning: "), err)
    assert.truthy(err:find("from the callback", 1, true), err)
    assert.equal(0, status)
  end)

  it("that raises keeps neither get, wait, join nor later results from working", function()
    local pool = tidepool.pool(2)
    local calls, record = recorder()
    local function bad() error("from the callback") end

    local handles = {}
    for i = 1, 20 do
      handles[i] = pool:apply_async(square, { i }, nil, i % 2 == 0 and record or bad)
    end
    for i = 1, 20 do assert.equal(i * i, handles[i]:get(20)) end
    local map = pool:map_async(square, { 7 }, bad)
    map:wait(20)
    pool:close()
    helper.within(10, pool.join, pool)

    assert.equal(10, #calls)
    assert.equal(49, map:get()[1])
  end)

  it("is refused when it cannot be called", function()
    local pool <close> = tidepool.pool(1)

    for _, name in ipairs { "callback", "error_callback" } do
      local text = helper.refusal(function()
        pool:apply_async(square, { 1 }, nil, { [name] = 42 })
      end)
      assert.truthy(text:find(name, 1, true), text)
    end
  end)
end)

describe("error_callback", function()
  it("runs once, in the parent, with the error", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    local handle = pool:apply_async(fail, { "oops" }, nil, {
      error_callback = function(err) record(tidepool.getpid(), err.value, err.kind) end,
    })
    helper.failure(handle.get, handle)
    helper.failure(handle.get, handle)

    assert.same({ { tidepool.getpid(), "oops", "error", n = 3 } }, calls)
  end)

  it("does not run for a value", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    pool:apply_async(square, { 2 }, nil, { error_callback = record }):get()

    assert.same({}, calls)
  end)

  it("gets the error of a map once", function()
    local pool <close> = tidepool.pool(2)
    local calls, record = recorder()

    local handle = pool:map_async(fail, { "a", "a", "a" }, { error_callback = record })
    handle:wait()

    assert.equal(1, #calls)
    assert.equal("a", calls[1][1].value)
  end)

  it("that raises does not lose the error of the task", function()
    local pool <close> = tidepool.pool(2)

    local handle = pool:apply_async(fail, { "oops" }, nil, {
      error_callback = function() error("from the callback") end,
    })

    assert.equal("oops", helper.failure(handle.get, handle).value)
    assert.equal(4, pool:apply(square, { 2 }))
  end)
end)
