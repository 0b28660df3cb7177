# Each query of the dashboards takes less than half a second over a month of 50 services with 200 patterns each, in
# ranges of 24 hours, 7 and 30 days.
#
# What counts is the time that its backend spends on a processor, the least of up to five runs: what else the machine
# does adds little to that.  Pages that a query reads do not depend on the machine.  One that misses an index takes
# too long, or reads too many.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Grafana;
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;

my $MOST_MS = 500;
my $RUNS = 5;
my $MOST_PAGES = 15_000;    # of one service, in up to a week

# The month ends during a day.  Its last week is open.
my $LAST_DAY = '2026-05-17 00:00Z';
my $TO = '2026-05-17T13:30:00Z';
my %FROM = (1 => '2026-05-16T13:30:00Z', 7 => '2026-05-10T13:30:00Z', 30 => '2026-04-17T13:30:00Z');
my ($DAYS, $OPEN_DAYS) = (31, 7);

my $node = start_node('main', "timezone = 'UTC'", 'jit = off', 'max_parallel_workers_per_gather = 0', 'autovacuum = off', 'max_wal_size = 4GB', 'shared_buffers = 512MB');

# ---- A month of which all days are the same

my @SUMMED = qw(call_count error_count total_rows total_shared_blks_read total_shared_blks_hit total_wal_bytes total_duration_us total_cpu_time_us);
my @COUNTERS = (@SUMMED, qw(max_duration_us p50_duration_us p95_duration_us p99_duration_us));
my $counters = join ', ', @COUNTERS;
my $arrays = join ', ', map { "array_agg($_)" } @COUNTERS;
my $summed = join ', ', @SUMMED;
my $sums = join ', ', map { 'sum(' . (/_us$/ ? "$_\::float8" : $_) . ')' } @SUMMED;

$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = warning;
CREATE EXTENSION chpg;
SELECT chpg_history_enable('kept');
SELECT _chpg_history_partition('hour', month) FROM unnest('{2026-04-01 00:00Z,2026-05-01 00:00Z}'::timestamptz[]) month;
CREATE SCHEMA made;
SET search_path = kept, public;

INSERT INTO service_key OVERRIDING SYSTEM VALUE
SELECT s, 'pg' || left(md5('service' || s), 24) FROM generate_series(1, 50) s;
INSERT INTO service (service_id, valid_from, noted_at, service_name, tags)
SELECT service_id, '-infinity', '2026-04-16 00:00Z', 'service-' || service_key, '{}' FROM service_key;
INSERT INTO query_text OVERRIDING SYSTEM VALUE
SELECT p, sha256(convert_to(t.words, 'UTF8')), left(t.words, 120), t.words
FROM generate_series(1, 10000) p, LATERAL (SELECT 'SELECT ' || p || repeat(' ' || md5(p::text), 8)) t(words);
INSERT INTO pattern_key (pattern_key, query_id, text_id, db_name, db_user, db_operation, app, last_seen) OVERRIDING SYSTEM VALUE
SELECT p, hashint8extended(p, 1), p, 'orders', 'app' || p % 3, ('{SELECT,UPDATE,INSERT,DELETE}'::text[])[1 + p % 4], 'web-' || p % 5, '$LAST_DAY'
FROM generate_series(1, 10000) p;

-- from 0 to 1, the same each time
CREATE FUNCTION made.chance(a bigint, b bigint) RETURNS float8 LANGUAGE sql IMMUTABLE
	RETURN (hashint8extended(a, b) & 1048575) / 1048576.0;

-- the last day
CREATE UNLOGGED TABLE made.open_hour (LIKE open_hour);
INSERT INTO made.open_hour (window_start, service_key, pattern_key, $counters)
SELECT h.at, (p - 1) / 200 + 1, p, v.n, CASE WHEN p % 20 = 0 THEN v.n / 100 ELSE 0 END, v.n * 3, v.n / 7, v.n * 5,
	CASE WHEN p % 4 = 0 THEN v.n * 300 ELSE 0 END, v.n * v.us, 0.6 * v.n * v.us, 9 * v.us, 0.7 * v.us, 3 * v.us, 5 * v.us
FROM generate_series(timestamptz '$LAST_DAY', timestamptz '$LAST_DAY' + interval '23 hours', '1 hour') WITH ORDINALITY h(at, i)
CROSS JOIN generate_series(1, 10000) p
CROSS JOIN LATERAL (
	SELECT (exp(2 + 5 * made.chance(p, 2)) * (1 + made.chance(p, 100 + h.i)))::bigint AS n, exp(6 + 5 * made.chance(p, 3)) * (1 + made.chance(p, 200 + h.i)) AS us
	OFFSET 0) v
ORDER BY h.at, p;
CREATE UNLOGGED TABLE made.sealed_hour (LIKE sealed_hour INCLUDING COMPRESSION);
INSERT INTO made.sealed_hour (window_start, service_key, seal_id, patterns, pattern_key, $counters)
SELECT window_start, service_key, 0, count(*), array_agg(pattern_key), $arrays FROM made.open_hour GROUP BY 1, 2;
CREATE UNLOGGED TABLE made.day_sum (LIKE day_sum);
INSERT INTO made.day_sum ("time", service_key, pattern_key, hours, p95_lo_us, p95_hi_us, max_duration_us, $summed)
SELECT '$LAST_DAY', service_key, pattern_key, w.hours, min(p95_duration_us), max(p95_duration_us), max(max_duration_us), $sums
FROM (VALUES (14), (24)) w(hours) JOIN made.open_hour h ON h.window_start < timestamptz '$LAST_DAY' + w.hours * interval '1 hour'
GROUP BY w.hours, service_key, pattern_key ORDER BY service_key, pattern_key;
CREATE UNLOGGED TABLE made.capture (LIKE capture INCLUDING DEFAULTS);
INSERT INTO made.capture (service_id, grain, window_start, window_end, status, patterns, attempts, captured_at, queries, p95_lo_us, p95_hi_us, p99_lo_us, p99_hi_us, statement_duration_us, $summed)
SELECT k.service_id, 'hour', window_start, window_start + interval '1 hour', 'ok', count(*), 1, window_start + interval '65 minutes', count(*),
	min(p95_duration_us), max(p95_duration_us), min(p99_duration_us), max(p99_duration_us), sum(total_duration_us::float8), $sums
FROM made.open_hour JOIN service_key k USING (service_key) GROUP BY k.service_id, window_start;

-- what captures leave of the first hours of such a day, some days before
CREATE PROCEDURE made.day(days integer, first_hours integer, is_open boolean) LANGUAGE plpgsql AS \$\$
DECLARE
	earlier CONSTANT interval := days * interval '1 day';
	until CONSTANT timestamptz := timestamptz '$LAST_DAY' + first_hours * interval '1 hour';
BEGIN
	IF is_open THEN
		INSERT INTO open_hour (window_start, service_key, pattern_key, $counters)
		SELECT h.window_start - earlier, service_key, pattern_key, $counters FROM made.open_hour h WHERE h.window_start < until;
	ELSE
		INSERT INTO sealed_hour (window_start, service_key, seal_id, patterns, pattern_key, $counters)
		SELECT h.window_start - earlier, service_key, 31 - days, patterns, pattern_key, $counters FROM made.sealed_hour h WHERE h.window_start < until;
	END IF;
	INSERT INTO day_sum ("time", service_key, pattern_key, hours, p95_lo_us, p95_hi_us, max_duration_us, $summed)
	SELECT d."time" - earlier, service_key, pattern_key, hours, p95_lo_us, p95_hi_us, max_duration_us, $summed FROM made.day_sum d WHERE d.hours = first_hours;
	INSERT INTO capture
	SELECT r.* FROM made.capture c, jsonb_populate_record(c, jsonb_build_object('window_start', c.window_start - earlier, 'window_end', c.window_end - earlier, 'captured_at', c.captured_at - earlier)) r
	WHERE c.window_start < until
	ORDER BY r.window_start, r.service_id;
END
\$\$;
@{[ join "\n", map { "CALL made.day($_, " . ($_ == 0 ? 14 : 24) . ', ' . ($_ > $OPEN_DAYS ? 'false' : 'true') . ');' } reverse 0 .. $DAYS ]}

UPDATE capture SET status = 'error', error = '58000: the API failed' WHERE extract(epoch FROM window_start)::bigint / 3600 % 50 = 0;
INSERT INTO limit_day (service_key, day, noted_at, cpu_cores, max_connections)
SELECT k.service_key, d."time", d."time", 4, 200 FROM service_key k, (SELECT DISTINCT "time" FROM day_sum) d;

-- what is usual, of some services
CREATE UNLOGGED TABLE made.score_hour (LIKE score_hour INCLUDING COMPRESSION);
INSERT INTO made.score_hour
SELECT r.*
FROM (SELECT jsonb_object_agg(a.attname, array_fill(1000, '{200}')) AS filled FROM pg_attribute a WHERE a.attrelid = 'score_hour'::regclass AND a.attnum > 0 AND a.attndims > 0) a
CROSS JOIN generate_series(1, 3) s
CROSS JOIN LATERAL (SELECT array_agg(p) AS keys FROM generate_series(s * 200 - 199, s * 200) p) k
CROSS JOIN LATERAL jsonb_populate_record(NULL::made.score_hour, a.filled || jsonb_build_object('service_key', s, 'window_start', timestamptz '$LAST_DAY', 'scored_at', timestamptz '$LAST_DAY', 'common', 0, 'patterns', 200, 'pattern_key', k.keys)) r;
INSERT INTO score_hour
SELECT r.*
FROM made.score_hour s
CROSS JOIN (SELECT DISTINCT window_start FROM capture) h(at)
CROSS JOIN LATERAL jsonb_populate_record(s, jsonb_build_object('window_start', h.at)) r
ORDER BY r.window_start, r.service_key;
SQL

# Metrics, findings, and a role that reads; it vacuums and analyzes some tables.
system_or_bail($node->installed_command('psql'), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$FindBin::RealBin/../../bench/metrics.sql");
$node->safe_psql('postgres', 'VACUUM ANALYZE');
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM kept.service), count(DISTINCT window_start), sum(queries) FROM kept.capture}), '50|758|7580000', 'a month of 50 services with 200 patterns each');

# ---- What queries take

# Run SQL as a role that only reads.
sub as_reader { my ($sql) = @_; return $node->safe_psql('postgres', $sql, extra_params => [ '-U', 'panels' ]) }

sub milliseconds_of { my (@statements) = @_; return map { $_ / 1e6 } split /\n/, as_reader(timing_script(@statements)) }

sub pages_of
{
	my (@statements) = @_;
	my $plans = as_reader(join '', map { "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) $_;\n\\echo ==\n" } @statements);

	# the first line is that of the whole plan
	return map { /^ *Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?/m ? ($1 // 0) + ($2 // 0) : die "no buffers:\n$_" } split /^==\n?/m, $plans;
}

my ($service, $pattern) = split /\|/, as_reader(q{SELECT service_id, query_hex FROM kept.pattern_daily WHERE service_name = 'service-1' GROUP BY 1, 2 ORDER BY sum(total_duration_us) DESC, 2 LIMIT 1});
for my $name (dashboard_names())
{
	my $dashboard = read_dashboard($name);
	my @queries = (panel_queries($dashboard), other_queries($dashboard));
	for my $days (1, 7, 30)
	{
		my $values = variables($dashboard, sub { return as_reader("$_[0];") }, $FROM{$days}, $TO, $name eq 'fleet' ? () : (service => [$service], query => [$pattern]));
		is(scalar @{ $values->{service} }, $name eq 'fleet' ? 50 : 1, "$name: services");
		my @statements = map { expand($_->{sql}, $values, $FROM{$days}, $TO) } @queries;
		my @ms = milliseconds_of(@statements);
		for (2 .. $RUNS)
		{
			my @slow = grep { $ms[$_] >= $MOST_MS } 0 .. $#ms or last;
			my @again = milliseconds_of(@statements[@slow]);
			$ms[$_] = min($ms[$_], shift @again) for @slow;
		}
		my @pages = pages_of(@statements);
		my @lines = map { sprintf '%.0f ms, %d pages: %s', $ms[$_], $pages[$_], $queries[$_]{name} } 0 .. $#queries;
		note("$name, $days days:\n    ", join "\n    ", @lines);
		is(join("\n", @lines[ grep { $ms[$_] >= $MOST_MS } 0 .. $#ms ]), '', "$name, $days days: each query takes less than $MOST_MS ms");
		next if $name eq 'fleet' || $days > 7;
		is(join("\n", @lines[ grep { $pages[$_] > $MOST_PAGES } 0 .. $#ms ]), '', "$name, $days days: each query reads at most $MOST_PAGES pages");
	}
}

done_testing();
