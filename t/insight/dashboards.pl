# Every query of the dashboards, with Grafana's macros expanded as Grafana does, and
# Metabase's queries of tables, over a history.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use CPAN::Meta::YAML;
use ChpgTest;
use ChpgTest::Grafana;
use JSON::PP;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'");

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 3, patterns => 30);
$node->safe_psql('postgres', q{SELECT chpg_history_enable('fleet_history'); UPDATE fleet_history.setting SET value = '6 hours' WHERE name = 'backfill'});
settle($node, 'fleet_history');
$node->safe_psql('postgres', 'CALL chpg_capture()');

# The sums that captures wrote are those of the patterns.
make_plantable($node, 'fleet_history');
my $sums = q{SELECT md5(string_agg(c::text, ' ' ORDER BY c::text)), count(*) > 10, sum(call_count) > 0 FROM fleet_history.capture c; SELECT md5(string_agg(d::text, ' ' ORDER BY d::text)), count(*) > 10 FROM fleet_history.day_sum d};
my $captured = $node->safe_psql('postgres', $sums);
is($node->safe_psql('postgres', "SELECT planted.sums(); $sums"), "\n$captured", 'captures write the sums of a window and of its day');
like($captured, qr/^\w+\|t\|t\n\w+\|t$/, 'which there are');

# Panels of weeks read sums of days, which are those of the hours.
is($node->safe_psql('postgres', q{SELECT count(*) > 50, count(*) FILTER (WHERE (h.calls, h.errors, h.rows, h.max_us, h.lo, h.hi) IS DISTINCT FROM (d.calls, d.errors, d.rows, d.max_us, d.lo, d.hi) OR abs(h.us - d.us) > 1e-9 * h.us)
	FROM (SELECT service_name, query_hex, query, app, db_user, sum(call_count) AS calls, sum(error_count) AS errors, sum(total_rows) AS rows, sum(total_duration_us) AS us, max(max_duration_us) AS max_us, min(p95_duration_us) AS lo, max(p95_duration_us) AS hi FROM fleet_history.pattern_hour GROUP BY 1, 2, 3, 4, 5) h
	FULL JOIN (SELECT service_name, query_hex, query, app, db_user, sum(call_count) AS calls, sum(error_count) AS errors, sum(total_rows) AS rows, sum(total_duration_us) AS us, max(max_duration_us) AS max_us, min(p95_lo_us) AS lo, max(p95_hi_us) AS hi FROM fleet_history.pattern_daily GROUP BY 1, 2, 3, 4, 5) d USING (service_name, query_hex, query, app, db_user)}),
	't|0', 'pattern_daily has the sums of pattern_hour');
is($node->safe_psql('postgres', q{SELECT count(*) > 0, count(*) FILTER (WHERE h.errors IS DISTINCT FROM d.errors OR h.calls > d.calls) FROM (SELECT service_id, db_name, db_user, app, sum(error_count) AS errors, sum(call_count) AS calls FROM fleet_history.error_hour GROUP BY 1, 2, 3, 4) h
	FULL JOIN (SELECT service_id, db_name, db_user, app, sum(error_count) AS errors, sum(call_count) AS calls FROM fleet_history.error_daily GROUP BY 1, 2, 3, 4) d USING (service_id, db_name, db_user, app)}),
	't|0', 'error_daily has the errors of error_hour');

# ---- A history of some weeks, and its log

# The same hours three, ten and twenty days before; the older ones are sealed.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO fleet_history.capture
SELECT (jsonb_populate_record(c, jsonb_build_object('window_start', c.window_start - d, 'window_end', c.window_end - d))).*
FROM fleet_history.capture c, unnest('{3 days,10 days,20 days}'::interval[]) d WHERE c.grain = 'hour';
INSERT INTO planted.pattern
SELECT (jsonb_populate_record(p, jsonb_build_object('window_start', p.window_start - d))).*
FROM planted.pattern p, unnest('{3 days,10 days,20 days}'::interval[]) d WHERE p.grain = 'hour';
INSERT INTO fleet_history.metric_day
SELECT (jsonb_populate_record(m, jsonb_build_object('day', m.day - d, 'first_time', m.first_time - d))).*
FROM fleet_history.metric_day m, unnest('{3 days,10 days,20 days}'::interval[]) d;
SELECT planted.seal(now() - interval '8 days');
UPDATE fleet_history.limit_day SET max_connections = 200, cpu_cores = 4;
SQL

my ($service, $other_service, $pattern, $query_id) = split /\|/, $node->safe_psql('postgres', q{SELECT p.service_id, (SELECT max(k.service_id) FROM fleet_history.service_key k WHERE k.service_id <> p.service_id), p.query_hex, p.query_id FROM fleet_history.pattern_daily p GROUP BY 1, 2, 3, 4 ORDER BY sum(p.total_duration_us) DESC LIMIT 1});

# Two patterns whose texts are the same for the first 120 characters, and which take most time
my $text = 'SELECT ' . join(', ', map { "column_$_" } 1 .. 30);
my ($twin, $second_twin) = map { sprintf '%016x', $_ } 1001, 1002;
$node->safe_psql('postgres', "INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, error_count, total_duration_us)
	SELECT '$service', 'hour', c.window_start, planted.key(1000 + n, '$text FROM t' || n), 10, 0, 4e12 FROM fleet_history.capture c, generate_series(1, 2) n WHERE c.service_id = '$service' AND c.grain = 'hour'");

# Findings: an incident that is open and about the pattern, one that was resolved, a muted one, full storage, and an opportunity
sub log_finding
{
	my (%f) = @_;
	my %row = (finding_key => $f{key}, missed => 0, state => 'ongoing', kind => 'incident', level => 'WARN', rule_id => 'CHPG501', service_id => $service, service_name => 'orders', incident_id => "incident of $f{key}",
		is_root => JSON::PP::true, muted => JSON::PP::false, %{ $f{row} // {} });
	$row{worst_level} = $row{noted_level} = $row{level};
	$row{finding} = { title => "Title of $f{key}", symptom => 'symptom', subject => 'subject', action => 'action', next => 'SELECT 1', urgency => 3, impact_us => 1e6, evidence => {}, %{ $f{finding} // {} } };
	my $json = JSON::PP->new->canonical->encode(\%row) =~ s/'/''/gr;
	return $node->safe_psql('postgres', "INSERT INTO fleet_history.finding_log SELECT (jsonb_populate_record(NULL::fleet_history.finding_log,
		'$json'::jsonb || jsonb_build_object('opened_at', now() - interval '$f{ago}', 'since', now() - interval '$f{ago}', 'last_seen_at', now() - interval '1 hour'" . ($f{resolved} ? ", 'resolved_at', now() - interval '$f{resolved}'" : '') . '))).*');
}

log_finding(key => 'slower', ago => '4 hours', row => { state => 'new', level => 'ERROR' }, finding => { evidence => { query_id => $query_id } });
log_finding(key => 'over', ago => '6 days', resolved => '5 days', row => { state => 'resolved' });
log_finding(key => 'muted', ago => '5 hours', row => { muted => JSON::PP::true });
log_finding(key => 'storage', ago => '3 hours', row => { kind => 'risk', rule_id => 'CHPG701' }, finding => { now => 88.5, evidence => { full_at => '2100-06-01 10:00:00+00' } });
log_finding(key => 'member', ago => '3 hours', row => { incident_id => 'incident of slower', is_root => JSON::PP::false });
log_finding(key => 'scan', ago => '2 days', row => { kind => 'opportunity', level => 'INFO', incident_id => undef, rule_id => 'CHPG101' }, finding => { urgency => 5 });

# ---- The queries, as Grafana sends them, by a role that reads the history only

my ($to, %from) = split /\|/, $node->safe_psql('postgres', q{SELECT to_char(now(), f), 1, to_char(now() - interval '1 day', f), 7, to_char(now() - interval '7 days', f), 30, to_char(now() - interval '30 days', f) FROM (VALUES ('YYYY-MM-DD"T"HH24:MI:SS"Z"')) v(f)});

sub make_reader
{
	my ($database, $schema) = @_;
	return $node->safe_psql($database, "GRANT USAGE ON SCHEMA $schema TO grafana; GRANT SELECT ON ALL TABLES IN SCHEMA $schema TO grafana");
}

$node->safe_psql('postgres', 'CREATE ROLE grafana LOGIN; ALTER ROLE grafana SET default_transaction_read_only = on');
make_reader('postgres', 'fleet_history');

sub as_reader
{
	my ($database, $sql) = @_;
	my ($status, $out, $err) = $node->psql($database, "SET client_min_messages = warning; $sql", extra_params => [ '-U', 'grafana' ]);
	return ($out, $err);
}

sub variables_for
{
	my ($dashboard, $days, $database, %chosen) = @_;
	return variables($dashboard, sub { my ($out, $err) = as_reader($database, $_[0]); is($err, '', "$dashboard->{title}: a variable") or diag($_[0]); return $out }, $from{$days}, $to, %chosen);
}

# What each query returns over so many days: a hash of its columns by their types, rows, and whether time and labels
# are unique
sub results
{
	my ($dashboard, $values, $days, $database) = @_;
	my (%results, %described);

	my @queries = (panel_queries($dashboard), other_queries($dashboard));
	my @expanded = map { expand($_->{sql}, $values, $from{$days}, $to) } @queries;
	my ($columns, $failed) = as_reader($database, join '', map { "\\echo #$_\n$expanded[$_] \\gdesc\n" } 0 .. $#queries);
	is($failed, '', "$dashboard->{title}: all queries can be parsed");
	my $current;
	for my $line (split /\n/, $columns)
	{
		if ($line =~ /^#(\d+)$/) { $current = $1 }
		else { my ($column, $type) = split /\|/, $line; push @{ $described{$current} }, [ $column, $type ] }
	}
	my $script = '';
	for my $i (0 .. $#queries)
	{
		my @labels = map { qq{"$_->[0]"} } grep { $_->[1] =~ /^(?:text|timestamp with time zone)$/ } @{ $described{$i} // [] };
		my $unique = @labels ? 'count(DISTINCT (' . join(', ', @labels) . '))' : 'count(*)';
		my $text = $expanded[$i];
		$script .= "SELECT $i, count(*), $unique, md5(coalesce(string_agg(q::text, ',' ORDER BY q::text), '')) FROM ($text\n) q;\n";
	}
	my ($counted, $errors) = as_reader($database, $script);
	is($errors, '', "$dashboard->{title}: all queries of $days days run");
	for my $line (split /\n/, $counted)
	{
		my ($i, $rows, $unique, $sum) = split /\|/, $line;
		$results{ $queries[$i]{name} } = { query => $queries[$i], columns => $described{$i}, rows => $rows, unique => $unique, sum => $sum };
	}
	is(scalar keys %results, scalar @queries, "$dashboard->{title}: results of $days days, by name");
	return \%results;
}

# What may have no rows in some range
my $MAY_BE_EMPTY = qr/^(?:Windows that are missing|Incidents: |Time of an execution B$)/;

clear_journal($url);
my %chosen = (fleet => {}, service => { service => [$service] }, pattern => { service => [$service], query => [$pattern] });
my (%results, %dashboards);
for my $name (dashboard_names())
{
	my $dashboard = $dashboards{$name} = read_dashboard($name);
	for my $days (1, 7, 30)
	{
		my $values = variables_for($dashboard, $days, 'postgres', %{ $chosen{$name} });
		is("@{ $values->{history} } @{ $values->{chpg} } @{ $values->{grain} }", 'fleet_history public ' . ($days > 8 ? 'day' : 'hour'), "$name: finds the history, and the grain of $days days");
		is(scalar @{ $values->{service} }, $name eq 'fleet' ? 3 : 1, "$name: services");
		my $found = $results{$name}{$days} = results($dashboard, $values, $days, 'postgres');
		for my $title (sort grep { !/$MAY_BE_EMPTY/ } keys %$found)
		{
			cmp_ok($found->{$title}{rows}, '>', 0, "$name: $title has rows of $days days");
		}
		for my $result (grep { $_->{query}{format} eq 'time_series' } values %$found)
		{
			is($result->{unique}, $result->{rows}, "$name: $result->{query}{name} has a point for each time and series");
		}
	}
}

# Sums of rows by hours are those of days.
for my $case ([ 'fleet', 'Errors in each ${grain}', 'sum(value)', 'SELECT sum(error_count) FROM fleet_history.service_hour' ],
	[ 'fleet', 'WAL in each ${grain}', 'sum(value)', 'SELECT sum(total_wal_bytes) FROM fleet_history.service_hour' ],
	[ 'fleet', 'Errors by application', 'sum(errors)', 'SELECT sum(error_count) FROM fleet_history.error_hour' ],
	[ 'service', 'Errors in each ${grain}', 'sum(value)', "SELECT sum(error_count) FROM fleet_history.service_hour WHERE service_id = '$service'" ],
	[ 'service', 'Patterns that take most time', 'max(busy)', q{SELECT max(busy) FROM (SELECT sum(total_duration_us) / 1e6 AS busy FROM fleet_history.pattern_hour WHERE "time" >= '$from' GROUP BY service_id, query_id, db_name, db_user, app) p} ],
	[ 'pattern', 'Executions in each ${grain}', 'sum(executions)', "SELECT sum(call_count) FROM fleet_history.pattern_hour WHERE service_id = '$service' AND query_hex = '$pattern'" ])
{
	my ($name, $title, $sum, $expected) = @$case;
	for my $days (7, 30)
	{
		my $query = $results{$name}{$days}{$title}{query}{sql};
		my $values = variables_for($dashboards{$name}, $days, 'postgres', %{ $chosen{$name} });
		my $in_range = $expected =~ /"time"/ ? $expected =~ s/\$from/$from{$days}/r : $expected . ($expected =~ /WHERE/ ? ' AND' : ' WHERE') . " \"time\" >= '$from{$days}'";
		my ($out) = as_reader('postgres', "SELECT abs(a - b) <= 1e-6 * b, b > 0 FROM (SELECT $sum FROM (" . expand($query, $values, $from{$days}, $to) . ") q) x(a), ($in_range) y(b)");
		is($out, 't|t', "$name: $title of $days days has all of it");
	}
}

# Patterns are told apart by their ids, also if what is shown of their texts is the same.
for my $days (7, 30)
{
	my $values = variables_for($dashboards{service}, $days, 'postgres', service => [$service]);
	for my $title ('Database load by pattern', 'Patterns that take most time')
	{
		my $query = expand($results{service}{$days}{$title}{query}{sql}, $values, $from{$days}, $to);
		is((as_reader('postgres', "SELECT count(DISTINCT query_hex), count(DISTINCT left(query, 60)) FROM ($query) q WHERE query_hex IN ('$twin', '$second_twin')"))[0], '2|1', "$title of $days days: two patterns with one beginning");
	}
	my $load = expand($results{service}{$days}{'Database load by pattern'}{query}{sql}, $values, $from{$days}, $to);
	is((as_reader('postgres', "SELECT count(DISTINCT query_hex) <= 9, count(*) FILTER (WHERE query_hex = 'other') > 0 FROM ($load) q"))[0], 't|t', 'eight patterns and the others');
}

# What the log has
sub rows_of
{
	my ($name, $title, $columns, %more) = @_;
	my $days = $more{days} // 7;
	my $values = variables_for($dashboards{$name}, $days, $more{database} // 'postgres', %{ $more{chosen} // $chosen{$name} });
	return (as_reader($more{database} // 'postgres', "SELECT $columns FROM (" . expand($results{$name}{$days}{$title}{query}{sql}, $values, $from{$days}, $to) . ') q'))[0];
}

# What is usual of a pattern
$node->safe_psql('postgres', "INSERT INTO fleet_history.score_hour
	SELECT (jsonb_populate_record(NULL::fleet_history.score_hour, r.row || jsonb_build_object('service_key', k.service_key, 'window_start', date_trunc('hour', now(), 'UTC') - interval '2 hours',
		'scored_at', now(), 'common', 0, 'patterns', 2, 'pattern_key', ARRAY[planted.key(1001, '$text FROM t1'), planted.key(1002, '$text FROM t2')], 'call_count', '{10,20}'::real[], 'expected_avg_us', '{3000,4000}'::real[]))).*
	FROM fleet_history.service_key k, (SELECT jsonb_object_agg(a.attname, '[null,null]'::jsonb) AS row FROM pg_attribute a WHERE a.attrelid = 'fleet_history.score_hour'::regclass AND a.attnum > 0 AND a.attndims > 0) r
	WHERE k.service_id = '$service'");
is(rows_of('pattern', 'Time of an execution B', '"usual mean"', chosen => { service => [$service], query => [$twin] }), '3', 'the usual mean of an hour');

is(rows_of('fleet', 'Open incidents', '*'), '1|1', 'an ERROR and a WARN are open; muted ones and members of others are left out');
is(rows_of('fleet', 'Open incidents', '*', chosen => { service => [$other_service] }), '0|0', 'none of another service');
is(rows_of('fleet', 'In this range', '*'), '3|0|1', 'three were new in a week, and one was resolved');
is(rows_of('fleet', 'In this range', '*', days => 1), '2|0|0', 'two in a day');
is(rows_of('fleet', 'Worst storage', q{service ~ ', full on 2100-06-01$', used_percent > 0}), 't|t', 'the storage that fills up first, with its date');
is(rows_of('fleet', 'Captures', '"services behind", "last hour ended" BETWEEN 0 AND 7300'), '0|t', 'no service is behind');
is(rows_of('fleet', 'Findings', "string_agg(level || ' ' || state || ' ' || finding, ', ')"), 'ERROR new Title of slower, WARN ongoing Title of storage, WARN resolved Title of over', 'findings: open ones first, then resolved ones');
is(rows_of('fleet', 'Findings', "string_agg(finding, ', ')", days => 1), 'Title of slower, Title of storage', 'of the range');
is(rows_of('fleet', 'Findings', "string_agg(finding, ', ')", chosen => { level => [ 'ERROR', 'INFO' ] }), 'Title of slower, Title of scan', 'and of the chosen levels');
is(rows_of('pattern', 'Findings about this pattern', 'finding, query_hex'), "Title of slower|$pattern", 'findings of a pattern');
is(rows_of('fleet', 'Incidents: ERROR', q{text, tags, "time" < timeend}), 'orders: Title of slower: symptom|ERROR,new,CHPG501|t', 'an incident is an annotation');
is(rows_of('fleet', 'Services', "count(*) FILTER (WHERE worst = 'ERROR'), count(*)"), '1|3', 'services with their worst finding');
is(rows_of('service', 'On average in this range', '*', chosen => { service => [ $service, $other_service ] }), rows_of('service', 'On average in this range', '*'), 'of several services, the first is shown');
is(rows_of('pattern', 'In this range', 'executions', chosen => { service => [$service], query => [''] }), '', 'no pattern is chosen: nothing, and no error');
is(rows_of('pattern', 'Query', 'count(*)', chosen => { service => [$service], query => ["'; x"] }), '0', 'text of a visitor is no SQL');
is(rows_of('fleet', 'Services', 'count(*)', chosen => { service => ["' OR ''='"] }), '0', 'nor is the id of a service');

# Captures that stopped
$node->safe_psql('postgres', "UPDATE fleet_history.capture SET status = 'error', error = 'X' WHERE service_id = '$service' AND grain = 'hour'");
is(rows_of('fleet', 'Captures', '"services behind"'), '1', 'a service whose captures fail is behind');
cmp_ok(rows_of('fleet', 'Windows that are missing or cut', 'count(*)'), '>', 0, 'its hours are listed');

# ---- Rules for alerts

my ($alerting) = map { CPAN::Meta::YAML->read("$FindBin::RealBin/../../dashboards/provisioning/$_/chpg.yaml") } qw(alerting);
my %rules = map { $_->{uid} => $_ } @{ $alerting->[0]{groups}[0]{rules} };
is(join(' ', sort keys %rules), 'chpg-captures chpg-incident chpg-self chpg-storage', 'rules for incidents, storage, captures, and chpg itself');
sub alert { my ($uid, $columns) = @_; return (as_reader('postgres', "SELECT $columns FROM (" . $rules{$uid}{data}[0]{model}{rawSql} . ') q'))[0] }
is(alert('chpg-incident', '*'), "orders|ERROR|Title of slower|incident of slower|$service|1", 'an open incident alerts');
$node->safe_psql('postgres', "UPDATE fleet_history.finding_log SET level = 'WARN' WHERE incident_id = 'incident of slower'");
is(alert('chpg-incident', 'level'), 'ERROR', 'as the same one while its level falls');
is(alert('chpg-storage', '*'), "orders|WARN|$service|88.5", 'so does storage, by itself');
is(alert('chpg-captures', '*'), '1', 'and captures that fail');
$node->safe_psql('postgres', "UPDATE fleet_history.capture SET error = 'Not read: the service is \"stopped\". X' WHERE status = 'error'");
is(alert('chpg-captures', '*') . rows_of('fleet', 'Captures', '"services behind"'), '00', 'but not those of a service that does not run');
$node->safe_psql('postgres', q{SELECT chpg_create_webhook('a', 'json', 'https://x.example/'); DELETE FROM fleet_history.watch_state; INSERT INTO fleet_history.watch_state (watched_at, as_of) VALUES (now() - interval '4 hours', now()); INSERT INTO fleet_history.alert_delivery (alert_id, webhook, state, attempts, next_try) VALUES (1, 'a', 'dead', 12, now())});
is(alert('chpg-self', q{string_agg(problem || ' ' || found, ', ' ORDER BY problem)}), 'no watch for three hours 1, there are dead letters 1', 'and watches that stopped, or dead letters, each by itself');
for my $uid (sort keys %rules)
{
	my ($query, $threshold) = @{ $rules{$uid}{data} };
	my ($described) = as_reader('postgres', "$query->{model}{rawSql} \\gdesc");
	is(scalar(grep { /\|double precision$/ } split /\n/, $described), 1, "$uid: one number");
	is(scalar(grep { !/\|(?:double precision|text)$/ } split /\n/, $described), 0, "$uid: all else are labels");
	is("$rules{$uid}{condition} $threshold->{refId} $threshold->{model}{expression} $query->{refId}", 'B B A A', "$uid: the condition is a threshold of the query");
	is("$query->{datasourceUid} $query->{model}{datasource}{uid}", 'chpg-history chpg-history', "$uid: its data source is the provisioned one");
	my ($panel) = grep { $_->{id} == $rules{$uid}{panelId} } all_panels($dashboards{fleet});
	like($panel->{title}, { 'chpg-incident' => qr/^Findings$/, 'chpg-storage' => qr/^Worst storage$/, 'chpg-captures' => qr/^Captures$/, 'chpg-self' => qr/^Captures$/ }->{$uid}, "$uid: its panel");
}
my $source = CPAN::Meta::YAML->read("$FindBin::RealBin/../../dashboards/provisioning/datasources/chpg.yaml")->[0]{datasources}[0];
is("$source->{uid} $source->{type}", "chpg-history $dashboards{fleet}{__requires}[1]{id}", 'the data source is of the plugin that the dashboards require');

# ---- An empty history

$node->safe_psql('postgres', 'CREATE DATABASE empty');
$node->safe_psql('empty', q{CREATE EXTENSION chpg; SELECT chpg_history_enable('nothing')});
make_reader('empty', 'nothing');
for my $name (dashboard_names())
{
	my $values = variables_for($dashboards{$name}, 7, 'empty');
	my $found = results($dashboards{$name}, $values, 7, 'empty');
	is(join(', ', sort grep { $found->{$_}{rows} > 0 && !/^(?:Open incidents|In this range|Captures|On average)/ } keys %$found), '', "$name: an empty history has no rows, and no error");
	$values->{grain} = ['day'];
	results($dashboards{$name}, $values, 30, 'empty');
}
is(request_count($url), 0, 'dashboards and rules send no request');

# ---- What Grafana makes of them

my $plugin = 'grafana-postgresql-datasource';
my %variables_of = map { my $name = $_; ($name => { map { $_->{name} => $_ } @{ $dashboards{$name}{templating}{list} } }) } dashboard_names();

sub links_of { my ($panel) = @_; return map { @{ $_ // [] } } $panel->{fieldConfig}{defaults}{links}, map { map { $_->{id} eq 'links' ? $_->{value} : () } @{ $_->{properties} } } @{ $panel->{fieldConfig}{overrides} } }

for my $name (dashboard_names())
{
	my $dashboard = $dashboards{$name};
	my @panels = all_panels($dashboard);
	my (%taken, @overlapping, %ids);

	is_deeply([ map { "$_->{type} $_->{id}" } @{ $dashboard->{__requires} } ], [ 'grafana grafana', "datasource $plugin", 'panel stat', 'panel table', 'panel timeseries' ], "$name: says what it requires");
	is($variables_of{$name}{datasource}{query}, $plugin, "$name: the data source is a variable");
	is(scalar(grep { $_->{datasource}{uid} ne '${datasource}' || $_->{datasource}{type} ne $plugin } @panels, (map { @{ $_->{targets} } } @panels), (grep { $_->{type} eq 'query' } values %{ $variables_of{$name} }), @{ $dashboard->{annotations}{list} }), 0, "$name: all queries use it");
	for my $panel (@panels)
	{
		my $at = $panel->{gridPos};
		for my $x ($at->{x} .. $at->{x} + $at->{w} - 1) { for my $y ($at->{y} .. $at->{y} + $at->{h} - 1) { push @overlapping, $panel->{title} if $x > 23 || $taken{"$x $y"}++ } }
		$ids{ $panel->{id} }++;
	}
	is("@overlapping", '', "$name: panels lie side by side");
	is(scalar keys %ids, scalar @panels, "$name: each panel has an id of its own");

	for my $result (values %{ $results{$name}{7} })
	{
		my ($panel, $title, $columns) = ($result->{query}{panel}, "$name: $result->{query}{name}", $result->{columns});
		my %type = map { @$_ } @$columns;
		is(join(' ', grep { $type{$_} =~ /^(?:bigint|numeric|interval|json)/ } sort keys %type), '', "$title: no type that Grafana rounds or cannot show");
		next if !$panel;
		if ($result->{query}{format} eq 'time_series')
		{
			is("@{ $columns->[0] }", 'time timestamp with time zone', "$title: begins with time");
			like($result->{query}{sql}, qr/ORDER BY 1/, "$title: in the order of time");
		}
		my $defaults = $panel->{fieldConfig}{defaults};
		if ($panel->{type} eq 'timeseries')
		{
			ok(defined $defaults->{unit} && defined $defaults->{decimals}, "$title: unit and decimals");
			is($panel->{options}{legend}{displayMode}, 'table', "$title: the legend is a table");
		}
		else
		{
			my %set = map { $_->{matcher}{options} => { map { $_->{id} => 1 } @{ $_->{properties} } } } @{ $panel->{fieldConfig}{overrides} };
			is(join(' ', grep { $type{$_} eq 'double precision' && $_ ne 'attempts' && !defined $defaults->{decimals} && !$set{$_}{decimals} } sort keys %type), '', "$title: numbers have decimals");
			is(join(' ', grep { !$type{$_} && !(/^service$/ && !$type{service}) } sort keys %set), '', "$title: sets columns that it has");
		}
		my @names = map { my $text = $_; $text =~ /\$\{__(?:data\.fields|field\.labels)\.(\w+)\}/g } $defaults->{displayName} // '', map { $_->{url} } links_of($panel);
		my %of_panel = map { map { $_->[0] => 1 } @{ $_->{columns} } } grep { $_->{query}{panel} && $_->{query}{panel}{id} == $panel->{id} } values %{ $results{$name}{7} };
		is(join(' ', grep { !$of_panel{$_} } @names), '', "$title: links and names use columns that it has");
		for my $link (links_of($panel))
		{
			my ($target) = $link->{url} =~ m{^/d/chpg-(\w+)/};
			ok($dashboards{ $target // '' }, "$title: links to a dashboard");
			is(join(' ', grep { !$variables_of{$target}{$_} } $link->{url} =~ /[?&]var-(\w+)=/g), '', "$title: with variables of it");
			like($link->{url}, qr/\$\{datasource:queryparam\}.*\$\{__url_time_range\}/, "$title: keeps the data source and the range");
		}
	}
	is_deeply([ map { [ $_->{keepTime}, $_->{includeVars} ] } @{ $dashboard->{links} } ], [ map { [ JSON::PP::true, JSON::PP::true ] } @{ $dashboard->{links} } ], "$name: links to other dashboards keep range and variables");
}
my ($log_axis) = grep { $_->{title} eq 'Time of an execution' } all_panels($dashboards{service});
is($log_axis->{fieldConfig}{defaults}{custom}{scaleDistribution}{type}, 'log', 'durations have a logarithmic axis');
is(system($^X, "$FindBin::RealBin/../../dev/dashboards", '--check'), 0, 'the files are what dev/dashboards writes');

# Conditions on service and time reach the indexes of open and of sealed windows.
for my $case ([ 'pattern_hour', 'open_hour', 'sealed_hour_' ], [ 'pattern_daily', 'day_sum' ], [ 'error_daily', 'day_sum' ])
{
	my ($view, @tables) = @$case;
	for my $query ("SELECT * FROM fleet_history.$view", "SELECT \"time\", sum(call_count) FROM fleet_history.$view")
	{
		my $grouped = $query =~ /sum/ ? ' GROUP BY 1' : '';
		my $plan = $node->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN (COSTS off) $query WHERE \"time\" >= '2026-01-01 00:00Z' AND service_name = 'orders'$grouped");
		like($plan, qr/ $_.*\n.*Index Cond: .*service_key = sk\w*\.service_key.*(?:window_start|time)"? >= '2026-01-01/, "$view finds the rows of a service and a time in $_ by an index$grouped") for @tables;
	}
}

# Metabase's queries when it scans a table, and when it shows it
clear_journal($url);
my @timeless;
for my $view (split /\n/, $node->safe_psql('postgres', q{SELECT relname FROM pg_class WHERE relnamespace = 'fleet_history'::regnamespace AND relkind = 'v' ORDER BY 1}))
{
	my @columns = split /\n/, $node->safe_psql('postgres', "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'fleet_history.$view'::regclass AND attnum > 0");
	my ($status, undef, $error) = $node->psql('postgres', join ';',
		"SELECT * FROM fleet_history.$view LIMIT 10000", "SELECT * FROM fleet_history.$view WHERE 1 = 0",
		(map { "SELECT date_trunc('day', $_), count(*) FROM fleet_history.$view GROUP BY 1 ORDER BY 1" } grep { $_ eq '"time"' } @columns),
		map { "SELECT count(DISTINCT $_) FROM fleet_history.$view" } @columns);
	push @timeless, $view if $columns[0] ne '"time"';
	is($status, 0, "$view in Metabase's queries") or diag($error);
}
is("@timeless", 'archive_service archive_state dead_letter finding finding_history incident', 'views begin with time, but for those of an archive, and of findings');
is(request_count($url), 0, 'views send no request');

done_testing();
