/*
 * Monitoring: the fleet, for people who read it in psql.
 *
 * A row is at most 120 columns wide.  Values are text: chpg_health has the exact ones.
 */

CREATE TYPE @extschema@.chpg_fleet_row AS (
	service text,
	state text,
	version text,
	cores text,
	connections text,
	memory text,
	storage text,
	data text,
	hits text
);

COMMENT ON TYPE @extschema@.chpg_fleet_row IS 'How a service is, in short: texts for people.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.service IS 'Name of the service, cut at 18 characters.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.state IS 'What the service is doing, such as running.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.version IS 'Version of PostgreSQL.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.cores IS 'CPU cores of the machine.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.connections IS
'Connections that run a statement, of all, such as 2 of 43.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.memory IS
'Memory in use, and how much there is, such as 61 % of 32 GB.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.storage IS
'Storage in use, and how much there is, such as 57 % of 118 GB.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.data IS 'Size of all databases, such as 61 GB.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.hits IS 'Share of blocks found in the buffer cache, such as 99.6 %.';

/* The list knows services that have no metrics. */
CREATE FUNCTION @extschema@.chpg_fleet(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_fleet_row
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20
BEGIN ATOMIC
	SELECT @extschema@._chpg_line_text(coalesce(s.name, h.service_name, h.service_id), 18),
		@extschema@._chpg_line_text(coalesce(s.state, h.status), 10),
		@extschema@._chpg_line_text(coalesce(h.version, s.postgres_version), 7),
		lpad(to_char(h.cpu_cores, 'FM9990'), 5),
		lpad(h.active_connections || ' of ' || h.active_connections + h.idle_connections, 11),
		lpad(to_char(h.memory_used_percent, 'FM990') || ' %'
			|| coalesce(' of ' || @extschema@._chpg_bytes_text(h.memory_limit_bytes::double precision), ''), 14),
		lpad(to_char(h.storage_used_percent, 'FM990') || ' %'
			|| coalesce(' of ' || @extschema@._chpg_bytes_text(h.storage_limit_bytes::double precision), ''), 14),
		lpad(@extschema@._chpg_bytes_text(h.database_bytes::double precision), 7),
		lpad(to_char(100 * h.cache_hit_ratio, 'FM990.0') || ' %', 7)
	FROM @extschema@.chpg_services(chpg_fleet.server) s
	FULL JOIN @extschema@.chpg_health(chpg_fleet.server) h ON h.service_id = s.id
	ORDER BY greatest(h.storage_used_percent, h.memory_used_percent) DESC NULLS FIRST, s.name, s.id;
END;

COMMENT ON FUNCTION @extschema@.chpg_fleet(text) IS
'The services, with load, memory and storage, as texts for people.
Services without metrics first, then those with most of their storage or memory in use. At most
120 columns wide in psql; chpg_health has exact values.
Requests: 1 for the list of services, and those of chpg_health.
Errors: those of chpg_health.';

CREATE VIEW @extschema@.chpg_fleet AS
	SELECT * FROM @extschema@.chpg_fleet(NULL::text);

COMMENT ON VIEW @extschema@.chpg_fleet IS
'The services, with load, memory and storage: chpg_fleet() with the caller''s key.
Requests: 2; more where the organization''s metrics are not enabled, as chpg_health().';
GRANT SELECT ON @extschema@.chpg_fleet TO PUBLIC;
