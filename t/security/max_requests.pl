# A statement has an upper bound of requests, whatever its rate limit is, and so have
# lists of values that would each cost one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;


my $url = start_emulator();
# A request that takes long on a busy machine is not sent again, which would be counted here.
my $node = start_node('main', "chpg.server = 'chpg'", "chpg.request_timeout = '5min'", "statement_timeout = '${\ $PostgreSQL::Test::Utils::timeout_default}s'", 'track_functions = none');

$node->safe_psql('postgres', connect_sql($url) . 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud;'
	  . "CREATE ROLE reader; GRANT USAGE ON FOREIGN SERVER chpg TO reader; CREATE USER MAPPING FOR reader SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET');"
	  . 'GRANT USAGE ON SCHEMA cloud TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA cloud TO reader');

# The statement is rejected, after at most this many requests.
sub refused
{
	my ($sql, $message, $requests, $name) = @_;

	clear_journal($url);
	fails_with($node, $sql, '54000', $message, $name);
	cmp_ok(request_count($url), '<=', $requests, "$name: $requests requests at most");
	return;
}

# Numbers of requests that are known beforehand
my $SECONDS = "SELECT count(*) FROM chpg_metrics('1896-01-01', '2026-01-01', '$ORDERS', '1 s')";
refused("SET ROLE reader; $SECONDS",
	qr/could not read the metrics of service "\w+"|could not [^\n]*: \d+ requests are needed, of which "chpg.max_requests" allows 10000\nDETAIL:  None of these requests was sent\.\nHINT:  Ask for less: .* Superusers may raise "chpg.max_requests"/,
	0, '130 years by the second');
refused("SELECT count(*) FROM cloud.metrics WHERE service_id = '$ORDERS' AND from_date = '1896-01-01' AND to_date = '2026-01-01' AND bucket = '1 s'",
	qr/"chpg.max_requests" allows 10000/, 0, 'the same of a table');
refused("SET chpg.max_requests = 6; SELECT count(*) FROM chpg_slow_patterns($DAY)", qr/: 7 requests are needed, of which "chpg.max_requests" allows 6\n/, 1, 'a fleet with its list');
costs($node, $url, "SET chpg.max_requests = 7; SELECT count(*) FROM chpg_slow_patterns($DAY)", 7, 'as many requests as the statement may send');
refused("SET chpg.max_requests = 5; SET chpg.on_service_error = 'warning'; SELECT count(*) FROM chpg_slow_patterns($DAY)", qr/: 6 requests are needed/, 1, 'a fleet that may do without services');

# Numbers that emerge during execution: pages, joins, loops
reset_emulator($url, patterns => 3000);
refused("SET chpg.max_requests = 3; SELECT count(*) FROM chpg_slow_patterns($DAY, '$ORDERS')",
	qr/: the statement has sent as many requests as "chpg.max_requests" allows\nDETAIL:  It has sent 3\. /, 3, 'pages');
refused("SET chpg.max_requests = 9; SET chpg.on_service_error = 'warning'; SELECT count(*) FROM chpg_slow_patterns($DAY)",
	qr/: the statement has sent as many requests/, 9, 'pages of a fleet that may do without services');
reset_emulator($url);
my $LOOP = "PERFORM FROM chpg_slow_pattern_executions('$ORDERS', i, 'sales', 'app', 'SELECT')";
refused("SET chpg.max_requests = 3; SELECT count(*) FROM generate_series(1, 9) i, LATERAL chpg_slow_pattern_executions('$ORDERS', i, 'sales', 'app', 'SELECT')",
	qr/as many requests as "chpg.max_requests" allows/, 3, 'a join');
refused("SET chpg.max_requests = 3; DO \$\$ BEGIN FOR i IN 1 .. 9 LOOP $LOOP; END LOOP; END \$\$", qr/as many requests as/, 3, 'a loop');
costs($node, $url, "SET chpg.max_requests = 3; DO \$\$ BEGIN FOR i IN 1 .. 9 LOOP BEGIN $LOOP; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END \$\$", 3, 'a loop that catches errors');

# Cached responses do not count, however many they are.
my $MANY = "(SELECT count(*) FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_id = ANY (ARRAY(SELECT generate_series(1, 1001))) AND db_name = 'sales' AND db_user = 'app' AND db_operation = 'SELECT')";
costs($node, $url, "SET chpg.cache_ttl = '1h'; SET chpg.max_requests = 1500; SELECT $MANY, $MANY", 1001, 'the same thousand requests twice');

# Each statement begins at zero, and so does each transaction of a procedure.
costs($node, $url, join(';', 'SET chpg.max_requests = 3', map { "SELECT FROM chpg_services LIMIT $_" } 1 .. 5), 5, 'five statements');
costs($node, $url, "SET chpg.max_requests = 1; DO \$\$ BEGIN FOR i IN 1 .. 5 LOOP $LOOP; COMMIT; END LOOP; END \$\$", 5, 'five transactions');
fault($url, times => 2, status => 503);
costs($node, $url, 'SET chpg.max_requests = 1; SELECT FROM chpg_services', 3, 'a request that is sent again');

# The setting protects the server from its users.
fails_with($node, "LOAD 'chpg'; SET ROLE reader; SET chpg.max_requests = 20000", '42501', qr/permission denied to set parameter "chpg.max_requests"/, 'an ordinary role cannot raise the limit');
like(($node->psql('postgres', "SET ROLE reader; SET chpg.max_requests = 2147483647; SELECT FROM chpg_budget; SHOW chpg.max_requests", on_error_stop => 0))[1], qr/^10000$/m, 'nor before the library is loaded');

# Lists
sub peak_kb { my ($pid) = @_; return slurp_file("/proc/$pid/status") =~ /VmHWM:\s+(\d+)/ ? $1 : die }
my $TABLE = "SELECT count(*) FROM cloud.slow_patterns WHERE service_id = ANY (%s) AND from_date = '$PAST_DATE 00:00Z' AND to_date = '$PAST_DATE 23:00Z'";
my $IDS = q{ARRAY(SELECT 'pg' || lpad(i::text, 24, '0') FROM generate_series(1, %d) i)};
my $session = open_session($node);
my $pid = in_session($session, 'SELECT pg_backend_pid()');
in_session($session, 'CREATE TEMP TABLE list AS SELECT ' . sprintf($IDS, 3_000_000) . ' AS ids; SELECT cardinality(ids) FROM list');
my $before = peak_kb($pid);
clear_journal($url);
in_session($session, sprintf $TABLE, '(SELECT ids FROM list)::text[]');
like($session->{stderr}, qr/ERROR:  54000: query on foreign table "slow_patterns" would read 3000000 services, more than "chpg.max_requests" \(10000\)\nHINT:  Use a shorter list/, 'three million ids are rejected');
is(request_count($url), 0, 'before anything is sent');
my $more = (peak_kb($pid) - $before) / 1024;
note(sprintf 'three million ids: %d MB more at the peak', $more);
cmp_ok($more, '<', 300, 'and take little memory beyond their own');
is(costs($node, $url, sprintf($TABLE, "ARRAY(SELECT '$ORDERS' FROM generate_series(1, 30000))"), 1, 'one id thirty thousand times'), 60, 'has its rows');

done_testing();
