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

---Ends the benchmark with that status and message.
function results.stop(status, ...)
  io.stderr:write("bench: ", ...)
  io.stderr:write "\n"
  os.exit(status)
end

---Where the result of that name is kept; a name with a slash is a file's.
function results.path(name)
  return name:find("/", 1, true) and name or ("build/bench/%s.txt"):format(name)
end

---Print to standard output and to the file of that path, which is replaced when all is done.
function results.open(path)
  local part = path .. ".part"
  local file, why = io.open(part, "w")
  if not file then error("cannot keep the result: " .. why, 0) end
  local counts = { PASS = 0, below = 0, failed = 0 }
  return setmetatable({ file = file, path = path, part = part, counts = counts }, Out)
end

---The result is whole.
function Out:keep()
  self.file:close()
  assert(os.rename(self.part, self.path))
  self.part = nil
end

function Out:__close()
  if not self.part then return end
  self.file:close()
  os.remove(self.part)
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

---Keep single values, for comparisons: `key` is value or cpu.
function Out:values(key, case, who, is_low, unit, values)
  local fields = { key, case, who, is_low and "low" or "high", unit }
  for _, x in ipairs(values) do fields[#fields + 1] = ("%.6g"):format(x) end
  if #values > 0 then self.file:write(table.concat(fields, "\t"), "\n") end
end

function Out:case(case, rows)
  local low, unit = case.measure.low, case.measure.unit
  self:say(("%s: %s"):format(case[1], case[2]))
  for _, row in ipairs(rows) do
    self:say((row_text(row, unit)))
    local verdict = row.failed and "failed" or row.verdict
    if verdict then self.counts[verdict] = self.counts[verdict] + 1 end
    self:values("value", case[1], row.name, low, unit, row.values)
    self:values("cpu", case[1], row.name, low, unit, row.cpus)
  end
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

---Keeps the result; true: nothing failed.
function Out:summary()
  local counts = self.counts
  self:say(("%d reached, %d below%s; kept in %s"):format(counts.PASS, counts.below,
    counts.failed > 0 and (", %d failed"):format(counts.failed) or "", self.path))
  self:keep()
  return counts.failed == 0
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

---The names of the cases that a kept result has, as a set.
function results.cases(path)
  local names = {}
  for _, one in pairs((read(path))) do names[one.case] = true end
  return names
end

---Print two kept results beside each other; a peer's change is the machine's. False: they have
---nothing in common.
function results.compare(path_a, path_b)
  local a, order = read(path_a)
  local b = read(path_b)
  local found = false
  print(("%33s %9s %9s %-9s %s"):format("", "first", "second", "", "second/first"))
  for _, key in ipairs(order) do
    local x, y = a[key], b[key]
    if y and x.median and y.median then
      found = true
      local ratio = y.median / x.median
      local better = (ratio < 1) == x.low
      local word = math.abs(ratio - 1) < 0.05 and "" or better and "better" or "worse"
      print((("%-14s %-18s %9s %9s %-9s %7.3f %s"):format(x.case, x.who, short(x.median),
        short(y.median), x.unit, ratio, word):gsub("%s+$", "")))
    end
  end
  return found
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

-- The lines of a kept result that are for readers.
local function shown(path)
  local out = {}
  for line in io.lines(path) do
    if not line:find "^%l+\t" then out[#out + 1] = line:match "^(.-)%s*$" end
  end
  return table.concat(out, "\n"):gsub("; kept in [^\n]*", "")
end

---Replace what stands between the marks of that number in the README by a kept result.
function results.readme(readme, number, path)
  local file <close> = assert(io.open(readme))
  local text = file:read "a"
  local _, head = text:find(("<!-- results %d -->\n"):format(number), 1, true)
  local tail = text:find("<!-- end -->", head, true)
  text = ("%s```text\n%s\n```\n%s"):format(text:sub(1, head), shown(path), text:sub(tail))
  local out <close> = assert(io.open(readme, "w"))
  out:write(text)
end

results.short = short

return results
