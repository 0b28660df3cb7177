/* History: removing windows that are older than the settings keep_hour and keep_day. */

/*
 * Dropping a partition locks its parent against all readers until the transaction ends.
 * While a session reads the parent, other readers would queue behind the purge, so it waits
 * for a tenth of a second at a time.
 */
CREATE FUNCTION @extschema@._chpg_history_drop(place name, partitions name[])
RETURNS name[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
	tables text := (SELECT string_agg(format('%I.%I', place, p), ', ') FROM unnest(partitions) p);
BEGIN
	FOR attempt IN 1 .. 10 LOOP
		BEGIN
			EXECUTE format('DROP TABLE %s', tables);
			RETURN partitions;
		EXCEPTION WHEN lock_not_available THEN
			NULL;
		WHEN dependent_objects_still_exist THEN
			-- a role that may read a partition has created a view of it, or a column of its row type
			RETURN CASE WHEN cardinality(partitions) > 1 THEN
				ARRAY(SELECT d FROM unnest(partitions) p
					CROSS JOIN LATERAL unnest(@extschema@._chpg_history_drop(place, ARRAY[p])) d)
				ELSE '{}' END;
		END;
		PERFORM pg_sleep(1);
	END LOOP;
	RETURN '{}';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_drop(name, name[]) IS
'Drop partitions, and return those that were dropped.
Kept are those that other objects depend on, and all if a session keeps reading them or their
  parents for 10 s.';

CREATE FUNCTION @extschema@._chpg_history_expire()
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
DECLARE
	place name := @extschema@._chpg_history_lock();
	settings record;
	expired name[];
	dropped name[];
	kept name[];
	part name;
	hours_from timestamptz;
	days_from timestamptz;
BEGIN
	SELECT * INTO settings FROM @extschema@._chpg_history_settings();
	SELECT array_agg(e.relname ORDER BY e.upper, e.relname),
		coalesce(max(e.upper) FILTER (WHERE e.grain = 'hour'), '-infinity'),
		coalesce(max(e.upper) FILTER (WHERE e.grain = 'day'), '-infinity')
	INTO expired, hours_from, days_from
	FROM (
		SELECT c.relname, split_part(p.relname, '_', 2) AS grain,
			substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']*)''\)')::timestamptz AS upper
		FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid
		JOIN pg_class p ON p.oid = i.inhparent
		JOIN pg_namespace n ON n.oid = p.relnamespace
		WHERE n.nspname = place AND p.relname IN ('sealed_hour', 'sealed_day')
	) e
	WHERE e.upper <= now() - CASE e.grain WHEN 'hour' THEN settings.keep_hour ELSE settings.keep_day END;
	DELETE FROM capture c
	WHERE c.window_end < now() - CASE c.grain WHEN 'hour' THEN settings.keep_hour ELSE settings.keep_day END
		AND (c.window_start < CASE c.grain WHEN 'hour' THEN hours_from ELSE days_from END
			OR NOT EXISTS (SELECT FROM service_key k JOIN sealed_hour w USING (service_key)
				WHERE c.grain = 'hour' AND k.service_id = c.service_id AND w.window_start = c.window_start
				UNION ALL SELECT FROM service_key k JOIN sealed_day w USING (service_key)
				WHERE c.grain = 'day' AND k.service_id = c.service_id AND w.window_start = c.window_start));
	DELETE FROM open_hour o WHERE o.window_start < now() - settings.keep_hour - interval '1 hour';
	DELETE FROM open_day o WHERE o.window_start < now() - settings.keep_day - interval '1 day';
	DELETE FROM day_sum d WHERE d."time" < least(hours_from, now() - settings.keep_hour - interval '1 day');
	DELETE FROM service s WHERE s.valid_to < now() - greatest(settings.keep_hour, settings.keep_day)
		AND NOT EXISTS (SELECT FROM capture c WHERE c.service_id = s.service_id AND c.window_start < s.valid_to);
	DELETE FROM metric_day m WHERE m.day < now() - settings.keep_hour - interval '1 day';
	-- last_seen may be a day old, and a month is dropped as a whole
	DELETE FROM pattern_key k
	WHERE k.last_seen < now() - greatest(settings.keep_hour, settings.keep_day) - interval '32 days';
	DELETE FROM query_text t WHERE NOT EXISTS (SELECT FROM pattern_key k WHERE k.text_id = t.text_id);
	IF expired IS NULL THEN
		RETURN '[]';
	END IF;
	-- last, since the parents of dropped partitions stay locked until the transaction ends
	dropped := @extschema@._chpg_history_drop(place, expired);
	kept := ARRAY(SELECT e FROM unnest(expired) e WHERE e <> ALL (dropped));
	FOREACH part IN ARRAY kept LOOP
		EXECUTE format('DELETE FROM %I.%I', place, part);
	END LOOP;
	IF kept <> '{}' THEN
		RAISE NOTICE 'partitions in use were emptied, not dropped: %', array_to_string(kept, ', ')
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
'Drop partitions that are older than the settings keep_hour and keep_day.
Returns the names of the partitions.
Deletes what nothing refers to any more, too.
Partitions in use (read for longer than 10 s, or with dependent objects) are emptied; a NOTICE
  names them, and the next purge drops them if it can.
Requests: none.
Errors: 22023 a setting of the history cannot be used; 25006 on a standby; 42501 the caller does
  not own the history; 55000 there is no history.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_purge() FROM PUBLIC;
