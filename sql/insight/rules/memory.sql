/*
 * rule: CHPG702 memory
 * title: Memory runs out
 * kind: risk
 * scope: metrics
 * threshold: used_percent = 95 percent; Memory in use from which it is WARN.
 * threshold: error_used_percent = 98 percent; Memory in use from which it is ERROR.
 * threshold: hours = 2 hours; For so many hours it must have been in use.
 * threshold: usual_hours = 120 hours; After so many hours it is what is usual, and INFO.
 * threshold: above_usual_percent = 3 percent; Percent more than usual, below which it is INFO: some
 *     services always use most of their memory.
 */

CREATE FUNCTION @extschema@._chpg_find_memory(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
BEGIN
	IF @extschema@._chpg_metrics_are_readable() THEN
		RETURN QUERY
		WITH line AS MATERIALIZED (
			SELECT l.*, @extschema@._chpg_recent(l.ages, l.means, 2) AS present,
				@extschema@._chpg_run_hours(l.ages, l.means, t.memory_used_percent) AS run
			FROM @extschema@._chpg_metric_lines(@extschema@._chpg_above(scope.service_ids, until, 'memory_usage'::text,
					'^$|used'::text, NULL::text, t.memory_used_percent), until - interval '28 days', until,
				'memory_usage'::text, '^$|used'::text, NULL::text) l
		), judged AS (
			SELECT l.*, u.days, u.median, @extschema@._chpg_run_since(l.latest, l.ages, l.run) AS since,
				l.run >= t.memory_usual_hours
					OR (u.days >= 3 AND l.present < u.highest + t.memory_above_usual_percent) AS is_usual
			FROM line l
			CROSS JOIN LATERAL @extschema@._chpg_usual(l.ages, l.means, l.run) u
			WHERE l.run >= t.memory_hours
		)
		SELECT 'CHPG702',
			CASE WHEN j.is_usual THEN 'INFO' WHEN j.present >= t.memory_error_used_percent THEN 'ERROR' ELSE 'WARN' END,
			CASE WHEN j.is_usual THEN 'Most of the memory is always in use' ELSE 'Memory runs out' END, j.service_id,
			format('%s %% of the memory is in use', @extschema@._chpg_rounded(j.present, 1))
				|| CASE WHEN j.median IS NULL THEN '' ELSE format(', usually %s %%', @extschema@._chpg_rounded(j.median, 1)) END,
			jsonb_build_object('memory_used_percent', j.present, 'usual_percent', j.median, 'hours', j.run,
				'days_of_past', j.days),
			'Too many connections, or a large work_mem; once it is used up, the kernel kills the server, and every '
				'session ends.',
			'Look for executions with large sorts or hashes, and at connections; lower work_mem, or choose a larger size.',
			NULL::float8, CASE WHEN j.days >= 3 THEN 'high' ELSE 'low' END, 'CHPG702:' || j.service_id,
			CASE WHEN j.is_usual THEN 'hygiene' ELSE 'risk' END, j.since, j.median, j.present, 'percent',
			@extschema@._chpg_metric_query(j.service_id, 'memory_usage'::text, j.since, until)
		FROM judged j;
	END IF;
	IF NOT live THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_without_metric('{CHPG702}'::text[], scope, 'memory_usage'::text);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_memory(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about memory that is nearly used up, and usually is not, by the metrics of the history.
live: a service without these metrics is not reported.
Requests: none.';
