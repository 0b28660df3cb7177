/* History: the settings of captures and purges. */

/* The settings of captures: what they are at first, and within which bounds they may be changed. */
CREATE FUNCTION @extschema@._chpg_history_defaults()
RETURNS TABLE (name text, value text, kind text, lowest text, highest text, description text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('settle', '5 minutes', 'interval', '0 seconds', '1 day', 'A window is captured so long after its end at the earliest.'),
		('recapture', '2', 'integer', '0', '1000', 'So many of the newest windows are captured whenever one ends: that one, and those before it once more, for what came late.'),
		('api_retention', '7 days', 'interval', '1 hour', '100 years', 'What the API keeps: 1 day on Basic, where it never has a whole day, so that hours only are captured; 7 days on Scale and Enterprise. Older windows that were not captured are lost.'),
		('backfill', '1 day', 'interval', '0 seconds', '100 years', 'So much is captured of the time before a service was first seen.'),
		('keep_hour', '35 days', 'interval', '1 hour', '100 years', 'Windows of an hour are kept so long.'),
		('keep_day', '400 days', 'interval', '1 day', '100 years', 'Windows of a day are kept so long.'),
		('max_patterns', '2000', 'integer', '1', '1000000', 'Patterns of a window that are captured, those with the longest total duration. With more, the window is marked as truncated.'),
		('max_error_patterns', '100', 'integer', '1', '1000000', 'Patterns of a window that are captured for their errors, whatever their duration.'),
		('metric_bucket', '5 minutes', 'interval', '1 second', '1 hour', 'Time between two points of metrics; off: no metrics are captured.'),
		('reserve', '3', 'integer', '0', '1000000', 'So many requests of the budget are left to others: a capture waits while fewer are free.')
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_defaults() IS
'The settings of a history: the value of each at first, an integer or an interval, the least and the greatest value that it may have, and what it does.';

/* "7" would be 7 seconds. */
CREATE FUNCTION @extschema@._chpg_has_units(duration text)
RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT duration ~* '^\s*(\d+(\.\d+)?\s*[a-z]+\s*|\d+:\d\d(:\d\d(\.\d+)?)?\s*)+$' OR duration ~ '^P[0-9.YMWDTHS]+$'
$$;

COMMENT ON FUNCTION @extschema@._chpg_has_units(text) IS 'Whether a text may be an interval, not negative, that says for each number what it counts.';

CREATE FUNCTION @extschema@._chpg_history_check_setting(name text, value text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known record;
	fine boolean;
	place text := (SELECT quote_ident(h.schema_name) FROM @extschema@.chpg_history_place h);
BEGIN
	SELECT d.* INTO known FROM @extschema@._chpg_history_defaults() d WHERE d.name = _chpg_history_check_setting.name;
	IF known.name IS NULL THEN
		RAISE EXCEPTION 'unknown setting "%" of the history', name
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('There are %s.', (SELECT string_agg(d.name, ', ') FROM @extschema@._chpg_history_defaults() d)),
				HINT = format('Remove it: DELETE FROM %s.setting WHERE name = %L.', place, name);
	ELSIF value IS NULL THEN
		RAISE EXCEPTION 'setting "%" of the history is missing', name
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = format('Put back what it was at first: SELECT chpg_history_enable(%L).', place);
	END IF;
	BEGIN
		fine := CASE
			WHEN known.kind = 'integer' THEN value ~ '^\s*\d{1,9}\s*$' AND value::integer BETWEEN known.lowest::integer AND known.highest::integer
			WHEN name = 'metric_bucket' AND value = 'off' THEN true
			ELSE @extschema@._chpg_has_units(value) AND value::interval BETWEEN known.lowest::interval AND known.highest::interval END;
	EXCEPTION WHEN data_exception THEN
		fine := false;
	END;
	IF NOT fine THEN
		RAISE EXCEPTION 'invalid value for setting "%" of the history: "%"', name, value
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('It is to be an %s from %s to %s%s.',
					CASE known.kind WHEN 'interval' THEN 'interval, with its unit,' ELSE known.kind END, known.lowest, known.highest,
					CASE WHEN name = 'metric_bucket' THEN ', or off' END),
				HINT = format('Such as: UPDATE %s.setting SET value = %L WHERE name = %L.', place, known.value, name);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_setting(text, text) IS
'Error 22023 unless there is a setting of that name, and this is a value for it; 55000 if it is null.';

CREATE FUNCTION @extschema@._chpg_history_setting(name text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found text;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	found := (SELECT s.value FROM setting s WHERE s.name = _chpg_history_setting.name);
	PERFORM @extschema@._chpg_history_check_setting(name, found);
	RETURN found;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_setting(text) IS
'A setting of the history. Errors: 22023 its value cannot be used, 55000 it is missing.';

CREATE FUNCTION @extschema@._chpg_history_settings()
RETURNS TABLE (settle interval, recapture integer, api_retention interval, backfill interval, keep_hour interval,
	keep_day interval, max_patterns bigint, max_error_patterns bigint, metric_bucket interval, reserve integer)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := @extschema@._chpg_history_enter();
	found jsonb;
BEGIN
	PERFORM @extschema@._chpg_history_check_setting(name, s.value)
	FROM @extschema@._chpg_history_defaults() d
	FULL JOIN setting s USING (name);
	found := (SELECT jsonb_object_agg(s.name, nullif(s.value, 'off')) FROM setting s);
	IF (found->>'api_retention')::interval <= (found->>'settle')::interval + interval '1 hour' THEN
		RAISE EXCEPTION 'invalid value for setting "api_retention" of the history: "%"', found->>'api_retention'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'There is nothing to capture unless it is longer than an hour and the setting "settle" together.',
				HINT = format('Such as: UPDATE %I.setting SET value = ''7 days'' WHERE name = ''api_retention''.', place);
	END IF;
	RETURN QUERY SELECT * FROM jsonb_to_record(found) r(settle interval, recapture integer, api_retention interval,
		backfill interval, keep_hour interval, keep_day interval, max_patterns bigint, max_error_patterns bigint,
		metric_bucket interval, reserve integer);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_settings() IS
'All settings of the history; metric_bucket is null where it is off. Errors: 22023 a value cannot be used, or a name is unknown, 55000 a setting is missing.';
