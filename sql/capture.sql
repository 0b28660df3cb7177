/*
 * History: capturing what the API still has.
 */

CREATE FUNCTION chpg_history_setting(name text)
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	found text;
BEGIN
	SELECT s.value INTO STRICT found FROM setting s WHERE s.name = chpg_history_setting.name;
	RETURN found;
END
$$;

COMMENT ON FUNCTION chpg_history_setting(text) IS 'A setting of the history. For functions that have called chpg_history_enter.';

CREATE FUNCTION chpg_history_due(grain text DEFAULT NULL, service text DEFAULT NULL)
RETURNS TABLE (service_id text, grain_due text, window_start timestamptz, window_end timestamptz, lost boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	IF grain NOT IN ('hour', 'day') THEN
		RAISE EXCEPTION 'invalid value for "grain": "%"', grain
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give hour or day, or null for both.';
	END IF;
	RETURN QUERY
	WITH present AS (
		SELECT s.service_id, min(s.noted_at) - chpg_history_setting('backfill')::interval AS since
		FROM service s
		WHERE chpg_history_due.service IS NULL OR s.service_id = chpg_history_due.service OR s.name = chpg_history_due.service
		GROUP BY s.service_id HAVING max(s.valid_to) = 'infinity'
	), grains AS (
		SELECT g.grain, ('1 ' || g.grain)::interval AS length,
			date_bin(('1 ' || g.grain)::interval, now() - chpg_history_setting('settle')::interval, '2000-01-01 00:00Z') AS newest_end
		FROM (VALUES ('hour'), ('day')) g(grain)
		WHERE chpg_history_due.grain IS NULL OR g.grain = chpg_history_due.grain
	)
	SELECT p.service_id, g.grain, w, w + g.length,
		w < now() - chpg_history_setting('api_retention')::interval
	FROM present p
	CROSS JOIN grains g
	CROSS JOIN LATERAL generate_series(
		date_bin(g.length, p.since + g.length - interval '1 microsecond', '2000-01-01 00:00Z'),
		g.newest_end - g.length, g.length) w
	LEFT JOIN capture c ON c.service_id = p.service_id AND c.grain = g.grain AND c.window_start = w
	WHERE c.status IS NULL OR c.status = 'error'
		OR (c.status = 'ok' AND w >= g.newest_end - chpg_history_setting('recapture')::integer * g.length
			AND c.captured_at < c.window_end + chpg_history_setting('recapture')::integer * g.length)
	ORDER BY w, g.grain, p.service_id;
END
$$;

COMMENT ON FUNCTION chpg_history_due(text, text) IS
'The windows, of hours or days, that chpg_capture is going to capture, oldest first, and those that are lost, since the API has them no longer. Sends no request. Errors: 22023, 55000.';

CREATE FUNCTION chpg_history_cost()
RETURNS TABLE (grain text, windows bigint, requests bigint, seconds double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	RETURN QUERY
	SELECT d.grain_due, count(*),
		count(*) * CASE WHEN d.grain_due = 'hour' AND chpg_history_setting('metric_bucket') <> 'off' THEN 3 ELSE 2 END,
		(count(*) * CASE WHEN d.grain_due = 'hour' AND chpg_history_setting('metric_bucket') <> 'off' THEN 3 ELSE 2 END)::float8
	FROM @extschema@.chpg_history_due() d
	WHERE NOT d.lost
	GROUP BY d.grain_due
	ORDER BY d.grain_due;
END
$$;

COMMENT ON FUNCTION chpg_history_cost() IS
'What it takes to capture all that is due: windows, requests (with up to 500 patterns in a window), and seconds at ten requests in ten seconds. Sends no request.';

CREATE FUNCTION chpg_capture_services(server text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	changed integer;
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	PERFORM pg_advisory_xact_lock(hashtextextended('chpg_capture', 0));
	CREATE TEMPORARY TABLE present ON COMMIT DROP AS
		SELECT id AS service_id, name, region, size, ha_type, postgres_version, tags
		FROM chpg_services(server) WHERE state NOT IN ('creating', 'deleting');
	UPDATE service s SET valid_to = now()
	WHERE s.valid_to = 'infinity' AND NOT EXISTS (
		SELECT FROM present p WHERE (p.service_id, p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags)
			IS NOT DISTINCT FROM (s.service_id, s.name, s.region, s.size, s.ha_type, s.postgres_version, s.tags));
	INSERT INTO service (service_id, valid_from, noted_at, name, region, size, ha_type, postgres_version, tags)
	SELECT p.service_id, CASE WHEN EXISTS (SELECT FROM service s WHERE s.service_id = p.service_id)
			THEN now() ELSE '-infinity' END, now(), p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags
	FROM present p
	WHERE NOT EXISTS (SELECT FROM service s WHERE s.service_id = p.service_id AND s.valid_to = 'infinity');
	GET DIAGNOSTICS changed = ROW_COUNT;
	DROP TABLE present;
	RETURN changed;
END
$$;

COMMENT ON FUNCTION chpg_capture_services(text) IS
'Notes what the services are now; returns how many are new or have changed. 1 request. For chpg_capture.';

CREATE FUNCTION chpg_history_partition(grain text, at timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	parent text := 'pattern_of_' || grain;
	month timestamptz := date_trunc('month', at, 'UTC');
	child text := parent || '_' || to_char(month AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
	IF to_regclass(format('%I.%I', @extschema@.chpg_history_enter(), child)) IS NULL THEN
		EXECUTE format('CREATE TABLE %I.%I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
			@extschema@.chpg_history_enter(), child, parent,
			month, date_trunc('month', month + interval '40 days', 'UTC'));
	END IF;
END
$$;

COMMENT ON FUNCTION chpg_history_partition(text, timestamptz) IS 'Makes the partition for a month, unless it is there. For functions that have called chpg_history_enter.';

/* Patterns that have errors may have no duration, so that they come last. */
CREATE FUNCTION chpg_capture_patterns(service_id text, grain text, window_start timestamptz, window_end timestamptz, server text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	most bigint := chpg_history_setting('max_patterns');
	found bigint;
	cutoff double precision;
BEGIN
	CREATE TEMPORARY TABLE found_pattern ON COMMIT DROP AS
		SELECT * FROM chpg_slow_patterns(window_start, window_end, service_id, max_rows => most, server => server);
	SELECT count(*), min(total_duration_us) INTO found, cutoff FROM found_pattern;
	INSERT INTO found_pattern
	SELECT e.*
	FROM chpg_slow_patterns(window_start, window_end, service_id, sort_by => 'error_count',
		max_rows => chpg_history_setting('max_error_patterns')::bigint, server => server) e
	WHERE e.error_count > 0 AND NOT EXISTS (
		SELECT FROM found_pattern f
		WHERE (f.query_id, f.db_name, f.db_user, f.db_operation, f.app)
			IS NOT DISTINCT FROM (e.query_id, e.db_name, e.db_user, e.db_operation, e.app));

	INSERT INTO query_text AS t
	SELECT DISTINCT hashtextextended(coalesce(f.query_text, ''), 0), coalesce(f.query_text, ''), window_start, window_end
	FROM found_pattern f
	ON CONFLICT (text_id) DO UPDATE
	SET first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen);
	INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
	SELECT DISTINCT coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''),
		coalesce(f.db_operation, ''), coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0)
	FROM found_pattern f
	ON CONFLICT DO NOTHING;

	PERFORM chpg_history_partition(grain, window_start);
	DELETE FROM pattern p WHERE p.service_id = chpg_capture_patterns.service_id
		AND p.grain = chpg_capture_patterns.grain AND p.window_start = chpg_capture_patterns.window_start;
	INSERT INTO pattern
	SELECT DISTINCT ON (k.pattern_key) chpg_capture_patterns.service_id, grain, window_start, k.pattern_key,
		f.call_count, f.error_count, f.total_duration_us, f.avg_duration_us, f.max_duration_us,
		f.p50_duration_us, f.p95_duration_us, f.p99_duration_us, f.total_rows, f.total_shared_blks_read,
		f.total_shared_blks_hit, f.total_cpu_time_us, f.total_wal_bytes
	FROM found_pattern f
	JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
		(coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''), coalesce(f.db_operation, ''),
			coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0))
	ORDER BY k.pattern_key, f.total_duration_us DESC NULLS LAST;
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us, attempts, captured_at)
	SELECT chpg_capture_patterns.service_id, grain, window_start, window_end, 'ok', count(*), found >= most,
		CASE WHEN found >= most THEN cutoff END, 1, now()
	FROM found_pattern
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET status = 'ok', patterns = excluded.patterns, truncated = excluded.truncated, cutoff_us = excluded.cutoff_us,
		error = NULL, attempts = c.attempts + 1, captured_at = now();
	DROP TABLE found_pattern;
END
$$;

COMMENT ON FUNCTION chpg_capture_patterns(text, text, timestamptz, timestamptz, text) IS
'Replaces the patterns of a window. 2 requests, 1 more for each further 500 patterns. For chpg_capture_window.';

CREATE FUNCTION chpg_capture_metrics(service_id text, window_start timestamptz, window_end timestamptz, server text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	bucket text := chpg_history_setting('metric_bucket');
BEGIN
	IF bucket = 'off' THEN
		RETURN;
	END IF;
	INSERT INTO metric_point AS m (service_id, metric, series, "time", unit, value)
	SELECT DISTINCT ON (p.metric, coalesce(p.series, ''), p."timestamp")
		chpg_capture_metrics.service_id, p.metric, coalesce(p.series, ''), p."timestamp", p.unit, p.value
	FROM chpg_metrics(window_start, window_end, chpg_capture_metrics.service_id, bucket::interval, server => server) p
	WHERE p.metric IS NOT NULL AND p."timestamp" >= window_start AND p."timestamp" < window_end
	ORDER BY p.metric, coalesce(p.series, ''), p."timestamp"
	ON CONFLICT ON CONSTRAINT metric_point_pkey DO UPDATE SET unit = excluded.unit, value = excluded.value;
END
$$;

COMMENT ON FUNCTION chpg_capture_metrics(text, timestamptz, timestamptz, text) IS
'Keeps the points of a window''s time series. 1 request. For chpg_capture_window.';

/* What fails leaves the window as it was, and a word why. */
CREATE FUNCTION chpg_capture_window(service_id text, grain text, window_start timestamptz, window_end timestamptz, server text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	state text;
	message text;
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	PERFORM pg_advisory_xact_lock(hashtextextended('chpg_capture', 0));
	BEGIN
		PERFORM chpg_capture_patterns(service_id, grain, window_start, window_end, server);
		IF grain = 'hour' THEN
			PERFORM chpg_capture_metrics(service_id, window_start, window_end, server);
		END IF;
		RETURN NULL;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	END;
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, error, attempts, captured_at)
	VALUES (service_id, grain, window_start, window_end, 'error', state || ': ' || message, 1, now())
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET status = CASE c.status WHEN 'ok' THEN 'ok' ELSE 'error' END, error = excluded.error,
		attempts = c.attempts + 1, captured_at = CASE c.status WHEN 'ok' THEN c.captured_at ELSE now() END;
	RETURN state || ': ' || message;
END
$$;

COMMENT ON FUNCTION chpg_capture_window(text, text, timestamptz, timestamptz, text) IS
'Captures a window, once no other is being captured; returns why that failed, or null. 3 requests for an hour, 2 for a day, 1 more for each further 500 patterns. For chpg_capture.';

CREATE FUNCTION chpg_capture_lost()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	marked bigint;
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status)
	SELECT d.service_id, d.grain_due, d.window_start, d.window_end, 'lost'
	FROM @extschema@.chpg_history_due() d WHERE d.lost
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE SET status = 'lost' WHERE c.status = 'error';
	GET DIAGNOSTICS marked = ROW_COUNT;
	RETURN marked;
END
$$;

COMMENT ON FUNCTION chpg_capture_lost() IS
'Marks the windows that the API has no longer; returns how many. Sends no request. For chpg_capture.';

/* Where none is named, there is only one that the user may use. */
CREATE FUNCTION chpg_capture_must_wait(server text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.chpg_history_enter();
	RETURN EXISTS (SELECT FROM chpg_budget b
		WHERE b.server = coalesce(chpg_capture_must_wait.server, nullif(current_setting('chpg.server', true), ''),
				(SELECT s.srvname FROM pg_foreign_server s
					JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'chpg'
					WHERE has_server_privilege(s.oid, 'USAGE') LIMIT 1))
			AND (b.waiting > 0 OR b.free < least(chpg_history_setting('reserve')::integer,
				substring(b.rate_limit FROM '^[0-9]+')::integer)));
END
$$;

COMMENT ON FUNCTION chpg_capture_must_wait(text) IS
'Whether somebody waits for the budget of the server''s key, or less of it is free than the setting reserve says. Sends no request. For chpg_capture.';

CREATE PROCEDURE chpg_capture(
	grain text DEFAULT NULL,
	service text DEFAULT NULL,
	max_windows integer DEFAULT 500,
	server text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	due record;
	failure text;
	first_failure text;
	tried integer := 0;
	failed integer := 0;
	refused integer := 0;
	waits integer;
BEGIN
	PERFORM @extschema@.chpg_capture_services(server);
	PERFORM @extschema@.chpg_history_check_service(service);
	COMMIT;
	PERFORM @extschema@.chpg_capture_lost();
	COMMIT;
	FOR due IN SELECT * FROM @extschema@.chpg_history_due(grain, service) d WHERE NOT d.lost LIMIT max_windows LOOP
		waits := 0;
		WHILE waits < 600 AND @extschema@.chpg_capture_must_wait(server) LOOP
			COMMIT;
			PERFORM pg_catalog.pg_sleep(0.1);
			waits := waits + 1;
		END LOOP;
		failure := @extschema@.chpg_capture_window(due.service_id, due.grain_due, due.window_start, due.window_end, server);
		COMMIT;
		tried := tried + 1;
		CONTINUE WHEN failure IS NULL;
		failed := failed + 1;
		first_failure := coalesce(first_failure, failure);
		refused := CASE WHEN failure LIKE '53400:%' THEN refused + 1 ELSE 0 END;
		EXIT WHEN refused = 3;
	END LOOP;
	IF failed > 0 THEN
		RAISE EXCEPTION 'could not capture % of % windows', failed, tried
			USING ERRCODE = 'external_routine_exception', DETAIL = pg_catalog.format('The first one: %s.', first_failure),
				HINT = 'The next run tries them again; see the view coverage of the history.';
	END IF;
END
$$;

COMMENT ON PROCEDURE chpg_capture(text, text, integer, text) IS
'Captures the windows that are due, of hours and days or of one grain, of all services or of one (id or name), oldest first, each in a transaction of its own. 1 request for the list, and what chpg_history_cost says. Leaves some of the budget to others (setting reserve). Error 38000 at the end if a window could not be captured; the others are. Must not be called within a transaction.';

REVOKE EXECUTE ON PROCEDURE chpg_capture(text, text, integer, text) FROM PUBLIC;

CREATE FUNCTION chpg_history_purge()
RETURNS SETOF text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := @extschema@.chpg_history_enter();
	part record;
BEGIN
	FOR part IN
		SELECT c.relname, split_part(p.relname, '_', 3) AS grain,
			substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']*)''\)')::timestamptz AS upper
		FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid
		JOIN pg_class p ON p.oid = i.inhparent
		WHERE p.relnamespace = place::regnamespace::oid AND p.relname IN ('pattern_of_hour', 'pattern_of_day')
	LOOP
		CONTINUE WHEN part.upper > now() - chpg_history_setting('keep_' || part.grain)::interval;
		EXECUTE format('DROP TABLE %I.%I', place, part.relname);
		RETURN NEXT part.relname;
	END LOOP;
	DELETE FROM capture c WHERE c.window_end < now() - chpg_history_setting('keep_' || c.grain)::interval
		AND NOT EXISTS (SELECT FROM pattern p WHERE p.service_id = c.service_id AND p.grain = c.grain AND p.window_start = c.window_start);
	DELETE FROM metric_point m WHERE m."time" < now() - chpg_history_setting('keep_hour')::interval;
	DELETE FROM pattern_key k WHERE NOT EXISTS (SELECT FROM pattern p WHERE p.pattern_key = k.pattern_key);
	DELETE FROM query_text t WHERE NOT EXISTS (SELECT FROM pattern_key k WHERE k.text_id = t.text_id);
END
$$;

COMMENT ON FUNCTION chpg_history_purge() IS
'Drops the partitions of which all is older than the settings keep_hour and keep_day say, and what nothing refers to any more; returns their names. Sends no request.';

REVOKE EXECUTE ON FUNCTION chpg_history_purge() FROM PUBLIC;
