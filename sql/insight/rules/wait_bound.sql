/*
 * rule: CHPG601 wait_bound
 * title: Long executions that wait
 * kind: opportunity
 * scope: pattern
 * place: 10
 * needs: executions, durations, blocks, CPU time
 * threshold: avg_us = 20000 us; Mean duration.
 * threshold: cpu_ratio = 0.2 ratio; Share of CPU time in it up to which it waits.
 * threshold: blks_per_call = 100 blocks; Blocks for each execution below which it waits.
 * threshold: calls = 50 executions; Executions.
 */
SELECT
	format('%s for each execution, %s %% of it on CPU, and %s blocks', @extschema@._chpg_duration_text(avg_us),
		round(cpu_ratio::numeric * 100), @extschema@._chpg_count_text(round(blks_per_call))) AS symptom,
	'Little CPU and few blocks: it waits for locks, for the client, or for WAL. '
		'The counters do not show which.' AS explanation,
	'Look at wait_event of pg_stat_activity while it runs, and set log_lock_waits.' AS action,
	'medium' AS confidence,
	total_us * (1 - cpu_ratio) AS impact_us,
	'the time that is not on CPU' AS saving,
	avg_us AS now,
	'us' AS unit
WHERE avg_us >= :avg_us
	AND cpu_ratio <= :cpu_ratio
	AND blks_per_call < :blks_per_call
	AND calls >= :calls;
