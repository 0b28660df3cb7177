# Whatever is pushed down, a query over foreign tables has the same result as over local
# tables with all of the data.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use List::Util qw(shuffle);
use Test::More;

my $QUERIES = 500;
my $SEED = 20260630;

my $NOW = '2026-06-30T12:00:30.000Z';
my @WINDOWS = ([ '2026-06-29 00:00:00Z', '2026-06-29 12:00:00Z' ], [ '2026-06-29 12:00:00Z', '2026-06-30 00:00:00Z' ]);
my $DAY_START = '2026-06-29 00:00:00Z';
my $DAY_END = '2026-06-30 00:00:00Z';

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'");

$node->safe_psql('postgres', connect_sql($url));
srand($SEED);
plant();
copy_tables();

my $sql = sub { return $node->safe_psql('postgres', shift) };
my @ids = split /\n/, $sql->('SELECT id FROM here.services ORDER BY name COLLATE "C"');
my %some = map { my $column = $_; ($column => [ split /\n/, $sql->("SELECT DISTINCT $column FROM here.slow_patterns WHERE $column IS NOT NULL AND $column !~ '''' ORDER BY 1") ]) } qw(db_name db_user db_operation app);
my @query_ids = split /\n/, $sql->('SELECT query_id FROM here.slow_patterns GROUP BY 1 ORDER BY 1 LIMIT 40');

my @known_ids = split /\n/, $sql->('SELECT DISTINCT query_id FROM keys ORDER BY 1');

# The columns that identify a pattern, and the columns of an order without ties
my @SORT_FIELDS = qw(total_duration_us avg_duration_us call_count error_count max_duration_us p50_duration_us p95_duration_us
  p99_duration_us total_rows total_shared_blks_read total_shared_blks_hit total_cpu_time_us total_wal_bytes);
my $UNTIED = 'from_date, service_id, query_id, db_name COLLATE "C", db_user COLLATE "C", db_operation COLLATE "C", app COLLATE "C", total_duration_us, call_count, query_text COLLATE "C"';

# Each makes a query: its SQL over the schema {s}, and how its rows are compared:
#   exact => 1         row by row, since the order has no ties
#   sorted => [...]    these columns row by row, and all rows in any order
#   whole => SQL       with a LIMIT: the rows are among those of this query
my @SHAPES = (
	(\&listing) x 8, (\&prepared_listing) x 2, (\&aggregate) x 3, (\&join_of_services) x 3,
	(\&subquery) x 3, (\&window_function) x 2, (\&distinct) x 2, (\&lateral) x 3,
	(\&set_operation) x 2, (\&self_join) x 2, (\&logs) x 4, (\&metrics) x 4, (\&executions) x 3, (\&small_table) x 3);
my @queries = map { { number => $_, settings => settings_of_query(), $SHAPES[ $_ % @SHAPES ]->($_) } } 1 .. $QUERIES;

$node->safe_psql('postgres', slurp_functions());
check('with answers that are kept', '1h', @queries);
make_family();

# From PostgreSQL 18 on, an Append of a single path forgets that the path is disabled.
# Without nested loops, a join of a parent is then planned without the values that it
# needs: an error.
my $forgets = $node->pg_version >= 18;
check('by way of parents and views', '1h',
	map { { %$_, schema => 'family', settings => $forgets ? $_->{settings} =~ s/SET enable_nestloop = off; //r : $_->{settings} } } @queries);
check('asked anew each time', 0, grep { $_->{number} % 9 == 0 } @queries);

# The queries prove something only if most of them find rows, and if a wrong result is
# noticed.
my ($wrong) = differences('1h', { number => 0, settings => '', sql => q{SELECT '{s}'} }, { number => 1, settings => '', sql => 'SELECT 1/0, 1 FROM {s}.services' });
like($wrong, qr/only here: \(here\)/, 'a wrong row is found');
my ($filled) = $sql->(q{SELECT count(*) FROM seen WHERE rows > 0});
cmp_ok($filled, '>', $QUERIES * 0.7, "most queries find something ($filled)");

done_testing();

# Nulls and ties in the columns that the API sorts by, most of them far down. Of the
# durations, which the API always returns, only one has nulls: see order().
sub plant
{
	my %planted;

	for my $service (qw(orders billing analytics))
	{
		for my $place (3 .. 698)
		{
			my %fields;
			$fields{callCount} = int rand 40 if rand() < 0.6;
			$fields{p99DurationUs} = 1000 * int rand 50 if rand() < 0.5;
			$fields{ (qw(maxDurationUs errorCount totalRows totalSharedBlksRead))[ rand 4 ] } = undef if rand() < 0.03;
			$planted{$service}{$place} = \%fields if %fields;
		}
	}
	return reset_emulator($url, now => $NOW, services => 3, patterns => 700, log_lines_per_hour => 80, pattern_overrides => \%planted);
}

# The same tables as local ones, filled by the functions
sub copy_tables
{
	my $from_windows = join ' UNION ALL ', map { "SELECT timestamptz '$_->[0]' AS from_date, timestamptz '$_->[1]' AS to_date, * FROM chpg_slow_patterns('$_->[0]', '$_->[1]')" } @WINDOWS;

	return $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM chpg_patch_config('orders', '{"max_connections": 150, "work_mem": "8MB"}', '{"default_pool_size": 20}');
SELECT count(*) FROM chpg_patch_config('billing', '{"max_connections": 300}');
CREATE SCHEMA cloud;
IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud;
CREATE SCHEMA here;
CREATE TABLE here.organizations AS SELECT * FROM chpg_organizations();
CREATE TABLE here.services AS SELECT * FROM chpg_services();
CREATE TABLE here.service_details AS SELECT d.* FROM chpg_services() s, chpg_service(s.id) d;
ALTER TABLE here.service_details DROP password, DROP connection_string;
CREATE TABLE here.slow_patterns AS $from_windows;
CREATE TABLE here.metrics AS SELECT timestamptz '$DAY_START' AS from_date, timestamptz '$DAY_END' AS to_date, interval '1 hour' AS bucket, * FROM chpg_metrics('$DAY_START', '$DAY_END', bucket => '1 hour');
CREATE TABLE here.logs AS SELECT timestamptz '$DAY_START' AS from_date, timestamptz '$DAY_END' AS to_date, * FROM chpg_logs('$DAY_START', '$DAY_END');
CREATE TABLE here.backups AS SELECT * FROM chpg_backups();
CREATE TABLE here.config AS SELECT * FROM chpg_config();
CREATE TABLE here.prometheus AS SELECT * FROM chpg_prometheus();
CREATE TABLE keys AS SELECT DISTINCT service_id, query_id, db_name, db_user, db_operation FROM here.slow_patterns WHERE abs(query_id) % 150 = 7;
CREATE TABLE here.slow_pattern_executions AS SELECT e.* FROM keys k, chpg_slow_pattern_executions(k.service_id, k.query_id, k.db_name, k.db_user, k.db_operation) e;
CREATE TABLE windows AS SELECT * FROM (VALUES ${\ join ', ', map { "(timestamptz '$_->[0]', timestamptz '$_->[1]')" } @WINDOWS}) w(f, t);
CREATE TABLE wanted AS SELECT id AS service_id, n FROM here.services, generate_series(1, 5) n;
CREATE TABLE seen (number integer, rows integer);
ANALYZE;
SQL
}

# The same names for parents and views of these tables
sub make_family
{
	return $node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA children;
IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO children;
CREATE SCHEMA family;
CREATE TABLE family.services (LIKE children.services);
ALTER FOREIGN TABLE children.services INHERIT family.services;
CREATE TABLE family.slow_patterns (LIKE children.slow_patterns) PARTITION BY LIST (service_id);
CREATE TABLE children.partition PARTITION OF family.slow_patterns DEFAULT PARTITION BY LIST (db_name);
ALTER TABLE children.partition ATTACH PARTITION children.slow_patterns DEFAULT;
CREATE TABLE family.logs (LIKE children.logs) PARTITION BY RANGE ("timestamp");
ALTER TABLE family.logs ATTACH PARTITION children.logs DEFAULT;
CREATE TABLE children.nothing (LIKE children.metrics);
CREATE VIEW family.metrics AS SELECT * FROM children.nothing UNION ALL SELECT * FROM children.metrics;
CREATE TABLE family.slow_pattern_executions (LIKE children.slow_pattern_executions);
ALTER FOREIGN TABLE children.slow_pattern_executions INHERIT family.slow_pattern_executions;
CREATE VIEW family.service_details WITH (security_barrier) AS SELECT * FROM children.service_details;
CREATE VIEW family.organizations AS SELECT * FROM children.organizations;
CREATE VIEW family.prometheus AS SELECT * FROM children.prometheus;
CREATE VIEW family.backups AS SELECT * FROM children.backups;
CREATE VIEW family.config AS SELECT * FROM children.config;
SQL
}

sub pick { return $_[ rand @_ ] }
sub some { my ($count, @list) = @_; return (shuffle @list)[ 0 .. $count - 1 ] }
sub quoted { return join ', ', map { "'$_'" } @_ }

# Conditions on slow_patterns, many of which are filters of the API
sub window_of
{
	my ($alias) = @_;
	my ($from, $to) = @{ pick(@WINDOWS) };

	return pick("$alias.from_date = '$from' AND $alias.to_date = '$to'", "'$from'::timestamptz = $alias.from_date AND '$to' = $alias.to_date",
		"$alias.from_date = '$from' AND $alias.to_date = timestamptz '$from' + interval '12 hours'",
		"$alias.from_date >= '$from' AND $alias.from_date < '$to'", "$alias.from_date >= '$from' AND $alias.to_date <= '$to'");
}

sub service_of
{
	my ($alias, $column) = @_;
	my $id = pick(@ids);

	$column //= 'service_id';
	return pick(
		(undef) x 2, ("$alias.$column = '$id'") x 4,
		"$alias.$column IN (" . quoted(some(2, @ids)) . ')', "$alias.$column = ANY (ARRAY[" . quoted(@ids) . "])",
		"$alias.$column = ANY ('{$id,$id,pgnonexistent0000000000000}')", "$alias.$column = 'pg000000000000000000000000'",
		"$alias.$column = (SELECT id FROM {s}.services WHERE name = '" . pick('orders', 'billing') . "')",
		"$alias.$column IN (SELECT id FROM {s}.services WHERE name > 'b')", "$alias.$column <> '$id'", "$alias.$column > '$id'");
}

sub filter_of
{
	my ($alias) = @_;
	my $column = pick(keys_of(%some));
	my $value = pick(@{ $some{$column} });
	my $field = pick(@SORT_FIELDS);
	my $number = int exp rand 12;

	return pick(
		("$alias.$column = '$value'") x 5, ("$alias.$column IN (" . quoted(some(2, @{ $some{$column} }, 'nix')) . ')') x 3,
		"$alias.$column = ANY ('{$value,NULL}')", "'$value' = $alias.$column", "$alias.$column IN ('$value', '$value')",
		"$alias.$column = 'nix'", "$alias.$column IS NULL", "$alias.$column IS NOT NULL", "$alias.$column <> '$value'",
		"$alias.$column NOT IN ('$value', 'nix')", "$alias.$column NOT IN ('$value', NULL)", "$alias.$column = NULL", "$alias.$column IS NOT DISTINCT FROM '$value'",
		"$alias.$column = upper('$value')", "$alias.$column COLLATE \"C\" = '$value'", "$alias.$column = '$value' || ''", "$alias.$column LIKE '" . substr($value, 0, 2) . "%'",
		"coalesce($alias.app, 'none') = '" . pick('none', @{ $some{app} }) . "'", "$alias.db_name = $alias.app", "$alias.db_user = $alias.db_name",
		"($alias.$column = '$value' OR $alias.$field > $number)", "NOT ($alias.$column = '$value' AND $alias.call_count > 5)",
		"($alias.db_name = '$value' OR $alias.db_name = 'sales')", "($alias.$column = '$value') IS NOT TRUE", "$alias.$column = '$value' AND $alias.$column = '" . pick(@{ $some{$column} }) . "'",
		"$alias.query_id = " . pick(@query_ids), "$alias.query_id IN (" . join(', ', some(3, @query_ids)) . ')',
		"$alias.$field > $number", "$alias.$field BETWEEN $number AND " . 3 * $number, "$alias.$field IS NULL", "$alias.$field = 0",
		"$alias.$column = ANY (SELECT db_name FROM keys)", "$alias.$column = (SELECT max(db_name) FROM keys)");
}

sub keys_of { my (%hash) = @_; return sort keys %hash }

sub conditions_of
{
	my ($alias) = @_;
	my @filters = map { filter_of($alias) } 1 .. pick(0, 0, 1, 1, 2);

	return join ' AND ', shuffle(grep { defined } window_of($alias), service_of($alias), @filters);
}

# Queries of one service that can be pushed down as a whole
sub plain_conditions
{
	my ($alias) = @_;
	my ($column) = pick(keys_of(%some));
	my @filter = pick(0, 1) ? "$alias.$column = '" . pick(@{ $some{$column} }) . "'" : ();

	return join ' AND ', window_of($alias), "$alias.service_id = '" . pick(@ids) . "'", @filter;
}

# A null duration is not noticed where nulls come first: chpg pushes this order down
# because durations are never null.
sub order
{
	my ($field) = @_;

	return pick('ASC', 'ASC NULLS LAST', 'DESC NULLS LAST') if $field eq 'max_duration_us';
	return pick(qw(ASC DESC DESC)) . pick('', '', ' NULLS FIRST', ' NULLS LAST', ' NULLS LAST');
}

# Lists, sorted and limited
sub listing
{
	my $field = pick(@SORT_FIELDS);
	my $order = "p.$field " . order($field);
	my $columns = pick('p.*', "p.$field, p.query_text", "p.$field, p.service_id, p.query_id, p.app", "p.query_id, p.$field, p.p99_duration_us + 1 AS more");
	my $from = "FROM {s}.slow_patterns p WHERE " . pick(\&plain_conditions, \&conditions_of)->('p');
	my $limit = pick('', map { "LIMIT $_" } 1, 3, 10, 10, 25, 100, 499, 500, 501, 650, 'ALL', 0);
	my $offset = pick('', '', '', map { "OFFSET $_" } 1, 5, 300, 690, 5000);

	return (sql => "SELECT $columns $from ORDER BY $order FETCH FIRST " . pick(1, 10, 200, 600) . ' ROWS WITH TIES', sorted => [$field]) if rand() < 0.15;
	return (sql => "SELECT $columns $from $limit $offset", whole => "SELECT $columns $from") if rand() < 0.15;
	return (sql => "SELECT p.* $from ORDER BY $order, $UNTIED $limit $offset", exact => 1) if rand() < 0.25;
	return (sql => "SELECT p.service_id, p.$field $from ORDER BY p.service_id, $order $limit $offset", sorted => [ 'service_id', $field ], whole => "SELECT p.service_id, p.$field $from") if rand() < 0.15;
	return (sql => "SELECT * FROM (SELECT $columns $from ORDER BY $order $limit $offset) q", sorted => [$field], whole => "SELECT $columns $from") if rand() < 0.15;
	return (sql => "SELECT $columns $from ORDER BY $order $limit $offset", sorted => [$field], whole => "SELECT $columns $from");
}

# Settings of the planner, so that each of its plans occurs
sub settings_of_query
{
	my @switches = map { "enable_$_" } qw(hashjoin mergejoin nestloop material memoize sort hashagg);

	return '' if rand() < 0.6;
	return join '', map { "SET $_ = off; " } some(pick(1, 1, 2), @switches);
}

# Lists with parameters, in generic and in custom plans
sub prepared_listing
{
	my ($number) = @_;
	my $field = pick(@SORT_FIELDS);
	my ($from, $to) = @{ pick(@WINDOWS) };
	my ($column) = pick(keys_of(%some));
	my ($condition, @more) = @{ pick([ "$column = \$4", "text" ], [ "$column = ANY (\$4)", 'text[]' ], [ "($column = \$4 OR \$4 IS NULL)", 'text' ]) };
	my $value = pick('NULL', "'nix'", map { "'$_'" } @{ $some{$column} });
	$value = "'{" . join(',', some(2, @{ $some{$column} })) . "}'" if $more[0] eq 'text[]';
	my @values = ("'$from'", "'$to'", "'" . pick(@ids) . "'", $value, pick(1, 10, 300, 600));
	my $body = "FROM {s}.slow_patterns WHERE from_date = \$1 AND to_date = \$2 AND service_id = \$3 AND $condition";
	my $whole = "SELECT service_id, query_id, $field $body";
	my $filled = $whole =~ s/\$(\d)/$1 == 4 ? "$values[3]::$more[0]" : $values[$1 - 1]/egr;

	return (
		prepare => "PREPARE p$number\_{s}(timestamptz, timestamptz, text, $more[0], bigint) AS $whole ORDER BY $field " . order($field) . ' LIMIT $5',
		plans => pick(qw(force_generic_plan force_custom_plan auto)),
		sql => "EXECUTE p$number\_{s}(" . join(', ', @values) . ')',
		sorted => [$field],
		whole => $filled);
}

sub aggregate
{
	my $where = 'FROM {s}.slow_patterns p WHERE ' . conditions_of('p');
	my $column = pick(qw(db_name db_user db_operation app service_id));
	my $field = pick(@SORT_FIELDS);

	return (
		sql => pick(
			"SELECT count(*) $where", "SELECT count(p.$field), max(p.$field), min(p.$field), sum(p.$field\::numeric) $where", "SELECT max(p.$field) $where",
			"SELECT p.$column, count(*), sum(p.call_count), count(DISTINCT p.query_id) $where GROUP BY 1", "SELECT p.$column, count(*) $where GROUP BY 1 HAVING count(*) > 3",
			"SELECT p.db_name, p.$column AS c, max(p.$field) $where GROUP BY ROLLUP (1, 2)", "SELECT p.$column, max(p.$field) FILTER (WHERE p.call_count > 10) $where GROUP BY p.$column, p.db_name",
			"SELECT count(*) FROM (SELECT 1 $where) q", "SELECT bool_and(p.$field > 0), array_agg(DISTINCT p.$column ORDER BY p.$column) $where",
			"SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY p.$field) $where"));
}

sub join_of_services
{
	my $where = join ' AND ', window_of('p'), map { filter_of('p') } 1 .. pick(0, 0, 1);
	my $name = pick("s.name = 'orders'", "s.name LIKE '%i%'", "s.state = 'running'", "s.is_primary", "s.name = 'nix'", 's.storage_size > 200', "s.id = '" . pick(@ids) . "'", 's.region = p.db_name');
	my $columns = 's.name, p.service_id, p.query_id, p.call_count, p.app';

	return (
		sql => pick(
			"SELECT $columns FROM {s}.services s JOIN {s}.slow_patterns p ON p.service_id = s.id WHERE $where AND $name",
			"SELECT $columns FROM {s}.slow_patterns p, {s}.services s WHERE s.id = p.service_id AND $where AND $name",
			"SELECT $columns FROM {s}.services s LEFT JOIN {s}.slow_patterns p ON p.service_id = s.id AND $where AND $name",
			"SELECT $columns FROM {s}.services s LEFT JOIN {s}.slow_patterns p ON p.service_id = s.id AND $where WHERE $name AND p.app IS NULL",
			"SELECT $columns FROM {s}.services s RIGHT JOIN (SELECT * FROM {s}.slow_patterns p WHERE $where) p ON p.service_id = s.id AND s.name > 'b'",
			"SELECT $columns FROM (SELECT * FROM {s}.services s WHERE s.name < 'c') s FULL JOIN (SELECT * FROM {s}.slow_patterns p WHERE $where) p ON p.service_id = s.id",
			"SELECT d.hostname, d.tags, p.query_id FROM {s}.service_details d JOIN {s}.slow_patterns p ON p.service_id = d.id WHERE $where AND d.name = 'orders'",
			"SELECT w.n, p.query_id, p.service_id FROM wanted w JOIN {s}.slow_patterns p ON p.service_id = w.service_id WHERE $where AND p.call_count > 20 AND w.n < 3",
			"SELECT c.name, c.value, s.name FROM {s}.config c JOIN {s}.services s ON s.id = c.service_id WHERE $name" =~ s/ = p\.db_name/ > ''/r,
			"SELECT b.*, s.region FROM {s}.backups b JOIN {s}.services s ON s.id = b.service_id WHERE $name AND b.last_modified > '2026-06-26'" =~ s/ = p\.db_name/ > ''/r,
			"SELECT m.metric, m.value, s.name FROM {s}.prometheus m JOIN {s}.services s ON s.id = m.service_id WHERE $name AND m.value > 10" =~ s/ = p\.db_name/ > ''/r));
}

sub subquery
{
	my $where = conditions_of('p');
	my $window = window_of('q');
	my $columns = 'p.service_id, p.query_id, p.db_name, p.app, p.call_count';

	return (
		sql => pick(
			"SELECT s.name FROM {s}.services s WHERE EXISTS (SELECT FROM {s}.slow_patterns p WHERE p.service_id = s.id AND $where)",
			"SELECT s.name FROM {s}.services s WHERE NOT EXISTS (SELECT FROM {s}.slow_patterns p WHERE p.service_id = s.id AND $where)",
			"SELECT s.name, (SELECT count(*) FROM {s}.slow_patterns p WHERE p.service_id = s.id AND $where) FROM {s}.services s",
			"SELECT s.name, (SELECT max(p.call_count) FROM {s}.slow_patterns p WHERE p.service_id = s.id AND $where) AS m FROM {s}.services s WHERE s.name <> 'billing'",
			"SELECT s.name, ARRAY(SELECT p.query_id FROM {s}.slow_patterns p WHERE p.service_id = s.id AND $where ORDER BY 1 LIMIT 5) FROM {s}.services s",
			"SELECT n, (SELECT count(*) FROM {s}.slow_patterns p WHERE p.service_id = w.service_id AND $where) FROM wanted w",
			"SELECT $columns FROM {s}.slow_patterns p WHERE $where AND p.service_id IN (SELECT id FROM {s}.services WHERE name <> 'analytics')",
			"SELECT $columns FROM {s}.slow_patterns p WHERE $where AND p.service_id NOT IN (SELECT id FROM {s}.services WHERE name <> 'analytics')",
			"SELECT $columns FROM {s}.slow_patterns p WHERE $where AND p.call_count = (SELECT max(q.call_count) FROM {s}.slow_patterns q WHERE $window AND q.service_id = p.service_id)",
			"SELECT $columns FROM {s}.slow_patterns p WHERE $where AND p.query_id IN (SELECT q.query_id FROM {s}.slow_patterns q WHERE $window AND q.call_count > 30)",
			"WITH q AS MATERIALIZED (SELECT * FROM {s}.slow_patterns p WHERE $where) SELECT count(*), min(query_id) FROM q UNION ALL SELECT count(app), max(query_id) FROM q",
			"WITH q AS (SELECT * FROM {s}.slow_patterns p WHERE $where) SELECT query_id, app FROM q WHERE service_id = '$ids[0]'",
			"SELECT $columns FROM {s}.slow_patterns p WHERE $where AND (p.service_id, p.db_name) IN (SELECT k.service_id, k.db_name FROM keys k)"));
}

sub window_function
{
	my $where = 'FROM {s}.slow_patterns p WHERE ' . conditions_of('p');
	my $field = pick(@SORT_FIELDS);

	return (
		sql => pick(
			"SELECT p.query_id, p.app, rank() OVER (PARTITION BY p.service_id ORDER BY p.$field DESC) $where", "SELECT p.$field, dense_rank() OVER (ORDER BY p.$field NULLS FIRST) $where",
			"SELECT p.query_id, p.service_id, sum(p.call_count) OVER (PARTITION BY p.db_name ORDER BY p.$field) $where",
			"SELECT p.query_id, row_number() OVER (ORDER BY p.$field DESC, $UNTIED) AS n $where",
			"SELECT * FROM (SELECT p.query_id, p.$field, rank() OVER (ORDER BY p.$field DESC) AS n $where) r WHERE n <= 10",
			"SELECT p.query_id, lag(p.call_count) OVER (ORDER BY $UNTIED) $where ORDER BY $UNTIED LIMIT 20"));
}

sub distinct
{
	my $where = 'FROM {s}.slow_patterns p WHERE ' . conditions_of('p');
	my $column = pick(qw(db_name app service_id call_count p99_duration_us));

	return (sql => "SELECT DISTINCT p.$column $where ORDER BY 1 " . order($column) . pick('', ' LIMIT 3', ' LIMIT 10 OFFSET 2'), exact => 1) if rand() < 0.5;
	return (
		sql => pick(
			"SELECT DISTINCT p.db_name, p.$column AS c $where",
			"SELECT DISTINCT ON (p.db_name) p.db_name, p.query_id, p.app $where ORDER BY p.db_name, p.$column DESC, $UNTIED",
			"SELECT count(DISTINCT p.$column) $where", "SELECT DISTINCT ON (p.$column) p.$column $where ORDER BY p.$column LIMIT 4"));
}

sub lateral
{
	my $field = pick(@SORT_FIELDS);
	my $filter = filter_of('p');
	my $cut = "ORDER BY p.$field " . order($field) . ", $UNTIED LIMIT " . pick(1, 3, 20, 600);

	return (
		sql => pick(
			"SELECT w.f, p.service_id, p.query_id, p.app FROM windows w JOIN {s}.slow_patterns p ON p.from_date = w.f AND p.to_date = w.t WHERE $filter",
			"SELECT w.f, n FROM windows w, LATERAL (SELECT count(*) AS n FROM {s}.slow_patterns p WHERE p.from_date = w.f AND p.to_date = w.t AND p.service_id = '$ids[1]' AND $filter) x",
			"SELECT s.name, p.* FROM {s}.services s, LATERAL (SELECT p.query_id, p.$field FROM {s}.slow_patterns p WHERE p.service_id = s.id AND ${\ window_of('p')} $cut) p",
			"SELECT s.name, p.* FROM {s}.services s LEFT JOIN LATERAL (SELECT p.query_id, p.$field FROM {s}.slow_patterns p WHERE p.service_id = s.id AND ${\ window_of('p')} AND $filter $cut) p ON true",
			"SELECT s.name, w.f, p.query_id, p.app FROM {s}.services s CROSS JOIN windows w JOIN {s}.slow_patterns p ON p.service_id = s.id AND p.from_date = w.f AND p.to_date = w.t WHERE s.name < 'c' AND $filter",
			"SELECT w.f, w.t, (SELECT max(p.$field) FROM {s}.slow_patterns p WHERE p.from_date = w.f AND p.to_date = w.t AND $filter) FROM windows w",
			"SELECT n, p.query_id FROM wanted w, LATERAL (SELECT * FROM {s}.slow_patterns p WHERE p.service_id = w.service_id AND ${\ window_of('p')} AND p.call_count = w.n) p"));
}

sub set_operation
{
	my $field = pick(@SORT_FIELDS);

	if (rand() < 0.4)
	{
		my $both = join ' UNION ALL ', map { "SELECT p.query_id, p.$field, p.app FROM {s}.slow_patterns p WHERE " . pick(\&plain_conditions, \&conditions_of)->('p') } 1 .. pick(2, 3);
		return (sql => "$both ORDER BY $field " . order($field) . ' LIMIT ' . pick(1, 5, 200, 600), sorted => [$field], whole => $both);
	}
	my @parts = map { my $where = conditions_of('p'); "SELECT p.query_id, p.db_name, p.app FROM {s}.slow_patterns p WHERE $where" } 1, 2;

	return (sql => "($parts[0]) " . pick('UNION', 'UNION ALL', 'INTERSECT', 'INTERSECT ALL', 'EXCEPT', 'EXCEPT ALL') . " ($parts[1])");
}

sub self_join
{
	my ($one, $two) = map { window_of($_) } qw(a b);
	my $filter = filter_of('a');

	return (
		sql => pick(
			"SELECT a.query_id, a.app, b.call_count FROM {s}.slow_patterns a JOIN {s}.slow_patterns b USING (service_id, query_id, db_name, db_user, db_operation) WHERE $one AND $two AND $filter",
			"SELECT a.query_id, b.service_id FROM {s}.slow_patterns a JOIN {s}.slow_patterns b ON a.db_name = b.db_name AND a.app = b.app AND b.service_id = '$ids[0]' WHERE $one AND $two AND a.call_count = 3 AND b.call_count > 35",
			"SELECT a.query_id, b.query_id AS other FROM {s}.slow_patterns a LEFT JOIN {s}.slow_patterns b ON b.query_id = a.query_id + 1 AND $two WHERE $one AND a.service_id = '$ids[2]'",
			"SELECT count(*) FROM {s}.slow_patterns a, {s}.slow_patterns b WHERE $one AND $two AND a.service_id = b.service_id AND a.query_id = b.query_id AND $filter",
			"SELECT s.name, t.name FROM {s}.services s JOIN {s}.services t ON s.provider = t.provider AND s.id < t.id",
			"SELECT s.name, d.name, d.hostname FROM {s}.services s JOIN {s}.service_details d ON d.id = s.id WHERE s.name <> 'billing'"));
}

# A window by the columns or by the times, as people and tools write it; a range is
# always within the day of the local data.
sub times_of
{
	my ($alias) = @_;
	my ($first, $last) = sort { $a <=> $b } map { int rand 24 * 60 } 1, 2;
	my ($from, $to) = map { sprintf '2026-06-29 %02d:%02d:%s', int($_ / 60), $_ % 60, pick('00Z', '00.001Z', '30.0005Z') } $first, $last;

	return pick(
		"$alias.from_date = '$DAY_START' AND $alias.to_date = '$DAY_END'", "$alias.from_date = '$DAY_START' AND $alias.to_date = '$DAY_END' AND $alias.\"timestamp\" > '$from'",
		"$alias.\"timestamp\" >= '$from' AND $alias.\"timestamp\" < '$to'", "$alias.\"timestamp\" > '$from' AND $alias.\"timestamp\" <= '$to'", "$alias.\"timestamp\" BETWEEN '$from' AND '$to'",
		"'$from' < $alias.\"timestamp\" AND $alias.\"timestamp\" < '$to' AND $alias.\"timestamp\" >= '$DAY_START'", "$alias.\"timestamp\" BETWEEN '$to' AND '$from'",
		"CAST($alias.\"timestamp\" AS date) = '2026-06-29'", "date_trunc('hour', $alias.\"timestamp\") = date_trunc('hour', timestamptz '$from')",
		"date_trunc('hour', $alias.\"timestamp\") >= '$from' AND date_trunc('minute', $alias.\"timestamp\") < '$to'",
		"CAST($alias.\"timestamp\" AS timestamp) > timestamptz '$from' AT TIME ZONE 'UTC' AND ($alias.\"timestamp\" AT TIME ZONE 'Asia/Kolkata')::date = '2026-06-29'",
		"extract(epoch FROM $alias.\"timestamp\") >= extract(epoch FROM timestamptz '$from') AND extract(epoch FROM $alias.\"timestamp\") < extract(epoch FROM timestamptz '$to')",
		"timestamptz '$to' - $alias.\"timestamp\" BETWEEN interval '0' AND timestamptz '$to' - timestamptz '$from'",
		"$alias.\"timestamp\" + interval '1 hour' > timestamptz '$from' + interval '1 hour' AND $alias.\"timestamp\" - timestamptz '$from' < interval '90 minutes' AND $alias.\"timestamp\"::date < '2026-06-30'",
		"CAST($alias.\"timestamp\" AS date) IN ('2026-06-29', NULL) AND $alias.\"timestamp\" > '$from'");
}

sub logs
{
	my $severity = pick('ERROR', 'WARNING', 'LOG', 'error', 'nix');
	my $where = join ' AND ', grep { defined } times_of('l'), service_of('l'),
	  pick(undef, undef, "l.severity = '$severity'", "l.severity IN ('ERROR', '$severity')", "l.severity <> '$severity'", 'l.body LIKE \'%a%\'', "l.severity > 'F'");
	my $columns = 'l.service_id, l."timestamp", l.severity, l.body';
	my $untied = 'l."timestamp" ' . pick('DESC', 'ASC') . ', l.service_id, l.severity, l.body COLLATE "C"';

	return (sql => "SELECT $columns FROM {s}.logs l WHERE $where ORDER BY $untied LIMIT " . pick(1, 10, 100, 1900), exact => 1) if rand() < 0.3;
	return (sql => "SELECT $columns FROM {s}.logs l WHERE $where LIMIT 7", whole => "SELECT $columns FROM {s}.logs l WHERE $where") if rand() < 0.15;
	return (
		sql => pick(
			"SELECT $columns FROM {s}.logs l WHERE $where", "SELECT l.severity, count(*), min(l.\"timestamp\"), max(l.body COLLATE \"C\") FROM {s}.logs l WHERE $where GROUP BY 1",
			"SELECT s.name, $columns FROM {s}.services s JOIN {s}.logs l ON l.service_id = s.id WHERE $where AND s.name = 'orders'",
			"SELECT date_trunc('hour', l.\"timestamp\"), count(*) FROM {s}.logs l WHERE $where GROUP BY 1",
			"SELECT w.f, count(l.body) FROM windows w LEFT JOIN {s}.logs l ON l.\"timestamp\" >= w.f AND l.\"timestamp\" < w.t AND l.severity = '$severity' GROUP BY 1"));
}

sub metrics
{
	my $times = times_of('m');
	my $where = join ' AND ', grep { defined } $times, pick("m.bucket = '1 hour'", "m.bucket = interval '60 minutes'"), service_of('m'),
	  pick(undef, undef, "m.metric = 'cpu_usage'", 'm.value > 50', 'm.unit IS NULL');
	my $columns = 'm.service_id, m.metric, m.series, m."timestamp", m.value';

	return (
		sql => pick(
			"SELECT $columns FROM {s}.metrics m WHERE $where", "SELECT m.metric, m.series, count(*), max(m.value) FROM {s}.metrics m WHERE $where GROUP BY 1, 2",
			"SELECT s.name, $columns FROM {s}.services s JOIN {s}.metrics m ON m.service_id = s.id WHERE $where AND s.name LIKE '%r%'",
			"SELECT * FROM (SELECT m.metric, m.value, rank() OVER (PARTITION BY m.metric ORDER BY m.value DESC) AS n FROM {s}.metrics m WHERE $where) q WHERE n < 3",
			"SELECT v.b, $columns FROM (VALUES (interval '1 hour'), ('60 minutes')) v(b) JOIN {s}.metrics m ON m.bucket = v.b WHERE $times",
			"SELECT w.f, count(m.value) FROM windows w LEFT JOIN {s}.metrics m ON m.\"timestamp\" >= w.f AND m.\"timestamp\" < w.t AND m.bucket = '1 hour' GROUP BY 1"));
}

sub executions
{
	my $columns = 'e.service_id, e.executed_at, e.query_id, e.app, e.duration_us, e.err_sqlstate';
	my ($id, $name, $query) = ("e.service_id IN ('$ids[0]', '$ids[1]', 'nix')", "e.db_name = ANY ('{sales,postgres,billing,warehouse}')", 'e.query_id IN (' . join(', ', 1, some(2, @known_ids)) . ')');
	my $joined = 'e.service_id = k.service_id AND e.query_id = k.query_id AND e.db_name = k.db_name AND e.db_user = k.db_user AND e.db_operation = k.db_operation';

	return (
		sql => pick(
			"SELECT $columns FROM keys k JOIN {s}.slow_pattern_executions e ON $joined", "SELECT $columns FROM keys k JOIN {s}.slow_pattern_executions e USING (service_id, query_id, db_name, db_user, db_operation) WHERE e.duration_us > 1000",
			"SELECT k.query_id, (SELECT count(*) FROM {s}.slow_pattern_executions e WHERE $joined) FROM keys k", "SELECT k.query_id, e.app FROM keys k LEFT JOIN {s}.slow_pattern_executions e ON $joined AND e.app = 'nix'",
			"SELECT $columns FROM (SELECT * FROM keys ORDER BY query_id LIMIT 2) k JOIN {s}.slow_pattern_executions e ON $joined ORDER BY e.executed_at DESC, e.pid LIMIT 5",
			"SELECT k.query_id FROM keys k WHERE EXISTS (SELECT FROM {s}.slow_pattern_executions e WHERE $joined AND e.err_sqlstate IS NOT NULL)",
			"SELECT $columns FROM {s}.slow_pattern_executions e WHERE $id AND $query AND $name AND e.db_user IN ('orders_service', 'postgres') AND e.db_operation IN ('SELECT', 'UPDATE', 'INSERT')",
			"SELECT $columns FROM keys k JOIN {s}.slow_pattern_executions e ON e.query_id = k.query_id AND e.db_user = k.db_user AND e.db_operation = k.db_operation WHERE $id AND $name AND e.duration_us > 5",
			"SELECT $columns FROM keys k JOIN here.slow_pattern_executions l USING (service_id, query_id, db_name, db_user, db_operation) JOIN {s}.slow_pattern_executions e ON $joined AND e.executed_at = l.executed_at"));
}

sub small_table
{
	my $table = pick(qw(services service_details config prometheus organizations));
	my $service = service_of('t', { services => 'id', service_details => 'id', organizations => 'id' }->{$table});
	my $where = defined $service ? "WHERE $service" : '';
	my $columns = {
		services => 't.*',
		service_details => pick('t.*', 't.name, t.state', 't.hostname', 't.tags, t.id', 't.storage_size'),
		config => 't.*',
		prometheus => pick('t.*', 't.metric, t.value'),
		organizations => 't.*'
	}->{$table};

	return (sql => pick("SELECT $columns FROM {s}.$table t $where", "SELECT count(*) FROM {s}.$table t $where", "SELECT q.* FROM (SELECT $columns FROM {s}.$table t $where OFFSET 0) q", "SELECT t FROM {s}.$table t $where"));
}

# The server compares: rows stay there.
sub slurp_functions
{
	return <<'SQL';
CREATE FUNCTION rows_of(query text, sorted text[], OUT rows text[], OUT keys text[])
LANGUAGE plpgsql AS $$
DECLARE
	found record;
	key text[];
BEGIN
	rows := '{}';
	keys := '{}';
	FOR found IN EXECUTE query LOOP
		rows := array_append(rows, found::text);
		IF sorted <> '{}' THEN
			key := ARRAY(SELECT to_jsonb(found) ->> name FROM unnest(sorted) name);
			keys := array_append(keys, key::text);
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION those(lines text[]) RETURNS text LANGUAGE sql
AS $$ SELECT string_agg(left(line, 300), E'\n    ') FROM unnest(lines[1:5]) line $$;

CREATE FUNCTION difference(number integer, schema text, query text, exact boolean, sorted text[], whole text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	cloud record;
	here record;
	complete text[];
	missing text[];
	surplus text[];
BEGIN
	cloud := rows_of(replace(query, '{s}', schema), sorted);
	here := rows_of(replace(query, '{s}', 'here'), sorted);
	INSERT INTO seen VALUES (number, cardinality(here.rows));
	complete := here.rows;
	IF whole IS NOT NULL THEN
		complete := (rows_of(replace(whole, '{s}', 'here'), '{}')).rows;
	ELSE
		missing := ARRAY(SELECT unnest(here.rows) EXCEPT ALL SELECT unnest(cloud.rows));
	END IF;
	surplus := ARRAY(SELECT unnest(cloud.rows) EXCEPT ALL SELECT unnest(complete));
	RETURN concat_ws(E'\n',
		CASE WHEN missing <> '{}' THEN 'only here: ' || those(missing) END,
		CASE WHEN surplus <> '{}' THEN 'only in the cloud: ' || those(surplus) END,
		CASE WHEN cardinality(here.rows) <> cardinality(cloud.rows) THEN format('%s rows here, %s in the cloud', cardinality(here.rows), cardinality(cloud.rows)) END,
		CASE WHEN here.keys <> cloud.keys THEN format(E'sorted here as\n    %s\nin the cloud as\n    %s', those(here.keys), those(cloud.keys)) END,
		CASE WHEN exact AND here.rows <> cloud.rows THEN format(E'in this order here\n    %s\nin the cloud\n    %s', those(here.rows), those(cloud.rows)) END);
EXCEPTION WHEN OTHERS THEN
	RETURN format('%s: %s', SQLSTATE, SQLERRM);
END
$$;
SQL
}

# The queries with different results, if any
sub differences
{
	my ($ttl, @queries) = @_;
	my $literal = sub { my ($text) = @_; return defined $text ? '$q$' . $text . '$q$' : 'NULL' };
	my $settings = "SET chpg.cache_ttl = '$ttl'; SET statement_timeout = '60s';";
	my $script = '';

	for my $query (@queries)
	{
		my $schema = $query->{schema} // 'cloud';

		$script .= ($query->{prepare} =~ s/\{s\}/$_/gr) . ";\n" for $query->{prepare} ? ($schema, 'here') : ();
		$script .= "RESET ALL; $settings $query->{settings}";
		$script .= 'SET plan_cache_mode = ' . ($query->{plans} // 'auto') . ";\n";
		$script .= sprintf "SELECT %d || ':' || difference(%d, '$schema', %s, %s, '{%s}', %s);\n", ($query->{number}) x 2, $literal->($query->{sql}),
		  $query->{exact} ? 'true' : 'false', join(',', @{ $query->{sorted} // [] }), $literal->($query->{whole});
		$script .= "\\echo ---\n";
	}
	return split /\n---\n?/, $node->safe_psql('postgres', $script);
}

sub check
{
	my ($how, $ttl, @queries) = @_;
	my @answers = differences($ttl, @queries);
	my @wrong = grep { $answers[$_] ne "$queries[$_]{number}:" } 0 .. $#queries;

	is(scalar @answers, scalar @queries, "$how: " . @queries . ' queries were made');
	ok(!@wrong, "$how: all give what they give here");
	diag(join "\n", "$queries[$_]{settings}" . ($queries[$_]{prepare} // ''), "$queries[$_]{sql};", $answers[$_], '') for @wrong;
	return;
}
