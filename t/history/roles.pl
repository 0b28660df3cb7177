# History: its owner, the roles that run captures, and the rights with which these run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', 'wal_level = replica', 'max_wal_senders = 4',
	"shared_preload_libraries = 'chpg'", "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 5);

# Partitions belong to the owner of the history, whichever role captures.
my $owner = sql('SELECT current_user');
my $OWNERS = q{SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relnamespace = 'kept'::regnamespace};
sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '6 hours' WHERE name = 'backfill'; CREATE ROLE deputy SUPERUSER});
settle($node, 'kept');
sql(qq{CREATE USER MAPPING FOR deputy SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')});
# The default privileges of neither role reach the tables that a capture or a seal makes.
sql('CREATE ROLE mallory; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO mallory; ALTER DEFAULT PRIVILEGES FOR ROLE deputy GRANT ALL ON TABLES TO PUBLIC, mallory');
sql(q{SET ROLE deputy; CALL chpg_capture('hour')});
my $patterns = sql('SELECT count(*) FROM kept.pattern_hour');
cmp_ok($patterns, '>', 0, 'another superuser captures');
sql(q{UPDATE kept.open_hour SET window_start = window_start - interval '33 days' WHERE window_start = (SELECT min(window_start) FROM kept.open_hour);
	SET ROLE deputy; CALL chpg_history_seal(); SELECT _chpg_history_partition('day', now() - interval '200 days')});
is(sql($OWNERS), $owner, 'and owns none of its objects');
is(sql(q{SELECT string_agg(DISTINCT a.grantee::regrole || ' ' || a.privilege_type, ', '), count(DISTINCT c.oid) >= 6 FROM pg_class c LEFT JOIN LATERAL aclexplode(c.relacl) a ON a.grantee <> c.relowner
	WHERE c.relnamespace = 'kept'::regnamespace AND c.relispartition AND c.relkind = 'r'}), '- SELECT, mallory SELECT|t', 'partitions, however they were made, may only be read by others');
is(sql('SELECT state FROM _chpg_history_state()'), '', 'so that the history can be used');
sql('ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM mallory');
sql('DROP OWNED BY deputy');
is(sql('SELECT count(*) FROM kept.pattern_hour'), $patterns, 'no partition is dropped with the role that captured it');


# A capture runs nothing from the caller's search_path, not even from a schema before
# pg_catalog: neither operators nor functions nor types.
sql(q{CREATE SCHEMA evil;
	CREATE FUNCTION evil.taken() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken'; END $$;
	CREATE FUNCTION evil.of(int4, int4) RETURNS boolean LANGUAGE sql AS 'SELECT evil.taken()';
	CREATE FUNCTION evil.of(float8, int4) RETURNS boolean LANGUAGE sql AS 'SELECT evil.taken()';
	CREATE FUNCTION evil.of(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT evil.taken()';
	CREATE FUNCTION evil.plus(int4, int4) RETURNS int4 LANGUAGE sql AS 'SELECT evil.taken()::int4';
	CREATE FUNCTION evil.item(jsonb, text) RETURNS text LANGUAGE sql AS 'SELECT evil.taken()::text';
	CREATE FUNCTION evil.pg_sleep(double precision) RETURNS void LANGUAGE sql AS 'SELECT evil.taken()';
	CREATE FUNCTION evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
	CREATE OPERATOR evil.+ (LEFTARG = int4, RIGHTARG = int4, FUNCTION = evil.plus);
	CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.item);
	CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.taken());
	CREATE DOMAIN evil.jsonb AS pg_catalog.jsonb CHECK (evil.taken());
	CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (evil.taken());
	CREATE DOMAIN evil.int4 AS pg_catalog.int4 CHECK (evil.taken())});
foreach my $types ('pg_catalog.int4, pg_catalog.int4', 'float8, pg_catalog.int4', 'pg_catalog.text, pg_catalog.text')
{
	my ($left, $right) = split /, /, $types;
	sql(join ';', map { "CREATE OPERATOR evil.$_ (LEFTARG = $left, RIGHTARG = $right, FUNCTION = evil.of)" } qw(> >= < = <> ~ ~~));
}
fails_with($node, 'SET search_path = evil, pg_catalog; SELECT 1 + 1', 'P0001', qr/taken/, 'an operator that stands before those of pg_catalog');
# three windows, one of which fails, some that are left, and a wait for the budget
my $EVIL = 'SET search_path = evil, pg_catalog';
my ($id) = split /\n/, sql('SELECT id FROM chpg_services() ORDER BY id');
sql(q{TRUNCATE kept.capture, kept.open_hour, kept.open_day; ALTER SERVER chpg OPTIONS (SET rate_limit '6/1s')});
fault($url, path => "$id/slow", status => 500, times => 1);
my $said = fails_with($node, "$EVIL; CALL public.chpg_capture(max_windows => 3)", '38000', qr/could not capture 1 of 3 windows/, 'a capture with that path');
like($said, qr/NOTICE:  00000: \d+ windows are left to the next run/, 'does not run the operator');
clear_faults($url);
is(sql(q{SELECT string_agg(status, ' ' ORDER BY status) FROM kept.capture}), 'error ok ok', 'and captures');
sql(q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});
is(sql(q{SET search_path = kept, pg_catalog, public; CALL chpg_capture(max_windows => 0); SHOW search_path}), 'kept, pg_catalog, public', 'the path of the caller stays');
is(notices($node, q{SET search_path = kept, pg_catalog, public; DO $$ BEGIN CALL chpg_capture(max_windows => 1); RAISE NOTICE 'path: %, rows: %', current_setting('search_path'), (SELECT count(*) > 0 FROM capture); END $$}) =~ s/.*path: //sr, 'kept, pg_catalog, public, rows: t', 'also within the block that called it');
sql('DROP SCHEMA evil CASCADE');

# An error of a capture names the request, and has few lines of CONTEXT.
sub context_of { my ($error) = @_; return $error =~ /^CONTEXT:  (.*?)\n(?:LOCATION|\z)/ms ? [ split /\n/, $1 ] : [] }
sub is_brief
{
	my ($statement, $state, $message, $name, $on) = @_;
	my $context = context_of(fails_with($on // $node, $statement, $state, $message, $name));
	cmp_ok(scalar(@$context), '<=', 3, "$name: a short CONTEXT") or diag(join "\n", @$context);
	return $context;
}
fault($url, path => 'postgres$', status => 500);
like(is_brief('CALL chpg_capture()', '58000', qr/could not list the services: the API failed.*DETAIL:  The API says/s, 'an API that fails')->[0], qr{^request GET /v1/}, 'with the request');
clear_faults($url);
is_brief('BEGIN; CALL chpg_capture()', '25001', qr/cannot run inside a transaction block/, 'a transaction block');
is_brief(q{CALL chpg_capture(service => 'no such')}, '42704', qr/service "no such" is not in the history.*HINT/s, 'a service that is not there');
is_brief(q{CALL chpg_capture('minute')}, '22023', qr/invalid value for "grain": "minute".*HINT/s, 'a grain that is none');
is_brief(q{CALL chpg_capture(server => 'no such')}, '42704', qr/server "no such" does not exist/, 'a server that is not there');
is_brief('SET default_transaction_read_only = on; CALL chpg_capture()', '25006', qr/a capture cannot run in a read-only transaction/, 'a read-only transaction');
sql(q{UPDATE kept.setting SET value = 'banana' WHERE name = 'reserve'});
is_brief('CALL chpg_capture()', '22023', qr/invalid value for setting "reserve".*DETAIL.*HINT/s, 'a setting that cannot be used');
sql(q{UPDATE kept.setting SET value = '3' WHERE name = 'reserve'});
sql(q{TRUNCATE kept.capture});
fault($url, path => 'slowQueryPatterns', hang => JSON::PP::true, times => 1);
clear_journal($url);
my $session = open_session($node);
begin_in_session($session, q{SET chpg.request_timeout = '60s'; CALL chpg_capture('hour')});
wait_until(sub { grep { $_->{path} =~ /slowQueryPatterns/ } @{ journal($url)->{requests} } }, 'a window is asked for');
sql(q{UPDATE kept.setting SET value = 'banana' WHERE name = 'reserve'});
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%CALL chpg_capture(%' AND pid <> pg_backend_pid()});
await_in_session($session, qr/could not capture 1 of 1 windows/);
cmp_ok(scalar(@{ context_of("$session->{stderr}\n") }), '<=', 3, 'a cancel: a short CONTEXT');
$session->quit;
sql(q{UPDATE kept.setting SET value = '3' WHERE name = 'reserve'});
sql('SELECT chpg_history_disable()');
is_brief('CALL chpg_capture()', '55000', qr/there is no history.*HINT/s, 'no history');
sql(q{SELECT chpg_history_enable('kept'); CALL chpg_capture('hour')});

# A role that is no superuser owns a history, and runs it: four statements of docs/history.md.
my @four = slurp_file("$FindBin::RealBin/../../docs/history.md") =~ /^-- as a superuser\n((?:[^;]*;\n){3}).*?^-- as collector\n([^\n]*;)\n/ms;
is(scalar(@four), 2, 'the page has the four statements');
$four[1] =~ s/KEY_ID/$KEY_ID/;
$four[1] =~ s/KEY_SECRET/$KEY_SECRET/;
sql('CREATE ROLE collector LOGIN; SELECT chpg_history_disable()');
sql($four[0]);
as_role('collector', $four[1]);
as_role('collector', q{UPDATE fleet_history.setting SET value = '6 hours' WHERE name = 'backfill'; SELECT * FROM chpg_history_cost(); CALL chpg_capture('hour')});
my $OWNED = q{SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relnamespace = 'fleet_history'::regnamespace};
is(sql($OWNED), 'collector', 'all objects belong to the role');
cmp_ok(sql(q{SELECT count(*) FROM fleet_history.coverage WHERE status = 'ok'}), '>=', 4, 'which captures');
is(as_role('collector', q{SELECT count(*) > 0 FROM chpg_findings(tstzrange(now() - interval '3 hours', now()), history_only => true)}), 't', 'the role reads its history');
as_role('collector', q{UPDATE fleet_history.open_hour SET window_start = window_start - interval '20 days' WHERE window_start = (SELECT min(window_start) FROM fleet_history.open_hour); CALL chpg_history_seal()});
is(sql(q{SELECT count(*) FROM fleet_history.sealed_hour}), 2, 'seals');
is(sql($OWNED), 'collector', 'in partitions of its own');
as_role('collector', q{SELECT _chpg_history_partition('hour', now() - interval '100 days')});
like(as_role('collector', 'SELECT chpg_history_purge()'), qr/^sealed_hour_\d{6}$/, 'and purges');
fails_as('collector', q{SELECT chpg_history_enable('fleet_history')}, '42501', qr/permission denied for function chpg_history_enable/, 'the role may not enable a history');
sql(q{GRANT EXECUTE ON FUNCTION chpg_history_enable TO collector; DELETE FROM fleet_history.setting WHERE name = 'reserve'});
is(as_role('collector', q{SELECT chpg_history_enable('fleet_history'); SELECT value FROM fleet_history.setting WHERE name = 'reserve'}), "\n3", 'unless that is granted: it restores missing settings');
fails_as('collector', q{SELECT chpg_history_enable('another')}, '55000', qr/the history is in schema "fleet_history" already/, 'elsewhere');
fails_as('collector', q{SELECT chpg_history_enable('fleet_history', owner => 'deputy')}, '42501', qr/permission denied to begin a history/, 'nor for another role');

# A role that may only read: neither its captures nor anything else changes the history.
sql(q{CREATE ROLE reader LOGIN; GRANT USAGE ON FOREIGN SERVER chpg TO reader; SELECT _chpg_history_entrust('reader', true); GRANT EXECUTE ON ROUTINE chpg_capture, chpg_history_seal, chpg_history_purge, chpg_history_archived TO reader});
as_role('collector', 'GRANT USAGE ON SCHEMA fleet_history TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA fleet_history TO reader');
fails_as('reader', $_, '55000', qr/schema "fleet_history" belongs to "collector", whose code would run with your rights/, "$_ by a role that may read") for 'CALL chpg_capture()', 'CALL chpg_history_seal()', 'SELECT chpg_history_purge()', 'SELECT chpg_history_archived(0)';
fails_as('reader', "SELECT set_config('search_path', 'fleet_history, public', false); SELECT $_", '55000', qr/the history cannot be used/, "$_ by a role that may read")
  for q{_chpg_seal_some(1)}, q{_chpg_history_expire()}, q{_chpg_write_window('hour', 1, now(), '{}')}, q{_chpg_service_key('new')}, q{_chpg_note_archived(0)};
is(as_role('reader', 'SELECT count(*) > 0 FROM fleet_history.pattern_hour'), 't', 'its views are read');
sql('DROP OWNED BY reader; DROP ROLE reader');

# A member of that role does not use its history: the role's code would run with the
# member's rights.
sql(q{CREATE ROLE helper LOGIN; GRANT collector TO helper; GRANT USAGE ON FOREIGN SERVER chpg TO helper});
as_role('helper', "SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET')");
my $OTHERS = qr/schema "fleet_history" belongs to "collector", whose code would run with your rights\nHINT:  Connect as that role\./;
fails_as('helper', q{CALL chpg_capture('hour')}, '55000', $OTHERS, 'a member captures nothing');
fails_as('helper', q{SET ROLE collector; CALL chpg_capture('hour')}, '55000', $OTHERS, 'nor in the name of the role');

# Nothing that the role may plant runs with the rights of others: neither of roles that
# become that role, nor of roles that may read its history and compare.
as_role('collector', q{CREATE FUNCTION fleet_history.taken(int4, interval) RETURNS interval LANGUAGE plpgsql AS $$ BEGIN RAISE 'taken by % of %', current_user, session_user; END $$;
	CREATE OPERATOR fleet_history.* (LEFTARG = int4, RIGHTARG = interval, FUNCTION = fleet_history.taken);
	CREATE FUNCTION fleet_history.spy() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'spy of % of %', current_user, session_user; END $$;
	ALTER TABLE fleet_history.service RENAME TO service_kept;
	CREATE VIEW fleet_history.service AS SELECT * FROM fleet_history.service_kept WHERE fleet_history.spy();
	GRANT USAGE ON SCHEMA fleet_history TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA fleet_history TO PUBLIC});
fails_as('collector', 'SELECT * FROM chpg_history_due()', '55000', qr/schema "fleet_history" has "service", which is no table that chpg made\n/, 'nor with its own');
fails_with($node, $_, '55000', $OTHERS, "but not with a superuser's: $_")
  for map { ($_, "SET ROLE collector; $_") } 'SELECT * FROM chpg_history_due()', 'CALL chpg_capture()', 'CALL chpg_history_seal()', 'SELECT chpg_history_purge()', 'SELECT * FROM chpg_history_cost()';
my $SOURCE = q{SELECT DISTINCT source FROM chpg_period_patterns(tstzrange(now() - interval '3 hours', now()))};
is(sql($SOURCE), 'api', 'comparisons of that role read from the API');
is(as_role('helper', $SOURCE), 'api', 'and so do those of a role that may read the history');
cmp_ok(as_role('helper', q{SELECT count(*) FROM chpg_findings(tstzrange(now() - interval '3 hours', now()))}), '>', 0, 'whose findings come from the API, too');
as_role('collector', q{DROP OPERATOR fleet_history.* (int4, interval); DROP FUNCTION fleet_history.taken; DROP VIEW fleet_history.service; DROP FUNCTION fleet_history.spy; ALTER TABLE fleet_history.service_kept RENAME TO service});
as_role('collector', q{CALL chpg_capture('hour')});
is(as_role('collector', $SOURCE), 'history', 'the role itself compares with its history');

# A history in a renamed schema has to be enabled under the new name; another role's
# schema is not used.
fails_with($node, q{SELECT chpg_history_enable('other', owner => 'collector')}, '55000', qr/the history is in schema "fleet_history" already/, 'a second history');
sql('ALTER SCHEMA fleet_history RENAME TO moved');
fails_with($node, 'SELECT * FROM chpg_history_cost()', '55000', qr/schema "fleet_history" does not exist\nHINT:  Name the schema .*: SELECT chpg_history_enable\('NEW_NAME', owner => 'collector'\);$/m, 'one that was renamed');
fails_with($node, "SELECT chpg_history_enable('moved')", '55000', qr/DETAIL:  It belongs to "collector"\.\nHINT:  Name its owner, .*: SELECT chpg_history_enable\('moved', owner => 'collector'\);$/m, 'without its owner');
sql(q{SELECT chpg_history_enable('moved', owner => 'collector')});
is(as_role('collector', q{SELECT count(*) > 0 FROM moved.coverage; CALL chpg_capture('hour')}), 't', 'a history with a new name goes on');
sql('CREATE ROLE clerk LOGIN; GRANT EXECUTE ON ROUTINE chpg_capture, chpg_history_seal, chpg_history_purge, chpg_history_archived TO clerk');
fails_as('clerk', $_, '42501', qr/permission denied for the history\nDETAIL:  Captures and purges are run by the role .*, not by role "clerk"\.\nHINT:  .*SELECT chpg_history_enable\('moved', owner => 'clerk'\)/, "$_ by a role with EXECUTE alone")
	for 'CALL chpg_capture()', 'CALL chpg_history_seal()', 'SELECT chpg_history_purge()', 'SELECT chpg_history_archived(0)';
as_role('collector', q{DROP VIEW moved.pattern_day; DELETE FROM moved.setting WHERE name = 'reserve'});
sql(q{SELECT chpg_history_enable('moved', owner => 'collector')});
is(sql(q{SELECT pg_get_userbyid(relowner), (SELECT count(*) FROM moved.setting WHERE name = 'reserve') FROM pg_class WHERE oid = 'moved.pattern_day'::regclass}),
	'collector|1', 'missing objects are restored, and belong to its owner');
sql(q{SELECT chpg_history_disable(); CREATE SCHEMA theirs AUTHORIZATION mallory});
fails_as('clerk', $_, '55000', qr/there is no history: begin one with chpg_history_enable\n/, "$_ by such a role where there is none") for 'CALL chpg_capture()', 'CALL chpg_history_seal()', 'SELECT chpg_history_archived(0)';
fails_as('collector', q{SELECT chpg_history_enable('moved')}, '42501', qr/permission denied to begin a history\nHINT:  Let a superuser begin it for you: SELECT chpg_history_enable\('moved', owner => 'collector'\)/, 'a history that was disabled');
fails_with($node, "SELECT chpg_history_enable('$_->[0]', owner => '$_->[1]')", $_->[2], $_->[3], "schema $_->[0] for $_->[1]") for
	[ 'theirs', 'mallory', '55000', qr/schema "theirs" cannot have the history\nDETAIL:  It exists, and is no history of role "mallory"/ ],
	[ 'theirs', 'collector', '55000', qr/schema "theirs" cannot have the history/ ],
	[ 'new', 'nobody_at_all', '42704', qr/role "nobody_at_all" does not exist/ ],
	[ 'New', 'collector', '22023', qr/invalid name/ ];
sql(q{SELECT chpg_history_enable('moved', owner => 'collector'); DROP SCHEMA moved CASCADE; CREATE SCHEMA moved AUTHORIZATION mallory});
fails_as('collector', 'CALL chpg_capture()', '55000', qr/schema "moved" belongs to "mallory"\n/, 'a name that another role has taken');
sql(q{SELECT chpg_history_disable(); SELECT chpg_history_enable('kept')});

# A standby reads the history; the error of a capture or purge there says where to run
# it.
my $standby = start_standby($node);
clear_journal($url);
is_brief('CALL chpg_capture()', '25006', qr/a capture needs a primary\nDETAIL:  This server is a standby\./, 'a capture on a standby', $standby);
is_brief('SELECT chpg_history_purge()', '25006', qr/a purge needs a primary\n/, 'a purge on a standby', $standby);
is(request_count($url), 0, 'no request is sent');
is($standby->safe_psql('postgres', 'SELECT count(*) > 0 FROM kept.pattern_hour'), 't', 'the history can be read there');
$standby->stop;

done_testing();
