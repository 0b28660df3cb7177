/*
 * Report: what it shows, as rows.
 *
 * The page and the text are written from one value of _chpg_report, so that they say the
 * same.  It has numbers and plain texts; nothing is escaped or shortened here.
 */

CREATE TYPE @extschema@._chpg_report_service AS (
	service_id text,
	service_name text,
	link text,
	size text,
	level text,
	incidents integer,
	hours integer,
	load double precision,
	baseline_load double precision,
	calls_per_s double precision,
	error_percent double precision,
	p95_us double precision,
	cpu_percent double precision,
	memory_percent double precision,
	storage_percent double precision,
	storage_full_at timestamptz,
	connections double precision,
	max_connections integer,
	loads double precision[],
	low double precision[],
	high double precision[]
);

COMMENT ON TYPE @extschema@._chpg_report_service IS 'A service in a report. Metrics are those of the latest hours.';
COMMENT ON COLUMN @extschema@._chpg_report_service.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@._chpg_report_service.service_name IS 'Its name at the end of the period, or its id.';
COMMENT ON COLUMN @extschema@._chpg_report_service.link IS 'Id of its row in the page.';
COMMENT ON COLUMN @extschema@._chpg_report_service.size IS 'Size of its machine.';
COMMENT ON COLUMN @extschema@._chpg_report_service.level IS 'ERROR or WARN, the worst of its incidents; null: none.';
COMMENT ON COLUMN @extschema@._chpg_report_service.incidents IS 'Number of its incidents with these levels.';
COMMENT ON COLUMN @extschema@._chpg_report_service.hours IS 'Hours of the period that were captured.';
COMMENT ON COLUMN @extschema@._chpg_report_service.load IS 'Executions that were active at a time, on average.';
COMMENT ON COLUMN @extschema@._chpg_report_service.baseline_load IS 'The same in the baseline; null: not known.';
COMMENT ON COLUMN @extschema@._chpg_report_service.calls_per_s IS 'Executions per second.';
COMMENT ON COLUMN @extschema@._chpg_report_service.error_percent IS 'Executions that failed, of all, 0 to 100.';
COMMENT ON COLUMN @extschema@._chpg_report_service.p95_us IS
'Upper bound of the 95th percentile of all executions of the last 24 hours, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_report_service.cpu_percent IS 'CPU in use, 0 to 100.';
COMMENT ON COLUMN @extschema@._chpg_report_service.memory_percent IS 'Memory in use, 0 to 100.';
COMMENT ON COLUMN @extschema@._chpg_report_service.storage_percent IS 'Storage in use, 0 to 100.';
COMMENT ON COLUMN @extschema@._chpg_report_service.storage_full_at IS
'When the storage is full, if it grows on; null: it does not grow steadily.';
COMMENT ON COLUMN @extschema@._chpg_report_service.connections IS 'Most connections in the latest hours.';
COMMENT ON COLUMN @extschema@._chpg_report_service.max_connections IS 'The setting; null: not known.';
COMMENT ON COLUMN @extschema@._chpg_report_service.loads IS 'load in each step of the period; null: not captured.';
COMMENT ON COLUMN @extschema@._chpg_report_service.low IS
'10th percentile of the load in the baseline''s hours at that time of the day, for each step.';
COMMENT ON COLUMN @extschema@._chpg_report_service.high IS 'The 90th percentile, likewise.';

CREATE TYPE @extschema@._chpg_report_pattern AS (
	pattern @extschema@.chpg_period_pattern_row,
	service_name text,
	link text,
	time_percent double precision,
	load double precision,
	baseline_load double precision,
	baseline_avg_us double precision,
	loads double precision[],
	is_listed boolean
);

COMMENT ON TYPE @extschema@._chpg_report_pattern IS 'A query of a service in a report.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.pattern IS 'The query and what it did in the period.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.service_name IS 'Name of the service, or its id.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.link IS 'Id of its row in the page.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.time_percent IS 'Its share of the time of all queries, 0 to 100.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.load IS 'Its executions that were active at a time, on average.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.baseline_load IS 'The same in the baseline; null: it was not there.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.baseline_avg_us IS
'Mean time of an execution in the baseline, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.loads IS 'load in each step of the period.';
COMMENT ON COLUMN @extschema@._chpg_report_pattern.is_listed IS
'Whether it is among those with most time; others are here for what refers to them.';

CREATE TYPE @extschema@._chpg_report_change AS (
	change @extschema@.chpg_change_row,
	service_name text,
	link text,
	pattern_link text,
	since timestamptz,
	avgs double precision[],
	low double precision[],
	high double precision[]
);

COMMENT ON TYPE @extschema@._chpg_report_change IS 'A query that changed between the baseline and the period.';
COMMENT ON COLUMN @extschema@._chpg_report_change.change IS 'What changed, as in chpg_compare.';
COMMENT ON COLUMN @extschema@._chpg_report_change.service_name IS 'Name of the service, or its id.';
COMMENT ON COLUMN @extschema@._chpg_report_change.link IS 'Id of its row in the page.';
COMMENT ON COLUMN @extschema@._chpg_report_change.pattern_link IS
'Id of the query''s row among those with most time; null: it is not among them.';
COMMENT ON COLUMN @extschema@._chpg_report_change.since IS
'Start of the step since which it is so; null: since before the period, or not any more.';
COMMENT ON COLUMN @extschema@._chpg_report_change.avgs IS
'Mean time of an execution in each step of the period, in microseconds.';
COMMENT ON COLUMN @extschema@._chpg_report_change.low IS
'10th percentile of that in the baseline''s hours at that time of the day, for each step.';
COMMENT ON COLUMN @extschema@._chpg_report_change.high IS 'The 90th percentile, likewise.';

CREATE TYPE @extschema@._chpg_report_coverage AS (
	service_id text,
	service_name text,
	hours integer,
	captured integer,
	truncated integer,
	failed integer,
	states text[],
	error text
);

COMMENT ON TYPE @extschema@._chpg_report_coverage IS 'How much of a period the history has of a service.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.service_id IS 'Id of the service.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.service_name IS 'Its name, or its id.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.hours IS 'Hours that there could be.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.captured IS 'Hours that were captured.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.truncated IS
'Of these, hours that had more queries than a capture reads.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.failed IS 'Hours whose capture failed, or came too late.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.states IS
'The worst state of each step: ok, truncated, failed or missing.';
COMMENT ON COLUMN @extschema@._chpg_report_coverage.error IS 'The latest error of a capture; null: none.';

CREATE TYPE @extschema@._chpg_report AS (
	written_at timestamptz,
	time_zone text,
	period tstzrange,
	baseline tstzrange,
	service text,
	server text,
	hide_texts boolean,
	has_history boolean,
	service_ids text[],
	step interval,
	starts timestamptz[],
	verdict text,
	is_bad boolean,
	not_known text,
	notes text[],
	from_log boolean,
	judged_at timestamptz,
	incidents @extschema@.chpg_finding_row[],
	resolved @extschema@.chpg_finding_row[],
	opportunities @extschema@.chpg_finding_row[],
	skipped @extschema@.chpg_finding_row[],
	muted integer,
	changes @extschema@._chpg_report_change[],
	renamed integer,
	services @extschema@._chpg_report_service[],
	marks @extschema@._chpg_report_mark[],
	load_of_services @extschema@._chpg_report_series[],
	load_of_patterns @extschema@._chpg_report_series[],
	patterns @extschema@._chpg_report_pattern[],
	pattern_count bigint,
	coverage @extschema@._chpg_report_coverage[],
	requests bigint
);

COMMENT ON TYPE @extschema@._chpg_report IS 'All that a report says.';
COMMENT ON COLUMN @extschema@._chpg_report.written_at IS 'When it is written.';
COMMENT ON COLUMN @extschema@._chpg_report.time_zone IS 'Time zone of its times, as people read it.';
COMMENT ON COLUMN @extschema@._chpg_report.period IS 'What it is about.';
COMMENT ON COLUMN @extschema@._chpg_report.baseline IS 'What that is compared with.';
COMMENT ON COLUMN @extschema@._chpg_report.service IS 'Name of the service; null: the fleet.';
COMMENT ON COLUMN @extschema@._chpg_report.server IS 'Foreign server; null: all in the history.';
COMMENT ON COLUMN @extschema@._chpg_report.hide_texts IS 'Whether names and texts are pseudonyms.';
COMMENT ON COLUMN @extschema@._chpg_report.has_history IS 'Whether the history has something of the period.';
COMMENT ON COLUMN @extschema@._chpg_report.service_ids IS 'The services that it is about.';
COMMENT ON COLUMN @extschema@._chpg_report.step IS 'Length of a step: courses have a value for each.';
COMMENT ON COLUMN @extschema@._chpg_report.starts IS 'Starts of the steps.';
COMMENT ON COLUMN @extschema@._chpg_report.verdict IS 'What it says, in one or a few sentences.';
COMMENT ON COLUMN @extschema@._chpg_report.is_bad IS 'Whether something is wrong; null: not known.';
COMMENT ON COLUMN @extschema@._chpg_report.not_known IS
'Why nothing could be judged, within a sentence; null: rules judged.';
COMMENT ON COLUMN @extschema@._chpg_report.notes IS 'What it cannot show, and why: sentences.';
COMMENT ON COLUMN @extschema@._chpg_report.from_log IS 'Whether findings are those of the log.';
COMMENT ON COLUMN @extschema@._chpg_report.judged_at IS 'End of the hours that findings are about.';
COMMENT ON COLUMN @extschema@._chpg_report.incidents IS
'Incidents and risks at the end of the period, the most urgent first.';
COMMENT ON COLUMN @extschema@._chpg_report.resolved IS 'Incidents that were resolved in the period, by the log.';
COMMENT ON COLUMN @extschema@._chpg_report.opportunities IS 'What could be better, with most time first.';
COMMENT ON COLUMN @extschema@._chpg_report.skipped IS
'Rules that could not judge; null: that is not known, as the log has those of its last watch only.';
COMMENT ON COLUMN @extschema@._chpg_report.muted IS 'Number of findings that are muted, which are not shown.';
COMMENT ON COLUMN @extschema@._chpg_report.changes IS 'Queries that changed, the greatest change first.';
COMMENT ON COLUMN @extschema@._chpg_report.renamed IS
'Number of queries that have a new id, since an application writes them otherwise.';
COMMENT ON COLUMN @extschema@._chpg_report.services IS 'The services, those that need most first.';
COMMENT ON COLUMN @extschema@._chpg_report.marks IS 'What happened to services in the period.';
COMMENT ON COLUMN @extschema@._chpg_report.load_of_services IS 'load of the services with most, and of the rest.';
COMMENT ON COLUMN @extschema@._chpg_report.load_of_patterns IS 'load of the queries with most, and of the rest.';
COMMENT ON COLUMN @extschema@._chpg_report.patterns IS 'Queries, with most time first.';
COMMENT ON COLUMN @extschema@._chpg_report.pattern_count IS 'Number of all queries of the period.';
COMMENT ON COLUMN @extschema@._chpg_report.coverage IS 'What the history has of each service.';
COMMENT ON COLUMN @extschema@._chpg_report.requests IS 'Requests that it took.';

CREATE FUNCTION @extschema@._chpg_report_service_link(service_id text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT 'service-' || regexp_replace(service_id, '[^a-zA-Z0-9-]', '', 'g');
END;

COMMENT ON FUNCTION @extschema@._chpg_report_service_link(text) IS 'Id of a service''s row in the page.';
