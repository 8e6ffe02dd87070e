-- session.lua - a session of the prompt driven by a spec as the program drives it.

require "tidepool"
local pool = require "tidepool.pool"
local progress = require "tidepool.progress"
local prompt = require "tidepool.prompt"

local Driver = {}
Driver.__index = Driver

---Type a text and press Enter: what is printed, or nothing. Errors in loading are printed, too.
function Driver:type(text)
  local session = self.session
  local chunk, message, warning = session:load(text)
  self.warning = warning
  if not chunk then return message end
  pcall(session.started, session) -- a frame deeper, as xpcall's
  local r = table.pack(xpcall(chunk, function(err) return session:failure(err) end))
  session:finished()
  session:entered(text, r[1])
  if not r[1] then return r[2] end
  return session:results(table.unpack(r, 2, r.n))
end

local globals = {}
for name in next, _G do globals[name] = true end

---Take back what sessions and their chunks did to this state.
function Driver:__close()
  pool.shows_progress, progress.width = false, self.width
  for name in next, _G do
    if not globals[name] then rawset(_G, name, nil) end
  end
end

---`local at <close> = session.new { colour =, width =, files = }`: what it saves is in `at.files`.
return {
  new = function(o)
    o = o or {}
    local self = setmetatable({ width = progress.width, files = {} }, Driver)
    self.session = prompt.session {
      colour = o.colour or false,
      width = function() return o.width or 80 end,
      write_file = function(name, text)
        if o.refuses then return nil, name .. ": No space left on device" end
        self.files[name] = text
        return true
      end,
    }
    return self
  end,
}
