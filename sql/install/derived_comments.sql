/* Comments that columns have because they show what other ones do. */

/* Attributes that mean what those of the same name mean elsewhere; those with a comment of their own keep it. */
DO $$
DECLARE
	attribute record;
BEGIN
	FOR attribute IN
		SELECT a.attrelid::regclass AS type, a.attname AS name,
			col_description(s.attrelid, s.attnum) AS description
		FROM (VALUES
			('@extschema@._chpg_window_row'::regclass, '@extschema@.chpg_slow_pattern_row'::regclass),
			('@extschema@.chpg_history_row', '@extschema@.chpg_slow_pattern_row'),
			('@extschema@.chpg_pattern_course_row', '@extschema@.chpg_slow_pattern_row'),
			('@extschema@.chpg_period_pattern_row', '@extschema@.chpg_slow_pattern_row'),
			('@extschema@._chpg_hour_score', '@extschema@._chpg_score_row'),
			('@extschema@._chpg_candidate', '@extschema@.chpg_finding_row')) t(type, source)
		JOIN pg_attribute a ON a.attrelid = t.type AND a.attnum > 0
		JOIN pg_attribute s ON s.attrelid = t.source AND s.attname = a.attname AND s.attnum > 0
		WHERE col_description(a.attrelid, a.attnum) IS NULL
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', attribute.type, attribute.name, attribute.description);
	END LOOP;
END
$$;

/*
 * A view's columns are attributes of the function that it shows, which have comments; those
 * with a comment of their own keep it.
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
		JOIN pg_attribute c ON c.attrelid = v.oid AND c.attname = a.attname
		WHERE v.relkind = 'v' AND v.relnamespace = '@extschema@'::regnamespace
			AND v.relname LIKE 'chpg\_%' AND col_description(c.attrelid, c.attnum) IS NULL
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L',
			attribute.view, attribute.name, attribute.description);
	END LOOP;
END
$$;
