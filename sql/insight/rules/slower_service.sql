/*
 * rule: CHPG502 slower_service
 * title: The whole service is slower
 * kind: incident
 * scope: change
 * place: 250
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: factor = 1.25 factor; How many times slower than expected most patterns are, as a mean since the
 *   onset.
 * threshold: score = 5 standard deviations; How far above its usual time the median pattern of three hours is ...
 * threshold: hours = 2 hours; ... and hours for which they are slower ...
 * threshold: low_hours = 3 hours; ... below the next factor.
 * threshold: high_factor = 1.4 factor; How many times slower they are that need not be so for long.
 * threshold: error_factor = 1.5 factor; How many times slower from which it is ERROR.
 * threshold: load_exponent = 0.4 factor; Power of the executions by which times grow as usual.
 * threshold: cold_hours = 4 hours; Hours for which a cache that is cold is no reason to worry.
 * threshold: cold_ratio = 0.5 ratio; Queries that read a larger share of their blocks from storage than before,
 *   of all queries, from which a cache is cold.
 */
/*
 * What makes most patterns slower at once is a matter of the service: other work on its
 * host, storage, CPU, or an empty cache.  Blocks read tell the last one from the others.
 */
CREATE FUNCTION @extschema@._chpg_find_slower_services(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], recent @extschema@._chpg_hour_score[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	service_keys integer[];
BEGIN
	SELECT array_agg(s.service_key) INTO service_keys
	FROM (
		SELECT DISTINCT ON (r.service_key) r.service_key, r.common
		FROM unnest(recent) r
		WHERE r.call_count > 0
		ORDER BY r.service_key, r.window_start DESC, r.call_count DESC, r.pattern_key
	) s
	WHERE s.common >= ln(1.12) AND EXISTS (
		-- not by chance: how far the patterns are from their means in three hours, by how much they differ
		SELECT FROM (
			SELECT count(*) AS patterns,
				percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY p.distance) AS q
			FROM (
				SELECT avg(ln(greatest(r.avg_us, 0.1) / greatest(r.expected_avg_us, 0.1))) AS distance
				FROM unnest(recent) r
				JOIN unnest(judged) j ON j.service_key = r.service_key
				WHERE r.service_key = s.service_key AND r.window_start >= j.end_time - interval '3 hours'
					AND r.call_count >= 20 AND r.expected_avg_us > 0 AND r.baseline_hours >= :slower_few_hours
				GROUP BY r.pattern_key
			) p
		) d
		WHERE d.patterns >= 5 AND d.q[2] * sqrt(d.patterns) >= :score * greatest((d.q[3] - d.q[1]) / 2, 0.1));
	IF service_keys IS NULL THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH factor AS (
		SELECT h.service_key, j.service_id, j.end_time, h.window_start, least(greatest(h.common, -2), 3) AS common
		FROM @extschema@._chpg_service_factors(service_keys,
			(SELECT min(j.end_time) FROM unnest(judged) j) - interval '48 hours',
			(SELECT max(j.end_time) FROM unnest(judged) j)) h
		JOIN unnest(judged) j ON j.service_key = h.service_key
		WHERE h.window_start >= j.end_time - interval '48 hours' AND h.window_start < j.end_time
	), summed AS (
		-- 0.05 is what the load of a day makes of it
		SELECT f.*, count(*) OVER w AS hours, sum(f.common - 0.05) OVER w / sqrt(count(*) OVER w) AS score,
			avg(f.common) OVER w AS mean, max(f.common) OVER w AS max_common,
			first_value(f.common) OVER w AS last_common
		FROM factor f
		WINDOW w AS (PARTITION BY f.service_key ORDER BY f.window_start DESC)
	), load AS (
		-- a service with more to do is slower, as it always is
		SELECT r.service_key, :load_exponent * greatest(percentile_cont(0.5) WITHIN GROUP (
			ORDER BY ln((1 + r.call_count) / (1 + r.expected_calls))), 0) AS ln_factor
		FROM unnest(recent) r
		WHERE r.expected_calls >= 5 AND r.call_count > 0
		GROUP BY r.service_key
	), onset AS MATERIALIZED (
		SELECT b.*
		FROM (SELECT DISTINCT ON (s.service_key) s.* FROM summed s
			ORDER BY s.service_key, s.score DESC, s.window_start) b
		LEFT JOIN load l ON l.service_key = b.service_key
		WHERE b.mean - coalesce(l.ln_factor, 0) >= ln(:factor) AND b.hours >= CASE WHEN b.mean >= ln(:high_factor)
				THEN :hours ELSE :low_hours END
			AND b.last_common >= 0.5 * ln(:factor)
	), measured AS (
		SELECT o.*, exp(o.mean) AS factor, n.us AS total_us, n.reads, n.blks, n.cpu_us, b.us AS us_before,
			b.reads AS reads_before, b.blks AS blks_before, b.cpu_us AS cpu_us_before,
			extract(epoch FROM o.end_time - o.window_start) / 3600 AS age
		FROM onset o
		CROSS JOIN LATERAL (
			SELECT sum(c.statement_duration_us) AS us, sum(c.total_shared_blks_read)::float8 AS reads,
				sum(c.total_shared_blks_read)::float8 + sum(c.total_shared_blks_hit)::float8 AS blks,
				sum(c.total_cpu_time_us) AS cpu_us
			FROM capture c
			WHERE c.service_id = o.service_id AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= o.window_start AND c.window_start < o.end_time) n
		CROSS JOIN LATERAL (
			-- the same hours of the week before
			SELECT sum(c.statement_duration_us) AS us, sum(c.total_shared_blks_read)::float8 AS reads,
				sum(c.total_shared_blks_read)::float8 + sum(c.total_shared_blks_hit)::float8 AS blks,
				sum(c.total_cpu_time_us) AS cpu_us
			FROM generate_series(o.window_start - interval '168 hours', o.window_start - interval '24 hours',
				interval '24 hours') d(start)
			JOIN capture c ON c.service_id = o.service_id AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= d.start AND c.window_start < d.start + least(o.end_time - o.window_start,
					interval '24 hours')) b
	), caused AS (
		SELECT m.*, CASE
			WHEN v.colder_ratio >= :cold_ratio THEN 'cold cache'
			WHEN m.cpu_us / nullif(m.total_us, 0) < 0.85 * m.cpu_us_before / nullif(m.us_before, 0) THEN 'waiting'
			WHEN m.cpu_us / nullif(m.total_us, 0) > 0.95 * m.cpu_us_before / nullif(m.us_before, 0) THEN 'computing'
			ELSE 'mixed' END AS cause
		FROM measured m
		CROSS JOIN LATERAL (
			-- a query has a voice each: a job or a backup that reads much neither is nor hides a cold cache
			SELECT avg(c.is_colder::integer) AS colder_ratio
			FROM (
				SELECT array_agg(DISTINCT r.pattern_key) AS keys
				FROM unnest(recent) r
				WHERE r.service_key = m.service_key AND r.call_count >= 20
			) p
			CROSS JOIN LATERAL @extschema@._chpg_episode_causes(m.service_id, p.keys,
				array_fill(m.window_start, ARRAY[cardinality(p.keys)]), m.end_time) c) v
	)
	SELECT 'CHPG502',
		CASE WHEN c.cause = 'cold cache' AND (c.age < :cold_hours OR c.last_common < 0.5 * c.max_common)
				-- jobs that read much hide a cold cache at night; it passes all the same
				OR c.age < :cold_hours AND c.last_common < 0.65 * c.max_common THEN 'INFO'
			WHEN c.factor >= :error_factor AND c.hours > :hours THEN 'ERROR'
			ELSE 'WARN' END,
		CASE c.cause WHEN 'cold cache' THEN 'Cold cache' ELSE 'The whole service is slower' END, c.service_id,
		format('most queries take %s times their usual time of these hours, for %s h; %s lost',
			@extschema@._chpg_factor_text(c.factor), @extschema@._chpg_hours_between(c.window_start, c.end_time),
			@extschema@._chpg_duration_text(c.total_us * (1 - 1 / c.factor))),
		jsonb_build_object('change', 'slower service', 'factor', round(c.factor::numeric, 2), 'hours', c.hours,
			'cause', c.cause, 'latest', round((100 * exp(c.last_common))::numeric, 1),
			'excess_us', round((c.total_us * (1 - 1 / c.factor))::numeric),
			'read_ratio', round((c.reads / nullif(c.blks, 0))::numeric, 4),
			'expected_read_ratio', round((c.reads_before / nullif(c.blks_before, 0))::numeric, 4),
			'cpu_ratio', round((c.cpu_us / nullif(c.total_us, 0))::numeric, 3),
			'expected_cpu_ratio', round((c.cpu_us_before / nullif(c.us_before, 0))::numeric, 3)),
		CASE c.cause WHEN 'cold cache'
			THEN 'More blocks come from storage than usual: a restart, or something that read '
				'a lot and evicted the rest. It usually passes within hours.'
			WHEN 'waiting' THEN 'Queries wait longer and compute as long as before: storage, locks, or other load of '
				'the host.'
			WHEN 'computing' THEN 'The time on CPU grew with the time: the CPU is busy, or slower.'
			ELSE 'No single counter explains it.' END,
		CASE c.cause WHEN 'cold cache' THEN 'Look for a restart, a resize, a backup or a large scan at that time.'
			ELSE 'Look at CPU, disk and connections at that time: chpg_metrics has them; then at locks.' END,
		greatest(c.total_us * (1 - 1 / c.factor), 0), CASE WHEN c.hours >= 3 THEN 'high' ELSE 'medium' END,
		'CHPG502:' || c.service_id, 'incident', c.window_start, 100::float8, 100 * c.factor, 'percent',
		NULL::text
	FROM caused c;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_slower_services(@extschema@._chpg_thresholds,
	@extschema@._chpg_judged_service[], @extschema@._chpg_hour_score[]) IS
'Findings of services of which most patterns are slower than in the same hours of past days.
Requests: none.
Errors: 55000 there is no history.';
