/*
 * rule: CHPG706 config_drift
 * title: A setting that differs from the others'
 * kind: hygiene
 * scope: fleet
 * threshold: services = 3 services; Services with the same tag Environment from which one that differs is
 *     reported.
 *
 * Services of one environment are expected to have the same settings, and those of one size
 * the same settings that depend on the machine.
 */
CREATE FUNCTION @extschema@._chpg_depends_on_size(name text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT name = ANY ('{shared_buffers,effective_cache_size,work_mem,maintenance_work_mem,autovacuum_work_mem,
		logical_decoding_work_mem,temp_buffers,wal_buffers,min_wal_size,max_wal_size,max_connections,
		max_worker_processes,max_parallel_workers,max_parallel_workers_per_gather,max_parallel_maintenance_workers,
		autovacuum_max_workers,effective_io_concurrency,maintenance_io_concurrency,
		default_pool_size,min_pool_size,reserve_pool_size,max_client_conn,max_db_connections,
		max_user_connections}'::text[]);
END;

COMMENT ON FUNCTION @extschema@._chpg_depends_on_size(text) IS
'Whether services of different sizes are expected to have different values of a setting.';

CREATE FUNCTION @extschema@._chpg_find_config_drift(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH config AS MATERIALIZED (
		SELECT c.service_id, c.component, c.name, c.value FROM @extschema@.chpg_config(NULL::text, scope.server) c
	), present AS MATERIALIZED (
		-- of a service that is not running, nothing may have been read
		SELECT s.id, s.name, s.state, s.tags, s.size,
			s.state = 'running' OR EXISTS (SELECT FROM config c WHERE c.service_id = s.id) AS known
		FROM @extschema@.chpg_services(scope.server) s
		WHERE s.state NOT IN ('creating', 'deleting')
	), settings AS (
		SELECT s.id AS service_id, s.name AS service, s.tags->>'Environment' AS environment,
			n.component, n.name, coalesce(c.value, '(not set)') AS value,
			CASE WHEN @extschema@._chpg_depends_on_size(n.name) THEN s.size END AS size
		FROM present s
		CROSS JOIN (SELECT DISTINCT component, name FROM config) n
		LEFT JOIN config c ON c.service_id = s.id AND c.component = n.component AND c.name = n.name
		WHERE s.known AND s.tags ? 'Environment'
	), counted AS (
		SELECT *, count(*) OVER (PARTITION BY environment, size, component, name) AS services,
			count(*) OVER (PARTITION BY environment, size, component, name, value) AS alike
		FROM settings
	)
	SELECT 'CHPG706', 'INFO', 'A setting that differs from the others''', service_id,
		format('%s %s is %s; %s of %s services of the environment%s have another value', component, name, value,
			services - alike, services, ' and size ' || size),
		jsonb_strip_nulls(jsonb_build_object('component', component, 'name', name, 'value', value,
			'environment', environment, 'size', size)),
		'It may be meant to be so.', 'If it is not: chpg_patch_config.',
		NULL::float8, 'medium', 'CHPG706:' || to_jsonb(ARRAY[service_id, component, name])::text, 'hygiene',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM counted
	WHERE services >= :services AND alike * 2 < services
	UNION ALL
	SELECT k.*
	FROM (SELECT count(*) AS services
		FROM (SELECT s.tags->>'Environment' AS environment, count(*) OVER (PARTITION BY s.tags->>'Environment') AS alike
			FROM present s WHERE s.known) s
		WHERE environment IS NULL OR alike < :services) u,
		@extschema@._chpg_skipped('{CHPG706}'::text[],
			format('Services that share the tag Environment with too few others, or have none, are compared with '
				'none: %s',
				u.services), NULL::text) k
	WHERE u.services > 0
	UNION ALL
	SELECT k.*
	FROM present s,
		@extschema@._chpg_skipped('{CHPG706}'::text[],
			format('The service is "%s", and its settings are not known', s.state), s.id) k
	WHERE NOT s.known;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_config_drift(@extschema@._chpg_thresholds, @extschema@._chpg_scope) IS
'Findings of settings that less than half of the services with the same tag Environment have.
Requests: 1 for each service, 1 for the list.';
