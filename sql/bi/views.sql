/*
 * BI: what the views of chpg_bi_create show.
 *
 * A view reads a foreign table, with the key of the view's owner, or the history.  It calls
 * no function of chpg, which would use the reader's key, and has neither LIMIT nor OFFSET,
 * so that conditions reach what it reads.  Columns are only ever added at the end.
 */

CREATE FUNCTION @extschema@._chpg_bi_views()
RETURNS TABLE (place integer, view_name text, source text, requests text, what text, query text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
	(1, 'services', 'services', '1', 'The services of the organization, in any state.', $query$
		SELECT s.name AS service_name, s.id AS service_id, s.state, s.provider, s.region, s.postgres_version, s.size,
			s.storage_size AS storage_gib, s.ha_type, s.is_primary, s.tags->>'Environment' AS tag_environment,
			s.tags->>'team' AS tag_team, s.tags, s.created_at
		FROM %1$I.services s
	$query$),
	(2, 'health', 'prometheus', '1', 'Load, memory and storage of each service, as they are now.', $query$
		SELECT h.service_name, h.service_id, h.status, h.version, h.cpu_cores, h.memory_used_percent,
			h.storage_used_percent, h.cache_hit_ratio,
			CASE WHEN abs(h.memory_limit) < 9e18 THEN h.memory_limit::bigint END AS memory_limit_bytes,
			CASE WHEN abs(h.storage_limit) < 9e18 THEN h.storage_limit::bigint END AS storage_limit_bytes,
			CASE WHEN abs(h.active) < 9e18 THEN h.active::bigint END AS active_connections,
			CASE WHEN abs(h.idle) < 9e18 THEN h.idle::bigint END AS idle_connections,
			CASE WHEN abs(h.size) < 9e18 THEN h.size::bigint END AS database_bytes,
			CASE WHEN abs(h.deadlocks) < 9e18 THEN h.deadlocks::bigint END AS deadlocks,
			CASE WHEN abs(h.commits) < 9e18 THEN h.commits::bigint END AS commits,
			CASE WHEN abs(h.rollbacks) < 9e18 THEN h.rollbacks::bigint END AS rollbacks
		FROM (
			SELECT p.service_id, p.service_name,
				max(p.labels->>'postgres_status') FILTER (WHERE p.metric = 'PostgresServiceInfo') AS status,
				max(p.labels->>'postgres_version') FILTER (WHERE p.metric = 'PostgresServiceInfo') AS version,
				max(p.value) FILTER (WHERE p.metric = 'PostgresServer_CPUCores') AS cpu_cores,
				max(p.value) FILTER (WHERE p.metric = 'PostgresServer_MemoryUsedPercent') AS memory_used_percent,
				max(p.value) FILTER (WHERE p.metric = 'PostgresServer_FilesystemUsedPercent') AS storage_used_percent,
				max(p.value) FILTER (WHERE p.metric = 'PostgresServer_CacheHitRatio') AS cache_hit_ratio,
				max(p.value) FILTER (WHERE p.metric = 'PostgresServer_MemoryLimitBytes') AS memory_limit,
				max(p.value) FILTER (WHERE p.metric = 'PostgresServer_StorageLimitBytes') AS storage_limit,
				sum(p.value) FILTER (WHERE p.metric = 'PostgresServer_ActiveConnections'
					AND p.labels->>'state' = 'active') AS active,
				sum(p.value) FILTER (WHERE p.metric = 'PostgresServer_ActiveConnections'
					AND p.labels->>'state' LIKE 'idle%%') AS idle,
				sum(p.value) FILTER (WHERE p.metric = 'PostgresServer_DatabaseSizeBytes') AS size,
				sum(p.value) FILTER (WHERE p.metric = 'PostgresServer_Deadlocks_Total') AS deadlocks,
				sum(p.value) FILTER (WHERE p.metric = 'PostgresServer_TransactionsCommitted_Total') AS commits,
				sum(p.value) FILTER (WHERE p.metric = 'PostgresServer_TransactionsRolledBack_Total') AS rollbacks
			FROM %1$I.prometheus p
			WHERE p.service_id IS NOT NULL
			GROUP BY p.service_id, p.service_name
		) h
	$query$),
	(3, 'logs', 'recent_logs', '1 for each service that it has and each 2,000 lines; 1 an hour for names',
	'Log lines not older than %s.', $query$
		SELECT l."timestamp" AS "time", l.service_name, l.service_id, l.severity, l.body
		FROM %1$I.recent_logs l
		WHERE l.service_id = ANY (%4$L::text[])
	$query$),
	(4, 'top_patterns', 'pattern_hour', 'none', 'Slow query patterns of the captured hours not older than %s, '
		'those that took most time first.', $query$
		SELECT t.service_name, t.service_id, t.query, t.query_hex, t.query_id, t.db_name, t.db_user, t.db_operation, t.app,
			t.hours, t.call_count, t.error_count, t.total_duration_us,
			t.total_duration_us / nullif(t.call_count, 0) AS avg_duration_us, t.max_duration_us, t.p95_lo_us, t.p95_hi_us,
			100 * t.total_duration_us / nullif(sum(t.total_duration_us) OVER (PARTITION BY t.service_name, t.service_id), 0)
				AS time_percent,
			t.total_rows, t.total_shared_blks_read, t.total_shared_blks_hit,
			t.total_shared_blks_hit::float8 / nullif(t.total_shared_blks_hit::float8 + t.total_shared_blks_read, 0)
				AS hit_ratio,
			t.total_cpu_time_us, t.total_wal_bytes
		FROM (
			SELECT p.service_name, p.service_id, p.query, p.query_hex, p.query_id, p.db_name, p.db_user, p.db_operation,
				p.app, count(*) AS hours,
				least(sum(p.call_count), 9223372036854775807)::bigint AS call_count,
				least(sum(p.error_count), 9223372036854775807)::bigint AS error_count,
				sum(p.total_duration_us) AS total_duration_us, max(p.max_duration_us) AS max_duration_us,
				min(p.p95_duration_us) AS p95_lo_us, max(p.p95_duration_us) AS p95_hi_us,
				least(sum(p.total_rows), 9223372036854775807)::bigint AS total_rows,
				least(sum(p.total_shared_blks_read), 9223372036854775807)::bigint AS total_shared_blks_read,
				least(sum(p.total_shared_blks_hit), 9223372036854775807)::bigint AS total_shared_blks_hit,
				sum(p.total_cpu_time_us) AS total_cpu_time_us,
				least(sum(p.total_wal_bytes), 9223372036854775807)::bigint AS total_wal_bytes
			FROM %2$I.pattern_hour p
			WHERE p."time" >= now() - %3$L::interval
			GROUP BY p.service_name, p.service_id, p.query, p.query_hex, p.query_id, p.db_name, p.db_user, p.db_operation,
				p.app
		) t
		ORDER BY t.total_duration_us DESC, t.service_id, t.query_hex, t.db_name, t.db_user, t.db_operation, t.app
	$query$),
	(5, 'patterns_by_hour', 'pattern_hour', 'none', 'Slow query patterns, a row for each service, hour and pattern.',
	$query$
		SELECT p."time", p.service_name, p.service_id, p.tag_environment, p.tag_team, p.query, p.query_hex, p.query_id,
			p.db_name, p.db_user, p.db_operation, p.app, p.call_count, p.error_count, p.total_duration_us, p.avg_duration_us,
			p.max_duration_us, p.p50_duration_us, p.p95_duration_us, p.p99_duration_us, p.total_rows,
			p.total_shared_blks_read, p.total_shared_blks_hit, p.hit_ratio, p.total_cpu_time_us, p.total_wal_bytes,
			p.active_executions, p.query_text
		FROM %2$I.pattern_hour p
	$query$),
	(6, 'patterns_by_day', 'pattern_daily', 'none', 'Slow query patterns, a row for each service, day (UTC) and pattern, '
		'from the captured hours.', $query$
		SELECT p."time", p.service_name, p.service_id, p.tag_environment, p.tag_team, p.query, p.query_hex, p.query_id,
			p.db_name, p.db_user, p.db_operation, p.app, p.hours, p.call_count, p.error_count, p.total_duration_us,
			p.avg_duration_us, p.max_duration_us, p.p95_lo_us, p.p95_hi_us, p.total_rows, p.total_shared_blks_read,
			p.total_shared_blks_hit, p.hit_ratio, p.total_cpu_time_us, p.total_wal_bytes, p.query_text
		FROM %2$I.pattern_daily p
	$query$),
	(7, 'metrics', 'metric', 'none', 'Points of the time series of services.', $query$
		SELECT m."time", m.service_name, m.service_id, m.tag_environment, m.tag_team, m.metric, m.series, m.unit, m.value,
			m.day
		FROM %2$I.metric m
	$query$),
	(8, 'findings', 'finding_log', 'none', 'What chpg_watch found: open findings, and those that are resolved.', $query$
		SELECT b."time", l.service_name, l.service_id, l.resolved_at IS NULL AS is_open, l.state, l.level, l.worst_level,
			l.kind, l.rule_id, l.finding->>'title' AS title, l.finding->>'subject' AS subject,
			l.finding->>'symptom' AS symptom, l.finding->>'explanation' AS explanation, l.finding->>'action' AS action,
			l.finding->>'next' AS next, (l.finding->>'urgency')::integer AS urgency,
			(l.finding->>'impact_us')::float8 AS impact_us, l.finding->>'confidence' AS confidence, l.muted, l.is_root,
			l.opened_at, l.last_seen_at, l.resolved_at, l.incident_id, l.finding_key
		FROM %2$I.finding_log l
		CROSS JOIN LATERAL (SELECT coalesce(l.since, l.opened_at) AS "time") b
	$query$),
	(9, 'incidents', 'finding_log', 'none',
	'Incidents: findings of a service that began together, by what stands for them.',
	$query$
		SELECT b."time", l.service_name, l.service_id, l.resolved_at IS NULL AS is_open, l.state, l.level, l.worst_level,
			l.finding->>'title' AS title, l.finding->>'subject' AS subject, l.finding->>'symptom' AS symptom,
			l.finding->>'action' AS action, l.finding->>'next' AS next,
			extract(epoch FROM coalesce(l.resolved_at, l.last_seen_at) - b."time")::float8 AS duration_s,
			(SELECT count(*) FROM %2$I.finding_log m
				WHERE m.incident_id = l.incident_id AND m.opened_at <= coalesce(l.resolved_at, 'infinity')
					AND coalesce(m.resolved_at, 'infinity') >= l.opened_at) AS findings,
			l.muted, l.opened_at, l.last_seen_at, l.resolved_at, l.incident_id, l.finding_key
		FROM %2$I.finding_log l
		CROSS JOIN LATERAL (SELECT coalesce(l.since, l.opened_at) AS "time") b
		WHERE l.is_root AND l.incident_id IS NOT NULL
	$query$)
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_views() IS
'The views of chpg_bi_create, in the order in which they are created.
source: what each reads: a foreign table, or a view or table of the history.
requests: what a query of it costs. what: its comment; %s is the window.
query: for format(); the schemas of the foreign tables and of the history, the window, and the
  services whose logs it has.';

CREATE FUNCTION @extschema@._chpg_bi_columns()
RETURNS TABLE (view_name text, column_name text, description text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		(NULL, 'time', 'Start of the hour, day (UTC) or bucket, or time of the line; of a finding, when it began.'),
		(NULL, 'service_id', 'Id of the service: joins all views.'),
		(NULL, 'service_name', 'Name of the service; from the history, the one that it had then.'),
		('findings', 'service_id', 'Id of the service; null: the fleet.'),
		('services', 'storage_gib', 'Size of the storage in GiB; null where the response omits it.'),
		(NULL, 'tag_environment', 'Tag "Environment" of the service; null where it has none.'),
		(NULL, 'tag_team', 'Tag "team" of the service; null where it has none.'),
		('logs', 'severity', 'DEBUG to PANIC: LOG, WARNING, ERROR.'),
		('logs', 'body', 'The line.'),
		(NULL, 'query', 'The first 120 characters of query_text, on one line.'),
		(NULL, 'hours', 'Captured hours that had the pattern.'),
		(NULL, 'p95_lo_us', 'Lower bound of the 95th percentile of all executions, in microseconds.'),
		(NULL, 'p95_hi_us', 'Upper bound of the 95th percentile of all executions, in microseconds.'),
		(NULL, 'hit_ratio', 'Shared blocks found in the buffer cache, of all that were wanted; 0 to 1.'),
		(NULL, 'active_executions', 'Mean number of executions under way; adds up over patterns and services.'),
		('top_patterns', 'time_percent', 'Share of the time of all patterns of the service, in percent.'),
		('metrics', 'day', 'Day (UTC) of the point; a condition on it is what an index finds.'),
		(NULL, 'is_open', 'Whether it was still there when it was last looked for.'),
		(NULL, 'state', 'new, ongoing, worse, or how it ended.'),
		('services', 'state', 'What the service is doing, such as running, creating, restarting, stopped, deleting.'),
		(NULL, 'level', 'ERROR, WARN or INFO, when it was last seen.'),
		(NULL, 'worst_level', 'The worst level that it had.'),
		(NULL, 'symptom', 'What was seen last.'),
		(NULL, 'urgency', '1 (an application fails) to 6 (hygiene).'),
		(NULL, 'is_root', 'Whether it stands for its incident.'),
		(NULL, 'opened_at', 'End of the captured hours in which a watch first saw it.'),
		(NULL, 'last_seen_at', 'End of the captured hours in which a watch saw it last.'),
		(NULL, 'resolved_at', 'When it ended; null: it is open.'),
		(NULL, 'duration_s', 'Time from its begin to its end, or until it was last seen, in seconds.'),
		(NULL, 'findings', 'Number of findings of the incident.')
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_columns() IS
'What columns of the views of chpg_bi_create mean, where no row type says it.
view_name: null: of all views without a line of their own.';
