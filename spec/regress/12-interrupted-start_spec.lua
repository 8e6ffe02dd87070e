-- An interrupt that came between the start of a call's task and the wait for it left the task
-- to run for ever. Here it comes after 1, 2, 3 ... instructions, until one is in the wait.

local tidepool = require "tidepool"

local function interrupt_after(n)
  debug.sethook(function()
    debug.sethook()
    error("interrupted!", 0)
  end, "", n)
end

describe("an interrupt while a call begins", function()
  for what, opts in pairs { ["a plain call"] = {}, ["a call with options"] = { retries = 0 } } do
    it("leaves nothing of " .. what .. " that runs on", function()
      local pool <close> = tidepool.pool(1)
      local n, job = 0
      repeat
        n = n + 1
        local ok, why = pcall(function()
          local function forever() while true do end end -- a new one is not known yet
          interrupt_after(n)
          pool:apply(forever, {}, nil, next(opts) and opts)
        end)
        assert.is_false(ok)
        assert.matches("interrupted!", why)
        job = pool:apply_async("math.abs", { -n })
      until not job:wait(0.3)

      assert.equal(n, job:get(10)) -- the worker of the task that began was replaced
    end)
  end
end)
