-- Objects that all points use, in the database that is measured.
CREATE EXTENSION chpg;

-- The rows of an answer, extracted without chpg. The function is inlined, so it costs no call. It
-- leaves service_name and query_hex null, which only chpg has.
CREATE FUNCTION rows_of(service_id text, body text) RETURNS SETOF chpg_slow_pattern_row
LANGUAGE sql STABLE AS $$
	SELECT service_id, NULL::text, r."queryId", NULL::text, r."queryText", r."dbName", r."dbUser", r."dbOperation", r.app,
		r."callCount"::bigint, r."errorCount"::bigint,
		r."totalDurationUs", r."avgDurationUs", r."maxDurationUs",
		r."p50DurationUs", r."p95DurationUs", r."p99DurationUs",
		r."totalRows"::bigint, r."totalSharedBlksRead"::bigint, r."totalSharedBlksHit"::bigint,
		r."totalCpuTimeUs", r."totalWalBytes"::bigint
	FROM jsonb_to_recordset(body::jsonb -> 'result') AS r (
		"queryId" bigint, "queryText" text, "dbName" text, "dbUser" text, "dbOperation" text,
		app text, "callCount" numeric, "errorCount" numeric,
		"totalDurationUs" double precision, "avgDurationUs" double precision,
		"maxDurationUs" double precision, "p50DurationUs" double precision,
		"p95DurationUs" double precision, "p99DurationUs" double precision,
		"totalRows" numeric, "totalSharedBlksRead" numeric, "totalSharedBlksHit" numeric,
		"totalCpuTimeUs" double precision, "totalWalBytes" numeric)
$$;

-- The rows that contestants have read, to be compared
CREATE UNLOGGED TABLE rows_chpg OF chpg_slow_pattern_row;
CREATE UNLOGGED TABLE rows_peer OF chpg_slow_pattern_row;

-- CPU time of the backend, in milliseconds
CREATE FUNCTION cpu_ms() RETURNS double precision LANGUAGE sql VOLATILE AS $$
	SELECT (field[12]::double precision + field[13]::double precision) * 10
	FROM string_to_array(regexp_replace(pg_read_file('/proc/self/stat'), '^.*\) ', ''), ' ') AS field
$$;

-- A backend's peak memory, and its own memory now, in kB
CREATE FUNCTION memory(OUT peak bigint, OUT own bigint) LANGUAGE sql VOLATILE AS $$
	SELECT substring(status FROM 'VmHWM:\s+(\d+)')::bigint,
		substring(status FROM 'RssAnon:\s+(\d+)')::bigint
	FROM pg_read_file('/proc/self/status') AS status
$$;
