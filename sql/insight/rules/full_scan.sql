/*
 * rule: CHPG101 full_scan
 * title: Reads far more blocks than it returns rows
 * kind: opportunity
 * scope: pattern
 * place: 30
 * needs: executions, durations, blocks
 * threshold: blks_per_row = 20 blocks; Blocks read for each row, or for an execution without one ...
 * threshold: blks_per_call = 200 blocks; ... and for each execution ...
 * threshold: calls = 5 executions; ... of at least this number of executions ...
 * threshold: rows_per_call = 100000 rows; ... that return fewer rows than this.
 * threshold: index_blks = 4 blocks; Blocks that an index reads for an execution, beside one for each row.
 */
SELECT
	format('reads %s for each execution, and %s blocks for each row',
		@extschema@._chpg_bytes_text(blks_per_call * 8192), @extschema@._chpg_count_text(blks_per_row)) AS symptom,
	CASE WHEN aggregates THEN 'An aggregate has to read what it sums up.'
		ELSE 'An index is missing, or one that is there is not used: '
			'old statistics, another type, a function around the column, bloat.' END AS explanation,
	CASE WHEN aggregates THEN 'Keep the sums in a table or a materialized view.'
		ELSE 'EXPLAIN (ANALYZE, BUFFERS); then CREATE INDEX CONCURRENTLY on what it filters by, or ANALYZE.' END AS action,
	CASE WHEN aggregates OR rows_per_call IS NULL THEN 'low' ELSE 'medium' END AS confidence,
	total_us * greatest(1 - (:index_blks + coalesce(rows_per_call, 1)) / greatest(blks_per_call, 1), 0) AS impact_us,
	format('its time in proportion to blocks: an index reads %s of %s blocks for each execution',
		@extschema@._chpg_count_text(:index_blks + coalesce(rows_per_call, 1)),
		@extschema@._chpg_count_text(blks_per_call)) AS saving,
	blks_per_call * 8192 AS now,
	'bytes' AS unit
WHERE db_operation IN ('SELECT', 'UPDATE', 'DELETE', 'MERGE')
	AND calls >= :calls
	AND coalesce(rows_per_call, 0) < :rows_per_call
	AND blks_per_row >= :blks_per_row
	AND blks_per_call >= :blks_per_call;
