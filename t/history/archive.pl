# What docs/scale.md says: ClickHouse reads the history's sealed windows into tables of its own, once and
# completely whatever ends it in between, and confirms them; only then does the history let go of them.
# ClickHouse is chdb here (dev/chdb), the statements and the script are those of clickhouse/.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgExamples qw(read_page);
use ChpgTest;
use IPC::Run qw(run);
use PostgreSQL::Test::Utils;
use Test::More;

my $ROOT = "$FindBin::RealBin/../..";
my $PULL = "$ROOT/clickhouse/pull";

$ENV{CHDB} = ($ENV{CHPG_CI_CACHE} // '/var/cache/chpg-ci') . '/chdb';
plan(skip_all => 'chdb is not installed (dev/chdb)') if !-d $ENV{CHDB};

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", "listen_addresses = '127.0.0.1'");

$ENV{CHDB_DATA} = PostgreSQL::Test::Utils::tempdir() . '/clickhouse';
$ENV{CLICKHOUSE_CLIENT} = "$ROOT/t/clickhouse/clickhouse-client";
$ENV{CHPG_HISTORY} = 'kept';
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';

# Run the client; returns its status, what it printed, and its errors.
sub client
{
	my (@arguments) = @_;
	my ($out, $err);
	run([ $ENV{CLICKHOUSE_CLIENT}, @arguments ], '<', \undef, '>', \$out, '2>', \$err);
	return ($?, $out =~ s/\n\z//r, $err);
}

sub clickhouse
{
	my ($statements) = @_;
	my ($status, $out, $err) = client('--query', $statements);
	die "$statements\n$err" if $status != 0;
	return $out;
}

# Run the script that users run; $stop: after so many statements the client is killed.
sub pull
{
	my ($stop) = @_;
	my ($out, $err);
	local $ENV{CHDB_STOP_AFTER} = $stop if defined $stop;
	run([$PULL], '<', \undef, '>', \$out, '2>', \$err);
	return $? == 0 ? $out =~ s/\n\z//r : "failed: $err";
}

my @COUNTERS = qw(call_count error_count total_duration_us avg_duration_us max_duration_us p50_duration_us p95_duration_us
  p99_duration_us total_rows total_shared_blks_read total_shared_blks_hit hit_ratio total_cpu_time_us total_wal_bytes);

# Rows of patterns, of either store; counters come last, and are written in one way.
sub rows
{
	my ($table) = @_;
	my @rows = map { [ split /\t/, $_, -1 ] } split /\n/, $table;

	for my $row (@rows)
	{
		for (@$row[ -@COUNTERS .. -1 ]) { $_ = sprintf '%.15g', $_ if $_ ne '' }
	}
	return [ map { join '|', @$_ } @rows ];
}

sub of_postgres
{
	my ($grain) = @_;
	my $columns = join ', ', map { "coalesce(($_ + 0.0::float8)::text, '')" } @COUNTERS;
	return rows(sql(qq{SELECT concat_ws(E'\\t', extract(epoch FROM "time")::bigint, md5(coalesce(service_name, '')), service_id, md5(coalesce(tag_team, '')), query_id,
		query_hex, md5(query_text), md5(query), md5(db_name || db_user), db_operation, app, coalesce(call_count::text, ''), $columns)
		FROM kept.pattern_$grain p
		WHERE EXISTS (SELECT FROM kept.sealed_$grain w JOIN kept.service_key k USING (service_key) WHERE k.service_id = p.service_id AND w.window_start = p."time")
		ORDER BY "time", service_id, query_id, query_text COLLATE "C", app COLLATE "C"}));
}

sub of_clickhouse
{
	my ($grain) = @_;
	my $columns = join ', ', map { "ifNull(toString(toFloat64($_)), '')" } @COUNTERS;
	return rows(clickhouse(qq{SELECT toUnixTimestamp(time), lower(hex(MD5(ifNull(service_name, '')))), service_id, lower(hex(MD5(ifNull(tag_team, '')))),
		query_id, query_hex, lower(hex(MD5(query_text))), lower(hex(MD5(query))), lower(hex(MD5(concat(db_name, db_user)))), db_operation, app,
		ifNull(toString(call_count), ''), $columns
		FROM fleet_history.pattern_$grain ORDER BY time, service_id, query_id, query_text, app}));
}

sub is_the_same
{
	my ($name) = @_;
	is_deeply(of_clickhouse($_), of_postgres($_), "$name: ${_}s") for qw(hour day);
	return;
}

# The emulator's fleet a month ago, and windows that are not like others
$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 20);
sql(q{SELECT chpg_history_enable('kept')});
sql(q{CALL chpg_capture()});
make_plantable($node);
sql(<<'SQL');
UPDATE kept.open_hour SET window_start = window_start - interval '30 days';
UPDATE kept.open_day SET window_start = window_start - interval '30 days';
UPDATE kept.capture SET window_start = window_start - interval '30 days', window_end = window_end - interval '30 days';
CREATE TABLE odd AS SELECT date_trunc('hour', now()) - interval '20 days' AS hour, date_trunc('day', now()) - interval '20 days' AS day,
	(SELECT min(service_id) FROM kept.service) AS service_id;
UPDATE kept.service s SET valid_from = odd.hour FROM odd WHERE s.service_id = odd.service_id;
INSERT INTO kept.service (service_id, valid_from, valid_to, noted_at, service_name, tags)
SELECT service_id, '-infinity', hour, now(), E'o''dd\t\\N\n"née"', '{"team": "q\"\\ \u00e9"}' FROM odd;
-- counters that are null in some patterns, in all, and as great as they get; texts that need escapes
INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, error_count, total_duration_us, total_rows, p95_duration_us)
SELECT service_id, 'hour', hour + h * interval '1 hour', k.key, k.calls, CASE h WHEN 1 THEN NULL ELSE k.n END, k.us, NULL, CASE k.n WHEN 1 THEN NULL ELSE k.us END
FROM odd, (VALUES (-1), (0), (1)) h(h), (VALUES
	(1, planted.key(-1, E'a\tb\nc\\n\\N \\ ''"`é€😀'), 9223372036854775807, 0::float8),
	(2, planted.key(42, '', 'INSERT', E'd\\b', E'u\t', ''), 1, 1e18),
	(3, planted.key(0, 'errors without an id'), NULL, NULL),
	(4, planted.key(9223372036854775807, repeat('x', 100000)), 0, 0.001)) k(n, key, calls, us);
INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, total_duration_us)
SELECT service_id, 'day', day, planted.key(43, 'of a day'), 7, 7 FROM odd;
SELECT _chpg_seal_window('hour', k.service_key, odd.hour - interval '5 hours', '{}'::_chpg_window_row[]) FROM odd JOIN kept.service_key k USING (service_id);
SQL
sql('CALL chpg_history_seal()');
my $hours = sql('SELECT count(*) FROM kept.sealed_hour');
my $windows = sql('SELECT windows FROM kept.archive_state');
cmp_ok($hours, '>', 20, 'there are sealed windows');

# Both sides, as the page says
my $page = read_page("$ROOT/docs/scale.md");
my ($role) = grep { /CREATE ROLE/ } map { $_->{text} } @{ $page->{blocks} };
my ($connection, @questions) = map { $_->{text} } grep { $_->{kind} eq 'clickhouse' } @{ $page->{blocks} };
sql($role =~ s/fleet_history/kept/gr);
clickhouse($connection =~ s/postgres\.example\.com/127.0.0.1/r =~ s/5432/$node->port/er =~ s/fleet_history/kept/r);
is((client('--queries-file', "$ROOT/clickhouse/schema.sql"))[2], '', 'the tables are made') for 1 .. 2;

# A pull that is killed anywhere confirms nothing, and leaves nothing wrong.
my $statements = () = slurp_file("$ROOT/clickhouse/pull.sql") =~ /;$/mg;
for my $stop (1, 4, $statements - 1)
{
	like(pull($stop), qr/^failed/, "a pull that is killed after statement $stop of $statements");
	is(sql('SELECT archived_seal_id FROM kept.archive_state'), 0, 'confirms nothing');
}
is(pull(), "windows archived: $windows (seal_id 0 to @{[sql('SELECT last_seal_id FROM kept.archive_state')]})", 'the next one archives all');
is(clickhouse('SELECT count(), sum(patterns) FROM fleet_history.sealed_hour FINAL'), sql(q{SELECT count(*) || E'\t' || sum(patterns) FROM kept.sealed_hour}), 'each window is there once');
is(clickhouse('SELECT sum(call_count), sum(error_count) FROM fleet_history.pattern_hour WHERE call_count < 1e15'),
	sql(q{SELECT sum(call_count) || E'\t' || sum(error_count) FROM kept.pattern_hour WHERE call_count < 1e15}), 'with all executions');
is_the_same('patterns are those of the history');
is(clickhouse('SELECT count(), round(sum(value) / 1e6) FROM fleet_history.metric FINAL'), sql(q{SELECT count(*) || E'\t' || round(sum(value) / 1e6) FROM kept.metric}), 'so are points');
is(clickhouse('SELECT count(), countIf(truncated), sum(call_count) FROM fleet_history.capture FINAL'),
	sql(q{SELECT concat_ws(E'\t', count(*), count(*) FILTER (WHERE truncated), sum(call_count)) FROM kept.capture WHERE captured_at IS NOT NULL}), 'and sums of windows');

my ($restore) = grep { /INSERT/ } @questions;
isnt(clickhouse($_), '', 'what the page asks: ' . s/^\s*(\S+ \S+).*/$1/sr) for grep { $_ ne $restore } @questions;

# PostgreSQL is asked for what is new only, by an index.
my $log = slurp_file($node->logfile);
like($log, qr/FROM "kept"\."sealed_hour" WHERE \("seal_id" > 0\) AND \("seal_id" <= \d+\)/, 'the condition on seal_id is sent to PostgreSQL');

is(pull(), "windows archived: 0 (seal_id $1 to $1)", 'a pull without anything new') if sql('SELECT last_seal_id FROM kept.archive_state') =~ /(\d+)/;
is(clickhouse('SELECT count() FROM fleet_history.sealed_hour FINAL'), $hours, 'doubles nothing');

# Sealed again: another value, a pattern that is gone, and one that is new
sql(<<'SQL');
UPDATE planted.pattern p SET call_count = 5, total_rows = 6 FROM odd WHERE p.service_id = odd.service_id AND p.window_start = odd.hour AND p.call_count = 1;
DELETE FROM planted.pattern p USING odd WHERE p.service_id = odd.service_id AND p.window_start = odd.hour AND p.call_count = 0;
INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, total_duration_us)
SELECT service_id, 'hour', hour, planted.key(44, 'came late'), 3, 3 FROM odd;
SQL
isnt(join("\n", @{ of_clickhouse('hour') }), join("\n", @{ of_postgres('hour') }), 'a window that is sealed again');
like(pull(), qr/^windows archived: 1 /, 'is pulled again');
is_the_same('and replaced');
clickhouse('OPTIMIZE TABLE fleet_history.sealed_hour FINAL');
is(clickhouse('SELECT count() FROM fleet_history.sealed_hour'), $hours, 'merges remove the former one');

# What is sealed while a pull runs is left to the next one; what is missing is an error.
my ($last, $through) = split /\|/, sql('SELECT archived_seal_id, last_seal_id FROM kept.archive_state');
sql(q{UPDATE planted.pattern p SET call_count = 6 FROM odd WHERE p.service_id = odd.service_id AND p.window_start = odd.hour AND p.call_count = 5});
is((client("--param_last=$last", "--param_through=$through", '--queries-file', "$ROOT/clickhouse/pull.sql"))[2], '', 'a pull from before a window was sealed');
is(clickhouse("SELECT max(seal_id) FROM fleet_history.sealed_hour"), $through, 'does not read it');
my $script = slurp_file("$ROOT/clickhouse/pull.sql");
$last = $through;
for my $missing ([ sealed_hour => qr/windows of sealed_hour are missing here, or differ/ ], [ pattern_key => qr/patterns of windows are missing here/ ],
	[ query_text => qr/patterns of windows are missing here/ ])
{
	my $without = $script =~ s/^INSERT INTO fleet_history\.$missing->[0]\b.*?;$//msr;
	sql(qq{INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, total_duration_us) SELECT service_id, 'hour', hour + interval '1 hour', planted.key(45, 'lacks $missing->[0]'), 3, 3 FROM odd});
	$through = sql('SELECT last_seal_id FROM kept.archive_state');
	my ($status, $out, $err) = client("--param_last=$last", "--param_through=$through", '--query', $without);
	ok($status != 0, "a pull that lacks $missing->[0]");
	like($err, $missing->[1], 'is an error');
}
like(pull(), qr/^windows archived: 2 /, 'the next pull is complete');
is_the_same('once more');

# The purge leaves windows that are not confirmed.
sql(q{UPDATE kept.setting SET value = '1 day' WHERE name = 'keep_hour'; UPDATE kept.setting SET value = 'on' WHERE name = 'archive'});
sql(q{UPDATE planted.pattern p SET call_count = 8 FROM odd WHERE p.service_id = odd.service_id AND p.window_start = odd.hour AND p.call_count = 6});
my $before = clickhouse('SELECT count(), sum(call_count) FROM fleet_history.pattern_hour WHERE call_count < 1e15');
sql('SELECT chpg_history_purge()');
is(sql('SELECT count(*), min(window_start) = min(odd.hour) FROM kept.sealed_hour, odd'), '2|t', 'a purge leaves the window that is not archived, and later ones');
like(pull(), qr/^windows archived: 1 /, 'when it is');
sql('SELECT chpg_history_purge()');
is(sql('SELECT count(*) FROM kept.sealed_hour'), 0, 'the next purge takes them, too');
is(clickhouse('SELECT count(), sum(call_count) - 2 FROM fleet_history.pattern_hour WHERE call_count < 1e15'), $before, 'the archive keeps them');

# And back
sql('CREATE TABLE restored (LIKE kept.pattern_hour); GRANT INSERT, SELECT ON restored TO clickhouse');
clickhouse($restore =~ s/WHERE.*/WHERE time >= '@{[sql('SELECT hour FROM odd') =~ s{\+00$}{}r]}'/sr);
is(sql(q{SELECT count(*), bool_or(query_text = E'a\tb\nc\\\\n\\\\N \\\\ ''"`é€😀'), bool_or(call_count = 8 AND error_count = 2 AND p95_duration_us = 1e18::real) FROM restored}), '9|t|t', 'rows of the archive go back to PostgreSQL');

done_testing();
