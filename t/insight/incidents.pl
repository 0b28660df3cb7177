# Which findings are one incident, and how long it lasts: through the log, as watches write it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $node = start_node('main', "timezone = 'UTC'", 'jit = off');

sql(q{CREATE EXTENSION chpg; SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '100 years' WHERE name = 'keep_day'});
make_plantable($node);

# A watch that ends h hours after midnight, and finds these queries: by the hour of each onset
sql(<<'SQL');
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name, size) VALUES ('pg1', '-infinity', now(), 'service 1', 'small');
CREATE FUNCTION planted.watch(h float8, onsets jsonb) RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
	as_of timestamptz := timestamptz '2026-05-11Z' + h * interval '1 hour';
	members _chpg_member[] := ARRAY(
		SELECT i FROM _chpg_incidents(ARRAY(
			SELECT l FROM _chpg_with_log(ARRAY(
				SELECT jsonb_populate_record(NULL::chpg_finding_row, jsonb_build_object('kind', 'incident', 'level', 'WARN',
					'rule_id', 'CHPG501', 'title', 'Slower', 'symptom', 'slower', 'service_id', 'pg1', 'service_name', 'service 1',
					'subject', o.key, 'since', timestamptz '2026-05-11Z' + o.value::text::float8 * interval '1 hour', 'state', 'new',
					'muted', false, 'finding_key', 'CHPG501:' || o.key, 'before', 1, 'now', 3, 'evidence', jsonb_build_object()))
				FROM jsonb_each(onsets) o), tstzrange(as_of - interval '24 hours', as_of)) l)) i);
BEGIN
	PERFORM public._chpg_history_lock_table('finding_mute', 'SHARE UPDATE EXCLUSIVE'), public._chpg_history_lock_table('finding_log', 'SHARE UPDATE EXCLUSIVE');
	PERFORM public._chpg_note_findings(members, '{pg1}', false, as_of);
	PERFORM public._chpg_note_alerts(as_of);
END $$;
CREATE FUNCTION planted.incidents() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(q, ' | ' ORDER BY q) FROM (SELECT string_agg(finding->>'subject', ' ' ORDER BY finding_key) AS q FROM kept.finding_log GROUP BY incident_id) i $$;
SQL
sub watch { my ($hour, $onsets) = @_; sql("SELECT planted.watch($hour, '$onsets')"); return sql('SELECT planted.incidents()') }
sub alerts { return sql(q{SELECT string_agg(concat_ws(' ', extract(epoch FROM as_of - '2026-05-11Z') / 3600, transition), ', ' ORDER BY alert_id) FROM kept.alert}) =~ s/\.0+(?= )//gr }
sub start_anew { return sql('TRUNCATE kept.finding_log, kept.alert, kept.watch_skipped') }

# Onsets are off by an hour
is(watch(4, '{"a": 0, "b": 1, "c": 2}'), 'a b c', 'onsets up to two hours apart are one incident');
is(watch(5, '{"a": 0, "b": 1, "c": 2, "d": 3}'), 'a b c | d', 'what began after it is another one');
is(watch(6, '{"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}'), 'a b c | d e', 'to which the next one belongs');
is(alerts(), '4 new, 5 new', 'each has its alert');
is(watch(7, '{"a": 0, "b": 1, "c": 3, "d": 3, "e": 4}'), 'a b c | d e', 'onsets that are known better later move nothing out of an incident');
start_anew();
watch($_, '{' . join(',', map { qq("q$_": $_) } 0 .. $_ - 1) . '}') for 1 .. 9;
is(sql('SELECT planted.incidents()'), 'q0 q1 q2 | q3 q4 q5 | q6 q7 q8', 'a new problem each hour is no single incident');
is(alerts(), '1 new, 4 new, 7 new', 'which would be told once');

# Without watches for two days
start_anew();
watch(2, '{"a": 1}');
my $incident = sql('SELECT incident_id FROM kept.finding_log');
watch(50, '{"a": 44}');
is(sql(q{SELECT incident_id, state FROM kept.finding_log}), "$incident|ongoing", 'what is found again after a gap is the same incident');
is(alerts(), '2 new', 'which is told once');

# A service that is deleted has no further hours.
watch(51, '{}');
is(alerts(), '2 new', 'without a further hour nothing is resolved');
sql(q{UPDATE kept.service SET valid_to = '2026-05-13 03:30Z'});
watch(52, '{}');
is(sql(q{SELECT state, resolved_at FROM kept.finding_log}), 'resolved|2026-05-13 04:00:00+00', 'the incident of a service that is gone is resolved');
is(alerts(), '2 new, 52 resolved', 'and that is told');

done_testing();

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
