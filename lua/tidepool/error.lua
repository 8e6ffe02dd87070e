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

local function item_of(err)
  return ("item %d of %s"):format(err.index or 1, quoted(err.task))
end

-- Calls within the library are nobody's concern.
local function without_own(traceback)
  return (traceback:gsub("\n\t%[C%]: in [^\n]* 'tidepool%.core%.[^\n]*", "")
    :gsub("\n\ttidepool%.%w+%.lua:[^\n]*", ""))
end

-- The worker's stack, if it has a line that tells something.
local function stack_of(err)
  local stack = err.kind ~= "unknown_function" and err.traceback and without_own(err.traceback)
  return stack and stack:find("\n", 1, true) and stack
end

---The message; below it who ran what, and the worker's Lua stack, if any.
function Error:__tostring()
  local text = tostring(self.message)
  if self.signal == SIGKILL then text = text .. HINT end
  local stack = stack_of(self)
  if not stack then return text end
  local where = self.kind
  if self.task then where = item_of(self) end
  if self.worker then where = ("worker %d, %s"):format(self.worker, where) end
  return ("%s\n%s:\n%s"):format(text, where, stack)
end

local function item_and_input(err)
  local input = err.input and (" (input %s)"):format(err.input) or ""
  if err.kind == "lost" then return input end -- the message has the rest
  return err.task and item_of(err) .. input or err.traceback and err.kind
end

---What the program prints when nobody caught the error: who failed on what and why, then the
---worker's stack and that of the parent.
---@param traceback string of the parent
function Error:__report(traceback)
  local parts, what = {}, item_and_input(self)
  if self.kind == "lost" then
    parts[1] = tostring(self.message) .. what
  else
    if self.worker then parts[1] = ("worker %d (pid %d)"):format(self.worker, self.pid) end
    parts[#parts + 1] = what
    parts[#parts + 1] = tostring(self.message)
  end
  local lines = { table.concat(parts, ": ") .. (self.signal == SIGKILL and HINT or "") }
  local stack = stack_of(self)
  if stack then
    local where = self.worker and "worker" or self.task and "task" or self.kind
    lines[2] = stack:gsub("^stack traceback", "%0 in the " .. where)
  end
  lines[#lines + 1] = without_own(traceback)
  return table.concat(lines, "\n")
end

return Error
