/* Report: parts of the page that several sections have. */

/* What rows of tables need to know of the report: passed to each of them, it is small. */
CREATE TYPE @extschema@._chpg_page_frame AS (
	is_fleet boolean,
	has_history boolean,
	is_compared boolean,
	start timestamptz,
	step interval
);

COMMENT ON TYPE @extschema@._chpg_page_frame IS 'What the tables of a page depend on.';
COMMENT ON COLUMN @extschema@._chpg_page_frame.is_fleet IS 'Whether it is about several services.';
COMMENT ON COLUMN @extschema@._chpg_page_frame.has_history IS 'Whether there are courses.';
COMMENT ON COLUMN @extschema@._chpg_page_frame.is_compared IS 'Whether there is a baseline.';
COMMENT ON COLUMN @extschema@._chpg_page_frame.start IS 'Start of the first step.';
COMMENT ON COLUMN @extschema@._chpg_page_frame.step IS 'Length of a step.';

CREATE FUNCTION @extschema@._chpg_page_frame(r @extschema@._chpg_report)
RETURNS @extschema@._chpg_page_frame
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT ROW(r.service IS NULL AND cardinality(r.services) <> 1, r.has_history, r.baseline IS NOT NULL, r.starts[1],
		r.step)::@extschema@._chpg_page_frame;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_frame(@extschema@._chpg_report) IS
'What the tables of the page of a report depend on.';

CREATE FUNCTION @extschema@._chpg_page_time(at timestamptz)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN @extschema@._chpg_time_text(at) <> '' THEN @extschema@._chpg_tag_with('time',
		ARRAY['datetime', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"')],
		@extschema@._chpg_text(@extschema@._chpg_time_text(at))) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_time(timestamptz) IS 'A time in the session''s time zone; null: nothing.';

CREATE FUNCTION @extschema@._chpg_page_link(link text, value text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN link IS NULL THEN @extschema@._chpg_text(value)
		ELSE @extschema@._chpg_tag_with('a', ARRAY['href', '#' || link], @extschema@._chpg_text(value)) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_link(text, text) IS
'A text that leads to an element of the page; without its id, the text.';

CREATE FUNCTION @extschema@._chpg_page_badge(level text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE level
		WHEN 'ERROR' THEN @extschema@._chpg_text_tag('span.badge.error', 'error')
		WHEN 'WARN' THEN @extschema@._chpg_text_tag('span.badge.warn', 'warning')
		WHEN 'INFO' THEN @extschema@._chpg_text_tag('span.badge', 'note') END;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_badge(text) IS 'A level of a finding as a word.';

/* On a phone a row is a card, and each cell has its column's name before it. */
CREATE FUNCTION @extschema@._chpg_page_cell(class text, column_name text, VARIADIC content @extschema@._chpg_markup[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('td', ARRAY['class', class, 'data-label', column_name], VARIADIC content);
END;

COMMENT ON FUNCTION @extschema@._chpg_page_cell(text, text, @extschema@._chpg_markup[]) IS
'A cell of a table. class: null, or that of its column, such as number.';

CREATE FUNCTION @extschema@._chpg_page_number(column_name text, value text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_page_cell('number', column_name, CASE WHEN value IS NULL THEN @extschema@._chpg_sign('dash')
		ELSE @extschema@._chpg_text(value) END);
END;

COMMENT ON FUNCTION @extschema@._chpg_page_number(text, text) IS 'A cell with a number and its unit; null: a dash.';

/* columns: names in their order; those of numbers begin with "#". */
CREATE FUNCTION @extschema@._chpg_page_factor(column_name text, "before" double precision, "after" double precision)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN "before" > 0 AND "after" > 0 AND "before" < 1e15 AND "after" < 1e15 THEN
		@extschema@._chpg_page_cell('number', column_name, @extschema@._chpg_text(CASE
			WHEN "after" / "before" >= 999.5 THEN '> 1000 '
			WHEN "after" / "before" >= 9.95 THEN to_char("after" / "before", 'FM990 ')
			WHEN "after" / "before" >= 0.095 THEN to_char("after" / "before", 'FM0.0 ')
			ELSE to_char("after" / "before", 'FM0.000 ') END), @extschema@._chpg_sign('times'))
		ELSE @extschema@._chpg_page_number(column_name, NULL) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_factor(text, double precision, double precision) IS
'A cell that says how many times as much it is as before.';

CREATE FUNCTION @extschema@._chpg_page_table(class text, caption text, columns text[], rows @extschema@._chpg_markup[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('div', ARRAY['class', 'wide', 'tabindex', '0'],
		@extschema@._chpg_tag_with('table', ARRAY['class', class],
			@extschema@._chpg_text_tag('caption', caption),
			@extschema@._chpg_tag('thead', @extschema@._chpg_tag('tr', VARIADIC (
				SELECT array_agg(@extschema@._chpg_tag_with('th', ARRAY['scope', 'col', 'class',
					CASE WHEN c.name ^@ '#' THEN 'number' END], @extschema@._chpg_text(ltrim(c.name, '#'))) ORDER BY c.place)
				FROM unnest(columns) WITH ORDINALITY c(name, place)))),
			@extschema@._chpg_tag('tbody', VARIADIC rows)));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_table(text, text, text[], @extschema@._chpg_markup[]) IS
'A table with a caption, whose rows are elements tr.
Columns of numbers have names that begin with #.';

CREATE FUNCTION @extschema@._chpg_page_section(id text, title text, VARIADIC content @extschema@._chpg_markup[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('section', ARRAY['id', id, 'aria-labelledby', id || '-title'],
		@extschema@._chpg_tag_with('h2', ARRAY['id', id || '-title'], @extschema@._chpg_text(title)),
		@extschema@._chpg_join(content));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_section(text, text, @extschema@._chpg_markup[]) IS
'A section of the page: its id and its title.';

CREATE FUNCTION @extschema@._chpg_page_code(code text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with('pre', ARRAY['tabindex', '0'], @extschema@._chpg_text_tag('code', code));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_code(text) IS 'A statement to copy.';

/* The first characters show which query it is; the rest is there for the browser's search, and to copy. */
CREATE FUNCTION @extschema@._chpg_page_query(query_text text, query_hex text, db_name text, db_user text, app text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag('details.query',
		@extschema@._chpg_tag('summary', @extschema@._chpg_text_tag('code',
			coalesce(nullif(@extschema@._chpg_line_text(query_text, 110), ''), 'no text'))),
		@extschema@._chpg_page_code(query_text),
		@extschema@._chpg_text_tag('p.of', concat_ws(', ', 'database ' || nullif(db_name, ''), 'user ' || nullif(db_user, ''),
			'application ' || nullif(app, ''), 'query ' || query_hex)));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_query(text, text, text, text, text) IS
'A query: one line, which opens to its whole text and where it comes from.';

CREATE FUNCTION @extschema@._chpg_page_more(n bigint, statement text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN n > 0 THEN @extschema@._chpg_tag('p.more', @extschema@._chpg_text(n || ' more: '),
		@extschema@._chpg_text_tag('code', statement)) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_page_more(bigint,
	text) IS 'How many more there are, and the statement that shows them.';

CREATE FUNCTION @extschema@._chpg_page_range(period tstzrange)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_time_text(lower(period)) || ' to ' || @extschema@._chpg_time_text(upper(period));
END;

COMMENT ON FUNCTION @extschema@._chpg_page_range(tstzrange) IS 'A period in words.';

/* What a statement to copy is called with, in a form that has the same meaning in every session. */
CREATE FUNCTION @extschema@._chpg_range_literal(period tstzrange)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT format('''[%s,%s)''', @extschema@._chpg_time_literal(lower(period)),
		@extschema@._chpg_time_literal(upper(period)));
END;

COMMENT ON FUNCTION @extschema@._chpg_range_literal(tstzrange) IS 'A period as a literal of SQL.';
