# A role that may create servers makes one that others take for theirs: by its name, by
# being the only one, or by a user mapping that it planted for its victim.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $LIST = 'SELECT count(*) FROM chpg_services';

my $url = start_emulator();
my $evil = start_emulator('--seed', 2);
my $node = start_node('main');

$node->safe_psql('postgres',
	'CREATE EXTENSION chpg; CREATE ROLE dba LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE eve LOGIN CREATEROLE;'
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO dba; GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO eve WITH GRANT OPTION');

# A server with the name that everybody uses. A superuser counts as an owner of all
# servers, which proves nothing.
as_role('eve', "CREATE SERVER chpg FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$evil'); GRANT USAGE ON FOREIGN SERVER chpg TO PUBLIC");
foreach my $victim ('postgres', 'dba')
{
	my $error = keeps_key($victim, connect_call(), "$victim and the server of another");
	like($error, qr/key was not sent: server "chpg" belongs to role "eve" and its address is \Q$evil\E/,
		"$victim: the error names owner and address");
	like($error, qr/HINT: .*chpg_connect\(\.\.\., server => 'chpg', api_url => 'https:/, "$victim: and how to do it if it is meant");
	unlike($error, qr/HINT: .*\Q$evil\E/, "$victim: but not by a statement that can be pasted");
	keeps_key($victim, connect_call(api_url => $url), "$victim and another address than that of the server");
}

# Every role may make others members of itself.
SKIP:
{
	skip 'no role may grant itself', 2 if $node->pg_version >= 16;
	as_role('eve', 'GRANT eve TO dba');
	keeps_key('dba', connect_call(), 'a membership that the stranger gave');
	as_role('eve', 'REVOKE eve FROM dba');
}
as_role('eve',
	'CREATE ROLE front; GRANT front TO eve; GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO front;'
	  . 'ALTER SERVER chpg OWNER TO front; GRANT front TO dba');
keeps_key('dba', connect_call(), 'a role that the stranger made, and gave');
as_role('eve', 'ALTER SERVER chpg OWNER TO eve');

# Since PostgreSQL 16 a role that creates another is a member of it, but may neither use
# nor become it.
$node->safe_psql('postgres', 'ALTER ROLE dba CREATEROLE');
as_role('dba', 'CREATE ROLE mallory LOGIN');
$node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO mallory');
as_role('mallory', "CREATE SERVER mallory FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$evil'); GRANT USAGE ON FOREIGN SERVER mallory TO dba");
keeps_key('dba', connect_call(server => 'mallory'), 'the server of a role that the victim made');

# Predefined roles have strangers as members, and the administrator of a role is a
# member of it.
$node->safe_psql('postgres',
	'GRANT pg_monitor TO dba, eve; CREATE ROLE tenant LOGIN; CREATE ROLE tenants; GRANT tenant TO dba; GRANT tenants TO tenant;'
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO tenant, tenants');
as_role('eve', 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO pg_monitor;'
	  . "CREATE SERVER monitor FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$evil'); GRANT USAGE ON FOREIGN SERVER monitor TO PUBLIC; ALTER SERVER monitor OWNER TO pg_monitor");
keeps_key('dba', connect_call(server => 'monitor'), 'the server of a predefined role');
foreach my $owner ('tenant', 'tenants')
{
	as_role('tenant', "SET ROLE $owner; CREATE SERVER $owner FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$evil'); GRANT USAGE ON FOREIGN SERVER $owner TO PUBLIC");
	keeps_key('dba', connect_call(server => $owner), "the server of $owner, by a role that the victim administers");
}

# The right address, by a wrong way: a proxy, and a CA that vouches for it
my $proxy = $evil =~ s/127\.0\.0\.1/localhost/r;
my $ca = $node->data_dir . '/ca.pem';
$node->safe_psql('postgres', 'GRANT pg_read_server_files TO eve');
as_role('eve', "CREATE SERVER proxied FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'https://127.0.0.1:1', proxy '$proxy');"
	  . "CREATE SERVER vouched FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'https://127.0.0.1:1', ca_file '$ca'); GRANT USAGE ON FOREIGN SERVER proxied, vouched TO PUBLIC");
my $before = connections($evil);
foreach my $server ('proxied', 'vouched')
{
	keeps_key('dba', connect_call(server => $server, api_url => 'https://127.0.0.1:1'), "$server by the stranger");
}
is(connections($evil), $before, 'the proxy got no request');

# Legitimate uses still work: the address named, a superuser's server, a team's server.
reset_emulator($evil);
is(as_role('dba', connect_call(api_url => "$evil/v1/") =~ s/\*/api_url/r), $evil, 'an address that is named, and returned');
is(request_count($evil), 1, 'the key went there');
as_role('dba', q{SELECT chpg_disconnect('chpg')});
$node->safe_psql('postgres',
	'CREATE ROLE team; CREATE ROLE people; GRANT team TO people; GRANT people TO dba; GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO team;'
	  . "CREATE SERVER theirs FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url'); ALTER SERVER theirs OWNER TO team;"
	  . "CREATE SERVER official FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url'); GRANT USAGE ON FOREIGN SERVER official TO dba");
foreach my $server ('theirs', 'official')
{
	is(as_role('dba', connect_call(server => $server) =~ s/\*/api_url/r), $url, "$server needs no address");
	as_role('dba', qq{SELECT chpg_disconnect('$server')});
}

# Errors name the address, too.
my $failure = fails_with($node, connect_call(server => 'dead', api_url => 'http://127.0.0.1:1'), '08001', qr/no connection/,
	'an address without a listener', extra_params => [ '-U', 'dba' ]);
like($failure, qr{CONTEXT: .*^connection to http://127\.0\.0\.1:1$}ms, 'the error names the address');

# Calls that name no server: they neither use the stranger's, nor does it make them
# ambiguous.
$node->safe_psql('postgres', connect_call(server => 'official'));
as_role('dba', connect_call(server => 'mine', api_url => $url));
as_role('eve', "CREATE SERVER aaa FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$evil'); GRANT USAGE ON FOREIGN SERVER aaa TO PUBLIC;"
	  . "CREATE USER MAPPING FOR PUBLIC SERVER aaa OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')");
unnamed('with a key for PUBLIC');
as_role('eve', join ';', map { "CREATE USER MAPPING FOR $_ SERVER aaa OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')" } 'postgres', 'dba', 'bob');
unnamed('with planted mappings');
as_role('eve', join ';', map { "ALTER USER MAPPING FOR $_ SERVER aaa OPTIONS (SET key_secret '$KEY_SECRET $evil seal=" . ('0' x 64) . "')" } 'postgres', 'dba', 'bob');
unnamed('with a seal that is made up');

# A seal is valid for one mapping and one key only.
as_role('eve', connect_call(server => 'aaa'));
my $sealed = as_role('eve', q{SELECT option_value FROM pg_user_mappings, pg_options_to_table(umoptions) WHERE usename = 'eve' AND srvname = 'aaa' AND option_name = 'key_secret'});
like($sealed, qr/^\Q$KEY_SECRET $evil\E seal=[0-9a-f]{64}$/, 'a seal');
as_role('eve', join ';', map { "ALTER USER MAPPING FOR $_ SERVER aaa OPTIONS (SET key_secret '$sealed')" } 'postgres', 'dba', 'bob');
unnamed('with a seal of the stranger\'s own');
is(as_role('dba', 'SELECT _chpg_own_server(NULL)'), 'mine', 'a history is captured by one\'s own');

# Calls that name the server may use all of that.
is(as_role('bob', q{SELECT count(*) FROM chpg_services('aaa')}), 6, 'a server that the call names');
is(as_role('bob', "SET chpg.server = aaa; $LIST"), 6, 'a server that the role names');

# A key that was given by chpg_connect() to the server of another counts as given,
as_role('eve', 'DROP USER MAPPING FOR bob SERVER aaa');
as_role('bob', connect_call(server => 'aaa', api_url => $evil));
is(as_role('bob', $LIST), 6, 'a key of one\'s own');
# and is rotated without the address,
is(as_role('bob', connect_call(server => 'aaa') =~ s/\*/api_url/r), $evil, 'another key for the same address');
as_role('eve', "ALTER SERVER aaa OPTIONS (SET api_url '$evil/other')");
keeps_key('bob', connect_call(server => 'aaa'), 'another key after the address was changed');
as_role('eve', "ALTER SERVER aaa OPTIONS (SET api_url '$evil')");
is(as_role('bob', connect_call(server => 'aaa') =~ s/\*/api_url/r), $evil, 'another key after it was changed back');
# until another role changes it.
as_role('eve', q{ALTER USER MAPPING FOR bob SERVER aaa OPTIONS (SET key_id 'other')});
fails_with($node, $LIST, '42704', qr/role "bob" has no chpg server of its own/,
	'a key that was changed', extra_params => [ '-U', 'bob' ]);
keeps_key('bob', connect_call(server => 'aaa'), 'another key after that');

# Nor does it keep a role from giving up a key.
as_role('dba', 'SELECT chpg_disconnect()');
is($node->safe_psql('postgres', q{SELECT string_agg(srvname, ' ') FROM pg_user_mappings WHERE usename = 'dba'}), 'aaa', 'an unnamed disconnection');

# The role's statement fails, and nothing is sent to the stranger's API; returns the
# error.
sub keeps_key
{
	my ($role, $sql, $name) = @_;

	reset_emulator($evil);
	return rejects($node, $evil, $sql, '42501', qr/key was not sent/, $name, extra_params => [ '-U', $role ]);
}

# Calls that name no server, by roles with a server of their own, and by one without
sub unnamed
{
	my ($name) = @_;

	reset_emulator($url);
	reset_emulator($evil);
	is(as_role($_, $LIST), 6, "$name: $_ uses its own server") foreach 'postgres', 'dba';
	is(request_count($url), 2, "$name: and that was asked");
	fails_with($node, $LIST, '42704', qr/role "bob" has no chpg server of its own/,
		"$name: bob has none", extra_params => [ '-U', 'bob' ]);
	is(request_count($evil), 0, "$name: the stranger's was not");
	return;
}

done_testing();
