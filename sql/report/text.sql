/*
 * Report: as plain text, for mail and chat.
 *
 * Lines have at most 100 characters.  The first one is the verdict's first sentence.
 */

/* A word that is longer than a line is cut into pieces.  A number stays with its unit. */
CREATE FUNCTION @extschema@._chpg_report_wrapped(value text, width integer)
RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lines text[] := '{}';
	line text := '';
	word text;
BEGIN
	FOREACH word IN ARRAY regexp_split_to_array(regexp_replace(
			btrim(@extschema@._chpg_plain_text(coalesce(left(value, 4000), ''))),
			E'(\\d) (%|us|ms|s|min|h|d|B|kB|MB|GB|TB|M|G)(?!\\w)', E'\\1\x01\\2', 'g'), E'\\s+') LOOP
		IF line <> '' AND length(line) + 1 + length(word) > width THEN
			lines := lines || line;
			line := '';
		END IF;
		WHILE length(word) > width LOOP
			lines := lines || left(word, width);
			word := substr(word, width + 1);
		END LOOP;
		line := CASE WHEN line = '' THEN word ELSE line || ' ' || word END;
	END LOOP;
	RETURN ARRAY(SELECT replace(l.line, E'\x01', ' ')
		FROM unnest(CASE WHEN line <> '' THEN lines || line ELSE lines END) WITH ORDINALITY l(line, place) ORDER BY l.place);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_wrapped(text, integer) IS
'A text of at most 4000 characters in lines of at most width characters; none of an empty one.';

CREATE FUNCTION @extschema@._chpg_report_paragraph(head text, value text, indent integer)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(rpad(CASE w.place WHEN 1 THEN head ELSE '' END, indent) || w.line, E'\n' ORDER BY w.place)
	FROM unnest(@extschema@._chpg_report_wrapped(value, 100 - indent)) WITH ORDINALITY w(line, place)
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_paragraph(text, text, integer) IS
'Lines of a text that begin at a column, the first one after a head; null: the text is empty.';

/* What names and queries leave of a line, the one column that is cut gets. */
CREATE FUNCTION @extschema@._chpg_report_rows(cells text[], kinds text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH cell AS (
		SELECT (n - 1) / length(kinds) AS line, (n - 1) % length(kinds) + 1 AS place,
			@extschema@._chpg_line_text(coalesce(@extschema@._chpg_plain_text(v), '-'), 100) AS value
		FROM unnest(cells) WITH ORDINALITY u(v, n)
	), kind AS (
		SELECT c.place, substr(kinds, c.place::integer, 1) AS kind,
			least(max(length(c.value)), CASE WHEN substr(kinds, c.place::integer, 1) = 'n' THEN 24 ELSE 100 END) AS width
		FROM cell c
		GROUP BY c.place
	), sized AS (
		SELECT k.place, k.kind, CASE k.kind WHEN 't' THEN
			greatest(least(k.width, 98 - (SELECT sum(o.width + 2) FROM kind o WHERE o.kind <> 't')), 10)
			ELSE k.width END::integer AS width
		FROM kind k
	)
	SELECT string_agg(l.line, E'\n' ORDER BY l.number)
	FROM (
		SELECT c.line AS number, '  ' || rtrim(string_agg(CASE s.kind WHEN 'r' THEN lpad(c.value, s.width)
			ELSE rpad(@extschema@._chpg_line_text(c.value, s.width), s.width) END, '  ' ORDER BY c.place)) AS line
		FROM cell c
		JOIN sized s USING (place)
		GROUP BY c.line
	) l
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_rows(text[], text) IS
'Lines of a table, by its cells from left to right and top to bottom.
Null: there are none.
kinds: a letter for each column: l (left), r (right), n (a name, cut after 24 characters),
  or t (a text, cut where the line ends).';

CREATE FUNCTION @extschema@._chpg_report_text_section(title text, VARIADIC parts text[])
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT E'\n' || upper(title) || E'\n' || string_agg(p, E'\n' ORDER BY n)
	FROM unnest(parts) WITH ORDINALITY u(p, n)
	WHERE p IS NOT NULL
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_section(text, text[]) IS
'A section of the text, of its parts that are not null; null: it has none.';

CREATE FUNCTION @extschema@._chpg_report_more(count bigint, most integer, what text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN count > most THEN format('  ... and %s more %s.', count - most, what) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_more(bigint, integer, text) IS 'That a list goes on; null: it does not.';

CREATE FUNCTION @extschema@._chpg_report_text_finding(f @extschema@.chpg_finding_row, names boolean)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(E'\n',
		@extschema@._chpg_report_paragraph('  ' || coalesce((f).level, '-'), concat_ws(': ',
			CASE WHEN names THEN coalesce((f).service_name, (f).service_id, 'the fleet') END,
			(f).title || coalesce(', since ' || @extschema@._chpg_time_text((f).since), '')), 9),
		@extschema@._chpg_report_paragraph('', (f).symptom, 9),
		@extschema@._chpg_report_paragraph('', 'Query: ' || @extschema@._chpg_line_text(
			CASE WHEN (f).evidence ? 'query_id' THEN coalesce((f).evidence->>'query_text', (f).subject) END, 300), 9),
		@extschema@._chpg_report_paragraph('', (f).explanation, 9),
		@extschema@._chpg_report_paragraph('', 'First step: ' || (f).action, 9))
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_finding(@extschema@.chpg_finding_row, boolean) IS
'A finding, in some lines. names: with the name of its service.';

CREATE FUNCTION @extschema@._chpg_report_text_now(r @extschema@._chpg_report)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_report_text_section('Is anything wrong now?'::text,
		CASE WHEN cardinality((r).incidents) = 0 THEN
			@extschema@._chpg_report_paragraph('', CASE
				WHEN (r).not_known IS NOT NULL THEN format('Not known: %s.', (r).not_known)
				ELSE coalesce(@extschema@._chpg_report_doubt((r).skipped), 'No incident is open'
					|| coalesce(' at ' || @extschema@._chpg_time_text((r).judged_at), '') || '.') END, 2) END,
		(SELECT string_agg(@extschema@._chpg_report_text_finding((r).incidents[i], (r).service IS NULL), E'\n\n' ORDER BY i)
			FROM generate_series(1, least(cardinality((r).incidents), 10)) i),
		@extschema@._chpg_report_more(cardinality((r).incidents), 10, 'incidents and risks'::text),
		'  Resolved in this period:' || E'\n' || (
			SELECT @extschema@._chpg_report_rows(array_agg(v.cell ORDER BY i, v.place), 'llnt'::text)
			FROM generate_series(1, least(cardinality((r).resolved), 8)) i
			CROSS JOIN LATERAL (SELECT ((r).resolved[i]).*) f
			CROSS JOIN LATERAL (VALUES (1, @extschema@._chpg_time_text(f.since)),
				(2, 'to ' || @extschema@._chpg_time_text((f.evidence->>'ended_at')::timestamptz)),
				(3, f.service_name), (4, concat_ws(': ', f.title, f.subject))) v(place, cell)),
		@extschema@._chpg_report_more(cardinality((r).resolved), 8, 'resolved incidents'::text))
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_now(@extschema@._chpg_report) IS 'The incidents of a report as text.';

CREATE FUNCTION @extschema@._chpg_report_text_changes(r @extschema@._chpg_report)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_report_text_section('What changed?'::text,
		CASE WHEN cardinality((r).changes) = 0 AND (r).baseline IS NOT NULL THEN
			CASE WHEN (r).is_bad THEN '  Over the period as a whole, no query is much slower or faster.'
				ELSE '  No query got slower or faster, came or went.' END END,
		@extschema@._chpg_report_rows((
			SELECT '{change,service,before,now,time lost,since,query}'::text[] || array_agg(v.cell ORDER BY i, v.place)
			FROM generate_series(1, least(cardinality((r).changes), 12)) i
			CROSS JOIN LATERAL (SELECT ((r).changes[i]).*) m
			CROSS JOIN LATERAL (SELECT (m.change).*) d
			CROSS JOIN LATERAL (VALUES
				(1, CASE d.change WHEN 'regressed' THEN 'slower' WHEN 'improved' THEN 'faster' WHEN 'surged' THEN 'more often'
					ELSE d.change END),
				(2, m.service_name), (3, @extschema@._chpg_duration_text(d.baseline_avg_duration_us)),
				(4, @extschema@._chpg_duration_text(d.avg_duration_us)),
				(5, CASE WHEN d.excess_us < 0 THEN '-' ELSE '' END || @extschema@._chpg_duration_text(abs(d.excess_us))),
				(6, to_char(m.since, 'Dy DD HH24:MI')), (7, d.query_text)) v(place, cell)
			HAVING count(*) > 0), 'lnrrrlt'::text),
		@extschema@._chpg_report_more(cardinality((r).changes), 12, 'queries'::text),
		(SELECT @extschema@._chpg_report_rows(array_agg(v.cell ORDER BY i, v.place), 'lt'::text)
			FROM generate_series(1, least(cardinality((r).marks), 8)) i
			CROSS JOIN LATERAL (VALUES (1, @extschema@._chpg_time_text(((r).marks[i]).at)), (2, ((r).marks[i]).label))
				v(place, cell)),
		@extschema@._chpg_report_more(cardinality((r).marks), 8, 'events'::text))
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_changes(@extschema@._chpg_report) IS
'What changed, of a report, as text: queries, then services.';

CREATE FUNCTION @extschema@._chpg_report_text_fleet(r @extschema@._chpg_report)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_report_text_section(
		CASE WHEN (r).service IS NULL THEN 'How is the fleet?' ELSE 'How is the service?' END::text,
		@extschema@._chpg_report_rows((
			SELECT '{service,state,load,before,p95,errors,storage,memory,connections}'::text[]
				|| array_agg(v.cell ORDER BY i, v.place)
			FROM generate_series(1, least(cardinality((r).services), 20)) i
			CROSS JOIN LATERAL (SELECT ((r).services[i]).*) s
			CROSS JOIN LATERAL (VALUES (1, s.service_name),
				(2, coalesce(s.level, CASE WHEN (r).not_known IS NULL THEN 'ok' END)),
				(3, @extschema@._chpg_load_text(s.load)), (4, @extschema@._chpg_load_text(s.baseline_load)),
				(5, @extschema@._chpg_duration_text(s.p95_us)), (6, @extschema@._chpg_percent_text(s.error_percent)),
				(7, @extschema@._chpg_percent_text(s.storage_percent)), (8, @extschema@._chpg_percent_text(s.memory_percent)),
				(9, @extschema@._chpg_count_text(s.connections) || coalesce(' of ' || s.max_connections, ''))) v(place, cell)
			HAVING count(*) > 0), 'nlrrrrrrr'::text),
		CASE WHEN cardinality((r).services) > 0 THEN '  load: executions that are active at a time.' END,
		@extschema@._chpg_report_more(cardinality((r).services), 20, 'services, which need less'::text),
		(SELECT string_agg(@extschema@._chpg_report_paragraph('', format('Storage of %s is full on %s, if it grows on.',
				s.service_name, @extschema@._chpg_day_text(s.storage_full_at)), 2), E'\n'
				ORDER BY s.storage_full_at, s.service_name)
			FROM unnest((r).services) s
			WHERE s.storage_full_at < upper((r).period) + interval '30 days'))
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_fleet(@extschema@._chpg_report) IS
'The services of a report as text.';

CREATE FUNCTION @extschema@._chpg_report_text_time(r @extschema@._chpg_report)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_report_text_section('Where does the time go?'::text,
		@extschema@._chpg_report_rows((
			SELECT '{time,service,executions,mean,p99,before,query}'::text[] || array_agg(v.cell ORDER BY i, v.place)
			FROM generate_series(1, least(cardinality((r).patterns), 12)) i
			CROSS JOIN LATERAL (SELECT ((r).patterns[i]).*) q
			CROSS JOIN LATERAL (SELECT (q.pattern).*) p
			CROSS JOIN LATERAL (VALUES (1, @extschema@._chpg_percent_text(q.time_percent)), (2, q.service_name),
				(3, @extschema@._chpg_count_text(p.call_count)), (4, @extschema@._chpg_duration_text(p.avg_duration_us)),
				(5, @extschema@._chpg_duration_text(p.p99_est_us)), (6, @extschema@._chpg_duration_text(q.baseline_avg_us)),
				(7, p.query_text)) v(place, cell)
			WHERE q.is_listed
			HAVING count(*) > 0), 'rnrrrrt'::text),
		@extschema@._chpg_report_more((r).pattern_count, 12, 'queries, with less time'::text))
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_time(@extschema@._chpg_report) IS
'The queries of a report that take most time, as text.';

CREATE FUNCTION @extschema@._chpg_report_text_better(r @extschema@._chpg_report)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_report_text_section('What could be better?'::text,
		@extschema@._chpg_report_rows((
			SELECT '{time,service,what}'::text[] || array_agg(v.cell ORDER BY i, v.place)
			FROM generate_series(1, least(cardinality((r).opportunities), 8)) i
			CROSS JOIN LATERAL (SELECT ((r).opportunities[i]).*) f
			CROSS JOIN LATERAL (VALUES (1, @extschema@._chpg_duration_text(f.impact_us)), (2, f.service_name),
				(3, concat_ws(': ', f.title, CASE WHEN f.evidence ?| '{query_id,app}'::text[] THEN f.subject
					ELSE coalesce(f.symptom, f.subject) END))) v(place, cell)
			HAVING count(*) > 0), 'rnt'::text),
		@extschema@._chpg_report_more(cardinality((r).opportunities), 8, 'of them'::text))
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_better(@extschema@._chpg_report) IS
'What could be better, of a report, as text.';

CREATE FUNCTION @extschema@._chpg_report_text_sure(r @extschema@._chpg_report)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_report_text_section('How sure is this?'::text,
		(SELECT @extschema@._chpg_report_paragraph('', format(
				'The history has %s of %s hours of the services; %s of them had more queries than a capture reads, %s failed.',
				sum(c.captured), sum(c.hours), sum(c.truncated), sum(c.failed)), 2)
			FROM unnest((r).coverage) c
			HAVING count(*) > 0),
		(SELECT string_agg(@extschema@._chpg_report_paragraph('', n.note, 2), E'\n' ORDER BY n.place)
			FROM unnest((r).notes) WITH ORDINALITY n(note, place)),
		(SELECT concat_ws(E'\n',
				@extschema@._chpg_report_paragraph('', @extschema@._chpg_report_unjudged_text((r).skipped) || '.', 2),
				string_agg(@extschema@._chpg_report_paragraph('  -', s.line, 4), E'\n' ORDER BY s.place)
					FILTER (WHERE s.place <= 8),
				@extschema@._chpg_report_more(count(*), 8, 'reasons'::text))
			FROM unnest(@extschema@._chpg_report_skipped_lines((r).skipped)) WITH ORDINALITY s(line, place)
			HAVING count(*) > 0),
		CASE WHEN (r).skipped IS NULL THEN
			@extschema@._chpg_report_paragraph('', @extschema@._chpg_report_unjudged_text((r).skipped) || '.', 2) END,
		CASE WHEN (r).muted > 0 THEN format('  Muted findings, which are not shown: %s.', (r).muted) END,
		@extschema@._chpg_report_paragraph('', coalesce(CASE WHEN (r).from_log
			THEN 'Findings are those of the log of watches' ELSE 'Findings are those of the last day' END
			|| ', as of ' || @extschema@._chpg_time_text((r).judged_at) || '. ', '')
			|| format('Requests: %s.', coalesce((r).requests, 0)), 2))
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_text_sure(@extschema@._chpg_report) IS
'What a report rests on, as text.';

CREATE FUNCTION @extschema@._chpg_report_as_text(r @extschema@._chpg_report)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(E'\n',
		(SELECT string_agg(@extschema@._chpg_report_paragraph('', v.sentence, 0), E'\n' ORDER BY v.place)
			FROM regexp_split_to_table((r).verdict, '(?<=[.]) (?=[A-Z])') WITH ORDINALITY v(sentence, place)), '',
		@extschema@._chpg_report_paragraph('', format('%s, %s to %s (%s)%s.',
			CASE WHEN (r).service IS NULL THEN 'The fleet' ELSE 'Service ' || (r).service END,
			@extschema@._chpg_time_text(lower((r).period)), @extschema@._chpg_time_text(upper((r).period)), (r).time_zone,
			', compared with ' || @extschema@._chpg_time_text(lower((r).baseline)) || ' to '
				|| @extschema@._chpg_time_text(upper((r).baseline))), 0),
		@extschema@._chpg_report_text_now(r), @extschema@._chpg_report_text_changes(r),
		@extschema@._chpg_report_text_fleet(r), @extschema@._chpg_report_text_time(r),
		@extschema@._chpg_report_text_better(r), @extschema@._chpg_report_text_sure(r)) || E'\n'
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_as_text(@extschema@._chpg_report) IS
'A report as lines of at most 100 characters.';

CREATE FUNCTION @extschema@.chpg_report_text(
	period tstzrange DEFAULT NULL,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	hide_texts boolean DEFAULT false,
	history_only boolean DEFAULT true)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
BEGIN
	RETURN @extschema@._chpg_report_as_text(
		@extschema@._chpg_report_of(period, service, baseline, server, hide_texts, history_only));
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_report_text(tstzrange, text, tstzrange, text, boolean, boolean) IS
'What chpg_report says as plain text, for mail and chat, in lines of at most 100 characters.
The first line is the verdict. Arguments, requests and errors are those of chpg_report.';
