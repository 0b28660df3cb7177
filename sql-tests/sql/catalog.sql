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
           EXISTS (SELECT FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid OR c.reltype = t.typelem
                   WHERE t.oid = objid AND (c.relkind IN ('v', 'r') OR t.typelem <> 0)));

SELECT c.relname, a.attname AS without_comment
FROM pg_depend d
JOIN pg_class c ON c.oid = d.objid OR c.reltype = d.objid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE d.refclassid = 'pg_extension'::regclass
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chpg')
  AND d.deptype = 'e'
  AND col_description(c.oid, a.attnum) IS NULL;

-- Reading functions read, and say what they cost; writing ones are not for everybody
SELECT proname, provolatile, proparallel, proretset, proisstrict, procost, prorows,
	has_function_privilege('public', oid, 'EXECUTE') AS for_all
FROM pg_proc WHERE proname ~ '^_?chpg' ORDER BY 1;

-- Optional arguments come last, and the server after all others
SELECT proname, pg_get_function_arguments(oid)
FROM pg_proc WHERE proname ~ '^_?chpg' ORDER BY 1, 2;

-- Rows are composite types; these are the API's fields
SELECT c.relname, string_agg(attname || ' ' || format_type(atttypid, atttypmod), E'\n' ORDER BY attnum) AS attributes
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relname LIKE 'chpg%' AND attnum > 0
GROUP BY 1 ORDER BY 1;

-- What rules begin with: another number is another finding
SELECT rule_id, rule_name, parameter, default_value FROM chpg_rule ORDER BY 1, 3;

-- Settings: loaded with the library, which the first call loads
SELECT count(*) FROM chpg_services(server => 'none');
SELECT name, setting, unit, context, vartype, min_val, max_val
FROM pg_settings WHERE name LIKE 'chpg.%' ORDER BY 1;
SET chpg.max_concurrency = 0;
SET chpg.no_such_setting = 1;

-- Nothing is left behind
DROP EXTENSION chpg;
