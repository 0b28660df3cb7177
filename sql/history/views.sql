/*
 * History: views for people and BI tools.
 *
 * They read the history only, never the API.  "time" comes first, and columns are only
 * ever added at the end.  Percentiles of joined windows are bounds, since percentiles
 * cannot be combined.
 */

CREATE FUNCTION @extschema@._chpg_history_create_pattern_view(schema name, grain text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	EXECUTE format($view$
		CREATE OR REPLACE VIEW %2$I.pattern_%1$s AS
		SELECT p.window_start AS "time", s.name AS service, p.service_id, s.region, s.size,
			s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
			@extschema@.chpg_query_hex(k.query_id) AS query_hex, k.query_id,
			left(regexp_replace(t.query_text, '\s+', ' ', 'g'), 120) AS query, t.query_text,
			k.db_name, k.db_user, k.db_operation, k.app,
			p.call_count, p.error_count,
			p.total_duration_us, p.avg_duration_us, p.max_duration_us,
			p.p50_duration_us, p.p95_duration_us, p.p99_duration_us,
			p.total_rows, p.total_shared_blks_read, p.total_shared_blks_hit,
			p.total_shared_blks_hit::float8 / nullif(p.total_shared_blks_hit::float8 + p.total_shared_blks_read, 0) AS hit_ratio,
			p.total_cpu_time_us, p.total_wal_bytes,
			p.total_duration_us / 1e6 / extract(epoch FROM interval '1 %1$s')::float8 AS active_executions
		FROM pattern p
		JOIN pattern_key k USING (pattern_key)
		JOIN query_text t USING (text_id)
		LEFT JOIN service s ON s.service_id = p.service_id
			AND p.window_start >= s.valid_from AND p.window_start < s.valid_to
		WHERE p.grain = %1$L AND k.query_id <> 0
	$view$, grain, schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_pattern_view(name, text) IS 'For _chpg_history_create_views.';

CREATE FUNCTION @extschema@._chpg_history_create_service_view(schema name, grain text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	EXECUTE format($view$
		CREATE OR REPLACE VIEW %2$I.service_%1$s AS
		SELECT c.window_start AS "time", s.name AS service, c.service_id, s.region, s.size,
			s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
			c.status, c.truncated,
			w.patterns, w.call_count, w.error_count,
			w.call_count / extract(epoch FROM interval '1 %1$s')::float8 AS calls_per_s,
			w.total_duration_us,
			w.statement_duration_us / nullif(w.call_count, 0) AS avg_duration_us,
			w.p95_lo_us, w.p95_hi_us, w.p99_lo_us, w.p99_hi_us,
			w.total_rows, w.total_shared_blks_read, w.total_shared_blks_hit,
			w.total_shared_blks_hit::float8 / nullif(w.total_shared_blks_hit::float8 + w.total_shared_blks_read, 0) AS hit_ratio,
			w.total_cpu_time_us, w.total_wal_bytes,
			w.total_duration_us / 1e6 / extract(epoch FROM interval '1 %1$s')::float8 AS active_executions
		FROM capture c
		LEFT JOIN service s ON s.service_id = c.service_id
			AND c.window_start >= s.valid_from AND c.window_start < s.valid_to
		LEFT JOIN LATERAL (
			SELECT count(*) FILTER (WHERE k.query_id <> 0) AS patterns,
				least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint AS call_count,
				least(coalesce(sum(p.error_count), 0), 9223372036854775807)::bigint AS error_count,
				coalesce(sum(p.total_duration_us), 0) AS total_duration_us,
				coalesce(sum(p.total_duration_us) FILTER (WHERE k.query_id <> 0), 0) AS statement_duration_us,
				min(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_lo_us,
				max(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_hi_us,
				min(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_lo_us,
				max(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_hi_us,
				least(coalesce(sum(p.total_rows), 0), 9223372036854775807)::bigint AS total_rows,
				least(coalesce(sum(p.total_shared_blks_read), 0), 9223372036854775807)::bigint AS total_shared_blks_read,
				least(coalesce(sum(p.total_shared_blks_hit), 0), 9223372036854775807)::bigint AS total_shared_blks_hit,
				coalesce(sum(p.total_cpu_time_us), 0) AS total_cpu_time_us,
				least(coalesce(sum(p.total_wal_bytes), 0), 9223372036854775807)::bigint AS total_wal_bytes
			FROM pattern p
			JOIN pattern_key k USING (pattern_key)
			WHERE p.service_id = c.service_id AND p.grain = c.grain AND p.window_start = c.window_start
		) w ON c.status = 'ok'
		WHERE c.grain = %1$L
	$view$, grain, schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_service_view(name, text) IS 'For _chpg_history_create_views.';

CREATE FUNCTION @extschema@._chpg_history_create_other_views(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	EXECUTE format($views$
		CREATE OR REPLACE VIEW %1$I.error_hour AS
		SELECT p.window_start AS "time", s.name AS service, p.service_id,
			s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
			k.db_name, k.db_user, k.app,
			least(sum(p.error_count), 9223372036854775807)::bigint AS error_count,
			least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint AS call_count,
			CASE WHEN bool_or(c.truncated) THEN NULL
				ELSE sum(p.error_count)::float8 / nullif(sum(p.error_count) + coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 0) END AS error_ratio
		FROM pattern p
		JOIN pattern_key k USING (pattern_key)
		LEFT JOIN capture c ON c.service_id = p.service_id AND c.grain = p.grain AND c.window_start = p.window_start
		LEFT JOIN service s ON s.service_id = p.service_id
			AND p.window_start >= s.valid_from AND p.window_start < s.valid_to
		WHERE p.grain = 'hour'
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
		HAVING sum(p.error_count) > 0;

		CREATE OR REPLACE VIEW %1$I.metric AS
		SELECT m."time", s.name AS service, m.service_id,
			s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
			m.metric, m.series, m.unit, m.value
		FROM metric_point m
		LEFT JOIN service s ON s.service_id = m.service_id
			AND m."time" >= s.valid_from AND m."time" < s.valid_to;

		CREATE OR REPLACE VIEW %1$I.coverage AS
		SELECT c.window_start AS "time", s.name AS service, c.service_id, c.grain, c.window_end,
			c.status, c.patterns, c.truncated, c.cutoff_us, c.error, c.attempts, c.captured_at
		FROM capture c
		LEFT JOIN service s ON s.service_id = c.service_id
			AND c.window_start >= s.valid_from AND c.window_start < s.valid_to;
	$views$, schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_other_views(name) IS 'For _chpg_history_create_views.';

CREATE FUNCTION @extschema@._chpg_history_comment_views(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	item record;
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	COMMENT ON VIEW pattern_hour IS 'Slow query patterns, one row for each service, hour and pattern.';
	COMMENT ON VIEW pattern_day IS 'Slow query patterns, one row for each service, day (UTC) and pattern. Percentiles are those of the day.';
	COMMENT ON VIEW service_hour IS 'What a service did in an hour: null where that was not captured, 0 where there was nothing.';
	COMMENT ON VIEW service_day IS 'What a service did in a day (UTC): null where that was not captured, 0 where there was nothing.';
	COMMENT ON VIEW error_hour IS 'Errors of an hour, one row for each service, database, user and application.';
	COMMENT ON VIEW metric IS 'Points of the time series of services.';
	COMMENT ON VIEW coverage IS 'Which windows were captured: ok, error (the next run tries again), lost (the API has them no longer).';
	FOR item IN
		SELECT c.relname, a.attname, coalesce(
			of.description, d.description,
			(SELECT col_description(r.attrelid, r.attnum) FROM pg_attribute r
				WHERE r.attname = a.attname AND r.attrelid = (SELECT oid FROM pg_class
					WHERE relname = 'chpg_slow_pattern_row' AND relnamespace = '@extschema@'::regnamespace)),
			(SELECT col_description(r.attrelid, r.attnum) FROM pg_attribute r
				WHERE r.attname = a.attname AND r.attrelid = 'capture'::regclass),
			(SELECT col_description(r.attrelid, r.attnum) FROM pg_attribute r
				WHERE r.attname = a.attname AND r.attrelid = (SELECT oid FROM pg_class
					WHERE relname = 'chpg_metric_row' AND relnamespace = '@extschema@'::regnamespace))) AS description
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
		LEFT JOIN (VALUES
			('time', 'Start of the window, or of the bucket, which it includes.'),
			('service', 'Name that the service had then.'),
			('region', 'Region of the service then.'),
			('size', 'Size of the service''s virtual machine then.'),
			('tag_environment', 'Tag "Environment" of the service then; null where it had none.'),
			('tag_team', 'Tag "team" of the service then; null where it had none.'),
			('query', 'The first 120 characters of query_text, on one line.'),
			('grain', 'hour or day.'),
			('window_end', 'End of the window, which it does not include.'),
			('status', 'ok, error or lost.'),
			('patterns', 'Patterns in the window.'),
			('hit_ratio', 'Shared blocks found in the buffer cache, of all that were wanted; 0 to 1.'),
			('active_executions', 'Executions under way at a time, on average: their duration by that of the window. Adds up.'),
			('calls_per_s', 'Executions per second.'),
			('error_ratio', 'error_count of error_count and call_count together; 0 to 1. Null where the window is truncated, so that executions are missing.'),
			('p95_lo_us', 'The least 95th percentile of the patterns, in microseconds: that of all executions is not below it.'),
			('p95_hi_us', 'The greatest 95th percentile of the patterns, in microseconds: that of all executions is not above it.'),
			('p99_lo_us', 'The least 99th percentile of the patterns, in microseconds: that of all executions is not below it.'),
			('p99_hi_us', 'The greatest 99th percentile of the patterns, in microseconds: that of all executions is not above it.')
		) d(name, description) ON d.name = a.attname
		LEFT JOIN (VALUES
			('pattern', 'query_id', 'Hash of the normalized query, PostgreSQL''s own: joins with pg_stat_statements.queryid. What has none is not here; its errors are in error_hour.'),
			('pattern', 'call_count', 'Executions in the window that ended without an error.'),
			('pattern', 'error_count', 'Executions in the window that raised an error; call_count does not have them.'),
			('service', 'call_count', 'Executions in the window that ended without an error, of all its patterns.'),
			('service', 'error_count', 'Executions in the window that raised an error, those without a query_id, too; call_count does not have them.'),
			('error', 'call_count', 'Executions in the window that ended without an error.'),
			('error', 'error_count', 'Executions in the window that raised an error, those without a query_id, too; call_count does not have them.')
		) of(view, name, description) ON c.relname ^@ of.view AND of.name = a.attname
		WHERE c.relkind = 'v' AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = schema)
			AND c.relname IN ('pattern_hour', 'pattern_day', 'service_hour', 'service_day', 'error_hour', 'metric', 'coverage')
	LOOP
		EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.relname, item.attname, item.description);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_comment_views(name) IS 'For _chpg_history_create_views.';

CREATE FUNCTION @extschema@._chpg_history_create_views(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_create_pattern_view(schema, grain),
		@extschema@._chpg_history_create_service_view(schema, grain)
	FROM (VALUES ('hour'), ('day')) g(grain);
	PERFORM @extschema@._chpg_history_create_other_views(schema);
	PERFORM @extschema@._chpg_history_comment_views(schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_views(name) IS
'Makes the views of the history, or replaces them, in a schema. For chpg_history_enable.';
