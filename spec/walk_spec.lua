local tidepool = require "tidepool"

local dir

local function sh(command) assert(os.execute("cd '" .. dir .. "' && " .. command)) end

local function output(command)
  local pipe <close> = assert(io.popen("cd '" .. dir .. "' && " .. command))
  return pipe:read("a")
end

---The file paths below `top` of the spec's own directory, that directory cut off.
local function files(top, options)
  local list = {}
  for path in tidepool.files(dir .. (top and "/" .. top or ""), options) do
    list[#list + 1] = path:sub(#dir + 2)
  end
  return list
end

---What a walk yields: one line "root: dirs | files" for each step.
local function walk(top, options)
  local lines = {}
  for root, dirs, names in tidepool.walk(dir .. (top and "/" .. top or ""), options) do
    lines[#lines + 1] = ("%s: %s | %s"):format(
      root:sub(#dir + 2), table.concat(dirs, " "), table.concat(names, " "))
  end
  return lines
end

---An `onerror` that notes "path: message (errno)".
local function notes()
  local list = {}
  return list, function(path, message, errno)
    list[#list + 1] = ("%s: %s (%d)"):format(path:sub(#dir + 2), message, errno)
  end
end

local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return (err:gsub("^[^:\n]+:%d+: ", ""):gsub("to '[^']*'", "to '?'"))
end

local function open_descriptors()
  collectgarbage()
  collectgarbage()
  local n = 0
  for _ in tidepool.files("/proc/self/fd", { types = "link" }) do n = n + 1 end
  return n
end

before_each(function()
  dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
end)

after_each(function() os.execute("rm -rf '" .. dir .. "'") end)

describe("tidepool.files", function()
  it("has the order of find and sort", function()
    sh [[mkdir -p a a-b a.b A aa/b 'a b' é && for d in a a-b a.b A aa aa/b 'a b' é .; do
      touch "$d/x" "$d/a.b" "$d/a" "$d/-" "$d/.h" 2>/dev/null; done; true]]

    local expected = output("find '" .. dir .. "' -type f -print0 | LC_ALL=C sort -z")

    local list = {}
    for path in tidepool.files(dir) do list[#list + 1] = path .. "\0" end
    assert.equal(expected, table.concat(list))
    assert.is_true(#list > 30)
  end)

  it("has the order of find and sort in a tree of the system", function()
    local expected = output("find /usr/share/lua /usr/include -type f -print0 | LC_ALL=C sort -z")

    local list = {}
    for _, top in ipairs { "/usr/include", "/usr/share/lua" } do
      for path in tidepool.files(top, { onerror = error }) do list[#list + 1] = path .. "\0" end
    end
    assert.equal(expected, table.concat(list))
  end)

  it("keeps names of any bytes", function()
    local names = { "-dash", "back\\slash", "new\nline", ("n"):rep(255), "sp ace", "\xff\xfe" }
    for _, name in ipairs(names) do assert(io.open(dir .. "/" .. name, "w")):close() end

    assert.same(names, files())
  end)

  it("keeps the top as it was given", function()
    sh "mkdir d && touch d/f"

    assert.same({ "d/f" }, files("d"))
    assert.same({ "d/f" }, files("d/"))
    assert.same({ "d//f" }, files("d//"))
  end)

  it("is one iterator value that stays at its end", function()
    sh "touch f"
    local it, none = tidepool.files(dir)

    assert.is_nil(none)
    assert.equal(dir .. "/f", it())
    assert.is_nil(it())
    assert.is_nil(it())
  end)

  it("yields just a top that is a file, or a link to one", function()
    sh "printf 12345 > f; ln -s f l"

    assert.same({ "f" }, files("f"))
    assert.same({ "l" }, files("l"))
    local path, size = tidepool.files(dir .. "/f", { sizes = true })()
    assert.same({ dir .. "/f", 5 }, { path, size })
  end)

  it("yields regular files only, unless types says otherwise", function()
    sh "mkfifo p; touch f; ln -s f l; ln -s nowhere b"

    assert.same({ "f" }, files())
    assert.same({ "b", "l", "p" }, files(nil, { types = { "link", "fifo" } }))
    assert.same({ "p" }, files(nil, { types = "fifo" }))
  end)

  it("yields sizes when asked", function()
    sh "printf 12345 > a; : > b"
    local sizes = {}

    for path, size in tidepool.files(dir, { sizes = true }) do sizes[path:sub(#dir + 2)] = size end

    assert.same({ a = 5, b = 0 }, sizes)
  end)

  it("yields guesses where files are small, if sizes are asked for about", function()
    sh [[mkdir a b; cd a; for i in $(seq 1001 1900); do echo 123456789 > $i; done
      truncate -s 1M ../b/1 ../b/2 ../b/3]]
    local exact, sum = 0, 0
    local large, n = {}, 0

    for path, size in tidepool.files(dir, { sizes = "about" }) do
      n, sum = n + 1, sum + size
      if size == 10 then exact = exact + 1 end
      if path:find "/b/" then large[#large + 1] = size end
    end

    assert.equal(903, n)
    assert.is_true(exact > 50 and exact < 300, exact)
    assert.is_true(sum - (3 << 20) < 900 * 16384, sum)
    assert.same({ 1 << 20, 1 << 20, 1 << 20 }, large)
    assert.equal(3, #files(nil, { sizes = "about", min_size = 11 }))
  end)

  it("yields batches: paths that each end in a zero byte, and their number", function()
    sh "mkdir d; printf 1 > a; printf 22 > d/b; printf 333 > d/c; printf 4444 > e; printf 5 > f"
    local function batches(options)
      local list = {}
      for names, n, bytes in tidepool.files(dir, options) do
        list[#list + 1] = names:gsub(dir:gsub("%p", "%%%0") .. "/([^\0]*)\0", "%1 ") .. n
          .. (bytes and "=" .. bytes or "")
      end
      return list
    end

    assert.same({ "a d/b 2", "d/c e 2", "f 1" }, batches { batch = 2 })
    assert.same({ "a d/b d/c e f 5=11" }, batches { batch = 9, sizes = true })
    assert.same({ "a d/b 2=3", "d/c 1=3", "e 1=4", "f 1=1" },
      batches { batch = 9, batch_bytes = 3 })
    assert.same({}, batches { batch = 1, types = "fifo" })
  end)

  it("loses no path of a batch when onerror raises or closes it", function()
    sh "ln -s nowhere b; touch a c"
    local raise = true
    local it = tidepool.files(dir, { batch = 9, followlinks = true,
      onerror = function() if raise then error("seen", 0) end end })

    assert.same({ false, "seen" }, { pcall(it) })
    assert.equal(dir .. "/a\0" .. dir .. "/c\0", (it()))
    assert.is_nil(it())

    local closing
    closing = tidepool.files(dir, { batch = 9, followlinks = true,
      onerror = function() closing:close() end })
    assert.equal(dir .. "/a\0", (closing()))
    assert.is_nil(closing())
  end)

  it("keeps to min_size and max_size", function()
    sh "printf 1 > a; printf 22 > b; printf 333 > c"

    assert.same({ "b", "c" }, files(nil, { min_size = 2 }))
    assert.same({ "a", "b" }, files(nil, { max_size = 2 }))
    assert.same({ "b" }, files(nil, { min_size = 2, max_size = 2 }))
  end)

  it("keeps to max_depth and hidden", function()
    sh "mkdir -p a/b .h; touch f a/f a/b/f .h/f .g"

    assert.same({ ".g", "f" }, files(nil, { max_depth = 1 }))
    assert.same({ ".g", ".h/f", "a/f", "f" }, files(nil, { max_depth = 2 }))
    assert.same({ "a/b/f", "a/f", "f" }, files(nil, { hidden = false }))
  end)

  it("keeps to globs", function()
    sh [[mkdir -p src/lib src/obj doc
      touch a.c src/b.c src/lib/c.c src/lib/c.h src/obj/b.o doc/a.txt 'doc/[x]']]
    local cases = {
      { { include = "*.c" }, "a.c src/b.c src/lib/c.c" },
      { { include = "/*.c" }, "a.c" },
      { { include = "src/*.c" }, "src/b.c" },
      { { include = "src/**/*.c" }, "src/b.c src/lib/c.c" },
      { { include = "**/lib/*" }, "src/lib/c.c src/lib/c.h" },
      { { include = { "*.o", "?.t*" } }, "doc/a.txt src/obj/b.o" },
      { { include = "[!a-b].[ch]" }, "src/lib/c.c src/lib/c.h" },
      { { include = "\\[*\\]" }, "doc/[x]" },
      { { include = "[[]x]" }, "doc/[x]" },
      { { exclude = "src" }, "a.c doc/[x] doc/a.txt" },
      { { exclude = { "src/lib/", "doc/**" } }, "a.c src/b.c src/obj/b.o" },
      { { exclude = "*.c/" }, "a.c doc/[x] doc/a.txt src/b.c src/lib/c.c src/lib/c.h src/obj/b.o" },
      { { include = "*.c", exclude = "src/l*" }, "a.c src/b.c" },
    }

    for _, case in ipairs(cases) do
      assert.equal(case[2], table.concat(files(nil, case[1]), " "))
    end
  end)

  it("follows links when asked, and ends in a loop of them", function()
    sh "mkdir -p a/b; touch a/f; ln -s .. a/b/up; ln -s a l; ln -s a/f lf"
    local errors, onerror = notes()

    assert.same({ "a/f" }, files())
    assert.same({ "a/f", "l/f", "lf" }, files(nil, { followlinks = true, onerror = onerror }))
    assert.same({
      "a/b/up: Too many levels of symbolic links (40)",
      "l/b/up: Too many levels of symbolic links (40)",
    }, errors)
  end)

  it("tells of broken links it was to follow", function()
    sh "ln -s nowhere b; touch f"
    local errors, onerror = notes()

    assert.same({ "f" }, files(nil, { followlinks = true, onerror = onerror }))
    assert.same({ "b: No such file or directory (2)" }, errors)
  end)

  it("tells of a missing top, and of one that is neither a folder nor a file", function()
    sh "mkfifo p"
    local errors, onerror = notes()

    assert.same({}, files("none", { onerror = onerror }))
    assert.same({}, files("p", { onerror = onerror }))
    assert.same({ "none: No such file or directory (2)", "p: Not a directory (20)" }, errors)
  end)

  it("keeps errors without an onerror", function()
    local it = tidepool.files(dir .. "/none")

    assert.is_nil(it())
    assert.same({
      n = 1,
      { path = dir .. "/none", message = "No such file or directory", errno = 2 },
    }, it:errors())
  end)

  it("goes on behind a folder that vanished", function()
    sh "mkdir b d; touch a b/f c d/f"
    local errors, onerror = notes()
    local it = tidepool.files(dir, { onerror = onerror })

    it()
    sh "rm -r b"

    assert.equal(dir .. "/c", it())
    assert.equal(dir .. "/d/f", it())
    assert.is_nil(it())
    assert.same({ "b: No such file or directory (2)" }, errors)
  end)

  it("tells of an unreadable folder and goes on", function()
    if output("id -u") == "0\n" then return pending("root reads everything") end
    sh "mkdir a b; touch a/f b/f; chmod 0 a"
    local errors, onerror = notes()

    local found = files(nil, { onerror = onerror })
    sh "chmod 700 a"

    assert.same({ "b/f" }, found)
    assert.same({ "a: Permission denied (13)" }, errors)
  end)

  it("lets an error of onerror end the loop", function()
    local ok, err = pcall(files, "none", { onerror = function(_, text) error(text, 0) end })

    assert.same({ false, "No such file or directory" }, { ok, err })
  end)

  it("walks deeper than PATH_MAX and than its descriptors", function()
    local name = ("d"):rep(200)
    sh("mkdir top; for i in $(seq 30); do mkdir t t/a t/z; : > t/z/f; mv top t/" .. name
      .. "; mv t top; done")
    local before = open_descriptors()
    local n, longest, most = 0, 0, 0

    for path in tidepool.files(dir, { onerror = error }) do
      n = n + 1
      longest = math.max(longest, #path)
      if n % 3 == 0 then most = math.max(most, open_descriptors() - before) end
    end

    assert.equal(30, n)
    assert.is_true(longest > 5000)
    assert.is_true(most <= 18)
    assert.equal(before, open_descriptors())
  end)

  it("holds one folder's names at a time", function()
    if output("cat /proc/$PPID/maps"):find("libasan", 1, true) then
      return pending("the address sanitizer keeps what was freed")
    end
    -- Every folder of a level has twenty links to the next: 20^4 paths in 80 names.
    sh [[mkdir l1 l2 l3 l4 && cd l4 && touch $(seq 20) && cd .. &&
      for i in $(seq 20); do for l in 1 2 3; do ln -s ../l$((l+1)) l$l/$i; done; done]]
    local function pages()
      local statm <close> = io.open("/proc/self/statm")
      return select(2, statm:read("n", "n"))
    end
    local n, bytes, before, most = 0, 0, nil, 0

    for path in tidepool.files(dir .. "/l1", { followlinks = true, onerror = error }) do
      n, bytes = n + 1, bytes + #path
      if n % 10000 == 0 then
        collectgarbage()
        before = before or pages()
        most = math.max(most, pages() - before)
      end
    end

    assert.equal(160000, n)
    assert.is_true(most * 4096 < bytes / 4)
  end)

  it("closes its descriptors at its end, when closed, and when forgotten", function()
    sh "mkdir -p a/b/c; touch a/b/c/1 a/b/c/2"
    local before = open_descriptors()

    files()
    assert.equal(before, open_descriptors())
    do
      local it <close> = tidepool.files(dir)
      it()
      assert.equal(before + 4, open_descriptors())
    end
    assert.equal(before, open_descriptors())
    tidepool.files(dir)()
    assert.equal(before, open_descriptors())
    local it = tidepool.files(dir)
    it()
    it:close()
    assert.is_nil(it())
    assert.equal(before, open_descriptors())
  end)

  it("refuses unknown options, wrong types and wrong values", function()
    local strings = "a string or a list of strings"
    local cases = {
      { { depth = 1 }, 'unknown option "depth"' },
      { { "x" }, 'unknown option "1"' },
      { { topdown = true }, 'unknown option "topdown"' },
      { { sizes = 1 }, 'option "sizes" must be a boolean or "about" (got 1)' },
      { { sizes = "some" }, 'option "sizes" must be a boolean or "about" (got string)' },
      { { batch = 0 }, 'option "batch" must be an integer >= 1 (got 0)' },
      { { batch_bytes = 1 }, 'option "batch_bytes" needs option "batch"' },
      { { hidden = "no" }, 'option "hidden" must be a boolean (got string)' },
      { { max_depth = 0 }, 'option "max_depth" must be an integer >= 1 (got 0)' },
      { { max_size = 1.5 }, 'option "max_size" must be an integer >= 0 (got 1.5)' },
      { { min_size = "1" }, 'option "min_size" must be an integer >= 0 (got string)' },
      { { include = { 1 } }, 'option "include" must be ' .. strings .. " (got 1)" },
      { { exclude = true }, 'option "exclude" must be ' .. strings .. " (got boolean)" },
      { { types = { "dir" } }, 'option "types" has an unknown type "dir"' },
      { { onerror = "x" }, 'option "onerror" must be a function (got string)' },
    }

    for _, case in ipairs(cases) do
      assert.equal(case[2], refusal(tidepool.files, dir, case[1]))
    end
    assert.equal("bad argument #1 to '?' (path contains a zero byte)",
      refusal(tidepool.files, "a\0b"))
    assert.equal("bad argument #2 to '?' (table expected, got number)",
      refusal(tidepool.files, dir, 1))
  end)
end)

describe("tidepool.walk", function()
  before_each(function()
    sh "mkdir -p a/x a.b; touch f a/1 a/x/2 a.b/3; ln -s a l; ln -s f lf; ln -s no b"
  end)

  it("yields root, dirs and files from the top down, sorted", function()
    assert.same({
      ": a a.b l | b f lf",
      "a: x | 1",
      "a/x:  | 2",
      "a.b:  | 3",
    }, walk())
  end)

  it("yields from the bottom up when topdown is false", function()
    assert.same({
      "a/x:  | 2",
      "a: x | 1",
      "a.b:  | 3",
      ": a a.b l | b f lf",
    }, walk(nil, { topdown = false }))
  end)

  it("enters what is left in dirs, in its order", function()
    local roots = {}
    for root, dirs in tidepool.walk(dir) do
      roots[#roots + 1] = root:sub(#dir + 2)
      if root == dir then dirs[1], dirs[2], dirs[3] = dirs[2], dirs[1], nil end
      if root == dir .. "/a" then table.remove(dirs) end
    end

    assert.same({ "", "a.b", "a" }, roots)
  end)

  it("skips holes in dirs", function()
    local roots = {}
    for root, dirs in tidepool.walk(dir) do
      roots[#roots + 1] = root:sub(#dir + 2)
      for i, name in pairs(dirs) do
        if name == "a" then dirs[i] = nil end
      end
    end

    assert.same({ "", "a.b" }, roots)
  end)

  it("refuses what is not a name in dirs", function()
    assert.equal("dirs[1] must be a string (got table)", refusal(function()
      for _, dirs in tidepool.walk(dir) do dirs[1] = {} end
    end))
  end)

  it("follows links when asked, and ends in a loop of them", function()
    sh "rm b; ln -s ../.. a/x/up"
    local errors, onerror = notes()

    assert.same({
      ": a a.b l | f lf",
      "a: x | 1",
      "a/x: up | 2",
      "a.b:  | 3",
      "l: x | 1",
      "l/x: up | 2",
    }, walk(nil, { followlinks = true, onerror = onerror }))
    assert.same({
      "a/x/up: Too many levels of symbolic links (40)",
      "l/x/up: Too many levels of symbolic links (40)",
    }, errors)
  end)

  it("keeps to globs, types and depth", function()
    assert.same({ ": a a.b l | f lf", "a:  | ", "a.b:  | " },
      walk(nil, { include = { "f", "l*" }, exclude = "x/" }))
    assert.same({ ": a.b | b f lf", "a.b:  | 3" }, walk(nil, { exclude = { "a/", "l" } }))
    assert.same({ ": a a.b l | f" }, walk(nil, { max_depth = 1, types = "file" }))
  end)

  it("tells of a missing top and yields nothing", function()
    local errors, onerror = notes()

    assert.same({}, walk("none", { onerror = onerror }))
    assert.same({ "none: No such file or directory (2)" }, errors)
  end)

  it("tells of a folder that vanished before it was entered", function()
    local errors, onerror = notes()
    local roots = {}

    for root in tidepool.walk(dir, { onerror = onerror }) do
      roots[#roots + 1] = root:sub(#dir + 2)
      if root == dir then sh "rm -r a" end
    end

    assert.same({ "", "a.b" }, roots)
    assert.same({ "a: No such file or directory (2)" }, errors)
  end)

  it("stays on one file system when asked", function()
    local roots = {}
    for root, dirs in tidepool.walk("/", { one_filesystem = true, max_depth = 2 }) do
      roots[root] = true
      if root == "/" then table.move({ "dev", "proc", n = #dirs }, 1, #dirs, 1, dirs) end
    end

    assert.same({ ["/"] = true }, roots)
  end)

  it("closes its descriptors when forgotten", function()
    local before = open_descriptors()

    for root in tidepool.walk(dir) do
      if root == dir .. "/a/x" then break end
    end

    assert.equal(before, open_descriptors())
  end)

  it("refuses the options of files", function()
    assert.equal('unknown option "sizes"', refusal(tidepool.walk, dir, { sizes = true }))
    assert.equal('option "topdown" must be a boolean (got 1)',
      refusal(tidepool.walk, dir, { topdown = 1 }))
  end)
end)
