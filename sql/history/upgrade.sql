/*
 * History: taking over the tables of the earlier layout.
 *
 * That layout had a row for each pattern of a window, and for each point of a metric.  The
 * first transaction puts its tables aside, under other names where these are taken, creates
 * those of today, and lets the views read both.  Each further transaction moves some rows
 * from one to the other, so that every window is in one of them at any time.  The last one
 * drops the old tables.  An upgrade that ends in between is continued by the next one.
 */

CREATE FUNCTION @extschema@._chpg_old_counters()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT replace(@extschema@._chpg_of_counters('o.{}'::text), 'o.total_duration_us',
		'coalesce(o.total_duration_us, o.avg_duration_us * o.call_count) AS total_duration_us')
$$;

COMMENT ON FUNCTION @extschema@._chpg_old_counters() IS
'A list of the counters of a pattern, for rows "o" of the earlier layout.';

CREATE FUNCTION @extschema@._chpg_old_rows(grain text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('(SELECT o.service_id, o.window_start, o.pattern_key, %s FROM pattern o WHERE o.grain = %L) p
			CROSS JOIN LATERAL (SELECT p.service_id) sk', @extschema@._chpg_old_counters(), grain)
$$;

COMMENT ON FUNCTION @extschema@._chpg_old_rows(text) IS
'What _chpg_history_rows joins for windows of the earlier layout.';

CREATE FUNCTION @extschema@._chpg_old_captures(with_sums boolean)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN with_sums THEN format($sums$(
			SELECT * FROM capture
			UNION ALL
			SELECT c.*, NULL, w.*
			FROM old_capture c
			LEFT JOIN LATERAL (
				SELECT (count(*) FILTER (WHERE k.query_id <> 0))::integer,
					least(coalesce(sum(p.call_count) FILTER (WHERE k.query_id <> 0), 0), 9223372036854775807)::bigint,
					least(coalesce(sum(p.error_count), 0), 9223372036854775807)::bigint,
					coalesce(sum(p.total_duration_us), 0),
					coalesce(sum(p.total_duration_us) FILTER (WHERE k.query_id <> 0), 0),
					min(p.p95_duration_us) FILTER (WHERE k.query_id <> 0),
					max(p.p95_duration_us) FILTER (WHERE k.query_id <> 0),
					min(p.p99_duration_us) FILTER (WHERE k.query_id <> 0),
					max(p.p99_duration_us) FILTER (WHERE k.query_id <> 0),
					least(coalesce(sum(p.total_rows), 0), 9223372036854775807)::bigint,
					least(coalesce(sum(p.total_shared_blks_read), 0), 9223372036854775807)::bigint,
					least(coalesce(sum(p.total_shared_blks_hit), 0), 9223372036854775807)::bigint,
					coalesce(sum(p.total_cpu_time_us), 0),
					least(coalesce(sum(p.total_wal_bytes), 0), 9223372036854775807)::bigint
				FROM (SELECT o.pattern_key, %s FROM pattern o
					WHERE o.service_id = c.service_id AND o.grain = c.grain AND o.window_start = c.window_start) p
				JOIN old_pattern_key k USING (pattern_key)
			) w ON c.status = 'ok')$sums$, @extschema@._chpg_old_counters())
		ELSE format('(SELECT %1$s FROM capture UNION ALL SELECT %1$s FROM old_capture)',
			'service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us, error, attempts, '
			'captured_at') END
$$;

COMMENT ON FUNCTION @extschema@._chpg_old_captures(boolean) IS
'What stands for the table capture in views during an upgrade.
with_sums: with the sums of each window; else only with the columns of the earlier layout.';

CREATE FUNCTION @extschema@._chpg_old_points()
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $points$SELECT m."time", s.service_name, m.service_id, s.tags->>'Environment', s.tags->>'team',
			m.metric, m.series, m.unit, m.value, date_trunc('day', m."time", 'UTC')
		FROM metric_point m
		LEFT JOIN service s ON s.service_id = m.service_id AND m."time" >= s.valid_from AND m."time" < s.valid_to
		WHERE m.value IS NOT NULL$points$
$$;

COMMENT ON FUNCTION @extschema@._chpg_old_points() IS
'A query of the points of the earlier layout, in the columns of the view metric.';

CREATE FUNCTION @extschema@._chpg_old_days(schema name)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($views$
		CREATE OR REPLACE VIEW %1$I.pattern_daily AS
		SELECT d."time", s.service_name, d.service_id, s.region, s.size, s.tags->>'Environment' AS tag_environment,
			s.tags->>'team' AS tag_team, d.query_hex, d.query_id, d.query, d.query_text, d.db_name, d.db_user,
			d.db_operation, d.app, d.hours, d.call_count, d.error_count, d.total_duration_us,
			d.total_duration_us / nullif(d.call_count, 0) AS avg_duration_us, d.max_duration_us, d.p95_lo_us,
			d.p95_hi_us, d.total_rows, d.total_shared_blks_read, d.total_shared_blks_hit,
			d.total_shared_blks_hit::float8
				/ nullif(d.total_shared_blks_hit::float8 + d.total_shared_blks_read, 0) AS hit_ratio,
			d.total_cpu_time_us, d.total_wal_bytes, NULL::integer AS text_id
		FROM (
			SELECT date_trunc('day', h."time", 'UTC') AS "time", h.service_id, h.query_hex, h.query_id, h.query,
				h.query_text, h.db_name, h.db_user, h.db_operation, h.app, count(*)::integer AS hours,
				least(sum(h.call_count), 9223372036854775807)::bigint AS call_count,
				least(sum(h.error_count), 9223372036854775807)::bigint AS error_count,
				sum(h.total_duration_us) AS total_duration_us, max(h.max_duration_us) AS max_duration_us,
				min(h.p95_duration_us) AS p95_lo_us, max(h.p95_duration_us) AS p95_hi_us,
				least(sum(h.total_rows), 9223372036854775807)::bigint AS total_rows,
				least(sum(h.total_shared_blks_read), 9223372036854775807)::bigint AS total_shared_blks_read,
				least(sum(h.total_shared_blks_hit), 9223372036854775807)::bigint AS total_shared_blks_hit,
				sum(h.total_cpu_time_us) AS total_cpu_time_us,
				least(sum(h.total_wal_bytes), 9223372036854775807)::bigint AS total_wal_bytes
			FROM %1$I.pattern_hour h
			GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
		) d
		LEFT JOIN service s ON s.service_id = d.service_id AND d."time" >= s.valid_from AND d."time" < s.valid_to;

		CREATE OR REPLACE VIEW %1$I.error_daily AS
		SELECT p."time", s.service_name, p.service_id, s.tags->>'Environment' AS tag_environment,
			s.tags->>'team' AS tag_team, p.db_name, p.db_user, p.app, p.error_count, p.call_count,
			CASE WHEN NOT EXISTS (SELECT FROM %2$s c WHERE c.service_id = p.service_id AND c.grain = 'hour'
					AND c.window_start >= p."time" AND c.window_start < p."time" + interval '24 hours' AND c.truncated)
				THEN p.error_count::float8 / nullif(p.error_count::float8 + p.call_count, 0) END AS error_ratio
		FROM (
			SELECT date_trunc('day', h."time", 'UTC') AS "time", h.service_id, h.db_name, h.db_user, h.app,
				least(sum(h.error_count), 9223372036854775807)::bigint AS error_count,
				least(coalesce(sum(h.call_count) FILTER (WHERE h.query_id <> 0), 0), 9223372036854775807)::bigint
					AS call_count
			FROM (%3$s) h
			GROUP BY 1, 2, 3, 4, 5
			HAVING sum(h.error_count) > 0
		) p
		LEFT JOIN service s ON s.service_id = p.service_id AND p."time" >= s.valid_from AND p."time" < s.valid_to;
	$views$, schema, @extschema@._chpg_old_captures(false), @extschema@._chpg_history_rows('hour'::text,
		'p.window_start AS "time", sk.service_id, k.query_id, k.db_name, k.db_user, k.app, p.error_count, p.call_count'
			::text, true))
$$;

COMMENT ON FUNCTION @extschema@._chpg_old_days(name) IS
'The views of days during an upgrade: they sum hours.';

/*
 * As _chpg_history_lock, which refuses a history of the earlier layout.  The third lock, which
 * only an upgrade takes, is what _chpg_is_upgrading looks for.
 */
CREATE FUNCTION @extschema@._chpg_upgrade_lock()
RETURNS name
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	place pg_catalog.name := @extschema@._chpg_history_enter_layout(true);
	tables pg_catalog.text[];
BEGIN
	LOCK TABLE setting IN SHARE UPDATE EXCLUSIVE MODE;
	-- another upgrade may have come first
	tables := ARRAY(SELECT t.name::text FROM @extschema@._chpg_history_tables_in(place) t WHERE t.parent IS NULL);
	EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', array_to_string(tables, ', '));
	IF to_regclass(format('%I.old_capture', place)) IS NOT NULL THEN
		LOCK TABLE old_capture IN SHARE ROW EXCLUSIVE MODE;
	END IF;
	PERFORM @extschema@._chpg_history_enter_layout(true);
	PERFORM @extschema@._chpg_refuse_code(t::regclass) FROM unnest(tables) t;
	RETURN place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_lock() IS
'Enter a history of any layout as its owner, once no other session changes it.
Errors: 55000 there is no history, or it cannot be used.';

/* Statements of others wait for these locks, so that none is waited for longer than this. */
CREATE FUNCTION @extschema@._chpg_upgrade_put_aside(place name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
	part record;
	given record;
	views CONSTANT name[] := ARRAY(SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = quote_ident(place)::regnamespace AND c.relkind = 'v');
BEGIN
	FOR part IN
		SELECT c.relname, c.relkind, 'old_' || c.relname AS kept_as
		FROM @extschema@._chpg_old_tables() t
		CROSS JOIN LATERAL (
			SELECT format('%I.%I', place, t.name)::regclass AS oid
			UNION ALL
			SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = format('%I.%I', place, t.name)::regclass
			UNION ALL
			SELECT d.objid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'i'
				AND d.refclassid = 'pg_class'::regclass AND d.refobjid = format('%I.%I', place, t.name)::regclass
		) o
		JOIN pg_class c ON c.oid = o.oid
		WHERE t.name <> t.kept_as AND c.relkind IN ('r', 'i', 'S')
	LOOP
		EXECUTE format('ALTER %s %I.%I RENAME TO %I', CASE part.relkind WHEN 'r' THEN 'TABLE' WHEN 'i' THEN 'INDEX'
			ELSE 'SEQUENCE' END, place, part.relname, left(part.kept_as, 63));
	END LOOP;
	EXECUTE format('ALTER TABLE %I.old_pattern_key ADD COLUMN new_key integer', place);
	PERFORM @extschema@._chpg_history_fill(place);
	-- a role that could read patterns can still read them, and compare
	FOR given IN
		SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role,
			string_agg(format('%I.%I', place, n.relname), ', ') AS relations
		FROM pg_class c
		CROSS JOIN LATERAL aclexplode(c.relacl) a
		JOIN pg_class n ON n.relnamespace = c.relnamespace AND CASE c.relkind
			WHEN 'v' THEN n.relkind = 'v' AND n.relname <> ALL (views)
			ELSE n.relname IN (SELECT t.name FROM @extschema@._chpg_history_tables() t
				WHERE t.name NOT IN ('setting', 'service')) END
		WHERE c.relnamespace = quote_ident(place)::regnamespace AND c.relname IN ('pattern', 'pattern_hour')
			AND a.grantee <> c.relowner AND a.privilege_type = 'SELECT'
		GROUP BY a.grantee, c.oid
	LOOP
		EXECUTE format('GRANT SELECT ON %s TO %s', given.relations, given.role);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_put_aside(name) IS
'Rename the tables of the earlier layout, and create those of today beside them.
Errors: 55P03 others use the tables.';

CREATE FUNCTION @extschema@._chpg_upgrade_begin()
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $$
DECLARE
	place name := @extschema@._chpg_upgrade_lock();
	reader text;
BEGIN
	IF @extschema@._chpg_history_layout(place) = 2 THEN
		RETURN NULL;
	END IF;
	IF to_regclass(format('%I.old_capture', place)) IS NULL THEN
		-- it could not be dropped, and would read less and less
		SELECT min(format('%s reads table %I.%I', pg_describe_object('pg_class'::regclass, w.ev_class, 0),
			place, c.relname))
		INTO reader
		FROM pg_depend d
		JOIN pg_rewrite w ON w.oid = d.objid
		JOIN pg_class c ON c.oid = d.refobjid
		JOIN pg_class v ON v.oid = w.ev_class
		WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
			AND c.relnamespace = quote_ident(place)::regnamespace
			AND (c.relname IN (SELECT t.name FROM @extschema@._chpg_old_tables() t) OR c.relname ^@ 'pattern_of_')
			AND NOT (v.relnamespace = c.relnamespace AND v.relname IN ('pattern_hour', 'pattern_day', 'service_hour',
				'service_day', 'error_hour', 'metric', 'coverage'));
		IF reader IS NOT NULL THEN
			RAISE EXCEPTION 'the history cannot be upgraded: %', reader
				USING ERRCODE = 'object_not_in_prerequisite_state',
					DETAIL = 'The upgrade drops the table.',
					HINT = 'Drop the view, and create it over the views of the history.';
		END IF;
		FOR attempt IN 1 .. 10 LOOP
			BEGIN
				PERFORM @extschema@._chpg_upgrade_put_aside(place);
				EXIT;
			EXCEPTION WHEN lock_not_available THEN
				IF attempt = 10 THEN
					RAISE EXCEPTION 'the history cannot be upgraded: another session reads it'
						USING ERRCODE = 'lock_not_available', HINT = 'Try again when that has ended.';
				END IF;
			END;
			PERFORM pg_sleep(1);
		END LOOP;
		LOCK TABLE old_capture IN SHARE ROW EXCLUSIVE MODE;
		UPDATE setting s SET description = d.description
		FROM @extschema@._chpg_history_defaults() d
		WHERE d.name = s.name AND d.description <> s.description;
		UPDATE setting s SET value = greatest(s.value::interval, r.value::interval + interval '1 day')
		FROM setting r
		WHERE s.name = 'keep_open' AND r.name = 'api_retention'
			AND @extschema@._chpg_history_check_setting(r.name, r.value)::interval + interval '1 day'
				> s.value::interval;
	END IF;
	PERFORM @extschema@._chpg_history_settings();
	RETURN (SELECT jsonb_build_object('windows', count(*), 'rows', coalesce(sum(c.patterns), 0)) FROM old_capture c)
		|| (SELECT jsonb_build_object('bytes',
				sum(pg_total_relation_size(coalesce(p.relid, t.kept_as::text::regclass))))
			FROM @extschema@._chpg_old_tables() t
			LEFT JOIN LATERAL pg_partition_tree(t.kept_as::text::regclass) p ON true
			WHERE t.parent IS NULL);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_begin() IS
'Begin the upgrade of a history, or go on with it; null if there is nothing to upgrade.
Returns how many windows, rows and bytes are left.
Errors: 22023 a setting cannot be used; 55000 a view of others reads the tables; 55P03 others
  use them.';

/* A text may have been written under two hashes, and a pattern under two keys, which become one. */
CREATE FUNCTION @extschema@._chpg_upgrade_keys(after bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	batch bigint[];
BEGIN
	PERFORM @extschema@._chpg_upgrade_lock();
	batch := ARRAY(SELECT k.pattern_key FROM old_pattern_key k WHERE k.pattern_key > after AND k.new_key IS NULL
		ORDER BY k.pattern_key LIMIT 1000);
	PERFORM @extschema@._chpg_window_rows(ARRAY(
		SELECT jsonb_populate_record(NULL::@extschema@.chpg_slow_pattern_row,
			to_jsonb(k) || coalesce(to_jsonb(t), '{}'))
		FROM old_pattern_key k
		LEFT JOIN old_query_text t USING (text_id)
		WHERE k.pattern_key = ANY (batch)), '-infinity'::timestamptz);
	WITH keys AS (
		SELECT o.pattern_key AS old_key, k.pattern_key, t.last_seen
		FROM old_pattern_key o
		LEFT JOIN old_query_text t USING (text_id)
		JOIN query_text n ON n.text_hash = sha256(convert_to(coalesce(t.query_text, ''), 'UTF8'))
		JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
			(o.query_id, o.db_name, o.db_user, o.db_operation, o.app, n.text_id)
		WHERE o.pattern_key = ANY (batch)
	), seen AS (
		UPDATE pattern_key k SET last_seen = greatest(k.last_seen, f.last_seen)
		FROM (SELECT n.pattern_key, max(n.last_seen) AS last_seen FROM keys n GROUP BY n.pattern_key) f
		WHERE k.pattern_key = f.pattern_key
	)
	UPDATE old_pattern_key o SET new_key = n.pattern_key FROM keys n WHERE o.pattern_key = n.old_key;
	RETURN (SELECT max(b) FROM unnest(batch) b);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_keys(bigint) IS
'Take over patterns and texts with the next keys of the earlier layout.
Returns the last of these keys; null if there are no more.';

/*
 * A portion is what a service has of a day, or, of windows of a day, of a month.  Services are
 * taken in order, so that none is searched for among the rows that were deleted.
 */
CREATE FUNCTION @extschema@._chpg_upgrade_windows(service text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id text;
	portion record;
	from_time timestamptz;
	to_time timestamptz;
	sealed_before timestamptz;
	key integer;
	old record;
	windows integer := 0;
BEGIN
	PERFORM @extschema@._chpg_upgrade_lock();
	id := least((SELECT min(c.service_id) FROM old_capture c WHERE c.service_id >= service),
		(SELECT min(o.service_id) FROM pattern o WHERE o.service_id >= service));
	IF id IS NULL THEN
		RETURN NULL;
	END IF;
	SELECT f.* INTO portion
	FROM (
		(SELECT c.grain, c.window_start FROM old_capture c WHERE c.service_id = id ORDER BY 1, 2 LIMIT 1)
		UNION ALL
		(SELECT o.grain, o.window_start FROM pattern o WHERE o.service_id = id ORDER BY 1, 2 LIMIT 1)
	) f
	ORDER BY 1, 2 LIMIT 1;
	from_time := date_trunc(CASE portion.grain WHEN 'hour' THEN 'day' ELSE 'month' END, portion.window_start, 'UTC');
	to_time := CASE portion.grain WHEN 'hour' THEN from_time + interval '24 hours'
		ELSE date_trunc('month', from_time + interval '40 days', 'UTC') END;
	sealed_before := (SELECT now() - s.keep_open FROM @extschema@._chpg_history_settings() s);
	key := @extschema@._chpg_service_key(id);
	FOR old IN EXECUTE format('
		SELECT window_start, w.rows, c.window_end, c.status, c.patterns, c.truncated, c.cutoff_us, c.error, c.attempts,
			c.captured_at
		FROM (
			SELECT p.window_start, array_agg(ROW(p.new_key, %s)::@extschema@._chpg_window_row) AS rows
			FROM (
				SELECT DISTINCT ON (o.window_start, k.new_key) o.window_start, k.new_key, %s
				FROM pattern o
				JOIN old_pattern_key k USING (pattern_key)
				WHERE o.service_id = $1 AND o.grain = $2 AND o.window_start >= $3 AND o.window_start < $4
				ORDER BY o.window_start, k.new_key, o.total_duration_us DESC NULLS LAST
			) p
			GROUP BY p.window_start
		) w
		FULL JOIN (
			SELECT c.* FROM old_capture c
			WHERE c.service_id = $1 AND c.grain = $2 AND c.window_start >= $3 AND c.window_start < $4
		) c USING (window_start)
		ORDER BY window_start',
		(SELECT string_agg(format(CASE a.atttypid WHEN 'real'::regtype THEN '@extschema@._chpg_real(p.%I)'
				ELSE 'p.%I' END, a.attname), ', ' ORDER BY a.attnum)
			FROM pg_attribute a
			WHERE a.attrelid = '@extschema@._chpg_window_row'::regclass AND a.attnum > 1),
		@extschema@._chpg_old_counters())
	USING id, portion.grain, from_time, to_time LOOP
		IF old.rows IS NOT NULL AND old.window_start < sealed_before THEN
			PERFORM @extschema@._chpg_seal_window(portion.grain, key, old.window_start, old.rows);
		ELSIF old.rows IS NOT NULL THEN
			PERFORM @extschema@._chpg_write_window(portion.grain, key, old.window_start, old.rows);
		END IF;
		IF old.status = 'ok' THEN
			PERFORM @extschema@._chpg_note_capture(id, portion.grain, old.window_start, old.window_end, old.rows,
				old.patterns, old.truncated, old.cutoff_us, false, old.error, old.attempts, old.captured_at);
		ELSIF old.status IS NOT NULL THEN
			INSERT INTO capture (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us,
				error, attempts, captured_at)
			VALUES (id, portion.grain, old.window_start, old.window_end, old.status, old.patterns, old.truncated,
				old.cutoff_us, old.error, old.attempts, old.captured_at);
		END IF;
		windows := windows + (old.status IS NOT NULL)::integer;
	END LOOP;
	IF portion.grain = 'hour' THEN
		PERFORM @extschema@._chpg_sum_day(key, from_time);
	END IF;
	DELETE FROM pattern o WHERE o.service_id = id AND o.grain = portion.grain AND o.window_start >= from_time
		AND o.window_start < to_time;
	DELETE FROM old_capture c WHERE c.service_id = id AND c.grain = portion.grain AND c.window_start >= from_time
		AND c.window_start < to_time;
	RETURN jsonb_build_object('service', id, 'windows', windows);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_windows(text) IS
'Take over the next windows of the first service whose id is not less than this one.
Returns the service and the number of its windows; null if there are none.';

/* The time between two points, which no row of them says, is the shortest one of the day. */
CREATE FUNCTION @extschema@._chpg_upgrade_points(service text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET extra_float_digits = 1
AS $$
DECLARE
	id text;
	metric_names text[];
	series_names text[];
	day timestamptz;
	points @extschema@.chpg_metric_row[];
	step interval;
BEGIN
	PERFORM @extschema@._chpg_upgrade_lock();
	id := (SELECT min(m.service_id) FROM metric_point m WHERE m.service_id >= service);
	IF id IS NULL THEN
		RETURN NULL;
	END IF;
	-- from one series to the next by the index
	WITH RECURSIVE s AS (
		(SELECT m.metric, m.series FROM metric_point m WHERE m.service_id = id ORDER BY 1, 2 LIMIT 1)
		UNION ALL
		SELECT n.* FROM s CROSS JOIN LATERAL (
			SELECT m.metric, m.series FROM metric_point m
			WHERE m.service_id = id AND (m.metric, m.series) > (s.metric, s.series) ORDER BY 1, 2 LIMIT 1) n
	)
	SELECT array_agg(s.metric), array_agg(s.series), date_trunc('day', min(f."time"), 'UTC')
	INTO metric_names, series_names, day
	FROM s
	CROSS JOIN LATERAL (
		SELECT m."time" FROM metric_point m
		WHERE m.service_id = id AND m.metric = s.metric AND m.series = s.series ORDER BY 1 LIMIT 1) f;
	-- _chpg_note_points takes up to 1000 series
	FOR part IN 0 .. (cardinality(metric_names) - 1) / 500 LOOP
		WITH found AS MATERIALIZED (
			SELECT m.*, m."time" - lag(m."time") OVER (PARTITION BY m.metric, m.series ORDER BY m."time") AS gap
			FROM unnest(metric_names[part * 500 + 1:part * 500 + 500], series_names[part * 500 + 1:part * 500 + 500])
				s(metric, series)
			JOIN metric_point m ON m.service_id = id AND m.metric = s.metric AND m.series = s.series
				AND m."time" >= day AND m."time" < day + interval '24 hours'
		)
		SELECT array_agg(jsonb_populate_record(NULL::@extschema@.chpg_metric_row, to_jsonb(f)
				|| jsonb_build_object('timestamp', f."time"))),
			greatest(coalesce(min(f.gap), interval '1 hour'), interval '1 second')
		INTO points, step FROM found f;
		PERFORM @extschema@._chpg_note_points(@extschema@._chpg_service_key(id), day, day + interval '24 hours', step,
			points);
	END LOOP;
	DELETE FROM metric_point m
	USING unnest(metric_names, series_names) s(metric, series)
	WHERE m.service_id = id AND m.metric = s.metric AND m.series = s.series AND m."time" >= day
		AND m."time" < day + interval '24 hours';
	RETURN id;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_points(text) IS
'Take over the next day''s points of the first service whose id is not less than this one.
Returns the service; null if there is none.';

CREATE FUNCTION @extschema@._chpg_upgrade_drop(place name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
BEGIN
	-- without it the views are those of the layout of today
	EXECUTE format('ALTER TABLE %1$I.old_capture RENAME TO capture_of_old', place);
	PERFORM @extschema@._chpg_history_create_views(place);
	EXECUTE format('DROP TABLE %1$I.capture_of_old, %1$I.pattern, %1$I.metric_point, %1$I.old_pattern_key,
		%1$I.old_query_text', place);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_drop(name) IS
'Drop the tables of the earlier layout.
Errors: 2BP01 objects of others depend on them; 55P03 others use them.';

CREATE FUNCTION @extschema@._chpg_upgrade_end()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := @extschema@._chpg_upgrade_lock();
BEGIN
	IF EXISTS (SELECT FROM old_capture) OR EXISTS (SELECT FROM pattern) OR EXISTS (SELECT FROM metric_point) THEN
		RAISE EXCEPTION 'the history has rows that were not upgraded: run chpg_history_upgrade again'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	PERFORM @extschema@._chpg_upgrade_drop(place);
	RETURN true;
EXCEPTION WHEN lock_not_available THEN
	RETURN false;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_upgrade_end() IS
'End the upgrade of a history, all of which was taken over; false if others use its old tables.
Errors: 2BP01 objects of others depend on them; 55000 not all was taken over.';

CREATE PROCEDURE @extschema@.chpg_history_upgrade()
LANGUAGE plpgsql
AS $$
DECLARE
	callers_path pg_catalog.text := pg_catalog.current_setting('search_path');
	owner pg_catalog.oid;
	plan pg_catalog.jsonb;
	done pg_catalog.jsonb;
	key pg_catalog.int8 := 0;
	service pg_catalog.text := '';
	windows pg_catalog.int8 := 0;
	reported_at pg_catalog.timestamptz := pg_catalog.clock_timestamp();
	attempts integer := 0;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM @extschema@._chpg_history_check_caller('an upgrade'::text);
	CALL @extschema@._chpg_check_commits('chpg_history_upgrade'::text, 'psql -c "CALL chpg_history_upgrade()"'::text);
	owner := @extschema@._chpg_history_owner_in(@extschema@._chpg_history_enter_layout(true));
	plan := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_upgrade_begin()'::text, ROW());
	CALL @extschema@._chpg_capture_commit();
	IF plan IS NULL THEN
		RAISE NOTICE 'the history has the present layout, skipping';
		PERFORM set_config('search_path', callers_path, true);
		RETURN;
	END IF;
	RAISE NOTICE 'upgrading % windows with % rows, % in all, takes about % seconds', plan->>'windows', plan->>'rows',
			pg_size_pretty((plan->>'bytes')::bigint), ceil((plan->>'bytes')::bigint / 1e6)
		USING DETAIL = 'The old tables take their disk space until the end.',
			HINT = 'It can be ended at any time: the next call goes on with the rest.';
	WHILE key IS NOT NULL LOOP
		key := @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_upgrade_keys($1))'::text,
			ROW(key))::bigint;
		CALL @extschema@._chpg_capture_commit();
	END LOOP;
	LOOP
		done := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_upgrade_windows($1)'::text, ROW(service));
		CALL @extschema@._chpg_capture_commit();
		EXIT WHEN done IS NULL;
		service := done->>'service';
		windows := windows + (done->>'windows')::bigint;
		reported_at := @extschema@._chpg_report_progress('upgrade'::text, reported_at, windows,
			(plan->>'windows')::bigint);
	END LOOP;
	service := '';
	WHILE service IS NOT NULL LOOP
		service := @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_upgrade_points($1))'::text,
			ROW(service)) #>> '{}';
		CALL @extschema@._chpg_capture_commit();
		reported_at := @extschema@._chpg_report_progress('upgrade'::text, reported_at, windows,
			(plan->>'windows')::bigint);
	END LOOP;
	WHILE NOT @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_upgrade_end())'::text,
			ROW())::boolean LOOP
		CALL @extschema@._chpg_capture_commit();
		attempts := attempts + 1;
		IF attempts = 60 THEN
			RAISE EXCEPTION 'the upgrade cannot end: another session reads the history'
				USING ERRCODE = 'lock_not_available',
					HINT = 'When that has ended, run once more: CALL chpg_history_upgrade();';
		END IF;
		PERFORM pg_sleep(1);
	END LOOP;
	CALL @extschema@._chpg_capture_commit();
	PERFORM @extschema@._chpg_progress('upgrade'::text, NULL::bigint, NULL::bigint);
	PERFORM set_config('search_path', callers_path, true);
END
$$;

COMMENT ON PROCEDURE @extschema@.chpg_history_upgrade() IS
'Convert a history of an earlier version of chpg to the layout of this one.
Works in small transactions: what ends it in between loses nothing, and the next call goes on.
Meanwhile the views show all windows; captures, purges, comparisons and findings are refused.
NOTICEs report the cost before, and the progress each minute.
Requests: none.
Errors: 22023 a setting of the history cannot be used; 25001 in a transaction block; 25006 on a
  standby; 2BP01, 55000 objects of others read the tables; 42501 the caller does not own the
  history; 55000 there is no history, or it cannot be used; 55P03 other sessions use the tables.';

REVOKE EXECUTE ON PROCEDURE @extschema@.chpg_history_upgrade() FROM PUBLIC;
