/* Insight: the patterns of the history that have the most of something. */

/*
 * One counter is summed by key for all patterns, and everything else for the first n alone.
 * Those are found by what was captured; counters that are missing are extrapolated after.
 * The API records most errors under the query id 0, apart from the statements that raised
 * them.  Its other counters would stand for no query.
 */
CREATE FUNCTION @extschema@.chpg_history_top(
	period tstzrange,
	service text DEFAULT NULL,
	n integer DEFAULT 20,
	by text DEFAULT 'total_duration_us',
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	counters CONSTANT text[] := '{call_count,error_count,total_duration_us,total_rows,total_shared_blks_read,
		total_shared_blks_hit,total_cpu_time_us,total_wal_bytes}';
	id text;
	top jsonb := '[]';
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	IF n IS NULL OR by IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN n IS NULL THEN 'n' ELSE 'by' END
			USING ERRCODE = 'null_value_not_allowed';
	ELSIF n NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION 'invalid value for "n": %', n
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the number of patterns, from 1 to 1000.';
	ELSIF by <> ALL (counters) THEN
		RAISE EXCEPTION 'invalid value for "by": "%"', by
			USING ERRCODE = 'invalid_parameter_value',
				HINT = format('Give one of %s.', array_to_string(counters, ', '));
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	FOR id IN SELECT s.service_id FROM @extschema@._chpg_history_services(service, server, true) s LOOP
		PERFORM @extschema@._chpg_history_enter();
		EXECUTE format($top$
			SELECT jsonb_agg(t)
			FROM (
				SELECT $2 AS service_id, array_agg(s.pattern_key) AS keys, sum(s.counted) AS counted
				FROM (
					SELECT p.pattern_key, sum(p.%1$I::double precision) AS counted
					FROM service_key sk
					JOIN @extschema@._chpg_window_hour() p USING (service_key)
					WHERE sk.service_id = $2 AND p.window_start >= lower($3)
						AND p.window_start <= upper($3) - interval '1 hour'
					GROUP BY p.pattern_key
				) s
				CROSS JOIN LATERAL (SELECT k.* FROM pattern_key k WHERE k.pattern_key = s.pattern_key OFFSET 0) k
				WHERE k.query_id <> 0 OR $5 = 'error_count'
				GROUP BY k.query_id, k.db_name, k.db_user, k.db_operation, k.app
				UNION ALL
				SELECT * FROM jsonb_to_recordset($1) f(service_id text, keys integer[], counted float8)
				ORDER BY counted DESC NULLS LAST
				LIMIT $4
			) t
		$top$, by)
		INTO top USING top, id, period, n, by;
	END LOOP;
	IF top = '[]' OR top IS NULL THEN
		RAISE NOTICE 'the history has no patterns of whole hours within "%"', period
			USING HINT = 'The view coverage of the history shows which hours it has.';
		RETURN;
	END IF;
	RETURN QUERY
	WITH chosen AS MATERIALIZED (
		SELECT f.place, p.pattern, p.text_id
		FROM ROWS FROM (jsonb_to_recordset(top) AS (service_id text, keys integer[]))
			WITH ORDINALITY f(service_id, keys, place)
		CROSS JOIN LATERAL @extschema@._chpg_sum_patterns(f.service_id, period, f.keys) p
	)
	SELECT w.*
	FROM chosen c
	LEFT JOIN @extschema@._chpg_query_texts(ARRAY(SELECT i.text_id FROM chosen i)) q ON q.text_id = c.text_id
	CROSS JOIN LATERAL @extschema@._chpg_with_text(c.pattern, q.query_text) w
	ORDER BY c.place;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_top(tstzrange, text, integer, text, text) IS
'The n slow query patterns of a period of the history with the greatest total of a counter.
Of one service, by id or name, or of all. Captured hours count that lie wholly in the period;
  a NOTICE says if there are none.
by: call_count, error_count, total_duration_us, total_rows, total_shared_blks_read,
  total_shared_blks_hit, total_cpu_time_us or total_wal_bytes.
The pattern without a query id (0) counts for error_count alone: the API records errors there.
Requests: none.
Errors: 22004 period, n or by is null; 22023 period is empty or unbounded, or n or by cannot be
  used; 42704 no such service; 55000 there is no history, or it cannot be used.';
