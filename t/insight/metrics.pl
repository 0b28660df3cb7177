# What metrics of the history show: storage that fills up, memory, connections, CPU, disks, deadlocks,
# lags and lock waits; and that a backup at night, a sawtooth or a load of data is none of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'jit = off', 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 3, patterns => 5);
$node->safe_psql('postgres', q{SELECT chpg_history_enable('kept')});

# A metric of a service, by an expression of "a": how many hours a point lies before the end of
# 2026-05-20 11:00, negative after it; points are five minutes apart and vary by a part of "noise"
# that depends on their place.
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA plant;
CREATE FUNCTION plant.service(id text, max_connections integer DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES (id, '-infinity', '2026-04-01Z', id);
	INSERT INTO kept.service_key (service_id) VALUES (id);
	INSERT INTO kept.capture SELECT id, 'hour', h, h + interval '1 hour', 'ok', 0, false, NULL, NULL, 1, h + interval '65 minutes'
	FROM generate_series(timestamptz '2026-05-19 12:00Z', '2026-05-20 12:00Z', '1 hour') h;
	INSERT INTO kept.limit_day (service_key, day, noted_at, settings_at, max_connections, settings)
	SELECT k.service_key, '2026-05-18Z', '2026-05-18Z', '2026-05-18Z', max_connections, '{}' FROM kept.service_key k
	WHERE k.service_id = id AND max_connections IS NOT NULL;
$$;
CREATE FUNCTION plant.metric(id text, metric text, series text, expression text, noise float8 DEFAULT 0.004, days integer DEFAULT 28,
	unit text DEFAULT '%') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO kept.metric_day
		SELECT k.service_key, d.day, $2, $3, $4, d.day, ''5 minutes'', ARRAY(
			SELECT greatest((%s) * (1 + $5 * ((hashint4(i + 7919 * extract(doy FROM d.day)::integer) %% 1000) / 1000.0)), 0)::real
			FROM generate_series(0, 287) i, LATERAL (SELECT extract(epoch FROM timestamptz ''2026-05-20 12:00Z'' - d.day) / 3600 - i / 12.0 AS a) p)
		FROM kept.service_key k, generate_series(date_trunc(''day'', timestamptz ''2026-05-21Z'') - $6 * interval ''1 day'', ''2026-05-20Z'', ''1 day'') d(day)
		WHERE k.service_id = $1', expression)
	USING id, metric, series, unit, noise, days;
END $$;
SQL

# service, max_connections, metric, series, expression, noise; and what should be found: rule, level, kind,
# and how many hours before 12:00 it began (null: it is not known)
my @CASES = (
	[ 'fills in weeks', undef, disk_usage => 'Used Space', '50 + (672 - a) / 24', 0.002, 'CHPG701 INFO risk' ],
	[ 'fills in days', undef, disk_usage => 'Used Space', '55 + greatest(144 - a, 0) / 24 * 4.4', 0.002, 'CHPG701 WARN risk', 144 ],
	[ 'fills in hours', undef, disk_usage => 'Used Space', '55 + greatest(5.4 - a, 0) * 3.2', 0.001, 'CHPG701 ERROR risk', 6 ],
	[ 'fills slowly since yesterday', undef, disk_usage => 'Used Space', '45 + greatest(14 - a, 0) * 0.4 + (1000 - a)::integer % 24 * 0.02', 0.0005, 'CHPG701 WARN risk', 14 ],
	[ 'is at 86 percent', undef, disk_usage => 'Used Space', '86 - CASE WHEN a > 60 THEN 8 ELSE 0 END', 0.001, 'CHPG701 WARN risk', 60 ],
	[ 'is at 96 percent', undef, disk_usage => 'Used Space', '96', 0.001, 'CHPG701 ERROR risk', undef ],
	[ 'is full', undef, disk_usage => 'Used Space', 'least(100, 105 - a)', 0, 'CHPG701 ERROR incident', 6 ],
	[ 'grows a little', undef, disk_usage => 'Used Space', '50 + (672 - a) / 24 * 0.2', 0.002 ],
	[ 'is a sawtooth of days', undef, disk_usage => 'Used Space', '50 + (1000 - a)::integer % 24 * 1.5', 0.002 ],
	[ 'is a sawtooth of weeks', undef, disk_usage => 'Used Space', '50 + (1000 - a)::integer % 168 * 0.18', 0.002 ],
	[ 'fills by a sixth each day', undef, disk_usage => 'Used Space', '30 + greatest(40 - a, 0) / 24 * 16.7', 0.002, 'CHPG701 WARN risk', 40 ],
	[ 'got a load of data', undef, disk_usage => 'Used Space', '50 + least(greatest(30 - a, 0), 6) * 2.5', 0.002 ],
	[ 'has temporary files', undef, disk_usage => 'Used Space', 'CASE WHEN a < 1 THEN 75 ELSE 50 END', 0.002 ],

	[ 'memory at 97', undef, memory_usage => 'Used Memory', 'CASE WHEN a < 3.6 THEN 97 ELSE 70 END', 0.005, 'CHPG702 WARN risk', 4 ],
	[ 'memory at 99', undef, memory_usage => 'Used Memory', 'CASE WHEN a < 3 THEN 99 ELSE 80 END', 0.001, 'CHPG702 ERROR risk', 3 ],
	[ 'memory grows', undef, memory_usage => 'Used Memory', '60 + greatest(5 - a, 0) * 4', 0.004, 'CHPG702 WARN risk', 5 ],
	[ 'memory at 97 for long', undef, memory_usage => 'Used Memory', 'CASE WHEN a < 400 THEN 97 ELSE 80 END', 0.005, 'CHPG702 INFO hygiene', 400 ],
	[ 'memory at 92', undef, memory_usage => 'Used Memory', '92', 0.01 ],
	[ 'memory at 97 for an hour', undef, memory_usage => 'Used Memory', 'CASE WHEN a < 1 THEN 97 ELSE 70 END', 0.005 ],
	[ 'memory at 96 each noon', undef, memory_usage => 'Used Memory', 'CASE WHEN a::integer % 24 <= 3 THEN 96.2 ELSE 70 END', 0.001, 'CHPG702 INFO hygiene', 4 ],
	[ 'other memory', undef, memory_usage => 'Cache & Buffers', '99', 0.001 ],

	[ 'connections at 87', 500, connection_count => 'Total', 'CASE WHEN a < 4 THEN 436 ELSE 200 END', 0.02, 'CHPG703 WARN risk', 4 ],
	[ 'connections at 97', 500, connection_count => 'Total', 'CASE WHEN a < 3 THEN 486 ELSE 200 END', 0.001, 'CHPG703 ERROR risk', 3 ],
	[ 'no connection left', 500, connection_count => 'Total', 'CASE WHEN a < 3 THEN 500 ELSE 200 END', 0, 'CHPG703 ERROR incident', 3 ],
	[ 'connections leak in hours', 500, connection_count => 'Total', '100 + greatest(4 - a, 0) * 45', 0.01, 'CHPG703 ERROR risk', 4 ],
	[ 'connections leak in a day', 500, connection_count => 'Total', '100 + greatest(10 - a, 0) * 17', 0.01, 'CHPG703 WARN risk', 10 ],
	[ 'connections rise for a busy day', 500, connection_count => 'Total', '100 + greatest(6 - a, 0) * 14', 0.01 ],
	[ 'connections at 85 each noon', 500, connection_count => 'Total', 'CASE WHEN a::integer % 24 <= 3 THEN 425 ELSE 100 END', 0.01, 'CHPG703 INFO hygiene', 4 ],
	[ 'connections follow the day', 500, connection_count => 'Total', '180 + 120 * cos(a * pi() / 12)', 0.03 ],
	[ 'thrice the connections', undef, connection_count => 'Total', 'CASE WHEN a < 3 THEN 300 ELSE 100 END', 0.02, 'CHPG703 WARN risk', 3 ],
	[ 'ever more connections', undef, connection_count => 'Total', '150 * (1 + greatest(240 - a, 0) / 24 * 0.07)', 0.01, 'CHPG703 WARN risk' ],
	[ 'connections of unknown limit', undef, connection_count => 'Total', '100 + 20 * cos(a * pi() / 12)', 0.02, 'CHPG703 SKIPPED risk' ],

	[ 'CPU at 95', undef, cpu_usage => 'user', 'CASE WHEN a < 3.3 THEN 95 ELSE 40 END', 0.01, 'CHPG704 WARN incident', 4 ],
	[ 'CPU at 99', undef, cpu_usage => 'user', 'CASE WHEN a < 3 THEN 99 ELSE 40 END', 0.001, 'CHPG704 ERROR incident', 3 ],
	[ 'CPU at 95 each noon', undef, cpu_usage => 'user', 'CASE WHEN a::integer % 24 <= 3 THEN 95 ELSE 40 END', 0.01 ],
	[ 'CPU at 95 each week', undef, cpu_usage => 'user', 'CASE WHEN a::integer % 168 <= 3 THEN 95 ELSE 40 END', 0.01 ],
	[ 'CPU is idle', undef, cpu_usage => 'idle', '97', 0.01 ],
	[ 'CPU is stolen', undef, cpu_usage => 'steal', 'CASE WHEN a < 3 THEN 20 ELSE 0.2 END', 0.05, 'CHPG710 WARN incident', 3 ],
	[ 'disks are slow', undef, cpu_usage => 'iowait', 'CASE WHEN a < 3 THEN 25 ELSE 3 END', 0.05, 'CHPG705 WARN incident', 3 ],
	[ 'disks are slow at backups', undef, cpu_usage => 'iowait', 'CASE WHEN a::integer % 24 <= 3 THEN 25 ELSE 3 END', 0.05 ],

	[ 'deadlocks', undef, deadlocks => '', 'CASE WHEN a < 4 THEN 0.002 ELSE 0 END', 0.5, 'CHPG707 WARN incident', 4 ],
	[ 'deadlocks an hour ago', undef, deadlocks => '', 'CASE WHEN a > 1 AND a < 3 THEN 0.004 ELSE 0 END', 0.5, 'CHPG707 WARN incident', 3 ],
	[ 'deadlocks two hours ago', undef, deadlocks => '', 'CASE WHEN a > 2 AND a < 3 THEN 0.9 ELSE 0 END', 0.5 ],
	[ 'few deadlocks, then many', undef, deadlocks => '', 'CASE WHEN a < 2 THEN 2 ELSE 0.0009 END', 0.1, 'CHPG707 WARN incident', 2 ],
	[ 'deadlocks as ever', undef, deadlocks => '', '0.002', 0.9 ],
	[ 'two deadlocks', undef, deadlocks => '', 'CASE WHEN a < 1 THEN 0.0005 ELSE 0 END', 0.1 ],
	[ 'a replica lags', undef, replay_lag => '', 'CASE WHEN a < 4 THEN 900 ELSE 2 END', 0.1, 'CHPG708 WARN risk', 4 ],
	[ 'locks', undef, wait_events => 'Lock:transactionid', 'CASE WHEN a < 4 THEN 8 ELSE 0.2 END', 0.2, 'CHPG709 WARN incident', 4 ],
	[ 'reads', undef, wait_events => 'IO:DataFileRead', 'CASE WHEN a < 4 THEN 8 ELSE 0.2 END', 0.2 ]);
for (@CASES)
{
	my ($service, $limit, $metric, $series, $expression, $noise) = @$_;
	my $unit = { connection_count => 'count', deadlocks => 'deadlocks/s', replay_lag => 's', wait_events => 'count' }->{$metric} // '%';

	$node->safe_psql('postgres', sprintf(q{SELECT plant.service('%s', %s); SELECT plant.metric('%1$s', '%s', '%s', $e$%s$e$, %s, unit => '%s')},
		$service, $limit // 'NULL', $metric, $series, $expression, $noise, $unit));
}

# Nothing but half a day is known, in which it is as it always is.
$node->safe_psql('postgres', q{SELECT plant.service('young', NULL), plant.metric('young', 'deadlocks', '', '0.002', 0.1, days => 1), plant.metric('young', 'connection_count', 'Total', '300', 0.1, days => 1)});

my $AT = q{tstzrange('2026-05-19 12:00Z', '2026-05-20 12:00Z')};
$node->safe_psql('postgres', "CREATE TABLE found AS SELECT f.* FROM chpg_findings($AT, history_only => true) f WHERE rule_id BETWEEN 'CHPG701' AND 'CHPG710'");
for (@CASES)
{
	my ($service, undef, $metric, undef, undef, undef, $expected, $hours) = @$_;
	my ($got, $since) = split /\|/, $node->safe_psql('postgres', "SELECT concat_ws(' ', rule_id, level, coalesce(kind, '')), extract(epoch FROM timestamptz '2026-05-20 12:00Z' - since) / 3600 FROM found WHERE service_id = '$service' AND symptom !~ '^The history has no points'");

	is($got // '', $expected // '', "$service: " . ($expected // 'nothing'));
	cmp_ok(abs($since - $hours), '<=', $hours >= 24 ? 26 : $hours >= 12 ? 2 : 1, "$service: began $hours hours before") if defined $hours && ($since // '') ne '';
	is($since // '', '', "$service: began before the history") if @$_ > 7 && !defined $hours;
}
is($node->safe_psql('postgres', q{SELECT string_agg(rule_id || ' ' || symptom, E'\n') FROM found WHERE service_id = 'young' AND level IN ('WARN', 'ERROR')}), '', 'what a history of half a day has had all the time is no alarm');
$node->safe_psql('postgres', q{SELECT plant.service('grows', NULL), plant.metric('grows', 'disk_usage', 'Used Space', '50 + (672 - a) / 24', 0.002, days => 8)});
is($node->safe_psql('postgres', "SELECT string_agg(level || ' ' || (since IS NULL), ', ') FROM chpg_findings(tstzrange('2026-05-19 ${_}Z', '2026-05-20 ${_}Z'), 'grows', history_only => true) WHERE rule_id = 'CHPG701'"), 'INFO true',
	"what has grown for as long as is known has no beginning, at $_") for '06:00', '12:00';
sub found { my ($what, $service) = @_; return $node->safe_psql('postgres', "SELECT $what FROM found WHERE service_id = '$service' AND symptom !~ '^The history has no points'") }
like(found('symptom', 'fills in days'), qr/^8\d\.\d % of the storage is in use; it grows by 4\.\d % a day, and is full about 2026-05-2\d \(2026-05-2\d to 2026-05-2\d\)$/, 'a symptom has the date, and how sure it is');
is(found(q{(evidence->>'full_at')::timestamptz BETWEEN '2026-05-23Z' AND '2026-05-25Z', (evidence->>'full_from')::timestamptz < (evidence->>'full_at')::timestamptz, (evidence->>'full_at')::timestamptz < (evidence->>'full_until')::timestamptz}, 'fills in days'), 't|t|t', 'which is right');
is(found('symptom', 'is full'), '100.0 % of the storage is in use', 'what is full grows no more');
is(found('round("before"), round("now"), unit, confidence', 'memory at 97'), '70|97|percent|high', 'before and now');
like(found('explanation', 'is at 86 percent'), qr/scales its storage at 90 percent/, 'the service helps itself');
is(found('symptom', 'locks'), '7.8 sessions wait for locks, at these hours usually 0.2', 'a metric of which only a part of the name is known');
like(found('symptom', 'a replica lags'), qr/^replay_lag is \d\d\.\d min$/, 'with its unit');
like(found('next', 'memory at 97'), qr/^SELECT .* public\.chpg_metrics\('2026-05-20 03:00Z', '2026-05-20 12:00Z', 'memory at 97', bucket => '5 minutes'\) WHERE metric = 'memory_usage'/, 'the statement to copy');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT rule_id) FILTER (WHERE symptom = 'The history has no points of the metric disk_usage of the last six hours of the period.'), count(*) FILTER (WHERE level = 'SKIPPED' AND service_id = 'is full' AND symptom ~ 'memory_usage|connection_count|deadlocks|cpu_usage') FROM found}), '1|6', 'what a service has no metric of is skipped');
is($node->safe_psql('postgres', "SELECT count(*), count(service_id) FROM _chpg_without_metric('{CHPG702}', _chpg_scope_of(NULL, $AT, NULL, NULL), 'a metric of none')"), '1|0', 'what no service has a metric of is skipped once');

# Thresholds change what is found.
sub judged { my ($service, $rule, $setup) = @_; $setup //= ''; return $node->safe_psql('postgres', "$setup SELECT concat_ws(' ', level, symptom) FROM chpg_findings($AT, '$service', history_only => true) WHERE rule_id = '$rule'") }
is($node->safe_psql('postgres', q{INSERT INTO chpg_threshold VALUES ('CHPG701', 'used_percent', 50), ('CHPG702', 'used_percent', 99.5), ('CHPG702', 'unusual_percent', 99.5)}) . judged('grows a little', 'CHPG701') =~ s/ .*//r, 'WARN', 'a lower threshold');
is(judged('memory at 97', 'CHPG702'), '', 'and a higher one');
$node->safe_psql('postgres', 'DELETE FROM chpg_threshold');

# A limit as it was on the last day that has one.
is(judged('connections follow the day', 'CHPG703', "INSERT INTO kept.limit_day (service_key, day, noted_at, settings_at, max_connections, settings) SELECT service_key, '2026-05-19Z', now(), now(), 305, '{}' FROM kept.service_key WHERE service_id = 'connections follow the day';") =~ s/ connections.*//r, 'ERROR 305 of 305', 'a limit that was lowered');
like(judged('connections follow the day', 'CHPG703', q{UPDATE kept.limit_day SET max_connections = NULL WHERE max_connections = 305;}), qr/^SKIPPED max_connections is unknown/, 'or reset');

# Hostile values: no error, and none of them is a finding.
$node->safe_psql('postgres', q{SELECT plant.service('hostile', 2147483647); SELECT plant.service('empty', 0)});
$node->safe_psql('postgres', "SELECT plant.metric('$_->[0]', '$_->[1]', 'Used Total user', '50')") for map { my $s = $_; map { [ $s, $_ ] } qw(disk_usage memory_usage connection_count cpu_usage deadlocks wait_events replay_lag) } qw(hostile empty);
my $hostile = q{UPDATE kept.metric_day m SET "values" = (SELECT array_agg(CASE WHEN i % 5 = 0 THEN %s ELSE v END) FROM unnest(m."values") WITH ORDINALITY u(v, i)) FROM kept.service_key k WHERE k.service_key = m.service_key AND k.service_id = 'hostile'};
for my $value (q{'NaN'::real}, q{'Infinity'::real}, q{'-Infinity'::real}, 'NULL', '3e38::real', '-3e38::real', '1e-38::real', '0::real')
{
	my ($status, undef, $err) = $node->psql('postgres', sprintf($hostile, $value) . "; SELECT count(*) FROM chpg_findings($AT, 'hostile', history_only => true)", on_error_stop => 1);
	is("$status $err", '0 ', "values of $value");
}
for my $change (q{"values" = '{}'}, q{step = '1 microsecond'}, q{step = '1 year'}, q{first_time = day - interval '10 years'}, q{unit = repeat('x', 1000)})
{
	my ($status, undef, $err) = $node->psql('postgres', "BEGIN; UPDATE kept.metric_day m SET $change FROM kept.service_key k WHERE k.service_key = m.service_key AND k.service_id = 'hostile'; SELECT count(*) FROM chpg_findings($AT, 'hostile', history_only => true)", on_error_stop => 1);
	is("$status $err", '0 ', "rows with $change");
}
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_findings($AT, 'empty', history_only => true) WHERE level = 'ERROR'"), 0, 'a limit of 0 is none');

# A role that may not read metrics is told so.
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA kept TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO reader; REVOKE SELECT ON kept.metric_day FROM reader');
is($node->safe_psql('postgres', "SELECT DISTINCT symptom FROM chpg_findings($AT, 'memory at 97', history_only => true) WHERE rule_id = 'CHPG702'", extra_params => [ '-U', 'reader' ]), 'You may not read the table metric_day of the history.', 'no right to read metrics');
$node->safe_psql('postgres', 'GRANT SELECT ON kept.metric_day TO reader; REVOKE SELECT ON kept.limit_day FROM reader');
like($node->safe_psql('postgres', "SELECT level, symptom FROM chpg_findings($AT, 'connections at 97', history_only => true) WHERE rule_id = 'CHPG703'", extra_params => [ '-U', 'reader' ]), qr/^WARN\|48\d connections, usually up to 20\d|^SKIPPED\|max_connections is unknown/, 'no right to read limits');

# A healthy service of eight weeks, watched at each fourth hour of four weeks: load that follows the day
# and the week, a backup at night, a job each Monday, a sawtooth, and noise.
$node->safe_psql('postgres', "SELECT plant.service('healthy $_', 400)") for 1 .. 3;
my $LOAD = '(1 + 0.4 * cos((a - %1$d) * pi() / 12)) * CASE WHEN (a / 24)::integer %% 7 < 2 THEN 0.6 ELSE 1 END * (1 + 0.1 * sin(a * a))';
my %HEALTHY = (
	'disk_usage.Used Space' => '40 + (1400 - a) / 24 * 0.2 + (2000 - a)::integer %% 24 * 0.1 + CASE WHEN a::integer %% 311 < 2 THEN 10 ELSE 0 END',
	'memory_usage.Used Memory' => "70 + 4 * $LOAD",
	'connection_count.Total' => "110 * $LOAD + CASE WHEN a::integer %% 173 = 0 THEN 100 ELSE 0 END",
	'cpu_usage.user' => "25 * $LOAD + CASE WHEN (a::integer + %1\$d) %% 24 < 2 THEN 60 ELSE 0 END + CASE WHEN a::integer %% 168 < 3 THEN 60 ELSE 0 END",
	'cpu_usage.iowait' => '2 + CASE WHEN (a::integer + %1$d) %% 24 < 2 THEN 25 ELSE 0 END',
	'deadlocks.' => '0.0002 * abs(sin(a * a)) + CASE WHEN a::integer %% 97 = 0 THEN 0.0006 ELSE 0 END');
for my $i (1 .. 3)
{
	for (sort keys %HEALTHY)
	{
		my ($metric, $series) = split /\./, $_, 2;
		$node->safe_psql('postgres', sprintf(q{SELECT plant.metric('healthy %s', '%s', '%s', $e$least(%s, 97)$e$, 0.05, 56)}, $i, $metric, $series // '', sprintf($HEALTHY{$_}, 5 * $i) =~ s/%%/%/gr));
	}
}
is($node->safe_psql('postgres', <<'SQL'), '', 'a healthy service is left alone');
SELECT string_agg(DISTINCT concat_ws(' ', f.rule_id, f.level, f.service_id, f.symptom), E'\n')
FROM generate_series(timestamptz '2026-04-23 00:00Z', '2026-05-20 12:00Z', '4 hours') at
CROSS JOIN LATERAL (
	SELECT ROW(NULL, NULL, NULL, tstzrange(at - interval '24 hours', at), '{healthy 1,healthy 2,healthy 3}'::text[], '{}'::_chpg_service_hours[],
		ARRAY[ROW('healthy 1', 24, NULL), ROW('healthy 2', 24, NULL), ROW('healthy 3', 24, NULL)]::_chpg_service_hours[])::_chpg_scope AS scope) s
CROSS JOIN LATERAL _chpg_call_metrics_rules(_chpg_thresholds(), s.scope, false) f
WHERE f.level IN ('WARN', 'ERROR')
SQL

# Captures keep limits and settings once a day, at the price that is announced.
avoid_midnight();
$node->safe_psql('postgres', 'TRUNCATE kept.service, kept.service_key, kept.capture, kept.metric_day, kept.limit_day');
settle($node, 'kept');
$node->safe_psql('postgres', q{UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill';
	SELECT chpg_patch_config('orders', pg_config => '{"max_connections": 321, "work_mem": "64MB", "ssl_passphrase_command": "echo secret"}')});
$node->safe_psql('postgres', 'CALL chpg_capture(max_windows => 0)');
is($node->safe_psql('postgres', q{SELECT count(*), count(settings_at), count(max_connections) FROM kept.limit_day}), '3|0|0', 'the list of services has size and version');
my $announced = $node->safe_psql('postgres', q{SELECT requests FROM chpg_history_cost() WHERE grain = 'hour'});
is($announced - $node->safe_psql('postgres', q{SELECT 3 * count(*) FROM chpg_history_due('hour')}), 3, 'a request for the settings of each service is announced');
costs($node, $url, q{CALL chpg_capture('hour')}, $announced + 1, 'a capture');
is($node->safe_psql('postgres', q{SELECT l.cpu_cores > 0, l.memory_bytes > 1e9, l.storage_bytes IS NULL OR l.storage_bytes > 1e9, l.max_connections, l.settings->>'postgres.work_mem', l.settings ? 'postgres.ssl_passphrase_command', l.settings::text ~ 'secret' FROM kept.limit_day l JOIN kept.service_key k USING (service_key) JOIN kept.service s USING (service_id) WHERE s.service_name = 'orders'}),
	't|t|t|321|64MB|t|f', 'notes limits and settings, and no secret of theirs');
$node->safe_psql('postgres', q{DELETE FROM kept.capture; CREATE TABLE was AS SELECT ctid AS place, * FROM kept.limit_day});
is($node->safe_psql('postgres', q{SELECT requests FROM chpg_history_cost() WHERE grain = 'hour'}), $announced - 3, 'on the same day they are not read again');
costs($node, $url, q{CALL chpg_capture('hour')}, $announced - 3 + 1, 'nor requested');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kept.limit_day l JOIN was w ON w.place = l.ctid AND w.service_key = l.service_key}), 3, 'nor written');
$node->safe_psql('postgres', q{DELETE FROM kept.capture; UPDATE kept.limit_day SET settings_at = settings_at - interval '1 day', day = day - interval '1 day', noted_at = noted_at - interval '1 day'});
fault($url, path => 'config$', status => 403);
costs($node, $url, q{CALL chpg_capture('hour')}, $announced + 1, 'a key that may not read settings fails no capture');
is($node->safe_psql('postgres', q{SELECT count(*), count(settings_at), count(settings) FROM kept.limit_day WHERE day > now() - interval '26 hours' AND noted_at > now() - interval '1 hour'}), '3|3|0', 'and is not asked again on that day');
clear_faults($url);
is($node->safe_psql('postgres', q{SELECT max_connections FROM _chpg_limits(ARRAY(SELECT service_id FROM kept.service WHERE service_name = 'orders'), now())}), 321, 'the settings of the day before are still known');
is($node->safe_psql('postgres', qq{SELECT string_agg(concat_ws(' ', size, m.cpu_cores, m.memory_bytes / 1073741824), ', ' ORDER BY size) FROM unnest('{r8gd.large,c6gd.xlarge,m6id.16xlarge,r6gd.medium,i7ie.3xlarge,c4-highmem-8-lssd,z1.enormous,r8gd.99999xlarge,"",x}'::text[]) size, _chpg_machine_of(size) m}),
	', c4-highmem-8-lssd 8 64, c6gd.xlarge 4 8, i7ie.3xlarge 12 96, m6id.16xlarge 64 256, r6gd.medium 1 8, r8gd.99999xlarge, r8gd.large 2 16, x, z1.enormous', 'sizes of known families have cores and memory');

# With the API, the present values count, and trends still come from the history.
my $orders = $node->safe_psql('postgres', q{SELECT service_id FROM kept.service WHERE service_name = 'orders'});
my $NOW = q{tstzrange(now() - interval '6 hours', now())};
fault($url, path => 'postgres/prometheus$', body => qq(PostgresServer_FilesystemUsedPercent{postgres_service="$orders",postgres_service_name="orders"} 60\nPostgresServer_ActiveConnections{postgres_service="$orders",postgres_service_name="orders",state="active"} 310\n));
$node->safe_psql('postgres', sprintf(q{SELECT chpg_cache_reset(); DELETE FROM kept.metric_day WHERE metric IN ('disk_usage', 'connection_count');
	INSERT INTO kept.metric_day SELECT k.service_key, d, 'disk_usage', 'Used Space', '%%', d, '1 hour', ARRAY(SELECT (60 - extract(epoch FROM date_trunc('hour', now()) - d - i * interval '1 hour') / 86400 * 5)::real FROM generate_series(0, 23) i WHERE d + i * interval '1 hour' < date_trunc('hour', now()))
	FROM kept.service_key k, generate_series(date_trunc('day', now()) - interval '8 days', now() - interval '1 hour', '1 day') d WHERE k.service_id = '%s'}, $orders));
like($node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', rule_id, level, symptom), E'\n' ORDER BY rule_id) FROM chpg_findings($NOW, '$orders') WHERE rule_id IN ('CHPG701', 'CHPG703')"),
	qr/^CHPG701 INFO 60\.0 % of the storage is in use; it grows by 5\.0 % a day, and is full about .*\nCHPG703 ERROR 310 of 321 connections$/, 'with the API');
clear_faults($url);

done_testing();
