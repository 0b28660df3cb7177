/* The extension chpg; see README.md. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION chpg" to load this file. \quit

/*
 * Objects of other roles in the extension's schema are found neither by a short name nor as
 * an operator.  That holds for this script and for the functions that it creates: bodies in
 * BEGIN ATOMIC keep the meaning that names have here.  The extension's own objects are
 * qualified, and called with all arguments and their types, so that no overload fits better.
 */
SET LOCAL search_path = pg_catalog, pg_temp;

/* pg_shdepend does not have the objects of predefined roles, such as pg_database_owner. */
CREATE FUNCTION @extschema@._chpg_schema_objects(schema oid)
RETURNS TABLE (catalog oid, object oid, owner oid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.classid, d.objid, CASE d.classid
		WHEN 'pg_class'::regclass THEN (SELECT o.relowner FROM pg_class o WHERE o.oid = d.objid)
		WHEN 'pg_proc'::regclass THEN (SELECT o.proowner FROM pg_proc o WHERE o.oid = d.objid)
		WHEN 'pg_operator'::regclass THEN (SELECT o.oprowner FROM pg_operator o WHERE o.oid = d.objid)
		WHEN 'pg_type'::regclass THEN (SELECT o.typowner FROM pg_type o WHERE o.oid = d.objid)
		WHEN 'pg_opclass'::regclass THEN (SELECT o.opcowner FROM pg_opclass o WHERE o.oid = d.objid)
		WHEN 'pg_opfamily'::regclass THEN (SELECT o.opfowner FROM pg_opfamily o WHERE o.oid = d.objid)
		WHEN 'pg_collation'::regclass THEN (SELECT o.collowner FROM pg_collation o WHERE o.oid = d.objid)
		WHEN 'pg_conversion'::regclass THEN (SELECT o.conowner FROM pg_conversion o WHERE o.oid = d.objid)
		WHEN 'pg_statistic_ext'::regclass THEN (SELECT o.stxowner FROM pg_statistic_ext o WHERE o.oid = d.objid)
		WHEN 'pg_ts_config'::regclass THEN (SELECT o.cfgowner FROM pg_ts_config o WHERE o.oid = d.objid)
		WHEN 'pg_ts_dict'::regclass THEN (SELECT o.dictowner FROM pg_ts_dict o WHERE o.oid = d.objid)
		WHEN 'pg_extension'::regclass THEN (SELECT o.extowner FROM pg_extension o WHERE o.oid = d.objid)
		WHEN 'pg_default_acl'::regclass THEN (SELECT o.defaclrole FROM pg_default_acl o WHERE o.oid = d.objid) END
	FROM pg_depend d
	WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = schema
$$;

COMMENT ON FUNCTION @extschema@._chpg_schema_objects(oid) IS
'The objects in a schema, and their owners; null for kinds of objects that have none.';

/*
 * Refuse a schema in which a role other than a superuser has objects, or may create some:
 * superusers call the extension's functions there by name.  A role with a superuser's
 * privileges counts as one, pg_database_owner as the owner of the database.
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
	IF problem IS NULL THEN
		SELECT format('Role "%s" has objects in it, such as %s.', pg_get_userbyid(o.owner),
			pg_describe_object(o.catalog, o.object, 0))
		INTO problem
		FROM @extschema@._chpg_schema_objects(place::oid) o
		WHERE o.owner <> ALL (trusted)
		ORDER BY o.catalog, o.object LIMIT 1;
	END IF;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION 'schema "%" is not safe for extension chpg',
			(SELECT n.nspname FROM pg_namespace n WHERE n.oid = place)
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = problem,
				HINT = 'Give it a schema of its own: CREATE SCHEMA chpg; CREATE EXTENSION chpg SCHEMA chpg;';
	END IF;
END
$$;

