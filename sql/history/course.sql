/*
 * History: the course of one pattern.
 *
 * Of a sealed window only the elements of the pattern's keys are wanted, which are searched
 * for in its array of keys: the view would unpack all patterns of all windows.
 */

CREATE TYPE @extschema@.chpg_pattern_course_row AS (
	"time" timestamptz,
	call_count bigint,
	error_count bigint,
	total_duration_us double precision,
	avg_duration_us double precision,
	max_duration_us double precision,
	p50_lo_us double precision,
	p50_hi_us double precision,
	p95_lo_us double precision,
	p95_hi_us double precision,
	p99_lo_us double precision,
	p99_hi_us double precision,
	total_rows bigint,
	total_shared_blks_read bigint,
	total_shared_blks_hit bigint,
	total_cpu_time_us double precision,
	total_wal_bytes bigint
);

COMMENT ON TYPE @extschema@.chpg_pattern_course_row IS
'What a query of a service did in an hour: of all users, databases and applications together.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row."time" IS 'Start of the hour.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.p50_lo_us IS
'Lower bound of the median of all executions, in microseconds: the least median of a pattern.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.p50_hi_us IS
'Upper bound of the median of all executions, in microseconds: the greatest median of a pattern.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.p95_lo_us IS
'Lower bound of the 95th percentile of all executions, in microseconds; as p50_lo_us.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.p95_hi_us IS
'Upper bound of the 95th percentile of all executions, in microseconds; as p50_hi_us.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.p99_lo_us IS
'Lower bound of the 99th percentile of all executions, in microseconds; as p50_lo_us.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.p99_hi_us IS
'Upper bound of the 99th percentile of all executions, in microseconds; as p50_hi_us.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.total_shared_blks_read IS 'Shared blocks read.';
COMMENT ON COLUMN @extschema@.chpg_pattern_course_row.total_cpu_time_us IS
'CPU time of all executions, in microseconds.';

CREATE FUNCTION @extschema@.chpg_pattern_course(
	service text,
	query_id bigint,
	period tstzrange,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_pattern_course_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	id text;
	of_service integer;
	keys integer[];
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	IF service IS NULL OR query_id IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN service IS NULL THEN 'service' ELSE 'query_id' END
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	id := (SELECT s.service_id FROM @extschema@._chpg_history_services(service, server, true) s);
	PERFORM @extschema@._chpg_history_enter();
	of_service := (SELECT k.service_key FROM service_key k WHERE k.service_id = id);
	keys := ARRAY(SELECT k.pattern_key FROM pattern_key k WHERE k.query_id = chpg_pattern_course.query_id);
	RETURN QUERY EXECUTE format($query$
		SELECT p.window_start, @extschema@._chpg_bounded(sum(p.call_count)), @extschema@._chpg_bounded(sum(p.error_count)),
			sum(p.total_duration_us::float8),
			sum(p.total_duration_us::float8) FILTER (WHERE p.call_count IS NOT NULL)
				/ nullif(sum(p.call_count) FILTER (WHERE p.total_duration_us IS NOT NULL), 0)::float8,
			max(p.max_duration_us)::float8, min(p.p50_duration_us)::float8, max(p.p50_duration_us)::float8,
			min(p.p95_duration_us)::float8, max(p.p95_duration_us)::float8, min(p.p99_duration_us)::float8,
			max(p.p99_duration_us)::float8, @extschema@._chpg_bounded(sum(p.total_rows)),
			@extschema@._chpg_bounded(sum(p.total_shared_blks_read)),
			@extschema@._chpg_bounded(sum(p.total_shared_blks_hit)), sum(p.total_cpu_time_us::float8),
			@extschema@._chpg_bounded(sum(p.total_wal_bytes))
		FROM (
			SELECT o.window_start, %1$s FROM open_hour o
			WHERE o.service_key = $1 AND o.window_start >= $3 AND o.window_start <= $4 AND o.pattern_key = ANY ($2)
			UNION ALL
			SELECT w.window_start, %2$s
			FROM sealed_hour w
			CROSS JOIN LATERAL (%3$s OFFSET 0) f
			WHERE w.service_key = $1 AND w.window_start >= $3 AND w.window_start <= $4 AND f.place IS NOT NULL
		) p
		GROUP BY p.window_start
		ORDER BY p.window_start
	$query$, @extschema@._chpg_of_counters('o.{}'::text, ', '::text),
		@extschema@._chpg_of_counters('w.{}[f.place]'::text, ', '::text),
		-- each search passes over the array; all keys of a fleet without a query_id may be thousands
		CASE WHEN cardinality(keys) > 8
			THEN 'SELECT u.place::integer AS place FROM unnest(w.pattern_key) WITH ORDINALITY u(key, place)
				WHERE u.key = ANY ($2)'
			ELSE 'SELECT array_position(w.pattern_key, k) AS place FROM unnest($2) k' END)
	USING of_service, keys, lower(period), upper(period) - interval '1 hour';
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_pattern_course(text, bigint, tstzrange, text) IS
'What a query of a service did, hour by hour, in a period of the history.
Of a service, by id or name. A row for each hour within the period in which the query was among
  the captured patterns: the sum over texts, databases, users and applications, in order of
  time. The view pattern_hour has them one by one.
query_id: as a bigint; 0: what has none, such as most errors.
Requests: none.
Errors: 22004 service, query_id or period is null; 22023 period is empty or unbounded; 42704 no
  such service; 55000 there is no history, or it cannot be used.';
