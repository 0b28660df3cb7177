/* History: the comments of its tables and views. */

/*
 * A column of a view has the description given here for it, else the one of the attribute
 * or column that it shows.
 */
CREATE FUNCTION @extschema@._chpg_history_comment(schema name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place CONSTANT oid := (SELECT n.oid FROM pg_namespace n WHERE n.nspname = schema);
	pattern_row CONSTANT oid := '@extschema@.chpg_slow_pattern_row'::regclass;
	metric_row CONSTANT oid := '@extschema@.chpg_metric_row'::regclass;
	item record;
BEGIN
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', schema), true);
	COMMENT ON TABLE setting IS 'Settings of captures and purges: change value by UPDATE.';
	COMMENT ON TABLE service IS 'Services over time: a row for each change of name, size, tags and so on.';
	COMMENT ON TABLE service_key IS 'Keys that stand for services in other tables.';
	COMMENT ON TABLE query_text IS 'Texts of queries, each once.';
	COMMENT ON TABLE pattern_key IS
		'What identifies a pattern; the same query with another text is another pattern.';
	COMMENT ON TABLE capture IS
		'Windows of services that were captured (ok), could not be (error), or cannot be any more (lost).';
	COMMENT ON TABLE open_hour IS 'Slow query patterns of the hours that may change.';
	COMMENT ON TABLE open_day IS 'Slow query patterns of the days that may change.';
	COMMENT ON TABLE sealed_hour IS
		'Slow query patterns of older hours, a row for each service and hour: arrays over patterns.';
	COMMENT ON TABLE sealed_day IS
		'Slow query patterns of older days, a row for each service and day: arrays over patterns.';
	COMMENT ON TABLE archive IS 'What was archived last, and the sequence of seal_ids.';
	COMMENT ON TABLE day_sum IS 'Sums of the hours of a day (UTC), a row for each service, day and pattern.';
	COMMENT ON TABLE metric_day IS 'Points of the time series of services, a row for each series and day (UTC).';
	COMMENT ON TABLE score_hour IS
		'How far recent hours are from the same hours of past days, a row for each service and hour: arrays over patterns.';
	COMMENT ON TABLE limit_day IS 'Limits and settings of services, a row for each service and day (UTC).';
	COMMENT ON TABLE finding_log IS
		'What chpg_watch has found, a row for each finding from its first sight until it is resolved.';
	COMMENT ON TABLE finding_mute IS 'Findings that are muted: see chpg_mute.';
	COMMENT ON TABLE alert IS
		'The outbox: transitions of incidents, each as it was noted by a watch, and notifications.';
	COMMENT ON TABLE alert_delivery IS 'Which webhooks get an alert, and what became of it.';
	COMMENT ON TABLE watch_state IS 'When chpg_watch last ran: one row, or none before.';
	COMMENT ON TABLE watch_skipped IS 'Rules that the last chpg_watch of a service could not judge, and why.';
	COMMENT ON TABLE notification_state IS
		'Servers whose organization''s notifications are alerts: see chpg_create_webhook.';
	COMMENT ON VIEW dead_letter IS
		'Alerts that a webhook did not get in twelve tries, the latest first: see chpg_redeliver.';
	COMMENT ON TABLE threshold IS 'Thresholds of rules that replace those of chpg_rule and chpg_threshold.';
	COMMENT ON TABLE maintenance IS 'Planned work: see chpg_maintenance.';
	COMMENT ON VIEW finding IS 'Open findings, an incident each, the most urgent first; finding_log has all of them.';
	COMMENT ON VIEW finding_history IS 'Findings that are open or were resolved, an incident each, the latest first.';
	COMMENT ON VIEW incident IS 'The findings of open incidents, the root of each first.';
	COMMENT ON VIEW pattern_hour IS 'Slow query patterns, one row for each service, hour and pattern.';
	COMMENT ON VIEW pattern_day IS
		'Slow query patterns, one row for each service, day (UTC) and pattern. Percentiles are those of the day.';
	COMMENT ON VIEW service_hour IS
		'What a service did in an hour: null where that was not captured, 0 where there was nothing.';
	COMMENT ON VIEW service_day IS
		'What a service did in a day (UTC): null where that was not captured, 0 where there was nothing.';
	COMMENT ON VIEW error_hour IS 'Errors of an hour, one row for each service, database, user and application.';
	COMMENT ON VIEW pattern_daily IS
		'Sums of the captured hours of a day (UTC), one row for each service, day and pattern: for long ranges. '
		'Unlike pattern_day, it has days of which only hours are captured, and today.';
	COMMENT ON VIEW error_daily IS
		'Errors of a day (UTC), by its captured hours, one row for each service, database, user and application.';
	COMMENT ON VIEW metric IS 'Points of the time series of services.';
	COMMENT ON VIEW coverage IS
		'Which windows were captured: ok, error (the next run tries again), lost (the API has them no longer).';
	COMMENT ON VIEW archive_state IS 'What of the sealed windows was archived, and what waits for it: one row.';
	COMMENT ON VIEW archive_service IS
		'The table service for an archive, without times and types that ClickHouse lacks.';
	FOR item IN
		SELECT c.relname, a.attname, col_description(r.attrelid, r.attnum) AS description
		FROM pg_attribute r
		JOIN pg_attribute a ON a.attname = r.attname AND a.attnum > 0
		JOIN pg_class c ON c.oid = a.attrelid AND c.relnamespace = place
			AND c.relname IN ('open_hour', 'open_day', 'sealed_hour', 'sealed_day', 'day_sum', 'pattern_key', 'query_text')
		WHERE r.attrelid = pattern_row
		UNION ALL
		SELECT 'score_hour', r.attname, col_description(r.attrelid, r.attnum)
		FROM pg_attribute r
		WHERE r.attrelid = '@extschema@._chpg_score_row'::regclass AND r.attnum > 0
		UNION ALL
		VALUES
			('score_hour', 'scored_at', 'When it was scored.'),
			('score_hour', 'common',
				'ln of the factor by which most patterns are slower than their baselines; 0 if too few run.'),
			('score_hour', 'patterns', 'Patterns that ran, or were expected to run.'),
			('finding_log', 'finding_key', 'Which finding, for chpg_mute.'),
			('finding_log', 'opened_at', 'End of the captured hours in which a watch first saw it.'),
			('finding_log', 'last_seen_at', 'End of the captured hours in which a watch saw it last.'),
			('finding_log', 'resolved_at', 'When it was resolved, or became usual. Null: it is open.'),
			('finding_log', 'worse_at', 'When it last got worse; null: never.'),
			('finding_log', 'missed_at', 'When a watch last did not see it; null: the last watch saw it.'),
			('finding_log', 'missed', 'Number of watches in a row that have not seen it.'),
			('finding_log', 'state',
				'new, ongoing, worse (its level rose, or its value by a half), resolved, or usual (no longer a change).'),
			('finding_log', 'kind', 'incident, risk, opportunity or hygiene.'),
			('finding_log', 'level', 'Level when it was last seen.'),
			('finding_log', 'worst_level', 'The worst level.'),
			('finding_log', 'noted_level', 'The worst level with which it was new, or got worse.'),
			('finding_log', 'value', 'How many times its measure was as before, or the measure; null: it has none.'),
			('finding_log', 'worst_value', 'The greatest value.'),
			('finding_log', 'noted_value', 'The greatest value with which it was new, or got worse.'),
			('finding_log', 'rule_id', 'Number of the rule.'),
			('finding_log', 'service_id', 'Id of the service; null: the fleet.'),
			('finding_log', 'service_name', 'Name that the service had then.'),
			('finding_log', 'since', 'When it began, to the hour; null: unknown.'),
			('finding_log', 'incident_id', 'Identifies the incident; null: it is none.'),
			('finding_log', 'is_root', 'Whether it stands for its incident.'),
			('finding_log', 'muted', 'Whether it was muted when it was last seen.'),
			('finding_log', 'finding', 'Its row of chpg_findings when it was last seen.'),
			('finding_mute', 'finding_key', 'Which finding.'),
			('finding_mute', 'reason', 'false_positive, accepted_risk or wont_fix.'),
			('finding_mute', 'note', 'The reason in words.'),
			('finding_mute', 'muted_by', 'Session user that muted it.'),
			('finding_mute', 'muted_at', 'Time at which it was muted.'),
			('finding_mute', 'muted_until', 'Time at which the mute ends.'),
			('finding_mute', 'muted_level', 'The worst level that its episode had; null: unknown.'),
			('finding_mute', 'muted_value', 'The greatest value that its episode had then; null: unknown.'),
			('finding_mute', 'factor', 'How many times this value ends the mute.'),
			('alert', 'alert_id', 'Number, greater than those of earlier alerts.'),
			('alert', 'alert_key', 'The Idempotency-Key of all its requests.'),
			('alert', 'noted_at', 'When the watch noted it.'),
			('alert', 'as_of', 'End of the captured hours that the watch judged.'),
			('alert', 'transition',
				'new, worse, resolved, usual (it ended, as it is the usual now), or known (nobody gets it).'),
			('alert', 'incident_id', 'Identifies the incident, or the notification.'),
			('alert', 'finding_key', 'The finding that stands for it; of a notification its incident_id.'),
			('alert', 'rule_id', 'Number of that finding''s rule; of a notification its type.'),
			('alert', 'kind', 'incident, risk or notification.'),
			('alert', 'level', 'ERROR or WARN; of an end, that of the last alert.'),
			('alert', 'service_id', 'Id of the service, or of what a notification concerns; null: the fleet.'),
			('alert', 'service_name', 'Name that the service had then.'),
			('alert', 'since', 'When the incident began, to the hour; null: unknown.'),
			('alert', 'title', 'What it is.'),
			('alert', 'symptom', 'What was seen.'),
			('alert', 'action', 'What to do about it; null at its end.'),
			('alert_delivery', 'alert_id', 'Which alert.'),
			('alert_delivery', 'webhook', 'Name of the webhook.'),
			('alert_delivery', 'state', 'pending, sent, or dead: no further try.'),
			('alert_delivery', 'attempts', 'Number of tries.'),
			('alert_delivery', 'next_try', 'When it is tried again, if it is pending.'),
			('alert_delivery', 'leased_until', 'Until then a session may be sending it; null: none is.'),
			('alert_delivery', 'sent_at', 'When the receiver took it; null: it did not.'),
			('alert_delivery', 'status', 'HTTP status of the last try; null: there was none.'),
			('alert_delivery', 'error', 'Why the last try failed; null: it did not.'),
			('alert_delivery', 'summary_key',
				'The Idempotency-Key of the summary that the alert is part of; null: it is sent alone.'),
			('watch_state', 'watched_at', 'When it ran.'),
			('watch_state', 'as_of', 'End of the captured hours that it judged.'),
			('watch_state', 'regular_since', 'Since when each watch came within three hours of the one before; '
				'null: while captures end with watches (the setting watch). One that is late after a day of these '
				'makes it a day before that one.'),
			('watch_skipped', 'service_id', 'Id of the service.'),
			('watch_skipped', 'finding_key', 'Identifies the row of chpg_findings; empty: the watch itself.'),
			('watch_skipped', 'as_of', 'End of the captured hours that the watch judged.'),
			('watch_skipped', 'finding', 'The row of chpg_findings, whose level is SKIPPED; of the watch itself, empty.'),
			('notification_state', 'server', 'Name of the server.'),
			('notification_state', 'begun_at', 'Since when; what was there before is no alert.'),
			('dead_letter', 'noted_at', 'When the watch noted the alert.'),
			('dead_letter', 'webhook', 'Name of the webhook.'),
			('dead_letter', 'transition', 'new, worse, resolved or usual.'),
			('dead_letter', 'level', 'ERROR or WARN.'),
			('dead_letter', 'service', 'Name of the service, or its id, cut.'),
			('dead_letter', 'title', 'What it is, cut.'),
			('dead_letter', 'attempts', 'Number of tries.'),
			('dead_letter', 'error', 'Why the last one failed, cut.'),
			('dead_letter', 'incident_id', 'Identifies the incident.'),
			('threshold', 'rule_id', 'Number of the rule.'),
			('threshold', 'parameter', 'Name of the threshold.'),
			('threshold', 'threshold', 'The threshold.'),
			('maintenance', 'service_id', 'Id of the service; null: all services.'),
			('maintenance', 'starts_at', 'Start of the planned work.'),
			('maintenance', 'ends_at', 'End of the planned work.'),
			('maintenance', 'note', 'What is planned.'),
			('maintenance', 'noted_by', 'Session user that noted it.'),
			('maintenance', 'noted_at', 'Time at which it was noted.'),
			('finding', 'level', 'ERROR, WARN or INFO.'),
			('finding', 'state', 'new, ongoing or worse.'),
			('finding', 'age', 'Time since it began, or was first seen.'),
			('finding', 'service', 'Name of the service, or its id, cut.'),
			('finding', 'title', 'What it is, cut.'),
			('finding', 'symptom', 'What was seen last, cut.'),
			('finding_history', 'level', 'The worst level.'),
			('finding_history', 'state', 'new, ongoing, worse or resolved.'),
			('finding_history', 'begins', 'When it began, or was first seen, in the session''s time zone.'),
			('finding_history', 'ends', 'When it was last seen, in the session''s time zone; null: it is open.'),
			('finding_history', 'service', 'Name of the service, or its id, cut.'),
			('finding_history', 'title', 'What it is, cut.'),
			('finding_history', 'subject', 'Query, application or service, cut.'),
			('incident', 'incident_id', 'Identifies the incident.'),
			('incident', 'is_root', 'Whether the finding stands for its incident.'),
			('incident', 'level', 'ERROR, WARN or INFO.'),
			('incident', 'state', 'new, ongoing or worse.'),
			('incident', 'since', 'When it began, to the hour.'),
			('incident', 'service_id', 'Id of the service.'),
			('incident', 'service_name', 'Name that the service had then.'),
			('incident', 'rule_id', 'Number of the rule.'),
			('incident', 'title', 'What it is.'),
			('incident', 'subject', 'Query, application or service.'),
			('incident', 'symptom', 'What was seen last.'),
			('incident', 'action', 'What to do about it.'),
			('incident', 'next', 'A statement to copy that shows more of it.'),
			('incident', 'opened_at', 'End of the captured hours in which a watch first saw it.'),
			('incident', 'last_seen_at', 'End of the captured hours in which a watch saw it last.'),
			('incident', 'muted', 'Whether it was muted when it was last seen.'),
			('incident', 'finding_key', 'Which finding, for chpg_mute.'),
			('incident', 'explanation', 'Why, as far as it is known.'),
			('pattern_key', 'last_seen', 'End of a window that had the pattern, the last one or one up to a day before.'),
			('capture', 'changed_at', 'Time of the last capture that found the window changed.'),
			('capture', 'queries', 'Patterns with a query_id.'),
			('sealed_hour', 'seal_id', 'Number, greater than those of windows that were sealed earlier.'),
			('sealed_day', 'seal_id', 'Number, greater than those of windows that were sealed earlier.'),
			('archive', 'seal_id', 'Windows up to this one were archived.'),
			('archive', 'archived_at', 'When that was confirmed.'),
			('archive_state', 'archived_seal_id', 'Windows up to this one were archived; 0: none.'),
			('archive_state', 'archived_at', 'When that was confirmed.'),
			('archive_state', 'last_seal_id', 'The greatest seal_id: read windows up to it, and confirm it.'),
			('archive_state', 'windows', 'Sealed windows that are not archived.'),
			('archive_state', 'oldest_window', 'Start of the oldest one of them.'),
			('archive_service', 'valid_from', 'Start of the time that the row describes, not before 1970.'),
			('archive_service', 'valid_to', 'End of the time that the row describes, not after 2100.'),
			('archive_service', 'tags', 'Tags as JSON.'),
			('archive_service', 'service_key', 'Key that stands for the service in other tables.'),
			('archive_service', 'service_id', 'Id of the service.'),
			('archive_service', 'service_name', 'Name that the service had then.'),
			('archive_service', 'region', 'Region of the service then.'),
			('archive_service', 'size', 'Size of the service''s virtual machine then.'),
			('archive_service', 'ha_type', 'High availability of the service then.'),
			('archive_service', 'postgres_version', 'Major version of PostgreSQL then.'),
			('archive_service', 'server', 'Foreign server by which it was captured.'),
			('metric_day', 'first_time', 'Time of the first point.'),
			('metric_day', 'step', 'Time between two points.'),
			('metric_day', 'values', 'The points, null where there is none.'),
			('limit_day', 'service_key', 'Key that stands for the service in other tables.'),
			('limit_day', 'day', 'Start of the day (UTC).'),
			('limit_day', 'noted_at', 'When a capture first saw the service on that day.'),
			('limit_day', 'size', 'Size of the service''s virtual machine.'),
			('limit_day', 'postgres_version', 'Major version of PostgreSQL.'),
			('limit_day', 'cpu_cores', 'CPU cores of that size; null where its name does not say.'),
			('limit_day', 'memory_bytes', 'Memory of that size, in bytes; null likewise.'),
			('limit_day', 'storage_bytes', 'Size of the storage, in bytes; null where the list of services omits it.'),
			('limit_day', 'settings_at', 'When the settings were read; null: not on that day.'),
			('limit_day', 'max_connections', 'The setting; null where it was not set, or not read.'),
			('limit_day', 'settings', 'Settings that were changed, such as {"postgres.work_mem": "64MB"}; null: they '
				'could not be read. Without values of more than 200 characters, and of those that may be secret.'),
			('capture', 'truncated', 'Whether the window had more patterns than were captured.'),
			('capture', 'cutoff_us', 'In a truncated window, the shortest total duration captured, in microseconds: '
				'what is missing took less.'),
			('capture', 'error', 'Why the last attempt failed: SQLSTATE, message, and the API''s own message, '
				'up to 1000 characters. Not read: the service is in another state than running.'),
			('capture', 'attempts', 'Number of attempts.'),
			('capture', 'captured_at', 'Time of the last capture, or attempt.'),
			('query_text', 'text_hash', 'sha256 of the text in UTF-8.'),
			('query_text', 'query', 'The first 120 characters of the text, on one line.'),
			('service', 'valid_from',
				'Start of the time that the row describes; -infinity in the first row of a service.'),
			('service', 'noted_at', 'When a capture first saw this state.'),
			('service', 'server', 'Foreign server by which it was captured.'),
			('service', 'valid_to', 'End of the time that the row describes; infinity in the present row.')
	LOOP
		EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.relname, item.attname, item.description);
	END LOOP;
	FOR item IN
		SELECT c.relname, a.attname, coalesce(of.description, d.description,
			(SELECT col_description(r.attrelid, r.attnum) FROM pg_attribute r
				WHERE r.attname = a.attname AND r.attrelid = pattern_row),
			(SELECT col_description(r.attrelid, r.attnum) FROM pg_attribute r
				WHERE r.attname = a.attname AND r.attrelid = 'capture'::regclass),
			(SELECT col_description(r.attrelid, r.attnum) FROM pg_attribute r
				WHERE r.attname = a.attname AND r.attrelid = metric_row)) AS description
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
		LEFT JOIN (VALUES
			('time', 'Start of the window, or of the bucket, which it includes.'),
			('service_name', 'Name that the service had then.'),
			('region', 'Region of the service then.'),
			('size', 'Size of the service''s virtual machine then.'),
			('tag_environment', 'Tag "Environment" of the service then; null where it had none.'),
			('tag_team', 'Tag "team" of the service then; null where it had none.'),
			('query', 'The first 120 characters of query_text, on one line.'),
			('day', 'Day (UTC) of the point; a condition on it is what an index finds.'),
			('hours', 'Hours of the day that had the pattern.'),
			('text_id', 'Row of the table query_text that has the text.'),
			('grain', 'hour or day.'),
			('window_end', 'End of the window, which it does not include.'),
			('status', 'ok, error or lost.'),
			('patterns', 'Patterns in the window.'),
			('hit_ratio', 'Shared blocks found in the buffer cache, of all that were wanted; 0 to 1.'),
			('active_executions', 'Mean number of executions under way; adds up over patterns and services.'),
			('calls_per_s', 'Executions per second.'),
			('error_ratio', 'error_count of error_count and call_count together; 0 to 1. '
				'Null where the window is truncated, so that executions are missing.'),
			('p95_lo_us', 'Lower bound of the 95th percentile of all executions, in microseconds: '
				'the least 95th percentile of a pattern.'),
			('p95_hi_us', 'Upper bound of the 95th percentile of all executions, in microseconds: '
				'the greatest 95th percentile of a pattern.'),
			('p99_lo_us', 'Lower bound of the 99th percentile of all executions, in microseconds: '
				'the least 99th percentile of a pattern.'),
			('p99_hi_us', 'Upper bound of the 99th percentile of all executions, in microseconds: '
				'the greatest 99th percentile of a pattern.')
		) d(name, description) ON d.name = a.attname
		LEFT JOIN (VALUES
			('pattern', 'query_id', 'Hash of the normalized query, PostgreSQL''s own: joins with '
				'pg_stat_statements.queryid. '
				'What has none is not here; its errors are in error_hour.'),
			('pattern', 'call_count', 'Executions in the window that ended without an error.'),
			('pattern', 'error_count', 'Executions in the window that raised an error; call_count does not have them.'),
			('service', 'call_count', 'Executions in the window that ended without an error, of all its patterns.'),
			('service', 'error_count', 'Executions in the window that raised an error, those without a query_id, too; '
				'call_count does not have them.'),
			('error', 'call_count', 'Executions in the window that ended without an error.'),
			('error', 'error_count', 'Executions in the window that raised an error, those without a query_id, too; '
				'call_count does not have them.')
		) of(view, name, description) ON c.relname ^@ of.view AND of.name = a.attname
		WHERE c.relkind = 'v' AND c.relnamespace = place
			AND c.relname IN ('pattern_hour', 'pattern_day', 'service_hour', 'service_day', 'error_hour', 'metric',
				'coverage', 'pattern_daily', 'error_daily')
	LOOP
		EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.relname, item.attname, item.description);
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_comment(name) IS
'Give the tables and views of the history in a schema their comments.';
