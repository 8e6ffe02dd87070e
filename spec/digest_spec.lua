local helper = require "spec.helper"
local tidepool = require "tidepool"
local digest = tidepool.digest

local MILLION = ("a"):rep(1000000)

local vectors = {
  sha512 = {
    [""] = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
      .. "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    abc = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
      .. "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    [MILLION] = "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
      .. "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
  },
  sha256 = {
    [""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    [MILLION] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
  },
  ["sha3-256"] = {
    [""] = "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
    abc = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
    [MILLION] = "5c8875ae474a3634ba4fd55ec85bffd661f32aca75c6d699d0cdcb6c115891c1",
  },
  blake2b512 = {
    [""] = "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419"
      .. "d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce",
    abc = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
      .. "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    [MILLION] = "98fb3efb7206fd19ebf69b6f312cf7b64e3b94dbe1a17107913975a793f177e1"
      .. "d077609d7fba363cbba00d05f7aa4e4fa8715d6428104c0a75643b0ff3fd3eaf",
  },
}

local dir

local function path(name) return dir .. "/" .. name end

local function write(name, text)
  local file = assert(io.open(path(name), "wb"))
  file:write(text)
  file:close()
  return path(name)
end

local function sh(command) assert(os.execute("cd '" .. dir .. "' && " .. command)) end

local function output(command)
  local pipe <close> = assert(io.popen("cd '" .. dir .. "' && " .. command))
  return pipe:read("a")
end

---The text of the error `fn(...)` raises, without a position.
local function refusal(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return (err:gsub("^[^:\n]+:%d+: ", ""):gsub("to '[^']*'", "to '?'"))
end

local function open_descriptors()
  local list = {}
  for file in tidepool.files("/proc/self/fd", { types = { "link" } }) do list[#list + 1] = file end
  return #list
end

setup(function()
  dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
end)

teardown(function() os.execute("rm -rf '" .. dir .. "'") end)

describe("tidepool.digest", function()
  it("gives the published results in pieces of any size", function()
    for name, texts in pairs(vectors) do
      for text, expected in pairs(texts) do
        local object = digest(name)
        for at = 1, #text, 4099 do object:update(text:sub(at, at + 4098)) end

        assert.equal(expected, object:final())
      end
    end
  end)

  it("is sha512 without a name", function()
    assert.equal(vectors.sha512.abc, digest():update("abc"):final())
  end)

  it("takes names in either case", function()
    assert.equal(vectors.sha256.abc, digest("SHA256"):update("abc"):final())
  end)

  it("refuses an unknown name", function()
    assert.equal('bad argument #1 to \'?\' (unknown digest "foo")', refusal(digest, "foo"))
    for call, names in pairs { [digest] = "md5\0x", [digest.prefetch] = { "md5\0x" } } do
      assert.equal("bad argument #1 to '?' (digest name contains a zero byte)",
        refusal(call, names))
    end
  end)

  it("refuses a digest without a length of its own", function()
    assert.equal('bad argument #1 to \'?\' (digest "shake256" has no fixed length)',
      refusal(digest.string, "shake256", ""))
  end)

  it("may not be used after final", function()
    local object = digest("sha256")
    object:final()

    for _, name in ipairs { "update", "final", "clone" } do
      assert.equal("digest is finished", refusal(object[name], object, ""))
    end
    assert.equal("digest (sha256, finished)", tostring(object))
  end)

  it("refuses a method on another type", function()
    assert.equal("bad argument #1 to '?' (tidepool.digest expected, got FILE*)",
      refusal(digest("md5").update, io.stdout, ""))
  end)
end)

describe("digest:clone", function()
  it("goes its own way from there", function()
    local first = digest("sha256"):update("a")
    local second = first:clone()

    assert.equal(digest.string("sha256", "ax"), second:update("x"):final())
    assert.equal(vectors.sha256.abc, first:update("bc"):final())
  end)
end)

describe("digest:final", function()
  it("gives raw bytes when asked", function()
    local raw = digest("sha256"):update("abc"):final(true)

    assert.equal(vectors.sha256.abc, (("%02x"):rep(32)):format(raw:byte(1, -1)))
  end)
end)

describe("digest.string", function()
  it("gives the published results", function()
    for name, texts in pairs(vectors) do
      for text, expected in pairs(texts) do assert.equal(expected, digest.string(name, text)) end
    end
  end)

  it("gives raw bytes when asked", function()
    assert.equal("\xe3\xb0\xc4\x42", digest.string("sha256", "", true):sub(1, 4))
  end)
end)

describe("digest.names", function()
  it("lists names that work, sorted", function()
    local names = digest.names()
    local sorted = table.move(names, 1, #names, 1, {})
    table.sort(sorted)

    assert.same(sorted, names)
    assert.truthy((" " .. table.concat(names, " ") .. " "):find(" sha512 ", 1, true))
    for _, name in ipairs(names) do assert.is_string(digest.string(name, "")) end
  end)
end)

describe("digest.prefetch", function()
  it("makes names part of digest.fetched", function()
    digest.prefetch { "sha384", "sha224" }

    local fetched = {}
    for _, name in ipairs(digest.fetched()) do fetched[name] = true end
    assert.is_true(fetched.sha384 and fetched.sha224)
  end)

  -- Only the name that is refused here can have made them load it.
  it("has libcrypto loaded in the processes of the next pool, too", function()
    local out, err = helper.run [[
      local tidepool = require "tidepool"
      pcall(tidepool.digest.prefetch, "nonsense")
      print(#tidepool.digest.fetched(), (tidepool.pool(1):apply(function()
        local file <close> = io.open "/proc/self/maps"
        return file:read "a":match "libcrypto"
      end)))
    ]]

    assert.equal("0\tlibcrypto\n", out .. err)
  end)
end)

describe("digest.file", function()
  it("equals sha512sum around the size of a block", function()
    local block = 256 * 1024
    for i, size in ipairs { 0, 1, 4096, block - 1, block, block + 1, 3 * block + 7 } do
      write("size" .. i, ("0123456789abcdef"):rep(size // 16 + 1):sub(1, size))
    end

    local lines = {}
    for i = 1, 7 do
      lines[i] = digest.file("sha512", path("size" .. i)) .. "  size" .. i .. "\n"
    end
    assert.equal(output("sha512sum size[1-7]"), table.concat(lines))
  end)

  it("gives one result for each of several names, in one read", function()
    local abc = write("abc", "abc")

    local a, b, c, none = digest.file({ "sha256", "sha512", "sha256" }, abc)

    assert.same({ vectors.sha256.abc, vectors.sha512.abc, vectors.sha256.abc }, { a, b, c })
    assert.is_nil(none)
    assert.equal(64, #digest.file("sha512", abc, true))
  end)

  it("reads files whose size says nothing", function()
    local expected = output("sha256sum < /proc/version"):sub(1, 64)

    assert.equal(expected, digest.file("sha256", "/proc/version"))
  end)

  it("returns nil, a message and errno for what cannot be read", function()
    sh("mkfifo fifo; ln -s nowhere broken")
    local cases = {
      { path "missing", "No such file or directory", 2 },
      { path "broken", "No such file or directory", 2 },
      { dir, "Is a directory", 21 },
      { path "fifo", "Is a FIFO", 22 },
      { "/dev/null", "Is a character device", 22 },
      { "/dev/zero", "Is a character device", 22 },
    }

    for _, case in ipairs(cases) do
      assert.same({ n = 3, nil, case[1] .. ": " .. case[2], case[3] },
        table.pack(digest.file("sha512", case[1])))
    end
  end)

  it("says when a file changed while it was read", function()
    local changing = write("changing", ("x"):rep(1 << 22))
    sh [[(n=0; while [ ! -e stop ] && [ $n -lt 1000000 ]; do
      echo x; n=$((n+1))
    done) >> changing &]]

    local deadline = os.time() + 20
    local result
    repeat
      result = table.pack(digest.file("sha512", changing))
    until result.n > 1 or os.time() > deadline
    sh("touch stop")

    assert.same({ n = 3, nil, changing .. ": File changed while it was read", 16 }, result)
  end)

  it("reads names of any bytes", function()
    for _, name in ipairs { "new\nline", "back\\slash", "-dash", "\xff\xfe", ("n"):rep(255) } do
      assert.equal(vectors.sha256.abc, digest.file("sha256", write(name, "abc")))
    end
  end)

  it("reads below paths longer than PATH_MAX", function()
    local name = ("d"):rep(200)
    sh("mkdir top; printf abc > top/f; for i in $(seq 30); do mkdir t; mv top t/" .. name
      .. "; mv t top; done")

    local deep = path("top/" .. (name .. "/"):rep(30) .. "f")
    assert.equal(vectors.sha256.abc, digest.file("sha256", deep))
  end)

  it("refuses a path with a zero byte, and a bad list of names", function()
    assert.equal("bad argument #2 to '?' (path contains a zero byte)",
      refusal(digest.file, "md5", "a\0b"))
    assert.equal("bad argument #1 to '?' (no digest named)",
      refusal(digest.file, {}, dir))
    assert.equal("bad argument #1 to '?' (digest names must be strings)",
      refusal(digest.file, { 1 }, dir))
  end)

  it("leaves no descriptor open", function()
    local before = open_descriptors()

    for _, name in ipairs { "abc", "fifo", "missing", "." } do digest.file("sha256", path(name)) end

    assert.equal(before, open_descriptors())
  end)
end)

describe("digest.lines", function()
  local function list(names)
    for i, name in ipairs(names) do names[i] = path(name) end
    return names
  end

  it("is what sha512sum prints", function()
    sh "mkdir -p in/side; printf abc > in/side/deep"
    local names = { "plain", "two words", "new\nline", "cr\rcr", "back\\slash", "\xff\xfe",
      "in/x", "in/y", "in/side/deep", "in/z", "in/side/../z", "in//z" }
    for i, name in ipairs(names) do write(name, tostring(i)) end
    names[#names + 1], names[#names + 2] = "in/z", "plain"
    local quoted = {}
    for i, name in ipairs(list(names)) do quoted[i] = "'" .. name .. "'" end
    local wanted = output("sha512sum " .. table.concat(quoted, " "))

    local lines, failures = digest.lines("sha512", names)

    assert.equal(wanted, lines)
    assert.same({}, failures)
    assert.equal(wanted, (digest.lines(nil, table.concat(names, "\0") .. "\0")))
    assert.equal(wanted, (digest.lines(nil, table.concat(names, "\0"))))
    assert.equal("", (digest.lines("sha512", {})))
    assert.equal("", (digest.lines("sha512", "")))
  end)

  it("tells of what cannot be read, and goes on", function()
    write("abc", "abc")
    sh "rm -rf in; mkdir in; mkfifo in/pipe; printf abc > in/abc"

    local lines, failures = digest.lines("sha256",
      list { "missing/a", "missing/b", "in/pipe", "in/abc", "in/none", "in/", "abc" })

    assert.equal(("%s  %s\n%s  %s\n"):format(vectors.sha256.abc, path "in/abc",
      vectors.sha256.abc, path "abc"), lines)
    assert.same({
      { path = path "missing/a", message = "No such file or directory", errno = 2 },
      { path = path "missing/b", message = "No such file or directory", errno = 2 },
      { path = path "in/pipe", message = "Is a FIFO", errno = 22 },
      { path = path "in/none", message = "No such file or directory", errno = 2 },
      { path = path "in/", message = "Is a directory", errno = 21 },
    }, failures)
  end)

  it("reads below paths longer than PATH_MAX", function()
    local name = ("d"):rep(200)
    sh("mkdir high; printf abc > high/f; printf abc > high/g; for i in $(seq 30); do mkdir t; "
      .. "mv high t/" .. name .. "; mv t high; done")
    local deep = path("high/" .. (name .. "/"):rep(30))

    local lines = digest.lines("sha256", { deep .. "f", deep .. "g" })

    assert.equal(vectors.sha256.abc .. "  " .. deep .. "f\n" .. vectors.sha256.abc .. "  " .. deep
      .. "g\n", lines)
  end)

  it("leaves no descriptor open, and refuses what is no list of paths", function()
    local before = open_descriptors()

    digest.lines("sha512", list { "in/abc", "in/none", "in/abc", "abc" })

    assert.equal(before, open_descriptors())
    assert.equal("bad argument #2 to '?' (string or table expected, got boolean)",
      refusal(digest.lines, "md5", true))
    assert.equal("bad argument #2 to '?' (paths must be strings)",
      refusal(digest.lines, "md5", { 1 }))
    assert.equal("bad argument #2 to '?' (path contains a zero byte)",
      refusal(digest.lines, "md5", { "a\0b" }))
    assert.equal("bad argument #1 to '?' (unknown digest \"md0\")",
      refusal(digest.lines, "md0", {}))
  end)
end)
