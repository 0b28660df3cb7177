# Captures of two days, hour by hour: how many requests they send, and that data which comes late
# is captured again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));

# A day of hours, one after another: each run finds that an hour has ended, since the setting settle
# is an hour less, and what was captured before an hour older.  The second service works less at
# weekends, so that its windows cannot be made older by a day: the others are looked at.

reset_emulator($url, services => 3, patterns => 5);
$node->safe_psql('postgres', q{SELECT chpg_history_enable('days'); UPDATE days.setting SET value = '4 days' WHERE name = 'backfill'});
my $half = $node->safe_psql('postgres', q{SELECT (extract(minute FROM now())::integer + 30) % 60});
sub hours_left { my ($hours) = @_; return "UPDATE days.setting SET value = '$hours hours $half minutes' WHERE name = 'settle'" }

# The number of requests for each service in a day of runs, apart from the list.
sub run_a_day
{
	my ($before) = @_;
	my (%requests, @wrong);

	for my $hour (reverse 0 .. 23)
	{
		$before->($hour);
		clear_journal($url);
		my $announced = $node->safe_psql('postgres', hours_left($hour) . q{; UPDATE days.capture SET captured_at = captured_at - interval '1 hour', changed_at = changed_at - interval '1 hour'; SELECT sum(requests) FROM chpg_history_cost(); CALL chpg_capture()});
		my @of = map { $_->{path} =~ m{/postgres/([^/]+)/} } @{ journal($url)->{requests} };
		$requests{$_}++ for @of;
		push @wrong, "$hour: " . @of . " instead of $announced" if @of != $announced;
	}
	is("@wrong", '', 'each run sends the requests that were announced');
	return \%requests;
}

sub captured_again { my ($service) = @_; return $node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE attempts = 2), min(extract(hour FROM window_start)::integer) FILTER (WHERE attempts = 2) FROM days.capture WHERE service_id = '$service' AND attempts > 0") }

# Two hours and days were captured before.
$node->safe_psql('postgres', hours_left(23) . '; CALL chpg_capture(max_windows => 0)');
$node->safe_psql('postgres', q{INSERT INTO days.capture (service_id, grain, window_start, window_end, status, captured_at) SELECT service_id, grain_due, window_start, window_end, 'ok', now() FROM chpg_history_due('hour') WHERE window_end < now() - interval '27 hours'});
my $but_newest = $node->safe_psql('postgres', 'SELECT count(*) - 3 FROM chpg_history_due()');
$node->safe_psql('postgres', "CALL chpg_capture(max_windows => $but_newest)");
my ($orders, $analytics) = map { $node->safe_psql('postgres', "SELECT id FROM chpg_services() WHERE name = '$_'") } qw(orders analytics);
my $sent = run_a_day(sub { });
cmp_ok($sent->{$_} / 24, '<=', 3.2, "requests of an hour of $_") for $orders, $analytics;
my %probe = map { $_ => captured_again($_) } $orders, $analytics;
like($probe{$_}, qr/^1\|/, "an hour of $_ was captured again") for $orders, $analytics;
isnt($probe{$orders}, $probe{$analytics}, 'another one for each service');

# Once that hour has changed, the hours since the day before are captured again.
sub late_by { my ($calls) = @_; return reset_emulator($url, services => 3, patterns => 5, pattern_overrides => { orders => { 3 => { callCount => $calls } } }) }
late_by(6_000_000);
# All but the newest one, and the one that has changed, unless that is older than a day.
my $others = $node->safe_psql('postgres', "SELECT 23 - count(*) FROM days.capture WHERE service_id = '$orders' AND attempts = 2 AND window_start > (SELECT max(window_start) - interval '1 day' FROM days.capture WHERE service_id = '$orders' AND grain = 'hour' AND status = 'ok')");
$node->safe_psql('postgres', q{UPDATE days.capture SET captured_at = window_end WHERE attempts = 2});
costs($node, $url, 'CALL chpg_capture()', 1 + 3 * 2, 'an hour of each service again');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT service_id), bool_and(again AND grain_due = 'hour') FROM chpg_history_due()}), "$others|1|t", 'has changed of one: its other hours are due');
costs($node, $url, 'CALL chpg_capture()', 1 + $others * 2, 'without their metrics');
is($node->safe_psql('postgres', q{SELECT count(*) FROM days.open_hour WHERE call_count = 6000000}), $others + 1, 'and have the late data, but for the newest one');

# The next day: all windows are a day older.
# (in two steps, since no two windows may be at the same time)
$node->safe_psql('postgres', join ';', map { "UPDATE days.capture SET window_start = window_start + interval '$_', window_end = window_end + interval '$_'; UPDATE days.open_hour SET window_start = window_start + interval '$_'; UPDATE days.open_day SET window_start = window_start + interval '$_'" } '-1001 days', '1000 days');
$sent = run_a_day(sub { late_by(7_000_000 + $_[0]) });
cmp_ok($sent->{$orders} / 24, '<=', 5.3, 'requests of an hour while data comes late');
cmp_ok($sent->{$analytics} / 24, '<=', 3.2, 'and of the other service');
is($node->safe_psql('postgres', q{SELECT string_agg((call_count - 7000000)::text, ' ' ORDER BY window_start) FROM days.open_hour WHERE call_count >= 7000000}), join(' ', reverse(0 .. 23), 0), 'each hour has the data of an hour after its end');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT window_start) - count(*) FILTER (WHERE call_count >= 7000000), count(*) FILTER (WHERE call_count >= 7000000) > 0 FROM days.open_day JOIN days.service_key USING (service_key) WHERE service_id = '} . $orders . q{' AND window_start > now() - interval '49 hours'}), '0|t', 'and so have days');

# A sealed window that becomes due again, since the API keeps it for longer, is replaced as one.
$node->safe_psql('postgres', q{UPDATE days.setting SET value = CASE name WHEN 'api_retention' THEN '2 hours' ELSE '27 hours' END WHERE name IN ('api_retention', 'keep_open'); CALL chpg_history_seal()});
my $sealed = $node->safe_psql('postgres', q{SELECT count(*) FROM days.sealed_hour});
cmp_ok($sealed, '>', 30, 'old windows are sealed');
$node->safe_psql('postgres', q{UPDATE days.setting SET value = CASE name WHEN 'api_retention' THEN '7 days' ELSE '8 days' END WHERE name IN ('api_retention', 'keep_open'); UPDATE days.capture c SET status = 'lost' FROM days.service_key k JOIN days.sealed_hour w USING (service_key) WHERE c.grain = 'hour' AND (c.service_id, c.window_start) = (k.service_id, w.window_start)});
late_by(8_000_000);
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM days.sealed_hour), count(*) FILTER (WHERE 8000000 = ANY (w.call_count)), count(*) FILTER (WHERE k.service_id <> '} . $orders . q{'), count(*) FILTER (WHERE EXISTS (SELECT FROM days.open_hour o WHERE (o.service_key, o.window_start) = (w.service_key, w.window_start))) FROM days.sealed_hour w JOIN days.service_key k USING (service_key)}), join('|', $sealed, $sealed / 3, $sealed * 2 / 3, 0), 'and replaced as sealed windows');

done_testing();
