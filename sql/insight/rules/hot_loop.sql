/*
 * rule: CHPG102 hot_loop
 * title: Very many short executions
 * kind: opportunity
 * scope: pattern
 * place: 40
 * needs: executions, durations, blocks
 * threshold: avg_us = 1000 us; Mean duration up to which executions are short.
 * threshold: calls_per_h = 10000 calls/h; Executions per hour ...
 * threshold: calls_per_s = 10 calls/s; ... and per second ...
 * threshold: time_ratio = 0.05 ratio; ... and their share of the service's time.
 * threshold: blks_per_call = 50 blocks; Blocks for each execution up to which it is one.
 * threshold: round_trip_us = 200 us; Time between two executions that a round trip takes.
 * threshold: batch_size = 100 executions; Executions that one statement can replace.
 */
SELECT
	format('%s executions per second of %s',
		@extschema@._chpg_count_text(calls / hours / 3600), @extschema@._chpg_duration_text(avg_us)) AS symptom,
	'An application asks row by row (N+1), or polls. An index does not help. '
		'Fast statements may be sampled, so that there are more.' AS explanation,
	'Find the loop by application and text; ask for many at once, = ANY($1), or keep what it asks for.' AS action,
	CASE WHEN rows_per_call <= 2 THEN 'high' ELSE 'medium' END AS confidence,
	calls * (1 - 1 / greatest(:batch_size, 1)) * :round_trip_us AS impact_us,
	format('the round trips of the application, %s each, if a statement asks for %s rows at once',
		@extschema@._chpg_duration_text(:round_trip_us), @extschema@._chpg_count_text(:batch_size)) AS saving,
	calls / hours AS now,
	'calls/h' AS unit
WHERE avg_us <= :avg_us
	AND calls >= :calls_per_h * greatest(hours, 0.25)
	AND calls / hours / 3600 >= :calls_per_s
	AND time_ratio >= :time_ratio
	AND blks_per_call <= :blks_per_call;
