-- Results of the benchmark: medians, the printed table, the kept text, comparisons.
--
-- A kept result is the printed table; lines that begin with "value", "cpu" and "point" follow each
-- case, with fields parted by tabs, and are what comparisons read.

local results = {}

---The middle of a list, its least and its most.
local function spread(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local n = #sorted
  if n == 0 then return nil end
  return (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2, sorted[1], sorted[n]
end

---A number in a few characters: 1234567 as "1.23M".
local function short(x)
  if not x then return "-" end
  local size = math.abs(x)
  if size >= 1e6 then return ("%.3gM"):format(x / 1e6) end
  if size >= 1e4 then return ("%.3gk"):format(x / 1e3) end
  if size >= 1e3 then return ("%.0f"):format(x) end
  return ("%.3g"):format(x)
end

---Seconds of processor time as text.
local function seconds(x)
  if not x then return "-" end
  if x < 1e-6 then return ("%.0f ns"):format(x * 1e9) end
  if x < 1e-3 then return ("%.3g us"):format(x * 1e6) end
  if x < 1 then return ("%.3g ms"):format(x * 1e3) end
  return ("%.3g s"):format(x)
end

local function holds(bound, x)
  local how, edge = bound:match "^([<>])= (.*)$"
  edge = tonumber(edge)
  if how == ">" then return x >= edge end
  return x <= edge
end

-- What is to be reached and what was: ratio, text of the goal, verdict.
local function judged(entrant, ours, value)
  if not ours or not value then return nil, nil, nil end
  local goal = entrant.goal or entrant.less
  local x = entrant.less and ours - value or ours / value
  return x, goal and (entrant.less and "diff " .. goal or goal),
    goal and (holds(goal, x) and "PASS" or "below")
end

---Rows of the table for a case that was run.
function results.rows(case, entrants)
  local ours = spread(entrants[1].values)
  local rows = {}
  for i, e in ipairs(entrants) do
    local value, least, most = spread(e.values)
    local row = { name = e.name, value = value, least = least, most = most, cpu = spread(e.cpus),
      values = e.values, cpus = e.cpus, failed = e.failed }
    if i == 1 and case.limit and value then
      row.goal, row.verdict = case.limit, holds(case.limit, value) and "PASS" or "below"
    elseif i > 1 then
      row.ratio, row.goal, row.verdict = judged(e, ours, value)
      row.difference = e.less ~= nil
    end
    rows[i] = row
  end
  return rows
end

---- the table ---------------------------------------------------------------------------

local Out = {}
Out.__index = Out

---Print to standard output and to the file of that path, which is made anew.
function results.open(path)
  local file = assert(io.open(path, "w"))
  return setmetatable({ file = file, path = path, counts = { PASS = 0, below = 0 } }, Out)
end

function Out:__close()
  self.file:close()
end

function Out:say(text)
  print(text)
  io.stdout:flush()
  self.file:write(text, "\n")
end

local LINE = "  %-18s %9s %-9s %-19s %10s %9s  %-13s %s"

function Out:head()
  self:say((LINE):format("", "median", "", "least .. most", "cpu/item", "ours/it", "goal", ""))
end

local function row_text(row, unit)
  if row.failed then return ("  %-18s failed: %s"):format(row.name, row.failed) end
  local ratio = row.ratio and (row.difference and "%+.2f" or "%.3g"):format(row.ratio) or ""
  return (LINE):format(row.name, short(row.value), unit,
    short(row.least) .. " .. " .. short(row.most), seconds(row.cpu), ratio, row.goal or "",
    row.verdict or ""):gsub("%s+$", "")
end

function Out:case(case, rows)
  self:say(("%s: %s"):format(case[1], case[2]))
  for _, row in ipairs(rows) do
    self:say((row_text(row, case.measure.unit)))
    if row.verdict then self.counts[row.verdict] = self.counts[row.verdict] + 1 end
    for key, values in pairs { value = row.values, cpu = row.cpus } do
      local fields = { key, case[1], row.name, case.measure.low and "low" or "high",
        case.measure.unit }
      for _, x in ipairs(values) do fields[#fields + 1] = ("%.6g"):format(x) end
      if #values > 0 then self.file:write(table.concat(fields, "\t"), "\n") end
    end
  end
  self.file:flush()
end

function Out:curve(curve, series)
  self:say(("%s: %s, %s over %s"):format(curve[1], curve[2], curve.y, curve.x))
  for _, one in ipairs(series) do
    local fields = {}
    for _, p in ipairs(one.points) do
      fields[#fields + 1] = ("%s: %s"):format(short(p[1]), short(p[2]))
      self.file:write(("point\t%s\t%s\t%.9g\t%.6g\n"):format(curve[1], one.name, p[1], p[2]))
    end
    self:say(("  %-18s %s"):format(one.name, table.concat(fields, "  ")))
  end
end

function Out:summary()
  self:say(("%d reached, %d below; kept in %s"):format(self.counts.PASS, self.counts.below,
    self.path))
end

---- comparing ---------------------------------------------------------------------------

local VALUE = "^value\t([^\t]*)\t([^\t]*)\t(%a+)\t([^\t]*)\t(.*)$"

local function read(path)
  local all, order = {}, {}
  for line in io.lines(path) do
    local case, who, how, unit, rest = line:match(VALUE)
    if case then
      local values = {}
      for x in rest:gmatch "%S+" do values[#values + 1] = tonumber(x) end
      local key = case .. "\t" .. who
      all[key] = { case = case, who = who, low = how == "low", unit = unit,
        median = spread(values) }
      order[#order + 1] = key
    end
  end
  return all, order
end

---Print two kept results beside each other; a peer's change is the machine's.
function results.compare(path_a, path_b)
  local a, order = read(path_a)
  local b = read(path_b)
  print(("%33s %9s %9s %-9s %s"):format("", "first", "second", "", "second/first"))
  for _, key in ipairs(order) do
    local x, y = a[key], b[key]
    if y and x.median and y.median then
      local ratio = y.median / x.median
      local better = (ratio < 1) == x.low
      local word = math.abs(ratio - 1) < 0.05 and "" or better and "better" or "worse"
      print((("%-14s %-18s %9s %9s %-9s %7.3f %s"):format(x.case, x.who, short(x.median),
        short(y.median), x.unit, ratio, word):gsub("%s+$", "")))
    end
  end
end

---- for the README ----------------------------------------------------------------------

---The kept curves: points[curve] is a list of series.
function results.points(path)
  local points = {}
  for line in io.lines(path) do
    local curve, name, x, y = line:match "^point\t([^\t]*)\t([^\t]*)\t(%S+)\t(%S+)"
    if curve then
      local series = points[curve] or {}
      points[curve] = series
      local last = series[#series]
      if not last or last.name ~= name then
        last = { name = name, points = {} }
        series[#series + 1] = last
      end
      table.insert(last.points, { tonumber(x), tonumber(y) })
    end
  end
  return points
end

-- The lines of a kept result that are for readers; nothing without that file.
local function shown(path)
  local file = io.open(path)
  if not file then return "" end
  local out = {}
  for line in file:lines() do
    if not line:find "^%l+\t" then out[#out + 1] = line:match "^(.-)%s*$" end
  end
  file:close()
  return table.concat(out, "\n"):gsub("; kept in [^\n]*", "")
end

---Replace what stands between the marks of the README by kept results.
function results.readme(readme, ...)
  local file <close> = assert(io.open(readme))
  local text = file:read "a"
  for i, path in ipairs { ... } do
    local from = ("<!-- results %d -->\n"):format(i)
    local _, head = text:find(from, 1, true)
    local tail = text:find("<!-- end -->", head, true)
    text = ("%s```text\n%s\n```\n%s"):format(text:sub(1, head), shown(path), text:sub(tail))
  end
  local out <close> = assert(io.open(readme, "w"))
  out:write(text)
end

results.short = short

return results
