/*
 * History: where it is kept.
 *
 * Its tables and views are ordinary ones in a schema of the user's choice, no
 * members of the extension, so that pg_dump keeps them with all that they have.
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

/* The settings of captures: what they are at first, and within which bounds they may be changed. */
CREATE FUNCTION @extschema@._chpg_history_defaults()
RETURNS TABLE (name text, value text, kind text, lowest text, highest text, description text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('settle', '5 minutes', 'interval', '0 seconds', '1 day', 'A window is captured so long after its end at the earliest.'),
		('recapture', '2', 'integer', '0', '1000', 'So many of the newest windows are captured whenever one ends: that one, and those before it once more, for what came late.'),
		('api_retention', '7 days', 'interval', '1 hour', '100 years', 'What the API keeps: 1 day on Basic, where it never has a whole day, so that hours only are captured; 7 days on Scale and Enterprise. Older windows that were not captured are lost.'),
		('backfill', '1 day', 'interval', '0 seconds', '100 years', 'So much is captured of the time before a service was first seen.'),
		('keep_hour', '35 days', 'interval', '1 hour', '100 years', 'Windows of an hour are kept so long.'),
		('keep_day', '400 days', 'interval', '1 day', '100 years', 'Windows of a day are kept so long.'),
		('max_patterns', '2000', 'integer', '1', '1000000', 'Patterns of a window that are captured, those with the longest total duration. With more, the window is marked as truncated.'),
		('max_error_patterns', '100', 'integer', '1', '1000000', 'Patterns of a window that are captured for their errors, whatever their duration.'),
		('metric_bucket', '5 minutes', 'interval', '1 second', '1 hour', 'Time between two points of metrics; off: no metrics are captured.'),
		('reserve', '3', 'integer', '0', '1000000', 'So many requests of the budget are left to others: a capture waits while fewer are free.')
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_defaults() IS
'The settings of a history: the value of each at first, an integer or an interval, the least and the greatest value that it may have, and what it does.';

/* "7" would be 7 seconds. */
CREATE FUNCTION @extschema@._chpg_has_units(duration text)
RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT duration ~* '^\s*(\d+(\.\d+)?\s*[a-z]+\s*|\d+:\d\d(:\d\d(\.\d+)?)?\s*)+$' OR duration ~ '^P[0-9.YMWDTHS]+$'
$$;

COMMENT ON FUNCTION @extschema@._chpg_has_units(text) IS 'Whether a text may be an interval, not negative, that says for each number what it counts.';

CREATE FUNCTION @extschema@._chpg_history_check_setting(name text, value text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known record;
	fine boolean;
	place text := (SELECT quote_ident(h.schema_name) FROM @extschema@.chpg_history_place h);
BEGIN
	SELECT d.* INTO known FROM @extschema@._chpg_history_defaults() d WHERE d.name = _chpg_history_check_setting.name;
	IF known.name IS NULL THEN
		RAISE EXCEPTION 'unknown setting "%" of the history', name
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('There are %s.', (SELECT string_agg(d.name, ', ') FROM @extschema@._chpg_history_defaults() d)),
				HINT = format('Remove it: DELETE FROM %s.setting WHERE name = %L.', place, name);
	ELSIF value IS NULL THEN
		RAISE EXCEPTION 'setting "%" of the history is missing', name
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = format('Put back what it was at first: SELECT chpg_history_enable(%L).', place);
	END IF;
	BEGIN
		fine := CASE
			WHEN known.kind = 'integer' THEN value ~ '^\s*\d{1,9}\s*$' AND value::integer BETWEEN known.lowest::integer AND known.highest::integer
			WHEN name = 'metric_bucket' AND value = 'off' THEN true
			ELSE @extschema@._chpg_has_units(value) AND value::interval BETWEEN known.lowest::interval AND known.highest::interval END;
	EXCEPTION WHEN data_exception THEN
		fine := false;
	END;
	IF NOT fine THEN
		RAISE EXCEPTION 'invalid value for setting "%" of the history: "%"', name, value
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It is to be an %s from %s to %s%s.',
					CASE known.kind WHEN 'interval' THEN 'interval, with its unit,' ELSE known.kind END, known.lowest, known.highest,
					CASE WHEN name = 'metric_bucket' THEN ', or off' END),
				HINT = format('Such as: UPDATE %s.setting SET value = %L WHERE name = %L.', place, known.value, name);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_setting(text, text) IS
'Error 22023 unless there is a setting of that name, and this is a value for it; 55000 if it is null.';

CREATE FUNCTION @extschema@._chpg_history_create_tables(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.setting (
			name text PRIMARY KEY,
			value text NOT NULL,
			description text NOT NULL
		);
		CREATE TABLE %1$I.service (
			service_id text NOT NULL,
			valid_from timestamptz NOT NULL,
			valid_to timestamptz NOT NULL DEFAULT 'infinity',
			noted_at timestamptz NOT NULL,
			name text,
			region text,
			size text,
			ha_type text,
			postgres_version text,
			tags jsonb,
			server text NOT NULL DEFAULT '',
			PRIMARY KEY (service_id, valid_from)
		);

		CREATE TABLE %1$I.query_text (
			text_id bigint PRIMARY KEY,
			query_text text NOT NULL,
			first_seen timestamptz NOT NULL,
			last_seen timestamptz NOT NULL
		);

		CREATE TABLE %1$I.pattern_key (
			pattern_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			query_id bigint NOT NULL,
			db_name text NOT NULL,
			db_user text NOT NULL,
			db_operation text NOT NULL,
			app text NOT NULL,
			text_id bigint NOT NULL,
			UNIQUE (query_id, db_name, db_user, db_operation, app, text_id)
		);

		CREATE TABLE %1$I.capture (
			service_id text NOT NULL,
			grain text NOT NULL CHECK (grain IN ('hour', 'day')),
			window_start timestamptz NOT NULL,
			window_end timestamptz NOT NULL,
			status text NOT NULL CHECK (status IN ('ok', 'error', 'lost')),
			patterns integer,
			truncated boolean NOT NULL DEFAULT false,
			cutoff_us double precision,
			error text,
			attempts integer NOT NULL DEFAULT 0,
			captured_at timestamptz,
			PRIMARY KEY (service_id, grain, window_start)
		);

		CREATE TABLE %1$I.pattern (
			service_id text NOT NULL,
			grain text NOT NULL,
			window_start timestamptz NOT NULL,
			pattern_key bigint NOT NULL,
			call_count bigint,
			error_count bigint,
			total_duration_us double precision,
			avg_duration_us double precision,
			max_duration_us double precision,
			p50_duration_us double precision,
			p95_duration_us double precision,
			p99_duration_us double precision,
			total_rows bigint,
			total_shared_blks_read bigint,
			total_shared_blks_hit bigint,
			total_cpu_time_us double precision,
			total_wal_bytes bigint,
			PRIMARY KEY (service_id, grain, window_start, pattern_key)
		) PARTITION BY LIST (grain);
		CREATE TABLE %1$I.pattern_of_hour PARTITION OF %1$I.pattern
			FOR VALUES IN ('hour') PARTITION BY RANGE (window_start);
		CREATE TABLE %1$I.pattern_of_day PARTITION OF %1$I.pattern
			FOR VALUES IN ('day') PARTITION BY RANGE (window_start);
		CREATE INDEX ON %1$I.pattern (pattern_key, window_start);

		CREATE TABLE %1$I.metric_point (
			service_id text NOT NULL,
			metric text NOT NULL,
			series text NOT NULL,
			"time" timestamptz NOT NULL,
			unit text,
			value double precision,
			PRIMARY KEY (service_id, metric, series, "time")
		);
		CREATE INDEX ON %1$I.metric_point USING brin ("time");
	$tables$, schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_tables(name) IS 'Makes the tables of the history in a schema. For chpg_history_enable.';

CREATE FUNCTION @extschema@._chpg_history_comment_tables(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	item record;
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	COMMENT ON TABLE setting IS 'What captures do: change value by UPDATE.';
	COMMENT ON TABLE service IS 'What a service was, and when: a row for each change of its name, size, tags and so on.';
	COMMENT ON TABLE query_text IS 'Texts of queries, each once.';
	COMMENT ON TABLE pattern_key IS 'What tells patterns apart; a pattern of another text is another one.';
	COMMENT ON TABLE capture IS 'Windows of services that were captured (ok), could not be (error), or cannot be any more (lost).';
	COMMENT ON TABLE pattern IS 'Slow query patterns of a window, replaced as a whole when it is captured again.';
	COMMENT ON TABLE metric_point IS 'Points of the time series of services.';
	FOR item IN
		SELECT c.relname, a.attname, col_description(r.oid, r_a.attnum) AS description
		FROM pg_attribute r_a
		JOIN pg_class r ON r.oid = r_a.attrelid AND r.relname = 'chpg_slow_pattern_row'
			AND r.relnamespace = '@extschema@'::regnamespace
		JOIN pg_attribute a ON a.attname = r_a.attname AND a.attnum > 0
		JOIN pg_class c ON c.oid = a.attrelid AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = schema)
			AND c.relname IN ('pattern', 'pattern_key', 'query_text')
		UNION ALL
		VALUES ('pattern', 'grain', 'hour or day: length of the window, aligned to UTC.'),
			('pattern', 'window_start', 'Start of the window, which it includes.'),
			('pattern', 'pattern_key', 'Which pattern: see pattern_key.'),
			('capture', 'truncated', 'Whether the window had more patterns than were captured.'),
			('capture', 'cutoff_us', 'In a truncated window, the shortest total duration captured, in microseconds: what is missing took less.'),
			('capture', 'error', 'Why the last attempt failed: SQLSTATE, message, and what the API said, up to 1000 characters.'),
			('capture', 'attempts', 'How many times it was tried.'),
			('capture', 'captured_at', 'When it was captured, or tried, last.'),
			('query_text', 'text_id', 'Hash of the text.'),
			('service', 'valid_from', 'Since when it was so; -infinity for what it was when it was first seen.'),
			('service', 'noted_at', 'When a capture saw it.'),
			('service', 'server', 'Foreign server that it was captured by.'),
			('service', 'valid_to', 'Until when it was so, or infinity.'),
			('metric_point', 'time', 'Start of the bucket.')
	LOOP
		EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.relname, item.attname, item.description);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_comment_tables(name) IS 'Gives the tables of the history their comments. For chpg_history_enable.';

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
