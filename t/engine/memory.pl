# A session that calls the API for hours, with as many failures as successes, neither
# grows nor leaks file descriptors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

# A round has 20 calls, of which 10 fail.
my $WARM_UP = 25;
my $ROUNDS = 100;
my $TWO_MEGABYTES = 2048;    # in kB

my $url = start_emulator();
my $node = start_node('main', 'autovacuum = off');

$node->safe_psql('postgres', connect_sql($url));

# Each service but the first two has its own fault.
my ($well, $also_well, $odd, $garbled, $refused, $stuck) =
  map { $_->{id} } @{ JSON::PP::decode_json(control($url, 'GET', 'info'))->{services} };
fault($url, path => "$odd\$", patch => { 'result.createdAt' => 'yesterday or so' });
fault($url, path => "$garbled\$", garbage => JSON::PP::true);
fault($url, path => "$garbled/slow", truncate => 200);
fault($url, path => "$garbled/prometheus", body => "a 1\nb{c 2\n");
fault($url, path => "$refused\$", status => 400);
fault($url, path => "$refused/logs", status => 500);
fault($url, path => "$refused/slow", status => 500);
fault($url, path => "$stuck\$", hang => JSON::PP::true);

# The calls of a round, and their SQLSTATEs
my @calls = (
	([ "chpg_service('$well')", '00000' ]) x 5,
	[ 'chpg_services', '00000' ],
	[ 'chpg_organizations()', '00000' ],
	[ 'chpg_whoami()', '00000' ],
	[ 'chpg_quotas()', '00000' ],
	[ 'chpg_notifications()', '00000' ],
	[ "chpg_backups('$well')", '00000' ],
	[ "chpg_ip_access_list('$well')", '00000' ],
	[ "chpg_private_endpoint('$well')", '42704' ],
	[ q{chpg_service('billing')}, '00000' ],
	[ "chpg_slow_patterns($DAY, '$well')", '00000' ],
	[ "chpg_slow_patterns($DAY, '$also_well', max_rows => 7)", '00000' ],
	[ q{chpg_service('pg00000000000000000000000a')}, '42704' ],
	[ q{chpg_service('nobody')}, '42704' ],
	[ q{chpg_service('')}, '22023' ],
	[ "chpg_service('$odd')", '22007' ],
	[ "chpg_service('$garbled')", '08P01' ],
	[ "chpg_slow_patterns($DAY, '$garbled')", '08006' ],
	[ "chpg_service('$refused')", '22023' ],
	[ "chpg_slow_patterns($DAY, '$refused')", '58000' ],
	[ "chpg_slow_patterns($DAY)", '58000|08006' ],
	[ "chpg_prometheus('$well')", '00000' ],
	[ "chpg_prometheus('$garbled')", '08P01' ],
	[ "chpg_metrics(now() - interval '10 minutes', now(), '$well', '1 minute')", '00000' ],
	[ "chpg_logs(now() - interval '1 hour', now(), '$well', max_rows => 7)", '00000' ],
	[ "chpg_logs(now() - interval '1 hour', now(), '$refused')", '58000' ]);

$node->safe_psql('postgres',
	'ALTER DATABASE postgres SET chpg.max_retries = 0;'
	  . 'CREATE TABLE calls (sql text, state text); CREATE TABLE ends (state text);'
	  . join '', map { "INSERT INTO calls VALUES (\$\$SELECT * FROM $_->[0]\$\$, '$_->[1]');" } @calls);
$node->safe_psql('postgres', <<"SQL");
-- The calls that did not end as they should
CREATE FUNCTION make_calls() RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
	call record;
	state text;
BEGIN
	FOR call IN SELECT * FROM calls LOOP
		BEGIN
			state := '00000';
			EXECUTE call.sql;
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
		END;
		IF state !~ call.state THEN
			RETURN NEXT call.sql || ': ' || state;
		END IF;
	END LOOP;
END \$\$;

-- A call that is never answered
CREATE FUNCTION make_stuck_call() RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM FROM chpg_service('$stuck');
	RETURN 'answered';
EXCEPTION WHEN query_canceled THEN
	RETURN 'canceled';
END \$\$;
SQL

my $session = open_session($node);
my $pid = in_session($session, 'SELECT pg_backend_pid()');
my $monitor = open_session($node);

in_session($session, 'SET client_min_messages = error');
make_rounds($WARM_UP);
my %before = usage();
clear_journal($url);
make_rounds($ROUNDS);
my %after = usage();

note sprintf '%s: %d before, %d after', $_, $before{$_}, $after{$_} foreach (sort keys %before);
cmp_ok(request_count($url), '>', $ROUNDS * 18, 'requests were sent');
cmp_ok($after{VmRSS} - $before{VmRSS}, '<', $TWO_MEGABYTES, 'the resident set does not grow');
cmp_ok($after{RssAnon} - $before{RssAnon}, '<', $TWO_MEGABYTES, 'nor its own memory');
# A backend keeps as many connections as a fleet read may use at a time.
cmp_ok($after{sockets}, '<=', $before{sockets} + 8, 'connections are closed');
cmp_ok($after{files}, '<=', $before{files} + 2, 'and files');
is(in_session($session, q{SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'chpg%'}),
	0, 'no memory of a call is left');

# Successful calls use one connection, and so do calls that get an error from the API.
in_session($session, "DELETE FROM calls WHERE state ~ '08006'");
clear_journal($url);
in_session($session, 'SELECT make_calls()') foreach (1 .. 10);
cmp_ok(request_count($url), '>', 150, 'more requests were sent');
is(connections($url), 1, 'on one connection');

sub make_rounds
{
	my ($rounds) = @_;
	my @wrong;

	foreach (1 .. $rounds)
	{
		push @wrong, split /\n/, in_session($session, 'SELECT make_calls()');
		my $end = cancel_stuck_call();
		push @wrong, "a stuck call: $end" if $end ne 'canceled';
	}
	is_deeply(\@wrong, [], "$rounds rounds end as they should");
	return;
}

# Cancel the statement while it waits; returns its error.
sub cancel_stuck_call
{
	my $waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Extension' AND query LIKE '%stuck%'";

	begin_in_session($session, 'INSERT INTO ends SELECT make_stuck_call()');
	wait_until(sub { in_session($monitor, $waits) }, 'the call is stuck');
	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	return in_session($session, 'DELETE FROM ends RETURNING state');
}

# The backend's memory in kB, and its number of open files
sub usage
{
	my %usage = slurp_file("/proc/$pid/status") =~ /^(VmRSS|RssAnon):\s+(\d+) kB$/mg;
	my @open = map { readlink // () } glob "/proc/$pid/fd/*";

	$usage{sockets} = grep { !m{^/} } @open;
	$usage{files} = @open - $usage{sockets};
	return %usage;
}

$session->quit;
done_testing();
