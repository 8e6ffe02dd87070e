-- commands_spec.lua - lines at the prompt that begin with a backslash.

local helper = require "spec.helper"
local new = require "spec.support.session".new

describe("\\time", function()
  it("shows the values and the time", function()
    local at <close> = new()

    assert.matches("^2\n%d+%.%d ms, of it %d+%.%d ms in this process$", at:type "\\time 1 + 1")
    assert.matches("^%d+%.%d ms, of it %d+%.%d ms in this process$", at:type "\\time x = 1")
    assert.equal("2", at:type "_")
  end)

  it("takes what Lua text can be", function()
    local at <close> = new()

    assert.equal("stdin:1: syntax error near 'x'", at:type "\\time x x")
    assert.equal("stdin:1: oops\nstack traceback:\n\t[C]: in function 'error'\n" ..
      "\tstdin:1: in main chunk", at:type "\\time error 'oops'")
  end)
end)

describe("\\jobs", function()
  it("shows pools, their workers and unfinished calls", function()
    local gate <close> = helper.gate()
    local at <close> = new()
    _G.path = gate.path
    assert.equal("no pools", at:type "\\jobs")
    at:type 'pool = require "tidepool".pool { processes = 2, name = "two" }'
    assert.equal('pool "two": open, 0 of 2 workers busy', at:type "\\jobs")
    at:type "pass = require 'spec.helper'.pass"
    at:type "r = pool:map_async(pass, { path, path, path }, 1)"
    at:type "i = pool:imap(math.abs, function() end)"

    local expected = 'pool "two": open, 2 of 2 workers busy\n' ..
      "  map of spec.helper.pass: 0 of 3 items done"
    helper.eventually(function() return at:type("\\jobs"):find(expected, 1, true) == 1 end)
    gate:open()
    at:type "r:get()"
    at:type "i = nil collectgarbage()"
    assert.equal('pool "two": open, 0 of 2 workers busy', at:type "\\jobs")
    at:type "pool:close()"
    assert.equal('pool "two": closed, 0 of 2 workers busy', at:type "\\jobs")
    at:type "pool:join()"
    assert.equal("no pools", at:type "\\jobs")
  end)
end)

describe("\\reload", function()
  local name, path = "spec_reloaded", package.path
  local file
  before_each(function()
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    package.path = folder .. "/?.lua;" .. path
    file = { path = folder .. "/" .. name .. ".lua", folder = folder }
  end)
  after_each(function()
    os.execute("rm -r " .. file.folder)
    package.path, package.loaded[name] = path, nil
  end)

  local function write(text)
    local f <close> = assert(io.open(file.path, "w"))
    f:write(text)
  end

  it("puts the new content into the old table", function()
    local at <close> = new()
    write "return { f = function() return 'old' end, gone = 1 }"
    local module = require(name)
    write "return setmetatable({ f = function() return 'new' end }, { __name = 'New' })"

    assert.equal(("reloaded %s (%s)"):format(name, file.path), at:type("\\reload " .. name))
    assert.equal("new", module.f())
    assert.is_nil(module.gone)
    assert.equal("New", getmetatable(module).__name)
    assert.equal(module, require(name))
  end)

  it("keeps the old module when the new one fails", function()
    local at <close> = new()
    write "return { old = true }"
    local module = require(name)
    write "error 'broken'"

    assert.equal(file.path .. ":1: broken", at:type("\\reload " .. name))
    assert.equal(module, package.loaded[name])
    assert.is_true(module.old)
    write "return {"
    assert.matches("unexpected symbol near <eof>", at:type("\\reload " .. name))
    assert.equal(module, package.loaded[name])
  end)

  it("takes a module that is no table, or not loaded yet", function()
    local at <close> = new()
    write "return 1"
    assert.matches("^reloaded", at:type("\\reload " .. name))
    write "return 2"
    assert.matches("^reloaded", at:type("\\reload " .. name))
    assert.equal(2, require(name))
  end)

  it("says that running pools keep the old one", function()
    local at <close> = new()
    local pool <close> = require "tidepool".pool { serial = true }
    write "return 1"

    assert.equal(("reloaded %s (%s); running pools keep what they have"):format(name, file.path),
      at:type("\\reload " .. name))
    pool:close()
  end)

  it("leaves the program's own parts alone", function()
    local at <close> = new()

    assert.equal('cannot reload "tidepool": it is a part of the program',
      at:type "\\reload tidepool")
    assert.equal('cannot reload "tidepool.pool": it is a part of the program',
      at:type "\\reload tidepool.pool")
  end)
end)

describe("\\save", function()
  it("writes what ran without an error as a program", function()
    local at <close> = new()
    at:type "x = { 1, 2 }"
    at:type "error 'not this'"
    at:type "x x"
    at:type "#x + 1"
    at:type "= x[1];"
    at:type "return x"
    at:type "local y = 1"
    at:type "-- a comment"
    at:type "(type or error)('')"
    at:type "return"
    at:type "\\jobs"
    at:type "function f()\n  return x\nend"

    assert.equal("9 chunks saved to somewhere.lua", at:type "\\save somewhere.lua")
    local text = at.files["somewhere.lua"]
    assert.equal(table.concat({
      "x = { 1, 2 }", "_ = #x + 1", "_ =  x[1];", "_ =  x", "do", "local y = 1", "end",
      "-- a comment", ";(type or error)('')", "-- return", "function f()", "  return x", "end", "",
    }, "\n"), text)
    assert.is_function(load(text))
  end)

  it("refuses to replace a file, unless it is told to", function()
    local at <close> = new()
    local file <close> = helper.file "old"
    at:type "x = 1"

    assert.equal(("%s exists; \\save! %s replaces it"):format(file.path, file.path),
      at:type("\\save " .. file.path))
    assert.is_nil(at.files[file.path])
    assert.equal("1 chunk saved to " .. file.path, at:type("\\save! " .. file.path))
    assert.equal("x = 1\n", at.files[file.path])
  end)

  it("says why it could not", function()
    local at <close> = new { refuses = true }

    assert.equal("cannot save: x.lua: No space left on device", at:type "\\save! x.lua")
  end)
end)

describe("\\quit", function()
  it("ends the program as os.exit(true, true) does", function()
    local out, _, status = helper.run [[
      require "tidepool"
      local session = require "tidepool.prompt".session {}
      closed = setmetatable({}, { __gc = function() print "closed" end })
      session:load("\\quit")()
    ]]

    assert.equal("closed\n", out)
    assert.equal(0, status)
  end)
end)
