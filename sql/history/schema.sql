/*
 * History: the schema that has it, and whether it is safe to use.
 *
 * The history's tables and views are ordinary ones in a schema of the user's choice, not
 * members of the extension, so that pg_dump keeps them with their rows.
 */

CREATE TABLE @extschema@.chpg_history_schema (
	schema_name name PRIMARY KEY,
	owner name
);

CREATE UNIQUE INDEX ON @extschema@.chpg_history_schema ((true));

COMMENT ON TABLE @extschema@.chpg_history_schema IS
'The schema that has the history: one row, or none without a history.';
COMMENT ON COLUMN @extschema@.chpg_history_schema.schema_name IS 'Name of the schema.';
COMMENT ON COLUMN @extschema@.chpg_history_schema.owner IS
'Role that chpg_history_enable was given as owner; null where the history belongs to its caller.';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.chpg_history_schema', '');
GRANT SELECT ON @extschema@.chpg_history_schema TO PUBLIC;

CREATE FUNCTION @extschema@._chpg_history_is_in(schema name)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT bool_and(to_regclass(format('%I.%I', schema, t.name)) IS NOT NULL)
	FROM @extschema@._chpg_history_tables() t
	WHERE t.needed_for = 'history'
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_is_in(name) IS
'Whether a schema has the tables of a history''s windows. The caller needs USAGE on the schema.';

/* The tables themselves say it: no dump is without them, and nobody edits them. */
CREATE FUNCTION @extschema@._chpg_history_layout(schema name)
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN @extschema@._chpg_history_is_in(schema) THEN
			CASE WHEN to_regclass(format('%I.old_capture', schema)) IS NULL THEN 2 ELSE 1 END
		WHEN (SELECT bool_and(to_regclass(format('%I.%I', schema, t.name)) IS NOT NULL)
			FROM (SELECT o.name FROM @extschema@._chpg_old_tables() o
				UNION ALL VALUES ('setting'), ('service')) t) THEN 1
		END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_layout(name) IS
'Version of the layout that a schema has the tables of; null: of none.
1: the layout with a row for each pattern and point, also while it is being upgraded. 2: that of
  today.';

CREATE FUNCTION @extschema@._chpg_history_tables_in(schema name)
RETURNS TABLE (name name, kind "char", parent name)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH layout AS MATERIALIZED (
		SELECT @extschema@._chpg_history_layout(schema) AS version,
			@extschema@._chpg_history_is_in(schema) AS is_present
	)
	SELECT t.name, t.kind, NULL::name
	FROM layout l
	JOIN @extschema@._chpg_history_tables() t ON l.is_present OR t.name IN ('setting', 'service')
	UNION ALL
	SELECT CASE WHEN l.is_present THEN o.kept_as ELSE o.name END, o.kind, o.parent
	FROM layout l
	JOIN @extschema@._chpg_old_tables() o ON l.version = 1
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_tables_in(name) IS
'The tables that a history in a schema may have, also one of the earlier layout.
kind: pg_class.relkind. parent: the table that each is a partition of, or null.';

CREATE FUNCTION @extschema@._chpg_history_lacks(schema name)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'has not all tables of this version: run chpg_history_enable'
	WHERE EXISTS (SELECT FROM @extschema@._chpg_history_tables() t
		WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = schema AND c.relname = t.name))
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_lacks(name) IS
'What to do about a history of an earlier version that lacks tables; null: it has all.';

/* A session that merely reads, or analyzes, has no such lock. */
CREATE FUNCTION @extschema@._chpg_is_upgrading(schema name)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM pg_locks l
		WHERE l.locktype = 'relation' AND l.relation = to_regclass(format('%I.old_capture', schema))
			AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
			AND l.pid = pg_backend_pid() AND l.mode = 'ShareRowExclusiveLock' AND l.granted)
$$;

COMMENT ON FUNCTION @extschema@._chpg_is_upgrading(name) IS
'Whether this transaction upgrades the history in a schema, by the lock that it holds.';

/*
 * Trusted are the schema's owner, which _chpg_history_examine checks first, and every role
 * that may become the extension's owner.
 */
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

COMMENT ON FUNCTION @extschema@._chpg_history_foreign(name) IS
'Description of an object in a schema that belongs to an untrusted role; null if there is none.';

/*
 * The owner of a schema, and roles that may create objects in it, decide what runs there,
 * and another role may have taken the name of a dropped one.  Only an owner that the history
 * was begun for may use its own history: code that it plants would run with the rights of
 * any other caller.  A session that has become that role (SET ROLE) may return to its
 * session user, and so may that code.
 */
CREATE FUNCTION @extschema@._chpg_history_examine()
RETURNS TABLE (schema_name name, state text, remedy text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT h.schema_name, CASE
		WHEN n.oid IS NULL THEN 'does not exist'
		WHEN NOT pg_has_role(n.nspowner, e.extowner, 'MEMBER')
			AND (pg_get_userbyid(n.nspowner) = h.owner) IS NOT TRUE THEN
			format('belongs to "%s"', pg_get_userbyid(n.nspowner))
		WHEN NOT pg_has_role(n.nspowner, current_user, 'MEMBER')
			OR NOT pg_has_role(n.nspowner, session_user, 'MEMBER') THEN
			format('belongs to "%s", whose code would run with your rights', h.owner)
		WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN 'is not open to you'
		WHEN EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE'
			AND a.grantee <> n.nspowner) THEN 'may be written to by others'
		WHEN @extschema@._chpg_history_foreign(h.schema_name) IS NOT NULL THEN 'has objects of other roles'
		WHEN @extschema@._chpg_history_layout(h.schema_name) IS NULL THEN 'lacks tables of the history' END
	INTO schema_name, state
	FROM @extschema@.chpg_history_schema h
	CROSS JOIN pg_extension e
	LEFT JOIN pg_namespace n ON n.nspname = h.schema_name
	WHERE e.extname = 'chpg';
	IF NOT FOUND THEN
		RETURN;
	ELSIF state IS NULL THEN
		SELECT f.state, f.remedy INTO state, remedy FROM @extschema@._chpg_history_flaw(schema_name::text) f;
		IF state IS NULL AND @extschema@._chpg_history_layout(schema_name) = 1
				AND NOT @extschema@._chpg_is_upgrading(schema_name) THEN
			state := 'has the layout of an earlier version: run chpg_history_upgrade';
			remedy := 'Run: CALL chpg_history_upgrade();';
		ELSIF state IS NULL THEN
			SELECT l.state, format('Run: SELECT chpg_history_enable(%L%s);', h.schema_name,
				(SELECT format(', owner => %L', h.owner) WHERE h.owner IS NOT NULL))
			INTO state, remedy
			FROM @extschema@.chpg_history_schema h
			CROSS JOIN LATERAL (SELECT @extschema@._chpg_history_lacks(h.schema_name) AS state) l
			WHERE l.state IS NOT NULL;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_examine() IS
'The history''s schema, and why it cannot be used; no row without a history.
state: null if it can be used. remedy: a HINT that mends it; null if unknown here.';

CREATE FUNCTION @extschema@._chpg_history_state()
RETURNS TABLE (schema_name name, state text, remedy text)
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'chpg_history_state';

COMMENT ON FUNCTION @extschema@._chpg_history_state() IS
'As _chpg_history_examine, which it calls once in a transaction.
It is called again after a change of the catalogs, or if it found a reason.';

/*
 * Callers have a SET search_path of their own, which ends what this one sets.  The schema
 * comes after pg_catalog: nothing is found in the extension's schema by a short name.
 */
CREATE FUNCTION @extschema@._chpg_history_enter_layout(any_layout boolean)
RETURNS name
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	place pg_catalog.name;
	state pg_catalog.text;
	remedy pg_catalog.text;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	SELECT h.schema_name, h.state, h.remedy INTO place, state, remedy FROM @extschema@._chpg_history_state() h;
	IF place IS NULL THEN
		RAISE EXCEPTION 'there is no history: begin one with chpg_history_enable'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Begin one: SELECT chpg_history_enable(''fleet_history'');';
	ELSIF state IS NOT NULL AND NOT (any_layout AND state LIKE 'has the layout%') THEN
		RAISE EXCEPTION 'the history cannot be used: schema "%" %', place, state
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = CASE WHEN remedy IS NOT NULL THEN remedy
					WHEN state LIKE 'may be%' THEN (SELECT format('Run: REVOKE CREATE ON SCHEMA %I FROM %s;', place,
							string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC'
								ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', '))
						FROM pg_namespace n, aclexplode(n.nspacl) a
						WHERE n.nspname = place AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner)
					WHEN state LIKE 'has objects%' THEN
						format('Drop what they have there, such as %s, or give it to the schema''s owner.',
							@extschema@._chpg_history_foreign(place))
					WHEN state LIKE '%your rights' THEN
						'Connect as that role. Its tables and views can be read as any others.'
					WHEN state LIKE 'is not open%' THEN
						format('Its owner opens it: GRANT USAGE ON SCHEMA %I TO %I;', place, current_user)
					ELSE format('Name the schema that has it now, or a new one: '
						'SELECT chpg_history_enable(''NEW_NAME''%s);',
						(SELECT format(', owner => %L', h.owner)
						FROM @extschema@.chpg_history_schema h WHERE h.owner IS NOT NULL)) END;
	END IF;
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', place), true);
	RETURN place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_enter_layout(boolean) IS
'Set search_path to the history, and return its schema.
any_layout: also to a history of the earlier layout.
The setting lasts until the calling function, which has a SET search_path, or the transaction
  ends.
Errors: 55000 there is no history, or it cannot be used.';

CREATE FUNCTION @extschema@._chpg_history_enter()
RETURNS name
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	RETURN @extschema@._chpg_history_enter_layout(false);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_enter() IS
'As _chpg_history_enter_layout, for a history of the layout of today.';

/* The API has a part of the periods that a history of the earlier layout has: no answer is better. */
CREATE FUNCTION @extschema@._chpg_history_is_readable()
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM @extschema@._chpg_history_state() h WHERE h.state LIKE 'has the layout%') THEN
		PERFORM @extschema@._chpg_history_enter();
	END IF;
	RETURN EXISTS (SELECT FROM @extschema@._chpg_history_state() h
		WHERE CASE WHEN h.state IS NULL THEN (
			SELECT bool_and(has_table_privilege(format('%I.%I', h.schema_name, t.name), 'SELECT'))
			FROM @extschema@._chpg_history_tables() t
			WHERE t.needed_for IN ('history', 'patterns')) END);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_is_readable() IS
'Whether there is a history whose patterns the caller may read.
Errors: 55000 it has the layout of an earlier version.';

/*
 * A history that belongs to another role is normal.  Any other reason to refuse it would
 * show only as requests to the API.
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
			WHERE h.state NOT LIKE '%your rights' AND h.state NOT LIKE 'is not open%'
				AND h.state NOT LIKE 'has the layout%') THEN
		PERFORM @extschema@._chpg_history_enter();
	END IF;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RAISE WARNING '%', message USING HINT = hint;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_warn() IS
'Raise a WARNING if the history cannot be used.
None if it only belongs to another role, or has the layout of an earlier version.';

/*
 * A name stands for the service that has it now, or had it last; earlier rows of that
 * service under another name are its own, too.
 */
CREATE FUNCTION @extschema@._chpg_history_services(service text, server text, must_exist boolean)
RETURNS TABLE (service_id text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	wanted CONSTANT text := service;
	of_server CONSTANT text := server;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT DISTINCT s.service_id
	FROM service s
	WHERE (of_server IS NULL OR s.server = of_server)
		AND (wanted IS NULL OR s.service_id = wanted
			OR (NOT EXISTS (SELECT FROM service i WHERE i.service_id = wanted)
				AND s.service_id = (
					SELECT n.service_id FROM service n
					WHERE n.service_name = wanted AND (of_server IS NULL OR n.server = of_server)
					ORDER BY n.valid_to DESC, n.server = @extschema@._chpg_own_server(NULL::text) DESC,
						n.valid_from DESC
					LIMIT 1)));
	IF must_exist AND wanted IS NOT NULL AND NOT FOUND THEN
		RAISE EXCEPTION 'service "%" is not in the history%', wanted, @extschema@._chpg_closest(wanted,
				ARRAY(SELECT DISTINCT s.service_name FROM service s WHERE s.service_name IS NOT NULL ORDER BY 1))
			USING ERRCODE = 'undefined_object',
				HINT = 'Give an id or a name that the table service of the history has.';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_services(text, text, boolean) IS
'Ids of the history''s services with an id or a name, or of all.
server: only services of this one; null: of all servers.
must_exist: an error if there is no such service.
Errors: 42704 no such service; 55000 there is no history.';
