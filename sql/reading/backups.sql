/* Reading: backups. */

CREATE TYPE @extschema@.chpg_backup_row AS (
	service_id text,
	service_name text,
	key text,
	last_modified timestamptz
);

COMMENT ON TYPE @extschema@.chpg_backup_row IS
'A base backup of a service. A service without any row may still have backups.';
COMMENT ON COLUMN @extschema@.chpg_backup_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_backup_row.service_name IS
'Name of the service; null if the list of services omits it.';
COMMENT ON COLUMN @extschema@.chpg_backup_row.key IS 'Name of the backup''s object, for show only.';
COMMENT ON COLUMN @extschema@.chpg_backup_row.last_modified IS 'When the backup was completed.';

CREATE FUNCTION @extschema@.chpg_backups(
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_backup_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 7
AS 'MODULE_PATHNAME', 'chpg_backups';

COMMENT ON FUNCTION @extschema@.chpg_backups(text, text) IS
'The base backups of a service, by id or name, or of the fleet (null).
An empty list is no proof that there is no backup: the API also returns one when it cannot read
the storage of backups. chpg_restore_service takes a time, not a key.
Requests: 1 for each page (100 backups) of a service, 1 more for the list of services.
Errors: 22023 the API may refuse a read replica; 42704 no such service; 42712 several services
  have the name.';
