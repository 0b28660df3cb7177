/*
 * Report: charts, as SVG within the page.
 *
 * Values come from outside.  What is no number is a gap, and all others are drawn between 0
 * and 1e15.  A gap breaks a line or an area; nothing is interpolated.
 *
 * A chart is as wide as its place.  So what has a course is in a coordinate system of its own
 * that is stretched, and texts are outside of it.  Colors and widths are in the style sheet,
 * _chpg_report_chart_style, whose order of colors is that of the series.
 */

CREATE TYPE @extschema@._chpg_report_series AS (
	name text,
	link text,
	"values" double precision[]
);

COMMENT ON TYPE @extschema@._chpg_report_series IS 'What a chart draws in a color of its own.';
COMMENT ON COLUMN @extschema@._chpg_report_series.name IS 'Its name in the legend.';
COMMENT ON COLUMN @extschema@._chpg_report_series.link IS
'Where the name leads to in the page, such as #p-1; null: nowhere.';
COMMENT ON COLUMN @extschema@._chpg_report_series."values" IS 'A value for each step of time; null: none is known.';

CREATE TYPE @extschema@._chpg_report_mark AS (
	at timestamptz,
	kind text,
	label text
);

COMMENT ON TYPE @extschema@._chpg_report_mark IS 'Something that happened at a time that a chart shows.';
COMMENT ON COLUMN @extschema@._chpg_report_mark.at IS 'When.';
COMMENT ON COLUMN @extschema@._chpg_report_mark.kind IS 'onset: where a finding begins; others are drawn alike.';
COMMENT ON COLUMN @extschema@._chpg_report_mark.label IS 'What happened.';

CREATE FUNCTION @extschema@._chpg_report_shape(tag text, attributes text[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with(tag, attributes, NULL::@extschema@._chpg_markup);
END;

COMMENT ON FUNCTION @extschema@._chpg_report_shape(text, text[]) IS 'An element of a drawing that has only attributes.';

CREATE FUNCTION @extschema@._chpg_report_drawn(value double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value < 1e-9 THEN 0 WHEN value <> 'NaN' THEN least(value, 1e15) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_drawn(double precision) IS
'A value as charts draw it: 0, or from 1e-9 to 1e15; null if it is no number.';

/*
 * More points than a chart has places would only make the page larger.  Of hours, a day has a
 * whole number of points.
 */
CREATE FUNCTION @extschema@._chpg_report_per_point(size integer, most integer)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce((SELECT min(n) FROM unnest('{1,2,3,4,6,8,12,24,48,96,168}'::integer[]) n
		WHERE n::bigint * most >= size), (size - 1) / most + 1, 1);
END;

COMMENT ON FUNCTION @extschema@._chpg_report_per_point(integer, integer) IS
'How many of some values a point of a chart stands for, if it has at most some points.';

CREATE FUNCTION @extschema@._chpg_report_points("values" double precision[], per integer, how text)
RETURNS double precision[]
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(p.value ORDER BY p.place)
	FROM (
		SELECT (v.place - 1) / per AS place, CASE how WHEN 'min' THEN min(d.value) WHEN 'max' THEN max(d.value)
			ELSE avg(d.value) END AS value
		FROM unnest("values") WITH ORDINALITY v(value, place)
		CROSS JOIN LATERAL (SELECT @extschema@._chpg_report_drawn(v.value) AS value) d
		GROUP BY 1
	) p
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_points(double precision[], integer, text) IS
'Points of a chart, each of which stands for several values.
how: min, max or avg of these. A point without a value is null.';

/*
 * A path goes from point to point by differences of whole numbers, which are short.  A point
 * between two gaps is a line as long as a step.
 */
CREATE FUNCTION @extschema@._chpg_report_line(y integer[], step integer)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	path text := '';
	last integer;
BEGIN
	FOR i IN 1 .. coalesce(cardinality(y), 0) LOOP
		IF y[i] IS NOT NULL THEN
			path := path || CASE
				WHEN last IS NOT NULL THEN format(CASE WHEN y[i] < last THEN ' %s%s' ELSE ' %s %s' END, step, y[i] - last)
				WHEN y[i + 1] IS NULL THEN format('M%s %sh%s', step * (i - 1), y[i], step)
				ELSE format('M%s %sl0 0', step * i - step / 2, y[i]) END;
		END IF;
		last := y[i];
	END LOOP;
	RETURN path;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_line(integer[], integer) IS
'The path of a line through points that are step apart, and broken where y is null.';

/* Each piece without a gap goes there along its upper edge, and back along its lower one. */
CREATE FUNCTION @extschema@._chpg_report_area(top integer[], bottom integer[], height integer, step integer)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	size CONSTANT integer := coalesce(cardinality(top), 0);
	path text := '';
	first integer;
	x integer;
BEGIN
	FOR i IN 1 .. size LOOP
		CONTINUE WHEN top[i] IS NULL OR bottom IS NOT NULL AND bottom[i] IS NULL;
		x := step * i - step / 2;
		IF first IS NULL THEN
			-- half a step to each side, so that a single point can be seen
			first := i;
			path := path || format('M%s %sH%s', x - step / 2, top[i], x);
		ELSE
			path := path || format('l%s %s', step, top[i] - top[i - 1]);
		END IF;
		IF i < size AND top[i + 1] IS NOT NULL AND (bottom IS NULL OR bottom[i + 1] IS NOT NULL) THEN
			CONTINUE;
		END IF;
		path := path || format('h%s', step / 2);
		IF bottom IS NULL THEN
			path := path || format('V%sH%sz', height, step * (first - 1));
		ELSE
			path := path || format('V%sh-%s', bottom[i], step / 2);
			FOR j IN REVERSE i - 1 .. first LOOP
				path := path || format('l-%s %s', step, bottom[j] - bottom[j + 1]);
			END LOOP;
			path := path || format('h-%sz', step / 2);
		END IF;
		first := NULL;
	END LOOP;
	RETURN replace(path, ' -', '-');
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_area(integer[], integer[], integer, integer) IS
'The path of an area between two lines, as _chpg_report_line draws them.
bottom: null: the lower edge is the one of the chart, which has this height.';

CREATE FUNCTION @extschema@._chpg_report_heights("values" double precision[], top double precision, height integer)
RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(CASE WHEN v.value IS NOT NULL THEN round(height * (1 - least(v.value / top, 1)))::integer END
		ORDER BY v.place)
	FROM unnest("values") WITH ORDINALITY v(value, place)
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_heights(double precision[], double precision, integer) IS
'Where values stand in a chart of a height, from its upper edge, if its upper edge is at top.';

/* What a chart shows of marks: the ones within it, in order, each with its distance from the left. */
CREATE FUNCTION @extschema@._chpg_report_marks_within(marks @extschema@._chpg_report_mark[], start timestamptz,
	length interval, OUT place integer, OUT mark @extschema@._chpg_report_mark, OUT ratio double precision)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT row_number() OVER (ORDER BY m.at, m.kind, m.label)::integer, m, r.ratio
	FROM unnest(marks) m
	CROSS JOIN LATERAL (
		SELECT CASE WHEN isfinite(m.at) THEN extract(epoch FROM m.at - start)::float8 / extract(epoch FROM length)::float8 END
			AS ratio) r
	WHERE r.ratio BETWEEN 0 AND 1
	ORDER BY 1
	LIMIT 26
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_marks_within(@extschema@._chpg_report_mark[], timestamptz, interval) IS
'The first 26 marks within a chart, in order of time.
ratio: 0 at its left edge, 1 at its right one.';

CREATE FUNCTION @extschema@._chpg_report_sparkline(title text, start timestamptz, step interval,
	"values" double precision[], low double precision[], high double precision[], marks @extschema@._chpg_report_mark[])
RETURNS @extschema@._chpg_markup
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	height CONSTANT integer := 48;
	size CONSTANT integer := coalesce(cardinality("values"), 0);
	per CONSTANT integer := @extschema@._chpg_report_per_point(size, 60);
	points CONSTANT double precision[] := @extschema@._chpg_report_points("values", per, 'max'::text);
	low_points CONSTANT double precision[] := @extschema@._chpg_report_points(low, per, 'min'::text);
	high_points CONSTANT double precision[] := @extschema@._chpg_report_points(high, per, 'max'::text);
	top CONSTANT double precision := (SELECT coalesce(nullif(1.05 * max(v), 0), 1) FROM unnest(points || high_points) v);
	y CONSTANT integer[] := @extschema@._chpg_report_heights(points, top, height);
	highest integer;
	latest integer;
	parts @extschema@._chpg_markup[];
BEGIN
	SELECT (array_agg(v.place ORDER BY v.value DESC, v.place))[1], max(v.place) INTO highest, latest
	FROM unnest("values") WITH ORDINALITY v(value, place)
	WHERE v.value <> 'NaN';
	parts := ARRAY[
		@extschema@._chpg_text_tag('title'::text, title),
		@extschema@._chpg_text_tag('desc'::text, CASE WHEN highest IS NULL THEN 'No value is known.'
			ELSE format('From %s to %s, the highest at %s.', @extschema@._chpg_time_text(start),
				@extschema@._chpg_time_text(start + size * step),
				@extschema@._chpg_time_text(start + (highest - 1) * step)) END)];
	IF low_points IS NOT NULL AND high_points IS NOT NULL THEN
		parts := parts || @extschema@._chpg_report_shape('path.band'::text, ARRAY['d', @extschema@._chpg_report_area(
			@extschema@._chpg_report_heights(high_points, top, height),
			@extschema@._chpg_report_heights(low_points, top, height), height, 2)]);
	END IF;
	parts := parts || ARRAY(
		SELECT @extschema@._chpg_tag_with(CASE (m.mark).kind WHEN 'onset' THEN 'path.onset' ELSE 'path.mark' END,
			ARRAY['d', format('M%s 0V%s', round(m.ratio * 2 * cardinality(points)), height)],
			VARIADIC ARRAY[@extschema@._chpg_text_tag('title'::text,
				concat_ws(': ', @extschema@._chpg_time_text((m.mark).at), (m.mark).label))])
		FROM @extschema@._chpg_report_marks_within(marks, start, greatest(size, 1) * step) m
		ORDER BY m.place);
	IF latest IS NOT NULL THEN
		latest := (latest - 1) / per + 1;
		parts := parts || ARRAY[
			@extschema@._chpg_report_shape('path.line'::text, ARRAY['d', @extschema@._chpg_report_line(y, 2)]),
			@extschema@._chpg_report_shape(
				CASE WHEN points[latest] > high_points[latest] THEN 'path.now.high' ELSE 'path.now' END,
				ARRAY['d', format('M%s %sh0', 2 * latest - 1, y[latest])])];
	END IF;
	RETURN @extschema@._chpg_tag_with('svg.sparkline'::text, ARRAY['role', 'img', 'viewBox',
		format('0 0 %s %s', 2 * greatest(cardinality(points), 1), height), 'preserveAspectRatio', 'none'], VARIADIC parts);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_sparkline(text, timestamptz, interval, double precision[],
	double precision[], double precision[], @extschema@._chpg_report_mark[]) IS
'A line without axes, from 0 to its highest value, over a band of what is usual.
title: what it shows, in words. start, step: time of the first value, and between values. A null
  value is a gap. low, high: the band at each value; null: none.
Of more than 60 values, a point is the highest of several.';

/* Ticks are at 1, 2, 2.5 or 5 times a power of ten, five or fewer; the last is at the highest value or above. */
CREATE FUNCTION @extschema@._chpg_report_ticks(highest double precision)
RETURNS numeric[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT trim_scale(i * t.step) FROM generate_series(0, greatest(ceil(h.highest / t.step), 1)) i ORDER BY i)
	FROM (SELECT CASE WHEN highest > 0 THEN least(greatest(highest, 1e-6), 1e15)::numeric ELSE 1 END AS highest) h
	CROSS JOIN LATERAL (
		SELECT f.factor * power(10::numeric, e) AS step
		FROM unnest('{1,2,2.5,5}'::numeric[]) f(factor)
		CROSS JOIN generate_series(floor(log(h.highest))::integer - 2, floor(log(h.highest))::integer + 1) e
		WHERE ceil(h.highest / (f.factor * power(10::numeric, e))) <= 4
		ORDER BY 1 LIMIT 1) t
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_ticks(double precision) IS
'Values at an axis: from 0 to one that is not less than a value.';

CREATE FUNCTION @extschema@._chpg_report_tick_text(tick numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN tick >= 1e12 THEN trim_scale(tick / 1e12) || 'T'
		WHEN tick >= 1e9 THEN trim_scale(tick / 1e9) || 'G'
		WHEN tick >= 1e6 THEN trim_scale(tick / 1e6) || 'M'
		WHEN tick >= 1e4 THEN trim_scale(tick / 1e3) || 'k'
		ELSE trim_scale(tick)::text END;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_tick_text(numeric) IS 'A value at an axis, such as 2.5 or 20k.';

/*
 * A day's name stands at its midnight.  Of hours there are few enough to be read on a phone.
 * Midnights are local ones, so days with a change of the clocks have 23 or 25 hours.
 */
CREATE FUNCTION @extschema@._chpg_report_time_ticks(start timestamptz, length interval,
	OUT at timestamptz, OUT label text)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.t::timestamptz, CASE WHEN l.t <> date_trunc('day', l.t) THEN to_char(l.t, 'HH24:MI')
		WHEN h.hours > 9 * 24 OR h.hours <= 48 THEN to_char(l.t, 'FMDD Mon') ELSE to_char(l.t, 'Dy FMDD') END
	FROM (
		SELECT extract(epoch FROM length) / 3600 AS hours, start::timestamp AS first, (start + length)::timestamp AS last
	) h
	CROSS JOIN LATERAL (
		SELECT CASE WHEN h.hours <= 7 THEN interval '1 hour' WHEN h.hours <= 26 THEN interval '4 hours'
			WHEN h.hours <= 48 THEN interval '12 hours' ELSE ceil(h.hours / (24 * 7.5)) * interval '1 day' END AS step
	) s
	CROSS JOIN LATERAL generate_series(date_trunc('day', h.first), h.last, s.step) l(t)
	WHERE l.t BETWEEN h.first AND h.last AND h.hours BETWEEN 0.1 AND 100000
	ORDER BY 1
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_time_ticks(timestamptz, interval) IS
'Times at an axis, in the session''s time zone.';

CREATE FUNCTION @extschema@._chpg_report_share(part double precision, whole double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_percent_text(CASE WHEN whole > 0 THEN 100 * part / whole ELSE 0 END);
END;

COMMENT ON FUNCTION @extschema@._chpg_report_share(double precision, double precision) IS
'A share of a whole, as a percentage; 0 % of a whole that is 0.';

CREATE TYPE @extschema@._chpg_report_layer AS (
	place integer,
	name text,
	link text,
	total double precision,
	edge double precision[]
);

COMMENT ON TYPE @extschema@._chpg_report_layer IS 'A layer of a stacked chart.';
COMMENT ON COLUMN @extschema@._chpg_report_layer.place IS
'From 1, the lowest, to 8, the rest, which are also their colors.';
COMMENT ON COLUMN @extschema@._chpg_report_layer.name IS 'Its name in the legend.';
COMMENT ON COLUMN @extschema@._chpg_report_layer.link IS 'Where the name leads to in the page; null: nowhere.';
COMMENT ON COLUMN @extschema@._chpg_report_layer.total IS 'The sum of its values.';
COMMENT ON COLUMN @extschema@._chpg_report_layer.edge IS
'Its upper edge: a point for some values each, of which it is the mean; null: no series has a value.';

/* Where a series has no value and another one has, it is 0. */
CREATE FUNCTION @extschema@._chpg_report_layers(series @extschema@._chpg_report_series[], per integer)
RETURNS SETOF @extschema@._chpg_report_layer
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH given AS (
		SELECT s.number, s.name, s.link, v.place AS step, @extschema@._chpg_report_drawn(v.value) AS value
		FROM unnest(series) WITH ORDINALITY s(name, link, "values", number)
		LEFT JOIN LATERAL unnest(s."values") WITH ORDINALITY v(value, place) ON true
	), layer AS (
		SELECT g.number, g.name, g.link, CASE WHEN g.name IS NULL THEN 8 ELSE
			least(row_number() OVER (ORDER BY g.name IS NULL, sum(g.value) DESC NULLS LAST, g.number), 8) END AS place
		FROM given g
		GROUP BY g.number, g.name, g.link
	), point AS (
		SELECT (k.step - 1) / per AS point, l.place, sum(g.value) / count(DISTINCT k.step) AS value
		FROM (SELECT DISTINCT g.step FROM given g WHERE g.value IS NOT NULL) k
		CROSS JOIN layer l
		LEFT JOIN given g ON g.number = l.number AND g.step = k.step
		GROUP BY 1, 2
	), stacked AS (
		SELECT p.point, p.place, sum(coalesce(p.value, 0)) OVER (PARTITION BY p.point ORDER BY p.place) AS edge
		FROM point p
	)
	SELECT l.place::integer, CASE WHEN count(*) = 1 AND max(l.name) IS NOT NULL THEN max(l.name) ELSE 'all others' END,
		CASE WHEN count(*) = 1 THEN max(l.link) END,
		coalesce((SELECT sum(g.value ORDER BY g.number, g.step) FROM given g WHERE g.number = ANY (array_agg(l.number))), 0),
		ARRAY(
			SELECT s.edge
			FROM generate_series(0, (SELECT (max(g.step) - 1) / per FROM given g)) i
			LEFT JOIN stacked s ON s.place = l.place AND s.point = i
			ORDER BY i)
	FROM layer l
	GROUP BY l.place
	ORDER BY l.place
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_layers(@extschema@._chpg_report_series[], integer) IS
'The layers of a stacked chart, from the lowest: at most seven series, and the rest.
The series are those with the greatest sums. The rest is what is left, with what has no name.
per: values for a point.';

CREATE FUNCTION @extschema@._chpg_report_legend(layers @extschema@._chpg_report_layer[], total double precision)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag('ul.legend'::text, VARIADIC array_agg(@extschema@._chpg_tag('li'::text,
		@extschema@._chpg_tag_with('svg.key'::text, ARRAY['aria-hidden', 'true', 'viewBox', '0 0 10 10'],
			@extschema@._chpg_report_shape('rect.series' || l.place, ARRAY['width', '10', 'height', '10'])),
		CASE WHEN l.link IS NULL THEN @extschema@._chpg_text_tag('span'::text, l.name)
			ELSE @extschema@._chpg_tag_with('a'::text, ARRAY['href', l.link], @extschema@._chpg_text(l.name)) END,
		@extschema@._chpg_text(' '::text),
		@extschema@._chpg_text_tag('span.share'::text, @extschema@._chpg_report_share(l.total, _chpg_report_legend.total)))
		ORDER BY l.place))
	FROM unnest(layers) l
	HAVING count(*) > 0;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_legend(@extschema@._chpg_report_layer[], double precision) IS
'The names of a stacked chart''s layers, with their colors and shares; null: there are none.';

CREATE FUNCTION @extschema@._chpg_report_mark_list(marks @extschema@._chpg_report_mark[], start timestamptz,
	length interval)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag('ul.marks'::text, VARIADIC array_agg(@extschema@._chpg_tag('li'::text,
		@extschema@._chpg_text_tag('b'::text, chr(64 + m.place)),
		@extschema@._chpg_text(concat_ws(' ', '', @extschema@._chpg_time_text((m.mark).at), (m.mark).label)))
		ORDER BY m.place))
	FROM @extschema@._chpg_report_marks_within(marks, start, length) m
	HAVING count(*) > 0;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_mark_list(@extschema@._chpg_report_mark[], timestamptz, interval) IS
'What the letters in a chart mean; null: there are none.';

/* A layer is painted from its upper edge down to the axis, and the ones below it over that. */
CREATE FUNCTION @extschema@._chpg_report_stack(title text, unit text, start timestamptz, step interval,
	series @extschema@._chpg_report_series[], marks @extschema@._chpg_report_mark[])
RETURNS @extschema@._chpg_markup
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	height CONSTANT integer := 200;  -- in pixels, of which each is two units of the layers
	margin CONSTANT integer := 10;
	size CONSTANT integer := (SELECT coalesce(max(cardinality(s."values")), 0) FROM unnest(series) s);
	per CONSTANT integer := @extschema@._chpg_report_per_point(size, 170);
	length CONSTANT interval := greatest(size, 1) * step;
	layers CONSTANT @extschema@._chpg_report_layer[] := ARRAY(
		SELECT l FROM @extschema@._chpg_report_layers(series, per) l ORDER BY l.place);
	edge CONSTANT double precision[] := (layers[cardinality(layers)]).edge;
	points CONSTANT integer := coalesce(cardinality(edge), 0);
	highest CONSTANT double precision := (SELECT max(e) FROM unnest(edge) e);
	total CONSTANT double precision := (SELECT sum(l.total ORDER BY l.place) FROM unnest(layers) l);
	ticks CONSTANT numeric[] := @extschema@._chpg_report_ticks(highest);
	top CONSTANT double precision := ticks[cardinality(ticks)];
	described text;
BEGIN
	IF highest IS NULL THEN
		RETURN @extschema@._chpg_tag('figure.stack'::text, VARIADIC ARRAY[
			@extschema@._chpg_text_tag('figcaption'::text, title),
			@extschema@._chpg_text_tag('p.axis'::text, 'The history has nothing of this period.')]);
	END IF;
	described := (
		SELECT format('From %s to %s. On average %s, at most %s near %s. %s.', @extschema@._chpg_time_text(start),
			@extschema@._chpg_time_text(start + length), @extschema@._chpg_load_text(avg(e.value)),
			@extschema@._chpg_load_text(highest),
			@extschema@._chpg_time_text(start + ((array_agg(e.place ORDER BY e.value DESC, e.place))[1] - 1) * per * step),
			(SELECT string_agg(format('%s: %s', l.name, @extschema@._chpg_report_share(l.total, total)), '; ' ORDER BY l.place)
				FROM unnest(layers) l))
		FROM unnest(edge) WITH ORDINALITY e(value, place)
		WHERE e.value IS NOT NULL);
	RETURN @extschema@._chpg_tag('figure.stack'::text,
		VARIADIC ARRAY[@extschema@._chpg_text_tag('figcaption'::text, title),
		@extschema@._chpg_text_tag('p.axis'::text,
			format('%s; times in %s', unit, current_setting('TimeZone'))),
		@extschema@._chpg_tag_with('svg.plot'::text, ARRAY['role', 'img', 'height', (height + 30)::text],
			VARIADIC ARRAY[@extschema@._chpg_text_tag('title'::text, title),
			@extschema@._chpg_text_tag('desc'::text, described),
			@extschema@._chpg_join(ARRAY(
				SELECT @extschema@._chpg_join(ARRAY[
					@extschema@._chpg_report_shape('line.grid'::text, ARRAY['x1', '0', 'x2', '100%', 'y1', y.y, 'y2', y.y]),
					@extschema@._chpg_tag_with('text.value'::text, ARRAY['x', '-6', 'y', y.y, 'dy', '4'],
						VARIADIC ARRAY[@extschema@._chpg_text(@extschema@._chpg_report_tick_text(t.tick))])])
				FROM unnest(ticks) t(tick)
				CROSS JOIN LATERAL (
					SELECT round((margin + height * (1 - t.tick / ticks[cardinality(ticks)]))::numeric, 1)::text AS y) y
				ORDER BY t.tick)),
			@extschema@._chpg_tag_with('svg.layers'::text, ARRAY['x', '0', 'y', margin::text, 'width', '100%', 'height',
					height::text, 'viewBox', format('0 0 %s %s', 2 * greatest(points, 1), 2 * height),
					'preserveAspectRatio', 'none'],
				VARIADIC ARRAY(
					SELECT @extschema@._chpg_report_shape('path.series' || l.place, ARRAY['d', @extschema@._chpg_report_area(
						@extschema@._chpg_report_heights(l.edge, top, 2 * height), NULL::integer[], 2 * height, 2)])
					FROM unnest(layers) l
					ORDER BY l.place DESC)),
			@extschema@._chpg_join(ARRAY(
				SELECT @extschema@._chpg_join(ARRAY[
					@extschema@._chpg_report_shape('line.tick'::text, ARRAY['x1', x.x, 'x2', x.x, 'y1', (margin + height)::text,
						'y2', (margin + height + 5)::text]),
					@extschema@._chpg_tag_with('text.time'::text, ARRAY['x', x.x, 'dx', '2', 'y', (margin + height + 16)::text],
						VARIADIC ARRAY[@extschema@._chpg_text(CASE WHEN r.ratio <= 0.93 THEN t.label END)])])
				FROM @extschema@._chpg_report_time_ticks(start, length) t
				CROSS JOIN LATERAL (
					SELECT extract(epoch FROM t.at - start)::float8 / extract(epoch FROM length)::float8 AS ratio) r
				CROSS JOIN LATERAL (SELECT round(100 * r.ratio::numeric, 2) || '%' AS x) x
				ORDER BY t.at)),
			@extschema@._chpg_join(ARRAY(
				SELECT @extschema@._chpg_join(ARRAY[
					@extschema@._chpg_report_shape('line.halo'::text, ARRAY['x1', x.x, 'x2', x.x, 'y1', margin::text,
						'y2', (margin + height)::text]),
					@extschema@._chpg_report_shape('line.mark'::text, ARRAY['x1', x.x, 'x2', x.x, 'y1', margin::text,
						'y2', (margin + height)::text]),
					@extschema@._chpg_tag_with('text.mark'::text, ARRAY['x', x.x, 'y', (margin - 1)::text],
						VARIADIC ARRAY[@extschema@._chpg_text(chr(64 + m.place))])])
				FROM @extschema@._chpg_report_marks_within(marks, start, length) m
				CROSS JOIN LATERAL (SELECT round(100 * m.ratio::numeric, 2) || '%' AS x) x
				ORDER BY m.place))]),
		@extschema@._chpg_report_legend(layers, total),
		@extschema@._chpg_report_mark_list(marks, start, length)]);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_stack(text, text, timestamptz, interval, @extschema@._chpg_report_series[],
	@extschema@._chpg_report_mark[]) IS
'What several series sum up to over time, each in its color, with axes, a legend and marks.
unit: of the values, as words. start, step: time of the first value, and between values.
A series without a name is the rest. Of more than 170 values, a point is the mean of several.';

CREATE FUNCTION @extschema@._chpg_report_bar(title text, percent double precision, warn double precision)
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_tag_with(CASE WHEN v.percent >= warn THEN 'svg.bar.full' ELSE 'svg.bar' END,
		CASE WHEN title IS NULL THEN ARRAY['aria-hidden', 'true'] ELSE ARRAY['role', 'img'] END
			|| ARRAY['viewBox', '0 0 100 10', 'preserveAspectRatio', 'none'],
		CASE WHEN title IS NOT NULL THEN @extschema@._chpg_text_tag('title'::text, title) END,
		@extschema@._chpg_report_shape('rect.track'::text, ARRAY['width', '100', 'height', '10']),
		@extschema@._chpg_report_shape('rect.part'::text, ARRAY['width', trim_scale(round(v.percent::numeric, 1))::text,
			'height', '10']))
	FROM (SELECT least(d, 100) AS percent
		FROM @extschema@._chpg_report_drawn(_chpg_report_bar.percent) d WHERE d IS NOT NULL) v;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_bar(text, double precision, double precision) IS
'A bar as long as a percentage; null: none, as the percentage is not known.
title: what it shows, in words; null: a number beside it says so. warn: from where on it has the
  color of an alarm.';

CREATE FUNCTION @extschema@._chpg_report_strip(title text, states text[])
RETURNS @extschema@._chpg_markup
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH runs AS (
		SELECT c.state, min(c.place) AS first, count(*) AS size
		FROM (
			SELECT v.state, v.place, v.place - row_number() OVER (PARTITION BY v.state ORDER BY v.place) AS run
			FROM (SELECT CASE WHEN u.state IN ('ok', 'truncated', 'failed') THEN u.state ELSE 'missing' END, u.place
				FROM unnest(states) WITH ORDINALITY u(state, place)) v(state, place)
		) c
		GROUP BY c.state, c.run
	)
	SELECT @extschema@._chpg_tag_with('svg.strip'::text, ARRAY['role', 'img', 'viewBox',
			format('0 0 %s 10', greatest(cardinality(states), 1)), 'preserveAspectRatio', 'none'],
		VARIADIC @extschema@._chpg_text_tag('title'::text, title) || coalesce(array_agg(
			@extschema@._chpg_report_shape('rect.' || r.state,
				ARRAY['x', (r.first - 1)::text, 'width', r.size::text, 'height', '10'])
			ORDER BY r.first), '{}'))
	FROM runs r;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_strip(text, text[]) IS
'A strip with a cell for each window of a period: ok, truncated, failed, or else missing.';

/*
 * The seven colors differ for readers without red, green or blue cones, each from its neighbor
 * also in lightness, and each from the ground by a contrast of 3: t/report/charts.pl
 * measures it.  On paper the light ones hold.
 */
CREATE FUNCTION @extschema@._chpg_report_chart_style()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT $css$
:root { --series1: #45378d; --series2: #b97d2b; --series3: #247353; --series4: #a475b7; --series5: #6a195b;
  --series6: #4c8eed; --series7: #862119; --series8: #8a8f98; --band: #d5dae0; }
@media screen and (prefers-color-scheme: dark) {
:root { --series1: #4e6dc8; --series2: #ffd877; --series3: #42a170; --series4: #cddaa5; --series5: #bc92d4;
  --series6: #bbe5ff; --series7: #e38e4d; --series8: #7d838c; --band: #39414b; }
}
.series1 { fill: var(--series1); } .series2 { fill: var(--series2); } .series3 { fill: var(--series3); }
.series4 { fill: var(--series4); } .series5 { fill: var(--series5); } .series6 { fill: var(--series6); }
.series7 { fill: var(--series7); } .series8 { fill: var(--series8); }
.sparkline { width: 8rem; height: 1.75rem; overflow: visible; vertical-align: middle; }
.sparkline path { fill: none; stroke: var(--ink); stroke-width: 1.25px; stroke-linejoin: round; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
.sparkline .band { fill: var(--band); stroke: none; }
.sparkline .now { stroke-width: 5px; }
.sparkline .now.high { stroke: var(--bad); }
.sparkline .mark { stroke: var(--muted); stroke-dasharray: 2 2; stroke-linecap: butt; }
.sparkline .onset { stroke: var(--bad); stroke-linecap: butt; }
.stack { margin: 1rem 0; break-inside: avoid; }
.stack figcaption { font-weight: 600; }
.stack .axis { margin: 0 0 .25rem; color: var(--muted); font-size: .8125rem; }
.plot { display: block; width: calc(100% - 3rem); margin-left: 3rem; overflow: visible; }
.plot text { fill: var(--muted); font-size: 11px; }
.plot .value { text-anchor: end; }
.plot .grid { stroke: var(--line); }
.plot .tick { stroke: var(--muted); }
.plot .halo { stroke: var(--ground); stroke-width: 3px; }
.plot .mark { stroke: var(--ink); stroke-dasharray: 3 2; }
.plot text.mark { stroke: none; fill: var(--ink); text-anchor: middle; font-weight: 600; }
.layers path { stroke: var(--ground); stroke-width: .75px; vector-effect: non-scaling-stroke; }
.legend, .marks { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; padding: 0; list-style: none;
  font-size: .8125rem; }
.legend .share { color: var(--muted); }
.key { width: .75rem; height: .75rem; margin-right: .375rem; vertical-align: -.0625rem; }
.bar { display: block; width: 100%; min-width: 3rem; height: .375rem; }
.bar .track { fill: var(--band); }
.bar .part { fill: var(--series6); }
.bar.full .part { fill: var(--bad); }
.strip { display: block; width: 100%; height: .75rem; }
.strip .ok { fill: var(--series6); }
.strip .truncated { fill: var(--series2); }
.strip .failed { fill: var(--bad); }
.strip .missing { fill: var(--band); }
@media print { .sparkline { width: 5rem; } .bar { min-width: 1.5rem; } }
$css$;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_chart_style() IS
'The part of the style sheet that is about charts.
It uses colors of the rest: --ink, --muted, --line, --ground and --bad.';
