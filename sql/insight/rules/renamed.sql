/*
 * rule: CHPG511 renamed
 * title: Queries have new ids
 * kind: incident
 * scope: change
 * ends: age
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: similarity = 0.6 ratio; Share of words that the texts of two ids of a query have in common.
 * threshold: slower_similarity = 0.6 ratio; The same, where it is said to be slower than its predecessor ...
 * threshold: slower_factor = 1.25 factor; ... how many times its mean, beside what all of them have ...
 * threshold: calls_factor = 2.5 factor; ... how many times its executions at most ...
 * threshold: slower_score = 6 standard deviations; ... and how far above it.
 * threshold: all_slower_factor = 1.12 factor; How many times their means queries with new ids take together ...
 * threshold: all_slower_score = 6 standard deviations; ... and how far above them that is ...
 * threshold: all_slower_ids = 5 ids; ... of so many.
 * threshold: churn_ids = 5 ids; New ids in an hour that queries of the same words have ...
 * threshold: churn_hours = 3 hours; ... and for how many hours they do.
 */
/*
 * Many ids change at once when an application is deployed that writes its queries otherwise,
 * or when a new version of PostgreSQL counts other hashes: one finding of the service.  A
 * query that is slower than its predecessor is a regression, whatever its id; what all of
 * them have in common, such as the cold cache of a restart, is not one of each query.
 */
CREATE FUNCTION @extschema@._chpg_find_renamed(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], fresh @extschema@._chpg_fresh_pattern[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH renamed AS MATERIALIZED (
		SELECT f.*, j.service_id, j.end_time, coalesce(f.last_avg_us, f.total_us / f.calls) AS avg_us,
			least(greatest(coalesce(f.last_avg_us, f.total_us / f.calls) / nullif(f.predecessor_avg_us, 0), 1e-6), 1e6)
				AS factor,
			f.similarity >= :slower_similarity AND f.total_us > 0 AND f.predecessor_avg_us > 0
				AND abs(ln((1 + f.calls / f.hours) / (1 + f.predecessor_calls_per_h))) <= ln(:calls_factor)
				AS is_comparable
		FROM unnest(fresh) f
		JOIN unnest(judged) j ON j.service_key = f.service_key
		WHERE f.predecessor IS NOT NULL AND f.calls > 0 AND NOT f.is_churn
	), hour AS (
		SELECT r.service_id, r.since, count(*) AS ids, max(r.end_time) AS end_time,
			(array_agg(jsonb_build_object('query_id', (r.name).query_id::text,
				'predecessor_query_id', (r.predecessor).query_id::text, 'query_text', left((r.name).query_text, 80),
				'app', (r.name).app, 'factor', round(r.factor::numeric, 2)) ORDER BY r.total_us DESC,
					r.pattern_key))[:20]
				AS renamed,
			array_agg(DISTINCT (r.name).app) AS apps
		FROM renamed r
		GROUP BY r.service_id, r.since
	), together AS MATERIALIZED (
		SELECT r.service_key, r.service_id, count(*) AS ids,
			percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY ln(r.factor)) AS q,
			min(r.since) AS since, sum(r.total_us) AS total_us
		FROM renamed r
		WHERE r.is_comparable AND r.calls >= 50
		GROUP BY r.service_key, r.service_id
		HAVING count(*) >= :all_slower_ids
	), deploy AS (
		SELECT DISTINCT ON (h.service_id) h.*, sum(h.ids) OVER (PARTITION BY h.service_id) AS all_ids,
			exp(a.q[2]) AS factor, a.total_us * (1 - exp(-a.q[2])) AS excess_us,
			a.q[2] >= ln(:all_slower_factor) AND a.q[2] * sqrt(a.ids)
				>= :all_slower_score * greatest((a.q[3] - a.q[1]) / 2, 0.1) AS is_slower
		FROM hour h
		LEFT JOIN together a ON a.service_id = h.service_id
		ORDER BY h.service_id, h.ids DESC, h.since
	), lost AS (
		SELECT r.*, a.q[2] AS ln_together, r.avg_us - r.predecessor_avg_us * exp(greatest(coalesce(a.q[2], 0), 0))
			AS more_us,
			ln(r.factor) - greatest(coalesce(a.q[2], 0), 0) AS ln_factor
		FROM renamed r
		LEFT JOIN together a ON a.service_key = r.service_key
		WHERE r.is_comparable
	)
	SELECT 'CHPG511', CASE WHEN d.is_slower THEN 'WARN' ELSE 'INFO' END,
		CASE WHEN d.is_slower THEN 'Queries with new ids are slower' WHEN d.all_ids = 1 THEN 'A query has a new id'
			ELSE 'Queries have new ids' END, d.service_id,
		-- symptoms leave the database in alerts: a text, which may have values in it, is evidence only
		CASE d.all_ids WHEN 1 THEN format('The id %s replaces %s', d.renamed[1]->>'query_id',
				d.renamed[1]->>'predecessor_query_id')
			ELSE format('%s ids changed, of queries of %s', d.all_ids,
				CASE cardinality(d.apps) WHEN 1 THEN format('application "%s"', @extschema@._chpg_line_text(d.apps[1],
					60))
					ELSE cardinality(d.apps) || ' applications' END) END
			|| CASE WHEN d.is_slower THEN format('; they take %s times the time of their predecessors, %s lost',
				@extschema@._chpg_factor_text(d.factor), @extschema@._chpg_duration_text(d.excess_us)) ELSE '' END,
		jsonb_build_object('change', 'renamed', 'ids', d.all_ids, 'renamed', to_jsonb(d.renamed),
			'apps', to_jsonb(d.apps), 'factor', round(d.factor::numeric, 2))
			|| CASE d.all_ids WHEN 1 THEN jsonb_build_object('query_text', d.renamed[1]->>'query_text') ELSE '{}' END,
		'The texts are those of queries that vanished, or similar: a deployment, or a new version of PostgreSQL.',
		CASE WHEN d.is_slower THEN 'Compare settings, statistics and plans with those before: ANALYZE after an upgrade.'
			ELSE 'Nothing, if a deployment was meant to be.' END,
		CASE WHEN d.is_slower THEN d.excess_us END, 'medium', 'CHPG511:' || d.service_id, 'incident', d.since,
		CASE WHEN d.is_slower THEN 100::float8 END, CASE WHEN d.is_slower
			THEN 100 * d.factor ELSE d.all_ids::float8 END,
		CASE WHEN d.is_slower THEN 'percent' ELSE 'ids' END, NULL::text
	FROM deploy d
	UNION ALL
	SELECT 'CHPG501', CASE WHEN r.more_us * r.calls >= :slower_error_excess_ratio * s.us AND r.hours >= 2 THEN 'ERROR'
			ELSE 'WARN' END,
		'Slower than before its id changed', r.service_id,
		format('%s per call, %s times the %s of its predecessor %s, for %s h; %s lost, %s %% of the service''s time',
			@extschema@._chpg_duration_text(r.avg_us), @extschema@._chpg_factor_text(r.factor),
			@extschema@._chpg_duration_text(r.predecessor_avg_us), (r.predecessor).query_id,
			@extschema@._chpg_hours_between(r.since, r.end_time), @extschema@._chpg_duration_text(r.more_us * r.calls),
			round((100 * r.more_us * r.calls / nullif(s.us, 0))::numeric, 1)),
		@extschema@._chpg_pattern_evidence(r.name) || jsonb_build_object('change', 'slower',
			'predecessor_query_id', (r.predecessor).query_id::text, 'predecessor_text', (r.predecessor).query_text,
			'similarity', round(r.similarity::numeric, 2), 'hours', r.hours, 'call_count', r.calls,
			'factor', round(r.factor::numeric, 2), 'avg_duration_us', round(r.avg_us::numeric, 1),
			'expected_avg_duration_us', round(r.predecessor_avg_us::numeric, 1),
			'excess_us', round((r.more_us * r.calls)::numeric)),
		'Its text changed when it got slower: a deployment brought another query, or another plan.',
		'Compare the two texts, and EXPLAIN (ANALYZE, BUFFERS) of both.', r.more_us * r.calls,
		CASE WHEN r.similarity >= 0.9 THEN 'high' ELSE 'medium' END,
		@extschema@._chpg_pattern_finding_key('CHPG501'::text, r.service_id, r.name), 'incident', r.since,
		r.predecessor_avg_us, r.avg_us, 'us',
		NULL::text
	FROM lost r
	CROSS JOIN LATERAL @extschema@._chpg_service_time(r.service_id, r.since, r.end_time) s(us)
	WHERE r.ln_factor >= ln(:slower_factor)
		-- hours vary, and means of executions of which a few are long
		AND r.ln_factor >= :slower_score * sqrt(0.0144 / least(r.hours, 4) + 2.0::float8 / r.calls)
		AND r.more_us * r.calls >= :slower_excess_us * least(r.hours, 4) / 4
		AND r.more_us * r.calls >= :slower_excess_ratio * s.us
		AND r.more_us * r.calls >= :slower_excess_executions * r.max_us
	UNION ALL
	SELECT 'CHPG511', 'WARN', 'A query has new ids all the time', c.service_id,
		format('%s new ids in %s h, which ran %s times', c.ids, c.hours, @extschema@._chpg_count_text(c.calls)),
		jsonb_build_object('change', 'churn', 'ids', c.ids, 'hours', c.hours, 'call_count', c.calls, 'apps',
			to_jsonb(c.apps),
			'query_ids', to_jsonb(c.query_ids), 'query_text', left(c.query_text, 500)),
		'Its text differs from time to time, by values that are no parameters, comments, or the length of a list: '
			'neither its time nor its changes can be seen.',
		'Pass values as parameters, and lists as one array: = ANY ($1); leave comments out.', c.total_us, 'high',
		'CHPG511:' || to_jsonb(ARRAY[c.service_id, md5(array_to_string(c.words, ' '))])::text, 'incident', c.since,
		0::float8, c.ids / c.hours::float8, 'ids/h', NULL::text
	FROM (
		SELECT j.service_id, f.words, count(*) AS ids, count(DISTINCT f.since) AS hours, sum(f.calls) AS calls,
			sum(f.total_us) AS total_us, min(f.since) AS since, array_agg(DISTINCT (f.name).app) AS apps,
			max((f.name).query_text) AS query_text, max(f.since) AS last_since, max(j.end_time) AS end_time,
			(array_agg((f.name).query_id::text ORDER BY f.total_us DESC, f.pattern_key))[:20] AS query_ids
		FROM (SELECT u.*, @extschema@._chpg_query_words((u.name).query_text) AS words FROM unnest(fresh) u
			WHERE u.is_churn) f
		JOIN unnest(judged) j ON j.service_key = f.service_key
		GROUP BY j.service_id, f.words
	) c
	WHERE c.last_since >= c.end_time - interval '2 hours';
END;

COMMENT ON FUNCTION @extschema@._chpg_find_renamed(@extschema@._chpg_thresholds,
	@extschema@._chpg_judged_service[], @extschema@._chpg_fresh_pattern[]) IS
'Findings of queries whose id changed.
One for each service, one for each query that got slower, and one for queries with new ids all
  the time.
Requests: none.';
