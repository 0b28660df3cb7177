# Privileges: roles that may connect, the key that a statement uses, and where it is
# stored.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Servers and mappings as a role's session sees them; superusers see all.
my $CATALOG =
	'SELECT srvname, srvoptions FROM pg_foreign_server ORDER BY 1;'
  . 'SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY 1, 2';

my $url = start_emulator();
my $other_url = start_emulator('--seed', 2);
my $node = start_node('main', 'wal_level = replica', 'max_wal_senders = 4');
my $organization = organization_of($url);

$node->safe_psql('postgres',
	'CREATE EXTENSION chpg;'
	  . 'CREATE ROLE owner LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE stranger LOGIN;'
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO owner;'
	  . 'GRANT CREATE ON SCHEMA public TO owner, reader');

# The first call creates the server and a mapping; both belong to the caller.
accept_only('ownerKey');
is( costs_as('owner', connect_as('ownerKey', api_url => $url) . '; SELECT rate_limit FROM chpg_budget', 1, 'the first call'),
	"chpg|$organization|Acme Analytics|$url\n10/10s",
	'the first call returns the connection, and chpg_budget has its limit');
is( catalog(),
	"chpg|{api_url=$url,organization_id=$organization}\n"
	  . bound_key('chpg', 'owner', 'ownerKey'),
	'the first call creates server and mapping');
is($node->safe_psql('postgres',
		'SELECT srvowner::regrole FROM pg_foreign_server'), 'owner', 'the server is the caller\'s');
uses_key('owner', 'ownerKey', 'SELECT FROM chpg_services');

# A further call rotates the key, also within a session.
accept_only('ownerKey2');
is( costs_as('owner', connect_as('ownerKey2') . '; SELECT count(*) FROM chpg_services', 2, 'a further call'),
	"chpg|$organization|Acme Analytics|$url\n6",
	'the new key is used at once');
is( catalog(),
	"chpg|{api_url=$url,organization_id=$organization}\n"
	  . bound_key('chpg', 'owner', 'ownerKey2'),
	'a further call rotates the key');

# A call that fails or is rolled back changes nothing.
changes_nothing('owner', connect_as('wrongKey'), '28000', qr/did not accept the key/, 1, 'a wrong key');
changes_nothing('owner', connect_as('wrongKey', server => 'another', api_url => $url),
	'28000', qr/did not accept the key/, 1, 'a wrong key for a new server');
changes_nothing('owner', connect_as('ownerKey2', organization_id => '00000000-0000-4000-8000-000000000000'),
	'42704', qr/does not belong to organization/, 1, 'a key of another organization than that of the argument');
changes_nothing('owner', connect_as($KEY_ID, api_url => $other_url, secret => $KEY_SECRET),
	'55000', qr/server "chpg" belongs to another organization/, 0, 'a key of another organization');
changes_nothing('owner', connect_as('ownerKey2', api_url => 'http://example.com'),
	'HV024', qr/invalid value for option "api_url"/, 0, 'an address that is not safe');
changes_nothing('owner', 'BEGIN READ ONLY; ' . connect_as('ownerKey2'),
	'25006', qr/cannot execute chpg_connect\(\) in a read-only transaction/, 0, 'a read-only transaction');
changes_nothing('owner', "SELECT chpg_connect('ownerKey2', NULL)", '22004', qr/"key_secret" must not be null/, 0,
	'no secret');
changes_nothing('owner', "SELECT chpg_connect(NULL, 'x')", '22004', qr/"key_id" must not be null/, 0, 'no key');
changes_nothing('owner', "SELECT chpg_connect('ownerKey2', 'x', NULL)", '22004', qr/"server" must not be null/, 0,
	'no name of a server');
rolls_back(connect_as('ownerKey'), 'a rotation');
rolls_back(connect_as('ownerKey', server => 'another', api_url => $url), 'a new server');
rolls_back("SELECT chpg_disconnect('chpg')", 'a disconnection');

# Only the owner changes the server.
accept_only('ownerKey2');
as_role('owner', connect_as('ownerKey2', api_url => "$url/v1"));
is(server_options('chpg'), "{api_url=$url/v1,organization_id=$organization}", 'an owner changes the address');
as_role('owner', connect_as('ownerKey2', api_url => $url));
is(server_options('chpg'), "{api_url=$url,organization_id=$organization}", 'and changes the address back');

# Without USAGE no role can make this database send requests.
changes_nothing('stranger', connect_as('readerKey'), '42501', qr/foreign server chpg/, 0, 'no USAGE on the server');
changes_nothing('stranger', connect_as('readerKey', server => 'mine', api_url => $url),
	'42501', qr/foreign-data wrapper chpg\nDETAIL:  Server "mine" does not exist.*\nHINT:  .*GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO stranger;/, 0, 'no USAGE on the wrapper');
changes_nothing('stranger', 'SELECT FROM chpg_services(\'chpg\')', '42501', qr/foreign server chpg/, 0,
	'reading without USAGE on the server');
changes_nothing('stranger', 'SELECT FROM chpg_services', '42704',
	qr/role "stranger" may use no chpg server/, 0, 'reading without any server');
changes_nothing('stranger', 'SELECT chpg_disconnect(\'chpg\')', '42501', qr/foreign server chpg/, 0,
	'disconnecting without USAGE on the server');

# Another role with USAGE on the server adds its own key, and nothing else.
as_role('owner', 'GRANT USAGE ON FOREIGN SERVER chpg TO reader');
changes_nothing('reader', q{SELECT FROM chpg_services('chpg')}, '42704', qr/role "reader" has no key for server "chpg"/, 0,
	'no mapping, though another role has one');
changes_nothing('reader', connect_as('readerKey', api_url => $other_url),
	'42501', qr/key was not sent: server "chpg" belongs to role "owner" and its address is \Q$url\E/, 0, 'another address');
changes_nothing('reader', connect_as('readerKey'), '42501',
	qr/key was not sent: server "chpg" belongs to role "owner" and its address is \Q$url\E/, 0, 'no address, and an owner to be trusted with it');
$node->safe_psql('postgres', 'ALTER SERVER chpg OWNER TO postgres');
changes_nothing('reader', connect_as('readerKey', api_url => $other_url),
	'42501', qr/must be owner of foreign server chpg/, 0, 'another address than that of a superuser\'s server');
$node->safe_psql('postgres', 'ALTER SERVER chpg OWNER TO owner');
accept_only('readerKey');
costs_as('reader', connect_as('readerKey', api_url => "$url/v1/"), 1, 'the same address, written differently');
is( catalog(),
	"chpg|{api_url=$url,organization_id=$organization}\n"
	  . bound_key('chpg', 'owner', 'ownerKey2') . "\n"
	  . bound_key('chpg', 'reader', 'readerKey'),
	'a mapping of its own');
uses_key('reader', 'readerKey', 'SELECT FROM chpg_services');
uses_key('owner', 'ownerKey2', 'SELECT FROM chpg_services');
unlike(as_role('reader', $CATALOG), qr/ownerKey2Secret/, 'a role does not see the key of another');

# Another role cannot even add a missing option to the server.
as_role('owner', "CREATE SERVER by_hand FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url');"
	  . 'GRANT USAGE ON FOREIGN SERVER by_hand TO reader');
accept_only('readerKey');
costs_as('reader', connect_as('readerKey', server => 'by_hand', api_url => $url), 1, 'a server without organization_id');
is(server_options('by_hand'), "{api_url=$url}", 'not the owner: the server is unchanged');
accept_only('ownerKey2');
as_role('owner', connect_as('ownerKey2', server => 'by_hand'));
is(server_options('by_hand'), "{api_url=$url,organization_id=$organization}",
	'the owner: the organization is recorded');

# Mappings: the role's own, else that of PUBLIC
$node->safe_psql('postgres',
	"CREATE USER MAPPING FOR PUBLIC SERVER chpg OPTIONS (key_id 'publicKey', key_secret 'publicKeySecret');"
	  . 'GRANT USAGE ON FOREIGN SERVER chpg TO stranger');
uses_key('stranger', 'publicKey', q{SELECT FROM chpg_services('chpg')});
uses_key('stranger', 'publicKey', 'SET chpg.server = chpg; SELECT FROM chpg_services');
changes_nothing('stranger', 'SELECT FROM chpg_services', '42704',
	qr/role "stranger" has no chpg server of its own/, 0, 'the key of PUBLIC serves calls that name the server');
uses_key('reader', 'readerKey', q{SELECT FROM chpg_services('chpg')});
$node->safe_psql('postgres', 'DROP USER MAPPING FOR PUBLIC SERVER chpg');
changes_nothing('stranger', q{SELECT FROM chpg_services('chpg')}, '42704', qr/role "stranger" has no key for server "chpg"/, 0,
	'the mapping of PUBLIC is gone');

# The key is the current user's, also in views and functions; in functions with SECURITY
# DEFINER it is the definer's.
as_role('owner',
	"CREATE FUNCTION lent() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS \$\$SELECT count(*) FROM chpg_services('chpg')\$\$;"
	  . "CREATE FUNCTION shared() RETURNS bigint LANGUAGE sql AS \$\$SELECT count(*) FROM chpg_services('chpg')\$\$;"
	  . "CREATE VIEW looked_at AS SELECT * FROM chpg_services('chpg');"
	  . 'GRANT SELECT ON looked_at TO PUBLIC');
uses_key('stranger', 'ownerKey2', 'SELECT lent()');
uses_key('reader', 'ownerKey2', 'SELECT lent()');
uses_key('reader', 'readerKey', 'SELECT shared()');
uses_key('reader', 'readerKey', 'SELECT FROM looked_at');
uses_key('reader', 'ownerKey2', 'SET SESSION AUTHORIZATION DEFAULT; SET ROLE owner; SELECT shared()', user => 'postgres');

# Which server: the argument's, else that of the setting, else the only one
# that the role owns or has given a key to
fails_as('owner', 'SELECT FROM chpg_services', '42P08', qr/DETAIL:  The servers are: "by_hand", "chpg"\./,
	'several servers');
$node->safe_psql('postgres', 'CREATE SERVER hidden FOREIGN DATA WRAPPER chpg; REVOKE USAGE ON FOREIGN SERVER by_hand FROM reader');
uses_key('reader', 'readerKey', 'SELECT FROM chpg_services');
uses_key('owner', 'ownerKey2', 'SET chpg.server = by_hand; SELECT FROM chpg_services');
uses_key('owner', 'ownerKey2', q{SET chpg.server = nowhere; SELECT FROM chpg_services('chpg')});
fails_as('owner', 'SET chpg.server = nowhere; SELECT FROM chpg_services', '42704',
	qr/server "nowhere" does not exist/, 'a setting that names no server');
fails_as('reader', 'SET chpg.server = hidden; SELECT FROM chpg_services', '42501',
	qr/permission denied for foreign server hidden/, 'a setting that names the server of another role');
fails_as('owner', q{SET chpg.server = ''; SELECT FROM chpg_services}, '42P08', qr/several chpg servers/,
	'an empty setting is none');

# All roles may call all reading functions: USAGE and mappings decide.
is( $node->safe_psql('postgres',
		"SELECT count(*), bool_and(has_function_privilege('stranger', oid, 'EXECUTE')) FROM pg_proc"
		  . " WHERE proname ~ '^chpg_(organizations|services?|slow_patterns?|slow_pattern_executions|(dis)?connect)\$'"),
	'12|t', 'PUBLIC may call the functions');
is($node->safe_psql('postgres', "SELECT has_table_privilege('stranger', 'chpg_services', 'SELECT')"),
	't', 'PUBLIC may select from the view');

# Files of the machine are for roles that may read them.
fails_as('owner', q{CREATE SERVER private FOREIGN DATA WRAPPER chpg OPTIONS (ca_file '/etc/ssl/ca.pem')},
	'42501', qr/permission denied to set option "ca_file"/, 'ca_file for a common role');
fails_as('owner', q{ALTER SERVER chpg OPTIONS (ADD ca_file '/etc/ssl/ca.pem')},
	'42501', qr/permission denied to set option "ca_file"/, 'ca_file added by a common role');
$node->safe_psql('postgres', 'GRANT pg_read_server_files TO owner');
as_role('owner', q{CREATE SERVER private FOREIGN DATA WRAPPER chpg OPTIONS (ca_file '/etc/ssl/ca.pem')});
is(server_options('private'), '{ca_file=/etc/ssl/ca.pem}', 'ca_file for a role with pg_read_server_files');
as_role('owner', 'DROP SERVER private');

# Disconnecting drops the caller's own key.
is(costs_as('reader', q{SELECT chpg_disconnect('chpg')}, 0, 'disconnecting'), '', 'disconnecting sends no request');
is($node->safe_psql('postgres', q{SELECT usename FROM pg_user_mappings WHERE srvname = 'chpg'}),
	'owner', 'server and other mappings stay');
changes_nothing('reader', q{SELECT FROM chpg_services('chpg')}, '42704', qr/role "reader" has no key/, 0, 'without a key again');
changes_nothing('reader', q{SELECT chpg_disconnect('chpg')}, '42704', qr/user mapping for "reader" does not exist/, 0,
	'disconnecting twice');

# A dump has servers and mappings, and restoring it sends no request.
accept_only('ownerKey2');
clear_journal($url);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ],
	'the dump can be restored');
is(request_count($url), 0, 'neither sends a request');
is($node->safe_psql('restored', $CATALOG), $node->safe_psql('postgres', $CATALOG), 'servers and mappings are restored');
is($node->safe_psql('restored', q{SELECT count(*) FROM looked_at}, extra_params => [ '-U', 'owner' ]), 6,
	'the restored connection works');

# A standby reads with the keys of its primary, and changes nothing.
my $standby = start_standby($node);
accept_only('ownerKey2');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM chpg_services('chpg')}, extra_params => [ '-U', 'owner' ]), 6,
	'a standby reads');
clear_journal($url);
foreach my $call (connect_as('ownerKey2'), q{SELECT chpg_disconnect('chpg')})
{
	fails_with($standby, $call, '25006', qr/read-only transaction/, "$call on a standby",
		extra_params => [ '-U', 'owner' ]);
}
is(request_count($url), 0, 'a refusal of a standby costs nothing');

# Replay does not wait for a statement that waits for the API.
fault($url, hang => JSON::PP::true);
$node->wait_for_catchup($standby);
my $session = $standby->background_psql('restored', on_error_stop => 0, extra_params => [ '-U', 'owner' ]);
begin_in_session($session, q{SELECT FROM chpg_services('chpg')});
wait_until(sub { request_count($url) == 1 }, 'the session waits');
my $start = time;
$node->safe_psql('postgres', 'DROP DATABASE restored');
await_in_session($session, qr/FATAL:  terminating connection due to conflict with recovery/);
# Otherwise it would last as long as chpg.request_timeout, half a minute.
cmp_ok(time - $start, '<', 15, 'a conflict with recovery ends the wait at once');
$session->{run}->finish;

# A call of chpg_connect() with the secret of that key
sub connect_as
{
	my ($key_id, %arguments) = @_;
	my $secret = delete $arguments{secret} // "${key_id}Secret";

	return "SELECT * FROM chpg_connect("
	  . join(', ', "'$key_id'", "'$secret'", map { "$_ => '$arguments{$_}'" } sort keys %arguments) . ')';
}

# Let the API accept only that key, and forget earlier requests.
sub accept_only
{
	my ($key_id) = @_;
	reset_emulator($url, key_id => $key_id, key_secret => "${key_id}Secret");
	return;
}

sub costs_as
{
	my ($role, $sql, @expected) = @_;
	return costs($node, $url, $sql, @expected, extra_params => [ '-U', $role ]);
}

# The role's statement uses that key, the only one that the API accepts.
sub uses_key
{
	my ($role, $key_id, $sql, %options) = @_;

	accept_only($key_id);
	costs($node, $url, $sql, 1, "$role, $sql, with $key_id",
		extra_params => [ '-U', $options{user} // $role ]);
	return;
}

# The role's statement fails, sends this many requests, and changes neither servers nor
# mappings.
sub changes_nothing
{
	my ($role, $sql, $state, $message, $requests, $name) = @_;
	my $before = catalog();

	accept_only('ownerKey2');
	fails_as($role, $sql, $state, $message, $name);
	is(request_count($url), $requests, "$name: $requests requests");
	is(catalog(), $before, "$name: changes nothing");
	return;
}

# The owner's statement succeeds, and a rollback undoes it.
sub rolls_back
{
	my ($sql, $name) = @_;
	my $before = catalog();

	accept_only('ownerKey');
	my ($told, $inside) = split /^-- and now\n/m,
	  as_role('owner', "BEGIN; $sql; SELECT '-- and now'; $CATALOG; ROLLBACK");
	isnt($inside, as_role('owner', $CATALOG), "$name: acts");
	is(catalog(), $before, "$name: is rolled back");
	return;
}

# Servers and mappings, without seals, which the test cannot predict
sub catalog { return $node->safe_psql('postgres', $CATALOG) =~ s/ seal=[0-9a-f]{64}//gr }

# A role's line of these, with a key that chpg_connect() bound to the API's address
sub bound_key
{
	my ($server, $role, $key_id) = @_;
	return qq($server|$role|{key_id=$key_id,"key_secret=${key_id}Secret $url"});
}

sub server_options
{
	my ($server) = @_;
	return $node->safe_psql('postgres', "SELECT srvoptions FROM pg_foreign_server WHERE srvname = '$server'");
}

sub organization_of
{
	my ($api) = @_;
	return organization_id($api);
}

done_testing();
