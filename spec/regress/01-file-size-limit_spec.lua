-- Under a file size limit there is no memfd; the pool's supervisor is then forked by the parent
-- itself, and its workers woke the parent through a descriptor that had been closed: a hang.

local helper = require "spec.helper"

describe("a pool under a file size limit", function()
  it("delivers its results", function()
    local out, err, status = helper.run([[
      local pool <close> = require("tidepool").pool(2)
      local r = pool:map(function(x) return x * x end, { 1, 2, 3 })
      print(table.concat(r, " "))
    ]], { under = "timeout -s KILL 20 prlimit --fsize=1000" })

    assert.equal("", err)
    assert.equal("1 4 9\n", out)
    assert.equal(0, status)
  end)
end)
