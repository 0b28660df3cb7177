/*
 * rule: CHPG508 traffic
 * title: Traffic is missing
 * kind: incident
 * scope: change
 * ends: return
 * place: 100
 * effect: outage
 * function: _chpg_find_changes
 * needs: executions
 * threshold: drop_ratio = 0.65 ratio; Share of the usual executions up to which traffic is missing ...
 * threshold: least_ratio = 0.8 ratio; ... and of the fewest ones of past days, in each of two hours ...
 * threshold: calls_per_h = 200 executions/h; ... of so many expected per hour.
 * threshold: hour_ratio = 0.75 ratio; Or four hours together are as low, and each of them is up to this share of its
 *   usual executions ...
 * threshold: hour_days = 8 days; ... on so many past days.
 * threshold: error_drop_ratio = 0.1 ratio; Share of the fewest executions of past days up to which it is ERROR.
 * threshold: error_calls_ratio = 0.2 ratio; Share of a service's executions that makes an application's silence
 *   an ERROR.
 * threshold: days = 5 days; Past days with these hours.
 */
/*
 * Rules CHPG507 and CHPG508: patterns that run far more than usual, hardly or no longer, and
 * traffic of a service or an application that is missing.
 *
 * What is expected are the executions in the very same hour of past days.  Two hours decide;
 * a pattern that vanished ran in these hours on each of the past days.
 *
 * Clocks change, so that two hours are compared with those before and after them, too.  Where
 * traffic rises or falls steeply, that hides half of it.  Of a workday, the day before says
 * which of the three hours is the right one, and four hours together are enough.
 *
 * Far from Greenwich a weekend begins on Friday, or ends on Monday: what was as low on the same
 * day of a week before is usual.
 */

/* The captures of hours have the executions of a service.  One bad day is no measure. */
CREATE FUNCTION @extschema@._chpg_past_traffic(of_service text, end_time timestamptz, hours integer)
RETURNS TABLE (shift integer, usual_calls double precision, least_calls double precision, days bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT s.shift, percentile_cont(0.5) WITHIN GROUP (ORDER BY c.call_count),
		least(percentile_cont(0.1) WITHIN GROUP (ORDER BY c.call_count),
			min(c.call_count) FILTER (WHERE p.day % 7 = 0)), count(*)
	FROM @extschema@._chpg_past_starts(end_time, hours) p
	CROSS JOIN generate_series(-1, 1) s(shift)
	JOIN capture c ON c.service_id = of_service AND c.grain = 'hour' AND c.status = 'ok' AND NOT c.truncated
		AND c.window_start = p.start + s.shift * interval '1 hour'
	GROUP BY s.shift;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_past_traffic(text, timestamptz, integer) IS
'Executions of a service on past days, in the hour that begins some hours before a time.
shift: the same in the hour before it (-1), and in the one after it (1).
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_service_traffic(judged @extschema@._chpg_judged_service[])
RETURNS TABLE (service_key integer, calls double precision, usual_calls double precision, least_calls double precision,
	days bigint, usual_ratio double precision, least_ratio double precision, highest_ratio double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT h.service_key, sum(h.calls), sum(h.usual), sum(h.least), min(h.days), max(h.calls / nullif(h.usual, 0)),
		max(h.calls / nullif(h.least, 0)), max(h.calls / nullif(h.greatest_usual, 0))
	FROM (
		SELECT j.service_key, n.calls, b.usual, b.greatest_usual, b.least, b.days
		FROM unnest(judged) j
		CROSS JOIN generate_series(1, 2) hour
		CROSS JOIN LATERAL (
			SELECT c.call_count::float8 AS calls
			FROM capture c
			WHERE c.service_id = j.service_id AND c.grain = 'hour' AND c.status = 'ok' AND NOT c.truncated
				AND c.window_start = j.end_time - hour * interval '1 hour') n
		CROSS JOIN LATERAL (
			-- clocks change: the hour before and the one after count, too
			SELECT min(p.usual_calls) AS usual, max(p.usual_calls) AS greatest_usual, min(p.least_calls) AS least,
				min(p.days) AS days
			FROM @extschema@._chpg_past_traffic(j.service_id, j.end_time, hour) p) b
		WHERE b.days > 0
	) h
	GROUP BY h.service_key
	HAVING count(*) = 2;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_service_traffic(@extschema@._chpg_judged_service[]) IS
'Executions of services in the last two hours, and in the same hours of past days.
usual_ratio, least_ratio: the greater ones of both hours. highest_ratio: as usual_ratio, of the
  hour with most executions among that of past days, the one before, and the one after.
Services of which one of the two hours is missing or truncated are left out.
Errors: 55000 there is no history.';

/* Clocks change at weekends: these hours are not judged. */
CREATE FUNCTION @extschema@._chpg_settled_traffic(of_service text, end_time timestamptz)
RETURNS TABLE (calls double precision, usual_calls double precision, least_calls double precision, days bigint,
	highest_ratio double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH hours AS MATERIALIZED (
		SELECT h.hour, b.shift, n.call_count::float8 AS calls, b.usual_calls AS usual, b.least_calls AS least, b.days
		FROM generate_series(1, 24) h(hour)
		JOIN capture n ON n.service_id = of_service AND n.grain = 'hour' AND n.status = 'ok' AND NOT n.truncated
			AND n.window_start = end_time - h.hour * interval '1 hour' AND n.call_count >= 0
		CROSS JOIN LATERAL @extschema@._chpg_past_traffic(of_service, n.window_end, 1) b
		WHERE extract(isodow FROM end_time - interval '1 hour') < 6
	), clock AS (
		-- the one by which the hours before vary least
		SELECT h.shift
		FROM hours h
		WHERE h.hour > 4 AND h.calls > 0 AND h.usual > 0
		GROUP BY h.shift
		HAVING count(*) >= 12
		ORDER BY stddev_pop(ln(h.calls / h.usual)), abs(h.shift), h.shift
		LIMIT 1
	)
	SELECT sum(h.calls), sum(h.usual), sum(h.least), min(h.days), max(h.calls / nullif(h.usual, 0))
	FROM hours h
	JOIN clock c ON c.shift = h.shift
	WHERE h.hour <= 4
	HAVING count(*) = 4;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_settled_traffic(text, timestamptz) IS
'Executions of a service in the last four hours, and in the same hours of past days.
highest_ratio: the greatest one of the four hours by its usual executions.
No row at weekends, or if hours are missing or truncated.
Errors: 55000 there is no history.';

/*
 * A public holiday is a weekday with the course of a weekend.  Its last day is compared with the
 * days before the same hour of past weekends, so that also the step from a workday to it comes at
 * the hour at which it always comes; an outage begins at any.
 */
CREATE FUNCTION @extschema@._chpg_is_like_weekend(of_service text, end_time timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN EXISTS (
		SELECT
		FROM (
			SELECT w.isodow, n.hour, n.calls + 50 AS calls,
				50 + percentile_cont(0.5) WITHIN GROUP (ORDER BY c.call_count) FILTER (WHERE d.isodow = w.isodow)
					AS of_weekend,
				50 + percentile_cont(0.5) WITHIN GROUP (ORDER BY c.call_count) FILTER (WHERE d.isodow BETWEEN 2 AND 5)
					AS of_workday,
				count(*) FILTER (WHERE d.isodow = w.isodow) AS weekends
			-- a weekend of some time zones ends on the UTC Monday
			FROM unnest('{6,7,1}'::integer[]) w(isodow)
			CROSS JOIN (
				SELECT h AS hour, i.call_count::float8 AS calls
				FROM generate_series(1, 24) h
				JOIN capture i ON i.service_id = of_service AND i.grain = 'hour' AND i.status = 'ok' AND NOT i.truncated
					AND i.window_start = end_time - h * interval '1 hour') n
			CROSS JOIN (
				SELECT day, extract(isodow FROM end_time - interval '1 hour' - day * interval '24 hours') AS isodow
				FROM generate_series(1, 28) day) d
			JOIN capture c ON c.service_id = of_service AND c.grain = 'hour' AND c.status = 'ok' AND NOT c.truncated
				AND c.window_start = end_time - d.day * interval '24 hours' - n.hour * interval '1 hour'
			GROUP BY w.isodow, n.hour, n.calls
		) h
		WHERE h.weekends >= 2 AND h.of_workday IS NOT NULL
		GROUP BY h.isodow
		HAVING count(*) >= 20
			AND count(*) FILTER (WHERE h.calls / h.of_weekend BETWEEN 0.55 AND 1.8) >= 0.9 * count(*)
			AND sum(h.calls) FILTER (WHERE h.hour <= 4) / sum(h.of_weekend) FILTER (WHERE h.hour <= 4)
				BETWEEN 0.55 AND 1.8
			-- where a weekend has less, so had most of these hours; after an outage only some have
			AND count(*) FILTER (WHERE h.of_weekend <= 0.75 * h.of_workday) >= 2
			AND count(*) FILTER (WHERE h.of_weekend <= 0.75 * h.of_workday
					AND h.calls * h.calls < h.of_weekend * h.of_workday)
				>= 0.65 * count(*) FILTER (WHERE h.of_weekend <= 0.75 * h.of_workday));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_is_like_weekend(text, timestamptz) IS
'Whether a service''s executions follow its past weekends, for a day up to a time.
Errors: 55000 there is no history.';
