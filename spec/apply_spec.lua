local helper = require "spec.helper"
local tidepool = require "tidepool"

local function count(...) return select("#", ...), ... end

local function pid() return tidepool.worker.pid end

describe("pool:apply", function()
  it("returns what the function returns", function()
    local pool <close> = tidepool.pool(2)

    assert.equal(5, pool:apply(function(a, b) return a + b end, { 2, 3 }))
  end)

  it("calls without arguments when none are given", function()
    local pool <close> = tidepool.pool(1)

    assert.equal(0, pool:apply(count))
    assert.equal(0, pool:apply(count, {}))
  end)

  it("runs in another process", function()
    local pool <close> = tidepool.pool(1)

    local worker = pool:apply(function() return tidepool.getpid() end)

    assert.equal("integer", math.type(worker))
    assert.not_equal(tidepool.getpid(), worker)
    assert.is_true(helper.alive(worker))
  end)

  it("passes named arguments as one table after the others", function()
    local pool <close> = tidepool.pool(1)
    local function f(a, b, named) return a, b, named.unit, count(a, b, named) end

    assert.same({ 1, 2, "cm", 3, 1, 2, { unit = "cm" }, n = 7 },
      table.pack(pool:apply(f, { 1, 2 }, { unit = "cm" })))
  end)

  it("passes named arguments alone", function()
    local pool <close> = tidepool.pool(1)

    assert.equal("cm", pool:apply(function(named) return named.unit end, {}, { unit = "cm" }))
    assert.equal("cm", pool:apply(function(named) return named.unit end, nil, { unit = "cm" }))
  end)

  it("takes no named argument for an option of its own", function()
    local pool <close> = tidepool.pool(1)
    local named = { timeout = 0, callback = "x", chunksize = -1, retries = "y", on_error = 1,
      priority = true, f = "f", args = "args", deadline = 0 }

    assert.same(named, pool:apply(function(t) return t end, {}, named))
  end)

  it("keeps the count and the nils of the results", function()
    local pool <close> = tidepool.pool(1)

    assert.equal(0, select("#", pool:apply(function() end)))
    assert.same({ nil, n = 1 }, table.pack(pool:apply(function() return nil end)))
    assert.same({ 1, 2, 3, n = 3 }, table.pack(pool:apply(function() return 1, 2, 3 end)))
    assert.same({ nil, 2, nil, nil, n = 4 },
      table.pack(pool:apply(function() return nil, 2, nil, nil end)))
  end)

  it("keeps the count and the nils of the arguments", function()
    local pool <close> = tidepool.pool(1)

    assert.same({ 4, nil, 2, nil, nil, n = 5 },
      table.pack(pool:apply(count, { nil, 2, nil, nil, n = 4 })))
    assert.equal(3, (pool:apply(count, { n = 3 })))
    assert.equal(1, (pool:apply(count, { 1, 2, 3, n = 1 })))
  end)

  it("keeps false", function()
    local pool <close> = tidepool.pool(1)

    assert.same({ 2, false, false, n = 3 }, table.pack(pool:apply(count, { false, false })))
  end)

  it("keeps 250 arguments and results", function()
    local pool <close> = tidepool.pool(1)
    local many = {}
    for i = 1, 250 do many[i] = i end

    local results = table.pack(pool:apply(count, many))

    assert.equal(251, results.n)
    assert.equal(250, results[1])
    assert.equal(250, results[251])
  end)

  it("runs a function again and again", function()
    local pool <close> = tidepool.pool(2)

    for i = 1, 1000 do
      assert.equal(i, pool:apply(function(x) return x end, { i }))
    end
  end)

  it("runs the next task in the same worker after a failed one", function()
    local pool <close> = tidepool.pool(1)
    local before = pool:apply(pid)

    helper.failure(function() pool:apply(function() error("oops") end) end)

    assert.equal(before, pool:apply(pid))
  end)

  it("refuses what is no function", function()
    local pool <close> = tidepool.pool(1)

    local text = helper.refusal(function() pool:apply() end)
    assert.truthy(text:find("bad task function: a nil", 1, true), text)
    helper.refusal(function() pool:apply(42) end)
    helper.refusal(function() pool:apply(true, {}) end)
  end)

  it("refuses arguments that are no table", function()
    local pool <close> = tidepool.pool(1)

    helper.refusal(function() pool:apply(pid, 42) end)
    helper.refusal(function() pool:apply(pid, {}, 42) end)
    helper.refusal(function() pool:apply(pid, {}, {}, 42) end)
  end)

  it("refuses an option it does not know by name", function()
    local pool <close> = tidepool.pool(1)

    local text = helper.refusal(function() pool:apply(pid, {}, {}, { callbak = print }) end)

    assert.truthy(text:find("callbak", 1, true), text)
  end)
end)

describe("pool:apply_async", function()
  it("returns a handle before the task has finished", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool <close> = tidepool.pool(1)

    local handle = pool:apply_async(function()
      helper.pass(path)
      return "done"
    end)

    assert.is_false(handle:ready())
    gate:open()
    assert.equal("done", handle:get(20))
  end)

  it("keeps the results apart, each as often as it is asked for", function()
    local pool <close> = tidepool.pool(3)
    local handles = {}

    for i = 1, 10 do handles[i] = pool:apply_async(function(x) return x, x * x end, { i }) end

    for _ = 1, 2 do
      for i = 1, 10 do assert.same({ i, i * i }, { handles[i]:get(20) }) end
    end
  end)

  it("leaves tasks on other workers alone when one fails", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool <close> = tidepool.pool(2)
    local slow = pool:apply_async(function()
      helper.pass(path)
      return "slow"
    end)

    helper.failure(function() pool:apply(function() error("oops") end) end)
    gate:open()

    assert.equal("slow", slow:get(20))
  end)

  it("runs tasks in the order of submission on one worker", function()
    local journal <close> = helper.file()
    local path = journal.path
    do
      local pool <close> = tidepool.pool(1)
      for i = 1, 50 do pool:apply_async(helper.note, { path, i }) end
    end

    local expected = {}
    for i = 1, 50 do expected[i] = tostring(i) end
    assert.same(expected, journal:lines())
  end)

  it("runs as many tasks at once as there are workers, and no more", function()
    local journal <close> = helper.file()
    local gate <close> = helper.gate()
    local pool <close> = tidepool.pool { processes = 3, scripts = "spec/fixtures/jobs.lua" }
    for _ = 1, 45 do pool:apply_async("hold", { gate.path, journal.path }) end

    local holding = journal:await(3)
    local pids = {}
    for _, worker in ipairs(holding) do pids[worker] = true end
    local supervisor = helper.parent(math.tointeger(tonumber(holding[1])))

    assert.equal(3, #journal:lines())
    assert.equal(3, #helper.children(supervisor))
    gate:open()
    journal:await(45)
    for _, worker in ipairs(journal:lines()) do assert.is_true(pids[worker]) end
  end)

  it("runs the task of a handle that nobody keeps", function()
    local journal <close> = helper.file()
    local pool <close> = tidepool.pool(1)

    pool:apply_async(helper.note, { journal.path, "ran" })
    collectgarbage()

    assert.same({ "ran" }, journal:await(1))
  end)

  it("starts work at once and keeps on while the parent makes no pool call", function()
    local journal <close> = helper.file()
    local pool <close> = tidepool.pool(2)

    for i = 1, 40 do pool:apply_async(helper.note, { journal.path, i }) end

    assert.equal(40, #journal:await(40))
  end)

  it("keeps the argument as it was when it was submitted", function()
    local gate <close> = helper.gate()
    local pool <close> = tidepool.pool { processes = 1, scripts = "spec/fixtures/jobs.lua" }
    local list = { 1, { 2 } }
    local blocker <close> = helper.file()
    pool:apply_async("hold", { gate.path, blocker.path })

    local handle = pool:apply_async("echo", { list })
    list[1], list[2][1] = "changed", "changed"
    gate:open()

    assert.same({ 1, { 2 } }, handle:get(20))
  end)

  it("takes 20000 tasks in a burst", function()
    local pool <close> = tidepool.pool(2)
    local handles = {}

    local function negate(x) return -x end
    for i = 1, 20000 do handles[i] = pool:apply_async(negate, { i }) end

    for i = 1, 20000 do
      if handles[i]:get() ~= -i then error("wrong result of task " .. i) end
    end
  end)
end)
