# History: one of the earlier layout, which had a row for each pattern and point, is converted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Crash;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main', "timezone = 'UTC'", 'restart_after_crash = on', 'fsync = off', 'autovacuum = off', 'chpg.max_retries = 0');
my $DATA = "$FindBin::RealBin/../data";
my @VIEWS = qw(pattern_hour pattern_day service_hour service_day error_hour metric coverage);
my $CALL = 'CALL chpg_history_upgrade()';
sql('CREATE EXTENSION chpg; CREATE ROLE reader');

# An old history in the schema "kept", and in "saved" what its views showed.
sub make_old
{
	my ($seed, $database) = @_;
	$database //= 'postgres';
	my $save = join '; ', map { "CREATE TABLE saved.$_ AS TABLE kept.$_" } @VIEWS;

	# its hours, and the periods below, are counted from today
	avoid_midnight();
	$node->psql($database, 'SET client_min_messages = error; SELECT chpg_history_disable(); DROP SCHEMA IF EXISTS kept CASCADE; DROP SCHEMA IF EXISTS saved CASCADE');
	return $node->safe_psql($database, "CREATE SCHEMA kept; CREATE SCHEMA saved;\n"
		  . slurp_file("$DATA/old_history.sql") . slurp_file("$DATA/random_old_history.sql") . "; $save",
		extra_params => [ '-v', 'schema=kept', '-v', 'since=-60 days', '-v', "seed=$seed" ]);
}

# What the views show otherwise than they did: nothing, but for the digits of durations, of
# which 7 are kept, and 4 in sealed windows.  An average is the total by the executions, and
# points without a value are none.
sub differences
{
	my ($database) = @_;
	$database //= 'postgres';
	my %key = (
		pattern => 'service_id, "time", query_id, db_name, db_user, db_operation, app, query_text',
		service => 'service_id, "time"',
		error => 'service_id, "time", db_name, db_user, app',
		metric => 'service_id, metric, series, "time"',
		coverage => 'service_id, grain, "time"');
	my $found = '';

	for my $view (@VIEWS)
	{
		my $key = $key{ $view =~ s/_.*//r };
		my $apart = $view =~ /pattern/ ? q{CASE WHEN "time" < now() - interval '8 days' THEN 0.00051 ELSE 1e-6 END} : '1e-6';
		my $only = $view eq 'metric' ? 'WHERE value IS NOT NULL' : '';
		my $differs = $node->safe_psql($database, <<"SQL");
SELECT string_agg(CASE WHEN atttypid = 'float8'::regtype
	THEN format('(a.%1\$I IS NULL) <> (b.%1\$I IS NULL) OR abs(a.%1\$I - b.%1\$I) > APART * abs(a.%1\$I)', attname)
	ELSE format('a.%1\$I IS DISTINCT FROM b.%1\$I', attname) END, ' OR ')
FROM pg_attribute WHERE attrelid = 'saved.$view'::regclass AND attnum > 0 AND attname <> 'avg_duration_us'
SQL
		$differs =~ s/APART/$apart/g;
		$found .= $node->safe_psql($database, "SELECT '$view', to_jsonb(a), to_jsonb(b) FROM (SELECT * FROM saved.$view $only) a FULL JOIN kept.$view b USING ($key) WHERE a IS NULL OR b IS NULL OR $differs LIMIT 3");
		next unless $view =~ /pattern/;
		$found .= $node->safe_psql($database, qq{SELECT 'average', to_jsonb(b) FROM kept.$view b WHERE avg_duration_us IS DISTINCT FROM total_duration_us / nullif(call_count, 0) LIMIT 3});
	}
	return $found if $node->safe_psql($database, q{SELECT to_regclass('kept.pattern_daily')}) eq '';
	return $found . $node->safe_psql($database, <<'SQL');
SELECT 'days', to_jsonb(a), to_jsonb(b)
FROM (SELECT date_trunc('day', "time", 'UTC') AS "time", service_id, query_id, db_name, db_user, db_operation, app, query_text, count(*) AS hours,
	sum(call_count) AS calls, sum(total_wal_bytes) AS wal, sum(total_duration_us) AS us, max(p95_duration_us) AS p95 FROM kept.pattern_hour GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) a
FULL JOIN kept.pattern_daily b USING ("time", service_id, query_id, db_name, db_user, db_operation, app, query_text)
WHERE a.hours IS DISTINCT FROM b.hours OR calls IS DISTINCT FROM call_count OR wal IS DISTINCT FROM total_wal_bytes
	OR (us IS NULL) <> (total_duration_us IS NULL) OR abs(us - total_duration_us) > 1e-6 * us OR p95 IS DISTINCT FROM p95_hi_us
LIMIT 3;
SELECT 'errors of days', to_jsonb(a), to_jsonb(b)
FROM (SELECT date_trunc('day', "time", 'UTC') AS "time", service_id, db_name, db_user, app, sum(error_count) AS errors FROM kept.error_hour GROUP BY 1, 2, 3, 4, 5) a
FULL JOIN kept.error_daily b USING ("time", service_id, db_name, db_user, app)
WHERE errors IS DISTINCT FROM error_count
LIMIT 3;
SQL
}

# Until it is upgraded, an old history can be read by its views alone.
my $OLD = qr/the history cannot be used: schema "kept" has the layout of an earlier version: run chpg_history_upgrade\nHINT:  Run: CALL chpg_history_upgrade\(\);/;
my ($BEFORE, $PERIOD) = map { "tstzrange(date_trunc('day', now()) - interval '$_ hours', date_trunc('day', now()) - interval '$_ hours' + interval '20 hours')" } 48, 28;
sub is_refused
{
	my ($name) = @_;

	fails_with($node, $_, '55000', $OLD, "$name: $_")
	  foreach 'CALL chpg_capture()', 'CALL chpg_history_seal()', 'SELECT chpg_history_purge()', 'SELECT * FROM chpg_history_due()',
	  'SELECT * FROM chpg_history_cost()', 'SELECT * FROM chpg_history_export()', q{SELECT * FROM chpg_history_import('SELECT * FROM kept.pattern_hour', 'hour')}, q{SELECT * FROM chpg_pattern_course('service-1', 1, tstzrange(now() - interval '1 day', now()))},
	  "SELECT * FROM chpg_compare($BEFORE, $PERIOD)", "SELECT * FROM chpg_findings($PERIOD, history_only => true)",
	  "SELECT * FROM chpg_findings($PERIOD)", "SELECT * FROM chpg_period_patterns($PERIOD)", "SELECT * FROM chpg_history_top($PERIOD)";
	return;
}
make_old(0.1);
sql("CREATE SERVER chpg FOREIGN DATA WRAPPER chpg; GRANT USAGE ON SCHEMA kept TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO reader");
is(notices($node, q{SELECT chpg_history_enable('kept')}) =~ /NOTICE:.* the history in schema "kept" has the layout of an earlier version: run chpg_history_upgrade\nHINT:  Run: CALL chpg_history_upgrade\(\);/ ? 'so' : '', 'so', 'chpg_history_enable says what to do');
is_refused('an old history');
fails_with($node, "BEGIN; $CALL", '25001', qr/chpg_history_upgrade\(\) cannot run inside a transaction block\nHINT:.*"CALL chpg_history_upgrade\(\)"/, 'an upgrade has transactions of its own');

# What somebody planted is not run, neither before the upgrade has begun nor in between.
my ($month) = split /\n/, sql(q{SELECT relname FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relname ~ '^pattern_of_hour_[0-9]+$' AND relkind = 'r'});
sub is_safe
{
	my ($name, %now) = @_;
	my @planted = (
		[ 'CREATE TRIGGER spy BEFORE DELETE ON kept.%s FOR EACH ROW EXECUTE FUNCTION spy()', 'DROP TRIGGER spy ON kept.%s', qr/has a trigger "spy"/ ],
		[ 'CREATE RULE spy AS ON DELETE TO kept.%s DO ALSO SELECT spy()', 'DROP RULE spy ON kept.%s', qr/has a rule "spy"/ ],
		[ 'ALTER TABLE kept.%s ENABLE ROW LEVEL SECURITY', 'ALTER TABLE kept.%s DISABLE ROW LEVEL SECURITY', qr/has row security/ ],
		[ 'ALTER TABLE kept.%s ADD CHECK (spy2())', 'ALTER TABLE kept.%s DROP CONSTRAINT %1$s_check', qr/has a constraint/ ],
		[ 'CREATE INDEX spy ON kept.%s ((spy2()))', 'DROP INDEX kept.spy', qr/has an index kept\.spy with an expression/ ],
		[ 'GRANT DELETE ON kept.%s TO reader', 'REVOKE DELETE ON kept.%s FROM reader', qr/grants DELETE/ ]);
	my $i = 0;
	foreach my $table ($now{capture}, $now{pattern_key}, $now{query_text}, 'metric_point', 'pattern', $month)
	{
		my ($plant, $remove, $message) = @{ $planted[ $i++ % @planted ] };
		sql(sprintf $plant, $table);
		fails_with($node, $CALL, '55000', $message, "$name: code of $table is refused");
		sql(sprintf $remove, $table);
	}
	return;
}
sql(q{CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'spied'; END $$; CREATE FUNCTION spy2() RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'});
is_safe('an old history', capture => 'capture', pattern_key => 'pattern_key', query_text => 'query_text');
sql('CREATE VIEW public.mine AS SELECT * FROM kept.pattern');
fails_with($node, $CALL, '55000', qr/the history cannot be upgraded: view public\.mine reads table kept\.pattern\nDETAIL:.*HINT:  Drop the view/s, 'a view that the upgrade would empty');
sql(q{DROP VIEW public.mine; UPDATE kept.setting SET value = 'banana' WHERE name = 'reserve'});
fails_with($node, $CALL, '22023', qr/invalid value for setting "reserve"/, 'a setting that cannot be used');
is(sql(q{SELECT to_regclass('kept.old_capture')}), '', 'after all that the history is as it was');

# A session that reads holds the upgrade up, but no other reader.
sql(q{UPDATE kept.setting SET value = '3' WHERE name = 'reserve'; UPDATE kept.setting SET value = '20 days' WHERE name = 'api_retention'});
my ($reader, $upgrade) = map { open_session($node) } 1, 2;
in_session($reader, 'BEGIN; SELECT count(*) FROM kept.pattern_hour');
in_session($upgrade, q{SET intervalstyle = 'sql_standard'});
begin_in_session($upgrade, $CALL);
wait_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) eq '1' }, 'the upgrade waits for the reader');
is(sql(q{SELECT count(*) > 0 FROM kept.pattern_hour}), 't', 'another reader does not');
in_session($reader, 'COMMIT');
wait_until(sub { sql(q{SELECT to_regclass('kept.old_capture') IS NOT NULL}) eq 't' }, 'the upgrade begins');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%CALL chpg_history_upgrade(%' AND pid <> pg_backend_pid()});
await_in_session($upgrade, qr/canceling statement due to user request/);
like($upgrade->{stderr}, qr/NOTICE:  00000: upgrading \d+ windows with \d+ rows, \d+ kB in all, takes about \d+ seconds?\nDETAIL:  The old tables .*\nHINT:  It can be ended at any time/, 'the cost is announced');
$_->quit foreach $reader, $upgrade;
is(differences(), '', 'after a cancel, the views show both layouts');
is_refused('an upgrade that has not ended');
like(notices($node, q{SELECT chpg_history_enable('kept')}), qr/has the layout of an earlier version/, 'which chpg_history_enable says, too');
is_safe('an upgrade that has not ended', map { $_ => "old_$_" } qw(capture pattern_key query_text));
is(sql(q{SELECT string_agg(value, ' ') FROM kept.setting WHERE name = 'keep_open'}), '21 days', 'windows stay open a day longer than the API keeps them');
sql(q{UPDATE kept.setting SET value = '7 days' WHERE name = 'api_retention'; UPDATE kept.setting SET value = '8 days' WHERE name = 'keep_open'});

# Nothing is lost or doubled, at whatever moment the server dies.
my ($died, %left) = (0);
foreach my $bytes (crash_moments(6, 2e6, 1))
{
	next unless kill_after($node, $bytes, $CALL);
	$died++;
	last if sql(q{SELECT to_regclass('kept.old_capture')}) eq '';
	my $left = sql('SELECT count(*) FROM kept.old_capture');
	next if $left{$left}++;
	is(differences(), '', "killed when $left windows were left: the views show all");
}
cmp_ok(scalar(keys %left), '>', 2, 'the server died in between') or diag($died);
sql($CALL);
is(differences(), '', 'an upgrade in many parts: the views show what they showed');
is(history_flaws($node, 'kept'), '', 'all sums agree');
is(sql(q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND (relname ~ '(^|_)old' OR relname LIKE 'pattern_of%' OR relname IN ('pattern', 'metric_point'))}), '', 'nothing is left of the old layout');
is(sql(q{SELECT bool_and(has_table_privilege('reader', oid, 'SELECT')) FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition}), 't', 'a role that could read the history can');
like(notices($node, $CALL), qr/NOTICE:.* the history has the present layout, skipping/, 'once more does nothing');

# Comparisons sum what plain queries over the old tables sum.
for my $seed (-0.6, 0.8)
{
	make_old($seed);
	sql(q{SELECT chpg_history_enable('kept'); DROP SCHEMA IF EXISTS drawn CASCADE; CREATE SCHEMA drawn});
	sql(q{CREATE TABLE drawn.pattern AS SELECT * FROM kept.pattern WHERE grain = 'hour'; CREATE TABLE drawn.pattern_key AS TABLE kept.pattern_key; CREATE TABLE drawn.query_text AS TABLE kept.query_text; CREATE TABLE drawn.service AS TABLE kept.service});
	sql("DROP FUNCTION IF EXISTS alike, plain_hours; DROP FUNCTION IF EXISTS plain_patterns;\n" . slurp_file("$DATA/plain_sums.sql") =~ s/^CREATE (SCHEMA|TABLE) .*\n//gmr =~ s/\brandom\./drawn./gr);
	sql("SET extra_float_digits = -10; $CALL");
	is(differences(), '', "seed $seed: the views show what they showed");
	my $identity = 'service_id, query_id, db_name, db_user, db_operation, app';
	my $days_ago = sub { my ($days, $hours) = @_; return "tstzrange(date_trunc('day', now()) - interval '$days days', date_trunc('day', now()) - interval '$days days' + interval '$hours hours')" };
	my ($sealed, $open) = ($days_ago->(10, 29), $days_ago->(2, 32));
	foreach my $case ([ $sealed, 0.0006 ], [ $open, 2e-6 ])
	{
		my ($period, $apart) = @$case;
		is(sql("SELECT count(*) > 20, count(*) FILTER (WHERE alike(to_jsonb(a), to_jsonb(b), $apart) IS NOT TRUE) FROM plain_patterns($period) a FULL JOIN chpg_period_patterns($period) b USING ($identity)"), 't|0', "seed $seed: the patterns within $apart");
		is(sql("SELECT count(*), count(*) FILTER (WHERE alike(to_jsonb(a), to_jsonb(b), $apart) IS NOT TRUE) FROM plain_patterns($period) a RIGHT JOIN chpg_history_top($period, n => 10) b USING ($identity)"), '10|0', "seed $seed: the first of them");
	}
	is(sql("SELECT count(*) > 20, count(*) FILTER (WHERE abs(c.baseline_avg_duration_us / a.avg_duration_us - 1) > 0.0006 OR abs(c.avg_duration_us / b.avg_duration_us - 1) > 2e-6), count(*) FILTER (WHERE c.query_text <> coalesce(b.query_text, a.query_text))
		FROM chpg_compare($sealed, $open) c LEFT JOIN plain_patterns($sealed) a USING ($identity) LEFT JOIN plain_patterns($open) b USING ($identity)"), 't|0|0', "seed $seed: the means and texts of changes");
	is(sql("SELECT count(*) FILTER (WHERE a.hours_worse IS DISTINCT FROM b.hours_worse) FROM (SELECT * FROM plain_hours($sealed, $open) WHERE query_id <> 0 AND app <> 'bin/monitor') a FULL JOIN chpg_compare($sealed, $open) b USING ($identity)"), 0, "seed $seed: the worse hours");
	is(sql("SELECT count(*) > 5 FROM chpg_findings($open, history_only => true)"), 't', "seed $seed: findings");
}

# A dump of an old history, of a role, is restored beside the extension of today.
make_old(0.3);
my $dump = "$PostgreSQL::Test::Utils::tmp_check/old.sql";
sql('CREATE ROLE collector LOGIN; DO $$ BEGIN EXECUTE (SELECT string_agg(format($a$ALTER %s kept.%I OWNER TO collector$a$, CASE relkind WHEN $a$v$a$ THEN $a$VIEW$a$ ELSE $a$TABLE$a$ END, relname), $a$;$a$) FROM pg_class WHERE relnamespace = $a$kept$a$::regnamespace AND relkind IN ($a$r$a$, $a$p$a$, $a$v$a$)); END $$; ALTER SCHEMA kept OWNER TO collector');
command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-n', 'kept', '-n', 'saved', '-f', $dump ], 'an old history is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->safe_psql('restored', "CREATE EXTENSION chpg;\n" . slurp_file($dump));
like(notices($node, q{SELECT chpg_history_enable('kept', owner => 'collector')}, connstr => $node->connstr('restored')), qr/HINT:  As role "collector", run: CALL chpg_history_upgrade\(\);/, 'restored, it is to be upgraded by its owner');
$node->safe_psql('restored', 'GRANT EXECUTE ON PROCEDURE chpg_history_upgrade TO collector');
fails_with($node, $CALL, '55000', qr/schema "kept" belongs to "collector", whose code would run with your rights/, 'others do not', connstr => $node->connstr('restored'));
# a table of the caller's session is none of the history's
$node->safe_psql('restored', "CREATE TEMPORARY TABLE old_capture (x integer); $CALL", extra_params => [ '-U', 'collector' ]);
is(differences('restored'), '', 'restored and upgraded, it shows what it showed');
is($node->safe_psql('restored', q{SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relnamespace = 'kept'::regnamespace}), 'collector', 'and all of it belongs to the role');
done_testing();
