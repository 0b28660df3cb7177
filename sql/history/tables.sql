/* History: its tables. */

CREATE FUNCTION @extschema@._chpg_history_create_tables(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
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
			name text,
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
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_create_tables(name) IS 'Makes the tables of the history in a schema. For chpg_history_enable.';

CREATE FUNCTION @extschema@._chpg_history_comment_tables(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	item record;
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	COMMENT ON TABLE setting IS 'What captures do: change value by UPDATE.';
	COMMENT ON TABLE service IS 'What a service was, and when: a row for each change of its name, size, tags and so on.';
	COMMENT ON TABLE query_text IS 'Texts of queries, each once.';
	COMMENT ON TABLE pattern_key IS 'What tells patterns apart; a pattern of another text is another one.';
	COMMENT ON TABLE capture IS 'Windows of services that were captured (ok), could not be (error), or cannot be any more (lost).';
	COMMENT ON TABLE pattern IS 'Slow query patterns of a window, replaced as a whole when it is captured again.';
	COMMENT ON TABLE metric_point IS 'Points of the time series of services.';
	FOR item IN
		SELECT c.relname, a.attname, col_description(r.oid, r_a.attnum) AS description
		FROM pg_attribute r_a
		JOIN pg_class r ON r.oid = r_a.attrelid AND r.relname = 'chpg_slow_pattern_row'
			AND r.relnamespace = '@extschema@'::regnamespace
		JOIN pg_attribute a ON a.attname = r_a.attname AND a.attnum > 0
		JOIN pg_class c ON c.oid = a.attrelid AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = schema)
			AND c.relname IN ('pattern', 'pattern_key', 'query_text')
		UNION ALL
		VALUES ('pattern', 'grain', 'hour or day: length of the window, aligned to UTC.'),
			('pattern', 'window_start', 'Start of the window, which it includes.'),
			('pattern', 'pattern_key', 'Which pattern: see pattern_key.'),
			('capture', 'truncated', 'Whether the window had more patterns than were captured.'),
			('capture', 'cutoff_us', 'In a truncated window, the shortest total duration captured, in microseconds: what is missing took less.'),
			('capture', 'error', 'Why the last attempt failed: SQLSTATE, message, and what the API said, up to 1000 characters.'),
			('capture', 'attempts', 'How many times it was tried.'),
			('capture', 'captured_at', 'When it was captured, or tried, last.'),
			('query_text', 'text_id', 'Hash of the text.'),
			('service', 'valid_from', 'Since when it was so; -infinity for what it was when it was first seen.'),
			('service', 'noted_at', 'When a capture saw it.'),
			('service', 'server', 'Foreign server that it was captured by.'),
			('service', 'valid_to', 'Until when it was so, or infinity.'),
			('metric_point', 'time', 'Start of the bucket.')
	LOOP
		EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.relname, item.attname, item.description);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_comment_tables(name) IS 'Gives the tables of the history their comments. For chpg_history_enable.';
