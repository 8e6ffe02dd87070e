-- meta_spec.lua - lua/tidepool/meta.lua says what the program has, no less and no more.

local helper = require "spec.helper"
local options = require "tidepool.options"
local tidepool = require "tidepool"

---- meta.lua -------------------------------------------------------------------------

---One line of a function, class or field; `doc` are the comment lines above it.
local function read_line(meta, line, doc)
  local class, parent = line:match "^%-%-%-@class ([%w_.]+):? ?([%w_.]*)"
  local field = line:match "^%-%-%-@field ([%w_]+)"
  local owner, name, parameters = line:match "^function (%w+)[.:]([%w_]+)%((.-)%)"
  local variable = line:match "^local (%w+) = {}"
  if class then
    meta.last = { names = {}, functions = {}, parent = parent }
    meta.classes[class] = meta.last
  elseif field then
    meta.last.names[field] = true
  elseif variable then
    meta.variables[variable] = meta.last
  elseif owner then
    local of = meta.variables[owner]
    of.names[name] = true
    of.functions[#of.functions + 1] = { name = name, parameters = parameters, doc = doc }
  end
end

local function read_meta(text)
  local meta, doc = { classes = {}, variables = {} }, {}
  for line in text:gmatch "([^\n]*)\n" do
    read_line(meta, line, doc)
    if line:find "^%-%-%-" then doc[#doc + 1] = line else doc = {} end
  end
  return meta
end

local text = assert(helper.slurp "lua/tidepool/meta.lua")
local meta = read_meta(text)

---- names ----------------------------------------------------------------------------

local function annotated(class)
  local names = {}
  while class and class ~= "" do
    for name in pairs(meta.classes[class].names) do names[name] = true end
    class = meta.classes[class].parent
  end
  return helper.names(names)
end

local function methods(value) return helper.names(debug.getmetatable(value).__index) end

---- options --------------------------------------------------------------------------

local WRONG = coroutine.create(print) -- no option takes it

local function refusal(fn, ...)
  local ok, message = pcall(fn, ...)
  assert(not ok, "a coroutine was taken for an option")
  return message
end

---The names of a set that are not refused as unknown, or as not in this version.
local function accepted(names, try)
  local result = {}
  for name in pairs(names) do
    local message = refusal(try, { [name] = WRONG })
    if not message:find "unknown" and not message:find "left out" then result[name] = true end
  end
  return helper.names(result)
end

local function upvalue(fn, wanted)
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if name == wanted then return value end
  end
  error("no upvalue " .. wanted)
end

---Option names as C lists them: {"name", OPTION_...
local function names_in(path)
  local names = {}
  for name in assert(helper.slurp(path)):gmatch '{"([%w_]+)",%s*OPTION_' do names[name] = true end
  assert(next(names), "no options in " .. path)
  return names
end

local function both(a, b)
  local all = {}
  for name in pairs(a) do all[name] = true end
  for name in b:gmatch "%S+" do all[name] = true end
  return all
end

---- specs ----------------------------------------------------------------------------

describe("lua/tidepool/meta.lua", function()
  local pool
  setup(function() pool = tidepool.pool(1) end)
  teardown(function()
    pool:terminate()
    pool:join()
  end)

  it("is Lua", function() assert(load(text, "@meta.lua")) end)

  it("says of every function what it does and what its parameters are", function()
    local count = 0
    for _, class in pairs(meta.classes) do
      for _, f in ipairs(class.functions) do
        local given = {}
        for _, line in ipairs(f.doc) do given[#given + 1] = line:match "^%-%-%-@param ([%w_.]+)" end
        assert.matches("^%-%-%-[^@]", f.doc[1] or "", f.name .. " is not described")
        assert.equal(f.parameters, table.concat(given, ", "), f.name)
        count = count + 1
      end
    end
    assert.is_true(count > 40)
  end)

  it("has the names of the module", function()
    local names = pool:apply(function()
      local list = {}
      for name in pairs(tidepool) do list[name] = true end
      return list
    end)

    assert.equal(helper.names(names), annotated "tidepool")
  end)

  it("has the fields of what tells where one is", function()
    local worker, task = pool:apply(function() return tidepool.worker, tidepool.task() end)

    assert.equal(helper.names(worker), annotated "tidepool.WorkerInfo")
    assert.equal(helper.names(task), annotated "tidepool.TaskInfo")
    assert.is_string(tidepool.versions.openssl)
    assert.equal(helper.names(tidepool.versions), annotated "tidepool.Versions")
  end)

  it("has the methods of a pool and of results", function()
    assert.equal(methods(pool), annotated "tidepool.Pool")
    assert.equal(methods(pool:map_async(math.abs, {})), annotated "tidepool.AsyncResult")
    assert.equal(methods((pool:imap(math.abs, {}))), annotated "tidepool.ResultIterator")
  end)

  it("has the fields of columns and errors", function()
    local column = pool:map(function(how)
      if how == "error" then error "raised" end
      if how == "exit" then os.exit(3) end
      os.execute("kill -9 " .. tidepool.getpid())
    end, { "error", "exit", "kill" }, { on_error = "keep" })
    local fields = {}
    for _, err in pairs(column.errors) do
      for name in pairs(err) do fields[name] = true end
    end

    assert.equal(helper.names(column), annotated "tidepool.Column")
    assert.equal(helper.names(fields), annotated "tidepool.Error")
  end)

  it("has the names of codec, digest and walk", function()
    assert.equal(helper.names(tidepool.codec), annotated "tidepool.Codec")
    assert.equal(helper.names(tidepool.digest), annotated "tidepool.Digests")
    assert.equal(methods(tidepool.digest()), annotated "tidepool.Digest")
    assert.equal(methods(tidepool.files "."), annotated "tidepool.Walker")
    assert.equal(methods(tidepool.walk "."), annotated "tidepool.Walker")
  end)

  local function check_options(class, known, try)
    local names = annotated(class)
    assert.equal(accepted(both(known, names), try), names)
  end

  it("has the options of a pool", function()
    check_options("tidepool.PoolOptions", upvalue(options.of_pool, "POOL"), tidepool.pool)
  end)

  it("has the options of a call", function()
    check_options("tidepool.CallOptions", upvalue(options.of_call, "CALL"), function(opts)
      return pool:map_async(math.abs, {}, opts)
    end)
  end)

  it("has the options of walk and files", function()
    local known = names_in "host/lua_walk.c"
    check_options("tidepool.WalkOptions", known, function(o) return tidepool.walk(".", o) end)
    check_options("tidepool.FilesOptions", known, function(o) return tidepool.files(".", o) end)
  end)

  it("has the options of the codec", function()
    local known = names_in "host/lua_codec.c"
    known.null = nil -- takes any value, even a coroutine
    assert.equal(annotated "tidepool.CodecOptions",
      helper.names(both({ null = true }, accepted(known, function(opts)
        return tidepool.codec.decode("\1", 1, opts)
      end))))
    assert.equal(WRONG, (tidepool.codec.decode("\xf6", 1, { null = WRONG })))
  end)
end)
