-- What SQLsmith makes its statements of: chpg's functions, foreign tables, views of both that name
-- what has to be named, a history, and ordinary tables to join them with.
\set ON_ERROR_STOP on
SELECT setseed(0.5);
CREATE ROLE smith LOGIN;
CREATE EXTENSION chpg;
SELECT chpg_connect('demoKeyId', 'demoKeySecret', 'chpg', :'organization', :'url');
ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited');
GRANT USAGE ON FOREIGN SERVER chpg TO smith;
CREATE USER MAPPING FOR smith SERVER chpg OPTIONS (key_id 'demoKeyId', key_secret 'demoKeySecret');

CREATE SCHEMA cloud;
IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud OPTIONS (window '1 hour');
CREATE SCHEMA seen;
CREATE TABLE seen.service AS SELECT * FROM chpg_services();
CREATE TABLE seen.pattern AS SELECT * FROM chpg_slow_patterns(:'start', :'stop');
CREATE TABLE seen.log AS SELECT * FROM chpg_logs(:'start', :'stop');
ANALYZE seen.service, seen.pattern, seen.log;

CREATE VIEW seen.organizations AS SELECT * FROM chpg_organizations();
CREATE VIEW seen.whoami AS SELECT * FROM chpg_whoami();
CREATE VIEW seen.quotas AS SELECT * FROM chpg_quotas();
CREATE VIEW seen.notifications AS SELECT * FROM chpg_notifications();
CREATE VIEW seen.service_detail AS SELECT s.* FROM seen.service k, chpg_service(k.id) s;
CREATE VIEW seen.patterns AS SELECT * FROM chpg_slow_patterns(:'start', :'stop');
CREATE VIEW seen.top AS SELECT * FROM chpg_slow_patterns(:'start', :'stop', 'orders', sort_by => 'call_count', max_rows => 5);
CREATE VIEW seen.executions AS
	SELECT e.* FROM seen.top p, chpg_slow_pattern_executions(p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation) e;
CREATE VIEW seen.prometheus AS SELECT * FROM chpg_prometheus('orders');
CREATE VIEW seen.points AS SELECT * FROM chpg_metrics(:'start', :'stop', 'orders');
CREATE VIEW seen.lines AS SELECT * FROM chpg_logs(:'start', :'stop', 'orders');
CREATE VIEW seen.backups AS SELECT * FROM chpg_backups('orders');
CREATE VIEW seen.ip_access_list AS SELECT * FROM chpg_ip_access_list('orders');
SELECT FROM chpg_create_private_endpoint('orders');
CREATE VIEW seen.private_endpoint AS SELECT * FROM chpg_private_endpoint('orders');
CREATE VIEW seen.settings AS SELECT * FROM chpg_config('orders');
CREATE VIEW seen.period AS SELECT * FROM chpg_period_patterns(tstzrange(:'start', :'stop'), 'orders');
CREATE VIEW seen.cloud_patterns AS SELECT * FROM cloud.slow_patterns WHERE from_date = :'start' AND to_date = :'stop';
CREATE VIEW seen.cloud_top AS SELECT * FROM seen.cloud_patterns ORDER BY max_duration_us DESC LIMIT 9;
CREATE VIEW seen.cloud_points AS SELECT * FROM cloud.metrics WHERE "timestamp" >= :'start' AND "timestamp" < :'stop';
CREATE VIEW seen.cloud_lines AS SELECT * FROM cloud.logs WHERE "timestamp" BETWEEN :'start' AND :'stop';
CREATE VIEW seen.cloud_executions AS
	SELECT e.* FROM cloud.slow_pattern_executions e JOIN seen.pattern p USING (service_id, query_id, db_name, db_user, db_operation);

GRANT USAGE ON SCHEMA cloud, seen TO smith;
GRANT SELECT ON ALL TABLES IN SCHEMA cloud, seen TO smith;
-- Views over foreign tables use their owner's key.
ALTER ROLE smith SET chpg.dry_run = on;
ALTER ROLE smith SET chpg.cache_ttl = '10min';
ALTER ROLE smith SET chpg.request_timeout = '5s';

-- SQLsmith takes the polymorphic types that are younger than it is for types of values, and most of its
-- statements would fail for that. So it sees the functions and operators that have none. Nor does it see
-- those for the input and output of types, some of which meet arguments out of range with an internal
-- error of PostgreSQL's own (intervaltypmodout).
CREATE SCHEMA smith;
CREATE VIEW smith.types_left_out AS
	SELECT oid FROM pg_type
	WHERE typname IN ('anyrange', 'anymultirange', 'anyenum', 'anyarray', 'cstring') OR typname LIKE 'anycompatible%';
CREATE VIEW smith.pg_proc AS
	SELECT * FROM pg_catalog.pg_proc
	WHERE NOT EXISTS (SELECT FROM smith.types_left_out WHERE oid = prorettype OR oid = ANY (proargtypes))
	AND has_function_privilege('smith', oid, 'EXECUTE');
CREATE VIEW smith.pg_operator AS
	SELECT * FROM pg_catalog.pg_operator
	WHERE NOT EXISTS (SELECT FROM smith.types_left_out WHERE oid IN (oprleft, oprright, oprresult));
GRANT USAGE ON SCHEMA smith TO smith;
GRANT SELECT ON smith.pg_proc, smith.pg_operator TO smith;
ALTER ROLE smith SET search_path = smith, pg_catalog, seen, cloud, public;
