---@meta tidepool
-- The whole API, for editors and readers; never run. spec/meta_spec.lua compares it with the
-- program.
-- luacheck: ignore 212 241

---- shapes ---------------------------------------------------------------------------

---What can travel: nil, booleans, numbers, strings, tables of these (any keys, cycles and shared
---tables; without metatables), objects of a type and functions with a name that the codec was told.
---What cannot is refused with the way to it: `cannot send argument 2["opts"].cb: a coroutine`.
---@alias tidepool.Sendable nil|boolean|number|string|table

---What a worker runs: a name (a path from the worker's globals, or `module.field` of a module that
---is loaded or that `require` finds), a function that a loaded module has (it travels as its name),
---or any other Lua function: it travels by value with copies of its upvalues, `_ENV` being the
---worker's. A callable table or userdata must be reachable by name in a loaded module.
---@alias tidepool.TaskFunction string|function|table|userdata

---A sequence (`n` items if it has the field `n`, else `#`), a function or callable object that is
---called until its first value is nil, or a coroutine. Advanced in the parent alone, one step at a
---time. An item is all the values of one step; of a sequence, one value.
---@alias tidepool.Iterable any[]|(fun(): any)|thread|table|userdata

---Bytes as Lua strings.
---@alias tidepool.Bytes string

---The module: `local tidepool = require "tidepool"`.
---@class tidepool
---@field codec tidepool.Codec CBOR
---@field digest tidepool.Digests hashing by libcrypto
---@field worker tidepool.WorkerInfo? who runs this; nil outside workers
---@field version string "0.1.0"
---@field versions tidepool.Versions
local tidepool = {}

---@class tidepool.Versions
---@field tidepool string
---@field lua string "5.4"
---@field openssl string? loads libcrypto when it is read

---@class tidepool.WorkerInfo
---@field number integer 1..n, the seat in the pool
---@field pid integer
---@field generation integer 1, and one more each time the seat gets a new worker

---@class tidepool.TaskInfo
---@field job integer number of the call in its pool
---@field index integer of the item in the input, from 1
---@field attempt integer 1, and one more after each loss with a worker

---Options of `tidepool.pool{...}`; a wrong or unknown one is an error before any process is made.
---@class tidepool.PoolOptions
---@field processes? integer workers, 1 to 65535; default `cpu_count()`, or what `-j` said
---Lua files run in order in every worker; a table that one returns becomes a module, named as the
---file without its ending.
---@field scripts? string|string[]
---@field initializer? tidepool.TaskFunction run in each worker before its first task
---@field initargs? tidepool.Sendable[] its arguments
---@field finalizer? tidepool.TaskFunction run in each worker that leaves in an orderly way
---@field maxtasksperchild? integer items after which a worker is replaced; default: never
---@field retries? integer times an item lost with its worker is run again; default 0
---@field window? integer items in flight or not yet taken, for `imap` and inputs of unknown length
---@field window_bytes? integer bytes in flight or not yet taken; default 64 MiB, or two chunks
---@field serial? boolean no processes: tasks run in the parent, inside its pool calls
---@field name? string for `tostring` and warnings; default the script's name

---Options of one call, in a table; in its place a number is `chunksize`, and a function `callback`,
---which may also come after it, with `error_callback` last.
---@class tidepool.CallOptions
---@field chunksize? integer items that travel together, at least 1; default by measured time
---@field callback? fun(...: any) gets the results, in the parent, once, within a pool call
---@field error_callback? fun(err: tidepool.Error) gets the error in place of results
---@field retries? integer as the pool's
---With "keep" all items run: `map` sets `r.errors[i]`, `imap` yields `i, nil, err`.
---@field on_error? "raise"|"keep" default "raise"
---@field progress? true|fun(done: integer, total: integer?) true: a line on a terminal's stderr
---@field window? integer as the pool's
---@field window_bytes? integer as the pool's

---@alias tidepool.ErrorKind
---| "error" the task raised an error
---| "lost" its worker died
---| "timeout" of `get`, `next` or `join`
---| "terminated" the pool was
---| "encode" an argument, a result or an upvalue cannot be sent
---| "decode" what was sent means nothing there
---| "unknown_function" the worker has none of that name
---| "initializer" a script or the initializer failed

---What a failure in or to a task is raised as. `tostring` gives the message and the worker's stack.
---@class tidepool.Error
---@field kind tidepool.ErrorKind
---@field message string
---@field value any the error value itself
---@field traceback string? the worker's Lua stack
---@field index integer? of the item, from 1
---@field task string? the function's name
---@field input string? the item's arguments as a short text
---@field worker integer? number of the worker
---@field pid integer?
---@field attempt integer?
---@field signal integer? of a lost worker
---@field status integer? the exit status of a lost worker

---Columns: `r[i]` is the first value of the call for item i.
---@class tidepool.Column
---@field n integer number of items
---@field errors table<integer, tidepool.Error>? with `on_error = "keep"`
---@field [integer] any

---- the module -------------------------------------------------------------------------

---Make a pool: `pool(n)`, `pool(n, initializer, initargs)` or `pool{...}`.
---Raises `bad pool option ...`, `unknown pool option ...`, `cannot read script ...`, a script's
---syntax error, `pools can be nested 2 deep`. What fails in a worker's start is raised by calls.
---Follows multiprocessing.Pool of Python; size 0 is refused, `serial = true` is for debugging.
---@param processes? integer|tidepool.PoolOptions
---@param initializer? tidepool.TaskFunction
---@param initargs? tidepool.Sendable[]
---@return tidepool.Pool
function tidepool.pool(processes, initializer, initargs) end

---CPUs that this process may use: the affinity mask and the cgroup's quota count.
---Follows os.process_cpu_count of Python, with the quota added.
---@return integer n at least 1
function tidepool.cpu_count() end

---The monotonic clock. Follows time.monotonic of Python.
---@return number seconds
function tidepool.now() end

---Sleep; a signal's handler may run meanwhile, and raise. Follows time.sleep of Python.
---Raises on a negative number and NaN.
---@param seconds number
function tidepool.sleep(seconds) end

---The process id. Follows os.getpid of Python.
---@return integer pid
function tidepool.getpid() end

---The task that runs, or nothing outside of tasks.
---@return tidepool.TaskInfo?
function tidepool.task() end

---Walk a tree, folder by folder: `for root, dirs, files in tidepool.walk(dir) do`.
---With `topdown`, the walk goes on with what the loop leaves in `dirs`. Names are sorted by bytes.
---Raises on misuse; what cannot be read goes to `onerror`, or to `errors()` and a warning.
---Follows os.walk of Python.
---@param dir string
---@param opts? tidepool.WalkOptions
---@return tidepool.Walker
function tidepool.walk(dir, opts) end

---The paths of the files of a tree, by their bytes: `for path in tidepool.files(dir) do`.
---With `sizes = true` also their sizes in bytes. Raises and reports as `walk` does.
---@param dir string
---@param opts? tidepool.FilesOptions
---@return tidepool.Walker
function tidepool.files(dir, opts) end

---Globs: `*`, `?` and `[...]` do not match a slash, `**` does. One without a slash is matched with
---the last name, else with the path below the top; one that ends in a slash is for folders only.
---@class tidepool.TreeOptions
---@field onerror? fun(path: string, message: string, errno: integer)
---@field followlinks? boolean enter links to folders, no loop; default false
---@field one_filesystem? boolean default false
---@field hidden? boolean names that begin with a dot, too; default true
---@field max_depth? integer names below the top, 1 for its own; default: no limit
---@field min_size? integer bytes of a regular file
---@field max_size? integer bytes of a regular file
---@field include? string|string[] globs; files that match none are left out
---@field exclude? string|string[] globs; files and folders that match one are left out
---"file", "link", "fifo", "socket", "char", "block"; default: of `files` "file", of `walk` all.
---@field types? string|string[]

---@class tidepool.WalkOptions: tidepool.TreeOptions
---@field topdown? boolean a folder before what is in it; default true

---@class tidepool.FilesOptions: tidepool.TreeOptions
---Yield the size, too; default false. "about": where files are small, most sizes are guesses.
---@field sizes? boolean|"about"
---Yield so many paths in one string, where each ends in a zero byte, and their number; with `sizes`
---also the sum of their sizes.
---@field batch? integer
---@field batch_bytes? integer fewer paths, if their sizes would sum up to more than that

---The iterator of `walk` and `files`; a `<close>` variable may hold it.
---@class tidepool.Walker
---@operator call: any
local Walker = {}

---End the walk; the next step yields nil.
function Walker:close() end

---Errors that no `onerror` took: at most 100 of them, `n` counts all.
---@return { n: integer, [integer]: { path: string, message: string, errno: integer } }
function Walker:errors() end

---- pools ------------------------------------------------------------------------------

---Made by `tidepool.pool`. At the end of `local pool <close>` it is closed and joined; when an
---error leaves the scope, terminated and joined. A forgotten one is stopped by the collector, with
---a warning. Every submission raises `pool is closed` or `pool is terminated` when it is,
---`bad task function: ...`, `bad call option ...`, and kind "encode" for what cannot be sent.
---@class tidepool.Pool
local Pool = {}

---Run `f(...)` in a worker and wait. Returns all its values; raises a `tidepool.Error`.
---Follows multiprocessing.Pool.apply.
---@param f tidepool.TaskFunction
---@param args? tidepool.Sendable[] `n` of them if it has the field `n`
---@param kwargs? table one more argument, the last
---@param opts? tidepool.CallOptions
---@param ... function callback and error_callback
---@return any ...
function Pool:apply(f, args, kwargs, opts, ...) end

---Run `f(...)` in a worker and return at once. Follows multiprocessing.Pool.apply_async.
---@param f tidepool.TaskFunction
---@param args? tidepool.Sendable[]
---@param kwargs? table
---@param opts? tidepool.CallOptions
---@param ... function callback and error_callback
---@return tidepool.AsyncResult
function Pool:apply_async(f, args, kwargs, opts, ...) end

---Run `f` on each item and wait: one column for each value that calls returned, the first at least.
---After an error nothing more is begun, what runs is awaited, and the lowest failed item's error is
---raised. Follows multiprocessing.Pool.map; a table with keys but no sequence is refused.
---@param f tidepool.TaskFunction
---@param xs tidepool.Iterable
---@param opts? integer|function|tidepool.CallOptions
---@param ... function callback and error_callback
---@return tidepool.Column r
---@return tidepool.Column ...
function Pool:map(f, xs, opts, ...) end

---`map` without waiting. Follows multiprocessing.Pool.map_async.
---@param f tidepool.TaskFunction
---@param xs tidepool.Iterable
---@param opts? integer|function|tidepool.CallOptions
---@param ... function callback and error_callback
---@return tidepool.AsyncResult
function Pool:map_async(f, xs, opts, ...) end

---`map` with items that are sequences of arguments. Follows multiprocessing.Pool.starmap.
---@param f tidepool.TaskFunction
---@param xs tidepool.Iterable
---@param opts? integer|function|tidepool.CallOptions
---@param ... function callback and error_callback
---@return tidepool.Column r
---@return tidepool.Column ...
function Pool:starmap(f, xs, opts, ...) end

---`starmap` without waiting. Follows multiprocessing.Pool.starmap_async.
---@param f tidepool.TaskFunction
---@param xs tidepool.Iterable
---@param opts? integer|function|tidepool.CallOptions
---@param ... function callback and error_callback
---@return tidepool.AsyncResult
function Pool:starmap_async(f, xs, opts, ...) end

---Run `f` on each item: `for i, v, ... in pool:imap(f, xs) do`, in input order. The index comes
---first, so a nil result does not end the loop. A failed item's error is raised at its turn; a
---further step goes on behind it. Follows multiprocessing.Pool.imap.
---@param f tidepool.TaskFunction
---@param xs tidepool.Iterable
---@param opts? integer|function|tidepool.CallOptions
---@param ... function callback and error_callback
---@return tidepool.ResultIterator
function Pool:imap(f, xs, opts, ...) end

---`imap` in the order in which results come. Follows multiprocessing.Pool.imap_unordered.
---@param f tidepool.TaskFunction
---@param xs tidepool.Iterable
---@param opts? integer|function|tidepool.CallOptions
---@param ... function callback and error_callback
---@return tidepool.ResultIterator
function Pool:imap_unordered(f, xs, opts, ...) end

---No more work; what was accepted runs to its end. Follows multiprocessing.Pool.close.
function Pool:close() end

---Stop now: workers are killed, results that are not there raise kind "terminated".
---Follows multiprocessing.Pool.terminate.
function Pool:terminate() end

---Wait until the workers are gone. Raises `pool is still running: close or terminate it first`, and
---kind "timeout". Follows multiprocessing.Pool.join, with a timeout.
---@param timeout? number seconds, at least 0; default: no limit
function Pool:join(timeout) end

---For event loops: collect what is finished, run callbacks, feed workers; wait for it if told to.
---@param timeout? number seconds, at least 0; default 0
---@return boolean happened
function Pool:step(timeout) end

---A descriptor that becomes readable when `step` has something to do.
---@return integer fd
function Pool:pollfd() end

---The same as `pollfd`, by the name that luasocket's `select` asks for.
---@return integer fd
function Pool:getfd() end

---What `pollfd` is to be watched for, as cqueues asks.
---@return "r"
function Pool:events() end

---No time limit of its own, as cqueues asks.
---@return nil
function Pool:timeout() end

---A result that comes later. `tostring` shows pending, running, done or failed.
---Follows multiprocessing.pool.AsyncResult.
---@class tidepool.AsyncResult
local AsyncResult = {}

---Wait for all values and return them, or raise the error; again and again the same.
---Raises kind "timeout" when the time is over; the work goes on.
---@param timeout? number seconds, at least 0; nil or infinity: no limit
---@return any ...
function AsyncResult:get(timeout) end

---Wait, but do not raise.
---@param timeout? number seconds, at least 0; nil or infinity: no limit
---@return boolean ready
function AsyncResult:wait(timeout) end

---Whether it is done or failed.
---@return boolean
function AsyncResult:ready() end

---Whether it is done and not failed. Raises `result is not ready`.
---@return boolean
function AsyncResult:successful() end

---What `imap` returns: a call yields the next index and values, nil at the end.
---@class tidepool.ResultIterator
---@operator call: any
local ResultIterator = {}

---The next step, with a limit. Raises kind "timeout". Follows IMapIterator.next of Python.
---@param timeout? number seconds, at least 0; default: no limit
---@return integer? i
---@return any ...
function ResultIterator:next(timeout) end

---- codec ------------------------------------------------------------------------------

---CBOR (RFC 8949). Integers and floats keep their subtype and strings their bytes; a table whose
---keys are 1..#t is an array, any other a map; shared tables and cycles are tags 28 and 29.
---@class tidepool.Codec
---@field null lightuserdata CBOR's null where nil cannot stand
local Codec = {}

---@class tidepool.CodecOptions
---Encode strings as text if they are UTF-8 and else as bytes; as bytes; as text or not at all.
---@field strings? "auto"|"bytes"|"text" default "auto"
---@field sharing? boolean encode: keep identity and cycles; default true
---@field deterministic? boolean encode: equal contents give equal bytes; default false
---@field dedupe? boolean encode: strings met again as references; default false
---@field magic? boolean encode: begin with the tag 55799; default false
---@field strict? boolean decode: shortest form, UTF-8 and no duplicate keys only; default false
---@field bigint? "error"|"float"|"string" decode: integers of more than 64 bits; default "error"
---@field null? any decode: what null becomes; default nil
---@field tags? table<integer, function> decode: what makes a value of a tag's value
---@field max_depth? integer 1 to 10000 levels; default 1000
---@field max_bytes? integer of the message; default: no limit

---A value as bytes. Raises `cannot encode value["a"]: a function` and the like.
---@param value any
---@param opts? tidepool.CodecOptions
---@return tidepool.Bytes
function Codec.encode(value, opts) end

---The value of bytes. Without `i`, bytes after the value are refused.
---Raises `cannot decode: truncated at offset 3` and the like.
---@param bytes tidepool.Bytes
---@param i? integer where to begin, from 1
---@param opts? tidepool.CodecOptions
---@return any value
---@return integer next position behind it
function Codec.decode(bytes, i, opts) end

---`decode` that gives nil and the message for bad bytes. Raises on misuse only.
---@param bytes tidepool.Bytes
---@param i? integer
---@param opts? tidepool.CodecOptions
---@return any value
---@return integer|string next or the message
function Codec.try_decode(bytes, i, opts) end

---Several values as bytes, their number and nils kept. Raises as `encode`.
---@param ... any
---@return tidepool.Bytes
function Codec.pack(...) end

---The values of `pack`. Raises as `decode`.
---@param bytes tidepool.Bytes
---@return any ...
function Codec.unpack(bytes) end

---Whether bytes are one value, without making it: true, or nil and a message.
---@param bytes tidepool.Bytes
---@param opts? tidepool.CodecOptions
---@return true?
---@return string? message
function Codec.check(bytes, opts) end

---Bytes in the diagnostic notation of RFC 8949, section 8. Raises as `decode`.
---@param bytes tidepool.Bytes
---@return string
function Codec.diag(bytes) end

---Mark a table, or a new one: it is an array even when it is empty or has holes.
---Raises if the table has a metatable of its own.
---@param t? table
---@return table t
function Codec.array(t) end

---Mark a table, or a new one: it is a map even when its keys are 1..#t. Raises as `array`.
---@param t? table
---@return table t
function Codec.map(t) end

---A value under a CBOR tag; it has the fields `tag` and `value`.
---Raises for tags that the codec writes itself (25 to 29, 256).
---@param tag integer at least 0
---@param value any
---@return userdata
function Codec.tag(tag, value) end

---Give a metatable a name: its objects travel as that type, to states that know the name as well.
---Hooks: `encode(object)` gives a value to send, `decode(value)` makes the object of it.
---Raises if the name is not text or begins with `lua.`.
---@param name string
---@param metatable table
---@param hooks? { encode?: fun(object: any): any, decode?: fun(value: any): any }
---@return table metatable
function Codec.register(name, metatable, hooks) end

---Give a function a name: it travels as that name, to states that know the name as well.
---@param name string
---@param f function
---@return function f
function Codec.func(name, f) end

---- digest -----------------------------------------------------------------------------

---Call it: `tidepool.digest(name)` makes a digest. Names are libcrypto's; the default is "sha512".
---Raises `unknown digest "x"`. Follows hashlib.new of Python.
---@class tidepool.Digests
---@operator call(string?): tidepool.Digest
local Digests = {}

---The digest of a string, in hexadecimal.
---@param name string?
---@param bytes string
---@param raw? boolean bytes in place of hexadecimal
---@return string
function Digests.string(name, bytes, raw) end

---The digest of a file, or of several names in one read. Follows hashlib.file_digest of Python.
---@param name string|string[]? at most 16
---@param path string
---@param raw? boolean bytes in place of hexadecimal
---@return string? digest one for each name; or nil, message, errno
---@return string? ...
function Digests.file(name, path, raw) end

---A line for each of many files: its digest in hexadecimal, two spaces and its path, as sha512sum
---prints it. Paths are a sequence, or a string where each ends in a zero byte.
---@param name string?
---@param paths string|string[]
---@return string lines
---@return { path: string, message: string, errno: integer }[] failures files that have no line
function Digests.lines(name, paths) end

---The names that libcrypto knows, sorted.
---@return string[]
function Digests.names() end

---Load digests now, so that pools made later find them ready.
---@param name string|string[]?
function Digests.prefetch(name) end

---The names loaded so far.
---@return string[]
function Digests.fetched() end

---libcrypto's version, or nil and a message without it.
---@return string?
---@return string? message
function Digests.version() end

---Made by `tidepool.digest(name)`; after `final` its methods raise `digest is finished`.
---@class tidepool.Digest
local Digest = {}

---Add bytes.
---@param bytes string
---@return tidepool.Digest self
function Digest:update(bytes) end

---The digest of all that was added.
---@param raw? boolean bytes in place of hexadecimal
---@return string
function Digest:final(raw) end

---A copy that goes on by itself.
---@return tidepool.Digest
function Digest:clone() end

return tidepool
