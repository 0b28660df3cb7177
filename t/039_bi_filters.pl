# Conditions as people and BI tools write them: how EXPLAIN and errors print them,
# which window they come to, and that the rows are those that they select.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ORDERS = 'pg7myrd1j06p3gx4zrm2ze8qz6';
my ($FROM, $TO) = ('2026-06-29 00:00Z', '2026-06-30 00:00Z');
my $WINDOW = "from_date = '$FROM' AND to_date = '$TO'";

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, now => '2026-06-30T12:00:30.000Z');
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# Conditions with values of other tables print what these values are.

sql('CREATE TABLE local (service_id text, name text, day timestamptz)');
sql("INSERT INTO local VALUES ('$ORDERS', 'orders-api', '$FROM'); ANALYZE local");
my $LOOP = 'SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off;';

# What EXPLAIN (VERBOSE) prints under a label
sub conditions
{
	my ($label, $query) = @_;
	my ($printed) = sql("$LOOP EXPLAIN (VERBOSE, COSTS OFF) $query") =~ /^\s*\Q$label\E: (.*)$/m;
	return $printed;
}

my $JOIN = "SELECT * FROM local l JOIN cloud.slow_patterns g ON g.service_id = l.service_id AND g.app = l.name WHERE $WINDOW";
like(conditions('Pushed Conditions', $JOIN), qr/\(l\.service_id = service_id\), \(l\.name = app\)/, 'a nested loop: the conditions name the other table');
unlike(conditions('Pushed Conditions', $JOIN), qr/\$\d/, 'a nested loop: no number of a parameter');
like(conditions('Local Conditions', "SELECT * FROM local l, LATERAL (SELECT * FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id AND p.query_text > l.name OFFSET 0) g"), qr/\(query_text > l\.name\)/, 'LATERAL: a condition that is checked here');
like(conditions('Pushed Conditions', "SELECT (SELECT count(*) FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id) FROM local l"), qr/\(service_id = l\.service_id\)/, 'a sub-query in the target list');
like(conditions('Pushed Conditions', "SELECT * FROM local l WHERE 5 < (SELECT count(*) FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id)"), qr/\(service_id = l\.service_id\)/, 'a sub-query in a condition');
like(conditions('Pushed Conditions', "SELECT * FROM local l LEFT JOIN local m ON m.name = l.name AND m.name IN (SELECT app FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id)"), qr/\(service_id = l\.service_id\)/, 'a sub-query in the condition of a join');
like(conditions('Pushed Conditions', "SELECT * FROM local l ORDER BY (SELECT max(call_count) FROM (SELECT call_count FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id UNION ALL SELECT 1) u) LIMIT (SELECT 1)"), qr/\(service_id = l\.service_id\)/, 'a sub-query within a UNION');
like(conditions('Pushed Conditions', "SELECT * FROM local l, LATERAL (SELECT * FROM (SELECT * FROM cloud.slow_patterns p WHERE $WINDOW AND p.service_id = l.service_id LIMIT 5) q ORDER BY call_count LIMIT 2) g"), qr/\(service_id = l\.service_id\)/, 'a sub-query of a sub-query');
like(conditions('Pushed Conditions', "SELECT * FROM cloud.slow_patterns WHERE $WINDOW AND service_id = (SELECT max(service_id) FROM local)"), qr/\(service_id = (?:\$0|\(InitPlan 1\)\.col1|\(InitPlan \w+\)\.col1)\)/, 'a sub-query that is run once, as core prints it');
like(sql("SET plan_cache_mode = force_generic_plan; PREPARE p(text) AS SELECT FROM cloud.slow_patterns WHERE $WINDOW AND service_id = \$1; EXPLAIN (VERBOSE) EXECUTE p('x')"), qr/Pushed Conditions: .*\(service_id = \$1\)/, 'a parameter of the statement has its number');

# The error about a window that is not known, too
my $error = fails_with($node, "$LOOP SELECT * FROM local l, LATERAL (SELECT * FROM cloud.slow_patterns p WHERE p.from_date > l.day - p.max_duration_us * interval '1 second' AND p.to_date = l.day OFFSET 0) g", 'HV002', qr/"slow_patterns"/, 'a window of another table');
like($error, qr/DETAIL:  .*from_date > \(l\.day - /, 'a window of another table: its condition names the other table');
unlike($error, qr/\$\d/, 'a window of another table: no number of a parameter');

done_testing();
