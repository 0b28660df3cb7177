-- A random history of the earlier layout, in the schema that old_history.sql has made: the variable seed, from
-- -1 to 1, decides.  It has hours and days of some weeks until now, so that some are still open.  Windows may be
-- missing, failed, lost, truncated or empty, counters missing or extreme, and points off the step of others.
SET search_path = :"schema", pg_catalog;
SET timezone = 'UTC';
SELECT setseed(:seed) \g /dev/null
INSERT INTO service (service_id, valid_from, valid_to, noted_at, service_name, region, size, tags, server)
SELECT 'service-' || i, v.since, v.until, v.noted, 'name-' || i || v.part, 'region-' || i % 2, 'size-' || v.part,
	CASE WHEN i = 1 THEN '{"Environment": "prod", "team": "a"}'::jsonb END, 'chpg'
FROM generate_series(1, 3) i, (SELECT now() - interval '9 days') d(change),
	LATERAL (VALUES ('old', '-infinity'::timestamptz, CASE WHEN i < 3 THEN d.change ELSE 'infinity' END, now() - interval '90 days'),
		('new', d.change, 'infinity', d.change)) v(part, since, until, noted)
WHERE v.part = 'old' OR i < 3;
INSERT INTO query_text
SELECT hashtextextended(x, 0), x, now() - interval '90 days', now()
FROM (SELECT repeat(CASE i % 4 WHEN 0 THEN E'SELECT\n  count(*) ' ELSE 'UPDATE ' END, 1 + i % 13) || i || CASE i % 5 WHEN 0 THEN ' é' ELSE '' END AS x
	FROM generate_series(1, 30) i UNION ALL SELECT '') t;
-- keys are as large as a busy history has them; one text has two hashes, so that two keys stand for one pattern
INSERT INTO query_text SELECT text_id / 2, query_text, first_seen, last_seen FROM query_text WHERE query_text = 'UPDATE UPDATE 1';
SELECT setval(pg_get_serial_sequence('pattern_key', 'pattern_key'), 3000000000) \g /dev/null
INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
SELECT CASE q WHEN 1 THEN 0 ELSE q * 7 - 40 END, 'db' || q % 2, 'user' || u,
	CASE q % 4 WHEN 0 THEN 'SELECT' ELSE 'UPDATE' END, CASE q % 9 WHEN 2 THEN 'bin/monitor' WHEN 3 THEN '' ELSE 'app' || q % 3 END, t.text_id
FROM generate_series(1, 14) q, generate_series(1, 2) u,
	LATERAL (SELECT x.text_id FROM query_text x WHERE q + u > 0 ORDER BY random() LIMIT 1 + (random() * random() * 2)::integer) t;
INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
SELECT 99, 'db', 'user', 'UPDATE', 'twice', t.text_id FROM query_text t WHERE t.query_text = 'UPDATE UPDATE 1';
INSERT INTO capture
SELECT s.service_id, w.grain, w.start, w.start + ('1 ' || w.grain)::interval, o.status,
	CASE o.status WHEN 'ok' THEN 30 END, x.truncated, CASE WHEN x.truncated THEN (1e6 * random())::bigint END,
	CASE WHEN random() < 0.1 THEN '58000: the API failed' END, 1 + (3 * random())::integer, w.start + interval '2 hours' * random()
FROM (SELECT DISTINCT service_id FROM service) s,
	(SELECT 'hour' AS grain, h AS start FROM (VALUES (-10, 29), (-2, 32)) r(day, hours),
		LATERAL generate_series(0, r.hours) i, LATERAL (SELECT date_trunc('day', now()) + make_interval(days => r.day, hours => i) AS h) t
	UNION ALL SELECT 'day', date_trunc('day', now()) - make_interval(days => i) FROM generate_series(1, 20) i) w,
	LATERAL (SELECT CASE WHEN random() < 0.9 THEN 'ok' WHEN random() < 0.5 THEN 'error' ELSE 'lost' END AS status WHERE w.grain <> '') o,
	LATERAL (SELECT o.status = 'ok' AND random() < 0.1 AS truncated) x
WHERE random() < 0.95;
INSERT INTO pattern
SELECT c.service_id, c.grain, c.window_start, k.pattern_key,
	CASE WHEN random() < 0.97 THEN n END, CASE WHEN random() < 0.9 THEN (20 * power(random(), 4))::bigint END,
	d, d / nullif(n, 0), 10 * a, 0.6 * a, CASE WHEN random() < 0.97 THEN 3 * a * exp(0.3 * (random() - 0.5)) END,
	CASE WHEN random() < 0.97 THEN 6 * a END, CASE WHEN random() < 0.97 THEN n * (k.pattern_key % 7) END,
	CASE WHEN random() < 0.97 THEN (n * random() * 10)::bigint END, CASE WHEN random() < 0.97 THEN n * 100 END,
	CASE WHEN random() < 0.97 THEN n * a * random() END, CASE WHEN random() < 0.97 THEN n * 1000 END
FROM capture c, pattern_key k,
	LATERAL (SELECT (20000 * exp(3 * (random() - 0.5)))::float8 AS a,
		CASE WHEN random() < 0.03 THEN 0 WHEN random() < 0.001 THEN 9000000000 ELSE (random() * 2000)::bigint END AS n WHERE k.pattern_key > 0 AND c.grain <> '') v,
	LATERAL (SELECT CASE WHEN random() < 0.97 THEN n * a END AS d WHERE n >= 0) t
WHERE c.status = 'ok' AND random() < 0.5 AND extract(hour FROM c.window_start) <> 13
	-- a window has a text under one of its hashes
	AND (k.app <> 'twice' OR (k.text_id = (SELECT max(t.text_id) FROM query_text t WHERE t.query_text = 'UPDATE UPDATE 1'))
		= (c.window_start < now() - interval '5 days'));
INSERT INTO metric_point
SELECT 'service-' || s, m.metric, m.series, p.at + m.later, m.unit, CASE WHEN random() < 0.97 THEN 1000 * random() END
FROM generate_series(1, 3) s,
	(VALUES ('cpu', '', '%', interval '0'), ('memory', 'used', 'bytes', '0'), ('memory', 'free', 'bytes', '0'), ('disk', '', NULL, '7 seconds')) m(metric, series, unit, later),
	LATERAL (SELECT at FROM generate_series(date_trunc('day', now()) - interval '9 days', date_trunc('day', now()) - interval '8 days' - interval '1 second', interval '5 minutes') at
		UNION ALL SELECT at FROM generate_series(date_trunc('hour', now()) - interval '9 hours', date_trunc('hour', now()), interval '1 minute') at
		WHERE s < 3) p
WHERE random() < 0.9;
RESET timezone;
RESET search_path;
