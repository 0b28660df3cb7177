/* Monitoring: Prometheus metrics, and the health that they show. */

CREATE TYPE @extschema@.chpg_prometheus_row AS (
	service_id text,
	service_name text,
	metric text,
	type text,
	help text,
	labels jsonb,
	value double precision,
	"timestamp" timestamptz
);

COMMENT ON TYPE @extschema@.chpg_prometheus_row IS 'A sample of Prometheus'' exposition format.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row.service_id IS 'Id of the service: the label postgres_service.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row.service_name IS
'Name of the service: the label postgres_service_name.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row.metric IS
'Name of the metric, such as PostgresServer_CacheHitRatio.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row.type IS
'counter, gauge, histogram, summary, one of OpenMetrics'' others, or unknown. A counter only grows, until the '
'service restarts.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row.help IS 'What the metric measures.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row.labels IS 'All labels: labels->>''mode''.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row.value IS 'The value; the API measures once a minute.';
COMMENT ON COLUMN @extschema@.chpg_prometheus_row."timestamp" IS
'When the value was taken; null where the response omits it.';

CREATE FUNCTION @extschema@.chpg_prometheus(service text DEFAULT NULL, server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_prometheus_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000
AS 'MODULE_PATHNAME', 'chpg_prometheus';

COMMENT ON FUNCTION @extschema@.chpg_prometheus(text, text) IS
'The Prometheus metrics of a service, by id or name, or of the fleet (null).
A row for each sample.
Requests: 1, also for the fleet; 1 more for a name, or for a fleet of 100 services.
Errors: 54000 over 100 services, of which the response has only some.';

CREATE FUNCTION @extschema@.chpg_prometheus_text(service text DEFAULT NULL, server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100000
AS 'MODULE_PATHNAME', 'chpg_prometheus_text';

COMMENT ON FUNCTION @extschema@.chpg_prometheus_text(text, text) IS
'The Prometheus metrics of a service, by id or name, or of the fleet (null), as the API''s text.
Requests: 1, 1 more for a name, or for a fleet of 100 services.
Errors: 54000 over 100 services, of which the response has only some.';

CREATE FUNCTION @extschema@._chpg_prometheus_of_fleet(server text)
RETURNS SETOF @extschema@.chpg_prometheus_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000
AS 'MODULE_PATHNAME', 'chpg_prometheus_of_fleet';

COMMENT ON FUNCTION @extschema@._chpg_prometheus_of_fleet(text) IS
'The Prometheus metrics of the fleet.
Of the organization or, if those are not enabled, of each service.
Requests: 1, 1 more for a fleet of 100 services; if not enabled, 1 more for the list and 1 for
  each service.';

CREATE TYPE @extschema@.chpg_health_row AS (
	service_id text,
	service_name text,
	status text,
	version text,
	cpu_cores double precision,
	memory_limit_bytes bigint,
	memory_used_percent double precision,
	storage_limit_bytes bigint,
	storage_used_percent double precision,
	active_connections bigint,
	idle_connections bigint,
	cache_hit_ratio double precision,
	database_bytes bigint,
	deadlocks bigint,
	commits bigint,
	rollbacks bigint
);

COMMENT ON TYPE @extschema@.chpg_health_row IS 'How a service is, as its Prometheus metrics say.';
COMMENT ON COLUMN @extschema@.chpg_health_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_health_row.service_name IS 'Name of the service.';
COMMENT ON COLUMN @extschema@.chpg_health_row.status IS 'What the service is doing, such as running.';
COMMENT ON COLUMN @extschema@.chpg_health_row.version IS 'Version of PostgreSQL.';
COMMENT ON COLUMN @extschema@.chpg_health_row.cpu_cores IS 'CPU cores of the machine.';
COMMENT ON COLUMN @extschema@.chpg_health_row.memory_limit_bytes IS 'Memory of the machine, in bytes.';
COMMENT ON COLUMN @extschema@.chpg_health_row.memory_used_percent IS 'Memory in use, in percent.';
COMMENT ON COLUMN @extschema@.chpg_health_row.storage_limit_bytes IS 'Size of the storage, in bytes.';
COMMENT ON COLUMN @extschema@.chpg_health_row.storage_used_percent IS 'Storage in use, in percent.';
COMMENT ON COLUMN @extschema@.chpg_health_row.active_connections IS 'Connections that run a statement.';
COMMENT ON COLUMN @extschema@.chpg_health_row.idle_connections IS
'Connections that are idle, in a transaction or not.';
COMMENT ON COLUMN @extschema@.chpg_health_row.cache_hit_ratio IS
'Share of blocks found in the buffer cache, as the API gives it.';
COMMENT ON COLUMN @extschema@.chpg_health_row.database_bytes IS 'Size of all databases, in bytes.';
COMMENT ON COLUMN @extschema@.chpg_health_row.deadlocks IS 'Deadlocks since the service''s start.';
COMMENT ON COLUMN @extschema@.chpg_health_row.commits IS 'Transactions committed since the service''s start.';
COMMENT ON COLUMN @extschema@.chpg_health_row.rollbacks IS 'Transactions rolled back since the service''s start.';

CREATE FUNCTION @extschema@._chpg_whole(value double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN abs(value) < 9e18 THEN value::bigint END;
END;

COMMENT ON FUNCTION @extschema@._chpg_whole(double precision) IS
'The value as bigint; null for NaN and for values that a bigint cannot hold.';

CREATE FUNCTION @extschema@.chpg_health(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_health_row
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 20
BEGIN ATOMIC
	SELECT service_id,
		max(service_name),
		max(labels->>'postgres_status') FILTER (WHERE metric = 'PostgresServiceInfo'),
		max(labels->>'postgres_version') FILTER (WHERE metric = 'PostgresServiceInfo'),
		max(value) FILTER (WHERE metric = 'PostgresServer_CPUCores'),
		@extschema@._chpg_whole(max(value) FILTER (WHERE metric = 'PostgresServer_MemoryLimitBytes')),
		max(value) FILTER (WHERE metric = 'PostgresServer_MemoryUsedPercent'),
		@extschema@._chpg_whole(max(value) FILTER (WHERE metric = 'PostgresServer_StorageLimitBytes')),
		max(value) FILTER (WHERE metric = 'PostgresServer_FilesystemUsedPercent'),
		@extschema@._chpg_whole(sum(value) FILTER (WHERE metric = 'PostgresServer_ActiveConnections'
			AND labels->>'state' = 'active')),
		@extschema@._chpg_whole(sum(value) FILTER (WHERE metric = 'PostgresServer_ActiveConnections'
			AND labels->>'state' LIKE 'idle%')),
		max(value) FILTER (WHERE metric = 'PostgresServer_CacheHitRatio'),
		@extschema@._chpg_whole(sum(value) FILTER (WHERE metric = 'PostgresServer_DatabaseSizeBytes')),
		@extschema@._chpg_whole(sum(value) FILTER (WHERE metric = 'PostgresServer_Deadlocks_Total')),
		@extschema@._chpg_whole(sum(value) FILTER (WHERE metric = 'PostgresServer_TransactionsCommitted_Total')),
		@extschema@._chpg_whole(sum(value) FILTER (WHERE metric = 'PostgresServer_TransactionsRolledBack_Total'))
	FROM @extschema@._chpg_prometheus_of_fleet(chpg_health.server)
	WHERE service_id IS NOT NULL
	GROUP BY service_id;
END;

COMMENT ON FUNCTION @extschema@.chpg_health(text) IS
'The health of each service, from the organization''s Prometheus metrics.
If these are not enabled (a NOTICE), from those of each service, which needs more requests.
A service that is not running may then have its status only (a WARNING).
Requests: 1; if not enabled, 1 more for the list and 1 for each service.
Errors: 53400, 54000 too many requests, if each service is read; those of chpg_prometheus.';

CREATE VIEW @extschema@.chpg_health AS
	SELECT * FROM @extschema@.chpg_health(NULL::text);

COMMENT ON VIEW @extschema@.chpg_health IS
'The health of each service: chpg_health() with the caller''s key.
Requests: 1; more where the organization''s metrics are not enabled, as chpg_health().';
GRANT SELECT ON @extschema@.chpg_health TO PUBLIC;
