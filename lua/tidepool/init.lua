-- The module: what `require "tidepool"` returns.

local core = require "tidepool.core"
require "tidepool.error"
require "tidepool.functions"
local pool = require "tidepool.pool"

local VERSION = "0.1.0"

local tidepool = {
  pool = pool.new,
  codec = core.codec,
  digest = core.digest,
  walk = core.walk.walk,
  files = core.walk.files,
  cpu_count = core.cpu_count,
  now = core.now,
  sleep = core.sleep,
  getpid = core.getpid,
  worker = core.worker(),
  task = core.task,
  version = VERSION,
}

-- Asking libcrypto for its version loads it, so that waits until it is read.
local versions = { tidepool = VERSION, lua = _VERSION:match "%d+%.%d+" }
tidepool.versions = setmetatable(versions, {
  __index = function(t, key)
    if key == "openssl" then
      t.openssl = core.digest.version()
      return t.openssl
    end
  end,
})

require "tidepool.worker" -- compiled here, for the workers to inherit

return tidepool
