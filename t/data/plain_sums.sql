-- The patterns of a period, and their worse hours, as one plain query each over the patterns that were
-- drawn for the history "random".
CREATE SCHEMA drawn;
CREATE TABLE drawn.pattern AS SELECT * FROM planted.pattern LIMIT 0;
CREATE FUNCTION plain_patterns(period tstzrange) RETURNS SETOF chpg_period_pattern_row LANGUAGE sql AS $$
	WITH summed AS (
		SELECT p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app, min(t.query_text) AS query_text,
			count(DISTINCT p.window_start)::integer AS buckets,
			count(*)::numeric AS windows, count(p.call_count)::numeric AS counted,
			sum(p.call_count) AS calls, sum(p.error_count) AS errors,
			sum(p.total_duration_us) FILTER (WHERE p.call_count IS NOT NULL) AS total_us,
			sum(p.call_count) FILTER (WHERE p.total_duration_us IS NOT NULL) AS timed,
			max(p.max_duration_us) AS max_us,
			min(p.p50_duration_us) AS p50_lo, max(p.p50_duration_us) AS p50_hi,
			min(p.p95_duration_us) AS p95_lo, max(p.p95_duration_us) AS p95_hi,
			min(p.p99_duration_us) AS p99_lo, max(p.p99_duration_us) AS p99_hi,
			sum(p.p95_duration_us * p.call_count)
				/ nullif(sum(p.call_count) FILTER (WHERE p.p95_duration_us IS NOT NULL), 0)::float8 AS p95_us,
			sum(p.p99_duration_us * p.call_count)
				/ nullif(sum(p.call_count) FILTER (WHERE p.p99_duration_us IS NOT NULL), 0)::float8 AS p99_us,
			sum(p.total_rows)::float8 AS rows,
			sum(p.call_count) FILTER (WHERE p.total_rows IS NOT NULL) AS rows_of,
			sum(p.total_shared_blks_read)::float8 AS blks_read,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_read IS NOT NULL) AS read_of,
			sum(p.total_shared_blks_hit)::float8 AS blks_hit,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_hit IS NOT NULL) AS hit_of,
			sum(p.total_cpu_time_us) AS cpu_us,
			sum(p.call_count) FILTER (WHERE p.total_cpu_time_us IS NOT NULL) AS cpu_of,
			sum(p.total_wal_bytes)::float8 AS wal_bytes,
			sum(p.call_count) FILTER (WHERE p.total_wal_bytes IS NOT NULL) AS wal_of
		FROM drawn.pattern p
		JOIN random.pattern_key k USING (pattern_key)
		JOIN random.query_text t USING (text_id)
		WHERE p.window_start >= lower(period) AND p.window_start <= upper(period) - interval '1 hour'
		GROUP BY p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app
	)
	SELECT 'history', service_id, (SELECT s.service_name FROM random.service s WHERE s.service_id = summed.service_id
			AND s.service_name IS NOT NULL ORDER BY s.valid_to DESC, s.valid_from DESC LIMIT 1), query_id, chpg_query_hex(query_id), db_name, db_user, db_operation, app,
		query_text, buckets, _chpg_extrapolated(calls::float8, counted, windows)::numeric::bigint, errors::bigint,
		_chpg_extrapolated(_chpg_extrapolated(total_us, timed, calls), counted, windows),
		total_us / nullif(timed, 0)::float8, max_us,
		p50_lo, p50_hi, p95_lo, p95_hi, p95_us, p99_lo, p99_hi, p99_us,
		_chpg_extrapolated(_chpg_extrapolated(rows, rows_of, calls), counted, windows)::numeric::bigint,
		_chpg_extrapolated(_chpg_extrapolated(blks_read, read_of, calls), counted, windows)::numeric::bigint,
		_chpg_extrapolated(_chpg_extrapolated(blks_hit, hit_of, calls), counted, windows)::numeric::bigint,
		_chpg_extrapolated(_chpg_extrapolated(cpu_us, cpu_of, calls), counted, windows),
		_chpg_extrapolated(_chpg_extrapolated(wal_bytes, wal_of, calls), counted, windows)::numeric::bigint
	FROM summed
$$;
CREATE FUNCTION plain_hours(baseline tstzrange, period tstzrange)
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text,
	hours_worse text) LANGUAGE sql AS $$
	WITH measured AS (
		SELECT p.window_start < lower(period) AS before, p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation,
			k.app, p.window_start,
			sum(p.p95_duration_us * p.call_count)
				/ sum(p.call_count) FILTER (WHERE p.p95_duration_us IS NOT NULL)::float8 AS p95_us,
			sum(p.total_duration_us) / sum(p.call_count)::float8 AS avg_us
		FROM drawn.pattern p
		JOIN random.pattern_key k USING (pattern_key)
		WHERE p.call_count > 0 AND p.total_duration_us IS NOT NULL
			AND ((p.window_start >= lower(baseline) AND p.window_start <= upper(baseline) - interval '1 hour')
				OR (p.window_start >= lower(period) AND p.window_start <= upper(period) - interval '1 hour'))
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
		HAVING sum(p.call_count) >= 20
	), limits AS (
		SELECT service_id, query_id, db_name, db_user, db_operation, app,
			percentile_disc(0.9) WITHIN GROUP (ORDER BY p95_us) AS p95_us,
			percentile_disc(0.9) WITHIN GROUP (ORDER BY avg_us) AS avg_us
		FROM measured WHERE before GROUP BY 1, 2, 3, 4, 5, 6
	)
	SELECT m.service_id, m.query_id, m.db_name, m.db_user, m.db_operation, m.app,
		greatest(count(*) FILTER (WHERE m.p95_us > l.p95_us), count(*) FILTER (WHERE m.avg_us > l.avg_us))
			|| '/' || count(*)
	FROM measured m
	JOIN limits l USING (service_id, query_id, db_name, db_user, db_operation, app)
	WHERE NOT m.before
	GROUP BY 1, 2, 3, 4, 5, 6
$$;
-- Whether two rows have the same values: numbers but for the order in which they were added up, or for
-- the digits that sealed windows keep.
CREATE FUNCTION alike(a jsonb, b jsonb, apart numeric DEFAULT 1e-9) RETURNS boolean LANGUAGE sql AS $$
	SELECT a IS NOT NULL AND b IS NOT NULL AND bool_and(CASE WHEN x.value = y.value THEN true
		WHEN 'number' IN (jsonb_typeof(x.value), jsonb_typeof(y.value)) AND jsonb_typeof(x.value) = jsonb_typeof(y.value)
			THEN abs(x.value::numeric - y.value::numeric) <= apart * abs(x.value::numeric) ELSE false END)
	FROM jsonb_each(a) x FULL JOIN jsonb_each(b) y USING (key)
$$;
