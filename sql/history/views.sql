/*
 * History: views for people and BI tools.
 *
 * They read the history only, never the API.  "time" comes first, and columns are only
 * ever added at the end.  Percentiles of joined windows are bounds, since percentiles
 * cannot be combined.
 */

CREATE FUNCTION @extschema@._chpg_history_create_views(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	grain text;
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	FOREACH grain IN ARRAY '{hour,day}'::text[] LOOP
		EXECUTE format($view$
			CREATE OR REPLACE VIEW %2$I.pattern_%1$s AS
			SELECT p.window_start AS "time", s.service_name, p.service_id, s.region, s.size,
				s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
				@extschema@.chpg_query_hex(k.query_id) AS query_hex, k.query_id,
				left(regexp_replace(t.query_text, '\s+', ' ', 'g'), 120) AS query, t.query_text,
				k.db_name, k.db_user, k.db_operation, k.app,
				p.call_count, p.error_count,
				p.total_duration_us, p.avg_duration_us, p.max_duration_us,
				p.p50_duration_us, p.p95_duration_us, p.p99_duration_us,
				p.total_rows, p.total_shared_blks_read, p.total_shared_blks_hit,
				p.total_shared_blks_hit::float8
					/ nullif(p.total_shared_blks_hit::float8 + p.total_shared_blks_read, 0) AS hit_ratio,
				p.total_cpu_time_us, p.total_wal_bytes,
				p.total_duration_us / 1e6 / extract(epoch FROM interval '1 %1$s')::float8 AS active_executions
			FROM pattern p
			JOIN pattern_key k USING (pattern_key)
			JOIN query_text t USING (text_id)
			LEFT JOIN service s ON s.service_id = p.service_id
				AND p.window_start >= s.valid_from AND p.window_start < s.valid_to
			WHERE p.grain = %1$L AND k.query_id <> 0
		$view$, grain, schema);
		EXECUTE format($view$
			CREATE OR REPLACE VIEW %2$I.service_%1$s AS
			SELECT c.window_start AS "time", s.service_name, c.service_id, s.region, s.size,
				s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
				c.status, c.truncated,
				w.patterns, w.call_count, w.error_count,
				w.call_count / extract(epoch FROM interval '1 %1$s')::float8 AS calls_per_s,
				w.total_duration_us,
				w.statement_duration_us / nullif(w.call_count, 0) AS avg_duration_us,
				w.p95_lo_us, w.p95_hi_us, w.p99_lo_us, w.p99_hi_us,
				w.total_rows, w.total_shared_blks_read, w.total_shared_blks_hit,
				w.total_shared_blks_hit::float8
					/ nullif(w.total_shared_blks_hit::float8 + w.total_shared_blks_read, 0) AS hit_ratio,
				w.total_cpu_time_us, w.total_wal_bytes,
				w.total_duration_us / 1e6 / extract(epoch FROM interval '1 %1$s')::float8 AS active_executions
			FROM capture c
			LEFT JOIN service s ON s.service_id = c.service_id
				AND c.window_start >= s.valid_from AND c.window_start < s.valid_to
			LEFT JOIN LATERAL (
				SELECT count(*) FILTER (WHERE k.query_id <> 0) AS patterns,
					least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint
						AS call_count,
					least(coalesce(sum(p.error_count), 0), 9223372036854775807)::bigint AS error_count,
					coalesce(sum(p.total_duration_us), 0) AS total_duration_us,
					coalesce(sum(p.total_duration_us) FILTER (WHERE k.query_id <> 0), 0) AS statement_duration_us,
					min(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_lo_us,
					max(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_hi_us,
					min(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_lo_us,
					max(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_hi_us,
					least(coalesce(sum(p.total_rows), 0), 9223372036854775807)::bigint AS total_rows,
					least(coalesce(sum(p.total_shared_blks_read), 0), 9223372036854775807)::bigint
						AS total_shared_blks_read,
					least(coalesce(sum(p.total_shared_blks_hit), 0), 9223372036854775807)::bigint
						AS total_shared_blks_hit,
					coalesce(sum(p.total_cpu_time_us), 0) AS total_cpu_time_us,
					least(coalesce(sum(p.total_wal_bytes), 0), 9223372036854775807)::bigint AS total_wal_bytes
				FROM pattern p
				JOIN pattern_key k USING (pattern_key)
				WHERE p.service_id = c.service_id AND p.grain = c.grain AND p.window_start = c.window_start
			) w ON c.status = 'ok'
			WHERE c.grain = %1$L
		$view$, grain, schema);
	END LOOP;
	EXECUTE format($views$
		CREATE OR REPLACE VIEW %1$I.error_hour AS
		SELECT p.window_start AS "time", s.service_name, p.service_id,
			s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
			k.db_name, k.db_user, k.app,
			least(sum(p.error_count), 9223372036854775807)::bigint AS error_count,
			least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint
				AS call_count,
			CASE WHEN bool_or(c.truncated) THEN NULL
				ELSE sum(p.error_count)::float8 / nullif(sum(p.error_count)
					+ coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 0) END AS error_ratio
		FROM pattern p
		JOIN pattern_key k USING (pattern_key)
		LEFT JOIN capture c ON c.service_id = p.service_id AND c.grain = p.grain AND c.window_start = p.window_start
		LEFT JOIN service s ON s.service_id = p.service_id
			AND p.window_start >= s.valid_from AND p.window_start < s.valid_to
		WHERE p.grain = 'hour'
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
		HAVING sum(p.error_count) > 0;

		CREATE OR REPLACE VIEW %1$I.metric AS
		SELECT m."time", s.service_name, m.service_id,
			s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
			m.metric, m.series, m.unit, m.value
		FROM metric_point m
		LEFT JOIN service s ON s.service_id = m.service_id
			AND m."time" >= s.valid_from AND m."time" < s.valid_to;

		CREATE OR REPLACE VIEW %1$I.coverage AS
		SELECT c.window_start AS "time", s.service_name, c.service_id, c.grain, c.window_end,
			c.status, c.patterns, c.truncated, c.cutoff_us, c.error, c.attempts, c.captured_at
		FROM capture c
		LEFT JOIN service s ON s.service_id = c.service_id
			AND c.window_start >= s.valid_from AND c.window_start < s.valid_to;
	$views$, schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_views(name) IS
'Create the views of a history in a schema, or replace them.';
