/*
 * History: limits and settings of services, a row for each service and day (UTC).
 *
 * Size and version come with the list of services, and a size's name says how many cores and
 * how much memory it has.  Settings are read from the API once a day.
 */

CREATE FUNCTION @extschema@._chpg_machine_of(size text, OUT cpu_cores integer, OUT memory_bytes bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT n.cores, n.cores * n.gib_per_core * 1073741824
	FROM (
		SELECT CASE
				WHEN size ~ '^[a-z][a-z0-9-]*\.(medium|large|xlarge|[0-9]{1,3}xlarge)$' THEN
					CASE split_part(size, '.', 2) WHEN 'medium' THEN 1 WHEN 'large' THEN 2 WHEN 'xlarge' THEN 4
						ELSE 4 * substring(size FROM '\.([0-9]+)xlarge$')::integer END
				WHEN size ~ '-(standard|highmem|highcpu)-[0-9]{1,3}(-|$)' THEN
					substring(size FROM '-(?:standard|highmem|highcpu)-([0-9]+)')::integer END AS cores,
			CASE WHEN size ~ '^c[0-9][a-z0-9-]*\.' OR size ~ '-highcpu-' THEN 2
				WHEN size ~ '^m[0-9][a-z0-9-]*\.' OR size ~ '-standard-' THEN 4
				WHEN size ~ '^[ri][0-9][a-z0-9-]*\.' OR size ~ '-highmem-' THEN 8 END::bigint AS gib_per_core
	) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_machine_of(text) IS
'Cores and memory of a size of AWS or Google Cloud, by its name; null if it is unknown.';

CREATE FUNCTION @extschema@._chpg_note_limits(listed @extschema@.chpg_service_row[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO limit_day AS l (service_key, day, noted_at, size, postgres_version, cpu_cores, memory_bytes,
		storage_bytes)
	SELECT @extschema@._chpg_service_key(p.id), date_trunc('day', now(), 'UTC'), now(), p.size, p.postgres_version,
		m.cpu_cores, m.memory_bytes,
		CASE WHEN p.storage_size BETWEEN 1 AND 1000000 THEN p.storage_size * 1073741824 END
	FROM (SELECT DISTINCT ON (s.id) s.* FROM unnest(listed) s
		WHERE s.id IS NOT NULL AND coalesce(s.state, '') NOT IN ('creating', 'deleting') ORDER BY s.id) p
	CROSS JOIN LATERAL @extschema@._chpg_machine_of(p.size) m
	ON CONFLICT ON CONSTRAINT limit_day_pkey DO UPDATE
	SET (size, postgres_version, cpu_cores, memory_bytes, storage_bytes) = ROW(excluded.size,
		excluded.postgres_version, excluded.cpu_cores, excluded.memory_bytes,
		coalesce(excluded.storage_bytes, l.storage_bytes))
	WHERE (l.size, l.postgres_version, l.storage_bytes) IS DISTINCT FROM
		(excluded.size, excluded.postgres_version, coalesce(excluded.storage_bytes, l.storage_bytes));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_limits(@extschema@.chpg_service_row[]) IS
'Note the limits of services today, as the list of services shows them.
A row is written once a day, and when one of them has changed.';

/* A little less than a day, so that runs of captures at the same minute of each hour suffice. */
CREATE FUNCTION @extschema@._chpg_settings_are_due(service_id text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN has_table_privilege('limit_day', 'SELECT') AND NOT EXISTS (
		SELECT FROM limit_day l
		JOIN service_key k ON k.service_key = l.service_key
		WHERE k.service_id = _chpg_settings_are_due.service_id AND l.day > now() - interval '3 days'
			AND l.settings_at > now() - interval '23 hours 30 minutes');
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_settings_are_due(text) IS
'Whether the settings of a service are to be read again: once a day.';

/* Settings are remote data, and are kept for long: most of them, if they are short. */
CREATE FUNCTION @extschema@._chpg_note_settings(id text, listed @extschema@.chpg_config_row[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known jsonb;
	connections integer;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF listed IS NOT NULL THEN
		known := (
			SELECT coalesce(jsonb_object_agg(c.setting, c.value ORDER BY c.setting), '{}')
			FROM (
				-- what may contain a password is kept without its value
				SELECT DISTINCT ON (1) f.component || '.' || f.name AS setting,
					CASE WHEN f.name !~* 'passw|secret|token|key|conninfo|command' THEN left(f.value, 200) END AS value
				FROM unnest(listed) f
				WHERE f.component IS NOT NULL AND f.name IS NOT NULL AND length(f.name) <= 100
				ORDER BY 1
				LIMIT 500
			) c);
		connections := (SELECT min(f.value::integer) FROM unnest(listed) f
			WHERE f.component = 'postgres' AND f.name = 'max_connections' AND f.value ~ '^[0-9]{1,8}$');
	END IF;
	INSERT INTO limit_day AS l (service_key, day, noted_at, settings_at, settings, max_connections)
	VALUES (@extschema@._chpg_service_key(id), date_trunc('day', now(), 'UTC'), now(), now(), known, connections)
	ON CONFLICT ON CONSTRAINT limit_day_pkey DO UPDATE
	SET (settings_at, settings, max_connections) = ROW(excluded.settings_at,
		coalesce(excluded.settings, l.settings), coalesce(excluded.max_connections, l.max_connections));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_settings(text, @extschema@.chpg_config_row[]) IS
'Note the settings of a service; null: they could not be read, and are not read again for a day.';

CREATE FUNCTION @extschema@._chpg_settings_of(service_id text, server text)
RETURNS @extschema@.chpg_config_row[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN ARRAY(SELECT c FROM @extschema@.chpg_config(service_id, server) c);
EXCEPTION WHEN OTHERS THEN
	RETURN NULL;	-- a key may read patterns, and no settings
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_settings_of(text, text) IS
'The settings of a service, by id; null if they cannot be read.
Requests: 1.';

/* What a response omitted, or could not be read, was noted on an earlier day. */
CREATE FUNCTION @extschema@._chpg_limits(service_ids text[], at timestamptz)
RETURNS TABLE (service_id text, cpu_cores double precision, memory_bytes bigint, storage_bytes bigint,
	max_connections integer)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF cardinality(service_ids) = 0 THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	IF NOT has_table_privilege('limit_day', 'SELECT') THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT k.service_id, n.cpu_cores::float8, n.memory_bytes, n.storage_bytes, n.max_connections
	FROM service_key k
	CROSS JOIN LATERAL (
		SELECT (array_agg(l.cpu_cores ORDER BY l.day DESC) FILTER (WHERE l.cpu_cores > 0))[1] AS cpu_cores,
			(array_agg(l.memory_bytes ORDER BY l.day DESC) FILTER (WHERE l.memory_bytes > 0))[1] AS memory_bytes,
			(array_agg(l.storage_bytes ORDER BY l.day DESC) FILTER (WHERE l.storage_bytes > 0))[1] AS storage_bytes,
			(array_agg(l.max_connections ORDER BY l.day DESC)
				FILTER (WHERE l.settings IS NOT NULL OR l.max_connections IS NOT NULL))[1] AS max_connections
		FROM limit_day l
		WHERE l.service_key = k.service_key AND l.day <= at AND l.day > at - interval '35 days'
	) n
	WHERE k.service_id = ANY (service_ids);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_limits(text[], timestamptz) IS
'Limits of services as they were at a time, or on the last day before that has them.
max_connections is null where it was not set; without the right to read limit_day, no rows.
Requests: none.
Errors: 55000 there is no history.';
