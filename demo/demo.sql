\getenv key_id CLICKHOUSE_CLOUD_API_KEY
\getenv key_secret CLICKHOUSE_CLOUD_API_SECRET
\pset footer off
\pset null '-'
\pset columns 120
-- ClickHouse Cloud's Managed Postgres services, as SQL.
CREATE SCHEMA chpg;
CREATE EXTENSION chpg SCHEMA chpg;
ALTER DATABASE postgres SET search_path = "$user", public, chpg;
SET search_path = "$user", public, chpg;

-- Check an API key and keep it, for this role alone.
SELECT *
FROM chpg_connect(:'key_id', :'key_secret',
                  organization_id => :organization_id, api_url => :api_url);

\set ECHO none
\if :emulated
ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited');
\else
SET chpg.max_wait = '10min';
\endif
\set ECHO all
-- The fleet now, in two requests.
SELECT h.service_name AS service, h.status, s.tags->>'team' AS team, s.tags->>'Environment' AS environment,
       round(h.storage_used_percent) AS storage_pct,
       round(h.memory_used_percent) AS memory_pct,
       h.active_connections + h.idle_connections AS connections,
       round(100 * h.cache_hit_ratio::numeric, 1) AS cache_hit_pct
FROM chpg_health h
JOIN chpg_services s ON s.id = h.service_id
ORDER BY h.storage_used_percent DESC NULLS LAST, h.service_name;

-- The queries that took most time in the last day, whichever service ran them.
SELECT s.name AS service,
       left(regexp_replace(p.query_text, '\s+', ' ', 'g'), 56) AS query,
       p.call_count AS calls,
       round((p.avg_duration_us / 1000)::numeric, 1) AS avg_ms,
       round(p.total_duration_us / 1000000) AS total_s
FROM chpg_slow_patterns(now() - interval '1 day', now()) p
JOIN chpg_services s ON s.id = p.service_id
ORDER BY p.total_duration_us DESC
LIMIT 8;

-- The newest backup of each service, and how many are kept. An empty list is no proof.
SELECT service_name AS service, count(*) AS backups, max(last_modified)::timestamptz(0) AS newest
FROM chpg_backups()
GROUP BY service_name
ORDER BY service_name;

\if :emulated
\ir history.sql
\endif
\set ECHO all
\pset format wrapped
-- What is wrong, the worst first. Nothing is changed: chpg recommends only.
SELECT f.level, f.service_name AS service, f.title, f.symptom
FROM chpg_findings(tstzrange(now() - interval '6 hours', now())) f
WHERE f.level <> 'SKIPPED';

\pset format aligned
\if :emulated
\ir compared.sql
\endif
\set ECHO none
SELECT name AS service, id AS service_id
FROM chpg_services
WHERE state = 'running'
ORDER BY name <> 'orders', is_primary DESC, created_at
LIMIT 1
\gset
\echo -- The slowest recent executions of the query that took most time on :service.
\set ECHO all
SELECT e.executed_at::timestamptz(0),
       round((e.duration_us / 1000)::numeric, 1) AS ms,
       e.rows,
       e.shared_blks_hit AS blks_hit,
       e.shared_blks_read AS blks_read,
       e.app
FROM chpg_slow_patterns(now() - interval '1 day', now(), service => :'service', max_rows => 1) p,
     LATERAL chpg_slow_pattern_executions(p.service_id, p.query_id,
                                          p.db_name, p.db_user, p.db_operation) e
ORDER BY e.duration_us DESC
LIMIT 5;

-- The same as tables, with conditions: the API filters, sorts and cuts, in one request.
CREATE SCHEMA cloud;
IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud;
\pset format wrapped
EXPLAIN (VERBOSE, COSTS OFF)
SELECT query_text, p99_duration_us
FROM cloud.slow_patterns
WHERE from_date = now() - interval '1 day' AND to_date = now() AND service_id = :'service_id'
ORDER BY p99_duration_us DESC LIMIT 3;

-- Next:
--   \df chpg_*          lists the functions; \df+ describes each
--   \d chpg_services    shows the columns of a service
--   docs/tutorial.md    goes on here, at step 3
--   \q                  ends the demo
