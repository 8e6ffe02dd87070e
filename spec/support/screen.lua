-- screen.lua - what a terminal shows: bytes in, lines of text out.

local Screen = {}
Screen.__index = Screen

local function screen(rows, columns)
  local self = setmetatable({ rows = rows, columns = columns, modes = {} }, Screen)
  self.cells, self.row, self.column, self.left = {}, 1, 1, ""
  for row = 1, rows do self.cells[row] = {} end
  return self
end

local function width_of(code)
  if code >= 0x300 and code < 0x370 then return 0 end
  return (code >= 0x1100 and code < 0x1160 or code >= 0x2E80 and code < 0xD7A4
    or code >= 0xF900 and code < 0xFB00 or code >= 0xFF00 and code < 0xFF61
    or code >= 0x1F300 and code < 0x1FA00) and 2 or 1
end

function Screen:line_feed()
  if self.row < self.rows then
    self.row = self.row + 1
  else
    table.remove(self.cells, 1)
    self.cells[self.rows] = {}
  end
end

-- The cursor stays behind the last column until something follows.
function Screen:put(char)
  local width = width_of(utf8.codepoint(char))
  if width == 0 then return end
  if self.column + width - 1 > self.columns then
    self.column = 1
    self:line_feed()
  end
  local line = self.cells[self.row]
  if self.modes["4"] then
    for _ = 1, width do table.insert(line, self.column, " ") end
  end
  for i = #line + 1, self.column do line[i] = " " end
  line[self.column] = char
  if width == 2 then line[self.column + 1] = "" end
  self.column = self.column + width
end

local function clear(line, from, to)
  for i = #line + 1, from - 1 do line[i] = " " end
  for i = from, math.min(to, #line) do line[i] = " " end
end

local function between(n, least, most) return math.max(least, math.min(n, most)) end

local commands = {}

function commands.A(self, n) self.row = between(self.row - n, 1, self.rows) end
function commands.B(self, n) self.row = between(self.row + n, 1, self.rows) end
function commands.C(self, n) self.column = between(self.column + n, 1, self.columns) end
function commands.D(self, n)
  self.column = between(math.min(self.column, self.columns) - n, 1, self.columns)
end
function commands.G(self, n) self.column = between(n, 1, self.columns) end
function commands.d(self, n) self.row = between(n, 1, self.rows) end

function commands.H(self, n, m)
  self.row, self.column = between(n, 1, self.rows), between(m or 1, 1, self.columns)
end

function commands.K(self, _, _, given)
  local from, to = self.column, self.columns
  if given == 1 then from, to = 1, self.column elseif given == 2 then from = 1 end
  clear(self.cells[self.row], from, to)
end

function commands.J(self, _, _, given)
  local from = given == 2 and 1 or self.row + 1
  for row = from, self.rows do self.cells[row] = {} end
  if given ~= 2 then clear(self.cells[self.row], self.column, self.columns) end
end

function commands.P(self, n)
  for _ = 1, n do table.remove(self.cells[self.row], self.column) end
end

commands["@"] = function(self, n)
  local line = self.cells[self.row]
  for i = #line + 1, self.column - 1 do line[i] = " " end
  for _ = 1, n do table.insert(line, self.column, " ") end
end

function commands.h(self, _, _, _, parameters) self.modes[parameters] = true end
function commands.l(self, _, _, _, parameters) self.modes[parameters] = nil end

local controls = {
  ["\r"] = function(self) self.column = 1 end,
  ["\n"] = Screen.line_feed,
  ["\b"] = function(self) self.column = math.max(1, math.min(self.column, self.columns) - 1) end,
  ["\t"] = function(self)
    self.column = math.min((self.column + 7) // 8 * 8 + 1, self.columns)
  end,
}

function Screen:command(parameters, name)
  local n, m = parameters:match "^(%d*);?(%d*)"
  local given = math.tointeger(tonumber(n))
  local command = commands[name]
  if command then command(self, given or 1, math.tointeger(tonumber(m)), given, parameters) end
end

-- The length of what is at text[at..], 0 when it is not complete.
function Screen:take(text, at)
  local sequence, parameters, name = text:match("^(\27%[([%d;?>]*)([@-~]))", at)
  if sequence then
    self:command(parameters, name)
    return #sequence
  end
  if text:byte(at) == 27 then
    local other = text:match("^\27[()].", at) or text:match("^\27[^%[()]", at)
    return other and #other or 0
  end
  local control = text:match("^%c", at)
  if control then
    if controls[control] then controls[control](self) end
    return 1
  end
  local char = text:match("^[%z\1-\x7F\xC2-\xF4][\x80-\xBF]*", at)
  if not char or at + #char > #text and not utf8.len(char) then return char and 0 or 1 end
  self:put(utf8.len(char) and char or "?")
  return #char
end

function Screen:write(bytes)
  local text, at = self.left .. bytes, 1
  while at <= #text do
    local n = self:take(text, at)
    if n == 0 then break end
    at = at + n
  end
  self.left = text:sub(at)
end

---The lines, without blanks at their ends and without empty ones at the bottom.
function Screen:lines()
  local lines = {}
  for row = 1, self.rows do lines[row] = table.concat(self.cells[row]):gsub(" +$", "") end
  while lines[1] and lines[#lines] == "" do lines[#lines] = nil end
  return lines
end

function Screen:text() return table.concat(self:lines(), "\n") end

---A window of another size; lines are cut, not wrapped.
function Screen:resize(rows, columns)
  for row = 1, self.rows do
    for i = columns + 1, #self.cells[row] do self.cells[row][i] = nil end
  end
  for row = self.rows + 1, rows do self.cells[row] = {} end
  self.rows, self.columns = rows, columns
  self.row = math.min(self.row, rows)
end

return screen
