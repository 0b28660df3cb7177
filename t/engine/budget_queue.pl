# The queue for a key's budget: a stopped process stops no other, a fleet is admitted or
# rejected as a whole, and no request that still counts is forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use Test::More;
use Time::HiRes;

my $EXECUTIONS = "SELECT FROM chpg_slow_pattern_executions('$ORDERS', %d, 'sales', 'app', 'SELECT')";

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'");

$node->safe_psql('postgres', connect_sql($url));

# The executions whose requests have been sent, in order
sub turns
{
	return join ' ', map { $_->{path} =~ m{slowQueryPatterns/(\d)} ? $1 : () } @{ journal($url)->{requests} };
}

# Stop a backend. The test resumes all of them at its end, or the server could not shut
# down.
my %stopped;

sub stop_process { my ($pid) = @_; $stopped{$pid} = 1; return kill 'STOP', $pid }
sub continue_process { my ($pid) = @_; delete $stopped{$pid}; return kill 'CONT', $pid }
END { kill 'CONT', keys %stopped if %stopped }

my @sessions = map { open_session($node) } 1 .. 4;
my @pids = map { in_session($_, 'SELECT pg_backend_pid()') } @sessions;

# Queue all sessions while the key is blocked, each for an execution.
sub queue_all
{
	my ($id) = @_;

	block_key($node, $url);
	for my $i (1 .. 4)
	{
		begin_in_session($sessions[ $i - 1 ], sprintf $EXECUTIONS, $i);
		wait_until(sub { key_budget($node, 'waiting', $id) eq $i }, 'one more session waits');
	}
	return;
}

# The first two backends are stopped: the ones behind them get their turns, and the two
# get theirs when they resume, before calls that came later.
my $id = use_new_key($node, $url, '1/0.2s');
queue_all($id);
stop_process($_) for @pids[ 0, 1 ];
$node->safe_psql('postgres', 'SELECT chpg_budget_reset()');
wait_until(sub { turns() eq '3 4' || grep { $_->{stderr} ne '' } @sessions[ 2, 3 ] }, 'two have their turns');
is(turns(), '3 4', 'two stopped processes at the head of the queue stop no other session');
is(in_session($_, "SELECT 'done'"), 'done', 'a session that overtook them gets its rows') for @sessions[ 2, 3 ];
$node->safe_psql('postgres', sprintf $EXECUTIONS, 5);
is(turns(), '3 4 5', 'nor do they stop a session that comes later');
continue_process($_) for @pids[ 0, 1 ];
is(in_session($_, "SELECT 'done'"), 'done', 'a session that was stopped gets its rows') for @sessions[ 0, 1 ];
like(turns(), qr/^3 4 5 (?:1 2|2 1)$/, 'each was sent once');
is(key_budget($node, 'waiting', $id), 0, 'the queue is empty');

# A backend that is slow only for a moment is not overtaken.
$id = use_new_key($node, $url, '1/0.2s');
queue_all($id);
$node->safe_psql('postgres', 'SELECT chpg_budget_reset()');
wait_until(sub { length turns() == 7 }, 'all have their turns');
is(turns(), '1 2 3 4', 'turns are in the order of arrival');
in_session($_, 'SELECT') for @sessions;

# A process that is stopped while its request travels keeps its slot until the request
# must have ended, by its timeout.
$id = use_new_key($node, $url, '1/0.5s');
fault($url, times => 1, hang => JSON::PP::true);
in_session($sessions[0], "SET chpg.request_timeout = '1s'; SET chpg.max_retries = 0");
begin_in_session($sessions[0], 'SELECT FROM chpg_organizations()');
wait_until(sub { request_count($url) == 1 }, 'a request is under way');
stop_process($pids[0]);
is(in_session($sessions[1], 'SELECT count(*) FROM chpg_organizations()'), 1, 'a stopped process does not keep its slot');
continue_process($pids[0]);
await_in_session($sessions[0], qr/ERROR:  08006/);
in_session($sessions[0], 'RESET chpg.request_timeout; RESET chpg.max_retries');

# Competing fleets. Each session reads the patterns of all services in a window of its
# own, by which the journal identifies the session.
sub fleet_sql
{
	my ($i) = @_;
	return sprintf "SELECT 'rows', count(*) FROM chpg_slow_patterns('$PAST_DATE 00:%02d:00Z', timestamptz '$PAST_DATE 00:%1\$02d:00Z' + interval '1 day')", $i;
}

# The times of a session's requests
sub fleet_times
{
	my ($i) = @_;
	my $start = sprintf '00:%02d:00', $i;

	return map { $_->{at} } grep { ($_->{query}{from_date} // '') =~ /$start/ } @{ journal($url)->{requests} };
}

# The time that a fleet takes beside others is predicted: each session gets as many
# turns as it needs.
$id = use_new_key($node, $url, '5/2s', services => 20, patterns => 3);
for my $i (0 .. 2)
{
	begin_in_session($sessions[$i], fleet_sql($i));
	wait_until(sub { scalar(fleet_times($i)) > 0 }, 'the fleet is being read');
}
begin_in_session($sessions[3], "SET chpg.max_wait = '10s'; " . fleet_sql(3));
await_in_session($sessions[3], qr/ERROR:  53400: .*in time/);
is(scalar(fleet_times(3)), 0, 'a fleet beside three others is rejected without a request');
begin_in_session($sessions[3], "RESET chpg.max_wait; " . fleet_sql(3));
await_in_session($sessions[3], qr/NOTICE: .*waiting about \d+ s: \d+ requests? queued/);
my $told = Time::HiRes::time();
my ($announced) = $sessions[3]{stderr} =~ /waiting about (\d+) s/;
is((in_session($_, "SELECT 'done'") =~ /rows.*/sg)[0], "rows|60\ndone", 'a fleet among others has all its rows') for @sessions;
my $took = (fleet_times(3))[-1] - $told;
note(sprintf 'announced: %.0f s, took %.1f s', $announced, $took);
cmp_ok($announced, '>', 15, 'the prediction counts all requests of the fleets before it');
cmp_ok($took, '<', $announced * 1.25, 'a fleet takes no longer than announced, by a quarter');
cmp_ok($took, '>', $announced * 0.75, 'nor does it finish much earlier');
unlike($sessions[3]{stderr}, qr/longer than expected/, 'and no notice reports a delay');

# An admitted fleet finishes, however long later calls delay it; it reports the delay.
$id = use_new_key($node, $url, '5/2s', services => 10, patterns => 3);
begin_in_session($sessions[0], "SET chpg.max_wait = '5s'; " . fleet_sql(0));
wait_until(sub { key_budget($node, 'waiting', $id) eq '1' }, 'the fleet waits');
begin_in_session($sessions[$_], fleet_sql($_)) for 1 .. 3;
is(in_session($sessions[0], "SELECT 'done'"), "rows|30\ndone", 'a fleet that was admitted is not rejected half way');
like($sessions[0]{stderr}, qr/NOTICE:  \S+ waiting longer than expected, about \d+ s: \d+ requests? queued/, 'and a notice reports that other sessions delay it');
my @times = fleet_times(0);
cmp_ok($times[-1] - $times[0], '>', 5, 'the fleet waited for longer than chpg.max_wait');
in_session($_, 'RESET chpg.max_wait') for @sessions;

# So it does when the API rejects one of its calls several times, and accepts requests
# of other sessions in between. Each of the three gets a turn before the fleet's next
# one.
$id = use_new_key($node, $url, '1/0.5s', services => 3, patterns => 3);
fault($url, path => "$ORDERS/slowQueryPatterns\$", times => 4, status => 429, headers => { 'X-RateLimit-Reset' => '0.2' });
begin_in_session($sessions[0], "SET chpg.max_wait = '4s'; " . fleet_sql(0));
wait_until(sub { scalar(fleet_times(0)) > 0 }, 'the fleet is being read');
for my $i (1 .. 3)
{
	begin_in_session($sessions[$i], join '; ', map { sprintf $EXECUTIONS, 10 * $i + $_ } 1 .. 4);
}
is(in_session($sessions[0], "SELECT 'done'"), "rows|9\ndone", 'a fleet with a call that the API rejects repeatedly is not rejected half way');
my @refusals = map { $_->{at} } grep { ($_->{status} // 0) == 429 } @{ journal($url)->{requests} };
is(scalar(@refusals), 4, 'the API rejected that call four times');
cmp_ok($refusals[-1] - $refusals[0], '>', 4, 'within more than chpg.max_wait');
in_session($_, 'RESET chpg.max_wait') for @sessions;

# Of many fleets that begin at once, each is read as a whole or rejected as a whole.
my @crowd = map { open_session($node) } 1 .. 12;
use_new_key($node, $url, '5/2s', services => 10, patterns => 3);
in_session($_, "SET chpg.cache_ttl = '5min'; SET chpg.max_wait = '11s'; SELECT FROM chpg_services") for @crowd;
clear_journal($url);
begin_in_session($crowd[$_], fleet_sql($_)) for 0 .. 11;
my ($read, $half_way) = (0, 0);
for my $i (0 .. 11)
{
	my $rows = in_session($crowd[$i], "SELECT 'done'");
	my $whole = $rows =~ /rows\|30/;

	$read += $whole;
	$half_way += scalar(fleet_times($i)) != ($whole ? 10 : 0);
}
cmp_ok($read, '>=', 2, 'of twelve fleets at once, as many are read as there is time for');
cmp_ok($read, '<', 12, 'and the others are rejected');
is($half_way, 0, 'no fleet is rejected half way');
$_->quit for @crowd;

# A fleet that many sessions read at once costs its requests once, and the prediction
# takes that into account: the limit admits these eleven requests in four seconds, but
# not those of six fleets. Cached responses do not count as requests either.
$id = use_new_key($node, $url, '5/2s', services => 11, patterns => 3);
my @panels = map { open_session($node) } 1 .. 6;
in_session($_, "SET chpg.cache_ttl = '5min'; SET chpg.max_wait = '6s'; SELECT FROM chpg_services") for @panels;
clear_journal($url);
begin_in_session($panels[0], fleet_sql(0));
wait_until(
	sub { $node->safe_psql('postgres', "SELECT sum(succeeded) FROM chpg_stats WHERE key_id = '$id'") eq '5' && key_budget($node, 'waiting', $id) eq '1' },
	'the first has used the limit');
begin_in_session($panels[$_], fleet_sql(0)) for 1 .. 5;
for my $panel (@panels)
{
	is(in_session($panel, "SELECT 'done'"), "rows|33\ndone", 'the same fleet in six sessions: all rows are there');
	unlike($panel->{stderr}, qr/longer than expected/, 'the same fleet in six sessions: they do not delay each other');
}
is(request_count($url), 11, 'the same fleet in six sessions: each request is sent once');

# chpg.max_wait is for the statement, not for each of its calls.
use_new_key($node, $url, '1/1s');
fails_with($node, "SET chpg.max_wait = '3s'; SELECT count(*) FROM generate_series(1, 20) i, LATERAL chpg_slow_pattern_executions('$ORDERS', i, 'sales', 'app', 'SELECT')",
	'53400', qr/budget is used up/, 'a statement whose calls wait for a second each');
cmp_ok(request_count($url), '<=', 5, 'waits for no longer than chpg.max_wait');

# A request that waits for a stricter limit of its own server holds back later ones.
# These are rejected at once, and the message has the time they would wait.
my $organization = 'f001cfed-390b-4897-9d38-697e646612d2';
$id = use_new_key($node, $url, '10/10s');
$node->safe_psql('postgres',
	"CREATE SERVER strict FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit '1/60s');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER strict OPTIONS (key_id '$id', key_secret '$KEY_SECRET'); SELECT FROM chpg_organizations()");
begin_in_session($sessions[0], "SET chpg.max_wait = '10min'; SELECT FROM chpg_organizations('strict')");
wait_until(sub { key_budget($node, 'waiting', $id) eq '1' }, 'a request waits for the limit of its own server');
fails_with($node, "SET chpg.max_wait = '3s'; SELECT FROM chpg_services()", '53400', qr/the last could be sent in \d\d+\.\d s/, 'a session behind it in the queue');
is(request_count($url), 1, 'neither is sent');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pids[0])");
await_in_session($sessions[0], qr/ERROR:  57014/);
in_session($sessions[0], 'RESET chpg.max_wait');
$node->safe_psql('postgres', 'DROP SERVER strict CASCADE');

# Two clusters share a key, and each assumes the whole limit for itself. They find their
# shares by the API's 429 responses.
my $other = start_node('other', "chpg.server = 'chpg'");
my @both = ($node, $other);
$id = use_new_key($node, $url, '10/4s', rate_limit => '10/4s', services => 19, patterns => 3);
$other->safe_psql('postgres', connect_sql($url, '10/4s') . "ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_id '$id')");
my @pairs = map { my $one = $_; map { open_session($one) } 1, 2 } @both;
in_session($_, 'SELECT FROM chpg_organizations()') for @pairs;
clear_journal($url);
begin_in_session($pairs[$_], "SET chpg.max_wait = '2min'; " . fleet_sql($_)) for 0 .. 3;
like(in_session($_, "SELECT 'done'"), qr/rows\|57\ndone/, 'two clusters with one key: all rows are there') for @pairs;
@times = sort { $a <=> $b } map { $_->{at} } @{ journal($url)->{requests} };
my $refused = grep { $_->{status} == 429 } @{ journal($url)->{requests} };
my $elapsed = $times[-1] - $times[0];
note(sprintf 'two clusters with one key: %d of %d requests refused, %.1f s', $refused, scalar(@times), $elapsed);
cmp_ok($refused, '<', 80 * 0.5, 'two clusters with one key: the API rejects few requests');
cmp_ok($elapsed, '<', 80 / 10 * 4 * 1.5, 'two clusters with one key: about as fast as the limit allows');
$_->quit for @pairs;
$other->stop;

# There is room for 128 keys, all of which a superuser may use. A key whose requests
# still count keeps its place, a key that the API has not accepted gives way, and beyond
# that a new key is rejected.
$node->restart;
use_new_key($node, $url, 'unlimited');
$node->safe_psql('postgres',
	"CREATE SERVER many FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit 'unlimited');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER many OPTIONS (key_id 'many0', key_secret 'x')");

sub request_with_keys
{
	my ($settings, @numbers) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		join('', "$settings\\set VERBOSITY verbose\n",
			map { "ALTER USER MAPPING FOR CURRENT_USER SERVER many OPTIONS (SET key_id 'many$_');\n SELECT FROM chpg_services('many');\n" } @numbers),
		on_error_stop => 0);
	return $err;
}

clear_journal($url);
is(scalar(() = request_with_keys('', 1, 2) =~ /ERROR:  28000/g), 2, 'two keys without a limit');
$node->safe_psql('postgres', q{ALTER SERVER many OPTIONS (SET rate_limit '5/3600s')});
reset_emulator($url, keys => { map { ("many$_" => 'x') } 3 .. 131 });
is(request_with_keys('', 3 .. 130), '', '128 keys with a limit');
is(request_count($url), 128, 'have sent a request each');
$refused = request_with_keys("SET chpg.max_wait = '500ms';\n", 131);
like($refused, qr/ERROR:  53400: .* budget is used up/, 'one more key is rejected');
like($refused, qr/DETAIL:  128 other keys have sent requests that still count, and there is no place for one more\. Nothing was sent\./, 'and learns why');
is(request_count($url), 128, 'its request is not sent');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_budget WHERE used = 1"), 128, 'the requests of the other keys still count');

done_testing();
