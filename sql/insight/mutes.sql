/* Insight: findings that are muted. */

CREATE TABLE @extschema@.chpg_finding_mute (
	finding_key text PRIMARY KEY,
	reason text NOT NULL CHECK (reason IN ('false_positive', 'accepted_risk', 'wont_fix')),
	note text,
	muted_by name NOT NULL DEFAULT session_user,
	muted_at timestamptz NOT NULL DEFAULT now(),
	muted_until timestamptz NOT NULL DEFAULT 'infinity'
);

COMMENT ON TABLE @extschema@.chpg_finding_mute IS 'Findings that are muted: see chpg_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.finding_key IS 'Which finding.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.reason IS 'false_positive, accepted_risk or wont_fix.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.note IS 'The reason in words.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.muted_by IS 'Session user that muted it.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.muted_at IS 'Time at which it was muted.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.muted_until IS 'Time at which the mute ends.';

/*
 * Were chpg_finding_mute itself dumped, a dump would fail for each role that may not read
 * it, such as the database's owner.  Rows of a dump are inserted here, and a trigger puts
 * them into chpg_finding_mute; the rows that are dumped are read from there.
 */
CREATE TABLE @extschema@.chpg_finding_mute_dump (LIKE @extschema@.chpg_finding_mute, CHECK (false));

COMMENT ON TABLE @extschema@.chpg_finding_mute_dump IS
'Always empty: chpg_finding_mute is dumped and restored through it.
A dump has the mutes if the role that dumps may read chpg_finding_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute_dump.finding_key IS 'As in chpg_finding_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute_dump.reason IS 'As in chpg_finding_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute_dump.note IS 'As in chpg_finding_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute_dump.muted_by IS 'As in chpg_finding_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute_dump.muted_at IS 'As in chpg_finding_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute_dump.muted_until IS 'As in chpg_finding_mute.';
GRANT SELECT ON @extschema@.chpg_finding_mute_dump TO PUBLIC;

CREATE FUNCTION @extschema@._chpg_mutes_to_dump()
RETURNS SETOF @extschema@.chpg_finding_mute
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF has_table_privilege('@extschema@.chpg_finding_mute', 'SELECT') THEN
		RETURN QUERY SELECT m.* FROM @extschema@.chpg_finding_mute m;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_mutes_to_dump() IS
'The mutes, for pg_dump; no row for a role that may not read them.';

CREATE FUNCTION @extschema@._chpg_restore_mute()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	LOCK TABLE @extschema@.chpg_finding_mute IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_finding_mute'::regclass);
	INSERT INTO @extschema@.chpg_finding_mute (finding_key, reason, note, muted_by, muted_at, muted_until)
	VALUES (NEW.finding_key, NEW.reason, NEW.note, NEW.muted_by, NEW.muted_at, NEW.muted_until)
	ON CONFLICT ON CONSTRAINT chpg_finding_mute_pkey DO NOTHING;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_restore_mute() IS
'Trigger of chpg_finding_mute_dump that puts a restored mute into chpg_finding_mute.';

CREATE TRIGGER restore_mute BEFORE INSERT ON @extschema@.chpg_finding_mute_dump
	FOR EACH ROW EXECUTE FUNCTION @extschema@._chpg_restore_mute();

COMMENT ON TRIGGER restore_mute ON @extschema@.chpg_finding_mute_dump IS
'Puts what a dump has into chpg_finding_mute.';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.chpg_finding_mute_dump',
	'WHERE false UNION ALL SELECT * FROM @extschema@._chpg_mutes_to_dump()');

/* The database's owner can dump these tables, also from a schema that is open to no other role. */
GRANT USAGE ON SCHEMA @extschema@ TO pg_database_owner;

/*
 * Where there is a history, mutes are in its table finding_mute, and belong to an episode of
 * a finding: chpg_watch ends them.  A mute knows the worst level and value that its episode had
 * when it was muted.  Its owner reads and writes them, for every session that
 * may use the history.  What writes them locks the tables first, as a watch does, and waits
 * for nothing then.  The log says at once that its open finding is muted; if the finding is
 * the root of an incident, the next watch finds another root.
 */
CREATE FUNCTION @extschema@._chpg_history_mute(finding_key text, reason text, note text, muted_by name,
	muted_until timestamptz, factor double precision)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('finding_mute'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	PERFORM @extschema@._chpg_history_lock_table('finding_log'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	DELETE FROM finding_mute m WHERE m.muted_until <= now();
	IF (SELECT count(*) FROM finding_mute m
			WHERE m.muted_by = _chpg_history_mute.muted_by
				AND m.finding_key <> _chpg_history_mute.finding_key) >= 1000 THEN
		RETURN 'false';
	END IF;
	INSERT INTO finding_mute (finding_key, reason, note, muted_by, muted_at, muted_until, muted_level, muted_value,
		factor)
	SELECT _chpg_history_mute.finding_key, reason, note, muted_by, now(), muted_until, l.worst_level, l.worst_value, factor
	FROM (VALUES (true)) one
	LEFT JOIN finding_log l ON l.finding_key = _chpg_history_mute.finding_key AND l.resolved_at IS NULL
	ON CONFLICT ON CONSTRAINT finding_mute_pkey DO UPDATE
	SET reason = excluded.reason, note = excluded.note, muted_by = excluded.muted_by, muted_at = excluded.muted_at,
		muted_until = excluded.muted_until, muted_level = excluded.muted_level, muted_value = excluded.muted_value,
		factor = excluded.factor;
	UPDATE finding_log l SET muted = true
	WHERE l.finding_key = _chpg_history_mute.finding_key AND l.resolved_at IS NULL AND NOT l.muted;
	RETURN 'true';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_mute(text, text, text, name, timestamptz, double precision) IS
'Mute a finding in the history, for its owner, with the worst level and value of its episode.
The open finding of the log is muted from now on.
False: the role has muted 1000 findings already.';

CREATE FUNCTION @extschema@._chpg_history_unmute(finding_key text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('finding_mute'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	PERFORM @extschema@._chpg_history_lock_table('finding_log'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	UPDATE finding_log l SET muted = false
	WHERE l.finding_key = _chpg_history_unmute.finding_key AND l.resolved_at IS NULL AND l.muted;
	DELETE FROM finding_mute m WHERE m.finding_key = _chpg_history_unmute.finding_key;
	RETURN to_jsonb(FOUND);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_unmute(text) IS
'End the muting of a finding in the history, for its owner.';

CREATE FUNCTION @extschema@._chpg_history_mutes(finding_keys text[])
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (SELECT coalesce(jsonb_object_agg(m.finding_key,
			jsonb_build_object('level', m.muted_level, 'value', m.muted_value, 'factor', m.factor,
				'settles_until', CASE WHEN l.finding->'evidence' ? 'latest'
					THEN coalesce(l.worse_at, l.opened_at) + interval '3 hours' END)), '{}')
		FROM finding_mute m
		LEFT JOIN finding_log l ON l.finding_key = m.finding_key AND l.resolved_at IS NULL
		WHERE m.finding_key = ANY (finding_keys) AND m.muted_until > now());
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_mutes(text[]) IS
'Those of some findings that are muted in the history, and as what, by finding_key.
For the owner of the history.';

/* The history of an ordinary role serves sessions of that role only. */
CREATE FUNCTION @extschema@._chpg_mutes_owner()
RETURNS oid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid := (SELECT n.nspowner FROM @extschema@.chpg_history_schema h
		JOIN pg_namespace n ON n.nspname = h.schema_name);
BEGIN
	IF owner IS NOT NULL AND @extschema@._chpg_run_as(owner,
			'SELECT to_jsonb(h.state IS NULL) FROM @extschema@._chpg_history_state() h'::text, ROW())::boolean THEN
		RETURN owner;
	END IF;
	RETURN NULL;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN NULL;  -- the extension's owner is no superuser any more
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_mutes_owner() IS
'Owner of the history that has the mutes; null: chpg_finding_mute has them.
For functions with the rights of the extension''s owner.';

/*
 * A role needs EXECUTE on these, and no privilege on the table.  A role with TRIGGER or
 * REFERENCES on the table, such as by GRANT ALL ON ALL TABLES, could otherwise run code as
 * the extension's owner.
 */
CREATE FUNCTION @extschema@.chpg_mute(finding_key text, reason text, note text DEFAULT NULL,
	muted_until timestamptz DEFAULT 'infinity', factor double precision DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	subject text := substr(finding_key, 9);
	is_key boolean;
	owner oid;
	no_history text;
	is_full boolean;
BEGIN
	-- a rule's id, a colon, and a service's id or a JSON array of texts
	BEGIN
		is_key := CASE
			WHEN octet_length(finding_key) > 2048 OR substr(finding_key, 8, 1) <> ':'
				OR NOT EXISTS (SELECT FROM @extschema@.chpg_rule r WHERE r.rule_id = left(finding_key, 7)) THEN false
			WHEN left(subject, 1) <> '[' THEN length(subject) BETWEEN 1 AND 100 AND subject !~ '[[:cntrl:]]'
			ELSE subject::jsonb::text = subject AND NOT EXISTS (
				SELECT FROM jsonb_array_elements(subject::jsonb) e WHERE jsonb_typeof(e) NOT IN ('string', 'null'))
			END;
	EXCEPTION WHEN data_exception THEN
		is_key := false;
	END;
	IF finding_key IS NULL OR reason IS NULL OR muted_until IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null',
			CASE WHEN finding_key IS NULL THEN 'finding_key' WHEN reason IS NULL THEN 'reason'
				ELSE 'muted_until' END
			USING ERRCODE = 'null_value_not_allowed';
	ELSIF reason NOT IN ('false_positive', 'accepted_risk', 'wont_fix') THEN
		RAISE EXCEPTION 'invalid value for "reason": "%": give false_positive, accepted_risk or wont_fix', left(reason, 100)
			USING ERRCODE = 'invalid_parameter_value';
	ELSIF NOT is_key THEN
		RAISE EXCEPTION 'invalid value for "finding_key": "%": give one of chpg_findings', left(finding_key, 100)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give what chpg_findings has in its column finding_key.';
	ELSIF muted_until <= now() THEN
		RAISE EXCEPTION 'invalid value for "muted_until": "%"', muted_until
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time in the future; chpg_unmute ends a mute.';
	ELSIF factor <= 1 OR factor > 1e9 THEN
		RAISE EXCEPTION 'invalid value for "factor": %', factor
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number greater than 1, such as 1.5.';
	ELSIF octet_length(note) > 1024 THEN
		RAISE EXCEPTION 'argument "note" is too long: % bytes', octet_length(note)
			USING ERRCODE = 'string_data_right_truncation', HINT = 'Give at most 1024 bytes.';
	END IF;
	owner := @extschema@._chpg_mutes_owner();
	IF owner IS NULL THEN
		no_history := CASE WHEN EXISTS (SELECT FROM @extschema@.chpg_history_schema)
			THEN 'This session cannot use the history, whose watches end mutes.'
			ELSE 'There is no history, whose watches end mutes.' END;
		IF factor IS NOT NULL THEN
			RAISE EXCEPTION 'argument "factor" cannot be used without a history: the mute would end by time only'
				USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = no_history,
					HINT = 'Leave factor out, and give muted_until.';
		ELSIF muted_until = 'infinity' THEN
			RAISE NOTICE 'the mute has no end'
				USING DETAIL = no_history, HINT = 'Give muted_until, or end it with chpg_unmute.';
		END IF;
	END IF;
	IF owner IS NOT NULL THEN
		is_full := NOT @extschema@._chpg_run_as(owner,
			'SELECT @extschema@._chpg_history_mute($1, $2, $3, $4, $5, $6)'::text,
			ROW(finding_key, reason, note, session_user, muted_until, coalesce(factor, 1.5)))::boolean;
	ELSE
		LOCK TABLE @extschema@.chpg_finding_mute IN SHARE ROW EXCLUSIVE MODE;
		PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_finding_mute'::regclass);
		DELETE FROM @extschema@.chpg_finding_mute m WHERE m.muted_until <= now();
		is_full := (SELECT count(*) FROM @extschema@.chpg_finding_mute m
			WHERE m.muted_by = session_user AND m.finding_key <> chpg_mute.finding_key) >= 1000;
	END IF;
	IF is_full THEN
		RAISE EXCEPTION 'role "%" has muted 1000 findings already', session_user
			USING ERRCODE = 'program_limit_exceeded', HINT = 'End some mutes: SELECT chpg_unmute(finding_key);';
	END IF;
	IF owner IS NOT NULL THEN
		RETURN;
	END IF;
	INSERT INTO @extschema@.chpg_finding_mute (finding_key, reason, note, muted_by, muted_until)
	VALUES (finding_key, reason, note, session_user, muted_until)
	ON CONFLICT ON CONSTRAINT chpg_finding_mute_pkey DO UPDATE
	SET reason = excluded.reason, note = excluded.note, muted_until = excluded.muted_until,
		muted_by = excluded.muted_by, muted_at = excluded.muted_at;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_mute(text, text, text, timestamptz, double precision) IS
'Mute a finding, so that chpg_findings shows it as muted.
finding_key: from chpg_findings. reason: false_positive, accepted_risk or wont_fix.
With a history, its table finding_mute has the mute, which chpg_watch ends when the finding is
  resolved, or becomes a level, or a factor (null: 1.5), worse than it ever was. Without one,
  chpg_finding_mute has it, and it ends by time only.
A NOTICE says that a mute without a history has no end. A mute waits while a watch runs.
Deletes mutes whose time is over. For superusers, unless granted.
Requests: none.
Errors: 22001 a note of more than 1024 bytes; 22004 an argument is null; 22023 another reason,
  no finding_key, a time that is over, or no factor; 54000 the role has muted 1000 already;
  55000 a factor without a history.';

CREATE FUNCTION @extschema@.chpg_unmute(finding_key text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid;
	was_muted boolean := false;
BEGIN
	IF finding_key IS NULL THEN
		RAISE EXCEPTION 'argument "finding_key" must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	owner := @extschema@._chpg_mutes_owner();
	IF owner IS NOT NULL THEN
		was_muted := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_history_unmute($1)'::text,
			ROW(finding_key))::boolean;
	END IF;
	-- as chpg_mute does: several of them in one transaction wait here, and not for each other's rows
	LOCK TABLE @extschema@.chpg_finding_mute IN SHARE ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_finding_mute'::regclass);
	DELETE FROM @extschema@.chpg_finding_mute m WHERE m.finding_key = chpg_unmute.finding_key;
	RETURN FOUND OR was_muted;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_unmute(text) IS
'End the muting of a finding, and return whether it was muted.
For superusers, unless granted.
Requests: none.
Errors: 22004 finding_key is null.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_mute(text, text, text, timestamptz, double precision),
	@extschema@.chpg_unmute(text), @extschema@._chpg_restore_mute() FROM PUBLIC;

/* The tables name databases and users.  A role that sees a finding may know whether it is muted. */
CREATE FUNCTION @extschema@._chpg_mutes_of(finding_keys text[])
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid := @extschema@._chpg_mutes_owner();
BEGIN
	RETURN (SELECT coalesce(jsonb_object_agg(m.finding_key, '{}'::jsonb), '{}')
		FROM @extschema@.chpg_finding_mute m
		WHERE m.finding_key = ANY (finding_keys) AND m.muted_until > now())
		|| CASE WHEN owner IS NULL THEN '{}' ELSE @extschema@._chpg_run_as(owner,
			'SELECT @extschema@._chpg_history_mutes($1)'::text, ROW(finding_keys)) END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_mutes_of(text[]) IS
'Those of some findings that are muted now, by finding_key.
The history has the worst level and value that they had then, and the factor that ends the mute.
settles_until: until then, the hours since a step are few; null: it is not judged by hours.';

/*
 * The level of what is judged by its hours depends on how many of them there are: most strong
 * steps are WARN in their first hour.  While a step settles, a level that rises means that it is
 * worse only if its value rises, too.
 */
CREATE FUNCTION @extschema@._chpg_mute_holds(mute jsonb, level text, value double precision, as_of timestamptz)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT mute IS NOT NULL
		AND NOT (mute->>'level' IS NOT NULL
			AND @extschema@._chpg_level_place(level) < @extschema@._chpg_level_place(mute->>'level')
			AND NOT coalesce(as_of < (mute->>'settles_until')::timestamptz
				AND value / 1.1 < (mute->>'value')::float8, false))
		AND NOT coalesce(value / (mute->>'factor')::float8 >= (mute->>'value')::float8, false);
END;

COMMENT ON FUNCTION @extschema@._chpg_mute_holds(jsonb, text, double precision, timestamptz) IS
'Whether a mute, of _chpg_mutes_of, still holds for a finding of this level and value.
as_of: end of the hours that were judged.';
