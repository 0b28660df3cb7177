/* Insight: what a rule returns. */

CREATE TYPE @extschema@.chpg_finding_row AS (
	kind text,
	level text,
	rule_id text,
	title text,
	service_id text,
	service_name text,
	subject text,
	since timestamptz,
	state text,
	muted boolean,
	symptom text,
	"before" double precision,
	"now" double precision,
	unit text,
	explanation text,
	action text,
	next text,
	evidence jsonb,
	impact_us double precision,
	confidence text,
	tags text[],
	finding_key text,
	incident_id text
);

COMMENT ON TYPE @extschema@.chpg_finding_row IS
'Something that is wrong or could be better, or that a rule could not judge.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.kind IS
'incident (fails, or got worse), risk (is about to fail), opportunity (could be better) or hygiene.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.level IS
'ERROR, WARN, INFO, or SKIPPED where the rule could not judge.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.rule_id IS 'Number of the rule: see chpg_rule.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.title IS 'What it is.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.service_id IS 'Id of the service; null where it concerns several.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.service_name IS
'Name of the service now; null where it is not known without a further request.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.subject IS
'The first 80 characters of the query, on one line, or the application, or the service.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.since IS
'When it began, to the hour; null if that is not known.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.state IS
'new, ongoing or worse, by the latest chpg_watch; without one, new if it began in the period.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.muted IS 'Whether it is muted.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.symptom IS 'What was seen.';
COMMENT ON COLUMN @extschema@.chpg_finding_row."before" IS 'The measure that decides, as it was before; see unit.';
COMMENT ON COLUMN @extschema@.chpg_finding_row."now" IS 'The measure that decides, as it is; see unit.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.unit IS 'Unit of before and now, such as us, percent or calls/h.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.explanation IS
'What it means, with other causes that the data cannot rule out.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.action IS 'What to do about it; chpg itself changes nothing.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.next IS 'A statement to copy that shows more of it.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.evidence IS
'The counters that decide, and which pattern, database, user or application it is; members of an incident.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.impact_us IS
'Time that the finding concerns, in microseconds; null for findings without one.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.confidence IS 'high, medium or low.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.tags IS
'Names of other rules that hold for the same pattern, or the same incident.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.finding_key IS
'Identifies the finding as long as it is the same: for chpg_mute.';
COMMENT ON COLUMN @extschema@.chpg_finding_row.incident_id IS
'Identifies the incident: what began together in a service. Null for what is no incident or risk.';

/* The order of levels, and of what rules find: what fails, what is slower, what could be better. */
CREATE FUNCTION @extschema@._chpg_level_place(level text)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(array_position('{ERROR,WARN,INFO,SKIPPED}'::text[], level), 5);
END;

COMMENT ON FUNCTION @extschema@._chpg_level_place(text) IS 'The place of a level: 1 for ERROR, 4 for SKIPPED.';

/* CHPG4xx are errors, CHPG508 an application that has gone, CHPG70x limits that are reached. */
CREATE FUNCTION @extschema@._chpg_urgency(kind text, level text, rule_id text)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN level = 'SKIPPED' THEN 7
		WHEN kind = 'hygiene' THEN 6
		WHEN kind = 'opportunity' THEN 5
		WHEN level = 'INFO' THEN 4
		WHEN level = 'ERROR' AND @extschema@._chpg_rule_effect(rule_id) = 'outage' THEN 1
		WHEN level = 'ERROR' AND kind = 'risk' OR @extschema@._chpg_rule_effect(rule_id) <> '' THEN 2
		ELSE 3 END;
END;

COMMENT ON FUNCTION @extschema@._chpg_urgency(text, text, text) IS
'How urgent a finding is, 1 the most.
1: an application fails. 2: something fails, or is about to. 3: it is slower, or may fail in
  some days. 4: it is worth knowing. 5: it could be better. 6: hygiene. 7: not judged.';

/* In SQL_ASCII a text is bytes, those of UTF-8 as the API sends it. Other encodings have C1 or letters there. */
CREATE FUNCTION @extschema@._chpg_hidden_marks()
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN getdatabaseencoding() = 'UTF8' THEN '[\u0080-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]'
		WHEN getdatabaseencoding() = 'SQL_ASCII'
			THEN '\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]'
		WHEN getdatabaseencoding() ~ '^(LATIN|ISO_8859)' THEN '[\x80-\x9f]'
		ELSE '\x7f' END;
END;

COMMENT ON FUNCTION @extschema@._chpg_hidden_marks() IS
'A regular expression of C1 and of marks that change the direction, in the database''s encoding.';

/* Names and texts come from outside: no control character, C1 or bidi mark of theirs is shown. */
CREATE FUNCTION @extschema@._chpg_plain_text(value text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value !~ '[^ -~]' THEN value
		ELSE regexp_replace(regexp_replace(value, @extschema@._chpg_hidden_marks(), '', 'g'), '[\x01-\x1f\x7f]+', ' ',
			'g') END;
END;

COMMENT ON FUNCTION @extschema@._chpg_plain_text(text) IS
'A text without control characters and marks that change the direction of what follows.';

CREATE FUNCTION @extschema@._chpg_time_literal(at timestamptz)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT to_char(greatest(least(at, '9999-12-31 23:59Z'), '1970-01-01 00:00Z') AT TIME ZONE 'UTC',
		'YYYY-MM-DD HH24:MI"Z"');
END;

COMMENT ON FUNCTION @extschema@._chpg_time_literal(timestamptz) IS
'A time, to the minute, in a text that has the same meaning in every session.';

/* What a rule finds; the rest of a finding's row is the same for all rules. */
CREATE TYPE @extschema@._chpg_candidate AS (
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
	finding_key text,
	kind text,
	since timestamptz,
	"before" double precision,
	"now" double precision,
	unit text,
	next text
);

COMMENT ON TYPE @extschema@._chpg_candidate IS
'What a rule found, before findings are put together and ordered. The attributes are those of
chpg_finding_row.';

/* Sums and means have digits that nobody reads. */
CREATE FUNCTION @extschema@._chpg_significant(value double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN abs(value) >= 1e-12 AND abs(value) <= 1e18 THEN
		round(value::numeric, 4 - floor(log(abs(value)))::integer)::float8 ELSE value END;
END;

COMMENT ON FUNCTION @extschema@._chpg_significant(double precision) IS 'A number, to five digits.';

CREATE FUNCTION @extschema@._chpg_skipped(rule_ids text[], why text, service_id text)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT r.rule_id, 'SKIPPED', r.rule_name, _chpg_skipped.service_id, why, NULL::jsonb, NULL::text,
		NULL::text, NULL::float8, NULL::text, concat_ws(':', r.rule_id, 'skipped', _chpg_skipped.service_id),
		r.kind, NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM @extschema@._chpg_rules() r
	WHERE r.rule_id = ANY (rule_ids) OR rule_ids IS NULL AND r.scope IN ('pattern', 'service', 'change');
END;

CREATE FUNCTION @extschema@._chpg_skipped_together(rule_ids text[], why text, waits_until timestamptz, service_id text)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT min(r.rule_id), 'SKIPPED', 'Rules that wait', _chpg_skipped_together.service_id,
		why || ' (' || string_agg(r.rule_name, ', ' ORDER BY r.rule_id) || ')',
		jsonb_strip_nulls(jsonb_build_object('rule_ids', jsonb_agg(r.rule_id ORDER BY r.rule_id),
			'waits_until', waits_until)), NULL::text,
		NULL::text, NULL::float8, NULL::text,
		concat_ws(':', min(r.rule_id), 'skipped', _chpg_skipped_together.service_id),
		'incident', NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM @extschema@._chpg_rules() r
	WHERE r.rule_id = ANY (rule_ids)
	HAVING count(*) > 0;
END;

COMMENT ON FUNCTION @extschema@._chpg_skipped_together(text[], text, timestamptz, text) IS
'One row (SKIPPED) that says why several rules could not judge a service.
Its evidence has their rule_ids, and waits_until: a time that why has.';

COMMENT ON FUNCTION @extschema@._chpg_skipped(text[], text, text) IS
'Rows (SKIPPED) that say why rules could not judge a service, or any service (null).
rule_ids: null: all rules over patterns.';
