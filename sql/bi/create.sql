/*
 * BI: views for tools that list tables and views, and read each of them.
 *
 * Foreign tables are in a schema of their own, so that a tool that lists schema after schema
 * does not read them: only the views are granted.  Everything belongs to the caller.
 */

CREATE TYPE @extschema@.chpg_bi_view_row AS (
	view_name text,
	requests text,
	what text
);

COMMENT ON TYPE @extschema@.chpg_bi_view_row IS 'A view that chpg_bi_create made.';
COMMENT ON COLUMN @extschema@.chpg_bi_view_row.view_name IS 'Name of the view, with its schema, as in SQL.';
COMMENT ON COLUMN @extschema@.chpg_bi_view_row.requests IS
'What a query of it costs of the budget of the owner''s key: SELECT * with a LIMIT, count(*), or DISTINCT.';
COMMENT ON COLUMN @extschema@.chpg_bi_view_row.what IS 'What it shows.';

/* What is there already must be the caller's, and what an earlier call made, or nothing. */
CREATE FUNCTION @extschema@._chpg_bi_check_schema(schema text, of_tables text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place text;
	problem text;
BEGIN
	IF schema IS NULL THEN
		RAISE EXCEPTION 'argument "schema" must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF schema = '' OR strpos(schema, 'pg_') > 0 OR schema = 'information_schema' THEN
		RAISE EXCEPTION 'invalid name for the schema of views: "%"', schema
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'Metabase shows no columns of schemas whose name has "pg_" in it, or is that of a '
					'system schema.',
				HINT = 'Take another name, such as "bi".';
	ELSIF octet_length(of_tables) > 63 THEN
		RAISE EXCEPTION 'invalid name for the schema of views: "%"', schema
			USING ERRCODE = 'name_too_long',
				DETAIL = format('That of its foreign tables, "%s", would have more than 63 bytes.', of_tables);
	END IF;
	FOREACH place IN ARRAY ARRAY[schema, of_tables] LOOP
		SELECT CASE
			WHEN pg_get_userbyid(n.nspowner) <> current_user THEN
				format('It belongs to role "%s".', pg_get_userbyid(n.nspowner))
			WHEN EXISTS (SELECT FROM aclexplode(n.nspacl) a
				WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner) THEN 'Other roles may create objects in it.'
			WHEN EXISTS (SELECT FROM @extschema@._chpg_schema_objects(n.oid) o WHERE o.owner <> n.nspowner) THEN
				'It has objects of other roles.'
			WHEN EXISTS (SELECT FROM @extschema@._chpg_schema_objects(n.oid))
				AND NOT EXISTS (
					SELECT FROM pg_class t
					JOIN pg_foreign_table f ON f.ftrelid = t.oid
					JOIN pg_foreign_server s ON s.oid = f.ftserver
					JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'chpg'
					JOIN pg_class v ON v.relkind = 'v' AND v.relname = 'services'
						AND v.relnamespace = (SELECT b.oid FROM pg_namespace b WHERE b.nspname = schema)
					WHERE t.relname = 'services'
						AND t.relnamespace = (SELECT b.oid FROM pg_namespace b WHERE b.nspname = of_tables)) THEN
				'It has something else in it.' END INTO problem
		FROM pg_namespace n
		WHERE n.nspname = place;
		IF problem IS NOT NULL THEN
			RAISE EXCEPTION 'schema "%" cannot have the views: name a new schema', schema
				USING ERRCODE = 'object_not_in_prerequisite_state',
					DETAIL = CASE place WHEN schema THEN problem
						ELSE format('Its foreign tables would be in schema "%s". %s', place, problem) END,
					HINT = CASE WHEN problem LIKE 'It belongs to %' THEN
							'Name a schema that does not exist yet, or call chpg_bi_create as that role.'
						WHEN problem LIKE 'Other roles%' THEN
							format('Name a schema that does not exist yet, or take CREATE ON SCHEMA %I from others.', place)
						ELSE 'Name a schema that does not exist yet, or is yours and empty.' END;
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_check_schema(text, text) IS
'Check that two schemas can have the views, and their foreign tables.
Errors: 22004 null; 22023 a name that BI tools do not show; 42622 a name that is too long;
55000 a schema is neither new, nor an empty one of the caller, nor of an earlier call.';

CREATE FUNCTION @extschema@._chpg_bi_services(services text[], server text)
RETURNS text[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	listed @extschema@.chpg_service_row[];
	wanted text;
	ids text[];
	found text[] := '{}';
BEGIN
	IF cardinality(services) = 0 THEN
		RETURN found;
	END IF;
	listed := ARRAY(SELECT s FROM @extschema@.chpg_services(server) s);
	FOREACH wanted IN ARRAY services LOOP
		ids := ARRAY(SELECT s.id FROM unnest(listed) s WHERE s.id = wanted);
		IF cardinality(ids) = 0 THEN
			ids := ARRAY(SELECT s.id FROM unnest(listed) s WHERE s.name = wanted ORDER BY s.id);
		END IF;
		IF cardinality(ids) = 0 THEN
			RAISE EXCEPTION 'service "%" does not exist%', wanted, @extschema@._chpg_closest(wanted,
					ARRAY(SELECT DISTINCT s.name FROM unnest(listed) s WHERE s.name IS NOT NULL ORDER BY 1))
				USING ERRCODE = 'undefined_object', HINT = 'Look in chpg_services for its name or id.';
		ELSIF cardinality(ids) > 1 THEN
			RAISE EXCEPTION 'service name "%" is not unique: give an id', wanted
				USING ERRCODE = 'ambiguous_alias', DETAIL = format('Services: %s.', array_to_string(ids, ', '));
		END IF;
		found := found || ids;
	END LOOP;
	RETURN ARRAY(SELECT DISTINCT f FROM unnest(found) f ORDER BY f);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_services(text[], text) IS
'Ids of services, which are given by id or name.
Requests: 1; none for an empty array.
Errors: 42704 no such service; 42712 several of that name.';

/* Foreign tables of an earlier call stay, since views may read them. */
CREATE FUNCTION @extschema@._chpg_bi_tables(of_tables text, "window" interval, server text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $$
DECLARE
	wanted record;
	present record;
	lacking record;
BEGIN
	FOR wanted IN
		VALUES ('services', '@extschema@.chpg_service_row'::regclass),
			('prometheus', '@extschema@.chpg_prometheus_row'::regclass),
			('recent_logs', '@extschema@.chpg_log_row'::regclass)
	LOOP
		SELECT c.oid, s.srvname, format('%I.%I', of_tables, c.relname) AS name INTO present
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = of_tables
		LEFT JOIN pg_foreign_table t ON t.ftrelid = c.oid
		LEFT JOIN pg_foreign_server s ON s.oid = t.ftserver
		WHERE c.relname = wanted.column1;
		IF NOT FOUND THEN
			EXECUTE format('IMPORT FOREIGN SCHEMA chpg LIMIT TO (%I) FROM SERVER %I INTO %I OPTIONS ("window" %L)',
				wanted.column1, server, of_tables, "window"::text);
			CONTINUE;
		ELSIF present.srvname IS DISTINCT FROM server THEN
			RAISE EXCEPTION 'foreign table % is not of server "%": drop its schema first', present.name, server
				USING ERRCODE = 'object_not_in_prerequisite_state',
					HINT = format('Name another schema for the views of this server, or drop it with its views: '
						'DROP SCHEMA %I CASCADE;', of_tables);
		END IF;
		FOR lacking IN
			SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
			WHERE a.attrelid = wanted.column2 AND a.attnum > 0 AND NOT a.attisdropped
				AND NOT EXISTS (SELECT FROM pg_attribute p WHERE p.attrelid = present.oid AND p.attname = a.attname)
			ORDER BY a.attnum
		LOOP
			EXECUTE format('ALTER FOREIGN TABLE %s ADD COLUMN %I %s', present.name, lacking.attname, lacking.type);
		END LOOP;
		IF wanted.column1 = 'recent_logs' THEN
			EXECUTE format('ALTER FOREIGN TABLE %s OPTIONS (SET "window" %L)', present.name, "window"::text);
		END IF;
	END LOOP;
	PERFORM @extschema@.chpg_comment_tables(quote_ident(of_tables));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_tables(text, interval, text) IS
'Create the foreign tables of the views, or bring those of an earlier call up to date.
Errors: 55000 they are of another server; HV024 the window is none.';

/*
 * Views of the history run what its owner has put there, with the rights of their readers: as
 * everywhere, only a history that chpg itself would use is read.
 */
CREATE FUNCTION @extschema@._chpg_bi_history(OUT schema_name text, OUT problem text, OUT remedy text)
RETURNS record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT h.schema_name, format('the history cannot be used: schema "%s" ', h.schema_name) || h.state, h.remedy
	INTO schema_name, problem, remedy
	FROM @extschema@._chpg_history_state() h;
	IF schema_name IS NULL THEN
		problem := 'there is no history: begin one with chpg_history_enable';
		remedy := 'Begin one, then call chpg_bi_create again: SELECT chpg_history_enable(''fleet_history'');';
	ELSIF problem LIKE '%your rights' THEN
		remedy := 'Call chpg_bi_create as the role that owns the history.';
	ELSIF problem IS NULL AND EXISTS (SELECT FROM @extschema@._chpg_bi_views() v
			WHERE v.requests = 'none'
				AND NOT coalesce(has_table_privilege(to_regclass(format('%I.%I', schema_name, v.source)), 'SELECT'), false))
	THEN
		problem := format('the history in schema "%s" may not be read', schema_name);
		remedy := format('Its owner grants it: GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I;', schema_name, current_user);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_history() IS
'The schema of the history, and why views cannot read it.
problem: null if they can. remedy: a HINT; null if unknown here.';

CREATE FUNCTION @extschema@._chpg_bi_comment(schema text, view_name text, description text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of_column record;
BEGIN
	EXECUTE format('COMMENT ON VIEW %I.%I IS %L', schema, view_name, description);
	FOR of_column IN
		SELECT a.attname AS name, coalesce(
			(SELECT c.description FROM @extschema@._chpg_bi_columns() c
				WHERE c.column_name = a.attname AND coalesce(c.view_name, $2) = $2
				ORDER BY c.view_name NULLS LAST LIMIT 1),
			(SELECT col_description(t.attrelid, t.attnum) FROM pg_attribute t
				WHERE t.attname = a.attname AND t.attrelid = CASE view_name
					WHEN 'services' THEN '@extschema@.chpg_service_row'::regclass
					WHEN 'health' THEN '@extschema@.chpg_health_row'
					WHEN 'metrics' THEN '@extschema@.chpg_metric_row'
					WHEN 'findings' THEN '@extschema@.chpg_finding_row'
					WHEN 'incidents' THEN '@extschema@.chpg_finding_row'
					ELSE '@extschema@.chpg_slow_pattern_row' END)) AS description
		FROM pg_attribute a
		JOIN pg_class v ON v.oid = a.attrelid
		JOIN pg_namespace n ON n.oid = v.relnamespace
		WHERE n.nspname = schema AND v.relname = view_name AND a.attnum > 0
		ORDER BY a.attnum
	LOOP
		EXECUTE format('COMMENT ON COLUMN %I.%I.%I IS %L', schema, view_name, of_column.name, of_column.description);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_comment(text, text, text) IS
'Give a view of chpg_bi_create and its columns their comments.';

/* The view is what an earlier call made of the ids: PostgreSQL writes their array as one literal. */
CREATE FUNCTION @extschema@._chpg_bi_kept_logs(schema text, OUT services text[], OUT names text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kept CONSTANT regclass := to_regclass(format('%I.logs', schema));
BEGIN
	services := '{}';
	IF kept IS NULL THEN
		RETURN;
	END IF;
	services := substring(pg_get_viewdef(kept) FROM 'service_id = ANY [(]''([{][0-9a-zA-Z,-]+[}])''::text')::text[];
	IF services IS NULL THEN
		RAISE EXCEPTION 'view % is not of chpg_bi_create any more: give logs', kept
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Name the services whose log it has: logs => ''{orders}'', or none: logs => ''{}''.';
	END IF;
	names := coalesce(substring(obj_description(kept, 'pg_class') FROM E' was given: (.*)[.]\nRequests: '),
		array_to_string(services, ', '));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_bi_kept_logs(text) IS
'Ids of the services whose log the view logs of a schema has, and their names in its comment.
Errors: 55000 there is a view logs that chpg_bi_create did not make.';

/* The foreign table of the logs has the window as its option. */
CREATE FUNCTION @extschema@._chpg_bi_kept_window(of_tables text)
RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT o.option_value::interval
	FROM pg_namespace n
	JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'recent_logs'
	JOIN pg_foreign_table t ON t.ftrelid = c.oid
	CROSS JOIN LATERAL pg_options_to_table(t.ftoptions) o
	WHERE n.nspname = of_tables AND o.option_name = 'window';
END;

COMMENT ON FUNCTION @extschema@._chpg_bi_kept_window(text) IS
'The window of an earlier call of chpg_bi_create, by the schema of its foreign tables; or null.';

CREATE FUNCTION @extschema@.chpg_bi_create(schema text, "window" interval DEFAULT NULL, logs text[] DEFAULT NULL,
	readers text[] DEFAULT '{}', server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_bi_view_row
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $$
DECLARE
	of_tables CONSTANT text := schema || '_source';
	-- before they are checked: what others create from here on is not taken for them
	existing CONSTANT name[] := ARRAY(SELECT n.nspname FROM pg_namespace n
		WHERE n.nspname IN (schema, of_tables) AND pg_get_userbyid(n.nspowner) = current_user);
	lacking CONSTANT text[] := ARRAY(SELECT u.name FROM unnest(ARRAY[schema, of_tables]) WITH ORDINALITY u(name, place)
		WHERE u.name <> ALL (existing) ORDER BY u.place);
	server_used CONSTANT text := @extschema@._chpg_own_server(server);
	services text[];
	names_of_logs text;
	history record;
	item record;
	reader text;
	present oid[];
	reads_all text[];
	is_new boolean;
	missing text[] := '{}';
BEGIN
	PERFORM @extschema@._chpg_bi_check_schema(schema, of_tables);
	IF array_position(logs, NULL) > 0 OR readers IS NULL OR array_position(readers, NULL) > 0 THEN
		RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN array_position(logs, NULL) > 0 THEN 'logs'
				ELSE 'readers' END
			USING ERRCODE = 'null_value_not_allowed';
	ELSIF "window" <= interval '0' THEN
		RAISE EXCEPTION 'invalid value for "window": "%" is not a positive interval: give one such as ''1 day''',
				"window"
			USING ERRCODE = 'fdw_invalid_attribute_value';
	ELSIF cardinality(lacking) > 0 AND NOT has_database_privilege(current_database(), 'CREATE') THEN
		RAISE EXCEPTION 'permission denied to create schema "%": have it created for role "%"', lacking[1], current_user
			USING ERRCODE = 'insufficient_privilege',
				HINT = format('Run as a role that has CREATE on database "%s": %s', current_database(),
					(SELECT string_agg(format('CREATE SCHEMA %I AUTHORIZATION %I;', l.name, current_user), ' '
							ORDER BY l.place)
						FROM unnest(lacking) WITH ORDINALITY l(name, place)));
	ELSIF server_used IS NULL OR NOT EXISTS (SELECT FROM pg_foreign_server s
			JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'chpg'
			WHERE s.srvname = server_used) THEN
		RAISE EXCEPTION '%', CASE WHEN server_used IS NULL THEN 'you have no server: connect with chpg_connect first'
				ELSE format('server "%s" of chpg does not exist', server_used) END
			USING ERRCODE = 'undefined_object', HINT = 'Run: SELECT * FROM chpg_connect(''KEY_ID'', ''KEY_SECRET'');';
	END IF;
	FOREACH reader IN ARRAY readers LOOP
		IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = reader) THEN
			RAISE EXCEPTION 'role "%" does not exist%', reader,
					CASE reader WHEN 'public' THEN ': name roles, or grant to PUBLIC afterwards' ELSE '' END
				USING ERRCODE = 'undefined_object', HINT = CASE reader WHEN 'public' THEN
						format('After a call without this reader: GRANT USAGE ON SCHEMA %1$I TO PUBLIC; '
							'GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO PUBLIC;', schema)
					ELSE format('Create it: CREATE ROLE %I LOGIN;', left(reader, 63)) END;
		END IF;
	END LOOP;
	"window" := coalesce("window", @extschema@._chpg_bi_kept_window(of_tables), '1 day');
	IF logs IS NULL THEN
		SELECT k.services, k.names INTO services, names_of_logs FROM @extschema@._chpg_bi_kept_logs(schema) k;
	ELSE
		services := @extschema@._chpg_bi_services(logs, server_used);
		names_of_logs := array_to_string(logs, ', ');
	END IF;
	PERFORM @extschema@._chpg_create_schema(l) FROM unnest(lacking) l;
	PERFORM @extschema@._chpg_bi_tables(of_tables, "window", server_used);
	SELECT * INTO history FROM @extschema@._chpg_bi_history();
	-- a role that may read all views of an earlier call reads those that are new, too
	present := ARRAY(
		SELECT c.oid
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = schema AND c.relkind = 'v'
			AND c.relname IN (SELECT v.view_name FROM @extschema@._chpg_bi_views() v));
	reads_all := ARRAY(
		SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
		FROM pg_class c
		CROSS JOIN LATERAL aclexplode(c.relacl) a
		WHERE c.oid = ANY (present) AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
		GROUP BY a.grantee
		HAVING count(DISTINCT c.oid) = cardinality(present)
		ORDER BY 1);
	FOREACH reader IN ARRAY readers LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema, reader);
	END LOOP;
	FOR item IN
		SELECT v.*, format('%I.%I', schema, v.view_name) AS full_name,
			format(v.what, "window"::text) || CASE v.view_name
				WHEN 'logs' THEN format(' Only of services that chpg_bi_create was given: %s.', names_of_logs)
				ELSE '' END AS text
		FROM @extschema@._chpg_bi_views() v ORDER BY v.place
	LOOP
		IF item.requests = 'none' AND history.problem IS NOT NULL THEN
			missing := missing || item.view_name;
			CONTINUE;
		ELSIF item.view_name = 'logs' AND cardinality(services) = 0 THEN
			IF to_regclass(item.full_name) IS NOT NULL THEN
				EXECUTE format('DROP VIEW %s', item.full_name);
			END IF;
			CONTINUE;
		END IF;
		is_new := to_regclass(item.full_name) IS NULL;
		BEGIN
			EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', item.full_name,
				format(item.query, of_tables, history.schema_name, "window"::text, services));
		EXCEPTION WHEN invalid_table_definition OR wrong_object_type THEN
			RAISE EXCEPTION 'view % has other columns now: drop it first', item.full_name
				USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('%s.', SQLERRM),
					HINT = format('Run: DROP VIEW %s;', item.full_name);
		END;
		PERFORM @extschema@._chpg_bi_comment(schema, item.view_name,
			format(E'%s\nRequests: %s.', item.text, item.requests));
		FOREACH reader IN ARRAY readers LOOP
			EXECUTE format('GRANT SELECT ON %s TO %I', item.full_name, reader);
		END LOOP;
		-- of a view that was there, grants are as its owner left them
		FOREACH reader IN ARRAY CASE WHEN is_new THEN reads_all ELSE '{}' END LOOP
			EXECUTE format('GRANT SELECT ON %s TO %s', item.full_name, reader);
		END LOOP;
		RETURN NEXT ROW(item.full_name, item.requests, item.text)::@extschema@.chpg_bi_view_row;
	END LOOP;
	IF missing <> '{}' THEN
		RAISE NOTICE '%', history.problem
			USING DETAIL = format('These views read the history, and were not made: %s.', array_to_string(missing, ', ')),
				HINT = coalesce(history.remedy, 'Mend that, then call chpg_bi_create again.');
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_bi_create(text, interval, text[], text[], text) IS
'Create views for BI tools in a schema, or replace them; return a row for each view.
They read foreign tables in the schema SCHEMA_source with the key of the caller, who owns all of
it, and the history. Readers need neither a key nor other privileges. No view needs a condition.
A NOTICE says so if there is no history, whose views are then not made.
window: how far top_patterns and logs reach back; null: as in an earlier call, else a day.
logs: services, by id or name, whose log the view logs has; ''{}'': no such view; null: those of
  an earlier call, if any.
readers: roles that get USAGE on the schema and SELECT on the views. Other grants stay as they
  are; a new view is also granted to roles that may read all views of an earlier call.
To remove all of it: DROP SCHEMA bi, bi_source CASCADE;
Requests: 1 if logs names services.
Errors: 22004 null; 22023, 42622 a name that cannot be used; 42501 the caller may not create
  schemas in the database, or use the server; 42704 no such service, role or server; 42712 two
  services of that name; 55000 the schema has something else in it; HV024 the window is none.';
