-- Metrics and findings for a history of history.sql: points five minutes apart, and eight findings a day for each of
-- 40 services, of which 40 are still open.

\set ON_ERROR_STOP on
SET timezone = 'UTC';
INSERT INTO kept.metric_day (service_key, day, metric, series, unit, first_time, step, "values")
SELECT k.service_key, d.day, m.metric, m.series, m.unit, d.day, '5 minutes',
    ARRAY(SELECT (m.mean + 10 * sin(i / 46.0) + k.service_key % 20)::real FROM generate_series(1, 288) i)
FROM kept.service_key k
CROSS JOIN (SELECT DISTINCT "time" FROM kept.day_sum) d(day)
CROSS JOIN (VALUES ('cpu_usage', 'user', '%', 30), ('cpu_usage', 'system', '%', 10), ('cpu_usage', 'iowait', '%', 10),
    ('memory_usage', 'Used Memory', '%', 50), ('disk_usage', 'Used Space', '%', 60), ('disk_io', 'Reads', 'IOPS', 100),
    ('disk_io', 'Writes', 'IOPS', 100), ('connection_count', 'Active', 'count', 20), ('connection_count', 'Total', 'count', 80))
    m(metric, series, unit, mean)
ORDER BY 1, 2, 3, 4;
INSERT INTO kept.finding_log (finding_key, opened_at, last_seen_at, resolved_at, missed, state, kind, level, worst_level,
    noted_level, rule_id, service_id, service_name, since, incident_id, is_root, muted, finding)
SELECT format('CHPG501:%s:%s', k.service_id, d.day), d.day, d.day + interval '1 hour', d.resolved_at, 2,
    CASE WHEN d.resolved_at IS NULL THEN 'ongoing' ELSE 'resolved' END, 'incident', l.level, l.level, l.level, 'CHPG501',
    k.service_id, 'service-' || k.service_key, d.day, format('%s:%s', k.service_id, d.day), true, false,
    jsonb_build_object('title', 'Slower than before', 'symptom', repeat('symptom ', 10), 'subject', repeat('subject ', 10),
        'action', repeat('action ', 30), 'next', repeat('SELECT ', 30), 'urgency', 3, 'impact_us', 1e6,
        'evidence', jsonb_build_object('query_id', k.service_key, 'query_text', repeat('text ', 100)))
FROM kept.service_key k
CROSS JOIN (SELECT h, CASE WHEN h < '2026-05-16 21:00Z' THEN h + interval '2 hours' END
    FROM generate_series(timestamptz '2026-04-17 00:00Z', '2026-05-16 21:00Z', '3 hours') h) d(day, resolved_at)
CROSS JOIN LATERAL (SELECT ('{ERROR,WARN}'::text[])[1 + k.service_key % 2] AS level) l
WHERE k.service_key <= 40;
CREATE ROLE panels LOGIN;
ALTER ROLE panels SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA kept TO panels;
GRANT SELECT ON ALL TABLES IN SCHEMA kept TO panels;
VACUUM ANALYZE kept.metric_day, kept.finding_log;
