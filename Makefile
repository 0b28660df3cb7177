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

# The wings of src/; CONTRIBUTING has the picture.
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

# In the order in which they are joined into the extension's script
SQL_FILES = \
	sql/install/guard.sql \
	sql/connection/connect.sql \
	sql/connection/usage.sql \
	sql/reading/services.sql \
	sql/reading/backups.sql \
	sql/reading/organization.sql \
	sql/reading/slow_queries.sql \
	sql/reading/short_texts.sql \
	sql/reading/activity.sql \
	sql/reading/periods.sql \
	sql/reading/top.sql \
	sql/reading/connection_info.sql \
	sql/lifecycle/services.sql \
	sql/lifecycle/config.sql \
	sql/lifecycle/access.sql \
	sql/lifecycle/private_endpoint.sql \
	sql/lifecycle/wait.sql \
	sql/lifecycle/request.sql \
	sql/monitoring/prometheus.sql \
	sql/monitoring/time_series.sql \
	sql/tables/comments.sql \
	sql/history/safety.sql \
	sql/history/schema.sql \
	sql/history/settings.sql \
	sql/history/owner.sql \
	sql/history/tables.sql \
	sql/history/views.sql \
	sql/history/comments.sql \
	sql/history/enable.sql \
	sql/history/due.sql \
	sql/history/services.sql \
	sql/history/limits.sql \
	sql/history/seal.sql \
	sql/history/window.sql \
	sql/history/capture.sql \
	sql/history/archive.sql \
	sql/history/export.sql \
	sql/history/import.sql \
	sql/history/course.sql \
	sql/history/purge.sql \
	sql/history/upgrade.sql \
	sql/insight/catalogue.sql \
	sql/insight/rules.declared.sql \
	sql/insight/periods.sql \
	sql/insight/scores.sql \
	sql/insight/top.sql \
	sql/insight/compare.sql \
	sql/insight/finding.sql \
	sql/insight/mutes.sql \
	sql/insight/detect.sql \
	sql/insight/facts.sql \
	sql/insight/metrics.sql \
	sql/insight/rules.called.sql \
	sql/insight/changes.sql \
	sql/insight/judge.sql \
	sql/insight/maintenance.sql \
	sql/insight/incidents.sql \
	sql/alerts/webhooks.sql \
	sql/alerts/outbox.sql \
	sql/insight/log.sql \
	sql/insight/ranking.sql \
	sql/alerts/self.sql \
	sql/report/markup.sql \
	sql/report/format.sql \
	sql/report/charts.sql \
	sql/report/data.sql \
	sql/report/queries.sql \
	sql/report/fleet.sql \
	sql/report/gather.sql \
	sql/report/live.sql \
	sql/report/verdict.sql \
	sql/report/parts.sql \
	sql/report/sections/wrong.sql \
	sql/report/sections/changes.sql \
	sql/report/sections/fleet.sql \
	sql/report/sections/time.sql \
	sql/report/sections/better.sql \
	sql/report/sections/sure.sql \
	sql/report/page.sql \
	sql/report/text.sql \
	sql/insight/forms.sql \
	sql/monitoring/fleet.sql \
	sql/bi/views.sql \
	sql/bi/create.sql \
	sql/install/help.sql \
	sql/install/derived_comments.sql \
	sql/install/privileges.sql

# A rule is a file; what is derived from all of them is written by rules.awk.
RULE_FILES = $(sort $(wildcard sql/insight/rules/*.sql))
DERIVED_SQL = sql/insight/rules.declared.sql sql/insight/rules.called.sql

DATA_built = chpg--$(EXTVERSION).sql

PKG_CONFIG ?= pkg-config
PG_CPPFLAGS = -I$(srcdir)/src -DCHPG_VERSION='"$(EXTVERSION)"' $(shell $(PKG_CONFIG) --cflags libcurl json-c zlib)
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
EXTRA_CLEAN = regress $(DERIVED_SQL) $(DERIVED_SQL:=.new)

TAP_TESTS = 1
PROVE_TESTS = $(sort $(filter-out t/live/% t/clients/%,$(wildcard t/*/*.pl)) $(wildcard emulator/t/*.t))

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

$(DERIVED_SQL): sql/insight/rules.%.sql: sql/insight/rules.awk $(RULE_FILES) \
		$(filter-out $(DERIVED_SQL),$(filter sql/insight/%,$(SQL_FILES)))
	LC_ALL=C awk -v part=$* -f $^ >$@.new
	mv $@.new $@

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
