/*
 * History: whether its tables are safe to use.
 *
 * Captures, purges, comparisons and findings run over tables that other roles may have
 * privileges on, or may have owned.  Refused is anything that runs code there, or can be
 * made to, and so are privileges to change the tables.
 */

CREATE FUNCTION @extschema@._chpg_history_tables()
RETURNS TABLE (name name, kind "char", needed_for text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('setting'::name, 'r'::"char", 'history'),
		('service', 'r', 'history'),
		('service_key', 'r', 'history'),
		('query_text', 'r', 'history'),
		('pattern_key', 'r', 'history'),
		('capture', 'r', 'history'),
		('open_hour', 'r', 'history'),
		('open_day', 'r', 'history'),
		('sealed_hour', 'p', 'history'),
		('sealed_day', 'p', 'history'),
		('archive', 'r', NULL),
		('day_sum', 'r', 'history'),
		('metric_day', 'r', NULL),
		('score_hour', 'r', 'patterns'),
		('limit_day', 'r', NULL),
		('finding_log', 'r', NULL),
		('finding_mute', 'r', NULL),
		('alert', 'r', NULL),
		('alert_delivery', 'r', NULL),
		('watch_state', 'r', NULL),
		('watch_skipped', 'r', NULL),
		('notification_state', 'r', NULL),
		('threshold', 'r', NULL),
		('maintenance', 'r', NULL)
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_tables() IS
'The tables of a history.
kind: pg_class.relkind.
needed_for: history: without the table there is none; chpg_history_enable adds the others to a
  history of an earlier version that lacks them. patterns: their readers need it, too.';

/*
 * The layout before this one.  It has the tables setting and service, too, and its tables
 * query_text, pattern_key and capture have other columns than those of today.
 */
CREATE FUNCTION @extschema@._chpg_old_tables()
RETURNS TABLE (name name, kind "char", parent name, kept_as name)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('query_text'::name, 'r'::"char", NULL::name, 'old_query_text'::name),
		('pattern_key', 'r', NULL, 'old_pattern_key'),
		('capture', 'r', NULL, 'old_capture'),
		('pattern', 'p', NULL, 'pattern'),
		('metric_point', 'r', NULL, 'metric_point'),
		('pattern_of_hour', 'p', 'pattern', 'pattern_of_hour'),
		('pattern_of_day', 'p', 'pattern', 'pattern_of_day')
$$;

COMMENT ON FUNCTION @extschema@._chpg_old_tables() IS
'The tables of a history of the earlier layout, apart from setting and service.
kind: pg_class.relkind. parent: the table that each is a partition of, or null.
kept_as: name of the table during an upgrade.';

/*
 * Defaults, constraints and indexes are compared with those of _chpg_history_fill.
 * A foreign key is a trigger of both tables.
 *
 * Each statement over the history looks several times.  A plan for these very tables
 * is no better than a generic one, and takes four times as long as its execution.
 */
CREATE FUNCTION @extschema@._chpg_history_planted(schema text, ids oid[])
RETURNS TABLE (state text, remedy text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	of_sealed CONSTANT text := format('CHECK (((cardinality(pattern_key) = patterns)%s))',
		@extschema@._chpg_of_counters(' AND (cardinality({}) = patterns)', ''));
	of_scores CONSTANT text := format('CHECK ((%s))',
		@extschema@._chpg_of_scores('(cardinality({}) = patterns)'::text, ' AND '::text));
BEGIN
	RETURN QUERY
	SELECT f.state, f.remedy
	FROM (
		SELECT 1, c.relname,
			CASE WHEN t.tgconstraint = 0
				THEN format('has a trigger "%s" on table "%s"', t.tgname, c.relname)
				ELSE format('has a constraint "%s" of table %s on table "%s"', k.conname, k.conrelid::regclass,
					c.relname) END,
			CASE WHEN t.tgconstraint = 0 OR NOT t.tgisinternal
				THEN format('Run: DROP TRIGGER %I ON %s;', t.tgname, c.oid::regclass)
				ELSE format('Run: ALTER TABLE %s DROP CONSTRAINT %I;', k.conrelid::regclass, k.conname) END
		FROM pg_trigger t
		JOIN pg_class c ON c.oid = t.tgrelid
		LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
		WHERE t.tgrelid = ANY (ids)
		UNION ALL
		SELECT 2, c.relname, format('has a rule "%s" on table "%s"', w.rulename, c.relname),
			format('Run: DROP RULE %I ON %s;', w.rulename, c.oid::regclass)
		FROM pg_rewrite w
		JOIN pg_class c ON c.oid = w.ev_class
		WHERE w.ev_class = ANY (ids)
		UNION ALL
		SELECT 3, c.relname, format('has row security on table "%s"', c.relname),
			format('Run: ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;', c.oid::regclass)
		FROM pg_class c
		WHERE c.oid = ANY (ids) AND (c.relrowsecurity OR c.relforcerowsecurity)
		UNION ALL
		SELECT 4, c.relname, format('has a policy "%s" on table "%s"', p.polname, c.relname),
			format('Run: DROP POLICY %I ON %s;', p.polname, c.oid::regclass)
		FROM pg_policy p
		JOIN pg_class c ON c.oid = p.polrelid
		WHERE p.polrelid = ANY (ids)
		UNION ALL
		SELECT 5, c.relname, format('has a constraint "%s" on table "%s"', k.conname, c.relname),
			format('Run: ALTER TABLE %s DROP CONSTRAINT %I;', c.oid::regclass, k.conname)
		FROM pg_constraint k
		JOIN pg_class c ON c.oid = k.conrelid
		WHERE k.conrelid = ANY (ids) AND k.contype NOT IN ('p', 'u', 'n')
			AND (replace(c.relname, 'old_', ''), pg_get_constraintdef(k.oid)) NOT IN (
			('capture', 'CHECK ((grain = ANY (ARRAY[''hour''::text, ''day''::text])))'),
			('capture', 'CHECK ((status = ANY (ARRAY[''ok''::text, ''error''::text, ''lost''::text])))'))
			AND NOT (c.relname ~ '^sealed_(hour|day)(_[0-9]{6})?$' AND pg_get_constraintdef(k.oid) = of_sealed)
			AND NOT (c.relname = 'score_hour' AND pg_get_constraintdef(k.oid) = of_scores)
		UNION ALL
		SELECT 6, c.relname, format('has a %s of column "%s" of table "%s"',
				CASE a.attgenerated WHEN '' THEN 'default' ELSE 'formula' END, a.attname, c.relname),
			format(CASE a.attgenerated WHEN '' THEN 'Run: ALTER TABLE %s ALTER %I DROP DEFAULT;'
				ELSE 'Run: ALTER TABLE %s DROP COLUMN %I;' END, c.oid::regclass, a.attname)
		FROM pg_attrdef d
		JOIN pg_class c ON c.oid = d.adrelid
		JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
		WHERE d.adrelid = ANY (ids)
			AND (a.attgenerated <> ''
				OR (replace(c.relname, 'old_', ''), a.attname, pg_get_expr(d.adbin, d.adrelid)) NOT IN (
			('service', 'valid_to', '''infinity''::timestamp with time zone'), ('service', 'server', '''''::text'),
			('capture', 'truncated', 'false'), ('capture', 'attempts', '0')))
		UNION ALL
		SELECT 7, c.relname, format('has an index %s with an expression or a predicate', x.indexrelid::regclass),
			format('Run: DROP INDEX %s;', x.indexrelid::regclass)
		FROM pg_index x
		JOIN pg_class c ON c.oid = x.indrelid
		WHERE x.indrelid = ANY (ids) AND (x.indexprs IS NOT NULL OR x.indpred IS NOT NULL)
		UNION ALL
		SELECT 8, c.relname, format('has a column "%s" of table "%s" of the type %s', a.attname, c.relname,
			format_type(a.atttypid, NULL)),
			format('Give it its former type, or, if it is none of chpg''s, run: ALTER TABLE %s DROP COLUMN %I;',
				c.oid::regclass, a.attname)
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		JOIN pg_type t ON t.oid = a.atttypid
		WHERE c.oid = ANY (ids) AND NOT c.relispartition AND t.typnamespace <> 'pg_catalog'::regnamespace
		UNION ALL
		SELECT 9, o.identity, format('has the %s %s', o.type, o.identity),
			format('Move it to another schema: ALTER %s %s SET SCHEMA NEW_SCHEMA;', upper(o.type), o.identity)
		FROM pg_namespace n
		JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
			AND d.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
		CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) o
		WHERE n.nspname = _chpg_history_planted.schema
		UNION ALL
		-- the planner evaluates expressions of statistics
		SELECT 10, c.relname, format('has statistics "%s" over an expression of table "%s"', s.stxname, c.relname),
			format('Run: DROP STATISTICS %s.%I;', s.stxnamespace::regnamespace, s.stxname)
		FROM pg_statistic_ext s
		JOIN pg_class c ON c.oid = s.stxrelid
		WHERE s.stxrelid = ANY (ids) AND s.stxexprs IS NOT NULL
		UNION ALL
		-- the partition key of a parent is checked for its children
		SELECT 11, c.relname, format('has table "%s", which is a child of %s', c.relname, i.inhparent::regclass),
			format(CASE WHEN c.relispartition THEN 'Run: ALTER TABLE %2$s DETACH PARTITION %1$s;'
				ELSE 'Run: ALTER TABLE %1$s NO INHERIT %2$s;' END,
				c.oid::regclass, i.inhparent::regclass)
		FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhrelid = ANY (ids) AND i.inhparent <> ALL (ids)
		UNION ALL
		SELECT 12, c.relname, format('has table "%s", which is partitioned by %s', c.relname, pg_get_partkeydef(c.oid)),
			'End this history, and begin another: SELECT chpg_history_disable(); '
				'SELECT chpg_history_enable(''NEW_NAME'');'
		FROM pg_class c
		WHERE c.oid = ANY (ids) AND c.relkind = 'p'
			AND pg_get_partkeydef(c.oid) <> CASE c.relname WHEN 'pattern' THEN 'LIST (grain)'
				ELSE 'RANGE (window_start)' END
	) f(place, name, state, remedy)
	ORDER BY f.place, length(f.name::text), f.name, f.state
	LIMIT 1;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_planted(text, oid[]) IS
'The first object that can run code over a history''s tables, and a HINT that removes it.
schema: of the history. ids: its tables. No row if there is none.';

/*
 * Checked in turn: relations that chpg did not create, what runs code over the tables, and
 * privileges of other roles.  A member of the owner has the owner's rights, whatever else
 * it is granted.
 */
CREATE FUNCTION @extschema@._chpg_history_flaw(schema text)
RETURNS TABLE (state text, remedy text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place oid := (SELECT n.oid FROM pg_namespace n WHERE n.nspname = schema);
	ids oid[];
BEGIN
	-- the tables, their partitions, other children, and their sequences
	WITH tables AS (
		SELECT c.oid, c.relname, c.relkind = t.kind AS is_expected
		FROM @extschema@._chpg_history_tables_in(schema::name) t
		JOIN pg_class c ON c.relname = t.name AND c.relnamespace = place
	), relations(id, state, remedy) AS (
		SELECT t.oid, CASE WHEN NOT t.is_expected THEN format('has "%s", which is no table that chpg made', t.relname) END,
			'Put the table back that had its name.'
		FROM tables t
		UNION ALL
		SELECT c.oid,
			CASE WHEN NOT (c.relkind = 'r' AND c.relnamespace = place AND t.relname IN ('sealed_hour', 'sealed_day',
						'pattern_of_hour', 'pattern_of_day')
					AND c.relname ~ format('^%s_[0-9]{6}$', t.relname)) THEN
				format('has %s, which is a child of table "%s"', c.oid::regclass, t.relname) END,
			format(CASE WHEN c.relispartition THEN 'Run: ALTER TABLE %2$I.%3$I DETACH PARTITION %1$s;'
				ELSE 'Run: ALTER TABLE %1$s NO INHERIT %2$I.%3$I;' END, c.oid::regclass, schema, t.relname)
		FROM tables t
		JOIN pg_inherits i ON i.inhparent = t.oid
		JOIN pg_class c ON c.oid = i.inhrelid
		WHERE NOT EXISTS (SELECT FROM tables k WHERE k.oid = c.oid)
		UNION ALL
		SELECT c.oid,
			CASE WHEN d.deptype <> 'i' OR (t.relname, a.attname) NOT IN (('service_key', 'service_key'),
					('query_text', 'text_id'), ('pattern_key', 'pattern_key'), ('old_pattern_key', 'pattern_key'),
					('archive', 'seal_id'), ('alert', 'alert_id')) THEN
				format('has sequence %s for column "%s" of table "%s"', c.oid::regclass, a.attname, t.relname) END,
			format(CASE d.deptype WHEN 'i' THEN 'Run: ALTER TABLE %2$I.%3$I ALTER %4$I DROP IDENTITY;'
				ELSE 'Run: ALTER SEQUENCE %1$s OWNED BY NONE;' END, c.oid::regclass, schema, t.relname, a.attname)
		FROM tables t
		JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
			AND d.classid = 'pg_class'::regclass AND d.deptype IN ('i', 'a')
		JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
		JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
	)
	SELECT array_agg(r.id), min(r.state), (array_agg(r.remedy ORDER BY r.state))[1]
	INTO ids, state, remedy
	FROM relations r;
	IF state IS NOT NULL THEN
		RETURN NEXT;
		RETURN;
	END IF;
	RETURN QUERY SELECT * FROM @extschema@._chpg_history_planted(schema, ids);
	IF FOUND THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH granted AS (
		SELECT c.relname, c.relkind, c.relowner, a.*
		FROM pg_class c
		CROSS JOIN LATERAL aclexplode(c.relacl) a
		WHERE c.oid = ANY (ids) AND c.relacl IS NOT NULL
		UNION ALL
		SELECT c.relname, c.relkind, c.relowner, a.*
		FROM pg_attribute t
		JOIN pg_class c ON c.oid = t.attrelid
		CROSS JOIN LATERAL aclexplode(t.attacl) a
		WHERE t.attrelid = ANY (ids) AND t.attacl IS NOT NULL
	)
	SELECT format('grants %s on "%s"%s to %s',
			string_agg(DISTINCT g.privilege_type, ', ' ORDER BY g.privilege_type), min(g.relname::text),
			CASE WHEN count(DISTINCT g.relname) > 1 THEN ' and others' END, w.role),
		format('Run: REVOKE %s ON ALL %s IN SCHEMA %I FROM %s%s;',
			string_agg(DISTINCT g.privilege_type, ', ' ORDER BY g.privilege_type), w.relations, schema, w.role,
			CASE WHEN bool_or(g.is_grantable) THEN ' CASCADE' END)
	FROM granted g
	CROSS JOIN LATERAL (
		SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS role,
			CASE g.relkind WHEN 'S' THEN 'SEQUENCES' ELSE 'TABLES' END AS relations
	) w
	WHERE g.grantee <> g.relowner AND g.privilege_type NOT IN ('SELECT', 'MAINTAIN')
		AND (g.grantee = 0 OR NOT pg_has_role(g.grantee, g.relowner, 'MEMBER'))
	GROUP BY w.relations, w.role
	ORDER BY min((g.grantor <> g.relowner)::integer), w.relations DESC, w.role
	LIMIT 1;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_flaw(text) IS
'Why the tables of a history are not safe to use, and a HINT that mends it.
No row if they are safe.';

/* A trigger that is created after the transaction's snapshot runs, but no query finds it. */
CREATE FUNCTION @extschema@._chpg_refuse_code(relation regclass)
RETURNS void
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'chpg_refuse_code';

COMMENT ON FUNCTION @extschema@._chpg_refuse_code(regclass) IS
'Check that a table and its partitions have no trigger, foreign key or rule.
Sees those that were created after the transaction''s snapshot, too.
For callers that have locked the table, before they change it.
Errors: 55000 there is one.';

/* Default privileges may have granted them. */
CREATE FUNCTION @extschema@._chpg_history_close(relation text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given record;
BEGIN
	FOR given IN
		SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role, c.relkind,
			string_agg(a.privilege_type, ', ') AS privileges
		FROM pg_class c
		CROSS JOIN LATERAL aclexplode(c.relacl) a
		WHERE c.oid = relation::regclass AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'
		GROUP BY a.grantee, c.relkind
	LOOP
		EXECUTE format('REVOKE %s ON %s %s FROM %s CASCADE', given.privileges,
			CASE given.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relation, given.role);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_close(text) IS
'Revoke all privileges on a new table from all roles but its owner, except SELECT.';
