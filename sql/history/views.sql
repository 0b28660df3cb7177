/*
 * History: views for people and BI tools.
 *
 * They read the history only, never the API.  "time" comes first, and columns are only
 * ever added at the end.  Percentiles of joined windows are bounds, since percentiles
 * cannot be combined.
 */

/*
 * Open and sealed windows are joined with their texts each by themselves, so that conditions
 * on the time, and on the id or name of the service, reach the index of each.
 */
CREATE FUNCTION @extschema@._chpg_history_rows(grain text, columns text, upgrading boolean)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('SELECT %s FROM %s
		JOIN %s k ON k.pattern_key = p.pattern_key
		JOIN %s t ON t.text_id = k.text_id
		LEFT JOIN service s ON s.service_id = sk.service_id
			AND p.window_start >= s.valid_from AND p.window_start < s.valid_to',
		columns, f.source, f.keys, f.texts), ' UNION ALL ')
	FROM (VALUES
		(format('open_%s p JOIN service_key sk USING (service_key)', grain), 'pattern_key', 'query_text'),
		(format('service_key sk JOIN sealed_%s w USING (service_key)
			CROSS JOIN LATERAL (SELECT w.window_start, u.* FROM unnest(w.pattern_key, %s) u(pattern_key, %s)) p',
			grain, @extschema@._chpg_of_counters('w.{}'), @extschema@._chpg_of_counters('{}')),
			'pattern_key', 'query_text'),
		(CASE WHEN upgrading THEN @extschema@._chpg_old_rows(grain) END, 'old_pattern_key',
			'(SELECT o.text_id, o.query_text, left(regexp_replace(o.query_text, ''[[:space:]]+'', '' '', ''g''), 120) AS query '
			'FROM old_query_text o)')) f(source, keys, texts)
	WHERE f.source IS NOT NULL
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_rows(text, text, boolean) IS
'A query of the patterns of all windows of a grain.
upgrading: also of those that an upgrade has not converted yet.
columns: what it selects, of p (counters), k (pattern_key), t (query_text), s (service), and sk
  (service_key).';

/*
 * Keys and counters only, for what sums them: a condition on service_key and window_start
 * reaches the indexes.
 */
CREATE FUNCTION @extschema@._chpg_history_windows(grain text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('SELECT p.window_start, p.service_key, p.pattern_key, %4$s FROM open_%1$s p
		UNION ALL
		SELECT w.window_start, w.service_key, p.pattern_key, %4$s
		FROM sealed_%1$s w CROSS JOIN LATERAL unnest(w.pattern_key, %3$s) p(pattern_key, %2$s)',
		grain, @extschema@._chpg_of_counters('{}'), @extschema@._chpg_of_counters('w.{}'),
		@extschema@._chpg_of_counters('p.{}::{wide} AS {}'))
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_windows(text) IS
'A query of the counters of all windows of a grain, with the keys of services and patterns.';

/*
 * What chpg itself reads, instead of the views.  A former owner of the history may have put
 * other queries in their place, whose functions would run with the rights of each caller;
 * only the tables are checked.  Callers have entered the history.  A function with a SET
 * would not be inlined.
 */
DO $do$
DECLARE
	grain text;
BEGIN
	FOREACH grain IN ARRAY '{hour,day}'::text[] LOOP
		EXECUTE format('CREATE FUNCTION @extschema@._chpg_window_%s()
			RETURNS TABLE (window_start timestamptz, service_key integer, pattern_key integer, %s)
			LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000 AS %L', grain, @extschema@._chpg_of_counters('{} {wide}'),
			@extschema@._chpg_history_windows(grain));
		EXECUTE format('COMMENT ON FUNCTION @extschema@._chpg_window_%s() IS %L', grain,
			'The counters of all windows of the history that was entered, with their keys.');
	END LOOP;
END
$do$;

CREATE FUNCTION @extschema@._chpg_history_create_views(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	upgrading CONSTANT boolean := @extschema@._chpg_history_layout(schema) = 1;
	captures CONSTANT text := CASE WHEN upgrading THEN @extschema@._chpg_old_captures(false) ELSE 'capture' END;
	sums CONSTANT text := CASE WHEN upgrading THEN @extschema@._chpg_old_captures(true) ELSE 'capture' END;
	grain text;
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	FOREACH grain IN ARRAY '{hour,day}'::text[] LOOP
		EXECUTE format('CREATE OR REPLACE VIEW %I.pattern_%s AS SELECT * FROM (%s) p WHERE query_id <> 0', schema, grain,
			@extschema@._chpg_history_rows(grain, format($columns$
				p.window_start AS "time", s.service_name, sk.service_id, s.region, s.size,
				s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
				lpad(to_hex(k.query_id), 16, '0') AS query_hex, k.query_id, t.query, t.query_text,
				k.db_name, k.db_user, k.db_operation, k.app,
				p.call_count, p.error_count,
				p.total_duration_us::float8 AS total_duration_us,
				p.total_duration_us::float8 / nullif(p.call_count, 0) AS avg_duration_us,
				p.max_duration_us::float8 AS max_duration_us, p.p50_duration_us::float8 AS p50_duration_us,
				p.p95_duration_us::float8 AS p95_duration_us, p.p99_duration_us::float8 AS p99_duration_us,
				p.total_rows, p.total_shared_blks_read, p.total_shared_blks_hit,
				p.total_shared_blks_hit::float8
					/ nullif(p.total_shared_blks_hit::float8 + p.total_shared_blks_read, 0) AS hit_ratio,
				p.total_cpu_time_us::float8 AS total_cpu_time_us, p.total_wal_bytes,
				p.total_duration_us::float8 / 1e6 / extract(epoch FROM interval '1 %s')::float8 AS active_executions
			$columns$, grain), upgrading));
		EXECUTE format($view$
			CREATE OR REPLACE VIEW %2$I.service_%1$s AS
			SELECT c.window_start AS "time", s.service_name, c.service_id, s.region, s.size,
				s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
				c.status, c.truncated,
				c.queries::bigint AS patterns, c.call_count, c.error_count,
				c.call_count / extract(epoch FROM interval '1 %1$s')::float8 AS calls_per_s,
				c.total_duration_us,
				c.statement_duration_us / nullif(c.call_count, 0) AS avg_duration_us,
				c.p95_lo_us, c.p95_hi_us, c.p99_lo_us, c.p99_hi_us,
				c.total_rows, c.total_shared_blks_read, c.total_shared_blks_hit,
				c.total_shared_blks_hit::float8
					/ nullif(c.total_shared_blks_hit::float8 + c.total_shared_blks_read, 0) AS hit_ratio,
				c.total_cpu_time_us, c.total_wal_bytes,
				c.total_duration_us / 1e6 / extract(epoch FROM interval '1 %1$s')::float8 AS active_executions
			FROM %3$s c
			LEFT JOIN service s ON s.service_id = c.service_id
				AND c.window_start >= s.valid_from AND c.window_start < s.valid_to
			WHERE c.grain = %1$L
		$view$, grain, schema, sums);
	END LOOP;
	EXECUTE format($views$
		CREATE OR REPLACE VIEW %1$I.error_hour AS
		SELECT p."time", p.service_name, p.service_id, p.tag_environment, p.tag_team, p.db_name, p.db_user, p.app,
			least(sum(p.error_count), 9223372036854775807)::bigint AS error_count,
			least(coalesce(sum(p.call_count) FILTER (WHERE p.query_id <> 0), 0), 9223372036854775807)::bigint
				AS call_count,
			CASE WHEN bool_or(c.truncated) THEN NULL
				ELSE sum(p.error_count)::float8 / nullif(sum(p.error_count)
					+ coalesce(sum(p.call_count) FILTER (WHERE p.query_id <> 0), 0), 0) END AS error_ratio
		FROM (%2$s) p
		LEFT JOIN %4$s c ON c.service_id = p.service_id AND c.grain = 'hour' AND c.window_start = p."time"
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
		HAVING sum(p.error_count) > 0;

		CREATE OR REPLACE VIEW %1$I.pattern_daily AS
		SELECT d."time", s.service_name, sk.service_id, s.region, s.size, s.tags->>'Environment' AS tag_environment,
			s.tags->>'team' AS tag_team, lpad(to_hex(k.query_id), 16, '0') AS query_hex, k.query_id, t.query, t.query_text,
			k.db_name, k.db_user, k.db_operation, k.app, d.hours, d.call_count, d.error_count,
			d.total_duration_us, d.total_duration_us / nullif(d.call_count, 0) AS avg_duration_us,
			d.max_duration_us::float8 AS max_duration_us, d.p95_lo_us::float8 AS p95_lo_us,
			d.p95_hi_us::float8 AS p95_hi_us, d.total_rows, d.total_shared_blks_read, d.total_shared_blks_hit,
			d.total_shared_blks_hit::float8
				/ nullif(d.total_shared_blks_hit::float8 + d.total_shared_blks_read, 0) AS hit_ratio,
			d.total_cpu_time_us, d.total_wal_bytes, k.text_id
		FROM day_sum d
		JOIN service_key sk USING (service_key)
		JOIN pattern_key k ON k.pattern_key = d.pattern_key
		LEFT JOIN query_text t ON t.text_id = k.text_id
		LEFT JOIN service s ON s.service_id = sk.service_id AND d."time" >= s.valid_from AND d."time" < s.valid_to
		WHERE k.query_id <> 0;

		CREATE OR REPLACE VIEW %1$I.error_daily AS
		SELECT p."time", p.service_name, p.service_id, p.tag_environment, p.tag_team, p.db_name, p.db_user, p.app,
			p.error_count, p.call_count,
			CASE WHEN NOT EXISTS (SELECT FROM capture c WHERE c.service_id = p.service_id AND c.grain = 'hour'
					AND c.window_start >= p."time" AND c.window_start < p."time" + interval '24 hours' AND c.truncated)
				THEN p.error_count::float8 / nullif(p.error_count::float8 + p.call_count, 0) END AS error_ratio
		FROM (
			SELECT d."time", s.service_name, sk.service_id, s.tags->>'Environment' AS tag_environment,
				s.tags->>'team' AS tag_team, k.db_name, k.db_user, k.app,
				least(sum(d.error_count), 9223372036854775807)::bigint AS error_count,
				least(coalesce(sum(d.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint
					AS call_count
			FROM day_sum d
			JOIN service_key sk USING (service_key)
			JOIN pattern_key k ON k.pattern_key = d.pattern_key
			LEFT JOIN service s ON s.service_id = sk.service_id AND d."time" >= s.valid_from AND d."time" < s.valid_to
			GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
			HAVING sum(d.error_count) > 0
		) p;

		CREATE OR REPLACE VIEW %1$I.metric AS
		SELECT m.first_time + (v.place - 1) * m.step AS "time", s.service_name, sk.service_id,
			s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
			m.metric, m.series, m.unit, v.value::float8 AS value, m.day
		FROM service_key sk
		JOIN metric_day m USING (service_key)
		CROSS JOIN LATERAL unnest(m."values") WITH ORDINALITY v(value, place)
		LEFT JOIN service s ON s.service_id = sk.service_id
			AND m.first_time + (v.place - 1) * m.step >= s.valid_from
			AND m.first_time + (v.place - 1) * m.step < s.valid_to
		WHERE v.value IS NOT NULL%3$s;

		CREATE OR REPLACE VIEW %1$I.coverage AS
		SELECT c.window_start AS "time", s.service_name, c.service_id, c.grain, c.window_end,
			c.status, c.patterns, c.truncated, c.cutoff_us, c.error, c.attempts, c.captured_at
		FROM %4$s c
		LEFT JOIN service s ON s.service_id = c.service_id
			AND c.window_start >= s.valid_from AND c.window_start < s.valid_to;

		CREATE OR REPLACE VIEW %1$I.archive_state AS
		SELECT a.archived_seal_id, a.archived_at, coalesce(max(w.seal_id), a.archived_seal_id) AS last_seal_id,
			count(w.seal_id) AS windows, min(w.window_start) AS oldest_window
		FROM (SELECT coalesce(max(seal_id), 0) AS archived_seal_id, max(archived_at) AS archived_at FROM archive) a
		LEFT JOIN (
			SELECT seal_id, window_start FROM sealed_hour UNION ALL SELECT seal_id, window_start FROM sealed_day
		) w ON w.seal_id > a.archived_seal_id
		GROUP BY a.archived_seal_id, a.archived_at;

		CREATE OR REPLACE VIEW %1$I.archive_service AS
		SELECT sk.service_key, s.service_id, greatest(s.valid_from, '1970-01-01 00:00Z') AS valid_from,
			least(s.valid_to, '2100-01-01 00:00Z') AS valid_to, s.service_name, s.region, s.size, s.ha_type,
			s.postgres_version, s.tags::text AS tags, s.server
		FROM service s JOIN service_key sk USING (service_id);

		CREATE OR REPLACE VIEW %1$I.finding AS
		SELECT l.level, l.state, CASE WHEN a.age < interval '2 hours' THEN floor(extract(epoch FROM a.age) / 60) || ' min'
				WHEN a.age < interval '48 hours' THEN floor(extract(epoch FROM a.age) / 3600) || ' h'
				ELSE floor(extract(epoch FROM a.age) / 86400) || ' d' END AS age,
			left(coalesce(l.service_name, l.service_id), 12) AS service, left(l.finding->>'title', 28) AS title,
			left(l.finding->>'symptom', 44) AS symptom
		FROM finding_log l
		CROSS JOIN LATERAL (SELECT greatest(now() - coalesce(l.since, l.opened_at), interval '0') AS age) a
		WHERE l.resolved_at IS NULL AND l.is_root AND NOT l.muted
		ORDER BY (l.finding->>'urgency')::integer, array_position('{ERROR,WARN,INFO}'::text[], l.level),
			(l.finding->>'impact_us')::float8 DESC NULLS LAST, l.finding_key
		OFFSET 0;

		CREATE OR REPLACE VIEW %1$I.finding_history AS
		SELECT l.worst_level AS level, l.state, to_char(coalesce(l.since, l.opened_at), 'YYYY-MM-DD HH24:MI') AS begins,
			CASE WHEN l.resolved_at IS NOT NULL THEN to_char(l.last_seen_at, 'YYYY-MM-DD HH24:MI') END AS ends,
			left(coalesce(l.service_name, l.service_id), 12) AS service, left(l.finding->>'title', 26) AS title,
			left(l.finding->>'subject', 16) AS subject
		FROM finding_log l
		WHERE l.is_root
		ORDER BY coalesce(l.since, l.opened_at) DESC, l.opened_at DESC, l.finding_key
		OFFSET 0;

		CREATE OR REPLACE VIEW %1$I.dead_letter AS
		SELECT a.noted_at, d.webhook, a.transition, a.level, left(coalesce(a.service_name, a.service_id), 12) AS service,
			left(a.title, 28) AS title, d.attempts, left(d.error, 60) AS error, a.incident_id
		FROM alert_delivery d
		JOIN alert a ON a.alert_id = d.alert_id
		WHERE d.state = 'dead'
		ORDER BY d.alert_id DESC, d.webhook
		OFFSET 0;

		CREATE OR REPLACE VIEW %1$I.incident AS
		SELECT l.incident_id, l.is_root, l.level, l.state, l.since, l.service_id, l.service_name, l.rule_id,
			l.finding->>'title' AS title, l.finding->>'subject' AS subject, l.finding->>'symptom' AS symptom,
			l.finding->>'action' AS action, l.finding->>'next' AS next, l.opened_at, l.last_seen_at, l.muted, l.finding_key,
			l.finding->>'explanation' AS explanation
		FROM finding_log l
		WHERE l.resolved_at IS NULL AND l.incident_id IS NOT NULL
		ORDER BY l.since, l.incident_id, l.is_root DESC, l.finding_key
		OFFSET 0;
	$views$, schema, @extschema@._chpg_history_rows('hour', $columns$
		p.window_start AS "time", s.service_name, sk.service_id, s.tags->>'Environment' AS tag_environment,
		s.tags->>'team' AS tag_team, k.db_name, k.db_user, k.app, k.query_id, p.error_count, p.call_count
	$columns$, upgrading), CASE WHEN upgrading THEN ' UNION ALL ' || @extschema@._chpg_old_points() ELSE '' END,
		captures);
	IF upgrading THEN
		EXECUTE @extschema@._chpg_old_days(schema);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_views(name) IS
'Create the views of a history in a schema, or replace them.
During an upgrade they read the tables of the earlier layout, too.';
