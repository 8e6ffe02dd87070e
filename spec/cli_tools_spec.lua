-- cli_tools_spec.lua - what the command line has beyond that of lua.

local command = require "spec.support.command"

local bin, sh, prints, fails, with_folder =
  command.bin, command.sh, command.prints, command.fails, command.with_folder

local binary = string.dump(function() return 42 end)
local refused = "attempt to load a binary chunk (mode is 't')"

describe("tidepool -m", function()
  it("runs a module as the script, with its arguments", function()
    with_folder({ ["mod.lua"] = "print(#arg, arg[-1], ...)\nprint(arg[0], package.loaded.mod)\n" ..
      "print(debug.getinfo(1, 'S').source)" }, prints, "cd $D; tidepool -m mod -x --y z",
      "3\t-m\t-x\t--y\tz\n./mod.lua\tnil\n@./mod.lua\n")
  end)

  it("takes the name joined, after other options", function()
    with_folder({ ["mod.lua"] = "print(x, #arg, ...)" }, prints,
      "tidepool -e x=1 -I $D -mmod a", "1\t1\ta\n")
  end)

  it("finds dotted names, and modules of a package.path changed by -e", function()
    with_folder({ ["mod.lua"] = "print(1)" }, prints,
      "cd $D; tidepool -e 'package.path=\"/tmp/?.lua\"' -m ${D#/tmp/}.mod", "1\n")
  end)

  it("finds preloaded modules", function()
    prints("tidepool -e 'package.preload.x = function(...) print(...) end' -m x 1 2", "1\t2\n")
  end)

  it("misses a module as require does, without a traceback", function()
    fails("LUA_PATH=a/?.lua LUA_CPATH=b/?.so TIDEPOOL_SCRIPTS=c tidepool " ..
      "-e 'package.searchers[4] = nil' -m no.such 2>&1 | sed '/scripts/d' >&2; exit 1",
      "tidepool: module 'no.such' not found:\n\tno field package.preload['no.such']\n" ..
      "\tno file 'a/no/such.lua'\n\tno file 'c/no/such.lua'\n\tno file 'b/no/such.so'\n")
  end)

  it("says what is wrong in the module", function()
    with_folder({ ["mod.lua"] = "x x" }, fails, "cd $D; tidepool -m mod",
      "tidepool: error loading module 'mod' from file './mod.lua':\n" ..
      "\t./mod.lua:1: syntax error near 'x'\n")
  end)

  it("goes on at the prompt with -i", function()
    with_folder({ ["mod.lua"] = "x = 7" }, function(line)
      assert.matches("> x\n7\n> \n$", (sh(line, "x\n")))
    end, "cd $D; tidepool -i -m mod")
  end)

  it("finds the job scripts behind all others", function()
    with_folder({ ["job.lua"] = "print('job', ...)", ["string.lua"] = "print 'never'" }, prints,
      "TIDEPOOL_SCRIPTS=$D tidepool -m job 1", "job\t1\n")
  end)
end)

describe("tidepool -I", function()
  it("puts folders before both paths, the first one first", function()
    prints("LUA_PATH=x LUA_CPATH=y tidepool -I a -Ib -e 'print(package.path, package.cpath)'",
      "a/?.lua;a/?/init.lua;b/?.lua;b/?/init.lua;x\ta/?.so;b/?.so;y\n")
  end)

  it("comes before what LUA_INIT did, and before -l whatever their order", function()
    with_folder({ ["mod.lua"] = "return 'first'", ["other.lua"] = "return 'other'" }, prints,
      "cp $D/other.lua $D/sub-mod.lua; LUA_INIT='package.path=\"'$D'/sub-?.lua\"' " ..
      "tidepool -l mod -I $D -e 'print(mod)'", "first\n")
  end)

  it("survives paths that are gone", function()
    prints("LUA_INIT='package.path = nil' tidepool -I a -e 'print(package.path)'",
      "a/?.lua;a/?/init.lua;\n")
  end)

  it("holds in workers", function()
    with_folder({ ["mod.lua"] = "return { f = function() return 'found' end }" }, prints,
      "tidepool -I $D -e 'print(require\"tidepool\".pool(1):apply(\"mod.f\"))'", "found\n")
  end)
end)

describe("tidepool --check", function()
  it("is silent about files that parse, and runs none", function()
    with_folder({ ["a.lua"] = "#!x\nprint(1)", ["-b"] = "print(2)" }, prints,
      "cd $D; tidepool -e 'print(3)' --check a.lua -b", "")
  end)

  it("names the error of each file", function()
    with_folder({ a = "x =", b = "y = 1", c = "\nz z" }, fails,
      "cd $D; tidepool --check a b no-file c", "tidepool: a:1: unexpected symbol near <eof>\n" ..
      "tidepool: cannot open no-file: No such file or directory\n" ..
      "tidepool: c:2: syntax error near 'z'\n")
  end)

  it("reads standard input as -", function()
    fails("tidepool --check -", "tidepool: stdin:1: syntax error near 'x'\n", "x x")
  end)

  it("wants a file", function()
    local _, err, status = sh "tidepool --check"

    assert.matches("^tidepool: '%-%-check' needs argument\nusage: ", err)
    assert.equal(1, status)
  end)
end)

describe("tidepool --strict", function()
  local function strict(text, err, input)
    local line = "tidepool --strict -e '" .. text .. "'"
    local _, got, status = sh(line, input)
    assert.equal("tidepool: " .. err, got:match "^[^\n]*")
    assert.equal(1, status)
  end

  it("names what is read and not declared", function()
    strict("print(1 + oops)", "(command line):1: variable 'oops' is not declared")
    strict("print(_G.oops)", "(command line):1: variable 'oops' is not declared")
  end)

  it("names what a function assigns and did not declare", function()
    strict("local function f()\n oops = 1 end f()",
      "(command line):2: assign to undeclared variable 'oops'")
  end)

  it("takes an assignment at the top level as a declaration, even of nil", function()
    prints("tidepool --strict -e 'x = nil function f() x = 1 end' -e 'print(x) f() print(x)'",
      "nil\n1\n")
  end)

  it("leaves rawget, rawset, C and known globals of other Luas alone", function()
    prints("tidepool --strict -l c=lfs -e 'local function f() rawset(_G, \"x\", 1) end f() " ..
      "print(rawget(_G, \"y\"), x, unpack, c ~= nil, #arg)'", "nil\t1\tnil\ttrue\t5\n")
  end)

  it("holds in what is required", function()
    with_folder({ ["mod.lua"] = "seen = 1\nreturn function() return oops end" }, function(line)
      local _, err = sh(line)
      assert.matches("/mod%.lua:2: variable 'oops' is not declared\n", err)
    end, "tidepool --strict -I $D -l mod -e 'print(seen) mod()'")
  end)

  it("holds at the prompt", function()
    local out, err = sh("tidepool --strict -i", "x = 1\nx\ny\n")

    assert.matches("> x\n1\n> y\n> \n$", out)
    assert.matches("^stdin:1: variable 'y' is not declared\n", err)
  end)

  it("holds in workers, whose scripts declare", function()
    with_folder({ ["job.lua"] = "count = 0\nfunction add() count = count + 1 return count end\n" ..
      "function bad() oops = 1 end" }, prints, [[cat >$D/main.lua <<'X'
        local pool <close> = require "tidepool".pool { processes = 1, scripts = arg[1] }
        print(pool:apply("add"))
        for _, task in ipairs { "bad", function() return oops end, "no.such" } do
          print(select(2, pcall(pool.apply, pool, task)).message)
        end
X
      cd $D; tidepool --strict main.lua job.lua]],
      "1\njob.lua:3: assign to undeclared variable 'oops'\n" ..
      "main.lua:3: variable 'oops' is not declared\nunknown function \"no.such\"\n")
  end)

  it("holds in a serial pool", function()
    prints("tidepool --strict -e 'local p <close> = require\"tidepool\".pool{serial = true} " ..
      "print(p:apply(load\"return 1\"), pcall(load\"return oops\"))'",
      "1\tfalse\t[string \"return oops\"]:1: variable 'oops' is not declared\n")
  end)
end)

describe("tidepool --text-only", function()
  local function text_only(line, out, err)
    with_folder({ ["b.lua"] = binary }, err and fails or prints, "cd $D; " .. line, err or out)
  end

  it("refuses a binary script, standard input and LUA_INIT", function()
    text_only("tidepool --text-only b.lua", nil, "tidepool: " .. refused .. "\n")
    text_only("tidepool --text-only <b.lua", nil, "tidepool: " .. refused .. "\n")
    text_only("LUA_INIT=@b.lua tidepool --text-only -e 'x = 1'", nil,
      "tidepool: " .. refused .. "\n")
    text_only("tidepool --text-only --check b.lua", nil, "tidepool: " .. refused .. "\n")
  end)

  it("refuses a binary -e", function()
    fails("tidepool --text-only -e \"$(printf '\\033Lua')\"", "tidepool: " .. refused .. "\n")
  end)

  it("refuses binary modules", function()
    text_only("tidepool --text-only -m b", nil,
      "tidepool: error loading module 'b' from file './b.lua':\n\t" .. refused .. "\n")
    text_only("tidepool --text-only -e 'print(pcall(require, \"b\"))'",
      "false\terror loading module 'b' from file './b.lua':\n\t" .. refused .. "\n")
  end)

  it("refuses them in load, loadfile and dofile", function()
    text_only([[cat >t.lua <<'X'
      local b = string.dump(function() end)
      print(load(b)) print(load(b, "x", "b")) print(load(b, "x", "bt"))
      print(load(function() local s = b b = nil return s end))
      print(loadfile "b.lua") print(loadfile("b.lua", "b")) print(pcall(dofile, "b.lua"))
X
      tidepool --text-only t.lua]], ("nil\t" .. refused .. "\n"):rep(6) ..
      "false\t" .. refused .. "\n")
  end)

  it("loads text as before", function()
    with_folder({ ["mod.lua"] = "return ..." , ["f.lua"] = "coroutine.yield(1) return y" }, prints,
      [[cat >$D/t.lua <<'X'
      print(load("return y", "n", "t", { y = 2 })(), load(("return 3"):gmatch ".")())
      print(loadfile("f.lua", "bt", { coroutine = coroutine, y = 4 }) ~= nil, require "mod")
      local f = coroutine.wrap(dofile)
      print(f "f.lua", f())
      print(pcall(load)) print(pcall(load, "", 1, {})) print(pcall(loadfile, {}))
      print(select(2, pcall(require, "no.such")) ~= nil, select(2, load "x x"))
X
      cd $D; tidepool --text-only t.lua]], "2\t3\ntrue\tmod\t./mod.lua\n1\tnil\n" ..
      "false\tbad argument #1 to 'load' (function expected, got no value)\n" ..
      "false\tbad argument #3 to 'load' (string expected, got table)\n" ..
      "false\tbad argument #1 to 'loadfile' (string expected, got table)\n" ..
      "true\t[string \"x x\"]:1: syntax error near 'x'\n")
  end)

  it("holds in workers, to which functions still go", function()
    prints("tidepool --text-only -e 'local p <close> = require\"tidepool\".pool(2) " ..
      "print(p:apply(function(b) return 1, load(b) end, { string.dump(load\"\") }))'",
      "1\tnil\t" .. refused .. "\n")
  end)
end)

describe("tidepool --list", function()
  local first = "TIDEPOOL_SCRIPTS=$D tidepool --list | tr -s ' ' | grep -w -E "

  it("prints sorted names and first sentences", function()
    with_folder({
      ["zz1.lua"] = "#!/usr/bin/tidepool\n\n-- Does this, e.g.that\n-- and more. Not that.\n-- x\n",
      ["zz2.lua"] = "--[==[ Long one!\n]==]\n-- x", ["zz3.lua"] = "print(1) -- no\n-- Late.\n",
      ["aa.lua"] = "--- zz no stop\n\n-- other\n", ["zz.txt"] = "-- zz",
    }, prints, first .. "'aa|zz.*'",
      "aa zz no stop\nzz1 Does this, e.g.that and more.\nzz2 Long one!\nzz3\n")
  end)

  it("has the scripts of the program's own folder, a user's before them", function()
    with_folder({ ["hello.lua"] = "-- Mine." }, prints, [[mkdir -p $D/bin $D/share/tidepool/scripts
      cp ]] .. bin .. [[ $D/bin; cp scripts/hello.lua $D/share/tidepool/scripts
      echo "-- Other." >$D/share/tidepool/scripts/other.lua
      ln -s $D/bin/tidepool $D/link; cd /
      $D/link --list; echo; TIDEPOOL_SCRIPTS=/no/such:$D $D/link --list 2>/dev/null]],
      "hello  A pool of processes in three calls: one task, many tasks, tasks as they finish.\n" ..
      "other  Other.\n\nhello  Mine.\nother  Other.\n")
  end)

  it("cuts lines at the width of a terminal", function()
    with_folder({ ["job.lua"] = "-- " .. ("äb"):rep(30) }, function(line)
      local text = (sh(line)):match "(job +[äb]*)\r?\n"
      assert.equal(20, utf8.len(text))
    end, "TIDEPOOL_SCRIPTS=$D script -qec 'stty cols 20; " .. bin .. " --list' /dev/null")
  end)
end)

describe("an uncaught error of a task", function()
  local jobs = [[
function mark(name)
  if name == "a.txt" then error("no such picture") end
  if name == "kill" then os.execute("kill -KILL $PPID") end
  return name
end
]]

  ---The messages of a program that makes a pool and calls `text`, with PID and LINE for numbers.
  local function message(text, options)
    local err, status
    with_folder({ ["jobs.lua"] = jobs, ["main.lua"] = "local tidepool = require 'tidepool'\n" ..
      "local pool <close> = tidepool.pool { processes = 1, scripts = 'jobs.lua'" ..
      (options or "") .. " }\n" .. text .. "\n" }, function(line)
      local _
      _, err, status = sh(line)
    end, "cd $D; tidepool main.lua")
    assert.equal(1, status)
    return (err:gsub("%(pid %d+%)", "(pid PID)"))
  end

  it("shows on one line who failed on what and why, then both stacks", function()
    assert.equal([[
tidepool: worker 1 (pid PID): item 2 of "mark" (input "a.txt"): jobs.lua:2: no such picture
stack traceback in the worker:
	[C]: in function 'error'
	jobs.lua:2: in function 'mark'
stack traceback:
	(...tail calls...)
	main.lua:3: in main chunk
	[C]: in ?
]], message 'pool:map("mark", { 1, "a.txt" })')
  end)

  it("does so for iterators, whatever their input", function()
    assert.equal([[
tidepool: worker 1 (pid PID): item 1 of "mark" (input "a.txt", {x = 3}): jobs.lua:2: no such picture
stack traceback in the worker:
	[C]: in function 'error'
	jobs.lua:2: in function 'mark'
stack traceback:
	[C]: in for iterator 'for iterator'
	main.lua:3: in main chunk
	[C]: in ?
]], message 'for _ in pool:imap("mark", function() return "a.txt", { x = 3 } end) do end')
  end)

  it("adds the input to what it says of a lost worker", function()
    assert.equal([[
tidepool: worker 1 (pid PID) was killed by SIGKILL while running item 3 of "mark" (input "kill")
(the kernel kills with SIGKILL, too, when memory runs out)
stack traceback:
	(...tail calls...)
	main.lua:3: in main chunk
	[C]: in ?
]], message 'pool:map("mark", { 1, 2, "kill" }, 3)')
  end)

  it("names the task in a serial pool", function()
    assert.matches('^tidepool: item 1 of "mark" %(input "a%.txt"%): ' ..
      "jobs%.lua:2: no such picture\nstack traceback in the task:\n",
      message('pool:apply("mark", { "a.txt" })', ", serial = true"))
  end)

  it("needs no worker, task or stack", function()
    assert.equal("tidepool: no result within the time given: 0 of 1 items done\n" ..
      "stack traceback:\n\t[C]: in method 'get'\n\tmain.lua:3: in main chunk\n\t[C]: in ?\n",
      message "pool:apply_async(tidepool.sleep, { 1 }):get(0)")
    assert.matches("^tidepool: initializer: main%.lua:3: oops\n" ..
      "stack traceback in the initializer:\n",
      message "tidepool.pool(1, function() error 'oops' end):apply('mark', { 1 })")
  end)

  it("shows nothing of the library's own", function()
    assert.equal('tidepool: worker 1 (pid PID): item 1 of "nosuch" (input 1): ' ..
      'unknown function "nosuch"\nstack traceback:\n\t[C]: in method \'apply\'\n' ..
      '\tmain.lua:3: in main chunk\n\t[C]: in ?\n',
      message 'pool:apply("nosuch", { 1 })')
    assert.equal([[
tidepool: initializer: main.lua:3: oops
stack traceback in the initializer:
	[C]: in function 'error'
	main.lua:3: in function <main.lua:3>
stack traceback:
	[C]: in method 'apply'
	main.lua:3: in main chunk
	[C]: in ?
]], message "tidepool.pool(1, function() error 'oops' end):apply('mark', { 1 })")
  end)

  it("is shown at the prompt, too", function()
    local _, err = sh("tidepool -i", "require'tidepool'.pool(1):map(error, { 7 })\n")

    assert.matches('^worker 1 %(pid %d+%): item 1 of "error" %(input 7%): 7\n' ..
      "stack traceback in the worker:\n", err)
  end)
end)

describe("modules written in C", function()
  for _, name in ipairs { "lfs", "cjson", "cqueues", "luv", "socket", "lpeg" } do
    local test = package.searchpath(name, package.path) or package.searchpath(name, package.cpath)
    local run = test and it or pending
    run("find Lua in the program: " .. name, function()
      prints("tidepool -e 'print(type(require \"" .. name .. "\"))'", "table\n")
    end)
  end
end)
