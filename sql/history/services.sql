/* History: which services there are, and what they were. */

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
	-- one bad entry is no reason to lose the others
	present := ARRAY(SELECT DISTINCT ON (p.id) p FROM unnest(listed) p
		WHERE p.id IS NOT NULL AND coalesce(p.state, '') NOT IN ('creating', 'deleting') ORDER BY p.id);
	-- a server may be made anew under another name, and two may have the same services
	UPDATE service s SET server = asked
	WHERE s.server <> asked AND (s.service_id IN (SELECT p.id FROM unnest(present) p)
		OR NOT EXISTS (SELECT FROM pg_foreign_server f WHERE f.srvname = s.server));
	UPDATE service s SET valid_to = now()
	WHERE s.valid_to = 'infinity' AND s.server = asked AND NOT EXISTS (
		SELECT FROM unnest(present) p WHERE (p.id, p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags)
			IS NOT DISTINCT FROM (s.service_id, s.name, s.region, s.size, s.ha_type, s.postgres_version, s.tags));
	-- a list that lacked it leaves no gap, unless it was away for a day
	UPDATE service s SET valid_to = 'infinity'
	FROM unnest(present) p
	WHERE s.service_id = p.id AND s.valid_to > now() - interval '1 day'
		AND NOT EXISTS (SELECT FROM service n WHERE n.service_id = s.service_id AND (n.valid_to, n.valid_from) > (s.valid_to, s.valid_from))
		AND (p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags)
			IS NOT DISTINCT FROM (s.name, s.region, s.size, s.ha_type, s.postgres_version, s.tags)
		AND s.valid_to < 'infinity';
	INSERT INTO service (service_id, valid_from, noted_at, name, region, size, ha_type, postgres_version, tags, server)
	SELECT p.id, coalesce((SELECT CASE WHEN max(s.valid_to) > now() - interval '1 day' THEN max(s.valid_to)
				WHEN count(*) > 0 THEN now() END FROM service s WHERE s.service_id = p.id), '-infinity'),
		now(), p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags, asked
	FROM unnest(present) p
	WHERE NOT EXISTS (SELECT FROM service s WHERE s.service_id = p.id AND s.valid_to = 'infinity');
	GET DIAGNOSTICS changed = ROW_COUNT;
	RETURN changed;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_services(@extschema@.chpg_service_row[], text) IS
'Notes what the services of a server are, as it has listed them; returns how many are new or have changed. For _chpg_capture_services.';

CREATE FUNCTION @extschema@._chpg_capture_services(server text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	owner oid := @extschema@._chpg_history_owner();
	listed @extschema@.chpg_service_row[];
BEGIN
	-- what is wrong with the history is told before anything is asked
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_history_lock())'::text);
	listed := ARRAY(SELECT p FROM @extschema@.chpg_services(server) p);
	IF EXISTS (SELECT FROM unnest(listed) p WHERE p.id IS NULL) THEN
		RAISE WARNING 'a service without an id is not captured';
	END IF;
	RETURN @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_services($1, $2))'::text,
		ROW(listed, @extschema@._chpg_history_server(server)))::integer;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_services(text) IS
'Notes what the services of a server are now, and warns of those without an id; returns how many are new or have changed. 1 request. For chpg_capture.';
