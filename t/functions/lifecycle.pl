# The lifecycle of a service in SQL: the documented steps, the requests of each
# function, and the traps in which other clients lose tags, settings or services.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use Test::More;

my $url = start_emulator();
$ENV{CHPG_EMULATOR_URL} = $url;
my $node = start_node('main');

$node->safe_psql('postgres', connect_sql($url));

# The requests since the journal was cleared, as "METHOD last-part-of-path"
sub sent
{
	return [ map { $_->{method} . ' ' . ($_->{path} =~ s{.*/}{}r) } @{ journal($url)->{requests} } ];
}

# The body of the last request
sub last_body
{
	return journal($url)->{requests}[-1]{json};
}

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# The documented steps: create, poll, tag, delete
is( costs($node, $url,
		"SELECT name, state, username, password <> '', connection_string LIKE 'postgres://%' FROM chpg_create_service("
		  . "'my postgres', 'aws', 'us-west-2', 'r8gd.large', storage_size => 118, postgres_version => '18')",
		1, 'create'),
	'my postgres|creating|postgres|t|t',
	'a service is created, with its credentials');
is_deeply(
	last_body(),
	{   name => 'my postgres', provider => 'aws', region => 'us-west-2',
		postgresVersion => '18', size => 'r8gd.large', storageSize => 118 },
	'creating sends the documented request');
is(value("SELECT state FROM chpg_wait('my postgres', poll_interval => '10 ms')"),
	'running', 'the service becomes ready');
costs($node, $url, qq{SELECT chpg_set_tags('my postgres', '{"Environment": "production"}')}, 3, 'tag');
is_deeply(
	last_body(),
	{ tags => [ { key => 'Environment', value => 'production' } ] },
	'tagging sends the documented request');
like(
	costs($node, $url, "SELECT chpg_delete_service('my postgres', 'my postgres')", 3, 'delete'),
	qr/^[0-9a-f-]{36}$/, 'deleting returns the id of the request');
is(value("SELECT count(*) FROM chpg_wait('$ORDERS', poll_interval => '10 ms')"), 1, 'the other services are still there');

# Waiting for a deletion ends without a row.
value(q{SELECT chpg_create_service('short', 'aws', 'us-west-2', 'r8gd.large')});
my $short = value(q{SELECT id FROM chpg_services WHERE name = 'short'});
value("SELECT chpg_delete_service('$short', 'short')");
fault($url, path => "$short\$", status => 404, body => '<html>no such route</html>', content_type => 'text/html', times => 1);
fails_with($node, "SELECT * FROM chpg_wait('$short', 'deleted', poll_interval => '10 ms')", '42704',
	qr/The response is not JSON/, 'a 404 that is not of the API is no deletion');
is(value("SELECT count(*) FROM chpg_wait('$short', 'deleted', poll_interval => '10 ms')"),
	0, 'a deleted service has no row');

# Deleting the wrong service
costs($node, $url, "SELECT id FROM chpg_services LIMIT 1", 1, 'reading');
fails_with($node, "SELECT chpg_delete_service('$ORDERS', 'billing')", '22023',
	qr/"confirm_name" is "billing", which is not the name of service "$ORDERS"/, 'a name that is not confirmed');
ok(!grep({ $_->{method} eq 'DELETE' } @{ journal($url)->{requests} }), 'nothing is deleted');

# Tags that the call does not name stay.
reset_emulator($url);
my $tags = value("SELECT tags FROM chpg_service('$ORDERS')");
costs($node, $url, "SELECT chpg_update_service('$ORDERS', size => 'r8gd.xlarge')", 2, 'a change of size');
is_deeply([ sort keys %{ last_body() } ], [ 'size', 'tags' ], 'sends the tags along');
is(value("SELECT size, tags FROM chpg_wait('$ORDERS', poll_interval => '10 ms', expected => '{\"size\": \"r8gd.xlarge\"}')"),
	"r8gd.xlarge|$tags", 'and keeps them');
value(qq{SELECT chpg_set_tags('$ORDERS', '{"added": "1", "team": "new"}')});
is(value("SELECT tags->>'added', tags->>'team', tags->>'Environment' FROM chpg_wait('$ORDERS', poll_interval => '10 ms', expected => '{\"tags\": {\"added\": \"1\"}}')"),
	'1|new|production', 'tags are added and changed');
value("SELECT chpg_remove_tags('$ORDERS', '{added,team,none}')");
is(last_body()->{tags}[0]{key}, 'Environment', 'tags are removed');
costs($node, $url, qq{SELECT chpg_update_service('$ORDERS', tags => '{"only": "this"}')}, 1, 'all tags replaced');
reset_emulator($url, overrides => { orders => { tags => undef } });
fails_with($node, "SELECT chpg_update_service('$ORDERS', size => 'x')", '55000',
	qr/API response omits the tags/, 'tags that the response omits');
is_deeply(sent(), ["GET $ORDERS"], 'nothing is changed then');

# The next change does not undo changes that are still queued.
reset_emulator($url, apply_polls => 4);
my $queued = notices($node, qq{SELECT FROM chpg_set_tags('$ORDERS', '{"a": "1"}'); SELECT FROM chpg_set_tags('$ORDERS', '{"b": "2"}');
	SELECT FROM chpg_remove_tags('$ORDERS', '{a}'); SELECT FROM chpg_update_service('$ORDERS', size => 'r8gd.xlarge')});
like($queued, qr/NOTICE:  API does not show the tags sent 0 s ago yet/, 'a change on top of a queued one: a notice');
is(value("SELECT tags->>'a' IS NULL, tags->>'b', tags->>'Environment' FROM chpg_wait('$ORDERS', poll_interval => '10 ms', expected => '{\"size\": \"r8gd.xlarge\"}')"),
	't|2|production', 'and the queued change stays');

# Changes that others have made since stay.
reset_emulator($url);
value(qq{SELECT FROM chpg_set_tags('$ORDERS', '{"a": "1"}');
	SELECT FROM chpg_wait('$ORDERS', poll_interval => '1 ms', expected => '{"tags": {"a": "1"}}');
	\\! $FindBin::RealBin/../../emulator/ctl set orders '{"tags": [{"key": "other", "value": "hand"}]}'
	SELECT FROM chpg_set_tags('$ORDERS', '{"b": "2"}')});
is_deeply([ sort map { $_->{key} } @{ last_body()->{tags} } ], [ 'b', 'other' ], 'the change of another client is kept');

# After all tags were replaced, a difference is a queued change or another client's: the
# function reads again.
reset_emulator($url);
my $both = notices($node, qq{SELECT FROM chpg_update_service('$ORDERS', tags => '{"a": "1"}'); SELECT FROM chpg_set_tags('$ORDERS', '{"b": "2"}')});
like($both, qr/ERROR:  tags of service "$ORDERS" differ from those sent 0 s ago/, 'neither is lost');

# Commands
reset_emulator($url);
is(value("SELECT id FROM chpg_restart_service('$ORDERS')"), $ORDERS, 'restart');
is_deeply(last_body(), { command => 'restart' }, 'sends the command');
is(value("SELECT is_primary IS NULL FROM chpg_promote_service('analytics')"), 't', 'the response to promote lacks isPrimary');
my $switch = sub { return scalar grep { $_->{path} =~ m{/state$} } @{ journal($url)->{requests} } };
for my $case ([ 'none', 'service "\w+" has no standby to switch over to' ], [ undef, 'API response omits whether service "\w+" has a standby' ])
{
	my ($ha_type, $message) = @$case;
	my $name = defined $ha_type ? 'without a standby' : 'of a service that omits haType';
	reset_emulator($url, overrides => { search => { haType => $ha_type, state => 'running' } });
	my $error = fails_with($node, "SELECT chpg_switchover_service('search')", '55000', qr/$message: confirm with "replace_primary"/, "a switchover $name");
	like($error, qr/DETAIL:  Without a standby, the API provisions a new server, .* replaces the primary with it\. Older deployments .* do nothing\./, 'DETAIL has both outcomes');
	like($error, qr/HINT:  .*, or run: SELECT \* FROM chpg_switchover_service\('[-\w]+', replace_primary => true\);$/m, 'HINT has the statement');
	like(fails_with($node, "SELECT chpg_switchover_service('search', server => 'chpg')", '55000', qr/confirm with/, "$name, with a server"),
		qr/HINT:  .*, replace_primary => true, server => 'chpg'\);$/m, 'HINT has the server, too');
	is($switch->(), 0, 'nothing is sent');
	costs($node, $url, "SELECT chpg_switchover_service('search', replace_primary => true)", 2, "a switchover $name that is confirmed");
	is_deeply(last_body(), { command => 'switchover' }, 'is sent');
	is(value(q{SELECT state FROM chpg_service('search')}), 'restarting', 'the primary is being replaced');
}
reset_emulator($url, switchover => 'ignored');
value("SELECT chpg_switchover_service('analytics', true)");
is(value(q{SELECT state FROM chpg_service('analytics')}), 'running', 'an older deployment does nothing');
for my $response ('acknowledged', 'service')
{
	reset_emulator($url, switchover_response => $response);
	is(costs($node, $url, "SELECT id, coalesce(name, '-') FROM chpg_switchover_service('$ORDERS')", 2, "a switchover, with the response $response"),
		"$ORDERS|" . ($response eq 'service' ? 'orders' : '-'), "the response $response");
}

# The earliest restore time
for my $case ([ present => '2026-06-24 12:07:17+00' ], [ null => '' ], [ absent => '' ])
{
	my ($shown, $time) = @$case;
	reset_emulator($url, now => '2026-06-30T12:00:30.000Z', backups => 6, earliest_restore_time => $shown, overrides => { orders => { createdAt => '2026-06-01T00:00:00.000Z' } });
	my $earliest = value("SET timezone = 'UTC'; SELECT earliest_restore_time FROM chpg_service('$ORDERS')");
	my $restore = "SELECT name FROM chpg_restore_service('$ORDERS', 'again', '2026-06-02 00:00Z')";
	if ($shown eq 'present')
	{
		like($earliest, qr/^2026-06-2[45] \d\d:07:17\+00$/, 'the earliest restore time');
		clear_journal($url);
		fails_with($node, $restore, '22023', qr/"restore_target" is before (2026-06-2[^\n]+), the earliest restore time of service "$ORDERS"\nHINT:  [^\n]*: restore_target => '\1'\.$/ms,
			'a restore to a time before it');
		is(join(' ', map { $_->{method} } @{ journal($url)->{requests} }), 'GET', 'is not sent');
		is(costs($node, $url, "SELECT name FROM chpg_restore_service('$ORDERS', 'again', '$earliest')", 2, 'a restore to just that time'), 'again', 'is sent');
		fault($url, method => 'GET', path => "$ORDERS\$", status => 403);
		is(costs($node, $url, "SELECT name FROM chpg_restore_service('$ORDERS', 'blind', '$earliest')", 2, 'a restore by a key that may not read'), 'blind', 'is sent');
		only_fault($url, method => 'GET', path => "$ORDERS\$", status => 401);
		fails_with($node, "SELECT name FROM chpg_restore_service('$ORDERS', 'failed', '$earliest')", '28000', qr/could not read service/, 'another failure of the read');
		clear_faults($url);
		fails_with($node, "SELECT name FROM chpg_restore_service('$ORDERS', 'late', '2026-07-01')", '22023', qr/restoreTarget is in the future/, 'the API rejects what is too late');
	}
	else
	{
		is($earliest, '', "$shown: there is none");
		is(costs($node, $url, $restore, 2, "$shown: a restore to any time"), 'again', "$shown: is sent");
	}
}
is(value(q{SELECT count(*) FROM chpg_service('analytics') WHERE earliest_restore_time IS NOT NULL}), '0', 'read replicas have none');
reset_emulator($url);

# Passwords: never generated twice, never shown when given
like(costs($node, $url, "SELECT chpg_set_password('$ORDERS')", 1, 'a generated password'),
	qr/^\S{12,}$/, 'is returned');
is(costs($node, $url, "SELECT chpg_set_password('$ORDERS', 'abcABC123abc') IS NULL", 1, 'a given password'),
	't', 'is not');
clear_faults($url);
fault($url, path => 'password', carry_out => JSON::PP::true, close => JSON::PP::true);
$node->safe_psql('postgres', 'SELECT count(*) FROM chpg_services');
clear_journal($url);
fails_with($node, "SELECT chpg_set_password('$ORDERS')", '08007',
	qr/may have been carried out/, 'a password whose response is lost');
is(scalar @{ journal($url)->{requests} }, 1, 'is sent once');
clear_faults($url);

# A replica, once there is a backup
reset_emulator($url, backup_polls => 2, earliest_restore_time => 'absent');
fails_with($node, "SELECT chpg_create_read_replica('$ORDERS', 'replica')", '22023',
	qr/no backups/, 'a replica before the first backup');
is(value("SELECT name FROM chpg_create_read_replica('$ORDERS', 'replica', retry_for => '1 minute')"),
	'replica', 'a replica as soon as there is a backup');
fails_with($node, "SELECT chpg_delete_service('$ORDERS', 'orders')", '22023',
	qr/could not delete service/, 'a primary with a replica');

# A restored service
is(value("SELECT name, state FROM chpg_restore_service('$ORDERS', 'restored', '2026-03-31 18:17:37Z')"),
	'restored|creating', 'a restored service');
is(last_body()->{restoreTarget}, '2026-03-31T18:17:37.000Z', 'at that time');

# Configuration
reset_emulator($url);
my $config = "SELECT string_agg(component || '.' || name || '=' || value, ' ' ORDER BY component, name)";
value(qq{SELECT FROM chpg_replace_config('$ORDERS', '{"work_mem": "64MB", "max_connections": 100}', '{"default_pool_size": "16"}')});
is(value("$config FROM chpg_config('$ORDERS')"),
	'pgbouncer.default_pool_size=16 postgres.max_connections=100 postgres.work_mem=64MB', 'both sections');
like(notices($node, qq{SELECT FROM chpg_patch_config('$ORDERS', '{"max_connections": 200}')}),
	qr/NOTICE:  .*restart/, 'a notice names settings that wait for a restart');
is(value("$config FROM chpg_config('$ORDERS')"),
	'pgbouncer.default_pool_size=16 postgres.max_connections=200 postgres.work_mem=64MB', 'a patch leaves the rest alone');
fault($url, path => 'config$', patch => { 'result.message' => "restart\nLOG:  forged, $KEY_SECRET" }, times => 1);
like(notices($node, qq{SELECT FROM chpg_patch_config('$ORDERS', '{"max_connections": 200}')}),
	qr/NOTICE:  restart LOG:  forged, \*\*\*$/, 'on one line, without secrets');
is(value(qq{$config FROM chpg_patch_config('$ORDERS', '{"work_mem": null}')}),
	'pgbouncer.default_pool_size=16 postgres.max_connections=200', 'null unsets');
# PgBouncer's settings are sent as strings, also those that are read and sent back.
value(qq{SELECT FROM chpg_patch_config('$ORDERS', '{"work_mem": 65536, "jit": false}', '{"default_pool_size": 16, "disable_pqexec": true, "max_db_connections": null, "ignore_startup_parameters": "x"}')});
is_deeply(last_body(), { pgConfig => { work_mem => 65536, jit => JSON::PP::false },
	pgBouncerConfig => { default_pool_size => '16', disable_pqexec => 'true', max_db_connections => undef, ignore_startup_parameters => 'x' } }, 'settings of PgBouncer are strings');
like(encode_json(last_body()), qr/"default_pool_size":"16"/, 'numbers, too');
fault($url, method => 'GET', path => 'config$', patch => { 'result.pgBouncerConfig.default_pool_size' => 16 }, times => 1);
value(qq{SELECT FROM chpg_replace_config('$ORDERS', '{"work_mem": 65536, "max_connections": 200}')});
like(encode_json(last_body()), qr/"default_pool_size":"16"/, 'and those that are sent back');
value(qq{SELECT FROM chpg_replace_config('$ORDERS', '{"work_mem": "64MB", "max_connections": 200}', '{"default_pool_size": "16"}')});
costs($node, $url, qq{SELECT FROM chpg_replace_config('$ORDERS', '{"work_mem": "1GB"}')}, 2, 'one section replaced');
is(value("$config FROM chpg_config('$ORDERS')"),
	'pgbouncer.default_pool_size=16 postgres.work_mem=1GB', 'keeps the other');
is(value("SELECT count(DISTINCT service_id) FROM chpg_config()"), 1, 'the settings of the fleet');

# A section that the response omits is not cleared.
fault($url, path => 'config$', method => 'GET', patch => { 'result.pgBouncerConfig' => undef }, times => 1);
clear_journal($url);
fails_with($node, qq{SELECT chpg_replace_config('$ORDERS', '{"work_mem": "1GB"}')}, '55000',
	qr/API response omits "pgBouncerConfig"/, 'a section that the response omits');
is_deeply(sent(), ['GET config'], 'nothing is replaced');

# A setting that this database cannot represent is not sent back damaged.
$node->safe_psql('postgres', q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
$node->safe_psql('latin', connect_sql($url) . 'SELECT FROM chpg_services');
value(qq{SELECT FROM chpg_replace_config('$ORDERS', '{"application_name": "\\u2603"}')});
clear_journal($url);
fails_with($node, qq{\\connect latin\nSELECT chpg_replace_config('$ORDERS', pgbouncer_config => '{"default_pool_size": "17"}')},
	'22P05', qr/the database encoding "LATIN1" lacks/, 'a section that cannot be kept');
is_deeply(sent(), ['GET config'], 'nothing is replaced then');

for my $new ("chpg_create_service('new', 'aws', 'us-west-2', 'r8gd.large', ", "chpg_create_read_replica('$ORDERS', 'new', ", "chpg_restore_service('$ORDERS', 'new', now() - interval '1 hour', ")
{
	value("SELECT FROM ${new}pgbouncer_config => '{\"default_pool_size\": 16}')");
	like(encode_json(last_body()), qr/"pgBouncerConfig":\{"default_pool_size":"16"\}/, "${new}...): strings, too");
}
reset_emulator($url);

# Certificates, connection parameters, any request
like(value("SELECT chpg_ca_certificates('$ORDERS')"), qr/^-----BEGIN CERTIFICATE-----/, 'certificates');
like(value("SELECT uri FROM chpg_connection_info('$ORDERS')"),
	qr{^postgres://postgres\@orders-\S+:5432/postgres\?sslmode=verify-full$}, 'connection parameters');
is(value("SELECT status, jsonb_array_length(result) FROM chpg_request('GET', '/v1/organizations/{organization_id}/postgres')"),
	'200|6', 'any request');
fault($url, path => 'password$', status => 400,
	body => encode_json({ status => 400, error => 'bad: <string:hunter2"secret> and hunter2\\"secret' }));
unlike(
	fails_with($node,
		"SELECT * FROM chpg_request('PATCH', '/v1/organizations/{organization_id}/postgres/$ORDERS/password',"
		  . q{ body => jsonb_build_object('password', 'hunter2"secret'))},
		'22023', qr/bad: <string:\*\*\*> and \*\*\*/, 'any request whose body is echoed'),
	qr/hunter2/, 'the error shows nothing of it');
clear_faults($url);
fault($url, path => 'caCertificates$', status => 200, body => '<html>login</html>', content_type => 'text/html');
fails_with($node, "SELECT chpg_ca_certificates('$ORDERS')", '08P01', qr/does not begin with "-----BEGIN/, 'a login page is no certificate');
clear_faults($url);
fails_with($node, "SELECT * FROM chpg_request('GET', '/v1/organizations/{organization_id}/postgres/pg0000000000000000000000ab')",
	'42704', qr/the API did not find it.*NOT_FOUND/s, 'any request for an unknown path');

# A dry run reads and shows, and changes nothing.
clear_journal($url);
my $shown = notices($node, qq{SET chpg.dry_run = on; SELECT chpg_update_service('$ORDERS', size => 'x');
	SELECT chpg_set_password('$ORDERS', 'abcABC123abc'); SELECT chpg_delete_service('$ORDERS', 'orders')});
like($shown, qr{NOTICE:  would send PATCH /v1/organizations/\S+/postgres/$ORDERS \{"size":"x","tags":}, 'a dry run shows the change');
like($shown, qr{/password \{"password":"\*\*\*"\}}, 'but no password');
ok(!grep({ $_->{method} ne 'GET' } @{ journal($url)->{requests} }), 'and sends only reads');

# A dry run that is misspelt before the library is loaded makes no change.
clear_journal($url);
fails_with($node, "SET chpg.dry_run = 'yep'; SELECT chpg_restart_service('$ORDERS')", '22023',
	qr/parameter "chpg.dry_run" requires a Boolean value/, 'a dry run that is misspelt');
is(request_count($url), 0, 'sends nothing');

# A write is sent once, whatever its response is.
for my $case (
	[ 'a connection that closes without a response', close => JSON::PP::true ],
	[ 'a connection that breaks', reset => 'before' ],
	[ 'a gateway that gives up', status => 504 ],
	[ 'an HTML 502', status => 502, body => '<html>Bad Gateway</html>', content_type => 'text/html' ],
	[ 'a response that is no JSON', status => 200, body => 'OK' ])
{
	my ($name, %fault) = @$case;
	clear_faults($url);
	fault($url, path => 'postgres$', method => 'POST', carry_out => JSON::PP::true, %fault);
	clear_journal($url);
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nSELECT count(*) FROM chpg_services;"
		  . "SELECT chpg_create_service('once', 'aws', 'us-west-2', 'r8gd.large')");
	like($err, qr/ERROR:  08007: .*may have been carried out/, "$name: the outcome is unknown");
	is(scalar(grep { $_->{method} eq 'POST' } @{ journal($url)->{requests} }), 1, "$name: sent once");
}
clear_faults($url);
fault($url, path => 'postgres$', method => 'POST', hang => JSON::PP::true);
my $err = fails_with($node,
	"SET statement_timeout = '200ms'; SELECT chpg_create_service('slow', 'aws', 'us-west-2', 'r8gd.large')",
	'57014', qr/canceling statement due to statement timeout/, 'a cancel in the middle of a write');
like($err, qr{CONTEXT:  request POST \S+, which may have been carried out}, 'the message has the possible outcome');
clear_faults($url);

# A write is retried after a 429, since it was not carried out. Whatever the reset in
# the response is, the retry waits.
fault($url, path => 'postgres$', method => 'POST', status => 429, headers => { 'X-RateLimit-Reset' => '0' }, times => 1,
	body => '{"status":429,"error":"TOO_MANY_REQUESTS"}');
costs($node, $url, "SELECT chpg_create_service('later', 'aws', 'us-west-2', 'r8gd.large')", 2, 'a write after a 429');
cmp_ok(journal($url)->{requests}[1]{at} - journal($url)->{requests}[0]{at}, '>', 0.1, 'not at once');

# (function(...)).* calls a function once for each column.
clear_journal($url);
fails_with($node, "SELECT (chpg_create_service('columns', 'aws', 'us-west-2', 'r8gd.large')).*",
	'55000', qr/has already sent the same request.*SELECT \* FROM/s, 'a function for each column');
is_deeply(sent(), ['POST postgres'], 'creates one service');
clear_journal($url);
fails_with($node, "SELECT (chpg_restart_service('$ORDERS')).*", '55000', qr/has already sent/, 'a command for each column');
is_deeply(sent(), ['PATCH state'], 'is sent once');
fails_with($node, q{SELECT (chpg_request('POST', '/v1/organizations/{organization_id}/postgres',
	body => '{"name": "twice", "provider": "aws", "region": "us-west-2", "size": "r8gd.large"}')).*},
	'55000', qr/has already sent/, 'any request for each column');
is(value("SELECT count(*) FROM chpg_services WHERE name = 'twice'"), 1, 'creates one service, too');

# A loop in one transaction counts as one statement that repeats itself; a COMMIT begins
# anew.
clear_journal($url);
fails_with($node, "DO \$\$ BEGIN FOR i IN 1 .. 2 LOOP PERFORM chpg_restart_service('$ORDERS'); END LOOP; END \$\$",
	'55000', qr/has already sent.*DETAIL: .* a loop calls it in each iteration\.\nHINT: .*COMMIT after each/s, 'a loop');
is_deeply(sent(), ['PATCH state'], 'sends one request');
for my $end ('COMMIT', 'ROLLBACK')
{
	clear_journal($url);
	value("DO \$\$ BEGIN FOR i IN 1 .. 2 LOOP PERFORM chpg_restart_service('$ORDERS'); $end; END LOOP; END \$\$");
	is_deeply(sent(), [ ('PATCH state') x 2 ], "one request for each transaction that a loop ends by $end");
}

# A write whose response cannot be converted
fault($url, path => 'state$', carry_out => JSON::PP::true, status => 200, body => '{"result": {"n": 1e400000}}', times => 1);
like(fails_with($node, "SELECT * FROM chpg_request('PATCH', '/v1/organizations/{organization_id}/postgres/$ORDERS/state', body => '{\"command\": \"restart\"}')",
	'22003', qr/overflow/, 'a response that cannot be converted'), qr/which was carried out/, 'the error says that the change was carried out');

# Quotas and conflicts
reset_emulator($url, max_services => 6);
fails_with($node, "SELECT chpg_create_service('one too many', 'aws', 'us-west-2', 'r8gd.large')", '55006',
	qr/CONFLICT: Conflict/, 'a quota');

# The quota that is full is named, at the cost of one request, and only if that can be sent now.
# The arguments are the statement, what its error has, and a name.
my $FULL = qr/ERROR: .*: quota "postgres-services-per-organization" is full: 6 of 6\n.*HINT:  Delete a service, [^\n]*: SELECT \* FROM chpg_quotas\(\);/s;
my $USUAL = qr/HINT:  Another change may be under way, or a quota reached/;
my $CREATE = "SELECT chpg_create_service('one too many', 'aws', 'us-west-2', 'r8gd.large')";
sub meets_conflict
{
	my ($sql, $hint, $name) = @_;
	clear_journal($url);
	like(fails_with($node, $sql, '55006', qr/HTTP status 409/, $name), $hint, "$name: the explanation");
	return scalar grep { $_->{path} =~ /quotas$/ } @{ journal($url)->{requests} };
}
is(meets_conflict($CREATE, $FULL, 'a full quota'), 1, 'one request more');
is(meets_conflict("SELECT chpg_create_read_replica('$ORDERS', 'replica')", $FULL, 'a full quota for a replica'), 1, 'one request more');
is(meets_conflict("SET chpg.max_requests = 1; $CREATE", $USUAL, 'no request is left to the statement'), 0, 'none is sent');
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '1/3s')});
is(meets_conflict($CREATE, $USUAL, 'no room in the budget'), 0, 'no waiting for the budget');
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});
foreach my $fault (
	{ status => 403 }, { status => 503 }, { close => JSON::PP::true }, { garbage => JSON::PP::true },
	{ body => '{"result": {}}' }, { body => '{"result": [null, 7, {"quotaCode": "postgres", "value": "x", "usage": []}]}' },
	{ patch => { 'result.1.usage' => undef } }, { patch => { 'result.1.quotaCode' => 'other' } })
{
	fault($url, path => 'quotas$', %$fault);
	is(meets_conflict($CREATE, $USUAL, 'quotas that cannot be read'), 1, 'no second attempt');
	clear_faults($url);
}
fault($url, path => 'quotas$', patch => { 'result.1.usage' => '6.0', 'result.1.value' => '5' });
meets_conflict($CREATE, qr/is full: 6 of 5\n/, 'numbers as texts, and more than the quota');
clear_faults($url);
# Of several full quotas, the one is named that the change needs.
my ($BACKUPS, $REPLICAS) = map { +{ quotaCode => $_, value => 1, usage => 1 } } qw(postgres-backups-per-service postgres-read-replicas-per-service);
my $REPLICA = "SELECT chpg_create_read_replica('$ORDERS', 'replica')";
fault($url, path => 'quotas$', patch => { 'result.0' => $BACKUPS });
meets_conflict($CREATE, $FULL, 'a full quota of something else');
meets_conflict($REPLICA, $FULL, 'a full quota of something else, for a replica');
only_fault($url, path => 'quotas$', patch => { 'result.0' => $REPLICAS });
meets_conflict($CREATE, $FULL, 'a full quota of replicas, for a service');
meets_conflict($REPLICA, qr/quota "postgres-read-replicas-per-service" is full: 1 of 1\n/, 'a full quota of replicas');
only_fault($url, path => 'quotas$', patch => { 'result.0' => $REPLICAS, 'result.1.usage' => 0 });
meets_conflict($CREATE, $USUAL, 'only a full quota of something else');
meets_conflict("SELECT chpg_restore_service('$ORDERS', 'restored', now() - interval '1 day')", $USUAL, 'only a full quota of something else, for a restore');

# A cancel while quotas are read does not hide that the change was refused.
only_fault($url, path => 'quotas$', hang => JSON::PP::true);
like(fails_with($node, "SET statement_timeout = '1s'; $CREATE", '57014', qr/statement timeout/, 'a cancel while quotas are read'),
	qr{^CONTEXT:  request POST /v1/organizations/[^/\s]+/postgres, which failed with HTTP status 409$}m, 'says that the change was refused');
clear_faults($url);
fault($url, path => 'state$', status => 409);
is(meets_conflict("SELECT chpg_restart_service('$ORDERS')", $USUAL, 'a conflict of another change'), 0, 'has nothing to do with quotas');
clear_faults($url);

# Waiting: old values in state "running", a few failures, permanent failures
reset_emulator($url, apply_polls => 4);
value("SELECT chpg_update_service('$ORDERS', size => 'r8gd.2xlarge')");
fault($url, path => "$ORDERS\$", status => 500, body => '{"status":500,"error":"INTERNAL"}', skip => 1, times => 2);
is(value("SET chpg.max_retries = 0; SELECT size FROM chpg_wait('$ORDERS', poll_interval => '10 ms', expected => '{\"size\": \"r8gd.2xlarge\"}')"),
	'r8gd.2xlarge', 'waiting outlasts old values and failures');
clear_faults($url);
fault($url, path => "$ORDERS\$", status => 403, body => '{"status":403,"error":"FORBIDDEN"}');
fails_with($node, "SELECT FROM chpg_wait('$ORDERS', poll_interval => '10 ms')", '42501', qr/permission/, 'a final failure');
clear_faults($url);
like(fails_with($node, "SELECT FROM chpg_wait('$ORDERS', 'runing', timeout => '100 ms', poll_interval => '20 ms')", '57014', qr/within "timeout"/, 'a state that there is not'),
	qr/WARNING:  01000: the API documents no state "runing": did you mean "running"\?\nHINT:  Cancel the wait/, 'is said at once');
fails_with($node, "SELECT FROM chpg_wait('$ORDERS', 'stopped', timeout => '100 ms', poll_interval => '20 ms')",
	'57014', qr/did not become stopped within "timeout"/, 'a wait that takes too long');
fault($url, path => "$ORDERS\$", status => 429, headers => { 'X-RateLimit-Reset' => '30' }, body => '{"error": "TOO_MANY_REQUESTS"}');
my $begun = time;
fails_with($node, "SELECT FROM chpg_wait('$ORDERS', timeout => '300 ms', poll_interval => '20 ms')", '57014', qr/within "timeout"/, 'a wait for the budget');
cmp_ok(time - $begun, '<', 15, 'ends in time, too, and not with the block of half a minute');
clear_faults($url);
value('SELECT chpg_budget_reset()');
is(value("SELECT count(*) FROM (VALUES ('$ORDERS'), (NULL)) v(id), LATERAL chpg_wait(v.id, poll_interval => '1 ms')"), 1, 'NULL from a row: no row');
fault($url, path => "$ORDERS\$", hang => JSON::PP::true);
clear_journal($url);
my $begin = time;
fails_with($node, "SELECT FROM chpg_wait('$ORDERS', timeout => '300 ms', poll_interval => '20 ms')",
	'57014', qr/did not become running within "timeout"/, 'a wait for an API that hangs');
cmp_ok(time - $begin, '<', 15, 'ends in time, and not with chpg.request_timeout, after half a minute');
is(request_count($url), 1, 'with one request for each poll');
clear_faults($url);
like(notices($node, "CALL chpg_wait_until('$ORDERS', poll_interval => '10 ms')"),
	qr/NOTICE:  service "$ORDERS" is running after \d+ s$/m, 'waiting without a snapshot');

# The condition that chpg_wait_until() waits for, and the last poll: at the timeout,
# whatever the interval is
clear_journal($url);
my $said = fails_with($node, "CALL chpg_wait_until('$ORDERS', 'stopped', timeout => '3 s', poll_interval => '1 hour')",
	'57014', qr/did not become stopped within "timeout"/, 'a wait that is shorter than its interval');
like($said, qr/NOTICE: .*service "$ORDERS" is running after \d+ s, waiting for stopped$/m, 'a notice names the condition');
is(request_count($url), 2, 'it polls at the beginning and at the end');
like(notices($node, qq{CALL chpg_wait_until('$ORDERS', 'stopped', timeout => '3 s', expected => '{"size": "x"}')}),
	qr/, waiting for stopped with \{"size": "x"\}$/m, 'a state and values');
like(notices($node, qq{CALL chpg_wait_until('$ORDERS', timeout => '3 s', expected => '{"size": "x"}')}),
	qr/is running after \d+ s, waiting for \{"size": "x"\}$/m, 'values');

# The error of a timeout has the expected and the actual value, but no password.  The timeout
# leaves a busy machine time for a poll.
$said = fails_with($node, qq{SELECT FROM chpg_wait('$ORDERS', timeout => '2 s', poll_interval => '20 ms', expected => '{"size": "x", "tags": {"note": "c"}}')},
	'57014', qr/service "$ORDERS" did not become running with \{"size": "x", "tags": \{"note": "c"\}\} within "timeout"/, 'a wait for values that do not come');
like($said, qr/DETAIL:  The state is running, with \{"size": "r8gd\.\w+", "tags": \{"\w+": .*\}\}\. Matching polls in a row: 0 of 3\.$/m, 'the values found');
$said = fails_with($node, qq{SELECT FROM chpg_wait('$ORDERS', 'stopped', timeout => '2 s', poll_interval => '20 ms', expected => '{"size": "x"}')},
	'57014', qr/did not become stopped with \{"size": "x"\} within "timeout"/, 'a wait for a state and values');
like($said, qr/DETAIL:  The state is running\. Matching polls/, 'of which the state is missing');
$said = fails_with($node, qq{SELECT FROM chpg_wait('$ORDERS', timeout => '2 s', poll_interval => '20 ms', expected => '{"connection_string": "x"}')},
	'57014', qr/did not become running with \{"connection_string": "x"\} within "timeout"/, 'a wait for a password');
like($said, qr/DETAIL:  The state is running\. Matching polls/, 'does not show the password');
is(value("SELECT state FROM chpg_wait('$ORDERS', timeout => '10 s', poll_interval => '6 s')"), 'running',
	'three polls fit into less than two intervals');
fails_with($node, "BEGIN; CALL chpg_wait_until('$ORDERS')", '25001', qr/inside a transaction block/, 'not in a transaction');

# Invalid arguments are rejected without a request.
for my $case (
	[ q{chpg_create_service('', 'aws', 'us-west-2', 'x')}, '22023' ],
	[ q{chpg_create_service(repeat('x', 51), 'aws', 'us-west-2', 'x')}, '22023' ],
	[ q{chpg_create_service(NULL, 'aws', 'us-west-2', 'x')}, '22004' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', tags => '[]')}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', tags => '{"chc_x": "y"}')}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', tags => '{"a b": "y"}')}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', tags => '{"a": ""}')}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', tags => '{"a": 1}')}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', tags => (SELECT jsonb_object_agg('k' || i, 'v') FROM generate_series(1, 51) i))}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', pg_config => '{}')}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', pg_config => '{"a": {}}')}, '22023' ],
	[ "chpg_update_service('$ORDERS')", '22023' ],
	[ "chpg_set_tags('$ORDERS', NULL)", '22004' ],
	[ "chpg_remove_tags('$ORDERS', NULL)", '22004' ],
	[ "chpg_delete_service('$ORDERS', NULL)", '22004' ],
	[ "chpg_set_password('$ORDERS', 'short')", '22023' ],
	[ "chpg_set_password('$ORDERS', 'nouppercase123')", '22023' ],
	[ "chpg_create_read_replica('$ORDERS', 'x', retry_for => '-1 second')", '22023' ],
	[ "chpg_restore_service('$ORDERS', 'x', 'infinity')", '22023' ],
	[ "chpg_patch_config('$ORDERS')", '22023' ],
	[ "chpg_patch_config('$ORDERS', '{}')", '22023' ],
	[ "chpg_replace_config('$ORDERS', '{\"a\": null}')", '22023' ],
	[ "chpg_wait('$ORDERS', timeout => '0')", '22023' ],
	[ q{chpg_create_service('x', '', 'us-west-2', 'x')}, '22023' ],
	[ q{chpg_create_service('x', 'aws', 'us-west-2', 'x', storage_size => 0)}, '22023' ],
	[ q{chpg_set_tags('orders', '{}')}, '22023' ],
	[ q{chpg_remove_tags('orders', '{}')}, '22023' ],
	[ q{chpg_remove_tags('orders', ARRAY[NULL::text])}, '22023' ],
	[ q{chpg_remove_tags('orders', '{{a,b},{c,d}}')}, '22023' ],
	[ q{chpg_patch_config('orders', '{"x": 99999999999999999999999}')}, '22023' ],
	[ "chpg_wait('$ORDERS', expected => '[]')", '22023' ],
	[ "chpg_wait('$ORDERS', expected => '{\"Size\": \"x\"}')", '22023' ],
	[ q{chpg_request('HEAD', '/v1/organizations')}, '22023' ],
	[ q{chpg_request('GET', '/v2/organizations')}, '22023' ],
	[ q{chpg_request('GET', '/v1/../etc')}, '22023' ],
	[ q{chpg_request('GET', '/v1/organizations?x=1')}, '22023' ],
	[ q{chpg_request('GET', '/v1/organizations', '[]')}, '22023' ])
{
	my ($call, $state) = @$case;
	clear_journal($url);
	fails_with($node, "SELECT * FROM $call", $state, qr/ERROR/, $call);
	is(request_count($url), 0, "$call: no request");
}

# Without the privilege, and in read-only transactions
$node->safe_psql('postgres', 'CREATE ROLE reader; GRANT USAGE ON FOREIGN SERVER chpg TO reader');
clear_journal($url);
for my $call (
	"chpg_create_service('x', 'aws', 'us', 'x')", "chpg_update_service('x', size => 'x')",
	"chpg_set_tags('x', '{}')", "chpg_remove_tags('x', '{}')", "chpg_delete_service('x', 'x')",
	"chpg_restart_service('x')", "chpg_promote_service('x')", "chpg_switchover_service('x')", "chpg_switchover_service('x', true)",
	"chpg_set_password('x')", "chpg_create_read_replica('x', 'x')", "chpg_restore_service('x', 'x', now())",
	"chpg_patch_config('x', '{\"a\": 1}')", "chpg_replace_config('x', '{\"a\": 1}')",
	"chpg_request('POST', '/v1/x')")
{
	fails_with($node, "SET ROLE reader; SELECT * FROM $call", '42501', qr/permission denied for function/, "$call by a role without EXECUTE");
	fails_with($node, "BEGIN READ ONLY; SELECT * FROM $call", '25006', qr/read-only transaction/, "$call in a read-only transaction");
}
is(request_count($url), 0, 'no request for all of these');

done_testing();
