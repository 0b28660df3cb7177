/* Reading: slow query patterns, and executions of one. */

/* For programs that hold numbers as double precision, and would round a query_id. */
CREATE FUNCTION @extschema@.chpg_query_hex(query_id bigint)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lpad(to_hex(query_id), 16, '0');

COMMENT ON FUNCTION @extschema@.chpg_query_hex(bigint) IS
'A query_id as the 16 hexadecimal digits of query_hex.
Requests: none.';

CREATE FUNCTION @extschema@.chpg_query_id(query_hex text)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN query_hex ~ '^[0123456789abcdefABCDEF]{16}$' THEN ('x' || query_hex)::bit(64)::bigint END;

COMMENT ON FUNCTION @extschema@.chpg_query_id(text) IS
'The query_id of a query_hex; null unless that is 16 hexadecimal digits.
Requests: none.';

CREATE TYPE @extschema@.chpg_slow_pattern_row AS (
	service_id text,
	service_name text,
	query_id bigint,
	query_hex text,
	query_text text,
	db_name text,
	db_user text,
	db_operation text,
	app text,
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
	total_wal_bytes bigint
);

COMMENT ON TYPE @extschema@.chpg_slow_pattern_row IS 'A normalized query and the sum of its executions in a window.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.service_name IS
'Name of the service; null if the list of services cannot be read.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.query_id IS
'Hash of the normalized query, PostgreSQL''s own: joins with pg_stat_statements.queryid. 0 groups queries '
'without one.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.query_hex IS
'query_id as 16 hexadecimal digits: programs that hold numbers as double precision round query_id.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.query_text IS 'Normalized text of the query, cut at 2 kB.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.db_name IS 'Database.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.db_user IS 'Database user.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.db_operation IS 'Kind of statement, such as SELECT or UTILITY.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.app IS 'Application name of the session.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.call_count IS
'Executions in the window that ended without an error.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.error_count IS 'Executions that raised an error.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.total_duration_us IS 'Time of all executions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.avg_duration_us IS 'Mean time of an execution, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.max_duration_us IS 'Longest execution, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.p50_duration_us IS
'Median time of an execution, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.p95_duration_us IS
'95th percentile, in microseconds. Those of two windows cannot be combined.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.p99_duration_us IS
'99th percentile, in microseconds. Those of two windows cannot be combined.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.total_rows IS 'Rows returned or affected.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.total_shared_blks_read IS
'Shared blocks read, not found in the buffer cache.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.total_shared_blks_hit IS
'Shared blocks found in the buffer cache.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.total_cpu_time_us IS
'CPU time, in microseconds; of a nested statement, since the outermost one began.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_row.total_wal_bytes IS 'WAL written, in bytes.';

CREATE FUNCTION @extschema@.chpg_slow_patterns(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	db_name text DEFAULT NULL,
	db_user text DEFAULT NULL,
	db_operation text DEFAULT NULL,
	app text DEFAULT NULL,
	sort_by text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_slow_pattern_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 1000
AS 'MODULE_PATHNAME', 'chpg_slow_patterns';

COMMENT ON FUNCTION @extschema@.chpg_slow_patterns(timestamptz, timestamptz, text, text, text, text, text,
	text, text, bigint, text) IS
'The slow query patterns of a service, by id or name, or of the fleet (null), in a window.
The window includes from_date and not to_date (null: now), both cut to milliseconds; the API
  keeps 1 to 7 days.
db_name, db_user, db_operation, app: equality filters.
max_rows: most patterns of each service, the first by sort_by (any counter or duration,
  total_duration_us unless said) and sort_order (desc unless said).
Requests: 1 for each 500 patterns of a service, 1 more for a name or for the fleet; by id 1 an
  hour, for the names.
Errors: 22023 an argument cannot be used; 42704 no such service; any error of one service.';

CREATE FUNCTION @extschema@.chpg_slow_patterns(
	period interval DEFAULT '1 hour',
	service text DEFAULT NULL,
	db_name text DEFAULT NULL,
	db_user text DEFAULT NULL,
	db_operation text DEFAULT NULL,
	app text DEFAULT NULL,
	sort_by text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_slow_pattern_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 1000
AS 'MODULE_PATHNAME', 'chpg_slow_patterns';

COMMENT ON FUNCTION @extschema@.chpg_slow_patterns(interval, text, text, text, text, text, text, text, bigint,
	text) IS
'The same of a period until now: chpg_slow_patterns(''2 hours'', ''orders'').
The period ends with the last full minute: calls within a minute send the same requests.
Requests: those of the first form.';

CREATE FUNCTION @extschema@.chpg_slow_patterns(
	during tstzrange,
	service text DEFAULT NULL,
	db_name text DEFAULT NULL,
	db_user text DEFAULT NULL,
	db_operation text DEFAULT NULL,
	app text DEFAULT NULL,
	sort_by text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_slow_pattern_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 1000
AS 'MODULE_PATHNAME', 'chpg_slow_patterns';

COMMENT ON FUNCTION @extschema@.chpg_slow_patterns(tstzrange, text, text, text, text, text, text, text, bigint,
	text) IS
'The same of a range: chpg_slow_patterns(''[yesterday, today)'', ''orders'').
A range without an end ends now.
Requests: those of the first form.';

CREATE FUNCTION @extschema@.chpg_slow_patterns(
	from_date text,
	to_date text DEFAULT NULL,
	service text DEFAULT NULL,
	db_name text DEFAULT NULL,
	db_user text DEFAULT NULL,
	db_operation text DEFAULT NULL,
	app text DEFAULT NULL,
	sort_by text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_slow_pattern_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 1000
AS 'MODULE_PATHNAME', 'chpg_slow_patterns';

COMMENT ON FUNCTION @extschema@.chpg_slow_patterns(text, text, text, text, text, text, text, text, text,
	bigint, text) IS
'The same by texts: two times, or a period or range and a service.
Literals and parameters without a type come here: the first text says which form is meant.
Requests: those of the first form.
Errors: 22023 the first text is neither a time, a period nor a range.';

/* For a literal after a time: PostgreSQL would refuse one that is no time without naming the remedy. */
CREATE FUNCTION @extschema@.chpg_slow_patterns(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_slow_pattern_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 1000
AS 'MODULE_PATHNAME', 'chpg_slow_patterns';

COMMENT ON FUNCTION @extschema@.chpg_slow_patterns(timestamptz, text, text) IS
'The same of a time and a text: chpg_slow_patterns(now() - interval ''2 hours'', ''now'').
Requests: those of the first form.
Errors: 22023 the text is no time.';

CREATE FUNCTION @extschema@.chpg_slow_pattern(
	service text,
	query_id bigint,
	db_name text,
	db_user text,
	db_operation text,
	app text DEFAULT NULL,
	executed_at timestamptz DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_slow_pattern_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_slow_pattern';

COMMENT ON FUNCTION @extschema@.chpg_slow_pattern(text, bigint, text, text, text, text, timestamptz, text) IS
'The sum of a slow query pattern''s recent executions; no row if the API has none.
Identify the pattern by query_id, db_name, db_user and db_operation; query_id =>
chpg_query_id(query_hex) works, too.
Requests: 1, 1 more for a name; by id 1 an hour, for the names.';

CREATE TYPE @extschema@.chpg_slow_pattern_execution_row AS (
	service_id text,
	service_name text,
	executed_at timestamptz,
	query_id bigint,
	query_hex text,
	db_name text,
	db_user text,
	db_operation text,
	app text,
	query_text text,
	pid bigint,
	duration_us double precision,
	rows bigint,
	shared_blks_hit bigint,
	shared_blks_read bigint,
	shared_blks_written bigint,
	shared_blks_dirtied bigint,
	shared_blk_read_time_us double precision,
	shared_blk_write_time_us double precision,
	local_blks_hit bigint,
	local_blks_read bigint,
	local_blks_written bigint,
	local_blks_dirtied bigint,
	temp_blks_read bigint,
	temp_blks_written bigint,
	temp_blk_read_time_us double precision,
	temp_blk_write_time_us double precision,
	wal_records bigint,
	wal_bytes bigint,
	wal_fpi bigint,
	cpu_user_time_us double precision,
	cpu_sys_time_us double precision,
	jit_functions bigint,
	jit_generation_time_us double precision,
	jit_inlining_time_us double precision,
	jit_optimization_time_us double precision,
	jit_emission_time_us double precision,
	jit_deform_time_us double precision,
	parallel_workers_planned bigint,
	parallel_workers_launched bigint,
	err_message text,
	err_sqlstate text,
	err_elevel integer,
	server_role text,
	trace_id text,
	span_id text
);

COMMENT ON TYPE @extschema@.chpg_slow_pattern_execution_row IS 'One execution of a slow query pattern.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.service_name IS
'Name of the service; null if the list of services cannot be read.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.executed_at IS 'When the execution was recorded.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.query_id IS
'Hash of the normalized query, PostgreSQL''s own.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.query_hex IS
'query_id as 16 hexadecimal digits: programs that hold numbers as double precision round query_id.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.db_name IS 'Database.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.db_user IS 'Database user.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.db_operation IS
'Kind of statement, such as SELECT or UTILITY.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.app IS 'Application name of the session.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.query_text IS
'Normalized text of the query, cut at 2 kB.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.pid IS 'Process id of the backend.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.duration_us IS
'Time of the execution, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.rows IS 'Rows returned or affected.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.shared_blks_hit IS
'Shared blocks found in the buffer cache.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.shared_blks_read IS 'Shared blocks read.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.shared_blks_written IS 'Shared blocks written.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.shared_blks_dirtied IS 'Shared blocks dirtied.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.shared_blk_read_time_us IS
'Time spent reading shared blocks, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.shared_blk_write_time_us IS
'Time spent writing shared blocks, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.local_blks_hit IS
'Local blocks (of temporary tables) found in the buffers.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.local_blks_read IS 'Local blocks read.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.local_blks_written IS 'Local blocks written.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.local_blks_dirtied IS 'Local blocks dirtied.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.temp_blks_read IS 'Blocks of temporary files read.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.temp_blks_written IS
'Blocks of temporary files written.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.temp_blk_read_time_us IS
'Time spent reading temporary files, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.temp_blk_write_time_us IS
'Time spent writing temporary files, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.wal_records IS 'WAL records written.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.wal_bytes IS 'WAL written, in bytes.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.wal_fpi IS 'Full-page images written to WAL.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.cpu_user_time_us IS
'CPU time in user mode, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.cpu_sys_time_us IS
'CPU time in kernel mode, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.jit_functions IS 'Functions that were JIT-compiled.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.jit_generation_time_us IS
'Time to generate JIT code, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.jit_inlining_time_us IS
'Time to inline functions, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.jit_optimization_time_us IS
'Time to optimize JIT code, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.jit_emission_time_us IS
'Time to emit JIT code, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.jit_deform_time_us IS
'Time to JIT-compile tuple deforming, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.parallel_workers_planned IS 'Parallel workers planned.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.parallel_workers_launched IS
'Parallel workers launched.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.err_message IS
'Message of the error that ended the execution, if any.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.err_sqlstate IS 'SQLSTATE of that error.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.err_elevel IS
'Severity of that error, as PostgreSQL numbers them.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.server_role IS
'Role of the server that ran it, such as primary or standby.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.trace_id IS 'OpenTelemetry trace id.';
COMMENT ON COLUMN @extschema@.chpg_slow_pattern_execution_row.span_id IS 'OpenTelemetry span id.';

CREATE FUNCTION @extschema@.chpg_slow_pattern_executions(
	service text,
	query_id bigint,
	db_name text,
	db_user text,
	db_operation text,
	app text DEFAULT NULL,
	executed_at timestamptz DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_slow_pattern_execution_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10
AS 'MODULE_PATHNAME', 'chpg_slow_pattern_executions';

COMMENT ON FUNCTION @extschema@.chpg_slow_pattern_executions(text, bigint, text, text, text, text, timestamptz, text) IS
'The recent executions of a slow query pattern, about ten of the last day.
executed_at: the one recorded then. Identify the pattern as for chpg_slow_pattern.
Requests: 1, 1 more for a name; by id 1 an hour, for the names.';
