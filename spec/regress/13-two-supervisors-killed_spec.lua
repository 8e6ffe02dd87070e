-- A pool whose supervisor had died twice within seconds was said to have workers that die at
-- their start, the last one with status 0.

local tidepool = require "tidepool"
local helper = require "spec.helper"

describe("a pool whose supervisor is killed again and again", function()
  it("says so", function()
    local pool <close> = tidepool.pool(1)
    for _ = 1, 2 do
      local worker = pool:apply(tidepool.getpid)
      helper.kill(helper.parent(worker), "KILL")
      helper.eventually(function() return not helper.alive(worker) end)
    end

    local err = helper.failure(pool.apply, pool, tidepool.getpid)

    assert.equal("lost", err.kind)
    assert.equal("the pool is broken: its supervisor died and could not be replaced", err.message)
  end)
end)
