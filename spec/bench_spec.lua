-- bench_spec.lua - the benchmark's own tools: what is kept, what is refused, what is ended.

local command = require "spec.support.command"
local helper = require "spec.helper"
local tidepool = require "tidepool"

local IDLE = "idle: memory\nvalue\tidle\tours\tlow\tKiB\t150\n"
local FIB = "fib: tasks\nvalue\tfib\tours\tlow\tms\t300\n"

describe("a result of the benchmark", function()
  local results = dofile "scripts/bench/results.lua"

  ---Begin a result in the place of a kept one, and finish it or not; what is kept then.
  local function kept_after(finish)
    local file <close> = helper.file(IDLE)
    do
      local out <close> = results.open(file.path)
      out.file:write(FIB)
      if finish then out:keep() end
    end
    assert.is_false(helper.exists(file.path .. ".part"))
    return file:read()
  end

  it("stays until a run has ended", function() assert.equal(IDLE, kept_after(false)) end)

  it("is replaced then", function() assert.equal(FIB, kept_after(true)) end)
end)

describe("scripts/bench/bench.lua", function()
  local function refuses(words, message, status)
    command.runs("tidepool scripts/bench/bench.lua " .. words, nil, "", message, status)
  end

  it("refuses options that say nothing", function()
    refuses("--rounds 0 idle", "bench: --rounds 0 is not a number above 0\n", 2)
    refuses("--rounds x idle", "bench: --rounds x is not a number above 0\n", 2)
    refuses("nothing", "bench: no case nothing (--list has all)\n", 2)
  end)

  it("tells that a result cannot be kept", function()
    refuses("--name no/such idle",
      "bench: cannot keep the result: no/such.part: No such file or directory\n", 1)
  end)

  it("tells that two results have nothing in common", function()
    command.with_folder({ ["idle.txt"] = IDLE, ["fib.txt"] = FIB }, function(line)
      local _, err, status = command.sh(line)
      assert.matches("^bench: %S+/idle.txt and %S+/fib.txt have no case in common\n$", err)
      assert.equal(1, status)
    end, "tidepool scripts/bench/bench.lua --compare $D/idle.txt $D/fib.txt")
  end)

  it("puts no part of a result into the page", function()
    command.with_folder({ ["idle.txt"] = IDLE }, function(line)
      local out, err, status = command.sh(line)
      assert.matches("^bench: %S+/idle.txt lacks the case map\n$", err)
      assert.equal("the same\n", out)
      assert.equal(0, status)
    end, [[cp -r scripts/bench $D; tidepool $D/bench/bench.lua --readme $D/idle.txt
      cmp scripts/bench/README.md $D/bench/README.md && echo the same]])
  end)

  it("wants to be run from the project's folder", function()
    command.fails("P=$PWD; cd /; tidepool $P/scripts/bench/bench.lua idle",
      "bench: there is no scripts/bench/peers/ below this folder\n")
  end)
end)

describe("scripts/bench/codec.lua", function()
  it("refuses a data set that it does not have", function()
    command.runs("tidepool scripts/bench/codec.lua zz", nil, "",
      "bench: no data set zz (there are a b c d e f g h)\n", 2)
  end)
end)

describe("scripts/bench/peers/launch.c", function()
  it("ends the program when it is ended itself", function()
    command.with_folder({}, function(line)
      local out, _, status = command.sh(line)
      local pid = math.tointeger(tonumber(out:match "pid (%d+)"))
      assert.equal(0, status)
      local deadline = tidepool.now() + 10
      while helper.alive(pid) and tidepool.now() < deadline do tidepool.sleep(0.002) end
      assert.is_false(helper.alive(pid))
    end, [[${CC:-cc} -o $D/launch scripts/bench/peers/launch.c || exit
      $D/launch 60 0 sh -c 'echo pid $$; exec sleep 60' > $D/out &
      while ! grep -q pid $D/out; do :; done
      kill -TERM $!; wait $!; cat $D/out]])
  end)
end)
