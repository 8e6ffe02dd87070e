-- Error objects: what a failure in or to a task looks like. Their fields are
-- set where they arise (lua_job.c); here is how they read.

local core = require "tidepool.core"

local Error = core.error_type

Error.__name = "tidepool.error"

local SIGKILL = 9
local HINT = "\n(the kernel kills with SIGKILL, too, when memory runs out)"

local function quoted(task)
  return task:find "^function <" and task or ("%q"):format(task)
end

---The message; below it who ran what, and the worker's Lua stack, if any.
function Error:__tostring()
  local text = tostring(self.message)
  if self.signal == SIGKILL then text = text .. HINT end
  if not self.traceback then return text end
  local where = self.kind
  if self.task then where = ("item %d of %s"):format(self.index or 1, quoted(self.task)) end
  if self.worker then where = ("worker %d, %s"):format(self.worker, where) end
  return ("%s\n%s:\n%s"):format(text, where, self.traceback)
end

return Error
