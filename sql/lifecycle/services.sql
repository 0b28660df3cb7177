/*
 * Changing services.
 *
 * These functions act at once, and a rollback does not undo what they did.  Only roles
 * that are granted EXECUTE may call them.
 */

CREATE FUNCTION @extschema@.chpg_create_service(
	name text,
	provider text,
	region text,
	size text,
	storage_size bigint DEFAULT NULL,
	postgres_version text DEFAULT NULL,
	ha_type text DEFAULT NULL,
	tags jsonb DEFAULT NULL,
	pg_config jsonb DEFAULT NULL,
	pgbouncer_config jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_create_service';

COMMENT ON FUNCTION @extschema@.chpg_create_service(text, text, text, text, bigint, text, text, jsonb, jsonb, jsonb, text) IS
'Creates a service and returns it with its password and connection string, which the API shows only now. tags is an object, {"team": "data"}; storage_size is in GiB; pg_config and pgbouncer_config are settings as an object. The service is being created when this returns: see chpg_wait. 1 request. Errors: 22023 an argument is not usable, 55006 a quota is reached. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_create_service(text, text, text, text, bigint, text, text, jsonb, jsonb, jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_update_service(
	service text,
	name text DEFAULT NULL,
	size text DEFAULT NULL,
	ha_type text DEFAULT NULL,
	tags jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_update_service';

COMMENT ON FUNCTION @extschema@.chpg_update_service(text, text, text, text, jsonb, text) IS
'Changes a service. What is not named stays as it is, the tags included; tags replaces all tags. The change is queued: see chpg_wait. 2 requests (1 with tags), 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_update_service(text, text, text, text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_set_tags(
	service text,
	tags jsonb,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_set_tags';

COMMENT ON FUNCTION @extschema@.chpg_set_tags(text, jsonb, text) IS
'Adds tags to a service, or changes their values; other tags stay. tags is an object. A change that another session has queued is not seen until it is applied: wait for it with chpg_wait. 2 requests, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_set_tags(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_remove_tags(
	service text,
	keys text[],
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_remove_tags';

COMMENT ON FUNCTION @extschema@.chpg_remove_tags(text, text[], text) IS
'Removes the tags with these keys from a service; other tags stay. A change that another session has queued is not seen until it is applied: wait for it with chpg_wait. 2 requests, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_remove_tags(text, text[], text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_delete_service(
	service text,
	confirm_name text,
	server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_delete_service';

COMMENT ON FUNCTION @extschema@.chpg_delete_service(text, text, text) IS
'Deletes a service with all its data, if confirm_name is its present name, and returns the id of the request. Read replicas must be deleted first. 2 requests, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_delete_service(text, text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_restart_service(
	service text,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_restart_service';

COMMENT ON FUNCTION @extschema@.chpg_restart_service(text, text) IS
'Restarts a service. The API acknowledges the command, no more; attributes that it does not answer are null. 1 request, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_restart_service(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_promote_service(
	service text,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_promote_service';

COMMENT ON FUNCTION @extschema@.chpg_promote_service(text, text) IS
'Makes a read replica a primary of its own; the old primary stays one. The API acknowledges the command, no more; attributes that it does not answer are null. 1 request, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_promote_service(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_switchover_service(
	service text,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_switchover_service';

COMMENT ON FUNCTION @extschema@.chpg_switchover_service(text, text) IS
'Makes a standby of a service with high availability its primary. Refused without high availability (55000), since the API would accept it and do nothing. The API acknowledges the command, no more; attributes that it does not answer are null. 2 requests, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_switchover_service(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_set_password(
	service text,
	password text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_set_password';

COMMENT ON FUNCTION @extschema@.chpg_set_password(text, text, text) IS
'Sets the password of the superuser of a service. Returns the password that the API made, or null if one is given (12 to 1024 characters, with a lower-case letter, an upper-case letter and a digit). Keeps it out of the log and pg_stat_activity; a NOTICE says where it is kept if this is not called as a plain SELECT. Refused for read replicas. 1 request, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_set_password(text, text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_create_read_replica(
	service text,
	name text,
	tags jsonb DEFAULT NULL,
	pg_config jsonb DEFAULT NULL,
	pgbouncer_config jsonb DEFAULT NULL,
	retry_for interval DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_create_read_replica';

COMMENT ON FUNCTION @extschema@.chpg_create_read_replica(text, text, jsonb, jsonb, jsonb, interval, text) IS
'Creates a read replica of a service. Until the first backup of the service, the API refuses: retry_for says how long to try again; the statement holds its snapshot meanwhile. 1 request for each attempt, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Refusals apart, sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_create_read_replica(text, text, jsonb, jsonb, jsonb, interval, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_restore_service(
	service text,
	name text,
	restore_target timestamptz,
	tags jsonb DEFAULT NULL,
	pg_config jsonb DEFAULT NULL,
	pgbouncer_config jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_restore_service';

COMMENT ON FUNCTION @extschema@.chpg_restore_service(text, text, timestamptz, jsonb, jsonb, jsonb, text) IS
'Creates a new service with the data that a service had at restore_target. 1 request, 1 more if service is a name. Acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_restore_service(text, text, timestamptz, jsonb, jsonb, jsonb, text) FROM PUBLIC;
