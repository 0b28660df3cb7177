/* Report: the page. */

/* One style sheet for the screen, light and dark, for a phone and for paper. */
CREATE FUNCTION @extschema@._chpg_page_style()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT $css$:root{color-scheme:light dark;--ground:#fff;--panel:#f6f7f9;--ink:#1b1f24;--muted:#57606a;--line:#d0d7de;
--link:#0550ae;--good:#116329;--bad:#b3261e;--warn:#7a4d00;--good-ground:#e6f4ea;--bad-ground:#fdecea;
--warn-ground:#fff4db}
@media (prefers-color-scheme:dark){:root{--ground:#14171c;--panel:#1d2127;--ink:#e8eaed;--muted:#a8b0ba;--line:#3a414b;
--link:#7ab7ff;--good:#7ddc95;--bad:#ff9d94;--warn:#f3c969;--good-ground:#12301c;--bad-ground:#40191a;
--warn-ground:#382b10}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:80rem;padding:1rem 1.25rem 3rem;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 .25rem}
h2{font-size:1.25rem;margin:2.5rem 0 .5rem;padding-top:.5rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1rem 0 .25rem}
p{margin:.35rem 0}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--ground);padding:.5rem 1rem;z-index:1}
.about,.of,.more,.below,caption,footer{color:var(--muted)}
.about{margin:0 0 1rem}
.verdict{font-size:1.2rem;line-height:1.45;margin:1rem 0;padding:.75rem 1rem;border-left:.4rem solid var(--muted);
background:var(--panel)}
.verdict.good{border-color:var(--good);background:var(--good-ground)}
.verdict.bad{border-color:var(--bad);background:var(--bad-ground)}
nav ol{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:0;padding:0}
nav a{display:inline-block;padding:.25rem 0}
.incident{margin:.75rem 0;padding:.5rem 1rem .75rem;border:1px solid var(--line);border-left:.4rem solid var(--muted);
background:var(--panel);break-inside:avoid}
.incident.error{border-left-color:var(--bad)}
.incident.warn{border-left-color:var(--warn)}
.incident h3{margin:.25rem 0}
dl{margin:.5rem 0}
dl div{display:grid;grid-template-columns:8.5rem 1fr;gap:.5rem}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
.badge{display:inline-block;font-size:.78rem;font-weight:600;padding:0 .45rem;border-radius:.6rem;
border:1px solid currentColor;
color:var(--muted);background:var(--ground)}
.badge.error{color:var(--bad);background:var(--bad-ground)}
.badge.warn{color:var(--warn);background:var(--warn-ground)}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;font-weight:600;padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid var(--line)}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom;border-bottom:2px solid var(--line)}
tbody th{font-weight:600}
tr:target,article:target{outline:2px solid var(--link);outline-offset:-2px}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
thead .number{white-space:normal}
.below{display:block;font-size:.82rem;font-weight:400;white-space:nowrap}
.name,.title{font-weight:600}
.name{overflow-wrap:anywhere}
time{white-space:nowrap}
.query{min-width:16rem;max-width:34rem}
td a{overflow-wrap:normal}
.course{min-width:8.5rem;width:9.5rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.86em;
direction:ltr;
unicode-bidi:isolate}
code{overflow-wrap:anywhere}
pre{margin:.4rem 0;padding:.5rem .7rem;background:var(--panel);border:1px solid var(--line);white-space:pre-wrap;
overflow-wrap:anywhere;max-height:24rem;overflow:auto;user-select:all}
summary{cursor:pointer}
details.incident>summary{font-weight:600}
details.incident[open]>summary{margin-bottom:.25rem}
.incident .query{max-width:none}
.incident pre{background:var(--ground)}
footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:.5rem;font-size:.85rem}
@media screen and (max-width:46rem){
body{padding:.5rem .75rem 2rem}
dl div{grid-template-columns:1fr;gap:0;margin:.25rem 0}
thead{position:absolute;left:-99rem}
table,tbody,tr,td,tbody th,caption{display:block;width:100%}
tr{display:grid;grid-template-columns:repeat(3,1fr);gap:0 .75rem;border:1px solid var(--line);margin:.6rem 0;
padding:.25rem .6rem;background:var(--panel)}
td,tbody th{grid-column:1/-1}
td.number,td.course{grid-column:auto}
td.course{align-self:center}
td.course svg{max-width:100%}
td,tbody th{border:0;padding:.15rem 0;max-width:none;min-width:0}
td[data-label]:not(.query):not(.course){display:grid;grid-template-columns:9rem 1fr;gap:.5rem}
td[data-label]:not(.query):not(.course)::before{content:attr(data-label);color:var(--muted)}
.number{text-align:left;white-space:normal}
td.number[data-label]:not(.query):not(.course){display:block}
td.number[data-label]::before{display:block;font-size:.75rem}
.below{white-space:normal}
.course{width:100%}
}
@media print{
:root{--ground:#fff;--panel:#fff;--ink:#000;--muted:#444;--line:#999;--link:#000;--good:#116329;--bad:#b3261e;
--warn:#7a4d00;
--good-ground:#fff;--bad-ground:#fff;--warn-ground:#fff}
body{max-width:none;padding:0;font-size:10pt}
nav,.skip{display:none}
.wide{overflow:visible}
table{font-size:7.5pt}
table .badge{font-size:1em}
.query{min-width:9rem}
.course{min-width:0;width:auto}
th,td{padding:.2rem .3rem}
.below{white-space:normal;font-size:7pt}
tr,.incident{break-inside:avoid}
thead{display:table-header-group}
h2,h3,caption{break-after:avoid}
a{text-decoration:none}
pre{max-height:none}
}
$css$
$$;

COMMENT ON FUNCTION @extschema@._chpg_page_style() IS 'The style sheet of the page, without that of its charts.';

CREATE FUNCTION @extschema@._chpg_page(r @extschema@._chpg_report, f @extschema@._chpg_page_frame)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT @extschema@._chpg_document(t.title || ', ' || @extschema@._chpg_day_text(upper(r.period)),
		@extschema@._chpg_page_style() || @extschema@._chpg_report_chart_style(), 'en', @extschema@._chpg_tag('body',
			@extschema@._chpg_tag_with('a.skip', ARRAY['href', '#main'], @extschema@._chpg_text('To the report')),
			@extschema@._chpg_tag('header',
				@extschema@._chpg_text_tag('h1', t.title),
				@extschema@._chpg_text_tag('p.about', concat_ws(' ', @extschema@._chpg_page_range(r.period) || format(' (%s).',
					r.time_zone),
					CASE WHEN r.baseline IS NOT NULL THEN format('Compared with %s.', @extschema@._chpg_page_range(r.baseline)) END,
					CASE WHEN r.server IS NOT NULL THEN format('Server %s.', r.server) END,
					format('Written at %s.', @extschema@._chpg_time_text(r.written_at)))),
				@extschema@._chpg_tag_with('p', ARRAY['class', CASE r.is_bad WHEN true THEN 'verdict bad' WHEN false
					THEN 'verdict good' ELSE 'verdict' END, 'id', 'verdict'], @extschema@._chpg_text(r.verdict)),
				CASE WHEN cardinality(r.notes) > 0 THEN @extschema@._chpg_tag('ul', VARIADIC (
					SELECT array_agg(@extschema@._chpg_text_tag('li', n.note) ORDER BY n.place)
					FROM unnest(r.notes) WITH ORDINALITY n(note, place))) END,
				@extschema@._chpg_tag_with('nav', ARRAY['aria-label', 'Sections'], @extschema@._chpg_tag('ol', VARIADIC (
					SELECT array_agg(@extschema@._chpg_tag('li', @extschema@._chpg_page_link(s.id, s.title)) ORDER BY s.place)
					FROM (VALUES (1, 'wrong', 'Is anything wrong now?'), (2, 'changes', 'What changed?'),
						(3, 'fleet', CASE WHEN f.is_fleet THEN 'How is the fleet?' ELSE 'How is the service?' END),
						(4, 'time', 'Where does the time go?'), (5, 'better', 'What could be better?'),
						(6, 'sure', 'How sure is this?')) s(place, id, title))))),
			@extschema@._chpg_tag_with('main', ARRAY['id', 'main'],
				@extschema@._chpg_page_wrong(r), @extschema@._chpg_page_changes(r, f), @extschema@._chpg_page_fleet(r, f),
				@extschema@._chpg_page_time_section(r, f), @extschema@._chpg_page_better(r, f), @extschema@._chpg_page_sure(r)),
			@extschema@._chpg_tag('footer', @extschema@._chpg_text_tag('p', format('chpg %s on PostgreSQL %s.',
				(SELECT e.extversion FROM pg_extension e WHERE e.extname = 'chpg'), split_part(current_setting('server_version'),
					' ', 1))))))
	FROM (SELECT CASE WHEN f.is_fleet THEN 'Report of the fleet'
		ELSE 'Report of ' || @extschema@._chpg_plain_text(coalesce(r.service, (r.services[1]).service_name)) END AS title) t;
END;

COMMENT ON FUNCTION @extschema@._chpg_page(@extschema@._chpg_report, @extschema@._chpg_page_frame) IS
'A report as a page of HTML.';

CREATE FUNCTION @extschema@._chpg_code_point(utf8 bytea)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE octet_length(utf8)
		WHEN 1 THEN get_byte(utf8, 0)
		WHEN 2 THEN ((get_byte(utf8, 0) & 31) << 6) + (get_byte(utf8, 1) & 63)
		WHEN 3 THEN ((get_byte(utf8, 0) & 15) << 12) + ((get_byte(utf8, 1) & 63) << 6) + (get_byte(utf8, 2) & 63)
		WHEN 4 THEN ((get_byte(utf8, 0) & 7) << 18) + ((get_byte(utf8, 1) & 63) << 12) + ((get_byte(utf8, 2) & 63) << 6)
			+ (get_byte(utf8, 3) & 63) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_code_point(bytea) IS 'The number of a character, given in UTF-8.';

/*
 * The page says that it is UTF-8.  A client of another encoding gets it converted, so that only
 * ASCII is left as it is; bytes of SQL_ASCII are never converted, and are those of UTF-8.
 */
CREATE FUNCTION @extschema@._chpg_page_for_client(page text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN pg_client_encoding() = 'UTF8' OR getdatabaseencoding() = 'SQL_ASCII'
			OR pg_client_encoding() = 'SQL_ASCII' AND getdatabaseencoding() = 'UTF8' THEN page
		ELSE (SELECT string_agg(m.parts[1] || coalesce('&#'
				|| @extschema@._chpg_code_point(convert_to(nullif(m.parts[2], ''), 'UTF8')) || ';', ''), '' ORDER BY m.place)
			FROM regexp_matches(page, '([\x01-\x7f]*)([^\x01-\x7f]?)', 'g') WITH ORDINALITY m(parts, place)) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_for_client(text) IS
'A page whose characters beyond ASCII are references, unless the client reads UTF-8.';

CREATE FUNCTION @extschema@.chpg_report(
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
DECLARE
	report @extschema@._chpg_report;
BEGIN
	report := @extschema@._chpg_report_of(period, service, baseline, server, hide_texts, history_only);
	RETURN @extschema@._chpg_page_for_client(@extschema@._chpg_page(report, @extschema@._chpg_page_frame(report))::text);
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_report(tstzrange, text, tstzrange, text, boolean, boolean) IS
'A report about the fleet, or a service by id or name, as one page of HTML.
What is wrong, what changed, how the services are, where time goes, what could be better, and
  how sure that is. The page refers to nothing outside of it.
period: null: the last seven days of the history; its later half, if it has less than two weeks.
baseline: what it is compared with; null: the time before it. Times are in the session''s time
  zone.
hide_texts: pseudonyms for texts, databases, users and applications, as in chpg_history_export.
history_only: false: without a history, read the last day from the API.
To write it to a file: psql -Atc "SELECT chpg_report()" -o report.html
Requests: none; with history_only => false as chpg_findings, and without a history as
  chpg_slow_patterns and chpg_health, too.
Errors: 22004, 22023 an argument cannot be used; 42704 no such service or server; 55000 the
  history cannot be used, or there is none to look the service up in.';
