-- command.lua - the program on its command line, for specs: whole output, whole status.

local assert = require "luassert"

local command = {}

local bin = os.getenv "TIDEPOOL_BIN" or "./tidepool"
if not bin:find "^/" then bin = os.getenv "PWD" .. "/" .. bin end
local name = bin:gsub("%p", "%%%0")

command.bin = bin

local function slurp(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  os.remove(path)
  return text
end

local function temporary(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

---Run a shell line, in which `tidepool` is the program under test, with `input` on its standard
---input; returns what it printed, its messages (without the name of the program) and its status.
function command.sh(line, input)
  local in_path, err_path = temporary(input or ""), os.tmpname()
  local env = "unset LUA_INIT LUA_INIT_5_4 LUA_PATH LUA_PATH_5_4 LUA_CPATH LUA_CPATH_5_4\n"
  local tidepool = "tidepool() { timeout -k 1 30 " .. bin .. ' "$@"; }\n'
  local script = temporary(env .. tidepool .. line .. "\n")
  local pipe = io.popen(("sh %s <%s 2>%s; echo $?"):format(script, in_path, err_path))
  local out = pipe:read("a")
  pipe:close()
  os.remove(script)
  os.remove(in_path)
  local err = slurp(err_path):gsub(name, "tidepool")
  local text, status = out:match("^(.*)%f[%d](%d+)\n$")
  return text, err, math.tointeger(tonumber(status))
end

function command.runs(line, input, out, err, status)
  local got_out, got_err, got_status = command.sh(line, input)
  assert.equal(err, got_err)
  assert.equal(out, got_out)
  assert.equal(status, got_status)
end

function command.prints(line, out, input) command.runs(line, input, out, "", 0) end

function command.fails(line, err, input) command.runs(line, input, "", err, 1) end

---Run `line` with a script file in $S.
function command.with_script(text, check, line, ...)
  local path = temporary(text)
  local ok, err = pcall(check, "S=" .. path .. "; " .. line, ...)
  os.remove(path)
  if not ok then error(err, 0) end
end

---Run `line` with a folder of such files (name -> text) in $D.
function command.with_folder(files, check, line, ...)
  local folder = os.tmpname()
  os.execute("rm " .. folder .. "; mkdir " .. folder)
  for name_of_file, text in pairs(files) do
    local file = assert(io.open(folder .. "/" .. name_of_file, "wb"))
    file:write(text)
    file:close()
  end
  local ok, err = pcall(check, "D=" .. folder .. "; " .. line, ...)
  os.execute("rm -r " .. folder)
  if not ok then error(err, 0) end
end

return command
