/* Report: Is anything wrong now? */

CREATE FUNCTION @extschema@._chpg_page_happened(evidence jsonb)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT nullif(concat_ws('; ', (
			SELECT string_agg(format('%s %s, before %s', replace(c.what, '_', ' '), c.value->>'after', c.value->>'before'), '; '
				ORDER BY c.what)
			FROM jsonb_each(CASE jsonb_typeof(h.happened) WHEN 'object' THEN h.happened ELSE '{}' END) c(what, value)
			WHERE jsonb_typeof(c.value) = 'object'),
		(h.happened->>'new_queries') || ' new queries',
		'new applications: ' || (SELECT string_agg(a, ', ')
			FROM jsonb_array_elements_text(CASE jsonb_typeof(h.happened->'new_apps') WHEN 'array' THEN h.happened->'new_apps'
				ELSE '[]' END) a)), '')
	FROM (SELECT evidence->'at_that_time' AS happened) h;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_happened(jsonb) IS
'What else happened when an incident began, from its evidence; null: nothing that is known.';

CREATE FUNCTION @extschema@._chpg_page_fact(name text, content @extschema@._chpg_markup)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN content::text <> '' THEN @extschema@._chpg_tag('div',
		@extschema@._chpg_text_tag('dt', name), @extschema@._chpg_tag('dd', content)) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_fact(text, @extschema@._chpg_markup) IS
'A line of a list of facts; without content, nothing.';

CREATE FUNCTION @extschema@._chpg_page_members(evidence jsonb)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE WHEN count(*) > 0 THEN @extschema@._chpg_tag('details',
		@extschema@._chpg_text_tag('summary', format('%s that began with it',
			coalesce(evidence->>'member_count', count(*)::text))),
		@extschema@._chpg_tag('ul', VARIADIC array_agg(@extschema@._chpg_tag('li',
			@extschema@._chpg_text(concat_ws(': ', m.value->>'title', m.value->>'subject', m.value->>'symptom')))
			ORDER BY m.place))) END
	FROM jsonb_array_elements(CASE jsonb_typeof(evidence->'members') WHEN 'array' THEN evidence->'members' ELSE '[]' END)
		WITH ORDINALITY m(value, place);
END;

COMMENT ON FUNCTION @extschema@._chpg_page_members(jsonb) IS 'The other findings of an incident, folded; null: none.';

CREATE FUNCTION @extschema@._chpg_page_incident(f @extschema@.chpg_finding_row, now_at timestamptz, with_text boolean,
	is_open boolean)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with(CASE WHEN is_open THEN 'article' ELSE 'details' END, ARRAY['id', 'finding-'
			|| left(md5(f.finding_key), 12), 'class', 'incident ' || lower(f.level)],
		@extschema@._chpg_tag(CASE WHEN is_open THEN 'h3' ELSE 'summary' END, @extschema@._chpg_page_badge(f.level),
			@extschema@._chpg_text(' ' || coalesce(@extschema@._chpg_plain_text(f.service_name) || ': ', '') || f.title)),
		@extschema@._chpg_text_tag('p', f.symptom),
		@extschema@._chpg_tag('dl',
			@extschema@._chpg_page_fact('Since', CASE WHEN f.since IS NOT NULL THEN @extschema@._chpg_join(ARRAY[
				@extschema@._chpg_page_time(f.since), @extschema@._chpg_text(' (' || @extschema@._chpg_age_text(now_at - f.since)
				|| CASE f.state WHEN 'new' THEN ', new' WHEN 'worse' THEN ', getting worse' ELSE '' END || ')')]) END),
			@extschema@._chpg_page_fact('What', @extschema@._chpg_text(CASE WHEN NOT coalesce(f.evidence ? 'query_text', false)
				AND f.subject IS DISTINCT FROM f.service_name AND f.subject IS DISTINCT FROM f.service_id THEN f.subject END)),
			@extschema@._chpg_page_fact('Cause', @extschema@._chpg_text(f.explanation)),
			@extschema@._chpg_page_fact('At that time', @extschema@._chpg_text(@extschema@._chpg_page_happened(f.evidence))),
			@extschema@._chpg_page_fact('First step', @extschema@._chpg_text(f.action)),
			@extschema@._chpg_page_fact('Full',
				@extschema@._chpg_page_time(@extschema@._chpg_evidence_time(f.evidence, 'full_at')))),
		CASE WHEN with_text AND f.evidence->>'query_text' IS NOT NULL
			THEN @extschema@._chpg_page_query(f.evidence->>'query_text',
			@extschema@.chpg_query_hex(@extschema@._chpg_evidence_query_id(f.evidence)),
			f.evidence->>'db_name', f.evidence->>'db_user', f.evidence->>'app') END,
		@extschema@._chpg_page_members(f.evidence),
		CASE WHEN f.next IS NOT NULL THEN @extschema@._chpg_tag('details',
			@extschema@._chpg_text_tag('summary', 'Statement that shows more'),
			@extschema@._chpg_page_code(f.next || ';')) END);
END;

COMMENT ON FUNCTION @extschema@._chpg_page_incident(@extschema@.chpg_finding_row, timestamptz, boolean, boolean) IS
'A finding as an article. with_text: with the text of its query. is_open: not folded.';

CREATE FUNCTION @extschema@._chpg_page_wrong(r @extschema@._chpg_report)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_section('wrong', 'Is anything wrong now?',
		@extschema@._chpg_text_tag('p.lead', CASE
			WHEN r.is_bad THEN format('Yes. As of %s:', @extschema@._chpg_time_text(r.judged_at))
			WHEN r.not_known IS NOT NULL THEN format('Not known: %s.', r.not_known)
			WHEN r.is_bad IS NULL THEN @extschema@._chpg_report_doubt(r.skipped)
			WHEN cardinality(r.incidents) = 0 THEN 'No. No rule finds anything.'
			ELSE 'No. This is worth knowing:' END),
		(SELECT @extschema@._chpg_join(array_agg(@extschema@._chpg_page_incident(n.item, upper(r.period), n.place <= 20,
			n.place <= 6 OR cardinality(r.incidents) <= 9 AND (n.item).level <> 'INFO') ORDER BY n.place))
		FROM (SELECT i AS item, row_number() OVER () AS place FROM unnest(r.incidents[:40]) i) n),
		@extschema@._chpg_page_more((cardinality(r.incidents) - 40)::bigint, 'SELECT * FROM @extschema@.chpg_findings('
			|| @extschema@._chpg_range_literal(tstzrange(upper(r.period) - interval '24 hours', upper(r.period)))
			|| ', history_only => true);'),
		(SELECT @extschema@._chpg_tag('details',
			@extschema@._chpg_text_tag('summary', format('%s %s resolved in this period', count(*),
				CASE WHEN count(*) = 1 THEN 'incident was' ELSE 'incidents were' END)),
			@extschema@._chpg_page_table(NULL::text, 'Resolved incidents', '{Incident,Service,Since,Until}'::text[],
				array_agg(@extschema@._chpg_tag('tr',
					@extschema@._chpg_page_cell(NULL::text, 'Incident', @extschema@._chpg_page_badge(f.level),
						@extschema@._chpg_text(' ' || concat_ws(': ', f.title, CASE WHEN f.subject <> f.service_name
							THEN f.subject END))),
					@extschema@._chpg_page_cell(NULL::text, 'Service', @extschema@._chpg_text(f.service_name)),
					@extschema@._chpg_page_cell(NULL::text, 'Since', @extschema@._chpg_page_time(f.since)),
					@extschema@._chpg_page_cell(NULL::text, 'Until',
						@extschema@._chpg_page_time(
							@extschema@._chpg_evidence_time(f.evidence, 'ended_at'))))
				ORDER BY f.ordinality)))
		FROM ROWS FROM (unnest(r.resolved)) WITH ORDINALITY f
		HAVING count(*) > 0));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_wrong(@extschema@._chpg_report) IS
'The section of incidents: now, and those that were resolved.';
