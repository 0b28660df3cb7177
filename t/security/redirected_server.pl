# The owner of a server redirects it after other roles have given it their keys.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $LIST = q{SELECT count(*) FROM chpg_services('prod')};
my $TABLE = 'SELECT count(*) FROM services';

my $url = start_emulator();
my $evil = start_emulator();
my $node = start_node('main');
my $ca = $node->data_dir . '/ca.pem';

$node->safe_psql('postgres',
	'CREATE EXTENSION chpg; CREATE ROLE eve LOGIN; CREATE ROLE bob LOGIN; GRANT pg_read_server_files TO eve;'
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO eve');
as_role('eve', "CREATE SERVER prod FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url'); GRANT USAGE ON FOREIGN SERVER prod TO PUBLIC");
$node->safe_psql('postgres', q{CREATE FOREIGN TABLE services (id text) SERVER prod OPTIONS (resource 'services'); GRANT SELECT ON services TO bob});
as_role('bob', connect_call(server => 'prod', api_url => $url));
works('at first');

# Another address, the default address, another proxy, another CA; also with foreign
# tables
foreach my $change (
	[ "SET api_url '$evil'", "SET api_url '$url'", qr/\Q$evil\E/ ],
	[ "SET api_url '$evil/v1'", "SET api_url '$url/v1/'", qr/\Q$evil\E/ ],
	[ "SET api_url '" . ($url =~ s/127\.0\.0\.1/localhost/r) . q{'}, "SET api_url '$url'", qr{http://localhost:\d+} ],
	[ "SET api_url '$url/elsewhere'", "SET api_url '$url'", qr{\Q$url\E/elsewhere} ],
	[ 'DROP api_url', "ADD api_url '$url'", qr{https://api\.clickhouse\.cloud} ],
	[ "DROP api_url, ADD proxy '$evil'", "DROP proxy, ADD api_url '$url'", qr{https://api\.clickhouse\.cloud, by the proxy \Q$evil\E} ],
	[ "ADD ca_file '$ca'", 'DROP ca_file', qr/\Q$url\E, trusting the CAs in "\Q$ca\E"/ ])
{
	my ($there, $back, $address) = @$change;

	as_role('eve', "ALTER SERVER prod OPTIONS ($there)");
	foreach my $sql ($LIST, $TABLE)
	{
		my $error = keeps_key($sql, "$there, $sql");
		like($error, qr/DETAIL:  The key is bound to \Q$url\E; the address of the server is $address\.\n/, "$there: the error names both");
		like($error, qr/HINT: .*chpg_connect\('KEY_ID', 'KEY_SECRET', server => 'prod', api_url => 'https:\/\/\.\.\.'\)/, "$there: and what to do");
		unlike($error, qr/HINT: .*$address/, "$there: without the new address ready to be pasted");
	}
	is(as_role('bob', 'SELECT count(*) FROM chpg_budget'), 0, "$there: and what else looks at servers goes on");
	as_role('eve', "ALTER SERVER prod OPTIONS ($back)");
	works("$back, back again");
}

# A proxy for an https server, when the key was given for none
as_role('eve', "CREATE SERVER far FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'https://127.0.0.1:1'); GRANT USAGE ON FOREIGN SERVER far TO bob");
as_role('bob', "CREATE USER MAPPING FOR bob SERVER far OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET https://127.0.0.1:1')");
as_role('eve', "ALTER SERVER far OPTIONS (ADD proxy '$evil')");
my $before = connections($evil);
keeps_key(q{SELECT FROM chpg_services('far')}, 'a proxy that is added');
is(connections($evil), $before, 'the proxy got no request');

# The owner of a server may alter other roles' mappings for it: without the secret the
# address can neither be removed nor changed.
as_role('eve', "ALTER SERVER prod OPTIONS (SET api_url '$evil')");
foreach my $change ("ADD api_url '$evil'", 'DROP api_url', "ADD seal 'x'")
{
	$node->psql('postgres', "ALTER USER MAPPING FOR bob SERVER prod OPTIONS ($change)", extra_params => [ '-U', 'eve' ]);
	keeps_key($LIST, "the mapping after $change");
}
as_role('eve', q{ALTER USER MAPPING FOR bob SERVER prod OPTIONS (SET key_id 'another')});
keeps_key($LIST, 'a key\'s id that was changed');
as_role('eve', "ALTER USER MAPPING FOR bob SERVER prod OPTIONS (SET key_id '$KEY_ID')");
unlike(as_role('eve', 'SELECT umoptions FROM pg_user_mappings'), qr/\Q$KEY_SECRET\E/, 'the owner does not see the secret');

# After the key is given again, it is sent to the new address.
as_role('bob', connect_call(server => 'prod', api_url => $evil));
reset_emulator($evil);
is(as_role('bob', $LIST), 6, 'a key that was given for the new address');
is(request_count($evil), 2, 'the new address gets two requests, for the organization and the list');

# The owner moves the server: it gives its key with the new address, and others give
# theirs.
as_role('eve', "ALTER SERVER prod OPTIONS (SET api_url '$url')");
as_role('eve', connect_call(server => 'prod', api_url => $url));
as_role('bob', connect_call(server => 'prod', api_url => $url));
as_role('eve', connect_call(server => 'prod', api_url => $evil));
is(as_role('eve', $LIST), 6, 'the owner moves the server, and its key');
keeps_key($LIST, 'the key of another role does not move');
as_role('eve', connect_call(server => 'prod', api_url => $url));
works('until the server is back at its address');

# Mappings by hand: with an address, as chpg_connect() stores it, and without one
foreach my $case ([ "$KEY_SECRET $url/v1", 0 ], [ $KEY_SECRET, 1 ])
{
	my ($secret, $requests) = @$case;

	as_role('bob', "ALTER USER MAPPING FOR bob SERVER prod OPTIONS (SET key_secret '$secret')");
	works("by hand, '$secret'");
	as_role('eve', "ALTER SERVER prod OPTIONS (SET api_url '$evil')");
	reset_emulator($evil);
	$node->psql('postgres', $LIST, extra_params => [ '-U', 'bob' ]);
	is(request_count($evil), $requests, "by hand, '$secret', redirected");
	as_role('eve', "ALTER SERVER prod OPTIONS (SET api_url '$url')");
}
foreach my $wrong ("$KEY_SECRET ", "$KEY_SECRET  $url", "$KEY_SECRET http://example.com", "$KEY_SECRET $url other=x",
	"$KEY_SECRET $url proxy=x", "$KEY_SECRET $url ca_file=x", " $url")
{
	my $error = fails_with($node, "ALTER USER MAPPING FOR bob SERVER prod OPTIONS (SET key_secret '$wrong')", 'HV024',
		qr/invalid value for option "key_secret"/, "by hand, '$wrong'", extra_params => [ '-U', 'bob' ]);
	unlike($error =~ s/^psql:.*?ERROR/ERROR/sr, qr/\Q$KEY_SECRET\E/, "by hand, '$wrong': no secret in the error");
}
fails_with($node, "SELECT chpg_connect('$KEY_ID', '$KEY_SECRET $url', 'prod', api_url => '$url')", 'HV024',
	qr/invalid value for option "key_secret"/, 'chpg_connect() takes the secret alone', extra_params => [ '-U', 'bob' ]);

# A statement that waits for its turn sends its request to the address that its key was
# given for, or nowhere.
as_role('bob', connect_call(server => 'prod', api_url => $url));
as_role('eve', q{ALTER SERVER prod OPTIONS (ADD rate_limit '1/3s')});
reset_emulator($evil);
my $session = open_session($node, extra_params => [ '-U', 'bob' ]);
in_session($session, $LIST);
clear_journal($url);
begin_in_session($session, 'SELECT count(*) FROM chpg_organizations(\'prod\')');
wait_until(sub { $node->safe_psql('postgres', q{SELECT sum(waiting) FROM chpg_budget}) eq '1' }, 'the statement waits');
as_role('eve', "ALTER SERVER prod OPTIONS (SET api_url '$evil')");
wait_until(sub { request_count($url) == 1 }, 'the request is sent to the old address');
in_session($session, 'SELECT 1');
$session->quit;
is(request_count($evil), 0, 'and not to the new one');

sub works
{
	my ($name) = @_;
	is(as_role('bob', $_), 6, "$name: $_") foreach $LIST, $TABLE;
	return;
}

# Bob's statement fails, and nothing is sent to the stranger's API; returns the error.
sub keeps_key
{
	my ($sql, $name) = @_;

	reset_emulator($evil);
	return rejects($node, $evil, $sql, '55000', qr/is bound to another address/, $name,
		extra_params => [ '-U', 'bob' ]);
}

done_testing();
