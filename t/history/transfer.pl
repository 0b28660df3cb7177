# History: what is exported from one database and imported into another one is the same
# there; bad rows are refused; hidden texts stay hidden; and the course of a pattern.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');
my $file = $node->basedir . '/export';

sub run { my ($database, $sql) = @_; return $node->safe_psql($database, $sql) }
sub here { my ($sql) = @_; return run('postgres', $sql) }
sub there { my ($sql) = @_; return run('elsewhere', $sql) }

# What the views of a history show, a line for each.
sub shown
{
	my ($database, $where) = @_;
	$where //= 'true';
	return run($database, join '', map { "SELECT '$_', count(*), md5(string_agg(v::text, chr(10) ORDER BY v::text)) FROM kept.$_ v WHERE $where;\n" }
		qw(pattern_hour pattern_day service_hour service_day error_hour metric coverage))
	  . run($database, q{SELECT service_id, (to_jsonb(l) - 'service_key')::text FROM kept.limit_day l JOIN kept.service_key USING (service_key) ORDER BY service_id, day});
}

# How the history's tables have it, too: an import that finds nothing new writes no pattern.
sub stored
{
	my ($database) = @_;
	return shown($database) . run($database, <<'SQL');
SELECT md5(string_agg(w::text, chr(10) ORDER BY w::text)) FROM kept.sealed_hour w;
SELECT count(*), md5(string_agg(concat(w.ctid, w), chr(10) ORDER BY w::text)) FROM kept.open_hour w;
SELECT md5(string_agg(w::text, chr(10) ORDER BY w::text)) FROM kept.sealed_day w;
SELECT md5(string_agg(d::text, chr(10) ORDER BY d::text)) FROM kept.day_sum d;
SELECT md5(string_agg(m::text, chr(10) ORDER BY m::text)) FROM kept.metric_day m;
SELECT md5(string_agg(l::text, chr(10) ORDER BY l::text)) FROM kept.limit_day l;
SELECT md5(string_agg(s::text, chr(10) ORDER BY s::text)) FROM kept.service s;
SELECT md5(string_agg(k::text, chr(10) ORDER BY k::text)) FROM kept.pattern_key k;
SQL
}

# A history with open and sealed windows, of a service that was renamed, and odd texts

here(connect_sql($url));
reset_emulator($url, services => 2, patterns => 20);
here(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '4 hours' WHERE name = 'backfill'});
settle($node, 'kept');
here('CALL chpg_capture()');
make_plantable($node);
here(<<'SQL');
UPDATE kept.service SET valid_from = now() - interval '2 days', noted_at = now() - interval '2 days' WHERE service_name = 'orders';
INSERT INTO kept.service (service_id, valid_from, valid_to, noted_at, service_name, region, tags, server)
SELECT service_id, '-infinity', valid_from, now() - interval '30 days', 'bestellungen', region, '{"team": "früher"}', server
FROM kept.service WHERE service_name = 'orders';
CREATE TABLE odd AS SELECT row_number() OVER () AS n, text FROM unnest(ARRAY[E'SELECT\n\t1', E'\\N', E'a\\b"c,\'d', 'größer', '', repeat('x', 150000)]) text;
INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, error_count, total_duration_us, max_duration_us, p95_duration_us, p99_duration_us, total_rows)
SELECT s.service_id, g.grain, w, planted.key(odd.n - 2, odd.text, 'SELECT', 'db' || odd.n % 2, 'Bob', 'psql "x"'), CASE WHEN odd.n > 1 THEN odd.n END,
	odd.n % 2, 123456.7 * odd.n, 9876543.2, CASE WHEN odd.n <> 3 THEN 1234.5 END, 5, CASE odd.n WHEN 3 THEN 9223372036854775807 END
FROM (SELECT DISTINCT service_id FROM kept.service) s, odd, (VALUES ('hour', interval '1 hour', interval '208 hours'), ('day', '24 hours', '264 hours')) g(grain, length, age),
	generate_series(date_bin(g.length, now() - g.age, '2000-01-01 00:00Z'), now() - interval '7 days 12 hours', g.length) w
-- None comes of the age of 8 days, at which windows are sealed, between one import and the next.
WHERE w NOT BETWEEN now() - interval '194 hours' AND now() - interval '190 hours';
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us, error, attempts, captured_at)
SELECT DISTINCT p.service_id, p.grain, p.window_start, p.window_start + CASE p.grain WHEN 'day' THEN interval '24 hours' ELSE '1 hour' END, 'ok', 6,
	p.grain = 'day', CASE p.grain WHEN 'day' THEN 12.5 END, CASE WHEN p.grain = 'day' THEN '57014: canceled by bob' END, 3, p.window_start + interval '2 days'
FROM planted.pattern p WHERE p.window_start < now() - interval '3 days';
SELECT planted.sums();
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status, error, attempts, captured_at)
SELECT service_id, 'hour', w, w + interval '1 hour', CASE WHEN extract(hour FROM w)::integer % 2 = 0 THEN 'lost' ELSE 'error' END, '08006: host db1 is gone', 4, w
FROM (SELECT DISTINCT service_id FROM kept.service) s, generate_series(date_bin('24 hours', now() - interval '5 days', '2000-01-01 00:00Z'), now() - interval '4 days 18 hours', '1 hour') w;
CALL chpg_history_seal();
SELECT planted.sums();
SQL
like(here('SELECT count(*) > 20 FROM kept.sealed_hour; SELECT count(DISTINCT window_start) > 10 FROM kept.open_hour'), qr/^t\nt$/, 'the history has open and sealed windows');
is(here(q{SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) || ' ' || bool_or(query_id = 0) FROM chpg_history_export()}),
	'limit metric pattern service window true', 'an export has five kinds of rows, and patterns without a query_id');

# There and back

here("COPY (SELECT * FROM chpg_history_export()) TO '$file'; COPY (SELECT * FROM chpg_history_export()) TO '$file.csv' (FORMAT csv, HEADER)");
here('CREATE DATABASE elsewhere');
there(q{ALTER DATABASE elsewhere SET datestyle = 'SQL, DMY'; ALTER DATABASE elsewhere SET intervalstyle = 'sql_standard'; ALTER DATABASE elsewhere SET extra_float_digits = 0});
there(qq{CREATE SCHEMA tools; CREATE EXTENSION chpg SCHEMA tools; SET search_path = tools; SELECT chpg_history_enable('kept');
SET datestyle = 'ISO'; CREATE TABLE tools.incoming (LIKE chpg_history_row); COPY tools.incoming FROM '$file'});
my $expected = shown('postgres');
my $imported = there(q{SELECT * FROM tools.chpg_history_import('TABLE tools.incoming;')});
like($imported, qr/^2\|\d+\|\d+\|\d+$/, 'an import says what it took');
is($imported, there(q{SELECT concat_ws('|', count(DISTINCT service_id), count(*) FILTER (WHERE kind = 'window'), count(*) FILTER (WHERE kind = 'pattern'), count(*) FILTER (WHERE kind = 'metric')) FROM tools.incoming}),
	'which is all of it');

# Everything is compared in one format.
there($_) for 'ALTER DATABASE elsewhere RESET ALL';
is(shown('elsewhere'), $expected, 'all views show the same in the other database');
is(there('SELECT count(*) FROM kept.sealed_hour'), here('SELECT count(*) FROM kept.sealed_hour'), 'old windows are sealed at once');
is(there('SELECT count(*) FROM kept.open_hour'), here('SELECT count(*) FROM kept.open_hour'), 'and recent ones are not');
is(there('SELECT count(*), sum(hours), sum(call_count) FROM kept.day_sum'), here('SELECT count(*), sum(hours), sum(call_count) FROM kept.day_sum'), 'days are summed');
my $stored = stored('elsewhere');
there(q{SELECT tools.chpg_history_import('SELECT * FROM tools.incoming ORDER BY random() -- in any order')});
is(stored('elsewhere'), $stored, 'the same rows once more, in another order, change nothing');
there(qq{TRUNCATE tools.incoming; COPY tools.incoming FROM '$file.csv' (FORMAT csv, HEADER); SELECT tools.chpg_history_import('TABLE tools.incoming')});
is(stored('elsewhere'), $stored, 'nor do those from a CSV file');
there(qq{COPY (SELECT * FROM tools.chpg_history_export()) TO '$file.2'});
is(here(qq{CREATE TEMP TABLE a (LIKE chpg_history_row); COPY a FROM '$file'; CREATE TEMP TABLE b (LIKE a); COPY b FROM '$file.2'; ALTER TABLE a DROP query_text; ALTER TABLE b DROP query_text;
	SELECT count(*) FROM (TABLE a EXCEPT ALL TABLE b) d; SELECT count(*) FROM (TABLE b EXCEPT ALL TABLE a) d}), "0\n0", 'and the copy exports the same');
there(q{DELETE FROM kept.open_hour; DELETE FROM kept.capture WHERE window_start > now() - interval '6 days'; SELECT tools.chpg_history_import('TABLE tools.incoming')});
is(shown('elsewhere'), $expected, 'what is gone comes back');

# An export of a version without limits
there(q{DELETE FROM kept.limit_day; SELECT tools.chpg_history_import('SELECT * FROM tools.incoming WHERE kind <> ''limit''')});
is(there('SELECT count(*) FROM kept.limit_day'), 0, 'an export without limits is imported, too');
there(q{SELECT tools.chpg_history_import('SELECT * FROM tools.incoming WHERE kind = ''limit''')});
is(shown('elsewhere'), $expected, 'and limits alone');
is(there(q{BEGIN; SELECT tools.chpg_history_import($$SELECT 'limit' AS kind, 'new' AS service_id, '2026-01-01 00:00Z'::timestamptz AS "time", 'large' AS size, '{"cpu_cores": 4}'::jsonb AS tags$$);
	SELECT s.size, s.tags IS NULL, l.cpu_cores FROM kept.service s JOIN kept.service_key USING (service_id) JOIN kept.limit_day l USING (service_key) WHERE service_id = 'new'; ROLLBACK}) =~ s/\n?\(1,0,0,0\)\n?//r, 'large|t|4', 'also those of a service that is not known');
there(q{UPDATE kept.limit_day SET noted_at = noted_at + interval '1 second', max_connections = 7; SELECT tools.chpg_history_import('TABLE tools.incoming'); UPDATE kept.limit_day SET noted_at = noted_at - interval '1 hour'});
is(there('SELECT DISTINCT max_connections FROM kept.limit_day'), 7, 'limits that the history noted later stay');
there(q{SELECT tools.chpg_history_import('TABLE tools.incoming')});
is(shown('elsewhere'), $expected, 'and earlier ones do not');

# Periods and services

is(here(q{SELECT count(*) FROM chpg_history_export(tstzrange(now() - interval '9 days', now() - interval '8 days'), 'orders') WHERE kind = 'window' AND ("time" < now() - interval '9 days' OR "time" > now() - interval '8 days 1 hour')}),
	0, 'of a period only whole windows');
is(here(q{SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM chpg_history_export(tstzrange(date_trunc('hour', now()) - interval '3 hours 7 minutes', date_trunc('hour', now()) - interval '1 hour'), 'orders') e,
	unnest(points) WITH ORDINALITY p(value, i) WHERE kind = 'metric' AND e.time + (i - 1) * step_s * interval '1 second' >= date_trunc('hour', now()) - interval '3 hours 7 minutes'
	GROUP BY metric, series) n}), here(q{SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM kept.metric WHERE service_name = 'orders' AND "time" >= date_trunc('hour', now()) - interval '3 hours 7 minutes'
	AND "time" < date_trunc('hour', now()) - interval '1 hour' GROUP BY metric, series) n}), 'and its points');
is(here(q{SELECT count(DISTINCT service_id) FROM chpg_history_export(service => 'orders')}), 1, 'one service');
fails_with($node, q{SELECT chpg_history_export(service => 'none')}, '42704', qr/service "none" is not in the history/, 'an unknown service');
fails_with($node, q{SELECT chpg_history_export('empty')}, '22023', qr/invalid value for "period"/, 'an empty period');
fails_with($node, q{SELECT chpg_history_export(hide_texts => NULL)}, '22004', qr/"hide_texts" must not be null/, 'hidden or not');
like(here('BEGIN READ ONLY; SELECT count(*) FROM chpg_history_export()'), qr/^\d+$/, 'a read-only transaction exports');

# What others change meanwhile

my ($other, $exporting) = map { open_session($node) } 1 .. 2;
in_session($other, q{BEGIN; LOCK TABLE kept.open_day IN ACCESS EXCLUSIVE MODE; UPDATE kept.capture SET error = 'late' WHERE error IS NULL});
begin_in_session($exporting, q{SELECT count(*) FILTER (WHERE kind = 'window') > 0 AND bool_and(error IS DISTINCT FROM 'late') AS one_moment FROM chpg_history_export()});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%one_moment%' AND pid <> pg_backend_pid()}) or die 'no export waits';
in_session($other, 'COMMIT');
like(in_session($exporting, q{SELECT 'done'}), qr/t\ndone/, 'an export has the history of one moment');
here(q{UPDATE kept.capture SET error = NULL WHERE error = 'late'});

# Hidden texts

here("COPY (SELECT * FROM chpg_history_export(hide_texts => true)) TO '$file.hidden'");
my $hidden = slurp_file("$file.hidden");
my @secrets = split /\n/, here(q{SELECT DISTINCT s FROM kept.pattern_key k JOIN kept.query_text USING (text_id), unnest(ARRAY[db_name, db_user, app, left(query_text, 50), encode(text_hash, 'hex')]) s WHERE length(s) > 2 AND s !~ '[[:cntrl:]]' AND strpos(s, chr(92)) = 0
	UNION SELECT DISTINCT series FROM kept.metric WHERE metric = 'database_size' UNION VALUES ('canceled by bob'), ('host db1')
	EXCEPT SELECT service_name FROM kept.service EXCEPT SELECT encode(sha256(''), 'hex')});
cmp_ok(scalar @secrets, '>', 60, 'there is something to hide');
is(join('|', grep { $hidden =~ /(?:^|[\t{",])\Q$_\E(?![0-9a-z_])/m } @secrets), '', 'an export with hidden texts has none of it');
is(here(q{SELECT count(*) FROM chpg_history_export(hide_texts => true) WHERE kind = 'pattern' AND (db_name !~ '^(db_[0-9a-f]{20})?$' OR db_user !~ '^(user_[0-9a-f]{20})?$' OR app !~ '^(app_[0-9a-f]{20})?$' OR query_text !~ '^(text_[0-9a-f]{20})?$')}),
	0, 'but pseudonyms');
is(here(q{SELECT count(*), count(DISTINCT error) FROM chpg_history_export(hide_texts => true) WHERE error IS NOT NULL AND error NOT IN ('57014', '08006')}), '0|0', 'of failures, the SQLSTATE stays');
is(here(q{SELECT count(*) > 0, bool_and(e.tags->'settings' <@ '{}'), count(*) FILTER (WHERE e.tags->'settings_at' <> 'null') > 0 FROM chpg_history_export(hide_texts => true) e WHERE kind = 'limit'}), 't|t|t', 'of settings, nothing but max_connections');
here("COPY (SELECT * FROM chpg_history_export(hide_texts => true)) TO '$file.again'");
is(slurp_file("$file.again") eq $hidden, 1, 'another export has the same pseudonyms');
there("COPY (SELECT * FROM tools.chpg_history_export(hide_texts => true)) TO '$file.there'");
my %pseudonyms = map { $_ => 1 } $hidden =~ /\b(?:db|user|app|text)_[0-9a-f]{20}\b/g;
is(scalar(grep { $pseudonyms{$_} } slurp_file("$file.there") =~ /\b(?:db|user|app|text)_[0-9a-f]{20}\b/g), 0, 'and another history with the same rows has others');
here('CREATE DATABASE support');
run('support', qq{CREATE EXTENSION chpg; SELECT chpg_history_enable('kept'); CREATE TABLE incoming (LIKE chpg_history_row); COPY incoming FROM '$file.hidden'; SELECT chpg_history_import('TABLE incoming')});
is(run('support', q{SELECT count(*), md5(string_agg(v::text, chr(10) ORDER BY v::text)) FROM kept.service_hour v}), here(q{SELECT count(*), md5(string_agg(v::text, chr(10) ORDER BY v::text)) FROM kept.service_hour v}), 'it can be imported');
is(run('support', q{SELECT count(*), sum(call_count), count(DISTINCT query_text), count(DISTINCT db_user) FROM kept.pattern_day}), here(q{SELECT count(*), sum(call_count), count(DISTINCT query_text), count(DISTINCT db_user) FROM kept.pattern_day}), 'and has as many texts and users');
fails_with($node, q{BEGIN; UPDATE kept.setting SET value = 'short' WHERE name = 'pseudonym_key'; SELECT chpg_history_export(hide_texts => true)}, '22023', qr/invalid value for setting "pseudonym_key" of the history\n(?!.*short.*DETAIL)/s, 'a key that is too short');

# Rows of one's own

there('CREATE SCHEMA mine; CREATE TABLE mine.line (service_id text, "time" timestamp, query_id numeric, call_count text)');
sub import_of { my ($query, $grain) = @_; return "SET search_path = mine; SELECT * FROM tools.chpg_history_import(\$q\$$query\$q\$" . ($grain ? ", '$grain'" : '') . ')' }
there(q{INSERT INTO mine.line SELECT 'own', date_trunc('hour', now()) - n * interval '1 hour', n, n FROM generate_series(1, 3) n});
is(there(import_of('SELECT * FROM line', 'hour') . q{; SELECT current_setting('search_path')}), "1|3|3|0\nmine", 'rows of few columns, by the search_path of the caller');
is(there(q{SELECT query_id, call_count, query_text, error_count IS NULL, service_name IS NULL FROM kept.pattern_hour WHERE service_id = 'own' ORDER BY 1}), join("\n", map { "$_|$_||t|t" } 1 .. 3), 'are patterns');
is(there(q{SELECT status, patterns, truncated, call_count, attempts FROM kept.service_hour JOIN kept.coverage USING (service_id, "time", status, patterns, truncated) WHERE service_id = 'own'}), join("\n", map { "ok|1|f|$_|1" } reverse 1 .. 3), 'of windows that count as captured');
is(there(q{SELECT valid_from, valid_to, server FROM kept.service WHERE service_id = 'own'}), '-infinity|infinity|', 'of a new service');
my $view = run('support', 'SELECT md5(string_agg(p::text, chr(10) ORDER BY p::text)) FROM kept.pattern_hour p');
run('support', q{SELECT chpg_history_import('SELECT * FROM kept.pattern_hour', 'hour')});
is(run('support', 'SELECT md5(string_agg(p::text, chr(10) ORDER BY p::text)) FROM kept.pattern_hour p'), $view, 'the view pattern_hour can be imported');
is(there(import_of(q{SELECT 'own' AS service_id, "time", query_id, 2.5 AS avg_duration_us, 4 AS call_count, 'x' AS tag_team FROM line WHERE query_id = 1}, 'hour')
	. q{; SELECT query_id, total_duration_us FROM kept.pattern_hour WHERE service_id = 'own' AND "time" = (SELECT "time" FROM mine.line WHERE query_id = 1)}),
	"1|1|1|0\n1|10", 'a mean and the executions are a total');
there(import_of(q{SELECT 'own' AS service_id, "time", 7 AS query_id FROM line WHERE query_id = 1}, 'hour'));
is(there(q{SELECT string_agg(query_id::text, ' ' ORDER BY query_id) FROM kept.pattern_hour WHERE service_id = 'own'}), '2 3 7', 'a window is replaced as a whole');
is(there(q{SELECT sum(s.hours) FROM kept.day_sum s JOIN kept.service_key USING (service_key) WHERE service_id = 'own'}), 3, 'and summed anew');
there(import_of(q{SELECT 'window' AS kind, 'own' AS service_id, "time", 'lost' AS status FROM line WHERE query_id < 3 UNION ALL SELECT 'window', 'own', "time", 'ok' FROM line WHERE query_id = 3}, 'hour'));
is(there(q{SELECT string_agg(c.status || p.n, ' ' ORDER BY c."time" DESC) FROM kept.coverage c, LATERAL (SELECT count(*) AS n FROM kept.pattern_hour p WHERE (p.service_id, p."time") = (c.service_id, c."time")) p WHERE c.service_id = 'own'}),
	'ok1 ok1 ok0', 'a lost window replaces none that was captured, and an empty one does');

SKIP: {
	skip 'strings always conform to the standard', 1 if $node->safe_psql('postgres', 'SHOW server_version_num') >= 190000;
	there('SET standard_conforming_strings = off; ' . import_of(q{SELECT 'own' AS service_id, "time", 9 AS query_id, 'SELECT  status' AS query_text FROM line WHERE query_id = 2}, 'hour'));
	is(there(q{SELECT query FROM kept.pattern_hour WHERE service_id = 'own' AND query_id = 9}), 'SELECT status', 'a session with other rules for strings imports the same');
}

# Points of metrics, and the states of a service

sub points { my ($from, $step, @points) = @_; my $list = join ',', @points; return qq{SELECT 'metric' AS kind, 'own' AS service_id, 'm' AS metric, timestamptz '$PAST_DATE ${from}Z' AS "time", $step AS step_s, '{$list}'::real[] AS points} }
my $points_now = q{; SELECT string_agg(to_char("time", 'HH24:MI') || '=' || value, ' ' ORDER BY "time") FROM kept.metric WHERE service_id = 'own'};
like(there(import_of(points('10:00', 300, 1, 'NULL', 3, 4)) . $points_now), qr/^1\|0\|0\|1\n10:00=1 10:10=3 10:15=4$/, 'points');
like(there(import_of(points('10:10', 60, -5, 6)) . $points_now), qr/\n10:00=1 10:10=-5 10:11=6 10:15=4$/, 'replace those from the first to the last');
like(there(import_of(points('10:00', 300, 1, 2) . ' UNION ALL ' . points('10:09', 120, 8)) . $points_now), qr/\n10:00=1 10:05=2 10:09=8 10:11=6 10:15=4$/, 'also with several steps');

sub state_of { my ($name, $from, $to, $noted) = @_; return qq{SELECT 'service' AS kind, 'own' AS service_id, '$name' AS service_name, '$from'::timestamptz AS valid_from, '$to'::timestamptz AS valid_to, '$noted'::timestamptz AS noted_at} }
sub states_after
{
	my @states = @_;
	return (split /\n/, there(import_of(join(' UNION ALL ', @states))
		. q{; SELECT string_agg(service_name || ' ' || coalesce(to_char(valid_from, 'DD'), '') || '-' || coalesce(to_char(valid_to, 'DD'), ''), ', ' ORDER BY valid_from) FROM kept.service WHERE service_id = 'own'}))[1];
}
there(q{DELETE FROM kept.service WHERE service_id = 'own'});
my @old = (state_of('older', '-infinity', '2026-01-10', '2026-01-05'), state_of('old', '2026-01-10', 'infinity', '2026-01-10'));
is(states_after(state_of('new', '-infinity', 'infinity', '2026-01-20')), 'new -', 'a state of a service');
is(states_after(@old), 'older -10, old 10-20, new 20-', 'older states come before it');
is(states_after(@old), 'older -10, old 10-20, new 20-', 'once');
is(states_after($old[0], state_of('newer', '2026-01-10', 'infinity', '2026-01-25')), 'older -10, newer 10-', 'and newer ones instead of it');
is(states_after(state_of('newest', '-infinity', 'infinity', '2026-01-28')), 'older -10, newer 10-28, newest 28-', 'and what began later comes after it');
is(states_after(state_of('newest', '-infinity', 'infinity', '2026-01-28')), 'older -10, newer 10-28, newest 28-', 'once, too');

# Days on which clocks change

there(q{SELECT tools.chpg_history_import($$SELECT 'pattern' AS kind, 'clock' AS service_id, '2025-10-26 00:00Z'::timestamptz AS "time", 1 AS query_id, NULL::text AS metric, NULL::integer AS step_s, NULL::real[] AS points
	UNION ALL SELECT 'metric', 'clock', '2025-03-30 23:30Z', NULL, 'm', 900, '{1,2}'$$, 'day')});
for my $zone (qw(UTC Europe/Berlin America/New_York))
{
	is(there(qq{SET timezone = '$zone'; SELECT string_agg(kind, ' ' ORDER BY kind) FROM tools.chpg_history_export('[2025-10-26 00:00Z,2025-10-27 00:00Z)', 'clock')}),
		'pattern service window', "a day window with its patterns, by the clocks of $zone");
	is(there(qq{SET timezone = '$zone'; SELECT points FROM tools.chpg_history_export('[2025-03-30 23:30Z,2025-03-31 00:00Z)', 'clock') WHERE kind = 'metric'}),
		'{1,2}', 'and the last points of a day');
}

# Rows that cannot be used

my @elsewhere = (connstr => $node->connstr('elsewhere'));
my %good = (service_id => q{'bad'}, time => q{(date_trunc('hour', now()) - interval '2 hours')::text}, query_id => q{'1'});
sub line_of { my (%line) = @_; return 'SELECT ' . join ', ', map { "$line{$_}::text AS \"$_\"" } sort keys %line }
my $before = stored('elsewhere');
for (
	[ qr/column "service_id" is null/, service_id => 'NULL' ],
	[ qr/column "service_id" is ""\n.*1 to 50 characters/, service_id => q{''} ],
	[ qr/column "service_id" is "x{51}"/, service_id => q{repeat('x', 51)} ],
	[ qr/column "service_id" is "a b"/, service_id => q{E'a\tb'} ],
	[ qr/column "time" is null/, time => 'NULL' ],
	[ qr/column "time" is infinity/, time => q{'infinity'} ],
	[ qr/column "time": invalid input syntax for type timestamp with time zone: "noon"\n/, time => q{'noon'} ],
	[ qr/column "time": .*out of range/, time => q{'2026-13-01'} ],
	[ qr/column "time" is 1999-12-31 23:00:00\+00/, time => q{'1999-12-31 23:00Z'} ],
	[ qr/column "time" is [^\n]*\nDETAIL:  Windows have ended/, time => q{date_trunc('hour', now())} ],
	[ qr/column "time" is [^\n]*\nDETAIL:  A window begins with an hour/, time => q{'2026-01-01 00:30Z'} ],
	[ qr/column "query_id" is null/, query_id => 'NULL' ],
	[ qr/column "query_id": invalid input syntax for type bigint: "1.5"\nDETAIL:  Its type is bigint\./, query_id => q{'1.5'} ],
	[ qr/column "query_id": value "9223372036854775808" is out of range/, query_id => q{'9223372036854775808'} ],
	[ qr/it is row 1 again/ ],
	[ qr/column "call_count" is -1\nDETAIL:  It is a number, not negative/, call_count => q{'-1'} ],
	[ qr/column "error_count": invalid input syntax for type bigint: "NaN"/, error_count => q{'NaN'} ],
	[ qr/column "total_duration_us" is NaN/, total_duration_us => q{'NaN'} ],
	[ qr/column "p99_duration_us" is Infinity/, p99_duration_us => q{'Infinity'} ],
	[ qr/column "total_cpu_time_us" is 1.1e\+18/, total_cpu_time_us => q{'1.1e18'} ],
	[ qr/column "max_duration_us": "1e999" is out of range/, max_duration_us => q{'1e999'} ],
	[ qr/column "avg_duration_us": invalid input syntax/, avg_duration_us => q{'long'} ],
	[ qr/column "grain" is "week"/, grain => q{'week'} ],
	[ qr/column "kind" is "nothing"/, kind => q{'nothing'} ],
	[ qr/column "text_hash" is "abc"/, text_hash => q{'abc'} ],
	[ qr/column "text_hash" is not the sha256 of query_text/, text_hash => q{repeat('0', 64)}, query_text => q{'x'} ],
	[ qr/column "query_text" is null\nDETAIL:  No row has the text/, text_hash => q{repeat('0', 64)} ],
	[ qr/a name has more than 500 bytes/, app => q{repeat('ä', 251)} ],
	[ qr/its query_text has more than 16000000 bytes/, query_text => q{repeat('x', 16000001)} ],
	[ qr/a text has more than 100000 bytes/, kind => q{'window'}, error => q{repeat('x', 100001)} ],
	[ qr/column "tags" is no object/, tags => q{'x'} ],
	[ qr/column "status" is "fine"/, kind => q{'window'}, status => q{'fine'} ],
	[ qr/column "cutoff_us" is NaN/, kind => q{'window'}, cutoff_us => q{'NaN'} ],
	[ qr/column "cutoff_us" is null\nDETAIL:  A truncated window/, kind => q{'window'}, truncated => q{'true'} ],
	[ qr/column "patterns" is -1/, kind => q{'window'}, patterns => q{'-1'} ],
	[ qr/column "metric" is null/, kind => q{'metric'}, points => q{'{1}'}, step_s => q{'1'} ],
	[ qr/column "points" has no numbers/, kind => q{'metric'}, metric => q{'m'}, points => q{'{1,NaN}'}, step_s => q{'1'} ],
	[ qr/column "step_s" is 0/, kind => q{'metric'}, metric => q{'m'}, points => q{'{1}'}, step_s => q{'0'} ],
	[ qr/column "step_s" is 86400/, kind => q{'metric'}, metric => q{'m'}, points => q{'{1,2}'}, step_s => q{'86400'} ],
	[ qr/columns "valid_from", "valid_to" and "noted_at" are infinity, /, kind => q{'service'}, valid_from => q{'infinity'} ],
)
{
	my ($message, %bad) = @$_;
	my %first = map { $_ => 'NULL' } keys %bad;
	fails_with($node, import_of(line_of(%first, %good) . ' UNION ALL ' . line_of(%good, %bad), 'hour'), '22023',
		qr/ERROR:  22023: row 2 of the import cannot be used: $message.*HINT:  Nothing was imported/s, join(' ', 'refused:', map { "$_ $bad{$_}" } sort keys %bad), @elsewhere);
}
for (
	[ 'SELECT 1 AS service_id, now() AS "time", 1 AS query_id, 2 AS cost, 3 AS "Cost"', '42703', qr/the import has unknown columns: "Cost", "cost"\n/ ],
	[ 'SELECT 1 AS service_id, now() AS "time"', '42703', qr/the import lacks the column "query_id"/ ],
	[ 'SELECT 1/0 AS query_id', '22012', qr/division by zero/ ],
	[ 'SELECT 1 AS service_id, now() AS "time", 1 AS query_id, 1/(n - 2) AS call_count FROM generate_series(1, 3) n', '22012', qr/division by zero/ ],
	[ 'SELECT 1; DROP TABLE mine.line', '42P11', qr/cannot open multi-query plan as cursor/ ],
	[ 'DELETE FROM mine.line', '42P11', qr/cannot open DELETE query as cursor/ ],
	[ 'SELECT * FROM nowhere', '42P01', qr/"nowhere" does not exist/ ],
	[ q{SELECT 'service' AS kind, 's' AS service_id, f AS valid_from FROM unnest('{2026-01-01,2026-02-01}'::timestamptz[]) f}, '22023', qr/row 2 of the import .* column "valid_from" is 2026-02-01/ ],
	(map { [ qq{SELECT 'limit' AS kind, 'bad' AS service_id, '2026-01-01 $_->[0]Z'::timestamptz AS "time", '$_->[1]'::jsonb AS tags}, '22023', qr/row 1 of the import cannot be used: $_->[2]/ ] }
		[ '00:00', '{"cpu_cores": "many"}', qr/column "tags": invalid input syntax for type integer: "many"/ ], [ '00:00', '{"settings_at": "noon"}', qr/column "tags": invalid input syntax for type timestamp/ ],
		[ '01:00', '{}', qr/column "time" is 2026-01-01 01:00:00\+00\nDETAIL:  A day begins at midnight/ ], [ '00:00', '[1]', qr/column "tags" is no object/ ],
		[ '00:00', '{"max_connections": -1}', qr/columns "tags" and "noted_at" are no limits/ ], [ '00:00', '{"settings": 1}', qr/columns "tags" and "noted_at" are no limits/ ]),
	[ q{SELECT 'limit' AS kind, 'bad' AS service_id, '2026-01-01 00:00Z'::timestamptz AS "time", '{}'::jsonb AS tags, '9999-01-01 00:00Z'::timestamptz AS noted_at}, '22023', qr/row 1 of the import .* columns "tags" and "noted_at" are no limits/ ],
	[ line_of(%good) . ", 'pattern' AS kind, NULL AS status UNION ALL " . line_of(%good, query_id => 'NULL') . ", 'window', 'lost'", '22023', qr/row 1 of the import .* another status than ok/ ],
)
{
	my ($query, $state, $message) = @$_;
	fails_with($node, import_of($query, 'hour'), $state, $message, "refused: $query", @elsewhere);
}
fails_with($node, import_of(q{SELECT * FROM tools.chpg_history_export() WHERE kind = 'window'}), '22023', qr/row \d+ of the import .* its window has \d+ patterns, of which there is no row\nDETAIL:  They would replace/, 'windows without their patterns', @elsewhere);
fails_with($node, import_of(q{SELECT 'big' AS service_id, date_trunc('hour', now()) - interval '2 hours' AS "time", n AS query_id, CASE n WHEN 1 THEN text END AS query_text, encode(sha256(convert_to(text, 'UTF8')), 'hex') AS text_hash
	FROM (SELECT repeat('x', 2000000) AS text OFFSET 0) x, generate_series(1, 101) n}, 'hour'), '22023', qr/row 1 of the import .* its window takes more than 200 MB/, 'a window that takes much memory', @elsewhere);
fails_with($node, import_of(q{SELECT 'metric' AS kind, 'big' AS service_id, date_trunc('day', now()) - interval '1 day' AS "time", 'm' AS metric, 's' || n AS series, 1 AS step_s, array_fill(NULL::real, '{86400}') AS points
	FROM generate_series(1, 24) n}), '22023', qr/row 24 of the import .* its metric has more than 2000000 points of the day/, 'points that take much memory', @elsewhere);
fails_with($node, import_of(line_of(%good)), '22023', qr/row 1 of the import .* column "grain" is null/, 'no grain', @elsewhere);
fails_with($node, import_of('SELECT', 'week'), '22023', qr/invalid value for "grain": "week": give hour or day$/m, 'a wrong grain', @elsewhere);
fails_with($node, 'SELECT tools.chpg_history_import(NULL)', '22004', qr/"query" must not be null/, 'no query', @elsewhere);
fails_with($node, 'BEGIN READ ONLY; SELECT tools.chpg_history_import($$SELECT 1$$)', '25006', qr/an import cannot run in a read-only transaction/, 'read only', @elsewhere);
is(stored('elsewhere'), $before, 'none of them has changed anything');
is(there(q{SELECT count(*) FROM kept.service_key WHERE service_id = 'bad'}), 0, 'nor has left a key');

# Rights

here('CREATE DATABASE owned');
here('CREATE ROLE collector LOGIN; CREATE ROLE stranger LOGIN');
run('owned', qq{CREATE EXTENSION chpg; SELECT chpg_history_enable('kept', owner => 'collector'); GRANT EXECUTE ON FUNCTION chpg_history_import TO collector, stranger;
CREATE SCHEMA inbox AUTHORIZATION collector; CREATE TABLE inbox.incoming (LIKE chpg_history_row); COPY inbox.incoming FROM '$file'; GRANT SELECT ON inbox.incoming TO collector;
CREATE TABLE closed (LIKE chpg_history_row)});
my @owned = (connstr => $node->connstr('owned'));
my @as_owner = (@owned, extra_params => [ '-U', 'collector' ]);
my @as_stranger = (@owned, extra_params => [ '-U', 'stranger' ]);
like($node->safe_psql('owned', q{SET search_path = inbox; SELECT * FROM public.chpg_history_import('SELECT * FROM incoming WHERE current_user = ''collector''')}, extra_params => [ '-U', 'collector' ]), qr/^2\|/, 'the owner imports');
is(shown('owned'), $expected, 'all of it');
fails_with($node, q{SELECT chpg_history_import('TABLE closed')}, '42501', qr/permission denied for table closed/, 'the query has the rights of the caller', @as_owner);
fails_with($node, q{SELECT chpg_history_import('SELECT 1')}, '42501', qr/permission denied for the history/, 'others may not', @as_stranger);
fails_with($node, q{SELECT chpg_history_export()}, '55000', qr/the history cannot be used/, 'nor export', @as_stranger);
fails_with($node, q{SET ROLE collector; SELECT chpg_history_import('SELECT 1')}, '55000', qr/whose code would run with your rights/, 'SET ROLE is not enough', @owned);

# The course of a pattern

my $all = q{tstzrange(now() - interval '20 days', now())};
like(here(<<"SQL"), qr/^\d{3,}\n0\n0$/, 'the courses of all patterns are what the view has');
CREATE TEMP TABLE course AS
SELECT s.service_id, q.query_id, p.*
FROM (SELECT DISTINCT service_id FROM kept.service) s, (SELECT DISTINCT query_id FROM kept.pattern_key WHERE query_id <> 0) q, chpg_pattern_course(s.service_id, q.query_id, $all) p;
CREATE TEMP TABLE seen AS
SELECT service_id, query_id, "time", sum(call_count)::bigint, sum(error_count)::bigint AS errors, sum(total_duration_us) AS total,
	(sum(total_duration_us) FILTER (WHERE call_count IS NOT NULL)) / nullif(sum(call_count) FILTER (WHERE total_duration_us IS NOT NULL), 0)::float8 AS mean,
	max(max_duration_us), min(p50_duration_us) AS p50_lo, max(p50_duration_us) AS p50_hi, min(p95_duration_us) AS p95_lo, max(p95_duration_us) AS p95_hi,
	min(p99_duration_us) AS p99_lo, max(p99_duration_us) AS p99_hi, sum(total_rows)::bigint AS rows, sum(total_shared_blks_read)::bigint AS blks_read,
	sum(total_shared_blks_hit)::bigint AS hit, sum(total_cpu_time_us) AS cpu, CASE WHEN sum(total_wal_bytes) IS NOT NULL THEN least(sum(total_wal_bytes), 9223372036854775807)::bigint END AS wal
FROM kept.pattern_hour GROUP BY 1, 2, 3;
SELECT count(*) FROM course;
SELECT count(*) FROM (TABLE course EXCEPT ALL TABLE seen) d;
SELECT count(*) FROM (TABLE seen EXCEPT ALL TABLE course) d;
SQL
is(here(qq{SELECT bool_and("time" >= now() - interval '8 days'), count(*) > 0 FROM chpg_pattern_course('orders', 1, tstzrange(now() - interval '8 days', now()))}), 't|t', 'within the period');
is(here(qq{SELECT sum(error_count) FROM chpg_pattern_course('orders', 0, $all)}), here(q{SELECT sum(error_count) FROM chpg_history_export(service => 'orders') WHERE query_id = 0 AND grain = 'hour'}), 'of what has no query_id, too');
here(q{INSERT INTO kept.pattern_key (query_id, db_name, db_user, db_operation, app, text_id, last_seen)
	SELECT 0, 'database ' || i, '', '', '', (SELECT min(text_id) FROM kept.query_text), now() FROM generate_series(1, 20000) i;
INSERT INTO kept.service (service_id, valid_from, noted_at) VALUES ('big', '-infinity', now());
INSERT INTO kept.service_key (service_id) VALUES ('big');
SELECT _chpg_history_partition('hour', now() - n * interval '19 days') FROM generate_series(0, 1) n;
INSERT INTO kept.sealed_hour (window_start, service_key, seal_id, patterns, pattern_key, error_count)
SELECT w, k.service_key, 100000, 200, (SELECT array_agg(p.pattern_key ORDER BY p.pattern_key) FROM (SELECT * FROM kept.pattern_key WHERE query_id = 0 ORDER BY pattern_key DESC LIMIT 200) p), array_fill(2::bigint, '{200}')
FROM kept.service_key k, generate_series(date_trunc('hour', now()) - interval '19 days', now() - interval '10 days', '1 hour') w WHERE k.service_id = 'big'});
is(here(qq{SET statement_timeout = '10s'; SELECT count(*) > 200, min(error_count), max(error_count) FROM chpg_pattern_course('big', 0, $all)}), 't|400|400', 'of thousands of keys, too');
is(here(qq{SELECT count(*) FROM chpg_pattern_course('orders', 123456, $all)}), 0, 'an unknown query has none');
fails_with($node, "SELECT chpg_pattern_course('none', 1, $all)", '42704', qr/service "none" is not in the history/, 'an unknown service has no course');
fails_with($node, "SELECT chpg_pattern_course(NULL, 1, $all)", '22004', qr/"service" must not be null/, 'nor has no service');
fails_with($node, "SELECT chpg_pattern_course('orders', NULL, $all)", '22004', qr/"query_id" must not be null/, 'nor no query');
fails_with($node, q{SELECT chpg_pattern_course('orders', 1, tstzrange(now(), NULL))}, '22023', qr/invalid value for "period"/, 'a period without an end');

done_testing();
