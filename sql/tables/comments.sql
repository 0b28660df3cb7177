/*
 * Foreign tables: their columns and comments are those of the row types.
 */

CREATE FUNCTION @extschema@.chpg_table_columns(
	foreign_table text,
	OUT name text,
	OUT description text)
RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 20
AS 'MODULE_PATHNAME', 'chpg_table_columns';

COMMENT ON FUNCTION @extschema@.chpg_table_columns(text) IS
'What a foreign table of the wrapper chpg (name is null) and its columns mean.
foreign_table: as in SQL.
Requests: none.
Errors: 42P01 no such table; 42809 another kind of table.';

CREATE FUNCTION @extschema@.chpg_comment_tables(schema text)
RETURNS integer
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place regnamespace := to_regnamespace(schema);
	foreign_table record;
	foreign_column record;
	tables integer := 0;
BEGIN
	IF place IS NULL THEN
		RAISE EXCEPTION 'schema "%" does not exist', schema USING ERRCODE = 'invalid_schema_name';
	END IF;
	FOR foreign_table IN
		SELECT t.ftrelid::regclass AS name,
			EXISTS (SELECT FROM pg_options_to_table(t.ftoptions) WHERE option_name = 'resource') AS has_resource
		FROM pg_foreign_table t
		JOIN pg_class c ON c.oid = t.ftrelid
		JOIN pg_foreign_server s ON s.oid = t.ftserver
		JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'chpg'
		WHERE c.relnamespace = place
	LOOP
		IF NOT foreign_table.has_resource THEN
			RAISE WARNING 'foreign table "%" lacks option "resource" and gets no comments', foreign_table.name;
			CONTINUE;
		END IF;
		FOR foreign_column IN
			SELECT * FROM @extschema@.chpg_table_columns(foreign_table.name::text)
		LOOP
			IF foreign_column.name IS NULL THEN
				EXECUTE format('COMMENT ON FOREIGN TABLE %s IS %L',
					foreign_table.name, foreign_column.description);
			ELSE
				EXECUTE format('COMMENT ON COLUMN %s.%I IS %L',
					foreign_table.name, foreign_column.name, foreign_column.description);
			END IF;
		END LOOP;
		tables := tables + 1;
	END LOOP;
	RETURN tables;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_comment_tables(text) IS
'Give the foreign tables of a schema, and their columns, comments; return the number of tables.
IMPORT FOREIGN SCHEMA cannot. schema: as in SQL. The caller must own the tables.
A WARNING names tables without the option resource, which are left out.
Requests: none.
Errors: 3F000 no such schema.';
