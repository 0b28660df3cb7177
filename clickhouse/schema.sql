-- The archive in ClickHouse of a history that chpg keeps in PostgreSQL: see docs/scale.md.
--
-- Windows are rows with arrays, as in PostgreSQL.  A window that was sealed again replaces the former
-- one: FINAL reads the newest, merges remove the others.

CREATE DATABASE IF NOT EXISTS fleet_history;

CREATE TABLE IF NOT EXISTS fleet_history.sealed_hour (
	window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD),
	service_key Int32 CODEC(ZSTD),
	seal_id Int64 CODEC(Delta, ZSTD),
	patterns Int32 CODEC(ZSTD),
	pattern_key Array(Int32) CODEC(DoubleDelta, ZSTD(3)),
	call_count Array(Nullable(Int64)) CODEC(T64, ZSTD(3)),
	error_count Array(Nullable(Int64)) CODEC(T64, ZSTD(3)),
	total_rows Array(Nullable(Int64)) CODEC(T64, ZSTD(3)),
	total_shared_blks_read Array(Nullable(Int64)) CODEC(T64, ZSTD(3)),
	total_shared_blks_hit Array(Nullable(Int64)) CODEC(T64, ZSTD(3)),
	total_wal_bytes Array(Nullable(Int64)) CODEC(T64, ZSTD(3)),
	total_duration_us Array(Nullable(Float32)) CODEC(ZSTD(3)),
	max_duration_us Array(Nullable(Float32)) CODEC(ZSTD(3)),
	p50_duration_us Array(Nullable(Float32)) CODEC(ZSTD(3)),
	p95_duration_us Array(Nullable(Float32)) CODEC(ZSTD(3)),
	p99_duration_us Array(Nullable(Float32)) CODEC(ZSTD(3)),
	total_cpu_time_us Array(Nullable(Float32)) CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree(seal_id)
PARTITION BY toYYYYMM(window_start)
ORDER BY (service_key, window_start);

CREATE TABLE IF NOT EXISTS fleet_history.sealed_day AS fleet_history.sealed_hour
ENGINE = ReplacingMergeTree(seal_id)
PARTITION BY toYear(window_start)
ORDER BY (service_key, window_start);

CREATE TABLE IF NOT EXISTS fleet_history.pattern_key (
	pattern_key Int32 CODEC(Delta, ZSTD),
	query_id Int64,
	text_id Int32,
	db_name LowCardinality(String),
	db_user LowCardinality(String),
	db_operation LowCardinality(String),
	app LowCardinality(String)
) ENGINE = ReplacingMergeTree
ORDER BY pattern_key;

CREATE TABLE IF NOT EXISTS fleet_history.query_text (
	text_id Int32 CODEC(Delta, ZSTD),
	query String CODEC(ZSTD(3)),
	query_text String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree
ORDER BY text_id;

-- A row for each change of name, size, tags and so on
CREATE TABLE IF NOT EXISTS fleet_history.service (
	service_key Int32,
	service_id String,
	valid_from DateTime64(6, 'UTC'),
	valid_to DateTime64(6, 'UTC'),
	service_name Nullable(String),
	region Nullable(String),
	size Nullable(String),
	ha_type Nullable(String),
	postgres_version Nullable(String),
	tags String,
	server String
) ENGINE = ReplacingMergeTree
ORDER BY (service_key, valid_from);

-- What a service did in a window, and whether that was captured
CREATE TABLE IF NOT EXISTS fleet_history.capture (
	service_id LowCardinality(String),
	grain LowCardinality(String),
	window_start DateTime('UTC') CODEC(DoubleDelta, ZSTD),
	captured_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
	status LowCardinality(String),
	patterns Nullable(Int32) CODEC(T64, ZSTD(3)),
	truncated Bool,
	cutoff_us Nullable(Float64) CODEC(ZSTD(3)),
	call_count Nullable(Int64) CODEC(T64, ZSTD(3)),
	error_count Nullable(Int64) CODEC(T64, ZSTD(3)),
	total_duration_us Nullable(Float64) CODEC(ZSTD(3)),
	total_cpu_time_us Nullable(Float64) CODEC(ZSTD(3)),
	total_wal_bytes Nullable(Int64) CODEC(T64, ZSTD(3))
) ENGINE = ReplacingMergeTree(captured_at)
PARTITION BY toYear(window_start)
ORDER BY (service_id, grain, window_start);

-- Points of time series
CREATE TABLE IF NOT EXISTS fleet_history.metric (
	service_id LowCardinality(String),
	metric LowCardinality(String),
	series LowCardinality(String),
	time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),
	unit LowCardinality(Nullable(String)),
	value Float32 CODEC(Gorilla, ZSTD(3))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (service_id, metric, series, time);

-- What complete pulls have read: the next one goes on from there.
CREATE TABLE IF NOT EXISTS fleet_history.pull (
	through Int64,
	pattern_key Int32,
	text_id Int32,
	captured_at DateTime64(6, 'UTC'),
	day DateTime64(6, 'UTC'),
	ended_at DateTime('UTC')
) ENGINE = MergeTree
ORDER BY ended_at;

-- The views of the history, with the same columns
CREATE VIEW IF NOT EXISTS fleet_history.pattern_hour AS
SELECT p.window_start AS time, s.service_name AS service_name, s.service_id AS service_id, s.region AS region,
	s.size AS size, nullIf(JSONExtractString(s.tags, 'Environment'), '') AS tag_environment,
	nullIf(JSONExtractString(s.tags, 'team'), '') AS tag_team,
	leftPad(lower(hex(k.query_id)), 16, '0') AS query_hex, k.query_id AS query_id, t.query AS query, t.query_text AS query_text, k.db_name AS db_name, k.db_user AS db_user,
	k.db_operation AS db_operation, k.app AS app, p.call_count AS call_count, p.error_count AS error_count,
	toFloat64(p.total_duration_us) AS total_duration_us,
	total_duration_us / nullIf(p.call_count, 0) AS avg_duration_us,
	toFloat64(p.max_duration_us) AS max_duration_us, toFloat64(p.p50_duration_us) AS p50_duration_us,
	toFloat64(p.p95_duration_us) AS p95_duration_us, toFloat64(p.p99_duration_us) AS p99_duration_us,
	p.total_rows AS total_rows, p.total_shared_blks_read AS total_shared_blks_read,
	p.total_shared_blks_hit AS total_shared_blks_hit,
	p.total_shared_blks_hit / nullIf(p.total_shared_blks_hit + p.total_shared_blks_read, 0) AS hit_ratio,
	toFloat64(p.total_cpu_time_us) AS total_cpu_time_us, p.total_wal_bytes AS total_wal_bytes,
	total_duration_us / 1e6 / 3600 AS active_executions
FROM (
	SELECT w.window_start, w.service_key, pattern_key, call_count, error_count, total_rows, total_shared_blks_read,
		total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us, p50_duration_us,
		p95_duration_us, p99_duration_us, total_cpu_time_us
	FROM fleet_history.sealed_hour AS w FINAL
	ARRAY JOIN w.pattern_key AS pattern_key,
		arrayResize(w.call_count, w.patterns) AS call_count,
		arrayResize(w.error_count, w.patterns) AS error_count,
		arrayResize(w.total_rows, w.patterns) AS total_rows,
		arrayResize(w.total_shared_blks_read, w.patterns) AS total_shared_blks_read,
		arrayResize(w.total_shared_blks_hit, w.patterns) AS total_shared_blks_hit,
		arrayResize(w.total_wal_bytes, w.patterns) AS total_wal_bytes,
		arrayResize(w.total_duration_us, w.patterns) AS total_duration_us,
		arrayResize(w.max_duration_us, w.patterns) AS max_duration_us,
		arrayResize(w.p50_duration_us, w.patterns) AS p50_duration_us,
		arrayResize(w.p95_duration_us, w.patterns) AS p95_duration_us,
		arrayResize(w.p99_duration_us, w.patterns) AS p99_duration_us,
		arrayResize(w.total_cpu_time_us, w.patterns) AS total_cpu_time_us
) AS p
INNER JOIN (SELECT * FROM fleet_history.pattern_key FINAL) AS k ON k.pattern_key = p.pattern_key
INNER JOIN (SELECT * FROM fleet_history.query_text FINAL) AS t ON t.text_id = k.text_id
ASOF LEFT JOIN (SELECT * FROM fleet_history.service FINAL) AS s
	ON s.service_key = p.service_key AND p.window_start >= s.valid_from
WHERE k.query_id <> 0;

CREATE VIEW IF NOT EXISTS fleet_history.pattern_day AS
SELECT p.window_start AS time, s.service_name AS service_name, s.service_id AS service_id, s.region AS region,
	s.size AS size, nullIf(JSONExtractString(s.tags, 'Environment'), '') AS tag_environment,
	nullIf(JSONExtractString(s.tags, 'team'), '') AS tag_team,
	leftPad(lower(hex(k.query_id)), 16, '0') AS query_hex, k.query_id AS query_id, t.query AS query, t.query_text AS query_text, k.db_name AS db_name, k.db_user AS db_user,
	k.db_operation AS db_operation, k.app AS app, p.call_count AS call_count, p.error_count AS error_count,
	toFloat64(p.total_duration_us) AS total_duration_us,
	total_duration_us / nullIf(p.call_count, 0) AS avg_duration_us,
	toFloat64(p.max_duration_us) AS max_duration_us, toFloat64(p.p50_duration_us) AS p50_duration_us,
	toFloat64(p.p95_duration_us) AS p95_duration_us, toFloat64(p.p99_duration_us) AS p99_duration_us,
	p.total_rows AS total_rows, p.total_shared_blks_read AS total_shared_blks_read,
	p.total_shared_blks_hit AS total_shared_blks_hit,
	p.total_shared_blks_hit / nullIf(p.total_shared_blks_hit + p.total_shared_blks_read, 0) AS hit_ratio,
	toFloat64(p.total_cpu_time_us) AS total_cpu_time_us, p.total_wal_bytes AS total_wal_bytes,
	total_duration_us / 1e6 / 86400 AS active_executions
FROM (
	SELECT w.window_start, w.service_key, pattern_key, call_count, error_count, total_rows, total_shared_blks_read,
		total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us, p50_duration_us,
		p95_duration_us, p99_duration_us, total_cpu_time_us
	FROM fleet_history.sealed_day AS w FINAL
	ARRAY JOIN w.pattern_key AS pattern_key,
		arrayResize(w.call_count, w.patterns) AS call_count,
		arrayResize(w.error_count, w.patterns) AS error_count,
		arrayResize(w.total_rows, w.patterns) AS total_rows,
		arrayResize(w.total_shared_blks_read, w.patterns) AS total_shared_blks_read,
		arrayResize(w.total_shared_blks_hit, w.patterns) AS total_shared_blks_hit,
		arrayResize(w.total_wal_bytes, w.patterns) AS total_wal_bytes,
		arrayResize(w.total_duration_us, w.patterns) AS total_duration_us,
		arrayResize(w.max_duration_us, w.patterns) AS max_duration_us,
		arrayResize(w.p50_duration_us, w.patterns) AS p50_duration_us,
		arrayResize(w.p95_duration_us, w.patterns) AS p95_duration_us,
		arrayResize(w.p99_duration_us, w.patterns) AS p99_duration_us,
		arrayResize(w.total_cpu_time_us, w.patterns) AS total_cpu_time_us
) AS p
INNER JOIN (SELECT * FROM fleet_history.pattern_key FINAL) AS k ON k.pattern_key = p.pattern_key
INNER JOIN (SELECT * FROM fleet_history.query_text FINAL) AS t ON t.text_id = k.text_id
ASOF LEFT JOIN (SELECT * FROM fleet_history.service FINAL) AS s
	ON s.service_key = p.service_key AND p.window_start >= s.valid_from
WHERE k.query_id <> 0;
