/* Reading: what sessions do in chpg. */

CREATE FUNCTION @extschema@._chpg_progress(operation text, done bigint, total bigint)
RETURNS void
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_progress';

COMMENT ON FUNCTION @extschema@._chpg_progress(text, bigint, bigint) IS
'Show in chpg_activity how much of an operation is done.
The first call begins the operation, unless another one is under way, whose part it is then.
done: null: it has ended. An error, and the end of the statement, end it, too.
total: null: unknown.
Errors: 22023 unknown operation.';

CREATE FUNCTION @extschema@._chpg_expect_end(operation text, seconds double precision)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_expect_end';

COMMENT ON FUNCTION @extschema@._chpg_expect_end(text, double precision) IS
'Show in chpg_activity that the request budget makes an operation take this long from now.
Errors: 22023 unknown operation.';

CREATE FUNCTION @extschema@._chpg_leave_budget()
RETURNS void
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_leave_budget';

COMMENT ON FUNCTION @extschema@._chpg_leave_budget() IS
'Wait for 0.1 s, as a session that leaves the request budget to others.';

CREATE TYPE @extschema@.chpg_activity_row AS (
	pid integer,
	statement text,
	operation text,
	done bigint,
	total bigint,
	unit text,
	waiting_for text,
	waiting_since timestamptz,
	started_at timestamptz,
	estimated_end timestamptz
);

COMMENT ON TYPE @extschema@.chpg_activity_row IS 'What a session does in chpg.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.pid IS 'Process of the session, as in pg_stat_activity.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.statement IS 'The statement, as far as pg_stat_activity has it.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.operation IS 'What is done, such as capture or list the services.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.done IS 'How much of it is done; null: unknown.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.total IS
'How much there is to do, as far as is known: pages add to the requests of a read. Null: unknown.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.unit IS
'What done and total count: alerts, requests, rows, services or windows.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.waiting_for IS
'API response, request budget, rate limit (a 429 blocks the key), another session (and its response), retry, '
'service state, or webhook response; null: it works.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.waiting_since IS 'Since when it waits for that.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.started_at IS 'When the operation began.';
COMMENT ON COLUMN @extschema@.chpg_activity_row.estimated_end IS
'When it ends if it goes on as until now, or as the request budget allows; null: unknown.';

CREATE FUNCTION @extschema@.chpg_activity()
RETURNS SETOF @extschema@.chpg_activity_row
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'chpg_activity';

COMMENT ON FUNCTION @extschema@.chpg_activity() IS
'What sessions do in chpg now, how far they are, and what they wait for.
A session has a row while it captures, exports, imports, seals, upgrades, watches, delivers, or
  waits for a service, and otherwise while it waits for the API. Of operations within others,
  the outermost one shows.
As in pg_stat_activity, roles see the rows of roles whose rights they have; of others, only the
  pid. Members of pg_read_all_stats, and so of pg_monitor, see all.
Before PostgreSQL 17, without chpg in shared_preload_libraries, no other session is shown.
Requests: none.';

CREATE VIEW @extschema@.chpg_activity AS
	SELECT a.pid, @extschema@._chpg_line_text(a.statement, 24) AS statement,
		@extschema@._chpg_line_text(a.operation, 28) AS operation, a.done, a.total, a.waiting_for,
		to_char(a.estimated_end, CASE WHEN a.estimated_end < date_trunc('day', now()) + interval '1 day' THEN 'HH24:MI:SS'
			ELSE 'MM-DD HH24:MI' END) AS estimated_end
	FROM @extschema@.chpg_activity() a;

COMMENT ON VIEW @extschema@.chpg_activity IS
'What sessions do in chpg now, in short: at most 120 columns wide in psql.
chpg_activity() has whole statements, exact times, and what is counted.
Requests: none.';
COMMENT ON COLUMN @extschema@.chpg_activity.statement IS 'The statement as one line, cut at 24 characters.';
COMMENT ON COLUMN @extschema@.chpg_activity.operation IS 'What is done, cut at 28 characters.';
COMMENT ON COLUMN @extschema@.chpg_activity.estimated_end IS
'When it ends: the time of today, or with the day; null: unknown.';

GRANT SELECT ON @extschema@.chpg_activity TO PUBLIC;
