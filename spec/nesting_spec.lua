local helper = require "spec.helper"
local tidepool = require "tidepool"

describe("a task", function()
  it("may make, use and close a pool of its own", function()
    helper.no_leaks(function()
      local pool <close> = tidepool.pool(2)

      local sums = pool:map(function(x)
        local inner <close> = tidepool.pool(2)
        local squares = inner:map(function(y) return y * y end, { x, x + 1 })
        return squares[1] + squares[2]
      end, { 1, 2, 3 }, 1)

      assert.same({ 5, 13, 25, n = 3 }, sums)
    end)
  end)

  it("that leaves a pool open leaves no process behind", function()
    helper.no_leaks(function()
      local pool <close> = tidepool.pool(1)
      pool:apply(function()
        _G.inner = tidepool.pool(2)
        return _G.inner:apply(function() return 1 end)
      end)
    end)
  end)

  it("shows the stacks of both workers when a task of its pool fails", function()
    local here = debug.getinfo(1, "S").short_src
    local pool <close> = tidepool.pool(1)
    local line = debug.getinfo(1, "l").currentline + 5
    local err = helper.failure(function()
      pool:apply(function()
        local inner <close> = tidepool.pool(1)
        inner:apply(function()
          error("from the depth")
        end)
      end)
    end)
    local text = tostring(err)

    assert.truthy(text:find("from the depth", 1, true), text)
    assert.truthy(text:find(here .. ":" .. line, 1, true), text)
    assert.truthy(text:find(here .. ":" .. line - 1, 1, true), text)
  end)

  it("takes its pool along when it is terminated", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool = tidepool.pool(1)
    pool:apply_async(function()
      local inner <close> = tidepool.pool(2)
      for _ = 1, 4 do
        inner:apply_async(function()
          helper.note(path, tidepool.getpid())
          tidepool.sleep(60)
        end)
      end
      inner:close()
      inner:join()
    end)
    local pids = journal:await(2)

    helper.within(10, function()
      pool:terminate()
      pool:join()
    end)

    for _, pid in ipairs(pids) do
      helper.eventually(function() return not helper.alive(pid) end)
    end
  end)

  it("takes its pool along when it is killed", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool <close> = tidepool.pool(1)
    local handle = pool:apply_async(function()
      helper.note(path, tidepool.worker.pid)
      local inner <close> = tidepool.pool(1)
      inner:apply(function()
        helper.note(path, tidepool.worker.pid)
        tidepool.sleep(60)
      end)
    end)
    local lines = journal:await(2)
    local outer = math.tointeger(tonumber(lines[1]))
    local inner = math.tointeger(tonumber(lines[2]))

    helper.kill(outer, "KILL")

    helper.eventually(function() return not helper.alive(inner) end)
    assert.equal("lost", helper.failure(handle.get, handle, 20).kind)
  end)

  it("may not nest pools without end", function()
    local text = tostring(helper.failure(function()
      local pool <close> = tidepool.pool(1)
      pool:apply(function(depth)
        local function nest(n)
          if n == 0 then return 0 end
          local inner <close> = tidepool.pool(1)
          return inner:apply(nest, { n - 1 })
        end
        return nest(depth)
      end, { 25 })
    end))

    assert.truthy(text:find("deep", 1, true) or text:find("nest", 1, true), text)
  end)

  it("may run programs and gets their exit status", function()
    local pool <close> = tidepool.pool(2)

    local kinds, codes, texts = pool:map(function(x)
      local _, kind, code = os.execute("exit " .. x)
      local pipe = io.popen("echo program " .. x)
      local text = pipe:read("a")
      assert(pipe:close())
      return kind, code, text
    end, { 1, 2, 3, 4 }, 1)

    for i = 1, 4 do
      assert.same({ "exit", i, "program " .. i .. "\n" }, { kinds[i], codes[i], texts[i] })
    end
  end)

  it("reads the end of file from standard input, not the input of the parent", function()
    local out, err = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(2)
      print(io.read("l"))
      print(pool:apply(function() return io.read("l"), io.read("a") end))
      pool:map(function() return io.read("a") end, { 1, 2, 3, 4 })
      print(io.read("l"))
      print(io.read("l"))
    ]], { input = "one\ntwo\n" })

    assert.equal("", err)
    assert.equal("one\nnil\t\ntwo\nnil\n", out)
  end)

  it("draws random numbers of its own worker", function()
    local pool <close> = tidepool.pool(3)
    helper.workers(pool, 3)
    local journal <close> = helper.file()
    local path = journal.path

    local draws = pool:map(function()
      helper.note(path, "here")
      helper.eventually(function() return select(2, helper.slurp(path):gsub("\n", "")) >= 3 end)
      return math.random(0)
    end, { 1, 2, 3 }, 1)

    assert.not_equal(draws[1], draws[2])
    assert.not_equal(draws[2], draws[3])
    assert.not_equal(draws[1], draws[3])
  end)

  it("draws random numbers that the parent does not draw, nor a replacement", function()
    math.randomseed(42)
    local pool <close> = tidepool.pool { processes = 1, maxtasksperchild = 1 }
    local function draw() return math.random(0) end

    local first, second = pool:apply(draw), pool:apply(draw)

    assert.not_equal(first, second)
    local own = math.random(0)
    assert.is_true(own ~= first and own ~= second)
  end)

  it("begins with a collector that runs", function()
    local pool <close> = tidepool.pool(1)

    local runs, mode = pool:apply(function()
      return collectgarbage "isrunning", collectgarbage "incremental"
    end)

    assert.is_true(runs)
    assert.equal("incremental", mode)
  end)
end)

describe("a pool", function()
  it("can be used inside a coroutine", function()
    local pool <close> = tidepool.pool(2)
    local seen = {}

    local co = coroutine.wrap(function()
      local inner <close> = tidepool.pool(1)
      seen[1] = inner:apply(function() return 1 end)
      coroutine.yield()
      seen[2] = pool:apply(function() return 2 end)
      for i, v in pool:imap(function(x) return x + 2 end, { 1, 2 }) do
        coroutine.yield()
        seen[i + 2] = v
      end
    end)
    for _ = 1, 4 do co() end

    assert.same({ 1, 2, 3, 4 }, seen)
  end)

  it("can be driven from several coroutines without blocking", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool <close> = tidepool.pool(2)
    local order, coroutines = {}, {}
    for i = 1, 3 do
      coroutines[i] = coroutine.wrap(function()
        local handle = pool:apply_async(function(x)
          if x == 1 then helper.pass(path) end
          return x
        end, { i })
        while not handle:ready() do coroutine.yield(true) end
        order[#order + 1] = handle:get(0)
        return false
      end)
    end

    helper.eventually(function()
      for i = 1, 3 do
        if coroutines[i] and not coroutines[i]() then coroutines[i] = false end
      end
      if #order == 2 then gate:open() end
      return #order == 3
    end)

    assert.equal(1, order[3])
  end)

  it("can be made while other threads of the program run", function()
    if not pcall(require, "luv") then
      pending("needs luv")
      return
    end
    local out, err, status = helper.run([[
      local uv = require "luv"
      local tidepool = require "tidepool"
      local threads = {}
      for i = 1, 2 do
        threads[i] = uv.new_thread(function()
          local t = {}
          for k = 1, 500000 do t[k % 100] = { tostring(k) } end
        end)
      end
      for i = 1, 20 do
        local pool <close> = tidepool.pool(2)
        local r = pool:map(function(x) return x * 2 end, { i, i })
        assert(r[1] == 2 * i and r[2] == 2 * i)
      end
      for _, thread in ipairs(threads) do thread:join() end
      print("works")
    ]])

    assert.equal("", err)
    assert.equal("works\n", out)
    assert.equal(0, status)
  end)
end)
