-- cli_spec.lua - the program on its command line: whole output, whole status.

local command = require "spec.support.command"

local bin, sh, runs, prints, fails = command.bin, command.sh, command.runs, command.prints,
  command.fails
local with_script, with_folder = command.with_script, command.with_folder

local usage = [=[
usage: tidepool [options] [script | -m mod] [args]
  -e stat    run the Lua text 'stat'
  -l mod     require 'mod' into the global 'mod'
  -l g=mod   require 'mod' into the global 'g'
  -m mod     end of the options, run module 'mod' as the script
  -I dir     look for modules in 'dir' first
  -i         go on at the prompt after the script
  -v         show the version of Lua
  -E         ignore LUA_INIT, LUA_PATH and LUA_CPATH
  -W         turn warnings on
  -j N       workers of a pool that does not say how many
  --         end of the options
  -          end of the options, run standard input
  --strict        undeclared globals are errors
  --text-only     refuse binary chunks
  --check file... parse the files, run nothing
  --list          list the job scripts, which -m finds
  --help          show this text and exit
  --version       show the versions of all parts and exit
]=]

describe("tidepool --help", function()
  it("prints the options and ends well", function()
    local out, err, status = sh("tidepool --help -e 'print(1)'")

    assert.equal(usage, (out:gsub(bin:gsub("%p", "%%%0"), "tidepool")))
    assert.equal("", err)
    assert.equal(0, status)
  end)
end)

describe("tidepool --version", function()
  it("prints a line for each part", function()
    local out, err, status = sh("tidepool --version")

    assert.matches("^tidepool %d+%.%d+%.%d+\nLua 5%.4%.%d+\n.*%d+ CPUs?\n$", out)
    assert.matches("\nOpenSSL %d[^\n]*\n%d+ CPU", out)
    assert.equal("", err)
    assert.equal(0, status)
  end)
end)

describe("tidepool with bad options", function()
  for _, option in ipairs { "-h", "-x", "---", "--x", "--helpx", "-Ex", "-vv", "-iv", "-Wx" } do
    it("refuses " .. option, function()
      fails("tidepool " .. option, "tidepool: unrecognized option '" .. option .. "'\n" .. usage)
    end)
  end

  for _, line in ipairs { "-e", "-l", "-e -v", "-l -" } do
    it("misses the argument in " .. line, function()
      fails("tidepool " .. line, "tidepool: '" .. line:sub(1, 2) .. "' needs argument\n" .. usage)
    end)
  end

  for _, option in ipairs { "-j", "-j0", "-jx", "-j1.5", "-j65536", "-j99999999999" } do
    it("wants a number in " .. option, function()
      fails("tidepool " .. option,
        "tidepool: '" .. option .. "' needs a number of processes\n" .. usage)
    end)
  end

  it("names what was given when the value stands apart", function()
    fails("tidepool -j many", "tidepool: '-j' needs a number of processes\n" .. usage)
  end)

  it("runs nothing before a later option was understood", function()
    fails("tidepool -e 'print(1)' -x", "tidepool: unrecognized option '-x'\n" .. usage)
  end)
end)

describe("tidepool -e", function()
  it("runs texts in order, apart or joined", function()
    prints([[tidepool "-eprint(1)" -ea=3 -e "print(a)"]], "1\n3\n")
  end)

  it("reads no standard input", function()
    prints("tidepool -e 'x = 1'", "", "print(2)")
  end)

  it("goes on with the script", function()
    with_script("print(a, ...)", prints, "tidepool -e a=1 $S x y", "1\tx\ty\n")
  end)

  it("calls the chunk (command line)", function()
    fails("tidepool -e 'x x'", "tidepool: (command line):1: syntax error near 'x'\n")
  end)

  it("stops at the first error", function()
    runs([[tidepool -e 'print(1)' -e 'error("no", 0)' -e 'print(2)']], nil, "1\n",
      "tidepool: no\nstack traceback:\n\t[C]: in function 'error'\n" ..
      "\t(command line):1: in main chunk\n\t[C]: in ?\n", 1)
  end)
end)

describe("tidepool -l", function()
  it("requires into a global of the same name", function()
    with_script("return { x = 15 }", prints,
      [[LUA_PATH="/tmp/?;;" tidepool -l "${S#/tmp/}" -e "print(_G['${S#/tmp/}'].x)"]], "15\n")
  end)

  it("requires into a named global", function()
    prints("tidepool -l str=string -lm=math -e 'print(str.upper(m.type(1)))'", "INTEGER\n")
  end)

  it("keeps its place among -e", function()
    prints("tidepool -e 'package.loaded.a = 7' -l a -e 'print(a)'", "7\n")
  end)

  it("cuts a version from the name of the global", function()
    prints("tidepool -e 'package.loaded[\"a-v2\"] = 7' -l a-v2 -e 'print(a)'", "7\n")
  end)

  it("finds tidepool without a file", function()
    prints("tidepool -e 'package.path, package.cpath = \"\", \"\"' -l tidepool " ..
      "-e 'print(type(tidepool.version))'", "string\n")
  end)
end)

describe("tidepool -v", function()
  it("prints one line, then does what else is asked", function()
    local out, err, status = sh("tidepool -v -e 'print(1)'")

    assert.matches("^Lua 5%.4%.%d+  Copyright %(C%) 1994%-%d+ Lua%.org, PUC%-Rio\n1\n$", out)
    assert.equal("", err)
    assert.equal(0, status)
  end)

  it("reads no standard input", function()
    local out = sh("tidepool -v", "print(1)")

    assert.matches("PUC%-Rio\n$", out)
  end)
end)

describe("tidepool -E", function()
  it("ignores LUA_INIT and the paths", function()
    prints("export LUA_INIT='error(1)' LUA_PATH=xxx LUA_CPATH=yyy\n" ..
      "tidepool -E -e 'print(package.path:find\"xxx\", package.cpath:find\"yyy\")'", "nil\tnil\n")
  end)

  it("tells the libraries by LUA_NOENV in the registry", function()
    prints("tidepool -E -e 'print(debug.getregistry().LUA_NOENV)'", "true\n")
    prints("tidepool -e 'print(debug.getregistry().LUA_NOENV)'", "nil\n")
  end)
end)

describe("tidepool -W", function()
  it("turns warnings on", function()
    runs("tidepool -W -e 'warn(1, 2)'", nil, "", "Lua warning: 12\n", 0)
  end)

  it("is off without it", function() prints("tidepool -e 'warn(1)'", "") end)

  it("is what the control messages @on and @off change", function()
    runs("tidepool -e 'warn\"@on\" warn\"a\" warn\"@off\" warn\"b\" warn\"@x\"'", nil, "",
      "Lua warning: a\n", 0)
  end)
end)

describe("tidepool -j", function()
  it("sets TIDEPOOL_PROCESSES, apart or joined", function()
    prints("tidepool -j 3 -e 'print(os.getenv\"TIDEPOOL_PROCESSES\")'", "3\n")
    prints("tidepool -j4 -e 'print(os.getenv\"TIDEPOOL_PROCESSES\")'", "4\n")
  end)

  it("is the size of a pool that does not say", function()
    prints("tidepool -j3 -e 'local pool <close> = require\"tidepool\".pool() " ..
      "print(tostring(pool):match\"%d+ workers\")'", "3 workers\n")
  end)
end)

describe("TIDEPOOL_PROCESSES", function()
  it("that is no size of a pool is as good as none", function()
    for _, value in ipairs { "x", "0", "99999999999999" } do
      prints("TIDEPOOL_PROCESSES=" .. value .. " tidepool -e 'local tidepool = " ..
        "require\"tidepool\" local pool <close> = tidepool.pool() print(tidepool.cpu_count() == " ..
        "math.tointeger(tostring(pool):match\"(%d+) workers?\"))'", "true\n")
    end
  end)
end)

describe("tidepool SCRIPT", function()
  it("passes the arguments and arg", function()
    with_script("print(#arg, arg[0] == os.getenv'S', arg[-1], ...)", prints,
      "export S; tidepool -- $S -e -- x", "3\ttrue\t--\t-e\t--\tx\n")
  end)

  it("takes its arguments from what arg is then", function()
    with_script("print(...)", prints, "tidepool -e 'arg[1] = 100' $S 1 2", "100\t2\n")
  end)

  it("refuses an arg that is no table", function()
    fails("tidepool -e 'arg = 1' - </dev/null", "tidepool: 'arg' is not a table\n")
  end)

  it("skips a first line with # and a byte order mark", function()
    with_script("\xEF\xBB\xBF#!/usr/bin/tidepool\nprint(debug.getinfo(1, 'l').currentline)", prints,
      "tidepool $S", "2\n")
  end)

  it("says which file it cannot open", function()
    local _, err, status = sh("tidepool ./no/such.lua")

    assert.matches("^tidepool: cannot open '?%./no/such%.lua'?: No such file or directory\n$", err)
    assert.equal(1, status)
  end)

  it("has arg[0] as the program when there is none", function()
    prints("tidepool -e 'print(arg[0] == arg[-1], #arg, arg[1])'", "false\t2\t-e\n")
  end)
end)

describe("tidepool without a script", function()
  it("runs standard input", function() prints("tidepool", "1\tnil\n", "print(\n1, a\n)") end)

  it("runs it after - with arguments", function()
    prints("tidepool - -h", "-h\t-\n", "print(arg[1], arg[0])")
  end)

  it("runs it after a last --", function() prints("tidepool --", "1\n", "print(1)") end)

  it("calls the chunk stdin", function()
    fails("tidepool -", "tidepool: stdin:1: syntax error near 'x'\n", "x x")
  end)
end)

describe("LUA_INIT", function()
  it("ends the program when it fails", function()
    local out, err, status = sh("LUA_INIT='error(\"no\")' tidepool -e 'print(1)'")

    assert.equal("", out)
    assert.matches("^tidepool: LUA_INIT:1: no\nstack traceback:\n", err)
    assert.equal(1, status)
  end)

  it("runs before everything, with arg", function()
    with_script("print(X)", prints, "LUA_INIT='X=tonumber(arg[1])' tidepool $S 3.2", "3.2\n")
  end)

  it("gives way to LUA_INIT_5_4", function()
    prints("LUA_INIT_5_4='X=10' LUA_INIT='X=3' tidepool -e 'print(X)'", "10\n")
  end)

  it("may name a file", function()
    with_script("X = 5", prints, "LUA_INIT=@$S tidepool -e 'print(X)'", "5\n")
  end)

  it("has its name in errors", function()
    fails("LUA_INIT='x x' tidepool -e 'print(1)'",
      "tidepool: LUA_INIT:1: syntax error near 'x'\n")
  end)
end)

describe("uncaught errors", function()
  it("begin with the program's name as it was called", function()
    with_folder({}, runs, "ln -s " .. bin .. " $D/nick; cd $D; " ..
      "./nick -e 'error(\"no\", 0)' 2>&1 | head -n 1; PATH=$D nick nofile", nil, "./nick: no\n",
      "nick: cannot open nofile: No such file or directory\n", 1)
  end)

  it("show a traceback", function()
    with_script("local function f() error('no') end\nf()", function(line)
      local path = line:match("^S=(%S+);")
      fails(line, ("tidepool: %s:1: no\nstack traceback:\n\t[C]: in function 'error'\n" ..
        "\t%s:1: in local 'f'\n\t%s:2: in main chunk\n\t[C]: in ?\n"):gsub("%%s", path))
    end, "tidepool $S")
  end)

  it("show objects by __tostring alone", function()
    fails([[tidepool -e 'error(setmetatable({}, {__tostring = function() return "TS" end}))']],
      "tidepool: TS\n")
  end)

  it("say what other values are", function()
    fails("tidepool -e 'error{}'", "tidepool: (error object is a table value)\n" ..
      "stack traceback:\n\t[C]: in function 'error'\n\t(command line):1: in main chunk\n" ..
      "\t[C]: in ?\n")
  end)
end)

describe("os.exit", function()
  for arg, status in pairs { ["true"] = 0, ["false"] = 1, ["7"] = 7 } do
    it("ends with " .. arg .. " as it says", function()
      runs("tidepool -e 'os.exit(" .. arg .. ", true)'", nil, "", "", status)
    end)
  end

  it("closes the variables of the main chunk when asked to close", function()
    with_script([[local x <close> = setmetatable({}, {__close = function() print "closed" end})
      os.exit(true, true)]], prints, "tidepool $S", "closed\n")
  end)
end)

describe("the collector", function()
  it("is generational", function()
    prints("tidepool -e 'print(collectgarbage(\"incremental\"))'", "generational\n")
  end)
end)

describe("standard output", function()
  it("that cannot be written is an error", function()
    fails("tidepool -e 'io.write(1)' >/dev/full",
      "tidepool: cannot write standard output: No space left on device\n")
  end)

  it("that failed early is an error at the end", function()
    fails("tidepool -e 'print(1)' >/dev/full",
      "tidepool: cannot write standard output: an earlier write failed\n")
  end)

  it("is checked after os.exit too", function()
    fails("tidepool -e 'io.write(1) os.exit(0)' >/dev/full",
      "tidepool: cannot write standard output: No space left on device\n")
  end)

  it("may be closed when nothing is printed", function()
    prints("tidepool -e 'x = 1' >&-", "")
    prints("tidepool -e 'x = 1' <&- >&-", "")
    prints("tidepool -e 'x = 1' <&- >&- 2>&-", "")
  end)

  it("that is closed is an error, and no file takes its place", function()
    with_folder({}, runs, "tidepool -e 'local f = io.open(arg[1], \"w\") print(1)' -e " ..
      "'io.open(arg[1], \"a\"):write(2)' - $D/file >&- </dev/null; echo $? >&2; cat $D/file; echo",
      nil, "2\n", "tidepool: cannot write standard output: an earlier write failed\n1\n", 0)
  end)

  it("does not change the status of a failure", function()
    runs("tidepool -e 'io.write(1) os.exit(7, true)' >/dev/full", nil, "", "", 7)
    fails("tidepool -e 'io.write(1) error(\"no\", 0)' 2>&1 >/dev/full | head -n 1 >&2; exit 1",
      "tidepool: no\n")
  end)

  for _, option in ipairs { "-v", "--help", "--version", "--list" } do
    it("is checked with " .. option, function()
      local _, err, status = sh("TIDEPOOL_SCRIPTS=scripts tidepool " .. option .. " >/dev/full")

      assert.matches("^tidepool: cannot write standard output: [^\n]*\n$", err)
      assert.equal(1, status)
    end)
  end

  local many = "tidepool -e 'for i = 1, 1e5 do io.write(i) end'"

  it("whose reader is gone kills, as the signal does", function()
    runs("(" .. many .. "; echo $? >&2) | head -c 3; echo", nil, "123\n", "141\n", 0)
  end)

  it("whose reader is gone is an error where the signal is ignored", function()
    runs("trap '' PIPE; (" .. many .. "; echo $? >&2) | head -c 3; echo", nil, "123\n",
      "tidepool: cannot write standard output: Broken pipe\n1\n", 0)
  end)
end)

describe("tidepool -i", function()
  local banner = sh("tidepool -v")

  it("does not come to the prompt when the script fails", function()
    runs("tidepool -i -e 'error(\"no\", 0)'", "1\n", banner, "tidepool: no\n" ..
      "stack traceback:\n\t[C]: in function 'error'\n\t(command line):1: in main chunk\n" ..
      "\t[C]: in ?\n", 1)
  end)

  local function session(input, out, err, line)
    runs(line or "tidepool -i", input, banner .. out, err or "", 0)
  end

  it("prints values of expressions", function()
    session("1 + 1\n'a', nil\n", "> 1 + 1\n2\n> 'a', nil\na\tnil\n> \n")
  end)

  it("prints nothing for a statement, a call with a semicolon, too", function()
    session("math.max(1, 2);\n", "> math.max(1, 2);\n> \n")
  end)

  it("takes = as return", function() session("=1, 2\n", "> =1, 2\n1\t2\n> \n") end)

  it("runs statements and keeps globals", function()
    session("x = 5\nx\n", "> x = 5\n> x\n5\n> \n")
  end)

  it("goes on while a chunk is open", function()
    session("for i = 1, 2 do\nprint(i) end\n", "> for i = 1, 2 do\n>> print(i) end\n1\n2\n> \n")
  end)

  it("ends an open chunk with its error", function()
    session("do\n", "> do\n>> > \n", "stdin:1: 'end' expected near <eof>\n")
  end)

  it("takes a last line without its end", function() session("7", "> 7\n7\n> \n") end)

  it("shows errors without the program's name and goes on", function()
    session("error('no', 0)\n1\n", "> error('no', 0)\n> 1\n1\n> \n",
      "no\nstack traceback:\n\t[C]: in function 'error'\n\tstdin:1: in main chunk\n\t[C]: in ?\n")
  end)

  it("uses _PROMPT and _PROMPT2 as they are at the time", function()
    session("do\nend\n", "10do\n2end\n11\n", "",
      "tidepool -e 'n = 9 _PROMPT = setmetatable({}, {__tostring = function() " ..
      "n = n + 1 return n // 1 .. \"\" end}) _PROMPT2 = 2' -i")
  end)

  it("prints through the global print", function()
    session("print = nil\n1\n", "> print = nil\n> 1\n> \n",
      "error calling 'print' (attempt to call a nil value)\n")
  end)

  it("comes after a script, errors or not", function()
    with_script("x = 4", function(line) session("x\n", "> x\n4\n> \n", "", line) end,
      "tidepool -i $S")
  end)

  it("keeps zeros and long lines", function()
    local long = ("a"):rep(5000)
    session("#'" .. long .. "'\n", "> #'" .. long .. "'\n5000\n> \n")
  end)
end)

describe("signals", function()
  it("interrupt where SIGINT was ignored; the second one kills", function()
    runs("trap '' INT; " .. bin .. " -e 'local pid = io.open(\"/proc/self/stat\"):read(\"n\") " ..
      "for i = 1, 2 do print(pcall(function() " ..
      "io.popen(\"kill -INT \" .. pid):close() while true do end end)) end'", nil,
      "false\t(command line):1: interrupted!\n", "", 130)
  end)

  local die = "local x <close> = setmetatable({}, {__close = function() print \"closed\" end}) " ..
    "local pid = io.open(\"/proc/self/stat\"):read(\"n\") " ..
    "io.popen(\"kill -SIG \" .. pid):close() while true do end"

  local function killed(name, message, signal_number)
    local text = "exec " .. bin .. " -e '" .. die:gsub("SIG", name) .. "'"
    local out, err, status = sh("sh -c '" .. text:gsub("'", "'\\''") .. "'")

    assert.equal("closed\n", out)
    assert.matches("^tidepool: %(command line%):1: " .. message .. "\nstack traceback:\n", err)
    assert.equal(128 + signal_number, status)
  end

  it("close variables and kill with SIGINT", function() killed("INT", "interrupted!", 2) end)

  it("close variables and kill with SIGTERM", function() killed("TERM", "terminated!", 15) end)

  it("close variables and kill with SIGHUP", function() killed("HUP", "terminated!", 1) end)

  local caught = "print(pcall(function() local pid = io.open(\"/proc/self/stat\"):read(\"n\") " ..
    "io.popen(\"kill -SIG \" .. pid):close() WAIT end))"

  local function caught_text(name, wait)
    return (caught:gsub("SIG", name):gsub("WAIT", wait or "while true do end"))
  end

  it("are errors that can be caught", function()
    prints("tidepool -e '" .. caught_text("INT") .. "'",
      "false\t(command line):1: interrupted!\n")
  end)

  it("leave coroutine.resume and coroutine.wrap as they are", function()
    local code = [[
      local function try(f, ...) print(pcall(f, ...)) end
      local co = coroutine.wrap(function(...) print(...) print(coroutine.yield(1, nil)) end)
      print(co("a", nil)) print(select("#", co("b"))) try(co)
      try(coroutine.wrap, 1) try(coroutine.resume, 1)
      try(coroutine.wrap(function() error "text" end))
      try(coroutine.wrap(function() error() end))
      print(pcall(coroutine.wrap(function(...) return select("#", ...) end),
        table.unpack({}, 1, 300)))
      local function nest() return coroutine.wrap(nest)() end
      print(select(2, pcall(nest)):sub(-40))
      co = coroutine.wrap(function()
        local x <close> = setmetatable({}, { __close = function(_, e) error(e .. "!", 0) end })
        error "closing"
      end)
      try(co) try(co)
      co = coroutine.wrap(function() try(co) end) co()
      print(coroutine.resume(coroutine.running()))
      print(xpcall(coroutine.wrap(function() error "traced" end), debug.traceback))
      for i in coroutine.wrap(function() coroutine.yield(1) end) do print(i) end]]
    local expected, _, status = sh("lua5.4 -", code)

    assert.equal(0, status)
    prints("tidepool -", expected, code)
  end)

  it("leave a prompt running", function()
    local out = sh("tidepool -i", caught_text("INT") .. "\n1\n")

    assert.matches("false\tstdin:1: interrupted!\n> 1\n1\n> \n$", out)
  end)

  it("respect an ignored SIGHUP", function()
    prints("trap '' HUP; " .. bin .. " -e '" ..
      caught_text("HUP", "for _ = 1, 1e6 do end return \"alive\"") .. "'", "true\talive\n")
  end)

  it("are raised in the coroutine that runs", function()
    local pid = "local pid = io.open('/proc/self/stat'):read('n') "
    local kill = "io.popen('kill -TERM ' .. pid):close() while true do end"

    prints('tidepool -e "' .. pid .. "print(pcall(coroutine.wrap(function() " .. kill ..
      ' end)))"', "false\t(command line):1: terminated!\n")
    prints('tidepool -e "' .. pid .. "local co = coroutine.create(function() " .. kill ..
      ' end) coroutine.wrap(function() print(coroutine.resume(co)) end)()"',
      "false\t(command line):1: terminated!\n")
  end)

  it("end a pool's call in a coroutine", function()
    local out = sh([[tidepool - <<'X'
      local tidepool = require "tidepool"
      local pool = tidepool.pool(1)
      local parent = tidepool.getpid()
      print(coroutine.wrap(function()
        return pcall(pool.apply, pool, function()
          os.execute("kill -INT " .. parent)
          tidepool.sleep(60)
        end)
      end)())
X]])

    assert.matches("^false\t[^\n]*interrupted!\n$", out)
  end)

  it("do not change the status of a later error", function()
    local _, _, status = sh("tidepool -e '" .. caught_text("INT") .. " error(1)'")

    assert.equal(1, status)
  end)
end)

describe("coroutine", function()
  -- The program has functions of its own in place of two.
  it("names wrong arguments as the library does", function()
    local out = sh("tidepool -e 'print(pcall(load[[return coroutine.resume(1)]])) " ..
      "print(pcall(load[[return coroutine.status(1)]]))'")
    assert.matches("'resume' %(%l+ expected, got number%)\n", out)
    local resume, status = out:match "^(.-)\n(.*)\n$"
    assert.equal(status, (resume:gsub("resume", "status")))
  end)

  it("says where a dead one was called, and keeps error values", function()
    prints([[tidepool - <<'X'
      local f = coroutine.wrap(function(...) return ... end)
      print(f(1, nil))
      print(pcall(function() f() end))
      local t = {}
      print(select(2, pcall(coroutine.wrap(error), t)) == t)
      print(coroutine.resume(coroutine.create(function(...) error(...) end), 7))
      print(pcall(coroutine.wrap(function()
        local x <close> = setmetatable({}, { __close = function() error("last", 0) end })
        error "first"
      end)))
X]], "1\tnil\nfalse\tstdin:3: cannot resume dead coroutine\ntrue\nfalse\t7\nfalse\tlast\n")
  end)
end)

describe("LUA_PATH", function()
  it("has the default path where it says ;;, and gives way to LUA_PATH_5_4", function()
    local default = sh("tidepool -e 'io.write(package.path, \"\\n\")'"):sub(1, -2)

    prints("LUA_PATH='a;;b' tidepool -e 'print(package.path)'", "a;" .. default .. ";b\n")
    prints("LUA_PATH=a LUA_PATH_5_4=b tidepool -e 'print(package.path)'", "b\n")
    prints("LUA_CPATH=a LUA_CPATH_5_4=b tidepool -e 'print(package.cpath)'", "b\n")
  end)
end)

describe("arg", function()
  it("goes down to the program's name", function()
    with_script("print(arg[-3] ~= nil, arg[-4], arg[-2], arg[-1], #arg)", prints,
      "tidepool -W -E $S a b", "true\tnil\t-W\t-E\t2\n")
  end)
end)
