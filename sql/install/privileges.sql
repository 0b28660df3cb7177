/*
 * Privileges on what the extension creates.
 *
 * PUBLIC may not execute what captures, purges and chpg_history_enable call.
 * _chpg_history_entrust grants it to a role for which a history is begun.
 */
REVOKE EXECUTE ON ROUTINE
	@extschema@._chpg_refuse_code(regclass), @extschema@._chpg_run_as(oid, text, record),
	-- beginning and ending a history
	@extschema@._chpg_history_check_schema(text, text), @extschema@._chpg_history_create_views(name),
	@extschema@._chpg_history_comment(name), @extschema@._chpg_history_close(text),
	@extschema@._chpg_history_fill(name), @extschema@._chpg_history_entrust(text, boolean),
	@extschema@._chpg_history_take(name, jsonb, jsonb), @extschema@._chpg_history_adopt(text),
	-- captures
	@extschema@._chpg_history_owner(), @extschema@._chpg_history_lock(),
	@extschema@._chpg_history_lock_table(text, text),
	@extschema@._chpg_note_services(@extschema@.chpg_service_row[], text), @extschema@._chpg_capture_services(text),
	@extschema@._chpg_history_partition(text, timestamptz),
	@extschema@._chpg_note_window(text, text, timestamptz, timestamptz, @extschema@.chpg_slow_pattern_row[],
		double precision, @extschema@.chpg_metric_row[], text),
	@extschema@._chpg_note_capture(text, text, timestamptz, timestamptz, @extschema@._chpg_window_row[], integer,
		boolean, double precision, boolean, text, integer, timestamptz),
	@extschema@._chpg_capture_window(text, text, timestamptz, timestamptz, text, boolean, text),
	@extschema@._chpg_capture_must_wait(text, integer), @extschema@._chpg_check_commits(text, text),
	@extschema@._chpg_report_progress(text, timestamptz, bigint, bigint),
	@extschema@._chpg_capture_schedule(text, text, text, integer),
	@extschema@._chpg_capture_begin(text, text, text, integer), @extschema@._chpg_capture_commit(),
	@extschema@._chpg_window_settings(text, text, timestamptz, boolean),
	@extschema@._chpg_service_key(text), @extschema@._chpg_window_rows(@extschema@.chpg_slow_pattern_row[], timestamptz),
	@extschema@._chpg_write_window(text, integer, timestamptz, @extschema@._chpg_window_row[]),
	@extschema@._chpg_sum_day(integer, timestamptz),
	@extschema@._chpg_note_points(integer, timestamptz, timestamptz, interval, @extschema@.chpg_metric_row[]),
	-- scores
	@extschema@._chpg_score_window(integer, timestamptz),
	@extschema@._chpg_forget_scores(integer, timestamptz, boolean),
	@extschema@._chpg_score_windows(integer[], timestamptz, timestamptz),
	@extschema@._chpg_note_limits(@extschema@.chpg_service_row[]),
	@extschema@._chpg_note_settings(text, @extschema@.chpg_config_row[]),
	-- watches
	@extschema@._chpg_note_findings(@extschema@._chpg_member[], text[], boolean, timestamptz),
	@extschema@._chpg_note_skipped(@extschema@._chpg_member[], text[], timestamptz),
	@extschema@._chpg_watch(timestamptz, text, text), @extschema@._chpg_watch_captured(text, text),
	@extschema@._chpg_note_maintenance(text, tstzrange, text, name),
	-- alerts
	@extschema@._chpg_note_alerts(timestamptz), @extschema@._chpg_queue_alerts(bigint[]),
	@extschema@._chpg_note_notifications(text, @extschema@.chpg_notification_row[]),
	@extschema@._chpg_read_notifications(text), @extschema@._chpg_claim_delivery(text[]),
	@extschema@._chpg_record_delivery(bigint, text, jsonb), @extschema@._chpg_deliver(integer, bigint, bigint),
	@extschema@._chpg_redeliver(text), @extschema@._chpg_summary(uuid, text),
	@extschema@._chpg_post_webhook_alone(text, text, text, jsonb),
	@extschema@._chpg_alert_webhooks(bigint[], oid),
	@extschema@._chpg_exemplars_due(text), @extschema@._chpg_note_exemplars(text, timestamptz, jsonb),
	@extschema@._chpg_read_exemplars(jsonb, text, integer), @extschema@._chpg_capture_exemplars(text),
	@extschema@._chpg_history_mute(text, text, text, name, timestamptz, double precision),
	@extschema@._chpg_history_unmute(text), @extschema@._chpg_history_mutes(text[]), @extschema@._chpg_mutes_owner(),
	-- sealing
	@extschema@._chpg_seal_window(text, integer, timestamptz, @extschema@._chpg_window_row[]),
	@extschema@._chpg_seal_some(integer), @extschema@._chpg_seal_portion(integer),
	-- imports
	@extschema@._chpg_import_service(text, @extschema@.chpg_history_row[]),
	@extschema@._chpg_import_window(text, text, timestamptz, text, @extschema@.chpg_slow_pattern_row[], integer, boolean,
		double precision, text, integer, timestamptz, timestamptz),
	@extschema@._chpg_import_points(text, @extschema@.chpg_history_row[]),
	@extschema@._chpg_import_limits(text, @extschema@.chpg_history_row[]),
	-- purges
	@extschema@._chpg_note_archived(bigint),
	@extschema@._chpg_history_drop(name, name[], text), @extschema@._chpg_history_expire(),
	-- upgrades
	@extschema@._chpg_upgrade_lock(), @extschema@._chpg_upgrade_put_aside(name), @extschema@._chpg_upgrade_begin(),
	@extschema@._chpg_upgrade_keys(bigint), @extschema@._chpg_upgrade_windows(text),
	@extschema@._chpg_upgrade_points(text), @extschema@._chpg_upgrade_drop(name), @extschema@._chpg_upgrade_end()
FROM PUBLIC;

/* Default privileges of the creating role are taken back: of tables and views all but SELECT ... */
SELECT @extschema@._chpg_history_close(c.oid::regclass::text)
FROM pg_extension e
JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'v')
WHERE e.extname = 'chpg';

/* ... and all of functions that PUBLIC may not execute. */
DO $$
DECLARE
	given record;
BEGIN
	FOR given IN
		SELECT p.oid::regprocedure AS routine, a.grantee::regrole AS role
		FROM pg_extension e
		JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
			AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
		JOIN pg_proc p ON p.oid = d.objid
		CROSS JOIN LATERAL aclexplode(p.proacl) a
		WHERE e.extname = 'chpg' AND a.grantee NOT IN (0, p.proowner)
			AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
	LOOP
		EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM %s CASCADE', given.routine, given.role);
	END LOOP;
END
$$;
