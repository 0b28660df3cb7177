/* Reading and changing settings of services. */

CREATE TYPE @extschema@.chpg_config_row AS (
	service_id text,
	component text,
	name text,
	value text
);

COMMENT ON TYPE @extschema@.chpg_config_row IS 'A setting that was made for a service.';
COMMENT ON COLUMN @extschema@.chpg_config_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_config_row.component IS 'What it sets: postgres or pgbouncer.';
COMMENT ON COLUMN @extschema@.chpg_config_row.name IS 'Name of the setting.';
COMMENT ON COLUMN @extschema@.chpg_config_row.value IS 'Its value as text.';

CREATE FUNCTION @extschema@.chpg_config(
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_config_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 20
AS 'MODULE_PATHNAME', 'chpg_config';

COMMENT ON FUNCTION @extschema@.chpg_config(text, text) IS
'The settings that users made for a service, or for all services (null); those left at their defaults are not shown. 1 request for each service, 1 more for a name or for all services.';

CREATE FUNCTION @extschema@.chpg_patch_config(
	service text,
	pg_config jsonb DEFAULT NULL,
	pgbouncer_config jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_config_row
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 20
AS 'MODULE_PATHNAME', 'chpg_patch_config';

COMMENT ON FUNCTION @extschema@.chpg_patch_config(text, jsonb, jsonb, text) IS
'Changes settings of a service and returns all of them after the change. The settings are an object: {"max_connections": 200}; null removes one; others stay. What waits for a restart comes as a NOTICE. 1 request, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns no rows.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_patch_config(text, jsonb, jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_replace_config(
	service text,
	pg_config jsonb DEFAULT NULL,
	pgbouncer_config jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_config_row
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 20
AS 'MODULE_PATHNAME', 'chpg_replace_config';

COMMENT ON FUNCTION @extschema@.chpg_replace_config(text, jsonb, jsonb, text) IS
'Replaces all settings of PostgreSQL, of PgBouncer, or of both, and returns all of them after the change. A section that is left out stays; an empty object removes all settings of a section. What waits for a restart comes as a NOTICE. 2 requests (1 with both sections), 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns no rows.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_replace_config(text, jsonb, jsonb, text) FROM PUBLIC;
