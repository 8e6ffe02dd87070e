-- The cases of the benchmark: what runs against what, and what is to be reached.
--
-- A case has `measure`, how to read what a program printed; `ours` and `peers`, the programs in
-- the order in which they run, each with arguments (KEY=VALUE); a peer may have `goal`, a bound
-- for ours divided by the peer (`less`: ours minus the peer); `limit` is one for ours itself.

local PEERS = "scripts/bench/peers/"

-- What runs: the command, and a command that succeeds if that can be.
local programs = {
  ours = { "./tidepool scripts/bench/ours.lua" },
  sleeping = { "env TIDEPOOL_SPIN=0 ./tidepool scripts/bench/ours.lua" },
  pool = { "/usr/bin/python3 " .. PEERS .. "pool.py pool",
    need = "/usr/bin/python3 -c 'import multiprocessing'",
    title = "Python's multiprocessing.Pool" },
  executor = { "/usr/bin/python3 " .. PEERS .. "pool.py executor",
    need = "/usr/bin/python3 -c 'import concurrent.futures'",
    title = "Python's ProcessPoolExecutor" },
  luv = { "lua5.4 " .. PEERS .. "luv.lua", need = "lua5.4 -e 'require [[luv]]'",
    title = "luv's work queue (threads; package lua-luv)" },
  plain = { "lua5.4 " .. PEERS .. "plain.lua", need = "lua5.4 -v",
    title = "stock lua5.4, no pool, a pcall for each item" },
  pair = { "lua5.4 " .. PEERS .. "plain.lua", need = "lua5.4 -v",
    title = "two lua5.4, the tasks dealt out by hand" },
  ruby = { "ruby " .. PEERS .. "parallel.rb", need = "ruby -rparallel -e ''",
    title = "Ruby's parallel (package ruby-parallel)" },
  mce = { "perl " .. PEERS .. "mce.pl", need = "perl -MMCE::Map -e ''",
    title = "Perl's MCE (package libmce-perl)" },
  ring = { "%BUILD%/ring sleep", title = "C: ring in shared memory, futex" },
  spin = { "%BUILD%/ring spin", title = "C: the same, spinning 50 us before it sleeps" },
  fork = { "%BUILD%/start", title = "C: fork and luaL_newstate" },
  floor = { "./tidepool scripts/bench/ours.lua floor",
    title = "C: Lua's API alone, encode and decode of one side" },
  libcrypto = { "%BUILD%/hashlist 2 < %TREE%.list", shell = true,
    title = "C: libcrypto, two processes, the same list" },
  hashtree = { "./tidepool scripts/hashtree.lua -j 2 %TREE%", shell = true },
  poolhash = { "/usr/bin/python3 " .. PEERS .. "poolhash.py %TREE% %CHUNK%", shell = true,
    need = "/usr/bin/python3 -c 'import hashlib; hashlib.file_digest'",
    title = "Python's Pool and hashlib" },
  sha512sum = { "xargs -0 -n %BATCH% -P 2 sha512sum < %TREE%.list", shell = true,
    need = "sha512sum --version", title = "xargs -P2 sha512sum" },
  hashdeep = { "hashdeep -r -c sha256 -j 2 %TREE%", shell = true, need = "hashdeep -V",
    title = "hashdeep, SHA-256 (it has no SHA-512)" },
  rhash = { "rhash --sha512 -r %TREE%", shell = true, need = "rhash --version", title = "rhash" },
}

---- measures: value, and processor seconds for each item --------------------------------

-- Items (`per` of a unit each) a second, by launch's clock.
local function rate(unit, per)
  return { unit = unit, value = function(out, args)
    return out.wall and args.n * (per and per(args) or 1) / out.wall
  end, cpu = function(out, args) return out.cpu and out.cpu / args.n end }
end

local function printed(key, unit, low)
  return { unit = unit, low = low, value = function(out) return out[key] end,
    cpu = function(out, args) return args.n and out.cpu and out.cpu / args.n end }
end

local TOTAL = { unit = "s", low = true, value = function(out) return out.total end,
  cpu = function(out) return out.total_cpu end }
local ITEMS, MEGABYTES = rate "items/s", rate("MB/s", function(args) return args.bytes / 1e6 end)
local RECORDS = rate("records/s", function() return 1000 end)
-- Milliseconds as printed, or else by launch's clock.
local TASKS = { unit = "ms", low = true, value = function(out) return out.ms or out.wall * 1e3 end,
  cpu = function(out, args) return out.cpu and out.cpu / args.n end }
local P50, MS = printed("p50", "us", true), printed("ms", "ms", true)

---- cases -------------------------------------------------------------------------------

local MIB = 1 << 20
local cases = {
  { "map", "map, 10^6 integers, automatic chunks", measure = ITEMS, ours = { n = 1000000 },
    peers = { { "pool", goal = ">= 1.5" }, { "plain", goal = ">= 1.0" }, { "mce" },
      { "executor", n = 10000, rounds = 1 } } },
  { "map-chunk1", "map, 10^5 integers, chunksize 1", measure = ITEMS, program = "map",
    ours = { n = 100000, chunk = 1 },
    peers = { { "pool", n = 50000, goal = ">= 30" }, { "luv", goal = ">= 1.2" },
      { "ruby", n = 20000, rounds = 1 }, { "mce", n = 30000, rounds = 1 },
      { "executor", n = 10000, rounds = 1 } } },
  { "imap", "imap_unordered over a function, chunksize 1", measure = ITEMS,
    ours = { n = 200000, chunk = 1 },
    peers = { { "pool", n = 30000, goal = ">= 20" }, { "luv" } } },
  { "imap-chunk20", "imap_unordered over a function, chunksize 20", measure = ITEMS,
    program = "imap", ours = { n = 400000, chunk = 20 },
    peers = { { "pool", n = 200000, goal = ">= 3" } } },
  { "apply", "apply, round trip, idle pool", measure = P50, ours = { n = 10000 },
    limit = "<= 2",
    peers = { { "sleeping", goal = "<= 1" }, { "pool", n = 2000, goal = "<= 0.0667" },
      { "ring", goal = "<= 1.5" }, { "spin" }, { "luv" } } },
  { "apply-sleeping", "the same, each wait a sleep", measure = P50, program = "apply",
    ours = { "sleeping", n = 10000 }, peers = { { "ring", goal = "<= 1.5" } } },
  { "apply-busy", "apply, both cores kept busy by others", measure = P50, program = "apply",
    busy = 2, ours = { n = 2000 },
    peers = { { "sleeping", goal = "<= 1.1" }, { "pool", n = 500 }, { "ring" }, { "spin" } } },
  { "apply-async", "10^5 apply_async, then get all", measure = ITEMS, program = "async",
    ours = { n = 100000 },
    peers = { { "pool", n = 20000, goal = ">= 40" }, { "luv", goal = ">= 1.5" } } },
  { "echo-1m", "echo of strings of 1 MiB", measure = MEGABYTES, program = "echo",
    ours = { n = 500, bytes = MIB, warm = 16 },
    peers = { { "ours", as = "cold", warm = 0 }, { "pool", n = 100, goal = ">= 10" },
      { "ring", goal = ">= 0.6" }, { "luv" }, { "ruby", n = 100, rounds = 1 } } },
  { "echo-64m", "echo of strings of 64 MiB", measure = MEGABYTES, program = "echo",
    ours = { n = 12, bytes = 64 * MIB, warm = 16 },
    peers = { { "ours", as = "cold", warm = 0 }, { "pool", n = 3, warm = 2, goal = ">= 10" },
      { "ring", goal = ">= 0.6" }, { "luv" } } },
  { "echo-records", "echo of 1000 records", measure = RECORDS, program = "records",
    ours = { n = 200 },
    peers = { { "pool", goal = ">= 1.5" }, { "floor", goal = ">= 0.8" } } },
  { "flat", "10^7 items through imap_unordered", measure = ITEMS, rounds = 2,
    ours = { n = 10000000 },
    peers = { { "ours", as = "10^6 items", n = 1000000, goal = ">= 0.95" } } },
  { "flat-memory", "the same: growth of the parent", measure = printed("growth", "KiB", true),
    program = "flat", rounds = 1, ours = { n = 10000000 }, limit = "<= 256" },
  { "fib", "64 tasks fib(18..30), automatic chunks", measure = TASKS, rounds = 3,
    ours = { n = 64 },
    peers = { { "pair", goal = "<= 1.053" }, { "pool", rounds = 1 } } },
  { "fib-chunk1", "64 tasks fib(18..30), chunksize 1", measure = TASKS, rounds = 3,
    program = "fib", ours = { n = 64, chunk = 1 },
    peers = { { "pair", goal = "<= 1.053" } } },
  { "start-heap", "start 2 workers, 1 GiB in the parent", measure = MS, program = "start",
    ours = { workers = 2, heap = 1024 },
    peers = { { "ours", as = "without the 1 GiB", workers = 2, heap = 0, less = "<= 5" },
      { "pool", workers = 2, heap = 1024, rounds = 1 } } },
  { "idle", "memory (PSS) of an idle worker of 8", measure = printed("pss", "KiB", true),
    rounds = 1, ours = { workers = 8 }, limit = "<= 170", peers = { { "pool" } } },
}

for _, workers in ipairs { 2, 8, 64, 256 } do
  cases[#cases + 1] = { "start-" .. workers, ("start %d workers, map, close"):format(workers),
    measure = MS, program = "start", ours = { workers = workers },
    rounds = workers < 50 and 9 or workers < 100 and 5 or 3,
    peers = { { "fork", goal = "<= 1.3" }, { "pool", rounds = workers < 50 and 3 or 1 },
      { "ruby", rounds = 1 }, { "mce", rounds = workers > 100 and 0 or 1 } } }
end

for _, tree in ipairs { { "4k", 20000, 4096, "0.85", 16 }, { "256k", 2000, 256 << 10, "0.95", 16 },
  { "128m", 8, 128 << 20, "0.97", 1 } } do
  local name, files, bytes, goal, chunk = table.unpack(tree)
  cases[#cases + 1] = { "hash-" .. name, ("SHA-512 of %d files of %s"):format(files, name),
    measure = TOTAL, ours = { "hashtree" }, rounds = 9, tree = { name, files, bytes },
    chunk = chunk, seconds = 60,
    peers = { { "libcrypto", goal = "<= " .. ("%.3f"):format(1 / goal) },
      { "sha512sum", goal = "<= 1", rounds = 1 }, { "poolhash", goal = "<= 1", rounds = 1 },
      { "hashdeep", goal = "<= 1", rounds = 1 }, { "rhash", goal = "<= 1", rounds = 1 } } }
end

-- Tasks that sleep: each step's rate must not fall below the one before.
local before
for _, workers in ipairs { 2, 8, 64, 512 } do
  local n = math.min(100000, 1000 * workers)
  local goal = workers > 64 and ">= 0.95" or ">= 1" -- with 32 the processors are busy
  cases[#cases + 1] = { "sleep-" .. workers, ("tasks of 100 us, %d workers"):format(workers),
    measure = ITEMS, program = "nap", rounds = 3, ours = { n = n, workers = workers, us = 100 },
    peers = { before and { "ours", as = ("with %d"):format(before.workers), n = before.n,
      workers = before.workers, us = 100, goal = goal } or nil } }
  before = { workers = workers, n = n }
end

-- The series of a curve: its program, its name, and where it ends.
local curves = {
  { "curve-items", "items at once", x = "items", y = "items/s", series = {
    { "ours", "map", "curve-items", n = 10000000 },
    { "ours", "imap_unordered", "curve-stream", n = 10000000 },
    { "pool", "Pool.map", "curve-items", n = 1000000 },
    { "pool", "Pool.imap_unordered", "curve-stream", n = 100000 } } },
  { "curve-payload", "echo of strings", x = "bytes", y = "MB/s", series = {
    { "ours", "tidepool", "curve-payload", bytes = 64 * MIB },
    { "pool", "Pool", "curve-payload", bytes = 64 * MIB } } },
  { "curve-workers", "tasks of 100 us", x = "workers", y = "tasks/s", series = {
    { "ours", "tidepool", "curve-workers", workers = 512, us = 100 },
    { "pool", "Pool", "curve-workers", workers = 128, us = 100 } } },
}

return { cases = cases, curves = curves, programs = programs, folder = PEERS }
