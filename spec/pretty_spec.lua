-- pretty_spec.lua - values as the prompt shows them.

require "tidepool"
local pretty = require "tidepool.pretty"

local function show(...) return pretty.format({ colour = false, width = 60 }, ...) end

local function lines(...) return table.concat({ ... }, "\n") end

---What is behind the address of an object.
local function without_address(text) return (text:gsub("0x%x+", "ADDRESS")) end

describe("pretty.format of numbers", function()
  it("shows integers and floats apart", function()
    assert.equal("1\t1.0\t-7\t1e+15\t9007199254740992.0", show(1, 1.0, -7, 1e15, 2.0 ^ 53))
  end)

  it("shows enough digits to read the number back", function()
    assert.equal("0.1\t0.30000000000000004\t3.141592653589793", show(0.1, 0.1 + 0.2, math.pi))
  end)

  it("shows what has no digits as Lua text", function()
    assert.equal("math.huge\t-math.huge", show(1 / 0, -1 / 0))
    assert.equal("nan\t-0.0", show(0 / 0, -0.0))
    assert.equal("math.mininteger\t9223372036854775807", show(math.mininteger, math.maxinteger))
  end)
end)

describe("pretty.format of strings", function()
  it("quotes them", function()
    assert.equal([["say \"hi\""	"a\\b"]], show('say "hi"', "a\\b"))
  end)

  it("escapes control bytes", function()
    assert.equal([["a\n\t\r\x00\x1b[31m\x7f"]], show "a\n\t\r\0\27[31m\127")
  end)

  it("keeps UTF-8 and escapes other bytes", function()
    assert.equal([["é€😀 \xff\xc3 \xed\xa0\x80"]], show "é€😀 \xff\xc3 \xed\xa0\x80")
  end)

  it("escapes control characters beyond ASCII", function()
    assert.equal([["\u{9b}31m"]], show "\u{9b}31m")
  end)

  it("gives text that Lua reads back", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) .. "7" end
    local text = table.concat(bytes, "", 1, 200)
    assert.equal(text, load("return " .. show(text))())
  end)

  it("cuts long ones between characters", function()
    assert.equal('"' .. ("x"):rep(500) .. '"', show(("x"):rep(500)))
    assert.equal('"' .. ("x"):rep(500) .. '"... (9500 more bytes)', show(("x"):rep(10000)))
    assert.equal('"x' .. ("€"):rep(166) .. '"... (102 more bytes)', show("x" .. ("€"):rep(200)))
  end)
end)

describe("pretty.format of tables", function()
  it("shows a sequence without keys", function()
    assert.equal('{1, "two", {3}, nil, true}', show({ 1, "two", { 3 }, nil, true }))
    assert.equal("{}", show({}))
  end)

  it("sorts keys: numbers, strings, the rest", function()
    local t = { 1, [10] = 2, [2.5] = 3, b = 4, a = 5, [true] = 6, [false] = 7 }
    assert.equal("{1, [2.5] = 3, [10] = 2, a = 5, b = 4, [false] = 7, [true] = 6}",
      pretty.format({ width = 99 }, t))
  end)

  it("quotes keys that are no names", function()
    assert.equal('{["\\n"] = 3, ["a b"] = 1, ["end"] = 2}',
      show({ ["a b"] = 1, ["end"] = 2, ["\n"] = 3 }))
  end)

  it("spreads wide ones over lines", function()
    local rows = {}
    for i = 1, 3 do rows[i] = { i, name = "a row with a name " .. i } end
    assert.equal(lines(
      "{",
      '  {1, name = "a row with a name 1"},',
      '  {2, name = "a row with a name 2"},',
      '  {3, name = "a row with a name 3"}',
      "}"), show(rows))
  end)

  it("puts many scalars of a sequence on a line", function()
    local t = {}
    for i = 1, 40 do t[i] = i end
    for line in show(t):gmatch "[^\n]+" do assert.is_true(#line <= 60) end
    local _, breaks = show(t):gsub("\n", "")
    assert.equal(4, breaks)
  end)

  it("marks cycles and shared tables with where they were first", function()
    local t = { a = { b = { 1 } } }
    t.a.c = t.a
    t.d = t.a.b
    t[1] = t
    assert.equal("{<cycle: root>, a = {b = {1}, c = <cycle: root.a>}, d = <shared: root.a.b>}",
      pretty.format({ width = 99 }, t))
  end)

  it("ends at six levels", function()
    local t = {}
    for _ = 1, 10 do t = { t } end
    assert.equal("{{{{{{{...}}}}}}}", show(t))
  end)

  it("ends at a hundred items", function()
    local t, named = {}, {}
    for i = 1, 123 do
      t[i] = 0
      named[("k%03d"):format(i)] = 0
    end
    assert.matches("0, %.%.%. 23 more\n}$", show(t))
    assert.matches("k100 = 0,\n  %.%.%. 23 more\n}$", show(named))
  end)

  it("ends at a thousand items in all", function()
    local t = {}
    for i = 1, 100 do
      t[i] = {}
      for k = 1, 100 do t[i][k] = k end
    end
    local _, breaks = show(t):gsub("\n", "")
    assert.is_true(breaks < 200)
  end)

  it("does not look at all of a large one", function()
    local t, named = { name = "last" }, {}
    for i = 1, 200000 do
      t[i] = i
      named["key" .. i] = i
    end
    local steps = 0
    debug.sethook(function() steps = steps + 1 end, "", 1000)
    local text, other = show(t), show(named)
    debug.sethook()
    assert.matches("100,%s+%.%.%. 199900 more,\n  name = \"last\"\n}$", text)
    assert.matches("%.%.%. more\n}$", other)
    assert.is_true(steps < 1000)
  end)

  it("runs no metamethods but __tostring", function()
    local trap = function() error "a metamethod ran" end
    local meta = { __index = trap, __len = trap, __pairs = trap, __eq = trap, __lt = trap,
      __concat = trap, __call = trap, __metatable = false }
    assert.equal("{1, x = 2}", show(setmetatable({ 1, x = 2 }, meta)))
  end)
end)

describe("pretty.format of objects", function()
  it("uses __tostring", function()
    local object = setmetatable({}, { __tostring = function() return "an object\nof mine" end })
    assert.equal("an object\nof mine", show(object))
    assert.equal("{an object...}", show({ object }))
  end)

  it("survives a __tostring that fails", function()
    local object = setmetatable({ 1 }, { __tostring = function() error("no\ntext", 0) end })
    assert.equal("<error in __tostring: no\\ntext> {1}", show(object))
    assert.equal("<error in __tostring: '__tostring' must return a string> {}",
      show(setmetatable({}, { __tostring = function() return {} end })))
  end)

  it("puts __name before the braces", function()
    assert.equal("Point {x = 1}", show(setmetatable({ x = 1 }, { __name = "Point" })))
  end)

  it("shows where functions are defined", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local f = function() end
    assert.equal(("function <spec/pretty_spec.lua:%d>"):format(line), show(f))
    assert.equal("function <string.rep>\tfunction <print>", show(string.rep, print))
    assert.equal("function <[C]>", show((string.gmatch("", ""))))
  end)

  it("shows the kind of the others", function()
    assert.equal("thread: ADDRESS", without_address(show(coroutine.create(print))))
    assert.equal("file (closed)", show((function()
      local file = io.tmpfile()
      file:close()
      return file
    end)()))
  end)
end)

describe("pretty.format of several values", function()
  it("uses one line if they fit, else a line each", function()
    assert.equal("1\tnil\t\"x\"", show(1, nil, "x"))
    local x, y = ("x"):rep(40), ("y"):rep(40)
    assert.equal(show(x) .. "\n" .. show(y), show(x, y))
  end)
end)

describe("pretty.format in colour", function()
  it("colours by kind and fits the same width", function()
    assert.equal('{\27[36m1\27[0m, \27[32m"s"\27[0m, k = \27[35mtrue\27[0m}',
      pretty.format({ colour = true, width = 60 }, { 1, "s", k = true }))
    local t = {}
    for i = 1, 200 do t[i] = { i, print, k = "text" } end
    local coloured = pretty.format({ colour = true, width = 40 }, t)
    local plain = coloured:gsub("\27%[[%d;]*m", "")
    assert.equal(pretty.format({ colour = false, width = 40 }, t), plain)
  end)
end)
