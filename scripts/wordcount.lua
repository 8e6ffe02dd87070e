-- Counts the words of text files: one task for each file, the tables of counts added up.
-- Run: tidepool scripts/wordcount.lua [-n N] FILE...
-- Prints: the N (10) most frequent words with their counts, then the number of all words.

local tidepool = require "tidepool"

local function count_words(name)
  local file, why = io.open(name, "rb")
  if not file then return nil, why end
  local counts = {}
  for line in file:lines() do
    for word in line:lower():gmatch "%a+" do counts[word] = (counts[word] or 0) + 1 end
  end
  file:close()
  return counts
end

local files, most = { table.unpack(arg) }, 10
if files[1] == "-n" then
  most = math.tointeger(tonumber(files[2])) or 10
  files = { table.unpack(files, 3) }
end

local pool <close> = tidepool.pool()
local totals, words, all = {}, {}, 0
for _, counts, why in pool:imap_unordered(count_words, files) do
  if not counts then io.stderr:write(why, "\n") end
  for word, n in pairs(counts or {}) do
    if not totals[word] then words[#words + 1] = word end
    totals[word], all = (totals[word] or 0) + n, all + n
  end
end

table.sort(words, function(a, b)
  if totals[a] ~= totals[b] then return totals[a] > totals[b] end
  return a < b
end)
for i = 1, math.min(most, #words) do print(("%7d  %s"):format(totals[words[i]], words[i])) end
print(("%7d  words, %d different"):format(all, #words))
