-- Reads what was sealed since the last pull into the archive, and checks that it is there.
--
-- Parameters, both of the view archive_state of the history, from before this runs: last, its
-- archived_seal_id, and through, its last_seal_id.  A run that ended in between is repeated as a whole:
-- what is there twice is replaced.  "chpg_history" is the named collection with the connection.

-- Windows
INSERT INTO fleet_history.sealed_hour (
	window_start, service_key, seal_id, patterns, pattern_key, call_count, error_count, total_rows,
	total_shared_blks_read, total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us,
	p50_duration_us, p95_duration_us, p99_duration_us, total_cpu_time_us)
SELECT
	window_start, service_key, seal_id, patterns, pattern_key, call_count, error_count, total_rows,
	total_shared_blks_read, total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us,
	p50_duration_us, p95_duration_us, p99_duration_us, total_cpu_time_us
FROM postgresql(chpg_history, table = 'sealed_hour')
WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64};

INSERT INTO fleet_history.sealed_day (
	window_start, service_key, seal_id, patterns, pattern_key, call_count, error_count, total_rows,
	total_shared_blks_read, total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us,
	p50_duration_us, p95_duration_us, p99_duration_us, total_cpu_time_us)
SELECT
	window_start, service_key, seal_id, patterns, pattern_key, call_count, error_count, total_rows,
	total_shared_blks_read, total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us,
	p50_duration_us, p95_duration_us, p99_duration_us, total_cpu_time_us
FROM postgresql(chpg_history, table = 'sealed_day')
WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64};

-- What their keys stand for: what is new
INSERT INTO fleet_history.pattern_key
SELECT pattern_key, query_id, text_id, db_name, db_user, db_operation, app
FROM postgresql(chpg_history, table = 'pattern_key')
WHERE pattern_key > (SELECT max(pattern_key) FROM fleet_history.pull);

INSERT INTO fleet_history.query_text
SELECT text_id, query, query_text
FROM postgresql(chpg_history, table = 'query_text')
WHERE text_id > (SELECT max(text_id) FROM fleet_history.pull);

INSERT INTO fleet_history.service
SELECT assumeNotNull(service_key), assumeNotNull(service_id), assumeNotNull(valid_from), assumeNotNull(valid_to),
	service_name, region, size, ha_type, postgres_version, ifNull(tags, '{}'), assumeNotNull(server)
FROM postgresql(chpg_history, table = 'archive_service');

-- Sums of windows, and points: from a day before the last pull on, for what came late
INSERT INTO fleet_history.capture
SELECT service_id, grain, window_start, assumeNotNull(captured_at), status, patterns, truncated, cutoff_us, call_count,
	error_count, total_duration_us, total_cpu_time_us, total_wal_bytes
FROM postgresql(chpg_history, table = 'capture')
WHERE captured_at >= (SELECT max(captured_at) - INTERVAL 1 DAY FROM fleet_history.pull);

INSERT INTO fleet_history.metric
SELECT assumeNotNull(service_id), assumeNotNull(metric), assumeNotNull(series), assumeNotNull(time), unit,
	assumeNotNull(value)
FROM postgresql(chpg_history, table = 'metric')
WHERE day >= (SELECT max(day) - INTERVAL 1 DAY FROM fleet_history.pull);

-- Is it all there?  An error ends the pull here.
SELECT throwIf(count() > 0, 'windows of sealed_hour are missing here, or differ')
FROM (
	SELECT toDateTime(window_start, 'UTC') AS window_start, service_key, seal_id, patterns,
		arraySum(c -> ifNull(c, 0), call_count) AS calls
	FROM postgresql(chpg_history, table = 'sealed_hour')
	WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64}
) AS h
LEFT ANTI JOIN (
	SELECT window_start, service_key, seal_id, patterns, arraySum(c -> ifNull(c, 0), call_count) AS calls
	FROM fleet_history.sealed_hour
	WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64}
) AS a USING (window_start, service_key, seal_id, patterns, calls)
FORMAT Null;

SELECT throwIf(count() > 0, 'windows of sealed_day are missing here, or differ')
FROM (
	SELECT toDateTime(window_start, 'UTC') AS window_start, service_key, seal_id, patterns,
		arraySum(c -> ifNull(c, 0), call_count) AS calls
	FROM postgresql(chpg_history, table = 'sealed_day')
	WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64}
) AS h
LEFT ANTI JOIN (
	SELECT window_start, service_key, seal_id, patterns, arraySum(c -> ifNull(c, 0), call_count) AS calls
	FROM fleet_history.sealed_day
	WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64}
) AS a USING (window_start, service_key, seal_id, patterns, calls)
FORMAT Null;

SELECT throwIf(count() > 0, 'patterns of windows are missing here')
FROM (
	SELECT DISTINCT arrayJoin(pattern_key) AS pattern_key FROM fleet_history.sealed_hour
	WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64}
	UNION DISTINCT
	SELECT DISTINCT arrayJoin(pattern_key) FROM fleet_history.sealed_day
	WHERE seal_id > {last:Int64} AND seal_id <= {through:Int64}
) AS w
LEFT ANTI JOIN (
	SELECT k.pattern_key FROM fleet_history.pattern_key AS k
	INNER JOIN fleet_history.query_text AS t ON t.text_id = k.text_id
) AS k USING (pattern_key)
FORMAT Null;

-- The next pull goes on from here.
INSERT INTO fleet_history.pull
SELECT {through:Int64}, (SELECT max(pattern_key) FROM fleet_history.pattern_key),
	(SELECT max(text_id) FROM fleet_history.query_text), (SELECT max(captured_at) FROM fleet_history.capture),
	(SELECT toStartOfDay(max(time)) FROM fleet_history.metric), now();
