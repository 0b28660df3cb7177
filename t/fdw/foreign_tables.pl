# Foreign tables: what a statement costs in requests, which of its conditions are pushed
# down, and that all statements for tables work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $WINDOW = q{from_date = '2026-06-29 12:00Z' AND to_date = '2026-06-30 12:00Z'};
my $PATTERN = q{service_id = 'pg7myrd1j06p3gx4zrm2ze8qz6' AND query_id = -4748036479882663975 AND db_name = 'sales' AND db_user = 'orders_service' AND db_operation = 'SELECT'};

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0', 'jit = off');

$node->safe_psql('postgres', connect_sql($url));
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
anew();

# The queries of the requests since the journal was cleared
sub queries
{
	return map { my $query = $_->{query}; join ' ', $_->{path}, map { "$_=$query->{$_}" } sort keys %$query } @{ journal($url)->{requests} };
}

sub anew
{
	my (%options) = @_;
	return reset_emulator($url, now => '2026-06-30T12:00:30.000Z', %options);
}

# Import

is($node->safe_psql('postgres', q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'cloud'::regnamespace}),
	'backups config logs metrics organizations prometheus service_details services slow_pattern_executions slow_patterns', 'all resources are imported');
is($node->safe_psql('postgres', q{SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'cloud.metrics'::regclass AND attnum > 0}),
	'from_date timestamp with time zone, to_date timestamp with time zone, bucket interval, service_id text, service_name text, metric text, name text, unit text, description text, series text, timestamp timestamp with time zone, value double precision',
	'a table has the parameters and the columns of the row type');
is( $node->safe_psql('postgres', <<'SQL'), '', 'all columns are those of the row types, without the secrets');
SELECT t.relname, a.attname FROM pg_class t
JOIN pg_class r ON r.relname = 'chpg_' || CASE t.relname WHEN 'services' THEN 'service' WHEN 'service_details' THEN 'service_detail' ELSE regexp_replace(t.relname, '(?<!u)s$', '') END || '_row'
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
WHERE t.relnamespace = 'cloud'::regnamespace AND a.attname NOT IN ('password', 'connection_string')
	AND NOT EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = t.oid AND c.attname = a.attname AND c.atttypid = a.atttypid)
SQL
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'cloud.service_details'::regclass AND attname ~ 'pass|conn'}), 0, 'no table has passwords');
is(costs($node, $url, q{SELECT chpg_comment_tables('cloud')}, 0, 'comments'), 10, 'all tables get comments');
is($node->safe_psql('postgres', q{SELECT count(*), min(length(coalesce(col_description(attrelid, attnum), ''))) > 0 FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'cloud'::regnamespace) AND attnum > 0}) =~ s/^\d+//r,
	'|t', 'and so do all columns');
is($node->safe_psql('postgres', q{SELECT obj_description('cloud.prometheus'::regclass) = obj_description('chpg_prometheus_row'::regtype, 'pg_type')}), 't', 'the comment of a table is that of its rows');
is($node->safe_psql('postgres', 'SELECT relname, substring(obj_description(oid) FROM $$Requires .*$$) FROM pg_class WHERE relnamespace = $$cloud$$::regnamespace AND obj_description(oid) ~ $$Requires$$ ORDER BY 1'), <<'COMMENTS' =~ s/\n\z//r, 'but for required columns');
logs|Requires a window: "timestamp" >= ..., or from_date = ... or >= ...; it ends now unless the query says otherwise.
metrics|Requires a window: "timestamp" >= ..., or from_date = ... or >= ...; it ends now unless the query says otherwise.
slow_pattern_executions|Requires conditions on service_id, query_id or query_hex, db_name, db_user and db_operation, by = or a join.
slow_patterns|Requires a window: from_date = ... AND to_date = ..., or from_date >= ..., which ends now or with from_date < ....
COMMENTS
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'cloud.slow_pattern_executions'::regclass AND col_description(attrelid, attnum) LIKE '%. Must be restricted: ' || CASE attname WHEN 'query_id' THEN 'query_id = ... or query_hex' ELSE attname END || ' = ..., or a join.'}), 5, 'which the comments of the columns name, too');
$node->safe_psql('postgres', q{CREATE SCHEMA mixed; CREATE FOREIGN TABLE mixed.a (id text) SERVER chpg; IMPORT FOREIGN SCHEMA chpg LIMIT TO (logs) FROM SERVER chpg INTO mixed; CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other; CREATE FOREIGN TABLE mixed.b (id text) SERVER other; CREATE TABLE mixed.c (id text)});
is(scalar(() = notices($node, q{SELECT chpg_comment_tables('mixed')}) =~ /WARNING/g), 1, 'one warning in a schema of all kinds of tables');
is($node->safe_psql('postgres', q{SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'mixed'::regnamespace AND obj_description(oid) IS NOT NULL}), 'logs', 'readable tables get comments');
like(notices($node, q{SELECT chpg_comment_tables('mixed')}), qr/WARNING:  foreign table "mixed\.a" lacks option "resource" and gets no comments/, 'the warning names the others');
$node->safe_psql('postgres', 'DROP SCHEMA mixed CASCADE; DROP FOREIGN DATA WRAPPER other CASCADE');
$node->safe_psql('postgres', 'CREATE SCHEMA few; IMPORT FOREIGN SCHEMA chpg LIMIT TO (services, logs) FROM SERVER chpg INTO few; CREATE SCHEMA others; IMPORT FOREIGN SCHEMA chpg EXCEPT (services, logs) FROM SERVER chpg INTO others');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE relnamespace = 'few'::regnamespace), count(*) FILTER (WHERE relnamespace = 'others'::regnamespace) FROM pg_class}), '2|8', 'LIMIT TO and EXCEPT');
fails_with($node, 'IMPORT FOREIGN SCHEMA public FROM SERVER chpg INTO few', 'HV00Q', qr/schema "public" is not present on foreign server "chpg".*HINT:  The only schema is "chpg"/s, 'another schema');

# Statements and their requests

for my $case (
	[ 'SELECT * FROM cloud.organizations LIMIT 10000', 1 ],
	[ 'SELECT * FROM cloud.services LIMIT 10000', 1 ],
	[ 'SELECT * FROM cloud.prometheus LIMIT 10000', 1 ],
	[ 'SELECT * FROM cloud.service_details LIMIT 10000', 7 ],
	[ 'SELECT * FROM cloud.config LIMIT 10000', 7 ],
	[ 'SELECT * FROM cloud.backups LIMIT 10000', 7 ],
	[ "SELECT * FROM cloud.backups WHERE service_id = '$ORDERS'", 1 ],
	[ 'SELECT count(*) FROM cloud.services', 1 ],
	[ 'SELECT count(*) FROM cloud.service_details', 1 ],
	[ 'SELECT id, name, state, region FROM cloud.service_details', 1 ],
	[ 'SELECT hostname FROM cloud.service_details', 7 ],
	[ "SELECT hostname FROM cloud.service_details WHERE id = '$ORDERS'", 1 ],
	[ q{SELECT * FROM cloud.services WHERE false}, 0 ],
	[ "SELECT * FROM cloud.slow_patterns WHERE $WINDOW LIMIT 0", 0 ],
	[ "EXPLAIN SELECT * FROM cloud.slow_patterns WHERE $WINDOW", 0 ],
	[ "EXPLAIN (VERBOSE) SELECT * FROM cloud.slow_patterns WHERE $WINDOW", 0 ],
	[ "PREPARE p AS SELECT * FROM cloud.slow_patterns WHERE $WINDOW", 0 ],
	[ "SELECT * FROM cloud.slow_patterns WHERE $WINDOW", 7 ],
	[ "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = NULL", 0 ],
	[ "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN (SELECT id FROM cloud.services WHERE name = 'orders')", 2 ],
	[ "SELECT * FROM cloud.services s JOIN cloud.slow_patterns p ON p.service_id = s.id WHERE s.name = 'orders' AND $WINDOW", 2 ],
	[ "SELECT * FROM cloud.slow_patterns a JOIN cloud.slow_patterns b USING (from_date, to_date, service_id, query_id) WHERE $WINDOW AND service_id = '$ORDERS'", 1 ],
	[ "SELECT * FROM cloud.slow_pattern_executions WHERE $PATTERN", 1 ],
	[ 'SELECT * FROM cloud.slow_pattern_executions WHERE ' . $PATTERN =~ s/query_id = (\S+)/query_id IN (1, 2, $1)/r, 3 ],
	[ qq{SELECT * FROM cloud.metrics WHERE "timestamp" >= '2026-06-30 11:00Z' AND "timestamp" < '2026-06-30 12:00Z' AND service_id = '$ORDERS'}, 1 ],
	[ qq{SELECT * FROM cloud.logs WHERE "timestamp" BETWEEN '2026-06-30 11:00Z' AND '2026-06-30 12:00Z' AND service_id = '$ORDERS'}, 1 ],
	[ qq{SELECT * FROM cloud.logs WHERE "timestamp" > '2026-06-30 12:00Z' AND "timestamp" < '2026-06-30 11:00Z'}, 0 ])
{
	my ($sql, $requests) = @$case;
	costs($node, $url, $sql, $requests, $sql);
}

# Sorting, filtering and limit of the API: one request
my $example = "SELECT query_text, p99_duration_us FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND db_name = 'sales' ORDER BY p99_duration_us DESC LIMIT 10";
costs($node, $url, $example, 1, 'the slowest ten');
like((queries())[0], qr/$_/, "the slowest ten: $_") for qr/from_date=2026-06-29T12:00:00\.000Z/, qr/db_name=sales/, qr/sort_by=p99_duration\b/, qr/sort_order=desc/, qr/limit=10\b/;
is($node->safe_psql('postgres', $example),
	$node->safe_psql('postgres', "SELECT query_text, p99_duration_us FROM chpg_slow_patterns('2026-06-29 12:00Z', '2026-06-30 12:00Z', 'orders', 'sales', sort_by => 'p99_duration_us', max_rows => 10)"), 'and the same as by the function');

# Three services, and values that occur twice or are no services
my @ids = split /\n/, $node->safe_psql('postgres', q{SELECT id FROM chpg_services() WHERE name IN ('orders', 'billing', 'search')});
my $in = join ', ', map { "'$_'" } @ids;
is(costs($node, $url, "SELECT count(DISTINCT service_id) FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ($in)", 3, 'three services'), 3, 'are three');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ('$ORDERS', '$ORDERS', NULL)", 1, 'the same twice'), 60, 'is read once');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ('$ORDERS', '$ids[1]') AND service_id IN ('$ORDERS', '$ids[2]')", 1, 'two lists of services'), 60, 'only what is in both is read');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ids[1]' AND service_id IN ('$ids[0]', '$ids[2]')", 0, 'a service that is not in a list'), 0, 'has no rows');

# Services by their names, which the list has, or for an hour the last list
is(costs($node, $url, "SELECT count(*), min(service_id), max(service_name) FROM cloud.slow_patterns WHERE $WINDOW AND service_name = 'orders'", 2, 'a service by its name'), "60|$ORDERS|orders", 'only its rows are read');
costs($node, $url, "SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_name IN ('billing', 'orders', 'nothing', NULL)", 3, 'two services by their names');
costs($node, $url, "SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_name = 'nothing'", 1, 'a name that no service has');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ($in) AND service_name = 'orders'", 1, 'a name among ids'), 60, 'needs no list');
is(costs($node, $url, "SELECT count(*) FROM (VALUES ('orders'), ('search')) v (name) JOIN cloud.slow_patterns p ON p.service_name = v.name WHERE $WINDOW", 3, 'names of a join'), 120, 'only these services are read');
like($node->safe_psql('postgres', "EXPLAIN (VERBOSE) SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_name = 'orders'"), qr/Requests: GET \S+\/postgres, GET .*Pushed Conditions: .*\(service_name = 'orders'::text\).*Estimated Requests: 2/s, 'EXPLAIN says so');
only_fault($url, path => 'postgres$', status => 403);
fails_with($node, "SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_name = 'orders'", '42501', qr/list the services|permission/, 'a list that may not be read is an error, not no rows');
clear_faults($url);
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = 'orders'", 1, 'a name is no id'), 0, 'and has no rows');
like(notices($node, "SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_id IN ('orders', 'nothing')"), qr/\A[^\n]*NOTICE:  "orders" is the name of a service, not its id\nHINT:  Compare with its id: $ORDERS\.\z/, 'and a notice has the reason');
is(notices($node, "SELECT v.name, p.query_id FROM (VALUES ('orders'), ('nothing')) v(name) LEFT JOIN LATERAL (SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = v.name LIMIT 1) p ON true"), '', 'unless a join has many values');
is(costs($node, $url, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = 'pg00000000000000000000000a'", 2, 'an unknown id'), 0, 'has no rows, once the organization is known to exist');
is($node->safe_psql('postgres', "SELECT count(*) FROM cloud.prometheus WHERE service_id = 'pg00000000000000000000000a'"), 0, 'nor samples');

# An outer table of fifty rows and six keys
$node->safe_psql('postgres', 'CREATE TABLE keys AS SELECT id FROM chpg_services(), generate_series(1, 9) LIMIT 50; ANALYZE keys');
my $NESTED = 'SET enable_hashjoin = off; SET enable_mergejoin = off;';
for my $case ([ '', 6 ], [ $NESTED, 6 ], [ "$NESTED SET enable_memoize = off; SET enable_seqscan = off;", 7 ], [ 'SET enable_nestloop = off;', 7 ])
{
	my ($plan, $requests) = @$case;
	my $printed = costs($node, $url, "$plan SELECT count(*) FROM keys k JOIN cloud.slow_patterns p ON p.service_id = k.id WHERE $WINDOW", $requests, "fifty rows, six keys ($plan)");
	is($printed, 50 * 60, 'each row has its patterns');
}

# Rescans, and responses from earlier in the statement
costs($node, $url, "SELECT (SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = k.id) FROM keys k", 6, 'a subquery for each row');
costs($node, $url, "SELECT count(*) FROM keys k WHERE EXISTS (SELECT FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = k.id AND p.call_count > 5)", 7, 'whether there is one: the list, and each service once');
costs($node, $url, "SELECT count(*) FROM keys k, LATERAL (SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = k.id ORDER BY total_duration_us DESC LIMIT 2) p", 6, 'the first two of each');
like($_, qr/limit=2\b/, 'two requests') for (queries())[0];
costs($node, $url, "SELECT count(*) FROM generate_series(1, 5) LEFT JOIN cloud.services ON true", 1, 'a cross join');

# Windows that come from a table
$node->safe_psql('postgres', q{CREATE TABLE windows AS SELECT f, f + interval '6 hours' AS t FROM generate_series(timestamptz '2026-06-29 00:00Z', '2026-06-29 18:00Z', '6 hours') f});
my $of_windows = $node->safe_psql('postgres', "SELECT count(*) FROM windows w, LATERAL chpg_slow_patterns(w.f, w.t, '$ORDERS')");
cmp_ok($of_windows, '>', 3 * 50, 'most patterns run in each window');
is(costs($node, $url, "SELECT count(*), count(DISTINCT p.from_date) FROM windows w JOIN cloud.slow_patterns p ON p.from_date = w.f AND p.to_date = w.t WHERE p.service_id = '$ORDERS'", 4, 'windows of a table'), "$of_windows|4", 'one request each');
is($node->safe_psql('postgres', q{SELECT from_date, to_date FROM cloud.slow_patterns WHERE from_date = '2026-06-29 12:00:00.123456Z' AND to_date = '2026-06-30 12:00Z' LIMIT 1}), '2026-06-29 12:00:00.123456+00|2026-06-30 12:00:00+00', 'times are unchanged');

for my $case ([ logs => '' ], [ metrics => q{AND bucket = '1 hour'} ])
{
	my ($table, $more) = @$case;
	my $join = qq{SELECT count(*) FROM windows w JOIN cloud.$table x ON x."timestamp" >= w.f AND x."timestamp" < w.t WHERE x.service_id = '$ORDERS' $more};
	cmp_ok($node->safe_psql('postgres', $join), '>', 100, "$table in windows of a table");
}
# Also by way of a parent of any kind
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA children;
IMPORT FOREIGN SCHEMA chpg LIMIT TO (slow_patterns, metrics) FROM SERVER chpg INTO children;
CREATE TABLE partitioned (LIKE children.slow_patterns) PARTITION BY LIST (service_id);
ALTER TABLE partitioned ATTACH PARTITION children.slow_patterns DEFAULT;
CREATE TABLE parent (LIKE cloud.slow_patterns);
ALTER FOREIGN TABLE cloud.slow_patterns INHERIT parent;
CREATE VIEW both_kinds AS SELECT from_date, to_date, service_id FROM cloud.slow_patterns UNION ALL SELECT from_date, to_date, service_id FROM parent WHERE false;
CREATE VIEW barrier WITH (security_barrier) AS SELECT * FROM cloud.slow_patterns;
CREATE VIEW parts AS SELECT * FROM cloud.metrics WHERE metric < 'm' UNION ALL SELECT * FROM cloud.metrics WHERE metric >= 'm';
SQL
for my $parent (qw(partitioned parent both_kinds))
{
	my $join = "SELECT count(*) FROM windows w JOIN $parent p ON p.from_date = w.f AND p.to_date = w.t WHERE p.service_id = '$ORDERS'";

	is($node->safe_psql('postgres', $join), $of_windows, "$parent: a join names the window");
}

# The API compares byte by byte: an equality of texts is not pushed down if the
# collation finds different texts equal.
SKIP:
{
	my (undef, undef, $refused) = $node->psql('postgres',
		"CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
	skip 'this PostgreSQL is built without ICU', 3 if $refused =~ /ICU is not supported in this build/;
	my $of_sales = $node->safe_psql('postgres', "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND db_name = 'sales'");
	cmp_ok($of_sales, '>', 0, 'patterns of a database');
	is($node->safe_psql('postgres', "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND db_name $_"), $of_sales, "the same in any case: $_")
	  for q{= 'SALES' COLLATE any_case}, q{IN ('Sales' COLLATE any_case, 'x')};
}

# A sub-query that is planned on its own does not get the values of the join around it.
for my $apart ('barrier', '(SELECT * FROM cloud.slow_patterns OFFSET 0)', '(SELECT * FROM (SELECT * FROM cloud.slow_patterns LIMIT 9) q LIMIT 8)', '(SELECT * FROM cloud.slow_patterns UNION SELECT * FROM cloud.slow_patterns)')
{
	fails_with($node, "SELECT FROM windows w JOIN $apart p ON p.from_date = w.f AND p.to_date = w.t WHERE p.service_id = '$ORDERS'", 'HV002', qr/"slow_patterns" must restrict "from_date", for example with from_date >= /, "$apart joined");
}
fails_with($node, "WITH q AS MATERIALIZED (SELECT * FROM cloud.slow_patterns) SELECT FROM windows w JOIN q ON q.from_date = w.f AND q.to_date = w.t", 'HV002', qr/"slow_patterns" must restrict "from_date", for example with from_date >= /, 'WITH joined');
fails_with($node, qq{SELECT FROM windows w LEFT JOIN parts m ON m."timestamp" >= w.f AND m."timestamp" < w.t AND m.bucket = '1 hour'}, 'HV002', qr/"metrics" must restrict "timestamp", for example with "timestamp" >= /, 'a UNION joined by a range');
is($node->safe_psql('postgres', "SELECT count(*) FROM barrier p WHERE $WINDOW AND service_id = '$ORDERS'"), 60, 'constants are pushed down, also there');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM cloud.metrics m JOIN cloud.metrics n USING (service_id, metric, series, "timestamp") WHERE m.from_date = '2026-06-29 12:00Z' AND m.to_date = '2026-06-30 12:00Z' AND n.from_date = m.from_date AND n.to_date = m.to_date AND service_id = '$ORDERS'}),
	$node->safe_psql('postgres', "SELECT count(*) FROM cloud.metrics WHERE $WINDOW AND service_id = '$ORDERS'"), 'points are joined within their windows');
fails_with($node, "SELECT FROM windows w JOIN (SELECT from_date, to_date, count(*) FROM cloud.slow_patterns GROUP BY 1, 2) p ON p.from_date = w.f AND p.to_date = w.t", 'HV002', qr/"slow_patterns" must restrict "from_date", for example with from_date >= /, 'groups joined');
fails_with($node, "SELECT FROM cloud.$_", 'HV002', qr/must restrict "timestamp", for example with "timestamp" >= /, "$_: no bound follows")
  for q{logs WHERE to_char("timestamp", 'YYYY') = '2026'}, q{metrics WHERE extract(hour FROM "timestamp") > 5}, q{metrics m JOIN windows w ON m."timestamp" = w.f};
fails_with($node, "SELECT FROM (SELECT f, t, 1::bigint AS n FROM windows UNION SELECT from_date, to_date, query_id FROM cloud.slow_patterns) u JOIN windows w ON u.f = w.f AND u.t = w.t", 'HV002', qr/must restrict "from_date", for example with from_date >= /, 'a UNION whose columns have other names');
my @lines = split /\n/, $node->safe_psql('postgres', qq{SELECT "timestamp" FROM cloud.logs WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY 1 LIMIT 3});
is($node->safe_psql('postgres', q{WITH h AS MATERIALIZED (SELECT 1 AS a, 2 AS b, 3 AS c) SELECT count(m."timestamp") > 0 FROM (SELECT "timestamp", bucket, value FROM cloud.metrics WHERE from_date = '2026-06-29 12:00Z' AND to_date = '2026-06-30 12:00Z' OFFSET 0) m, h WHERE h.b = 2}), 't', 'a condition outside the sub-query does not count inside');
is($node->safe_psql('postgres', qq{SELECT count(*) > 0 FROM cloud.logs WHERE "timestamp" = ANY ('{-infinity,$lines[0],infinity}')} . qq{ UNION ALL SELECT count(*) > 0 FROM cloud.logs WHERE "timestamp" = ANY ('{-infinity}')}), "t\nf", 'no line has an infinite time');
is(costs($node, $url, qq{SELECT count(*) >= 2 FROM cloud.logs WHERE "timestamp" IN ('$lines[0]', '$lines[2]') AND service_id = '$ORDERS'}, 1, 'points of a log'), 't', 'are a window');
fails_with($node, qq{SELECT FROM cloud.metrics WHERE "timestamp" = '2026-06-29 12:00Z'}, 'HV002', qr/"metrics" must restrict "timestamp", for example with "timestamp" >= /, 'a point is no window');
fails_with($node, "SELECT FROM cloud.logs WHERE from_date = '2026-06-29 12:00Z' AND to_date = 'infinity'", '22023', qr/invalid value for "to_date": "infinity"/, 'no end');
is($node->safe_psql('postgres', "SELECT count(*) FROM (VALUES (interval '1 hour')) v(b), LATERAL (SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_id = ANY (ARRAY['$ORDERS', '$ORDERS'])) p"), 60, 'a value that is listed twice is read once');
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT bucket) FROM (VALUES (interval '1 hour'), ('6 hours')) v(b) JOIN cloud.metrics m ON m.bucket = v.b WHERE $WINDOW AND service_id = '$ORDERS'") =~ s/^\d+\|//r, 2, 'buckets of a join');
fails_with($node, "SELECT * FROM cloud.slow_patterns WHERE from_date <> '2026-06-01'", 'HV002', qr/must restrict "from_date", for example with from_date >= /, 'a start that is compared otherwise');
fails_with($node, "SELECT * FROM cloud.metrics WHERE $WINDOW AND (bucket = '1 hour' OR value > 0)", 'HV002', qr/must restrict "bucket" by =, or not at all/, 'a bucket that is compared otherwise');
fails_with($node, "SELECT * FROM cloud.metrics WHERE $WINDOW AND bucket = '59.7 seconds'", '22023', qr/invalid value for "bucket": "00:00:59.7"/, 'a bucket of no whole seconds');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM cloud.metrics WHERE $WINDOW AND bucket IS NULL AND service_id = '$ORDERS'"), '>', 100, 'a bucket that is left to the API is null');
fails_with($node, "SELECT chpg_table_columns('pg_class')", '42809', qr/"pg_class" is not a foreign table of the wrapper "chpg"/, 'columns of another table');
clear_journal($url);

# Required conditions

for my $table (qw(slow_patterns metrics logs))
{
	fails_with($node, "SELECT * FROM cloud.$table LIMIT 10000", 'HV002', qr/query on foreign table "$table" must restrict "(?:timestamp|from_date)", for example with (?:"timestamp"|from_date) >= .*HINT:  Add that condition .* LIMIT TO \(recent_$table\)/s, "$table without a window");
}
fails_with($node, 'SELECT * FROM cloud.slow_pattern_executions', 'HV002', qr/must restrict "service_id", "query_id".*HINT:  Add conditions such as service_id = /s, 'executions of any pattern');
fails_with($node, "SELECT * FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_id > 5", 'HV002', qr/must restrict "query_id"/, 'executions of some patterns');
fails_with($node, qq{SELECT * FROM cloud.metrics WHERE "timestamp" < now()}, 'HV002', qr/"metrics" must restrict "timestamp", for example with "timestamp" >= /, 'no start');
fails_with($node, q{SELECT * FROM cloud.slow_patterns WHERE from_date = '2026-06-30Z' AND to_date = '2026-06-29Z'}, '22023', qr/window from .* is empty/, 'an empty window');
fails_with($node, "SELECT * FROM cloud.metrics WHERE $WINDOW AND bucket IN ('1 minute', '1 hour')", 'HV002', qr/must restrict "bucket" to one value/, 'several buckets');
is(request_count($url), 0, 'errors cost nothing');

# The window is the intersection of all ranges.
costs($node, $url, qq{SELECT count(*) FROM cloud.logs WHERE $WINDOW AND "timestamp" >= '2026-06-30 11:00Z' AND service_id = '$ORDERS'}, 1, 'lines of an hour');
like((queries())[0], qr/from_date=2026-06-30T11:00/, 'only that hour is requested');
costs($node, $url, qq{SELECT count(*) FROM cloud.metrics WHERE $WINDOW AND "timestamp" >= '2026-06-30 11:00Z' AND service_id = '$ORDERS'}, 1, 'points of an hour');
like((queries())[0], qr/from_date=2026-06-29T12:00/, 'points depend on the window, which is requested as it is');
costs($node, $url, qq{SELECT count(*) FROM cloud.logs WHERE "timestamp" >= '2026-06-30 11:00Z' AND "timestamp" < '2026-06-30 11:30Z' AND service_id = '$ORDERS' AND severity = 'ERROR'}, 1, 'lines of a severity');
like((queries())[0], qr/severity=ERROR/, 'the condition is pushed down');
is(costs($node, $url, qq{SELECT count(*) FROM cloud.logs WHERE "timestamp" >= '2026-06-30 11:00Z' AND "timestamp" < '2026-06-30 11:30Z' AND service_id = '$ORDERS' AND severity = 'no such'}, 1, 'an unknown severity'), 0, 'is that of no line');

# EXPLAIN

my $explained = $node->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) $example" =~ s/AND db_name/AND call_count > 3 AND db_name/r);
like($explained, qr{Requests: GET /v1/organizations/\{organization_id\}/postgres/\{service_id\}/slowQueryPatterns\?from_date=\{from_date\}&to_date=\{to_date\}&db_name=\{db_name\}&limit=500}, 'EXPLAIN shows the request');
like($explained, qr/Pushed Conditions: .*\(db_name = 'sales'::text\)/, 'EXPLAIN shows the parameters that are pushed down');
like($explained, qr/Local Conditions: \(call_count > 3\)/, 'EXPLAIN shows the conditions that are checked locally');
like($explained, qr/Estimated Requests: 1/, 'EXPLAIN shows the requests expected');
unlike($explained, qr/Requests Sent|\Q$KEY_SECRET\E/, 'EXPLAIN sends nothing, and shows no secret');
like($node->safe_psql('postgres', "EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM cloud.service_details"), qr/Requests Sent: 7\n.*Bytes Received: \d+/s, 'EXPLAIN ANALYZE shows the requests');

# Cached plans

for my $mode (qw(auto force_generic_plan force_custom_plan))
{
	my $executions = join '', map { 'EXECUTE q(' . ($_ % 3 == 0 ? 'NULL' : $_ % 3 == 1 ? "'$ids[0]'" : "'$ids[1]'") . ');' } 1 .. 10;
	is(costs($node, $url, "SET plan_cache_mode = $mode; PREPARE q(text) AS SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = \$1; $executions", 7, "$mode, ten times"), join("\n", map { $_ % 3 == 0 ? 0 : 60 } 1 .. 10), "$mode: what was asked for");
}
is(costs($node, $url, "SET plan_cache_mode = force_generic_plan; PREPARE l(int) AS SELECT query_id FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' ORDER BY total_duration_us DESC LIMIT \$1; EXECUTE l(2); EXECUTE l(1)", 2, 'a limit that is a parameter'),
	join("\n", map { $node->safe_psql('postgres', "SELECT query_id FROM chpg_slow_patterns('2026-06-29 12:00Z', '2026-06-30 12:00Z', 'orders', max_rows => $_)") } 2, 1), 'the first rows');

# Cursors

anew(services => 1, patterns => 1200);
my $all = "SELECT query_id FROM cloud.slow_patterns WHERE $WINDOW";
costs($node, $url, "BEGIN; DECLARE c CURSOR FOR $all; FETCH 10 FROM c; CLOSE c; COMMIT", 2, 'a cursor that is closed early');
costs($node, $url, "BEGIN; DECLARE c CURSOR FOR $all; MOVE 501 IN c; COMMIT", 3, 'a cursor goes on page by page');
is(costs($node, $url, "BEGIN; DECLARE c CURSOR WITH HOLD FOR $all; MOVE 1 IN c; COMMIT; FETCH 1 FROM c; CLOSE c", 4, 'WITH HOLD'),
	(split /\n/, $node->safe_psql('postgres', $all))[1], 'is there after the transaction');
is(costs($node, $url, "BEGIN; DECLARE c SCROLL CURSOR FOR $all; MOVE 3 IN c; MOVE BACKWARD 2 IN c; FETCH 1 FROM c; FETCH BACKWARD 1 FROM c; COMMIT", 2, 'a cursor that scrolls'),
	join("\n", (split /\n/, $node->safe_psql('postgres', $all))[ 1, 0 ]), 'goes back');
is(costs($node, $url, "BEGIN; DECLARE c CURSOR FOR $all; MOVE 100 IN c; SAVEPOINT s; MOVE 500 IN c; ROLLBACK TO s; FETCH 1 FROM c; MOVE ALL IN c; COMMIT", 4, 'a savepoint that is rolled back'), (split /\n/, $node->safe_psql('postgres', $all))[600], 'the cursor continues from its position');

# A cancel in the middle of the second page, and two cursors that share a request budget
fault($url, path => 'slowQueryPatterns', query => 'offset=500', hang => JSON::PP::true, times => 1);
my $session = open_session($node);
my $pid = in_session($session, 'SELECT pg_backend_pid()');
clear_journal($url);
begin_in_session($session, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW");
wait_until(sub { grep { /offset=500/ } queries() }, 'the second page is requested');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
await_in_session($session, qr/ERROR:  57014/);
is(in_session($session, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW"), 1200, 'after a cancel the next query succeeds');
anew(services => 8, patterns => 600);
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '8/3s')});
in_session($session, "BEGIN; DECLARE a CURSOR FOR $all; DECLARE b CURSOR FOR $all AND db_name <> 'x'");
my ($moved_a, $moved_b) = (0, 0);
for (1 .. 30)
{
	$moved_a += scalar(split /\n/, in_session($session, 'FETCH 200 FROM a'));
	$moved_b += scalar(split /\n/, in_session($session, 'FETCH 200 FROM b'));
}
is("$moved_a $moved_b", '4800 4800', 'two cursors in turns have all their rows');
in_session($session, 'COMMIT');
my @arrivals = sort { $a <=> $b } map { $_->{at} } @{ journal($url)->{requests} };
# Without a budget the requests would arrive within milliseconds. While a session reads
# from the other cursor, a request is assumed to arrive within a quarter of a second: on
# a busy machine the emulator may accept it a second later.
is(scalar(grep { $_ >= 8 && $arrivals[$_] - $arrivals[ $_ - 8 ] < 2 } 0 .. $#arrivals), 0, 'and keep the budget');
is(scalar(grep { $_->{status} == 429 } @{ journal($url)->{requests} }), 0, 'the API rejects no request');
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});
$session->quit;

# Live data

anew(services => 1, patterns => 40);
my $service = $node->safe_psql('postgres', 'SELECT id FROM chpg_services()');
my $sorted = "SELECT call_count FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$service' ORDER BY call_count DESC LIMIT 5";
my $body = sub { encode_json({ result => [ map { { queryId => "$_", queryText => 'x', dbName => 'd', dbUser => 'u', dbOperation => 'SELECT', app => 'a', callCount => $_[ $_ - 1 ] } } 1 .. @_ ] }) };
fault($url, path => 'slowQueryPatterns', query => 'limit=5\b', body => $body->(9, 8, 12, 4, 3));
fault($url, path => 'slowQueryPatterns', query => 'offset=5', body => encode_json({ result => [ map { { queryId => "1$_", callCount => $_ } } 11, 2 ] }));
is($node->safe_psql('postgres', $sorted), "12\n11\n9\n8\n4", 'a page that is out of order: all is read, and sorted here');
clear_faults($url);
fault($url, path => 'slowQueryPatterns', query => 'limit=5\b', body => $body->(9, 8, 12));
is($node->safe_psql('postgres', $sorted), "12\n9\n8", 'a page that is out of order is sorted here');
clear_faults($url);
fault($url, path => 'slowQueryPatterns', body => $body->(9, undef, 8));
is($node->safe_psql('postgres', $sorted), "\n9\n8", 'nulls are where SQL has them');
is($node->safe_psql('postgres', $sorted =~ s/DESC/DESC NULLS LAST/r), "9\n8\n", 'or where NULLS FIRST or LAST has them');
clear_faults($url);
fault($url, path => 'slowQueryPatterns', query => 'limit=5\b', body => $body->(1, 2, 3, 4, undef));
fault($url, path => 'slowQueryPatterns', query => 'offset=5', body => encode_json({ result => [ { queryId => '11', callCount => 5 } ] }));
is($node->safe_psql('postgres', $sorted =~ s/DESC/ASC/r), "1\n2\n3\n4\n5", 'also where the API has them before the last page');
clear_faults($url);

# Bounds that equal the time of a row
my $POINTS = qq{SELECT min("timestamp") = '2026-06-29 11:00Z', max("timestamp") = '2026-06-29 12:00Z' FROM cloud.metrics WHERE service_id = '$service' AND bucket = '1 minute' AND};
for my $case ([ '>=', '<=', 't|t' ], [ '>', '<=', 'f|t' ], [ '>=', '<', 't|f' ])
{
	my ($from, $to, $there) = @$case;
	is($node->safe_psql('postgres', qq{$POINTS "timestamp" $from '2026-06-29 11:00Z' AND "timestamp" $to '2026-06-29 12:00Z'}), $there, "points $from and $to");
}
anew();

# A service that vanished after the list, and one that fails
fault($url, path => "$ids[0]/slow", status => 404);
is($node->safe_psql('postgres', "SELECT count(DISTINCT service_id) FROM cloud.slow_patterns WHERE $WINDOW"), 5, 'a service that vanished has no rows');
anew();
fault($url, path => "$ids[0]/slow", status => 500);
fails_with($node, "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW", '58000', qr/could not read the slow query patterns of/, 'a service that fails fails the statement');
is($node->safe_psql('postgres', "SET client_min_messages = error; SET chpg.on_service_error = warning; SELECT count(DISTINCT service_id) FROM cloud.slow_patterns WHERE $WINDOW"), 5, 'unless a warning is enough');
is($node->safe_psql('postgres', "SET client_min_messages = error; SET chpg.on_service_error = warning; SET enable_hashjoin = off; SET enable_mergejoin = off; SELECT count(DISTINCT s.id), count(DISTINCT p.service_id) FROM (SELECT unnest('{" . join(',', @ids) . "}'::text[]) AS id, timestamptz '2026-06-29 12:00Z' AS f, timestamptz '2026-06-30 12:00Z' AS t) s LEFT JOIN cloud.slow_patterns p ON p.from_date = s.f AND p.to_date = s.t AND p.service_id = s.id"), scalar(@ids) . '|' . (@ids - 1), 'also if a join names the services one by one');
anew();

# Text that is too long for the API is not pushed down, and matches no row.
is($node->safe_psql('postgres', "SELECT count(*) FROM cloud.slow_patterns WHERE $WINDOW AND service_id = '$ORDERS' AND db_name = repeat('x', 300)"), 0, 'a value that is too long');
anew();

# Lists that need too many requests
fails_with($node, "SELECT FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND db_name = 'sales' AND db_user = 'u' AND db_operation = 'SELECT' AND query_id = ANY (ARRAY(SELECT generate_series(1, 200000)))", '54000', qr/more than 10000 combinations/, 'too many requests');
anew();

# Tables made by hand

reset_emulator($url);
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE by_hand (p99_duration_us real, query_id numeric, service_id text, "timestamp" int) SERVER chpg OPTIONS (resource 'slow_patterns', window '1 day'); ALTER FOREIGN TABLE by_hand DROP COLUMN "timestamp"; ALTER FOREIGN TABLE by_hand ADD COLUMN wrong text});
is($node->safe_psql('postgres', "SELECT count(*), count(query_id), bool_and(p99_duration_us >= 0) FROM by_hand WHERE service_id = '$ORDERS'"), '60|60|t', 'any columns in any order');
is($node->safe_psql('postgres', "SELECT query_id FROM by_hand WHERE query_id = -4748036479882663975 AND service_id = '$ORDERS'"), '-4748036479882663975', 'of other types');
fails_with($node, "SELECT * FROM by_hand", 'HV005', qr/resource "slow_patterns" has no column "wrong"/, 'a column that is unknown');
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE wrong_type (from_date timestamp, to_date timestamptz, service_id text) SERVER chpg OPTIONS (resource 'slow_patterns', window '1 day')});
fails_with($node, "SELECT from_date FROM wrong_type", 'HV004', qr/column "from_date" of foreign table "wrong_type" must be of type timestamp with time zone, not timestamp without time zone/, 'columns that repeat their condition');
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE wrong_time ("timestamp" timestamp, service_id text) SERVER chpg OPTIONS (resource 'logs')});
fails_with($node, q{SELECT FROM wrong_time WHERE "timestamp" > '2026-06-29'}, 'HV004', qr/column "timestamp" of foreign table "wrong_time" must be of type timestamp with time zone/, 'columns that a window can be given by');
is($node->safe_psql('postgres', "SELECT count(service_id) FROM wrong_type WHERE service_id = '$ORDERS'"), 60, 'unless the import leaves it out');
fails_with($node, q{CREATE FOREIGN TABLE x (id text) SERVER chpg OPTIONS (resource 'nothing')}, 'HV024', qr/HINT:  Give one of: organizations, services/, 'an unknown resource');
$node->safe_psql('postgres', 'CREATE FOREIGN TABLE x (id text) SERVER chpg');
fails_with($node, 'SELECT * FROM x', 'HV00J', qr/foreign table "x" lacks option "resource"/, 'no resource');
fails_with($node, q{INSERT INTO cloud.services (id) VALUES ('x')}, '0A000', qr/cannot insert into foreign table/, 'INSERT');
fails_with($node, 'DELETE FROM cloud.services', '0A000', qr/cannot delete from foreign table/, 'DELETE');
fails_with($node, q{UPDATE cloud.services SET name = 'x'}, '0A000', qr/cannot update foreign table/, 'UPDATE');

# Statements of other kinds

anew();
$node->safe_psql('postgres', 'CREATE TABLE part (id text, name text) PARTITION BY LIST (name); CREATE FOREIGN TABLE part_all PARTITION OF part DEFAULT SERVER chpg OPTIONS (resource $$services$$)' =~ s/\$\$/'/gr);
is(costs($node, $url, q{SELECT count(*) FROM part}, 1, 'a partition'), 6, 'of a partitioned table');
is($node->safe_psql('postgres', q{SELECT id FROM part WHERE id = 'pg7myrd1j06p3gx4zrm2ze8qz6' LIMIT 1}), $ORDERS, 'with a condition and a limit');
is($node->safe_psql('postgres', 'SELECT s::text FROM cloud.organizations s') =~ s/^\(([0-9a-f-]{36}).*/uuid/r, 'uuid', 'whole rows');
is($node->safe_psql('postgres', 'SELECT tableoid::regclass FROM cloud.organizations'), 'cloud.organizations', 'tableoid');
is($node->safe_psql('postgres', 'BEGIN READ ONLY; SELECT count(*) FROM cloud.services; COMMIT'), 6, 'in a transaction that is read only');
$node->safe_psql('postgres', "CREATE MATERIALIZED VIEW kept AS SELECT service_id, query_id, db_name, db_user, db_operation, app, call_count FROM cloud.slow_patterns WHERE $WINDOW; CREATE UNIQUE INDEX ON kept (service_id, query_id, db_name, db_user, db_operation, app)");
costs($node, $url, 'REFRESH MATERIALIZED VIEW CONCURRENTLY kept', 7, 'a materialized view');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kept'), 360, 'has all rows');
is($node->safe_psql('postgres', q{SELECT count(*) FROM information_schema.foreign_tables WHERE foreign_table_schema = 'cloud' AND foreign_server_name = 'chpg'}), 10, 'information_schema');
like($node->safe_psql('postgres', '\d+ cloud.slow_patterns'), qr/^from_date\|.*\|Start of the window/, 'psql describes them');

# Whose key is used
$node->safe_psql('postgres', "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA cloud TO reader; GRANT SELECT ON cloud.services TO reader; CREATE VIEW seen WITH (security_barrier) AS SELECT * FROM cloud.services WHERE name <> 'billing'; GRANT SELECT ON seen TO reader");
my @reader = (extra_params => [ '-U', 'reader' ]);
fails_with($node, 'SELECT * FROM cloud.services', '42501', qr/permission denied for foreign server chpg\nHINT:  Ask the owner to run: GRANT USAGE ON FOREIGN SERVER chpg TO reader;$/m, 'who may not have a key', @reader);
fails_with($node, q{SELECT * FROM chpg_services('chpg')}, '42501', qr/permission denied for foreign server chpg\nHINT:  Ask the owner to run: GRANT USAGE ON FOREIGN SERVER chpg TO reader;$/m, 'functions say the same', @reader);
$node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER chpg TO reader');
fails_with($node, 'SELECT * FROM cloud.services', '42704', qr/role "reader" has no key for server "chpg": call chpg_connect\(\)\nHINT:  Create a user mapping, or run: SELECT \* FROM chpg_connect/, 'who has no key', @reader);
$node->safe_psql('postgres', "CREATE USER MAPPING FOR reader SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET'); REVOKE USAGE ON FOREIGN SERVER chpg FROM reader");
is($node->safe_psql('postgres', 'SELECT count(*) FROM cloud.services', @reader), 6, 'a role with a key reads tables, as with any foreign table');
$node->safe_psql('postgres', 'DROP USER MAPPING FOR reader SERVER chpg');
is($node->safe_psql('postgres', 'SELECT count(*) FROM seen', @reader), 5, 'reads a view with the key of its owner');
is($node->safe_psql('postgres', q{SELECT count(*) FROM seen WHERE name LIKE 'b%'}, @reader), 0, 'and only the rows of the view');
fails_with($node, 'SELECT * FROM cloud.logs', '42501', qr/permission denied for foreign table logs/, 'a table that is not granted', @reader);

my ($dumped, undef) = run_command([ 'pg_dump', '-n', 'cloud', '-d', $node->connstr('postgres') ]);
is(scalar(() = $dumped =~ /CREATE FOREIGN TABLE/g), 10, 'pg_dump has the tables');
like($dumped, qr/COMMENT ON COLUMN cloud\.slow_patterns\.p99_duration_us/, 'and their comments');

done_testing();
