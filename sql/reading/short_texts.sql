/* Reading: numbers and texts as people read them, in few characters. */

CREATE FUNCTION @extschema@._chpg_number_text(value double precision, unit text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT to_char(value, CASE WHEN abs(value) < 99.95 THEN 'FM90.0' ELSE 'FM99999990' END) || ' ' || unit;
END;

COMMENT ON FUNCTION @extschema@._chpg_number_text(double precision, text) IS
'A value with its unit, to three digits.';

CREATE FUNCTION @extschema@._chpg_duration_text(us double precision)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN us < 999.5 THEN @extschema@._chpg_number_text(us, 'us')
		WHEN us < 999.5e3 THEN @extschema@._chpg_number_text(us / 1e3, 'ms')
		WHEN us < 119.5e6 THEN @extschema@._chpg_number_text(us / 1e6, 's')
		WHEN us < 119.5 * 60e6 THEN @extschema@._chpg_number_text(us / 60e6, 'min')
		WHEN us < 47.5 * 3600e6 THEN @extschema@._chpg_number_text(us / 3600e6, 'h')
		ELSE @extschema@._chpg_number_text(least(us / 86400e6, 99999), 'd')
	END;
END;

COMMENT ON FUNCTION @extschema@._chpg_duration_text(double precision) IS
'Microseconds as people read them, such as 12.0 ms or 4.5 min.';

CREATE FUNCTION @extschema@._chpg_count_text(count double precision)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN count < 999999.5 THEN to_char(count, 'FM999990')
		WHEN count < 999.5e6 THEN @extschema@._chpg_number_text(count / 1e6, 'M')
		ELSE @extschema@._chpg_number_text(least(count / 1e9, 99999), 'G')
	END;
END;

COMMENT ON FUNCTION @extschema@._chpg_count_text(double precision) IS
'A count as people read it, such as 12345 or 12.3 M.';

CREATE FUNCTION @extschema@._chpg_bytes_text(bytes double precision)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT to_char(n.value, CASE WHEN n.value < 9.95 AND n.unit <> 'B' THEN 'FM0.0' ELSE 'FM999990' END) || ' ' || n.unit
	FROM (
		SELECT CASE
				WHEN bytes < 999.5 THEN bytes
				WHEN bytes < 999.5 * 1024 THEN bytes / 1024
				WHEN bytes < 999.5 * 1048576 THEN bytes / 1048576
				WHEN bytes < 999.5 * 1073741824 THEN bytes / 1073741824
				ELSE least(bytes / 1099511627776, 999999)
			END AS value,
			CASE
				WHEN bytes < 999.5 THEN 'B'
				WHEN bytes < 999.5 * 1024 THEN 'kB'
				WHEN bytes < 999.5 * 1048576 THEN 'MB'
				WHEN bytes < 999.5 * 1073741824 THEN 'GB'
				ELSE 'TB'
			END AS unit
	) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_bytes_text(double precision) IS
'Bytes as people read them, such as 2.3 GB or 128 GB, in units of 1024.';

/* What psql would show as several lines, or as an escape, would break its columns. */
CREATE FUNCTION @extschema@._chpg_line_text(value text, width integer)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_line_text';

COMMENT ON FUNCTION @extschema@._chpg_line_text(text, integer) IS
'The text as one line of at most so many columns; ~ ends one that is cut.
A wide character, such as a Chinese one, takes two columns.';

CREATE FUNCTION @extschema@._chpg_closest(wanted text, names text[])
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_closest';

COMMENT ON FUNCTION @extschema@._chpg_closest(text, text[]) IS
'The end of a message that asks which of some names was meant, such as '': did you mean "time"?''.
Empty if none is close.';
