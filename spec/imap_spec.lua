local helper = require "spec.helper"
local tidepool = require "tidepool"

local function square(x) return x * x end

local function sequence(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

---An iterator over 1, 2, 3, ... (up to `n`) and a function that tells how many were read.
local function counting(n)
  local i = 0
  local function step()
    if i < (n or math.huge) then
      i = i + 1
      return i
    end
  end
  return step, function() return i end
end

---One step of a generic `for` per call; returns what the loop body would get.
local function stepper(iterator, state, control)
  return function()
    local values = table.pack(iterator(state, control))
    control = values[1]
    return table.unpack(values, 1, values.n)
  end
end

for _, name in ipairs { "imap", "imap_unordered" } do
  describe("pool:" .. name, function()
    it("yields every result once, with its index", function()
      local pool <close> = tidepool.pool(3)
      local results, n = {}, 0

      for i, v in pool[name](pool, square, sequence(200)) do
        n = n + 1
        results[i] = v
      end

      assert.equal(200, n)
      for i = 1, 200 do assert.equal(i * i, results[i]) end
    end)

    it("ends at once for an empty input and stays at its end", function()
      local pool <close> = tidepool.pool(2)
      local step = stepper(pool[name](pool, square, {}))

      for _ = 1, 3 do assert.is_nil(step()) end
    end)

    it("stays at its end", function()
      local pool <close> = tidepool.pool(2)
      local step = stepper(pool[name](pool, square, { 3 }))

      assert.same({ 1, 9 }, { step() })
      for _ = 1, 3 do assert.is_nil((step())) end
    end)

    it("yields single results whatever the chunk size", function()
      local pool <close> = tidepool.pool(2)

      for _, chunksize in ipairs { 1, 7, 100, 5000 } do
        local n, total = 0, 0
        for i, v in pool[name](pool, square, sequence(1000), chunksize) do
          if v ~= i * i then error("wrong result of item " .. i) end
          n, total = n + 1, total + i
        end
        assert.same({ 1000, 500500 }, { n, total })
      end
    end)

    it("yields strings of every length byte for byte", function()
      local pool <close> = tidepool.pool(2)
      local lengths = { 1, 100000, 0, 16380, 16384, 16390, 2, 3000000, 40000, 40000 }
      local seen = {}

      for i, s, more in pool[name](pool, function(n)
        return ("\0\255" .. n):rep(n // 3 + 1):sub(1, n)
      end, lengths, 1) do
        local n = lengths[i]
        seen[i] = { #s, s == ("\0\255" .. n):rep(n // 3 + 1):sub(1, n), more }
      end

      for i, n in ipairs(lengths) do assert.same({ n, true }, seen[i]) end
      assert.equal(#lengths, #seen)
    end)

    it("yields what stands beside a long string", function()
      local pool <close> = tidepool.pool(2)
      local seen = {}

      for i, s, n in pool[name](pool, function(x)
        if x == 2 then error("not " .. ("x"):rep(20000), 0) end
        return ("x"):rep(20000), x
      end, sequence(3), { chunksize = 1, on_error = "keep" }) do
        seen[i] = s and { #s, n } or #n.message
      end

      assert.same({ { 20000, 1 }, 20004, { 20000, 3 } }, seen)
    end)

    it("goes on after nil and false results", function()
      local pool <close> = tidepool.pool(2)
      local seen = {}

      for i, v in pool[name](pool, function(x)
        if x == 2 then return nil elseif x == 3 then return false end
        return x
      end, sequence(4)) do
        seen[i] = tostring(v)
      end

      assert.same({ "1", "nil", "false", "4" }, seen)
    end)

    it("yields all values of a result", function()
      local pool <close> = tidepool.pool(2)
      local seen = {}

      for i, a, b, c in pool[name](pool, function(x) return x, nil, x * 2 end, sequence(3)) do
        seen[i] = { a, b == nil, c }
      end

      assert.same({ { 1, true, 2 }, { 2, true, 4 }, { 3, true, 6 } }, seen)
    end)

    it("reads an endless input only as far as it is needed", function()
      local pool <close> = tidepool.pool(2)
      local endless = counting()
      local n = 0

      for _ in pool[name](pool, square, endless) do
        n = n + 1
        if n == 100 then break end
      end

      assert.equal(100, n)
    end)

    it("reads ahead by no more than the window", function()
      local pool <close> = tidepool.pool(2)
      local endless, read = counting()
      local step = stepper(pool[name](pool, square, endless, { window = 8 }))

      for consumed = 1, 100 do
        step()
        assert.is_true(read() <= consumed + 8)
      end
    end)

    it("holds back results too when nobody consumes them", function()
      local journal <close> = helper.file()
      local path = journal.path
      local pool <close> = tidepool.pool(2)
      local endless, read = counting()
      local step = stepper(pool[name](pool, function(x)
        helper.note(path, x)
        return x
      end, endless, { window = 8 }))
      step()

      journal:await(read())
      pool:apply(square, { 1 })
      journal:await(read())

      assert.equal(read(), #journal:lines())
      assert.is_true(read() <= 9)
    end)

    it("holds back items by their bytes", function()
      local pool <close> = tidepool.pool(2)
      local read = 0
      local step = stepper(pool[name](pool, function(s) return #s end, function()
        read = read + 1
        return ("x"):rep(1024 * 1024)
      end, { window = 40, window_bytes = 4 * 1024 * 1024 }))

      assert.equal(1024 * 1024, select(2, step()))

      assert.is_true(read <= 8, "read " .. read .. " items of 1 MiB")
    end)

    it("has two items on their way, however large, if nobody says less", function()
      local pool <close> = tidepool.pool(2)
      local large, read = ("x"):rep(33 << 20), 0
      local step = stepper(pool[name](pool, function(s) return s end, function()
        read = read + 1
        return large
      end, 1))

      for taken = 1, 2 do
        assert.equal(#large, #select(2, step()))
        assert.equal(taken + 1, read)
      end
    end)

    it("makes progress with a window smaller than a chunk", function()
      local pool <close> = tidepool.pool(2)
      local n = 0

      for i, v in pool[name](pool, square, counting(50), { window = 2, chunksize = 10 }) do
        assert.equal(i * i, v)
        n = n + 1
      end

      assert.equal(50, n)
    end)

    it("makes progress with an item larger than window_bytes", function()
      local pool <close> = tidepool.pool(2)
      local n, step = 0, counting(5)

      for _, v in pool[name](pool, function(s) return s end, function()
        return step() and ("x"):rep(100000)
      end, { window_bytes = 1000 }) do
        assert.equal(100000, #v)
        n = n + 1
      end

      assert.equal(5, n)
    end)

    it("stops reading when the loop is left", function()
      local pool = tidepool.pool(2)
      local endless, read = counting()
      for i in pool[name](pool, square, endless, { window = 4 }) do
        if i > 0 then break end
      end
      collectgarbage() -- where a break closes nothing, the iterator ends with this
      local before = read()

      for _ = 1, 50 do pool:apply(square, { 2 }) end
      pool:close()
      helper.within(10, pool.join, pool)

      assert.equal(before, read())
    end)

    it("lets the pool end when it is left half-way and forgotten", function()
      helper.no_leaks(function()
        local pool <close> = tidepool.pool(2)
        for i in pool[name](pool, square, sequence(500), 10) do
          if i > 0 then break end
        end
        collectgarbage()
      end)
    end)

    it("lets the pool be closed while the window is full", function()
      local pool = tidepool.pool(2)
      local step = stepper(pool[name](pool, square, counting(), { window = 2 }))
      step()

      pool:close()

      helper.within(10, pool.join, pool)
    end)

    it("raises from its next step after terminate", function()
      local gate <close> = helper.gate()
      local path = gate.path
      local pool = tidepool.pool(2)
      local step = stepper(pool[name](pool, function(x)
        if x > 1 then helper.pass(path) end
        return x
      end, sequence(100), 1))
      assert.same({ 1, 1 }, { step() })

      pool:terminate()
      local err = helper.within(10, helper.failure, step)
      pool:join()

      assert.equal("terminated", err.kind)
    end)

    it("does not block when it is stepped after the scope of its pool", function()
      local step
      do
        local pool <close> = tidepool.pool(2)
        step = stepper(pool[name](pool, square, counting(), { window = 4 }))
        step()
      end

      helper.within(10, function()
        local ok, i
        local steps = 0
        repeat
          ok, i = pcall(step)
          steps = steps + 1
        until not ok or i == nil or steps == 100
        assert.is_true(steps < 100)
      end)
    end)

    it("can be consumed in turns with another", function()
      local pool <close> = tidepool.pool(2)
      local first = stepper(pool[name](pool, square, sequence(50)))
      local second = stepper(pool[name](pool, function(x) return -x end, sequence(50), 7))
      local sums = { 0, 0 }

      for _ = 1, 50 do
        sums[1] = sums[1] + select(2, first())
        sums[2] = sums[2] + select(2, second())
      end

      assert.same({ 42925, -1275 }, sums)
      assert.is_nil((first()))
      assert.is_nil((second()))
    end)

    it("raises the error of its input iterator at the first step", function()
      local pool <close> = tidepool.pool(2)
      local problem = { "input" }

      for _ = 1, 2 do
        local err = helper.failure(function()
          local step = stepper(pool[name](pool, square, function() error(problem) end))
          step()
        end)
        assert.equal(problem, err)
      end
      assert.equal(4, pool:apply(square, { 2 }))
    end)

    it("delivers what was read before an error of its input iterator", function()
      local pool <close> = tidepool.pool(2)

      for _, chunksize in ipairs { 1, 4 } do
        local problem = { "input" }
        local next_item = counting(10)
        local step = stepper(pool[name](pool, square, function()
          return next_item() or error(problem)
        end, chunksize))
        local delivered, errors = {}, {}

        for _ = 1, 20 do
          local ok, i, v = pcall(step)
          if ok and i == nil then break end
          if ok then delivered[i] = v else errors[#errors + 1] = i end
        end

        assert.equal(1, #errors)
        assert.equal(problem, errors[1])
        for i = 1, 10 - 10 % chunksize do assert.equal(i * i, delivered[i]) end
      end
    end)

    it("does not retain a delivered result", function()
      local pool <close> = tidepool.pool(2)
      local kept = setmetatable({}, { __mode = "v" })
      local step = stepper(pool[name](pool, function(x) return { x } end, sequence(10), 2))

      for k = 1, 5 do kept[k] = select(2, step()) end
      collectgarbage()
      collectgarbage()

      assert.is_nil(next(kept))
      assert.equal("table", type((select(2, step()))))
    end)

    it("yields nil and the error with on_error = \"keep\"", function()
      local pool <close> = tidepool.pool(2)
      local values, errors = {}, {}

      for i, v, err in pool[name](pool, function(x)
        if x == 2 then error("item 2", 0) end
        return x
      end, sequence(4), { on_error = "keep" }) do
        values[i], errors[i] = v, err
      end

      assert.same({ 1, nil, 3, 4 }, values)
      assert.equal("item 2", errors[2].value)
      assert.equal(2, errors[2].index)
      assert.is_nil(errors[1] or errors[3] or errors[4])
    end)

    it("advances its input in the parent only", function()
      local pool <close> = tidepool.pool(2)
      local pids, next_item = {}, counting(60)

      for _ in pool[name](pool, square, function()
        pids[tidepool.getpid()] = true
        return next_item()
      end) do end -- luacheck: ignore 542

      assert.same({ [tidepool.getpid()] = true }, pids)
    end)

    it("lets its input iterator use the pool", function()
      local pool <close> = tidepool.pool(2)
      local next_item, n = counting(20), 0

      for i, v in pool[name](pool, square, function()
        local item = next_item()
        return item and pool:apply(function(x) return x end, { item })
      end) do
        assert.equal(i * i, v)
        n = n + 1
      end

      assert.equal(20, n)
    end)

    it("refuses a wrong chunk size or window by name", function()
      local pool <close> = tidepool.pool(1)

      for _, wrong in ipairs { 0, -1, 1.5, "two" } do
        helper.refusal(function() pool[name](pool, square, { 1 }, wrong) end)
        for _, option in ipairs { "chunksize", "window", "window_bytes" } do
          local text = helper.refusal(function()
            pool[name](pool, square, { 1 }, { [option] = wrong })
          end)
          assert.truthy(text:find(option, 1, true), text)
        end
      end
    end)
  end)
end

describe("pool:imap", function()
  it("yields in input order", function()
    local pool <close> = tidepool.pool(3)
    local expected = 0

    for i, v in pool:imap(square, sequence(500)) do
      expected = expected + 1
      assert.equal(expected, i)
      assert.equal(i * i, v)
    end

    assert.equal(500, expected)
  end)

  it("raises at the item that failed and goes on with the rest", function()
    local pool <close> = tidepool.pool(2)

    for _, chunksize in ipairs { 1, 3 } do
      local step = stepper(pool:imap(function(x)
        if x == 3 then error("item 3", 0) end
        return x
      end, sequence(5), chunksize))

      assert.same({ 1, 1 }, { step() })
      assert.same({ 2, 2 }, { step() })
      local err = helper.failure(step)
      assert.equal("item 3", err.value)
      assert.equal(3, err.index)
      assert.same({ 4, 4 }, { step() })
      assert.same({ 5, 5 }, { step() })
      assert.is_nil((step()))
    end
  end)

  it("raises the error of its input iterator after the results before it", function()
    local pool <close> = tidepool.pool(2)
    local next_item, delivered = counting(10), 0

    local err = helper.failure(function()
      for i in pool:imap(square, function() return next_item() or error("input", 0) end, 1) do
        delivered = i
      end
    end)

    assert.equal("input", err)
    assert.equal(10, delivered)
  end)
end)

describe("pool:imap_unordered", function()
  it("makes a long string when it is taken, and not before", function()
    local pool <close> = tidepool.pool(2)
    local text = ("x"):rep(1 << 20)
    local strings = pool:imap_unordered(function(s) return s end, { text, text, text, text }, 1)
    collectgarbage "collect"
    collectgarbage "stop"
    local before, most = collectgarbage "count", 0
    for count = 1, 4 do
      strings()
      most = math.max(most, (collectgarbage "count" - before) / count)
    end
    collectgarbage "restart"
    assert.is_true(most < 1200, most .. " KiB for each")
  end)

  it("yields what is finished first", function()
    local gate <close> = helper.gate()
    local path = gate.path
    local pool <close> = tidepool.pool(2)
    local order = {}

    for i, v in pool:imap_unordered(function(x)
      if x == 1 then helper.pass(path) end
      return x * 10
    end, sequence(5), 1) do
      assert.equal(i * 10, v)
      order[#order + 1] = i
      if #order == 4 then gate:open() end
    end

    assert.equal(1, order[5])
    table.sort(order)
    assert.same(sequence(5), order)
  end)

  it("raises a failure once and yields all other results", function()
    local pool <close> = tidepool.pool(2)
    local step = stepper(pool:imap_unordered(function(x)
      if x == 3 then error("item 3", 0) end
      return x
    end, sequence(6), 1))
    local seen, errors = {}, {}

    for _ = 1, 6 do
      local ok, i = pcall(step)
      if ok then seen[#seen + 1] = i else errors[#errors + 1] = i.value end
    end
    table.sort(seen)

    assert.same({ 1, 2, 4, 5, 6 }, seen)
    assert.same({ "item 3" }, errors)
    assert.is_nil((step()))
  end)
end)
