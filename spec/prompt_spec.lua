-- prompt_spec.lua - a session at the prompt, without a terminal.

local helper = require "spec.helper"
local new = require "spec.support.session".new
local tidepool = require "tidepool"
local progress = require "tidepool.progress"

local function lines(...) return table.concat({ ... }, "\n") end

describe("session:is_open", function()
  local at <const> = new()
  teardown(function() at:__close() end)

  local function each(texts, expected)
    for _, text in ipairs(texts) do assert.equal(expected, at.session:is_open(text), text) end
  end

  it("is true for a chunk that may go on", function()
    each({ "for i = 1, 2 do", "f(", "x =", "1 +", "=f(", "[[long\ntext", "--[[ comment", "'a\\",
      "function f()\n  return 1", "\\time f(" }, true)
  end)

  it("is false for a chunk that is complete or can never be", function()
    each({ "", "x", "x = 1", "= 5", "for i = 1, 2 do end", "x x", "f)", "= )", "'text", "1 + 'text",
      "-- comment", "\\help", "\\time x x", "  \\save" }, false)
  end)
end)

describe("session:load", function()
  it("runs statements, expressions and expressions after =", function()
    local at <close> = new()

    assert.is_nil(at:type "x = 2")
    assert.equal("3", at:type "x + 1")
    assert.equal("4", at:type "= x * 2")
    assert.equal("5", at:type "return 5")
    assert.is_nil(at:type "")
    assert.is_nil(at:type "-- nothing")
  end)

  it("gives nil and the message of a syntax error", function()
    local at <close> = new()
    local chunk, message = at.session:load "x x"

    assert.is_nil(chunk)
    assert.equal("stdin:1: syntax error near 'x'", message)
    assert.equal("stdin:1: unexpected symbol near ')'", at:type "=)")
  end)

  it("refuses binary chunks", function()
    local at <close> = new()
    local _, message = at.session:load(string.dump(function() end))

    assert.equal("attempt to load a binary chunk (mode is 't')", message)
  end)

  it("warns of locals, which are gone after their chunk", function()
    local at <close> = new()
    at:type "local x = 1"

    assert.equal("a local is gone after its chunk; leave out `local` to keep it", at.warning)
    at:type "localx = 1"
    assert.is_nil(at.warning)
    at:type "do local x = 1 end"
    assert.is_nil(at.warning)
  end)

  it("names an unknown command and those that there are", function()
    local at <close> = new()

    assert.equal([[unknown command \foo; there are \help \jobs \quit \reload \save \save! \time]],
      at:type "\\foo bar")
    assert.equal([[usage: \reload module]], at:type "\\reload")
  end)
end)

describe("session:results", function()
  it("is quiet after a semicolon", function()
    local at <close> = new()

    assert.is_nil(at:type "{1, 2};")
    assert.is_nil(at:type "= 5 ; ")
    assert.equal("7", at:type "7 -- a comment;")
    assert.equal("{7}", at:type "{ 7; }")
  end)

  it("shows values prettily in the width of the terminal", function()
    local at <close> = new { width = 20, colour = true }

    assert.equal("\27[36m1\27[0m\t\27[35mnil\27[0m", at:type "1, nil")
    assert.equal(lines("{", '  a = \27[32m"one word"\27[0m,', "  b = \27[36m2\27[0m", "}"),
      at:type "{ a = 'one word', b = 2 }")
  end)

  it("keeps the value in _", function()
    local at <close> = new()
    at:type "6 * 7"

    assert.equal("42", at:type "_")
    assert.is_nil(at:type "{ 1 };")
    assert.equal("1", at:type "_[1]")
    at:type "x = 1"
    assert.equal("1", at:type "_")
  end)

  it("keeps several values in _1, _2 and so on", function()
    local at <close> = new()
    at:type "1, nil, 3"

    assert.equal("1\t1\tnil\t3", at:type "_, _1, _2, _3")
    at:type "5"
    assert.equal("5\tnil\tnil", at:type "_, _1, _4")
  end)

  it("leaves a user's own _ alone", function()
    local at <close> = new()
    at:type "1"
    at:type "_ = 'mine'"
    at:type "2"

    assert.equal('"mine"', at:type "_")
    at:type "_ = nil"
    at:type "3"
    assert.equal("3", at:type "_")
    at:type "0/0"
    at:type "4"
    assert.equal("4", at:type "_")
  end)

  it("works where globals must be declared", function()
    local at <close> = new()
    local meta = getmetatable(_G)
    local refuse = function(_, name) error("undeclared " .. name) end
    setmetatable(_G, { __index = refuse, __newindex = refuse })
    local ok, text = pcall(at.type, at, "1, 2")
    setmetatable(_G, meta)

    assert.is_true(ok)
    assert.equal("1\t2", text)
  end)
end)

describe("session:failure", function()
  it("ends the traceback at the chunk", function()
    local at <close> = new()
    at:type "function f() error 'oops' end"

    assert.equal(lines("stdin:1: oops", "stack traceback:", "\t[C]: in function 'error'",
      "\tstdin:1: in function 'f'", "\tstdin:1: in main chunk"), at:type "f() x = 1")
    assert.equal(lines("stdin:1: oops", "stack traceback:", "\t[C]: in function 'error'",
      "\tstdin:1: in function 'f'"), at:type "f()") -- a tail call
  end)

  it("does not mind whether a handler calls it last", function()
    local at <close> = new()
    local session = at.session
    local chunk = session:load "x = nil + 1"
    pcall(session.started, session)
    local _, text = xpcall(chunk, function(err)
      local described = session:failure(err)
      return described
    end)

    assert.equal(lines("stdin:1: attempt to perform arithmetic on a nil value", "stack traceback:",
      "\tstdin:1: in main chunk"), text)
  end)

  it("shows both ends of a long traceback", function()
    local at <close> = new()
    at:type "function f(n) if n == 0 then error 'deep' end f(n - 1) end"
    local text = at:type "f(50) x = 1"

    assert.matches("^stdin:1: deep\nstack traceback:\n\t%[C%]: in function 'error'\n", text)
    assert.matches("\n\t... %(33 levels%)\n", text)
    assert.matches("\n\tstdin:1: in function 'f'\n\tstdin:1: in main chunk$", text)
    assert.equal(22, select(2, text:gsub("\n", "")))
  end)

  it("survives a stack overflow", function()
    local at <close> = new()
    local text = at:type "function f() return 1 + f() end x = f()"

    assert.matches("^stdin:1: stack overflow", text)
    assert.matches("\n\tstdin:1: in main chunk$", text)
  end)

  it("colours the message and dims the rest", function()
    local at <close> = new { colour = true }

    assert.equal("\27[1;31mstdin:1: oops\27[0m\n\27[2mstack traceback:\n" ..
      "\t[C]: in function 'error'\n\tstdin:1: in main chunk\27[0m", at:type "error 'oops'")
    assert.equal("\27[1;31mstdin:1: syntax error near 'x'\27[0m", at:type "x x")
  end)

  it("shows objects by their __tostring, others by their kind", function()
    local at <close> = new()
    at:type "meta = { __tostring = function() return 'object\\nwith lines' end }"

    assert.equal("object\nwith lines", at:type "error(setmetatable({}, meta))")
    assert.matches("^%(error object is a table value%)\nstack", at:type "error {}")
    assert.matches("^%(error object is a nil value%)\nstack", at:type "error()")
    assert.matches("^5\nstack", at:type "error(5)")
    at:type "meta.__tostring = error"
    at:type "object = setmetatable({}, meta)"
    assert.matches("^%(error object is a table value%)\nstack", at:type "error(object)")
  end)

  it("shows an interrupt in one line", function()
    local at <close> = new()

    assert.equal("interrupted!", at:type "error 'interrupted!'")
    assert.equal("interrupted!", at:type "error('interrupted!', 0)")
    assert.matches("^stdin:1: not interrupted!\nstack", at:type "error 'not interrupted!'")
  end)

  it("shows a task's error with the worker's traceback", function()
    local at <close> = new()
    at:type 'pool = require "tidepool".pool(1)'
    local text = at:type "pool:apply(function() error 'in a task' end)"
    at:type "pool:terminate() pool:join()"

    assert.equal(lines("stdin:1: in a task", "worker 1, item 1 of function <stdin:1>:",
      "stack traceback:", "\t[C]: in function 'error'", "\tstdin:1: in function <stdin:1>"),
      (text:gsub("\n\t%[C%]: in %?.*", "")))
  end)

  it("says which global of a task is one of this process only", function()
    local at <close> = new()
    at:type "pool = require 'tidepool'.pool(1)"
    at:type "function twice(x) return 2 * x end"
    local hint = "(twice is a global here; workers have globals of their own)"

    assert.equal(lines("stdin:1: attempt to call a nil value (global 'twice')", hint,
      "worker 1, item 1 of function <stdin:1>:", "stack traceback:",
      "\tstdin:1: in function <stdin:1>"),
      at:type "pool:map(function(x) return 1 + twice(x) end, { 1 })")
    assert.equal('unknown function "twice"\n' .. hint,
      at:type("pool:map('twice', { 1 })"):match "^[^\n]*\n[^\n]*")
    assert.is_nil(at:type("pool:map(function() return 1 + none() end, { 1 })"):find "is a global")
    assert.is_nil(at:type("pool:map(function() error 'twice' end, { 1 })"):find "is a global")
    at:type "pool:terminate() pool:join()"
  end)

  it("shows misuse of a pool without the prompt's own frames", function()
    local at <close> = new()
    local text = at:type 'require "tidepool".pool(0)'

    assert.matches("^bad pool option", text)
    assert.is_nil(text:find("prompt", 1, true))
  end)
end)

describe("session:right", function()
  it("is empty at first, then how long the last chunk ran", function()
    local at <close> = new()

    assert.equal("", at.session:right())
    at:type "require 'tidepool'.sleep(0.02)"
    assert.matches("^%d%d%.%d ms$", at.session:right())
  end)
end)

describe("session:prompt", function()
  it("is _PROMPT as text, or a default", function()
    local at <close> = new()

    assert.equal("> ", at.session:prompt())
    at:type "_PROMPT = 5"
    assert.equal("5", at.session:prompt())
    at:type "n = 0"
    at:type "function count() n = n + 1 return 'p' .. n end"
    at:type "_PROMPT = setmetatable({}, { __tostring = count })"
    assert.equal("p1", at.session:prompt())
    assert.equal("p2", at.session:prompt())
    at:type "_PROMPT = setmetatable({}, { __tostring = error })"
    assert.equal("> ", at.session:prompt())
  end)

  it("is bold in colour", function()
    local at <close> = new { colour = true }

    assert.equal("\27[1m>\27[0m ", at.session:prompt())
  end)
end)

describe("session:pools", function()
  it("lists the running pools of this process, the oldest first", function()
    local at <close> = new()
    local before = #at.session.pools()
    local a <close> = tidepool.pool(1)
    local b <close> = tidepool.pool { serial = true }

    assert.same({ a, b }, { table.unpack(at.session:pools(), before + 1) })
    a:close()
    a:join()
    assert.same({ b }, { table.unpack(at.session:pools(), before + 1) })
  end)
end)

describe("p", function()
  it("is a global of the prompt that shows values prettily", function()
    local at <close> = new()
    local shown
    local print = print
    _G.print = function(text) shown = text end
    at:type "p({ 1, 'two' }, nil)"
    _G.print = print

    assert.equal('{1, "two"}\tnil', shown)
  end)

  it("does not take the place of a user's own", function()
    rawset(_G, "p", "mine")
    local at <close> = new()

    assert.equal('"mine"', at:type "p")
  end)
end)

describe("map at the prompt", function()
  local at, new_progress, reports
  before_each(function()
    at, new_progress, reports = new(), progress.new, {}
    progress.new = function()
      return function(done, total) reports[#reports + 1] = done .. "/" .. tostring(total) end
    end
  end)
  after_each(function()
    progress.new = new_progress
    at:__close()
  end)

  local function run(call)
    local workers <close> = tidepool.pool(1)
    call(workers)
    return table.concat(reports, " ")
  end

  it("reports its progress without being told", function()
    assert.equal("1/2 2/2", run(function(workers)
      workers:map(math.abs, { 1, 2 }, 1)
    end))
  end)

  it("does as it is told", function()
    assert.equal("", run(function(workers)
      workers:map(math.abs, { 1, 2 }, { progress = false })
    end))
    local own = 0
    assert.equal("", run(function(workers)
      workers:map(math.abs, { 1, 2 }, { progress = function() own = own + 1 end, chunksize = 1 })
    end))
    assert.equal(2, own)
  end)

  it("leaves calls that do not wait alone", function()
    assert.equal("", run(function(workers)
      workers:map_async(math.abs, { 1 }):get()
      for i in workers:imap(math.abs, { 1 }) do assert.equal(1, i) end
    end))
  end)
end)

describe("the progress line", function()
  it("goes away with the error that ends a call", function()
    local out, err = helper.run [[
      require "tidepool"
      local progress = require "tidepool.progress"
      local session = require "tidepool.prompt".session {
        colour = false, width = function() return 40 end,
      }
      io.stdout:setvbuf "no"
      progress.line("always"):draw "working"
      print(session:failure "x:1: interrupted!")
      progress.line("always"):draw(("long "):rep(20))
      session:started()
      session:finished()
    ]]

    assert.equal("interrupted!\n", out)
    assert.equal("\rworking\27[K\r\27[K\r" .. ("long "):rep(20):sub(1, 39) .. "\27[K\r\27[K", err)
  end)
end)

describe("the modules of the prompt", function()
  it("go on when Lua's own names are taken by the user's variables", function()
    local out, err = helper.run [[
      require "tidepool"
      local G, write = _G, print
      local session = require "tidepool.prompt".session {
        colour = true, width = function() return 40 end,
        write_file = function() return true end,
      }
      local chunks = {}
      for i, text in ipairs { "{ {}, x, 1, 's' }", "\\help Pool", "\\jobs", "\\save! x", "help",
        "\\reload nothing", "error 'x'" } do
        chunks[i] = text
      end
      for name in pairs(G) do
        if name ~= "error" and name ~= "help" then G[name] = false end
      end
      for i = 1, #chunks do
        local chunk = session:load(chunks[i])
        session:started()
        session:finished()
        if chunks[i] ~= "error 'x'" and chunks[i] ~= "\\reload nothing" then
          session:results(chunk())
        end
        session:failure "an error"
        session:entered(chunks[i], true)
        session:complete(chunks[i], 3)
        session:prompt()
        session:right()
        session:pools()
      end
      write "done"
    ]]

    assert.equal("done\n", out .. err)
  end)

  it("are not loaded before there is one", function()
    local out = helper.run [[
      local pool <close> = require "tidepool".pool(1)
      pool:map(math.abs, { 1 })
      for _, name in ipairs { "commands", "complete", "globals", "help", "manual", "meta",
        "pretty", "progress", "prompt" } do
        assert(package.preload["tidepool." .. name], name)
        print(name, package.loaded["tidepool." .. name])
      end
    ]]

    assert.equal("commands\tnil\ncomplete\tnil\nglobals\tnil\nhelp\tnil\nmanual\tnil\n" ..
      "meta\tnil\npretty\tnil\nprogress\tnil\nprompt\tnil\n", out)
  end)
end)
