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

CREATE FUNCTION @extschema@._chpg_activity(
	OUT pid integer,
	OUT statement text,
	OUT operation text,
	OUT done bigint,
	OUT total bigint,
	OUT unit text,
	OUT waiting_for text,
	OUT waiting_since timestamptz,
	OUT started_at timestamptz,
	OUT estimated_end timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'chpg_activity';

COMMENT ON FUNCTION @extschema@._chpg_activity() IS
'What chpg_activity shows, with exact times, and the statement as far as pg_stat_activity has it.
Requests: none.';

CREATE VIEW @extschema@.chpg_activity AS
	SELECT a.pid, @extschema@._chpg_line_text(a.statement, 34) AS statement, a.operation, a.done, a.total, a.unit,
		a.waiting_for, date_trunc('second', a.waiting_since) AS waiting_since,
		date_trunc('second', a.started_at) AS started_at, date_trunc('second', a.estimated_end) AS estimated_end
	FROM @extschema@._chpg_activity() a;

COMMENT ON VIEW @extschema@.chpg_activity IS
'What sessions do in chpg now, how far they are, and what they wait for.
A session has a row while it captures, exports, imports, seals, upgrades, watches, delivers, or
  waits for a service, and otherwise while it waits for the API. Of operations within others,
  the outermost one shows.
As in pg_stat_activity, roles see the rows of roles whose rights they have; of others, only the
  pid. Members of pg_read_all_stats, and so of pg_monitor, see all.
Before PostgreSQL 17, without chpg in shared_preload_libraries, no other session is shown.
Requests: none.';
COMMENT ON COLUMN @extschema@.chpg_activity.pid IS 'Process of the session, as in pg_stat_activity.';
COMMENT ON COLUMN @extschema@.chpg_activity.statement IS
'The statement as one line, cut at 34 characters; pg_stat_activity has the whole.';
COMMENT ON COLUMN @extschema@.chpg_activity.operation IS 'What is done, such as capture or list the services.';
COMMENT ON COLUMN @extschema@.chpg_activity.done IS 'How much of it is done; null: unknown.';
COMMENT ON COLUMN @extschema@.chpg_activity.total IS
'How much there is to do, as far as is known: pages add to the requests of a read. Null: unknown.';
COMMENT ON COLUMN @extschema@.chpg_activity.unit IS
'What done and total count: alerts, requests, rows, services or windows.';
COMMENT ON COLUMN @extschema@.chpg_activity.waiting_for IS
'API response, request budget, rate limit (a 429 blocks the key), response to another session, retry, service state, '
'or webhook response; null: it works.';
COMMENT ON COLUMN @extschema@.chpg_activity.waiting_since IS 'Since when it waits for that.';
COMMENT ON COLUMN @extschema@.chpg_activity.started_at IS 'When the operation began.';
COMMENT ON COLUMN @extschema@.chpg_activity.estimated_end IS
'When it ends if it goes on as until now, or as the request budget allows; null: unknown.';

GRANT SELECT ON @extschema@.chpg_activity TO PUBLIC;
