/*
 * Report: building HTML.
 *
 * Markup is a type of its own, which no text becomes by itself: not as an argument, not by an
 * assignment in PL/pgSQL, and not from a literal, since its input function only raises an
 * error.  This file alone makes markup, by the cast that is explicit.  So a name or a query
 * can reach a page in one way only, by _chpg_text and _chpg_attributes, which escape it.
 *
 * The functions are inlined: a row of a table is one concatenation.
 */

CREATE TYPE @extschema@._chpg_markup;

CREATE FUNCTION @extschema@._chpg_markup_in(cstring)
RETURNS @extschema@._chpg_markup
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
AS 'pg_node_tree_in';

COMMENT ON FUNCTION @extschema@._chpg_markup_in(cstring) IS
'Raise an error: no text is markup.
Errors: 0A000 always.';

CREATE FUNCTION @extschema@._chpg_markup_out(@extschema@._chpg_markup)
RETURNS cstring
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
AS 'textout';

COMMENT ON FUNCTION @extschema@._chpg_markup_out(@extschema@._chpg_markup) IS 'The text of markup.';

CREATE TYPE @extschema@._chpg_markup (
	INPUT = @extschema@._chpg_markup_in,
	OUTPUT = @extschema@._chpg_markup_out,
	LIKE = text
);

COMMENT ON TYPE @extschema@._chpg_markup IS 'A piece of HTML, whose texts are escaped.';

CREATE CAST (text AS @extschema@._chpg_markup) WITHOUT FUNCTION;
CREATE CAST (@extschema@._chpg_markup AS text) WITHOUT FUNCTION;

COMMENT ON CAST (text AS @extschema@._chpg_markup) IS 'For sql/report/markup.sql alone: the text is HTML.';
COMMENT ON CAST (@extschema@._chpg_markup AS text) IS 'The text of markup.';

/*
 * A parser of HTML drops or replaces most control characters, and an editor may execute the
 * others; marks that change the direction would let a statement look like another one.
 */
CREATE FUNCTION @extschema@._chpg_without_controls(value text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	hidden CONSTANT text := E'[\\x01-\\x08\\x0b-\\x1f\\x7f]|' || @extschema@._chpg_hidden_marks();
BEGIN
	IF getdatabaseencoding() <> 'UTF8' THEN
		RETURN regexp_replace(replace(value, E'\r\n', E'\n'), hidden, '?', 'g');
	END IF;
	RETURN regexp_replace(replace(value, E'\r\n', E'\n'), hidden || E'|[\\ufdd0-\\ufdef\\ufffe\\uffff]', chr(65533), 'g');
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_without_controls(text) IS
'A text whose control characters and marks of direction are U+FFFD each.
Tabs and line feeds stay. ? in encodings without U+FFFD.
A carriage return before a line feed is dropped.';

/* Most texts are numbers and words. */
CREATE FUNCTION @extschema@._chpg_escaped(value text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value !~ '[^ !#-%(-;=?-~]' THEN value
		ELSE replace(replace(replace(replace(replace(
			CASE WHEN value ~ '[^\n\t -~]' THEN @extschema@._chpg_without_controls(value) ELSE value END,
			'&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;') END;
END;

COMMENT ON FUNCTION @extschema@._chpg_escaped(text) IS
'A text for HTML, in an element or an attribute.
& < > " '' are escaped, and control characters replaced.';

CREATE FUNCTION @extschema@._chpg_text(value text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(@extschema@._chpg_escaped(value), '')::@extschema@._chpg_markup;
END;

COMMENT ON FUNCTION @extschema@._chpg_text(text) IS 'A text as markup; null: none.';

/* Signs that not every encoding of a database has. */
CREATE FUNCTION @extschema@._chpg_sign(name text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT (CASE name WHEN 'times' THEN '&#215;' ELSE '&#8211;' END)::@extschema@._chpg_markup;
END;

COMMENT ON FUNCTION @extschema@._chpg_sign(text) IS 'A sign as markup: times, or a dash.';

CREATE FUNCTION @extschema@._chpg_join(parts @extschema@._chpg_markup[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(array_to_string(parts, ''), '')::@extschema@._chpg_markup;
END;

COMMENT ON FUNCTION @extschema@._chpg_join(@extschema@._chpg_markup[]) IS
'Pieces of markup, one after the other; null ones, and a null array, are nothing.
For rows: _chpg_join(array_agg(row ORDER BY place)).';

/* Names of elements and attributes are the report's own: others are an error. */
CREATE FUNCTION @extschema@._chpg_tag_name(tag text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name CONSTANT text := substring(tag FROM '^[a-z][a-zA-Z0-9]*');
BEGIN
	IF tag ~ '^[a-z][a-zA-Z0-9]*([.][a-z][a-z0-9-]*)*$' AND name NOT IN ('area', 'base', 'br', 'col', 'embed', 'hr', 'img',
			'input', 'link', 'meta', 'script', 'source', 'style', 'track', 'wbr') THEN
		RETURN name;
	END IF;
	RAISE EXCEPTION 'invalid element: "%"', tag USING ERRCODE = 'invalid_parameter_value';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_tag_name(text) IS
'Name of the element of a tag, such as td of td.number.
It has content, and is no script or style.
Errors: 22023 no such tag.';

CREATE FUNCTION @extschema@._chpg_tag_start(tag text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT '<' || @extschema@._chpg_tag_name(tag) || CASE WHEN strpos(tag, '.') > 0
		THEN ' class="' || replace(substr(tag, strpos(tag, '.') + 1), '.', ' ') || '"' ELSE '' END;
END;

COMMENT ON FUNCTION @extschema@._chpg_tag_start(text) IS 'The start of an element, up to its classes.';

CREATE FUNCTION @extschema@._chpg_attributes(names_and_values text[])
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	attributes text := '';
BEGIN
	FOR i IN 1 .. coalesce(cardinality(names_and_values), 0) BY 2 LOOP
		CONTINUE WHEN names_and_values[i + 1] IS NULL;
		IF names_and_values[i] !~ '^[a-z][a-zA-Z-]*[0-9]?$' OR names_and_values[i] ~ '^(on|src|style)'
				OR names_and_values[i] = 'href' AND names_and_values[i + 1] !~ '^#' THEN
			RAISE EXCEPTION 'invalid attribute: "%"', names_and_values[i] USING ERRCODE = 'invalid_parameter_value';
		END IF;
		attributes := attributes || ' ' || names_and_values[i] || '="' || @extschema@._chpg_escaped(names_and_values[i + 1])
			|| '"';
	END LOOP;
	RETURN attributes;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_attributes(text[]) IS
'Attributes of an element, by names and values in turn. A null value omits its attribute.
Errors: 22023 no such attribute; one that runs code, or refers to something outside of the page.';

CREATE FUNCTION @extschema@._chpg_tag(tag text, VARIADIC content @extschema@._chpg_markup[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT (@extschema@._chpg_tag_start(tag) || '>' || coalesce(array_to_string(content, ''), '')
		|| '</' || @extschema@._chpg_tag_name(tag) || '>')::@extschema@._chpg_markup;
END;

COMMENT ON FUNCTION @extschema@._chpg_tag(text, @extschema@._chpg_markup[]) IS
'An element with its content. tag: its name, and classes: td.number.
Errors: 22023 no such tag.';

CREATE FUNCTION @extschema@._chpg_tag_with(tag text, attributes text[], VARIADIC content @extschema@._chpg_markup[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT (@extschema@._chpg_tag_start(tag) || @extschema@._chpg_attributes(attributes) || '>'
		|| coalesce(array_to_string(content, ''), '') || '</' || @extschema@._chpg_tag_name(tag) || '>'
		)::@extschema@._chpg_markup;
END;

COMMENT ON FUNCTION @extschema@._chpg_tag_with(text, text[], @extschema@._chpg_markup[]) IS
'An element with attributes: names and values in turn, of which null ones are omitted.
Errors: 22023 no such tag or attribute.';

/* Elements that have most of a page: a text, without the detour over _chpg_text. */
CREATE FUNCTION @extschema@._chpg_text_tag(tag text, value text)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT (@extschema@._chpg_tag_start(tag) || '>' || coalesce(@extschema@._chpg_escaped(value), '')
		|| '</' || @extschema@._chpg_tag_name(tag) || '>')::@extschema@._chpg_markup;
END;

COMMENT ON FUNCTION @extschema@._chpg_text_tag(text, text) IS
'An element that has a text alone; null: an empty one.
Errors: 22023 no such tag.';

/* The one element that has no content, and the ones that are not HTML inside. */
CREATE FUNCTION @extschema@._chpg_document(title text, style_sheet text, lang text, body @extschema@._chpg_markup)
RETURNS @extschema@._chpg_markup
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF style_sheet ~* E'[<&]|@import|url *[(]|expression|\\\\' THEN
		RAISE EXCEPTION 'a style sheet of a report refers to nothing' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN ('<!DOCTYPE html>' || E'\n<html lang="' || @extschema@._chpg_escaped(lang)
		|| E'">\n<head>\n<meta charset="utf-8">\n'
		|| '<meta http-equiv="Content-Security-Policy" '
		|| 'content="default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;">'
		|| E'\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
		|| E'<meta name="color-scheme" content="light dark">\n'
		|| E'<meta name="referrer" content="no-referrer">\n<title>' || @extschema@._chpg_escaped(title)
			|| E'</title>\n<style>\n'
		|| style_sheet || E'</style>\n</head>\n' || body::text || E'\n</html>\n')::@extschema@._chpg_markup;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_document(text, text, text, @extschema@._chpg_markup) IS
'A page of HTML: body is its element body.
style_sheet: constant CSS.
Errors: 22023 the style sheet refers to something outside of the page.';
