# The log of findings: their states, incidents, planned work, and watches after captures.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use JSON::PP qw(encode_json);
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'jit = off');

# The windows are of May 2026: the log keeps what was resolved then.
sql(connect_sql($url) . q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '100 years' WHERE name = 'keep_day'});
make_plantable($node);

# What rules would find is a table here, so that their thresholds do not matter.  "at" is the
# hour from which a candidate is there, "gone" the one from which it is not.
sql(<<'SQL');
CREATE TABLE planted.candidate (at timestamptz, gone timestamptz DEFAULT 'infinity', c _chpg_candidate);
CREATE FUNCTION planted.find(rule_id text, level text, service_id text, since timestamptz, before float8, now float8,
	at timestamptz, gone timestamptz DEFAULT 'infinity', kind text DEFAULT 'incident', app text DEFAULT 'web',
	impact_us float8 DEFAULT 1e6, query_id text DEFAULT '7') RETURNS void LANGUAGE sql AS $$
	INSERT INTO planted.candidate
	SELECT at, gone, ROW(rule_id, level, 'Title of ' || rule_id, service_id, format('%s after %s', now, before),
		CASE WHEN app <> '' THEN jsonb_build_object('query_id', query_id, 'query_text', 'SELECT of ' || app, 'db_name', 'd',
			'db_user', 'u', 'db_operation', 'SELECT', 'app', app) ELSE '{}' END,
		'why', 'do', impact_us, 'high', rule_id || ':' || CASE WHEN app <> ''
			THEN to_jsonb(ARRAY[service_id, query_id, 'd', 'u', 'SELECT', app])::text ELSE service_id END,
		kind, since, before, now, 'us', NULL)::_chpg_candidate
$$;
CREATE OR REPLACE FUNCTION _chpg_candidates(period tstzrange, service text, server text, history_only boolean) RETURNS SETOF _chpg_candidate LANGUAGE sql VOLATILE SET search_path = public, kept, pg_temp AS $$
	SELECT (p.c).* FROM planted.candidate p
	WHERE p.at <= upper(period) AND p.gone > upper(period)
		AND (service IS NULL OR (p.c).service_id IN (SELECT s.service_id FROM kept.service s WHERE service IN (s.service_id, s.service_name)))
$$;
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name, size)
SELECT 'pg' || n, '-infinity', now(), 'service ' || n, 'small' FROM generate_series(1, 9) n;
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status)
SELECT 'pg' || n, 'hour', h, h + interval '1 hour', 'ok'
FROM generate_series(1, 9) n, generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-11 23:00Z', '1 hour') h;
SQL

sub watch { my ($hour, $arguments) = @_; return sql(sprintf q{SELECT w->>'new', w->>'worse', w->>'resolved' FROM _chpg_watch('2026-05-11 %02d:00Z', %s) w}, $hour, $arguments // 'NULL, NULL') }
sub logged { my ($columns, $where) = @_; return sql("SELECT $columns FROM kept.finding_log WHERE $where ORDER BY finding_key, opened_at") }
sub start_anew { return sql('TRUNCATE kept.finding_log, kept.watch_skipped, planted.candidate, kept.maintenance') }

# An episode: new, ongoing, worse, missed, resolved
my $SLOW = q{rule_id = 'CHPG501'};
my $STATE = q{state, level, worst_level, to_char(since, 'HH24'), to_char(opened_at, 'HH24'), to_char(last_seen_at, 'HH24'), to_char(resolved_at, 'HH24')};
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1000, 3000, '2026-05-11 07:00Z', '2026-05-11 10:00Z'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 06:00Z', 1000, 4600, '2026-05-11 10:00Z', '2026-05-11 11:00Z'),
	planted.find('CHPG501', 'ERROR', 'pg1', '2026-05-11 06:00Z', 1000, 4600, '2026-05-11 11:00Z', '2026-05-11 13:00Z'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 06:00Z', 1000, 3000, '2026-05-11 13:00Z', '2026-05-11 14:00Z'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 15:00Z', 1000, 3000, '2026-05-11 15:00Z', '2026-05-11 16:00Z'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 20:00Z', 1000, 3000, '2026-05-11 20:00Z')});
is(watch(6), '0|0|0', 'nothing is found');
is(watch(7), '1|0|0', 'a finding is new');
is(logged($STATE, $SLOW), 'new|WARN|WARN|05|07|07|', 'with its onset, before it was first seen');
is(watch(7) . ' ' . logged('state', $SLOW), '0|0|0 new', 'also if the hour is judged again');
is(watch(8) . ' ' . logged('state', $SLOW), '0|0|0 ongoing', 'then it is ongoing');
is(watch(10) . ' ' . logged($STATE, $SLOW), '0|1|0 worse|WARN|WARN|06|07|10|', 'half as much again is worse, and its onset is better known');
is(watch(9) . ' ' . logged($STATE, $SLOW), '0|0|0 worse|WARN|WARN|06|07|10|', 'an earlier hour changes nothing');
is(watch(11) . ' ' . logged('state, level', $SLOW), '0|1|0 worse|ERROR', 'so is a higher level');
is(watch(11) . ' ' . logged('state', $SLOW), '0|0|0 worse', 'also if the hour is judged again');
is(watch(12) . ' ' . logged('state', $SLOW), '0|0|0 ongoing', 'which is ongoing then');
is(watch(13) . ' ' . logged($STATE, $SLOW), '0|0|0 ongoing|WARN|ERROR|06|07|13|', 'the worst level stays');
is(watch(14) . ' ' . logged($STATE, $SLOW), '0|0|0 ongoing|WARN|ERROR|06|07|13|', 'a watch that does not see it resolves nothing');
is(watch(14) . ' ' . logged('missed', $SLOW), '0|0|0 1', 'nor does the same hour twice');
is(watch(15) . ' ' . logged('state, missed', $SLOW), '0|0|0 ongoing|0', 'it is still the same if it is seen again');
is(watch(16) . watch(17) . ' ' . logged($STATE, $SLOW), '0|0|00|0|1 resolved|WARN|ERROR|15|07|15|17', 'two watches without it resolve it');
is(watch(18) . ' ' . sql(q{SELECT count(*) FROM kept.finding}), '0|0|0 0', 'and it is no open finding');
is(watch(20) . ' ' . logged($STATE, "$SLOW AND resolved_at IS NULL"), '1|0|0 new|WARN|WARN|20|20|20|', 'it may begin anew');
is(sql(q{SELECT level, state, begins, ends, service, title, subject FROM kept.finding_history}),
	"WARN|new|2026-05-11 20:00||service 1|Title of CHPG501|SELECT of web\nERROR|resolved|2026-05-11 15:00|2026-05-11 15:00|service 1|Title of CHPG501|SELECT of web", 'the view of all');
is(sql(q{SELECT level, state, service, title, symptom FROM kept.finding}), 'WARN|new|service 1|Title of CHPG501|3000 after 1000', 'the view of open ones');
fails_with($node, "DELETE FROM kept.$_", '55000', qr/cannot delete from view "$_"/, "the view $_ is not updatable") for qw(finding finding_history incident);

# chpg_findings takes state and onset from the log.
my $PERIOD = q{'[2026-05-10 20:00Z,2026-05-11 20:00Z)'};
is(sql("SELECT state, to_char(since, 'HH24'), service_name, incident_id = (SELECT incident_id FROM kept.finding_log WHERE resolved_at IS NULL) FROM chpg_findings($PERIOD, history_only => true)"), 'new|20|service 1|t', 'findings have the state of the log');

# What is measured by the mean of the latest three hours climbs for three hours after a step: it gets worse once.
sub climbs { my (%latest) = @_; return join ';', map { sprintf q{UPDATE planted.candidate SET c.evidence = (c).evidence || '{"latest": %s}' WHERE at = '2026-05-11 %02d:00Z'}, $latest{$_}, $_ } sort keys %latest }
start_anew();
sql(join ';', map { sprintf q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1000, 3000, '2026-05-11 %02d:00Z', '2026-05-11 %02d:00Z')}, $_, $_ + 1 } 7 .. 18);
sql(climbs(7 => 3000, 8 => 3000, 9 => 5333, 10 => 7667, 11 => 10000, 12 => 10000, 13 => 14000, 14 => 15500, 15 => 20000, 16 => 26000, 17 => 80000, 18 => 80000));
is(join(' ', map { watch($_) } 7 .. 14), '1|0|0 0|0|0 0|1|0 0|0|0 0|0|0 0|0|0 0|0|0 0|1|0', 'a step is worse in its first hour only, and what then climbs further is another one');
is(join(' ', map { watch($_) } 15 .. 18), '0|0|0 0|0|0 0|1|0 0|0|0', 'so is what no step of before explains');

# What is not judged is not resolved.
start_anew();
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z', '2026-05-11 07:00Z'),
	planted.find('CHPG502', 'WARN', 'pg2', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z', '2026-05-11 07:00Z');
	UPDATE kept.capture SET status = 'lost' WHERE service_id = 'pg1' AND window_start BETWEEN '2026-05-11 06:00Z' AND '2026-05-11 08:00Z'});
is(join(' ', map { watch($_) } 6 .. 9), '2|0|0 0|0|0 0|0|1 0|0|0', 'a service without captured hours resolves nothing');
is(join(' ', map { watch($_) } 10 .. 11), '0|0|0 0|0|1', 'until it has two');
sql(q{UPDATE kept.capture SET status = 'ok'; TRUNCATE kept.finding_log, kept.watch_skipped; INSERT INTO planted.candidate SELECT '2026-05-11 07:00Z', '2026-05-11 12:00Z', k FROM _chpg_skipped('{CHPG501}', 'not judged', 'pg1') k});
is(join(' ', map { watch($_) } 6 .. 14), '2|0|0 0|0|0 0|0|1 0|0|0 0|0|0 0|0|0 0|0|0 0|0|1 0|0|0', 'nor does a rule that was skipped');

# The log keeps what the last watch of a service could not judge.
my $SKIPPED = q{SELECT service_id, finding->>'rule_id', finding->>'symptom', to_char(as_of, 'HH24') FROM kept.watch_skipped WHERE service_id IN ('pg1', 'pg2') AND finding_key <> '' ORDER BY 1, 2};
is(sql($SKIPPED), '', 'what could not be judged is forgotten once it can be');
sql(q{INSERT INTO planted.candidate SELECT '2026-05-11 15:00Z', '2026-05-11 17:00Z', k FROM (VALUES ('CHPG501', 'pg1'), ('CHPG502', NULL)) v(rule, service), _chpg_skipped(ARRAY[v.rule], 'not judged', v.service) k});
watch(15);
is(sql($SKIPPED), "pg1|CHPG501|not judged|15\npg1|CHPG502|not judged|15\npg2|CHPG502|not judged|15", 'what could not be judged of any service is noted for each');
watch(17, q{'service 1', NULL});
is(sql($SKIPPED), 'pg2|CHPG502|not judged|15', 'a watch of one service says nothing of the others');
watch(14);
is(sql($SKIPPED), 'pg2|CHPG502|not judged|15', 'nor does an earlier hour');
start_anew();
sql(q{SELECT planted.find('CHPG101', 'INFO', 'pg1', NULL, NULL, 3, '2026-05-11 06:00Z', kind => 'opportunity'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 08:00Z', 1, 3, '2026-05-11 08:00Z', '2026-05-11 12:00Z')});
is(join(' ', map { watch($_) } 6 .. 14), '1|0|0 0|0|0 1|0|0 0|0|0 0|0|0 0|0|0 0|0|0 0|0|1 0|0|0', 'a finding that is a tag of another one meanwhile goes on');
is(watch(15, q{'service 2', NULL}) . watch(16, q{'service 2', NULL}) . ' ' . logged('state', q{rule_id = 'CHPG101'}), '0|0|00|0|0 ongoing', 'a watch of one service is none of the others');

# Incidents: one onset, one service
start_anew();
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z', app => 'slow', impact_us => 5e6),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 06:00Z', 1, 3, '2026-05-11 06:00Z', app => 'slower', impact_us => 9e6, query_id => '8'),
	planted.find('CHPG504', 'WARN', 'pg1', '2026-05-11 05:00Z', 0, 3, '2026-05-11 06:00Z', app => 'new', impact_us => 2e6),
	planted.find('CHPG501', 'ERROR', 'pg1', '2026-05-11 02:00Z', 1, 3, '2026-05-11 06:00Z', app => 'earlier'),
	planted.find('CHPG502', 'WARN', 'pg2', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z', app => ''),
	planted.find('CHPG701', 'ERROR', 'pg1', '2026-05-11 05:00Z', 60, 85, '2026-05-11 06:00Z', kind => 'risk', app => ''),
	planted.find('CHPG101', 'INFO', 'pg1', NULL, NULL, 3, '2026-05-11 06:00Z', kind => 'opportunity', app => 'scan');
	UPDATE kept.service SET valid_to = '2026-05-11 06:05Z' WHERE service_id = 'pg1';
	INSERT INTO kept.service (service_id, valid_from, noted_at, service_name, size) VALUES ('pg1', '2026-05-11 06:05Z', '2026-05-11 06:05Z', 'service 1', 'large');
	INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, total_duration_us)
	SELECT 'pg1', 'hour', h, planted.key(1, 'SELECT old', app => 'web 1.0'), 10, 100 FROM generate_series(timestamptz '2026-05-10 05:00Z', '2026-05-11 04:00Z', '1 hour') h
	UNION ALL SELECT 'pg1', 'hour', '2026-05-11 05:00Z', planted.key(n, 'SELECT new ' || n, app => 'web 1.1'), 10, 100 FROM generate_series(2, 4) n});
my $TOP = q{SELECT rule_id, level, coalesce(evidence->>'app', service_name), evidence->>'member_count', (SELECT string_agg(m->>'subject', ', ' ORDER BY n) FROM jsonb_array_elements(evidence->'members') WITH ORDINALITY e(m, n)) FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true)};
my $TOP_ROWS = <<'END';
CHPG701|ERROR|service 1||
CHPG501|ERROR|earlier||
CHPG504|WARN|new|2|SELECT of slower, SELECT of slow
CHPG502|WARN|service 2||
CHPG101|INFO|scan||
END
is(sql($TOP) . "\n", $TOP_ROWS, 'one row for each incident, with its members');
is(watch(6) . "\n" . sql($TOP) . "\n", "7|0|0\n$TOP_ROWS", 'also with the log');
is(sql(q{SELECT rule_id, is_root, subject FROM kept.incident WHERE incident_id = (SELECT incident_id FROM kept.incident WHERE rule_id = 'CHPG504')}),
	"CHPG504|t|SELECT of new\nCHPG501|f|SELECT of slow\nCHPG501|f|SELECT of slower" =~ s/slow\n(.*)slower/slow\n$1slower/r, 'the view of an incident') or diag(sql('SELECT * FROM kept.incident'));
is(sql(q{SELECT evidence->'at_that_time' FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', 'service 1', history_only => true) WHERE rule_id = 'CHPG504'}),
	'{"size": {"after": "large", "before": "small"}, "new_apps": ["web 1.1"], "new_queries": 3}', 'what else happened then');
is(sql(q{SELECT array_to_string(tags, ' ') FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true) WHERE rule_id = 'CHPG504'}), 'slower', 'the rules of members are tags');
my $incident = logged('incident_id', q{rule_id = 'CHPG504'});
sql(q{UPDATE planted.candidate SET c.since = (c).since - interval '1 hour' WHERE (c).rule_id = 'CHPG504'});
is(watch(7) . ' ' . logged('incident_id', q{rule_id = 'CHPG504'}), "0|0|0 $incident", 'an incident keeps its id when its onset is better known');
is(sql(q{SELECT count(DISTINCT incident_id), count(incident_id), count(*) FROM kept.finding_log}), '4|6|7', 'opportunities are no incidents');

# What is INFO joins an alarm, but not two of them.
sql(q{SELECT planted.find('CHPG504', 'INFO', 'pg1', '2026-05-11 03:00Z', 0, 3, '2026-05-11 06:00Z', app => 'first'), planted.find('CHPG504', 'INFO', 'pg1', '2026-05-11 04:00Z', 0, 3, '2026-05-11 06:00Z', app => 'second'),
	planted.find('CHPG504', 'INFO', 'pg2', '2026-05-10 03:00Z', 0, 3, '2026-05-11 06:00Z', app => 'third'), planted.find('CHPG504', 'INFO', 'pg2', '2026-05-10 04:00Z', 0, 3, '2026-05-11 06:00Z', app => 'fourth')});
is(sql("$TOP WHERE kind = 'incident'"), <<'END' =~ s/\n$//r, 'incidents with members that are INFO');
CHPG501|ERROR|earlier|1|SELECT of first
CHPG504|WARN|new|3|SELECT of slower, SELECT of slow, SELECT of second
CHPG502|WARN|service 2||
CHPG504|INFO|fourth|1|SELECT of third
END

# Rules find some things only while they are young, or in hours in which much is expected.  What they are about says
# whether they are over.
sub runs { my ($app, $from, $hours, $calls, $us) = @_; return sql(qq{INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, total_duration_us) SELECT 'pg4', 'hour', timestamptz '$from' + h * interval '1 hour', planted.key(7, 'SELECT of $app', db_name => 'd', app => '$app'), $calls, $calls * $us FROM generate_series(0, $hours - 1) h}) }
sub episode { my ($app) = @_; return logged('state, resolved_at IS NOT NULL', "finding->'evidence'->>'app' = '$app'") }
start_anew();
runs('old', '2026-05-10 03:00Z', 44, 20, 100);
runs('ended', '2026-05-10 03:00Z', 20, 20, 100);
sql(q{SELECT planted.find('CHPG504', 'WARN', 'pg4', '2026-05-10 03:00Z', 0, 20, '2026-05-10 06:00Z', '2026-05-11 03:00Z', app => app, impact_us => 1.0 / length(app)) FROM unnest('{old,ended}'::text[]) app;
	SELECT w FROM generate_series(timestamptz '2026-05-10 06:00Z', '2026-05-11 03:00Z', '1 hour') h, _chpg_watch(h, NULL, NULL) w});
is(sql(q{SELECT w->>'resolved', w->>'usual' FROM _chpg_watch('2026-05-11 04:00Z', NULL, NULL) w}) . ' ' . episode('old') . ' ' . episode('ended'), '1|1 usual|t resolved|t', 'what is new is usual after a day, unless it is gone');
is(logged(q{finding->>'state', finding->'evidence'->'since_then'}, q{finding->'evidence'->>'app' = 'old'}), 'usual|{"hours": 2, "calls_per_h": 20.0, "avg_duration_us": 100.0}', 'with how it is now');
is(sql(q{SELECT string_agg(state || ' ' || subject, ', ' ORDER BY subject) FROM kept.finding_history}), 'usual SELECT of old', 'which the view of all shows');

start_anew();
sql('TRUNCATE kept.open_hour');
runs('back', '2026-05-11 10:00Z', 1, 50, 100);
sql(q{SELECT planted.find('CHPG508', 'ERROR', 'pg4', '2026-05-11 03:00Z', 50, 0, '2026-05-11 05:00Z', '2026-05-11 07:00Z', app => app), planted.find('CHPG508', 'ERROR', 'pg4', '2026-05-11 03:00Z', 50, 0, '2026-05-11 14:00Z', app => app) FROM unnest('{back,silent}'::text[]) app;
	SELECT planted.key(7, 'SELECT of silent', db_name => 'd', app => 'silent');
	SELECT w FROM generate_series(timestamptz '2026-05-11 05:00Z', '2026-05-11 10:00Z', '1 hour') h, _chpg_watch(h, NULL, NULL) w});
is(episode('back') . ' ' . episode('silent'), 'ongoing|f ongoing|f', 'an application that is silent at night, when little is expected, is not back');
is(watch(11) . ' ' . episode('back') . ' ' . episode('silent'), '0|0|1 resolved|t ongoing|f', 'it is when it runs again');
watch($_) foreach 12 .. 13;
is(watch(14) . ' ' . episode('silent'), '1|0|0 ongoing|f', 'and what is found again meanwhile is the same episode');
is(sql(q{SELECT state FROM _chpg_episode_end('CHPG508', 'pg4', (SELECT finding FROM kept.finding_log WHERE finding->'evidence'->>'app' = 'silent'), '2026-05-04 14:00Z', '2026-05-11 14:00Z')}), 'usual', 'after a week it is usual');

start_anew();
runs('still', '2026-05-11 02:00Z', 12, 10, 2900);
runs('faster', '2026-05-11 02:00Z', 5, 10, 2900);
runs('faster', '2026-05-11 07:00Z', 5, 10, 1200);
runs('paused', '2026-05-11 02:00Z', 5, 10, 2900);
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg4', '2026-05-11 02:00Z', 1000, 3000, '2026-05-11 06:00Z', '2026-05-11 07:00Z', app => app) FROM unnest('{still,faster,paused}'::text[]) app});
watch($_) foreach 6 .. 9;
is(join(' ', map { episode($_) } qw(still faster paused)), 'ongoing|f resolved|t ongoing|f', 'what is still slow, or does not run, is not resolved');
is(sql(q{SELECT state, evidence FROM _chpg_episode_end('CHPG501', 'pg4', (SELECT finding || '{"since": "2026-05-07 02:00Z"}' FROM kept.finding_log WHERE finding->'evidence'->>'app' = 'still'), '2026-05-11 06:00Z', '2026-05-11 09:00Z')}), 'usual|{"hours": 2, "calls_per_h": 10.0, "avg_duration_us": 2900.0}', 'after four days, its time is the usual one');

start_anew();
runs('surge', '2026-05-11 02:00Z', 12, 900, 10);
sql(q{SELECT planted.find('CHPG507', 'WARN', 'pg4', '2026-05-11 02:00Z', 100, 900, '2026-05-11 06:00Z', '2026-05-11 07:00Z', app => 'surge'); UPDATE planted.candidate SET c.evidence = (c).evidence || '{"change": "surge"}'});
watch($_) foreach 6 .. 10;
is(episode('surge'), 'ongoing|f', 'a surge lasts while it runs as often');
sql('TRUNCATE kept.open_hour');
runs('surge', '2026-05-11 10:00Z', 4, 150, 10);
watch($_) foreach 11 .. 17;
is(episode('surge'), 'resolved|t', 'and is over when it does not');

# What is a mean since the onset gets worse by its latest hours.
start_anew();
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1000, 3000 + 10 * h, ('2026-05-11 06:00Z'::timestamptz + h * interval '1 hour'), ('2026-05-11 07:00Z'::timestamptz + h * interval '1 hour')) FROM generate_series(0, 2) h;
	UPDATE planted.candidate SET c.evidence = (c).evidence || jsonb_build_object('latest', CASE WHEN at >= '2026-05-11 08:00Z' THEN 9000 ELSE 3000 END)});
is(watch(6) . ' ' . watch(7) . ' ' . watch(8), '1|0|0 0|0|0 0|1|0', 'the latest hours count for what is worse');

# What else happened at an onset: settings and limits
start_anew();
sql(q{INSERT INTO kept.service_key (service_id) VALUES ('pg5') ON CONFLICT DO NOTHING;
	INSERT INTO kept.limit_day (service_key, day, noted_at, size, memory_bytes, settings_at, settings)
	SELECT k.service_key, v.day, v.day, 'small', v.memory, v.day + interval '4 hours', v.settings::jsonb
	FROM kept.service_key k, (VALUES (timestamptz '2026-05-08 00:00Z', 4, '{"postgres.work_mem": "1MB", "postgres.jit": "on"}'), ('2026-05-10 00:00Z', 4, '{"postgres.work_mem": "4MB", "postgres.jit": "on"}'),
		('2026-05-11 00:00Z', 8, '{"postgres.work_mem": "64MB", "postgres.jit": "on", "pgbouncer.pool_mode": "session"}')) v(day, memory, settings)
	WHERE k.service_id = 'pg5';
	SELECT planted.find('CHPG502', 'WARN', 'pg5', '2026-05-11 02:00Z', 1, 3, '2026-05-11 06:00Z', app => '')});
my $HAPPENED = q{SELECT evidence->'at_that_time' FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true) WHERE service_id = 'pg5'};
is(sql($HAPPENED), '{"settings": {"postgres.work_mem": {"after": "64MB", "before": "4MB"}, "pgbouncer.pool_mode": {"after": "session", "before": null}}, "memory_bytes": {"after": 8, "before": 4}}', 'settings and limits that changed that day');
sql(q{UPDATE planted.candidate SET c.since = '2026-05-11 09:00Z'});
is(sql($HAPPENED =~ s/05-11 06:00Z/05-11 12:00Z/r), '{"memory_bytes": {"after": 8, "before": 4}}', 'not settings that changed before');

# Many services at one hour
start_anew();
sql(q{SELECT planted.find('CHPG502', 'WARN', 'pg' || n, '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z', app => '') FROM generate_series(1, 4) n});
is(sql(q{SELECT count(*) FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true)}), 4, 'four services are not many');
sql(q{SELECT planted.find('CHPG502', 'WARN', 'pg5', '2026-05-11 06:00Z', 1, 3, '2026-05-11 06:00Z', app => '')});
is(sql(q{SELECT level, kind, service_id IS NULL, symptom, evidence->>'names', to_char(since, 'HH24') FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true) WHERE rule_id = 'CHPG809'}),
	'INFO|incident|t|5 of 9 services have an incident that began within the same hours|["service 1", "service 2", "service 3", "service 4", "service 5"]|05', 'five of nine are');
is(watch(6), '6|0|0', 'which is logged, too');

# Planned work
start_anew();
sql(q{SELECT planted.find('CHPG501', 'ERROR', 'pg1', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z'), planted.find('CHPG501', 'ERROR', 'pg2', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z'),
	planted.find('CHPG501', 'ERROR', 'pg1', '2026-05-11 02:00Z', 1, 3, '2026-05-11 06:00Z', app => 'earlier');
	SELECT chpg_maintenance('service 1', '[2026-05-11 05:30Z,2026-05-11 07:00Z)', 'upgrade')});
is(sql(q{SELECT level, service_id, evidence->>'app', evidence->'maintenance'->>'note' FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true) ORDER BY service_id, 3}),
	"ERROR|pg1|earlier|\nINFO|pg1|web|upgrade\nERROR|pg2|web|", 'what begins within planned work is INFO');
sql(q{SELECT chpg_maintenance(NULL, '[2026-05-11 00:00Z,2026-05-11 07:00Z)')});
is(sql(q{SELECT string_agg(DISTINCT level, ' ') FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true)}), 'INFO', 'planned work on all services');
# The log knows an onset that has left the hours which rules judge.
start_anew();
sql(q{SELECT planted.find('CHPG501', 'ERROR', 'pg1', '2026-05-10 02:00Z', 1, 3, '2026-05-10 03:00Z', '2026-05-11 05:00Z'), planted.find('CHPG501', 'ERROR', 'pg1', '2026-05-11 05:00Z', 1, 3, '2026-05-11 05:00Z');
	SELECT w FROM _chpg_watch('2026-05-10 03:00Z', NULL, NULL) w; SELECT w FROM _chpg_watch('2026-05-11 04:00Z', NULL, NULL) w; SELECT chpg_maintenance('service 1', '[2026-05-11 05:00Z,2026-05-11 07:00Z)')});
is(sql(q{SELECT level, to_char(since, 'DD HH24') FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true)}), 'ERROR|10 02', 'planned work does not quiet what began before it');
sql('CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA kept TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO reader; REVOKE SELECT ON kept.maintenance, kept.finding_log, kept.finding_mute, kept.threshold FROM reader; GRANT SELECT ON planted.candidate TO reader; GRANT USAGE ON SCHEMA planted TO reader');
is(as_role('reader', q{SELECT count(*) FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true)}), 1, 'a role that may not read planned work has findings');
fails_with($node, "SELECT chpg_maintenance($_->[0])", $_->[1], $_->[2], "maintenance: $_->[0]") for
	[ q{'none', '[2026-05-11 00:00Z,2026-05-11 07:00Z)'}, '42704', qr/service "none" is not in the history/ ], [ q{NULL, NULL}, '22004', qr/argument "period" must not be null/ ],
	[ q{NULL, 'empty'}, '22023', qr/invalid value for "period"/ ], [ q{NULL, '[2026-05-11 00:00Z,)'}, '22023', qr/invalid value for "period"/ ],
	[ q{NULL, '[2026-05-11 00:00Z,2026-05-11 07:00Z)', repeat('x', 1025)}, '22001', qr/argument "note" is too long: 1025 bytes/ ];

# The forms in which people say a period
sub planned
{
	my ($arguments) = @_;

	return sql("BEGIN; TRUNCATE kept.maintenance; SELECT chpg_maintenance($arguments); SELECT service_id, starts_at - now(), ends_at - starts_at, note FROM kept.maintenance; ROLLBACK");
}
is(planned($_), "\npg1|00:00:00|02:00:00|upgrade", "maintenance: $_")
  for q{'service 1', '2 hours', 'upgrade'}, q{'service 1', interval '2 hours', 'upgrade'}, q{'service 1', now(), now() + interval '2 hours', 'upgrade'}, q{'service 1', tstzrange(now(), now() + interval '2 hours'), 'upgrade'};
is(planned(q{'service 1', now(), now() + interval '2 hours'}), "\npg1|00:00:00|02:00:00|", 'maintenance: two times without a note');
is(sql("BEGIN; TRUNCATE kept.maintenance; SELECT chpg_maintenance($_, '2026-05-11 05:00Z', '2026-05-11 07:00Z'); SELECT chpg_maintenance($_, '2026-05-11 05:00Z', '2026-05-11 07:00Z', 'upgrade'); SELECT count(*), count(note), min(starts_at) = '2026-05-11 05:00Z', max(ends_at) = '2026-05-11 07:00Z' FROM kept.maintenance; ROLLBACK"),
	"\n\n2|1|t|t", "maintenance: two literals, of $_") for q{'service 1'}, 'NULL';
for my $case (
	[ q{'2 hours', 'service 1'}, qr/ERROR:  22023: "service 1" is no period: give an interval from now such as '2 hours', a range, or two times$/m ],
	[ q{'service 1', '2'}, qr/ERROR:  22023: "2" is no period: give an interval from now/ ],
	[ q{'service 1', '2 hours ago'}, qr/ERROR:  22023: invalid value for "period": "-02:00:00" is not a positive interval: give the time from now$/m ],
	[ q{'service 1', '2026-05-11 05:00Z', 'upgrade'}, qr/ERROR:  22023: the period that begins at "2026-05-11 05:00Z" has no end: give two times, or an interval from now$/m ],
	[ q{'service 1', '2026-05-11 07:00Z', '2026-05-11 05:00Z'}, qr/ERROR:  22023: period from .* to .* is empty: give the start before the end$/m ])
{
	fails_with($node, "SELECT chpg_maintenance($case->[0])", '22023', $case->[1], "maintenance: $case->[0]");
}

# A mute belongs to an episode: it ends with it, or when the finding gets worse than it was.
start_anew();
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 10, 30, '2026-05-11 06:00Z', '2026-05-11 08:00Z'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 10, 44, '2026-05-11 08:00Z', '2026-05-11 09:00Z'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 10, 46, '2026-05-11 09:00Z', '2026-05-11 10:00Z'),
	planted.find('CHPG501', 'ERROR', 'pg1', '2026-05-11 05:00Z', 10, 46, '2026-05-11 10:00Z', '2026-05-11 11:00Z'),
	planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 20:00Z', 10, 30, '2026-05-11 20:00Z')});
my $MUTE = q{SELECT chpg_mute(finding_key, 'accepted_risk', 'known') FROM kept.finding_log WHERE rule_id = 'CHPG501' AND resolved_at IS NULL};
sub muted { my ($hour) = @_; return sql(sprintf q{SELECT muted FROM chpg_findings(tstzrange('2026-05-10 06:00Z', '2026-05-11 %02d:00Z'), history_only => true)}, $hour) }
my $MUTES = q{SELECT muted_level, muted_value, factor FROM kept.finding_mute};
watch(6);
sql($MUTE);
is(sql($MUTES), 'WARN|3|1.5', 'a mute knows what it mutes');
my $SHOWN = 'SELECT (SELECT count(*) FROM kept.finding), muted FROM kept.finding_log WHERE resolved_at IS NULL';
is(sql($SHOWN), '0|t', 'what is muted leaves the view of open findings at once');
is(sql($MUTE =~ s/chpg_mute.*known'\)/chpg_unmute(finding_key)/r) . sql($SHOWN), 't1|f', 'and is back when the mute ends');
sql($MUTE);
is(muted(6) . muted(8) . muted(9) . muted(10), 'ttff', 'it does not hold for what is half as bad again, or of a higher level');
is(watch(7) . ' ' . sql('SELECT (SELECT count(*) FROM kept.finding), muted FROM kept.finding_log'), '0|0|0 0|t', 'what is muted is not in the view of open findings');
is(watch(9) . ' ' . sql('SELECT (SELECT count(*) FROM kept.finding), muted, (SELECT count(*) FROM kept.finding_mute) FROM kept.finding_log'), '0|1|0 1|f|0', 'a watch that finds it worse ends the mute');
sql($MUTE);
is(watch(10) . sql('SELECT count(*) FROM kept.finding_mute'), '0|1|00', 'as does a higher level');
sql($MUTE =~ s/'known'/'known', factor => 100/r);
is(watch(11) . watch(12) . sql('SELECT count(*) FROM kept.finding_mute'), '0|0|00|0|10', 'and the end of the episode');
is(watch(20) . muted(20), '1|0|0f', 'the next one is not muted');
sql($MUTE =~ s/'known'/'known', factor => 1.1/r);
sql(q{UPDATE planted.candidate SET c."now" = 36 WHERE at >= '2026-05-11 20:00Z'});
is(watch(21) . sql(q{SELECT state, muted FROM kept.finding_log WHERE resolved_at IS NULL}), '0|1|0worse|f', 'what ends a mute is worse');
sql(q{UPDATE planted.candidate SET c."now" = 30 WHERE at >= '2026-05-11 20:00Z'; TRUNCATE kept.finding_mute});
watch(22);
sql(q{SELECT chpg_mute(finding_key, 'accepted_risk', factor => 20) FROM kept.finding_log WHERE resolved_at IS NULL; UPDATE kept.finding_mute SET muted_level = NULL, muted_value = NULL});
is(muted(9) . watch(23) . ' ' . sql($MUTES), 't0|0|0 WARN|3.6|20', 'a mute that does not know learns it from the next watch');
fails_with($node, "SELECT chpg_mute('CHPG501:pg1', 'wont_fix', factor => $_->[0])", $_->[1], $_->[2], "factor: $_->[0]") for
	map { [ $_, '22023', qr/invalid value for "factor"/ ] } 1, 0, -2, q{'NaN'}, q{'infinity'};
sql('TRUNCATE kept.finding_mute');

# The level of a step depends on the hours since it began: with the same factor, it is no worse than it was.
sub flaps
{
	my (@hours) = @_;
	start_anew();
	sql('TRUNCATE kept.alert, kept.alert_delivery, kept.finding_mute');
	sql(join ';', map { sprintf q{SELECT planted.find('CHPG501', '%s', 'pg1', '2026-05-11 05:00Z', 10, 30, '2026-05-11 %02d:00Z', '2026-05-11 %02d:00Z');
		UPDATE planted.candidate SET c.evidence = (c).evidence || '{"latest": %s}' WHERE at = '2026-05-11 %02d:00Z'}, $hours[$_][0], $_ + 6, $_ + 7, $hours[$_][1], $_ + 6 } 0 .. $#hours);
}
my $ALERTED = q{SELECT string_agg(concat_ws(' ', to_char(as_of, 'HH24'), transition, level), ', ' ORDER BY alert_id) FROM kept.alert};
my $MUTED = q{SELECT l.muted, m.muted_level, m.muted_value FROM kept.finding_log l LEFT JOIN kept.finding_mute m USING (finding_key)};
flaps([ WARN => 55 ], [ ERROR => 50 ], [ WARN => 52 ], [ ERROR => 60 ], map { [ ERROR => 80 ] } 1 .. 2);
watch(6);
sql($MUTE);
is(muted(7), 't', 'a mute of the first hour holds while the level rises and the factor does not');
is(watch(7) . ' ' . sql($MUTED), '0|1|0 t|ERROR|5.5', 'also for a watch, and it knows the level then');
watch($_) foreach 8 .. 10;
is(sql($MUTED), 't|ERROR|5.5', 'which returns later');
is(sql($ALERTED), '06 new WARN', 'and nobody gets an alert');
flaps([ WARN => 50 ], [ ERROR => 55 ]);
watch(6);
sql($MUTE);
is(watch(7) . ' ' . sql($MUTED) . ' ' . sql($ALERTED), '0|1|0 f|| 06 new WARN, 07 worse ERROR', 'a tenth more, and of a higher level, ends it');
flaps((map { [ WARN => 50 ] } 1 .. 3), [ ERROR => 50 ]);
watch(6);
sql($MUTE);
watch($_) foreach 7 .. 9;
is(sql($MUTED) . ' ' . sql($ALERTED), 'f|| 06 new WARN, 09 worse ERROR', 'as does a higher level once three hours are known');
flaps([ WARN => 30 ], [ ERROR => 50 ], [ WARN => 44 ], (map { [ ERROR => 43 ] } 1 .. 4), [ ERROR => 80 ]);
watch($_) foreach 6 .. 8;
sql($MUTE);
is(sql($MUTED), 't|ERROR|5', 'a mute knows the worst level and value that the episode had');
watch($_) foreach 9 .. 12;
is(sql($MUTED) . ' ' . sql($ALERTED), 't|ERROR|5 06 new WARN, 07 worse ERROR', 'and does not end when the level is back');
is(watch(13) . ' ' . sql($MUTED), '0|1|0 f||', 'but when the value is half as much again');
is(sql($ALERTED), '06 new WARN, 07 worse ERROR, 13 worse ERROR', 'which is an alert');
flaps([ ERROR => 30 ], (map { [ WARN => 31 ] } 1 .. 3), [ WARN => 50 ], [ ERROR => 48 ], [ WARN => 40 ], [ ERROR => 49 ], (map { [ ERROR => 70 ] } 1 .. 3), [ ERROR => 76 ]);
is(join(' ', map { watch($_) } 6 .. 17), '1|0|0 0|0|0 0|0|0 0|0|0 0|1|0 0|0|0 0|0|0 0|0|0 0|0|0 0|0|0 0|0|0 0|1|0', 'without a mute, too, worse is what exceeds the worst of before');
is(sql($ALERTED), '06 new ERROR, 10 worse WARN, 17 worse ERROR', 'and is sent');
sql('TRUNCATE kept.alert, kept.alert_delivery');

# Hostile values
start_anew();
sql(q{SELECT planted.find('CHPG50' || a, 'WARN', 'pg1', '2026-05-11 05:00Z', b.v, n.v, '2026-05-11 06:00Z', app => a::text || b.v || n.v, impact_us => n.v)
	FROM generate_series(1, 2) a, (VALUES ('NaN'::float8), ('Infinity'), ('-Infinity'), (-1), (0), (1e308), (5e-324), (NULL)) b(v), (VALUES ('NaN'::float8), ('Infinity'), (-1), (0), (1e308), (5e-324), (NULL)) n(v);
	SELECT planted.find('CHPG501', 'WARN', 'pg1', '-infinity', 1, 2, '2026-05-11 06:00Z', app => 'always'), planted.find('CHPG501', 'WARN', 'pg1', 'infinity', 1, 2, '2026-05-11 06:00Z', app => 'never'),
		planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 2, '2026-05-11 06:00Z', app => repeat('x', 5000)), planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 2, '2026-05-11 06:00Z', app => E'\x01\n''\\\\')});
is(sql(q{SELECT (w->>'new')::integer > 85 FROM _chpg_watch('2026-05-11 06:00Z', NULL, NULL) w}), 't', 'hostile values are logged');
is(sql(q{UPDATE planted.candidate SET c."now" = (c)."now" * 2 WHERE (c)."now" < 1e300; SELECT w->>'new', w->>'resolved' FROM _chpg_watch('2026-05-11 07:00Z', NULL, NULL) w}), '0|0', 'and compared');
cmp_ok(sql(q{SELECT count(*) FROM kept.finding}), '>', 0, 'and shown');

start_anew();
sql(q{SELECT planted.find('CHPG401', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 2, '2026-05-11 06:00Z', app => U&'evil\202e\0003\000a\009bapp')});
is(sql(q{SELECT subject, next !~ U&'[\0001-\001f\202e\009b]', symptom FROM chpg_findings('[2026-05-10 06:00Z,2026-05-11 06:00Z)', history_only => true)}), 'SELECT of evil app|t|2 after 1', 'marks of names are not shown');

# In the width of a terminal
start_anew();
sql(q{UPDATE kept.service SET service_name = repeat('name ', 20) WHERE service_id = 'pg3'; SELECT planted.find('CHPG501', 'ERROR', 'pg3', '2026-05-11 05:00Z', 123456789, 987654321, '2026-05-11 06:00Z', app => repeat('application ', 20))});
watch(6);
foreach my $view ('finding', 'finding_history')
{
	my ($code, $out) = $node->psql('postgres', "\\pset format aligned\n\\pset tuples_only off\nSELECT * FROM kept.$view");
	my ($widest) = sort { $b <=> $a } map { length } split /\n/, $out;
	cmp_ok($widest, '<=', 120, "$view fits in 120 columns") or diag($out);
}

# The procedure, and who may call it
start_anew();
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z')});
my ($code, $out, $err) = $node->psql('postgres', 'CALL chpg_watch()');
like($err, qr/NOTICE:  findings: 1 new, 0 worse, 0 resolved\nHINT:  See the view finding: SELECT \* FROM kept\.finding;/, 'a watch says what is new');
is(logged('opened_at', 'true'), '2026-05-12 00:00:00+00', 'as of the last captured hour');
($code, $out, $err) = $node->psql('postgres', 'CALL chpg_watch()');
is($err, '', 'and nothing else');
fails_with($node, q{CALL chpg_watch('none')}, '42704', qr/service "none" is not in the history/, 'no such service');
fails_with($node, 'BEGIN READ ONLY; CALL chpg_watch()', '25006', qr/a watch cannot run in a read-only transaction/, 'a read-only transaction');
sql('CREATE ROLE helper LOGIN; GRANT EXECUTE ON PROCEDURE chpg_watch TO helper; GRANT EXECUTE ON FUNCTION chpg_maintenance(text, tstzrange, text) TO helper');
fails_with($node, "SET ROLE helper; $_", '42501', qr/permission denied for the history/, "another role: $_") for 'CALL chpg_watch()', q{SELECT chpg_maintenance(NULL, '[2026-05-11 00:00Z,2026-05-11 07:00Z)')};
sql(q{CREATE FUNCTION planted.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$; CREATE TRIGGER t BEFORE INSERT ON kept.finding_log FOR EACH ROW EXECUTE FUNCTION planted.fires()});
fails_with($node, 'CALL chpg_watch()', '55000', qr/trigger "t" on table "finding_log"/, 'a trigger on the log');
sql('DROP TRIGGER t ON kept.finding_log');

# Two watches take turns, and one that fails writes nothing.
my @sessions = map { open_session($node) } 1 .. 2;
start_anew();
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z')});
in_session($sessions[0], 'BEGIN; CALL chpg_watch()');
begin_in_session($sessions[1], 'CALL chpg_watch()');
wait_until(sub { sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted}) eq '1' }, 'the second watch waits');
in_session($sessions[0], 'ROLLBACK');
await_in_session($sessions[1], qr/findings: 1 new/);
$_->quit foreach @sessions;
is(logged('count(*) OVER ()', 'true'), 1, 'and sees what the first one left');

# Several mutes in one transaction wait for a watch, or it for them, and neither has what the other needs.
start_anew();
@sessions = map { open_session($node) } 1 .. 2;
sql(q{SELECT planted.find('CHPG501', 'WARN', 'pg1', '2026-05-11 05:00Z', 1, 3, '2026-05-11 06:00Z', '2026-05-11 07:00Z', app => app) FROM unnest('{a,b}'::text[]) app});
watch(6);
my @keys = split /\n/, logged('quote_literal(finding_key)', 'true');
sql("SELECT chpg_mute($_, 'wont_fix')") foreach @keys;
watch(7);
in_session($sessions[0], "BEGIN; SELECT chpg_mute($keys[1], 'accepted_risk')");
begin_in_session($sessions[1], q{DO $$ BEGIN RAISE NOTICE '%', _chpg_watch('2026-05-11 08:00Z', NULL, NULL); END $$});
wait_until(sub { sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted}) eq '1' }, 'a watch waits for mutes');
in_session($sessions[0], "SELECT chpg_mute($keys[0], 'accepted_risk'), chpg_unmute($keys[0]); COMMIT");
await_in_session($sessions[1], qr/"resolved": 2\b/);
$_->quit foreach @sessions;
is(sql('SELECT count(*) FROM kept.finding_mute'), 0, 'and ends them with their episodes');

# After a capture
start_anew();
sql(q{TRUNCATE kept.capture, kept.open_hour; DELETE FROM kept.service; UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill'; UPDATE kept.setting SET value = 'off' WHERE name = 'metric_bucket'});
my $ORDERS = sql(q{SELECT id FROM chpg_services() WHERE name = 'orders'});
sql(qq{SELECT planted.find('CHPG501', 'WARN', '$ORDERS', now() - interval '2 hours', 1, 3, '2026-05-11 06:00Z')});
sql(q{CALL chpg_capture('hour', 'orders')});
is(logged('state', 'true'), '', 'without the setting, no watch follows a capture');
sql(qq{UPDATE kept.setting SET value = 'on' WHERE name = 'watch'; DELETE FROM kept.capture});
sql(q{CALL chpg_capture('hour', 'orders')});
is(logged('state, service_name', 'true'), 'new|orders', 'with it, one does');

# A new incident has what recent executions and the log of its onset say, for two requests; the next capture sends none.
sub fetched { return grep { $_->{path} =~ m{/logs$|/slow[^/]*/-?\d} } @{ journal($url)->{requests} } }
my ($query, $db, $user, $operation, $app) = split /\|/, sql(q{SELECT query_id, db_name, db_user, db_operation, app FROM chpg_slow_patterns(now() - interval '1 hour', now(), 'orders') WHERE query_id <> 0 AND app <> '' ORDER BY total_duration_us DESC LIMIT 1});
start_anew();
sql(qq{DELETE FROM kept.capture; SELECT planted.find('CHPG501', 'WARN', '$ORDERS', date_trunc('second', now()) - interval '2 hours', 1, 3, '2026-05-11 06:00Z');
	UPDATE planted.candidate SET c.evidence = (c).evidence || jsonb_build_object('query_id', '$query', 'db_name', '$db', 'db_user', '$user', 'db_operation', '$operation', 'app', '$app')});
fault($url, path => "/slow[^/]*/$query\$", patch => { map { ("result.recentExecutions.0.$_->[0]" => $_->[1]) } [ durationUs => 987654321 ], [ tempBlksWritten => 98765 ], [ errSqlstate => '57014' ] });
fault($url, path => '/logs$', body => encode_json({ status => 200, requestId => '00000000-0000-4000-8000-000000000000', result => [
	map { { timestamp => '2026-05-11T05:00:00.000Z', severity => 'ERROR', body => $_ } } 'canceling statement due to statement timeout', 'canceling statement due to user request', 'relation "x" does not exist' ] }));
clear_journal($url);
sql(q{CALL chpg_capture('hour', 'orders')});
is(scalar(fetched()), 2, 'two requests for a new incident');
is(logged(q{(finding->'exemplars'->>'executions')::integer > 1, finding->'exemplars'->'max_duration_us', finding->'exemplars'->'temp_blks_written', finding->'exemplars'->>'sqlstates' ~ '57014', finding->'exemplars'->'log_lines', finding->'exemplars'->>'log_about', finding->'exemplars' ?| '{error,log_error}'}, 'true'),
	't|987654321|98765|t|3|canceled statements|f', 'what they say is kept');
my $SHARPENED = q{explanation ~ '^why Recent executions write temporary files\..* The log of that time is about canceled statements\.$', action};
my $FIRST = 't|Look first at why statements were canceled at that time: the log says it. do';
is(sql("SELECT $SHARPENED FROM kept.incident"), $FIRST, 'it is part of the cause, and says what to do first');
is(sql("SELECT $SHARPENED FROM chpg_findings(tstzrange(now() - interval '1 day', now()), '$ORDERS', history_only => true)"), $FIRST, 'also of what is judged anew');
like(sql(q{SELECT chpg_report_text(now() - interval '1 day', now())}), qr/why Recent executions write.*Look first at why statements were canceled/s, 'and of a report');
clear_faults($url);
sql(q{DELETE FROM kept.capture WHERE grain = 'hour'});
clear_journal($url);
sql(q{CALL chpg_capture('hour', 'orders')});
is(scalar(fetched()) . ' ' . sql("SELECT $SHARPENED FROM kept.incident"), "0 $FIRST", 'once');
sql(q{DELETE FROM kept.capture; UPDATE kept.finding_log SET finding = finding - 'exemplars', state = 'ongoing'; ALTER SERVER chpg OPTIONS (SET rate_limit '5/1s')});
clear_journal($url);
sql(q{CALL chpg_capture('hour', 'orders', 1)});
is(scalar(fetched()) . ' ' . logged(q{finding->'exemplars' ?& '{executions,log_lines}'}, 'true'), '2 t', 'also when captures have used the budget');

# The log is that of the onset; of locks and of memory, it is about these.
my $DUE = qq{'{"service_id": "$ORDERS", "since": "2026-05-11 05:00Z"}'::jsonb || };
sub asked
{
	my ($rule) = @_;
	clear_journal($url);
	sql(qq{SET chpg.cache_ttl = 0; SELECT _chpg_read_exemplars($DUE jsonb_build_object('rule_id', '$rule'), 'chpg', 0)});
	return join ' ', map { my $query = $_->{query}; map { $query->{$_} // '-' } qw(from_date to_date severity body_contains) } fetched();
}
sql(q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited')});
is(asked($_->[0]), "2026-05-11T04:55:00.000Z 2026-05-11T06:05:00.000Z $_->[1]", "the log that $_->[0] reads") foreach [ CHPG501 => 'ERROR -' ], [ CHPG402 => 'ERROR -' ], [ CHPG702 => '- memory' ], [ CHPG707 => '- ock' ], [ CHPG709 => '- ock' ];

# Never below the reserve of captures, whatever is left of the budget
sql(q{ALTER SERVER chpg OPTIONS (SET rate_limit '1000/86400s'); SET chpg.cache_ttl = 0; SELECT FROM chpg_organizations()});
my $free = sql('SELECT free FROM chpg_budget');
sub with_reserve
{
	my ($reserve) = @_;
	clear_journal($url);
	sql(qq{UPDATE kept.finding_log SET finding = finding - 'exemplars'; UPDATE kept.setting SET value = '$reserve' WHERE name = 'reserve'});
	return sql(q{SET chpg.cache_ttl = 0; SELECT _chpg_capture_exemplars('chpg')}) . ' ' . fetched();
}
is(with_reserve($free), 'wait 0', 'a budget that has no more than the reserve is left to others');
is(with_reserve($free - 1), 'noted 2', 'one more, and there are exemplars');
is(sql(qq{SET chpg.cache_ttl = 0; SELECT _chpg_read_exemplars($DUE '{"rule_id": "CHPG501"}', 'chpg', $free)}) . ' ' . fetched(), '{} 2', 'nor are they read when it went below meanwhile');
is(join(' ', map { sql(qq{UPDATE kept.finding_log SET finding = finding - 'exemplars', rule_id = '$_->[0]', kind = '$_->[1]'; SELECT jsonb_array_length(_chpg_exemplars_due('chpg'))}) } [ CHPG501 => 'incident' ], [ CHPG702 => 'risk' ], [ CHPG701 => 'risk' ]), '1 1 0', 'incidents have exemplars, and memory that runs out');
sql(q{ALTER SERVER chpg OPTIONS (SET rate_limit 'unlimited'); UPDATE kept.setting SET value = '3' WHERE name = 'reserve'});
is(sql(q{SELECT _chpg_exemplar_text('{"temp_blks_written": 5, "wal_fpi": 100, "sqlstates": "40P01, 57014", "log_about": "deadlocks"}')}),
	'Recent executions write temporary files. Recent executions write full-page images to the WAL. Recent executions fail with SQLSTATE 40P01, 57014. The log of that time is about deadlocks.', 'in words');
is(join('; ', map { sql("SELECT _chpg_sharpened('why', 'do', '$_')->>'action'") } '{"temp_blks_written": 5}', '{"temp_blks_written": 5, "log_about": "deadlocks, memory that ran out"}', '{"log_about": "canceled statements, waits for locks"}', '{"temp_blks_written": 0, "wal_fpi": 100, "log_about": "a full disk"}'),
	'Look first whether more work_mem spares the query its temporary files. do; Look first at what used the memory: it ran out at that time. do; Look first for what held locks at that time: see the log. do; do', 'and what to look at first');
start_anew();
sql(qq{DELETE FROM kept.capture; SELECT planted.find('CHPG501', 'WARN', '$ORDERS', now() - interval '2 hours', 1, 3, '2026-05-11 06:00Z')});
sql(q{DELETE FROM kept.capture; ALTER FUNCTION _chpg_candidates(tstzrange, text, text, boolean) RENAME TO hidden});
($code, $out, $err) = $node->psql('postgres', q{CALL chpg_capture('hour', 'orders')});
like($err, qr/WARNING:  could not watch: function .*_chpg_candidates.* does not exist/, 'a watch that fails is a warning');
is(sql(q{SELECT count(*) > 0 FROM kept.capture WHERE status = 'ok'}) . $code, 't0', 'and what was captured stays');
fails_with($node, q{UPDATE kept.setting SET value = 'yes' WHERE name = 'watch'; CALL chpg_capture('hour', 'orders')}, '22023', qr/invalid value for setting "watch" of the history: "yes"/, 'watch is on or off');

done_testing();
