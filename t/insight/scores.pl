# Scores: hours of patterns beside the same hours of past days, with values that were computed by hand.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', "timezone = 'America/Los_Angeles'", 'jit = off', 'fsync = off');
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{CREATE EXTENSION IF NOT EXISTS chpg; SELECT chpg_history_enable('kept')});
make_plantable($node);

# Windows of a service: captured($service, $condition) from 2026-04-01 to 2026-05-18, of which :t is the start.
sub captured
{
	my ($service, $condition) = @_;

	return sql(<<"SQL");
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES ('$service', '-infinity', '2026-04-01 00:00Z', '$service') ON CONFLICT DO NOTHING;
SELECT _chpg_service_key('$service');
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status, patterns, attempts, captured_at)
SELECT '$service', 'hour', t, t + interval '1 hour', 'ok', 1, 1, t + interval '2 hours'
FROM generate_series(timestamptz '2026-04-01 00:00Z', '2026-05-18 23:00Z', '1 hour') t WHERE $condition
SQL
}

# Rows of a pattern in the captured windows of a service: avg_us, calls and so on are expressions of t.
sub planted
{
	my ($service, $pattern, %is) = @_;
	my %values = (condition => 'true', calls => 100, avg_us => 1000, p50 => 500, p95 => '500 * exp(1.645)', p99 => 10000, rows => 10, blks_read => 9, blks_hit => 90, wal => 0, app => 'app', query_id => 'hashtextextended(' . "'$pattern'" . ', 1)', %is);

	return sql(<<"SQL");
SET timezone = 'UTC';
INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, error_count, total_duration_us, max_duration_us,
	p50_duration_us, p95_duration_us, p99_duration_us, total_rows, total_shared_blks_read, total_shared_blks_hit, total_cpu_time_us, total_wal_bytes)
SELECT '$service', 'hour', t, k.key, c, 0, c * a, a * 20, $values{p50}, $values{p95}, $values{p99}, (c * ($values{rows}))::bigint,
	(c * ($values{blks_read}))::bigint, (c * ($values{blks_hit}))::bigint, c * a, (c * ($values{wal}))::bigint
FROM (SELECT window_start AS t FROM kept.capture WHERE service_id = '$service' AND grain = 'hour') w,
	(SELECT planted.key($values{query_id}, '$pattern', app => '$values{app}') AS key OFFSET 0) k,
	LATERAL (SELECT ($values{calls})::bigint AS c, ($values{avg_us})::float8 AS a) v
WHERE $values{condition}
SQL
}

# Scores of a service from an hour on: score($what, $service, $pattern, $hour [, $hours])
sub score
{
	my ($what, $service, $pattern, $hour, $hours) = @_;
	$hours //= 1;

	return sql(<<"SQL");
SELECT $what FROM _chpg_scores(ARRAY(SELECT service_key FROM kept.service_key WHERE service_id = '$service'), '$hour', timestamptz '$hour' + $hours * interval '1 hour') s
LEFT JOIN kept.pattern_key k USING (pattern_key) LEFT JOIN kept.query_text t USING (text_id) WHERE t.query_text = '$pattern'
SQL
}

sub store { return sql("SELECT _chpg_score_windows(ARRAY(SELECT service_key FROM kept.service_key WHERE service_id = '$_[0]'), '$_[1]', timestamptz '$_[1]' + interval '1 hour')") }

# A Thursday, and the Saturday after it
my ($THURSDAY, $SATURDAY) = ('2026-05-14 10:00Z', '2026-05-16 10:00Z');
my $TIMES = q{extract(hour FROM t AT TIME ZONE 'UTC') BETWEEN 9 AND 11 AND t < '2026-05-17 00:00Z'};
my $WEEKEND = q{(extract(isodow FROM t AT TIME ZONE 'UTC') > 5)};
my $NOW = "(t = '$THURSDAY')";

#
# Medians, spreads and distances
#
captured('usual', $TIMES);
planted('usual', 'steady', calls => 400, avg_us => "CASE WHEN $NOW THEN 1200 WHEN $WEEKEND THEN 3000 ELSE 1000 END",
	p99 => "CASE WHEN $NOW THEN 15000 ELSE 10000 END", rows => "CASE WHEN $NOW THEN 11 ELSE 10 END", blks_read => "CASE WHEN $NOW THEN 109 ELSE 9 END");
# five values of a week
planted('usual', 'varied', calls => 100, avg_us => "CASE WHEN $NOW THEN 1000 * exp(0.5) ELSE 1000 * exp(0.1 * (extract(isodow FROM t) - 3)) END");
planted('usual', 'fewer', calls => "CASE WHEN $NOW THEN 100 ELSE 400 END", rows => "CASE WHEN $NOW THEN 11 ELSE 10 END");
planted('usual', 'at ten', condition => "extract(hour FROM t) = 10 AND NOT $NOW", calls => 1);
planted('usual', 'at nine', condition => "extract(hour FROM t) = 9", calls => 1);
planted('usual', 'new', condition => $NOW, calls => 7);
planted('usual', 'without id', query_id => 0);
planted('usual', 'of the monitoring', app => 'bin/monitor');

is(score('baseline_hours, common, call_count, round(expected_calls::numeric, 3), round(calls_spread::numeric, 4)', 'usual', 'steady', $THURSDAY), '60|0|400|400.000|0.1118', 'sixty hours of twenty weekdays: calls vary by 0.1 at least, and by chance');
is(score('avg_us, round(expected_avg_us::numeric, 1), round(z_avg::numeric, 3), total_us, max_us', 'usual', 'steady', $THURSDAY), '1200|1000.0|2.578|480000|24000', 'ln(1.2) / sqrt(0.05² + (1 / sqrt(400))²)');
is(score('p99_us, round(expected_p99_us::numeric), round(z_p99::numeric, 4)', 'usual', 'steady', $THURSDAY), '15000|10000|5.0683', '99th percentile: ln(1.5) / 0.08');
is(score('rows_per_call, round(expected_rows_per_call::numeric, 2), round(z_rows::numeric, 3)', 'usual', 'steady', $THURSDAY), '11|10.00|1.740', 'rows: ln(12 / 11) / 0.05');
is(score('blks_per_call, round(expected_blks_per_call::numeric, 1), z_blks, wal_per_call, expected_wal_per_call, z_wal', 'usual', 'steady', $THURSDAY), '199|99.0|8|0|0|0', 'a distance is 8 at most; without WAL there is none');
is(score('round(z_rows::numeric, 3)', 'usual', 'fewer', $THURSDAY), '0.870', 'with a quarter of the calls the spread is twice as much');
is(score('baseline_hours, round(expected_avg_us::numeric, 1), round(z_avg::numeric, 4), z_p99', 'usual', 'varied', $THURSDAY), '60|1000.0|2.1778|', 'a spread of (0.2 + 0.2) / 2 * (1 + 2 / 60), and an error of 1 / sqrt(100); no 99th percentile of 100 calls');
is(score('baseline_hours, call_count, round(expected_calls::numeric, 6), total_us, z_avg, round(expected_avg_us::numeric)', 'usual', 'at ten', $THURSDAY), '20|0|1.000000|||1000', 'a job that did not run at its hour');
is(score('count(*)', 'usual', 'at nine', $THURSDAY), 0, 'a job of another hour is not expected');
is(score('baseline_hours, call_count, expected_calls, expected_avg_us, z_avg, z_rows, avg_us', 'usual', 'new', $THURSDAY), '0|7|0||||1000', 'a pattern that never ran');
is(score('count(*)', 'usual', $_, $THURSDAY), 0, "a pattern $_ is left out") for 'without id', 'of the monitoring';

is(score('baseline_hours, round(expected_avg_us::numeric, 1), round(z_avg::numeric, 3)', 'usual', 'steady', $SATURDAY), '24|3000.0|0.000', 'a weekend is compared with weekends');

# Too few of them, or of weekdays: all days count.
captured('young', "$TIMES AND t >= '2026-05-08 00:00Z'");
planted('young', 'steady', avg_us => "CASE WHEN $WEEKEND THEN 3000 ELSE 1000 END", calls => 400);
is(score('baseline_hours, round(expected_avg_us::numeric, 1)', 'young', 'steady', $SATURDAY), '24|1000.0', 'the third weekend day is compared with all days');
is(score('baseline_hours, round(expected_avg_us::numeric, 1)', 'young', 'steady', $THURSDAY), '18|1000.0', 'and a weekday after less than seven');
is(score('baseline_hours, z_avg', 'young', 'steady', '2026-05-08 09:00Z'), '0|', 'the first hour has none');

# Three days are no reason to expect them for ever.
captured('bad for days', "$TIMES AND t >= '2026-05-06 00:00Z'");
planted('bad for days', 'steady', calls => 400, avg_us => "CASE WHEN t >= '2026-05-11 00:00Z' THEN 2000 ELSE 1000 END");
is(score('round(expected_avg_us::numeric, 1)', 'bad for days', 'steady', $THURSDAY), '1000.0', 'a regression of three days after five is none of what is usual');

# A query whose text the API words in another way is the same pattern.
captured('reworded', $TIMES);
planted('reworded', 'a text', condition => "t < timestamptz '$THURSDAY' - interval '3 days'", query_id => 77, calls => 400);
planted('reworded', 'another text', condition => "t >= timestamptz '$THURSDAY' - interval '3 days'", query_id => 77, calls => 400, avg_us => "CASE WHEN $NOW THEN 1200 ELSE 1000 END");
is(score('baseline_hours, round(expected_calls::numeric, 3), round(z_avg::numeric, 3)', 'reworded', 'another text', $THURSDAY), '60|400.000|2.578', 'a query that has another text has its baseline');
is(score('count(*)', 'reworded', 'a text', $THURSDAY), 0, 'and is not expected with the former one');

#
# The common factor
#
captured('shared', $TIMES);
planted('shared', "pattern $_", calls => 100, avg_us => "CASE WHEN $NOW THEN 1500 ELSE 1000 END") for 1 .. 5;
planted('shared', 'slower', calls => 100, avg_us => "CASE WHEN $NOW THEN 1000 * 1.5 * exp(0.2) ELSE 1000 END");
is(score('round(exp(common)::numeric, 4), round(z_avg::numeric, 3), round(expected_avg_us::numeric, 1)', 'shared', 'pattern 3', $THURSDAY), '1.5000|0.000|1000.0', 'what most patterns are slower by is a factor of the service');
is(score('round(z_avg::numeric, 3)', 'shared', 'slower', $THURSDAY), '1.789', 'what one is slower by beyond that, is its own: 0.2 / sqrt(0.05² + 0.1²)');
planted('shared', 'rare', calls => "CASE WHEN $NOW THEN 19 ELSE 100 END");
sql("DELETE FROM planted.pattern p USING kept.pattern_key k, kept.query_text t WHERE k.pattern_key = p.pattern_key AND t.text_id = k.text_id AND t.query_text IN ('pattern 1', 'pattern 2') AND p.window_start = '$THURSDAY'");
is(score('common', 'shared', 'pattern 3', $THURSDAY), 0, 'four patterns with twenty calls are too few for one');

#
# Hours that are missing
#
captured('gaps', "t IN ('$THURSDAY', timestamptz '$THURSDAY' - interval '1 day', timestamptz '$THURSDAY' - interval '2 days', timestamptz '$THURSDAY' - interval '3 days', timestamptz '$THURSDAY' - interval '4 days')");
sql("UPDATE kept.capture SET truncated = true WHERE service_id = 'gaps' AND window_start = timestamptz '$THURSDAY' - interval '4 days'");
planted('gaps', 'any', condition => "t IN (timestamptz '$THURSDAY' - interval '1 day', timestamptz '$THURSDAY' - interval '2 days')");
is(score('baseline_hours, round(expected_calls::numeric, 3), call_count', 'gaps', 'any', $THURSDAY), '2|100.000|0', 'an hour that was not captured, or truncated, is none without calls');
sql("UPDATE kept.capture SET truncated = false WHERE service_id = 'gaps'");
is(score('round(expected_calls::numeric, 2)', 'gaps', 'any', $THURSDAY), '9.05', 'one that was captured is: the square root of 101, less 1');
sql("UPDATE kept.capture SET truncated = true WHERE service_id = 'gaps' AND window_start = '$THURSDAY'");
is(score('count(*)', 'gaps', 'any', $THURSDAY), 0, 'what a truncated hour lacks may have run');
sql("UPDATE kept.capture SET status = 'error' WHERE service_id = 'gaps' AND window_start = '$THURSDAY'");
is(score('count(*)', 'gaps', 'any', $THURSDAY), 0, 'an hour that was not captured has no scores');

#
# Stored scores
#
my $ALL = q{md5(string_agg(s::text, chr(10) ORDER BY s::text)), count(*)};
sub all_scores { return sql("SELECT $ALL FROM _chpg_scores(ARRAY(SELECT service_key FROM kept.service_key WHERE service_id IN ('usual', 'shared')), '2026-05-14 00:00Z', '2026-05-17 00:00Z') s") }
my $on_the_fly = all_scores();
is(sql(q{SELECT count(*) FROM kept.score_hour}), 0, 'reading stores nothing');
is(sql(q{SELECT sum(_chpg_score_windows(ARRAY[service_key], '2026-05-14 00:00Z', '2026-05-17 00:00Z')) FROM kept.service_key WHERE service_id IN ('usual', 'shared')}), 18, 'all hours are stored');
is(all_scores(), $on_the_fly, 'stored scores are those of before, to the last digit');
is(sql(q{SELECT sum(_chpg_score_windows(ARRAY[service_key], '2026-05-14 00:00Z', '2026-05-17 00:00Z')) FROM kept.service_key WHERE service_id IN ('usual', 'shared')}), 0, 'none is stored twice');
like(sql(q{SELECT p.call_count, p.z_avg FROM kept.query_text t JOIN kept.pattern_key k USING (text_id), _chpg_pattern_scores(ARRAY(SELECT service_key FROM kept.service_key), ARRAY[k.pattern_key], '2026-05-14 10:00Z', '2026-05-14 11:00Z') p WHERE t.query_text = 'slower'}), qr/^100\|5\.415/, 'scores of one pattern, now without a common factor: (ln(1.5) + 0.2) / sqrt(0.05² + 0.1²)');

# Sealed windows have four significant digits.
my $SCORES = q{SELECT s.*, z.place, z.z FROM _chpg_scores(ARRAY(SELECT service_key FROM kept.service_key), '2026-05-14 00:00Z', '2026-05-17 00:00Z') s, unnest(ARRAY[z_avg, z_p99, z_rows, z_blks, z_wal, baseline_hours, ln(1 + expected_calls), ln(1 + expected_avg_us)]) WITH ORDINALITY z(z, place)};
sub differing { return sql("SELECT count(*), count(*) FILTER (WHERE abs(coalesce(a.z, -9) - coalesce(b.z, -9)) > 0.01) FROM of_open a FULL JOIN ($SCORES) b USING (service_key, window_start, pattern_key, place)") }
sql("CREATE TABLE of_open AS $SCORES");
my $values = sql('SELECT count(*) FROM of_open');
sql(q{SELECT planted.seal('2026-05-02 00:00Z'); TRUNCATE kept.score_hour});
is(differing(), "$values|0", 'a baseline that is sealed in part');
sql(q{SELECT planted.seal()});
is(differing(), "$values|0", 'and as a whole');
sql(q{SELECT planted.unseal()});

# Captures
sub note
{
	my ($service, $hour, $calls) = @_;

	return sql(<<"SQL");
SELECT _chpg_note_window('$service', 'hour', '$hour', timestamptz '$hour' + interval '1 hour', ARRAY(
	SELECT jsonb_populate_record(NULL::chpg_slow_pattern_row, jsonb_build_object('query_id', 1, 'query_text', 'noted', 'db_name', 'db', 'db_user', 'u', 'db_operation', 'SELECT', 'app', 'app',
		'call_count', $calls, 'error_count', 0, 'total_duration_us', $calls * 1000, 'p50_duration_us', 500, 'p95_duration_us', 2000))
	WHERE $calls >= 0), NULL, NULL, NULL)
SQL
}
sub scored { return sql(q{SELECT string_agg(to_char(s.window_start AT TIME ZONE 'UTC', 'MMDD HH24') || CASE WHEN s.scored_at = f.at THEN ' new' ELSE '' END || ' ' || s.patterns, ', ' ORDER BY s.window_start) FROM kept.score_hour s JOIN kept.service_key USING (service_key), (SELECT max(scored_at) AS at FROM kept.score_hour) f WHERE service_id = 'noted'}) // '' }
sql(q{TRUNCATE kept.score_hour});
note('noted', "2026-05-1$_ 10:00Z", 100) for 1 .. 3;
is(scored(), '0511 10 1, 0512 10 1, 0513 10 new 1', 'a capture scores its hour');
note('noted', '2026-05-12 10:00Z', 100);
is(scored(), '0511 10 1, 0512 10 1, 0513 10 new 1', 'a repetition that finds nothing new does not');
note('noted', '2026-05-12 10:00Z', 200);
is(scored(), '0511 10 1, 0512 10 new 1, 0513 10 1', 'one that repairs the window does, and scores no other');
is(score('call_count, baseline_hours', 'noted', 'noted', '2026-05-12 10:00Z'), '200|1', 'with what it found');
note('noted', '2026-05-13 10:00Z', -1);
is(scored(), '0511 10 1, 0512 10 1, 0513 10 new 1', 'a window that has become empty has what is expected');
note('noted', '2026-05-12 11:00Z', 100);
is(scored(), '0511 10 1, 0512 10 1, 0512 11 new 1', 'a window that comes late deletes the scores of those that are compared with it');
note('noted', '2026-05-01 00:00Z', -1);
is(sql(q{SELECT patterns, cardinality(z_avg), common FROM kept.score_hour WHERE window_start = '2026-05-01 00:00Z'}), '0|0|0', 'an empty window has an empty row');

sql(q{SELECT services, windows, patterns FROM chpg_history_import($$SELECT 'noted' AS service_id, timestamptz '2026-05-11 10:00Z' AS "time", 1::bigint AS query_id, 'noted' AS query_text, 'db' AS db_name, 'u' AS db_user, 'SELECT' AS db_operation, 'app' AS app, 50::bigint AS call_count$$, 'hour')});
is(scored(), '0501 00 new 0, 0512 10 1, 0512 11 1', 'an import leaves no scores of what it replaces');
is(score('call_count', 'noted', 'noted', '2026-05-11 10:00Z'), 50, 'its window is scored when it is read');

# What is older than windows are open is judged by nothing.
sql(q{SELECT _chpg_seal_some(100000)});
is(scored(), '', 'sealing deletes scores');
note('noted', '2026-05-12 10:00Z', 300);
isnt(scored(), '', 'an old window that changes has scores ...');
sql(q{UPDATE kept.setting SET value = '100 years' WHERE name IN ('keep_hour', 'keep_day')});
sql(q{SELECT chpg_history_purge()});
is(scored(), '', '... until the next purge');

#
# Readers
#
sql(q{CREATE ROLE reader; GRANT USAGE ON SCHEMA kept TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO reader});
is(sql(qq{SET ROLE reader; SELECT count(*) > 0 FROM _chpg_scores('{1,2,3}', '$THURSDAY', '2026-05-15 00:00Z')}), 't', 'whoever may read the history reads scores');
fails_with($node, q{SET ROLE reader; SELECT _chpg_score_windows('{1}', '2026-05-14 00:00Z', '2026-05-15 00:00Z')}, '42501', qr/permission denied for function _chpg_score_windows/, 'and stores none');

#
# Numbers from outside
#
captured('hostile', q{extract(hour FROM t AT TIME ZONE 'UTC') = 10 AND t BETWEEN '2026-05-06 00:00Z' AND '2026-05-15 00:00Z'});
my %HOSTILE = (
	'no calls' => 'call_count = 0', 'unknown calls' => 'call_count = NULL', 'negative calls' => 'call_count = -5', 'greatest counters' => join(', ', map { "$_ = 9223372036854775807" } qw(call_count total_rows total_shared_blks_read total_shared_blks_hit total_wal_bytes)),
	'least counters' => join(', ', map { "$_ = -9223372036854775807" } qw(total_rows total_shared_blks_read total_shared_blks_hit total_wal_bytes)),
	map { my $value = $_; ("durations $value" => join ', ', map { "$_ = $value" } qw(total_duration_us max_duration_us p50_duration_us p95_duration_us p99_duration_us)) } 'NULL', q{'NaN'}, q{'Infinity'}, q{'-Infinity'}, '-1', '0', '3e38', '1e-45');
my ($good, $bad) = ("window_start <> '$THURSDAY'", "window_start = '$THURSDAY'");
for my $name (sort keys %HOSTILE)
{
	planted('hostile', "$_: " . ($name =~ s/'//gr), calls => 400) for qw(now before always);
	my $of = sub { "pattern_key = (SELECT pattern_key FROM kept.pattern_key JOIN kept.query_text USING (text_id) WHERE query_text = '$_[0]: " . ($name =~ s/'//gr) . "')" };
	sql(join ';', map { "UPDATE kept.open_hour SET $HOSTILE{$name} WHERE $_" } $of->('now') . " AND $bad", $of->('before') . " AND $good", $of->('always'));
}
my $names = 3 * keys %HOSTILE;
is(sql(qq{SELECT count(*), count(*) FILTER (WHERE abs(z) <= 8), count(*) FILTER (WHERE z IS NULL), count(*) FILTER (WHERE z = 'NaN') FROM _chpg_scores(ARRAY(SELECT service_key FROM kept.service_key WHERE service_id = 'hostile'), '$THURSDAY', '2026-05-14 11:00Z') s, unnest(ARRAY[z_avg, z_p99, z_rows, z_blks, z_wal, common / 10]) z}) =~ s/^(\d+)\|(\d+)\|(\d+)\|0$/$1 == 6 * $names && $2 + $3 == $1 ? 'finite' : "$1 $2 $3"/er, 'finite', 'no number makes an error');
is(store('hostile', $THURSDAY), 1, 'and all scores are stored');
is(score('call_count, avg_us, z_avg, z_rows', 'hostile', 'now: no calls', $THURSDAY), '0|||', 'no executions have no mean');
is(score('call_count, z_avg, z_rows', 'hostile', 'now: unknown calls', $THURSDAY), '||', 'unknown ones neither');
is(score('baseline_hours, expected_avg_us, z_avg, round(z_rows::numeric, 3)', 'hostile', 'before: durations NULL', $THURSDAY), '0|||0.000', 'durations may be unknown where rows are known');
for my $arrays (q{'{1,2}', '{1}'}, q{'{{1},{2}}', '{{1},{2}}'}, q{NULL, '{1}'})
{
	fails_with($node, "SELECT _chpg_baseline(true, false, $arrays, NULL, NULL, NULL, NULL, NULL, NULL)", '2202E', qr/arrays of a window must have/, "a baseline of $arrays");
}
is(sql(q{SELECT cardinality(_chpg_baseline(NULL, NULL, '{1,1,NULL,2}', '{1,1,1,1}', NULL, NULL, NULL, NULL, NULL, NULL))}), 2, 'keys that are null or twice');
is(sql(q{SELECT _chpg_baseline(true, true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) FROM generate_series(1, 0)}), '', 'a baseline of nothing');

done_testing();
