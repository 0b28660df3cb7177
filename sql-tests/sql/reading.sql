-- Services and slow query patterns
CREATE EXTENSION chpg;
\getenv url CHPG_EMULATOR_URL
\! emulator/ctl reset
SELECT server, organization_name FROM chpg_connect('secondKeyId', 'demoKeySecret', api_url => :'url');
-- Each statement here is to ask the API anew, and at once
SET chpg.cache_ttl = 0;
ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited');

SELECT name, created_at IS NOT NULL AS created FROM chpg_organizations();

-- Tags are an object
SELECT name, state, provider, region, size, ha_type, is_primary, tags FROM chpg_services;
SELECT name FROM chpg_services() WHERE tags ->> 'Environment' = 'production' ORDER BY 1;

-- One service by id and by name; the list has no host names
SELECT id, name, username, hostname LIKE name || '-%' AS has_host, password, connection_string
FROM chpg_service('pg7myrd1j06p3gx4zrm2ze8qz6');
SELECT a = b AS same FROM chpg_service('orders') a, chpg_service('pg7myrd1j06p3gx4zrm2ze8qz6') b;

-- Patterns of the fleet: every service but those being made or deleted
\! emulator/ctl reset '{"services": 4, "patterns": 5, "overrides": {"billing": {"state": "creating"}, "sessions": {"state": "deleting"}}}'
SELECT s.name, count(*)
FROM chpg_slow_patterns(now() - interval '1 day', now()) p JOIN chpg_services s ON s.id = p.service_id
GROUP BY 1 ORDER BY 1;
\! emulator/ctl requests slowQueryPatterns | grep -c .

-- What is asked by is what comes back, and reaches the API as it is
\! emulator/ctl reset '{"services": 1}'
SELECT DISTINCT db_name, db_operation
FROM chpg_slow_patterns(now() - interval '1 day', now(), service => 'orders', db_name => 'sales', db_operation => 'SELECT');
SELECT count(*) FROM chpg_slow_patterns(now() - interval '1 day', now(), 'orders', db_user => 'nobody & co/50%#?=+ü');

-- The API's names and the attributes' names sort alike
SELECT string_agg(query_id::text, ',') = (
	SELECT string_agg(query_id::text, ',')
	FROM chpg_slow_patterns(now() - interval '1 day', now(), 'orders', sort_by => 'p99_duration', max_rows => 3)) AS same
FROM chpg_slow_patterns(now() - interval '1 day', now(), 'orders', sort_by => 'p99_duration_us', sort_order => 'DESC', max_rows => 3);
SELECT count(*), min(call_count) > 0 AS called
FROM chpg_slow_patterns(now() - interval '1 day', now(), 'orders', sort_by => 'call_count', sort_order => 'asc', max_rows => 7);

-- Quirks of numbers: fractions, text, missing
SELECT count(*) > 0 AS some, bool_and(call_count IS NOT NULL) AS counted, count(*) FILTER (WHERE query_id < 0) > 0 AS negative
FROM chpg_slow_patterns(now() - interval '1 day', now(), 'orders');

-- One pattern, its executions, and patterns that there are not
SELECT p = s AS same
FROM (SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), 'orders', max_rows => 1)) p,
	LATERAL chpg_slow_pattern(p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation) s;
SELECT count(*) > 1 AS several, bool_and(executed_at BETWEEN now() - interval '1 day' AND now()) AS recent,
	count(DISTINCT (e.service_id, e.query_id, e.db_name, e.db_user, e.db_operation)) AS patterns
FROM (SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), 'orders', max_rows => 1)) p,
	LATERAL chpg_slow_pattern_executions(p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation) e;
SELECT count(*) FROM chpg_slow_pattern('orders', 12345, 'sales', 'nobody', 'SELECT');
SELECT count(*) FROM chpg_slow_pattern_executions('orders', 12345, 'sales', 'nobody', 'SELECT');

-- The patterns that take most, in lines of at most 120 characters: a request for the list, one for each service
\! emulator/ctl reset
\! emulator/ctl clear
SELECT count(*), max(length(rpad(service, 18) || rpad(query, 34) || calls || mean || p99 || total || share || errors) + 3 * 8 - 1) <= 120 AS narrow,
	bool_and(query !~ '[[:cntrl:]]' AND length(service) <= 18 AND length(query) <= 34) AS lines FROM chpg_top;
\! emulator/ctl count
SELECT string_agg(DISTINCT service, ',') AS services, count(*) AS rows FROM chpg_top('1 day', 'orders', n => 5);
-- in the order of the exact values; one by time differs
SELECT t.order_by, string_agg(r.shown, ',') = (SELECT string_agg(lpad(_chpg_duration_text(e.p99_duration_us), 8), ',')
	FROM (SELECT p.p99_duration_us FROM chpg_slow_patterns(date_trunc('minute', now()) - interval '1 hour', date_trunc('minute', now())) p
		ORDER BY 1 DESC NULLS LAST LIMIT 20) e) AS same
FROM (VALUES ('p99'), ('time')) t(order_by), LATERAL (SELECT c.p99 AS shown FROM chpg_top(order_by => t.order_by) c) r
GROUP BY 1 ORDER BY 1;
SELECT v AS us, _chpg_duration_text(v) FROM unnest('{0,1.26,99.94,99.96,999.4,999.5,12000,999499,1e6,119.4e6,119.6e6,7200e6,172799e6,1e13,1e300}'::float8[]) v;
SELECT v AS count, _chpg_count_text(v) FROM unnest('{0,7,999999,1e6,12345678,999.4e6,1e9,9.2e18}'::float8[]) v;
SELECT v AS bytes, _chpg_bytes_text(v) FROM unnest('{0,1023,1024,10188,10189,34359738368,1e12,9e18,1e300}'::float8[]) v;
SELECT _chpg_line_text(E'SELECT 1,\n\t2', 34), _chpg_line_text(repeat('é', 40), 34), _chpg_line_text('', 34);
SELECT * FROM chpg_top(NULL);
SELECT * FROM chpg_top('-1 hour');
SELECT * FROM chpg_top(order_by => 'bytes');
SELECT * FROM chpg_top(n => 0);

-- The fleet likewise, with 2 requests
\! emulator/ctl clear
SELECT count(*), max(length(rpad(service, 16) || rpad(state, 9) || rpad(size, 13) || load || storage || memory || connections || errors || rpad('', 9)) + 3 * 9 - 1) <= 120 AS narrow,
	bool_and((f.service, f.state, f.size, f.load, f.storage, f.memory, f.connections, f.errors) IS NOT NULL) AS filled,
	count(incidents) AS without_a_history FROM chpg_fleet f;
\! emulator/ctl count

-- NULL from a row makes no rows and costs nothing
\! emulator/ctl clear
SELECT count(*) FROM (VALUES (NULL::text), (NULL)) v(id), LATERAL chpg_service(v.id);
\! emulator/ctl count

-- A window in the future is empty
SELECT count(*) FROM chpg_slow_patterns(now() + interval '1 day', now() + interval '2 days', 'orders');

-- Names that several services have, or none
\! emulator/ctl reset '{"services": 2, "overrides": {"billing": {"name": "orders", "id": "pgaaaaaaaaaaaaaaaaaaaaaaaa"}}}'
SELECT id FROM chpg_service('orders');
SELECT name FROM chpg_service('pgaaaaaaaaaaaaaaaaaaaaaaaa');
SELECT name FROM chpg_service('ordres');

SET client_min_messages = warning;
DROP EXTENSION chpg CASCADE;
