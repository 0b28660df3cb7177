/* Insight: what changed between two periods. */

CREATE TYPE @extschema@.chpg_change_row AS (
	change text,
	service_id text,
	query_id bigint,
	query_hex text,
	db_name text,
	db_user text,
	db_operation text,
	app text,
	query_text text,
	baseline_calls_per_s double precision,
	calls_per_s double precision,
	baseline_avg_duration_us double precision,
	avg_duration_us double precision,
	baseline_p95_lo_us double precision,
	baseline_p95_hi_us double precision,
	p95_lo_us double precision,
	p95_hi_us double precision,
	baseline_time_ratio double precision,
	time_ratio double precision,
	excess_us double precision,
	cause text,
	hours_worse text,
	confidence text
);

COMMENT ON TYPE @extschema@.chpg_change_row IS 'What became of a pattern between two windows.';
COMMENT ON COLUMN @extschema@.chpg_change_row.change IS
'new, gone, regressed, improved, surged (more executions, no slower), steady or unknown (no data of the service '
'in a period). new? and gone?: the other period may only not show the pattern.';
COMMENT ON COLUMN @extschema@.chpg_change_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_change_row.query_id IS 'Hash of the normalized query, PostgreSQL''s own.';
COMMENT ON COLUMN @extschema@.chpg_change_row.query_hex IS
'query_id as 16 hexadecimal digits: programs that hold numbers as double precision round query_id.';
COMMENT ON COLUMN @extschema@.chpg_change_row.db_name IS 'Database.';
COMMENT ON COLUMN @extschema@.chpg_change_row.db_user IS 'Database user.';
COMMENT ON COLUMN @extschema@.chpg_change_row.db_operation IS 'Kind of statement.';
COMMENT ON COLUMN @extschema@.chpg_change_row.app IS 'Application name of the session.';
COMMENT ON COLUMN @extschema@.chpg_change_row.query_text IS 'Normalized text of the query, cut at 2 kB.';
COMMENT ON COLUMN @extschema@.chpg_change_row.baseline_calls_per_s IS
'Executions per second of the baseline that was seen; null if there were none.';
COMMENT ON COLUMN @extschema@.chpg_change_row.calls_per_s IS
'Executions per second of the period that was seen; null if there were none.';
COMMENT ON COLUMN @extschema@.chpg_change_row.baseline_avg_duration_us IS
'Mean time of an execution in the baseline, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_change_row.avg_duration_us IS
'Mean time of an execution in the period, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_change_row.baseline_p95_lo_us IS
'Lower bound of the baseline''s 95th percentile, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_change_row.baseline_p95_hi_us IS
'Upper bound of the baseline''s 95th percentile, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_change_row.p95_lo_us IS
'Lower bound of the period''s 95th percentile, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_change_row.p95_hi_us IS
'Upper bound of the period''s 95th percentile, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_change_row.baseline_time_ratio IS
'Share of the service''s time in the baseline, 0 to 1.';
COMMENT ON COLUMN @extschema@.chpg_change_row.time_ratio IS 'Share of the service''s time in the period, 0 to 1.';
COMMENT ON COLUMN @extschema@.chpg_change_row.excess_us IS
'Time lost in the period, compared with the baseline''s mean time, in microseconds; negative where time was gained.';
COMMENT ON COLUMN @extschema@.chpg_change_row.cause IS
'What explains a change in time: more or fewer rows or blocks, colder or warmer cache, waiting, computing, or '
'mixed.';
COMMENT ON COLUMN @extschema@.chpg_change_row.hours_worse IS
'Hours of the period above the 90th percentile of the baseline''s hours, of all, such as 3/24; null without a '
'history.';
COMMENT ON COLUMN @extschema@.chpg_change_row.confidence IS
'high; medium (less than 24 hours to compare with, or a truncated window); low (no hours to compare, or too '
'little to tell).';

CREATE FUNCTION @extschema@._chpg_is_monitoring(app text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT app = 'bin/monitor';
END;

COMMENT ON FUNCTION @extschema@._chpg_is_monitoring(text) IS
'Whether an application is the service''s own monitoring, which comparisons and rules leave out.';

/* A pattern that had several texts in an hour counts once. */
CREATE FUNCTION @extschema@._chpg_worse_hours(baseline tstzrange, period tstzrange, service text,
	server text DEFAULT NULL)
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text,
	hours bigint, hours_p95 bigint, hours_avg bigint, hours_better bigint, baseline_hours bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	ids text[];
	enough double precision := @extschema@._chpg_threshold('500', 'calls_of_hour');
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	ids := ARRAY(SELECT s.service_id
		FROM @extschema@._chpg_history_services(_chpg_worse_hours.service, _chpg_worse_hours.server, false) s);
	RETURN QUERY
	WITH chosen AS (
		SELECT p.*, true AS before FROM pattern p
		WHERE p.service_id = ANY (ids) AND p.grain = 'hour'
			AND p.window_start >= lower(baseline) AND p.window_start <= upper(baseline) - interval '1 hour'
		UNION ALL
		SELECT p.*, false FROM pattern p
		WHERE p.service_id = ANY (ids) AND p.grain = 'hour'
			AND p.window_start >= lower(period) AND p.window_start <= upper(period) - interval '1 hour'
	), measured AS (
		SELECT p.before, p.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app, p.window_start,
			sum(@extschema@._chpg_bounded(p.p95_duration_us) * p.call_count)
				/ sum(p.call_count) FILTER (WHERE p.p95_duration_us IS NOT NULL)::float8 AS p95_us,
			sum(@extschema@._chpg_bounded(p.total_duration_us)) / sum(p.call_count)::float8 AS avg_us
		FROM chosen p
		JOIN pattern_key k USING (pattern_key)
		WHERE p.call_count > 0 AND p.total_duration_us IS NOT NULL
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
		HAVING sum(p.call_count) >= enough
	), limits AS (
		SELECT service_id, query_id, db_name, db_user, db_operation, app, count(*) AS hours,
			percentile_disc(0.9) WITHIN GROUP (ORDER BY p95_us) AS p95_us,
			percentile_disc(0.9) WITHIN GROUP (ORDER BY avg_us) AS avg_us,
			percentile_disc(0.1) WITHIN GROUP (ORDER BY avg_us) AS best_us
		FROM measured WHERE before GROUP BY 1, 2, 3, 4, 5, 6
	)
	SELECT m.service_id, m.query_id, m.db_name, m.db_user, m.db_operation, m.app, count(*),
		count(*) FILTER (WHERE m.p95_us > l.p95_us),
		count(*) FILTER (WHERE m.avg_us > l.avg_us),
		count(*) FILTER (WHERE m.avg_us < l.best_us), max(l.hours)
	FROM measured m
	JOIN limits l USING (service_id, query_id, db_name, db_user, db_operation, app)
	WHERE NOT m.before
	GROUP BY 1, 2, 3, 4, 5, 6;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_worse_hours(tstzrange, tstzrange, text, text) IS
'For each pattern, how many of its hours in a period are worse, or better, than in the baseline.
An hour counts if it has the executions of CHPG500, calls_of_hour.
Worse: 95th percentile, or mean, above the 90th percentile of the baseline''s hours. Better:
  mean below the 10th.
Requests: none.
Errors: 55000 there is no history.';

/*
 * CPU time above the duration is that of outer statements: the pattern's own is unknown
 * then.  Rows or blocks explain a wait only if each of them takes at most 10 ms, a read of
 * a slow disk.
 */
CREATE FUNCTION @extschema@._chpg_change_cause(faster @extschema@.chpg_period_pattern_row,
	slower @extschema@.chpg_period_pattern_row)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH per_call AS (
		SELECT p.place, p.avg_duration_us AS avg_us, p.total_rows / calls AS rows, blks / calls AS blks,
			p.total_shared_blks_read / calls AS reads, p.total_shared_blks_hit / nullif(blks, 0) AS hit_ratio,
			CASE WHEN p.total_cpu_time_us <= 1.05 * p.total_duration_us THEN p.total_cpu_time_us / calls END AS cpu_us
		FROM (SELECT 'faster' AS place, (faster).* UNION ALL SELECT 'slower', (slower).*) p,
			LATERAL (SELECT nullif(p.call_count, 0)::float8 AS calls,
				p.total_shared_blks_read::float8 + p.total_shared_blks_hit AS blks) c
	)
	SELECT CASE
		WHEN waited AND y.avg_us - x.avg_us > 1e4 * greatest(y.rows - x.rows, y.blks - x.blks, y.reads - x.reads)
			THEN 'waiting'
		WHEN y.rows >= 1.5 * x.rows AND y.rows - x.rows >= 1 THEN 'more rows'
		WHEN y.blks >= 1.5 * x.blks AND y.blks - x.blks >= 1 THEN 'more blocks'
		WHEN y.hit_ratio < x.hit_ratio - 0.05 AND y.reads - x.reads >= 1 THEN 'colder cache'
		WHEN waited THEN 'waiting'
		WHEN y.avg_us > x.avg_us AND y.cpu_us - x.cpu_us >= 0.7 * (y.avg_us - x.avg_us) THEN 'computing'
		ELSE 'mixed'
	END
	FROM per_call x
	JOIN per_call y ON x.place = 'faster' AND y.place = 'slower',
		LATERAL (SELECT y.avg_us > x.avg_us
			AND (y.avg_us - y.cpu_us) - (x.avg_us - x.cpu_us) >= 0.7 * (y.avg_us - x.avg_us) AS waited) w;
END;

COMMENT ON FUNCTION @extschema@._chpg_change_cause(@extschema@.chpg_period_pattern_row,
	@extschema@.chpg_period_pattern_row) IS
'Why a pattern is slower in one of two periods, as far as its counters show.';

/*
 * Patterns without a query id, and those of the service's own monitoring, are left out.
 * A pattern of one period only is certain to be new, or gone, if the other period is known
 * well enough to show it: by its hours, or by how often the pattern runs.
 */
CREATE FUNCTION @extschema@._chpg_measure_changes(baseline tstzrange, period tstzrange, service text, server text,
	before @extschema@.chpg_period_pattern_row[], after @extschema@.chpg_period_pattern_row[])
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text,
	query_text text, a @extschema@.chpg_period_pattern_row, b @extschema@.chpg_period_pattern_row,
	time_ratio_a float8, time_ratio_b float8, has_hours boolean,
	hours bigint, hours_p95 bigint, hours_avg bigint, hours_better bigint, baseline_hours bigint,
	compared boolean, hours_a float8, hours_b float8, new_certain boolean, gone_certain boolean, truncated boolean,
	excess_us float8, material boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	length_a double precision := extract(epoch FROM upper(baseline) - lower(baseline)) / 3600;
	length_b double precision := extract(epoch FROM upper(period) - lower(period)) / 3600;
	history_a boolean := EXISTS (SELECT FROM @extschema@._chpg_period_hours(baseline, service, server));
	history_b boolean := EXISTS (SELECT FROM @extschema@._chpg_period_hours(period, service, server));
	least_us double precision := @extschema@._chpg_threshold('500', 'excess_us');
	least_ratio double precision := @extschema@._chpg_threshold('500', 'excess_ratio');
	least_hours double precision := @extschema@._chpg_threshold('500', 'hours');
BEGIN
	RETURN QUERY
	WITH worse AS MATERIALIZED (
		SELECT w.* FROM (SELECT WHERE history_a AND history_b) h,
			@extschema@._chpg_worse_hours(baseline, period, service, server) w
	), a AS (
		SELECT r, r.service_id, r.query_id, r.db_name, r.db_user, r.db_operation, r.app, r.query_text,
			r.total_duration_us / nullif(sum(r.total_duration_us) OVER (PARTITION BY r.service_id), 0) AS time_ratio
		FROM unnest(before) r WHERE r.query_id <> 0 AND NOT @extschema@._chpg_is_monitoring(r.app)
	), b AS (
		SELECT r, r.service_id, r.query_id, r.db_name, r.db_user, r.db_operation, r.app, r.query_text,
			r.total_duration_us / nullif(sum(r.total_duration_us) OVER (PARTITION BY r.service_id), 0) AS time_ratio
		FROM unnest(after) r WHERE r.query_id <> 0 AND NOT @extschema@._chpg_is_monitoring(r.app)
	), paired AS MATERIALIZED (
		SELECT service_id, query_id, db_name, db_user, db_operation, app,
			coalesce(b.query_text, a.query_text) AS query_text,
			a.r AS a, b.r AS b, a.time_ratio AS time_ratio_a, b.time_ratio AS time_ratio_b
		FROM a FULL JOIN b USING (service_id, query_id, db_name, db_user, db_operation, app)
	), pairs AS (
		SELECT p.*, w.hours, w.hours_p95, w.hours_avg, w.hours_better, w.baseline_hours,
			CASE WHEN history_a THEN ha.hours WHEN count((p.a).service_id) OVER of_service > 0 THEN length_a END
				AS hours_a,
			CASE WHEN history_b THEN hb.hours WHEN count((p.b).service_id) OVER of_service > 0 THEN length_b END
				AS hours_b,
			ha.cutoff_us AS cutoff_a, hb.cutoff_us AS cutoff_b,
			(p.b).call_count * ((p.b).avg_duration_us - (p.a).avg_duration_us) AS excess_us,
			greatest(least_us, least_ratio * (p.b).total_duration_us / nullif(p.time_ratio_b, 0)) AS material_us
		FROM paired p
		LEFT JOIN worse w USING (service_id, query_id, db_name, db_user, db_operation, app)
		LEFT JOIN @extschema@._chpg_period_hours(baseline, service, server) ha USING (service_id)
		LEFT JOIN @extschema@._chpg_period_hours(period, service, server) hb USING (service_id)
		WINDOW of_service AS (PARTITION BY p.service_id)
	)
	SELECT p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation, p.app, p.query_text, p.a, p.b,
		p.time_ratio_a, p.time_ratio_b, history_a AND history_b, p.hours, p.hours_p95, p.hours_avg, p.hours_better,
		p.baseline_hours, coalesce(p.hours, 0) >= least_hours, p.hours_a, p.hours_b,
		NOT coalesce(p.cutoff_a > (p.b).total_duration_us / p.hours_b, false) AND p.hours_a >= 0.75 * length_a
			AND (p.hours_a >= 24 OR (history_b AND (p.b).buckets / p.hours_b * p.hours_a >= 3)),
		NOT coalesce(p.cutoff_b > (p.a).total_duration_us / p.hours_a, false) AND p.hours_b >= 0.75 * length_b
			AND (NOT history_a OR p.hours_a >= 24)
			AND (p.hours_b >= 24 OR (history_a AND (p.a).buckets / p.hours_a * p.hours_b >= 3)),
		p.cutoff_a IS NOT NULL OR p.cutoff_b IS NOT NULL,
		p.excess_us, abs(p.excess_us) >= p.material_us
	FROM pairs p;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_measure_changes(tstzrange, tstzrange, text, text,
	@extschema@.chpg_period_pattern_row[], @extschema@.chpg_period_pattern_row[]) IS
'The patterns of two periods (a and b) side by side, with what _chpg_judge_change looks at.
Requests: none.';

/*
 * If nothing changed, an hour of the period is above the 90th percentile of the baseline's
 * hours one time in ten; three of three hours are so one time in a thousand.  With few
 * baseline hours that percentile is the greatest of them, and without a history there are
 * no hours: then only a much slower, or faster, pattern counts.  With too few executions
 * nothing counts, for a single long one would do.  CHPG500 has the thresholds.
 */
CREATE FUNCTION @extschema@._chpg_judge_change(m record, numbers jsonb)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n_a CONSTANT double precision := (m.a).call_count;
	n_b CONSTANT double precision := (m.b).call_count;
	avg_a CONSTANT double precision := (m.a).avg_duration_us;
	avg_b CONSTANT double precision := (m.b).avg_duration_us;
	p95_a CONSTANT double precision := (m.a).p95_est_us;
	p95_b CONSTANT double precision := (m.b).p95_est_us;
	enough CONSTANT double precision := greatest((numbers->>'500.hours')::float8,
		ceil((numbers->>'500.hours_ratio')::float8 * m.hours));
	least_factor CONSTANT double precision := CASE
		WHEN m.baseline_hours >= (numbers->>'500.baseline_hours')::float8 THEN 1
		ELSE (numbers->>'500.blind_factor')::float8 END;
	p95_rose boolean;
BEGIN
	IF m.hours_a IS NULL OR m.hours_b IS NULL THEN
		RETURN 'unknown';
	ELSIF m.a IS NULL THEN
		RETURN CASE WHEN (m.b).total_duration_us >= 1e6 * (numbers->>'504.busy_s_per_h')::float8 * m.hours_b
				AND m.time_ratio_b >= (numbers->>'504.time_ratio')::float8
			THEN CASE WHEN m.new_certain THEN 'new' ELSE 'new?' END ELSE 'steady' END;
	ELSIF m.b IS NULL THEN
		RETURN CASE WHEN (m.a).total_duration_us >= 1e6 * (numbers->>'504.busy_s_per_h')::float8 * m.hours_a
				AND m.time_ratio_a >= (numbers->>'504.time_ratio')::float8
			THEN CASE WHEN m.gone_certain THEN 'gone' ELSE 'gone?' END ELSE 'steady' END;
	END IF;
	p95_rose := p95_b - p95_a >= (numbers->>'500.p95_gain_us')::float8;
	IF m.material AND m.excess_us > 0 AND (
		(m.compared AND p95_rose AND p95_b >= greatest((numbers->>'500.p95_factor')::float8, least_factor) * p95_a
			AND least(n_a, n_b) >= (numbers->>'500.p95_calls')::float8 AND m.hours_p95 >= enough)
		OR (m.compared AND avg_b >= greatest((numbers->>'500.avg_factor')::float8, least_factor) * avg_a
			AND least(n_a, n_b) >= (numbers->>'500.avg_calls')::float8 AND m.hours_avg >= enough)
		OR (NOT m.has_hours AND p95_rose AND least(n_a, n_b) >= (numbers->>'500.blind_calls')::float8
			AND avg_b >= (numbers->>'500.blind_factor')::float8 * avg_a
			AND p95_b >= (numbers->>'500.blind_factor')::float8 * p95_a)) THEN
		RETURN 'regressed';
	ELSIF n_b / m.hours_b >= (numbers->>'500.surge_factor')::float8 * n_a / m.hours_a
		AND n_b >= (numbers->>'500.surge_calls')::float8
		AND m.time_ratio_b - m.time_ratio_a >= (numbers->>'500.surge_ratio')::float8
		AND avg_b < (numbers->>'500.avg_factor')::float8 * avg_a THEN
		RETURN 'surged';
	ELSIF m.material AND m.excess_us < 0 AND avg_b <= (numbers->>'500.improved_factor')::float8 * avg_a AND (
		(m.compared AND least_factor * avg_b <= avg_a AND least(n_a, n_b) >= (numbers->>'500.avg_calls')::float8
			AND m.hours_better >= enough)
		OR (NOT m.has_hours AND least(n_a, n_b) >= (numbers->>'500.blind_calls')::float8
			AND (numbers->>'500.blind_factor')::float8 * avg_b <= avg_a)) THEN
		RETURN 'improved';
	END IF;
	RETURN 'steady';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_judge_change(record, jsonb) IS
'What became of a pattern (column change of chpg_compare), by a row of _chpg_measure_changes.
numbers: all thresholds, by rule and parameter, such as 500.hours.';

CREATE FUNCTION @extschema@.chpg_compare(
	baseline tstzrange,
	period tstzrange,
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	numbers jsonb := (
		SELECT jsonb_object_agg(substr(r.rule_id, 5) || '.' || r.parameter, coalesce(t.threshold, r.threshold))
		FROM @extschema@.chpg_rule r
		LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter);
	before @extschema@.chpg_period_pattern_row[];
	after @extschema@.chpg_period_pattern_row[];
BEGIN
	PERFORM @extschema@._chpg_check_period('baseline', baseline, NULL::tstzrange);
	PERFORM @extschema@._chpg_check_period('period', period, baseline);
	PERFORM @extschema@._chpg_history_warn();
	-- read first, so that the CONTEXT of an API error does not show the whole query below
	before := ARRAY(SELECT p FROM @extschema@.chpg_period_patterns(baseline, service, server) p);
	after := ARRAY(SELECT p FROM @extschema@.chpg_period_patterns(period, service, server) p);
	RETURN QUERY
	SELECT change, service_id, query_id, @extschema@.chpg_query_hex(query_id), db_name, db_user, db_operation, app,
		query_text,
		(a).call_count / (hours_a * 3600), (b).call_count / (hours_b * 3600), (a).avg_duration_us, (b).avg_duration_us,
		(a).p95_lo_us, (a).p95_hi_us, (b).p95_lo_us, (b).p95_hi_us, time_ratio_a, time_ratio_b, excess_us,
		CASE change WHEN 'regressed' THEN @extschema@._chpg_change_cause(a, b)
			WHEN 'improved' THEN (
				SELECT CASE cause WHEN 'more rows' THEN 'fewer rows' WHEN 'more blocks' THEN 'fewer blocks'
					WHEN 'colder cache' THEN 'warmer cache' WHEN 'waiting' THEN 'less waiting'
					WHEN 'computing' THEN 'less computing' ELSE cause END
				FROM @extschema@._chpg_change_cause(b, a) cause) END,
		greatest(hours_p95, hours_avg) || '/' || hours,
		CASE WHEN change IN ('new?', 'gone?', 'unknown') OR NOT has_hours THEN 'low'
			WHEN change = 'steady' AND (a).service_id IS NOT NULL AND (b).service_id IS NOT NULL AND NOT compared
				THEN 'low'
			WHEN baseline_hours < 24 OR hours_a < 24 OR truncated THEN 'medium'
			ELSE 'high' END
	FROM (
		SELECT m.*, @extschema@._chpg_judge_change(m, numbers) AS change
		FROM @extschema@._chpg_measure_changes(baseline, period, service, server, before, after) m
		OFFSET 0
	) judged
	ORDER BY abs(coalesce(excess_us, (b).total_duration_us, -(a).total_duration_us)) DESC NULLS LAST,
		greatest((a).total_duration_us, (b).total_duration_us) DESC NULLS LAST,
		service_id, query_id, db_name, db_user, db_operation, app;
	IF NOT FOUND THEN
		RAISE NOTICE 'neither the history nor the API has patterns of these periods'
			USING HINT = 'The history has the captured windows, the API the last one to seven days.';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_compare(tstzrange, tstzrange, text, text) IS
'What became of the slow query patterns between two periods, the greatest change first.
Patterns that changed alike come with the most time first.
Of one service, by id or name, or of all. Periods come from the history where it has them, else
  from the API.
Requests: none from the history, else as chpg_slow_patterns for each period.
Errors: 22004 a period is null; 22023 a period is empty or unbounded, or the baseline does not
  end before the period begins; those of chpg_slow_patterns.';
