/*
 * Comparison, findings and reports of a period that is given as an interval, or as a text.
 *
 * Literals and parameters without a type reach the form by texts.
 */

CREATE FUNCTION @extschema@.chpg_findings(
	period interval DEFAULT '1 day',
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
'The findings of a period until now, by default a day: chpg_findings(interval ''1 day'', ''orders'').
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_findings(
	period text,
	to_date text DEFAULT NULL,
	service text DEFAULT NULL,
	server text DEFAULT NULL,
	history_only boolean DEFAULT false)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_findings(
		@extschema@._chpg_period_of_texts(chpg_findings.period, chpg_findings.to_date, chpg_findings.service),
		@extschema@._chpg_service_of_texts(chpg_findings.to_date, chpg_findings.service),
		chpg_findings.server, chpg_findings.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_findings(text, text, text, text, boolean) IS
'The findings of a period, by texts: an interval until now, a range, or two times.
After an interval or a range, the second text is the service: chpg_findings(''1 day'', ''orders'').
Requests: those of the form with a range.
Errors: 22023 the texts say no period; those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_findings(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	server text DEFAULT NULL,
	history_only boolean DEFAULT false)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_findings(@extschema@._chpg_between(chpg_findings.from_date, chpg_findings.to_date),
		chpg_findings.service, chpg_findings.server, chpg_findings.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_findings(timestamptz, timestamptz, text, text, boolean) IS
'The findings between two times: chpg_findings(now() - interval ''2 days'', now()).
to_date: null is now.
Requests: those of the form with a range.';

/* For a literal after a time: PostgreSQL would refuse one that is no time without naming the remedy. */
CREATE FUNCTION @extschema@.chpg_findings(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_findings(chpg_findings.from_date,
		@extschema@._chpg_end_of_text(chpg_findings.to_date),
		chpg_findings.service, NULL::text, false);
END;

COMMENT ON FUNCTION @extschema@.chpg_findings(timestamptz, text, text) IS
'The same of a time and a text: chpg_findings(now() - interval ''2 hours'', ''now'').
Requests: those of the form with a range.
Errors: 22023 the text is no time.';

/* The least that keeps the two periods apart, and compares with the same hours of a day. */
CREATE FUNCTION @extschema@._chpg_period_before(period tstzrange, ago interval)
RETURNS tstzrange
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	length CONSTANT interval := upper(period) - lower(period);
	-- whole days; a day in which the clocks change may have 25 hours
	earlier CONSTANT interval := coalesce(ago, greatest(interval '1 day',
		date_trunc('day', justify_hours(length + interval '22:59:59.999999'))));
BEGIN
	IF isempty(period) THEN
		RAISE EXCEPTION 'invalid value for "period": "empty"'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a period that ends after its start.';
	ELSIF ago IS NOT NULL AND lower(period) < upper(period) - ago THEN
		RAISE EXCEPTION 'invalid value for "ago": "%" is shorter than the period "%"', ago, length
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give how much earlier the period to compare with is.';
	END IF;
	RETURN tstzrange(lower(period) - earlier, least(upper(period) - earlier, lower(period)));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_period_before(tstzrange, interval) IS
'The period to compare with: the same one some time ago, by default a day or what it needs.
Errors: 22023 the period is empty, or the two would overlap.';

CREATE FUNCTION @extschema@.chpg_compare(
	period interval DEFAULT '1 day',
	ago interval DEFAULT NULL,
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_compare(
		@extschema@._chpg_period_before(@extschema@._chpg_last(chpg_compare.period, 'period'), chpg_compare.ago),
		@extschema@._chpg_last(chpg_compare.period, 'period'), chpg_compare.service, chpg_compare.server);
END;

COMMENT ON FUNCTION @extschema@.chpg_compare(interval, interval, text, text) IS
'What changed in a period until now, compared with the same one some time ago.
chpg_compare(interval ''1 hour'') compares with the same hour of yesterday; without arguments, the
last day is compared with the day before. ago: by default a day, or for a period of more than a
day its length in whole days.
Requests: those of the form with ranges.
Errors: 22023 the periods overlap; those of the form with ranges.';

CREATE FUNCTION @extschema@._chpg_compared(INOUT baseline tstzrange, INOUT period tstzrange, INOUT service text,
	texts text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kinds CONSTANT text[] := ARRAY[coalesce(@extschema@._chpg_period_kind(texts[1]), 'other'),
		coalesce(@extschema@._chpg_period_kind(texts[2]), 'other')];
BEGIN
	IF texts[1] IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', 'period' USING ERRCODE = 'null_value_not_allowed';
	ELSIF kinds = '{range,range}' THEN
		baseline := texts[1]::tstzrange;
		period := texts[2]::tstzrange;
	ELSIF kinds = '{period,period}' THEN
		period := @extschema@._chpg_last(texts[1]::interval, 'period'::text);
		baseline := @extschema@._chpg_period_before(period, texts[2]::interval);
	ELSE
		period := @extschema@._chpg_period_of_texts(texts[1], texts[2], service);
		service := @extschema@._chpg_service_of_texts(texts[2], service);
		PERFORM @extschema@._chpg_check_period('period'::text, period, NULL::tstzrange);
		baseline := @extschema@._chpg_period_before(period, NULL::interval);
		IF kinds[1] = 'time' THEN
			RAISE NOTICE 'comparing the period from % to % with that from % to %', lower(period), upper(period),
				lower(baseline), upper(baseline)
				USING HINT = 'Give two ranges to compare, such as chpg_compare(''[yesterday,today)'', ''[today,now)'').';
		END IF;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_compared(tstzrange, tstzrange, text, text[]) IS
'What the first two texts of chpg_compare say: the periods, and perhaps the service.
Errors: 22004 the first one is null; 22023 they say no periods.';

/* Only the form with ranges has an argument baseline, so that none else can be given by its name. */
CREATE FUNCTION @extschema@.chpg_compare(
	period text,
	to_date text DEFAULT NULL,
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT r.*
	FROM @extschema@._chpg_compared(NULL::tstzrange, NULL::tstzrange, chpg_compare.service,
			ARRAY[chpg_compare.period, chpg_compare.to_date]) c
	CROSS JOIN LATERAL @extschema@.chpg_compare(c.baseline, c.period, c.service, chpg_compare.server) r;
END;

COMMENT ON FUNCTION @extschema@.chpg_compare(text, text, text, text) IS
'What changed, by texts: two ranges; or an interval until now, and how long ago, or a service.
chpg_compare(''1 hour'', ''orders'') compares with the same hour of yesterday. Two ranges are the
baseline and the period. Two times are the start and the end of one period; that, or a range and
a service, is compared with the same period a day ago, or as long ago as it needs. A NOTICE says
which periods two times have compared.
Requests: those of the form with ranges.
Errors: 22023 the texts say no periods; those of the form with ranges.';

CREATE FUNCTION @extschema@.chpg_compare(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT r.*
	FROM (SELECT @extschema@._chpg_between(chpg_compare.from_date, chpg_compare.to_date) AS period) p
	CROSS JOIN LATERAL @extschema@.chpg_compare(@extschema@._chpg_period_before(p.period, NULL::interval), p.period,
		chpg_compare.service, chpg_compare.server) r;
END;

COMMENT ON FUNCTION @extschema@.chpg_compare(timestamptz, timestamptz, text, text) IS
'What changed between two times, compared with the same period a day ago.
Or as long ago as a longer period needs.
to_date: null is now.
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_compare(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT * FROM @extschema@.chpg_compare(chpg_compare.from_date,
		@extschema@._chpg_end_of_text(chpg_compare.to_date),
		chpg_compare.service, NULL::text);
END;

COMMENT ON FUNCTION @extschema@.chpg_compare(timestamptz, text, text) IS
'The same of a time and a text: chpg_compare(now() - interval ''2 hours'', ''now'').
Requests: those of the form with a range.
Errors: 22023 the text is no time.';

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
	SELECT @extschema@.chpg_report(@extschema@._chpg_report_last(@extschema@._chpg_last(chpg_report.period, 'period'),
			chpg_report.service, chpg_report.server), chpg_report.service,
		chpg_report.baseline, chpg_report.server, chpg_report.hide_texts, chpg_report.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report(interval, text, tstzrange, text, boolean, boolean) IS
'The report of a period until the last captured hour: chpg_report(interval ''1 day'').
It ends now if that hour was hours ago.
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report(
	period text,
	to_date text DEFAULT NULL,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report(CASE WHEN @extschema@._chpg_period_kind(chpg_report.period) = 'period'
			THEN @extschema@._chpg_report_last(p.period, p.service, chpg_report.server) ELSE p.period END, p.service,
		chpg_report.baseline, chpg_report.server, chpg_report.hide_texts, chpg_report.history_only)
	FROM (
		SELECT @extschema@._chpg_period_of_texts(chpg_report.period, chpg_report.to_date, chpg_report.service) AS period,
			@extschema@._chpg_service_of_texts(chpg_report.to_date, chpg_report.service) AS service
	) p;
END;

COMMENT ON FUNCTION @extschema@.chpg_report(text, text, text, tstzrange, text, boolean, boolean) IS
'The report of a period, by texts: an interval, a range, or two times.
An interval ends with the last captured hour.
After an interval or a range, the second text is the service: chpg_report(''1 day'', ''orders'').
Requests: those of the form with a range.
Errors: 22023 the texts say no period; those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report(@extschema@._chpg_between(chpg_report.from_date, chpg_report.to_date),
		chpg_report.service, chpg_report.baseline, chpg_report.server, chpg_report.hide_texts,
		chpg_report.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report(timestamptz, timestamptz, text, tstzrange, text, boolean, boolean) IS
'The report of the time between two times: chpg_report(now() - interval ''2 days'', now()).
to_date: null is now.
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report(chpg_report.from_date,
		@extschema@._chpg_end_of_text(chpg_report.to_date),
		chpg_report.service, NULL::tstzrange, NULL::text, false, true);
END;

COMMENT ON FUNCTION @extschema@.chpg_report(timestamptz, text, text) IS
'The same of a time and a text: chpg_report(now() - interval ''2 hours'', ''now'').
Requests: those of the form with a range.
Errors: 22023 the text is no time.';

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
	SELECT @extschema@.chpg_report_text(@extschema@._chpg_report_last(
			@extschema@._chpg_last(chpg_report_text.period, 'period'), chpg_report_text.service, chpg_report_text.server),
		chpg_report_text.service, chpg_report_text.baseline, chpg_report_text.server, chpg_report_text.hide_texts,
		chpg_report_text.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report_text(interval, text, tstzrange, text, boolean, boolean) IS
'The report, as text, of a period until the last captured hour.
It ends now if that hour was hours ago.
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report_text(
	period text,
	to_date text DEFAULT NULL,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report_text(CASE WHEN @extschema@._chpg_period_kind(chpg_report_text.period) = 'period'
			THEN @extschema@._chpg_report_last(p.period, p.service, chpg_report_text.server) ELSE p.period END, p.service,
		chpg_report_text.baseline, chpg_report_text.server, chpg_report_text.hide_texts,
		chpg_report_text.history_only)
	FROM (
		SELECT @extschema@._chpg_period_of_texts(chpg_report_text.period, chpg_report_text.to_date,
				chpg_report_text.service) AS period,
			@extschema@._chpg_service_of_texts(chpg_report_text.to_date, chpg_report_text.service) AS service
	) p;
END;

COMMENT ON FUNCTION @extschema@.chpg_report_text(text, text, text, tstzrange, text, boolean, boolean) IS
'The report, as text, of a period, by texts: an interval, a range, or two times.
An interval ends with the last captured hour.
After an interval or a range, the second text is the service:
  chpg_report_text(''1 day'', ''orders'').
Requests: those of the form with a range.
Errors: 22023 the texts say no period; those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report_text(
	from_date timestamptz,
	to_date timestamptz DEFAULT now(),
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report_text(@extschema@._chpg_between(chpg_report_text.from_date, chpg_report_text.to_date),
		chpg_report_text.service, chpg_report_text.baseline, chpg_report_text.server, chpg_report_text.hide_texts,
		chpg_report_text.history_only);
END;

COMMENT ON FUNCTION @extschema@.chpg_report_text(timestamptz, timestamptz, text, tstzrange, text, boolean, boolean) IS
'The report, as text, of the time between two times.
to_date: null is now.
Requests: those of the form with a range.';

CREATE FUNCTION @extschema@.chpg_report_text(
	from_date timestamptz,
	to_date text,
	service text DEFAULT NULL)
RETURNS text
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT @extschema@.chpg_report_text(chpg_report_text.from_date,
		@extschema@._chpg_end_of_text(chpg_report_text.to_date),
		chpg_report_text.service, NULL::tstzrange, NULL::text, false, true);
END;

COMMENT ON FUNCTION @extschema@.chpg_report_text(timestamptz, text, text) IS
'The same of a time and a text: chpg_report_text(now() - interval ''2 hours'', ''now'').
Requests: those of the form with a range.
Errors: 22023 the text is no time.';
