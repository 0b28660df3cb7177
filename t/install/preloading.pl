# Before PostgreSQL 17, sessions share the request budget and the cache only if the
# postmaster loads chpg. A session that shares nothing gets one notice of that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $NOTICE = qr/NOTICE:  00000: sessions do not share chpg's request budget and cache: add chpg to "shared_preload_libraries"/;

my $url = start_emulator();
my $node = PostgreSQL::Test::Cluster->new('main');

$node->init;
$node->start;
$node->safe_psql('postgres', connect_sql($url));

# The notice: not without a request, at the first one, not again with
# parallel workers
my $expected = $node->pg_version < 17 ? 1 : 0;
my $session = open_session($node);
is(notices_of($session, 'SELECT FROM chpg_budget; SELECT FROM chpg_stats'), 0, 'no notice without a request');
is(notices_of($session, 'SELECT FROM chpg_services'), $expected, 'at the first request');
is(notices_of($session, 'SELECT FROM chpg_services; SELECT FROM chpg_health'), 0, 'and not again');
$session->quit;

$session = open_session($node);
in_session($session, 'SET ' . ($node->pg_version < 16 ? 'force_parallel_mode' : 'debug_parallel_query') . ' = on');
is(notices_of($session, 'SELECT count(*) FROM chpg_services'), $expected, 'once with parallel workers');
$session->quit;

# Sessions that share no budget could together exceed a limit above the documented one.
reset_emulator($url, rate_headers => '40/10s');
is($node->safe_psql('postgres', "ALTER SERVER chpg OPTIONS (SET rate_limit 'auto'); SET chpg.cache_ttl = 0; SELECT FROM chpg_services; SELECT rate_limit, rate_limit_source FROM chpg_budget"),
	$node->pg_version < 17 ? '10/10s|documented' : '40/10s|headers', 'a limit is learned where sessions share it');
$node->safe_psql('postgres', "ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')");
reset_emulator($url);

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'chpg'");
$node->restart;
$session = open_session($node);
is(notices_of($session, 'SELECT FROM chpg_services'), 0, 'never where sessions share');
$session->quit;

# Of a fleet, max_rows limits each service.
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT service_id) FROM chpg_slow_patterns($DAY, max_rows => 2)"),
	'12|6', 'max_rows limits each service');

sub notices_of
{
	my ($connected, $sql) = @_;

	in_session($connected, $sql);
	return scalar(() = $connected->{stderr} =~ /$NOTICE/g);
}

done_testing();
