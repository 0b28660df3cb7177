# History: each window is captured once, a failed window is tried again, and a window
# that the API no longer keeps is marked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0', 'restart_after_crash = on');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 20);

sub checksum
{
	my (%psql) = @_;
	return $node->safe_psql($psql{dbname} // 'postgres', <<'SQL');
SET search_path = kept;
SELECT md5(string_agg(p::text, '' ORDER BY p::text)) FROM planted.pattern p;
SELECT md5(string_agg(m::text, '' ORDER BY m::text)) FROM planted.point m;
SELECT md5(string_agg(k::text, '' ORDER BY k::text)) FROM pattern_key k;
SELECT md5(string_agg(query_text, '' ORDER BY text_id)) FROM query_text;
SELECT md5(string_agg(concat_ws(' ', service_id, grain, window_start, status, patterns, truncated), '' ORDER BY service_id, grain, window_start)) FROM capture;
SQL
}

sub setting
{
	my ($name, $value) = @_;
	return $node->safe_psql('postgres', "UPDATE kept.setting SET value = '$value' WHERE name = '$name'");
}

# The schema of the history

fails_with($node, q{SELECT chpg_history_enable('my_pg_history')}, '22023', qr/invalid name for the schema of the history: "my_pg_history".*Metabase/s, 'a name that BI tools do not show');
fails_with($node, 'SELECT chpg_history_enable(NULL)', '22004', qr/must not be null/, 'no name');
fails_with($node, 'CALL chpg_capture()', '55000', qr/there is no history.*HINT:  Begin one/s, 'a capture without a history');
$node->safe_psql('postgres', q{SELECT chpg_history_enable('kept'); SELECT chpg_history_enable('kept')});
make_plantable($node);
fails_with($node, q{SELECT chpg_history_enable('elsewhere')}, '55000', qr/the history is in schema "kept" already/, 'another schema');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'kept'::regnamespace AND c.relkind = 'v' AND a.attnum > 0 AND coalesce(col_description(c.oid, a.attnum), '') = ''}),
	0, 'all columns of views have comments');
is($node->safe_psql('postgres', q{SELECT string_agg(col_description(v::regclass, attnum), '|' ORDER BY v, attname) FROM (VALUES ('kept.pattern_hour')) t(v) JOIN pg_attribute ON attrelid = v::regclass AND attname IN ('query_id', 'tag_team')}),
	q{Hash of the normalized query, PostgreSQL's own: joins with pg_stat_statements.queryid. What has none is not here; its errors are in error_hour.|Tag "team" of the service then; null where it had none.}, 'which say what the views have');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'kept'::regnamespace AND c.relkind = 'v' AND a.attname = 'error_count' AND col_description(c.oid, a.attnum) LIKE '%call_count does not have them.'}),
	7, 'and that errors are counted apart');
is($node->safe_psql('postgres', q{SELECT count(*) > 6, count(*) FILTER (WHERE attname <> 'time') FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'kept'::regnamespace AND c.relkind = 'v' AND c.relname !~ '^(archive|dead_letter|finding|incident)' AND a.attnum = 1}),
	't|0', 'and all views of windows begin with time');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid WHERE d.deptype = 'e' AND c.relnamespace = 'kept'::regnamespace}), 0, 'the extension owns none of its objects');

# Captures

fails_with($node, q{CALL chpg_capture(service => 'no such')}, '42704', qr/service "no such" is not in the history/, 'a service that is not there');
settle($node, 'kept');
setting(backfill => '6 hours');

# Each window is captured in its own transaction.
my %blocks = (
	'a transaction block' => 'BEGIN; CALL chpg_capture()',
	'a function' => q{CREATE FUNCTION pg_temp.capture() RETURNS void LANGUAGE plpgsql AS 'BEGIN CALL chpg_capture(); END'; SELECT pg_temp.capture()},
	'a block that handles errors' => q{DO 'BEGIN CALL chpg_capture(); EXCEPTION WHEN division_by_zero THEN NULL; END'},
);
clear_journal($url);
fails_with($node, $blocks{$_}, '25001', qr/chpg_capture\(\) cannot run inside a transaction block\nHINT:  Call it outside of a transaction block, as in: psql -c/, "within $_") for sort keys %blocks;
my (undef, $said) = run_command([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', 'SET work_mem = 10240; CALL chpg_capture()' ]);
like($said, qr/chpg_capture\(\) cannot run inside a transaction block/, 'several statements in a string are a transaction, too');
is(request_count($url), 0, 'and no request is sent');
costs($node, $url, q{DO 'BEGIN CALL chpg_capture(max_windows => 0); COMMIT; END'}, 1, 'within a block that may end transactions');

# The number of requests is known before the first capture, and each run that leaves
# windows reports them.
$node->safe_psql('postgres', 'TRUNCATE kept.service');
costs($node, $url, 'BEGIN READ ONLY; SELECT * FROM chpg_history_cost(); ROLLBACK', 0, 'a role that cannot store the services requests none');
like(costs($node, $url, 'SELECT * FROM chpg_history_cost()', 1, 'no service is stored yet'), qr/^hour\|\d+\|\d+\|0$/, 'and the services are stored first');
costs($node, $url, 'SELECT * FROM chpg_history_cost()', 0, 'then no request is sent');
like(notices($node, 'CALL chpg_capture(max_windows => 0)'), qr/^psql:\S+ NOTICE:  \d+ windows are left to the next run\nHINT:  A run captures 0 at most: see its argument "max_windows"\.$/, 'a notice has the number of remaining windows');
clear_journal($url);
fails_with($node, 'CALL chpg_capture(max_windows => -1)', '22023', qr/invalid value for "max_windows": -1\nHINT:  Give the number/, 'less than none');
is(request_count($url), 0, 'sends no request');
is($node->safe_psql('postgres', q{SELECT n.at = _chpg_report_progress('capture', n.at, 3, 10) FROM (SELECT clock_timestamp() AS at) n}), 't', 'no notice of progress');
like(notices($node, q{SELECT _chpg_report_progress('capture', now() - interval '1 minute', 3, 10)}), qr/NOTICE:  3 of 10 windows are done$/, 'until a minute has passed');
my ($windows, $requests) = split /\|/, $node->safe_psql('postgres', q{SELECT windows, requests FROM chpg_history_cost() WHERE grain = 'hour'});
cmp_ok($windows, '>=', 8, 'hours of two services are due');
costs($node, $url, q{CALL chpg_capture('hour')}, $requests + 1, 'a capture costs the announced requests, and the list');
my $first = checksum();
is($node->safe_psql('postgres', q{SELECT count(*) = (SELECT count(*) FROM kept.capture c, LATERAL chpg_slow_patterns(c.window_start, c.window_end, c.service_id) WHERE c.grain = 'hour') FROM planted.pattern}), 't', 'all patterns are there');
costs($node, $url, q{CALL chpg_capture('hour')}, 1, 'nothing is due any more');
is(checksum(), $first, 'capturing twice changes nothing');

# When another hour has ended, the two hours before it are requested again, though not their
# metrics, of services whose data came late within a week.
sub later { return $node->safe_psql('postgres', q{UPDATE kept.capture SET captured_at = now() - interval '1 hour'}) }
sub late { my ($is_late) = @_; return $node->safe_psql('postgres', 'UPDATE kept.capture SET changed_at = ' . ($is_late ? 'now()' : 'NULL')) }
# where each row is, and which transaction wrote or locked it
sub places { return $node->safe_psql('postgres', join ';', map { "SELECT md5(string_agg(concat_ws(' ', ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM kept.$_" } qw(open_hour day_sum metric_day pattern_key query_text)) }
later();
late(1);
my $places = places();
is($node->safe_psql('postgres', q{SELECT requests FROM chpg_history_cost() WHERE grain = 'hour'}), 2 * 2 * 2, 'two requests for each are announced');
costs($node, $url, q{CALL chpg_capture('hour')}, 1 + 2 * 2 * 2, 'an hour later');
is(checksum(), $first, 'and still nothing has changed');
is(places(), $places, 'nor was a row written');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT attempts::text, ' ' ORDER BY attempts::text) FROM kept.capture}), '1 2', 'though the newest windows were requested again');

# Late data: the API returns other values for the newest hours.
later();
my $again = $node->safe_psql('postgres', q{SELECT string_agg(window_start::text, ' ' ORDER BY window_start) FROM (SELECT DISTINCT window_start FROM chpg_history_due('hour', 'orders') WHERE again) d});
is(scalar(() = $again =~ /:00\+00/g), 2, 'two hours are requested again');
reset_emulator($url, services => 2, patterns => 20, pattern_overrides => { orders => { 3 => { callCount => 777_777 } } });
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is($node->safe_psql('postgres', q{SELECT string_agg(window_start::text, ' ' ORDER BY window_start), max(call_count) FROM planted.pattern WHERE call_count = 777777}), "$again|777777", 'late executions are added to these hours, and to no others');
$node->safe_psql('postgres', q{DELETE FROM planted.pattern WHERE call_count = 777777});
reset_emulator($url, services => 2, patterns => 20);
later();
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is(checksum(), $first, 'a window is replaced as a whole');

# A window that was captured too early stays due, though other windows were captured since.
my $one_of_due = q{SELECT count(*), min(window_start) FILTER (WHERE again) = (SELECT min(window_start) FROM kept.capture) FROM chpg_history_due('hour')};
$node->safe_psql('postgres', q{UPDATE kept.capture SET captured_at = window_end + interval '1 minute' WHERE window_start = (SELECT min(window_start) FROM kept.capture)});
is($node->safe_psql('postgres', $one_of_due), '2|t', 'after a gap the window before it is due');
fault($url, path => 'slow', status => 500);
fails_with($node, q{CALL chpg_capture('hour')}, '38000', qr/could not capture 2 of 2 windows/, 'its second capture fails');
is($node->safe_psql('postgres', $one_of_due), '2|t', 'and is tried again');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT status, ' '), count(error) FROM kept.coverage}), 'ok|2', 'the window is as it was');
clear_faults($url);
costs($node, $url, q{CALL chpg_capture('hour')}, 1 + 2 * 2, 'until it succeeds');
is(checksum(), $first, 'with the same patterns');
late(0);

# Missed windows, one at a time and the oldest first
$node->safe_psql('postgres', q{DELETE FROM kept.capture WHERE window_start < now() - interval '2 hours 30 minutes'; DELETE FROM planted.pattern WHERE window_start < now() - interval '2 hours 30 minutes'});
$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 2)});
is($node->safe_psql('postgres', q{SELECT count(*) = 2 AND max(window_start) < (SELECT min(window_start) FROM chpg_history_due('hour')) FROM kept.capture WHERE window_start < now() - interval '2 hours 30 minutes'}), 't', 'the oldest are first');
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is(checksum(), $first, 'missed windows are captured');

# Failures

my ($one, $other) = split /\n/, $node->safe_psql('postgres', 'SELECT id FROM chpg_services() ORDER BY id');
sub due_of { my ($condition) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM chpg_history_due('hour') WHERE NOT lost AND $condition") }
sub forget { return $node->safe_psql('postgres', 'TRUNCATE kept.capture, kept.open_hour, kept.day_sum, kept.metric_day') }

forget();
fault($url, path => "$one/slow", status => 500);
fails_with($node, q{CALL chpg_capture('hour')}, '38000', qr/could not capture 3 of \d+ windows.*DETAIL:  The first one: 58000: .* more of services that failed three times/s, 'a service that fails');
like($node->safe_psql('postgres', q{SELECT error FROM kept.coverage WHERE status = 'error' LIMIT 1}), qr/^58000: could not read .*: the API failed\. The API says: .*HTTP status 500, request id \S+, 1 attempt\.$/, 'with the error of the API');
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_history_due('hour') WHERE service_id <> '$one'"), 0, 'holds no other up');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT lag(c.attempts) OVER (ORDER BY d.ordinality) AS before, c.attempts FROM chpg_history_due('hour') WITH ORDINALITY d LEFT JOIN kept.capture c USING (service_id, window_start)) q WHERE before IS NOT NULL AND attempts IS NULL}), 0, 'and failed windows come last');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT status || ' ' || (service_id = '$one'), ', ' ORDER BY status || ' ' || (service_id = '$one')) FROM kept.coverage"), 'error true, ok false', 'the other service is captured, and the failures are recorded');
clear_faults($url);
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is((split /\n/, checksum())[0], (split /\n/, $first)[0], 'the next run captures the failed windows');

# A service that is not running is noted as not read, and fails no run.  What the history
# has of it stays.
for my $case ([ refused => '22023' ], [ unavailable => '58000' ])
{
	my ($option, $state) = @$case;
	my %down = (services => 2, patterns => 20, not_running => $option);

	$down{overrides} = { map { $_ => { state => 'stopped' } } grep { $node->safe_psql('postgres', "SELECT name FROM chpg_services() WHERE id = '$one'") eq $_ } qw(orders billing) };
	reset_emulator($url, %down);
	forget();
	my $warnings = notices($node, q{CALL chpg_capture('hour')});
	like($warnings, qr/^\S+ WARNING:  service "$one" is "stopped": its windows are left to the next run\nDETAIL:  Not read: the service is "stopped"\. $state: could not read .*\nHINT:  [^\n]*\z/, "$option: a service that is not running");
	is(scalar(grep { $_->{path} =~ m{$one/} } @{ journal($url)->{requests} }), 1, "$option: is asked once");
	is($node->safe_psql('postgres', "SELECT count(*), count(patterns), string_agg(DISTINCT status || ' ' || left(error, 41), ', ') FROM kept.coverage WHERE service_id = '$one'"), '1|0|error Not read: the service is "stopped". ' . $state, "$option: its window is no empty one");
	is($node->safe_psql('postgres', "SELECT count(*) FROM kept.service_hour WHERE service_id = '$one' AND (patterns IS NOT NULL OR call_count IS NOT NULL)"), 0, "$option: nor in the views");
	is(due_of("service_id <> '$one'"), 0, "$option: the other service is captured");
	reset_emulator($url, services => 2, patterns => 20);
	$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
	is((split /\n/, checksum())[0], (split /\n/, $first)[0], "$option: once it runs again, its windows are captured");
	later();
	late(1);
	reset_emulator($url, %down);
	like(notices($node, q{CALL chpg_capture('hour')}), qr/WARNING:  service "$one" is "stopped"/, "$option: a service that was captured before");
	is((split /\n/, checksum())[0], (split /\n/, $first)[0], "$option: keeps its patterns");
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT status, ' ') FROM kept.capture}), 'ok', "$option: and its windows");
}
reset_emulator($url, services => 2, patterns => 20, not_running => 'refused', overrides => { map { $_ => { state => "stopped\n\x1b[31m" . 'x' x 100 } } qw(orders billing) });
forget();
like(notices($node, q{CALL chpg_capture('hour')}), qr/\A\S+ WARNING:  service "\S+" is "stopped \[31mx{38}": its windows are left to the next run\n/, 'a state is remote text');
reset_emulator($url, services => 2, patterns => 20, overrides => { map { $_ => { state => 'stopped' } } qw(orders billing) });
fault($url, path => "$one/slow", status => 403);
forget();
fails_with($node, q{CALL chpg_capture('hour')}, '38000', qr/The first one: 42501: /, 'an error of the key fails a run, whatever the state');
clear_faults($url);
reset_emulator($url, services => 2, patterns => 20);

forget();
fault($url, path => 'slowQueryPatterns', status => 429, headers => { 'X-RateLimit-Reset' => '0.01' });
clear_journal($url);
fails_with($node, q{SET chpg.max_wait = '50ms'; CALL chpg_capture('hour')}, '38000', qr/could not capture 3 of 3 windows.*53400/s, 'an API that rejects all requests');
cmp_ok(request_count($url), '<=', 1 + 3 * 10, 'does not get request after request');
clear_faults($url);
wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM chpg_budget WHERE blocked_until > now()') eq '0' }, 'the API takes requests again');
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is((split /\n/, checksum())[0], (split /\n/, $first)[0], 'the next run mends that, too');

# The run ends after three windows if the API does not respond at all. After a window
# for which some services do not respond, the next run begins with other windows.
reset_emulator($url, services => 6, patterns => 5, overrides => { search => { state => 'running' } });
forget();
$node->safe_psql('postgres', 'CALL chpg_capture(max_windows => 0)');
# A service's first window depends on the hour in which it was noted.  An hour may have ended since
# the first two were: let all have been noted with them, so that the oldest hour is due of all six.
$node->safe_psql('postgres', 'UPDATE kept.service SET noted_at = (SELECT min(noted_at) FROM kept.service)');
my $left = due_of('true');
fault($url, path => 'metrics|slowQueryPatterns', hang => JSON::PP::true);
clear_journal($url);
# three times two seconds; the response with the list has to arrive within these
my $ended = fails_with($node, q{SET chpg.request_timeout = '2s'; CALL chpg_capture('hour')}, '38000', qr/could not capture 3 of 3 windows\nDETAIL:  The first one: 08006: .* The API failed for three windows in a row, which ended the run\./, 'an API that hangs');
like($ended, qr/NOTICE:  00000: @{[ $left - 3 ]} windows are left to the next run\n(?!HINT)/, 'a notice has the number of remaining windows');
is(request_count($url), 1 + 3, 'and gets requests for three windows');
is(due_of('true'), $left, 'all of which stay due');
clear_faults($url);
forget();
my @failing = split /\n/, $node->safe_psql('postgres', 'SELECT id FROM chpg_services() ORDER BY id LIMIT 3');
my ($FAILING) = map { "service_id IN ($_)" } join ', ', map { "'$_'" } @failing;
fault($url, path => '(' . join('|', @failing) . ')/slow', status => 500);
fails_with($node, q{CALL chpg_capture('hour')}, '38000', qr/could not capture 3 of 3 windows/, 'three services that fail');
cmp_ok(due_of("NOT $FAILING"), '>', 3, 'keep a run from the other windows');
fails_with($node, q{CALL chpg_capture('hour')}, '38000', qr/could not capture 3 of \d\d+ windows/, 'the next run');
is(due_of("NOT $FAILING"), 0, 'captures the other windows first');
clear_faults($url);
reset_emulator($url, services => 2, patterns => 20);
$node->safe_psql('postgres', "CALL chpg_capture(max_windows => 0); DELETE FROM kept.service WHERE valid_to < 'infinity'");

# The error that is stored for a failure is one line of limited length.
forget();
fault($url, path => 'slowQueryPatterns', patch => { 'result.0.queryText' => "long\n" x 400 });
$node->safe_psql('postgres', q{CREATE UNIQUE INDEX refuse ON kept.query_text (query_text); INSERT INTO kept.query_text (text_hash, query, query_text) VALUES ('\x00', 'long', repeat(E'long\n', 400))});
fails_with($node, q{CALL chpg_capture('hour', max_windows => 1)}, '38000', qr/The first one: 23505: duplicate key value .* long long/, 'a window that cannot be kept');
is($node->safe_psql('postgres', q{SELECT length(error), error ~ 'long long [long ]+$' FROM kept.coverage}), '1000|t', 'is reported in one line');
$node->safe_psql('postgres', 'DROP INDEX kept.refuse');
clear_faults($url);
forget();

# A cancel ends the run, but the window is recorded, so that the next run begins with
# others.
forget();
fault($url, path => "$one/slow", hang => JSON::PP::true);
my $runner = open_session($node);
my $runner_pid = in_session($runner, 'SELECT pg_backend_pid()');
for my $run (1 .. 2)
{
	clear_journal($url);
	begin_in_session($runner, q{CALL chpg_capture('hour')});
	wait_until(sub { grep { $_->{path} =~ m{\Q$one\E/slow} } @{ journal($url)->{requests} } }, 'a window hangs');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($runner_pid)");
	await_in_session($runner, qr/ERROR:  57014: could not capture 1 of \d+ windows\nDETAIL:  The first one: 57014: canceling statement due to user request\. It was canceled, which ended the run\./);
	pass("run $run ends with its cancel");
}
$runner->quit;
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_history_due('hour') WHERE service_id = '$other'"), 0, 'the other service is captured nevertheless');
clear_faults($url);
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is((split /\n/, checksum())[0], (split /\n/, $first)[0], 'and the service that hung is captured once it responds');

# Entries of the list that cannot be used
for my $case ([ 'without an id', undef, qr/^psql:\S+ WARNING:  a service without an id is not captured$/m ], [ 'of the same id', $one, qr/^(?!.*WARNING)/ ])
{
	clear_faults($url);
	fault($url, path => 'postgres$', body => encode_json({ result => [ map { { id => $_, name => 'a name' } } $one, $case->[1], $other ] }));
	forget();
	like(notices($node, q{CALL chpg_capture('hour')}), $case->[2], "a service $case->[0]");
	is((split /\n/, checksum())[0], (split /\n/, $first)[0], 'does not lose the other services');
}
clear_faults($url);
$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 0)});

# A list that lacks a service leaves no gap in that service's past, nor does a change
# meanwhile.
sub versions { return $node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE valid_from IS DISTINCT FROM before AND before IS NOT NULL), max(valid_to) FROM (SELECT *, lag(valid_to) OVER (ORDER BY valid_from) AS before FROM kept.service WHERE service_id = '$other') v") }
my $was = versions();
my ($name) = $node->safe_psql('postgres', "SELECT name FROM chpg_services() WHERE id = '$other'");
for my $region ('same', 'another')
{
	reset_emulator($url, services => 2, patterns => 20, overrides => { $name => { state => 'deleting' } });
	$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 0)});
	like(versions(), qr/^\d\|0\|2/, 'a service that is not listed');
	reset_emulator($url, services => 2, patterns => 20, $region eq 'same' ? () : (overrides => { $name => { region => 'elsewhere' } }));
	$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 0)});
	is(versions(), $region eq 'same' ? $was : (split(/\|/, $was))[0] + 1 . '|0|infinity', "is listed again, $region");
}
reset_emulator($url, services => 2, patterns => 20);
$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 0)});

# A crash in the middle of a capture
forget();
fault($url, path => "$other/slow", hang => JSON::PP::true, times => 1);
my $session = open_session($node);
my $pid = in_session($session, 'SELECT pg_backend_pid()');
begin_in_session($session, q{CALL chpg_capture('hour')});
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event IN ('ChpgApiResponse', 'Extension')") eq '1' && request_count($url) > 1 }, 'a window is under way');
kill_backend($node, $pid);
eval { $session->quit };
clear_faults($url);
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is((split /\n/, checksum())[0], (split /\n/, $first)[0], 'after a crash the next run captures the missing windows');

# Many patterns, and errors without execution time

reset_emulator($url, services => 1, patterns => 700);
$node->safe_psql('postgres', q{SELECT chpg_history_disable()}, on_error_stop => 0);
$node->safe_psql('postgres', q{SELECT chpg_history_enable('more'); UPDATE more.setting SET value = '4 hours' WHERE name = 'backfill'; UPDATE more.setting SET value = 'off' WHERE name = 'metric_bucket'});
settle($node, 'more');
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is($node->safe_psql('postgres', q{SELECT min(patterns) > 500, bool_or(truncated), bool_and(cutoff_us IS NULL) FROM more.capture}), 't|f|t', 'two pages');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM more.open_hour p JOIN more.pattern_key k USING (pattern_key) WHERE k.query_id = 0 AND p.error_count > 0}), 't', 'errors without a query');
is($node->safe_psql('postgres', q{SELECT count(*) FROM more.pattern_hour WHERE query_id = 0}), 0, 'which are no patterns');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM more.error_hour}), '>', 0, 'but errors');
$node->safe_psql('postgres', q{UPDATE more.setting SET value = '100' WHERE name = 'max_patterns'; TRUNCATE more.capture; CALL chpg_capture('hour')});
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT truncated || ' ' || (cutoff_us > 0), ',') FROM more.capture}), 'true true', 'a truncated window is marked');
cmp_ok($node->safe_psql('postgres', q{SELECT min(patterns) FROM more.capture}), '>=', 100, 'and has the longest patterns, and those with errors');

# Days are requested as days: their percentiles are those of the API.

$node->safe_psql('postgres', q{UPDATE more.setting SET value = '2000' WHERE name = 'max_patterns'; UPDATE more.setting SET value = '3 days' WHERE name = 'backfill'});
my ($days, $day_requests) = split /\|/, $node->safe_psql('postgres', q{SELECT windows, requests FROM chpg_history_cost() WHERE grain = 'day'});
cmp_ok($days, '>=', 1, 'days are due');
is($day_requests, 2 * $days, 'of two requests each, or more');
costs($node, $url, q{CALL chpg_capture('day')}, 1 + 3 * $days, 'days of two pages, and their errors');
is($node->safe_psql('postgres', <<'SQL'), join('|', $days, (699 * $days) x 2), 'all patterns of a day are as the API returns them');
SELECT count(DISTINCT d."time"), count(*), count(*) FILTER (WHERE d.p95_duration_us::real = p.p95_duration_us::real AND d.call_count = p.call_count)
FROM more.pattern_day d
JOIN LATERAL chpg_slow_patterns(d."time", d."time" + interval '1 day', d.service_id) p
	ON (p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation, coalesce(p.app, '')) = (d.service_id, d.query_id, d.db_name, d.db_user, d.db_operation, d.app)
SQL
is($node->safe_psql('postgres', q{SELECT count(*), bool_and(p95_lo_us <= p95_hi_us AND patterns = 699) FROM more.service_day}), "$days|t", 'and make days of the service');

# A capture leaves a part of the budget to other calls.

$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '4/1s'); UPDATE more.setting SET value = '4' WHERE name = 'reserve'; UPDATE more.setting SET value = '400' WHERE name = 'max_patterns'; DELETE FROM more.capture WHERE grain = 'hour'});
clear_journal($url);
$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 3)});
my @times = sort { $a <=> $b } map { $_->{at} } grep { $_->{path} =~ /slowQueryPatterns/ } @{ journal($url)->{requests} };
is(scalar @times, 6, 'three windows, of two requests each');
cmp_ok($times[$_] - $times[ $_ - 1 ], '>', 0.9, 'a window begins when all of the budget is free') for 2, 4;
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited'); UPDATE more.setting SET value = '3' WHERE name = 'reserve'; UPDATE more.setting SET value = '2000' WHERE name = 'max_patterns'; UPDATE more.setting SET value = '4 hours' WHERE name = 'backfill'});

# The limit without the reserve decides how many windows begin in each period: here
# three.

$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '10/2s'); UPDATE more.setting SET value = '1 day' WHERE name = 'backfill'; UPDATE more.setting SET value = '5 minutes' WHERE name = 'metric_bucket'; UPDATE more.setting SET value = '3' WHERE name = 'reserve'; UPDATE more.setting SET value = '400' WHERE name = 'max_patterns'; DELETE FROM more.capture WHERE grain = 'hour'});
my ($all, $seconds) = split /\|/, $node->safe_psql('postgres', q{SELECT windows, seconds FROM chpg_history_cost() WHERE grain = 'hour'});
is($seconds, 2 * POSIX::ceil($all / 3 - 1), 'a period for each three, but none for the first');
wait_until(sub { $node->safe_psql('postgres', q{SELECT used FROM chpg_budget WHERE server = 'chpg'}) eq '0' }, 'all of the budget is free');
clear_journal($url);
$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 13)});
@times = sort { $a <=> $b } map { $_->{at} } @{ journal($url)->{requests} };
cmp_ok($times[-1] - $times[0], '>', 0.9 * 8, '13 windows take four periods');
# after the list of services, as many requests for each window
my @begun = map { $times[ 1 + $_ * (@times - 1) / 13 ] } 0 .. 12;
my ($shortest) = sort { $a <=> $b } map { $begun[$_] - $begun[ $_ - 1 ] } 1 .. 12;
cmp_ok($shortest, '<', 0.9 * 2, 'and not one for each window');

# A run that will take long reports that when it begins.
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '10/60s'); DELETE FROM more.capture WHERE grain = 'hour'});
$session = open_session($node);
$pid = in_session($session, 'SELECT pg_backend_pid()');
begin_in_session($session, q{CALL chpg_capture('hour', max_windows => 7)});
await_in_session($session, qr/NOTICE:  00000: capturing 7 windows takes 21 requests, and about 120 seconds/);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
await_in_session($session, qr/ERROR:  57014: /);
pass('a run of more than a minute announces its time');
$session->quit;
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited'); UPDATE more.setting SET value = '2000' WHERE name = 'max_patterns'; UPDATE more.setting SET value = 'off' WHERE name = 'metric_bucket'; UPDATE more.setting SET value = '4 hours' WHERE name = 'backfill'});

# If less than the reserve is free, the capture goes on with what there is; other keys
# do not matter.

$node->safe_psql('postgres', "CREATE SERVER other FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', rate_limit '2/60s'); CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (key_id 'secondKeyId', key_secret '$KEY_SECRET'); SELECT count(*) FROM chpg_services('other')");
$node->safe_psql('postgres', q{ALTER SERVER chpg OPTIONS (SET rate_limit '2/0.1s'); DELETE FROM more.capture WHERE grain = 'hour'});
my $started = time;
$node->safe_psql('postgres', q{CALL chpg_capture('hour', max_windows => 2, server => 'chpg')});
# else it would wait a minute for each
cmp_ok(time - $started, '<', 100, 'a capture does not wait for a reserve above the limit');
$node->safe_psql('postgres', q{DROP SERVER other CASCADE; ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});

# Services that appear and vanish

reset_emulator($url, services => 3, patterns => 700);
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is($node->safe_psql('postgres', q{SELECT count(DISTINCT service_id) FROM more.capture}), 3, 'new services are captured');
reset_emulator($url, services => 1, patterns => 700);
$node->safe_psql('postgres', q{CALL chpg_capture('hour')});
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE valid_to < 'infinity'), count(*) FROM more.service}), '2|3', 'services that are gone have an end');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT service_id) FROM more.capture}), 3, 'and a past');
is($node->safe_psql('postgres', q{SELECT count(*) FROM more.service_hour WHERE service_name IS NULL}), 0, 'with their names');

# Windows that are lost, and windows that are too old

$node->safe_psql('postgres', q{UPDATE more.setting SET value = '10 hours' WHERE name = 'backfill'; UPDATE more.setting SET value = '4 hours' WHERE name = 'api_retention'; CALL chpg_capture('hour')});
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM more.coverage WHERE status = 'lost'}), '>=', 5, 'hours that the API has no longer are lost');
is($node->safe_psql('postgres', q{SELECT count(*) FROM chpg_history_due('hour') WHERE lost}), 0, 'and not due any more');
is($node->safe_psql('postgres', q{UPDATE more.setting SET value = '7 days' WHERE name = 'api_retention'; SELECT count(*) FROM more.capture c WHERE status = 'lost' AND grain = 'hour' AND (service_id IN (SELECT service_id FROM more.service WHERE valid_to = 'infinity')) <> EXISTS (SELECT FROM chpg_history_due('hour') d WHERE (d.service_id, d.window_start, d.lost) = (c.service_id, c.window_start, false))}), 0, 'unless the API returns them after all');
$node->safe_psql('postgres', q{UPDATE more.setting SET value = '4 hours' WHERE name = 'api_retention'});
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_history_purge()'), 0, 'nothing is too old');
$node->safe_psql('postgres', q{SELECT _chpg_history_enter(), _chpg_history_partition('hour', now() - interval '100 days')});
$node->safe_psql('postgres', q{INSERT INTO more.service (service_id, valid_from, valid_to, noted_at, service_name) VALUES ('old', '-infinity', now() - interval '399 days', now(), 'old'); INSERT INTO more.capture (service_id, grain, window_start, window_end, status) VALUES ('old', 'day', now() - interval '400 days', now() - interval '399 days', 'ok')});
is($node->safe_psql('postgres', q{SELECT chpg_history_purge()} ) =~ s/\d+$//r, 'sealed_hour_', 'a partition of long ago is dropped');

is($node->safe_psql('postgres', q{SELECT service_name FROM more.coverage WHERE service_id = 'old'}), 'old', 'the rows that stay keep the name of their service');
is($node->safe_psql('postgres', q{UPDATE more.service SET valid_to = valid_to - interval '3 days' WHERE service_id = 'old'; UPDATE more.capture SET (window_start, window_end) = (window_start - interval '3 days', window_end - interval '3 days') WHERE service_id = 'old'; SELECT chpg_history_purge(); SELECT (SELECT count(*) FROM more.service WHERE service_id = 'old') + (SELECT count(*) FROM more.capture WHERE service_id = 'old')}), 0, 'which is dropped with the last row');

# A dump has the whole history, which goes on in another database.

my $kept = $node->safe_psql('postgres', 'SELECT md5(string_agg(p::text, $$$$ ORDER BY p::text)) FROM more.open_hour p');
my ($dump) = run_command([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', "$node->{_basedir}/dump.sql" ]);
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', "$node->{_basedir}/dump.sql" ], 'a dump is restored');
is($node->safe_psql('copy', 'SELECT md5(string_agg(p::text, $$$$ ORDER BY p::text)) FROM more.open_hour p'), $kept, 'with the whole history');
is($node->safe_psql('copy', q{DELETE FROM more.capture WHERE status = 'ok'; CALL chpg_capture('hour'); SELECT count(*) > 0 FROM more.capture WHERE status = 'ok'}), 't', 'and captures go on');

done_testing();
