-- A history of the layout with a row for each pattern and point, as chpg had it before rows were packed, in
-- the schema that the variable "schema" names: tables, settings and views, without rows.
SET search_path = :"schema", pg_catalog;
CREATE TABLE setting (
	name text PRIMARY KEY,
	value text NOT NULL,
	description text NOT NULL
);
CREATE TABLE service (
	service_id text NOT NULL,
	valid_from timestamptz NOT NULL,
	valid_to timestamptz NOT NULL DEFAULT 'infinity',
	noted_at timestamptz NOT NULL,
	service_name text,
	region text,
	size text,
	ha_type text,
	postgres_version text,
	tags jsonb,
	server text NOT NULL DEFAULT '',
	PRIMARY KEY (service_id, valid_from)
);

CREATE TABLE query_text (
	text_id bigint PRIMARY KEY,
	query_text text NOT NULL,
	first_seen timestamptz NOT NULL,
	last_seen timestamptz NOT NULL
);

CREATE TABLE pattern_key (
	pattern_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	query_id bigint NOT NULL,
	db_name text NOT NULL,
	db_user text NOT NULL,
	db_operation text NOT NULL,
	app text NOT NULL,
	text_id bigint NOT NULL,
	UNIQUE (query_id, db_name, db_user, db_operation, app, text_id)
);

CREATE TABLE capture (
	service_id text NOT NULL,
	grain text NOT NULL CHECK (grain IN ('hour', 'day')),
	window_start timestamptz NOT NULL,
	window_end timestamptz NOT NULL,
	status text NOT NULL CHECK (status IN ('ok', 'error', 'lost')),
	patterns integer,
	truncated boolean NOT NULL DEFAULT false,
	cutoff_us double precision,
	error text,
	attempts integer NOT NULL DEFAULT 0,
	captured_at timestamptz,
	PRIMARY KEY (service_id, grain, window_start)
);

CREATE TABLE pattern (
	service_id text NOT NULL,
	grain text NOT NULL,
	window_start timestamptz NOT NULL,
	pattern_key bigint NOT NULL,
	call_count bigint,
	error_count bigint,
	total_duration_us double precision,
	avg_duration_us double precision,
	max_duration_us double precision,
	p50_duration_us double precision,
	p95_duration_us double precision,
	p99_duration_us double precision,
	total_rows bigint,
	total_shared_blks_read bigint,
	total_shared_blks_hit bigint,
	total_cpu_time_us double precision,
	total_wal_bytes bigint,
	PRIMARY KEY (service_id, grain, window_start, pattern_key)
) PARTITION BY LIST (grain);
CREATE TABLE pattern_of_hour PARTITION OF pattern
	FOR VALUES IN ('hour') PARTITION BY RANGE (window_start);
CREATE TABLE pattern_of_day PARTITION OF pattern
	FOR VALUES IN ('day') PARTITION BY RANGE (window_start);
CREATE INDEX ON pattern (pattern_key, window_start);

CREATE TABLE metric_point (
	service_id text NOT NULL,
	metric text NOT NULL,
	series text NOT NULL,
	"time" timestamptz NOT NULL,
	unit text,
	value double precision,
	PRIMARY KEY (service_id, metric, series, "time")
);
CREATE INDEX ON metric_point USING brin ("time");
-- months from the time that the variable "since" is
SELECT format('CREATE TABLE %1$I (LIKE pattern_of_%2$s INCLUDING ALL);
	ALTER TABLE pattern_of_%2$s ATTACH PARTITION %1$I FOR VALUES FROM (%3$L) TO (%4$L);',
	format('pattern_of_%s_%s', g, to_char(m, 'YYYYMM')), g, m::timestamp AT TIME ZONE 'UTC',
	(m + interval '1 month')::timestamp AT TIME ZONE 'UTC')
FROM unnest('{hour,day}'::text[]) g,
	generate_series(date_trunc('month', (now() + :'since') AT TIME ZONE 'UTC'), now() AT TIME ZONE 'UTC' + interval '1 month', '1 month') m
\gexec
INSERT INTO setting VALUES
	('settle', '5 minutes', 'as it was'),
	('recapture', '2', 'as it was'),
	('api_retention', '7 days', 'as it was'),
	('backfill', '1 day', 'as it was'),
	('keep_hour', '35 days', 'as it was'),
	('keep_day', '400 days', 'as it was'),
	('max_patterns', '2000', 'as it was'),
	('max_error_patterns', '100', 'as it was'),
	('metric_bucket', '5 minutes', 'as it was'),
	('reserve', '3', 'as it was');
CREATE VIEW pattern_hour AS
SELECT p.window_start AS "time", s.service_name, p.service_id, s.region, s.size,
	s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
	public.chpg_query_hex(k.query_id) AS query_hex, k.query_id,
	left(regexp_replace(t.query_text, '\s+', ' ', 'g'), 120) AS query, t.query_text,
	k.db_name, k.db_user, k.db_operation, k.app,
	p.call_count, p.error_count,
	p.total_duration_us, p.avg_duration_us, p.max_duration_us,
	p.p50_duration_us, p.p95_duration_us, p.p99_duration_us,
	p.total_rows, p.total_shared_blks_read, p.total_shared_blks_hit,
	p.total_shared_blks_hit::float8
		/ nullif(p.total_shared_blks_hit::float8 + p.total_shared_blks_read, 0) AS hit_ratio,
	p.total_cpu_time_us, p.total_wal_bytes,
	p.total_duration_us / 1e6 / extract(epoch FROM interval '1 hour')::float8 AS active_executions
FROM pattern p
JOIN pattern_key k USING (pattern_key)
JOIN query_text t USING (text_id)
LEFT JOIN service s ON s.service_id = p.service_id
	AND p.window_start >= s.valid_from AND p.window_start < s.valid_to
WHERE p.grain = 'hour' AND k.query_id <> 0;
CREATE VIEW service_hour AS
SELECT c.window_start AS "time", s.service_name, c.service_id, s.region, s.size,
	s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
	c.status, c.truncated,
	w.patterns, w.call_count, w.error_count,
	w.call_count / extract(epoch FROM interval '1 hour')::float8 AS calls_per_s,
	w.total_duration_us,
	w.statement_duration_us / nullif(w.call_count, 0) AS avg_duration_us,
	w.p95_lo_us, w.p95_hi_us, w.p99_lo_us, w.p99_hi_us,
	w.total_rows, w.total_shared_blks_read, w.total_shared_blks_hit,
	w.total_shared_blks_hit::float8
		/ nullif(w.total_shared_blks_hit::float8 + w.total_shared_blks_read, 0) AS hit_ratio,
	w.total_cpu_time_us, w.total_wal_bytes,
	w.total_duration_us / 1e6 / extract(epoch FROM interval '1 hour')::float8 AS active_executions
FROM capture c
LEFT JOIN service s ON s.service_id = c.service_id
	AND c.window_start >= s.valid_from AND c.window_start < s.valid_to
LEFT JOIN LATERAL (
	SELECT count(*) FILTER (WHERE k.query_id <> 0) AS patterns,
		least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint
			AS call_count,
		least(coalesce(sum(p.error_count), 0), 9223372036854775807)::bigint AS error_count,
		coalesce(sum(p.total_duration_us), 0) AS total_duration_us,
		coalesce(sum(p.total_duration_us) FILTER (WHERE k.query_id <> 0), 0) AS statement_duration_us,
		min(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_lo_us,
		max(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_hi_us,
		min(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_lo_us,
		max(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_hi_us,
		least(coalesce(sum(p.total_rows), 0), 9223372036854775807)::bigint AS total_rows,
		least(coalesce(sum(p.total_shared_blks_read), 0), 9223372036854775807)::bigint
			AS total_shared_blks_read,
		least(coalesce(sum(p.total_shared_blks_hit), 0), 9223372036854775807)::bigint
			AS total_shared_blks_hit,
		coalesce(sum(p.total_cpu_time_us), 0) AS total_cpu_time_us,
		least(coalesce(sum(p.total_wal_bytes), 0), 9223372036854775807)::bigint AS total_wal_bytes
	FROM pattern p
	JOIN pattern_key k USING (pattern_key)
	WHERE p.service_id = c.service_id AND p.grain = c.grain AND p.window_start = c.window_start
) w ON c.status = 'ok'
WHERE c.grain = 'hour';
CREATE VIEW pattern_day AS
SELECT p.window_start AS "time", s.service_name, p.service_id, s.region, s.size,
	s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
	public.chpg_query_hex(k.query_id) AS query_hex, k.query_id,
	left(regexp_replace(t.query_text, '\s+', ' ', 'g'), 120) AS query, t.query_text,
	k.db_name, k.db_user, k.db_operation, k.app,
	p.call_count, p.error_count,
	p.total_duration_us, p.avg_duration_us, p.max_duration_us,
	p.p50_duration_us, p.p95_duration_us, p.p99_duration_us,
	p.total_rows, p.total_shared_blks_read, p.total_shared_blks_hit,
	p.total_shared_blks_hit::float8
		/ nullif(p.total_shared_blks_hit::float8 + p.total_shared_blks_read, 0) AS hit_ratio,
	p.total_cpu_time_us, p.total_wal_bytes,
	p.total_duration_us / 1e6 / extract(epoch FROM interval '1 day')::float8 AS active_executions
FROM pattern p
JOIN pattern_key k USING (pattern_key)
JOIN query_text t USING (text_id)
LEFT JOIN service s ON s.service_id = p.service_id
	AND p.window_start >= s.valid_from AND p.window_start < s.valid_to
WHERE p.grain = 'day' AND k.query_id <> 0;
CREATE VIEW service_day AS
SELECT c.window_start AS "time", s.service_name, c.service_id, s.region, s.size,
	s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
	c.status, c.truncated,
	w.patterns, w.call_count, w.error_count,
	w.call_count / extract(epoch FROM interval '1 day')::float8 AS calls_per_s,
	w.total_duration_us,
	w.statement_duration_us / nullif(w.call_count, 0) AS avg_duration_us,
	w.p95_lo_us, w.p95_hi_us, w.p99_lo_us, w.p99_hi_us,
	w.total_rows, w.total_shared_blks_read, w.total_shared_blks_hit,
	w.total_shared_blks_hit::float8
		/ nullif(w.total_shared_blks_hit::float8 + w.total_shared_blks_read, 0) AS hit_ratio,
	w.total_cpu_time_us, w.total_wal_bytes,
	w.total_duration_us / 1e6 / extract(epoch FROM interval '1 day')::float8 AS active_executions
FROM capture c
LEFT JOIN service s ON s.service_id = c.service_id
	AND c.window_start >= s.valid_from AND c.window_start < s.valid_to
LEFT JOIN LATERAL (
	SELECT count(*) FILTER (WHERE k.query_id <> 0) AS patterns,
		least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint
			AS call_count,
		least(coalesce(sum(p.error_count), 0), 9223372036854775807)::bigint AS error_count,
		coalesce(sum(p.total_duration_us), 0) AS total_duration_us,
		coalesce(sum(p.total_duration_us) FILTER (WHERE k.query_id <> 0), 0) AS statement_duration_us,
		min(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_lo_us,
		max(p.p95_duration_us) FILTER (WHERE k.query_id <> 0) AS p95_hi_us,
		min(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_lo_us,
		max(p.p99_duration_us) FILTER (WHERE k.query_id <> 0) AS p99_hi_us,
		least(coalesce(sum(p.total_rows), 0), 9223372036854775807)::bigint AS total_rows,
		least(coalesce(sum(p.total_shared_blks_read), 0), 9223372036854775807)::bigint
			AS total_shared_blks_read,
		least(coalesce(sum(p.total_shared_blks_hit), 0), 9223372036854775807)::bigint
			AS total_shared_blks_hit,
		coalesce(sum(p.total_cpu_time_us), 0) AS total_cpu_time_us,
		least(coalesce(sum(p.total_wal_bytes), 0), 9223372036854775807)::bigint AS total_wal_bytes
	FROM pattern p
	JOIN pattern_key k USING (pattern_key)
	WHERE p.service_id = c.service_id AND p.grain = c.grain AND p.window_start = c.window_start
) w ON c.status = 'ok'
WHERE c.grain = 'day';
CREATE VIEW error_hour AS
SELECT p.window_start AS "time", s.service_name, p.service_id,
	s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
	k.db_name, k.db_user, k.app,
	least(sum(p.error_count), 9223372036854775807)::bigint AS error_count,
	least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint
		AS call_count,
	CASE WHEN bool_or(c.truncated) THEN NULL
		ELSE sum(p.error_count)::float8 / nullif(sum(p.error_count)
			+ coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 0) END AS error_ratio
FROM pattern p
JOIN pattern_key k USING (pattern_key)
LEFT JOIN capture c ON c.service_id = p.service_id AND c.grain = p.grain AND c.window_start = p.window_start
LEFT JOIN service s ON s.service_id = p.service_id
	AND p.window_start >= s.valid_from AND p.window_start < s.valid_to
WHERE p.grain = 'hour'
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
HAVING sum(p.error_count) > 0;

CREATE VIEW metric AS
SELECT m."time", s.service_name, m.service_id,
	s.tags->>'Environment' AS tag_environment, s.tags->>'team' AS tag_team,
	m.metric, m.series, m.unit, m.value
FROM metric_point m
LEFT JOIN service s ON s.service_id = m.service_id
	AND m."time" >= s.valid_from AND m."time" < s.valid_to;

CREATE VIEW coverage AS
SELECT c.window_start AS "time", s.service_name, c.service_id, c.grain, c.window_end,
	c.status, c.patterns, c.truncated, c.cutoff_us, c.error, c.attempts, c.captured_at
FROM capture c
LEFT JOIN service s ON s.service_id = c.service_id
	AND c.window_start >= s.valid_from AND c.window_start < s.valid_to;
RESET search_path;
