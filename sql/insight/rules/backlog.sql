/*
 * rule: CHPG708 backlog
 * title: A replica or the archive falls behind
 * kind: risk
 * scope: metrics
 * place: 280
 * function: _chpg_find_waits
 * threshold: seconds = 300 s; Lag in seconds from which it is WARN.
 * threshold: bytes = 1073741824 bytes; Lag in bytes from which it is WARN.
 * threshold: count = 100 files; Files that wait from which it is WARN.
 * threshold: hours = 2 hours; For so many hours it must have been behind.
 * threshold: usual_factor = 3 factor; Of what it was at most at these hours.
 */
/*
 * The API's reference announces these metrics without their names, so that they are found by
 * what their names contain.  Lock waits are among the wait events as well; they count once.
 */
CREATE FUNCTION @extschema@._chpg_find_waits(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
	named jsonb;
	behind record;
	of_locks text;
BEGIN
	IF cardinality(scope.period_hours) = 0 OR NOT @extschema@._chpg_metrics_are_readable() THEN
		RETURN;
	END IF;
	named := @extschema@._chpg_metric_names(scope.service_ids, until);
	FOR behind IN
		SELECT n.metric, n.unit, CASE WHEN n.unit ~* 'byte' THEN :bytes
			WHEN n.unit ~* '^(s|sec|seconds?)$' THEN :seconds ELSE :count END AS threshold
		FROM jsonb_to_recordset(named) n(metric text, unit text)
		WHERE n.metric ~* '(^|_)lag(_|$)|backlog'
		ORDER BY 1
		LIMIT 10
	LOOP
		RETURN QUERY
		SELECT 'CHPG708', 'WARN', 'A replica or the archive falls behind', l.service_id,
			format('%s is %s', behind.metric, CASE WHEN behind.threshold = :bytes
					THEN @extschema@._chpg_bytes_text(l.present) WHEN behind.threshold = :seconds
					THEN @extschema@._chpg_duration_text(1e6 * l.present)
						ELSE @extschema@._chpg_count_text(l.present) END),
			jsonb_build_object('metric', behind.metric, 'value', l.present, 'usual', l.usual, 'unit', behind.unit,
				'hours', l.run_hours),
			'The standby, a replica or the archive of WAL does not keep up with what is written, or stands still. WAL that '
				'waits fills the storage.',
			'Look for what writes so much WAL; if nothing does, ask the vendor''s support.',
			NULL::float8, CASE WHEN l.days >= 3 THEN 'high' ELSE 'medium' END,
			concat_ws(':', 'CHPG708', l.service_id, behind.metric), 'risk', l.since, l.usual, l.present,
			coalesce(behind.unit, 'count'),
			@extschema@._chpg_metric_query(l.service_id, behind.metric, l.since, until)
		FROM @extschema@._chpg_high_lines(scope, behind.metric, ''::text, NULL::text, behind.threshold) l
		WHERE l.run_hours >= :hours
			AND (l.highest IS NULL OR l.present >= :usual_factor * l.highest);
	END LOOP;
	IF NOT FOUND AND NOT live THEN
		RETURN QUERY
		SELECT r.*
		FROM @extschema@._chpg_skipped('{CHPG708}'::text[], 'No service has a metric of a lag or a backlog.'::text,
			NULL::text) s
		CROSS JOIN LATERAL jsonb_populate_record(s, '{"evidence": {"no_metric": true}}') r;
	END IF;
	of_locks := (SELECT min(n.metric) FROM jsonb_to_recordset(named) n(metric text, is_locks boolean) WHERE n.is_locks);
	IF of_locks IS NOT NULL THEN
		RETURN QUERY
		SELECT 'CHPG709', 'WARN', 'Sessions wait for locks', l.service_id,
			format('%s sessions wait for locks', @extschema@._chpg_rounded(l.present, 1))
				|| @extschema@._chpg_usual_text(l.usual, ''::text),
			jsonb_build_object('waiting_sessions', l.present, 'usual', l.usual, 'hours', l.run_hours,
				'days_of_past', l.days),
			'A long transaction holds locks, or many transactions change the same rows.',
			'Look for old transactions in pg_stat_activity, and for "still waiting for" in the log.',
			NULL::float8, CASE WHEN l.days >= 3 THEN 'high' ELSE 'medium' END, 'CHPG709:' || l.service_id, 'incident',
			l.since, l.usual, l.present, 'sessions',
			@extschema@._chpg_metric_query(l.service_id, of_locks, l.since, until)
		FROM @extschema@._chpg_high_lines(scope, of_locks,
			CASE WHEN of_locks ~* 'lock' THEN '' ELSE '^lock[:/. ]' END, NULL::text, :lock_waits_sessions) l
		WHERE l.run_hours >= :lock_waits_hours
			AND (l.highest IS NULL OR l.present >= :lock_waits_usual_factor * l.highest);
	ELSIF NOT live THEN
		RETURN QUERY
		SELECT r.*
		FROM @extschema@._chpg_skipped('{CHPG709}'::text[], 'No service has a metric of lock waits or wait events.'::text,
			NULL::text) s
		CROSS JOIN LATERAL jsonb_populate_record(s, '{"evidence": {"no_metric": true}}') r;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_waits(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about replicas and archives that fall behind, and about sessions that wait for locks.
By metrics of the history, which the API may have, or have not.
live: that there are none is not reported.
Requests: none.';
