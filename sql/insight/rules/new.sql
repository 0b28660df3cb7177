/*
 * rule: CHPG504 new_heavy
 * title: New, and heavy
 * kind: incident
 * scope: change
 * place: 180
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: time_ratio = 0.01 ratio; Share of time from which a pattern is new, or gone ...
 * threshold: busy_s_per_h = 10 s/h; ... and seconds per hour.
 * threshold: warn_time_ratio = 0.05 ratio; Share of time since the onset from which it is WARN ...
 * threshold: warn_calls_per_h = 20 executions/h; ... with so many executions per hour ...
 * threshold: warn_days = 8 days; ... if the history goes back so many days.
 */
/*
 * rule: CHPG511 renamed
 * title: Queries have new ids
 * kind: incident
 * scope: change
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: similarity = 0.6 ratio; Share of words that the texts of two ids of a query have in common.
 * threshold: slower_similarity = 0.75 ratio; The same, where it is said to be slower than its predecessor ...
 * threshold: slower_factor = 1.5 factor; ... how many times its mean ...
 * threshold: calls_factor = 2.5 factor; ... how many times its executions at most ...
 * threshold: slower_score = 5 standard deviations; ... and how many standard deviations above it.
 */

CREATE FUNCTION @extschema@._chpg_find_new(t @extschema@._chpg_thresholds, judged @extschema@._chpg_judged_service[],
	fresh @extschema@._chpg_fresh_pattern[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH measured AS (
		SELECT f.*, j.service_id, j.end_time, j.history_start, j.truncated_hours, f.total_us / nullif(s.us, 0) AS time_ratio,
			greatest(extract(epoch FROM j.end_time - f.since) / 3600, 1)::float8 AS age
		FROM unnest(fresh) f
		JOIN unnest(judged) j ON j.service_key = f.service_key
		CROSS JOIN LATERAL @extschema@._chpg_service_time(j.service_id, f.since, j.end_time) s(us)
		WHERE f.predecessor IS NULL AND f.last_start >= j.end_time - interval '2 hours'
	)
	SELECT 'CHPG504',
		CASE WHEN m.time_ratio >= t.new_heavy_warn_time_ratio AND m.calls / m.hours >= t.new_heavy_warn_calls_per_h
				AND m.hours >= 2 AND m.truncated_hours = 0
				AND m.history_start <= m.since - t.new_heavy_warn_days * interval '24 hours'
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
		@extschema@._chpg_course_statement(m.service_id, (m.name).query_id, m.since, m.end_time)
	FROM measured m
	WHERE m.time_ratio >= t.new_heavy_time_ratio AND m.total_us >= 1e6 * t.new_heavy_busy_s_per_h * m.hours
		AND m.calls > 0;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_new(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_fresh_pattern[]) IS
'Findings of patterns that are new and take a good part of their service''s time.
Requests: none.';

/*
 * Many ids change at once when an application is deployed that writes its queries otherwise,
 * or when a new version of PostgreSQL counts other hashes: one finding of the service.  A
 * query that is slower than its predecessor is a regression, whatever its id.
 */
CREATE FUNCTION @extschema@._chpg_find_renamed(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], fresh @extschema@._chpg_fresh_pattern[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH renamed AS MATERIALIZED (
		SELECT f.*, j.service_id, j.end_time, f.total_us / f.calls AS avg_us,
			f.total_us / f.calls / nullif(f.predecessor_avg_us, 0) AS factor,
			f.total_us - f.calls * f.predecessor_avg_us AS excess_us
		FROM unnest(fresh) f
		JOIN unnest(judged) j ON j.service_key = f.service_key
		WHERE f.predecessor IS NOT NULL AND f.calls > 0
	), hour AS (
		SELECT r.service_id, r.since, count(*) AS ids, max(r.end_time) AS end_time,
			(array_agg(jsonb_build_object('query_id', (r.name).query_id::text,
				'predecessor_query_id', (r.predecessor).query_id::text, 'query_text', left((r.name).query_text, 80),
				'app', (r.name).app) ORDER BY r.total_us DESC, r.pattern_key))[:20] AS renamed,
			array_agg(DISTINCT (r.name).app) AS apps
		FROM renamed r
		GROUP BY r.service_id, r.since
	), deploy AS (
		SELECT DISTINCT ON (h.service_id) h.*, sum(h.ids) OVER (PARTITION BY h.service_id) AS all_ids
		FROM hour h
		ORDER BY h.service_id, h.ids DESC, h.since
	)
	SELECT 'CHPG511', 'INFO',
		CASE d.all_ids WHEN 1 THEN 'A query has a new id' ELSE 'Queries have new ids' END, d.service_id,
		CASE d.all_ids WHEN 1 THEN format('%s: the id %s replaces %s',
				@extschema@._chpg_line_text(d.renamed[1]->>'query_text', 80), d.renamed[1]->>'query_id',
				d.renamed[1]->>'predecessor_query_id')
			ELSE format('%s ids changed, of queries of %s', d.all_ids,
				CASE cardinality(d.apps) WHEN 1 THEN format('application "%s"', @extschema@._chpg_line_text(d.apps[1], 60))
					ELSE cardinality(d.apps) || ' applications' END) END,
		jsonb_build_object('change', 'renamed', 'ids', d.all_ids, 'renamed', to_jsonb(d.renamed), 'apps', to_jsonb(d.apps)),
		'The texts are those of queries that vanished, or similar: a deployment, or a new version of PostgreSQL.',
		'Nothing, if a deployment was meant to be.', NULL::float8, 'medium', 'CHPG511:' || d.service_id, 'incident',
		d.since, NULL::float8, d.all_ids::float8, 'ids', NULL::text
	FROM deploy d
	UNION ALL
	SELECT 'CHPG501', CASE WHEN r.excess_us >= t.slower_error_excess_ratio * s.us AND r.hours >= 2 THEN 'ERROR' ELSE 'WARN' END,
		'Slower than before its id changed', r.service_id,
		format('%s per call, %s times the %s of its predecessor %s, for %s h; %s lost, %s %% of the service''s time',
			@extschema@._chpg_duration_text(r.avg_us), @extschema@._chpg_factor_text(r.factor),
			@extschema@._chpg_duration_text(r.predecessor_avg_us), (r.predecessor).query_id,
			@extschema@._chpg_hours_between(r.since, r.end_time), @extschema@._chpg_duration_text(r.excess_us),
			round((100 * r.excess_us / nullif(s.us, 0))::numeric, 1)),
		@extschema@._chpg_pattern_evidence(r.name) || jsonb_build_object('change', 'slower',
			'predecessor_query_id', (r.predecessor).query_id::text, 'predecessor_text', (r.predecessor).query_text,
			'similarity', round(r.similarity::numeric, 2), 'hours', r.hours, 'call_count', r.calls,
			'factor', round(r.factor::numeric, 2), 'avg_duration_us', round(r.avg_us::numeric, 1),
			'expected_avg_duration_us', round(r.predecessor_avg_us::numeric, 1), 'excess_us', round(r.excess_us::numeric)),
		'Its text changed when it got slower: a deployment brought another query, or another plan.',
		'Compare the two texts, and EXPLAIN (ANALYZE, BUFFERS) of both.', r.excess_us,
		CASE WHEN r.similarity >= 0.9 THEN 'high' ELSE 'medium' END,
		@extschema@._chpg_pattern_finding_key('CHPG501'::text, r.service_id, r.name), 'incident', r.since,
		r.predecessor_avg_us, r.avg_us, 'us',
		@extschema@._chpg_course_statement(r.service_id, (r.name).query_id, r.since, r.end_time)
	FROM renamed r
	CROSS JOIN LATERAL @extschema@._chpg_service_time(r.service_id, r.since, r.end_time) s(us)
	WHERE r.similarity >= t.renamed_slower_similarity AND r.factor >= t.renamed_slower_factor
		AND abs(ln((1 + r.calls / r.hours) / (1 + r.predecessor_calls_per_h))) <= ln(t.renamed_calls_factor)
		-- means of executions of which a few are long
		AND ln(r.factor) >= t.renamed_slower_score * sqrt(0.0225 + 1.5 / r.calls)
		AND r.excess_us >= t.slower_excess_us * least(r.hours, 4) / 4
		AND r.excess_us >= t.slower_excess_ratio * s.us AND r.excess_us >= t.slower_excess_executions * r.max_us;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_renamed(@extschema@._chpg_thresholds,
	@extschema@._chpg_judged_service[], @extschema@._chpg_fresh_pattern[]) IS
'Findings of queries whose id changed, one for each service, and of those that got slower.
Requests: none.';
