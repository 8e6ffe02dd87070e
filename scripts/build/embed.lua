-- Writes the table of embedded modules (host/embed.h) in C: compiled, so that no process parses
-- them. meta.lua, which only declares, is embedded as its text, for help().
-- Run by make: lua5.4 scripts/build/embed.lua lua/tidepool/*.lua > build/embed.c

local function compile(path, name)
  local file <close> = assert(io.open(path))
  local text = file:read "a"
  if name == "tidepool.meta" then text = ("return %q"):format(text) end
  return string.dump(assert(load(text, "@" .. name .. ".lua", "t")))
end

local function write_bytes(bytes)
  for at = 1, #bytes, 20 do
    local row = bytes:sub(at, at + 19)
    print((("%d,"):rep(#row):format(row:byte(1, -1))))
  end
end

print '#include "embed.h"'
local rows = {}
for i, path in ipairs(arg) do
  local name = "tidepool." .. path:match "([%w_]+)%.lua$"
  local code = compile(path, name)
  print(("static const unsigned char m_%d[] = {"):format(i))
  write_bytes(code)
  print "};"
  rows[i] = ('{"%s", m_%d, %d},'):format(name, i, #code)
end
print "const EmbeddedModule embedded_modules[] = {"
print(table.concat(rows, "\n"))
print "{0, 0, 0}};"
