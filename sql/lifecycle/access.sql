/* Which addresses may connect to a service. */

CREATE TYPE @extschema@.chpg_ip_access_row AS (
	service_id text,
	service_name text,
	source text,
	description text,
	raw jsonb
);

COMMENT ON TYPE @extschema@.chpg_ip_access_row IS 'Addresses that may connect to a service.';
COMMENT ON COLUMN @extschema@.chpg_ip_access_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_ip_access_row.service_name IS
'Name of the service; null if the list of services cannot be read.';
COMMENT ON COLUMN @extschema@.chpg_ip_access_row.source IS
'IP address or CIDR block; 0.0.0.0/0 is every address.';
COMMENT ON COLUMN @extschema@.chpg_ip_access_row.description IS 'Description of the entry.';
COMMENT ON COLUMN @extschema@.chpg_ip_access_row.raw IS 'The entry as the API shows it.';

CREATE FUNCTION @extschema@.chpg_ip_access_list(
	service text,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_ip_access_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10
AS 'MODULE_PATHNAME', 'chpg_ip_access_list';

COMMENT ON FUNCTION @extschema@.chpg_ip_access_list(text, text) IS
'The IP access list of a service: the addresses that may connect.
An empty list may admit every address. The list does not govern private endpoints.
Requests: 1, 1 more for a name.
Errors: 42704 no such service; 55000 the API does not show the list.';

CREATE FUNCTION @extschema@.chpg_allow_ip(
	service text,
	source text,
	description text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_allow_ip';

COMMENT ON FUNCTION @extschema@.chpg_allow_ip(text, text, text, text) IS
'Add an address or CIDR block to the IP access list of a service.
A NOTICE says if 0.0.0.0/0 is on the list, so that nothing is restricted yet.
A WARNING has the entries that the change removed, with the statements that restore them.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2, 1 more for a name, 1 more if reads show the list and the response does not.
Errors: 55000 the API does not show the tags, which an update must repeat; 08007 unknown whether
  it was carried out; 25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_allow_ip(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_revoke_ip(
	service text,
	source text,
	description text DEFAULT NULL,
	allow_empty boolean DEFAULT false,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_revoke_ip';

COMMENT ON FUNCTION @extschema@.chpg_revoke_ip(text, text, text, boolean, text) IS
'Remove an address or CIDR block from the IP access list of a service.
description: removes only entries that have it; sent along if the API does not show the list.
allow_empty: also the last address; an empty list may admit every address, or none.
A WARNING has other entries that the change removed, with the statements that restore them.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2, 1 more for a name, 1 more if reads show the list and the response does not.
Errors: 42704 the address has other descriptions only; 55000 the last known address, or the API
  does not show the tags; 08007 unknown whether it was carried out; 25006 in a read-only
  transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_revoke_ip(text, text, text, boolean, text) FROM PUBLIC;
