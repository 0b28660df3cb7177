/* History: beginning and ending it. */

/*
 * Objects that a schema has already could be run by captures, and would be dropped with the
 * history.  The caller's own history must be new, or in an own and empty schema; a history
 * for another role must be new, or that role's own.
 */
CREATE FUNCTION @extschema@._chpg_history_check_schema(schema text, owner text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
DECLARE
	found pg_namespace;
	flaw record;
	problem text;
BEGIN
	IF schema IS NULL THEN
		RAISE EXCEPTION 'argument "schema" must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF octet_length(schema) > 63 THEN
		RAISE EXCEPTION 'invalid name for the schema of the history: "%"', schema
			USING ERRCODE = 'name_too_long', DETAIL = 'A name has at most 63 bytes.';
	ELSIF strpos(schema, 'pg_') > 0 OR schema = 'information_schema' THEN
		RAISE EXCEPTION 'invalid name for the schema of the history: "%"', schema
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'Metabase shows no columns of schemas whose name has "pg_" in it, or is that of a '
					'system schema.',
				HINT = 'Take another name, such as "fleet_history".';
	ELSIF quote_ident(schema) <> schema THEN
		RAISE EXCEPTION 'invalid name for the schema of the history: "%"', schema
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'Dashboards name its views without quotes.',
				HINT = 'Take a name of lower-case letters, digits and underscores that is no key word, '
					'such as "fleet_history".';
	END IF;
	SELECT * INTO found FROM pg_namespace WHERE nspname = schema;
	IF owner <> current_user THEN
		IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = owner) THEN
			RAISE EXCEPTION 'role "%" does not exist', owner USING ERRCODE = 'undefined_object';
		ELSIF found.oid IS NOT NULL
				AND NOT (pg_get_userbyid(found.nspowner) = owner
					AND @extschema@._chpg_history_layout(schema::name) IS NOT NULL) THEN
			RAISE EXCEPTION 'schema "%" cannot have the history', schema
				USING ERRCODE = 'object_not_in_prerequisite_state',
					DETAIL = format('It exists, and is no history of role "%s".', owner),
					HINT = 'Name one that does not exist yet.';
		END IF;
		RETURN;
	END IF;
	SELECT * INTO flaw FROM @extschema@._chpg_history_flaw(schema)
	WHERE @extschema@._chpg_history_layout(schema::name) IS NOT NULL;
	problem := CASE
		WHEN EXISTS (SELECT FROM @extschema@._chpg_history_state() h WHERE h.schema_name = schema
			AND (h.state IS NULL OR h.state LIKE 'has the layout%'
				OR h.state LIKE 'has not all tables%')) THEN
			NULL
		WHEN found.nspowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN
			format('It belongs to "%s".', pg_get_userbyid(found.nspowner))
		WHEN EXISTS (SELECT FROM aclexplode(found.nspacl) a WHERE a.privilege_type = 'CREATE'
			AND a.grantee <> found.nspowner) THEN 'Others may create objects in it.'
		WHEN @extschema@._chpg_history_foreign(schema::name) IS NOT NULL THEN
			format('It has objects of other roles, such as %s.', @extschema@._chpg_history_foreign(schema::name))
		WHEN flaw.state IS NOT NULL THEN format('It %s.', flaw.state)
		WHEN @extschema@._chpg_history_layout(schema::name) IS NULL AND EXISTS (SELECT FROM pg_depend d
				WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = found.oid) THEN
			'It has something else in it.' END;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION 'schema "%" cannot have the history', schema
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = problem,
				HINT = CASE WHEN problem LIKE 'It belongs to %'
						AND @extschema@._chpg_history_layout(schema::name) IS NOT NULL THEN
						format('Name its owner, if it has the history of that role: '
							'SELECT chpg_history_enable(%L, owner => %L);', schema, pg_get_userbyid(found.nspowner))
					ELSE coalesce(flaw.remedy, 'Name one that does not exist yet.') END;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_schema(text, text) IS
'Check that a schema can have the history of a role; null is the caller.
Errors: 22004 null; 22023 a name that BI tools do not show, or that needs quotes; 42622 a name
  that is too long;
42704 no such role; 55000 the schema is not new, nor an empty one or a history of that role.';

CREATE FUNCTION @extschema@._chpg_history_entrust(role text, entrusted boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	routines text := (SELECT string_agg(p.oid::regprocedure::text, ', ')
		FROM pg_extension e
		JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
			AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
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
'Grant a role EXECUTE on what captures and purges call (true), or revoke it (false).';

/*
 * What is kept beside the history survives the extension.  The caller reads and empties the
 * extension's tables; the history's owner writes its own.
 */
CREATE FUNCTION @extschema@._chpg_history_take(schema name, mutes jsonb, thresholds jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	LOCK TABLE finding_mute, threshold IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('finding_mute'::regclass), @extschema@._chpg_refuse_code('threshold'::regclass);
	INSERT INTO finding_mute (finding_key, reason, note, muted_by, muted_at, muted_until, factor)
	SELECT m.finding_key, m.reason, m.note, m.muted_by, m.muted_at, m.muted_until, 1.5
	FROM jsonb_to_recordset(mutes)
		m(finding_key text, reason text, note text, muted_by name, muted_at timestamptz, muted_until timestamptz)
	ON CONFLICT ON CONSTRAINT finding_mute_pkey DO UPDATE
	SET reason = excluded.reason, note = excluded.note, muted_by = excluded.muted_by, muted_at = excluded.muted_at,
		muted_until = excluded.muted_until, muted_level = NULL, muted_value = NULL, factor = excluded.factor;
	INSERT INTO threshold (rule_id, parameter, threshold)
	SELECT t.rule_id, t.parameter, t.threshold
	FROM jsonb_to_recordset(thresholds) t(rule_id text, parameter text, threshold double precision)
	ON CONFLICT ON CONSTRAINT threshold_pkey DO UPDATE SET threshold = excluded.threshold;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_take(name, jsonb, jsonb) IS
'Put mutes and thresholds into a history, as its owner.
They replace those that it has for the same.';

CREATE FUNCTION @extschema@._chpg_history_adopt(schema text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mutes jsonb := '[]';
	thresholds jsonb := '[]';
BEGIN
	IF NOT has_table_privilege('@extschema@.chpg_finding_mute', 'SELECT')
			OR NOT has_table_privilege('@extschema@.chpg_finding_mute', 'DELETE')
			OR NOT has_table_privilege('@extschema@.chpg_threshold', 'DELETE') THEN
		RETURN;
	END IF;
	LOCK TABLE @extschema@.chpg_finding_mute, @extschema@.chpg_threshold IN SHARE ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_finding_mute'::regclass);
	-- it has a foreign key of its own; a snapshot from before the lock may miss a trigger
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RETURN;
	ELSIF EXISTS (SELECT FROM pg_trigger t
				WHERE t.tgrelid = '@extschema@.chpg_threshold'::regclass AND NOT t.tgisinternal)
			OR EXISTS (SELECT FROM pg_constraint k WHERE k.confrelid = '@extschema@.chpg_threshold'::regclass)
			OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = '@extschema@.chpg_threshold'::regclass) THEN
		RAISE EXCEPTION 'table "chpg_threshold" has a trigger, rule or foreign key, which chpg did not create'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Drop it.';
	END IF;
	mutes := (SELECT coalesce(jsonb_agg(m), '[]') FROM @extschema@.chpg_finding_mute m);
	thresholds := (SELECT coalesce(jsonb_agg(t), '[]') FROM @extschema@.chpg_threshold t);
	IF mutes = '[]' AND thresholds = '[]' THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_run_as((SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = schema),
		'SELECT @extschema@._chpg_history_take($1, $2, $3)'::text, ROW(schema::name, mutes, thresholds));
	DELETE FROM @extschema@.chpg_finding_mute;
	DELETE FROM @extschema@.chpg_threshold;
	RAISE NOTICE 'schema "%" has % mutes and % thresholds now', schema, jsonb_array_length(mutes),
		jsonb_array_length(thresholds);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_adopt(text) IS
'Move the mutes and thresholds of the extension''s tables to a history, if the caller may.';

/* For a caller that has looked, and found none: one that another role has made meanwhile is an error. */
CREATE FUNCTION @extschema@._chpg_create_schema(schema text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other text;
BEGIN
	EXECUTE format('CREATE SCHEMA %I', schema);
	-- default privileges may let other roles create in it
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

COMMENT ON FUNCTION @extschema@._chpg_create_schema(text) IS
'Create a schema in which only the caller may create objects.
Errors: 42P06 it exists.';

/*
 * A history for another role is created as a whole, and then given away, so that nothing
 * of that role's runs with the rights of the caller.  A history that the role has already
 * is completed as that role.
 */
CREATE FUNCTION @extschema@.chpg_history_enable(schema text, owner text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	for_other CONSTANT boolean := coalesce(owner <> current_user, false);
	-- before it is checked: what others create from here on is not taken for it
	existing CONSTANT oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = schema);
	place name;
	state text;
	remedy text;
	item record;
BEGIN
	SELECT h.schema_name, h.state, h.remedy INTO place, state, remedy FROM @extschema@._chpg_history_state() h;
	IF place <> schema AND (state IS NULL OR remedy IS NOT NULL OR state LIKE '%your rights') THEN
		RAISE EXCEPTION 'the history is in schema "%" already: end it with chpg_history_disable first', place
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Its tables stay when you end it: SELECT chpg_history_disable();';
	ELSIF (place IS DISTINCT FROM schema OR for_other)
			AND NOT has_table_privilege('@extschema@.chpg_history_schema', 'INSERT') THEN
		RAISE EXCEPTION 'permission denied to begin a history'
			USING ERRCODE = 'insufficient_privilege',
				HINT = format('Let a superuser begin it for you: SELECT chpg_history_enable(%L, owner => %L);',
					schema, current_user);
	END IF;
	PERFORM @extschema@._chpg_history_check_schema(schema, owner);
	IF place IS DISTINCT FROM schema OR for_other THEN
		-- a trigger on it would run with the caller's rights
		LOCK TABLE @extschema@.chpg_history_schema IN ROW EXCLUSIVE MODE;
		PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_history_schema'::regclass);
		DELETE FROM @extschema@.chpg_history_schema;
		INSERT INTO @extschema@.chpg_history_schema VALUES (schema, CASE WHEN for_other THEN owner END);
	END IF;
	IF for_other THEN
		PERFORM @extschema@._chpg_history_entrust(owner, true);
	END IF;
	IF @extschema@._chpg_history_layout(schema::name) = 1 THEN
		RAISE NOTICE 'the history in schema "%" has the layout of an earlier version: run chpg_history_upgrade', schema
			USING HINT = CASE WHEN for_other THEN format('As role "%s", run: ', owner) ELSE 'Run: ' END
				|| 'CALL chpg_history_upgrade();';
		RETURN;
	END IF;
	IF for_other AND existing IS NOT NULL THEN
		PERFORM @extschema@._chpg_run_as(existing,
			'SELECT to_jsonb(@extschema@._chpg_history_fill($1)::text)'::text, ROW(schema::name));
		RETURN;
	END IF;
	-- that of another role may be a new one by now
	IF existing IS NULL OR NOT pg_has_role(existing, current_user, 'MEMBER') THEN
		PERFORM @extschema@._chpg_create_schema(schema);
	END IF;
	PERFORM @extschema@._chpg_history_fill(schema::name);
	-- the history of another role serves sessions of that role only
	IF NOT for_other THEN
		PERFORM @extschema@._chpg_history_adopt(schema);
	ELSE
		EXECUTE format('ALTER SCHEMA %I OWNER TO %I', schema, owner);
		FOR item IN
			SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind FROM pg_class c
			WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = schema)
				AND c.relkind IN ('r', 'p', 'v')
		LOOP
			EXECUTE format('ALTER %s %I.%I OWNER TO %I', item.kind, schema, item.relname, owner);
		END LOOP;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_enable(text, text) IS
'Begin a history in a schema, or go on with the one that the schema has.
Creates the schema, tables, settings and views that are missing; CALL chpg_capture() fills them.
Mutes and thresholds move to its tables finding_mute and threshold.
A NOTICE says that a history of an earlier version needs chpg_history_upgrade.
The schema must be new, or the caller''s own, empty, and closed to other roles.
owner: role that the history is to belong to; it captures and purges with its own rights.
Requests: none.
Errors: 22004 schema is null; 22023, 42622 a name that cannot be used; 42501 neither a superuser
  nor the extension''s owner; 42704 no such role; 42P06 another role has just created the
  schema; 55000 the history, or other objects, are in
  the way.';

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
	LOCK TABLE @extschema@.chpg_history_schema IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_history_schema'::regclass);
	DELETE FROM @extschema@.chpg_history_schema h RETURNING h.schema_name, h.owner INTO place, owner;
	IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = owner) THEN
		PERFORM @extschema@._chpg_history_entrust(owner::text, false);
	END IF;
	IF place IS NULL THEN
		RAISE NOTICE 'there is no history, skipping';
	ELSIF to_regnamespace(quote_ident(place)) IS NULL THEN
		RAISE NOTICE 'the history has ended; its schema "%" does not exist', place
			USING HINT = 'If the schema was renamed, it still has the tables.';
	ELSE
		RAISE NOTICE 'the history stays in schema "%"', place
			USING DETAIL = 'So do mutes, thresholds, planned work and the log of findings, which have no effect any more.',
				HINT = format('To remove it: DROP SCHEMA %I CASCADE;', place);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_disable() IS
'End the history, and keep its schema and tables, with mutes, thresholds and findings.
A NOTICE says which schema that is, and how to drop it.
Requests: none.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_disable() FROM PUBLIC;
