/*
 * History: windows that another store has, too.
 *
 * A store elsewhere, such as ClickHouse, reads sealed windows by their seal_id, and says
 * which ones it has.  The history numbers windows under a lock that is held until the
 * transaction ends: whoever sees a seal_id sees all smaller ones that there are.
 */

CREATE FUNCTION @extschema@._chpg_archived_through()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (SELECT coalesce(max(a.seal_id), 0) FROM archive a);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_archived_through() IS
'The seal_id through which windows were archived; 0 if none were.';

CREATE FUNCTION @extschema@._chpg_oldest_unarchived(grain text)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	archived CONSTANT bigint := @extschema@._chpg_archived_through();
	oldest timestamptz;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	EXECUTE format('SELECT least((SELECT min(w.window_start) FROM sealed_%1$s w WHERE w.seal_id > $1),
		(SELECT min(o.window_start) FROM service_key k CROSS JOIN LATERAL (
			SELECT p.window_start FROM open_%1$s p WHERE p.service_key = k.service_key ORDER BY 1 LIMIT 1) o))', grain)
	INTO oldest USING archived;
	RETURN oldest;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_oldest_unarchived(text) IS
'Start of the oldest window of a grain that is not archived, whether it is sealed or not yet.
Null if there is none.';

CREATE FUNCTION @extschema@._chpg_kept_from(grain text)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	settings record;
	kept_from timestamptz;
BEGIN
	SELECT * INTO settings FROM @extschema@._chpg_history_settings();
	kept_from := now() - CASE grain WHEN 'hour' THEN settings.keep_hour + interval '1 hour'
		ELSE settings.keep_day + interval '1 day' END;
	RETURN CASE WHEN settings.archive THEN least(kept_from,
			greatest(now() - settings.keep_unarchived,
				coalesce(@extschema@._chpg_oldest_unarchived(grain), 'infinity')))
		ELSE kept_from END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_kept_from(text) IS
'A purge deletes the windows of a grain that start before this time.
With the setting archive it is earlier while windows wait to be archived.';

CREATE FUNCTION @extschema@._chpg_note_archived(through bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	archived bigint;
	given bigint;
BEGIN
	PERFORM @extschema@._chpg_history_lock();
	archived := @extschema@._chpg_archived_through();
	given := coalesce(pg_sequence_last_value(pg_get_serial_sequence('archive', 'seal_id')::regclass), 0);
	IF through < 0 OR through > given THEN
		RAISE EXCEPTION 'no window of the history has had seal_id %', through
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = CASE given WHEN 0 THEN 'No window was sealed yet.'
					ELSE format('The greatest one is %s.', given) END,
				HINT = 'Confirm the last_seal_id that the view archive_state had before the windows were read. If the '
					'archive has greater ones, this history was restored to an earlier time.';
	ELSIF through <= archived THEN
		RETURN 0;
	END IF;
	INSERT INTO archive (seal_id, archived_at) OVERRIDING SYSTEM VALUE VALUES (through, now());
	DELETE FROM archive a WHERE a.seal_id < through;
	RETURN (SELECT count(*) FROM sealed_hour w WHERE w.seal_id > archived AND w.seal_id <= through)
		+ (SELECT count(*) FROM sealed_day w WHERE w.seal_id > archived AND w.seal_id <= through);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_archived(bigint) IS
'As chpg_history_archived, as the owner of the history.';

CREATE FUNCTION @extschema@.chpg_history_archived(through bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF through IS NULL THEN
		RAISE EXCEPTION 'argument "through" must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM @extschema@._chpg_history_check_caller('confirming an archive');
	RETURN @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT to_jsonb(@extschema@._chpg_note_archived($1))'::text, ROW(through))::bigint;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_history_archived(bigint) IS
'Confirm that another store has the sealed windows through a seal_id; returns how many are new.
With the setting archive, a purge drops these windows only, once they are old enough.
A seal_id that was confirmed before, or a smaller one, changes nothing, and returns 0.
Requests: none.
Errors: 22004 through is null; 22023 no window had this seal_id, or a setting of the history
  cannot be used; 25006 on a standby; 42501 the caller does not own the history; 55000 there is
  no history.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_history_archived(bigint) FROM PUBLIC;
