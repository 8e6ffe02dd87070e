-- prompt_terminal_spec.lua - the prompt as a user at a terminal sees it.

local terminal = require "spec.support.terminal"
local helper = require "spec.helper"

local bin = os.getenv "TIDEPOOL_BIN" or "./tidepool"

local CTRL_C, CTRL_D, CTRL_R, CTRL_Z, ENTER, TAB = "\3", "\4", "\18", "\26", "\r", "\t"
local UP, DOWN, LEFT, HOME, END = "\27[A", "\27[B", "\27[D", "\27[H", "\27[F"

local function pasted(text) return "\27[200~" .. text .. "\27[201~" end

---A prompt that is ready. opts: as terminal's, flags (a list), home (of another terminal); without
---colours unless env.NO_COLOR is "".
local function prompt(opts)
  opts = opts or {}
  local env = { NO_COLOR = "1" }
  for name, value in pairs(opts.env or {}) do env[name] = value end
  local t = terminal({ bin, table.unpack(opts.flags or {}) },
    { env = env, rows = opts.rows or 50, columns = opts.columns, home = opts.home })
  t:await_prompt()
  return t
end

---What the chunk shows below itself.
local function answer(t, chunk)
  local lines = t:run(chunk)
  local first = #lines
  while lines[first]:sub(1, 2) ~= "> " do first = first - 1 end
  return table.concat(lines, "\n", first + 1)
end

local function quit(t)
  t:await_prompt()
  t:type(CTRL_D)
  assert.equal(0, t:finish())
end

-- The same before the gate opens for what runs.
local function quit_early(t, gate)
  t:await "\nrunning\n"
  t:type(CTRL_D)
  assert.is_true(t:is_restored()) -- the answer comes behind what was typed
  gate:open()
  assert.equal(0, t:finish())
end

local POOL = "tidepool = require 'tidepool'; pool = tidepool.pool { processes = 2, name = 'two' }"

describe("the prompt in a terminal", function()
  it("greets with one line", function()
    local t <close> = prompt()

    local lines = t:lines()
    assert.equal(2, #lines)
    assert.matches("^Lua 5%.4%.%d+ .*PUC%-Rio  %(\\help for help%)$", lines[1])
    quit(t)
  end)

  it("shows the values of an expression", function()
    local t <close> = prompt()

    assert.equal('2       "a"', answer(t, '1 + 1, "a"'))
    assert.equal("3", answer(t, "=3"))
    assert.equal("", answer(t, "4;"))
    assert.equal("", answer(t, "x = 5"))
    assert.equal("5", answer(t, "x"))
    assert.equal("10", answer(t, "_ + _"))
    assert.equal("1       2", answer(t, "1, 2"))
    assert.equal("2", answer(t, "_2"))
    assert.equal('{"a", b = {1}}', answer(t, '{"a", b = {1}}'))
    quit(t)
  end)

  it("shows how long the last chunk ran at the right", function()
    local t <close> = prompt()

    t:run "1"
    local lines = t:lines()

    assert.matches("^>  +%d+%.%d ms$", lines[#lines])
    quit(t)
  end)

  it("begins on a line of its own", function()
    local t <close> = prompt()

    assert.equal("open⏎", answer(t, "io.write 'open';"))
    assert.equal(("x"):rep(80), answer(t, "io.write(('x'):rep(80));"))
    quit(t)
  end)

  it("may be any text", function()
    local t <close> = prompt()

    t:type("_PROMPT = '\\27[31m\\27[1mred\\27[0m \\1\\27['" .. ENTER)
    t:await(function() return t:before_cursor():find "^red " end)
  end)

  it("asks _PROMPT, each time", function()
    local t <close> = prompt()

    t:type("n = 0; _PROMPT = setmetatable({}, {__tostring = function() n = n + 1; " ..
      "return 'top\\n\\27[1m' .. n .. '\\27[0m$' end})" .. ENTER)
    t:await(function() return t:before_cursor() == "1$" end)
    t:type(ENTER)
    t:await(function() return t:before_cursor() == "2$" end)

    assert.matches("top\n2%$", t.screen:text())
  end)

  it("ends at Ctrl-D, with pools that run", function()
    local t <close> = prompt()

    t:run(POOL)
    t:run "r = pool:map_async(function() while true do end end, {1, 2})"
    quit(t)
    assert.is_nil(t.screen.modes["?2004"])
    assert.is_nil(t.screen:text():find "was not closed")
  end)

  it("ends at \\quit, with pools", function()
    local t <close> = prompt()

    t:run(POOL)
    t:type("\\quit" .. ENTER)
    assert.equal(0, t:finish())
    assert.is_nil(t.screen:text():find "was not closed")
  end)
end)

describe("a chunk", function()
  it("is edited as a whole until it is complete", function()
    local t <close> = prompt()

    t:type("for i = 1, 2 do" .. ENTER .. "print(i)" .. ENTER)
    t:type(UP .. UP .. END .. " print('a')" .. DOWN .. DOWN .. "end" .. ENTER)

    t:await "end\na\n1\na\n2"
    quit(t)
  end)

  it("is one entry of the history", function()
    local t <close> = prompt()

    t:run "before = 1"
    t:run "if true then\rx = 7\rend"
    t:type(UP .. HOME)
    t:await(function() return #t:lines() == 8 and t:before_cursor() == "" end)
    assert.equal("> if true then\nx = 7\nend", table.concat(t:lines(), "\n", 6))
    t:type(UP .. UP .. UP)
    t:await_prompt "before = 1"
  end)

  it("may be very long and very wide", function()
    local t <close> = prompt { rows = 10 }

    t:run("n = '" .. ("x"):rep(5000) .. "'")
    assert.equal("5000", answer(t, "#n"))
    t:run("n = {\r" .. ("1,\r"):rep(40) .. "}")
    assert.equal("40", answer(t, "#n"))
    quit(t)
  end)

  it("may hold any character", function()
    local t <close> = prompt()

    t:run("s = 'zoë 漢字x'" .. LEFT .. "\b")
    assert.equal('"zoë 漢字"', answer(t, "s"))
    assert.equal("11", answer(t, "#s"))
    assert.equal('"C"', answer(t, "os.setlocale()"))
    quit(t)
  end)
end)

describe("a paste", function()
  it("runs at Enter only", function()
    local t <close> = prompt()

    t:type(pasted "a = 1\nb = 2\r\nc = '\t'\r")
    t:await "c = '"
    t:press(CTRL_C)
    assert.equal("nil     nil", answer(t, "a, b"))
    t:run(pasted "a = 1\nb = 2\r\nc = '\t'")
    assert.equal('1 2 "\\t"', answer(t, "a, b, c"):gsub(" +", " "))
    quit(t)
  end)

  it("may be of a thousand lines", function()
    local t <close> = prompt { rows = 10 }
    local lines = { "t = {" }
    for i = 1, 1000 do lines[i + 1] = ("  'item number %d of a long table',"):format(i) end

    local took = helper.within(10, function()
      t:run(pasted(table.concat(lines, "\n") .. "\n}"))
      return true
    end)

    assert.equal("1000", answer(t, "#t"), took)
    quit(t)
  end)

  it("may hold bytes that are no text", function()
    local t <close> = prompt()

    t:run("s = '" .. pasted "a\0b\xFFc\27d" .. "'")
    assert.equal([["ab\u{FFFD}c\x1bd"]], answer(t, "s"):gsub("�", "\\u{FFFD}"))
    quit(t)
  end)
end)

describe("Tab", function()
  it("completes what is unique", function()
    local t <close> = prompt()

    t:type("coro" .. TAB)
    t:await_prompt "coroutine"
    t:type("." .. "wr" .. TAB)
    t:await_prompt "coroutine.wrap"
    t:press(CTRL_C)
    t:run "abc = { name_of_it = 'x' }"
    t:type("print(abc.na" .. TAB .. ":up" .. TAB)
    t:await_prompt "print(abc.name_of_it:upper"
  end)

  it("lists what is not", function()
    local t <close> = prompt()

    t:type("string.re" .. TAB)
    t:await "rep      reverse\n> string.re"
    t:type "v"
    t:await_prompt "string.rev"
  end)

  it("lists no more than can be read", function()
    local t <close> = prompt { rows = 70 }

    t:run "many = {} for i = 1, 1000 do many['name' .. i] = i end"
    t:type("many." .. TAB .. TAB)
    t:await "\n... 700 more\n> many.name"
    assert.equal(38 + 4, #t:lines()) -- eight columns
    t:press(CTRL_C)
    quit(t)
  end)

  it("indents at the begin of a line", function()
    local t <close> = prompt()

    t:type("do" .. ENTER .. TAB .. "x")
    t:await "do\n  x"
  end)
end)

describe("Ctrl-C", function()
  it("drops what was typed", function()
    local t <close> = prompt()

    t:type("for i = 1, 2 do" .. ENTER .. "garbage")
    t:await "garbage"
    t:type(CTRL_C)
    t:await "garbage^C\n>"
    t:await_prompt()
    assert.equal("1", answer(t, "1"))
    quit(t)
  end)

  it("stops running code", function()
    local t <close> = prompt()

    t:type("print 'running'; while true do end" .. ENTER)
    t:await "\nrunning\n"
    t:type(CTRL_C)
    t:await "interrupted!"
    t:await_prompt()
    assert.equal("1", answer(t, "1"))
    quit(t)
  end)

  it("stops a call of a pool, which lives on", function()
    local t <close> = prompt()

    t:run(POOL)
    t:type("pool:map(function(x) io.stdout:write('running\\n'); io.stdout:flush() " ..
      "while true do end end, {1})" .. ENTER)
    t:await "\nrunning\n"
    t:type(CTRL_C)
    t:await "interrupted!"
    t:await_prompt()
    assert.equal("3", answer(t, "pool:apply(function(x) return x + 1 end, {2})"))
    quit(t)
  end)

  it("stops a coroutine", function()
    local t <close> = prompt()

    t:type("coroutine.wrap(function() coroutine.resume(coroutine.create(function() " ..
      "print 'running' while true do end end)) end)()" .. ENTER)
    t:await "\nrunning\n"
    t:press(CTRL_C)
    t:run(POOL)
    t:type("coroutine.wrap(function() print 'waiting' " ..
      "pool:map(function() while true do end end, {1, 2}) end)()" .. ENTER)
    t:await "\nwaiting\n"
    t:type(CTRL_C)
    t:await "\nwaiting\n^C⏎\ninterrupted!\n>"
    t:type("pool:map(math.abs, {-1})" .. ENTER)
    t:await "\n{1, n = 1}\n>"
    quit(t)
  end)

  it("stops the input of a call, and what it began", function()
    local t <close> = prompt()

    t:run(POOL)
    t:run "function spin() while true do end end"
    for i, call in ipairs { "pool:map(spin, read, 1)", "pool:map_async(spin, read, 1)",
      "pool:map(spin, coroutine.create(read), 1)", "for i in pool:imap(spin, read) do end" } do
      t:run("n = 0 function read() n = n + 1 if n == 3 then print 'at " .. i .. "' spin() end " ..
        "if coroutine.isyieldable() then coroutine.yield(n) return read() end return n end")
      t:type(call .. ENTER)
      t:await("\nat " .. i .. "\n")
      t:type(CTRL_C)
      t:await("\nat " .. i .. "\n^C⏎\ninterrupted!\n>")
      t:type("pool:map(math.abs, {-" .. i .. "})" .. ENTER)
      t:await("\n{" .. i .. ", n = 1}\n>")
    end
    quit(t)
  end)

  it("ends a progress line", function()
    local t <close> = prompt()

    t:run(POOL)
    t:run "xs = {} for i = 1, 10^6 do xs[i] = i end"
    t:type("r = pool:map(function(x) for i = 1, 1e4 do end return x end, xs)" .. ENTER)
    t:await(function() return t:before_cursor():find "^%d+/1000000  %d+/s" end)
    t:type(CTRL_C)
    t:await "interrupted!"
    t:await_prompt()
    assert.is_nil(t.screen:text():find "/1000000")
    quit(t)
  end)
end)

describe("an error", function()
  it("is told with the chunk's traceback", function()
    local t <close> = prompt()

    t:run "function fail() error 'no' end"
    assert.equal(table.concat({
      "stdin:1: no",
      "stack traceback:",
      "        [C]: in function 'error'",
      "        stdin:1: in function 'fail'",
    }, "\n"), answer(t, "fail()"))
    assert.equal("stdin:1: syntax error near 'b'", answer(t, "a b ="))
    quit(t)
  end)

  it("of a worker has its traceback", function()
    local t <close> = prompt()

    t:run(POOL)
    local text = answer(t, "pool:apply(function() error 'no' end)")

    assert.matches("^stdin:1: no\n.*stack traceback:\n.*stdin:1: in function", text)
    quit(t)
  end)

  it("is red where colours are wanted", function()
    local t <close> = prompt { env = { NO_COLOR = "" } }

    t:run "error('no', 0)"

    assert.matches("\27%[[%d;]*31m" .. "no", t.output)
    quit(t)
  end)

  it("is red in a file if CLICOLOR_FORCE is set", function()
    local file <close> = helper.file()
    for force, expected in pairs { [""] = "no\n", ["1"] = "\27[1;31mno\27[0m\n" } do
      file:write ""
      local t <close> = terminal({ "sh", "-c", bin .. " 2>" .. file.path },
        { env = { CLICOLOR_FORCE = force } })
      t:await_prompt()
      t:run "error('no', 0)"
      assert.equal(expected, file:read():match "^[^\n]*\n")
      quit(t)
    end
  end)

  it("has no colour with NO_COLOR", function()
    local t <close> = prompt()

    t:run "error('no', 0)"

    assert.is_nil(t.output:find "\27%[[%d;]+m")
    quit(t)
  end)
end)

describe("the history", function()
  local function entries(t, home)
    return helper.slurp((home or t.folder) .. "/.local/state/tidepool/history")
  end

  it("is kept in a file of one's own", function()
    local t <close> = prompt()
    os.execute("umask 0")

    t:run "a = 1"
    t:run " secret = 2"
    t:run "do\rb = '\\\\' end"
    t:run "do\rb = '\\\\' end"

    assert.equal("a = 1\ndo\\nb = '\\\\\\\\' end\n", entries(t))
    local pipe = io.popen("stat -c %a " .. t.folder .. "/.local/state/tidepool " .. t.folder ..
      "/.local/state/tidepool/history")
    assert.equal("700\n600\n", pipe:read "a")
    pipe:close()
    quit(t)
  end)

  it("comes back in the next prompt", function()
    local first <close> = prompt()
    first:run "a = 1"
    first:run "do\rb = 2\rend"
    quit(first)

    local t <close> = prompt { home = first.folder }
    t:type(UP .. UP .. UP .. UP)
    t:await_prompt "a = 1"
    t:type(DOWN)
    t:await "> do\nb = 2\nend"
    t:type(DOWN)
    t:await_prompt()
    t:type("not lost" .. DOWN)
    t:await_prompt "not lost"
    t:press(CTRL_C)
    t:type(CTRL_R .. "a =")
    t:await "bck:a ="
    t:type(ENTER)
    t:await_prompt()
  end)

  it("takes the entries of prompts that run at the same time", function()
    local a <close> = prompt()
    local b <close> = prompt { home = a.folder }

    a:run "a = 1"
    b:run "b = 1"
    a:run "a = 2"

    assert.equal("a = 1\nb = 1\na = 2\n", entries(a))
    quit(a)
    quit(b)
  end)

  it("goes where TIDEPOOL_HISTORY says, nowhere when it is empty", function()
    local file <close> = helper.file ""
    os.execute("chmod 644 " .. file.path)
    local a <close> = prompt { env = { TIDEPOOL_HISTORY = file.path } }
    local b <close> = prompt { env = { TIDEPOOL_HISTORY = "" } }

    a:run "a = 1"
    b:run "b = 1"

    assert.equal("a = 1\n", file:read())
    assert.is_nil(entries(a))
    assert.is_nil(entries(b))
    local pipe = io.popen("stat -c %a " .. file.path)
    assert.equal("600\n", pipe:read "a")
    pipe:close()
    quit(a)
    quit(b)
  end)

  it("is cut to its last thousand entries", function()
    local lines = {}
    for i = 1, 2001 do lines[i] = "x = " .. i .. "\n" end
    local file <close> = helper.file(table.concat(lines))

    local t <close> = prompt { env = { TIDEPOOL_HISTORY = file.path } }
    quit(t)

    assert.equal(table.concat(lines, "", 1002), file:read())
  end)

  it("that cannot be kept is told once", function()
    local t <close> = terminal({ bin }, { env = { NO_COLOR = "1", TIDEPOOL_HISTORY = "/dev" } })

    t:await "no history is kept in /dev: Is a directory"
    t:await_prompt()
    t:run "a = 1"
    quit(t)
  end)
end)

describe("pools at the prompt", function()
  it("take functions as they are now", function()
    local t <close> = prompt()

    t:run(POOL)
    assert.equal('tidepool.pool "two" (open, 2 workers)', answer(t, "pool"))
    t:run "k = 1; local k = 10; function f(x) return x + k end"
    t:run "local m = 2; function g(x) return x * m end"
    assert.equal("{2, 4, n = 2}", answer(t, "pool:map(g, {1, 2})"))
    t:run "function g(x) return x * 3 end"
    assert.equal("{3, 6, n = 2}", answer(t, "pool:map(g, {1, 2})"))
    quit(t)
  end)

  it("call back while a line is typed", function()
    local gate <close> = helper.gate()
    local t <close> = prompt()

    t:run(POOL)
    t:run(("r = pool:apply_async(function() while not io.open %q do end return 1 end, {}, nil, " ..
      "function(v) print('got', v) io.write 'and more' end)"):format(gate.path))
    t:type("for i = 1, 2 do" .. ENTER .. "pri")
    t:await "\npri"
    gate:open()
    t:await "got     1\nand more⏎\n> for i = 1, 2 do\npri"
    t:type("nt(i)" .. ENTER .. "end" .. ENTER)
    t:await "end\n1\n2"
    quit(t)
  end)

  it("call back while Ctrl-D is typed", function()
    local gate <close> = helper.gate()
    local t <close> = prompt()

    t:run(POOL)
    t:type(("r = pool:apply_async('tostring', {1}, nil, function() print 'running' " ..
      "while not io.open %q do end end)"):format(gate.path) .. ENTER)
    quit_early(t, gate)
  end)

  it("call back when nothing is typed, and may fail or be stopped", function()
    local t <close> = prompt()

    t:run(POOL)
    t:type("pool:apply_async('tostring', {1}, nil, function() print 'running' " ..
      "while true do end end);" .. ENTER)
    t:await "\nrunning\n"
    t:type(CTRL_C)
    t:await "interrupted!"
    t:await_prompt()
    t:type("pool:apply_async('tostring', {1}, nil, function() error 'mine' end);" .. ENTER)
    t:await "stdin:1: mine"
    t:await_prompt()
    quit(t)
  end)

  it("may end while a line is typed", function()
    local t <close> = prompt()

    for _, ending in ipairs { "pool:close()", "pool:terminate()" } do
      t:run(POOL)
      t:run(ending)
      t:type "1" -- seen before Enter: an event may draw an empty prompt before
      t:await_prompt "1"
      local lines = t:press(ENTER)
      assert.same({ "> 1", "1" }, { lines[#lines - 1]:sub(1, 3), lines[#lines] })
    end
    quit(t)
  end)
end)

describe("signals at the prompt", function()
  for _, signal in ipairs { 15, 1, 3 } do
    it(("%d end the program, and its workers"):format(signal), function()
      local t <close> = prompt()

      t:run(POOL)
      local pid = math.tointeger(tonumber((answer(t,
        "pool:apply(function() return require 'tidepool'.worker.pid end)"))))
      t:type "typed"
      t:await_prompt "typed"
      t:signal(signal)

      assert.equal(128 + signal, t:finish())
      assert.is_nil(t.screen.modes["?2004"])
      helper.eventually(function() return helper.process(pid) == nil end)
    end)
  end

  it("end code that runs, and the program", function()
    local t <close> = prompt()

    t:type("print 'running'; while true do end" .. ENTER)
    t:await "\nrunning\n"
    t:signal(15)

    assert.equal(128 + 15, t:finish())
  end)

  it("stop and continue it", function()
    local t <close> = terminal({ "sh", "-i" }, { env = { PS1 = "$ ", NO_COLOR = "1" } })
    t:await "$"
    t:type(bin .. ENTER)
    t:await_prompt()
    t:type "typed"
    t:await_prompt "typed"
    t:type(CTRL_Z)
    t:await(function() return t:before_cursor() == "$ " end)
    assert.is_nil(t.screen.modes["?2004"])
    t:type("stty -a | grep -o ' icanon'" .. ENTER)
    t:await "\n icanon"
    t:type("fg" .. ENTER)
    t:await_prompt "typed"
    t:run(HOME .. "x = '" .. END .. "'")
    assert.equal('"typed"', answer(t, "x"))
    t:type(CTRL_D)
    t:await(function() return t:before_cursor() == "$ " end)
    t:type(CTRL_D)
    assert.equal(0, t:finish())
  end)

  it("tell of another width", function()
    local t <close> = prompt()

    t:run "1"
    t:type "abc"
    t:await(function() return t:lines()[4] and t:lines()[4]:find "^> abc +[%d.]+ ms" end)
    t:resize(50, 40)
    t:await(function()
      local line = t:lines()[4]
      return line and #line < 40 and line:find "^> abc +[%d.]+ ms" and t:before_cursor() == "> abc"
    end)
    t:press(CTRL_C)
    quit(t)
  end)
end)

describe("the terminal", function()
  it("is as it was while a chunk runs and after all", function()
    local gate <close> = helper.gate()
    local t <close> = prompt()

    t:type(("os.execute 'echo running'; while not io.open %q do end"):format(gate.path) .. ENTER)
    t:await "\nrunning\n"
    assert.is_true(t:is_restored())
    gate:open()
    t:await_prompt()
    assert.is_false(t:is_restored())
    assert.equal("SigBlk: 0000000000000000",
      (answer(t, "os.execute 'grep SigBlk /proc/self/status';"):gsub(" +", " ")))
    t:run "os.execute 'stty raw -echo'"
    t:type("io.read()" .. ENTER)
    t:await(function() return t:is_restored() end)
    t:type("text" .. ENTER)
    t:await 'text\n"text"\n'
    quit(t)
  end)

  it("hears Ctrl-D while a chunk runs", function()
    local gate <close> = helper.gate()
    local t <close> = prompt()

    t:type(("os.execute 'echo running'; while not io.open %q do end"):format(gate.path) .. ENTER)
    quit_early(t, gate)
  end)

  for what, code in pairs {
    ["os.exit"] = "os.exit(3)", ["os.exit that closes"] = "os.exit(3, true)",
    ["a callback's os.exit"] = POOL .. " pool:apply_async('tostring', {1}, nil, function() " ..
      "os.exit(3) end)",
  } do
    it("is as it was after " .. what, function()
      local t <close> = terminal({ "sh", "-c", bin .. "; echo status $?; read x" },
        { rows = 50, env = { NO_COLOR = "1" } })
      t:await_prompt()

      t:type(code .. ENTER)
      t:await "status 3"

      assert.is_true(t:is_restored())
    end)
  end
end)

describe("the user's files", function()
  it("init.lua runs first, but not with -E", function()
    local t <close> = prompt()
    os.execute(("mkdir -p %s/.config/tidepool && echo 'mine = 5' > %s/.config/tidepool/init.lua")
      :format(t.folder, t.folder))
    local a <close> = prompt { home = t.folder }
    local b <close> = prompt { home = t.folder, flags = { "-E" } }

    assert.equal("5", answer(a, "mine"))
    assert.equal("nil", answer(b, "mine"))
    quit(a)
    quit(b)
  end)

  it(".editrc binds keys", function()
    local t <close> = prompt()
    os.execute(("echo 'tidepool:bind ^T ed-move-to-beg' > %s/.editrc"):format(t.folder))
    local a <close> = prompt { home = t.folder }

    a:type "1\0202"
    a:await(function() return a:lines()[2] == "> 21" end)
    quit(t)
  end)

  it(".editrc may ask for vi", function()
    local t <close> = prompt()
    os.execute(("echo 'bind -v' > %s/.editrc"):format(t.folder))
    local a <close> = prompt { home = t.folder }

    assert.equal("31", answer(a, "1\27i" .. pasted "2" .. "\27x" .. "i" .. pasted "3"))
    assert.equal("true", answer(a, "if true then\rprint(true)\rend"):match "[^\n]*$")
    a:type("coro" .. TAB)
    a:await_prompt "coroutine"
    a:press(CTRL_C)
    a:type "4\27"
    a:await "> 4"
    a:press(CTRL_C)
    quit(a)
  end)
end)

describe("without libedit or a terminal", function()
  local stock = "^Lua [^\n]*PUC%-Rio\n> 1\n1\n> {nil}\ntable: 0x%x+\n>$"

  local function assert_plain(opts)
    opts.env.HOME = nil
    local t <close> = terminal({ bin }, opts)
    t:await_prompt()
    t:type("1" .. ENTER)
    t:await "1\n1\n>"
    t:type("{nil}" .. ENTER)
    t:await(function() return t.screen:text():match(stock) end)
    assert.is_nil(t.output:find "\27")
    t:type(CTRL_D)
    assert.equal(0, t:finish())
  end

  it("lines are read and printed as lua does", function()
    assert_plain { env = { TERM = "dumb" } }
    assert_plain { env = { TERM = "" } }
    local t <close> = prompt()
    os.execute(("mkdir %s/lib && : > %s/lib/libedit.so.2"):format(t.folder, t.folder))
    assert_plain { env = { LD_LIBRARY_PATH = t.folder .. "/lib" } }
  end)

  it("Ctrl-C drops what was typed, or stops what runs", function()
    local t <close> = terminal({ bin }, { env = { TERM = "dumb" } })
    t:await_prompt()
    t:type "half"
    t:await_prompt "half"
    t:type(CTRL_C)
    t:await_prompt()
    t:type("for i = 1, 2 do" .. ENTER)
    t:await(function() return t:before_cursor() == ">> " end)
    t:type(CTRL_C)
    t:await_prompt()
    t:type("print 'runs' while true do end" .. ENTER)
    t:await "\nruns\n"
    t:type(CTRL_C)
    t:await "interrupted!"
    t:await_prompt()
    t:type("1" .. ENTER)
    t:await "> 1\n1\n>"
    t:type(CTRL_D)
    assert.equal(0, t:finish())
  end)
end)
