-- Lua's own functions, one a line: what to write and get -- what that does.

return [==[
assert(v [, message]) -> v, message -- raise message (any value) if v is false or nil
collectgarbage([what [, ...]]) -> any -- "collect", "count" (KiB), "step", "stop", "restart" ...
dofile([file]) -> any -- run a file, or standard input
error(v [, level]) -- raise v; text gets the position of the caller (1), of its caller (2), none (0)
getmetatable(v) -> table or nil -- its metatable, or the metatable's field __metatable
ipairs(t) -> iterator -- for i, v in ipairs(t): t[1], t[2] and on up to the first nil
load(chunk [, name [, mode [, env]]]) -> function or nil, message -- compile text or its pieces
loadfile([file [, mode [, env]]]) -> function or nil, message -- compile a file
next(t [, key]) -> key, value or nil -- the entry behind key, in no order
pairs(t) -> iterator -- for k, v in pairs(t): all entries, or what __pairs says
pcall(f, ...) -> true, results or false, error -- call f, catching errors
print(...) -- write the values as strings, tabs between them
rawequal(a, b) -> boolean -- a == b without __eq
rawget(t, key) -> any -- t[key] without __index
rawlen(v) -> integer -- #v without __len
rawset(t, key, value) -> t -- t[key] = value without __newindex
require(name) -> module, where -- load a module once
select(n, ...) -> any -- the values from the n-th on; of "#" their number
setmetatable(t, meta) -> t -- give a table a metatable, or none (nil)
tonumber(v [, base]) -> number or nil -- a number from text, in a base of 2 to 36
tostring(v) -> string -- text for people; by __tostring if there is one
type(v) -> string -- "nil", "boolean", "number", "string", "table", "function", "thread", "userdata"
warn(message, ...) -- a warning; "@on" and "@off" switch them
xpcall(f, handler, ...) -> true, results or false, what handler gives -- pcall with a handler

coroutine.close(co) -> true or false, error -- end a suspended coroutine, closing its variables
coroutine.create(f) -> thread -- a coroutine that will run f
coroutine.isyieldable([co]) -> boolean -- may it yield?
coroutine.resume(co, ...) -> true, values or false, error -- go on; the values are results of yield
coroutine.running() -> thread, boolean -- the one that runs, and whether it is the main one
coroutine.status(co) -> string -- "suspended", "running", "normal" or "dead"
coroutine.wrap(f) -> function -- a coroutine as a function; errors go on to the caller
coroutine.yield(...) -> any -- stop here; the values are results of resume

debug.debug() -- read lines and run them, up to "cont"
debug.gethook([thread]) -> function, mask, count -- the hook that is set
debug.getinfo([thread,] f [, what]) -> table -- facts about a function or a level of the stack
debug.getlocal([thread,] f, i) -> name, value -- a local variable of a level, a parameter of f
debug.getmetatable(v) -> table or nil -- its metatable, whatever __metatable says
debug.getregistry() -> table -- where C code keeps its values
debug.getupvalue(f, i) -> name, value -- the i-th variable from outside that f uses
debug.getuservalue(u [, n]) -> value, boolean -- the n-th Lua value of a userdata
debug.setcstacklimit(n) -> integer -- without effect, for old programs
debug.sethook([thread,] hook, mask [, count]) -- at calls "c", returns "r", lines "l", each count
debug.setlocal([thread,] level, i, value) -> name -- assign to a local variable
debug.setmetatable(v, meta) -> v -- give any value a metatable
debug.setupvalue(f, i, value) -> name -- assign to a variable from outside
debug.setuservalue(u, value [, n]) -> u -- set the n-th Lua value of a userdata
debug.traceback([thread,] [message [, level]]) -> string -- the stack as text
debug.upvalueid(f, i) -> userdata -- what tells whether functions share a variable
debug.upvaluejoin(f, i, g, j) -- let f's i-th variable be g's j-th

file:close() -> true or nil, message -- close it; of a program's pipe its exit status
file:flush() -> file -- write what is buffered
file:lines(...) -> iterator -- for line in file:lines(); formats as of read
file:read(...) -> any -- formats: "l" line, "L" with its end, "a" all, "n" number, n bytes
file:seek([whence [, offset]]) -> integer -- move to an offset from "set", "cur" or "end"
file:setvbuf(mode [, size]) -> true -- "no", "full" or "line" buffering
file:write(...) -> file or nil, message -- write strings and numbers

io.close([file]) -> true or nil, message -- file:close, of standard output by default
io.flush() -- file:flush of the standard output
io.input([file]) -> file -- the standard input, or another in its place
io.lines([name, ...]) -> iterator -- for line in io.lines(name); closed at the end
io.open(name [, mode]) -> file or nil, message, errno -- mode: "r", "w", "a", with "+" and "b"
io.output([file]) -> file -- the standard output, or another in its place
io.popen(command [, mode]) -> file -- a program, to read from ("r") or to write to ("w")
io.read(...) -> any -- file:read of the standard input
io.tmpfile() -> file -- a new file that is gone at the end
io.type(v) -> string or nil -- "file", "closed file", or nil
io.write(...) -> file -- file:write to the standard output
io.stderr -- the file for errors
io.stdin -- the file to read from
io.stdout -- the file to write to

math.abs(x) -> number -- its size, without the sign
math.acos(x) -> float -- arc cosine, in radians
math.asin(x) -> float -- arc sine, in radians
math.atan(y [, x]) -> float -- arc tangent of y/x, in radians
math.atan2(y, x) -> float -- old name of math.atan
math.ceil(x) -> integer -- the next integer above
math.cos(x) -> float -- cosine of radians
math.cosh(x) -> float -- hyperbolic cosine (old)
math.deg(x) -> float -- radians as degrees
math.exp(x) -> float -- e to the power x
math.floor(x) -> integer -- the next integer below
math.fmod(x, y) -> number -- the rest of x/y rounded to zero
math.frexp(x) -> float, integer -- mantissa and exponent (old)
math.huge -- the float above all others
math.ldexp(m, e) -> float -- m * 2^e (old)
math.log(x [, base]) -> float -- logarithm; base e by default
math.log10(x) -> float -- logarithm of base 10 (old)
math.max(x, ...) -> number -- the largest
math.maxinteger -- 2^63 - 1
math.min(x, ...) -> number -- the smallest
math.mininteger -- -2^63
math.modf(x) -> float, float -- whole and broken part
math.pi -- 3.1415926535898
math.pow(x, y) -> float -- x^y (old)
math.rad(x) -> float -- degrees as radians
math.random([m [, n]]) -> number -- in [0,1), an integer in 1..m or m..n, any one for 0
math.randomseed([x [, y]]) -> integer, integer -- begin anew; by chance without arguments
math.sin(x) -> float -- sine of radians
math.sinh(x) -> float -- hyperbolic sine (old)
math.sqrt(x) -> float -- square root
math.tan(x) -> float -- tangent of radians
math.tanh(x) -> float -- hyperbolic tangent (old)
math.tointeger(x) -> integer or nil -- x as an integer if it is whole
math.type(x) -> string or nil -- "integer", "float", or nil
math.ult(m, n) -> boolean -- m < n as unsigned integers

os.clock() -> float -- seconds of processor time
os.date([format [, time]]) -> string or table -- a moment as text; "*t" as a table, "!" in UTC
os.difftime(a, b) -> float -- seconds from b to a
os.execute([command]) -> true or nil, "exit" or "signal", number -- run a command of the shell
os.exit([code [, close]]) -- end the program; true, false or a number; close the state first
os.getenv(name) -> string or nil -- a variable of the environment
os.remove(name) -> true or nil, message, errno -- delete a file
os.rename(old, new) -> true or nil, message, errno -- rename a file
os.setlocale(locale [, category]) -> string or nil -- set or ask for the locale
os.time([t]) -> integer -- seconds since 1970, now or of a table
os.tmpname() -> string -- a name for a temporary file

package.config -- separators of the system, a line each
package.cpath -- where require looks for modules in C
package.loaded -- modules by name, once loaded
package.loadlib(path, name) -> function or nil, message -- a function of a library in C
package.path -- where require looks for modules in Lua
package.preload -- loaders by name, which require takes first
package.searchers -- functions by which require finds a loader
package.searchpath(name, path [, sep [, rep]]) -> string or nil, message -- the file of a module

string.byte(s [, i [, j]]) -> integers -- the bytes i..j as numbers
string.char(...) -> string -- a string of bytes given as numbers
string.dump(f [, strip]) -> string -- a function as a binary chunk
string.find(s, pattern [, i [, plain]]) -> first, last, captures or nil -- where the pattern matches
string.format(format, ...) -> string -- as printf in C; %q as Lua text, %s by tostring
string.gmatch(s, pattern [, i]) -> iterator -- for captures in s:gmatch(pattern): all matches
string.gsub(s, pattern, by [, n]) -> string, integer -- replace matches; by: text, table or function
string.len(s) -> integer -- bytes
string.lower(s) -> string -- in small letters
string.match(s, pattern [, i]) -> captures or nil -- the first match
string.pack(format, ...) -> string -- values as binary data
string.packsize(format) -> integer -- bytes that pack makes
string.rep(s, n [, sep]) -> string -- n copies of s, with sep between them
string.reverse(s) -> string -- the bytes backwards
string.sub(s, i [, j]) -> string -- the bytes i..j; negative ones count from the end
string.unpack(format, s [, i]) -> values, next -- the values of binary data
string.upper(s) -> string -- in capitals

table.concat(t [, sep [, i [, j]]]) -> string -- t[i]..t[j] as one string, with sep between them
table.insert(t, [i,] v) -- add v at the end, or at i
table.move(t, from, to, at [, other]) -> table -- copy t[from]..t[to] to at
table.pack(...) -> table -- the values, and their number as n
table.remove(t [, i]) -> any -- take out the last one, or the one at i
table.sort(t [, before]) -- sort in place, by < or by before(a, b)
table.unpack(t [, i [, j]]) -> any -- the values t[i]..t[j]

utf8.char(...) -> string -- code points as UTF-8
utf8.charpattern -- a pattern that matches one character
utf8.codepoint(s [, i [, j [, lax]]]) -> integers -- the code points that begin in i..j
utf8.codes(s [, lax]) -> iterator -- for position, code in utf8.codes(s)
utf8.len(s [, i [, j [, lax]]]) -> integer or nil, position -- characters, or where it is no UTF-8
utf8.offset(s, n [, i]) -> integer or nil -- where the n-th character begins

_VERSION -- "Lua 5.4"
]==]
