# service_name: rows have the name of their service beside its id, however the service was
# given. Names are kept for an hour, for all sessions with the same key.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $PATTERN = "'$ORDERS', -4748036479882663975, 'sales', 'orders_service', 'SELECT'";
my $OTHER = 'pgtm77ezq1kr87n74i8dh1r6oj';
my $LIST = '/postgres$';

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'", 'chpg.cache_ttl = 0');

$node->safe_psql('postgres', connect_sql($url) . "; ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')");
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');

# By id: the list is read once, for all that follows
clear_journal($url);
is(sql("SELECT DISTINCT service_name FROM chpg_slow_patterns($DAY, '$ORDERS')"), 'orders', 'patterns of an id have its name');
is(lists(), 1, 'which costs one request for the list');
for my $call ("chpg_slow_pattern($PATTERN)", "chpg_slow_pattern_executions($PATTERN)", "chpg_logs($DAY, '$ORDERS')",
	"chpg_compare('1 hour', '$ORDERS')",
	"chpg_period_patterns(tstzrange(now() - interval '1 hour', now()), '$ORDERS')", "chpg_metrics($DAY, '$ORDERS')", "chpg_ip_access_list('$ORDERS')", "chpg_backups('$ORDERS')",
	"chpg_patch_config('$ORDERS', '{\"max_connections\": 200}')", "chpg_config('$ORDERS')",
	"chpg_create_private_endpoint('$ORDERS')", "chpg_private_endpoint('$ORDERS')")
{
	is(sql("SELECT DISTINCT service_id, service_name FROM $call"), "$ORDERS|orders", 'so have rows of ' . $call =~ s/\(.*//sr);
}
for my $table (qw(metrics logs))
{
	is(sql("SELECT DISTINCT service_name FROM cloud.$table WHERE service_id = '$ORDERS' AND \"timestamp\" >= now() - interval '1 hour'"),
		'orders', "and of the foreign table $table");
}
is(sql("SELECT DISTINCT service_name FROM cloud.config WHERE service_id = '$ORDERS'"), 'orders', 'and of config');
is(lists(), 1, 'sessions that follow read it no more, in spite of chpg.cache_ttl and of changes');

# Names that are not shown cost nothing, nor does a service without rows
anew();
sql("SELECT count(call_count) FROM cloud.slow_patterns WHERE from_date = now() - interval '1 day' AND to_date = now() AND service_id = '$ORDERS'");
sql("SELECT * FROM chpg_slow_patterns($DAY, '$ORDERS', db_name => 'none')");
is(lists(), 0, 'names are read only for rows that show them');

# A call that reads the list anyway keeps the names
sql('SELECT count(*) FROM chpg_services');
is(sql("SELECT DISTINCT service_name FROM chpg_logs($DAY, '$ORDERS')"), 'orders', 'names come from any list');
is(lists(), 1, 'that was read');

# Of several sessions, and within one, only the first asks
my $session = open_session($node);
anew();
is(in_session($session, "SELECT DISTINCT service_name FROM chpg_logs($DAY, '$OTHER')"), 'inventory', 'a session has names');
is(in_session($session, "SELECT count(DISTINCT service_name) FROM chpg_logs($DAY, '$ORDERS')"), 1, 'of all services');
is(lists(), 1, 'by one request');

# A new name, and a new service
sql("SELECT FROM chpg_update_service('$ORDERS', name => 'sales-orders')");
clear_journal($url);
is(sql("SELECT DISTINCT service_name FROM chpg_logs($DAY, '$ORDERS')"), 'sales-orders', 'a change of the name shows at once');
is(lists(), 0, 'without a request');
$session->quit;

# A list that cannot be read
for my $case ([ 500, 'for a minute' ], [ 403, 'for an hour' ])
{
	my ($status, $time) = @$case;

	anew();
	fault($url, path => $LIST, status => $status);
	is(sql("SELECT count(*) > 0, count(service_name) FROM chpg_slow_patterns($DAY, '$ORDERS')"), 't|0',
		"a list that fails with $status leaves the name out");
	is(sql("SELECT count(*) > 0, count(service_name) FROM chpg_slow_patterns($DAY, '$ORDERS')"), 't|0', 'again');
	is(lists(), 1, "and is not requested again $time");
	clear_faults($url);
}
is(sql("SELECT count(*) > 0 FROM chpg_services; SELECT bool_and(service_name = 'orders') FROM chpg_logs($DAY, '$ORDERS')"), "t\nt",
	'but a list that is read for another reason has it');

# A service that the list lacks
anew();
fault($url, path => $LIST, patch => { result => [] });
sql('SELECT count(*) FROM chpg_services');
clear_journal($url);
is(sql("SELECT count(*) > 0, count(service_name) FROM chpg_logs($DAY, '$ORDERS')"), 't|0', 'a service may not be listed');
is(sql("SELECT count(*) > 0, count(service_name) FROM chpg_logs($DAY, '$ORDERS')"), 't|0', 'and be read twice');
is(lists(), 1, 'for one more request');
clear_faults($url);

# A request that the statement may not send
anew();
is(sql("SET chpg.max_requests = 1; SELECT count(*) > 0, count(service_name) FROM chpg_logs($DAY, '$ORDERS')"), 't|0',
	'a statement that may send no more goes without names');

done_testing();

# Use a key of which no session knows names.
sub anew { use_new_key($node, $url, 'unlimited'); clear_journal($url); return }
sub lists { return scalar grep { $_->{path} =~ m{/postgres\z} && $_->{method} eq 'GET' } @{ journal($url)->{requests} } }
