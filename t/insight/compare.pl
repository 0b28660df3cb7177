# Comparison: changes and their causes are reported, and nothing where nothing changed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'jit = off', 'fsync = off');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 30);

# Without a history, the API is asked for both windows.
my $DAYS = q{tstzrange(now() - interval '2 days', now() - interval '1 day'), tstzrange(now() - interval '1 day', now())};
my $id = $node->safe_psql('postgres', 'SELECT id FROM chpg_services() LIMIT 1');
is(costs($node, $url, "SELECT string_agg(DISTINCT change || ' ' || confidence, ',') FROM chpg_compare($DAYS, '$id')", 2, 'two windows of the API'), 'steady low', 'no change in the values that are known');

# A service that is not running, and is read for neither window, or for one, has changed in
# nothing.
my ($billing) = $node->safe_psql('postgres', q{SELECT id FROM chpg_services() WHERE name = 'billing'});
my $BILLING = "SET client_min_messages = error; SELECT string_agg(DISTINCT change || ' ' || confidence, ',') FILTER (WHERE service_id = '$billing'), count(DISTINCT service_id) FROM chpg_compare($DAYS)";
reset_emulator($url, services => 2, patterns => 30, not_running => 'refused', overrides => { billing => { state => 'stopped' } });
is($node->safe_psql('postgres', $BILLING), '|1', 'a service that is not running');
reset_emulator($url, services => 2, patterns => 30, overrides => { billing => { state => 'stopped' } });
fault($url, path => "$billing/slow", status => 400, skip => 1);
is($node->safe_psql('postgres', $BILLING), 'unknown low|2', 'a service that stops between the windows');
reset_emulator($url, services => 2, patterns => 30);

# PostgreSQL plans statements of a function anew after five executions in a session.
reset_emulator($url, now => '2026-06-01T12:00:00.000Z');
my $HOURS = q{'[2026-06-01 10:00Z,2026-06-01 11:00Z)', '[2026-06-01 11:00Z,2026-06-01 12:00Z)'};
my %answers = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', join(';', map { "SELECT md5(string_agg(c::text, '' ORDER BY c::text)) FROM chpg_compare($HOURS, '$id') c" } 1 .. 8));
is(scalar(keys %answers), 1, 'a comparison that is repeated has the same rows, to the last digit');
reset_emulator($url, services => 2, patterns => 30);

for my $case (
	[ 'NULL', '22004', qr/argument "baseline" must not be null/ ],
	[ q{'empty'}, '22023', qr/invalid value for "baseline": "empty"/ ],
	[ q{'(,2026-01-01)'}, '22023', qr/invalid value for "baseline".*HINT:  Give a window/s ],
	[ q{'[-infinity,2026-01-01)'}, '22023', qr/invalid value for "baseline"/ ])
{
	fails_with($node, "SELECT * FROM chpg_compare($case->[0], tstzrange(now() - interval '1 day', now()))", $case->[1], $case->[2], "a baseline of $case->[0]");
}

my ($SATURDAY, $SUNDAY) = map { "[2026-05-$_ 00:00Z,2026-05-" . ($_ + 1) . ' 00:00Z)' } 9, 10;
for my $case (
	[ $SUNDAY, $SATURDAY, 'windows in the wrong order' ],
	[ $SUNDAY, $SUNDAY, 'a window compared with itself' ],
	[ '[2026-05-09 00:00Z,2026-05-10 00:00:00.001Z)', $SUNDAY, 'windows that overlap' ])
{
	fails_with($node, "SELECT * FROM chpg_compare('$case->[0]', '$case->[1]')", '22023',
		qr/does not end before period .*HINT:  Give two windows/s, $case->[2]);
}

# A history that is made up: each hour has a factor of its own, and percentiles
# are as inexact as those of that many executions, whose times are lognormal.
my $MEASURES = <<'SQL';
calls, 0, calls * a, a, 20 * a,
		0.6 * a, 3.1 * avg_us * f * exp(normal() * 2.1 / sqrt(calls)), 6 * a, calls * rows_per_call,
		calls * blks_per_call * (1 - hit), calls * blks_per_call * hit, calls * a * cpu, 0
SQL
my $DRAWN = <<'SQL';
LATERAL (SELECT exp(normal() * 0.15) AS f WHERE h + calls IS NOT NULL) x,
		LATERAL (SELECT avg_us * f * exp(normal() * 1.31 / sqrt(calls)) AS a) y
SQL
my $COUNTERS = 'call_count, error_count, total_duration_us, avg_duration_us, max_duration_us, p50_duration_us, p95_duration_us, p99_duration_us, total_rows, total_shared_blks_read, total_shared_blks_hit, total_cpu_time_us, total_wal_bytes';
my $STORED = $COUNTERS =~ s/avg_duration_us, //r;
my $HOUR = q{timestamptz '2026-05-10 00:00Z' + h * interval '1 hour'};
my $CAPTURED = "'hour', $HOUR, $HOUR + interval '1 hour', 'ok', 1, false, NULL, NULL, 1, now()";
$node->safe_psql('postgres', q{SELECT chpg_history_enable('kept')});
make_plantable($node);
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION normal() RETURNS float8 LANGUAGE sql VOLATILE AS 'SELECT sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())';
CREATE FUNCTION make_key(name text, operation text DEFAULT 'SELECT') RETURNS integer LANGUAGE sql VOLATILE AS
	$$ SELECT planted.key(hashtextextended(name, 1), name, operation, 'db', 'app') $$;
SQL
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION make_hours(service text, pattern_key integer, first integer, last integer, calls integer, avg_us float8,
	rows_per_call float8 DEFAULT 1, blks_per_call float8 DEFAULT 10, hit float8 DEFAULT 1, cpu float8 DEFAULT 0.5) RETURNS void LANGUAGE sql VOLATILE AS \$\$
	INSERT INTO kept.capture SELECT service, $CAPTURED
	FROM generate_series(first, last) h ON CONFLICT DO NOTHING;
	INSERT INTO planted.pattern
	SELECT service, 'hour', $HOUR, pattern_key, $MEASURES
	FROM generate_series(first, last) h,
		$DRAWN
\$\$;
SQL
$node->safe_psql('postgres', <<'SQL');
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES ('s', '-infinity', now(), 'service');
SELECT setseed(0.25);
-- hours 0 to 47 are the baseline, 48 to 53 the period
SELECT make_hours('s', make_key('background'), 0, 53, 1000, 50000);
SELECT make_hours('s', make_key('steady'), 0, 53, 500, 20000);
SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 60000, 100) FROM make_key('more rows') k;
SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 60000, 1, 100) FROM make_key('more blocks') k;
SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 60000, 1, 10, 0.8) FROM make_key('colder cache') k;
SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 60000, 1, 10, 1, 0.166) FROM make_key('waiting') k;
SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 60000, 1, 10, 1, 0.83) FROM make_key('computing') k;
SELECT make_hours('s', k, 0, 47, 500, 60000), make_hours('s', k, 48, 53, 500, 20000) FROM make_key('improved') k;
SELECT make_hours('s', make_key('new'), 48, 53, 500, 60000);
SELECT make_hours('s', make_key('gone'), 0, 47, 500, 60000);
SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 5000, 20000) FROM make_key('surged') k;
SELECT make_hours('s', k, 0, 47, 20, 20000), make_hours('s', k, 48, 53, 20, 60000) FROM make_key('rare') k;
SELECT make_hours('s', k, 0, 47, 500, 2), make_hours('s', k, 48, 53, 500, 6) FROM make_key('immaterial') k;
-- only its slow executions got slower
SELECT make_hours('s', make_key('slow tail'), 0, 53, 2000, 20000);
UPDATE planted.pattern SET p95_duration_us = CASE WHEN late THEN 250000 ELSE 60000 END, total_duration_us = 2000 * CASE WHEN late THEN 24000 ELSE 20000 END
FROM (SELECT pattern_key AS key FROM kept.pattern_key JOIN kept.query_text USING (text_id) WHERE query_text = 'slow tail') k, (VALUES (true, timestamptz '2026-05-12 00:00Z', timestamptz 'infinity'), (false, '-infinity', '2026-05-12 00:00Z')) w(late, since, until)
WHERE pattern_key = key AND window_start >= since AND window_start < until;
-- counts the CPU of the statements around it
SELECT make_hours('s', k, 0, 47, 500, 20000, 1, 10, 1, 1.6), make_hours('s', k, 48, 53, 500, 60000, 1, 10, 1, 1.6) FROM make_key('nested') k;
-- one hour of six is bad
SELECT make_hours('s', k, 0, 52, 500, 20000), make_hours('s', k, 53, 53, 500, 200000) FROM make_key('one bad hour') k;
SQL
# one hour of the baseline was bad
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 0, 46, 500, 20000), make_hours('s', k, 47, 47, 500, 2000000), make_hours('s', k, 48, 53, 500, 20000) FROM make_key('was bad once') k});
# a row and a block more, and half a second of waiting
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 0, 47, 500, 20000, 1, 1), make_hours('s', k, 48, 53, 500, 500000, 2, 2, 0.5, 0.02) FROM make_key('waiting for a lock') k});
my $WINDOWS = q{'[2026-05-10 00:00Z,2026-05-12 00:00Z)', '[2026-05-12 00:00Z,2026-05-12 06:00Z)'};
my %change = map { split /=/, $_, 2 } split /\n/, $node->safe_psql('postgres', "SELECT query_text || '=' || concat_ws(' ', change, cause) FROM chpg_compare($WINDOWS, 's')");
is($change{$_}, "regressed $_", "$_: the cause is told") for 'more rows', 'more blocks', 'colder cache', 'waiting', 'computing';
is($change{'waiting for a lock'}, 'regressed waiting', 'waiting for a lock: not for the one block that it reads');
is($change{nested}, 'regressed mixed', 'nested: the counters do not show the cause');
is($change{'slow tail'} =~ s/ .*//r, 'regressed', 'slow tail: the 95th percentile is enough');
is($change{improved} =~ s/ .*//r, 'improved', 'improved');
is($change{$_}, $_, $_) for qw(new gone surged);
is($change{$_}, 'steady', "$_: no change that counts") for 'steady', 'background', 'immaterial', 'one bad hour', 'rare', 'was bad once';
is($node->safe_psql('postgres', "SELECT DISTINCT service_id, service_name FROM chpg_compare($WINDOWS, 's')"), 's|service', 'rows have the name of their service');
is($node->safe_psql('postgres', "SELECT avg_duration_us < 0.4 * baseline_avg_duration_us FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'was bad once'"), 't', 'though the mean is less than half');
unplant($node, 'was bad once', 'waiting for a lock');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT confidence || ' ' || hours_worse, ',') FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'waiting'"), 'high 6/6', 'the number of worse hours');
is($node->safe_psql('postgres', "SELECT bool_and(p95_lo_us <= p95_hi_us AND baseline_p95_lo_us < p95_lo_us) FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'waiting'"), 't', 'percentiles are bounds');
is($node->safe_psql('postgres', "SELECT round(sum(time_ratio)::numeric, 6) FROM chpg_compare($WINDOWS, 's')"), '1.000000', 'shares add up to all');

# Patterns without a query id have time, but no executions.
$node->safe_psql('postgres', q{INSERT INTO planted.pattern SELECT service_id, grain, window_start, planted.key(0, 'nothing'), 100, 0, 9e8 FROM kept.capture WHERE window_start = '2026-05-12 00:00Z'});
is($node->safe_psql('postgres', q{SELECT v.avg_duration_us = sum(p.total_duration_us) / sum(p.call_count) FROM kept.service_hour v JOIN kept.pattern_hour p USING ("time") WHERE v."time" = '2026-05-12 00:00Z' GROUP BY v.avg_duration_us}), 't', 'the mean time of a service is that of its statements');

# A new or vanished pattern counts only if its time or its number of executions is large
# enough to be listed.
sub change_of { my ($name, $windows) = @_; return $node->safe_psql('postgres', "SELECT change || ' ' || confidence FROM chpg_compare($windows, 's') WHERE query_text = '$name'") }
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 3, 3, 500, 2000000), make_hours('s', k, 27, 27, 500, 2000000) FROM make_key('nightly') k});
is(change_of('nightly', $WINDOWS), 'gone? low', 'six hours in which it need not have run');
is(change_of('nightly', q{'[2026-05-10 04:00Z,2026-05-10 06:00Z)', '[2026-05-11 00:00Z,2026-05-12 00:00Z)'}), 'new? low', 'two hours in which it need not have run');
is(change_of('gone', $WINDOWS), 'gone high', 'a pattern that ran in each hour');
$node->safe_psql('postgres', q{UPDATE chpg_rule SET threshold = 100 WHERE rule_id = 'CHPG504' AND parameter = 'busy_s_per_h'});
is(change_of('gone', $WINDOWS) =~ s/ .*//r, 'steady', 'a pattern of half a minute an hour is not listed as gone where that is little');
$node->safe_psql('postgres', q{UPDATE chpg_rule SET threshold = 10 WHERE rule_id = 'CHPG504' AND parameter = 'busy_s_per_h'});
$node->safe_psql('postgres', q{UPDATE kept.capture SET truncated = true, cutoff_us = 1e12 WHERE service_id = 's' AND window_start >= '2026-05-12'});
is(change_of('gone', $WINDOWS), 'gone? low', 'a pattern that a truncated period may hide');
$node->safe_psql('postgres', q{UPDATE kept.capture SET truncated = false, cutoff_us = NULL; UPDATE kept.capture SET status = 'lost' WHERE service_id = 's' AND window_start >= '2026-05-12 03:00Z'});
is(change_of('gone', $WINDOWS), 'gone? low', 'a pattern that missing hours may hide');
$node->safe_psql('postgres', q{UPDATE kept.capture SET status = 'ok'});

# Too few executions in an hour: a single long one would be a change.
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 0, 47, 15, 100000), make_hours('s', k, 48, 53, 15, 100000) FROM make_key('one long execution') k;
	UPDATE planted.pattern p SET total_duration_us = total_duration_us + 6e7, max_duration_us = 6e7 FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text = 'one long execution' AND window_start = '2026-05-12 02:00Z'});
is(change_of('one long execution', $WINDOWS), 'steady low', 'one execution of a minute');
is($node->safe_psql('postgres', "SELECT avg_duration_us > 5 * baseline_avg_duration_us FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'one long execution'"), 't', 'which makes the mean six times as long');

# A few hours are a poor baseline: only a much slower pattern counts.
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 32000) FROM make_key('slower by half') k;
	UPDATE planted.pattern p SET total_duration_us = call_count * us, p95_duration_us = 3 * us
	FROM kept.pattern_key k JOIN kept.query_text t USING (text_id), (VALUES (20000, '[2026-05-01,2026-05-12 00:00Z)'::tstzrange), (32000, '[2026-05-12 00:00Z,)')) v(us, hours)
	WHERE k.pattern_key = p.pattern_key AND t.query_text = 'slower by half' AND p.window_start <@ v.hours});
is(change_of('slower by half', $WINDOWS), 'regressed high', 'beside two days');
is(change_of('slower by half', q{'[2026-05-11 18:00Z,2026-05-12 00:00Z)', '[2026-05-12 00:00Z,2026-05-12 06:00Z)'}), 'steady medium', 'beside six hours');
is(change_of('more rows', q{'[2026-05-11 18:00Z,2026-05-12 00:00Z)', '[2026-05-12 00:00Z,2026-05-12 06:00Z)'}), 'regressed medium', 'three times as slow as in six hours');

# What got worse during the day is not hidden by the hours before.
my $LAST_DAY = q{'[2026-05-10 00:00Z,2026-05-11 00:00Z)', '[2026-05-11 00:00Z,2026-05-12 00:00Z)'};
$node->safe_psql('postgres', q{SELECT setseed(0.25);
	SELECT make_hours('s', k, 0, 39, 500, 20000), make_hours('s', k, 40, 47, 500, 40000) FROM make_key('slower since 16') k;
	SELECT make_hours('s', k, 0, 45, 500, 20000), make_hours('s', k, 46, 47, 500, 60000) FROM make_key('for two hours') k;
	SELECT make_hours('s', k, 0, 37, 500, 20000), make_hours('s', k, 38, 44, 500, 40000), make_hours('s', k, 45, 47, 500, 18000) FROM make_key('over') k;
	SELECT make_hours('s', k, 0, 15, 500, 20000), make_hours('s', k, 16, 23, 500, 40000), make_hours('s', k, 24, 39, 500, 20000), make_hours('s', k, 40, 47, 500, 44000) FROM make_key('each evening') k});
sub lately { my ($name) = @_; return $node->safe_psql('postgres', "SELECT change, to_char(since, 'DD HH24'), split_part(hours_worse, '/', 1)::integer < 18, excess_us > 0 FROM chpg_compare($LAST_DAY, 's') WHERE query_text = '$name'") }
is(lately('slower since 16'), 'regressed|11 16|t|t', 'eight hours up to the end are a regression, with its onset');
like(lately($_), qr/^steady\|\|t/, "$_: no regression") for 'for two hours', 'over', 'each evening';
is(change_of('waiting', $WINDOWS) . $node->safe_psql('postgres', "SELECT since FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'waiting'"), 'regressed high2026-05-12 00:00:00+00', 'worse in each hour: since the first one');
unplant($node, 'slower since 16', 'for two hours', 'over', 'each evening');

# A Monday is busier than the Sunday before it, which makes patterns slower, but not twice as slow.
$node->safe_psql('postgres', q{SELECT setseed(0.25);
	SELECT make_hours('s', k, 0, 39, 500, 20000), make_hours('s', k, 40, 47, 500, 20000) FROM make_key('busier') k;
	SELECT make_hours('s', k, 0, 39, 500, 20000), make_hours('s', k, 40, 47, 500, 20000) FROM make_key('busier and slower') k;
	UPDATE planted.pattern p SET total_duration_us = call_count * us, p95_duration_us = 3 * us
	FROM kept.pattern_key k JOIN kept.query_text t USING (text_id), (VALUES ('busier', 31000, true), ('busier and slower', 60000, true), ('busier', 20000, false), ('busier and slower', 20000, false)) v(name, us, late)
	WHERE k.pattern_key = p.pattern_key AND t.query_text = v.name AND (p.window_start >= '2026-05-11 16:00Z') = v.late});
sub with_load { my ($hours) = @_; return $node->safe_psql('postgres', "BEGIN; UPDATE kept.capture SET call_count = CASE WHEN window_start < '2026-05-11 00:00Z' THEN 100000 ELSE 100000 * $hours END WHERE service_id = 's'; SELECT string_agg(query_text || ' ' || change, ', ' ORDER BY query_text) FROM chpg_compare($LAST_DAY, 's') WHERE query_text LIKE 'busier%'; ROLLBACK") }
is(with_load('1.4'), 'busier regressed, busier and slower regressed', 'half as slow again at the usual load is a regression');
is(with_load('1.6'), 'busier steady, busier and slower regressed', 'at 1.6 times the load twice as slow is one');
is(with_load(q{(CASE WHEN window_start < '2026-05-11 16:00Z' THEN 9 ELSE 1 END)}), 'busier regressed, busier and slower regressed', 'the load of the hours before does not count');
is(with_load('NULL'), 'busier regressed, busier and slower regressed', 'nor does one that is not known');
unplant($node, 'busier', 'busier and slower');

# With one or two hours of a period, patterns are judged as without a history.
is($node->safe_psql('postgres', q{SELECT change, confidence, hours_worse, since FROM chpg_compare('[2026-05-10 00:00Z,2026-05-12 00:00Z)', '[2026-05-12 00:00Z,2026-05-12 02:00Z)', 's') WHERE query_text = 'more rows'}), 'regressed|low||', 'three times as slow for two hours');

# Impossible times
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 0, 53, 500, 20000) FROM make_key('impossible') k;
	UPDATE planted.pattern p SET total_duration_us = CASE WHEN window_start < '2026-05-12' THEN -1.7e308 ELSE 1.7e308 END, total_rows = -9223372036854775808
	FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text = 'impossible'});
like(change_of('impossible', $WINDOWS), qr/^\w+ \w+$/, 'are no error');
unplant($node, 'impossible', 'slower by half', 'one long execution');

# An hour counts once, however many query texts a pattern had in it.
$node->safe_psql('postgres', q{SELECT planted.key(query_id, 'another text', db_operation, db_name, db_user, app) FROM kept.pattern_key JOIN kept.query_text USING (text_id) WHERE query_text = 'more blocks'});
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', pattern_key, 0, 47, 500, 20000), make_hours('s', pattern_key, 48, 53, 500, 60000, 1, 100) FROM kept.pattern_key WHERE text_id = planted.text('another text')});
is($node->safe_psql('postgres', "SELECT count(*), min(change), min(hours_worse) FROM chpg_compare($WINDOWS, 's') WHERE query_id = (SELECT query_id FROM kept.pattern_key WHERE text_id = planted.text('another text'))"), '1|regressed|6/6', 'two texts of a pattern');

# Counters that the response omits
$node->safe_psql('postgres', q{UPDATE planted.pattern p SET total_duration_us = NULL FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text = 'steady' AND window_start < '2026-05-12';
	UPDATE planted.pattern p SET call_count = NULL FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text = 'background' AND window_start >= '2026-05-12 02:00Z';
	UPDATE planted.pattern SET total_rows = 9223372036854775807, total_wal_bytes = 9223372036854775807, total_cpu_time_us = 1.7e308, max_duration_us = 1.7e308 WHERE window_start >= '2026-05-12 04:00Z' AND pattern_key = (SELECT pattern_key FROM kept.pattern_key JOIN kept.query_text USING (text_id) WHERE query_text = 'improved')});
is(change_of('steady', $WINDOWS) =~ s/ .*//r, 'steady', 'an omitted time does not make a pattern new');
is($node->safe_psql('postgres', "SELECT change, avg_duration_us / baseline_avg_duration_us BETWEEN 0.7 AND 1.4 FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'background'"), 'steady|t', 'means are those of the known values');
is(change_of('improved', $WINDOWS) =~ s/ .*//r, 'improved', 'nor do impossible counters end the comparison');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_period_patterns('[2026-05-10 00:00Z,2026-05-12 00:00Z)', 's') WHERE query_text = 'steady' AND (total_duration_us IS NOT NULL OR avg_duration_us IS NOT NULL)"), 0, 'unknown values stay unknown');

cmp_ok(abs(1 - $node->safe_psql('postgres', "SELECT calls_per_s / baseline_calls_per_s FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'background'")), '<', 0.01, 'so are rates');
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 60000) FROM make_key('without percentiles') k;
	SELECT make_hours('s', k, 0, 47, 3, 2000000), make_hours('s', k, 48, 53, 3, 6000000) FROM make_key('without CPU') k;
	SELECT make_hours('s', k, 0, 47, 500, 20000), make_hours('s', k, 48, 53, 500, 60000) FROM make_key('absurd') k;
	UPDATE planted.pattern p SET p95_duration_us = CASE t.query_text WHEN 'without percentiles' THEN NULL ELSE p95_duration_us END,
		total_cpu_time_us = CASE t.query_text WHEN 'without CPU' THEN NULL ELSE total_cpu_time_us END,
		total_shared_blks_read = CASE WHEN t.query_text = 'absurd' AND window_start = '2026-05-12 01:00Z' THEN 9223372036854775807 ELSE total_shared_blks_read END
	FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key});
is(change_of('without percentiles', $WINDOWS) =~ s/ .*//r, 'regressed', 'a mean needs no percentiles');
is(change_of('without CPU', $WINDOWS), 'steady low', 'a missing counter does not change the certainty');
is(change_of('absurd', $WINDOWS) =~ s/ .*//r, 'regressed', 'blocks beyond number');
is($node->safe_psql('postgres', 'SELECT count(hit_ratio) > 0 FROM kept.pattern_hour') . $node->safe_psql('postgres', 'SELECT count(hit_ratio) > 0 FROM kept.service_hour'), 'tt', 'views accept them, too');
unplant($node, 'absurd');

# Causes of a faster pattern
$node->safe_psql('postgres', q{SELECT setseed(0.25); SELECT make_hours('s', k, 0, 47, 500, 100000, 1, 10000), make_hours('s', k, 48, 53, 500, 1000, 1, 10) FROM make_key('with an index') k});
is($node->safe_psql('postgres', "SELECT change, cause FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'with an index'"), 'improved|fewer blocks', 'an index');
$node->safe_psql('postgres', q{UPDATE chpg_rule SET threshold = 1000 WHERE rule_id = 'CHPG500' AND parameter LIKE '%factor' AND parameter NOT LIKE 'imp%'});
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_compare($WINDOWS, 's') WHERE change = 'regressed'"), 0, 'the numbers that judge can be changed');
$node->safe_psql('postgres', q{UPDATE chpg_rule SET threshold = CASE parameter WHEN 'p95_factor' THEN 1.5 WHEN 'avg_factor' THEN 1.3 WHEN 'blind_factor' THEN 2 ELSE 3 END WHERE rule_id = 'CHPG500' AND threshold = 1000});
$node->safe_psql('postgres', q{UPDATE kept.capture SET truncated = true, cutoff_us = 1e12 WHERE service_id = 's' AND window_start < '2026-05-12'});
is($node->safe_psql('postgres', "SELECT change || ' ' || confidence FROM chpg_compare($WINDOWS, 's') WHERE query_text = 'new'"), 'new? low', 'a pattern that a truncated baseline may have hidden');

# Hours that the history lacks are no change.
$node->safe_psql('postgres', <<'SQL');
TRUNCATE kept.capture;
SELECT planted.clear();
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES ('late', '-infinity', now(), 'late');
SELECT setseed(0.125);
-- of s, the last 6 hours of 24 were captured before; of late, none
SELECT make_hours('s', k, 18, 47, 500, 20000), make_hours('late', k, 24, 47, 500, 20000)
FROM (SELECT pattern_key AS k FROM kept.pattern_key JOIN kept.query_text USING (text_id) WHERE query_text = 'steady') x;
SELECT make_hours('s', k, 18, 23, 500, 60000), make_hours('s', k2, 24, 47, 500, 60000)
FROM (SELECT min(pattern_key) FILTER (WHERE query_text = 'gone') AS k, min(pattern_key) FILTER (WHERE query_text = 'new') AS k2
      FROM kept.pattern_key JOIN kept.query_text USING (text_id)) x;
SQL
my ($BEFORE, $AFTER) = ('[2026-05-10 00:00Z,2026-05-11 00:00Z)', '[2026-05-11 00:00Z,2026-05-12 00:00Z)');
is( costs($node, $url, "SELECT service_id, query_text, change, confidence, baseline_calls_per_s * 3600, calls_per_s * 3600 FROM chpg_compare('$BEFORE', '$AFTER') ORDER BY 1, 2", 0, 'a baseline with gaps'),
	"late|steady|unknown|low||500\ns|gone|gone?|low|500|\ns|new|new?|low||500\ns|steady|steady|medium|500|500",
	'rates are those of the captured hours, and missing hours make no pattern new or gone');
my (undef, $thin, $gap) = $node->psql('postgres', "SELECT change, confidence, hours_worse, since, round(baseline_calls_per_s * 3600) FROM chpg_compare('[2026-05-09 20:00Z,2026-05-10 20:00Z)', '$AFTER', 's') WHERE query_text = 'steady'");
is($thin, 'steady|low|||500', 'a baseline of two hours judges no hour');
like($gap, qr/NOTICE:  the history has 2 of 24 hours of the baseline/, 'which is said');
fails_with($node, "SELECT * FROM chpg_compare('$BEFORE', '$AFTER', 'serivce')", '42704', qr/service "serivce" does not exist/, 'an unknown service');
is( costs($node, $url, "SELECT count(*) > 0, bool_and(change IN ('steady', 'gone')), bool_and(confidence = 'low') FROM chpg_compare($DAYS, '$id')", 2, 'a service that the history lacks'),
	't|t|t', 'is looked up by a request');

# Read from the API: a window that the API no longer keeps is not compared, and nulls
# are equal.
reset_emulator($url, services => 2, patterns => 30, pattern_overrides => { orders => { 4 => { dbName => undef, dbUser => undef, app => 'web' } } });
is($node->safe_psql('postgres', "SELECT chpg_cache_reset(); SELECT string_agg(DISTINCT change || ' ' || confidence, ',') FROM chpg_compare(tstzrange(now() - interval '10 days', now() - interval '9 days'), tstzrange(now() - interval '1 day', now()), '$id')"), "\nunknown low", 'a baseline that the API has no longer');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT change, ','), count(*) FILTER (WHERE db_name = '') FROM chpg_compare($DAYS, '$id')"), 'steady|1', 'a pattern without a database is compared');

# A regression in the API's own numbers
my $yesterday = POSIX::strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime(time - 86400));
reset_emulator($url, services => 2, patterns => 30, slower => { orders => { 0 => { since => $yesterday, times => 5 } } });
is($node->safe_psql('postgres', "SELECT chpg_cache_reset(); SELECT query_id, change, round(avg_duration_us / baseline_avg_duration_us) FROM chpg_compare($DAYS, '$id') WHERE change <> 'steady'"), "\n-4748036479882663975|regressed|5", 'one pattern of the fleet that is slower since a day ago');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_compare(tstzrange(now() - interval '4 days', now() - interval '3 days'), tstzrange(now() - interval '3 days', now() - interval '2 days'), '$id') WHERE change <> 'steady'"), 0, 'but not before');
reset_emulator($url, services => 2, patterns => 30);

# A history in a renamed schema is not used until that is enabled.
$node->safe_psql('postgres', 'ALTER SCHEMA kept RENAME TO moved');
is($node->safe_psql('postgres', "SELECT DISTINCT source FROM chpg_period_patterns(tstzrange(now() - interval '1 day', now()), '$id')"), 'api', 'requests are sent');
$node->safe_psql('postgres', 'ALTER SCHEMA moved RENAME TO kept');

# A role that may not read the history reads from the API with its own key.
$node->safe_psql('postgres', "CREATE ROLE reader LOGIN; GRANT USAGE ON FOREIGN SERVER chpg TO reader; SET ROLE reader; SELECT chpg_connect('$KEY_ID', '$KEY_SECRET')");
is( costs($node, $url, "SET ROLE reader; SELECT DISTINCT source FROM chpg_period_patterns(tstzrange(now() - interval '1 day', now()), '$id')", 1, 'no right to the history'),
	'api', 'requests are sent');
$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA kept TO reader; GRANT SELECT ON kept.pattern_hour TO reader');
is( costs($node, $url, "SET ROLE reader; SELECT DISTINCT source FROM chpg_period_patterns(tstzrange(now() - interval '1 day', now()), '$id')", 1, 'a right to views of the history'),
	'api', 'is none to its tables');
$node->safe_psql('postgres', 'GRANT SELECT ON ALL TABLES IN SCHEMA kept TO reader');
is( costs($node, $url, "SET ROLE reader; SELECT DISTINCT source FROM chpg_period_patterns('$AFTER', 's')", 0, 'a right to the history'),
	'history', 'the history is read');

# No change, a hundred times over 500 patterns
$node->safe_psql('postgres', <<"SQL");
TRUNCATE kept.capture;
SELECT setseed(0.5);
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) SELECT 'seed' || s, '-infinity', now(), 'seed' || s FROM generate_series(1, 100) s;
CREATE TEMP TABLE made AS
	SELECT 'seed' || s AS service, k AS pattern_key, 70 + 10 * (n % 50) AS calls, 100000 * exp(2 * normal()) AS avg_us,
		1 AS rows_per_call, 10 AS blks_per_call, 1 AS hit, 0.5 AS cpu
	FROM (SELECT n, make_key('pattern ' || n) AS k FROM generate_series(1, 500) n) p, generate_series(1, 100) s;
INSERT INTO kept.capture SELECT service, $CAPTURED FROM (SELECT DISTINCT service FROM made) m, generate_series(0, 26) h;
SELECT _chpg_service_key(service) FROM (SELECT DISTINCT service FROM made) m;
-- a million rows, as they are stored, which is faster without the index and in a table that is new to the transaction
SELECT indexrelid::regclass AS index, pg_get_indexdef(indexrelid) AS definition FROM pg_index WHERE indrelid = 'kept.open_hour'::regclass \\gset
BEGIN;
SELECT planted.clear();
DROP INDEX :index;
INSERT INTO kept.open_hour (window_start, service_key, pattern_key, $STORED)
SELECT window_start, service_key, r.pattern_key, $STORED
FROM (SELECT service, $HOUR, pattern_key, $MEASURES FROM made, generate_series(0, 26) h, $DRAWN)
	r(service_id, window_start, pattern_key, $COUNTERS)
JOIN kept.service_key USING (service_id);
:definition;
COMMIT;
ANALYZE kept.open_hour;
SQL
my $changes = $node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE change = 'regressed'), count(*) FILTER (WHERE avg_duration_us > 1.2 * baseline_avg_duration_us AND excess_us > 5e6) FROM chpg_compare('[2026-05-10 00:00Z,2026-05-11 00:00Z)', '[2026-05-11 00:00Z,2026-05-11 03:00Z)')});
my ($patterns, $false, $naive) = split /\|/, $changes;
is($patterns, 50_000, 'all patterns are compared');
cmp_ok($naive, '>', 500, "a plain comparison of means would raise $naive alarms");
cmp_ok($false, '<=', 100, "no change: at most one false regression in 500 patterns ($false in 50,000)");

# A comparison over the API costs the same requests as before, and one that fails costs
# fewer.
my $UNKNOWN = qq{'[$PAST_DATE 00:00Z,$PAST_DATE 06:00Z)', '[$PAST_DATE 06:00Z,$PAST_DATE 12:00Z)'};
costs($node, $url, "SET chpg.cache_ttl = 0; SELECT FROM chpg_compare($UNKNOWN, 'pg7myrd1j06p3gx4zrm2ze8qz6')", 2, 'two windows of the API');
my $error = fails_with($node, "SELECT FROM chpg_compare($UNKNOWN, 'ordres')", '42704', qr/service "ordres" does not exist/, 'a service that is not there');
cmp_ok(scalar(() = $error =~ /\n/g), '<', 12, 'is reported in a few lines');

# Windows without any data
my ($status, $rows, $notice) = $node->psql('postgres', q{SELECT count(*) FROM chpg_compare('[2020-01-01 00:00Z,2020-01-02 00:00Z)', '[2020-01-02 00:00Z,2020-01-03 00:00Z)')});
is($rows, 0, 'no rows');
like($notice, qr/NOTICE:  neither the history nor the API has patterns/, 'are reported');

# Sums over a random history equal those of one plain query.
my $DATA = "$FindBin::RealBin/../data";
$node->safe_psql('postgres', 'CREATE DATABASE random');
$node->safe_psql('random', connect_sql($url) . q{ SELECT chpg_history_enable('random')});
make_plantable($node, 'random', 'random');
$node->safe_psql('random', slurp_file("$DATA/plain_sums.sql"));
my ($BASELINE, $PERIOD, $ODD) = map { "'$_'" } '[2026-05-10 00:00Z,2026-05-12 00:00Z)', '[2026-05-12 00:00Z,2026-05-13 00:00Z)', '[2026-05-11 01:30Z,2026-05-12 07:59Z)';
my $IDENTITY = 'service_id, query_id, db_name, db_user, db_operation, app';
sub sums_are_those_drawn
{
	my ($name) = @_;

	for my $period ($BASELINE, $ODD)
	{
		is($node->safe_psql('random', "SELECT count(*) > 150, count(*) FILTER (WHERE alike(to_jsonb(a), to_jsonb(b)) IS NOT TRUE) FROM plain_patterns($period) a FULL JOIN chpg_period_patterns($period) b USING ($IDENTITY)"),
			't|0', "$name: the patterns of $period");
	}
	is($node->safe_psql('random', "SELECT count(a.hours_worse) > 80, count(*) FILTER (WHERE a.hours_worse IS DISTINCT FROM b.hours_worse) FROM (SELECT * FROM plain_hours($BASELINE, $PERIOD) WHERE query_id <> 0 AND app <> 'bin/monitor') a FULL JOIN chpg_compare($BASELINE, $PERIOD) b USING ($IDENTITY)"),
		't|0', "$name: the worse hours");
	is($node->safe_psql('random', "SELECT count(*) FILTER (WHERE c.baseline_avg_duration_us IS DISTINCT FROM a.avg_duration_us AND abs(c.baseline_avg_duration_us / a.avg_duration_us - 1) > 1e-9), count(*) FILTER (WHERE c.query_text <> coalesce(b.query_text, a.query_text)), count(DISTINCT change) > 3
		FROM chpg_compare($BASELINE, $PERIOD) c LEFT JOIN plain_patterns($BASELINE) a USING ($IDENTITY) LEFT JOIN plain_patterns($PERIOD) b USING ($IDENTITY)"),
		'0|0|t', "$name: the means and texts of the changes");
	for my $case ((map { [ $BASELINE, $_ ] } qw(total_duration_us call_count error_count total_shared_blks_read total_wal_bytes)), [ $ODD, 'call_count' ])
	{
		my ($of, $by) = @$case;
		is($node->safe_psql('random', "WITH counted AS (SELECT $IDENTITY, sum($by) AS captured FROM drawn.pattern JOIN random.pattern_key USING (pattern_key) WHERE window_start BETWEEN lower(${of}::tstzrange) AND upper(${of}::tstzrange) - interval '1 hour' AND (query_id <> 0 OR '$by' = 'error_count') GROUP BY $IDENTITY),
				top AS (SELECT * FROM chpg_history_top($of, NULL, 30, '$by') WITH ORDINALITY)
			SELECT count(*), bool_and(captured <= before), min(captured) >= (SELECT max(captured) FROM counted LEFT JOIN top USING ($IDENTITY) WHERE ordinality IS NULL), bool_and(alike(to_jsonb(t) - '{ordinality,captured,before}'::text[], to_jsonb(p)))
			FROM (SELECT top.*, captured, coalesce(lag(captured) OVER (ORDER BY ordinality), captured) AS before FROM top JOIN counted USING ($IDENTITY)) t JOIN plain_patterns($of) p USING ($IDENTITY)"),
			'30|t|t|t', "$name: the 30 patterns with the most $by in $of");
	}
	return;
}

# Windows that are sealed keep four significant digits of durations, and whole counters.
my $COUNTS = 'call_count, error_count, total_rows, total_shared_blks_read, total_shared_blks_hit, total_wal_bytes';
my $DIGITS = 5.1e-4;
my $APART = join ' OR ', map { "a.$_ IS DISTINCT FROM b.$_ AND (abs(a.$_ - b.$_) <= $DIGITS * a.$_) IS NOT TRUE" } grep { /_us$/ } split /, /, $STORED;
for my $seed (0.1, 0.7)
{
	$node->safe_psql('random', slurp_file("$DATA/random_history.sql"), extra_params => [ '-v', "seed=$seed" ]);
	sums_are_those_drawn("seed $seed");
	$node->safe_psql('random', "DROP TABLE IF EXISTS drawn.change, drawn.finding;
		CREATE TABLE drawn.change AS SELECT * FROM chpg_compare($BASELINE, $PERIOD);
		CREATE TABLE drawn.finding AS SELECT * FROM chpg_findings($PERIOD, history_only => true);
		SELECT planted.seal('2026-05-12 06:00Z')");
	is($node->safe_psql('random', "SELECT (SELECT count(*) FROM random.sealed_hour) > 200, (SELECT count(*) FROM random.open_hour) > 2000, count(*) > 10000, count(*) FILTER (WHERE (SELECT ROW(a.*) FROM (SELECT $COUNTS FROM (SELECT a.*) a) a) IS DISTINCT FROM (SELECT ROW(b.*) FROM (SELECT $COUNTS FROM (SELECT b.*) b) b)), count(*) FILTER (WHERE $APART), count(*) FILTER (WHERE a.total_duration_us <> b.total_duration_us) > 1000
		FROM drawn.pattern a FULL JOIN planted.pattern b USING (service_id, grain, window_start, pattern_key)"),
		't|t|t|0|0|t', "seed $seed, sealed in part: the patterns of the windows");
	is($node->safe_psql('random', "SELECT count(*) > 80, count(*) FILTER (WHERE (a.change, a.cause, a.confidence, a.query_text) IS DISTINCT FROM (b.change, b.cause, b.confidence, b.query_text)),
			count(*) FILTER (WHERE alike(to_jsonb(a) - '{excess_us,hours_worse}'::text[], to_jsonb(b) - '{excess_us,hours_worse}'::text[], 2 * $DIGITS) IS NOT TRUE),
			count(*) FILTER (WHERE abs(a.excess_us - b.excess_us) > $DIGITS * a.calls_per_s * 86400 * (a.avg_duration_us + a.baseline_avg_duration_us))
		FROM drawn.change a FULL JOIN chpg_compare($BASELINE, $PERIOD) b USING ($IDENTITY)"),
		't|0|0|0', "seed $seed, sealed in part: the changes");
	is($node->safe_psql('random', "SELECT count(*) > 20, count(*) FILTER (WHERE (a.rule_id, a.level, a.title, a.tags, a.confidence) IS DISTINCT FROM (b.rule_id, b.level, b.title, b.tags, b.confidence)),
			count(*) FILTER (WHERE abs(a.impact_us - b.impact_us) > 2 * $DIGITS * a.impact_us)
		FROM drawn.finding a FULL JOIN chpg_findings($PERIOD, history_only => true) b USING (finding_key)"),
		't|0|0', "seed $seed, sealed in part: the findings");
	next if $seed < 0.7;
	# sums of what is stored then
	$node->safe_psql('random', 'CREATE TEMP TABLE stored AS SELECT * FROM planted.pattern; TRUNCATE drawn.pattern; INSERT INTO drawn.pattern SELECT * FROM stored; ANALYZE drawn.pattern, random.open_hour, random.sealed_hour');
	sums_are_those_drawn("seed $seed, sealed in part");
}
is($node->safe_psql('random', "SELECT count(*) = (SELECT count(*) FROM plain_patterns($BASELINE) WHERE service_id = 'service-4' AND query_id <> 0), count(DISTINCT service_id), min(service_id) FROM chpg_history_top($BASELINE, 'name-4', 1000)"), 't|1|service-4', 'all patterns of one service');
is($node->safe_psql('random', "SELECT count(*) > 0 FROM chpg_history_top($BASELINE, 'name-4', 1000, '$_') WHERE query_id = 0"), $_ eq 'error_count' ? 't' : 'f', "errors without a query id: $_")
  for qw(error_count call_count);
is($node->safe_psql('random', "SELECT string_agg(DISTINCT service_id, ' ') FROM chpg_history_top($BASELINE, server => 'other', n => 1000)"), 'service-3 service-6', 'the services of a server');
is($node->safe_psql('random', "SELECT count(*) > 40, count(*) FILTER (WHERE a IS DISTINCT FROM b) FROM (SELECT * FROM chpg_history_top($BASELINE, n => 1000) WHERE service_id IN ('service-3', 'service-4')) a FULL JOIN chpg_history_top($BASELINE, n => 1000, services => '{name-4,service-3,NULL,service-4}') b USING (service_id, query_id, db_name, db_user, db_operation, app)"), 't|0', 'several services, by id or name');
is($node->safe_psql('random', "SELECT count(*) FROM (SELECT * FROM chpg_history_top($BASELINE, order_by => 'Errors') EXCEPT SELECT * FROM chpg_history_top($BASELINE, order_by => 'error_count')) e"), 0, 'the words of chpg_top');
is($node->safe_psql('random', "SELECT count(*) FROM chpg_history_top($BASELINE, services => '{}')"), 0, 'no service');
is($node->safe_psql('random', "SELECT count(*) FROM chpg_history_top('[2026-05-10 00:30Z,2026-05-10 01:30Z)')"), 0, 'a period without whole hours');
like(notices($node, "SELECT FROM chpg_history_top('[2026-05-10 00:30Z,2026-05-10 01:30Z)')", connstr => $node->connstr('random')), qr/NOTICE:  the history has no patterns of whole hours within .*\nHINT:/, 'is noticed');
for my $case (
	[ 'NULL', '22004', qr/argument "period" must not be null/ ],
	[ "$BASELINE, n => NULL", '22004', qr/argument "n" must not be null/ ],
	[ "$BASELINE, order_by => NULL", '22004', qr/argument "order_by" must not be null/ ],
	[ "$BASELINE, n => 0", '22023', qr/invalid value for "n": 0: give 1 to 1000 patterns/ ],
	[ "$BASELINE, order_by => 'total_wal'", '22023', qr/invalid value for "order_by": "total_wal": did you mean "total_wal_bytes"\?/ ],
	[ "$BASELINE, order_by => 'avg_duration_us'", '22023', qr/invalid value for "order_by": "avg_duration_us": give time, calls or errors\nHINT:  Give one of call_count, error_count/ ],
	[ "$BASELINE, 'name-3', services => '{name-4}'", '22023', qr/arguments "service" and "services" exclude each other/ ],
	[ "$BASELINE, services => '{name-3,name-9}'", '42704', qr/service "name-9" is not in the history/ ],
	[ "$BASELINE, 'name-9'", '42704', qr/service "name-9" is not in the history/ ])
{
	fails_with($node, "SELECT * FROM chpg_history_top($case->[0])", $case->[1], $case->[2], "top of $case->[0]", connstr => $node->connstr('random'));
}

done_testing();
