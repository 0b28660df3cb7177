/* Rules over single patterns: full scan, hot loop, slow write, WAL hog, wait bound, huge result. */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG100', 'material', 'total_us', 1000000, 'Total time from which a pattern counts, in microseconds ...'),
	('CHPG100', 'material', 'time_ratio', 0.01, '... and such a share of its service''s time ...'),
	('CHPG100', 'material', 'active_executions', 0.05, '... or so many executions at a time.'),
	('CHPG101', 'full_scan', 'blks_per_row', 20,
		'Blocks for each row, or execution without one, from which it is INFO.'),
	('CHPG101', 'full_scan', 'blks_per_call', 200, 'Blocks for each execution from which it is INFO.'),
	('CHPG101', 'full_scan', 'warn_blks_per_row', 100, 'Blocks for each row from which it is WARN.'),
	('CHPG101', 'full_scan', 'warn_blks_per_call', 1000, 'Blocks for each execution from which it is WARN.'),
	('CHPG101', 'full_scan', 'error_blks_per_row', 1000, 'Blocks for each row from which it is ERROR.'),
	('CHPG101', 'full_scan', 'error_blks_per_call', 10000, 'Blocks for each execution from which it is ERROR.'),
	('CHPG101', 'full_scan', 'error_time_ratio', 0.2, 'Share of time from which it is ERROR.'),
	('CHPG101', 'full_scan', 'calls', 5, 'Executions.'),
	('CHPG101', 'full_scan', 'rows_per_call', 100000, 'Rows for each execution below which it is one.'),
	('CHPG102', 'hot_loop', 'avg_us', 1000, 'Mean time up to which it is one, in microseconds.'),
	('CHPG102', 'hot_loop', 'calls_per_h', 10000, 'Executions per hour.'),
	('CHPG102', 'hot_loop', 'calls_per_s', 10, 'Executions per second.'),
	('CHPG102', 'hot_loop', 'time_ratio', 0.05, 'Share of time.'),
	('CHPG102', 'hot_loop', 'blks_per_call', 50, 'Blocks for each execution up to which it is one.'),
	('CHPG102', 'hot_loop', 'error_time_ratio', 0.25, 'Share of time from which it is ERROR.'),
	('CHPG201', 'slow_write', 'calls', 5, 'Executions.'),
	('CHPG201', 'slow_write', 'avg_us', 50000, 'Mean time, in microseconds.'),
	('CHPG201', 'slow_write', 'time_ratio', 0.02, 'Share of time.'),
	('CHPG201', 'slow_write', 'error_avg_us', 500000, 'Mean time from which it is ERROR, in microseconds ...'),
	('CHPG201', 'slow_write', 'error_time_ratio', 0.1, '... and the share of time.'),
	('CHPG202', 'wal_hog', 'wal_ratio', 0.3, 'Share of the service''s WAL.'),
	('CHPG202', 'wal_hog', 'wal_bytes_per_h', 104857600, 'WAL per hour, in bytes.'),
	('CHPG601', 'wait_bound', 'avg_us', 20000, 'Mean time, in microseconds.'),
	('CHPG601', 'wait_bound', 'cpu_ratio', 0.2, 'Share of CPU in it up to which it waits.'),
	('CHPG601', 'wait_bound', 'blks_per_call', 100, 'Blocks for each execution below which it waits.'),
	('CHPG601', 'wait_bound', 'calls', 50, 'Executions.'),
	('CHPG601', 'wait_bound', 'error_time_ratio', 0.2, 'Share of time from which it is ERROR.'),
	('CHPG607', 'huge_result', 'rows_per_call', 10000, 'Rows for each execution from which it is INFO.'),
	('CHPG607', 'huge_result', 'warn_rows_per_call', 100000, 'Rows for each execution from which it is WARN.');

SELECT @extschema@._chpg_declare_thresholds();

/*
 * For each pattern that counts (CHPG100), each rule that holds for it.  An execution without
 * rows counts as one row in blks_per_row.
 */
CREATE FUNCTION @extschema@._chpg_find_patterns(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH services AS (
		SELECT (p.b).service_id, nullif(sum((p.b).total_duration_us ORDER BY (p.b).total_duration_us), 0) AS total_us,
			nullif(sum((p.b).total_wal_bytes), 0)::float8 AS wal_bytes,
			coalesce(max(h.hours), @extschema@._chpg_length_hours(scope))::float8 AS hours
		FROM unnest(pairs) p
		LEFT JOIN unnest(scope.period_hours) h ON h.service_id = (p.b).service_id
		WHERE (p.b).query_id <> 0 AND (p.b).call_count > 0 AND NOT @extschema@._chpg_is_monitoring((p.b).app)
		GROUP BY 1
	), counted AS MATERIALIZED (
		SELECT p.b, p.text_id, p.query_text, s.hours, (p.b).total_duration_us / s.total_us AS time_ratio,
			(p.b).total_wal_bytes / s.wal_bytes AS wal_ratio
		FROM unnest(pairs) p
		JOIN services s ON s.service_id = (p.b).service_id
		WHERE (p.b).query_id <> 0 AND (p.b).call_count > 0 AND NOT @extschema@._chpg_is_monitoring((p.b).app)
			AND (p.b).total_duration_us >= t.material_total_us
			AND ((p.b).total_duration_us / s.total_us >= t.material_time_ratio
				OR (p.b).total_duration_us / 3.6e9 / s.hours >= t.material_active_executions)
	), facts AS MATERIALIZED (
		SELECT p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation, p.app, x.query_text,
			p.call_count::float8 AS calls, p.total_duration_us AS total_us, p.avg_duration_us AS avg_us,
			c.hours, c.time_ratio, p.total_rows::float8 / p.call_count AS rows_per_call,
			b.blks / p.call_count AS blks_per_call, b.blks / greatest(p.total_rows, p.call_count, 1) AS blks_per_row,
			CASE WHEN p.total_cpu_time_us >= 0 THEN least(p.total_cpu_time_us / nullif(p.total_duration_us, 0), 1) END
				AS cpu_ratio,
			coalesce(p.total_wal_bytes, 0)::float8 AS wal_bytes, c.wal_ratio,
			x.query_text ~* '\m(count|sum|avg|string_agg|array_agg|jsonb?_agg)\s*\(|\mgroup\s+by\M' AS aggregates,
			to_jsonb(ARRAY[p.service_id, p.query_id::text, p.db_name, p.db_user, p.db_operation, p.app])::text
				AS pattern_key
		FROM counted c
		CROSS JOIN LATERAL (SELECT (c.b).*) p
		CROSS JOIN LATERAL (SELECT p.total_shared_blks_read + p.total_shared_blks_hit::float8 AS blks) b
		LEFT JOIN @extschema@._chpg_query_texts(ARRAY(
			SELECT DISTINCT i.text_id FROM counted i WHERE i.text_id IS NOT NULL)) q ON q.text_id = c.text_id
		CROSS JOIN LATERAL (SELECT coalesce(c.query_text, q.query_text) AS query_text) x
	), found AS (
		SELECT f.*, r.*
		FROM facts f
		CROSS JOIN LATERAL (VALUES
			('CHPG601', 'wait_bound', 'Long executions that wait',
				CASE WHEN avg_us >= t.wait_bound_avg_us
						AND cpu_ratio <= t.wait_bound_cpu_ratio
						AND blks_per_call < t.wait_bound_blks_per_call
						AND calls >= t.wait_bound_calls
					THEN CASE WHEN time_ratio >= t.wait_bound_error_time_ratio
						THEN 'ERROR' ELSE 'WARN' END END,
				format('%s ms for each execution, %s %% of them on CPU, %s blocks',
					round(avg_us::numeric / 1000, 1), round(cpu_ratio::numeric * 100), round(blks_per_call)),
				'Little CPU and few blocks: it waits for locks, for the client, or for WAL. '
					'The counters do not show which.',
				'Look at wait_event of pg_stat_activity while it runs, and set log_lock_waits.', 'medium'),
			('CHPG201', 'slow_write', 'Slow writes',
				CASE WHEN db_operation IN ('INSERT', 'UPDATE', 'DELETE', 'MERGE')
						AND calls >= t.slow_write_calls
						AND avg_us >= t.slow_write_avg_us
						AND time_ratio >= t.slow_write_time_ratio
					THEN CASE WHEN avg_us >= t.slow_write_error_avg_us
							AND time_ratio >= t.slow_write_error_time_ratio
						THEN 'ERROR' ELSE 'WARN' END END,
				format('%s ms, %s rows and %s kB of WAL for each execution',
					round(avg_us::numeric / 1000, 1), round(rows_per_call), round(wal_bytes / calls / 1024)),
				CASE WHEN rows_per_call >= 1000 THEN 'Each execution writes many rows.'
					ELSE 'Wide rows, many indexes, triggers, foreign keys, or the flush of WAL: '
						'the counters do not show which.' END,
				CASE WHEN rows_per_call >= 1000 THEN 'Write in parts that commit by themselves.'
					ELSE 'EXPLAIN (ANALYZE, BUFFERS, WAL) shows triggers and WAL; count the table''s indexes.' END,
				'medium'),
			('CHPG101', 'full_scan', 'Reads far more blocks than it returns rows',
				CASE WHEN db_operation IN ('SELECT', 'UPDATE', 'DELETE', 'MERGE')
						AND calls >= t.full_scan_calls
						AND coalesce(rows_per_call, 0) < t.full_scan_rows_per_call
						AND blks_per_row >= t.full_scan_blks_per_row
						AND blks_per_call >= t.full_scan_blks_per_call
					THEN CASE WHEN aggregates THEN 'INFO'
						WHEN blks_per_row >= t.full_scan_error_blks_per_row
							AND blks_per_call >= t.full_scan_error_blks_per_call
							AND time_ratio >= t.full_scan_error_time_ratio THEN 'ERROR'
						WHEN blks_per_row >= t.full_scan_warn_blks_per_row
							AND blks_per_call >= t.full_scan_warn_blks_per_call THEN 'WARN'
						ELSE 'INFO' END END,
				format('%s blocks for each row, %s (%s MB) for each execution',
					round(blks_per_row), round(blks_per_call), round(blks_per_call / 128)),
				CASE WHEN aggregates THEN 'An aggregate has to read what it sums up.'
					ELSE 'An index is missing, or one that is there is not used: '
						'old statistics, another type, a function around the column, bloat.' END,
				CASE WHEN aggregates THEN 'Keep the sums in a table or a materialized view.'
					ELSE 'EXPLAIN (ANALYZE, BUFFERS); then CREATE INDEX CONCURRENTLY on what it filters by, '
						'or ANALYZE.' END,
				CASE WHEN aggregates OR rows_per_call IS NULL THEN 'low' ELSE 'medium' END),
			('CHPG102', 'hot_loop', 'Very many short executions',
				CASE WHEN avg_us <= t.hot_loop_avg_us
						AND calls >= t.hot_loop_calls_per_h * greatest(hours, 0.25)
						AND calls / hours / 3600 >= t.hot_loop_calls_per_s
						AND time_ratio >= t.hot_loop_time_ratio
						AND blks_per_call <= t.hot_loop_blks_per_call
					THEN CASE WHEN time_ratio >= t.hot_loop_error_time_ratio
						THEN 'ERROR' ELSE 'WARN' END END,
				format('%s executions per second of %s ms',
					round((calls / hours / 3600)::numeric, 1), round(avg_us::numeric / 1000, 3)),
				'An application asks row by row (N+1), or polls. An index does not help. '
					'Fast statements may be sampled, so that there are more.',
				'Find the loop by application and text; ask for many at once, = ANY($1), or keep what it asks for.',
				CASE WHEN rows_per_call <= 2 THEN 'high' ELSE 'medium' END),
			('CHPG202', 'wal_hog', 'Writes most of the WAL',
				CASE WHEN wal_ratio >= t.wal_hog_wal_ratio
						AND wal_bytes >= hours * t.wal_hog_wal_bytes_per_h THEN 'WARN' END,
				format('%s %% of the WAL, %s MB per hour', round(wal_ratio::numeric * 100),
					round(wal_bytes / hours / 1048576)),
				'WAL delays replicas and fills storage. '
					'Full-page images, unused indexes or updates that are not HOT may be the cause.',
				'Write in batches; drop indexes that nobody uses; a lower fillfactor lets updates be HOT.', 'high'),
			('CHPG607', 'huge_result', 'Very many rows for each execution',
				CASE WHEN db_operation = 'SELECT'
					AND rows_per_call >= t.huge_result_rows_per_call
					THEN CASE WHEN rows_per_call >= t.huge_result_warn_rows_per_call
						THEN 'WARN' ELSE 'INFO' END END,
				format('%s rows for each execution', round(rows_per_call)),
				'An export, or an application that reads more than it shows.',
				'Read in pages or by a cursor, or aggregate in SQL.', 'high')
		) r(rule_id, rule_name, title, level, symptom, explanation, action, confidence)
		WHERE r.level IS NOT NULL
	)
	SELECT rule_id, level, title, service_id, symptom,
		jsonb_build_object('query_id', query_id::text, 'query_hex', @extschema@.chpg_query_hex(query_id),
			'query_text', query_text, 'db_name', db_name, 'db_user', db_user, 'db_operation', db_operation, 'app', app,
			'call_count', calls, 'avg_duration_us', round(avg_us::numeric, 1),
			'time_ratio', round(time_ratio::numeric, 4),
			'rows_per_call', round(rows_per_call::numeric, 2), 'blks_per_call', round(blks_per_call::numeric, 1),
			'blks_per_row', round(blks_per_row::numeric, 1), 'cpu_ratio', round(cpu_ratio::numeric, 3),
			'wal_ratio', round(wal_ratio::numeric, 4)),
		explanation, action, total_us, confidence, rule_id || ':' || pattern_key, 'opportunity',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM found;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_patterns(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of single patterns.
Requests: none.';
