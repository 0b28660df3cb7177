/*
 * rule: CHPG506 missed_run
 * title: A job did not run
 * kind: incident
 * scope: change
 * ends: return
 * place: 240
 * function: _chpg_find_changes
 * needs: executions
 * threshold: days = 5 days; Past days on each of which the job ran at that hour.
 * threshold: warn_days = 7 days; Past days from which it is WARN.
 * threshold: hours = 2 hours; Hours in which it did not run after its own one.
 */
/*
 * A job that runs in few hours of a day and on each day, or each weekday, has missed its run
 * when it did not run in the two hours before its own one, nor in two hours after that: clocks
 * change by an hour, and jobs drift by minutes.
 */
CREATE FUNCTION @extschema@._chpg_find_missed_runs(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], fresh @extschema@._chpg_fresh_pattern[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	end_time CONSTANT timestamptz := (SELECT max(j.end_time) FROM unnest(judged) j);
	service_keys integer[];
	pattern_keys integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	-- few hours of a day, on most days of the last ten
	SELECT array_agg(j.service_key), array_agg(j.pattern_key) INTO service_keys, pattern_keys
	FROM (
		SELECT d.service_key, d.pattern_key
		FROM day_sum d
		WHERE d.service_key = ANY (ARRAY(SELECT i.service_key FROM unnest(judged) i))
			AND d."time" >= end_time - interval '11 days' AND d."time" < end_time AND d.call_count > 0
		GROUP BY d.service_key, d.pattern_key
		HAVING sum(d.hours) <= 4 * count(*) AND count(*) >= least(:days, 5)
	) j;
	IF service_keys IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH hours AS MATERIALIZED (
		SELECT s.service_key, s.pattern_key, s.window_start, s.call_count, s.expected_calls, j.service_id, j.end_time
		FROM @extschema@._chpg_pair_calls(service_keys, pattern_keys, end_time - interval '26 hours', end_time) s
		JOIN unnest(judged) j ON j.service_key = s.service_key
		WHERE s.window_start < j.end_time
	), missed AS (
		SELECT DISTINCT ON (h.service_key, h.pattern_key) h.*
		FROM hours h
		WHERE h.call_count = 0 AND h.expected_calls >= 0.5
			AND h.window_start <= h.end_time - (1 + :hours) * interval '1 hour'
			AND NOT EXISTS (SELECT FROM hours o
				WHERE o.service_key = h.service_key AND o.pattern_key = h.pattern_key AND o.call_count > 0
					AND o.window_start >= h.window_start - interval '2 hours')
			AND NOT EXISTS (SELECT FROM unnest(fresh) f
				WHERE f.service_key = h.service_key AND (f.predecessor).pattern_key = h.pattern_key)
			-- hours that were not captured may have had it
			AND (SELECT count(*) FROM capture c
				WHERE c.service_id = h.service_id AND c.grain = 'hour' AND c.status = 'ok' AND NOT c.truncated
					AND c.window_start >= h.window_start - interval '2 hours' AND c.window_start < h.end_time)
				= extract(epoch FROM h.end_time - h.window_start) / 3600 + 2
		ORDER BY h.service_key, h.pattern_key, h.window_start
	), past AS (
		SELECT m.*, p.days, p.days_present, p.same_day
		FROM missed m
		CROSS JOIN LATERAL (
			-- within an hour before or after, on days of the same kind
			SELECT count(*) AS days, count(*) FILTER (WHERE d.is_present) AS days_present,
				bool_and(d.is_present) FILTER (WHERE d.day IN (7, 14)) AS same_day
			FROM (
				SELECT s.day, EXISTS (SELECT FROM @extschema@._chpg_window_hour() w
						WHERE w.service_key = m.service_key AND w.pattern_key = m.pattern_key AND w.call_count > 0
							AND w.window_start >= s.start - interval '1 hour'
							AND w.window_start <= s.start + interval '1 hour') AS is_present
				FROM @extschema@._chpg_past_starts(m.window_start + interval '1 hour', 1) s
				WHERE (SELECT count(*) FROM capture c
						WHERE c.service_id = m.service_id AND c.grain = 'hour' AND c.status = 'ok' AND NOT c.truncated
							AND c.window_start >= s.start - interval '1 hour'
							AND c.window_start <= s.start + interval '1 hour') = 3
				ORDER BY s.day LIMIT 14
			) d
		) p
	), found AS MATERIALIZED (
		SELECT p.* FROM past p
		WHERE p.days >= :days AND p.days_present = p.days AND coalesce(p.same_day, true)
	)
	SELECT 'CHPG506', CASE WHEN f.days >= :warn_days THEN 'WARN' ELSE 'INFO' END, 'A job did not run',
		f.service_id,
		format('no execution since %s h, when it was due; it ran at that hour on each of %s days',
			@extschema@._chpg_hours_between(f.window_start, f.end_time), f.days),
		@extschema@._chpg_pattern_evidence(n) || jsonb_build_object('change', 'missed run',
			'expected_calls', round(f.expected_calls::numeric, 1), 'days', f.days),
		'The scheduler, its connection or its application failed, or the job was moved or ended.',
		'Look for its errors, and ask who runs it.', NULL::float8,
		CASE WHEN f.days >= :warn_days THEN 'high' ELSE 'medium' END,
		@extschema@._chpg_pattern_finding_key('CHPG506'::text, f.service_id, n), 'incident', f.window_start,
		f.expected_calls, 0::float8, 'calls',
		NULL::text
	FROM found f
	JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT i.pattern_key FROM found i)) n ON n.pattern_key = f.pattern_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_missed_runs(@extschema@._chpg_thresholds,
	@extschema@._chpg_judged_service[], @extschema@._chpg_fresh_pattern[]) IS
'Findings of jobs that did not run at their hour, until they run again, for a day at most.
Requests: none.
Errors: 55000 there is no history.';
