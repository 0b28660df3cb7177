/*
 * rule: CHPG802 archive
 * title: Windows wait to be archived
 * kind: risk
 * scope: history
 * threshold: age_ratio = 0.5 ratio; Age of the oldest window that waits to be archived, of the setting
 *     keep_unarchived, from which it is reported: it will be purged without.
 */
CREATE FUNCTION @extschema@._chpg_find_archive(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
	keep interval;
	oldest timestamptz;
	age interval;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF (SELECT s.value FROM setting s WHERE s.name = 'archive') IS DISTINCT FROM 'on' THEN
		RETURN;
	ELSIF NOT has_table_privilege('archive', 'SELECT') THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG802}'::text[],
			'You may not read the table archive of the history.', NULL::text);
		RETURN;
	END IF;
	keep := @extschema@._chpg_history_check_setting('keep_unarchived',
		(SELECT s.value FROM setting s WHERE s.name = 'keep_unarchived'));
	oldest := least(@extschema@._chpg_oldest_unarchived('hour'), @extschema@._chpg_oldest_unarchived('day'));
	age := now() - oldest;
	RETURN QUERY
	SELECT 'CHPG802', 'WARN', 'Windows wait to be archived', NULL::text,
		format('the oldest one is %s days old; after %s, windows are purged all the same',
			floor(extract(epoch FROM age) / 86400), keep),
		jsonb_build_object('oldest_window', oldest, 'keep_unarchived', keep, 'last_seal_id_archived',
			@extschema@._chpg_archived_through(), 'archived_at', (SELECT max(a.archived_at) FROM archive a)),
		'The job that reads windows into the archive fails, or does not confirm them.',
		'Look at what that job reports, and at the view archive_state of the history; '
			'chpg_history_archived confirms what the archive has.',
		NULL::float8, 'high', 'CHPG802', 'risk',
		NULL::timestamptz, NULL::float8, extract(epoch FROM age)::float8 * 1e6, 'us', NULL::text
	WHERE age >= keep * :age_ratio;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_archive(@extschema@._chpg_thresholds, @extschema@._chpg_scope) IS
'A finding if windows wait for long to be archived, where the setting archive is on.
Requests: none.
Errors: 22023 the setting keep_unarchived cannot be used; 55000 there is no history.';
