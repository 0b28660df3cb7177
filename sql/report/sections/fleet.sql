/* Report: How is the fleet? */

CREATE FUNCTION @extschema@._chpg_page_used(column_name text, percent double precision, warn double precision,
	note text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_cell('number', column_name, CASE WHEN percent >= 0 AND percent < 1e6 THEN
			@extschema@._chpg_join(ARRAY[@extschema@._chpg_text(@extschema@._chpg_percent_text(percent)),
				@extschema@._chpg_report_bar(NULL, percent, warn)]) ELSE @extschema@._chpg_sign('dash') END,
		CASE WHEN note IS NOT NULL THEN @extschema@._chpg_text_tag('span.below', note) END);
END;

COMMENT ON FUNCTION @extschema@._chpg_page_used(text, double precision, double precision, text) IS
'A cell of how much of something is in use, in percent, with a note below.';

CREATE FUNCTION @extschema@._chpg_page_service(f @extschema@._chpg_page_frame, s @extschema@._chpg_report_service)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('tr', ARRAY['id', s.link],
		@extschema@._chpg_tag_with('th', ARRAY['scope', 'row', 'data-label', 'Service'],
			@extschema@._chpg_text_tag('span.name', s.service_name),
			CASE WHEN s.incidents > 0 THEN @extschema@._chpg_join(ARRAY[@extschema@._chpg_text(' '),
				@extschema@._chpg_page_badge(s.level)]) END,
			CASE WHEN s.size IS NOT NULL THEN @extschema@._chpg_text_tag('span.below', s.size) END),
		@extschema@._chpg_page_cell('number', 'Load',
			CASE WHEN s.load IS NULL THEN @extschema@._chpg_sign('dash')
				ELSE @extschema@._chpg_text(@extschema@._chpg_load_text(s.load)) END,
			CASE WHEN s.baseline_load IS NOT NULL THEN @extschema@._chpg_text_tag('span.below',
				'before ' || @extschema@._chpg_load_text(s.baseline_load)) END),
		CASE WHEN f.has_history THEN @extschema@._chpg_page_cell('course', 'Course',
			@extschema@._chpg_report_sparkline('Load of '::text || s.service_name, f.start, f.step, s.loads, s.low, s.high,
				'{}'::@extschema@._chpg_report_mark[])) END,
		@extschema@._chpg_page_number('Executions', @extschema@._chpg_rate_text(s.calls_per_s)),
		@extschema@._chpg_page_number('Errors', @extschema@._chpg_percent_text(s.error_percent)),
		CASE WHEN f.has_history THEN @extschema@._chpg_page_number('95 % took at most',
			@extschema@._chpg_duration_text(s.p95_us)) END,
		CASE WHEN f.has_history THEN @extschema@._chpg_page_used('CPU', s.cpu_percent, 80::float8, NULL::text) END,
		@extschema@._chpg_page_used('Memory', s.memory_percent, 90::float8, NULL::text),
		@extschema@._chpg_page_used('Storage', s.storage_percent, 85::float8,
			'full on ' || @extschema@._chpg_day_text(s.storage_full_at)),
		@extschema@._chpg_page_cell('number', 'Connections',
			CASE WHEN s.connections IS NULL THEN @extschema@._chpg_sign('dash')
				ELSE @extschema@._chpg_text(@extschema@._chpg_count_text(s.connections)) END,
			CASE WHEN s.max_connections > 0 THEN @extschema@._chpg_text_tag('span.below', 'of ' || s.max_connections) END));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_service(@extschema@._chpg_page_frame, @extschema@._chpg_report_service) IS
'A row of the services.';

CREATE FUNCTION @extschema@._chpg_page_fleet(r @extschema@._chpg_report, f @extschema@._chpg_page_frame)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_section('fleet', CASE WHEN f.is_fleet THEN 'How is the fleet?'
			ELSE 'How is the service?' END,
		CASE WHEN cardinality(r.services) = 0
			THEN @extschema@._chpg_text_tag('p.lead', 'That is not known: there is no service to show.')
			ELSE @extschema@._chpg_join(ARRAY[
				@extschema@._chpg_text_tag('p.lead', concat_ws(' ', CASE WHEN f.is_fleet
					THEN 'Those that need most come first.' END,
					'Load is the number of executions that are active at a time.', CASE WHEN r.has_history
					THEN 'CPU, memory, storage and connections are those of the latest hour.' END)),
				@extschema@._chpg_page_table('services', 'Services', CASE WHEN r.has_history
					THEN '{Service,#Load,Course,#Executions,#Errors,#95 % took at most,#CPU,#Memory,#Storage,#Connections}'::text[]
					ELSE '{Service,#Load,#Executions,#Errors,#Memory,#Storage,#Connections}'::text[] END,
					ARRAY(SELECT @extschema@._chpg_page_service(f, s) FROM unnest(r.services) s))]) END);
END;

COMMENT ON FUNCTION @extschema@._chpg_page_fleet(@extschema@._chpg_report,
	@extschema@._chpg_page_frame) IS 'The section of services.';
