# Backends that are killed while a statement writes, and what a history must be like after that.
package ChpgTest::Crash;

use strict;
use warnings;

use Exporter qw(import);
use POSIX ();
use PostgreSQL::Test::Utils;

use ChpgTest::Node;
use ChpgTest::Process;
use ChpgTest::Statement;

our @EXPORT = qw(kill_backend kill_after wal_of crash_moments history_flaws);

# Kill a backend (SIGKILL), and wait until the cluster, which needs restart_after_crash, has recovered: until then
# pg_stat_activity has the backend.
sub kill_backend
{
	my ($node, $pid) = @_;

	kill 'KILL', $pid;
	wait_until(sub { if_up($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") =~ /^0$/ }, 'the server has recovered');
	return;
}

# Waits, as another session, until a statement has written this much WAL, and kills its backend
# from there, which ends this session, too; or until the statement has ended.
my $WATCH = <<'SQL';
SET application_name = 'watcher';
DO $$
DECLARE
	began CONSTANT pg_lsn := pg_current_wal_insert_lsn();
	victim record;
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		SELECT a.pid, a.application_name = 'victim' AS runs INTO victim
		FROM pg_stat_activity a WHERE a.application_name IN ('victim', 'done');
		EXIT WHEN victim.runs IS FALSE;
		IF victim.runs AND pg_current_wal_insert_lsn() - began >= %d THEN
			EXECUTE format('COPY (SELECT) TO PROGRAM %%L', 'kill -KILL ' || victim.pid);
			PERFORM pg_sleep(600);
		END IF;
	END LOOP;
END
$$;
SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'done';
SQL

# Begins once the other session watches, and does not end by itself.
my $VICTIM = <<'SQL';
DO $$
BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'watcher') LOOP
		PERFORM pg_sleep(0.0005), pg_stat_clear_snapshot();
	END LOOP;
END
$$;
SET application_name = 'victim';
%s;
SET application_name = 'done';
SELECT pg_sleep(600);
SQL

# Run a statement in a backend that is killed (SIGKILL) once it has written this many bytes of
# WAL, and wait until the cluster, which needs restart_after_crash, has recovered.  Returns
# whether the statement was killed: it may have ended before.
sub kill_after
{
	my ($node, $bytes, $sql) = @_;
	my $logged = -s $node->logfile;
	my $child = start_process(sub { $node->psql('postgres', sprintf($VICTIM, $sql)); POSIX::_exit(0) });
	my $has_ended = if_up($node, sprintf($WATCH, $bytes)) eq 't';

	waitpid $child, 0;
	return 0 if $has_ended;
	wait_until(sub { slurp_file($node->logfile, $logged) =~ /database system is ready to accept connections/ && if_up($node, 'SELECT 1') eq '1' }, 'the server has recovered');
	return 1;
}

# Run a statement; returns how many bytes of WAL it has written.
sub wal_of
{
	my ($node, $sql) = @_;
	my $began = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');

	$node->safe_psql('postgres', $sql);
	return $node->safe_psql('postgres', "SELECT pg_current_wal_insert_lsn() - '$began'");
}

# Moments of a statement that writes this much WAL, at random, the same ones in each run.
# CHPG_CRASHES multiplies them, for a longer run.
sub crash_moments
{
	my ($count, $bytes, $seed) = @_;

	srand $seed;
	return map { int rand $bytes } 1 .. $count * ($ENV{CHPG_CRASHES} // 1);
}

# What is wrong with the history in a schema, as text: nothing, if each window is wholly open,
# wholly sealed or absent, and all sums agree.
sub history_flaws
{
	my ($node, $schema) = @_;
	my @counters = qw(call_count error_count total_rows total_shared_blks_read total_shared_blks_hit total_wal_bytes);
	my $differ = sub {
		my ($left, $right) = @_;
		return join ' OR ', (map { "coalesce($left.$_, 0) <> coalesce($right.$_, 0)" } @counters),
		  map { "abs(coalesce($left.$_, 0) - coalesce($right.$_, 0)) > 0.0006 * coalesce($left.$_, 0)" } qw(total_duration_us total_cpu_time_us);
	};
	my $sums = join ', ', map { "sum(p.$_) AS $_" } @counters, qw(total_duration_us total_cpu_time_us);
	my $calls = 'coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0)';
	my $flaws = '';

	# The patterns of all windows, read from the tables
	my $windows = sub {
		my ($grain) = @_;
		my @all = (@counters, qw(total_duration_us total_cpu_time_us));
		return sprintf '(SELECT window_start, service_key, pattern_key, %1$s FROM open_%3$s UNION ALL SELECT w.window_start, w.service_key, u.* FROM sealed_%3$s w, unnest(w.pattern_key, %2$s) u)',
		  join(', ', @all), join(', ', map { "w.$_" } @all), $grain;
	};

	for my $grain ('hour', 'day')
	{
		my $patterns = $windows->($grain);
		$flaws .= $node->safe_psql('postgres', <<"SQL");
SET search_path = $schema, pg_catalog;
SELECT 'open and sealed: $grain', service_key, window_start
FROM (SELECT DISTINCT service_key, window_start FROM open_$grain) o JOIN sealed_$grain USING (service_key, window_start);
SELECT 'twice in $grain', service_key, window_start, pattern_key, count(*)
FROM $patterns p GROUP BY service_key, window_start, pattern_key HAVING count(*) > 1;
SELECT 'no text in $grain', p.service_key, p.window_start, p.pattern_key
FROM $patterns p LEFT JOIN (pattern_key k JOIN query_text t USING (text_id)) USING (pattern_key) WHERE t.text_id IS NULL;
WITH windows AS (
	SELECT s.service_id, p.window_start, count(*) FILTER (WHERE k.query_id <> 0) AS queries, $sums, $calls AS calls
	FROM $patterns p JOIN service_key s USING (service_key) JOIN pattern_key k USING (pattern_key) GROUP BY 1, 2
)
SELECT 'not as captured: $grain', service_id, window_start, c.status, c.queries, w.queries, c.call_count, w.calls, to_jsonb(c), to_jsonb(w)
FROM windows w FULL JOIN (SELECT * FROM capture WHERE grain = '$grain') c USING (service_id, window_start)
WHERE (w.service_id IS NULL AND c.status = 'ok' AND c.queries > 0) OR (w.service_id IS NOT NULL AND c.status IS DISTINCT FROM 'ok')
	OR (c.status = 'ok' AND w.service_id IS NOT NULL AND (c.queries <> w.queries OR c.call_count <> w.calls OR @{[ $differ->('c', 'w') =~ s/coalesce\(c\.call_count, 0\) <> coalesce\(w\.call_count, 0\) OR //r ]}));
SQL
	}
	return $flaws . $node->safe_psql('postgres', <<"SQL");
SET search_path = $schema, pg_catalog;
WITH days AS (
	SELECT service_key, date_trunc('day', window_start, 'UTC') AS "time", pattern_key, count(*) AS hours, $sums
	FROM @{[ $windows->('hour') ]} p GROUP BY 1, 2, 3
)
SELECT 'day_sum', service_key, "time", pattern_key, s.hours, d.hours, to_jsonb(s), to_jsonb(d)
FROM days d FULL JOIN day_sum s USING (service_key, "time", pattern_key)
WHERE "time" > now() - (SELECT value::interval FROM setting WHERE name = 'keep_hour')	-- of older days only some hours may be there
	AND (s.hours IS DISTINCT FROM d.hours OR @{[ $differ->('s', 'd') ]});
SQL
}

1;
