/*
 * Comparison, findings and reports of a period that is given as an interval, or as a text.
 *
 * Literals and parameters without a type reach the form by texts.
 */

CREATE FUNCTION @extschema@.chpg_findings(
	period interval,
	service text DEFAULT NULL,
	server text DEFAULT NULL,
	history_only boolean DEFAULT false)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_findings(@extschema@._chpg_last(chpg_findings.period, 'period'),
		chpg_findings.service, chpg_findings.server, chpg_findings.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_findings(interval, text, text, boolean) IS
'The findings of a period until now: chpg_findings(interval ''1 day'', ''orders'').
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_findings(
	period text,
	service text DEFAULT NULL,
	server text DEFAULT NULL,
	history_only boolean DEFAULT false)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_findings(@extschema@._chpg_period(chpg_findings.period, 'period'),
		chpg_findings.service, chpg_findings.server, chpg_findings.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_findings(text, text, text, boolean) IS
'The findings of a period that a text says: chpg_findings(''1 day''), or a range.
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_compare(
	period interval,
	ago interval DEFAULT '1 day',
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b CONSTANT tstzrange := @extschema@._chpg_last(period, 'period'::text);
BEGIN
	IF ago IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', 'ago' USING ERRCODE = 'null_value_not_allowed';
	ELSIF lower(b) < upper(b) - ago THEN
		RAISE EXCEPTION 'invalid value for "ago": "%" is shorter than the period "%"', ago, period
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give how much earlier the period to compare with is.';
	END IF;
	RETURN QUERY SELECT * FROM @extschema@.chpg_compare(tstzrange(lower(b) - ago, upper(b) - ago), b, service, server);
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_compare(interval, interval, text, text) IS
'What changed in a period until now, compared with the same one some time ago.
chpg_compare(interval ''1 hour'') compares with the same hour of yesterday.
Requests: those of the form with ranges.
Errors: 22023 the periods overlap; those of the form with ranges.';

CREATE FUNCTION @extschema@.chpg_compare(
	baseline text,
	period text DEFAULT NULL,
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kinds CONSTANT text[] := ARRAY[coalesce(@extschema@._chpg_period_kind(baseline), 'other'),
		coalesce(@extschema@._chpg_period_kind(period), 'other')];
BEGIN
	IF baseline IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', 'baseline' USING ERRCODE = 'null_value_not_allowed';
	ELSIF kinds = '{period,period}' THEN
		RETURN QUERY SELECT * FROM @extschema@.chpg_compare(baseline::interval, period::interval, service, server);
	ELSIF kinds = '{period,other}' THEN
		IF period IS NOT NULL AND service IS NOT NULL THEN
			RAISE EXCEPTION 'invalid value for "period": "%" is not an interval', left(period, 60)
				USING ERRCODE = 'invalid_parameter_value',
					HINT = 'Such as: SELECT * FROM chpg_compare(''1 hour'', ''1 day'', ''orders'');';
		END IF;
		RETURN QUERY SELECT * FROM @extschema@.chpg_compare(baseline::interval, interval '1 day', coalesce(period, service),
			server);
	ELSIF kinds = '{range,range}' THEN
		RETURN QUERY SELECT * FROM @extschema@.chpg_compare(baseline::tstzrange, period::tstzrange, service, server);
	ELSE
		RAISE EXCEPTION 'invalid periods "%" and "%": give two ranges, or one interval until now',
				left(baseline, 60), left(coalesce(period, ''), 60)
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Such as: SELECT * FROM chpg_compare(''1 hour'', ''orders'');';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_compare(text, text, text, text) IS
'What changed, by texts: two ranges; or an interval until now, and how long ago, or a service.
chpg_compare(''1 hour'', ''orders'') compares with the same hour of yesterday.
Requests: those of the form with ranges.
Errors: 22023 the texts are neither; those of the form with ranges.';

CREATE FUNCTION @extschema@.chpg_report(
	period interval,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report(@extschema@._chpg_last(chpg_report.period, 'period'), chpg_report.service,
		chpg_report.baseline, chpg_report.server, chpg_report.hide_texts, chpg_report.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report(interval, text, tstzrange, text, boolean, boolean) IS
'The report of a period until now: chpg_report(interval ''1 day'').
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report(
	period text,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report(@extschema@._chpg_period(chpg_report.period, 'period'), chpg_report.service,
		chpg_report.baseline, chpg_report.server, chpg_report.hide_texts, chpg_report.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report(text, text, tstzrange, text, boolean, boolean) IS
'The report of a period that a text says: chpg_report(''1 day''), or a range.
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report_text(
	period interval,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report_text(@extschema@._chpg_last(chpg_report_text.period, 'period'),
		chpg_report_text.service, chpg_report_text.baseline, chpg_report_text.server, chpg_report_text.hide_texts,
		chpg_report_text.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report_text(interval, text, tstzrange, text, boolean, boolean) IS
'The report, as text, of a period until now: chpg_report_text(interval ''1 day'').
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report_text(
	period text,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report_text(@extschema@._chpg_period(chpg_report_text.period, 'period'),
		chpg_report_text.service, chpg_report_text.baseline, chpg_report_text.server, chpg_report_text.hide_texts,
		chpg_report_text.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report_text(text, text, tstzrange, text, boolean, boolean) IS
'The report, as text, of a period that a text says: chpg_report_text(''1 day''), or a range.
Requests: those of the form with a range.';
