# The caller of a SECURITY DEFINER function chooses, by its own settings, where the
# requests of the function's owner go.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $url = start_emulator();
my $staging = start_emulator();
my $evil = start_emulator();
my $node = start_node('main');

$node->safe_psql('postgres',
	'CREATE EXTENSION chpg; CREATE ROLE ops LOGIN; CREATE ROLE eve LOGIN;'
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO ops, eve; GRANT CREATE ON SCHEMA public TO ops, eve;'
	  . 'GRANT EXECUTE ON FUNCTION chpg_restart_service, chpg_set_password TO ops');
as_role('ops', "SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET', 'prod', api_url => '$url')");
as_role('ops', <<'SQL');
CREATE FUNCTION restart(service text) RETURNS text SECURITY DEFINER LANGUAGE sql
  AS $$ SELECT id FROM chpg_restart_service(service) $$;
CREATE FUNCTION set_password(service text) RETURNS text SECURITY DEFINER LANGUAGE plpgsql
  AS $$ BEGIN RETURN chpg_set_password(service, 'Secret1Secret1Secret1'); END $$;
CREATE FUNCTION restart_inside(service text) RETURNS text LANGUAGE sql
  AS $$ SELECT id FROM chpg_restart_service(service) $$;
CREATE FUNCTION restart_deep(service text) RETURNS text SECURITY DEFINER LANGUAGE plpgsql
  AS $$ BEGIN RETURN restart_inside(service); END $$;
CREATE FUNCTION count_services() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS $$ SELECT count(*) FROM chpg_services $$;
SQL
as_role('eve', "CREATE SERVER evil FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$evil'); GRANT USAGE ON FOREIGN SERVER evil TO PUBLIC;"
	  . "CREATE USER MAPPING FOR PUBLIC SERVER evil OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')");

# A stranger's server, with a key for PUBLIC, or for the function's owner, that the
# stranger has put there
foreach my $mapping ('PUBLIC', 'ops')
{
	as_role('eve', "CREATE USER MAPPING FOR ops SERVER evil OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')") if $mapping eq 'ops';
	foreach my $call (q{restart('orders')}, q{set_password('orders')}, q{restart_deep('orders')}, 'count_services()')
	{
		stays('SET chpg.server = evil', $call, "a mapping for $mapping, $call");
		stays(q{SELECT set_config('chpg.server', 'evil', false)}, $call, "a mapping for $mapping, set_config(), $call");
	}
}
$node->safe_psql('postgres', 'ALTER ROLE eve SET chpg.server = evil');
stays('', q{restart('orders')}, 'a setting of the role');
$node->safe_psql('postgres', 'ALTER ROLE eve RESET chpg.server');

# A function of the stranger in between: it runs as the stranger, and the function that
# it calls as its own owner.
as_role('eve', <<'SQL');
SELECT FROM chpg_budget;	-- loads chpg: only then may a function have its settings
CREATE FUNCTION steer() RETURNS text SECURITY DEFINER LANGUAGE plpgsql SET chpg.server = evil
  AS $$ BEGIN RETURN restart('orders'); END $$;
SQL
reset_emulator($evil);
fails_with($node, 'SELECT steer()', '42501', qr/cannot select server "evil" for role "ops"/, 'the owner calls the stranger\'s function',
	extra_params => [ '-U', 'ops' ]);
is(request_count($evil), 0, 'the owner calls the stranger\'s function: nothing was sent');

# Without the setting, the function's owner has one server.
reset_emulator($url);
like(as_role('eve', q{SELECT restart('orders')}), qr/^pg/, 'the only server of the function\'s owner');
is(writes($url), 1, 'that was asked');

# What remains: the caller chooses among the owner's servers, unless the function does.
# The caller's chpg.dry_run acts, unless the function sets it.
as_role('ops', "SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET', 'staging', api_url => '$staging')");
as_role('ops', <<'SQL');
SELECT FROM chpg_budget;
CREATE FUNCTION restart_prod(service text) RETURNS text SECURITY DEFINER LANGUAGE sql
  SET search_path = public, pg_temp SET chpg.server = 'prod' SET chpg.dry_run = off SET chpg.on_service_error = error
  AS $$ SELECT id FROM chpg_restart_service(service) $$;
CREATE FUNCTION restart_named(service text) RETURNS text SECURITY DEFINER LANGUAGE sql
  AS $$ SELECT id FROM chpg_restart_service(service, 'prod') $$;
CREATE FUNCTION restart_evil(service text) RETURNS text SECURITY DEFINER LANGUAGE sql
  SET chpg.server = 'evil' AS $$ SELECT id FROM chpg_restart_service(service) $$;
SQL
goes($staging, 'SET chpg.server = staging', q{restart('orders')}, 'another server of the owner\'s');
goes($url, 'SET chpg.server = prod', q{restart('orders')}, 'the one server of the owner\'s');
goes($url, "SET chpg.server = $_; SET chpg.dry_run = on", q{restart_prod('orders')}, "a function with SET, and $_") foreach 'staging', 'evil';
goes($url, "SET chpg.server = $_", q{restart_named('orders')}, "a function that names its server, and $_") foreach 'staging', 'evil';
reset_emulator($url);
as_role('eve', q{SET chpg.dry_run = on; SET chpg.server = prod; SELECT restart('orders')});
is(writes($url), 0, 'a dry run of the caller\'s');
stays('', q{restart_evil('orders')}, 'a SET clause with the server of another');

# A role that refreshes another role's materialized view is such a caller; the view's
# owner is not.
as_role('ops', 'SET chpg.server = prod; CREATE MATERIALIZED VIEW services AS SELECT * FROM chpg_services');
$node->safe_psql('postgres', 'CREATE ROLE keeper LOGIN; GRANT USAGE ON FOREIGN SERVER evil TO keeper; ' . ($node->pg_version >= 17 ? 'GRANT MAINTAIN ON services TO keeper' : 'ALTER ROLE keeper SUPERUSER'));
reset_emulator($_) foreach $url, $staging, $evil;
fails_with($node, 'SET chpg.server = evil; REFRESH MATERIALIZED VIEW services', '42501',
	qr/setting "chpg\.server" cannot select server "evil" for role "ops" in a command of another role/, 'a materialized view that another refreshes',
	extra_params => [ '-U', 'keeper' ]);
is(request_count($evil), 0, 'a materialized view that another role refreshes: no request');
$node->safe_psql('postgres', 'SET chpg.server = prod; REFRESH MATERIALIZED VIEW services', extra_params => [ '-U', 'keeper' ]);
is(request_count($url), 1, 'unless the server is one of its owner');
as_role('ops', 'SET chpg.server = evil; REFRESH MATERIALIZED VIEW services');
is(request_count($evil), 2, 'or the owner refreshes the view');

# SET ROLE is no such function: a role that may become the owner may choose as the owner
# may.
$node->safe_psql('postgres', 'DROP USER MAPPING FOR ops SERVER evil');
reset_emulator($evil);
is($node->safe_psql('postgres', 'SET ROLE ops; SET chpg.server = evil; SELECT count(*) FROM chpg_services'), 6, 'SET ROLE');
is(as_role('ops', 'SET chpg.server = evil; SELECT count(*) FROM chpg_services'), 6, 'and the role itself');

# The number of changes that were sent to the API
sub writes
{
	my ($api) = @_;
	return scalar grep { $_->{method} ne 'GET' } @{ journal($api)->{requests} };
}

# The stranger's call sends no request to the stranger's API.
sub stays
{
	my ($setting, $call, $name) = @_;

	reset_emulator($_) foreach $url, $staging, $evil;
	fails_with($node, "$setting; SELECT $call", '42501',
		qr/setting "chpg\.server" cannot select server "evil" for role "ops" in a SECURITY DEFINER function/, $name,
		extra_params => [ '-U', 'eve' ]);
	is(request_count($evil), 0, "$name: nothing was sent");
	return;
}

# The stranger's call changes something at its own API, and only there.
sub goes
{
	my ($api, $setting, $call, $name) = @_;

	reset_emulator($_) foreach $url, $staging, $evil;
	like(as_role('eve', "$setting; SELECT $call"), qr/^pg/m, $name);
	is(join(' ', map { writes($_) } $url, $staging, $evil), $api eq $url ? '1 0 0' : '0 1 0', "$name: the request goes to the stranger");
	return;
}

done_testing();
