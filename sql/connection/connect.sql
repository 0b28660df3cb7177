/*
 * Connecting: the foreign-data wrapper whose servers and user mappings hold
 * the API's address and keys.
 */

CREATE FUNCTION @extschema@.chpg_validator(options text[], catalog oid)
RETURNS void
LANGUAGE C STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_validator';

COMMENT ON FUNCTION @extschema@.chpg_validator(text[], oid) IS
'Checks the options of servers (api_url, ca_file, organization_id, proxy, rate_limit), user mappings (key_id, key_secret) and foreign tables (resource, window) of the wrapper chpg.';

CREATE FUNCTION @extschema@.chpg_handler()
RETURNS fdw_handler
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'chpg_handler';

COMMENT ON FUNCTION @extschema@.chpg_handler() IS 'Reads foreign tables of the wrapper chpg.';

CREATE FOREIGN DATA WRAPPER chpg HANDLER @extschema@.chpg_handler VALIDATOR @extschema@.chpg_validator;

COMMENT ON FOREIGN DATA WRAPPER chpg IS
'ClickHouse Cloud''s API. A server stands for an organization, a user mapping for a role''s API key. USAGE is the privilege to open connections from the database server''s machine: a role that has it makes servers with any https api_url and any proxy, and their errors tell open from closed ports.';

CREATE TYPE @extschema@.chpg_connection_row AS (
	server text,
	organization_id text,
	organization_name text,
	api_url text
);

COMMENT ON TYPE @extschema@.chpg_connection_row IS 'A connection to the API that has been set up.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.server IS 'Name of the server, for the argument "server" of other functions.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.organization_id IS 'Id of the organization that the key belongs to.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.organization_name IS 'Name of that organization.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.api_url IS 'Address that the key was sent to, and goes to from now on.';

CREATE FUNCTION @extschema@.chpg_connect(
	key_id text,
	key_secret text,
	server text DEFAULT 'chpg',
	organization_id text DEFAULT NULL,
	api_url text DEFAULT NULL)
RETURNS @extschema@.chpg_connection_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_connect';

COMMENT ON FUNCTION @extschema@.chpg_connect(text, text, text, text, text) IS
'Checks an API key against the API, then creates or updates the server and the caller''s user mapping that hold it. Sends 1 request. Needs USAGE on the foreign-data wrapper chpg to create the server; with USAGE on an existing server, only the mapping changes. The key is bound to the address of the server, its proxy and ca_file: if they change, it must be given again. Errors: 28000 the key is not accepted, 42501 no USAGE, or a server that belongs neither to the caller, to a role that a superuser or the caller itself granted it, nor to a superuser, and whose address is not named in api_url, 55000 the server belongs to another organization. A NOTICE says where the secret is kept if this is not called as a plain SELECT. Keeps the secret out of the log and pg_stat_activity; rotate a key by calling it again: statements that wait for the request budget take the new key, too.';

CREATE FUNCTION @extschema@.chpg_disconnect(server text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_disconnect';

COMMENT ON FUNCTION @extschema@.chpg_disconnect(text) IS
'Drops the caller''s user mapping, and with it the key, and closes the connections of this backend to the API. Sends no request. The server stays: DROP SERVER removes it.';

CREATE FUNCTION @extschema@._chpg_own_server()
RETURNS text
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_own_server';

COMMENT ON FUNCTION @extschema@._chpg_own_server() IS
'The first, by name, of the servers that the caller owns or has given a key of its own to, or null. Sends no request. For chpg_capture.';
