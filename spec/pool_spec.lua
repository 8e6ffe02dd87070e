local helper = require "spec.helper"
local tidepool = require "tidepool"

---Fail unless `fn` raises a plain string with `name` in it and makes no process.
local function refuses(name, fn)
  local before = helper.descendants(tidepool.getpid())

  local text = helper.refusal(fn)

  assert.truthy(text:find(name, 1, true), "the error does not name " .. name .. ": " .. text)
  assert.same(before, helper.descendants(tidepool.getpid()))
end

describe("tidepool.pool", function()
  it("starts as many workers as asked for", function()
    local pool <close> = tidepool.pool(3)

    local pids = helper.workers(pool, 3)

    assert.equal(3, #pids)
    assert.equal(3, #helper.children(helper.parent(pids[1])))
  end)

  it("takes its options in a table", function()
    local pool <close> = tidepool.pool { processes = 2, name = "counting" }

    assert.equal(2, #helper.workers(pool, 2))
  end)

  it("has a worker for each usable CPU when no number is given", function()
    local pool <close> = tidepool.pool()

    local n = tidepool.cpu_count()

    assert.equal("integer", math.type(n))
    local worker = pool:apply(function() return tidepool.worker.pid end)
    assert.equal(n, #helper.children(helper.parent(worker)))
  end)

  it("takes 2.0 for 2", function()
    local pool <close> = tidepool.pool(2.0)

    assert.equal(2, #helper.workers(pool, 2))
  end)

  it("has more workers than there are CPUs when asked to", function()
    local n = tidepool.cpu_count() + 3
    local pool <close> = tidepool.pool(n)

    assert.equal(n, #helper.workers(pool, n))
  end)

  it("leaves the option table of the caller as it was", function()
    local initargs = { 1, nil, 3, n = 3 }
    local options = setmetatable({ processes = 2, scripts = "spec/fixtures/jobs.lua",
      initializer = "echo", initargs = initargs }, {
      __newindex = function() error("the option table was changed") end,
    })

    local pool <close> = tidepool.pool(options)
    pool:apply("double", { 1 })

    assert.same({ processes = 2, scripts = "spec/fixtures/jobs.lua", initializer = "echo",
      initargs = initargs }, setmetatable(options, nil))
    assert.same({ 1, nil, 3, n = 3 }, initargs)
  end)

  it("runs several scripts in order in each worker", function()
    local first <close> = helper.file("order = 'first'")
    local second <close> = helper.file("order = order .. ', second'")
    local pool <close> = tidepool.pool { processes = 1, scripts = { first.path, second.path } }

    assert.equal("first, second", pool:apply(function() return _G.order end))
  end)

  it("can be closed and joined without a task", function()
    helper.no_leaks(function()
      local pool = tidepool.pool(2)
      pool:close()
      helper.within(10, pool.join, pool)
    end)
  end)

  it("leaves nothing behind after a hundred pools", function()
    local function use(n)
      for i = 1, n do
        local pool <close> = tidepool.pool(1)
        assert.equal(i + 1, pool:apply(function(x) return x + 1 end, { i }))
        if i % 10 == 0 then collectgarbage() end
      end
    end
    use(40)
    local memory = helper.memory()

    helper.no_leaks(function() use(100) end)

    if not helper.sanitized then assert.is_true(helper.memory() - memory < 8 * 1024) end
  end)

  it("does not affect another pool", function()
    local second <close> = tidepool.pool(1)
    do
      local first <close> = tidepool.pool(1)
      assert.equal(1, first:apply(function() return 1 end))
      assert.equal(2, second:apply(function() return 2 end))
    end
    assert.equal(3, second:apply(function() return 3 end))
    do
      local third <close> = tidepool.pool(1)
      third:terminate()
    end
    assert.equal(4, second:apply(function() return 4 end))
  end)

  it("works with sixteen descriptors", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(8)
      local r = pool:map(function(x) return x * x end, { 1, 2, 3 })
      print(r[1], r[2], r[3])
    ]], { before = "ulimit -n 16;" })

    assert.equal("", err)
    assert.equal("1\t4\t9\n", out)
    assert.equal(0, status)
  end)

  it("fails cleanly without descriptors and works when there are some again", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local before = #helper.descendants(tidepool.getpid())
      local files = {}
      repeat
        local file, message = io.open("/dev/null")
        files[#files + 1] = file
      until not file
      local ok, text = pcall(tidepool.pool, 2)
      for _, file in ipairs(files) do file:close() end
      print(ok, type(text), tostring(text):match("[Tt]oo many open files"))
      helper.eventually(function()
        return #helper.descendants(tidepool.getpid()) == before
      end)
      local pool <close> = tidepool.pool(2)
      print(pool:apply(function() return "works" end))
    ]], { before = "ulimit -n 40;" })

    assert.equal("", err)
    assert.equal("false\tstring\tToo many open files\nworks\n", out)
    assert.equal(0, status)
  end)

  it("says so when hardly a file can be opened", function()
    for most = 10, 14 do
      local out = helper.run([[
        local ok, why = pcall(require("tidepool").pool, 2)
        print(ok, (tostring(why):match("cannot start a pool of 2 processes")))
      ]], { under = ("prlimit --nofile=%d"):format(most) })
      assert.equal("false\tcannot start a pool of 2 processes\n", out)
    end
  end)

  it("stops the workers it has made when one more cannot be made", function()
    local under = "setpriv --reuid 54321 --clear-groups"
    local _, _, probe = helper.run("", { under = under })
    if probe ~= 0 then
      pending("needs root, setpriv and a tree that others can read")
      return
    end
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local before = #helper.descendants(tidepool.getpid())
      local ok, text = pcall(tidepool.pool, 64)
      print(ok, type(text))
      helper.eventually(function()
        return #helper.descendants(tidepool.getpid()) == before
      end)
      print("clean")
    ]], { under = under .. " prlimit --nproc=12" })

    assert.equal("", err)
    assert.equal("false\tstring\nclean\n", out)
    assert.equal(0, status)
  end)

  describe("refuses", function()
    it("a number of workers below one", function()
      refuses("processes", function() tidepool.pool { processes = 0 } end)
      refuses("processes", function() tidepool.pool { processes = -1 } end)
      refuses("processes", function() tidepool.pool { processes = math.mininteger } end)
      helper.refusal(function() tidepool.pool(0) end)
      helper.refusal(function() tidepool.pool(-3) end)
    end)

    it("a number of workers that is no integer", function()
      refuses("processes", function() tidepool.pool { processes = 2.5 } end)
      refuses("processes", function() tidepool.pool { processes = "abc" } end)
      refuses("processes", function() tidepool.pool { processes = {} } end)
      refuses("processes", function() tidepool.pool { processes = 0 / 0 } end)
      refuses("processes", function() tidepool.pool { processes = math.huge } end)
      helper.refusal(function() tidepool.pool(2.5) end)
      helper.refusal(function() tidepool.pool("abc") end)
    end)

    it("a recycle count below one or no integer", function()
      for _, count in ipairs { 0, -1, 1.5, "two", {} } do
        refuses("maxtasksperchild", function() tidepool.pool { maxtasksperchild = count } end)
      end
    end)

    it("an initializer or finalizer that cannot be called", function()
      refuses("initializer", function() tidepool.pool { initializer = 42 } end)
      refuses("initializer", function() tidepool.pool { initializer = {} } end)
      refuses("finalizer", function() tidepool.pool { finalizer = true } end)
      helper.refusal(function() tidepool.pool(1, 42) end)
    end)

    it("arguments of the initializer that are no sequence", function()
      refuses("initargs", function() tidepool.pool { initializer = "print", initargs = 42 } end)
    end)

    it("scripts that are no file names", function()
      refuses("scripts", function() tidepool.pool { scripts = 42 } end)
      refuses("scripts", function() tidepool.pool { scripts = { {} } } end)
      refuses("no_such_script.lua", function()
        tidepool.pool { scripts = "spec/no_such_script.lua" }
      end)
    end)

    it("an option it does not know", function()
      refuses("procesess", function() tidepool.pool { procesess = 2 } end)
      refuses("1", function() tidepool.pool { 2 } end)
    end)

    it("wrong types of the other options", function()
      refuses("window", function() tidepool.pool { window = 0 } end)
      refuses("window_bytes", function() tidepool.pool { window_bytes = -1 } end)
      refuses("serial", function() tidepool.pool { serial = "yes" } end)
      refuses("name", function() tidepool.pool { name = {} } end)
    end)

    it("them with the position of the caller", function()
      local line = debug.getinfo(1, "l").currentline + 1
      local err = helper.failure(function() tidepool.pool { processes = 0 } end)

      local here = debug.getinfo(1, "S").short_src
      assert.equal(here .. ":" .. line .. ": ", err:sub(1, #here + #tostring(line) + 3))
    end)
  end)
end)

describe("tostring(pool)", function()
  it("shows name, state and size", function()
    local pool = tidepool.pool { processes = 3, name = "hasher" }
    local open = tostring(pool)
    pool:close()
    local closed = tostring(pool)
    pool:join()

    assert.truthy(open:find("hasher", 1, true), open)
    assert.truthy(open:find("3", 1, true), open)
    assert.falsy(open:find("closed", 1, true), open)
    assert.truthy(closed:find("closed", 1, true), closed)
  end)

  it("tells a terminated pool", function()
    local pool = tidepool.pool(1)
    pool:terminate()
    local text = tostring(pool)
    pool:join()

    assert.truthy(text:find("terminated", 1, true), text)
  end)
end)

describe("tidepool.cpu_count", function()
  it("counts only the CPUs this process may use", function()
    local out = helper.run("print(require('tidepool').cpu_count())", { under = "taskset -c 0" })

    assert.equal("1\n", out)
  end)
end)
