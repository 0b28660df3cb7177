/*
 * Reading: organizations and services.
 *
 * C looks attributes up by their names: postgres_version is the API's postgresVersion.
 * The attributes listed here are the columns that functions return.
 */

CREATE TYPE @extschema@.chpg_organization_row AS (
	id text,
	name text,
	created_at timestamptz
);

COMMENT ON TYPE @extschema@.chpg_organization_row IS 'An organization of ClickHouse Cloud.';
COMMENT ON COLUMN @extschema@.chpg_organization_row.id IS 'Id of the organization.';
COMMENT ON COLUMN @extschema@.chpg_organization_row.name IS 'Name of the organization.';
COMMENT ON COLUMN @extschema@.chpg_organization_row.created_at IS 'When the organization was created.';

CREATE FUNCTION @extschema@.chpg_organizations(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_organization_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_organizations';

COMMENT ON FUNCTION @extschema@.chpg_organizations(text) IS
'The organization of the caller''s API key.
Requests: 1.';

CREATE TYPE @extschema@.chpg_service_row AS (
	id text,
	name text,
	state text,
	provider text,
	region text,
	postgres_version text,
	size text,
	storage_size bigint,
	ha_type text,
	is_primary boolean,
	tags jsonb,
	created_at timestamptz
);

COMMENT ON TYPE @extschema@.chpg_service_row IS 'A Managed Postgres service, as the list of services shows it.';
COMMENT ON COLUMN @extschema@.chpg_service_row.id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_service_row.name IS 'Name of the service.';
COMMENT ON COLUMN @extschema@.chpg_service_row.state IS
'What the service is doing, such as running, creating, restarting, stopped, deleting.';
COMMENT ON COLUMN @extschema@.chpg_service_row.provider IS 'Cloud provider, such as aws.';
COMMENT ON COLUMN @extschema@.chpg_service_row.region IS 'Region of the provider.';
COMMENT ON COLUMN @extschema@.chpg_service_row.postgres_version IS 'Major version of PostgreSQL.';
COMMENT ON COLUMN @extschema@.chpg_service_row.size IS 'Size of the virtual machine.';
COMMENT ON COLUMN @extschema@.chpg_service_row.storage_size IS
'Size of the storage in GiB; null where the response omits it.';
COMMENT ON COLUMN @extschema@.chpg_service_row.ha_type IS 'Standbys for high availability: none, async or sync.';
COMMENT ON COLUMN @extschema@.chpg_service_row.is_primary IS 'False for a read replica.';
COMMENT ON COLUMN @extschema@.chpg_service_row.tags IS 'Tags as one object: tags->>''team''.';
COMMENT ON COLUMN @extschema@.chpg_service_row.created_at IS 'When the service was created.';

CREATE FUNCTION @extschema@.chpg_services(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_service_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 20
AS 'MODULE_PATHNAME', 'chpg_services';

COMMENT ON FUNCTION @extschema@.chpg_services(text) IS
'The organization''s services, in any state.
Requests: 1.';

CREATE VIEW @extschema@.chpg_services AS
	SELECT * FROM @extschema@.chpg_services(NULL::text);

COMMENT ON VIEW @extschema@.chpg_services IS
'The organization''s services: chpg_services() with the caller''s key.
Requests: 1.';
GRANT SELECT ON @extschema@.chpg_services TO PUBLIC;

CREATE TYPE @extschema@.chpg_service_detail_row AS (
	id text,
	name text,
	state text,
	provider text,
	region text,
	postgres_version text,
	size text,
	storage_size bigint,
	ha_type text,
	is_primary boolean,
	tags jsonb,
	created_at timestamptz,
	hostname text,
	username text,
	password text,
	connection_string text,
	earliest_restore_time timestamptz
);

COMMENT ON TYPE @extschema@.chpg_service_detail_row IS
'A Managed Postgres service with what is needed to connect to it.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.name IS 'Name of the service.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.state IS
'What the service is doing, such as running, creating, restarting, stopped, deleting.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.provider IS 'Cloud provider, such as aws.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.region IS 'Region of the provider.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.postgres_version IS 'Major version of PostgreSQL.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.size IS 'Size of the virtual machine.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.storage_size IS
'Size of the storage in GiB; null where the response omits it.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.ha_type IS
'Standbys for high availability: none, async or sync.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.is_primary IS 'False for a read replica.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.tags IS 'Tags as one object: tags->>''team''.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.created_at IS 'When the service was created.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.hostname IS 'Host name to connect to.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.username IS 'Name of the superuser.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.password IS
'Password of the superuser; null unless the response has it, as the one to chpg_create_service does.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.connection_string IS
'URI with user name and password; null where password is null.';
COMMENT ON COLUMN @extschema@.chpg_service_detail_row.earliest_restore_time IS
'Earliest time to which the service can be restored; null where the response omits it, as before the first backup.';

CREATE FUNCTION @extschema@.chpg_service(
	service text,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_service_detail_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_service';

COMMENT ON FUNCTION @extschema@.chpg_service(text, text) IS
'One service, by id or name, with its host name.
Requests: 1, 1 more for a name.
Errors: 42704 no such service; 42712 several services have that name.';
