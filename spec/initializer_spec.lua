local helper = require "spec.helper"
local tidepool = require "tidepool"

describe("initializer", function()
  it("runs once in each worker, before its first task, with its arguments", function()
    local journal <close> = helper.file()
    local pool <close> = tidepool.pool {
      processes = 3,
      initializer = function(path, a, b)
        helper.note(path, tidepool.worker.pid)
        _G.got = { a, b }
      end,
      initargs = { journal.path, nil, "second", n = 3 },
    }

    local pids = helper.workers(pool, 3)
    for _ = 1, 30 do
      assert.same({ [2] = "second" }, pool:apply(function() return _G.got end))
    end

    local lines, expected = journal:lines(), {}
    for i, worker in ipairs(pids) do expected[i] = tostring(worker) end
    table.sort(lines)
    table.sort(expected)
    assert.same(expected, lines)
  end)

  it("may be given by position", function()
    local pool <close> = tidepool.pool(2, function(x, y) _G.sum = x + y end, { 40, 2 })

    assert.equal(42, pool:apply(function() return _G.sum end))
  end)

  it("may be a function of a script, by name", function()
    local script <close> = helper.file("function setup(x) state = x end\n" ..
      "function show() return state end")
    local pool <close> = tidepool.pool { processes = 1, scripts = script.path,
      initializer = "setup", initargs = { "ready" } }

    assert.equal("ready", pool:apply("show"))
  end)

  it("runs in a replacement again", function()
    local journal <close> = helper.file()
    local pool <close> = tidepool.pool { processes = 1, initializer = helper.note,
      initargs = { journal.path, "start" } }

    helper.kill(pool:apply(function() return tidepool.worker.pid end), "KILL")
    pool:apply(function() end)

    assert.same({ "start", "start" }, journal:lines())
  end)

  it("does not hold up the making of the pool", function()
    local gate <close> = helper.gate()
    local pool <close> = tidepool.pool { processes = 1, initializer = helper.pass,
      initargs = { gate.path } }

    local handle = pool:apply_async(function() return "ran" end)
    assert.is_false(handle:ready())
    gate:open()

    assert.equal("ran", handle:get(20))
  end)

  it("that fails, fails waiting and later tasks with its message and stack", function()
    local line = debug.getinfo(1, "l").currentline + 3
    local here = debug.getinfo(1, "S").short_src
    local function setup()
      error("no such database")
    end
    local pool = tidepool.pool { processes = 2, initializer = setup }

    for _ = 1, 3 do
      local err = helper.within(12, helper.failure, function() pool:apply(function() end) end)
      assert.equal("initializer", err.kind)
      assert.truthy(err.message:find("no such database", 1, true), err.message)
      assert.truthy(err.traceback:find(here .. ":" .. line, 1, true), err.traceback)
    end
    pool:terminate()
    helper.within(10, pool.join, pool)
  end)

  it("that fails leaves nothing behind", function()
    helper.no_leaks(function()
      local pool = tidepool.pool { processes = 2, initializer = error, initargs = { "no" } }
      local handle = pool:apply_async(function() end)
      helper.within(12, helper.failure, handle.get, handle)
      pool:close()
      helper.within(10, pool.join, pool)
    end)
  end)

  it("that nobody knows by that name is an error that names it", function()
    local text = tostring(helper.failure(function()
      local pool <close> = tidepool.pool { processes = 1, initializer = "no_such_setup" }
      pool:apply(function() end)
    end))

    assert.truthy(text:find("no_such_setup", 1, true), text)
  end)
end)

describe("finalizer", function()
  it("runs once in each worker at the end of the pool", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pids
    do
      local pool <close> = tidepool.pool { processes = 2,
        finalizer = function() helper.note(path, tidepool.worker.pid) end }
      pids = helper.workers(pool, 2)
      assert.same({}, journal:lines())
    end

    local lines, expected = journal:lines(), { tostring(pids[1]), tostring(pids[2]) }
    table.sort(lines)
    table.sort(expected)
    assert.same(expected, lines)
  end)

  it("sees what the tasks of its worker left behind", function()
    local journal <close> = helper.file()
    local path = journal.path
    do
      local pool <close> = tidepool.pool { processes = 1,
        finalizer = function() helper.note(path, _G.total) end }
      for i = 1, 10 do
        pool:apply(function(x) _G.total = (_G.total or 0) + x end, { i })
      end
    end

    assert.same({ "55" }, journal:lines())
  end)

  it("does not run on terminate", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool = tidepool.pool { processes = 2,
      finalizer = function() helper.note(path, "ran") end }
    helper.workers(pool, 2)

    pool:terminate()
    pool:join()

    assert.same({}, journal:lines())
  end)

  it("that fails is reported, and join returns", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      do
        local pool <close> = tidepool.pool { processes = 1,
          finalizer = function() error("from the finalizer") end }
        pool:apply(function() end)
      end
      print("joined")
    ]], { flags = "-W" })

    assert.equal("joined\n", out)
    assert.truthy(err:find("from the finalizer", 1, true), err)
    assert.equal(0, status)
  end)
end)

describe("tidepool.worker", function()
  it("is nil in the parent", function()
    assert.is_nil(tidepool.worker)
  end)

  it("tells each worker its number, process and generation", function()
    local pool <close> = tidepool.pool(3)

    local pids = helper.workers(pool, 3)

    assert.equal(3, #pids)
    assert.is_true(pool:apply(function()
      return tidepool.worker.pid == tidepool.getpid() and
        math.type(tidepool.worker.generation) == "integer"
    end))
  end)

  it("is there for scripts and the initializer", function()
    local script <close> = helper.file("in_script = require('tidepool').worker.number")
    local pool <close> = tidepool.pool { processes = 1, scripts = script.path,
      initializer = function() _G.in_initializer = tidepool.worker.number end }

    assert.same({ 1, 1 }, { pool:apply(function() return _G.in_script, _G.in_initializer end) })
  end)
end)

describe("tidepool.task", function()
  it("gives nil in the parent", function()
    assert.is_nil(tidepool.task())
  end)

  it("tells a task its job, index and attempt", function()
    local pool <close> = tidepool.pool(2)
    local function task() return tidepool.task() end

    local tasks = pool:map(task, { 1, 2, 3 })
    local other = pool:map(task, { 1 })

    for i = 1, 3 do
      assert.equal(i, tasks[i].index)
      assert.equal(1, tasks[i].attempt)
      assert.equal(tasks[1].job, tasks[i].job)
      assert.is_nil(tasks[i].remaining)
    end
    assert.not_equal(tasks[1].job, other[1].job)
  end)

  it("tells the index of an item within a chunk", function()
    local pool <close> = tidepool.pool(1)

    local indices = pool:map(function() return tidepool.task().index end, { 0, 0, 0, 0, 0 }, 3)

    assert.same({ 1, 2, 3, 4, 5, n = 5 }, indices)
  end)
end)

describe("the state of a worker", function()
  it("lasts from task to task and belongs to that worker alone", function()
    local pool <close> = tidepool.pool { processes = 2, scripts = "spec/fixtures/jobs.lua" }
    local seen = {}

    for _ = 1, 40 do
      local number, calls = pool:apply(function() return tidepool.worker.number, _G.count() end)
      seen[number] = (seen[number] or 0) + 1
      assert.equal(seen[number], calls)
    end
  end)

  it("is fresh: nothing of the parent is in it", function()
    _G.of_the_parent = "secret"
    package.loaded.of_the_parent = { "secret" }
    local pool <close> = tidepool.pool(1)

    local global, module = pool:apply(function()
      return _G.of_the_parent, package.loaded.of_the_parent
    end)
    _G.of_the_parent, package.loaded.of_the_parent = nil, nil

    assert.is_nil(global)
    assert.is_nil(module)
  end)
end)
