# sluice: make | check | soak | mutants | threads | valgrind | coverage | bench | demo | install | uninstall | lint |
#	format | completions | fuzz | deps | clean
#
#	make check [LONG=1] [SANITIZER=address,undefined]    all tests, with a real Kafka, MariaDB and MySQL
#	make soak [KILLS=10000]                              kill -9 so often of each sink; goes on where it was stopped (build/soak)
#	make mutants                                         breaks the protocol in many ways; the tests must notice
#	make bench [LONG=1] [BENCH="kread idle ..."]         speed and memory, held against the targets
#	make threads, make valgrind [SKIP="clock lake"]      unit tests by the thread sanitizer, by memcheck
#	make coverage                                        all tests; which lines they did not run, and whether t/lib/uncovered says why
#	make demo [BROKER=host:9092] [MYSQL=~/.my.cnf]       the whole way in a minute, with servers of its own or yours
#	make V=1                                             shows the commands
include config.mk

comma := ,
BUILD := build$(if $(SANITIZER),/san-$(subst $(comma),-,$(SANITIZER)))
ifneq ($(filter-out 0,$(DEVELOPER)),)
ERROR = -Werror
endif
ifneq ($(SANITIZER),)
HARDEN = -fsanitize=$(SANITIZER) -fno-omit-frame-pointer -fno-sanitize-recover=all
HARDEN_LD = -fsanitize=$(SANITIZER) $(TSAN)
endif
ifeq ($(SANITIZER),thread)
TSAN = $(BUILD)/t/lib/tsan.o
endif

DEFLATE := $(shell $(PKG_CONFIG) --exists libdeflate 2>/dev/null && echo libdeflate)
# Whichever client library of MySQL is there: MariaDB's (Debian), else Oracle's (or make MYSQL_CLIENT=mysqlclient).
MYSQL_CLIENT := $(firstword $(foreach p,libmariadb mysqlclient,$(shell $(PKG_CONFIG) --exists $p 2>/dev/null && echo $p)))
MYSQL_CFLAGS := $(if $(MYSQL_CLIENT),$(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(MYSQL_CLIENT))))
MYSQL_LIBS := $(if $(MYSQL_CLIENT),$(shell $(PKG_CONFIG) --libs $(MYSQL_CLIENT)))
# As needed: only the tools with a database load its library.
LIBS = -Wl,--as-needed -lrdkafka -lcjson -lz $(if $(DEFLATE),-ldeflate) $(MYSQL_LIBS) -lpthread
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' $(if $(DEFLATE),-DHAVE_LIBDEFLATE) \
	-Ilib $(MYSQL_CFLAGS) $(WARN) $(HARDEN) $(CFLAGS)
ALL_LDFLAGS = $(HARDEN_LD) $(LDFLAGS)

TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
BIN := $(TOOLS:%=$(BUILD)/bin/%)
LIBOBJ := $(patsubst lib/%.c,$(BUILD)/lib/%.o,$(wildcard lib/*.c))
LIB := $(BUILD)/libsluice.a
UNIT := $(patsubst t/unit/%.c,$(BUILD)/t/unit/%,$(wildcard t/unit/*.c)) \
	$(patsubst t/fuzz/%.c,$(BUILD)/t/corpus/%,$(wildcard t/fuzz/*.c))
HELPERS := $(patsubst %.c,$(BUILD)/%,$(wildcard t/tool/*.c t/perf/*.c))
FAULT := $(BUILD)/t/libfault.so
FUZZ := $(patsubst t/fuzz/%.c,$(BUILD)/t/fuzz/%,$(wildcard t/fuzz/*.c))
TABLES := $(patsubst t/options/%.c,$(BUILD)/t/options/%.o,$(wildcard t/options/*.c))
PAGES := $(wildcard man/*.[1-8])
SOURCES := $(wildcard lib/*.[ch] tools/*.[ch] t/*/*.[ch])
# What goes below DATADIR, by the path that it has here, but for a leading etc/
DATA := $(wildcard etc/*.* etc/mappings/* sql/*.sql sql/queries/*)
SCRIPTS = $(shell grep -lE '^\#!/bin/(ba)?sh' .ci/* t/lib/* t/perf/* t/demo etc/completions/* 2>/dev/null)

Q := $(if $(V),,@)
JOBS := $(shell nproc 2>/dev/null || echo 2)

all: $(BIN)

# ---- build ----

# Changed flags rebuild everything (but not -Werror alone).
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(ERROR) -MMD -MP -c -o $@ $<

$(LIB): $(LIBOBJ) | $(TSAN)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/bin/%: $(BUILD)/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$(BUILD)/t/unit/%: $(BUILD)/t/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) -lcmocka $(LIBS)

# Fuzz targets without libFuzzer, on their corpora t/fuzz/NAME/
$(BUILD)/t/corpus/%: $(BUILD)/t/fuzz/%.o $(BUILD)/t/lib/corpus.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LIBS) -lm

$(BUILD)/t/corpus/options $(BUILD)/t/fuzz/options: $(TABLES)

# Helpers of the tests (t/tool) and benches (t/perf)
$(HELPERS): $(BUILD)/%: $(BUILD)/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

# Preloaded into any program, so never instrumented itself
$(FAULT): $(wildcard t/fault/*.[ch])
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC $@")
	$(Q)$(CC) -std=c11 $(WARN) $(CFLAGS) -fPIC -shared -o $@ $(filter %.c,$^)

.SECONDARY:

-include $(wildcard $(BUILD)/lib/*.d $(BUILD)/tools/*.d $(BUILD)/t/*/*.d)

# ---- dependencies ----
# They run make again: what is found (libdeflate) is looked up when the Makefile is read.

deps: deps-test deps-lint

deps-build deps-demo deps-test deps-lint deps-fuzz deps-valgrind: deps-%:
	@t/lib/deps $($(shell echo $* | tr a-z A-Z)_PACKAGES)

# ---- tests ----

export TSAN_OPTIONS ?= exitcode=99:suppressions=$(CURDIR)/t/lib/tsan.supp

unit: $(UNIT)
	$(Q)set -e; for t in $(UNIT); do $$t >$(BUILD)/unit.log 2>&1 || { cat $(BUILD)/unit.log; exit 1; }; done
	@echo "unit: $(words $(UNIT)) programs passed"

tests: $(BIN) $(UNIT) $(HELPERS) $(FAULT)

check: deps-test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) DEVELOPER=$(DEVELOPER) tests
	$(Q)$(MAKE) --no-print-directory unit
	$(Q)SLUICE_BUILD=$(BUILD) SLUICE_REQUIRE_KAFKA=1 SLUICE_REQUIRE_DATABASES=1 SLUICE_LONG=$(LONG) \
		t/lib/with-kafka t/lib/with-databases prove -j2 $(T)

T = $(sort $(wildcard t/*.t))

# The unit tests of what has threads, by the thread sanitizer. The rest: make check SANITIZER=thread
THREADED = consumer gzip kafka loader log nudge plan producer sink spool

threads: deps-test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) SANITIZER=thread UNIT='$(THREADED:%=build/san-thread/t/unit/%)' unit

# The unit tests by memcheck; what it does not know is in t/lib/valgrind.supp. SKIP: those that take minutes.
VALGRIND = valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible \
	--errors-for-leak-kinds=definite,indirect,possible --suppressions=t/lib/valgrind.supp

valgrind: CHECKED = $(filter-out $(addprefix %/,$(SKIP)),$(UNIT))
valgrind: deps-valgrind
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(CHECKED) >/dev/null
	$(Q)printf '%s\n' $(CHECKED) | xargs -P$(JOBS) -I{} sh -c \
		'$(VALGRIND) {} >{}.valgrind 2>&1 || { cat {}.valgrind; exit 1; }'
	@echo "valgrind: $(words $(CHECKED)) programs passed"

# t/soak tells what else can be said to it.
soak: deps-test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) tests
	$(Q)SLUICE_BUILD=$(BUILD) SLUICE_REQUIRE_KAFKA=1 KILLS=$(KILLS) t/soak

# Whether the tests notice when the commit protocol is broken: an hour or so.
mutants: deps-test
	$(Q)t/fault/mutate -o t/fault/MUTATIONS

bench: deps-test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) tests
	$(Q)SLUICE_BUILD=$(BUILD) SLUICE_LONG=$(LONG) BENCH='$(BENCH)' \
		t/lib/with-kafka t/perf/bench

demo: deps-demo
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)SLUICE_BUILD=$(BUILD) MYSQL=$(MYSQL) t/demo $(BROKER)

# Seconds for each fuzzer (T=json: for that one only); what it finds stays in build/fuzz/t/fuzz, seeds are t/fuzz/NAME/.
TIME = 60

fuzz: deps-fuzz
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/fuzz CC=clang DEVELOPER= CFLAGS="-O1 -g" \
		HARDEN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
		HARDEN_LD="-fsanitize=fuzzer,address,undefined" fuzzers
	$(Q)set -e; for n in $(if $(filter command line,$(origin T)),$(T),$(notdir $(FUZZ))); do \
		f=build/fuzz/t/fuzz/$$n; mkdir -p $$f.corpus; echo "  FUZZ $$n"; \
		$$f -max_total_time=$(TIME) -rss_limit_mb=1000 -artifact_prefix=$$f- $$f.corpus t/fuzz/$$n \
			>$$f.log 2>&1 || { tail -n 40 $$f.log; exit 1; }; \
		grep ^Done $$f.log; \
	done

fuzzers: $(FUZZ)

$(FUZZ): $(BUILD)/%: $(BUILD)/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LIBS) -lm

# The figures also when a test fails. HARDEN: what is preloaded (libfault) must not have them. With one seed the same
# sample of the faults is made each time.
coverage: deps-test
	$(Q)rm -rf build/cov
	$(Q)SLUICE_SEED=$${SLUICE_SEED-1} $(MAKE) --no-print-directory BUILD=build/cov CFLAGS="-O0 -g" HARDEN="--coverage -include t/lib/coverage.h" \
		HARDEN_LD=--coverage check; status=$$?; t/lib/coverage build/cov && exit $$status

# ---- style ----

LINTS = lint-format lint-warnings lint-banned lint-tidy lint-manual lint-scripts

lint: deps-lint
	$(Q)$(MAKE) -k --no-print-directory $(LINTS)

lint-format:
	@echo "  LINT format"
	$(Q)clang-format --dry-run --Werror $(SOURCES)

lint-warnings:
	@echo "  LINT warnings"
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/lint DEVELOPER=1 CFLAGS=-O2 tests >/dev/null

lint-banned:
	@echo "  LINT banned functions"
	$(Q)t/lib/banned

lint-tidy:
	@echo "  LINT clang-tidy"
	$(Q)printf '%s\n' $(filter %.c,$(SOURCES)) | xargs -P$(JOBS) -I{} \
		clang-tidy --quiet {} -- $(filter-out -D_FORTIFY_SOURCE=2,$(ALL_CFLAGS)) 2>/dev/null

lint-manual:
	@echo "  LINT manual"
	$(Q)mandoc -T lint -W warning $(PAGES)

lint-scripts:
	@echo "  LINT scripts"
	$(Q)shellcheck $(SCRIPTS)

format:
	$(Q)clang-format -i $(SOURCES)

completions: all
	$(Q)SLUICE_BUILD=$(BUILD) t/lib/completions etc/completions

# ---- install ----

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DATADIR) $(DESTDIR)$(BASHCOMPDIR) $(DESTDIR)$(ZSHCOMPDIR)
	install -m 755 $(BIN) $(DESTDIR)$(BINDIR)
	for p in $(PAGES); do \
		install -D -m 644 $$p $(DESTDIR)$(MANDIR)/man$${p##*.}/$${p##*/} || exit 1; done
	for f in $(DATA); do \
		install -D -m 644 $$f $(DESTDIR)$(DATADIR)/$${f#etc/} || exit 1; done
	install -m 644 etc/completions/sluice.bash $(DESTDIR)$(BASHCOMPDIR)/sluice
	for t in $(TOOLS); do ln -sf sluice $(DESTDIR)$(BASHCOMPDIR)/$$t || exit 1; done
	install -m 644 etc/completions/_sluice $(DESTDIR)$(ZSHCOMPDIR)/_sluice

uninstall:
	rm -f $(TOOLS:%=$(DESTDIR)$(BINDIR)/%) $(TOOLS:%=$(DESTDIR)$(BASHCOMPDIR)/%)
	rm -f $(foreach p,$(PAGES),$(DESTDIR)$(MANDIR)/man$(lastword $(subst ., ,$p))/$(notdir $p))
	rm -f $(DESTDIR)$(BASHCOMPDIR)/sluice $(DESTDIR)$(ZSHCOMPDIR)/_sluice
	rm -f $(patsubst %,$(DESTDIR)$(DATADIR)/%,$(DATA:etc/%=%))
	find $(DESTDIR)$(DATADIR) -depth -type d -empty -delete 2>/dev/null || true

clean:
	rm -rf build

FORCE:

.PHONY: all tests unit check soak mutants threads valgrind bench demo fuzz fuzzers coverage lint format completions install \
	uninstall clean FORCE $(LINTS) deps deps-build deps-demo deps-test deps-lint deps-fuzz deps-valgrind
