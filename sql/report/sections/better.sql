/* Report: What could be better? */

CREATE FUNCTION @extschema@._chpg_page_opportunity(b @extschema@._chpg_page_frame, f @extschema@.chpg_finding_row,
	place bigint, is_explained boolean)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('tr', ARRAY['id', 'finding-' || left(md5(f.finding_key), 12)],
		@extschema@._chpg_page_cell('query', 'What',
			@extschema@._chpg_text_tag('span.title', f.title),
			@extschema@._chpg_text_tag('p', f.symptom),
			CASE WHEN f.evidence->>'query_text' IS NOT NULL AND place <= 16 THEN @extschema@._chpg_page_query(
				f.evidence->>'query_text', @extschema@.chpg_query_hex(@extschema@._chpg_evidence_query_id(f.evidence)),
				f.evidence->>'db_name', f.evidence->>'db_user', f.evidence->>'app')
			WHEN f.subject <> f.service_name THEN @extschema@._chpg_text_tag('code', f.subject) END),
		CASE WHEN b.is_fleet THEN @extschema@._chpg_page_cell(NULL::text, 'Service', @extschema@._chpg_page_link(
			@extschema@._chpg_report_service_link(f.service_id),
			@extschema@._chpg_plain_text(coalesce(f.service_name, f.service_id, 'fleet')))) END,
		@extschema@._chpg_page_number('Time', @extschema@._chpg_duration_text(f.impact_us)),
		@extschema@._chpg_page_cell(NULL::text, 'Advice', @extschema@._chpg_text(f.action),
			CASE WHEN is_explained THEN @extschema@._chpg_text_tag('p.of', f.explanation) END));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_opportunity(@extschema@._chpg_page_frame, @extschema@.chpg_finding_row,
	bigint, boolean) IS
'A row of what could be better. is_explained: with the cause, which no row above has.';

CREATE FUNCTION @extschema@._chpg_page_better(r @extschema@._chpg_report, b @extschema@._chpg_page_frame)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_section('better', 'What could be better?',
		@extschema@._chpg_text_tag('p.lead', CASE
			WHEN r.not_known IS NOT NULL THEN 'That is not known, either.'
			WHEN cardinality(r.opportunities) = 0 AND cardinality(r.skipped) > 0
				THEN 'No rule that could judge finds anything that could be.'
			WHEN cardinality(r.opportunities) = 0 THEN 'No rule finds anything that could be.'
			ELSE 'What takes most time comes first. The time is that of the last day which it concerns.' END),
		CASE WHEN cardinality(r.opportunities) > 0 THEN @extschema@._chpg_page_table('better', 'Opportunities',
			CASE WHEN b.is_fleet THEN '{What,Service,#Time,Advice}'::text[] ELSE '{What,#Time,Advice}'::text[] END,
			ARRAY(SELECT @extschema@._chpg_page_opportunity(b, o.item, o.place, (o.item).explanation IS NOT NULL
					AND row_number() OVER (PARTITION BY (o.item).explanation ORDER BY o.place) = 1)
				FROM (SELECT u AS item, row_number() OVER () AS place FROM unnest(r.opportunities[:30]) u) o
				ORDER BY o.place)) END,
		@extschema@._chpg_page_more((cardinality(r.opportunities) - 30)::bigint, 'SELECT * FROM @extschema@.chpg_findings('
			|| @extschema@._chpg_range_literal(tstzrange(upper(r.period) - interval '24 hours', upper(r.period)))
			|| ', history_only => true);'));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_better(@extschema@._chpg_report,
	@extschema@._chpg_page_frame) IS 'The section of opportunities.';
