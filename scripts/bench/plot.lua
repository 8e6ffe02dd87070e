-- Curves as SVG: both axes logarithmic, one line for each series.

local results = require "results"

local plot = {}

local WIDTH, HEIGHT = 640, 360
local LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
local COLOURS = { "#1b6ca8", "#c0562b", "#3a7d44", "#7a4b94" }

local function log10(x) return math.log(x, 10) end

-- Whole powers of ten around all values of one axis.
local function range(series, axis)
  local least, most = math.huge, -math.huge
  for _, one in ipairs(series) do
    for _, p in ipairs(one.points) do
      least, most = math.min(least, p[axis]), math.max(most, p[axis])
    end
  end
  local from, to = math.floor(log10(least) + 1e-9), math.ceil(log10(most) - 1e-9)
  return from, math.max(to, from + 1)
end

local function scale(from, to, low, high)
  return function(x) return low + (log10(x) - from) / (to - from) * (high - low) end
end

local function grid(out, axes, place_x, place_y)
  local line = '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>'
  local text = '<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>'
  for k = axes.x1, axes.x2 do
    local x = place_x(10.0 ^ k)
    out[#out + 1] = line:format(x, TOP, x, HEIGHT - BOTTOM)
    out[#out + 1] = text:format(x, HEIGHT - BOTTOM + 16, "middle", results.short(10.0 ^ k))
  end
  for k = axes.y1, axes.y2 do
    local y = place_y(10.0 ^ k)
    out[#out + 1] = line:format(LEFT, y, WIDTH - RIGHT, y)
    out[#out + 1] = text:format(LEFT - 6, y + 4, "end", results.short(10.0 ^ k))
  end
end

local function curve_draw(out, one, colour, place_x, place_y)
  local points = {}
  for i, p in ipairs(one.points) do
    points[i] = ("%.1f,%.1f"):format(place_x(p[1]), place_y(p[2]))
    local x, y = points[i]:match "([^,]*),(.*)"
    out[#out + 1] = ('<circle cx="%s" cy="%s" r="3" fill="%s"/>'):format(x, y, colour)
  end
  out[#out + 1] = ('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>'):format(
    table.concat(points, " "), colour)
end

---Draw one curve's series into a file; nothing if there are no points.
function plot.write(path, curve, series)
  if #series[1].points == 0 then return end
  local axes = {}
  axes.x1, axes.x2 = range(series, 1)
  axes.y1, axes.y2 = range(series, 2)
  local place_x = scale(axes.x1, axes.x2, LEFT, WIDTH - RIGHT)
  local place_y = scale(axes.y1, axes.y2, HEIGHT - BOTTOM, TOP)
  local out = { ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" '
    .. 'height="%d" font-family="sans-serif" font-size="12">'):format(WIDTH, HEIGHT, WIDTH, HEIGHT),
    '<rect width="100%" height="100%" fill="white"/>',
    ('<text x="%d" y="%d" text-anchor="middle">%s</text>'):format((LEFT + WIDTH - RIGHT) // 2,
      HEIGHT - 12, curve.x) }
  out[#out + 1] = ('<text x="6" y="%d">%s</text>'):format(TOP - 14, curve.y)
  grid(out, axes, place_x, place_y)
  for i, one in ipairs(series) do
    curve_draw(out, one, COLOURS[i], place_x, place_y)
    out[#out + 1] = ('<text x="%d" y="%d" fill="%s">%s</text>'):format(
      LEFT + 60 + (i - 1) * 130, TOP - 14, COLOURS[i], one.name)
  end
  out[#out + 1] = "</svg>\n"
  local file <close> = assert(io.open(path, "w"))
  file:write(table.concat(out, "\n"))
end

return plot
