/*
 * History: its rows in a form that another history takes.
 *
 * One type of row for all that a history has, so that one COPY moves it.  Columns that the
 * views have, too, have their names there, so that an import takes rows of both.
 */

CREATE TYPE @extschema@.chpg_history_row AS (
	kind text,
	grain text,
	"time" timestamptz,
	service_id text,
	service_name text,
	region text,
	size text,
	ha_type text,
	postgres_version text,
	tags jsonb,
	server text,
	valid_from timestamptz,
	valid_to timestamptz,
	noted_at timestamptz,
	status text,
	patterns integer,
	truncated boolean,
	cutoff_us double precision,
	error text,
	attempts integer,
	captured_at timestamptz,
	metric text,
	series text,
	unit text,
	step_s integer,
	points real[],
	query_id bigint,
	text_hash text,
	query_text text,
	db_name text,
	db_user text,
	db_operation text,
	app text,
	call_count bigint,
	error_count bigint,
	total_rows bigint,
	total_shared_blks_read bigint,
	total_shared_blks_hit bigint,
	total_wal_bytes bigint,
	total_duration_us double precision,
	max_duration_us double precision,
	p50_duration_us double precision,
	p95_duration_us double precision,
	p99_duration_us double precision,
	total_cpu_time_us double precision
);

COMMENT ON TYPE @extschema@.chpg_history_row IS
'A service, a window, a pattern of a window, or a time series or the limits of a day, of a history.';
COMMENT ON COLUMN @extschema@.chpg_history_row.kind IS
'service, window, pattern, metric or limit; null in an import: pattern.
Other columns are null that the kind has not.';
COMMENT ON COLUMN @extschema@.chpg_history_row.grain IS 'Of a window or pattern: hour or day.';
COMMENT ON COLUMN @extschema@.chpg_history_row."time" IS
'Start of the window, or of the day of limits; of a metric, the time of its first point.';
COMMENT ON COLUMN @extschema@.chpg_history_row.service_name IS 'Name of the service from valid_from to valid_to.';
COMMENT ON COLUMN @extschema@.chpg_history_row.region IS 'Region of the service then.';
COMMENT ON COLUMN @extschema@.chpg_history_row.size IS 'Size of the service''s virtual machine then.';
COMMENT ON COLUMN @extschema@.chpg_history_row.ha_type IS 'High availability of the service then.';
COMMENT ON COLUMN @extschema@.chpg_history_row.postgres_version IS 'Major version of the service then.';
COMMENT ON COLUMN @extschema@.chpg_history_row.tags IS
'Tags of the service then; of limits, an object with cpu_cores, memory_bytes, storage_bytes,
max_connections, settings and settings_at.';
COMMENT ON COLUMN @extschema@.chpg_history_row.server IS 'Foreign server by which the service was captured.';
COMMENT ON COLUMN @extschema@.chpg_history_row.valid_from IS
'Start of the time that the row describes; -infinity in the first row of a service.';
COMMENT ON COLUMN @extschema@.chpg_history_row.valid_to IS
'End of the time that the row describes; infinity in the present row.';
COMMENT ON COLUMN @extschema@.chpg_history_row.noted_at IS 'When a capture first saw this state of the service.';
COMMENT ON COLUMN @extschema@.chpg_history_row.status IS 'ok, error or lost.';
COMMENT ON COLUMN @extschema@.chpg_history_row.patterns IS 'Patterns that the API returned for the window.';
COMMENT ON COLUMN @extschema@.chpg_history_row.truncated IS
'Whether the window had more patterns than were captured.';
COMMENT ON COLUMN @extschema@.chpg_history_row.cutoff_us IS
'In a truncated window, the shortest total duration captured, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_history_row.error IS 'Why the last attempt failed.';
COMMENT ON COLUMN @extschema@.chpg_history_row.attempts IS 'Number of attempts.';
COMMENT ON COLUMN @extschema@.chpg_history_row.captured_at IS 'Time of the last capture, or attempt.';
COMMENT ON COLUMN @extschema@.chpg_history_row.metric IS 'The metric, such as cpu_usage.';
COMMENT ON COLUMN @extschema@.chpg_history_row.series IS 'Label of the series; empty where the metric has one.';
COMMENT ON COLUMN @extschema@.chpg_history_row.unit IS 'Unit of the points.';
COMMENT ON COLUMN @extschema@.chpg_history_row.step_s IS 'Time between two points, in seconds.';
COMMENT ON COLUMN @extschema@.chpg_history_row.points IS
'The values, one after each step; null where there is none.';
COMMENT ON COLUMN @extschema@.chpg_history_row.query_id IS
'Hash of the normalized query. 0 groups queries without one, and has most errors.';
COMMENT ON COLUMN @extschema@.chpg_history_row.text_hash IS
'sha256 of query_text in UTF-8, as 64 hexadecimal digits: the same in every version of PostgreSQL.';
COMMENT ON COLUMN @extschema@.chpg_history_row.query_text IS
'Normalized text of the query, in the first row of a service and grain that has it; else null.';
COMMENT ON COLUMN @extschema@.chpg_history_row.total_shared_blks_read IS 'Shared blocks read.';
COMMENT ON COLUMN @extschema@.chpg_history_row.p95_duration_us IS '95th percentile, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_history_row.p99_duration_us IS '99th percentile, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_history_row.total_cpu_time_us IS 'CPU time of all executions, in microseconds.';

CREATE FUNCTION @extschema@._chpg_history_row_list(expressions jsonb)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('(%s)::%s', coalesce(expressions->>a.attname, 'NULL'), format_type(a.atttypid, NULL)), ', '
		ORDER BY a.attnum)
	FROM pg_attribute a
	WHERE a.attrelid = '@extschema@.chpg_history_row'::regclass
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_row_list(jsonb) IS
'What a query selects for rows of chpg_history_row.
expressions: an object with an expression for each column that is not null.';

/* A name that is hidden keeps its kind, so that a reader sees what it stands for. */
CREATE FUNCTION @extschema@._chpg_pseudonym(kind text, secret text, original text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN secret IS NULL OR original = '' THEN original
		ELSE kind || '_' || substr(encode(sha256(convert_to(secret || ' ' || kind || ' ' || original, 'UTF8')), 'hex'), 1,
			20) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_pseudonym(text, text, text) IS
'What stands for a name or a text that is hidden: the same for the same secret.
secret: null: the original is returned.';

/*
 * A query text stands in one row of each service and grain: in all of them it would be most
 * of the export.  A day has 24 hours in UTC alone.
 *
 * All is read by the snapshot of the caller's statement.  A window that is captured, or
 * purged, meanwhile would be exported as captured without its patterns, or with some of a
 * window that was not.
 */
CREATE FUNCTION @extschema@.chpg_history_export(
	period tstzrange DEFAULT NULL,
	service text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_history_row
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_variable
DECLARE
	since CONSTANT timestamptz := coalesce(lower(period), '-infinity');
	until CONSTANT timestamptz := coalesce(upper(period), 'infinity');
	secret text;
	id text;
	place bigint;
	services bigint;
	of_service integer;
	grain text;
BEGIN
	IF hide_texts IS NULL THEN
		RAISE EXCEPTION 'argument "hide_texts" must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF isempty(period) THEN
		RAISE EXCEPTION 'invalid value for "period": "%"', period
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a window, or null for all windows.';
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	IF hide_texts THEN
		secret := @extschema@._chpg_history_check_setting('pseudonym_key'::text,
			(SELECT s.value FROM setting s WHERE s.name = 'pseudonym_key'));
	END IF;
	FOR id, place, services IN SELECT h.service_id, row_number() OVER (ORDER BY h.service_id), count(*) OVER ()
			FROM @extschema@._chpg_history_services(service, server, true) h ORDER BY 1 LOOP
		PERFORM @extschema@._chpg_progress('export'::text, place - 1, services);
		PERFORM @extschema@._chpg_history_enter();
		RETURN QUERY EXECUTE format('SELECT %s FROM service s WHERE s.service_id = $1 ORDER BY s.valid_from',
			@extschema@._chpg_history_row_list('{"kind": "''service''", "service_id": "s.service_id",
				"service_name": "s.service_name", "region": "s.region", "size": "s.size", "ha_type": "s.ha_type",
				"postgres_version": "s.postgres_version", "tags": "s.tags", "server": "s.server",
				"valid_from": "s.valid_from", "valid_to": "s.valid_to", "noted_at": "s.noted_at"}'::jsonb))
		USING id;
		RETURN QUERY EXECUTE format($query$SELECT %s FROM capture c
			WHERE c.service_id = $1 AND c.window_start >= $2 AND c.window_end <= $3 ORDER BY c.grain, c.window_start$query$,
			-- what the API said of a failure may name anything
			@extschema@._chpg_history_row_list('{"kind": "''window''", "grain": "c.grain", "time": "c.window_start",
				"service_id": "c.service_id", "status": "c.status", "patterns": "c.patterns",
				"truncated": "c.truncated", "cutoff_us": "c.cutoff_us",
				"error": "CASE WHEN $4 IS NULL THEN c.error ELSE substring(c.error FROM $5) END",
				"attempts": "c.attempts", "captured_at": "c.captured_at"}'::jsonb))
		USING id, since, until, secret, '^(?:Not read: [^.]*[.] )?([0-9A-Z]{5}):'::text;
		of_service := (SELECT k.service_key FROM service_key k WHERE k.service_id = id);
		FOREACH grain IN ARRAY '{hour,day}'::text[] LOOP
			RETURN QUERY EXECUTE format($query$
				SELECT %s
				FROM (
					SELECT p.*, row_number() OVER (PARTITION BY k.text_id ORDER BY p.window_start, p.pattern_key) = 1 AS is_first,
						k.query_id, k.text_id, k.db_name, k.db_user, k.db_operation, k.app
					FROM @extschema@._chpg_window_%s() p
					JOIN pattern_key k USING (pattern_key)
					WHERE p.service_key = $5 AND p.window_start >= $2 AND p.window_start <= $3 - interval '1 %s'
				) p
				JOIN (SELECT t.text_id, x.shown, encode(CASE WHEN $4 IS NULL THEN t.text_hash
							ELSE sha256(convert_to(x.shown, 'UTF8')) END, 'hex') AS hash
					FROM query_text t
					CROSS JOIN LATERAL (SELECT @extschema@._chpg_pseudonym('text'::text, $4, t.query_text) AS shown OFFSET 0) x
					OFFSET 0
				) t ON t.text_id = p.text_id
				ORDER BY p.window_start, p.pattern_key
			$query$, @extschema@._chpg_history_row_list(
				(SELECT jsonb_object_agg(a.attname, format('p.%I', a.attname)) FROM pg_attribute a
				WHERE a.attrelid = '@extschema@._chpg_window_row'::regclass AND a.attnum > 1)
				|| jsonb_build_object('grain', quote_literal(grain)) || '{"kind": "''pattern''", "time": "p.window_start",
				"service_id": "$1", "query_id": "p.query_id", "text_hash": "t.hash",
				"query_text": "CASE WHEN p.is_first THEN t.shown END",
				"db_name": "@extschema@._chpg_pseudonym(''db''::text, $4, p.db_name)",
				"db_user": "@extschema@._chpg_pseudonym(''user''::text, $4, p.db_user)",
				"db_operation": "p.db_operation", "app": "@extschema@._chpg_pseudonym(''app''::text, $4, p.app)"}'), grain, grain)
			USING id, since, until, secret, of_service;
		END LOOP;
		RETURN QUERY EXECUTE format($query$
			SELECT %s
			FROM metric_day m
			CROSS JOIN LATERAL (SELECT extract(epoch FROM m.step) AS step) l
			CROSS JOIN LATERAL (
				SELECT greatest(1, CASE WHEN $2 > m.first_time
							THEN ceil(extract(epoch FROM $2 - m.first_time) / l.step) + 1 ELSE 1 END)::integer AS first,
					least(cardinality(m."values"), CASE WHEN isfinite($3)
							THEN ceil(extract(epoch FROM $3 - m.first_time) / l.step) END)::integer AS last
			) i
			-- a label may be that of a database
			CROSS JOIN LATERAL (SELECT m.metric LIKE 'database%%' OR m.series IN (
				SELECT unnest(ARRAY[k.db_name, k.db_user, k.app]) FROM pattern_key k WHERE $4 IS NOT NULL) AS is_name) h
			WHERE m.service_key = $5 AND m.day > $2 - interval '1 day' AND m.day < $3 AND i.first <= i.last
			ORDER BY m.day, m.metric, m.series, m.first_time
		$query$, @extschema@._chpg_history_row_list('{"kind": "''metric''", "service_id": "$1",
			"time": "m.first_time + (i.first - 1) * m.step", "metric": "m.metric", "unit": "m.unit", "step_s": "l.step",
			"series": "CASE WHEN h.is_name THEN @extschema@._chpg_pseudonym(''db''::text, $4, m.series) ELSE m.series END",
			"points": "m.values[i.first:i.last]"}'::jsonb))
		USING id, since, until, secret, of_service;
		CONTINUE WHEN NOT has_table_privilege('limit_day', 'SELECT');
		RETURN QUERY EXECUTE format($query$
			SELECT %s FROM limit_day l WHERE l.service_key = $5 AND l.day > $2 - interval '1 day' AND l.day < $3 ORDER BY l.day
		$query$, @extschema@._chpg_history_row_list(jsonb_build_object(
			-- the value of a setting may name anything
			'tags', $tags$jsonb_build_object('cpu_cores', l.cpu_cores, 'memory_bytes', l.memory_bytes,
				'storage_bytes', l.storage_bytes, 'max_connections', l.max_connections, 'settings_at', l.settings_at,
				'settings', CASE WHEN $4 IS NULL THEN l.settings WHEN l.settings IS NOT NULL THEN '{}' END)$tags$)
			|| '{"kind": "''limit''", "service_id": "$1", "time": "l.day", "noted_at": "l.noted_at", "size": "l.size",
				"postgres_version": "l.postgres_version"}'::jsonb))
		USING id, since, until, secret, of_service;
	END LOOP;
	PERFORM @extschema@._chpg_progress('export'::text, NULL::bigint, NULL::bigint);
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_export(tstzrange, text, boolean, text) IS
'The history as rows that chpg_history_import takes.
Services, windows, patterns, metrics, and the limits and settings of days.
Of whole windows, and points, within a period; null: of all. Of one service, by id or name, or
  of all; of one server, or of all.
hide_texts: replace query texts, databases, users and applications by pseudonyms, and omit the
  messages of failures and all settings but max_connections. Pseudonyms are the same in all
  exports of this history, and of no other one. Ids, names and tags of services stay.
Each service follows the one before; its windows are in order of their time.
Requests: none.
Errors: 22004 hide_texts is null; 22023 period is empty; 42501 the caller may not read the
  history; 42704 no such service; 55000 there is no history, or it cannot be used.';
