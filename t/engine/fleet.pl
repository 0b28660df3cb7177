# Reading a whole fleet: several services at a time, and the rows of the others when one
# fails.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $WINDOW = "'$PAST_DATE 00:00Z', '$PAST_DATE 12:00Z'";
my $FLEET = "SELECT count(DISTINCT service_id) FROM chpg_slow_patterns($WINDOW)";
my $WARN = "\\set VERBOSITY verbose\nSET chpg.on_service_error = warning;";

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
my %id = map { split /\|/ } split /\n/, $node->safe_psql('postgres', 'SELECT name, id FROM chpg_services');

# The highest number of requests under way at once
sub most_at_once
{
	my @patterns = grep { $_->{path} =~ /slowQueryPatterns$/ } @{ journal($url)->{requests} };

	return max map { my $now = $_->{at}; scalar grep { $_->{at} <= $now && $now < $_->{answered_at} } @patterns } @patterns;
}

# A service that fails is an error, or a warning.
only_fault($url, status => 500, path => "/$id{billing}/");
fails_with($node, $FLEET, '58000', qr/of service "billing" \($id{billing}\): the API failed/, 'a fleet in which one service fails');
my ($status, $rows, $warnings) = $node->psql('postgres', "$WARN $FLEET");
is($rows, 5, 'with warnings: the other services have their rows');
like($warnings, qr/WARNING:  58000: could not read the slow query patterns of service "billing" .*DETAIL:  .*HTTP status 500/s, 'with warnings: the failed service is reported');
is(scalar(() = $warnings =~ /WARNING:/g), 1, 'with warnings: once');
only_fault($url, status => 404, path => "/$id{billing}/");
($status, $rows, $warnings) = $node->psql('postgres', "$WARN $FLEET");
is("$rows$warnings", 5, 'a service that has vanished is none to warn of');
only_fault($url, body => 'nonsense', path => "/$id{billing}/");
($status, $rows, $warnings) = $node->psql('postgres', "$WARN $FLEET");
is($rows, 5, 'nonsense is a failure, too');
only_fault($url, status => 500, path => 'slowQueryPatterns');
fails_with($node, "$WARN $FLEET", '58000', qr/ERROR:  58000: could not read the slow query patterns of service/, 'a fleet that fails as a whole');
only_fault($url, status => 401, path => "/$id{billing}/");
fails_with($node, "$WARN $FLEET", '28000', qr/did not accept the key/, 'a key that is not accepted');
only_fault($url, status => 429, headers => { 'X-RateLimit-Reset' => '0.1' }, path => "/$id{billing}/");
fails_with($node, "$WARN $FLEET", '53400', qr/budget is used up/, 'a budget that is used up');
only_fault($url, status => 500, path => "/$id{billing}/");
fails_with($node, "$WARN SELECT FROM chpg_slow_patterns($WINDOW, 'billing')", '58000', qr/ERROR:  58000/, 'a service that was named is no fleet');
only_fault($url, status => 403, path => 'slowQueryPatterns');
fails_with($node, "$WARN $FLEET", '42501', qr/ERROR:  42501/, 'a key without the permission');
only_fault($url, hang => JSON::PP::true, path => "/$id{billing}/");
($status, $rows, $warnings) = $node->psql('postgres', "$WARN SET chpg.request_timeout = '5s'; $FLEET");
is($rows, 5, 'with warnings: a service that does not respond');
like($warnings, qr/WARNING:  08006: /, 'with warnings: a warning');
only_fault($url, oversize_bytes => 1_500_000, path => "/$id{billing}/");
($status, $rows, $warnings) = $node->psql('postgres', "$WARN SET chpg.max_response_size = '1MB'; $FLEET");
is($rows, 5, 'with warnings: a service with too large a response');
like($warnings, qr/WARNING:  54000: /, 'with warnings: a warning');

# Where the list is cached, the response that never comes may be the first one of a new
# connection.
$node->safe_psql('postgres', "SET chpg.cache_ttl = '1min'; SELECT FROM chpg_services");
only_fault($url, hang => JSON::PP::true, path => 'slowQueryPatterns', times => 1);
($status, $rows, $warnings) = $node->psql('postgres', "$WARN SET chpg.cache_ttl = '1min'; SET chpg.request_timeout = '5s'; $FLEET");
is($rows, 5, 'the first request gets no response');

# A failure is reported at once, although other services have not responded yet.
only_fault($url, status => 403, path => "/$id{billing}/");
fault($url, hang => JSON::PP::true, path => 'slowQueryPatterns');
my $started = time;
fails_with($node, "SET chpg.request_timeout = '10min'; $FLEET", '42501', qr/billing/, 'a fleet of which one service fails and the others do not respond');
cmp_ok(time - $started, '<', 60, 'does not wait for them');
clear_faults($url);
fails_with($node, "LOAD 'chpg'; SET chpg.on_service_error = ignore", '22023', qr/HINT:  Available values: error, warning/, 'an unknown value of chpg.on_service_error');

# Cached responses need no budget.
$node->safe_psql('postgres', "SET chpg.cache_ttl = '1min'; $FLEET");
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '1/60s')});
is(costs($node, $url, "SET chpg.cache_ttl = '1min'; SET chpg.max_wait = 0; $FLEET", 0, 'a cached fleet'), 6, 'needs no budget');
is(costs($node, $url, "SET chpg.cache_ttl = '1min'; SET chpg.max_wait = 0; LOAD 'chpg'; DO \$\$ BEGIN FOR i IN 1 .. 500 LOOP PERFORM FROM chpg_slow_patterns($WINDOW); END LOOP; END \$\$", 0, 'the same five hundred times'), '', 'nor the time between two looks at the clock');
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});

# A page that fails does not take back the pages before it.
reset_emulator($url, services => 3, patterns => 700);
fault($url, status => 500, path => "/$id{billing}/", query => 'offset=500');
($status, $rows, $warnings) = $node->psql('postgres', "$WARN SELECT count(*) FROM chpg_slow_patterns($WINDOW)");
is($rows, 700 + 500 + 700, 'with warnings: the page before the failure stays');
is(scalar(() = $warnings =~ /WARNING:/g), 1, 'with warnings: one warning');

# The number of requests at a time
reset_emulator($url, services => 24, patterns => 3);
fault($url, path => 'slowQueryPatterns', latency_ms => 1000);
is(costs($node, $url, $FLEET, 25, 'a fleet'), 24, 'all are there');
is(most_at_once(), 8, 'eight at a time');
clear_faults($url);
fault($url, path => 'slowQueryPatterns', latency_ms => 100);
$node->safe_psql('postgres', "SET chpg.max_concurrency = 3; $FLEET");
clear_journal($url);
$node->safe_psql('postgres', "SET chpg.max_concurrency = 1; $FLEET");
is(most_at_once(), 1, 'one at a time, with chpg.max_concurrency = 1');

# Memory grows with the requests in flight, not with the fleet.
sub peak
{
	my ($services) = @_;
	my $session = open_session($node);
	my $pid;

	reset_emulator($url, services => $services, patterns => 500);
	$pid = in_session($session, "SELECT pg_backend_pid()");
	in_session($session, "SET work_mem = '1MB'; $FLEET");
	my ($kilobytes) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	$session->quit;
	return $kilobytes;
}

my ($few, $many) = (peak(10), peak(60));
note("peak memory for 10 services: $few kB, for 60: $many kB");
cmp_ok($many, '<', $few + 4096, 'six times the services take about as much memory');

done_testing();
