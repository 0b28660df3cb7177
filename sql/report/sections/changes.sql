/* Report: What changed? */

CREATE FUNCTION @extschema@._chpg_page_change(r @extschema@._chpg_page_frame, c @extschema@._chpg_report_change)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('tr', ARRAY['id', c.link],
		@extschema@._chpg_page_cell('query', 'Query', CASE
			WHEN c.pattern_link IS NOT NULL THEN
				@extschema@._chpg_tag_with('a', ARRAY['href', '#' || c.pattern_link], @extschema@._chpg_text_tag('code',
					@extschema@._chpg_line_text(m.query_text, 110)))
			ELSE @extschema@._chpg_page_query(m.query_text, m.query_hex, m.db_name, m.db_user, m.app) END),
		CASE WHEN r.is_fleet THEN @extschema@._chpg_page_cell(NULL::text, 'Service', @extschema@._chpg_page_link(
			@extschema@._chpg_report_service_link(m.service_id), c.service_name)) END,
		@extschema@._chpg_page_cell(NULL::text, 'Change', @extschema@._chpg_text(
			CASE m.change WHEN 'regressed' THEN 'slower' WHEN 'improved' THEN 'faster' WHEN 'surged' THEN 'more often'
				WHEN 'new?' THEN 'probably new' WHEN 'gone?' THEN 'probably gone' ELSE m.change END)),
		@extschema@._chpg_page_number('Before', CASE WHEN m.change = 'surged'
			THEN @extschema@._chpg_rate_text(m.baseline_calls_per_s)
			ELSE @extschema@._chpg_duration_text(m.baseline_avg_duration_us) END),
		@extschema@._chpg_page_number('Now', CASE WHEN m.change = 'surged' THEN @extschema@._chpg_rate_text(m.calls_per_s)
			ELSE @extschema@._chpg_duration_text(m.avg_duration_us) END),
		CASE WHEN m.change = 'surged' THEN @extschema@._chpg_page_factor('Factor', m.baseline_calls_per_s, m.calls_per_s)
			ELSE @extschema@._chpg_page_factor('Factor', m.baseline_avg_duration_us, m.avg_duration_us) END,
		@extschema@._chpg_page_cell(NULL::text, CASE WHEN m.change ^@ 'gone' THEN 'Until' ELSE 'Since' END,
			coalesce(@extschema@._chpg_page_time(c.since), @extschema@._chpg_sign('dash'))),
		@extschema@._chpg_page_cell('course', 'Mean time', @extschema@._chpg_report_sparkline(
			'Mean time of an execution', r.start, r.step, c.avgs, c.low, c.high,
			'{}'::@extschema@._chpg_report_mark[])),
		@extschema@._chpg_page_cell(NULL::text, 'Why', @extschema@._chpg_text(concat_ws(', ', m.cause,
			CASE WHEN abs(m.excess_us) > 0 AND m.change IN ('regressed', 'improved') THEN format('%s %s',
				@extschema@._chpg_duration_text(abs(m.excess_us)),
				CASE WHEN m.excess_us > 0 THEN 'lost' ELSE 'gained' END) END,
			CASE m.confidence WHEN 'low' THEN 'not sure' END))))
	FROM (SELECT (c.change).*) m;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_change(@extschema@._chpg_page_frame, @extschema@._chpg_report_change) IS
'A row of the queries that changed.';

CREATE FUNCTION @extschema@._chpg_page_change_table(r @extschema@._chpg_report, f @extschema@._chpg_page_frame,
	caption text, kinds text[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE WHEN count(*) > 0 THEN @extschema@._chpg_join(ARRAY[
		@extschema@._chpg_page_table('changes', caption, array_replace(CASE WHEN f.is_fleet
				THEN '{Query,Service,Change,#Before,#Now,#Factor,Since,Mean time,Why}'::text[]
				ELSE '{Query,Change,#Before,#Now,#Factor,Since,Mean time,Why}' END, 'Since',
				CASE WHEN 'gone' = ANY (kinds) THEN 'Since or until' ELSE 'Since' END),
			array_agg(@extschema@._chpg_page_change(f, n.item) ORDER BY n.rank) FILTER (WHERE n.rank <= 12)),
		@extschema@._chpg_page_more(count(*) - 12, format('SELECT * FROM @extschema@.chpg_compare(%s, %s);',
			@extschema@._chpg_range_literal(r.baseline), @extschema@._chpg_range_literal(r.period)))]) END
	FROM (
		SELECT c AS item, row_number() OVER () AS rank
		FROM unnest(r.changes) c
		WHERE (c.change).change = ANY (kinds)
	) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_change_table(@extschema@._chpg_report, @extschema@._chpg_page_frame, text,
	text[]) IS
'A table of the queries that changed in some ways; null: there are none.';

CREATE FUNCTION @extschema@._chpg_page_changes(r @extschema@._chpg_report, f @extschema@._chpg_page_frame)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_section('changes', 'What changed?',
		@extschema@._chpg_text_tag('p.lead', CASE
			WHEN r.baseline IS NULL THEN 'That is not known: there is nothing to compare with.'
			WHEN cardinality(r.changes) = 0 THEN format(
				'Over the period as a whole, no query is much slower or faster than from %s.',
				@extschema@._chpg_page_range(r.baseline))
			ELSE format('Compared with the time from %s. The band in a chart is where most hours of that time were.',
				@extschema@._chpg_page_range(r.baseline)) END),
		CASE WHEN r.renamed > 0 THEN @extschema@._chpg_text_tag('p', CASE r.renamed
			WHEN 1 THEN '1 query has a new id, since an application writes it otherwise. It is compared with what it '
				'replaces, and not shown if its time is as before.'
			ELSE format('%s queries have a new id, since an application writes them otherwise. They are compared with what '
				'they replace, and not shown if their time is as before.', r.renamed) END) END,
		@extschema@._chpg_page_change_table(r, f, 'Worse', '{regressed,surged}'::text[]),
		@extschema@._chpg_page_change_table(r, f, 'Better', '{improved}'::text[]),
		@extschema@._chpg_page_change_table(r, f, 'Came and went', '{new,new?,gone,gone?}'::text[]),
		(SELECT @extschema@._chpg_join(ARRAY[@extschema@._chpg_text_tag('h3', 'What happened to services'),
			@extschema@._chpg_tag('ul', VARIADIC array_agg(@extschema@._chpg_tag('li',
				@extschema@._chpg_page_time(m.at), @extschema@._chpg_text(' ' || m.label)) ORDER BY m.at, m.label))])
		FROM unnest(r.marks) m
		HAVING count(*) > 0));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_changes(@extschema@._chpg_report, @extschema@._chpg_page_frame) IS
'The section of what changed since the baseline.';
