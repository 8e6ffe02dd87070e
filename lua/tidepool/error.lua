-- Error objects: what a failure in or to a task looks like. Their fields are
-- set where they arise (lua_job.c); here is how they read.

local core = require "tidepool.core"

local Error = core.error_type

Error.__name = "tidepool.error"

local HINT = "\n(the kernel kills with SIGKILL, too, when memory runs out)"

---The message, and below it the worker's Lua stack where there is one.
function Error:__tostring()
  local text = tostring(self.message)
  if self.signal == "SIGKILL" then text = text .. HINT end
  if not self.traceback then return text end
  local where = ""
  if self.task then
    where = (" in item %d of \"%s\""):format(self.index or 1, self.task)
  end
  if self.worker then where = (" (worker %d%s)"):format(self.worker, where) end
  local trace = self.traceback:gsub("^stack traceback:", "stack traceback" .. where .. ":")
  return text .. "\n" .. trace
end

return Error
