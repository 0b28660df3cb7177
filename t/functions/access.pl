# Which addresses may connect: changes of the IP access list, and its loss by other
# changes; and private endpoints. Each in every way in which the API may behave.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $LIST = [ { source => '192.0.2.0/24', description => 'office' }, { source => '198.51.100.7/32' } ];
my $TAGS = [ { key => 'team', value => 'data' } ];

my $url = start_emulator();
# The emulator is reset while updates are queued: a wait must not look for their effect.
my $node = start_node('main', 'chpg.command_lag = 0');

$node->safe_psql('postgres', connect_sql($url) . 'CREATE ROLE reader LOGIN; GRANT USAGE ON FOREIGN SERVER chpg TO reader');

# Begin with this list, and the emulator's options for it.
sub begin
{
	my (%options) = @_;
	my $list = delete $options{list} // $LIST;

	reset_emulator($url, overrides => { orders => { ipAccessList => $list, tags => $TAGS } }, apply_polls => 0, %options);
	return;
}

sub last_body
{
	my ($change) = grep { $_->{method} ne 'GET' } reverse @{ journal($url)->{requests} };
	return $change->{json};
}

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

my $READ = "SELECT string_agg(source || coalesce(' ' || description, ''), ', ') FROM chpg_ip_access_list('$ORDERS')";

# The list is read if the API shows it; an empty one is no missing one.
begin();
is(costs($node, $url, $READ, 2, 'the list, and the name of the service'), '192.0.2.0/24 office, 198.51.100.7/32', 'the list is read');
is(value("SELECT DISTINCT service_id, raw->>'source' FROM chpg_ip_access_list('orders') ORDER BY 2 LIMIT 1"), "$ORDERS|192.0.2.0/24", 'with the id and the whole entry');
begin(list => []);
is(value("SELECT count(*) FROM chpg_ip_access_list('$ORDERS')"), 0, 'an empty list');
begin(ip_access_list => 'hidden');
fails_with($node, $READ, '55000', qr/API response omits the IP access list of service/, 'a list that is not shown');
begin();
fault($url, path => "$ORDERS\$", patch => { 'result.ipAccessList' => 'none' });
fails_with($node, $READ, '08P01', qr/malformed API response: "ipAccessList" is not a list/, 'a list that is none');
clear_faults($url);

# Additions go with the tags; the response shows the list, so that it is not read again.
for my $shown ([ 'shown', 2, '203.0.113.9' ], [ 'get', 3, '203.0.113.9' ], [ 'hidden', 2 ])
{
	my ($option, $requests, $found) = @$shown;

	begin(ip_access_list => $option);
	costs($node, $url, "SELECT FROM chpg_allow_ip('$ORDERS', '203.0.113.9', 'ci')", $requests, "list $option: an addition");
	is_deeply(last_body(), { ipAccessList => { add => [ { source => '203.0.113.9', description => 'ci' } ] }, tags => $TAGS },
		"list $option: sends the entry and the tags");
	like(value($READ), qr/office, 198.51.100.7\/32, $found ci$/, "list $option: is added") if $found;
}

# While the list has 0.0.0.0/0, nothing is restricted.
begin(list => [ { source => '0.0.0.0/0', description => 'Anywhere' } ], ip_access_list_remove => 'exact');
unlike(fails_with($node, "SELECT FROM chpg_allow_ip('$ORDERS', 'office')", '22023', qr/is no IPv4 address/, 'a rejected addition'), qr/NOTICE/, 'has no notice');
like(notices($node, "SELECT FROM chpg_allow_ip('$ORDERS', '203.0.113.9')"),
	qr/NOTICE:  service "$ORDERS" still admits every address: .*\nHINT:  .*: (SELECT FROM chpg_revoke_ip\('$ORDERS', '0\.0\.0\.0\/0', server => 'chpg'\);)$/m,
	'adding to a list with 0.0.0.0/0: a notice');
is(notices($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '0.0.0.0/0', server => 'chpg')"), '', 'its statement removes that');
is(value($READ), '203.0.113.9', 'though the API compares the description');
is(notices($node, "SELECT FROM chpg_allow_ip('$ORDERS', '203.0.113.10')"), '', 'no notice after that');

# The last known entry stays, unless the caller says otherwise.
begin(list => [ { source => '192.0.2.1/32' } ]);
clear_journal($url);
fails_with($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1')", '55000',
	qr/"192\.0\.2\.1" is the last known entry .*: specify "allow_empty"/, 'the last entry');
is(scalar(grep { $_->{method} ne 'GET' } @{ journal($url)->{requests} }), 0, 'sends no change');
is(notices($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1', allow_empty => true)"), '', 'allow_empty');
is_deeply(last_body()->{ipAccessList}, { remove => [ { source => '192.0.2.1/32' } ] }, 'removes the entry as it is shown');
begin(list => [ { source => '192.0.2.1', description => 'a' }, { source => '192.0.2.1', description => 'b' } ], ip_access_list_remove => 'exact');
fails_with($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1')", '55000', qr/last known entry/, 'two entries of one address');
fails_with($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1', 'b')", '55000',
	qr/"192\.0\.2\.1" is the last known address of .*: specify "allow_empty"\nDETAIL:  The API may compare addresses alone, /, 'one of them, while no other address is there');
value("SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1', 'b', allow_empty => true)");
is(value($READ), '192.0.2.1 a', 'one of them by its description');
begin(list => [ { source => '192.0.2.1', description => 'a' }, { source => '192.0.2.1/32', description => 'b' }, { source => '192.0.2.2' } ]);
my $said = notices($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1', 'b')");
like($said, qr/WARNING:  change of service "$ORDERS" removed 1 entry of its IP access list\nDETAIL:  Missing since: 192\.0\.2\.1\.$/m, 'an API that compares the source alone: a warning names what else it removed');
is(value($READ), '192.0.2.2', 'the other description is gone, too');
my ($restored) = $said =~ /^HINT:  Restore them: (.*)$/m;
is(value("$restored $READ"), '192.0.2.2, 192.0.2.1 a', 'its statement restores that');
begin(list => [ { source => '192.0.2.1/32', description => 'a' } ]);
clear_journal($url);
fails_with($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1', 'b')", '42704',
	qr/IP access list of service "$ORDERS" has "192\.0\.2\.1" with another "description" only/, 'another description');
is(scalar(grep { $_->{method} ne 'GET' } @{ journal($url)->{requests} }), 0, 'sends no change, which might remove the last entry');
begin(ip_access_list => 'hidden');
is(notices($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.0/24', 'office')"), '', 'a list that is not shown');
is_deeply(last_body()->{ipAccessList}, { remove => [ { source => '192.0.2.0/24', description => 'office' } ] }, 'sends what the caller says');
begin();
like(notices($node, "SELECT FROM chpg_revoke_ip('$ORDERS', '203.0.113.9')"), qr/NOTICE:  "203\.0\.113\.9" is not on the IP access list/, 'an entry that is not there');

# The form that is not known: an object or an array is sent as it is.
begin(ip_access_list_form => 'array');
for my $change ('allow', 'revoke')
{
	my $err = fails_with($node, "SELECT FROM chpg_${change}_ip('$ORDERS', '192.0.2.0/24')", '22023', qr/: this API takes the whole IP access list \(an array\), not changes of it\nDETAIL:  .*ipAccessList value is not an array/, "$change: an API that takes an array");
	my ($remedy) = $err =~ /^HINT:  Send all entries [^\n]*: (SELECT FROM chpg_update_service\([^\n]*;)$/m;
	is(value("$remedy $READ"), '192.0.2.0/24 office', "$change: the statement of its hint replaces the list");
	begin(ip_access_list_form => 'array');
}
costs($node, $url, qq{SELECT FROM chpg_update_service('$ORDERS', ip_access_list => '[{"source": "203.0.113.9"}]')}, 2, 'the array');
is_deeply(last_body(), { ipAccessList => [ { source => '203.0.113.9' } ], tags => $TAGS }, 'is sent as it is');
is(value($READ), '203.0.113.9', 'and replaces the list, without a warning');
begin();
value(qq{SELECT FROM chpg_update_service('$ORDERS', ip_access_list => '{"add": [{"source": "203.0.113.9"}], "remove": [{"source": "192.0.2.0/24"}]}')});
is(value($READ), '198.51.100.7/32, 203.0.113.9', 'an object');

# Other changes send no list, and keep it where the API does; a loss has a WARNING, whose
# statements restore it.
for my $change ("chpg_update_service('$ORDERS', size => 'r8gd.xlarge')", qq{chpg_set_tags('$ORDERS', '{"a": "b"}')}, "chpg_remove_tags('$ORDERS', '{team}')")
{
	for my $shown ([ 'shown', 2 ], [ 'get', 3 ], [ 'hidden', 2 ])
	{
		my ($option, $requests) = @$shown;

		begin(ip_access_list => $option);
		costs($node, $url, "SELECT FROM $change", $requests, "$change, list $option");
		ok(!exists last_body()->{ipAccessList}, "$change, list $option: sends no list");
		begin(ip_access_list => $option);
		is(notices($node, "SELECT FROM $change"), '', "$change, list $option and kept: no message");
		begin(ip_access_list => $option, ip_access_list_patch => 'cleared');
		my $said = notices($node, "SELECT FROM $change");
		if ($option eq 'hidden')
		{
			is($said, '', "$change, list hidden and cleared: nobody can know");
			next;
		}
		like($said, qr/WARNING:  change of service "$ORDERS" removed 2 entries of its IP access list\nDETAIL:  Missing since: 192\.0\.2\.0\/24, 198\.51\.100\.7\/32\.$/m,
			"$change, list $option and cleared: a warning");
		my ($statements) = $said =~ /^HINT:  Restore them: (.*)$/m;
		value($statements =~ s/; /;\n/gr);
		is(value($READ), '192.0.2.0/24 office, 198.51.100.7/32', "$change, list $option: its statements restore the list");
	}
}

# All tags are given: the list is not seen, and nothing is read.
begin(ip_access_list_patch => 'cleared');
costs($node, $url, qq{SELECT FROM chpg_update_service('$ORDERS', tags => '{"a": "b"}')}, 1, 'all tags');

# A check that fails, or is canceled, does not hide that the change was carried out.
begin(ip_access_list => 'get');
fault($url, path => "$ORDERS\$", method => 'GET', skip => 1, status => 400);
like(notices($node, qq{SELECT FROM chpg_set_tags('$ORDERS', '{"a": "b"}')}),
	qr/WARNING:  could not check whether service "$ORDERS" kept its IP access list\nHINT:  Compare: SELECT \* FROM chpg_ip_access_list/m, 'a check that fails: a warning');
begin(ip_access_list => 'get');
fault($url, path => "$ORDERS\$", method => 'GET', skip => 1, hang => JSON::PP::true);
like(fails_with($node, qq{SET statement_timeout = '300ms'; SELECT FROM chpg_set_tags('$ORDERS', '{"a": "b"}')}, '57014', qr/statement timeout/, 'a check that is canceled'),
	qr{CONTEXT:  request PATCH \S+/$ORDERS, which was carried out}, 'the message has the outcome');

# The list is remote text.
begin(list => [ { source => "192.0.2.1", description => "it's\n\x1b[31m '; DROP TABLE x; -- $KEY_SECRET" } ], ip_access_list_patch => 'cleared');
my $hostile = notices($node, qq{SELECT FROM chpg_set_tags('$ORDERS', '{"a": "b"}')});
like($hostile, qr/'192\.0\.2\.1', 'it''s  \[31m ''; DROP TABLE x; -- \*\*\*', server => 'chpg'\);$/m, 'a description is quoted, clean and without secrets');

# A long list is compared in time that grows with its length.
begin(list => [ map { { source => join '.', 10, $_ >> 16, $_ >> 8 & 255, $_ & 255 } } 1 .. 30_000 ]);
is(notices($node, qq{SET statement_timeout = '15s'; SELECT FROM chpg_set_tags('$ORDERS', '{"a": "b"}')}), '', 'a list of 30,000 entries');

# Dry runs, invalid arguments, roles, read-only transactions
begin();
my $shown = notices($node, "SET chpg.dry_run = on; SELECT FROM chpg_allow_ip('$ORDERS', '203.0.113.9')");
like($shown, qr/NOTICE:  would send PATCH \S+ \{"tags":\[.*\],"ipAccessList":\{"add":\[\{"source":"203\.0\.113\.9"\}\]\}\}/, 'a dry run shows the change');
is(scalar(grep { $_->{method} ne 'GET' } @{ journal($url)->{requests} }), 0, 'and sends only reads');
for my $case (
	[ "chpg_allow_ip('$ORDERS', NULL)", '22004' ], [ "chpg_allow_ip('$ORDERS', '')", '22023' ],
	[ "chpg_allow_ip(NULL, '1.2.3.4')", '22004' ],
	[ "chpg_revoke_ip('$ORDERS', repeat('1', 257))", '22023' ], [ "chpg_allow_ip('$ORDERS', '1.2.3.4', '')", '22023' ],
	[ "chpg_update_service('$ORDERS', ip_access_list => '5')", '22023' ])
{
	my ($call, $state) = @$case;

	rejects($node, $url, "SELECT * FROM $call", $state, qr/ERROR/, $call);
}
for my $call ("chpg_allow_ip('x', '1.2.3.4')", "chpg_revoke_ip('x', '1.2.3.4')")
{
	rejects($node, $url, "SET ROLE reader; SELECT * FROM $call", '42501', qr/permission denied for function/, "$call by a role without EXECUTE");
	rejects($node, $url, "BEGIN READ ONLY; SELECT * FROM $call", '25006', qr/read-only transaction/, "$call in a read-only transaction");
}

# A change makes what was cached outdated.
begin();
is(value("SELECT count(*) FROM chpg_ip_access_list('$ORDERS'); SELECT FROM chpg_allow_ip('$ORDERS', '203.0.113.9'); SELECT count(*) FROM chpg_ip_access_list('$ORDERS')"),
	"2\n3", 'a read after a change shows it');

# Private endpoints.  Their states follow the emulator's clock: at once, or never within
# this test.
my ($A, $B, $C) = map { "vpce-0123456789abcdef$_" } 0 .. 2;
my $ENDPOINT = "chpg_private_endpoint('$ORDERS')";
my $ALLOWED = "SELECT jsonb_path_query_array(allowed_vpc_endpoints, '\$[*].**{0 to 1} ? (\@.type() == \"string\" && \@ starts with \"vpce-\")') FROM $ENDPOINT";
my $AVAILABLE = q{expected => '{"private_endpoint": {"state": "available"}}', poll_interval => '1 ms'};
my $GONE = q{expected => '{"private_endpoint": {"state": "deleted"}}', poll_interval => '1 ms', timeout => '15 s'};

sub begin_endpoint
{
	my (%options) = @_;
	my $allowed = delete $options{allowed} // [];

	reset_emulator($url, private_endpoint_seconds => 0, %options);
	value("SELECT FROM chpg_create_private_endpoint('$ORDERS')");
	value("SELECT FROM chpg_request('PATCH', '/v1/organizations/{organization_id}/postgres/$ORDERS/privateEndpoint', body => "
		  . "jsonb_build_object('allowedVpcEndpoints', \$json\$" . encode_json($allowed) . '$json$::jsonb))') if @$allowed;
	return;
}

# The most memory that a new session takes for a statement that fails, in kB
sub peak_memory
{
	my ($sql) = @_;
	my $session = open_session($node);
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	in_session($session, "DO \$\$ BEGIN PERFORM FROM ($sql) s; EXCEPTION WHEN OTHERS THEN END \$\$");
	my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	$session->quit;
	return $peak;
}

sub object { my ($id, $description) = @_; return { vpcEndpointId => $id, description => $description } }

# Creation, and what is shown before and after
reset_emulator($url, private_endpoint_seconds => 3600);
like(fails_with($node, "SELECT chpg_delete_private_endpoint('$ORDERS')", '42704', qr/could not delete the private endpoint of service "$ORDERS": the API found no private endpoint\n/, 'nothing to delete'),
	qr/^HINT:  It may be deleted already, /m, 'nothing to delete: the hint does not create one');
like(fails_with($node, "SELECT * FROM $ENDPOINT", '42704', qr/could not read the private endpoint of service "$ORDERS": the API found no private endpoint\n/, 'no private endpoint'),
	qr/^DETAIL:  The API says: "NOT_FOUND: private endpoint not found".*\nHINT:  Create one: SELECT \* FROM chpg_create_private_endpoint/m, 'no private endpoint: the API\'s words, and the next step');
is(costs($node, $url, "SELECT service_id, state, endpoint_service_name, supported_regions, allowed_vpc_endpoints FROM chpg_create_private_endpoint('orders', '{eu-west-1,eu-central-1}')", 2, 'a creation by name'),
	"$ORDERS|creating||[\"eu-central-1\", \"eu-west-1\"]|[]", 'it is creating');
is_deeply(last_body(), { supportedRegions => [ 'eu-west-1', 'eu-central-1' ] }, 'a creation sends the regions');
is(costs($node, $url, "SELECT state, endpoint_service_id FROM $ENDPOINT", 1, 'a read'), 'creating|', 'and has no name yet');
like(fails_with($node, "SELECT FROM chpg_create_private_endpoint('$ORDERS')", '55006', qr/the API reports a conflict/, 'a second creation'),
	qr/^HINT:  The service may have one: SELECT \* FROM chpg_private_endpoint\(\.\.\.\)\.$/m, 'a second creation: hint');
like(fails_with($node, "SELECT FROM chpg_wait('$ORDERS', $AVAILABLE, timeout => '2 s')", '57014', qr/did not become running with .* within "timeout"/, 'a wait that times out'),
	qr/NOTICE:  00000: private endpoint of service "$ORDERS" is creating after \d+ s\n.*^DETAIL:  The state is running, with \{"private_endpoint": \{"state": "creating"\}\}\. Matching polls in a row: 0 of 3\.$/ms, 'it says what it found');

for my $fields (qw(backend sister))
{
	begin_endpoint(private_endpoint_fields => $fields);
	is_deeply(last_body(), {}, 'a creation without regions sends an empty object');
	like(value("SELECT endpoint_service_name, endpoint_service_id, private_hostname, state, service_id, raw ? 'ports' FROM $ENDPOINT"),
		qr/\Acom\.amazonaws\.vpce\.us-west-2\.(vpce-svc-[0-9a-f]+)\|\1\|[\w-]+-private\.\S+\|available\|$ORDERS\|t\z/, "the names of fields are those of the $fields");
}

# A wait ends once the endpoint is there, or gone; each poll reads the service and the endpoint.
for my $lag (0, 2)
{
	reset_emulator($url, private_endpoint_seconds => 1, private_endpoint_lag_polls => $lag);
	value("SELECT FROM chpg_create_private_endpoint('$ORDERS')");
	clear_journal($url);
	my $said = notices($node, "SELECT FROM chpg_wait('$ORDERS', $AVAILABLE)");
	like($said, qr/NOTICE:  private endpoint of service "$ORDERS" is creating .*NOTICE:  private endpoint of service "$ORDERS" is available/s, "a creation, $lag reads late");
	is(scalar($said =~ /is not shown by the API yet/), $lag ? 1 : '', "a 404 of a new endpoint is a state, $lag reads late");
	my @polls = map { $_->{path} =~ /privateEndpoint$/ ? 'e' : 's' } @{ journal($url)->{requests} };
	like(join('', @polls), qr/\A(?:se){4,}\z/, 'two requests for each poll');
}
for my $deletion (qw(deleting gone))
{
	begin_endpoint(private_endpoint_seconds => 1, private_endpoint_deletion => $deletion);
	value("SELECT FROM chpg_wait('$ORDERS', $AVAILABLE)");
	value("SELECT chpg_delete_private_endpoint('$ORDERS')");
	is(value("SELECT state FROM chpg_wait('$ORDERS', $GONE)"), 'running', "$deletion: a wait for the end returns the service");
	fails_with($node, "SELECT FROM $ENDPOINT", '42704', qr/found no private endpoint/, "$deletion: the endpoint is gone");
	fails_with($node, "SELECT FROM chpg_wait('$ORDERS', $AVAILABLE)", '42704', qr/found no private endpoint/, "$deletion: another wait ends at once");
}
begin_endpoint();
$node->safe_psql('postgres', "CALL chpg_wait_until('$ORDERS', $AVAILABLE)");
is(value(qq{SELECT id FROM chpg_wait('$ORDERS', expected => '{"ha_type": "sync", "private_endpoint": {"allowed_vpc_endpoints": []}}', poll_interval => '1 ms')}),
	$ORDERS, 'attributes of both');
fault($url, path => 'privateEndpoint$', method => 'GET', times => 3, status => 503);
is(value("SELECT state FROM chpg_wait('$ORDERS', $AVAILABLE)"), 'running', 'a failure that passes');
only_fault($url, path => 'privateEndpoint$', method => 'GET', status => 503);
fails_with($node, "SELECT FROM chpg_wait('$ORDERS', $AVAILABLE, timeout => '20 s')", '58000', qr/could not read the private endpoint of service "$ORDERS": the API failed/, 'a failure that lasts ends the wait');
clear_faults($url);
for my $case ([ '"available"', qr/HINT:  Specify an object such as/ ], [ '{}', qr/HINT:  Specify an object such as/ ], [ '{"size": 1}', qr/a private endpoint has no attribute "size"/ ])
{
	my ($json, $message) = @$case;
	rejects($node, $url, qq{SELECT FROM chpg_wait('$ORDERS', expected => '{"private_endpoint": $json}')}, '22023', $message, "expected $json");
}

# Endpoints that are allowed: others stay as they are shown, new ones are spelled like them.
for my $form (qw(vpcEndpointId id text))
{
	my @entries = $form eq 'text' ? ($A, $B) : map { { $form => $_, description => 'vpce-0' } } $A, $B;

	begin_endpoint(vpc_endpoint_form => $form, allowed => \@entries);
	value("SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '[\"$C\", \"$A\"]')");
	is_deeply(last_body(), { allowedVpcEndpoints => [ $entries[1], $form eq 'text' ? $C : { $form => $C }, $entries[0] ] },
		"spelled $form: entries are repeated as they are shown, descriptions that look like ids, too");
	value("SELECT FROM chpg_set_vpc_endpoints('$ORDERS', '[\"$B\"]')");
	is_deeply(last_body(), { allowedVpcEndpoints => [ $entries[1] ] }, "spelled $form: a replacement keeps the entry that it names");
}
begin_endpoint();
is(costs($node, $url, "SELECT allowed_vpc_endpoints FROM chpg_allow_vpc_endpoints('$ORDERS', '[\"$A\"]')", 2, 'the first one'),
	qq([{"description": "", "vpcEndpointId": "$A"}]), 'is spelled vpcEndpointId');
value(qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '[{"id": "$A", "description": "analytics"}, {"id": "$B"}]')});
is_deeply(last_body(), { allowedVpcEndpoints => [ { id => $A, description => 'analytics' }, { id => $B } ] }, 'an object is sent as it is, in place of the entry with its id');
value(qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$C", "$C"]')});
is_deeply(last_body(), { allowedVpcEndpoints => [ object($A, 'analytics'), object($B, ''), { vpcEndpointId => $C } ] }, 'each endpoint once');

# While the API shows the old list, further changes build on the one sent; on another client's change they do not.
for my $late (0, 2)
{
	begin_endpoint(vpc_endpoint_polls => $late, allowed => [ object($A, '') ]);
	value("SELECT FROM $ENDPOINT; SELECT chpg_cache_reset(); SELECT FROM $ENDPOINT");
	my $said = notices($node, join ';', map { qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$_"]')} } $B, $C);
	is(scalar(() = $said =~ /NOTICE:  API does not show the VPC endpoints sent \d s ago yet/g), $late ? 1 : 0, "two additions, shown $late reads late: notices");
	is_deeply([ map { $_->{vpcEndpointId} } @{ last_body()->{allowedVpcEndpoints} } ], [ $A, $B, $C ], "shown $late reads late: neither is lost");
}
begin_endpoint(vpc_endpoint_polls => 1, allowed => [ object($A, '') ]);
value("SELECT FROM $ENDPOINT");
like(fails_with($node, qq{SELECT FROM chpg_set_vpc_endpoints('$ORDERS', '[{"id": "$B"}]'); SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$C"]')}, '55006',
	qr/VPC endpoints of service "$ORDERS" differ from those sent 0 s ago/, 'an addition after a replacement that is not shown'), qr/HINT:  Wait with chpg_wait/, 'says what to do');
begin_endpoint(private_endpoint_deletion => 'gone');
is(notices($node, join ';', qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$A"]')}, "SELECT chpg_delete_private_endpoint('$ORDERS')",
		"SELECT FROM chpg_create_private_endpoint('$ORDERS')", qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$B"]')}), '', 'what was sent to an earlier endpoint does not count');
is_deeply(last_body(), { allowedVpcEndpoints => [ { vpcEndpointId => $B } ] }, 'nor has it access to the new one');
begin_endpoint(private_endpoint_deletion => 'gone');
my $session = open_session($node);
in_session($session, qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$A"]'); SELECT chpg_delete_private_endpoint('$ORDERS')});
value("SELECT FROM chpg_create_private_endpoint('$ORDERS')");
in_session($session, qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$B"]')});
is_deeply(last_body(), { allowedVpcEndpoints => [ { vpcEndpointId => $B } ] }, 'nor if another session has created that');
$session->quit;
begin_endpoint();

# A replacement: of endpoints, of regions, of all
value(qq{SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '["$A", "$B"]')});
costs($node, $url, qq{SELECT FROM chpg_set_vpc_endpoints('$ORDERS', '[{"id": "$B"}]')}, 1, 'a replacement by objects');
is(value($ALLOWED), qq(["$B"]), 'others lose access');
costs($node, $url, "SELECT FROM chpg_set_vpc_endpoints('$ORDERS', supported_regions => '{eu-central-1}')", 1, 'a change of the regions');
is_deeply(last_body(), { supportedRegions => ['eu-central-1'] }, 'sends no endpoints');
is(value("SELECT supported_regions FROM chpg_set_vpc_endpoints('$ORDERS', '[]')"), '["eu-central-1"]', 'the regions stay');
is_deeply(last_body(), { allowedVpcEndpoints => [] }, 'no endpoint');
is(value("SELECT supported_regions FROM chpg_set_vpc_endpoints('$ORDERS', supported_regions => '{}')"), '[]', 'no region');

# A list that the API does not show would be lost by a change that repeats it.
fault($url, path => 'privateEndpoint$', method => 'GET', patch => { 'result.allowedVpcEndpoints' => { '$delete' => 1 } });
clear_journal($url);
fails_with($node, "SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '[\"$A\"]')", '55000', qr/API response omits the VPC endpoints of service/, 'a list that is not shown');
only_fault($url, path => 'privateEndpoint$', method => 'GET', patch => { 'result.allowedVpcEndpoints' => 'none' });
fails_with($node, "SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '[\"$A\"]')", '08P01', qr/"allowedVpcEndpoints" is not a list/, 'a list that is none');
is(scalar(grep { $_->{method} ne 'GET' } @{ journal($url)->{requests} }), 0, 'neither sends a change');
only_fault($url, path => 'privateEndpoint$', method => 'GET', patch => { 'result.state' => { now => 'new' }, 'result.serviceName' => ['a'], 'result.supportedRegions' => 7 });
is(value("SELECT state, endpoint_service_name, supported_regions FROM $ENDPOINT"), '{"now":"new"}|["a"]|7', 'values of another kind are shown');
clear_faults($url);

# Responses to changes: with the object, with none, without a body
for my $empty (0, 1)
{
	begin_endpoint(private_endpoint_response => 'acknowledged', empty_acknowledgements => $empty, allowed => [ object($A, '') ]);
	is(value("SELECT service_id, state, raw FROM chpg_set_vpc_endpoints('$ORDERS', supported_regions => '{eu-central-1}')"), "$ORDERS||", "a change that is acknowledged, $empty");
	is(value($ALLOWED), qq(["$A"]), "is carried out, $empty");
}
for my $deleted ([ acknowledged => qr/\A[0-9a-f-]{36}\z/ ], [ object => qr/\A[0-9a-f-]{36}\z/ ], [ empty => qr/\A\z/ ])
{
	begin_endpoint(private_endpoint_deleted => $deleted->[0], private_endpoint_deletion => 'gone');
	like(costs($node, $url, "SELECT chpg_delete_private_endpoint('$ORDERS')", 1, "a deletion, $deleted->[0]"), $deleted->[1], "a deletion, $deleted->[0]: the request id");
	fails_with($node, "SELECT chpg_delete_private_endpoint('$ORDERS')", '42704', qr/could not delete the private endpoint of service .* found no private endpoint/, "a second deletion, $deleted->[0]");
}

# A change during the creation
for my $case ([ accepts => undef ], [ refuses => qr/could not change the private endpoint .* a conflict.*HINT:  It may be in creation: SELECT \* FROM chpg_wait/s ])
{
	my ($creating, $error) = @$case;
	my $change = "SELECT FROM chpg_set_vpc_endpoints('$ORDERS', '[{\"id\": \"$A\"}]')";

	begin_endpoint(private_endpoint_seconds => 3600, private_endpoint_creating => $creating);
	$error ? fails_with($node, $change, '55006', $error, 'a change that the creation refuses') : is(notices($node, $change), '', 'a change during the creation');
}

# Where the feature is not: what the API says, and no missing permission alone. A deletion ends the time in
# which a 404 may be that of a new endpoint.
begin_endpoint();
value("SELECT chpg_delete_private_endpoint('$ORDERS')");
my $OR_FEATURE = qr/the key does not have the permission, or the organization not the feature\n.*HINT:  The role of key "$KEY_ID" needs the permission control-plane:postgres-service:\w+\. If it has that, ask the support/s;
my %REFUSED = (
	early_access => [ '42501', qr/the feature may not be enabled for the organization\n.*early access API endpoint/s ],
	not_set_up => [ '42501', qr/the feature may not be enabled for the organization\n.*has not been setup for this service/s ],
	forbidden => [ '42501', $OR_FEATURE ],
	missing => [ '42704', qr/(?:found no private endpoint|did not find the service or the feature)\n.*private link services are not enabled/s ],
	refused => [ '22023', qr/the API rejected the request\n.*supported on AWS only/s ]);
for my $option (sort keys %REFUSED)
{
	reset_emulator($url, private_endpoint => $option);
	fails_with($node, "SELECT * FROM $_", @{ $REFUSED{$option} }, "$option: $_")
	  for $ENDPOINT, "chpg_create_private_endpoint('$ORDERS')", "chpg_set_vpc_endpoints('$ORDERS', '[]')", "chpg_delete_private_endpoint('$ORDERS')", "chpg_wait('$ORDERS', $AVAILABLE)";
	next if !grep { $_ eq $option } qw(forbidden missing refused);
	reset_emulator($url, private_endpoint_gcp => $option);
	fails_with($node, "SELECT FROM chpg_create_private_endpoint('sessions')", @{ $REFUSED{$option} }, "$option for a service that is not on AWS");
}
reset_emulator($url);
fails_with($node, "SELECT FROM chpg_create_private_endpoint('$ORDERS', '{mars-north-1}')", '22023', qr/unknown AWS region: mars-north-1/, 'an unknown region');
fails_with($node, "SELECT FROM chpg_create_private_endpoint('$ORDERS', '{us-west-2}')", '22023', qr/the service's own region/, 'its own region');
fails_with($node, "SELECT FROM chpg_private_endpoint('pg00000000000000000000000a')", '42704', qr/found no private endpoint\n.*HINT:  .*the service may not exist/s, 'no service');
begin_endpoint();
fails_with($node, "SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '[\"vpce-x\"]')", '22023', qr/invalid: vpce-x/, 'no id of an endpoint');
fails_with($node, "SELECT FROM chpg_set_vpc_endpoints('$ORDERS', (SELECT jsonb_agg('vpce-' || to_hex(i)) FROM generate_series(1, 51) i))", '22023', qr/at most 50 endpoints/, '51 endpoints');

# A list that is much longer than any should be costs no more memory than its text.
fault($url, path => 'privateEndpoint$', method => 'GET', patch => { 'result.allowedVpcEndpoints' => [ map { { id => sprintf 'vpce-%x', $_ } } 1 .. 20_000 ] });
my $ids = "(SELECT jsonb_agg('vpce-f00' || to_hex(i)) FROM generate_series(1, %d) i)";
my @peaks = map { peak_memory("SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', " . sprintf($ids, $_) . ')') } 1, 100;
cmp_ok($peaks[1] - $peaks[0], '<', 20_000, "adding many entries to many: memory (@peaks kB)");
clear_faults($url);

# What the API shows is remote text, and its keys are sent back.
begin_endpoint(allowed => [ object($A, "it's\n\x1b[31m $KEY_SECRET") ]);
value("SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '[\"$B\"]')");
is(last_body()->{allowedVpcEndpoints}[0]{description}, "it's\n\x1b[31m $KEY_SECRET", 'a description is repeated exactly');
fault($url, path => 'privateEndpoint$', method => 'GET', patch => { 'result.allowedVpcEndpoints' => [ { "i\"d\n" => $A } ] });
fails_with($node, "SELECT FROM chpg_allow_vpc_endpoints('$ORDERS', '[\"$B\"]')", '22023', qr/request body property can't be validated: i"d ?\n?/, 'a key with a quote');
is_deeply(last_body()->{allowedVpcEndpoints}, [ { "i\"d\n" => $A }, { "i\"d\n" => $B } ], 'is escaped');
only_fault($url, path => 'privateEndpoint$', status => 400, body => encode_json({ status => 400, error => "bad \x1b $KEY_SECRET" }));
fails_with($node, "SELECT FROM $ENDPOINT", '22023', qr/The API says: "bad   \*\*\*"/, 'an error of the API');
clear_faults($url);

# Lost responses, and dry runs
only_fault($url, path => 'privateEndpoint$', method => $_->[1], close => JSON::PP::true) && fails_with($node, "SELECT FROM $_->[0]", '08007', qr/may have been carried out/, "$_->[0] without a response")
  for [ "chpg_create_private_endpoint('$ORDERS')", 'POST' ], [ "chpg_set_vpc_endpoints('$ORDERS', '[]')", 'PATCH' ], [ "chpg_allow_vpc_endpoints('$ORDERS', '[\"$B\"]')", 'PATCH' ], [ "chpg_delete_private_endpoint('$ORDERS')", 'DELETE' ];
clear_faults($url);
for my $case (
	[ "chpg_create_private_endpoint('$ORDERS', '{eu-west-1}')", 0, 'POST', qr/ \{"supportedRegions":\["eu-west-1"\]\}/ ],
	[ "chpg_allow_vpc_endpoints('$ORDERS', '[\"$C\"]')", 1, 'PATCH', qr/ \{"allowedVpcEndpoints":\[\{.*it's\\n\\u001b\[31m \*\*\*".*,\{"vpcEndpointId":"$C"\}\]\}/ ],
	[ "chpg_set_vpc_endpoints('$ORDERS', '[]')", 0, 'PATCH', qr/ \{"allowedVpcEndpoints":\[\]\}/ ],
	[ "chpg_delete_private_endpoint('$ORDERS')", 0, 'DELETE', qr// ])
{
	my ($call, $requests, $method, $body) = @$case;

	clear_journal($url);
	like(notices($node, "SET chpg.dry_run = on; SELECT FROM $call"), qr/NOTICE:  would send $method \S+\/privateEndpoint$body\z/, "$call: a dry run shows the change");
	is(request_count($url), $requests, "$call: and sends only reads");
}

# Invalid arguments, roles, read-only transactions
for my $case (
	[ "chpg_create_private_endpoint(NULL)", '22004' ], [ "chpg_create_private_endpoint('$ORDERS', '{NULL}')", '22023' ],
	[ "chpg_create_private_endpoint('$ORDERS', '{\"\"}')", '22023' ], [ "chpg_create_private_endpoint('$ORDERS', '{{a},{b}}')", '22023' ],
	[ "chpg_create_private_endpoint('$ORDERS', ARRAY[repeat('x', 257)])", '22023' ],
	[ "chpg_allow_vpc_endpoints('$ORDERS', NULL)", '22004' ],
	(map { [ "chpg_allow_vpc_endpoints('$ORDERS', '$_')", '22023' ] } '[]', '{}', '5', '"vpce-1"', '[5]', '[""]', '[null]', '[["vpce-1"]]', '[{"n": 99999999999999999999999}]'),
	[ "chpg_set_vpc_endpoints('$ORDERS')", '22023' ], [ "chpg_set_vpc_endpoints('$ORDERS', '{}')", '22023' ],
	[ "chpg_delete_private_endpoint('')", '22023' ], [ "chpg_private_endpoint(NULL)", '22004' ])
{
	my ($call, $state) = @$case;

	rejects($node, $url, "SELECT * FROM $call", $state, qr/ERROR/, $call);
}
for my $call ("chpg_create_private_endpoint('x')", "chpg_allow_vpc_endpoints('x', '[\"vpce-1\"]')", "chpg_set_vpc_endpoints('x', '[]')", "chpg_delete_private_endpoint('x')")
{
	rejects($node, $url, "SET ROLE reader; SELECT * FROM $call", '42501', qr/permission denied for function/, "$call by a role without EXECUTE");
	rejects($node, $url, "BEGIN READ ONLY; SELECT * FROM $call", '25006', qr/read-only transaction/, "$call in a read-only transaction");
}

done_testing();
