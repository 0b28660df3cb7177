/*
 * Insight: the time series of services, as the history has them, by hours.
 *
 * A line is a metric of a service, the sum of its series that are meant, as two arrays: how
 * many hours before the line's latest hour each hour lies (its age), and the mean of its
 * points.
 */

CREATE FUNCTION @extschema@._chpg_metrics_are_readable()
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN @extschema@._chpg_history_is_readable() AND (
		SELECT has_table_privilege(format('%I.metric_day', h.schema_name), 'SELECT')
		FROM @extschema@._chpg_history_state() h);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_metrics_are_readable() IS
'Whether there is a history whose patterns and metrics the caller may read.
Errors: 55000 it has the layout of an earlier version.';

/* Hours are numbered from 1970 while they are summed: times of each point would take longer. */
CREATE FUNCTION @extschema@._chpg_metric_lines(service_ids text[], from_time timestamptz, until_time timestamptz,
	of_metric text, meant text, not_meant text)
RETURNS TABLE (service_id text, latest timestamptz, ages integer[], means double precision[],
	tops double precision[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
	from_s CONSTANT double precision := extract(epoch FROM from_time);
	until_s CONSTANT double precision := extract(epoch FROM until_time);
BEGIN
	IF cardinality(service_ids) = 0 THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH hours AS (
		SELECT d.service_key, d.series, d.first_hour + (u.place - 1 + d.skipped) / d.per_hour AS hour,
			avg(u.value::float8) AS mean, max(u.value)::float8 AS top
		FROM (
			-- of points that are not a whole part of an hour apart, hours are a little longer or shorter
			SELECT m.service_key, m.series, m."values", floor(w.first_s / 3600)::bigint AS first_hour, w.per_hour,
				floor((w.first_s - floor(w.first_s / 3600) * 3600) / w.step_s)::bigint AS skipped,
				greatest(ceil((from_s - w.first_s) / w.step_s), 0) + 1 AS from_place,
				ceil((until_s - w.first_s) / w.step_s) AS until_place
			FROM service_key k
			JOIN metric_day m ON m.service_key = k.service_key
			CROSS JOIN LATERAL (
				SELECT extract(epoch FROM m.first_time)::float8 AS first_s,
					extract(epoch FROM m.step)::float8 AS step_s,
					greatest(round(3600 / extract(epoch FROM m.step)), 1)::bigint AS per_hour
				OFFSET 0
			) w
			WHERE k.service_id = ANY (service_ids) AND m.metric = of_metric
				AND m.day > from_time - interval '24 hours' AND m.day < until_time
				AND m.step >= interval '1 second'
				AND m.series ~* meant AND (not_meant IS NULL OR m.series !~* not_meant)
			OFFSET 0
		) d
		CROSS JOIN LATERAL unnest(d."values") WITH ORDINALITY u(value, place)
		WHERE u.place >= d.from_place AND u.place <= d.until_place AND abs(u.value) < 'Infinity'
		GROUP BY d.service_key, d.series, d.first_hour + (u.place - 1 + d.skipped) / d.per_hour
	), summed AS (
		SELECT h.service_key, h.hour, sum(h.mean ORDER BY h.series) AS mean, sum(h.top ORDER BY h.series) AS top
		FROM hours h
		GROUP BY h.service_key, h.hour
	)
	SELECT k.service_id, to_timestamp(s.latest * 3600), s.ages, s.means, s.tops
	FROM (
		SELECT a.service_key, max(a.hour) AS latest, array_agg(a.age ORDER BY a.age) AS ages,
			array_agg(a.mean ORDER BY a.age) AS means, array_agg(a.top ORDER BY a.age) AS tops
		FROM (
			SELECT h.*, (max(h.hour) OVER (PARTITION BY h.service_key) - h.hour)::integer AS age FROM summed h
		) a
		GROUP BY a.service_key
	) s
	JOIN service_key k ON k.service_key = s.service_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_metric_lines(text[], timestamptz, timestamptz, text, text, text) IS
'A metric of services in a period of the history, by hours, the latest first.
meant, not_meant: regular expressions for the names of the series that are summed.
latest: start of the latest hour that has a point. ages: hours before that. means, tops: the
  mean and the greatest of an hour''s points.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_above(service_ids text[], until_time timestamptz, of_metric text, meant text,
	not_meant text, threshold double precision)
RETURNS text[]
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT coalesce(array_agg(l.service_id ORDER BY l.service_id), '{}')
	FROM @extschema@._chpg_metric_lines(service_ids, until_time - interval '6 hours', until_time, of_metric, meant,
		not_meant) l
	WHERE l.means[1] >= threshold OR l.tops[1] >= threshold;
END;

COMMENT ON FUNCTION @extschema@._chpg_above(text[], timestamptz, text, text, text, double precision) IS
'The services whose metric has reached a threshold in its latest hour, of the last six.
What is read for weeks is read of these only.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_growing(service_ids text[], until_time timestamptz, of_metric text, meant text)
RETURNS TABLE (service_id text, present double precision, top double precision, rise double precision,
	hour_rise double precision, day_rise double precision)
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT l.service_id, l.means[1], l.tops[1], l.means[1] - u.highest, l.means[1] - u.highest_of_hour,
		u.today - u.yesterday
	FROM @extschema@._chpg_metric_lines(service_ids, until_time - interval '50 hours', until_time, of_metric, meant,
		NULL::text) l
	CROSS JOIN LATERAL (
		SELECT max(v.value) FILTER (WHERE v.age >= 4) AS highest,
			max(v.value) FILTER (WHERE v.age IN (23, 24, 25, 47, 48, 49)) AS highest_of_hour,
				avg(v.value) FILTER (WHERE v.age < 24) AS today,
			avg(v.value) FILTER (WHERE v.age BETWEEN 24 AND 47) AS yesterday
		FROM unnest(l.ages, l.means) v(age, value)
	) u
	WHERE l.latest > until_time - interval '6 hours';
END;

COMMENT ON FUNCTION @extschema@._chpg_growing(text[], timestamptz, text, text) IS
'How a metric of services has grown of late: what is read for weeks is read of few of them.
present, top: mean and highest point of the latest hour. rise: by how much it is above all hours
  of two days but the last four. hour_rise: by how much above these hours of both days.
day_rise: mean of the last day less that of the day before.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_run_hours(ages integer[], "values" double precision[], threshold double precision)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(min(u.age) FILTER (WHERE u.value < threshold
			AND (u.age < 2 OR u.older IS NULL OR u.older < threshold)), max(u.age) + 1, 0)
	FROM (
		SELECT v.age, v.value, lead(v.value) OVER (ORDER BY v.age) AS older
		FROM unnest(ages, "values") v(age, value)
	) u;
END;

COMMENT ON FUNCTION @extschema@._chpg_run_hours(integer[], double precision[], double precision) IS
'For how many hours up to the latest one a line has been at the threshold or above.
A single hour below it does not end the run, unless it is one of the latest two.';

CREATE FUNCTION @extschema@._chpg_run_since(latest timestamptz, ages integer[], run_hours integer)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT latest - (run_hours - 1) * interval '1 hour'
	WHERE run_hours BETWEEN 1 AND ages[cardinality(ages)];
END;

COMMENT ON FUNCTION @extschema@._chpg_run_since(timestamptz, integer[], integer) IS
'The first hour of a run; null if there is none, or if it began before the line.';

CREATE FUNCTION @extschema@._chpg_recent(ages integer[], "values" double precision[], hours integer)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY u.value)
	FROM unnest(ages, "values") u(age, value)
	WHERE u.age < hours;
END;

COMMENT ON FUNCTION @extschema@._chpg_recent(integer[], double precision[], integer) IS
'Median of the latest hours of a line.';

/*
 * The days just before a run may have been part of the same incident, which was interrupted
 * overnight: the past ends three days before the run, if there is a week more.  A run of five
 * days is what is usual by now, and its older part is the past.
 */
CREATE FUNCTION @extschema@._chpg_usual(ages integer[], "values" double precision[], run_hours integer,
	OUT days integer, OUT median double precision, OUT highest double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH past AS (
		SELECT u.age, u.value, max(u.age) OVER () >= run_hours + 10 * 24 AND run_hours < 120 AS is_long
		FROM unnest(ages, "values") u(age, value)
		WHERE u.age > CASE WHEN run_hours >= 120 THEN 48 ELSE run_hours END
			-- the hours of the run's end, and one more on each side
			AND ((u.age + 1) % 24) <= least(greatest(run_hours, 1), 12) + 1
	)
	SELECT count(DISTINCT (p.age + 1) / 24)::integer, percentile_cont(0.5) WITHIN GROUP (ORDER BY p.value), max(p.value)
	FROM past p
	WHERE NOT p.is_long OR p.age > run_hours + 72;
END;

COMMENT ON FUNCTION @extschema@._chpg_usual(integer[], double precision[], integer) IS
'What a line was at the same hours (and one before and after) of the days before a run.
run_hours: length of the run, which ends with the latest hour.
days: how many days of the past there are.';

/*
 * What is read for weeks is read only of services where the metric is high.  A run that has
 * lasted for days is what is usual.
 */
CREATE FUNCTION @extschema@._chpg_high_lines(scope @extschema@._chpg_scope, of_metric text, meant text,
	not_meant text, threshold double precision)
RETURNS TABLE (service_id text, present double precision, lowest double precision, run_hours integer,
	since timestamptz, days integer, usual double precision, highest double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
BEGIN
	IF NOT @extschema@._chpg_metrics_are_readable() THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT l.service_id, @extschema@._chpg_recent(l.ages, l.means, 2), least(l.means[1], l.means[2]), l.run,
		@extschema@._chpg_run_since(l.latest, l.ages, l.run), u.days, u.median, u.highest
	FROM (
		SELECT m.*, @extschema@._chpg_run_hours(m.ages, m.means, threshold) AS run
		FROM @extschema@._chpg_metric_lines(@extschema@._chpg_above(scope.service_ids, until, of_metric, meant,
			not_meant,
			threshold), until - interval '28 days', until, of_metric, meant, not_meant) m
		OFFSET 0
	) l
	CROSS JOIN LATERAL @extschema@._chpg_usual(l.ages, l.means, l.run) u
	WHERE l.run > 0;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_high_lines(@extschema@._chpg_scope, text, text, text, double precision) IS
'The services whose metric is at a threshold or above, in the latest hour of the period.
meant, not_meant: as for _chpg_metric_lines. lowest: mean of the lower one of the latest two
  hours. run_hours, since: for how long, and since when.
days, usual, highest: what it was at these hours on so many days before, as a median and at
  most.
Requests: none.';

/* When something that grows is full. */
CREATE TYPE @extschema@._chpg_forecast AS (
	since timestamptz,
	"before" double precision,
	per_day double precision,
	full_at timestamptz,
	full_from timestamptz,
	full_until timestamptz,
	confidence text
);

COMMENT ON TYPE @extschema@._chpg_forecast IS 'When something that grows steadily is full.';
COMMENT ON COLUMN @extschema@._chpg_forecast.since IS 'Since when it grows like that.';
COMMENT ON COLUMN @extschema@._chpg_forecast."before" IS 'Its value then.';
COMMENT ON COLUMN @extschema@._chpg_forecast.per_day IS 'By how much it grows in a day.';
COMMENT ON COLUMN @extschema@._chpg_forecast.full_at IS 'When it is full, if it goes on.';
COMMENT ON COLUMN @extschema@._chpg_forecast.full_from IS 'At the earliest, with 90 percent confidence.';
COMMENT ON COLUMN @extschema@._chpg_forecast.full_until IS 'At the latest, likewise.';
COMMENT ON COLUMN @extschema@._chpg_forecast.confidence IS 'high, medium or low.';

/*
 * Growth of days: the median of the daily differences of daily medians, over as many days as
 * make it surest.  Most days have to grow, and today has to be as far above all earlier days as
 * that growth makes it: otherwise it is a sawtooth, whose earlier teeth were as high, or one
 * load of data.  Of a day, the upper quartile stands for its peak, so that a few hours with
 * temporary files are none.
 *
 * Growth of hours: likewise, of one that began within a day.  It has to be far above what any
 * few hours of the past have added to the highest value until then, and is not extrapolated to
 * more than eight times its length, or ten times that of half a day.
 */
CREATE FUNCTION @extschema@._chpg_forecast(latest timestamptz, ages integer[], "values" double precision[],
	capacity double precision)
RETURNS @extschema@._chpg_forecast
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	present CONSTANT double precision := @extschema@._chpg_recent(ages, "values", 2);
	found record;
	result @extschema@._chpg_forecast;
	margin double precision;
	run integer;
BEGIN
	IF present IS NULL OR present >= capacity THEN
		RETURN NULL;
	END IF;
	WITH day AS (
		SELECT u.age / 24 AS place, percentile_cont(0.5) WITHIN GROUP (ORDER BY u.value) AS middle,
			percentile_cont(0.75) WITHIN GROUP (ORDER BY u.value) AS top
		FROM unnest(ages, "values") u(age, value)
		GROUP BY 1
		HAVING count(*) >= 8
	), step AS (
		SELECT d.place, d.middle, d.top,
			(d.middle - lead(d.middle) OVER w) / (lead(d.place) OVER w - d.place) AS growth,
			max(d.top) OVER (ORDER BY d.place DESC) AS top_until
		FROM day d
		WINDOW w AS (ORDER BY d.place)
	), span AS (
		SELECT n.place AS days, max(n.place) OVER () AS known_days, n.middle AS start, n.top_until,
			first.top AS top_now, first.middle AS middle_now, g.*
		FROM step n
		CROSS JOIN (SELECT s.top, s.middle FROM step s WHERE s.place = 0) first
		CROSS JOIN LATERAL (
			SELECT count(*) AS steps, percentile_cont(0.5) WITHIN GROUP (ORDER BY s.growth) AS rate,
				percentile_cont(0.25) WITHIN GROUP (ORDER BY s.growth) AS low,
				percentile_cont(0.75) WITHIN GROUP (ORDER BY s.growth) AS high,
				avg((s.growth > 0)::integer) AS growing
			FROM step s WHERE s.place < n.place
		) g
		WHERE n.place >= 3
	)
	SELECT s.days, s.known_days, s.start, s.rate,
		-- of a median of so many steps, from their quartiles, and never surer than a tenth
		greatest(1.645 * 1.253 * (s.high - s.low) / 1.349 / sqrt(s.steps), 0.1 * s.rate) AS margin
	INTO found
	FROM span s
	WHERE s.steps >= 3 AND s.rate > 0 AND s.growing >= CASE WHEN s.steps < 5 THEN 1 ELSE 0.75 END
		AND s.top_now - s.top_until >= 0.5 * s.rate * s.days
		AND s.middle_now - s.start >= 0.015 * capacity
	ORDER BY (greatest((s.high - s.low) / sqrt(s.steps), 0.1 * s.rate) + 0.2 * s.rate / s.steps) / s.rate, s.days
	LIMIT 1;
	IF found.rate IS NOT NULL THEN
		margin := least(found.margin, 0.75 * found.rate);
		-- what has grown for as long as is known has no beginning
		result := ROW(CASE WHEN found.days < found.known_days THEN latest - found.days * interval '1 day' END,
			found.start, found.rate,
			latest + least((capacity - present) / found.rate, 36500) * interval '1 day',
			latest + least((capacity - present) / (found.rate + margin), 36500) * interval '1 day',
			latest + least((capacity - present) / (found.rate - margin), 36500) * interval '1 day',
			CASE WHEN margin <= 0.25 * found.rate AND found.days >= 6 THEN 'high'
				WHEN margin <= 0.5 * found.rate THEN 'medium'
				ELSE 'low' END);
	END IF;
	-- what fills soon need not have grown for days
	WITH step AS (
		SELECT u.age, u.value, (u.value - lead(u.value) OVER w) / (lead(u.age) OVER w - u.age) AS growth,
			max(u.value) OVER (ORDER BY u.age DESC) AS top_until, max(u.age) OVER () AS oldest
		FROM unnest(ages, "values") u(age, value)
		WINDOW w AS (ORDER BY u.age)
	), span AS (
		SELECT n.age AS hours, n.value AS start, present - n.top_until AS above, g.*,
			-- by how much it has ever been above all that was before, after so many hours, before this rise
			(SELECT greatest(max(a.value - b.top_until), 0) FROM step a JOIN step b ON b.age = a.age + n.age
				WHERE b.age <= b.oldest - 48 AND a.age >= coalesce(
					(SELECT min(e.age) FROM step e WHERE e.age >= n.age AND e.growth < 0.3 * g.rate), n.age)) AS seen
		FROM step n
		CROSS JOIN LATERAL (
			SELECT count(*) AS steps, percentile_cont(0.5) WITHIN GROUP (ORDER BY s.growth) AS rate,
				percentile_cont(0.25) WITHIN GROUP (ORDER BY s.growth) AS low,
				percentile_cont(0.75) WITHIN GROUP (ORDER BY s.growth) AS high
			FROM step s WHERE s.age < n.age
		) g
		WHERE n.age IN (3, 4, 6, 8, 12, 18, 24) AND n.oldest >= 72
	)
	SELECT s.hours, s.start, s.rate,
		greatest(1.645 * 1.253 * (s.high - s.low) / 1.349 / sqrt(s.steps), 0.2 * s.rate) AS margin
	INTO found
	FROM span s
	WHERE s.steps >= 3 AND s.rate > 0 AND s.low >= 0.3 * s.rate AND s.above >= 0.5 * (present - s.start)
		AND CASE WHEN s.hours < 12 THEN present - s.start >= 0.05 * capacity AND s.above >= 2 * coalesce(s.seen, 0)
			ELSE present - s.start >= 0.02 * capacity AND s.above >= 3 * coalesce(s.seen, 0) END
		AND (capacity - present) / s.rate <= CASE WHEN s.hours < 12 THEN 8 ELSE 10 END * s.hours
	ORDER BY s.hours DESC
	LIMIT 1;
	-- days know better when it began, unless the hours are far ahead of them
	IF found.rate IS NOT NULL AND (result.full_at IS NULL
			OR (capacity - present) / found.rate * interval '1 hour' < 0.7 * (result.full_at - latest)) THEN
		margin := least(found.margin, 0.75 * found.rate);
		-- it began where a twentieth of the rise was left, above what it was on the day before
		SELECT min(u.age) FILTER (WHERE u.value <= p.base + 0.05 * (present - p.base)) INTO run
		FROM unnest(ages, "values") u(age, value)
		CROSS JOIN (
			SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY v.value) AS base
			FROM unnest(ages, "values") v(age, value)
			WHERE v.age BETWEEN found.hours AND found.hours + 24
		) p;
		result := ROW(latest - (greatest(coalesce(run, found.hours), 1) - 1) * interval '1 hour',
			found.start, 24 * found.rate,
			latest + (capacity - present) / found.rate * interval '1 hour',
			latest + (capacity - present) / (found.rate + margin) * interval '1 hour',
			latest + (capacity - present) / (found.rate - margin) * interval '1 hour',
			CASE WHEN found.hours >= 6 AND margin <= 0.5 * found.rate THEN 'medium' ELSE 'low' END);
	END IF;
	RETURN result;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_forecast(timestamptz, integer[], double precision[], double precision) IS
'When a line that grows reaches a capacity; null where it does not grow steadily, or is there.
latest, ages, values: as _chpg_metric_lines returns them.';

/* The log keeps what rules say, with times of UTC; a report writes this part of it anew, with those of its session. */
CREATE FUNCTION @extschema@._chpg_full_text(full_at text, full_from text, full_until text, is_far boolean)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN is_far
		THEN format('full about %s (%s to %s)', left(full_at, 10), left(full_from, 10), left(full_until, 10))
		ELSE format('full at about %s (%s to %s)', full_at, full_from, full_until) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_full_text(text, text, text, boolean) IS
'When something is full, within a symptom, by times to the minute. is_far: to the day.';

CREATE FUNCTION @extschema@._chpg_forecast_text(forecast @extschema@._chpg_forecast, growth text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT format('; it grows by %s a day, and is %s', growth, @extschema@._chpg_full_text(
		@extschema@._chpg_time_literal(forecast.full_at), @extschema@._chpg_time_literal(forecast.full_from),
		@extschema@._chpg_time_literal(forecast.full_until),
		forecast.full_until - forecast.full_from > interval '12 hours'))
	WHERE forecast.full_at IS NOT NULL;
END;

COMMENT ON FUNCTION @extschema@._chpg_forecast_text(@extschema@._chpg_forecast, text) IS
'The end of a symptom that says when something is full; null without a forecast.';

/* At most 240 points, so that it takes one request. */
CREATE FUNCTION @extschema@._chpg_metric_query(service_id text, metric text, since timestamptz, until timestamptz)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT format('SELECT "timestamp", series, value FROM @extschema@.chpg_metrics(%L, %L, %L, bucket => %L) '
			'WHERE metric = %L ORDER BY 1, 2',
		@extschema@._chpg_time_literal(w.since), @extschema@._chpg_time_literal(until), service_id,
		greatest(ceil(extract(epoch FROM until - w.since) / 240 / 300) * 5, 5) || ' minutes', metric)
	FROM (
		SELECT greatest(coalesce(_chpg_metric_query.since, until) - interval '6 hours', until - interval '28 days')
			AS since
	) w;
END;

COMMENT ON FUNCTION @extschema@._chpg_metric_query(text, text, timestamptz, timestamptz) IS
'A statement that shows a metric of a service from a time on, and six hours before.';

/* Percent as people read them; values are remote data, and may be anything. */
CREATE FUNCTION @extschema@._chpg_rounded(value double precision, digits integer)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT round(value::numeric, digits) WHERE abs(value) <= 1e18;
END;

COMMENT ON FUNCTION @extschema@._chpg_rounded(double precision, integer) IS
'The value, rounded; null for what is no number, or too large for one of use.';

CREATE FUNCTION @extschema@._chpg_usual_text(usual double precision, unit text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN usual IS NULL THEN ''
		ELSE format(', at these hours usually %s%s', @extschema@._chpg_rounded(usual, 1), unit) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_usual_text(double precision, text) IS
'The end of a symptom that says what is usual at these hours; nothing if that is unknown.
unit: what follows the number, such as '' %'', or nothing.';

CREATE FUNCTION @extschema@._chpg_without_metric(rule_ids text[], scope @extschema@._chpg_scope, of_metric text)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
	lacking text[];
BEGIN
	IF cardinality(scope.period_hours) = 0 THEN
		RETURN;
	ELSIF NOT @extschema@._chpg_metrics_are_readable() THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped(rule_ids,
			'You may not read the table metric_day of the history.'::text, NULL::text);
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	lacking := ARRAY(
		SELECT h.service_id
		FROM unnest(scope.period_hours) h
		WHERE NOT EXISTS (
			SELECT FROM service_key k
			JOIN metric_day m ON m.service_key = k.service_key
			WHERE k.service_id = h.service_id AND m.metric = of_metric AND m.day > until - interval '30 hours'
				AND m.day < until AND m.first_time < until
				AND m.first_time + cardinality(m."values") * m.step > until - interval '6 hours'));
	IF cardinality(lacking) > 1 AND cardinality(lacking) = cardinality(scope.period_hours) THEN
		lacking := ARRAY[NULL::text];
	END IF;
	RETURN QUERY
	SELECT s.*
	FROM unnest(lacking) l(service_id)
	CROSS JOIN LATERAL @extschema@._chpg_skipped(rule_ids,
		format('The history has no points of the metric %s of the last six hours of the period.', of_metric),
		l.service_id) s;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_without_metric(text[], @extschema@._chpg_scope, text) IS
'Rows (SKIPPED) for the services of the history that lack a metric at the end of the period.
If all of them lack it, a rule has one row, without a service.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_metric_names(service_ids text[], until_time timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (
		SELECT coalesce(jsonb_agg(n ORDER BY n.metric), '[]')
		FROM (
			SELECT m.metric, max(m.unit) AS unit,
				m.metric ~* 'lock_?wait' OR
					(m.metric ~* 'wait_?event' AND bool_or(m.series ~* '^lock[:/. ]')) AS is_locks
			FROM service_key k
			JOIN metric_day m ON m.service_key = k.service_key
			WHERE k.service_id = ANY (service_ids) AND m.day > until_time - interval '30 hours' AND m.day < until_time
				AND m.metric !~* 'deadlock'
			GROUP BY m.metric
			LIMIT 1000
		) n);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_metric_names(text[], timestamptz) IS
'The metrics that services had at last: their names and units, and whether they are about locks.
Requests: none.
Errors: 55000 there is no history.';
