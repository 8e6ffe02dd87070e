local helper = require "spec.helper"
local shapes = require "spec.fixtures.shapes"
local tidepool = require "tidepool"

local function jobs(n)
  return tidepool.pool { processes = n or 1,
    scripts = { "spec/fixtures/jobs.lua", "spec/fixtures/img.lua" } }
end

describe("a function by name", function()
  it("is a global of the worker", function()
    local pool <close> = jobs()

    assert.equal(14, pool:apply("double", { 7 }))
    assert.same({ 2, 4, n = 2 }, pool:map("double", { 1, 2 }))
  end)

  it("is a path from the globals", function()
    local pool <close> = jobs()

    assert.equal("ABC", pool:apply("text.case.up", { "abc" }))
    assert.equal("ABC", pool:apply("string.upper", { "abc" }))
  end)

  it("is a field of a script that returns a module", function()
    local pool <close> = jobs()

    assert.equal(6, pool:apply("img.resize", { 2, 3 }))
    assert.equal(6, pool:apply(function(a, b) return require("img").resize(a, b) end, { 2, 3 }))
  end)

  it("is a field of a module that is loaded on demand", function()
    local pool <close> = jobs()

    assert.equal(20, pool:apply("spec.fixtures.shapes.area", { 4, 5 }))
  end)

  it("is an object that can be called", function()
    local pool <close> = jobs()

    assert.equal("hello world", pool:apply("greeter", { "world" }))
  end)

  it("is found through a metatable", function()
    local pool <close> = jobs()

    assert.equal(6, pool:apply("inherited.double", { 3 }))
  end)

  it("is refused by name when nobody knows it", function()
    local pool <close> = jobs()

    for _, name in ipairs { "no_such_function", "text.no_such_function", "nowhere.to.be_found" } do
      local err = helper.failure(function() pool:apply(name, { 1 }) end)
      assert.equal("unknown_function", err.kind)
      assert.truthy(err.message:find(name, 1, true), err.message)
    end
    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("is refused when it cannot be called", function()
    local pool <close> = jobs()

    local err = helper.failure(function() pool:apply("not_callable") end)

    assert.truthy(tostring(err):find("not_callable", 1, true), tostring(err))
    assert.equal(4, pool:apply("double", { 2 }))
  end)
end)

describe("a function value", function()
  it("that is reachable by name is sent as that name", function()
    local pool <close> = jobs()

    assert.same({ "A", "B", n = 2 }, pool:map(string.upper, { "a", "b" }))
    assert.equal(3, pool:apply(math.floor, { 3.7 }))
    assert.equal(6, pool:apply(shapes.area, { 2, 3 }))
    local err = helper.failure(function() pool:apply(string.rep, { {} }) end)
    assert.equal("string.rep", err.task)
  end)

  it("carries its upvalues by copy", function()
    local pool <close> = jobs(2)
    local factor, list, names = 3, { 1, 2, { 3 } }, { a = "b" }

    assert.same({ 21, { 1, 2, { 3 } }, "b" }, { pool:apply(function(x)
      return x * factor, list, names.a
    end, { 7 }) })
  end)

  it("does not change the upvalues of the parent", function()
    local pool <close> = jobs()
    local list = { 1 }

    pool:apply(function() list[1] = "changed" end)

    assert.same({ 1 }, list)
  end)

  it("uses modules of the worker, not copies", function()
    local pool <close> = jobs()

    assert.is_true(pool:apply(function()
      return rawequal(shapes, require("spec.fixtures.shapes"))
    end))
    local area = shapes.area
    assert.is_true(pool:apply(function()
      return rawequal(area, require("spec.fixtures.shapes").area)
    end))
  end)

  it("uses the globals of the worker", function()
    local pool <close> = jobs()

    assert.equal(14, pool:apply(function(x) return _G.double(x) end, { 7 }))
    assert.is_nil(rawget(_G, "double"))
  end)

  it("uses them wherever its _ENV stands among the upvalues", function()
    local pool <close> = jobs()
    local a, b = 1, 2
    local function first() return type(print), a, b end
    local function last() return a, b, type(print) end
    local function none() return a, b end

    assert.same({ "function", 1, 2 }, { pool:apply(first) })
    assert.same({ 1, 2, "function" }, { pool:apply(last) })
    assert.same({ 1, 2 }, { pool:apply(none) })
  end)

  it("sets globals of the worker that stay", function()
    local pool <close> = jobs()

    pool:apply(function() _G.left_behind = 42 end)

    assert.equal(42, pool:apply(function() return _G.left_behind end))
    assert.is_nil(rawget(_G, "left_behind"))
  end)

  it("may be nested in and made of other functions", function()
    local pool <close> = jobs()
    local function inner(x) return x + 1 end
    local function outer(x) return inner(inner(x)) end

    assert.equal(12, pool:apply(function(x)
      local function twice(f) return function(y) return f(f(y)) end end
      return twice(outer)(x)
    end, { 8 }))
  end)

  it("may be recursive", function()
    local pool <close> = jobs()
    local function factorial(n) return n <= 1 and 1 or n * factorial(n - 1) end

    assert.equal(3628800, pool:apply(factorial, { 10 }))
  end)

  it("may be mutually recursive with another", function()
    local pool <close> = jobs()
    local odd
    local function even(n) return n == 0 or odd(n - 1) end
    function odd(n) return n ~= 0 and even(n - 1) end

    assert.same({ true, false }, { pool:apply(even, { 10 }), pool:apply(odd, { 10 }) })
  end)

  it("keeps two functions on one upvalue together", function()
    local pool <close> = jobs()
    local n = 10
    local function increase() n = n + 1 end
    local function f()
      increase()
      increase()
      return n
    end

    assert.equal(12, pool:apply(f))
    assert.equal(10, n)
  end)

  it("may take a variable number of arguments", function()
    local pool <close> = jobs()

    assert.same({ 3, "c" }, { pool:apply(function(...)
      return select("#", ...), (select(3, ...))
    end, { "a", "b", "c" }) })
  end)

  it("is refused with the name of an upvalue that cannot be sent", function()
    local pool <close> = jobs()
    local secret_thread = coroutine.create(print)
    local secret_file = { handle = io.stdout }

    local text = helper.message(helper.failure(function()
      pool:apply(function() return secret_thread end)
    end))
    assert.truthy(text:find("secret_thread", 1, true), text)
    assert.truthy(text:find("a coroutine", 1, true), text)
    text = helper.message(helper.failure(function()
      pool:apply(function() return secret_file end)
    end))
    assert.truthy(text:find("secret_file", 1, true), text)
    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("may be made after the pool, and made anew", function()
    local pool <close> = jobs()

    for i = 1, 20 do
      local f = assert(load("return function(x) return x + " .. i .. " end"))()
      assert.equal(100 + i, pool:apply(f, { 100 }))
    end
  end)

  it("is called anew when a global of that name is redefined", function()
    local out, err = helper.run([[
      local pool <close> = require("tidepool").pool(1)
      function f() return "first" end
      print(pool:apply(f))
      function f() return "second" end
      print(pool:apply(f))
    ]])

    assert.equal("", err)
    assert.equal("first\nsecond\n", out)
  end)

  it("stays apart from another with the same code", function()
    local pool <close> = jobs()
    local function make(n) return function() return n end end
    local one, two = make(1), make(2)

    assert.same({ 1, 2, 1 }, { pool:apply(one), pool:apply(two), pool:apply(one) })
  end)

  it("is refused when it is an object that has no name", function()
    local pool <close> = jobs()

    helper.refusal(function()
      pool:apply(setmetatable({}, { __call = function() return 1 end }))
    end)
  end)

  it("costs no memory of the parent when it is made again and again", function()
    local pool <close> = jobs()
    local function burst(n)
      for i = 1, n do
        assert.equal(i, pool:apply(function() return i end))
      end
      collectgarbage()
      collectgarbage()
    end
    burst(2000)
    local before = collectgarbage("count")

    burst(2000)

    assert.is_true(collectgarbage("count") - before < 256)
  end)
end)

describe("require in a worker", function()
  it("uses the package.path of the parent", function()
    local path = package.path
    package.path = "spec/fixtures/lib/?.lua;" .. path
    local pool <close> = tidepool.pool(1)
    package.path = path

    assert.equal(42, pool:apply(function() return require("only_here").answer end))
  end)

  it("uses the package.cpath of the parent", function()
    local pool <close> = tidepool.pool(1)

    assert.equal(package.cpath, pool:apply(function() return package.cpath end))
  end)

  it("works in all workers at the same time", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool <close> = tidepool.pool(3)

    local results = pool:map(function()
      helper.note(path, "here")
      helper.eventually(function() return select(2, helper.slurp(path):gsub("\n", "")) >= 3 end)
      return require("spec.fixtures.shapes").area(2, 2)
    end, { 1, 2, 3 }, 1)

    assert.same({ 4, 4, 4, n = 3 }, results)
  end)
end)

describe("a script", function()
  ---The text of the error that comes from making or using a pool with that script.
  local function trouble(source)
    local script <close> = helper.file(source)
    local err = helper.failure(function()
      local pool <close> = tidepool.pool { processes = 2, scripts = script.path }
      pool:apply(function() return 1 end)
    end)
    return tostring(err), script.path
  end

  it("with a syntax error is refused with file and line", function()
    local text, path = trouble("local x = 1\nlocal y = = 2\n")

    assert.truthy(text:find(path .. ":2:", 1, true), text)
  end)

  it("that raises is refused with its message", function()
    local text, path = trouble("local x = 1\nerror('from the script')\n")

    assert.truthy(text:find(path .. ":2: from the script", 1, true), text)
  end)

  it("that is no source text is refused", function()
    local text = trouble(string.dump(function() return 1 end))

    assert.truthy(text:find("binary", 1, true), text)
  end)

  it("is the same for a replacement, whatever happened to its file", function()
    local script <close> = helper.file("version = 'old'")
    local pool <close> = tidepool.pool { processes = 1, scripts = script.path,
      maxtasksperchild = 1 }
    local function version() return _G.version, tidepool.worker.pid end
    local before, first = pool:apply(version)

    script:write("version = 'new'")
    local after, second = pool:apply(version)

    assert.not_equal(first, second)
    assert.same({ "old", "old" }, { before, after })
  end)

  it("may start with a line for the shell", function()
    local script <close> = helper.file("#!/usr/bin/env tidepool\nfirst_line = 'skipped'\n")
    local pool <close> = tidepool.pool { processes = 1, scripts = script.path }

    assert.equal("skipped", pool:apply(function() return _G.first_line end))
  end)
end)

describe("a task", function()
  it("may replace global functions without harm to the pool", function()
    local pool <close> = jobs()

    pool:apply(function()
      for _, name in ipairs { "print", "error", "pcall", "xpcall", "type", "tostring", "select",
        "next", "pairs", "require", "load", "setmetatable", "getmetatable", "debug", "table" } do
        _G[name] = nil
      end
    end)

    assert.equal(4, pool:apply("double", { 2 }))
    assert.equal(8, pool:apply(function(x) return x * 2 end, { 4 }))
    assert.equal("error", helper.failure(function()
      pool:apply(function() return {} + 1 end)
    end).kind)
  end)

  it("may change the metatable of strings without harm to the pool", function()
    local pool <close> = jobs()

    pool:apply(function()
      local meta = getmetatable("")
      meta.__index = function() error("no methods") end
      meta.__name = 42
      debug.setmetatable("", nil)
    end)

    assert.equal(4, pool:apply("double", { 2 }))
    local err = helper.failure(function()
      pool:apply(function() error("oops", 0) end)
    end)
    assert.equal("oops", err.value)
  end)

  it("may leave a debug hook behind", function()
    local pool <close> = jobs()

    pcall(pool.apply, pool, function()
      debug.sethook(function() error("from the hook") end, "lcr", 1)
    end)

    assert.equal(4, pool:apply("double", { 2 }))
  end)

  it("may leave the collector stopped", function()
    local pool <close> = jobs()

    pool:apply(function() collectgarbage("stop") end)

    assert.is_true(pool:apply(function() return collectgarbage("isrunning") end))
  end)
end)
