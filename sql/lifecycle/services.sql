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

COMMENT ON FUNCTION @extschema@.chpg_create_service(text, text, text, text, bigint, text, text, jsonb, jsonb, jsonb,
	text) IS
'Create a service, and return it with its password and connection string.
The API shows both only now. The service is being created when this returns: see chpg_wait.
storage_size: in GiB. tags: an object, {"team": "data"}. pg_config, pgbouncer_config: settings
  as an object.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1.
Errors: 22023 an argument cannot be used; 55006 a quota is reached; 08007 unknown whether it was
  carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_create_service(text, text, text, text, bigint, text, text, jsonb, jsonb,
	jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_update_service(
	service text,
	name text DEFAULT NULL,
	size text DEFAULT NULL,
	ha_type text DEFAULT NULL,
	tags jsonb DEFAULT NULL,
	ip_access_list jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_update_service';

COMMENT ON FUNCTION @extschema@.chpg_update_service(text, text, text, text, jsonb, jsonb, text) IS
'Change the name, size, high availability, tags or IP access list of a service.
What is null stays. tags replaces all tags. The change is queued: see chpg_wait.
ip_access_list: sent as it is; see chpg_allow_ip and chpg_revoke_ip. A WARNING has entries that
  a change of something else removed, if tags is null and the API shows the list.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2 (1 with tags), 1 more for a name, 1 more if reads show the IP access list and the
  response does not.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_update_service(text, text, text, text, jsonb, jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_set_tags(
	service text,
	tags jsonb,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_set_tags';

COMMENT ON FUNCTION @extschema@.chpg_set_tags(text, jsonb, text) IS
'Add tags to a service, or change their values; other tags stay.
tags: an object. A queued change of another session is not seen until it is applied: see
chpg_wait.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
A WARNING has entries of the IP access list that the change removed, if the API shows the list.
Requests: 2, 1 more for a name, 1 more if reads show the IP access list and the response does
  not.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_set_tags(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_remove_tags(
	service text,
	keys text[],
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_remove_tags';

COMMENT ON FUNCTION @extschema@.chpg_remove_tags(text, text[], text) IS
'Remove the tags with these keys from a service; other tags stay.
A queued change of another session is not seen until it is applied: see chpg_wait.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
A WARNING has entries of the IP access list that the change removed, if the API shows the list.
Requests: 2, 1 more for a name, 1 more if reads show the IP access list and the response does
  not.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_remove_tags(text, text[], text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_delete_service(
	service text,
	confirm_name text,
	server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_delete_service';

COMMENT ON FUNCTION @extschema@.chpg_delete_service(text, text, text) IS
'Delete a service with all its data, and return the id of the request.
confirm_name: the present name of the service. Delete its read replicas first.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2, 1 more for a name.
Errors: 08007 unknown whether it was carried out; 22023 confirm_name is another name; 25006 in a
  read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_delete_service(text, text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_restart_service(
	service text,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_restart_service';

COMMENT ON FUNCTION @extschema@.chpg_restart_service(text, text) IS
'Restart a service.
The API acknowledges the command only; attributes that the response omits are null.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1, 1 more for a name.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_restart_service(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_promote_service(
	service text,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_promote_service';

COMMENT ON FUNCTION @extschema@.chpg_promote_service(text, text) IS
'Make a read replica a primary of its own; the old primary stays one.
The API acknowledges the command only; attributes that the response omits are null.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1, 1 more for a name.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_promote_service(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_switchover_service(
	service text,
	replace_primary boolean DEFAULT false,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_switchover_service';

COMMENT ON FUNCTION @extschema@.chpg_switchover_service(text, boolean, text) IS
'Make a standby of a service with high availability its primary.
replace_primary: also without a standby. Then the API provisions a new server and replaces the
  primary with it (minutes to hours; the host name stays), or does nothing (older deployments).
The API acknowledges the command only; attributes that the response omits are null.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2 (1 with replace_primary), 1 more for a name.
Errors: 55000 the service has no standby, or the API does not show one; 08007 unknown whether
  it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_switchover_service(text, boolean, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_set_password(
	service text,
	password text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_set_password';

COMMENT ON FUNCTION @extschema@.chpg_set_password(text, text, text) IS
'Set the password of a service''s superuser, and return it if the API chose it.
password: 12 to 1024 characters, with a lower-case and an upper-case letter and a digit; null:
  the API chooses.
Keeps it out of the log and pg_stat_activity; a NOTICE says where it stays unless called as a
  plain SELECT.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1, 1 more for a name.
Errors: 22023 a password that cannot be used, or a read replica; 08007 unknown whether it was
  carried out; 25006 in a read-only transaction.';

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
'Create a read replica of a service.
retry_for: time to retry while the API refuses, before the first backup; the statement holds its
  snapshot meanwhile.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1 for each attempt, 1 more for a name.
Errors: 08007 unknown whether it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_create_read_replica(text, text, jsonb, jsonb, jsonb, interval, text)
	FROM PUBLIC;

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
'Create a new service with the data that a service had at restore_target.
restore_target: from earliest_restore_time of chpg_service until now. If the key may not read
  the service, the API alone checks it.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2, 1 more for a name.
Errors: 22023 restore_target is too early; 08007 unknown whether it was carried out; 25006 in a
  read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_restore_service(text, text, timestamptz, jsonb, jsonb, jsonb, text)
	FROM PUBLIC;
