-- After Ctrl-C in a loop over imap all that had been read ahead still ran, before anything else.

local helper = require "spec.helper"

describe("an interrupted loop over pool:imap", function()
  it("leaves nothing behind that has not begun", function()
    local log <close> = helper.file("")
    local out, err, status = helper.run(([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      local path, parent = %q, tidepool.getpid()
      local ok, why = pcall(function()
        for _ in pool:imap(function(i)
          local log <close> = assert(io.open(path, "ab"))
          log:write(i, "\n")
          if i == 1 then os.execute("kill -INT " .. parent) end
          tidepool.sleep(0.3)
        end, { 1, 2, 3, 4 }, 1) do end
      end)
      print(ok, (tostring(why):gsub("^.-:%%d+: ", "")))
      print(pool:apply(function() return "usable" end))
    ]]):format(log.path))
    local begun = 0
    for _ in io.lines(log.path) do begun = begun + 1 end

    assert.equal("", err)
    assert.equal("false\tinterrupted!\nusable\n", out)
    assert.equal(0, status)
    assert.is_true(begun < 3)
  end)
end)
