/* The extension chpg; see README.md. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION chpg" to load this file. \quit

/*
 * Nothing that others have made in the extension's schema is found by a short name,
 * or as an operator, neither by this script nor by what it creates: bodies in BEGIN
 * ATOMIC keep what their names mean here.  What the extension creates is called
 * by its schema, with all arguments and their types, so that no overload suits better.
 */
SET LOCAL search_path = pg_catalog, pg_temp;

/*
 * Refuse a schema in which roles other than superusers have made something, or may do
 * so: superusers call what is in it by name.  A role that has the privileges of a
 * superuser counts as one, pg_database_owner as the owner of the database.
 */
DO $$
DECLARE
	place CONSTANT regnamespace := '@extschema@';
	database_owner CONSTANT oid := (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database());
	trusted oid[] := ARRAY(SELECT r.oid FROM pg_roles r
		WHERE EXISTS (SELECT FROM pg_roles s WHERE s.rolsuper AND pg_has_role(r.oid, s.oid, 'USAGE')));
	problem text;
BEGIN
	IF database_owner = ANY (trusted) THEN
		trusted := trusted || 'pg_database_owner'::regrole::oid;
	END IF;
	SELECT format('It belongs to role "%s".', pg_get_userbyid(CASE n.nspowner
			WHEN 'pg_database_owner'::regrole THEN database_owner ELSE n.nspowner END)) INTO problem
	FROM pg_namespace n
	WHERE n.oid = place AND n.nspowner <> ALL (trusted);
	IF problem IS NULL AND has_schema_privilege('public', place, 'CREATE') THEN
		problem := 'Every role may create objects in it.';
	ELSIF problem IS NULL THEN
		SELECT format('Role "%s" may create objects in it.', r.rolname) INTO problem
		FROM pg_roles r
		WHERE r.oid <> ALL (trusted) AND has_schema_privilege(r.oid, place, 'CREATE')
		ORDER BY r.rolname LIMIT 1;
	END IF;
	-- pg_shdepend has no owners that are predefined roles
	IF problem IS NULL THEN
		SELECT format('Role "%s" has objects in it, such as %s.', pg_get_userbyid(o.owner), pg_describe_object(o.catalog, o.oid, 0))
		INTO problem
		FROM (
			SELECT tableoid AS catalog, oid, relowner AS owner FROM pg_class WHERE relnamespace = place
			UNION ALL SELECT tableoid, oid, proowner FROM pg_proc WHERE pronamespace = place
			UNION ALL SELECT tableoid, oid, oprowner FROM pg_operator WHERE oprnamespace = place
			UNION ALL SELECT tableoid, oid, typowner FROM pg_type WHERE typnamespace = place
			UNION ALL SELECT tableoid, oid, opcowner FROM pg_opclass WHERE opcnamespace = place
			UNION ALL SELECT tableoid, oid, opfowner FROM pg_opfamily WHERE opfnamespace = place
			UNION ALL SELECT tableoid, oid, collowner FROM pg_collation WHERE collnamespace = place
			UNION ALL SELECT tableoid, oid, conowner FROM pg_conversion WHERE connamespace = place
			UNION ALL SELECT tableoid, oid, stxowner FROM pg_statistic_ext WHERE stxnamespace = place
			UNION ALL SELECT tableoid, oid, cfgowner FROM pg_ts_config WHERE cfgnamespace = place
			UNION ALL SELECT tableoid, oid, dictowner FROM pg_ts_dict WHERE dictnamespace = place
			UNION ALL SELECT tableoid, oid, extowner FROM pg_extension WHERE extnamespace = place
		) o
		WHERE o.owner <> ALL (trusted)
		ORDER BY o.catalog = 'pg_type'::regclass, o.oid LIMIT 1;
	END IF;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION 'schema "%" is not safe for extension chpg', (SELECT n.nspname FROM pg_namespace n WHERE n.oid = place)
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = problem,
				HINT = 'Give it a schema of its own: CREATE SCHEMA chpg; CREATE EXTENSION chpg SCHEMA chpg;';
	END IF;
END
$$;

