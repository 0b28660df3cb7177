/*
 * rule: CHPG607 huge_result
 * title: Very many rows for each execution
 * kind: opportunity
 * scope: pattern
 * place: 60
 * needs: executions, durations, rows
 * threshold: rows_per_call = 10000 rows; Rows for each execution.
 */
SELECT
	format('%s rows for each execution, in %s', @extschema@._chpg_count_text(rows_per_call),
		@extschema@._chpg_duration_text(avg_us)) AS symptom,
	'An export, or an application that reads more than it shows.' AS explanation,
	'Read in pages or by a cursor, or aggregate in SQL.' AS action,
	'high' AS confidence,
	total_us * (1 - :rows_per_call / rows_per_call) AS impact_us,
	format('its time in proportion to rows, if it reads only %s of them',
		@extschema@._chpg_count_text(:rows_per_call)) AS saving,
	rows_per_call AS now,
	'rows' AS unit
WHERE db_operation = 'SELECT'
	AND NOT is_batch
	AND rows_per_call >= greatest(:rows_per_call, 1);
