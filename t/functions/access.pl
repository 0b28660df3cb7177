# Which addresses may connect: changes of the IP access list, and its loss by other
# changes, in each way in which the API may behave.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use Test::More;

my $LIST = [ { source => '192.0.2.0/24', description => 'office' }, { source => '198.51.100.7/32' } ];
my $TAGS = [ { key => 'team', value => 'data' } ];

my $url = start_emulator();
my $node = start_node('main');

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
is(costs($node, $url, $READ, 1, 'the list'), '192.0.2.0/24 office, 198.51.100.7/32', 'the list is read');
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
value("SELECT FROM chpg_revoke_ip('$ORDERS', '192.0.2.1', 'b')");
is(value($READ), '192.0.2.1 a', 'one of them by its description');
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
fails_with($node, "SELECT FROM chpg_allow_ip('$ORDERS', '203.0.113.9')", '22023', qr/ipAccessList value is not an array/, 'an API that takes an array');
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

done_testing();
