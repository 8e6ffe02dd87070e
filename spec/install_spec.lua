-- install_spec.lua - make install, make uninstall and make dist, in folders of their own. What is
-- built is taken as it is.

local helper = require "spec.helper"

local ENV = "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u LUA_INIT -u LUA_PATH -u LUA_CPATH "

---What a shell line prints, messages too, and whether it went well.
local function sh(line)
  local pipe = assert(io.popen(line .. " 2>&1"))
  local text = pipe:read "a"
  return text, pipe:close() == true
end

local Folder = {}
Folder.__index = Folder

local function new_folder()
  return setmetatable({ path = sh("mktemp -d"):match "%C+" }, Folder)
end

function Folder:__close() os.execute("rm -rf " .. self.path) end

---What `make` prints, which goes well, installing below this folder.
function Folder:make(target)
  local text, ok = sh(ENV .. "timeout -k 1 60 make -s -o tidepool -o tidepool.so " .. target ..
    " DESTDIR=" .. self.path .. " PREFIX=/usr")
  assert(ok, text)
  return text
end

---What a shell line prints and whether it goes well, run there.
function Folder:run(line)
  return sh(("cd %s && %s timeout -k 1 60 %s"):format(self.path, ENV, line))
end

---Modes and names of the files, or of other things, one in a line.
function Folder:list(kind)
  return (self:run("find . -type " .. (kind or "f") .. " -printf '%m %P\\n' | LC_ALL=C sort -k2"))
end

local function scripts()
  local list = sh "LC_ALL=C ls scripts/*.lua"
  return (list:gsub("[^\n]+", "644 usr/share/tidepool/%0"))
end

describe("make install", function()
  local folder
  setup(function()
    folder = new_folder()
    folder:make "install"
  end)
  teardown(function() folder:__close() end)

  it("puts every file in its place, and no other", function()
    assert.equal("755 usr/bin/tidepool\n" ..
      "644 usr/lib/lua/5.4/tidepool.so\n" ..
      "644 usr/share/bash-completion/completions/tidepool\n" ..
      "644 usr/share/man/man1/tidepool.1\n" ..
      "644 usr/share/man/man3/tidepool.3\n" ..
      "644 usr/share/tidepool/library/tidepool.lua\n" .. scripts() ..
      "644 usr/share/zsh/site-functions/_tidepool\n", folder:list())
  end)

  it("makes a program that needs nothing of the source", function()
    local version, ok = folder:run "usr/bin/tidepool --version"

    assert.matches("^tidepool %d+%.%d+%.%d+\nLua 5%.4", version)
    assert.is_true(ok)
    assert.matches("^Hello, Ada!\n1 4 9 ",
      (folder:run "usr/bin/tidepool usr/share/tidepool/scripts/hello.lua Ada"))
  end)

  it("makes a module that lua5.4 finds by LUA_CPATH", function()
    assert.equal("2 4 6\n", (folder:run [[env LUA_CPATH='usr/lib/lua/5.4/?.so' lua5.4 -e '
      local pool <close> = require "tidepool".pool(2)
      print(table.concat(pool:map(function(x) return 2 * x end, { 1, 2, 3 }), " "))']]))
  end)

  it("has the folders' names in the manual page", function()
    local page = helper.slurp(folder.path .. "/usr/share/man/man1/tidepool.1")

    assert.matches("\n%.It Pa /usr/share/tidepool/scripts\n", page)
    assert.is_nil(page:find("/usr/local", 1, true))
  end)
end)

describe("debian/", function()
  ---Patterns of what the packages take.
  local function patterns()
    local list = {}
    for line in sh "cat debian/*.install":gmatch "%C+" do
      list[#list + 1] = "^" .. line:gsub("[%-.]", "%%%0"):gsub("%*", "[^/]+") .. "/"
    end
    return list
  end

  it("has a package for every file that is installed", function()
    local folder <close> = new_folder()
    folder:make "install CMODDIR=/usr/lib/any/lua/5.4"

    for name in folder:list():gmatch "(usr/%C+)" do
      local count = 0
      for _, pattern in ipairs(patterns()) do
        if name:find(pattern) then count = count + 1 end
      end
      assert.equal(1, count, name)
    end
  end)
end)

describe("make uninstall", function()
  it("takes away all that make install made, and its folders", function()
    local folder <close> = new_folder()
    folder:make "install"

    folder:make "uninstall"

    assert.equal("", folder:list())
    assert.is_nil(folder:list("d"):find "tidepool")
  end)

  it("leaves what is not its own", function()
    local folder <close> = new_folder()
    folder:make "install"
    folder:run "touch usr/bin/other usr/share/tidepool/scripts/mine.lua"

    folder:make "uninstall"

    assert.equal("644 usr/bin/other\n644 usr/share/tidepool/scripts/mine.lua\n", folder:list())
  end)

  it("does nothing where nothing is", function()
    local folder <close> = new_folder()

    assert.equal("", folder:make "uninstall")
  end)
end)

describe("make dist", function()
  local function names(folder, tarball)
    return (folder:run("tar -tf " .. tarball .. " | grep -v '/$' | LC_ALL=C sort"))
  end

  it("makes a tarball with all that the build needs, from a checkout and from itself", function()
    local folder <close> = new_folder()
    folder:make("dist DIST=" .. folder.path .. "/first.tar.gz")
    folder:run "tar -xf first.tar.gz"
    local source = folder:run("ls -d tidepool-*"):match "%C+"
    local makefile = sh "pwd":match "%C+" .. "/Makefile"

    assert.is_nil(folder:list():find("/.git/", 1, true))
    assert.same({ "", true }, { folder:run("make -n -C " .. source .. " all >/dev/null") })
    folder:run("make -s -C " .. source .. " build/embed.c && cd " .. source ..
      " && touch tidepool tidepool.so hashtree.sha512")
    assert.same({ "", true }, { folder:run("make -s -C " .. source .. " -f " .. makefile ..
      " dist") })
    assert.equal(names(folder, "first.tar.gz"), names(folder, source .. "/" .. source .. ".tar.gz"))
    assert.matches("\n" .. source:gsub("%p", "%%%0") .. "/host/main%.c\n",
      names(folder, "first.tar.gz"))
  end)
end)
