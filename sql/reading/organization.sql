/* Reading: what the organization's key is and may use. */

CREATE TYPE @extschema@.chpg_whoami_row AS (
	actor_type text,
	key_id text,
	name text,
	organization_id text,
	user_id text,
	email text,
	organizations jsonb,
	raw jsonb
);

COMMENT ON TYPE @extschema@.chpg_whoami_row IS 'What the API takes the caller of a request for.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.actor_type IS
'apiKey for a key, user for a token of a user; the API may add others.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.key_id IS 'Public half of the key; null unless it is a key.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.name IS 'Name of the key or of the user.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.organization_id IS
'Id of the key''s organization; null unless it is a key.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.user_id IS 'Id of the user; null unless it is a user.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.email IS 'Address of the user; null unless it is a user.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.organizations IS
'A list with organizationId and organizationName of each of the user''s organizations; null unless it is a user.';
COMMENT ON COLUMN @extschema@.chpg_whoami_row.raw IS 'All that the API returns, in its own words.';

CREATE FUNCTION @extschema@.chpg_whoami(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_whoami_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_whoami';

COMMENT ON FUNCTION @extschema@.chpg_whoami(text) IS
'What the API takes the caller''s key for: its id, name and organization.
The request needs no permission. The name of the organization is in chpg_organizations().
Requests: 1.
Errors: 28000 the API did not accept the key; 42704 this deployment of the API has no whoami.';

CREATE TYPE @extschema@.chpg_quota_row AS (
	quota_code text,
	name text,
	description text,
	scope text,
	value bigint,
	usage bigint,
	adjustable boolean
);

COMMENT ON TYPE @extschema@.chpg_quota_row IS 'A quota of the organization.';
COMMENT ON COLUMN @extschema@.chpg_quota_row.quota_code IS
'The quota, such as postgres-services-per-organization.';
COMMENT ON COLUMN @extschema@.chpg_quota_row.name IS 'Name for people.';
COMMENT ON COLUMN @extschema@.chpg_quota_row.description IS 'What the quota limits.';
COMMENT ON COLUMN @extschema@.chpg_quota_row.scope IS 'What it holds for: organization or warehouse.';
COMMENT ON COLUMN @extschema@.chpg_quota_row.value IS 'The limit.';
COMMENT ON COLUMN @extschema@.chpg_quota_row.usage IS
'How much is in use, which may exceed value; null where the API does not count it.';
COMMENT ON COLUMN @extschema@.chpg_quota_row.adjustable IS 'Can the quota be raised on request?';

CREATE FUNCTION @extschema@.chpg_quotas(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_quota_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 5
AS 'MODULE_PATHNAME', 'chpg_quotas';

COMMENT ON FUNCTION @extschema@.chpg_quotas(text) IS
'The quotas of the organization, with what is in use.
Requests: 1.
Errors: 42501 the key lacks control-plane:organization:view.';
