-- window_bytes counted results only once the parent had collected them, so workers went on
-- producing far beyond it.

local helper = require "spec.helper"
local tidepool = require "tidepool"

describe("window_bytes of pool:imap", function()
  it("bounds results that nobody has taken", function()
    local pool <close> = tidepool.pool(2)
    local log <close> = helper.file("")
    local path, items = log.path, {}
    for i = 1, 200 do items[i] = i end

    local results = pool:imap(function()
      helper.note(path, "x")
      return ("x"):rep(1 << 20)
    end, items, { window = 200, window_bytes = 4 << 20 })
    for _ = 1, 3 do results() end
    pool:apply(function() end)
    pool:apply(function() end)
    local run = 0
    for _ in io.lines(path) do run = run + 1 end

    assert.is_true(run <= 3 + 8, run .. " items were run")
  end)
end)
