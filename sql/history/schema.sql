/*
 * History: the schema that has it, and whether it is safe to use.
 *
 * The history's tables and views are ordinary ones in a schema of the user's choice, not
 * members of the extension, so that pg_dump keeps them with their rows.
 */

CREATE TABLE @extschema@.chpg_history_place (
	schema_name name PRIMARY KEY,
	owner name
);

CREATE UNIQUE INDEX ON @extschema@.chpg_history_place ((true));

COMMENT ON TABLE @extschema@.chpg_history_place IS 'The schema that has the history, if there is one: see chpg_history_enable.';
COMMENT ON COLUMN @extschema@.chpg_history_place.schema_name IS 'Name of the schema.';
COMMENT ON COLUMN @extschema@.chpg_history_place.owner IS 'Role that the history was begun for, where it is not that of who began it.';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.chpg_history_place', '');
GRANT SELECT ON @extschema@.chpg_history_place TO PUBLIC;

/* Who has TRIGGER on it, such as by GRANT ALL ON ALL TABLES, runs nothing of theirs as who begins a history. */
CREATE FUNCTION @extschema@._chpg_history_lock_place()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	LOCK TABLE @extschema@.chpg_history_place IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_history_place'::regclass);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_lock_place() IS 'Lets nobody make a trigger of the table that names the history until the transaction ends; error 55000 if there is one. For those that change it.';

CREATE FUNCTION @extschema@._chpg_history_is_in(schema name)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT bool_and(to_regclass(format('%I.%I', schema, t)) IS NOT NULL)
	FROM unnest('{setting,service,query_text,pattern_key,capture,pattern,metric_point}'::text[]) t
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_is_in(name) IS 'Whether a schema, which the caller may use, has the tables of a history.';

/* What others make in a schema may be run by who uses it. */
CREATE FUNCTION @extschema@._chpg_history_is_open(schema name)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
		WHERE n.nspname = schema AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner)
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_is_open(name) IS 'Whether others than its owner may create objects in a schema.';

/* Whoever may be the extension's owner is trusted, and so is the owner of the schema, which is looked at before. */
CREATE FUNCTION @extschema@._chpg_history_foreign(schema name)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%s of "%s"', pg_describe_object(o.catalog, o.object, 0), pg_get_userbyid(o.owner))
	FROM pg_namespace n
	JOIN pg_extension e ON e.extname = 'chpg'
	CROSS JOIN LATERAL @extschema@._chpg_schema_objects(n.oid) o
	WHERE n.nspname = schema AND o.owner <> n.nspowner AND NOT pg_has_role(o.owner, e.extowner, 'MEMBER')
	ORDER BY o.catalog, o.object LIMIT 1
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_foreign(name) IS 'A table, function, operator or whatever else in a schema of a role that is neither its owner nor the extension''s, nor a superuser; null if there is none.';

/*
 * The owner of a schema decides what runs in it, and another role may have taken the
 * name of one that was dropped.  A role that the history was begun for decides for
 * itself only: for whoever else it might plant code that runs with their rights.  A
 * session that has become that role (SET ROLE) may return to its own, and so may that
 * code.
 */
CREATE FUNCTION @extschema@._chpg_history_state()
RETURNS TABLE (schema_name name, state text, remedy text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT h.schema_name, CASE
		WHEN n.oid IS NULL THEN 'does not exist'
		WHEN NOT pg_has_role(n.nspowner, e.extowner, 'MEMBER') AND (pg_get_userbyid(n.nspowner) = h.owner) IS NOT TRUE THEN
			format('belongs to "%s"', pg_get_userbyid(n.nspowner))
		WHEN NOT pg_has_role(n.nspowner, current_user, 'MEMBER') OR NOT pg_has_role(n.nspowner, session_user, 'MEMBER') THEN
			format('belongs to "%s", whose code would run with your rights', h.owner)
		WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN 'is not open to you'
		WHEN @extschema@._chpg_history_is_open(h.schema_name) THEN 'may be written to by others'
		WHEN @extschema@._chpg_history_foreign(h.schema_name) IS NOT NULL THEN 'has objects of other roles'
		WHEN NOT @extschema@._chpg_history_is_in(h.schema_name) THEN 'lacks tables of the history' END
	INTO schema_name, state
	FROM @extschema@.chpg_history_place h
	CROSS JOIN pg_extension e
	LEFT JOIN pg_namespace n ON n.nspname = h.schema_name
	WHERE e.extname = 'chpg';
	IF NOT FOUND THEN
		RETURN;
	ELSIF state IS NULL THEN
		SELECT f.state, f.remedy INTO state, remedy FROM @extschema@._chpg_history_flaw(schema_name::text) f;
	END IF;
	RETURN NEXT;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_state() IS
'The schema of the history, and why it cannot be used, or null, with the statement that mends it, if it is known here; no row where there is no history.';

CREATE FUNCTION @extschema@._chpg_history_check_place()
RETURNS name
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name;
	state text;
	remedy text;
BEGIN
	SELECT h.schema_name, h.state, h.remedy INTO place, state, remedy FROM @extschema@._chpg_history_state() h;
	IF place IS NULL THEN
		RAISE EXCEPTION 'there is no history'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Begin one: SELECT chpg_history_enable(''fleet_history'').';
	ELSIF state IS NOT NULL THEN
		RAISE EXCEPTION 'the history cannot be used: schema "%" %', place, state
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = CASE WHEN remedy IS NOT NULL THEN remedy || '.'
					WHEN state LIKE 'may be%' THEN (SELECT format('REVOKE CREATE ON SCHEMA %I FROM %s.', place,
							string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', '))
						FROM pg_namespace n, aclexplode(n.nspacl) a
						WHERE n.nspname = place AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner)
					WHEN state LIKE 'has objects%' THEN
						format('Drop what they have there, such as %s, or make it the owner''s: ALTER ... OWNER TO.', @extschema@._chpg_history_foreign(place))
					WHEN state LIKE '%your rights' THEN 'Connect as that role. Its tables and views can be read as any others.'
					WHEN state LIKE 'is not open%' THEN format('Its owner opens it: GRANT USAGE ON SCHEMA %I TO %I.', place, current_user)
					ELSE format('Name the schema that has it now, or a new one: SELECT chpg_history_enable(''NEW_NAME''%s).',
						(SELECT format(', owner => %L', h.owner) FROM @extschema@.chpg_history_place h WHERE h.owner IS NOT NULL)) END;
	END IF;
	RETURN place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_place() IS
'The schema of the history. Error 55000: there is no history, or it cannot be used.';

/*
 * For functions with a search_path of their own, which ends with them.  Where
 * others may create functions beside the extension's, theirs are not found.
 */
CREATE FUNCTION @extschema@._chpg_history_enter()
RETURNS name
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	place pg_catalog.name := @extschema@._chpg_history_check_place();
BEGIN
	PERFORM pg_catalog.set_config('search_path',
		pg_catalog.format('pg_catalog, %I, pg_temp', place::pg_catalog.text), true);
	RETURN place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_enter() IS
'Sets search_path to the history, until the end of the transaction or of the function that calls it and has a SET search_path; returns the schema. Error 55000: there is no history, or its schema is gone.';

CREATE FUNCTION @extschema@._chpg_history_is_readable()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM @extschema@._chpg_history_state() h
		WHERE CASE WHEN h.state IS NULL THEN (SELECT bool_and(has_table_privilege(format('%I.%I', h.schema_name, t), 'SELECT'))
			FROM unnest('{capture,pattern,pattern_key,query_text,service,setting}'::text[]) t) END)
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_is_readable() IS 'Whether there is a history that the caller may read. For the functions that compare.';

/*
 * That others own the history is as it should be; whatever else it is refused for is
 * not, and would be seen only by the requests that the API gets instead.
 */
CREATE FUNCTION @extschema@._chpg_history_warn()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	message text;
	hint text;
BEGIN
	IF EXISTS (SELECT FROM @extschema@._chpg_history_state() h
			WHERE h.state NOT LIKE '%your rights' AND h.state NOT LIKE 'is not open%') THEN
		PERFORM @extschema@._chpg_history_check_place();
	END IF;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RAISE WARNING '%', message USING HINT = hint;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_warn() IS
'A WARNING if there is a history that is refused, other than for belonging to somebody else. For chpg_compare and chpg_findings.';

/* The server that a capture is made by, where none is named the only one that the user may use. */
CREATE FUNCTION @extschema@._chpg_history_server(server text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(server, nullif(current_setting('chpg.server', true), ''), @extschema@._chpg_own_server())
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_server(text) IS 'The name of the foreign server that is used where this one, or none, is named. For chpg_capture.';

CREATE FUNCTION @extschema@._chpg_history_check_service(service text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF service IS NOT NULL AND NOT EXISTS (SELECT FROM service s
			WHERE _chpg_history_check_service.service IN (s.service_id, s.name)) THEN
		RAISE EXCEPTION 'service "%" is not in the history', service
			USING ERRCODE = 'undefined_object',
				HINT = 'Give an id or a name that the table service of the history has.';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_service(text) IS 'Error 42704 unless the history knows a service of that id or name; null is all of them.';

/*
 * The services that are meant.  A name is that of who has it now, or had it last;
 * what it was before it had another one is its own, too.
 */
CREATE FUNCTION @extschema@._chpg_history_services(service text, server text)
RETURNS TABLE (service_id text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT DISTINCT s.service_id
	FROM service s
	WHERE (_chpg_history_services.server IS NULL OR s.server = _chpg_history_services.server)
		AND (_chpg_history_services.service IS NULL OR s.service_id = _chpg_history_services.service
			OR (NOT EXISTS (SELECT FROM service i WHERE i.service_id = _chpg_history_services.service) AND s.service_id = (SELECT n.service_id FROM service n WHERE n.name = _chpg_history_services.service
					AND (_chpg_history_services.server IS NULL OR n.server = _chpg_history_services.server)
				ORDER BY n.valid_to DESC, n.server = @extschema@._chpg_history_server(NULL::text) DESC, n.valid_from DESC LIMIT 1)));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_services(text, text) IS
'The ids of the services of the history that have an id or a name, or all; of one server, or of all. Sends no request. For the functions that compare. Error 55000: there is no history.';
