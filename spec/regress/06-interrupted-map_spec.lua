-- After Ctrl-C in a call whose tasks never end, all later calls waited for ever.

local helper = require "spec.helper"

describe("an interrupted pool:map", function()
  it("leaves a pool that works, whatever its tasks do", function()
    local out, err, status = helper.run [[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(2)
      local ok, why = pcall(pool.map, pool, function(parent)
        if parent then os.execute("kill -INT " .. parent) end
        while true do end
      end, { tidepool.getpid(), false }, 1)
      print(ok, (tostring(why):gsub("^.-:%d+: ", "")))
      print(table.concat(pool:map(function(x) return 2 * x end, { 1, 2, 3, 4, 5 }, 1), " "))
    ]]

    assert.equal("", err)
    assert.equal("false\tinterrupted!\n2 4 6 8 10\n", out)
    assert.equal(0, status)
  end)

  it("lets an item that is about to end, end", function()
    local log <close> = helper.file("")
    local out, err, status = helper.run(([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      local pid = pool:apply(tidepool.getpid)
      local ok, why = pcall(pool.map, pool, function(parent)
        os.execute("kill -INT " .. parent)
        tidepool.sleep(0.2)
        local log <close> = assert(io.open(%q, "ab"))
        log:write "ended"
      end, { tidepool.getpid() })
      print(ok, pool:apply(tidepool.getpid) == pid)
    ]]):format(log.path))

    assert.equal("", err)
    assert.equal("false\ttrue\n", out)
    assert.equal(0, status)
    assert.equal("ended", log:read())
  end)
end)
