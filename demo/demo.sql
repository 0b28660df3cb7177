\getenv key_id CLICKHOUSE_CLOUD_API_KEY
\getenv key_secret CLICKHOUSE_CLOUD_API_SECRET
\pset footer off
\pset null '-'
-- ClickHouse Cloud's Managed Postgres services, as SQL.
CREATE SCHEMA chpg;
CREATE EXTENSION chpg SCHEMA chpg;
ALTER DATABASE postgres SET search_path = "$user", public, chpg;
SET search_path = "$user", public, chpg;

-- An API key is checked, and kept for this role alone.
SELECT *
FROM chpg_connect(:'key_id', :'key_secret',
                  organization_id => :organization_id, api_url => :api_url);

-- The organization's services.
SELECT name, state, region, size, tags->>'team' AS team
FROM chpg_services
ORDER BY name;

-- The slowest queries of the last day, whichever service ran them.
SELECT s.name AS service,
       left(regexp_replace(p.query_text, '\s+', ' ', 'g'), 48) AS query,
       p.call_count AS calls,
       round(p.p99_duration_us / 1000) AS p99_ms,
       round(p.total_duration_us / 1000000) AS total_s
FROM chpg_slow_patterns(now() - interval '1 day', now()) p
JOIN chpg_services s ON s.id = p.service_id
ORDER BY p.p99_duration_us DESC
LIMIT 10;

\set ECHO none
SELECT name AS service
FROM chpg_services
WHERE state = 'running'
ORDER BY name <> 'orders', is_primary DESC, created_at
LIMIT 1
\gset
\echo -- All that is known of one query: the one that took most of the time of :service.
\set ECHO all
SELECT *
FROM chpg_slow_patterns(now() - interval '1 day', now(), service => :'service', max_rows => 1) \gx

\echo -- The five queries that took most of the last hour of :service in all, and the slowest of
\echo -- their recent executions (about ten each, of the last day).
SELECT e.executed_at::timestamptz(0),
       left(regexp_replace(e.query_text, '\s+', ' ', 'g'), 32) AS query,
       round(e.duration_us / 1000) AS ms,
       e.rows,
       e.shared_blks_read AS blks_read,
       e.app
FROM chpg_slow_patterns(now() - interval '1 hour', now(), service => :'service', max_rows => 5) p,
     LATERAL chpg_slow_pattern_executions(p.service_id, p.query_id,
                                          p.db_name, p.db_user, p.db_operation) e
ORDER BY e.duration_us DESC
LIMIT 10;

-- The same as tables, for those who write conditions. One request: the API filters, sorts and cuts.
CREATE SCHEMA cloud;
IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud;
SELECT id AS service_id FROM chpg_services WHERE name = :'service' \gset
EXPLAIN (VERBOSE, COSTS OFF)
SELECT query_text, p99_duration_us
FROM cloud.slow_patterns
WHERE from_date = now() - interval '1 day' AND to_date = now() AND service_id = :'service_id'
ORDER BY p99_duration_us DESC LIMIT 3;

-- All of it were rows like any others: join them, group them, keep them in a table.
--   \df chpg_*          lists the functions, and \df+ says what each does
--   \d chpg_services    shows what is known of a service
