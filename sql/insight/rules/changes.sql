/*
 * Rules CHPG501 to CHPG503: patterns that got slower, services that got slower as a whole,
 * and executions that process more than before.
 *
 * CHPG500 has the thresholds of chpg_compare, which judges two periods.
 */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG500', 'change', 'calls_of_hour', 20, 'Executions in an hour from which it is compared with others.'),
	('CHPG500', 'change', 'hours', 3, 'So many hours have to be worse, or better ...'),
	('CHPG500', 'change', 'hours_ratio', 0.75, '... and such a share of those of the period.'),
	('CHPG500', 'change', 'p95_factor', 1.5, 'How many times the baseline''s 95th percentile ...'),
	('CHPG500', 'change', 'p95_gain_us', 5000, '... and how much above it, in microseconds ...'),
	('CHPG500', 'change', 'p95_calls', 200, '... with so many executions in both windows.'),
	('CHPG500', 'change', 'avg_factor', 1.3, 'How many times the baseline''s mean ...'),
	('CHPG500', 'change', 'avg_calls', 50, '... with so many executions in both windows.'),
	('CHPG500', 'change', 'excess_us', 5000000, 'Time lost, in microseconds ...'),
	('CHPG500', 'change', 'excess_ratio', 0.01, '... and its share of the service''s time.'),
	('CHPG500', 'change', 'baseline_hours', 10, 'Hours of the baseline below which blind_factor counts.'),
	('CHPG500', 'change', 'blind_factor', 2,
		'How many times slower, or faster, than the baseline''s mean, or 95th percentile, '
		'with a few hours of the baseline, or without a history.'),
	('CHPG500', 'change', 'blind_calls', 1000, 'Executions in both windows, without a history.'),
	('CHPG500', 'change', 'improved_factor', 0.7, 'The mean has improved up to so many times the baseline''s.'),
	('CHPG500', 'change', 'surge_factor', 3, 'How many times the baseline''s executions per hour ...'),
	('CHPG500', 'change', 'surge_calls', 1000, '... with so many of them ...'),
	('CHPG500', 'change', 'surge_ratio', 0.02, '... and a share of time that grew so much.'),
	('CHPG501', 'slower', 'score', 5.5,
		'Standard deviations above the same hours of past days, of all hours since the onset together.'),
	('CHPG501', 'slower', 'warn_score', 7, 'Standard deviations from which it is WARN.'),
	('CHPG501', 'slower', 'factor', 1.2, 'How many times the expected mean ...'),
	('CHPG501', 'slower', 'few_hours_factor', 2, '... where the baseline has few hours.'),
	('CHPG501', 'slower', 'few_hours', 6, 'Hours of the baseline below which they are few.'),
	('CHPG501', 'slower', 'excess_us', 5000000, 'Time lost since the onset, in microseconds ...'),
	('CHPG501', 'slower', 'excess_ratio', 0.003, '... its share of the service''s time ...'),
	('CHPG501', 'slower', 'excess_executions', 2, '... and how many times the longest single execution.'),
	('CHPG501', 'slower', 'p99_factor', 1.8, 'How many times the expected 99th percentile ...'),
	('CHPG501', 'slower', 'p99_gain_us', 20000, '... and how much above it, in microseconds ...'),
	('CHPG501', 'slower', 'p99_calls', 1000, '... with so many executions since the onset.'),
	('CHPG501', 'slower', 'error_excess_ratio', 0.3, 'Time lost, of the service''s time, from which it is ERROR.'),
	('CHPG502', 'slower_service', 'factor', 1.25,
		'How many times slower than expected most patterns are, as a mean since the onset.'),
	('CHPG502', 'slower_service', 'hours', 2, 'Hours for which they are.'),
	('CHPG502', 'slower_service', 'error_factor', 1.5, 'How many times slower from which it is ERROR.'),
	('CHPG502', 'slower_service', 'cold_hours', 4, 'Hours for which a cache that is cold is no reason to worry.'),
	('CHPG502', 'slower_service', 'cold_reads', 1.5, 'How many times the expected blocks read make a cache cold.');

SELECT @extschema@._chpg_declare_thresholds();

CREATE TYPE @extschema@._chpg_episode AS (
	service_key integer,
	pattern_key integer,
	metric text,
	since timestamptz,
	hours integer,
	score double precision,
	last_score double precision,
	baseline_hours integer,
	calls double precision,
	total_us double precision,
	expected_us double precision,
	max_us double precision,
	p99_us double precision,
	expected_p99_us double precision,
	rows_factor double precision,
	blks_factor double precision,
	wal_factor double precision,
	rows double precision,
	blks double precision,
	wal_bytes double precision
);

COMMENT ON TYPE @extschema@._chpg_episode IS 'A pattern that is slower than expected, from an onset up to now.';
COMMENT ON COLUMN @extschema@._chpg_episode.service_key IS 'Key of the service.';
COMMENT ON COLUMN @extschema@._chpg_episode.pattern_key IS 'Key of the pattern.';
COMMENT ON COLUMN @extschema@._chpg_episode.metric IS
'What is higher: mean or p99 (time), or rows, blks or wal (per execution).';
COMMENT ON COLUMN @extschema@._chpg_episode.since IS 'The onset: start of the first hour that is higher.';
COMMENT ON COLUMN @extschema@._chpg_episode.hours IS 'Hours since the onset in which it was executed.';
COMMENT ON COLUMN @extschema@._chpg_episode.score IS 'Sum of the hours'' standard deviations by the root of their number.';
COMMENT ON COLUMN @extschema@._chpg_episode.last_score IS 'Standard deviations of the last two hours, likewise.';
COMMENT ON COLUMN @extschema@._chpg_episode.baseline_hours IS 'Least number of hours of a baseline.';
COMMENT ON COLUMN @extschema@._chpg_episode.calls IS 'Executions since the onset.';
COMMENT ON COLUMN @extschema@._chpg_episode.total_us IS 'Time of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_episode.expected_us IS
'Time that was expected of them in a service that is as fast as this one is now, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_episode.max_us IS 'Longest single execution, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_episode.p99_us IS 'Mean of the hours'' 99th percentiles, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_episode.expected_p99_us IS 'Mean of those expected, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_episode.rows_factor IS 'How many times the expected rows of an execution.';
COMMENT ON COLUMN @extschema@._chpg_episode.blks_factor IS 'How many times the expected blocks of an execution.';
COMMENT ON COLUMN @extschema@._chpg_episode.wal_factor IS 'How many times the expected WAL of an execution.';
COMMENT ON COLUMN @extschema@._chpg_episode.rows IS 'Rows of all executions.';
COMMENT ON COLUMN @extschema@._chpg_episode.blks IS 'Blocks of all executions.';
COMMENT ON COLUMN @extschema@._chpg_episode.wal_bytes IS 'WAL of all executions, in bytes.';

/*
 * Most patterns are ruled out by their last three hours; two days are read of the others.
 * The onset is the hour for which the sum of all standard deviations since then, by the root
 * of the number of hours, is the greatest.
 */
CREATE FUNCTION @extschema@._chpg_find_episodes(judged @extschema@._chpg_judged_service[],
	recent @extschema@._chpg_hour_score[])
RETURNS SETOF @extschema@._chpg_episode
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	service_keys integer[];
	pattern_keys integer[];
BEGIN
	SELECT array_agg(DISTINCT s.service_key), array_agg(DISTINCT s.pattern_key)
	INTO service_keys, pattern_keys
	FROM (
		SELECT r.service_key, r.pattern_key
		FROM unnest(recent) r
		JOIN unnest(judged) j ON j.service_key = r.service_key
		WHERE r.call_count > 0 AND r.baseline_hours >= 2
		GROUP BY r.service_key, r.pattern_key
		HAVING greatest(sum(r.z_avg) / sqrt(nullif(count(r.z_avg), 0)), sum(r.z_p99) / sqrt(nullif(count(r.z_p99), 0)),
			max(r.z_avg) FILTER (WHERE r.window_start = j.end_time - interval '1 hour'),
			max(r.z_p99) FILTER (WHERE r.window_start = j.end_time - interval '1 hour')) >= 2.5
			OR greatest(sum(r.z_rows), sum(r.z_blks), sum(r.z_wal)) >= 4 * count(*)
	) s;
	IF service_keys IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH hours AS MATERIALIZED (
		SELECT h.*, j.end_time, h.expected_avg_us * exp(least(greatest(h.common, -5), 5)) AS usual_us
		FROM @extschema@._chpg_pattern_scores(service_keys, pattern_keys,
			(SELECT min(j.end_time) FROM unnest(judged) j) - interval '48 hours',
			(SELECT max(j.end_time) FROM unnest(judged) j)) h
		JOIN unnest(judged) j ON j.service_key = h.service_key
		WHERE h.call_count > 0 AND h.baseline_hours >= 2 AND h.expected_avg_us > 0
			AND h.window_start >= j.end_time - interval '48 hours' AND h.window_start < j.end_time
	), scored AS (
		SELECT h.*, m.metric, m.z, row_number() OVER (PARTITION BY h.service_key, h.pattern_key, m.metric
			ORDER BY h.window_start DESC) AS place
		FROM hours h
		CROSS JOIN LATERAL (VALUES ('mean', h.z_avg), ('p99', h.z_p99), ('rows', h.z_rows), ('blks', h.z_blks),
			('wal', h.z_wal)) m(metric, z)
		WHERE m.z IS NOT NULL
	), summed AS (
		SELECT s.service_key, s.pattern_key, s.metric, s.window_start AS since, s.place AS hours,
			sum(s.z) OVER w / sqrt(s.place) AS score,
			sum(CASE WHEN s.place <= 2 THEN s.z END) OVER w / sqrt(least(s.place, 2)) AS last_score,
			max(CASE WHEN s.place = 1 THEN s.window_start END) OVER w AS last_start, s.end_time,
			min(s.baseline_hours) OVER w AS baseline_hours, sum(s.call_count) OVER w AS calls,
			sum(s.total_us) OVER w AS total_us, sum(s.usual_us * s.call_count) OVER w AS expected_us,
			max(s.max_us) OVER w AS max_us,
			sum(s.p99_us * s.call_count) OVER w / nullif(sum(s.call_count) OVER w, 0) AS p99_us,
			sum(s.expected_p99_us * s.call_count) OVER w / nullif(sum(s.call_count) OVER w, 0) AS expected_p99_us,
			sum(s.rows_per_call * s.call_count) OVER w
				/ nullif(sum(s.expected_rows_per_call * s.call_count) OVER w, 0) AS rows_factor,
			sum(s.blks_per_call * s.call_count) OVER w
				/ nullif(sum(s.expected_blks_per_call * s.call_count) OVER w, 0) AS blks_factor,
			sum(s.wal_per_call * s.call_count) OVER w
				/ nullif(sum(s.expected_wal_per_call * s.call_count) OVER w, 0) AS wal_factor,
			sum(s.rows_per_call * s.call_count) OVER w AS rows, sum(s.blks_per_call * s.call_count) OVER w AS blks,
			sum(s.wal_per_call * s.call_count) OVER w AS wal_bytes
		FROM scored s
		WINDOW w AS (PARTITION BY s.service_key, s.pattern_key, s.metric ORDER BY s.window_start DESC)
	)
	SELECT DISTINCT ON (b.service_key, b.pattern_key, b.metric) b.service_key, b.pattern_key, b.metric, b.since,
		b.hours::integer, b.score, b.last_score, b.baseline_hours, b.calls, b.total_us, b.expected_us, b.max_us,
		b.p99_us, b.expected_p99_us, b.rows_factor, b.blks_factor, b.wal_factor, b.rows, b.blks, b.wal_bytes
	FROM summed b
	WHERE b.last_start >= b.end_time - interval '3 hours'
	ORDER BY b.service_key, b.pattern_key, b.metric, b.score DESC, b.since;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_episodes(@extschema@._chpg_judged_service[],
	@extschema@._chpg_hour_score[]) IS
'The patterns that may be slower than expected at the end, each with its best onset.
recent: what _chpg_recent_scores returned. A row for each metric.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_service_time(of_service text, since timestamptz, until timestamptz)
RETURNS double precision
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (SELECT sum(c.statement_duration_us) FROM capture c
		WHERE c.service_id = of_service AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= since AND c.window_start < until);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_service_time(text, timestamptz, timestamptz) IS
'Time of all executions of a service in some hours, in microseconds.
Errors: 55000 there is no history.';

/* The counters say why, from the same pattern a week before the onset. */
CREATE FUNCTION @extschema@._chpg_episode_cause(of_service text, key integer, since timestamptz, until timestamptz)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@._chpg_change_cause(a.pattern, b.pattern)
	FROM @extschema@._chpg_sum_patterns(ARRAY[of_service], tstzrange(since - interval '168 hours', since), ARRAY[key]) a
	CROSS JOIN @extschema@._chpg_sum_patterns(ARRAY[of_service], tstzrange(since, until), ARRAY[key]) b;
END;

COMMENT ON FUNCTION @extschema@._chpg_episode_cause(text, integer, timestamptz, timestamptz) IS
'Why a pattern is slower since an onset, compared with the week before it, by its counters.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_cause_text(cause text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE cause WHEN 'more rows' THEN 'It returns more rows: the data grew, or a filter is gone.'
		WHEN 'more blocks' THEN 'It reads more blocks for the same rows: another plan, more data, or bloat.'
		WHEN 'colder cache' THEN 'More of its blocks come from storage: something else uses the cache.'
		WHEN 'waiting' THEN 'It waits longer: locks, storage, or the client.'
		WHEN 'computing' THEN 'It computes longer on the same blocks.'
		ELSE 'No single counter explains it.' END;
END;

COMMENT ON FUNCTION @extschema@._chpg_cause_text(text) IS 'What a cause of _chpg_change_cause means.';

CREATE FUNCTION @extschema@._chpg_factor_text(factor double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN factor < 9.95 THEN to_char(factor, 'FM0.0') ELSE to_char(least(factor, 999999), 'FM999999') END;
END;

COMMENT ON FUNCTION @extschema@._chpg_factor_text(double precision) IS 'A factor as people read it, such as 3.2 or 15.';

/* A pattern whose mean rose has no second finding for its 99th percentile. */
CREATE FUNCTION @extschema@._chpg_find_slower(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], episodes @extschema@._chpg_episode[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH episode AS MATERIALIZED (
		SELECT e.*, j.service_id, j.end_time, e.total_us / nullif(e.expected_us, 0) AS factor,
			e.total_us - e.expected_us AS excess_us,
			e.p99_us / nullif(e.expected_p99_us, 0) AS p99_factor, e.p99_us - e.expected_p99_us AS p99_gain_us,
			e.baseline_hours < t.slower_few_hours AS is_blind
		FROM unnest(episodes) e
		JOIN unnest(judged) j ON j.service_key = e.service_key
		WHERE e.metric IN ('mean', 'p99')
	), likely AS MATERIALIZED (
		SELECT e.*
		FROM episode e
		WHERE e.score >= t.slower_score AND e.last_score >= 1.5 AND (e.hours >= 2 OR e.calls >= 50)
			AND CASE e.metric WHEN 'mean' THEN
				e.factor >= CASE WHEN e.is_blind THEN t.slower_few_hours_factor ELSE t.slower_factor END
					AND e.excess_us >= t.slower_excess_us * least(e.hours, 4) / 4
					AND (e.excess_us >= t.slower_excess_executions * e.max_us OR EXISTS (
						SELECT FROM @extschema@._chpg_batches(ARRAY[e.service_key], e.end_time) b
						WHERE b.pattern_key = e.pattern_key))
				ELSE e.p99_factor >= CASE WHEN e.is_blind THEN greatest(t.slower_few_hours_factor, t.slower_p99_factor)
						ELSE t.slower_p99_factor END
					AND e.p99_gain_us >= t.slower_p99_gain_us AND e.calls >= t.slower_p99_calls AND e.hours >= 2 END
	), material AS MATERIALIZED (
		SELECT DISTINCT ON (l.service_key, l.pattern_key) l.*, greatest(l.excess_us, 0) / nullif(s.us, 0) AS lost_ratio
		FROM likely l
		CROSS JOIN LATERAL @extschema@._chpg_service_time(l.service_id, l.since, l.end_time) s(us)
		WHERE l.metric = 'p99' OR l.excess_us >= t.slower_excess_ratio * s.us
		ORDER BY l.service_key, l.pattern_key, l.metric
	), ranked AS MATERIALIZED (
		SELECT m.*, row_number() OVER (PARTITION BY m.service_key ORDER BY m.excess_us DESC, m.pattern_key) AS place
		FROM material m
	), found AS (
		SELECT r.*, n.name, n.query_text,
			CASE WHEN r.place <= 20
				THEN @extschema@._chpg_episode_cause(r.service_id, r.pattern_key, r.since, r.end_time) END AS cause,
			CASE WHEN r.is_blind THEN 'low' WHEN r.score < t.slower_warn_score OR r.baseline_hours < 9 THEN 'medium'
				ELSE 'high' END AS confidence,
			CASE WHEN r.score < t.slower_warn_score THEN 'INFO'
				WHEN r.metric = 'mean' AND r.hours >= 2 AND r.lost_ratio >= t.slower_error_excess_ratio THEN 'ERROR'
				ELSE 'WARN' END AS level
		FROM ranked r
		JOIN (SELECT p AS name, p.* FROM @extschema@._chpg_pattern_names(
			ARRAY(SELECT i.pattern_key FROM ranked i)) p) n ON n.pattern_key = r.pattern_key
	)
	SELECT 'CHPG501', f.level, CASE f.metric WHEN 'mean' THEN 'Slower than before' ELSE 'Slow executions got slower' END,
		f.service_id,
		CASE f.metric WHEN 'mean'
			THEN format('%s per call, %s times the usual %s of these hours, for %s h; %s lost, %s %% of the service''s time',
				@extschema@._chpg_duration_text(f.total_us / f.calls), @extschema@._chpg_factor_text(f.factor),
				@extschema@._chpg_duration_text(f.expected_us / f.calls),
				@extschema@._chpg_hours_between(f.since, f.end_time),
				@extschema@._chpg_duration_text(f.excess_us), round((100 * coalesce(f.lost_ratio, 0))::numeric, 1))
			ELSE format('one call of a hundred takes %s or longer, %s times the usual %s of these hours, for %s h',
				@extschema@._chpg_duration_text(f.p99_us), @extschema@._chpg_factor_text(f.p99_factor),
				@extschema@._chpg_duration_text(f.expected_p99_us),
				@extschema@._chpg_hours_between(f.since, f.end_time)) END,
		@extschema@._chpg_pattern_evidence(f.name) || jsonb_build_object('change', 'slower', 'metric', f.metric,
			'hours', f.hours, 'call_count', f.calls, 'factor', round(f.factor::numeric, 2),
			'avg_duration_us', round((f.total_us / f.calls)::numeric, 1),
			'expected_avg_duration_us', round((f.expected_us / f.calls)::numeric, 1),
			'p99_duration_us', round(f.p99_us::numeric, 1), 'expected_p99_duration_us', round(f.expected_p99_us::numeric, 1),
			'rows_factor', round(f.rows_factor::numeric, 2), 'blks_factor', round(f.blks_factor::numeric, 2),
			'wal_factor', round(f.wal_factor::numeric, 2), 'cause', f.cause, 'excess_us', round(f.excess_us::numeric),
			'lost_ratio', round(f.lost_ratio::numeric, 4), 'score', round(f.score::numeric, 1),
			'baseline_hours', f.baseline_hours),
		@extschema@._chpg_cause_text(f.cause),
		'Compare EXPLAIN (ANALYZE, BUFFERS) with what it was; look for a deployment at that time.',
		greatest(f.excess_us, f.p99_gain_us * f.calls / 100, 0), f.confidence,
		@extschema@._chpg_pattern_finding_key('CHPG501'::text, f.service_id, f.name), 'incident', f.since,
		CASE f.metric WHEN 'mean' THEN f.expected_us / f.calls ELSE f.expected_p99_us END,
		CASE f.metric WHEN 'mean' THEN f.total_us / f.calls ELSE f.p99_us END, 'us',
		@extschema@._chpg_course_statement(f.service_id, (f.name).query_id, f.since, f.end_time)
	FROM found f;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_slower(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_episode[]) IS
'Findings of patterns that are slower than in the same hours of past days.
Requests: none.
Errors: 55000 there is no history.';

/*
 * What makes most patterns slower at once is a matter of the service: other work on its
 * host, storage, CPU, or an empty cache.  Blocks read tell the last one from the others.
 */
CREATE FUNCTION @extschema@._chpg_find_slower_services(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], recent @extschema@._chpg_hour_score[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	service_keys integer[];
	pattern_keys integer[];
BEGIN
	-- the factor of an hour comes with each of its patterns: one that runs often is enough
	SELECT array_agg(s.service_key), array_agg(s.pattern_key) INTO service_keys, pattern_keys
	FROM (
		SELECT DISTINCT ON (r.service_key) r.service_key, r.pattern_key, r.common
		FROM unnest(recent) r
		WHERE r.call_count > 0
		ORDER BY r.service_key, r.window_start DESC, r.call_count DESC, r.pattern_key
	) s
	WHERE s.common >= ln(1.12);
	IF service_keys IS NULL THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH factor AS (
		SELECT DISTINCT ON (h.service_key, h.window_start) h.service_key, j.service_id, j.end_time, h.window_start,
			least(greatest(h.common, -2), 3) AS common
		FROM @extschema@._chpg_pattern_scores(service_keys, pattern_keys,
			(SELECT min(j.end_time) FROM unnest(judged) j) - interval '48 hours',
			(SELECT max(j.end_time) FROM unnest(judged) j)) h
		JOIN unnest(judged) j ON j.service_key = h.service_key
		WHERE h.window_start >= j.end_time - interval '48 hours' AND h.window_start < j.end_time
			AND h.call_count > 0
		ORDER BY h.service_key, h.window_start, h.pattern_key
	), summed AS (
		-- 0.05 is what the load of a day makes of it
		SELECT f.*, count(*) OVER w AS hours, sum(f.common - 0.05) OVER w / sqrt(count(*) OVER w) AS score,
			avg(f.common) OVER w AS mean, min(f.window_start) OVER (PARTITION BY f.service_key) AS first_start
		FROM factor f
		WINDOW w AS (PARTITION BY f.service_key ORDER BY f.window_start DESC)
	), onset AS MATERIALIZED (
		SELECT b.*
		FROM (SELECT DISTINCT ON (s.service_key) s.* FROM summed s
			ORDER BY s.service_key, s.score DESC, s.window_start) b
		WHERE b.mean >= ln(t.slower_service_factor) AND b.hours >= t.slower_service_hours
	), measured AS (
		SELECT o.*, exp(o.mean) AS factor, n.us AS total_us, n.reads, n.blks, n.cpu_us, b.us AS us_before,
			b.reads AS reads_before, b.blks AS blks_before, b.cpu_us AS cpu_us_before,
			extract(epoch FROM o.end_time - o.window_start) / 3600 AS age
		FROM onset o
		CROSS JOIN LATERAL (
			SELECT sum(c.statement_duration_us) AS us, sum(c.total_shared_blks_read)::float8 AS reads,
				sum(c.total_shared_blks_read)::float8 + sum(c.total_shared_blks_hit)::float8 AS blks,
				sum(c.total_cpu_time_us) AS cpu_us
			FROM capture c
			WHERE c.service_id = o.service_id AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= o.window_start AND c.window_start < o.end_time) n
		CROSS JOIN LATERAL (
			-- the same hours of the week before
			SELECT sum(c.statement_duration_us) AS us, sum(c.total_shared_blks_read)::float8 AS reads,
				sum(c.total_shared_blks_read)::float8 + sum(c.total_shared_blks_hit)::float8 AS blks,
				sum(c.total_cpu_time_us) AS cpu_us
			FROM generate_series(o.window_start - interval '168 hours', o.window_start - interval '24 hours',
				interval '24 hours') d(start)
			JOIN capture c ON c.service_id = o.service_id AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= d.start AND c.window_start < d.start + least(o.end_time - o.window_start,
					interval '24 hours')) b
	), caused AS (
		SELECT m.*, CASE
			WHEN m.reads / nullif(m.blks, 0) >= t.slower_service_cold_reads * m.reads_before / nullif(m.blks_before, 0)
				AND m.reads / nullif(m.blks, 0) - m.reads_before / nullif(m.blks_before, 0) >= 0.01 THEN 'cold cache'
			WHEN m.cpu_us / nullif(m.total_us, 0) < 0.85 * m.cpu_us_before / nullif(m.us_before, 0) THEN 'waiting'
			WHEN m.cpu_us / nullif(m.total_us, 0) > 0.95 * m.cpu_us_before / nullif(m.us_before, 0) THEN 'computing'
			ELSE 'mixed' END AS cause
		FROM measured m
	)
	SELECT 'CHPG502',
		CASE WHEN c.cause = 'cold cache' AND c.age <= t.slower_service_cold_hours THEN 'INFO'
			WHEN c.factor >= t.slower_service_error_factor AND c.hours > t.slower_service_hours THEN 'ERROR'
			ELSE 'WARN' END,
		CASE c.cause WHEN 'cold cache' THEN 'Cold cache' ELSE 'The whole service is slower' END, c.service_id,
		format('most queries take %s times their usual time of these hours, for %s h; %s lost',
			@extschema@._chpg_factor_text(c.factor), @extschema@._chpg_hours_between(c.window_start, c.end_time),
			@extschema@._chpg_duration_text(c.total_us * (1 - 1 / c.factor))),
		jsonb_build_object('change', 'slower service', 'factor', round(c.factor::numeric, 2), 'hours', c.hours,
			'cause', c.cause, 'excess_us', round((c.total_us * (1 - 1 / c.factor))::numeric),
			'read_ratio', round((c.reads / nullif(c.blks, 0))::numeric, 4),
			'expected_read_ratio', round((c.reads_before / nullif(c.blks_before, 0))::numeric, 4),
			'cpu_ratio', round((c.cpu_us / nullif(c.total_us, 0))::numeric, 3),
			'expected_cpu_ratio', round((c.cpu_us_before / nullif(c.us_before, 0))::numeric, 3)),
		CASE c.cause WHEN 'cold cache' THEN 'More blocks come from storage than usual: a restart, or something that read '
				'a lot and evicted the rest. It usually passes within hours.'
			WHEN 'waiting' THEN 'Queries wait longer and compute as long as before: storage, locks, or other load of '
				'the host.'
			WHEN 'computing' THEN 'The time on CPU grew with the time: the CPU is busy, or slower.'
			ELSE 'No single counter explains it.' END,
		CASE c.cause WHEN 'cold cache' THEN 'Look for a restart, a resize, a backup or a large scan at that time.'
			ELSE 'Look at CPU, disk and connections at that time: chpg_metrics has them; then at locks.' END,
		greatest(c.total_us * (1 - 1 / c.factor), 0), CASE WHEN c.hours >= 3 THEN 'high' ELSE 'medium' END,
		'CHPG502:' || c.service_id, 'incident', c.window_start, 100::float8, 100 * c.factor, 'percent',
		format('SELECT * FROM chpg_metrics(%L, %L, %L);', c.window_start - interval '6 hours', c.end_time, c.service_id)
	FROM caused c;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_slower_services(@extschema@._chpg_thresholds,
	@extschema@._chpg_judged_service[], @extschema@._chpg_hour_score[]) IS
'Findings of services of which most patterns are slower than in the same hours of past days.
Requests: none.
Errors: 55000 there is no history.';
