/* Insight: what changed between two periods. */

CREATE TYPE @extschema@.chpg_change_row AS (
	change text,
	service_id text,
	service_name text,
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
	since timestamptz,
	confidence text
);

COMMENT ON TYPE @extschema@.chpg_change_row IS 'What became of a pattern between two windows.';
COMMENT ON COLUMN @extschema@.chpg_change_row.change IS
'new, gone, regressed, improved, surged (more executions, no slower), steady or unknown (no data of the service '
'in a period). new? and gone?: the other period may only not show the pattern.';
COMMENT ON COLUMN @extschema@.chpg_change_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_change_row.service_name IS
'Name of the service; null if neither the history nor the list of services has one.';
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
'Time lost in the period, compared with the baseline''s mean time, in microseconds; negative where time was gained. '
'Of a regressed pattern: time lost in its latest hours, if that is more.';
COMMENT ON COLUMN @extschema@.chpg_change_row.cause IS
'What explains a change in time: more or fewer rows or blocks, colder or warmer cache, waiting, computing, or '
'mixed.';
COMMENT ON COLUMN @extschema@.chpg_change_row.hours_worse IS
'Hours of the period above the 90th percentile of the baseline''s hours, of all, such as 3/24; null without a '
'history.';
COMMENT ON COLUMN @extschema@.chpg_change_row.since IS
'Of a regressed pattern: start of the hours that are all worse, up to its latest one, if they are at least three.';
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

CREATE FUNCTION @extschema@._chpg_is_colder(reads_before double precision, hits_before double precision,
	reads double precision, hits double precision)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT reads / nullif(reads + hits, 0) >= 1.5 * reads_before / nullif(reads_before + hits_before, 0) + 0.0005;
END;

COMMENT ON FUNCTION @extschema@._chpg_is_colder(double precision, double precision, double precision,
	double precision) IS
'Whether clearly more of the blocks come from storage than before.
Null if a share is not known.';

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
		WHEN y.hit_ratio < x.hit_ratio - 0.05 AND y.reads - x.reads >= 1
			OR @extschema@._chpg_is_colder(x.reads, x.blks - x.reads, y.reads, y.blks - y.reads)
				AND y.avg_us - x.avg_us <= 1e4 * (y.reads - x.reads)
			THEN 'colder cache'
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

CREATE FUNCTION @extschema@._chpg_load_change(of_service text, hours tstzrange, baseline tstzrange)
RETURNS double precision
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (
		WITH counted AS (
			SELECT c.window_start, c.call_count::float8 AS calls
			FROM capture c
			WHERE c.service_id = of_service AND c.grain = 'hour' AND c.status = 'ok' AND c.call_count >= 0
				AND (c.window_start <@ hours OR c.window_start <@ baseline)
		)
		SELECT avg(c.calls) FILTER (WHERE c.window_start <@ hours)
			/ nullif(avg(c.calls) FILTER (WHERE c.window_start <@ baseline), 0)
		FROM counted c
		WHERE extract(epoch FROM c.window_start) % 86400 IN (
			SELECT extract(epoch FROM d.window_start) % 86400 FROM counted d WHERE d.window_start <@ hours));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_load_change(text, tstzrange, tstzrange) IS
'Executions of a service in some hours, by those in the baseline at these times of day.
Null if the history has none of either.
Requests: none.
Errors: 55000 there is no history.';

/*
 * A regression of the last hours of a day is not one of three quarters of its hours.  Three
 * hours in a row are worse by chance one time in a thousand, and often at the time of day when
 * a pattern is slowest: so they are compared with the baseline's same times of day, too.  The
 * time lost has to be more than two long executions take.
 *
 * A Monday has far more load than the Sunday before it, which makes patterns slower, but not
 * twice as slow.
 */
CREATE FUNCTION @extschema@._chpg_latest_change(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	a @extschema@.chpg_period_pattern_row, b @extschema@.chpg_period_pattern_row,
	latest @extschema@._chpg_latest_hours[], baseline_hours bigint, service_us_per_h double precision)
RETURNS @extschema@._chpg_latest_hours
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	least_factor CONSTANT double precision := CASE WHEN baseline_hours >= t.change_baseline_hours THEN 1
		ELSE t.change_blind_factor END;
	l @extschema@._chpg_latest_hours;
	usual_us double precision;
	seen_us double precision;
	calls double precision;
BEGIN
	FOR place IN 1 .. 2 LOOP
		l := latest[place];
		CONTINUE WHEN (l.hours >= t.change_hours) IS NOT TRUE;
		usual_us := CASE place WHEN 1 THEN greatest(a.avg_duration_us, l.same_avg_us)
			ELSE greatest(a.p95_est_us, l.same_p95_us) END;
		seen_us := CASE place WHEN 1 THEN l.avg_duration_us ELSE l.p95_duration_us END;
		calls := least(a.call_count, l.call_count);
		CONTINUE WHEN (l.call_count * (l.avg_duration_us - greatest(a.avg_duration_us, l.same_avg_us)) >= greatest(
				t.change_excess_us, t.change_excess_ratio * service_us_per_h * l.hours, 2 * b.max_duration_us)
			AND CASE place
				WHEN 1 THEN calls >= t.change_avg_calls
					AND seen_us >= greatest(t.change_avg_factor, least_factor) * usual_us
				ELSE calls >= t.change_p95_calls AND seen_us - usual_us >= t.change_p95_gain_us
					AND seen_us >= greatest(t.change_p95_factor, least_factor) * usual_us END) IS NOT TRUE;
		IF seen_us >= t.change_blind_factor * usual_us THEN
			RETURN l;
		ELSIF (@extschema@._chpg_load_change(b.service_id, tstzrange(l.since, upper(scope.period)), scope.baseline)
				>= t.change_load_factor) IS NOT TRUE THEN
			RETURN l;
		END IF;
	END LOOP;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_latest_change(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@.chpg_period_pattern_row, @extschema@.chpg_period_pattern_row, @extschema@._chpg_latest_hours[],
	bigint, double precision) IS
'The latest hours of a pattern, if they are a regression; else null.
latest: those with a worse mean, and those with a worse 95th percentile.
service_us_per_h: time of the service in an hour of the period, in microseconds.
Requests: none.';

/*
 * Patterns without a query id, and those of the service's own monitoring, are left out.
 * A pattern of one period only is certain to be new, or gone, if the other period is known
 * well enough to show it: by its hours, or by how often the pattern runs.
 *
 * With one or two hours of a period, patterns are judged as without a history.
 */
CREATE FUNCTION @extschema@._chpg_measure_changes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS TABLE (service_id text, a @extschema@.chpg_period_pattern_row, b @extschema@.chpg_period_pattern_row,
	text_id integer, query_text text, time_ratio_a float8, time_ratio_b float8, has_hours boolean,
	hours bigint, hours_p95 bigint, hours_avg bigint, hours_better bigint, baseline_hours bigint,
	latest @extschema@._chpg_latest_hours, since timestamptz, compared boolean, hours_a float8, hours_b float8,
	new_certain boolean, gone_certain boolean, truncated boolean, excess_us float8, material boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	length_a double precision := extract(epoch FROM upper(scope.baseline) - lower(scope.baseline)) / 3600;
	length_b double precision := extract(epoch FROM upper(scope.period) - lower(scope.period)) / 3600;
	history_a boolean := cardinality(scope.baseline_hours) > 0;
	history_b boolean := cardinality(scope.period_hours) > 0;
BEGIN
	RETURN QUERY
	WITH counted AS (
		SELECT coalesce((p.a).service_id, (p.b).service_id) AS service_id, p.*
		FROM unnest(pairs) p
		WHERE coalesce((p.a).query_id, (p.b).query_id) <> 0
			AND NOT @extschema@._chpg_is_monitoring(coalesce((p.a).app, (p.b).app))
	), services AS (
		-- in an order, for the last digits of a sum depend on that, and a plan may change it
		SELECT c.service_id,
			nullif(sum((c.a).total_duration_us ORDER BY (c.a).total_duration_us), 0) AS total_us_a,
			nullif(sum((c.b).total_duration_us ORDER BY (c.b).total_duration_us), 0) AS total_us_b,
			CASE WHEN history_a THEN max(ha.hours) WHEN count((c.a).service_id) > 0 THEN length_a END AS hours_a,
			CASE WHEN history_b THEN max(hb.hours) WHEN count((c.b).service_id) > 0 THEN length_b END AS hours_b,
			max(ha.cutoff_us) AS cutoff_a, max(hb.cutoff_us) AS cutoff_b
		FROM counted c
		LEFT JOIN unnest(scope.baseline_hours) ha USING (service_id)
		LEFT JOIN unnest(scope.period_hours) hb USING (service_id)
		GROUP BY c.service_id
	)
	SELECT c.service_id, c.a, c.b, c.text_id, c.query_text, r.a, r.b, k.known, k.hours, c.hours_p95, c.hours_avg,
		c.hours_better, c.baseline_hours,
		CASE WHEN k.known THEN @extschema@._chpg_latest_change(t, scope, c.a, c.b, ARRAY[c.latest_avg, c.latest_p95],
			c.baseline_hours, s.total_us_b / s.hours_b) END,
		CASE WHEN k.known THEN least((c.latest_avg).since, (c.latest_p95).since) END,
		coalesce(k.hours, 0) >= t.change_hours, s.hours_a, s.hours_b,
		NOT coalesce(s.cutoff_a > (c.b).total_duration_us / s.hours_b, false) AND s.hours_a >= 0.75 * length_a
			AND (s.hours_a >= 24 OR (history_b AND (c.b).buckets / s.hours_b * s.hours_a >= 3)),
		NOT coalesce(s.cutoff_b > (c.a).total_duration_us / s.hours_a, false) AND s.hours_b >= 0.75 * length_b
			AND (NOT history_a OR s.hours_a >= 24)
			AND (s.hours_b >= 24 OR (history_a AND (c.a).buckets / s.hours_a * s.hours_b >= 3)),
		s.cutoff_a IS NOT NULL OR s.cutoff_b IS NOT NULL,
		e.excess_us, abs(e.excess_us) >= greatest(t.change_excess_us,
			t.change_excess_ratio * (c.b).total_duration_us / nullif(r.b, 0))
	FROM counted c
	JOIN services s USING (service_id)
	CROSS JOIN LATERAL (SELECT (c.a).total_duration_us / s.total_us_a AS a,
		(c.b).total_duration_us / s.total_us_b AS b) r
	CROSS JOIN LATERAL (SELECT y.known, CASE WHEN y.known THEN c.hours END AS hours
		FROM (SELECT history_a AND history_b
			AND coalesce(least(s.hours_a, s.hours_b) >= t.change_hours, true) AS known) y) k
	CROSS JOIN LATERAL (
		SELECT (c.b).call_count * ((c.b).avg_duration_us - (c.a).avg_duration_us) AS excess_us) e;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_measure_changes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'The patterns of two periods (a and b) with what _chpg_judge_change looks at.
Requests: none.';

/*
 * If nothing changed, an hour of the period is above the 90th percentile of the baseline's
 * hours one time in ten; three of three hours are so one time in a thousand.  With few
 * baseline hours that percentile is the greatest of them, and without a history there are
 * no hours: then only a much slower, or faster, pattern counts.  With too few executions
 * nothing counts, for a single long one would do.  CHPG500 has the thresholds.
 */
CREATE FUNCTION @extschema@._chpg_judge_change(t @extschema@._chpg_thresholds, m record)
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
	enough CONSTANT double precision := greatest(t.change_hours,
		ceil(t.change_hours_ratio * m.hours));
	least_factor CONSTANT double precision := CASE
		WHEN m.baseline_hours >= t.change_baseline_hours THEN 1
		ELSE t.change_blind_factor END;
	p95_rose boolean;
BEGIN
	IF m.hours_a IS NULL OR m.hours_b IS NULL THEN
		RETURN 'unknown';
	ELSIF m.a IS NULL THEN
		RETURN CASE WHEN (m.b).total_duration_us >= 1e6 * t.new_heavy_busy_s_per_h * m.hours_b
				AND m.time_ratio_b >= t.new_heavy_time_ratio
			THEN CASE WHEN m.new_certain THEN 'new' ELSE 'new?' END ELSE 'steady' END;
	ELSIF m.b IS NULL THEN
		RETURN CASE WHEN (m.a).total_duration_us >= 1e6 * t.new_heavy_busy_s_per_h * m.hours_a
				AND m.time_ratio_a >= t.new_heavy_time_ratio
			THEN CASE WHEN m.gone_certain THEN 'gone' ELSE 'gone?' END ELSE 'steady' END;
	END IF;
	p95_rose := p95_b - p95_a >= t.change_p95_gain_us;
	IF m.material AND m.excess_us > 0 AND (
		(m.compared AND p95_rose AND p95_b >= greatest(t.change_p95_factor, least_factor) * p95_a
			AND least(n_a, n_b) >= t.change_p95_calls AND m.hours_p95 >= enough)
		OR (m.compared AND avg_b >= greatest(t.change_avg_factor, least_factor) * avg_a
			AND least(n_a, n_b) >= t.change_avg_calls AND m.hours_avg >= enough)
		OR (NOT m.has_hours AND p95_rose AND least(n_a, n_b) >= t.change_blind_calls
			AND avg_b >= t.change_blind_factor * avg_a
			AND p95_b >= t.change_blind_factor * p95_a)) THEN
		RETURN 'regressed';
	ELSIF (m.latest).hours > 0 THEN
		RETURN 'regressed';
	ELSIF n_b / m.hours_b >= t.change_surge_factor * n_a / m.hours_a
		AND n_b >= t.change_surge_calls
		AND m.time_ratio_b - m.time_ratio_a >= t.change_surge_ratio
		AND avg_b < t.change_avg_factor * avg_a THEN
		RETURN 'surged';
	ELSIF m.material AND m.excess_us < 0 AND avg_b <= t.change_improved_factor * avg_a AND (
		(m.compared AND least_factor * avg_b <= avg_a AND least(n_a, n_b) >= t.change_avg_calls
			AND m.hours_better >= enough)
		OR (NOT m.has_hours AND least(n_a, n_b) >= t.change_blind_calls
			AND t.change_blind_factor * avg_b <= avg_a)) THEN
		RETURN 'improved';
	END IF;
	RETURN 'steady';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_judge_change(@extschema@._chpg_thresholds, record) IS
'What became of a pattern (column change of chpg_compare), by a row of _chpg_measure_changes.';

CREATE FUNCTION @extschema@._chpg_changes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[], kinds text[])
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH judged AS MATERIALIZED (
		SELECT j.*
		FROM (
			SELECT m.*, @extschema@._chpg_judge_change(t, m) AS change
			FROM @extschema@._chpg_measure_changes(t, scope, pairs) m
			OFFSET 0
		) j
		WHERE kinds IS NULL OR j.change = ANY (kinds)
	)
	SELECT j.change, j.service_id, coalesce((j.b).service_name, (j.a).service_name), n.query_id,
		@extschema@.chpg_query_hex(n.query_id), n.db_name, n.db_user, n.db_operation, n.app,
		coalesce(j.query_text, q.query_text),
		(j.a).call_count / (j.hours_a * 3600), (j.b).call_count / (j.hours_b * 3600),
		(j.a).avg_duration_us, (j.b).avg_duration_us, (j.a).p95_lo_us, (j.a).p95_hi_us, (j.b).p95_lo_us,
		(j.b).p95_hi_us, j.time_ratio_a, j.time_ratio_b, x.excess_us,
		CASE j.change WHEN 'regressed' THEN @extschema@._chpg_change_cause(j.a, j.b)
			WHEN 'improved' THEN (
				SELECT CASE cause WHEN 'more rows' THEN 'fewer rows' WHEN 'more blocks' THEN 'fewer blocks'
					WHEN 'colder cache' THEN 'warmer cache' WHEN 'waiting' THEN 'less waiting'
					WHEN 'computing' THEN 'less computing' ELSE cause END
				FROM @extschema@._chpg_change_cause(j.b, j.a) cause) END,
		greatest(j.hours_p95, j.hours_avg) || '/' || j.hours,
		CASE j.change WHEN 'regressed' THEN j.since END,
		CASE WHEN j.change IN ('new?', 'gone?', 'unknown') OR NOT j.has_hours THEN 'low'
			WHEN j.change = 'steady' AND (j.a).service_id IS NOT NULL AND (j.b).service_id IS NOT NULL
				AND NOT j.compared THEN 'low'
			WHEN j.baseline_hours < 24 OR j.hours_a < 24 OR j.truncated THEN 'medium'
			ELSE 'high' END
	FROM judged j
	CROSS JOIN LATERAL (
		SELECT coalesce((j.b).query_id, (j.a).query_id) AS query_id, coalesce((j.b).db_name, (j.a).db_name) AS db_name,
			coalesce((j.b).db_user, (j.a).db_user) AS db_user,
			coalesce((j.b).db_operation, (j.a).db_operation) AS db_operation, coalesce((j.b).app, (j.a).app) AS app) n
	CROSS JOIN LATERAL (
		SELECT CASE j.change WHEN 'regressed' THEN greatest(j.excess_us,
			(j.latest).call_count * ((j.latest).avg_duration_us - (j.a).avg_duration_us))
			ELSE j.excess_us END AS excess_us) x
	LEFT JOIN @extschema@._chpg_query_texts(ARRAY(
		SELECT DISTINCT i.text_id FROM judged i WHERE i.text_id IS NOT NULL)) q USING (text_id)
	ORDER BY abs(coalesce(x.excess_us, (j.b).total_duration_us, -(j.a).total_duration_us)) DESC NULLS LAST,
		greatest((j.a).total_duration_us, (j.b).total_duration_us) DESC NULLS LAST,
		j.service_id, n.query_id, n.db_name, n.db_user, n.db_operation, n.app;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_changes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[], text[]) IS
'What became of patterns, the greatest change first.
kinds: only these (column change of chpg_compare); null: all.
Requests: none.';

CREATE FUNCTION @extschema@.chpg_compare(
	baseline tstzrange,
	period tstzrange,
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t CONSTANT @extschema@._chpg_thresholds := @extschema@._chpg_thresholds();
	scope @extschema@._chpg_scope;
	pairs @extschema@._chpg_pattern_pair[];
	gap record;
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM @extschema@._chpg_check_period('baseline', baseline, NULL::tstzrange);
	PERFORM @extschema@._chpg_check_period('period', period, baseline);
	PERFORM @extschema@._chpg_history_warn();
	scope := @extschema@._chpg_scope_of(baseline, period, service, server);
	FOR gap IN
		SELECT g.name, max(h.hours) AS known, floor(extract(epoch FROM upper(g.asked) - lower(g.asked)) / 3600) AS hours
		FROM (VALUES ('baseline', scope.baseline, scope.baseline_hours),
			('period', scope.period, scope.period_hours)) g(name, asked, known)
		CROSS JOIN LATERAL unnest(g.known) h
		GROUP BY g.name, g.asked
		HAVING 2 * max(h.hours) < floor(extract(epoch FROM upper(g.asked) - lower(g.asked)) / 3600)
		ORDER BY g.name
	LOOP
		RAISE NOTICE 'the history has % of % hours of the %', gap.known, gap.hours, gap.name
			USING DETAIL = 'Rates and means are those of these hours.';
	END LOOP;
	pairs := ARRAY(SELECT p FROM @extschema@._chpg_pairs_of(scope, t.change_calls_of_hour) p);
	RETURN QUERY SELECT * FROM @extschema@._chpg_changes(t, scope, pairs, NULL::text[]);
	IF NOT FOUND THEN
		RAISE NOTICE 'neither the history nor the API has patterns of these periods'
			USING HINT = 'The history has the captured windows, the API the last one to seven days.';
	END IF;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	message := CASE WHEN @extschema@._chpg_is_refusal(SQLSTATE) THEN
		@extschema@._chpg_raise(SQLSTATE, message, nullif(detail, ''), nullif(hint, ''), NULL::text) END;
	RAISE;
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
