/*
 * rule: CHPG702 memory
 * title: Memory runs out
 * kind: risk
 * scope: metrics
 * place: 170
 * threshold: used_percent = 95 percent; Memory in use from which it is WARN.
 * threshold: error_used_percent = 98 percent; Memory in use from which it is ERROR.
 * threshold: unusual_percent = 90 percent; Memory in use from which it is WARN if it is far above what is usual.
 * threshold: above_highest_percent = 10 percent; So much more than it ever was at these hours is far above.
 * threshold: hours = 2 hours; For so many hours it must have been in use.
 * threshold: full_days = 1 days; Days until all is in use, below which it is WARN.
 * threshold: above_usual_percent = 3 percent; Percent more than usual, below which it is INFO: some services
 *     always use most of their memory.
 */
/* Memory that is used up soon is looked for only where more is in use than a day ago. */
CREATE FUNCTION @extschema@._chpg_find_memory(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
	growing text[];
BEGIN
	RETURN QUERY
	SELECT 'CHPG702',
		CASE WHEN j.is_usual THEN 'INFO' WHEN j.present >= :error_used_percent THEN 'ERROR' ELSE 'WARN' END,
		CASE WHEN j.is_usual THEN 'Most of the memory is always in use' ELSE 'Memory runs out' END, j.service_id,
		format('%s %% of the memory is in use', @extschema@._chpg_rounded(j.present, 1))
			|| CASE WHEN j.usual IS NULL THEN '' ELSE format(', usually %s %%',
				@extschema@._chpg_rounded(j.usual, 1)) END,
		jsonb_build_object('memory_used_percent', j.present, 'usual_percent', j.usual, 'hours', j.run_hours,
			'days_of_past', j.days),
		'Too many connections, or a large work_mem. Once memory is used up, the kernel kills the server, and every '
			'session ends.',
		'Look for executions with large sorts or hashes, and at connections; lower work_mem, or choose a larger size.',
		NULL::float8, CASE WHEN j.days >= 3 THEN 'high' ELSE 'low' END, 'CHPG702:' || j.service_id,
		CASE WHEN j.is_usual THEN 'hygiene' ELSE 'risk' END, j.since, j.usual, j.present, 'percent',
		@extschema@._chpg_metric_query(j.service_id, 'memory_usage'::text, j.since, until)
	FROM (
		SELECT l.*, l.days >= 3 AND l.present < l.highest + :above_usual_percent AS is_usual
		FROM @extschema@._chpg_high_lines(scope, 'memory_usage'::text, '^$|used'::text, NULL::text,
			:unusual_percent) l
		WHERE l.run_hours >= :hours AND (l.lowest >= :used_percent
			OR (l.days >= 3 AND l.present >= l.highest + :above_highest_percent))
	) j;
	IF @extschema@._chpg_metrics_are_readable() THEN
		growing := ARRAY(SELECT l.service_id
			FROM @extschema@._chpg_metric_lines(scope.service_ids, until - interval '30 hours', until,
				'memory_usage'::text,
				'^$|used'::text, NULL::text) l
			WHERE l.latest > until - interval '6 hours' AND l.means[1] < :used_percent
				AND l.means[1] >= 4 + (SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY m.value)
					FROM unnest(l.means[5:]) m(value)));
		RETURN QUERY
		SELECT 'CHPG702', 'WARN', 'Memory runs out', l.service_id,
			format('%s %% of the memory is in use', @extschema@._chpg_rounded(l.means[1], 1))
				|| @extschema@._chpg_forecast_text(f, format('%s %%', @extschema@._chpg_rounded(f.per_day, 1))),
			jsonb_build_object('memory_used_percent', l.means[1], 'growth_percent_per_day', f.per_day,
				'full_at', f.full_at,
				'full_from', f.full_from, 'full_until', f.full_until),
			'More and more connections or prepared statements, or a leak. Once memory is used up, the kernel kills the '
				'server, and every session ends.',
			'Look for what grows: connections, their age, and executions with large sorts or hashes.',
			NULL::float8, f.confidence, 'CHPG702:' || l.service_id, 'risk', f.since, f."before", l.means[1], 'percent',
			@extschema@._chpg_metric_query(l.service_id, 'memory_usage'::text, f.since, until)
		FROM @extschema@._chpg_metric_lines(growing, until - interval '28 days', until, 'memory_usage'::text,
			'^$|used'::text, NULL::text) l
		CROSS JOIN LATERAL @extschema@._chpg_forecast(l.latest, l.ages, l.means, 100::float8) f
		WHERE f.full_at < until + :full_days * interval '1 day';
	END IF;
	IF NOT live THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_without_metric('{CHPG702}'::text[], scope, 'memory_usage'::text);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_memory(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about memory that is nearly used up, or will be, by the metrics of the history.
live: a service without these metrics is not reported.
Requests: none.';
