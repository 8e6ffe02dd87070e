-- package_spec.lua - the rockspec and debian/ say what the program, the Makefile and the licence
-- say.

local helper = require "spec.helper"
local tidepool = require "tidepool"

---What a shell line prints, messages too, and whether it went well.
local function sh(line)
  local pipe = assert(io.popen(line .. " 2>&1"))
  local text = pipe:read "a"
  return text, pipe:close() == true
end

local makefile = assert(helper.slurp "Makefile")

describe("the rockspec", function()
  local path, rock
  setup(function()
    path, rock = sh "ls *.rockspec":match "%C+", {}
    assert(loadfile(path, "t", rock))()
  end)

  it("is of this version", function()
    assert.equal(rock.package .. "-" .. rock.version .. ".rockspec", path)
    assert.equal("tidepool-" .. tidepool.version, path:match "^(.*)%-%d+%.rockspec$")
  end)

  it("takes the tarball of make dist", function()
    local name = sh("env -u MAKEFLAGS make -n dist"):match "%S+%.tar%.gz"

    assert.equal("file://" .. name, rock.source.url)
  end)

  it("tells what it is and what it needs", function()
    assert.equal("3.0", rock.rockspec_format)
    assert.equal("MIT", rock.description.license)
    assert.matches("^%u.*[^.]$", rock.description.summary)
    assert.matches("%S", rock.description.detailed)
    assert.same({ "lua >= 5.4, < 5.5" }, rock.dependencies)
    assert.same({ "linux" }, rock.supported_platforms)
  end)

  it("builds and installs by targets and variables of the Makefile", function()
    assert.equal("make", rock.build.type)
    for _, target in ipairs { rock.build.build_target, rock.build.install_target } do
      assert.truthy(makefile:find("\n" .. target .. ":", 1, true), target)
    end
    for _, set in ipairs { rock.build.build_variables, rock.build.install_variables } do
      for name in pairs(set) do
        assert.truthy(makefile:find("$(" .. name .. ")", 1, true), name)
      end
    end
  end)

  it("is free of errors for luarocks", function()
    if not sh "command -v luarocks":find "%S" then return pending "luarocks is not installed" end
    assert.same({ "", true }, { sh("luarocks --lua-version=5.4 lint " .. path) })
  end)
end)

describe("debian/", function()
  local control = assert(helper.slurp "debian/control")

  it("is of this version", function()
    local text = assert(helper.slurp "debian/changelog")
    assert.equal(tidepool.version, text:match "^tidepool %(([^)]+)%)")
  end)

  it("asks for the packages that make setup and make setup-test ask for", function()
    local list = makefile:match "\nNEED = @%.ci/need build%-essential ([^\n]+)" ..
      makefile:match "\nsetup%-test:\n\t%$%(NEED%)([^\n]+)"
    local count = 0
    for name in list:gmatch "%S+" do
      assert.truthy(control:match("\nBuild%-Depends:.-\n " .. name:gsub("%p", "%%%0") .. "[ ,]"),
        name)
      count = count + 1
    end
    assert.equal(6, count)
  end)

  it("has the text of the licence", function()
    local text = assert(helper.slurp "debian/copyright"):match "\nLicense: Expat\n (.*)"
    local licence = assert(helper.slurp "LICENSE"):match "\n(Permission.*)"

    assert.equal(licence, (text:gsub("\n ", "\n"):gsub("\n%.\n", "\n\n")))
  end)

  it("tests with specs that are there", function()
    local list = assert(helper.slurp "debian/rules"):match "\nQUICK = ([^\n]+)"
    for name in list:gmatch "%S+" do
      assert.is_true(helper.exists("spec/" .. name .. "_spec.lua"), name)
    end
  end)
end)
