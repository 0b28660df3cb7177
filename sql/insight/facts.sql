/* Insight: what rules over patterns read. */

/*
 * An execution of a batch takes minutes, and a backup reads everything: what is too slow or
 * too much for a request is as it should be there.
 */
CREATE FUNCTION @extschema@._chpg_is_backup(db_operation text, app text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(db_operation = 'COPY', false)
		OR coalesce(app ~* '^(pg_dump|pg_dumpall|pg_basebackup|pgbackrest|barman|wal-g)\M', false);
END;

COMMENT ON FUNCTION @extschema@._chpg_is_backup(text, text) IS
'Whether a pattern copies tables as a whole, as a backup or an export does.';

CREATE FUNCTION @extschema@._chpg_batch_patterns(scope @extschema@._chpg_scope)
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT DISTINCT s.service_id, k.query_id, k.db_name, k.db_user, k.db_operation, k.app
	FROM @extschema@._chpg_batches(ARRAY(
		SELECT i.service_key FROM service_key i WHERE i.service_id = ANY (scope.service_ids)), upper(scope.period)) b
	JOIN service_key s ON s.service_key = b.service_key
	JOIN pattern_key k ON k.pattern_key = b.pattern_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_batch_patterns(@extschema@._chpg_scope) IS
'The patterns that are batch jobs, by what the history has before the end of the period.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_judged_patterns(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS TABLE (pattern @extschema@.chpg_period_pattern_row, text_id integer, query_text text, is_batch boolean)
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT u.b, u.text_id, u.query_text,
		coalesce(u.is_batch, false) OR @extschema@._chpg_is_backup(p.db_operation, p.app)
			OR coalesce(p.avg_duration_us >= t.material_batch_avg_us AND p.call_count <= t.material_batch_calls_per_h
				* greatest(coalesce(h.hours, @extschema@._chpg_length_hours(scope)), 1), false)
	FROM unnest(pairs) u
	CROSS JOIN LATERAL (SELECT (u.b).*) p
	LEFT JOIN unnest(scope.period_hours) h ON h.service_id = p.service_id
	WHERE p.service_id IS NOT NULL AND p.query_id <> 0 AND p.call_count > 0
		AND NOT @extschema@._chpg_is_monitoring(p.app);
END;

COMMENT ON FUNCTION @extschema@._chpg_judged_patterns(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'The patterns that ran in the period, and which are batches.
Without the service''s own monitoring.
is_batch: it is a batch job, or a backup.
Requests: none.';

/* An execution without rows counts as one row in blks_per_row. */
CREATE FUNCTION @extschema@._chpg_pattern_facts(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text,
	query_text text, hours double precision, calls double precision, total_us double precision,
	avg_us double precision, time_ratio double precision, rows_per_call double precision,
	blks_per_call double precision, blks_per_row double precision, cpu_ratio double precision,
	wal_bytes double precision, wal_ratio double precision, aggregates boolean, is_batch boolean,
	name @extschema@._chpg_pattern_name, pattern_evidence jsonb)
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH judged AS MATERIALIZED (
		SELECT j.* FROM @extschema@._chpg_judged_patterns(t, scope, pairs) j
	), services AS (
		SELECT (j.pattern).service_id,
			nullif(sum((j.pattern).total_duration_us ORDER BY (j.pattern).total_duration_us), 0) AS total_us,
			nullif(sum((j.pattern).total_wal_bytes), 0)::float8 AS wal_bytes,
			coalesce(max(h.hours), @extschema@._chpg_length_hours(scope))::float8 AS hours
		FROM judged j
		LEFT JOIN unnest(scope.period_hours) h ON h.service_id = (j.pattern).service_id
		GROUP BY 1
	), counted AS MATERIALIZED (
		SELECT j.*, s.hours, (j.pattern).total_duration_us / s.total_us AS time_ratio,
			(j.pattern).total_wal_bytes / s.wal_bytes AS wal_ratio
		FROM judged j
		JOIN services s ON s.service_id = (j.pattern).service_id
		WHERE (j.pattern).total_duration_us >= t.material_total_us
			AND ((j.pattern).total_duration_us / s.total_us >= t.material_time_ratio
				OR (j.pattern).total_duration_us / 3.6e9 / s.hours >= t.material_active_executions)
	)
	SELECT f.*, n.name,
		@extschema@._chpg_pattern_evidence(n.name) || jsonb_build_object(
			'call_count', f.calls, 'avg_duration_us', round(f.avg_us::numeric, 1),
			'time_ratio', round(f.time_ratio::numeric, 4), 'rows_per_call', round(f.rows_per_call::numeric, 2),
			'blks_per_call', round(f.blks_per_call::numeric, 1), 'blks_per_row', round(f.blks_per_row::numeric, 1),
			'cpu_ratio', round(f.cpu_ratio::numeric, 3), 'wal_ratio', round(f.wal_ratio::numeric, 4))
	FROM (
		SELECT p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation, p.app, x.query_text, c.hours,
			p.call_count::float8 AS calls, p.total_duration_us, p.avg_duration_us AS avg_us, c.time_ratio,
			p.total_rows::float8 / p.call_count AS rows_per_call, b.blks / p.call_count AS blks_per_call,
			b.blks / greatest(p.total_rows, p.call_count, 1) AS blks_per_row,
			CASE WHEN p.total_cpu_time_us >= 0
				THEN least(p.total_cpu_time_us / nullif(p.total_duration_us, 0), 1) END AS cpu_ratio,
			coalesce(p.total_wal_bytes, 0)::float8 AS wal_bytes, c.wal_ratio,
			x.query_text ~* '\m(count|sum|avg|string_agg|array_agg|jsonb?_agg)\s*\(|\mgroup\s+by\M' AS aggregates,
			c.is_batch
		FROM counted c
		CROSS JOIN LATERAL (SELECT (c.pattern).*) p
		CROSS JOIN LATERAL (SELECT p.total_shared_blks_read + p.total_shared_blks_hit::float8 AS blks) b
		LEFT JOIN @extschema@._chpg_query_texts(ARRAY(
			SELECT DISTINCT i.text_id FROM counted i WHERE i.text_id IS NOT NULL)) q ON q.text_id = c.text_id
		CROSS JOIN LATERAL (SELECT coalesce(c.query_text, q.query_text) AS query_text) x
	) f
	CROSS JOIN LATERAL (
		SELECT ROW(NULL, f.query_id, NULL, f.db_name, f.db_user, f.db_operation, f.app,
			f.query_text)::@extschema@._chpg_pattern_name AS name) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_pattern_facts(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'The patterns that matter (see the thresholds "material"), with what rules judge.
time_ratio, wal_ratio: shares of the service''s time and WAL. aggregates: the text has an
  aggregate, so that it has to read what it sums up.
Requests: none.';
