# Every query of the dashboards, with Grafana's macros expanded as Grafana does, and
# Metabase's queries of tables, over a history.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'");

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 3, patterns => 30);
$node->safe_psql('postgres', q{SELECT chpg_history_enable('fleet_history'); UPDATE fleet_history.setting SET value = '5 hours' WHERE name = 'backfill'});
$node->safe_psql('postgres', 'CALL chpg_capture()');

# The sums that captures wrote are those of the patterns.
make_plantable($node, 'fleet_history');
my $sums = q{SELECT md5(string_agg(c::text, ' ' ORDER BY c::text)), count(*) > 10, sum(call_count) > 0 FROM fleet_history.capture c; SELECT md5(string_agg(d::text, ' ' ORDER BY d::text)), count(*) > 10 FROM fleet_history.day_sum d};
my $captured = $node->safe_psql('postgres', $sums);
is($node->safe_psql('postgres', "SELECT planted.sums(); $sums"), "\n$captured", 'captures write the sums of a window and of its day');
like($captured, qr/^\w+\|t\|t\n\w+\|t$/, 'which there are');

my $services = $node->safe_psql('postgres', q{SELECT string_agg(DISTINCT quote_literal(service_name), ',') FROM fleet_history.service_hour});
my ($service) = split /,/, $services;
my ($from, $long_ago, $to) = split /\|/, $node->safe_psql('postgres', q{SELECT to_char(now() - interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(now() - interval '26 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')});

sub expand
{
	my ($sql, $names, $from) = @_;

	$sql =~ s/\$__timeFilter\(([^)]+)\)/$1 BETWEEN '$from' AND '$to'/g;
	$sql =~ s/\$__timeFrom\(\)/'$from'/g;
	$sql =~ s/\$__timeTo\(\)/'$to'/g;
	$sql =~ s/\$\{service:sqlstring\}/$names/g;
	$sql =~ s/\$\{history\}/fleet_history/g;
	unlike($sql, qr/\$__|\$\{/, 'all macros are known');
	return $sql;
}

for my $name (qw(fleet service))
{
	my $dashboard = decode_json(slurp_file("$FindBin::RealBin/../../dashboards/$name.json"));
	is($dashboard->{__inputs}[0]{name}, 'DS', "$name: has a variable for the data source");
	for my $variable (grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} })
	{
		is($node->safe_psql('postgres', expand($variable->{query}, '', $from)), $node->safe_psql('postgres', 'SELECT name FROM chpg_services() ORDER BY 1'), "$name: variable $variable->{name}");
	}
	for my $panel (@{ $dashboard->{panels} })
	{
		my ($sql, $of_weeks) = map { expand($panel->{targets}[0]{rawSql}, $name eq 'fleet' ? $services : $service, $_) } $from, $long_ago;
		my $columns = $node->safe_psql('postgres', "$sql \\gdesc");
		my $rows = costs($node, $url, "SELECT count(*) FROM ($sql) panel", 0, "$name: $panel->{title} reads the history only");

		cmp_ok($rows, '>', 0, "$name: $panel->{title}") if $panel->{title} !~ /not captured/;
		cmp_ok(costs($node, $url, "SELECT count(*) FROM ($of_weeks) panel", 0, "$name: $panel->{title} of weeks"), '>', 0, 'has rows') if $rows > 0;
		next if $panel->{targets}[0]{format} ne 'time_series';
		like($columns, qr/^time\|timestamp with time zone/, "$name: $panel->{title} begins with time");
		unlike($columns, qr/\|(bigint|numeric)/, "$name: $panel->{title} has no numbers that Grafana rounds");
	}
}

# Panels of weeks read sums of days, which are those of the hours.
is($node->safe_psql('postgres', q{SELECT count(*) > 50, count(*) FILTER (WHERE (h.calls, h.errors, h.rows, h.max_us, h.lo, h.hi) IS DISTINCT FROM (d.calls, d.errors, d.rows, d.max_us, d.lo, d.hi) OR abs(h.us - d.us) > 1e-9 * h.us)
	FROM (SELECT service_name, query_hex, query, app, db_user, sum(call_count) AS calls, sum(error_count) AS errors, sum(total_rows) AS rows, sum(total_duration_us) AS us, max(max_duration_us) AS max_us, min(p95_duration_us) AS lo, max(p95_duration_us) AS hi FROM fleet_history.pattern_hour GROUP BY 1, 2, 3, 4, 5) h
	FULL JOIN (SELECT service_name, query_hex, query, app, db_user, sum(call_count) AS calls, sum(error_count) AS errors, sum(total_rows) AS rows, sum(total_duration_us) AS us, max(max_duration_us) AS max_us, min(p95_lo_us) AS lo, max(p95_hi_us) AS hi FROM fleet_history.pattern_daily GROUP BY 1, 2, 3, 4, 5) d USING (service_name, query_hex, query, app, db_user)}),
	't|0', 'pattern_daily has the sums of pattern_hour');
is($node->safe_psql('postgres', q{SELECT count(*) > 0, count(*) FILTER (WHERE h.errors IS DISTINCT FROM d.errors OR h.calls > d.calls) FROM (SELECT service_id, db_name, db_user, app, sum(error_count) AS errors, sum(call_count) AS calls FROM fleet_history.error_hour GROUP BY 1, 2, 3, 4) h
	FULL JOIN (SELECT service_id, db_name, db_user, app, sum(error_count) AS errors, sum(call_count) AS calls FROM fleet_history.error_daily GROUP BY 1, 2, 3, 4) d USING (service_id, db_name, db_user, app)}),
	't|0', 'error_daily has the errors of error_hour');

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
is("@timeless", 'archive_service archive_state finding finding_history incident', 'views begin with time, but for those of an archive, and of findings');
is(request_count($url), 0, 'views send no request');

done_testing();
