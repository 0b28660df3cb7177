/* History: capturing one window of one service. */

CREATE FUNCTION @extschema@._chpg_bounded(value numeric)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL
		THEN greatest(least(value, 9223372036854775807), -9223372036854775807)::bigint END;
END;

COMMENT ON FUNCTION @extschema@._chpg_bounded(numeric) IS 'The value as bigint, or the nearest bigint.';

CREATE FUNCTION @extschema@._chpg_bounded(value double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN value IS NOT NULL THEN greatest(least(value, 1e18), -1e18) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_bounded(double precision) IS
'The value, or the nearest one between -1e18 and 1e18, so that sums do not overflow.';

/*
 * Unlike CREATE TABLE ... PARTITION OF, attaching a table locks out neither readers of the
 * parent nor sessions that write to it.  The partition belongs to the owner of its parent,
 * whichever role captures.  Bounds are written in one form, whatever the session's is,
 * since _chpg_history_expire reads them.
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

COMMENT ON FUNCTION @extschema@._chpg_history_partition(text, timestamptz) IS
'Create the partition of a grain for the month of a time, unless it exists.';

/*
 * The window's own row in capture says how it ended; after a failure, what the window has
 * stays as it was.  Points are null where no metrics were read: earlier points stay then.
 */
CREATE FUNCTION @extschema@._chpg_note_window(service_id text, grain text, window_start timestamptz,
	window_end timestamptz, patterns @extschema@.chpg_slow_pattern_row[], cutoff_us double precision,
	points @extschema@.chpg_metric_row[], failure text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF failure IS NOT NULL THEN
		INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, error, attempts, captured_at)
		VALUES (service_id, grain, window_start, window_end, 'error', failure, 1, now())
		ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
		SET status = CASE c.status WHEN 'ok' THEN 'ok' ELSE 'error' END, error = excluded.error,
			attempts = c.attempts + 1, captured_at = CASE c.status WHEN 'ok' THEN c.captured_at ELSE now() END;
		RETURN NULL;
	END IF;
	IF points IS NOT NULL THEN
		DELETE FROM metric_point m WHERE m.service_id = _chpg_note_window.service_id
			AND m."time" >= window_start AND m."time" < window_end;
		INSERT INTO metric_point (service_id, metric, series, "time", unit, value)
		SELECT DISTINCT ON (p.metric, coalesce(p.series, ''), p."timestamp")
			_chpg_note_window.service_id, p.metric, coalesce(p.series, ''), p."timestamp", p.unit, p.value
		FROM unnest(points) p
		WHERE p.metric IS NOT NULL AND p."timestamp" >= window_start AND p."timestamp" < window_end
		ORDER BY p.metric, coalesce(p.series, ''), p."timestamp";
	END IF;

	INSERT INTO query_text AS t
	SELECT DISTINCT hashtextextended(coalesce(f.query_text, ''), 0), coalesce(f.query_text, ''), window_start,
		window_end
	FROM unnest(patterns) f
	ON CONFLICT (text_id) DO UPDATE
	SET first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen);
	INSERT INTO pattern_key (query_id, db_name, db_user, db_operation, app, text_id)
	SELECT DISTINCT coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''),
		coalesce(f.db_operation, ''), coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0)
	FROM unnest(patterns) f
	ON CONFLICT DO NOTHING;

	PERFORM @extschema@._chpg_history_partition(grain, window_start);
	DELETE FROM pattern p WHERE p.service_id = _chpg_note_window.service_id
		AND p.grain = _chpg_note_window.grain AND p.window_start = _chpg_note_window.window_start;
	INSERT INTO pattern
	SELECT DISTINCT ON (k.pattern_key) _chpg_note_window.service_id, grain, window_start, k.pattern_key,
		f.call_count, f.error_count, @extschema@._chpg_bounded(f.total_duration_us),
		@extschema@._chpg_bounded(f.avg_duration_us), @extschema@._chpg_bounded(f.max_duration_us),
		@extschema@._chpg_bounded(f.p50_duration_us), @extschema@._chpg_bounded(f.p95_duration_us),
		@extschema@._chpg_bounded(f.p99_duration_us), f.total_rows, f.total_shared_blks_read,
		f.total_shared_blks_hit, @extschema@._chpg_bounded(f.total_cpu_time_us), f.total_wal_bytes
	FROM unnest(patterns) f
	JOIN pattern_key k ON (k.query_id, k.db_name, k.db_user, k.db_operation, k.app, k.text_id) =
		(coalesce(f.query_id, 0), coalesce(f.db_name, ''), coalesce(f.db_user, ''), coalesce(f.db_operation, ''),
			coalesce(f.app, ''), hashtextextended(coalesce(f.query_text, ''), 0))
	ORDER BY k.pattern_key, f.total_duration_us DESC NULLS LAST;
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status, patterns, truncated, cutoff_us,
		attempts, captured_at)
	VALUES (_chpg_note_window.service_id, grain, window_start, window_end, 'ok', cardinality(patterns),
		_chpg_note_window.cutoff_us IS NOT NULL, _chpg_note_window.cutoff_us, 1, now())
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE
	SET status = 'ok', patterns = excluded.patterns, truncated = excluded.truncated, cutoff_us = excluded.cutoff_us,
		error = NULL, attempts = c.attempts + 1, captured_at = now();
	RETURN cardinality(patterns);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_window(text, text, timestamptz, timestamptz,
	@extschema@.chpg_slow_pattern_row[], double precision, @extschema@.chpg_metric_row[], text) IS
'Replace the patterns and the metrics of a window, and return the number of patterns.
Or note why the window could not be captured (failure), and return null.
cutoff_us: shortest total duration captured, of a window with more patterns; null: it has no
  more.';

CREATE FUNCTION @extschema@._chpg_raise(state text, message text, detail text, hint text, context text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'chpg_raise';

COMMENT ON FUNCTION @extschema@._chpg_raise(text, text, text, text, text) IS
'Raise an error that was caught; detail, hint and context may be null.
Its CONTEXT names none of the functions that it came from.';

/*
 * All is read by the caller before anything is written by the owner.  A window that fails,
 * or is canceled, stays as it was and has the reason noted, or the next run would be held
 * up by it again.
 */
CREATE FUNCTION @extschema@._chpg_capture_window(service_id text, grain text, window_start timestamptz,
	window_end timestamptz, server text, only_due boolean DEFAULT false, service_state text DEFAULT NULL,
	OUT failure text, OUT fatal jsonb, OUT unread boolean)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = 0
AS $$
DECLARE
	owner oid;
	settings jsonb;
	bucket interval;
	max_patterns bigint;
	found @extschema@.chpg_slow_pattern_row[];
	cutoff_us double precision;
	points @extschema@.chpg_metric_row[];
	state text;
	message text;
	detail text;
	hint text;
	context text;
BEGIN
	BEGIN
		owner := @extschema@._chpg_history_owner();
		PERFORM @extschema@._chpg_run_as(owner, 'SELECT to_jsonb(@extschema@._chpg_history_lock())'::text, ROW());
		-- another capture may have made the window meanwhile
		settings := @extschema@._chpg_run_as(owner, 'SELECT CASE WHEN NOT $4 OR EXISTS ('
				'SELECT FROM @extschema@.chpg_history_due($2, $1, NULL::text) d '
				'WHERE d.window_start = $3 AND NOT d.lost) '
				'THEN (SELECT to_jsonb(s) FROM @extschema@._chpg_history_settings() s) END'::text,
			ROW(service_id, grain, window_start, only_due));
		IF settings IS NULL THEN
			RETURN;
		END IF;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
			hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
		fatal := jsonb_build_object('state', state, 'message', message, 'detail', nullif(detail, ''),
			'hint', nullif(hint, ''), 'context', substring(context FROM '^request [^\n]+'));
		RETURN;
	END;
	BEGIN
		bucket := settings->>'metric_bucket';
		IF grain = 'hour' AND bucket IS NOT NULL THEN
			points := ARRAY(SELECT p FROM @extschema@.chpg_metrics(window_start, window_end, service_id, bucket,
				server) p);
		END IF;
		-- one more than is kept shows whether there are more
		max_patterns := settings->>'max_patterns';
		found := ARRAY(SELECT f
			FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text,
				NULL::text, NULL::text, NULL::text, NULL::text, max_patterns + 1, server) f);
		IF cardinality(found) > max_patterns THEN
			found := found[:max_patterns];
			cutoff_us := (SELECT coalesce(min(f.total_duration_us), 0) FROM unnest(found) f);
		END IF;
		-- patterns with errors may have no duration, and be among the last of those
		found := found || ARRAY(
			SELECT e
			FROM @extschema@.chpg_slow_patterns(window_start, window_end, service_id, NULL::text, NULL::text,
				NULL::text, NULL::text, 'error_count'::text, NULL::text,
				(settings->>'max_error_patterns')::bigint, server) e
			WHERE e.error_count > 0 AND NOT EXISTS (
				SELECT FROM unnest(found) f
				WHERE (f.query_id, f.db_name, f.db_user, f.db_operation, f.app)
					IS NOT DISTINCT FROM (e.query_id, e.db_name, e.db_user, e.db_operation, e.app)));
		PERFORM @extschema@._chpg_run_as(owner,
			'SELECT to_jsonb(@extschema@._chpg_note_window($1, $2, $3, $4, $5, $6, $7, NULL::text))'::text,
			ROW(service_id, grain, window_start, window_end, found, cutoff_us, points));
		RETURN;
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	END;
	-- the API's errors, not those of the key, the budget or the transfer
	unread := service_state <> 'running' AND state IN ('22023', '42704', '55006', '58000');
	failure := left(regexp_replace(concat_ws('. ',
			CASE WHEN unread THEN format('Not read: the service is "%s"', service_state) END,
			state || ': ' || message, nullif(detail, '')), '\s+', ' ', 'g'),
		1000);
	PERFORM @extschema@._chpg_run_as(owner,
		'SELECT to_jsonb(@extschema@._chpg_note_window($1, $2, $3, $4, $5, $6, $7, $8))'::text,
		ROW(service_id, grain, window_start, window_end, NULL::@extschema@.chpg_slow_pattern_row[],
			NULL::double precision, NULL::@extschema@.chpg_metric_row[], failure));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_window(text, text, timestamptz, timestamptz, text, boolean, text) IS
'Capture a window, once no other capture runs.
Returns why it failed (failure), or what is wrong with the history (fatal).
only_due: skip a window that another capture has made meanwhile.
unread: it failed, which is no wonder in that state of the service.
Requests: 2, 1 more per further 500 patterns; for an hour those of chpg_metrics, too.';
