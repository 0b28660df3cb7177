# query_hex: a query_id that programs with numbers of double precision do not round, in
# each row of a pattern, and as a filter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $REST = q{db_name = 'sales' AND db_user = 'orders_service' AND db_operation = 'SELECT'};
my $HEX = 'be1b95fa4bff67d9';

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'");

$node->safe_psql('postgres', connect_sql($url));
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');

# Conversion in both directions
is(sql("SELECT chpg_query_hex(v), chpg_query_id(chpg_query_hex(v)) = v FROM unnest('{-4748036479882663975,0,10,9223372036854775807,-9223372036854775808}'::bigint[]) v"),
	"$HEX|t\n0000000000000000|t\n000000000000000a|t\n7fffffffffffffff|t\n8000000000000000|t",
	'each query_id has 16 digits, which no other one has');
is(sql("SELECT chpg_query_id(upper('$HEX'))"), '-4748036479882663975', 'in capitals, too');
is(sql("SELECT count(chpg_query_id(v)) FROM unnest(ARRAY['', 'be1b', '${HEX}0', 'xe1b95fa4bff67d9', E'$HEX\\n', '-748036479882663']) v"),
	0, 'other texts stand for none');

# Each row of a pattern
is(sql("SELECT count(*) > 50, bool_and(query_hex = lpad(to_hex(query_id), 16, '0')) FROM chpg_slow_patterns($DAY, '$ORDERS')"),
	't|t', 'in chpg_slow_patterns()');
is(sql("SELECT DISTINCT query_hex FROM chpg_slow_pattern_executions('$ORDERS', chpg_query_id('$HEX'), 'sales', 'orders_service', 'SELECT')"),
	$HEX, 'in chpg_slow_pattern_executions(), called with it');
is(sql("SELECT query_hex FROM chpg_slow_pattern('$ORDERS', -4748036479882663975, 'sales', 'orders_service', 'SELECT')"),
	$HEX, 'in chpg_slow_pattern()');
fault($url, path => 'slowQueryPatterns/', patch => { 'result.aggregate.queryId' => { '$delete' => 1 } }, times => 1);
is(sql("SELECT query_hex FROM chpg_slow_pattern('$ORDERS', -4748036479882663975, 'sales', 'orders_service', 'SELECT')"),
	$HEX, 'also where the response omits the id');
for my $call ("chpg_period_patterns(tstzrange($DAY), '$ORDERS')",
	"chpg_compare(tstzrange(now() - interval '2 days', now() - interval '1 day'), tstzrange($DAY), '$ORDERS')")
{
	is(sql("SELECT count(*) > 20, bool_and(query_hex = chpg_query_hex(query_id)) FROM $call"), 't|t', 'in ' . $call =~ s/\(.*/()/r);
}
is(sql("SELECT count(*) > 0, bool_and(evidence->>'query_hex' = chpg_query_hex((evidence->>'query_id')::bigint)) FROM chpg_findings(tstzrange($DAY), '$ORDERS') WHERE evidence ? 'query_id'"),
	't|t', 'in the evidence of findings');

# As a filter of tables
my $executions = sql("SELECT count(*) FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_id = -4748036479882663975 AND $REST");
cmp_ok($executions, '>', 0, 'a pattern has executions');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_hex = '$HEX' AND $REST", 1, 'executions by query_hex'),
	$executions, 'are the same as with query_id');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_hex IN ('$HEX', 'nonsense', '$HEX', '000000000000000a') AND $REST", 2, 'by a list'),
	$executions, 'are the same, too');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_hex = 'nonsense' AND $REST", 0, 'by another text'),
	0, 'there are none');
is(costs($node, $url, "SELECT count(*) FROM (SELECT * FROM chpg_slow_patterns($DAY, '$ORDERS', app => 'orders-api', max_rows => 1)) p JOIN cloud.slow_pattern_executions e USING (service_id, query_hex, db_name, db_user, db_operation)", 2, 'joined by query_hex'),
	$executions, 'are the rows of the pattern');
is(sql("SELECT count(*) FROM cloud.slow_patterns WHERE from_date = now() - interval '1 day' AND to_date = now() AND service_id = '$ORDERS' AND query_hex = '$HEX'"),
	sql("SELECT count(*) FROM chpg_slow_patterns($DAY, '$ORDERS') WHERE query_id = -4748036479882663975"), 'patterns by query_hex');

done_testing();
