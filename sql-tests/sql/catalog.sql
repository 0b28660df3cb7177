-- What the extension puts into the database, and how it documents it
CREATE EXTENSION chpg;

-- Everything has a comment
SELECT pg_describe_object(classid, objid, objsubid) AS without_comment
FROM pg_depend d
WHERE refclassid = 'pg_extension'::regclass
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chpg')
  AND deptype = 'e'
  AND obj_description(objid, classid::regclass::name) IS NULL
  -- a view's, a table's and a row type's own types
  AND NOT (classid = 'pg_type'::regclass AND
           EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
                   WHERE t.oid = objid AND (c.relkind IN ('v', 'r') OR t.typelem <> 0)));

SELECT c.relname, a.attname AS without_comment
FROM pg_depend d
JOIN pg_class c ON c.oid = d.objid OR c.reltype = d.objid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE d.refclassid = 'pg_extension'::regclass
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chpg')
  AND d.deptype = 'e'
  AND col_description(c.oid, a.attnum) IS NULL;

-- Comments of functions begin with a line that is a sentence of at most 20 words; \df+ shows them in 120 columns
SELECT p.oid::regprocedure AS comment_is_too_long
FROM pg_proc p
WHERE p.proname ~ '^_?chpg' AND (
	array_length(regexp_split_to_array(regexp_replace(obj_description(p.oid, 'pg_proc'), '[.](\s.*|$)', ''), '\s+'), 1) > 20
	OR split_part(obj_description(p.oid, 'pg_proc'), E'\n', 1) !~ '[.]$'
	OR EXISTS (SELECT FROM regexp_split_to_table(obj_description(p.oid, 'pg_proc'), E'\n') l WHERE length(l) > 96))
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Reading functions read, and say what they cost; writing ones are not for everybody
SELECT proname, provolatile, proparallel, proretset, proisstrict, procost, prorows,
	has_function_privilege('public', oid, 'EXECUTE') AS for_all
FROM pg_proc WHERE proname ~ '^_?chpg' ORDER BY proname, prokind, pg_get_function_identity_arguments(oid) COLLATE "C";

-- Bodies find nothing by the caller's search_path: these set it themselves, first of all
SELECT p.oid::regprocedure
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.proname ~ '^_?chpg' AND l.lanname <> 'c' AND p.prosqlbody IS NULL AND p.prokind <> 'a'
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- and what was looked up when they were created is PostgreSQL's or the extension's
WITH member AS (
	SELECT d.classid, d.objid FROM pg_depend d
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chpg')
	UNION ALL
	SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r JOIN pg_depend d ON d.objid = r.ev_class AND d.deptype = 'e'
)
SELECT pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
FROM member m JOIN pg_depend d USING (classid, objid)
WHERE d.refclassid NOT IN ('pg_namespace'::regclass, 'pg_extension'::regclass)
	AND (d.refclassid, d.refobjid) NOT IN (SELECT classid, objid FROM member)
	AND NOT EXISTS (SELECT FROM pg_class c
		WHERE d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid AND c.relnamespace = 'pg_catalog'::regnamespace)
	AND NOT EXISTS (SELECT FROM pg_type t JOIN member o ON o.objid IN (t.oid, t.typelem, t.typrelid)
		WHERE d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
			OR d.refclassid = 'pg_class'::regclass AND t.typrelid = d.refobjid)
	AND NOT EXISTS (SELECT FROM pg_language l WHERE d.refclassid = 'pg_language'::regclass AND l.oid = d.refobjid)
ORDER BY 1, 2;

-- Optional arguments come last, and the server after all others
SELECT proname, pg_get_function_arguments(oid)
FROM pg_proc WHERE proname ~ '^_?chpg' ORDER BY 1, 2;

-- Rows are composite types; these are the API's fields
SELECT c.relname, string_agg(attname || ' ' || format_type(atttypid, atttypmod), E'\n' ORDER BY attnum) AS attributes
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relname LIKE 'chpg%' AND attnum > 0
GROUP BY 1 ORDER BY 1;

-- What rules begin with: another number is another finding
SELECT rule_id, rule_name, parameter, threshold FROM chpg_rule ORDER BY 1, 3;

-- Settings: loaded with the library, which the first call loads
SELECT count(*) FROM chpg_services(server => 'none');
SELECT name, setting, unit, context, vartype, min_val, max_val
FROM pg_settings WHERE name LIKE 'chpg.%' ORDER BY 1;
SET chpg.max_concurrency = 0;
SET chpg.no_such_setting = 1;

-- Nothing is left behind
DROP EXTENSION chpg;
