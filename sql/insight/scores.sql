/*
 * Insight: scores, which say how far an hour of a pattern is from the same hours of past days.
 *
 * The baseline of an hour are the hours from one before to one after it, on each of the 28
 * days before, as far as they were captured: on weekdays or on weekends, whichever the hour
 * is of, once the history has four such days.  Of the calls it is the very hour alone, since
 * a job runs at its hour.  The centre is the median of the logarithms, and the spread half of
 * what is between their 16th and 84th percentiles: neither moves much while some days are
 * bad.  By how much most patterns of a service are slower at once is a factor of the
 * service, and no matter of a pattern.
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
'ln of the factor by which most patterns are slower than their baselines; 0 if too few run.';
COMMENT ON COLUMN @extschema@._chpg_window_score.patterns IS 'The scores of its patterns, sorted by key.';

CREATE FUNCTION @extschema@._chpg_z(distance double precision, spread double precision, error double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT greatest(least(distance / sqrt(spread * spread + error * error), 8), -4);
END;

COMMENT ON FUNCTION @extschema@._chpg_z(double precision, double precision, double precision) IS
'A distance in standard deviations, from -4 to 8. spread must be above 0.';

/* Percentiles of few values are too close to each other. */
CREATE FUNCTION @extschema@._chpg_spread(quantiles double precision[], hours bigint, least_spread double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT greatest((quantiles[3] - quantiles[1]) / 2 * (1 + 2.0::float8 / hours), least_spread);
END;

COMMENT ON FUNCTION @extschema@._chpg_spread(double precision[], bigint, double precision) IS
'The standard deviation by the 16th and 84th percentiles of some hours, or the least one.
quantiles: the 16th, 50th and 84th percentile.';

CREATE FUNCTION @extschema@._chpg_baseline_windows(of_service integer, at timestamptz)
RETURNS TABLE (window_start timestamptz, truncated boolean, is_same_hour boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH seen AS (
		SELECT c.window_start, c.truncated, d.shift = 0 AS is_same_hour, d.day,
			(extract(isodow FROM at - d.day * interval '24 hours') > 5) = (extract(isodow FROM at) > 5) AS is_alike
		FROM (SELECT day, shift FROM generate_series(1, 28) day, generate_series(-1, 1) shift) d
		JOIN capture c ON c.window_start = at - d.day * interval '24 hours' + d.shift * interval '1 hour'
			AND c.grain = 'hour' AND c.status = 'ok'
			AND c.service_id = (SELECT k.service_id FROM service_key k WHERE k.service_key = of_service)
	)
	SELECT s.window_start, s.truncated, s.is_same_hour
	FROM seen s
	WHERE s.is_alike OR (SELECT count(DISTINCT a.day) FROM seen a WHERE a.is_alike) < 4
	ORDER BY s.window_start;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_baseline_windows(integer, timestamptz) IS
'The hours of the history that an hour of a service is compared with.';

/* Numbers come from outside: logarithms are taken of what is bounded. */
CREATE FUNCTION @extschema@._chpg_score_patterns(of_service integer, at timestamptz)
RETURNS @extschema@._chpg_window_score
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	is_truncated boolean;
	times timestamptz[];
	of_same_hour timestamptz[];
	complete timestamptz[];
	result @extschema@._chpg_window_score;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	SELECT c.truncated INTO is_truncated FROM capture c
	WHERE c.service_id = (SELECT k.service_id FROM service_key k WHERE k.service_key = of_service)
		AND c.grain = 'hour' AND c.window_start = at AND c.status = 'ok';
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	SELECT coalesce(array_agg(b.window_start), '{}'),
		coalesce(array_agg(b.window_start) FILTER (WHERE b.is_same_hour), '{}'),
		coalesce(array_agg(b.window_start) FILTER (WHERE b.is_same_hour AND NOT b.truncated), '{}')
	INTO times, of_same_hour, complete
	FROM @extschema@._chpg_baseline_windows(of_service, at) b;
	WITH observed AS MATERIALIZED (
		SELECT p.pattern_key, p.window_start = at AS is_now, p.window_start = ANY (of_same_hour) AS is_same_hour,
			p.window_start = ANY (complete) AS is_complete,
			greatest(p.call_count, 0) AS calls, p.total_duration_us, p.max_duration_us, p.p99_duration_us,
			r.avg_us, r.rows, r.blks, r.wal,
			least(greatest((ln(r.p95_us) - ln(r.p50_us)) / 1.645, 0.3), 2) AS tail
		FROM @extschema@._chpg_window_hour() p
		CROSS JOIN LATERAL (
			SELECT CASE WHEN p.call_count > 0 THEN least(greatest(p.total_duration_us / p.call_count, 0.1), 1e18) END
					AS avg_us,
				CASE WHEN p.call_count > 0 THEN greatest(p.total_rows, 0)::float8 / p.call_count END AS rows,
				CASE WHEN p.call_count > 0 THEN greatest(p.total_shared_blks_read::float8 + p.total_shared_blks_hit, 0)
					/ p.call_count END AS blks,
				CASE WHEN p.call_count > 0 THEN greatest(p.total_wal_bytes, 0)::float8 / p.call_count END AS wal,
				least(greatest(p.p50_duration_us, 0.1), 1e18) AS p50_us,
				least(greatest(p.p95_duration_us, 0.1), 1e18) AS p95_us
		) r
		WHERE p.service_key = of_service AND p.window_start = ANY (times || at)
	), known AS (
		SELECT o.pattern_key, count(o.avg_us) AS hours, count(o.p99_us) AS hours_p99, count(o.rows) AS hours_rows,
			count(o.blks) AS hours_blks, count(o.wal) AS hours_wal, count(*) FILTER (WHERE o.is_complete) AS hours_complete,
			array_agg(ln(1 + o.calls::float8)) FILTER (WHERE o.is_same_hour AND o.calls IS NOT NULL) AS ln_calls,
			percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY ln(o.avg_us)) AS q_avg,
			percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY ln(o.p99_us)) AS q_p99,
			percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY ln(1 + o.rows)) AS q_rows,
			percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY ln(1 + o.blks)) AS q_blks,
			percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY ln(1 + o.wal)) AS q_wal
		FROM (SELECT o.*, CASE WHEN o.calls >= 200 THEN least(greatest(o.p99_duration_us, 0.1), 1e18) END AS p99_us
			FROM observed o WHERE NOT o.is_now) o
		GROUP BY o.pattern_key
	), expected AS (
		SELECT k.*, c.q AS q_calls, c.hours AS hours_calls
		FROM known k
		CROSS JOIN LATERAL (
			SELECT percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY v) AS q, count(v) AS hours
			FROM (SELECT unnest(k.ln_calls) UNION ALL
				SELECT 0 FROM generate_series(1, cardinality(complete) - k.hours_complete)) v(v)) c
	), compared AS (
		SELECT k.pattern_key AS key, n.pattern_key IS NOT NULL AS is_present, n.*, k.hours, k.hours_p99, k.hours_rows,
			k.hours_blks, k.hours_wal, k.hours_calls, k.q_avg, k.q_p99, k.q_rows, k.q_blks, k.q_wal, k.q_calls,
			ln(n.avg_us) - k.q_avg[2] AS distance
		FROM expected k
		LEFT JOIN (SELECT o.* FROM observed o WHERE o.is_now) n ON n.pattern_key = k.pattern_key
		UNION ALL
		SELECT n.pattern_key, true, n.*, 0, 0, 0, 0, 0, cardinality(complete), NULL, NULL, NULL, NULL, NULL,
			CASE WHEN complete <> '{}' THEN '{0,0,0}'::float8[] END, NULL
		FROM observed n
		WHERE n.is_now AND NOT EXISTS (SELECT FROM known k WHERE k.pattern_key = n.pattern_key)
	), judged AS (
		SELECT c.*
		FROM compared c
		JOIN pattern_key k ON k.pattern_key = c.key
		WHERE k.query_id <> 0 AND NOT @extschema@._chpg_is_monitoring(k.app)
			AND (c.is_present OR (NOT is_truncated AND exp(c.q_calls[2]) >= 1.5))
	), factor AS (
		SELECT CASE WHEN count(*) >= 5 THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY j.distance) ELSE 0 END AS common
		FROM judged j
		WHERE j.calls >= 20 AND j.distance IS NOT NULL
	), scored AS (
		SELECT j.*, f.common, coalesce(j.tail, 1) / sqrt(greatest(j.calls, 1)) AS error
		FROM judged j CROSS JOIN factor f
	)
	SELECT max(s.common),
		coalesce(array_agg(ROW(s.key, s.hours, CASE WHEN s.is_present THEN s.calls ELSE 0 END, exp(s.q_calls[2]) - 1,
			sqrt(@extschema@._chpg_spread(s.q_calls, s.hours_calls, 0.1::float8) ^ 2 + 1 / exp(s.q_calls[2])),
			s.total_duration_us, s.max_duration_us,
			exp(s.q_avg[2]),
			@extschema@._chpg_z(s.distance - s.common, @extschema@._chpg_spread(s.q_avg, s.hours, 0.05::float8), s.error),
			@extschema@._chpg_real(s.p99_duration_us), exp(s.q_p99[2]),
			CASE WHEN s.calls >= 200 THEN @extschema@._chpg_z(
				ln(least(greatest(s.p99_duration_us, 0.1), 1e18)) - s.q_p99[2] - s.common,
				@extschema@._chpg_spread(s.q_p99, s.hours_p99, 0.08::float8), s.error * 20) END,
			@extschema@._chpg_real(s.rows), exp(s.q_rows[2]) - 1,
			@extschema@._chpg_z(ln(1 + s.rows) - s.q_rows[2],
				@extschema@._chpg_spread(s.q_rows, s.hours_rows, 0.05::float8), s.error),
			@extschema@._chpg_real(s.blks), exp(s.q_blks[2]) - 1,
			@extschema@._chpg_z(ln(1 + s.blks) - s.q_blks[2],
				@extschema@._chpg_spread(s.q_blks, s.hours_blks, 0.05::float8), s.error),
			@extschema@._chpg_real(s.wal), exp(s.q_wal[2]) - 1,
			@extschema@._chpg_z(ln(1 + s.wal) - s.q_wal[2],
				@extschema@._chpg_spread(s.q_wal, s.hours_wal, 0.05::float8), s.error)
			)::@extschema@._chpg_score_row ORDER BY s.key), '{}')
	INTO result
	FROM scored s;
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
		SELECT $1, $2, now(), $3, count(*), %2$s FROM unnest($4) r
		ON CONFLICT (service_key, window_start) DO UPDATE
		SET (scored_at, common, patterns, %1$s) = ROW(excluded.scored_at, excluded.common, excluded.patterns, %3$s)',
		@extschema@._chpg_of_scores('{}'::text, ', '::text),
		@extschema@._chpg_of_scores('coalesce(array_agg(r.{} ORDER BY r.pattern_key), ARRAY[]::{type}[])'::text, ', '::text),
		@extschema@._chpg_of_scores('excluded.{}'::text, ', '::text))
	USING of_service, at, score.common, score.patterns;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_score_window(integer, timestamptz) IS
'Store the scores of an hour of a service, or replace them.
Callers hold the lock of _chpg_history_lock. Nothing is stored of an hour that was not captured.';

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
Errors: 22023 a setting of the history cannot be used; 55000 there is no history, or it cannot be
  used.';

CREATE FUNCTION @extschema@._chpg_pattern_scores(service_keys integer[], pattern_keys integer[],
	from_time timestamptz, until_time timestamptz)
RETURNS TABLE (service_key integer, window_start timestamptz, pattern_key integer, baseline_hours integer,
	common double precision, call_count double precision, expected_calls double precision,
	calls_spread double precision, total_us double precision, max_us double precision, avg_us double precision,
	expected_avg_us double precision, z_avg double precision, p99_us double precision,
	expected_p99_us double precision, z_p99 double precision, rows_per_call double precision,
	expected_rows_per_call double precision, z_rows double precision, blks_per_call double precision,
	expected_blks_per_call double precision, z_blks double precision, wal_per_call double precision,
	expected_wal_per_call double precision, z_wal double precision)
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
	SELECT s.service_key, s.window_start, r.pattern_key, r.baseline_hours, s.common::float8, r.call_count::float8,
		r.expected_calls::float8, r.calls_spread::float8, r.total_us::float8, r.max_us::float8,
		r.total_us::float8 / nullif(r.call_count, 0)::float8, r.expected_avg_us::float8, r.z_avg::float8,
		r.p99_us::float8, r.expected_p99_us::float8, r.z_p99::float8, r.rows_per_call::float8,
		r.expected_rows_per_call::float8, r.z_rows::float8, r.blks_per_call::float8, r.expected_blks_per_call::float8,
		r.z_blks::float8, r.wal_per_call::float8, r.expected_wal_per_call::float8, r.z_wal::float8
	FROM score_hour s
	CROSS JOIN LATERAL unnest(s.pattern_key, s.baseline_hours, s.call_count, s.expected_calls, s.calls_spread,
		s.total_us, s.max_us, s.expected_avg_us, s.z_avg, s.p99_us, s.expected_p99_us, s.z_p99, s.rows_per_call,
		s.expected_rows_per_call, s.z_rows, s.blks_per_call, s.expected_blks_per_call, s.z_blks, s.wal_per_call,
		s.expected_wal_per_call, s.z_wal) r(pattern_key, baseline_hours, call_count, expected_calls, calls_spread,
		total_us, max_us, expected_avg_us, z_avg, p99_us, expected_p99_us, z_p99, rows_per_call,
		expected_rows_per_call, z_rows, blks_per_call, expected_blks_per_call, z_blks, wal_per_call,
		expected_wal_per_call, z_wal)
	WHERE s.service_key = ANY (service_keys) AND s.window_start >= from_time AND s.window_start < until_time
		AND (s.service_key, s.window_start) NOT IN (SELECT u.service_key, u.window_start FROM unscored u)
		AND (pattern_keys IS NULL OR r.pattern_key = ANY (pattern_keys))
	UNION ALL
	SELECT u.service_key, u.window_start, r.pattern_key, r.baseline_hours, w.common::float8, r.call_count::float8,
		r.expected_calls::float8, r.calls_spread::float8, r.total_us::float8, r.max_us::float8,
		r.total_us::float8 / nullif(r.call_count, 0)::float8, r.expected_avg_us::float8, r.z_avg::float8,
		r.p99_us::float8, r.expected_p99_us::float8, r.z_p99::float8, r.rows_per_call::float8,
		r.expected_rows_per_call::float8, r.z_rows::float8, r.blks_per_call::float8, r.expected_blks_per_call::float8,
		r.z_blks::float8, r.wal_per_call::float8, r.expected_wal_per_call::float8, r.z_wal::float8
	FROM unscored u
	CROSS JOIN LATERAL @extschema@._chpg_score_patterns(u.service_key, u.window_start) w
	CROSS JOIN LATERAL unnest(w.patterns) r
	WHERE pattern_keys IS NULL OR r.pattern_key = ANY (pattern_keys);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_pattern_scores(integer[], integer[], timestamptz, timestamptz) IS
'As _chpg_scores, of patterns with these keys; null: of all.';

CREATE FUNCTION @extschema@._chpg_scores(service_keys integer[], from_time timestamptz, until_time timestamptz)
RETURNS TABLE (service_key integer, window_start timestamptz, pattern_key integer, baseline_hours integer,
	common double precision, call_count double precision, expected_calls double precision,
	calls_spread double precision, total_us double precision, max_us double precision, avg_us double precision,
	expected_avg_us double precision, z_avg double precision, p99_us double precision,
	expected_p99_us double precision, z_p99 double precision, rows_per_call double precision,
	expected_rows_per_call double precision, z_rows double precision, blks_per_call double precision,
	expected_blks_per_call double precision, z_blks double precision, wal_per_call double precision,
	expected_wal_per_call double precision, z_wal double precision)
LANGUAGE sql VOLATILE ROWS 10000
AS $$
	SELECT * FROM @extschema@._chpg_pattern_scores(service_keys, NULL::integer[], from_time, until_time)
$$;

COMMENT ON FUNCTION @extschema@._chpg_scores(integer[], timestamptz, timestamptz) IS
'The scores of services, an hour and a pattern a row: see the type _chpg_score_row.
common: ln of the factor by which most patterns of the service were slower, which z_avg and z_p99
  do not have.
Hours from from_time on, and before until_time, that were captured. Those without stored scores
  are scored now. Rows come in no certain order.
Errors: 55000 there is no history, or it cannot be used.';
