/*
 * rule: CHPG703 connections
 * title: Connections run out
 * kind: risk
 * scope: metrics
 * place: 150
 * threshold: used_ratio = 0.8 ratio; Connections of max_connections from which it is WARN.
 * threshold: error_used_ratio = 0.95 ratio; Connections of max_connections from which it is ERROR.
 * threshold: full_days = 7 days; Days until max_connections is reached, below which it is WARN.
 * threshold: error_full_days = 0.5 days; Days until max_connections is reached, below which it is ERROR.
 * threshold: filling_ratio = 0.5 ratio; Connections of max_connections from which growth of less than three
 *     days counts, since they follow the load of a day ...
 * threshold: filling_factor = 1.4 factor; ... or so many times those that were usual at most ...
 * threshold: filling_load_factor = 1.25 factor; ... while executions are at most so many times the usual ones.
 * threshold: usual_factor = 2 factor; Connections of those that were usual at these hours, from which it is
 *     WARN where max_connections is unknown.
 * threshold: above_usual = 20 connections; And so many more.
 * threshold: growth_factor = 1.4 factor; Steady growth over a week or more, from which it is WARN where
 *     max_connections is unknown.
 */
/* A service that does not answer is left out, and the others are judged. */
CREATE FUNCTION @extschema@._chpg_connections_now(service text, server text)
RETURNS TABLE (service_id text, used bigint, idle bigint, max_connections double precision)
LANGUAGE sql VOLATILE
SET chpg.on_service_error = 'warning'
BEGIN ATOMIC
	WITH health AS MATERIALIZED (
		SELECT h.*, coalesce(h.active_connections + h.idle_connections, h.active_connections, h.idle_connections)
			AS used
		FROM @extschema@.chpg_health(server) h WHERE service IS NULL OR service IN (h.service_id, h.service_name)
	), configured AS MATERIALIZED (
		SELECT c.service_id, c.value::float8 AS max_connections
		FROM @extschema@.chpg_config(service, server) c
		WHERE c.component = 'postgres' AND c.name = 'max_connections' AND c.value ~ '^[0-9]{1,8}$'
	)
	SELECT h.service_id, h.used, h.idle_connections, c.max_connections
	FROM health h
	LEFT JOIN configured c USING (service_id);
END;

COMMENT ON FUNCTION @extschema@._chpg_connections_now(text, text) IS
'Connections as they are now, of services that have metrics, and max_connections.
Requests: 1 for the metrics, and those of chpg_config.';

CREATE FUNCTION @extschema@._chpg_without_cycle(ages integer[], "values" double precision[])
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH cycle AS (
		SELECT u.age % 24 AS hour, percentile_cont(0.5) WITHIN GROUP (ORDER BY u.value) AS usual
		FROM unnest(ages, "values") u(age, value)
		WHERE u.age >= 24
		GROUP BY 1
	)
	SELECT array_agg(greatest(l.value + coalesce(n.usual - c.usual, 0), 0) ORDER BY l.age)
	FROM unnest(ages, "values") l(age, value)
	LEFT JOIN cycle c ON c.hour = l.age % 24
	LEFT JOIN cycle n ON n.hour = 0;
END;

COMMENT ON FUNCTION @extschema@._chpg_without_cycle(integer[], double precision[]) IS
'A line as if each hour of a day had the usual value of the latest one.';

CREATE FUNCTION @extschema@._chpg_load_factor(of_service text, end_time timestamptz)
RETURNS double precision
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT @extschema@._chpg_history_is_readable() THEN
		RETURN NULL;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN (
		SELECT sum(h.call_count::float8) / nullif(sum(h.usual), 0)
		FROM @extschema@._chpg_usual_traffic(of_service, end_time - interval '4 hours', end_time) h
		WHERE h.usual IS NOT NULL);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_load_factor(text, timestamptz) IS
'How many times as many executions as usual a service has, in four hours before a time.
Usual is what these hours have had.
Null where that is unknown.
Errors: 55000 the history has the layout of an earlier version.';

CREATE FUNCTION @extschema@._chpg_find_connections(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
	known CONSTANT boolean := @extschema@._chpg_metrics_are_readable();
	measured jsonb := '[]';
	line record;
	usual record;
	forecast @extschema@._chpg_forecast;
	used double precision;
	capacity double precision;
	full_days double precision;
	run integer;
	lvl text;
	title text;
	since timestamptz;
	usually boolean;
BEGIN
	IF live THEN
		measured := (SELECT coalesce(jsonb_agg(n), '[]')
			FROM @extschema@._chpg_connections_now(scope.service, scope.server) n);
	END IF;
	FOR line IN
		WITH limits AS MATERIALIZED (
			SELECT i.* FROM @extschema@._chpg_limits(CASE WHEN known THEN scope.service_ids ELSE '{}' END, until) i
		), growing AS MATERIALIZED (
			SELECT g.service_id, i.max_connections IS NOT NULL AS is_limited
			FROM @extschema@._chpg_growing(CASE WHEN known THEN scope.service_ids ELSE '{}' END, until,
				'connection_count'::text, '^$|total'::text) g
			LEFT JOIN limits i ON i.service_id = g.service_id
			WHERE i.max_connections IS NULL OR g.top >= 0.9 * :used_ratio * i.max_connections
				OR g.rise >= 0.03 * i.max_connections OR g.hour_rise >= 0.06 * i.max_connections
				OR g.day_rise >= 0.4 * (i.max_connections - g.present) / nullif(:full_days, 0)
		), lines AS MATERIALIZED (
			SELECT l.*
			FROM (VALUES (true, interval '28 days'), (false, interval '10 days')) p(is_limited, length)
			CROSS JOIN LATERAL @extschema@._chpg_metric_lines(
				ARRAY(SELECT g.service_id FROM growing g WHERE g.is_limited = p.is_limited),
				until - p.length, until, 'connection_count'::text, '^$|total'::text, NULL::text) l
			WHERE l.latest > until - interval '6 hours'
		)
		SELECT coalesce(n.service_id, l.service_id) AS service_id, n.service_id IS NOT NULL AS is_live, n.used, n.idle,
			coalesce(n.max_connections, nullif(i.max_connections, 0)) AS max_connections,
			l.latest, l.ages, l.means, l.tops
		FROM jsonb_to_recordset(measured) n(service_id text, used bigint, idle bigint, max_connections float8)
		FULL JOIN lines l USING (service_id)
		LEFT JOIN limits i ON i.service_id = coalesce(n.service_id, l.service_id)
		WHERE n.service_id IS NOT NULL OR (NOT live
			AND l.service_id IN (SELECT p.service_id FROM unnest(scope.period_hours) p))
	LOOP
		used := CASE WHEN line.is_live THEN line.used ELSE @extschema@._chpg_recent(line.ages, line.tops, 2) END;
		IF used IS NULL THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG703}'::text[],
				CASE WHEN line.is_live AND line.max_connections IS NULL
					THEN 'max_connections is unknown: the API returns only settings that were changed, or did not answer.'
					ELSE 'The metrics omit the number of connections' END, line.service_id);
			CONTINUE;
		END IF;
		lvl := NULL;
		title := 'Connections run out';
		capacity := line.max_connections;
		run := @extschema@._chpg_run_hours(line.ages, line.tops, coalesce(:used_ratio * capacity, 0.75 * used));
		SELECT u.* INTO usual FROM @extschema@._chpg_usual(line.ages, line.tops, run) u;
		usually := coalesce(usual.days >= 5 AND used < 1.05 * usual.highest, false);
		IF capacity IS NOT NULL THEN
			forecast := @extschema@._chpg_forecast(line.latest, line.ages, line.means, capacity);
			IF forecast.since > line.latest - interval '3 days' AND used < :filling_ratio * capacity THEN
				forecast := NULL;
			END IF;
			-- more than the load of these hours has ever made them
			IF forecast.full_at IS NULL AND usual.days >= 5 AND used >= :filling_factor * usual.highest
					AND @extschema@._chpg_load_factor(line.service_id, until) <= :filling_load_factor THEN
				forecast := @extschema@._chpg_forecast(line.latest, line.ages,
					@extschema@._chpg_without_cycle(line.ages, line.means), capacity);
			END IF;
			full_days := extract(epoch FROM forecast.full_at - until) / 86400;
			lvl := CASE WHEN used >= :error_used_ratio * capacity OR full_days < :error_full_days
					THEN 'ERROR'
				WHEN full_days < :full_days THEN 'WARN'
				WHEN used >= :used_ratio * capacity THEN CASE WHEN usually THEN 'INFO' ELSE 'WARN' END END;
			-- it began when there were more than usual
			since := coalesce(forecast.since, @extschema@._chpg_run_since(line.latest, line.ages,
				@extschema@._chpg_run_hours(line.ages, line.tops, least(:used_ratio * capacity,
					usual.highest + 0.1 * greatest(used - usual.highest, 0)))));
		ELSE
			-- as if there were room for three times as many
			forecast := @extschema@._chpg_forecast(line.latest, line.ages, line.means, 3 * used);
			title := 'More connections than usual';
			IF forecast.confidence <> 'low' AND coalesce(forecast.since, '-infinity') <= line.latest - interval '6 days'
					AND used >= :growth_factor * forecast."before" AND used > usual.highest
					-- on the same day of the week, too
					AND (SELECT avg(v.value) FILTER (WHERE v.age < 24)
							>= (1 + (:growth_factor - 1) / 2) * avg(v.value) FILTER (WHERE v.age BETWEEN 168 AND 191)
						FROM unnest(line.ages, line.means) v(age, value)) THEN
				lvl := 'WARN';
				since := forecast.since;
			ELSIF usual.days >= 5 AND used >= :usual_factor * usual.highest
					AND used >= usual.highest + :above_usual THEN
				lvl := 'WARN';
				since := @extschema@._chpg_run_since(line.latest, line.ages, run);
			END IF;
			forecast.full_at := NULL;
		END IF;
		IF lvl IS NULL AND capacity IS NULL THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG703}'::text[],
				CASE WHEN live THEN
					'max_connections is unknown: the API returns only settings that were changed, or did not answer.'
				ELSE 'max_connections is unknown: the history has only settings that were changed, since it reads them.'
				END, line.service_id);
		END IF;
		CONTINUE WHEN lvl IS NULL;
		RETURN NEXT ROW('CHPG703', lvl, title, line.service_id,
			CASE WHEN capacity IS NOT NULL THEN format('%s of %s connections', round(used), capacity)
					WHEN usual.highest IS NOT NULL THEN
						format('%s connections, usually up to %s', round(used), round(usual.highest))
					ELSE format('%s connections, %s before', round(used), round(forecast."before")) END
				|| coalesce(@extschema@._chpg_forecast_text(forecast,
					@extschema@._chpg_rounded(forecast.per_day, 1)::text),
					''),
			jsonb_build_object('connections', used, 'max_connections', capacity,
				'idle', line.idle, 'usual', usual.median,
				'growth_per_day', forecast.per_day, 'full_at', forecast.full_at, 'full_from', forecast.full_from,
				'full_until', forecast.full_until),
			'Applications hold more connections than they use, or lack a pooler.',
			'Connect through PgBouncer, or lower the applications'' pools.',
			NULL::float8, CASE WHEN capacity IS NULL THEN 'low' WHEN used >= :used_ratio * capacity THEN 'high'
				ELSE forecast.confidence END,
			'CHPG703:' || line.service_id,
			CASE WHEN used >= 0.99 * capacity THEN 'incident' WHEN lvl = 'INFO' THEN 'hygiene' ELSE 'risk' END,
			since, coalesce(forecast."before", usual.median), used, 'connections',
			@extschema@._chpg_metric_query(line.service_id, 'connection_count'::text, since, until)
		)::@extschema@._chpg_candidate;
	END LOOP;
	IF NOT live THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_without_metric('{CHPG703}'::text[], scope,
			'connection_count'::text);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_connections(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean)
IS
'Findings about connections that run out, or will, as the metrics and limits of the history show.
live: connections and max_connections are those of now, of services that have metrics.
Where max_connections is unknown, many more connections than usual are a finding.
Requests: none; if live, 1 for the metrics, and those of chpg_config.';
