# Paths and flags. Override on the command line: make PREFIX=/opt/sluice CFLAGS=-O3

VERSION = 0.1.0

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man
DATADIR = $(PREFIX)/share/sluice
BASHCOMPDIR = $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR = $(PREFIX)/share/zsh/site-functions

CC = cc
CFLAGS = -O2 -g
PKG_CONFIG = pkg-config

# DEVELOPER=1: warnings are errors. SANITIZER=address,undefined: instrumented, in a build directory of its own.
DEVELOPER =
SANITIZER =

WARN = -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wformat=2 -Wundef -Wwrite-strings -Wno-unused-parameter -Wimplicit-fallthrough
HARDEN = -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
HARDEN_LD = -pie -Wl,-z,relro,-z,now

# Debian's packages: to build; to see the demo; to run the tests; to run lint, valgrind, fuzz and coverage.
BUILD_PACKAGES = gcc libc6-dev pkg-config librdkafka-dev libcjson-dev zlib1g-dev libdeflate-dev \
	libmariadb-dev tzdata
DEMO_PACKAGES = $(BUILD_PACKAGES) jq python3-venv ca-certificates mariadb-server-core mariadb-client-core
TEST_PACKAGES = $(DEMO_PACKAGES) perl libcmocka-dev kcat openjdk-17-jre-headless maven mandoc zsh libaio1 libnuma1
LINT_PACKAGES = $(BUILD_PACKAGES) libcmocka-dev clang-format clang-tidy mandoc shellcheck
VALGRIND_PACKAGES = $(BUILD_PACKAGES) libcmocka-dev valgrind
FUZZ_PACKAGES = $(BUILD_PACKAGES) clang libclang-rt-14-dev
