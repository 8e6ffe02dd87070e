-- A worker dies in the middle of its task: what the parent sees, and that the work goes on.
-- Run: tidepool scripts/crash.lua
-- Prints: the results of five tasks, one of which lost its worker to SIGKILL, and then that of a
-- task that kills its worker once and is run again, for the pool's option `retries`.

local tidepool = require "tidepool"

local function risky(x)
  if x == 3 then os.execute("kill -KILL " .. tidepool.getpid()) end
  return x * x
end

local function careless(x)
  local attempt = tidepool.task().attempt
  if attempt == 1 then os.execute("kill -KILL " .. tidepool.getpid()) end
  return x * x, attempt
end

do
  local pool <close> = tidepool.pool(2)
  for i, result, err in pool:imap(risky, { 1, 2, 3, 4, 5 }, { chunksize = 1, on_error = "keep" }) do
    if err then
      print(("item %d: %s: %s"):format(i, err.kind, err.message))
    else
      print(("item %d: %d"):format(i, result))
    end
  end
end

local pool <close> = tidepool.pool { processes = 2, retries = 1 }
local result, attempt = pool:apply(careless, { 6 })
print(("with retries: %d at attempt %d"):format(result, attempt))
