/* Insight: findings that are muted. */

CREATE TABLE @extschema@.chpg_finding_mute (
	cache_key text PRIMARY KEY,
	reason text NOT NULL CHECK (reason IN ('false_positive', 'accepted_risk', 'wont_fix')),
	note text,
	muted_by name NOT NULL DEFAULT session_user,
	muted_at timestamptz NOT NULL DEFAULT now(),
	muted_until timestamptz NOT NULL DEFAULT 'infinity'
);

COMMENT ON TABLE @extschema@.chpg_finding_mute IS 'Findings that nobody wants to see: see chpg_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.cache_key IS 'Which finding.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.reason IS 'false_positive, accepted_risk or wont_fix.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.note IS 'Why, in words.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.muted_by IS 'Who muted it.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.muted_at IS 'When.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute.muted_until IS 'Until when.';

/*
 * Dumps have the mutes, but only for who may read them: the table itself would make
 * those of everybody else fail, such as the database's owner.  This one is always
 * empty: what a dump puts into it goes to the other, and what is dumped is read there.
 */
CREATE TABLE @extschema@.chpg_finding_mute_dump (LIKE @extschema@.chpg_finding_mute, CHECK (false));

COMMENT ON TABLE @extschema@.chpg_finding_mute_dump IS
'By which chpg_finding_mute is dumped and restored: always empty. Dumps have the mutes if the role that dumps may read that table.';
COMMENT ON COLUMN @extschema@.chpg_finding_mute_dump.cache_key IS 'As in chpg_finding_mute.';
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

COMMENT ON FUNCTION @extschema@._chpg_mutes_to_dump() IS 'The mutes, or no row if the caller may not read them. For pg_dump.';

CREATE FUNCTION @extschema@._chpg_restore_mute()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	LOCK TABLE @extschema@.chpg_finding_mute IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_finding_mute'::regclass);
	INSERT INTO @extschema@.chpg_finding_mute (cache_key, reason, note, muted_by, muted_at, muted_until)
	VALUES (NEW.cache_key, NEW.reason, NEW.note, NEW.muted_by, NEW.muted_at, NEW.muted_until)
	ON CONFLICT ON CONSTRAINT chpg_finding_mute_pkey DO NOTHING;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_restore_mute() IS 'Puts a mute of a dump into chpg_finding_mute. A trigger of chpg_finding_mute_dump.';

CREATE TRIGGER restore_mute BEFORE INSERT ON @extschema@.chpg_finding_mute_dump
	FOR EACH ROW EXECUTE FUNCTION @extschema@._chpg_restore_mute();

COMMENT ON TRIGGER restore_mute ON @extschema@.chpg_finding_mute_dump IS 'Puts what a dump has into chpg_finding_mute.';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.chpg_finding_mute_dump',
	'WHERE false UNION ALL SELECT * FROM @extschema@._chpg_mutes_to_dump()');

/* Tables are dumped also where the schema is open to nobody else. */
GRANT USAGE ON SCHEMA @extschema@ TO pg_database_owner;

/* As rules make them: the rule's id, and the service's, or an array of texts. */
CREATE FUNCTION @extschema@._chpg_is_finding_key(cache_key text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	subject text := substr(cache_key, 9);
BEGIN
	IF octet_length(cache_key) > 2048 OR substr(cache_key, 8, 1) <> ':'
			OR NOT EXISTS (SELECT FROM @extschema@.chpg_rule r WHERE r.rule_id = left(cache_key, 7)) THEN
		RETURN false;
	ELSIF left(subject, 1) <> '[' THEN
		RETURN length(subject) BETWEEN 1 AND 100 AND subject !~ '[[:cntrl:]]';
	END IF;
	RETURN subject::jsonb::text = subject AND NOT EXISTS (
		SELECT FROM jsonb_array_elements(subject::jsonb) e WHERE jsonb_typeof(e) NOT IN ('string', 'null'));
EXCEPTION WHEN data_exception THEN
	RETURN false;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_is_finding_key(text) IS 'Whether a text may be the cache_key of a finding: a rule and what it is about, 2048 bytes at most. For chpg_mute.';

/*
 * Who may execute these need no rights on the table.  Who has TRIGGER or REFERENCES
 * on it, such as by GRANT ALL ON ALL TABLES, would run code as the extension's owner.
 */
CREATE FUNCTION @extschema@.chpg_mute(cache_key text, reason text, note text DEFAULT NULL, muted_until timestamptz DEFAULT 'infinity')
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF cache_key IS NULL OR reason IS NULL OR muted_until IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null',
			CASE WHEN cache_key IS NULL THEN 'cache_key' WHEN reason IS NULL THEN 'reason' ELSE 'muted_until' END
			USING ERRCODE = 'null_value_not_allowed';
	ELSIF reason NOT IN ('false_positive', 'accepted_risk', 'wont_fix') THEN
		RAISE EXCEPTION 'invalid value for "reason": "%"', left(reason, 100)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give false_positive, accepted_risk or wont_fix.';
	ELSIF NOT @extschema@._chpg_is_finding_key(cache_key) THEN
		RAISE EXCEPTION 'invalid value for "cache_key": "%"', left(cache_key, 100)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give what chpg_findings has in its column cache_key.';
	ELSIF muted_until <= now() THEN
		RAISE EXCEPTION 'invalid value for "muted_until": "%"', muted_until
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a time to come; chpg_unmute ends a muting.';
	ELSIF octet_length(note) > 1024 THEN
		RAISE EXCEPTION 'argument "note" is too long: % bytes', octet_length(note)
			USING ERRCODE = 'string_data_right_truncation', HINT = 'Give at most 1024 bytes.';
	END IF;
	LOCK TABLE @extschema@.chpg_finding_mute IN SHARE ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_finding_mute'::regclass);
	DELETE FROM @extschema@.chpg_finding_mute m WHERE m.muted_until <= now();
	IF (SELECT count(*) FROM @extschema@.chpg_finding_mute m
			WHERE m.muted_by = session_user AND m.cache_key <> chpg_mute.cache_key) >= 1000 THEN
		RAISE EXCEPTION 'role "%" has muted 1000 findings already', session_user
			USING ERRCODE = 'program_limit_exceeded', HINT = 'End some of that: SELECT chpg_unmute(cache_key).';
	END IF;
	INSERT INTO @extschema@.chpg_finding_mute (cache_key, reason, note, muted_by, muted_until)
	VALUES (cache_key, reason, note, session_user, muted_until)
	ON CONFLICT ON CONSTRAINT chpg_finding_mute_pkey DO UPDATE
	SET reason = excluded.reason, note = excluded.note, muted_until = excluded.muted_until,
		muted_by = excluded.muted_by, muted_at = excluded.muted_at;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_mute(text, text, text, timestamptz) IS
'Mutes a finding, named by its cache_key, for a reason: false_positive, accepted_risk or wont_fix. chpg_findings shows it as muted. Forgets mutes whose time is over. For superusers, unless granted. Errors: 22001 a note of more than 1024 bytes, 22004, 22023 another reason, what is no cache_key, or a time that is over, 54000 the role has muted 1000 findings already.';

CREATE FUNCTION @extschema@.chpg_unmute(cache_key text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF cache_key IS NULL THEN
		RAISE EXCEPTION 'argument "cache_key" must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	LOCK TABLE @extschema@.chpg_finding_mute IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_refuse_code('@extschema@.chpg_finding_mute'::regclass);
	DELETE FROM @extschema@.chpg_finding_mute m WHERE m.cache_key = chpg_unmute.cache_key;
	RETURN FOUND;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_unmute(text) IS 'Ends the muting of a finding; whether it was muted. For superusers, unless granted. Error 22004.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_mute(text, text, text, timestamptz), @extschema@.chpg_unmute(text),
	@extschema@._chpg_is_finding_key(text), @extschema@._chpg_restore_mute() FROM PUBLIC;

/* Mutes name databases and users; who sees a finding may know whether it is muted. */
CREATE FUNCTION @extschema@._chpg_is_muted(cache_key text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM @extschema@.chpg_finding_mute m WHERE m.cache_key = _chpg_is_muted.cache_key AND m.muted_until > now());
END;

COMMENT ON FUNCTION @extschema@._chpg_is_muted(text) IS 'Whether a finding is muted now. For chpg_findings.';
