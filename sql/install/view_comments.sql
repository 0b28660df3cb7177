/*
 * A view's columns are the attributes of the function that it shows, which have
 * comments.
 */
DO $$
DECLARE
	attribute record;
BEGIN
	FOR attribute IN
		SELECT v.oid::regclass AS view, a.attname AS name,
			col_description(a.attrelid, a.attnum) AS description
		FROM pg_class v
		JOIN pg_proc p ON p.proname = v.relname AND p.pronamespace = v.relnamespace
		JOIN pg_type t ON t.oid = p.prorettype
		JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
		WHERE v.relkind = 'v' AND v.relnamespace = '@extschema@'::regnamespace
			AND v.relname LIKE 'chpg\_%'
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L',
			attribute.view, attribute.name, attribute.description);
	END LOOP;
END
$$;
