-- complete_spec.lua - what Tab finds at the prompt.

local new = require "spec.support.session".new

describe("session:complete", function()
  local at, session
  before_each(function()
    at = new()
    session = at.session
  end)
  after_each(function() at:__close() end)

  ---The text with its last part replaced, once for each word.
  local function words(text)
    local first, list = session:complete(text, #text)
    for i, word in ipairs(list) do list[i] = text:sub(1, first - 1) .. word end
    return table.concat(list, "|")
  end

  it("finds globals and keywords", function()
    assert.equal("string", words "stri")
    assert.equal("x = tonumber|x = tostring", words "x = to")
    assert.equal("repeat|require|return", words "re")
    at:type "my_global = 1"
    assert.equal("f(my_global", words "f(my_")
  end)

  it("replaces what is before the cursor, whatever is behind it", function()
    local first, list = session:complete("print(string.re, x)", 15)

    assert.equal(14, first)
    assert.same({ "rep", "reverse" }, list)
  end)

  it("finds fields behind a dot and callable ones behind a colon", function()
    at:type "t = { one = 1, once = print, ['no name'] = 1, ['end'] = 1, sub = { x = 1 } }"

    assert.equal("t.once|t.one", words "t.on")
    assert.equal("t:once", words "t:on")
    assert.equal("t.once|t.one|t.sub", words "t.")
    assert.equal("t.sub.x", words "t.sub.")
    assert.equal("a..t.sub", words "a..t.s")
    assert.equal("t .once|t .one", words "t .on")
  end)

  it("follows indices that are written out", function()
    at:type "t = { { name = 1 }, ['a b'] = { field = 1 } }"

    assert.equal("t[1].name", words "t[1].n")
    assert.equal('t["a b"].field', words 't["a b"].f')
    assert.equal('x[1] + t["a b"].field', words 'x[1] + t["a b"].f')
    assert.equal("t[string.reverse", words "t[string.rev")
  end)

  it("follows tables in __index", function()
    at:type "class = { method = print } object = setmetatable({}, { __index = class })"

    assert.equal("object:method", words "object:me")
  end)

  it("knows the methods of strings, files and pools", function()
    at:type "s = 'text' workers = require 'tidepool'.pool { serial = true }"

    assert.equal("s:rep|s:reverse", words "s:re")
    assert.equal("('x'):rep|('x'):reverse", words "('x'):re")
    assert.equal("io.stdout:write", words "io.stdout:w")
    assert.equal("workers:imap|workers:imap_unordered", words "workers:im")
    at:type "workers:terminate() workers:join()"
  end)

  it("calls nothing", function()
    at:type "called = false function touch() called = true return {} end"
    at:type "t = setmetatable({}, { __index = touch, __pairs = touch, __len = touch })"

    assert.equal("", words "t.x")
    assert.equal("", words "t.x.y")
    assert.equal("", words "touch().x")
    assert.equal("false", at:type "called")
  end)

  it("finds nothing in numbers and unknown names", function()
    assert.equal("", words "12")
    assert.equal("", words "1.")
    assert.equal("", words "nothing.here")
    assert.equal("", words "math.pi.")
  end)

  it("ends in a loop of __index", function()
    at:type "loop = {} setmetatable(loop, { __index = loop })"

    assert.equal("", words "loop.x")
  end)

  it("finds modules for require", function()
    package.loaded["spec.some.module"] = true
    assert.equal('require "spec.some.module', words 'require "spec.some')
    assert.equal("require('tidepool", words "require('tidep")
    package.loaded["spec.some.module"] = nil
  end)

  it("finds commands and what belongs behind them", function()
    assert.equal([[\help|\jobs|\quit|\reload|\save|\save!|\time]], words "\\")
    assert.equal([[\reload]], words "\\r")
    assert.equal([[\reload string]], words "\\reload stri")
    assert.equal([[\time string.rep|\time string.reverse]], words "\\time string.re")
    assert.equal([[\help string.rep|\help string.reverse]], words "\\help string.re")
    assert.equal([[\help Pool:map|\help Pool:map_async]], words "\\help Pool:map")
    assert.equal("", words "\\save str")
  end)
end)
