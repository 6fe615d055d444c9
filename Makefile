# sluice: make | check | bench | demo | install | uninstall | lint | format | fuzz | coverage | deps | clean
include config.mk

comma := ,
BUILD := build$(if $(SANITIZER),/san-$(subst $(comma),-,$(SANITIZER)))
ifneq ($(DEVELOPER),)
WARN += -Werror
endif
ifneq ($(SANITIZER),)
HARDEN = -fsanitize=$(SANITIZER) -fno-omit-frame-pointer -fno-sanitize-recover=all
HARDEN_LD = -fsanitize=$(SANITIZER)
endif

DEFLATE := $(shell $(PKG_CONFIG) --exists libdeflate 2>/dev/null && echo libdeflate)
LIBS = -lrdkafka -lcjson -lz $(if $(DEFLATE),-ldeflate) -lpthread
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' $(if $(DEFLATE),-DHAVE_LIBDEFLATE) \
	-Ilib $(WARN) $(HARDEN) $(CFLAGS) -MMD -MP
ALL_LDFLAGS = $(HARDEN_LD) $(LDFLAGS)

TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
BIN := $(TOOLS:%=$(BUILD)/bin/%)
LIBOBJ := $(patsubst lib/%.c,$(BUILD)/lib/%.o,$(wildcard lib/*.c))
LIB := $(BUILD)/libsluice.a
UNIT := $(patsubst t/unit/%.c,$(BUILD)/t/unit/%,$(wildcard t/unit/*.c))

Q := $(if $(V),,@)

all: $(BIN)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC $<")
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(LIB): $(LIBOBJ)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/bin/%: $(BUILD)/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

$(BUILD)/t/unit/%: $(BUILD)/t/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) -lcmocka $(LIBS)

# Helpers of the tests (t/tool) and benches (t/perf)
$(BUILD)/t/%: $(BUILD)/t/%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(LIBS)

# Preloaded into any program, so never instrumented itself
FAULT := $(BUILD)/t/libfault.so

$(FAULT): t/fault/libfault.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC $<")
	$(Q)$(CC) -std=c11 $(WARN) $(CFLAGS) -fPIC -shared -o $@ $<

.SECONDARY:

-include $(wildcard $(BUILD)/lib/*.d $(BUILD)/tools/*.d $(BUILD)/t/*.d $(BUILD)/t/*/*.d)

unit: $(UNIT)
	@set -e; for t in $(UNIT); do $$t; done

clean:
	rm -rf build

.PHONY: all unit clean
