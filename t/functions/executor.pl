# Functions in every place of a statement: their rows, and the requests that the place
# costs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $PATTERNS = "chpg_slow_patterns($DAY, '$ORDERS')";

my $url = start_emulator();
my $node = start_node('main');

$node->safe_psql('postgres', connect_sql($url));

# Each statement costs this many requests, and prints this.
sub check
{
	my ($name, $sql, $requests, $expected) = @_;
	is(costs($node, $url, $sql, $requests, $name), $expected, "$name: rows");
	return;
}

# Prepared statements, in custom and in generic plans
foreach my $mode ('force_custom_plan', 'force_generic_plan', 'auto')
{
	my $prepare = "SET plan_cache_mode = $mode;"
	  . 'PREPARE by_id(text) AS SELECT name FROM chpg_service($1);';

	check("$mode, ten executions",
		$prepare . "EXECUTE by_id('$ORDERS');" x 10, 10, join("\n", ('orders') x 10));
	check("$mode, another value each time",
		$prepare . "EXECUTE by_id('$ORDERS'); EXECUTE by_id('billing')", 3, "orders\nbilling");
	fails_with($node, "$prepare EXECUTE by_id(NULL)", '22004',
		qr/argument "service" must not be null/, "$mode, a null parameter");
	fails_with($node, "$prepare EXECUTE by_id('')", '22023',
		qr/argument "service" must not be empty/, "$mode, a value that is refused");
}

# Cursors: the first row costs all requests, other rows none
check('a cursor that is not read', "BEGIN; DECLARE c CURSOR FOR SELECT name FROM chpg_services; COMMIT", 0, '');
check('a cursor that is closed early',
	'BEGIN; DECLARE c CURSOR FOR SELECT name FROM chpg_services ORDER BY name;'
	  . 'FETCH 2 FROM c; CLOSE c; SELECT count(*) FROM chpg_services; COMMIT',
	2, "analytics\nbilling\n6");
check('a cursor that is left open',
	"BEGIN; DECLARE c CURSOR FOR SELECT db_name IS NULL FROM $PATTERNS; FETCH c; COMMIT", 1, 'f');
check('a cursor that goes both ways',
	"BEGIN; DECLARE c SCROLL CURSOR FOR SELECT ordinality FROM chpg_services() WITH ORDINALITY;"
	  . "FETCH LAST FROM c; FETCH PRIOR FROM c; FETCH FIRST FROM c; FETCH ABSOLUTE 3 FROM c; FETCH BACKWARD 2 FROM c; COMMIT",
	1, "6\n5\n1\n3\n2\n1");
check('a cursor that outlives its transaction',
	'BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT name FROM chpg_services ORDER BY name; FETCH c; COMMIT;'
	  . 'FETCH c; FETCH c; CLOSE c',
	1, "analytics\nbilling\ninventory");
check('two cursors at a time',
	'BEGIN; DECLARE a CURSOR FOR SELECT name FROM chpg_services ORDER BY 1; DECLARE b CURSOR FOR SELECT name FROM chpg_services ORDER BY 1 DESC;'
	  . 'FETCH a; FETCH b; FETCH a; FETCH b; COMMIT',
	2, "analytics\nsessions\nbilling\nsearch");
check('a cursor and the rollback to a point after it',
	'BEGIN; DECLARE c CURSOR FOR SELECT name FROM chpg_services ORDER BY 1; FETCH c; SAVEPOINT s;'
	  . 'FETCH c; ROLLBACK TO s; FETCH c; COMMIT',
	1, "analytics\nbilling\ninventory");

# Subtransactions: after failures the session goes on, on one connection.
check('savepoints',
	"\\set ON_ERROR_STOP off\nBEGIN; SAVEPOINT s; SELECT FROM chpg_service('pg00000000000000000000000a'); ROLLBACK TO s;"
	  . "SELECT FROM chpg_service(''); ROLLBACK TO s; SELECT count(*) FROM chpg_services; COMMIT",
	2, '6');
is(connections($url), 1, 'savepoints: one connection');
check('a loop with failures',
	<<'SQL', 30, '10 20');
DO $$
DECLARE
	good integer := 0;
	bad integer := 0;
BEGIN
	FOR i IN 1..30 LOOP
		BEGIN
			PERFORM FROM chpg_service(CASE WHEN i % 3 = 0 THEN 'pg7myrd1j06p3gx4zrm2ze8qz6'
			                               ELSE 'pg00000000000000000000000a' END);
			good := good + 1;
		EXCEPTION WHEN undefined_object THEN
			bad := bad + 1;
		END;
	END LOOP;
	PERFORM set_config('test.counts', good || ' ' || bad, false);
END $$;
SELECT current_setting('test.counts');
SQL
is(connections($url), 1, 'a loop with failures: one connection');
check('commits between rows', <<'SQL', 7, '6|6');
CREATE TABLE seen (name text, xid bigint DEFAULT txid_current());
DO $$
DECLARE
	service record;
BEGIN
	FOR service IN SELECT id FROM chpg_services LOOP
		INSERT INTO seen (name) SELECT name FROM chpg_service(service.id);
		COMMIT;
	END LOOP;
END $$;
SELECT count(*), count(DISTINCT xid) FROM seen;
DROP TABLE seen;
SQL

# NULL from a row gives no rows, and costs no request; as a constant it is an error.
check('lateral nulls',
	"SELECT v.id IS NULL, s.name FROM (VALUES (NULL), ('$ORDERS'), (NULL)) v(id), LATERAL chpg_service(v.id) s",
	1, 'f|orders');
check('outer lateral nulls',
	"SELECT v.n, s.name FROM (VALUES (1, NULL), (2, '$ORDERS')) v(n, id) LEFT JOIN LATERAL chpg_service(v.id) s ON true ORDER BY n",
	1, "1|\n2|orders");
check('lateral windows that are null',
	"SELECT v.n, count(p.query_id) > 0 FROM (VALUES (1, now()), (2, NULL)) v(n, until)"
	  . " LEFT JOIN LATERAL chpg_slow_patterns(v.until - interval '1 day', v.until, '$ORDERS') p ON true GROUP BY n ORDER BY n",
	1, "1|t\n2|f");
check('nulls in the list of results',
	"SELECT v.n, (chpg_service(v.id)).name FROM (VALUES (1, NULL), (2, '$ORDERS')) v(n, id)", 1, '2|orders');
check('a null window of a correlated subquery',
	"SELECT v.n, (SELECT count(*) FROM chpg_slow_patterns((SELECT v.period), '$ORDERS')) FROM (VALUES (1, NULL::interval), (2, NULL)) v(n, period)",
	0, "1|0\n2|0");
check('a table with one null',
	"CREATE TABLE ids (id text); INSERT INTO ids VALUES (NULL); SELECT count(*) FROM ids, LATERAL chpg_service(ids.id); DROP TABLE ids",
	0, 0);
foreach my $null ('NULL', 'NULL::text', "nullif('a', 'a')")
{
	clear_journal($url);
	fails_with($node, "SELECT * FROM chpg_service($null)", '22004', qr/argument "service" must not be null/,
		"the argument $null");
	is(request_count($url), 0, "the argument $null: no request");
}
# A subquery has one value for all rows.
foreach my $call ('chpg_slow_patterns((SELECT NULL::tstzrange))', 'chpg_slow_patterns((SELECT NULL)::interval)',
	'chpg_metrics((SELECT NULL::text))', 'chpg_logs((SELECT NULL::timestamptz))', "chpg_logs(current_setting('a.b', true)::interval)",
	'chpg_services s, chpg_slow_patterns((SELECT NULL::interval), s.id)', "chpg_service((SELECT rolname FROM pg_roles WHERE rolname = 'nobody'))")
{
	fails_with($node, "SELECT count(*) FROM $call", '22004', qr/argument "\w+" must not be null/, "no rows for $call");
}

# Everywhere in a statement
check('in the list of results', 'SELECT (chpg_services()).name ORDER BY 1 LIMIT 1', 1, 'analytics');
check('as a row', "SELECT (s).name, s.state FROM chpg_service('$ORDERS') s", 1, 'orders|running');
check('a call for each row', 'SELECT count(*) FROM (SELECT chpg_service(id) FROM chpg_services) s', 7, 6);
check('a subquery for each row',
	'SELECT count(*) FROM chpg_services s WHERE (SELECT d.name FROM chpg_service(s.id) d) = s.name', 7, 6);
check('functions side by side', 'SELECT count(*) FROM ROWS FROM (chpg_services(), chpg_organizations()) WITH ORDINALITY', 2, 6);
check('a self-join', 'SELECT count(*) FROM chpg_services a JOIN chpg_services b USING (id)', 1, 6);
foreach my $other ('hashjoin', 'nestloop', 'mergejoin')
{
	my $only = join '', map { "SET enable_$_ = off;" } grep { $_ ne $other } ('hashjoin', 'nestloop', 'mergejoin');
	check("a join by $other", "$only SELECT count(*) FROM generate_series(1, 100) i JOIN (SELECT length(name) AS n FROM chpg_services) s ON s.n = i",
		1, 6);
}
check('a nested loop without materialization',
	'SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;'
	  . 'SELECT count(*) FROM generate_series(1, 100) i LEFT JOIN chpg_services s ON length(s.name) = i', 1, 102);
check('UNION', 'SELECT count(*) FROM (TABLE chpg_services UNION TABLE chpg_services) u', 1, 6);
check('a common table expression, used twice',
	'WITH s AS MATERIALIZED (SELECT * FROM chpg_services) SELECT count(*) FROM s a, s b', 1, 36);
check('a call with the result of another',
	"SELECT name FROM chpg_service((SELECT id FROM chpg_services WHERE name = 'billing'))", 2, 'billing');
check('EXISTS', 'SELECT EXISTS (SELECT FROM chpg_services)', 1, 't');
check('aggregates and windows', 'SELECT name, rank() OVER (ORDER BY name) FROM chpg_services ORDER BY name LIMIT 1', 1, 'analytics|1');
check('CREATE TABLE AS', 'CREATE TABLE kept AS TABLE chpg_services; SELECT count(*), count(id) FROM kept', 1, '6|6');
check('INSERT', 'INSERT INTO kept SELECT * FROM chpg_services; SELECT count(*) FROM kept', 1, 12);
check('UPDATE', 'UPDATE kept SET state = s.state FROM chpg_services s WHERE s.id = kept.id AND false', 0, '');
check('a materialized view', 'CREATE MATERIALIZED VIEW snapshot AS TABLE chpg_services; REFRESH MATERIALIZED VIEW snapshot; SELECT count(*) FROM snapshot',
	2, 6);
check('COPY', 'COPY (SELECT name FROM chpg_services ORDER BY name LIMIT 2) TO STDOUT', 1, "analytics\nbilling");
$node->safe_psql('postgres', 'DROP MATERIALIZED VIEW snapshot; DROP TABLE kept');

# A function that the executor never starts costs no request.
check('LIMIT 0', 'SELECT name FROM chpg_services LIMIT 0', 0, '');
check('WHERE false', 'SELECT name FROM chpg_services WHERE false', 0, '');
check('a condition that is false when it runs',
	"SELECT name FROM chpg_services WHERE current_setting('server_version_num')::int < 0", 0, '');
check('a branch that is not taken', 'SELECT CASE WHEN random() < 0 THEN (SELECT max(name) FROM chpg_services) ELSE \'no\' END', 0, 'no');
check('a join with nothing', 'SELECT count(*) FROM (SELECT WHERE false) n, chpg_services', 0, 0);
check('creating a view', 'CREATE VIEW unread AS TABLE chpg_services; DROP VIEW unread', 0, '');
check('preparing', 'PREPARE unread AS TABLE chpg_services', 0, '');
foreach my $statement ('TABLE chpg_services', "SELECT * FROM $PATTERNS ORDER BY call_count LIMIT 3", 'SELECT chpg_services()')
{
	foreach my $options ('', '(VERBOSE)', '(FORMAT json)', '(COSTS off, SETTINGS)')
	{
		like(costs($node, $url, "EXPLAIN $options $statement", 0, "EXPLAIN $options $statement"),
			qr/chpg|ProjectSet/, "EXPLAIN $options $statement: shows the plan");
	}
	costs($node, $url, "EXPLAIN ANALYZE $statement", 1, "EXPLAIN ANALYZE $statement");
}

# Parallel plans run the functions in the leader.
my $force =
  $node->safe_psql('postgres', 'SHOW server_version_num') >= 160000 ? 'debug_parallel_query' : 'force_parallel_mode';
my $parallel = "SET $force = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;";
$node->safe_psql('postgres', 'CREATE TABLE numbers AS SELECT i FROM generate_series(1, 100000) i; ANALYZE numbers');
check('a forced parallel query', "$parallel SELECT count(*) FROM chpg_services", 1, 6);
check('a parallel scan beside it',
	"$parallel SELECT count(*) FROM numbers JOIN (SELECT length(name) AS n FROM chpg_services) s ON s.n = i", 1, 6);
check('a call for each row of a parallel scan',
	"$parallel SELECT count(*) FROM (SELECT chpg_service('$ORDERS') FROM numbers WHERE i <= 3) s", 1, 3);
$node->safe_psql('postgres', 'DROP TABLE numbers');

# Rows have the columns that the types have now.
check('an added attribute that the API does not have',
	'ALTER TYPE chpg_service_row ADD ATTRIBUTE unknown_thing text;'
	  . 'SELECT count(*), count(name), count(unknown_thing) FROM chpg_services()',
	1, '6|6|0');
check('a dropped attribute, and one that came back',
	'ALTER TYPE chpg_service_detail_row DROP ATTRIBUTE region; ALTER TYPE chpg_service_detail_row ADD ATTRIBUTE region_text text;'
	  . 'ALTER TYPE chpg_service_detail_row ADD ATTRIBUTE region text;'
	  . "SELECT name, region, hostname LIKE '%.%', region_text IS NULL FROM chpg_service('$ORDERS')",
	1, 'orders|us-west-2|t|t');
check('a prepared statement, and a type that changes',
	"PREPARE s AS SELECT name FROM chpg_service('$ORDERS'); EXECUTE s;"
	  . 'ALTER TYPE chpg_service_detail_row DROP ATTRIBUTE password; EXECUTE s',
	2, "orders\norders");

# DROP and CREATE EXTENSION, also within one session
fails_with($node, 'DROP EXTENSION chpg', '2BP01', qr/server chpg depends on foreign-data wrapper chpg/,
	'an extension with a server');
check('an extension that is created anew',
	'SET client_min_messages = warning; SELECT count(*) FROM chpg_services; DROP EXTENSION chpg CASCADE;'
	  . connect_sql($url) . 'SELECT count(*) FROM chpg_services; DROP EXTENSION chpg CASCADE',
	3, "6\nchpg|" . organization_id($url) . "|Acme Analytics|$url\n6");

# The extension works in a schema outside of search_path.
$node->safe_psql('postgres',
	"CREATE SCHEMA elsewhere; CREATE EXTENSION chpg SCHEMA elsewhere;"
	  . "SELECT elsewhere.chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$url')");
check('a schema that is not searched', "SET search_path = ''; SELECT count(*) FROM elsewhere.chpg_services", 1, 6);
check('a function in it', "SET search_path = ''; SELECT name FROM elsewhere.chpg_service('$ORDERS')", 1, 'orders');
check('connecting again from outside',
	"SET search_path = ''; SELECT server FROM elsewhere.chpg_connect('$KEY_ID', '$KEY_SECRET')", 1, 'chpg');
fails_with($node, 'TABLE chpg_services', '42P01', qr/relation "chpg_services" does not exist/, 'a name without its schema');

done_testing();
