/* Monitoring: time series and server logs. */

CREATE TYPE @extschema@.chpg_metric_row AS (
	service_id text,
	service_name text,
	metric text,
	name text,
	unit text,
	description text,
	series text,
	"timestamp" timestamptz,
	value double precision
);

COMMENT ON TYPE @extschema@.chpg_metric_row IS 'A point of a time series.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.service_name IS
'Name of the service; null if the list of services cannot be read.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.metric IS
'The metric, such as cpu_usage, memory_usage, disk_usage, connection_count, transactions.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.name IS 'The metric''s name for people.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.unit IS
'Unit of the values, such as %, bytes/s, count; null where the response omits it.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.description IS 'What the metric measures.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.series IS
'Name of a series of the metric, such as a CPU mode or a database.';
COMMENT ON COLUMN @extschema@.chpg_metric_row."timestamp" IS 'Start of the bucket.';
COMMENT ON COLUMN @extschema@.chpg_metric_row.value IS 'Value in the bucket.';

CREATE FUNCTION @extschema@.chpg_metrics(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	bucket interval DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_metric_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 5000
AS 'MODULE_PATHNAME', 'chpg_metrics';

COMMENT ON FUNCTION @extschema@.chpg_metrics(timestamptz, timestamptz, text, interval, text) IS
'The time series of a service, by id or name, or of the fleet (null), in a window.
The window includes from_date and not to_date (null: now).
bucket: rounded to seconds; null: the API chooses, or 3 hours for a window of more than 31 days.
Requests: 1 for each 250 buckets or 31 days of a service, 1 more for a name or for the
  fleet; by id 1 an hour, for the names.
Errors: 53400 the requests cannot be sent within chpg.max_wait.';

CREATE FUNCTION @extschema@.chpg_metrics(
	period interval DEFAULT '1 hour',
	service text DEFAULT NULL,
	bucket interval DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_metric_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 5000
AS 'MODULE_PATHNAME', 'chpg_metrics';

COMMENT ON FUNCTION @extschema@.chpg_metrics(interval, text, interval, text) IS
'The same of a period until now: chpg_metrics(''2 hours'', ''orders'').
The period ends with the last full minute: calls within a minute send the same requests.
Requests: those of the first form.';

CREATE FUNCTION @extschema@.chpg_metrics(
	during tstzrange,
	service text DEFAULT NULL,
	bucket interval DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_metric_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 5000
AS 'MODULE_PATHNAME', 'chpg_metrics';

COMMENT ON FUNCTION @extschema@.chpg_metrics(tstzrange, text, interval, text) IS
'The same of a range: chpg_metrics(''[yesterday, today)'', ''orders'').
A range without an end ends now.
Requests: those of the first form.';

CREATE FUNCTION @extschema@.chpg_metrics(
	from_date text,
	to_date text DEFAULT NULL,
	service text DEFAULT NULL,
	bucket interval DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_metric_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 5000
AS 'MODULE_PATHNAME', 'chpg_metrics';

COMMENT ON FUNCTION @extschema@.chpg_metrics(text, text, text, interval, text) IS
'The same by texts: two times, or a period or range and a service.
Literals and parameters without a type come here: the first text says which form is meant.
Requests: those of the first form.
Errors: 22023 the first text is neither a time, a period nor a range.';

/* Of four literals, the last would make the forms by texts and by a range ambiguous. */
CREATE FUNCTION @extschema@.chpg_metrics(
	from_date text,
	to_date text,
	service text,
	bucket text,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_metric_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 5000
AS 'MODULE_PATHNAME', 'chpg_metrics';

COMMENT ON FUNCTION @extschema@.chpg_metrics(text, text, text, text, text) IS
'The same by texts, of which the bucket is one, too.
Requests: those of the first form.
Errors: 22023 the first text is neither a time, a period nor a range.';

/* For a literal after a time: PostgreSQL would refuse one that is no time without naming the remedy. */
CREATE FUNCTION @extschema@.chpg_metrics(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_metric_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 5000
AS 'MODULE_PATHNAME', 'chpg_metrics';

COMMENT ON FUNCTION @extschema@.chpg_metrics(timestamptz, text, text) IS
'The same of a time and a text: chpg_metrics(now() - interval ''2 hours'', ''now'').
Requests: those of the first form.
Errors: 22023 the text is no time.';

CREATE TYPE @extschema@.chpg_log_row AS (
	service_id text,
	service_name text,
	"timestamp" timestamptz,
	severity text,
	body text
);

COMMENT ON TYPE @extschema@.chpg_log_row IS 'A line of a service''s log.';
COMMENT ON COLUMN @extschema@.chpg_log_row.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@.chpg_log_row.service_name IS
'Name of the service; null if the list of services cannot be read.';
COMMENT ON COLUMN @extschema@.chpg_log_row."timestamp" IS 'When it was logged.';
COMMENT ON COLUMN @extschema@.chpg_log_row.severity IS 'DEBUG, LOG, INFO, NOTICE, WARNING, ERROR, FATAL or PANIC.';
COMMENT ON COLUMN @extschema@.chpg_log_row.body IS 'The text; JSON where the line is structured.';

CREATE FUNCTION @extschema@.chpg_logs(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	severity text DEFAULT NULL,
	body_contains text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_log_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 2000
AS 'MODULE_PATHNAME', 'chpg_logs';

COMMENT ON FUNCTION @extschema@.chpg_logs(timestamptz, timestamptz, text, text, text, text, bigint, text) IS
'The log of a service, by id or name, or of the fleet (null), in a window.
The window includes from_date and not to_date (null: now). body_contains: case-sensitive.
max_rows: most lines of each service, the newest; with sort_order asc the oldest. Sort with
ORDER BY.
Requests: 1 for each 2,000 lines or 30 days of a service, 1 more for a name or for the
  fleet; by id 1 an hour, for the names.';

CREATE FUNCTION @extschema@.chpg_logs(
	period interval DEFAULT '1 hour',
	service text DEFAULT NULL,
	severity text DEFAULT NULL,
	body_contains text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_log_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 2000
AS 'MODULE_PATHNAME', 'chpg_logs';

COMMENT ON FUNCTION @extschema@.chpg_logs(interval, text, text, text, text, bigint, text) IS
'The same of a period until now: chpg_logs(''2 hours'', ''orders'').
The period ends with the last full minute: calls within a minute send the same requests.
Requests: those of the first form.';

CREATE FUNCTION @extschema@.chpg_logs(
	during tstzrange,
	service text DEFAULT NULL,
	severity text DEFAULT NULL,
	body_contains text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_log_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 2000
AS 'MODULE_PATHNAME', 'chpg_logs';

COMMENT ON FUNCTION @extschema@.chpg_logs(tstzrange, text, text, text, text, bigint, text) IS
'The same of a range: chpg_logs(''[yesterday, today)'', ''orders'').
A range without an end ends now.
Requests: those of the first form.';

CREATE FUNCTION @extschema@.chpg_logs(
	from_date text,
	to_date text DEFAULT NULL,
	service text DEFAULT NULL,
	severity text DEFAULT NULL,
	body_contains text DEFAULT NULL,
	sort_order text DEFAULT NULL,
	max_rows bigint DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_log_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 2000
AS 'MODULE_PATHNAME', 'chpg_logs';

COMMENT ON FUNCTION @extschema@.chpg_logs(text, text, text, text, text, text, bigint, text) IS
'The same by texts: two times, or a period or range and a service.
Literals and parameters without a type come here: the first text says which form is meant.
Requests: those of the first form.
Errors: 22023 the first text is neither a time, a period nor a range.';

/* For a literal after a time: PostgreSQL would refuse one that is no time without naming the remedy. */
CREATE FUNCTION @extschema@.chpg_logs(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_log_row
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 2000
AS 'MODULE_PATHNAME', 'chpg_logs';

COMMENT ON FUNCTION @extschema@.chpg_logs(timestamptz, text, text) IS
'The same of a time and a text: chpg_logs(now() - interval ''2 hours'', ''now'').
Requests: those of the first form.
Errors: 22023 the text is no time.';
