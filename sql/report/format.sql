/* Report: numbers and times as people read them, beside those of sql/reading/short_texts.sql. */

CREATE FUNCTION @extschema@._chpg_percent_text(percent double precision)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN percent = 0 THEN '0 %'
		WHEN abs(percent) < 0.01 THEN '< 0.01 %'
		WHEN abs(percent) < 0.995 THEN to_char(percent, 'FM0.00') || ' %'
		WHEN abs(percent) < 9.95 THEN to_char(percent, 'FM0.0') || ' %'
		WHEN percent >= 99.5 AND percent < 100 THEN to_char(least(percent, 99.9), 'FM90.0') || ' %'
		WHEN abs(percent) < 1e6 THEN to_char(percent, 'FM999990') || ' %'
		ELSE '> 1 M %' END;
END;

COMMENT ON FUNCTION @extschema@._chpg_percent_text(double precision) IS
'A percentage as people read it, such as 0.04 %, 3.2 % or 85 %.';

CREATE FUNCTION @extschema@._chpg_load_text(load double precision)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN NOT load < 1e12 THEN '> 1000 G'
		WHEN load = 0 THEN '0'
		WHEN load < 0.001 THEN '< 0.001'
		WHEN load < 0.0995 THEN to_char(load, 'FM0.000')
		WHEN load < 9.95 THEN to_char(load, 'FM0.0')
		ELSE @extschema@._chpg_count_text(load) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_load_text(double precision) IS
'Executions that are active at a time, such as 0.021, 3.4 or 120.';

CREATE FUNCTION @extschema@._chpg_rate_text(per_s double precision)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN NOT per_s < 1e12 THEN '> 1000 G/s'
		WHEN per_s = 0 THEN '0/h'
		WHEN per_s * 3600 < 99.5 THEN to_char(per_s * 3600, CASE WHEN per_s * 3600 < 9.95 THEN 'FM0.0' ELSE 'FM90' END)
			|| '/h'
		WHEN per_s < 1 THEN to_char(per_s * 60, CASE WHEN per_s * 60 < 9.95 THEN 'FM0.0' ELSE 'FM90' END) || '/min'
		WHEN per_s < 9.95 THEN to_char(per_s, 'FM0.0') || '/s'
		ELSE @extschema@._chpg_count_text(per_s) || '/s' END;
END;

COMMENT ON FUNCTION @extschema@._chpg_rate_text(double precision) IS
'Executions per second as people read them, such as 12/h, 4.5/min or 120/s.';

/* Times are in the session's time zone, which the report names once. */
CREATE FUNCTION @extschema@._chpg_time_text(at timestamptz)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN at < '0001-01-01 00:00Z' OR at > '9999-12-30 00:00Z' THEN ''
		ELSE to_char(at, 'YYYY-MM-DD HH24:MI') END;
END;

COMMENT ON FUNCTION @extschema@._chpg_time_text(timestamptz) IS
'A time in the session''s time zone, to the minute; empty for one that is infinite.';

CREATE FUNCTION @extschema@._chpg_when_text(at timestamptz, until timestamptz)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN at > until - interval '144 hours' AND at <= until THEN to_char(at, 'FMDay HH24:MI')
		ELSE @extschema@._chpg_time_text(at) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_when_text(timestamptz, timestamptz) IS
'A time in a sentence, with the day of the week if it is in the six days until another.';

CREATE FUNCTION @extschema@._chpg_day_text(at timestamptz)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT left(@extschema@._chpg_time_text(at), 10);
END;

COMMENT ON FUNCTION @extschema@._chpg_day_text(timestamptz) IS 'A day in the session''s time zone.';

/* How long something has lasted, or will: "3 hours", "12 days". */
CREATE FUNCTION @extschema@._chpg_age_text(age interval)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN n.hours < 1.5 THEN greatest(round(n.hours * 60), 0) || ' minutes'
		WHEN n.hours < 47.5 THEN round(n.hours) || ' hours'
		ELSE round(n.hours / 24) || ' days' END
	FROM (SELECT extract(epoch FROM age)::float8 / 3600 AS hours) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_age_text(interval) IS
'A length of time in words, such as 40 minutes, 7 hours or 12 days.';

/*
 * Where a literal ends depends on settings, comments and quotes within quotes: nothing is shown
 * after a word that a secret may follow, if there is any literal.  Statements whose values are
 * parameters have none.
 */
CREATE FUNCTION @extschema@._chpg_without_passwords(query_text text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN query_text !~* ('passw|secret|passphrase|token|dblink|connection|crypt|pwd|api[_-]?key|'
			'identified\s+by|chpg_connect|chpg_create_webhook|://') THEN query_text
		WHEN substr(query_text, w.until) ~ '''|[$]([^0-9]|$)|://'
			THEN left(query_text, w.until - 1) || substring(substr(query_text, w.until) FROM '^[A-Za-z_]*') || ' ***'
				ELSE query_text END
	FROM (
		SELECT 1 + coalesce(length(substring(query_text
			FROM '(?i)^.*?(?:passw[a-z]*|secret|passphrase|token|dblink[a-z_]*|connection(?=[^a-z]*[''$"])|crypt|pwd|'
			'api[_-]?key|identified\s+by|chpg_connect|chpg_create_webhook|://)')),
			length(query_text)) AS until
	) w;
END;

COMMENT ON FUNCTION @extschema@._chpg_without_passwords(text) IS
'A statement, without what follows a word such as PASSWORD, if a literal does.';

/* Measures of findings have units of their own. */
CREATE FUNCTION @extschema@._chpg_measure_text(value double precision, unit text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN value IS NULL THEN NULL
		WHEN unit = 'us' THEN @extschema@._chpg_duration_text(value)
		WHEN unit = 'percent' THEN @extschema@._chpg_percent_text(value)
		WHEN unit = 'bytes' THEN @extschema@._chpg_bytes_text(value)
		WHEN abs(value) < 99.95 AND value <> trunc(value) THEN @extschema@._chpg_number_text(value, coalesce(unit, ''))
		ELSE @extschema@._chpg_count_text(value) || ' ' || coalesce(unit, '') END;
END;

COMMENT ON FUNCTION @extschema@._chpg_measure_text(double precision, text) IS
'A value with the unit of a finding, as people read it.';

/* Evidence is read from a log, which others may have written. */
CREATE FUNCTION @extschema@._chpg_evidence_time(evidence jsonb, name text)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN nullif((evidence->>name)::timestamptz, 'infinity');
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_evidence_time(jsonb, text) IS
'A time of a finding''s evidence; null: it is none.';

/* What rules say is kept with times of UTC; evidence has the same times. */
CREATE FUNCTION @extschema@._chpg_report_symptom(symptom text, evidence jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(replace(symptom, f.in_utc, f.here), replace(symptom, w.in_utc, w.here), symptom)
	FROM (
		SELECT @extschema@._chpg_evidence_time(evidence, 'full_at') AS full_at,
			@extschema@._chpg_evidence_time(evidence, 'full_from') AS full_from,
			@extschema@._chpg_evidence_time(evidence, 'full_until') AS full_until,
			@extschema@._chpg_evidence_time(evidence, 'waits_until') AS waits_until
	) t
	CROSS JOIN LATERAL (
		SELECT @extschema@._chpg_full_text(@extschema@._chpg_time_literal(t.full_at),
				@extschema@._chpg_time_literal(t.full_from), @extschema@._chpg_time_literal(t.full_until), far.is_so) AS in_utc,
			@extschema@._chpg_full_text(@extschema@._chpg_time_text(t.full_at),
				@extschema@._chpg_time_text(t.full_from), @extschema@._chpg_time_text(t.full_until), far.is_so) AS here
		FROM (SELECT t.full_until - t.full_from > interval '12 hours' AS is_so) far
	) f
	CROSS JOIN LATERAL (
		SELECT @extschema@._chpg_time_literal(t.waits_until) AS in_utc, @extschema@._chpg_time_text(t.waits_until) AS here
	) w;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_symptom(text, jsonb) IS
'A symptom with the times of its evidence in the session''s time zone.';

CREATE FUNCTION @extschema@._chpg_evidence_query_id(evidence jsonb)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN evidence->>'query_id' ~ '^-?[0-9]{1,19}$' THEN
		CASE WHEN (evidence->>'query_id')::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
			THEN (evidence->>'query_id')::bigint END END;
END;

COMMENT ON FUNCTION @extschema@._chpg_evidence_query_id(jsonb) IS
'The query id of a finding''s evidence; null: it has none.';
