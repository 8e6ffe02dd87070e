# tidepool: Lua 5.4 with a pool of processes.
#
#   make                 build ./tidepool and ./tidepool.so
#   make run [TREE=dir]  set up, build, list the SHA-512 of every file of a tree
#                        (also in hashtree.sha512)
#   make test            set up, build, run every test, end in one line of counts
#   make spec            the specs alone (SPEC=spec/x_spec.lua for one of them)
#   make ctest           the tests in C     make asan   specs and C tests sanitized
#   make lint            luacheck, clang-format, warnings of gcc and clang
#   make fuzz            libFuzzer on the decoder (FUZZ_RUNS=10000000)
#   make stress          pools whose processes are killed (KILLS=100000)
#   make steps           a worker killed after each instruction (STEP=1)
#   make faults          operations that lose each allocation in turn
#   make tsan            the slot table among threads (TASKS=1000000)
#   make model           who is woken for a task, all there is (spin; more
#                        than 13 GB; MODEL='-DTASKS=3 -DSHORT=1': 3 GB)
#   make bench [CASE=x] [NAME=y]     the benchmarks
#   make bench-codec [SET=a] [NAME=y]  those of the codec
#   make install         to DESTDIR, PREFIX=/usr/local (uninstall undoes it)
#   make dist            tidepool-VERSION.tar.gz, of HEAD if this is a checkout
#   make clean, help
#
# LUA_LINK=shared links the program to liblua5.4.so (default: static).

VERSION = 0.1.0
PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
CMODDIR = $(PREFIX)/lib/lua/5.4
MANDIR = $(PREFIX)/share/man
DATADIR = $(PREFIX)/share/tidepool
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR = $(PREFIX)/share/zsh/site-functions
TREE = $(firstword $(wildcard /usr/include /usr/share))
SPEC = $(sort $(wildcard spec/*_spec.lua spec/*/*_spec.lua))
FUZZ_RUNS = 10000000
KILLS = 100000
STEP = 1
TASKS = 1000000
MODEL = -DTASKS=2 -DSHORT=2 -DKILLS=1
LUA_LINK = static
LUA = lua5.4
EMBED = scripts/build/embed.lua
CFLAGS ?= -O2 -g

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
  -Wmissing-prototypes -Wwrite-strings -Wpointer-arith
LUA_CFLAGS := $(shell pkg-config --cflags lua5.4 2>/dev/null)
CPPFLAGS_ALL = -std=c11 -Ihost $(LUA_CFLAGS) $(CPPFLAGS)
HARD = -D_FORTIFY_SOURCE=2 -fstack-protector-strong
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all
# Modules written in C find Lua in the program, and nothing else of it.
static_LIBS = -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive \
  -Wl,--export-dynamic-symbol='lua*'
shared_LIBS = $(shell pkg-config --libs lua5.4)
LIBS = $($(LUA_LINK)_LIBS) -lm -ldl

host_FLAGS = $(CFLAGS) $(HARD)
so_FLAGS = $(CFLAGS) $(HARD) -fPIC -fno-semantic-interposition
asan_FLAGS = -O1 -g -fno-omit-frame-pointer $(SANITIZE)
# It does not know fences, nor does what it looks for need them.
tsan_FLAGS = -O1 -g -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
LINK = -Wl,-z,relro,-z,now $(LDFLAGS)

MODULES = $(wildcard lua/tidepool/*.lua)
# What only the program has, the module has not.
PROGRAM = main.o guard.o options.o prompt.o session.o editor.o \
  editor_keys.o libedit.o history.o sys_prompt.o
# What a worker runs lies together, beside Lua: it touches fewer pages.
WORKER = supervisor.o worker.o table.o window.o task.o state.o alloc.o \
  fresh.o frame.o buf.o decode.o decode_key.o decode_tag.o encode.o sys.o \
  sys_process.o
OBJECTS = embed.o $(PROGRAM) $(filter-out $(PROGRAM) $(WORKER),\
  $(patsubst host/%.c,%.o,$(wildcard host/*.c))) $(WORKER)
CTESTS = $(patsubst spec/c/%.c,%,$(wildcard spec/c/*_test.c))
# Not those that step through what a sanitizer adds, or have one of their own.
ASAN_CTESTS = $(filter-out step_test race_test,$(CTESTS))
RUN = spec/support/run
SCRIPTS = $(wildcard scripts/*.lua)
NAME = tidepool-$(VERSION)
DIST = $(NAME).tar.gz
SOURCES = $(filter-out .git build tidepool tidepool.so tidepool-%.tar.gz \
  hashtree.sha512,$(wildcard * .[a-z]*))

all: tidepool tidepool.so

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

NEED = @.ci/need build-essential pkg-config lua5.4 liblua5.4-dev libssl-dev
setup:
	$(NEED)
setup-test:
	$(NEED) lua-busted libedit2
setup-lint:
	$(NEED) lua-check clang-format clang

# $(1) is host, so or asan: objects below build/$(1), and all but PROGRAM in an
# archive, from which the tests in C take what they use.
define flavour
build/$(1)/%.o: host/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS_ALL) $$(WARN) $$($(1)_FLAGS) -MMD -MP -c -o $$@ $$<
build/$(1)/embed.o: build/embed.c
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS_ALL) $$(WARN) $$($(1)_FLAGS) -MMD -MP -c -o $$@ $$<
build/$(1)/tests.a: $$(addprefix build/$(1)/,$$(filter-out $$(PROGRAM),$$(OBJECTS)))
	rm -f $$@ && ar rcs $$@ $$^
build/$(1)/%_test: spec/c/%_test.c build/$(1)/tests.a
	$$(CC) $$(CPPFLAGS_ALL) $$(WARN) $$($(1)_FLAGS) -MMD -MP -pthread $$(LINK) -o $$@ $$(filter %.c %.a,$$^) $$(LIBS)
-include $$(wildcard build/$(1)/*.d)
endef
$(foreach f,host so asan,$(eval $(call flavour,$f)))

build/host/fault_test build/asan/fault_test: LINK += -Wl,--wrap=malloc \
  -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=alloc_for_lua

tidepool: $(addprefix build/host/,$(OBJECTS))
	$(CC) $(host_FLAGS) $(LINK) -o $@ $^ $(LIBS)
build/asan/tidepool: $(addprefix build/asan/,$(OBJECTS))
	$(CC) $(asan_FLAGS) -o $@ $^ $(LIBS)
tidepool.so: $(addprefix build/so/,$(filter-out $(PROGRAM),$(OBJECTS)))
	$(CC) $(so_FLAGS) -shared -Wl,-Bsymbolic $(LINK) -o $@ $^ -lm -ldl

# Old ones of this sanitizer know no random addresses as wide as today's.
FIXED = $$(setarch -R true 2>/dev/null && echo setarch -R)
build/tsan/race_test: spec/c/race_test.c $(wildcard host/*.h) \
  $(patsubst %,host/%.c,table window worker buf sys)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(WARN) $(tsan_FLAGS) -o $@ $(filter %.c,$^) -pthread

# The specs' pseudo terminal.
build/pty: spec/support/pty.c
	@mkdir -p $(@D)
	$(CC) -std=c11 $(WARN) $(CFLAGS) -o $@ $<

# The folder's own time stamp tells of modules that came or went.
build/embed.c: $(EMBED) $(MODULES) lua/tidepool
	@mkdir -p build
	$(LUA) $(EMBED) $(MODULES) > $@.new
	@mv $@.new $@

run: setup
	@$(MAKE) --no-print-directory all >&2
	@./tidepool scripts/hashtree.lua $(TREE) > hashtree.sha512; status=$$?; \
	  cat hashtree.sha512; echo "$$(wc -l < hashtree.sha512) files; to check: \
	sha512sum -c --quiet hashtree.sha512" >&2; exit $$status

# Everything is built first. A stage adds its counts to build/counts and fails
# only when it broke off; `total` says the last word.
stages = @mkdir -p build && : > build/counts; $(MAKE) --no-print-directory $(1) \
  && { for s in $(2); do $(MAKE) --no-print-directory $$s || \
  { echo "FAILED: $$s broke off"; echo "0 1" >> build/counts; }; done; \
  $(RUN) total; }
test: setup-test
	$(call stages,all asan-build build/tsan/race_test $(CTESTS:%=build/host/%),\
	  run-host run-lua run-ctest run-tsan run-asan)
spec: setup-test
	$(call stages,all,run-host run-lua)
ctest: setup-test
	$(call stages,$(CTESTS:%=build/host/%),run-ctest)
asan: setup-test
	$(call stages,all asan-build,run-asan)
asan-build: build/asan/tidepool $(ASAN_CTESTS:%=build/asan/%)

run-host:
	@$(RUN) specs host ./tidepool $(SPEC)
run-lua:
	@LUA_CPATH='./?.so;;' $(RUN) specs lua5.4 lua5.4 $(SPEC)
run-ctest:
	@$(RUN) ctests host $(CTESTS:%=build/host/%)
run-tsan:
	@$(FIXED) $(RUN) ctests tsan build/tsan/race_test
run-asan:
	@$(RUN) ctests asan $(ASAN_CTESTS:%=build/asan/%)
	@TIDEPOOL_BIN=build/asan/tidepool \
	  $(RUN) specs asan build/asan/tidepool $(SPEC)

C_FILES = $(wildcard host/*.[ch] spec/c/*.[ch])
EACH_C = for f in $(wildcard host/*.c spec/c/*.c) build/embed.c; do
lint: setup-lint build/embed.c
	luacheck --quiet lua scripts spec
	clang-format --dry-run -Werror $(C_FILES)
	@$(EACH_C) $(CC) $(CPPFLAGS_ALL) $(WARN) -Werror $(so_FLAGS) -c -o \
	  /dev/null $$f || exit 1; done
	@$(EACH_C) clang $(CPPFLAGS_ALL) $(WARN) -Werror -fsyntax-only $$f || \
	  exit 1; done
	@! command -v cppcheck >/dev/null || cppcheck -q --std=c11 \
	  --enable=warning,portability --suppress=uninitvar \
	  --suppress=ctuuninitvar --error-exitcode=1 -Ihost host
	@! command -v clang-tidy >/dev/null || \
	  clang-tidy --quiet host/*.c -- $(CPPFLAGS_ALL) 2>/dev/null

build/fuzz/decode_fuzz: spec/c/decode_fuzz.c $(wildcard host/*.[ch]) build/embed.c
	@mkdir -p $(@D)
	clang $(CPPFLAGS_ALL) -O1 -g -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -o $@ $(filter-out $(PROGRAM:%.o=host/%.c),$(filter %.c,$^)) $(LIBS)
fuzz: build/fuzz/decode_fuzz
	@mkdir -p build/fuzz/corpus
	build/fuzz/decode_fuzz -runs=$(FUZZ_RUNS) -artifact_prefix=build/fuzz/ \
	  build/fuzz/corpus

stress: build/host/pool_stress_test
	nice $< $(KILLS)
steps: build/host/step_test
	nice $< $(STEP)
faults: build/asan/fault_test
	ASAN_OPTIONS=allocator_may_return_null=1 nice $< 1
tsan: build/tsan/race_test
	$(FIXED) nice $< $(TASKS)
model:
	@mkdir -p build/model
	cd build/model && spin -a $(MODEL) ../../spec/model/wake.pml && \
	  $(CC) -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && \
	  nice ./pan -m1000000 >report && cat report && grep -q 'errors: 0' report

bench: all
	@./tidepool scripts/bench/bench.lua $(CASE) $(if $(NAME),--name '$(NAME)')
bench-codec: all
	@./tidepool scripts/bench/codec.lua $(SET) $(if $(NAME),--name '$(NAME)')

PUT = install -D -m 644
install: all install-module
	install -D -t '$(DESTDIR)$(BINDIR)' tidepool
	install -d '$(DESTDIR)$(MANDIR)/man1'
	sed 's,/usr/local/share/tidepool,$(DATADIR),' host/tidepool.1 \
	  >'$(DESTDIR)$(MANDIR)/man1/tidepool.1'
	$(PUT) -t '$(DESTDIR)$(MANDIR)/man3' host/tidepool.3
	$(PUT) host/tidepool.bash '$(DESTDIR)$(BASHDIR)/tidepool'
	$(PUT) host/tidepool.zsh '$(DESTDIR)$(ZSHDIR)/_tidepool'
	$(PUT) -t '$(DESTDIR)$(DATADIR)/scripts' $(SCRIPTS)
	$(PUT) lua/tidepool/meta.lua '$(DESTDIR)$(DATADIR)/library/tidepool.lua'
install-module: tidepool.so
	$(PUT) -t '$(DESTDIR)$(CMODDIR)' tidepool.so
# Folders of others stay, and so does what others put into ours.
uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/tidepool' '$(DESTDIR)$(CMODDIR)/tidepool.so' \
	  '$(DESTDIR)$(MANDIR)/man1/tidepool.1' \
	  '$(DESTDIR)$(MANDIR)/man3/tidepool.3' \
	  '$(DESTDIR)$(BASHDIR)/tidepool' '$(DESTDIR)$(ZSHDIR)/_tidepool' \
	  '$(DESTDIR)$(DATADIR)/library/tidepool.lua' \
	  $(SCRIPTS:%='$(DESTDIR)$(DATADIR)/%')
	@rmdir '$(DESTDIR)$(DATADIR)/scripts' '$(DESTDIR)$(DATADIR)/library' \
	  '$(DESTDIR)$(DATADIR)' 2>/dev/null || :

clean:
	rm -rf build tidepool tidepool.so hashtree.sha512
dist:
	@if [ -e .git ] && git rev-parse -q HEAD >/dev/null; then \
	  git archive --prefix=$(NAME)/ -o $(DIST) HEAD; \
	else tar -czf $(DIST) --transform='s,^,$(NAME)/,' $(SOURCES); fi

.PHONY: all help setup setup-test setup-lint run test spec ctest asan lint \
  fuzz stress steps faults tsan model bench bench-codec install uninstall \
  clean dist install-module asan-build run-host run-lua run-ctest run-tsan run-asan
.DELETE_ON_ERROR:
.SECONDARY:
