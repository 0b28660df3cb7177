/* History: capturing all windows that are due. */

/* A budget that cannot be read is no reason to wait: the window that follows has the error. */
CREATE FUNCTION @extschema@._chpg_capture_must_wait(server text, reserve integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM @extschema@._chpg_own_budget(@extschema@._chpg_own_server(server)) b
		WHERE b.waiting > 0 OR b.free < least(reserve, substring(b.rate_limit FROM '^[0-9]+')::integer));
EXCEPTION WHEN OTHERS THEN
	RETURN false;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_must_wait(text, integer) IS
'Whether a capture must leave the budget to others.
That is while a backend waits for it, or fewer requests are free than the reserve.
Requests: none.';

CREATE PROCEDURE @extschema@._chpg_check_commits(procedure text, example text)
LANGUAGE C
AS 'MODULE_PATHNAME', 'chpg_check_commits';

COMMENT ON PROCEDURE @extschema@._chpg_check_commits(text, text) IS
'Check that the calling procedure can end transactions.
The error has its name, and the HINT a command that calls it (example).
Errors: 25001 it cannot, such as within a transaction block.';

CREATE FUNCTION @extschema@._chpg_report_progress(operation text, reported_at timestamptz, done bigint, windows bigint)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_progress(operation, done, windows);
	IF clock_timestamp() < reported_at + interval '1 minute' THEN
		RETURN reported_at;
	END IF;
	RAISE NOTICE '% of % windows are done', done, windows;
	RETURN clock_timestamp();
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_progress(text, timestamptz, bigint, bigint) IS
'Show the progress of an operation in chpg_activity, and in a NOTICE at most once a minute.
Returns the time of the last NOTICE.';

CREATE FUNCTION @extschema@._chpg_capture_schedule(grain text, service text, server text, max_windows integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock();
	PERFORM @extschema@._chpg_history_partition(g.grain, m.at)
	FROM (VALUES ('hour'), ('day')) g(grain),
		(VALUES (now()), (date_trunc('month', now(), 'UTC') + interval '40 days')) m(at);
	INSERT INTO capture AS c (service_id, grain, window_start, window_end, status)
	SELECT d.service_id, d.grain_due, d.window_start, d.window_end, 'lost'
	FROM @extschema@.chpg_history_due(NULL::text, NULL::text, NULL::text) d WHERE d.lost
	ON CONFLICT ON CONSTRAINT capture_pkey DO UPDATE SET status = 'lost' WHERE c.status = 'error';
	RETURN (SELECT to_jsonb(p) FROM @extschema@._chpg_history_plan(grain, service, server, max_windows) p
			WHERE p.grain_due IS NULL)
		|| jsonb_build_object('due', (SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.ordinality), '[]')
				FROM @extschema@.chpg_history_due(grain, service, server) WITH ORDINALITY d WHERE NOT d.lost),
			'reserve', (SELECT s.reserve FROM @extschema@._chpg_history_settings() s));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_schedule(text, text, text, integer) IS
'Note lost windows, create partitions, and return the due windows.
Returns their cost and the setting reserve, too.
Requests: none.';

/* The due windows are returned as a list: a cursor would not outlive the first commit. */
CREATE FUNCTION @extschema@._chpg_capture_begin(grain text, service text, server text, max_windows integer,
	OUT due jsonb, OUT down jsonb, OUT windows bigint, OUT requests bigint, OUT seconds double precision,
	OUT reserve integer, OUT failure jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	schedule jsonb;
	state text;
	message text;
	detail text;
	hint text;
	context text;
BEGIN
	SELECT s.down INTO down FROM @extschema@._chpg_capture_services(server) s;
	schedule := @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT @extschema@._chpg_capture_schedule($1, $2, $3, $4)'::text,
		ROW(grain, service, @extschema@._chpg_own_server(server), max_windows));
	due := schedule->'due';
	windows := schedule->>'windows';
	requests := schedule->>'requests';
	seconds := schedule->>'seconds';
	reserve := schedule->>'reserve';
EXCEPTION WHEN query_canceled OR OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	failure := jsonb_build_object('state', state, 'message', message, 'detail', nullif(detail, ''),
		'hint', nullif(hint, ''), 'context', substring(context FROM E'^request [^\n]+'));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_begin(text, text, text, integer) IS
'Note the services, and return the due windows and their cost, or the error (failure).
down: the states of services that are not running, by id.
After an error, nothing is kept.
Requests: 1.';

CREATE PROCEDURE @extschema@._chpg_capture_commit()
LANGUAGE plpgsql
AS $$
BEGIN
	COMMIT;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
END
$$;

COMMENT ON PROCEDURE @extschema@._chpg_capture_commit() IS
'Commit, and begin a transaction in which nothing is found by the caller''s search_path.';

/*
 * A procedure that commits cannot have a SET search_path, and a local setting ends with each
 * transaction.  Types are looked up before the first statement runs.
 */
CREATE PROCEDURE @extschema@.chpg_capture(
	grain text DEFAULT NULL,
	service text DEFAULT NULL,
	max_windows integer DEFAULT 500,
	server text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	callers_path pg_catalog.text := pg_catalog.current_setting('search_path');
	run pg_catalog.record;
	due pg_catalog.record;
	outcome pg_catalog.record;
	err pg_catalog.jsonb;
	first_failure pg_catalog.text;
	failures pg_catalog.jsonb := '{}';
	unread pg_catalog.jsonb := '{}';
	tried integer := 0;
	failed integer := 0;
	skipped integer := 0;
	api_failures integer := 0;
	ended pg_catalog.text;
	portion CONSTANT integer := 20;
	to_seal integer;
	packing pg_catalog.record;
	waits integer;
	windows_left integer := 0;
	unwatched pg_catalog.jsonb;
	exemplars pg_catalog.text;
	reported_at pg_catalog.timestamptz := pg_catalog.clock_timestamp();
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM @extschema@._chpg_history_check_caller('a capture');
	CALL @extschema@._chpg_check_commits('chpg_capture'::text, 'psql -c "SET ..." -c "CALL chpg_capture()"'::text);
	IF max_windows < 0 THEN
		RAISE EXCEPTION 'invalid value for "max_windows": %', max_windows
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give the number of windows to capture at most, or null for all.';
	END IF;
	SELECT * INTO run FROM @extschema@._chpg_capture_begin(grain, service, server, max_windows);
	err := run.failure;
	CALL @extschema@._chpg_capture_commit();
	IF err IS NULL THEN
		PERFORM @extschema@._chpg_progress('capture'::text, 0::bigint, run.windows);
		PERFORM @extschema@._chpg_expect_end('capture'::text, run.seconds);
	END IF;
	IF err IS NULL AND run.seconds > 60 THEN
		RAISE NOTICE 'capturing % windows takes % requests, and about % seconds', run.windows, run.requests,
			run.seconds;
	END IF;
	FOR due IN SELECT d.* FROM jsonb_to_recordset(run.due)
			d(service_id text, grain_due text, window_start timestamptz, window_end timestamptz) LOOP
		IF ended IS NOT NULL OR tried >= max_windows THEN
			windows_left := windows_left + 1;
			CONTINUE;
		END IF;
		reported_at := @extschema@._chpg_report_progress('capture'::text, reported_at, tried::bigint, run.windows);
		-- a service that keeps failing does not cost requests for all its windows
		IF (failures->>due.service_id)::integer >= 3 THEN
			skipped := skipped + 1;
			CONTINUE;
		END IF;
		CONTINUE WHEN unread ? due.service_id;
		waits := 0;
		WHILE waits < 600 AND @extschema@._chpg_capture_must_wait(server, run.reserve) LOOP
			CALL @extschema@._chpg_capture_commit();
			PERFORM @extschema@._chpg_leave_budget();
			waits := waits + 1;
		END LOOP;
		SELECT * INTO outcome FROM @extschema@._chpg_capture_window(due.service_id, due.grain_due, due.window_start,
			due.window_end, server, true, run.down->>due.service_id);
		err := outcome.fatal;
		EXIT WHEN err IS NOT NULL;
		CALL @extschema@._chpg_capture_commit();
		tried := tried + 1;
		IF outcome.unread THEN
			unread := unread || jsonb_build_object(due.service_id, true);
			RAISE WARNING 'service "%" is "%": its windows are left to the next run', due.service_id,
					run.down->>due.service_id
				USING DETAIL = outcome.failure, HINT = 'Those that were read stay as they are. See the view coverage.';
			CONTINUE;
		END IF;
		-- the budget or the API refuses, or the transfer fails: if it goes on, it is not the window
		api_failures := CASE WHEN outcome.failure ~ '^(53400|58000|08...):' THEN api_failures + 1 ELSE 0 END;
		CONTINUE WHEN outcome.failure IS NULL;
		failed := failed + 1;
		first_failure := coalesce(first_failure, outcome.failure);
		failures := jsonb_set(failures, ARRAY[due.service_id],
			to_jsonb(coalesce((failures->>due.service_id)::integer, 0) + 1));
		-- a cancel or a timeout is meant for the run, not for a window
		ended := CASE WHEN outcome.failure LIKE '57014:%' THEN 'It was canceled, which ended the run.'
			WHEN api_failures = 3 THEN 'The API failed for three windows in a row, which ended the run.' END;
	END LOOP;
	IF err IS NOT NULL THEN
		PERFORM @extschema@._chpg_raise(err->>'state', err->>'message', err->>'detail', err->>'hint', err->>'context');
	END IF;
	-- more than are captured, so that what has piled up grows less
	to_seal := CASE WHEN max_windows = 0 OR ended LIKE 'It was canceled%' THEN 0 ELSE 5 * portion + 2 * tried END;
	WHILE to_seal > 0 LOOP
		SELECT * INTO packing FROM @extschema@._chpg_seal_portion(portion);
		err := packing.failure;
		CALL @extschema@._chpg_capture_commit();
		EXIT WHEN err IS NOT NULL OR packing.sealed < portion;
		to_seal := to_seal - portion;
	END LOOP;
	IF tried > 0 AND (ended LIKE 'It was canceled%') IS NOT TRUE THEN
		unwatched := @extschema@._chpg_watch_captured(service, server);
		CALL @extschema@._chpg_capture_commit();
		IF unwatched IS NOT NULL THEN
			RAISE WARNING 'could not watch: %', unwatched->>'message'
				USING ERRCODE = unwatched->>'state', DETAIL = concat_ws(' ', unwatched->>'detail', 'What was captured stays.'),
					HINT = 'The next capture tries it again, and so does: CALL chpg_watch();';
		END IF;
		FOR place IN 1 .. 5 LOOP
			waits := 0;
			LOOP
				exemplars := @extschema@._chpg_capture_exemplars(server);
				CALL @extschema@._chpg_capture_commit();
				EXIT WHEN exemplars <> 'wait' OR waits = 300;
				PERFORM @extschema@._chpg_leave_budget();
				waits := waits + 1;
			END LOOP;
			EXIT WHEN exemplars <> 'noted';
		END LOOP;
		IF (SELECT s.watch FROM @extschema@._chpg_history_settings() s) THEN
			PERFORM @extschema@._chpg_read_notifications(server);
			CALL @extschema@._chpg_capture_commit();
		END IF;
	END IF;
	IF windows_left > 0 AND ended IS NULL THEN
		RAISE NOTICE '% windows are left to the next run', windows_left
			USING HINT = format('A run captures %s at most: see its argument "max_windows".', max_windows);
	ELSIF windows_left > 0 THEN
		RAISE NOTICE '% windows are left to the next run', windows_left;
	END IF;
	IF err IS NOT NULL AND failed > 0 THEN
		RAISE WARNING 'could not seal old windows: %', concat_ws(': ', err->>'message', err->>'detail')
			USING ERRCODE = err->>'state';
	ELSIF err IS NOT NULL THEN
		RAISE EXCEPTION 'captured % windows, but could not seal old ones: %', tried, err->>'message'
			USING ERRCODE = err->>'state', DETAIL = concat_ws(' ', err->>'detail', 'What was captured stays.'),
				HINT = coalesce(err->>'hint', 'The next run tries it again, and so does: CALL chpg_history_seal();');
	END IF;
	IF failed > 0 THEN
		RAISE EXCEPTION 'could not capture % of % windows', failed, tried
			USING ERRCODE = CASE WHEN ended LIKE 'It was canceled%' THEN 'query_canceled'
					ELSE 'external_routine_exception' END,
				DETAIL = concat_ws(' ', format('The first one: %s.', rtrim(first_failure, '.')),
					CASE WHEN skipped > 0 THEN
						format('%s more of services that failed three times were left alone.', skipped) END, ended),
				HINT = 'The next run tries them again; see the view coverage of the history.';
	END IF;
	PERFORM @extschema@._chpg_progress('capture'::text, NULL::bigint, NULL::bigint);
	PERFORM set_config('search_path', callers_path, true);
END
$$;

COMMENT ON PROCEDURE @extschema@.chpg_capture(text, text, integer, text) IS
'Capture the windows that are due, oldest first, each in a transaction of its own.
Of hours, of days, or of both (null); of one service, by id or name, or of all of the server.
max_windows: most windows of a run; null: all; 0: only note the services and the lost windows.
A window that fails is noted for the next run, and after three failures the whole service.
The first failure of a service that is not running leaves it to the next run: a WARNING, and
  the run does not fail.
Leaves some of the budget to others (setting reserve). NOTICEs report progress and what is left.
After that, some windows that are older than the setting keep_open are sealed: if that fails,
  the run fails, but what was captured stays. With the setting watch, the run ends with a
  chpg_watch; if that fails, a WARNING says so.
Requests: 1 for the list, and those of chpg_history_cost; with the setting watch, 2 at most for
  each of at most 5 new incidents, and those of chpg_watch.
Errors: 22023 max_windows, or a setting of the history, cannot be used; 25001 in a transaction
  block; 25006 on a standby; 38000 at the end, a window failed; 42501 the caller does not own
  the history; 57014 canceled within a window.';

REVOKE EXECUTE ON PROCEDURE @extschema@.chpg_capture(text, text, integer, text) FROM PUBLIC;
