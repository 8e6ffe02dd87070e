-- manual_spec.lua - the manual pages and the completions have what the program has, no less and no
-- more.

local helper = require "spec.helper"
local tidepool = require "tidepool"

---What a shell line prints, messages too, and whether it went well.
local function sh(line)
  local pipe = assert(io.popen("{ " .. line .. "\n} 2>&1"))
  local text = pipe:read "a"
  return text, pipe:close() == true
end

---- the pages ------------------------------------------------------------------------

---The names that a line of a list begins with: `.It Va a , b`, but `.It Fl e Ar stat`.
local function add_names(set, macro, rest)
  if macro == "Fl" then
    set["-" .. (rest:match "^%S+" or "")] = true
  elseif macro == "Fn" or macro == "Ic" then
    set[rest:match "^%S+":gsub("\\&", ""):gsub("\\e", "\\")] = true
  else
    for name in rest:gmatch "[^%s,]+" do set[name] = true end
  end
end

---Title of a section -> macro -> the names in its lists.
local function read_page(path)
  local page, section = { text = assert(helper.slurp(path)) }, nil
  for line in page.text:gmatch "([^\n]*)\n" do
    local title = line:match "^%.S[hs] (.*)"
    if title then
      section = setmetatable({}, { __index = function(t, macro)
        t[macro] = {}
        return t[macro]
      end })
      page[title] = section
    end
    local macro, rest = line:match "^%.It (%u%l) ?(.*)"
    if macro then add_names(section[macro], macro, rest) end
  end
  return page
end

local program, module = read_page "host/tidepool.1", read_page "host/tidepool.3"

---The functions and fields of a section, those that match a pattern.
local function names_of(section, pattern)
  local set = {}
  for _, macro in ipairs { "Fn", "Va" } do
    for name in pairs(module[section][macro]) do
      local found = name:match(pattern)
      if found then set[found] = true end
    end
  end
  return helper.names(set)
end

---- the annotations, which spec/meta_spec.lua compares with the program ---------------

local meta = assert(helper.slurp "lua/tidepool/meta.lua")

---What a pattern finds in the blocks that begin so.
local function annotated(pattern, ...)
  local set = {}
  for _, head in ipairs { ... } do
    local block = meta:match("\n%-%-%-@" .. head:gsub("%.", "%%.") .. "%f[^%w_.].-\n\n")
    for name in block:gmatch(pattern) do set[name] = true end
  end
  return helper.names(set)
end

local function fields(...) return annotated("\n%-%-%-@field ([%w_]+)", ...) end

---- the program ----------------------------------------------------------------------

local bin = os.getenv "TIDEPOOL_BIN" or "./tidepool"

local function read_options()
  local set = {}
  for option in sh(bin .. " --help"):gmatch "\n  (%-%S*)" do set[option] = true end
  return set
end

local options = read_options()
local words = {}
for option in pairs(options) do
  if option:find "%w" then words[option] = true end
end

local function methods(object) return helper.names(debug.getmetatable(object).__index) end

---- specs ----------------------------------------------------------------------------

describe("the manual pages", function()
  for _, path in ipairs { "host/tidepool.1", "host/tidepool.3" } do
    it("are free of errors for mandoc: " .. path, function()
      if not sh "command -v mandoc":find "%S" then return pending "mandoc is not installed" end
      assert.equal("", (sh("mandoc -Tlint -Wwarning " .. path)))
    end)
  end
end)

describe("tidepool(1)", function()
  it("has the options of --help", function()
    assert.equal(helper.names(options), helper.names(program.DESCRIPTION.Fl))
  end)

  it("has the commands of the prompt", function()
    local session = require "tidepool.prompt".session { colour = false }
    local _, commands = session:complete("\\", 1)

    assert.is_true(#commands > 0)
    assert.equal(table.concat(commands, " "), helper.names(program["THE PROMPT"].Ic))
  end)

  it("has the variables of the environment that are asked for", function()
    local count = 0
    for name in sh "cat host/*.c lua/tidepool/*.lua":gmatch 'getenv[%s(]*"([%u%d_]+)"' do
      assert.is_true(program.ENVIRONMENT.Ev[name], name)
      count = count + 1
    end
    assert.is_true(count > 0)
  end)
end)

describe("tidepool(3)", function()
  local pool
  setup(function() pool = tidepool.pool(1) end)
  teardown(function()
    pool:terminate()
    pool:join()
  end)

  it("has the names of the module", function()
    local names = { worker = true }
    for name in pairs(tidepool) do names[name] = true end

    assert.equal(helper.names(names), names_of("THE MODULE", "^tidepool%.(.+)"))
  end)

  it("has the methods of pools and results", function()
    assert.equal(methods(pool), names_of("Calls", "^pool:(.+)"))
    assert.equal(methods(pool:map_async(math.abs, {})), names_of("RESULTS", "^result:(.+)"))
    assert.equal(methods((pool:imap(math.abs, {}))), names_of("RESULTS", "^iterator:(.+)"))
  end)

  it("has the options of pools and calls", function()
    assert.equal(fields "class tidepool.PoolOptions", names_of("Options of a pool", ".+"))
    assert.equal(fields "class tidepool.CallOptions", names_of("Options of a call", ".+"))
  end)

  it("has the fields and kinds of errors", function()
    assert.equal(fields "class tidepool.Error", names_of("ERROR OBJECTS", ".+"))
    assert.equal(annotated('\n%-%-%-| "([%w_]+)"', "alias tidepool.ErrorKind"),
      helper.names(module["ERROR OBJECTS"].Cm))
  end)

  it("has the names and options of the codec", function()
    assert.equal(helper.names(tidepool.codec), names_of("CODEC", "^tidepool%.codec%.(.+)"))
    assert.equal(fields "class tidepool.CodecOptions", names_of("CODEC", "^[%w_]+$"))
  end)

  it("has the names of digests", function()
    assert.equal(helper.names(tidepool.digest), names_of("DIGESTS", "^tidepool%.digest%.(.+)"))
    assert.equal(methods(tidepool.digest()), names_of("DIGESTS", "^digest:(.+)"))
  end)

  it("has the methods and options of walks", function()
    assert.equal(methods(tidepool.walk "."), names_of("TREES", "^walker:(.+)"))
    assert.equal(fields("class tidepool.TreeOptions", "class tidepool.WalkOptions",
      "class tidepool.FilesOptions"), names_of("TREES", "^[%w_]+$"))
  end)

  it("has examples that print what they say", function()
    local count = 0
    for text in module.text:gmatch "\n%.Bd %-literal[^\n]*\n(.-)%.Ed\n" do
      local wanted = {}
      for line in text:gmatch "%-%-> ([^\n]*)" do wanted[#wanted + 1] = line .. "\n" end
      local out, err, status = helper.run(text)

      assert.same({ "", 0 }, { err, status })
      if #wanted > 0 then assert.equal(table.concat(wanted), (out:gsub("\t", " "))) end
      count = count + 1
    end
    assert.is_true(count >= 4)
  end)
end)

describe("the completion of bash", function()
  local folder

  setup(function()
    folder = sh "mktemp -d":match "%C+"
    local _, ok = sh("cp host/tidepool.bash " .. folder .. "; program=$(readlink -f " .. bin ..
      "); cd " .. folder .. " && mkdir -p bin scripts here/sub && " ..
      "ln -s $program bin/tidepool && touch here/script.lua here/text scripts/primes.lua")
    assert(ok)
  end)
  teardown(function() os.execute("rm -r " .. folder) end)

  ---What completes the last of some words.
  local function complete(...)
    local text = sh("cd " .. folder .. [[/here && bash --norc -c '
      . ../tidepool.bash
      export PATH=../bin:$PATH TIDEPOOL_SCRIPTS=../scripts
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
      _tidepool "$1" "${COMP_WORDS[COMP_CWORD]}"
      printf "%s\n" "${COMPREPLY[@]}" | sort -u | paste -sd " "' bash tidepool ]] ..
      table.concat({ ... }, " "))
    return (text:gsub("\n$", ""))
  end

  it("gives the options", function()
    local given = {}
    for option in complete "-":gmatch "%S+" do given[option] = true end

    assert.equal(helper.names(words), helper.names(given))
    assert.equal("--help", complete "--h")
    assert.equal("--version", complete("-E", "-e", "x=1", "--vers"))
  end)

  it("gives Lua files and folders for the script", function()
    assert.equal("script.lua sub", complete "''")
    assert.equal("script.lua", complete("-W", "sc"))
    assert.equal("sub", complete("--", "su"))
  end)

  it("gives the job scripts after -m", function()
    assert.equal("primes", complete("-m", "pr"))
    assert.equal("", complete("-m", "other"))
  end)

  it("gives folders after -I, and goes on behind them", function()
    assert.equal("sub", complete("-I", "s"))
    assert.equal("script.lua sub", complete("-I", "sub", "s"))
  end)

  it("gives Lua files alone after --check", function()
    assert.equal("script.lua sub", complete("--check", "script.lua", "''"))
  end)

  it("gives nothing for texts, names and numbers", function()
    for _, option in ipairs { "-e", "-l", "-j" } do
      assert.equal("", complete(option, "s"))
    end
  end)

  it("leaves arguments to the shell", function()
    assert.equal("", complete("script.lua", "-"))
    assert.equal("", complete("-m", "module", "s"))
    assert.equal("", complete("-", "s"))
  end)
end)

describe("the completion of zsh", function()
  it("is free of errors for zsh", function()
    if not sh "command -v zsh":find "%S" then return pending "zsh is not installed" end
    assert.same({ "", true }, { sh "zsh -n host/tidepool.zsh" })
  end)

  it("has the options", function()
    local given = {}
    local text = assert(helper.slurp "host/tidepool.zsh")
    for option in text:gmatch "\n  '[^'%[]-(%-%-?%w[%w-]*)%+?%[" do
      given[option] = true
    end
    assert.equal(helper.names(words), helper.names(given))
  end)
end)
