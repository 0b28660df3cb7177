# Sessions that send the same request cost one, also when that request waits long for
# its turn: a follower waits as long as it would for a request of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $LIST = 'SELECT count(*) FROM chpg_services()';
my $CACHED = q{SET chpg.cache_ttl = '1 h';};

# A request takes less time than this, and a turn comes later.
my $REQUEST_TIMEOUT = "SET chpg.request_timeout = '3s'";
my $LONGER = '3500 ms';

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'", "chpg.max_wait = '10 min'");
$node->safe_psql('postgres', connect_sql($url));
my $monitor = open_session($node);
my @sessions = map { open_session($node) } 1 .. 8;
my @busy = map { open_session($node) } 1 .. 12;
in_session($_, "$CACHED $REQUEST_TIMEOUT; LOAD 'chpg'") for @sessions, @busy;

# The requests for the list
sub lists
{
	return scalar grep { $_->{path} =~ /postgres$/ } @{ journal($url)->{requests} };
}

# The requests for a service's patterns with this status in the response
sub pattern_requests
{
	my ($status) = @_;
	return scalar grep { $_->{path} =~ /slowQueryPatterns$/ && ($_->{status} // 0) == $status } @{ journal($url)->{requests} };
}

# A statement whose request no other session sends
sub question
{
	my ($number) = @_;
	return "SELECT FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 12:00Z'::timestamptz + interval '$number s', '$ORDERS', max_rows => 1)";
}

# Empty the cache, and limit the key's requests from now on.
sub begin_anew
{
	my ($limit) = @_;
	reset_emulator($url);
	in_session($monitor, "ALTER SERVER chpg OPTIONS (SET rate_limit '$limit'); SELECT chpg_cache_reset()");
	return;
}

# Block the key, for half a minute at most, until end_block().
my $asked = 0;
sub begin_block
{
	begin_anew('unlimited');
	fault($url, status => 429, headers => { 'X-RateLimit-Reset' => '30' }, times => 1);
	in_session($monitor, 'SET chpg.max_retries = 0;' . question(++$asked));
	like($monitor->{stderr}, qr/ERROR:  53400/, 'the key is blocked');
	return;
}

sub end_block
{
	in_session($monitor, 'SELECT chpg_budget_reset()');
	return;
}

# Wait until this many sessions wait for a turn, and this many for another session's
# response.
sub wait_for_waits
{
	my ($queued, $following) = @_;
	wait_until(
		sub {
			in_session($monitor, 'SELECT waiting FROM chpg_budget') == $queued
			  && in_session($monitor, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Extension'") == $queued + $following;
		},
		"$queued sessions are queued, and $following follow");
	return;
}

# One session begins, and the others send the same request.
sub all_ask
{
	my ($sql, @all) = @_;
	my ($leader, @followers) = @all;

	begin_in_session($leader, $sql);
	wait_for_waits(1, 0);
	begin_in_session($_, $sql) for @followers;
	wait_for_waits(1, scalar @followers);
	return;
}

# Wait until all of them have waited for longer than a request may take.
sub wait_longer
{
	wait_until(
		sub { in_session($monitor, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query_start > clock_timestamp() - interval '$LONGER'") == 0 },
		'all have waited for long');
	return;
}

# What each session printed last, errors included
sub printed
{
	return map { in_session($_, '\echo') =~ s/\s+$//r . ($_->{stderr} =~ /(ERROR:  \w+)/ ? $1 : '') } @_;
}

# The leader waits longer than a request may take.
begin_block();
all_ask($LIST, @sessions[ 0 .. 4 ]);
wait_longer();
end_block();
is_deeply([ printed(@sessions[ 0 .. 4 ]) ], [ (6) x 5 ], 'five sessions that wait long get their rows');
is(lists(), 1, 'with one request');

# So it does behind many others.
begin_anew('4/1s');
for my $number (0 .. $#busy)
{
	begin_in_session($busy[$number], join ';', map { question(1000 + 10 * $number + $_) } 1 .. 3);
}
wait_until(sub { in_session($monitor, 'SELECT waiting FROM chpg_budget') >= 6 }, 'many sessions are queued');
begin_in_session($_, $LIST) for @sessions;
is_deeply([ printed(@sessions) ], [ (6) x 8 ], 'eight sessions behind twelve busy ones get their rows');
is(lists(), 1, 'with one request');
printed(@busy);

# Followers also wait for a leader that retries.
begin_anew('unlimited');
fault($url, status => 503, headers => { 'Retry-After' => '6' }, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { lists() == 1 && defined journal($url)->{requests}[0]{status} }, 'a request has failed');
begin_in_session($_, $LIST) for @sessions[ 1 .. 4 ];
is_deeply([ printed(@sessions[ 0 .. 4 ]) ], [ (6) x 5 ], 'followers of a leader that retries get their rows');
is(lists(), 2, 'with the failed request and its retry');

# Rejected calls of a fleet are retried one after another, each in a flight of its own.
# The block is longer than the ten seconds after which a follower takes over the flight
# of a leader that does not report.
begin_anew('unlimited');
in_session($_, "SET chpg.request_timeout = '1 min'; SELECT FROM chpg_services()") for @sessions[ 0, 1 ];
fault($url, path => 'slowQueryPatterns$', times => 6, status => 429, headers => { 'X-RateLimit-Reset' => 14 });
my $fleet = "SELECT count(*) > 0 FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z')";
begin_in_session($sessions[0], $fleet);
wait_until(sub { in_session($monitor, 'SELECT waiting FROM chpg_budget') == 1 && pattern_requests(429) == 6 }, 'the API rejects all requests of a fleet');
begin_in_session($sessions[1], $fleet);
is_deeply([ printed(@sessions[ 0, 1 ]) ], [ 't', 't' ], 'sessions that read a fleet whose requests were rejected together get its rows');
is(pattern_requests(200), 6, 'with one request for each service');
in_session($_, $REQUEST_TIMEOUT) for @sessions[ 0, 1 ];

# When the leader leaves, a follower takes its place.
begin_block();
my $pid = in_session($sessions[0], 'SELECT pg_backend_pid()');
all_ask($LIST, @sessions[ 0 .. 4 ]);
in_session($monitor, "SELECT pg_cancel_backend($pid)");
wait_for_waits(1, 3);
end_block();
is_deeply([ printed(@sessions[ 0 .. 4 ]) ], [ 'ERROR:  57014', (6) x 4 ], 'only the leader that was canceled in the queue fails');
is(lists(), 1, 'the other sessions share one request');

# So it does when the leader is stopped, and resumes when all is over.
begin_block();
all_ask($LIST, @sessions[ 0 .. 4 ]);
kill 'STOP', $pid;
end_block();
is_deeply([ printed(@sessions[ 1 .. 4 ]) ], [ (6) x 4 ], 'a leader that is stopped in the queue delays no follower');
kill 'CONT', $pid;
is_deeply([ printed($sessions[0]) ], [6], 'and gets the response of the others');
is(lists(), 1, 'which share one request');

# Each follower waits only as long as it may, and then sends its own request.
begin_block();
all_ask($LIST, @sessions[ 0, 1 ]);
fails_with($node, "$CACHED SET chpg.max_wait = '100ms'; $LIST", '53400', qr/budget does not allow it in time|budget is used up.*chpg\.max_wait/s, 'a follower with less time');
is(lists(), 0, 'fails without a request');
end_block();
is_deeply([ printed(@sessions[ 0, 1 ]) ], [ 6, 6 ], 'which does not affect other sessions');
is(lists(), 1, 'which wait for one request');

# The statement's time limit covers all flights that it follows: each of these responses
# arrives in time, but not the three of them.
begin_anew('1/3s');
my @questions = map { question(++$asked) } 0 .. 3;
in_session($sessions[0], $questions[0]);
for my $i (1 .. 3)
{
	begin_in_session($sessions[$i], $questions[$i]);
	wait_until(sub { in_session($monitor, 'SELECT waiting FROM chpg_budget') == $i }, 'one more session waits');
}
fails_with($node, "$CACHED SET chpg.max_wait = '5s'; " . join(' UNION ALL ', @questions[ 1 .. 3 ]),
	'53400', qr/budget does not allow it in time|budget is used up.*chpg\.max_wait/s, 'a statement that follows several flights in turn');
cmp_ok(pattern_requests(200), '<', 4, 'fails before the last response');
in_session($_, 'SELECT') for @sessions[ 1 .. 3 ];
is(pattern_requests(200), 4, 'and costs no request');

# Once the request is sent, a follower waits as long as for one of its own.
begin_anew('1/5s');
in_session($sessions[0], q{SET chpg.request_timeout = '1 min'});
in_session($sessions[1], q{SET chpg.request_timeout = '300ms'});
fault($url, path => 'postgres$', latency_ms => 8000, times => 1);
begin_in_session($sessions[0], $LIST);
wait_until(sub { lists() == 1 }, 'a request is under way');
begin_in_session($sessions[1], $LIST);
wait_until(sub { in_session($monitor, 'SELECT waiting FROM chpg_budget') == 1 }, 'a follower gives up');
is_deeply([ printed(@sessions[ 0, 1 ]) ], [ 6, 6 ], 'a session that waits only for its turn, not for a slow request, gets its rows');
is(lists(), 1, 'that is there by then');
is(in_session($monitor, 'SELECT used FROM chpg_budget'), 0, 'and leaves its turn unused');
$_->quit for $monitor, @sessions, @busy;

done_testing();
