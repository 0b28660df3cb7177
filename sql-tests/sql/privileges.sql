-- What everybody may do with what the extension makes: a line more is a decision
CREATE EXTENSION chpg;

CREATE VIEW of_chpg AS
SELECT classid, objid
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chpg') AND deptype = 'e';

-- Functions and procedures that PUBLIC may execute; "definer" are those that run with the rights of the extension's owner
SELECT p.oid::regprocedure AS name, CASE p.prokind WHEN 'p' THEN 'procedure' ELSE l.lanname || ' function' END AS kind,
	concat_ws(' ', 'EXECUTE', CASE WHEN p.prosecdef THEN 'definer' END) AS public_may
FROM of_chpg
JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
JOIN pg_language l ON l.oid = p.prolang
WHERE has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Relations, and what PUBLIC may do with them
SELECT c.oid::regclass AS name, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE c.relkind::text END AS kind,
	(SELECT string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) FROM aclexplode(c.relacl) a WHERE a.grantee = 0) AS public_may
FROM of_chpg
JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
WHERE c.relkind NOT IN ('c', 'i', 't')
ORDER BY c.oid::regclass::text COLLATE "C";

-- Columns of these, the wrapper, and types
SELECT c.oid::regclass AS name, a.attname, a.attacl
FROM of_chpg
JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attacl IS NOT NULL;
SELECT fdwname AS name, has_foreign_data_wrapper_privilege('public', w.oid, 'USAGE') AS public_may_use
FROM of_chpg
JOIN pg_foreign_data_wrapper w ON classid = 'pg_foreign_data_wrapper'::regclass AND w.oid = objid;
SELECT count(*) AS types, count(*) FILTER (WHERE typacl IS NOT NULL) AS with_privileges
FROM of_chpg
JOIN pg_type t ON classid = 'pg_type'::regclass AND t.oid = objid
WHERE t.typtype IN ('c', 'd', 'e') AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c';

-- What PUBLIC may not execute
SELECT p.oid::regprocedure AS revoked, CASE p.prokind WHEN 'p' THEN 'procedure' ELSE l.lanname || ' function' END AS kind,
	CASE WHEN p.prosecdef THEN 'definer' ELSE '' END AS definer
FROM of_chpg
JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
JOIN pg_language l ON l.oid = p.prolang
WHERE NOT has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Whoever is not a superuser, and owns none of it, is granted nothing else
SELECT objid::regprocedure AS name, a.grantee::regrole
FROM of_chpg
JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
CROSS JOIN LATERAL aclexplode(p.proacl) a
WHERE a.grantee NOT IN (0, p.proowner);

DROP VIEW of_chpg;
DROP EXTENSION chpg;
