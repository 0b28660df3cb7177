/* Reading and changing settings of services. */

CREATE TYPE @extschema@.chpg_config_row AS (
	service_id text,
	service_name text,
	component text,
	name text,
	value text
);

COMMENT ON TYPE @extschema@.chpg_config_row IS 'A setting that was made for a service.';
COMMENT ON COLUMN @extschema@.chpg_config_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_config_row.service_name IS
'Name of the service; null if the list of services cannot be read.';
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
'The settings that were made for a service, by id or name, or for the fleet (null).
Settings left at their defaults are omitted.
Requests: 1 for each service, 1 more for a name or for the fleet.';

CREATE FUNCTION @extschema@.chpg_patch_config(
	service text,
	pg_config jsonb DEFAULT NULL,
	pgbouncer_config jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_config_row
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 20
AS 'MODULE_PATHNAME', 'chpg_patch_config';

COMMENT ON FUNCTION @extschema@.chpg_patch_config(text, jsonb, jsonb, text) IS
'Change settings of a service.
Returns all settings after the change.
Settings are an object, {"max_connections": 200}; null removes one; others stay.
Values of pgbouncer_config are sent as strings. A section that is null is sent empty. If the API
  refuses that, chpg reads the section, and sends its settings back unchanged.
A NOTICE names the settings that wait for a restart.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1, 2 more if the API refuses an empty section, 1 more for a name.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

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
'Replace all settings of PostgreSQL, of PgBouncer or of both.
Returns all settings after the change.
A section that is null stays; an empty object removes all settings of a section.
Values of pgbouncer_config are sent as strings.
A NOTICE names the settings that wait for a restart.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2 (1 with both sections), 1 more for a name.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_replace_config(text, jsonb, jsonb, text) FROM PUBLIC;
