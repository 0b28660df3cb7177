/* Reading: periods, in the forms in which people say them. */

CREATE FUNCTION @extschema@._chpg_last(period interval, argument text)
RETURNS tstzrange
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_last';

COMMENT ON FUNCTION @extschema@._chpg_last(interval, text) IS
'The period of this length until the last full minute.
Calls within a minute share the responses.
Errors: 22004 null; 22023 not positive. The argument is for the message.';

CREATE FUNCTION @extschema@._chpg_period_kind(value text)
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_period_kind';

COMMENT ON FUNCTION @extschema@._chpg_period_kind(text) IS
'What a text says: a time, a period (an interval) or a range; null: none of these.';

CREATE FUNCTION @extschema@._chpg_period_of_texts(first text, second text, service text)
RETURNS tstzrange
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_period_of_texts';

COMMENT ON FUNCTION @extschema@._chpg_period_of_texts(text, text, text) IS
'The period that two texts say: an interval until now, a range, a time until now, two times.
After an interval or a range, the second one is the service. Null if the first one is null.
Errors: 22023 they say no period, or the service is given twice.';

CREATE FUNCTION @extschema@._chpg_service_of_texts(second text, service text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN service IS NULL AND @extschema@._chpg_period_kind(second) IS DISTINCT FROM 'time' THEN second
		ELSE service END;
END;

COMMENT ON FUNCTION @extschema@._chpg_service_of_texts(text, text) IS
'The service, if the texts are those of _chpg_period_of_texts: the second one, unless a time.';

CREATE FUNCTION @extschema@._chpg_between(from_date timestamptz, to_date timestamptz)
RETURNS tstzrange
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF from_date IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', 'from_date' USING ERRCODE = 'null_value_not_allowed';
	ELSIF coalesce(to_date, now()) <= from_date THEN
		RAISE EXCEPTION 'period from % to % is empty: give the start before the end', from_date, coalesce(to_date, now())
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN tstzrange(from_date, coalesce(to_date, now()));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_between(timestamptz, timestamptz) IS
'The period between two times; to_date: null is now.
Errors: 22004 from_date is null; 22023 the period is empty.';

/* No end is before this start, which only makes the text one that comes after a time. */
CREATE FUNCTION @extschema@._chpg_end_of_text(to_date text)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT upper(@extschema@._chpg_period_of_texts('-infinity'::text, to_date, NULL::text));
END;

COMMENT ON FUNCTION @extschema@._chpg_end_of_text(text) IS
'The end of a period, as a text after its start says it; null: now.
Errors: 22023 the text is no time.';
