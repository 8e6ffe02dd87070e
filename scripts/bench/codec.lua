-- Measures the codec on eight data sets beside the floors of Lua's C API and lua-cjson.
-- Run: make bench-codec, or tidepool scripts/bench/codec.lua [--name NAME] [SET...]
-- Prints: nanoseconds of processor time for one call, the median and the least of the samples.
-- Each round takes one of every job, in an order of its own; what is compared with a floor is
-- compared within the rounds.

local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path
package.cpath = "build/bench/?.so;" .. package.cpath

local tidepool = require "tidepool"
local data = require "data"
local results = require "results"

local ROUNDS, SAMPLE_S = 31, 0.006

-- Goals for ours divided by the floor; for `a` nanoseconds more than the floor.
local GOALS = {
  sink = { a = 10, b = 1.35, c = 1.35, d = 1.30, e = 1.35, f = 1.05, g = 1.15, h = 1.10 },
  encode = { a = 15, b = 1.40, c = 1.40, d = 1.60, e = 2.0, f = 2.9, g = 1.40, h = 1.30 },
  decode = { a = 10, b = 1.10, c = 1.10, d = 1.10, e = 1.15, f = 1.05, g = 1.10, h = 1.05 },
}

local function build()
  local command = "mkdir -p build/bench && ${CC:-cc} -O2 -fPIC -shared -Wl,-Bsymbolic -Ihost "
    .. "$(pkg-config --cflags lua5.4) -o build/bench/%s.so %s"
  assert(os.execute(command:format("floor", here .. "/peers/floor.c")))
  -- The objects of tidepool.so but its Lua face.
  local codec = "$(ls build/so/*.o | grep -E '/(encode|decode|check|codec|seen|buf|head|scalar)')"
  local ok = os.execute(command:format("sink", here .. "/peers/sink.c " .. codec .. " -lm"))
  return ok
end

local function sample(job)
  local f, x = job.f, job.x
  local t = os.clock()
  for _ = 1, job.n do f(x) end
  return (os.clock() - t) / job.n
end

local function calibrate(job)
  job.n, job.samples = 1, {}
  while true do
    local t = sample(job) * job.n
    if t >= SAMPLE_S then return end
    job.n = t < SAMPLE_S / 20 and job.n * 8 or math.ceil(job.n * SAMPLE_S * 1.2 / t)
  end
end

local function sorted(values)
  local copy = table.move(values, 1, #values, 1, {})
  table.sort(copy)
  return copy
end

local function median(values)
  return sorted(values)[(#values + 1) // 2]
end

local function shuffled(list)
  local copy = table.move(list, 1, #list, 1, {})
  for i = #copy, 2, -1 do
    local k = math.random(i)
    copy[i], copy[k] = copy[k], copy[i]
  end
  return copy
end

local function jobs_of(value, modules)
  local codec, floor, sink, cjson = tidepool.codec, modules.floor, modules.sink, modules.cjson
  local text, plan = codec.encode(value), floor.plan(value)
  assert(data.same(value, codec.decode(text)))
  local jobs = {
    { name = "floor, encode", f = floor.walk, x = value },
    { name = "codec.encode", f = codec.encode, x = value, goal = "encode", floor = { 1 } },
    { name = "floor, build", f = floor.build, x = plan },
    { name = "floor, bulk", f = floor.bulk, x = plan },
    { name = "codec.decode", f = codec.decode, x = text, goal = "decode", floor = { 3, 4 } },
  }
  if sink then
    assert(data.same(value, sink.decode(text)))
    jobs[#jobs + 1] = { name = "sink, encode", f = sink.encode, x = value, goal = "sink",
      floor = { 1 } }
    jobs[#jobs + 1] = { name = "sink, decode", f = sink.decode, x = text, goal = "decode",
      floor = { 3, 4 } }
  end
  if cjson then
    jobs[#jobs + 1] = { name = "cjson.encode", f = cjson.encode, x = { value } }
    jobs[#jobs + 1] = { name = "cjson.decode", f = cjson.decode, x = cjson.encode { value } }
  end
  return jobs, #text
end

local LINE = "  %-14s %12s %12s %8s  %-9s %s"

-- The median of what a job takes beside its floor, the faster one if there are two.
local function beside_floor(job, jobs, is_difference)
  local floor = jobs[job.floor[1]]
  for _, i in ipairs(job.floor) do
    if median(jobs[i].samples) < median(floor.samples) then floor = jobs[i] end
  end
  local values = {}
  for i, t in ipairs(job.samples) do
    local least = floor.samples[i]
    values[i] = is_difference and (t - least) * 1e9 or t / least
  end
  return median(values)
end

local function job_print(out, set, job, jobs)
  local ratio, goal, verdict = "", "", ""
  if job.goal then
    local edge = GOALS[job.goal][set]
    local x = beside_floor(job, jobs, edge > 3)
    ratio = (edge > 3 and "%+.1f ns" or "%.2f"):format(x)
    goal = (edge > 3 and "<= +%d" or "<= %.2f"):format(edge)
    verdict = x <= edge and "PASS" or "below"
  end
  local samples = sorted(job.samples)
  out:say((LINE:format(job.name, ("%.1f"):format(median(samples) * 1e9),
    ("%.1f"):format(samples[1] * 1e9), ratio, goal, verdict):gsub("%s+$", "")))
  for i, t in ipairs(samples) do samples[i] = t * 1e9 end
  out:values("value", set, job.name, true, "ns", samples)
end

local function set_run(out, set, modules)
  local jobs, size = jobs_of(data.get(set), modules)
  for _, job in ipairs(jobs) do calibrate(job) end
  for _ = 1, ROUNDS do
    for _, job in ipairs(shuffled(jobs)) do table.insert(job.samples, sample(job)) end
  end
  out:say(("%s, %s: %d bytes%s"):format(set, data.titles[set], size,
    size == data.sizes[set] and "" or (", NOT " .. data.sizes[set])))
  for _, job in ipairs(jobs) do job_print(out, set, job, jobs) end
end

local function options_read()
  local name, sets = "codec", {}
  local i = 1
  while arg[i] do
    if arg[i] == "--name" then
      i = i + 1
      name = arg[i] or results.stop(2, "--name needs a value")
    elseif data.titles[arg[i]] then
      sets[#sets + 1] = arg[i]
    else
      results.stop(2, "no data set ", arg[i], " (there are ", table.concat(data.names, " "), ")")
    end
    i = i + 1
  end
  return results.path(name), #sets > 0 and sets or data.names
end

local path, sets = options_read()
local built = build()
local out <close> = results.open(path)
local modules = { floor = require "floor", sink = built and require "sink" }
local ok, cjson = pcall(require, "cjson")
if ok then modules.cjson = cjson else out:say "missing: cjson (package lua-cjson)" end
if not built then out:say "missing: sink (the objects in build/so)" end
out:say(LINE:format("ns for one call", "median", "least", "x floor", "goal", ""))
for _, set in ipairs(sets) do set_run(out, set, modules) end
out:keep()
