/*
 * History: sealing windows that are too old to change.
 *
 * A sealed window is one row, with an array for each counter, sorted by the pattern's key.
 * Durations keep four significant digits, which compress better; counters are exact.
 */

/*
 * Unlike CREATE TABLE ... PARTITION OF, attaching a table locks out neither readers of the
 * parent nor sessions that write to it.  The partition belongs to the owner of its parent,
 * whichever role captures.  Bounds are written in one form, whatever the session's is,
 * since _chpg_history_expire reads them.
 */
CREATE FUNCTION @extschema@._chpg_history_partition(grain text, at timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
DECLARE
	place name := @extschema@._chpg_history_enter();
	parent text := 'sealed_' || grain;
	month timestamptz := date_trunc('month', at, 'UTC');
	child text := parent || '_' || to_char(month AT TIME ZONE 'UTC', 'YYYYMM');
	owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = format('%I.%I', place, parent)::regclass);
	bound text := format('FOR VALUES FROM (%L) TO (%L)', month, date_trunc('month', month + interval '40 days', 'UTC'));
	found record;
BEGIN
	SELECT c.oid, i.inhparent, pg_get_expr(c.relpartbound, c.oid) AS bound INTO found
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
	WHERE n.nspname = place AND c.relname = child;
	IF (found.inhparent, found.bound) = (format('%I.%I', place, parent)::regclass, bound) THEN
		RETURN;
	ELSIF found.oid IS NOT NULL THEN
		RAISE EXCEPTION 'windows of % cannot be sealed: "%" is not their partition', to_char(month, 'YYYY-MM'), child
			USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = format('It should be the partition of %I.%I %s.', place, parent, bound),
				HINT = 'Rename it, after detaching it if it is a partition, or attach it so.';
	END IF;
	EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL)', place, child, parent);
	PERFORM @extschema@._chpg_history_close(format('%I.%I', place, child));
	IF pg_get_userbyid(owner) <> current_user THEN
		EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', place, child, pg_get_userbyid(owner));
	END IF;
	-- no plan needs them, and to analyze arrays takes long
	EXECUTE format('ALTER TABLE %I.%I ALTER pattern_key SET STATISTICS 0, %s', place, child,
		@extschema@._chpg_of_counters('ALTER {} SET STATISTICS 0'));
	EXECUTE format('ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I %4$s', place, child, parent, bound);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_partition(text, timestamptz) IS
'Create the partition of the sealed windows of a grain for the month of a time, unless it exists.
Errors: 55000 something else has its name.';

/* One expression, so that it is inlined: a window has some thousand values. */
CREATE FUNCTION @extschema@._chpg_rounded(value real)
RETURNS real
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value = 0 OR abs(value) > 1e30 THEN value
		ELSE round(value::numeric, 3 - floor(log(abs(value)::float8))::integer)::real END;
END;

COMMENT ON FUNCTION @extschema@._chpg_rounded(real) IS 'The value with four significant digits.';

CREATE FUNCTION @extschema@._chpg_seal_window(grain text, service_key integer, window_start timestamptz,
	rows @extschema@._chpg_window_row[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	written bigint;
BEGIN
	PERFORM @extschema@._chpg_history_partition(grain, window_start);
	PERFORM @extschema@._chpg_history_enter();
	EXECUTE format('INSERT INTO sealed_%1$s AS w (service_key, window_start, seal_id, patterns, pattern_key, %2$s)
		SELECT $1, $2, $4, count(*), coalesce(array_agg(r.pattern_key ORDER BY r.pattern_key), ''{}''), %3$s
		FROM unnest($3) r
		ON CONFLICT (service_key, window_start) DO UPDATE
		SET (seal_id, patterns, pattern_key, %2$s) = ROW(excluded.seal_id, excluded.patterns, excluded.pattern_key, %4$s)
		WHERE (w.patterns, w.pattern_key, %5$s) IS DISTINCT FROM (excluded.patterns, excluded.pattern_key, %4$s)', grain,
		@extschema@._chpg_of_counters('{}'),
		(SELECT string_agg(format('CASE WHEN count(r.%1$I) > 0 THEN array_agg(%2$s ORDER BY r.pattern_key) END',
				a.attname, format(CASE a.atttypid WHEN 'real'::regtype THEN '@extschema@._chpg_rounded(r.%I)'
					ELSE 'r.%I' END, a.attname)), ', ' ORDER BY a.attnum)
			FROM pg_attribute a
			WHERE a.attrelid = '@extschema@._chpg_window_row'::regclass AND a.attnum > 1),
		@extschema@._chpg_of_counters('excluded.{}'), @extschema@._chpg_of_counters('w.{}'))
	USING service_key, window_start, rows, nextval(pg_get_serial_sequence('archive', 'seal_id')::regclass);
	GET DIAGNOSTICS written = ROW_COUNT;
	RETURN written > 0;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_seal_window(text, integer, timestamptz, @extschema@._chpg_window_row[]) IS
'Write a sealed window, or replace it; returns whether that changed anything.
Callers hold the lock of _chpg_history_lock: a transaction that ends later has greater seal_ids.';

/*
 * Services in turn, each from its oldest window on: one probe of the index finds the next
 * window, whatever number of patterns it has.
 */
CREATE FUNCTION @extschema@._chpg_seal_some(most integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of_service integer;
	grain text;
	at timestamptz;
	sealed integer := 0;
	before timestamptz;
BEGIN
	PERFORM @extschema@._chpg_history_lock();
	before := (SELECT now() - s.keep_open FROM @extschema@._chpg_history_settings() s);
	FOR of_service, grain IN
		SELECT k.service_key, g FROM service_key k CROSS JOIN unnest('{hour,day}'::text[]) g ORDER BY 1, 2 DESC
	LOOP
		at := '-infinity';
		WHILE sealed < most LOOP
			EXECUTE format('SELECT min(o.window_start) FROM open_%s o
				WHERE o.service_key = $1 AND o.window_start > $2 AND o.window_start < $3', grain)
			INTO at USING of_service, at, before;
			EXIT WHEN at IS NULL;
			EXECUTE format('SELECT @extschema@._chpg_seal_window($1, $2, $3, ARRAY(
				SELECT ROW(o.pattern_key, %s)::@extschema@._chpg_window_row FROM open_%s o
				WHERE o.service_key = $2 AND o.window_start = $3))', @extschema@._chpg_of_counters('o.{}'), grain)
			USING grain, of_service, at;
			EXECUTE format('DELETE FROM open_%s o WHERE o.service_key = $1 AND o.window_start = $2', grain)
			USING of_service, at;
			sealed := sealed + 1;
		END LOOP;
		EXIT WHEN sealed = most;
		DELETE FROM score_hour s WHERE grain = 'hour' AND s.service_key = of_service AND s.window_start < before;
	END LOOP;
	RETURN sealed;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_seal_some(integer) IS
'Seal windows that are older than the setting keep_open, as the owner of the history.
Deletes their scores, which nothing judges any more.
Returns how many; at most as many as given.';

/* What the sealing of a portion fails with is returned: the captures before it have not failed. */
CREATE FUNCTION @extschema@._chpg_seal_portion(most integer, OUT sealed integer, OUT failure jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	sealed := @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT to_jsonb(@extschema@._chpg_seal_some($1))'::text, ROW(most));
EXCEPTION WHEN query_canceled OR OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	failure := jsonb_build_object('state', state, 'message', message, 'detail', nullif(detail, ''),
		'hint', nullif(hint, ''));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_seal_portion(integer) IS
'Seal at most this many windows, and return their number, or the error (failure).
After an error, none is sealed.';

CREATE PROCEDURE @extschema@.chpg_history_seal()
LANGUAGE plpgsql
AS $$
DECLARE
	callers_path pg_catalog.text := pg_catalog.current_setting('search_path');
	portion CONSTANT integer := 20;
	sealed integer;
	windows bigint := 0;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM @extschema@._chpg_history_check_caller('sealing');
	CALL @extschema@._chpg_check_commits('chpg_history_seal'::text, 'psql -c "CALL chpg_history_seal()"'::text);
	LOOP
		PERFORM @extschema@._chpg_progress('seal'::text, windows, NULL::bigint);
		sealed := @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
			'SELECT to_jsonb(@extschema@._chpg_seal_some($1))'::text, ROW(portion))::integer;
		CALL @extschema@._chpg_capture_commit();
		windows := windows + sealed;
		EXIT WHEN sealed < portion;
	END LOOP;
	PERFORM @extschema@._chpg_progress('seal'::text, NULL::bigint, NULL::bigint);
	PERFORM set_config('search_path', callers_path, true);
END
$$;

COMMENT ON PROCEDURE @extschema@.chpg_history_seal() IS
'Pack the windows of the history that are older than the setting keep_open.
Each capture packs some, so that this is needed only after much was captured, or imported, at
  once.
Works in small transactions: what ends it in between loses nothing.
Requests: none.
Errors: 22023 a setting of the history cannot be used; 25001 in a transaction block; 25006 on a
  standby; 42501 the caller does not own the history; 55000 there is no history, or something
  else has the name of a partition.';

REVOKE EXECUTE ON PROCEDURE @extschema@.chpg_history_seal() FROM PUBLIC;
