/*
 * Reading: the slow query patterns that take most, for people who read them in psql.
 *
 * A row is at most 120 columns wide.  Values are text, aligned to the right as numbers
 * are: chpg_slow_patterns has the exact ones.
 */

CREATE TYPE @extschema@.chpg_top_row AS (
	service text,
	query text,
	calls text,
	mean text,
	p99 text,
	total text,
	share text,
	errors text
);

COMMENT ON TYPE @extschema@.chpg_top_row IS 'A slow query pattern in short: texts for people.';
COMMENT ON COLUMN @extschema@.chpg_top_row.service IS 'Name of the service, cut at 18 characters.';
COMMENT ON COLUMN @extschema@.chpg_top_row.query IS
'Normalized text of the query, as one line, cut at 34 characters.';
COMMENT ON COLUMN @extschema@.chpg_top_row.calls IS 'Executions that ended without an error, such as 12.3 M.';
COMMENT ON COLUMN @extschema@.chpg_top_row.mean IS 'Mean time of an execution, such as 12.0 ms.';
COMMENT ON COLUMN @extschema@.chpg_top_row.p99 IS '99th percentile, such as 34.5 ms.';
COMMENT ON COLUMN @extschema@.chpg_top_row.total IS 'Time of all executions, such as 4.5 min.';
COMMENT ON COLUMN @extschema@.chpg_top_row.share IS
'Its part of the time of all patterns that were read: at most 500 of each service.';
COMMENT ON COLUMN @extschema@.chpg_top_row.errors IS 'Executions that raised an error.';

CREATE FUNCTION @extschema@._chpg_top_field(order_by text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT w.field
	FROM (VALUES ('time', 'total_duration_us'), ('calls', 'call_count'), ('mean', 'avg_duration_us'),
		('p99', 'p99_duration_us'), ('errors', 'error_count')) w(word, field)
	WHERE lower(order_by) IN (w.word, w.field);
END;

COMMENT ON FUNCTION @extschema@._chpg_top_field(text) IS
'The field by which chpg_top sorts, for its order_by; null: none of them.';

CREATE FUNCTION @extschema@._chpg_top_sort(period tstzrange, order_by text, n integer)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sort_column CONSTANT text := @extschema@._chpg_top_field(order_by);
BEGIN
	IF period IS NULL OR order_by IS NULL OR n IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null',
				CASE WHEN period IS NULL THEN 'period' WHEN n IS NULL THEN 'n' ELSE 'order_by' END
			USING ERRCODE = 'null_value_not_allowed';
	ELSIF sort_column IS NULL THEN
		RAISE EXCEPTION 'invalid value for "order_by": "%"%', order_by,
				coalesce(nullif(@extschema@._chpg_closest(CASE lower(order_by) WHEN 'total' THEN 'time'
						WHEN 'latency' THEN 'mean' ELSE order_by END, '{time,calls,mean,p99,errors}'::text[]), ''),
					': give time, calls, mean, p99 or errors')
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give time, calls, mean, p99 or errors.';
	ELSIF n NOT BETWEEN 1 AND 10000 THEN
		RAISE EXCEPTION 'invalid value for "n": %: give 1 to 10000 patterns', n
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN sort_column;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_top_sort(tstzrange, text, integer) IS
'The field by which chpg_top sorts, for its order_by; checks its other arguments.
Errors: 22004 null; 22023 one of them cannot be used.';

/*
 * A page of 500 patterns costs a service as much as the first n, and has their share.  A
 * query in PL/pgSQL would show its whole text in the CONTEXT of an error of the API.  With
 * LIMIT 0 the check of n would not run.
 */
CREATE FUNCTION @extschema@._chpg_top(during tstzrange, service text, order_by text, n integer, server text)
RETURNS SETOF @extschema@.chpg_top_row
LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
BEGIN ATOMIC
	SELECT @extschema@._chpg_line_text(coalesce(t.service_name, t.service_id), 18),
		@extschema@._chpg_line_text(coalesce(nullif(t.query_text, ''), '(query without an id)'), 34),
		lpad(@extschema@._chpg_count_text(t.call_count::double precision), 7),
		lpad(@extschema@._chpg_duration_text(t.avg_duration_us), 8),
		lpad(@extschema@._chpg_duration_text(t.p99_duration_us), 8),
		lpad(@extschema@._chpg_duration_text(t.total_duration_us), 8),
		lpad(to_char(100 * t.total_duration_us / nullif(t.total_us, 0), 'FM990.0') || ' %', 7),
		lpad(@extschema@._chpg_count_text(t.error_count::double precision), 7)
	FROM (
		SELECT p.*, sum(p.total_duration_us) OVER () AS total_us,
			CASE c.sort_column WHEN 'call_count' THEN p.call_count WHEN 'avg_duration_us' THEN p.avg_duration_us
				WHEN 'p99_duration_us' THEN p.p99_duration_us WHEN 'error_count' THEN p.error_count
				ELSE p.total_duration_us END AS sorted_by
		FROM @extschema@._chpg_top_sort(_chpg_top.during, _chpg_top.order_by, _chpg_top.n) c(sort_column)
		CROSS JOIN LATERAL @extschema@.chpg_slow_patterns(_chpg_top.during, _chpg_top.service, NULL::text, NULL::text,
			NULL::text, NULL::text, c.sort_column, NULL::text, 500::bigint, _chpg_top.server) p
	) t
	ORDER BY t.sorted_by DESC NULLS LAST, t.total_duration_us DESC NULLS LAST, t.service_id, t.query_id
	LIMIT greatest(_chpg_top.n, 1);
END;

COMMENT ON FUNCTION @extschema@._chpg_top(tstzrange, text, text, integer, text) IS
'The rows of chpg_top.
Requests: 1 for the list of services, 1 for each service.';

CREATE FUNCTION @extschema@.chpg_top(
	period interval DEFAULT '1 hour',
	service text DEFAULT NULL,
	order_by text DEFAULT 'time',
	n integer DEFAULT 20,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_top_row
LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
BEGIN ATOMIC
	SELECT * FROM @extschema@._chpg_top(@extschema@._chpg_last(chpg_top.period, 'period'), chpg_top.service,
		chpg_top.order_by, chpg_top.n, chpg_top.server);
END;

COMMENT ON FUNCTION @extschema@.chpg_top(interval, text, text, integer, text) IS
'The n slow query patterns that take most in a period until now, as texts for people.
Of a service, by id or name, or of the fleet (null). At most 120 columns wide in psql.
order_by: time, calls, mean, p99 or errors; or their fields in chpg_slow_patterns.
chpg_slow_patterns has exact values, the whole text, and other periods.
Requests: 1 for the list of services, 1 for each service.
Errors: 22004 period, order_by or n is null; 22023 one of them cannot be used; those of
  chpg_slow_patterns.';

CREATE FUNCTION @extschema@.chpg_top(
	during tstzrange,
	service text DEFAULT NULL,
	order_by text DEFAULT 'time',
	n integer DEFAULT 20,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_top_row
LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
BEGIN ATOMIC
	SELECT * FROM @extschema@._chpg_top(chpg_top.during, chpg_top.service,
		chpg_top.order_by, chpg_top.n, chpg_top.server);
END;

COMMENT ON FUNCTION @extschema@.chpg_top(tstzrange, text, text, integer, text) IS
'The n slow query patterns that take most in a range, as texts for people.
Requests and errors: those of the form with an interval.';

CREATE FUNCTION @extschema@.chpg_top(
	period text,
	service text DEFAULT NULL,
	order_by text DEFAULT 'time',
	n integer DEFAULT 20,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_top_row
LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
BEGIN ATOMIC
	SELECT r.*
	FROM (SELECT CASE WHEN @extschema@._chpg_period_kind(chpg_top.service) = 'time'
			AND @extschema@._chpg_top_field(chpg_top.order_by) IS NULL THEN chpg_top.order_by END AS service) third
	CROSS JOIN LATERAL @extschema@._chpg_top(
		@extschema@._chpg_period_of_texts(chpg_top.period, chpg_top.service, NULL::text),
		@extschema@._chpg_service_of_texts(chpg_top.service, third.service),
		CASE WHEN third.service IS NULL THEN chpg_top.order_by ELSE 'time' END, chpg_top.n, chpg_top.server) r;
END;

COMMENT ON FUNCTION @extschema@.chpg_top(text, text, text, integer, text) IS
'The n slow query patterns that take most, in a period that texts say, as texts for people.
The period is an interval until now, a range, or two times: chpg_top(''1 day'', ''orders''),
chpg_top(''yesterday'', ''today''). After two times, a third text that is no order is the service.
Requests and errors: those of the form with an interval; 22023 the texts say no period.';

CREATE FUNCTION @extschema@.chpg_top(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	order_by text DEFAULT 'time',
	n integer DEFAULT 20,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_top_row
LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
BEGIN ATOMIC
	SELECT * FROM @extschema@._chpg_top(@extschema@._chpg_between(chpg_top.from_date, chpg_top.to_date),
		chpg_top.service, chpg_top.order_by, chpg_top.n, chpg_top.server);
END;

COMMENT ON FUNCTION @extschema@.chpg_top(timestamptz, timestamptz, text, text, integer, text) IS
'The n slow query patterns that take most between two times, as texts for people.
to_date: null is now.
Requests and errors: those of the form with an interval.';

/* For a literal after a time: PostgreSQL would refuse one that is no time without naming the remedy. */
CREATE FUNCTION @extschema@.chpg_top(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_top_row
LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_top(chpg_top.from_date,
		@extschema@._chpg_end_of_text(chpg_top.to_date),
		chpg_top.service, 'time'::text, 20, NULL::text);
END;

COMMENT ON FUNCTION @extschema@.chpg_top(timestamptz, text, text) IS
'The same of a time and a text: chpg_top(now() - interval ''2 hours'', ''now'').
Requests: those of the form with a range.
Errors: 22023 the text is no time.';

CREATE VIEW @extschema@.chpg_top AS
	SELECT * FROM @extschema@.chpg_top(interval '1 hour', NULL::text, 'time', 20, NULL::text);

COMMENT ON VIEW @extschema@.chpg_top IS
'The 20 slow query patterns of the fleet that took most time in the last hour: chpg_top() with
the caller''s key.
Requests: 1 for the list of services, 1 for each service.';
GRANT SELECT ON @extschema@.chpg_top TO PUBLIC;
