/* Alerts: how chpg itself is doing. */

CREATE TYPE @extschema@.chpg_self_row AS (
	problem text,
	last_capture timestamptz,
	last_watch timestamptz,
	oldest_due_window timestamptz,
	failing_since timestamptz,
	blocked_until timestamptz,
	longest_wait_us bigint,
	waiting_pid integer,
	webhooks_failing bigint,
	dead_letters bigint
);

COMMENT ON TYPE @extschema@.chpg_self_row IS 'How captures, watches, the API and webhooks are doing.';
COMMENT ON COLUMN @extschema@.chpg_self_row.problem IS
'What needs somebody, in words; null: nothing. An alert rule for chpg itself needs this column only.';
COMMENT ON COLUMN @extschema@.chpg_self_row.last_capture IS
'When a window was last captured; null: never, or there is no history that the caller may read.';
COMMENT ON COLUMN @extschema@.chpg_self_row.last_watch IS 'When chpg_watch last ran; null: likewise.';
COMMENT ON COLUMN @extschema@.chpg_self_row.oldest_due_window IS
'Start of the oldest window that is due for its first capture; null: none is.';
COMMENT ON COLUMN @extschema@.chpg_self_row.failing_since IS
'Since when captures, or requests to the API, have failed without one that succeeded; null: they do not.';
COMMENT ON COLUMN @extschema@.chpg_self_row.blocked_until IS
'Until when the API''s refusals (429) block a key, the latest if several; null: none.';
COMMENT ON COLUMN @extschema@.chpg_self_row.longest_wait_us IS
'Time spent so far, in microseconds, by who waits longest for a request budget; null: nobody waits. '
'For members of pg_monitor.';
COMMENT ON COLUMN @extschema@.chpg_self_row.waiting_pid IS
'The process that waits longest, for pg_stat_activity; null: nobody waits. For members of pg_monitor.';
COMMENT ON COLUMN @extschema@.chpg_self_row.webhooks_failing IS
'Webhooks whose last try failed, or that have had nothing sent for an hour that was due.';
COMMENT ON COLUMN @extschema@.chpg_self_row.dead_letters IS
'Alerts that a webhook did not get: see the view dead_letter.';

CREATE FUNCTION @extschema@._chpg_engine_state()
RETURNS TABLE (failing_since timestamptz, longest_wait_us bigint, waiting_pid integer)
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'chpg_engine_state';

COMMENT ON FUNCTION @extschema@._chpg_engine_state() IS
'Since when the API fails, and who waits longest for a budget; no row without pg_monitor.';

CREATE FUNCTION @extschema@.chpg_self()
RETURNS @extschema@.chpg_self_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	self @extschema@.chpg_self_row;
	state CONSTANT text := (SELECT coalesce(h.state, '') FROM @extschema@._chpg_history_state() h);
	failing timestamptz;
BEGIN
	self.blocked_until := (SELECT max(b.blocked_until) FROM @extschema@.chpg_budget() b);
	SELECT e.failing_since, e.longest_wait_us, e.waiting_pid INTO failing, self.longest_wait_us, self.waiting_pid
	FROM @extschema@._chpg_engine_state() e;
	IF state = '' AND @extschema@._chpg_history_is_readable() THEN
		PERFORM @extschema@._chpg_history_enter();
		self.last_capture := (SELECT max(c.captured_at) FROM capture c WHERE c.status = 'ok');
		self.oldest_due_window := (SELECT min(d.window_start)
			FROM @extschema@.chpg_history_due(NULL::text, NULL::text, NULL::text) d
			WHERE NOT d.lost AND NOT d.again);
		failing := least(failing, (SELECT min(c.captured_at) FROM capture c
			WHERE c.status = 'error' AND coalesce(c.captured_at > self.last_capture, true)));
		IF has_table_privilege('watch_state', 'SELECT') THEN
			self.last_watch := (SELECT w.watched_at FROM watch_state w);
		END IF;
		IF has_table_privilege('alert_delivery', 'SELECT') THEN
			SELECT count(DISTINCT d.webhook) FILTER (WHERE d.state = 'pending'
					AND (d.error IS NOT NULL OR d.next_try < now() - interval '1 hour')),
				count(*) FILTER (WHERE d.state = 'dead')
			INTO self.webhooks_failing, self.dead_letters
			FROM alert_delivery d;
		END IF;
	END IF;
	self.failing_since := failing;
	self.problem := nullif(concat_ws('; ',
		CASE WHEN state <> '' AND state NOT LIKE '%your rights' AND state NOT LIKE 'is not open%' THEN
			'the history cannot be used: its schema ' || state END,
		CASE WHEN self.last_capture < now() - interval '3 hours' THEN 'no capture for three hours' END,
		CASE WHEN self.oldest_due_window < now() - interval '1 day' THEN 'windows are due for a day' END,
		CASE WHEN self.last_watch < now() - interval '3 hours' THEN 'no watch for three hours' END,
		CASE WHEN failing < now() - interval '10 minutes' THEN 'captures or requests fail' END,
		CASE WHEN self.blocked_until > now() + interval '10 minutes' THEN 'a key is blocked' END,
		CASE WHEN self.longest_wait_us > 300000000 THEN 'a process has waited for the budget for five minutes' END,
		CASE WHEN self.webhooks_failing > 0 THEN 'webhooks fail' END,
		CASE WHEN self.dead_letters > 0 THEN 'there are dead letters' END), '');
	RETURN self;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_self() IS
'How chpg itself is doing: captures, watches, the API, the budget and webhooks.
Requests: none.';

CREATE VIEW @extschema@.chpg_self AS
	SELECT * FROM @extschema@.chpg_self();

COMMENT ON VIEW @extschema@.chpg_self IS
'How chpg itself is doing, one row: alert on problem IS NOT NULL.
Requests: none.';

GRANT SELECT ON @extschema@.chpg_self TO PUBLIC;
