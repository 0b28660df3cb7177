/*
 * rule: CHPG503 counters
 * title: Processes more per call
 * kind: incident
 * scope: change
 * place: 200
 * function: _chpg_find_changes
 * threshold: factor = 1.25 factor; How many times the expected rows, blocks or WAL of an execution.
 * threshold: score = 8 standard deviations; How far above the same hours of past days all hours since the onset
 *   are together.
 * threshold: rows_per_h = 5000 rows/h; Rows per hour that are more than expected ...
 * threshold: blks_per_h = 20000 blocks/h; ... or blocks ...
 * threshold: wal_bytes_per_h = 1048576 bytes/h; ... or WAL ...
 * threshold: ratio = 0.02 ratio; ... and their share of those of the service, or that of the pattern's time.
 * threshold: warn_factor = 1.25 factor; How many times the expected rows or blocks make a WARN.
 * threshold: warn_wal_factor = 1.25 factor; How many times the expected WAL makes a WARN.
 */
/* Rule CHPG503: executions that process more than before: rows, blocks, or WAL. */

CREATE FUNCTION @extschema@._chpg_find_counters(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], episodes @extschema@._chpg_episode[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH measured AS (
		SELECT e.*, j.service_id, j.end_time,
			CASE e.metric WHEN 'rows' THEN e.rows_factor WHEN 'blks' THEN e.blks_factor ELSE e.wal_factor END AS factor,
			CASE e.metric WHEN 'rows' THEN e.rows WHEN 'blks' THEN e.blks ELSE e.wal_bytes END AS total,
			CASE e.metric WHEN 'rows' THEN :rows_per_h WHEN 'blks' THEN :blks_per_h
				ELSE :wal_bytes_per_h END AS least_per_h
		FROM unnest(episodes) e
		JOIN unnest(judged) j ON j.service_key = e.service_key
		WHERE e.metric IN ('rows', 'blks', 'wal') AND e.score >= :score AND e.last_score >= 3
			AND e.baseline_hours >= :slower_few_hours AND e.hours >= 2
	), likely AS MATERIALIZED (
		SELECT m.*, m.total - m.total / greatest(m.factor, 1) AS more, s.total AS service_total, s.us AS service_us
		FROM measured m
		CROSS JOIN LATERAL (
			SELECT CASE m.metric WHEN 'rows' THEN sum(c.total_rows)::float8
				WHEN 'blks' THEN sum(c.total_shared_blks_read)::float8 + sum(c.total_shared_blks_hit)::float8
				ELSE sum(c.total_wal_bytes)::float8 END AS total, sum(c.statement_duration_us) AS us
			FROM capture c
			WHERE c.service_id = m.service_id AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= m.since AND c.window_start < m.end_time) s
		WHERE m.factor >= :factor
	), found AS MATERIALIZED (
		SELECT DISTINCT ON (l.service_key, l.pattern_key) l.*, l.more / nullif(l.service_total, 0) AS ratio,
			l.total / l.calls AS per_call, l.total / l.factor / l.calls AS usual_per_call
		FROM likely l
		WHERE l.more >= l.least_per_h * l.hours
			AND (l.more >= :ratio * l.service_total OR l.total_us >= :ratio * l.service_us)
		ORDER BY l.service_key, l.pattern_key, array_position('{wal,rows,blks}'::text[], l.metric)
	)
	SELECT 'CHPG503',
		CASE WHEN f.metric = 'wal' AND f.factor >= :warn_wal_factor
				OR f.metric IN ('rows', 'blks') AND f.factor >= :warn_factor THEN 'WARN' ELSE 'INFO' END,
		CASE f.metric WHEN 'wal' THEN 'Writes more WAL per call' WHEN 'rows' THEN 'More rows per call'
			ELSE 'Reads more blocks per call' END,
		f.service_id,
		format('%s per call, %s times the usual %s of these hours, for %s h; %s %% of the service''s %s',
			CASE f.metric WHEN 'wal' THEN @extschema@._chpg_bytes_text(f.per_call)
				ELSE @extschema@._chpg_count_text(f.per_call) || CASE f.metric WHEN 'rows'
					THEN ' rows' ELSE ' blocks' END END,
			@extschema@._chpg_factor_text(f.factor),
			CASE f.metric WHEN 'wal' THEN @extschema@._chpg_bytes_text(f.usual_per_call)
				ELSE @extschema@._chpg_count_text(f.usual_per_call) END,
			@extschema@._chpg_hours_between(f.since, f.end_time),
			round((100 * f.total / nullif(f.service_total, 0))::numeric, 1),
			CASE f.metric WHEN 'wal' THEN 'WAL' WHEN 'rows' THEN 'rows' ELSE 'blocks' END),
		@extschema@._chpg_pattern_evidence(n) || jsonb_build_object('change', 'more per call', 'counter', f.metric,
			'factor', round(f.factor::numeric, 2), 'per_call', round(f.per_call::numeric, 1),
			'usual_per_call', round(f.usual_per_call::numeric, 1), 'latest', round(f.latest::numeric, 1),
			'more', round(f.more::numeric), 'hours', f.hours,
			'score', round(f.score::numeric, 1)),
		CASE f.metric WHEN 'wal' THEN 'More rows or wider ones, another index, or full-page images after checkpoints.'
			WHEN 'rows' THEN 'The data grew, or a filter or a limit is gone.'
			ELSE 'Another plan, more data, or bloat.' END,
		CASE f.metric WHEN 'wal' THEN 'See wal_bytes and wal_fpi of chpg_slow_pattern_executions, and new indexes.'
			ELSE 'Compare EXPLAIN (ANALYZE, BUFFERS) with what it was; look for a deployment at that time.' END,
		NULL::float8, 'medium', @extschema@._chpg_pattern_finding_key('CHPG503'::text, f.service_id, n), 'incident',
			f.since,
		f.usual_per_call, f.per_call, CASE f.metric WHEN 'wal' THEN 'bytes' WHEN 'rows' THEN 'rows' ELSE 'blocks' END,
		NULL::text
	FROM found f
	JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT i.pattern_key FROM found i)) n ON n.pattern_key = f.pattern_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_counters(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_episode[]) IS
'Findings of patterns of which an execution has more rows, blocks or WAL than in past days.
Requests: none.
Errors: 55000 there is no history.';
