local helper = require "spec.helper"
local tidepool = require "tidepool"

local function jobs(n, options)
  options = options or {}
  options.processes, options.scripts = n or 1, "spec/fixtures/jobs.lua"
  return tidepool.pool(options)
end

local function pid() return tidepool.worker.pid end

---A task in `hold` on some worker: its handle and the process id of that worker.
local function hold(pool, gate)
  local journal <close> = helper.file()
  local handle = pool:apply_async("hold", { gate.path, journal.path })
  return handle, math.tointeger(tonumber(journal:await(1)[1]))
end

local function gone(worker)
  helper.eventually(function() return not helper.alive(worker) end)
end

describe("a worker killed while idle", function()
  it("is replaced before the next task, in a pool of one too", function()
    for n = 1, 2 do
      local pool <close> = jobs(n)
      for _ = 1, 5 do
        local victim = pool:apply(pid)
        helper.kill(victim, "KILL")
        assert.is_true(helper.within(10, pool.apply, pool, pid) > 0)
        assert.equal(4, pool:apply("double", { 2 }))
      end
      for number, worker in ipairs(helper.workers(pool, n)) do
        assert.is_true(helper.alive(worker), "worker " .. number)
      end
    end
  end)

  it("is replaced without a call of the parent", function()
    local pool <close> = jobs(2)
    local victim = helper.workers(pool, 2)[1]
    local supervisor = helper.parent(victim)

    helper.kill(victim, "KILL")
    gone(victim)

    helper.eventually(function()
      local workers = helper.children(supervisor)
      return #workers == 2 and workers[1] ~= victim and workers[2] ~= victim
    end)
  end)

  it("leaves its number to its replacement", function()
    local pool <close> = jobs(1)
    local function who()
      return tidepool.worker.number, tidepool.worker.generation, tidepool.worker.pid
    end
    local number, generation, victim = pool:apply(who)

    helper.kill(victim, "KILL")
    gone(victim)
    local next_number, next_generation = pool:apply(who)

    assert.equal(number, next_number)
    assert.equal(generation + 1, next_generation)
  end)

  it("leaves no zombie", function()
    local pool <close> = jobs(1)
    local victim = pool:apply(pid)

    helper.kill(victim, "KILL")

    helper.eventually(function() return helper.process(victim) == nil end)
    assert.equal(4, pool:apply("double", { 2 }))
  end)
end)

describe("a worker killed while busy", function()
  it("fails its task, with signal, worker, item and task", function()
    local gate <close> = helper.gate()
    local pool <close> = jobs(1)
    local handle, victim = hold(pool, gate)

    helper.kill(victim, "KILL")
    local err = helper.within(10, helper.failure, handle.get, handle)

    assert.equal("lost", err.kind)
    assert.equal(
      ('worker 1 (pid %d) was killed by SIGKILL while running item 1 of "hold"'):format(victim),
      err.message)
    assert.same({ 9, 1, victim, "hold", 1 },
      { err.signal, err.worker, err.pid, err.task, err.attempt })
    assert.is_nil(err.status)
    assert.equal(err.message, tostring(err):sub(1, #err.message))
  end)

  it("is told from one that crashed, by the signal", function()
    local pool <close> = jobs(1)

    local signals = { SEGV = 11, ABRT = 6, BUS = 7, ILL = 4, FPE = 8 }
    for name, number in pairs(signals) do
      local err = helper.within(10, helper.failure, function() pool:apply("strike", { name }) end)
      assert.equal("lost", err.kind)
      assert.equal(number, err.signal)
      assert.truthy(err.message:find("was killed by SIG" .. name .. " ", 1, true), err.message)
    end

    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("names a function that was sent by value by its place", function()
    local pool <close> = jobs(1)
    local here = debug.getinfo(1, "S").short_src
    local line = debug.getinfo(1, "l").currentline + 1
    local function task() helper.kill(tidepool.worker.pid, "KILL") end

    local err = helper.failure(function() pool:apply(task) end)

    assert.equal(("worker 1 (pid %d) was killed by SIGKILL while running item 1 of " ..
      "function <%s:%d>"):format(err.pid, here, line), err.message)
  end)

  it("costs other tasks nothing", function()
    local gate <close> = helper.gate()
    local pool <close> = jobs(2)
    local lost, victim = hold(pool, gate)
    local kept = hold(pool, gate)
    local queued = pool:apply_async("double", { 21 })

    helper.kill(victim, "KILL")

    assert.equal("lost", helper.failure(lost.get, lost, 20).kind)
    assert.equal(42, queued:get(20))
    gate:open()
    assert.equal("released", kept:get(20))
  end)

  it("fails exactly one of a hundred tasks", function()
    local pool <close> = jobs(3)
    local handles, failed = {}, {}

    for i = 1, 100 do handles[i] = pool:apply_async("mark", { i, 37 }) end
    for i = 1, 100 do
      local ok, value = pcall(handles[i].get, handles[i], 20)
      if ok then assert.equal(i * 10, value) else failed[#failed + 1] = i end
    end

    assert.same({ 37 }, failed)
  end)

  it("lets queued tasks start while the parent makes no pool call", function()
    local journal <close> = helper.file()
    local gate <close> = helper.gate()
    local pool <close> = jobs(1)
    local lost, victim = hold(pool, gate)
    for i = 1, 5 do pool:apply_async(helper.note, { journal.path, i }) end

    helper.kill(victim, "KILL")

    assert.same({ "1", "2", "3", "4", "5" }, journal:await(5))
    assert.equal("lost", helper.failure(lost.get, lost).kind)
  end)

  it("many times over does not stop the pool", function()
    local pool <close> = jobs(2)

    helper.within(14, function()
      for i = 1, 20 do
        assert.equal("lost", helper.failure(function() pool:apply("strike", { "KILL" }) end).kind)
        assert.equal(2 * i, pool:apply("double", { i }))
      end
    end)
  end)

  it("fails its task while the pool closes, and join returns", function()
    local gate <close> = helper.gate()
    local pool = jobs(1)
    local handle, victim = hold(pool, gate)
    local queued = pool:apply_async("double", { 4 })

    pool:close()
    helper.kill(victim, "KILL")
    helper.within(10, pool.join, pool)

    assert.equal("lost", helper.failure(handle.get, handle).kind)
    assert.equal(8, queued:get())
  end)

  it("during terminate is no failure of its own", function()
    local gate <close> = helper.gate()
    local pool = jobs(2)
    local handle, victim = hold(pool, gate)

    helper.kill(victim, "STOP")
    pool:terminate()
    helper.kill(victim, "KILL")
    helper.within(10, pool.join, pool)

    assert.equal("terminated", helper.failure(handle.get, handle).kind)
  end)

  it("is seen although a program it started still runs", function()
    local pool <close> = jobs(1)

    local err = helper.within(8, helper.failure, function()
      pool:apply(function()
        os.execute("sleep 30 >/dev/null 2>&1 &")
        helper.kill(tidepool.worker.pid, "KILL")
      end)
    end)

    assert.equal("lost", err.kind)
  end)

  it("does not break a program that ignores the end of its children", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local pool <close> = tidepool.pool { processes = 2, scripts = "spec/fixtures/jobs.lua" }
      print(pool:apply("double", { 2 }))
      local _, lost = pcall(pool.apply, pool, "strike", { "KILL" })
      print(lost.kind)
      print(pool:map("double", { 1, 2, 3 }).n)
    ]], { under = [[sh -c 'trap "" CHLD; exec "$@"' sh]] })

    assert.equal("", err)
    assert.equal("4\nlost\n3\n", out)
    assert.equal(0, status)
  end)

  it("in the middle of big results damages no other", function()
    local pool <close> = jobs(2)
    local handles = {}
    for i = 1, 40 do
      handles[i] = pool:apply_async(function(x)
        return tidepool.worker.pid, string.char(64 + x % 32):rep(1024 * 1024)
      end, { i })
    end
    local victim = handles[1]:get(20)

    helper.kill(victim, "KILL")

    local lost = 0
    for i = 1, 40 do
      local ok, value, text = pcall(handles[i].get, handles[i], 20)
      if ok then
        assert.is_true(text == string.char(64 + i % 32):rep(1024 * 1024))
      else
        assert.equal("lost", value.kind)
        lost = lost + 1
      end
    end
    assert.is_true(lost <= 1)
  end)
end)

describe("os.exit in a task", function()
  it("fails the task with the status", function()
    local pool <close> = jobs(1)
    local worker = pool:apply(pid)

    local err = helper.within(10, helper.failure, function() pool:apply("leave", { 3 }) end)

    assert.equal("lost", err.kind)
    assert.equal(
      ('worker 1 (pid %d) exited with status 3 while running item 1 of "leave"'):format(worker),
      err.message)
    assert.same({ 3, 1, worker, "leave" }, { err.status, err.worker, err.pid, err.task })
    assert.is_nil(err.signal)
  end)

  it("is a failure with status 0 too", function()
    local pool <close> = jobs(1)

    for _, status in ipairs { 0, true } do
      local err = helper.within(10, helper.failure, function() pool:apply("leave", { status }) end)
      assert.equal("lost", err.kind)
      assert.equal(0, err.status)
    end
    local err = helper.failure(function() pool:apply("leave", { false }) end)
    assert.equal(1, err.status)
    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("closes no state of the parent", function()
    local pool <close> = jobs(1)

    local err = helper.failure(function() pool:apply(function() os.exit(5, true) end) end)

    assert.equal(5, err.status)
    assert.equal(4, pool:apply("double", { 2 }))
  end)
end)

describe("a map that loses a worker", function()
  local function sequence(n)
    local list = {}
    for i = 1, n do list[i] = { i, 7 } end
    return list
  end

  it("raises the loss, with its index", function()
    local pool <close> = jobs(2)

    for _, chunksize in ipairs { 1, 5, 100 } do
      local err = helper.within(10, helper.failure, function()
        pool:starmap("mark", sequence(20), chunksize)
      end)
      assert.equal("lost", err.kind)
      assert.equal(7, err.index)
      assert.equal(
        ('worker %d (pid %d) was killed by SIGKILL while running item 7 of "mark"'):format(
          err.worker, err.pid), err.message)
    end
  end)

  it("loses only the item that the worker was running, whatever the chunk size", function()
    for _, chunksize in ipairs { 1, 3, 10, 100 } do
      local journal <close> = helper.file()
      local pool <close> = jobs(2)
      local items = sequence(20)
      for i = 1, 20 do items[i][3] = journal.path end

      local results = helper.within(10, pool.starmap, pool, "mark", items,
        { chunksize = chunksize, on_error = "keep" })

      local lost = {}
      for i in pairs(results.errors) do lost[#lost + 1] = i end
      assert.same({ 7 }, lost)
      for i = 1, 20 do
        if i ~= 7 then assert.equal(i * 10, results[i]) end
      end
      assert.equal(19, #journal:lines())
    end
  end)

  it("loses no more items than workers when all are killed at once", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool <close> = jobs(3)
    local pids = helper.workers(pool, 3)
    local items = {}
    for i = 1, 60 do items[i] = i end
    local handle = pool:map_async(function(x)
      helper.note(path, x)
      tidepool.sleep(0.01)
      return x
    end, items, { chunksize = 4, on_error = "keep" })

    journal:await(6)
    for _, victim in ipairs(pids) do helper.kill(victim, "KILL") end
    local results = helper.within(10, handle.get, handle)

    local lost = 0
    for _, err in pairs(results.errors or {}) do
      assert.equal("lost", err.kind)
      lost = lost + 1
    end
    assert.is_true(lost <= 3)
    for i = 1, 60 do
      if not (results.errors and results.errors[i]) then assert.equal(i, results[i]) end
    end
  end)
end)

describe("an imap that loses a worker", function()
  it("raises at the lost item and delivers all others", function()
    for _, chunksize in ipairs { 1, 4 } do
      local pool <close> = jobs(2)
      local iterator, state, i = pool:imap(function(x)
        if x == 5 then helper.kill(tidepool.worker.pid, "KILL") end
        return x * 10
      end, { 1, 2, 3, 4, 5, 6, 7, 8 }, chunksize)

      for k = 1, 8 do
        local ok, index, value = pcall(iterator, state, i)
        if k == 5 then
          assert.is_false(ok)
          assert.same({ "lost", 5 }, { index.kind, index.index })
        else
          assert.same({ true, k, k * 10 }, { ok, index, value })
          i = index
        end
      end
      assert.is_nil((iterator(state, i)))
    end
  end)
end)

describe("a stopped worker", function()
  it("does not hold up terminate", function()
    local gate <close> = helper.gate()
    local pool = jobs(1)
    local _, victim = hold(pool, gate)

    helper.kill(victim, "STOP")

    helper.within(10, function()
      pool:terminate()
      pool:join()
    end)
    assert.is_false(helper.alive(victim))
  end)

  it("does not hold up work for others", function()
    local gate <close> = helper.gate()
    local pool <close> = jobs(2)
    local handle, victim = hold(pool, gate)

    helper.kill(victim, "STOP")

    for i = 1, 20 do assert.equal(2 * i, pool:apply("double", { i })) end
    helper.kill(victim, "CONT")
    gate:open()
    assert.equal("released", handle:get(20))
  end)
end)

describe("workers that die at their start", function()
  it("break the pool with a clear error, and not for ever", function()
    local script <close> = helper.file("os.exit(7)")

    helper.no_leaks(function()
      local err = helper.within(12, helper.failure, function()
        local pool <close> = tidepool.pool { processes = 2, scripts = script.path }
        pool:apply(function() return 1 end)
      end)
      assert.truthy(tostring(err):find("die at start", 1, true), tostring(err))
    end)
  end)
end)

describe("a supervisor that is killed", function()
  it("takes its workers along", function()
    local gate <close> = helper.gate()
    local pool = jobs(2)
    local _, busy = hold(pool, gate)
    local supervisor = helper.parent(busy)
    local workers = helper.children(supervisor)

    helper.kill(supervisor, "KILL")

    for _, worker in ipairs(workers) do gone(worker) end
    pool:terminate()
    helper.within(10, pool.join, pool)
  end)

  it("costs what was running, and the rest runs elsewhere", function()
    local gate <close> = helper.gate()
    local pool <close> = jobs(1)
    local running, busy = hold(pool, gate)
    local queued = {}
    for i = 1, 10 do queued[i] = pool:apply_async("double", { i }) end

    helper.kill(helper.parent(busy), "KILL")

    assert.equal("lost", helper.within(10, helper.failure, running.get, running).kind)
    for i = 1, 10 do assert.equal(2 * i, queued[i]:get(20)) end
    assert.equal(42, pool:apply("double", { 21 }))
  end)

  it("while idle costs nothing", function()
    local pool <close> = jobs(2)
    local before = pool:apply_async("double", { 1 })
    before:wait()
    local workers = helper.workers(pool, 2)

    helper.kill(helper.parent(workers[1]), "KILL")
    for _, worker in ipairs(workers) do gone(worker) end -- until then they claim tasks

    assert.equal(42, helper.within(10, pool.apply, pool, "double", { 21 }))
    assert.equal(2, before:get())
  end)
end)

describe("the supervisor that is kept ready", function()
  -- What a program prints that has one; `spare()` waits for the next.
  local function program(code)
    return helper.run([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local nursery = helper.nursery()
      local function spare()
        return helper.eventually(function() return helper.spare(nursery) end)
      end
      local ready = spare()
    ]] .. code)
  end

  it("is the first pool's, and from the second on another one comes", function()
    local out, err = program [[
      local function parent() return require("spec.helper").parent(require("tidepool").getpid()) end
      local first <close> = tidepool.pool(1)
      print(first:apply(parent) == ready)
      tidepool.sleep(0.1) -- no event says that none comes
      print(helper.spare(nursery) == nil)
      local second <close> = tidepool.pool(1)
      ready = spare()
      local third <close> = tidepool.pool(1)
      print(third:apply(parent) == ready)
    ]]

    assert.equal("", err)
    assert.equal("true\ntrue\ntrue\n", out)
  end)

  it("is not missed when it is killed", function()
    local out, err = program [[
      helper.kill(ready, "KILL")
      local pool <close> = tidepool.pool(1)
      print(pool:apply(function() return "works" end))
    ]]

    assert.equal("", err)
    assert.equal("works\n", out)
  end)

  it("dies with the nursery, and pools open all the same", function()
    local out, err = program [[
      helper.kill(nursery, "KILL")
      helper.eventually(function() return not helper.alive(ready) end)
      local pool <close> = tidepool.pool(1)
      print(pool:apply(function() return "works" end))
    ]]

    assert.equal("", err)
    assert.equal("works\n", out)
  end)

  it("does not outlive a program that is killed", function()
    local out = program [[
      print(ready)
      io.stdout:flush()
      helper.kill(tidepool.getpid(), "KILL")
    ]]

    gone(assert(math.tointeger(tonumber(out:match "%d+")), out))
  end)
end)

describe("a stopped supervisor", function()
  it("does not hold up tasks", function()
    local pool <close> = jobs(1)
    local supervisor = helper.parent(pool:apply(pid))

    helper.kill(supervisor, "STOP")
    local results = pool:map("double", { 1, 2, 3 })
    helper.kill(supervisor, "CONT")

    assert.same({ 2, 4, 6, n = 3 }, results)
  end)
end)
