/* Report: How sure is this? */

CREATE FUNCTION @extschema@._chpg_page_coverage(c @extschema@._chpg_report_coverage)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag('tr',
		@extschema@._chpg_tag_with('th', ARRAY['scope', 'row', 'data-label', 'Service'],
			@extschema@._chpg_text_tag('span.name', c.service_name)),
		@extschema@._chpg_page_number('Captured', format('%s of %s h', c.captured, c.hours)),
		@extschema@._chpg_page_number('Truncated', c.truncated || ' h'),
		@extschema@._chpg_page_number('Failed', c.failed || ' h'),
		@extschema@._chpg_page_cell('course', 'Course', @extschema@._chpg_report_strip(
			'Captured hours of '::text || c.service_name, c.states)),
		@extschema@._chpg_page_cell(NULL::text, 'Last error', CASE WHEN c.error IS NULL
			THEN @extschema@._chpg_sign('dash') ELSE @extschema@._chpg_text(c.error) END));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_coverage(@extschema@._chpg_report_coverage) IS
'A row of what the history has of services.';

CREATE FUNCTION @extschema@._chpg_page_sure(r @extschema@._chpg_report)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_section('sure', 'How sure is this?',
		@extschema@._chpg_tag('ul',
			CASE WHEN c.hours > 0 THEN @extschema@._chpg_text_tag('li', format('The history has %s of %s%s.',
				CASE WHEN c.captured < c.hours THEN format('%s of %s hours', @extschema@._chpg_count_text(c.captured),
					@extschema@._chpg_count_text(c.hours)) ELSE format('all %s hours', @extschema@._chpg_count_text(c.hours)) END,
				CASE c.services WHEN 1 THEN '1 service' ELSE c.services || ' services' END,
				CASE WHEN c.captured < c.hours THEN ', ' || @extschema@._chpg_percent_text(100 * c.captured / c.hours)
					ELSE '' END)) END,
			CASE WHEN c.truncated > 0 THEN @extschema@._chpg_text_tag('li', format('In %s of these hours there were more '
				'queries than a capture reads: what takes least time is missing there.', c.truncated)) END,
			CASE WHEN c.failed > 0 THEN @extschema@._chpg_text_tag('li', format('%s could not be captured.',
				CASE c.failed WHEN 1 THEN '1 hour' ELSE c.failed || ' hours' END)) END,
			CASE WHEN r.judged_at IS NOT NULL THEN @extschema@._chpg_text_tag('li', format(CASE WHEN r.from_log
				THEN 'Findings are those of the log, as of %s.' ELSE 'Findings are about the 24 hours until %s; there is no log of '
					'them, which the setting watch of the history would keep.' END, @extschema@._chpg_time_text(r.judged_at))) END,
			CASE WHEN r.skipped IS NULL THEN
				@extschema@._chpg_text_tag('li', @extschema@._chpg_report_unjudged_text(r.skipped) || '.') END,
			CASE WHEN r.muted > 0 THEN @extschema@._chpg_text_tag('li', format('%s muted %s not shown.', r.muted,
				CASE r.muted WHEN 1 THEN 'finding is' ELSE 'findings are' END)) END,
			CASE WHEN r.has_history THEN @extschema@._chpg_text_tag('li', 'Percentiles of several hours are estimates: '
				'they cannot be added. "At most" is a bound.') END,
			@extschema@._chpg_text_tag('li', CASE r.requests WHEN 0 THEN 'No request was sent for this report.'
				ELSE format('%s requests were sent for this report.', r.requests) END),
			CASE WHEN r.hide_texts THEN @extschema@._chpg_text_tag('li', 'Texts, databases, users and applications are '
				'pseudonyms, and what rules say of them is left out.') END),
		(SELECT @extschema@._chpg_tag('details',
			@extschema@._chpg_text_tag('summary', @extschema@._chpg_report_unjudged_text(r.skipped)),
			@extschema@._chpg_tag('ul', VARIADIC array_agg(@extschema@._chpg_text_tag('li', s.line) ORDER BY s.place)))
		FROM unnest(@extschema@._chpg_report_skipped_lines(r.skipped)) WITH ORDINALITY s(line, place)
		WHERE s.place <= 60
		HAVING count(*) > 0),
		CASE WHEN cardinality(r.coverage) > 0 THEN @extschema@._chpg_tag('details',
			@extschema@._chpg_text_tag('summary', 'What the history has of each service'),
			@extschema@._chpg_page_table('coverage', 'Captured hours',
				'{Service,#Captured,#Truncated,#Failed,Course,Last error}'::text[],
				ARRAY(SELECT @extschema@._chpg_page_coverage(c) FROM unnest(r.coverage) c))) END)
	FROM (
		SELECT count(*) AS services, sum(u.hours)::float8 AS hours, sum(u.captured)::float8 AS captured,
			sum(u.truncated) AS truncated, sum(u.failed) AS failed
		FROM unnest(r.coverage) u
	) c;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_sure(@extschema@._chpg_report) IS
'The section of what the report is based on, and what it lacks.';
