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
	"chpg.server = 'chpg'", 'log_statement = none', 'log_min_messages = debug5', 'log_min_error_statement = debug2');
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

# A command is queued for a while: a wait does not believe the state from before it.
my $POLL = "poll_interval => '20 ms', timeout => '1 min'";
my $RESTART = "SELECT FROM chpg_restart_service('$ORDERS')";
my $WAIT = "SELECT state FROM chpg_wait('$ORDERS', $POLL)";
my $DOUBT = qr/WARNING:  no other state of service "$ORDERS" was seen since the restart \d+ s ago\nDETAIL:  Either .* or it has not begun yet\.\nHINT:  Connect to the service [^\n]*SELECT pg_postmaster_start_time\(\);/;

add_server($node, 'other_key', api_url => $url, rate_limit => 'unlimited');
$node->safe_psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER other_key OPTIONS (SET key_id 'secondKeyId')");
for my $lag (0, 1)
{
	for my $case (
		[ 'restart', $RESTART ],
		[ 'switchover', "SELECT FROM chpg_switchover_service('$ORDERS')" ])
	{
		my ($command, $sql) = @$case;
		my $name = "a $command that begins after $lag s";

		reset_emulator($url, command_lag => $lag);
		like(notices($node, "$sql; $WAIT", on_error_stop => 1), qr/is restarting after .*is running after/s, "$name: a wait in the same session");
		reset_emulator($url, command_lag => $lag);
		$node->safe_psql('postgres', $sql);
		like(notices($node, $WAIT), qr/is restarting after .*is running after/s, "$name: a wait in another session");
		costs($node, $url, $WAIT, 3, "$name: the next wait believes what that one saw");
	}
	reset_emulator($url, command_lag => $lag);
	is($node->safe_psql('postgres', "SELECT FROM chpg_promote_service('analytics'); SELECT is_primary FROM chpg_wait('analytics', $POLL)"),
		't', "a promotion that begins after $lag s: the state stays, but the service becomes a primary");
	reset_emulator($url, command_lag => $lag);
	is($node->safe_psql('postgres', "SELECT FROM chpg_delete_service('$ORDERS', 'orders'); SELECT count(*) FROM chpg_wait('$ORDERS', 'deleted', $POLL)"),
		0, "a deletion that begins after $lag s");
	reset_emulator($url, command_lag => $lag);
	fails_with($node, "SELECT FROM chpg_delete_service('$ORDERS', 'orders'); $WAIT", '42704', qr/did not find/, "a service that is deleted after $lag s does not run");
	reset_emulator($url, command_lag => $lag, transition_polls => 0);
	is($node->safe_psql('postgres', "SELECT FROM chpg_delete_service('$ORDERS', 'orders'); SELECT count(*) FROM chpg_wait('$ORDERS', 'deleted', $POLL)"),
		0, "a service that is gone at once, after $lag s");
}
# The emulator has forgotten the deletions, and so must chpg.
reset_emulator($url);
$node->safe_psql('postgres', "SET chpg.command_lag = 0; SELECT FROM chpg_update_service('$ORDERS', size => 'r8gd.8xlarge')");
for my $change ([ size => 'r8gd.8xlarge' ], [ ha_type => 'none' ])
{
	my ($attribute, $value) = @$change;
	my $update = "SELECT FROM chpg_update_service('$ORDERS', $attribute => '$value')";
	reset_emulator($url, apply_polls => 5);
	is($node->safe_psql('postgres', "$update; SELECT $attribute FROM chpg_wait('$ORDERS', $POLL)"), $value, "a wait for a new $attribute, which it does not name");
	is(scalar(grep { $_->{method} eq 'GET' } @{ journal($url)->{requests} }), 1 + 5 + 3, 'three polls that find it');
}
# Two commands in a row: the effect of the second does not hide that the first is queued.
reset_emulator($url, command_lag => 1);
my $size = $node->safe_psql('postgres', "SELECT size FROM chpg_service('$ORDERS')");
like(notices($node, "$RESTART; SELECT FROM chpg_update_service('$ORDERS', size => '$size'); $WAIT"), qr/is restarting after .*is running after/s, 'a restart, and an update that changes nothing');
reset_emulator($url, apply_polls => 5);
is($node->safe_psql('postgres', "SELECT FROM chpg_update_service('$ORDERS', size => 'r8gd.8xlarge'); SELECT FROM chpg_update_service('$ORDERS', ha_type => 'sync'); SELECT size, ha_type FROM chpg_wait('$ORDERS', $POLL)"),
	'r8gd.8xlarge|sync', 'an update, and another one that changes nothing');
reset_emulator($url);
$node->safe_psql('postgres', "SELECT FROM chpg_set_tags('$ORDERS', '{\"a\": \"1\"}')");
costs($node, $url, $WAIT, 3, 'tags change no state');

# A command that has no visible effect, or does not begin
reset_emulator($url, transition_polls => 0);
$node->safe_psql('postgres', $RESTART);
fails_with($node, "SELECT FROM chpg_wait('$ORDERS', poll_interval => '20 ms', timeout => '2 s')", '57014',
	qr/DETAIL:  The state is running, and no other was seen since the restart \d+ s ago\. Matching polls in a row: 0 of 3\./, 'a wait that is shorter than the doubt');
my $doubted = notices($node, "SET chpg.command_lag = '3 s'; $RESTART; $WAIT");
like($doubted, qr/NOTICE:  service "$ORDERS" is running after \d+ s, waiting for the restart to begin/, 'a restart that no poll sees: the notice');
like($doubted, $DOUBT, 'and the warning');
unlike(notices($node, "SELECT pg_sleep(0.01); SET chpg.command_lag = '1 ms'; $WAIT"), qr/WARNING/, 'no warning of a restart that is long ago');
costs($node, $url, "SET chpg.command_lag = 0; $RESTART; $WAIT", 4, 'no doubt by a setting');
unlike(notices($node, "SET chpg.command_lag = 0; $RESTART; $WAIT"), qr/WARNING|waiting for/, 'nor a warning');
costs($node, $url, "SELECT FROM chpg_wait('$ORDERS', $POLL, server => 'other_key')", 4, 'another key knows of no command');
costs($node, $url, "SELECT FROM chpg_wait('billing', $POLL)", 4, 'nor has another service one');

# Commands that are refused, or not sent, are forgotten; those whose outcome is unknown are not.
my $billing_id = $node->safe_psql('postgres', q{SELECT id FROM chpg_services WHERE name = 'billing'});
my $wait_billing = "SELECT state FROM chpg_wait('$billing_id', $POLL)";
fault($url, path => 'state$', status => 409, times => 1);
fails_with($node, "SELECT FROM chpg_restart_service('$billing_id')", '55006', qr/conflict/, 'a command that is refused');
clear_faults($url);
costs($node, $url, $wait_billing, 3, 'is forgotten');
costs($node, $url, "SET chpg.dry_run = on; SELECT FROM chpg_restart_service('$billing_id'); $wait_billing", 3, 'so is a dry run');
for my $case ([ '08007', close => JSON::PP::true ], [ '57014', hang => JSON::PP::true ])
{
	my ($state, %fault) = @$case;
	reset_emulator($url, command_lag => 4);
	fault($url, path => 'state$', carry_out => JSON::PP::true, times => 1, %fault);
	fails_with($node, "SET statement_timeout = '2 s'; SELECT FROM chpg_restart_service('$billing_id')", $state, qr/./, "a command whose outcome is unknown ($state)");
	like(notices($node, $wait_billing), qr/is restarting after .*is running after/s, 'is waited for');
}

# An error in the middle, and a new name
reset_emulator($url, command_lag => 1);
$node->safe_psql('postgres', $RESTART);
fault($url, path => "$ORDERS\$", status => 403, times => 1);
fails_with($node, $WAIT, '42501', qr/could not read service/, 'a wait that fails');
$node->safe_psql('postgres', "SELECT FROM chpg_update_service('$ORDERS', name => 'renamed')");
like(notices($node, $WAIT), qr/is restarting after .*is running after/s, 'leaves the command to the next one');
costs($node, $url, "SELECT FROM chpg_wait('renamed', $POLL)", 4, 'which another name does not hide');
reset_emulator($url);

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
