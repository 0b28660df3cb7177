/* Reading: what libpq needs to connect to a service. */

CREATE FUNCTION @extschema@.chpg_ca_certificates(
	service text,
	server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_ca_certificates';

COMMENT ON FUNCTION @extschema@.chpg_ca_certificates(text, text) IS
'The certificates of the CA of a service, in PEM, for sslrootcert.
Requests: 1, 1 more for a name.
Errors: 42704 the certificates do not exist yet.';

CREATE TYPE @extschema@.chpg_connection_info_row AS (
	host text,
	port integer,
	dbname text,
	username text,
	sslmode text,
	uri text
);

COMMENT ON TYPE @extschema@.chpg_connection_info_row IS
'How to connect to a service with libpq; without the password.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.host IS 'Host name.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.port IS 'Port.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.dbname IS 'Database that every service has.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.username IS 'Superuser.';
COMMENT ON COLUMN @extschema@.chpg_connection_info_row.sslmode IS
'verify-full: with the CA of chpg_ca_certificates as sslrootcert.';
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
'What libpq needs to connect to a service, without the password.
Requests: 1, 1 more for a name.';
