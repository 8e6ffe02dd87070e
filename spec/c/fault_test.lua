-- fault_test.lua - what fault_test.c breaks: operations by name. `run` is broken in the parent;
-- `in_worker(n, length)` has a task broken, and returns how many allocations failed.

local tidepool = require "tidepool"
local codec, digest = tidepool.codec, tidepool.digest

local pool = tidepool.pool(1)

local function double(x) return 2 * x end

local function nested()
  local shared = { "x" }
  return { 1, { "two", shared, { 3.5, shared } }, key = { [1.5] = true, long = ("y"):rep(300) } }
end

local function is_nested(t)
  return #t == 2 and t[2][2] == t[2][3][2] and t.key[1.5] and #t.key.long == 300
end

-- The error that was expected, or one of memory, which goes on.
local function refused(text, fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "no error was raised")
  if not tostring(err):find(text, 1, true) then error(err, 0) end
end

local list = { check = function() assert(pool:apply(double, { 21 }) == 42) end }

local function operation(name, run, allowed)
  list[#list + 1] = { name = name, run = run, allowed = allowed, dear = allowed }
end

---- pools ----------------------------------------------------------------------

operation("apply", function() assert(pool:apply(double, { 21 }) == 42) end)

operation("apply_async and get", function()
  local results = {}
  for i = 1, 3 do results[i] = pool:apply_async(nested) end
  for i = 1, 3 do assert(is_nested(results[i]:get())) end
end)

operation("map", function()
  local r = pool:map(double, { 1, 2, 3, 4, 5 })
  assert(#r == 5 and r[5] == 10)
end)

operation("starmap with a function of its own", function()
  local n = 3
  local r = pool:starmap(function(a, b) return a + b + n, { a } end, { { 1, 2 }, { 3, 4 } }, 1)
  assert(r[2] == 10)
end)

operation("imap", function()
  local sum = 0
  for _, v in pool:imap(double, { 1, 2, 3, 4, 5 }, { chunksize = 2 }) do sum = sum + v end
  assert(sum == 30)
end)

operation("imap_unordered", function()
  local sum = 0
  for _, v in pool:imap_unordered(double, { 1, 2, 3, 4, 5 }) do sum = sum + v end
  assert(sum == 30)
end)

operation("imap of long strings", function()
  for _, s in pool:imap(function(x) return x:rep(20000) end, { "a", "b" }) do
    assert(#s == 20000)
  end
end)

operation("an error that travels", function()
  refused("not for 3", pool.map, pool, function(x) error("not for " .. x) end, { 3, 4 })
end)

operation("errors that are kept", function()
  local r = pool:map(function(x) return x.y end, { 1, {}, 2 }, { on_error = "keep" })
  assert(r.n == 3 and r.errors[1] and r.errors[3])
end)

operation("a callback", function()
  local got
  pool:apply_async(double, { 4 }, nil, function(v) got = v end):get()
  assert(got == 8 or got == nil)
end)

operation("a pool of its own", function()
  local own <close> = tidepool.pool(1)
  assert(own:apply(double, { 1 }) == 2)
end)

operation("a serial pool", function()
  local own <close> = tidepool.pool { serial = true }
  local r = own:map(double, { 1, 2, 3 })
  assert(r[3] == 6)
end)

local function read(path, ...)
  local file = io.open(path:format(...))
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text
end

-- What a pool says when no other supervisor, or no worker, could be started.
local BROKEN = "the pool is broken"

local function kill(pid) os.execute(("kill -9 %d"):format(pid)) end

-- The chunk that was begun comes back on the heap, without its first item.
operation("a supervisor that dies", function()
  local own <close> = tidepool.pool(1)
  local supervisor = tonumber(read("/proc/%d/stat", own:apply(tidepool.getpid)):match("%) . (%d+)"))
  local result = own:map_async(function(x)
    if x == 1 then tidepool.sleep(10) end
    return x
  end, { 1, 2, 3 }, { chunksize = 3, on_error = "keep" })
  while not tostring(result):find("running", 1, true) do tidepool.sleep(0.0001) end
  kill(supervisor)
  local r = result:get()
  assert(r.errors[1].kind == "lost" and r[3] == 3)
end, BROKEN)

---- modules --------------------------------------------------------------------

local function raise(_, message) error(message, 0) end

local text = codec.encode(nested())

operation("codec.encode", function() assert(codec.encode(nested()) == text) end)

operation("codec.encode, every option", function()
  local bytes = codec.encode({ b = nested(), a = "hello", c = "hello" },
    { deterministic = true, dedupe = true, strings = "auto", magic = true })
  assert(codec.decode(bytes).c == "hello")
end)

operation("codec.decode", function() assert(is_nested(codec.decode(text))) end)

operation("codec.diag", function() assert(codec.diag(text):find("two", 1, true)) end)

operation("walk", function()
  local n = 0
  for _, _, names in tidepool.walk("spec/c", { onerror = raise }) do n = n + #names end
  assert(n > 5)
end)

operation("files", function()
  local n = 0
  for _ in tidepool.files("spec/c", { onerror = raise }) do n = n + 1 end
  assert(n > 5)
end)

operation("digest", function()
  local d = digest("sha256")
  d:update("abc")
  assert(d:final() == digest.string("sha256", "abc"))
end)

operation("a unit of hashtree", function()
  local lines, failures = digest.lines("sha512", { "Makefile", "no such file", "README.md" })
  assert(#failures == 1 and lines:find("README.md", 1, true))
end)

local session = require("tidepool.prompt").session {
  colour = true, width = function() return 80 end, write_file = print,
}

operation("the prompt", function()
  local chunk = assert(session:load("{1, x = {2, 'three'}}, 'a' .. 1"))
  session:started()
  local shown = session:results(chunk())
  session:finished()
  assert(shown:find("three", 1, true))
  session:entered("1", true)
  assert(#select(2, session:complete("string.f", 8)) > 0)
end)

---- workers --------------------------------------------------------------------

local function mended() return package.loadlib("", "luaopen_fault_disarm")() end

-- What a task does after the n-th allocation: the parent sees its result or its error.
local function in_worker(name, f, ok, text_of_error)
  local function breaks(n, length)
    package.loadlib("", "luaopen_fault_arm")(n, length)
    return f(n)
  end
  local function run(n, length)
    local done, result = pcall(pool.apply, pool, breaks, { n, length })
    local heard, hits
    repeat heard, hits = pcall(pool.apply, pool, mended) until heard
    if done then
      assert(ok and ok(result), "another result")
    elseif not (text_of_error and tostring(result):find(text_of_error, 1, true)) then
      error(result, 0)
    end
    return hits
  end
  list[#list + 1] = { name = name .. ", in a worker", in_worker = run }
end

in_worker("nested tables", nested, is_nested)
in_worker("a string", function() return ("x"):rep(3000) end, function(s) return #s == 3000 end)
in_worker("an error", function(n) error("not for " .. n) end, nil, "not for ")
in_worker("a table as error", function(n) error({ code = { n } }) end, nil, "table value")
in_worker("a new function", function(n) return assert(load("return " .. n))() end, math.type)

---- the pool's own processes ---------------------------------------------------

local function kill_nursery()
  local me = tidepool.getpid()
  for pid in read("/proc/%d/task/%d/children", me, me):gmatch("%d+") do
    if read("/proc/%d/comm", pid) == "tidepool nursery\n" then kill(tonumber(pid)) end
  end
end

-- A nursery that is forked now, and all that it forks, fails as it is armed by then.
local function with_new_nursery()
  kill_nursery()
  local own <close> = tidepool.pool(1)
  assert(own:apply(double, { 4 }) == 8)
end

list[#list + 1] = {
  name = "nursery, supervisor, worker", allowed = BROKEN, dear = true,
  in_children = with_new_nursery,
}

return list
