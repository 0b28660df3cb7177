/*
 * History: taking rows in from elsewhere.
 *
 * The caller's query is read once, into a temporary table of the caller's, and checked
 * there as a whole.  Then its windows are written one by one by the owner of the history,
 * as captures write theirs, all of them in the caller's transaction.
 */

CREATE FUNCTION @extschema@._chpg_import_flaw(row_number bigint, problem text, detail text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('state', '22023', 'message', format('row %s of the import cannot be used: %s', row_number,
		left(regexp_replace(problem, '[^ -~]+', ' ', 'g'), 300)), 'detail', detail, 'hint', 'Nothing was imported.')
	WHERE row_number IS NOT NULL
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_flaw(bigint, text, text) IS
'The error of a row of an import, for _chpg_raise; null without a row.';

CREATE FUNCTION @extschema@._chpg_import_begin(query text, grain text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_check_caller('an import'::text);
	PERFORM @extschema@._chpg_history_owner();
	IF query IS NULL THEN
		RAISE EXCEPTION 'argument "query" must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF grain NOT IN ('hour', 'day') THEN
		RAISE EXCEPTION 'invalid value for "grain": "%": give hour or day', grain
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give hour or day, or null where the rows have a column "grain".';
	END IF;
	CREATE TEMPORARY TABLE _chpg_import (row_number bigint, LIKE @extschema@.chpg_history_row) ON COMMIT DROP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_begin(text, text) IS
'Check the arguments of an import, and create the temporary table for its rows.
Errors: 22004 query is null; 22023 grain; 25006 on a standby; 42501 the caller does not own the
  history; 55000 there is no history.';

/* Columns of the views that follow from others are not looked at. */
CREATE FUNCTION @extschema@._chpg_import_check_columns(line jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known CONSTANT text[] := ARRAY(SELECT a.attname::text FROM pg_attribute a
		WHERE a.attrelid = '@extschema@.chpg_history_row'::regclass ORDER BY a.attnum);
	derived CONSTANT text[] := '{tag_environment,tag_team,query_hex,query,avg_duration_us,hit_ratio,active_executions}';
	unknown CONSTANT text := (SELECT string_agg(format('"%s"', left(k, 63)), ', ' ORDER BY k)
		FROM jsonb_object_keys(line) k WHERE k <> ALL (known || derived));
	missing CONSTANT text := (SELECT c FROM unnest('{service_id,time,query_id}'::text[]) c
		WHERE NOT line ? c AND NOT line ? 'kind' LIMIT 1);
BEGIN
	RETURN CASE
		WHEN unknown IS NOT NULL THEN jsonb_build_object('state', '42703',
			'message', format('the import has unknown columns: %s', left(regexp_replace(unknown, '[^ -~]+', ' ', 'g'), 1000)),
			'detail', format('There are %s, and those of the views pattern_hour and pattern_day.',
				array_to_string(known, ', ')))
		WHEN missing IS NOT NULL THEN jsonb_build_object('state', '42703',
			'message', format('the import lacks the column "%s"', missing)) END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_check_columns(jsonb) IS
'The error of a row with unknown columns, or without one that is needed; or null.';

CREATE FUNCTION @extschema@._chpg_import_limits_of(tags jsonb, OUT cpu_cores integer, OUT memory_bytes bigint,
	OUT storage_bytes bigint, OUT max_connections integer, OUT settings_at timestamptz, OUT settings jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT x.* FROM jsonb_to_record(tags) x(cpu_cores integer, memory_bytes bigint, storage_bytes bigint,
		max_connections integer, settings_at timestamptz, settings jsonb)
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_limits_of(jsonb) IS
'The limits and settings of a row of an import, by its tags.
Errors: class 22 tags is no object, or a value does not fit.';

CREATE FUNCTION @extschema@._chpg_import_take(row_number bigint, line jsonb, grain text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	r @extschema@.chpg_history_row;
	hash text;
	flaw jsonb;
BEGIN
	IF row_number = 1 THEN
		flaw := @extschema@._chpg_import_check_columns(line);
		IF flaw IS NOT NULL THEN
			RETURN flaw;
		END IF;
	END IF;
	r := jsonb_populate_record(NULL::@extschema@.chpg_history_row, line);
	r.kind := coalesce(r.kind, 'pattern');
	IF r.kind = 'service' THEN
		r.valid_from := coalesce(r.valid_from, '-infinity');
		r.valid_to := coalesce(r.valid_to, 'infinity');
		r.noted_at := coalesce(r.noted_at, now());
		r.server := coalesce(r.server, '');
	ELSIF r.kind = 'window' THEN
		r.grain := coalesce(r.grain, grain);
		r.status := coalesce(r.status, 'ok');
		r.truncated := coalesce(r.truncated, r.cutoff_us IS NOT NULL);
	ELSIF r.kind = 'limit' THEN
		r.noted_at := coalesce(r.noted_at, now());
		BEGIN
			PERFORM @extschema@._chpg_import_limits_of(r.tags) WHERE jsonb_typeof(r.tags) = 'object';
		EXCEPTION WHEN data_exception THEN
			RETURN @extschema@._chpg_import_flaw(row_number, format('column "tags": %s', SQLERRM), NULL::text);
		END;
	ELSIF r.kind = 'metric' THEN
		r.series := coalesce(r.series, '');
	ELSIF r.kind = 'pattern' THEN
		r.grain := coalesce(r.grain, grain);
		r.db_name := coalesce(r.db_name, '');
		r.db_user := coalesce(r.db_user, '');
		r.db_operation := coalesce(r.db_operation, '');
		r.app := coalesce(r.app, '');
		IF line ? 'avg_duration_us' THEN
			r.total_duration_us := coalesce(r.total_duration_us, (line->>'avg_duration_us')::float8 * r.call_count);
		END IF;
		IF r.tags IS NULL AND line ?| '{tag_environment,tag_team}' THEN
			r.tags := jsonb_strip_nulls(jsonb_build_object('Environment', line->'tag_environment', 'team', line->'tag_team'));
		END IF;
		IF r.query_text IS NULL AND r.text_hash IS NULL THEN
			r.query_text := '';
		END IF;
		hash := encode(sha256(convert_to(r.query_text, 'UTF8')), 'hex');
		IF lower(r.text_hash) <> hash THEN
			RETURN @extschema@._chpg_import_flaw(row_number, 'column "text_hash" is not the sha256 of query_text'::text,
				NULL::text);
		END IF;
		r.text_hash := coalesce(hash, lower(r.text_hash));
	END IF;
	INSERT INTO pg_temp._chpg_import SELECT row_number, r.*;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_take(bigint, jsonb, text) IS
'Put a row of an import into the temporary table, with what it omits.
grain: grain of a row without one.
Returns the error of the row, for _chpg_raise, or null.
Errors: class 22 a value does not fit its column.';

/* The error of a conversion names no column: each is tried by itself. */
CREATE FUNCTION @extschema@._chpg_import_diagnose(row_number bigint, line jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	field record;
	message text;
BEGIN
	FOR field IN
		SELECT l.key, l.value, format_type(a.atttypid, NULL) AS type
		FROM jsonb_each(line) l
		JOIN pg_attribute a ON a.attrelid = '@extschema@.chpg_history_row'::regclass
			AND a.attname = CASE l.key WHEN 'avg_duration_us' THEN 'total_duration_us' ELSE l.key END
		ORDER BY a.attnum
	LOOP
		BEGIN
			PERFORM jsonb_populate_record(NULL::@extschema@.chpg_history_row,
				jsonb_build_object(CASE field.key WHEN 'avg_duration_us' THEN 'total_duration_us' ELSE field.key END,
					field.value));
			CONTINUE;
		EXCEPTION WHEN data_exception THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
		END;
		RETURN @extschema@._chpg_import_flaw(row_number, format('column "%s": %s', field.key, message),
			format('Its type is %s.', field.type));
	END LOOP;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_diagnose(bigint, jsonb) IS
'The error that names the column whose value does not fit, for _chpg_raise, or null.';

CREATE FUNCTION @extschema@._chpg_import_check()
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET enable_hashagg = off
AS $$
DECLARE
	bad record;
BEGIN
	EXECUTE format($query$
		SELECT s.row_number, p.found[1] AS problem, p.found[2] AS detail
		FROM pg_temp._chpg_import s
		CROSS JOIN LATERAL (SELECT s.kind IN ('pattern', 'window') AS is_window,
			CASE s.grain WHEN 'day' THEN interval '24 hours' ELSE interval '1 hour' END AS length) l
		CROSS JOIN LATERAL (SELECT CASE
			WHEN s.kind NOT IN ('service', 'window', 'pattern', 'metric', 'limit') THEN
				ARRAY[format('column "kind" is "%%s"', s.kind), 'It is service, window, pattern, metric or limit.']
			WHEN s.service_id IS NULL THEN ARRAY['column "service_id" is null', NULL]
			WHEN s.service_id = '' OR length(s.service_id) > 50 OR s.service_id ~ '[[:cntrl:]]' THEN
				ARRAY[format('column "service_id" is "%%s"', s.service_id), 'It has 1 to 50 characters.']
			WHEN l.is_window AND s.grain IS NULL THEN
				ARRAY['column "grain" is null', 'Give the argument "grain", or rows that have the column.']
			WHEN l.is_window AND s.grain NOT IN ('hour', 'day') THEN
				ARRAY[format('column "grain" is "%%s"', s.grain), 'It is hour or day.']
			WHEN s.kind <> 'service' AND s."time" IS NULL THEN ARRAY['column "time" is null', NULL]
			WHEN s.kind <> 'service' AND (NOT isfinite(s."time") OR s."time" < '2000-01-01 00:00Z'
				OR s."time" > now() - CASE WHEN l.is_window THEN l.length ELSE '0' END) THEN
				ARRAY[format('column "time" is %%s', s."time"), 'Windows have ended, and are not older than the year 2000.']
			WHEN l.is_window AND date_bin(l.length, s."time", '2000-01-01 00:00Z') <> s."time" THEN
				ARRAY[format('column "time" is %%s', s."time"),
					format('A window begins with %%s (UTC).', CASE s.grain WHEN 'day' THEN 'a day' ELSE 'an hour' END)]
			WHEN s.kind = 'limit' AND date_trunc('day', s."time") <> s."time" THEN
				ARRAY[format('column "time" is %%s', s."time"), 'A day begins at midnight (UTC).']
			WHEN s.kind = 'limit' AND (s.tags IS NULL OR NOT isfinite(s.noted_at) OR s.noted_at > now() + interval '1 day'
				OR jsonb_typeof(s.tags->'settings') NOT IN ('object', 'null')
				OR NOT isfinite((s.tags->>'settings_at')::timestamptz)
				OR least((s.tags->>'cpu_cores')::numeric, (s.tags->>'memory_bytes')::numeric,
					(s.tags->>'storage_bytes')::numeric, (s.tags->>'max_connections')::numeric) < 0) THEN
				ARRAY['columns "tags" and "noted_at" are no limits', 'Numbers are not negative, and settings an object.']
			WHEN s.kind = 'pattern' AND s.query_id IS NULL THEN ARRAY['column "query_id" is null', NULL]
			WHEN s.kind = 'pattern' AND s.text_hash !~ '^[0-9a-f]{64}$' THEN
				ARRAY[format('column "text_hash" is "%%s"', s.text_hash), 'It has 64 hexadecimal digits.']
			WHEN s.kind = 'service' AND NOT (s.valid_from < s.valid_to AND isfinite(s.noted_at)) THEN
				ARRAY[format('columns "valid_from", "valid_to" and "noted_at" are %%s, %%s and %%s', s.valid_from, s.valid_to,
					s.noted_at), 'A service is as described from the first to the second.']
			WHEN jsonb_typeof(s.tags) NOT IN ('object', 'null') THEN ARRAY['column "tags" is no object', NULL]
			WHEN s.kind = 'window' AND s.status NOT IN ('ok', 'error', 'lost') THEN
				ARRAY[format('column "status" is "%%s"', s.status), 'It is ok, error or lost.']
			WHEN s.patterns < 0 THEN ARRAY[format('column "patterns" is %%s', s.patterns), 'It is not negative.']
			WHEN s.attempts < 0 THEN ARRAY[format('column "attempts" is %%s', s.attempts), 'It is not negative.']
			WHEN NOT s.cutoff_us BETWEEN 0 AND 1e18 THEN
				ARRAY[format('column "cutoff_us" is %%s', s.cutoff_us), 'It is a number from 0 to 1e18.']
			WHEN s.kind = 'window' AND s.truncated AND s.cutoff_us IS NULL THEN
				ARRAY['column "cutoff_us" is null', 'A truncated window has a cutoff.']
			WHEN NOT isfinite(s.captured_at) THEN ARRAY[format('column "captured_at" is %%s', s.captured_at), NULL]
			WHEN s.kind = 'metric' AND s.metric IS NULL THEN ARRAY['column "metric" is null', NULL]
			WHEN s.kind = 'metric' AND (s.points IS NULL OR array_ndims(s.points) <> 1 OR array_lower(s.points, 1) <> 1
				OR cardinality(s.points) > 86400 OR 'NaN' = ANY (s.points) OR 1e18 < ANY (s.points) OR -1e18 > ANY (s.points))
				THEN ARRAY['column "points" has no numbers', 'It has one dimension, and numbers from -1e18 to 1e18.']
			WHEN s.kind = 'metric' AND (s.step_s IS NULL OR s.step_s < 1 OR s.step_s > 86400
				OR s."time" + (cardinality(s.points) - 1) * interval '1 second' * s.step_s
					>= date_trunc('day', s."time") + interval '24 hours') THEN
				ARRAY[format('column "step_s" is %%s', coalesce(s.step_s::text, 'null')),
					'It is at least 1, and all points are of one day (UTC).']
			WHEN octet_length(s.query_text) > 16000000 THEN ARRAY['its query_text has more than 16000000 bytes', NULL]
			WHEN greatest(octet_length(s.error), CASE WHEN s.kind <> 'limit' THEN octet_length(s.tags::text) END) > 100000
				THEN ARRAY['a text has more than 100000 bytes', NULL]
			WHEN octet_length(s.tags::text) > 1000000 THEN ARRAY['its tags have more than 1000000 bytes', NULL]
			WHEN greatest(octet_length(s.service_name), octet_length(s.region), octet_length(s.size), octet_length(s.ha_type),
				octet_length(s.postgres_version), octet_length(s.server), octet_length(s.metric), octet_length(s.series),
				octet_length(s.unit), octet_length(s.db_name), octet_length(s.db_user), octet_length(s.db_operation),
				octet_length(s.app)) > 500 THEN ARRAY['a name has more than 500 bytes', NULL]
			%s END AS found) p
		WHERE p.found IS NOT NULL
		ORDER BY s.row_number
		LIMIT 1
	$query$, @extschema@._chpg_of_counters('WHEN NOT s.{} BETWEEN 0
		AND CASE ''{type}'' WHEN ''real'' THEN 1e18 ELSE 9223372036854775807 END::{wide}
		THEN ARRAY[format(''column "{}" is %s'', s.{}), ''It is a number, not negative, and in range.'']'::text, ' '::text))
	INTO bad;
	IF bad.row_number IS NULL THEN
		-- a text stands in one row of the service, whichever that is
		CREATE TEMPORARY TABLE _chpg_import_text ON COMMIT DROP AS
		SELECT DISTINCT ON (s.text_hash) s.text_hash, s.query_text FROM pg_temp._chpg_import s
		WHERE s.kind = 'pattern' AND s.query_text IS NOT NULL ORDER BY s.text_hash;
		CREATE INDEX ON pg_temp._chpg_import_text (text_hash);
		SELECT s.row_number, 'column "query_text" is null' AS problem,
			'No row has the text of its text_hash.' AS detail
		FROM pg_temp._chpg_import s
		WHERE s.kind = 'pattern' AND NOT EXISTS (SELECT FROM pg_temp._chpg_import_text t WHERE t.text_hash = s.text_hash)
		ORDER BY s.row_number LIMIT 1
		INTO bad;
	END IF;
	IF bad.row_number IS NULL THEN
		SELECT max(s.row_number) AS row_number, format('it is row %s again', min(s.row_number)) AS problem,
			'A window has a pattern once, by query_id, text, database, user, operation and application; and a service '
			'has a window once, and a row for each time.' AS detail
		FROM pg_temp._chpg_import s
		GROUP BY s.kind, s.service_id, s.grain, s."time", s.query_id, s.text_hash, s.db_name, s.db_user, s.db_operation,
			s.app, s.metric, s.series, s.valid_from
		HAVING count(*) > 1
		ORDER BY 1 LIMIT 1
		INTO bad;
	END IF;
	IF bad.row_number IS NULL THEN
		SELECT o.row_number, format('column "valid_from" is %s', o.valid_from) AS problem,
			'The row of the service before it is valid until later.' AS detail
		FROM (SELECT s.row_number, s.valid_from,
				lag(s.valid_to) OVER (PARTITION BY s.service_id ORDER BY s.valid_from) AS ended
			FROM pg_temp._chpg_import s WHERE s.kind = 'service') o
		WHERE o.ended > o.valid_from
		ORDER BY 1 LIMIT 1
		INTO bad;
	END IF;
	IF bad.row_number IS NULL THEN
		SELECT max(s.row_number) AS row_number, format('its metric has more than %s of the day',
				CASE WHEN count(DISTINCT s.series) > 1000 THEN '1000 series' ELSE '2000000 points' END) AS problem,
			NULL::text AS detail
		FROM pg_temp._chpg_import s
		WHERE s.kind = 'metric'
		GROUP BY s.service_id, s.metric, date_trunc('day', s."time")
		HAVING count(DISTINCT s.series) > 1000 OR sum(cardinality(s.points)) > 2000000
		ORDER BY 1 LIMIT 1
		INTO bad;
	END IF;
	IF bad.row_number IS NULL THEN
		-- a window is written as a whole, each of its patterns with its text
		SELECT coalesce(w.first_pattern, w.first_row) AS row_number,
			CASE WHEN w.bytes > 200000000 THEN 'its window takes more than 200 MB'
				WHEN w.patterns > 0 THEN 'its window has another status than ok'
				ELSE format('its window has %s patterns, of which there is no row', w.expected) END AS problem,
			CASE WHEN w.patterns = 0 THEN 'They would replace those that the history has.' END AS detail
		FROM (
			SELECT min(s.row_number) AS first_row, min(s.row_number) FILTER (WHERE s.kind = 'pattern') AS first_pattern,
				count(*) FILTER (WHERE s.kind = 'pattern') AS patterns,
				max(s.patterns) FILTER (WHERE s.status = 'ok') AS expected,
				bool_or(s.kind = 'window' AND s.status <> 'ok') AS is_other,
				sum(coalesce(octet_length(t.query_text), 0) + 500) AS bytes
			FROM pg_temp._chpg_import s
			LEFT JOIN pg_temp._chpg_import_text t ON t.text_hash = s.text_hash
			WHERE s.kind IN ('pattern', 'window')
			GROUP BY s.service_id, s.grain, s."time"
		) w
		WHERE w.bytes > 200000000 OR CASE w.patterns WHEN 0 THEN w.expected > 0 ELSE w.is_other END
		ORDER BY 1 LIMIT 1
		INTO bad;
	END IF;
	RETURN @extschema@._chpg_import_flaw(bad.row_number, bad.problem, bad.detail);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_check() IS
'The error of the first row of an import that cannot be used, for _chpg_raise, or null.';

/*
 * What either side noted later continues what was noted before.  So an old history can be
 * imported into a new one, and a newer one into a copy, or into one that ended before.
 */
CREATE FUNCTION @extschema@._chpg_import_service(id text, states @extschema@.chpg_history_row[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	oldest timestamptz := (SELECT min(n.noted_at) FROM unnest(states) n);
	newest timestamptz := (SELECT max(n.noted_at) FROM unnest(states) n);
	since timestamptz := '-infinity';
	until timestamptz;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	PERFORM @extschema@._chpg_service_key(id);
	-- a name that stands in patterns alone is of no certain time
	IF (states[1]).kind <> 'service' AND EXISTS (SELECT FROM service s WHERE s.service_id = id) THEN
		RETURN;
	END IF;
	DELETE FROM service s WHERE s.service_id = id AND s.noted_at BETWEEN oldest AND newest;
	IF EXISTS (SELECT FROM service s WHERE s.service_id = id AND s.noted_at < oldest) THEN
		since := (SELECT min(coalesce(nullif(n.valid_from, '-infinity'), n.noted_at)) FROM unnest(states) n);
		DELETE FROM service s WHERE s.service_id = id AND s.noted_at < oldest AND s.valid_from >= since;
		UPDATE service s SET valid_to = since WHERE s.service_id = id AND s.noted_at < oldest AND s.valid_to > since;
	END IF;
	UPDATE service s SET valid_from = s.noted_at
	WHERE s.service_id = id AND s.noted_at > newest AND s.valid_from = '-infinity';
	until := coalesce((SELECT min(s.valid_from) FROM service s WHERE s.service_id = id AND s.noted_at > newest),
		'infinity');
	INSERT INTO service (service_id, valid_from, valid_to, noted_at, service_name, region, size, ha_type,
		postgres_version, tags, server)
	SELECT id, f.valid_from, f.valid_to, coalesce(n.noted_at, now()), n.service_name, n.region, n.size, n.ha_type,
		n.postgres_version, n.tags, coalesce(n.server, '')
	FROM unnest(states) n
	CROSS JOIN LATERAL (
		SELECT greatest(n.valid_from, since) AS valid_from, least(n.valid_to, until) AS valid_to) f
	WHERE f.valid_from < f.valid_to;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_service(text, @extschema@.chpg_history_row[]) IS
'Note the states of a service over time; those that the history noted later stay.';

CREATE FUNCTION @extschema@._chpg_import_window(service_id text, grain text, window_start timestamptz,
	status text, patterns @extschema@.chpg_slow_pattern_row[], patterns_returned integer, truncated boolean,
	cutoff_us double precision, error text, attempts integer, captured_at timestamptz, sealed_before timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	window_end CONSTANT timestamptz := window_start + CASE grain WHEN 'day' THEN interval '24 hours' ELSE '1 hour' END;
	of_service integer;
	rows @extschema@._chpg_window_row[];
	is_new boolean;
	differs boolean;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF status <> 'ok' THEN
		INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us,
			error, attempts, captured_at)
		VALUES (service_id, grain, window_start, window_end, status, patterns_returned, truncated, cutoff_us, error,
			coalesce(attempts, 0), captured_at)
		ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
		SET (status, patterns, truncated, cutoff_us, error, attempts, captured_at) =
			ROW(excluded.status, excluded.patterns, excluded.truncated, excluded.cutoff_us, excluded.error,
				excluded.attempts, excluded.captured_at)
		WHERE c.status <> 'ok';
		RETURN false;
	END IF;
	of_service := @extschema@._chpg_service_key(service_id);
	rows := @extschema@._chpg_window_rows(patterns, window_end);
	IF window_start < sealed_before THEN
		EXECUTE format('DELETE FROM open_%s o WHERE o.service_key = $1 AND o.window_start = $2', grain)
		USING of_service, window_start;
		differs := @extschema@._chpg_seal_window(grain, of_service, window_start, rows);
	ELSE
		differs := @extschema@._chpg_write_window(grain, of_service, window_start, rows);
	END IF;
	is_new := NOT EXISTS (SELECT FROM capture c
		WHERE (c.service_id, c.grain, c.window_start, c.status) = (service_id, grain, window_start, 'ok'));
	IF grain = 'hour' AND (is_new OR differs) THEN
		PERFORM @extschema@._chpg_forget_scores(of_service, window_start, is_new);
	END IF;
	PERFORM @extschema@._chpg_note_capture(service_id, grain, window_start, window_end, rows,
		coalesce(patterns_returned, cardinality(rows)), coalesce(truncated, false), cutoff_us, false, error,
		coalesce(attempts, 1), coalesce(captured_at, (SELECT c.captured_at FROM capture c
			WHERE (c.service_id, c.grain, c.window_start) = (service_id, grain, window_start) AND NOT differs)));
	RETURN differs;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_window(text, text, timestamptz, text,
	@extschema@.chpg_slow_pattern_row[], integer, boolean, double precision, text, integer, timestamptz, timestamptz) IS
'Replace a window, and return whether its patterns differ.
One that was not captured (status error or lost) replaces none that was.
Its scores are deleted; what reads them next finds new ones.
sealed_before: windows that begin earlier are sealed.';

/* A step that all steps are multiples of leaves gaps, which views do not show. */
CREATE FUNCTION @extschema@._chpg_import_points(id text, lines @extschema@.chpg_history_row[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	step_s integer;
	first_time timestamptz;
	end_time timestamptz;
	points @extschema@.chpg_metric_row[];
	l record;
BEGIN
	FOR l IN SELECT n.step_s, n."time", n."time" + cardinality(n.points) * interval '1 second' * n.step_s AS ended
			FROM unnest(lines) n LOOP
		step_s := gcd(coalesce(step_s, l.step_s), l.step_s);
		first_time := least(first_time, l."time");
		end_time := greatest(end_time, l.ended);
	END LOOP;
	points := ARRAY(
		SELECT ROW(id, NULL, n.metric, NULL, n.unit, NULL, n.series,
			n."time" + (v.place - 1) * interval '1 second' * n.step_s, v.value)::@extschema@.chpg_metric_row
		FROM unnest(lines) n
		CROSS JOIN LATERAL unnest(n.points) WITH ORDINALITY v(value, place)
		WHERE v.value IS NOT NULL);
	PERFORM @extschema@._chpg_note_points(@extschema@._chpg_service_key(id), first_time,
		least(end_time, date_trunc('day', first_time, 'UTC') + interval '24 hours'), step_s * interval '1 second', points);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_points(text, @extschema@.chpg_history_row[]) IS
'Replace the points of a metric, day and service from the first to the last one of these.';

CREATE FUNCTION @extschema@._chpg_import_limits(id text, lines @extschema@.chpg_history_row[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO limit_day AS l (service_key, day, noted_at, size, postgres_version, cpu_cores, memory_bytes,
		storage_bytes, max_connections, settings_at, settings)
	SELECT @extschema@._chpg_service_key(id), n."time", n.noted_at, n.size, n.postgres_version, x.cpu_cores,
		x.memory_bytes, x.storage_bytes, x.max_connections, x.settings_at, x.settings
	FROM unnest(lines) n
	CROSS JOIN LATERAL @extschema@._chpg_import_limits_of(n.tags) x
	ORDER BY n."time"
	ON CONFLICT ON CONSTRAINT limit_day_pkey DO UPDATE
	SET (noted_at, size, postgres_version, cpu_cores, memory_bytes, storage_bytes, max_connections, settings_at,
			settings) = ROW(excluded.noted_at, excluded.size, excluded.postgres_version, excluded.cpu_cores,
			excluded.memory_bytes, excluded.storage_bytes, excluded.max_connections, excluded.settings_at,
			excluded.settings)
	WHERE l.noted_at <= excluded.noted_at;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_limits(text, @extschema@.chpg_history_row[]) IS
'Note the limits and settings of a service on some days; what the history noted later stays.';

CREATE FUNCTION @extschema@._chpg_import_write(OUT services bigint, OUT windows bigint, OUT patterns bigint,
	OUT metrics bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET extra_float_digits = 1
SET enable_hashagg = off
AS $$
#variable_conflict use_column
DECLARE
	owner CONSTANT oid := @extschema@._chpg_history_owner();
	settings record;
	expired bigint := 0;
	s record;
	w record;
	d record;
	m record;
	l record;
BEGIN
	services := 0;
	windows := 0;
	patterns := 0;
	metrics := 0;
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_history_lock())'::text, ROW());
	SELECT * INTO settings FROM jsonb_to_record(@extschema@._chpg_run_as(owner,
		'SELECT to_jsonb(s) FROM @extschema@._chpg_history_settings() s'::text, ROW()))
		r(keep_open interval, keep_hour interval, keep_day interval);
	FOR s IN
		SELECT i.service_id, array_agg(jsonb_populate_record(NULL::@extschema@.chpg_history_row, to_jsonb(i))
			ORDER BY i.valid_from) AS states
		FROM pg_temp._chpg_import i
		WHERE i.kind = 'service'
		GROUP BY i.service_id
		UNION ALL
		(SELECT DISTINCT ON (i.service_id) i.service_id,
			-- those of limits are none of the service
			ARRAY[jsonb_populate_record(NULL::@extschema@.chpg_history_row, to_jsonb(i)
				|| CASE i.kind WHEN 'limit' THEN '{"tags": null}' ELSE '{}' END::jsonb)]
		FROM pg_temp._chpg_import i
		WHERE NOT EXISTS (SELECT FROM pg_temp._chpg_import n WHERE n.service_id = i.service_id AND n.kind = 'service')
		ORDER BY i.service_id, i.kind = 'limit', i.kind <> 'pattern', i."time" DESC)
	LOOP
		PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_import_service($1, $2)::text)'::text,
			ROW(s.service_id, s.states));
		services := services + 1;
	END LOOP;
	FOR w IN
		SELECT i.service_id, i.grain, i."time", coalesce(max(i.status), 'ok') AS status, max(i.patterns) AS patterns,
			bool_or(i.truncated) AS truncated, max(i.cutoff_us) AS cutoff_us, max(i.error) AS error,
			max(i.attempts) AS attempts, max(i.captured_at) AS captured_at,
			count(*) OVER () AS total,
			coalesce(array_agg(ROW(i.service_id, NULL, i.query_id, NULL, t.query_text, i.db_name, i.db_user, i.db_operation,
				i.app, i.call_count, i.error_count, i.total_duration_us, NULL, i.max_duration_us, i.p50_duration_us,
				i.p95_duration_us, i.p99_duration_us, i.total_rows, i.total_shared_blks_read, i.total_shared_blks_hit,
				i.total_cpu_time_us, i.total_wal_bytes)::@extschema@.chpg_slow_pattern_row)
				FILTER (WHERE i.kind = 'pattern'), '{}') AS found
		FROM pg_temp._chpg_import i
		LEFT JOIN pg_temp._chpg_import_text t ON t.text_hash = i.text_hash
		WHERE i.kind IN ('pattern', 'window')
		GROUP BY i.service_id, i.grain, i."time"
		ORDER BY i.service_id, i.grain, i."time"
	LOOP
		PERFORM @extschema@._chpg_progress('import: write'::text, windows, w.total);
		PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_import_window($1, $2, $3, $4, $5, $6,
				$7, $8, $9, $10, $11, $12))'::text,
			ROW(w.service_id, w.grain, w."time", w.status, w.found, w.patterns, w.truncated, w.cutoff_us, w.error,
				w.attempts, w.captured_at, now() - settings.keep_open));
		windows := windows + 1;
		patterns := patterns + cardinality(w.found);
		expired := expired + (w."time" < now() - CASE w.grain WHEN 'day' THEN settings.keep_day
			ELSE settings.keep_hour END)::integer;
	END LOOP;
	FOR d IN SELECT DISTINCT i.service_id, date_trunc('day', i."time") AS day FROM pg_temp._chpg_import i
			WHERE i.kind IN ('pattern', 'window') AND i.grain = 'hour' LOOP
		PERFORM @extschema@._chpg_run_as(owner,
			'SELECT to_jsonb(@extschema@._chpg_sum_day(@extschema@._chpg_service_key($1), $2)::text)'::text,
			ROW(d.service_id, d.day));
	END LOOP;
	FOR m IN
		SELECT i.service_id, array_agg(jsonb_populate_record(NULL::@extschema@.chpg_history_row, to_jsonb(i))) AS lines
		FROM pg_temp._chpg_import i
		WHERE i.kind = 'metric'
		GROUP BY i.service_id, date_trunc('day', i."time"), i.metric
	LOOP
		PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_import_points($1, $2)::text)'::text,
			ROW(m.service_id, m.lines));
		metrics := metrics + cardinality(m.lines);
	END LOOP;
	FOR l IN
		SELECT i.service_id, array_agg(jsonb_populate_record(NULL::@extschema@.chpg_history_row, to_jsonb(i))) AS lines
		FROM pg_temp._chpg_import i
		WHERE i.kind = 'limit'
		GROUP BY i.service_id
	LOOP
		PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_import_limits($1, $2)::text)'::text,
			ROW(l.service_id, l.lines));
	END LOOP;
	DROP TABLE pg_temp._chpg_import, pg_temp._chpg_import_text;
	PERFORM @extschema@._chpg_progress('import: write'::text, NULL::bigint, NULL::bigint);
	IF expired > 0 THEN
		RAISE NOTICE '% of the imported windows are older than the history keeps them', expired
			USING HINT = 'The next purge removes them. See its settings keep_hour and keep_day.';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_import_write() IS
'Write the rows of an import into the history, as its owner, and return how many they were.
Errors: 55000 the history cannot be used.';

/*
 * The query runs with the rights, the search_path and the settings of the caller, so that
 * nothing here is found by a search_path.
 */
CREATE FUNCTION @extschema@.chpg_history_import(
	query text,
	grain text DEFAULT NULL,
	OUT services bigint,
	OUT windows bigint,
	OUT patterns bigint,
	OUT metrics bigint)
LANGUAGE plpgsql VOLATILE
SET extra_float_digits = 1
AS $$
DECLARE
	line pg_catalog.record;
	lines pg_catalog.jsonb;
	row_number bigint := 0;
	flaw pg_catalog.jsonb;
BEGIN
	PERFORM @extschema@._chpg_import_begin(query, grain);
	BEGIN
		FOR line IN EXECUTE query LOOP
			IF row_number OPERATOR(pg_catalog.%) 1000 OPERATOR(pg_catalog.=) 0 THEN
				PERFORM @extschema@._chpg_progress('import: read'::pg_catalog.text, row_number, NULL::pg_catalog.int8);
			END IF;
			row_number := row_number OPERATOR(pg_catalog.+) 1;
			lines := pg_catalog.to_jsonb(line);
			flaw := @extschema@._chpg_import_take(row_number, lines, grain);
			EXIT WHEN flaw IS NOT NULL;
		END LOOP;
	EXCEPTION WHEN data_exception THEN
		flaw := @extschema@._chpg_import_diagnose(row_number, lines);
		IF flaw IS NULL THEN
			RAISE;
		END IF;
	END;
	IF flaw IS NULL THEN
		flaw := @extschema@._chpg_import_check();
	END IF;
	IF flaw IS NOT NULL THEN
		PERFORM @extschema@._chpg_raise(pg_catalog.jsonb_extract_path_text(flaw, 'state'),
			pg_catalog.jsonb_extract_path_text(flaw, 'message'), pg_catalog.jsonb_extract_path_text(flaw, 'detail'),
			pg_catalog.jsonb_extract_path_text(flaw, 'hint'), NULL);
	END IF;
	PERFORM @extschema@._chpg_progress('import: read'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	SELECT w.services, w.windows, w.patterns, w.metrics INTO services, windows, patterns, metrics
	FROM @extschema@._chpg_import_write() w;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_import(text, text) IS
'Import the rows of a query into the history, and return how many of each kind.
query: returns columns of chpg_history_row, or of the views pattern_hour and pattern_day, by
  their names and in any order; service_id, time and query_id at least. It runs with the
  caller''s rights and search_path. Its rows may come in any order.
grain: hour or day, of rows without a column "grain".
Windows are replaced as wholes, and the points of a metric and day from the first one to the
  last one, of the series that come: the same import again changes nothing. A window that was
  not captured (status error or lost) replaces none that was. Limits of a day that the history
  noted later stay, too. Rows of the views lack what an export has: errors without a query id,
  and whether a window was truncated. Windows older than the setting keep_open are packed.
All or nothing: a row that cannot be used is an error with its number and column. Captures
  wait until the transaction ends.
Requests: none.
Errors: 22004 query is null; 22023 a row, or grain, cannot be used; 25006 on a standby; 42501
  the caller does not own the history; 42703 unknown columns, or one is missing; 42P11 query is
  no single SELECT; 55000 there is no history, or it cannot be used; those of the query.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_import(text, text) FROM PUBLIC;
