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

CREATE FUNCTION @extschema@._chpg_period_of_texts(first text, second text, service text)
RETURNS tstzrange
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind CONSTANT text := @extschema@._chpg_period_kind(first);
	next CONSTANT text := coalesce(@extschema@._chpg_period_kind(second), 'other');
	problem text;
BEGIN
	IF first IS NOT NULL AND kind IS NULL THEN
		problem := CASE WHEN next <> 'other' THEN 'neither a time nor a period: give the period before the service'
			ELSE 'neither a time nor a period: give a service as service => ' || quote_literal(left(first, 60)) END;
		RAISE EXCEPTION '"%" is %', left(first, 60), problem USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give an interval until now, such as ''1 day'', a range, or two times.';
	ELSIF second IS NULL THEN
		NULL;
	ELSIF kind = 'time' AND next <> 'time' THEN
		problem := CASE next WHEN 'other' THEN 'give a service as service => ' || quote_literal(left(second, 60))
			ELSE 'give two times, or a range' END;
		RAISE EXCEPTION '"%" is not a time: %', left(second, 60), problem USING ERRCODE = 'invalid_parameter_value',
			HINT = 'After a time comes the end of the period, another time.';
	ELSIF kind IS DISTINCT FROM 'time' AND next IN ('time', 'range') THEN
		RAISE EXCEPTION 'the period "%" ends now, or is a range: "%" cannot be its end', left(first, 60), left(second, 60)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give two times, or one range.';
	ELSIF kind IS DISTINCT FROM 'time' AND service IS NOT NULL THEN
		RAISE EXCEPTION '"service" is given twice, as "%" and as "%": name the arguments after it',
				left(second, 60), left(service, 60)
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Such as: server => ..., baseline => ...';
	END IF;
	CASE kind
		WHEN 'period' THEN RETURN @extschema@._chpg_last(first::interval, 'period'::text);
		WHEN 'range' THEN RETURN first::tstzrange;
		WHEN 'time' THEN
			IF second::timestamptz <= first::timestamptz THEN
				RAISE EXCEPTION 'period from % to % is empty: give the start before the end', left(first, 60),
						left(second, 60) USING ERRCODE = 'invalid_parameter_value';
			END IF;
			RETURN tstzrange(first::timestamptz, coalesce(second::timestamptz, now()));
		ELSE RETURN NULL;
	END CASE;
END
$$;

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
