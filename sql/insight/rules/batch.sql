/*
 * rule: CHPG505 batch
 * title: A job takes longer than its earlier runs
 * kind: incident
 * scope: change
 * ends: run
 * place: 220
 * function: _chpg_find_changes
 * needs: executions, durations
 * threshold: runs = 4 days; Earlier days with a run to compare with.
 * threshold: factor = 1.6 factor; How many times the median of earlier runs ...
 * threshold: max_factor = 1.3 factor; ... and the longest of the last fourteen of them ...
 * threshold: score = 4 standard deviations; ... and how many standard deviations above it ...
 * threshold: score_of_jobs = 0.3 standard deviations; ... and this for ln(jobs of the service): one of many is long.
 * threshold: more_factor = 1.25 factor; The same of a run that processes more rows, blocks or WAL than all of those ...
 * threshold: more_score = 5 standard deviations; ... with the standard deviations of both together.
 * threshold: excess_us = 30000000 us; Time by which it is longer, in microseconds.
 */
/* Rules CHPG505 and CHPG506: batch jobs that take longer than their own earlier runs, and runs that are missing. */

/*
 * A run is an execution, or all executions of a day of a job that has many.  The latter is
 * judged once the job is over.  What does not run by a schedule, such as a report that somebody
 * wants now and then, has long executions by chance: the longest one does not count.
 */
CREATE FUNCTION @extschema@._chpg_find_batches(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], recent @extschema@._chpg_hour_score[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	end_time CONSTANT timestamptz := (SELECT max(j.end_time) FROM unnest(judged) j);
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH job AS MATERIALIZED (
		SELECT b.*, j.service_id, j.end_time
		FROM @extschema@._chpg_batches(ARRAY(SELECT j.service_key FROM unnest(judged) j), end_time) b
		JOIN unnest(judged) j ON j.service_key = b.service_key
		WHERE b.runs > :runs
	), run AS (
		SELECT j.service_key, j.pattern_key, j.service_id, j.end_time, d."time" AS day, d.call_count,
			d.total_duration_us,
			bool_and(d.call_count <= 4 * d.hours) OVER w AS is_single,
			avg((d.call_count <= 4 * d.hours OR d.hours <= 4)::integer) OVER w AS job_ratio,
			least(greatest(d.total_duration_us, 1), 1e18) AS day_us, d.hours, d.max_duration_us,
			greatest(d.total_rows, 0)::float8 AS rows, greatest(d.total_wal_bytes, 0)::float8 AS wal,
			greatest(d.total_shared_blks_read, 0)::float8 + greatest(d.total_shared_blks_hit, 0)::float8 AS blks,
			row_number() OVER (PARTITION BY j.service_key, j.pattern_key ORDER BY d."time" DESC) AS place
		FROM (
			-- all days of the services at once
			SELECT d.*
			FROM day_sum d
			WHERE d.service_key = ANY (ARRAY(SELECT DISTINCT i.service_key FROM job i))
				AND d."time" >= end_time - interval '35 days' AND d."time" < end_time
				AND d.call_count > 0 AND d.total_duration_us > 0
			OFFSET 0
		) d
		JOIN job j ON j.service_key = d.service_key AND j.pattern_key = d.pattern_key
		WINDOW w AS (PARTITION BY j.service_key, j.pattern_key)
	), measured AS (
		SELECT r.*, r.day_us / n.runs AS run_us, ln(1 + r.rows / n.runs) AS ln_rows, ln(1 + r.wal / n.runs) AS ln_wal,
			ln(1 + r.blks / n.runs) AS ln_blks
		FROM run r
		CROSS JOIN LATERAL (SELECT CASE WHEN r.is_single THEN r.call_count ELSE 1 END::float8 AS runs) n
	), earlier AS MATERIALIZED (
		SELECT m.service_key, m.pattern_key, count(*) AS runs,
			coalesce(stddev_samp(m.call_count), 0) <= 0.4 * sqrt(avg(m.call_count))
				AND (count(*) >= 0.5 * (extract(epoch FROM max(m.day) - min(m.day)) / 86400 + 1)
					OR count(DISTINCT extract(isodow FROM m.day)) = 1) AS is_scheduled,
			avg(m.ln_rows) AS ln_rows, stddev_samp(m.ln_rows) AS rows_spread, max(m.ln_rows) AS max_rows,
			avg(m.ln_blks) AS ln_blks, stddev_samp(m.ln_blks) AS blks_spread, max(m.ln_blks) AS max_blks,
			avg(m.ln_wal) AS ln_wal, stddev_samp(m.ln_wal) AS wal_spread, max(m.ln_wal) AS max_wal,
			percentile_cont('{0.16,0.5,0.84}'::float8[]) WITHIN GROUP (ORDER BY ln(m.run_us)) AS q,
			coalesce(stddev_samp(ln(m.run_us)) FILTER (WHERE m.place > 3), 0) AS deviation,
				max(m.run_us) FILTER (WHERE m.place BETWEEN 3 AND 16) AS max_us
		FROM measured m
		WHERE m.place > 1
		GROUP BY m.service_key, m.pattern_key
	), last AS MATERIALIZED (
		SELECT m.*, :score_of_jobs * ln(n.jobs) AS least_score, e.runs, e.max_us, exp(e.q[2]) AS usual_us,
			e.q[2] AS ln_usual, e.is_scheduled,
			greatest((e.q[3] - e.q[1]) / 2 * (1 + 2.0::float8 / e.runs), e.deviation, 0.12) AS spread,
			-- processes more than all of them, and how far
			greatest(CASE WHEN m.ln_rows >= e.max_rows + 0.1
					THEN (m.ln_rows - e.ln_rows) / greatest(e.rows_spread, 0.06) END,
				CASE WHEN m.ln_blks >= e.max_blks + 0.1
					THEN (m.ln_blks - e.ln_blks) / greatest(e.blks_spread, 0.06) END,
				CASE WHEN m.ln_wal >= e.max_wal + 0.1
					THEN (m.ln_wal - e.ln_wal) / greatest(e.wal_spread, 0.06) END, 0)
				AS more_score
		FROM measured m
		JOIN earlier e ON e.service_key = m.service_key AND e.pattern_key = m.pattern_key
		JOIN (SELECT i.service_key, count(*) AS jobs FROM job i GROUP BY i.service_key) n
			ON n.service_key = m.service_key
		WHERE m.place = 1 AND m.job_ratio >= 0.8 AND m.day >= date_trunc('day', m.end_time - interval '24 hours', 'UTC')
			AND e.runs >= :runs AND m.run_us >= :more_factor * exp(e.q[2])
			AND m.run_us - exp(e.q[2]) >= :excess_us
	), compared AS MATERIALIZED (
		-- what the whole service was slower by in these hours is no matter of the job
		SELECT l.*, l.judged_us / l.usual_us AS factor, (ln(l.judged_us) - l.ln_usual) / l.spread AS score
		FROM (
			SELECT i.*, greatest(CASE WHEN i.is_scheduled THEN i.run_us
				WHEN i.is_single THEN (i.day_us - i.max_duration_us) / greatest(i.call_count - 1, 1)
				ELSE i.day_us - i.max_duration_us END, 1) / exp(greatest(coalesce(s.common, 0), 0)) AS judged_us
			FROM last i
			CROSS JOIN LATERAL (SELECT max(f.common) AS common
				FROM @extschema@._chpg_service_factors(ARRAY[i.service_key], i.day, i.day + interval '24 hours') f
				WHERE f.window_start IN (SELECT h.window_start FROM @extschema@._chpg_pair_calls(ARRAY[i.service_key],
					ARRAY[i.pattern_key], i.day, i.day + interval '24 hours') h WHERE h.call_count > 0)) s
		) l
	), found AS MATERIALIZED (
		SELECT c.*
		FROM compared c
		WHERE c.judged_us - c.usual_us >= :excess_us
			AND (c.factor >= :factor AND c.judged_us >= :max_factor * c.max_us AND c.score >= :score + c.least_score
				OR c.factor >= :more_factor AND c.judged_us >= c.max_us AND c.score > 0
					AND sqrt(c.score * c.score + c.more_score * c.more_score) >= :more_score + c.least_score)
			AND (c.is_single OR NOT EXISTS (SELECT FROM unnest(recent) r
				WHERE r.service_key = c.service_key AND r.pattern_key = c.pattern_key AND r.call_count > 0
					AND r.window_start = c.end_time - interval '1 hour'))
	)
	SELECT 'CHPG505', CASE WHEN f.runs >= 7 OR f.factor >= 2 THEN 'WARN' ELSE 'INFO' END,
		'A job takes longer than its earlier runs', f.service_id,
		format('%s, %s times the usual %s of %s earlier days', @extschema@._chpg_duration_text(f.run_us),
			@extschema@._chpg_factor_text(f.factor), @extschema@._chpg_duration_text(f.usual_us), f.runs),
		@extschema@._chpg_pattern_evidence(n) || jsonb_build_object('change', 'slower run',
			'run_us', round(f.run_us::numeric), 'usual_run_us', round(f.usual_us::numeric),
			'longest_run_us', round(f.max_us::numeric), 'factor', round(f.factor::numeric, 2), 'runs', f.runs,
			'score', round(f.score::numeric, 1), 'excess_us', round((f.run_us - f.usual_us)::numeric)),
		'More data, another plan, locks, or a colder cache.',
		'Compare the rows that it processes, and EXPLAIN (ANALYZE, BUFFERS) with what it was.',
		f.run_us - f.usual_us, CASE WHEN f.runs >= 7 THEN 'high' ELSE 'medium' END,
		@extschema@._chpg_pattern_finding_key('CHPG505'::text, f.service_id, n), 'incident', s.since, f.usual_us,
			f.run_us,
		'us', NULL::text
	FROM found f
	JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT i.pattern_key FROM found i)) n ON n.pattern_key = f.pattern_key
	CROSS JOIN LATERAL (SELECT coalesce(min(h.window_start), f.day) AS since
		FROM @extschema@._chpg_pair_calls(ARRAY[f.service_key], ARRAY[f.pattern_key], f.day,
			least(f.day + interval '24 hours', f.end_time)) h
		WHERE h.call_count > 0) s;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_batches(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_hour_score[]) IS
'Findings of batch jobs whose last run took longer than their own earlier ones.
Requests: none.
Errors: 55000 there is no history.';
