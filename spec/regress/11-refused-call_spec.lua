-- A call with too many arguments was refused, yet its job stayed with the pool.

local helper = require "spec.helper"
local tidepool = require "tidepool"

describe("a call with too many arguments", function()
  it("leaves no job behind", function()
    local pool <close> = tidepool.pool(1)
    local args = { n = 1 << 30 }
    local function kilobytes_after(calls)
      for _ = 1, calls do
        pcall(pool.apply_async, pool, "math.abs", args)
        pcall(pool.apply_async, pool, "math.abs", args, {})
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end

    assert.matches("too many arguments", helper.failure(pool.apply, pool, "math.abs", args))
    local before = kilobytes_after(100)

    assert.is_true(kilobytes_after(2000) - before < 100)
    assert.equal(1, pool:apply("math.abs", { -1 }))
  end)
end)
