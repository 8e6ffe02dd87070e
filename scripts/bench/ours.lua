-- The pool's side of the cases of the benchmark; bench.lua runs it, under peers/launch.c.
-- Run: tidepool scripts/bench/ours.lua CASE KEY=VALUE...

local tidepool = require "tidepool"

local CURVE_S = 0.12 -- a point of a curve lasts at least that long
local REPEATS = 3 -- and is the median of so many

local function twice(x) return 2 * x + 1 end
local function same(x) return x end

local function fib(n)
  if n < 2 then return n end
  return fib(n - 1) + fib(n - 2)
end

local function nap(seconds) require("tidepool").sleep(seconds) end

-- A line for launch, which answers.
local function say(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
  io.read()
end

local function timed(f, ...)
  say "begin"
  f(...)
  say "end"
end

local function numbers(n)
  local xs = {}
  for i = 1, n do xs[i] = i end
  return xs
end

-- An iterator of n times that value, or of 1..n.
local function source(n, value)
  local i = 0
  return function()
    i = i + 1
    if i > n then return nil end
    return value or i
  end
end

local function eat(iterator, n)
  local count = 0
  for _ in iterator do count = count + 1 end
  assert(count == n)
end

local function status_kib(key)
  for line in io.lines "/proc/self/status" do
    local kib = line:match("^" .. key .. ":%s*(%d+) kB")
    if kib then return math.tointeger(kib) end
  end
end

local function records()
  local list = {}
  for i = 1, 1000 do
    list[i] = { id = i, name = ("user_%05d"):format(i), score = i / 7,
      tags = { "red" .. i, "green" .. i, "blue" .. i } }
  end
  return list
end

local run = {}

function run.map(o)
  local pool <close> = tidepool.pool(o.workers)
  local xs = numbers(o.n)
  pool:map(twice, numbers(1000), o.chunk)
  timed(pool.map, pool, twice, xs, o.chunk)
end

function run.imap(o)
  local pool <close> = tidepool.pool(o.workers)
  eat(pool:imap_unordered(twice, source(200), o.chunk), 200)
  timed(function() eat(pool:imap_unordered(twice, source(o.n), o.chunk), o.n) end)
end

-- How much memory of its own the parent gains after the first fifth.
function run.flat(o)
  local pool <close> = tidepool.pool(o.workers)
  local early, most = 0, 0
  timed(function()
    local step = o.n // 50
    local count = 0
    for _ in pool:imap_unordered(twice, source(o.n)) do
      count = count + 1
      if count % step == 0 then
        local kib = status_kib "RssAnon"
        if count <= o.n // 5 then early = math.max(early, kib) end
        most = math.max(most, kib)
      end
    end
  end)
  print("growth", most - early)
end

function run.apply(o)
  local pool <close> = tidepool.pool(o.workers)
  local took, now = {}, tidepool.now
  for i = 1, 200 do pool:apply(twice, { i }) end
  timed(function()
    for i = 1, o.n do
      local t = now()
      pool:apply(twice, { i })
      took[i] = now() - t
    end
  end)
  table.sort(took)
  print("p50", took[#took // 2] * 1e6)
  print("p99", took[#took * 99 // 100] * 1e6)
end

function run.async(o)
  local pool <close> = tidepool.pool(o.workers)
  pool:map(twice, numbers(100), 1)
  timed(function()
    local results = {}
    for i = 1, o.n do results[i] = pool:apply_async(twice, { i }) end
    for i = 1, o.n do results[i]:get() end
  end)
end

local function echoes(pool, n, value)
  eat(pool:imap_unordered(same, source(n, value), 1), n)
end

function run.echo(o)
  local pool <close> = tidepool.pool(o.workers)
  local text = ("x"):rep(o.bytes)
  echoes(pool, o.warm, text)
  timed(echoes, pool, o.n, text)
end

function run.records(o)
  local pool <close> = tidepool.pool(o.workers)
  local list = records()
  echoes(pool, 4, list)
  timed(echoes, pool, o.n, list)
end

-- What the floors say of one core: encode and decode once, as each side does.
function run.floor(o)
  package.cpath = os.getenv "BENCH_DIR" .. "/?.so;" .. package.cpath
  local floor = require "floor"
  local list = records()
  local plan = floor.plan(list)
  timed(function()
    for _ = 1, o.n do
      floor.walk(list)
      floor.bulk(plan)
    end
  end)
end

function run.fib(o)
  local pool <close> = tidepool.pool(o.workers)
  local xs = {}
  for i = 1, o.n do xs[i] = 18 + (i - 1) * 5 % 13 end
  pool:map(fib, { 5, 5, 5, 5 }, 1)
  timed(pool.map, pool, fib, xs, o.chunk)
end

-- Who waits for the first time since it touched 1 GiB pays for that (14 ms where
-- page tables are shadowed), whatever it waits for: here for another program.
function run.start(o)
  local heap = {}
  for i = 1, o.heap or 0 do heap[i] = i .. ("x"):rep(1 << 20) end
  if o.heap then io.popen("exit"):close() end
  local t = tidepool.now()
  local pool = tidepool.pool(o.workers)
  pool:map(twice, numbers(o.workers), 1)
  pool:close()
  pool:join()
  print("ms", (tidepool.now() - t) * 1e3)
  assert(#heap == (o.heap or 0))
end

function run.idle(o)
  local pool <close> = tidepool.pool(o.workers)
  pool:map(twice, numbers(100), 1)
  tidepool.sleep(0.3)
  say "idle"
end

function run.nap(o)
  local pool <close> = tidepool.pool(o.workers)
  local xs = {}
  for i = 1, o.n do xs[i] = o.us * 1e-6 end
  pool:map(twice, numbers(2 * o.workers), 1)
  timed(pool.map, pool, nap, xs, o.chunk)
end

---- curves: "point X Y" -----------------------------------------------------------------

-- The median rate of f, which does `amount`, over at least CURVE_S.
local function rate(amount, f)
  local rates = {}
  for i = 1, REPEATS do
    local t, n = tidepool.now(), 0
    repeat
      f()
      n = n + 1
    until tidepool.now() - t >= CURVE_S / REPEATS
    rates[i] = amount * n / (tidepool.now() - t)
  end
  table.sort(rates)
  return rates[(REPEATS + 1) // 2]
end

local function point(x, y) print("point", x, ("%.6g"):format(y)) end

run["curve-items"] = function(o)
  local pool <close> = tidepool.pool(o.workers)
  local n = 1000
  while n <= o.n do
    local xs = numbers(n)
    pool:map(twice, xs, o.chunk)
    point(n, rate(n, function() pool:map(twice, xs, o.chunk) end))
    n = n * 10
  end
end

run["curve-stream"] = function(o)
  local pool <close> = tidepool.pool(o.workers)
  local n = 1000
  while n <= o.n do
    point(n, rate(n, function() eat(pool:imap_unordered(twice, source(n), o.chunk), n) end))
    n = n * 10
  end
end

run["curve-payload"] = function(o)
  local pool <close> = tidepool.pool(o.workers)
  local bytes = 1
  while bytes <= o.bytes do
    local text = ("x"):rep(bytes)
    local n = math.max(4, math.min(1000, (16 << 20) // bytes))
    echoes(pool, 2, text)
    point(bytes, rate(n * bytes / 1e6, function() echoes(pool, n, text) end))
    bytes = bytes * 4
  end
end

run["curve-workers"] = function(o)
  local workers = 1
  while workers <= o.workers do
    local pool <close> = tidepool.pool(workers)
    local n = math.max(500, math.min(10000, workers * 200))
    local xs = {}
    for i = 1, n do xs[i] = o.us * 1e-6 end
    pool:map(nap, xs, o.chunk)
    point(workers, rate(n, function() pool:map(nap, xs, o.chunk) end))
    workers = workers * 2
  end
end

local options = { workers = 2 }
for i = 2, #arg do
  local key, value = arg[i]:match "^(%w+)=(%d+)$"
  options[key] = math.tointeger(value)
end
assert(run[arg[1]], "no such case")(options)
