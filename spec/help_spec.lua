-- help_spec.lua - \help and help(): every function has its text.

local helper = require "spec.helper"
local new = require "spec.support.session".new
local tidepool = require "tidepool"
local help = require "tidepool.help"

describe("help", function()
  it("knows every function of Lua", function()
    local index = help.index()
    for _, module in ipairs { "_G", "coroutine", "debug", "io", "math", "os", "package", "string",
      "table", "utf8" } do
      for name, value in pairs(package.loaded[module]) do
        if type(value) == "function" and debug.getinfo(value, "S").what == "C" then
          local full = module == "_G" and name or module .. "." .. name
          assert.is_table(index.of[value], full)
          assert.is_table(index.by_name[full], full)
        end
      end
    end
    for name, value in pairs(debug.getmetatable(io.stdout).__index) do
      assert.equal("file:" .. name, index.of[value].name)
    end
  end)

  it("knows every function of tidepool", function()
    local pool <close> = tidepool.pool { serial = true }
    local index = help.index()
    local function check(owner, names)
      for name, value in pairs(names) do
        if type(value) == "function" then
          assert.is_table(index.of[value], owner .. name)
          assert.is_table(index.by_name[owner .. name], owner .. name)
        end
      end
    end
    local function methods(object) return debug.getmetatable(object).__index end
    check("tidepool.", tidepool)
    check("Codec.", tidepool.codec)
    check("Digests.", tidepool.digest)
    check("Digest:", methods(tidepool.digest()))
    check("Pool:", methods(pool))
    check("AsyncResult:", methods(pool:map_async(math.abs, {})))
    check("ResultIterator:", methods((pool:imap(math.abs, {}))))
    check("Walker:", methods(tidepool.files "."))
    pool:close()
  end)

  it("has a line for all that it names", function()
    for _, entry in ipairs(help.index()) do
      assert.is_true(#entry.doc > 0 or #(entry.list or {}) > 0, entry.name)
    end
  end)
end)

describe("\\help", function()
  it("alone lists the commands", function()
    local at <close> = new()

    assert.matches("^\\help %[name%]    what a function, module or type does\n\\jobs  ",
      at:type "\\help")
  end)

  it("shows signature and text of a function", function()
    local at <close> = new()

    assert.equal("string.rep(s, n [, sep]) -> string\n  n copies of s, with sep between them",
      at:type "\\help string.rep")
    assert.equal("file:flush() -> file\n  write what is buffered", at:type "\\help io.stdout:flush")
    assert.equal("Pool:pollfd()\n  A descriptor that becomes readable when `step` has something " ..
      "to do.\n    returns           integer fd", at:type "\\help Pool:pollfd")
  end)

  it("shows what is in a module or type", function()
    local at <close> = new()
    at:type "tidepool = require 'tidepool'"

    assert.matches("^utf8\n  utf8.char%(%.%.%.%) %-> string\n      code points as UTF%-8\n",
      at:type "\\help utf8")
    assert.matches("\n  tidepool.getpid%(%)\n      The process id.\n", at:type "\\help tidepool")
    assert.matches("\n  Pool:close%(%)\n      No more work; what was accepted runs to its end.\n",
      at:type "\\help Pool")
    assert.matches("\n    maxtasksperchild%? integer items after which",
      (at:type "\\help PoolOptions":gsub(" +", " "):gsub("\n ", "\n    ")))
  end)

  it("finds a method by its bare name", function()
    local at <close> = new()
    local text = at:type "\\help encode"

    assert.matches("^Codec.encode%(value, opts%)\n  A value as bytes.", text)
  end)

  it("says what it does not know", function()
    local at <close> = new()

    assert.equal("no help for nothing", at:type "\\help nothing")
  end)

  it("shows the comment above a function that was typed", function()
    local at <close> = new()
    at:type "-- Another one."
    at:type "x = 1"
    at:type "-- Twice the number.\n-- As a number.\nfunction double(n, ...)\n  return 2 * n\nend"

    assert.equal("double(n, ...)\n  Twice the number.\n  As a number.\n  defined at stdin:3",
      at:type "\\help double")
    at:type "-- Three times."
    at:type "triple = function(n) return 3 * n end"
    assert.equal("triple(n)\n  Three times.\n  defined at stdin:1", at:type "\\help triple")
    at:type "-- Other."
    at:type "function triple(n) return 4 * n end"
    assert.equal("triple(n)\n  Other.\n  defined at stdin:1", at:type "\\help triple")
    at:type "function bare() end"
    assert.equal("bare()\n  defined at stdin:1", at:type "\\help bare")
  end)

  it("shows the comment above a function in a file", function()
    local at <close> = new()
    local file <close> = helper.file [=[
      local m = {}
      -- Adds.
      m.add = function(a, b) return a + b end

      --[[ Subtracts
           b. ]]
      function m.sub(a, b) return a - b end

      function m.bare() end
      return m]=]
    _G.m = dofile(file.path)

    assert.equal(("m.add(a, b)\n  Adds.\n  defined at %s:3"):format(file.path),
      at:type "\\help m.add")
    assert.equal(("m.sub(a, b)\n  Subtracts\n  b.\n  defined at %s:7"):format(file.path),
      at:type "\\help m.sub":gsub(" +b%.", "  b."))
    assert.equal(("m.bare()\n  defined at %s:9"):format(file.path), at:type "\\help m.bare")
    os.remove(file.path)
    assert.equal(("m.add(a, b)\n  defined at %s:3"):format(file.path), at:type "\\help m.add")
  end)
end)

describe("\\help", function()
  it("is what a newcomer gets who types help", function()
    local at <close> = new()
    local text = at:type "\\help"

    assert.equal(text, at:type "help")
    assert.equal(text, at:type "\\help help")
  end)

  it("describes commands, too", function()
    local at <close> = new()

    assert.equal("\\jobs           pools of this process and what they are doing",
      at:type "\\help \\jobs")
    assert.equal(at:type "\\help \\save", at:type "\\help \\save!")
  end)

  it("breaks lines between words", function()
    local at <close> = new { width = 60 }
    local wide <close> = new { width = 200 }

    assert.equal("Pool:pollfd()\n  A descriptor that becomes readable when `step` has\n" ..
      "  something to do.\n    returns           integer fd", at:type "\\help Pool:pollfd")
    assert.matches("\n    processes%?        integer workers, 1 to 65535; default\n" ..
      (" "):rep(22) .. "`cpu_count%(%)`, or what `%-j` said\n", at:type "\\help PoolOptions")
    assert.matches("\n  Mark a table, or a new one: it is a map even when its keys are " ..
      "1%.%.#t%. Raises as `array`%.\n", wide:type "\\help Codec.map")
    for line in at:type("\\help"):gmatch "[^\n]+" do
      assert.is_true(#line < 60 or line:find "^\\" ~= nil, line)
    end
  end)
end)

describe("help()", function()
  local function shown(at, text)
    local out = {}
    local print = print
    _G.print = function(...) out[#out + 1] = table.concat({ ... }, "\t") end
    local err = at:type(text)
    _G.print = print
    return err or table.concat(out, "\n")
  end

  it("is \\help for values", function()
    local at <close> = new()
    at:type "pool = require 'tidepool'.pool { serial = true }"

    assert.equal(at:type "\\help", shown(at, "help()"))
    assert.equal(at:type "\\help string.rep", shown(at, "help(string.rep)"))
    assert.equal(at:type "\\help string.rep", shown(at, "help 'string.rep'"))
    assert.equal(at:type "\\help string", shown(at, "help(string)"))
    assert.equal(at:type "\\help Pool", shown(at, "help(pool)"))
    assert.equal(at:type "\\help Pool:map", shown(at, "help(pool.map)"))
    assert.equal("no help for a number", shown(at, "help(5)"))
    assert.equal("no help for a nil", shown(at, "help(nil)"))
    at:type "pool:terminate() pool:join()"
  end)
end)
