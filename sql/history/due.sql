/* History: which windows are due, and what capturing them costs. */

CREATE TYPE @extschema@.chpg_history_due_row AS (
	service_id text,
	service_name text,
	grain_due text,
	window_start timestamptz,
	window_end timestamptz,
	lost boolean,
	again boolean
);

COMMENT ON TYPE @extschema@.chpg_history_due_row IS 'A window that is due to be captured.';
COMMENT ON COLUMN @extschema@.chpg_history_due_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_history_due_row.service_name IS 'Its latest name; null if none is known.';
COMMENT ON COLUMN @extschema@.chpg_history_due_row.grain_due IS 'Length of the window: hour or day.';
COMMENT ON COLUMN @extschema@.chpg_history_due_row.window_start IS 'Start of the window, which it includes.';
COMMENT ON COLUMN @extschema@.chpg_history_due_row.window_end IS 'End of the window, which it does not include.';
COMMENT ON COLUMN @extschema@.chpg_history_due_row.lost IS 'The API has the window, or the service, no longer.';
COMMENT ON COLUMN @extschema@.chpg_history_due_row.again IS 'It was captured already.';

CREATE TYPE @extschema@.chpg_history_cost_row AS (
	grain text,
	windows bigint,
	requests bigint,
	seconds double precision
);

COMMENT ON TYPE @extschema@.chpg_history_cost_row IS 'What capturing the windows that are due costs.';
COMMENT ON COLUMN @extschema@.chpg_history_cost_row.grain IS 'Length of the windows: hour or day.';
COMMENT ON COLUMN @extschema@.chpg_history_cost_row.windows IS 'Windows that are due.';
COMMENT ON COLUMN @extschema@.chpg_history_cost_row.requests IS 'Requests that capturing them takes.';
COMMENT ON COLUMN @extschema@.chpg_history_cost_row.seconds IS 'Time that the rate limit makes it take, in seconds.';

/*
 * Days are those of UTC, whatever the session's time zone is.  A window is lost when the API
 * keeps it no longer, or when its service is missing from the list for a day: a single
 * response may omit a service.  Services with a failed window come last, and of their
 * windows the failed ones, so that they hold up no others.
 *
 * Data may come late.  One hour of each service and day is captured again, to notice that:
 * another hour for each service, so that a fleet's do not fall due together.  While such a
 * window had changed within a week, all windows of that service are, from a day before the
 * first one that had.
 */
CREATE FUNCTION @extschema@.chpg_history_due(
	grain text DEFAULT NULL,
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_history_due_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
	settings record;
	ids text[];
BEGIN
	IF service IS NOT NULL THEN
		ids := ARRAY(SELECT h.service_id FROM @extschema@._chpg_history_services(service, NULL::text, true) h);
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	IF grain NOT IN ('hour', 'day') THEN
		RAISE EXCEPTION 'invalid value for "grain": "%": give hour or day, or a service as service => %', grain,
				quote_literal(grain)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give hour or day, or null for both.';
	END IF;
	SELECT * INTO settings FROM @extschema@._chpg_history_settings();
	RETURN QUERY
	WITH known AS (
		SELECT n.service_id, n.service_name, n.since, n.until,
			(get_byte(n.hash, 0) * 256 + get_byte(n.hash, 1)) % 24 AS probe_hour,
			(SELECT min(c.changed_at) - interval '1 day' FROM capture c
				WHERE c.service_id = n.service_id AND c.grain IN ('hour', 'day')
					AND c.window_start > now() - settings.api_retention - interval '7 days'
					AND c.changed_at > now() - interval '7 days') AS late_since
		FROM (
			SELECT s.service_id, min(s.noted_at) - settings.backfill AS since, max(s.valid_to) AS until,
				sha256(convert_to(s.service_id, 'UTF8')) AS hash,
				(array_agg(s.service_name ORDER BY s.valid_to DESC, s.valid_from DESC))[1] AS service_name
			FROM service s
			WHERE ids IS NULL OR s.service_id = ANY (ids)
			GROUP BY s.service_id
			HAVING chpg_history_due.server IS NULL
				OR (array_agg(s.server ORDER BY s.valid_to DESC, s.valid_from DESC))[1] = chpg_history_due.server
		) n
	), grains AS (
		SELECT g.grain, g.length, g.keep,
			date_bin(g.length, now() - settings.settle, '2000-01-01 00:00Z') AS newest_end
		FROM (VALUES
			('hour', interval '1 hour', settings.keep_hour),
			('day', interval '1 day', settings.keep_day)) g(grain, length, keep)
		WHERE (chpg_history_due.grain IS NULL OR g.grain = chpg_history_due.grain) AND g.length < settings.api_retention
	)
	SELECT k.service_id, k.service_name, g.grain, w, w + g.length, l.lost, coalesce(c.status = 'ok', false)
	FROM known k
	CROSS JOIN grains g
	CROSS JOIN LATERAL generate_series(
		date_bin(g.length, greatest(k.since, now() - g.keep) + g.length - interval '1 microsecond',
			'2000-01-01 00:00Z'),
		least(g.newest_end, k.until) - g.length, g.length) w
	CROSS JOIN LATERAL (
		SELECT k.until < now() - interval '1 day' OR w < now() - settings.api_retention AS lost) l
	LEFT JOIN capture c ON c.service_id = k.service_id AND c.grain = g.grain AND c.window_start = w
		AND (ids IS NULL OR c.service_id = ANY (ids))
	CROSS JOIN LATERAL (
		SELECT c.status = 'error' OR (c.status = 'ok' AND c.error IS NOT NULL) AS failed) f
	WHERE (l.lost OR k.until = 'infinity')
		AND (c.status IS NULL OR c.status = 'error' OR (c.status = 'lost' AND NOT l.lost)
			OR (c.status = 'ok' AND NOT l.lost
				AND c.captured_at < least(g.newest_end, w + settings.recapture * g.length) + settings.settle
				AND (c.captured_at >= k.late_since OR (g.grain = 'hour' AND extract(hour FROM w) = k.probe_hour))))
	ORDER BY coalesce(bool_or(f.failed AND NOT l.lost) OVER (PARTITION BY k.service_id), false),
		f.failed IS TRUE, c.status IS NOT DISTINCT FROM 'ok', w + g.length, g.grain, k.service_id;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_due(text, text, text) IS
'The windows that chpg_capture is going to capture, oldest first.
Of hours, of days, or of both (null); of one service, by id or name, or of all; of one server,
  or of all.
Windows that were captured already (again) come later, and services with a failed window last.
lost: the API has the window, or the service, no longer.
Requests: none.
Errors: 22023 a grain, or a setting of the history, cannot be used; 42704 no such service; 55000
  there is no history.';

/*
 * Let a window take r requests.  The next window begins while "reserve" of the budget are
 * free, so that floor((limit - reserve) / r) + 1 windows begin at once, and as many after
 * each period of the rate limit.
 */
CREATE FUNCTION @extschema@._chpg_history_plan(grain text, service text, server text, max_windows integer)
RETURNS TABLE (grain_due text, windows bigint, requests bigint, seconds double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	settings record;
	server_used text := @extschema@._chpg_own_server(server);
	rate_limit text := coalesce(nullif((SELECT o.option_value
		FROM pg_foreign_server s
		CROSS JOIN LATERAL pg_options_to_table(s.srvoptions) o
		WHERE s.srvname = server_used AND o.option_name = 'rate_limit'), 'auto'), '10/10s');
	rate_requests integer;
	rate_seconds double precision := 0;
BEGIN
	SELECT * INTO settings FROM @extschema@._chpg_history_settings();
	BEGIN
		rate_limit := coalesce((SELECT b.rate_limit FROM @extschema@._chpg_own_budget(server_used) b
			WHERE b.rate_limit_source = 'headers'), rate_limit);
	EXCEPTION WHEN OTHERS THEN
		NULL;	-- the caller has no key
	END;
	IF rate_limit <> 'unlimited' THEN
		rate_requests := split_part(rate_limit, '/', 1);
		rate_seconds := rtrim(split_part(rate_limit, '/', 2), 's');
	END IF;
	RETURN QUERY
	SELECT d.grain_due, count(*), sum(r.requests)::bigint,
		coalesce(greatest(ceil(round(sum(r.requests / least(rate_requests, r.requests
			* (floor((rate_requests - least(settings.reserve, rate_requests)) / r.requests) + 1))), 6)) - 1, 0), 0)
			::double precision * rate_seconds
	FROM (
		SELECT n.*, row_number() OVER (PARTITION BY n.service_id, n.grain_due, n.again) AS place
		FROM (SELECT a.service_id, a.grain_due, a.again FROM @extschema@.chpg_history_due(grain, service, server) a
			WHERE NOT a.lost LIMIT max_windows) n
	) d
	CROSS JOIN LATERAL (
		-- metrics of two hours, of at most 250 points a request, and once a day the settings
		SELECT 2 + CASE WHEN d.grain_due = 'hour' AND NOT d.again
			THEN coalesce(ceil(7200 / extract(epoch FROM settings.metric_bucket) / 250), 0)
				+ CASE WHEN d.place = 1 AND @extschema@._chpg_settings_are_due(d.service_id) THEN 1 ELSE 0 END
			ELSE 0 END AS requests) r
	GROUP BY GROUPING SETS ((d.grain_due), ())
	ORDER BY d.grain_due;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_plan(text, text, text, integer) IS
'Cost of capturing the due windows, for each grain, and for all (null) together.
Requests: none.';

CREATE FUNCTION @extschema@.chpg_history_cost()
RETURNS SETOF @extschema@.chpg_history_cost_row
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
'What capturing all due windows costs: windows, requests and seconds, for each grain.
Assumes less than 500 patterns in a window, and the rate limit of the server that is used by
  default, of which the setting reserve leaves some to others. The API''s response times come on
  top.
Requests: none; 1 if the history has no service yet, to note them, for roles that own it.
Errors: 22023 a setting of the history cannot be used; 55000 there is no history.';
