local helper = require "spec.helper"
local tidepool = require "tidepool"

local function gone(pids)
  for _, pid in ipairs(pids) do
    helper.eventually(function() return not helper.alive(pid) end)
  end
end

---A program that prints its process id, those of two busy workers and of all below it, then runs
---`ending`.
local function program(ending)
  return [[
    local tidepool = require "tidepool"
    local helper = require "spec.helper"
    io.stdout:setvbuf("line")
    local journal <close> = helper.file()
    pool = tidepool.pool { processes = 2, scripts = "spec/fixtures/jobs.lua" }
    for _ = 1, 10 do pool:apply_async("hold", { "/nonexistent/gate", journal.path }) end
    journal:await(2)
    os.remove(journal.path)
    print(tidepool.getpid())
    print(table.concat(helper.descendants(tidepool.getpid()), " "))
  ]] .. ending
end

local function numbers(line)
  local list = {}
  for number in line:gmatch("%d+") do list[#list + 1] = math.tointeger(tonumber(number)) end
  return list
end

---The processes of `program(ending)` after its end, with its status and its errors.
local function processes_after(ending)
  local out, err, status = helper.run(program(ending))
  local below = numbers(out:match("\n([^\n]*)\n"))
  assert.is_true(#below >= 3)
  return below, status, err
end

describe("the end of the program", function()
  it("stops the workers of a pool that was never closed", function()
    local below, status, err = processes_after("")

    gone(below)
    assert.equal("", err)
    assert.equal(0, status)
  end)

  it("stops them after os.exit, whether it closes the state or not", function()
    for ending, expected in pairs { ["os.exit(true, true)"] = 0, ["os.exit(true, false)"] = 0,
      ["os.exit(5)"] = 5, ["os.exit(6, true)"] = 6 } do
      local below, status = processes_after(ending)

      gone(below)
      assert.equal(expected, status)
    end
  end)

  it("stops them after an error", function()
    local below, status, err = processes_after("error('the end')")

    gone(below)
    assert.truthy(err:find("the end", 1, true), err)
    assert.equal(1, status)
  end)

  it("stops them after SIGTERM", function()
    local busy <close> = helper.start(program("while true do tidepool.sleep(1) end"))
    local parent, below = busy:number(), numbers(busy:line())

    helper.kill(parent, "TERM")

    gone(below)
    gone { parent }
  end)

  it("stops them after kill -9", function()
    local busy <close> = helper.start(program("while true do tidepool.sleep(1) end"))
    local parent, below = busy:number(), numbers(busy:line())

    helper.kill(parent, "KILL")

    gone(below)
  end)

  it("stops workers that loop after kill -9", function()
    local busy <close> = helper.start([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      io.stdout:setvbuf("line")
      local journal <close> = helper.file()
      local path = journal.path
      local pool = tidepool.pool(2)
      for _ = 1, 4 do
        pool:apply_async(function()
          helper.note(path, "looping")
          while true do end
        end)
      end
      journal:await(2)
      os.remove(path)
      print(tidepool.getpid())
      print(table.concat(helper.descendants(tidepool.getpid()), " "))
      while true do tidepool.sleep(1) end
    ]])
    local parent, below = busy:number(), numbers(busy:line())

    helper.kill(parent, "KILL")

    gone(below)
  end)

  it("stops idle workers after kill -9", function()
    local idle <close> = helper.start([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      io.stdout:setvbuf("line")
      local pool = tidepool.pool(2)
      helper.workers(pool, 2)
      print(tidepool.getpid())
      print(table.concat(helper.descendants(tidepool.getpid()), " "))
      while true do tidepool.sleep(1) end
    ]])
    local parent, below = idle:number(), numbers(idle:line())

    helper.kill(parent, "KILL")

    gone(below)
  end)

  it("leaves nothing behind when the program only loaded the module", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      print(table.concat(helper.descendants(tidepool.getpid()), " "))
    ]])

    gone(numbers(out))
    assert.equal("", err)
    assert.equal(0, status)
  end)

  it("comes at once for a pool that was closed but not joined", function()
    local below, status = processes_after("pool:close()")

    gone(below)
    assert.equal(0, status)
  end)
end)

describe("a forgotten pool", function()
  it("is stopped by the collector, with a warning", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local before = #helper.descendants(tidepool.getpid())
      do
        local pool = tidepool.pool(2)
        pool:apply(function() end)
        print(#helper.descendants(tidepool.getpid()) > before)
      end
      collectgarbage()
      collectgarbage()
      helper.eventually(function()
        return #helper.descendants(tidepool.getpid()) == before
      end)
      print("gone")
    ]], { flags = "-W" })

    assert.equal("true\ngone\n", out)
    assert.truthy(err:find("^Lua warning: .*pool"), err)
    assert.equal(0, status)
  end)

  it("does not block the collector", function()
    local journal <close> = helper.file()
    local path = journal.path
    helper.no_leaks(function()
      do
        local pool = tidepool.pool(1)
        pool:apply_async(function()
          helper.note(path, "busy")
          tidepool.sleep(60)
        end)
        journal:await(1)
      end
      helper.within(5, function()
        collectgarbage()
        collectgarbage()
      end)
    end)
  end)

  it("lives on while a result of it is kept", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local handle = tidepool.pool(1):apply_async(function()
      helper.pass(path)
      return "resolved"
    end)

    collectgarbage()
    collectgarbage()
    gate:open()

    assert.equal("resolved", handle:get(20))
  end)

  it("that was closed leaves no zombie without join", function()
    helper.no_leaks(function()
      do
        local pool = tidepool.pool(2)
        pool:map(function(x) return x end, { 1, 2, 3 })
        pool:close()
      end
      collectgarbage()
      collectgarbage()
    end)
  end)
end)

describe("a worker", function()
  it("runs no finalizers of the parent and flushes none of its buffers", function()
    local journal <close> = helper.file()
    local out, err, status = helper.run(([[
      local path = %q
      local function note(text)
        local file = io.open(path, "a")
        file:write(text, "\n")
        file:close()
      end
      early = setmetatable({}, { __gc = function() note("early") end })
      io.stdout:setvbuf("full")
      io.write("before, ")
      local tidepool = require "tidepool"
      late = setmetatable({}, { __gc = function() note("late") end })
      local scope <close> = setmetatable({}, { __close = function() note("scope") end })
      io.write("between, ")
      do
        local pool <close> = tidepool.pool(2)
        io.write("inside, ")
        pool:map(function() collectgarbage() end, { 1, 2, 3, 4 })
        pcall(pool.apply, pool, os.exit, { 3, true })
      end
      io.write("after\n")
    ]]):format(journal.path))

    assert.equal("", err)
    assert.equal("before, between, inside, after\n", out)
    assert.equal(0, status)
    local lines = journal:lines()
    table.sort(lines)
    assert.same({ "early", "late", "scope" }, lines)
  end)
end)

describe("a program started by the parent", function()
  it("inherits no descriptor of a pool", function()
    local function inherited()
      local pipe = assert(io.popen("ls /proc/self/fd"))
      local text = pipe:read("a")
      pipe:close()
      return text
    end
    local before = inherited()

    local pool <close> = tidepool.pool(2)
    pool:apply(function() end)

    assert.equal(before, inherited())
  end)

  it("gives the parent its exit status while a pool runs", function()
    local pool <close> = tidepool.pool(2)
    pool:apply(function() end)

    assert.same({ nil, "exit", 7, n = 3 }, table.pack(os.execute("exit 7")))
    local pipe = assert(io.popen("exit 3"))
    assert.same({ nil, "exit", 3, n = 3 }, table.pack(pipe:close()))
  end)
end)
