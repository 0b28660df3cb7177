/* History: the services, and their names, sizes and tags over time. */

CREATE FUNCTION @extschema@._chpg_note_services(listed @extschema@.chpg_service_row[], asked text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed integer;
	present @extschema@.chpg_service_row[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	-- a bad entry does not lose the others
	present := ARRAY(SELECT DISTINCT ON (p.id) p FROM unnest(listed) p
		WHERE p.id IS NOT NULL AND coalesce(p.state, '') NOT IN ('creating', 'deleting') ORDER BY p.id);
	-- a foreign server may be created again under another name, and two may list the same services
	UPDATE service s SET server = asked
	WHERE s.server <> asked AND (s.service_id IN (SELECT p.id FROM unnest(present) p)
		OR NOT EXISTS (SELECT FROM pg_foreign_server f WHERE f.srvname = s.server));
	UPDATE service s SET valid_to = now()
	WHERE s.valid_to = 'infinity' AND s.server = asked AND NOT EXISTS (
		SELECT FROM unnest(present) p WHERE (p.id, p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags)
			IS NOT DISTINCT FROM (s.service_id, s.service_name, s.region, s.size, s.ha_type, s.postgres_version,
				s.tags));
	-- a service that a list omitted leaves no gap, unless it was missing for a day
	UPDATE service s SET valid_to = 'infinity'
	FROM unnest(present) p
	WHERE s.service_id = p.id AND s.valid_to > now() - interval '1 day'
		AND NOT EXISTS (SELECT FROM service n WHERE n.service_id = s.service_id
			AND (n.valid_to, n.valid_from) > (s.valid_to, s.valid_from))
		AND (p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags)
			IS NOT DISTINCT FROM (s.service_name, s.region, s.size, s.ha_type, s.postgres_version, s.tags)
		AND s.valid_to < 'infinity';
	INSERT INTO service (service_id, valid_from, noted_at, service_name, region, size, ha_type, postgres_version,
		tags, server)
	SELECT p.id, coalesce((SELECT CASE WHEN max(s.valid_to) > now() - interval '1 day' THEN max(s.valid_to)
				WHEN count(*) > 0 THEN now() END FROM service s WHERE s.service_id = p.id), '-infinity'),
		now(), p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags, asked
	FROM unnest(present) p
	WHERE NOT EXISTS (SELECT FROM service s WHERE s.service_id = p.id AND s.valid_to = 'infinity');
	GET DIAGNOSTICS changed = ROW_COUNT;
	PERFORM @extschema@._chpg_note_limits(listed);
	RETURN changed;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_services(@extschema@.chpg_service_row[], text) IS
'Note the services of a server as its list shows them.
Returns the number of services that are new or have changed.';

CREATE FUNCTION @extschema@._chpg_capture_services(server text, OUT changed integer, OUT down jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	owner oid := @extschema@._chpg_history_owner();
	listed @extschema@.chpg_service_row[];
BEGIN
	-- a history that cannot be used costs no request
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_history_lock())'::text, ROW());
	listed := ARRAY(SELECT p FROM @extschema@.chpg_services(server) p);
	IF EXISTS (SELECT FROM unnest(listed) p WHERE p.id IS NULL) THEN
		RAISE WARNING 'a service without an id is not captured';
	END IF;
	-- messages show them
	down := (SELECT coalesce(jsonb_object_agg(p.id, left(regexp_replace(p.state, '[^ -~]+', ' ', 'g'), 50)), '{}')
		FROM unnest(listed) p
		WHERE p.id IS NOT NULL AND p.state <> 'running');
	changed := @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_services($1, $2))'::text,
		ROW(listed, @extschema@._chpg_own_server(server)))::integer;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_services(text) IS
'Read and note the services of a server, and return how many are new or have changed.
down: the states of those that are not running, by id; fit for messages.
A WARNING says that a service without an id is left out.
Requests: 1.';
