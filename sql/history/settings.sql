/* History: the settings of captures and purges. */

CREATE FUNCTION @extschema@._chpg_history_defaults()
RETURNS TABLE (name text, value text, kind text, lowest text, highest text, description text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('settle', '5 minutes', 'interval', '0 seconds', '1 day',
			'Least time between the end of a window and its capture.'),
		('recapture', '2', 'integer', '0', '1000',
			'Captures of a window, where data comes late: the first one, and one when each of the next windows ends. '
			'Elsewhere one hour of a service and a day is captured so often, to notice that.'),
		('api_retention', '7 days', 'interval', '1 hour', '100 years',
			'Time that the API keeps data: 1 day on Basic, where only hours are captured, '
			'7 days on Scale and Enterprise. Windows that grow older than this without a capture are lost.'),
		('backfill', '1 day', 'interval', '0 seconds', '100 years',
			'Time before a service was first seen that is captured, too.'),
		('keep_open', '8 days', 'interval', '1 hour', '100 years',
			'Time after which windows are packed. At least a day more than api_retention.'),
		('keep_hour', '35 days', 'interval', '1 hour', '100 years', 'Time that windows of an hour are kept.'),
		('keep_day', '400 days', 'interval', '1 day', '100 years', 'Time that windows of a day are kept.'),
		('max_patterns', '2000', 'integer', '1', '1000000',
			'Most patterns of a window that are captured, by total duration. '
			'A window with more is marked as truncated.'),
		('max_error_patterns', '100', 'integer', '1', '1000000',
			'Most patterns of a window that are captured for their errors, whatever their duration.'),
		('metric_bucket', '5 minutes', 'interval', '1 second', '1 hour',
			'Time between two points of metrics; off: metrics are not captured.'),
		('archive', 'off', 'boolean', 'off', 'on',
			'on: windows that are not archived yet (chpg_history_archived) are kept longer, see keep_unarchived.'),
		('keep_unarchived', '90 days', 'interval', '1 day', '100 years',
			'Longest time that windows are kept because they are not archived yet, where archive is on.'),
		('watch', 'off', 'boolean', 'off', 'on',
			'on: each run of chpg_capture ends with chpg_watch, which keeps findings in finding_log.'),
		('reserve', '3', 'integer', '0', '1000000',
			'Requests of the budget that are left to others: a capture waits while fewer are free.'),
		('pseudonym_key', NULL, 'text', NULL, NULL,
			'Secret from which exports with hidden texts make pseudonyms; with another one they are others.')
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_defaults() IS
'The settings of a history: initial value (null: drawn at random), type, bounds and description.';

CREATE FUNCTION @extschema@._chpg_history_check_setting(name text, value text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
	known record;
	fine boolean;
	place text := (SELECT quote_ident(h.schema_name) FROM @extschema@.chpg_history_schema h);
BEGIN
	SELECT d.* INTO known FROM @extschema@._chpg_history_defaults() d WHERE d.name = _chpg_history_check_setting.name;
	IF known.name IS NULL THEN
		RAISE EXCEPTION 'unknown setting "%" of the history%', name,
				@extschema@._chpg_closest(name, ARRAY(SELECT d.name FROM @extschema@._chpg_history_defaults() d))
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('There are %s.',
					(SELECT string_agg(d.name, ', ') FROM @extschema@._chpg_history_defaults() d)),
				HINT = format('Remove it: DELETE FROM %s.setting WHERE name = %L;', place, name);
	ELSIF value IS NULL THEN
		RAISE EXCEPTION 'setting "%" of the history is missing', name
			USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = format('Put back its initial value: SELECT chpg_history_enable(%L);', place);
	END IF;
	BEGIN
		fine := CASE
			WHEN known.kind = 'integer' THEN value ~ '^\s*\d{1,9}\s*$'
				AND value::integer BETWEEN known.lowest::integer AND known.highest::integer
			WHEN known.kind = 'boolean' THEN value IN (known.lowest, known.highest)
			WHEN name = 'metric_bucket' AND value = 'off' THEN true
			WHEN known.kind = 'text' THEN length(value) BETWEEN 16 AND 100
			-- each number needs its unit, for "7" would be 7 seconds; no number is negative
			ELSE (value ~* '^\s*(\d+(\.\d+)?\s*[a-z]+\s*|\d+:\d\d(:\d\d(\.\d+)?)?\s*)+$' OR value ~ '^P[0-9.YMWDTHS]+$')
				AND value::interval BETWEEN known.lowest::interval AND known.highest::interval END;
	EXCEPTION WHEN data_exception THEN
		fine := false;
	END;
	IF NOT fine THEN
		RAISE EXCEPTION 'invalid value for setting "%" of the history%', name,
				CASE known.kind WHEN 'text' THEN '' ELSE format(': "%s"', value) END
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = CASE known.kind WHEN 'boolean' THEN 'It must be on or off.'
					WHEN 'text' THEN 'It must have 16 to 100 characters.'
					ELSE format('It must be an %s from %s to %s%s.',
						CASE known.kind WHEN 'interval' THEN 'interval, with its unit,' ELSE known.kind END,
						known.lowest, known.highest, CASE WHEN name = 'metric_bucket' THEN ', or off' END) END,
				HINT = format('Such as: UPDATE %s.setting SET value = %L WHERE name = %L;', place,
					coalesce(known.value, gen_random_uuid()::text), name);
	END IF;
	RETURN value;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_setting(text, text) IS
'Check a setting of the history, and return its value.
Errors: 22023 unknown setting, or a value that cannot be used; 55000 the setting is missing
(null).';

CREATE FUNCTION @extschema@._chpg_history_settings()
RETURNS TABLE (settle interval, recapture integer, api_retention interval, backfill interval, keep_open interval,
	keep_hour interval, keep_day interval, max_patterns bigint, max_error_patterns bigint, metric_bucket interval,
	archive boolean, keep_unarchived interval, reserve integer, watch boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
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
				DETAIL = 'There is nothing to capture unless it is longer than an hour and the setting "settle" '
					'together.',
				HINT = format('Such as: UPDATE %I.setting SET value = ''7 days'' WHERE name = ''api_retention'';',
					place);
	END IF;
	IF (found->>'keep_open')::interval < (found->>'api_retention')::interval + interval '1 day' THEN
		RAISE EXCEPTION 'invalid value for setting "keep_open" of the history: "%"', found->>'keep_open'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('Windows of the setting "api_retention", %s, and of a day more, can still change.',
					found->>'api_retention'),
				HINT = format('Such as: UPDATE %I.setting SET value = %L WHERE name = ''keep_open'';', place,
					(found->>'api_retention')::interval + interval '1 day');
	END IF;
	RETURN QUERY SELECT * FROM jsonb_to_record(found) r(settle interval, recapture integer, api_retention interval,
		backfill interval, keep_open interval, keep_hour interval, keep_day interval, max_patterns bigint,
		max_error_patterns bigint, metric_bucket interval, archive boolean, keep_unarchived interval, reserve integer,
		watch boolean);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_settings() IS
'All settings of the history, as one row.
Null are metric_bucket, archive and watch where they are off.
Errors: 22023 unknown setting, or a value that cannot be used; 55000 a setting is missing.';
