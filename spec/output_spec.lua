local helper = require "spec.helper"
local tidepool = require "tidepool"

local function sorted(text)
  local list = {}
  for line in text:gmatch("[^\n]*\n") do list[#list + 1] = line end
  table.sort(list)
  return list
end

describe("print in a task", function()
  it("shows each line once and whole, also from all workers at a time", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(4)
      pool:map(function(x)
        for i = 1, 50 do print(("task %02d line %02d "):format(x, i) .. ("x"):rep(200)) end
      end, { 1, 2, 3, 4, 5, 6, 7, 8 }, 1)
    ]])

    local expected = {}
    for x = 1, 8 do
      for i = 1, 50 do
        expected[#expected + 1] = ("task %02d line %02d "):format(x, i) .. ("x"):rep(200) .. "\n"
      end
    end
    assert.equal("", err)
    assert.same(expected, sorted(out))
    assert.equal(0, status)
  end)

  it("shows no later than its result", function()
    local out, err = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(2)
      io.stdout:setvbuf("no")
      for i = 1, 20 do
        pool:apply(function(x) print("task " .. x) end, { i })
        print("result " .. i)
      end
      pool:apply(function() io.write("no end of line") end)
      print(" - result")
    ]])

    local expected = {}
    for i = 1, 20 do
      expected[2 * i - 1], expected[2 * i] = "task " .. i, "result " .. i
    end
    expected[41] = "no end of line - result\n"
    assert.equal("", err)
    assert.equal(table.concat(expected, "\n"), out)
  end)

  it("is not lost when the worker dies right after it", function()
    local out = helper.run([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local pool <close> = tidepool.pool(1)
      pcall(pool.apply, pool, function()
        print("last words before a kill")
        helper.kill(tidepool.worker.pid, "KILL")
        tidepool.sleep(10)
      end)
      pcall(pool.apply, pool, function()
        print("last words before an exit")
        os.exit(1)
      end)
    ]])

    assert.equal("last words before a kill\nlast words before an exit\n", out)
  end)

  it("may go to standard error", function()
    local out, err = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      pool:apply(function() io.stderr:write("to standard error\n") end)
    ]])

    assert.equal("", out)
    assert.equal("to standard error\n", err)
  end)

  it("is told from text that the parent has printed before", function()
    local out, err = helper.run([[
      io.stdout:setvbuf("full")
      print("before the module")
      local tidepool = require "tidepool"
      print("before the pool")
      do
        local pool <close> = tidepool.pool(3)
        print("before the tasks")
        pool:map(function(x) return x end, { 1, 2, 3, 4, 5, 6 }, 1)
        pcall(pool.apply, pool, function() os.exit(0) end)
      end
      print("after the pool")
    ]])

    assert.equal("", err)
    assert.equal("before the module\nbefore the pool\nbefore the tasks\nafter the pool\n", out)
  end)
end)

describe("standard output", function()
  it("stays open in the parent when a task closes or redirects its own", function()
    local elsewhere <close> = helper.file()
    local out, err, status = helper.run(([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      local path = %q
      pool:apply(function()
        io.output(path)
        io.write("elsewhere")
        io.output():close()
        io.stdout:close()
      end)
      print("still open")
      print(pool:apply(function(x) return x end, { "and the pool works" }))
    ]]):format(elsewhere.path))

    assert.equal("", err)
    assert.equal("still open\nand the pool works\n", out)
    assert.equal("elsewhere", elsewhere:read())
    assert.equal(0, status)
  end)

  it("that nobody reads any more does not kill the pool", function()
    local journal <close> = helper.file()
    local out = helper.run(([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local pool <close> = tidepool.pool(1)
      local results = pool:map(function(x)
        print(("x"):rep(100000))
        return x
      end, { 1, 2, 3 }, 1)
      helper.note(%q, results.n)
    ]]):format(journal.path), { under = [[sh -c '"$@" | true' sh]] })

    assert.equal("", out)
    assert.same({ "3" }, journal:lines())
  end)

  it("that cannot be written fails the items that print", function()
    for _, text in ipairs { "print(x)", "io.write(x)" } do
      local _, err, status = helper.run(([[
        local pool <close> = require("tidepool").pool(1)
        pool:map(function(x) %s end, { 1, 2, 3 })
      ]]):format(text), { under = [[sh -c '"$@" >/dev/full' sh]] })

      assert.matches(": cannot write standard output\n", err)
      assert.equal(1, status)
    end
  end)

  it("keeps its place: a task does not move the files of the parent", function()
    local file <close> = helper.file("one\ntwo\nthree\n")
    local handle = assert(io.open(file.path))
    local pool <close> = tidepool.pool(1)
    assert.equal("one", handle:read("l"))

    local path = file.path
    pool:apply(function()
      local own = assert(io.open(path))
      own:read("a")
      own:close()
    end)

    assert.equal("two", handle:read("l"))
    handle:close()
  end)
end)
