# How chpg itself is doing: the view chpg_self, and what is logged once for each change.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clock;
use PostgreSQL::Test::Utils;
use Test::More;

begin_clock('2026-05-12 10:30');
my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0', "log_min_messages = 'log'");
my $ALL = 'problem, last_capture IS NULL, last_watch IS NULL, oldest_due_window IS NULL, failing_since IS NULL, blocked_until IS NULL, longest_wait_us, waiting_pid, webhooks_failing, dead_letters';

sub problem { return sql('SELECT problem FROM chpg_self') }
sub logged { my ($what) = @_; return scalar(() = slurp_file($node->logfile) =~ /LOG: .*$what/g) }

sql('CREATE ROLE reader LOGIN; CREATE ROLE other LOGIN; ' . connect_sql($url));
is(sql("SELECT $ALL FROM chpg_self"), '|t|t|t|t|t||||', 'without a history there is nothing wrong');
sql(q{GRANT USAGE ON FOREIGN DATA WRAPPER chpg_webhook TO other; SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill'});
settle($node, 'kept');
is(problem(), 'nothing was captured yet', 'a new one has to be captured');
is(costs($node, $url, 'SELECT count(*) FROM chpg_self', 0, 'the view'), '1', 'the view has one row');
is(as_role('reader', "SELECT $ALL FROM chpg_self"), 'role "reader" cannot judge the history: it needs USAGE on its schema, and SELECT on its tables|t|t|t|t|t||||', 'a role that may read nothing says that it does not know');

# Captures and watches
sql(q{CALL chpg_capture('hour')});
sql('CALL chpg_watch()');
is(sql(q{SELECT problem, last_capture > now() - interval '5 min', last_watch > now() - interval '5 min', oldest_due_window IS NULL, webhooks_failing, dead_letters FROM chpg_self}),
	'|t|t|t|0|0', 'after a capture and a watch');
sql(q{UPDATE kept.capture SET captured_at = now() - interval '4 hours'; UPDATE kept.watch_state SET watched_at = now() - interval '4 hours'});
is(problem(), 'no capture for three hours', 'captures that stopped; a watch by hand is not missed');
sql(q{UPDATE kept.watch_state SET regular_since = watched_at - interval '23 hours'});
is(problem(), 'no capture for three hours', 'nor are some of one day');
sql(q{UPDATE kept.watch_state SET regular_since = watched_at - interval '25 hours'});
is(problem(), 'no capture for three hours; no watch for three hours', 'but those of a scheduler, which ran for a day and a night');
sql('CALL chpg_watch()');
is(problem(), 'no capture for three hours', 'a watch by hand mends it');
sql(q{UPDATE kept.watch_state SET watched_at = watched_at - interval '4 hours', regular_since = regular_since - interval '4 hours'});
is(problem(), 'no capture for three hours; no watch for three hours', 'for three hours');
sql(q{UPDATE kept.watch_state SET regular_since = NULL; UPDATE kept.setting SET value = 'on' WHERE name = 'watch'});
is(problem(), 'no capture for three hours; no watch for three hours', 'one that captures are to end with is');
sql(q{UPDATE kept.setting SET value = 'off' WHERE name = 'watch'; SELECT chpg_create_webhook('a', 'json', 'https://x.example/')});
is(problem(), 'no capture for three hours; no watch for three hours', 'or one that webhooks wait for');
sql(q{UPDATE kept.capture SET captured_at = now(), status = 'error'; UPDATE kept.watch_state SET watched_at = now()});
is(sql(q{SELECT failing_since > now() - interval '5 min', problem FROM chpg_self}), 't|', 'captures that fail');
sql(q{UPDATE kept.capture SET captured_at = now() - interval '1 hour'});
is(problem(), 'captures or requests fail', 'and keep failing');
sql(q{UPDATE kept.capture SET captured_at = now(), status = 'ok'});
sql(q{INSERT INTO kept.alert_delivery VALUES (1, 'a', 'dead', 12, now(), NULL, NULL, 500, 'x'), (2, 'b', 'pending', 1, now(), NULL, NULL, NULL, 'y'), (3, 'c', 'pending', 0, now() - interval '2 hours', NULL, NULL, NULL, NULL), (4, 'd', 'pending', 0, now(), NULL, NULL, NULL, NULL)});
is(sql('SELECT webhooks_failing, dead_letters, problem FROM chpg_self'), '0|1|there are dead letters', 'webhooks that do not exist are no problem');
sql(qq{SELECT chpg_create_webhook('$_', 'json', 'https://x.example/')}) for qw(b c d);
is(sql('SELECT webhooks_failing, dead_letters, problem FROM chpg_self'), '2|1|webhooks fail; there are dead letters', 'webhooks');
sql('GRANT USAGE ON SCHEMA kept TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO reader');
is(as_role('reader', 'SELECT webhooks_failing, dead_letters, problem FROM chpg_self'), '2|1|webhooks fail; there are dead letters', 'a role that may read the history, such as that of Grafana');

# The webhooks, each with what became of its alerts
my $WEBHOOKS = 'SELECT webhook, waiting_alerts, failed_alerts, dead_letters, last_error FROM chpg_webhooks';
my $OF_EACH = "a|0|0|1|x\nb|1|1|0|y\nc|1|0|0|\nd|1|0|0|";
sql(q{INSERT INTO kept.alert (alert_id, alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level) OVERRIDING SYSTEM VALUE
	SELECT n, gen_random_uuid(), '2026-05-11 00:00Z', now(), 'new', 'inc-' || n, 'f', 'CHPG501', 'incident', 'WARN' FROM generate_series(1, 2) n;
	INSERT INTO kept.alert_delivery VALUES (5, 'a', 'sent', 1, now(), NULL, '2026-05-11 01:00Z', 200, NULL)});
is(sql($WEBHOOKS), $OF_EACH, 'what became of the alerts of each webhook');
is(as_role('reader', $WEBHOOKS), $OF_EACH, 'also for a role that may read the history');
is(as_role('other', $WEBHOOKS), "a||||\nb||||\nc||||\nd||||", 'but not for any other');
is(sql(q{SELECT string_agg(concat_ws(' ', webhook, gets_alerts, waiting_since, last_sent_at), ', ' ORDER BY webhook) FROM chpg_webhooks WHERE owner = current_user}),
	'a t 2026-05-11 01:00:00+00, b t 2026-05-11 00:00:00+00, c t, d t', 'since when alerts wait, and when one was last sent');
sql('DELETE FROM kept.alert; DELETE FROM kept.alert_delivery WHERE alert_id = 5; REVOKE SELECT ON kept.alert_delivery FROM reader');
like(as_role('reader', 'SELECT problem FROM chpg_self'), qr/^role "reader" cannot judge the history/, 'a role that may not read the alerts says so');
is(as_role('reader', $WEBHOOKS), "a||||\nb||||\nc||||\nd||||", 'and does not see what became of them');

# A backfill takes its time; what has been due for a day since its service is known has not
sql(q{SELECT chpg_drop_webhook('a')});
is(sql('SELECT webhooks_failing, dead_letters, problem FROM chpg_self'), '2|0|webhooks fail', 'dead letters of one that is dropped are none');
as_role('other', q{SELECT chpg_create_webhook('a', 'json', 'https://x.example/')});
is(sql(q{SELECT owner, gets_alerts, waiting_alerts, dead_letters FROM chpg_webhooks WHERE webhook = 'a'}), 'other|f||', 'a webhook of a role without rights gets nothing');
is(sql('SELECT webhooks_failing, dead_letters, problem FROM chpg_self'), '2|0|webhooks fail', 'also if a role without rights makes one of that name');
sql(qq{SELECT chpg_drop_webhook('$_')}) for qw(a b c d);
is(problem(), '', 'then there is nothing wrong');

# Whether watches are regular: each within three hours of the one before, and not by the setting
for my $case ([ 2, 30, 'off', 30 ], [ 4, 30, 'off', 24 ], [ 4, 28, 'off', 0 ], [ 2, 30, 'on', '' ])
{
	my ($hours, $regular, $setting, $is_regular) = @$case;
	sql("UPDATE kept.watch_state SET watched_at = now() - interval '$hours hours', regular_since = now() - interval '$regular hours'; UPDATE kept.setting SET value = '$setting' WHERE name = 'watch'");
	sql('CALL chpg_watch()');
	is(sql(q{SELECT round(extract(epoch FROM watched_at - regular_since) / 3600) FROM kept.watch_state}), $is_regular, "a watch $hours hours after the one before, regular since $regular hours, the setting $setting");
}
sql(q{UPDATE kept.setting SET value = 'off' WHERE name = 'watch'});

# Settings that captures refuse
sql(q{GRANT SELECT ON kept.alert_delivery TO reader; UPDATE kept.setting SET value = 'five days' WHERE name = 'backfill'});
is($_->('SELECT problem FROM chpg_self'), 'invalid value for setting "backfill" of the history: "five days"', 'a setting that cannot be used') for \&sql, sub { as_role('reader', @_) };
sql(q{UPDATE kept.setting SET value = E'\n' || repeat('x', 10000) WHERE name = 'backfill'});
cmp_ok(length(problem()), '<', 210, 'whatever it is');
sql(q{UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill'; UPDATE kept.setting SET value = '2 days' WHERE name = 'keep_open'});
is(problem(), 'invalid value for setting "keep_open" of the history: "2 days"', 'or not together with others');
sql(q{UPDATE kept.setting SET value = '8 days' WHERE name = 'keep_open'});
is(problem(), '', 'until all can');
sql('REVOKE SELECT ON kept.alert_delivery FROM reader');

sql(q{DELETE FROM kept.alert_delivery; UPDATE kept.setting SET value = '6 days' WHERE name = 'backfill'; UPDATE kept.service SET noted_at = now() - interval '23 hours'});
is(sql(q{SELECT oldest_due_window < now() - interval '5 days', problem FROM chpg_self}), 't|', 'windows from before a service was known are a backfill');
sql(q{UPDATE kept.service SET noted_at = now() - interval '25 hours'});
is(problem(), 'windows are due for a day', 'which is to come to an end');
sql(q{UPDATE kept.service SET noted_at = now(); UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill'});

# A key that the API never accepted is not in use: chpg_connect refuses it, and nothing will succeed for it
fails_with($node, "SELECT FROM chpg_connect('mistyped', 'secret', server => 'mistyped', api_url => 'http://127.0.0.1:1')", '08001', qr/no connection to the API/, 'a mistyped URL');
is(sql('SELECT failing_since IS NULL FROM chpg_self'), 't', 'which is no failure of the API');

# The API fails, which is logged once, and so is its end
fault($url, path => 'postgres$', status => 503);
$node->psql('postgres', 'SELECT FROM chpg_services') for 1, 2;
is(logged('the API has been failing'), 0, 'two failures are no news');
is(sql(q{SELECT failing_since > now() - interval '5 min' FROM chpg_self}), 't', 'but can be seen');
is(sql('SELECT failing_since FROM chpg_self'), sql('SELECT failing_since FROM chpg_self'), 'since the same time, whenever it is seen');
$node->psql('postgres', 'SELECT FROM chpg_services') for 1 .. 4;
is(logged('the API has been failing since .* for key "demoKeyId"'), 1, 'the third one is logged, once');
clear_faults($url);
sql('SELECT FROM chpg_services') for 1, 2;
is(logged('the API answers again, after failing since'), 1, 'and so is the end');
is(sql('SELECT failing_since IS NULL FROM chpg_self'), 't', 'after which it does not fail');

# Where the API fails now and then, the log is not filled
sub fail_and_answer
{
	fault($url, path => 'postgres$', status => 503, times => 3);
	$node->psql('postgres', 'DO $$ BEGIN PERFORM FROM chpg_services; END $$') for 1 .. 4;
	return logged('the API has been failing') . logged('the API answers again');
}

is(fail_and_answer(), '11', 'what fails again within ten minutes is no news');
advance_clock($node, '11 minutes');
is(fail_and_answer(), '22', 'but later it is');
unlike(slurp_file($node->logfile), qr/the API (?:has been failing|answers again)[^\n]*\n[^\n]*CONTEXT/, 'no internal statements are logged with it');

# A blocked key, and who waits for it
fault($url, path => 'postgres$', status => 429, times => 1, headers => { 'X-RateLimit-Reset' => '600', 'Retry-After' => '600' });
$node->psql('postgres', q{SET chpg.max_wait = '1 s'; SELECT FROM chpg_services});
is(sql('SELECT blocked_until > now() FROM chpg_self'), 't', 'a key that is blocked');
is(logged('is blocked until'), 1, 'is logged, once');
my $session = open_session($node);
my $pid = in_session($session, 'SELECT pg_backend_pid()');
begin_in_session($session, q{SET chpg.max_wait = '1 hour'; SELECT FROM chpg_services});
wait_until(sub { sql('SELECT waiting_pid FROM chpg_self') eq $pid }, 'a session waits');
is(sql('SELECT longest_wait_us > 0 FROM chpg_self'), 't', 'for some time');
is(as_role('reader', 'SELECT longest_wait_us, waiting_pid FROM chpg_self'), '|', 'which another role does not see');
sql("SELECT pg_cancel_backend($pid)");
$session->quit;

# Both are problems only if they last: each case is what the engine says, and the problem
for my $case ([ '300000000', '' ], [ '300000001', 'a process has waited for the budget for five minutes' ])
{
	my ($waited, $problem) = @$case;
	is(sql(qq{BEGIN; CREATE OR REPLACE FUNCTION _chpg_engine_state() RETURNS TABLE (failing_since timestamptz, longest_wait_us bigint, waiting_pid integer) LANGUAGE sql VOLATILE AS 'SELECT NULL::timestamptz, ${waited}::bigint, 1';
		SELECT problem FROM chpg_self; ROLLBACK}), $problem, "a wait of $waited us");
}
is(problem(), '', 'a short block is none');
sql(q{SELECT chpg_budget_reset(); ALTER SERVER chpg OPTIONS (SET rate_limit '100/300s')});
fault($url, path => 'postgres$', status => 429, times => 1, headers => { 'X-RateLimit-Reset' => '700', 'Retry-After' => '700' });
$node->psql('postgres', q{SET chpg.max_wait = '1 s'; SELECT FROM chpg_services});
is(problem(), 'a key is blocked', 'one of more than ten minutes is');

# A long queue
sql(q{SELECT chpg_budget_reset(); ALTER SERVER chpg OPTIONS (SET rate_limit '1/3s')});
sql(q{SET chpg.max_wait = '4 s'; SELECT FROM chpg_services('chpg'); SELECT FROM chpg_services('chpg')}) for 1, 2;
is(logged('the queue for the request budget of key "demoKeyId" of server "chpg" is longer than 2 s'), 1, 'is logged once');

# A history that another role owns, whose code must not run with the rights of its readers
sql(q{SELECT chpg_budget_reset(); ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited'); SELECT chpg_history_disable(); DROP SCHEMA kept CASCADE;
	CREATE ROLE h LOGIN; GRANT CREATE ON DATABASE postgres TO h; GRANT USAGE ON FOREIGN DATA WRAPPER chpg_webhook TO h; SELECT chpg_history_enable('of_h', owner => 'h');
	SET ROLE h; GRANT USAGE ON SCHEMA of_h TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA of_h TO reader;
	INSERT INTO of_h.capture (service_id, grain, window_start, window_end, status, captured_at) VALUES ('pg1', 'hour', now() - interval '6 h', now() - interval '5 h', 'ok', now() - interval '5 h');
	SELECT chpg_create_webhook('of_h', 'json', 'https://x.example/'); INSERT INTO of_h.alert_delivery VALUES (1, 'of_h', 'dead', 12, now(), NULL, NULL, 500, 'x')});
my $WRONG = 'no capture for three hours; .*there are dead letters';
like(as_role($_, "SELECT problem, (SELECT string_agg(concat_ws(' ', webhook, gets_alerts, dead_letters), ', ') FROM chpg_webhooks) FROM chpg_self"), qr/^$WRONG\|of_h t 1$/, "its state is seen: $_") for 'h', 'reader', sql('SELECT current_user');
sql(q{SET ROLE h; REVOKE SELECT ON of_h.watch_state FROM reader});
like(as_role('reader', 'SELECT problem FROM chpg_self'), qr/^role "reader" cannot judge the history/, 'a role that may not read it all says so');
sql(q{SET ROLE h; GRANT SELECT ON of_h.watch_state TO reader; CREATE TABLE of_h.seen (who name);
	CREATE FUNCTION of_h.plant() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
		BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN NULL; END;
		BEGIN SET SESSION AUTHORIZATION DEFAULT; EXCEPTION WHEN OTHERS THEN NULL; END;
		INSERT INTO of_h.seen VALUES (current_user); RETURN true; END $$;
	ALTER TABLE of_h.capture ENABLE ROW LEVEL SECURITY; ALTER TABLE of_h.capture FORCE ROW LEVEL SECURITY; CREATE POLICY planted ON of_h.capture USING (of_h.plant())});
sql('SELECT problem FROM chpg_self; SELECT FROM chpg_webhooks');
is(sql('SELECT DISTINCT who FROM of_h.seen'), 'h', 'what its owner has planted runs with the rights of the owner');
sql('DROP FUNCTION of_h.plant() CASCADE; ALTER TABLE of_h.capture NO FORCE ROW LEVEL SECURITY; ALTER TABLE of_h.capture DISABLE ROW LEVEL SECURITY; DROP TABLE of_h.watch_skipped; ALTER TABLE of_h.watch_state DROP regular_since');
like(as_role($_, 'SELECT problem, (SELECT count(*) FROM chpg_webhooks WHERE dead_letters IS NULL) FROM chpg_self'), qr/^the history cannot be used: its schema has not all tables of this version: run chpg_history_enable\|1$/, "a history of an earlier version is to be completed: $_") for 'h', 'reader', sql('SELECT current_user');

# Nothing succeeds any more with a key whose server is dropped while the API fails
sub failing_after { my ($time) = @_; advance_clock($node, $time); return sql('SELECT failing_since IS NOT NULL FROM chpg_self') }

reset_emulator($url, keys => { droppedKey => $KEY_SECRET });
sql(connect_call(api_url => $url, key_id => 'droppedKey', server => 'dropped') . q{; SELECT FROM chpg_services('dropped')});
fault($url, path => 'postgres$', status => 503);
$node->psql('postgres', q{SELECT FROM chpg_services('dropped')});
sql('DROP SERVER dropped CASCADE');
is(failing_after('0 hours'), 't', 'a server is dropped while the API fails');
is(failing_after('2 hours 50 minutes'), 't', 'it fails for almost three hours');
is(failing_after('11 minutes'), 'f', 'and is forgotten after these');

done_testing();
