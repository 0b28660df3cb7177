# What people write at first: each form of a call works, or fails with a message whose first
# line says what to do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $url = start_emulator();
my $node = start_node('main', 'chpg.cache_ttl = 0');

$node->safe_psql('postgres', connect_sql($url));

my $HOUR = q{interval '1 hour'};

# Calls that work, and what they cost
for my $call (
	# two times
	[ "chpg_slow_patterns(now() - $HOUR, now(), 'orders')", 2 ],
	[ "chpg_slow_patterns(now() - $HOUR, now())", 7 ],
	[ "chpg_slow_patterns(now() - $HOUR, service => 'orders')", 2 ],
	[ "chpg_slow_patterns(from_date => now() - $HOUR, to_date => now(), service => 'orders')", 2 ],
	[ "chpg_slow_patterns(current_date - 1, current_date, 'orders')", 2 ],
	[ q{chpg_slow_patterns('yesterday', 'today', 'orders')}, 2 ],
	[ q{chpg_slow_patterns('yesterday', now(), 'orders')}, 2 ],
	[ "chpg_slow_patterns(now() - $HOUR, 'now', 'orders')", 2 ],
	[ "chpg_slow_patterns(now() - $HOUR, NULL, 'orders')", 2 ],
	[ "chpg_slow_patterns(current_date, 'tomorrow', service => 'orders')", 2 ],
	[ "chpg_metrics(now() - $HOUR, 'now', 'orders', '1 hour')", 2 ],
	[ "chpg_metrics(now() - $HOUR, now(), 'orders', '1 hour')", 2 ],
	[ "chpg_logs(now() - $HOUR, 'now', 'orders', 'ERROR')", 2 ],
	[ "chpg_slow_patterns(now() - $HOUR, 'now', 'orders', 'sales', max_rows => 3, server => 'chpg')", 2 ],
	[ "chpg_findings(now() - $HOUR, 'now', 'orders', history_only => false)", 6 ],
	[ "chpg_top(now() - $HOUR, 'now', 'orders', 'p99', 3)", 2 ],
	[ q{chpg_slow_patterns('yesterday', service => 'orders')}, 2 ],
	[ q{chpg_metrics('yesterday', 'today', 'orders', '1 hour')}, 2 ],
	[ q{chpg_logs('yesterday', 'today', 'orders', 'ERROR')}, 2 ],
	[ "chpg_top(now() - interval '2 hours', now() - $HOUR, 'orders')", 2 ],
	[ "chpg_top(now() - $HOUR, service => 'orders', n => 3)", 2 ],
	[ "chpg_top(current_date, current_timestamp, 'orders', 'p99')", 2 ],
	[ "chpg_findings(now() - interval '2 hours', now() - $HOUR, 'orders')", 6 ],
	[ "chpg_compare(now() - $HOUR, now(), 'orders')", 4 ],
	[ "chpg_top(now() - $HOUR, 'now', 'orders')", 2 ],
	[ "chpg_findings(now() - $HOUR, 'now', 'orders')", 6 ],
	[ "chpg_compare(now() - $HOUR, NULL, 'orders')", 4 ],
	[ "chpg_report(now() - $HOUR, now())", 0 ],
	[ "chpg_report(now() - $HOUR, 'now')", 0 ],
	[ "chpg_report_text(now() - $HOUR)", 0 ],
	# an interval until now
	[ 'chpg_slow_patterns()', 7 ],
	[ 'chpg_activity()', 0 ],
	[ 'chpg_activity', 0 ],
	[ "chpg_slow_patterns($HOUR)", 7 ],
	[ q{chpg_slow_patterns('1 hour')}, 7 ],
	[ q{chpg_slow_patterns('1 hour', 'orders')}, 2 ],
	[ q{chpg_slow_patterns('PT1H', 'orders')}, 2 ],
	[ "chpg_slow_patterns($HOUR, 'orders', 'sales')", 2 ],
	[ q{chpg_slow_patterns('1 hour', 'orders', db_name => 'sales', max_rows => 3)}, 2 ],
	[ q{chpg_slow_patterns(service => 'orders')}, 2 ],
	[ q{chpg_slow_patterns(period => '90 minutes', service => 'orders')}, 2 ],
	[ q{chpg_metrics('1 hour', 'orders', bucket => '5 minutes')}, 2 ],
	# A line at the very end of the window is not within it: it costs the request for another.
	[ q{chpg_logs('1 day', 'orders', severity => 'error', max_rows => 10)}, 3 ],
	[ "chpg_findings($HOUR, 'orders')", 6 ],
	[ q{chpg_findings('yesterday', 'today', 'orders')}, 6 ],
	[ q{chpg_findings(service => 'orders')}, 6 ],
	[ 'chpg_findings()', 14 ],
	[ q{chpg_top('1 hour', 'orders', 'p99', 5)}, 2 ],
	[ q{chpg_top(order_by => 'avg_duration_us')}, 7 ],
	[ q{chpg_top('[yesterday, today)', 'orders')}, 2 ],
	[ "chpg_top(tstzrange(now() - $HOUR, now()), 'orders')", 2 ],
	[ q{chpg_top('yesterday', 'today')}, 7 ],
	[ q{chpg_top('yesterday', 'today', 'orders')}, 2 ],
	[ q{chpg_top('yesterday', 'today', 'p99')}, 7 ],
	[ q{chpg_compare(service => 'orders')}, 4 ],
	[ q{chpg_compare('1 week', 'orders')}, 4 ],
	[ q{chpg_compare('yesterday', 'today', 'orders')}, 4 ],
	[ q{chpg_compare('[yesterday, today)', 'orders')}, 4 ],
	[ 'chpg_compare()', 14 ],
	[ q{chpg_compare('1 hour', 'orders')}, 4 ],
	[ q{chpg_compare('1 hour', '1 day', 'orders')}, 4 ],
	[ q{chpg_notifications('Critical')}, 1 ],
	# a range
	[ q{chpg_slow_patterns('[yesterday, today)', 'orders')}, 2 ],
	[ q{chpg_slow_patterns('[yesterday,)', service => 'orders')}, 2 ],
	[ "chpg_slow_patterns(tstzrange(now() - $HOUR, now()), 'orders')", 2 ],
	[ "chpg_slow_patterns(during => tstzrange(now() - $HOUR, now()), service => 'orders')", 2 ],
	[ "chpg_findings(tstzrange(now() - $HOUR, now()), 'orders')", 6 ])
{
	my ($what, $requests) = @$call;

	clear_journal($url);
	is($node->psql('postgres', "SELECT count(*) FROM $what"), 0, $what);
	cmp_ok(request_count($url), '<=', $requests, "$what: $requests requests at most");
}

# Two texts that are times are the period of a report, too, as a range is; none of them is a service.
for my $function ('chpg_report', 'chpg_report_text')
{
	my $range = "$function(tstzrange('2026-11-20', '2026-11-29'))";

	is(sql("SELECT $function('2026-11-20', '2026-11-29') = $range"), 't', "$function of two times");
	is(sql("SELECT $function('2026-11-20', '2026-11-28') = $range"), 'f', 'of which the second is the end');
}

# What a period is compared with, if no call says it
my $BASELINE = q{SET TimeZone = 'Europe/Berlin'; SELECT _chpg_period_before(tstzrange('2026-11-20 00:00', '%s'), NULL)};
for my $case (
	[ '2026-11-20 01:00', '["2026-11-19 00:00:00+01","2026-11-19 01:00:00+01")', 'an hour: that of the day before' ],
	[ '2026-11-21 00:00', '["2026-11-19 00:00:00+01","2026-11-20 00:00:00+01")', 'a day: the day before' ],
	[ '2026-11-27 00:00', '["2026-11-13 00:00:00+01","2026-11-20 00:00:00+01")', 'a week: the week before' ],
	[ '2026-11-22 12:00', '["2026-11-17 00:00:00+01","2026-11-19 12:00:00+01")', 'two days and a half: that of three days before' ])
{
	is(sql(sprintf $BASELINE, $case->[0]), $case->[1], "the baseline of $case->[2]");
}
is(sql(q{SET TimeZone = 'Europe/Berlin'; SELECT _chpg_period_before(tstzrange('2026-10-25', '2026-10-26'), NULL)}),
	'["2026-10-24 00:00:00+02","2026-10-25 00:00:00+02")', 'of a day with 25 hours: the day before');

# Two times are one period for all functions, and a comparison says with which one it compares that.
my (undef, undef, $compared) = $node->psql('postgres', q{SET TimeZone = 'UTC'; SELECT count(*) FROM chpg_compare('2026-11-20', '2026-11-22', 'orders')});
like($compared, qr/NOTICE:  comparing the period from 2026-11-20 00:00:00\+00 to 2026-11-22 00:00:00\+00 with that from 2026-11-18 00:00:00\+00 to 2026-11-20 00:00:00\+00$/m, 'two times: the periods are named');
is(sql(q{SET TimeZone = 'UTC'; SELECT _chpg_compared(NULL, NULL, NULL, '{"[2026-11-20,2026-11-21)","[2026-11-21,2026-11-22)"}')}),
	sql(q{SET TimeZone = 'UTC'; SELECT (tstzrange('2026-11-20', '2026-11-21'), tstzrange('2026-11-21', '2026-11-22'), NULL::text)}), 'two ranges: the baseline and the period');
for my $call (q{baseline => '[2026-11-20,2026-11-21)', period => '[2026-11-21,2026-11-22)'}, q{period => '[2026-11-21,2026-11-22)'}, q{period => '2026-11-21', to_date => '2026-11-22'}, q{period => '1 hour', ago => '1 day'}, q{period => '1 hour'})
{
	is($node->psql('postgres', "SELECT count(*) FROM chpg_compare($call, service => 'orders')"), 0, "named arguments: $call");
}

# Parameters without a type, as node-postgres and JDBC send them
for my $values (q{'yesterday', 'today', 'orders'}, q{'1 hour', 'orders', NULL}, q{'[yesterday,today)', 'orders', NULL},
	q{'2026-06-01T00:00:00.000Z', '2026-06-02 00:00:00+02', NULL})
{
	is($node->psql('postgres', "PREPARE q AS SELECT count(*) FROM chpg_slow_patterns(\$1, \$2, \$3); EXECUTE q($values)"), 0, "parameters $values");
}
is(sql("PREPARE q AS SELECT count(*) > 0 FROM chpg_metrics(\$1, \$2, \$3, \$4); EXECUTE q('yesterday', 'today', 'orders', '1 hour')"), 't', 'four parameters');

# Windows that end with a full minute share a response.
clear_journal($url);
sql(q{SET chpg.cache_ttl = '10min'; SELECT FROM chpg_slow_patterns('2 hours', 'orders'); SELECT count(*) FROM (SELECT * FROM chpg_slow_patterns(interval '2 hours', 'orders') LIMIT 1000) c; SELECT FROM chpg_slow_patterns(period => '120 min', service => 'orders')});
my @windows = map { "$_->{query}{from_date} $_->{query}{to_date}" } grep { $_->{path} =~ /slowQueryPatterns/ } @{ journal($url)->{requests} };
cmp_ok(scalar @windows, '<=', 2, 'calls of one interval share a response, within a minute');
like($windows[0], qr/\A\S+:00\.000Z \S+:00\.000Z\z/, 'of full minutes');

# Mistakes: the first line of the message names the remedy
for my $mistake (
	[ q{chpg_slow_patterns('orders')}, q{"orders" is neither a time nor a period: give a service as service => 'orders'} ],
	[ q{chpg_slow_patterns('orders', '1 hour')}, q{"orders" is neither a time nor a period: give the period before the service} ],
	[ q{chpg_slow_patterns('orders', 'yesterday', 'today')}, q{"orders" is neither a time nor a period: give the period before the service} ],
	[ q{chpg_slow_patterns('yesterday', 'orders')}, q{"orders" is not a time: give a service as service => 'orders'} ],
	[ q{chpg_slow_patterns('yesterday', '1 hour')}, q{"1 hour" is not a time: give the end as to_date => ..., or a range} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', 'sales')}, q{"service" is given twice, as "orders" and as "sales": name the argument after it, such as db_name => 'sales'} ],
	[ q{chpg_logs('1 hour', 'orders', 'ERROR')}, q{"service" is given twice, as "orders" and as "ERROR": name the argument after it, such as severity => 'ERROR'} ],
	[ q{chpg_metrics('1 hour', 'orders', '5m')}, q{"service" is given twice, as "orders" and as "5m": name the argument after it, such as bucket => '5m'} ],
	[ q{chpg_metrics('1 hour', 'orders', 'cpu')}, q{"service" is given twice, as "orders" and as "cpu": name the arguments after it} ],
	[ q{chpg_slow_patterns('1 hour', 'today')}, q{the period "1 hour" ends now, or is a range: "today" cannot be its end} ],
	[ q{chpg_slow_patterns('-1 hour', 'orders')}, q{invalid value for "period": "-01:00:00" is not a positive interval: did you mean "01:00:00"?} ],
	[ q{chpg_slow_patterns('1 hour ago')}, q{invalid value for "period": "-01:00:00" is not a positive interval: did you mean "01:00:00"?} ],
	[ q{chpg_slow_patterns(interval '0')}, q{invalid value for "period": "00:00:00" is not a positive interval} ],
	[ q{chpg_slow_patterns('last hour')}, q{"last hour" is neither a time nor a period: did you mean "1 hour"?} ],
	[ q{chpg_slow_patterns('the last 24 hours', 'orders')}, q{"the last 24 hours" is neither a time nor a period: did you mean "24 hours"?} ],
	[ q{chpg_slow_patterns('an hour ago', 'now')}, q{"an hour ago" is neither a time nor a period: did you mean "1 hour"?} ],
	[ q{chpg_slow_patterns('now-1h', 'now')}, q{"now-1h" is neither a time nor a period: give an interval such as '1 hour', a range, or a time} ],
	[ q{chpg_slow_patterns('1 houre', 'orders')}, q{"1 houre" is neither a time nor a period: give an interval such as '1 hour', a range, or a time} ],
	[ q{chpg_slow_patterns('last ', 'orders')}, q{"last " is neither a time nor a period: give a service as service => 'last '} ],
	[ q{chpg_slow_patterns('24', 'orders')}, q{"24" has no unit: did you mean "24 hours"?} ],
	[ q{chpg_top('+24')}, q{"+24" has no unit: did you mean "+24 hours"?} ],
	[ q{chpg_mute('CHPG500:["a"]', 'acepted_risk')}, q{invalid value for "reason": "acepted_risk": give false_positive, accepted_risk or wont_fix} ],
	[ q{chpg_top('24')}, q{"24" has no unit: did you mean "24 hours"?} ],
	[ q{chpg_slow_patterns('hour')}, q{"hour" is neither a time nor a period: did you mean "1 hour"?} ],
	[ q{chpg_slow_patterns('today', 'yesterday', 'orders')}, q{/\Awindow from \S+ to \S+ is empty: give the start before the end\z/} ],
	[ q{chpg_slow_patterns('empty', 'orders')}, q{invalid value for "during": the range is empty} ],
	[ q{chpg_slow_patterns('(,today)', 'orders')}, q{invalid value for "during": the range has no start} ],
	[ q{chpg_slow_patterns('2026-13-01', 'orders')}, q{date/time field value out of range: "2026-13-01"} ],
	[ q{chpg_slow_patterns('2026-13-01')}, q{date/time field value out of range: "2026-13-01"} ],
	[ q{chpg_slow_patterns(NULL, 'orders')}, q{argument "from_date" must not be null} ],
	[ q{chpg_slow_patterns(NULL::interval)}, q{argument "period" must not be null} ],
	[ q{chpg_slow_patterns('1 hour', 'order')}, q{service "order" does not exist: did you mean "orders"?} ],
	[ q{chpg_slow_patterns('1 hour', 'Orders')}, q{service "Orders" does not exist: did you mean "orders"?} ],
	[ q{chpg_slow_patterns('1 hour', '"orders"')}, q{service ""orders"" does not exist: did you mean "orders"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', sort_by => 'calls_count')}, q{invalid value for "sort_by": "calls_count": did you mean "call_count"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', sort_by => 'time')}, q{invalid value for "sort_by": "time": did you mean "total_duration_us"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', sort_by => 'Mean')}, q{invalid value for "sort_by": "Mean": did you mean "avg_duration_us"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', sort_by => 'duration')}, q{invalid value for "sort_by": "duration": did you mean "total_duration_us"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', sort_by => 'P99')}, q{invalid value for "sort_by": "P99": did you mean "p99_duration_us"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', server => 'cphg')}, q{server "cphg" does not exist: did you mean "chpg"?} ],
	[ q{chpg_fleet('orders')}, q{server "orders" does not exist: give a server such as "chpg", not a service} ],
	[ q{chpg_config('orders', 'work_mem')}, q{server "work_mem" does not exist: give a server such as "chpg", not a service} ],
	[ q{chpg_notifications('1 day')}, q{invalid value for "severity": "1 day": give info, warning or critical, or a time as "since"} ],
	[ q{chpg_notifications('CRIT')}, q{invalid value for "severity": "CRIT": did you mean "critical"?} ],
	[ q{chpg_notifications(severity => 'error')}, q{invalid value for "severity": "error": give info, warning or critical, or a time as "since"} ],
	[ q{chpg_slow_patterns('1 hour', 'orders, billing')}, q{service "orders, billing" does not exist: give one service, or null for all} ],
	[ q{chpg_slow_patterns('1 hour', '{orders}')}, q{service "{orders}" does not exist: did you mean "orders"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders-prod')}, q{service "orders-prod" does not exist: did you mean "orders"?} ],
	[ q{chpg_slow_patterns('1 hour', 'lytics')}, q{service "lytics" does not exist: did you mean "analytics"?} ],
	[ q{chpg_service('bilings')}, q{service "bilings" does not exist: did you mean "billing"?} ],
	[ q{chpg_top(order_by => 'tiem')}, q{invalid value for "order_by": "tiem": did you mean "time"?} ],
	[ q{chpg_top(order_by => 'total')}, q{invalid value for "order_by": "total": did you mean "time"?} ],
	[ q{chpg_top(order_by => 'Latency')}, q{invalid value for "order_by": "Latency": did you mean "mean"?} ],
	[ q{chpg_top(order_by => 'cost')}, q{invalid value for "order_by": "cost": give time, calls, mean, p99 or errors} ],
	[ q{chpg_top('1 hour', 'sesions')}, q{service "sesions" does not exist: did you mean "sessions"?} ],
	[ q{chpg_top('orders')}, q{"orders" is neither a time nor a period: give a service as service => 'orders'} ],
	[ q{chpg_top('yesterday', 'today', 'ordres')}, q{service "ordres" does not exist: did you mean "orders"?} ],
	[ q{chpg_top('')}, q{"" is neither a time nor a period: give an interval such as '1 hour', a range, or a time} ],
	[ q{chpg_top(NULL)}, q{argument "period" must not be null} ],
	[ q{chpg_top('1 hour', 'orders', n => 0)}, q{invalid value for "n": 0: give 1 to 10000 patterns} ],
	[ q{chpg_bi_create('bi', logs => '{order}')}, q{service "order" does not exist: did you mean "orders"?} ],
	[ q{chpg_top('1 hour', 'today')}, q{the period "1 hour" ends now, or is a range: "today" cannot be its end} ],
	[ q{chpg_findings('orders')}, q{"orders" is neither a time nor a period: give a service as service => 'orders'} ],
	[ q{chpg_findings('1 hour', 'ordres')}, q{service "ordres" does not exist: did you mean "orders"?} ],
	[ q{chpg_findings('1 hour', 'orders', 'chpg')}, q{"service" is given twice, as "orders" and as "chpg": name the arguments after it} ],
	[ q{chpg_findings('today', 'yesterday')}, q{period from today to yesterday is empty: give the start before the end} ],
	[ q{chpg_findings('last week')}, q{"last week" is neither a time nor a period: did you mean "1 week"?} ],
	[ q{chpg_findings('1 day', 'today', 'orders')}, q{the period "1 day" ends now, or is a range: "today" cannot be its end} ],
	[ q{chpg_compare('1 hour ago', 'orders')}, q{invalid value for "period": "-01:00:00" is not a positive interval: did you mean "01:00:00"?} ],
	[ q{chpg_findings('yesterday', '1 hour')}, q{"1 hour" is not a time: give two times, or a range} ],
	[ q{chpg_findings(NULL)}, q{argument "period" must not be null} ],
	[ q{chpg_period_patterns(tstzrange(now() - interval '1 hour', now()), 'ordres')}, q{service "ordres" does not exist: did you mean "orders"?} ],
	[ q{chpg_period_patterns('empty')}, q{invalid value for "period": "empty"} ],
	[ q{chpg_period_patterns(NULL)}, q{argument "period" must not be null} ],
	[ q{chpg_report('2026-11-20', 'orders')}, q{"orders" is not a time: give a service as service => 'orders'} ],
	[ q{chpg_report('1 day', 'today')}, q{the period "1 day" ends now, or is a range: "today" cannot be its end} ],
	[ q{chpg_report_text('orders', '1 day')}, q{"orders" is neither a time nor a period: give the period before the service} ],
	[ q{chpg_compare('1 hour', 'ordres')}, q{service "ordres" does not exist: did you mean "orders"?} ],
	[ q{chpg_compare('orders', '1 hour')}, q{"orders" is neither a time nor a period: give the period before the service} ],
	[ q{chpg_compare(NULL)}, q{argument "period" must not be null} ],
	[ q{chpg_compare(baseline => 'yesterday', period => 'today')}, q{malformed range literal: "yesterday"} ],
	[ q{chpg_compare('1 hour', '1 minute', 'orders')}, q{invalid value for "ago": "00:01:00" is shorter than the period "01:00:00"} ],
	[ q{chpg_metrics('1 hour', 'nowhere')}, q{service "nowhere" does not exist} ],
	# settings of a service
	[ q{chpg_patch_config('orders', '{"work_mme": "8MB"}')}, q{/: the API rejects setting "work_mme": did you mean "work_mem"\?\z/} ],
	[ q{chpg_patch_config('orders', '{"Work_Mem": "8MB"}')}, q{/: the API rejects setting "Work_Mem": did you mean "work_mem"\?\z/} ],
	[ q{chpg_patch_config('orders', '{"\"work_mem\"": "8MB"}')}, q{/: the API rejects setting ""work_mem"": did you mean "work_mem"\?\z/} ],
	[ q{chpg_patch_config('orders', '{"work_mem": "8MB", "autovacuum_workmem": "8MB"}')}, q{/: the API rejects setting "autovacuum_workmem": did you mean "autovacuum_work_mem"\?\z/} ],
	[ q{chpg_patch_config('orders', '{"work_mem": "much"}')}, q{/: the API rejects setting "work_mem"\z/} ],
	[ q{chpg_patch_config('orders', '{"nothing_like_it": 1}')}, q{/: the API rejects setting "nothing_like_it"\z/} ],
	[ q{chpg_replace_config('orders', '{"max_conections": 9}', '{}')}, q{/: the API rejects setting "max_conections": did you mean "max_connections"\?\z/} ],
	[ q{chpg_create_service('new', 'aws', 'us-east-1', 'c6gd.large', pg_config => '{"shared_bufers": "1GB"}')}, q{could not create a service: the API rejects setting "shared_bufers": did you mean "shared_buffers"?} ],
	# a time, and a text
	[ "chpg_slow_patterns(now() - $HOUR, 'orders')", q{"orders" is not a time: give a service as service => 'orders'} ],
	[ "chpg_slow_patterns(now() - $HOUR, 'orders', 'sales')", q{"orders" is not a time: give a service as service => 'orders'} ],
	(map { [ "$_(now() - $HOUR, 'orders')", q{"orders" is not a time: give a service as service => 'orders'} ] } qw(chpg_top chpg_findings chpg_compare chpg_report chpg_report_text)),
	[ "chpg_top(now(), now() - $HOUR)", q{/\Aperiod from .* to .* is empty: give the start before the end\z/} ],
	(map { [ "$_(now(), now())", q{/\Aperiod from .* to .* is empty: give the start before the end\z/} ] } qw(chpg_findings chpg_compare chpg_report)),
	[ "chpg_top(timestamptz '1960-01-01', '1950-01-01')", q{/\Aperiod from 1960-01-01 .* to 1950-01-01 .* is empty: give the start before the end\z/} ],
	(map { [ "$_((SELECT NULL::timestamptz))", q{argument "from_date" must not be null} ] } qw(chpg_top chpg_findings chpg_compare chpg_report chpg_report_text)),
	[ "chpg_logs(now() - $HOUR, '1 hour')", q{"1 hour" is not a time: give the end as to_date => ..., or a range} ],
	[ "chpg_metrics(now() - $HOUR, 'orders')", q{"orders" is not a time: give a service as service => 'orders'} ],
	# by PostgreSQL itself
	[ q{chpg_slow_patterns(services => 'orders')}, q{function chpg_slow_patterns(services => unknown) does not exist} ])
{
	my ($what, $expected) = @$mistake;
	my (undef, undef, $err) = $node->psql('postgres', "SELECT count(*) FROM $what");
	my ($primary) = $err =~ /ERROR:  (.*)/;

	if ($expected =~ m{\A/(.*)/\z}) { like($primary, qr/$1/, $what) }
	else { is($primary, $expected, $what) }
	my ($context) = $err =~ /^CONTEXT:  (.*)/ms;
	ok(!defined $context || $context !~ /\bSELECT\b|:=/ && ($context =~ tr/\n//) <= 3, "$what: at most three lines of CONTEXT, without internal SQL")
	  or diag($context);
}

# Nor does internal SQL show where the server is not for the caller.
sql('CREATE ROLE stranger');
for my $call (qw(chpg_compare chpg_findings chpg_period_patterns))
{
	my $err = ($node->psql('postgres', "SET ROLE stranger; SELECT count(*) FROM $call('[yesterday,today)', server => 'chpg')"))[2];

	like($err, qr/ERROR:  permission denied for foreign server chpg$/m, "$call of a stranger");
	unlike($err, qr/CONTEXT:.*(?:_chpg_|SELECT)/s, 'without internal functions');
}

# A word that an argument does not have costs no request.
my $SORT = "chpg_slow_patterns('1 hour', 'orders', sort_by => 'call_count'";
my $LOGS = "chpg_logs('1 hour', 'orders'";
for my $case (
	[ "$LOGS, severity => 'warn')", q{invalid value for "severity": "warn": did you mean "WARNING"?} ],
	[ "$LOGS, severity => 'errors')", q{invalid value for "severity": "errors": did you mean "ERROR"?} ],
	[ "$LOGS, severity => 'critical')", q{invalid value for "severity": "critical": give DEBUG, LOG, INFO, NOTICE, WARNING, ERROR, FATAL or PANIC} ],
	[ "$LOGS, severity => '')", q{invalid value for "severity": "": give DEBUG, LOG, INFO, NOTICE, WARNING, ERROR, FATAL or PANIC} ],
	[ "$SORT, sort_order => 'down')", q{invalid value for "sort_order": "down": give asc or desc} ],
	[ "$SORT, sort_order => 'descending')", q{invalid value for "sort_order": "descending": did you mean "desc"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', sort_by => 'latency')}, q{invalid value for "sort_by": "latency": did you mean "avg_duration_us"?} ],
	[ q{chpg_slow_patterns('1 hour', 'orders', sort_by => 'weight')}, q{/\Ainvalid value for "sort_by": "weight": give total_duration_us, avg_duration_us, [\w, ]+ or total_wal_bytes\z/} ],
	[ q{chpg_metrics('1 hour', 'orders', bucket => '1 month')}, q{/\Ainvalid value for "bucket": "[^"]+": give 1 second to 31 days, without months\z/} ])
{
	my ($what, $expected) = @$case;

	clear_journal($url);
	my ($primary) = ($node->psql('postgres', "SELECT count(*) FROM $what"))[2] =~ /ERROR:  (.*)/;
	like($primary, $expected =~ m{\A/(.*)/\z} ? qr/$1/ : qr/\A\Q$expected\E\z/, $what);
	is(request_count($url), 0, "$what: no request");
}
is($node->psql('postgres', "SELECT count(*) FROM $LOGS, severity => 'Warning')"), 0, 'a severity in any case');

# A statement in a HINT can be run.
my (undef, undef, $err) = $node->psql('postgres', q{SELECT count(*) FROM chpg_logs('orders', '1 hour')});
my ($hint) = $err =~ /HINT:  Run: (.*)/;
is($hint, q{SELECT * FROM chpg_logs('1 hour', 'orders');}, 'a hint has the call that was meant');
is($node->psql('postgres', $hint), 0, 'which works');
(undef, undef, $err) = $node->psql('postgres', "SELECT count(*) FROM chpg_logs(now() - $HOUR, 'orders')");
($hint) = $err =~ /HINT:  Run: (.*)/;
is($node->psql('postgres', $hint), 0, 'also after a time') or diag($hint);

for my $call (q{chpg_logs('1 hour', 'orders', 'ERROR')}, q{chpg_metrics('1 hour', 'orders', 'cpu')}, q{chpg_slow_patterns('1 hour', 'orders', 'sales')}, q{chpg_notifications('1 day')})
{
	($hint) = ($node->psql('postgres', "SELECT count(*) FROM $call"))[2] =~ /HINT:  Run: (.*)/;
	is($node->psql('postgres', $hint), 0, "after $call: $hint");
}
unlike(($node->psql('postgres', "SELECT FROM $_"))[2], qr/HINT:  Run: .*chpg_connect/, "$_: no hint creates a server of that name") for q{chpg_fleet('orders')}, q{chpg_services('nowhere')};
unlike(($node->psql('postgres', q{SELECT FROM chpg_services('cphg')}))[2], qr/HINT/, 'no hint creates a server whose name is a typo');

# In a schema of its own everything works without a search_path.
$node->safe_psql('postgres', 'CREATE DATABASE apart');
my $apart = "SET search_path = ''; ";
$node->safe_psql('apart', 'CREATE SCHEMA chpg; CREATE EXTENSION chpg SCHEMA chpg');
$node->safe_psql('apart', $apart . connect_call(api_url => $url) =~ s/chpg_connect\(/chpg.chpg_connect(/r . q{; ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited')});
for my $what (q{SELECT * FROM chpg.chpg_top}, q{SELECT * FROM chpg.chpg_fleet}, q{SELECT * FROM chpg.chpg_help},
	q{SELECT * FROM chpg.chpg_logs('1 hour', 'orders')}, q{SELECT * FROM chpg.chpg_findings('1 hour', 'orders')},
	q{SELECT * FROM chpg.chpg_compare('1 hour', 'orders')}, q{SELECT chpg.chpg_report('1 hour')}, q{SELECT chpg.chpg_report_text('1 hour')},
	q{SELECT chpg.chpg_history_enable('kept')}, 'CALL chpg.chpg_capture(max_windows => 1)', 'CALL chpg.chpg_watch()',
	'SELECT * FROM chpg.chpg_history_cost()', 'SELECT * FROM chpg.chpg_fleet', q{SELECT * FROM chpg.chpg_bi_create('bi')})
{
	is($node->psql('apart', $apart . $what), 0, "without a search_path: $what");
}

# psql's \df shows what is to be called, and nothing else, in lines that fit.
my $functions = $node->safe_psql('apart', '\pset format aligned
SET search_path = chpg;
\df chpg_*');
like($functions, qr/^ chpg   \| chpg_top /m, '\df lists functions');
unlike($functions, qr/_chpg_/, 'no internal ones');
is($node->safe_psql('apart', q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'chpg'::regnamespace AND proname LIKE 'chpg\_%' AND length(pg_get_function_result(oid)) > 45}),
	0, 'whose results are row types');

# The others have more arguments than fit: psql prints each default with its type.
cmp_ok($node->safe_psql('apart', q{SET search_path = chpg;
SELECT count(*) FROM pg_proc WHERE pronamespace = 'chpg'::regnamespace AND proname LIKE 'chpg\_%' AND length(concat_ws(' | ', ' chpg  ', proname,
	coalesce(pg_get_function_result(oid), ''), pg_get_function_arguments(oid), 'func')) > 200}),
	'<=', 40, 'few lines of \df are wider than 200 columns');

# Each setting of the API's document is known, whatever the server's version.
my $settings = decode_json(slurp_file("$FindBin::RealBin/../data/openapi.json"))->{components}{schemas}{pgConfig}{properties};
my $typos = join ', ', map { "('$_')" } sort keys %$settings;
is(sql(<<SQL), '', 'a typo in each setting that the document has names it');
CREATE TEMP TABLE missed (name text);
DO \$\$
DECLARE
	setting text;
BEGIN
	FOR setting IN SELECT * FROM (VALUES $typos) v LOOP
		BEGIN
			PERFORM chpg_patch_config('orders', jsonb_build_object(setting || 'x', 1));
		EXCEPTION WHEN invalid_parameter_value THEN
			IF SQLERRM NOT LIKE '%did you mean "' || setting || '"?' THEN
				INSERT INTO missed VALUES (SQLERRM);
			END IF;
			CONTINUE;
		END;
		INSERT INTO missed VALUES (setting);
	END LOOP;
END \$\$;
SELECT * FROM missed
SQL

# The API accepts any setting of PgBouncer, and so does chpg.
clear_journal($url);
my $pooler = q{SELECT count(*) FROM chpg_patch_config('orders', pgbouncer_config => '{"%s": "session"}') WHERE name = '%1$s'};
is_deeply([ $node->psql('postgres', sprintf $pooler, 'pool_modes') ], [ 0, 1, qq{psql:<stdin>:1: WARNING:  unknown setting "pool_modes" of PgBouncer: did you mean "pool_mode"?} ], 'a typo in a setting of PgBouncer');
is_deeply([ $node->psql('postgres', sprintf $pooler, $_) ], [ 0, 1, '' ], "$_: no warning") for 'pool_mode', 'quite_another';
is(request_count($url), 6, 'the list of services, and the change: no further request');

like(($node->psql('postgres', q{SELECT FROM chpg_create_read_replica('orders', 'copy', pgbouncer_config => '{"pool_modes": "session"}')}))[2],
	qr/WARNING:  unknown setting "pool_modes" of PgBouncer: did you mean "pool_mode"\?/, 'also of a new replica');

# Services and settings of the history
sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = 'off' WHERE name = 'watch'; CALL chpg_capture(max_windows => 1)});
is(sql('SELECT count(incidents) FROM chpg_fleet'), 0, 'the fleet has no numbers of incidents before the first watch');
is(sql('CALL chpg_watch(); SELECT count(incidents) FROM chpg_fleet'), 6, 'and has them after it');
like(($node->psql('postgres', $_))[2], qr/ERROR:  service "ordres" is not in the history: did you mean "orders"\?/, "a typo in a service: $_")
  for q{SELECT chpg_report('1 day', 'ordres')}, q{SELECT FROM chpg_history_top('[yesterday,now]', service => 'ordres')}, q{CALL chpg_watch('ordres')};
is(($node->psql('postgres', "SELECT count(*) FROM chpg_history_top($_)"))[2] =~ /ERROR/ ? 'an error' : '', '', "chpg_history_top($_)")
  for q{'1 day', 'orders'}, q{'yesterday', 'today'}, q{'[yesterday,today)', 'orders'}, q{period => '1 day', n => 3};
unlike(($node->psql('postgres', q{SELECT FROM chpg_history_top('1 day', 'ordres')}))[2], qr/SELECT DISTINCT|:=/, 'without internal SQL in its CONTEXT');
like(($node->psql('postgres', q{SELECT FROM chpg_history_top('orders')}))[2], qr/ERROR:  "orders" is neither a time nor a period: give a service as service => 'orders'/, 'a service in place of the period');
is(sql("SELECT count(*), count(service_name), count(DISTINCT service_name) FROM $_") =~ /\A(\d+)\|\1\|[1-9]/ ? '' : $_, '', "rows have the name of their service: $_")
  for q{chpg_history_top('2 days')}, q{chpg_history_due()};
sql(q{INSERT INTO kept.setting VALUES ('keep_days', '30 days', 'mistyped')});
my ($primary) = ($node->psql('postgres', 'CALL chpg_capture()'))[2] =~ /ERROR:  (.*)/;
is($primary, 'unknown setting "keep_days" of the history: did you mean "keep_day"?', 'a typo in a setting');

done_testing();
