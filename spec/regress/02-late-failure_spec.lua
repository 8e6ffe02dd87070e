-- A waiting map slept until all chunks were done: a failure stopped nothing that was still to come,
-- in other chunks or in its own, and progress was told at the end.

local helper = require "spec.helper"
local tidepool = require "tidepool"

-- How many of the n items of a failing map began.
local function begun(n, chunksize)
  local pool <close> = tidepool.pool(2)
  local log <close> = helper.file("")
  local path, items = log.path, {}
  for i = 1, n do items[i] = i end

  helper.failure(pool.map, pool, function(i)
    helper.note(path, "x")
    if i == 1 then error("first") end
    tidepool.sleep(0.05)
  end, items, chunksize)

  local count = 0
  for _ in io.lines(path) do count = count + 1 end
  return count
end

describe("a failing pool:map", function()
  it("begins no further chunks", function()
    assert.is_true(begun(60, 1) < 20)
  end)

  it("begins no further items of the same chunk", function()
    assert.equal(1, begun(20, 20))
  end)
end)

describe("progress of pool:map", function()
  it("is told while it goes on", function()
    local pool <close> = tidepool.pool(1)
    local gate <close> = helper.gate()
    local path = gate.path

    pool:map(function(i) if i == 2 then helper.pass(path) end end, { 1, 2 },
      { chunksize = 1, progress = function(done) if done == 1 then gate:open() end end })
  end)
end)
