/* Insight: the patterns of the history that have the most of something. */

/*
 * One counter is summed by key for all patterns, by days (UTC) where the period has whole
 * ones, and everything else for the first n alone.  Those are found by what was captured;
 * counters that are missing are extrapolated after.  The API records most errors under the
 * query id 0, apart from the statements that raised them.  Its other counters would stand for
 * no query.
 */
CREATE FUNCTION @extschema@.chpg_history_top(
	period tstzrange,
	service text DEFAULT NULL,
	n integer DEFAULT 20,
	order_by text DEFAULT 'total_duration_us',
	services text[] DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	counter CONSTANT text := CASE lower(order_by) WHEN 'time' THEN 'total_duration_us' WHEN 'calls' THEN 'call_count'
		WHEN 'errors' THEN 'error_count' ELSE lower(order_by) END;
	counters CONSTANT text[] := '{call_count,error_count,total_duration_us,total_rows,total_shared_blks_read,
		total_shared_blks_hit,total_cpu_time_us,total_wal_bytes}';
	from_day timestamptz := date_trunc('day', lower(period) + interval '24 hours' - interval '1 microsecond', 'UTC');
	to_day timestamptz := date_trunc('day', upper(period), 'UTC');
	ids text[] := '{}';
	id text;
	top jsonb;
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	IF n IS NULL OR order_by IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN n IS NULL THEN 'n' ELSE 'order_by' END
			USING ERRCODE = 'null_value_not_allowed';
	ELSIF n NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION 'invalid value for "n": %: give 1 to 1000 patterns', n
			USING ERRCODE = 'invalid_parameter_value';
	ELSIF counter <> ALL (counters) THEN
		RAISE EXCEPTION 'invalid value for "order_by": "%"%', order_by,
				coalesce(nullif(@extschema@._chpg_closest(order_by, counters), ''), ': give time, calls or errors')
			USING ERRCODE = 'invalid_parameter_value',
				HINT = format('Give one of %s.', array_to_string(counters, ', '));
	END IF;
	IF service IS NOT NULL AND services IS NOT NULL THEN
		RAISE EXCEPTION 'arguments "service" and "services" exclude each other'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Add the service to "services".';
	END IF;
	IF from_day > to_day THEN
		from_day := upper(period);
		to_day := upper(period);
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	-- a loop, since the query of an assignment would show in the CONTEXT of an error
	FOR id IN
		SELECT DISTINCT s.service_id
		FROM unnest(coalesce(services, ARRAY[service])) n(name)
		CROSS JOIN LATERAL @extschema@._chpg_history_services(n.name, server, true) s
		WHERE services IS NULL OR n.name IS NOT NULL
	LOOP
		ids := ids || id;
	END LOOP;
	PERFORM @extschema@._chpg_history_enter();
	EXECUTE format($top$
		WITH services AS (
			SELECT ARRAY(SELECT k.service_key FROM service_key k WHERE k.service_id = ANY ($1)) AS keys
		), by_key AS (
			SELECT p.service_key, p.pattern_key, sum(p.counted) AS counted
			FROM (
				SELECT d.service_key, d.pattern_key, d.%1$I::float8 AS counted
				FROM day_sum d
				WHERE d.service_key = ANY ((SELECT s.keys FROM services s)::integer[])
					AND d."time" >= $3 AND d."time" < $4
				UNION ALL
				SELECT h.service_key, h.pattern_key, h.%1$I::float8
				FROM @extschema@._chpg_window_hour() h
				WHERE h.service_key = ANY ((SELECT s.keys FROM services s)::integer[])
					AND h.window_start >= lower($2) AND h.window_start <= $3 - interval '1 hour'
				UNION ALL
				SELECT h.service_key, h.pattern_key, h.%1$I::float8
				FROM @extschema@._chpg_window_hour() h
				WHERE h.service_key = ANY ((SELECT s.keys FROM services s)::integer[])
					AND h.window_start >= $4 AND h.window_start <= upper($2) - interval '1 hour'
			) p
			GROUP BY p.service_key, p.pattern_key
		)
		SELECT jsonb_agg(t)
		FROM (
			SELECT k.service_id, s.keys, s.counted
			FROM (
				SELECT b.service_key, array_agg(b.pattern_key) AS keys, sum(b.counted) AS counted
				FROM by_key b
				JOIN pattern_key k ON k.pattern_key = b.pattern_key
				WHERE k.query_id <> 0 OR $6 = 'error_count'
				GROUP BY b.service_key, k.query_id, k.db_name, k.db_user, k.db_operation, k.app
				ORDER BY 3 DESC NULLS LAST, 1, 2
				LIMIT $5
			) s
			JOIN service_key k ON k.service_key = s.service_key
			ORDER BY s.counted DESC NULLS LAST, s.service_key, s.keys
		) t
	$top$, counter)
	INTO top USING ids, period, from_day, to_day, n, counter;
	IF top IS NULL THEN
		RAISE NOTICE 'the history has no patterns of whole hours within "%"', period
			USING HINT = 'The view coverage of the history shows which hours it has.';
		RETURN;
	END IF;
	RETURN QUERY
	WITH listed AS MATERIALIZED (
		SELECT f.*
		FROM ROWS FROM (jsonb_to_recordset(top) AS (service_id text, keys integer[]))
			WITH ORDINALITY f(service_id, keys, place)
	), chosen AS MATERIALIZED (
		SELECT l.place, p.pattern, p.text_id
		FROM @extschema@._chpg_sum_patterns(ARRAY(SELECT l.service_id FROM listed l), period,
			ARRAY(SELECT u.pattern_key FROM listed l CROSS JOIN LATERAL unnest(l.keys) u(pattern_key))) p
		JOIN listed l ON l.service_id = (p.pattern).service_id AND l.keys && p.keys_summed
	)
	SELECT w.*
	FROM chosen c
	LEFT JOIN @extschema@._chpg_query_texts(ARRAY(SELECT i.text_id FROM chosen i)) q ON q.text_id = c.text_id
	CROSS JOIN LATERAL @extschema@._chpg_with_text(c.pattern, q.query_text) w
	ORDER BY c.place;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_top(tstzrange, text, integer, text, text[], text) IS
'The n slow query patterns of a period of the history with the greatest total of a counter.
Of one service, by id or name, of several (services), or of all. Captured hours count that lie
  wholly in the period; a NOTICE says if there are none.
order_by: time, calls or errors as in chpg_top, or call_count, error_count, total_duration_us,
  total_rows, total_shared_blks_read, total_shared_blks_hit, total_cpu_time_us or
  total_wal_bytes.
The pattern without a query id (0) counts for error_count alone: the API records errors there.
Requests: none.
Errors: 22004 period, n or order_by is null; 22023 period is empty or unbounded, n or order_by
  cannot be used, or service and services are both given; 42704 no such service; 55000 there is
  no history, or it cannot be used.';

CREATE FUNCTION @extschema@.chpg_history_top(
	period text,
	service text DEFAULT NULL,
	n integer DEFAULT 20,
	order_by text DEFAULT 'total_duration_us',
	services text[] DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_period_pattern_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_history_top(
		@extschema@._chpg_period_of_texts(chpg_history_top.period, chpg_history_top.service, NULL::text),
		@extschema@._chpg_service_of_texts(chpg_history_top.service, NULL::text),
		chpg_history_top.n, chpg_history_top.order_by, chpg_history_top.services, chpg_history_top.server);
END;

COMMENT ON FUNCTION @extschema@.chpg_history_top(text, text, integer, text, text[], text) IS
'The same of a period that texts say: an interval until now, a range, or two times.
chpg_history_top(''7 days'', ''orders''), chpg_history_top(''yesterday'', ''today'').
Requests: none.
Errors: 22023 the texts say no period; those of the form with a range.';
