local helper = require "spec.helper"
local tidepool = require "tidepool"

local function serial()
  return tidepool.pool { serial = true, scripts = "spec/fixtures/jobs.lua" }
end

local function parallel()
  return tidepool.pool { processes = 2, scripts = "spec/fixtures/jobs.lua" }
end

---Call `f` with a serial and with a parallel pool: both must give the same.
local function alike(f)
  local ours, theirs
  do
    local pool <close> = serial()
    ours = table.pack(f(pool))
  end
  do
    local pool <close> = parallel()
    theirs = table.pack(f(pool))
  end
  assert.same(theirs, ours)
  return table.unpack(ours, 1, ours.n)
end

describe("a pool with serial = true", function()
  it("makes no process and runs tasks in the parent", function()
    local before = helper.descendants(tidepool.getpid())
    local pool <close> = serial()

    assert.equal(tidepool.getpid(), pool:apply(function() return tidepool.getpid() end))

    assert.same(before, helper.descendants(tidepool.getpid()))
  end)

  it("gives the results of other pools", function()
    assert.equal(3, alike(function(pool)
      return pool:apply(function(a, b) return a + b end, { 1, 2 })
    end))
    alike(function(pool)
      return pool:apply(function(...) return ... end, { nil, 2, nil, n = 3 })
    end)
    alike(function(pool) return pool:apply("double", { 4 }) end)
    alike(function(pool) return pool:apply(string.upper, { "abc" }) end)
    alike(function(pool)
      return pool:map(function(x) return x, x % 2 == 0 and x or nil end, { 1, 2, 3 })
    end)
    alike(function(pool) return pool:map("double", {}) end)
    alike(function(pool) return pool:starmap("add", { { 1, 2 }, { 3, 4 } }, 2) end)
    alike(function(pool) return pool:starmap_async("add", { { 1, 2 } }):get() end)
    alike(function(pool)
      local seen = {}
      for i, v in pool:imap("double", { 5, 6, 7 }) do seen[i] = v end
      for i, v in pool:imap_unordered("double", { 5, 6, 7 }) do seen[-i] = v end
      return seen
    end)
  end)

  it("gives the errors of other pools", function()
    alike(function(pool)
      local err = helper.failure(function() pool:apply("fail", { "oops" }) end)
      return err.kind, err.value, err.task, err.attempt, type(err.message), type(err.traceback)
    end)
    alike(function(pool)
      local err = helper.failure(function()
        pool:map(function(x)
          if x == 2 then error({ code = x }) end
        end, { 1, 2, 3 })
      end)
      return err.kind, err.value, err.index
    end)
    alike(function(pool)
      local results = pool:map(function(x) return x == 2 and error("oops", 0) or x end, { 1, 2, 3 },
        { on_error = "keep" })
      return results[1], results[2], results[3], results.errors[2].value, results.errors[2].index
    end)
    alike(function(pool)
      return helper.failure(function() pool:apply("no_such_function") end).kind
    end)
  end)

  it("refuses what other pools refuse", function()
    alike(function(pool) return helper.refusal(function() pool:apply(42) end) end)
    alike(function(pool) return helper.refusal(function() pool:map("double", 42) end) end)
    alike(function(pool) return helper.refusal(function() pool:map("double", { 1 }, 0) end) end)
    alike(function(pool) return helper.refusal(function() pool:join() end) end)
  end)

  it("calls the callbacks of other pools", function()
    alike(function(pool)
      local calls = {}
      local function note(x) calls[#calls + 1] = type(x) == "table" and x.value or x end
      pool:apply_async("double", { 4 }, nil, { callback = note }):wait()
      pool:apply_async("fail", { "oops" }, nil, { error_callback = note }):wait()
      calls[2] = calls[2]:gsub("^.*: ", "")
      return calls
    end)
  end)

  it("gives handles that are ready", function()
    local pool <close> = serial()
    local handle = pool:apply_async("double", { 4 })
    handle:wait()

    assert.is_true(handle:ready())
    assert.is_true(handle:successful())
    assert.equal(8, handle:get(0))
  end)

  it("runs its initializer once, before the first task", function()
    local journal <close> = helper.file()
    local pool <close> = tidepool.pool { serial = true, initializer = helper.note,
      initargs = { journal.path, "ready" } }

    for _ = 1, 2 do
      assert.same({ "ready" }, pool:apply(function(path)
        local lines = {}
        for line in io.lines(path) do lines[#lines + 1] = line end
        return lines
      end, { journal.path }))
    end
  end)

  it("reads an endless input lazily", function()
    local pool <close> = serial()
    local read, sum = 0, 0

    for i, v in pool:imap("double", function()
      read = read + 1
      return read
    end) do
      sum = sum + v
      if i == 10 then break end
    end

    assert.equal(110, sum)
  end)

  it("ends as other pools do", function()
    local pool = serial()
    pool:close()
    pool:join()

    assert.equal("pool is closed", helper.refusal(function() pool:apply("double", { 1 }) end))
    pool = serial()
    pool:terminate()
    pool:join()
    helper.refusal(function() pool:apply("double", { 1 }) end)
  end)
end)
