local helper = require "spec.helper"
local tidepool = require "tidepool"

local here = debug.getinfo(1, "S").short_src

local function jobs(n)
  return tidepool.pool { processes = n or 1, scripts = "spec/fixtures/jobs.lua" }
end

local function pid() return tidepool.worker.pid end

---The error object of a task.
local function failure(pool, f, args)
  return helper.failure(function() pool:apply(f, args) end)
end

describe("an error of a task", function()
  it("keeps its message and its position", function()
    local pool <close> = jobs()
    local line = debug.getinfo(1, "l").currentline + 1
    local err = failure(pool, function() error("oops") end)

    assert.equal("error", err.kind)
    assert.equal(here .. ":" .. line .. ": oops", err.value)
    assert.truthy(err.message:find(err.value, 1, true), err.message)
  end)

  it("keeps a message without a position", function()
    local pool <close> = jobs()

    assert.equal("oops", failure(pool, function() error("oops", 0) end).value)
  end)

  it("names worker, process, task, index and attempt", function()
    local pool <close> = jobs()
    local worker = pool:apply(pid)

    local err = failure(pool, "fail", { "oops" })

    assert.equal(1, err.worker)
    assert.equal(worker, err.pid)
    assert.equal("fail", err.task)
    assert.equal(1, err.attempt)
  end)

  it("names the item of a map", function()
    local pool <close> = jobs(2)

    local err = helper.failure(function()
      pool:map(function(x)
        if x == 3 then error("oops") end
      end, { 1, 2, 3, 4 })
    end)

    assert.equal(3, err.index)
  end)

  it("shows the item's arguments", function()
    local pool <close> = jobs(2)

    assert.equal('"oops"', failure(pool, "fail", { "oops" }).input)
    assert.is_nil(failure(pool, function() error("oops") end).input)
    local r = pool:map(function(x)
      if x == 4 then os.exit(3) end
      error("oops")
    end, { 1, "two\n", ("3"):rep(100), 4, { 5 } }, { on_error = "keep", chunksize = 5 })
    local inputs = {}
    for i = 1, r.n do inputs[i] = r.errors[i].input end
    assert.same({ "1", '"two\\n"', '"' .. ("3"):rep(60) .. '"...', "4", "{5}" }, inputs)
  end)

  it("shows the arguments of each item that an unknown function had", function()
    local pool <close> = jobs()

    local r = pool:map("no_such_function", { 1, 2, 3 }, { on_error = "keep", chunksize = 3 })

    assert.equal("123", r.errors[1].input .. r.errors[2].input .. r.errors[3].input)
  end)

  it("names a function that was sent by value by its place", function()
    local pool <close> = jobs()
    local line = debug.getinfo(1, "l").currentline + 1
    local err = failure(pool, function() error("oops") end)

    assert.equal("function <" .. here .. ":" .. line .. ">", err.task)
  end)

  it("keeps a table with its fields", function()
    local pool <close> = jobs()

    local err = failure(pool, function() error({ code = 42, list = { 1, 2 } }) end)

    assert.same({ code = 42, list = { 1, 2 } }, err.value)
    assert.equal("string", type(err.message))
  end)

  it("keeps nil, false and numbers, which still are failures", function()
    local pool <close> = jobs()
    local function raise(value) error(value) end

    local err = failure(pool, raise, { nil, n = 1 })
    assert.same({ "error", nil }, { err.kind, err.value })
    err = failure(pool, raise, { false })
    assert.same({ "error", false }, { err.kind, err.value })
    err = failure(pool, raise, { 42 })
    assert.same({ "error", 42 }, { err.kind, err.value })
    assert.equal("integer", math.type(err.value))
    assert.equal("string", type(err.message))
  end)

  it("has the stack of the worker, also when it is a table", function()
    local pool <close> = jobs()
    local line = debug.getinfo(1, "l").currentline + 2
    local function deep(value)
      error(value)
    end
    local function outer(value)
      deep(value)
      return "not a tail call"
    end

    for _, value in ipairs { "oops", { code = 1 } } do
      local err = failure(pool, outer, { value })

      assert.truthy(err.traceback:find("stack traceback:", 1, true), err.traceback)
      assert.truthy(err.traceback:find(here .. ":" .. line, 1, true), err.traceback)
    end
  end)

  it("has the stack in scripts", function()
    local pool <close> = jobs()

    local err = failure(pool, "fail", { "oops" })

    assert.truthy(err.traceback:find("spec/fixtures/jobs.lua:%d+"), err.traceback)
  end)

  it("shows message and stack as text", function()
    local pool <close> = jobs()

    local err = failure(pool, "fail", { "oops" })
    local text = tostring(err)

    assert.equal(err.message, text:sub(1, #err.message))
    assert.truthy(text:find("spec/fixtures/jobs.lua:%d+: in function 'fail'"), text)
  end)

  it("that nobody catches ends the program with message and stack", function()
    local out, err, status = helper.run([[
      local pool <close> = require("tidepool").pool {
        processes = 1, scripts = "spec/fixtures/jobs.lua" }
      pool:apply("fail", { "nobody catches this" })
    ]])

    assert.equal("", out)
    assert.truthy(err:find("nobody catches this", 1, true), err)
    assert.truthy(err:find("spec/fixtures/jobs.lua:%d+"), err)
    assert.equal(1, status)
  end)

  it("may come from Lua itself or from C functions", function()
    local pool <close> = jobs()
    local worker = pool:apply(pid)

    local err = failure(pool, function() return (nil).field end)
    assert.truthy(err.value:find("attempt to index a nil value", 1, true), err.value)
    err = failure(pool, function() return math.floor({}) end)
    assert.truthy(err.value:find("bad argument #1 to 'floor'", 1, true), err.value)
    err = failure(pool, function() return tonumber("z", 99) end)
    assert.truthy(err.value:find("base out of range", 1, true), err.value)

    assert.equal(worker, pool:apply(pid))
  end)

  it("may be a stack overflow", function()
    local pool <close> = jobs()
    local worker = pool:apply(pid)

    local err = failure(pool, function()
      local function f(x) return 1 + f(x) end
      return f(1)
    end)
    assert.equal("error", err.kind)
    assert.truthy(err.value:find("stack overflow", 1, true), err.value)
    err = failure(pool, function()
      local function f(s) return s:gsub(".", f) end
      return f("x")
    end)
    assert.truthy(err.value:find("C stack overflow", 1, true), err.value)

    assert.equal(worker, pool:apply(pid))
  end)

  it("may be a lack of memory", function()
    if helper.sanitized then
      pending("a sanitizer needs the address space itself")
      return
    end
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      local function pid() return tidepool.worker.pid end
      local before = pool:apply(pid)
      local ok, err = pcall(pool.apply, pool, function()
        local list = {}
        for i = 1, 1000 do list[i] = ("x"):rep((1 << 20) + i) end
      end)
      print(ok, err.kind, err.value, before == pool:apply(pid))
    ]], { under = "prlimit --data=100000000" })

    assert.equal("", err)
    assert.equal("false\terror\tnot enough memory\ttrue\n", out)
    assert.equal(0, status)
  end)

  it("may have a __tostring that raises or returns no string", function()
    local pool <close> = jobs()

    for _, method in ipairs { function() error("no") end, function() return {} end } do
      local err = failure(pool, function(code)
        error(setmetatable({ code = code, thread = coroutine.create(print) },
          { __tostring = method }))
      end, { 5 })
      assert.equal("error", err.kind)
      assert.equal("string", type(err.message))
    end
    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("that cannot be sent is replaced by its text", function()
    local pool <close> = jobs()

    for _, make in ipairs {
      function() error(coroutine.create(print)) end,
      function() error(io.stdout) end,
      function() error({ deep = { coroutine.create(print) } }) end,
    } do
      local err = failure(pool, make)
      assert.equal("error", err.kind)
      assert.equal("string", type(err.message))
    end
    local err = failure(pool, function()
      error(setmetatable({ coroutine.create(print) }, {
        __tostring = function() return "a text of its own" end,
      }))
    end)
    assert.truthy(err.message:find("a text of its own", 1, true), err.message)
  end)

  it("that cannot be rebuilt in the parent is still an error", function()
    local pool <close> = jobs()

    local err = failure(pool, function()
      local Odd = {}
      require("tidepool").codec.register("spec.unknown_to_the_parent", Odd)
      error(setmetatable({ 1 }, Odd))
    end)

    assert.equal("string", type(err.message))
    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("is no result, and a result that looks like one is no error", function()
    local pool <close> = jobs()
    local lookalike = { kind = "error", message = "oops", value = "oops", traceback = "" }

    assert.same(lookalike, pool:apply("echo", { lookalike }))
  end)

  it("may have a message of a megabyte", function()
    local pool <close> = jobs()

    local err = failure(pool, function() error(("x"):rep(1 << 20), 0) end)

    assert.equal(1 << 20, #err.value)
  end)

  it("may come from a __close, which is not lost", function()
    local pool <close> = jobs()
    local worker = pool:apply(pid)

    local err = failure(pool, function()
      local _ <close> = setmetatable({}, { __close = function() error("closing", 0) end })
    end)

    assert.equal("closing", err.value)
    assert.equal(worker, pool:apply(pid))
  end)

  it("in a __gc costs neither the task nor the worker", function()
    local pool <close> = jobs()
    local worker = pool:apply(pid)

    assert.equal("done", pool:apply(function()
      setmetatable({}, { __gc = function() error("collecting") end })
      collectgarbage()
      return "done"
    end))

    assert.equal(worker, pool:apply(pid))
  end)

  it("in a coroutine that was left alone affects nothing", function()
    local pool <close> = jobs()

    assert.is_false(pool:apply(function()
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function() error("closing") end })
        error("left alone")
      end)
      return (coroutine.resume(co))
    end))

    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("is raised for a task that yields", function()
    local pool <close> = jobs()

    local err = failure(pool, function() coroutine.yield(1) end)

    assert.equal("error", err.kind)
    assert.truthy(err.value:find("attempt to yield from outside a coroutine", 1, true), err.value)
  end)
end)
