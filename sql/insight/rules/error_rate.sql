/*
 * rule: CHPG401 error_rate
 * title: Many errors
 * kind: incident
 * scope: service
 * place: 110
 * effect: outage
 * function: _chpg_find_errors
 * needs: executions, errors
 * threshold: errors = 10 errors; Errors.
 * threshold: error_ratio = 0.001 ratio; Errors of all executions from which it is INFO.
 * threshold: warn_error_ratio = 0.05 ratio; Errors of all executions from which it is WARN, where it is not known
 *   what is usual.
 * threshold: failing_error_ratio = 0.5 ratio; Errors of all executions from which an application fails, and it is
 *   ERROR.
 */
/*
 * Rules CHPG401 and CHPG402: applications that fail, errors that are many, and errors that
 * became more.
 *
 * Errors are recorded apart from the statements that raised them, so that their share is
 * known of a database, a user and an application.  A share that is as it always was is no
 * alarm, but the way that an application works.
 */

CREATE FUNCTION @extschema@._chpg_error_shares(service_keys integer[], hours timestamptz[])
RETURNS TABLE (service_key integer, window_start timestamptz, db_name text, db_user text, app text, errors float8,
	calls float8)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT p.service_key, p.window_start, k.db_name, k.db_user, @extschema@._chpg_app_family(k.app),
		coalesce(sum(greatest(p.error_count, 0)), 0)::float8,
		coalesce(sum(greatest(p.call_count, 0)) FILTER (WHERE k.query_id <> 0), 0)::float8
	FROM @extschema@._chpg_window_hour() p
	JOIN pattern_key k ON k.pattern_key = p.pattern_key
	WHERE p.service_key = ANY (service_keys) AND p.window_start = ANY (hours)
		AND NOT @extschema@._chpg_is_monitoring(k.app)
	GROUP BY 1, 2, 3, 4, 5;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_error_shares(integer[], timestamptz[]) IS
'Errors and executions of services in some hours, by database, user and application.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_daily_error_shares(service_keys integer[], until_day timestamptz)
RETURNS TABLE (service_key integer, db_name text, db_user text, app text, days bigint, usual_ratio float8)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT s.service_key, s.db_name, s.db_user, s.app, count(*),
		percentile_cont(0.5) WITHIN GROUP (ORDER BY s.errors / greatest(s.errors + s.calls, 1))
	FROM (
		SELECT d.service_key, d."time", k.db_name, k.db_user, @extschema@._chpg_app_family(k.app) AS app,
			coalesce(sum(greatest(d.error_count, 0)), 0)::float8 AS errors,
			coalesce(sum(greatest(d.call_count, 0)) FILTER (WHERE k.query_id <> 0), 0)::float8 AS calls
		FROM day_sum d
		JOIN pattern_key k ON k.pattern_key = d.pattern_key
		WHERE d.service_key = ANY (service_keys) AND d."time" < until_day AND d."time" >= until_day - interval '8 days'
			AND NOT @extschema@._chpg_is_monitoring(k.app)
		GROUP BY 1, 2, 3, 4, 5
	) s
	GROUP BY s.service_key, s.db_name, s.db_user, s.app;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_daily_error_shares(integer[], timestamptz) IS
'The median share of errors of the eight days before a day, by database, user and application.
Errors: 55000 there is no history.';

/*
 * With a history that knows what is usual, only a share that is as usual is found here: more
 * than that is a matter of CHPG402.  A truncated window has all errors, but not all executions.
 */
CREATE FUNCTION @extschema@._chpg_find_errors(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	judged @extschema@._chpg_judged_service[];
	usual jsonb := '[]';
BEGIN
	IF cardinality(scope.period_hours) > 0 THEN
		judged := ARRAY(SELECT j FROM @extschema@._chpg_judged_services(scope) j);
		usual := (SELECT coalesce(jsonb_agg(u), '[]') FROM (
			SELECT j.service_id, e.*
			FROM unnest(judged) j
			JOIN @extschema@._chpg_daily_error_shares(ARRAY(SELECT i.service_key FROM unnest(judged) i),
				date_trunc('day', lower(scope.period), 'UTC')) e ON e.service_key = j.service_key) u);
	END IF;
	RETURN QUERY
	SELECT 'CHPG401',
		CASE WHEN u.days IS NOT NULL THEN 'INFO'
			WHEN e.ratio >= :failing_error_ratio AND NOT e.truncated THEN 'ERROR'
			WHEN e.ratio >= :warn_error_ratio AND NOT e.truncated THEN 'WARN' ELSE 'INFO' END,
		CASE WHEN u.days IS NOT NULL THEN 'Errors, as on other days' ELSE 'Many errors' END, e.service_id,
		format(CASE WHEN e.truncated THEN '%s errors; more than %3$s executions, of which they are less than %2$s %%'
				ELSE '%s errors, %s %% of %s executions' END
			|| CASE WHEN u.days IS NOT NULL THEN '; %4$s %% on other days' ELSE '' END,
			@extschema@._chpg_count_text(e.errors), round(e.ratio::numeric * 100, 2),
			@extschema@._chpg_count_text(e.calls + e.errors), round(u.usual_ratio::numeric * 100, 2)),
		jsonb_build_object('db_name', e.db_name, 'db_user', e.db_user, 'app', e.app, 'error_count', e.errors,
			'call_count', e.calls, 'error_ratio', CASE WHEN NOT e.truncated THEN round(e.ratio::numeric, 5) END,
			'usual_error_ratio', round(u.usual_ratio::numeric, 5)),
		CASE WHEN e.truncated THEN 'Windows were truncated, so that executions are missing. ' ELSE '' END
			|| 'What failed is known of recent executions only. '
				'Some errors are part of an application''s way of working.',
		'See err_sqlstate and err_message of chpg_slow_pattern_executions: 40001 and 40P01 are to be tried again, '
			'53300 wants a pooler, 57014 is a timeout, 23505 an upsert.',
		NULL::float8, CASE WHEN e.truncated THEN 'low' ELSE 'medium' END,
		'CHPG401:' || to_jsonb(ARRAY[e.service_id, e.db_name, e.db_user, e.app])::text,
		CASE WHEN u.days IS NOT NULL THEN 'opportunity' ELSE 'incident' END, NULL::timestamptz,
		100 * u.usual_ratio, 100 * e.ratio, 'percent', NULL::text
	FROM (
		SELECT p.service_id, db_name, db_user, @extschema@._chpg_app_family(app) AS app,
			bool_or(h.cutoff_us IS NOT NULL) AS truncated,
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
	LEFT JOIN jsonb_to_recordset(usual) u(service_id text, db_name text, db_user text, app text, days bigint,
			usual_ratio float8)
		ON u.service_id = e.service_id AND u.db_name = e.db_name AND u.db_user = e.db_user AND u.app = e.app
	WHERE e.errors >= :errors AND e.ratio >= :error_ratio
		AND (u.days IS NULL OR e.ratio < :error_spike_factor * u.usual_ratio);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_errors(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of many errors, for each database, user and application.
INFO where past days had as many; where past days had fewer, _chpg_find_error_spikes finds it.
Requests: none.';
