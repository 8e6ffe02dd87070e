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

---The processes, of any parent, that were started with that mark.
local function marked(mark)
  local pipe = assert(io.popen("grep -lsz '^HASHTREE_MARK=" .. mark .. "$' /proc/[0-9]*/environ"))
  local text = pipe:read "a"
  pipe:close()
  return text
end

local Program = {}
Program.__index = Program

---Start hashtree beside this program. Its list is read from `pipe`; the last line is its status.
local function start(arguments, opts)
  opts = opts or {}
  local mark = ("%d-%.9f"):format(tidepool.getpid(), tidepool.now())
  local line = ("%s HASHTREE_MARK=%s timeout -k 1 60 sh -c 'echo $$; exec \"$@\"' sh %s %s 2>%s")
    :format(opts.before or "", mark, hashtree, arguments, opts.err or "/dev/null")
  local input = opts.before and " " or " </dev/null "
  local pipe = assert(io.popen(line .. input .. (opts.after or "") .. "; echo $?"))
  local pid = math.tointeger(tonumber(pipe:read "l"))
  return setmetatable({ pipe = pipe, pid = pid, mark = mark }, Program)
end

function Program:line() return self.pipe:read "L" end

---All that is still to come, and the status.
function Program:rest()
  return self.pipe:read("a"):match "^(.-)(%d+)\n$"
end

---Wait until nothing of the program is left.
function Program:gone()
  helper.eventually(function() return marked(self.mark) == "" end)
end

function Program:__close() self.pipe:close() end

local function has_open(pid, path)
  local pipe = assert(io.popen(("ls -l /proc/%d/fd 2>/dev/null"):format(pid)))
  local text = pipe:read "a"
  pipe:close()
  return text:find(" " .. path .. "\n", 1, true) ~= nil
end

describe("hashtree.lua PATH...", function()
  it("prints what find, sort and sha512sum print, for any number of workers", function()
    local tree <close> = odd_tree()
    local wanted = expected(tree.path)
    assert.is_true(#wanted > 22 * 130)

    for _, n in ipairs { 1, 2, 8 } do
      local out, err, status = sh(("hashtree -j %d %s"):format(n, tree.path))

      assert.equal("", err)
      assert.equal(wanted, out)
      assert.equal(0, status)
    end
  end)

  it("gives an empty file the known sum", function()
    local tree <close> = tree_of { empty = "" }

    assert.equal("cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0"
      .. "ff8318d2877eec2f63b931bd47417a81a538327af927da3e  " .. tree.path .. "/empty\n",
      (sh("hashtree " .. tree.path)))
  end)

  it("prints nothing for an empty tree", function()
    local tree <close> = tree_of()

    local out, err, status = sh("hashtree " .. tree.path)

    assert.same({ "", "", 0 }, { out, err, status })
  end)

  it("sorts the files of all paths together, each as often as it is named", function()
    local tree <close> = odd_tree()
    local t = tree.path
    for _, paths in ipairs { "T/ab T/ab.c T/ab0", "T/z T/a T/-d", "T T/ab T", "T/ T//ab T/./ab",
      "T/large T/empty T/large", "T/ab/../ab/c T" } do
      paths = paths:gsub("T", t)

      local out, err, status = sh("hashtree " .. paths)

      assert.equal("", err)
      assert.equal(expected(paths), out)
      assert.equal(0, status)
    end
  end)

  it("follows a link that is named only if it ends in a slash, as find does", function()
    local tree <close> = odd_tree()
    local paths = ("T/link T/cycle T/cycle/ T/broken T/fifo"):gsub("T", tree.path)

    local out, err, status = sh("hashtree " .. paths)

    assert.equal("", err)
    assert.equal(expected(paths), out)
    assert.equal(0, status)
  end)

  it("tells of a missing path and goes on", function()
    local tree <close> = tree_of { a = "a" }
    local paths = tree.path .. "/none " .. tree.path

    local out, err, status = sh("hashtree " .. paths)

    assert.equal("tidepool: " .. tree.path .. "/none: No such file or directory\n", err)
    assert.equal(expected(tree.path), out)
    assert.equal(1, status)
  end)

  it("tells of a file that cannot be read in the words of sha512sum", function()
    local path = "/proc/1/mem"
    local _, wanted = sh("sha512sum " .. path)
    local tree <close> = tree_of { a = "a" }

    local out, err, status = sh(("hashtree %s %s"):format(path, tree.path))

    assert.equal((wanted:gsub("^sha512sum", "tidepool")), err)
    assert.equal(expected(tree.path), out)
    assert.equal(1, status)
  end)

  it("tells of files and folders it has no permission for", function()
    if sh("id -u"):match "^0" then return pending("root may read everything") end
    local tree <close> = tree_of { a = "a", ["b c"] = "b", ["d/e"] = "e" }
    sh(("chmod 0 '%s/b c' %s/d"):format(tree.path, tree.path))

    local out, err, status = sh("hashtree " .. tree.path)

    sh(("chmod 700 %s/d"):format(tree.path))
    assert.equal(expected(tree.path .. "/a"), out)
    local lines = {}
    for line in err:gmatch "[^\n]+" do lines[line:gsub(tree.path, "T")] = true end
    assert.same({ ["tidepool: 'T/b c': Permission denied"] = true,
      ["tidepool: T/d: Permission denied"] = true }, lines)
    assert.equal(1, status)
  end)

  it("tells of a file that vanished, and prints the others", function()
    local tree <close> = many_files(3000)
    local wanted = expected(tree.path)
    local err <close> = helper.file()
    local last = wanted:match "/([^/\n]*)\n$"
    local program <close> = start("-j 1 " .. tree.path, { err = err.path })
    local first = program:line()

    os.remove(tree.path .. "/" .. last)
    local rest, status = program:rest()

    assert.equal((wanted:gsub("[^\n]*\n$", "")), first .. rest)
    assert.equal(("tidepool: %s/%s: No such file or directory\n"):format(tree.path, last),
      err:read())
    assert.equal("1", status)
  end)

  it("hashes again what a killed worker had in hand", function()
    local tree <close> = tree_of(odd_files())
    sh(("truncate -s 300M %s/hole"):format(tree.path))
    local err <close> = helper.file()
    local program <close> = start("-j 2 " .. tree.path, { err = err.path })
    local victim = helper.eventually(function()
      for _, worker in ipairs(helper.descendants(program.pid)) do
        if has_open(worker, tree.path .. "/hole") then return worker end
      end
    end)

    helper.kill(victim, "KILL")
    local rest, status = program:rest()

    assert.equal("", err:read())
    assert.equal(expected(tree.path), rest)
    assert.equal("0", status)
    program:gone()
  end)

  it("reads no more names than it may, however long the list", function()
    local tree <close> = tree_of { small = "x" }
    local line = expected(tree.path .. "/small"):gsub("\n", "")
    local program <close> = start("-j 2 -c -", { before = ("yes '%s' |"):format(line) })
    local function resident_after(lines)
      for _ = 1, lines do assert(program:line()) end
      return helper.memory(program.pid)
    end
    local before = resident_after(80000)

    local after = resident_after(80000)

    helper.kill(program.pid, "INT")
    program:rest() -- it may stand in a write to the full pipe
    if not helper.sanitized then
      assert.is_true(after - before < 4096, ("%d KiB, then %d KiB"):format(before, after))
    end
    program:gone()
  end)
end)

describe("hashtree.lua's window", function()
  it("may be of any size", function()
    local tree <close> = odd_tree()
    for i = 1, 200 do tree:write("many-" .. i, tostring(i)) end
    os.execute(("truncate -s 40M %s/0 %s/many-77"):format(tree.path, tree.path))
    local wanted = expected(tree.path)
    local text = helper.slurp "scripts/hashtree.lua"
    for window, unit in pairs { [1] = 1, [3] = 1, [4] = 2, [50] = 7 } do
      local edited, n = text:gsub("WINDOW_FILES = 1 << 16", "WINDOW_FILES = " .. window)
      assert.equal(1, n)
      edited, n = edited:gsub("UNIT_BYTES = 128, 2 << 20", ("UNIT_BYTES = %d, 4"):format(unit))
      assert.equal(1, n)

      local out, err, status = helper.run(edited, { args = { "-j", "2", tree.path }, seconds = 60 })

      assert.equal("", err)
      assert.equal(wanted, out)
      assert.equal(0, status)
    end
  end)
end)

describe("hashtree.lua -a", function()
  it("uses another digest", function()
    local tree <close> = odd_tree()
    for name, program in pairs { sha256 = "sha256sum", md5 = "md5sum", blake2b512 = "b2sum" } do
      local out, err, status = sh(("hashtree -a %s %s"):format(name, tree.path))

      assert.equal("", err)
      assert.equal((sh(pipeline:gsub("sha512sum", program):format(tree.path))), out)
      assert.equal(0, status)
    end
  end)
end)

describe("hashtree.lua -o", function()
  it("writes a list that sha512sum accepts", function()
    local tree <close> = odd_tree()
    local list <close> = helper.file()

    local out, err, status = sh(("hashtree -o %s %s"):format(list.path, tree.path))

    assert.same({ "", "", 0 }, { out, err, status })
    local _, _, verdict = sh("sha512sum -c --quiet --strict " .. list.path)
    assert.equal(0, verdict)
  end)

  it("tells of a file that cannot be written", function()
    local tree <close> = tree_of { a = "a" }
    for path, why in pairs { ["/dev/full"] = "No space left on device",
      ["/none/here"] = "No such file or directory" } do
      local out, err, status = sh(("hashtree -o %s %s"):format(path, tree.path))

      assert.equal(("tidepool: %s: %s\n"):format(path, why), err)
      assert.same({ "", 1 }, { out, status })
    end
  end)
end)

---Check a list with both programs: same lines, same messages, same status.
local function same_verdict(list, options)
  local line = "-c " .. (options or "") .. " " .. quote(list)
  local wanted_out, wanted_err, wanted_status = sh("sha512sum " .. line)

  local out, err, status = sh("hashtree " .. line:gsub("^%-c (.*) ('.-')$", "%1 -c %2"))

  assert.equal((wanted_err:gsub("%f[^\n\0]sha512sum: ", "tidepool: ")), err)
  assert.equal(wanted_out, out)
  assert.equal(wanted_status, status)
  return status
end

local sum_of_a = tidepool.digest.string("sha512", "a")

describe("hashtree.lua -c", function()
  it("accepts what sha512sum wrote, with and without --tag", function()
    local tree <close> = odd_tree()
    local list <close> = helper.file()
    for _, tag in ipairs { "", "--tag" } do
      list:write((sh(pipeline:format(tree.path) .. " " .. tag)))

      assert.equal(0, same_verdict(list.path))
      assert.equal(0, same_verdict(list.path, "--quiet"))
    end
  end)

  it("accepts what sha512sum -z wrote", function()
    local tree <close> = odd_tree()
    local list <close> = helper.file((sh(pipeline:format(tree.path) .. " -z")))
    local plain <close> = helper.file(expected(tree.path))

    local out, err, status = sh("hashtree -c " .. list.path)

    assert.equal("", err)
    assert.equal((sh("sha512sum -c " .. plain.path)), out)
    assert.equal(0, status)
  end)

  it("tells in the words of sha512sum what differs or cannot be read", function()
    local tree <close> = odd_tree()
    local list <close> = helper.file(expected(tree.path))
    tree:write("a", "b")
    assert.equal(1, same_verdict(list.path))

    tree:write("new\nline", "b")
    tree:write("back\\slash", "b")
    tree:write("cr\rcr", "b")
    os.remove(tree.path .. "/ab0")
    os.remove(tree.path .. "/all\n\\\r\n")
    os.execute(("rm -r %s/z %s/q*"):format(tree.path, tree.path))

    assert.equal(1, same_verdict(list.path))
    assert.equal(1, same_verdict(list.path, "--quiet"))
  end)

  it("reads a line as sha512sum does", function()
    local tree <close> = tree_of { a = "a" }
    local list <close> = helper.file()
    local lines = { "# comment", "", "garbage", "S  F", "S *F", "S F", "  S  F", "\tS  F", "s  F",
      "\\S  F", "\\S  F\\n", "\\S  F\\q", "\\S  F\\", "SHA512 (F) = S", "SHA512(F)=S",
      "SHA512 (F) =\tS", "SHA512 (F) S", "SHA256 (F) = S", "SHA512 F = S", "S  ", "S", "S\tF",
      "S  F\r", "0S  F", "S0  F", "Z  F", "0  F", "SHA512 (F) = 0", "SHA512 (G) = Z", "\\Z  F",
      "S  ./-x", "S  " .. tree.path, " # x", "S  nope)  = ", "SHA512 (a) = b) = S" }
    for i, line in ipairs(lines) do
      lines[i] = line:gsub("F", tree.path .. "/a"):gsub("Z", ("0"):rep(128))
        :gsub("%f[%w]S%f[^%w]", sum_of_a:upper()):gsub("%f[%w]s%f[^%w]", sum_of_a)
      list:write(lines[i])
      same_verdict(list.path)
    end

    local plain, single = lines[4] .. "\n", lines[6] .. "\n"
    for _, first in ipairs { plain, single } do
      list:write(first .. table.concat(lines, "\n") .. "\n" .. plain .. single)
      same_verdict(list.path)
      same_verdict(list.path, "--quiet")
    end
  end)

  it("quotes names in messages as sha512sum does", function()
    local list <close> = helper.file()
    local names = { "", "a b", "a'b", "a\"b", "a'\"b", "a:b", "a'b:c", "~a", "a~", "#a", "a#", "{",
      "{}", "{a}", "a=b", "-x", "a\tb", "a\nb", "a\n'b", "\n", "\1\2", "a\200b\200", "\a'",
      "é", "a'$b", "a\\b", "a\\\\'b", "]", "^", "a,b", "a%+@_b", "*" }
    local text = {}
    for i, name in ipairs(names) do
      local escaped = name:gsub("[\\\n]", { ["\\"] = "\\\\", ["\n"] = "\\n" })
      local mark = escaped == name and "" or "\\"
      text[i] = mark .. sum_of_a .. "  /none/" .. escaped .. "\n" .. mark .. sum_of_a .. "  "
        .. escaped .. "\n"
    end
    list:write(table.concat(text))

    assert.equal(1, same_verdict(list.path))
  end)

  it("tells of lists that are none", function()
    local empty <close> = helper.file ""
    local other <close> = helper.file "no list at all\n"
    for _, list in ipairs { empty.path, other.path, "/tmp", "/none/here", "/none/it's here" } do
      assert.equal(1, same_verdict(list))
    end
  end)

  it("reads standard input where the name is -", function()
    local out, err, status = sh "echo nothing | hashtree -c -"

    assert.equal("tidepool: 'standard input': no properly formatted checksum lines found\n", err)
    assert.same({ "", 1 }, { out, status })
  end)

  it("uses the digest that -a names", function()
    local tree <close> = odd_tree()
    local list <close> = helper.file()
    for name, program in pairs { sha256 = "sha256sum", md5 = "md5sum --tag",
      blake2b512 = "b2sum --tag" } do
      list:write((sh(pipeline:gsub("sha512sum", program):format(tree.path))))

      local out, err, status = sh(("hashtree -c %s --quiet -a %s"):format(list.path, name))

      assert.same({ "", "", 0 }, { out, err, status })
    end
  end)
end)

describe("the end of hashtree.lua", function()
  it("is quiet when nobody reads its list any more", function()
    local tree <close> = many_files(3000)
    local err <close> = helper.file()
    local two_lines = "| head -n 2" -- the first is its process id
    local program <close> = start(tree.path, { err = err.path, after = two_lines })

    local rest = program:rest()

    assert.equal((expected(tree.path):match "^[^\n]*\n"), rest)
    program:gone()
    assert.equal("", err:read())
  end)

  it("has the status of SIGPIPE then, or 1 if that is ignored", function()
    local tree <close> = many_files(1000)
    local out = sh(("{ hashtree %s; echo $? >&3; } 3>&1 >/dev/null | head -n 0"):format(tree.path))
    assert.equal("", out)

    local _, err = sh(("{ hashtree %s; echo $? >&2; } | head -n 1"):format(tree.path))
    assert.equal("141\n", err)

    _, err = sh(("trap '' PIPE; { hashtree %s; echo $? >&2; } | head -n 1"):format(tree.path))
    assert.equal("tidepool: write error: Broken pipe\n", err:match "^[^\n]*\n")
    assert.equal("1", err:match "(%d+)\n$")
  end)

  it("is an error when the disk is full", function()
    local tree <close> = tree_of { a = "a" }

    local _, err, status = sh(("hashtree %s >/dev/full"):format(tree.path))

    assert.equal("tidepool: write error: No space left on device\n", err:match "^[^\n]*\n")
    assert.equal(1, status)
  end)

  it("comes after SIGINT with whole lines, status 130 and no process left", function()
    local tree <close> = many_files(3000)
    local program <close> = start(tree.path)
    local first = program:line()

    helper.kill(program.pid, "INT")
    local rest, status = program:rest()

    assert.equal("130", status)
    program:gone()
    local text, wanted = first .. rest, expected(tree.path)
    assert.is_true(#text < #wanted)
    assert.equal(wanted:sub(1, #text), text)
    assert.equal("\n", text:sub(-1))
  end)
end)

describe("hashtree.lua's options", function()
  it("are shown by --help", function()
    local out, err, status = sh "hashtree --help"

    assert.same({ "", 0 }, { err, status })
    for _, option in ipairs { "-a", "-c", "-j", "-o", "--progress", "--quiet", "--help" } do
      assert.truthy(out:find("\n  " .. option, 1, true), option)
    end
  end)

  it("are refused by name when they are wrong", function()
    for line, text in pairs {
      [""] = "missing PATH",
      ["-x /tmp"] = "unrecognized option '-x'",
      ["--quite -c x"] = "unrecognized option '--quite'",
      ["--help=1 x"] = "unrecognized option '--help=1'",
      ["-j 0 x"] = "option '-j' needs a number from 1 to 65535, not '0'",
      ["-j1.5 x"] = "option '-j' needs a number from 1 to 65535, not '1.5'",
      ["x -j"] = "option '-j' needs a value",
      ["-a sha513 x"] = "option '-a': unknown digest \"sha513\"",
      ["--progress=no x"] = "option '--progress' is auto, always or never, not 'no'",
      ["-c x y"] = "a PATH cannot be given with option '-c'",
      ["--quiet x"] = "the --quiet option is meaningful only when verifying checksums",
    } do
      local out, err, status = sh("hashtree " .. line)

      assert.equal("tidepool: " .. text .. "\nTry 'hashtree.lua --help' for more information.\n",
        err)
      assert.same({ "", 1 }, { out, status })
    end
  end)

  it("end at --", function()
    local out, err = sh "hashtree -- --help"

    assert.same({ "", "tidepool: --help: No such file or directory\n" }, { out, err })
  end)
end)

describe("hashtree.lua --progress", function()
  local shown = "^\r%d+/%d+%+? files  [%d.]+ %a+/600%.0 MiB%+?  [%d.]+ %a+/s"

  it("shows a line on standard error, and takes it away", function()
    local tree <close> = tree_of { a = "a", b = "b" }
    sh(("truncate -s 300M %s/c; truncate -s 300M %s/d"):format(tree.path, tree.path))

    local out, err, status = sh("hashtree -j 1 --progress=always " .. tree.path)

    assert.equal(4, select(2, out:gsub("\n", "")))
    assert.truthy(err:find(shown), err)
    assert.truthy(err:find "2 files.*  0 errors  1 busy\27%[K" or err:find "0 errors  1 busy", err)
    assert.equal("\r\27[K", err:sub(-4))
    assert.equal(0, status)
  end)

  it("takes it away after SIGINT too", function()
    local tree <close> = tree_of { a = "a" }
    local err <close> = helper.file ""
    sh(("truncate -s 3G %s/b"):format(tree.path))
    local program <close> = start("-j 1 --progress=always " .. tree.path, { err = err.path })

    helper.eventually(function() return helper.slurp(err.path) ~= "" end)
    helper.kill(program.pid, "INT")
    program:rest()

    assert.equal("\r\27[K", helper.slurp(err.path):sub(-4))
  end)

  it("is silent by itself where standard error is no terminal", function()
    local tree <close> = tree_of { a = "a" }
    sh(("truncate -s 600M %s/c"):format(tree.path))

    assert.equal("", (select(2, sh("hashtree " .. tree.path))))
  end)
end)

describe("progress", function()
  it("shows bytes and spans for people", function()
    local sizes = { [0] = "0 B", [1023] = "1023 B", [1024] = "1.0 KiB", [1536] = "1.5 KiB",
      [1048575] = "1.0 MiB", [1 << 40] = "1.0 TiB", [math.maxinteger] = "8.0 EiB" }
    for n, text in pairs(sizes) do assert.equal(text, progress.bytes(n)) end
    local spans = { [0] = "0:00", [0.4] = "0:00", [59.6] = "1:00", [61] = "1:01",
      [3600] = "1:00:00", [3725] = "1:02:05", [math.huge] = "99:59:59" }
    for s, text in pairs(spans) do assert.equal(text, progress.span(s)) end
  end)

  it("draws nothing in the first half second, then at most ten times a second", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local line = require "tidepool.progress".line "always"
      local start, drawn = tidepool.now(), {}
      while #drawn < 3 do
        if line:due() then
          drawn[#drawn + 1] = tidepool.now() - start
          line:draw(("line %d "):format(#drawn):rep(20))
        end
        tidepool.sleep(0.001)
      end
      line:clear()
      line:clear()
      print(drawn[1] >= 0.5, drawn[2] - drawn[1] >= 0.099, drawn[3] - drawn[2] >= 0.099)
    ]], { before = "COLUMNS=20" })

    assert.equal("true\ttrue\ttrue\n", out)
    assert.equal("\rline 1 line 1 line \27[K\rline 2 line 2 line \27[K\rline 3 line 3 line \27[K"
      .. "\r\27[K", err)
    assert.equal(0, status)
  end)

  it("counts the items of a call, and leaves no trace", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local show = require "tidepool.progress".new "always"
      local start = tidepool.now()
      for _ = 1, 2 do
        while tidepool.now() - start < 0.55 do tidepool.sleep(0.01) end
        show(30, 60)
      end
      show(60, 60)
      show(60, 60)
    ]])

    assert.equal("", out)
    assert.truthy(err:find "^\r30/60  %d+/s  0:0[01] left\27%[K\r\27%[K$", err)
    assert.equal(0, status)
  end)

  it("is silent in a call where standard error is no terminal", function()
    local out, err, status = helper.run([[
      local tidepool = require "tidepool"
      local pool <close> = tidepool.pool(1)
      local r = pool:map(tidepool.sleep, { 0.3, 0.3, 0.1 }, { chunksize = 1, progress = true })
      print(r.n)
    ]])

    assert.same({ "3\n", "", 0 }, { out, err, status })
  end)
end)
