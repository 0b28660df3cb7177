# The secret of a key is in the user mapping, and nowhere else: neither in the log, nor
# in statistics, an error, a plan or the title of a process. This holds from the moment
# that chpg_connect() runs; what PostgreSQL logs before, at the highest debug levels or
# with log_statement, is PostgreSQL's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use IPC::Run;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $WRONG_SECRET = 'wrongKeySecret';
my $MISPLACED_SECRET = '4b1d' . 'misplacedKeySecret' x 2;
my $HANG = { hang => JSON::PP::true };

# Texts that must not appear: the secrets, and their encoded forms
my @forbidden = map { ($_, encode_base64("$KEY_ID:$_", '')) } ($KEY_SECRET, $WRONG_SECRET, $MISPLACED_SECRET);

my $url = start_emulator();
my $node = start_node(
	'main',
	"shared_preload_libraries = 'pg_stat_statements'",
	'pg_stat_statements.track = all',
	'logging_collector = on',
	"log_destination = 'stderr,csvlog,jsonlog'",
	'log_error_verbosity = verbose',
	'log_statement = none');

# All output that clients got
my $printed = '';

$node->safe_psql('postgres', 'CREATE EXTENSION chpg; CREATE EXTENSION pg_stat_statements');

my $monitor = open_session($node);

# Protocols, and the log levels at which PostgreSQL itself logs no literals: with its
# own messages it logs the text of statements at debug5, when it loads a library at
# debug3, and those of the extended protocol at debug2.
my %protocols = (
	simple => '-c log_min_messages=debug5 -c log_min_error_statement=debug2',
	extended => '-c log_min_messages=debug1 -c log_min_error_statement=debug1',
	prepared => '-c log_min_messages=debug1 -c log_min_error_statement=debug1');

foreach my $protocol (sort keys %protocols)
{
	# Successful calls: the first one creates, the second one changes
	connects($protocol, "$protocol, a new mapping");
	$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited')})
	  if $protocol eq (sort keys %protocols)[0];
	connects($protocol, "$protocol, another key");

	# Rejected calls
	refused($protocol, connect_call(api_url => $url, key_secret => $WRONG_SECRET), undef,
		qr/the API did not accept the key/, "$protocol, a wrong key");
	refused($protocol, connect_call(api_url => $url, key_secret => $KEY_SECRET), { status => 503, times => 9 },
		qr/the API failed/, "$protocol, an API that fails");
	refused($protocol, connect_call(api_url => $url, key_secret => $KEY_SECRET), { garbage => JSON::PP::true },
		qr/malformed API response/, "$protocol, garbage");
	refused($protocol, connect_call(api_url => $url, key_secret => $KEY_SECRET), { patch => { 'result.0.id' => 'no id' } },
		qr/malformed API response/, "$protocol, an organization without id");
	refused($protocol, connect_call(api_url => $url, key_secret => "$KEY_SECRET "), undef,
		qr/invalid value for option "key_secret"/, "$protocol, a key with a space");
	refused($protocol, "SELECT 1 / (length(server) - 4) FROM chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$url')",
		undef, qr/division by zero/, "$protocol, a failure afterwards");

	# A server that echoes the request
	foreach my $echo (@forbidden[0, 1])
	{
		refused($protocol, connect_call(api_url => $url, key_secret => $KEY_SECRET),
			{ status => 400, body => JSON::PP::encode_json({ status => 400, error => "bad: $echo" }) },
			qr/The API says: "bad: \*\*\*"/, "$protocol, an echo");
	}

	# Interrupts
	interrupted($protocol, 'pg_cancel_backend', qr/canceling statement due to user request/);
	interrupted($protocol, 'pg_terminate_backend', qr/terminating connection due to administrator command/);
	refused($protocol, connect_call(api_url => $url, key_secret => $KEY_SECRET), $HANG,
		qr/canceling statement due to statement timeout/, "$protocol, a timeout",
		'-c statement_timeout=200ms');
}

# Errors in full, and the session's activity once it is idle
reset_emulator($url);
my $session = open_session($node);
foreach my $secret ($WRONG_SECRET, $KEY_SECRET)
{
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	$printed .= in_session($session, connect_call(api_url => $url, key_secret => $secret)) . $session->{stderr};
	is( in_session($monitor, "SELECT state, query FROM pg_stat_activity WHERE pid = $pid"),
		'idle|SELECT * FROM chpg_connect(...)',
		"pg_stat_activity after a call with $secret");
	$printed .= in_session($session, '\errverbose');
}
like($printed, qr/LOCATION:  report, response\.c/, 'errors have all fields');
$session->quit;

# Id and secret swapped: the rejected id is a secret.
my $swapped = "SELECT * FROM chpg_connect('$KEY_SECRET', '$KEY_ID', api_url => '$url')";
my %refusals = (
	'the API did not accept the key' => undef,
	'The API says: "no key \*\*\* here"' => { status => 401, body => qq({"status": 401, "error": "no key $KEY_SECRET here"}) },
	'the API reports a conflict' => { status => 409, body => '{"status": 409, "error": "CONFLICT"}' },
	q{the key's request budget is used up} => { status => 429, headers => { 'X-RateLimit-Reset' => '0.1' } });
foreach my $protocol (sort keys %protocols)
{
	refused($protocol, $swapped, $refusals{$_}, qr/$_/, "$protocol, swapped, $_") foreach sort keys %refusals;
}

# In one session, since before PostgreSQL 17 other sessions do not see its counters
my $keys = q{SELECT string_agg(DISTINCT key_id, ' ' ORDER BY key_id) FROM};
reset_emulator($url);
$session = open_session($node);
in_session($session, $swapped);
foreach my $view ('chpg_budget', 'chpg_stats')
{
	is(in_session($session, "$keys $view WHERE key_id <> '$KEY_ID'"), 'demo...', "$view shows the beginning of a refused id");
}
is(in_session($session, q{SELECT min(refused) >= 1 FROM chpg_stats WHERE key_id = 'demo...'}), 't', 'and counts the requests');
in_session($session, connect_call(api_url => $url, key_secret => $KEY_SECRET));
foreach my $view ('chpg_budget', 'chpg_stats')
{
	is(in_session($session, "$keys $view"), "demo... $KEY_ID", "$view shows all of an accepted id");
}

# The same key at another address, which has not accepted it; it has to be unbound to be
# sent there
in_session($session, "SET pg_stat_statements.track_utility = off; ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_secret '$KEY_SECRET'); RESET pg_stat_statements.track_utility");
in_session($session, "ALTER SERVER chpg OPTIONS (SET api_url '" . ($url =~ s/127\.0\.0\.1/localhost/r) . q{')});
foreach my $shown ('demo...', $KEY_ID)
{
	fault($url, path => 'postgres$', times => 1, status => 403);
	in_session($session, 'SELECT FROM chpg_services');
	like($session->{stderr}, qr/HINT:  The role of key "\Q$shown\E" needs the permission/, "messages show $shown");
	in_session($session, 'SELECT FROM chpg_services');
}
$session->quit;

# Reads with a key that is no longer accepted
reset_emulator($url, key_secret => 'newKeySecret');
foreach my $reader (
	'chpg_organizations()', 'chpg_whoami()', 'chpg_quotas()', 'chpg_notifications()', 'chpg_notification_types()', 'chpg_services()', 'chpg_services', "chpg_service('$ORDERS')",
	"chpg_slow_patterns($DAY)",
	'chpg_prometheus()', "chpg_prometheus('$ORDERS')", 'chpg_health', '(SELECT chpg_prometheus_text()) t',
	"chpg_metrics($DAY)", "chpg_logs($DAY)", 'chpg_backups()', "chpg_backups('$ORDERS')", "chpg_ip_access_list('$ORDERS')", "chpg_private_endpoint('$ORDERS')",
	"chpg_allow_ip('$ORDERS', '192.0.2.1')", "chpg_revoke_ip('$ORDERS', '192.0.2.1')", "chpg_create_private_endpoint('$ORDERS')",
	"chpg_allow_vpc_endpoints('$ORDERS', '[\"vpce-1\"]')", "chpg_set_vpc_endpoints('$ORDERS', '[]')", "chpg_delete_private_endpoint('$ORDERS')",
	"chpg_slow_pattern('$ORDERS', 1, 'a', 'b', 'SELECT')",
	"chpg_slow_pattern_executions('$ORDERS', 1, 'a', 'b', 'SELECT')")
{
	local $ENV{PGOPTIONS} = '-c log_min_messages=debug5 -c log_min_error_statement=debug5';
	$printed .= fails_with($node, "SELECT * FROM $reader", '28000',
		qr/the API did not accept the key/, "$reader with a bad key");
	$printed .= $node->safe_psql('postgres', "EXPLAIN (VERBOSE) SELECT * FROM $reader");
}
reset_emulator($url);

# A secret in the wrong place: as the organization, as the server (too long for a name),
# in the address
foreach my $arguments ("'chpg', '$MISPLACED_SECRET'", "'$MISPLACED_SECRET$MISPLACED_SECRET'", "api_url => '$MISPLACED_SECRET'")
{
	$node->psql('postgres', "SELECT * FROM chpg_connect('$KEY_ID', 'x', $arguments)", stderr => \my $told);
	like($told, qr/ERROR:  invalid value for (option )?"\w+"$/m, 'a secret in the wrong place');
	$printed .= $told;
}

# A statement that is not hidden, which proves that the log would show one
fails_with($node, 'SELECT 1 / 0 AS not_hidden', '22012', qr/division by zero/, 'a statement that is not hidden');

# Now search everywhere.
my $statistics = $node->safe_psql('postgres', 'SELECT query FROM pg_stat_statements');
like($statistics, qr/chpg_connect\(\$1, \$2/, 'pg_stat_statements has the calls');
keeps_secrets($statistics, 'pg_stat_statements', @forbidden);
keeps_secrets($node->safe_psql('postgres', 'SELECT to_jsonb(a) FROM pg_stat_activity a'), 'pg_stat_activity', @forbidden);
keeps_secrets($printed, 'the output of clients', @forbidden);
keeps_secrets($node->safe_psql('postgres',
		'SELECT to_jsonb(s) FROM pg_foreign_server s; SELECT to_jsonb(s) FROM pg_settings s'),
	'the parts of the catalog that all roles can read', @forbidden);

$monitor->quit;
$node->stop;
foreach my $kind ('log', 'csv', 'json')
{
	my $log = join '', map { slurp_file($_) } glob $node->data_dir . "/log/*.$kind";

	like($log, qr/SELECT 1 \/ 0 AS not_hidden/, "the $kind log has statements");
	like($log, qr/the API did not accept the key.*canceling statement due to user request/s,
		"the $kind log has errors");
	keeps_secrets($log, "the $kind log", @forbidden);
}

sub connects
{
	my ($protocol, $name) = @_;

	reset_emulator($url);
	is(run_alone($protocol, connect_call(api_url => $url, key_secret => $KEY_SECRET)), 0, "$name: succeeds");
	is(request_count($url), 1, "$name: was checked");
	return;
}

sub refused
{
	my ($protocol, $sql, $fault, $message, $name, $options) = @_;

	reset_emulator($url);
	fault($url, %$fault) if $fault;
	isnt(run_alone($protocol, $sql, $options // '', \my $told), 0, "$name: fails");
	like($told, $message, "$name: message");
	return;
}

# Interrupt the call while it waits, when other sessions can see it.
sub interrupted
{
	my ($protocol, $interrupt, $message) = @_;
	my $name = "$protocol, $interrupt()";
	my ($told, $pid) = ('', '');
	my @command;

	reset_emulator($url);
	fault($url, %$HANG);
	local $ENV{PGOPTIONS} = $protocols{$protocol};
	my $run = IPC::Run::start(pgbench($protocol, connect_call(api_url => $url, key_secret => $KEY_SECRET)), '>&', \$told);
	wait_until(
		sub {
			return 0 if request_count($url) == 0;
			$pid = in_session($monitor,
				"SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND backend_type = 'client backend'");
		},
		'the call waits');
	is(in_session($monitor, "SELECT query FROM pg_stat_activity WHERE pid = $pid"),
		'SELECT * FROM chpg_connect(...)', "$name: pg_stat_activity");
	is(in_session($monitor, "SELECT statement FROM chpg_activity() WHERE pid = $pid"),
		$node->pg_version < 17 ? '' : 'SELECT * FROM chpg_connect(...)', "$name: chpg_activity");
	keeps_secrets(titles(), "$name: the titles of processes", @forbidden);
	in_session($monitor, "SELECT $interrupt($pid)");
	$run->finish;
	like($told, $message, "$name: message");
	$printed .= $told;
	return;
}

# The command that sends a statement in a protocol, once
sub pgbench
{
	my ($protocol, $sql) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/statement.sql';

	append_to_file($file, "$sql;\n");
	return ['pgbench', '-n', '-t', 1, '-M', $protocol, '-f', $file,
		'-h', $node->host, '-p', $node->port, 'postgres'];
}

# Run that command; returns its status, and keeps its output.
sub run_alone
{
	my ($protocol, $sql, $options, $told) = @_;
	my $output = '';

	local $ENV{PGOPTIONS} = join ' ', $protocols{$protocol},
	  '-c chpg.max_retries=0', $options // ();
	IPC::Run::run(pgbench($protocol, $sql), '>&', \$output);
	my $status = $?;
	$printed .= $output;
	$$told = $output if $told;
	return $status;
}

# The titles of the processes of servers. A process may end at any moment.
sub titles
{
	my $titles = join "\n", grep { /^postgres: / } map { (eval { slurp_file($_) } // '') =~ tr/\0/ /r } glob '/proc/[0-9]*/cmdline';

	like($titles, qr/postgres: .* SELECT/, 'titles of processes can be seen');
	return $titles;
}

done_testing();
