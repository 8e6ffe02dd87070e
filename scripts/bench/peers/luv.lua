-- luv's work queue (threads) in the cases that it can do: luv.lua CASE KEY=VALUE...

local uv = require "luv"

local options = { workers = 2 }
for i = 2, #arg do
  local key, value = arg[i]:match "^(%w+)=(%d+)$"
  options[key] = math.tointeger(value)
end
uv.os_setenv("UV_THREADPOOL_SIZE", tostring(options.workers))

local function say(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
  io.read()
end

local finish -- what takes results; a work handle keeps one function for ever
local function taken(...) finish(...) end
local twice = uv.new_work(function(i, x) return i, 2 * x + 1 end, taken)
local same = uv.new_work(function(x) return x end, taken)

local function map(n)
  local out = {}
  finish = function(i, y) out[i] = y end
  for i = 1, n do twice:queue(i, i) end
  uv.run()
  return out
end

-- At most `window` on their way.
local function stream(work, n, window, ...)
  local sent, got = 0, 0
  local args = table.pack(...)
  local function send()
    sent = sent + 1
    work:queue(table.unpack(args, 1, args.n))
  end
  finish = function()
    got = got + 1
    if sent < n then send() end
  end
  for _ = 1, math.min(window, n) do send() end
  uv.run()
  assert(got == n)
end

local function timed(f, ...)
  say "begin"
  f(...)
  say "end"
end

local run = {}

function run.map(o)
  map(1000)
  timed(map, o.n)
end

function run.imap(o)
  map(200)
  timed(stream, twice, o.n, 64, 1, 1)
end

run.async = run.map

function run.echo(o)
  local text = ("x"):rep(o.bytes)
  stream(same, o.warm, 2, text)
  timed(stream, same, o.n, 2, text)
end

function run.apply(o)
  local took = {}
  map(100)
  finish = function() end
  say "begin"
  for i = 1, o.n do
    local t = uv.hrtime()
    twice:queue(i, i)
    uv.run()
    took[i] = uv.hrtime() - t
  end
  say "end"
  table.sort(took)
  print("p50", took[#took // 2] / 1e3)
  print("p99", took[#took * 99 // 100] / 1e3)
end

function run.start(o)
  local t = uv.hrtime()
  map(o.workers)
  print("ms", (uv.hrtime() - t) / 1e6)
end

run[arg[1]](options)
