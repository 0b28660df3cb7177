-- A history of many services, as captures in real order leave it: hour by hour over all services, windows
-- sealed and vacuumed once a day. Variables: services, patterns (of each service; 0: from 3 to 500), days,
-- which end at 2026-05-17 00:00 UTC. The same arguments make the same patterns, also in the tables of before
-- the history packed windows.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT public.chpg_history_enable('kept') \g /dev/null
SELECT to_regclass('kept.pattern') IS NOT NULL AS is_old \gset
CREATE SCHEMA made;
SET search_path = made, kept, pg_catalog, public;
SELECT setseed(0.5) \g /dev/null

CREATE TABLE made.service AS
SELECT i AS service_key, 'pg' || left(md5('s' || i) || md5('t' || i), 24) AS service_id,
    CASE WHEN :patterns > 0 THEN :patterns ELSE (3 * power(500 / 3.0, (i - 1) / greatest(:services - 1, 1)::float8))::integer END
        AS patterns
FROM generate_series(1, :services) i;
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name)
SELECT service_id, '-infinity', '2026-04-01 00:00Z', 'service-' || service_key FROM made.service;

-- a pattern of twenty is three times as slow on the last day
CREATE TABLE made.pattern AS
SELECT row_number() OVER (ORDER BY s.service_key, i)::integer AS pattern_key, s.service_key, s.service_id,
    'SELECT ' || s.service_key || '.' || i || ' ' || repeat(md5(i::text) || ' ', 8) AS query_text,
    exp(2 + 5 * random()) AS calls, exp(6 + 5 * random()) AS avg_us, 0.3 + 0.9 * random() AS sigma,
    exp(3 * random()) AS rows, exp(6 * random()) AS blks, 0.2 * power(random(), 4) AS miss,
    CASE WHEN i % 4 = 0 THEN exp(4 + 3 * random()) ELSE 0 END AS wal_bytes, random() < 0.05 AS fails
FROM made.service s, generate_series(1, s.patterns) i;
CREATE INDEX ON made.pattern (service_key);
\if :is_old
INSERT INTO kept.query_text
SELECT hashtextextended(query_text, 0), query_text, '2026-04-01 00:00Z', '2026-05-17 00:00Z' FROM made.pattern;
\else
INSERT INTO kept.service_key (service_key, service_id) OVERRIDING SYSTEM VALUE
SELECT service_key, service_id FROM made.service;
INSERT INTO kept.query_text (text_id, text_hash, query, query_text) OVERRIDING SYSTEM VALUE
SELECT pattern_key, sha256(convert_to(query_text, 'UTF8')), left(query_text, 120), query_text FROM made.pattern;
\endif
\if :is_old
INSERT INTO kept.pattern_key (pattern_key, query_id, db_name, db_user, db_operation, app, text_id) OVERRIDING SYSTEM VALUE
SELECT p.pattern_key, hashtextextended(p.query_text, 1), 'orders', 'app' || p.pattern_key % 3,
    ('{SELECT,UPDATE,INSERT,DELETE}'::text[])[1 + p.pattern_key % 4], 'web-' || p.pattern_key % 5,
    hashtextextended(p.query_text, 0)
FROM made.pattern p;
\else
INSERT INTO kept.pattern_key (pattern_key, query_id, db_name, db_user, db_operation, app, text_id, last_seen)
    OVERRIDING SYSTEM VALUE
SELECT p.pattern_key, hashtextextended(p.query_text, 1), 'orders', 'app' || p.pattern_key % 3,
    ('{SELECT,UPDATE,INSERT,DELETE}'::text[])[1 + p.pattern_key % 4], 'web-' || p.pattern_key % 5,
    p.pattern_key, '2026-05-17 00:00Z'
FROM made.pattern p;
\endif

-- The patterns of an hour, in the order in which services are captured. Every measure has noise of its own.
CREATE FUNCTION made.hour(at timestamptz)
RETURNS TABLE (service_key integer, service_id text, pattern_key integer, calls bigint, errors bigint, total float8,
    longest float8, p50 float8, p95 float8, p99 float8, cpu float8, rows bigint, blks_read bigint, blks_hit bigint,
    wal bigint)
LANGUAGE sql VOLATILE ROWS 10000
AS $$
    SELECT p.service_key, p.service_id, p.pattern_key, v.n,
        CASE WHEN p.fails THEN (v.n * 0.01 * random())::bigint ELSE 0 END,
        v.n * v.avg_us, v.avg_us * exp(p.sigma * (2.5 + random())), v.avg_us * exp(-p.sigma * p.sigma / 2) * (0.95 + 0.1 * random()),
        v.avg_us * exp(1.6 * p.sigma) * (0.9 + 0.2 * random()), v.avg_us * exp(2.3 * p.sigma) * (0.85 + 0.3 * random()),
        v.n * v.avg_us * (0.5 + 0.4 * random()), (v.n * p.rows)::bigint, (v.n * p.blks * p.miss * random())::bigint,
        (v.n * p.blks * (1 - p.miss))::bigint, (v.n * p.wal_bytes)::bigint
    FROM made.pattern p
    CROSS JOIN LATERAL (
        SELECT greatest((p.calls * (1 + 0.6 * sin(extract(hour FROM at) / 12.0 * pi())) * exp(0.4 * (random() - 0.5)))::bigint, 1) AS n,
            p.avg_us * exp(0.4 * (random() - 0.5))
                * CASE WHEN p.pattern_key % 20 = 0 AND at >= '2026-05-16 00:00Z' THEN 3 ELSE 1 END AS avg_us
        OFFSET 0) v
    ORDER BY p.service_key, p.pattern_key
$$;


CREATE PROCEDURE made.partitions(days integer)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL search_path = pg_catalog, kept, public;
    PERFORM public._chpg_history_partition('hour', m)
    FROM generate_series(date_trunc('month', timestamptz '2026-05-17 00:00Z' - days * interval '1 day'), '2026-05-17 00:00Z',
        '1 month') m;
END
$$;
CALL made.partitions(:days);

\if :is_old
CREATE PROCEDURE made.capture_day(day timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz;
BEGIN
    FOR at IN SELECT generate_series(day, day + interval '23 hours', '1 hour') LOOP
        INSERT INTO kept.pattern
        SELECT h.service_id, 'hour', at, h.pattern_key, h.calls, h.errors, h.total, h.total / h.calls, h.longest, h.p50, h.p95,
            h.p99, h.rows, h.blks_read, h.blks_hit, h.cpu, h.wal
        FROM made.hour(at) h;
        INSERT INTO kept.capture (service_id, grain, window_start, window_end, status, patterns, attempts, captured_at)
        SELECT s.service_id, 'hour', at, at + interval '1 hour', 'ok', s.patterns, 1, now() FROM made.service s;
    END LOOP;
END
$$;
SELECT format('CALL made.capture_day(%L)', d)
FROM generate_series(timestamptz '2026-05-17 00:00Z' - :days * interval '1 day', '2026-05-16 00:00Z', '1 day') d \gexec
\else
CREATE PROCEDURE made.capture_day(day timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    at timestamptz;
BEGIN
    FOR at IN SELECT generate_series(day, day + interval '23 hours', '1 hour') LOOP
        INSERT INTO kept.open_hour (window_start, service_key, pattern_key, call_count, error_count, total_rows,
            total_shared_blks_read, total_shared_blks_hit, total_wal_bytes, total_duration_us, max_duration_us,
            p50_duration_us, p95_duration_us, p99_duration_us, total_cpu_time_us)
        SELECT at, h.service_key, h.pattern_key, h.calls, h.errors, h.rows, h.blks_read, h.blks_hit, h.wal, h.total,
            h.longest, h.p50, h.p95, h.p99, h.cpu
        FROM made.hour(at) h;
        INSERT INTO kept.capture (service_id, grain, window_start, window_end, status, patterns, attempts, captured_at,
            queries, call_count, error_count, total_duration_us, statement_duration_us, p95_lo_us, p95_hi_us, p99_lo_us,
            p99_hi_us, total_rows, total_shared_blks_read, total_shared_blks_hit, total_cpu_time_us, total_wal_bytes)
        SELECT s.service_id, 'hour', at, at + interval '1 hour', 'ok', s.patterns, 1, now(), h.*
        FROM made.service s
        CROSS JOIN LATERAL (
            SELECT count(*), sum(o.call_count), sum(o.error_count), sum(o.total_duration_us::float8),
                sum(o.total_duration_us::float8), min(o.p95_duration_us), max(o.p95_duration_us), min(o.p99_duration_us),
                max(o.p99_duration_us), sum(o.total_rows), sum(o.total_shared_blks_read), sum(o.total_shared_blks_hit),
                sum(o.total_cpu_time_us::float8), sum(o.total_wal_bytes)
            FROM kept.open_hour o
            WHERE o.service_key = s.service_key AND o.window_start = at) h;
    END LOOP;
    INSERT INTO kept.day_sum ("time", service_key, pattern_key, hours, p95_lo_us, p95_hi_us, call_count, error_count,
        total_rows, total_shared_blks_read, total_shared_blks_hit, total_wal_bytes, total_duration_us, total_cpu_time_us,
        max_duration_us)
    SELECT day, o.service_key, o.pattern_key, count(*), min(o.p95_duration_us), max(o.p95_duration_us), sum(o.call_count),
        sum(o.error_count), sum(o.total_rows), sum(o.total_shared_blks_read), sum(o.total_shared_blks_hit),
        sum(o.total_wal_bytes), sum(o.total_duration_us::float8), sum(o.total_cpu_time_us::float8), max(o.max_duration_us)
    FROM kept.open_hour o
    WHERE o.window_start >= day
    GROUP BY o.service_key, o.pattern_key
    ORDER BY o.service_key, o.pattern_key;
END
$$;
-- what chpg_history_seal does, for many windows at once
CREATE PROCEDURE made.seal(before timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    counters CONSTANT text := public._chpg_of_counters('{}');
BEGIN
    EXECUTE format('INSERT INTO kept.sealed_hour (service_key, window_start, seal_id, patterns, pattern_key, %s)
        SELECT o.service_key, o.window_start, nextval(pg_get_serial_sequence(''kept.archive'', ''seal_id'')), count(*), array_agg(o.pattern_key), %s
        FROM (SELECT * FROM kept.open_hour o WHERE o.window_start < $1
            ORDER BY o.window_start, o.service_key, o.pattern_key) o
        GROUP BY o.window_start, o.service_key', counters,
        (SELECT string_agg(format(CASE a.atttypid WHEN 'real'::regtype THEN 'array_agg(public._chpg_rounded(%I))'
                ELSE 'array_agg(%I)' END, a.attname), ', ' ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = 'public._chpg_window_row'::regclass AND a.attnum > 1))
    USING before;
    DELETE FROM kept.open_hour o WHERE o.window_start < before;
END
$$;
SELECT format('CALL made.capture_day(%L)', d), format('CALL made.seal(%L)', d - interval '7 days'), 'VACUUM kept.open_hour'
FROM generate_series(timestamptz '2026-05-17 00:00Z' - :days * interval '1 day', '2026-05-16 00:00Z', '1 day') d \gexec
\endif
VACUUM ANALYZE;
