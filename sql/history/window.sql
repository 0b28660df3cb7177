/* History: capturing one window of one service. */

CREATE FUNCTION @extschema@._chpg_bounded(value numeric)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL
		THEN greatest(least(value, 9223372036854775807), -9223372036854775807)::bigint END;
END;

COMMENT ON FUNCTION @extschema@._chpg_bounded(numeric) IS 'The value as bigint, or the nearest bigint.';

CREATE FUNCTION @extschema@._chpg_bounded(value double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL THEN greatest(least(value, 1e18), -1e18) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_bounded(double precision) IS
'The value, or the nearest one between -1e18 and 1e18, so that sums do not overflow.';

CREATE FUNCTION @extschema@._chpg_real(value double precision)
RETURNS real
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN abs(value) < 1e-30 THEN 0
		WHEN value < 'NaN' THEN greatest(least(value, 1e18), -1e18) END::real;
END;

COMMENT ON FUNCTION @extschema@._chpg_real(double precision) IS
'The value as real, or the nearest one between -1e18 and 1e18.
0 if it is too small for a real, null if it is no number.';

/* Keys are looked up first: an INSERT that finds a row takes a number from the sequence, too. */
CREATE FUNCTION @extschema@._chpg_service_key(id text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found integer;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	SELECT k.service_key INTO found FROM service_key k WHERE k.service_id = id;
	IF found IS NULL THEN
		INSERT INTO service_key AS k (service_id) VALUES (id) RETURNING k.service_key INTO found;
	END IF;
	RETURN found;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_service_key(text) IS 'The key of a service, which is new if it has none.';

/* A function with a SET would not be inlined. */
CREATE FUNCTION @extschema@._chpg_identified(patterns @extschema@.chpg_slow_pattern_row[])
RETURNS TABLE (query_id bigint, query_text text, text_hash bytea, db_name text, db_user text, db_operation text,
	app text, pattern @extschema@.chpg_slow_pattern_row)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(f.query_id, 0), coalesce(f.query_text, ''), sha256(convert_to(coalesce(f.query_text, ''), 'UTF8')),
		coalesce(f.db_name, ''), coalesce(f.db_user, ''), coalesce(f.db_operation, ''), coalesce(f.app, ''), f
	FROM unnest(patterns) f;
END;

COMMENT ON FUNCTION @extschema@._chpg_identified(@extschema@.chpg_slow_pattern_row[]) IS
'Patterns with what identifies them in the tables pattern_key and query_text.';

CREATE FUNCTION @extschema@._chpg_window_rows(patterns @extschema@.chpg_slow_pattern_row[], window_end timestamptz)
RETURNS @extschema@._chpg_window_row[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
	rows @extschema@._chpg_window_row[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO query_text (text_hash, query, query_text)
	SELECT DISTINCT f.text_hash, left(regexp_replace(f.query_text, '\s+', ' ', 'g'), 120), f.query_text
	FROM @extschema@._chpg_identified(patterns) f
	WHERE NOT EXISTS (SELECT FROM query_text t WHERE t.text_hash = f.text_hash);
	INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id, last_seen)
	SELECT DISTINCT f.query_id, f.db_name, f.db_user, f.db_operation, f.app, t.text_id, window_end
	FROM @extschema@._chpg_identified(patterns) f
	JOIN query_text t ON t.text_hash = f.text_hash
	WHERE NOT EXISTS (SELECT FROM pattern_key k
		WHERE (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
			(f.query_id, f.db_name, f.db_user, f.db_operation, f.app, t.text_id));
	rows := ARRAY(
		SELECT ROW(u.pattern_key, u.call_count, u.error_count, u.total_rows, u.total_shared_blks_read,
			u.total_shared_blks_hit, u.total_wal_bytes,
			@extschema@._chpg_real(coalesce(u.total_duration_us::float8, u.avg_duration_us * u.call_count)),
			@extschema@._chpg_real(u.max_duration_us), @extschema@._chpg_real(u.p50_duration_us),
			@extschema@._chpg_real(u.p95_duration_us), @extschema@._chpg_real(u.p99_duration_us),
			@extschema@._chpg_real(u.total_cpu_time_us::float8))::@extschema@._chpg_window_row
		FROM (
			SELECT DISTINCT ON (k.pattern_key) k.pattern_key, (f.pattern).*
			FROM @extschema@._chpg_identified(patterns) f
			JOIN query_text t ON t.text_hash = f.text_hash
			JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
				(f.query_id, f.db_name, f.db_user, f.db_operation, f.app, t.text_id)
			ORDER BY k.pattern_key, (f.pattern).total_duration_us DESC NULLS LAST
		) u
		ORDER BY u.pattern_key);
	-- to the day: the purge needs no more, and the row is not written each hour
	UPDATE pattern_key k SET last_seen = window_end
	FROM unnest(rows) r
	WHERE k.pattern_key = r.pattern_key AND k.last_seen <= window_end - interval '1 day';
	RETURN rows;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_window_rows(@extschema@.chpg_slow_pattern_row[], timestamptz) IS
'The patterns of a window as the history keeps them, sorted by key.
New patterns and texts get their keys. Of two rows with one key the longer one is kept.';

CREATE FUNCTION @extschema@._chpg_write_window(grain text, service_key integer, window_start timestamptz,
	rows @extschema@._chpg_window_row[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	removed bigint;
	written bigint;
	is_sealed boolean;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	EXECUTE format('SELECT EXISTS (SELECT FROM sealed_%s w WHERE w.service_key = $1 AND w.window_start = $2)', grain)
	INTO is_sealed USING service_key, window_start;
	IF is_sealed THEN
		RETURN @extschema@._chpg_seal_window(grain, service_key, window_start, rows);
	END IF;
	EXECUTE format('DELETE FROM open_%s p WHERE p.service_key = $1 AND p.window_start = $2
			AND p.pattern_key NOT IN (SELECT r.pattern_key FROM unnest($3) r)', grain)
	USING service_key, window_start, rows;
	GET DIAGNOSTICS removed = ROW_COUNT;
	EXECUTE format('MERGE INTO open_%1$s p USING unnest($3) r
			ON p.service_key = $1 AND p.window_start = $2 AND p.pattern_key = r.pattern_key
		WHEN MATCHED AND (%2$s) IS DISTINCT FROM (%3$s) THEN UPDATE SET %4$s
		WHEN NOT MATCHED THEN INSERT (service_key, window_start, pattern_key, %5$s)
			VALUES ($1, $2, r.pattern_key, %3$s)', grain,
		@extschema@._chpg_of_counters('p.{}'), @extschema@._chpg_of_counters('r.{}'),
		@extschema@._chpg_of_counters('{} = r.{}'), @extschema@._chpg_of_counters('{}'))
	USING service_key, window_start, rows;
	GET DIAGNOSTICS written = ROW_COUNT;
	RETURN removed + written > 0;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_write_window(text, integer, timestamptz, @extschema@._chpg_window_row[]) IS
'Replace the patterns of a window where they differ, and return whether any did.';

/*
 * Within a day, so that what reads weeks need not read hours.  The conflict is found by the
 * index, where a MERGE would join all patterns with each other while there are no statistics.
 */
CREATE FUNCTION @extschema@._chpg_sum_day(of_service integer, day timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	WITH sums AS MATERIALIZED (
		SELECT p.pattern_key, count(*) AS hours, min(p.p95_duration_us) AS p95_lo_us,
			max(p.p95_duration_us) AS p95_hi_us,
			@extschema@._chpg_bounded(sum(p.call_count)) AS call_count,
			@extschema@._chpg_bounded(sum(p.error_count)) AS error_count,
			@extschema@._chpg_bounded(sum(p.total_rows)) AS total_rows,
			@extschema@._chpg_bounded(sum(p.total_shared_blks_read)) AS total_shared_blks_read,
			@extschema@._chpg_bounded(sum(p.total_shared_blks_hit)) AS total_shared_blks_hit,
			@extschema@._chpg_bounded(sum(p.total_wal_bytes)) AS total_wal_bytes,
			sum(p.total_duration_us::float8) AS total_duration_us,
			sum(p.total_cpu_time_us::float8) AS total_cpu_time_us, max(p.max_duration_us) AS max_duration_us
		FROM @extschema@._chpg_window_hour() p
		WHERE p.service_key = of_service AND p.window_start >= day AND p.window_start < day + interval '24 hours'
		GROUP BY p.pattern_key
	), gone AS (
		DELETE FROM day_sum d
		WHERE d.service_key = of_service AND d."time" = day
			AND d.pattern_key <> ALL (ARRAY(SELECT n.pattern_key FROM sums n))
	)
	INSERT INTO day_sum AS d ("time", service_key, pattern_key, hours, p95_lo_us, p95_hi_us, call_count, error_count,
		total_rows, total_shared_blks_read, total_shared_blks_hit, total_wal_bytes, total_duration_us,
		total_cpu_time_us, max_duration_us)
	SELECT day, of_service, n.pattern_key, n.hours, n.p95_lo_us, n.p95_hi_us, n.call_count, n.error_count,
		n.total_rows, n.total_shared_blks_read, n.total_shared_blks_hit, n.total_wal_bytes, n.total_duration_us,
		n.total_cpu_time_us, n.max_duration_us
	FROM sums n
	ON CONFLICT ON CONSTRAINT day_sum_pkey DO UPDATE
	SET (hours, p95_lo_us, p95_hi_us, call_count, error_count, total_rows, total_shared_blks_read,
			total_shared_blks_hit, total_wal_bytes, total_duration_us, total_cpu_time_us, max_duration_us) =
		ROW(excluded.hours, excluded.p95_lo_us, excluded.p95_hi_us, excluded.call_count, excluded.error_count,
			excluded.total_rows, excluded.total_shared_blks_read, excluded.total_shared_blks_hit,
			excluded.total_wal_bytes, excluded.total_duration_us, excluded.total_cpu_time_us, excluded.max_duration_us)
	WHERE (d.*) IS DISTINCT FROM (excluded.*);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_sum_day(integer, timestamptz) IS
'Sum the hours that the history has of a service and a day (UTC).';

/*
 * A series of a day is an array of its points, a step apart.  Points that are off the step
 * of others have an array of their own, of which there are few: points of a series that
 * keep no step are moved to the start of their bucket.  Points are remote data: a response
 * with any number of series, and any times, writes a bounded number of rows.
 */
CREATE FUNCTION @extschema@._chpg_fresh_points(start_time timestamptz, end_time timestamptz, step interval,
	points @extschema@.chpg_metric_row[])
RETURNS TABLE (day timestamptz, metric text, series text, unit text, offset_s numeric, first_time timestamptz,
	"values" real[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
	WITH given AS (
		SELECT DISTINCT ON (1, 2, 3) p.metric COLLATE "C" AS metric, coalesce(p.series, '') COLLATE "C" AS series,
			p."timestamp" AS at, p.unit, @extschema@._chpg_real(p.value) AS value,
			mod(extract(epoch FROM p."timestamp"), extract(epoch FROM step)) AS offset_s
		FROM unnest(points) p
		WHERE p.metric IS NOT NULL AND p."timestamp" >= start_time AND p."timestamp" < end_time
			AND abs(p.value) < 'Infinity'
		ORDER BY 1, 2, 3, value
	), line AS MATERIALIZED (
		-- in the order of their times
		SELECT g.metric, g.series, max(g.unit) AS unit, min(g.offset_s) AS offset_s, min(g.at) AS first_time,
			array_agg(g.at) AS times, array_agg(g.value) AS "values",
			min(g.offset_s) = max(g.offset_s) AND date_trunc('day', min(g.at)) = date_trunc('day', max(g.at))
				AND count(*) = extract(epoch FROM max(g.at) - min(g.at)) / extract(epoch FROM step) + 1 AS is_regular
		FROM given g
		GROUP BY g.metric, g.series
		ORDER BY g.metric, g.series
		LIMIT 1000
	), ranked AS (
		SELECT l.metric, l.series, l.unit, u.at, u.value,
			dense_rank() OVER (PARTITION BY l.metric, l.series
				ORDER BY mod(extract(epoch FROM u.at), extract(epoch FROM step))) AS offset_rank
		FROM line l
		CROSS JOIN LATERAL unnest(l.times, l."values") u(at, value)
		WHERE NOT l.is_regular
	), aligned AS (
		SELECT r.metric, r.series, r.unit, r.value, r.at AS at_given,
			CASE WHEN max(r.offset_rank) OVER (PARTITION BY r.metric, r.series) > 8
				THEN greatest(date_bin(step, r.at, '1970-01-01 00:00Z'), start_time) ELSE r.at END AS at
		FROM ranked r
	), placed AS (
		SELECT DISTINCT ON (a.metric, a.series, a.at) a.metric, a.series, a.unit, a.at, a.value,
			mod(extract(epoch FROM a.at), extract(epoch FROM step)) AS offset_s
		FROM aligned a
		ORDER BY a.metric, a.series, a.at, a.at_given DESC, a.value
	), run AS (
		SELECT date_trunc('day', p.at) AS day, p.metric, p.series, p.unit, p.offset_s, min(p.at) AS first_time,
			(extract(epoch FROM max(p.at) - min(p.at)) / extract(epoch FROM step))::integer AS steps,
			array_agg(p.at ORDER BY p.at) AS times, array_agg(p.value ORDER BY p.at) AS "values"
		FROM placed p
		GROUP BY 1, 2, 3, 4, 5
	)
	SELECT date_trunc('day', l.first_time), l.metric, l.series, l.unit, l.offset_s, l.first_time, l."values"
	FROM line l
	WHERE l.is_regular
	UNION ALL
	SELECT r.day, r.metric, r.series, r.unit, r.offset_s, r.first_time,
		CASE WHEN cardinality(r."values") = r.steps + 1 THEN r."values" ELSE ARRAY(
			SELECT u.value FROM generate_series(0, r.steps) i
			LEFT JOIN unnest(r.times, r."values") u(at, value) ON u.at = r.first_time + i * step
			ORDER BY i) END
	FROM run r
$$;

COMMENT ON FUNCTION @extschema@._chpg_fresh_points(timestamptz, timestamptz, interval,
	@extschema@.chpg_metric_row[]) IS
'The points of a response as the history keeps them: those from start_time to end_time.
Of 1000 series at most, the first ones by name. Points without a finite value are left out.
offset_s: how far the points are from multiples of the step, in seconds.';

/* What the history has of a series that the response lacks stays. */
CREATE FUNCTION @extschema@._chpg_note_points(of_service integer, start_time timestamptz, end_time timestamptz,
	bucket interval, points @extschema@.chpg_metric_row[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
	line record;
	before integer;
	until integer;
	joined real[];
	start timestamptz;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	FOR line IN
		WITH fresh AS MATERIALIZED (
			SELECT f.* FROM @extschema@._chpg_fresh_points(start_time, end_time, bucket, points) f
		), stored AS (
			SELECT m.*, mod(extract(epoch FROM m.first_time), extract(epoch FROM m.step)) AS offset_s
			FROM metric_day m
			WHERE m.service_key = of_service AND m.day >= date_trunc('day', start_time) AND m.day < end_time
				AND m.first_time >= m.day AND m.first_time < m.day + interval '24 hours'
				AND m.step >= interval '1 second'
				AND (m.metric, m.series) IN (SELECT f.metric, f.series FROM fresh f)
		)
		SELECT coalesce(f.day, s.day) AS day, coalesce(f.metric, s.metric) AS metric,
			coalesce(f.series, s.series) AS series, coalesce(f.unit, s.unit) AS unit, coalesce(s.step, bucket) AS step,
			extract(epoch FROM coalesce(s.step, bucket)) AS step_s, s.first_time AS old_start, s."values" AS old_values,
			s.unit AS old_unit, f.first_time AS new_start, f."values" AS new_values
		FROM fresh f
		FULL JOIN stored s ON s.day = f.day AND s.metric = f.metric AND s.series = f.series AND s.step = bucket
			AND s.offset_s = f.offset_s
		-- those that only lose points come first: others may begin where they do
		ORDER BY f.day IS NOT NULL, s.day IS NULL
	LOOP
		joined := '{}';
		IF line.old_start IS NOT NULL THEN
			before := greatest(ceil(extract(epoch FROM start_time - line.old_start) / line.step_s), 0);
			until := greatest(ceil(extract(epoch FROM end_time - line.old_start) / line.step_s), 0);
			joined := line.old_values[:before];
		END IF;
		start := CASE WHEN joined = '{}' THEN coalesce(line.new_start, line.old_start + until * line.step)
			ELSE line.old_start END;
		IF line.new_start IS NOT NULL THEN
			joined := joined || array_fill(NULL::real, ARRAY[
				(extract(epoch FROM line.new_start - start) / line.step_s)::integer - cardinality(joined)])
				|| line.new_values;
		END IF;
		IF until < cardinality(line.old_values) THEN
			joined := joined || array_fill(NULL::real, ARRAY[
				(extract(epoch FROM line.old_start - start) / line.step_s)::integer + until - cardinality(joined)])
				|| line.old_values[until + 1:];
		END IF;
		IF line.old_start IS NULL THEN
			INSERT INTO metric_day (service_key, day, metric, series, unit, first_time, step, "values")
			VALUES (of_service, line.day, line.metric, line.series, line.unit, start, line.step, joined);
		ELSIF joined = '{}' THEN
			DELETE FROM metric_day m WHERE (m.service_key, m.day, m.metric, m.series, m.first_time) =
				(of_service, line.day, line.metric, line.series, line.old_start);
		ELSIF (line.old_start, line.old_unit, line.old_values) IS DISTINCT FROM (start, line.unit, joined) THEN
			UPDATE metric_day m SET unit = line.unit, first_time = start, "values" = joined
			WHERE (m.service_key, m.day, m.metric, m.series, m.first_time) =
				(of_service, line.day, line.metric, line.series, line.old_start);
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_points(integer, timestamptz, timestamptz, interval,
	@extschema@.chpg_metric_row[]) IS
'Replace the points of a service from start_time to end_time, of the series that points has.
bucket: time between two points.';

/* What the views of services show is summed here, so that they need not read patterns. */
CREATE FUNCTION @extschema@._chpg_note_capture(service_id text, grain text, window_start timestamptz,
	window_end timestamptz, rows @extschema@._chpg_window_row[], patterns integer, truncated boolean,
	cutoff_us double precision, differs boolean, error text, attempts integer, captured_at timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us,
		error, attempts, captured_at, queries, call_count, error_count, total_duration_us, statement_duration_us,
		p95_lo_us, p95_hi_us, p99_lo_us, p99_hi_us, total_rows, total_shared_blks_read, total_shared_blks_hit,
		total_cpu_time_us, total_wal_bytes)
	SELECT _chpg_note_capture.service_id, _chpg_note_capture.grain, _chpg_note_capture.window_start,
		_chpg_note_capture.window_end, 'ok', _chpg_note_capture.patterns, _chpg_note_capture.truncated,
		_chpg_note_capture.cutoff_us, _chpg_note_capture.error, coalesce(_chpg_note_capture.attempts, 1),
		coalesce(_chpg_note_capture.captured_at, now()),
		count(*) FILTER (WHERE k.query_id <> 0),
		@extschema@._chpg_bounded(coalesce(sum(r.call_count) FILTER (WHERE k.query_id <> 0), 0)),
		@extschema@._chpg_bounded(coalesce(sum(r.error_count), 0)),
		coalesce(sum(r.total_duration_us::float8), 0),
		coalesce(sum(r.total_duration_us::float8) FILTER (WHERE k.query_id <> 0), 0),
		min(r.p95_duration_us) FILTER (WHERE k.query_id <> 0), max(r.p95_duration_us) FILTER (WHERE k.query_id <> 0),
		min(r.p99_duration_us) FILTER (WHERE k.query_id <> 0), max(r.p99_duration_us) FILTER (WHERE k.query_id <> 0),
		@extschema@._chpg_bounded(coalesce(sum(r.total_rows), 0)),
		@extschema@._chpg_bounded(coalesce(sum(r.total_shared_blks_read), 0)),
		@extschema@._chpg_bounded(coalesce(sum(r.total_shared_blks_hit), 0)),
		coalesce(sum(r.total_cpu_time_us::float8), 0),
		@extschema@._chpg_bounded(coalesce(sum(r.total_wal_bytes), 0))
	FROM unnest(rows) r
	JOIN pattern_key k ON k.pattern_key = r.pattern_key
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET (status, patterns, truncated, cutoff_us, error, attempts, captured_at, changed_at, queries, call_count,
			error_count, total_duration_us, statement_duration_us, p95_lo_us, p95_hi_us, p99_lo_us, p99_hi_us,
			total_rows, total_shared_blks_read, total_shared_blks_hit, total_cpu_time_us, total_wal_bytes) =
		ROW('ok', excluded.patterns, excluded.truncated, excluded.cutoff_us, excluded.error,
			coalesce(_chpg_note_capture.attempts, c.attempts + 1), excluded.captured_at,
			CASE WHEN differs AND c.status = 'ok' THEN now() ELSE c.changed_at END, excluded.queries,
			excluded.call_count, excluded.error_count, excluded.total_duration_us, excluded.statement_duration_us,
			excluded.p95_lo_us, excluded.p95_hi_us, excluded.p99_lo_us, excluded.p99_hi_us, excluded.total_rows,
			excluded.total_shared_blks_read, excluded.total_shared_blks_hit, excluded.total_cpu_time_us,
			excluded.total_wal_bytes);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_capture(text, text, timestamptz, timestamptz,
	@extschema@._chpg_window_row[], integer, boolean, double precision, boolean, text, integer, timestamptz) IS
'Note that a window was captured, and the sums of its patterns.
patterns: how many the API returned. differs: an earlier capture found others.
attempts, captured_at: null: one more than before, and now.';

/*
 * The window's own row in capture says how it ended; after a failure, what the window has
 * stays as it was.  Points are null where no metrics were read: earlier points stay then.
 */
CREATE FUNCTION @extschema@._chpg_note_window(service_id text, grain text, window_start timestamptz,
	window_end timestamptz, patterns @extschema@.chpg_slow_pattern_row[], cutoff_us double precision,
	points @extschema@.chpg_metric_row[], failure text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_service integer;
	rows @extschema@._chpg_window_row[];
	differs boolean;
	is_new boolean;
	bucket interval;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF failure IS NOT NULL THEN
		INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, error, attempts, captured_at)
		VALUES (_chpg_note_window.service_id, _chpg_note_window.grain, _chpg_note_window.window_start,
			_chpg_note_window.window_end, 'error', failure, 1, now())
		ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
		SET status = CASE c.status WHEN 'ok' THEN 'ok' ELSE 'error' END, error = excluded.error,
			attempts = c.attempts + 1, captured_at = CASE c.status WHEN 'ok' THEN c.captured_at ELSE now() END;
		RETURN NULL;
	END IF;
	of_service := @extschema@._chpg_service_key(_chpg_note_window.service_id);
	IF points IS NOT NULL THEN
		-- an hour more than the window: its late points
		bucket := (SELECT s.metric_bucket FROM @extschema@._chpg_history_settings() s);
		PERFORM @extschema@._chpg_note_points(of_service, _chpg_note_window.window_start - interval '1 hour',
			_chpg_note_window.window_end, bucket, points);
	END IF;
	rows := @extschema@._chpg_window_rows(patterns, _chpg_note_window.window_end);
	differs := @extschema@._chpg_write_window(_chpg_note_window.grain, of_service, _chpg_note_window.window_start, rows);
	IF differs AND _chpg_note_window.grain = 'hour' THEN
		PERFORM @extschema@._chpg_sum_day(of_service, date_trunc('day', _chpg_note_window.window_start, 'UTC'));
	END IF;
	is_new := NOT EXISTS (SELECT FROM capture c
		WHERE (c.service_id, c.grain, c.window_start, c.status) = (_chpg_note_window.service_id,
			_chpg_note_window.grain, _chpg_note_window.window_start, 'ok'));
	PERFORM @extschema@._chpg_note_capture(_chpg_note_window.service_id, _chpg_note_window.grain,
		_chpg_note_window.window_start, _chpg_note_window.window_end, rows, cardinality(patterns),
		_chpg_note_window.cutoff_us IS NOT NULL, _chpg_note_window.cutoff_us, differs, NULL::text, NULL::integer,
		NULL::timestamptz);
	IF _chpg_note_window.grain = 'hour' AND (is_new OR differs) THEN
		PERFORM @extschema@._chpg_forget_scores(of_service, _chpg_note_window.window_start, is_new);
		PERFORM @extschema@._chpg_score_window(of_service, _chpg_note_window.window_start);
	END IF;
	RETURN cardinality(patterns);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_window(text, text, timestamptz, timestamptz,
	@extschema@.chpg_slow_pattern_row[], double precision, @extschema@.chpg_metric_row[], text) IS
'Replace the patterns and the metrics of a window, score it, and return the number of patterns.
Or note why the window could not be captured (failure), and return null.
cutoff_us: shortest total duration captured, of a window with more patterns; null: it has no
  more.';

CREATE FUNCTION @extschema@._chpg_raise(state text, message text, detail text, hint text, context text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'chpg_raise';

COMMENT ON FUNCTION @extschema@._chpg_raise(text, text, text, text, text) IS
'Raise an error that was caught; detail, hint and context may be null.
Its CONTEXT names none of the functions that it came from.';

CREATE FUNCTION @extschema@._chpg_window_settings(service_id text, grain text, window_start timestamptz,
	only_due boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF only_due AND NOT EXISTS (SELECT FROM @extschema@.chpg_history_due(grain, service_id, NULL::text) d
			WHERE d.window_start = _chpg_window_settings.window_start AND NOT d.lost) THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT to_jsonb(s) FROM @extschema@._chpg_history_settings() s)
		|| jsonb_build_object('again', EXISTS (SELECT FROM capture c
			WHERE (c.service_id, c.grain, c.window_start, c.status) = (service_id, grain, window_start, 'ok')),
			'settings_are_due', grain = 'hour' AND @extschema@._chpg_settings_are_due(service_id));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_window_settings(text, text, timestamptz, boolean) IS
'The settings for the capture of a window, and whether it was captured before (again).
settings_are_due: whether the settings of the service are to be read, too.
only_due: null if the window is not due.';

/*
 * All is read by the caller before anything is written by the owner.  A window that fails,
 * or is canceled, stays as it was and has the reason noted, or the next run would be held
 * up by it again.
 */
CREATE FUNCTION @extschema@._chpg_capture_window(service_id text, grain text, window_start timestamptz,
	window_end timestamptz, server text, only_due boolean DEFAULT false, service_state text DEFAULT NULL,
	OUT failure text, OUT fatal jsonb, OUT unread boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET chpg.cache_ttl = 0
AS $$
DECLARE
	owner oid;
	settings jsonb;
	bucket interval;
	max_patterns bigint;
	found @extschema@.chpg_slow_pattern_row[];
	cutoff_us double precision;
	points @extschema@.chpg_metric_row[];
	state text;
	message text;
	detail text;
	hint text;
	context text;
BEGIN
	BEGIN
		owner := @extschema@._chpg_history_owner();
		PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_history_lock())'::text, ROW());
		-- another capture may have made the window meanwhile
		settings := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_window_settings($1, $2, $3, $4)'::text,
			ROW(service_id, grain, window_start, only_due));
		IF settings IS NULL THEN
			RETURN;
		END IF;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
			hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
		fatal := jsonb_build_object('state', state, 'message', message, 'detail', nullif(detail, ''),
			'hint', nullif(hint, ''), 'context', substring(context FROM '^request [^\n]+'));
		RETURN;
	END;
	BEGIN
		bucket := settings->>'metric_bucket';
		-- each window has the late points of the one before it
		IF grain = 'hour' AND bucket IS NOT NULL AND NOT (settings->>'again')::boolean THEN
			points := ARRAY(SELECT p FROM @extschema@.chpg_metrics(window_start - interval '1 hour', window_end,
				service_id, bucket, server) p);
		END IF;
		-- one more than is kept shows whether there are more
		max_patterns := settings->>'max_patterns';
		found := ARRAY(SELECT f
			FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text,
				NULL::text, NULL::text, NULL::text, NULL::text, max_patterns + 1, server) f);
		IF cardinality(found) > max_patterns THEN
			found := found[:max_patterns];
			cutoff_us := (SELECT coalesce(min(f.total_duration_us), 0) FROM unnest(found) f);
		END IF;
		-- patterns with errors may have no duration, and be among the last of those
		found := found || ARRAY(
			SELECT e
			FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text,
				NULL::text, NULL::text, 'error_count'::text, NULL::text,
				(settings->>'max_error_patterns')::bigint, server) e
			WHERE e.error_count > 0 AND NOT EXISTS (
				SELECT FROM unnest(found) f
				WHERE (f.query_id, f.db_name, f.db_user, f.db_operation, f.app)
					IS NOT DISTINCT FROM (e.query_id, e.db_name, e.db_user, e.db_operation, e.app)));
		PERFORM @extschema@._chpg_run_as(owner,
			'SELECT to_jsonb(@extschema@._chpg_note_window($1, $2, $3, $4, $5, $6, $7, NULL::text))'::text,
			ROW(service_id, grain, window_start, window_end, found, cutoff_us, points));
		IF (settings->>'settings_are_due')::boolean AND NOT (settings->>'again')::boolean THEN
			PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_settings($1, $2))'::text,
				ROW(service_id, @extschema@._chpg_settings_of(service_id, server)));
		END IF;
		RETURN;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	END;
	-- the API's errors, not those of the key, the budget or the transfer
	unread := service_state <> 'running' AND state IN ('22023', '42704', '55006', '58000');
	failure := left(regexp_replace(concat_ws('. ',
			CASE WHEN unread THEN format('Not read: the service is "%s"', service_state) END,
			state || ': ' || message, nullif(detail, '')), '\s+', ' ', 'g'),
		1000);
	PERFORM @extschema@._chpg_run_as(owner,
		'SELECT to_jsonb(@extschema@._chpg_note_window($1, $2, $3, $4, $5, $6, $7, $8))'::text,
		ROW(service_id, grain, window_start, window_end, NULL::@extschema@.chpg_slow_pattern_row[],
			NULL::double precision, NULL::@extschema@.chpg_metric_row[], failure));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_window(text, text, timestamptz, timestamptz, text, boolean, text) IS
'Capture a window, once no other capture runs.
Returns why it failed (failure), or what is wrong with the history (fatal).
only_due: skip a window that another capture has made meanwhile.
unread: it failed, which is no wonder in that state of the service.
Requests: 2, 1 more per further 500 patterns; for an hour those of chpg_metrics, too, and once a
  day 1 for the settings.';
