/*
 * Monitoring: the fleet, for people who read it in psql.
 *
 * A row is at most 120 columns wide.  Values are text: chpg_health has the exact ones.
 */

CREATE TYPE @extschema@.chpg_fleet_row AS (
	service text,
	state text,
	size text,
	load text,
	storage text,
	memory text,
	connections text,
	errors text,
	incidents text
);

COMMENT ON TYPE @extschema@.chpg_fleet_row IS 'How a service is, in short: texts for people.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.service IS 'Name of the service, cut at 16 characters.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.state IS 'What the service is doing, such as running.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.size IS 'Size of the virtual machine.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.load IS
'Connections that run a statement now, and CPU cores, such as 2 of 16, or 1200/64.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.storage IS
'Storage in use, and how much there is, such as 57 % of 118 GB.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.memory IS 'Memory in use, such as 61 %.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.connections IS 'Connections, idle ones too.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.errors IS
'Transactions rolled back since the service''s start, of all, such as 0.4 %.';
COMMENT ON COLUMN @extschema@.chpg_fleet_row.incidents IS
'Open incidents of the history''s log of findings, without muted ones; null without a log, or before its first watch.';

CREATE FUNCTION @extschema@._chpg_open_incidents()
RETURNS TABLE (service_id text, incidents bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF @extschema@._chpg_log_is_readable() THEN
		PERFORM @extschema@._chpg_history_enter();
		-- before the first watch, no incident is no sign of health
		IF has_table_privilege(to_regclass('watch_state'), 'SELECT') THEN
			IF NOT EXISTS (SELECT FROM watch_state) THEN
				RETURN;
			END IF;
		END IF;
		RETURN QUERY
		SELECT k.service_id, count(DISTINCT l.incident_id) FILTER (WHERE NOT l.muted)
		FROM service_key k
		LEFT JOIN finding_log l ON l.service_id = k.service_id AND l.resolved_at IS NULL
			AND l.incident_id IS NOT NULL
		GROUP BY k.service_id;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_open_incidents() IS
'The number of open incidents of each service that the history knows.
No rows without a log, or before its first watch.
Requests: none.';

/* The list knows services that have no metrics. */
CREATE FUNCTION @extschema@.chpg_fleet(server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_fleet_row
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20
BEGIN ATOMIC
	SELECT @extschema@._chpg_line_text(coalesce(s.name, h.service_name, h.service_id), 16),
		@extschema@._chpg_line_text(coalesce(s.state, h.status), 9),
		@extschema@._chpg_line_text(s.size, 13),
		lpad(CASE WHEN length(t.load) <= 9 THEN t.load ELSE replace(t.load, ' of ', '/') END, 9),
		lpad(CASE WHEN length(t.storage) <= 14 THEN t.storage ELSE replace(t.storage, ' %', '%') END, 14),
		lpad(to_char(h.memory_used_percent, 'FM990') || ' %', 6),
		lpad((h.active_connections + h.idle_connections)::text, 11),
		lpad(to_char(100.0 * h.rollbacks / nullif(h.commits::double precision + h.rollbacks, 0), 'FM990.0') || ' %', 7),
		lpad(i.incidents::text, 9)
	FROM @extschema@.chpg_services(chpg_fleet.server) s
	FULL JOIN @extschema@.chpg_health(chpg_fleet.server) h ON h.service_id = s.id
	CROSS JOIN LATERAL (SELECT h.active_connections || coalesce(' of ' || to_char(h.cpu_cores, 'FM9990'), '') AS load,
		to_char(h.storage_used_percent, 'FM990') || ' %'
			|| coalesce(' of ' || @extschema@._chpg_bytes_text(h.storage_limit_bytes::double precision), '') AS storage) t
	LEFT JOIN @extschema@._chpg_open_incidents() i ON i.service_id = coalesce(s.id, h.service_id)
	ORDER BY i.incidents DESC NULLS LAST, greatest(h.storage_used_percent, h.memory_used_percent) DESC NULLS FIRST,
		s.name, s.id;
END;

COMMENT ON FUNCTION @extschema@.chpg_fleet(text) IS
'The services, with size, load, storage, memory and open incidents, as texts for people.
Services with the most incidents first, then those without metrics, then those with most of
their storage or memory in use. At most 120 columns wide in psql; chpg_health has exact values.
Requests: 1 for the list of services, and those of chpg_health.
Errors: those of chpg_health.';

CREATE VIEW @extschema@.chpg_fleet AS
	SELECT * FROM @extschema@.chpg_fleet(NULL::text);

COMMENT ON VIEW @extschema@.chpg_fleet IS
'The services, with size, load, storage, memory and open incidents: chpg_fleet() with the
caller''s key.
Requests: 2; more where the organization''s metrics are not enabled, as chpg_health().';
GRANT SELECT ON @extschema@.chpg_fleet TO PUBLIC;
