/* History: its tables.  _chpg_history_planted knows their defaults and constraints. */

CREATE FUNCTION @extschema@._chpg_history_fill(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET quote_all_identifiers = off
AS $$
BEGIN
	IF NOT @extschema@._chpg_history_is_in(schema) THEN
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

			CREATE TABLE %1$I.query_text (
				text_id bigint PRIMARY KEY,
				query_text text NOT NULL,
				first_seen timestamptz NOT NULL,
				last_seen timestamptz NOT NULL
			);

			CREATE TABLE %1$I.pattern_key (
				pattern_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
				query_id bigint NOT NULL,
				db_name text NOT NULL,
				db_user text NOT NULL,
				db_operation text NOT NULL,
				app text NOT NULL,
				text_id bigint NOT NULL,
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
				PRIMARY KEY (service_id, grain, window_start)
			);

			CREATE TABLE %1$I.pattern (
				service_id text NOT NULL,
				grain text NOT NULL,
				window_start timestamptz NOT NULL,
				pattern_key bigint NOT NULL,
				call_count bigint,
				error_count bigint,
				total_duration_us double precision,
				avg_duration_us double precision,
				max_duration_us double precision,
				p50_duration_us double precision,
				p95_duration_us double precision,
				p99_duration_us double precision,
				total_rows bigint,
				total_shared_blks_read bigint,
				total_shared_blks_hit bigint,
				total_cpu_time_us double precision,
				total_wal_bytes bigint,
				PRIMARY KEY (service_id, grain, window_start, pattern_key)
			) PARTITION BY LIST (grain);
			CREATE TABLE %1$I.pattern_of_hour PARTITION OF %1$I.pattern
				FOR VALUES IN ('hour') PARTITION BY RANGE (window_start);
			CREATE TABLE %1$I.pattern_of_day PARTITION OF %1$I.pattern
				FOR VALUES IN ('day') PARTITION BY RANGE (window_start);
			CREATE INDEX ON %1$I.pattern (pattern_key, window_start);

			CREATE TABLE %1$I.metric_point (
				service_id text NOT NULL,
				metric text NOT NULL,
				series text NOT NULL,
				"time" timestamptz NOT NULL,
				unit text,
				value double precision,
				PRIMARY KEY (service_id, metric, series, "time")
			);
			CREATE INDEX ON %1$I.metric_point USING brin ("time");
		$tables$, schema);
		PERFORM @extschema@._chpg_history_close(format('%I.%I', schema, c.relname))
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = schema AND c.relkind IN ('r', 'p', 'S');
	END IF;
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	LOCK TABLE setting IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('setting'::regclass);
	INSERT INTO setting
	SELECT d.name, d.value, d.description FROM @extschema@._chpg_history_defaults() d ON CONFLICT DO NOTHING;
	PERFORM @extschema@._chpg_history_create_views(schema);
	PERFORM @extschema@._chpg_history_comment(schema);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_fill(name) IS
'Create the tables, settings and views that a schema lacks of a history.';
