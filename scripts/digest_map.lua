-- The SHA-512 of every file below a folder as one table, name to sum, made by two workers.
-- Run: tidepool scripts/digest_map.lua DIR
-- Prints: name, arrow and sum of each file, sorted by name ("nil": it could not be opened), then
-- the size of the map.

local tidepool = require "tidepool"

local function mark(name)
  local file = io.open(name, "rb")
  if not file then return name, nil end
  local digest = tidepool.digest "sha512"
  for piece in file:lines(8196) do digest:update(piece) end
  file:close()
  return name, digest:final()
end

local dir = arg and arg[1]
if not dir then
  io.stderr:write "usage: digest_map.lua DIR\n"
  os.exit(1)
end

local sums, names, size = {}, {}, 0
do
  local pool <close> = tidepool.pool(2)
  for _, name, sum in pool:imap_unordered(mark, tidepool.files(dir), 20) do
    names[#names + 1] = name
    sums[name] = sum
    if sum then size = size + 1 end
  end
end

table.sort(names)
for _, name in ipairs(names) do print(name, "->", sums[name]) end
print(("%d sums of %d files"):format(size, #names))
