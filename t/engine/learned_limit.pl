# The rate limit that the API's responses describe: it is learned, kept under fixed and
# sliding windows, and forgotten when responses of the API come without it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use HTTP::Tiny;
use Test::More;
use Time::HiRes qw(sleep time);

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'");
my $id;

$node->safe_psql('postgres', connect_sql($url));

# What chpg_budget says of the key's limit
sub limit { return key_budget($node, 'rate_limit, rate_limit_source', $id) }

# The headers of a limit
sub headers
{
	my ($limit, $policy, @more) = @_;
	return ('X-RateLimit-Limit' => $limit, 'X-RateLimit-Policy' => $policy, @more);
}

# A new key, with this option, whose first response had these headers
sub learn
{
	my ($option, %headers) = @_;

	$id = use_new_key($node, $url, $option);
	respond_once(%headers);
	return limit();
}

# Send a request, whose response has these headers
sub respond_once
{
	my (%headers) = @_;

	fault($url, times => 1, headers => \%headers) if %headers;
	$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()');
	return limit();
}

sub refused { return scalar grep { ($_->{status} // 0) == 429 } @{ journal($url)->{requests} } }

# Seconds from the first arrival to the last
sub duration
{
	my @times = sort { $a <=> $b } map { $_->{at} } @{ journal($url)->{requests} };
	return $times[-1] - $times[0];
}

my $FLEET = "SELECT count(*) FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z')";

for my $kind ('sliding', 'fixed')
{
	my %enforced = (rate_window => $kind, patterns => 3);

	# A fleet of 39, and its list. Eight requests are under way at once, which remain
	# uncounted for a while: they are no others.
	$id = use_new_key($node, $url, 'auto', %enforced, rate_limit => '40/10s', rate_headers => '40/10s', services => 39);
	fault($url, latency_ms => 50);
	is($node->safe_psql('postgres', $FLEET), 117, "$kind windows: a fleet of 39 has all rows");
	is(request_count($url) . ' ' . refused(), '40 0', "$kind windows: with 40 requests, none of which the API refuses");
	cmp_ok(duration(), '<', 20, "$kind windows: not at the documented limit, which takes 30 seconds");
	is(limit(), '40/10s|headers', "$kind windows: chpg_budget shows the limit");
	is(key_budget($node, 'remaining BETWEEN 0 AND 40', $id), 't', "$kind windows: and what remains of it");

	# Four backends with 120 requests
	$id = use_new_key($node, $url, 'auto', %enforced, rate_limit => '40/2s', rate_headers => '40/2s', services => 29);
	my @sessions = map { open_session($node) } 1 .. 4;
	begin_in_session($sessions[$_], "SELECT 'rows', count(*) FROM chpg_slow_patterns('$PAST_DATE 0$_:00Z', timestamptz '$PAST_DATE 0$_:00Z' + interval '1 day')") for 0 .. 3;
	is(in_session($_, "SELECT 'done'"), "rows|87\ndone", "$kind windows: each of four backends has all rows") for @sessions;
	is(request_count($url) . ' ' . refused(), '120 0', "$kind windows: with 120 requests, none of which the API refuses");
	# The least time is 4 seconds, and the benchmark measures how near to that it is.
	cmp_ok(duration(), '<', 40, "$kind windows: nor here, where that takes 110 seconds");
	$_->quit for @sessions;

	# Another program has used three quarters of the window.
	$id = use_new_key($node, $url, 'auto', %enforced, rate_limit => '20/4s', rate_headers => '20/4s', services => 19);
	wait_until(sub { my $now = time; $now - 4 * int($now / 4) < 1 }, 'a fixed window begins');
	my $began = time;
	(my $elsewhere = $url) =~ s{//}{//$id:$KEY_SECRET@};
	for (1 .. 15)
	{
		# Not all at once: a sliding window frees them one by one.
		HTTP::Tiny->new->get("$elsewhere/v1/organizations");
		sleep 0.04;
	}
	clear_journal($url);
	is($node->safe_psql('postgres', $FLEET), 57, "$kind windows: beside another program, all rows are there");
	is(request_count($url) . ' ' . refused(), '20 0', "$kind windows: the API refuses no request");
	# None of its requests is given back within three seconds, however long they took.
	my @early = grep { $_->{at} < $began + 3 } @{ journal($url)->{requests} };
	cmp_ok(scalar @early, '<=', 5, "$kind windows: no more are sent than remain");
}
clear_faults($url);

# Limits that are believed
is(learn('auto', headers(@$_[ 0, 1 ])), "$_->[2]|headers", "$_->[0] of $_->[1]")
  for [ 40, '40;w=10;comment="fixed window"', '40/10s' ], [ 1, '1;w=1', '1/1s' ], [ 1000, '1000;w=60', '1000/60s' ],
  [ 5, '5 ; burst=9 ; w=10', '5/10s' ], [ 40, '40;comment="a, \";w=1";w=10', '40/10s' ];

# And those that are not: the documented one is back.
for my $case (
	[ 40, undef ], [ undef, '40;w=10' ], [ 40, '41;w=10' ], [ 40, '40' ], [ 0, '0;w=10' ], [ 1001, '1001;w=10' ],
	[ 40, '40;w=0' ], [ 40, '40;w=61' ], [ 40, '40;w=10;w=20' ], [ 40, '40;w=1e1' ], [ 40, '40;w=10x' ], [ 40, '40;w=10, 40;w=20' ],
	[ '40x', '40;w=10' ], [ '+40', '40;w=10' ], [ '040000', '40;w=10' ], [ 40, '40;w="10"' ], [ 40, '40;w=10;comment="x' ], [ 40, '40;w=10;' ])
{
	my ($limit, $policy) = @$case;
	my %headers = (defined $limit ? ('X-RateLimit-Limit' => $limit) : (), defined $policy ? ('X-RateLimit-Policy' => $policy) : ());

	learn('auto', headers(40, '40;w=10'));
	is(respond_once(%headers), '10/10s|documented', 'not believed: ' . join ' of ', map { $_ // 'nothing' } $limit, $policy);
}

# Remaining and Reset that do not fit are unknown, and change no limit.
for my $case ([ 41, 5 ], [ -1, 5 ], [ 'x', 5 ], [ 0, 11 ], [ 0, 1_700_000_000 ], [ 0, 'x' ])
{
	my ($remaining, $reset) = @$case;

	learn('auto', headers(40, '40;w=10', 'X-RateLimit-Remaining' => $remaining, 'X-RateLimit-Reset' => $reset));
	is(limit() . ' ' . key_budget($node, 'free', $id), '40/10s|headers 39', "Remaining $remaining until $reset lowers nothing");
}

# Others have sent 34 requests: what remains is free, until the reset.
learn('auto', headers(40, '40;w=10;comment="fixed window"', 'X-RateLimit-Remaining' => 5, 'X-RateLimit-Reset' => 9.5));
is(key_budget($node, 'free, remaining', $id), '5|5', 'what remains is free');
respond_once(headers(40, '40;w=10;comment="fixed window"', 'X-RateLimit-Remaining' => 0, 'X-RateLimit-Reset' => 9.5));
is(key_budget($node, 'free, remaining', $id), '0|0', 'nothing is when nothing remains');
like(fails_with($node, "SET chpg.max_wait = '1s'; SELECT FROM chpg_organizations()", '53400', qr/budget is used up/, 'a request then'),
	qr/1 request is needed, and 0 can be sent now; the last could be sent in [5-9]\.\d s/, 'waits for the reset');

# A notice names the limit in force.
$id = use_new_key($node, $url, 'auto', services => 9);
fault($url, headers => { headers(4, '4;w=2') });
my ($status, $rows, $notices) = $node->psql('postgres', $FLEET);
like($notices, qr/requests queued \(limit 4 per 2 s\)/, 'a notice names the limit');
clear_faults($url);

# A lower limit holds at once.
learn('auto', headers(40, '40;w=10'));
is(respond_once(headers(3, '3;w=20')), '3/20s|headers', 'a lower limit holds at once');
$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()') if key_budget($node, 'free', $id) != 1;
is(key_budget($node, 'used, free', $id), '2|1', 'with the requests sent before');

# Responses that are not of the API show nothing.
learn('auto', headers(40, '40;w=10'));
for my $page ({ status => 502, body => '<html>Bad Gateway</html>', content_type => 'text/html' }, { status => 403, body => '{"error":"blocked"}' }, { body => '<html>Welcome</html>' })
{
	fault($url, times => 1, %$page);
	$node->psql('postgres', 'SET chpg.max_retries = 0; SELECT FROM chpg_organizations()');
	is(limit(), '40/10s|headers', "a proxy's page without the headers");
}
fault($url, times => 1, status => 404);
$node->psql('postgres', 'SELECT FROM chpg_organizations()');
is(limit(), '10/10s|documented', 'an error of the API without them');
is(key_budget($node, 'remaining', $id), '', 'no longer says what remains');
fault($url, times => 1, body => '<html>Welcome</html>', headers => { headers(40, '40;w=10') });
$node->psql('postgres', 'SELECT FROM chpg_organizations()');
is(limit(), '10/10s|documented', "a proxy's page with the headers");

# A 401 carries the headers, too.
fault($url, times => 1, status => 401, headers => { headers(40, '40;w=10') });
$node->psql('postgres', 'SELECT FROM chpg_organizations()');
is(limit(), '40/10s|headers', 'an error of the API with them');

# The option is an upper bound.
is(learn($_->[0], headers(40, '40;w=10')), $_->[1], "rate_limit $_->[0] and 40/10s")
  for [ '5/2s', '5/2s|option' ], [ '39/10s', '39/10s|option' ], [ '41/10s', '40/10s|headers' ], [ 'unlimited', '40/10s|headers' ];
is(respond_once(), 'unlimited|option', 'without the headers the option holds');

# A server with the option beside one without it
learn('auto', headers(40, '40;w=10'));
add_server($node, 'strict', api_url => $url, organization_id => organization_id($url), rate_limit => '7/10s');
$node->safe_psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER strict OPTIONS (SET key_id '$id')");
fault($url, times => 1, headers => { headers(40, '40;w=10') });
$node->safe_psql('postgres', q{SELECT FROM chpg_services('strict')});
is(limit(), '7/10s|option', 'the strictest limit of the servers holds');

# After a restart the documented limit, 10 in 10 s, holds, for requests sent before it, too.  One that
# takes so long that these no longer count is repeated.
my $began;
for (1 .. 20)
{
	learn('auto', headers(40, '40;w=20'));
	$began = time;
	respond_once(headers(40, '40;w=20')) for 1 .. 11;
	$node->restart;
	last if time < $began + 8;
}
my $error = fails_with($node, "SET chpg.max_wait = '100ms'; SELECT FROM chpg_organizations()", '53400', qr/budget is used up/, 'a restart');

done_testing();
