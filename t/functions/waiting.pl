# Waiting: passwords stay out of the log, memory does not grow, a standby changes
# nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $RUNS = 20;
my $PASSWORD = 'Given0Password';

# The number of polls in two hours, at five seconds each
my $POLLS = 1440;
my $TWO_MEGABYTES = 2048;    # in kB

my $url = start_emulator();
my $node = start_node('main', 'wal_level = replica', 'max_wal_senders = 4',
	'log_statement = none', 'log_min_messages = debug5', 'log_min_error_statement = debug2');
$node->safe_psql('postgres', connect_sql($url));
my $monitor = open_session($node);

# A cancel ends a wait at once, between polls and during one.
for my $case ([ 'between polls', {} ], [ 'during a poll', { hang => JSON::PP::true } ])
{
	my ($name, $fault) = @$case;
	my $session = open_session($node);
	my $pid = in_session($session, 'SELECT pg_backend_pid()');
	my (@times, @reference);

	clear_faults($url);
	fault($url, path => "$ORDERS\$", %$fault) if %$fault;
	foreach (1 .. $RUNS)
	{
		begin_in_session($session, 'SELECT pg_sleep(600)');
		wait_until(sub { is_waiting($pid, 'Timeout') }, 'the session sleeps');
		push @reference, time_to_cancel($session, $pid);
		clear_journal($url);
		begin_in_session($session, "SELECT * FROM chpg_wait('$ORDERS', 'stopped', poll_interval => '1 hour', timeout => '2 hours')");
		wait_until(sub { request_count($url) > 0 && is_waiting($pid) }, 'the session waits');
		push @times, time_to_cancel($session, $pid);
	}
	# In turns with pg_sleep(), so that the machine's load affects both
	@$_ = sort { $a <=> $b } @$_ foreach (\@times, \@reference);
	cmp_ok($times[ $RUNS / 2 ], '<', 0.1 + 3 * $reference[ $RUNS / 2 ], "a cancel $name: at once");
	cmp_ok($times[-1], '<', 10 + $reference[-1], "a cancel $name: each time");
	is(in_session($session, 'SELECT 1'), 1, "the session goes on after a cancel $name");
	$session->quit;
}
clear_faults($url);

sub is_waiting
{
	my ($pid, $type) = @_;

	$type //= 'Extension';
	return in_session($monitor,
		"SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = '$type'");
}

# Seconds
sub time_to_cancel
{
	my ($session, $pid) = @_;
	my $begin = time;

	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	await_in_session($session, qr/ERROR:  57014: canceling statement due to user request/);
	return time - $begin;
}

# A long wait costs one request per poll, and no memory.
for my $wait ('SELECT * FROM chpg_wait', 'CALL chpg_wait_until')
{
	my $session = open_session($node);
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	# The first polls load what later ones reuse.
	in_session($session, "$wait('$ORDERS', poll_interval => '1 ms')");
	in_session($session, "$wait('$ORDERS', 'stopped', poll_interval => '1 ms', timeout => '300 ms')");
	my $before = resident_size($pid);

	clear_journal($url);
	begin_in_session($session, "$wait('$ORDERS', 'stopped', poll_interval => '1 ms', timeout => '1 hour')");
	wait_until(sub { polls() >= $POLLS }, "there are $POLLS polls");
	my $growth = resident_size($pid) - $before;
	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	await_in_session($session, qr/ERROR:  57014/);
	cmp_ok($growth, '<', $TWO_MEGABYTES, "$wait: no memory over $POLLS polls ($growth kB)");
	is(scalar(grep { $_->{path} !~ /$ORDERS$/ } @{ journal($url)->{requests} }), 0, "$wait: nothing but polls");
	$session->quit;
}

sub polls
{
	return control($url, 'GET', 'count');
}

sub resident_size
{
	my ($pid) = @_;
	return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die 'no RssAnon';
}

# chpg_wait_until() holds no snapshot while it waits, chpg_wait() does.
for my $case ([ 'CALL chpg_wait_until', 't' ], [ 'SELECT * FROM chpg_wait', 'f' ])
{
	my ($wait, $free) = @$case;
	my $session = open_session($node);
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	begin_in_session($session, "$wait('$ORDERS', 'stopped', poll_interval => '1 hour', timeout => '2 hours')");
	await_in_session($session, qr/NOTICE: .* is running after/);
	wait_until(sub { is_waiting($pid) }, 'the session waits');
	is(in_session($monitor, "SELECT backend_xmin IS NULL FROM pg_stat_activity WHERE pid = $pid"),
		$free, "$wait: no snapshot is held: $free");
	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	await_in_session($session, qr/ERROR:  57014/);
	$session->quit;
}

# A password is in the request only, whatever the response is.
for my $case (
	[ 'that is set', {}, undef ],
	[ 'that is refused', { status => 400, body => encode_json({ status => 400, error => "bad password $PASSWORD" }) }, qr/ERROR:  22023: .*\nDETAIL:  The API says: "bad password \*\*\*"/ ],
	[ 'whose answer is lost', { close => JSON::PP::true }, qr/ERROR:  08007/ ],
	[ 'that is canceled', { hang => JSON::PP::true }, qr/ERROR:  57014/ ])
{
	my ($name, $fault, $error) = @$case;
	my $session = open_session($node);
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	clear_faults($url);
	fault($url, path => 'password$', %$fault) if %$fault;
	clear_journal($url);
	begin_in_session($session, "SELECT chpg_set_password('$ORDERS', '$PASSWORD') IS NULL AS over");
	if ($fault->{hang})
	{
		wait_until(sub { request_count($url) > 0 && is_waiting($pid) }, 'the request hangs');
		unlike(in_session($monitor, "SELECT query FROM pg_stat_activity WHERE pid = $pid"),
			qr/$PASSWORD/, "a password $name: not in pg_stat_activity meanwhile");
		in_session($monitor, "SELECT pg_cancel_backend($pid)");
	}
	await_in_session($session, $error) if $error;
	in_session($session, '');
	unlike($session->{stderr}, qr/$PASSWORD/, "a password $name: not in messages");
	is(in_session($monitor, "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%$PASSWORD%'"),
		0, "a password $name: not in pg_stat_activity");
	is(journal($url)->{requests}[0]{json}{password}, $PASSWORD, "a password $name: it is in the request");
	$session->quit;
}
clear_faults($url);
$node->safe_psql('postgres', "SET chpg.dry_run = on; SELECT chpg_set_password('$ORDERS', '$PASSWORD')");
# At debug3 PostgreSQL logs its search for the function, with the name of the caller.
$node->safe_psql('postgres', "SET log_min_messages = info; DO \$\$ BEGIN PERFORM chpg_set_password('$ORDERS', '$PASSWORD'); END \$\$");
my $made = $node->safe_psql('postgres', "SELECT chpg_set_password('$ORDERS')");
my $created = $node->safe_psql('postgres', q{SELECT password FROM chpg_create_service('new', 'aws', 'us-west-2', 'r8gd.large')});
my $log = slurp_file($node->logfile);
unlike($log, qr/\Q$_\E/, 'no password in the log') foreach ($PASSWORD, $made, $created);
like($log, qr{LOG:  chpg: role "\w+" \(session of "\w+"\) sent PATCH /v1/\S+/password \{"password":"\*\*\*"\}}, 'but the role that set it');
like($log, qr{DETAIL:  Purpose: set the password of; $_->[0]; request id $_->[1]\.}, "the outcome: $_->[0]")
  foreach ([ 'accepted', '[0-9a-f-]{36}' ], [ 'failed', 'unknown' ],
	[ 'outcome unknown', 'unknown' ], [ 'interrupted, outcome unknown', 'unknown' ]);

# A standby reads, and changes nothing.
my $standby = start_standby($node);
clear_journal($url);
fails_with($standby, "SELECT * FROM $_", '25006', qr/read-only transaction/, "$_ on a standby")
  foreach ("chpg_restart_service('$ORDERS')", "chpg_delete_service('$ORDERS', 'orders')",
	q{chpg_create_service('x', 'aws', 'us', 'x')}, q{chpg_request('POST', '/v1/x')});
is(request_count($url), 0, 'no request of a standby');
is($standby->safe_psql('postgres', "SELECT state FROM chpg_wait('$ORDERS', poll_interval => '1 ms')"),
	'running', 'a standby waits');

done_testing();
