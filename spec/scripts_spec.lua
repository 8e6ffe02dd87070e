-- scripts_spec.lua - the small job scripts: what they print.

local helper = require "spec.helper"
local tidepool = require "tidepool"

---Run a script with its arguments; returns stdout, stderr and the status.
local function run(name, ...)
  local words = { "timeout -k 1 30", "'" .. helper.interpreter() .. "'", "scripts/" .. name, ... }
  local out <close> = helper.file()
  local err <close> = helper.file()
  local _, how, code = os.execute(("%s >%s 2>%s </dev/null"):format(table.concat(words, " "),
    out.path, err.path))
  return out:read(), err:read(), how == "signal" and 128 + code or code
end

---The lines that a script prints, which ends well and has no complaints.
local function lines_of(...)
  local out, err, status = run(...)
  assert.equal("", err)
  assert.equal(0, status)
  local list = {}
  for line in out:gmatch "([^\n]*)\n" do list[#list + 1] = line end
  return list
end

describe("scripts/hello.lua", function()
  it("greets, squares and tells who did what", function()
    local lines = lines_of "hello.lua"

    assert.equal("Hello, tide!\nHello, pool!\n1 4 9 16 25 36 49 64 81 100",
      table.concat(lines, "\n", 1, 3))
    for i, item in ipairs { "a", "b", "c" } do
      assert.truthy(lines[3 + i]:find(("^item %d, %q, by worker [12]$"):format(i, item)))
    end
    assert.equal(6, #lines)
  end)

  it("greets those who are named", function()
    assert.equal("Hello, Ada!", lines_of("hello.lua", "Ada")[1])
  end)
end)

describe("scripts/blocking.lua", function()
  local pattern = "^Process (%d) in pid (%d+), parent (%d+), ran (%d%.%d%d) seconds$"

  ---The tasks told of in lines first to last, in that order, with the sum of their seconds.
  local function tasks(lines, first, last)
    local list, sum, parents = {}, 0, {}
    for i = first, last do
      local name, pid, parent, seconds = lines[i]:match(pattern)
      list[#list + 1] = { name = name, pid = assert(pid, lines[i]), seconds = tonumber(seconds) }
      sum, parents[parent] = sum + tonumber(seconds), true
    end
    local parent = next(parents)
    assert.is_nil(next(parents, parent))
    return list, sum, parent
  end

  ---Run it; returns whether it took less time than its tasks together.
  local function check_run()
    local start = tidepool.now()
    local lines = lines_of "blocking.lua"
    local took = tidepool.now() - start

    assert.equal(18, #lines)
    assert.same({ "--start1--", "--end1--", "--start2--", "--end2--" },
      { lines[1], lines[9], lines[10], lines[18] })
    local overlapping, sum1, parent1 = tasks(lines, 2, 8)
    local sequential, sum2, parent2 = tasks(lines, 11, 17)
    local names, pids = {}, {}
    for i, task in ipairs(overlapping) do
      names[i], pids[task.pid] = task.name, true
    end
    table.sort(names)
    assert.equal("1234567", table.concat(names))
    assert.is_nil(pids[parent1])
    assert.equal(parent1, parent2)
    for i, task in ipairs(sequential) do assert.equal(tostring(i), task.name) end
    assert.is_true(took >= sum2)
    return took < sum1 + sum2
  end

  it("shows that apply_async overlaps and apply does not", function()
    assert.is_true(check_run() or check_run() or check_run())
  end)
end)

describe("scripts/digest_map.lua", function()
  it("prints the sum of each file below a folder, and how many there are", function()
    local lines = lines_of("digest_map.lua", "spec/fixtures")

    local pipe = assert(io.popen("find spec/fixtures -type f | LC_ALL=C sort | xargs sha512sum"))
    local n = 0
    for line in pipe:lines() do
      n = n + 1
      local sum, name = line:match "^(%x+)  (.*)$"
      assert.equal(name .. "\t->\t" .. sum, lines[n])
    end
    pipe:close()
    assert.is_true(n > 4)
    assert.equal(("%d sums of %d files"):format(n, n), lines[n + 1])
    assert.equal(n + 1, #lines)
  end)

  it("keeps the sums of long and of empty files", function()
    local dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
    local text = ("0123456789"):rep(10000)
    for name, content in pairs { empty = "", exact = text:sub(1, 16392), long = text } do
      local file = assert(io.open(dir .. "/" .. name, "wb"))
      file:write(content)
      file:close()
    end

    local lines = lines_of("digest_map.lua", dir)

    os.execute("rm -r " .. dir)
    assert.same({
      dir .. "/empty\t->\t" .. tidepool.digest.string("sha512", ""),
      dir .. "/exact\t->\t" .. tidepool.digest.string("sha512", text:sub(1, 16392)),
      dir .. "/long\t->\t" .. tidepool.digest.string("sha512", text),
      "3 sums of 3 files",
    }, lines)
  end)

  it("asks for a folder", function()
    local out, err, status = run "digest_map.lua"

    assert.same({ "", "usage: digest_map.lua DIR\n", 1 }, { out, err, status })
  end)
end)

describe("scripts/primes.lua", function()
  it("counts the primes below a limit", function()
    assert.same({ "there are 9592 primes below 100000",
      "the largest is 99991, found in 10 ranges" }, lines_of "primes.lua")
    assert.same({ "there are 1229 primes below 10000",
      "the largest is 9973, found in 1 ranges" }, lines_of("primes.lua", "10000"))
    assert.same({ "there are 4 primes below 10", "the largest is 7, found in 1 ranges" },
      lines_of("primes.lua", "10"))
  end)
end)

describe("scripts/wordcount.lua", function()
  it("adds up the words of all files", function()
    local one <close> = helper.file "The tide, the pool.\nthe TIDE\n"
    local two <close> = helper.file "pool pool ebb"

    local lines = lines_of("wordcount.lua", "-n 3", one.path, two.path)

    assert.same({ "      3  pool", "      3  the", "      2  tide", "      9  words, 4 different" },
      lines)
  end)

  it("tells of a file that cannot be read, and counts the others", function()
    local one <close> = helper.file "a b a"

    local out, err, status = run("wordcount.lua", one.path, "/none/here")

    assert.equal("      2  a\n      1  b\n      3  words, 2 different\n", out)
    assert.equal("/none/here: No such file or directory\n", err)
    assert.equal(0, status)
  end)
end)

describe("scripts/crash.lua", function()
  it("loses one task with its worker, and repeats one that may be repeated", function()
    local lines = lines_of "crash.lua"

    local lost = table.remove(lines, 3)
    assert.truthy(lost:find("^item 3: lost: worker [12] %(pid %d+%) was killed by SIGKILL while "
      .. "running item 3 of .*<scripts/crash%.lua:8>"), lost)
    assert.same({ "item 1: 1", "item 2: 4", "item 4: 16", "item 5: 25",
      "with retries: 36 at attempt 2" }, lines)
  end)
end)

describe("the job scripts", function()
  it("say first what they show, how to run them and what they print", function()
    local pipe = assert(io.popen "ls scripts/*.lua")
    local n = 0
    for path in pipe:lines() do
      local text = helper.slurp(path)
      local head = text:match "^(%-%-[^\n]*\n%-%- Run: tidepool [^\n]*\n%-%- Prints: )"
      assert.truthy(head and head:find(path, 1, true), path)
      local _, length = text:gsub("\n", "")
      assert.is_true(length <= 40 or path == "scripts/hashtree.lua", path)
      n = n + 1
    end
    pipe:close()
    assert.is_true(n >= 7)
  end)
end)

describe("scripts/bench/lua.lua", function()
  it("prints a row for each case", function()
    local lines = lines_of("bench/lua.lua", "1", "start", "fib")

    assert.equal(3, #lines)
    assert.matches("^start +[%d.]+ ms +[%d.]+ ms +[%d.]+  <= 1%.1  %w+$", lines[2])
    assert.matches("^fib +[%d.]+ ms +[%d.]+ ms +[%d.]+  <= 1%.0  %w+$", lines[3])
  end)
end)
