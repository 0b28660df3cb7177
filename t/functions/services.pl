# Services and slow query patterns, and the requests that reading them costs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main');

$node->safe_psql('postgres', connect_sql($url));
$node->safe_psql('postgres',
	"CREATE SERVER by_hand FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', rate_limit 'unlimited');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER by_hand OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET');"
	  . "ALTER DATABASE postgres SET chpg.server = 'chpg'");

is(costs($node, $url, 'SELECT count(*) FROM chpg_services', 1, 'the list of services'),
	6, 'all services are there');
costs($node, $url, q{SELECT FROM chpg_services('by_hand'); SELECT FROM chpg_services('by_hand')},
	3, 'a server without organization_id, twice in a session');
costs($node, $url, q{SELECT FROM chpg_service('orders')}, 2, 'a service by name');
costs($node, $url, q{SELECT FROM chpg_service('pg7myrd1j06p3gx4zrm2ze8qz6')}, 1, 'a service by id');

costs($node, $url,
	"SELECT e.* FROM chpg_slow_patterns(now() - interval '1 hour', now(), service => 'orders', max_rows => 5) p,"
	  . " LATERAL chpg_slow_pattern_executions(p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation) e",
	7, 'the executions of the five patterns with most time');

# What the key is
my $WHOAMI = 'SELECT actor_type, key_id, name, organization_id IS NOT NULL, user_id IS NOT NULL, email, organizations, raw - ARRAY';
is(costs($node, $url, "$WHOAMI\['organizationId'] FROM chpg_whoami('by_hand')", 1, 'the identity of the key, of a server without organization_id'),
	qq(apiKey|$KEY_ID|chpg|t|f|||{"name": "chpg", "keyId": "$KEY_ID", "actorType": "apiKey"}), 'a key');
is($node->safe_psql('postgres', 'SELECT organization_id = (SELECT id FROM chpg_organizations()) FROM chpg_whoami()'), 't', "the key's organization");
reset_emulator($url, whoami => 'user');
is($node->safe_psql('postgres', "$WHOAMI\['userId', 'organizations'] - 'organizations' FROM (SELECT actor_type, key_id, name, organization_id, user_id, email, jsonb_path_query_array(organizations, '\$[*].organizationName') AS organizations, raw FROM chpg_whoami()) w"),
	'user||Ada|f|t|ada@example.com|["Acme Analytics"]|{"name": "Ada", "email": "ada@example.com", "actorType": "user"}', 'a user');
reset_emulator($url, whoami => 'service');
is($node->safe_psql('postgres', "SELECT actor_type, name, key_id, raw ? 'serviceAccountId' FROM chpg_whoami()"),
	'service|robot||t', 'another type of actor');
reset_emulator($url, whoami => 'unknown');
like(fails_with($node, 'SELECT * FROM chpg_whoami()', '42704', qr/could not read the identity of the key: the API does not have this operation/, 'a deployment without whoami'),
	qr/HINT:  This deployment of the API has no whoami yet\. .*: SELECT \* FROM chpg_organizations\(\);/, 'what to ask instead');

# Quotas
reset_emulator($url, max_services => 7);
is(costs($node, $url, 'SELECT quota_code, scope, value, usage, adjustable FROM chpg_quotas()', 1, 'quotas'),
	"services-per-organization|organization|20|3|t\npostgres-services-per-organization|organization|7|6|t\n"
	  . "replicas-per-warehouse|warehouse|20||f\napi-keys-per-organization|organization|100|4|t", 'what is in use, where it is counted');

# Notifications, in both styles of an answer: pages, filters, and where reading stops
for my $style ('list', 'items')
{
	reset_emulator($url, notifications => $style, notification_count => 600, now => '2026-06-01T12:00:00.000Z');
	is(costs($node, $url, 'SELECT count(*), count(DISTINCT id), count(message), bool_and(raw ? \'createdAt\'), count(read_at) FROM chpg_notifications()', 3, "$style: 600 notifications"),
		'600|600|600|t|0', "$style: all pages are there, the text is in message or in body");
	is(costs($node, $url, "SELECT count(*), min(created_at) = '2026-05-31 12:00Z' FROM chpg_notifications(since => '2026-05-31 12:00Z')", 1, "$style: the last day"),
		'5|t', "$style: none that are older, and no further page");
	is(costs($node, $url, "SELECT count(*), min(severity), max(type) FROM chpg_notifications('critical', 'service_backup_failed')", 1, "$style: with filters"),
		'200|critical|service_backup_failed', "$style: filtered by the API");
	is(costs($node, $url, 'SELECT count(*) FROM chpg_notifications(max_rows => 251)', 2, "$style: max_rows just over a page"), 251, "$style: no more rows than max_rows");
	clear_journal($url);
	$node->safe_psql('postgres', 'SELECT FROM chpg_notifications(max_rows => 3)');
	is(journal($url)->{requests}[0]{raw_query}, 'limit=3', "$style: a request has documented parameters only");
	my $row = $style eq 'list' ? 'result' : 'result.items';
	fault($url, path => 'notifications$', times => 1, patch => { "$row.0.createdAt" => 'yesterday', "$row.0.title" => ['a'], "$row.0.resourceId" => 7, "$row.0.severity" => { '$delete' => 1 }, "$row.1" => {} });
	is($node->safe_psql('postgres', "SELECT created_at, title, resource_id, severity, raw->>'createdAt' FROM chpg_notifications(max_rows => 2)"),
		qq(|["a"]|7||yesterday\n||||), "$style: fields of other kinds, and no fields");
	clear_faults($url);

	# A time that cannot be is NULL, with one warning.
	fault($url, path => 'notifications$', patch => { map { ("$row.$_->[0].createdAt" => $_->[1]) }
			[ 0, '2026-13-01T00:00:00Z' ], [ 1, '2026-02-29T00:00:00.000Z' ], [ 2, '2026-06-01T24:00:01Z' ], [ 3, '2026-06-01T12:00:00+99:00' ],
			[ 4, '0000-01-01T00:00:00Z' ], [ 5, '2026-06-01T12:00:00 o\'clock' ], [ 6, '2026-06-01T23:59:60.5Z' ], [ 7, '2024-02-29T23:59:59.25+05:30' ], [ 8, '2026-06-01T12:00:00' ] });
	my ($rc, $times, $warnings) = $node->psql('postgres', "SET timezone = 'UTC'; SELECT created_at FROM chpg_notifications(max_rows => 9)");
	is($times, ("\n" x 7) . "2024-02-29 18:29:59.25+00\n2026-06-01 12:00:00+00", "$style: times that cannot be");
	like($warnings, qr/\A\S+ WARNING:  API response has an impossible time for "createdAt": it is read as NULL\nDETAIL:  Further [^\n]*\z/, "$style: one warning");
	clear_faults($url);

	# A row that is out of order hides no later one, and reading ends all the same.
	fault($url, path => 'notifications$', patch => { map { ("$row.$_.createdAt" => '2020-01-01T00:00:00Z') } 0, 3 });
	is(costs($node, $url, "SELECT count(*), count(DISTINCT id) FROM chpg_notifications(since => '2026-05-31 12:00Z')", 1, "$style: rows out of order"), '3|3', "$style: the others");
	is(costs($node, $url, "SELECT count(*) FROM chpg_notifications(since => '2026-05-31 12:00Z', max_rows => 2)", 1, "$style: rows out of order, and max_rows"), 2, "$style: counts those that are returned");
	is(costs($node, $url, "SELECT count(*) FROM chpg_notifications(since => '2026-06-02 12:00Z')", 1, "$style: nothing so new"), 0, "$style: ends with old rows in sequence");
	clear_faults($url);
	fault($url, path => 'notifications$', body => $style eq 'list' ? '{"result": [], "nextCursor": "x"}' : '{"result": {"items": [], "pagination": {"nextCursor": "x"}}}');
	fails_with($node, 'SELECT FROM chpg_notifications()', '08P01', qr/is that of an earlier page/, "$style: a cursor that repeats");
	clear_faults($url);
}
fault($url, path => 'notifications$', body => '{"result": {}}');
fails_with($node, 'SELECT FROM chpg_notifications()', '08P01', qr/"result" is not a list/, 'neither a list nor items');
clear_faults($url);
is(costs($node, $url, 'SELECT name, severity, is_available FROM chpg_notification_types()', 1, 'types of notifications'),
	"postgres_storage_high|warning|t\nservice_backup_failed|critical|t\nbilling_threshold|info|t", 'all types are there');
reset_emulator($url, notifications => 'unknown');
fails_with($node, "SELECT FROM $_()", '42704', qr/the API does not have this operation/, "$_ of an older deployment") for qw(chpg_notifications chpg_notification_types);
reset_emulator($url);

# A fleet, and pages
reset_emulator($url, services => 25, patterns => 3);
is(costs($node, $url, "SELECT count(DISTINCT service_id), count(*) FROM chpg_slow_patterns($DAY, server => 'by_hand')",
		26 + 1, 'a fleet of 25 services on a server without organization_id'),
	'25|75', 'all of the fleet is there');
is(costs($node, $url, "SELECT count(*) FROM chpg_slow_patterns($DAY)", 26, 'a fleet of 25 services'),
	75, 'all of the fleet is there');
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '10/1s')});
like(notices($node, "SELECT count(*) FROM chpg_slow_patterns($DAY)"),
	qr/NOTICE:  waiting about [23] s: 25 requests queued \(limit \d+ per \d+ s\)/,
	'a fleet read that will take long: a notice');
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});

reset_emulator($url, services => 1, patterns => 1200);
is(costs($node, $url, "SELECT count(*), count(DISTINCT (query_id, db_name, db_user, db_operation, app)) FROM chpg_slow_patterns($DAY, service => 'pg7myrd1j06p3gx4zrm2ze8qz6')",
		3, '1,200 patterns'),
	'1200|1200', 'all pages are there');

reset_emulator($url, services => 1, patterns => 1000);
costs($node, $url, "SELECT FROM chpg_slow_patterns($DAY, service => 'pg7myrd1j06p3gx4zrm2ze8qz6')",
	3, 'a full last page needs one more request');
is(costs($node, $url, "SELECT count(*) FROM chpg_slow_patterns($DAY, service => 'pg7myrd1j06p3gx4zrm2ze8qz6', max_rows => 501)",
		2, 'max_rows just over a page'),
	501, 'no more rows than max_rows');

# The version is in the control file; the package's description repeats it.
my ($version) = slurp_file("$FindBin::RealBin/../../chpg.control") =~ /^default_version = '(.*)'$/m;
is_deeply(
	[ slurp_file("$FindBin::RealBin/../../META.json") =~ /"version": "(\d+\.\d+\.\d+)"/g ],
	[ $version, $version, '1.0.0' ], 'META.json has the version of the extension, and of its own form');

# Backups, by cursors: the emulator's are opaque, and of a list of their own.
for my $case ([ '', 7 ], [ ', as it refuses a bad limit', 7, bad_limit => 'refused' ], [ ', as it clamps a limit', 7, bad_limit => 'clamped' ], [ ' on three pages', 230, backups => 230 ])
{
	my ($how, $count, %options) = @$case;
	reset_emulator($url, now => '2026-06-30T12:00:30.000Z', overrides => { map { $_ => { createdAt => '2024-01-01T00:00:00.000Z' } } qw(orders billing analytics sessions inventory search) }, %options);
	my $pages = int(($count + 99) / 100);
	is(costs($node, $url, "SELECT count(*), count(DISTINCT key), min(service_name) FROM chpg_backups('$ORDERS')", $pages, "backups$how"), "$count|$count|orders", "all backups$how");
	is_deeply([ map { join ' ', keys %{ $_->{query} } } @{ journal($url)->{requests} } ], [ '', ('cursor') x ($pages - 1) ], "the first request has no parameters$how");
	is(costs($node, $url, "SELECT count(*) FROM chpg_backups('orders')", 1 + $pages, "backups by name$how"), $count, "by name$how");
}
is(costs($node, $url, 'SELECT count(*), count(DISTINCT service_name), max(last_modified) <= min(now()) FROM chpg_backups()', 1 + 5 * 3 + 1, 'backups of the fleet'),
	5 * 230 . '|5|t', 'the fleet, of which a replica has none');
is($node->safe_psql('postgres', q{SELECT service_name, key ~ '^basebackups_005/.*_backup_stop_sentinel\.json$' FROM chpg_backups('billing') ORDER BY last_modified DESC LIMIT 1}), 'billing|t', 'a backup');
is($node->safe_psql('postgres', q{SELECT count(*) FROM chpg_backups('analytics')}), '0', 'a read replica has none');
reset_emulator($url, replica_backups => 'refused');
fails_with($node, q{SELECT FROM chpg_backups('analytics')}, '22023', qr/could not list the backups of service "analytics".*the API rejected the request/, 'or the API rejects the request');
clear_faults($url);
fault($url, path => 'backups$', body => '{"result": []}');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_backups('$ORDERS')"), '0', 'a response without anything beside the result');
clear_faults($url);
reset_emulator($url, backups => 230, overrides => { orders => { createdAt => '2024-01-01T00:00:00.000Z' } });
fault($url, path => 'backups$', query => '^$', patch => { nextCursor => 'foreign' });
fails_with($node, "SELECT FROM chpg_backups('$ORDERS')", '22023', qr/the API rejected the request.*Invalid cursor/s, 'a foreign cursor');
clear_faults($url);

# Statements of chpg_help work as they are, and take the requests that it says.
reset_emulator($url);
$node->safe_psql('postgres', "SET client_min_messages = error; DROP SERVER chpg CASCADE");
for my $help (split /\x1e/, $node->safe_psql('postgres', 'SELECT * FROM chpg_help', extra_params => [ '-F', "\x1f", '-R', "\x1e" ]))
{
	my ($topic, $what, $example, $requests) = split /\x1f/, $help;
	my ($exact, $each) = $requests =~ /^(\d+)(?: \+ (services|patterns))?$/;
	my $expected = ($exact // 0) + { services => 6, patterns => 3 }->{ $each // '' } // 0;

	$example =~ s/'KEY_ID', 'KEY_SECRET'/'$KEY_ID', '$KEY_SECRET', api_url => '$url'/;
	# one window stands for the many of a new history
	$example =~ s/chpg_capture\(\)/chpg_capture(max_windows => 1)/;
	clear_journal($url);
	my ($status, undef, $err) = $node->psql('postgres', "SET chpg.cache_ttl = 0;\n$example", on_error_stop => 1);
	is($status, 0, "help: $what") or diag($err);
	my $count = request_count($url);
	if ($requests =~ /^up to (\d+)$/)
	{
		cmp_ok($count, '<=', $1, "help: $what: $count requests");
	}
	elsif ($requests =~ /^1 \+ windows$/)
	{
		cmp_ok($count, '>', 1, "help: $what: $count requests");
	}
	else
	{
		is($count, $requests eq 'none' ? 0 : $expected, "help: $what: $requests requests");
	}
	$node->safe_psql('postgres', "ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited'); ALTER DATABASE postgres SET chpg.server = 'chpg'") if $example =~ /chpg_connect/;
}

# psql's line below the names of the columns is as wide as the widest row.
sub psql_columns
{
	my ($query) = @_;
	my ($rule) = $node->safe_psql('postgres', "\\pset format aligned\n$query") =~ /^(-[-+]+)$/m;

	return length $rule;
}
cmp_ok(psql_columns('SELECT * FROM chpg_help'), '<=', 120, 'help: psql shows it at 120 columns');

# So are the fleet and what takes most, whatever the services and their queries are called.
my $WIDE = "\x{6F22}" x 50;    # takes two columns
reset_emulator($url, services => 50,
	overrides => { orders => { name => $WIDE }, billing => { name => 'n' x 50 }, search => { name => "e\x{301}" x 25 },
		inventory => { size => 's' x 99, state => "\x{1F418}" x 9, name => undef } },
	pattern_overrides => { orders => { 1 => { queryText => $WIDE, totalDurationUs => 1e13, callCount => 1e12 } },
		analytics => { 1 => { queryText => "a\x{85}b\x{2028}" x 20, totalDurationUs => 1e13, p99DurationUs => undef } } });
cmp_ok(psql_columns('SELECT * FROM chpg_fleet'), '<=', 120, 'wide names: the fleet fits');
cmp_ok(psql_columns('SELECT * FROM chpg_top'), '<=', 120, 'wide names and texts: what takes most fits');
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_fleet'), 50, 'all 50 services are there');
like($node->safe_psql('postgres', 'SELECT service, query FROM chpg_top LIMIT 2'), qr/^(?:\xE6\xBC\xA2){8}~\|(?:\xE6\xBC\xA2){16}~$/m, 'cut where their columns end');

done_testing();
