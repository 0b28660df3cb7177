# Requests that change something: each is sent once, whatever its response is, and reads
# before it are not reused after it. Reads are retried where writes are not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use Test::More;

my $LIST = 'SELECT count(*) FROM chpg_services()';
my $CREATE = q{SELECT FROM chpg_create_service('new', 'aws', 'us-west-2', 'r8gd.large')};
my $CACHED = q{SET chpg.cache_ttl = '1 h';};
my %LOST = (carry_out => JSON::PP::true, close => JSON::PP::true);

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'");
$node->safe_psql('postgres', connect_sql($url));
my ($reader, $writer) = map { open_session($node) } 1 .. 2;
in_session($reader, "$CACHED LOAD 'chpg'");

# The requests of this method
sub sent
{
	my ($method) = @_;
	return scalar grep { $_->{method} eq $method } @{ journal($url)->{requests} };
}

sub begin_anew
{
	reset_emulator($url, transition_polls => 0);
	$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
	return;
}

# 408 and 425 mean that the request was not read in time, or too early: a read is
# retried.
for my $status (408, 425)
{
	begin_anew();
	$node->safe_psql('postgres', 'SELECT chpg_stats_reset()');
	fault($url, status => $status, times => 2);
	is(costs($node, $url, $LIST, 3, "a read that gets $status twice"), 6, "a read after $status");
	fault($url, status => $status);
	fails_with($node, "SET chpg.max_retries = 0; $LIST", '58000', qr/the API failed.*HTTP status $status, .*1 attempt/s, "a read that always gets $status");
	is($node->safe_psql('postgres', 'SELECT sum(refused) FROM chpg_stats'), 3, "each $status is counted");
}

# A write with the response 408 may have been carried out or not.
begin_anew();
fault($url, method => 'POST', status => 408, carry_out => JSON::PP::true);
fails_with($node, $CREATE, '08007', qr/may have been carried out.*HTTP status 408, .*1 attempt/s, 'a write that gets 408');
is(sent('POST'), 1, 'a write that gets 408 is not sent again');
begin_anew();
fault($url, method => 'POST', status => 425);
fails_with($node, $CREATE, '22023', qr/the API rejected the request.*HTTP status 425, .*1 attempt/s, 'a write that gets 425');
is(sent('POST'), 1, 'a write that gets 425 is not sent again');

# A kept connection that closes without a response: libcurl would resend the request, a
# decision which belongs to the call; a write is never resent.
begin_anew();
fault($url, method => 'POST', %LOST);
fails_with($node, "$LIST; $CREATE", '08007', qr/may have been carried out/, 'a write after a read, whose response is lost');
is(sent('POST'), 1, 'the write is sent once');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_services() WHERE name = 'new'"), 1, 'and carried out once');
begin_anew();
fault($url, close => JSON::PP::true, skip => 1, times => 1);
$node->safe_psql('postgres', 'SELECT chpg_stats_reset()');
is(costs($node, $url, "$LIST; $LIST", 3, 'a read on a kept connection that closes'), "6\n6", 'succeeds');
is($node->safe_psql('postgres', 'SELECT sum(requests), sum(retries), sum(broken) FROM chpg_stats'), '3|1|1', 'by a request that is counted');
fault($url, close => JSON::PP::true, skip => 1, times => 1);
fails_with($node, "SET chpg.max_retries = 0; $LIST; $LIST", '08006', qr/closed without a response/, 'and without retries is not');

# A write has a connection of its own.
for my $case ([ 'after a read', "$LIST; $CREATE", 2 ], [ 'before a read', "$CREATE; $LIST", 2 ])
{
	begin_anew();
	costs($node, $url, $case->[1], 2, "a write $case->[0]");
	is(connections($url), $case->[2], "a write $case->[0] has a connection of its own");
}

# A change and its key's cached responses: a read that was sent during the change does
# not serve reads after it.
begin_anew();
in_session($reader, $LIST);
fault($url, method => 'POST', latency_ms => 1500);
begin_in_session($writer, $CREATE);
wait_until(sub { sent('POST') == 1 }, 'a change is under way');
clear_journal($url);
is(in_session($reader, $LIST), 6, 'a read meanwhile returns the old state');
is(sent('GET'), 1, 'and sends a request');
in_session($writer, 'SELECT');
clear_journal($url);
is(in_session($reader, $LIST), 7, 'a read afterwards returns the new state');
is(sent('GET'), 1, 'and sends a request, too');

# The same for a change that is given up
begin_anew();
my $pid = in_session($writer, 'SELECT pg_backend_pid()');
fault($url, method => 'POST', hang => JSON::PP::true, carry_out => JSON::PP::true);
begin_in_session($writer, $CREATE);
wait_until(sub { sent('POST') == 1 }, 'a change is under way');
in_session($reader, $LIST);
control($url, 'POST', 'services/orders', { state => 'restarting' });
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
await_in_session($writer, qr/ERROR:  57014/);
in_session($writer, 'SELECT');
is(in_session($reader, "SELECT state FROM chpg_services() WHERE id = '$ORDERS'"), 'restarting', 'after a change that was canceled, reads send a request');

# Within a statement, a read that was under way before a change is not awaited after it.
# The time limit is shorter than the read that hangs.
reset_emulator($url, services => 2, patterns => 700);
my $billing = $node->safe_psql('postgres', "SELECT id FROM chpg_services() WHERE name = 'billing'");
my $FLEET = "SELECT FROM cloud.slow_patterns WHERE from_date = '$PAST_DATE 00:00Z' AND to_date = '$PAST_DATE 24:00Z'";
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
# The second page of one read is under way while another read waits for its first page.
fault($url, path => "/$ORDERS/", query => 'offset=0', latency_ms => 3000, times => 1);
fault($url, path => "/$billing/", query => 'offset=500', hang => JSON::PP::true, times => 1);
is($node->safe_psql('postgres', "$CACHED SET chpg.request_timeout = '1 h'; SET statement_timeout = '60s';"
		. " SELECT (SELECT count(*) FROM ($FLEET AND random() >= 0 LIMIT 600) a), (SELECT count(*) FROM chpg_set_tags('$ORDERS', '{\"team\": \"data\"}')), (SELECT count(*) FROM ($FLEET) b)"),
	'600|1|1400', 'a fleet before and after a change');
is(scalar(grep { $_->{path} =~ m{/$billing/} } @{ journal($url)->{requests} }), 4, 'requests its pages twice');

# chpg_wait_until() needs three polls in a row that agree, and no more.
begin_anew();
costs($node, $url, "SELECT FROM chpg_wait('$ORDERS', poll_interval => '10 ms')", 3, 'a service that is ready: three polls');
fault($url, path => "$ORDERS\$", skip => 2, times => 1, patch => { 'result.state' => 'restarting' });
costs($node, $url, "SELECT FROM chpg_wait('$ORDERS', poll_interval => '10 ms')", 6, 'a service that is ready twice, and then is not: three more polls');
clear_faults($url);
fault($url, path => "$ORDERS\$", skip => 2, times => 1, status => 500);
costs($node, $url, "SELECT FROM chpg_wait('$ORDERS', poll_interval => '10 ms')", 6, 'a service whose third poll fails');
clear_faults($url);
fault($url, path => "$ORDERS\$", skip => 2, times => 1, status => 429, headers => { 'X-RateLimit-Reset' => '0.01' });
costs($node, $url, "SELECT FROM chpg_wait('$ORDERS', poll_interval => '10 ms')", 4, 'a poll with status 429 does not count');

$_->quit for $reader, $writer;
done_testing();
