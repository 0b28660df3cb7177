/* Report: the queries with most time, and those that changed, from the history. */

/* Steps of a whole number of hours, at most 84, which a small chart can show. */
CREATE FUNCTION @extschema@._chpg_report_step(period tstzrange)
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(min(s.hours), ceil(p.hours / 84 / 24)::integer * 24) * interval '1 hour'
	FROM (SELECT extract(epoch FROM upper(period) - lower(period))::float8 / 3600 AS hours) p
	LEFT JOIN unnest('{1,2,3,4,6,12,24}'::integer[]) s(hours) ON p.hours / s.hours <= 84
	GROUP BY p.hours;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_step(tstzrange) IS 'The length of a step of a report about a period.';

CREATE FUNCTION @extschema@._chpg_report_starts(period tstzrange, step interval)
RETURNS timestamptz[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT array_agg(f.start + n * step ORDER BY n)
	FROM (SELECT date_trunc('hour', lower(period) + interval '1 hour' - interval '1 microsecond', 'UTC') AS start) f
	CROSS JOIN LATERAL generate_series(0, greatest(ceil(extract(epoch FROM upper(period) - f.start)
		/ extract(epoch FROM step)) - 1, 0)::integer) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_starts(tstzrange, interval) IS
'Starts of the steps of a period, the first of which is its first whole hour.';

CREATE FUNCTION @extschema@._chpg_report_captured(scope @extschema@._chpg_scope, starts timestamptz[])
RETURNS TABLE (service_id text, hours integer[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT n.service_id, array_agg(coalesce(w.hours, 0)::integer ORDER BY s.place)
	FROM unnest(scope.service_ids) n(service_id)
	CROSS JOIN generate_series(1, cardinality(starts)) s(place)
	LEFT JOIN (
		SELECT c.service_id, width_bucket(c.window_start, starts) AS place, count(*) AS hours
		FROM capture c
		WHERE c.service_id = ANY (scope.service_ids) AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= lower(scope.period) AND c.window_end <= upper(scope.period)
		GROUP BY 1, 2
	) w ON w.service_id = n.service_id AND w.place = s.place
	GROUP BY n.service_id;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_captured(@extschema@._chpg_scope, timestamptz[]) IS
'Number of hours that were captured of each service in each step.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_course(hours @extschema@._chpg_pattern_hour[], starts timestamptz[],
	captured integer[], OUT loads double precision[], OUT avgs double precision[])
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT array_agg(CASE WHEN captured[s.place] > 0 THEN coalesce(h.total_us, 0) / 3.6e9 / captured[s.place] END
			ORDER BY s.place), array_agg(h.avg_us ORDER BY s.place)
	FROM generate_series(1, cardinality(starts)) s(place)
	LEFT JOIN (
		SELECT width_bucket(u.window_start, starts) AS place, sum(u.total_duration_us) AS total_us,
			sum(u.total_duration_us) / nullif(sum(u.call_count), 0) AS avg_us
		FROM unnest(hours) u
		WHERE u.total_duration_us >= 0 AND u.total_duration_us < 1e300
		GROUP BY 1
	) h ON h.place = s.place;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_course(@extschema@._chpg_pattern_hour[], timestamptz[], integer[]) IS
'Load, and mean time of an execution in microseconds, of hours by steps.
captured: hours that the history has of each step; the load of a step without is null.';

/*
 * An hour of the baseline counts for a step if its time of the day, in UTC, is one of the
 * step's.
 */
CREATE FUNCTION @extschema@._chpg_report_band(hours @extschema@._chpg_pattern_hour[], starts timestamptz[],
	step interval,
	of_loads boolean, OUT low double precision[], OUT high double precision[])
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH past AS (
		SELECT (extract(epoch FROM u.window_start) / 3600)::bigint % 24 AS hour,
			CASE WHEN of_loads THEN u.total_duration_us / 3.6e9 ELSE u.total_duration_us / nullif(u.call_count, 0) END AS value
		FROM unnest(hours) u
		WHERE u.total_duration_us >= 0 AND u.total_duration_us < 1e300
	), place AS (
		SELECT s.place, (extract(epoch FROM s.start) / 3600)::bigint % 24 AS hour
		FROM unnest(starts) WITH ORDINALITY s(start, place)
	), usual AS (
		SELECT c.hour, percentile_cont('{0.1,0.9}'::float8[]) WITHIN GROUP (ORDER BY p.value) AS bounds
		FROM (SELECT DISTINCT hour FROM place) c
		JOIN past p ON (p.hour - c.hour + 24) % 24 < extract(epoch FROM step) / 3600
		GROUP BY c.hour
		HAVING count(p.value) >= 3
	)
	SELECT array_agg(u.bounds[1] ORDER BY s.place), array_agg(u.bounds[2] ORDER BY s.place)
	FROM place s
	LEFT JOIN usual u ON u.hour = s.hour;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_band(@extschema@._chpg_pattern_hour[], timestamptz[], interval, boolean) IS
'Between which values most hours of the baseline are, for each step: 10th and 90th percentile.
of_loads: of load; else of mean time of an execution, in microseconds.
Null for less than three hours.';

/* Whole days (UTC) are summed already; only what is left of the period is summed by hours. */
CREATE FUNCTION @extschema@._chpg_period_totals(service_ids text[], period tstzrange)
RETURNS TABLE (service_key integer, pattern_key integer, call_count double precision,
	total_duration_us double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
	from_day timestamptz := date_trunc('day', lower(period) + interval '24 hours' - interval '1 microsecond', 'UTC');
	to_day timestamptz := date_trunc('day', upper(period), 'UTC');
	services integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	services := ARRAY(SELECT k.service_key FROM service_key k WHERE k.service_id = ANY (service_ids));
	IF from_day > to_day THEN
		from_day := upper(period);
		to_day := upper(period);
	END IF;
	RETURN QUERY
	SELECT p.service_key, p.pattern_key, sum(p.call_count)::float8, sum(p.total_duration_us)
	FROM (
		SELECT d.service_key, d.pattern_key, d.call_count, d.total_duration_us
		FROM day_sum d
		WHERE d.service_key = ANY (services) AND d."time" >= from_day AND d."time" < to_day
		UNION ALL
		SELECT h.service_key, h.pattern_key, h.call_count, h.total_duration_us
		FROM @extschema@._chpg_window_hour() h
		WHERE h.service_key = ANY (services) AND h.window_start >= lower(period)
			AND h.window_start <= from_day - interval '1 hour'
		UNION ALL
		SELECT h.service_key, h.pattern_key, h.call_count, h.total_duration_us
		FROM @extschema@._chpg_window_hour() h
		WHERE h.service_key = ANY (services) AND h.window_start >= to_day
			AND h.window_start <= upper(period) - interval '1 hour'
	) p
	GROUP BY p.service_key, p.pattern_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_period_totals(text[], tstzrange) IS
'Executions and time of the patterns of services in a period of the history, by their keys.
Requests: none.
Errors: 55000 there is no history.';

CREATE TYPE @extschema@._chpg_report_pair AS (
	a @extschema@.chpg_period_pattern_row,
	b @extschema@.chpg_period_pattern_row,
	text_id integer,
	hours_a @extschema@._chpg_pattern_hour[],
	hours_b @extschema@._chpg_pattern_hour[],
	place integer
);

COMMENT ON TYPE @extschema@._chpg_report_pair IS 'A query in the baseline and in the period, with its hours.';
COMMENT ON COLUMN @extschema@._chpg_report_pair.a IS 'The query in the baseline; null where it is not there.';
COMMENT ON COLUMN @extschema@._chpg_report_pair.b IS 'The query in the period; null where it is not there.';
COMMENT ON COLUMN @extschema@._chpg_report_pair.text_id IS 'Which text of the history it has.';
COMMENT ON COLUMN @extschema@._chpg_report_pair.hours_a IS 'Its hours of the baseline.';
COMMENT ON COLUMN @extschema@._chpg_report_pair.hours_b IS 'Its hours of the period.';
COMMENT ON COLUMN @extschema@._chpg_report_pair.place IS 'Its place by time in the period; 0: the rest of a service.';

/*
 * Hours are read of a few patterns only: of those with most time, of those whose totals may
 * have changed as chpg_compare means it, and of those that findings are about.  What the
 * other ones took is a pair of each service, so that shares are those of all.
 */
CREATE FUNCTION @extschema@._chpg_report_pairs(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	most integer, of_ids bigint[], OUT pairs @extschema@._chpg_report_pair[], OUT pattern_count bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	chosen jsonb;
	rest jsonb;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	WITH totals AS MATERIALIZED (
		SELECT sk.service_id, array_agg(u.pattern_key) AS keys, k.query_id, k.db_name, k.db_user, k.db_operation, k.app,
			sum(u.calls_a) AS calls_a, sum(u.us_a) AS us_a, sum(u.calls_b) AS calls_b, sum(u.us_b) AS us_b
		FROM (
			SELECT p.service_key, p.pattern_key, sum(p.calls_a) AS calls_a, sum(p.us_a) AS us_a, sum(p.calls_b) AS calls_b,
				sum(p.us_b) AS us_b
			FROM (
				SELECT a.service_key, a.pattern_key, a.call_count AS calls_a, a.total_duration_us AS us_a,
					NULL::float8 AS calls_b, NULL::float8 AS us_b
				FROM @extschema@._chpg_period_totals(CASE WHEN scope.baseline IS NULL THEN '{}' ELSE scope.service_ids END,
					scope.baseline) a
				UNION ALL
				SELECT b.service_key, b.pattern_key, NULL, NULL, b.call_count, b.total_duration_us
				FROM @extschema@._chpg_period_totals(scope.service_ids, scope.period) b
			) p
			GROUP BY p.service_key, p.pattern_key
		) u
		JOIN pattern_key k ON k.pattern_key = u.pattern_key
		JOIN service_key sk ON sk.service_key = u.service_key
		WHERE k.query_id <> 0
		GROUP BY sk.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app
	), services AS (
		SELECT s.service_id, s.us_a, s.us_b, ha.hours::float8 AS hours_a, hb.hours::float8 AS hours_b
		FROM (
			SELECT n.service_id, nullif(sum(n.us_a ORDER BY n.us_a), 0) AS us_a, nullif(sum(n.us_b ORDER BY n.us_b), 0) AS us_b
			FROM totals n
			WHERE NOT @extschema@._chpg_is_monitoring(n.app)
			GROUP BY n.service_id
		) s
		LEFT JOIN unnest(scope.baseline_hours) ha ON ha.service_id = s.service_id
		LEFT JOIN unnest(scope.period_hours) hb ON hb.service_id = s.service_id
	), judged AS (
		SELECT n.*, row_number() OVER (ORDER BY n.us_b DESC NULLS LAST, n.service_id, n.keys) AS place,
			CASE
				WHEN s.hours_a IS NULL OR s.hours_b IS NULL OR @extschema@._chpg_is_monitoring(n.app) THEN NULL
				-- new and gone ones; what is so on the last day only is a seventh of a week
				WHEN n.us_a IS NULL AND n.us_b >= 0.1 * 1e6 * t.new_heavy_busy_s_per_h * s.hours_b
					AND n.us_b >= 0.1 * t.new_heavy_time_ratio * s.us_b THEN n.us_b
				WHEN n.us_b IS NULL AND n.us_a >= 1e6 * t.new_heavy_busy_s_per_h * s.hours_a
					AND n.us_a >= t.new_heavy_time_ratio * s.us_a THEN n.us_a
				-- slower and faster ones
				WHEN abs(c.excess_us) >= 0.1 * greatest(t.change_excess_us, t.change_excess_ratio * s.us_b) THEN abs(c.excess_us)
				-- what a query with another id may have replaced
				WHEN n.us_a >= 0.1 * 1e6 * t.new_heavy_busy_s_per_h * s.hours_a
					AND n.us_a >= 0.1 * t.new_heavy_time_ratio * s.us_a
					AND n.us_b / s.hours_b <= 0.9 * n.us_a / s.hours_a THEN n.us_a / s.hours_a * s.hours_b - n.us_b
				-- with many more executions
				WHEN n.calls_b / s.hours_b >= 0.9 * t.change_surge_factor * n.calls_a / s.hours_a
					AND n.us_b / s.us_b - n.us_a / s.us_a >= 0.9 * t.change_surge_ratio THEN n.us_b - n.us_a
			END AS change_us
		FROM totals n
		LEFT JOIN services s USING (service_id)
		CROSS JOIN LATERAL (SELECT n.calls_b * (n.us_b / nullif(n.calls_b, 0) - n.us_a / nullif(n.calls_a, 0)) AS excess_us) c
	), placed AS (
		SELECT j.*, j.us_b IS NOT NULL AND j.place <= most
				OR j.change_us IS NOT NULL AND row_number() OVER (ORDER BY j.change_us DESC NULLS LAST, j.service_id, j.keys) <= 160
				OR j.query_id = ANY (of_ids) AND row_number() OVER (PARTITION BY j.query_id = ANY (of_ids) ORDER BY j.place) <= 200
				AS is_chosen
		FROM judged j
	)
	SELECT jsonb_agg(jsonb_build_object('service_id', p.service_id, 'keys', p.keys, 'place', p.place) ORDER BY p.place)
			FILTER (WHERE p.is_chosen), count(p.us_b),
		(SELECT jsonb_agg(jsonb_build_object('service_id', r.service_id, 'us_a', r.us_a, 'us_b', r.us_b))
			FROM (
				SELECT o.service_id, sum(o.us_a ORDER BY o.us_a) AS us_a, sum(o.us_b ORDER BY o.us_b) AS us_b
				FROM placed o
				WHERE NOT o.is_chosen AND NOT @extschema@._chpg_is_monitoring(o.app)
				GROUP BY o.service_id
			) r)
	INTO chosen, pattern_count, rest
	FROM placed p;
	pairs := ARRAY(
		WITH listed AS MATERIALIZED (
			SELECT l.* FROM jsonb_to_recordset(chosen) l(service_id text, keys integer[], place integer)
		), of AS (
			SELECT ARRAY(SELECT DISTINCT l.service_id FROM listed l) AS ids,
				ARRAY(SELECT DISTINCT u.pattern_key FROM listed l CROSS JOIN LATERAL unnest(l.keys) u(pattern_key)) AS keys
		), before AS MATERIALIZED (
			SELECT l.place, p.*
			FROM of
			CROSS JOIN LATERAL @extschema@._chpg_sum_patterns(of.ids, scope.baseline, of.keys) p
			JOIN listed l ON l.service_id = (p.pattern).service_id AND l.keys && p.keys_summed
			WHERE scope.baseline IS NOT NULL
		), after AS MATERIALIZED (
			SELECT l.place, p.*
			FROM of
			CROSS JOIN LATERAL @extschema@._chpg_sum_patterns(of.ids, scope.period, of.keys) p
			JOIN listed l ON l.service_id = (p.pattern).service_id AND l.keys && p.keys_summed
		)
		SELECT ROW(a.pattern, b.pattern, coalesce(b.text_id, a.text_id), a.hours, b.hours, place
			)::@extschema@._chpg_report_pair
		FROM before a
		FULL JOIN after b USING (place)
		UNION ALL
		SELECT ROW(
			CASE WHEN r.us_a IS NOT NULL THEN jsonb_populate_record(NULL::@extschema@.chpg_period_pattern_row,
				jsonb_build_object('service_id', r.service_id, 'query_id', -1, 'app', '', 'total_duration_us', r.us_a)) END,
			CASE WHEN r.us_b IS NOT NULL THEN jsonb_populate_record(NULL::@extschema@.chpg_period_pattern_row,
				jsonb_build_object('service_id', r.service_id, 'query_id', -1, 'app', '', 'total_duration_us', r.us_b)) END,
			NULL, NULL, NULL, 0)::@extschema@._chpg_report_pair
		FROM jsonb_to_recordset(rest) r(service_id text, us_a float8, us_b float8));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_pairs(@extschema@._chpg_thresholds, @extschema@._chpg_scope, integer,
	bigint[]) IS
'The queries that a report is about, in the baseline and in the period.
pattern_count: how many there are in the period.
most: number of those with most time. of_ids: query ids of further ones.
Requests: none.
Errors: 55000 there is no history.';

/* The same in all reports: a link to a query can be kept. */
CREATE FUNCTION @extschema@._chpg_report_hash(service_id text, query_hex text, db_name text, db_user text,
	db_operation text, app text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT left(md5(to_jsonb(ARRAY[service_id, query_hex, db_name, db_user, db_operation, app])::text), 12);
END;

COMMENT ON FUNCTION @extschema@._chpg_report_hash(text, text, text, text, text, text) IS
'What identifies a query of a service in the page, by its names as they are shown.';
