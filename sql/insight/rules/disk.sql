/*
 * rule: CHPG705 disk
 * title: The disks are saturated
 * kind: incident
 * scope: metrics
 * place: 270
 * threshold: iowait_percent = 15 percent; Time that cores wait for the disks from which it is WARN.
 * threshold: hours = 2 hours; For so many hours they must have waited.
 * threshold: usual_factor = 2 factor; Of what it was at most at these hours.
 * threshold: above_usual_percent = 10 percent; And so much more.
 */
/*
 * The limits of the disks are unknown, so that the number of operations says nothing by
 * itself: it is shown beside the time for which cores wait.
 */
CREATE FUNCTION @extschema@._chpg_find_disk(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
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
		SELECT l.*
		FROM @extschema@._chpg_high_lines(scope, 'cpu_usage'::text, '^iowait'::text, NULL::text, :iowait_percent) l
		WHERE l.run_hours >= :hours AND (l.highest IS NULL OR l.present
			>= greatest(:usual_factor * l.highest, l.highest + :above_usual_percent))
	), operations AS (
		SELECT o.service_id, @extschema@._chpg_recent(o.ages, o.means, 2) AS present, u.median AS usual
		FROM @extschema@._chpg_metric_lines(ARRAY(SELECT n.service_id FROM line n), until - interval '28 days', until,
			'disk_io'::text, ''::text, NULL::text) o
		JOIN line n ON n.service_id = o.service_id
		CROSS JOIN LATERAL @extschema@._chpg_usual(o.ages, o.means, n.run_hours) u
	)
	SELECT 'CHPG705', 'WARN', 'The disks are saturated', l.service_id,
		format('cores wait for the disks for %s %% of their time', @extschema@._chpg_rounded(l.present, 1))
			|| @extschema@._chpg_usual_text(l.usual, ' %'::text)
			|| CASE WHEN o.present IS NULL THEN '' ELSE format('; %s operations a second, usually %s',
				@extschema@._chpg_count_text(o.present),
					coalesce(@extschema@._chpg_count_text(o.usual), 'unknown')) END,
		jsonb_build_object('iowait_percent', l.present, 'usual_percent', l.usual, 'hours', l.run_hours,
			'operations_per_s', o.present, 'usual_operations_per_s', o.usual, 'days_of_past', l.days),
		CASE WHEN o.present >= 1.5 * o.usual
			THEN 'Something reads or writes far more than usual: a scan of a large table, a load of data, a checkpoint.'
			ELSE 'The disks answer more slowly than usual, though not much more is asked of them.' END,
		'Look for the patterns with the most blocks read since then; if there are none, ask the vendor''s support.',
		NULL::float8, CASE WHEN l.days >= 3 THEN 'high' ELSE 'low' END, 'CHPG705:' || l.service_id, 'incident', l.since,
		l.usual, l.present, 'percent', @extschema@._chpg_metric_query(l.service_id, 'disk_io'::text, l.since, until)
	FROM line l
	LEFT JOIN operations o USING (service_id);
	IF NOT live THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_without_metric('{CHPG705}'::text[], scope, 'cpu_usage'::text);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_disk(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about disks that cores wait for, and usually do not, by the metrics of the history.
live: a service without these metrics is not reported.
Requests: none.';
