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

my $WINDOW = "'$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z'";
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

# A service that is not running, and answers with an error, is left out with a WARNING;
# chpg.on_service_error is for the others.
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
my $BETWEEN = "from_date = '$PAST_DATE 00:00Z' AND to_date = '$PAST_DATE 01:00Z'";
my $SPAN = qq{"timestamp" >= '$PAST_DATE 00:00Z' AND "timestamp" < '$PAST_DATE 01:00Z'};
my %FLEETS = (
	patterns => "chpg_slow_patterns($WINDOW)",
	logs => "chpg_logs($WINDOW)",
	metrics => "chpg_metrics($WINDOW, bucket => '1 hour')",
	config => 'chpg_config()',
	backups => 'chpg_backups()',
	'table of patterns' => "cloud.slow_patterns WHERE $BETWEEN",
	'table of logs' => "cloud.logs WHERE $SPAN",
	'table of metrics' => "cloud.metrics WHERE $SPAN AND bucket = '1 hour'",
	'table of settings' => 'cloud.config',
	'table of backups' => 'cloud.backups',
	'join of patterns' => "cloud.services s JOIN cloud.slow_patterns p ON p.service_id = s.id AND $BETWEEN",
	'join of Prometheus metrics' => 'cloud.services s, LATERAL (SELECT * FROM cloud.prometheus WHERE service_id = s.id OFFSET 0) p');
for my $case ([ refused => 400, '22023', 'rejected the request' ], [ unavailable => 503, '58000', 'failed' ])
{
	my ($option, $http, $state, $reason) = @$case;
	my $down = qr/could not [^\n]* of service (?:"search" \($id{search}\): the service|"$id{search}": the service, "search",) is "stopped", and the API $reason/;

	reset_emulator($url, not_running => $option, overrides => { map { $_ => { isPrimary => JSON::PP::true } } keys %id });
	$node->safe_psql('postgres', "SELECT FROM chpg_patch_config('billing', '{\"work_mem\": \"8MB\"}')");
	for my $name (sort keys %FLEETS)
	{
		my ($rc, $count, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET enable_hashjoin = off; SET enable_mergejoin = off; SELECT count(DISTINCT service_id) FROM $FLEETS{$name}");

		is($count, $name =~ /settings|config/ ? 1 : 5, "$option, $name: the other services are read") or diag($err);
		like($err, qr/\A\S+ WARNING:  $state: $down\n(?:DETAIL:  .*HTTP status $http.*\n)HINT:  Read it again when/, "$option, $name: a warning");
		is(scalar(() = $err =~ /(?:WARNING|NOTICE|ERROR):/g), 1, "$option, $name: one");
	}
	like(notices($node, 'SELECT FROM chpg_slow_patterns(' . $WINDOW . ')'), qr/DETAIL:  The API says: "BAD_REQUEST: Service is not running: stopped"/, "$option: says what the API said")
	  if $http == 400;
	fails_with($node, "SELECT FROM chpg_slow_patterns($WINDOW, '$id{search}')", $state, qr/: the API $reason/, "$option: the service alone, by id");
	fails_with($node, "SELECT FROM chpg_slow_patterns($WINDOW, 'search')", $state, qr/: the service is "stopped", and the API $reason/, "$option: the service alone, by name");
	fails_with($node, "SELECT FROM cloud.slow_patterns WHERE $BETWEEN AND service_id = '$id{search}'", $state, qr/: the API $reason/, "$option: the service alone, in a table");
	is(costs($node, $url, "SET client_min_messages = error; SELECT count(DISTINCT service_id) FROM cloud.slow_patterns WHERE $BETWEEN AND service_id IN ('$id{search}', '$id{billing}')", 3, "$option: one of two by id"), 1, 'is left out, by the list');
	is(costs($node, $url, "SET client_min_messages = error; SET chpg.max_retries = 3; $FLEET", $http == 503 ? 8 : 7, "$option: a fleet that retries"), 5, 'sends a 503 again once');
	for my $failure ([ 401, '28000' ], [ 403, '42501' ], [ 429, '53400' ])
	{
		only_fault($url, status => $failure->[0], headers => { 'X-RateLimit-Reset' => '0.1' }, path => "/$id{search}/");
		fails_with($node, $FLEET, $failure->[1], qr/of service "search" \($id{search}\): the (?:API did not|key)/, "$option: a $failure->[0] fails the fleet");
	}
	only_fault($url, status => 503, path => 'postgres$');
	fails_with($node, $FLEET, '58000', qr/could not list the services/, "$option: the list fails the fleet");
	fails_with($node, "SELECT FROM cloud.slow_patterns WHERE $BETWEEN AND service_id IN ('$id{search}', '$id{billing}')", '58000', qr/could not list the services.*^request GET \S+\/$id{search}\/slowQueryPatterns\S*, which failed with HTTP status $http\b/ms, "$option: a list that fails says for which failure it was read");
	only_fault($url, status => $http, path => "/$id{billing}/");
	fails_with($node, $FLEET, $state, qr/of service "billing" .*: the API $reason/, "$option: a running service fails the fleet");
	clear_faults($url);
	control($url, 'POST', "services/$_", { state => 'unavailable' }) for keys %id;
	fails_with($node, $FLEET, $state, qr/ERROR:  $state: .*the service is "unavailable", and the API $reason/, "$option: no error becomes an empty result");
}
for my $case ([ deleting => 0 ], [ creating => 0 ], [ stopped => 1 ])
{
	my ($state, $warnings) = @$case;

	reset_emulator($url, overrides => { billing => { state => $state } });
	fault($url, path => "/$id{billing}\$", status => 404);
	my ($rc, $rows, $err) = $node->psql('postgres', 'SELECT count(hostname) FROM cloud.service_details');
	is($rows, 5, "$state, and not found: the others are read");
	is(scalar(() = $err =~ /WARNING:  could not read service "billing" \($id{billing}\): the service is "$state", and the API did not find it/g), $warnings, "$state, and not found: a warning unless it comes or goes");
}
reset_emulator($url);
is(notices($node, $FLEET), '', 'a service that is not running and answers is read as any other');

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
