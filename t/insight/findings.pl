# Findings: each rule finds the problem that was planted for it, and nothing that only
# looks like one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'jit = off');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 6, patterns => 40);

# Which rules judge patterns, and of them those that compare with the past: t/insight/rules.pl tests the catalogue.
my %RULES = map { $_ => $node->safe_psql('postgres', "SELECT string_agg(rule_id, ' ' ORDER BY rule_id) FROM _chpg_rules() WHERE scope ~ '$_'") } 'pattern|service', 'change', 'pattern|service|change';

# Without a history: rules that need none judge, and the others report that they cannot.
my $YESTERDAY = q{tstzrange(now() - interval '1 day', now())};
my %level = map { split /=/, $_, 2 } split /\n/, $node->safe_psql('postgres', "SELECT rule_id || '=' || string_agg(DISTINCT level, ' ' ORDER BY level) FROM chpg_findings($YESTERDAY) GROUP BY rule_id");
is($level{$_}, 'SKIPPED', "$_ needs a history") for split / /, $RULES{change};
like($level{CHPG101}, qr/INFO/, 'full scans are found in the present window');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_findings($YESTERDAY) WHERE level = 'SKIPPED' AND symptom IS NULL"), 0, 'a skipped rule has a reason');

# A finding of a service has its name, which costs no request (see below).
is($node->safe_psql('postgres', "SELECT count(*) > 0, count(*) FILTER (WHERE s.name IS DISTINCT FROM f.service_name) FROM chpg_findings($YESTERDAY) f LEFT JOIN chpg_services s ON s.id = f.service_id"), 't|0', 'findings have the names of their services');
is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE subject IS NULL AND service_id IS NOT NULL), count(*) FILTER (WHERE length(subject) > 80 OR subject ~ '[[:cntrl:]]'), count(*) FILTER (WHERE (state IS NULL) <> (level = 'SKIPPED') OR (next IS NULL) <> (level = 'SKIPPED') OR muted IS NULL) FROM chpg_findings($YESTERDAY)"), '0|0|0', 'a subject on one line, a state and a next statement');

# What fails comes before what is slower, that before what could be better; within that by level and impact.
is($node->safe_psql('postgres', "SELECT string_agg(urgency::text, '' ORDER BY n) = string_agg(urgency::text, '' ORDER BY urgency) FROM (SELECT f.*, _chpg_urgency(kind, level, rule_id) AS urgency FROM chpg_findings($YESTERDAY) WITH ORDINALITY f(kind, level, rule_id, title, service_id, service_name, subject, since, state, muted, symptom, before, now, unit, explanation, action, next, evidence, impact_us, confidence, tags, finding_key, incident_id, n)) f"), 't', 'the most urgent comes first');
is($node->safe_psql('postgres', "SELECT string_agg(_chpg_urgency(k, l, r)::text, ' ' ORDER BY n) FROM (VALUES (1, 'incident', 'ERROR', 'CHPG508'), (2, 'incident', 'WARN', 'CHPG401'), (3, 'risk', 'ERROR', 'CHPG701'), (4, 'incident', 'ERROR', 'CHPG501'), (5, 'risk', 'INFO', 'CHPG701'), (6, 'opportunity', 'ERROR', 'CHPG101'), (7, 'hygiene', 'INFO', 'CHPG706'), (8, NULL, 'SKIPPED', 'CHPG101')) v(n, k, l, r)"), '1 2 2 3 4 5 6 7', 'an outage, errors, risks, what is slower, opportunities, hygiene');

fails_with($node, 'SELECT * FROM chpg_findings(NULL)', '22004', qr/argument "period" must not be null/, 'no period');
fault($url, path => 'prometheus$', status => 500);
like($node->safe_psql('postgres', "SELECT chpg_cache_reset(); SET chpg.max_retries = 0; SELECT symptom FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG701'"), qr/could not read the Prometheus metrics/, 'an API that fails makes its rules skip');
$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
clear_journal($url);
$node->safe_psql('postgres', "SET chpg.max_retries = 0; SELECT FROM chpg_findings($YESTERDAY)");
is(scalar(grep { $_->{path} =~ /prometheus$/ } @{ journal($url)->{requests} }), 1, 'and its metrics are requested once');
clear_faults($url);
fault($url, path => 'postgres/prometheus$', body => qq(PostgresServer_FilesystemUsedPercent{postgres_service="pg7myrd1j06p3gx4zrm2ze8qz6",postgres_service_name="orders"} NaN\n));
is($node->safe_psql('postgres', "SELECT chpg_cache_reset(); SELECT level, symptom FROM chpg_findings($YESTERDAY, 'orders') WHERE rule_id = 'CHPG701'"), "\nSKIPPED|The metrics omit the storage in use", 'a value that is not a number is unknown');
clear_faults($url);

# A service that does not respond hides no finding of the others.
fault($url, path => 'pg7myrd1j06p3gx4zrm2ze8qz6/slow', status => 500);
my %skipped = map { split /=/, $_, 2 } split /\n/, $node->safe_psql('postgres', "SELECT chpg_cache_reset(); SET chpg.max_retries = 0; SET client_min_messages = error; SELECT coalesce(service_id, 'all') || '=' || string_agg(rule_id, ' ' ORDER BY rule_id) FROM chpg_findings($YESTERDAY) WHERE level = 'SKIPPED' AND symptom !~ 'metrics|max_connections|tag' GROUP BY service_id");
is($skipped{pg7myrd1j06p3gx4zrm2ze8qz6}, $RULES{'pattern|service'}, 'a service that does not respond is reported');
is($skipped{all}, $RULES{change}, 'beside rules that need a history');
like($node->safe_psql('postgres', "SET chpg.max_retries = 0; SET client_min_messages = error; SELECT min(symptom) FROM chpg_findings($YESTERDAY) WHERE service_id = 'pg7myrd1j06p3gx4zrm2ze8qz6' AND rule_id = 'CHPG101'"), qr/^could not read .*: the API failed/, 'with why');
cmp_ok($node->safe_psql('postgres', "SET chpg.max_retries = 0; SET client_min_messages = error; SELECT count(DISTINCT service_id) FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG101' AND level <> 'SKIPPED'"), '>', 1, 'and the other services are judged');
clear_faults($url);

# A service that is not running is reported as such, and its patterns are not judged.
reset_emulator($url, services => 6, patterns => 40, not_running => 'refused');
my $stopped = $node->safe_psql('postgres', q{SELECT id FROM chpg_services() WHERE state = 'stopped'});
is($node->safe_psql('postgres', "SELECT chpg_cache_reset(); SET client_min_messages = error; SELECT string_agg(rule_id, ' ' ORDER BY rule_id) FROM chpg_findings($YESTERDAY) WHERE service_id = '$stopped' AND level = 'SKIPPED' AND symptom LIKE 'The service is \"stopped\": could not read the slow query patterns of %'"), "\n$RULES{'pattern|service'}", 'a service that is not running is skipped');
is($node->safe_psql('postgres', "SET client_min_messages = error; SELECT count(*) FROM chpg_findings($YESTERDAY) WHERE service_id = '$stopped' AND level <> 'SKIPPED'"), 0, 'without any finding');
cmp_ok($node->safe_psql('postgres', "SET client_min_messages = error; SELECT count(DISTINCT service_id) FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG101' AND level <> 'SKIPPED'"), '>', 1, 'the others are judged');
reset_emulator($url, services => 6, patterns => 40);

# The requests: none is sent twice, even without the cache.
my $services = $node->safe_psql('postgres', 'SELECT count(*) FROM chpg_services()');
$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
costs($node, $url, "SET chpg.cache_ttl = 0; SELECT FROM chpg_findings($YESTERDAY)", 2 + 2 * $services, 'findings of the fleet: the list, the metrics, patterns and settings of each');
$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
is(costs($node, $url, "SET chpg.cache_ttl = 0; SELECT level FROM chpg_findings($YESTERDAY, 'pg7myrd1j06p3gx4zrm2ze8qz6') WHERE rule_id = 'CHPG706'", 3, 'findings of one service: its metrics, patterns and settings'), 'SKIPPED', 'the rule that compares services is skipped');

# A day and the day before, of 24 hours each
$node->safe_psql('postgres', q{SELECT chpg_history_enable('kept')});
make_plantable($node);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES ('s', '-infinity', now(), 'service'), ('t', '-infinity', now(), 'thrash');
INSERT INTO kept.capture SELECT s, 'hour', h, h + interval '1 hour', 'ok', 1, false, NULL, NULL, 1, now()
FROM generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-11 23:00Z', '1 hour') h, (VALUES ('s'), ('t')) v(s);

CREATE FUNCTION plant(name text, operation text, calls float8, avg_us float8, rows_per_call float8, blks_per_call float8,
	hit float8 DEFAULT 1, cpu float8 DEFAULT 0.9, wal_per_call float8 DEFAULT 0, app text DEFAULT 'web', days integer DEFAULT 2,
	service text DEFAULT 's', errors float8 DEFAULT 0, query_id bigint DEFAULT NULL) RETURNS void LANGUAGE sql VOLATILE AS $$
	INSERT INTO planted.pattern
	SELECT service, 'hour', h, k, calls, errors, calls * avg_us, avg_us, 9 * avg_us, 0.7 * avg_us, 3 * avg_us, 6 * avg_us,
		calls * rows_per_call, calls * blks_per_call * (1 - hit), calls * blks_per_call * hit, calls * avg_us * cpu, calls * wal_per_call
	FROM generate_series(timestamptz '2026-05-12 00:00Z' - days * interval '1 day', '2026-05-11 23:00Z', '1 hour') h,
		planted.key(coalesce(query_id, hashtextextended(name, 1)), name, operation, app => app) k
$$;
-- problems
SELECT plant('SELECT full scan', 'SELECT', 2000, 400000, 1, 30000);
SELECT plant('SELECT hot loop', 'SELECT', 4000000, 200, 1, 4);
SELECT plant('INSERT slow write', 'INSERT', 500, 200000, 1, 300, 1, 0.5);
SELECT plant('UPDATE wal hog', 'UPDATE', 20000, 4000, 1, 20, 1, 0.9, 100000);
SELECT plant('UPDATE wait bound', 'UPDATE', 800, 300000, 1, 20, 1, 0.02);
SELECT plant('SELECT huge result', 'SELECT', 100, 900000, 200000, 2000);
SELECT plant('SELECT new heavy', 'SELECT', 1000, 100000, 10, 100, 1, 0.9, 0, 'web', 1);
SELECT plant('SELECT regressed', 'SELECT', 1000, 40000, 10, 100);
UPDATE planted.pattern p SET total_duration_us = 3 * total_duration_us, p95_duration_us = 3 * p95_duration_us, total_cpu_time_us = 3 * total_cpu_time_us
FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text = 'SELECT regressed' AND p.window_start >= '2026-05-11';
SELECT plant('', 'UNKNOWN', 0, 0, 0, 0, 1, 0, 0, 'broken', 1, 's', 400, 0);
SELECT plant('SELECT of broken', 'SELECT', 3000, 1000, 1, 5, 1, 0.9, 0, 'broken');
SELECT plant('SELECT thrash', 'SELECT', 3000, 100000, 500, 5000, 0.8, 0.5, 0, 'web', 2, 't');
-- what only looks like a problem
SELECT plant('SELECT finds nothing', 'SELECT', 900000, 30, 0, 4);
-- the service's own monitoring, also when it is new
SELECT plant('SELECT probe', 'SELECT', 4000000, 200, 1, 4, 1, 0.9, 0, 'bin/monitor');
SELECT plant('SELECT new probe', 'SELECT', 1000, 2000000, 1, 4, 1, 0.9, 0, 'bin/monitor', 1);
SELECT plant('SELECT nested', 'SELECT', 1000, 200000, 1, 20, 1, 1.6);
SELECT plant('SELECT busy and well', 'SELECT', 20000, 15000, 50, 60);
SELECT plant('SELECT count(*) FROM t', 'SELECT', 500, 200000, 1, 40000);
-- a backup, which reads all that there is
SELECT plant('COPY public.orders TO stdout', 'COPY', 10, 1000000, 1000, 5000000, 0);
SQL
my $DAY = q{'[2026-05-11 00:00Z,2026-05-12 00:00Z)'};
# What is judged in one state of the history is asked for once, and kept in the table "judged":
# the members of incidents, too.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE judged OF chpg_finding_row;
CREATE FUNCTION all_findings(period tstzrange, service text) RETURNS SETOF chpg_finding_row LANGUAGE sql AS $$
	SELECT (m.finding).*
	FROM _chpg_judged(ARRAY(SELECT c FROM _chpg_candidates(period, service, NULL::text, false) c), period, service, NULL::text, false) m
	ORDER BY _chpg_urgency((m.finding).kind, (m.finding).level, (m.finding).rule_id), _chpg_level_place((m.finding).level)
$$;
SQL
sub judge
{
	my ($service) = @_;
	$service //= q{'s'};
	return $node->safe_psql('postgres', "TRUNCATE judged; INSERT INTO judged SELECT * FROM all_findings($DAY, $service)");
}
sub found
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT string_agg(f.rule_id || ' ' || f.level, ', ' ORDER BY f.rule_id) FROM judged f JOIN kept.pattern_key k ON k.query_id::text = f.evidence->>'query_id' JOIN kept.query_text t USING (text_id) WHERE t.query_text = '$name'");
}

judge();
is(found($_->[0]), $_->[1], "$_->[0]: $_->[1]") for
	[ 'SELECT full scan', 'CHPG101 INFO' ], [ 'SELECT hot loop', 'CHPG102 INFO' ],
	[ 'INSERT slow write', 'CHPG201 INFO' ], [ 'UPDATE wal hog', 'CHPG202 INFO' ],
	[ 'UPDATE wait bound', 'CHPG601 INFO' ], [ 'SELECT huge result', 'CHPG607 INFO' ],
	[ 'SELECT new heavy', 'CHPG504 INFO' ], [ 'SELECT regressed', 'CHPG501 WARN' ];
is(found($_), '', "$_: nothing") for 'SELECT finds nothing', 'SELECT probe', 'SELECT new probe', 'SELECT nested', 'SELECT busy and well';
is(found('SELECT count(*) FROM t'), 'CHPG101 INFO', 'an aggregate has to read');
is($node->safe_psql('postgres', "SELECT array_to_string(tags, ' ') FROM judged WHERE rule_id = 'CHPG601'"), 'slow_write', 'a pattern has one finding, and tags for the others');
is($node->safe_psql('postgres', "SELECT string_agg(rule_id || ' ' || level, ', ' ORDER BY rule_id) FROM judged WHERE evidence->>'app' = 'broken' AND evidence ? 'error_count'"), 'CHPG402 ERROR', 'more errors than before');
is($node->safe_psql('postgres', "SELECT level || ' ' || (evidence->>'hit_ratio') FROM chpg_findings($DAY, 'thrash') WHERE rule_id = 'CHPG301'"), 'INFO 0.8000', 'a cache that thrashes');
is($node->safe_psql('postgres', "SELECT count(*) FROM judged WHERE rule_id = 'CHPG301'"), 0, 'and one that does not');

# The same history sealed in part has the same findings; from here on it stays so.
my $SEAL = q{SELECT planted.seal('2026-05-11 04:00Z')};
$node->safe_psql('postgres', "CREATE TABLE of_open AS SELECT * FROM judged; $SEAL");
judge();
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM kept.sealed_hour), count(*) > 10, count(*) FILTER (WHERE (a.rule_id, a.level, a.title, a.tags, a.confidence) IS DISTINCT FROM (b.rule_id, b.level, b.title, b.tags, b.confidence) OR abs(a.impact_us - b.impact_us) > 5.1e-4 * a.impact_us) FROM of_open a FULL JOIN judged b USING (finding_key)}),
	'56|t|0', 'findings of a history that is sealed in part');

fails_with($node, "SELECT * FROM chpg_findings($DAY, 'no such')", '42704', qr/service "no such" does not exist/, 'a service that is not there is not well');
is($node->safe_psql('postgres', "SELECT count(*) FROM judged WHERE rule_id = 'CHPG801'"), 0, 'a history that is complete');
$node->safe_psql('postgres', q{UPDATE kept.capture SET status = 'lost' WHERE service_id = 's' AND window_start = '2026-05-11 05:00Z'});
judge();
is($node->safe_psql('postgres', "SELECT symptom FROM judged WHERE rule_id = 'CHPG801'"), '23 of 24 hours were captured, 0 of them truncated', 'and one that is not');
is($node->safe_psql('postgres', "SELECT string_agg(u || level, ' ') = string_agg(u || level, ' ' ORDER BY u, array_position(ARRAY['ERROR', 'WARN', 'INFO', 'SKIPPED'], level)) FROM (SELECT level, _chpg_urgency(kind, level, rule_id)::text AS u FROM judged) j"), 't', 'the most urgent come first, of them the worst');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_findings($DAY) WHERE level <> 'SKIPPED' AND (explanation IS NULL OR action IS NULL OR evidence IS NULL OR confidence IS NULL)"), 0, 'each finding has an explanation and a remedy');

# A period until now: hours that are only partly in it are not missing, nor is the
# latest one.  In one transaction, in which the time is the same.
my $LATE = q{SELECT symptom FROM chpg_findings(tstzrange(now() - interval '1 day', now()), 'fresh') WHERE rule_id = 'CHPG801';};
my ($late, $gap) = split /^--\n/m, $node->safe_psql('postgres', <<"SQL");
BEGIN;
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES ('fresh', '-infinity', now(), 'fresh');
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status)
SELECT 'fresh', 'hour', h, h + interval '1 hour', 'ok'
FROM generate_series(date_trunc('hour', now()) - interval '26 hours', date_trunc('hour', now() - interval '65 minutes') - interval '1 hour', '1 hour') h;
$LATE
SELECT '--';
DELETE FROM kept.capture WHERE service_id = 'fresh' AND window_start = date_trunc('hour', now()) - interval '5 hours';
$LATE
COMMIT;
SQL
is($late, '', 'a history without a gap');
my ($captured, $expected) = $gap =~ /^(\d+) of (\d+) hours were captured/;
is($expected - $captured, 1, 'and one that is not');

# A pattern that two rules find, and one of them muted
$node->safe_psql('postgres', q{UPDATE kept.capture SET status = 'ok'; SELECT plant('SELECT new full scan', 'SELECT', 1000, 200000, 1, 30000, 1, 0.9, 0, 'web', 1)});
judge();
is(found('SELECT new full scan'), 'CHPG504 INFO', 'a new full scan is one finding, that it is new');
my $WHICH = q{evidence->>'query_id' = (SELECT query_id::text FROM kept.pattern_key JOIN kept.query_text USING (text_id) WHERE query_text = 'SELECT new full scan')};
is($node->safe_psql('postgres', "SELECT array_to_string(tags, ' '), evidence->>'change', (evidence->'full_scan'->>'blks_per_row')::float8 FROM judged WHERE $WHICH"), 'full_scan|new|30000', 'the other rule is a tag, with its evidence');
$node->safe_psql('postgres', "SELECT chpg_mute(finding_key, 'accepted_risk') FROM judged WHERE $WHICH");
judge();
is($node->safe_psql('postgres', "SELECT string_agg(rule_id || CASE WHEN muted THEN ' muted' ELSE '' END, ', ' ORDER BY rule_id) FROM judged WHERE $WHICH"), 'CHPG101, CHPG504 muted', 'a muted finding hides nothing else');
$node->safe_psql('postgres', 'TRUNCATE kept.finding_mute');

# What is muted hides no other rule, and the worst is told first.
$node->safe_psql('postgres', "SELECT chpg_mute(finding_key, 'accepted_risk') FROM judged WHERE rule_id = 'CHPG601'");
judge();
is(found('UPDATE wait bound'), 'CHPG201 INFO, CHPG601 INFO', 'a rule of the same pattern');
$node->safe_psql('postgres', q{TRUNCATE kept.finding_mute; SELECT plant('UPDATE new without index', 'UPDATE', 20000, 100000, 1, 30000, 1, 0.9, 0, 'web', 1)});
judge();
is(found('UPDATE new without index'), 'CHPG504 INFO', 'what is new is not hidden by an opportunity');
unplant($node, 'UPDATE new without index');

# Values that responses omit are unknown.
$node->safe_psql('postgres', q{SELECT plant('SELECT without CPU', 'SELECT', 2000, 300000, NULL, 30000, 1, NULL), plant('SELECT exports', 'SELECT', 0.1, 90000000, 5000000, 2000)});
judge();
is($node->safe_psql('postgres', "SELECT rule_id, confidence, evidence->'cpu_ratio', evidence->'rows_per_call' FROM judged f WHERE evidence->>'query_id' = (SELECT query_id::text FROM kept.pattern_key JOIN kept.query_text USING (text_id) WHERE query_text = 'SELECT without CPU')"), 'CHPG101|low|null|null', 'no CPU, no rows: a full scan all the same');
$node->safe_psql('postgres', q{UPDATE planted.pattern p SET call_count = 1, total_rows = 5000000 FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND query_text = 'SELECT exports' AND window_start = '2026-05-11 03:00Z';
	DELETE FROM planted.pattern p USING kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND query_text = 'SELECT exports' AND window_start <> '2026-05-11 03:00Z';
	UPDATE planted.pattern p SET total_duration_us = 3e9 FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND query_text = 'SELECT exports'});
$node->safe_psql('postgres', q{UPDATE chpg_rule SET threshold = 0.000001 WHERE rule_id = 'CHPG100' AND parameter = 'time_ratio'});
judge();
is(found('SELECT exports'), '', 'one execution of minutes is a batch job, and no huge result');
$node->safe_psql('postgres', q{UPDATE chpg_rule SET threshold = 0.01 WHERE rule_id = 'CHPG100' AND parameter = 'time_ratio'});
unplant($node, 'SELECT without CPU', 'SELECT exports');

# For values that only some hours have, the others are assumed to be alike.
$node->safe_psql('postgres', q{SELECT plant('SELECT half known', 'SELECT', 2000, 300000, 1500, 20000, 1, 0.95);
	UPDATE planted.pattern p SET total_cpu_time_us = CASE WHEN extract(hour FROM window_start) < 4 THEN total_cpu_time_us END, total_rows = CASE WHEN extract(hour FROM window_start) = 1 THEN total_rows END
	FROM kept.pattern_key k JOIN kept.query_text t USING (text_id) WHERE k.pattern_key = p.pattern_key AND t.query_text = 'SELECT half known'});
judge();
is(found('SELECT half known'), '', 'neither a wait nor a full scan');
unplant($node, 'SELECT half known');

# Counters that nobody tells are neither good news nor bad.
$node->safe_psql('postgres', q{INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES ('u', '-infinity', now(), 'uncounted');
	INSERT INTO kept.capture SELECT 'u', grain, window_start, window_end, status FROM kept.capture WHERE service_id = 't';
	SELECT plant('SELECT uncounted', 'SELECT', 800, 300000, 1, 20, 1, 0.02, 0, 'web', 2, 'u');
	UPDATE planted.pattern SET total_shared_blks_read = NULL, total_shared_blks_hit = NULL WHERE service_id = 'u'} . "; $SEAL");
is($node->safe_psql('postgres', "SELECT string_agg(rule_id || ': ' || symptom, ', ' ORDER BY rule_id) FROM chpg_findings($DAY, 'uncounted', history_only => true) WHERE rule_id < 'CHPG7'"),
	join(', ', map { "$_: No pattern reports blocks" } qw(CHPG101 CHPG102 CHPG301 CHPG601)), 'unknown blocks are not few');
$node->safe_psql('postgres', q{UPDATE planted.pattern SET total_shared_blks_read = 0, total_shared_blks_hit = 800, total_cpu_time_us = NULL WHERE service_id = 'u'});
is($node->safe_psql('postgres', "SELECT string_agg(rule_id || ': ' || symptom, ', ' ORDER BY rule_id) FROM chpg_findings($DAY, 'uncounted', history_only => true) WHERE rule_id < 'CHPG7'"), 'CHPG601: No pattern reports CPU time', 'no CPU is not little');
$node->safe_psql('postgres', q{DELETE FROM kept.service WHERE service_id = 'u'; DELETE FROM kept.capture WHERE service_id = 'u'; DELETE FROM planted.pattern WHERE service_id = 'u'});

# A truncated window has all errors, but not all executions.
$node->safe_psql('postgres', q{UPDATE kept.capture SET truncated = true, cutoff_us = 1000 WHERE service_id = 's' AND window_start = '2026-05-11 03:00Z'});
judge();
is($node->safe_psql('postgres', "SELECT count(*) FROM judged WHERE rule_id IN ('CHPG401', 'CHPG402') AND evidence->>'error_ratio' IS NOT NULL"), 0, 'shares of errors are unknown there');
is($node->safe_psql('postgres', q{SELECT count(*), count(error_ratio) FROM kept.error_hour WHERE service_id = 's' AND "time" BETWEEN '2026-05-11 03:00Z' AND '2026-05-11 04:00Z'}), '2|1', 'nor in the view of errors');
$node->safe_psql('postgres', q{UPDATE kept.capture SET truncated = false, cutoff_us = NULL});

# Names that contain the separators of keys
$node->safe_psql('postgres', q{SELECT plant('SELECT colon', 'SELECT', 2000, 400000, 1, 30000);
	INSERT INTO kept.pattern_key (query_id, db_name, db_user, db_operation, app, text_id, last_seen) SELECT query_id, v.d, v.u, db_operation, app, text_id, last_seen FROM kept.pattern_key JOIN kept.query_text USING (text_id), (VALUES ('a:b', 'c'), ('a', 'b:c')) v(d, u) WHERE query_text = 'SELECT colon';
	INSERT INTO planted.pattern SELECT p.service_id, p.grain, p.window_start, n.pattern_key, p.call_count, p.error_count, p.total_duration_us, p.avg_duration_us, p.max_duration_us, p.p50_duration_us, p.p95_duration_us, p.p99_duration_us, p.total_rows, p.total_shared_blks_read, p.total_shared_blks_hit, p.total_cpu_time_us, p.total_wal_bytes
	FROM planted.pattern p JOIN kept.pattern_key k USING (pattern_key) JOIN kept.query_text t USING (text_id) JOIN kept.pattern_key n ON n.text_id = k.text_id AND n.db_name LIKE 'a%' WHERE t.query_text = 'SELECT colon' AND k.db_name = 'db'});
judge();
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT finding_key) FROM judged WHERE evidence->>'db_name' LIKE 'a%'"), '2|2', 'are different patterns');
$node->safe_psql('postgres', q{DELETE FROM planted.pattern p USING kept.pattern_key k WHERE k.pattern_key = p.pattern_key AND k.db_name LIKE 'a%'});

# Services that cannot be judged are reported, also beside others that can.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO kept.service (service_id, valid_from, valid_to, noted_at, service_name) VALUES
	('young', '-infinity', 'infinity', '2026-05-12', 'young'), ('empty', '-infinity', 'infinity', '2026-05-01', 'empty'),
	('dead', '-infinity', '2026-05-05', '2026-05-01', 'dead'), ('unborn', '-infinity', 'infinity', '2026-06-01', 'unborn'),
	('dying', '-infinity', '2026-05-11 06:00Z', '2026-05-01', 'dying');
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status)
SELECT s, 'hour', h, h + interval '1 hour', 'ok' FROM generate_series(timestamptz '2026-05-11 00:00Z', '2026-05-11 23:00Z', '1 hour') h, (VALUES ('young'), ('dying')) v(s)
WHERE s = 'young' OR h < '2026-05-11 04:00Z';
INSERT INTO kept.service_key (service_id) VALUES ('young');
SQL
judge('NULL');
is($node->safe_psql('postgres', "SELECT count(*) OVER (), level, (SELECT string_agg(r, ' ' ORDER BY r) FROM jsonb_array_elements_text(evidence->'rule_ids') r) FROM judged WHERE service_id = 'young'"), "1|SKIPPED|$RULES{change}", 'no baseline: one row for all rules that wait');
like($node->safe_psql('postgres', "SELECT symptom FROM judged WHERE service_id = 'young'"), qr/^The history has 24 hours of the two days to compare with: changes wait until 2026-05-13 00:00Z \(error_spike, slower, .*renamed\)$/, 'and until when');
my $OF_PATTERNS = $RULES{'pattern|service|change'};
my $SKIPPED = q{SELECT string_agg(rule_id, ' ' ORDER BY rule_id) || ': ' || min(symptom)};
is($node->safe_psql('postgres', "$SKIPPED FROM judged WHERE service_id = 'empty' AND level = 'SKIPPED'"), "$OF_PATTERNS: The history has no hour of the period; the API is asked for a service that is named.", 'no hours');
is($node->safe_psql('postgres', "SELECT level, symptom FROM judged WHERE service_id = 'empty' AND rule_id = 'CHPG801'"), 'INFO|0 of 24 hours were captured, 0 of them truncated', 'nor is its history complete');
is($node->safe_psql('postgres', "INSERT INTO chpg_threshold VALUES ('CHPG801', 'coverage_ratio', 0); SELECT count(*) FROM chpg_findings($DAY) WHERE service_id = 'empty'; DELETE FROM chpg_threshold"), scalar(split / /, $OF_PATTERNS), 'whatever the threshold of gaps is');
my ($unknown) = $node->safe_psql('postgres', 'SELECT id FROM chpg_services() LIMIT 1');
is($node->safe_psql('postgres', "$SKIPPED FROM judged WHERE service_id = '$unknown' AND symptom LIKE 'The history%'"), "$OF_PATTERNS: The history does not know the service yet; the API is asked for one that is named.", 'a service that was made after the last capture');
is($node->safe_psql('postgres', "SELECT count(*) FROM judged WHERE service_id IN ('dead', 'unborn')"), 0, 'a service that did not exist has no gap');
is($node->safe_psql('postgres', "SELECT symptom FROM judged WHERE service_id = 'dying' AND rule_id = 'CHPG801'"), '4 of 6 hours were captured, 0 of them truncated', 'a service that is gone has hours until then');
$node->safe_psql('postgres', "SELECT chpg_mute(finding_key, 'accepted_risk') FROM judged WHERE level = 'SKIPPED'");
$node->safe_psql('postgres', q{INSERT INTO kept.service (service_id, valid_from, valid_to, noted_at, service_name) VALUES ('s', '2026-01-01', '2026-02-01', now(), 'thrash')});
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT service_id, ' ') FROM chpg_period_patterns($DAY, 'thrash')"), 't', 'a name means the service that has it now');
$node->safe_psql('postgres', q{DELETE FROM kept.service WHERE service_id NOT IN ('s', 't') OR valid_from = '2026-01-01'; DELETE FROM kept.capture WHERE service_id NOT IN ('s', 't')});

# With history_only
is(costs($node, $url, "SELECT string_agg(rule_id, ' ' ORDER BY rule_id) FROM chpg_findings($YESTERDAY, 't', history_only => true) WHERE level = 'SKIPPED'", 0, 'findings without requests'), $OF_PATTERNS, 'report gaps of the history');
is(costs($node, $url, "SELECT string_agg(rule_id || ' ' || level, ', ' ORDER BY rule_id) FROM chpg_findings($DAY, 't', history_only => true) WHERE rule_id < 'CHPG4'", 0, 'findings of the history'), 'CHPG301 INFO', 'and find problems in it');
fails_with($node, "SELECT * FROM chpg_findings($DAY, 'thrsh', history_only => true)", '42704', qr/service "thrsh" is not in the history/, 'a name that the history lacks');

# A pattern that is new and small
$node->safe_psql('postgres', q{SELECT plant('SELECT new and small', 'SELECT', 1000, 11000, 10, 10, 1, 0.9, 0, 'web', 1)});
is($node->safe_psql('postgres', "SELECT time_ratio < 0.01 FROM chpg_compare('[2026-05-10 00:00Z,2026-05-11 00:00Z)', $DAY, 's') WHERE query_text = 'SELECT new and small'"), 't', 'less than one percent');
judge();
is(found('SELECT new and small'), '', 'is nothing');
$node->safe_psql('postgres', q{INSERT INTO chpg_threshold VALUES ('CHPG504', 'time_ratio', 0.0001)});
judge();
is(found('SELECT new and small'), 'CHPG504 INFO', 'unless the threshold says so');
$node->safe_psql('postgres', q{TRUNCATE chpg_threshold});
unplant($node, 'SELECT new and small', 'SELECT colon');

# Time zones do not change durations.
is($node->safe_psql('postgres', q{SET timezone = 'Europe/Berlin'; SELECT count(*) > 0 FROM chpg_findings('[2026-03-25 12:00+01,2026-04-01 12:00+02)')}), 't', 'a week with 167 hours');

# Services as they are now
reset_emulator($url, overrides => { map { $_ => { tags => [ { key => 'Environment', value => 'production' } ] } } qw(orders billing sessions search) });
$node->safe_psql('postgres', q{SELECT count(*) FROM chpg_services() s, LATERAL chpg_patch_config(s.id, pg_config => CASE s.name WHEN 'orders' THEN '{"max_connections": 3, "work_mem": "64MB", "random_page_cost": 4}' ELSE '{"max_connections": 500, "work_mem": "4MB", "random_page_cost": 1.1}' END::jsonb)});
fault($url, path => 'postgres/prometheus$', body => join '', map { qq(PostgresServer_FilesystemUsedPercent{postgres_service="$_->[0]",postgres_service_name="$_->[1]"} $_->[2]\nPostgresServer_ActiveConnections{postgres_service="$_->[0]",postgres_service_name="$_->[1]",state="active"} $_->[3]\n) } [ 'pg7myrd1j06p3gx4zrm2ze8qz6', 'orders', 96, 4 ], [ 'f2b1a8e6-bc27-4d95-9865-654e00293911', 'billing', 87, 20 ], [ 'pgg6hrdibucn5e28kok549dn8m', 'analytics', 50, 20 ]);
$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT rule_id, ' '), count(DISTINCT service_id) FROM chpg_findings($YESTERDAY) WHERE symptom = 'The metrics omit the service'"), 'CHPG701 CHPG703|3', 'services that the metrics lack');
$services = $node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', rule_id, level, evidence->>'storage_used_percent', evidence->>'connections'), ', ' ORDER BY rule_id, level) FROM chpg_findings($YESTERDAY) WHERE rule_id IN ('CHPG701', 'CHPG703') AND level <> 'SKIPPED'");
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_findings($YESTERDAY) WHERE muted AND rule_id IN ('CHPG701', 'CHPG703') AND level <> 'SKIPPED'"), 0, 'a finding that was muted as unknown is reported');
like($services, qr/CHPG701 ERROR 96, CHPG701 WARN 87/, 'storage that fills up');
like($services, qr/CHPG703 ERROR 4\b/, 'connections that run out');
my ($billing) = $node->safe_psql('postgres', q{SELECT id FROM chpg_services() WHERE name = 'billing'});
fault($url, path => "$billing/config", status => 500);
my $others = "SELECT chpg_cache_reset(); SET chpg.max_retries = 0; SET client_min_messages = error; SELECT string_agg(rule_id || ' ' || level, ', ' ORDER BY rule_id, level) FROM chpg_findings($YESTERDAY)";
is($node->safe_psql('postgres', "$others WHERE rule_id IN ('CHPG701', 'CHPG703') AND level <> 'SKIPPED'"), "\nCHPG701 ERROR, CHPG701 WARN, CHPG703 ERROR", 'a service whose settings cannot be read hides no finding of the others');
is($node->safe_psql('postgres', "$others WHERE rule_id = 'CHPG703' AND service_id = '$billing'"), "\nCHPG703 SKIPPED", 'and is not judged itself');
clear_faults($url);
fault($url, path => 'postgres/prometheus$', body => qq(PostgresServer_FilesystemUsedPercent{postgres_service="$billing",postgres_service_name="billing"} 95\nPostgresServer_ActiveConnections{postgres_service="$billing",postgres_service_name="billing",state="active"} NaN\n));
is($node->safe_psql('postgres', "SELECT chpg_cache_reset(); SELECT string_agg(concat_ws(' ', rule_id, level, CASE level WHEN 'SKIPPED' THEN symptom END), ', ' ORDER BY rule_id) FROM chpg_findings($YESTERDAY, 'billing') WHERE rule_id IN ('CHPG701', 'CHPG703')"),
	"\nCHPG701 ERROR, CHPG703 SKIPPED The metrics omit the number of connections", 'unknown connections are not reported as good');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT evidence->>'name', ' ') FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG706'"), 'random_page_cost', 'a setting that differs from those of other services; others depend on the machine');
clear_faults($url);

# Services are compared within an environment; a service without one is not compared.
is($node->safe_psql('postgres', "SELECT symptom FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG706' AND level = 'SKIPPED'"), 'Services that share the tag Environment with too few others, or have none, are compared with none: 1', 'services without the tag are reported');
is($node->safe_psql('postgres', "INSERT INTO chpg_threshold VALUES ('CHPG706', 'services', 6); SELECT string_agg(level || right(symptom, 3), ',') FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG706'; DELETE FROM chpg_threshold"), 'SKIPPED: 6', 'so are environments of too few');

# Settings of a service that is not running are not known, and no drift.
reset_emulator($url, not_running => 'refused', overrides => { map { $_ => { tags => [ { key => 'Environment', value => 'production' } ] } } qw(orders billing sessions search) });
$node->safe_psql('postgres', q{SELECT count(*) FROM chpg_services() s, LATERAL chpg_patch_config(s.id, pg_config => '{"work_mem": "4MB"}')});
is($node->safe_psql('postgres', "SELECT chpg_cache_reset(); SET client_min_messages = error; SELECT string_agg(level || ' ' || symptom, ', ') FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG706' AND service_id IS NOT NULL"), "\nSKIPPED The service is \"stopped\", and its settings are not known", 'settings of a service that is not running are no drift');

# A setting that half of the services of an environment have is no drift.
reset_emulator($url, overrides => { analytics => { tags => undef }, map { $_ => { tags => [ { key => 'Environment', value => 'production' } ] } } qw(orders billing sessions search) });
$node->safe_psql('postgres', q{SELECT chpg_cache_reset(); SELECT count(*) FROM chpg_services() s, LATERAL chpg_patch_config(s.id, pg_config => jsonb_build_object('random_page_cost', CASE s.name WHEN 'orders' THEN 4 ELSE 2 END, 'lock_timeout', CASE WHEN s.name IN ('orders', 'billing') THEN '1s' ELSE '2s' END)) WHERE s.name <> 'analytics'});
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT (evidence->>'name') || ' ' || symptom, ' ') FROM chpg_findings($YESTERDAY) WHERE rule_id = 'CHPG706' AND level = 'INFO'"), 'random_page_cost postgres random_page_cost is 4; 3 of 4 services of the environment have another value', 'a setting that two services of four have is no drift');

# Twice as many errors are no spike where so few are chance.
$node->safe_psql('postgres', q{SELECT plant('SELECT of calm', 'SELECT', 50, 1000, 1, 5, 1, 0.9, 0, 'calm');
	UPDATE planted.pattern p SET error_count = 1 FROM kept.pattern_key k JOIN kept.query_text t USING (text_id)
	WHERE k.pattern_key = p.pattern_key AND t.query_text = 'SELECT of calm'
		AND (p.window_start < '2026-05-10 05:00Z' OR p.window_start BETWEEN '2026-05-11 00:00Z' AND '2026-05-11 11:00Z')});
my $SPIKE = "SELECT concat_ws(' ', evidence->>'error_count', evidence->>'baseline_error_count', evidence->>'z') FROM chpg_findings($DAY, 's') WHERE rule_id = 'CHPG402' AND evidence->>'app' = 'calm'";
is($node->safe_psql('postgres', $SPIKE), '', '12 errors after 5, of 1,200 executions each');
unplant($node, 'SELECT of calm');

# Each statement in "next" can be run, whatever the names in it.
sub every_next_runs
{
	my ($findings, $name) = @_;
	$node->safe_psql('postgres', "TRUNCATE judged; INSERT INTO judged SELECT * FROM $findings");
	return is($node->safe_psql('postgres', q{DO $$
		DECLARE f record;
		BEGIN
			FOR f IN SELECT DISTINCT ON (rule_id, service_id IS NULL, evidence ? 'query_id') next FROM judged WHERE next IS NOT NULL LOOP
				EXECUTE 'SELECT count(*) FROM (' || f.next || ') q';
			END LOOP;
		END $$; SELECT count(DISTINCT rule_id) > 2 FROM judged WHERE next IS NOT NULL}), 't', $name);
}
$node->safe_psql('postgres', q{SELECT plant($q$SELECT 'quoted\', $$x$$$q$, 'SELECT', 2000, 400000, 1, 30000, app => $q$o'app\$q$)});
every_next_runs("chpg_findings($DAY, history_only => true)", 'the next statements over the history can be run');
like($node->safe_psql('postgres', "SELECT next FROM judged WHERE rule_id = 'CHPG101' AND evidence->>'app' LIKE 'o%'"), qr/^SELECT \* FROM public\.chpg_pattern_course\('s', '-?\d+', '\[2026-05-11 00:00Z,2026-05-12 00:00Z\)'\)$/, 'the course of a pattern');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT service_name, ' '), count(*) FILTER (WHERE subject LIKE '%quoted%') FROM judged WHERE service_id IN ('s', 't') AND level <> 'SKIPPED'"), 'service thrash|1', 'names are those of the history');
every_next_runs("chpg_findings($YESTERDAY)", 'those of now can be run, too');
$node->safe_psql('postgres', q{DELETE FROM planted.pattern p USING kept.pattern_key k WHERE k.pattern_key = p.pattern_key AND k.app LIKE $q$o'%$q$});

# Thresholds and mutes
$node->safe_psql('postgres', 'TRUNCATE kept.finding_mute');
$node->safe_psql('postgres', q{INSERT INTO chpg_threshold VALUES ('CHPG102', 'calls_per_s', 5000)});
judge();
is(found('SELECT hot loop'), '', 'a changed threshold changes the findings');
$node->safe_psql('postgres', 'DELETE FROM chpg_threshold');
judge();
is(found('SELECT hot loop'), 'CHPG102 INFO', 'and back');
my $key = $node->safe_psql('postgres', "SELECT finding_key FROM judged WHERE rule_id = 'CHPG102'");
$node->safe_psql('postgres', "SELECT chpg_mute('$key', 'accepted_risk', 'it is our queue')");
is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE muted), count(*) FILTER (WHERE NOT muted AND rule_id = 'CHPG102') FROM chpg_findings($DAY, 's')"), '1|0', 'a finding is muted');
fails_with($node, "SELECT chpg_mute($_->[0])", '22004', qr/argument "$_->[1]" must not be null/, "no $_->[1]") for [ "NULL, 'wont_fix'", 'finding_key' ], [ "'$key', NULL", 'reason' ];
fails_with($node, 'SELECT chpg_unmute(NULL)', '22004', qr/argument "finding_key" must not be null/, 'nothing to unmute');
fails_with($node, q{INSERT INTO chpg_threshold VALUES ('CHPG102', 'calls_per_sec', 1)}, '23503', qr/is not present in table "chpg_rule"/, 'a threshold that no rule has');
fails_with($node, "SELECT chpg_mute($_->[0])", '22023', qr/invalid value for "$_->[1]": .*(?:HINT:  G|: g)ive /s, "what is no $_->[1]") for
	[ "'$key', 'no reason'", 'reason' ], [ "'a finding', 'wont_fix'", 'finding_key' ], [ "'$key', 'wont_fix', muted_until => now() - interval '1 minute'", 'muted_until' ];
is($node->safe_psql('postgres', "SELECT chpg_unmute('$key'), chpg_unmute('$key')"), 't|f', 'and unmuted');
my $MUTED = "SELECT muted FROM chpg_findings($DAY, 's') WHERE rule_id = 'CHPG102'";
is($node->safe_psql('postgres', "SELECT chpg_mute('$key', 'wont_fix', muted_until => now() + interval '1 day'); $MUTED"), "\nt", 'muted until tomorrow');
is($node->safe_psql('postgres', "UPDATE kept.finding_mute SET muted_until = now() - interval '1 second'; $MUTED"), 'f', 'and not muted any more when that is over');
$node->safe_psql('postgres', "TRUNCATE kept.finding_mute; CREATE ROLE dba LOGIN; GRANT EXECUTE ON FUNCTION chpg_mute, chpg_unmute TO dba");
fails_with($node, "SET ROLE dba; SELECT * FROM $_->[0]", '42501', qr/permission denied for $_->[1]/, "PUBLIC may not read mutes, which name databases and users: $_->[0]") for [ 'chpg_finding_mute', 'table chpg_finding_mute' ], [ 'kept.finding_mute', 'schema kept' ];
is($node->safe_psql('postgres', "SELECT chpg_mute('$key', 'wont_fix')", extra_params => [ '-U', 'dba' ]) . $node->safe_psql('postgres', 'SELECT muted_by, (SELECT count(*) FROM chpg_finding_mute) FROM kept.finding_mute'), 'dba|0', 'a role with the privilege may mute, in the history');
is($node->safe_psql('postgres', "SELECT chpg_unmute('$key')", extra_params => [ '-U', 'dba' ]), 't', 'and unmute');
# A dump contains them.
$node->safe_psql('postgres', q{TRUNCATE kept.finding_mute; INSERT INTO chpg_threshold VALUES ('CHPG102', 'calls_per_s', 5000); SELECT chpg_mute('CHPG101:a finding', 'wont_fix', 'ours'); CREATE DATABASE restored});
my $dump = $PostgreSQL::Test::Utils::tmp_check . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', $dump . '.out', '-f', $dump, $node->connstr('restored') ], 'is restored');
is($node->safe_psql('restored', q{SELECT (_chpg_thresholds()).hot_loop_calls_per_s, finding_key, reason, note, count(*) OVER () FROM kept.finding_mute}), '5000|CHPG101:a finding|wont_fix|ours|1', 'with its thresholds and mutes');

# A threshold that no rule can count with is refused by name.
$node->safe_psql('postgres', 'TRUNCATE kept.threshold');
fails_with($node, "BEGIN; DELETE FROM chpg_threshold; INSERT INTO chpg_threshold VALUES ('$_->[0]', '$_->[1]', '$_->[2]'); SELECT * FROM chpg_findings($DAY, history_only => true)", '22023',
	qr/invalid value for threshold "$_->[1]" of rule "$_->[0]": $_->[2]\nDETAIL:  A threshold is from 0 to 1e15, one of hours or days up to 100000\.\nHINT:  Set another one, or remove it: DELETE FROM public\.chpg_threshold WHERE rule_id = '$_->[0]' AND parameter = '$_->[1]';/, "$_->[1] = $_->[2]") for
	[ 'CHPG501', 'score', 'NaN' ], [ 'CHPG507', 'surge_factor', '-1' ], [ 'CHPG506', 'hours', '100001' ], [ 'CHPG701', 'used_percent', 'Infinity' ];
fails_with($node, "INSERT INTO kept.threshold VALUES ('CHPG501', 'score', 'NaN'); SELECT _chpg_thresholds()", '22023', qr/remove it: DELETE FROM kept\.threshold WHERE/, 'one of the history');
$node->safe_psql('postgres', 'TRUNCATE kept.threshold');

# Thresholds of the history come first.
my $CALLS = 'SELECT (_chpg_thresholds()).hot_loop_calls_per_s';
is($node->safe_psql('postgres', "INSERT INTO kept.threshold VALUES ('CHPG102', 'calls_per_s', 6000); $CALLS; TRUNCATE kept.threshold; $CALLS"), "6000\n5000", 'a threshold of the history');
my ($code, $out, $err) = $node->psql('postgres', "BEGIN; INSERT INTO kept.threshold VALUES ('CHPG102', 'calls', 6000); $CALLS");
is($out, 5000, 'one that no rule has is ignored');
like($err, qr/WARNING:  unknown threshold "calls" of rule "CHPG102" in the history/, 'with a warning');

is($node->safe_psql('postgres', q{SELECT count(*) FROM chpg_rule r WHERE threshold IS NULL OR description = ''}), 0, 'rules have thresholds that are described');

# Windows that wait to be archived: old ones are a finding, and a purge leaves them for a while.
avoid_midnight();
$node->safe_psql('postgres', q{TRUNCATE chpg_threshold; SELECT planted.clear(); TRUNCATE kept.capture;
	INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, total_duration_us)
	SELECT 's', g, date_trunc('day', now()) - d * interval '1 day', planted.key(7, 'archived'), 1, 1 FROM (VALUES ('hour'), ('day')) g(g), (VALUES (20), (46), (80), (95)) d(d);
	INSERT INTO kept.capture (service_id, grain, window_start, window_end, status) SELECT 's', 'hour', now() - interval '1 day', now() - interval '23 hours', 'ok';
	SELECT planted.seal(now() - interval '90 days')});
my $WAITS = "SELECT level, symptom FROM chpg_findings(tstzrange(now() - interval '25 hours', now() - interval '20 hours'), history_only => true) WHERE rule_id = 'CHPG802'";
my $LEFT = q{SELECT string_agg(grain || extract(day FROM now() - window_start + interval '12 hours'), ' ' ORDER BY grain, window_start) FROM planted.pattern};
sub set { my (%value) = @_; return join ';', map { "UPDATE kept.setting SET value = '$value{$_}' WHERE name = '$_'" } sort keys %value }
is($node->safe_psql('postgres', "SELECT windows FROM kept.archive_state; $WAITS"), 2, 'without an archive, no window waits for it');
like($node->safe_psql('postgres', set(archive => 'on', keep_hour => '30 days', keep_day => '30 days') . "; $WAITS"),
	qr/^WARN\|the oldest one is 95 days old; after 90 days, windows are purged all the same$/, 'with one, the oldest that waits is a finding');
is($node->safe_psql('postgres', "SELECT chpg_history_purge(); $LEFT") =~ s/^sealed.*\n//mgr, 'day80 day46 day20 hour80 hour46 hour20', 'the purge takes only those that waited for long');
is($node->safe_psql('postgres', "SELECT planted.seal(now() - interval '50 days'); $WAITS") =~ s/^\n//r, 'WARN|the oldest one is 80 days old; after 90 days, windows are purged all the same', 'whether sealed or not');
my $given = $node->safe_psql('postgres', 'SELECT last_seal_id FROM kept.archive_state');
fails_with($node, 'SELECT chpg_history_archived(NULL)', '22004', qr/argument "through" must not be null/, 'no window to confirm');
fails_with($node, "SELECT chpg_history_archived($_)", '22023', qr/no window of the history has had seal_id $_\nDETAIL:  The greatest one is $given\./, "no window had number $_") for -1, $given + 1, '9223372036854775807';
fails_with($node, "BEGIN READ ONLY; SELECT chpg_history_archived($given)", '25006', qr/confirming an archive cannot run in a read-only transaction/, 'a read-only transaction');
$node->safe_psql('postgres', 'CREATE ROLE archivist LOGIN; GRANT EXECUTE ON FUNCTION chpg_history_archived TO archivist; GRANT USAGE ON SCHEMA kept TO archivist');
fails_with($node, "SET ROLE archivist; SELECT chpg_history_archived($given)", '42501', qr/permission denied for the history/, 'another role');
fails_with($node, 'BEGIN; ' . set(archive => $_) . '; SELECT chpg_history_purge()', '22023', qr/invalid value for setting "archive" of the history: "$_"\nDETAIL:  It must be on or off\./, "the setting cannot be $_") for 'yes', '1 day';
is($node->safe_psql('postgres', "SELECT chpg_history_archived($given), chpg_history_archived($given), chpg_history_archived($given - 1), chpg_history_archived(0); SELECT archived_seal_id, windows FROM kept.archive_state"),
	"2|0|0|0\n$given|0", 'windows are confirmed once, and never fewer');
is($node->safe_psql('postgres', $WAITS), 'WARN|the oldest one is 46 days old; after 90 days, windows are purged all the same', 'others still wait');
is($node->safe_psql('postgres', "INSERT INTO chpg_threshold VALUES ('CHPG802', 'age_ratio', 0.6); $WAITS; TRUNCATE chpg_threshold"), '', 'unless the threshold is higher');
is($node->safe_psql('postgres', "SELECT chpg_history_purge(); $LEFT") =~ s/^sealed.*\n//mgr, 'day46 day20 hour46 hour20', 'and stay, while those that are archived go');
is($node->safe_psql('postgres', set(archive => 'off') . "; $WAITS; SELECT chpg_history_purge(); $LEFT") =~ s/^sealed.*\n//mgr, 'day20 hour20', 'without an archive, all go in time');
$node->safe_psql('postgres', set(archive => 'on', keep_unarchived => '10 days') . '; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO archivist; REVOKE SELECT ON kept.archive FROM archivist');
is($node->safe_psql('postgres', $WAITS, extra_params => [ '-U', 'archivist' ]), 'SKIPPED|You may not read the table archive of the history.', 'a role that may not read the archive is told so');

done_testing();
