# Notices about windows that the API keeps no data of, estimates of the planner for
# fleets, and irregular pages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use Test::More;


my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');

# The number of notices that a window is past, or still to come. These compare with the
# server's clock, which the emulator follows here.
sub said
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1);
	my $gone = () = $err =~ /NOTICE:  the window begins before what the API keeps of query patterns, at most 7 days$/mg;
	my $future = () = $err =~ /WARNING:  the window begins in the future$/mg;

	is($status, 0, "$sql: succeeds") or diag($err);
	return "$gone $future";
}

my $KEPT = "now() - interval '7 days'";
my $GONE = "now() - interval '7 days 2 hours'";
my $FUTURE = "now() + interval '1 hour'";
my $LATER = "now() + interval '2 hours'";
my $WINDOWS = "(VALUES ($GONE, now()), (now() - interval '9 days', now() - interval '1 day')) w(f, t)";

for my $case (
	[ "SELECT count(*) FROM chpg_slow_patterns($KEPT, now(), 'orders')", '0 0' ],
	[ "SELECT count(*) FROM chpg_slow_patterns($GONE, now(), 'orders')", '1 0' ],
	[ "SELECT count(*) FROM chpg_slow_patterns($GONE, now())", '1 0' ],
	[ "SELECT count(*) FROM $WINDOWS, chpg_slow_patterns(w.f, w.t, 'orders')", '1 0' ],
	[ "SELECT count(*) FROM chpg_slow_patterns($GONE, now(), 'orders'); SELECT count(*) FROM chpg_slow_patterns($GONE, now(), 'orders')", '2 0' ],
	[ "SELECT count(*) FROM cloud.slow_patterns WHERE from_date = $KEPT AND to_date = now()", '0 0' ],
	[ "SELECT count(*) FROM cloud.slow_patterns WHERE from_date = $GONE AND to_date = now()", '1 0' ],
	[ "SELECT count(*) FROM cloud.slow_patterns WHERE from_date >= $GONE AND service_id = '$ORDERS'", '1 0' ],
	[ "SELECT count(*) FROM $WINDOWS JOIN cloud.slow_patterns p ON p.from_date = w.f AND p.to_date = w.t", '1 0' ],
	[ "SELECT count(*) FROM cloud.slow_patterns a, chpg_slow_patterns($GONE, now(), 'orders') b WHERE a.from_date = $GONE AND a.to_date = now() AND a.query_id = b.query_id", '1 0' ],
	# Statements that functions execute are not the client's; several statements of the
	# client read one cursor.
	[ "SELECT count(*) FROM chpg_compare(tstzrange(now() - interval '10 days', now() - interval '9 days'), tstzrange(now() - interval '9 days', now() - interval '8 days'), 'orders')", '1 0' ],
	[ "DO \$\$ BEGIN PERFORM FROM chpg_slow_patterns($GONE, now(), 'orders'); PERFORM FROM chpg_slow_patterns($GONE, now()); PERFORM FROM chpg_logs($FUTURE, $LATER, 'orders'); PERFORM FROM chpg_metrics($FUTURE, $LATER, 'orders'); END \$\$", '1 1' ],
	[ "BEGIN; DECLARE c CURSOR FOR SELECT w.f FROM $WINDOWS, chpg_slow_patterns(w.f, w.t, 'orders'); FETCH 1 FROM c; FETCH ALL FROM c; COMMIT", '1 0' ],
	[ "SELECT FROM cloud.slow_patterns WHERE from_date = $GONE AND to_date = now() AND service_id = NULL", '0 0' ],
	[ "EXPLAIN SELECT FROM cloud.slow_patterns WHERE from_date = $GONE AND to_date = now()", '0 0' ],
	[ "SELECT count(*) FROM chpg_logs(now() - interval '20 days', now() - interval '19 days 23 hours', 'orders')", '0 0' ],
	[ "SELECT count(*) FROM chpg_metrics(now() - interval '20 days', now() - interval '19 days', 'orders')", '0 0' ],
	[ "SELECT count(*) FROM chpg_slow_patterns(now(), $FUTURE, 'orders')", '0 0' ],
	[ "SELECT count(*) FROM chpg_slow_patterns($FUTURE, $LATER, 'orders')", '0 1' ],
	[ "SELECT count(*) FROM chpg_slow_patterns($FUTURE, $LATER)", '0 1' ],
	[ "SELECT count(*) FROM chpg_logs($FUTURE, $LATER, 'orders')", '0 1' ],
	[ "SELECT count(*) FROM chpg_metrics($FUTURE, $LATER, 'orders')", '0 1' ],
	[ "SELECT count(*) FROM cloud.slow_patterns WHERE from_date = $FUTURE AND to_date = $LATER", '0 1' ],
	[ "SELECT count(*) FROM cloud.logs WHERE \"timestamp\" > $FUTURE AND to_date = $LATER AND service_id = '$ORDERS'", '0 1' ],
	[ "SELECT count(*) FROM cloud.slow_patterns WHERE from_date >= $FUTURE AND service_id = '$ORDERS'", '0 1' ],
	[ "SELECT count(*) FROM cloud.slow_patterns WHERE from_date >= $FUTURE AND to_date <= $LATER AND service_id = '$ORDERS'", '0 1' ],
	[ "SELECT count(*) FROM cloud.logs WHERE \"timestamp\" >= $FUTURE AND service_id = '$ORDERS'", '0 1' ],
	[ "SELECT count(*) FROM cloud.logs WHERE \"timestamp\" >= now() + interval '5 years' AND \"timestamp\" < now() + interval '6 years'", '0 1' ],
	[ "SELECT count(*) FROM cloud.logs WHERE \"timestamp\"::date = current_date + 7 AND service_id = '$ORDERS'", '0 1' ],
	[ "SELECT count(*) FROM cloud.metrics WHERE \"timestamp\" >= $FUTURE", '0 1' ],
	[ "SELECT count(*) FROM cloud.logs a, cloud.metrics b WHERE a.from_date = $FUTURE AND b.from_date >= $FUTURE", '0 1' ],
	[ "SELECT count(*) FROM cloud.slow_patterns WHERE from_date >= $KEPT AND from_date < $KEPT", '0 0' ],
	[ "SELECT count(*) FROM chpg_slow_patterns($GONE, now(), 'orders') a, chpg_slow_patterns($FUTURE, $LATER, 'orders') b", '1 1' ])
{
	my ($statement, $expected) = @$case;

	is(said($statement), $expected, "$statement: what it says");
}
is(said("SET client_min_messages = error; SELECT count(*) FROM chpg_slow_patterns($GONE, now(), 'orders')"), '0 0', 'no notice with client_min_messages = warning');

# A range without values selects nothing, as with any table; an empty window that is
# given by = is an error.
my ($A, $B) = (q{timestamptz '2026-06-29 00:00Z'}, q{timestamptz '2026-06-28 00:00Z'});
for my $condition ("from_date >= $A AND from_date < $A", "from_date BETWEEN $A AND $A", "from_date >= $A AND from_date < $B", "from_date >= $A AND to_date = $B", "from_date = $A AND to_date <= $B", "from_date = $A AND from_date < $A")
{
	is(costs($node, $url, "SELECT count(*) FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND $condition", 0, $condition), 0, "$condition: no rows");
}
fails_with($node, "SELECT count(*) FROM cloud.slow_patterns WHERE service_id = '$ORDERS' AND from_date = $A AND to_date = $B", '22023', qr/window from .* to .* is empty/, 'an empty window by =');
is(costs($node, $url, "SELECT count(*), count(p.query_id) > 0 FROM (VALUES (now(), now()), (now() - interval '1 day', now())) w(f, t) LEFT JOIN cloud.slow_patterns p ON p.from_date >= w.f AND p.from_date < w.t AND p.service_id = '$ORDERS'", 1, 'an empty window of a join'), '61|t', 'an empty window of a join leaves the others');

# Estimates after a fleet was read: within a factor of three

my $DAYS = q{from_date = now() - interval '1 day' AND to_date = now()};

sub estimates
{
	my ($seen, $query) = @_;
	my ($plan) = @{ decode_json(sql("SELECT count(*) FROM cloud.services; SELECT count(*) FROM cloud.$seen; EXPLAIN (FORMAT JSON) $query") =~ s/\A(?:\d+\n)*//r) };
	my $rows = sql("SELECT count(*) FROM ($query) q");
	my $expected = $plan->{Plan}{'Plan Rows'};

	cmp_ok($expected, '<=', 3 * $rows, "$query: no more than three times the $rows rows that come");
	cmp_ok($expected, '>=', $rows / 3, "$query: no less than a third of the $rows rows that come");
	return;
}

for my $services (6, 40)
{
	reset_emulator($url, services => $services);
	estimates("slow_patterns WHERE $DAYS", $_) for
	  "SELECT * FROM cloud.slow_patterns WHERE $DAYS",
	  "SELECT * FROM cloud.services s JOIN cloud.slow_patterns p ON p.service_id = s.id WHERE $DAYS",
	  "SELECT * FROM cloud.slow_patterns p JOIN cloud.services s ON s.id = p.service_id JOIN cloud.service_details d ON d.id = s.id WHERE $DAYS",
	  "SELECT * FROM cloud.services s LEFT JOIN cloud.slow_patterns p ON p.service_id = s.id AND $DAYS",
	  "SELECT service_id, count(*) FROM cloud.slow_patterns WHERE $DAYS GROUP BY 1",
	  "SELECT * FROM cloud.slow_patterns WHERE $DAYS AND service_id = '$ORDERS'",
	  "SELECT * FROM cloud.services s JOIN (SELECT * FROM cloud.slow_patterns WHERE $DAYS OFFSET 0) p ON p.service_id = s.id",
	  "SELECT * FROM cloud.services s JOIN cloud.slow_patterns p ON p.service_id = s.id WHERE $DAYS AND s.id = '$ORDERS'";
	estimates('prometheus', 'SELECT * FROM cloud.services s JOIN cloud.prometheus p ON p.service_id = s.id');
}

# A full first page in order, with nulls at its end: the next page may have values.

my ($FROM, $TO) = ('2026-06-29 00:00Z', '2026-06-30 00:00Z');
my $body = sub { my ($first, @counts) = @_; encode_json({ result => [ map { { queryId => $first + $_, queryText => 'x', dbName => 'd', dbUser => 'u', dbOperation => 'SELECT', app => 'a', callCount => $counts[$_] } } 0 .. $#counts ] }) };

reset_emulator($url, now => '2026-06-30T12:00:30.000Z', services => 1);
my $id = sql('SELECT id FROM chpg_services()');
my $SORTED = "SELECT call_count FROM cloud.slow_patterns WHERE from_date = '$FROM' AND to_date = '$TO' AND service_id = '$id' ORDER BY call_count DESC NULLS LAST LIMIT 5";
fault($url, path => 'slowQueryPatterns', query => 'limit=5\b', body => $body->(1, 9, 8, 7, undef, undef));
fault($url, path => 'slowQueryPatterns', query => 'offset=5', body => $body->(100, 12, 3));
is(costs($node, $url, $SORTED, 2, 'a full page with nulls'), "12\n9\n8\n7\n3", 'a full page with nulls: the next page is read, too');
clear_faults($url);

done_testing();
