-- Prints docs/reference.md, from the catalog of a database that has the extension: psql -X -q -A -t.

SELECT FROM chpg.chpg_budget LIMIT 0;       -- loads chpg, so that its settings are known
SET search_path = pg_catalog, chpg;

CREATE TEMP VIEW objects AS
SELECT d.classid, d.objid
FROM pg_depend d
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'chpg' AND d.deptype = 'e';

-- A comment as a cell of a table, and a name without the extension's schema
CREATE FUNCTION pg_temp.cell(text) RETURNS text LANGUAGE sql
AS $$ SELECT replace(replace(coalesce($1, ''), '|', '\|'), E'\n', ' ') $$;
CREATE FUNCTION pg_temp.bare(text) RETURNS text LANGUAGE sql
AS $$ SELECT replace(replace($1, 'timestamp with time zone', 'timestamptz'), 'chpg.', '') $$;

-- The arguments of a function, a line each if there are several
CREATE FUNCTION pg_temp.arguments(oid) RETURNS text LANGUAGE sql
AS $$
	SELECT CASE WHEN a LIKE '%, %' THEN E'\n    ' || replace(a, ', ', E',\n    ') || E'\n' ELSE a END
	FROM regexp_replace(pg_temp.bare(pg_get_function_arguments($1)), '(^|, )IN |::(text|jsonb|interval|timestamptz)\M(\[\])?', '\1', 'g') a
$$;

-- A number with its unit, in the largest unit that it fills
CREATE FUNCTION pg_temp.quantity(value text, unit text) RETURNS text LANGUAGE sql
AS $$
	SELECT CASE
		WHEN value IS NULL OR unit IS NULL THEN value
		WHEN unit = 'ms' AND value::bigint % 1000 = 0 THEN value::bigint / 1000 || ' s'
		WHEN unit = 'kB' AND value::bigint % 1024 = 0 THEN value::bigint / 1024 || ' MB'
		ELSE value || ' ' || unit
	END
$$;

-- The options of a server and so on: the validator's hint lists them.
CREATE FUNCTION pg_temp.options(catalog regclass) RETURNS text LANGUAGE plpgsql
AS $$
DECLARE
	hint text;
BEGIN
	PERFORM chpg.chpg_validator(ARRAY['no_such_option='], catalog);
	RETURN NULL;
EXCEPTION WHEN fdw_invalid_option_name THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN hint;
END
$$;

\echo '# Reference'
\echo
\echo 'All that the extension offers, with its comments: `dev/reference` writes this page from the catalog. In psql,'
\echo '`\\df+ chpg_*`, `\\dT+ chpg_*` and `\\d+ chpg_slow_pattern_row` show the same. Optional arguments have a default;'
\echo '`server` names one of several [servers](connect.md#connect-several-organizations). Names that begin with an'
\echo 'underscore are internal, and not listed.'
\echo
\echo '- [Functions](#functions)'
\echo '- [Views](#views)'
\echo '- [Tables](#tables)'
\echo '- [Row types](#row-types)'
\echo '- [Settings](#settings)'
\echo '- [Options](#options)'
\echo '- [Rules and thresholds](#rules-and-thresholds)'
\echo
\echo '## Functions'

SELECT E'\n### ' || p.proname
	|| E'\n\n```text\n'
	|| CASE WHEN p.prokind = 'p' THEN 'CALL ' ELSE '' END
	|| p.proname || '(' || pg_temp.arguments(p.oid) || ')'
	|| CASE WHEN p.prokind = 'p' THEN '' ELSE E'\n  returns ' || pg_temp.bare(pg_get_function_result(p.oid)) END
	|| E'\n```\n\n'
	|| replace(replace(obj_description(p.oid, 'pg_proc'), E'\n  ', ' '), E'\n', E'\n\n')
	|| CASE WHEN NOT has_function_privilege('public', p.oid, 'EXECUTE')
		THEN E'\n\nOnly superusers may call it, until they grant EXECUTE.' ELSE '' END
FROM objects o
JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND o.objid = p.oid
WHERE p.proname !~ '^_' AND p.proname NOT IN ('chpg_handler', 'chpg_validator')
ORDER BY p.proname COLLATE "C", pg_get_function_arguments(p.oid) COLLATE "C";

\echo
\echo '## Views'
\echo
\echo '| view | |'
\echo '|---|---|'
SELECT format('| `%s` | %s |', c.relname, pg_temp.cell(obj_description(c.oid, 'pg_class')))
FROM objects o
JOIN pg_class c ON o.classid = 'pg_class'::regclass AND o.objid = c.oid
WHERE c.relkind = 'v' AND c.relname !~ '^_'
ORDER BY c.relname COLLATE "C";

\echo
\echo '## Tables'
SELECT E'\n### ' || c.relname || E'\n\n' || replace(replace(obj_description(c.oid, 'pg_class'), E'\n  ', ' '), E'\n', E'\n\n')
	|| E'\n\n| column | type | |\n|---|---|---|\n'
	|| string_agg(format('| `%s` | %s | %s |', a.attname, pg_temp.bare(format_type(a.atttypid, a.atttypmod)),
		pg_temp.cell(col_description(c.oid, a.attnum))), E'\n' ORDER BY a.attnum)
FROM objects o
JOIN pg_class c ON o.classid = 'pg_class'::regclass AND o.objid = c.oid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relname !~ '^_'
GROUP BY c.oid, c.relname
ORDER BY c.relname COLLATE "C";

\echo
\echo '## Row types'
SELECT E'\n### ' || t.typname || E'\n\n' || replace(obj_description(t.oid, 'pg_type'), E'\n', E'\n\n')
	|| E'\n\n| attribute | type | |\n|---|---|---|\n'
	|| string_agg(format('| `%s` | %s | %s |', a.attname, pg_temp.bare(format_type(a.atttypid, a.atttypmod)),
		pg_temp.cell(col_description(c.oid, a.attnum))), E'\n' ORDER BY a.attnum)
FROM objects o
JOIN pg_type t ON o.classid = 'pg_type'::regclass AND o.objid = t.oid
JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE t.typname !~ '^_'
GROUP BY t.oid, t.typname, c.oid
ORDER BY t.typname COLLATE "C";

\echo
\echo '## Settings'
\echo
\echo '[Settings](settings.md) says more of them.'
\echo
\echo '| setting | default | range | who may set it | |'
\echo '|---|---|---|---|---|'
SELECT format('| `%s` | %s | %s | %s | %s |', name,
	CASE WHEN coalesce(boot_val, '') = '' THEN '' ELSE pg_temp.quantity(boot_val, unit) END,
	coalesce(array_to_string(enumvals, ', '),
		pg_temp.quantity(min_val, unit) || ' to ' || pg_temp.quantity(max_val, unit), ''),
	CASE context WHEN 'user' THEN 'everybody' WHEN 'superuser' THEN 'superusers' WHEN 'sighup' THEN 'configuration file' ELSE context END,
	pg_temp.cell(concat_ws(' ', short_desc, extra_desc)))
FROM pg_settings
WHERE name LIKE 'chpg.%'
ORDER BY name COLLATE "C";

\echo
\echo '## Options'
\echo
\echo '| of | options |'
\echo '|---|---|'
SELECT format('| a %s | %s |', kind, regexp_replace(regexp_replace(pg_temp.options(catalog), '^.*: |\.$', '', 'g'), '"?(\w+)"?', '`\1`', 'g'))
FROM (VALUES (1, 'server', 'pg_foreign_server'::regclass), (2, 'user mapping', 'pg_user_mapping'),
	(3, 'foreign table', 'pg_foreign_table')) o(n, kind, catalog)
ORDER BY n;

\echo
\echo '[Connect](connect.md#connect-by-hand) explains those of servers and mappings, [Foreign tables](foreign-tables.md) the others.'
\echo
\echo '## Rules and thresholds'
\echo
\echo '[Findings](findings.md#change-a-threshold) says how to change one.'
\echo
\echo '| rule | name | threshold | default | unit | |'
\echo '|---|---|---|---|---|---|'
SELECT format('| %s | %s | `%s` | %s | %s | %s |', rule_id, rule_name, parameter, threshold, unit,
	pg_temp.cell(description))
FROM chpg.chpg_rule
ORDER BY rule_id COLLATE "C", ctid;
