-- A finalizer that ran after its pool's, as at the end of a program, and asked a pending result
-- read what the pool had given back: the program was killed by SIGSEGV.

local helper = require "spec.helper"

describe("a result that a finalizer asks after its pool was collected", function()
  it("tells that the pool was terminated", function()
    local out, err, status = helper.run [[
      local tidepool = require "tidepool"
      local owner = setmetatable({}, { __gc = function(owner)
        for i, result in ipairs(owner) do
          print(i, result, result:ready(), result:wait(1), select(2, pcall(result.get, result)))
        end
      end })
      local pool = tidepool.pool(1)
      local function forever() while true do end end
      owner[1] = pool:apply_async(forever, {})
      owner[2] = pool:apply_async(forever, {})
      owner[3] = pool:map_async(forever, { 1, 2 })
    ]]

    local line = "%d\ttidepool.result (failed)\ttrue\ttrue\tthe pool was terminated\n"
    assert.equal(line:format(1) .. line:format(2) .. line:format(3), out)
    assert.equal("", err)
    assert.equal(0, status)
  end)
end)
