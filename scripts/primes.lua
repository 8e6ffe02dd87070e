-- Counts the primes below a limit: one range of numbers for each task, the counts added up.
-- Run: tidepool scripts/primes.lua [LIMIT]
-- Prints: "there are 9592 primes below 100000", the largest one and how many ranges there were.

local tidepool = require "tidepool"

local WIDTH = 10000

local function is_prime(n)
  if n < 4 then return n > 1 end
  if n % 2 == 0 then return false end
  for d = 3, math.floor(math.sqrt(n)), 2 do
    if n % d == 0 then return false end
  end
  return true
end

local function count_primes(first, last)
  local count, largest = 0, nil
  for n = first, last do
    if is_prime(n) then count, largest = count + 1, n end
  end
  return count, largest
end

local limit = math.tointeger(tonumber(arg and arg[1])) or 100000
local ranges = {}
for first = 0, limit - 1, WIDTH do
  ranges[#ranges + 1] = { first, math.min(first + WIDTH, limit) - 1 }
end

local pool <close> = tidepool.pool()
local counts, primes = pool:starmap(count_primes, ranges)
local sum, largest = 0, nil
for i = 1, counts.n do
  sum, largest = sum + counts[i], primes and primes[i] or largest
end
print(("there are %d primes below %d"):format(sum, limit))
print(("the largest is %s, found in %d ranges"):format(largest, counts.n))
