-- A random history in the schema "random": the variable seed, from -1 to 1, decides.  Counters may be
-- missing, patterns may have several texts, hours may be missing, failed or truncated, and times extreme.
-- Durations have the seven digits that are stored.  Chance is drawn in the order of the rows, which is the planner's.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SET join_collapse_limit = 1;
SELECT setseed(:seed) \g /dev/null
SELECT planted.clear() \g /dev/null
TRUNCATE random.service, random.service_key, random.query_text, random.capture, random.pattern_key, drawn.pattern RESTART IDENTITY;
INSERT INTO random.service (service_id, valid_from, noted_at, service_name, server)
SELECT 'service-' || i, '-infinity', '2026-05-01 00:00Z', 'name-' || i, CASE WHEN i % 3 = 0 THEN 'other' ELSE 'chpg' END
FROM generate_series(1, 6) i;
INSERT INTO random.query_text (text_hash, query, query_text)
SELECT sha256(convert_to(x, 'UTF8')), x, x
FROM (SELECT repeat(CASE i % 4 WHEN 0 THEN 'SELECT count(*) ' ELSE 'UPDATE ' END, 1 + i % 3) || i || CASE i % 5 WHEN 0 THEN ' é' ELSE '' END AS x
	FROM generate_series(1, 60) i) t;
-- 20 queries, of which some have two or three texts, users and applications
INSERT INTO random.pattern_key (query_id, db_name, db_user, db_operation, app, text_id, last_seen)
SELECT CASE q WHEN 1 THEN 0 ELSE q * 7 - 40 END, 'db' || q % 2, 'user' || u,
	CASE q % 4 WHEN 0 THEN 'SELECT' ELSE 'UPDATE' END, CASE q % 9 WHEN 2 THEN 'bin/monitor' WHEN 3 THEN '' ELSE 'app' || q % 3 END, t.text_id, '2026-06-01 00:00Z'
FROM generate_series(1, 20) q, generate_series(1, 2) u,
	LATERAL (SELECT x.text_id FROM random.query_text x WHERE q + u > 0 ORDER BY random() LIMIT 1 + (random() * random() * 3)::integer) t;
INSERT INTO random.capture
SELECT s.service_id, 'hour', h, h + interval '1 hour', CASE WHEN random() < 0.9 THEN 'ok' ELSE 'error' END, 1,
	x.truncated, CASE WHEN x.truncated THEN (1e6 * random())::bigint END, NULL, 1, '2026-06-01 00:00Z'
FROM random.service s, generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-12 23:00Z', '1 hour') h,
	LATERAL (SELECT s.service_id IN ('service-2', 'service-3') AND random() < 0.1 AS truncated) x
-- the last service lacks the first day
WHERE random() < 0.95 AND (s.service_id <> 'service-6' OR h >= '2026-05-11 06:00Z');
INSERT INTO drawn.pattern
SELECT c.service_id, 'hour', c.window_start, k.pattern_key,
	CASE WHEN random() < 0.97 THEN n END, CASE WHEN random() < 0.9 THEN (20 * power(random(), 4))::bigint END,
	CASE WHEN random() < 0.97 THEN n * a END::real, a, (10 * a)::real, (0.6 * a)::real,
	CASE WHEN random() < 0.97 THEN 3 * a * exp(0.3 * (random() - 0.5)) END::real, CASE WHEN random() < 0.97 THEN 6 * a END::real, CASE WHEN random() < 0.97 THEN n * (k.pattern_key % 7) END,
	CASE WHEN random() < 0.97 THEN (n * random() * 10)::bigint END, CASE WHEN random() < 0.97 THEN n * 100 END,
	CASE WHEN random() < 0.97 THEN n * a * random() END::real, CASE WHEN random() < 0.97 THEN n * 1000 END
FROM random.capture c, random.pattern_key k,
	LATERAL (SELECT hashtextextended(c.service_id || k.query_id, 1) & 15 AS kind) r,
	-- some get slower, some faster, some come, some go
	LATERAL (SELECT (20000 * exp(0.4 * (random() - 0.5))
			* CASE WHEN c.window_start < '2026-05-12 00:00Z' THEN 1 WHEN kind IN (1, 2) THEN 3 WHEN kind = 3 THEN 0.2 ELSE 1 END)::float8 AS a,
		CASE WHEN random() < 0.03 THEN 0 WHEN c.service_id = 'service-5' AND kind = 10 AND random() < 0.2 THEN 9000000000
			WHEN kind IN (4, 5) THEN (random() * 30)::bigint ELSE 200 + (random() * 2000)::bigint END AS n) v
WHERE c.status = 'ok' AND random() < CASE WHEN kind = 6 AND c.window_start < '2026-05-12 00:00Z' OR kind = 7 AND c.window_start >= '2026-05-12 00:00Z' THEN 0
	WHEN kind IN (8, 9) THEN 0.2 ELSE 0.95 END
ORDER BY c.window_start, c.service_id, k.pattern_key;
INSERT INTO planted.pattern SELECT * FROM drawn.pattern;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
RESET join_collapse_limit;
ANALYZE drawn.pattern, random.open_hour, random.pattern_key, random.capture;
