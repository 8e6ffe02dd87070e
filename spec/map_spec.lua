local helper = require "spec.helper"
local tidepool = require "tidepool"

local function square(x) return x * x end

local function sequence(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function squares(n)
  local list = { n = n }
  for i = 1, n do list[i] = i * i end
  return list
end

---An iterator function over 1..n.
local function counter(n)
  local i = 0
  return function()
    if i < n then
      i = i + 1
      return i
    end
  end
end

describe("pool:map", function()
  it("brings every number there and back as it is", function()
    local pool <close> = tidepool.pool(2)
    local numbers = { 0, -1, 23, 24, -24, -25, 255, 256, 65535, 65536, 1 << 32, -(1 << 32) - 1,
      math.maxinteger, math.mininteger, 0.0, -0.0, 1.0, 0.1, 65504.0, 2.0 ^ 24, 1e300, 5e-324,
      math.huge, -math.huge, 0 / 0 }

    local results = pool:map(function(x) return x end, numbers)

    local function describe_number(x) return ("%s %q"):format(math.type(x), x) end
    for i, x in ipairs(numbers) do
      assert.equal(describe_number(x), describe_number(results[i]))
    end
    assert.equal(#numbers, results.n)
  end)

  it("keeps results in input order", function()
    local pool <close> = tidepool.pool(3)

    assert.same(squares(100), pool:map(square, sequence(100)))
  end)

  it("gives an empty result for an empty input and starts nothing", function()
    local journal <close> = helper.file()
    local path = journal.path
    local function f() helper.note(path, "ran") end
    do
      local pool <close> = tidepool.pool(2)

      assert.same({ n = 0 }, pool:map(f, {}))
      assert.same({ n = 0 }, pool:map(f, {}, 7))
      assert.same({ n = 0 }, pool:map(f, counter(0)))
      assert.same({ n = 0 }, pool:map(f, { n = 0 }))
    end

    assert.same({}, journal:lines())
  end)

  it("maps one item", function()
    local pool <close> = tidepool.pool(2)

    assert.same({ 49, n = 1 }, pool:map(square, { 7 }))
  end)

  it("gives the same for every chunk size", function()
    local pool <close> = tidepool.pool(2)
    local input, expected = sequence(12), squares(12)

    for _, chunksize in ipairs { 1, 3, 5, 11, 12, 13, 1000 } do
      assert.same(expected, pool:map(square, input, chunksize))
      assert.same(expected, pool:map(square, input, { chunksize = chunksize }))
    end
    assert.same(expected, pool:map(square, input, 3.0))
  end)

  it("takes 20000 tiny items", function()
    local pool <close> = tidepool.pool(2)

    local results = pool:map(square, sequence(20000))

    assert.equal(20000, results.n)
    for i = 1, 20000 do
      if results[i] ~= i * i then error("wrong result of item " .. i) end
    end
  end)

  it("takes an iterator function, called until its first nil", function()
    local pool <close> = tidepool.pool(2)
    local calls = 0
    local function input()
      calls = calls + 1
      if calls <= 20 then return calls end
    end

    assert.same(squares(20), pool:map(square, input))
    assert.equal(21, calls)
  end)

  it("takes a coroutine", function()
    local pool <close> = tidepool.pool(2)

    local results = pool:map(square, coroutine.create(function()
      for i = 1, 20 do coroutine.yield(i) end
    end))

    assert.same(squares(20), results)
  end)

  it("takes a callable object", function()
    local pool <close> = tidepool.pool(2)
    local step = counter(20)

    local results = pool:map(square, setmetatable({}, { __call = function() return step() end }))

    assert.same(squares(20), results)
  end)

  it("gives a task everything that one step of an iterator yields", function()
    local pool <close> = tidepool.pool(2)
    local step = counter(5)
    local function pairs_of()
      local i = step()
      if i then return i, "item " .. i, nil end
    end

    local results = pool:map(function(...) return select("#", ...) .. ":" .. select(2, ...) end,
      pairs_of)

    assert.same({ "3:item 1", "3:item 2", "3:item 3", "3:item 4", "3:item 5", n = 5 }, results)
  end)

  it("respects the explicit length of a sequence", function()
    local pool <close> = tidepool.pool(2)

    local results = pool:map(function(x) return type(x) end, { 1, nil, "x", nil, n = 4 })

    assert.same({ "number", "nil", "string", "nil", n = 4 }, results)
  end)

  it("keeps the positions of nil and false results", function()
    local pool <close> = tidepool.pool(2)

    local results = pool:map(function(x)
      if x == 2 then return nil end
      if x == 3 then return false end
      if x < 4 then return x end
    end, sequence(5))

    assert.same({ 1, nil, false, nil, nil, n = 5 }, results)
  end)

  it("puts further values into further columns", function()
    local pool <close> = tidepool.pool(2)

    local names, sums, third = pool:map(function(x)
      if x == 2 then return "two" end
      return "item " .. x, x + 100
    end, { 1, 2, 3 })

    assert.same({ "item 1", "two", "item 3", n = 3 }, names)
    assert.same({ 101, nil, 103 }, { sums[1], sums[2], sums[3] })
    assert.is_nil(third)
  end)

  it("does not flatten tables", function()
    local pool <close> = tidepool.pool(2)

    local results = pool:map(function(x) return { x, { x } } end, { 1, 2 })

    assert.same({ { 1, { 1 } }, { 2, { 2 } }, n = 2 }, results)
  end)

  it("runs every item once", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool <close> = tidepool.pool(4)

    pool:map(function(x) helper.note(path, x) end, sequence(3000))

    local seen = {}
    for _, line in ipairs(journal:lines()) do
      if seen[line] then error("item " .. line .. " ran twice") end
      seen[line] = true
    end
    for i = 1, 3000 do
      if not seen[tostring(i)] then error("item " .. i .. " did not run") end
    end
  end)

  it("gives work to all workers", function()
    local journal <close> = helper.file()
    local path = journal.path
    local pool <close> = tidepool.pool(3)

    local results = pool:map(function(x)
      if x <= 3 then
        helper.note(path, x)
        helper.eventually(function() return select(2, helper.slurp(path):gsub("\n", "")) >= 3 end)
      end
      return tidepool.worker.number
    end, sequence(30))

    local numbers = {}
    for i = 1, 30 do numbers[results[i]] = true end
    assert.same({ true, true, true }, numbers)
  end)

  it("spreads slow items over the workers without a chunk size", function()
    local journal <close> = helper.file()
    local gate <close> = helper.gate()
    local pool <close> = tidepool.pool { processes = 4, scripts = "spec/fixtures/jobs.lua" }
    pool:map("double", sequence(2000))

    local handle = pool:starmap_async("hold", {
      { gate.path, journal.path }, { gate.path, journal.path },
      { gate.path, journal.path }, { gate.path, journal.path },
    })

    assert.equal(4, #journal:await(4))
    gate:open()
    assert.equal(4, handle:get(20).n)
  end)

  it("gives a free worker the next item at once", function()
    local journal <close> = helper.file()
    local gate <close> = helper.gate()
    local path, gate_path = journal.path, gate.path
    local pool <close> = tidepool.pool(2)

    local handle = pool:map_async(function(x)
      if x == 1 then helper.pass(gate_path) end
      helper.note(path, x)
    end, sequence(10), 1)

    assert.equal(9, #journal:await(9))
    assert.is_false(handle:ready())
    gate:open()
    handle:get(20)
  end)

  it("holds no chunk up behind a slow one", function()
    local journal <close> = helper.file()
    local gate <close> = helper.gate()
    local path, gate_path = journal.path, gate.path
    local pool <close> = tidepool.pool(2)

    local handle = pool:map_async(function(x)
      if x == 1 then helper.pass(gate_path) end
      helper.note(path, x)
    end, sequence(10), 2)

    assert.is_true(#journal:await(8) >= 8)
    gate:open()
    assert.equal(10, handle:get(20).n)
  end)

  it("raises the error of an item, with its index", function()
    local pool <close> = tidepool.pool(2)

    local err = helper.failure(function()
      pool:map(function(x)
        if x == 7 then error({ code = x }) end
        return x
      end, sequence(20))
    end)

    assert.equal("error", err.kind)
    assert.same({ code = 7 }, err.value)
    assert.equal(7, err.index)
  end)

  it("raises the error of the lowest index", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool <close> = tidepool.pool(2)
    local handle = pool:map_async(function(x)
      if x == 1 then helper.pass(path) end
      error("item " .. x, 0)
    end, { 1, 2 }, 1)

    gate:open()

    assert.equal("item 1", helper.failure(handle.get, handle).value)
  end)

  it("awaits started work before it raises", function()
    local journal <close> = helper.file()
    local gate <close> = helper.gate()
    local path, gate_path = journal.path, gate.path
    local pool <close> = tidepool.pool(2)
    local handle = pool:map_async(function(x)
      if x == 1 then
        helper.note(path, "start 1")
        helper.pass(gate_path)
        helper.note(path, "end 1")
      elseif x == 2 then
        helper.eventually(function() return helper.slurp(path) ~= "" end)
        error("item 2", 0)
      end
    end, sequence(200), 1)
    journal:await(1)
    handle:wait(0.1)
    assert.is_false(handle:ready())
    gate:open()

    local err = helper.failure(handle.get, handle)

    assert.equal("item 2", err.value)
    assert.same({ "start 1", "end 1" }, journal:lines())
  end)

  it("stops reading the input at an error", function()
    local pool <close> = tidepool.pool(2)
    local endless = counter(math.huge)

    local err = helper.failure(function()
      pool:map(function(x)
        if x == 500 then error("enough", 0) end
      end, endless)
    end)

    assert.equal("enough", err.value)
    assert.equal(500, err.index)
  end)

  it("keeps the results of other items when on_error is \"keep\"", function()
    local pool <close> = tidepool.pool(2)

    for _, chunksize in ipairs { 1, 4, 100 } do
      local results = pool:map(function(x)
        if x % 3 == 0 then error("item " .. x, 0) end
        return x
      end, sequence(10), { on_error = "keep", chunksize = chunksize })

      assert.equal(10, results.n)
      assert.same({ 1, 2, nil, 4, 5, nil, 7, 8, nil, 10 }, table.move(results, 1, 10, 1, {}))
      local texts = {}
      for i, err in pairs(results.errors) do texts[i] = err.value .. " at " .. err.index end
      assert.same({ [3] = "item 3 at 3", [6] = "item 6 at 6", [9] = "item 9 at 9" }, texts)
    end
  end)

  it("works again after a failed map", function()
    local pool <close> = tidepool.pool(2)

    for _ = 1, 5 do
      helper.failure(function() pool:map(error, sequence(50)) end)
      assert.same(squares(50), pool:map(square, sequence(50)))
    end
  end)

  it("passes on the error of an input iterator as it is", function()
    local pool <close> = tidepool.pool(2)
    local problem = { "input" }
    local step = counter(5)

    local err = helper.failure(function()
      pool:map(square, function() return step() or error(problem) end)
    end)

    assert.equal(problem, err)
    assert.same(squares(3), pool:map(square, sequence(3)))
  end)

  it("advances an iterator in the parent only, one step at a time", function()
    local pool <close> = tidepool.pool(2)
    local pids, inside, step = {}, false, counter(100)

    pool:map(square, function()
      assert.is_false(inside)
      inside = true
      pids[tidepool.getpid()] = true
      inside = false
      return step()
    end)

    assert.same({ [tidepool.getpid()] = true }, pids)
  end)

  it("lets an input iterator use the pool", function()
    local pool <close> = tidepool.pool(2)
    local step = counter(20)

    local results = pool:map(square, function()
      local i = step()
      return i and pool:apply(function(x) return x end, { i })
    end)

    assert.same(squares(20), results)
  end)

  describe("refuses", function()
    it("to be called with a dot", function()
      local pool <close> = tidepool.pool(1)

      for _, name in ipairs { "map", "imap", "starmap_async", "apply", "apply_async" } do
        assert.equal("bad pool: a function; methods are called with a colon",
          helper.refusal(function() pool[name](math.abs, { 1 }) end))
      end
    end)

    it("a chunk size below one or no integer", function()
      local pool <close> = tidepool.pool(1)

      for _, chunksize in ipairs { 0, -1, 1.5, 0 / 0, "two" } do
        helper.refusal(function() pool:map(square, { 1 }, chunksize) end)
        local text = helper.refusal(function()
          pool:map(square, { 1 }, { chunksize = chunksize })
        end)
        assert.truthy(text:find("chunksize", 1, true), text)
        helper.refusal(function() pool:map_async(square, { 1 }, chunksize) end)
        helper.refusal(function() pool:starmap(square, { { 1 } }, chunksize) end)
        helper.refusal(function() pool:starmap_async(square, { { 1 } }, chunksize) end)
      end
    end)

    it("a wrong chunk size before anything runs", function()
      local journal <close> = helper.file()
      local path = journal.path
      do
        local pool <close> = tidepool.pool(1)
        helper.refusal(function()
          pool:map(function() helper.note(path, "ran") end, { 1, 2 }, -1)
        end)
      end

      assert.same({}, journal:lines())
    end)

    it("what is no iterable", function()
      local pool <close> = tidepool.pool(1)

      helper.refusal(function() pool:map(square) end)
      helper.refusal(function() pool:map(square, 42) end)
      helper.refusal(function() pool:map(square, "text") end)
      helper.refusal(function() pool:map(square, true) end)
    end)

    it("a table with keys but no sequence", function()
      local pool <close> = tidepool.pool(1)

      helper.refusal(function() pool:map(square, { a = 1, b = 2 }) end)
    end)

    it("an option it does not know", function()
      local pool <close> = tidepool.pool(1)

      local text = helper.refusal(function() pool:map(square, { 1 }, { chunk = 2 }) end)

      assert.truthy(text:find("chunk", 1, true), text)
    end)

    it("an on_error it does not know", function()
      local pool <close> = tidepool.pool(1)

      local text = helper.refusal(function() pool:map(square, { 1 }, { on_error = "skip" }) end)

      assert.truthy(text:find("on_error", 1, true), text)
    end)
  end)
end)

describe("pool:map_async", function()
  it("gives the same as map", function()
    local pool <close> = tidepool.pool(2)

    assert.same(squares(30), pool:map_async(square, sequence(30)):get(20))
  end)

  it("is ready at once for an empty input", function()
    local pool <close> = tidepool.pool(1)

    local handle = pool:map_async(square, {})

    assert.is_true(handle:ready())
    assert.same({ n = 0 }, handle:get())
  end)

  it("keeps several maps at a time apart", function()
    local pool <close> = tidepool.pool(2)

    local first = pool:map_async(square, sequence(200))
    local second = pool:map_async(function(x) return -x end, sequence(100), 7)
    local third = pool:map(function(x) return x .. "" end, sequence(3))

    assert.same({ "1", "2", "3", n = 3 }, third)
    assert.equal(-100, second:get(20)[100])
    assert.same(squares(200), first:get(20))
  end)
end)

describe("pool:starmap", function()
  local function sum(...)
    local total = 0
    for i = 1, select("#", ...) do total = total + (select(i, ...) or 0) end
    return total, select("#", ...)
  end

  it("unpacks each item into arguments", function()
    local pool <close> = tidepool.pool(2)

    local sums, counts = pool:starmap(sum, { { 1, 2 }, {}, { 10, 20, 30 } })

    assert.same({ 3, 0, 60 }, { sums[1], sums[2], sums[3] })
    assert.same({ 2, 0, 3 }, { counts[1], counts[2], counts[3] })
    assert.equal(3, sums.n)
  end)

  it("respects explicit lengths and nil holes", function()
    local pool <close> = tidepool.pool(2)

    local _, counts = pool:starmap(sum, { { nil, 1, nil, n = 3 }, { 1, 2, 3, n = 2 }, { n = 4 } })

    assert.same({ 3, 2, 4 }, { counts[1], counts[2], counts[3] })
  end)

  it("takes an iterator of sequences and a chunk size", function()
    local pool <close> = tidepool.pool(2)
    local step = counter(20)

    local sums = pool:starmap(sum, function()
      local i = step()
      return i and { i, i }
    end, 3)

    assert.equal(20, sums.n)
    for i = 1, 20 do assert.equal(2 * i, sums[i]) end
  end)

  it("refuses an item that is no table, with its index", function()
    local pool <close> = tidepool.pool(2)

    local err = helper.failure(function() pool:starmap(sum, { { 1 }, 42 }) end)

    assert.truthy(tostring(err):find("2", 1, true), tostring(err))
    assert.equal(1, (pool:starmap(sum, { { 1 } }))[1])
  end)
end)

describe("pool:starmap_async", function()
  it("gives the same as starmap", function()
    local pool <close> = tidepool.pool(2)

    local handle = pool:starmap_async(function(a, b) return a .. b end, { { 1, 2 }, { "a", "b" } })

    assert.same({ "12", "ab", n = 2 }, handle:get(20))
  end)
end)
