/* Reading: what the organization's key is and may use, and what it was notified of. */

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

COMMENT ON TYPE @extschema@.chpg_whoami_row IS 'The identity that the API sees behind a key.';
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
COMMENT ON COLUMN @extschema@.chpg_whoami_row.raw IS 'The whole object as the API returns it.';

CREATE FUNCTION @extschema@.chpg_whoami(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_whoami_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_whoami';

COMMENT ON FUNCTION @extschema@.chpg_whoami(text) IS
'The identity of the key, as the API sees it: id, name and organization.
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

CREATE TYPE @extschema@.chpg_notification_row AS (
	id text,
	type text,
	severity text,
	category text,
	title text,
	message text,
	resource_type text,
	resource_id text,
	resource_name text,
	created_at timestamptz,
	read_at timestamptz,
	raw jsonb
);

COMMENT ON TYPE @extschema@.chpg_notification_row IS
'A notification of the organization; what the response omits is null.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.id IS 'Id of the notification.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.type IS 'Its type, a name of chpg_notification_types().';
COMMENT ON COLUMN @extschema@.chpg_notification_row.severity IS 'info, warning or critical.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.category IS 'What it belongs to, such as billing or postgres.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.title IS 'Title.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.message IS 'The text.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.resource_type IS
'What kind of thing it concerns, such as service or postgres.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.resource_id IS 'Id of that thing, such as of a service.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.resource_name IS 'Name of that thing.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.created_at IS
'When it was issued; null where that cannot be read as a time.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.read_at IS 'When somebody read it; null if nobody has.';
COMMENT ON COLUMN @extschema@.chpg_notification_row.raw IS 'The whole object as the API returns it.';

CREATE FUNCTION @extschema@.chpg_notifications(
	severity text DEFAULT NULL,
	type text DEFAULT NULL,
	since timestamptz DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_notification_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 100
AS 'MODULE_PATHNAME', 'chpg_notifications';

COMMENT ON FUNCTION @extschema@.chpg_notifications(text, text, timestamptz, bigint, text) IS
'The organization''s notifications of the last 180 days, the newest first.
The API documents no field of a notification: raw has the whole object.
severity: info, warning or critical. type: as the API writes it. since: the earliest created_at.
Requests: 1 for each 250 notifications.
Errors: 22023 another severity; 42704 this deployment of the API has no notifications.';

CREATE TYPE @extschema@.chpg_notification_type_row AS (
	name text,
	title text,
	description text,
	category text,
	severity text,
	resource_type text,
	is_configurable boolean,
	is_available boolean
);

COMMENT ON TYPE @extschema@.chpg_notification_type_row IS 'A type of notifications that the organization can get.';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.name IS 'Stable name, such as service_backup_failed.';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.title IS 'Title.';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.description IS 'What it reports.';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.category IS
'billing, service, clickpipe or postgres; the API may add others.';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.severity IS 'info, warning or critical.';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.resource_type IS 'What kind of thing it concerns.';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.is_configurable IS 'Can members choose whether they get it?';
COMMENT ON COLUMN @extschema@.chpg_notification_type_row.is_available IS 'Can it be issued now?';

CREATE FUNCTION @extschema@.chpg_notification_types(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_notification_type_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 50
AS 'MODULE_PATHNAME', 'chpg_notification_types';

COMMENT ON FUNCTION @extschema@.chpg_notification_types(text) IS
'The types of notifications that the organization can get.
Requests: 1.
Errors: 42501 the key lacks control-plane:organization:view; 42704 the API has no notifications.';
