# chpg_activity shows what other sessions do, how far they are, and what they wait for; and nothing
# of what has ended, in whatever way.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $PATTERNS = 'slowQueryPatterns$';
my $FLEET = "SELECT FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z')";

my $url = start_emulator();
my $node = start_node('main', "chpg.server = 'chpg'", "chpg.max_wait = '10 min'", "chpg.request_timeout = '10 min'", 'restart_after_crash = on');
$node->safe_psql('postgres', connect_sql($url) . q{CREATE ROLE reader LOGIN; CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats;});
my $monitor = open_session($node);
my $named = in_session($monitor, 'SHOW server_version_num') >= 170000;

# What there is in these columns, of all sessions
sub activity
{
	my ($columns) = @_;
	return in_session($monitor, "SELECT $columns FROM chpg_activity() ORDER BY waiting_for");
}

# Wait until these columns are so.
sub shows
{
	my ($columns, $expected, $name) = @_;
	my $found = '';

	eval { wait_until(sub { ($found = activity($columns)) eq $expected }, $name); 1 } or diag($@);
	return is($found, $expected, $name);
}

# Wait until pg_stat_activity shows this wait event, too.
sub waits_in
{
	my ($event) = @_;
	$event = 'Extension' if !$named;
	wait_until(sub { in_session($monitor, q{SELECT s.wait_event_type, s.wait_event FROM chpg_activity a JOIN pg_stat_activity s USING (pid)}) eq "Extension|$event" }, "the wait event is $event");
	return pass("and pg_stat_activity shows it as $event");
}

sub is_gone { my ($name) = @_; return shows('*', '', $name) }

sub set_limit { my ($limit) = @_; return in_session($monitor, "ALTER SERVER chpg OPTIONS (SET rate_limit '$limit')") }

# Begin a statement in a new session, as this role; returns the session and its process.
sub begin_statement
{
	my ($sql, @psql) = @_;
	my $session = open_session($node, @psql);
	my $pid = in_session($session, 'SELECT pg_backend_pid()');

	begin_in_session($session, $sql);
	return ($session, $pid);
}

sub ends_by_cancel
{
	my ($session, $pid, $name) = @_;

	in_session($monitor, "SELECT pg_cancel_backend($pid)");
	await_in_session($session, qr/ERROR: /);
	is_gone($name);
	return;
}

my ($session, $pid);

is(in_session($monitor, 'SELECT count(*) FROM chpg_activity'), '0', 'at first nobody does anything');

# A response of the API
fault($url, hang => JSON::PP::true, path => 'postgres$');
($session, $pid) = begin_statement("SELECT *\n  FROM chpg_services\n -- whose text is long\n");
shows('pid, operation, done, total, unit, waiting_for', "$pid|list the services|0|1|requests|API response", 'a call waits for a response of the API');
like(activity('statement'), qr/\ASELECT \*\n  FROM chpg_services\n -- whose text is long/, 'the statement is as pg_stat_activity has it');
is(in_session($monitor, 'SELECT * FROM chpg_activity'), "$pid|SELECT * FROM chpg_serv~|list the services|0|1|API response|", 'the view is short');
is(activity('waiting_since BETWEEN started_at AND now() AND started_at > now() - interval \'1 hour\', estimated_end IS NULL'), 't|t', 'since when, but not until when');
waits_in('ChpgApiResponse');
my %looks = map { in_session($monitor, 'SELECT started_at, waiting_since FROM chpg_activity()') => 1 } 1 .. 30;
is(scalar keys %looks, 1, 'times are the same ones at each look, to the microsecond');

# Another session's same request
$node->safe_psql('postgres', "ALTER DATABASE postgres SET chpg.cache_ttl = '1 h'");
ends_by_cancel($session, $pid, 'a cancel ends it');
$session->quit;
($session, $pid) = begin_statement('SELECT count(*) FROM chpg_services');
shows('waiting_for', 'API response', 'a session that others may follow');
my ($follower, $follower_pid) = begin_statement('SELECT count(*) FROM chpg_services');
shows('waiting_for', "API response\nanother session", 'a session waits for the response to the same request of another one');
wait_until(sub { in_session($monitor, "SELECT wait_event FROM pg_stat_activity WHERE pid = $follower_pid") eq ($named ? 'ChpgSharedResponse' : 'Extension') }, 'so is the wait event');

# A session that ends, in whatever way, is gone.
in_session($monitor, "SELECT pg_terminate_backend($follower_pid)");
shows('pid', $pid, 'a session that is terminated is gone');
ends_by_cancel($session, $pid, 'and one that is canceled');
$session->quit;
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET chpg.cache_ttl');

# A fleet
only_fault($url, hang => JSON::PP::true, path => $PATTERNS, skip => 4);
($session, $pid) = begin_statement($FLEET);
shows('operation, done, total, unit, waiting_for', 'read the slow query patterns|4|6|requests|API response', 'a fleet read shows how many requests are answered');
is(activity(q{estimated_end >= now() - interval '1 s', estimated_end - now() < interval '1 h'}), 't|t', 'and an end is estimated');
like(in_session($monitor, 'SELECT estimated_end FROM chpg_activity'), qr/\A(?:\d\d-\d\d \d\d:\d\d|\d\d:\d\d:\d\d)\z/, 'which the view shows as a time of the day');
ends_by_cancel($session, $pid, 'until it is canceled');
is(in_session($session, 'SELECT 1'), 1, 'the session goes on');

# An error that the statement catches ends what failed.
clear_faults($url);
begin_in_session($session, "DO \$\$ BEGIN BEGIN PERFORM chpg_wait('$ORDERS', 'stopped', timeout => '50 ms'); EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'caught'; END; PERFORM pg_sleep(600); END \$\$");
await_in_session($session, qr/caught/);
is_gone('a wait that failed, and was caught, is gone, though its statement goes on');
in_session($monitor, "SELECT pg_cancel_backend($pid)");
await_in_session($session, qr/ERROR: /);

# The request budget, and a block of the key
clear_faults($url);
set_limit('2/300s');
begin_in_session($session, $FLEET);
shows('operation, waiting_for', 'list the services|request budget', 'a session waits for its turn');
waits_in('ChpgRequestBudget');
ends_by_cancel($session, $pid, 'until it is canceled');
set_limit('unlimited');
only_fault($url, status => 429, headers => { 'X-RateLimit-Reset' => '20' }, path => 'postgres$');
begin_in_session($session, 'SELECT FROM chpg_services');
shows('waiting_for', 'rate limit', 'a session waits for the end of its key\'s block');
waits_in('ChpgRateLimit');
ends_by_cancel($session, $pid, 'until it is canceled');
clear_faults($url);
in_session($monitor, 'SELECT chpg_budget_reset()');
only_fault($url, status => 503, headers => { 'Retry-After' => '30' }, path => 'postgres$');
begin_in_session($session, 'SELECT FROM chpg_services');
shows('waiting_for', 'retry', 'a session waits for its next attempt');
waits_in('ChpgRetry');
ends_by_cancel($session, $pid, 'until it is canceled');
clear_faults($url);

# A state
begin_in_session($session, "SELECT FROM chpg_wait('$ORDERS', 'stopped', poll_interval => '1 hour', timeout => '2 hours')");
shows('operation, done, total, waiting_for, waiting_since = started_at, estimated_end', 'wait for a service|||service state|t|', 'a session waits for a state');
waits_in('ChpgServiceState');
ends_by_cancel($session, $pid, 'until it is canceled');
begin_in_session($session, "CALL chpg_wait_until('$ORDERS', 'stopped', poll_interval => '20 ms', timeout => '2 hours')");
shows('operation', 'wait for a service', 'a procedure waits for one');
clear_journal($url);
wait_until(sub { request_count($url) > 3 }, 'it polls');
is(activity('operation'), 'wait for a service', 'and does so after its commits');
ends_by_cancel($session, $pid, 'until it is canceled');

# A capture
$node->safe_psql('postgres', q{SELECT chpg_history_enable('kept')});
settle($node, 'kept');
$node->safe_psql('postgres', q{UPDATE kept.setting SET value = '9 hours' WHERE name = 'backfill'});
clear_journal($url);
in_session($session, q{CALL chpg_capture('hour', 'orders', 1)});
my $each = grep { $_->{path} =~ /$PATTERNS/ } @{ journal($url)->{requests} };
only_fault($url, hang => JSON::PP::true, path => $PATTERNS, skip => 2 * $each);
begin_in_session($session, q{CALL chpg_capture('hour', 'orders', 3)});
shows('statement, operation, done, total, unit, waiting_for', q{CALL chpg_capture('hour', 'orders', 3);|capture|2|3|windows|API response}, 'a capture shows its windows, and not their reads');
is(activity('estimated_end > now() - interval \'1 s\''), 't', 'and when it may end');
in_session($monitor, "SELECT pg_cancel_backend($pid)");
await_in_session($session, qr/ERROR: .*could not capture 1 of 3/);
is_gone('a capture that fails at its end is gone');
clear_faults($url);
in_session($session, q{CALL chpg_capture('hour', 'orders', 1)});
is(activity('*'), '', 'a capture that ends is gone');

# A capture that leaves the budget to others
set_limit('900/300s');
$node->safe_psql('postgres', q{UPDATE kept.setting SET value = '900' WHERE name = 'reserve'});
begin_in_session($session, 'CALL chpg_capture(max_windows => 3)');
shows('operation, done, waiting_for', 'capture|0|request budget', 'a capture that leaves the budget to others waits for it');
is(activity(q{estimated_end - started_at BETWEEN '595 s' AND '620 s'}), 't', 'it may end when the budget allows it, which is known before its first window');
is(in_session($monitor, 'SELECT max(waiting) FROM chpg_budget'), '0', 'it has no place in the queue');
wait_until(sub { activity(q{waiting_since < clock_timestamp() - interval '1.3 s'}) eq 't' }, 'it does so for longer than a moment');
pass('for longer than a moment');
in_session($monitor, "SELECT pg_cancel_backend($pid)");
await_in_session($session, qr/ERROR: /);
is_gone('until it is canceled');
set_limit('unlimited');

# Exports and imports
$node->safe_psql('postgres', 'CREATE TABLE exported AS SELECT * FROM chpg_history_export()');
in_session($monitor, 'BEGIN; LOCK kept.metric_day');
begin_in_session($session, 'SELECT count(*) FROM chpg_history_export()');
shows('operation, done, total, unit, waiting_for', 'export|0|6|services|', 'an export shows its services');
in_session($monitor, 'ROLLBACK');
is_gone('until it has ended');
in_session($monitor, 'BEGIN; SELECT FROM kept.capture FOR UPDATE');
begin_in_session($session, "SELECT * FROM chpg_history_import('TABLE exported')");
shows('operation, done, total > 0, unit', 'import: write|0|t|windows', 'an import shows its windows');
in_session($monitor, 'ROLLBACK');
is_gone('until it has ended');

# What a role sees of others is what it sees of them in pg_stat_activity.
only_fault($url, hang => JSON::PP::true, path => 'postgres$');
begin_in_session($session, 'SELECT FROM chpg_services');
shows('waiting_for', 'API response', 'a session of a superuser');
is($node->safe_psql('postgres', 'SELECT * FROM chpg_activity', extra_params => [ '-U', 'reader' ]), "$pid|<insufficient privilege>|||||", 'another role sees that there is one, and nothing of it');
is($node->safe_psql('postgres', 'SELECT pid, operation FROM chpg_activity', extra_params => [ '-U', 'watcher' ]), "$pid|list the services", 'a member of pg_read_all_stats sees what it does');
ends_by_cancel($session, $pid, 'until it is canceled');
$node->safe_psql('postgres', 'GRANT USAGE ON FOREIGN SERVER chpg TO reader');
clear_faults($url);
$node->safe_psql('postgres', connect_call(), extra_params => [ '-U', 'reader' ]);
only_fault($url, hang => JSON::PP::true, path => 'postgres$');
my ($own, $own_pid) = begin_statement('SELECT FROM chpg_services', extra_params => [ '-U', 'reader' ]);
shows('waiting_for', 'API response', 'a session of another role');
is($node->safe_psql('postgres', 'SELECT pid, statement, operation FROM chpg_activity()', extra_params => [ '-U', 'reader' ]), "$own_pid|SELECT FROM chpg_services;|list the services", 'a role sees its own');
ends_by_cancel($own, $own_pid, 'until it is canceled');
$own->quit;

# A nonsense operation, and one that is not ended
fails_with($node, q{SELECT _chpg_progress('nonsense', 1, 2)}, '22023', qr/unknown operation of chpg/, 'an operation that is none');
in_session($session, q{SELECT _chpg_progress('export', 9223372036854775807, -9223372036854775808)});
is(activity('*'), '', 'an operation ends with its statement');
in_session($session, q{BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT _chpg_progress('capture', 1, 2); COMMIT});
is(activity('*'), '', 'an operation of a cursor that is held ends with its transaction');
in_session($session, 'CLOSE held');
in_session($session, q{CREATE TEMP TABLE deferred (); CREATE FUNCTION pg_temp.progress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM _chpg_progress('export', 1, 2); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER progress AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.progress(); BEGIN; INSERT INTO deferred DEFAULT VALUES; COMMIT});
is(activity('*'), '', 'and so does one of a deferred trigger');
for my $seconds (qw(NaN Infinity -Infinity 1e308 -1))
{
	is(in_session($session, qq{SELECT a.operation, a.estimated_end FROM _chpg_progress('capture', 0, 2) p, _chpg_expect_end('capture', '$seconds') e, LATERAL (SELECT * FROM chpg_activity WHERE p IS NOT NULL AND e IS NOT NULL) a}),
		'capture|', "an end in $seconds seconds is none");
}
is(in_session($session, q{SELECT a.operation, a.done, a.total, a.estimated_end FROM _chpg_progress('export', 1, 9223372036854775807) p, LATERAL (SELECT * FROM chpg_activity WHERE p IS NOT NULL) a}),
	'export|1|9223372036854775807|', 'an end that is far away is none');

# A crash
begin_in_session($session, 'SELECT FROM chpg_services');
shows('waiting_for', 'API response', 'a session whose backend is killed');
kill_backend($node, $pid);
eval { $monitor->quit };
eval { $session->quit };
is($node->safe_psql('postgres', 'SELECT * FROM chpg_activity'), '', 'after a crash nothing is left of it');

# Before PostgreSQL 17 sessions that share no memory do not see each other, and are told so.
if (!$named)
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	is($node->safe_psql('postgres', 'SELECT * FROM chpg_activity'), '', 'without preloading, no other session is shown');
	like(notices($node, 'SELECT * FROM chpg_activity'), qr/NOTICE:  other sessions are not shown: add chpg to "shared_preload_libraries"/, 'which a notice says');
}

done_testing();
