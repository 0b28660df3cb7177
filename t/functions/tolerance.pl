# What the API may do although its documentation does not say so, in both positions of
# the emulator's switches.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $NEW_YORK = "SET timezone = 'America/New_York'";
my $PATTERN = "'$ORDERS', -4748036479882663975, 'sales', 'orders_service', 'SELECT'";

my $url = start_emulator();
my $node = start_node('main', "shared_preload_libraries = 'chpg'", "chpg.server = 'chpg'", 'chpg.cache_ttl = 0', 'chpg.max_retries = 0');
$node->safe_psql('postgres', connect_sql($url));

# The emulator anew, with this switch on or off
sub switch
{
	my ($switch, $on) = @_;
	reset_emulator($url, now => '2026-06-01T12:00:00.000Z', $switch => $on);
	return $on ? "with $switch" : "without $switch";
}

sub value { my ($sql) = @_; return sql($sql) }

# Times without a zone are in UTC, whatever the session's zone.
my (%times, %warnings);
for my $on (0, 1)
{
	my $name = switch('times_without_zone', $on);
	$times{$on} = value("$NEW_YORK; SELECT min(created_at), max(created_at) FROM chpg_services");
	$times{$on} .= value("$NEW_YORK; SELECT min(executed_at) FROM chpg_slow_pattern_executions($PATTERN)");
	like(value("SELECT result->0->>'createdAt' FROM chpg_request('GET', '/v1/organizations/{organization_id}/postgres')"),
		$on ? qr/T[\d:.]+\z/ : qr/T[\d:.]+Z\z/, "$name: the response");
}
is($times{1}, $times{0}, 'times without a zone are those with one');
for my $time ('2026-05-29T10:00:00', '2026-05-29 10:00:00.000', '2026-05-29T10:00:00.000Z', '2026-05-29T06:00:00-04:00')
{
	only_fault($url, body => qq({"result":[{"id":"x","createdAt":"$time"}]}));
	is(value("$NEW_YORK; SELECT created_at = '2026-05-29 10:00:00Z' FROM chpg_services"), 't', "$time is read");
}

# An empty text for a number or a time is NULL, a list that is null is empty.
for my $on (0, 1)
{
	my $name = switch('odd_values', $on);
	my $services = 'SELECT count(*), count(created_at), count(storage_size) FROM chpg_services';
	my $patterns = "SELECT count(*) - count(query_id) FROM chpg_slow_patterns('2026-06-01 10:00Z', '2026-06-01 11:00Z', '$ORDERS')";
	my $executions = "SELECT count(*) > 0 FROM chpg_slow_pattern_executions($PATTERN)";
	my $points = "SELECT count(*) > 100 FROM chpg_metrics('2026-06-01 10:00Z', '2026-06-01 11:00Z', '$ORDERS')";
	my @warnings = map { my @found = notices($node, $_) =~ /WARNING:  API response has /g; scalar @found } $services, $patterns, $executions, $points;

	is_deeply(\@warnings, [ ($on) x 4 ], "$name: warnings of each statement");
	is(value($services), $on ? '6|5|2' : '6|6|3', "$name: services");
	is(value($patterns), $on, "$name: patterns without query_id");
	is(value($executions), $on ? 'f' : 't', "$name: executions");
	is(value($points), 't', "$name: points");
}
for my $body ('{"result":null}', '{"result":{"recentExecutions":{}}}', '{"result":{}}')
{
	only_fault($url, body => $body);
	fails_with($node, "SELECT * FROM chpg_slow_pattern_executions($PATTERN)", '08P01', qr/malformed API response/, "$body is an error");
}

# A change that is answered without a body has succeeded.
for my $on (0, 1)
{
	my $name = switch('empty_acknowledgements', $on);
	my $state;

	value("SELECT * FROM chpg_update_service('$ORDERS', ha_type => 'async')");
	value("SELECT * FROM chpg_service('$ORDERS')") for 1 .. 3;
	costs($node, $url, "SELECT * FROM chpg_switchover_service('$ORDERS')", 2, "$name: a command");
	is(journal($url)->{requests}[-1]{status}, $on ? 204 : 200, "$name: the response");
	costs($node, $url, "SELECT chpg_set_password('$ORDERS', 'Given0Password')", 1, "$name: a password");
	costs($node, $url, "SELECT chpg_delete_service('$ORDERS', confirm_name => 'orders')", 2, "$name: a deletion");
	is(journal($url)->{requests}[-1]{method}, 'DELETE', "$name: the deletion was sent");
}
for my $sql ("SELECT chpg_set_password('$ORDERS')", "SELECT * FROM chpg_create_service('new', 'aws', 'us-east-1', 'r8gd.large')")
{
	switch('empty_acknowledgements', 0);
	fault($url, method => $_, status => 200, body => '') for qw(POST PATCH);
	fails_with($node, $sql, '08007', qr/./, "an answer without a body that has to have one: $sql");
}
only_fault($url, method => 'GET', status => 200, body => '');
fails_with($node, 'SELECT * FROM chpg_services', '08P01', qr/malformed API response/, 'a read without a body');

# An empty section of a configuration may be refused, as the API's schema has it.
for my $section ('accepted', 'refused')
{
	my $name = "an empty section that is $section";
	my @orders = ("'$ORDERS', '{\"work_mem\": \"8MB\"}'", "'$ORDERS', pgbouncer_config => '{\"default_pool_size\": 20}'");
	my $settings = "SELECT string_agg(name || '=' || value, ' ' ORDER BY name) FROM ";

	reset_emulator($url, empty_section => $section);
	value(qq{SELECT FROM chpg_replace_config('$ORDERS', '{"max_connections": 100}', '{"default_pool_size": 16}')});
	is(costs($node, $url, "$settings chpg_patch_config($orders[0])", $section eq 'accepted' ? 1 : 3, $name), 'default_pool_size=16 max_connections=100 work_mem=8MB', "$name: the other settings stay");
	is_deeply([ map { "$_->{method} $_->{status}" } @{ journal($url)->{requests} } ], [ 'PATCH 400', 'GET 200', 'PATCH 200' ], "$name: the requests")
	  if $section eq 'refused';
	is_deeply(journal($url)->{requests}[-1]{json}{pgBouncerConfig}, $section eq 'accepted' ? {} : { default_pool_size => '16' }, "$name: the section is sent back unchanged");
	is(costs($node, $url, "$settings chpg_patch_config($orders[1])", $section eq 'accepted' ? 1 : 3, "$name, that of PostgreSQL"), 'default_pool_size=20 max_connections=100 work_mem=8MB', "$name: its settings stay, too");
	costs($node, $url, qq{SELECT FROM chpg_patch_config($orders[0], '{"default_pool_size": 16}')}, 1, "$name: both sections given");
	clear_journal($url);
	fails_with($node, qq{SELECT FROM chpg_patch_config('$ORDERS', '{"max_connections": "many"}')}, '22023', qr/must be an integer/, "$name: an invalid value of the given section");
	is(request_count($url), $section eq 'accepted' ? 1 : 3, "$name: requests of an invalid value");
}
reset_emulator($url, empty_section => 'refused');
clear_journal($url);
fails_with($node, qq{SELECT FROM chpg_patch_config('$ORDERS', '{"work_mem": "8MB"}')}, '22023',
	qr/it has no settings to send back for the empty "pgbouncer_config"\nDETAIL:  .*pgBouncerConfig is an object with settings.*\nHINT:  Specify a setting in "pgbouncer_config", too\./, 'a section without settings');
is(request_count($url), 2, 'is not sent back');
fault($url, method => 'GET', path => 'config$', patch => { 'result.pgBouncerConfig' => undef });
fails_with($node, qq{SELECT FROM chpg_patch_config('$ORDERS', '{"work_mem": "8MB"}')}, '22023', qr/it has no settings to send back/, 'nor one that the response omits');
only_fault($url, method => 'GET', path => 'config$', status => 403);
fails_with($node, qq{SELECT FROM chpg_patch_config('$ORDERS', '{"work_mem": "8MB"}')}, '42501', qr/could not read the configuration.*^request PATCH \S+\/config, which failed with HTTP status 400$/ms, 'a section that the key may not read');
only_fault($url, method => 'PATCH', path => 'config$', status => 400, body => '{"error":"BAD_REQUEST: pgBouncerConfigurations"}');
clear_journal($url);
fails_with($node, qq{SELECT FROM chpg_patch_config('$ORDERS', '{"work_mem": "8MB"}', '{"default_pool_size": 16}')}, '22023', qr/pgBouncerConfigurations/, 'a refusal of sections that are both given');
is(request_count($url), 1, 'is final');

# Certificates may begin with a comment.
for my $on (0, 1)
{
	my $name = switch('commented_certificates', $on);
	my $certificates = value("SELECT chpg_ca_certificates('$ORDERS')");

	like($certificates, $on ? qr/\A\s*# The CAs/ : qr/\A-----BEGIN CERTIFICATE-----/, "$name: the beginning");
	is(() = $certificates =~ /^-----END CERTIFICATE-----$/mg, 2, "$name: both certificates");
}
only_fault($url, path => 'caCertificates$', body => "# no certificate\n-----END CERTIFICATE-----\n");
fails_with($node, "SELECT chpg_ca_certificates('$ORDERS')", '08P01', qr/does not begin with/, 'a comment alone is no certificate');

# A service that was just created may be missing from the list, and return 404.
my $CREATE = "SELECT id FROM chpg_create_service('reports', 'aws', 'us-east-1', 'r8gd.large')";
my $WAIT = "SELECT name, state FROM chpg_wait('reports', 'running', poll_interval => '10 ms')";

add_server($node, 'other_key', api_url => $url);
value("ALTER USER MAPPING FOR CURRENT_USER SERVER other_key OPTIONS (SET key_id 'secondKeyId')");
for my $on (0, 1)
{
	my $name = $on ? 'with a lag' : 'without a lag';

	for my $session ('same', 'another')
	{
		reset_emulator($url, list_lag_polls => 1000 * $on, read_lag_polls => 2 * $on);
		my $id;
		if ($session eq 'same')
		{
			is(value("$CREATE \\gset\n$WAIT"), 'reports|running', "$name: a wait in the same session");
		}
		else
		{
			$id = value($CREATE);
			is(value($WAIT), 'reports|running', "$name: a wait in another session");
			is(value("SELECT id FROM chpg_service('reports')"), $id, "$name: found by name");
			is(value("SELECT count(*) FROM chpg_services WHERE name = 'reports'"), 1 - $on, "$name: in the list");
			my ($status) = $node->psql('postgres', "SELECT id FROM chpg_service('reports', server => 'other_key')");
			is($status, 3 * $on, "$name: by another key");
		}
	}
}
reset_emulator($url, list_lag_polls => 1000, read_lag_polls => 1000);
fails_with($node, "SELECT * FROM chpg_wait('absent', 'running')", '42704', qr/does not exist/, 'a name that nobody has created');
fails_with($node, "SELECT * FROM chpg_wait('pg0000000000000000000000ab', 'running', poll_interval => '10 ms')", '42704', qr/did not find/,
	'an id that nobody has created');
my $id = value($CREATE);
fails_with($node, "SELECT * FROM chpg_service('reports')", '42704',
	qr/the API does not show the new service yet: call chpg_wait\(\)\n.*\nHINT:  Wait for it: SELECT \* FROM chpg_wait\('$id', server => 'chpg'\);/, 'a new service that is read');
fails_with($node, "SELECT * FROM chpg_wait('reports', 'running', timeout => '1 s', poll_interval => '100 ms')", '57014',
	qr/DETAIL:  The state is not shown by the API yet\./, 'a service that stays hidden for the whole wait');

# A name stands for what was created under it only until the list shows that under another.
reset_emulator($url);
$id = value($CREATE);
value("SELECT * FROM chpg_wait('reports', 'running', poll_interval => '10 ms')");
value("SELECT * FROM chpg_update_service('reports', name => 'renamed')");
value("SELECT * FROM chpg_wait('$id', expected => '{\"name\": \"renamed\"}', poll_interval => '10 ms')");
fails_with($node, "SELECT * FROM chpg_update_service('reports', size => 'r8gd.large')", '42704', qr/service "reports" does not exist/,
	'the former name of a service that was renamed');
reset_emulator($url);
fault($url, method => 'POST', status => 200, body => '{"result":{"id":"../x\\u001b[2J","name":"odd","state":"creating"}}');
value("SELECT id FROM chpg_create_service('odd', 'aws', 'us-east-1', 'r8gd.large')");
clear_faults($url);
fails_with($node, "SELECT * FROM chpg_service('odd')", '42704', qr/service "odd" does not exist/, 'an id that cannot be part of a path');

done_testing();
