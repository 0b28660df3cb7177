/*
 * Findings: what is wrong, by rules over counters.  They recommend; nothing is
 * ever changed.
 */

CREATE TABLE @extschema@.chpg_rule (
	rule_id text NOT NULL,
	rule_name text NOT NULL,
	parameter text NOT NULL,
	default_value double precision NOT NULL,
	description text NOT NULL,
	PRIMARY KEY (rule_id, parameter)
);

COMMENT ON TABLE @extschema@.chpg_rule IS 'The rules of chpg_findings and their thresholds; chpg_threshold has those that are to be others.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_name IS 'Name of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.parameter IS 'Name of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_rule.default_value IS 'The threshold, unless chpg_threshold has another.';
COMMENT ON COLUMN @extschema@.chpg_rule.description IS 'What it is, with its unit.';
GRANT SELECT ON @extschema@.chpg_rule TO PUBLIC;

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG100', 'material', 'total_s', 1, 'A pattern counts with so many seconds in all ...'),
	('CHPG100', 'material', 'time_share', 0.01, '... and such a share of its service''s time ...'),
	('CHPG100', 'material', 'active_executions', 0.05, '... or so many executions at a time.'),
	('CHPG101', 'full_scan', 'blks_per_row', 20, 'Blocks for each row, or execution without one, from which it is INFO.'),
	('CHPG101', 'full_scan', 'blks_per_call', 200, 'Blocks for each execution from which it is INFO.'),
	('CHPG101', 'full_scan', 'warn_blks_per_row', 100, 'Blocks for each row from which it is WARN.'),
	('CHPG101', 'full_scan', 'warn_blks_per_call', 1000, 'Blocks for each execution from which it is WARN.'),
	('CHPG101', 'full_scan', 'error_blks_per_row', 1000, 'Blocks for each row from which it is ERROR.'),
	('CHPG101', 'full_scan', 'error_blks_per_call', 10000, 'Blocks for each execution from which it is ERROR.'),
	('CHPG101', 'full_scan', 'error_time_share', 0.2, 'Share of time from which it is ERROR.'),
	('CHPG101', 'full_scan', 'calls', 5, 'Executions.'),
	('CHPG101', 'full_scan', 'rows_per_call', 100000, 'Rows for each execution below which it is one.'),
	('CHPG102', 'hot_loop', 'avg_us', 1000, 'Mean time up to which it is one, in microseconds.'),
	('CHPG102', 'hot_loop', 'calls_per_h', 10000, 'Executions per hour.'),
	('CHPG102', 'hot_loop', 'calls_per_s', 10, 'Executions per second.'),
	('CHPG102', 'hot_loop', 'time_share', 0.05, 'Share of time.'),
	('CHPG102', 'hot_loop', 'blks_per_call', 50, 'Blocks for each execution up to which it is one.'),
	('CHPG102', 'hot_loop', 'error_time_share', 0.25, 'Share of time from which it is ERROR.'),
	('CHPG201', 'slow_write', 'calls', 5, 'Executions.'),
	('CHPG201', 'slow_write', 'avg_us', 50000, 'Mean time, in microseconds.'),
	('CHPG201', 'slow_write', 'time_share', 0.02, 'Share of time.'),
	('CHPG201', 'slow_write', 'error_avg_us', 500000, 'Mean time from which it is ERROR, in microseconds ...'),
	('CHPG201', 'slow_write', 'error_time_share', 0.1, '... and the share of time.'),
	('CHPG202', 'wal_hog', 'wal_share', 0.3, 'Share of the service''s WAL.'),
	('CHPG202', 'wal_hog', 'wal_bytes_per_h', 104857600, 'WAL per hour, in bytes.'),
	('CHPG301', 'cache_thrash', 'hit_ratio', 0.95, 'Share of blocks found in the buffer cache below which it is WARN.'),
	('CHPG301', 'cache_thrash', 'error_hit_ratio', 0.9, 'Share of blocks found in the buffer cache below which it is ERROR.'),
	('CHPG301', 'cache_thrash', 'blks_per_h', 1000000, 'Blocks wanted per hour.'),
	('CHPG401', 'error_rate', 'errors', 10, 'Errors.'),
	('CHPG401', 'error_rate', 'error_ratio', 0.001, 'Errors of all executions from which it is WARN.'),
	('CHPG401', 'error_rate', 'error_error_ratio', 0.05, 'Errors of all executions from which it is ERROR.'),
	('CHPG402', 'error_spike', 'errors', 10, 'Errors.'),
	('CHPG402', 'error_spike', 'z', 4, 'Standard deviations between the baseline''s share of errors and the period''s.'),
	('CHPG402', 'error_spike', 'factor', 2, 'How many times the baseline''s share of errors.'),
	('CHPG402', 'error_spike', 'error_error_ratio', 0.01, 'Errors of all executions from which it is ERROR.'),
	('CHPG500', 'change', 'calls_of_hour', 20, 'Executions in an hour from which it is compared with others.'),
	('CHPG500', 'change', 'hours', 3, 'So many hours have to be worse, or better ...'),
	('CHPG500', 'change', 'hours_ratio', 0.75, '... and such a share of those of the period.'),
	('CHPG500', 'change', 'p95_factor', 1.5, 'How many times the baseline''s 95th percentile ...'),
	('CHPG500', 'change', 'p95_gain_us', 5000, '... and how much above it, in microseconds ...'),
	('CHPG500', 'change', 'p95_calls', 200, '... with so many executions in both windows.'),
	('CHPG500', 'change', 'avg_factor', 1.3, 'How many times the baseline''s mean ...'),
	('CHPG500', 'change', 'avg_calls', 50, '... with so many executions in both windows.'),
	('CHPG500', 'change', 'excess_s', 5, 'Time lost, in seconds ...'),
	('CHPG500', 'change', 'excess_share', 0.01, '... and its share of the service''s time.'),
	('CHPG500', 'change', 'baseline_hours', 10, 'Hours of the baseline below which blind_factor counts.'),
	('CHPG500', 'change', 'blind_factor', 2, 'How many times slower, or faster, than the baseline''s mean, or 95th percentile, with a few hours of the baseline, or without a history.'),
	('CHPG500', 'change', 'blind_calls', 1000, 'Executions in both windows, without a history.'),
	('CHPG500', 'change', 'improved_factor', 0.7, 'The mean has improved up to so many times the baseline''s.'),
	('CHPG500', 'change', 'surge_factor', 3, 'How many times the baseline''s executions per hour ...'),
	('CHPG500', 'change', 'surge_calls', 1000, '... with so many of them ...'),
	('CHPG500', 'change', 'surge_share', 0.02, '... and a share of time that grew so much.'),
	('CHPG501', 'p95_regression', 'error_time_share', 0.05, 'Time lost, of all time, from which it is ERROR.'),
	('CHPG504', 'new_heavy', 'time_share', 0.01, 'Share of time from which a pattern is new, or gone ...'),
	('CHPG504', 'new_heavy', 'busy_s_per_h', 10, '... and seconds per hour.'),
	('CHPG601', 'wait_bound', 'avg_us', 20000, 'Mean time, in microseconds.'),
	('CHPG601', 'wait_bound', 'cpu_ratio', 0.2, 'Share of CPU in it up to which it waits.'),
	('CHPG601', 'wait_bound', 'blks_per_call', 100, 'Blocks for each execution below which it waits.'),
	('CHPG601', 'wait_bound', 'calls', 50, 'Executions.'),
	('CHPG601', 'wait_bound', 'error_time_share', 0.2, 'Share of time from which it is ERROR.'),
	('CHPG607', 'huge_result', 'rows_per_call', 10000, 'Rows for each execution from which it is INFO.'),
	('CHPG607', 'huge_result', 'warn_rows_per_call', 100000, 'Rows for each execution from which it is WARN.'),
	('CHPG701', 'storage', 'percent', 80, 'Storage in use from which it is WARN, in percent.'),
	('CHPG701', 'storage', 'error_percent', 90, 'Storage in use from which it is ERROR, in percent.'),
	('CHPG703', 'connections', 'ratio', 0.8, 'Connections of max_connections from which it is WARN.'),
	('CHPG703', 'connections', 'error_ratio', 0.95, 'Connections of max_connections from which it is ERROR.'),
	('CHPG706', 'config_drift', 'services', 3, 'Services with the same tag Environment from which one that differs is told of.'),
	('CHPG801', 'data_quality', 'coverage', 1, 'Hours of the period that the history has, of all, below which it is told of.');

CREATE TABLE @extschema@.chpg_threshold (
	rule_id text NOT NULL,
	parameter text NOT NULL,
	value double precision NOT NULL,
	PRIMARY KEY (rule_id, parameter),
	FOREIGN KEY (rule_id, parameter) REFERENCES @extschema@.chpg_rule
);

COMMENT ON TABLE @extschema@.chpg_threshold IS 'Thresholds of rules that are to be others than those of chpg_rule.';
COMMENT ON COLUMN @extschema@.chpg_threshold.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN @extschema@.chpg_threshold.parameter IS 'Name of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_threshold.value IS 'The threshold.';
GRANT SELECT ON @extschema@.chpg_threshold TO PUBLIC;

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

SELECT pg_catalog.pg_extension_config_dump('@extschema@.chpg_threshold', '');
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

CREATE FUNCTION @extschema@._chpg_limit(rule_id text, parameter text)
RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(t.value, r.default_value)
	FROM @extschema@.chpg_rule r
	LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter
	WHERE r.rule_id = 'CHPG' || _chpg_limit.rule_id AND r.parameter = _chpg_limit.parameter;
END;

COMMENT ON FUNCTION @extschema@._chpg_limit(text, text) IS 'A threshold: that of chpg_threshold, or of chpg_rule. For the rules.';

CREATE FUNCTION @extschema@._chpg_limits()
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_object_agg(substr(r.rule_id, 5) || '.' || r.parameter, coalesce(t.value, r.default_value))
	FROM @extschema@.chpg_rule r
	LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter;
END;

COMMENT ON FUNCTION @extschema@._chpg_limits() IS 'All thresholds, by rule and parameter, such as 501.error_time_share. For the functions that compare.';

CREATE FUNCTION @extschema@._chpg_finding_key(parts text[])
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT to_jsonb(parts)::text;
END;

COMMENT ON FUNCTION @extschema@._chpg_finding_key(text[]) IS 'What names a finding, of parts that may have any character. For the rules.';

CREATE TYPE @extschema@.chpg_finding_row AS (
	rule_id text,
	level text,
	title text,
	service_id text,
	symptom text,
	evidence jsonb,
	explanation text,
	action text,
	impact_us double precision,
	confidence text,
	tags text[],
	cache_key text,
	muted boolean
);

COMMENT ON TYPE @extschema@.chpg_finding_row IS 'Something that is wrong, or that a rule could not judge.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.rule_id IS 'Number of the rule: see chpg_rule.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.level IS 'ERROR, WARN, INFO, or SKIPPED where the rule could not judge.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.title IS 'What it is.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.service_id IS 'Id of the service; null where it concerns several.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.symptom IS 'What was seen.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.evidence IS 'The counters that decide, and which pattern, database, user or application it is.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.explanation IS 'What it means, with what the data cannot rule out.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.action IS 'What to do about it. Nothing is ever done by chpg.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.impact_us IS 'Time that it concerns, in microseconds; null where it is none.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.confidence IS 'high, medium or low.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.tags IS 'Names of other rules that hold for the same pattern.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.cache_key IS 'Names the finding, as long as it is the same: for chpg_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.muted IS 'Whether it is muted.';

CREATE FUNCTION @extschema@._chpg_skipped(rule_ids text[], why text, service_id text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT DISTINCT r.rule_id, 'SKIPPED', r.rule_name, _chpg_skipped.service_id, why, NULL::jsonb, NULL::text, NULL::text, NULL::float8, NULL::text,
		NULL::text[], concat_ws(':', r.rule_id, 'skipped', _chpg_skipped.service_id), false
	FROM @extschema@.chpg_rule r WHERE r.rule_id = ANY (rule_ids);
END;

COMMENT ON FUNCTION @extschema@._chpg_skipped(text[], text, text) IS 'Rows that say why rules could not judge a service, or any. For chpg_findings.';

CREATE FUNCTION @extschema@._chpg_skip_patterns(why text, service_id text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT k.*
	FROM @extschema@._chpg_skipped('{CHPG101,CHPG102,CHPG201,CHPG202,CHPG301,CHPG401,CHPG402,CHPG501,CHPG504,CHPG601,CHPG607}'::text[], why, service_id) k;
END;

COMMENT ON FUNCTION @extschema@._chpg_skip_patterns(text, text) IS 'Rows that say why the rules over patterns could not judge a service. For chpg_findings.';

/*
 * What rules over patterns look at, read once.  Without a history, a service that
 * does not answer is no reason to say nothing of the others: who told no pattern is
 * asked alone, which asks nothing anew unless it failed.
 */
CREATE FUNCTION @extschema@._chpg_read_patterns(period tstzrange, service text, server text,
	OUT patterns @extschema@.chpg_period_pattern_row[], OUT skipped @extschema@.chpg_finding_row[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.on_service_error = 'warning'
AS $$
DECLARE
	alone text;
BEGIN
	patterns := ARRAY(SELECT p FROM @extschema@.chpg_period_patterns(period, service, server) p);
	IF service IS NOT NULL OR @extschema@._chpg_history_has(period, service, server) THEN
		RETURN;
	END IF;
	FOR alone IN SELECT s.id FROM @extschema@.chpg_services(server) s
			WHERE coalesce(s.state, '') NOT IN ('creating', 'deleting')
				AND s.id NOT IN (SELECT p.service_id FROM unnest(patterns) p WHERE p.service_id IS NOT NULL) LOOP
		BEGIN
			patterns := patterns || ARRAY(SELECT p FROM @extschema@._chpg_period_of_api(period, alone, server) p);
		EXCEPTION WHEN OTHERS THEN
			skipped := skipped || ARRAY(SELECT k FROM @extschema@._chpg_skip_patterns(SQLERRM, alone) k
				WHERE k.rule_id NOT IN ('CHPG402', 'CHPG501', 'CHPG504'));
		END;
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_read_patterns(tstzrange, text, text) IS
'The patterns of a period, as chpg_period_patterns, and for services of a fleet that do not tell theirs, SKIPPED of the rules over them. For chpg_findings.';

/* Patterns with what rules look at; those that do not count are left out. */
CREATE FUNCTION @extschema@._chpg_pattern_facts(patterns @extschema@.chpg_period_pattern_row[], period tstzrange, service text, server text)
RETURNS TABLE (service_id text, query_id bigint, db_name text, db_user text, db_operation text, app text,
	calls float8, total_us float8, avg_us float8, hours float8, time_share float8,
	rows_per_call float8, blks_per_call float8, blks_per_row float8, cpu_ratio float8,
	wal_bytes float8, wal_share float8, aggregates boolean, query_text text, pattern_key text)
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH counted AS (
		SELECT p.*, coalesce(h.hours, extract(epoch FROM upper(period) - lower(period))::float8 / 3600) AS hours,
			p.total_duration_us / nullif(sum(p.total_duration_us) OVER w, 0) AS time_share,
			p.total_wal_bytes / nullif(sum(p.total_wal_bytes) OVER w, 0)::float8 AS wal_share,
			p.total_shared_blks_read + p.total_shared_blks_hit::float8 AS blks
		FROM unnest(patterns) p
		LEFT JOIN @extschema@._chpg_period_hours(period, service, server) h USING (service_id)
		WHERE p.query_id <> 0 AND p.call_count > 0 AND NOT @extschema@._chpg_is_monitoring(p.app)
		WINDOW w AS (PARTITION BY p.service_id)
	)
	SELECT service_id, query_id, db_name, db_user, db_operation, app, call_count, total_duration_us,
		avg_duration_us, hours, time_share,
		total_rows::float8 / call_count, blks / call_count, blks / greatest(total_rows, call_count, 1),
		CASE WHEN total_cpu_time_us >= 0 THEN least(total_cpu_time_us / nullif(total_duration_us, 0), 1) END,
		coalesce(total_wal_bytes, 0), wal_share,
		query_text ~* '\m(count|sum|avg|string_agg|array_agg|jsonb?_agg)\s*\(|\mgroup\s+by\M', query_text,
		@extschema@._chpg_finding_key(ARRAY[service_id, query_id::text, db_name, db_user, db_operation, app])
	FROM counted
	WHERE total_duration_us >= 1e6 * @extschema@._chpg_limit('100', 'total_s')
		AND (time_share >= @extschema@._chpg_limit('100', 'time_share')
			OR total_duration_us / 3.6e9 / hours >= @extschema@._chpg_limit('100', 'active_executions'));
END;

COMMENT ON FUNCTION @extschema@._chpg_pattern_facts(@extschema@.chpg_period_pattern_row[], tstzrange, text, text) IS
'Those patterns of a period that take a noteworthy part of the time, with ratios; blocks for each row count an execution without rows as one. Sends no request. For chpg_findings.';

/* Each rule that holds for a pattern. */
CREATE FUNCTION @extschema@._chpg_find_patterns(patterns @extschema@.chpg_period_pattern_row[], period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH facts AS MATERIALIZED (
		SELECT * FROM @extschema@._chpg_pattern_facts(patterns, period, service, server)
	), found AS (
		SELECT f.*, r.*
		FROM facts f
		CROSS JOIN LATERAL (VALUES
			('CHPG601', 'wait_bound', 'Long executions that wait',
				CASE WHEN avg_us >= @extschema@._chpg_limit('601', 'avg_us') AND cpu_ratio <= @extschema@._chpg_limit('601', 'cpu_ratio')
						AND blks_per_call < @extschema@._chpg_limit('601', 'blks_per_call') AND calls >= @extschema@._chpg_limit('601', 'calls')
					THEN CASE WHEN time_share >= @extschema@._chpg_limit('601', 'error_time_share') THEN 'ERROR' ELSE 'WARN' END END,
				format('%s ms for each execution, %s %% of them on CPU, %s blocks', round(avg_us::numeric / 1000, 1), round(cpu_ratio::numeric * 100), round(blks_per_call)),
				'Little CPU and few blocks: it waits for locks, for the client, or for WAL. The counters do not tell which.',
				'Look at wait_event of pg_stat_activity while it runs, and set log_lock_waits.', 'medium'),
			('CHPG201', 'slow_write', 'Slow writes',
				CASE WHEN db_operation IN ('INSERT', 'UPDATE', 'DELETE', 'MERGE') AND calls >= @extschema@._chpg_limit('201', 'calls')
						AND avg_us >= @extschema@._chpg_limit('201', 'avg_us') AND time_share >= @extschema@._chpg_limit('201', 'time_share')
					THEN CASE WHEN avg_us >= @extschema@._chpg_limit('201', 'error_avg_us') AND time_share >= @extschema@._chpg_limit('201', 'error_time_share')
						THEN 'ERROR' ELSE 'WARN' END END,
				format('%s ms, %s rows and %s kB of WAL for each execution', round(avg_us::numeric / 1000, 1), round(rows_per_call), round(wal_bytes / calls / 1024)),
				CASE WHEN rows_per_call >= 1000 THEN 'Each execution writes many rows.'
					ELSE 'Wide rows, many indexes, triggers, foreign keys, or the flush of WAL: the counters do not tell which.' END,
				CASE WHEN rows_per_call >= 1000 THEN 'Write in parts that commit by themselves.'
					ELSE 'EXPLAIN (ANALYZE, BUFFERS, WAL) shows triggers and WAL; count the table''s indexes.' END, 'medium'),
			('CHPG101', 'full_scan', 'Reads far more blocks than it returns rows',
				CASE WHEN db_operation IN ('SELECT', 'UPDATE', 'DELETE', 'MERGE') AND calls >= @extschema@._chpg_limit('101', 'calls') AND coalesce(rows_per_call, 0) < @extschema@._chpg_limit('101', 'rows_per_call')
						AND blks_per_row >= @extschema@._chpg_limit('101', 'blks_per_row') AND blks_per_call >= @extschema@._chpg_limit('101', 'blks_per_call')
					THEN CASE WHEN aggregates THEN 'INFO'
						WHEN blks_per_row >= @extschema@._chpg_limit('101', 'error_blks_per_row') AND blks_per_call >= @extschema@._chpg_limit('101', 'error_blks_per_call')
							AND time_share >= @extschema@._chpg_limit('101', 'error_time_share') THEN 'ERROR'
						WHEN blks_per_row >= @extschema@._chpg_limit('101', 'warn_blks_per_row') AND blks_per_call >= @extschema@._chpg_limit('101', 'warn_blks_per_call') THEN 'WARN'
						ELSE 'INFO' END END,
				format('%s blocks for each row, %s (%s MB) for each execution', round(blks_per_row), round(blks_per_call), round(blks_per_call / 128)),
				CASE WHEN aggregates THEN 'An aggregate has to read what it sums up.'
					ELSE 'An index is missing, or one that is there is not used: old statistics, another type, a function around the column, bloat.' END,
				CASE WHEN aggregates THEN 'Keep the sums in a table or a materialized view.'
					ELSE 'EXPLAIN (ANALYZE, BUFFERS); then CREATE INDEX CONCURRENTLY on what it filters by, or ANALYZE.' END,
				CASE WHEN aggregates OR rows_per_call IS NULL THEN 'low' ELSE 'medium' END),
			('CHPG102', 'hot_loop', 'Very many short executions',
				CASE WHEN avg_us <= @extschema@._chpg_limit('102', 'avg_us') AND calls >= @extschema@._chpg_limit('102', 'calls_per_h') * greatest(hours, 0.25)
						AND calls / hours / 3600 >= @extschema@._chpg_limit('102', 'calls_per_s') AND time_share >= @extschema@._chpg_limit('102', 'time_share')
						AND blks_per_call <= @extschema@._chpg_limit('102', 'blks_per_call')
					THEN CASE WHEN time_share >= @extschema@._chpg_limit('102', 'error_time_share') THEN 'ERROR' ELSE 'WARN' END END,
				format('%s executions per second of %s ms', round((calls / hours / 3600)::numeric, 1), round(avg_us::numeric / 1000, 3)),
				'An application asks row by row (N+1), or polls. An index does not help. Fast statements may be sampled, so that there are more.',
				'Find the loop by application and text; ask for many at once, = ANY($1), or keep what it asks for.',
				CASE WHEN rows_per_call <= 2 THEN 'high' ELSE 'medium' END),
			('CHPG202', 'wal_hog', 'Writes most of the WAL',
				CASE WHEN wal_share >= @extschema@._chpg_limit('202', 'wal_share') AND wal_bytes >= hours * @extschema@._chpg_limit('202', 'wal_bytes_per_h') THEN 'WARN' END,
				format('%s %% of the WAL, %s MB per hour', round(wal_share::numeric * 100), round(wal_bytes / hours / 1048576)),
				'WAL delays replicas and fills storage. Full-page images, unused indexes or updates that are not HOT may be the cause.',
				'Write in batches; drop indexes that nobody uses; a lower fillfactor lets updates be HOT.', 'high'),
			('CHPG607', 'huge_result', 'Very many rows for each execution',
				CASE WHEN db_operation = 'SELECT' AND rows_per_call >= @extschema@._chpg_limit('607', 'rows_per_call')
					THEN CASE WHEN rows_per_call >= @extschema@._chpg_limit('607', 'warn_rows_per_call') THEN 'WARN' ELSE 'INFO' END END,
				format('%s rows for each execution', round(rows_per_call)),
				'An export, or an application that reads more than it shows.',
				'Read in pages or by a cursor, or aggregate in SQL.', 'high')
		) r(rule_id, rule_name, title, level, symptom, explanation, action, confidence)
		WHERE r.level IS NOT NULL
	)
	SELECT rule_id, level, title, service_id, symptom,
		jsonb_build_object('query_id', query_id::text, 'query_hex', @extschema@.chpg_query_hex(query_id), 'query_text', query_text, 'db_name', db_name, 'db_user', db_user, 'db_operation', db_operation, 'app', app,
			'calls', calls, 'avg_us', round(avg_us::numeric, 1), 'time_share', round(time_share::numeric, 4),
			'rows_per_call', round(rows_per_call::numeric, 2), 'blks_per_call', round(blks_per_call::numeric, 1),
			'blks_per_row', round(blks_per_row::numeric, 1), 'cpu_ratio', round(cpu_ratio::numeric, 3), 'wal_share', round(wal_share::numeric, 4)),
		explanation, action, total_us, confidence, NULL::text[], rule_id || ':' || pattern_key, false
	FROM found;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_patterns(@extschema@.chpg_period_pattern_row[], tstzrange, text, text) IS
'Findings of single patterns: wait bound, slow write, full scan, hot loop, WAL hog, huge result. Sends no request. For chpg_findings.';

CREATE FUNCTION @extschema@._chpg_find_uncounted(patterns @extschema@.chpg_period_pattern_row[])
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT k.*
	FROM (
		SELECT s.service_id, rule_id, string_agg(c.counter, ', ') AS counters
		FROM (
			SELECT p.service_id, count(p.call_count) AS calls, count(p.total_duration_us) AS times, count(p.error_count) AS errors,
				count(p.total_rows) AS rows, count(p.total_shared_blks_read::float8 + p.total_shared_blks_hit) AS blks,
				count(p.total_cpu_time_us) AS cpu, count(p.total_wal_bytes) AS wal
			FROM unnest(patterns) p WHERE p.query_id <> 0 AND NOT @extschema@._chpg_is_monitoring(p.app) GROUP BY 1
		) s
		CROSS JOIN LATERAL (VALUES
			('executions', calls, '{CHPG101,CHPG102,CHPG201,CHPG202,CHPG401,CHPG601,CHPG607}'::text[]),
			('durations', times, '{CHPG101,CHPG102,CHPG201,CHPG202,CHPG601,CHPG607}'),
			('errors', errors, '{CHPG401}'),
			('rows', rows, '{CHPG607}'),
			('blocks', blks, '{CHPG101,CHPG102,CHPG301,CHPG601}'),
			('CPU time', cpu, '{CHPG601}'),
			('WAL', wal, '{CHPG202}')) c(counter, known, rule_ids)
		CROSS JOIN LATERAL unnest(c.rule_ids) rule_id
		WHERE c.known = 0
		GROUP BY 1, 2
	) u
	CROSS JOIN LATERAL @extschema@._chpg_skipped(ARRAY[u.rule_id], format('No pattern tells its %s', u.counters), u.service_id) k;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_uncounted(@extschema@.chpg_period_pattern_row[]) IS
'SKIPPED of the rules that look at a counter, for services of which no pattern has it. Sends no request. For chpg_findings.';

/*
 * Errors cannot be told from statements: they are recorded apart.  A truncated
 * window has all of them, but not all executions.
 */
CREATE FUNCTION @extschema@._chpg_find_errors(patterns @extschema@.chpg_period_pattern_row[], period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'CHPG401', CASE WHEN ratio >= @extschema@._chpg_limit('401', 'error_error_ratio') AND NOT truncated THEN 'ERROR' ELSE 'WARN' END,
		'Many errors', service_id, format(CASE WHEN truncated THEN '%s errors; more than %3$s executions, of which they are less than %2$s %%' ELSE '%s errors, %s %% of %s executions' END, errors, round(ratio::numeric * 100, 2), calls + errors),
		jsonb_build_object('db_name', db_name, 'db_user', db_user, 'app', app, 'errors', errors, 'calls', calls, 'error_ratio', CASE WHEN NOT truncated THEN round(ratio::numeric, 5) END),
		CASE WHEN truncated THEN 'Windows were truncated, so that executions are missing. ' ELSE '' END
			|| 'What failed is known of recent executions only. Some errors are part of an application''s way of working.',
		'See err_sqlstate and err_message of chpg_slow_pattern_executions: 40001 and 40P01 are to be tried again, 53300 wants a pooler, 57014 is a timeout, 23505 an upsert.',
		NULL::float8, CASE WHEN truncated THEN 'low' ELSE 'medium' END, NULL::text[], 'CHPG401:' || @extschema@._chpg_finding_key(ARRAY[service_id, db_name, db_user, app]), false
	FROM (
		SELECT service_id, db_name, db_user, app, bool_or(h.cutoff_us IS NOT NULL) AS truncated, sum(error_count)::float8 AS errors,
			coalesce(sum(call_count) FILTER (WHERE query_id <> 0), 0)::float8 AS calls,
			sum(error_count)::float8 / nullif(sum(error_count) + coalesce(sum(call_count) FILTER (WHERE query_id <> 0), 0), 0)::float8 AS ratio
		FROM unnest(patterns) p
		LEFT JOIN @extschema@._chpg_period_hours(period, service, server) h USING (service_id)
		WHERE NOT @extschema@._chpg_is_monitoring(app)
		GROUP BY 1, 2, 3, 4
	) e
	WHERE errors >= @extschema@._chpg_limit('401', 'errors') AND ratio >= @extschema@._chpg_limit('401', 'error_ratio');
END;

COMMENT ON FUNCTION @extschema@._chpg_find_errors(@extschema@.chpg_period_pattern_row[], tstzrange, text, text) IS
'Findings of errors, for each database, user and application. Sends no request. For chpg_findings.';

/* Two shares, compared by the standard deviation of their difference, where all executions are known. */
CREATE FUNCTION @extschema@._chpg_find_error_spikes(baseline tstzrange, period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH hours AS MATERIALIZED (
		SELECT service_id, a.cutoff_us IS NOT NULL OR b.cutoff_us IS NOT NULL AS truncated
		FROM @extschema@._chpg_period_hours(baseline, service, server) a
		JOIN @extschema@._chpg_period_hours(period, service, server) b USING (service_id)
	), sums AS (
		SELECT p.service_id, p.db_name, p.db_user, p.app,
			coalesce(sum(p.error_count) FILTER (WHERE p.before), 0)::float8 AS e_a, coalesce(sum(p.error_count) FILTER (WHERE NOT p.before), 0)::float8 AS e_b,
			coalesce(sum(p.call_count) FILTER (WHERE p.before AND p.query_id <> 0), 0)::float8 AS n_a,
			coalesce(sum(p.call_count) FILTER (WHERE NOT p.before AND p.query_id <> 0), 0)::float8 AS n_b
		FROM (
			SELECT a.*, true AS before FROM @extschema@.chpg_period_patterns(baseline, service, server) a
			UNION ALL SELECT b.*, false FROM @extschema@.chpg_period_patterns(period, service, server) b
		) p
		WHERE NOT @extschema@._chpg_is_monitoring(p.app) AND p.service_id IN (SELECT h.service_id FROM hours h WHERE NOT h.truncated)
		GROUP BY 1, 2, 3, 4
	), shares AS (
		SELECT *, (e_a + 0.5) / (e_a + n_a + 1) AS r_a, (e_b + 0.5) / (e_b + n_b + 1) AS r_b,
			(e_a + e_b + 1) / (e_a + n_a + e_b + n_b + 2) AS r
		FROM sums
	), scores AS (
		SELECT *, (r_b - r_a) / sqrt(r * (1 - r) * (1 / (e_a + n_a + 1) + 1 / (e_b + n_b + 1))) AS z FROM shares
	)
	SELECT 'CHPG402', CASE WHEN r_b >= @extschema@._chpg_limit('402', 'error_error_ratio') THEN 'ERROR' ELSE 'WARN' END,
		'More errors than before', service_id,
		format('%s %% of executions, after %s %%', round(r_b::numeric * 100, 3), round(r_a::numeric * 100, 3)),
		jsonb_build_object('db_name', db_name, 'db_user', db_user, 'app', app, 'errors', e_b, 'baseline_errors', e_a, 'z', round(z::numeric, 1)),
		'Something changed: a deployment, a schema, data, or a limit that was reached.',
		'See in error_hour of the history when it began, and err_message of chpg_slow_pattern_executions.',
		NULL::float8, 'high', NULL::text[], 'CHPG402:' || @extschema@._chpg_finding_key(ARRAY[service_id, db_name, db_user, app]), false
	FROM scores
	WHERE e_b >= @extschema@._chpg_limit('402', 'errors') AND z >= @extschema@._chpg_limit('402', 'z') AND r_b >= @extschema@._chpg_limit('402', 'factor') * r_a
	UNION ALL
	SELECT k.*
	FROM hours h, @extschema@._chpg_skipped('{CHPG402}'::text[], 'Windows were truncated, so that executions are missing: raise max_patterns in the settings of the history.', h.service_id) k
	WHERE h.truncated;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_error_spikes(tstzrange, tstzrange, text, text) IS
'Findings of errors that are more than in the baseline; SKIPPED where windows were truncated. As chpg_period_patterns. For chpg_findings.';

CREATE FUNCTION @extschema@._chpg_find_changes(baseline tstzrange, period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
SET client_min_messages = warning
BEGIN ATOMIC
	SELECT CASE WHEN c.change = 'regressed' THEN 'CHPG501' ELSE 'CHPG504' END,
		CASE WHEN c.change = 'regressed' AND c.excess_s * c.avg_us * c.calls_per_h > 0
				AND c.excess_s / nullif(c.calls_per_h * hours * c.avg_us / 1e6 / nullif(c.time_share, 0), 0) >= @extschema@._chpg_limit('501', 'error_time_share')
			THEN 'ERROR' ELSE 'WARN' END,
		CASE WHEN c.change = 'regressed' THEN 'Slower than before' ELSE 'New, and heavy' END, c.service_id,
		CASE WHEN c.change = 'regressed'
			THEN format('%s ms for each execution, after %s ms; 95th percentile up to %s ms, after %s ms; %s s lost',
				round(c.avg_us::numeric / 1000, 1), round(c.baseline_avg_us::numeric / 1000, 1),
				round(c.p95_hi_us::numeric / 1000, 1), round(c.baseline_p95_hi_us::numeric / 1000, 1), round(c.excess_s))
			ELSE format('%s executions per hour, %s %% of the time', round(c.calls_per_h), round(c.time_share::numeric * 100, 1)) END,
		jsonb_build_object('query_id', c.query_id::text, 'query_hex', c.query_hex, 'query_text', c.query_text, 'db_name', c.db_name, 'db_user', c.db_user, 'db_operation', c.db_operation, 'app', c.app,
			'change', c.change, 'baseline_avg_us', round(c.baseline_avg_us::numeric, 1), 'avg_us', round(c.avg_us::numeric, 1),
			'baseline_p95_lo_us', round(c.baseline_p95_lo_us::numeric, 1), 'baseline_p95_hi_us', round(c.baseline_p95_hi_us::numeric, 1),
			'p95_lo_us', round(c.p95_lo_us::numeric, 1), 'p95_hi_us', round(c.p95_hi_us::numeric, 1),
			'hours_worse', c.hours_worse, 'cause', c.cause, 'excess_s', round(c.excess_s::numeric, 1)),
		CASE WHEN c.change = 'new?' THEN 'The baseline was truncated, or lacks hours: it may have been there, unseen.'
			WHEN c.change = 'new' THEN 'A deployment, or a job that does not run every day.'
			ELSE CASE c.cause WHEN 'more rows' THEN 'It returns more rows: the data grew, or a filter is gone.'
				WHEN 'more blocks' THEN 'It reads more blocks for the same rows: another plan, more data, or bloat.'
				WHEN 'colder cache' THEN 'More of its blocks come from storage: something else uses the cache.'
				WHEN 'waiting' THEN 'It waits longer: locks, storage, or the client.'
				WHEN 'computing' THEN 'It computes longer on the same blocks.'
				ELSE 'No single counter explains it.' END END,
		CASE WHEN c.change = 'regressed' THEN 'Compare EXPLAIN (ANALYZE, BUFFERS) with what it was; look for a deployment at that time.'
			ELSE 'Find out who runs it, by application and user, and whether that is meant to be.' END,
		CASE WHEN c.change = 'regressed' THEN c.excess_s * 1e6 ELSE c.calls_per_h * hours * c.avg_us END,
		c.confidence, NULL::text[],
		CASE WHEN c.change = 'regressed' THEN 'CHPG501' ELSE 'CHPG504' END
			|| ':' || @extschema@._chpg_finding_key(ARRAY[c.service_id, c.query_id::text, c.db_name, c.db_user, c.db_operation, c.app]), false
	FROM @extschema@.chpg_compare(baseline, period, service, server) c
	JOIN @extschema@._chpg_period_hours(period, service, server) h USING (service_id)
	WHERE c.change IN ('regressed', 'new', 'new?');
END;

COMMENT ON FUNCTION @extschema@._chpg_find_changes(tstzrange, tstzrange, text, text) IS
'Findings of patterns that got slower, or are new. As chpg_compare. For chpg_findings.';

CREATE FUNCTION @extschema@._chpg_find_cache(patterns @extschema@.chpg_period_pattern_row[], period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'CHPG301', CASE WHEN ratio < @extschema@._chpg_limit('301', 'error_hit_ratio') THEN 'ERROR' ELSE 'WARN' END,
		'The buffer cache is too small for what is read', service_id,
		format('%s %% of blocks are found in the buffer cache, of %s per hour', round(ratio::numeric * 100, 1), round(blks / hours)),
		jsonb_build_object('hit_ratio', round(ratio::numeric, 4), 'blks_per_h', round(blks / hours), 'readers', readers),
		'The data that is used does not fit into memory, or scans push it out. The operating system''s cache is not seen.',
		'Look at the patterns that read most first: a scan that needs not be is cheaper to mend than a bigger machine.',
		NULL::float8, 'medium', NULL::text[], 'CHPG301:' || service_id, false
	FROM (
		SELECT service_id, coalesce(max(h.hours), extract(epoch FROM upper(period) - lower(period))::float8 / 3600) AS hours,
			sum(total_shared_blks_hit)::float8 / nullif(sum(total_shared_blks_hit) + sum(total_shared_blks_read), 0)::float8 AS ratio,
			(sum(total_shared_blks_hit) + sum(total_shared_blks_read))::float8 AS blks,
			(array_agg(query_id::text ORDER BY total_shared_blks_read DESC NULLS LAST))[1:3] AS readers
		FROM unnest(patterns) p
		LEFT JOIN @extschema@._chpg_period_hours(period, service, server) h USING (service_id)
		GROUP BY 1
	) s
	WHERE ratio < @extschema@._chpg_limit('301', 'hit_ratio') AND blks >= hours * @extschema@._chpg_limit('301', 'blks_per_h');
END;

COMMENT ON FUNCTION @extschema@._chpg_find_cache(@extschema@.chpg_period_pattern_row[], tstzrange, text, text) IS 'Findings of services whose buffer cache does not hold what they read. Sends no request. For chpg_findings.';

CREATE FUNCTION @extschema@._chpg_find_unknown(server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT k.*
	FROM @extschema@.chpg_services(server) s,
		@extschema@._chpg_skip_patterns('The history does not know the service yet; the API is asked for one that is named.', s.id) k
	WHERE coalesce(s.state, '') NOT IN ('creating', 'deleting')
		AND NOT EXISTS (SELECT FROM @extschema@._chpg_history_services(NULL::text, server) h WHERE h.service_id = s.id);
END;

COMMENT ON FUNCTION @extschema@._chpg_find_unknown(text) IS 'SKIPPED of the rules over patterns for services that were made after the last capture. 1 request for the list. For chpg_findings. Error 55000: there is no history.';

/* As services are now, not in a period. */
CREATE FUNCTION @extschema@._chpg_find_storage(service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH health AS MATERIALIZED (
		SELECT h.* FROM @extschema@.chpg_health(server) h WHERE service IS NULL OR service IN (h.service_id, h.name)
	)
	SELECT 'CHPG701', CASE WHEN storage_used_percent >= @extschema@._chpg_limit('701', 'error_percent') THEN 'ERROR' ELSE 'WARN' END,
		'Storage fills up', service_id, format('%s %% of the storage is in use', round(storage_used_percent::numeric, 1)),
		jsonb_build_object('storage_used_percent', storage_used_percent, 'storage_limit_bytes', storage_limit_bytes),
		'Data, WAL that a replica or a slot holds back, or temporary files.',
		'Look for what grew; the service scales its storage at 90 percent, with a short cutover.',
		NULL::float8, 'high', NULL::text[], 'CHPG701:' || service_id, false
	FROM health WHERE storage_used_percent >= @extschema@._chpg_limit('701', 'percent') AND storage_used_percent <> 'NaN'
	UNION ALL
	SELECT k.* FROM health h, @extschema@._chpg_skipped('{CHPG701}'::text[], 'The metrics do not tell how much is in use', h.service_id) k
	WHERE h.storage_used_percent IS NULL OR h.storage_used_percent = 'NaN'
	UNION ALL
	SELECT k.*
	FROM (SELECT WHERE service IS NULL OR NOT EXISTS (SELECT FROM health)) unknown,
		@extschema@.chpg_services(server) s,
		@extschema@._chpg_skipped('{CHPG701,CHPG703}'::text[], 'The metrics do not tell of the service', s.id) k
	WHERE (service IS NULL OR service IN (s.id, s.name)) AND NOT EXISTS (SELECT FROM health h WHERE h.service_id = s.id);
END;

COMMENT ON FUNCTION @extschema@._chpg_find_storage(text, text) IS
'Findings of storage, as it is now; for services that have no metrics, SKIPPED of connections, too. 1 request for the metrics, 1 for the list unless they tell of the service that is given. For chpg_findings.';

/* A service whose settings cannot be had is no reason to say nothing of the others. */
CREATE FUNCTION @extschema@._chpg_find_connections(service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
SET chpg.on_service_error = 'warning'
BEGIN ATOMIC
	WITH health AS MATERIALIZED (
		SELECT h.*, coalesce(h.active_connections + h.idle_connections, h.active_connections, h.idle_connections) AS used
		FROM @extschema@.chpg_health(server) h WHERE service IS NULL OR service IN (h.service_id, h.name)
	), configured AS MATERIALIZED (
		SELECT c.service_id, c.value::float8 AS max_connections
		FROM @extschema@.chpg_config(service, server) c
		WHERE c.component = 'postgres' AND c.name = 'max_connections' AND c.value ~ '^[0-9]+$'
	)
	SELECT 'CHPG703', CASE WHEN used >= @extschema@._chpg_limit('703', 'error_ratio') * max_connections THEN 'ERROR' ELSE 'WARN' END,
		'Connections run out', service_id, format('%s of %s connections', used, max_connections),
		jsonb_build_object('connections', used, 'max_connections', max_connections, 'idle', idle_connections),
		'Applications hold more connections than they use, or lack a pooler.',
		'Connect through PgBouncer, or lower the applications'' pools.',
		NULL::float8, 'high', NULL::text[], 'CHPG703:' || service_id, false
	FROM health
	JOIN configured USING (service_id)
	WHERE used >= @extschema@._chpg_limit('703', 'ratio') * max_connections
	UNION ALL
	SELECT k.*
	FROM health h
	LEFT JOIN configured c USING (service_id)
	CROSS JOIN LATERAL @extschema@._chpg_skipped('{CHPG703}'::text[], CASE WHEN c.max_connections IS NULL
		THEN 'max_connections is not known: the API tells settings that were made only, or could not be asked.'
		ELSE 'The metrics do not tell how many connections there are' END, h.service_id) k
	WHERE c.max_connections IS NULL OR h.used IS NULL;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_connections(text, text) IS
'Findings of connections, as they are now, of services that have metrics. 1 request for the metrics, and those of chpg_config. For chpg_findings.';

/* Services of an environment are meant to be alike. */
CREATE FUNCTION @extschema@._chpg_find_drift(server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH config AS MATERIALIZED (
		SELECT c.service_id, c.component, c.name, c.value FROM @extschema@.chpg_config(NULL::text, server) c
	), settings AS (
		SELECT s.id AS service_id, s.name AS service, s.tags->>'Environment' AS environment,
			n.component, n.name, coalesce(c.value, '(not set)') AS value
		FROM @extschema@.chpg_services(server) s
		CROSS JOIN (SELECT DISTINCT component, name FROM config) n
		LEFT JOIN config c ON c.service_id = s.id AND c.component = n.component AND c.name = n.name
		WHERE s.state NOT IN ('creating', 'deleting') AND s.tags ? 'Environment'
	), counted AS (
		SELECT *, count(*) OVER (PARTITION BY environment, component, name) AS services,
			count(*) OVER (PARTITION BY environment, component, name, value) AS alike
		FROM settings
	)
	SELECT 'CHPG706', 'INFO', 'A setting that differs from the others''', service_id,
		format('%s %s is %s; %s of %s services of the environment have another value', component, name, value, services - alike, services),
		jsonb_build_object('component', component, 'name', name, 'value', value, 'environment', environment),
		'It may be meant to be so.', 'If it is not: chpg_patch_config.',
		NULL::float8, 'medium', NULL::text[], 'CHPG706:' || @extschema@._chpg_finding_key(ARRAY[service_id, component, name]), false
	FROM counted
	WHERE services >= @extschema@._chpg_limit('706', 'services') AND alike * 2 < services
	UNION ALL
	SELECT k.*
	FROM (SELECT count(*) AS services
		FROM (SELECT s.tags->>'Environment' AS environment, count(*) OVER (PARTITION BY s.tags->>'Environment') AS alike
			FROM @extschema@.chpg_services(server) s WHERE s.state NOT IN ('creating', 'deleting')) s
		WHERE environment IS NULL OR alike < @extschema@._chpg_limit('706', 'services')) u,
		@extschema@._chpg_skipped('{CHPG706}'::text[], format('Services that share the tag Environment with too few others, or have none, are compared with none: %s', u.services), NULL::text) k
	WHERE u.services > 0;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_drift(text) IS
'Findings of settings that less than half of the services with the same tag Environment have. 1 request for each service, and 1 for the list. For chpg_findings.';

/*
 * A service has hours while it is there, and since it was captured first; the last
 * one that is over may not have been captured yet.
 */
CREATE FUNCTION @extschema@._chpg_find_quality(period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	WITH lived AS (
		SELECT s.service_id, max(s.valid_to) AS until,
			least(min(s.noted_at) - @extschema@._chpg_history_setting('backfill')::interval,
				(SELECT min(c.window_start) FROM capture c WHERE c.service_id = s.service_id AND c.grain = 'hour')) AS since
		FROM service s
		JOIN @extschema@._chpg_history_services(_chpg_find_quality.service, _chpg_find_quality.server) h USING (service_id)
		GROUP BY s.service_id
	), seen AS (
		SELECT l.service_id, e.expected, count(c.window_start) AS captured, count(*) FILTER (WHERE c.truncated) AS truncated
		FROM lived l
		CROSS JOIN LATERAL (SELECT count(*) AS expected
			FROM generate_series(date_bin('1 hour', greatest(lower(period), l.since) + interval '1 hour' - interval '1 microsecond', '2000-01-01 00:00Z'),
				least(upper(period), l.until, now() - @extschema@._chpg_history_setting('settle')::interval - interval '1 hour') - interval '1 hour', '1 hour')) e
		LEFT JOIN capture c ON c.service_id = l.service_id AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= lower(period) AND c.window_end <= upper(period)
		GROUP BY l.service_id, e.expected
	)
	SELECT 'CHPG801', 'INFO', 'The history is not complete', service_id,
		format('%s of %s hours were captured, %s of them truncated', captured, greatest(expected, captured), truncated),
		jsonb_build_object('captured', captured, 'expected', expected, 'truncated', truncated),
		'Captures failed, began later, or the API had the hours no longer. Sums are too low.',
		'See the view coverage of the history.',
		NULL::float8, 'high', NULL::text[], 'CHPG801:' || service_id, false
	FROM seen
	WHERE captured < expected * @extschema@._chpg_limit('801', 'coverage') OR truncated > 0
	UNION ALL
	SELECT k.*
	FROM seen, @extschema@._chpg_skip_patterns('The history has no hour of the period; the API is asked for a service that is named.', seen.service_id) k
	WHERE captured = 0 AND expected > 0;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_quality(tstzrange, text, text) IS 'Findings of hours that the history lacks, or has in part; for a service of which it has none, SKIPPED of the rules over patterns. Sends no request. For chpg_findings. Error 55000: there is no history.';

/* Rules that compare, for the services that have hours of both windows. */
CREATE FUNCTION @extschema@._chpg_find_differences(baseline tstzrange, period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT @extschema@._chpg_history_has(period, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG402,CHPG501,CHPG504}'::text[],
			'There is no history, that you may read, of the period to compare.', NULL::text);
		RETURN;
	END IF;
	RETURN QUERY
	SELECT s.*
	FROM @extschema@._chpg_period_hours(period, service, server) h,
		@extschema@._chpg_skipped('{CHPG402,CHPG501,CHPG504}'::text[], 'The history has no hour of the baseline to compare with.', h.service_id) s
	WHERE NOT EXISTS (SELECT FROM @extschema@._chpg_period_hours(baseline, service, server) b WHERE b.service_id = h.service_id);
	IF @extschema@._chpg_history_has(baseline, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_changes(baseline, period, service, server);
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_error_spikes(baseline, period, service, server);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_differences(tstzrange, tstzrange, text, text) IS 'Findings of what is not as it was; SKIPPED where the history has no hours to compare. Sends no request. For chpg_findings.';

/* Rules that ask how services are now: what the API does not answer, they skip. */
CREATE FUNCTION @extschema@._chpg_find_present(service text, server text, of_history boolean)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- where there are no metrics, they are not asked for again
	BEGIN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_storage(service, server);
		IF service IS NULL AND of_history THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_unknown(server);
		END IF;
		BEGIN
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_connections(service, server);
		EXCEPTION WHEN OTHERS THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG703}'::text[], SQLERRM, NULL::text);
		END;
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG701,CHPG703}'::text[], SQLERRM, NULL::text);
	END;
	IF service IS NOT NULL THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[], 'Settings are compared with those of the whole fleet: give no service.', NULL::text);
		RETURN;
	END IF;
	BEGIN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_drift(server);
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[], SQLERRM, NULL::text);
	END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_present(text, text, boolean) IS 'Findings of storage, connections and settings; and of what the history, if it was looked at, does not know. As _chpg_find_storage, _chpg_find_unknown, _chpg_find_connections and _chpg_find_drift. For chpg_findings.';

CREATE FUNCTION @extschema@._chpg_all_findings(period tstzrange, service text, server text, baseline tstzrange, history_only boolean)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record;
BEGIN
	IF history_only AND @extschema@._chpg_history_is_readable() THEN
		PERFORM @extschema@._chpg_history_check_service(service);
	END IF;
	IF history_only AND NOT @extschema@._chpg_history_has(period, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skip_patterns('The history, as far as you may read it, has no hour of the period.', NULL::text);
		RETURN;
	END IF;
	SELECT r.patterns, r.skipped INTO found FROM @extschema@._chpg_read_patterns(period, service, server) r;
	RETURN QUERY SELECT * FROM unnest(found.skipped);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_uncounted(found.patterns);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_patterns(found.patterns, period, service, server);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_errors(found.patterns, period, service, server);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_cache(found.patterns, period, service, server);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_differences(baseline, period, service, server);
	IF @extschema@._chpg_history_has(period, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_quality(period, service, server);
	END IF;
	IF NOT history_only THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_present(service, server, @extschema@._chpg_history_has(period, service, server));
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_all_findings(tstzrange, text, text, tstzrange, boolean) IS 'The findings of all rules. For chpg_findings.';

/*
 * A pattern has one finding, the worst.  What else was found of it, a rule over its
 * counters or a change, becomes a tag, and part of the evidence where that differs;
 * but what is muted hides nothing.
 */
CREATE FUNCTION @extschema@._chpg_primary_findings(period tstzrange, service text, server text, baseline tstzrange, history_only boolean)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH found AS (
		SELECT f.*, @extschema@._chpg_is_muted(f.cache_key) AS is_muted,
			CASE WHEN f.evidence ? 'query_id' THEN substr(f.cache_key, length(f.rule_id) + 1) ELSE f.cache_key END AS subject,
			(SELECT max(r.rule_name) FROM @extschema@.chpg_rule r WHERE r.rule_id = f.rule_id) AS rule_name
		FROM @extschema@._chpg_all_findings(period, service, server, baseline, history_only) f
	), ranked AS (
		SELECT *, row_number() OVER w AS place, first_value(evidence) OVER w AS first_evidence
		FROM found
		WINDOW w AS (PARTITION BY service_id, subject, is_muted
			ORDER BY array_position(ARRAY['ERROR', 'WARN', 'INFO', 'SKIPPED'], level),
				array_position(ARRAY['CHPG601', 'CHPG201', 'CHPG101', 'CHPG102', 'CHPG202', 'CHPG607', 'CHPG501', 'CHPG504'], rule_id))
	), others AS (
		SELECT coalesce(service_id, '') AS of_service, subject, is_muted, array_agg(rule_name ORDER BY place) AS names,
			jsonb_object_agg(rule_name, evidence) FILTER (WHERE evidence <> first_evidence) AS evidence
		FROM ranked WHERE place > 1 GROUP BY 1, 2, 3
	)
	SELECT f.rule_id, f.level, f.title, f.service_id, f.symptom, f.evidence || coalesce(o.evidence, '{}'),
		f.explanation, f.action, f.impact_us, f.confidence, o.names, f.cache_key, f.is_muted
	FROM ranked f
	LEFT JOIN others o ON o.of_service = coalesce(f.service_id, '') AND o.subject = f.subject AND o.is_muted = f.is_muted
	WHERE f.place = 1;
END;

COMMENT ON FUNCTION @extschema@._chpg_primary_findings(tstzrange, text, text, tstzrange, boolean) IS
'The findings of all rules, at most one for each pattern, besides a muted one. For chpg_findings.';

/* Several rules look at the same answers. */
CREATE FUNCTION @extschema@.chpg_findings(
	period tstzrange,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	history_only boolean DEFAULT false)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = '2min'
AS $$
DECLARE
	distance interval;  -- in hours, whose length no time zone changes
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period);
	IF baseline IS NULL THEN
		distance := make_interval(secs => greatest(extract(epoch FROM upper(period) - lower(period))::float8, 86400));
		baseline := tstzrange(lower(period) - distance, upper(period) - distance);
	END IF;
	PERFORM @extschema@._chpg_check_periods(baseline, period);
	PERFORM @extschema@._chpg_history_warn();
	RETURN QUERY
	SELECT f.* FROM @extschema@._chpg_primary_findings(period, service, server, baseline, coalesce(history_only, false)) f
	ORDER BY array_position(ARRAY['ERROR', 'WARN', 'INFO', 'SKIPPED'], f.level), f.impact_us DESC NULLS LAST, f.cache_key;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_findings(tstzrange, text, tstzrange, text, boolean) IS
'What is wrong with a service, by id or name, or with all, in a period, the worst first: one row for each finding, and one for each rule that could not judge (SKIPPED), such as those over patterns of a service of the fleet that does not answer. Patterns come from the history where it has the period, else from the API, as chpg_slow_patterns; what is compared is the baseline, the same hours of the day before unless given, of the history only. Storage, connections and settings are those of now: 1 request for the metrics, 1 for each service''s settings (which are compared for the whole fleet only), and 1 for the list; answers may be two minutes old, so that nothing is asked twice; with history_only, nothing is asked, and what the history does not have is not judged. Recommends only. Errors: 22004, 22023, those of chpg_slow_patterns.';
