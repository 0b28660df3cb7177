/* The private endpoint of a service: connections by AWS PrivateLink. */

CREATE TYPE @extschema@.chpg_private_endpoint_row AS (
	service_id text,
	service_name text,
	state text,
	endpoint_service_name text,
	endpoint_service_id text,
	private_dns_name text,
	private_hostname text,
	private_dns_verification_state text,
	supported_regions jsonb,
	allowed_vpc_endpoints jsonb,
	raw jsonb
);

COMMENT ON TYPE @extschema@.chpg_private_endpoint_row IS
'The private endpoint of a service. Only the state and the lists are documented: others may be null.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.service_name IS
'Name of the service; null if the list of services cannot be read.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.state IS 'creating, available, deleting.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.endpoint_service_name IS
'What a VPC endpoint connects to, com.amazonaws.vpce...; null until it is available.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.endpoint_service_id IS
'Id of the endpoint service at AWS, vpce-svc-...';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.private_dns_name IS
'Private DNS name of the endpoint service.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.private_hostname IS
'Host name for clients within the VPC, which the certificate has.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.private_dns_verification_state IS
'pendingVerification, verified or failed.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.supported_regions IS
'Array of the AWS regions that may connect besides the service''s own.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.allowed_vpc_endpoints IS
'Array of the VPC endpoints that may connect, as the API shows them.';
COMMENT ON COLUMN @extschema@.chpg_private_endpoint_row.raw IS 'The whole object as the API shows it.';

CREATE FUNCTION @extschema@.chpg_private_endpoint(
	service text,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_private_endpoint_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_private_endpoint';

COMMENT ON FUNCTION @extschema@.chpg_private_endpoint(text, text) IS
'The private endpoint of a service, by id or name.
Requests: 1, 1 more for a name.
Errors: 42704 the service has none, or there is no such service; 42501 the organization may not
  have the feature, or the key not the permission.';

CREATE FUNCTION @extschema@.chpg_create_private_endpoint(
	service text,
	supported_regions text[] DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_private_endpoint_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_create_private_endpoint';

COMMENT ON FUNCTION @extschema@.chpg_create_private_endpoint(text, text[], text) IS
'Create the private endpoint of a service on AWS, which takes minutes: see chpg_wait.
supported_regions: AWS regions that may connect besides the service''s own.
Nothing can connect before chpg_allow_vpc_endpoints allows it.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1, 1 more for a name.
Errors: 55006 the service has one; 42501 the organization may not have the feature, or the key
  not the permission; 08007 unknown whether it was carried out; 25006 in a read-only
  transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_create_private_endpoint(text, text[], text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_allow_vpc_endpoints(
	service text,
	vpc_endpoints jsonb,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_private_endpoint_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_allow_vpc_endpoints';

COMMENT ON FUNCTION @extschema@.chpg_allow_vpc_endpoints(text, jsonb, text) IS
'Allow VPC endpoints to connect to the private endpoint of a service. Others keep their access.
vpc_endpoints: an array of ids, ["vpce-0123456789abcdef0"], or of objects as the API takes them.
  An object replaces the entry that has its id.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 2, 1 more for a name.
Errors: 42704 the service has no private endpoint; 55000 the API does not show the VPC
  endpoints, which a change must repeat; 08007 unknown whether it was carried out; 25006 in a
  read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_allow_vpc_endpoints(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_set_vpc_endpoints(
	service text,
	vpc_endpoints jsonb DEFAULT NULL,
	supported_regions text[] DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS @extschema@.chpg_private_endpoint_row
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_set_vpc_endpoints';

COMMENT ON FUNCTION @extschema@.chpg_set_vpc_endpoints(text, jsonb, text[], text) IS
'Replace the VPC endpoints, or regions, that may connect to the private endpoint of a service.
vpc_endpoints: an array of ids or objects, as for chpg_allow_vpc_endpoints; others lose access,
  and [] removes all. Null keeps them.
supported_regions: AWS regions besides the service''s own. Null keeps them.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1, 1 more if vpc_endpoints has ids, 1 more for a name.
Errors: 42704 the service has no private endpoint; 08007 unknown whether it was carried out;
  25006 in a read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_set_vpc_endpoints(text, jsonb, text[], text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_delete_private_endpoint(
	service text,
	server text DEFAULT NULL)
RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_delete_private_endpoint';

COMMENT ON FUNCTION @extschema@.chpg_delete_private_endpoint(text, text) IS
'Delete the private endpoint of a service; its connections end. Returns the request id.
Acts at once; a rollback does not undo it. chpg.dry_run shows the change in a NOTICE instead.
Requests: 1, 1 more for a name.
Errors: 42704 the service has none; 08007 unknown whether it was carried out; 25006 in a
  read-only transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_delete_private_endpoint(text, text) FROM PUBLIC;
