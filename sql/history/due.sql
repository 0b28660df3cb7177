/* History: which windows are due, and what capturing them costs. */

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
