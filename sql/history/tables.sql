/*
 * History: its tables.  _chpg_history_planted knows their defaults and constraints.
 *
 * Patterns are written to open_hour and open_day, a narrow row for each.  Windows that are
 * too old to be captured again are sealed: sealed_hour and sealed_day have one row for each
 * window, with an array for each counter.
 */

/* A pattern of a window.  Tables, views and the statements that write them have its counters. */
CREATE TYPE @extschema@._chpg_window_row AS (
	pattern_key integer,
	call_count bigint,
	error_count bigint,
	total_rows bigint,
	total_shared_blks_read bigint,
	total_shared_blks_hit bigint,
	total_wal_bytes bigint,
	total_duration_us real,
	max_duration_us real,
	p50_duration_us real,
	p95_duration_us real,
	p99_duration_us real,
	total_cpu_time_us real
);

COMMENT ON TYPE @extschema@._chpg_window_row IS
'What the history keeps of a pattern and a window: its key, then its counters.';
COMMENT ON COLUMN @extschema@._chpg_window_row.pattern_key IS 'Key of the pattern in the table pattern_key.';

CREATE FUNCTION @extschema@._chpg_of_counters(template text, separator text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(replace(replace(replace(template, '{}', a.attname), '{type}', format_type(a.atttypid, NULL)),
		'{wide}', CASE a.atttypid WHEN 'real'::regtype THEN 'double precision' ELSE format_type(a.atttypid, NULL) END),
		separator ORDER BY a.attnum)
	FROM pg_attribute a
	WHERE a.attrelid = '@extschema@._chpg_window_row'::regclass AND a.attnum > 1
$$;

COMMENT ON FUNCTION @extschema@._chpg_of_counters(text, text) IS
'A piece of SQL for each counter of a pattern, in their order.
{} stands for the name of the counter, {type} for its type, {wide} for the type that sums have.';

/* An argument with a default would make a call ambiguous, once others plant functions beside it. */
CREATE FUNCTION @extschema@._chpg_of_counters(template text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_of_counters(template, ', '::text)
$$;

COMMENT ON FUNCTION @extschema@._chpg_of_counters(text) IS
'As _chpg_of_counters(text, text), separated by commas.';

/* A pattern of an hour beside the same hours of past days: see sql/insight/scores.sql. */
CREATE TYPE @extschema@._chpg_score_row AS (
	pattern_key integer,
	baseline_hours integer,
	call_count real,
	expected_calls real,
	calls_spread real,
	total_us real,
	max_us real,
	expected_avg_us real,
	z_avg real,
	p99_us real,
	expected_p99_us real,
	z_p99 real,
	rows_per_call real,
	expected_rows_per_call real,
	z_rows real,
	blks_per_call real,
	expected_blks_per_call real,
	z_blks real,
	wal_per_call real,
	expected_wal_per_call real,
	z_wal real
);

COMMENT ON TYPE @extschema@._chpg_score_row IS
'An hour of a pattern beside its baseline, without the service''s common factor.
Null where the hour, or the baseline, does not have what is needed. A z is the distance in
  standard deviations, from -4 to 8.';
COMMENT ON COLUMN @extschema@._chpg_score_row.pattern_key IS 'Key of the pattern in the table pattern_key.';
COMMENT ON COLUMN @extschema@._chpg_score_row.baseline_hours IS 'Hours of the baseline in which it ran.';
COMMENT ON COLUMN @extschema@._chpg_score_row.call_count IS
'Executions; 0 if it did not run, null if they are not known.';
COMMENT ON COLUMN @extschema@._chpg_score_row.expected_calls IS
'Executions in the same hour of the baseline''s days: their median, with 0 where it did not run.';
COMMENT ON COLUMN @extschema@._chpg_score_row.calls_spread IS
'Standard deviation of ln(1 + executions): from day to day, and by chance.';
COMMENT ON COLUMN @extschema@._chpg_score_row.total_us IS 'Time of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_score_row.max_us IS 'Time of the longest execution, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_score_row.expected_avg_us IS
'Mean time of an execution in the baseline, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_score_row.z_avg IS 'How far the mean time is above that.';
COMMENT ON COLUMN @extschema@._chpg_score_row.p99_us IS '99th percentile, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_score_row.expected_p99_us IS
'99th percentile in the baseline, in microseconds, of hours with 200 executions.';
COMMENT ON COLUMN @extschema@._chpg_score_row.z_p99 IS
'How far the 99th percentile is above that, of an hour with 200 executions.';
COMMENT ON COLUMN @extschema@._chpg_score_row.rows_per_call IS 'Rows of an execution.';
COMMENT ON COLUMN @extschema@._chpg_score_row.expected_rows_per_call IS 'Rows of an execution in the baseline.';
COMMENT ON COLUMN @extschema@._chpg_score_row.z_rows IS 'How far the rows are above that.';
COMMENT ON COLUMN @extschema@._chpg_score_row.blks_per_call IS 'Shared blocks, read or hit, of an execution.';
COMMENT ON COLUMN @extschema@._chpg_score_row.expected_blks_per_call IS
'Shared blocks of an execution in the baseline.';
COMMENT ON COLUMN @extschema@._chpg_score_row.z_blks IS 'How far the blocks are above that.';
COMMENT ON COLUMN @extschema@._chpg_score_row.wal_per_call IS 'Bytes of WAL of an execution.';
COMMENT ON COLUMN @extschema@._chpg_score_row.expected_wal_per_call IS 'Bytes of WAL of an execution in the baseline.';
COMMENT ON COLUMN @extschema@._chpg_score_row.z_wal IS 'How far the bytes of WAL are above that.';

CREATE FUNCTION @extschema@._chpg_of_scores(template text, separator text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(replace(replace(template, '{}', a.attname), '{type}', format_type(a.atttypid, NULL)),
		separator ORDER BY a.attnum)
	FROM pg_attribute a
	WHERE a.attrelid = '@extschema@._chpg_score_row'::regclass AND a.attnum > 0
$$;

COMMENT ON FUNCTION @extschema@._chpg_of_scores(text, text) IS
'A piece of SQL for each attribute of a pattern''s score, in their order.
{} stands for its name, {type} for its type.';

CREATE FUNCTION @extschema@._chpg_history_fill(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET quote_all_identifiers = off
AS $$
DECLARE
	existing CONSTANT oid[] := ARRAY(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = schema);
	grain text;
	item record;
	-- not every server is built with lz4
	compression CONSTANT text := (SELECT CASE WHEN 'lz4' = ANY (s.enumvals) THEN 'lz4' ELSE 'pglz' END
		FROM pg_settings s WHERE s.name = 'default_toast_compression');
BEGIN
	IF NOT @extschema@._chpg_history_is_in(schema) THEN
		-- a history of the earlier layout has these
		IF to_regclass(format('%I.setting', schema)) IS NULL THEN
			EXECUTE format($tables$
				CREATE TABLE %1$I.setting (
					name text PRIMARY KEY,
					value text NOT NULL,
					description text NOT NULL
				);
				CREATE TABLE %1$I.service (
					service_id text NOT NULL,
					valid_from timestamptz NOT NULL,
					valid_to timestamptz NOT NULL DEFAULT 'infinity',
					noted_at timestamptz NOT NULL,
					service_name text,
					region text,
					size text,
					ha_type text,
					postgres_version text,
					tags jsonb,
					server text NOT NULL DEFAULT '',
					PRIMARY KEY (service_id, valid_from)
				);
			$tables$, schema);
		END IF;
		EXECUTE format($tables$
			CREATE TABLE %1$I.service_key (
				service_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				service_id text NOT NULL UNIQUE
			);

			CREATE TABLE %1$I.query_text (
				text_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				text_hash bytea NOT NULL UNIQUE,
				query text NOT NULL,
				query_text text NOT NULL
			);
			CREATE TABLE %1$I.pattern_key (
				pattern_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				query_id bigint NOT NULL,
				text_id integer NOT NULL,
				db_name text NOT NULL,
				db_user text NOT NULL,
				db_operation text NOT NULL,
				app text NOT NULL,
				last_seen timestamptz NOT NULL,
				UNIQUE (query_id, db_name, db_user, db_operation, app, text_id)
			);

			CREATE TABLE %1$I.capture (
				service_id text NOT NULL,
				grain text NOT NULL CHECK (grain IN ('hour', 'day')),
				window_start timestamptz NOT NULL,
				window_end timestamptz NOT NULL,
				status text NOT NULL CHECK (status IN ('ok', 'error', 'lost')),
				patterns integer,
				truncated boolean NOT NULL DEFAULT false,
				cutoff_us double precision,
				error text,
				attempts integer NOT NULL DEFAULT 0,
				captured_at timestamptz,
				changed_at timestamptz,
				queries integer,
				call_count bigint,
				error_count bigint,
				total_duration_us double precision,
				statement_duration_us double precision,
				p95_lo_us double precision,
				p95_hi_us double precision,
				p99_lo_us double precision,
				p99_hi_us double precision,
				total_rows bigint,
				total_shared_blks_read bigint,
				total_shared_blks_hit bigint,
				total_cpu_time_us double precision,
				total_wal_bytes bigint,
				PRIMARY KEY (service_id, grain, window_start)
			);

			CREATE TABLE %1$I.day_sum (
				"time" timestamptz NOT NULL,
				service_key integer NOT NULL,
				pattern_key integer NOT NULL,
				hours integer NOT NULL,
				p95_lo_us real,
				p95_hi_us real,
				call_count bigint,
				error_count bigint,
				total_rows bigint,
				total_shared_blks_read bigint,
				total_shared_blks_hit bigint,
				total_wal_bytes bigint,
				total_duration_us double precision,
				total_cpu_time_us double precision,
				max_duration_us real,
				PRIMARY KEY (service_key, "time", pattern_key)
			) WITH (fillfactor = 70);
		$tables$, schema);
		FOREACH grain IN ARRAY '{hour,day}'::text[] LOOP
			EXECUTE format($tables$
				CREATE TABLE %1$I.open_%2$s (
					window_start timestamptz NOT NULL,
					service_key integer NOT NULL,
					pattern_key integer NOT NULL,
					%3$s
				) WITH (autovacuum_vacuum_scale_factor = 0.05);
				CREATE INDEX ON %1$I.open_%2$s (service_key, window_start);
				ALTER TABLE %1$I.open_%2$s REPLICA IDENTITY FULL;
				CREATE TABLE %1$I.sealed_%2$s (
					window_start timestamptz NOT NULL,
					service_key integer NOT NULL,
					seal_id bigint NOT NULL,
					patterns integer NOT NULL,
					pattern_key integer[] COMPRESSION %6$s NOT NULL,
					%4$s,
					CONSTRAINT element_for_each_pattern CHECK (cardinality(pattern_key) = patterns%5$s),
					PRIMARY KEY (service_key, window_start)
				) PARTITION BY RANGE (window_start);
				CREATE INDEX ON %1$I.sealed_%2$s (seal_id);
				ALTER TABLE %1$I.sealed_%2$s ALTER pattern_key SET STATISTICS 0, %7$s;
			$tables$, schema, grain, @extschema@._chpg_of_counters('{} {type}'),
				@extschema@._chpg_of_counters(format('{} {type}[] COMPRESSION %s', compression)),
				@extschema@._chpg_of_counters(' AND cardinality({}) = patterns', ''::text), compression,
				@extschema@._chpg_of_counters('ALTER {} SET STATISTICS 0'));
		END LOOP;
	END IF;
	IF to_regclass(format('%I.score_hour', schema)) IS NULL THEN
		EXECUTE format($tables$
			CREATE TABLE %1$I.score_hour (
				service_key integer NOT NULL,
				window_start timestamptz NOT NULL,
				scored_at timestamptz NOT NULL,
				common real NOT NULL,
				patterns integer NOT NULL,
				%2$s,
				CONSTRAINT element_for_each_pattern CHECK (%3$s),
				PRIMARY KEY (service_key, window_start)
			);
			ALTER TABLE %1$I.score_hour %4$s;
		$tables$, schema, @extschema@._chpg_of_scores(format('{} {type}[] COMPRESSION %s NOT NULL', compression), ', '::text),
			@extschema@._chpg_of_scores('cardinality({}) = patterns', ' AND '::text),
			@extschema@._chpg_of_scores('ALTER {} SET STATISTICS 0', ', '::text));
	END IF;
	FOR item IN SELECT t.* FROM (VALUES
		('archive', $table$
			CREATE TABLE %1$I.archive (
				seal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				archived_at timestamptz NOT NULL
			);
		$table$),
		('metric_day', $table$
			CREATE TABLE %1$I.metric_day (
				service_key integer NOT NULL,
				day timestamptz NOT NULL,
				metric text NOT NULL,
				series text NOT NULL,
				unit text,
				first_time timestamptz NOT NULL,
				step interval NOT NULL,
				"values" real[] NOT NULL,
				PRIMARY KEY (service_key, day, metric, series, first_time)
			);
		$table$),
		('limit_day', $table$
			CREATE TABLE %1$I.limit_day (
				service_key integer NOT NULL,
				day timestamptz NOT NULL,
				noted_at timestamptz NOT NULL,
				size text,
				postgres_version text,
				cpu_cores integer,
				memory_bytes bigint,
				storage_bytes bigint,
				settings_at timestamptz,
				max_connections integer,
				settings jsonb,
				PRIMARY KEY (service_key, day)
			);
		$table$),
		('finding_log', $table$
			CREATE TABLE %1$I.finding_log (
				finding_key text NOT NULL,
				opened_at timestamptz NOT NULL,
				last_seen_at timestamptz NOT NULL,
				resolved_at timestamptz,
				worse_at timestamptz,
				missed_at timestamptz,
				missed integer NOT NULL,
				state text NOT NULL,
				kind text NOT NULL,
				level text NOT NULL,
				worst_level text NOT NULL,
				noted_level text NOT NULL,
				value double precision,
				worst_value double precision,
				noted_value double precision,
				rule_id text NOT NULL,
				service_id text,
				service_name text,
				since timestamptz,
				incident_id text,
				is_root boolean NOT NULL,
				muted boolean NOT NULL,
				finding jsonb NOT NULL,
				PRIMARY KEY (finding_key, opened_at)
			) WITH (fillfactor = 70);
		$table$),
		('finding_mute', $table$
			CREATE TABLE %1$I.finding_mute (
				finding_key text PRIMARY KEY,
				reason text NOT NULL,
				note text,
				muted_by name NOT NULL,
				muted_at timestamptz NOT NULL,
				muted_until timestamptz NOT NULL,
				muted_level text,
				muted_value double precision,
				factor double precision NOT NULL
			);
		$table$),
		('alert', $table$
			CREATE TABLE %1$I.alert (
				alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				alert_key uuid NOT NULL,
				noted_at timestamptz NOT NULL,
				as_of timestamptz NOT NULL,
				transition text NOT NULL,
				incident_id text NOT NULL,
				finding_key text NOT NULL,
				rule_id text NOT NULL,
				kind text NOT NULL,
				level text NOT NULL,
				service_id text,
				service_name text,
				since timestamptz,
				title text,
				symptom text,
				action text
			);
			CREATE INDEX ON %1$I.alert (incident_id, alert_id);
		$table$),
		('alert_delivery', $table$
			CREATE TABLE %1$I.alert_delivery (
				alert_id bigint NOT NULL,
				webhook text NOT NULL,
				state text NOT NULL,
				attempts integer NOT NULL,
				next_try timestamptz NOT NULL,
				leased_until timestamptz,
				sent_at timestamptz,
				status integer,
				error text,
				summary_key uuid,
				PRIMARY KEY (alert_id, webhook)
			);
			CREATE INDEX ON %1$I.alert_delivery (state, webhook);
		$table$),
		('watch_state', $table$
			CREATE TABLE %1$I.watch_state (
				watched_at timestamptz NOT NULL,
				as_of timestamptz NOT NULL,
				regular_since timestamptz
			);
		$table$),
		('watch_skipped', $table$
			CREATE TABLE %1$I.watch_skipped (
				service_id text NOT NULL,
				finding_key text NOT NULL,
				as_of timestamptz NOT NULL,
				finding jsonb NOT NULL,
				PRIMARY KEY (service_id, finding_key)
			);
		$table$),
		('notification_state', $table$
			CREATE TABLE %1$I.notification_state (
				server text PRIMARY KEY,
				begun_at timestamptz NOT NULL
			);
		$table$),
		('threshold', $table$
			CREATE TABLE %1$I.threshold (
				rule_id text NOT NULL,
				parameter text NOT NULL,
				threshold double precision NOT NULL,
				PRIMARY KEY (rule_id, parameter)
			);
		$table$),
		('maintenance', $table$
			CREATE TABLE %1$I.maintenance (
				service_id text,
				starts_at timestamptz NOT NULL,
				ends_at timestamptz NOT NULL,
				note text,
				noted_by name NOT NULL,
				noted_at timestamptz NOT NULL
			);
		$table$)) t(name, statements)
	LOOP
		IF to_regclass(format('%I.%I', schema, item.name)) IS NULL THEN
			EXECUTE format(item.statements, schema);
		END IF;
	END LOOP;
	IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(format('%I.alert_delivery', schema))
			AND a.attname = 'summary_key') THEN
		EXECUTE format('ALTER TABLE %I.alert_delivery ADD summary_key uuid', schema);
	END IF;
	IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(format('%I.watch_state', schema))
			AND a.attname = 'regular_since') THEN
		EXECUTE format('ALTER TABLE %I.watch_state ADD regular_since timestamptz', schema);
	END IF;
	PERFORM @extschema@._chpg_history_close(format('%I.%I', schema, c.relname))
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = schema AND c.relkind IN ('r', 'p', 'S') AND c.oid <> ALL (existing);
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	LOCK TABLE setting IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('setting'::regclass);
	-- a role that could create objects in the schema may have done so since it was checked
	IF @extschema@._chpg_history_foreign(schema) IS NOT NULL THEN
		RAISE EXCEPTION 'schema "%" cannot have the history', schema
			USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = format('It has objects of other roles, such as %s.', @extschema@._chpg_history_foreign(schema));
	END IF;
	INSERT INTO setting
	SELECT d.name, coalesce(d.value, gen_random_uuid()::text), d.description
	FROM @extschema@._chpg_history_defaults() d ON CONFLICT DO NOTHING;
	PERFORM @extschema@._chpg_history_create_views(schema);
	PERFORM @extschema@._chpg_history_comment(schema);
	PERFORM @extschema@._chpg_history_close(format('%I.%I', schema, c.relname))
	FROM pg_class c
	JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = schema AND c.relkind = 'v'
		AND c.relname IN ('finding', 'finding_history', 'incident', 'dead_letter');
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_fill(name) IS
'Create the tables, settings and views that a schema lacks of a history.';
