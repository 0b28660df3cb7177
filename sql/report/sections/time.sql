/* Report: Where does the time go? */

CREATE FUNCTION @extschema@._chpg_page_pattern(f @extschema@._chpg_page_frame, p @extschema@._chpg_report_pattern)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('tr', ARRAY['id', p.link],
		@extschema@._chpg_page_cell('query', 'Query', @extschema@._chpg_page_query(m.query_text, m.query_hex, m.db_name,
			m.db_user, m.app)),
		CASE WHEN f.is_fleet THEN @extschema@._chpg_page_cell(NULL::text, 'Service', @extschema@._chpg_page_link(
			@extschema@._chpg_report_service_link(m.service_id), p.service_name)) END,
		@extschema@._chpg_page_used('Share of time', p.time_percent, NULL::float8, NULL::text),
		@extschema@._chpg_page_number('Executions', @extschema@._chpg_count_text(m.call_count::float8)),
		@extschema@._chpg_page_number('Mean', @extschema@._chpg_duration_text(m.avg_duration_us)),
		@extschema@._chpg_page_number('99 % took about', @extschema@._chpg_duration_text(m.p99_est_us)),
		CASE WHEN f.has_history THEN @extschema@._chpg_page_cell('course', 'Load',
			@extschema@._chpg_report_sparkline('Load', f.start, f.step, p.loads, NULL::float8[], NULL::float8[],
				'{}'::@extschema@._chpg_report_mark[])) END,
		CASE WHEN f.is_compared THEN CASE
			WHEN p.baseline_load IS NULL THEN @extschema@._chpg_page_number('Load, as before', 'new')
			ELSE @extschema@._chpg_page_factor('Load, as before', p.baseline_load, p.load) END END)
	FROM (SELECT (p.pattern).*) m;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_pattern(@extschema@._chpg_page_frame,
	@extschema@._chpg_report_pattern) IS 'A row of the queries with most time.';

CREATE FUNCTION @extschema@._chpg_page_time_section(r @extschema@._chpg_report, f @extschema@._chpg_page_frame)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_section('time', 'Where does the time go?',
		@extschema@._chpg_text_tag('p.lead', CASE WHEN cardinality(r.patterns) = 0
				THEN 'That is not known: there are no queries to show.'
			ELSE format('Into %s queries; the %s with most time take %s of it.',
				@extschema@._chpg_count_text(r.pattern_count::float8),
				l.count, @extschema@._chpg_percent_text(l.percent)) END),
		CASE WHEN cardinality(r.services) > 1 AND r.has_history THEN @extschema@._chpg_report_stack('Load by service',
			'active executions', f.start, f.step, r.load_of_services, r.marks) END,
		CASE WHEN r.has_history AND cardinality(r.patterns) > 0 THEN @extschema@._chpg_report_stack('Load by query',
			'active executions', f.start, f.step, r.load_of_patterns, r.marks) END,
		CASE WHEN l.count > 0 THEN @extschema@._chpg_page_table('patterns', 'Queries with most time',
			array_remove(ARRAY['Query', CASE WHEN f.is_fleet THEN 'Service' END, '#Share of time', '#Executions', '#Mean',
				'#99 % took about', CASE WHEN r.has_history THEN 'Load' END,
				CASE WHEN r.baseline IS NOT NULL THEN '#Load, as before' END], NULL), l.rows) END,
		CASE WHEN r.has_history THEN @extschema@._chpg_page_more(r.pattern_count - l.count,
			format('SELECT * FROM @extschema@.chpg_history_top(%s, %s, 1000);', @extschema@._chpg_range_literal(r.period),
				coalesce(quote_literal(CASE WHEN r.service IS NOT NULL THEN r.service_ids[1] END), 'NULL'))) END)
	FROM (
		SELECT count(*) AS count, sum(p.time_percent) AS percent,
			array_agg(@extschema@._chpg_page_pattern(f, p)) AS rows
		FROM unnest(r.patterns) p
		WHERE p.is_listed
	) l;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_time_section(@extschema@._chpg_report, @extschema@._chpg_page_frame) IS
'The section of load over time, and of the queries with most time.';
