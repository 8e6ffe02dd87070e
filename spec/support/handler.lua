-- handler.lua - busted's output as plain text: a dot for each success, a failure in full at once,
-- the counts at the end, there and in the file that TIDEPOOL_COUNTS names.

local pretty = require "pl.pretty"

local function message_text(message)
  if type(message) == "string" then return message end
  if message == nil then return "nil error" end
  local mt = getmetatable(message)
  return mt and mt.__tostring and tostring(message) or pretty.write(message)
end

local function write_counts(passed, failed)
  local path = os.getenv("TIDEPOOL_COUNTS")
  if not path then return end
  local file = assert(io.open(path, "w"))
  file:write(passed, " ", failed, "\n")
  file:close()
end

return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()

  local function say(...)
    io.write(...)
    io.flush()
  end

  local function show(kind, element, message, trace)
    trace = element.trace or trace or {}
    say("\n", kind, ": ", handler.getFullName(element), "\n")
    if trace.short_src then say(trace.short_src, ":", trace.currentline, ": ") end
    say(message_text(message), "\n")
    if kind == "ERROR" and trace.traceback then say(trace.traceback, "\n") end
  end

  function handler.test_end(element, _, status)
    if status == "success" then say(".") end
    if status == "pending" then say("\nPENDING: ", handler.getFullName(element), "\n") end
    return nil, true
  end

  function handler.failure(element, _, message, trace)
    show("FAILURE", element, message, trace)
    return nil, true
  end

  function handler.error(element, _, message, trace)
    show("ERROR", element, message, trace)
    return nil, true
  end

  function handler.suite_end()
    local passed, failed = handler.successesCount, handler.failuresCount + handler.errorsCount
    say(" ", passed, " passed, ", failed, " failed\n")
    write_counts(passed, failed)
    return nil, true
  end

  busted.subscribe({ "test", "end" }, handler.test_end, { predicate = handler.cancelOnPending })
  busted.subscribe({ "failure" }, handler.failure)
  busted.subscribe({ "error" }, handler.error)
  busted.subscribe({ "suite", "end" }, handler.suite_end)
  return handler
end
