-- hashtree_spec.lua - scripts/hashtree.lua against the coreutils of this machine.

local helper = require "spec.helper"
local progress = require "tidepool.progress"
local tidepool = require "tidepool"

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local hashtree = quote(helper.interpreter()) .. " scripts/hashtree.lua "

---Run a shell line; returns what it printed, its messages and its status. `hashtree` in it is the
---script under test.
local function sh(line)
  local out <close> = helper.file()
  local err <close> = helper.file()
  local script <close> = helper.file("export LC_ALL=C\n" .. line:gsub("%f[%w]hashtree ", function()
    return "timeout -k 1 60 " .. hashtree
  end) .. "\n")
  local _, how, code = os.execute(("sh %s >%s 2>%s </dev/null"):format(script.path, out.path,
    err.path))
  return out:read(), err:read(), how == "signal" and 128 + code or code
end

local Tree = {}
Tree.__index = Tree

function Tree.__close(tree) os.execute("rm -rf " .. tree.path) end

function Tree:write(name, text)
  local file = assert(io.open(self.path .. "/" .. name, "wb"))
  file:write(text)
  file:close()
end

---A folder, gone at the end of the scope, with the files `{name = text}`.
local function tree_of(files)
  local tree = setmetatable({ path = os.tmpname() }, Tree)
  os.remove(tree.path)
  os.execute("mkdir " .. tree.path)
  for name, text in pairs(files or {}) do
    local folder = name:match "^(.*)/"
    if folder then os.execute("mkdir -p " .. quote(tree.path .. "/" .. folder)) end
    tree:write(name, text)
  end
  return tree
end

---Names and contents that a list of sums could get wrong.
local function odd_files()
  return {
    empty = "", ["a"] = "a", ["a-b"] = "1", ["a.b"] = "2", ["ab/c"] = "3", ["ab/c.d"] = "4",
    ["ab.c"] = "5", ["ab0"] = "6", ["new\nline"] = "7", ["back\\slash"] = "8", ["cr\rcr"] = "9",
    ["all\n\\\r\n"] = "10", ["\xff\xfe\x80"] = "11", [("x"):rep(255)] = "12", ["-dash"] = "13",
    ["--"] = "14", [" sp  ace "] = "15", ["q'u\"o"] = "16", ["$(x)*?"] = "17", ["\1\127"] = "18",
    ["-d/-e"] = "19", large = ("0123456789abcdef"):rep(200000), ["z/large"] = ("z"):rep(1 << 20),
  }
end

local function odd_tree()
  local tree = tree_of(odd_files())
  local path = quote(tree.path)
  os.execute("cd " .. path .. " && mkfifo fifo && ln -s . cycle && ln -s none broken && "
    .. "ln -s a link && mkdir none-here && mkdir deep && mkdir deep/er")
  return tree
end

local pipeline = "find %s -type f -print0 | sort -z | xargs -0 -r sha512sum"

---The list that coreutils make of those paths.
local function expected(paths)
  return (sh(pipeline:format(paths)))
end

---Many small files: their list is longer than what fits into a pipe.
local function many_files(n)
  local tree = tree_of()
  for i = 1, n do tree:write(("%s-%05d"):format(("long"):rep(20), i), tostring(i)) end
  return tree
end

local Program = {}
Program.__index = Program

---Start hashtree: its list comes line by line, and its process id is known.
local function start(arguments, err)
  local text = ("sh -c 'echo $$; exec timeout -k 1 60 \"$@\"' sh %s %s 2>%s </dev/null; echo $?")
    :format(hashtree, arguments, err or "/dev/null")
  local pipe = assert(io.popen("export TIDEPOOL_MARK=" .. tostring(pipe_mark) .. "; " .. text))
  return setmetatable({ pipe = pipe, pid = math.tointeger(tonumber(pipe:read "l")) }, Program)
end
