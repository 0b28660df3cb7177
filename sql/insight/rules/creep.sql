/*
 * rule: CHPG509 creep
 * title: Slower by a little each day
 * kind: incident
 * scope: change
 * onset: alone
 * place: 230
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: factor = 1.4 factor; How many times the mean of the first days the mean of the last days is ...
 * threshold: days = 10 days; ... of so many days at least.
 * threshold: score = 5 standard deviations; Standard deviations of a day's mean that this is.
 * threshold: rising_ratio = 0.8 ratio; Share of the later days that are above their days a week before.
 * threshold: step_ratio = 0.6 ratio; Share of the whole rise that a single step has, up to which it creeps.
 * threshold: time_ratio = 0.01 ratio; Share of the service's time that the pattern has in the last days.
 */
/* Rule CHPG509: patterns that get slower by a little each day. */

/*
 * Days, for what grows by two percent a day is invisible in hours, and their baseline grows
 * with it.  The slope is the median of all slopes between two days at least four days apart
 * (Theil and Sen); a step makes no creep.  The service's own factor of a day is left in: a
 * service in which all creeps has each of them.
 */
CREATE FUNCTION @extschema@._chpg_find_creep(t @extschema@._chpg_thresholds, judged @extschema@._chpg_judged_service[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	-- whole days only
	today CONSTANT timestamptz := (SELECT date_trunc('day', max(j.end_time), 'UTC') FROM unnest(judged) j);
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH rough AS MATERIALIZED (
		SELECT d.service_key, d.pattern_key,
			sum(d.total_duration_us) FILTER (WHERE d."time" >= today - interval '3 days') AS last_us,
			sum(sum(d.total_duration_us) FILTER (WHERE d."time" >= today - interval '3 days'))
				OVER (PARTITION BY d.service_key) AS service_us,
			sum(d.total_duration_us) FILTER (WHERE d."time" >= today - interval '3 days')
				/ nullif(sum(d.call_count) FILTER (WHERE d."time" >= today - interval '3 days'), 0)::float8 AS last_avg,
			(sum(d.total_duration_us) FILTER (WHERE d."time" < today - interval '7 days'))
				/ nullif(sum(d.call_count) FILTER (WHERE d."time" < today - interval '7 days'), 0)::float8 AS first_avg
		FROM day_sum d
		JOIN unnest(judged) j ON j.service_key = d.service_key
		WHERE d.service_key = ANY (ARRAY(SELECT i.service_key FROM unnest(judged) i))
			AND d."time" >= today - interval '28 days' AND d."time" < today AND d.call_count > 0
				AND d.total_duration_us > 0
		GROUP BY d.service_key, d.pattern_key
	), suspect AS MATERIALIZED (
		SELECT r.*, r.last_us / nullif(r.service_us, 0) AS time_ratio
		FROM rough r
		WHERE r.last_avg >= 1.2 * r.first_avg AND r.last_us >= :time_ratio * r.service_us
	), day AS MATERIALIZED (
		SELECT s.service_key, s.pattern_key, s.time_ratio,
			round(extract(epoch FROM d."time" - today) / 86400)::integer AS at,
			ln(least(greatest(d.total_duration_us / d.call_count, 0.1), 1e18)) AS x, d.call_count::float8 AS calls,
			d.total_duration_us AS us
		FROM suspect s
		JOIN day_sum d ON d.service_key = s.service_key AND d.pattern_key = s.pattern_key
			AND d."time" >= today - interval '28 days' AND d."time" < today
		WHERE d.call_count > 0 AND d.total_duration_us > 0
	), series AS MATERIALIZED (
		-- the days of each pattern by themselves: a join of all days with all is far longer
		SELECT d.service_key, d.pattern_key, max(d.time_ratio) AS time_ratio,
			array_agg(d.at ORDER BY d.at) AS ats, array_agg(d.x ORDER BY d.at) AS xs,
			(array_agg(d.calls ORDER BY d.at DESC))[1] AS last_calls
		FROM day d
		GROUP BY d.service_key, d.pattern_key
	), slope AS MATERIALIZED (
		SELECT s.*, p.slope
		FROM series s
		CROSS JOIN LATERAL (
			SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY (b.x - a.x) / (b.at - a.at)) AS slope
			FROM unnest(s.ats, s.xs) a(at, x)
			JOIN unnest(s.ats, s.xs) b(at, x) ON b.at >= a.at + 4) p
		WHERE p.slope IS NOT NULL
	), shape AS MATERIALIZED (
		SELECT s.*, cardinality(s.ats) AS days, s.ats[1] AS first, s.ats[cardinality(s.ats)] AS last,
			(SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY d.x - s.slope * d.at)
				FROM unnest(s.ats, s.xs) d(at, x)) AS level
		FROM slope s
	), residual AS (
		SELECT h.*, r.spread, r.rising, r.step
		FROM shape h
		CROSS JOIN LATERAL (
			SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(d.x - h.slope * d.at - h.level)) * 1.48 AS spread,
				(SELECT avg((b.x > a.x)::integer)
					FROM unnest(h.ats, h.xs) a(at, x)
					JOIN unnest(h.ats, h.xs) b(at, x) ON b.at = a.at + 7) AS rising,
				-- the greatest difference of the three days before and after any day
				(SELECT max(w.step) FROM (
					SELECT avg(e.x) OVER (ORDER BY e.at ROWS BETWEEN 0 FOLLOWING AND 2 FOLLOWING)
							- avg(e.x) OVER (ORDER BY e.at ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS step,
						row_number() OVER (ORDER BY e.at) AS place
					FROM unnest(h.ats, h.xs) e(at, x)) w
					WHERE w.place BETWEEN 4 AND h.days - 2) AS step
			FROM unnest(h.ats, h.xs) d(at, x)) r
	), found AS MATERIALIZED (
		SELECT r.*, r.slope * (r.last - r.first) AS rise, j.service_id, j.end_time
		FROM residual r
		JOIN unnest(judged) j ON j.service_key = r.service_key
		WHERE r.days >= :days AND r.last - r.first >= :days AND r.last >= -2
			AND r.slope * (r.last - r.first) >= ln(:factor)
			AND r.slope * (r.last - r.first) >= :score * greatest(r.spread, 0.05) * 0.6
			AND r.rising >= :rising_ratio
			AND coalesce(r.step, 0) <= :step_ratio * r.slope * (r.last - r.first)
	)
	SELECT 'CHPG509', 'WARN', 'Slower by a little each day', f.service_id,
		format('%s per call, after %s %s days ago: %s %% more each day, double in %s days',
			@extschema@._chpg_duration_text(exp(f.level + f.slope * f.last)),
			@extschema@._chpg_duration_text(exp(f.level + f.slope * f.first)), f.last - f.first,
			round((100 * (exp(f.slope) - 1))::numeric, 1), round((ln(2) / f.slope)::numeric)),
		@extschema@._chpg_pattern_evidence(n) || jsonb_build_object('change', 'creep', 'days', f.days,
			'factor', round(exp(least(f.rise, 50))::numeric, 2),
			'percent_per_day', round((100 * (exp(least(f.slope, 5)) - 1))::numeric, 2),
			'time_ratio', round(f.time_ratio::numeric, 4)),
		'Data that grows, bloat, or statistics that are out of date.',
		'Look at the size and the dead rows of its tables, at VACUUM and ANALYZE, and at EXPLAIN (ANALYZE, BUFFERS).',
		f.last_calls * exp(f.level + f.slope * f.last) * (1 - exp(-least(f.rise, 50))),
		CASE WHEN f.days >= 14 THEN 'high' ELSE 'medium' END,
		@extschema@._chpg_pattern_finding_key('CHPG509'::text, f.service_id, n), 'incident',
		today + f.first * interval '24 hours', exp(f.level + f.slope * f.first), exp(f.level + f.slope * f.last), 'us',
		NULL::text
	FROM found f
	JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT i.pattern_key FROM found i)) n ON n.pattern_key = f.pattern_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_creep(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[]) IS
'Findings of patterns that got slower from day to day, over ten days to four weeks.
Requests: none.
Errors: 55000 there is no history.';
