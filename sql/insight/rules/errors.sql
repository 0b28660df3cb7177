/* Rules CHPG401 and CHPG402: many errors, and more errors than before. */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG401', 'error_rate', 'errors', 10, 'Errors.'),
	('CHPG401', 'error_rate', 'error_ratio', 0.001, 'Errors of all executions from which it is WARN.'),
	('CHPG401', 'error_rate', 'error_error_ratio', 0.05, 'Errors of all executions from which it is ERROR.'),
	('CHPG402', 'error_spike', 'errors', 10, 'Errors.'),
	('CHPG402', 'error_spike', 'z', 4,
		'Standard deviations between the baseline''s share of errors and the period''s.'),
	('CHPG402', 'error_spike', 'factor', 2, 'How many times the baseline''s share of errors.'),
	('CHPG402', 'error_spike', 'error_error_ratio', 0.01, 'Errors of all executions from which it is ERROR.');

SELECT @extschema@._chpg_declare_thresholds();

/*
 * Errors are recorded apart from the statements that raised them.  A truncated window has
 * all errors, but not all executions.
 */
CREATE FUNCTION @extschema@._chpg_find_errors(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'CHPG401',
		CASE WHEN ratio >= t.error_rate_error_error_ratio AND NOT truncated THEN 'ERROR'
			ELSE 'WARN' END,
		'Many errors', service_id,
		format(CASE WHEN truncated THEN '%s errors; more than %3$s executions, of which they are less than %2$s %%'
				ELSE '%s errors, %s %% of %s executions' END,
			errors, round(ratio::numeric * 100, 2), calls + errors),
		jsonb_build_object('db_name', db_name, 'db_user', db_user, 'app', app, 'error_count', errors,
			'call_count', calls, 'error_ratio', CASE WHEN NOT truncated THEN round(ratio::numeric, 5) END),
		CASE WHEN truncated THEN 'Windows were truncated, so that executions are missing. ' ELSE '' END
			|| 'What failed is known of recent executions only. '
				'Some errors are part of an application''s way of working.',
		'See err_sqlstate and err_message of chpg_slow_pattern_executions: 40001 and 40P01 are to be tried again, '
			'53300 wants a pooler, 57014 is a timeout, 23505 an upsert.',
		NULL::float8, CASE WHEN truncated THEN 'low' ELSE 'medium' END, 'CHPG401:' || to_jsonb(ARRAY[service_id, db_name, db_user, app])::text, 'incident',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM (
		SELECT p.service_id, db_name, db_user, app, bool_or(h.cutoff_us IS NOT NULL) AS truncated,
			sum(error_count)::float8 AS errors,
			coalesce(sum(call_count) FILTER (WHERE query_id <> 0), 0)::float8 AS calls,
			sum(error_count)::float8 / nullif(sum(error_count)
				+ coalesce(sum(call_count) FILTER (WHERE query_id <> 0), 0), 0)::float8 AS ratio
		FROM unnest(pairs) u
		CROSS JOIN LATERAL (SELECT (u.b).*) p
		LEFT JOIN unnest(scope.period_hours) h ON h.service_id = p.service_id
		WHERE NOT @extschema@._chpg_is_monitoring(p.app)
		GROUP BY 1, 2, 3, 4
	) e
	WHERE errors >= t.error_rate_errors
		AND ratio >= t.error_rate_error_ratio;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_errors(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of many errors, for each database, user and application.
Requests: none.';

/* Where all executions are known, two error ratios and the standard deviation of their difference (z). */
CREATE FUNCTION @extschema@._chpg_find_error_spikes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH hours AS MATERIALIZED (
		SELECT a.service_id, a.cutoff_us IS NOT NULL OR b.cutoff_us IS NOT NULL AS truncated
		FROM unnest(scope.baseline_hours) a
		JOIN unnest(scope.period_hours) b ON b.service_id = a.service_id
	), sums AS (
		SELECT p.service_id, p.db_name, p.db_user, p.app,
			coalesce(sum((u.a).error_count), 0)::float8 AS e_a,
			coalesce(sum((u.b).error_count), 0)::float8 AS e_b,
			coalesce(sum((u.a).call_count) FILTER (WHERE (u.a).query_id <> 0), 0)::float8 AS n_a,
			coalesce(sum((u.b).call_count) FILTER (WHERE (u.b).query_id <> 0), 0)::float8 AS n_b
		FROM unnest(pairs) u
		CROSS JOIN LATERAL (
			SELECT coalesce((u.b).service_id, (u.a).service_id) AS service_id,
				coalesce((u.b).db_name, (u.a).db_name) AS db_name, coalesce((u.b).db_user, (u.a).db_user) AS db_user,
				coalesce((u.b).app, (u.a).app) AS app) p
		WHERE NOT @extschema@._chpg_is_monitoring(p.app)
			AND p.service_id IN (SELECT h.service_id FROM hours h WHERE NOT h.truncated)
		GROUP BY 1, 2, 3, 4
	), shares AS (
		SELECT *, (e_a + 0.5) / (e_a + n_a + 1) AS r_a, (e_b + 0.5) / (e_b + n_b + 1) AS r_b,
			(e_a + e_b + 1) / (e_a + n_a + e_b + n_b + 2) AS r
		FROM sums
	), scores AS (
		SELECT *, (r_b - r_a) / sqrt(r * (1 - r) * (1 / (e_a + n_a + 1) + 1 / (e_b + n_b + 1))) AS z FROM shares
	)
	SELECT 'CHPG402',
		CASE WHEN r_b >= t.error_spike_error_error_ratio THEN 'ERROR' ELSE 'WARN' END,
		'More errors than before', service_id,
		format('%s %% of executions, after %s %%', round(r_b::numeric * 100, 3), round(r_a::numeric * 100, 3)),
		jsonb_build_object('db_name', db_name, 'db_user', db_user, 'app', app, 'error_count', e_b,
			'baseline_error_count', e_a, 'z', round(z::numeric, 1)),
		'Something changed: a deployment, a schema, data, or a limit that was reached.',
		'See in error_hour of the history when it began, and err_message of chpg_slow_pattern_executions.',
		NULL::float8, 'high', 'CHPG402:' || to_jsonb(ARRAY[service_id, db_name, db_user, app])::text, 'incident',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM scores
	WHERE e_b >= t.error_spike_errors AND z >= t.error_spike_z
		AND r_b >= t.error_spike_factor * r_a
	UNION ALL
	SELECT k.*
	FROM hours h, @extschema@._chpg_skipped('{CHPG402}'::text[],
		'Windows were truncated, so that executions are missing: raise max_patterns in the settings of the history.',
		h.service_id) k
	WHERE h.truncated;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_error_spikes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of more errors than in the baseline; SKIPPED where windows were truncated.
Requests: none.';
