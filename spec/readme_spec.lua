-- readme_spec.lua - every example of README.md does what is printed below it.

local helper = require "spec.helper"
local terminal = require "spec.support.terminal"

---Blocks of a Markdown text in order: { kind =, text =, line = }.
local function read_blocks(markdown)
  local blocks, open, line = {}, nil, 0
  for text in markdown:gmatch "([^\n]*)\n" do
    line = line + 1
    local fence = text:match "^```(.*)$"
    if open and fence == "" then
      blocks[#blocks + 1], open = open, nil
    elseif open then
      open.text = open.text .. text .. "\n"
    elseif fence then
      open = { kind = fence, text = "", line = line }
    end
  end
  assert(not open, "a block is not closed")
  return blocks
end

local function absolute(path, folder)
  if path:find "^/" or not path:find "/" then return path end
  return folder .. "/" .. path
end

local function first_line(command)
  local pipe = assert(io.popen(command))
  local line = pipe:read "l"
  pipe:close()
  return line
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

---What differs from run to run: who ran it, and the patch level of Lua.
local function normal(text)
  return (text:gsub("worker %d+", "worker N"):gsub("pid %d+", "pid N")
    :gsub("Lua 5%.4%.%d+ .- PUC%-Rio", "Lua 5.4"))
end

local here = first_line "pwd"
local program = absolute(os.getenv "TIDEPOOL_BIN" or "./tidepool", here)
local readme = assert(helper.slurp "README.md")
local blocks = read_blocks(readme)

local Folder = {}
Folder.__index = Folder

function Folder:write(name, text)
  local file = assert(io.open(self.path .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

---All that a shell command prints, run there.
function Folder:run(command)
  self:write("command", command .. "\n")
  local pipe = assert(io.popen(
    ("cd %s && LUA_CPATH=%s TIDEPOOL_SCRIPTS=%s timeout -k 1 60 sh command 2>&1"):format(
      self.path, quote(here .. "/?.so;;"), quote(here .. "/scripts"))))
  local text = pipe:read "a"
  pipe:close()
  return text
end

function Folder:__close() os.execute("rm -r " .. self.path) end

---A new folder that has ./tidepool.
local function new_folder()
  local folder = setmetatable({ path = assert(first_line "mktemp -d") }, Folder)
  assert(os.execute(("ln -s %s %s/tidepool"):format(quote(program), folder.path)))
  return folder
end

---The file that a block says it is, or nil.
local function file_name(block)
  return block.kind == "lua" and block.text:match "^%-%- (%w+%.lua)\n" or nil
end

---The Lua block at `at`, run beside the files that blocks above it are.
local function run_lua(at)
  local folder <close> = new_folder()
  for i = 1, at - 1 do
    local name = file_name(blocks[i])
    if name then folder:write(name, blocks[i].text) end
  end
  local name = file_name(blocks[at]) or "example.lua"
  folder:write(name, blocks[at].text)
  return folder:run(quote(absolute(helper.interpreter(), here)) .. " " .. name)
end

---Commands of a console block: { command, what is typed, what it prints }.
local function read_console(text)
  local list = {}
  for line in text:gmatch "([^\n]*)\n" do
    local command = line:match "^%$ (.*)"
    local last = list[#list]
    if command then
      list[#list + 1] = { command = command, input = "", output = "" }
    else
      local typed = line:match "^>>? (.*)"
      if typed then last.input = last.input .. typed .. "\n" end
      last.output = last.output .. line .. "\n"
    end
  end
  return list
end

local function run_console(entry)
  local folder <close> = new_folder()
  folder:write("input", entry.input)
  return (folder:run(entry.command .. " <input"):gsub("> \n$", ""))
end

---What a terminal shows when the lines with a prompt are typed, and Ctrl-C below a line. The
---times at the right are left out.
local function run_terminal(text)
  local t <close> = terminal({ program }, { env = { NO_COLOR = "1" } })
  t:await_prompt()
  for typed, below in text:gmatch "\n> ([^\n]*)()" do
    local begun = text:match("^(\n[^\n]*\n)%^C", below)
    if begun then
      t:type(typed .. "\r")
      t:await(begun)
      t:press "\3"
    else
      t:run(typed)
    end
  end
  local shown = t.screen:text() .. "\n"
  t:type "\4"
  assert.equal(0, t:finish())
  return shown:gsub(" +%d+%.?%d* m?s\n", "\n"):gsub("> *\n$", "")
end

describe("README.md", function()
  local examples = 0
  for i, block in ipairs(blocks) do
    local after = blocks[i + 1]
    if block.kind == "lua" and after and after.kind == "text" then
      examples = examples + 1
      it("prints what it says it prints, line " .. block.line, function()
        assert.equal(normal(after.text), normal(run_lua(i)))
      end)
    elseif block.kind == "lua" then
      it("has a file that a later example loads, line " .. block.line, function()
        assert.is_string(file_name(block))
        assert(load(block.text, "@README.md"))
      end)
    elseif block.kind == "terminal" then
      examples = examples + 1
      it("shows a session at the prompt, line " .. block.line, function()
        assert.equal(normal(block.text:gsub("^%$[^\n]*\n", "")), normal(run_terminal(block.text)))
      end)
    elseif block.kind == "console" then
      for _, entry in ipairs(read_console(block.text)) do
        examples = examples + 1
        it("shows what is printed by " .. entry.command, function()
          assert.equal(normal(entry.output), normal(run_console(entry)))
        end)
      end
    end
  end

  it("has examples, the first of them at the top", function()
    assert.is_true(examples >= 7)
    assert.equal("lua", blocks[1].kind)
    assert.is_true(blocks[1].line <= 12)
  end)

  it("names files that are there", function()
    for path in readme:gmatch "%]%(([%w_./]+)%)" do
      assert.is_true(helper.exists(path), path .. " is missing")
    end
  end)

  it("names the files of one task's way", function()
    for stem in readme:gmatch "\n (%w+_?%w*%.[cl]u?a?) " do
      local found = helper.exists("host/" .. stem) or helper.exists("lua/tidepool/" .. stem)
      assert.is_true(found, stem .. " is missing")
    end
  end)
end)
