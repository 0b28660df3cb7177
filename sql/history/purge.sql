/* History: removing windows that are older than the settings keep_hour and keep_day. */

/*
 * Dropping a partition locks its parent against all readers until the transaction ends.
 * While a session reads the parent, other readers queue behind the purge, so it waits for
 * a tenth of a second.  What comes after the first lock is locked at once, or not at all.
 */
CREATE FUNCTION @extschema@._chpg_history_drop(place name, partitions name[], patience text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = 0
AS $$
DECLARE
	parent regclass := (SELECT i.inhparent FROM pg_inherits i
		WHERE i.inhrelid = format('%I.%I', place, partitions[1])::regclass);
BEGIN
	PERFORM set_config('lock_timeout', patience, true);
	EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', parent);
	PERFORM set_config('lock_timeout', '1ms', true);
	EXECUTE format('DROP TABLE %s', (SELECT string_agg(format('%I.%I', place, p), ', ') FROM unnest(partitions) p));
	RETURN true;
EXCEPTION WHEN lock_not_available OR dependent_objects_still_exist THEN
	RETURN false;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_drop(name, name[], text) IS
'Drop partitions of one table, and return whether they were dropped.
Not if other objects depend on one of them, or if a session reads one, or reads their parent
  for longer than patience.';

CREATE FUNCTION @extschema@._chpg_history_expire()
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
DECLARE
	place name := @extschema@._chpg_history_lock();
	hours_before CONSTANT timestamptz := @extschema@._chpg_kept_from('hour');
	days_before CONSTANT timestamptz := @extschema@._chpg_kept_from('day');
	grain text;
	part record;
	expired name[];
	dropped name[] := '{}';
	kept name[] := '{}';
	is_empty boolean;
BEGIN
	DELETE FROM sealed_hour w WHERE w.window_start < hours_before;
	DELETE FROM sealed_day w WHERE w.window_start < days_before;
	DELETE FROM open_hour o WHERE o.window_start < hours_before;
	DELETE FROM open_day o WHERE o.window_start < days_before;
	DELETE FROM capture c WHERE c.window_start < CASE c.grain WHEN 'hour' THEN hours_before ELSE days_before END;
	DELETE FROM score_hour s WHERE s.window_start < greatest(hours_before,
		now() - (SELECT o.keep_open FROM @extschema@._chpg_history_settings() o));
	DELETE FROM day_sum d WHERE d."time" < hours_before - interval '1 day';
	DELETE FROM metric_day m WHERE m.day < hours_before - interval '1 day';
	DELETE FROM limit_day l WHERE l.day < days_before - interval '1 day';
	DELETE FROM service s WHERE s.valid_to < least(hours_before, days_before)
		AND NOT EXISTS (SELECT FROM capture c WHERE c.service_id = s.service_id AND c.window_start < s.valid_to);
	-- last_seen may be a day old
	DELETE FROM pattern_key k WHERE k.last_seen < least(hours_before, days_before) - interval '2 days';
	DELETE FROM query_text t WHERE NOT EXISTS (SELECT FROM pattern_key k WHERE k.text_id = t.text_id);
	-- last, since the parents of dropped partitions stay locked until the transaction ends
	FOREACH grain IN ARRAY '{hour,day}'::text[] LOOP
		expired := '{}';
		FOR part IN
			SELECT c.relname AS name, EXISTS (
				-- a role that may read a partition has created a view of it, or a column of its row type
				SELECT FROM pg_depend d
				LEFT JOIN pg_type t ON t.oid = c.reltype
				LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
				WHERE d.deptype = 'n' AND k.conrelid IS DISTINCT FROM c.oid
					AND ((d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)
					OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)))) AS is_needed
			FROM pg_inherits i
			JOIN pg_class c ON c.oid = i.inhrelid
			JOIN pg_class p ON p.oid = i.inhparent
			JOIN pg_namespace n ON n.oid = p.relnamespace
			WHERE n.nspname = place AND p.relname = 'sealed_' || grain
				AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO [(]''([^'']*)''[)]')::timestamptz
					<= CASE grain WHEN 'hour' THEN hours_before ELSE days_before END
			ORDER BY 1
		LOOP
			EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part.name) INTO is_empty;
			IF is_empty AND part.is_needed THEN
				kept := kept || part.name;
			ELSIF is_empty THEN
				expired := expired || part.name;
			END IF;
		END LOOP;
		CONTINUE WHEN expired = '{}';
		IF @extschema@._chpg_history_drop(place, expired, CASE dropped WHEN '{}' THEN '100ms' ELSE '1ms' END) THEN
			dropped := dropped || expired;
		ELSE
			kept := kept || expired;
		END IF;
	END LOOP;
	IF kept <> '{}' THEN
		RAISE NOTICE 'partitions in use were emptied, not dropped: %',
				(SELECT string_agg(k, ', ' ORDER BY k) FROM unnest(kept) k)
			USING HINT = 'The next purge drops them, once no view or column of others depends on them.';
	END IF;
	RETURN to_jsonb(dropped);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_expire() IS
'Purge the history, as its owner, and return the names of the partitions that were dropped.';

CREATE FUNCTION @extschema@.chpg_history_purge()
RETURNS SETOF text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_check_caller('a purge');
	RETURN QUERY SELECT jsonb_array_elements_text(@extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT @extschema@._chpg_history_expire()'::text, ROW()));
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_purge() IS
'Delete windows that are older than the settings keep_hour and keep_day.
Where the setting archive is on, windows that are not archived stay: see chpg_history_archived.
Deletes what nothing refers to any more, too, drops partitions that this has emptied, and
  returns their names.
Waits for sessions that read the history for a tenth of a second at most: a NOTICE names the
  partitions that are in use, or that other objects depend on.  The next purge drops them.
Call it in a transaction of its own: readers wait for its end once it has dropped a partition.
Requests: none.
Errors: 22023 a setting of the history cannot be used; 25006 on a standby; 42501 the caller does
  not own the history; 55000 there is no history.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_purge() FROM PUBLIC;
