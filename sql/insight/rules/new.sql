/* Rules CHPG504 and CHPG511: patterns that are new, and ids of queries that changed. */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG504', 'new_heavy', 'time_ratio', 0.01, 'Share of time from which a pattern is new, or gone ...'),
	('CHPG504', 'new_heavy', 'busy_s_per_h', 10, '... and seconds per hour.'),
	('CHPG504', 'new_heavy', 'warn_time_ratio', 0.05, 'Share of time since the onset from which it is WARN ...'),
	('CHPG504', 'new_heavy', 'warn_calls_per_h', 20, '... with so many executions per hour ...'),
	('CHPG504', 'new_heavy', 'warn_days', 8, '... if the history goes back so many days.'),
	('CHPG511', 'renamed', 'similarity', 0.6, 'Share of words that the texts of two ids of a query have in common.'),
	('CHPG511', 'renamed', 'slower_similarity', 0.75, 'The same, where it is said to be slower than its predecessor ...'),
	('CHPG511', 'renamed', 'slower_factor', 1.5, '... how many times its mean ...'),
	('CHPG511', 'renamed', 'slower_score', 5, '... and how many standard deviations above it.');

SELECT @extschema@._chpg_declare_thresholds();

CREATE TYPE @extschema@._chpg_fresh_pattern AS (
	service_key integer,
	pattern_key integer,
	since timestamptz,
	hours integer,
	calls double precision,
	total_us double precision,
	max_us double precision,
	last_start timestamptz,
	name @extschema@._chpg_pattern_name,
	predecessor @extschema@._chpg_pattern_name,
	similarity double precision,
	predecessor_avg_us double precision,
	app_is_new boolean
);

COMMENT ON TYPE @extschema@._chpg_fresh_pattern IS
'A pattern that the history of a service has for a day at most.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.service_key IS 'Key of the service.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.pattern_key IS 'Key of the pattern.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.since IS 'Start of the first hour that has it.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.hours IS 'Hours in which it was executed.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.calls IS 'Executions.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.total_us IS 'Time of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.max_us IS 'Longest single execution, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.last_start IS 'Start of the last hour that has it.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.name IS 'What identifies it.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.predecessor IS
'The pattern of a similar text that vanished when this one appeared; null if there is none.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.similarity IS 'Share of words that both texts have in common.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.predecessor_avg_us IS
'Mean time that is expected of the predecessor in these hours, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.app_is_new IS 'Whether its application has no older pattern.';

/*
 * Scores tell that an hour has no baseline; that a pattern is new is decided by all days
 * that the history has, for a job may run once a week, or once a month.
 */
CREATE FUNCTION @extschema@._chpg_find_fresh(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], recent @extschema@._chpg_hour_score[])
RETURNS SETOF @extschema@._chpg_fresh_pattern
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	service_keys integer[];
	pattern_keys integer[];
	fresh @extschema@._chpg_fresh_pattern[];
BEGIN
	SELECT array_agg(DISTINCT r.service_key), array_agg(DISTINCT r.pattern_key) INTO service_keys, pattern_keys
	FROM unnest(recent) r
	JOIN unnest(judged) j ON j.service_key = r.service_key
	WHERE r.call_count > 0 AND r.baseline_hours = 0 AND j.history_start <= j.end_time - interval '25 hours';
	IF service_keys IS NULL THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	fresh := ARRAY(
		WITH seen AS MATERIALIZED (
			SELECT h.service_key, h.pattern_key, min(h.window_start) AS since, count(*)::integer AS hours,
				sum(h.call_count) AS calls, sum(h.total_us) AS total_us, max(h.max_us) AS max_us,
				max(h.window_start) AS last_start, j.end_time, j.history_start
			FROM @extschema@._chpg_pattern_scores(service_keys, pattern_keys,
				(SELECT min(j.end_time) FROM unnest(judged) j) - interval '48 hours',
				(SELECT max(j.end_time) FROM unnest(judged) j)) h
			JOIN unnest(judged) j ON j.service_key = h.service_key
			WHERE h.call_count > 0 AND h.window_start >= j.end_time - interval '48 hours'
				AND h.window_start < j.end_time
			GROUP BY h.service_key, h.pattern_key, j.end_time, j.history_start
		), named AS MATERIALIZED (
			SELECT s.*, n AS name, n.query_id, n.db_name, n.db_user, n.db_operation, n.app
			FROM seen s
			JOIN @extschema@._chpg_pattern_names(pattern_keys) n ON n.pattern_key = s.pattern_key
			WHERE s.since >= s.end_time - interval '24 hours' AND s.since >= s.history_start + interval '24 hours'
		), alike AS MATERIALIZED (
			-- a pattern of several texts has several keys
			SELECT n.service_key, n.pattern_key, k.pattern_key AS other_key
			FROM named n
			JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app) =
				(n.query_id, n.db_name, n.db_user, n.db_operation, n.app)
		), known AS (
			SELECT DISTINCT a.service_key, a.pattern_key
			FROM alike a
			JOIN named n ON n.service_key = a.service_key AND n.pattern_key = a.pattern_key
			JOIN day_sum d ON d.service_key = a.service_key AND d.pattern_key = a.other_key
				AND d."time" < date_trunc('day', n.since, 'UTC')
		)
		SELECT ROW(n.service_key, n.pattern_key, n.since, n.hours, n.calls, n.total_us, n.max_us, n.last_start, n.name,
			NULL, NULL, NULL, NULL)::@extschema@._chpg_fresh_pattern
		FROM named n
		WHERE NOT EXISTS (SELECT FROM known k WHERE k.service_key = n.service_key AND k.pattern_key = n.pattern_key));
	IF cardinality(fresh) = 0 THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH gone AS MATERIALIZED (
		SELECT g.*, n AS name, @extschema@._chpg_query_words(n.query_text) AS words,
			@extschema@._chpg_main_table(n.query_text) AS main_table
		FROM (
			SELECT r.service_key, r.pattern_key,
				avg(r.expected_avg_us * exp(least(greatest(r.common, -5), 5))) AS avg_us
			FROM unnest(recent) r
			JOIN unnest(judged) j ON j.service_key = r.service_key
			WHERE r.service_key IN (SELECT f.service_key FROM unnest(fresh) f) AND r.expected_calls >= 0.5
			GROUP BY r.service_key, r.pattern_key
			HAVING bool_and(r.call_count <= 0.5 * r.expected_calls)
				FILTER (WHERE r.window_start = j.end_time - interval '1 hour')
				OR (count(*) FILTER (WHERE r.window_start = j.end_time - interval '1 hour') = 0
					AND bool_and(r.call_count = 0))
		) g
		JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT DISTINCT r.pattern_key FROM unnest(recent) r
			WHERE r.expected_calls > 0 AND r.call_count <= 0.5 * r.expected_calls)) n ON n.pattern_key = g.pattern_key
	), came AS MATERIALIZED (
		SELECT f.*, f AS pattern, @extschema@._chpg_query_words((f.name).query_text) AS words,
			@extschema@._chpg_main_table((f.name).query_text) AS main_table
		FROM unnest(fresh) f
	), pair AS (
		SELECT c.service_key, c.pattern_key, g.pattern_key AS gone_key, g.name AS gone_name, g.avg_us,
			CASE WHEN (c.name).text_id = (g.name).text_id THEN 1
				ELSE @extschema@._chpg_word_similarity(c.words, g.words) END
				- CASE WHEN (c.name).app <> (g.name).app THEN 0.02 ELSE 0 END
				- CASE WHEN (c.name).db_user <> (g.name).db_user THEN 0.02 ELSE 0 END AS similarity
		FROM came c
		JOIN gone g ON g.service_key = c.service_key AND (g.name).db_name = (c.name).db_name
			AND (g.name).db_operation = (c.name).db_operation
			AND g.main_table IS NOT DISTINCT FROM c.main_table
			AND ((g.name).app = (c.name).app OR (g.name).db_user = (c.name).db_user)
	), chosen AS (
		SELECT DISTINCT ON (b.service_key, b.gone_key) b.*
		FROM (SELECT DISTINCT ON (p.service_key, p.pattern_key) p.* FROM pair p WHERE p.similarity >= t.renamed_similarity
			ORDER BY p.service_key, p.pattern_key, p.similarity DESC, p.gone_key) b
		ORDER BY b.service_key, b.gone_key, b.similarity DESC, b.pattern_key
	)
	SELECT c.service_key, c.pattern_key, c.since, c.hours, c.calls, c.total_us, c.max_us, c.last_start, c.name,
		p.gone_name, p.similarity, p.avg_us,
		NOT EXISTS (SELECT FROM pattern_key k
			JOIN day_sum d ON d.pattern_key = k.pattern_key AND d.service_key = c.service_key
				AND d."time" < date_trunc('day', c.since, 'UTC')
				AND d."time" >= date_trunc('day', c.since, 'UTC') - interval '35 days'
			WHERE k.app = (c.name).app)
	FROM came c
	LEFT JOIN chosen p ON p.service_key = c.service_key AND p.pattern_key = c.pattern_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_fresh(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_hour_score[]) IS
'The patterns that a service has for a day at most, with those that they replace.
A service whose history is shorter than a day has none.
Errors: 55000 there is no history.';

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
		-- means of executions of which a few are long
		AND ln(r.factor) >= t.renamed_slower_score * sqrt(0.0225 + 1.5 / r.calls)
		AND r.excess_us >= t.slower_excess_us * least(r.hours, 4) / 4
		AND r.excess_us >= t.slower_excess_ratio * s.us AND r.excess_us >= t.slower_excess_executions * r.max_us;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_renamed(@extschema@._chpg_thresholds,
	@extschema@._chpg_judged_service[], @extschema@._chpg_fresh_pattern[]) IS
'Findings of queries whose id changed, one for each service, and of those that got slower.
Requests: none.';
