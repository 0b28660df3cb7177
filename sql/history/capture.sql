/*
 * History: capturing what the API still has.
 */

CREATE FUNCTION @extschema@._chpg_history_setting(name text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found text;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	found := (SELECT s.value FROM setting s WHERE s.name = _chpg_history_setting.name);
	PERFORM @extschema@._chpg_history_check_setting(name, found);
	RETURN found;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_setting(text) IS
'A setting of the history. Errors: 22023 its value cannot be used, 55000 it is missing.';

CREATE FUNCTION @extschema@._chpg_history_settings()
RETURNS TABLE (settle interval, recapture integer, api_retention interval, backfill interval, keep_hour interval,
	keep_day interval, max_patterns bigint, max_error_patterns bigint, metric_bucket interval, reserve integer)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := @extschema@._chpg_history_enter();
	found jsonb;
BEGIN
	PERFORM @extschema@._chpg_history_check_setting(name, s.value)
	FROM @extschema@._chpg_history_defaults() d
	FULL JOIN setting s USING (name);
	found := (SELECT jsonb_object_agg(s.name, nullif(s.value, 'off')) FROM setting s);
	IF (found->>'api_retention')::interval <= (found->>'settle')::interval + interval '1 hour' THEN
		RAISE EXCEPTION 'invalid value for setting "api_retention" of the history: "%"', found->>'api_retention'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'There is nothing to capture unless it is longer than an hour and the setting "settle" together.',
				HINT = format('Such as: UPDATE %I.setting SET value = ''7 days'' WHERE name = ''api_retention''.', place);
	END IF;
	RETURN QUERY SELECT * FROM jsonb_to_record(found) r(settle interval, recapture integer, api_retention interval,
		backfill interval, keep_hour interval, keep_day interval, max_patterns bigint, max_error_patterns bigint,
		metric_bucket interval, reserve integer);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_settings() IS
'All settings of the history; metric_bucket is null where it is off. Errors: 22023 a value cannot be used, or a name is unknown, 55000 a setting is missing.';

/*
 * What the API answers is asked for by the caller, with the caller's key; what is done
 * with the tables of the history is done by their owner.
 */
CREATE FUNCTION @extschema@._chpg_run_as(role oid, statement text, arguments record)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'chpg_run_as';

COMMENT ON FUNCTION @extschema@._chpg_run_as(oid, text, record) IS
'Runs a statement, in which $1, $2, ... are the fields of the row, as a role that the caller could become by SET ROLE, in a security-restricted operation with search_path pg_catalog; returns the one value of the one row that it returns. Error 42501 for other roles.';

CREATE FUNCTION @extschema@._chpg_run_as(role oid, statement text)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'chpg_run_as';

COMMENT ON FUNCTION @extschema@._chpg_run_as(oid, text) IS 'As _chpg_run_as with arguments, for a statement without.';

CREATE FUNCTION @extschema@._chpg_history_owner()
RETURNS oid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := @extschema@._chpg_history_enter();
	owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = format('%I.pattern', place)::regclass);
BEGIN
	IF NOT pg_has_role(owner, 'USAGE'::text) THEN
		RAISE EXCEPTION 'permission denied for the history'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Captures and purges are run by role "%s", who owns the history.', pg_get_userbyid(owner));
	END IF;
	RETURN owner;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_owner() IS
'The owner of the tables of the history, for _chpg_run_as. Errors: 42501 unless the caller may do what the owner may, 55000 there is no history, or it cannot be used.';

/* A role with EXECUTE on the user's function alone would be told of an internal one. */
CREATE FUNCTION @extschema@._chpg_history_check_entrusted()
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := (SELECT h.schema_name FROM @extschema@.chpg_history_place h);
BEGIN
	IF has_function_privilege('@extschema@._chpg_history_owner()', 'EXECUTE') THEN
		RETURN;
	ELSIF place IS NULL THEN
		PERFORM @extschema@._chpg_history_check_place();
	ELSE
		RAISE EXCEPTION 'permission denied for the history'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Captures and purges are run by the role that the history was begun for, or by superusers, not by role "%s".', current_user),
				HINT = format('Connect as that role. If schema "%s" is a history of yours, a superuser names you: SELECT chpg_history_enable(%L, owner => %L).',
					place, place, current_user);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_entrusted() IS
'Errors: 42501 unless the caller may execute what captures and purges call, 55000 there is no history. For chpg_capture and chpg_history_purge.';

CREATE FUNCTION @extschema@._chpg_history_check_primary(command text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_is_in_recovery() THEN
		RAISE EXCEPTION '% needs a primary', command
			USING ERRCODE = 'read_only_sql_transaction', DETAIL = 'This server is a standby.',
				HINT = 'Run it on the primary; the standby gets what it does there.';
	ELSIF current_setting('transaction_read_only')::boolean THEN
		RAISE EXCEPTION '% cannot run in a read-only transaction', command USING ERRCODE = 'read_only_sql_transaction';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_primary(text) IS 'Error 25006 on a standby, and in a read-only transaction. For chpg_capture and chpg_history_purge.';

CREATE FUNCTION @extschema@._chpg_history_lock()
RETURNS name
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	place pg_catalog.name := @extschema@._chpg_history_enter();
BEGIN
	PERFORM @extschema@._chpg_history_settings();
	LOCK TABLE setting IN SHARE UPDATE EXCLUSIVE MODE;
	-- from here on nobody makes a trigger or a foreign key of these: what has been made until now is seen
	LOCK TABLE setting, service, query_text, pattern_key, capture, pattern, metric_point IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_history_enter();
	PERFORM @extschema@._chpg_refuse_code(t::regclass)
	FROM unnest('{setting,service,query_text,pattern_key,capture,pattern,metric_point}'::text[]) t;
	RETURN place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_lock() IS
'As _chpg_history_enter, for the owner, who changes the history: waits until nobody else does. Errors: 22023 a setting cannot be used.';

/* The server that a capture is made by, where none is named the only one that the user may use. */
CREATE FUNCTION @extschema@._chpg_history_server(server text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(server, nullif(current_setting('chpg.server', true), ''), @extschema@._chpg_own_server())
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_server(text) IS 'The name of the foreign server that is used where this one, or none, is named. For chpg_capture.';

/*
 * Days are those of UTC, whatever the session's time zone is.  Who is gone cannot
 * be asked any more, but may be back: one answer may lack a service.  Services that
 * failed come last, and of these the windows that failed, so that they hold up nothing else.
 */
CREATE FUNCTION @extschema@.chpg_history_due(grain text DEFAULT NULL, service text DEFAULT NULL, server text DEFAULT NULL)
RETURNS TABLE (service_id text, grain_due text, window_start timestamptz, window_end timestamptz, lost boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
	settings record;
	ids text[];
BEGIN
	PERFORM @extschema@._chpg_history_check_service(service);
	PERFORM @extschema@._chpg_history_enter();
	IF grain NOT IN ('hour', 'day') THEN
		RAISE EXCEPTION 'invalid value for "grain": "%"', grain
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give hour or day, or null for both.';
	END IF;
	SELECT * INTO settings FROM @extschema@._chpg_history_settings();
	IF service IS NOT NULL THEN
		ids := ARRAY(SELECT h.service_id FROM @extschema@._chpg_history_services(service, NULL::text) h);
	END IF;
	RETURN QUERY
	WITH known AS (
		SELECT s.service_id, min(s.noted_at) - settings.backfill AS since, max(s.valid_to) AS until
		FROM service s
		WHERE ids IS NULL OR s.service_id = ANY (ids)
		GROUP BY s.service_id
		HAVING chpg_history_due.server IS NULL
			OR (array_agg(s.server ORDER BY s.valid_to DESC, s.valid_from DESC))[1] = chpg_history_due.server
	), grains AS (
		SELECT g.grain, g.length, g.keep,
			date_bin(g.length, now() - settings.settle, '2000-01-01 00:00Z') AS newest_end
		FROM (VALUES ('hour', interval '1 hour', settings.keep_hour), ('day', interval '1 day', settings.keep_day)) g(grain, length, keep)
		WHERE (chpg_history_due.grain IS NULL OR g.grain = chpg_history_due.grain) AND g.length < settings.api_retention
	)
	SELECT k.service_id, g.grain, w, w + g.length, l.lost
	FROM known k
	CROSS JOIN grains g
	CROSS JOIN LATERAL generate_series(
		date_bin(g.length, greatest(k.since, now() - g.keep) + g.length - interval '1 microsecond', '2000-01-01 00:00Z'),
		least(g.newest_end, k.until) - g.length, g.length) w
	CROSS JOIN LATERAL (SELECT k.until < now() - interval '1 day' OR w < now() - settings.api_retention AS lost) l
	LEFT JOIN capture c ON c.service_id = k.service_id AND c.grain = g.grain AND c.window_start = w
		AND (ids IS NULL OR c.service_id = ANY (ids))
	WHERE (l.lost OR k.until = 'infinity') AND (c.status IS NULL OR c.status = 'error' OR (c.status = 'lost' AND NOT l.lost)
		OR (c.status = 'ok' AND k.until = 'infinity'
			AND w >= g.newest_end - settings.recapture * g.length
			AND c.captured_at < g.newest_end + settings.settle))
	ORDER BY coalesce(bool_or(c.status = 'error' AND NOT l.lost) OVER (PARTITION BY k.service_id), false),
		c.status IS NOT DISTINCT FROM 'error', w + g.length, g.grain, k.service_id;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_due(text, text, text) IS
'The windows, of hours or days, of one service (id or name) or all, of one server or all, that chpg_capture is going to capture, oldest first; those of services that failed come after all others, the windows that failed last; and those that are lost, since the API has them, or the service, no longer. Sends no request. Errors: 22023 a grain, or a setting of the history, cannot be used, 42704 no such service, 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_rate_limit(server text)
RETURNS TABLE (requests integer, seconds double precision)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT split_part(l.rate_limit, '/', 1)::integer, rtrim(split_part(l.rate_limit, '/', 2), 's')::double precision
	FROM (SELECT coalesce((SELECT o.option_value FROM pg_foreign_server s CROSS JOIN LATERAL pg_options_to_table(s.srvoptions) o
				WHERE s.srvname = _chpg_rate_limit.server AND o.option_name = 'rate_limit'),
			'10/10s') AS rate_limit) l
	WHERE l.rate_limit <> 'unlimited'
$$;

COMMENT ON FUNCTION @extschema@._chpg_rate_limit(text) IS 'How many requests a server''s key may send in how many seconds; no row if it is unlimited. Sends no request.';

/*
 * Where r requests make a window, another one begins while as many are free as the
 * reserve says, so that floor((limit - reserve) / r) + 1 of them begin at once, then
 * as many after each period of the limit.
 */
CREATE FUNCTION @extschema@._chpg_history_plan(grain text, service text, server text, max_windows integer)
RETURNS TABLE (grain_due text, windows bigint, requests bigint, seconds double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	settings record;
	rate record;
BEGIN
	SELECT * INTO settings FROM @extschema@._chpg_history_settings();
	SELECT l.requests, l.seconds, least(settings.reserve, l.requests) AS reserve INTO rate
	FROM @extschema@._chpg_rate_limit(@extschema@._chpg_history_server(server)) l;
	RETURN QUERY
	SELECT d.grain_due, count(*), sum(w.requests)::bigint,
		coalesce(greatest(ceil(round(sum(w.periods), 6)) - 1, 0), 0)::double precision * coalesce(rate.seconds, 0)
	FROM (SELECT a.grain_due FROM @extschema@.chpg_history_due(grain, service, server) a WHERE NOT a.lost LIMIT max_windows) d
	JOIN (SELECT g.grain, g.requests, g.requests::numeric / least(rate.requests, g.requests * (floor((rate.requests - rate.reserve) / g.requests::numeric) + 1)) AS periods
		FROM (VALUES ('day', 2), ('hour', 2 + coalesce(ceil(3600 / extract(epoch FROM settings.metric_bucket) / 250), 0))) g(grain, requests)) w
		ON w.grain = d.grain_due
	GROUP BY GROUPING SETS ((d.grain_due), ())
	ORDER BY d.grain_due;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_plan(text, text, text, integer) IS
'What the windows that are due take, as chpg_history_cost says, for each grain, and for all (null) together. Sends no request. For chpg_capture.';

CREATE FUNCTION @extschema@.chpg_history_cost()
RETURNS TABLE (grain text, windows bigint, requests bigint, seconds double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	owner := (SELECT c.relowner FROM pg_class c WHERE c.oid = 'service'::regclass);
	IF pg_has_role(owner, 'USAGE') AND has_function_privilege('@extschema@._chpg_capture_services(text)', 'EXECUTE')
			AND current_setting('transaction_read_only') = 'off' AND NOT EXISTS (SELECT FROM service) THEN
		PERFORM @extschema@._chpg_capture_services(NULL::text);
	END IF;
	RETURN QUERY
	SELECT p.* FROM @extschema@._chpg_history_plan(NULL::text, NULL::text, NULL::text, NULL::integer) p
	WHERE p.grain_due IS NOT NULL;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_cost() IS
'What it takes to capture all that is due: windows, requests (with less than 500 patterns in a window), and seconds at the rate limit of the server that is used where none is named, of which the setting reserve leaves some to others; what answers take themselves comes on top. Sends no request, but 1 while the history knows no service yet, to note them, if the caller owns it. Errors: 22023 a setting of the history cannot be used, 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_note_services(listed @extschema@.chpg_service_row[], asked text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed integer;
	present @extschema@.chpg_service_row[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	-- one bad entry is no reason to lose the others
	present := ARRAY(SELECT DISTINCT ON (p.id) p FROM unnest(listed) p
		WHERE p.id IS NOT NULL AND coalesce(p.state, '') NOT IN ('creating', 'deleting') ORDER BY p.id);
	-- a server may be made anew under another name, and two may have the same services
	UPDATE service s SET server = asked
	WHERE s.server <> asked AND (s.service_id IN (SELECT p.id FROM unnest(present) p)
		OR NOT EXISTS (SELECT FROM pg_foreign_server f WHERE f.srvname = s.server));
	UPDATE service s SET valid_to = now()
	WHERE s.valid_to = 'infinity' AND s.server = asked AND NOT EXISTS (
		SELECT FROM unnest(present) p WHERE (p.id, p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags)
			IS NOT DISTINCT FROM (s.service_id, s.name, s.region, s.size, s.ha_type, s.postgres_version, s.tags));
	-- a list that lacked it leaves no gap, unless it was away for a day
	UPDATE service s SET valid_to = 'infinity'
	FROM unnest(present) p
	WHERE s.service_id = p.id AND s.valid_to > now() - interval '1 day'
		AND NOT EXISTS (SELECT FROM service n WHERE n.service_id = s.service_id AND (n.valid_to, n.valid_from) > (s.valid_to, s.valid_from))
		AND (p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags)
			IS NOT DISTINCT FROM (s.name, s.region, s.size, s.ha_type, s.postgres_version, s.tags)
		AND s.valid_to < 'infinity';
	INSERT INTO service (service_id, valid_from, noted_at, name, region, size, ha_type, postgres_version, tags, server)
	SELECT p.id, coalesce((SELECT CASE WHEN max(s.valid_to) > now() - interval '1 day' THEN max(s.valid_to)
				WHEN count(*) > 0 THEN now() END FROM service s WHERE s.service_id = p.id), '-infinity'),
		now(), p.name, p.region, p.size, p.ha_type, p.postgres_version, p.tags, asked
	FROM unnest(present) p
	WHERE NOT EXISTS (SELECT FROM service s WHERE s.service_id = p.id AND s.valid_to = 'infinity');
	GET DIAGNOSTICS changed = ROW_COUNT;
	RETURN changed;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_services(@extschema@.chpg_service_row[], text) IS
'Notes what the services of a server are, as it has listed them; returns how many are new or have changed. For _chpg_capture_services.';

CREATE FUNCTION @extschema@._chpg_capture_services(server text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	owner oid := @extschema@._chpg_history_owner();
	listed @extschema@.chpg_service_row[];
BEGIN
	-- what is wrong with the history is told before anything is asked
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_history_lock())'::text);
	listed := ARRAY(SELECT p FROM @extschema@.chpg_services(server) p);
	IF EXISTS (SELECT FROM unnest(listed) p WHERE p.id IS NULL) THEN
		RAISE WARNING 'a service without an id is not captured';
	END IF;
	RETURN @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_services($1, $2))'::text,
		ROW(listed, @extschema@._chpg_history_server(server)))::integer;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_services(text) IS
'Notes what the services of a server are now, and warns of those without an id; returns how many are new or have changed. 1 request. For chpg_capture.';

/*
 * A partition is made apart, and then attached: that locks out neither readers of its
 * parent nor those who write to it.  It belongs to the owner of its parent, whoever
 * captures.  Bounds are written, and read again, in one form whatever the session's is.
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
	parent text := 'pattern_of_' || grain;
	month timestamptz := date_trunc('month', at, 'UTC');
	child text := parent || '_' || to_char(month AT TIME ZONE 'UTC', 'YYYYMM');
	owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = format('%I.%I', place, parent)::regclass);
BEGIN
	IF to_regclass(format('%I.%I', place, child)) IS NOT NULL THEN
		RETURN;
	END IF;
	EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL)', place, child, parent);
	PERFORM @extschema@._chpg_history_close(format('%I.%I', place, child));
	IF pg_get_userbyid(owner) <> current_user THEN
		EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', place, child, pg_get_userbyid(owner));
	END IF;
	EXECUTE format('ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%4$L) TO (%5$L)',
		place, child, parent, month, date_trunc('month', month + interval '40 days', 'UTC'));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_partition(text, timestamptz) IS 'Makes the partition for a month, unless it is there. For functions that capture.';

CREATE FUNCTION @extschema@._chpg_history_prepare()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock();
	PERFORM @extschema@._chpg_history_partition(g.grain, m.at)
	FROM (VALUES ('hour'), ('day')) g(grain),
		(VALUES (now()), (date_trunc('month', now(), 'UTC') + interval '40 days')) m(at);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_prepare() IS 'Makes the partitions for this month and the next one, unless they are there. For chpg_capture.';

CREATE FUNCTION @extschema@._chpg_note_patterns(service_id text, grain text, window_start timestamptz, window_end timestamptz,
	patterns @extschema@.chpg_slow_pattern_row[], cutoff double precision)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO query_text AS t
	SELECT DISTINCT hashtextextended(coalesce(f.query_text, ''), 0), coalesce(f.query_text, ''), window_start, window_end
	FROM unnest(patterns) f
	ON CONFLICT (text_id) DO UPDATE
	SET first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen);
	INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
	SELECT DISTINCT coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''),
		coalesce(f.db_operation, ''), coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0)
	FROM unnest(patterns) f
	ON CONFLICT DO NOTHING;

	PERFORM @extschema@._chpg_history_partition(grain, window_start);
	DELETE FROM pattern p WHERE p.service_id = _chpg_note_patterns.service_id
		AND p.grain = _chpg_note_patterns.grain AND p.window_start = _chpg_note_patterns.window_start;
	INSERT INTO pattern
	SELECT DISTINCT ON (k.pattern_key) _chpg_note_patterns.service_id, grain, window_start, k.pattern_key,
		f.call_count, f.error_count, @extschema@._chpg_bounded(f.total_duration_us), @extschema@._chpg_bounded(f.avg_duration_us),
		@extschema@._chpg_bounded(f.max_duration_us), @extschema@._chpg_bounded(f.p50_duration_us),
		@extschema@._chpg_bounded(f.p95_duration_us), @extschema@._chpg_bounded(f.p99_duration_us), f.total_rows,
		f.total_shared_blks_read, f.total_shared_blks_hit, @extschema@._chpg_bounded(f.total_cpu_time_us), f.total_wal_bytes
	FROM unnest(patterns) f
	JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
		(coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''), coalesce(f.db_operation, ''),
			coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0))
	ORDER BY k.pattern_key, f.total_duration_us DESC NULLS LAST;
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us, attempts, captured_at)
	VALUES (_chpg_note_patterns.service_id, grain, window_start, window_end, 'ok', cardinality(patterns), cutoff IS NOT NULL,
		cutoff, 1, now())
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET status = 'ok', patterns = excluded.patterns, truncated = excluded.truncated, cutoff_us = excluded.cutoff_us,
		error = NULL, attempts = c.attempts + 1, captured_at = now();
	RETURN cardinality(patterns);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_patterns(text, text, timestamptz, timestamptz, @extschema@.chpg_slow_pattern_row[], double precision) IS
'Replaces the patterns of a window by these; returns how many they are. For _chpg_capture_patterns.';

/*
 * Patterns that have errors may have no duration, so that they come last.  All
 * arguments are given, with their types, so that no other function suits better.
 */
CREATE FUNCTION @extschema@._chpg_capture_patterns(owner oid, service_id text, grain text, window_start timestamptz,
	window_end timestamptz, server text, max_patterns bigint, max_error_patterns bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found @extschema@.chpg_slow_pattern_row[];
	cutoff double precision;
BEGIN
	-- one more than is kept tells whether there are more
	found := ARRAY(SELECT f
		FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text, NULL::text, NULL::text,
			NULL::text, NULL::text, max_patterns + 1, server) f);
	IF cardinality(found) > max_patterns THEN
		found := found[:max_patterns];
		cutoff := (SELECT coalesce(min(f.total_duration_us), 0) FROM unnest(found) f);
	END IF;
	found := found || ARRAY(
		SELECT e
		FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text, NULL::text, NULL::text,
			'error_count'::text, NULL::text, max_error_patterns, server) e
		WHERE e.error_count > 0 AND NOT EXISTS (
			SELECT FROM unnest(found) f
			WHERE (f.query_id, f.db_name, f.db_user, f.db_operation, f.app)
				IS NOT DISTINCT FROM (e.query_id, e.db_name, e.db_user, e.db_operation, e.app)));
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_patterns($1, $2, $3, $4, $5, $6))'::text,
		ROW(service_id, grain, window_start, window_end, found, cutoff));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_patterns(oid, text, text, timestamptz, timestamptz, text, bigint, bigint) IS
'Replaces the patterns of a window. 2 requests, 1 more for each further 500 patterns. For _chpg_capture_window.';

CREATE FUNCTION @extschema@._chpg_note_metrics(service_id text, window_start timestamptz, window_end timestamptz,
	points @extschema@.chpg_metric_row[])
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	DELETE FROM metric_point m WHERE m.service_id = _chpg_note_metrics.service_id
		AND m."time" >= window_start AND m."time" < window_end;
	INSERT INTO metric_point (service_id, metric, series, "time", unit, value)
	SELECT DISTINCT ON (p.metric, coalesce(p.series, ''), p."timestamp")
		_chpg_note_metrics.service_id, p.metric, coalesce(p.series, ''), p."timestamp", p.unit, p.value
	FROM unnest(points) p
	WHERE p.metric IS NOT NULL AND p."timestamp" >= window_start AND p."timestamp" < window_end
	ORDER BY p.metric, coalesce(p.series, ''), p."timestamp";
	RETURN cardinality(points);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_metrics(text, timestamptz, timestamptz, @extschema@.chpg_metric_row[]) IS
'Replaces the points of a window''s time series by these; returns how many they are. For _chpg_capture_metrics.';

CREATE FUNCTION @extschema@._chpg_capture_metrics(owner oid, service_id text, window_start timestamptz, window_end timestamptz,
	server text, bucket interval)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	points @extschema@.chpg_metric_row[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF bucket IS NULL THEN
		RETURN;
	END IF;
	points := ARRAY(SELECT p FROM @extschema@.chpg_metrics(window_start, window_end, service_id, bucket, server) p);
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_metrics($1, $2, $3, $4))'::text,
		ROW(service_id, window_start, window_end, points));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_metrics(oid, text, timestamptz, timestamptz, text, interval) IS
'Replaces the points of a window''s time series. 1 request for each 250 points of a series, none if bucket is null. For _chpg_capture_window.';

CREATE FUNCTION @extschema@._chpg_failure(state text, message text, detail text, hint text, context text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_build_object('state', state, 'message', message, 'detail', nullif(detail, ''), 'hint', nullif(hint, ''),
		'context', substring(context FROM '^request [^\n]+'));
END;

COMMENT ON FUNCTION @extschema@._chpg_failure(text, text, text, text, text) IS 'An error that was caught, with the request that it was about, for _chpg_raise.';

CREATE FUNCTION @extschema@._chpg_raise(state text, message text, detail text, hint text, context text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'chpg_raise';

COMMENT ON FUNCTION @extschema@._chpg_raise(text, text, text, text, text) IS
'Raises an error that was caught; detail, hint and context may be null. Its CONTEXT does not name the functions that it came from. For chpg_capture.';

CREATE FUNCTION @extschema@._chpg_note_failure(service_id text, grain text, window_start timestamptz, window_end timestamptz, failure text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tried integer;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, error, attempts, captured_at)
	VALUES (service_id, grain, window_start, window_end, 'error', failure, 1, now())
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET status = CASE c.status WHEN 'ok' THEN 'ok' ELSE 'error' END, error = excluded.error,
		attempts = c.attempts + 1, captured_at = CASE c.status WHEN 'ok' THEN c.captured_at ELSE now() END
	RETURNING c.attempts INTO tried;
	RETURN tried;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_failure(text, text, timestamptz, timestamptz, text) IS
'Notes why a window could not be captured; returns how many times that was tried. For _chpg_capture_window.';

CREATE FUNCTION @extschema@._chpg_begin_window(service_id text, grain text, window_start timestamptz, only_due boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock();
	IF only_due AND NOT EXISTS (SELECT FROM @extschema@.chpg_history_due(grain, service_id, NULL::text) d
			WHERE d.window_start = _chpg_begin_window.window_start AND NOT d.lost) THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT to_jsonb(s) FROM @extschema@._chpg_history_settings() s);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_begin_window(text, text, timestamptz, boolean) IS
'Waits until nothing else changes the history; returns its settings, or null for a window that is not due any more, if only due ones are wanted. For _chpg_capture_window.';

/*
 * What fails leaves the window as it was, and a word why; so does what is canceled,
 * or the next run would be held up by the same window.  Who had to wait for another
 * capture may find that it is done.
 */
CREATE FUNCTION @extschema@._chpg_capture_window(service_id text, grain text, window_start timestamptz, window_end timestamptz, server text,
	only_due boolean DEFAULT false, OUT failure text, OUT fatal jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
	context text;
	owner oid;
	settings jsonb;
BEGIN
	BEGIN
		owner := @extschema@._chpg_history_owner();
		settings := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_begin_window($1, $2, $3, $4)'::text,
			ROW(service_id, grain, window_start, only_due));
		IF settings IS NULL THEN
			RETURN;
		END IF;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
			hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
		fatal := @extschema@._chpg_failure(state, message, detail, hint, context);
		RETURN;
	END;
	BEGIN
		IF grain = 'hour' THEN
			PERFORM @extschema@._chpg_capture_metrics(owner, service_id, window_start, window_end, server,
				(settings->>'metric_bucket')::interval);
		END IF;
		PERFORM @extschema@._chpg_capture_patterns(owner, service_id, grain, window_start, window_end, server,
			(settings->>'max_patterns')::bigint, (settings->>'max_error_patterns')::bigint);
		RETURN;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	END;
	failure := left(regexp_replace(concat_ws('. ', state || ': ' || message, nullif(detail, '')), '\s+', ' ', 'g'), 1000);
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_failure($1, $2, $3, $4, $5))'::text,
		ROW(service_id, grain, window_start, window_end, failure));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_window(text, text, timestamptz, timestamptz, text, boolean) IS
'Captures a window, once no other is being captured, unless it is not due any more and only due ones are wanted; returns why the window failed, or what is wrong with the history (fatal), or nulls. 2 requests, and those of the metrics for an hour; 1 more for each further 500 patterns. For chpg_capture.';

CREATE FUNCTION @extschema@._chpg_capture_lost()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	marked bigint;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status)
	SELECT d.service_id, d.grain_due, d.window_start, d.window_end, 'lost'
	FROM @extschema@.chpg_history_due(NULL::text, NULL::text, NULL::text) d WHERE d.lost
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE SET status = 'lost' WHERE c.status = 'error';
	GET DIAGNOSTICS marked = ROW_COUNT;
	RETURN marked;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_lost() IS
'Marks the windows that the API has no longer; returns how many. Sends no request. For chpg_capture.';

/* A budget that cannot be looked at is no reason to wait: the window that follows says so. */
CREATE FUNCTION @extschema@._chpg_capture_must_wait(server text, reserve integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM @extschema@._chpg_own_budget(@extschema@._chpg_history_server(server)) b
		WHERE b.waiting > 0 OR b.free < least(reserve,
			substring(b.rate_limit FROM '^[0-9]+')::integer));
EXCEPTION WHEN OTHERS THEN
	RETURN false;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_must_wait(text, integer) IS
'Whether somebody waits for the budget of the caller''s key for the server, or less of it is free than the reserve. Sends no request. For chpg_capture.';

CREATE PROCEDURE @extschema@._chpg_check_capture()
LANGUAGE C
AS 'MODULE_PATHNAME', 'chpg_check_capture';

COMMENT ON PROCEDURE @extschema@._chpg_check_capture() IS 'Error 25001 where the procedure that calls it could not end a transaction, such as within a transaction block. For chpg_capture.';

CREATE FUNCTION @extschema@._chpg_tell_progress(told timestamptz, done bigint, windows bigint)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF clock_timestamp() < told + interval '1 minute' THEN
		RETURN told;
	END IF;
	RAISE NOTICE '% of % windows are done', done, windows;
	RETURN clock_timestamp();
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_tell_progress(timestamptz, bigint, bigint) IS 'Tells how much is done, unless it was told less than a minute ago; returns when it was told last. For chpg_capture.';

CREATE FUNCTION @extschema@._chpg_capture_schedule(grain text, service text, server text, max_windows integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_check_service(service);
	PERFORM @extschema@._chpg_history_prepare();
	PERFORM @extschema@._chpg_capture_lost();
	RETURN (SELECT to_jsonb(p) FROM @extschema@._chpg_history_plan(grain, service, server, max_windows) p WHERE p.grain_due IS NULL)
		|| jsonb_build_object('due', (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.ordinality), '[]')
				FROM @extschema@.chpg_history_due(grain, service, server) WITH ORDINALITY d WHERE NOT d.lost),
			'reserve', (SELECT s.reserve FROM @extschema@._chpg_history_settings() s));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_schedule(text, text, text, integer) IS
'Notes what is lost, makes partitions, and returns what is due, what it takes, and the setting reserve. For _chpg_capture_begin.';

/* What is due is a list, for what reads it ends transactions meanwhile. */
CREATE FUNCTION @extschema@._chpg_capture_begin(grain text, service text, server text, max_windows integer,
	OUT due jsonb, OUT windows bigint, OUT requests bigint, OUT seconds double precision, OUT reserve integer, OUT failure jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	schedule jsonb;
	state text;
	message text;
	detail text;
	hint text;
	context text;
BEGIN
	PERFORM @extschema@._chpg_history_check_primary('a capture');
	PERFORM @extschema@._chpg_capture_services(server);
	schedule := @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT @extschema@._chpg_capture_schedule($1, $2, $3, $4)'::text,
		ROW(grain, service, @extschema@._chpg_history_server(server), max_windows));
	due := schedule->'due';
	windows := schedule->>'windows';
	requests := schedule->>'requests';
	seconds := schedule->>'seconds';
	reserve := schedule->>'reserve';
EXCEPTION WHEN query_canceled OR OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	failure := @extschema@._chpg_failure(state, message, detail, hint, context);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_begin(text, text, text, integer) IS
'Notes the services and what is lost, makes partitions, and returns what is due and what it takes; or what is wrong, of which nothing is kept. 1 request. For chpg_capture.';

CREATE PROCEDURE @extschema@._chpg_capture_commit()
LANGUAGE plpgsql
AS $$
BEGIN
	COMMIT;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
END
$$;

COMMENT ON PROCEDURE @extschema@._chpg_capture_commit() IS 'Commits, and begins a transaction in which nothing of the caller''s search_path is found. For chpg_capture.';

/*
 * A procedure that commits can have no search_path of its own, and a local one ends
 * with each transaction.  Types are looked up before the first statement runs.
 */
CREATE PROCEDURE @extschema@.chpg_capture(
	grain text DEFAULT NULL,
	service text DEFAULT NULL,
	max_windows integer DEFAULT 500,
	server text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	callers_path pg_catalog.text := pg_catalog.current_setting('search_path');
	run pg_catalog.record;
	due pg_catalog.record;
	outcome pg_catalog.record;
	wrong pg_catalog.jsonb;
	first_failure pg_catalog.text;
	failures pg_catalog.jsonb := '{}';
	tried integer := 0;
	failed integer := 0;
	skipped integer := 0;
	api_failures integer := 0;
	ended pg_catalog.text;
	waits integer;
	windows_left integer := 0;
	told pg_catalog.timestamptz := pg_catalog.clock_timestamp();
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM @extschema@._chpg_history_check_entrusted();
	CALL @extschema@._chpg_check_capture();
	IF max_windows < 0 THEN
		RAISE EXCEPTION 'invalid value for "max_windows": %', max_windows
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the number of windows to capture at most, or null for all.';
	END IF;
	SELECT * INTO run FROM @extschema@._chpg_capture_begin(grain, service, server, max_windows);
	wrong := run.failure;
	CALL @extschema@._chpg_capture_commit();
	IF wrong IS NULL AND run.seconds > 60 THEN
		RAISE NOTICE 'capturing % windows takes % requests, and about % seconds', run.windows, run.requests, run.seconds;
	END IF;
	FOR due IN SELECT d.* FROM jsonb_to_recordset(run.due) d(service_id text, grain_due text, window_start timestamptz, window_end timestamptz) LOOP
		IF ended IS NOT NULL OR tried >= max_windows THEN
			windows_left := windows_left + 1;
			CONTINUE;
		END IF;
		told := @extschema@._chpg_tell_progress(told, tried::bigint, run.windows);
		-- a service that fails and fails is not asked for all that it lacks
		IF (failures->>due.service_id)::integer >= 3 THEN
			skipped := skipped + 1;
			CONTINUE;
		END IF;
		waits := 0;
		WHILE waits < 600 AND @extschema@._chpg_capture_must_wait(server, run.reserve) LOOP
			CALL @extschema@._chpg_capture_commit();
			PERFORM pg_sleep(0.1);
			waits := waits + 1;
		END LOOP;
		SELECT * INTO outcome FROM @extschema@._chpg_capture_window(due.service_id, due.grain_due, due.window_start, due.window_end, server, true);
		wrong := outcome.fatal;
		EXIT WHEN wrong IS NOT NULL;
		CALL @extschema@._chpg_capture_commit();
		tried := tried + 1;
		-- refused by the budget, or failed: the API as a whole, where that goes on
		api_failures := CASE WHEN outcome.failure ~ '^(53400|58000|08...):' THEN api_failures + 1 ELSE 0 END;
		CONTINUE WHEN outcome.failure IS NULL;
		failed := failed + 1;
		first_failure := coalesce(first_failure, outcome.failure);
		failures := jsonb_set(failures, ARRAY[due.service_id], to_jsonb(coalesce((failures->>due.service_id)::integer, 0) + 1));
		-- whoever cancels, or a timeout, means the run, not a window
		ended := CASE WHEN outcome.failure LIKE '57014:%' THEN 'It was canceled, which ended the run.'
			WHEN api_failures = 3 THEN 'The API failed for three windows in a row, which ended the run.' END;
	END LOOP;
	IF wrong IS NOT NULL THEN
		PERFORM @extschema@._chpg_raise(wrong->>'state', wrong->>'message', wrong->>'detail', wrong->>'hint', wrong->>'context');
	END IF;
	IF windows_left > 0 AND ended IS NULL THEN
		RAISE NOTICE '% windows are left to the next run', windows_left
			USING HINT = format('A run captures %s at most: see its argument "max_windows".', max_windows);
	ELSIF windows_left > 0 THEN
		RAISE NOTICE '% windows are left to the next run', windows_left;
	END IF;
	IF failed > 0 THEN
		RAISE EXCEPTION 'could not capture % of % windows', failed, tried
			USING ERRCODE = CASE WHEN ended LIKE 'It was canceled%' THEN 'query_canceled' ELSE 'external_routine_exception' END,
				DETAIL = concat_ws(' ', format('The first one: %s.', rtrim(first_failure, '.')),
					CASE WHEN skipped > 0 THEN format('%s more of services that failed three times were left alone.', skipped) END, ended),
				HINT = 'The next run tries them again; see the view coverage of the history.';
	END IF;
	PERFORM set_config('search_path', callers_path, true);
END
$$;

COMMENT ON PROCEDURE @extschema@.chpg_capture(text, text, integer, text) IS
'Captures the windows that are due, of hours and days or of one grain, of all services of the server or of one (id or name), oldest first, each in a transaction of its own, max_windows at most (500 unless said; null: all; 0: none, which only notes the services and what is lost), and tells how many are left; a service of which three windows fail is left to the next run. Where the API fails for three windows in a row, the run ends, and what it did not ask for stays due. 1 request for the list, and what chpg_history_cost says; says so if it will take more than a minute, and then each minute how far it is. Leaves some of the budget to others (setting reserve), but waits a minute at most for each window. Error 38000 at the end if a window could not be captured; the others are; 57014 if it was canceled, or ran into statement_timeout, within a window, which is noted as failed; before anything is asked, 22023 if max_windows is negative, or a setting of the history cannot be used, 25001 inside a transaction block, 25006 on a standby, 42501 for roles that do not own the history.';

REVOKE EXECUTE ON PROCEDURE @extschema@.chpg_capture(text, text, integer, text) FROM PUBLIC;

/*
 * Dropping a partition locks its parent against all readers until the transaction
 * ends.  While one of them is reading, the others would wait behind the purge: it waits
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
			-- somebody who may read it has made a view of it, or a column of its row type
			RETURN CASE WHEN cardinality(partitions) > 1 THEN
				ARRAY(SELECT d FROM unnest(partitions) p CROSS JOIN LATERAL unnest(@extschema@._chpg_history_drop(place, ARRAY[p])) d)
				ELSE '{}' END;
		END;
		PERFORM pg_sleep(1);
	END LOOP;
	RETURN '{}';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_drop(name, name[]) IS
'Drops partitions, but those that something of others depends on, unless somebody keeps reading them, or their parents, for ten seconds; returns those that were dropped. For chpg_history_purge.';

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
		coalesce(max(e.upper) FILTER (WHERE e.grain = 'hour'), '-infinity'), coalesce(max(e.upper) FILTER (WHERE e.grain = 'day'), '-infinity')
	INTO expired, hours_from, days_from
	FROM (
		SELECT c.relname, split_part(p.relname, '_', 3) AS grain,
			substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']*)''\)')::timestamptz AS upper
		FROM pg_inherits i
		JOIN pg_class c ON c.oid = i.inhrelid
		JOIN pg_class p ON p.oid = i.inhparent
		JOIN pg_namespace n ON n.oid = p.relnamespace
		WHERE n.nspname = place AND p.relname IN ('pattern_of_hour', 'pattern_of_day')
	) e
	WHERE e.upper <= now() - CASE e.grain WHEN 'hour' THEN settings.keep_hour ELSE settings.keep_day END;
	DELETE FROM capture c WHERE c.window_end < now() - CASE c.grain WHEN 'hour' THEN settings.keep_hour ELSE settings.keep_day END
		AND (c.window_start < CASE c.grain WHEN 'hour' THEN hours_from ELSE days_from END OR NOT EXISTS (SELECT FROM pattern p
			WHERE p.service_id = c.service_id AND p.grain = c.grain AND p.window_start = c.window_start));
	DELETE FROM service s WHERE s.valid_to < now() - greatest(settings.keep_hour, settings.keep_day)
		AND NOT EXISTS (SELECT FROM capture c WHERE c.service_id = s.service_id AND c.window_start < s.valid_to);
	DELETE FROM metric_point m WHERE m."time" < now() - settings.keep_hour;
	DELETE FROM pattern_key k WHERE NOT EXISTS (SELECT FROM pattern p WHERE p.pattern_key = k.pattern_key
		AND p.window_start >= CASE p.grain WHEN 'hour' THEN hours_from ELSE days_from END);
	DELETE FROM query_text t WHERE NOT EXISTS (SELECT FROM pattern_key k WHERE k.text_id = t.text_id);
	IF expired IS NULL THEN
		RETURN '[]';
	END IF;
	-- last, for the parents of what is dropped stay locked until the transaction ends
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

COMMENT ON FUNCTION @extschema@._chpg_history_expire() IS 'Does what chpg_history_purge does; returns the names of what was dropped.';

CREATE FUNCTION @extschema@.chpg_history_purge()
RETURNS SETOF text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_check_entrusted();
	PERFORM @extschema@._chpg_history_check_primary('a purge');
	RETURN QUERY SELECT jsonb_array_elements_text(@extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT @extschema@._chpg_history_expire()'::text));
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_purge() IS
'Drops the partitions of which all is older than the settings keep_hour and keep_day say, and what nothing refers to any more; returns their names. Partitions that are read for longer than ten seconds, or that objects of others depend on, are emptied, a NOTICE names them, and the next purge drops them if it can. Sends no request. Errors: 22023 a setting of the history cannot be used, 25006 on a standby, 42501 the caller does not own the history, 55000 there is no history.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_purge() FROM PUBLIC;
