# Builds and installs the extension with PGXS:
#
#   make && sudo make install       for the PostgreSQL of PG_CONFIG (pg_config)
#   make test                       installs what is missing, then runs every test beside the system
#   make demo                       the same, then shows chpg at work
#   make indent                     lays the C code out as PostgreSQL's is

EXTENSION = chpg
MODULE_big = chpg

# The control file is the one place that has the version.
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" chpg.control)

OBJS = \
	src/answer.o \
	src/arguments.o \
	src/attempt.o \
	src/borrow.o \
	src/budget.o \
	src/cache.o \
	src/chpg.o \
	src/clean.o \
	src/client.o \
	src/config.o \
	src/connect.o \
	src/connection.o \
	src/decode.o \
	src/endpoints.o \
	src/exposition.o \
	src/failure.o \
	src/fdw.o \
	src/fdw_bounds.o \
	src/fdw_data.o \
	src/fdw_deparse.o \
	src/fdw_import.o \
	src/fdw_match.o \
	src/fdw_missing.o \
	src/fdw_plan.o \
	src/fdw_request.o \
	src/fdw_scan.o \
	src/fdw_statistics.o \
	src/fdw_times.o \
	src/fdw_values.o \
	src/functions.o \
	src/http.o \
	src/inflate.o \
	src/invocation.o \
	src/json.o \
	src/json_reader.o \
	src/lifecycle.o \
	src/memo.o \
	src/monitoring.o \
	src/planted.o \
	src/prometheus.o \
	src/question.o \
	src/quote.o \
	src/request.o \
	src/resources.o \
	src/rows.o \
	src/run_as.o \
	src/secrecy.o \
	src/seen.o \
	src/services.o \
	src/settings.o \
	src/shared.o \
	src/shared_file.o \
	src/sockets.o \
	src/stats.o \
	src/tags.o \
	src/trust.o \
	src/url.o \
	src/wait.o \
	src/window.o \
	src/write.o

# In the order in which they are joined into the extension's script
SQL_FILES = \
	sql/install/guard.sql \
	sql/connection/connect.sql \
	sql/reading/reading.sql \
	sql/lifecycle/lifecycle.sql \
	sql/monitoring/monitoring.sql \
	sql/connection/usage.sql \
	sql/tables/tables.sql \
	sql/history/safety.sql \
	sql/history/history.sql \
	sql/history/views.sql \
	sql/history/capture.sql \
	sql/insight/compare.sql \
	sql/insight/findings.sql \
	sql/install/view_comments.sql \
	sql/install/privileges.sql

DATA_built = chpg--$(EXTVERSION).sql

PKG_CONFIG ?= pkg-config
PG_CPPFLAGS = -DCHPG_VERSION='"$(EXTVERSION)"' $(shell $(PKG_CONFIG) --cflags libcurl json-c zlib)
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs libcurl json-c zlib)

# The last ones are for PostgreSQL's own headers and macros.
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers

# PostgreSQL was built by gcc, and hands its flags and attributes on.
ifneq (,$(findstring clang,$(CC)))
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-attributes \
	-Wno-ignored-optimization-argument
endif

# sql-tests/sql/NAME.sql should print expected/NAME.out; CHPG_EMULATOR_URL says where the API is.
# pg_regress would rather take scripts from the output directory's sql/, so that is not the root.
REGRESS = $(sort $(basename $(notdir $(wildcard sql-tests/sql/*.sql))))
REGRESS_OPTS = --inputdir=sql-tests --outputdir=regress
REGRESS_PREP = regress/expected
EXTRA_CLEAN = regress

TAP_TESTS = 1
PROVE_TESTS = $(sort $(wildcard t/*.pl t/security/*.pl emulator/t/*.t))

# An object is built anew when a header that it included has changed.
override autodepend = yes

# test, demo and indent come first on a new machine, where there is no pg_config yet.
ifneq (,$(filter-out test demo indent,$(or $(MAKECMDGOALS),all)))
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PGXS))
$(error $(PG_CONFIG) does not work: install PostgreSQL's server headers, or set PG_CONFIG)
endif
include $(PGXS)
endif

chpg--$(EXTVERSION).sql: $(SQL_FILES) chpg.control
	cat $(SQL_FILES) >$@

# Up to PostgreSQL 15 it looks for what is expected there, too.
regress/expected:
	mkdir -p regress
	ln -s ../expected $@

.PHONY: test demo indent

test:
	@dev/test

demo:
	@demo/demo

indent:
	@dev/indent
