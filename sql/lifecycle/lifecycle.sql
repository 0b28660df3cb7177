/*
 * Changing services.  These functions act at once, and a rollback does not take
 * back what they did.  Only roles to which they are granted may call them.
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

CREATE FUNCTION @extschema@.chpg_ca_certificates(
	service text,
	server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_ca_certificates';

COMMENT ON FUNCTION @extschema@.chpg_ca_certificates(text, text) IS
'The certificates of the CA that signs those of the service, in PEM, for sslrootcert. 1 request, 1 more if service is a name. Error 42704 while they are not made yet.';

CREATE FUNCTION @extschema@.chpg_wait(
	service text,
	state text DEFAULT 'running',
	timeout interval DEFAULT '30 minutes',
	poll_interval interval DEFAULT '5 seconds',
	expected jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_wait';

COMMENT ON FUNCTION @extschema@.chpg_wait(text, text, interval, interval, jsonb, text) IS
'Waits until a service has this state, and the values of expected (an object of attributes of the row, such as {"size": "r8gd.large"}), in three polls in a row, and returns it. Waiting for the state deleted ends with no row once the API does not know the service; give its id, since a deleted name is not found. A NOTICE reports each change of state, and what is waited for. The last poll is at the timeout, and may take 2 seconds longer. 1 request for each poll, 1 more if service is a name. Errors: 57014 it took longer than timeout; what the API answers with 401, 403 or 404. Holds a snapshot all the time, which keeps VACUUM from its work: in scripts, CALL chpg_wait_until.';

CREATE PROCEDURE @extschema@.chpg_wait_until(
	service text,
	state text DEFAULT 'running',
	timeout interval DEFAULT '30 minutes',
	poll_interval interval DEFAULT '5 seconds',
	expected jsonb DEFAULT NULL,
	server text DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'chpg_wait_until';

COMMENT ON PROCEDURE @extschema@.chpg_wait_until(text, text, interval, interval, jsonb, text) IS
'Waits as chpg_wait does, but ends its transaction before each pause, so that it holds no snapshot. 1 request for each poll, 1 more if service is a name. Not inside a transaction block.';

CREATE TYPE @extschema@.chpg_response_row AS (
	status integer,
	request_id text,
	result jsonb
);

COMMENT ON TYPE @extschema@.chpg_response_row IS 'What the API answered.';
COMMENT ON COLUMN @extschema@.chpg_response_row.status IS 'HTTP status.';
COMMENT ON COLUMN @extschema@.chpg_response_row.request_id IS 'Id of the request, which ClickHouse''s support asks for.';
COMMENT ON COLUMN @extschema@.chpg_response_row.result IS 'The result; null where there is none.';

CREATE FUNCTION @extschema@.chpg_request(
	method text,
	path text,
	query jsonb DEFAULT NULL,
	body jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_response_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_request';

COMMENT ON FUNCTION @extschema@.chpg_request(text, text, jsonb, jsonb, text) IS
'Sends any request that the API answers in JSON: path begins with /v1/, and {organization_id} in it stands for the server''s. query is an object of texts. 1 request. Anything but GET acts at once and cannot be rolled back; refused in read-only transactions (25006). Sent at most once: 08007 if no answer tells whether it was carried out. With chpg.dry_run, shows the change in a NOTICE and returns null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_request(text, text, jsonb, jsonb, text) FROM PUBLIC;

CREATE TYPE @extschema@.chpg_connection_info_row AS (
	host text,
	port integer,
	dbname text,
	username text,
	sslmode text,
	uri text
);

COMMENT ON TYPE @extschema@.chpg_connection_info_row IS 'How to connect to a service with libpq; without the password.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.host IS 'Host name.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.port IS 'Port.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.dbname IS 'Database that every service has.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.username IS 'Superuser.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.sslmode IS 'verify-full: with the CA of chpg_ca_certificates as sslrootcert.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.uri IS 'The same as one URI.';

CREATE FUNCTION @extschema@.chpg_connection_info(
	service text,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_connection_info_row
LANGUAGE SQL STABLE PARALLEL RESTRICTED COST 100000 ROWS 1
BEGIN ATOMIC
	SELECT s.hostname, 5432, 'postgres', s.username, 'verify-full',
		'postgres://' ||
			replace(replace(replace(replace(s.username, '%', '%25'), '@', '%40'), ':', '%3A'), '/', '%2F') ||
			'@' || s.hostname || ':5432/postgres?sslmode=verify-full'
	FROM @extschema@.chpg_service(chpg_connection_info.service, chpg_connection_info.server) s;
END;

COMMENT ON FUNCTION @extschema@.chpg_connection_info(text, text) IS
'How to connect to a service with libpq, as for a server of postgres_fdw. 1 request, 1 more if service is a name.';
