/*
 * rule: CHPG704 cpu
 * title: The CPU is saturated
 * kind: incident
 * scope: metrics
 * place: 260
 * threshold: used_percent = 90 percent; Time of all cores from which it is WARN, without waiting for I/O.
 * threshold: error_used_percent = 98 percent; Time of all cores from which it is ERROR.
 * threshold: hours = 2 hours; For so many hours it must have been in use.
 * threshold: above_usual_percent = 5 percent; So much more than it ever was at these hours.
 */
/*
 * What was as high at the same hours of the past four weeks is a job that runs each night or
 * week.  The highest of less than two weeks is often exceeded, and no measure for an ERROR.
 * Where percent are those of a single core, as in a sum above 100, they are divided by the
 * number of cores.
 */
CREATE FUNCTION @extschema@._chpg_find_cpu(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
BEGIN
	RETURN QUERY
	WITH line AS MATERIALIZED (
		SELECT l.* FROM @extschema@._chpg_high_lines(scope, 'cpu_usage'::text, ''::text,
			'^(idle|iowait|steal|guest)'::text,
			:used_percent) l
	), judged AS (
		SELECT l.service_id, l.run_hours, l.since, l.days, i.cpu_cores, l.present / d.per_core AS present,
			l.usual / d.per_core AS usual, l.highest / d.per_core AS highest
		FROM line l
		LEFT JOIN @extschema@._chpg_limits(ARRAY(SELECT n.service_id FROM line n), until) i
			ON i.service_id = l.service_id
		CROSS JOIN LATERAL (
			SELECT CASE WHEN greatest(l.present, l.highest) > 105 THEN i.cpu_cores ELSE 1 END AS per_core) d
	)
	SELECT 'CHPG704', CASE WHEN j.present >= :error_used_percent AND j.days >= 14 THEN 'ERROR' ELSE 'WARN' END,
		'The CPU is saturated', j.service_id,
		format('%s %% of the CPU is in use', @extschema@._chpg_rounded(j.present, 1))
			|| CASE WHEN j.cpu_cores IS NULL THEN '' ELSE format(' (%s cores)', j.cpu_cores) END
			|| @extschema@._chpg_usual_text(j.usual, ' %'::text),
		jsonb_build_object('cpu_used_percent', j.present, 'usual_percent', j.usual, 'highest_percent', j.highest,
			'cpu_cores', j.cpu_cores, 'hours', j.run_hours, 'days_of_past', j.days),
		'More executions than usual, another plan, or a job at an unusual hour. Executions wait for a core, and all of '
			'them are slower.',
		'Look for the patterns with the most CPU time since then; a larger size has more cores.',
		NULL::float8, CASE WHEN j.days >= 5 THEN 'high' WHEN j.days >= 3 THEN 'medium' ELSE 'low' END,
		'CHPG704:' || j.service_id, 'incident', j.since, j.usual, j.present, 'percent',
		@extschema@._chpg_metric_query(j.service_id, 'cpu_usage'::text, j.since, until)
	FROM judged j
	WHERE j.run_hours >= :hours AND j.present >= :used_percent
		AND (j.days < 3 OR j.highest IS NULL OR j.present >= j.highest + :above_usual_percent);
	RETURN QUERY
	SELECT 'CHPG710', 'WARN', 'Other machines take the CPU''s time', l.service_id,
		format('%s %% of the CPU''s time is stolen', @extschema@._chpg_rounded(l.present, 1))
			|| @extschema@._chpg_usual_text(l.usual, ' %'::text),
		jsonb_build_object('steal_percent', l.present, 'usual_percent', l.usual, 'hours', l.run_hours,
			'days_of_past', l.days),
		'The hypervisor lets other machines run on these cores. All executions are slower, whatever they do.',
		'If it stays, ask the vendor''s support, or change the size: the service moves to another machine.',
		NULL::float8, CASE WHEN l.days >= 3 THEN 'high' ELSE 'medium' END, 'CHPG710:' || l.service_id, 'incident',
		l.since, l.usual, l.present, 'percent',
		@extschema@._chpg_metric_query(l.service_id, 'cpu_usage'::text, l.since, until)
	FROM @extschema@._chpg_high_lines(scope, 'cpu_usage'::text, '^steal'::text, NULL::text, :cpu_steal_percent) l
	WHERE l.run_hours >= :cpu_steal_hours
		AND (l.highest IS NULL OR l.present >= :cpu_steal_usual_factor * l.highest);
	IF NOT live THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_without_metric('{CHPG704,CHPG710}'::text[], scope,
			'cpu_usage'::text);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_cpu(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about a CPU that is saturated, and usually is not, by the metrics of the history.
live: a service without these metrics is not reported.
Requests: none.';
