-- What a program started by a task had started itself went on after the pool's
-- end, and a worker that somebody had stopped was never killed for a task that
-- was given up.

local helper = require "spec.helper"
local tidepool = require "tidepool"

---A task that runs a shell that waits for another program, whose number it notes.
local function start_program(path)
  os.execute("sleep 30 >/dev/null 2>&1 & echo $! >>" .. path .. "; wait")
end

local function gone(pid)
  helper.eventually(function() return not helper.alive(pid) end)
end

describe("a program started by a program of a task", function()
  it("ends with the pool", function()
    local journal <close> = helper.file()
    local pool <close> = tidepool.pool(1)
    pool:apply_async(start_program, { journal.path })
    local pid = math.tointeger(tonumber(journal:await(1)[1]))

    pool:terminate()
    pool:join()

    gone(pid)
  end)

  it("ends with a program that is killed", function()
    local journal <close> = helper.file()
    helper.run(([[
      local tidepool = require "tidepool"
      local helper = require "spec.helper"
      local pool = tidepool.pool(1)
      pool:apply_async(function(path)
        os.execute("sleep 30 >/dev/null 2>&1 & echo $! >>" .. path .. "; wait")
      end, { %q })
      helper.eventually(function() return #assert(io.open(%q)):read("a") > 0 end)
      helper.kill(tidepool.getpid(), "KILL")
    ]]):format(journal.path, journal.path))

    gone(math.tointeger(tonumber(journal:await(1)[1])))
  end)
end)

describe("a stopped worker", function()
  it("is replaced when its task was given up", function()
    local out, err, status = helper.run [[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      local ok, why = pcall(pool.apply, pool, function(parent)
        os.execute("kill -INT " .. parent .. "; kill -STOP " .. tidepool.getpid())
        while true do end
      end, { tidepool.getpid() })
      print(ok, (tostring(why):gsub("^.-:%d+: ", "")))
      print(pool:apply("math.abs", { -7 }))
    ]]

    assert.equal("", err)
    assert.equal("false\tinterrupted!\n7\n", out)
    assert.equal(0, status)
  end)
end)
