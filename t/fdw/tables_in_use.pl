# Foreign tables in use: what exactly is pushed down, and that cursors, plans, views,
# dumps and tables made by hand work as with any table.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my ($FROM, $TO) = ('2026-06-29 00:00Z', '2026-06-30 00:00Z');
my $WINDOW = "from_date = '$FROM' AND to_date = '$TO'";
my $NOW = '2026-06-30T12:00:30.000Z';

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, now => $NOW);

# The parameters of the requests since the journal was cleared, without the window
sub pushed_down
{
	my @told = map {
		my %query = %{ $_->{query} };
		delete @query{qw(from_date to_date)};
		delete $query{offset} if !$query{offset};
		join '&', ($_->{path} =~ m{(postgres|[^/]+)\z})[0], map { "$_=$query{$_}" } sort keys %query
	} @{ journal($url)->{requests} };
	return join "\n", sort @told;
}

# IMPORT FOREIGN SCHEMA
costs($node, $url, 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud', 0, 'an import');
fails_with($node, 'IMPORT FOREIGN SCHEMA chpg LIMIT TO (services) FROM SERVER chpg INTO cloud', '42P07', qr/already exists/, 'a second import');
fails_with($node, q{IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud OPTIONS (nix '1')}, 'HV00D', qr/"nix"/, 'an option of an import');
sql('CREATE SCHEMA empty; IMPORT FOREIGN SCHEMA chpg LIMIT TO (nix) FROM SERVER chpg INTO empty');
is(sql(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'empty'::regnamespace}), 0, 'an unknown table is not imported');

# Statements, and their requests
sql(q{SELECT chpg_comment_tables('cloud')});
my $EXAMPLE = "SELECT query_text, p99_duration_us FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND db_name = 'sales' ORDER BY p99_duration_us DESC LIMIT 10";
my @ids = split /\n/, sql('SELECT id FROM chpg_services ORDER BY name');
my $THREE = join ', ', map { "'$_'" } @ids[ 0 .. 2 ];

is(costs($node, $url, $EXAMPLE, 1, 'the ten slowest patterns'),
	sql("SELECT query_text, p99_duration_us FROM chpg_slow_patterns('$FROM', '$TO', '$ORDERS', db_name => 'sales') ORDER BY 2 DESC LIMIT 10"), 'the ten slowest patterns');
costs($node, $url, $EXAMPLE, 1, 'the ten slowest patterns, again');
is(pushed_down(), 'slowQueryPatterns&db_name=sales&limit=10&sort_by=p99_duration&sort_order=desc', 'the API filters, sorts and cuts');
my ($request) = @{ journal($url)->{requests} };
is("$request->{query}{from_date} $request->{query}{to_date}", '2026-06-29T00:00:00.000Z 2026-06-30T00:00:00.000Z', 'the window is sent');

for my $case (
	[ 0, "EXPLAIN (VERBOSE, FORMAT JSON) $EXAMPLE", '' ],
	[ 0, "SELECT * FROM cloud.slow_patterns LIMIT 0", '' ],
	[ 0, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = NULL", '' ],
	[ 0, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = ANY ('{}')", '' ],
	[ 0, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND db_name = (SELECT max('x') WHERE false)", '' ],
	[ 0, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND from_date = '2026-06-01 00:00Z'", '' ],
	[ 0, "PREPARE p AS $EXAMPLE; EXPLAIN EXECUTE p", '' ],
	[ 0, "BEGIN; DECLARE c CURSOR FOR $EXAMPLE; CLOSE c; COMMIT", '' ],
	[ 0, "CREATE VIEW v AS $EXAMPLE", '' ],
	[ 1, 'SELECT id, name, state, region FROM cloud.service_details WHERE name > $$b$$', 'postgres' ],
	[ 1, "SELECT hostname FROM cloud.service_details WHERE id = '$ORDERS'", $ORDERS ],
	[ 1, 'SELECT count(*) FROM cloud.prometheus', 'prometheus' ],
	[ 1, "SELECT count(*) FROM cloud.prometheus WHERE service_id = '$ORDERS'", 'prometheus' ],
	[ 1, "SELECT count(*) FROM cloud.config WHERE service_id = '$ORDERS'", 'config' ],
	[ 7, 'SELECT count(*) FROM cloud.config', join("\n", ('config') x 6, 'postgres') ],
	[ 3, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ($THREE)", join("\n", ('slowQueryPatterns&limit=500') x 3) ],
	[ 1, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ('$ORDERS', '$ORDERS')", 'slowQueryPatterns&limit=500' ],
	[ 7, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW", join("\n", 'postgres', ('slowQueryPatterns&limit=500') x 6) ],
	[ 1, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND app = 'orders-api' AND db_user = 'orders_service' AND db_operation = 'SELECT'",
		'slowQueryPatterns&app=orders-api&db_operation=SELECT&db_user=orders_service&limit=500' ],
	[ 1, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND db_name LIKE 'sal%' AND p99_duration_us > 5", 'slowQueryPatterns&limit=500' ],
	[ 1, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' LIMIT 7", 'slowQueryPatterns&limit=7' ],
	[ 1, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY call_count, query_id LIMIT 7", 'slowQueryPatterns&limit=500' ],
	[ 1, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY error_count DESC NULLS LAST LIMIT 7", 'slowQueryPatterns&limit=7&sort_by=error_count&sort_order=desc' ],
	[ 1, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY error_count DESC LIMIT 7", 'slowQueryPatterns&limit=500' ],
	[ 1, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND query_text LIKE 'SELECT%' ORDER BY call_count LIMIT 7", 'slowQueryPatterns&limit=500' ],
	[ 2, "SELECT s.name, count(*) FROM cloud.services s JOIN cloud.slow_patterns p ON p.service_id = s.id WHERE s.name = 'orders' AND $WINDOW GROUP BY 1", "postgres\nslowQueryPatterns&limit=500" ],
	[ 1, "SELECT count(*) FROM cloud.metrics WHERE $WINDOW AND service_id = '$ORDERS'", 'metrics' ],
	[ 1, "SELECT count(*) FROM cloud.metrics WHERE \"timestamp\" BETWEEN '$FROM' AND '$TO' AND bucket = '1 hour' AND service_id = '$ORDERS'", 'metrics&bucket_size_seconds=3600' ],
	[ 1, "SELECT count(*) FROM cloud.logs WHERE \"timestamp\" >= '$FROM' AND \"timestamp\" < '2026-06-29 05:00Z' AND severity = 'ERROR' AND service_id = '$ORDERS'", 'logs&limit=2000&severity=ERROR&sort_order=asc' ],
	[ 1, "SELECT a.query_id FROM cloud.slow_patterns a JOIN cloud.slow_patterns b USING (service_id, from_date, to_date, query_id) WHERE $WINDOW AND service_id = '$ORDERS'", 'slowQueryPatterns&limit=500' ],
	[ 1, "SELECT count(*) FROM cloud.services a JOIN cloud.services b ON a.provider = b.provider JOIN cloud.services c ON c.region = b.region", 'postgres' ])
{
	my ($requests, $statement, $pushed) = @$case;

	costs($node, $url, $statement, $requests, $statement);
	is(pushed_down(), $pushed, "$statement: the requests");
}

# Required conditions: the error names all that are missing, and only these.
for my $case (
	[ '', "from_date >= now() - interval '1 day'" ],
	[ "WHERE from_date = '$FROM'", 'to_date = now()' ],
	[ "WHERE to_date = '$TO'", "from_date >= timestamptz '2026-06-30 00:00:00+00' - interval '1 day'" ])
{
	my ($where, $add) = @$case;

	rejects($node, $url, "SELECT FROM cloud.slow_patterns $where", 'HV002',
		qr/query on foreign table "slow_patterns" must restrict "\w+", for example with \Q$add\E\nHINT:  Add that condition where the table is read, or filter by that column in a BI tool\. /, "half a window or none: $where");
}
my @together = qw(service_id query_id db_name db_user db_operation);
rejects($node, $url, 'SELECT FROM cloud.slow_pattern_executions', 'HV002',
	qr/must restrict "service_id", "query_id" or "query_hex", "db_name", "db_user" and "db_operation"\nHINT:  Add conditions such as service_id = .*, or join it with slow_patterns USING \(${\ join ', ', @together}\), or call chpg_slow_pattern_executions\(\) in LATERAL\.$/m,
	'executions of any pattern');

# The error shows the comparisons that are not pushed down.
for my $case (
	[ "from_date <> '$FROM' AND to_date <= '$TO'", 'must restrict "from_date", for example with from_date >= .*', '(from_date <> ' ],
	[ "from_date <> '$FROM' AND to_date = '$TO'", 'must restrict "from_date", for example with from_date >= .*', "(from_date <> '2026-06-29 00:00:00+00'::timestamp with time zone): compare " ],
	[ "($WINDOW) OR service_id = '$ORDERS'", 'must restrict "from_date", for example with from_date >= .*', "OR (service_id = '$ORDERS'::text)): compare", 'joined by AND' ],
	[ "from_date = clock_timestamp() AND to_date = '$TO'", 'must restrict "from_date", for example with from_date >= .*', '(from_date = clock_timestamp()): compare', 'known before the scan' ],
	[ "to_date > (SELECT to_timestamp(0)) AND from_date >= '$FROM'", 'must restrict "to_date", for example with to_date = now\(\)', '(to_date > ' ])
{
	my ($where, $message, @details) = @$case;
	my $error = rejects($node, $url, "SELECT FROM cloud.slow_patterns WHERE $where", 'HV002', qr/$message\n/, $where);

	like($error, qr/DETAIL:  No bound follows from .*\Q$_\E/, "$where: $_") for @details;
}
rejects($node, $url, "SELECT FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_id > 5", 'HV002',
	qr/must restrict "query_id" or "query_hex".*DETAIL:  The API cannot apply \(query_id > 5\), only/s, 'a range of patterns');
rejects($node, $url, "SELECT FROM cloud.slow_patterns p JOIN (VALUES (now())) v(t) ON p.from_date <> v.t OFFSET 0", 'HV002', qr/DETAIL:  No bound follows from/, 'a constant joined');
rejects($node, $url, "SELECT FROM cloud.slow_patterns p JOIN pg_stat_archiver a ON p.from_date <> a.stats_reset", 'HV002', qr/DETAIL:  No bound follows from the join condition on "from_date": compare/, 'a join by a range');
rejects($node, $url, "SELECT FROM cloud.metrics WHERE $WINDOW AND bucket > '10 minutes'", 'HV002',
	qr/"metrics" must restrict "bucket" by =, or not at all\nDETAIL:  The API cannot apply \(bucket > '00:10:00'::interval\), only .*\nHINT:  .*or remove all conditions on it: the API then chooses/, 'a range of buckets');
rejects($node, $url, qq{SELECT FROM cloud.logs WHERE extract(day FROM "timestamp") = 29}, 'HV002', qr/DETAIL:  No bound follows from \(EXTRACT\(day FROM "timestamp"\) = '29'::numeric\): compare "timestamp", or "from_date" and "to_date", with values/, 'a day of any month');
rejects($node, $url, qq{SELECT * FROM cloud.logs WHERE "timestamp" < '$TO'}, 'HV002', qr/"timestamp"/, 'no beginning');
rejects($node, $url, "SELECT * FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_id = 1 AND db_name = 'sales' AND db_user = 'x'",
	'HV002', qr/must restrict "db_operation".*HINT:  .*db_operation = /s, 'executions without an operation');
my $PATTERN = "service_id = '$ORDERS' AND query_id = -4748036479882663975 AND db_name = 'sales' AND db_user = 'orders_service' AND db_operation = 'SELECT'";
cmp_ok(costs($node, $url, "SELECT count(*) FROM cloud.slow_pattern_executions WHERE $PATTERN", 1, 'executions'), '>', 0, 'executions are there');
is(pushed_down(), '-4748036479882663975&db_name=sales&db_operation=SELECT&db_user=orders_service', 'of the pattern in the condition');
costs($node, $url, "SELECT e.* FROM cloud.slow_patterns p JOIN cloud.slow_pattern_executions e USING (service_id, query_id, db_name, db_user, db_operation) WHERE $WINDOW AND service_id = '$ORDERS' AND query_id = -4748036479882663975",
	2, 'executions of the pattern of a join');

# EXPLAIN
my $verbose = costs($node, $url, "EXPLAIN (VERBOSE) $EXAMPLE", 0, 'EXPLAIN (VERBOSE)');
like($verbose, qr/Foreign Scan on cloud\.slow_patterns/, 'a foreign scan');
like($verbose, qr{GET \S*/slowQueryPatterns\?.*db_name=.*sort_by=p99_duration.*sort_order=desc.*limit=10}, 'the template of the request');
unlike($verbose, qr/Sort Key/, 'the API sorts');
like($verbose, qr/db_name = 'sales'/, 'the parameters that are pushed down');
like($verbose, qr/Estimated Requests: 1$/m, 'the number of requests');
my ($plan) = @{ decode_json(sql("EXPLAIN (VERBOSE, FORMAT JSON) SELECT query_text FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ($THREE) AND db_name LIKE 's%' AND db_user = 'orders_service'")) };
is_deeply([ map { scalar @{ $plan->{Plan}{$_} } } 'Requests', 'Pushed Conditions', 'Local Conditions' ], [ 1, 4, 1 ], 'the conditions that are pushed down, and the others');
is($plan->{Plan}{'Estimated Requests'}, 3, 'estimated requests');
like(costs($node, $url, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $EXAMPLE", 1, 'EXPLAIN (ANALYZE)'), qr/Requests Sent: 1\n.*Bytes Received: [1-9]/s, 'the requests that were sent');
like(sql("SET chpg.cache_ttl = '1h'; $EXAMPLE; EXPLAIN (ANALYZE) $EXAMPLE"), qr/Requests Sent: 0\n.*Cache Hits: 1\b/s, 'the requests that were not sent');
($plan) = @{ decode_json(sql("EXPLAIN (ANALYZE, FORMAT JSON) SELECT FROM cloud.slow_patterns WHERE $WINDOW")) };
is($plan->{Plan}{'Requests Sent'}, 7, 'a fleet');
cmp_ok($plan->{Plan}{$_}, '>=', 0, "JSON has $_") for 'Cache Hits', 'Waits', 'Retries', 'Bytes Received';

# Prepared statements
for my $mode (qw(auto force_generic_plan force_custom_plan))
{
	my $prepare = "SET plan_cache_mode = $mode; PREPARE p(timestamptz, timestamptz, text, text) AS"
	  . ' SELECT count(*), count(DISTINCT db_name) FROM cloud.slow_patterns WHERE from_date = $1 AND to_date = $2 AND service_id = $3 AND db_name = $4;';
	my @executions = map { "EXECUTE p('$FROM', '$TO', '$ORDERS', '" . (qw(sales postgres))[ $_ % 2 ] . "');" } 1 .. 10;
	my @counts = split /\n/, costs($node, $url, $prepare . join('', @executions), 10, "$mode: ten executions");

	is(scalar(grep { /^[1-9]\d*\|1$/ } @counts), 10, "$mode: all have rows");
	is(scalar(keys %{ { map { $_ => 1 } @counts } }), 2, "$mode: of the database that was asked for");
	is(pushed_down(), join("\n", (map { "slowQueryPatterns&db_name=$_&limit=500" } ('postgres') x 5, ('sales') x 5)), "$mode: the API filters");
}
is(costs($node, $url, "SET plan_cache_mode = force_generic_plan; PREPARE p(text[]) AS SELECT count(DISTINCT service_id) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = ANY (\$1);"
		  . "EXECUTE p(ARRAY[$THREE]); EXECUTE p('{}'); EXECUTE p(NULL); EXECUTE p('{$ORDERS,NULL}')", 4, 'an array as a parameter'), "3\n0\n0\n1", 'an array as a parameter');
rejects($node, $url, "SET plan_cache_mode = force_generic_plan; PREPARE p(timestamptz) AS SELECT FROM cloud.slow_patterns WHERE from_date = \$1 AND to_date = now(); EXECUTE p(now())", '22023', qr/window .* is empty/, 'an empty window of a parameter');

# Joins
sql(q{CREATE TABLE windows AS SELECT f, f + interval '6 hours' AS t FROM generate_series(timestamptz '2026-06-29 00:00Z', '2026-06-29 18:00Z', '6 hours') f});
is(costs($node, $url, "SELECT count(*) FROM windows w, LATERAL (SELECT * FROM cloud.slow_patterns p WHERE p.from_date = w.f AND p.to_date = w.t AND p.service_id = '$ORDERS' ORDER BY call_count DESC LIMIT 3) p",
		4, 'the first of each window'), 12, 'three of each');

# Values that cannot be an id
for my $id ('', 'a/b', 'x?y', '..', 'x' x 60, "a\nb")
{
	my ($status, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM cloud.config WHERE service_id = '$id'");
	is($out, 0, "no service is called \"$id\"");
}

# Read only
rejects($node, $url, 'TRUNCATE cloud.services', '0A000', qr/foreign table/, 'TRUNCATE');
is(sql(q{SELECT is_insertable_into FROM information_schema.tables WHERE table_schema = 'cloud' AND table_name = 'services'}), 'NO', 'information_schema shows the tables as read only');
is(sql(q{SELECT count(*) FROM information_schema.columns WHERE table_schema = 'cloud' AND table_name = 'slow_patterns'}), 24, 'information_schema has the columns');

# Tables made by hand
sql("CREATE FOREIGN TABLE slow (p99_duration_us float8, query_text text, service_id text, query_id numeric, to_date timestamptz, from_date timestamptz, db_name varchar(100), call_count text) SERVER chpg OPTIONS (resource 'slow_patterns')");
is(sql("SELECT p99_duration_us, query_text, query_id, db_name, call_count, from_date FROM slow WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY p99_duration_us DESC, query_text LIMIT 5"),
	sql("SELECT p99_duration_us, query_text, query_id, db_name, call_count, from_date FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY p99_duration_us DESC, query_text LIMIT 5"), 'a table with some columns in another order');
is(sql("SELECT count(*) FROM slow WHERE $WINDOW AND service_id = '$ORDERS' AND db_name = 'sales' AND query_id < 0"),
	sql("SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND db_name = 'sales' AND query_id < 0"), 'conditions on columns of other types');
sql(q{CREATE FOREIGN TABLE no_window (service_id text, query_text text) SERVER chpg OPTIONS (resource 'slow_patterns')});
my ($advised) = rejects($node, $url, 'SELECT * FROM no_window', 'HV002', qr/must restrict "from_date", for example with from_date >= .*HINT:  Use ALTER FOREIGN TABLE .*; then add that condition where the table is read/s, 'a table without columns for the window')
  =~ /Use (ALTER [^;]*);/;
sql("BEGIN; $advised; SELECT count(*) FROM no_window WHERE from_date >= '$FROM' AND service_id = '$ORDERS'; ROLLBACK");
sql(q{CREATE FOREIGN TABLE no_time (value float8) SERVER chpg OPTIONS (resource 'metrics')});
rejects($node, $url, 'SELECT * FROM no_time', 'HV002', qr/must restrict "timestamp", for example with "timestamp" >= .*HINT:  Use ALTER FOREIGN TABLE no_time ADD COLUMN "timestamp" timestamp with time zone; then add that condition/s, 'a table whose window may be a range');
sql(q{CREATE FOREIGN TABLE no_pattern (service_id text, duration_us float8) SERVER chpg OPTIONS (resource 'slow_pattern_executions')});
rejects($node, $url, "SELECT * FROM no_pattern WHERE service_id = '$ORDERS'", 'HV002', qr/HINT:  Use ALTER FOREIGN TABLE no_pattern ADD COLUMN query_id bigint, ADD COLUMN db_name text, ADD COLUMN db_user text, ADD COLUMN db_operation text; then add conditions such as query_id = /, 'a table without the columns that identify a pattern');
my ($handmade) = slurp_file("$FindBin::RealBin/../../docs/foreign-tables.md") =~ /(CREATE FOREIGN TABLE slow .*?;)/s;
is(costs($node, $url, "BEGIN; DROP FOREIGN TABLE slow; $handmade SELECT count(*) > 0 FROM slow WHERE $WINDOW", 7, 'the page\'s table'), 't', 'the page\'s table needs no setting');
costs($node, $url, "ALTER FOREIGN TABLE no_window OPTIONS (ADD window '1 day'); SELECT * FROM no_window WHERE service_id = '$ORDERS'", 1, 'the same with a window of its own');
sql(q{CREATE FOREIGN TABLE wrong_type (service_id text, value point) SERVER chpg OPTIONS (resource 'config')});
sql(q{SELECT FROM chpg_patch_config('orders', '{"max_connections": 150}')});
fails_with($node, "SELECT value FROM wrong_type WHERE service_id = '$ORDERS'", '22P02', qr/point.*value/s, 'a column with a type that does not fit');
fails_with($node, q{CREATE FOREIGN TABLE x (id text) SERVER chpg OPTIONS (nix '1')}, 'HV00D', qr/"nix"/, 'an unknown option');
sql('ALTER FOREIGN TABLE slow DROP COLUMN query_text; ALTER FOREIGN TABLE slow ADD COLUMN app text');
is(sql("SELECT * FROM slow WHERE $WINDOW AND service_id = '$ORDERS' AND query_id = -4748036479882663975"), "41200|$ORDERS|-4748036479882663975|2026-06-30 00:00:00+00|2026-06-29 00:00:00+00|sales|84213|orders-api", 'columns that come and go');
is(sql("SELECT tableoid::regclass, s IS NULL FROM cloud.services s WHERE name = 'orders'"), 'cloud.services|f', 'a row as a whole');

# Whose key is used
sql('CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA cloud TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA cloud TO reader;'
	  . ' CREATE VIEW shown AS SELECT id, name FROM cloud.services; GRANT SELECT ON shown TO reader');
is(costs($node, $url, 'SET ROLE reader; SELECT count(*) FROM shown', 1, 'a view over the table'), 6, 'the view has its owner\'s key');
sql('CREATE VIEW invoked WITH (security_invoker) AS SELECT id FROM cloud.services; GRANT SELECT ON invoked TO reader');
fails_with($node, 'SET ROLE reader; SELECT * FROM invoked', '42501', qr/permission denied for foreign server chpg/, 'a view with security_invoker');

# A view that hides rows
sql("CREATE VIEW of_sales WITH (security_barrier) AS SELECT * FROM cloud.slow_patterns WHERE db_name = 'sales'; GRANT SELECT ON of_sales TO reader");
sql(q{CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END $$});
sql("CREATE VIEW of_selects WITH (security_barrier) AS SELECT * FROM cloud.slow_patterns WHERE lower(db_operation) = 'select'; GRANT SELECT ON of_selects TO reader");
my %leaked = map { $_ => 1 } notices($node, "SET ROLE reader; SELECT FROM of_selects WHERE $WINDOW AND service_id = '$ORDERS' AND leak(db_operation)") =~ /leaked (\w+)/g;
is(join(' ', keys %leaked), 'SELECT', 'a barrier keeps the other rows in');
costs($node, $url, "SET ROLE reader; SELECT FROM of_sales WHERE $WINDOW AND service_id = '$ORDERS'", 1, 'a view with a barrier');
is(pushed_down(), 'slowQueryPatterns&db_name=sales&limit=500', 'conditions are pushed through the view');

# Materialized views
sql("CREATE MATERIALIZED VIEW kept AS SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS'; CREATE UNIQUE INDEX ON kept (query_id, db_name, db_user, db_operation, app)");
costs($node, $url, 'REFRESH MATERIALIZED VIEW CONCURRENTLY kept', 1, 'a refresh');
is(sql('SELECT count(*) FROM kept'), sql("SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS'"), 'the rows of a materialized view');
fault($url, status => 500, path => 'slow');
fails_with($node, 'REFRESH MATERIALIZED VIEW CONCURRENTLY kept', '58000', qr/could not read the slow query patterns/, 'a refresh that fails');
clear_faults($url);
is(sql('SELECT count(*) > 50 FROM kept'), 't', 'leaves the rows of the materialized view');

# pg_dump
my ($dump) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
sql('CREATE DATABASE copied');
my ($restored, $said, $complaint) = $node->psql('copied', $dump);
unlike($complaint, qr/ERROR/, 'a dump can be restored');
is($node->safe_psql('copied', q{SELECT col_description('cloud.services'::regclass, 1)}), 'Id of the service.', 'with comments');
is($node->safe_psql('copied', q{SELECT count(*) FROM information_schema.foreign_tables WHERE foreign_table_schema = 'cloud'}), 10, 'all rows');

# Cursors: several pages
reset_emulator($url, now => $NOW, services => 2, patterns => 1300);
my $PAGES = "SELECT query_id, db_name FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS'";
my $session = open_session($node);
my $count = sub { my ($text) = @_; return scalar(() = $text =~ /^-?\d+\|/mg) };

clear_journal($url);
in_session($session, "BEGIN; DECLARE c SCROLL CURSOR FOR $PAGES");
my @forward = split /\n/, in_session($session, 'FETCH 700 FROM c');
is(request_count($url), 2, 'a cursor to scroll in');
my @backward = split /\n/, in_session($session, 'FETCH BACKWARD 699 FROM c');
is(join("\n", reverse @backward), join("\n", @forward[ 0 .. 698 ]), 'the same rows backward') if @backward == 699;
is(scalar @backward, 699, 'all rows');
is(in_session($session, 'FETCH ABSOLUTE 650 FROM c'), $forward[649], 'a row in the middle');
is(in_session($session, 'FETCH FIRST FROM c'), $forward[0], 'the first');
like(in_session($session, 'MOVE FORWARD ALL IN c; FETCH PRIOR FROM c'), qr/^-?\d+\|\w+$/, 'the last');
is(request_count($url), 3, 'each page is requested once');
in_session($session, 'COMMIT');

clear_journal($url);
in_session($session, "BEGIN; DECLARE c CURSOR WITH HOLD FOR $PAGES");
in_session($session, 'FETCH 3 FROM c');
in_session($session, 'COMMIT');
is(request_count($url), 3, 'a cursor that is held reads all pages at the end of the transaction');
is($count->(in_session($session, 'FETCH ALL FROM c')), 1297, 'all its other rows are there');
is(request_count($url), 3, 'without another request');
in_session($session, 'CLOSE c');

# Sorted by the API, held and scrolled
in_session($session, "BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT p99_duration_us FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY p99_duration_us DESC LIMIT 5");
my @sorted = split /\n/, in_session($session, 'FETCH ALL FROM c');
in_session($session, 'COMMIT');
is(join(' ', split /\n/, in_session($session, 'FETCH BACKWARD ALL FROM c')), join(' ', reverse @sorted), 'a sorted list backward');
in_session($session, 'CLOSE c');

# Rows that are read again from a file
my $AGAIN = "SELECT w.n, count(*), count(l.body), max(l.body) FROM generate_series(1, 3) w(n), LATERAL (SELECT * FROM cloud.logs WHERE $WINDOW AND service_id = '$ORDERS' OFFSET w.n - w.n) l GROUP BY 1 ORDER BY 1";
is(sql("SET work_mem = '64kB'; $AGAIN"), sql($AGAIN), 'rows that do not fit into work_mem are read again');
my $SORTED = "SELECT count(*), count(DISTINCT query_id) FROM (SELECT query_id FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY total_wal_bytes DESC NULLS LAST LIMIT 700 OFFSET 0) q, generate_series(1, 2)";
is(sql("SET work_mem = '64kB'; $SORTED"), sql($SORTED), 'so are sorted rows');

# A join that reads the same rows again reads them from memory.
is(costs($node, $url, "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off; SET chpg.cache_ttl = 0; SELECT n, count(p.query_id) FROM (SELECT n, timestamptz '$FROM' AS f, timestamptz '$TO' AS t FROM generate_series(1, 200) n OFFSET 0) w LEFT JOIN cloud.slow_patterns p ON p.from_date = w.f AND p.to_date = w.t AND p.service_id = '$ORDERS' GROUP BY 1 HAVING count(p.query_id) <> 1300", 3, 'a window two hundred times'),
	'', 'all rows each time');

# The end of a window is exclusive, whichever columns are read.
my $last = sql(qq{SELECT max("timestamp") FROM cloud.logs WHERE $WINDOW AND service_id = '$ORDERS'});
my $UNTIL = "from_date = '$FROM' AND to_date = '$last' AND service_id = '$ORDERS'";
is(sql("SELECT count(*) FROM cloud.logs WHERE $UNTIL"), sql(qq{SELECT count("timestamp") FROM cloud.logs WHERE $UNTIL}), 'with or without the time');
is(sql("SELECT count(severity) FROM cloud.logs WHERE $UNTIL"), sql("SELECT count(*) FROM chpg_logs('$FROM', '$last', '$ORDERS')"), 'as by the function');

# Canceled in the middle of the second page
my $pid = in_session($session, 'SELECT pg_backend_pid()');
my $monitor = open_session($node);
fault($url, path => 'slow', query => 'offset=500', hang => JSON::PP::true);
clear_journal($url);
in_session($session, "BEGIN; DECLARE c CURSOR FOR $PAGES; FETCH 400 FROM c");
begin_in_session($session, 'FETCH 200 FROM c');
wait_until(sub { request_count($url) == 2 }, 'the second page is requested');
in_session($monitor, "SELECT pg_cancel_backend($pid)");
await_in_session($session, qr/ERROR:  57014: canceling statement due to user request/);
in_session($session, 'ROLLBACK');
clear_faults($url);
is(in_session($session, "SELECT count(*) FROM ($PAGES) q"), 1300, 'after a cancel the session goes on');
fault($url, path => 'slow', query => 'offset=500', truncate => 3000);
in_session($session, "SELECT count(*) FROM ($PAGES) q");
like($session->{stderr}, qr/ERROR:  08006/, 'a page that is cut off is an error, and no end');
clear_faults($url);
fault($url, path => 'slow', query => 'offset=500', drip_ms => 50);
in_session($session, "SET statement_timeout = '400ms'; BEGIN; DECLARE c CURSOR FOR $PAGES; FETCH 600 FROM c");
like($session->{stderr}, qr/ERROR:  57014/, 'a timeout in the middle of the second page');
in_session($session, 'ROLLBACK; RESET statement_timeout');
clear_faults($url);

# LIMIT sets the size of the first page, and is not the end of the table.
is(costs($node, $url, "SELECT count(*) FROM (SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' LIMIT 700) q", 2, 'a limit of two pages'), 700, 'all rows');
costs($node, $url, "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND call_count > 1e15 LIMIT 1", 3, 'a limit beyond the last row');
costs($node, $url, "SELECT * FROM cloud.logs WHERE \"timestamp\" BETWEEN '$FROM' AND '2026-06-29 05:00Z' AND severity = 'error' AND service_id = '$ORDERS' LIMIT 1", 2, 'a first line that is not there');

$session->quit;
$monitor->quit;
done_testing();
