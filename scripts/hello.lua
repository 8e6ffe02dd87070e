-- A pool of processes in three calls: one task, many tasks, tasks as they finish.
-- Run: tidepool scripts/hello.lua [NAME...]
-- Prints: a greeting for each name, then the squares of 1 to 10, then who did what.

local tidepool = require "tidepool"

local function greet(name)
  return "Hello, " .. name .. "!"
end

local function square(x)
  return x * x
end

local function who(x)
  return x, tidepool.worker.number
end

local names = arg and #arg > 0 and { table.unpack(arg) } or { "tide", "pool" }
local pool <close> = tidepool.pool(2)

for _, name in ipairs(names) do
  print(pool:apply(greet, { name }))
end

local squares = pool:map(square, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })
print(table.concat(squares, " "))

for i, x, worker in pool:imap(who, { "a", "b", "c" }) do
  print(("item %d, %q, by worker %d"):format(i, x, worker))
end
