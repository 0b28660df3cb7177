/* Insight: planned work, in which what begins is no alarm. */

CREATE FUNCTION @extschema@._chpg_note_maintenance(service text, period tstzrange, note text, noted_by name)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id text;
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('maintenance'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	IF service IS NOT NULL THEN
		id := (SELECT s.service_id FROM @extschema@._chpg_history_services(service, NULL::text, true) s);
	END IF;
	DELETE FROM maintenance m WHERE m.ends_at < (SELECT @extschema@._chpg_kept_from('day'::text));
	IF (SELECT count(*) FROM maintenance m) >= 10000 THEN
		RAISE EXCEPTION 'there are 10000 maintenance windows already'
			USING ERRCODE = 'program_limit_exceeded', HINT = 'Delete some from the table maintenance of the history.';
	END IF;
	INSERT INTO maintenance (service_id, starts_at, ends_at, note, noted_by, noted_at)
	VALUES (id, lower(period), upper(period), note, noted_by, now());
	RETURN to_jsonb(id);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_maintenance(text, tstzrange, text, name) IS
'As chpg_maintenance, for the owner of the history.';

CREATE FUNCTION @extschema@.chpg_maintenance(service text, period tstzrange, note text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_check_caller('noting maintenance');
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	IF octet_length(note) > 1024 THEN
		RAISE EXCEPTION 'argument "note" is too long: % bytes', octet_length(note)
			USING ERRCODE = 'string_data_right_truncation', HINT = 'Give at most 1024 bytes.';
	END IF;
	PERFORM @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT @extschema@._chpg_note_maintenance($1, $2, $3, $4)'::text,
		ROW(service, period, note, session_user));
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_maintenance(text, tstzrange, text) IS
'Note planned work on a service, by id or name, or on all (null).
What begins in the period is INFO, with the note in evidence. The table maintenance of the
  history has all such periods; delete one to end it.
Requests: none.
Errors: 22001 a note of more than 1024 bytes; 22004, 22023 the period cannot be used; 25006 on a
  standby; 42501 the caller does not own the history; 42704 no such service; 54000 there are
  10000 already; 55000 there is no history, or it cannot be used.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_maintenance(text, tstzrange, text) FROM PUBLIC;

/* The other forms run as their caller, who needs EXECUTE on the form with a range. */
CREATE FUNCTION @extschema@._chpg_from_now(length interval)
RETURNS tstzrange
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF now() + length <= now() THEN
		RAISE EXCEPTION 'invalid value for "period": "%" is not a positive interval: give the time from now', length
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'What lies before now is a range, such as tstzrange(now() - interval ''1 hour'', now()).';
	END IF;
	RETURN tstzrange(now(), now() + length);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_from_now(interval) IS
'The period of this length that begins now; null: null.
Errors: 22023 not positive.';

CREATE FUNCTION @extschema@._chpg_planned_period(period text, to_date text)
RETURNS tstzrange
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind CONSTANT text := @extschema@._chpg_period_kind(period);
BEGIN
	IF kind = 'range' OR period IS NULL THEN
		RETURN period::tstzrange;
	ELSIF kind = 'time' AND @extschema@._chpg_period_kind(to_date) = 'time' THEN
		RETURN @extschema@._chpg_between(period::timestamptz, to_date::timestamptz);
	ELSIF kind = 'time' THEN
		RAISE EXCEPTION 'the period that begins at "%" has no end: give two times, or an interval from now',
				left(period, 60)
			USING ERRCODE = 'invalid_parameter_value',
				HINT = format('Such as: SELECT chpg_maintenance(''orders'', %L, %L);', left(period, 60),
					period::timestamptz + interval '2 hours');
	ELSIF kind IS NULL OR period ~ '^[-+[:space:]0-9.]*$' THEN
		RAISE EXCEPTION '"%" is no period: give an interval from now such as ''2 hours'', a range, or two times',
				left(period, 60)
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'The service comes before the period: '
					'SELECT chpg_maintenance(''orders'', ''2 hours'', ''new version'');';
	END IF;
	RETURN @extschema@._chpg_from_now(period::interval);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_planned_period(text, text) IS
'The period of planned work that a text says, or two times do; null: null.
Errors: 22023 they say none.';

CREATE FUNCTION @extschema@.chpg_maintenance(service text, period interval, note text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_maintenance(chpg_maintenance.service, @extschema@._chpg_from_now(chpg_maintenance.period),
		chpg_maintenance.note);
END;

COMMENT ON FUNCTION @extschema@.chpg_maintenance(text, interval, text) IS
'Note planned work from now on: chpg_maintenance(''orders'', interval ''2 hours'', ''new version'').
Requests: none.
Errors: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_maintenance(
	service text,
	from_date timestamptz,
	to_date timestamptz,
	note text)
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_maintenance(chpg_maintenance.service,
		@extschema@._chpg_between(chpg_maintenance.from_date, chpg_maintenance.to_date), chpg_maintenance.note);
END;

COMMENT ON FUNCTION @extschema@.chpg_maintenance(text, timestamptz, timestamptz, text) IS
'Note planned work between two times: chpg_maintenance(''orders'', now(), ''tomorrow'', ''upgrade'').
to_date: null is now.
Requests: none.
Errors: those of the form with a range.';

/* Not a default of the note: three texts could mean that form, too, if a role made it of texts. */
CREATE FUNCTION @extschema@.chpg_maintenance(service text, from_date timestamptz, to_date timestamptz)
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_maintenance(chpg_maintenance.service, chpg_maintenance.from_date,
		chpg_maintenance.to_date, NULL::text);
END;

COMMENT ON FUNCTION @extschema@.chpg_maintenance(text, timestamptz, timestamptz) IS
'Note planned work between two times: chpg_maintenance(''orders'', now(), ''tomorrow'').
Requests: none.
Errors: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_maintenance(service text, period text, note text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_maintenance(chpg_maintenance.service,
		@extschema@._chpg_planned_period(chpg_maintenance.period, chpg_maintenance.note),
		CASE WHEN @extschema@._chpg_period_kind(chpg_maintenance.period) IS DISTINCT FROM 'time'
			THEN chpg_maintenance.note END);
END;

COMMENT ON FUNCTION @extschema@.chpg_maintenance(text, text, text) IS
'Note planned work, by texts: an interval from now on, a range, or two times.
chpg_maintenance(''orders'', ''2 hours'', ''new version''); after a time, the third text is the end.
Requests: none.
Errors: 22023 the texts say no period; those of the form with a range.';

/* An onset is known to the hour. */
CREATE FUNCTION @extschema@._chpg_with_maintenance(findings @extschema@.chpg_finding_row[])
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	is_readable boolean := @extschema@._chpg_history_is_readable();
BEGIN
	IF is_readable THEN
		PERFORM @extschema@._chpg_history_enter();
		is_readable := has_table_privilege('maintenance', 'SELECT');
	END IF;
	-- the privilege is checked before any AND
	IF is_readable THEN
		is_readable := EXISTS (SELECT FROM maintenance);
	END IF;
	IF NOT is_readable THEN
		RETURN QUERY SELECT f.* FROM unnest(findings) f;
		RETURN;
	END IF;
	RETURN QUERY
	SELECT r.*
	FROM unnest(findings) f
	LEFT JOIN LATERAL (
		SELECT m.* FROM maintenance m
		WHERE (m.service_id IS NULL OR m.service_id = f.service_id) AND f.level IN ('ERROR', 'WARN')
			AND f.kind IN ('incident', 'risk') AND f.since < m.ends_at AND f.since + interval '1 hour' > m.starts_at
		ORDER BY m.starts_at, m.ends_at, m.noted_at LIMIT 1
	) w ON true
	CROSS JOIN LATERAL jsonb_populate_record(f, CASE WHEN w.starts_at IS NULL THEN '{}'
		ELSE jsonb_build_object('level', 'INFO', 'evidence', coalesce(f.evidence, '{}') || jsonb_build_object(
			'maintenance', jsonb_build_object('starts_at', w.starts_at, 'ends_at', w.ends_at, 'note', w.note))) END) r;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_with_maintenance(@extschema@.chpg_finding_row[]) IS
'Findings, of which those that began within planned work are INFO.';
