# Webhooks: how they are created, where they may lead, and that nobody sees their secrets.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Receiver;
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = start_receiver();
my $node = start_node('main', "log_statement = 'none'", 'log_error_verbosity = verbose');
my $ALLOWED = "chpg.webhook_addresses = '127.0.0.0/8'";

sql('CREATE EXTENSION chpg');

# The SQLSTATE of a statement that fails, or ''
sub state_of { my ($statement) = @_; my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement"); return $error =~ /(?:ERROR|FATAL|PANIC): +([0-9A-Z]{5}):/ ? $1 : $error }

sub create { my ($name, $arguments) = @_; return "SELECT chpg_create_webhook('$name', $arguments)" }

# Its forms
my $SECRET = 'hookSecret4711';
my $URL = "$receiver->{url}/hook/urlSecret0815";
sql(create('ops', "'json', '$URL', '$SECRET', ca_file => '$receiver->{ca_file}'"));
is(sql("SET $ALLOWED; SELECT chpg_test_webhook('ops')"), '200', 'a test is posted');
my ($request) = $receiver->requests;
my $body = decode_json($request->{body});
is("$request->{method} $request->{path} $request->{headers}{'content-type'}", 'POST /hook/urlSecret0815 application/json', 'to the URL, as JSON');
is("$body->{transition} $body->{idempotency_key}", "test $request->{headers}{'idempotency-key'}", 'with an idempotency key in header and body');
is($request->{headers}{'x-chpg-signature'}, 'sha256=' . hmac_sha256_hex($request->{body}, $SECRET), 'signed with the secret');
unlike(join(' ', %{ $request->{headers} }), qr/authorization/i, 'without any key');

sql(create('slack', "'slack', '$URL', ca_file => '$receiver->{ca_file}'") . ';' . create('pager', "'pagerduty', '$URL', 'routingKey1', ca_file => '$receiver->{ca_file}'"));
$receiver->forget;
sql("SET $ALLOWED; SELECT chpg_test_webhook('slack'), chpg_test_webhook('pager')");
my ($slack, $pager) = map { $_->{body} } $receiver->requests;
is_deeply(decode_json($slack), { text => 'WARN test: fleet: Test of webhook slack' }, 'the form of Slack');
is(join(' ', @{ decode_json($pager) }{qw(routing_key event_action)}), 'routingKey1 resolve', 'the form of PagerDuty');
ok(!grep({ exists $_->{headers}{'x-chpg-signature'} } ($receiver->requests)), 'which are not signed');

# A rotated secret; what is not given any more is removed
sql(create('ops', "'json', '$URL', 'another', level => 'ERROR', kind => 'risk', service => 'orders', tags => '{\"team\": \"sales\"}', quiet_hours => '22:00-07:00 Europe/Berlin', ca_file => '$receiver->{ca_file}'"));
is(sql(q{SELECT format, level, kind, service, tags->>'team', quiet_hours FROM _chpg_webhooks() WHERE webhook = 'ops'}),
	'json|ERROR|risk|orders|sales|22:00-07:00 Europe/Berlin', 'a webhook is replaced');
is(sql('SELECT webhook, owner = current_user, format, level, kind, service, tags, quiet_hours, gets_alerts, waiting_alerts FROM chpg_webhooks'),
	qq{ops|t|json|ERROR|risk|orders|{"team": "sales"}|22:00-07:00 Europe/Berlin||\npager|t|pagerduty|WARN||||||\nslack|t|slack|WARN||||||}, 'and listed, without a history, too');
unlike(sql('SELECT * FROM chpg_webhooks'), qr/127\.0\.0\.1|localhost|$SECRET|urlSecret0815|another|routingKey1/, 'without URLs and secrets');
$receiver->forget;
sql("SET $ALLOWED; SELECT chpg_test_webhook('ops')");
($request) = $receiver->requests;
is($request->{headers}{'x-chpg-signature'}, 'sha256=' . hmac_sha256_hex($request->{body}, 'another'), 'with its secret');
sql(create('ops', "'json', '$URL', ca_file => '$receiver->{ca_file}'"));
is(sql(q{SELECT format, level, kind, service, tags, quiet_hours FROM _chpg_webhooks() WHERE webhook = 'ops'}), 'json|WARN||||', 'and so are its filters');

# Quiet hours
is(sql(qq{SELECT string_agg(_chpg_is_quiet(q, ('2026-05-11 ' || t || 'Z')::timestamptz)::text, ' ' ORDER BY n) FROM (VALUES (1, '22:00-07:00 Europe/Berlin', '19:59'), (2, '22:00-07:00 Europe/Berlin', '20:00'), (3, '22:00-07:00 Europe/Berlin', '04:59'), (4, '22:00-07:00 Europe/Berlin', '05:00'), (5, '01:00-02:30 UTC', '02:29'), (6, '01:00-02:30 UTC', '02:30'), (7, NULL, '02:30')) v(n, q, t)}),
	'false true true false true false false', 'quiet hours begin and end in their time zone');

# Words may be written in any case; options of servers are as they are read.
sql(create('words', "'Slack', 'https://x.example/', level => 'error', kind => 'Risk'"));
is(sql(q{SELECT format, level, kind FROM chpg_webhooks WHERE webhook = 'words'}), 'slack|ERROR|risk', 'format, level and kind are understood in any case');
is(state_of("ALTER SERVER words OPTIONS (SET $_)"), 'HV024', "but not as an option: $_") for q{format 'Slack'}, q{level 'error'};
sql(q{SELECT chpg_drop_webhook('words')});

# Invalid values
for my $case (
	[ "'xml', 'https://x.example'", 'HV024', 'format' ],
	[ "NULL, 'https://x.example'", '22004', 'format' ],
	[ "'json', NULL", '22004', 'url' ],
	(map { [ "'json', '$_'", 'HV024', 'url' ] } 'http://x.example', 'https://', 'https:///x', 'https://u:p@x.example', 'https://x.example/#f', 'HTTPS://x.example', 'https://x.example\\@y', 'https://x.example/a b', "https://x.example/\tb", 'https://%31/', 'file:///etc/passwd', 'https://x.example/' . 'a' x 1024),
	[ "'slack', 'https://x.example', 'secret'", '22023', 'secret' ],
	[ "'pagerduty', NULL", '22023', 'secret' ],
	[ "'json', 'https://x.example', E'a\\nb'", 'HV024', 'secret' ],
	[ "'json', 'https://x.example', level => 'INFO'", 'HV024', 'level' ],
	[ "'json', 'https://x.example', kind => 'hygiene'", 'HV024', 'kind' ],
	[ "'json', 'https://x.example', service => E'a\\x01'", 'HV024', 'service' ],
	[ "'json', 'https://x.example', tags => '[]'", 'HV024', 'tags' ],
	[ "'json', 'https://x.example', tags => '{\"a\": 1}'", 'HV024', 'tags' ],
	(map { [ "'json', 'https://x.example', quiet_hours => '$_'", 'HV024', 'quiet_hours' ] } '22-7', '22:00-07:00', '22:00-07:00 Mars/Olympus', '24:00-07:00 UTC', '22:00-22:00 UTC', '22:60-07:00 UTC'),
	[ "'json', 'https://x.example', ca_file => 'ca.crt'", 'HV024', 'ca_file' ])
{
	my ($arguments, $state, $named) = @$case;
	my $error = fails_with($node, create('bad', $arguments), $state, qr/"$named"/, "an invalid value: $arguments");
	unlike($error, qr/x\.example/, 'which is not shown');
}
fails_with($node, create('bad', "'jsn', 'https://x.example'"), 'HV024', qr/invalid value for option "format" of a webhook: give json, slack or pagerduty$/m, 'the message says what to give');
fails_with($node, create('', "'json', 'https://x.example'"), '22023', qr/invalid value for "name"/, 'an empty name');
fails_with($node, create('x' x 64, "'json', 'https://x.example'"), '22023', qr/invalid value for "name"/, 'a long name');
sql('CREATE SERVER api FOREIGN DATA WRAPPER chpg');
fails_with($node, create('api', "'json', 'https://x.example'"), '42710', qr/server "api" is not a webhook/, 'a name in use');
fails_with($node, 'CREATE SERVER x FOREIGN DATA WRAPPER chpg_webhook OPTIONS (url $$https://x.example$$)', 'HV00D', qr/invalid option "url"/, 'a URL that everybody would see');
fails_with($node, 'SELECT chpg_drop_webhook($$api$$)', '42704', qr/webhook "api" does not exist/, 'a server that is no webhook is not dropped');
fails_with($node, 'SELECT chpg_test_webhook($$none$$)', '42704', qr/webhook "none" does not exist/, 'a test of none');

# Which addresses are of the public internet: those at the edges of networks that are not
my $ROOT = "$FindBin::RealBin/../..";
my $program = PostgreSQL::Test::Utils::tempdir() . '/addresses';
run_log([ split(' ', $ENV{CC} // 'cc'), '-std=gnu99', '-Wall', '-Wextra', '-Werror', "-I$ROOT/src", '-o', $program, "$ROOT/t/alerts/addresses.c", "$ROOT/src/net/addresses.c" ]) or die 'could not compile';
my %addresses = (
	public => [ qw(1.0.0.0 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0
		192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.255 223.255.255.255 2000:: 2001:200:: 2606:4700::1111 2003:: 3ffe:ffff:: 3fff:1000:: 64:ff9b::1.1.1.1) ],
	refused => [ qw(0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1
		192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255
		:: ::1 ::127.0.0.1 ::1.1.1.1 ::ffff:1.1.1.1 ::ffff:127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 1fff:: 2001::1 2001:1ff:ffff:: 2001:db8:: 2002:0101:0101:: 3fff:: 3fff:fff:: 4000:: fc00:: fd00:ec2::254 fe80::1 fec0::1 ff02::1) ]);
for my $kind (sort keys %addresses)
{
	my ($out) = run_command([ $program, @{ $addresses{$kind} } ]);
	is($out, join("\n", map { "$_ $kind" } @{ $addresses{$kind} }), "addresses that are $kind");
}

# A URL has a host, and a port that can be one
is(state_of(create('bad', "'json', '$_'")), 'HV024', "no URL: $_")
  for 'https://[::1]:99999/', 'https://127.0.0.1:9443:1/', 'https://:9443/', 'https://x.example:/', 'https://x.example:0/', 'https://[::1/', 'https://[]/', 'https://a]b/', 'https://x.example:65536';
is(state_of(create('good', "'json', '$_'")), '', "a URL: $_") for 'https://x.example', 'https://x.example:65535/y', 'https://[2606:4700::1111]:9443/?a=b', 'https://x-y_z.example/';

# Arguments that chpg's own SQL does not give
is(state_of("CALL _chpg_post_webhook_alone($_)"), '22004', "a null: $_") for 'NULL, NULL, NULL, NULL', q{'ops', NULL, 'k', NULL}, q{'ops', '{}', NULL, NULL};
is(state_of("SELECT chpg_webhook_validator(ARRAY['$$_[0]'], '$$_[1]'::regclass)"), '42601', "an option without a value: $$_[0]")
  for [ 'url', 'pg_user_mapping' ], [ 'tags', 'pg_foreign_server' ];

# Slack: what a name, a title or an action has in it makes neither a line nor a link
is(decode_json(sql(q{SELECT _chpg_alert_body('slack', jsonb_build_object('level', 'WARN', 'transition', 'new', 'service_name', E'x\nERROR resolved: \u202e\u0007<!here>', 'title', 'T',
	'symptom', 'see https://evil.example', 'action', E'do\nthis'))}))->{text} =~ s/[^\x20-\x7e\n]/?/gr, "WARN new: x ERROR resolved: ??&lt;!here&gt;: T - see https: //evil.example\ndo this", 'a field is a line without controls and links');

# Where it may lead
my $port = $receiver->{port};
$receiver->forget;
for my $host ('127.0.0.1', 'localhost', '127.1', '0x7f000001', '2130706433', '0.0.0.0', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]',
	'10.1.2.3', '172.31.0.1', '192.168.0.1', '100.64.0.1', '100.100.100.200', '169.254.169.254', '168.63.129.16', '192.0.2.1', '198.18.0.1', '224.0.0.1', '255.255.255.255',
	'[fe80::1]', '[fd00:ec2::254]', '[ff02::1]', '[2001:db8::1]', '[fec0::1]')
{
	sql(create('inner', "'json', 'https://$host:$port/', ca_file => '$receiver->{ca_file}'"));
	my $error = fails_with($node, q{SELECT chpg_test_webhook('inner')}, '08000', qr/address of the host is not allowed|no connection|the name of the host is unknown/, "no request to $host");
	like($error, qr/not allowed/, "as it is refused: $host") if $host !~ /^(0x7f000001|2130706433|127\.1)$/;
}
is(scalar($receiver->requests), 0, 'nothing was sent');
sql(create('inner', "'json', 'https://localhost:$port/', ca_file => '$receiver->{ca_file}'"));
is(sql(qq{SET $ALLOWED; SELECT chpg_test_webhook('inner')}), '200', 'a superuser allows a network');
fails_with($node, q{SET chpg.webhook_addresses = '10.0.0.0/8, fd00::/8'; SELECT chpg_test_webhook('inner')}, '08000', qr/not allowed/, 'no other one');
fails_with($node, qq{SELECT count(*) FROM chpg_budget(); SET chpg.webhook_addresses = '$_'}, '22023', qr/invalid value for parameter "chpg.webhook_addresses"/, "not a list of networks: $_")
  for '127.0.0.1/33', 'localhost', '::1/129', '127.0.0.0/', '1,' x 65;

# A name that cannot be one: nobody is asked for it
sql(create('typo', "'json', 'https://" . 'x' x 64 . ".example/'"));
fails_with($node, q{SELECT chpg_test_webhook('typo')}, '08000', qr/could not post to webhook "typo": the name of the host is unknown$/m, 'an unknown host is told from one that does not answer');
fails_with($node, q{SELECT chpg_test_webhook('tipo')}, '42704', qr/webhook "tipo" does not exist: did you mean "typo"\?/, 'so is an unknown webhook');
fails_with($node, q{SELECT chpg_drop_webhook('tipo')}, '42704', qr/webhook "tipo" does not exist: did you mean "typo"\?/, 'also one to drop');
fails_with($node, q{SET default_transaction_read_only = on; SELECT chpg_drop_webhook('typo')}, '25006', qr/read-only transaction/, 'nothing is dropped in a read-only transaction');
fails_with($node, 'SELECT chpg_drop_webhook(NULL)', '22004', qr/ERROR: .*argument "name" must not be null/, 'nor without a name');
fails_with($node, 'SELECT chpg_test_webhook(NULL)', '22004', qr/ERROR: .*argument "webhook" must not be null/, 'or tested');
cmp_ok(length(fails_with($node, q{SELECT chpg_drop_webhook(E'a\n\x1b' || repeat('x', 1000000))}, '42704', qr/webhook "a [^x\x1b]+x+~" does not exist/, 'a hostile name')), '<', 1000, 'is shown in part');
unlike(notices($node, q{SELECT chpg_drop_webhook('typo')}), qr/NOTICE/, 'a webhook is dropped without a notice of its mappings');

# Neither redirects nor the environment, nor another certificate
$receiver->answer_with(302);
fails_with($node, qq{SET $ALLOWED; SELECT chpg_test_webhook('inner')}, '58000', qr/HTTP status 302/, 'a redirect is not followed');
$receiver->answer_with(500);
fails_with($node, qq{SET $ALLOWED; SELECT chpg_test_webhook('inner')}, '58000', qr/HTTP status 500/, 'a receiver that fails');
sql(create('inner', "'json', 'https://localhost:$port/'"));
fails_with($node, qq{SET $ALLOWED; SELECT chpg_test_webhook('inner')}, '08000', qr/certificate of the host is not valid: see ca_file of chpg_create_webhook/, 'a certificate that nobody trusts');

# Roles
sql(q{CREATE ROLE mallory LOGIN; CREATE ROLE deputy LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER chpg_webhook TO deputy});
my $denied = fails_as('mallory', create('mine', "'json', 'https://x.example/urlSecret0815', '$SECRET'"), '42501', qr/permission denied for foreign-data wrapper chpg_webhook/, 'a role without USAGE');
my $owner = sql('SELECT current_user');
fails_as('mallory', create('ops', "'json', 'https://x.example/urlSecret0815', '$SECRET'"), '42501', qr/webhook "ops" belongs to role "$owner": choose another name/, 'nor does it change one');
fails_as('mallory', q{SELECT chpg_drop_webhook('ops')}, '42501', qr/must be owner/, 'or drop it');
fails_as('mallory', q{SELECT chpg_test_webhook('ops')}, '08000', qr/has no URL/, 'or use it');
fails_as('deputy', create('mine', "'json', 'https://x.example', ca_file => '/etc/ssl/x.pem'"), '42501', qr/permission denied to set option "ca_file"/, 'a file needs the right to read files');
as_role('deputy', create('mine', "'json', '$URL', '$SECRET'"));
fails_with($node, create('mine', "'json', 'https://x.example/urlSecret0815', '$SECRET', level => 'ERROR'"), '42501', qr/webhook "mine" belongs to role "deputy": choose another name\n(?s:.*)Run: SET ROLE deputy;/, 'nor does a superuser, by mistake');
is(sql(q{SELECT level, (SELECT string_agg(usename, ' ') FROM pg_user_mappings WHERE srvname = 'mine') FROM chpg_webhooks WHERE webhook = 'mine'}), 'WARN|deputy', 'and it stays as it is');
fails_as('deputy', q{SELECT chpg_test_webhook('mine')}, '08000', qr/not allowed/, 'a role with USAGE reaches no internal address');
fails_as('deputy', q{SELECT count(*) FROM chpg_budget(); SET chpg.webhook_addresses = '127.0.0.0/8'}, '42501', qr/permission denied to set parameter/, 'nor does it decide which are allowed');
# before the library is loaded, any setting is accepted, and then forgotten
like(notices($node, qq{SET chpg.webhook_addresses = '127.0.0.0/8'; SELECT chpg_test_webhook('mine')}, extra_params => [ '-U', 'deputy' ]), qr/permission denied to set parameter|not allowed/, 'also before chpg is loaded');
fails_as('mallory', q{CREATE USER MAPPING FOR CURRENT_USER SERVER ops OPTIONS (url 'https://x.example')}, '42501', qr/permission denied|must be owner/, 'a role maps no webhook of another');
as_role('deputy', q{CREATE USER MAPPING FOR mallory SERVER mine OPTIONS (url 'https://x.example')});
fails_as('mallory', q{SELECT chpg_test_webhook('mine')}, '08000', qr/its owner is not trusted/, 'nor is sent what another one has mapped for it');

# Secrets
is(as_role('mallory', q{SELECT string_agg(umoptions::text, ' ') FROM pg_user_mappings WHERE srvname = 'ops'}), '', 'another role does not see URL and secret');
is(as_role('mallory', q{SELECT string_agg(webhook, ' ') FROM chpg_webhooks}), as_role('mallory', q{SELECT string_agg(srvname, ' ' ORDER BY srvname) FROM pg_foreign_server WHERE srvname <> 'api'}), 'of webhooks, it sees what the catalogs show everybody');
unlike(as_role('mallory', q{SELECT string_agg(srvoptions::text, ' ') FROM pg_foreign_server}), qr/urlSecret0815|hookSecret4711/, 'nor does a server have them');
unlike(notices($node, create('ops', "'json', '$URL', '$SECRET'")), qr/NOTICE/, 'a plain SELECT exposes nothing');
like(notices($node, "DO \$\$ BEGIN PERFORM chpg_create_webhook('ops', 'json', '$URL', '$SECRET'); END \$\$"), qr/call chpg_create_webhook\(\) as a plain SELECT/, 'another statement may');
sql('CREATE TABLE heard (text text)');
sql(q{CREATE FUNCTION hear() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO heard VALUES (current_query()); END $$; CREATE EVENT TRIGGER hear ON ddl_command_end EXECUTE FUNCTION hear()});
{
	local $ENV{PGOPTIONS} = '-c log_min_messages=debug5 -c log_min_error_statement=debug2';
	sql("SET $ALLOWED");
	sql(create('ops', "'json', '$URL', '$SECRET', ca_file => '$receiver->{ca_file}'"));
	sql(qq{SET $ALLOWED; SELECT chpg_test_webhook('ops')});
	fails_with($node, create('ops', "'json', '$URL', '$SECRET', level => 'x'"), 'HV024', qr/level/, 'a call that fails');
}
fails_as('mallory', create('ops', "'json', '$URL', '$SECRET'"), '42501', qr/belongs to role/, 'a call that is denied');
my $session = open_session($node);
in_session($session, create('ops', "'json', '$URL', '$SECRET', ca_file => '$receiver->{ca_file}'"));
is(sql(q{SELECT query FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%webhook%'}), 'SELECT chpg_create_webhook(...)', 'pg_stat_activity after a call');
$session->quit;
like(slurp_file($node->logfile), qr/webhook "ops" belongs to role/, 'the log has errors');
keeps_secrets(slurp_file($node->logfile) =~ s/^.*(?:DO |CREATE USER MAPPING).*\n(?:^\t.*\n)*//mgr, 'the log', 'urlSecret0815', $SECRET);
keeps_secrets(sql('SELECT text FROM heard'), 'event triggers', 'urlSecret0815', $SECRET);

# A dump has what it has of keys: the mapping, if a superuser dumps
my ($dump) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
like($dump, qr/CREATE USER MAPPING FOR \S+ SERVER ops OPTIONS \(\n\s+secret '$SECRET',\n\s+url '\Q$URL\E'/, 'the dump of a superuser has them, as it has keys') or diag($dump =~ /(CREATE USER MAPPING[^;]*)/g);
sql('DROP EVENT TRIGGER hear; DROP TABLE heard');
sql(q{ALTER DATABASE postgres OWNER TO deputy; GRANT SELECT ON ALL TABLES IN SCHEMA public TO deputy});
my ($small) = run_command([ 'pg_dump', '-U', 'deputy', '-d', $node->connstr('postgres') ]);
like($small, qr/CREATE SERVER ops/, 'another role dumps');
unlike($small, qr/SERVER ops OPTIONS[^;]*$SECRET/, 'and has not those of others');

# Interrupts
sql(create('ops', "'json', '$URL', ca_file => '$receiver->{ca_file}'"));
$receiver->answer_with('hang', 'hang');
fails_with($node, qq{SET $ALLOWED; SET statement_timeout = '300ms'; SELECT chpg_test_webhook('ops')}, '57014', qr/statement timeout/, 'a timeout ends a request');
fails_with($node, qq{SET $ALLOWED; SET chpg.request_timeout = '2s'; SELECT chpg_test_webhook('ops')}, '08000', qr/no response in time/, 'so does a receiver that does not answer');

sql(q{SELECT chpg_drop_webhook('ops')});
is(sql(q{SELECT count(*) FROM pg_user_mappings WHERE srvname = 'ops'}), '0', 'a webhook is dropped with its URL');
is(sql('DROP EXTENSION chpg CASCADE; SELECT count(*) FROM pg_foreign_server'), '0', 'and with the extension');

done_testing();
