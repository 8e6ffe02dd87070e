rockspec_format = "3.0"
package = "tidepool"
version = "0.1.0-1"
source = {
  url = "file://tidepool-0.1.0.tar.gz",
}
description = {
  summary = "A pool of processes for Lua 5.4",
  detailed = [[
    map, imap, apply and their kin over worker processes, each with a Lua state of its own, in the
    manner of Python's multiprocessing.Pool. A killed worker costs only the items it had begun.
  ]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5" }
external_dependencies = {
  CRYPTO = { header = "openssl/evp.h" },
}
build = {
  type = "make",
  build_target = "tidepool.so",
  build_variables = {
    LUA = "$(LUA)",
    CFLAGS = "$(CFLAGS)",
    LUA_CFLAGS = "-I$(LUA_INCDIR)",
    CPPFLAGS = "-I$(CRYPTO_INCDIR)",
  },
  install_target = "install-module",
  install_variables = {
    CMODDIR = "$(LIBDIR)",
  },
}
