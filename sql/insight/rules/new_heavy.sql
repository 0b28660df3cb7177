/*
 * rule: CHPG504 new_heavy
 * title: New, and heavy
 * kind: incident
 * scope: change
 * ends: age
 * place: 180
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: time_ratio = 0.01 ratio; Share of time from which a pattern is new, or gone ...
 * threshold: busy_s_per_h = 10 s/h; ... and seconds per hour.
 * threshold: least_us_per_h = 3000000 us/h; Time per hour from which it is found since its onset.
 * threshold: warn_time_ratio = 0.05 ratio; Share of time since the onset from which it is WARN ...
 * threshold: warn_calls_per_h = 20 executions/h; ... with so many executions per hour ...
 * threshold: app_time_ratio = 0.02 ratio; Share of time of all patterns of a new application that is WARN.
 * threshold: warn_days = 8 days; ... if the history goes back so many days.
 */
/* What has another id each hour is not new, and what belongs to a new application is found with that. */
CREATE FUNCTION @extschema@._chpg_find_new(t @extschema@._chpg_thresholds, judged @extschema@._chpg_judged_service[],
	fresh @extschema@._chpg_fresh_pattern[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH measured AS MATERIALIZED (
		SELECT f.*, j.service_id, j.end_time, j.history_start, j.truncated_hours, f.total_us / nullif(s.us, 0)
			AS time_ratio,
			greatest(extract(epoch FROM j.end_time - f.since) / 3600, 1)::float8 AS age,
			count(*) OVER (PARTITION BY f.service_key, (f.name).app) AS app_patterns,
			s.us AS service_us
		FROM unnest(fresh) f
		JOIN unnest(judged) j ON j.service_key = f.service_key
		CROSS JOIN LATERAL @extschema@._chpg_service_time(j.service_id, f.since, j.end_time) s(us)
		WHERE f.predecessor IS NULL AND NOT f.is_churn AND f.calls > 0
	), app AS MATERIALIZED (
		SELECT m.service_key, m.service_id, m.end_time, (m.name).app AS app, min(m.since) AS since, sum(m.total_us)
			AS total_us,
			sum(m.calls) AS calls, max(m.hours) AS hours, count(*) AS patterns, max(m.service_us) AS service_us,
			sum(m.total_us) / nullif(max(m.service_us), 0) AS time_ratio, max(m.truncated_hours) AS truncated_hours,
			min(m.history_start) AS history_start, max(m.last_start) AS last_start,
			array_agg(DISTINCT (m.name).db_user) AS users,
			(array_agg((m.name).query_id::text ORDER BY m.total_us DESC, m.pattern_key))[:20] AS query_ids
		FROM measured m
		WHERE m.app_is_new AND m.app_patterns >= 2
		GROUP BY m.service_key, m.service_id, m.end_time, (m.name).app
	)
	SELECT 'CHPG504',
		CASE WHEN m.time_ratio >= :warn_time_ratio AND m.calls / m.hours >= :warn_calls_per_h
				AND m.hours >= 2 AND m.truncated_hours = 0
				AND m.history_start <= m.since - :warn_days * interval '24 hours'
			THEN 'WARN' ELSE 'INFO' END,
		'New, and heavy', m.service_id,
		format('%s calls per hour of %s each since %s h, %s %% of the service''s time',
			@extschema@._chpg_count_text(m.calls / m.hours), @extschema@._chpg_duration_text(m.total_us / m.calls),
			round(m.age), round((100 * m.time_ratio)::numeric, 1)),
		@extschema@._chpg_pattern_evidence(m.name) || jsonb_build_object('change', 'new', 'call_count', m.calls,
			'hours', m.hours, 'avg_duration_us', round((m.total_us / m.calls)::numeric, 1),
			'time_ratio', round(m.time_ratio::numeric, 4), 'app_is_new', m.app_is_new),
		CASE WHEN m.app_is_new THEN 'A new application, or a job that does not run every day.'
			WHEN m.truncated_hours > 0 THEN 'Hours were truncated: it may have been there, unseen.'
			ELSE 'A deployment, or a job that does not run every day.' END,
		'Find out who runs it, by application and user, and whether that is meant to be.', m.total_us,
		CASE WHEN m.truncated_hours > 0 OR m.history_start > m.since - interval '168 hours' THEN 'low'
			WHEN m.hours < 2 THEN 'medium' ELSE 'high' END,
		@extschema@._chpg_pattern_finding_key('CHPG504'::text, m.service_id, m.name), 'incident', m.since, 0::float8,
		m.calls / m.hours, 'calls/h',
		NULL::text
	FROM measured m
	WHERE m.time_ratio >= :time_ratio AND m.total_us >= :least_us_per_h * m.hours
		AND m.last_start >= m.end_time - interval '2 hours' AND NOT (m.app_is_new AND m.app_patterns >= 2)
	UNION ALL
	SELECT 'CHPG504',
		CASE WHEN a.time_ratio >= :app_time_ratio AND a.calls / a.hours >= :warn_calls_per_h
				AND a.hours >= 2 AND a.truncated_hours = 0
				AND a.history_start <= a.since - :warn_days * interval '24 hours'
			THEN 'WARN' ELSE 'INFO' END,
		'A new application, and heavy', a.service_id,
		format('application "%s" runs %s queries, %s calls per hour, since %s h; %s %% of the service''s time',
			@extschema@._chpg_line_text(a.app, 60), a.patterns, @extschema@._chpg_count_text(a.calls / a.hours),
			@extschema@._chpg_hours_between(a.since, a.end_time), round((100 * a.time_ratio)::numeric, 1)),
		jsonb_build_object('change', 'new application', 'app', a.app, 'db_users', to_jsonb(a.users),
			'patterns', a.patterns, 'call_count', a.calls, 'hours', a.hours,
			'time_ratio', round(a.time_ratio::numeric, 4), 'query_ids', to_jsonb(a.query_ids)),
		'No pattern of this application is older than a day.',
		'Find out whose application it is, and whether it is meant to be.', a.total_us,
		CASE WHEN a.truncated_hours > 0 OR a.history_start > a.since - interval '168 hours' THEN 'low' ELSE 'high' END,
		'CHPG504:' || to_jsonb(ARRAY[a.service_id, a.app])::text, 'incident', a.since, 0::float8, a.calls / a.hours,
		'calls/h', NULL::text
	FROM app a
	WHERE a.time_ratio >= :time_ratio AND a.total_us >= :least_us_per_h * a.hours
		AND a.last_start >= a.end_time - interval '2 hours';
END;

COMMENT ON FUNCTION @extschema@._chpg_find_new(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_fresh_pattern[]) IS
'Findings of patterns, and applications, that are new and take a good part of the time.
Requests: none.';
