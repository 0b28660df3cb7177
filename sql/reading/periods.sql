/* Reading: periods, in the forms in which people say them. */

CREATE FUNCTION @extschema@._chpg_last(period interval, argument text)
RETURNS tstzrange
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := date_trunc('minute', now());
BEGIN
	IF period IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', argument USING ERRCODE = 'null_value_not_allowed';
	ELSIF until - period >= until THEN
		RAISE EXCEPTION 'invalid value for "%": "%" is not a positive interval', argument, period
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the time until now, such as interval ''1 hour''.';
	END IF;
	RETURN tstzrange(until - period, until);
END
$$;

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

CREATE FUNCTION @extschema@._chpg_period(value text, argument text)
RETURNS tstzrange
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CASE @extschema@._chpg_period_kind(value)
		WHEN 'period' THEN RETURN @extschema@._chpg_last(value::interval, argument);
		WHEN 'range' THEN RETURN value::tstzrange;
		WHEN 'time' THEN RETURN tstzrange(value::timestamptz, now());
		ELSE
			IF value IS NULL THEN
				RETURN NULL;
			END IF;
			RAISE EXCEPTION '"%" is neither a period nor a range: give a service as service => %', left(value, 60),
					quote_literal(left(value, 60))
				USING ERRCODE = 'invalid_parameter_value',
					HINT = format('Give an interval until now as %s, such as ''1 day'', or a range.', argument);
	END CASE;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_period(text, text) IS
'The period that a text says: an interval until now, a range, or a time until now.
Null for null. Errors: 22023 another text. The argument is for the message.';
