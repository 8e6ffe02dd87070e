-- terminate asked a supervisor that somebody had stopped, and join waited for ever; when the parent
-- ended, its workers stayed.

local helper = require "spec.helper"
local tidepool = require "tidepool"

describe("a pool whose supervisor is stopped", function()
  it("can be terminated and joined", function()
    local pool <close> = tidepool.pool(1)
    local worker = pool:apply(function() return tidepool.worker.pid end)
    helper.kill(helper.parent(worker), "STOP")

    pool:terminate()
    pool:join(10)

    helper.eventually(function() return not helper.alive(worker) end)
  end)

  it("ends with the program", function()
    local out = helper.run([[
      local tidepool = require "tidepool"
      pool = tidepool.pool(1)
      local pid = pool:apply(function() return tidepool.worker.pid end)
      local stat <close> = assert(io.open("/proc/" .. pid .. "/stat"))
      os.execute("kill -STOP " .. stat:read("a"):match("^.*%) %S (%d+)"))
      print(pid)
      os.exit(true, false)
    ]])
    local worker = tonumber(out)

    helper.eventually(function() return not helper.alive(worker) end)
  end)
end)
