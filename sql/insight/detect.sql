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
COMMENT ON COLUMN @extschema@._chpg_judged_service.end_time IS
'End of the last captured hour: changes are judged then.';
COMMENT ON COLUMN @extschema@._chpg_judged_service.history_start IS
'Start of the first hour that the history has of it.';
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

/* A watch reads the last hours of all patterns once; each rule gets them. */
CREATE FUNCTION @extschema@._chpg_recent_scores(judged @extschema@._chpg_judged_service[])
RETURNS SETOF @extschema@._chpg_hour_score
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT s.*
	FROM (SELECT array_agg(j.service_key) AS keys, min(j.end_time) - interval '4 hours' AS from_time,
			max(j.end_time) AS until_time FROM unnest(judged) j) j
	CROSS JOIN LATERAL @extschema@._chpg_scores(j.keys, j.from_time, j.until_time) s
	JOIN unnest(judged) u ON u.service_key = s.service_key
	WHERE s.window_start >= u.end_time - interval '4 hours' AND s.window_start < u.end_time
		-- not a number is above all numbers
		AND coalesce(s.total_us < 1e18, true) AND coalesce(s.expected_avg_us < 1e18, true);
END;

COMMENT ON FUNCTION @extschema@._chpg_recent_scores(@extschema@._chpg_judged_service[]) IS
'The scores of all patterns in the four hours before each service is judged.';

/*
 * Of the days of a few patterns only some elements of the stored arrays are wanted, and not
 * all arrays.  Hours without stored scores are scored with their services.
 */
CREATE FUNCTION @extschema@._chpg_pair_scores(service_keys integer[], pattern_keys integer[], from_time timestamptz,
	until_time timestamptz)
RETURNS SETOF @extschema@._chpg_hour_score
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	unscored integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	unscored := ARRAY(SELECT DISTINCT u.service_key
		FROM @extschema@._chpg_unscored(ARRAY(SELECT DISTINCT k FROM unnest(service_keys) k), from_time, until_time) u);
	RETURN QUERY
	SELECT s.service_key, s.window_start, s.pattern_key[f.i], s.baseline_hours[f.i]::integer, s.common::float8,
		s.call_count[f.i]::float8, s.expected_calls[f.i]::float8, s.calls_spread[f.i]::float8, s.total_us[f.i]::float8,
		s.max_us[f.i]::float8, s.total_us[f.i]::float8 / nullif(s.call_count[f.i], 0)::float8,
		s.expected_avg_us[f.i]::float8, s.z_avg[f.i]::float8, s.p99_us[f.i]::float8, s.expected_p99_us[f.i]::float8,
		s.z_p99[f.i]::float8, s.rows_per_call[f.i]::float8, s.expected_rows_per_call[f.i]::float8,
			s.z_rows[f.i]::float8,
		s.blks_per_call[f.i]::float8, s.expected_blks_per_call[f.i]::float8, s.z_blks[f.i]::float8,
		s.wal_per_call[f.i]::float8, s.expected_wal_per_call[f.i]::float8, s.z_wal[f.i]::float8
	FROM (SELECT p.service, array_agg(p.pattern) AS keys FROM unnest(service_keys, pattern_keys) p(service, pattern)
		WHERE p.service <> ALL (unscored) GROUP BY p.service) g
	CROSS JOIN LATERAL (
		-- a concatenation is a copy in memory: without it, each element reads and unpacks its whole array
		SELECT h.service_key, h.window_start, h.common, h.pattern_key || '{}'::integer[] AS pattern_key,
			h.baseline_hours || '{}'::integer[] AS baseline_hours,
			h.call_count || '{}'::real[] AS call_count, h.expected_calls || '{}'::real[] AS expected_calls,
			h.calls_spread || '{}'::real[] AS calls_spread, h.total_us || '{}'::real[] AS total_us,
			h.max_us || '{}'::real[] AS max_us, h.expected_avg_us || '{}'::real[] AS expected_avg_us,
			h.z_avg || '{}'::real[] AS z_avg, h.p99_us || '{}'::real[] AS p99_us,
			h.expected_p99_us || '{}'::real[] AS expected_p99_us, h.z_p99 || '{}'::real[] AS z_p99,
			h.rows_per_call || '{}'::real[] AS rows_per_call,
			h.expected_rows_per_call || '{}'::real[] AS expected_rows_per_call, h.z_rows || '{}'::real[] AS z_rows,
			h.blks_per_call || '{}'::real[] AS blks_per_call,
			h.expected_blks_per_call || '{}'::real[] AS expected_blks_per_call, h.z_blks || '{}'::real[] AS z_blks,
			h.wal_per_call || '{}'::real[] AS wal_per_call,
			h.expected_wal_per_call || '{}'::real[] AS expected_wal_per_call, h.z_wal || '{}'::real[] AS z_wal
		FROM score_hour h
		WHERE h.service_key = g.service AND h.window_start >= from_time AND h.window_start < until_time
		OFFSET 0) s
	CROSS JOIN LATERAL (SELECT u.i::integer AS i FROM unnest(s.pattern_key) WITH ORDINALITY u(key, i)
		WHERE u.key = ANY (g.keys) OFFSET 0) f;
	IF cardinality(unscored) > 0 THEN
		RETURN QUERY
		SELECT h.*
		FROM @extschema@._chpg_pattern_scores(unscored, pattern_keys, from_time, until_time) h
		WHERE (h.service_key, h.pattern_key) IN (SELECT * FROM unnest(service_keys, pattern_keys));
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_pair_scores(integer[], integer[], timestamptz, timestamptz) IS
'The scores of some patterns of services: each key of a service stands beside that of a pattern.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_pair_calls(service_keys integer[], pattern_keys integer[], from_time timestamptz,
	until_time timestamptz)
RETURNS TABLE (service_key integer, window_start timestamptz, pattern_key integer, call_count double precision,
	expected_calls double precision, total_us double precision, max_us double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	unscored integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	unscored := ARRAY(SELECT DISTINCT u.service_key
		FROM @extschema@._chpg_unscored(ARRAY(SELECT DISTINCT k FROM unnest(service_keys) k), from_time, until_time) u);
	RETURN QUERY
	SELECT s.service_key, s.window_start, s.pattern_key[f.i], s.call_count[f.i]::float8, s.expected_calls[f.i]::float8,
		s.total_us[f.i]::float8, s.max_us[f.i]::float8
	FROM (SELECT p.service, array_agg(p.pattern) AS keys FROM unnest(service_keys, pattern_keys) p(service, pattern)
		WHERE p.service <> ALL (unscored) GROUP BY p.service) g
	CROSS JOIN LATERAL (
		-- copies in memory, as above
		SELECT h.service_key, h.window_start, h.pattern_key || '{}'::integer[] AS pattern_key,
			h.call_count || '{}'::real[] AS call_count, h.expected_calls || '{}'::real[] AS expected_calls,
			h.total_us || '{}'::real[] AS total_us, h.max_us || '{}'::real[] AS max_us
		FROM score_hour h
		WHERE h.service_key = g.service AND h.window_start >= from_time AND h.window_start < until_time
		OFFSET 0) s
	CROSS JOIN LATERAL (SELECT u.i::integer AS i FROM unnest(s.pattern_key) WITH ORDINALITY u(key, i)
		WHERE u.key = ANY (g.keys) OFFSET 0) f;
	IF cardinality(unscored) > 0 THEN
		RETURN QUERY
		SELECT h.service_key, h.window_start, h.pattern_key, h.call_count, h.expected_calls, h.total_us, h.max_us
		FROM @extschema@._chpg_pattern_scores(unscored, pattern_keys, from_time, until_time) h
		WHERE (h.service_key, h.pattern_key) IN (SELECT * FROM unnest(service_keys, pattern_keys));
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_pair_calls(integer[], integer[], timestamptz, timestamptz) IS
'As _chpg_pair_scores, executions and times only.';

CREATE FUNCTION @extschema@._chpg_service_factors(service_keys integer[], from_time timestamptz, until_time timestamptz)
RETURNS TABLE (service_key integer, window_start timestamptz, common double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	unscored integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	unscored := ARRAY(SELECT DISTINCT u.service_key
		FROM @extschema@._chpg_unscored(service_keys, from_time, until_time) u);
	RETURN QUERY
	SELECT s.service_key, s.window_start, s.common::float8
	FROM score_hour s
	WHERE s.service_key = ANY (service_keys) AND s.service_key <> ALL (unscored) AND s.window_start >= from_time
		AND s.window_start < until_time;
	IF cardinality(unscored) > 0 THEN
		RETURN QUERY
		SELECT h.service_key, h.window_start, max(h.common)
		FROM @extschema@._chpg_scores(unscored, from_time, until_time) h
		GROUP BY h.service_key, h.window_start;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_service_factors(integer[], timestamptz, timestamptz) IS
'ln of the factors by which most patterns of services were slower, hour by hour.
Errors: 55000 there is no history.';

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
		-- days of most patterns are neither
		AND (d.call_count <= 4 * d.hours OR d.hours <= 4)
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
		E'/[*].*?[*]/|--[^\n]*', ' ', 'g'), E'[$]\\d+|\\m\\d+\\M', '?', 'g'), 2000)), '[^a-z0-9_?]+') w(word)
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
	wal_bytes double precision,
	last_avg_us double precision,
	last_expected_us double precision,
	latest double precision
);

COMMENT ON TYPE @extschema@._chpg_episode IS 'A pattern that is slower than expected, from an onset up to now.';
COMMENT ON COLUMN @extschema@._chpg_episode.service_key IS 'Key of the service.';
COMMENT ON COLUMN @extschema@._chpg_episode.pattern_key IS 'Key of the pattern.';
COMMENT ON COLUMN @extschema@._chpg_episode.metric IS
'What is higher: mean or p99 (time), or rows, blks or wal (per execution).';
COMMENT ON COLUMN @extschema@._chpg_episode.since IS 'The onset: start of the first hour that is higher.';
COMMENT ON COLUMN @extschema@._chpg_episode.hours IS 'Hours since the onset in which it was executed.';
COMMENT ON COLUMN @extschema@._chpg_episode.score IS
'Sum of the hours'' standard deviations by the root of their number.';
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
COMMENT ON COLUMN @extschema@._chpg_episode.last_avg_us IS 'Mean time of the last three hours, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_episode.last_expected_us IS 'Mean time that was expected then, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_episode.latest IS
'Mean of its metric then: microseconds, or rows, blocks or bytes per call.';

/*
 * Most patterns are ruled out by their last four hours; two days are read of the others.
 * The onset is the hour for which the sum of all standard deviations since then, by the root
 * of the number of hours, is the greatest.
 */
CREATE FUNCTION @extschema@._chpg_find_episodes(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], recent @extschema@._chpg_hour_score[])
RETURNS SETOF @extschema@._chpg_episode
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	service_keys integer[];
	pattern_keys integer[];
BEGIN
	SELECT array_agg(s.service_key), array_agg(s.pattern_key) INTO service_keys, pattern_keys
	FROM (
		SELECT r.service_key, r.pattern_key
		FROM unnest(recent) r
		JOIN unnest(judged) j ON j.service_key = r.service_key
		CROSS JOIN LATERAL (SELECT r.expected_avg_us * exp(least(greatest(r.common, -5), 5)) * r.call_count AS us) u
		WHERE r.call_count > 0 AND r.baseline_hours >= 2
		GROUP BY r.service_key, r.pattern_key
		HAVING (greatest(sum(r.z_avg) / sqrt(nullif(count(r.z_avg), 0)),
				max(r.z_avg) FILTER (WHERE r.window_start = j.end_time - interval '1 hour')) >= 2.5
				AND sum(r.total_us) >= 1.1 * sum(u.us)
				AND sum(r.total_us) - sum(u.us) >= 0.3 * greatest(t.slower_excess_us / 4, t.slower_excess_ratio
					* max(j.total_us)))
			OR (greatest(sum(r.z_p99) / sqrt(nullif(count(r.z_p99), 0)),
				max(r.z_p99) FILTER (WHERE r.window_start = j.end_time - interval '1 hour')) >= 3
				AND sum(r.p99_us * r.call_count) >= 1.2 * sum(r.expected_p99_us * r.call_count))
			OR (sum(r.z_rows) >= 5 * sqrt(count(*)) AND sum(r.rows_per_call * r.call_count)
				>= 1.1 * sum(r.expected_rows_per_call * r.call_count) + 0.3 * t.counters_rows_per_h)
			OR (sum(r.z_blks) >= 5 * sqrt(count(*)) AND sum(r.blks_per_call * r.call_count)
				>= 1.1 * sum(r.expected_blks_per_call * r.call_count) + 0.3 * t.counters_blks_per_h)
			OR (sum(r.z_wal) >= 5 * sqrt(count(*)) AND sum(r.wal_per_call * r.call_count)
				>= 1.1 * sum(r.expected_wal_per_call * r.call_count) + 0.3 * t.counters_wal_bytes_per_h)
	) s;
	IF service_keys IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH hours AS MATERIALIZED (
		SELECT h.*, j.end_time, h.expected_avg_us * exp(least(greatest(h.common, -5), 5)) AS usual_us
		FROM @extschema@._chpg_pair_scores(service_keys, pattern_keys,
			(SELECT min(j.end_time) FROM unnest(judged) j) - interval '48 hours',
			(SELECT max(j.end_time) FROM unnest(judged) j)) h
		JOIN unnest(judged) j ON j.service_key = h.service_key
		WHERE h.call_count > 0 AND h.baseline_hours >= 2 AND h.expected_avg_us > 0 AND h.expected_avg_us < 1e18
			AND h.total_us < 1e18 AND coalesce(h.p99_us < 1e18, true) AND coalesce(h.expected_p99_us < 1e18, true)
			AND h.window_start >= j.end_time - interval '48 hours' AND h.window_start < j.end_time
	), scored AS (
		SELECT h.*, m.metric, m.z, m.measure, row_number() OVER w AS place,
			count(*) OVER (w ROWS 2 PRECEDING) = 3 AND avg(m.z) OVER (w ROWS 2 PRECEDING) < 0.7 AS is_usual
		FROM hours h
		CROSS JOIN LATERAL (VALUES ('mean', h.z_avg, h.avg_us), ('p99', h.z_p99, h.p99_us),
			('rows', h.z_rows, h.rows_per_call), ('blks', h.z_blks, h.blks_per_call), ('wal', h.z_wal, h.wal_per_call))
			m(metric, z, measure)
		WHERE m.z IS NOT NULL
		WINDOW w AS (PARTITION BY h.service_key, h.pattern_key, m.metric ORDER BY h.window_start DESC)
	), lasting AS (
		-- three usual hours end an episode: what was before them is not summed
		SELECT s.*
		FROM (
			SELECT s.*, bool_or(s.is_usual) OVER w AS was_usual,
				max(CASE WHEN s.place = 1 THEN s.window_start END) OVER w AS last_start
			FROM scored s
			WINDOW w AS (PARTITION BY s.service_key, s.pattern_key, s.metric ORDER BY s.window_start DESC)
		) s
		WHERE NOT s.was_usual AND s.last_start >= s.end_time - interval '3 hours'
	), summed AS (
		SELECT s.service_key, s.pattern_key, s.metric, s.window_start AS since, s.place AS hours,
			sum(s.z) OVER w / sqrt(s.place) AS score,
			sum(CASE WHEN s.place <= 2 THEN s.z END) OVER w / sqrt(least(s.place, 2)) AS last_score,
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
			sum(s.wal_per_call * s.call_count) OVER w AS wal_bytes,
			sum(s.total_us) FILTER (WHERE s.place <= 3) OVER w / sum(s.call_count) FILTER (WHERE s.place <= 3) OVER w
				AS last_avg_us,
			sum(s.usual_us * s.call_count) FILTER (WHERE s.place <= 3) OVER w
				/ sum(s.call_count) FILTER (WHERE s.place <= 3) OVER w AS last_expected_us,
			sum(s.measure * s.call_count) FILTER (WHERE s.place <= 3) OVER w
				/ sum(s.call_count) FILTER (WHERE s.place <= 3) OVER w AS latest
		FROM lasting s
		WINDOW w AS (PARTITION BY s.service_key, s.pattern_key, s.metric ORDER BY s.window_start DESC)
	)
	SELECT DISTINCT ON (b.service_key, b.pattern_key, b.metric) b.service_key, b.pattern_key, b.metric, b.since,
		b.hours::integer, b.score, b.last_score, b.baseline_hours, b.calls, b.total_us, b.expected_us, b.max_us,
		b.p99_us, b.expected_p99_us, b.rows_factor, b.blks_factor, b.wal_factor, b.rows, b.blks, b.wal_bytes,
		b.last_avg_us, b.last_expected_us, b.latest
	FROM summed b
	ORDER BY b.service_key, b.pattern_key, b.metric, b.score DESC, b.since;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_episodes(@extschema@._chpg_thresholds,
	@extschema@._chpg_judged_service[], @extschema@._chpg_hour_score[]) IS
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

/* The counters say why, from the same pattern in the week before the onset: one pass over both for all patterns. */
CREATE FUNCTION @extschema@._chpg_episode_causes(of_service text, keys integer[], sinces timestamptz[],
	until timestamptz)
RETURNS TABLE (pattern_key integer, cause text, is_colder boolean, is_warm boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
	of_key integer;
	first_start timestamptz;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	of_key := (SELECT k.service_key FROM service_key k WHERE k.service_id = of_service);
	first_start := (SELECT min(s) FROM unnest(sinces) s) - interval '168 hours';
	RETURN QUERY
	WITH summed AS (
		SELECT p.pattern_key, p.window_start >= e.since AS is_after, count(*) AS windows,
			count(p.call_count) AS counted,
			sum(p.call_count) AS calls, sum(p.total_duration_us) FILTER (WHERE p.call_count IS NOT NULL) AS total_us,
			sum(p.call_count) FILTER (WHERE p.total_duration_us IS NOT NULL) AS timed,
			sum(p.total_rows)::float8 AS rows, sum(p.call_count) FILTER (WHERE p.total_rows IS NOT NULL) AS rows_of,
			sum(p.total_shared_blks_read)::float8 AS blks_read,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_read IS NOT NULL) AS read_of,
			sum(p.total_shared_blks_hit)::float8 AS blks_hit,
			sum(p.call_count) FILTER (WHERE p.total_shared_blks_hit IS NOT NULL) AS hit_of,
			sum(p.total_shared_blks_read) FILTER (WHERE p.window_start = until - interval '1 hour')::float8 AS last_read,
			sum(p.total_shared_blks_hit) FILTER (WHERE p.window_start = until - interval '1 hour')::float8 AS last_hit,
			sum(p.total_cpu_time_us) AS cpu_us,
			sum(p.call_count) FILTER (WHERE p.total_cpu_time_us IS NOT NULL) AS cpu_of
		FROM @extschema@._chpg_window_hour() p
		JOIN unnest(keys, sinces) e(key, since) ON e.key = p.pattern_key
			AND p.window_start >= e.since - interval '168 hours'
		WHERE p.service_key = of_key AND p.window_start >= first_start
			AND p.window_start <= until - interval '1 hour' AND p.pattern_key = ANY (keys)
		GROUP BY p.pattern_key, is_after
	), whole AS (
		SELECT s.pattern_key, s.is_after, s.last_read, s.last_hit, s.total_us / nullif(s.timed, 0)::float8 AS avg_us,
			@extschema@._chpg_extrapolated(s.calls::float8, s.counted, s.windows) AS all_calls,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(s.total_us, s.timed, s.calls), s.counted,
				s.windows) AS all_us,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(s.rows, s.rows_of, s.calls), s.counted,
				s.windows) AS all_rows,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(s.blks_read, s.read_of, s.calls), s.counted,
				s.windows) AS all_read,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(s.blks_hit, s.hit_of, s.calls), s.counted,
				s.windows) AS all_hit,
			@extschema@._chpg_extrapolated(@extschema@._chpg_extrapolated(s.cpu_us, s.cpu_of, s.calls), s.counted,
				s.windows) AS all_cpu_us
		FROM summed s
	), pattern AS (
		SELECT w.pattern_key, w.is_after, w.last_read, w.last_hit,
			ROW(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
			@extschema@._chpg_counted(w.all_calls), NULL, w.all_us, w.avg_us, NULL, NULL, NULL, NULL, NULL, NULL,
			NULL, NULL, NULL, @extschema@._chpg_counted(w.all_rows), @extschema@._chpg_counted(w.all_read),
			@extschema@._chpg_counted(w.all_hit), w.all_cpu_us, NULL)::@extschema@.chpg_period_pattern_row AS counters
		FROM whole w
	)
	SELECT a.pattern_key, @extschema@._chpg_change_cause(a.counters, b.counters),
		@extschema@._chpg_is_colder((a.counters).total_shared_blks_read, (a.counters).total_shared_blks_hit,
			(b.counters).total_shared_blks_read, (b.counters).total_shared_blks_hit),
		NOT coalesce(@extschema@._chpg_is_colder((a.counters).total_shared_blks_read,
			(a.counters).total_shared_blks_hit, b.last_read, b.last_hit), true)
	FROM pattern a
	JOIN pattern b ON b.pattern_key = a.pattern_key AND b.is_after
	WHERE NOT a.is_after;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_episode_causes(text, integer[], timestamptz[], timestamptz) IS
'Why patterns of a service are slower since their onsets than in the week before.
By their counters, as _chpg_change_cause.
is_colder: a larger share of its blocks comes from storage. is_warm: not so in the last hour.
keys, sinces: a pattern and its onset each. A pattern that did not run in that week is left out.
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

CREATE TYPE @extschema@._chpg_fresh_pattern AS (
	service_key integer,
	pattern_key integer,
	since timestamptz,
	hours integer,
	calls double precision,
	total_us double precision,
	max_us double precision,
	last_avg_us double precision,
	last_start timestamptz,
	name @extschema@._chpg_pattern_name,
	predecessor @extschema@._chpg_pattern_name,
	similarity double precision,
	predecessor_avg_us double precision,
	predecessor_calls_per_h double precision,
	app_is_new boolean,
	is_churn boolean
);

COMMENT ON TYPE @extschema@._chpg_fresh_pattern IS
'A pattern that the history of a service has for a day at most.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.service_key IS 'Key of the service.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.pattern_key IS 'Key of the pattern.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.since IS 'Start of the first hour that has it.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.hours IS 'Hours in which it was executed.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.calls IS 'Executions.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.total_us IS 'Time of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.max_us IS 'Longest single execution, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.last_avg_us IS
'Mean time of the executions of the last four hours, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.last_start IS 'Start of the last hour that has it.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.name IS 'What identifies it.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.predecessor IS
'The pattern of a similar text that vanished when this one appeared; null if there is none.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.similarity IS 'Share of words that both texts have in common.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.predecessor_avg_us IS
'Mean time that is expected of the predecessor in these hours, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.predecessor_calls_per_h IS
'Executions per hour that are expected of the predecessor in these hours.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.app_is_new IS 'Whether its application has no older pattern.';
COMMENT ON COLUMN @extschema@._chpg_fresh_pattern.is_churn IS
'Whether its words are those of many other new ones, hour after hour.';

/*
 * Scores tell that an hour has no baseline; that a pattern is new is decided by all days
 * that the history has, for a job may run once a week, or once a month.
 */
CREATE FUNCTION @extschema@._chpg_find_fresh(t @extschema@._chpg_thresholds,
	judged @extschema@._chpg_judged_service[], recent @extschema@._chpg_hour_score[])
RETURNS SETOF @extschema@._chpg_fresh_pattern
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	service_keys integer[];
	pattern_keys integer[];
	fresh @extschema@._chpg_fresh_pattern[];
	pair record;
	taken jsonb := '{}';
BEGIN
	SELECT array_agg(u.service_key), array_agg(u.pattern_key) INTO service_keys, pattern_keys
	FROM (
		SELECT DISTINCT r.service_key, r.pattern_key
		FROM unnest(recent) r
		JOIN unnest(judged) j ON j.service_key = r.service_key
		WHERE r.call_count > 0 AND r.baseline_hours = 0 AND j.history_start <= j.end_time - interval '25 hours'
	) u;
	IF service_keys IS NULL THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	fresh := ARRAY(
		WITH seen AS MATERIALIZED (
			SELECT h.service_key, h.pattern_key, min(h.window_start) AS since, count(*)::integer AS hours,
				sum(h.call_count) AS calls, sum(h.total_us) AS total_us, max(h.max_us) AS max_us,
				sum(h.total_us) FILTER (WHERE h.window_start >= j.end_time - interval '4 hours')
					/ nullif(sum(h.call_count) FILTER (WHERE h.window_start >= j.end_time - interval '4 hours'), 0)
						AS last_avg_us,
				max(h.window_start) AS last_start, j.end_time, j.history_start
			FROM @extschema@._chpg_pair_calls(service_keys, pattern_keys,
				(SELECT min(j.end_time) FROM unnest(judged) j) - interval '48 hours',
				(SELECT max(j.end_time) FROM unnest(judged) j)) h
			JOIN unnest(judged) j ON j.service_key = h.service_key
			WHERE h.call_count > 0 AND h.window_start >= j.end_time - interval '48 hours'
				AND h.window_start < j.end_time
			GROUP BY h.service_key, h.pattern_key, j.end_time, j.history_start
		), named AS MATERIALIZED (
			SELECT s.*, n AS name, n.query_id, n.db_name, n.db_user, n.db_operation, n.app
			FROM seen s
			JOIN @extschema@._chpg_pattern_names(pattern_keys) n ON n.pattern_key = s.pattern_key
			WHERE s.since >= s.end_time - interval '24 hours' AND s.since >= s.history_start + interval '24 hours'
		), alike AS MATERIALIZED (
			-- a pattern of several texts, or versions of its application, has several keys
			SELECT n.service_key, n.pattern_key, k.pattern_key AS other_key
			FROM named n
			JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation) =
				(n.query_id, n.db_name, n.db_user, n.db_operation)
				AND (k.app = n.app OR @extschema@._chpg_app_family(k.app) = @extschema@._chpg_app_family(n.app))
		), known AS (
			SELECT DISTINCT a.service_key, a.pattern_key
			FROM alike a
			JOIN named n ON n.service_key = a.service_key AND n.pattern_key = a.pattern_key
			JOIN day_sum d ON d.service_key = a.service_key AND d.pattern_key = a.other_key
				AND d."time" < date_trunc('day', n.since, 'UTC')
		)
		SELECT ROW(n.service_key, n.pattern_key, n.since, n.hours, n.calls, n.total_us, n.max_us, n.last_avg_us,
			n.last_start,
			n.name,
			NULL, NULL, NULL, NULL, NULL, false)::@extschema@._chpg_fresh_pattern
		FROM named n
		WHERE NOT EXISTS (SELECT FROM known k WHERE k.service_key = n.service_key AND k.pattern_key = n.pattern_key));
	IF cardinality(fresh) = 0 THEN
		RETURN;
	END IF;
	-- texts that differ by comments and numbers alone
	fresh := ARRAY(
		SELECT ROW(f.service_key, f.pattern_key, f.since, f.hours, f.calls, f.total_us, f.max_us, f.last_avg_us,
			f.last_start,
			f.name,
			NULL, NULL, NULL, NULL, NULL, count(*) OVER w >= t.renamed_churn_ids * t.renamed_churn_hours
				AND dense_rank() OVER (w ORDER BY f.since) + dense_rank() OVER (w ORDER BY f.since DESC) - 1
					>= t.renamed_churn_hours)::@extschema@._chpg_fresh_pattern
		FROM unnest(fresh) f
		WINDOW w AS (PARTITION BY f.service_key, @extschema@._chpg_query_words((f.name).query_text)));
	-- each pattern that vanished is the predecessor of one at most: the most similar ones first
	FOR pair IN
		WITH less AS MATERIALIZED (
			-- as fast as all of the service is since they are gone
			SELECT r.service_key, r.pattern_key, avg(r.expected_calls) AS calls_per_h,
				coalesce(avg(u.us) FILTER (WHERE r.call_count <= 0.5 * r.expected_calls), avg(u.us)) AS avg_us,
				coalesce(max(r.call_count / r.expected_calls)
					FILTER (WHERE r.window_start = j.end_time - interval '1 hour'), 0) AS left_ratio
			FROM unnest(recent) r
			JOIN unnest(judged) j ON j.service_key = r.service_key
			CROSS JOIN LATERAL (SELECT r.expected_avg_us * exp(least(greatest(r.common, -5), 5)) AS us) u
			WHERE r.service_key IN (SELECT f.service_key FROM unnest(fresh) f) AND r.expected_calls >= 0.5
			GROUP BY r.service_key, r.pattern_key
			-- in a deployment of hours the old ones still run, with the same words
			HAVING bool_and(r.call_count <= 0.85 * r.expected_calls)
				FILTER (WHERE r.window_start = j.end_time - interval '1 hour')
				OR (count(*) FILTER (WHERE r.window_start = j.end_time - interval '1 hour') = 0
					AND bool_and(r.call_count = 0))
		), gone_key AS MATERIALIZED (
			SELECT l.* FROM less l
			UNION ALL
			-- what a version of an application ran for some days has no baseline: the hours before tell
			SELECT h.service_key, h.pattern_key, sum(h.call_count)::float8 / count(DISTINCT h.window_start),
				sum(h.total_duration_us) / sum(h.call_count), 0::float8
			FROM (
				SELECT DISTINCT f.service_key, f.since - d * interval '1 hour' AS start
				FROM unnest(fresh) f
				CROSS JOIN generate_series(1, 3) d
				WHERE NOT f.is_churn AND @extschema@._chpg_app_family((f.name).app) <> (f.name).app
			) f
			JOIN @extschema@._chpg_window_hour() h ON h.service_key = f.service_key AND h.window_start = f.start
			WHERE h.call_count > 0 AND h.total_duration_us > 0 AND (h.service_key, h.pattern_key) NOT IN (
					SELECT l.service_key, l.pattern_key FROM less l)
				AND NOT EXISTS (SELECT FROM unnest(recent) r
					JOIN unnest(judged) j ON j.service_key = r.service_key
						AND r.window_start = j.end_time - interval '1 hour'
					WHERE r.service_key = h.service_key AND r.pattern_key = h.pattern_key AND r.call_count > 0)
			GROUP BY h.service_key, h.pattern_key
		), gone AS MATERIALIZED (
			SELECT g.*, n AS name, @extschema@._chpg_query_words(n.query_text) AS words,
				@extschema@._chpg_main_table(n.query_text) AS main_table
			FROM gone_key g
			JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT k.pattern_key FROM gone_key k)) n
				ON n.pattern_key = g.pattern_key
		), came AS MATERIALIZED (
			SELECT f.*, @extschema@._chpg_query_words((f.name).query_text) AS words,
				@extschema@._chpg_main_table((f.name).query_text) AS main_table
			FROM unnest(fresh) f
			WHERE NOT f.is_churn
		)
		SELECT p.*
		FROM (
			SELECT c.service_key, c.pattern_key, g.pattern_key AS gone_key, g.name AS gone_name, g.avg_us,
				g.calls_per_h, g.left_ratio,
				s.similarity, s.similarity
					- CASE WHEN (c.name).app <> (g.name).app THEN 0.02 ELSE 0 END
					- CASE WHEN (c.name).db_user <> (g.name).db_user THEN 0.02 ELSE 0 END
					- 0.05 * least(abs(ln((1 + c.calls / c.hours) / (1 + g.calls_per_h))), 4) AS weight
			FROM came c
			JOIN gone g ON g.service_key = c.service_key AND (g.name).db_name = (c.name).db_name
				AND (g.name).db_operation = (c.name).db_operation
				AND g.main_table IS NOT DISTINCT FROM c.main_table
				AND ((g.name).app = (c.name).app OR (g.name).db_user = (c.name).db_user)
			CROSS JOIN LATERAL (SELECT CASE WHEN (c.name).text_id = (g.name).text_id THEN 1
				ELSE @extschema@._chpg_word_similarity(c.words, g.words) END AS similarity) s
		) p
		WHERE p.similarity >= t.renamed_similarity AND (p.left_ratio <= 0.5 OR p.similarity = 1)
		ORDER BY p.weight DESC, p.pattern_key, p.gone_key
	LOOP
		CONTINUE WHEN taken ? format('%s %s', pair.service_key, pair.pattern_key)
			OR taken ? format('%s gone %s', pair.service_key, pair.gone_key);
		taken := taken || jsonb_build_object(format('%s %s', pair.service_key, pair.pattern_key),
			jsonb_build_object('gone', pair.gone_key, 'similarity', pair.similarity, 'avg_us', pair.avg_us,
				'calls_per_h', pair.calls_per_h), format('%s gone %s', pair.service_key, pair.gone_key), true);
	END LOOP;
	RETURN QUERY
	SELECT c.service_key, c.pattern_key, c.since, c.hours, c.calls, c.total_us, c.max_us, c.last_avg_us, c.last_start,
		c.name,
		n, (p.pair->>'similarity')::float8, (p.pair->>'avg_us')::float8, (p.pair->>'calls_per_h')::float8,
		NOT EXISTS (SELECT FROM pattern_key k
			JOIN day_sum d ON d.pattern_key = k.pattern_key AND d.service_key = c.service_key
				AND d."time" < date_trunc('day', c.since, 'UTC')
				AND d."time" >= date_trunc('day', c.since, 'UTC') - interval '35 days'
			WHERE k.app = (c.name).app OR @extschema@._chpg_app_family(k.app) = f.family), c.is_churn
	FROM unnest(fresh) c
	CROSS JOIN LATERAL (SELECT @extschema@._chpg_app_family((c.name).app) AS family) f
	CROSS JOIN LATERAL (SELECT taken->format('%s %s', c.service_key, c.pattern_key) AS pair) p
	LEFT JOIN @extschema@._chpg_pattern_names(ARRAY(SELECT (v.value->>'gone')::integer FROM jsonb_each(taken) v
		WHERE jsonb_typeof(v.value) = 'object')) n ON n.pattern_key = (p.pair->>'gone')::integer;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_fresh(@extschema@._chpg_thresholds, @extschema@._chpg_judged_service[],
	@extschema@._chpg_hour_score[]) IS
'The patterns that a service has for a day at most, with those that they replace.
A service whose history is shorter than a day has none.
Errors: 55000 there is no history.';

/* On weekends there is another traffic than on weekdays: days of a kind are compared, if there are any. */
CREATE FUNCTION @extschema@._chpg_past_starts(end_time timestamptz, hours integer)
RETURNS TABLE (day integer, start timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
	SELECT d, end_time - d * interval '24 hours' - hours * interval '1 hour'
	FROM generate_series(1, 28) d
	WHERE (extract(isodow FROM end_time - interval '1 hour' - d * interval '24 hours') > 5)
		= (extract(isodow FROM end_time - interval '1 hour') > 5)
$$;

COMMENT ON FUNCTION @extschema@._chpg_past_starts(timestamptz, integer) IS
'Starts of some hours before a time of day on past days.
On weekdays or on weekends, as it is now.';

CREATE FUNCTION @extschema@._chpg_usual_traffic(of_service text, since timestamptz, until timestamptz)
RETURNS TABLE (window_start timestamptz, call_count bigint, usual double precision)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT c.window_start, c.call_count, (
		SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY b.call_count)
		FROM @extschema@._chpg_past_starts(c.window_start + interval '1 hour', 1) p
		JOIN capture b ON b.service_id = of_service AND b.grain = 'hour' AND b.status = 'ok' AND b.window_start = p.start)
	FROM capture c
	WHERE c.service_id = of_service AND c.grain = 'hour' AND c.status = 'ok' AND c.window_start >= since
		AND c.window_start < until;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_usual_traffic(text, timestamptz, timestamptz) IS
'Executions of a service in its captured hours from a time until another one.
usual: the median of the same hour of past days; null: there are none.
Errors: 55000 there is no history.';
