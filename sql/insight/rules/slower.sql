/*
 * rule: CHPG501 slower
 * title: Slower than before
 * kind: incident
 * scope: change
 * ends: level
 * place: 210
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: score = 5 standard deviations; How far above the same hours of past days all hours since the onset
 *   are together ...
 * threshold: counter_score = 3.5 standard deviations; ... or this, if its rows or blocks are, too ...
 * threshold: least_counter_score = 6 standard deviations; ... by this.
 * threshold: warn_score = 5.2 standard deviations; The first of these from which it is WARN ...
 * threshold: few_hours_score = 3 hours; ... and by what share of itself that is more for each hour of the baseline:
 *   spreads of few hours are uncertain.
 * threshold: one_hour_score = 1.25 factor; How many times that score a single hour needs, which is often chance.
 * threshold: hour_score = 2.4 standard deviations; How far above them an hour is, as a mean ...
 * threshold: long_score = 6.5 standard deviations; ... or this, and all hours together this ...
 * threshold: long_hour_score = 1.2 standard deviations; ... for a long time.
 * threshold: factor = 1.2 factor; How many times the expected mean ...
 * threshold: few_hours_factor = 2 factor; ... where the baseline has few hours.
 * threshold: few_hours = 6 hours; Hours of the baseline below which they are few.
 * threshold: excess_us = 4000000 us; Time lost in four hours since the onset ...
 * threshold: excess_ratio = 0.003 ratio; ... its share of the service's time ...
 * threshold: excess_executions = 2 factor; ... and how many times the longest single execution.
 * threshold: p99_score = 7 standard deviations; The same of the 99th percentile ...
 * threshold: p99_warn_score = 7.3 standard deviations; ... which from here on is WARN ...
 * threshold: p99_factor = 1.4 factor; ... how many times the expected one ...
 * threshold: p99_gain_us = 2000 us; ... and how much above it ...
 * threshold: p99_excess_us = 500000 us; ... time lost by one of a hundred executions in four hours ...
 * threshold: p99_calls = 1000 executions; ... with so many executions since the onset.
 * threshold: error_excess_ratio = 0.3 ratio; Time lost, of the service's time, from which it is ERROR ...
 * threshold: error_score = 7 standard deviations; ... if all hours since the onset are together so far above.
 * threshold: cold_factor = 3 factor; Below so many times the expected time, what a colder cache explains is INFO
 *   for CHPG502's cold_hours, and two more once it is warm; above, WARN.
 */
/* A pattern whose mean rose has no second finding for its 99th percentile. */
CREATE FUNCTION @extschema@._chpg_find_slower(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], episodes @extschema@._chpg_episode[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH episode AS MATERIALIZED (
		SELECT e.*, j.service_id, j.end_time, e.total_us / nullif(e.expected_us, 0) AS factor,
			e.total_us - e.expected_us AS excess_us,
			e.p99_us / nullif(e.expected_p99_us, 0) AS p99_factor, e.p99_us - e.expected_p99_us AS p99_gain_us,
			e.baseline_hours < :few_hours AS is_blind
		FROM unnest(episodes) e
		JOIN unnest(judged) j ON j.service_key = e.service_key
		WHERE e.metric IN ('mean', 'p99')
	), counter AS (
		SELECT e.service_key, e.pattern_key, max(e.score) AS score
		FROM unnest(episodes) e
		WHERE (e.metric = 'blks' AND e.blks_factor >= 1.15 OR e.metric = 'rows' AND e.rows_factor >= 1.15)
			AND e.last_score >= 2
		GROUP BY e.service_key, e.pattern_key
	), likely AS MATERIALIZED (
		SELECT e.*, c.score >= :least_counter_score AND e.metric = 'mean' AS is_explained,
			CASE e.metric WHEN 'p99' THEN :p99_warn_score * (1 + 2 * :few_hours_score / e.baseline_hours)
				ELSE :warn_score * (1 + :few_hours_score / e.baseline_hours)
					* CASE WHEN e.hours < 2 THEN :one_hour_score ELSE 1 END END AS least_score
		FROM episode e
		LEFT JOIN counter c ON c.service_key = e.service_key AND c.pattern_key = e.pattern_key
		WHERE e.score >= CASE WHEN e.metric = 'p99' THEN :p99_score
				WHEN c.score >= :least_counter_score THEN :counter_score ELSE :score END
			AND e.last_score >= 1.5 AND (e.score >= :hour_score * sqrt(e.hours)
				* CASE WHEN e.metric = 'mean' AND c.score >= :least_counter_score
					THEN :counter_score / :score ELSE 1 END
				-- what began before the hours that are read, creeps
				OR e.metric = 'mean' AND e.hours >= 6 AND e.since >= e.end_time - interval '40 hours'
					AND e.score >= greatest(:long_score, :long_hour_score * sqrt(e.hours)))
			AND (e.hours >= 2 OR e.calls >= 50)
			AND CASE e.metric WHEN 'mean' THEN
				e.factor >= CASE WHEN e.is_blind THEN :few_hours_factor ELSE :factor END
					AND e.excess_us >= :excess_us * least(e.hours, 4) / 4
					AND (e.excess_us >= :excess_executions * e.max_us OR (e.service_key, e.pattern_key) IN (
						SELECT b.service_key, b.pattern_key
						FROM @extschema@._chpg_batches(ARRAY(SELECT j.service_key FROM unnest(judged) j),
							(SELECT max(j.end_time) FROM unnest(judged) j)) b))
				ELSE e.p99_factor >= CASE WHEN e.is_blind THEN greatest(:few_hours_factor, :p99_factor)
						ELSE :p99_factor END
					AND e.p99_gain_us >= :p99_gain_us
					AND e.p99_gain_us * e.calls / 100 >= :p99_excess_us * least(e.hours, 4) / 4
						AND e.calls >= :p99_calls AND e.hours >= 2 END
	), material AS MATERIALIZED (
		SELECT DISTINCT ON (l.service_key, l.pattern_key) l.*, greatest(l.excess_us, 0) / nullif(s.us, 0) AS lost_ratio
		FROM likely l
		CROSS JOIN LATERAL @extschema@._chpg_service_time(l.service_id, l.since, l.end_time) s(us)
		WHERE l.metric = 'p99' OR l.excess_us >= :excess_ratio * s.us
		ORDER BY l.service_key, l.pattern_key,
			l.score >= l.least_score OR l.is_explained IS TRUE DESC,
			l.metric
	), ranked AS MATERIALIZED (
		SELECT m.*, row_number() OVER (PARTITION BY m.service_key ORDER BY m.excess_us DESC, m.pattern_key) AS place
		FROM material m
	), explained AS (
		SELECT g.service_key, c.pattern_key, c.cause, c.is_warm
		FROM (
			SELECT r.service_key, r.service_id, r.end_time, array_agg(r.pattern_key ORDER BY r.place) AS keys,
				array_agg(r.since ORDER BY r.place) AS sinces
			FROM ranked r
			WHERE r.place <= 20
			GROUP BY r.service_key, r.service_id, r.end_time
		) g
		CROSS JOIN LATERAL @extschema@._chpg_episode_causes(g.service_id, g.keys, g.sinces, g.end_time) c
	), found AS (
		SELECT r.*, n.name, n.query_text, x.cause,
			CASE WHEN r.is_blind THEN 'low' WHEN r.score < 7 OR r.baseline_hours < 9 THEN 'medium'
				ELSE 'high' END AS confidence,
			CASE WHEN r.is_blind AND r.hours < 2
					OR r.score < r.least_score AND r.is_explained IS NOT TRUE
					OR c.is_cold AND :cold_factor > CASE r.metric WHEN 'p99' THEN r.p99_factor
						ELSE greatest(r.factor, r.last_avg_us / r.last_expected_us) END THEN 'INFO'
				WHEN r.metric = 'mean' AND r.hours >= 2 AND r.lost_ratio >= :error_excess_ratio
					AND r.score >= :error_score AND NOT c.is_cold THEN 'ERROR'
				ELSE 'WARN' END AS level
		FROM ranked r
		JOIN (SELECT p AS name, p.* FROM @extschema@._chpg_pattern_names(
			ARRAY(SELECT i.pattern_key FROM ranked i)) p) n ON n.pattern_key = r.pattern_key
		LEFT JOIN explained x ON x.service_key = r.service_key AND x.pattern_key = r.pattern_key
		-- a restart makes the cache cold; with few queries that is no matter of the whole service;
		-- two hours make the last score, so that the second one after it may seem slow
		CROSS JOIN LATERAL (
			SELECT coalesce(x.cause = 'colder cache' AND r.since >= r.end_time - interval '1 hour'
				* (:slower_service_cold_hours + CASE WHEN x.is_warm THEN 2 ELSE 0 END), false) AS is_cold) c
	)
	SELECT 'CHPG501', f.level, CASE f.metric WHEN 'mean'
		THEN 'Slower than before' ELSE 'Slow executions got slower' END,
		f.service_id,
		CASE f.metric WHEN 'mean'
			THEN format('%s per call, %s times the usual %s of these hours, for %s h; '
					'%s lost, %s %% of the service''s time',
				@extschema@._chpg_duration_text(f.last_avg_us),
				@extschema@._chpg_factor_text(f.last_avg_us / f.last_expected_us),
				@extschema@._chpg_duration_text(f.last_expected_us),
				@extschema@._chpg_hours_between(f.since, f.end_time),
				@extschema@._chpg_duration_text(f.excess_us), round((100 * coalesce(f.lost_ratio, 0))::numeric, 1))
			ELSE format('one call of a hundred takes %s or longer, %s times the usual %s of these hours, for %s h',
				@extschema@._chpg_duration_text(f.p99_us), @extschema@._chpg_factor_text(f.p99_factor),
				@extschema@._chpg_duration_text(f.expected_p99_us),
				@extschema@._chpg_hours_between(f.since, f.end_time)) END,
		@extschema@._chpg_pattern_evidence(f.name) || jsonb_build_object('change', 'slower', 'metric', f.metric,
			'hours', f.hours, 'call_count', f.calls, 'factor', round(f.factor::numeric, 2),
			'avg_duration_us', round(f.last_avg_us::numeric, 1),
			'expected_avg_duration_us', round(f.last_expected_us::numeric, 1),
			'latest', round(f.latest::numeric, 1),
			'p99_duration_us', round(f.p99_us::numeric, 1), 'expected_p99_duration_us',
				round(f.expected_p99_us::numeric, 1),
			'rows_factor', round(f.rows_factor::numeric, 2), 'blks_factor', round(f.blks_factor::numeric, 2),
			'wal_factor', round(f.wal_factor::numeric, 2), 'cause', f.cause, 'excess_us', round(f.excess_us::numeric),
			'lost_ratio', round(f.lost_ratio::numeric, 4), 'score', round(f.score::numeric, 1),
			'baseline_hours', f.baseline_hours),
		@extschema@._chpg_cause_text(f.cause),
		'Compare EXPLAIN (ANALYZE, BUFFERS) with what it was; look for a deployment at that time.',
		greatest(f.excess_us, f.p99_gain_us * f.calls / 100, 0), f.confidence,
		@extschema@._chpg_pattern_finding_key('CHPG501'::text, f.service_id, f.name), 'incident', f.since,
		CASE f.metric WHEN 'mean' THEN f.last_expected_us ELSE f.expected_p99_us END,
		CASE f.metric WHEN 'mean' THEN f.last_avg_us ELSE f.p99_us END, 'us',
		NULL::text
	FROM found f;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_slower(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_episode[]) IS
'Findings of patterns that are slower than in the same hours of past days.
Requests: none.
Errors: 55000 there is no history.';
