/* History: capturing one window of one service. */

CREATE FUNCTION @extschema@._chpg_bounded(value numeric)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL THEN greatest(least(value, 9223372036854775807), -9223372036854775807)::bigint END;
END;

COMMENT ON FUNCTION @extschema@._chpg_bounded(numeric) IS 'The value as bigint, or the nearest one that is. For the functions that compare.';

CREATE FUNCTION @extschema@._chpg_bounded(value double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL THEN greatest(least(value, 1e18), -1e18) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_bounded(double precision) IS 'The value, at most 1e18 and at least -1e18, so that sums can be made. For the functions that compare.';

/*
 * A partition is made apart, and then attached: that locks out neither readers of its
 * parent nor those who write to it.  It belongs to the owner of its parent, whoever
 * captures.  Bounds are written, and read again, in one form whatever the session's is.
 */
CREATE FUNCTION @extschema@._chpg_history_partition(grain text, at timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
DECLARE
	place name := @extschema@._chpg_history_enter();
	parent text := 'pattern_of_' || grain;
	month timestamptz := date_trunc('month', at, 'UTC');
	child text := parent || '_' || to_char(month AT TIME ZONE 'UTC', 'YYYYMM');
	owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = format('%I.%I', place, parent)::regclass);
BEGIN
	IF to_regclass(format('%I.%I', place, child)) IS NOT NULL THEN
		RETURN;
	END IF;
	EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL)', place, child, parent);
	PERFORM @extschema@._chpg_history_close(format('%I.%I', place, child));
	IF pg_get_userbyid(owner) <> current_user THEN
		EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', place, child, pg_get_userbyid(owner));
	END IF;
	EXECUTE format('ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%4$L) TO (%5$L)',
		place, child, parent, month, date_trunc('month', month + interval '40 days', 'UTC'));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_partition(text, timestamptz) IS 'Makes the partition for a month, unless it is there. For functions that capture.';

CREATE FUNCTION @extschema@._chpg_note_patterns(service_id text, grain text, window_start timestamptz, window_end timestamptz,
	patterns @extschema@.chpg_slow_pattern_row[], cutoff double precision)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO query_text AS t
	SELECT DISTINCT hashtextextended(coalesce(f.query_text, ''), 0), coalesce(f.query_text, ''), window_start, window_end
	FROM unnest(patterns) f
	ON CONFLICT (text_id) DO UPDATE
	SET first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen);
	INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
	SELECT DISTINCT coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''),
		coalesce(f.db_operation, ''), coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0)
	FROM unnest(patterns) f
	ON CONFLICT DO NOTHING;

	PERFORM @extschema@._chpg_history_partition(grain, window_start);
	DELETE FROM pattern p WHERE p.service_id = _chpg_note_patterns.service_id
		AND p.grain = _chpg_note_patterns.grain AND p.window_start = _chpg_note_patterns.window_start;
	INSERT INTO pattern
	SELECT DISTINCT ON (k.pattern_key) _chpg_note_patterns.service_id, grain, window_start, k.pattern_key,
		f.call_count, f.error_count, @extschema@._chpg_bounded(f.total_duration_us), @extschema@._chpg_bounded(f.avg_duration_us),
		@extschema@._chpg_bounded(f.max_duration_us), @extschema@._chpg_bounded(f.p50_duration_us),
		@extschema@._chpg_bounded(f.p95_duration_us), @extschema@._chpg_bounded(f.p99_duration_us), f.total_rows,
		f.total_shared_blks_read, f.total_shared_blks_hit, @extschema@._chpg_bounded(f.total_cpu_time_us), f.total_wal_bytes
	FROM unnest(patterns) f
	JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
		(coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''), coalesce(f.db_operation, ''),
			coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0))
	ORDER BY k.pattern_key, f.total_duration_us DESC NULLS LAST;
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us, attempts, captured_at)
	VALUES (_chpg_note_patterns.service_id, grain, window_start, window_end, 'ok', cardinality(patterns), cutoff IS NOT NULL,
		cutoff, 1, now())
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET status = 'ok', patterns = excluded.patterns, truncated = excluded.truncated, cutoff_us = excluded.cutoff_us,
		error = NULL, attempts = c.attempts + 1, captured_at = now();
	RETURN cardinality(patterns);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_patterns(text, text, timestamptz, timestamptz, @extschema@.chpg_slow_pattern_row[], double precision) IS
'Replaces the patterns of a window by these; returns how many they are. For _chpg_capture_patterns.';

/*
 * Patterns that have errors may have no duration, so that they come last.  All
 * arguments are given, with their types, so that no other function suits better.
 */
CREATE FUNCTION @extschema@._chpg_capture_patterns(owner oid, service_id text, grain text, window_start timestamptz,
	window_end timestamptz, server text, max_patterns bigint, max_error_patterns bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found @extschema@.chpg_slow_pattern_row[];
	cutoff double precision;
BEGIN
	-- one more than is kept tells whether there are more
	found := ARRAY(SELECT f
		FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text, NULL::text, NULL::text,
			NULL::text, NULL::text, max_patterns + 1, server) f);
	IF cardinality(found) > max_patterns THEN
		found := found[:max_patterns];
		cutoff := (SELECT coalesce(min(f.total_duration_us), 0) FROM unnest(found) f);
	END IF;
	found := found || ARRAY(
		SELECT e
		FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text, NULL::text, NULL::text,
			'error_count'::text, NULL::text, max_error_patterns, server) e
		WHERE e.error_count > 0 AND NOT EXISTS (
			SELECT FROM unnest(found) f
			WHERE (f.query_id, f.db_name, f.db_user, f.db_operation, f.app)
				IS NOT DISTINCT FROM (e.query_id, e.db_name, e.db_user, e.db_operation, e.app)));
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_patterns($1, $2, $3, $4, $5, $6))'::text,
		ROW(service_id, grain, window_start, window_end, found, cutoff));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_patterns(oid, text, text, timestamptz, timestamptz, text, bigint, bigint) IS
'Replaces the patterns of a window. 2 requests, 1 more for each further 500 patterns. For _chpg_capture_window.';

CREATE FUNCTION @extschema@._chpg_note_metrics(service_id text, window_start timestamptz, window_end timestamptz,
	points @extschema@.chpg_metric_row[])
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	DELETE FROM metric_point m WHERE m.service_id = _chpg_note_metrics.service_id
		AND m."time" >= window_start AND m."time" < window_end;
	INSERT INTO metric_point (service_id, metric, series, "time", unit, value)
	SELECT DISTINCT ON (p.metric, coalesce(p.series, ''), p."timestamp")
		_chpg_note_metrics.service_id, p.metric, coalesce(p.series, ''), p."timestamp", p.unit, p.value
	FROM unnest(points) p
	WHERE p.metric IS NOT NULL AND p."timestamp" >= window_start AND p."timestamp" < window_end
	ORDER BY p.metric, coalesce(p.series, ''), p."timestamp";
	RETURN cardinality(points);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_metrics(text, timestamptz, timestamptz, @extschema@.chpg_metric_row[]) IS
'Replaces the points of a window''s time series by these; returns how many they are. For _chpg_capture_metrics.';

CREATE FUNCTION @extschema@._chpg_capture_metrics(owner oid, service_id text, window_start timestamptz, window_end timestamptz,
	server text, bucket interval)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	points @extschema@.chpg_metric_row[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF bucket IS NULL THEN
		RETURN;
	END IF;
	points := ARRAY(SELECT p FROM @extschema@.chpg_metrics(window_start, window_end, service_id, bucket, server) p);
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_metrics($1, $2, $3, $4))'::text,
		ROW(service_id, window_start, window_end, points));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_metrics(oid, text, timestamptz, timestamptz, text, interval) IS
'Replaces the points of a window''s time series. 1 request for each 250 points of a series, none if bucket is null. For _chpg_capture_window.';

CREATE FUNCTION @extschema@._chpg_failure(state text, message text, detail text, hint text, context text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_build_object('state', state, 'message', message, 'detail', nullif(detail, ''), 'hint', nullif(hint, ''),
		'context', substring(context FROM '^request [^\n]+'));
END;

COMMENT ON FUNCTION @extschema@._chpg_failure(text, text, text, text, text) IS 'An error that was caught, with the request that it was about, for _chpg_raise.';

CREATE FUNCTION @extschema@._chpg_raise(state text, message text, detail text, hint text, context text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'chpg_raise';

COMMENT ON FUNCTION @extschema@._chpg_raise(text, text, text, text, text) IS
'Raises an error that was caught; detail, hint and context may be null. Its CONTEXT does not name the functions that it came from. For chpg_capture.';

CREATE FUNCTION @extschema@._chpg_note_failure(service_id text, grain text, window_start timestamptz, window_end timestamptz, failure text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tried integer;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, error, attempts, captured_at)
	VALUES (service_id, grain, window_start, window_end, 'error', failure, 1, now())
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET status = CASE c.status WHEN 'ok' THEN 'ok' ELSE 'error' END, error = excluded.error,
		attempts = c.attempts + 1, captured_at = CASE c.status WHEN 'ok' THEN c.captured_at ELSE now() END
	RETURNING c.attempts INTO tried;
	RETURN tried;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_failure(text, text, timestamptz, timestamptz, text) IS
'Notes why a window could not be captured; returns how many times that was tried. For _chpg_capture_window.';

CREATE FUNCTION @extschema@._chpg_begin_window(service_id text, grain text, window_start timestamptz, only_due boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock();
	IF only_due AND NOT EXISTS (SELECT FROM @extschema@.chpg_history_due(grain, service_id, NULL::text) d
			WHERE d.window_start = _chpg_begin_window.window_start AND NOT d.lost) THEN
		RETURN NULL;
	END IF;
	RETURN (SELECT to_jsonb(s) FROM @extschema@._chpg_history_settings() s);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_begin_window(text, text, timestamptz, boolean) IS
'Waits until nothing else changes the history; returns its settings, or null for a window that is not due any more, if only due ones are wanted. For _chpg_capture_window.';

/*
 * What fails leaves the window as it was, and a word why; so does what is canceled,
 * or the next run would be held up by the same window.  Who had to wait for another
 * capture may find that it is done.
 */
CREATE FUNCTION @extschema@._chpg_capture_window(service_id text, grain text, window_start timestamptz, window_end timestamptz, server text,
	only_due boolean DEFAULT false, OUT failure text, OUT fatal jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
	context text;
	owner oid;
	settings jsonb;
BEGIN
	BEGIN
		owner := @extschema@._chpg_history_owner();
		settings := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_begin_window($1, $2, $3, $4)'::text,
			ROW(service_id, grain, window_start, only_due));
		IF settings IS NULL THEN
			RETURN;
		END IF;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
			hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
		fatal := @extschema@._chpg_failure(state, message, detail, hint, context);
		RETURN;
	END;
	BEGIN
		IF grain = 'hour' THEN
			PERFORM @extschema@._chpg_capture_metrics(owner, service_id, window_start, window_end, server,
				(settings->>'metric_bucket')::interval);
		END IF;
		PERFORM @extschema@._chpg_capture_patterns(owner, service_id, grain, window_start, window_end, server,
			(settings->>'max_patterns')::bigint, (settings->>'max_error_patterns')::bigint);
		RETURN;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	END;
	failure := left(regexp_replace(concat_ws('. ', state || ': ' || message, nullif(detail, '')), '\s+', ' ', 'g'), 1000);
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_note_failure($1, $2, $3, $4, $5))'::text,
		ROW(service_id, grain, window_start, window_end, failure));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_window(text, text, timestamptz, timestamptz, text, boolean) IS
'Captures a window, once no other is being captured, unless it is not due any more and only due ones are wanted; returns why the window failed, or what is wrong with the history (fatal), or nulls. 2 requests, and those of the metrics for an hour; 1 more for each further 500 patterns. For chpg_capture.';
