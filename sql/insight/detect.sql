/*
 * Insight: what the rules about changes share: services and hours that are judged, names of
 * patterns, batch jobs, and similar texts.
 *
 * A service is judged at the end of the last hour that was captured of it.  A watch reads a
 * few hours of all patterns, and two days only of those that look suspicious in them.
 */

CREATE TYPE @extschema@._chpg_judged_service AS (
	service_key integer,
	service_id text,
	end_time timestamptz,
	history_start timestamptz,
	truncated_hours integer,
	total_us double precision
);

COMMENT ON TYPE @extschema@._chpg_judged_service IS 'A service whose changes are judged.';
COMMENT ON COLUMN @extschema@._chpg_judged_service.service_key IS 'Key of the service in the history.';
COMMENT ON COLUMN @extschema@._chpg_judged_service.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@._chpg_judged_service.end_time IS 'End of the last captured hour: changes are judged then.';
COMMENT ON COLUMN @extschema@._chpg_judged_service.history_start IS 'Start of the first hour that the history has of it.';
COMMENT ON COLUMN @extschema@._chpg_judged_service.truncated_hours IS 'Hours of the last two days that were truncated.';
COMMENT ON COLUMN @extschema@._chpg_judged_service.total_us IS
'Time of all executions in the last captured hour, in microseconds.';

/* Hours that are too old say nothing about the end of the period. */
CREATE FUNCTION @extschema@._chpg_judged_services(scope @extschema@._chpg_scope)
RETURNS SETOF @extschema@._chpg_judged_service
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT k.service_key, k.service_id, l.window_end, f.window_start, r.truncated, l.statement_duration_us
	FROM unnest(scope.service_ids) s(service_id)
	JOIN service_key k ON k.service_id = s.service_id
	CROSS JOIN LATERAL (
		SELECT c.window_end, c.statement_duration_us
		FROM capture c
		WHERE c.service_id = k.service_id AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= upper(scope.period) - interval '6 hours' AND c.window_end <= upper(scope.period)
		ORDER BY c.window_start DESC LIMIT 1) l
	CROSS JOIN LATERAL (
		SELECT c.window_start
		FROM capture c
		WHERE c.service_id = k.service_id AND c.grain = 'hour' AND c.status = 'ok'
		ORDER BY c.window_start LIMIT 1) f
	CROSS JOIN LATERAL (
		SELECT count(*) FILTER (WHERE c.truncated)::integer AS truncated
		FROM capture c
		WHERE c.service_id = k.service_id AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= l.window_end - interval '48 hours' AND c.window_start < l.window_end) r
	ORDER BY k.service_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_judged_services(@extschema@._chpg_scope) IS
'The services whose changes can be judged at the end of a period.
A service of which none of the last six hours was captured is left out.
Errors: 55000 there is no history.';

CREATE TYPE @extschema@._chpg_hour_score AS (
	service_key integer,
	window_start timestamptz,
	pattern_key integer,
	baseline_hours integer,
	common double precision,
	call_count double precision,
	expected_calls double precision,
	calls_spread double precision,
	total_us double precision,
	max_us double precision,
	avg_us double precision,
	expected_avg_us double precision,
	z_avg double precision,
	p99_us double precision,
	expected_p99_us double precision,
	z_p99 double precision,
	rows_per_call double precision,
	expected_rows_per_call double precision,
	z_rows double precision,
	blks_per_call double precision,
	expected_blks_per_call double precision,
	z_blks double precision,
	wal_per_call double precision,
	expected_wal_per_call double precision,
	z_wal double precision
);

COMMENT ON TYPE @extschema@._chpg_hour_score IS
'A pattern in an hour, and what was expected of it by the same hours of past days.
The attributes are the columns of _chpg_scores.';

/* Names of patterns, for evidence and keys of findings. */
CREATE TYPE @extschema@._chpg_pattern_name AS (
	pattern_key integer,
	query_id bigint,
	text_id integer,
	db_name text,
	db_user text,
	db_operation text,
	app text,
	query_text text
);

COMMENT ON TYPE @extschema@._chpg_pattern_name IS 'What identifies a pattern, with its text.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.pattern_key IS 'Key of the pattern in the history.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.query_id IS 'Hash of the normalized query.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.text_id IS 'Key of the text in the history.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.db_name IS 'Database.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.db_user IS 'Database user.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.db_operation IS 'Kind of statement.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.app IS 'Application name of the session.';
COMMENT ON COLUMN @extschema@._chpg_pattern_name.query_text IS 'Normalized text of the query.';

CREATE FUNCTION @extschema@._chpg_pattern_names(keys integer[])
RETURNS SETOF @extschema@._chpg_pattern_name
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF cardinality(keys) > 0 THEN
		PERFORM @extschema@._chpg_history_enter();
		RETURN QUERY
		SELECT k.pattern_key, k.query_id, k.text_id, k.db_name, k.db_user, k.db_operation, k.app, t.query_text
		FROM (SELECT DISTINCT u.key FROM unnest(keys) u(key)) u
		JOIN pattern_key k ON k.pattern_key = u.key
		LEFT JOIN query_text t ON t.text_id = k.text_id
		WHERE k.query_id <> 0 AND NOT @extschema@._chpg_is_monitoring(k.app);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_pattern_names(integer[]) IS
'What identifies patterns, without those of no query id or of the service''s own monitoring.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_pattern_evidence(name @extschema@._chpg_pattern_name)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_build_object('query_id', name.query_id::text, 'query_hex', @extschema@.chpg_query_hex(name.query_id),
		'query_text', name.query_text, 'db_name', name.db_name, 'db_user', name.db_user,
		'db_operation', name.db_operation, 'app', name.app);
END;

COMMENT ON FUNCTION @extschema@._chpg_pattern_evidence(@extschema@._chpg_pattern_name) IS
'What evidence says of the pattern that a finding is about.';

CREATE FUNCTION @extschema@._chpg_pattern_finding_key(rule_id text, service_id text,
	name @extschema@._chpg_pattern_name)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT _chpg_pattern_finding_key.rule_id || ':' || to_jsonb(ARRAY[_chpg_pattern_finding_key.service_id,
		name.query_id::text, name.db_name, name.db_user, name.db_operation, name.app])::text;
END;

COMMENT ON FUNCTION @extschema@._chpg_pattern_finding_key(text, text, @extschema@._chpg_pattern_name) IS
'The key of a rule''s finding about a pattern.';

CREATE FUNCTION @extschema@._chpg_course_statement(service_id text, query_id bigint, since timestamptz,
	until timestamptz)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
AS $$
	SELECT format('SELECT * FROM chpg_pattern_course(%L, %s, tstzrange(%L, %L));', service_id, query_id,
		since - interval '24 hours', until)
$$;

COMMENT ON FUNCTION @extschema@._chpg_course_statement(text, bigint, timestamptz, timestamptz) IS
'A statement that shows what a query did, hour by hour, from a day before a change.';

/* A watch reads the last hours of all patterns once; each rule gets them. */
CREATE FUNCTION @extschema@._chpg_recent_scores(judged @extschema@._chpg_judged_service[])
RETURNS SETOF @extschema@._chpg_hour_score
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT s.*
	FROM (SELECT array_agg(j.service_key) AS keys, min(j.end_time) - interval '3 hours' AS from_time,
			max(j.end_time) AS until_time FROM unnest(judged) j) j
	CROSS JOIN LATERAL @extschema@._chpg_scores(j.keys, j.from_time, j.until_time) s
	JOIN unnest(judged) u ON u.service_key = s.service_key
	WHERE s.window_start >= u.end_time - interval '3 hours' AND s.window_start < u.end_time;
END;

COMMENT ON FUNCTION @extschema@._chpg_recent_scores(@extschema@._chpg_judged_service[]) IS
'The scores of all patterns in the three hours before each service is judged.';

/*
 * Batch jobs.  A day's sums show them without its hours: few executions in each hour that
 * has any, and long ones; or much time in few hours of the day, day after day.
 */
CREATE FUNCTION @extschema@._chpg_batches(service_keys integer[], until_time timestamptz)
RETURNS TABLE (service_key integer, pattern_key integer, runs integer, median_run_us double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT d.service_key, d.pattern_key, count(*)::integer,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY d.total_duration_us
			/ CASE WHEN d.call_count <= 4 * d.hours THEN d.call_count ELSE 1 END)
	FROM day_sum d
	JOIN pattern_key k ON k.pattern_key = d.pattern_key
	WHERE d.service_key = ANY (service_keys) AND d."time" >= until_time - interval '35 days' AND d."time" < until_time
		AND d.call_count > 0 AND d.total_duration_us > 0 AND k.query_id <> 0
	GROUP BY d.service_key, d.pattern_key
	HAVING (sum(d.call_count) <= 4 * sum(d.hours) AND sum(d.total_duration_us) >= 5e6 * sum(d.call_count)::float8)
		OR (sum(d.hours) <= 4 * count(*) AND sum(d.total_duration_us) >= 6e7 * sum(d.hours)::float8
			AND count(*) > 1);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_batches(integer[], timestamptz) IS
'The patterns of services that are batch jobs, by the 35 days before a time.
They run at most four times in an hour, for five seconds or longer; or in at most four hours of
  a day, for a minute of each or longer, on two days at least.
runs: days on which it ran. median_run_us: median time of a run; of a job of many executions
  that of all those of a day.
Errors: 55000 there is no history.';

/* What differs between two releases of an application: comments, constants, the length of lists. */
CREATE FUNCTION @extschema@._chpg_query_words(query_text text)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(DISTINCT w.word ORDER BY w.word), '{}')
	FROM regexp_split_to_table(lower(left(regexp_replace(regexp_replace(left(query_text, 4000),
		'/\*.*?\*/|--[^\n]*', ' ', 'g'), '\$\d+|\m\d+\M', '?', 'g'), 2000)), '[^a-z0-9_?]+') w(word)
	WHERE w.word <> ''
$$;

COMMENT ON FUNCTION @extschema@._chpg_query_words(text) IS
'The different words of a query''s text, without comments and numbers.';

CREATE FUNCTION @extschema@._chpg_word_similarity(a text[], b text[])
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT s.shared::float8 / nullif(cardinality(a) + cardinality(b) - s.shared, 0)
	FROM (SELECT count(*) AS shared FROM unnest(a) x WHERE x = ANY (b)) s;
END;

COMMENT ON FUNCTION @extschema@._chpg_word_similarity(text[], text[]) IS
'The share of the words of two texts that are in both, 0 to 1; each array has different words.';

CREATE FUNCTION @extschema@._chpg_main_table(query_text text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT lower(substring(regexp_replace(left(query_text, 4000), '/\*.*?\*/|--[^\n]*', ' ', 'g')
		FROM '(?i)\m(?:from|into|update|join)\s+([a-z0-9_."]+)'));
END;

COMMENT ON FUNCTION @extschema@._chpg_main_table(text) IS
'The first table that a query''s text names; null if it names none.';

CREATE FUNCTION @extschema@._chpg_hours_between(since timestamptz, until timestamptz)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT round(extract(epoch FROM until - since) / 3600)::integer;
END;

COMMENT ON FUNCTION @extschema@._chpg_hours_between(timestamptz, timestamptz) IS 'Hours from one time to another.';
