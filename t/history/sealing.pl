# History: sealing old windows and purging them, beside readers, and through crashes.
#
# CHPG_CRASHES=N kills N times as many backends. A crash takes a second, and some with sanitizers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use POSIX ();
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0', 'restart_after_crash = on',
	'autovacuum = off', 'fsync = off', 'shared_buffers = 16MB', 'max_connections = 20');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 8);
sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '1 day' WHERE name = 'backfill'});
settle($node, 'kept');

# All that the history has of windows from an hour on, but not when it was written.  Durations
# are as sealed windows keep them.
sub content
{
	my ($condition) = @_;
	my $durations = join ', ', map { "_chpg_rounded(${_}_us::real)" } qw(total_duration max_duration p50_duration p95_duration p99_duration total_cpu_time);
	return sql(<<"SQL");
SELECT count(*), md5(string_agg(r::text, E'\\n' ORDER BY r::text)) FROM (
	SELECT concat_ws('|', "time", service_id, query_id, db_name, db_user, db_operation, app, md5(query_text), call_count, error_count, total_rows,
		total_shared_blks_read, total_shared_blks_hit, total_wal_bytes), $durations FROM kept.pattern_hour WHERE $condition
	UNION ALL SELECT concat_ws('|', 'day', "time", service_id, query_id, db_name, db_user, db_operation, app, call_count, error_count), $durations FROM kept.pattern_day WHERE $condition
	UNION ALL SELECT concat_ws('|', 'error', "time", service_id, db_name, db_user, app, error_count), NULL, NULL, NULL, NULL, NULL, NULL FROM kept.error_hour WHERE $condition
	UNION ALL SELECT concat_ws('|', 'metric', "time", service_id, metric, series, value), NULL, NULL, NULL, NULL, NULL, NULL FROM kept.metric WHERE $condition
	UNION ALL SELECT concat_ws('|', 'window', "time", service_id, grain, status, patterns, truncated), NULL, NULL, NULL, NULL, NULL, NULL FROM kept.coverage WHERE $condition) r
SQL
}
my $OLD = q{"time" < now() - interval '50 days'};
my $NEW = q{"time" >= now() - interval '50 days'};

sub is_consistent
{
	my ($what) = @_;
	my $flaws = history_flaws($node, 'kept');
	return is($flaws, '', "$what: the history is consistent");
}

sub open_windows { return sql(q{SELECT count(*) FROM (SELECT DISTINCT service_key, window_start FROM kept.open_hour WHERE window_start < now() - interval '8 days') o}) }
sub sealed_windows { return sql('SELECT count(*) FROM kept.sealed_hour') }

# Four copies of what is captured, of as many months, 100 days old and older, and their sums.
sql('CALL chpg_capture()');
my $captured = content($NEW);
my $age = q{(70 + 30 * n) * interval '1 day'};
my ($capture_columns, $pattern_columns, $sum_columns) = map { sql(qq{SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = 'kept.$_'::regclass AND attnum > 0 AND attname NOT IN ('window_start', 'window_end', 'time')}) } qw(capture open_hour day_sum);
sql(<<"SQL");
INSERT INTO kept.capture (window_start, window_end, $capture_columns) SELECT window_start - $age, window_end - $age, $capture_columns FROM kept.capture, generate_series(1, 4) n;
INSERT INTO kept.open_hour (window_start, $pattern_columns) SELECT window_start - $age, $pattern_columns FROM kept.open_hour, generate_series(1, 4) n;
INSERT INTO kept.open_day (window_start, $pattern_columns) SELECT window_start - $age, $pattern_columns FROM kept.open_day, generate_series(1, 4) n;
INSERT INTO kept.day_sum ("time", $sum_columns) SELECT "time" - $age, $sum_columns FROM kept.day_sum, generate_series(1, 4) n;
SQL
my $old = content($OLD);
my $old_windows = open_windows();
cmp_ok($old_windows, '>', 110, 'there are windows to seal');
is_consistent('before');
sql('CREATE SCHEMA saved');
my @TABLES = qw(setting service service_key query_text pattern_key capture archive day_sum metric_day open_hour open_day);
sql("CREATE TABLE saved.$_ AS TABLE kept.$_") for @TABLES;

# The history as it is now, with nothing sealed, and no windows where these are none.
sub restore
{
	my ($condition) = @_;
	$condition //= 'IS NOT NULL';
	return sql(join '; ', 'BEGIN', 'TRUNCATE ' . join(', ', map { "kept.$_" } @TABLES, qw(sealed_hour sealed_day)),
		(map { "INSERT INTO kept.$_ OVERRIDING SYSTEM VALUE SELECT * FROM saved.$_" . (/^(?:open_|capture)/ ? " WHERE window_start " . $condition : /day$/ ? ' WHERE day ' . $condition : /sum$/ ? ' WHERE "time" ' . $condition : '') } @TABLES), 'COMMIT');
}
my $ONLY_OLD = q{< now() - interval '50 days'};

# Sealing keeps what there is.

is(sql('CALL chpg_history_seal()') . open_windows() . '|' . sealed_windows(), "0|$old_windows", 'all old windows are sealed');
is(sql(q{SELECT count(*) FROM kept.open_hour}) > 0, 1, 'others stay open');
is(content($OLD), $old, 'the views show the same');
is_consistent('sealed');
is(sql(q{SELECT count(*) FROM kept.sealed_hour w WHERE w.pattern_key <> ARRAY(SELECT k FROM unnest(w.pattern_key) k ORDER BY k)}), 0, 'arrays are sorted by key');
my $lz4 = sql(q{SELECT CASE WHEN 'lz4' = ANY (enumvals) THEN 'l' ELSE 'p' END FROM pg_settings WHERE name = 'default_toast_compression'});
is(sql(q{SELECT string_agg(DISTINCT a.attcompression::text || a.attstattarget, '') FROM pg_inherits i JOIN pg_attribute a ON a.attrelid IN (i.inhrelid, i.inhparent) JOIN pg_type t ON t.oid = a.atttypid
	WHERE i.inhparent IN ('kept.sealed_hour'::regclass, 'kept.sealed_day'::regclass) AND t.typcategory = 'A'}), "${lz4}0", 'arrays are compressed with lz4, where the server has it, and not analyzed');
my $digits = sql(q{SELECT max(abs(o.total_duration_us / w.total_duration_us - 1)), count(*) FROM saved.open_hour o JOIN (SELECT s.service_key, s.window_start, u.* FROM kept.sealed_hour s, unnest(s.pattern_key, s.total_duration_us) u(pattern_key, total_duration_us)) w USING (service_key, window_start, pattern_key) WHERE w.total_duration_us > 0});
my ($error, $compared) = split /\|/, $digits;
cmp_ok($compared, '>', 500, 'durations are compared');
cmp_ok($error, '<=', 5e-4, 'and have four digits');
is(sql(q{SELECT string_agg(_chpg_rounded(v)::text, ' ') FROM unnest('{0,-0,1234.56,-98765.4,1e-30,3.4e38,Infinity,NaN,NULL,0.00012345678}'::real[]) v}), '0 -0 1235 -98770 1e-30 3.4e+38 Infinity NaN 0.0001235', 'four digits of any number');

# A sealed row has an element of each array for each of its patterns.
for my $damage ('call_count = call_count[2:]', 'p95_duration_us = p95_duration_us || 1::real', 'patterns = patterns + 1')
{
	fails_with($node, "UPDATE kept.sealed_hour SET $damage", 23514, qr/violates check constraint "element_for_each_pattern"/, "a row with $damage");
}

# Windows are sealed where they are captured again.
my $changed = sql(q{SELECT max(window_start) FROM kept.sealed_hour});
sql(qq{SELECT _chpg_write_window('hour', 1, '$changed', ARRAY[ROW(1, 7, 0, 1, 1, 1, 1, 1234567, 1, 1, 1, 1, 1)::_chpg_window_row])});
is(sql(qq{SELECT patterns, call_count, total_duration_us, (SELECT count(*) FROM kept.open_hour WHERE window_start = '$changed') FROM kept.sealed_hour WHERE window_start = '$changed' AND service_key = 1}), '1|{7}|{1.235e+06}|0', 'a sealed window is replaced as a sealed row');

# What cannot be sealed says so.
restore();
sql(q{UPDATE kept.setting SET value = '7 days' WHERE name = 'keep_open'});
like(fails_with($node, 'SET intervalstyle = sql_standard; CALL chpg_history_seal()', 22023, qr/invalid value for setting "keep_open" of the history: "7 days"/, 'windows that may still change'),
	qr/SET value = '8 days' WHERE/, 'the hint has a value that can be used');
fails_with($node, 'BEGIN; CALL chpg_history_seal()', 25001, qr/chpg_history_seal\(\) cannot run inside a transaction block\nHINT:.*"CALL chpg_history_seal\(\)"/, 'in a transaction block');
restore();

# A capture seals some windows after it has captured.

sub forget
{
	return sql(q{WITH n AS (SELECT max(window_start) AS newest FROM kept.capture WHERE grain = 'hour'), c AS (DELETE FROM kept.capture USING n WHERE window_start = n.newest)
		DELETE FROM kept.open_hour USING n WHERE window_start = n.newest;
		SELECT _chpg_sum_day(service_key, "time") FROM (SELECT DISTINCT service_key, "time" FROM kept.day_sum WHERE "time" > now() - interval '3 days') d});
}
my ($oldest_month) = split /\n/, sql(q{SELECT DISTINCT 'sealed_hour_' || to_char(min(window_start), 'YYYYMM') FROM kept.open_hour});
sql('CALL chpg_capture(max_windows => 0)');
is(sealed_windows(), 0, 'a capture of nothing seals nothing');
sql(qq{DROP TABLE IF EXISTS kept.$oldest_month; CREATE TABLE kept.$oldest_month (a integer)});
forget();
my $windows_of_run = sql('SELECT count(*) FROM chpg_history_due() WHERE NOT lost');
cmp_ok($windows_of_run, '>', 0, 'windows are due');
my $text = fails_with($node, 'CALL chpg_capture()', 55000, qr/captured $windows_of_run windows, but could not seal old ones: windows of \S+ cannot be sealed: "$oldest_month" is not their partition/, 'a capture whose sealing fails');
like($text, qr/What was captured stays\.\nHINT:  Rename it/, 'says what stays, and what to do');
is(sql('SELECT count(*) FROM chpg_history_due() WHERE NOT lost'), 0, 'and has captured');
forget();
only_fault($url, path => 'slow', status => 500);
$text = fails_with($node, 'CALL chpg_capture()', 38000, qr/could not capture/, 'a capture that fails, too');
like($text, qr/WARNING:  55000: could not seal old windows: windows of/, 'and its sealing');
sql(qq{DROP TABLE kept.$oldest_month});
$text = fails_with($node, 'CALL chpg_capture()', 38000, qr/could not capture/, 'a capture that fails');
unlike($text, qr/seal/, 'does not fail to seal');
my ($tried) = $text =~ /could not capture (\d+) of \1 windows/;
is(sealed_windows() + sql('SELECT count(*) FROM kept.sealed_day'), 20 * POSIX::ceil(5 + $tried / 10), 'and seals a bounded number of windows');
clear_faults($url);
is(content($OLD), $old, 'which keep what they had');
is_consistent('after failures');

# Ctrl-C in between, and other sessions

restore();
my ($worker, $other, $next) = map { open_session($node) } 1 .. 3;
my $pid = in_session($worker, 'SELECT pg_backend_pid()');
sub waiting { return sql('SELECT count(*) FROM pg_locks WHERE NOT granted') }
in_session($other, 'BEGIN; SELECT _chpg_history_lock()');
begin_in_session($worker, 'CALL chpg_history_seal()');
wait_until(sub { waiting() eq '1' }, 'the sealing waits for a capture');
# which is followed by another one: locks are given in the order in which they were asked for
begin_in_session($next, q{BEGIN; SELECT _chpg_history_lock(); DO $$ BEGIN RAISE NOTICE 'locked'; END $$});
wait_until(sub { waiting() eq '2' }, 'and so does another capture');
in_session($other, 'ROLLBACK');
await_in_session($next, qr/locked/);
my $sealed = sealed_windows();
cmp_ok($sealed, '>', 0, 'some windows are sealed');
cmp_ok($sealed, '<', $old_windows, 'and not all');
wait_until(sub { waiting() eq '1' }, 'it waits again');
sql("SELECT pg_cancel_backend($pid)");
await_in_session($worker, qr/ERROR:  57014: canceling statement due to user request/);
in_session($next, 'ROLLBACK');
is(sealed_windows() . '|' . open_windows(), "$sealed|" . ($old_windows - $sealed), 'portions that were sealed before Ctrl-C stay, and others are open');
$next->quit;
is_consistent('after Ctrl-C');
is(content($OLD), $old, 'with all that there was');
sql('CALL chpg_history_seal()');
is(content($OLD) . sealed_windows(), $old . $old_windows, 'the next run seals the rest');

restore($ONLY_OLD);
begin_in_session($worker, 'CALL chpg_history_seal()');
sql('CALL chpg_capture()');
wait_until(sub { open_windows() eq '0' && sql("SELECT state FROM pg_stat_activity WHERE pid = $pid") eq 'idle' }, 'both have ended');
is(content($OLD) . content($NEW), $old . $captured, 'captures and sealing at once');
is_consistent('after both');

# Readers wait for nobody.
#
# One reads all that there is, and stays in its transaction.  Of the other one no lock waits a
# second: a tenth of that is what a purge may take, the rest is for a busy machine.
restore($ONLY_OLD);
sql(q{DO $$ DECLARE part regclass; BEGIN FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent IN ('kept.sealed_hour'::regclass, 'kept.sealed_day'::regclass) LOOP EXECUTE format('DROP TABLE %s', part); END LOOP; END $$;
	CREATE TABLE public.goes_on (yes boolean); INSERT INTO goes_on VALUES (true)});
my $reader = open_session($node);
my $READ_ALL = q{SELECT count(*) FROM kept.pattern_hour; SELECT count(*) FROM kept.pattern_day; SELECT count(*) FROM kept.metric};
in_session($worker, "BEGIN ISOLATION LEVEL REPEATABLE READ; $READ_ALL");
begin_in_session($reader, q{SET lock_timeout = '1s';
DO $$
DECLARE
	began timestamptz;
	reads integer := 0;
	longest interval := '0';
BEGIN
	WHILE (SELECT yes FROM goes_on) LOOP
		began := clock_timestamp();
		PERFORM FROM kept.pattern_hour WHERE "time" > now() - interval '2 hours';
		COMMIT;
		PERFORM FROM kept.pattern_day WHERE "time" > now() - interval '1 day';
		COMMIT;
		PERFORM FROM kept.service_hour, kept.metric LIMIT 1;
		COMMIT;
		longest := greatest(longest, clock_timestamp() - began);
		reads := reads + 1;
	END LOOP;
	RAISE NOTICE 'reads: %, longest: %', reads, longest;
END
$$});
sql('CALL chpg_capture()');
sql('CALL chpg_history_seal()');
is(open_windows() . '|' . sealed_windows(), "0|$old_windows", 'a capture of new months, and sealing, beside a reader');
my @parts = split /\n/, sql(q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'kept.sealed_hour'::regclass AND pg_get_expr((SELECT relpartbound FROM pg_class WHERE oid = inhrelid), inhrelid) < 'FOR VALUES FROM (''' || to_char(now() - interval '60 days', 'YYYY-MM') ORDER BY 1});
my @names = map { s/kept\.//r } @parts;
cmp_ok(scalar @parts, '>', 2, 'of several old months');
like(notices($node, 'SELECT chpg_history_purge()'), qr/partitions in use were emptied, not dropped: $names[0], $names[1]/, 'a purge drops nothing that is read');
is(sealed_windows(), 0, 'but deletes all windows that are too old');
in_session($worker, 'COMMIT');

# What purges drop: one waits for readers for a tenth of a second, in which a busy machine may not end a read.
sub dropped
{
	my $names = '';
	wait_until(sub { ($names = sql(q{SELECT string_agg(p, ' ') FROM chpg_history_purge() p})) ne '' }, 'a purge drops something');
	return $names;
}

# One month has a view of somebody, and of the others one is read: the purge does not hold the lock
# of the parent while it tries again.
sql("CREATE VIEW public.theirs AS SELECT window_start FROM $parts[0]");
in_session($worker, "BEGIN; SELECT count(*) FROM $parts[2]");
like(notices($node, 'SELECT chpg_history_purge()'), qr/partitions in use were emptied, not dropped: .*$names[0], $names[1]/, 'a purge that cannot drop one of them');
in_session($worker, 'COMMIT');
like(dropped(), qr/sealed_hour_\d+/, 'the next one drops them');
is(sql("SELECT to_regclass('$_') IS NULL"), $_ eq $parts[0] ? 'f' : 't', 'except one that a view needs') for @parts;
sql("DROP VIEW public.theirs");
is(dropped(), $names[0], 'until the view is gone');
sql('UPDATE goes_on SET yes = false');
await_in_session($reader, qr/NOTICE:  00000: reads: \d+, longest: \S+|ERROR/);
diag($reader->{stderr} =~ /(reads: .*)/);
unlike($reader->{stderr}, qr/ERROR/, 'no reader waits for a lock');
is(content($NEW), $captured, 'and what is new stays');
$_->quit for $worker, $other, $reader;

# Crashes, at moments that a seed chooses

# Kill what runs a statement, again and again, until it ends; from the beginning, until that many
# were killed.  After each, the history must be consistent, and have what the test says; at the
# end, what a run that nothing killed has left.
sub crash_in
{
	my ($what, $count, $seed, %test) = @_;
	my ($kills, $ends) = (0, 0);

	$test{before}->();
	my $wal = wal_of($node, $test{run});
	my $never_killed = $test{at_end}->();
	my @moments = crash_moments(10 * $count, 0.6 * $wal, $seed);
	$count *= $ENV{CHPG_CRASHES} // 1;
	$test{before}->();
	while ($kills < $count || $ends == 0)
	{
		# what is one transaction comes to its end only if it is let
		my $moment = $kills < $count ? shift @moments // die "$what: too few moments" : 100 * $wal;
		my $was_killed = kill_after($node, $moment, $test{run});
		my $found = history_flaws($node, 'kept') . ($was_killed ? $test{after}->() : differs($test{at_end}->(), $never_killed));

		return fail("$what: $kills crashes, then at $moment of $wal bytes: $found") if $found ne '';
		if ($was_killed) { $kills++ }
		else { $ends++; $test{before}->() }
	}
	return pass("$what: $kills crashes, $ends times to the end");
}

sub differs { my ($found, $expected) = @_; return $found eq $expected ? '' : "found $found, expected $expected" }
sub all_content { return content($OLD) . ', ' . content($NEW) }

crash_in('sealing', 6, 1,
	run => 'CALL chpg_history_seal()',
	before => \&restore,
	after => sub { differs(content($OLD) . content($NEW), $old . $captured) },
	at_end => sub { all_content() . open_windows() . ' open' });
crash_in('a capture', 6, 2,
	run => 'CALL chpg_capture()',
	before => sub { restore($ONLY_OLD); sql(q{UPDATE kept.setting SET value = '4 hours' WHERE name = 'backfill'}) },
	after => sub { differs(content($OLD), $old) },
	at_end => \&all_content);

# An import is one transaction: a crash leaves nothing of it.
my $IMPORT = q{SELECT chpg_history_import('SELECT * FROM exported')};
restore();
my $all = all_content();
sql(q{CREATE TABLE exported AS SELECT * FROM chpg_history_export(tstzrange(now() - interval '300 days', now()))});
restore($ONLY_OLD);
my $before = all_content();
my $wal = wal_of($node, $IMPORT);
my @flaws = differs(all_content(), $all);
restore($ONLY_OLD);
my $crashes = grep {
	my $was_killed = kill_after($node, $_, $IMPORT);

	push @flaws, history_flaws($node, 'kept'), differs(all_content(), $was_killed ? $before : $all);
	restore($ONLY_OLD) unless $was_killed;
	$was_killed;
} crash_moments(6, 0.6 * $wal, 4);
is(join("\n", grep { $_ ne '' } @flaws), '', "an import: $crashes crashes");
cmp_ok($crashes, '>', 1, 'the server died in imports');

crash_in('a purge', 4, 3,
	run => 'SELECT chpg_history_purge()',
	before => sub { restore(); sql('CALL chpg_history_seal()') },
	after => sub { differs(content($NEW), $captured) . (content($OLD) =~ /^0\|/ ? '' : differs(content($OLD), $old)) },
	at_end => \&all_content);

done_testing();
