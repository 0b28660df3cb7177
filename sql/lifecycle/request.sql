/* Any request that no other function sends. */

CREATE TYPE @extschema@.chpg_response_row AS (
	status integer,
	request_id text,
	result jsonb
);

COMMENT ON TYPE @extschema@.chpg_response_row IS 'What the API answered.';
COMMENT ON COLUMN @extschema@.chpg_response_row.status IS 'HTTP status.';
COMMENT ON COLUMN @extschema@.chpg_response_row.request_id IS 'Id of the request, for ClickHouse''s support.';
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
'Send any request that the API answers in JSON.
path: begins with /v1/; {organization_id} in it stands for the server''s. query: an object of
  texts.
Anything but GET acts at once: a rollback does not undo it. With chpg.dry_run, a NOTICE shows
  it.
Requests: 1.
Errors: other than GET, 08007 unknown whether it was carried out; 25006 in a read-only
  transaction.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_request(text, text, jsonb, jsonb, text) FROM PUBLIC;
