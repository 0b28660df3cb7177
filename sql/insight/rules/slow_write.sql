/*
 * rule: CHPG201 slow_write
 * title: Slow writes
 * kind: opportunity
 * scope: pattern
 * place: 20
 * needs: executions, durations
 * threshold: calls = 5 executions; Executions.
 * threshold: avg_us = 50000 us; Mean duration.
 * threshold: time_ratio = 0.02 ratio; Share of the service's time.
 */
SELECT
	format('%s for each execution, which writes %s rows and %s of WAL', @extschema@._chpg_duration_text(avg_us),
		coalesce(@extschema@._chpg_count_text(rows_per_call), 'unknown'),
		@extschema@._chpg_bytes_text(wal_bytes / calls)) AS symptom,
	CASE WHEN rows_per_call >= 1000 THEN 'Each execution writes many rows.'
		ELSE 'Wide rows, many indexes, triggers, foreign keys, or the flush of WAL: '
			'the counters do not show which.' END AS explanation,
	CASE WHEN rows_per_call >= 1000 THEN 'Write in parts that commit by themselves.'
		ELSE 'EXPLAIN (ANALYZE, BUFFERS, WAL) shows triggers and WAL; count the table''s indexes.' END AS action,
	'medium' AS confidence,
	calls * greatest(avg_us - :avg_us, 0) AS impact_us,
	format('what is above %s for each execution', @extschema@._chpg_duration_text(:avg_us)) AS saving,
	avg_us AS now,
	'us' AS unit
WHERE db_operation IN ('INSERT', 'UPDATE', 'DELETE', 'MERGE')
	AND NOT is_batch
	AND calls >= :calls
	AND avg_us >= :avg_us
	AND time_ratio >= :time_ratio;
