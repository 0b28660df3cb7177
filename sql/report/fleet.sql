/* Report: services, their load, their limits, and what the history has of them. */

CREATE FUNCTION @extschema@._chpg_report_names(service_ids text[], at timestamptz)
RETURNS TABLE (service_id text, service_name text, size text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT i.service_id, @extschema@._chpg_plain_text(coalesce(n.service_name, i.service_id)), n.size
	FROM unnest(service_ids) i(service_id)
	LEFT JOIN LATERAL (
		SELECT s.service_name, s.size FROM service s
		WHERE s.service_id = i.service_id
		ORDER BY s.valid_from < at DESC, s.valid_from DESC LIMIT 1
	) n ON true;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_names(text[], timestamptz) IS
'Names and sizes that services had at a time. A service without a name has its id.
Requests: none.';

/*
 * Each half of a pattern's executions took no longer than its median, and so on: the sum
 * over patterns and hours is a distribution that is above the true one.  Values are counted
 * by steps of 5 percent.
 */
CREATE FUNCTION @extschema@._chpg_report_p95(service_ids text[], from_time timestamptz, until_time timestamptz)
RETURNS TABLE (service_id text, p95_us double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	services integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	services := ARRAY(SELECT k.service_key FROM service_key k WHERE k.service_id = ANY (service_ids));
	RETURN QUERY
	WITH counted AS (
		SELECT h.service_key, ceil(20 * ln(greatest(v.us, 1)))::integer AS place, sum(h.call_count * v.part) AS calls
		FROM @extschema@._chpg_window_hour() h
		CROSS JOIN LATERAL (VALUES (h.p50_duration_us, 0.5::float8), (h.p95_duration_us, 0.45::float8),
			(h.p99_duration_us, 0.04::float8), (h.max_duration_us, 0.01::float8)) v(us, part)
		WHERE h.service_key = ANY (services) AND h.window_start >= from_time
			AND h.window_start <= until_time - interval '1 hour' AND h.call_count > 0 AND v.us < 1e18
		GROUP BY 1, 2
	), summed AS (
		SELECT c.service_key, c.place, sum(c.calls) OVER (PARTITION BY c.service_key ORDER BY c.place) AS until_here,
			sum(c.calls) OVER (PARTITION BY c.service_key) AS all_calls
		FROM counted c
	)
	SELECT k.service_id, exp(min(s.place) / 20.0::float8)
	FROM summed s
	JOIN service_key k ON k.service_key = s.service_key
	WHERE s.until_here >= 0.95 * s.all_calls
	GROUP BY k.service_id;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_p95(text[], timestamptz, timestamptz) IS
'An upper bound of the 95th percentile of services, in microseconds, over some hours.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_metrics(service_ids text[], until_time timestamptz)
RETURNS TABLE (service_id text, cpu_percent double precision, memory_percent double precision,
	storage_percent double precision, storage_full_at timestamptz, connections double precision, max_connections integer)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	recent CONSTANT timestamptz := until_time - interval '6 hours';
BEGIN
	IF NOT @extschema@._chpg_metrics_are_readable() THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT i.service_id, cpu.means[1], memory.means[1], storage.present, f.full_at, connection.tops[1],
		limits.max_connections
	FROM unnest(service_ids) i(service_id)
	LEFT JOIN @extschema@._chpg_metric_lines(service_ids, recent, until_time, 'cpu_usage'::text, ''::text,
		'^(idle|iowait|steal|guest)'::text) cpu ON cpu.service_id = i.service_id
	LEFT JOIN @extschema@._chpg_metric_lines(service_ids, recent, until_time, 'memory_usage'::text, '^$|used'::text,
		NULL::text) memory ON memory.service_id = i.service_id
	LEFT JOIN @extschema@._chpg_metric_lines(service_ids, recent, until_time, 'connection_count'::text, '^$|total'::text,
		NULL::text) connection ON connection.service_id = i.service_id
	LEFT JOIN @extschema@._chpg_limits(service_ids, until_time) limits ON limits.service_id = i.service_id
	LEFT JOIN (
		SELECT l.service_id, l.means[1] AS present
		FROM @extschema@._chpg_metric_lines(service_ids, recent, until_time, 'disk_usage'::text, '^$|used'::text,
			NULL::text) l
	) storage ON storage.service_id = i.service_id
	LEFT JOIN (
		SELECT l.service_id, CASE WHEN c.confidence <> 'low' THEN c.full_at END AS full_at
		FROM @extschema@._chpg_metric_lines(ARRAY(
				SELECT g.service_id
				FROM @extschema@._chpg_growing(service_ids, until_time, 'disk_usage'::text, '^$|used'::text) g
				WHERE g.rise >= 1.5 OR g.day_rise >= 0.4 * (100 - g.present) / 90),
			until_time - interval '28 days', until_time, 'disk_usage'::text, '^$|used'::text, NULL::text) l
		CROSS JOIN LATERAL @extschema@._chpg_forecast(l.latest, l.ages, l.means, 100::float8) c
	) f ON f.service_id = i.service_id AND f.full_at < until_time + interval '90 days';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_metrics(text[], timestamptz) IS
'Metrics of services in the latest hour of six.
storage_full_at: when the storage is full, if that is within 90 days.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_services(scope @extschema@._chpg_scope, step interval, starts timestamptz[],
	incidents @extschema@.chpg_finding_row[])
RETURNS SETOF @extschema@._chpg_report_service
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH hours AS MATERIALIZED (
		SELECT c.service_id, c.window_start >= lower(scope.period) AS is_period, c.call_count, c.error_count,
			CASE WHEN c.total_duration_us >= 0 AND c.total_duration_us < 1e18 THEN c.total_duration_us END AS total_duration_us,
			c.window_start
		FROM capture c
		WHERE c.service_id = ANY (scope.service_ids) AND c.grain = 'hour' AND c.status = 'ok'
			AND (c.window_start >= lower(scope.period) AND c.window_end <= upper(scope.period)
				OR c.window_start >= lower(scope.baseline) AND c.window_end <= upper(scope.baseline))
	), summed AS MATERIALIZED (
		SELECT h.service_id, count(*) FILTER (WHERE h.is_period) AS hours,
			avg(h.total_duration_us) FILTER (WHERE h.is_period) / 3.6e9 AS load,
			avg(h.total_duration_us) FILTER (WHERE NOT h.is_period) / 3.6e9 AS baseline_load,
			avg(h.call_count::float8) FILTER (WHERE h.is_period) / 3600 AS calls_per_s,
			100 * sum(h.error_count::float8) FILTER (WHERE h.is_period)
				/ nullif(sum(h.error_count::float8 + h.call_count) FILTER (WHERE h.is_period), 0) AS error_percent,
			array_agg(ROW(h.window_start, h.call_count, h.total_duration_us, NULL)::@extschema@._chpg_pattern_hour)
				FILTER (WHERE h.is_period) AS after,
			array_agg(ROW(h.window_start, h.call_count, h.total_duration_us, NULL)::@extschema@._chpg_pattern_hour)
				FILTER (WHERE NOT h.is_period) AS before
		FROM hours h
		GROUP BY h.service_id
	), wrong AS MATERIALIZED (
		SELECT f.service_id, count(*) AS incidents, min(@extschema@._chpg_level_place(f.level)) AS place
		FROM unnest(incidents) f
		WHERE f.level IN ('ERROR', 'WARN')
		GROUP BY f.service_id
	), p95 AS MATERIALIZED (
		SELECT q.* FROM @extschema@._chpg_report_p95(scope.service_ids, greatest(lower(scope.period),
			upper(scope.period) - interval '24 hours'), upper(scope.period)) q
	), metrics AS MATERIALIZED (
		SELECT m.* FROM @extschema@._chpg_report_metrics(scope.service_ids, upper(scope.period)) m
	)
	SELECT n.service_id, n.service_name, @extschema@._chpg_report_service_link(n.service_id), n.size,
		('{ERROR,WARN}'::text[])[w.place], coalesce(w.incidents, 0)::integer, coalesce(s.hours, 0)::integer, s.load,
		s.baseline_load, s.calls_per_s, s.error_percent, p.p95_us, m.cpu_percent, m.memory_percent, m.storage_percent,
		m.storage_full_at, m.connections, m.max_connections, c.loads, b.low, b.high
	FROM @extschema@._chpg_report_names(scope.service_ids, upper(scope.period)) n
	LEFT JOIN summed s ON s.service_id = n.service_id
	LEFT JOIN wrong w ON w.service_id = n.service_id
	LEFT JOIN p95 p ON p.service_id = n.service_id
	LEFT JOIN metrics m ON m.service_id = n.service_id
	LEFT JOIN @extschema@._chpg_report_captured(scope, starts) k ON k.service_id = n.service_id
	LEFT JOIN LATERAL @extschema@._chpg_report_course(s.after, starts, k.hours) c ON true
	LEFT JOIN LATERAL @extschema@._chpg_report_band(s.before, starts, step, true) b ON true
	WHERE s.service_id IS NOT NULL OR w.service_id IS NOT NULL OR m.cpu_percent IS NOT NULL
	ORDER BY w.place, w.incidents DESC NULLS LAST, m.storage_full_at, s.load DESC NULLS LAST, n.service_name, n.service_id;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_services(@extschema@._chpg_scope, interval, timestamptz[],
	@extschema@.chpg_finding_row[]) IS
'The services of a report that the history has something of, those that need most first.
Requests: none.';

/* What a service was changed to, and what was deployed, as far as the log of findings knows. */
CREATE FUNCTION @extschema@._chpg_report_marks(scope @extschema@._chpg_scope)
RETURNS SETOF @extschema@._chpg_report_mark
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT s.valid_from, 'change', @extschema@._chpg_plain_text(format('%s: %s', coalesce(s.service_name, s.service_id),
		c.what))
	FROM service s
	JOIN service p ON p.service_id = s.service_id AND p.valid_to = s.valid_from
	CROSS JOIN LATERAL (
		SELECT string_agg(format('%s %s, before %s', v.what, v."after", v."before"), '; ' ORDER BY v.place) AS what
		FROM (VALUES (1, 'name', p.service_name, s.service_name), (2, 'size', p.size, s.size),
			(3, 'high availability', p.ha_type, s.ha_type), (4, 'PostgreSQL', p.postgres_version, s.postgres_version))
			v(place, what, "before", "after")
		WHERE v."before" IS DISTINCT FROM v."after"
	) c
	WHERE s.service_id = ANY (scope.service_ids) AND s.valid_from >= lower(scope.period)
		AND s.valid_from < upper(scope.period) AND c.what IS NOT NULL
	ORDER BY s.valid_from, s.service_id
	LIMIT 50;
	IF @extschema@._chpg_log_is_readable() THEN
		PERFORM @extschema@._chpg_history_enter();
		RETURN QUERY
		SELECT l.since, 'deploy', @extschema@._chpg_plain_text(format('%s: %s', coalesce(l.service_name, l.service_id),
			lower(l.finding->>'title')))
		FROM finding_log l
		WHERE l.rule_id = 'CHPG511' AND l.finding->'evidence'->>'change' = 'renamed'
			AND l.service_id = ANY (scope.service_ids)
			AND l.since >= lower(scope.period) AND l.since < upper(scope.period)
		ORDER BY l.since, l.finding_key
		LIMIT 50;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_marks(@extschema@._chpg_scope) IS
'Changes of services, and deployments that gave queries new ids, in a period.
Requests: none.';

/* Hours that can be captured: those that lie wholly within the period, and ended long enough ago. */
CREATE FUNCTION @extschema@._chpg_report_coverages(scope @extschema@._chpg_scope, starts timestamptz[],
	hide_texts boolean)
RETURNS SETOF @extschema@._chpg_report_coverage
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	settle interval;
	hours integer;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	settle := @extschema@._chpg_history_check_setting('settle',
		(SELECT s.value FROM setting s WHERE s.name = 'settle'));
	hours := greatest(floor(extract(epoch FROM least(upper(scope.period), now() - settle)) / 3600)
		- ceil(extract(epoch FROM lower(scope.period)) / 3600), 0);
	RETURN QUERY
	WITH windows AS MATERIALIZED (
		SELECT c.service_id, c.status, c.truncated, c.error, c.window_start, width_bucket(c.window_start, starts) AS place
		FROM capture c
		WHERE c.service_id = ANY (scope.service_ids) AND c.grain = 'hour'
			AND c.window_start >= lower(scope.period) AND c.window_end <= upper(scope.period)
	), states AS (
		SELECT n.service_id, array_agg(CASE WHEN w.failed THEN 'failed' WHEN w.windows IS NULL THEN 'missing'
			WHEN w.truncated THEN 'truncated' ELSE 'ok' END ORDER BY s.place) AS states
		FROM unnest(scope.service_ids) n(service_id)
		CROSS JOIN generate_series(1, cardinality(starts)) s(place)
		LEFT JOIN (
			SELECT o.service_id, o.place, count(*) AS windows, bool_or(o.status <> 'ok') AS failed, bool_or(o.truncated)
				AS truncated
			FROM windows o
			GROUP BY o.service_id, o.place
		) w ON w.service_id = n.service_id AND w.place = s.place
		GROUP BY n.service_id
	)
	SELECT n.service_id, n.service_name, greatest(hours, w.captured)::integer, w.captured::integer,
		coalesce(w.truncated, 0)::integer, coalesce(w.failed, 0)::integer, s.states,
		-- what the API said of a failure may name anything
		@extschema@._chpg_plain_text(CASE WHEN hide_texts THEN substring(w.error
			FROM '^(?:Not read: [^.]*[.] )?([0-9A-Z]{5}):')
			ELSE left(w.error, 500) END)
	FROM @extschema@._chpg_report_names(scope.service_ids, upper(scope.period)) n
	LEFT JOIN states s ON s.service_id = n.service_id
	LEFT JOIN (
		SELECT o.service_id, count(*) FILTER (WHERE o.status = 'ok') AS captured,
			count(*) FILTER (WHERE o.status = 'ok' AND o.truncated) AS truncated, count(*) FILTER (WHERE o.status <> 'ok')
				AS failed,
			(array_agg(o.error ORDER BY o.window_start DESC) FILTER (WHERE o.status <> 'ok' AND o.error IS NOT NULL))[1] AS error
		FROM windows o
		GROUP BY o.service_id
	) w ON w.service_id = n.service_id
	WHERE w.service_id IS NOT NULL
	ORDER BY w.captured, w.truncated DESC, n.service_name, n.service_id;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_coverages(@extschema@._chpg_scope, timestamptz[], boolean) IS
'What the history has of the services of a report, those with least first.
Requests: none.';
