-- Lua's globals as the prompt began with them. Its modules take them from here,
-- for at a prompt a variable is called `type` or `table` before long.

local kept = {}
for name, value in next, _G do kept[name] = value end

-- No table, in which tracebacks would find names for functions.
return function() return kept end
