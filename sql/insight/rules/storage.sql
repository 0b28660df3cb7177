/* Rule CHPG701: storage fills up. */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG701', 'storage', 'used_percent', 80, 'Storage in use from which it is WARN, in percent.'),
	('CHPG701', 'storage', 'error_used_percent', 90, 'Storage in use from which it is ERROR, in percent.');

SELECT @extschema@._chpg_declare_thresholds();

CREATE FUNCTION @extschema@._chpg_find_storage(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH health AS MATERIALIZED (
		SELECT h.* FROM @extschema@.chpg_health(scope.server) h
		WHERE live AND (scope.service IS NULL OR scope.service IN (h.service_id, h.service_name))
	)
	SELECT 'CHPG701',
		CASE WHEN storage_used_percent >= t.storage_error_used_percent THEN 'ERROR'
			ELSE 'WARN' END,
		'Storage fills up', service_id,
			format('%s %% of the storage is in use', round(storage_used_percent::numeric, 1)),
		jsonb_build_object('storage_used_percent', storage_used_percent, 'storage_limit_bytes', storage_limit_bytes),
		'Data, WAL that a replica or a slot holds back, or temporary files.',
		'Look for what grew; the service scales its storage at 90 percent, with a short cutover.',
		NULL::float8, 'high', 'CHPG701:' || service_id, 'risk',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM health
	WHERE storage_used_percent >= t.storage_used_percent AND storage_used_percent <> 'NaN'
	UNION ALL
	SELECT k.*
	FROM health h,
		@extschema@._chpg_skipped('{CHPG701}'::text[], 'The metrics omit the storage in use', h.service_id) k
	WHERE h.storage_used_percent IS NULL OR h.storage_used_percent = 'NaN'
	UNION ALL
	SELECT k.*
	FROM (SELECT WHERE live AND (scope.service IS NULL OR NOT EXISTS (SELECT FROM health))) unknown,
		@extschema@.chpg_services(scope.server) s,
		@extschema@._chpg_skipped('{CHPG701,CHPG703}'::text[], 'The metrics omit the service', s.id) k
	WHERE (scope.service IS NULL OR scope.service IN (s.id, s.name))
		AND NOT EXISTS (SELECT FROM health h WHERE h.service_id = s.id);
END;

COMMENT ON FUNCTION @extschema@._chpg_find_storage(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about storage as it is now.
A service without metrics is SKIPPED here, and for the rules about connections.
Requests: 1 for the metrics, 1 for the list unless the metrics have the service that is given.';
