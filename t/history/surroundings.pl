# History in hostile surroundings: other roles, other sessions, other servers, other
# time zones.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use JSON::PP;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 5);

# Schemas

sub refuses
{
	my ($schema, $why) = @_;
	return fails_with($node, "SELECT chpg_history_enable('$schema')", '55000', qr/schema "\Q$schema\E" cannot have the history.*$why/s, "schema $schema");
}

sql(q{CREATE ROLE mallory; GRANT CREATE ON DATABASE postgres TO mallory; SET ROLE mallory;
	CREATE SCHEMA theirs; GRANT USAGE ON SCHEMA theirs TO PUBLIC;
	CREATE FUNCTION theirs.taken(interval, int4) RETURNS interval LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION theirs.format(text, name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE mallory SUPERUSER'; RETURN 'x'; END $$;
	CREATE FUNCTION theirs.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE mallory SUPERUSER'; RETURN 'x'; END $$});
refuses('theirs', qr/DETAIL:  It belongs to "mallory"/);
is(sql(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 'f', 'nothing of theirs has run');
sql(q{CREATE SCHEMA open_to_others; GRANT CREATE ON SCHEMA open_to_others TO mallory; CREATE SCHEMA full_of_things; CREATE TABLE full_of_things.gift ()});
refuses('open_to_others', qr/DETAIL:  Others may create objects in it/);
refuses('full_of_things', qr/DETAIL:  It has something else in it/);
refuses('public', qr/DETAIL:  It belongs to "pg_database_owner"/);

# Dashboards name the schema without quotes.
fails_with($node, "SELECT chpg_history_enable('$_')", '22023', qr/invalid name for the schema of the history: "\Q$_\E"\nDETAIL:  Dashboards .*HINT:  Take a name of lower-case letters/s, "a schema named $_")
  for 'Fleet', 'New Hist', 'fleet-history', 'say "hello"', 'user', 'größe', '';
is(notices($node, 'SELECT chpg_history_disable()'), 'psql:<stdin>:1: NOTICE:  there is no history, skipping', 'there is none to end');
sql(q{SELECT chpg_history_enable('fleet_2')});
like(notices($node, 'SELECT chpg_history_disable()'), qr/NOTICE:  the history stays in schema "fleet_2"\nDETAIL:  So do mutes, thresholds, planned work and the log of findings.*\nHINT:  To remove it: DROP SCHEMA fleet_2 CASCADE/, 'a schema with unusual characters that stays');

# A schema that was renamed, dropped, or given to another role
my $DAY = q{tstzrange(now() - interval '1 day', now())};
sql(q{SELECT chpg_history_enable('kept'); CALL chpg_capture(max_windows => 1); ALTER SCHEMA kept RENAME TO moved});
fails_with($node, 'CALL chpg_capture()', '55000', qr/the history cannot be used: schema "kept" does not exist\nHINT:  Name the schema that has it now, or a new one: SELECT chpg_history_enable\('NEW_NAME'\);/, 'a schema that was renamed');
like(notices($node, 'BEGIN; SELECT chpg_history_disable(); ROLLBACK'), qr/NOTICE:  the history has ended; its schema "kept" does not exist\nHINT:  If the schema was renamed/, 'one whose schema is not there');
sql(q{SELECT chpg_history_enable('moved'); SELECT * FROM chpg_history_cost()});
is(sql('SELECT count(*) FROM moved.coverage'), 1, 'is enabled under the new name, with its rows');
sql('DROP SCHEMA moved CASCADE; SET ROLE mallory; CREATE SCHEMA moved; CREATE TABLE moved.capture ()');
fails_with($node, 'CALL chpg_capture()', '55000', qr/schema "moved" belongs to "mallory"/, 'a name that another role has taken');
sql(q{DROP SCHEMA moved CASCADE; SELECT chpg_history_enable('kept')});
settle($node, 'kept');

# Privileges that are granted later, missing tables, another superuser
sql('GRANT CREATE ON SCHEMA kept TO mallory');
fails_with($node, 'SELECT * FROM chpg_history_due()', '55000', qr/schema "kept" may be written to by others\nHINT:  Run: REVOKE CREATE ON SCHEMA kept FROM mallory;$/m, 'a schema in which others may create objects');
sql(q{SET ROLE mallory; CREATE OPERATOR kept.* (LEFTARG = interval, RIGHTARG = int4, FUNCTION = theirs.taken); RESET ROLE; REVOKE CREATE ON SCHEMA kept FROM mallory});
fails_with($node, 'SELECT * FROM chpg_history_due()', '55000', qr/schema "kept" has objects of other roles\nHINT:  Drop what they have there, such as operator kept\.\*\(interval,integer\) of "mallory", or /, 'a schema in which an operator of another role is left');
sql(q{DROP OPERATOR kept.* (interval, int4); GRANT USAGE, CREATE ON SCHEMA kept TO mallory, pg_monitor; GRANT pg_monitor TO mallory;
	SET ROLE mallory; CREATE OPERATOR kept.* (LEFTARG = interval, RIGHTARG = int4, FUNCTION = theirs.taken); ALTER OPERATOR kept.* (interval, int4) OWNER TO pg_monitor;
	RESET ROLE; REVOKE pg_monitor FROM mallory; REVOKE ALL ON SCHEMA kept FROM mallory, pg_monitor; GRANT USAGE ON SCHEMA kept TO mallory});
fails_with($node, 'SELECT * FROM chpg_history_due()', '55000', qr/schema "kept" has objects of other roles/, 'an object that they gave to a predefined role');
sql('DROP OPERATOR kept.* (interval, int4); ALTER TABLE kept.setting RENAME TO sitting');
fails_with($node, 'CALL chpg_capture()', '55000', qr/schema "kept" lacks tables of the history/, 'a table that is not there');
is(sql("SELECT count(*) > 0 FROM chpg_period_patterns($DAY)"), 't', 'then requests are sent');
sql(q{ALTER TABLE kept.sitting RENAME TO setting; CREATE ROLE other_dba SUPERUSER; SET ROLE other_dba; SELECT chpg_history_enable('kept')});
is(sql(q{SELECT count(*) FROM _chpg_history_state() WHERE state IS NULL}), 1, 'another superuser may use it');

# A history of an earlier version lacks tables that this one has: it is completed, and keeps what it has.
sql('CALL chpg_capture(max_windows => 1)');
my $WINDOWS = sql('SELECT jsonb_agg(c ORDER BY c) FROM kept.capture c');
my @ADDED = split /\n/, sql(q{SELECT name FROM _chpg_history_tables() WHERE needed_for IS DISTINCT FROM 'history'});
foreach my $lacks (@ADDED, join ', ', map { "kept.$_" } @ADDED)
{
	sql('DROP TABLE ' . ($lacks =~ /kept/ ? $lacks : "kept.$lacks") . ' CASCADE');
	fails_with($node, 'CALL chpg_capture()', '55000', qr/schema "kept" has not all tables of this version: run chpg_history_enable\nHINT:  Run: SELECT chpg_history_enable\('kept'\);$/m,
		"without $lacks");
	sql(q{SELECT chpg_history_disable()}) if $lacks =~ /kept/;
	sql(q{SELECT chpg_history_enable('kept')});
}
is(sql(q{SELECT count(*) FROM _chpg_history_state() WHERE state IS NULL}), 1, 'then it can be used');
is(sql('SELECT jsonb_agg(c ORDER BY c) FROM kept.capture c'), $WINDOWS, 'with its windows');
sql(q{ALTER TABLE kept.alert_delivery DROP summary_key; ALTER TABLE kept.watch_state DROP regular_since; SELECT chpg_history_enable('kept')});
is(sql(q{SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid IN ('kept.alert_delivery'::regclass, 'kept.watch_state'::regclass) AND attname IN ('summary_key', 'regular_since')}), 'regular_since summary_key', 'columns that an earlier version had not are added');
is(sql('SELECT count(*) FROM kept.finding, kept.incident, kept.dead_letter'), 0, 'and its views');
sql('DROP TABLE kept.alert CASCADE; CREATE VIEW kept.alert AS SELECT 1 AS alert_id');
fails_with($node, q{SELECT chpg_history_enable('kept')}, '55000', qr/"alert", which is no table that chpg made/, 'what has the name of such a table is no such table');
sql(q{DROP VIEW kept.alert; SELECT chpg_history_enable('kept'); TRUNCATE kept.capture, kept.open_hour, kept.open_day});

sql(q{SET ROLE mallory; CREATE SCHEMA shared; CREATE FUNCTION shared.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT 1'; RESET ROLE; ALTER SCHEMA shared OWNER TO CURRENT_USER});
sql('CREATE SCHEMA mine; CREATE TABLE mine.capture ()');
sql('SELECT chpg_history_disable()');
refuses('mine', qr/DETAIL:  It has something else in it/);
refuses('shared', qr/DETAIL:  It has objects of other roles/);
sql(q{SELECT chpg_history_enable('kept')});

# A role that may call chpg_capture(), but not write the tables, gets an error that
# names the owner, without a request.
sql(q{CREATE ROLE stranger; GRANT EXECUTE ON PROCEDURE chpg_capture TO stranger; GRANT EXECUTE ON FUNCTION chpg_history_purge TO stranger; GRANT USAGE ON FOREIGN SERVER chpg TO stranger});
sql(qq{CREATE USER MAPPING FOR stranger SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')});
clear_journal($url);
fails_with($node, "SET ROLE stranger; $_", '42501', qr/permission denied for the history\nDETAIL:  Captures and purges are run by .*, not by role "stranger"/, "PUBLIC may not call: $_") for 'CALL chpg_capture()', 'SELECT chpg_history_purge()';
sql('SELECT _chpg_history_entrust($$stranger$$, true)');
unlike(fails_with($node, 'SET ROLE stranger; CALL chpg_capture()', '55000', qr/schema "kept" is not open to you\nHINT:  Its owner opens it: GRANT USAGE ON SCHEMA kept TO stranger;/, 'a schema that is closed'), qr/chpg_history_disable/, 'is no reason to give up the history');
sql('GRANT USAGE ON SCHEMA kept TO stranger');
my $owner = sql('SELECT current_user');
sql('GRANT SELECT ON ALL TABLES IN SCHEMA kept TO stranger');
fails_with($node, "SET ROLE stranger; $_", '42501', qr/permission denied for the history\nDETAIL:  Captures and purges are run by role "$owner", which owns the history\./, "SELECT is not enough: $_") for 'CALL chpg_capture()', 'SELECT chpg_history_purge()';
sql('GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA kept TO stranger');
fails_with($node, "SET ROLE stranger; $_", '55000', qr/schema "kept" grants DELETE, INSERT, UPDATE on "alert" and others to stranger\nHINT:  Run: REVOKE DELETE, INSERT, UPDATE ON ALL TABLES IN SCHEMA kept FROM stranger;$/m, "further privileges are rejected: $_") for 'CALL chpg_capture()', 'SELECT chpg_history_purge()';
is(request_count($url), 0, 'no request was sent');
sql('DROP OWNED BY stranger; DROP ROLE stranger');

# Functions of other roles that fit a call better than the extension's
sql(q{GRANT USAGE, CREATE ON SCHEMA public TO mallory; SET ROLE mallory;
	CREATE FUNCTION public.chpg_slow_patterns(from_date timestamptz, to_date timestamptz, service text, max_rows bigint, server text) RETURNS SETOF chpg_slow_pattern_row LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION public.chpg_metrics(from_date timestamptz, to_date timestamptz, service text, bucket interval, server varchar) RETURNS SETOF chpg_metric_row LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION public.chpg_history_due(only_lost boolean DEFAULT true) RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION public._chpg_history_check_setting(name name, value text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION public._chpg_own_server(server varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION public.format(text, name, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION public.format(text, name, text, text, timestamptz, timestamptz) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$});
sql(q{CALL chpg_capture(max_windows => 2); SELECT chpg_history_cost(); SELECT chpg_history_purge()});
is(sql('SELECT count(*), count(error) FROM kept.capture'), '2|0', 'captures are made');
# The same for operators: those of chpg_capture itself, and those of the functions that
# captures and comparisons call
foreach my $types ('float8, int4', 'float8, int8', 'int4, interval')
{
	my ($left, $right) = split /, /, $types;
	sql("SET ROLE mallory; CREATE FUNCTION public.taken($types) RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN RAISE 'taken'; END \$\$;"
		  . join ';', map { "CREATE OPERATOR public.$_ (LEFTARG = $left, RIGHTARG = $right, FUNCTION = public.taken)" } qw(> >= * /));
}
sql(qq{TRUNCATE kept.capture, kept.open_hour, kept.open_day; CALL chpg_capture(max_windows => 2); SELECT * FROM chpg_compare(tstzrange(now() - interval '3 hours', now() - interval '1 hour'), tstzrange(now() - interval '1 hour', now())); SELECT * FROM chpg_findings($DAY, history_only => true)});
is(sql('SELECT count(*), count(error) FROM kept.capture'), '2|0', 'captures are made, windows compared');
sql(q{DROP OWNED BY mallory; GRANT CREATE ON DATABASE postgres TO mallory; TRUNCATE kept.capture, kept.open_hour, kept.open_day});

# A capture waits for its own key, not for another key of the same server.
sql(q{ALTER SERVER chpg OPTIONS (SET rate_limit '5/60s'); CREATE ROLE monitor; GRANT USAGE ON FOREIGN SERVER chpg TO monitor});
sql(qq{CREATE USER MAPPING FOR monitor SERVER chpg OPTIONS (key_id 'secondKeyId', key_secret '$KEY_SECRET')});
sql('SET ROLE monitor; SET chpg.cache_ttl = 0;' . 'SELECT * FROM chpg_services();' x 4);
is(sql(q{SELECT string_agg(server || ' ' || free, ', ') FROM chpg_budget WHERE key_id = 'secondKeyId'}), 'chpg 1', 'another role has used up the budget of its key');
is(sql(q{SELECT _chpg_capture_must_wait('chpg', 3)}), 'f', 'which is nothing to wait for');
is(sql(q{SET ROLE monitor; SELECT free FROM _chpg_own_budget('chpg')}), 1, 'the role sees its own budget');
sql(q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited'); DROP OWNED BY monitor; DROP USER MAPPING IF EXISTS FOR monitor SERVER chpg; DROP ROLE monitor});

# Tables of the user with names that the history uses, too
sql(q{CREATE TABLE public.present AS SELECT 'a gift' AS what; CREATE TABLE public.found_pattern AS SELECT 'another' AS what; CREATE TEMPORARY TABLE service (); CALL chpg_capture()});
is(sql('SELECT p.what, f.what FROM public.present p, public.found_pattern f'), 'a gift|another', 'these tables are left alone');
cmp_ok(sql(q{SELECT count(*) FROM kept.coverage WHERE status = 'ok'}), '>', 2, 'and captures are made');

# An invalid setting stops a run before the first request, and before anything is
# dropped.
sub set_to { my ($name, $value) = @_; return sql("UPDATE kept.setting SET value = '$value' WHERE name = '$name'") }

clear_journal($url);
for my $unusable (
	[ keep_hour => 'forever' ], [ keep_day => '-400 days' ], [ backfill => '7' ], [ backfill => '1 day 12' ], [ settle => '-5 minutes' ], [ keep_hour => 'infinity' ],
	[ keep_hour => '30 minutes' ], [ keep_day => '1000000 years' ], [ api_retention => '1 hour' ], [ metric_bucket => '0.5 seconds' ], [ metric_bucket => '2 hours' ],
	[ metric_bucket => 'on' ], [ reserve => 'banana' ], [ reserve => '-1' ], [ max_patterns => '0' ], [ max_patterns => '99999999999' ], [ recapture => '1.5' ])
{
	my ($name, $value) = @$unusable;
	my $usual = sql("SELECT value FROM kept.setting WHERE name = '$name'");

	set_to($name, $value);
	for my $statement ('CALL chpg_capture()', 'SELECT * FROM chpg_history_cost()', 'SELECT * FROM chpg_history_due()', 'SELECT * FROM chpg_history_purge()')
	{
		fails_with($node, $statement, '22023', qr/invalid value for setting "$name" of the history: "\Q$value\E".*HINT:  Such as: UPDATE kept\.setting SET value = '[^']+' WHERE name = '$name';/s, "$name = $value: $statement");
	}
	set_to($name, $usual);
}
fails_with($node, q{UPDATE kept.setting SET value = '7' WHERE name = 'backfill'; SET search_path = kept, public; SELECT backfill FROM _chpg_history_settings()}, '22023', qr/"backfill" of the history: "7"\nDETAIL:  It must be an interval, with its unit,/, 'one setting');
set_to(backfill => '1 day');
sql(q{INSERT INTO kept.setting VALUES ('keep_hours', '1 day', 'mistyped')});
fails_with($node, 'CALL chpg_capture()', '22023', qr/unknown setting "keep_hours" of the history: did you mean "keep_hour"\?\nDETAIL:  There are settle, /, 'a name that is none');
sql(q{DELETE FROM kept.setting WHERE name IN ('keep_hours', 'settle', 'reserve'); UPDATE kept.setting SET value = '36 days' WHERE name = 'keep_hour'});
fails_with($node, 'CALL chpg_capture()', '55000', qr/setting "(settle|reserve)" of the history is missing\nHINT:  Put back .*SELECT chpg_history_enable\('kept'\)/, 'a setting that is not there');
sql(q{SELECT chpg_history_enable('kept')});
is(sql(q{SELECT string_agg(name || ' ' || value, ', ' ORDER BY name) FROM kept.setting WHERE name IN ('settle', 'reserve', 'keep_hour')}), 'keep_hour 36 days, reserve 3, settle 5 minutes', 'is restored, and the other settings are unchanged');
set_to(keep_hour => '35 days');
for my $usable ([ settle => '0 minutes' ], [ backfill => '1 mon 12:00' ], [ backfill => 'P2D' ], [ keep_day => '1.5 years' ], [ metric_bucket => '1 hour' ], [ metric_bucket => 'off' ])
{
	my ($name, $value) = @$usable;
	my $usual = sql("SELECT value FROM kept.setting WHERE name = '$name'");

	set_to($name, $value);
	is(sql(q{SELECT count(*) >= 0 FROM chpg_history_due()}), 't', "$name = $value can be used");
	set_to($name, $usual);
}
is(request_count($url), 0, 'no request was sent');

# Windows that are due
fails_with($node, q{SELECT * FROM chpg_history_due(service => 'ordres')}, '42704', qr/service "ordres" is not in the history/, 'a mistyped service is an error, not a service without due windows');
is(sql(q{SET track_functions = 'all'; BEGIN; TRUNCATE kept.capture; SELECT count(*) > 40 FROM chpg_history_due(); SELECT max(calls) = (SELECT count(*) FROM kept.setting) FROM pg_stat_xact_user_functions WHERE funcname ~ 'setting'; ROLLBACK}), "t\nt", 'settings are read once, not for each window');

# Time zones: days are those of UTC, and partitions begin with its months.
sql(q{UPDATE kept.setting SET value = '300 days' WHERE name = 'backfill'});
for my $zone ('Europe/Berlin', 'America/New_York', 'Asia/Kolkata')
{
	is( sql(qq{SET timezone = '$zone'; SET datestyle = 'SQL, DMY';
		SELECT count(*) > 290, bool_and(window_start = date_trunc('day', window_start, 'UTC') AND window_end - window_start = interval '24 hours') FROM chpg_history_due('day')}),
		't|t', "$zone: days are whole");
	sql(qq{SET timezone = '$zone'; SET datestyle = 'SQL, DMY'; SELECT _chpg_history_enter(); SELECT _chpg_history_partition('hour', m) FROM generate_series(now() - interval '300 days', now() - interval '60 days', interval '1 month') m});
}
is( sql(q{SELECT count(*) > 7, bool_and(pg_get_expr(relpartbound, oid) ~ '^FOR VALUES FROM \(''....-..-01 00:00:00\+00''\) TO \(''....-..-01 00:00:00\+00''\)$') FROM pg_class WHERE relname LIKE 'sealed_hour_%'}),
	't|t', 'partitions begin and end with months');
like(sql(q{SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'; SELECT count(*) FROM chpg_history_purge()}), qr/^[6-9]$/, 'and are dropped in any time zone');
sql(q{UPDATE kept.setting SET value = '6 hours' WHERE name = 'backfill'});

settle($node, 'kept');

# Windows that retention dropped are not lost ones.
sql(q{UPDATE kept.setting SET value = '2 hours' WHERE name = 'keep_hour'; DELETE FROM kept.open_hour; SELECT chpg_history_purge(); CALL chpg_capture('hour')});
is(sql(q{SELECT count(*) FROM kept.coverage WHERE status = 'lost' AND grain = 'hour' AND "time" > now() - interval '2 days'}), 0, 'no hour comes back as lost');
sql(q{UPDATE kept.setting SET value = '35 days' WHERE name = 'keep_hour'; TRUNCATE kept.capture});

# If the API keeps data for a day, it never has a whole day.
is(sql(q{UPDATE kept.setting SET value = '1 day' WHERE name = 'api_retention'; SELECT count(*) FILTER (WHERE grain_due = 'day'), count(*) FILTER (WHERE grain_due = 'hour') > 5 FROM chpg_history_due()}), '0|t', 'only hours are due');
sql(q{UPDATE kept.setting SET value = '7 days' WHERE name = 'api_retention'});

# The requests that a capture costs
is(sql(q{UPDATE kept.setting SET value = '10 seconds' WHERE name = 'metric_bucket'; SELECT requests / windows FROM chpg_history_cost() WHERE grain = 'hour'}), 5, 'short buckets take more requests');
costs($node, $url, q{CALL chpg_capture('hour', max_windows => 1)}, 1 + 5, 'as they do');
sql(q{UPDATE kept.setting SET value = 'off' WHERE name = 'metric_bucket'; TRUNCATE kept.capture; CALL chpg_capture('hour', max_windows => 1)});
my $patterns = sql('SELECT patterns FROM kept.capture');
sql(qq{UPDATE kept.setting SET value = '$patterns' WHERE name = 'max_patterns'; TRUNCATE kept.capture; CALL chpg_capture('hour', max_windows => 1)});
is(sql('SELECT patterns, truncated, cutoff_us IS NULL FROM kept.capture'), "$patterns|f|t", 'a window with just as many patterns as are captured has all of them');
sql(qq{UPDATE kept.setting SET value = '@{[ $patterns - 1 ]}' WHERE name = 'max_patterns'; TRUNCATE kept.capture; CALL chpg_capture('hour', max_windows => 1)});
is(sql("SELECT truncated, cutoff_us::real = (SELECT total_duration_us FROM kept.open_hour p WHERE p.window_start = c.window_start ORDER BY total_duration_us DESC OFFSET $patterns - 2 LIMIT 1) FROM kept.capture c"), 't|t', 'with one more it has the longest patterns');
sql(q{UPDATE kept.setting SET value = '2000' WHERE name = 'max_patterns'; TRUNCATE kept.capture, kept.open_hour, kept.open_day});

# Two captures at once: the second one finds the windows captured.
my @sessions = map { open_session($node) } 1 .. 2;
fault($url, path => 'slowQueryPatterns', latency_ms => 100);
my $windows = sql(q{SELECT count(*) FROM chpg_history_due('hour')});
clear_journal($url);
begin_in_session($_, q{CALL chpg_capture('hour')}) for @sessions;
is(in_session($_, 'SELECT 1') =~ s/\s//gr, 1, 'both end') for @sessions;
is(scalar(grep { $_->{path} =~ /slowQueryPatterns/ } @{ journal($url)->{requests} }), $windows * 2, 'each window is requested once');
clear_faults($url);

# A purge waits for a capture under way, whose keys it would remove.
sql('TRUNCATE kept.capture, kept.open_hour, kept.open_day');
fault($url, path => 'slowQueryPatterns', query => 'sort_by', hang => JSON::PP::true, skip => 1, times => 1);
clear_journal($url);
my $pid = in_session($sessions[0], 'SELECT pg_backend_pid()');
begin_in_session($sessions[0], q{SET chpg.request_timeout = '5min'; CALL chpg_capture('hour', max_windows => 2)});
wait_until(sub { request_count($url) >= 5 }, 'a capture is under way, and has captured a window');
begin_in_session($sessions[1], 'SELECT chpg_history_purge()');
wait_until(sub { sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND $pid = ANY (pg_blocking_pids(pid))") eq '1' }, 'the purge waits for the capture');
sql("SELECT pg_cancel_backend($pid)");
await_in_session($sessions[0], qr/ERROR:  57014: could not capture 1 of 2 windows/);
in_session($_, 'SELECT 1') for @sessions;
is(sql('SELECT count(*) > 0, count(*) = count(k.pattern_key) FROM kept.open_hour p LEFT JOIN kept.pattern_key k USING (pattern_key)'), 't|t', 'all patterns have their keys');
clear_faults($url);

# A role without privileges blocks nothing.
sql('CREATE ROLE nobody');
in_session($sessions[1], q{SET ROLE nobody; BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('chpg_capture', 0))});
like(in_session($sessions[1], 'LOCK TABLE kept.setting IN SHARE UPDATE EXCLUSIVE MODE') . $sessions[1]{stderr}, qr/ERROR:  42501/, 'the lock requires a privilege');
in_session($sessions[1], 'ROLLBACK');
$_->quit for @sessions;

# Two servers, each with services of its own
my $other = start_emulator();
reset_emulator($other, services => 4, patterns => 5, seed => 7);
reset_emulator($url, services => 2, patterns => 5);
sql("CREATE SERVER second FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$other', rate_limit 'unlimited'); CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (key_id 'secondKeyId', key_secret '$KEY_SECRET')");
sql('TRUNCATE kept.capture, kept.open_hour, kept.open_day, kept.service');
my @captures = map { "CALL chpg_capture('hour', server => '$_')" } qw(chpg second);
$node->safe_psql('postgres', "$captures[0]; $captures[1]; $captures[0]; $captures[1]");
# The emulators have one service in common, which no two organizations have.
my $common = sql(q{SELECT id FROM chpg_services('chpg') INTERSECT SELECT id FROM chpg_services('second')});
is(sql("SELECT string_agg(server || ' ' || valid_to, ', ' ORDER BY server) FROM kept.service WHERE service_id <> '$common'"), 'chpg infinity, second infinity, second infinity, second infinity', 'neither marks the services of the other as gone');
sql('ALTER SERVER second RENAME TO third');
$node->safe_psql('postgres', q{CALL chpg_capture('hour', server => 'third')});
is(sql(q{SELECT string_agg(DISTINCT server || ' ' || valid_to, ', ') FROM kept.service WHERE service_id <> } . "'$common'"), 'chpg infinity, third infinity', 'and a server that was renamed goes on with its own');

# A service name is looked up in the services of the server.
is(sql("SELECT count(*) FROM (SELECT name FROM chpg_services('third') WHERE id <> '$common') s, _chpg_history_services(s.name, 'third', false) h"), 3, 'names of a server');
# A service that failed and is skipped does not count.
sql(q{TRUNCATE kept.capture, kept.open_hour, kept.open_day; UPDATE kept.setting SET value = '3 days' WHERE name = 'backfill'});
my ($failing) = sql(q{SELECT id FROM chpg_services('chpg') ORDER BY id LIMIT 1});
fault($url, path => "$failing/slow", status => 404);
fails_with($node, q{CALL chpg_capture('hour', max_windows => 30, server => 'chpg')}, '38000', qr/could not capture 3 of 30 windows/, 'a service that fails costs three windows');
clear_faults($url);

# A single response that lacks a service loses nothing.
sql('TRUNCATE kept.capture, kept.open_hour, kept.open_day');
my $due = sql(q{SELECT count(*) FROM chpg_history_due('hour', server => 'chpg') WHERE NOT lost});
fault($url, path => 'postgres$', patch => { 'result.0' => { '$delete' => JSON::PP::true } }, times => 1);
sql(q{CALL chpg_capture('hour', server => 'chpg')});
sql(q{CALL chpg_capture('hour', server => 'chpg')});
is(sql(q{SELECT count(*), count(*) FILTER (WHERE status = 'lost') FROM kept.capture}), "$due|0", 'its windows are captured when it responds again');
fault($url, path => 'postgres$', patch => { 'result.0.state' => undef }, times => 1);
sql('TRUNCATE kept.capture, kept.open_hour, kept.open_day');
sql(q{CALL chpg_capture('hour', server => 'chpg')});
is(sql(q{SELECT count(*) FROM kept.capture}), $due, 'a service of no state is there');

# A service that changed before its server got another name has its past still.
sql(q{UPDATE kept.setting SET value = '3 days' WHERE name = 'backfill'; TRUNCATE kept.capture; UPDATE kept.service SET valid_to = now() - interval '1 hour', noted_at = now() - interval '2 days' WHERE service_id = '} . $failing . q{'; INSERT INTO kept.service (service_id, valid_from, noted_at, service_name, server) SELECT service_id, max(valid_to), now() - interval '1 hour', min(service_name), min(server) FROM kept.service WHERE service_id = '} . $failing . q{' GROUP BY 1});
my $past = sql("SELECT count(*) FROM chpg_history_due('hour', '$failing')");
sql(q{ALTER SERVER chpg RENAME TO first; CALL chpg_capture('hour', max_windows => 0, server => 'first')});
is(sql("SELECT count(*) FROM chpg_history_due('hour', '$failing', 'first') WHERE NOT lost"), $past, 'all windows are due');
sql(q{ALTER SERVER first RENAME TO chpg; CALL chpg_capture('hour', max_windows => 0, server => 'chpg')});

# A service that is gone: windows that were not requested in time are lost.
my $gone = sql('SELECT id FROM chpg_services(\'chpg\') ORDER BY id DESC LIMIT 1');
sql("DELETE FROM kept.capture WHERE service_id = '$gone'; UPDATE kept.service SET valid_to = date_trunc('hour', now() - interval '25 hours') WHERE service_id = '$gone'");
my $lacking = sql("SELECT count(*) FROM chpg_history_due('hour', '$gone') WHERE lost");
cmp_ok($lacking, '>', 2, 'windows that cannot be captured any more');
sql('SELECT _chpg_capture_schedule(NULL, NULL, NULL, 0)');
is(sql("SELECT count(*) FROM kept.coverage WHERE service_id = '$gone' AND status = 'lost' AND grain = 'hour'"), $lacking, 'are reported');

# A dump has open and sealed windows.  It can be restored, and read, where the extension is not; where
# it is, the history goes on, also after the extension was dropped and created again.

sql(q{UPDATE kept.open_hour SET window_start = window_start - interval '20 days'; CALL chpg_history_seal()});
sql(q{CALL chpg_capture('hour', server => 'chpg')});
is(sql('SELECT count(*) > 0 FROM kept.sealed_hour') . sql('SELECT count(*) > 0 FROM kept.open_hour'), 'tt', 'windows of both kinds');
my @relations = split /\n/, sql(q{SELECT relname FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY 1});
my $CONTENT = "SET timezone = 'UTC'; " . join ' UNION ALL ', map { "SELECT '$_', count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM kept.$_ t" } @relations;
$CONTENT .= ' ORDER BY 1';
my $content = sql($CONTENT);
my $dump = "$node->{_basedir}/kept.sql";
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-n', 'kept', '-f', $dump ], 'a dump of the schema');
sql('CREATE DATABASE plain');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', $dump ], 'is restored without the extension');
is($node->safe_psql('plain', $CONTENT), $content, 'all tables and views have the same rows there');

$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'a dump of the database');
sql('CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $dump ], 'is restored');
is($node->safe_psql('copy', $CONTENT), $content, 'with the same rows');
my $GOES_ON = q{SELECT state FROM _chpg_history_state(); UPDATE kept.open_hour SET window_start = window_start - interval '25 days'; CALL chpg_history_seal(); TRUNCATE kept.capture; CALL chpg_capture('hour', server => 'chpg'); SELECT chpg_history_purge();
	SELECT count(*) FILTER (WHERE window_start > now() - interval '40 days') > 0, count(*) FILTER (WHERE window_start < now() - interval '40 days') FROM kept.sealed_hour; SELECT count(*) > 0 FROM kept.open_hour};
is($node->safe_psql('copy', $GOES_ON), "\nt|0\nt", 'where it is sealed, captured and purged');
$CONTENT =~ s/ UNION ALL SELECT '(?:open|sealed)_(?:hour|day)_\d+'.*?(?= UNION ALL)//g;
$content = $node->safe_psql('copy', $CONTENT);
$node->psql('copy', q{LOAD 'chpg'; DROP EXTENSION chpg CASCADE}, stderr => \my $said);
like($said, qr/NOTICE:  the history stays in schema "kept"\nDETAIL:  So do mutes, .*\nHINT:  .* call chpg_history_enable\('kept'\)\. To remove it: DROP SCHEMA kept CASCADE;$/m, 'DROP EXTENSION says that a history stays');
unlike($said, qr/rows of table/, 'which has the mutes and thresholds');
is($node->safe_psql('copy', $CONTENT), $content, 'it takes neither a table nor a view');
$node->safe_psql('copy', connect_sql($url));
is($node->safe_psql('copy', "SELECT chpg_history_enable('kept'); $GOES_ON"), "\n\nt|0\nt", 'and the history goes on where there is a new one');
is($node->safe_psql('copy', q{SELECT count(*) FROM kept.service_key k GROUP BY service_id HAVING count(*) > 1}), '', 'with the same services');

sql('CREATE DATABASE without');
$node->psql('without', q{CREATE EXTENSION chpg; SELECT chpg_mute('CHPG501:a', 'wont_fix'), chpg_mute('CHPG501:b', 'wont_fix'); INSERT INTO chpg_threshold SELECT rule_id, parameter, threshold FROM chpg_rule LIMIT 1; BEGIN; DROP EXTENSION chpg; ROLLBACK; CREATE TABLE chpg_finding_mute_ (); DROP TABLE chpg_finding_mute_; DROP EXTENSION chpg}, stderr => \$said);
is_deeply([ sort $said =~ /NOTICE:  (rows of .*)/g ], [ map { ($_) x 2 } 'rows of table "chpg_finding_mute" go with the extension: 2', 'rows of table "chpg_threshold" go with the extension: 1' ], 'without a history, mutes and thresholds go with the extension');

# What another role creates after the schema was looked for is not taken for the history.
sql(q{SELECT chpg_history_disable(); CREATE ROLE evil; GRANT CREATE ON DATABASE postgres TO evil;
	CREATE SCHEMA trap AUTHORIZATION evil; SET ROLE evil;
	CREATE FUNCTION trap.taken() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'TAKEN by %', current_user; RETURN 1; END $$});
foreach my $owner ('', ", owner => 'kept_owner'")
{
	sql('CREATE ROLE kept_owner') if $owner;
	my ($lock, $enable) = map { open_session($node) } 1, 2;
	in_session($lock, 'BEGIN; LOCK TABLE chpg_history_schema IN SHARE MODE');
	begin_in_session($enable, "SELECT chpg_history_enable('new_place'$owner)");
	wait_until(sub { sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'chpg_history_schema'::regclass}) eq '1' }, 'the history has been looked for');
	sql(q{SET ROLE evil; CREATE SCHEMA new_place; CREATE TABLE new_place.setting (name text PRIMARY KEY, value text, description text, planted int DEFAULT trap.taken());
		CREATE TABLE new_place.service (service_id text, valid_from timestamptz); GRANT ALL ON SCHEMA new_place TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA new_place TO PUBLIC});
	in_session($lock, 'COMMIT');
	await_in_session($enable, qr/42P06: schema "new_place" already exists|TAKEN/);
	unlike($enable->{stderr}, qr/TAKEN/, "the code of another role is not run$owner");
	$_->quit foreach $lock, $enable;
	sql('DROP SCHEMA new_place CASCADE');
}

done_testing();
