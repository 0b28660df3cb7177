/* Insight: the patterns of a period, from the history where it has them, else from the API. */

CREATE FUNCTION @extschema@._chpg_check_period(name text, period tstzrange, baseline tstzrange)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF period IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', name USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF isempty(period) OR lower_inf(period) OR upper_inf(period)
		OR NOT isfinite(lower(period)) OR NOT isfinite(upper(period)) THEN
		RAISE EXCEPTION 'invalid value for "%": "%"', name, period
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give a window with a start and an end, such as tstzrange(now() - interval ''1 day'', now()).';
	ELSIF upper(baseline) > lower(period) THEN
		RAISE EXCEPTION 'baseline "%" does not end before period "%" begins', baseline, period
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give two windows that do not overlap, the earlier one as baseline.';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_check_period(text, tstzrange, tstzrange) IS
'Check that a period has a start and an end, and begins after its baseline, unless that is null.
Errors: 22004 null; 22023 empty or unbounded, or not in that order.';

CREATE TYPE @extschema@.chpg_period_pattern_row AS (
	source text,
	service_id text,
	query_id bigint,
	query_hex text,
	db_name text,
	db_user text,
	db_operation text,
	app text,
	query_text text,
	buckets integer,
	call_count bigint,
	error_count bigint,
	total_duration_us double precision,
	avg_duration_us double precision,
	max_duration_us double precision,
	p50_lo_us double precision,
	p50_hi_us double precision,
	p95_lo_us double precision,
	p95_hi_us double precision,
	p95_est_us double precision,
	p99_lo_us double precision,
	p99_hi_us double precision,
	p99_est_us double precision,
	total_rows bigint,
	total_shared_blks_read bigint,
	total_shared_blks_hit bigint,
	total_cpu_time_us double precision,
	total_wal_bytes bigint
);

COMMENT ON TYPE @extschema@.chpg_period_pattern_row IS
'A normalized query and the sum of its executions in a period, which may join several windows.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.source IS 'Where the row comes from: history or api.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.buckets IS 'Windows that were joined; 1 from the API.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p50_lo_us IS
'Lower bound of the median of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p50_hi_us IS
'Upper bound of the median of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p95_lo_us IS
'Lower bound of the 95th percentile of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p95_hi_us IS
'Upper bound of the 95th percentile of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p95_est_us IS
'Estimated 95th percentile, in microseconds: mean of the windows'' percentiles, weighted by executions.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p99_lo_us IS
'Lower bound of the 99th percentile of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p99_hi_us IS
'Upper bound of the 99th percentile of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.p99_est_us IS
'Estimated 99th percentile, in microseconds: mean of the windows'' percentiles, weighted by executions.';

/* The other attributes have the meaning that they have in the API's rows. */
DO $$
DECLARE
	attribute record;
BEGIN
	FOR attribute IN
		SELECT a.attname AS name, col_description(s.attrelid, s.attnum) AS description
		FROM pg_attribute a
		JOIN pg_attribute s ON s.attname = a.attname AND s.attnum > 0
		WHERE a.attrelid = '@extschema@.chpg_period_pattern_row'::regclass AND a.attnum > 0
			AND s.attrelid = '@extschema@.chpg_slow_pattern_row'::regclass
	LOOP
		EXECUTE format('COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.%I IS %L',
			attribute.name, attribute.description);
	END LOOP;
END
$$;

/* For a caller that may not read the history there are no rows, and the API is read instead. */
CREATE FUNCTION @extschema@._chpg_period_hours(period tstzrange, service text, server text DEFAULT NULL)
RETURNS TABLE (service_id text, hours bigint, cutoff_us double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT @extschema@._chpg_history_is_readable() THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT c.service_id, count(*), max(c.cutoff_us)
	FROM capture c
	JOIN @extschema@._chpg_history_services(_chpg_period_hours.service, _chpg_period_hours.server, false) s
		USING (service_id)
	WHERE c.grain = 'hour' AND c.status = 'ok' AND c.window_start >= lower(period) AND c.window_end <= upper(period)
	GROUP BY c.service_id;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_period_hours(tstzrange, text, text) IS
'The number of hours of a period that the history has, for each service.
cutoff_us: greatest cutoff of its truncated hours; null: none was truncated.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_extrapolated(total double precision, known numeric, of numeric)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN known = of THEN total ELSE total / nullif(known, 0)::float8 * of::float8 END;
END;

COMMENT ON FUNCTION @extschema@._chpg_extrapolated(double precision, numeric, numeric) IS
'A total that is known of some of the executions or windows, extrapolated to all of them.
Null if it is known of none.';

/* A query in PL/pgSQL would show its whole text in the CONTEXT of an error of the API. */
CREATE FUNCTION @extschema@._chpg_period_of_api(period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'api', p.service_id, p.query_id, p.query_hex, coalesce(p.db_name, ''), coalesce(p.db_user, ''),
		coalesce(p.db_operation, ''), coalesce(p.app, ''), p.query_text, 1, p.call_count, p.error_count,
		@extschema@._chpg_bounded(p.total_duration_us), @extschema@._chpg_bounded(p.avg_duration_us), p.max_duration_us,
		p.p50_duration_us, p.p50_duration_us, p.p95_duration_us, p.p95_duration_us, p.p95_duration_us,
		p.p99_duration_us, p.p99_duration_us, p.p99_duration_us, p.total_rows, p.total_shared_blks_read,
		p.total_shared_blks_hit, @extschema@._chpg_bounded(p.total_cpu_time_us), p.total_wal_bytes
	FROM @extschema@.chpg_slow_patterns(lower(period), upper(period), service, NULL::text, NULL::text, NULL::text,
		NULL::text, NULL::text, NULL::text, NULL::bigint, server) p;
END;

COMMENT ON FUNCTION @extschema@._chpg_period_of_api(tstzrange, text, text) IS
'The patterns of a period, read from the API.
Requests: as chpg_slow_patterns.';

/*
 * From the history, counters of several windows are summed.  Each sum is extrapolated first
 * to executions whose counter is missing, then to windows whose executions are missing.
 */
CREATE FUNCTION @extschema@.chpg_period_patterns(period tstzrange, service text DEFAULT NULL, server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	IF NOT EXISTS (SELECT FROM @extschema@._chpg_period_hours(period, service, server)) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_period_of_api(period, service, server);
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH summed AS (
		SELECT p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app, min(t.query_text) AS query_text,
			count(DISTINCT p.window_start)::integer AS buckets,
			count(*)::numeric AS windows, count(p.call_count)::numeric AS counted,
			sum(p.call_count) AS calls, sum(p.error_count) AS errors,
			sum(@extschema@._chpg_bounded(p.total_duration_us)) FILTER (WHERE p.call_count IS NOT NULL) AS total_us,
			sum(p.call_count) FILTER (WHERE p.total_duration_us IS NOT NULL) AS timed,
			max(p.max_duration_us) AS max_us,
			min(p.p50_duration_us) AS p50_lo, max(p.p50_duration_us) AS p50_hi,
			min(p.p95_duration_us) AS p95_lo, max(p.p95_duration_us) AS p95_hi,
			min(p.p99_duration_us) AS p99_lo, max(p.p99_duration_us) AS p99_hi,
			sum(@extschema@._chpg_bounded(p.p95_duration_us) * p.call_count)
				/ nullif(sum(p.call_count) FILTER (WHERE p.p95_duration_us IS NOT NULL), 0)::float8 AS p95_us,
			sum(@extschema@._chpg_bounded(p.p99_duration_us) * p.call_count)
				/ nullif(sum(p.call_count) FILTER (WHERE p.p99_duration_us IS NOT NULL), 0)::float8 AS p99_us,
			sum(p.total_rows)::float8 AS rows,
			sum(p.call_count) FILTER (WHERE p.total_rows IS NOT NULL) AS rows_of,
			sum(p.total_shared_blks_read)::float8 AS blks_read,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_read IS NOT NULL) AS read_of,
			sum(p.total_shared_blks_hit)::float8 AS blks_hit,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_hit IS NOT NULL) AS hit_of,
			sum(@extschema@._chpg_bounded(p.total_cpu_time_us)) AS cpu_us,
			sum(p.call_count) FILTER (WHERE p.total_cpu_time_us IS NOT NULL) AS cpu_of,
			sum(p.total_wal_bytes)::float8 AS wal_bytes,
			sum(p.call_count) FILTER (WHERE p.total_wal_bytes IS NOT NULL) AS wal_of
		FROM pattern p
		JOIN pattern_key k USING (pattern_key)
		JOIN query_text t USING (text_id)
		WHERE p.grain = 'hour' AND p.window_start >= lower(period)
			AND p.window_start <= upper(period) - interval '1 hour'
			AND p.service_id = ANY (ARRAY(SELECT s.service_id
				FROM @extschema@._chpg_history_services(chpg_period_patterns.service, chpg_period_patterns.server,
					false) s))
		GROUP BY p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app
	)
	SELECT 'history', service_id, query_id, @extschema@.chpg_query_hex(query_id), db_name, db_user, db_operation, app,
		query_text, buckets,
		@extschema@._chpg_bounded(@extschema@._chpg_extrapolated(calls::float8, counted, windows)::numeric),
		@extschema@._chpg_bounded(errors),
		@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(total_us, timed, calls), counted, windows),
		total_us / nullif(timed, 0)::float8, max_us,
		p50_lo, p50_hi, p95_lo, p95_hi, p95_us, p99_lo, p99_hi, p99_us,
		@extschema@._chpg_bounded(@extschema@._chpg_extrapolated(
			@extschema@._chpg_extrapolated(rows, rows_of, calls), counted, windows)::numeric),
		@extschema@._chpg_bounded(@extschema@._chpg_extrapolated(
			@extschema@._chpg_extrapolated(blks_read, read_of, calls), counted, windows)::numeric),
		@extschema@._chpg_bounded(@extschema@._chpg_extrapolated(
			@extschema@._chpg_extrapolated(blks_hit, hit_of, calls), counted, windows)::numeric),
		@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(cpu_us, cpu_of, calls), counted, windows),
		@extschema@._chpg_bounded(@extschema@._chpg_extrapolated(
			@extschema@._chpg_extrapolated(wal_bytes, wal_of, calls), counted, windows)::numeric)
	FROM summed;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_period_patterns(tstzrange, text, text) IS
'The slow query patterns of a period, from the history or from the API.
The API is read where the history has no hour of the period.
Of one service, by id or name, or of all. The history has the hours that lie within the period.
Requests: none from the history, else as chpg_slow_patterns.
Errors: 22004 period is null; 22023 period is empty or unbounded; those of chpg_slow_patterns.';
