/*
 * Comparison: what changed between two windows.
 *
 * Windows come from the history where it has them, else from the API.
 */

CREATE FUNCTION chpg_check_period(name text, period tstzrange)
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
	END IF;
END
$$;

COMMENT ON FUNCTION chpg_check_period(text, tstzrange) IS 'Error 22004 or 22023 unless it is a window that can be asked for. For the functions that compare.';

CREATE FUNCTION chpg_check_periods(baseline tstzrange, period tstzrange)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.chpg_check_period('baseline', baseline);
	PERFORM @extschema@.chpg_check_period('period', period);
	IF upper(baseline) > lower(period) THEN
		RAISE EXCEPTION 'baseline "%" does not end before period "%" begins', baseline, period
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give two windows that do not overlap, the earlier one as baseline.';
	END IF;
END
$$;

COMMENT ON FUNCTION chpg_check_periods(tstzrange, tstzrange) IS 'Error 22004 or 22023 unless these are two windows, one before the other. For the functions that compare.';

CREATE TYPE chpg_period_pattern_row AS (
	source text,
	service_id text,
	query_id bigint,
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

COMMENT ON TYPE chpg_period_pattern_row IS 'A normalized query and the sum of its executions in a period, which may join several windows.';
COMMENT ON COLUMN chpg_period_pattern_row.source IS 'history, or api.';
COMMENT ON COLUMN chpg_period_pattern_row.buckets IS 'Windows that were joined; 1 from the API.';
COMMENT ON COLUMN chpg_period_pattern_row.p50_lo_us IS 'The median of all executions is not below it, in microseconds.';
COMMENT ON COLUMN chpg_period_pattern_row.p50_hi_us IS 'The median of all executions is not above it, in microseconds.';
COMMENT ON COLUMN chpg_period_pattern_row.p95_lo_us IS 'The 95th percentile of all executions is not below it, in microseconds.';
COMMENT ON COLUMN chpg_period_pattern_row.p95_hi_us IS 'The 95th percentile of all executions is not above it, in microseconds.';
COMMENT ON COLUMN chpg_period_pattern_row.p95_est_us IS 'Mean of the windows'' 95th percentiles, weighted by executions: an estimate, in microseconds.';
COMMENT ON COLUMN chpg_period_pattern_row.p99_lo_us IS 'The 99th percentile of all executions is not below it, in microseconds.';
COMMENT ON COLUMN chpg_period_pattern_row.p99_hi_us IS 'The 99th percentile of all executions is not above it, in microseconds.';
COMMENT ON COLUMN chpg_period_pattern_row.p99_est_us IS 'Mean of the windows'' 99th percentiles, weighted by executions: an estimate, in microseconds.';

/* The other attributes mean what they do in the rows of the API. */
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

/*
 * The hours of a period that the history has.  Who may not read the history has
 * none, and asks the API.
 */
CREATE FUNCTION chpg_period_hours(period tstzrange, service text)
RETURNS TABLE (service_id text, hours bigint, cutoff_us double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM @extschema@.chpg_history_place h
		WHERE CASE WHEN has_schema_privilege(h.schema_name, 'USAGE')
			THEN has_table_privilege(format('%I.pattern', h.schema_name), 'SELECT') END) THEN
		RETURN;
	END IF;
	PERFORM @extschema@.chpg_history_enter();
	RETURN QUERY
	SELECT c.service_id, count(*), max(c.cutoff_us)
	FROM capture c
	WHERE c.grain = 'hour' AND c.status = 'ok' AND c.window_start >= lower(period) AND c.window_end <= upper(period)
		AND (service IS NULL OR c.service_id IN (SELECT s.service_id FROM service s
			WHERE chpg_period_hours.service IN (s.service_id, s.name)))
	GROUP BY c.service_id;
END
$$;

COMMENT ON FUNCTION chpg_period_hours(tstzrange, text) IS
'For each service, the hours of the period that the history has, and the greatest cut-off of those that were truncated, in microseconds; no row where the API is to be asked. Sends no request. For the functions that compare.';

CREATE FUNCTION chpg_history_has(period tstzrange, service text)
RETURNS boolean
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM chpg_period_hours(period, service));
END;

COMMENT ON FUNCTION chpg_history_has(tstzrange, text) IS 'Whether there is a history, that the caller may read, with an hour of the period, of the service or, if null, of any. Sends no request.';

CREATE FUNCTION chpg_period_of_history(period tstzrange, service text)
RETURNS SETOF chpg_period_pattern_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	RETURN QUERY
	SELECT 'history', p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app, min(t.query_text),
		count(DISTINCT p.window_start)::integer, sum(p.call_count)::bigint, sum(p.error_count)::bigint,
		sum(p.total_duration_us), sum(p.total_duration_us) / nullif(sum(p.call_count), 0)::float8, max(p.max_duration_us),
		min(p.p50_duration_us), max(p.p50_duration_us), min(p.p95_duration_us), max(p.p95_duration_us),
		sum(p.p95_duration_us * p.call_count) / nullif(sum(p.call_count), 0)::float8,
		min(p.p99_duration_us), max(p.p99_duration_us),
		sum(p.p99_duration_us * p.call_count) / nullif(sum(p.call_count), 0)::float8,
		sum(p.total_rows)::bigint, sum(p.total_shared_blks_read)::bigint, sum(p.total_shared_blks_hit)::bigint,
		sum(p.total_cpu_time_us), sum(p.total_wal_bytes)::bigint
	FROM pattern p
	JOIN pattern_key k USING (pattern_key)
	JOIN query_text t USING (text_id)
	WHERE p.grain = 'hour' AND p.window_start >= lower(period) AND p.window_start + interval '1 hour' <= upper(period)
		AND (service IS NULL OR p.service_id IN (SELECT s.service_id FROM service s
			WHERE chpg_period_of_history.service IN (s.service_id, s.name)))
	GROUP BY p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app;
END
$$;

COMMENT ON FUNCTION chpg_period_of_history(tstzrange, text) IS 'The patterns of a period that the history has. Sends no request. For chpg_period_patterns.';

CREATE FUNCTION chpg_period_patterns(period tstzrange, service text DEFAULT NULL, server text DEFAULT NULL)
RETURNS SETOF chpg_period_pattern_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.chpg_check_period('period', period);
	IF @extschema@.chpg_history_has(period, service) THEN
		RETURN QUERY SELECT * FROM @extschema@.chpg_period_of_history(period, service);
	ELSE
		RETURN QUERY
		SELECT 'api', p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation, p.app, p.query_text, 1,
			p.call_count, p.error_count, p.total_duration_us, p.avg_duration_us, p.max_duration_us,
			p.p50_duration_us, p.p50_duration_us, p.p95_duration_us, p.p95_duration_us, p.p95_duration_us,
			p.p99_duration_us, p.p99_duration_us, p.p99_duration_us, p.total_rows, p.total_shared_blks_read,
			p.total_shared_blks_hit, p.total_cpu_time_us, p.total_wal_bytes
		FROM @extschema@.chpg_slow_patterns(lower(period), upper(period), service, server => server) p;
	END IF;
END
$$;

COMMENT ON FUNCTION chpg_period_patterns(tstzrange, text, text) IS
'The patterns of a service, by id or name, or of all, in a period: from the hours of the history that are within it, or where it has none, from the API, as chpg_slow_patterns. Errors: 22004, 22023, those of chpg_slow_patterns.';

/* Whether the hours of a period are mostly worse than those of the baseline were. */
CREATE FUNCTION chpg_worse_hours(baseline tstzrange, period tstzrange, service text)
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text,
	hours bigint, hours_p95 bigint, hours_avg bigint, baseline_hours bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	RETURN QUERY
	WITH measured AS (
		SELECT p.*, k.query_id, k.db_name, k.db_user, k.db_operation, k.app,
			p.window_start >= lower(baseline) AND p.window_start + interval '1 hour' <= upper(baseline) AS before,
			p.window_start >= lower(period) AND p.window_start + interval '1 hour' <= upper(period) AS after
		FROM pattern p
		JOIN pattern_key k USING (pattern_key)
		WHERE p.grain = 'hour' AND p.call_count >= 20
			AND p.window_start >= least(lower(baseline), lower(period))
			AND p.window_start < greatest(upper(baseline), upper(period))
	), limits AS (
		SELECT service_id, query_id, db_name, db_user, db_operation, app, count(*) AS hours,
			percentile_disc(0.9) WITHIN GROUP (ORDER BY p95_duration_us) AS p95_us,
			percentile_disc(0.9) WITHIN GROUP (ORDER BY avg_duration_us) AS avg_us
		FROM measured WHERE before GROUP BY 1, 2, 3, 4, 5, 6
	)
	SELECT m.service_id, m.query_id, m.db_name, m.db_user, m.db_operation, m.app, count(*),
		count(*) FILTER (WHERE m.p95_duration_us > l.p95_us),
		count(*) FILTER (WHERE m.avg_duration_us > l.avg_us), max(l.hours)
	FROM measured m
	JOIN limits l USING (service_id, query_id, db_name, db_user, db_operation, app)
	WHERE m.after
	GROUP BY 1, 2, 3, 4, 5, 6;
END
$$;

COMMENT ON FUNCTION chpg_worse_hours(tstzrange, tstzrange, text) IS
'For each pattern with at least 20 executions in an hour: hours of the period, and those of them whose 95th percentile, or mean, is above nine tenths of the baseline''s. Sends no request. For chpg_compare. Error 55000: there is no history.';

CREATE TYPE chpg_change_row AS (
	change text,
	service_id text,
	query_id bigint,
	db_name text,
	db_user text,
	db_operation text,
	app text,
	query_text text,
	baseline_calls_per_h double precision,
	calls_per_h double precision,
	baseline_avg_us double precision,
	avg_us double precision,
	baseline_p95_lo_us double precision,
	baseline_p95_hi_us double precision,
	p95_lo_us double precision,
	p95_hi_us double precision,
	baseline_time_share double precision,
	time_share double precision,
	excess_s double precision,
	cause text,
	hours_worse text,
	confidence text
);

COMMENT ON TYPE chpg_change_row IS 'What became of a pattern between two windows.';
COMMENT ON COLUMN chpg_change_row.change IS 'new, new? (the baseline was truncated, or lacks a quarter of its hours, so that it may only not have been seen), gone, regressed, improved, surged (more executions, no slower), steady, or unknown (the history has none of the service''s hours of one of the windows).';
COMMENT ON COLUMN chpg_change_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN chpg_change_row.query_id IS 'Hash of the normalized query, PostgreSQL''s own.';
COMMENT ON COLUMN chpg_change_row.db_name IS 'Database.';
COMMENT ON COLUMN chpg_change_row.db_user IS 'Database user.';
COMMENT ON COLUMN chpg_change_row.db_operation IS 'Kind of statement.';
COMMENT ON COLUMN chpg_change_row.app IS 'Application name of the session.';
COMMENT ON COLUMN chpg_change_row.query_text IS 'Normalized text of the query, cut at 2 kB.';
COMMENT ON COLUMN chpg_change_row.baseline_calls_per_h IS 'Executions per hour of the baseline that was seen; null if there were none.';
COMMENT ON COLUMN chpg_change_row.calls_per_h IS 'Executions per hour of the period that was seen; null if there were none.';
COMMENT ON COLUMN chpg_change_row.baseline_avg_us IS 'Mean time of an execution in the baseline, in microseconds.';
COMMENT ON COLUMN chpg_change_row.avg_us IS 'Mean time of an execution in the period, in microseconds.';
COMMENT ON COLUMN chpg_change_row.baseline_p95_lo_us IS 'The baseline''s 95th percentile is not below it, in microseconds.';
COMMENT ON COLUMN chpg_change_row.baseline_p95_hi_us IS 'The baseline''s 95th percentile is not above it, in microseconds.';
COMMENT ON COLUMN chpg_change_row.p95_lo_us IS 'The period''s 95th percentile is not below it, in microseconds.';
COMMENT ON COLUMN chpg_change_row.p95_hi_us IS 'The period''s 95th percentile is not above it, in microseconds.';
COMMENT ON COLUMN chpg_change_row.baseline_time_share IS 'Share of the service''s time in the baseline, 0 to 1.';
COMMENT ON COLUMN chpg_change_row.time_share IS 'Share of the service''s time in the period, 0 to 1.';
COMMENT ON COLUMN chpg_change_row.excess_s IS 'Seconds lost in the period, compared with the baseline''s mean time; negative if they were won.';
COMMENT ON COLUMN chpg_change_row.cause IS 'What the counters say of a change in time: more rows, more blocks, colder cache, waiting, computing, or mixed.';
COMMENT ON COLUMN chpg_change_row.hours_worse IS 'Hours of the period that are worse than nine tenths of the baseline''s, of all; null without a history.';
COMMENT ON COLUMN chpg_change_row.confidence IS 'high, medium (few hours to compare with) or low (no hours, or a truncated window).';

/* Two windows, pattern by pattern, as counters for each execution. */
CREATE FUNCTION chpg_pair_patterns(baseline tstzrange, period tstzrange, service text, server text)
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text, query_text text,
	a chpg_period_pattern_row, b chpg_period_pattern_row, share_a float8, share_b float8)
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH a AS (
		SELECT r, r.service_id, r.query_id, r.db_name, r.db_user, r.db_operation, coalesce(r.app, '') AS app, r.query_text,
			r.total_duration_us / nullif(sum(r.total_duration_us) OVER (PARTITION BY r.service_id), 0) AS share
		FROM chpg_period_patterns(baseline, service, server) r WHERE r.query_id <> 0
	), b AS (
		SELECT r, r.service_id, r.query_id, r.db_name, r.db_user, r.db_operation, coalesce(r.app, '') AS app, r.query_text,
			r.total_duration_us / nullif(sum(r.total_duration_us) OVER (PARTITION BY r.service_id), 0) AS share
		FROM chpg_period_patterns(period, service, server) r WHERE r.query_id <> 0
	)
	SELECT service_id, query_id, db_name, db_user, db_operation, app, coalesce(b.query_text, a.query_text), a.r, b.r, a.share, b.share
	FROM a FULL JOIN b USING (service_id, query_id, db_name, db_user, db_operation, app);
END;

COMMENT ON FUNCTION chpg_pair_patterns(tstzrange, tstzrange, text, text) IS 'The patterns of two windows side by side, without those of no query id. For chpg_compare.';

CREATE FUNCTION chpg_change_cause(a chpg_period_pattern_row, b chpg_period_pattern_row)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN rows_b >= 1.5 * rows_a AND rows_b - rows_a >= 10 THEN 'more rows'
		WHEN blks_b >= 1.5 * blks_a AND blks_b - blks_a >= 20 THEN 'more blocks'
		WHEN hit_b < hit_a - 0.05 THEN 'colder cache'
		WHEN avg_b > avg_a AND (avg_b - cpu_b) - (avg_a - cpu_a) >= 0.7 * (avg_b - avg_a) THEN 'waiting'
		WHEN avg_b > avg_a AND cpu_b - cpu_a >= 0.7 * (avg_b - avg_a) THEN 'computing'
		ELSE 'mixed'
	END
	FROM (SELECT
		(a).avg_duration_us AS avg_a, (b).avg_duration_us AS avg_b,
		(a).total_rows / nullif((a).call_count, 0)::float8 AS rows_a, (b).total_rows / nullif((b).call_count, 0)::float8 AS rows_b,
		((a).total_shared_blks_read + (a).total_shared_blks_hit) / nullif((a).call_count, 0)::float8 AS blks_a,
		((b).total_shared_blks_read + (b).total_shared_blks_hit) / nullif((b).call_count, 0)::float8 AS blks_b,
		(a).total_shared_blks_hit / nullif((a).total_shared_blks_read + (a).total_shared_blks_hit, 0)::float8 AS hit_a,
		(b).total_shared_blks_hit / nullif((b).total_shared_blks_read + (b).total_shared_blks_hit, 0)::float8 AS hit_b,
		(a).total_cpu_time_us / nullif((a).call_count, 0) AS cpu_a, (b).total_cpu_time_us / nullif((b).call_count, 0) AS cpu_b
	) counters;
END;

COMMENT ON FUNCTION chpg_change_cause(chpg_period_pattern_row, chpg_period_pattern_row) IS 'Why a pattern takes another time than it did, as far as its counters tell. For chpg_compare.';

/*
 * Under no change, an hour of the period is above nine tenths of the baseline's
 * one time in ten; three of three are so one time in a thousand.  Without hours
 * to look at, only what is twice as slow counts.
 */
CREATE FUNCTION chpg_compare(
	baseline tstzrange,
	period tstzrange,
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF chpg_change_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	length_a double precision;
	length_b double precision;
	history_a boolean;
	history_b boolean;
	has_hours boolean;
BEGIN
	PERFORM @extschema@.chpg_check_periods(baseline, period);
	length_a := extract(epoch FROM upper(baseline) - lower(baseline)) / 3600;
	length_b := extract(epoch FROM upper(period) - lower(period)) / 3600;
	history_a := @extschema@.chpg_history_has(baseline, service);
	history_b := @extschema@.chpg_history_has(period, service);
	has_hours := history_a AND history_b;
	RETURN QUERY
	WITH worse AS MATERIALIZED (
		SELECT w.* FROM (SELECT WHERE has_hours) h,
			@extschema@.chpg_worse_hours(baseline, period, service) w
	), pairs AS (
		SELECT p.*, w.hours, w.hours_p95, w.hours_avg, w.baseline_hours, ha.hours AS captured, ha.cutoff_us,
			CASE WHEN history_a THEN ha.hours ELSE length_a END AS hours_a,
			CASE WHEN history_b THEN hb.hours ELSE length_b END AS hours_b,
			(p.a).call_count AS n_a, (p.b).call_count AS n_b,
			(p.a).avg_duration_us AS avg_a, (p.b).avg_duration_us AS avg_b,
			(p.a).p95_est_us AS p95_a, (p.b).p95_est_us AS p95_b,
			(p.a).total_duration_us AS total_a, (p.b).total_duration_us AS total_b,
			(p.b).call_count * ((p.b).avg_duration_us - (p.a).avg_duration_us) / 1e6 AS excess_s,
			greatest(5, 0.01 * (p.b).total_duration_us / nullif(p.share_b, 0) / 1e6) AS material_s
		FROM @extschema@.chpg_pair_patterns(baseline, period, service, server) p
		LEFT JOIN worse w USING (service_id, query_id, db_name, db_user, db_operation, app)
		LEFT JOIN @extschema@.chpg_period_hours(baseline, service) ha USING (service_id)
		LEFT JOIN @extschema@.chpg_period_hours(period, service) hb USING (service_id)
	), judged AS (
		SELECT p.*, CASE
			WHEN hours_a IS NULL OR hours_b IS NULL THEN 'unknown'
			WHEN total_a IS NULL AND total_b >= 1e7 * hours_b AND share_b >= 0.01
				THEN CASE WHEN cutoff_us > total_b / hours_b OR hours_a < 0.75 * length_a THEN 'new?' ELSE 'new' END
			WHEN total_b IS NULL AND share_a >= 0.01 AND coalesce(captured, 24) >= 24 THEN 'gone'
			WHEN total_a IS NULL OR total_b IS NULL THEN 'steady'
			WHEN has_hours AND excess_s >= material_s AND (
					(p95_b >= 1.5 * p95_a AND p95_b - p95_a >= 5000 AND n_a >= 200 AND n_b >= 200
						AND hours_p95 >= greatest(3, ceil(0.75 * hours)))
					OR (avg_b >= 1.3 * avg_a AND n_a >= 50 AND n_b >= 50
						AND hours_avg >= greatest(3, ceil(0.75 * hours))))
				THEN 'regressed'
			WHEN NOT has_hours AND excess_s >= material_s AND n_a >= 1000 AND n_b >= 1000
					AND avg_b >= 2 * avg_a AND p95_b >= 2 * p95_a AND p95_b - p95_a >= 5000
				THEN 'regressed'
			WHEN n_b / hours_b >= 3 * n_a / hours_a AND n_b >= 1000 AND share_b - share_a >= 0.02 AND avg_b < 1.3 * avg_a
				THEN 'surged'
			WHEN avg_b <= 0.7 * avg_a AND n_a >= 50 AND n_b >= 50 AND -excess_s >= material_s THEN 'improved'
			ELSE 'steady'
		END AS change
		FROM pairs p
	)
	SELECT change, service_id, query_id, db_name, db_user, db_operation, app, query_text,
		n_a / hours_a, n_b / hours_b, avg_a, avg_b,
		(a).p95_lo_us, (a).p95_hi_us, (b).p95_lo_us, (b).p95_hi_us, share_a, share_b, excess_s,
		CASE WHEN change IN ('regressed', 'improved') THEN @extschema@.chpg_change_cause(a, b) END,
		hours_p95 || '/' || hours,
		CASE WHEN change IN ('new?', 'unknown') OR NOT has_hours THEN 'low' WHEN baseline_hours < 24 OR captured < 24 THEN 'medium' ELSE 'high' END
	FROM judged
	ORDER BY abs(coalesce(excess_s, total_b / 1e6, -total_a / 1e6)) DESC;
END
$$;

COMMENT ON FUNCTION chpg_compare(tstzrange, tstzrange, text, text) IS
'What became of the patterns of a service, by id or name, or of all, from the baseline to the period, what costs most first: from the hours of the history within both, or where it has none, from the API, as chpg_slow_patterns for each. Errors: 22004, 22023, those of chpg_slow_patterns.';
