# Conditions as people and BI tools write them: how EXPLAIN and errors print them, which
# window follows from them, and that the rows are those that they select.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($FROM, $TO) = ('2026-06-29 00:00Z', '2026-06-30 00:00Z');
my $WINDOW = "from_date = '$FROM' AND to_date = '$TO'";

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0', "chpg.request_timeout = '5min'");

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, now => '2026-06-30T12:00:30.000Z');
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');

# Conditions with values of other tables are printed with the expressions of these
# values.

sql('CREATE TABLE local (service_id text, name text, day timestamptz)');
sql("INSERT INTO local VALUES ('$ORDERS', 'orders-api', '$FROM'); ANALYZE local");
my $LOOP = 'SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off;';

# The lines that EXPLAIN (VERBOSE) prints under a label
sub conditions
{
	my ($label, $query) = @_;
	my ($printed) = sql("$LOOP EXPLAIN (VERBOSE, COSTS OFF) $query") =~ /^\s*\Q$label\E: (.*)$/m;
	return $printed;
}

my $JOIN = "SELECT * FROM local l JOIN cloud.slow_patterns g ON g.service_id = l.service_id AND g.app = l.name WHERE $WINDOW";
like(conditions('Pushed Conditions', $JOIN), qr/\((?:l\.service_id = service_id|service_id = l\.service_id)\), \((?:l\.name = app|app = l\.name)\)/, 'a nested loop: the conditions name the other table');
unlike(conditions('Pushed Conditions', $JOIN), qr/\$\d/, 'a nested loop: no number of a parameter');
like(conditions('Local Conditions', "SELECT * FROM local l, LATERAL (SELECT * FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id AND p.query_text > l.name OFFSET 0) g"), qr/\(query_text > l\.name\)/, 'LATERAL: a condition that is checked here');
like(conditions('Pushed Conditions', "SELECT (SELECT count(*) FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id) FROM local l"), qr/\(service_id = l\.service_id\)/, 'a sub-query in the target list');
like(conditions('Pushed Conditions', "SELECT * FROM local l WHERE 5 < (SELECT count(*) FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id)"), qr/\(service_id = l\.service_id\)/, 'a sub-query in a condition');
like(conditions('Pushed Conditions', "SELECT * FROM local l LEFT JOIN local m ON m.name = l.name AND m.name IN (SELECT app FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id)"), qr/\(service_id = l\.service_id\)/, 'a sub-query in the condition of a join');
like(conditions('Pushed Conditions', "SELECT * FROM local l ORDER BY (SELECT max(call_count) FROM (SELECT call_count FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id UNION ALL SELECT 1) u) LIMIT (SELECT 1)"), qr/\(service_id = l\.service_id\)/, 'a sub-query within a UNION');
like(conditions('Pushed Conditions', "SELECT * FROM local l, LATERAL (SELECT * FROM (SELECT * FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id LIMIT 5) q ORDER BY call_count LIMIT 2) g"), qr/\(service_id = l\.service_id\)/, 'a sub-query of a sub-query');
like(conditions('Pushed Conditions', "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = (SELECT max(service_id) FROM local)"), qr/\(service_id = (?:\$0|\(InitPlan 1\)\.col1|\(InitPlan \w+\)\.col1)\)/, 'a sub-query that is run once, as core prints it');
like(sql("SET plan_cache_mode = force_generic_plan; PREPARE p(text) AS SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_id = \$1; EXPLAIN (VERBOSE) EXECUTE p('x')"), qr/Pushed Conditions: .*\(service_id = \$1\)/, 'a parameter of the statement has its number');

# Sub-queries in statements that change a table
sql('CREATE TABLE target (service_id text PRIMARY KEY, n bigint, day timestamptz)');
my $COUNTED = "SELECT count(*) FROM cloud.slow_patterns q WHERE q.service_id = t.service_id AND q.from_date = t.day AND q.to_date = t.day + interval '1 day'";
for my $case (
	[ 'a value of MERGE', "MERGE INTO target t USING local s ON s.service_id = t.service_id WHEN MATCHED THEN UPDATE SET n = ($COUNTED AND q.app <> s.service_id)", qr/s\.service_id/ ],
	[ 'a condition of MERGE', "MERGE INTO target t USING local s ON s.service_id = t.service_id WHEN MATCHED AND 5 < ($COUNTED AND q.app <> s.service_id) THEN DELETE", qr/s\.service_id/ ],
	[ 'ON CONFLICT', "INSERT INTO target AS t (service_id) SELECT service_id FROM local ON CONFLICT (service_id) DO UPDATE SET n = 1 WHERE t.n < ($COUNTED AND q.app <> t.service_id)", qr/t\.service_id/ ],
	[ 'a test of a sub-query', "MERGE INTO target t USING local s ON s.service_id = t.service_id WHEN MATCHED THEN UPDATE SET n = ($COUNTED AND (q.app || s.service_id) NOT IN (SELECT name FROM local))", qr/SubPlan|s\.service_id/ ])
{
	my ($what, $statement, $named) = @$case;

	like(conditions('Pushed Conditions', $statement), qr/\(service_id = t\.service_id\)|\(t\.service_id = service_id\)/, "$what: the conditions name the other table");
	like(conditions('Local Conditions', $statement), $named, "$what: those that are checked here, too");
	unlike(conditions('Pushed Conditions', $statement) . conditions('Local Conditions', $statement), qr/\$\d/, "$what: no number of a parameter");
}

# The error about a missing window
my $error = fails_with($node, "$LOOP SELECT * FROM local l, LATERAL (SELECT * FROM cloud.slow_patterns p WHERE p.from_date <> l.day - p.max_duration_us * interval '1 second' AND p.to_date = l.day OFFSET 0) g", 'HV002', qr/"slow_patterns"/, 'a window of another table');
like($error, qr/DETAIL:  .*from_date <> \(l\.day - /, 'a window of another table: its condition names the other table');
unlike($error, qr/\$\d/, 'a window of another table: no number of a parameter');

# The window of the latest request, without seconds that are zero
sub window
{
	my ($request) = grep { $_->{query}{from_date} } reverse @{ journal($url)->{requests} };
	return join ' ', map { s/(?::00)?\.000Z\z//r =~ s/Z\z//r } @{ $request->{query} }{qw(from_date to_date)} if $request;
	return 'none';
}

sub window_of
{
	my ($condition, $zone) = @_;

	clear_journal($url);
	sql("SET timezone = '" . ($zone // 'UTC') . qq{'; SELECT count(*) FROM cloud.logs l WHERE service_id = '$ORDERS' AND $condition});
	return window();
}

# The forms of BI tools, and the window that follows from each

for my $case (
	[ q{CAST("timestamp" AS date) = '2026-06-29'}, '2026-06-29T00:00 2026-06-30T00:00' ],
	[ q{CAST("timestamp" AS date) BETWEEN '2026-06-28' AND DATE '2026-06-29'}, '2026-06-28T00:00 2026-06-30T00:00' ],
	[ q{DATE '2026-06-28' < "timestamp"::date AND "timestamp"::date < '2026-06-30'}, '2026-06-29T00:00 2026-06-30T00:00' ],
	[ q{"timestamp"::date IN ('2026-06-27', '2026-06-29')}, '2026-06-27T00:00 2026-06-30T00:00' ],
	[ q{"timestamp"::date = '2026-06-29'}, '2026-06-28T22:00 2026-06-29T22:00', 'Europe/Berlin' ],
	[ q{"timestamp"::date = '2026-06-29'}, '2026-06-28T18:30 2026-06-29T18:30', 'Asia/Kolkata' ],
	[ q{"timestamp"::date >= TIMESTAMP '2026-06-28 12:00' AND "timestamp"::date < TIMESTAMP '2026-06-29 12:00'}, '2026-06-29T00:00 2026-06-30T00:00' ],
	[ q{"timestamp"::date >= TIMESTAMPTZ '2026-06-29 00:00Z' AND "timestamp" < '2026-06-30Z'}, '2026-06-29T00:00 2026-06-30T00:00' ],
	[ q{CAST("timestamp" AS timestamp) >= '2026-06-29 10:00' AND CAST("timestamp" AS timestamp) < '2026-06-29 11:30'}, '2026-06-29T14:00 2026-06-29T15:30', 'America/New_York' ],
	[ q{"timestamp"::timestamp(0) > '2026-06-29 10:00' AND "timestamp" < '2026-06-29 11:00Z'}, '2026-06-29T09:59:59 2026-06-29T11:00' ],
	[ q{date_trunc('hour', "timestamp") = '2026-06-29 10:00Z'}, '2026-06-29T10:00 2026-06-29T11:00' ],
	[ q{date_trunc('month', "timestamp") = '2026-06-01'}, '2026-05-31T22:00 2026-06-30T22:00', 'Europe/Berlin' ],
	[ q{date_trunc('week', "timestamp") >= '2026-06-22' AND date_trunc('day', "timestamp") < '2026-06-24'}, '2026-06-22T00:00 2026-06-24T00:00' ],
	[ q{date_trunc('day', "timestamp", 'Asia/Kolkata') = '2026-06-28 18:30Z'}, '2026-06-28T18:30 2026-06-29T18:30' ],
	[ q{date_trunc('day', "timestamp" AT TIME ZONE 'Asia/Kolkata') = '2026-06-29'}, '2026-06-28T18:30 2026-06-29T18:30' ],
	[ q{("timestamp" AT TIME ZONE 'UTC')::date = '2026-06-29'}, '2026-06-29T00:00 2026-06-30T00:00', 'Asia/Tokyo' ],
	[ q{("timestamp" AT TIME ZONE 'CEST')::date = '2026-06-29'}, '2026-06-28T08:00 2026-06-30T16:00' ],
	[ q{("timestamp" AT TIME ZONE 'FOO-100')::date = '2026-06-25'}, '2026-06-18T00:00 2026-07-03T00:00' ],
	[ q{("timestamp" AT TIME ZONE '-100:00')::date = '2026-06-25'}, '2026-06-18T00:00 2026-07-03T00:00' ],
	[ q{extract(epoch FROM "timestamp") >= 1782727200 AND extract(epoch FROM "timestamp") < 1782730800}, '2026-06-29T09:59:59.999 2026-06-29T11:00' ],
	[ q{date_part('epoch', "timestamp")::bigint BETWEEN 1782727200 AND 1782730800}, '2026-06-29T09:59:58.999 2026-06-29T11:00:01.001' ],
	[ q{timestamptz '2026-06-30Z' - "timestamp" <= interval '1 day' AND "timestamp" < '2026-06-30Z'}, '2026-06-29T00:00 2026-06-30T00:00' ],
	[ q{interval '36 hours' > timestamptz '2026-06-30Z' - "timestamp" AND "timestamp" - timestamptz '2026-06-29Z' < '90 minutes'}, '2026-06-28T12:00 2026-06-29T01:30' ],
	[ q{"timestamp" + interval '1 hour' >= '2026-06-29 10:00Z' AND "timestamp" - interval '30 minutes' < '2026-06-29 10:00Z'}, '2026-06-29T09:00 2026-06-29T10:30' ],
	[ q{"timestamp" + interval '1 day' >= '2026-06-30 10:00Z' AND "timestamp" < '2026-06-29 12:00Z'}, '2026-06-28T10:00 2026-06-29T12:00' ],
	[ q{"timestamp" >= DATE '2026-06-29' AND "timestamp" < TIMESTAMP '2026-06-29 12:00'}, '2026-06-28T15:00 2026-06-29T03:00', 'Asia/Tokyo' ],
	[ q{"timestamp"::date = '2026-06-29' AND "timestamp"::date = '2026-06-28'}, 'none' ],
	[ q{from_date >= '2026-06-29 01:00Z' AND from_date < '2026-06-29 02:00Z'}, '2026-06-29T01:00 2026-06-29T02:00' ],
	[ q{from_date >= '2026-06-29 01:00Z' AND "timestamp"::date = '2026-06-29' AND to_date <= '2026-06-29 02:00Z'}, '2026-06-29T01:00 2026-06-29T02:00' ])
{
	my ($condition, $window, $zone) = @$case;
	my $told = window_of($condition, $zone);

	# A bound may be a millisecond late, for it is sent in whole milliseconds.
	is($told =~ s/:00\.001\z//r, $window, "$condition" . ($zone ? " in $zone" : ''));
}

# Bounds that are parameters of the statement, or come from a join
is(costs($node, $url, qq{SET plan_cache_mode = force_generic_plan; PREPARE d(date) AS SELECT count(*) FROM cloud.logs WHERE service_id = '$ORDERS' AND "timestamp"::date = \$1; EXECUTE d('2026-06-28'); EXECUTE d('2026-06-29'); EXECUTE d(NULL)}, 2, 'a day as a parameter'),
	join("\n", (map { sql(qq{SELECT count(*) FROM chpg_logs('2026-06-$_ 00:00Z', timestamptz '2026-06-$_ 00:00Z' + interval '24 hours', 'orders')}) } 28, 29), 0), 'a day as a parameter: its lines');
sql(q{CREATE TABLE days AS SELECT d::date AS day FROM generate_series(timestamp '2026-06-26', '2026-06-28', '1 day') d; ANALYZE days});
is(costs($node, $url, qq{SELECT string_agg(n::text, ' ' ORDER BY day) FROM (SELECT day, count(*) AS n FROM days JOIN cloud.logs ON "timestamp"::date = day WHERE service_id = '$ORDERS' GROUP BY 1) g}, 3, 'days of a join'),
	sql(qq{SELECT string_agg((SELECT count(*) FROM chpg_logs(day::timestamptz, day + interval '1 day', 'orders'))::text, ' ' ORDER BY day) FROM days}), 'days of a join: their lines');
like(sql(qq{EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM cloud.logs WHERE "timestamp"::date = '2026-06-29' AND to_char("timestamp", 'DY') = 'MON'}), qr/Pushed Conditions: \(\("timestamp"\)::date = '2026-06-29'::date\)\n\s*Local Conditions: \(to_char/, 'EXPLAIN shows which condition bounds the window');
cmp_ok(sql(qq{SELECT count(*) FROM cloud.metrics WHERE service_id = '$ORDERS' AND date_trunc('day', "timestamp") = '2026-06-28'}), '>', 100, 'a day of metrics');

# <= includes the time itself, and < does not.
my $last = sql(qq{SELECT max("timestamp") FROM cloud.logs WHERE $WINDOW AND service_id = '$ORDERS'});
my ($up_to, $before, $at) = map { sql(qq{SELECT count(*) FROM cloud.logs WHERE "timestamp" >= '$FROM' AND "timestamp" $_ '$last' AND service_id = '$ORDERS'}) } '<=', '<', '=';
cmp_ok($at, '>', 0, 'lines at the end of a range');
is($up_to, $before + $at, 'lines at the end of a range belong to <=, not to <');

# A window of two slices takes exactly two requests.
costs($node, $url, qq{SELECT count(*) FROM cloud.logs WHERE "timestamp" >= '2026-05-01 00:00Z' AND "timestamp" < '2026-06-30 00:00Z' AND service_id = '$ORDERS' AND severity = 'PANIC'}, 2, '60 days of logs: two slices of 30');
costs($node, $url, qq{SELECT count(*) FROM chpg_metrics('2026-06-01 00:00Z', timestamptz '2026-06-01 00:00Z' + interval '500 hours', '$ORDERS', bucket => '1 hour')}, 2, '500 buckets: two slices of 250');
costs($node, $url, qq{SELECT count(*) FROM chpg_metrics('2026-06-01 00:00Z', timestamptz '2026-06-01 00:00Z' + interval '250 hours', '$ORDERS', bucket => '1 hour')}, 1, '250 buckets: one slice');

# Windows of query insights from a range of from_date

my $of_morning = sql("SELECT count(*) FROM chpg_slow_patterns('2026-06-29 00:00Z', '2026-06-29 06:00Z', '$ORDERS')");
for my $case (
	[ "from_date >= '2026-06-29 00:00Z' AND from_date < '2026-06-29 06:00Z'", '2026-06-29T00:00 2026-06-29T06:00' ],
	[ "from_date BETWEEN '2026-06-29 00:00Z' AND '2026-06-29 06:00Z'", '2026-06-29T00:00 2026-06-29T06:00' ],
	[ "from_date > '2026-06-29 00:00Z' AND to_date < '2026-06-29 06:00Z'", '2026-06-29T00:00 2026-06-29T06:00' ],
	[ "from_date >= DATE '2026-06-28' AND from_date >= '2026-06-29 00:00Z' AND to_date <= '2026-06-29 06:00Z' AND from_date < '2026-06-30'", '2026-06-29T00:00 2026-06-29T06:00' ],
	[ "from_date = '2026-06-29 00:00Z' AND to_date <= '2026-06-29 06:00Z'", '2026-06-29T00:00 2026-06-29T06:00' ])
{
	my ($condition, $window) = @$case;

	is(costs($node, $url, "SELECT count(*), bool_and($condition) FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND $condition", 1, $condition), "$of_morning|t", "$condition: its rows");
	is(window(), $window, "$condition: its window");
}

# A range makes one window, whose bounds are the only values of the columns: no bound
# follows from other conditions on them, which would select nothing.
for my $case (
	[ from_date => "from_date >= '$FROM' AND from_date < '$TO' AND from_date::date = '2026-06-29'" ],
	[ from_date => "from_date >= '2026-06-28 00:00Z' AND from_date IN ('$FROM', '2026-06-28 12:00Z')" ],
	[ from_date => "from_date >= '2026-06-28 00:00Z' AND (from_date = '$FROM' OR from_date = '2026-06-28 12:00Z')" ],
	[ from_date => "from_date >= '$FROM' AND from_date < '$TO' AND from_date <> '$FROM'" ],
	[ to_date => "from_date >= '$FROM' AND to_date <= '$TO' AND to_date::date = '2026-06-30'" ],
	[ to_date => "from_date = '$FROM' AND to_date <= '$TO' AND to_date <> '$TO'" ])
{
	my ($column, $condition) = @$case;

	clear_journal($url);
	like(fails_with($node, "SELECT count(*) FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND $condition", 'HV002', qr/query on foreign table "slow_patterns" must restrict "$column" by =, or by a range alone$/m, $condition),
		qr/DETAIL:  No bound follows from \(+$column\b.*\nHINT:  Replace the range by a condition such as $column = /, "$condition: which condition");
	is(request_count($url), 0, "$condition: no request");
}
is(sql("SELECT count(*) FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND from_date = '$FROM' AND to_date = '$TO' AND from_date::date = '2026-06-29' AND to_date <> from_date"), 60, 'single times can be compared with anything');
is(sql("SELECT count(*) FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND from_date >= '$FROM' AND from_date < '$TO' AND from_date IS NOT NULL AND to_date IS NOT NULL"), 60, 'IS NOT NULL adds no bound');

# Joined windows are read one by one, also within a range.
sql("CREATE TABLE windows AS SELECT timestamptz '$FROM' + n * interval '1 hour' AS f, timestamptz '$FROM' + (n + 1) * interval '1 hour' AS t FROM generate_series(0, 3) n; ANALYZE windows");
for my $joined ("p.from_date = w.f AND p.to_date = w.t AND p.from_date >= '$FROM' AND p.from_date < '$TO'", "p.from_date >= w.f AND p.from_date < w.t AND p.from_date >= '$FROM'", "p.from_date >= w.f AND p.to_date <= w.t AND p.from_date IS NOT NULL")
{
	is(sql("SELECT count(DISTINCT (w.f, p.from_date, p.to_date)) FILTER (WHERE p.from_date = w.f AND p.to_date = w.t) FROM windows w JOIN cloud.slow_patterns p ON $joined WHERE p.service_id = '$ORDERS'"), 4, "$joined: each window");
}
is(sql("SELECT count(*) > 0, count(DISTINCT a.from_date) FROM cloud.slow_patterns a JOIN cloud.slow_patterns b USING (from_date, service_id, query_id) WHERE a.from_date >= '$FROM' AND a.to_date <= '$TO' AND b.to_date <= '$TO' AND service_id = '$ORDERS'"), 't|1', 'a range of one table, and its bounds for the other');

is(sql("SELECT DISTINCT from_date, to_date FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND from_date >= '$FROM' AND from_date < '$TO'"), '2026-06-29 00:00:00+00|2026-06-30 00:00:00+00', 'the window is [A, B)');
is(sql("SELECT DISTINCT to_date = now() FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND from_date >= '$FROM'"), 't', 'a range without an end is until now');
my $ten = "SELECT p99_duration_us FROM cloud.slow_patterns WHERE from_date >= '$FROM' AND from_date < '$TO' AND service_id = '$ORDERS' ORDER BY 1 DESC LIMIT 10";
is(costs($node, $url, $ten, 1, 'the slowest ten'), sql($ten =~ s/from_date >= .* AND from_date < \S+ \S+/$WINDOW/r), 'the slowest ten of a range');
is(journal($url)->{requests}[-1]{query}{sort_by}, 'p99_duration', 'which the API sorts');

# Tables with a window of their own

is(costs($node, $url, q{CREATE SCHEMA recent; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO recent OPTIONS (window '1 hour')}, 0, 'an import with a window'), '', 'an import with a window');
is(sql(q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'recent'::regnamespace}),
	'backups config logs metrics organizations prometheus recent_logs recent_metrics recent_slow_patterns service_details services slow_pattern_executions slow_patterns', 'which adds three tables');
my ($described) = run_command([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', '\d+ recent.recent_logs' ]);
like($described, qr/FDW options: \(resource 'logs', "window" '1 hour'\)/, '\d+ shows the window');
sql(q{SELECT chpg_comment_tables('recent')});
like(sql(q{SELECT obj_description('recent.recent_logs'::regclass)}), qr/ Has the rows from now\(\) - interval '01:00:00' up to now\(\)\.$/, 'and so does the comment');
is(sql(q{SELECT string_agg(col_description('recent.recent_logs'::regclass, attnum), ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'recent.recent_logs'::regclass AND attname IN ('from_date', 'to_date')}),
	q{Start of the table's window: now() - interval '01:00:00' in each row. A condition on it does not narrow the window. End of the table's window: now() in each row. A condition on it does not narrow the window.}, 'and the conditions on its bounds');
like(sql(q{SELECT col_description('recent.logs'::regclass, 1)}), qr/give it as from_date = /, 'which other tables are to be given');
like(sql(q{SELECT obj_description('recent.logs'::regclass)}), qr/ Requires a window: "timestamp" >= /, 'an import of other tables names the columns that they require');
sql(q{CREATE SCHEMA few; IMPORT FOREIGN SCHEMA chpg LIMIT TO (recent_logs, services) FROM SERVER chpg INTO few OPTIONS (window '2 days')});
is(sql(q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'few'::regnamespace}), 'recent_logs services', 'LIMIT TO names them, too');
fails_with($node, q{IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO few OPTIONS (windows '1 hour')}, 'HV00D', qr/invalid option "windows"\nHINT:  Valid options in this context are: window$/m, 'another option of an import');
fails_with($node, q{IMPORT FOREIGN SCHEMA chpg LIMIT TO (services, recent_logs) FROM SERVER chpg INTO few}, 'HV00J', qr/import of "recent_logs" requires option "window"\nHINT:  Add OPTIONS \(window '1 day'\)\.$/m, 'a table with a window, and no window');
fails_with($node, q{IMPORT FOREIGN SCHEMA chpg LIMIT TO (recent_logs) FROM SERVER chpg INTO few OPTIONS (window '1 hour', window '2 hours')}, '42601', qr/option "window" provided more than once$/m, 'two windows of an import');
sql(q{CREATE SCHEMA none; IMPORT FOREIGN SCHEMA chpg LIMIT TO (recent_config, unknown) FROM SERVER chpg INTO none});
is(sql(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'none'::regnamespace}), 0, 'tables that there are not are not imported, as from any server');
for my $case ([ 'soon', '22007' ], [ '0', 'HV024' ], [ '-1 hour', 'HV024' ], [ '2 years', 'HV024' ])
{
	my ($window, $state) = @$case;

	fails_with($node, "IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO few OPTIONS (window '$window')", $state, qr/"$window"/, "an import with the window '$window'");
	fails_with($node, "CREATE FOREIGN TABLE few.x (body text) SERVER chpg OPTIONS (resource 'logs', window '$window')", $state, qr/"$window"/, "a table with the window '$window'");
}
fails_with($node, q{CREATE FOREIGN TABLE few.x (id text) SERVER chpg OPTIONS (resource 'services', window '1 hour')}, 'HV00D', qr/option "window" cannot be used with resource "services"/, 'a table without a window gets none');

# The length of the window that was sent, in seconds, and whether it ends about now
sub length_sent
{
	my ($from, $to) = @{ (grep { $_->{query}{from_date} } @{ journal($url)->{requests} })[-1]{query} }{qw(from_date to_date)};
	return sql("SELECT floor(extract(epoch FROM timestamptz '$to' - '$from')), timestamptz '$to' BETWEEN now() - interval '10 minutes' AND now() + interval '1 second'");
}

reset_emulator($url);
for my $table (qw(slow_patterns metrics logs))
{
	cmp_ok(costs($node, $url, "SELECT count(*) FROM recent.recent_$table WHERE service_id = '$ORDERS'", 1, "recent_$table"), '>', 20, "recent_$table has rows");
	is(length_sent(), '3600|t', "recent_$table is the last hour");
	is(sql("SELECT DISTINCT to_date = now(), from_date = now() - interval '1 hour' FROM recent.recent_$table WHERE service_id = '$ORDERS'"), 't|t', "recent_$table: its bounds");
	is(costs($node, $url, "SELECT count(*) FROM recent.recent_$table WHERE service_id = '$ORDERS' AND from_date < now() - interval '1 day'", 1, "recent_$table with a condition on its bounds"), 0, "recent_$table has no other rows");
	is(length_sent(), '3600|t', "recent_$table is the last hour, whatever the query's conditions are");
}
for my $condition (q{extract(epoch FROM "timestamp") > 0}, q{now() - "timestamp" < interval '1 day'}, q{to_char("timestamp", 'YYYY') > '1'}, q{("timestamp" > now() - interval '1 day' OR severity = 'x')})
{
	is(sql("SELECT count(*) FILTER (WHERE $condition) = count(*) FROM recent.recent_logs WHERE service_id = '$ORDERS'"), 't', "all recent lines: $condition");
	cmp_ok(sql("SELECT count(*) FROM recent.recent_logs WHERE service_id = '$ORDERS' AND $condition"), '>', 20, "a table with a window needs no other: $condition");
}
clear_journal($url);
sql(qq{SELECT count(*) FROM recent.recent_logs WHERE service_id = '$ORDERS' AND "timestamp" >= now() - interval '10 minutes'});
is(length_sent(), '600|t', 'lines of a part of the window: less is read');
clear_journal($url);
sql(qq{SELECT count(*) FROM recent.recent_metrics WHERE service_id = '$ORDERS' AND "timestamp" >= now() - interval '10 minutes'});
is(length_sent(), '3600|t', 'points depend on the window, which stays');
unlike(sql(qq{EXPLAIN (VERBOSE) SELECT FROM recent.recent_metrics WHERE service_id = '$ORDERS' AND "timestamp" >= now() - interval '10 minutes'}), qr/Pushed Conditions: .*timestamp/, 'EXPLAIN shows that');
clear_journal($url);
sql("PREPARE p AS SELECT count(*) FROM few.recent_logs WHERE service_id = '$ORDERS'; EXECUTE p; ALTER FOREIGN TABLE few.recent_logs OPTIONS (SET window '3 days'); EXECUTE p");
is(length_sent(), 3 * 86400 . '|t', 'a plan that is kept has the window of today');

# No setting makes a window: a statement without bounds is an error. (A removed setting
# that is left in a configuration is a warning when the library is loaded.)
for my $condition (
	q{to_char("timestamp", 'YYYY-MM-DD') >= '2026-06-29'}, q{extract(day FROM "timestamp") = 5}, q{("timestamp" >= now() - interval '1 day' OR severity = 'ERROR')},
	q{"timestamp"::date < '2026-06-29'}, q{now() - "timestamp" >= interval '1 hour'}, q{age("timestamp") < interval '1 day'}, q{"timestamp"::text > '2026'})
{
	clear_journal($url);
	my $refused = fails_with($node, "SELECT count(*) FROM cloud.logs WHERE service_id = '$ORDERS' AND $condition", 'HV002', qr/ERROR:  HV002: query on foreign table "logs" must restrict "timestamp", for example with "timestamp" >= (?:now\(\)|timestamptz '\d[^']*') - interval '1 hour'\n/, $condition);
	like($refused, qr/HINT:  Add that condition where the table is read, or filter by that column in a BI tool\. For a table of the latest rows, run: IMPORT FOREIGN SCHEMA/, "$condition: what to do");
	is(request_count($url), 0, "$condition: no request");
}
my ($advice) = fails_with($node, 'SELECT FROM cloud.logs', 'HV002', qr/must restrict "timestamp", for example with "timestamp" >= /, 'no window') =~ /(IMPORT FOREIGN SCHEMA .*);$/m;
cmp_ok(sql("$advice; SELECT count(*) FROM cloud.recent_logs WHERE service_id = '$ORDERS'"), '>', 1000, 'the table that the error advises');
fails_with($node, 'SELECT FROM cloud.logs', 'HV002', qr/HINT:  .*\. A table of the latest rows is cloud\.recent_logs\.$/m, 'once the column exists, the error names it');

# With an end in the past, the condition in the error's advice is relative to that end.
for my $case (
	[ 'slow_patterns', q{from_date < now() - interval '3 days'} ], [ 'slow_patterns', q{to_date = now() - interval '3 days'} ], [ 'logs', q{"timestamp" < now() - interval '3 days'} ],
	[ 'logs', q{to_date <= now() - interval '3 days' AND from_date IS NOT NULL} ], [ 'metrics', q{"timestamp" < now() - interval '3 days' AND from_date <> now()} ])
{
	my ($table, $condition) = @$case;
	my $query = "SELECT count(*) FROM cloud.$table WHERE service_id = '$ORDERS' AND $condition";
	my ($added) = fails_with($node, $query, 'HV002', qr/must restrict "\w+", for example with \S+ >= timestamptz '/, "an end in the past: $condition") =~ /for example with (.*)$/m;

	cmp_ok(sql("$query AND $added"), '>', 10, "$condition AND $added: has rows") if $condition !~ /<>/;
}
fails_with($node, q{SELECT FROM cloud.slow_patterns WHERE from_date < now() + interval '3 days'}, 'HV002', qr/must restrict "from_date", for example with from_date >= now\(\) - interval '1 day'$/m, 'an end to come bounds nothing');

# Bounds are wide enough wherever clocks change: the same queries over local copies of
# the rows have the same results.

my @CHANGES = (
	[ 'Europe/Berlin', '2025-10-26 01:00Z' ], [ 'Europe/Berlin', '2026-03-29 01:00Z' ], [ 'America/Havana', '2025-11-02 05:00Z' ], [ 'America/Havana', '2026-03-08 05:00Z' ],
	[ 'America/St_Johns', '2025-11-02 04:30Z' ], [ 'Australia/Lord_Howe', '2026-04-04 15:00Z' ], [ 'Asia/Kolkata', '2026-01-01 00:00Z' ], [ 'Pacific/Kiritimati', '2026-01-01 00:00Z' ]);
my $PER_CHANGE = 60;

sub pick { return $_[ rand @_ ] }

# A comparison from below, and one from above, of an expression of the time
sub bounds
{
	my ($center, $zone) = @_;
	my ($low, $high) = sort { $a <=> $b } map { int rand 60 * 96 } 1, 2;
	my ($from, $to) = map { my $minutes = $_ - 48 * 60; "(timestamptz '$center' + interval '$minutes minutes')" } $low, $high;
	my ($above, $below) = (pick('>', '>='), pick('<', '<='));
	my $unit = pick('minute', 'hour', 'day');
	my $other = pick('UTC', 'Asia/Tokyo', 'America/New_York', 'EST', $zone);
	my $form = pick(
		[ 'l."timestamp"::date', '%s::date' ], [ 'l."timestamp"::timestamp', '%s::timestamp' ], [ 'l."timestamp"::timestamp(0)', '%s::timestamp' ],
		[ "date_trunc('$unit', l.\"timestamp\")", pick('%s', "date_trunc('$unit', %s)") ], [ "date_trunc('$unit', l.\"timestamp\", '$other')", pick('%s', "date_trunc('$unit', %s, '$other')") ],
		[ "date_trunc('$unit', l.\"timestamp\"::timestamp)", "date_trunc('$unit', %s::timestamp)" ], [ "(l.\"timestamp\" AT TIME ZONE '$other')::date", "(%s AT TIME ZONE '$other')::date" ],
		[ 'extract(epoch FROM l."timestamp")', 'extract(epoch FROM %s)' ], [ "date_part('epoch', l.\"timestamp\")::bigint", "date_part('epoch', %s)" ],
		[ "l.\"timestamp\" - timestamptz '$center'", "%s - timestamptz '$center'" ], [ "l.\"timestamp\" + interval '1 day'", "%s + interval '1 day'" ],
		[ "l.\"timestamp\" - interval '1 month 2 days 3 hours'", "%s - interval '1 month 2 days 3 hours'" ], [ "l.\"timestamp\"::timestamp + interval '36 hours'", "%s::timestamp + interval '36 hours'" ],
		[ 'l."timestamp"::date', '%s::timestamp' ], [ 'l."timestamp"::timestamp', '%s' ], [ 'l."timestamp"::date', '%s' ]);
	my ($expression, $value) = @$form;

	return sprintf "%s %s $value AND %s %s $value", $expression, $above, $from, $expression, $below, $to if rand() < 0.6;
	return sprintf "timestamptz '$center' - l.\"timestamp\" $below timestamptz '$center' - %s AND timestamptz '$center' - l.\"timestamp\" $above timestamptz '$center' - %s", $from, $to if rand() < 0.3;
	return sprintf "%s = $value", $expression =~ /epoch|timestamp\(0\)/ ? ('l."timestamp"::date', $from) : ($expression, $from) if $value =~ /date$|date_trunc/ && rand() < 0.7;
	return sprintf "%s BETWEEN $value AND $value", $expression, $from, $to;
}

srand(20260630);
my ($compared, $found, $surplus) = (0, 0, 0);
for my $change (@CHANGES)
{
	my ($zone, $center) = @$change;

	reset_emulator($url, now => '2026-06-30T12:00:30.000Z', services => 1, log_lines_per_hour => 12);
	sql(qq{DROP TABLE IF EXISTS copied; CREATE TABLE copied AS SELECT * FROM cloud.logs WHERE "timestamp" >= timestamptz '$center' - interval '60 days' AND "timestamp" < timestamptz '$center' + interval '60 days'; ANALYZE copied});
	my @conditions = map { bounds($center, $zone) } 1 .. $PER_CHANGE;
	my @wrong = split /\n/, sql("SET timezone = '$zone'; SET chpg.cache_ttl = '1h'; SET client_min_messages = warning;" . join '', map { s/'/''/gr =~ s/(.*)/
SELECT c FROM (SELECT '$1' AS c) q WHERE (SELECT count(*) || ' ' || coalesce(sum(hashtext(body)), 0) FROM cloud.logs l WHERE $_) IS DISTINCT FROM (SELECT count(*) || ' ' || coalesce(sum(hashtext(body)), 0) FROM copied l WHERE $_);
INSERT INTO seen_rows SELECT count(*) FROM copied l WHERE $_;/r } @conditions) if sql('CREATE TABLE IF NOT EXISTS seen_rows (rows bigint)') eq '';

	is(join("\n", @wrong), '', "$zone around $center: " . @conditions . ' conditions select what they select here');
}
cmp_ok(sql('SELECT count(*) FILTER (WHERE rows > 0) FROM seen_rows'), '>', 0.7 * $PER_CHANGE * @CHANGES, 'most of the queries select rows');

# An upper bound of from_date alone is no end of the window.
my $LINES = qq{SELECT count(*) FROM cloud.logs WHERE service_id = '$ORDERS' AND "timestamp" >= '2026-06-28Z' AND "timestamp" < '2026-06-30Z'};
cmp_ok(sql($LINES), '>', 500, 'lines of two days');
is(sql("$LINES AND from_date <= '2026-06-29Z'"), sql($LINES), 'are all there with a condition on from_date that is true');
is(sql("$LINES AND from_date = '2026-06-28Z' AND from_date <= '2026-06-28 12:00Z'"), sql($LINES), 'also beside a condition that names it');

done_testing();
