/* Rule CHPG703: connections run out. */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG703', 'connections', 'used_ratio', 0.8, 'Connections of max_connections from which it is WARN.'),
	('CHPG703', 'connections', 'error_used_ratio', 0.95, 'Connections of max_connections from which it is ERROR.');

SELECT @extschema@._chpg_declare_thresholds();

/* A service that does not answer is left out, and the others are judged. */
CREATE FUNCTION @extschema@._chpg_find_connections(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
SET chpg.on_service_error = 'warning'
BEGIN ATOMIC
	WITH health AS MATERIALIZED (
		SELECT h.*, coalesce(h.active_connections + h.idle_connections, h.active_connections, h.idle_connections)
			AS used
		FROM @extschema@.chpg_health(scope.server) h
		WHERE live AND (scope.service IS NULL OR scope.service IN (h.service_id, h.service_name))
	), configured AS MATERIALIZED (
		SELECT c.service_id, c.value::float8 AS max_connections
		FROM @extschema@.chpg_config(scope.service, scope.server) c
		WHERE live AND c.component = 'postgres' AND c.name = 'max_connections' AND c.value ~ '^[0-9]+$'
	)
	SELECT 'CHPG703',
		CASE WHEN used >= t.connections_error_used_ratio * max_connections THEN 'ERROR'
			ELSE 'WARN' END,
		'Connections run out', service_id, format('%s of %s connections', used, max_connections),
		jsonb_build_object('connections', used, 'max_connections', max_connections, 'idle', idle_connections),
		'Applications hold more connections than they use, or lack a pooler.',
		'Connect through PgBouncer, or lower the applications'' pools.',
		NULL::float8, 'high', 'CHPG703:' || service_id, 'risk',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM health
	JOIN configured USING (service_id)
	WHERE used >= t.connections_used_ratio * max_connections
	UNION ALL
	SELECT k.*
	FROM health h
	LEFT JOIN configured c USING (service_id)
	CROSS JOIN LATERAL @extschema@._chpg_skipped('{CHPG703}'::text[], CASE WHEN c.max_connections IS NULL
		THEN 'max_connections is unknown: the API returns only settings that were changed, or did not answer.'
		ELSE 'The metrics omit the number of connections' END, h.service_id) k
	WHERE c.max_connections IS NULL OR h.used IS NULL;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_connections(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings of connections as they are now, of services that have metrics.
Requests: 1 for the metrics, and those of chpg_config.';
