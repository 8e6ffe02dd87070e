-- Seven tasks on five workers: apply_async returns at once, apply waits for its task.
-- Run: tidepool scripts/blocking.lua [SCALE]     (SCALE = 10: ten times slower)
-- Prints: what each task says when it ends, between --start1-- and --end1-- in the order of their
-- ends, since they overlap; between --start2-- and --end2-- one after the other.

local tidepool = require "tidepool"

local scale = tonumber(arg and arg[1]) or 1

local function work(name, parent, seconds)
  local start = tidepool.now()
  tidepool.sleep(seconds)
  print(("Process %d in pid %d, parent %d, ran %.2f seconds"):format(
    name, tidepool.getpid(), parent, tidepool.now() - start))
end

local function random_seconds()
  return scale * (0.05 + 0.25 * math.random())
end

io.stdout:setvbuf "line"
local parent = tidepool.getpid()

print "--start1--"
local pool = tidepool.pool(5)
for name = 1, 7 do
  pool:apply_async(work, { name, parent, random_seconds() })
end
pool:close()
pool:join()
print "--end1--"

print "--start2--"
pool = tidepool.pool(5)
for name = 1, 7 do
  pool:apply(work, { name, parent, random_seconds() })
end
pool:close()
pool:join()
print "--end2--"
