-- layers_spec.lua - host/ is built in rows: a file includes only its own header, headers of lower
-- rows, and a neighbour where an arrow is drawn. Lua and the kernel stay in their rooms.

---Every file of host/ by its stem, from the bottom up. One line may hold several rooms of a row,
---set apart by `|`: files of a room include each other freely, rooms only along an arrow.
local rows = {
  [0] = "buf | embed | glob",
  "sys sys_process | sys_file | sys_prompt",
  "alloc fresh | arena | window | table | digest | walk | frame | glimpse | state | task |" ..
    " codec head seen check encode encoder encode_error encode_flat encode_object encode_sorted" ..
    " decode decoder decode_key decode_tag scalar",
  "supervisor supervisor_child nursery | worker | pool",
  "lua_pool lua_start lua_feed lua_job lua_result lua_look | lua_codec lua_codec_diag |" ..
    " lua_nursery | lua_digest | lua_walk | lua_rules | lua_core",
  "main | guard | options | prompt session editor editor_keys libedit history",
}

---Sideways: from -> to.
local arrows = {
  "sys_prompt -> sys_file",
  "table -> arena", "table -> window", "frame -> codec", "task -> codec", "task -> frame",
  "task -> state", "task -> glimpse", "glimpse -> codec", "glimpse -> frame", "state -> alloc",
  "pool -> supervisor", "worker -> supervisor", "lua_core -> lua_pool", "lua_core -> lua_codec",
  "lua_core -> lua_digest", "lua_core -> lua_walk", "lua_core -> lua_nursery",
  "lua_pool -> lua_nursery", "lua_digest -> lua_nursery", "lua_core -> lua_rules", "main -> guard",
  "main -> options", "main -> prompt", "prompt -> guard",
}

local lua_rooms = {
  "^codec$", "^encode", "^decode", "^fresh$", "^state$", "^task$", "^worker$", "^lua_", "^main$",
  "^guard$", "^prompt$", "^session$",
}

local function set(list)
  local result = {}
  for _, value in ipairs(list) do result[value] = true end
  return result
end

local is_arrow = set(arrows)
local os_doors = set { "sys", "sys_process", "sys_file", "sys_prompt" }
local lua_headers = set { "lua.h", "lauxlib.h", "lualib.h" }
local kernel_headers = set {
  "unistd.h", "fcntl.h", "signal.h", "dirent.h", "poll.h", "sched.h", "pthread.h", "spawn.h",
  "termios.h", "semaphore.h", "mqueue.h", "syscall.h", "ftw.h", "glob.h", "pwd.h", "grp.h",
}
---The front door, row 5, keeps the program's signals and asks whether it talks to a terminal.
local front_door = set { "signal.h", "unistd.h" }

---stem -> { row =, room = }, where a room is named by its first file.
local function read_rows(list)
  local places = {}
  for row = 0, #list do
    for room in (list[row] .. "|"):gmatch("([^|]*)|") do
      local name = room:match("[%w_]+")
      for stem in room:gmatch("[%w_]+") do places[stem] = { row = row, room = name } end
    end
  end
  return places
end

local places = read_rows(rows)

local function complaint_about_own(from, to)
  local here, there = places[from], places[to]
  if not there then return "which has no row" end
  if from == to or there.row < here.row or there.room == here.room then return nil end
  if is_arrow[here.room .. " -> " .. there.room] then return nil end
  if there.row > here.row then return ("from row %d, above row %d"):format(there.row, here.row) end
  return "its neighbour, without an arrow"
end

local function may_see_lua(stem)
  for _, pattern in ipairs(lua_rooms) do
    if stem:match(pattern) then return true end
  end
  return false
end

local function complaint_about_system(from, header)
  if lua_headers[header] then
    return not may_see_lua(from) and "but must not know Lua" or nil
  end
  local kernel = kernel_headers[header] or header:match("^sys/") or header:match("^linux/")
    or header:match("^asm/") or header:match("^net")
  if not kernel or os_doors[from] then return nil end
  if front_door[header] and places[from].row == #rows then return nil end
  return "but is not the OS door"
end

---What is wrong in `files`, a table of path -> contents: a sorted list of sentences.
local function violations(files)
  local found = {}
  for path, text in pairs(files) do
    local from = path:match("([%w_]+)%.[ch]$")
    if not places[from] then found[#found + 1] = path .. " has no row" end
    for open, name in ("\n" .. text):gmatch('\n[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]') do
      local why
      if places[from] and open == '"' then
        why = complaint_about_own(from, name:match("([%w_]+)%.h$") or name)
      elseif places[from] then
        why = complaint_about_system(from, name)
      end
      if why then found[#found + 1] = ("%s includes %s, %s"):format(path, name, why) end
    end
  end
  table.sort(found)
  return found
end

local function host_files()
  local files = {}
  local pipe = assert(io.popen("ls host/*.c host/*.h"))
  for path in pipe:lines() do
    local file = assert(io.open(path, "rb"))
    files[path] = file:read("a")
    file:close()
  end
  pipe:close()
  return files
end

describe("host/", function()
  it("keeps to its rows", function()
    local files = host_files()

    assert.is_string(files["host/main.c"])
    assert.same({}, violations(files))
  end)

  it("has a file for every stem of the rows", function()
    local files, missing = host_files(), {}
    for stem in pairs(places) do
      if not files["host/" .. stem .. ".c"] and not files["host/" .. stem .. ".h"] then
        missing[#missing + 1] = stem
      end
    end

    assert.same({}, missing)
  end)
end)

describe("the check of the rows", function()
  local function finds(path, text, ...) assert.same({ ... }, violations { [path] = text }) end

  it("accepts what the rows allow", function()
    finds("host/pool.c", '#include "pool.h"\n#include "supervisor.h"\n#include "buf.h"\n')
    finds("host/table.c", '#include "table.h"\n#include "arena.h"\n#include <stdatomic.h>\n')
    finds("host/sys.c", "#include <unistd.h>\n#include <sys/mman.h>\n")
    finds("host/main.c", "#include <signal.h>\n#include <lua.h>\n")
  end)

  it("finds a header of a higher row", function()
    finds("host/sys.c", '#include "pool.h"\n',
      "host/sys.c includes pool.h, from row 3, above row 1")
  end)

  it("finds a neighbour without an arrow", function()
    finds("host/supervisor.c", '#include "pool.h"\n',
      "host/supervisor.c includes pool.h, its neighbour, without an arrow")
    finds("host/lua_walk.c", '#include "lua_core.h"\n',
      "host/lua_walk.c includes lua_core.h, its neighbour, without an arrow")
  end)

  it("finds Lua where it must not be", function()
    finds("host/pool.h", "#include <stddef.h>\n#include <lua.h>\n",
      "host/pool.h includes lua.h, but must not know Lua")
    finds("host/table.c", "#include <lauxlib.h>\n",
      "host/table.c includes lauxlib.h, but must not know Lua")
  end)

  it("finds the kernel behind the door", function()
    finds("host/walk.c", "#include <dirent.h>\n # include <sys/stat.h>\n",
      "host/walk.c includes dirent.h, but is not the OS door",
      "host/walk.c includes sys/stat.h, but is not the OS door")
    finds("host/main.c", "#include <fcntl.h>\n",
      "host/main.c includes fcntl.h, but is not the OS door")
  end)

  it("finds files and headers without a row", function()
    finds("host/junk.c", '#include "pool.h"\n', "host/junk.c has no row")
    finds("host/pool.c", '#include "junk.h"\n', "host/pool.c includes junk.h, which has no row")
  end)
end)
