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

/*
 * For each pattern that counts (CHPG100), each rule that holds for it.  An execution without
 * rows counts as one row in blks_per_row.
 */
CREATE FUNCTION @extschema@._chpg_find_patterns(patterns @extschema@.chpg_period_pattern_row[], period tstzrange,
	service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH counted AS (
		SELECT p.*, coalesce(h.hours, extract(epoch FROM upper(period) - lower(period))::float8 / 3600) AS hours,
			p.total_duration_us / nullif(sum(p.total_duration_us) OVER w, 0) AS time_ratio,
			p.total_wal_bytes / nullif(sum(p.total_wal_bytes) OVER w, 0)::float8 AS wal_ratio,
			p.total_shared_blks_read + p.total_shared_blks_hit::float8 AS blks
		FROM unnest(patterns) p
		LEFT JOIN @extschema@._chpg_period_hours(period, service, server) h USING (service_id)
		WHERE p.query_id <> 0 AND p.call_count > 0 AND NOT @extschema@._chpg_is_monitoring(p.app)
		WINDOW w AS (PARTITION BY p.service_id)
	), facts AS MATERIALIZED (
		SELECT service_id, query_id, db_name, db_user, db_operation, app, query_text,
			call_count::float8 AS calls, total_duration_us AS total_us, avg_duration_us AS avg_us,
			hours::float8 AS hours,
			time_ratio, total_rows::float8 / call_count AS rows_per_call, blks / call_count AS blks_per_call,
			blks / greatest(total_rows, call_count, 1) AS blks_per_row,
			CASE WHEN total_cpu_time_us >= 0 THEN least(total_cpu_time_us / nullif(total_duration_us, 0), 1) END
				AS cpu_ratio,
			coalesce(total_wal_bytes, 0)::float8 AS wal_bytes, wal_ratio,
			query_text ~* '\m(count|sum|avg|string_agg|array_agg|jsonb?_agg)\s*\(|\mgroup\s+by\M' AS aggregates,
			to_jsonb(ARRAY[service_id, query_id::text, db_name, db_user, db_operation, app])::text
				AS pattern_key
		FROM counted
		WHERE total_duration_us >= @extschema@._chpg_threshold('100', 'total_us')
			AND (time_ratio >= @extschema@._chpg_threshold('100', 'time_ratio')
				OR total_duration_us / 3.6e9 / hours >= @extschema@._chpg_threshold('100', 'active_executions'))
	), found AS (
		SELECT f.*, r.*
		FROM facts f
		CROSS JOIN LATERAL (VALUES
			('CHPG601', 'wait_bound', 'Long executions that wait',
				CASE WHEN avg_us >= @extschema@._chpg_threshold('601', 'avg_us')
						AND cpu_ratio <= @extschema@._chpg_threshold('601', 'cpu_ratio')
						AND blks_per_call < @extschema@._chpg_threshold('601', 'blks_per_call')
						AND calls >= @extschema@._chpg_threshold('601', 'calls')
					THEN CASE WHEN time_ratio >= @extschema@._chpg_threshold('601', 'error_time_ratio')
						THEN 'ERROR' ELSE 'WARN' END END,
				format('%s ms for each execution, %s %% of them on CPU, %s blocks',
					round(avg_us::numeric / 1000, 1), round(cpu_ratio::numeric * 100), round(blks_per_call)),
				'Little CPU and few blocks: it waits for locks, for the client, or for WAL. '
					'The counters do not show which.',
				'Look at wait_event of pg_stat_activity while it runs, and set log_lock_waits.', 'medium'),
			('CHPG201', 'slow_write', 'Slow writes',
				CASE WHEN db_operation IN ('INSERT', 'UPDATE', 'DELETE', 'MERGE')
						AND calls >= @extschema@._chpg_threshold('201', 'calls')
						AND avg_us >= @extschema@._chpg_threshold('201', 'avg_us')
						AND time_ratio >= @extschema@._chpg_threshold('201', 'time_ratio')
					THEN CASE WHEN avg_us >= @extschema@._chpg_threshold('201', 'error_avg_us')
							AND time_ratio >= @extschema@._chpg_threshold('201', 'error_time_ratio')
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
						AND calls >= @extschema@._chpg_threshold('101', 'calls')
						AND coalesce(rows_per_call, 0) < @extschema@._chpg_threshold('101', 'rows_per_call')
						AND blks_per_row >= @extschema@._chpg_threshold('101', 'blks_per_row')
						AND blks_per_call >= @extschema@._chpg_threshold('101', 'blks_per_call')
					THEN CASE WHEN aggregates THEN 'INFO'
						WHEN blks_per_row >= @extschema@._chpg_threshold('101', 'error_blks_per_row')
							AND blks_per_call >= @extschema@._chpg_threshold('101', 'error_blks_per_call')
							AND time_ratio >= @extschema@._chpg_threshold('101', 'error_time_ratio') THEN 'ERROR'
						WHEN blks_per_row >= @extschema@._chpg_threshold('101', 'warn_blks_per_row')
							AND blks_per_call >= @extschema@._chpg_threshold('101', 'warn_blks_per_call') THEN 'WARN'
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
				CASE WHEN avg_us <= @extschema@._chpg_threshold('102', 'avg_us')
						AND calls >= @extschema@._chpg_threshold('102', 'calls_per_h') * greatest(hours, 0.25)
						AND calls / hours / 3600 >= @extschema@._chpg_threshold('102', 'calls_per_s')
						AND time_ratio >= @extschema@._chpg_threshold('102', 'time_ratio')
						AND blks_per_call <= @extschema@._chpg_threshold('102', 'blks_per_call')
					THEN CASE WHEN time_ratio >= @extschema@._chpg_threshold('102', 'error_time_ratio')
						THEN 'ERROR' ELSE 'WARN' END END,
				format('%s executions per second of %s ms',
					round((calls / hours / 3600)::numeric, 1), round(avg_us::numeric / 1000, 3)),
				'An application asks row by row (N+1), or polls. An index does not help. '
					'Fast statements may be sampled, so that there are more.',
				'Find the loop by application and text; ask for many at once, = ANY($1), or keep what it asks for.',
				CASE WHEN rows_per_call <= 2 THEN 'high' ELSE 'medium' END),
			('CHPG202', 'wal_hog', 'Writes most of the WAL',
				CASE WHEN wal_ratio >= @extschema@._chpg_threshold('202', 'wal_ratio')
						AND wal_bytes >= hours * @extschema@._chpg_threshold('202', 'wal_bytes_per_h') THEN 'WARN' END,
				format('%s %% of the WAL, %s MB per hour', round(wal_ratio::numeric * 100),
					round(wal_bytes / hours / 1048576)),
				'WAL delays replicas and fills storage. '
					'Full-page images, unused indexes or updates that are not HOT may be the cause.',
				'Write in batches; drop indexes that nobody uses; a lower fillfactor lets updates be HOT.', 'high'),
			('CHPG607', 'huge_result', 'Very many rows for each execution',
				CASE WHEN db_operation = 'SELECT'
					AND rows_per_call >= @extschema@._chpg_threshold('607', 'rows_per_call')
					THEN CASE WHEN rows_per_call >= @extschema@._chpg_threshold('607', 'warn_rows_per_call')
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
		explanation, action, total_us, confidence, NULL::text[], rule_id || ':' || pattern_key, false
	FROM found;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_patterns(@extschema@.chpg_period_pattern_row[], tstzrange, text, text) IS
'Findings of single patterns.
Requests: none.';
