# The request budget of a key, which all backends share: requests never exceed the
# limit, backends take turns, and a call that cannot finish in time is rejected
# beforehand.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);


my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'");

$node->safe_psql('postgres', connect_sql($url));

# The highest number of requests that arrived within this many seconds
sub max_arrivals
{
	my ($seconds) = @_;
	my @times = sort { $a <=> $b } map { $_->{at} } @{ journal($url)->{requests} };

	return max map { my $start = $_; scalar grep { $_ >= $start && $_ < $start + $seconds } @times } @times;
}

sub statuses
{
	my %count;
	$count{ $_->{status} // 'none' }++ for @{ journal($url)->{requests} };
	return \%count;
}

# Seconds from the first arrival to the last
sub duration
{
	my @times = sort { $a <=> $b } map { $_->{at} } @{ journal($url)->{requests} };
	return $times[-1] - $times[0];
}

sub active_pid
{
	my ($query) = @_;
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query LIKE '$query' AND state = 'active' AND pid <> pg_backend_pid()");
}

# Four backends send 120 requests; the first ones are slow to connect and to get a
# response. The limit is slow compared with the delays of a busy machine.
my $id = use_new_key($node, $url, '20/4s', rate_limit => '20/4s', services => 29, patterns => 3);
fault($url, times => 6, latency_ms => 300);
my @sessions = map { open_session($node) } 1 .. 4;
for my $i (0 .. 3)
{
	begin_in_session($sessions[$i], "SELECT 'rows', count(*) FROM chpg_slow_patterns('$PAST_DATE 0$i:00Z', timestamptz '$PAST_DATE 0$i:00Z' + interval '1 day')");
}
wait_until(sub { request_count($url) >= 120 && !grep { !defined $_->{status} } @{ journal($url)->{requests} } },
	'all requests have come');
is_deeply(statuses(), { 200 => 120 }, 'four backends: the API rejects no request');
cmp_ok(max_arrivals(4), '<=', 20, 'four backends: never more than 20 requests in 4 seconds');
note(sprintf 'four backends: %.3f times the least possible time', duration() / 20);
cmp_ok(duration(), '<', 20 * 1.5, 'four backends: about as fast as the limit allows');
is(in_session($_, "SELECT 'done'"), "rows|87\ndone", 'four backends: all rows are there') for @sessions;

# The same with backends that are canceled, terminated, or whose requests fail
$id = use_new_key($node, $url, '10/1s', rate_limit => '10/1s', services => 29, patterns => 3);
my @busy = map { open_session($node) } 1 .. 6;
my @pids = map { in_session($_, 'SELECT pg_backend_pid()') } @busy;
fault($url, path => 'slowQueryPatterns', skip => 20, times => 2, status => 500);
fault($url, path => 'slowQueryPatterns', skip => 30, times => 2, reset => 'before');
for my $i (0 .. 5)
{
	begin_in_session($busy[$i], "SELECT 'rows', count(*) FROM chpg_slow_patterns('$PAST_DATE 0$i:00Z', timestamptz '$PAST_DATE 0$i:00Z' + interval '1 day')");
}
for my $i (0 .. 3)
{
	wait_until(sub { request_count($url) >= 20 * ($i + 1) }, 'requests come');
	$node->safe_psql('postgres', ($i % 2 ? 'SELECT pg_terminate_backend(' : 'SELECT pg_cancel_backend(') . "$pids[$i])");
}
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid IN (" . join(',', @pids) . ") AND state = 'active'") == 0 },
	'all are done');
cmp_ok(request_count($url), '>', 80, 'with cancels: requests went on after the last');
cmp_ok(max_arrivals(1), '<=', 10, 'with cancels: never more than 10 requests in a second');
ok(!statuses()->{429}, 'with cancels: the API rejects no request');
is(in_session($_, "SELECT 'done'"), "rows|87\ndone", 'with cancels: the other sessions get all rows') for @busy[ 4, 5 ];
wait_until(sub { key_budget($node, 'used, waiting', $id) eq '0|0' }, 'nothing is left behind');
costs($node, $url, 'SELECT FROM chpg_services', 1, 'and the next call succeeds');
$_->quit for @busy[ 0, 2, 4, 5 ];

# A single call gets its turn between the requests of a fleet.
$id = use_new_key($node, $url, '5/2s', services => 40, patterns => 3);
begin_in_session($sessions[0], "SELECT 'rows', count(*) FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z')");
wait_until(sub { key_budget($node, 'waiting', $id) eq '1' }, 'the fleet waits');
my $before = request_count($url);
$node->safe_psql('postgres', 'SELECT FROM chpg_services');
cmp_ok(request_count($url) - $before, '<=', 15, 'a single call does not wait for the fleet to end');
is($node->safe_psql('postgres', "SELECT wait_event_type || ' ' || replace(wait_event, 'Extension', 'ChpgRequestBudget') FROM pg_stat_activity WHERE query LIKE 'SELECT ''rows''%' AND state = 'active'"),
	'Extension ChpgRequestBudget', 'pg_stat_activity shows that the fleet waits for the budget');
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT ''rows''%' AND state = 'active'");
await_in_session($sessions[0], qr/ERROR:  57014/);
is(key_budget($node, 'waiting', $id), '0', 'a cancel ends the waiting');

# Neither does a call wait for a fleet that will send the same request later.
$id = use_new_key($node, $url, '2/3s', services => 9, patterns => 3);
my $last = $node->safe_psql('postgres', 'SELECT id FROM chpg_services LIMIT 1 OFFSET 7');
begin_in_session($sessions[0], "SET chpg.cache_ttl = '1min'; SELECT 'rows', count(*) FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z')");
wait_until(sub { key_budget($node, 'waiting', $id) eq '1' }, 'the fleet waits');
$before = request_count($url);
$node->safe_psql('postgres', "SET chpg.cache_ttl = '1min'; SELECT FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z', '$last')");
cmp_ok(request_count($url) - $before, '<=', 3, 'a call whose request the fleet sends later does not wait for the fleet');
is(in_session($sessions[0], '\echo'), "rows|27\n", 'the fleet has all its rows');
in_session($sessions[0], 'SET chpg.cache_ttl = 0');
is(scalar(grep { $_->{path} =~ /\Q$last\E/ } @{ journal($url)->{requests} }), 1, 'and sends no request twice');

# Is a key blocked, after a 429 with these headers, for no longer than the longest
# block?
sub block
{
	my ($id, @headers) = @_;

	block_key($node, $url, @headers);
	return key_budget($node, "blocked_until BETWEEN now() + interval '1 s' AND now() + interval '30 s'", $id);
}

# Turns are in the order of arrival; a call that leaves the queue delays no other. The
# key is blocked until all calls have queued.
my $EXECUTIONS = "SELECT FROM chpg_slow_pattern_executions('$ORDERS', %d, 'sales', 'app', 'SELECT')";
$id = use_new_key($node, $url, '1/0.5s');
is(block($id, 'X-RateLimit-Reset' => 30), 't', 'the key is blocked');
my @queue = map { open_session($node) } 1 .. 5;
for my $i (1 .. 5)
{
	begin_in_session($queue[ $i - 1 ], sprintf $EXECUTIONS, $i);
	wait_until(sub { key_budget($node, 'waiting', $id) eq $i }, 'one more session waits');
}
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . active_pid("%executions%, $_, %") . ')') for 1, 3;
wait_until(sub { key_budget($node, 'waiting', $id) eq 3 }, 'two sessions have left the queue');
$node->safe_psql('postgres', 'SELECT chpg_budget_reset()');
wait_until(sub { request_count($url) == 3 }, 'the other sessions had their turns');
is(join(' ', map { $_->{path} =~ m{slowQueryPatterns/(\d)} ? $1 : () } @{ journal($url)->{requests} }),
	'2 4 5', 'turns are in the order of arrival');
like(in_session($queue[$_], "SELECT 'done'"), qr/done$/, 'a session that waited gets its rows') for 1, 3, 4;
is($node->safe_psql('postgres', "SELECT waits, wait_time_us >= 1.5e6 FROM chpg_stats WHERE key_id = '$id' AND operation ~ 'slowQueryPatterns/'"), '3|t', 'the waits are counted');
@queue = map { open_session($node) } 1 .. 4;

# An idle cursor holds no place in the queue.
$id = use_new_key($node, $url, '2/1s', services => 9, patterns => 3);
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
my $since = time;
in_session($queue[0], "BEGIN; DECLARE c CURSOR FOR SELECT query_id FROM cloud.slow_patterns WHERE from_date = '$PAST_DATE 00:00Z' AND to_date = '$PAST_DATE 24:00Z'; FETCH 1 FROM c");
my $idle = time;
$node->poll_query_until('postgres', "SELECT used = 0 FROM chpg_budget WHERE key_id = '$id'") or die 'the budget is not given back';
$idle = time - $idle;
is(scalar(() = in_session($queue[0], 'FETCH ALL FROM c; COMMIT') =~ /^-?\d+$/mg), 9 * 3 - 1, 'a cursor reads on');
my $elapsed = time - $since;
my $waited = $node->safe_psql('postgres', "SELECT sum(wait_time_us) / 1e6 FROM chpg_stats WHERE key_id = '$id'");
cmp_ok($waited, '>', 1, 'the cursor waited for the budget');
cmp_ok($waited, '<=', $elapsed - $idle, 'but not while it was idle');

# A rejected call keeps no place in the queue.
$id = use_new_key($node, $url, '1/4s');
fault($url, latency_ms => 1500, times => 1);
begin_in_session($queue[0], 'SELECT FROM chpg_organizations()');
wait_until(sub { request_count($url) == 1 }, 'a request is under way');
begin_in_session($queue[1], "SET statement_timeout = '3s'; SELECT FROM chpg_service('$ORDERS')");
await_in_session($queue[1], qr/ERROR:  53400/);
begin_in_session($queue[2], sprintf $EXECUTIONS, 3);
wait_until(sub { key_budget($node, 'waiting', $id) eq '1' }, 'one more session waits');
begin_in_session($queue[1], "RESET statement_timeout; SELECT FROM chpg_service('$ORDERS')");
wait_until(sub { key_budget($node, 'waiting', $id) eq '2' }, 'the session is back in the queue');
wait_until(sub { request_count($url) == 3 }, 'both had their turns');
like(journal($url)->{requests}[1]{path}, qr{slowQueryPatterns/3$}, 'a session that comes back is at the end of the queue');
in_session($_, 'SELECT') for @queue[ 0 .. 2 ];
$_->quit for @queue;

# A latch that is set for another reason changes nothing.
$id = use_new_key($node, $url, '2/2s', services => 7, patterns => 3);
begin_in_session($sessions[2], "SELECT 'rows', count(*) FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z')");
wait_until(sub { $node->safe_psql('postgres', 'SELECT pg_reload_conf()'); request_count($url) == 8 }, 'all requests have come');
is(in_session($sessions[2], "SELECT 'done'"), "rows|21\ndone", 'with reloads: all rows are there');
cmp_ok(max_arrivals(2), '<=', 2, 'with reloads: never more than 2 requests in 2 seconds');
cmp_ok(duration(), '<', 3 * 2 * 1.5, 'with reloads: as fast as before');

# Another client uses the same key: the API rejects requests, and all rows arrive
# nevertheless.
$id = use_new_key($node, $url, '10/1s', rate_limit => '10/1s', services => 19, patterns => 3);
(my $elsewhere = $url) =~ s{//}{//$id:$KEY_SECRET@};
HTTP::Tiny->new->get("$elsewhere/v1/organizations") for 1 .. 5;
clear_journal($url);
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z')"), 57, 'a key that is used elsewhere, too: all rows are there');
cmp_ok(statuses()->{429} // 0, '<=', 8, 'the API rejects only requests that were under way');

# A call that cannot finish in time is rejected without a request.
$id = use_new_key($node, $url, '10/60s', services => 30);
clear_journal($url);
my $error = fails_with($node, "SET chpg.max_wait = '1s'; SELECT * FROM chpg_slow_patterns($DAY)", '53400',
	qr/could not read the slow query patterns of the services: the key's request budget does not allow it in time/, 'a fleet without the time');
like($error, qr/DETAIL:  30 requests are needed, and 9 can be sent now; the last could be sent in (?:1[67]\d\.\d|180\.0) s, at \d{4}-/, 'the error has the number of requests');
like($error, qr/HINT:  Ask for less, or raise "chpg\.max_wait"\./, 'the error names the limit');
is(request_count($url), 1, 'costs the list of services only');
like(fails_with($node, "SET statement_timeout = '3s'; SELECT * FROM chpg_slow_patterns($DAY)", '53400', qr/in time/, 'a fleet without the time to end'),
	qr/HINT:  Ask for less, or raise "statement_timeout"\./, 'the error names statement_timeout');
costs($node, $url, "SELECT FROM chpg_service('$ORDERS')", 1, 'a call that is in time') for 1 .. 8;
like(fails_with($node, "SET chpg.max_wait = '1s'; SELECT * FROM chpg_services", '53400', qr/budget is used up/, 'a call without a free request'),
	qr/DETAIL:  1 request is needed, and 0 can be sent now; the last could be sent in \d+\.\d s, at .* Nothing was sent\.\nHINT:  Try again later, or raise "chpg\.max_wait"\.$/m, 'the error has the time of the next turn');
is(request_count($url), 1, 'sends nothing');

# The predicted time is right: with a little less time a fleet is rejected, with a
# little more it finishes.
for my $margin (-1500, 1500)
{
	$id = use_new_key($node, $url, '5/2s', services => 20, patterns => 3);
	my ($seconds) = fails_with($node, "SET chpg.max_wait = '100ms'; SELECT * FROM chpg_slow_patterns($DAY)", '53400', qr/in time/, 'a fleet without the time') =~ /could be sent in (\S+) s/;
	wait_until(sub { key_budget($node, 'used', $id) eq '0' }, 'the window is over');
	clear_journal($url);
	$node->psql('postgres', sprintf("SET chpg.max_wait = '%dms'; SELECT count(*) FROM chpg_slow_patterns($DAY)", $seconds * 1000 + $margin));
	is(request_count($url), $margin < 0 ? 1 : 21, "with $margin ms to spare");
}

# A change that gets no turn is not sent, and the message says so.
$id = use_new_key($node, $url, '1/30s');
$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()');
clear_journal($url);
unlike(fails_with($node, "SET chpg.max_wait = '1s'; SELECT FROM chpg_restart_service('$ORDERS')", '53400', qr/budget is used up/, 'a change without a turn'),
	qr/carried out/, 'was certainly not carried out');
begin_in_session($sessions[2], "SELECT FROM chpg_restart_service('$ORDERS')");
wait_until(sub { key_budget($node, 'waiting', $id) eq '1' }, 'a change waits for its turn');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . active_pid('%restart%') . ')');
await_in_session($sessions[2], qr/ERROR:  57014/);
unlike($sessions[2]->{stderr}, qr/carried out/, 'a change that was canceled before its turn was not sent either');
is(request_count($url), 0, 'nothing was sent');

# The number of pages is not known beforehand: each page is a decision of its own.
use_new_key($node, $url, '2/2s', services => 1, patterns => 1500);
clear_journal($url);
fails_with($node, "SET chpg.max_wait = '1s'; SELECT count(*) FROM chpg_slow_patterns($DAY, '$ORDERS')", '53400', qr/in time/, 'a third page without the time');
is(request_count($url), 2, 'is rejected at the third page');

# A call that needs no turn cannot wait too long for one.
for my $ours ('unlimited', '10/1s')
{
	use_new_key($node, $url, $ours, services => 1, patterns => 1500);
	fault($url, path => 'slowQueryPatterns', latency_ms => 300);
	my ($status, $rows, $error) = $node->psql('postgres', "SET chpg.max_wait = '100ms'; SELECT count(*) FROM chpg_slow_patterns($DAY, '$ORDERS')");
	is("$rows$error", 1500, "pages that take longer than chpg.max_wait, with rate limit $ours");
}

# A 429 that one backend gets blocks the key for all.
$id = use_new_key($node, $url, 'unlimited');
$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()');
clear_journal($url);
fault($url, times => 1, status => 429, headers => { 'X-RateLimit-Reset' => '5' });
begin_in_session($sessions[1], "SELECT 'rows', count(*) FROM chpg_services");
wait_until(sub { key_budget($node, 'blocked_until IS NOT NULL', $id) eq 't' }, 'the key is blocked');
is(key_budget($node, "blocked_until BETWEEN now() AND now() + interval '5 s'", $id), 't', 'the budget shows until when');
like(slurp_file($node->logfile), qr/LOG:  the API's rate limit refused a request: key "\Q$id\E" of server "chpg" is blocked until \d{4}-/, 'the log has a message');
$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()');
my @times = map { $_->{at} } @{ journal($url)->{requests} };
cmp_ok($times[1] - $times[0], '>=', 5, 'no session sends a request before the reset');
wait_until(sub { request_count($url) == 3 }, 'both sessions send their request');
is($node->safe_psql('postgres', "SELECT sum(rate_limited), sum(retries) FROM chpg_stats WHERE key_id = '$id'"), '1|1', 'the statistics have the refusal');

# A call does not wait for a reset that is too far away.
$id = use_new_key($node, $url, '10/1s');
$node->safe_psql('postgres', q{SET chpg.cache_ttl = '10min'; SELECT FROM chpg_services()});
clear_journal($url);
fault($url, status => 429, times => 1, headers => { 'X-RateLimit-Reset' => '30' });
fails_with($node, "SET chpg.max_wait = '1s'; SELECT FROM chpg_services", '53400', qr/budget is used up/, 'a refusal for long');
like(fails_with($node, "SET chpg.max_wait = '1s'; SELECT FROM chpg_services", '53400', qr/budget is used up/, 'another session'),
	qr/1 request is needed, and 0 can be sent now; the last could be sent in (?:2\d\.\d|30\.0) s.*\nHINT:  .* raise "chpg\.max_wait"\. The API refused .*chpg_budget_reset\(\) ends the block\.$/m, 'knows until when, and what ends it');
like(fails_with($node, "SET chpg.cache_ttl = '10min'; SET chpg.max_wait = '1s'; SELECT * FROM chpg_slow_patterns($DAY)", '53400', qr/budget does not allow it in time/, 'a fleet'),
	qr/\nHINT:  Ask for less, or raise "chpg\.max_wait"\. The API refused the key \(429\): SELECT chpg_budget_reset\(\) ends the block\.$/m, 'is refused as a whole, with what ends that');
is(request_count($url), 1, 'and asks nothing');
is(key_budget($node, 'free', $id), 0, 'no request is free');

# No block lasts longer than a few windows. Only numbers count: any other value of a
# header stands for a window of 10 seconds.
for my $case ([ '3000', 20 ], [ '99999999999999999999', 20 ], [ '1e3x', 0 ], [ '0x1F', 0 ], [ '1e3', 0 ], [ 'inf', 0 ], [ 'nan', 0 ], [ '-1', 0 ], [ '25 s', 0 ])
{
	my ($value, $least) = @$case;
	my $most = $least + 10;

	$id = use_new_key($node, $url, '10/1s');
	is(block($id, 'X-RateLimit-Reset' => $value), 't', "X-RateLimit-Reset: $value blocks for no longer than three windows");
	is(key_budget($node, "blocked_until > now() + interval '10 s'", $id), $most > 10 ? 't' : 'f', "X-RateLimit-Reset: $value: for about $most seconds");
}
for my $case ([ '3000', 't' ], [ '25', 't' ], [ '25x', 'f' ], [ '25 s', 'f' ], [ 'Thu, 01 Jan 2099 00:00:00 GMT', 't' ], [ 'Thu, 01 Jan 2099 00:00:00', 'f' ])
{
	my ($value, $long) = @$case;

	$id = use_new_key($node, $url, '10/1s');
	is(block($id, 'Retry-After' => $value), 't', "Retry-After: $value blocks for no longer than three windows");
	is(key_budget($node, "blocked_until > now() + interval '10 s'", $id), $long, "Retry-After: $value: " . ($long eq 't' ? 'for longer than one' : 'for one'));
}

# A reset of the budget ends a block, also for calls that wait; the log of requests
# stays.
$id = use_new_key($node, $url, '3/60s');
is(block($id, 'X-RateLimit-Reset' => 30), 't', 'the key is blocked');
begin_in_session($sessions[1], "SELECT 'rows', count(*) FROM chpg_services");
wait_until(sub { key_budget($node, 'waiting', $id) eq '1' }, 'a session waits for the end of the block');
$node->safe_psql('postgres', 'SELECT chpg_budget_reset()');
like(in_session($sessions[1], "SELECT 'done'"), qr/rows\|6\ndone$/, 'chpg_budget_reset() ends the wait');
is(key_budget($node, 'blocked_until IS NULL, used, free', $id), 't|3|0', 'the requests sent still count');
fails_with($node, "SET chpg.max_wait = '1s'; SELECT FROM chpg_organizations()", '53400', qr/budget is used up/, 'the rate limit holds afterwards');

# Rejected again and again: the block grows with each 429 in a row, and the next
# accepted request ends that.
$id = use_new_key($node, $url, '10/1s');
$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()');
fault($url, status => 429, headers => { 'X-RateLimit-Reset' => '2' });
for my $bounds ([ 1.9, 2.9 ], [ 2.9, 4.9 ], [ 4.9, 9 ])
{
	my ($least, $most) = @$bounds;

	wait_until(sub { key_budget($node, 'blocked_until IS NOT NULL', $id) ne 't' }, 'no block is left');
	$node->psql('postgres', 'SET chpg.max_retries = 0; SELECT FROM chpg_organizations()');
	my $block = key_budget($node, 'extract(epoch FROM blocked_until)', $id) - journal($url)->{requests}[-1]{answered_at};
	cmp_ok($block, '>', $least, "429 in a row: blocked for more than $least s");
	cmp_ok($block, '<', $most, "and for less than $most s");
}
clear_faults($url);
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_organizations()'), 1, 'the API takes a request again');
is(block($id, 'X-RateLimit-Reset' => 4), 't', 'the API rejects one more request');
is(key_budget($node, "blocked_until <= now() + interval '4 s'", $id), 't', 'which blocks until its reset only');

# All databases share the budget.
$id = use_new_key($node, $url, '3/1s');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION chpg; CREATE SERVER chpg FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', rate_limit '3/1s');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (key_id '$id', key_secret '$KEY_SECRET')");
$node->safe_psql($_, q{SET chpg.cache_ttl = '10s'; SELECT FROM chpg_organizations()}) for 'postgres', 'other';
is(request_count($url), 1, 'databases share cached responses');
$node->safe_psql('other', 'SELECT FROM chpg_organizations();' x 3);
$node->safe_psql('postgres', 'SELECT FROM chpg_organizations();' x 3);
is(request_count($url), 7, 'sessions in two databases send requests');
cmp_ok(max_arrivals(1), '<=', 3, 'and share the budget');

# A request that was never sent takes nothing from the budget: no program accepts this
# connection.
my $hole = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
my @backlog = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $hole->sockport, Blocking => 0) } 1 .. 3;
my $HOLE = q{SELECT FROM chpg_services('hole')};
$node->safe_psql('postgres',
	"CREATE SERVER hole FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'http://127.0.0.1:" . $hole->sockport . "', organization_id 'f001cfed-390b-4897-9d38-697e646612d2', rate_limit '1/60s');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER hole OPTIONS (key_id 'holeKey', key_secret 'x')");
fails_with($node, "SET chpg.connect_timeout = '200ms'; SET chpg.max_retries = 0; SET chpg.max_wait = '1s'; $HOLE", '08001', qr/no connection/, 'no connection') for 1 .. 3;
is(key_budget($node, 'used', 'hole...'), 0, 'takes nothing of the budget');
begin_in_session($sessions[2], $HOLE);
wait_until(sub { key_budget($node, 'used', 'hole...') eq '1' }, 'the session connects');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . active_pid('%hole%') . ')');
await_in_session($sessions[2], qr/ERROR:  57014/);
is(key_budget($node, 'used, waiting', 'hole...'), '0|0', 'nor does a request that is canceled before it is connected');

# Two servers with one key: the stricter limit holds for both. A change of the option
# acts at once.
$id = use_new_key($node, $url, 'unlimited');
my $organization = organization_id($url);
$node->safe_psql('postgres',
	"CREATE SERVER strict FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit '3/1s');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER strict OPTIONS (key_id '$id', key_secret '$KEY_SECRET')");
clear_journal($url);
$node->safe_psql('postgres', q{SELECT FROM chpg_services('strict'); SELECT FROM chpg_services('chpg')} . '; SELECT FROM chpg_services(\'chpg\')' x 5);
cmp_ok(max_arrivals(1), '<=', 3, 'the stricter limit of a key holds');
$node->safe_psql('postgres', q{ALTER SERVER strict OPTIONS (SET rate_limit 'unlimited'); SELECT FROM chpg_services('strict')});
$node->safe_psql('postgres', 'SELECT chpg_stats_reset()');
$node->safe_psql('postgres', q{SELECT FROM chpg_services('chpg');} x 20);
is($node->safe_psql('postgres', "SELECT sum(requests), sum(waits) FROM chpg_stats WHERE key_id = '$id'"), '20|0', 'without a limit no call waits');
is(key_budget($node, 'rate_limit, free', $id), 'unlimited|', 'the budget shows that there is no limit');

# A role that knows the id of a key, but not its secret, cannot change that key's
# budget.
$node->safe_psql('postgres',
	"CREATE ROLE stranger LOGIN; CREATE ROLE monitor LOGIN IN ROLE pg_monitor;"
	  . "CREATE SERVER poison FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit '1/3600s');"
	  . "GRANT USAGE ON FOREIGN SERVER poison TO stranger;"
	  . "CREATE USER MAPPING FOR stranger SERVER poison OPTIONS (key_id '$id', key_secret 'wrong')");
my @stranger = (extra_params => [ '-U', 'stranger' ]);
fails_with($node, 'SELECT * FROM chpg_services(\'poison\')', '28000', qr/did not accept the key/, 'a wrong secret', @stranger);
costs($node, $url, q{SET chpg.max_wait = 0; SELECT FROM chpg_services('chpg')}, 1, 'a call is not throttled by a stranger with the same key id');
is($node->safe_psql('postgres', 'SELECT server FROM chpg_budget', @stranger), 'poison', 'a role sees its own budget only');
is($node->safe_psql('postgres', "SELECT sum(refused) || ' of ' || sum(requests) FROM chpg_stats", @stranger), '1 of 1', 'and its own statistics');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_budget', extra_params => [ '-U', 'monitor' ]), '>', 5, 'a monitor sees all');
fails_with($node, "SELECT $_()", '42501', qr/permission denied/, "$_ by a stranger", @stranger) for 'chpg_stats_reset', 'chpg_cache_reset', 'chpg_budget_reset';

# The requests of a key still count after many other keys have been used.
$id = use_new_key($node, $url, '3/300s');
$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()') for 1 .. 3;
$node->safe_psql('postgres', 'CREATE ROLE many LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO many');
$node->psql('postgres',
	"CREATE SERVER many FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'http://127.0.0.1:1', organization_id '$organization');"
	  . "CREATE USER MAPPING FOR many SERVER many OPTIONS (key_id '0', key_secret 'x'); SET chpg.max_retries = 0;\n"
	  . join('', map { "ALTER USER MAPPING FOR many SERVER many OPTIONS (SET key_id '$_'); SELECT FROM chpg_services('many');\n" } 1 .. 150),
	on_error_stop => 0, extra_params => [ '-U', 'many' ]);
fails_with($node, q{SET chpg.max_wait = '1s'; SELECT FROM chpg_organizations('chpg')}, '53400', qr/budget is used up/, 'a key with recent requests, beside many other keys');
is(request_count($url), 3, 'sends no fourth request');

# A role without a key sees none; a mapping for PUBLIC is visible to roles that may use
# the server.
$node->safe_psql('postgres', 'CREATE ROLE keyless LOGIN; CREATE ROLE public_user LOGIN; GRANT USAGE ON FOREIGN SERVER chpg TO public_user;'
	  . "CREATE USER MAPPING FOR PUBLIC SERVER chpg OPTIONS (key_id '$id', key_secret '$KEY_SECRET')");
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM chpg_budget), (SELECT count(*) FROM chpg_stats)', extra_params => [ '-U', 'keyless' ]), '0|0', 'without a key nothing is seen');
is($node->safe_psql('postgres', 'SELECT DISTINCT key_id FROM chpg_stats', extra_params => [ '-U', 'public_user' ]), $id, 'with that of PUBLIC only its numbers');
$node->safe_psql('postgres', 'DROP USER MAPPING FOR PUBLIC SERVER chpg');

# The counters of a key
$id = use_new_key($node, $url, 'unlimited');
fault($url, path => 'postgres$', times => 1, encoding => 'gzip');
$node->safe_psql('postgres', q{SELECT FROM chpg_services('chpg')});
clear_faults($url);
fault($url, path => 'postgres$', times => 1, status => 503);
$node->safe_psql('postgres', q{SELECT FROM chpg_services('chpg')});
fault($url, path => 'postgres$', times => 1, status => 403);
$node->psql('postgres', q{SELECT FROM chpg_services('chpg')});
fault($url, path => 'postgres$', times => 1, reset => 'before');
$node->psql('postgres', q{SELECT FROM chpg_services('chpg')});
is( $node->safe_psql('postgres',
		"SELECT operation, requests, succeeded, refused, rate_limited, failed, broken, retries, waits, received_bytes < decoded_bytes * 3, connections_opened >= 4 FROM chpg_stats WHERE key_id = '$id'"),
	'GET /v1/organizations/{organization_id}/postgres|6|3|1|0|1|1|2|0|t|t', 'each outcome is counted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_stats WHERE requests < succeeded + refused + rate_limited + failed + broken'), 0, 'outcomes are counted for requests that were sent');
$node->safe_psql('postgres', 'SELECT chpg_stats_reset()');
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_stats'), 0, 'counting can begin anew');

# A kept connection that closes does not cause a second request for one place in the
# budget.
my ($kept) = @sessions;
use_new_key($node, $url, '3/20s');
in_session($kept, q{SET chpg.max_retries = 0; SELECT FROM chpg_services('chpg')});
fault($url, close => JSON::PP::true);
in_session($kept, q{SELECT FROM chpg_services('chpg')}) for 1, 2;
is(request_count($url), 3, 'a connection that was closed: one request each');

# The first request after a crash succeeds.
clear_faults($url);
$id = use_new_key($node, $url, 'unlimited');
fault($url, hang => JSON::PP::true, times => 1);
my $victim = open_session($node);
my $pid = in_session($victim, 'SELECT pg_backend_pid()');
begin_in_session($victim, q{SELECT FROM chpg_services('chpg')});
wait_until(sub { request_count($url) == 1 }, 'its request is under way');
$_->quit for @sessions;
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
kill_backend($node, $pid);
costs($node, $url, q{SELECT FROM chpg_services('chpg')}, 1, 'the first request after a crash');
is(key_budget($node, 'waiting', $id), 0, 'nothing is left of before');

# A shutdown does not wait for turns.
use_new_key($node, $url, '1/30s');
my $waiter = open_session($node);
begin_in_session($waiter, 'SELECT FROM chpg_organizations(); SELECT FROM chpg_organizations()');
wait_until(sub { $node->safe_psql('postgres', "SELECT sum(waiting) FROM chpg_budget") eq '1' }, 'a session waits');
my $started = time;
$node->restart;
cmp_ok(time - $started, '<', 20, 'a restart does not wait for sessions in the queue');

done_testing();
