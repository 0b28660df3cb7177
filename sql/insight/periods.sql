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

/* An error of the arguments, or the API's: its CONTEXT would be internal functions and their SQL. */
CREATE FUNCTION @extschema@._chpg_is_refusal(state text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT state IN ('22004', '22023', '42501', '42704', '42712', '42P08', '53400', '55000')
		OR left(state, 2) IN ('08', '28', '54', '58');
END;

COMMENT ON FUNCTION @extschema@._chpg_is_refusal(text) IS
'Whether an error with this SQLSTATE is shown without the internal functions that it came from.';

CREATE TYPE @extschema@.chpg_period_pattern_row AS (
	source text,
	service_id text,
	service_name text,
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
COMMENT ON COLUMN @extschema@.chpg_period_pattern_row.service_name IS
'Name of the service; null if none is known.';
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

/*
 * What a comparison, or findings, are about.  The history is looked into once: its services,
 * and the hours that it has of each period.  For a caller that may not read the history
 * there are none, and the API is read instead.
 */
CREATE TYPE @extschema@._chpg_service_hours AS (
	service_id text,
	hours bigint,
	cutoff_us double precision
);

COMMENT ON TYPE @extschema@._chpg_service_hours IS 'The hours of a period that the history has of a service.';
COMMENT ON COLUMN @extschema@._chpg_service_hours.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@._chpg_service_hours.hours IS 'Number of hours that were captured.';
COMMENT ON COLUMN @extschema@._chpg_service_hours.cutoff_us IS
'Greatest cutoff of the truncated hours, in microseconds; null: none was truncated.';

CREATE TYPE @extschema@._chpg_scope AS (
	service text,
	server text,
	baseline tstzrange,
	period tstzrange,
	service_ids text[],
	baseline_hours @extschema@._chpg_service_hours[],
	period_hours @extschema@._chpg_service_hours[]
);

COMMENT ON TYPE @extschema@._chpg_scope IS 'What a comparison, or findings, are about.';
COMMENT ON COLUMN @extschema@._chpg_scope.service IS 'Id or name of a service; null: the fleet.';
COMMENT ON COLUMN @extschema@._chpg_scope.server IS 'Foreign server; null: the default one, and all in the history.';
COMMENT ON COLUMN @extschema@._chpg_scope.baseline IS 'Period to compare with; null: none.';
COMMENT ON COLUMN @extschema@._chpg_scope.period IS 'Period to judge.';
COMMENT ON COLUMN @extschema@._chpg_scope.service_ids IS 'Services in the history; empty if it cannot be read.';
COMMENT ON COLUMN @extschema@._chpg_scope.baseline_hours IS 'Hours of the baseline in the history; may be empty.';
COMMENT ON COLUMN @extschema@._chpg_scope.period_hours IS 'Hours of the period in the history; may be empty.';

CREATE FUNCTION @extschema@._chpg_length_hours(scope @extschema@._chpg_scope)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT extract(epoch FROM upper(scope.period) - lower(scope.period))::float8 / 3600;
END;

COMMENT ON FUNCTION @extschema@._chpg_length_hours(@extschema@._chpg_scope) IS 'Length of the period, in hours.';

CREATE FUNCTION @extschema@._chpg_period_hours(period tstzrange, service_ids text[])
RETURNS @extschema@._chpg_service_hours[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN ARRAY(
		SELECT ROW(c.service_id, count(*), max(c.cutoff_us))::@extschema@._chpg_service_hours
		FROM capture c
		WHERE c.service_id = ANY (service_ids) AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= lower(period) AND c.window_end <= upper(period)
		GROUP BY c.service_id);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_period_hours(tstzrange, text[]) IS
'The hours of a period that the history has, for each of some services that has any.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_scope_of(baseline tstzrange, period tstzrange, service text, server text)
RETURNS @extschema@._chpg_scope
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	scope @extschema@._chpg_scope := ROW(service, server, baseline, period, '{}', '{}', '{}');
BEGIN
	IF @extschema@._chpg_history_is_readable() THEN
		scope.service_ids := ARRAY(SELECT s.service_id
			FROM @extschema@._chpg_history_services(service, server, false) s);
		scope.period_hours := @extschema@._chpg_period_hours(period, scope.service_ids);
		IF baseline IS NOT NULL THEN
			scope.baseline_hours := @extschema@._chpg_period_hours(baseline, scope.service_ids);
		END IF;
	END IF;
	RETURN scope;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_scope_of(tstzrange, tstzrange, text, text) IS
'What is to be read, and what the history has of it.
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
	SELECT 'api', p.service_id, p.service_name, p.query_id, p.query_hex, coalesce(p.db_name, ''), coalesce(p.db_user, ''),
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

CREATE TYPE @extschema@._chpg_pattern_hour AS (
	window_start timestamptz,
	call_count double precision,
	total_duration_us double precision,
	p95_duration_us double precision
);

COMMENT ON TYPE @extschema@._chpg_pattern_hour IS 'An hour of a pattern, for comparing hours with each other.';
COMMENT ON COLUMN @extschema@._chpg_pattern_hour.window_start IS 'Start of the hour.';
COMMENT ON COLUMN @extschema@._chpg_pattern_hour.call_count IS 'Executions.';
COMMENT ON COLUMN @extschema@._chpg_pattern_hour.total_duration_us IS 'Time of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_pattern_hour.p95_duration_us IS '95th percentile, in microseconds.';

CREATE TYPE @extschema@._chpg_latest_hours AS (
	since timestamptz,
	hours bigint,
	call_count double precision,
	avg_duration_us double precision,
	p95_duration_us double precision,
	same_avg_us double precision,
	same_p95_us double precision
);

COMMENT ON TYPE @extschema@._chpg_latest_hours IS
'The hours of a pattern that are all worse, up to the latest one of a period.';
COMMENT ON COLUMN @extschema@._chpg_latest_hours.since IS 'Start of the first of them.';
COMMENT ON COLUMN @extschema@._chpg_latest_hours.hours IS 'How many hours with enough executions.';
COMMENT ON COLUMN @extschema@._chpg_latest_hours.call_count IS 'Executions.';
COMMENT ON COLUMN @extschema@._chpg_latest_hours.avg_duration_us IS 'Mean time of an execution, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_latest_hours.p95_duration_us IS
'Mean of the hours'' 95th percentiles, weighted by executions, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_latest_hours.same_avg_us IS
'Mean time of an execution in the baseline at these times of day; null: it has none.';
COMMENT ON COLUMN @extschema@._chpg_latest_hours.same_p95_us IS
'95th percentile of the baseline at these times of day, likewise.';

/* Patterns of two periods side by side. */
CREATE TYPE @extschema@._chpg_pattern_pair AS (
	a @extschema@.chpg_period_pattern_row,
	b @extschema@.chpg_period_pattern_row,
	text_id integer,
	query_text text,
	hours bigint,
	hours_p95 bigint,
	hours_avg bigint,
	hours_better bigint,
	baseline_hours bigint,
	latest_avg @extschema@._chpg_latest_hours,
	latest_p95 @extschema@._chpg_latest_hours,
	is_batch boolean
);

COMMENT ON TYPE @extschema@._chpg_pattern_pair IS 'A pattern in two periods, without its text in each.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.a IS 'The pattern in the baseline; null where it is not there.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.b IS 'The pattern in the period; null where it is not there.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.text_id IS 'Which text of the history it has, for _chpg_query_texts.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.query_text IS 'Its text, if it comes from the API.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.hours IS
'Hours of the period that are compared with those of the baseline; null: none.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.hours_p95 IS
'Hours whose 95th percentile is above the 90th percentile of the baseline''s hours.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.hours_avg IS
'Hours whose mean is above the 90th percentile of the baseline''s hours.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.hours_better IS
'Hours whose mean is below the 10th percentile of the baseline''s hours.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.baseline_hours IS 'Hours of the baseline that they are compared with.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.latest_avg IS
'The latest hours, if the mean of each of at least three is worse; else null.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.latest_p95 IS
'The latest hours, if the 95th percentile of each of at least three is worse; else null.';
COMMENT ON COLUMN @extschema@._chpg_pattern_pair.is_batch IS
'Whether the history shows it to be a batch job; null if nobody asked.';

CREATE AGGREGATE @extschema@._chpg_concat(@extschema@._chpg_pattern_hour[]) (
	SFUNC = array_cat,
	STYPE = @extschema@._chpg_pattern_hour[],
	PARALLEL = safe
);

COMMENT ON AGGREGATE @extschema@._chpg_concat(@extschema@._chpg_pattern_hour[]) IS 'The hours of several arrays.';

CREATE FUNCTION @extschema@._chpg_join_hours(hours @extschema@._chpg_pattern_hour[])
RETURNS @extschema@._chpg_pattern_hour[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT array_agg(ROW(j.window_start, j.calls, j.total_us, j.p95_us)::@extschema@._chpg_pattern_hour)
	FROM (
		SELECT h.window_start, sum(h.call_count) FILTER (WHERE counts) AS calls,
			sum(h.total_duration_us) FILTER (WHERE counts) AS total_us,
			sum(h.p95_duration_us * h.call_count) FILTER (WHERE counts)
				/ sum(h.call_count) FILTER (WHERE counts AND h.p95_duration_us IS NOT NULL) AS p95_us
		FROM unnest(hours) h
		CROSS JOIN LATERAL (SELECT h.call_count > 0 AND h.total_duration_us IS NOT NULL AS counts) c
		GROUP BY h.window_start
	) j;
END;

COMMENT ON FUNCTION @extschema@._chpg_join_hours(@extschema@._chpg_pattern_hour[]) IS
'The hours of a pattern that had several texts, each hour once.';

/* A time of day is the same if the hours of the two periods start at the same minute of UTC's day. */
CREATE FUNCTION @extschema@._chpg_latest_of(before @extschema@._chpg_pattern_hour[],
	after @extschema@._chpg_pattern_hour[], enough double precision, since timestamptz)
RETURNS @extschema@._chpg_latest_hours
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT ROW(min(h.window_start) FILTER (WHERE h.is_after), count(*) FILTER (WHERE h.is_after),
		sum(h.call_count) FILTER (WHERE h.is_after),
		sum(h.total_duration_us) FILTER (WHERE h.is_after) / sum(h.call_count) FILTER (WHERE h.is_after),
		sum(h.p95_duration_us * h.call_count) FILTER (WHERE h.is_after)
			/ sum(h.call_count) FILTER (WHERE h.is_after AND h.p95_duration_us IS NOT NULL),
		sum(h.total_duration_us) FILTER (WHERE NOT h.is_after) / sum(h.call_count) FILTER (WHERE NOT h.is_after),
		sum(h.p95_duration_us * h.call_count) FILTER (WHERE NOT h.is_after)
			/ sum(h.call_count) FILTER (WHERE NOT h.is_after AND h.p95_duration_us IS NOT NULL)
		)::@extschema@._chpg_latest_hours
	FROM (
		SELECT true AS is_after, a.* FROM unnest(after) a WHERE a.window_start >= since
		UNION ALL
		SELECT false, b.*
		FROM unnest(before) b
		WHERE extract(epoch FROM b.window_start) % 86400 IN (
			SELECT extract(epoch FROM a.window_start) % 86400 FROM unnest(after) a WHERE a.window_start >= since)
	) h
	WHERE h.call_count > 0 AND h.call_count >= enough AND h.total_duration_us IS NOT NULL;
END;

COMMENT ON FUNCTION @extschema@._chpg_latest_of(@extschema@._chpg_pattern_hour[], @extschema@._chpg_pattern_hour[],
	double precision, timestamptz) IS
'What a pattern did in its hours since a time, and in the baseline at these times of day.
enough: executions from which an hour counts.';

/*
 * If there are no hours to compare with, no hour is worse.  The 90th percentile of a few
 * hours is the greatest of them.
 */
CREATE FUNCTION @extschema@._chpg_worse_hours(before @extschema@._chpg_pattern_hour[],
	after @extschema@._chpg_pattern_hour[], enough double precision)
RETURNS TABLE (hours bigint, hours_p95 bigint, hours_avg bigint, hours_better bigint, baseline_hours bigint,
	latest_avg @extschema@._chpg_latest_hours, latest_p95 @extschema@._chpg_latest_hours)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT w.hours, w.hours_p95, w.hours_avg, w.hours_better, w.baseline_hours,
		CASE WHEN w.last >= w.avg_since + interval '2 hours' THEN
			@extschema@._chpg_latest_of(before, after, enough, w.avg_since) END,
		CASE WHEN w.last >= w.p95_since + interval '2 hours' THEN
			@extschema@._chpg_latest_of(before, after, enough, w.p95_since) END
	FROM (
		SELECT count(*) AS hours, count(*) FILTER (WHERE b.p95_duration_us > a.p95_us) AS hours_p95,
			count(*) FILTER (WHERE b.total_duration_us / b.call_count > a.avg_us[2]) AS hours_avg,
			count(*) FILTER (WHERE b.total_duration_us / b.call_count < a.avg_us[1]) AS hours_better,
			max(a.hours) AS baseline_hours, max(b.window_start) AS last,
			coalesce(max(b.window_start) FILTER (WHERE b.total_duration_us / b.call_count <= a.avg_us[2])
				+ interval '1 hour', min(b.window_start)) AS avg_since,
			coalesce(max(b.window_start) FILTER (WHERE (b.p95_duration_us <= a.p95_us) IS NOT FALSE)
				+ interval '1 hour', min(b.window_start)) AS p95_since
		FROM (
			SELECT count(*) AS hours, percentile_disc(0.9) WITHIN GROUP (ORDER BY h.p95_duration_us) AS p95_us,
				percentile_disc('{0.1,0.9}'::float8[]) WITHIN GROUP (ORDER BY h.total_duration_us / h.call_count)
					AS avg_us
			FROM unnest(before) h
			WHERE h.call_count > 0 AND h.call_count >= enough AND h.total_duration_us IS NOT NULL
		) a
		JOIN unnest(after) b ON b.call_count > 0 AND b.call_count >= enough AND b.total_duration_us IS NOT NULL
		WHERE a.hours > 0
		HAVING count(*) > 0
	) w;
END;

COMMENT ON FUNCTION @extschema@._chpg_worse_hours(@extschema@._chpg_pattern_hour[], @extschema@._chpg_pattern_hour[],
	double precision) IS
'How many hours of a pattern are worse, or better, than its hours of the baseline (before).
enough: executions from which an hour counts. No row without hours to compare.
Worse: 95th percentile, or mean, above the 90th percentile of the baseline''s hours. Better:
  mean below the 10th. latest_avg, latest_p95: null, unless the last hours are all worse.';

CREATE FUNCTION @extschema@._chpg_counted(value double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN abs(value) < 1e15 AND value = trunc(value) THEN value::bigint
		ELSE @extschema@._chpg_bounded(value::numeric) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_counted(double precision) IS 'The value as bigint, or the nearest bigint.';

/*
 * Rows are summed by the key of the pattern.  A pattern of several texts has several keys,
 * whose sums are joined then.  Each sum is extrapolated first to executions whose counter
 * is missing, then to windows whose executions are missing.
 *
 * Callers go from some services to the next ones, so that memory is bounded.  A plan for
 * these very rows takes each of them for a group of its own, and sorts them.
 */
CREATE FUNCTION @extschema@._chpg_sum_patterns(service_ids text[], period tstzrange, keys integer[])
RETURNS TABLE (pattern @extschema@.chpg_period_pattern_row, keys_summed integer[], text_id integer,
	hours @extschema@._chpg_pattern_hour[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
	services integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	-- a few patterns of many services are found faster by reading all rows in turn
	IF keys IS NOT NULL THEN
		PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
	END IF;
	services := ARRAY(SELECT s.service_key FROM service_key s WHERE s.service_id = ANY (service_ids));
	RETURN QUERY
	WITH by_key AS (
		SELECT p.service_key, p.pattern_key,
			array_agg(ROW(p.window_start, p.call_count, p.total_duration_us,
				p.p95_duration_us * p.call_count / nullif(p.call_count, 0)::float8
				)::@extschema@._chpg_pattern_hour) AS hours,
			count(*) AS windows, count(p.call_count) AS counted,
			sum(p.call_count) AS calls, sum(p.error_count) AS errors,
			sum(p.total_duration_us) FILTER (WHERE p.call_count IS NOT NULL) AS total_us,
			sum(p.call_count) FILTER (WHERE p.total_duration_us IS NOT NULL) AS timed,
			max(p.max_duration_us) AS max_us,
			min(p.p50_duration_us) AS p50_lo, max(p.p50_duration_us) AS p50_hi,
			min(p.p95_duration_us) AS p95_lo, max(p.p95_duration_us) AS p95_hi,
			min(p.p99_duration_us) AS p99_lo, max(p.p99_duration_us) AS p99_hi,
			sum(p.p95_duration_us * p.call_count) AS p95_us,
			sum(p.call_count) FILTER (WHERE p.p95_duration_us IS NOT NULL) AS p95_of,
			sum(p.p99_duration_us * p.call_count) AS p99_us,
			sum(p.call_count) FILTER (WHERE p.p99_duration_us IS NOT NULL) AS p99_of,
			sum(p.total_rows) AS rows,
			sum(p.call_count) FILTER (WHERE p.total_rows IS NOT NULL) AS rows_of,
			sum(p.total_shared_blks_read) AS blks_read,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_read IS NOT NULL) AS read_of,
			sum(p.total_shared_blks_hit) AS blks_hit,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_hit IS NOT NULL) AS hit_of,
			sum(p.total_cpu_time_us) AS cpu_us,
			sum(p.call_count) FILTER (WHERE p.total_cpu_time_us IS NOT NULL) AS cpu_of,
			sum(p.total_wal_bytes) AS wal_bytes,
			sum(p.call_count) FILTER (WHERE p.total_wal_bytes IS NOT NULL) AS wal_of
		FROM @extschema@._chpg_window_hour() p
		WHERE p.service_key = ANY (services) AND p.window_start >= lower(period)
			AND p.window_start <= upper(period) - interval '1 hour' AND (keys IS NULL OR p.pattern_key = ANY (keys))
		GROUP BY p.service_key, p.pattern_key
	), named AS MATERIALIZED (
		SELECT k.service_key, k.service_id, (SELECT s.service_name FROM service s WHERE s.service_id = k.service_id
				AND s.service_name IS NOT NULL ORDER BY s.valid_to DESC, s.valid_from DESC LIMIT 1) AS service_name
		FROM service_key k
		WHERE k.service_key = ANY (services)
	), summed AS (
		SELECT s.service_key, k.query_id, k.db_name, k.db_user, k.db_operation, k.app, array_agg(s.pattern_key) AS keys,
			CASE count(*) WHEN 1 THEN min(k.text_id)
				ELSE (SELECT t.text_id FROM query_text t WHERE t.text_id = ANY (array_agg(k.text_id))
					ORDER BY t.query_text LIMIT 1) END AS text_id,
			CASE count(*) WHEN 1 THEN @extschema@._chpg_concat(s.hours)
				ELSE @extschema@._chpg_join_hours(@extschema@._chpg_concat(s.hours)) END AS hours,
			sum(s.windows) AS windows, sum(s.counted) AS counted, sum(s.calls) AS calls, sum(s.errors) AS errors,
			sum(s.total_us) AS total_us, sum(s.timed) AS timed, max(s.max_us) AS max_us,
			min(s.p50_lo) AS p50_lo, max(s.p50_hi) AS p50_hi, min(s.p95_lo) AS p95_lo, max(s.p95_hi) AS p95_hi,
			min(s.p99_lo) AS p99_lo, max(s.p99_hi) AS p99_hi,
			sum(s.p95_us) / nullif(sum(s.p95_of), 0)::float8 AS p95_us,
			sum(s.p99_us) / nullif(sum(s.p99_of), 0)::float8 AS p99_us,
			sum(s.rows)::float8 AS rows, sum(s.rows_of) AS rows_of,
			sum(s.blks_read)::float8 AS blks_read, sum(s.read_of) AS read_of,
			sum(s.blks_hit)::float8 AS blks_hit, sum(s.hit_of) AS hit_of,
			sum(s.cpu_us) AS cpu_us, sum(s.cpu_of) AS cpu_of,
			sum(s.wal_bytes)::float8 AS wal_bytes, sum(s.wal_of) AS wal_of
		FROM by_key s
		CROSS JOIN LATERAL (SELECT k.* FROM pattern_key k WHERE k.pattern_key = s.pattern_key OFFSET 0) k
		GROUP BY s.service_key, k.query_id, k.db_name, k.db_user, k.db_operation, k.app
	)
	SELECT ROW('history', sk.service_id, sk.service_name, e.query_id, @extschema@.chpg_query_hex(e.query_id), e.db_name,
			e.db_user, e.db_operation, e.app, NULL, cardinality(e.hours), @extschema@._chpg_counted(e.all_calls),
			@extschema@._chpg_bounded(e.errors), e.all_us, e.total_us / nullif(e.timed, 0)::float8, e.max_us,
			e.p50_lo, e.p50_hi, e.p95_lo, e.p95_hi, e.p95_us, e.p99_lo, e.p99_hi, e.p99_us,
			@extschema@._chpg_counted(e.all_rows), @extschema@._chpg_counted(e.all_read),
			@extschema@._chpg_counted(e.all_hit), e.all_cpu_us, @extschema@._chpg_counted(e.all_wal)
		)::@extschema@.chpg_period_pattern_row,
		e.keys, e.text_id, e.hours
	FROM (
		SELECT s.*, @extschema@._chpg_extrapolated(calls::float8, counted, windows) AS all_calls,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(total_us, timed, calls), counted, windows)
				AS all_us,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(rows, rows_of, calls), counted, windows)
				AS all_rows,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(blks_read, read_of, calls), counted, windows)
				AS all_read,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(blks_hit, hit_of, calls), counted, windows)
				AS all_hit,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(cpu_us, cpu_of, calls), counted, windows)
				AS all_cpu_us,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(wal_bytes, wal_of, calls), counted, windows)
				AS all_wal
		FROM summed s
		OFFSET 0
	) e
	JOIN named sk ON sk.service_key = e.service_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_sum_patterns(text[], tstzrange, integer[]) IS
'The patterns of services in a period of the history, without their texts, and their hours.
keys: only the patterns with these keys; null: all. text_id: the first one of its texts.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_pairs_of_history(scope @extschema@._chpg_scope, enough double precision)
RETURNS SETOF @extschema@._chpg_pattern_pair
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	portion CONSTANT integer := 4;
	ids text[];
BEGIN
	FOR i IN 1 .. cardinality(scope.service_ids) BY portion LOOP
		ids := scope.service_ids[i : i + portion - 1];
		RETURN QUERY
		SELECT a.pattern, b.pattern, coalesce(b.text_id, a.text_id), NULL::text, w.*, NULL::boolean
		FROM @extschema@._chpg_sum_patterns(ids, scope.baseline, NULL::integer[]) a
		FULL JOIN @extschema@._chpg_sum_patterns(ids, scope.period, NULL::integer[]) b
			ON (a.pattern).service_id = (b.pattern).service_id AND (a.pattern).query_id = (b.pattern).query_id
			AND (a.pattern).db_name = (b.pattern).db_name
			AND (a.pattern).db_user = (b.pattern).db_user AND (a.pattern).db_operation = (b.pattern).db_operation
			AND (a.pattern).app = (b.pattern).app
		LEFT JOIN LATERAL @extschema@._chpg_worse_hours(a.hours, b.hours, enough) w ON true;
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_pairs_of_history(@extschema@._chpg_scope, double precision) IS
'The patterns of the baseline, unless that is null, and of the period, from the history.
enough: executions from which an hour is compared with others.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_query_texts(ids integer[])
RETURNS TABLE (text_id integer, query_text text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF cardinality(ids) > 0 THEN
		PERFORM @extschema@._chpg_history_enter();
		RETURN QUERY SELECT t.text_id, t.query_text FROM query_text t WHERE t.text_id = ANY (ids);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_query_texts(integer[]) IS
'Texts of the history. Without ids, nothing is read.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_with_text(pattern @extschema@.chpg_period_pattern_row, query_text text)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pattern.source, pattern.service_id, pattern.service_name, pattern.query_id, pattern.query_hex,
		pattern.db_name, pattern.db_user, pattern.db_operation, pattern.app, _chpg_with_text.query_text,
		pattern.buckets, pattern.call_count, pattern.error_count,
		pattern.total_duration_us, pattern.avg_duration_us, pattern.max_duration_us,
		pattern.p50_lo_us, pattern.p50_hi_us, pattern.p95_lo_us, pattern.p95_hi_us, pattern.p95_est_us,
		pattern.p99_lo_us, pattern.p99_hi_us, pattern.p99_est_us, pattern.total_rows, pattern.total_shared_blks_read,
		pattern.total_shared_blks_hit, pattern.total_cpu_time_us, pattern.total_wal_bytes;
END;

COMMENT ON FUNCTION @extschema@._chpg_with_text(@extschema@.chpg_period_pattern_row, text) IS
'A pattern with its text, as one row.';

CREATE FUNCTION @extschema@._chpg_patterns_of(scope @extschema@._chpg_scope)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pairs @extschema@._chpg_pattern_pair[];
BEGIN
	IF cardinality(scope.period_hours) = 0 THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_period_of_api(scope.period, scope.service, scope.server);
		RETURN;
	END IF;
	pairs := ARRAY(SELECT p FROM @extschema@._chpg_pairs_of_history(scope, 'infinity'::float8) p);
	RETURN QUERY
	SELECT w.*
	FROM unnest(pairs) p
	LEFT JOIN @extschema@._chpg_query_texts(ARRAY(SELECT q.text_id FROM unnest(pairs) q)) t USING (text_id)
	CROSS JOIN LATERAL @extschema@._chpg_with_text(p.b, t.query_text) w;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_patterns_of(@extschema@._chpg_scope) IS
'The patterns of a period, from the history, or from the API where that has no hour of it.
Requests: as chpg_period_patterns.';

CREATE FUNCTION @extschema@.chpg_period_patterns(period tstzrange, service text DEFAULT NULL, server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	RETURN QUERY SELECT * FROM @extschema@._chpg_patterns_of(
		@extschema@._chpg_scope_of(NULL::tstzrange, period, service, server));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	message := CASE WHEN @extschema@._chpg_is_refusal(SQLSTATE) THEN
		@extschema@._chpg_raise(SQLSTATE, message, nullif(detail, ''), nullif(hint, ''), NULL::text) END;
	RAISE;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_period_patterns(tstzrange, text, text) IS
'The slow query patterns of a period, from the history or from the API.
The API is read where the history has no hour of the period.
Of one service, by id or name, or of all. Captured hours count that lie wholly in the period.
Requests: none from the history, else as chpg_slow_patterns.
Errors: 22004 period is null; 22023 period is empty or unbounded; those of chpg_slow_patterns.';

/*
 * Where the history does not have both periods, one of them, or both, come from the API, and
 * there are no hours to compare.  What comes from the API is read first, so that the CONTEXT
 * of an error does not show a whole query.
 */
CREATE FUNCTION @extschema@._chpg_pairs_of(scope @extschema@._chpg_scope, enough double precision)
RETURNS SETOF @extschema@._chpg_pattern_pair
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	earlier @extschema@._chpg_scope := scope;
	before @extschema@.chpg_period_pattern_row[];
	after @extschema@.chpg_period_pattern_row[];
BEGIN
	IF cardinality(scope.baseline_hours) > 0 AND cardinality(scope.period_hours) > 0 THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_pairs_of_history(scope, enough);
		RETURN;
	END IF;
	earlier.period := scope.baseline;
	earlier.period_hours := scope.baseline_hours;
	earlier.baseline := NULL;
	scope.baseline := NULL;
	before := ARRAY(SELECT p FROM @extschema@._chpg_patterns_of(earlier) p);
	after := ARRAY(SELECT p FROM @extschema@._chpg_patterns_of(scope) p);
	RETURN QUERY
	SELECT a.pattern, b.pattern, NULL::integer, coalesce(b.query_text, a.query_text), NULL::bigint, NULL::bigint,
		NULL::bigint, NULL::bigint, NULL::bigint, NULL::@extschema@._chpg_latest_hours,
		NULL::@extschema@._chpg_latest_hours, NULL::boolean
	FROM (SELECT p AS pattern, p.* FROM unnest(before) p) a
	FULL JOIN (SELECT p AS pattern, p.* FROM unnest(after) p) b
		USING (service_id, query_id, db_name, db_user, db_operation, app);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_pairs_of(@extschema@._chpg_scope, double precision) IS
'The patterns of two periods side by side, from the history or from the API.
enough: executions from which an hour is compared with others.
Requests: none from the history, else as chpg_slow_patterns for each period.';
