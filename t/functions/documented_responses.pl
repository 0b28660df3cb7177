# The responses in the API's documentation, byte for byte, and how their query ids join
# with PostgreSQL's own statistics.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $PATTERN = "'$ORDERS', -4748036479882663975, 'sales', 'orders_service', 'SELECT'";

my $url = start_emulator();
my $node = start_node('main',
	"shared_preload_libraries = 'chpg, pg_stat_statements'",
	'compute_query_id = on', "timezone = 'UTC'");

$node->safe_psql('postgres',
	connect_sql($url) . 'CREATE EXTENSION pg_stat_statements; SELECT FROM chpg_services');

# Respond to the next request with a documented body.
sub serve
{
	my ($file) = @_;
	clear_faults($url);
	fault($url,
		path => 'postgres/',
		body => slurp_file("$FindBin::RealBin/../data/$file"),
		status => 200);
	return;
}

sub rows_are
{
	my ($sql, $expected, $name) = @_;
	is(costs($node, $url, $sql, 1, $name), $expected, "$name: rows");
	return;
}

# The response to the creation of a service, which is also that of reading it
serve('created_service.json');
rows_are("SELECT * FROM chpg_service('$ORDERS')",
	'pg7myrd1j06p3gx4zrm2ze8qz6|my postgres|creating|aws|us-west-2|18|r8gd.large|118|none|t|{}||'
	  . 'my-postgres-6d8d2e3e.pg7myrd1j06p3gx4zrm2ze8qz6.c0.us-west-2.aws.pg.clickhouse-dev.com|postgres|'
	  . 'vV6cfEr2p_-TzkCDrZOx|postgres://postgres:vV6cfEr2p_-TzkCDrZOx@'
	  . 'my-postgres-6d8d2e3e.pg7myrd1j06p3gx4zrm2ze8qz6.c0.us-west-2.aws.pg.clickhouse-dev.com:5432/postgres?channel_binding=require|',
	'a service');

# Patterns
serve('slow_patterns.json');
rows_are("SELECT * FROM chpg_slow_patterns('2026-05-25 00:00Z', '2026-05-26 00:00Z', '$ORDERS')",
	"$ORDERS|orders|-4748036479882663975|be1b95fa4bff67d9|SELECT * FROM orders WHERE customer_id = \$1 ORDER BY created_at DESC LIMIT \$2"
	  . '|sales|orders_service|SELECT|orders-api|84213|0|1012384556|12021|482915|9874|28431|41200'
	  . '|842130|19284|48217734|938472113|0',
	'a list of patterns');
is( journal($url)->{requests}[0]{query}{from_date} . ' '
	  . journal($url)->{requests}[0]{query}{to_date},
	'2026-05-25T00:00:00.000Z 2026-05-26T00:00:00.000Z',
	'times are sent in UTC, with milliseconds');

# One pattern; the arguments fill in the fields that its executions lack.
serve('slow_pattern.json');
rows_are("SELECT * FROM chpg_slow_pattern($PATTERN)",
	"$ORDERS|orders|-4748036479882663975|be1b95fa4bff67d9|SELECT * FROM orders WHERE customer_id = \$1 ORDER BY created_at DESC LIMIT \$2"
	  . '|sales|orders_service|SELECT||84213|||12021||||41200|||||',
	'a pattern');
rows_are(
	'SELECT service_id, executed_at, query_id, query_hex, db_name, db_user, db_operation, app, duration_us, "rows",'
	  . ' shared_blks_hit, shared_blks_read, temp_blks_written, cpu_user_time_us, cpu_sys_time_us,'
	  . ' parallel_workers_planned, wal_bytes, server_role, pid, err_message'
	  . " FROM chpg_slow_pattern_executions($PATTERN)",
	"$ORDERS|2026-05-25 16:42:09+00|-4748036479882663975|be1b95fa4bff67d9|sales|orders_service|SELECT||41200|10"
	  . '|412|3|0|38211|1044|0|0|primary||',
	'the executions of a pattern');
like(journal($url)->{requests}[0]{path},
	qr{/slowQueryPatterns/-4748036479882663975$}, 'a query id goes back verbatim');

# A response without a result is no empty result.
serve('deleted_service.json');
fails_with($node, "SELECT * FROM chpg_service('$ORDERS')", '08P01',
	qr/The response lacks "result"\. HTTP status 200, request id ac9bbffa-e370-410c-8bdd-bd24bf3d7f82/,
	'the response to a deletion');

# A query of this server, as the API would return it
$node->safe_psql('postgres',
	'CREATE TABLE orders (id bigint, total numeric); SELECT sum(total) FROM orders WHERE id > 17');
my $query_id = $node->safe_psql('postgres',
	"SELECT queryid FROM pg_stat_statements WHERE query LIKE 'SELECT sum(total)%'");
clear_faults($url);
fault($url, path => 'slowQueryPatterns',
	patch => { 'result.0.queryId' => $query_id });
is( costs($node, $url,
		'SELECT s.query, s.calls FROM chpg_slow_patterns('
		  . "$DAY, '$ORDERS', max_rows => 20) p JOIN pg_stat_statements s ON s.queryid = p.query_id",
		1,
		'patterns joined with pg_stat_statements'),
	'SELECT sum(total) FROM orders WHERE id > $1|1',
	'the query is found by its id');

done_testing();
