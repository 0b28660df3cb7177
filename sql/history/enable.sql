/* History: beginning and ending it. */

CREATE FUNCTION @extschema@._chpg_history_check_name(schema text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
BEGIN
	IF schema IS NULL THEN
		RAISE EXCEPTION 'argument "schema" must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF octet_length(schema) > 63 THEN
		RAISE EXCEPTION 'invalid name for the schema of the history: "%"', schema
			USING ERRCODE = 'name_too_long', DETAIL = 'A name has at most 63 bytes.';
	ELSIF strpos(schema, 'pg_') > 0 OR schema = 'information_schema' THEN
		RAISE EXCEPTION 'invalid name for the schema of the history: "%"', schema
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'Metabase shows no columns of schemas whose name has "pg_" in it, or is that of a system schema.',
				HINT = 'Take another name, such as "fleet_history".';
	ELSIF quote_ident(schema) <> schema THEN
		RAISE EXCEPTION 'invalid name for the schema of the history: "%"', schema
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'Dashboards name its views without quotes.',
				HINT = 'Take a name of lower-case letters, digits and underscores that is no key word, such as "fleet_history".';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_name(text) IS 'Error 22004, 22023 or 42622 unless a schema of that name can be read by BI tools and dashboards. For chpg_history_enable.';

/* What is there may be run by captures, and is removed with the history. */
CREATE FUNCTION @extschema@._chpg_history_check_schema(schema name)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found pg_namespace;
	flaw record;
	problem text;
BEGIN
	SELECT * INTO found FROM pg_namespace WHERE nspname = schema;
	SELECT * INTO flaw FROM @extschema@._chpg_history_flaw(schema::text) WHERE @extschema@._chpg_history_is_in(schema);
	problem := CASE
		WHEN EXISTS (SELECT FROM @extschema@._chpg_history_state() h WHERE h.schema_name = schema AND h.state IS NULL) THEN NULL
		WHEN found.nspowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN
			format('It belongs to "%s".', pg_get_userbyid(found.nspowner))
		WHEN @extschema@._chpg_history_is_open(schema) THEN 'Others may create objects in it.'
		WHEN @extschema@._chpg_history_foreign(schema) IS NOT NULL THEN
			format('It has objects of other roles, such as %s.', @extschema@._chpg_history_foreign(schema))
		WHEN flaw.state IS NOT NULL THEN format('It %s.', flaw.state)
		WHEN NOT @extschema@._chpg_history_is_in(schema)
				AND EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = found.oid) THEN
			'It has something else in it.' END;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION 'schema "%" cannot have the history', schema
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = problem,
				HINT = CASE WHEN problem LIKE 'It belongs to %' AND @extschema@._chpg_history_is_in(schema) THEN
						format('Name its owner, if it has the history of that role: SELECT chpg_history_enable(%L, owner => %L).',
							schema, pg_get_userbyid(found.nspowner))
					ELSE coalesce(flaw.remedy || '.', 'Name one that does not exist yet.') END;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_schema(name) IS
'Error 55000 unless the schema is a new one, or the caller''s own and empty, or has a history. For chpg_history_enable.';

/* Makes the tables and views that a schema lacks, and puts back settings. */
CREATE FUNCTION @extschema@._chpg_history_fill(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET quote_all_identifiers = off
AS $$
BEGIN
	IF NOT @extschema@._chpg_history_is_in(schema) THEN
		PERFORM @extschema@._chpg_history_create_tables(schema);
		PERFORM @extschema@._chpg_history_close(format('%I.%I', schema, r.name)) FROM @extschema@._chpg_history_relations(schema::text) r;
	END IF;
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	LOCK TABLE setting IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('setting'::regclass);
	INSERT INTO setting SELECT d.name, d.value, d.description FROM @extschema@._chpg_history_defaults() d ON CONFLICT DO NOTHING;
	PERFORM @extschema@._chpg_history_comment_tables(schema);
	PERFORM @extschema@._chpg_history_create_views(schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_fill(name) IS 'Makes what a schema lacks of a history. For chpg_history_enable.';

/* What captures and purges call is not for everybody, but for who runs them. */
CREATE FUNCTION @extschema@._chpg_history_entrust(role text, entrusted boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	routines text := (SELECT string_agg(p.oid::regprocedure::text, ', ')
		FROM pg_extension e
		JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
		JOIN pg_proc p ON p.oid = d.objid
		WHERE e.extname = 'chpg' AND p.proname ^@ '_chpg' AND NOT has_function_privilege('public', p.oid, 'EXECUTE'));
BEGIN
	IF entrusted THEN
		EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', routines, role);
	ELSE
		EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM %I', routines, role);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_entrust(text, boolean) IS
'Grants a role what captures and purges of its own history call, or revokes it. For chpg_history_enable and chpg_history_disable.';

/* New schemas may be given away by default privileges, too. */
CREATE FUNCTION @extschema@._chpg_history_create_schema(schema text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other text;
BEGIN
	EXECUTE format('CREATE SCHEMA %I', schema);
	FOR other IN
		SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
		FROM pg_namespace n
		CROSS JOIN LATERAL aclexplode(n.nspacl) a
		WHERE n.nspname = schema AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
	LOOP
		EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM %s', schema, other);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_schema(text) IS 'Creates a schema in which nobody but its owner may create. For chpg_history_enable.';

/*
 * A history for another role is made as a whole, and then given away: nothing that the
 * role has made runs with the rights of the caller.  One that it has already is only
 * named.
 */
CREATE FUNCTION @extschema@._chpg_history_enable_for(schema name, owner text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = schema);
	item record;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = owner) THEN
		RAISE EXCEPTION 'role "%" does not exist', owner USING ERRCODE = 'undefined_object';
	ELSIF found IS NOT NULL AND NOT (pg_get_userbyid(found) = owner AND @extschema@._chpg_history_is_in(schema)) THEN
		RAISE EXCEPTION 'schema "%" cannot have the history', schema
			USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = format('It exists, and is no history of role "%s".', owner),
				HINT = 'Name one that does not exist yet.';
	END IF;
	PERFORM @extschema@._chpg_history_lock_place();
	DELETE FROM @extschema@.chpg_history_place;
	INSERT INTO @extschema@.chpg_history_place VALUES (schema, owner);
	PERFORM @extschema@._chpg_history_entrust(owner::text, true);
	IF found IS NOT NULL THEN
		-- the views that went with an extension that was dropped, for one
		PERFORM @extschema@._chpg_run_as(found, 'SELECT to_jsonb(@extschema@._chpg_history_fill($1)::text)'::text, ROW(schema));
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_create_schema(schema::text);
	PERFORM @extschema@._chpg_history_fill(schema);
	EXECUTE format('ALTER SCHEMA %I OWNER TO %I', schema, owner);
	FOR item IN
		SELECT c.relname, c.relkind FROM pg_class c
		WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = schema) AND c.relkind IN ('r', 'p', 'v')
	LOOP
		EXECUTE format('ALTER %s %I.%I OWNER TO %I', CASE item.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, schema, item.relname, owner);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_enable_for(name, text) IS
'Makes a history in a new schema, which another role owns, or names the one that the role has, and makes, as that role, what it lacks. For chpg_history_enable.';

CREATE FUNCTION @extschema@.chpg_history_enable(schema text, owner text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name;
	state text;
	remedy text;
BEGIN
	SELECT h.schema_name, h.state, h.remedy INTO place, state, remedy FROM @extschema@._chpg_history_state() h;
	IF place <> schema AND (state IS NULL OR remedy IS NOT NULL OR state LIKE '%your rights') THEN
		RAISE EXCEPTION 'the history is in schema "%" already', place
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'End it first: SELECT chpg_history_disable(). Its tables stay.';
	ELSIF (place IS DISTINCT FROM schema OR owner <> current_user)
			AND NOT has_table_privilege('@extschema@.chpg_history_place', 'INSERT') THEN
		RAISE EXCEPTION 'permission denied to begin a history'
			USING ERRCODE = 'insufficient_privilege',
				HINT = format('Let a superuser begin it for you: SELECT chpg_history_enable(%L, owner => %L).', schema, current_user);
	END IF;
	PERFORM @extschema@._chpg_history_check_name(schema);
	IF owner <> current_user THEN
		PERFORM @extschema@._chpg_history_enable_for(schema::name, owner);
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_check_schema(schema::name);
	IF to_regnamespace(quote_ident(schema)) IS NULL THEN
		PERFORM @extschema@._chpg_history_create_schema(schema::text);
	END IF;
	IF place IS DISTINCT FROM schema THEN
		PERFORM @extschema@._chpg_history_lock_place();
		DELETE FROM @extschema@.chpg_history_place;
		INSERT INTO @extschema@.chpg_history_place VALUES (schema);
	END IF;
	PERFORM @extschema@._chpg_history_fill(schema::name);
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_enable(text, text) IS
'Begins a history in a schema, which it makes if need be, with tables and views that belong to the caller; or goes on with the one that is there, and puts back settings and views that it lacks. CALL chpg_capture() then fills it. The schema is new, or the caller''s own, empty and open to nobody else. With an owner, the history of a new schema belongs to that role, which captures and purges with its own rights only; superusers do as that role. For superusers and the extension''s owner. Sends no request. Errors: 22023 a name that BI tools do not show, or that needs quotes, 42622 one that is too long, 42704 no such role, 55000 there is a history elsewhere, or something else in the schema.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_enable(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_history_disable()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name;
	owner name;
BEGIN
	PERFORM @extschema@._chpg_history_lock_place();
	DELETE FROM @extschema@.chpg_history_place h RETURNING h.schema_name, h.owner INTO place, owner;
	IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = owner) THEN
		PERFORM @extschema@._chpg_history_entrust(owner::text, false);
	END IF;
	IF place IS NULL THEN
		RAISE NOTICE 'there is no history, skipping';
	ELSIF to_regnamespace(quote_ident(place)) IS NULL THEN
		RAISE NOTICE 'the history has ended, whose schema "%" does not exist', place
			USING HINT = 'If the schema was renamed, that one still has the tables.';
	ELSE
		RAISE NOTICE 'the history stays in schema "%"', place
			USING HINT = format('To remove it: DROP SCHEMA %I CASCADE.', place);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_disable() IS
'Ends the history, without removing what it has; a notice tells where that is, or that there is none.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_disable() FROM PUBLIC;
