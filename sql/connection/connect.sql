/*
 * Connecting: the foreign-data wrapper whose servers and user mappings hold
 * the API's address and keys.
 */

CREATE FUNCTION @extschema@.chpg_validator(options text[], catalog oid)
RETURNS void
LANGUAGE C STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_validator';

COMMENT ON FUNCTION @extschema@.chpg_validator(text[], oid) IS
'Check the options of servers, user mappings and foreign tables of the wrapper chpg.
Servers: api_url, ca_file, organization_id, proxy, rate_limit. User mappings: key_id,
  key_secret.
Foreign tables: resource, window.';

CREATE FUNCTION @extschema@.chpg_handler()
RETURNS fdw_handler
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'chpg_handler';

COMMENT ON FUNCTION @extschema@.chpg_handler() IS 'Read foreign tables of the wrapper chpg.';

CREATE FOREIGN DATA WRAPPER chpg HANDLER @extschema@.chpg_handler VALIDATOR @extschema@.chpg_validator;

COMMENT ON FOREIGN DATA WRAPPER chpg IS
'ClickHouse Cloud''s API: a server stands for an organization, a user mapping for an API key.
USAGE lets a role connect from this machine to any https api_url, by any proxy: errors tell open
  from closed ports.';

CREATE TYPE @extschema@.chpg_connection_row AS (
	server text,
	organization_id text,
	organization_name text,
	api_url text
);

COMMENT ON TYPE @extschema@.chpg_connection_row IS 'A connection to the API that has been set up.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.server IS
'Name of the server, for the argument "server" of other functions.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.organization_id IS
'Id of the organization that the key belongs to.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.organization_name IS 'Name of that organization.';
COMMENT ON COLUMN @extschema@.chpg_connection_row.api_url IS 'Address that the key is sent to.';

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
'Check an API key, and create or update the server and the caller''s user mapping that hold it.
Call it again with another key to rotate the key. Needs USAGE on the foreign-data wrapper chpg
  for a new server.
With USAGE on an existing server, only the mapping changes. The key is bound to its address,
  proxy and ca_file.
Keeps the secret out of the log and pg_stat_activity; a NOTICE says where it stays unless called
  as a plain SELECT.
Requests: 1.
Errors: 28000 the API rejects the key; 42501 no USAGE, or an untrusted owner of the server whose
  address api_url does not name; 55000 the server belongs to another organization.';

CREATE FUNCTION @extschema@.chpg_disconnect(server text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_disconnect';

COMMENT ON FUNCTION @extschema@.chpg_disconnect(text) IS
'Drop the caller''s user mapping, and with it the key.
Closes this backend''s connections to the API, too.
The server stays: DROP SERVER removes it.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_own_server(server text)
RETURNS text
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_own_server';

COMMENT ON FUNCTION @extschema@._chpg_own_server(text) IS
'The server given, else chpg.server, else the caller''s own; null without one.
Own is the first server, by name, that the caller owns or has a key of its own for.
Requests: none.';
