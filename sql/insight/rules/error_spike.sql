/*
 * rule: CHPG402 error_spike
 * title: More errors than before
 * kind: incident
 * scope: change
 * place: 120
 * effect: failure
 * function: _chpg_find_error_spikes
 * needs: executions, errors
 * threshold: errors = 10 errors; Errors since the onset.
 * threshold: score = 6 standard deviations; Standard deviations above the usual share of errors, of all hours
 *   since the onset together.
 * threshold: factor = 1.6 factor; How many times the usual share of errors ...
 * threshold: max_factor = 1.3 factor; ... and the greatest one of the same hours of past days.
 * threshold: warn_error_ratio = 0.002 ratio; Errors of all executions from which it is WARN.
 * threshold: error_error_ratio = 0.05 ratio; Errors of all executions from which it is ERROR.
 */
/*
 * The share that is usual is that of the same hours of a week, or the median of its days,
 * whichever is greater.  Shares vary more than chance alone makes them: each hour counts for
 * eight standard deviations at most.
 */
CREATE FUNCTION @extschema@._chpg_find_error_spikes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	judged CONSTANT @extschema@._chpg_judged_service[] := ARRAY(
		SELECT j FROM @extschema@._chpg_judged_services(scope) j);
	with_errors integer[];
	daily jsonb;
	suspects integer[];
BEGIN
	IF cardinality(judged) = 0 THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	with_errors := ARRAY(
		SELECT j.service_key
		FROM unnest(judged) j
		JOIN capture c ON c.service_id = j.service_id AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= j.end_time - interval '3 hours' AND c.window_start < j.end_time
		GROUP BY j.service_key
		HAVING sum(c.error_count) >= :errors);
	IF cardinality(with_errors) = 0 THEN
		RETURN;
	END IF;
	-- days rule out most; their hours are read of the others
	daily := (SELECT coalesce(jsonb_agg(d), '[]')
		FROM @extschema@._chpg_daily_error_shares(with_errors,
			date_trunc('day', (SELECT min(j.end_time) FROM unnest(judged) j), 'UTC')) d);
	suspects := ARRAY(
		SELECT DISTINCT e.service_key
		FROM (
			SELECT s.service_key, s.db_name, s.db_user, s.app, sum(s.errors) AS errors,
				greatest(sum(s.errors) / greatest(sum(s.errors + s.calls), 1),
					max(s.errors / greatest(s.errors + s.calls, 1))
						FILTER (WHERE s.window_start = j.end_time - interval '1 hour')) AS ratio
			FROM unnest(judged) j
			JOIN @extschema@._chpg_error_shares(with_errors, ARRAY(SELECT DISTINCT i.end_time - h * interval '1 hour'
				FROM unnest(judged) i CROSS JOIN generate_series(1, 3) h)) s ON s.service_key = j.service_key
			WHERE s.window_start >= j.end_time - interval '3 hours' AND s.window_start < j.end_time
			GROUP BY s.service_key, s.db_name, s.db_user, s.app
		) e
		LEFT JOIN jsonb_to_recordset(daily) d(service_key integer, db_name text, db_user text, app text, days bigint,
				usual_ratio float8)
			ON d.service_key = e.service_key AND d.db_name = e.db_name AND d.db_user = e.db_user AND d.app = e.app
				AND d.days >= 3
		WHERE e.errors >= :errors AND e.ratio >= :factor * coalesce(d.usual_ratio, 0));
	IF cardinality(suspects) = 0 THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH course AS MATERIALIZED (
		SELECT s.*, j.service_id, j.end_time
		FROM unnest(judged) j
		JOIN @extschema@._chpg_error_shares(suspects, ARRAY(SELECT DISTINCT i.end_time - h * interval '1 hour'
			FROM unnest(judged) i CROSS JOIN generate_series(1, 48) h WHERE i.service_key = ANY (suspects))) s
			ON s.service_key = j.service_key
		WHERE s.window_start >= j.end_time - interval '48 hours' AND s.window_start < j.end_time
	), past AS MATERIALIZED (
		SELECT s.service_key, s.db_name, s.db_user, s.app, d.day, sum(s.errors) AS errors, sum(s.calls) AS calls
		FROM unnest(judged) j
		CROSS JOIN generate_series(1, 7) d(day)
		JOIN @extschema@._chpg_error_shares(suspects, ARRAY(
			SELECT DISTINCT i.end_time - d * interval '24 hours' + h * interval '1 hour'
			FROM unnest(judged) i CROSS JOIN generate_series(1, 7) d CROSS JOIN generate_series(-4, 0) h
			WHERE i.service_key = ANY (suspects))) s
			ON s.service_key = j.service_key
			AND s.window_start >= j.end_time - d.day * interval '24 hours' - interval '4 hours'
			AND s.window_start <= j.end_time - d.day * interval '24 hours'
		GROUP BY s.service_key, s.db_name, s.db_user, s.app, d.day
	), usual AS (
		SELECT p.service_key, p.db_name, p.db_user, p.app, count(*) AS days,
			percentile_cont(0.5) WITHIN GROUP (ORDER BY p.errors / greatest(p.errors + p.calls, 1)) AS ratio,
			max(p.errors / greatest(p.errors + p.calls, 1)) FILTER (WHERE p.day > 1 OR p.errors < 10) AS max_ratio
		FROM past p
		GROUP BY p.service_key, p.db_name, p.db_user, p.app
	), hours AS (
		SELECT c.*, c.errors + c.calls AS n, coalesce(u.days, 0) AS days, coalesce(u.max_ratio, 0) AS max_ratio,
			greatest(coalesce(u.ratio, 0), coalesce(d.usual_ratio, 0)) AS usual_ratio
		FROM course c
		LEFT JOIN usual u ON u.service_key = c.service_key AND u.db_name = c.db_name AND u.db_user = c.db_user
			AND u.app = c.app
		LEFT JOIN jsonb_to_recordset(daily) d(service_key integer, db_name text, db_user text, app text, days bigint,
				usual_ratio float8)
			ON d.service_key = c.service_key AND d.db_name = c.db_name AND d.db_user = c.db_user AND d.app = c.app
				AND d.days >= 3
		WHERE c.errors + c.calls > 0
	), scored AS (
		SELECT h.*, greatest(least((h.errors - h.n * h.usual_ratio) / sqrt(2 * h.n * h.usual_ratio + 1), 8), -4) AS z
		FROM hours h
	), marked AS (
		SELECT s.*, count(*) OVER w = 3 AND avg(s.z) OVER w < 0.7 AS is_usual,
			sum(s.errors) OVER latest / sum(s.n) OVER latest AS three_ratio
		FROM scored s
		WINDOW w AS (PARTITION BY s.service_key, s.db_name, s.db_user,
			s.app ORDER BY s.window_start DESC ROWS 2 PRECEDING),
			latest AS (PARTITION BY s.service_key, s.db_name, s.db_user, s.app ORDER BY s.window_start ROWS 2 PRECEDING)
	), summed AS (
		SELECT h.*, row_number() OVER w AS place, bool_or(h.is_usual) OVER w AS was_usual,
			first_value(h.errors / h.n) OVER w AS last_ratio, first_value(h.errors) OVER w AS last_errors,
			first_value(h.three_ratio) OVER w AS latest_ratio,
			first_value(h.window_start) OVER w AS last_start, sum(h.errors) OVER w AS all_errors, sum(h.n) OVER w
				AS all_n,
			sum(h.errors) OVER course AS course_errors, sum(h.n) OVER course AS course_n, count(*) OVER course
				AS course_hours,
			sum(h.z) OVER w / sqrt(row_number() OVER w) AS score
		FROM marked h
		WINDOW course AS (PARTITION BY h.service_key, h.db_name, h.db_user, h.app),
			w AS (course ORDER BY h.window_start DESC)
	), best AS (
		SELECT DISTINCT ON (s.service_key, s.db_name, s.db_user, s.app) s.*, s.all_errors / s.all_n AS ratio
		FROM summed s
		WHERE NOT s.was_usual
		ORDER BY s.service_key, s.db_name, s.db_user, s.app, s.score DESC, s.window_start
	)
	SELECT CASE WHEN b.ratio >= :error_rate_failing_error_ratio THEN 'CHPG401' ELSE 'CHPG402' END,
		CASE WHEN b.ratio >= :error_error_ratio THEN 'ERROR'
			WHEN b.ratio >= :warn_error_ratio AND (b.days >= 3 OR b.ratio >= 0.005 + 5 * b.usual_ratio)
				THEN 'WARN' ELSE 'INFO' END,
		CASE WHEN b.ratio >= :error_rate_failing_error_ratio THEN 'Application fails'
			ELSE 'More errors than before' END, b.service_id,
		format('%s %% of the executions of application "%s" fail, usually %s %% in these hours; %s errors in %s h',
			round((100 * b.ratio)::numeric, 2), @extschema@._chpg_line_text(b.app, 60),
			round((100 * b.usual_ratio)::numeric, CASE WHEN b.usual_ratio < 0.001 THEN 4 ELSE 2 END),
			@extschema@._chpg_count_text(b.all_errors),
			@extschema@._chpg_hours_between(b.window_start, b.end_time)),
		jsonb_build_object('db_name', b.db_name, 'db_user', b.db_user, 'app', b.app, 'error_count', b.all_errors,
			'call_count', b.all_n - b.all_errors, 'error_ratio', round(b.ratio::numeric, 5),
			'usual_error_ratio', round(b.usual_ratio::numeric, 5), 'latest', round((100 * b.latest_ratio)::numeric, 3),
			'score', round(b.score::numeric, 1),
			'baseline_days', b.days),
		'Something changed: a deployment, a schema, data, or a limit that was reached.',
		'See err_sqlstate and err_message of chpg_slow_pattern_executions; look for a deployment at that time.',
		NULL::float8, CASE WHEN b.days >= 3 THEN 'high' ELSE 'medium' END,
		CASE WHEN b.ratio >= :error_rate_failing_error_ratio THEN 'CHPG401:' ELSE 'CHPG402:' END
			|| to_jsonb(ARRAY[b.service_id, b.db_name, b.db_user, b.app])::text, 'incident', b.window_start,
		100 * b.usual_ratio, 100 * b.ratio, 'percent', NULL::text
	FROM best b
	WHERE b.all_errors >= :errors AND b.score >= :score
		AND b.last_start >= b.end_time - interval '2 hours'
		AND b.ratio >= :factor * b.usual_ratio AND b.ratio >= :error_rate_error_ratio
		AND b.last_ratio >= greatest(1.3 * b.usual_ratio, 0.3 * b.ratio, t.error_rate_error_ratio)
			AND b.last_errors >= 3
		AND b.ratio >= :max_factor * b.max_ratio
		-- without past days, the hours before it say what is usual
		AND (b.days >= 3 OR (b.course_hours - b.place >= 3
			AND b.ratio >= :factor * (b.course_errors - b.all_errors) / greatest(b.course_n - b.all_n, 1)))
		AND NOT EXISTS (SELECT FROM capture c WHERE c.service_id = b.service_id AND c.grain = 'hour'
			AND c.window_start >= b.window_start AND c.window_start < b.end_time AND c.truncated);
	RETURN QUERY
	SELECT k.*
	FROM unnest(judged) j
	JOIN capture c ON c.service_id = j.service_id AND c.grain = 'hour' AND c.window_start = j.end_time
		- interval '1 hour'
	CROSS JOIN LATERAL @extschema@._chpg_skipped('{CHPG402}'::text[],
		'Windows were truncated, so that executions are missing: raise max_patterns in the settings of the history.',
		j.service_id) k
	WHERE c.truncated;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_error_spikes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of more errors than in the same hours of past days, with their onset.
SKIPPED where the last hour was truncated.
Requests: none.
Errors: 55000 there is no history.';
