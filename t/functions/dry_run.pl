# A misspelt chpg.dry_run must not carry changes out. Until the library is loaded,
# PostgreSQL accepts any name; sessions here load the library by their first call.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $RESTART = "SELECT state FROM chpg_restart_service('$ORDERS')";

my $url = start_emulator();
my $node = PostgreSQL::Test::Cluster->new('main');

$node->init;
$node->append_conf('postgresql.conf', 'chpg.cache_ttl = 0');
$node->start;
$node->safe_psql('postgres', connect_sql($url));
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE operator LOGIN;
GRANT EXECUTE ON FUNCTION chpg_restart_service TO operator;
GRANT USAGE ON FOREIGN SERVER chpg TO operator;
SQL
my @operator = (extra_params => [ '-U', 'operator' ]);
$node->safe_psql('postgres', "SELECT chpg_connect('$KEY_ID', '$KEY_SECRET')", @operator);

# Every function that changes something rejects the call.
foreach my $change (
	$RESTART,
	"SELECT chpg_promote_service('$ORDERS')",
	"SELECT chpg_switchover_service('$ORDERS')",
	"SELECT chpg_delete_service('$ORDERS', 'orders')",
	"SELECT chpg_set_password('$ORDERS')",
	"SELECT * FROM chpg_create_service('new', 'aws', 'us-east-1', 'r8gd.large')",
	"SELECT * FROM chpg_create_read_replica('$ORDERS', 'new')",
	"SELECT * FROM chpg_restore_service('$ORDERS', 'new', now() - interval '1 hour')",
	"SELECT * FROM chpg_update_service('$ORDERS', size => 'r8gd.xlarge')",
	qq(SELECT * FROM chpg_set_tags('$ORDERS', '{"a": "b"}')),
	"SELECT * FROM chpg_remove_tags('$ORDERS', '{a}')",
	"SELECT * FROM chpg_allow_ip('$ORDERS', '192.0.2.1')",
	"SELECT * FROM chpg_revoke_ip('$ORDERS', '192.0.2.1')",
	"SELECT * FROM chpg_create_private_endpoint('$ORDERS')",
	qq(SELECT * FROM chpg_allow_vpc_endpoints('$ORDERS', '["vpce-1"]')),
	qq(SELECT * FROM chpg_set_vpc_endpoints('$ORDERS', '[]')),
	"SELECT chpg_delete_private_endpoint('$ORDERS')",
	qq(SELECT * FROM chpg_patch_config('$ORDERS', '{"max_connections": 200}')),
	qq(SELECT * FROM chpg_replace_config('$ORDERS', '{"max_connections": 200}')),
	"SELECT * FROM chpg_request('POST', '/v1/organizations')")
{
	refuses("SET chpg.dryrun = on; $change", qr/"chpg\.dryrun"/, $change);
}

# Names in all spellings; several ways to set them
refuses("SET chpg.dryrun = on; SET chpg.dry = on; $RESTART",
	qr/unknown settings "chpg\.dry", "chpg\.dryrun"\n.*\nHINT:  .* makes them\.$/m, 'two names');
refuses("SET \"CHPG\".\"DryRun\" = on; $RESTART", qr/"CHPG\.DryRun"/, 'capitals');
refuses("BEGIN; SET LOCAL chpg.dryrun = on; $RESTART", qr/"chpg\.dryrun"/, 'SET LOCAL');
refuses("$RESTART", qr/"chpg\.dryrun"/, 'PGOPTIONS', '-c chpg.dryrun=on');

# For a setting that outlives the session, the error names the statement that removes
# it.
foreach my $place ('ALTER ROLE ALL', 'ALTER DATABASE postgres', 'ALTER ROLE operator', 'ALTER ROLE operator IN DATABASE postgres')
{
	$node->safe_psql('postgres', "$place SET chpg.dryrun = on");
	refuses($RESTART, qr/HINT:  .* In a session that has not called chpg yet: $place RESET "chpg\.dryrun"\.$/m, $place, '', @operator);
	$node->safe_psql('postgres', qq($place RESET "chpg.dryrun"));
	costs($node, $url, $RESTART, 1, "$place: removed", @operator);
}
$node->append_conf('postgresql.conf', 'chpg.dryrun = on');
$node->reload;
refuses($RESTART, qr/HINT:  .* Remove "chpg\.dryrun" from the server's configuration, and reload it\.$/m, 'in the configuration');
$node->adjust_conf('postgresql.conf', 'chpg.dryrun', undef);
$node->reload;
costs($node, $url, $RESTART, 1, 'in the configuration: removed');

$node->safe_psql('postgres', 'ALTER ROLE operator SET chpg.dryrun = on');
$node->safe_psql('postgres', 'ALTER ROLE operator SET session_preload_libraries = chpg');
refuses($RESTART, qr/"chpg\.dryrun"/, 'ALTER ROLE, with session_preload_libraries', '', @operator);
$node->safe_psql('postgres', 'ALTER ROLE operator RESET ALL');

# A setting of an earlier version that is stored for a role: one WARNING, and no call is
# rejected.
$node->safe_psql('postgres', q{ALTER ROLE operator SET chpg.default_window = '1h'});
clear_journal($url);
my $warnings = notices($node, "SELECT FROM chpg_services; $RESTART", @operator);
is(scalar(() = $warnings =~ /WARNING:  .*"chpg\.default_window"/g), 1, 'a removed setting: one WARNING');
is(scalar(grep { $_->{path} =~ /state$/ } @{ journal($url)->{requests} }), 1, 'a removed setting: no call is rejected');
$node->safe_psql('postgres', 'ALTER ROLE operator RESET ALL');

# The session's own setting of chpg.dry_run decides.
my $session = open_session($node);
in_session($session, 'SET chpg.dryrun = on');
in_session($session, $RESTART);
like($session->{stderr}, qr/ERROR:  22023: set "chpg\.dry_run" before any change/, 'a session with the misspelt name');
is(in_session($session, 'SELECT count(*) FROM chpg_services'), 6, 'and may read');
in_session($session, $RESTART);
like($session->{stderr}, qr/ERROR:  22023: /, 'and once more');
in_session($session, "BEGIN; SET LOCAL chpg.dry_run = off; $RESTART; COMMIT");
is($session->{stderr}, '', 'the session may set chpg.dry_run for a transaction');
in_session($session, $RESTART);
like($session->{stderr}, qr/ERROR:  22023: /, 'and is rejected after the transaction');
in_session($session, "SET chpg.dry_run = on; $RESTART");
like($session->{stderr}, qr/NOTICE:  00000: would send PATCH /, 'the session may set a dry run');
in_session($session, "SET chpg.dry_run = off; $RESTART");
is($session->{stderr}, '', 'or none');
$session->quit;

# Settings from elsewhere do not decide for the session.
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET chpg.dry_run = off');
refuses("SET chpg.dryrun = on; $RESTART", qr/"chpg\.dryrun"/, 'off for the database');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET chpg.dry_run = on');
costs($node, $url, "SET chpg.dryrun = on; $RESTART", 0, 'on for the database');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET chpg.dry_run');
costs($node, $url, "SET chpg.dryrun = on; SET chpg.dry_run = off; $RESTART", 1, 'off before the library is loaded');
costs($node, $url, "SET chpg.dryrun = on; RESET chpg.dryrun; $RESTART", 1, 'a setting that was taken back');
costs($node, $url, "SET other.dryrun = on; SET chpgx.dryrun = on; $RESTART", 1, 'settings from elsewhere');

# What docs/settings.md gives to ordinary roles: once the library is loaded, names are checked.
costs($node, $url, 'SELECT FROM chpg_budget', 0, 'a call that loads the library', @operator);
fails_with($node, "SELECT FROM chpg_budget; SET chpg.dryrun = on", '42602',
	qr/invalid configuration parameter name "chpg.dryrun"/, 'a name that does not exist', @operator);
{
	local $ENV{PGOPTIONS} = '-c session_preload_libraries=chpg';
	fails_with($node, 'SET chpg.dryrun = on', '42602', qr/invalid configuration parameter name "chpg.dryrun"/,
		'with session_preload_libraries');
}

# PostgreSQL reserves the prefix in lower case only.
refuses("SELECT FROM chpg_budget; SELECT set_config('Chpg.dryrun', 'on', false); $RESTART",
	qr/"Chpg\.dryrun"/, 'a capital once the library is loaded');

# The postmaster loads the library after it has read its configuration.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'chpg'\nchpg.dryrun = on");
$node->restart;
refuses($RESTART, qr/HINT:  .* Remove "chpg\.dryrun" from the server's configuration, and restart the server\.$/m,
	'in the configuration, with shared_preload_libraries');
costs($node, $url, "SET chpg.dry_run = off; $RESTART", 1, 'and then off');
$node->adjust_conf('postgresql.conf', 'chpg.dryrun', undef);
$node->restart;

# A server with the library ignores such names that are stored for a role or database,
# with a WARNING.
foreach my $place ('ALTER ROLE ALL', 'ALTER DATABASE postgres', 'ALTER ROLE operator', 'ALTER ROLE operator IN DATABASE postgres')
{
	# Only a server without the library stores such a name.
	$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', undef);
	$node->restart;
	$node->safe_psql('postgres', "$place SET chpg.dryrun = on");
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'chpg'");
	$node->restart;
	refuses($RESTART, qr/HINT:  .* makes them\. $place RESET ALL removes "chpg\.dryrun", and what else is stored there\.$/m,
		"$place, with shared_preload_libraries", '', @operator);
	$node->safe_psql('postgres', "$place RESET ALL");
	costs($node, $url, $RESTART, 1, "$place, with shared_preload_libraries: removed", @operator);
}

# The statement fails and names the setting, without a request.
sub refuses
{
	my ($sql, $message, $name, $options, %psql) = @_;

	local $ENV{PGOPTIONS} = $options // '';
	return rejects($node, $url, $sql, '22023', $message, $name, %psql);
}

done_testing();
