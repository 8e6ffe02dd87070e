local helper = require "spec.helper"
local Point = require "spec.fixtures.point"
local tidepool = require "tidepool"

local function echo(...) return ... end

---A value through a worker and back.
local function through(value)
  local pool <close> = tidepool.pool(1)
  return pool:apply(echo, { value, n = 1 })
end

---The message of the refusal of these arguments.
local function refusal(args)
  local pool <close> = tidepool.pool(1)
  return helper.message(helper.failure(function() pool:apply(echo, args) end))
end

local function same_number(a, b)
  return math.type(a) == math.type(b) and string.pack("n", a) == string.pack("n", b) and
    (math.type(a) == "float" or a == b)
end

describe("a value through the pool", function()
  it("keeps numbers and their subtype", function()
    local pool <close> = tidepool.pool(1)
    local numbers = { 0, 1, -1, 23, 24, 255, 256, 65535, 65536, 2 ^ 31, 1 << 31, 1 << 32,
      (1 << 53) + 1, math.maxinteger, math.mininteger, 0.0, -0.0, 1.0, -1.5, 0.1, 1e300, 5e-324,
      2.0 ^ 53, math.huge, -math.huge, math.pi }

    for _, number in ipairs(numbers) do
      local there, kind = pool:apply(function(x) return x, math.type(x) end, { number })
      assert.is_true(same_number(number, there), tostring(number))
      assert.equal(math.type(number), kind)
    end
    local nan = pool:apply(echo, { 0 / 0 })
    assert.equal("float", math.type(nan))
    assert.is_true(nan ~= nan)
  end)

  it("keeps every byte of a string", function()
    local pool <close> = tidepool.pool(1)
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end

    for _, s in ipairs { "", "\0", "a\0b\0", table.concat(all), "\xff\xfe", "\x1a", "\r\n", "é",
      "\xed\xa0\x80", ("x"):rep(23), ("x"):rep(24), ("x"):rep(255), ("x"):rep(256),
      ("x"):rep(65535), ("x"):rep(65536) } do
      local there, size = pool:apply(function(x) return x, #x end, { s })
      assert.is_true(s == there)
      assert.equal(#s, size)
    end
  end)

  it("keeps shared tables shared", function()
    local shared = { "shared" }

    local list, again = (function()
      local pool <close> = tidepool.pool(1)
      return pool:apply(echo, { { shared, shared, deep = { shared } }, shared })
    end)()

    assert.is_true(rawequal(list[1], list[2]))
    assert.is_true(rawequal(list[1], list.deep[1]))
    assert.is_true(rawequal(list[1], again))
    assert.same({ "shared" }, again)
  end)

  it("keeps cycles", function()
    local ring = { name = "ring" }
    ring.self, ring.list = ring, { ring }

    local copy = through(ring)

    assert.equal("ring", copy.name)
    assert.is_true(rawequal(copy, copy.self))
    assert.is_true(rawequal(copy, copy.list[1]))
    assert.is_false(rawequal(copy, ring))
  end)

  it("keeps every kind of key", function()
    local key = { "key" }
    local t = { 10, 20, [4] = 40, x = 1, ["1"] = "string", [1.5] = "float", [true] = "yes",
      [false] = "no", [-1] = "negative", [math.maxinteger] = "big", [key] = "table",
      [""] = "empty" }

    local copy = through(t)

    t[key] = nil
    local found
    for k, v in pairs(copy) do
      if type(k) == "table" then
        assert.same({ "key" }, k)
        assert.equal("table", v)
        found = k
      end
    end
    assert.is_table(found)
    copy[found] = nil
    assert.same(t, copy)
  end)

  it("keeps sparse sequences and holes", function()
    local copy = through({ 1, nil, 3, nil, nil, 6, [1000000] = "far" })

    assert.same({ 1, nil, 3, nil, nil, 6, [1000000] = "far" }, copy)
  end)

  it("keeps the booleans and empty tables", function()
    assert.same({ true, false, {}, { {} } }, through({ true, false, {}, { {} } }))
  end)

  it("has no identity with the same value in another message", function()
    local pool <close> = tidepool.pool(1)
    local t = { 1 }

    assert.is_false(pool:apply(function(x)
      local before = _G.before
      _G.before = x
      return before ~= nil and rawequal(before, x)
    end, { t }))
    assert.is_false(pool:apply(function(x) return rawequal(_G.before, x) end, { t }))
  end)

  it("may be nested 150 deep", function()
    local function nest(n)
      local t = { "bottom" }
      for _ = 1, n do t = { t } end
      return t
    end
    local copy = through(nest(150))
    for _ = 1, 150 do copy = copy[1] end

    assert.same({ "bottom" }, copy)
  end)

  it("may be nested 100000 deep without a crash", function()
    local pool <close> = tidepool.pool(1)
    local t = {}
    for _ = 1, 100000 do t = { t } end

    local ok, result = pcall(pool.apply, pool, echo, { t })
    assert.equal(ok and "table" or "string", type(ok and result or helper.message(result)))
    ok, result = pcall(pool.apply, pool, function()
      local nested = {}
      for _ = 1, 100000 do nested = { nested } end
      return nested
    end)
    assert.equal(ok and "table" or "string", type(ok and result or helper.message(result)))

    assert.equal("works", pool:apply(echo, { "works" }))
  end)

  it("keeps the metatable of a class that the codec knows", function()
    local pool <close> = tidepool.pool { processes = 1,
      initializer = function() require("spec.fixtures.point") end }

    local there, norm = pool:apply(function(p) return Point.new(p.x + 1, p.y), p:norm1() end,
      { Point.new(3, -4) })

    assert.equal(Point, getmetatable(there))
    assert.same({ 4, -4, 7, 8 }, { there.x, there.y, norm, there:norm1() })
  end)

  it("keeps that metatable as the value of an error", function()
    local pool <close> = tidepool.pool(1)

    local err = helper.failure(function()
      pool:apply(function() error(Point.new(3, -4)) end)
    end)

    assert.equal(Point, getmetatable(err.value))
    assert.equal(7, err.value:norm1())
  end)

  it("loses a metatable that the codec does not know, and calls none of its methods", function()
    local function no() error("a metamethod was called") end

    local copy = through(setmetatable({ 1, 2, x = "y" }, { __index = no, __len = no, __pairs = no,
      __newindex = no, __tostring = no, __name = "unknown" }))

    assert.is_nil(getmetatable(copy))
    assert.same({ 1, 2, x = "y" }, copy)
  end)

  it("that cannot be rebuilt in the worker fails its task only", function()
    local pool <close> = tidepool.pool(1)

    local err = helper.failure(function() pool:apply(echo, { Point.new(1, 2) }) end)

    assert.equal("decode", err.kind)
    assert.equal("works", pool:apply(echo, { "works" }))
  end)

  it("that cannot be rebuilt in the parent fails its handle only", function()
    local pool <close> = tidepool.pool(1)
    local function odd()
      local Odd = {}
      require("tidepool").codec.register("spec.only_in_the_worker", Odd)
      return setmetatable({}, Odd)
    end

    local err = helper.failure(function() pool:apply(odd) end)

    assert.equal("decode", err.kind)
    assert.equal("works", pool:apply(echo, { "works" }))
  end)

  it("may be one of 250 arguments", function()
    local pool <close> = tidepool.pool(1)
    local list = {}
    for i = 1, 250 do list[i] = i end

    assert.same(list, { pool:apply(echo, list) })
  end)

  it("may be one of very many arguments, or is refused", function()
    local pool <close> = tidepool.pool(1)
    local list = { n = 2000000 }

    local function count(...) return (select("#", ...)) end

    assert.equal(1, pool:apply(count, { list }))
    local ok, result = pcall(pool.apply, pool, count, list)
    assert.equal(ok and "number" or "string", type(ok and result or helper.message(result)))

    assert.equal("works", pool:apply(echo, { "works" }))
  end)
end)

describe("an argument that cannot be sent", function()
  it("is refused with its path", function()
    assert.equal('cannot send argument 2["opts"].cb: a coroutine',
      refusal { 1, { opts = { cb = coroutine.create(print) } } })
    assert.equal("cannot send argument 1: a coroutine", refusal { coroutine.create(print) })
  end)

  it("is refused in named arguments", function()
    local pool <close> = tidepool.pool(1)

    local text = helper.message(helper.failure(function()
      pool:apply(echo, {}, { cb = coroutine.create(print) })
    end))

    assert.truthy(text:find("^cannot send .*cb.*: a coroutine$"), text)
  end)

  it("is refused when it is an open file or a pool or a result", function()
    local pool <close> = tidepool.pool(1)
    local handle = pool:apply_async(echo, { 1 })

    for _, value in ipairs { io.stdout, pool, handle } do
      local text = refusal { value }
      assert.truthy(text:find("^cannot send argument 1: "), text)
    end
  end)

  it("is refused at once, and nothing of it is sent", function()
    local journal <close> = helper.file()
    local path = journal.path
    do
      local pool <close> = tidepool.pool(1)
      helper.failure(function()
        pool:apply_async(function() helper.note(path, "ran") end, { 1, coroutine.create(print) })
      end)
      assert.equal("works", pool:apply(echo, { "works" }))
    end

    assert.same({}, journal:lines())
  end)

  it("fails its map and leaves the pool usable", function()
    local pool <close> = tidepool.pool(2)
    local items = {}
    for i = 1, 10 do items[i] = coroutine.create(print) end

    for _, chunksize in ipairs { 1, 4 } do
      local err = helper.within(10, helper.failure, function() pool:map(echo, items, chunksize) end)
      assert.truthy(tostring(err):find("a coroutine", 1, true), tostring(err))
      items[1], items[2] = 1, 2
    end

    assert.equal("works", pool:apply(echo, { "works" }))
  end)
end)

describe("a result that cannot be sent", function()
  it("fails its task with the path, and costs no worker", function()
    local pool <close> = tidepool.pool(1)
    local worker = pool:apply(function() return tidepool.worker.pid end)

    for _ = 1, 20 do
      local line = debug.getinfo(1, "l").currentline + 1
      local function task() return 1, { list = { coroutine.create(print) } } end
      local err = helper.failure(function() pool:apply(task) end)

      assert.equal("encode", err.kind)
      assert.truthy(err.message:find("cannot send", 1, true), err.message)
      assert.truthy(err.message:find("a coroutine", 1, true), err.message)
      assert.truthy(err.task:find(":" .. line .. ">", 1, true), err.task)
    end

    assert.equal(worker, pool:apply(function() return tidepool.worker.pid end))
  end)

  it("costs the other items of its chunk nothing", function()
    local pool <close> = tidepool.pool(2)

    local results = pool:map(function(x) return x == 3 and io.stdout or x end, { 1, 2, 3, 4 },
      { chunksize = 4, on_error = "keep" })

    assert.same({ 1, 2, nil, 4 }, { results[1], results[2], results[3], results[4] })
    assert.equal("encode", results.errors[3].kind)
  end)

  it("does not keep the pool from ending", function()
    for _ = 1, 5 do
      local pool = tidepool.pool(2)
      for _ = 1, 10 do pool:apply_async(function() return coroutine.create(print) end) end
      pool:close()
      helper.within(10, pool.join, pool)
    end
  end)
end)

describe("a big value", function()
  it("of 100 MB goes to a worker and back", function()
    local pool <close> = tidepool.pool(1)
    local big = ("0123456789abcdef"):rep(100 * 1024 * 1024 // 16)

    local there, size = pool:apply(function(s) return s, #s end, { big })

    assert.equal(#big, size)
    assert.is_true(there == big)
  end)

  it("may come from every worker while the parent does not read", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool <close> = tidepool.pool(3)
    local handles = {}

    for i = 1, 6 do
      handles[i] = pool:apply_async(function(x)
        helper.note(path, x)
        return (tostring(x)):rep(8 * 1024 * 1024)
      end, { i })
    end
    journal:await(3)

    for i = 1, 6 do
      local result = handles[i]:get(20)
      assert.is_true(result == tostring(i):rep(8 * 1024 * 1024))
    end
  end)

  it("may go to every worker", function()
    local pool <close> = tidepool.pool(3)
    local big = ("x"):rep(8 * 1024 * 1024)

    local results = pool:map(function(s) return #s end, { big, big, big, big, big, big }, 1)

    assert.same({ #big, #big, #big, #big, #big, #big, n = 6 }, results)
  end)

  it("does not delay terminate", function()
    local pool = tidepool.pool(2)
    local big = ("x"):rep(16 * 1024 * 1024)
    for _ = 1, 10 do pool:apply_async(function(s) return s end, { big }) end

    helper.within(10, function()
      pool:terminate()
      pool:join()
    end)
  end)

  it("leaves its memory behind neither in the parent nor in shared memory", function()
    local pool <close> = tidepool.pool(1)
    local function resident()
      return tonumber(helper.slurp("/proc/self/status"):match("VmRSS:%s+(%d+)"))
    end
    local big = ("x"):rep(4 * 1024 * 1024)
    for _ = 1, 20 do pool:apply(echo, { big }) end
    collectgarbage()
    local before = resident()

    for _ = 1, 60 do pool:apply(echo, { big }) end
    collectgarbage()
    collectgarbage()

    assert.is_true(resident() - before < 100 * 1024)
  end)
end)
