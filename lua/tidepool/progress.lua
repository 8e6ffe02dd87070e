-- The progress line: what `progress = true` draws on stderr.

local core = require "tidepool.core"

local progress = {}

local FIRST_S, EVERY_S = 0.5, 0.1

local function draw(done, total, started)
  local rate = done / math.max(core.now() - started, 1e-9)
  local of = total and ("/%d"):format(total) or ""
  io.stderr:write(("\r%d%s  %.0f/s\27[K"):format(done, of, rate))
end

---A progress function: draws at most ten times a second, not in the first half
---second, and leaves a clean line at the end.
function progress.new()
  local started, last, drawn = core.now(), 0, false
  return function(done, total)
    local now = core.now()
    if total and done >= total then
      if drawn then io.stderr:write "\r\27[K" end
      drawn = false
    elseif now - started >= FIRST_S and now - last >= EVERY_S then
      last, drawn = now, true
      draw(done, total, started)
    end
  end
end

return progress
