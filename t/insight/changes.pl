# Changes: what began is found, with its onset, once, and at a level that fits; what is as on other days is not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', "timezone = 'UTC'", 'jit = off', 'fsync = off');

$node->safe_psql('postgres', q{CREATE EXTENSION chpg; SELECT chpg_history_enable('kept')});
make_plantable($node);

# Each service has a problem of its own, and the same patterns: of an application "web", with a day and a night, a
# report of few long executions, and a job at three in the morning.  Noise is a hash of hour and pattern.  The last
# hour ends on a Thursday at 14:00, after 20 days.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION noise(words text) RETURNS float8 LANGUAGE sql IMMUTABLE AS
	$$ SELECT ('x' || substr(md5(words), 1, 8))::bit(32)::integer / 2147483648.0::float8 $$;
CREATE TABLE story (service_key integer PRIMARY KEY, name text);
INSERT INTO story
SELECT row_number() OVER (), n FROM unnest('{steady,slower,ended,p99,everything,restart,evicted,deploy,slow deploy,new query,
	new application,weekly job,loop,vanished,quiet,silent,missed,long run,creep,wal,errors,standing errors,failing,churn,
	night,hostile,holiday,closed,versions,slower version,renamed early,cold query,cold for long,warm again,
	more calls,rising,clocks,far east,long call,long calls}'::text[]) n;
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) SELECT name, '-infinity', '2026-01-01', name FROM story;
INSERT INTO kept.service_key (service_id) SELECT name FROM story ORDER BY service_key;
CREATE TABLE pattern (number integer PRIMARY KEY, key integer, calls float8, avg_us float8, sigma float8, wal float8, kind text);
INSERT INTO pattern
SELECT n, planted.key(1000 + n, format('SELECT a_%s, b FROM orders_%s WHERE customer_id = $1', n, n)),
	150 * 2.1 ^ (n % 6), 1500 * 1.9 ^ (n % 5), 0.8, 0, 'web'
FROM generate_series(1, 12) n;
INSERT INTO pattern VALUES
	(13, planted.key(1013, 'INSERT INTO events (payload) VALUES ($1)', 'INSERT'), 3000, 800, 0.6, 9000, 'web'),
	(14, planted.key(1014, 'SELECT region, sum(price) FROM sales GROUP BY region', app => 'reports'), 6, 4e6, 0.3, 0, 'report'),
	(15, planted.key(1015, 'INSERT INTO rollup SELECT day, count(*) FROM events GROUP BY day', 'INSERT', app => 'cron'), 1, 3e8, 0.1, 9e8, 'job'),
	(16, planted.key(0, '', 'UNKNOWN'), 3, 0, 0.1, 0, 'error'),
	(17, planted.key(1017, 'SELECT heartbeat FROM status', app => 'bin/monitor'), 60, 500, 0.3, 0, 'web');
CREATE TABLE cell AS
SELECT s.service_key, s.name, p.number, p.key, p.kind, t,
	greatest(round(CASE p.kind
		WHEN 'job' THEN (extract(hour FROM t) = 3)::integer
		WHEN 'error' THEN p.calls
		ELSE p.calls * (1 + 0.6 * sin((extract(hour FROM t) - 8) * pi() / 12)) * CASE WHEN extract(isodow FROM t) > 5 THEN 0.6 ELSE 1 END
			* exp(0.12 * noise(concat(s.name, t)) + 0.1 * noise(concat(s.name, t, p.number))) END), 0) AS calls,
	p.avg_us * exp(0.05 * noise(concat(s.name, t)) + 0.12 * noise(concat(s.name, p.number, t))) AS avg_us,
	p.sigma, p.wal, 20::float8 AS rows, 60::float8 AS blks, 0.02::float8 AS miss, 0.7::float8 AS cpu, 1::float8 AS p99
FROM story s, pattern p, generate_series(timestamptz '2026-04-24 14:00Z', '2026-05-14 13:00Z', '1 hour') t;
DELETE FROM cell WHERE calls = 0;
SQL

# What happens in each service.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION web(n integer) RETURNS integer LANGUAGE sql AS 'SELECT key FROM pattern WHERE number = n';
UPDATE cell SET avg_us = avg_us * 2.2, blks = blks * 6 WHERE name = 'slower' AND number = 4 AND t >= '2026-05-14 09:00Z';
UPDATE cell SET key = planted.key(2004, 'SELECT /* v1 */ a_4, b FROM orders_4 WHERE customer_id = $1') WHERE name = 'renamed early' AND number = 4 AND t < '2026-05-11 20:00Z';
UPDATE cell SET avg_us = avg_us * CASE name WHEN 'cold query' THEN 4 ELSE 2.4 END, miss = 0.4 WHERE number = 4
	AND (name = 'cold query' AND t >= '2026-05-14 12:00Z' OR name = 'cold for long' AND t >= '2026-05-14 09:00Z'
		OR name = 'warm again' AND t BETWEEN '2026-05-14 07:00Z' AND '2026-05-14 10:00Z');
UPDATE cell SET avg_us = avg_us * 2.4 WHERE number = 4 AND name = 'warm again' AND t >= '2026-05-14 11:00Z';
UPDATE cell SET avg_us = avg_us * 4 WHERE name = 'ended' AND number = 4 AND t BETWEEN '2026-05-14 01:00Z' AND '2026-05-14 06:00Z';
UPDATE cell SET p99 = 3.5 WHERE name = 'p99' AND number = 5 AND t >= '2026-05-14 10:00Z';
UPDATE cell SET avg_us = avg_us * 1.7, cpu = 0.4 WHERE name = 'everything' AND t >= '2026-05-14 10:00Z';
UPDATE cell SET avg_us = avg_us * 1.6, miss = 0.4 WHERE name = 'restart' AND t >= '2026-05-14 12:00Z';
UPDATE cell SET avg_us = avg_us * 1.6, miss = 0.4 WHERE name = 'evicted' AND t >= '2026-05-14 09:00Z';
UPDATE cell SET key = planted.key(2000 + number, format('SELECT a_%s, b FROM orders_%s WHERE customer_id = $1', number, number)),
	avg_us = avg_us * CASE number WHEN 4 THEN 4 ELSE 1 END
	WHERE name = 'deploy' AND number <= 10 AND t >= '2026-05-14 10:00Z';
UPDATE cell SET key = planted.key(3000 + number, format('SELECT a_%s, b, c FROM orders_%s WHERE customer_id = $1', number, number)),
	avg_us = avg_us * 1.45 WHERE name = 'slow deploy' AND number <= 10 AND t >= '2026-05-14 10:00Z';
INSERT INTO cell SELECT service_key, name, 20, planted.key(1020, 'SELECT * FROM carts WHERE note ILIKE $1'), 'web', t, 400, 60000, 0.5, 0, 5, 900, 0.02, 0.7, 1
	FROM cell WHERE name = 'new query' AND number = 1 AND t >= '2026-05-14 11:00Z';
INSERT INTO cell SELECT service_key, name, 20 + n, planted.key(1030 + n, format('SELECT x FROM partner_%s WHERE id = $1', n), app => 'partner'), 'web', t, 500, 9000, 0.5, 0, 5, 90, 0.02, 0.7, 1
	FROM cell, generate_series(1, 4) n WHERE name = 'new application' AND number = 1 AND t >= '2026-05-14 11:00Z';
INSERT INTO cell SELECT service_key, name, 25, planted.key(1025, 'DELETE FROM sessions WHERE age > $1', 'DELETE'), 'web', t, 900, 20000, 0.3, 0, 5, 900, 0.02, 0.7, 1
	FROM cell WHERE name = 'weekly job' AND number = 1 AND extract(isodow FROM t) = 4 AND extract(hour FROM t) IN (12, 13);
UPDATE cell SET calls = calls * 12 WHERE name = 'loop' AND number = 2 AND t >= '2026-05-14 10:00Z';
UPDATE cell SET calls = calls * 1.52 WHERE name = 'more calls' AND number = 4 AND t >= '2026-05-14 10:00Z';
-- executions double nearly each hour of the morning; a part of them is missing, or the clock has changed on a Sunday
UPDATE cell SET calls = ceil(calls * 1.6 ^ greatest(least(extract(hour FROM t)
		- CASE WHEN name = 'clocks' AND t >= '2026-05-10 01:00Z' THEN 1 ELSE 0 END, 14), 5) / 30)
	WHERE name IN ('rising', 'clocks') AND kind = 'web';
-- a part of each Thursday is free, and of this one a little more
UPDATE cell SET calls = ceil(calls * CASE WHEN t < '2026-05-14' THEN 0.37 ELSE 0.32 END)
	WHERE name = 'far east' AND kind = 'web' AND extract(isodow FROM t) = 4 AND extract(hour FROM t) >= 9;
UPDATE cell SET calls = ceil(calls * 0.56) WHERE name = 'rising' AND kind = 'web' AND t >= '2026-05-14 10:00Z';
DELETE FROM cell WHERE name = 'vanished' AND number = 7 AND t >= '2026-05-14 11:00Z';
UPDATE cell SET calls = ceil(calls * 0.05) WHERE name = 'quiet' AND kind = 'web' AND t >= '2026-05-14 11:00Z';
DELETE FROM cell WHERE name = 'silent' AND number BETWEEN 1 AND 6 AND t >= '2026-05-14 11:00Z';
UPDATE cell SET key = planted.key(4000 + number, format('SELECT a_%s, b FROM shop_%s WHERE customer_id = $1', number, number), app => 'shop')
	WHERE name = 'silent' AND number BETWEEN 1 AND 6;
DELETE FROM cell WHERE name = 'missed' AND kind = 'job' AND t >= '2026-05-14 00:00Z';
UPDATE cell SET avg_us = avg_us * 3 WHERE name = 'long run' AND kind = 'job' AND t >= '2026-05-14 00:00Z';
UPDATE cell SET avg_us = avg_us * 1.03 ^ (extract(epoch FROM t - timestamptz '2026-04-24 00:00Z') / 86400) WHERE name = 'creep' AND number = 5;
UPDATE cell SET wal = wal * 6 WHERE name = 'wal' AND number = 13 AND t >= '2026-05-14 10:00Z';
UPDATE cell SET calls = 2500 WHERE name = 'errors' AND kind = 'error' AND t >= '2026-05-14 11:00Z';
UPDATE cell SET calls = 600 WHERE name = 'standing errors' AND kind = 'error';
UPDATE cell SET calls = 120000 WHERE name = 'failing' AND kind = 'error' AND t >= '2026-05-14 12:00Z';
DELETE FROM cell WHERE name = 'churn' AND number = 3 AND t >= '2026-05-14 08:00Z';
INSERT INTO cell SELECT c.service_key, c.name, 100 + n, planted.key(9000 + 20 * extract(hour FROM t)::integer + n,
		format('SELECT a_3, b FROM orders_3 WHERE customer_id = $1 /* %s-%s */', extract(hour FROM t), n)), 'web', t, 60, 3000, 0.5, 0, 5, 60, 0.02, 0.7, 1
	FROM cell c, generate_series(1, 9) n WHERE c.name = 'churn' AND c.number = 1 AND t >= '2026-05-14 08:00Z';
-- half the traffic of a workday on a weekend, and on a Thursday: all day, or from eleven o'clock on
UPDATE cell SET calls = ceil(calls * 0.5) WHERE name IN ('holiday', 'closed') AND kind = 'web' AND extract(isodow FROM t) > 5;
UPDATE cell SET calls = ceil(calls * 0.3) WHERE kind = 'web'
	AND (name = 'holiday' AND t >= '2026-05-14 00:00Z' OR name = 'closed' AND t >= '2026-05-14 11:00Z');
-- a version each other day
UPDATE cell SET key = planted.key(1000 + number, format('SELECT a_%s, b FROM orders_%s WHERE customer_id = $1', number, number),
		app => format('web/1.%s.0', extract(doy FROM t)::integer / 2)),
	avg_us = avg_us * CASE WHEN name = 'slower version' AND number = 4 AND t >= '2026-05-14 09:00Z' THEN 2.2 ELSE 1 END
	WHERE name LIKE '%version%' AND number <= 12;
UPDATE cell SET avg_us = avg_us * 2.5 WHERE name = 'night' AND number = 4 AND t >= '2026-05-13 00:00Z' AND extract(hour FROM t) < 5;
SQL

$node->safe_psql('postgres', <<'SQL');
INSERT INTO kept.open_hour (window_start, service_key, pattern_key, call_count, error_count, total_rows, total_shared_blks_read,
	total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us, p50_duration_us, p95_duration_us, p99_duration_us,
	total_cpu_time_us)
SELECT t, service_key, key, CASE kind WHEN 'error' THEN 0 ELSE calls END, CASE kind WHEN 'error' THEN calls ELSE 0 END,
	calls * rows, calls * blks * miss, calls * blks * (1 - miss), calls * wal, calls * avg_us * CASE p99 WHEN 1 THEN 1 ELSE 1.03 END,
	avg_us * exp(2.4 * sigma) * p99, avg_us * exp(-sigma ^ 2 / 2), avg_us * exp(1.645 * sigma - sigma ^ 2 / 2),
	avg_us * exp(2.33 * sigma - sigma ^ 2 / 2) * p99, calls * avg_us * cpu
FROM cell;
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status, patterns, captured_at)
SELECT name, 'hour', t, t + interval '1 hour', 'ok', count(*), t + interval '65 minutes' FROM cell GROUP BY name, t;
SQL
# The mean of an hour is twice as high, by one execution or by three.
$node->safe_psql('postgres', <<'SQL');
UPDATE kept.open_hour o SET total_duration_us = total_duration_us + 90e6, max_duration_us = CASE s.name WHEN 'long call' THEN 90e6 ELSE 30e6 END
FROM story s
WHERE s.name IN ('long call', 'long calls') AND o.service_key = s.service_key AND o.pattern_key = web(4) AND o.window_start = '2026-05-14 13:00Z';
SQL
# Values of a history that was imported, or planted: nothing overflows.
$node->safe_psql('postgres', <<'SQL');
UPDATE kept.open_hour o SET (call_count, error_count, total_rows, total_shared_blks_read, total_shared_blks_hit, total_wal_bytes,
	total_duration_us, max_duration_us, p50_duration_us, p95_duration_us, p99_duration_us, total_cpu_time_us) =
	(SELECT v.n, v.n, v.n, v.n, v.n, v.n, v.x, v.x, v.x, v.x, v.x, v.x
	FROM (VALUES (0, 9223372036854775807, '1e18'::real), (1, 0, 0), (2, NULL, NULL), (3, -9223372036854775808, '-1e18'), (4, 1, '1e-30')) v(i, n, x)
	WHERE v.i = (k.number + extract(hour FROM o.window_start)) % 5)
FROM story s, pattern k
WHERE s.name = 'hostile' AND o.service_key = s.service_key AND k.key = o.pattern_key;
SELECT planted.sums();
VACUUM ANALYZE;
SELECT count(_chpg_score_windows(ARRAY(SELECT service_key FROM kept.service_key), '2026-05-12 14:00Z', '2026-05-14 14:00Z'));
CREATE FUNCTION judged(until timestamptz, of_service text DEFAULT NULL) RETURNS TABLE (name text, rule text, level text, since text, what text, symptom text, evidence jsonb, next text)
LANGUAGE sql AS $$
	SELECT f.service_id, f.rule_id, f.level, to_char(f.since, 'DD HH24:MI'), coalesce(f.evidence->>'change', f.evidence->>'app'),
		f.symptom, f.evidence, f.next
	FROM chpg_findings(tstzrange(until - interval '24 hours', until), of_service, history_only => true) f
	WHERE f.rule_id ~ '^CHPG(4|5)' AND f.level <> 'SKIPPED'
	ORDER BY 1, 2, 5, 6
$$;
SQL

my %expected = (
	'churn' => 'CHPG511 WARN churn 14 10:00',
	'closed' => 'CHPG508 WARN traffic 14 11:00',
	'cold for long' => 'CHPG501 ERROR slower 14 09:00',
	'cold query' => 'CHPG501 WARN slower 14 12:00',
	'creep' => 'CHPG509 WARN creep 24 00:00',
	'deploy' => 'CHPG501 ERROR slower 14 10:00',
	'errors' => 'CHPG402 ERROR app 14 11:00',
	'everything' => 'CHPG502 ERROR slower service 14 10:00',
	'evicted' => 'CHPG502 ERROR slower service 14 09:00',
	'failing' => 'CHPG401 ERROR app 14 12:00',
	'holiday' => 'CHPG508 INFO traffic 14 00:00',
	'long calls' => 'CHPG501 WARN slower 14 13:00',
	'long run' => 'CHPG505 WARN slower run 14 03:00',
	'loop' => 'CHPG507 WARN surge 14 10:00',
	'missed' => 'CHPG506 WARN missed run 14 03:00',
	'more calls' => 'CHPG507 WARN surge 14 10:00',
	'new application' => 'CHPG504 WARN new application 14 11:00',
	'new query' => 'CHPG504 WARN new 14 11:00',
	'p99' => 'CHPG501 WARN slower 14 10:00',
	'quiet' => 'CHPG508 ERROR traffic 14 11:00',
	'restart' => 'CHPG502 INFO slower service 14 12:00',
	'rising' => 'CHPG508 WARN traffic 14 10:00',
	'silent' => 'CHPG508 ERROR traffic 14 11:00',
	'slow deploy' => 'CHPG511 WARN renamed 14 10:00',
	'slower' => 'CHPG501 ERROR slower 14 09:00',
	'slower version' => 'CHPG501 WARN slower 14 09:00',
	'standing errors' => 'CHPG401 INFO app ',
	'vanished' => 'CHPG507 WARN vanished 14 11:00',
	'warm again' => 'CHPG501 ERROR slower 14 07:00',
	'wal' => 'CHPG503 WARN more per call 14 10:00');

is( $node->safe_psql('postgres', q{
		CREATE TABLE found AS SELECT * FROM judged('2026-05-14 14:00Z');
		SELECT concat_ws(' ', name || ':', rule, level, what, coalesce(since, '')) FROM found WHERE name <> 'hostile' ORDER BY name}),
	join("\n", map { "$_: $expected{$_}" } sort keys %expected),
	'each problem is one finding with its onset, and what is as usual, or is over, is none');

is( $node->safe_psql('postgres', q{SELECT symptom FROM found WHERE name = 'slower'}),
	$node->safe_psql('postgres', q{SELECT format('%s ms per call, 2.3 times the usual %s ms of these hours, for 5 h; %s min lost, %s %% of the service''s time',
		round((evidence->>'avg_duration_us')::numeric / 1000, 1), round((evidence->>'expected_avg_duration_us')::numeric / 1000, 1),
		round((evidence->>'excess_us')::numeric / 60e6, 1), round(100 * (evidence->>'lost_ratio')::numeric, 1)) FROM found WHERE name = 'slower'}),
	'a symptom reads');
is( $node->safe_psql('postgres', q{SELECT evidence->>'cause', evidence->>'query_text' FROM found WHERE name = 'slower'}),
	'more blocks|SELECT a_4, b FROM orders_4 WHERE customer_id = $1', 'the counters say why');
is( $node->safe_psql('postgres', q{SELECT evidence->>'query_id', evidence->>'predecessor_query_id' FROM found WHERE name = 'deploy'}),
	'2004|1004', 'a query that got slower with a new id is named with both ids');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (} . $node->safe_psql('postgres', q{SELECT rtrim(next, ';') FROM found WHERE name = 'slower'}) . ') n'), '29', 'the next statement is the course of the pattern, from a day before');

# Texts of queries may have values in them; titles, symptoms and actions leave the database in alerts.
is( $node->safe_psql('postgres', q{
		CREATE TABLE candidate AS SELECT * FROM _chpg_candidates('[2026-05-13 14:00Z,2026-05-14 14:00Z)', NULL, NULL, true);
		SELECT count(*) > 30, count(DISTINCT rule_id) > 10, count(*) FILTER (WHERE evidence->>'change' = 'churn') FROM candidate}),
	't|t|1', 'there are candidates of many rules');
is( $node->safe_psql('postgres', q{
		SELECT DISTINCT c.rule_id, c.symptom FROM candidate c JOIN kept.query_text q
			ON strpos(concat_ws(' ', c.title, c.symptom, c.explanation, c.action), left(q.query_text, 16)) > 0 AND length(q.query_text) >= 16}),
	'', 'and no text of a query is in what alerts say');

# What is over, what has lasted for hours, and what is only by night.
my $judged = sub {
	my ($until, $name) = @_;
	return $node->safe_psql('postgres', "SELECT concat_ws(' ', rule, level, since) FROM judged('$until', '$name')");
};
is($judged->('2026-05-14 06:00Z', 'ended'), 'CHPG501 ERROR 14 01:00', 'a regression while it lasts');
is($judged->('2026-05-14 09:00Z', 'ended'), '', 'a regression that is over');
is($judged->('2026-05-14 05:00Z', 'night'), 'CHPG501 WARN 14 00:00', 'a regression of the night');
is($judged->('2026-05-13 20:00Z', 'night'), '', 'but not by day');
is($judged->('2026-05-14 11:00Z', 'evicted'), 'CHPG502 INFO 14 09:00', 'a cold cache is no alarm for the first hours');
is($judged->('2026-05-14 11:00Z', 'warm again'), 'CHPG501 INFO 14 07:00', 'nor is that of a query');
is($judged->('2026-05-14 13:00Z', 'warm again'), 'CHPG501 INFO 14 07:00', 'nor for two hours more when it is warm, though a query that stays slower is one then');
is($judged->('2026-05-14 11:00Z', 'cold for long'), 'CHPG501 INFO 14 09:00', 'a colder cache that lasts is none at first');
is($judged->('2026-05-14 13:00Z', 'more calls'), 'CHPG507 INFO 14 10:00', 'a half more executions are no alarm before four hours');
is($judged->('2026-05-14 13:00Z', 'rising'), '', 'nor is traffic that is missing while it rises');
is($judged->('2026-05-14 12:00Z', 'quiet'), '', 'nor is traffic that is missing for one hour');
is($judged->('2026-05-14 13:00Z', 'quiet'), 'CHPG508 ERROR 14 11:00', 'but for two');
is($judged->('2026-05-14 10:00Z', 'slower'), 'CHPG501 WARN 14 09:00', 'found by the first watch after the onset');
is($judged->('2026-05-14 09:00Z', 'slower'), '', 'and not before');

# Batch jobs, for the rules that leave them out
is( $node->safe_psql('postgres', q{
		SELECT string_agg(DISTINCT k.query_id::text, ' '), bool_and(b.runs = 20), min(round(b.median_run_us / 1e8))
		FROM _chpg_batches(ARRAY(SELECT service_key FROM story WHERE name = 'steady'), '2026-05-14 14:00Z') b
		JOIN kept.pattern_key k USING (pattern_key)}),
	'1015|t|3', 'batch jobs');

my $renamed = $node->safe_psql('postgres', q{SELECT chpg_report('[2026-05-12 14:00Z,2026-05-14 14:00Z)', 'renamed early', baseline => '[2026-05-08 14:00Z,2026-05-12 14:00Z)')});
unlike($renamed, qr/>(?:gone|more often)</, 'a query whose id changed within the baseline is neither gone nor more often');
like($renamed, qr/1 query has a new id/, 'but said to be renamed');

cmp_ok($node->safe_psql('postgres', q{SELECT length(chpg_report('[2026-05-13 14:00Z,2026-05-14 14:00Z)', 'hostile'))}), '>', 5000, 'impossible counters are in a report');

# Sessions in which a backslash in a string escapes (before PostgreSQL 19, where none can)
is( $node->safe_psql('postgres', q{
		SELECT string_agg(p.proname, ' ')
		FROM pg_proc p
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_language l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
		WHERE p.prosqlbody IS NULL AND 'standard_conforming_strings=on' <> ALL (coalesce(p.proconfig, '{}'))
			AND regexp_replace(p.prosrc, $$\mE'([^'\\\\]|''|\\\\.)*'(\s*'([^'\\\\]|''|\\\\.)*')*$$, '', 'g') ~ '\\\\'}),
	'', 'no function has a backslash in a plain string, unless it says what that means');
SKIP: {
	skip 'strings always conform to the standard', 2 if $node->psql('postgres', 'SET standard_conforming_strings = off') != 0;
	my $DAY = q{'[2026-05-13 14:00Z,2026-05-14 14:00Z)'};
	my $says = sub {
		my ($setting) = @_;
		my ($code, $out, $err) = $node->psql('postgres', "SET standard_conforming_strings = $setting; BEGIN; " . join('; ', map { "SELECT md5(string_agg(x::text, '|')) FROM $_ x" }
			"chpg_findings($DAY, 'slow deploy', history_only => true)", "chpg_compare('[2026-05-12 14:00Z,2026-05-13 14:00Z)', $DAY, 'slow deploy')", "regexp_replace(chpg_report($DAY, 'slow deploy'), 'Written at [^<]*', '', 'g')", "chpg_report_text($DAY, 'slow deploy')", "chpg_history_export($DAY, 'slow deploy')",
			q{_chpg_watch('2026-05-14 14:00Z', 'slow deploy', NULL)}, "chpg_findings($DAY, 'slow deploy', history_only => true)") . '; SELECT count(*) FROM chpg_history_purge(); ROLLBACK');
		return "$code\n$out\n$err";
	};
	my $plain = $says->('on');
	like($plain, qr/^0\n([0-9a-f]{32}\n){7}\d+\n$/, 'findings, a comparison, reports, an export, a watch and a purge');
	is($says->('off'), $plain, 'are the same, without a warning, where backslashes escape');
}

# With one day of history a factor of two counts.
$node->safe_psql('postgres', q{
	DELETE FROM kept.open_hour WHERE window_start < '2026-05-13 08:00Z';
	DELETE FROM kept.capture WHERE window_start < '2026-05-13 08:00Z';
	DELETE FROM kept.day_sum;
	DELETE FROM kept.score_hour;
	SELECT planted.sums()});
is($judged->('2026-05-14 14:00Z', 'slower'), 'CHPG501 ERROR 14 09:00', 'a regression, by a day of history');
is($judged->('2026-05-14 14:00Z', 'steady'), '', 'and nothing else');
$node->stop;

done_testing();
