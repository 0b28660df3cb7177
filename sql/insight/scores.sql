/*
 * Insight: scores, which say how far an hour of a pattern is from the same hours of past days.
 *
 * The baseline of an hour are the hours from one before to one after it, on each of the 28
 * days before, as far as they were captured.  Weekdays are compared with weekdays once there
 * are seven of them, and weekends with weekends once there are four days of these; until then
 * all days count, so that a change of some days does not become usual at once.  Of the calls
 * it is the very hour alone, since a job runs at its hour.  The centre is the median of the
 * logarithms, and the spread half of what is between their 16th and 84th percentiles: neither
 * moves much while some days are bad.  An hour with fewer executions than usual is less
 * certain: the mean by the width of its percentiles, other measures by the spread of usual
 * hours.  What most patterns of a service are slower by at once
 * is a factor of the service, and no matter of a pattern.
 *
 * An hour is scored once, when it is captured.  Its scores are valid as long as the history
 * has a row of them: what makes them invalid deletes the row.  What has none is scored when
 * it is read.
 */

CREATE TYPE @extschema@._chpg_window_score AS (
	common real,
	patterns @extschema@._chpg_score_row[]
);

COMMENT ON TYPE @extschema@._chpg_window_score IS 'The scores of an hour of a service.';
COMMENT ON COLUMN @extschema@._chpg_window_score.common IS
'ln of the factor by which most patterns are slower than their baselines; if fewer than five run, what
  their load makes of them.';
COMMENT ON COLUMN @extschema@._chpg_window_score.patterns IS 'The scores of its patterns, sorted by key.';

CREATE FUNCTION @extschema@._chpg_clamped(value double precision, lowest double precision,
	highest double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL THEN least(greatest(value, lowest), highest) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_clamped(double precision, double precision, double precision) IS
'The value, or the nearest one between two others; null of null.';

CREATE FUNCTION @extschema@._chpg_time(us double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_clamped(us, 0.1::float8, 1e18::float8);
END;

COMMENT ON FUNCTION @extschema@._chpg_time(double precision) IS
'A time in microseconds of which there is a logarithm; null of null.';

CREATE FUNCTION @extschema@._chpg_counter(value bigint)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL THEN greatest(value, 0) END::float8;
END;

COMMENT ON FUNCTION @extschema@._chpg_counter(bigint) IS 'The value of a counter, at least 0; null of null.';

CREATE FUNCTION @extschema@._chpg_z(distance double precision, spread double precision, error double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_clamped(distance / sqrt(spread * spread + error * error), -4::float8, 8::float8);
END;

COMMENT ON FUNCTION @extschema@._chpg_z(double precision, double precision, double precision) IS
'A distance in standard deviations, from -4 to 8; null if it is not known. spread is above 0.';

CREATE TYPE @extschema@._chpg_baseline_row AS (
	pattern_key integer,
	baseline_hours integer,
	ln_calls double precision,
	calls_spread double precision,
	ln_avg double precision,
	avg_spread double precision,
	ln_p99 double precision,
	p99_spread double precision,
	ln_rows double precision,
	rows_spread double precision,
	ln_blks double precision,
	blks_spread double precision,
	ln_wal double precision,
	wal_spread double precision
);

COMMENT ON TYPE @extschema@._chpg_baseline_row IS
'What is usual for a pattern: medians of logarithms, and their spreads.
A spread is half of what is between the 16th and 84th percentiles, more if there are few hours.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.pattern_key IS 'Key of the pattern in the table pattern_key.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.baseline_hours IS 'Hours of the baseline in which it ran.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.ln_calls IS
'ln(1 + executions) in the same hour of the baseline''s days.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.calls_spread IS 'Spread of ln_calls.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.ln_avg IS 'ln of the mean time of an execution, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.avg_spread IS 'Spread of ln_avg.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.ln_p99 IS
'ln of the 99th percentile, in microseconds, of hours with 200 executions.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.p99_spread IS 'Spread of ln_p99.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.ln_rows IS 'ln(1 + rows of an execution).';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.rows_spread IS 'Spread of ln_rows.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.ln_blks IS
'ln(1 + shared blocks, read or hit, of an execution).';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.blks_spread IS 'Spread of ln_blks.';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.ln_wal IS 'ln(1 + bytes of WAL of an execution).';
COMMENT ON COLUMN @extschema@._chpg_baseline_row.wal_spread IS 'Spread of ln_wal.';

CREATE FUNCTION @extschema@._chpg_baseline_add(state internal, is_same_hour boolean, truncated boolean,
	pattern_key integer[], call_count bigint[], total_duration_us real[], p99_duration_us real[], total_rows bigint[],
	total_shared_blks_read bigint[], total_shared_blks_hit bigint[], total_wal_bytes bigint[])
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_baseline_add';

COMMENT ON FUNCTION @extschema@._chpg_baseline_add(internal, boolean, boolean, integer[], bigint[], real[], real[],
	bigint[], bigint[], bigint[], bigint[]) IS
'State transition of _chpg_baseline.';

CREATE FUNCTION @extschema@._chpg_baseline_rows(state internal)
RETURNS @extschema@._chpg_baseline_row[]
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_baseline_rows';

COMMENT ON FUNCTION @extschema@._chpg_baseline_rows(internal) IS 'Result of _chpg_baseline.';

CREATE AGGREGATE @extschema@._chpg_baseline(is_same_hour boolean, truncated boolean, pattern_key integer[],
	call_count bigint[], total_duration_us real[], p99_duration_us real[], total_rows bigint[],
	total_shared_blks_read bigint[], total_shared_blks_hit bigint[], total_wal_bytes bigint[]) (
	SFUNC = @extschema@._chpg_baseline_add,
	STYPE = internal,
	FINALFUNC = @extschema@._chpg_baseline_rows,
	PARALLEL = safe
);

COMMENT ON AGGREGATE @extschema@._chpg_baseline(boolean, boolean, integer[], bigint[], real[], real[], bigint[],
	bigint[], bigint[], bigint[]) IS
'What is usual for patterns, by some windows of a service: arrays over their patterns.
Executions are taken from windows of the same hour, where a pattern that is missing did not run,
  unless the window is truncated.';

/* Times come as an array, which reaches the indexes. */
CREATE FUNCTION @extschema@._chpg_baseline_windows(id text, at timestamptz)
RETURNS TABLE (window_start timestamptz, truncated boolean, is_same_hour boolean)
LANGUAGE sql STABLE
SET timezone = 'UTC'
AS $$
	WITH seen AS MATERIALIZED (
		SELECT c.window_start, c.truncated, d.day, d.hours % 24 = 0 AS is_same_hour,
			(extract(isodow FROM at - d.day * interval '24 hours') > 5) = (extract(isodow FROM at) > 5) AS is_alike
		FROM capture c
		CROSS JOIN LATERAL (SELECT (extract(epoch FROM at - c.window_start) / 3600)::integer AS hours) h
		CROSS JOIN LATERAL (SELECT h.hours, (h.hours + 1) / 24 AS day) d
		WHERE c.service_id = id AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start = ANY (ARRAY(SELECT at - (day * 24 + shift) * interval '1 hour'
				FROM generate_series(1, 28) day, generate_series(-1, 1) shift))
	)
	SELECT s.window_start, s.truncated, s.is_same_hour
	FROM seen s
	WHERE s.is_alike OR (SELECT count(DISTINCT a.day) FROM seen a WHERE a.is_alike)
		< CASE WHEN extract(isodow FROM at) > 5 THEN 4 ELSE 7 END
	ORDER BY s.window_start
$$;

COMMENT ON FUNCTION @extschema@._chpg_baseline_windows(text, timestamptz) IS
'The hours of the history that an hour of a service (id) is compared with.
Callers have entered the history.';

/* Most names have no digit, and cost little. */
CREATE FUNCTION @extschema@._chpg_app_family(app text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN app ~ '[0-9]' THEN regexp_replace(left(app, 200),
		'\mv?(\d+(\.\d+)+([-+.][a-z0-9]+)*|\d{6,})\M|\mv\d+\M|\m(?=[a-f]*\d)[0-9a-f]{7,40}\M', '*', 'gi') ELSE app END;
END;

COMMENT ON FUNCTION @extschema@._chpg_app_family(text) IS
'The name of an application with * for its version: 1.4.2, v7, 20260131, or a hash of a commit.
Small numbers stay, since they may tell applications apart.';

/*
 * The API may return another text for a query, and an application may name itself with its
 * version: that is another key of one pattern.
 */
CREATE FUNCTION @extschema@._chpg_former_keys(of_service integer, at timestamptz)
RETURNS TABLE (former_key integer, pattern_key integer)
LANGUAGE sql STABLE
AS $$
	WITH present AS MATERIALIZED (
		SELECT p.pattern_key FROM @extschema@._chpg_window_hour() p
		WHERE p.service_key = of_service AND p.window_start = at
	)
	SELECT o.pattern_key, min(p.pattern_key)
	FROM present p
	CROSS JOIN LATERAL (SELECT k.* FROM pattern_key k
		WHERE k.pattern_key = p.pattern_key AND k.query_id <> 0 OFFSET 0) k
	CROSS JOIN LATERAL (SELECT o.pattern_key FROM pattern_key o
		WHERE o.query_id = k.query_id AND o.db_name = k.db_name AND o.db_user = k.db_user
			AND o.db_operation = k.db_operation AND o.pattern_key <> k.pattern_key
			AND (o.app = k.app OR @extschema@._chpg_app_family(o.app) = @extschema@._chpg_app_family(k.app)) OFFSET 0) o
	WHERE o.pattern_key NOT IN (SELECT n.pattern_key FROM present n)
	GROUP BY o.pattern_key
$$;

COMMENT ON FUNCTION @extschema@._chpg_former_keys(integer, timestamptz) IS
'Former keys of the patterns of a service''s hour, beside their key of today.
They had another text, or another version of their application.
Callers have entered the history.';

CREATE FUNCTION @extschema@._chpg_baseline_of(of_service integer, id text, at timestamptz)
RETURNS SETOF @extschema@._chpg_baseline_row
LANGUAGE sql STABLE
AS $$
	WITH w AS MATERIALIZED (
		SELECT w.* FROM @extschema@._chpg_baseline_windows(id, at) w
	), times AS MATERIALIZED (
		SELECT array_agg(w.window_start) AS times FROM w
	), former AS MATERIALIZED (
		SELECT array_agg(f.former_key) AS former_keys, array_agg(f.pattern_key) AS pattern_keys
		FROM @extschema@._chpg_former_keys(of_service, at) f
	), p AS (
		SELECT s.window_start, s.pattern_key, s.call_count, s.total_duration_us, s.p99_duration_us, s.total_rows,
			s.total_shared_blks_read, s.total_shared_blks_hit, s.total_wal_bytes
		FROM sealed_hour s
		WHERE s.service_key = of_service AND s.window_start = ANY ((SELECT t.times FROM times t)::timestamptz[])
		UNION ALL
		SELECT o.window_start, array_agg(o.pattern_key), array_agg(o.call_count), array_agg(o.total_duration_us),
			array_agg(o.p99_duration_us), array_agg(o.total_rows), array_agg(o.total_shared_blks_read),
			array_agg(o.total_shared_blks_hit), array_agg(o.total_wal_bytes)
		FROM open_hour o
		WHERE o.service_key = of_service AND o.window_start = ANY ((SELECT t.times FROM times t)::timestamptz[])
		GROUP BY o.window_start
	)
	SELECT r.*
	FROM (
		SELECT @extschema@._chpg_baseline(w.is_same_hour, w.truncated,
			CASE WHEN f.former_keys && p.pattern_key THEN ARRAY(
				SELECT coalesce(f.pattern_keys[array_position(f.former_keys, u.pattern_key)], u.pattern_key)
				FROM unnest(p.pattern_key) WITH ORDINALITY u(pattern_key, place) ORDER BY u.place)
			ELSE p.pattern_key END,
			p.call_count, p.total_duration_us, p.p99_duration_us, p.total_rows, p.total_shared_blks_read,
			p.total_shared_blks_hit, p.total_wal_bytes) AS rows
		FROM w
		CROSS JOIN former f
		LEFT JOIN p ON p.window_start = w.window_start
	) b
	CROSS JOIN LATERAL unnest(b.rows) r
$$;

COMMENT ON FUNCTION @extschema@._chpg_baseline_of(integer, text, timestamptz) IS
'What is usual for the patterns of a service (id) at an hour.
Callers have entered the history.';

/* Numbers come from outside: logarithms are taken of what is bounded. */
CREATE FUNCTION @extschema@._chpg_score_patterns(of_service integer, at timestamptz)
RETURNS @extschema@._chpg_window_score
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	id text;
	is_truncated boolean;
	has_baseline boolean;
	result @extschema@._chpg_window_score;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	id := (SELECT k.service_id FROM service_key k WHERE k.service_key = of_service);
	SELECT c.truncated INTO is_truncated FROM capture c
	WHERE c.service_id = id AND c.grain = 'hour' AND c.window_start = at AND c.status = 'ok';
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	has_baseline := EXISTS (SELECT FROM @extschema@._chpg_baseline_windows(id, at) w
		WHERE w.is_same_hour AND NOT w.truncated);
	WITH observed AS (
		SELECT p.pattern_key, @extschema@._chpg_counter(p.call_count) AS calls, p.total_duration_us,
			p.max_duration_us, p.p99_duration_us, @extschema@._chpg_time(p.total_duration_us / e.executions) AS avg_us,
			CASE WHEN e.executions >= 200 THEN @extschema@._chpg_time(p.p99_duration_us) END AS p99_us,
			@extschema@._chpg_counter(p.total_rows) / e.executions AS rows,
			(@extschema@._chpg_counter(p.total_shared_blks_read) + @extschema@._chpg_counter(p.total_shared_blks_hit))
				/ e.executions AS blks,
			@extschema@._chpg_counter(p.total_wal_bytes) / e.executions AS wal,
			coalesce(@extschema@._chpg_clamped((ln(@extschema@._chpg_time(p.p95_duration_us))
				- ln(@extschema@._chpg_time(p.p50_duration_us))) / 1.645, 0.3::float8, 2::float8), 1)
				/ sqrt(e.executions) AS error
		FROM @extschema@._chpg_window_hour() p
		CROSS JOIN LATERAL (SELECT CASE WHEN p.call_count > 0 THEN p.call_count::float8 END AS executions) e
		WHERE p.service_key = of_service AND p.window_start = at
	), judged AS MATERIALIZED (
		SELECT k.pattern_key AS key, n.pattern_key IS NOT NULL AS is_present, n.*,
			coalesce(b.baseline_hours, 0) AS hours,
			CASE WHEN has_baseline THEN coalesce(b.ln_calls, 0) ELSE b.ln_calls END AS ln_calls,
			greatest(b.calls_spread, 0.1) AS calls_spread, ln(n.avg_us) - b.ln_avg AS distance,
			sqrt(greatest((exp(b.ln_calls) - 1) / nullif(n.calls, 0), 1)) AS fewer,
			b.ln_avg, greatest(b.avg_spread, 0.05) AS avg_spread, b.ln_p99, greatest(b.p99_spread, 0.08) AS p99_spread,
			b.ln_rows, greatest(b.rows_spread, 0.05) AS rows_spread, b.ln_blks,
			greatest(b.blks_spread, 0.05) AS blks_spread, b.ln_wal, greatest(b.wal_spread, 0.05) AS wal_spread
		FROM @extschema@._chpg_baseline_of(of_service, id, at) b
		FULL JOIN observed n ON n.pattern_key = b.pattern_key
		CROSS JOIN LATERAL (SELECT k.* FROM pattern_key k
			WHERE k.pattern_key = coalesce(n.pattern_key, b.pattern_key) OFFSET 0) k
		WHERE k.query_id <> 0 AND NOT @extschema@._chpg_is_monitoring(k.app)
			AND (n.pattern_key IS NOT NULL OR (NOT is_truncated AND exp(b.ln_calls) >= 1.5))
	), factor AS (
		-- of few patterns, what so much load usually makes of them
		SELECT CASE WHEN count(*) >= 5 THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY j.distance)
			ELSE 0.3 * greatest(ln(sum(j.calls) / sum(greatest(exp(j.ln_calls) - 1, 1))) - 0.1, 0) END AS common
		FROM judged j
		WHERE j.calls >= 20 AND j.distance IS NOT NULL
	)
	SELECT max(f.common),
		coalesce(array_agg(ROW(s.key, s.hours, CASE WHEN s.is_present THEN s.calls ELSE 0 END, exp(s.ln_calls) - 1,
			sqrt(s.calls_spread * s.calls_spread + exp(-s.ln_calls)),
			s.total_duration_us, s.max_duration_us,
			exp(s.ln_avg), @extschema@._chpg_z(s.distance - f.common, s.avg_spread, s.error),
			s.p99_duration_us, exp(s.ln_p99),
			@extschema@._chpg_z(ln(s.p99_us) - s.ln_p99 - f.common, s.p99_spread * s.fewer, 0::float8),
			@extschema@._chpg_real(s.rows), exp(s.ln_rows) - 1,
			@extschema@._chpg_z(ln(1 + s.rows) - s.ln_rows, s.rows_spread * s.fewer, 0::float8),
			@extschema@._chpg_real(s.blks), exp(s.ln_blks) - 1,
			@extschema@._chpg_z(ln(1 + s.blks) - s.ln_blks, s.blks_spread * s.fewer, 0::float8),
			@extschema@._chpg_real(s.wal), exp(s.ln_wal) - 1,
			@extschema@._chpg_z(ln(1 + s.wal) - s.ln_wal, s.wal_spread * s.fewer, 0::float8)
			)::@extschema@._chpg_score_row ORDER BY s.key), '{}')
	INTO result
	FROM judged s
	CROSS JOIN factor f;
	result.common := coalesce(result.common, 0);
	RETURN result;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_score_patterns(integer, timestamptz) IS
'The scores of an hour of a service, by what the history has now; null if it was not captured.';

CREATE FUNCTION @extschema@._chpg_score_window(of_service integer, at timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
	score @extschema@._chpg_window_score := @extschema@._chpg_score_patterns(of_service, at);
BEGIN
	IF score IS NULL THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	EXECUTE format('INSERT INTO score_hour AS s (service_key, window_start, scored_at, common, patterns, %1$s)
		SELECT $1, $2, now(), $3, count(*), %2$s FROM (SELECT u.* FROM unnest($4) u ORDER BY u.pattern_key) r
		ON CONFLICT (service_key, window_start) DO UPDATE
		SET (scored_at, common, patterns, %1$s) = ROW(excluded.scored_at, excluded.common, excluded.patterns, %3$s)',
		@extschema@._chpg_of_scores('{}'::text, ', '::text),
		@extschema@._chpg_of_scores('coalesce(array_agg(r.{}), ARRAY[]::{type}[])'::text, ', '::text),
		@extschema@._chpg_of_scores('excluded.{}'::text, ', '::text))
	USING of_service, at, score.common, score.patterns;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_score_window(integer, timestamptz) IS
'Store the scores of an hour of a service, or replace them.
Callers hold the lock of _chpg_history_lock. Nothing is stored of an hour that was not captured.';

/* A window that comes late, as in an import, belongs to the baselines of later ones. */
CREATE FUNCTION @extschema@._chpg_forget_scores(of_service integer, at timestamptz, is_new boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	DELETE FROM score_hour s
	WHERE s.service_key = of_service
		AND s.window_start = ANY (at || CASE WHEN is_new THEN ARRAY(
			SELECT at + (day * 24 + shift) * interval '1 hour'
			FROM generate_series(1, 28) day, generate_series(-1, 1) shift) END);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_forget_scores(integer, timestamptz, boolean) IS
'Delete the scores of an hour of a service that has changed, as the owner of the history.
is_new: it was not captured before; also those of the hours that are compared with it.';

CREATE FUNCTION @extschema@._chpg_unscored(service_keys integer[], from_time timestamptz, until_time timestamptz)
RETURNS TABLE (service_key integer, window_start timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT k.service_key, c.window_start
	FROM service_key k
	JOIN capture c ON c.service_id = k.service_id AND c.grain = 'hour' AND c.status = 'ok'
		AND c.window_start >= from_time AND c.window_start < until_time
	WHERE k.service_key = ANY (service_keys)
		AND NOT EXISTS (SELECT FROM score_hour s
			WHERE s.service_key = k.service_key AND s.window_start = c.window_start
				AND (c.changed_at IS NULL OR s.scored_at >= c.changed_at))
	ORDER BY k.service_key, c.window_start;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_unscored(integer[], timestamptz, timestamptz) IS
'The captured hours of services that have no scores, or changed after they were scored.';

CREATE FUNCTION @extschema@._chpg_score_windows(service_keys integer[], from_time timestamptz, until_time timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	w record;
	scored bigint := 0;
BEGIN
	PERFORM @extschema@._chpg_history_lock();
	FOR w IN SELECT * FROM @extschema@._chpg_unscored(service_keys, from_time, until_time) LOOP
		PERFORM @extschema@._chpg_score_window(w.service_key, w.window_start);
		scored := scored + 1;
	END LOOP;
	RETURN scored;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_score_windows(integer[], timestamptz, timestamptz) IS
'Store the scores of the captured hours that have none, as the owner of the history.
Returns how many.
Errors: 22023 a setting of the history cannot be used; 55000 there is no history, or it cannot
  be used.';

CREATE TYPE @extschema@._chpg_hour_score AS (
	service_key integer,
	window_start timestamptz,
	pattern_key integer,
	baseline_hours integer,
	common double precision,
	call_count double precision,
	expected_calls double precision,
	calls_spread double precision,
	total_us double precision,
	max_us double precision,
	avg_us double precision,
	expected_avg_us double precision,
	z_avg double precision,
	p99_us double precision,
	expected_p99_us double precision,
	z_p99 double precision,
	rows_per_call double precision,
	expected_rows_per_call double precision,
	z_rows double precision,
	blks_per_call double precision,
	expected_blks_per_call double precision,
	z_blks double precision,
	wal_per_call double precision,
	expected_wal_per_call double precision,
	z_wal double precision
);

COMMENT ON TYPE @extschema@._chpg_hour_score IS
'A pattern in an hour, and what was expected of it by the same hours of past days.';
COMMENT ON COLUMN @extschema@._chpg_hour_score.service_key IS 'Key of the service in the table service_key.';
COMMENT ON COLUMN @extschema@._chpg_hour_score.window_start IS 'Start of the hour.';
COMMENT ON COLUMN @extschema@._chpg_hour_score.common IS
'ln of the factor by which most patterns of the service were slower, which z_avg and z_p99 do not have.';
COMMENT ON COLUMN @extschema@._chpg_hour_score.avg_us IS 'Mean time of an execution, in microseconds.';

CREATE FUNCTION @extschema@._chpg_pattern_scores(service_keys integer[], pattern_keys integer[],
	from_time timestamptz, until_time timestamptz)
RETURNS SETOF @extschema@._chpg_hour_score
LANGUAGE plpgsql VOLATILE ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH unscored AS MATERIALIZED (
		SELECT u.* FROM @extschema@._chpg_unscored(service_keys, from_time, until_time) u
	)
	SELECT r.service_key, r.window_start, r.pattern_key, r.baseline_hours, r.common::float8, r.call_count::float8,
		r.expected_calls::float8, r.calls_spread::float8, r.total_us::float8, r.max_us::float8,
		r.total_us::float8 / nullif(r.call_count, 0)::float8, r.expected_avg_us::float8, r.z_avg::float8,
		r.p99_us::float8, r.expected_p99_us::float8, r.z_p99::float8, r.rows_per_call::float8,
		r.expected_rows_per_call::float8, r.z_rows::float8, r.blks_per_call::float8,
		r.expected_blks_per_call::float8, r.z_blks::float8, r.wal_per_call::float8, r.expected_wal_per_call::float8,
		r.z_wal::float8
	FROM (
		-- all arrays of a row side by side: a function in FROM would write each to a store of its own
		SELECT s.service_key, s.window_start, s.common, unnest(s.pattern_key) AS pattern_key,
			unnest(s.baseline_hours) AS baseline_hours, unnest(s.call_count) AS call_count,
			unnest(s.expected_calls) AS expected_calls, unnest(s.calls_spread) AS calls_spread,
			unnest(s.total_us) AS total_us, unnest(s.max_us) AS max_us, unnest(s.expected_avg_us) AS expected_avg_us,
			unnest(s.z_avg) AS z_avg, unnest(s.p99_us) AS p99_us, unnest(s.expected_p99_us) AS expected_p99_us,
			unnest(s.z_p99) AS z_p99, unnest(s.rows_per_call) AS rows_per_call,
			unnest(s.expected_rows_per_call) AS expected_rows_per_call, unnest(s.z_rows) AS z_rows,
			unnest(s.blks_per_call) AS blks_per_call, unnest(s.expected_blks_per_call) AS expected_blks_per_call,
			unnest(s.z_blks) AS z_blks, unnest(s.wal_per_call) AS wal_per_call,
			unnest(s.expected_wal_per_call) AS expected_wal_per_call, unnest(s.z_wal) AS z_wal
		FROM score_hour s
		WHERE s.service_key = ANY (service_keys) AND s.window_start >= from_time AND s.window_start < until_time
			AND (s.service_key, s.window_start) NOT IN (SELECT u.service_key, u.window_start FROM unscored u)
		UNION ALL
		SELECT u.service_key, u.window_start, w.common, p.pattern_key, p.baseline_hours, p.call_count,
			p.expected_calls, p.calls_spread, p.total_us, p.max_us, p.expected_avg_us, p.z_avg, p.p99_us,
			p.expected_p99_us, p.z_p99, p.rows_per_call, p.expected_rows_per_call, p.z_rows, p.blks_per_call,
			p.expected_blks_per_call, p.z_blks, p.wal_per_call, p.expected_wal_per_call, p.z_wal
		FROM unscored u
		CROSS JOIN LATERAL @extschema@._chpg_score_patterns(u.service_key, u.window_start) w
		CROSS JOIN LATERAL unnest(w.patterns) p
	) r
	WHERE pattern_keys IS NULL OR r.pattern_key = ANY (pattern_keys);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_pattern_scores(integer[], integer[], timestamptz, timestamptz) IS
'As _chpg_scores, of patterns with these keys; null: of all.';

CREATE FUNCTION @extschema@._chpg_scores(service_keys integer[], from_time timestamptz, until_time timestamptz)
RETURNS SETOF @extschema@._chpg_hour_score
LANGUAGE sql VOLATILE ROWS 10000
AS $$
	SELECT * FROM @extschema@._chpg_pattern_scores(service_keys, NULL::integer[], from_time, until_time)
$$;

COMMENT ON FUNCTION @extschema@._chpg_scores(integer[], timestamptz, timestamptz) IS
'The scores of services, an hour and a pattern a row.
common: ln of the factor by which most patterns of the service were slower; z_avg and z_p99 are
  without it.
Hours from from_time on, and before until_time, that were captured. Those without stored scores
  are scored now. Rows come in no certain order.
Errors: 55000 there is no history, or it cannot be used.';
