local helper = require "spec.helper"
local tidepool = require "tidepool"

local function pid() return tidepool.worker.pid end

local function sequence(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function distinct(list)
  local seen, n = {}, 0
  for _, value in ipairs(list) do
    if not seen[value] then seen[value], n = true, n + 1 end
  end
  return n
end

describe("maxtasksperchild", function()
  it("replaces workers without harm to results", function()
    local pool <close> = tidepool.pool { processes = 3, maxtasksperchild = 10 }

    local results, pids = pool:map(function(x) return x * x, tidepool.worker.pid end, sequence(100))

    for i = 1, 100 do assert.equal(i * i, results[i]) end
    assert.is_true(distinct(pids) >= 10)
  end)

  it("is the number of items a process serves, exactly", function()
    local pool <close> = tidepool.pool { processes = 1, maxtasksperchild = 3 }
    local pids = {}

    for i = 1, 7 do pids[i] = pool:apply(pid) end

    assert.same({ pids[1], pids[1] }, { pids[2], pids[3] })
    assert.same({ pids[4], pids[4] }, { pids[5], pids[6] })
    assert.equal(3, distinct(pids))
  end)

  it("makes two processes of four tasks when it is 2", function()
    local pool <close> = tidepool.pool { processes = 1, maxtasksperchild = 2 }
    local handles, pids = {}, {}

    for i = 1, 4 do handles[i] = pool:apply_async(pid) end
    for i = 1, 4 do pids[i] = handles[i]:get(20) end

    assert.equal(2, distinct(pids))
  end)

  it("counts items, not chunks", function()
    local pool <close> = tidepool.pool { processes = 1, maxtasksperchild = 3 }

    for _, chunksize in ipairs { 1, 2, 12 } do
      local pids = pool:map(pid, sequence(12), chunksize)
      assert.equal(12, pids.n)
      local served = {}
      for i = 1, 12 do served[pids[i]] = (served[pids[i]] or 0) + 1 end
      for _, n in pairs(served) do assert.is_true(n <= 3) end
    end
  end)

  it("counts tasks that fail", function()
    local pool <close> = tidepool.pool { processes = 1, maxtasksperchild = 2 }

    local before = pool:apply(pid)
    helper.failure(function() pool:apply(function() error("oops") end) end)

    assert.not_equal(before, pool:apply(pid))
  end)

  it("lets a pool that is closed at once finish everything", function()
    local pool = tidepool.pool { processes = 2, maxtasksperchild = 1 }
    local handle = pool:map_async(function(x) return -x end, sequence(60), 1)

    pool:close()
    helper.within(14, pool.join, pool)

    local results = handle:get(0)
    for i = 1, 60 do assert.equal(-i, results[i]) end
  end)

  it("works through a backlog larger than it", function()
    local pool <close> = tidepool.pool { processes = 2, maxtasksperchild = 5 }
    local handles = {}
    for i = 1, 300 do handles[i] = pool:apply_async(function(x) return x + 1 end, { i }) end

    for i = 1, 300 do assert.equal(i + 1, handles[i]:get(20)) end
  end)

  it("leaves no zombies while the pool lives", function()
    local pool <close> = tidepool.pool { processes = 2, maxtasksperchild = 1 }

    local pids = pool:map(pid, sequence(30))
    local supervisor = pool:apply(function() return helper.parent(tidepool.worker.pid) end)

    helper.eventually(function()
      for i = 1, 30 do
        if helper.process(pids[i]) and helper.process(pids[i]).state == "Z" then return false end
      end
      return #helper.children(supervisor) <= 2
    end)
  end)

  it("gives the number of the worker to its replacement, one generation on", function()
    local pool <close> = tidepool.pool { processes = 1, maxtasksperchild = 1 }
    local function who() return tidepool.worker.number, tidepool.worker.generation end

    local number, generation = pool:apply(who)
    local next_number, next_generation = pool:apply(who)

    assert.same({ 1, generation + 1 }, { next_number, next_generation })
    assert.equal(1, number)
  end)

  it("runs the finalizer of the old and the initializer of the new worker", function()
    local journal <close> = helper.file()
    local path = journal.path
    do
      local pool <close> = tidepool.pool {
        processes = 1, maxtasksperchild = 2,
        initializer = function() helper.note(path, "start " .. tidepool.worker.pid) end,
        finalizer = function() helper.note(path, "end " .. tidepool.worker.pid) end,
      }
      pool:map(pid, sequence(4), 1)
    end

    local count = { start = 0, ["end"] = 0 }
    for _, line in ipairs(journal:lines()) do
      local event = line:match("^%a+")
      count[event] = count[event] + 1
    end
    assert.equal(count.start, count["end"])
    assert.is_true(count.start >= 2 and count.start <= 3)
  end)

  it("loses no big result", function()
    local pool <close> = tidepool.pool { processes = 2, maxtasksperchild = 1 }

    local results = pool:map(function(x) return tostring(x):rep(1024 * 1024) end, sequence(8), 1)

    for i = 1, 8 do assert.is_true(results[i] == tostring(i):rep(1024 * 1024)) end
  end)

  it("loses no task when workers are killed as well", function()
    local pool <close> = tidepool.pool { processes = 2, maxtasksperchild = 3 }
    local killed, lost = 0, 0

    for i = 1, 40 do
      local handle = pool:apply_async(function(x) return x, tidepool.worker.pid end, { i })
      local ok, value, worker = pcall(handle.get, handle, 20)
      if ok then
        assert.equal(i, value)
        if i % 4 == 0 then
          helper.kill(worker, "KILL")
          killed = killed + 1
        end
      else
        lost = lost + 1
      end
    end

    assert.equal(10, killed)
    assert.equal(0, lost)
  end)

  it("starts no replacement during terminate", function()
    local journal <close> = helper.file()
    local gate <close> = helper.gate()
    local path, gate_path = journal.path, gate.path
    local pool = tidepool.pool { processes = 2, maxtasksperchild = 1,
      initializer = function() helper.note(path, "start") end }
    for _ = 1, 50 do pool:apply_async(function() helper.pass(gate_path) end) end
    journal:await(2)

    pool:terminate()
    helper.within(10, pool.join, pool)

    assert.equal(2, #journal:lines())
  end)
end)
