# A statement that waits for the API ends at once when it is canceled, times out or is
# terminated, and blocks no other backend.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# How often each interrupt is tried in each kind of wait, and in pg_sleep(), which shows
# the time that it takes on this machine under its present load
my $RUNS = 20;
my $REFERENCE = "SELECT 'reference', pg_sleep(600)";

# In seconds: waits for the API, or for one of the limits, take longer.
my $FAR_TOO_LONG = 10;

# The look-up of a host below .hang.invalid never ends.
my $hanging_names = hanging_name_server();
my $url = start_emulator('--services', 20, '--patterns', 3);
my $node = start_hanging_node();
my $log_start = 0;

$node->safe_psql('postgres', 'CREATE EXTENSION chpg');
connect_by_hand('emulator', $url);
connect_by_hand('nowhere', 'https://api.hang.invalid');

my $monitor = open_session($node);
my $named = in_session($monitor, 'SHOW server_version_num') >= 170000;
my $wait_event = $named ? 'Extension|ChpgApiResponse' : 'Extension|Extension';

# Kinds of waits: the statement, the fault, and how to see that the statement waits
# there.
my %single = (
	name => 'a call',
	sql => "SELECT FROM chpg_service('$ORDERS', 'emulator')",
	fault => { hang => JSON::PP::true },
	reached => sub { request_count($url) == 1 });
my %fleet = (
	name => 'a fleet read',
	sql => "SELECT FROM chpg_slow_patterns($DAY, server => 'emulator')",
	fault => { path => 'slowQueryPatterns', skip => 3, hang => JSON::PP::true },
	reached => sub { request_count($url) == 1 + 3 + 8 });
my %look_up = (
	name => 'a name look-up',
	sql => "SELECT FROM chpg_service('$ORDERS', 'nowhere')",
	reached => sub { slurp_file($node->logfile, $log_start) =~ /the name look-up hangs/ });
my %pause = (
	name => 'a pause before another attempt',
	sql => $single{sql},
	fault => { status => 503, headers => { 'Retry-After' => '50' } },
	event => $named ? 'Extension|ChpgRetry' : $wait_event,
	reached => sub { defined journal($url)->{requests}[0]{answered_at} });
my %trickle = (
	name => 'an answer that trickles in',
	sql => $single{sql},
	fault => { drip_ms => 500 },
	reached => $single{reached});

my %scrape = (
	name => 'the metrics of all services',
	sql => "SELECT FROM chpg_prometheus(server => 'emulator')",
	fault => { hang => JSON::PP::true },
	reached => $single{reached});
my %window = (
	name => 'a window of many requests',
	sql => "SELECT FROM chpg_metrics(now() - interval '10 days', now(), '$ORDERS', '1 minute', 'emulator')",
	fault => { path => 'metrics', skip => 3, hang => JSON::PP::true },
	reached => sub { request_count($url) == 3 + 8 });
my %lines = (
	name => 'log lines that trickle in',
	sql => "SELECT FROM chpg_logs(now() - interval '1 hour', now(), '$ORDERS', server => 'emulator')",
	fault => { drip_ms => 500 },
	reached => $single{reached});

foreach my $wait (\%single, \%fleet, \%look_up)
{
	cancels($wait);
	times_out($wait);
	terminates($wait);
	lets_others_work($wait);
}
cancels($_) foreach (\%pause, \%trickle, \%scrape, \%window, \%lines);

# Once each: calls of one service's lists and endpoint, with the request that hangs, and the number of requests until
# then.  Of a change, the error says that it may have been carried out.
ends_at_cancel(@$_) foreach (
	[ 'chpg_quotas(', 'GET', 1 ], [ 'chpg_notifications(', 'GET', 1 ], [ 'chpg_notification_types(', 'GET', 1 ], [ 'chpg_whoami(', 'GET', 1 ],
	[ "chpg_backups('$ORDERS', ", 'GET', 1 ], [ 'chpg_backups(', 'GET', 2, 'backups$' ],
	[ "chpg_ip_access_list('$ORDERS', ", 'GET', 1 ],
	[ "chpg_allow_ip('$ORDERS', '192.0.2.1', ", 'GET', 1 ], [ "chpg_allow_ip('$ORDERS', '192.0.2.1', ", 'PATCH', 2 ],
	[ "chpg_revoke_ip('$ORDERS', '192.0.2.1', ", 'GET', 1 ], [ "chpg_revoke_ip('$ORDERS', '192.0.2.1', ", 'PATCH', 2 ],
	[ "chpg_private_endpoint('$ORDERS', ", 'GET', 1 ],
	[ "chpg_create_private_endpoint('$ORDERS', ", 'POST', 1 ],
	[ "chpg_allow_vpc_endpoints('$ORDERS', '[\"vpce-1\"]', ", 'GET', 1 ], [ "chpg_allow_vpc_endpoints('$ORDERS', '[\"vpce-1\"]', ", 'PATCH', 2 ],
	[ "chpg_set_vpc_endpoints('$ORDERS', '[]', ", 'PATCH', 1 ],
	[ "chpg_delete_private_endpoint('$ORDERS', ", 'DELETE', 1 ],
	[ "chpg_wait('$ORDERS', expected => '{\"private_endpoint\": {\"state\": \"available\"}}', ", 'GET', 2, 'privateEndpoint$' ]);
disconnects_after(\%look_up);
ends_with_the_postmaster(\%single);

# pg_cancel_backend(), after which the session goes on
sub cancels
{
	my ($wait) = @_;
	my $session = open_patient_session();
	my $pid = in_session($session, 'SELECT pg_backend_pid()');
	my $cancel = sub {
		in_session($monitor, "SELECT pg_cancel_backend($pid)");
		await_in_session($session, qr/ERROR: .*\n/);
	};
	my (@times, @reference, @errors, @next);

	foreach (1 .. $RUNS)
	{
		start_sleeping($session, $pid);
		push @reference, duration($cancel);
		start_waiting($session, $pid, $wait);
		push @times, duration($cancel);
		push @errors, $session->{stderr};
		push @next, works_on($session);
	}
	at_once("$wait->{name} is cancelled", \@reference, \@times);
	all_like(\@errors, qr/ERROR:  57014: canceling statement due to user request$/m,
		"$wait->{name}, cancelled: PostgreSQL's own error");
	all_like(\@next, qr/^20$/, "$wait->{name}, cancelled: the session goes on");
	$session->quit;
	return;
}

# A cancel during a call whose requests of this method and path hang
sub ends_at_cancel
{
	my ($call, $method, $requests, $path) = @_;
	my $name = "$call...), $method";
	my $session = open_patient_session();
	my $pid = in_session($session, 'SELECT pg_backend_pid()');
	my $is_change = $method ne 'GET';

	reset_emulator($url);
	in_session($session, "SELECT FROM chpg_create_private_endpoint('$ORDERS', server => 'emulator')")
	  if $call =~ /vpc_endpoints|delete_private|wait/;
	clear_journal($url);
	fault($url, method => $method, hang => JSON::PP::true, $path ? (path => $path) : ());
	begin_in_session($session, "SELECT * FROM ${call}server => 'emulator')");
	wait_until(sub { request_count($url) >= $requests && wait_of($pid) eq $wait_event }, "$name waits");
	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	await_in_session($session, qr/ERROR: .*\n/);
	my $errors = $session->{stderr};
	in_session($session, '');
	$errors .= $session->{stderr};
	like($errors, qr/ERROR:  57014: canceling statement due to user request$/m, "$name, cancelled: PostgreSQL's own error");
	is($errors =~ /request $method \S+, which may have been carried out/ ? 1 : 0, $is_change ? 1 : 0, "$name, cancelled: its context");
	is(works_on($session), 20, "$name, cancelled: the session goes on");
	$session->quit;
	return;
}

# statement_timeout
sub times_out
{
	my ($wait) = @_;
	my $timeout = 0.25;
	my $session = open_patient_session();
	my $run = sub {
		begin_in_session($session, $_[0]);
		await_in_session($session, qr/ERROR: .*\n/);
	};
	my (@times, @reference, @errors, @next);
	my $waited = 0;

	# On a busy machine some statements may time out before they wait; later ones get
	# more time.
	foreach (1 .. 5 * $RUNS)
	{
		arm($wait);
		in_session($session, "SET statement_timeout = '${timeout}s'");
		push @reference, duration($run, $REFERENCE) - $timeout;
		push @times, duration($run, $wait->{sql}) - $timeout;
		push @errors, $session->{stderr};
		if ($wait->{reached}->()) { $waited++ }
		else { $timeout *= 1.5 }
		in_session($session, 'RESET statement_timeout');
		push @next, works_on($session);
		last if $waited == $RUNS;
	}
	at_once("$wait->{name} times out", \@reference, \@times);
	all_like(\@errors, qr/ERROR:  57014: canceling statement due to statement timeout$/m,
		"$wait->{name}, timed out: PostgreSQL's own error");
	is($waited, $RUNS, "$wait->{name}, timed out: while it waited");
	all_like(\@next, qr/^20$/, "$wait->{name}, timed out: the session goes on");
	$session->quit;
	return;
}

# pg_terminate_backend()
sub terminates
{
	my ($wait) = @_;
	my (@times, @reference, @errors);
	my $terminate = sub {
		my ($session, $pid) = @_;

		in_session($monitor, "SELECT pg_terminate_backend($pid)");
		await_in_session($session, qr/FATAL: .*\n/);
	};

	foreach (1 .. $RUNS)
	{
		my $session = open_patient_session();
		my $pid = in_session($session, 'SELECT pg_backend_pid()');

		start_sleeping($session, $pid);
		push @reference, duration($terminate, $session, $pid);
		$session->{run}->finish;

		$session = open_patient_session();
		$pid = in_session($session, 'SELECT pg_backend_pid()');
		start_waiting($session, $pid, $wait);
		push @times, duration($terminate, $session, $pid);
		push @errors, $session->{stderr};
		$session->{run}->finish;
	}
	at_once("$wait->{name} is terminated", \@reference, \@times);
	all_like(\@errors, qr/FATAL:  57P01: terminating connection due to administrator command$/m,
		"$wait->{name}, terminated: PostgreSQL's own error");
	return;
}

# DROP DATABASE needs every backend to process a signal, whatever it waits for.
sub lets_others_work
{
	my ($wait) = @_;
	my $session = open_patient_session();
	my $pid = in_session($session, 'SELECT pg_backend_pid()');
	my $drop = sub { in_session($monitor, "DROP DATABASE elsewhere_$_[0]") };
	my (@times, @reference);

	in_session($monitor, "CREATE DATABASE elsewhere_$_ TEMPLATE template0")
	  foreach (1 .. 2 * $RUNS);
	in_session($monitor, 'CHECKPOINT');

	push @reference, duration($drop, $_) foreach (1 .. $RUNS);
	start_waiting($session, $pid, $wait);
	push @times, duration($drop, $_) foreach ($RUNS + 1 .. 2 * $RUNS);
	at_once("a database is dropped during $wait->{name}", \@reference, \@times);
	is(in_session($monitor, "SELECT count(*) FROM pg_database WHERE datname LIKE 'elsewhere%'"),
		0, "$wait->{name}: the databases are gone");
	is(wait_of($pid), $wait->{event} // $wait_event, "$wait->{name}: it still waits, and pg_stat_activity says so");

	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	await_in_session($session, qr/ERROR:  57014/);
	is(works_on($session), 20, "$wait->{name}: the session goes on after it");
	$session->quit;
	return;
}

# An abandoned request does not delay the end of its connection either.
sub disconnects_after
{
	my ($wait) = @_;
	my $session = open_patient_session();
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	start_waiting($session, $pid, $wait);
	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	await_in_session($session, qr/ERROR:  57014/);
	cmp_ok(duration(sub { in_session($session, "SELECT chpg_disconnect('emulator')") }),
		'<', $FAR_TOO_LONG, "disconnecting after $wait->{name} that was cancelled");
	is($session->{stderr}, '', "disconnecting after $wait->{name} that was cancelled: succeeds");
	$session->quit;
	connect_mapping('emulator');
	return;
}

# A backend does not survive the postmaster.
sub ends_with_the_postmaster
{
	my ($wait) = @_;
	my $session = open_patient_session();
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	start_waiting($session, $pid, $wait);
	$node->kill9;
	cmp_ok(duration(sub { await_in_session($session, qr/server closed the connection/) }),
		'<', $FAR_TOO_LONG, 'a waiting backend ends with the postmaster');
	$session->{run}->finish;
	$monitor->{run}->finish;
	return;
}

# Let the session sleep in PostgreSQL's own wait.
sub start_sleeping
{
	my ($session, $pid) = @_;

	begin_in_session($session, $REFERENCE);
	wait_until(sub { wait_of($pid) eq 'Timeout|PgSleep' }, 'the session sleeps');
	return;
}

# Begin the statement, and return when it waits because of its fault.
sub start_waiting
{
	my ($session, $pid, $wait) = @_;

	arm($wait);
	begin_in_session($session, $wait->{sql});
	wait_until(
		sub { $wait->{reached}->() && wait_of($pid) eq ($wait->{event} // $wait_event) },
		"$wait->{name} waits");
	return;
}

sub arm
{
	my ($wait) = @_;

	$log_start = -s $node->logfile;
	reset_emulator($url);
	fault($url, %{ $wait->{fault} }) if $wait->{fault};
	return;
}

# The session's wait event in pg_stat_activity
sub wait_of
{
	my ($pid) = @_;
	return in_session($monitor,
		"SELECT wait_event_type, wait_event FROM pg_stat_activity WHERE pid = $pid");
}

# The next statement of the session reads from the API.
sub works_on
{
	my ($session) = @_;

	reset_emulator($url);
	return in_session($session, "SELECT count(*) FROM chpg_services('emulator')");
}

# None of chpg's own limits ends the wait.
sub open_patient_session
{
	my $session = open_session($node);

	in_session($session, "SET chpg.$_ = '10min'")
	  foreach ('request_timeout', 'connect_timeout', 'max_wait');
	return $session;
}

sub connect_by_hand
{
	my ($server, $api_url) = @_;

	$node->safe_psql('postgres',
		"CREATE SERVER $server FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$api_url',"
		  . " rate_limit 'unlimited', organization_id '" . organization_id($url) . "')");
	connect_mapping($server);
	return;
}

sub connect_mapping
{
	my ($server) = @_;

	$node->safe_psql('postgres',
		"CREATE USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')");
	return;
}

# A cluster with that name server
sub start_hanging_node
{
	local $ENV{LD_PRELOAD} = join ' ', $hanging_names, $ENV{LD_PRELOAD} // ();
	return start_node('main', "max_connections = 30", "autovacuum = off");
}

# A library whose getaddrinfo() never returns for those names
sub hanging_name_server
{
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $compiler = $ENV{CC} // 'cc';

	append_to_file("$directory/hang.c", <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int (*look_up) (const char *, const char *, const struct addrinfo *,
						struct addrinfo **);

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	static const char domain[] = ".hang.invalid";
	size_t		length = node ? strlen(node) : 0;

	if (length >= strlen(domain) &&
		strcmp(node + length - strlen(domain), domain) == 0)
	{
		dprintf(STDERR_FILENO, "the name look-up hangs\n");
		for (;;)
			pause();
	}
	return ((look_up) dlsym(RTLD_NEXT, "getaddrinfo")) (node, service, hints,
														result);
}
C
	system_or_bail($compiler, '-shared', '-fPIC', '-o', "$directory/hang.so",
		"$directory/hang.c", '-ldl');
	return "$directory/hang.so";
}

# Seconds that an action takes
sub duration
{
	my ($action, @arguments) = @_;
	my $start = time;

	$action->(@arguments);
	return time - $start;
}

# Most times are about as short as those of PostgreSQL's own wait, measured in turns so
# that the machine's load affects both; and no interrupt had to wait for the request's
# end.
sub at_once
{
	my ($name, $reference, $times) = @_;
	my ($usual, $median) = (median(@$reference), median(@$times));

	note sprintf('%s: median %.1f ms (otherwise %.1f ms), longest %.1f ms (%.1f ms)',
		$name, $median * 1000, $usual * 1000, max(@$times) * 1000, max(@$reference) * 1000);
	cmp_ok($median, '<', 0.1 + 3 * $usual, "$name: at once");
	cmp_ok(max(@$times), '<', $FAR_TOO_LONG + max(@$reference), "$name: each time");
	return;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

sub all_like
{
	my ($texts, $pattern, $name) = @_;
	my @others = grep { $_ !~ $pattern } @$texts;

	is_deeply(\@others, [], $name);
	return;
}

done_testing();
