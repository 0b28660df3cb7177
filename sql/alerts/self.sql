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
'When a window was last captured; null: never, or there is no history that can be read.';
COMMENT ON COLUMN @extschema@.chpg_self_row.last_watch IS 'When chpg_watch last ran; null: likewise.';
COMMENT ON COLUMN @extschema@.chpg_self_row.oldest_due_window IS
'Start of the oldest window that is due for its first capture; null: none, or the history is of another role.';
COMMENT ON COLUMN @extschema@.chpg_self_row.failing_since IS
'Since when captures, or requests to the API, have failed without one that succeeded; null: they do not.
Not requests with a key that the API has never accepted, such as a mistyped one, nor with a key
  that was last tried three hours ago, such as one whose server was dropped.';
COMMENT ON COLUMN @extschema@.chpg_self_row.blocked_until IS
'Until when the API''s refusals (429) block a key, the latest if several; null: none.';
COMMENT ON COLUMN @extschema@.chpg_self_row.longest_wait_us IS
'How long the request that waits longest for a budget has waited, in microseconds; null: none.
Not the sum of its statement''s waits: see chpg_activity(). For members of pg_monitor.';
COMMENT ON COLUMN @extschema@.chpg_self_row.waiting_pid IS
'The process of that request, for pg_stat_activity; null: none. For members of pg_monitor.';
COMMENT ON COLUMN @extschema@.chpg_self_row.webhooks_failing IS
'Webhooks whose last try failed, or that have had nothing sent for an hour that was due. Not dropped ones.';
COMMENT ON COLUMN @extschema@.chpg_self_row.dead_letters IS
'Alerts that webhooks did not get, but for those that were dropped: see the view dead_letter.';

CREATE FUNCTION @extschema@._chpg_engine_state()
RETURNS TABLE (failing_since timestamptz, longest_wait_us bigint, waiting_pid integer)
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'chpg_engine_state';

COMMENT ON FUNCTION @extschema@._chpg_engine_state() IS
'Since when the API fails, and which request waits longest for a budget.
No row without pg_monitor.';

/*
 * With the caller's rights, or those of the history's owner: see _chpg_self_of_other.
 */
CREATE FUNCTION @extschema@._chpg_self_history(place name)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	read_all CONSTANT boolean := (
		SELECT bool_and(coalesce(has_table_privilege(to_regclass(format('%I.%I', place, t.name)), 'SELECT'), false))
		FROM (VALUES ('watch_state'), ('alert'), ('alert_delivery')) t(name));
	webhooks CONSTANT text[] := @extschema@._chpg_served_webhooks(
		(SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = place));
	captured timestamptz;
	state jsonb;
BEGIN
	IF @extschema@._chpg_history_lacks(place) IS NOT NULL THEN
		RETURN NULL;
	END IF;
	PERFORM set_config('search_path', format('pg_catalog, %I, pg_temp', place), true);
	captured := (SELECT max(c.captured_at) FROM capture c WHERE c.status = 'ok');
	state := jsonb_build_object('last_capture', captured, 'reads_all', read_all,
		'failing_since', (SELECT min(c.captured_at) FROM capture c
			WHERE c.status = 'error' AND coalesce(c.captured_at > captured, true)));
	IF read_all THEN
		state := state || (
			SELECT jsonb_build_object('last_watch', (SELECT max(w.watched_at) FROM watch_state w),
				'webhooks_failing', count(*) FILTER (WHERE s.failed > 0 OR s.is_overdue),
				'dead_letters', coalesce(sum(s.dead), 0),
				'webhooks', coalesce(jsonb_object_agg(s.webhook, to_jsonb(s)), '{}'))
			FROM (
				SELECT n.webhook, count(*) FILTER (WHERE d.state = 'pending') AS waiting,
					count(*) FILTER (WHERE d.state = 'pending' AND d.error IS NOT NULL) AS failed,
					count(*) FILTER (WHERE d.state = 'dead') AS dead,
					min(a.noted_at) FILTER (WHERE d.state = 'pending') AS waiting_since,
					bool_or(d.state = 'pending' AND d.next_try < now() - interval '1 hour') AS is_overdue,
					(SELECT max(e.sent_at) FROM alert_delivery e WHERE e.state = 'sent' AND e.webhook = n.webhook)
						AS last_sent,
					(array_agg(d.error ORDER BY d.next_try DESC, d.alert_id DESC)
						FILTER (WHERE d.error IS NOT NULL))[1] AS last_error
				FROM unnest(webhooks) n(webhook)
				-- most are sent
				LEFT JOIN alert_delivery d ON d.state IN ('pending', 'dead') AND d.webhook = n.webhook
				LEFT JOIN alert a ON a.alert_id = d.alert_id
				GROUP BY n.webhook) s);
		-- nobody watches by hand for a day and a night, and a watch that was turned off is not missed
		state := state || jsonb_build_object('wants_watch', webhooks <> '{}'
			OR EXISTS (SELECT FROM setting s WHERE s.name = 'watch' AND s.value = 'on')
			OR EXISTS (SELECT FROM watch_state w WHERE w.watched_at - w.regular_since >= interval '1 day'));
		BEGIN
			PERFORM @extschema@._chpg_history_check_setting(name, s.value)
			FROM @extschema@._chpg_history_defaults() d
			FULL JOIN setting s USING (name);
		EXCEPTION WHEN invalid_parameter_value OR object_not_in_prerequisite_state THEN
			state := state || jsonb_build_object('setting', @extschema@._chpg_alert_text(SQLERRM, 200));
		END;
	END IF;
	RETURN state;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_self_history(name) IS
'What chpg_self says of the history in a schema; null: it lacks tables of this version.
setting: why a setting cannot be used; missing: all can.
webhooks: what became of the alerts of each that gets them, by its name.
reads_all: whether the caller may read the alerts, too; the keys of these are missing otherwise.';

CREATE FUNCTION @extschema@._chpg_readers_owner()
RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.nspowner
	FROM @extschema@.chpg_history_schema h
	JOIN pg_namespace n ON n.nspname = h.schema_name
	WHERE pg_get_userbyid(n.nspowner) = h.owner AND has_schema_privilege(n.oid, 'USAGE')
		-- one that the history lacks is no lack of privileges
		AND (SELECT bool_and(has_table_privilege(to_regclass(format('%I.%I', h.schema_name, t.name)), 'SELECT'))
			FROM @extschema@._chpg_history_tables() t)
$$;

COMMENT ON FUNCTION @extschema@._chpg_readers_owner() IS
'The role that the history was begun for, if the caller may read all tables; otherwise null.';

CREATE FUNCTION @extschema@._chpg_self_of_other()
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_self_of_other';

COMMENT ON FUNCTION @extschema@._chpg_self_of_other() IS
'As _chpg_self_history, as the owner of the history, for a caller that may read it.
Null: the caller may not, or the history lacks tables of this version.';

CREATE FUNCTION @extschema@._chpg_self_seen()
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state CONSTANT text := (SELECT coalesce(h.state, '') FROM @extschema@._chpg_history_state() h);
BEGIN
	IF state LIKE '%your rights' THEN
		RETURN @extschema@._chpg_self_of_other();
	ELSIF state = '' AND @extschema@._chpg_history_is_readable() THEN
		RETURN @extschema@._chpg_self_history(@extschema@._chpg_history_enter());
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_self_seen() IS
'As _chpg_self_history, whoever owns the history; null: there is none that the caller may read.';

CREATE FUNCTION @extschema@.chpg_self()
RETURNS @extschema@.chpg_self_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	self @extschema@.chpg_self_row;
	state CONSTANT text := (SELECT coalesce(h.state, '') FROM @extschema@._chpg_history_state() h);
	is_of_other CONSTANT boolean := state LIKE '%your rights';
	lacks CONSTANT text := (SELECT @extschema@._chpg_history_lacks(h.schema_name) FROM @extschema@.chpg_history_schema h
		WHERE is_of_other);
	history jsonb := @extschema@._chpg_self_seen();
	failing timestamptz;
	behind boolean;
BEGIN
	self.blocked_until := (SELECT max(b.blocked_until) FROM @extschema@.chpg_budget() b);
	SELECT e.failing_since, e.longest_wait_us, e.waiting_pid INTO failing, self.longest_wait_us, self.waiting_pid
	FROM @extschema@._chpg_engine_state() e;
	IF history IS NOT NULL AND NOT is_of_other THEN
		PERFORM @extschema@._chpg_history_enter();
		BEGIN
			-- a window of a backfill is due since its service was first seen
			SELECT min(d.window_start), bool_or(greatest(d.window_end, s.seen_at) < now() - interval '1 day')
			INTO self.oldest_due_window, behind
			FROM @extschema@.chpg_history_due(NULL::text, NULL::text, NULL::text) d
			LEFT JOIN (SELECT v.service_id, min(v.noted_at) AS seen_at FROM service v GROUP BY v.service_id) s
				ON s.service_id = d.service_id
			WHERE NOT d.lost AND NOT d.again;
		EXCEPTION WHEN invalid_parameter_value THEN
			-- a setting cannot be used, maybe only together with another one
			history := jsonb_build_object('setting', @extschema@._chpg_alert_text(SQLERRM, 200)) || history;
		END;
	END IF;
	self.last_capture := history->>'last_capture';
	self.last_watch := history->>'last_watch';
	self.webhooks_failing := history->>'webhooks_failing';
	self.dead_letters := history->>'dead_letters';
	failing := least(failing, (history->>'failing_since')::timestamptz);
	self.failing_since := failing;
	self.problem := nullif(concat_ws('; ',
		CASE WHEN state <> '' AND NOT is_of_other AND state NOT LIKE 'is not open%' THEN
				'the history cannot be used: its schema ' || state
			WHEN lacks IS NOT NULL THEN 'the history cannot be used: its schema ' || lacks
			WHEN history->>'reads_all' IS DISTINCT FROM 'true'
				AND EXISTS (SELECT FROM @extschema@.chpg_history_schema) THEN
				format('role "%s" cannot judge the history: it needs USAGE on its schema, and SELECT on its tables',
					current_user) END,
		history->>'setting',
		CASE WHEN history->>'last_capture' IS NULL AND history->>'failing_since' IS NULL AND history IS NOT NULL THEN
			'nothing was captured yet' END,
		CASE WHEN self.last_capture < now() - interval '3 hours' THEN 'no capture for three hours' END,
		CASE WHEN behind THEN 'windows are due for a day' END,
		CASE WHEN self.last_watch < now() - interval '3 hours' AND (history->>'wants_watch')::boolean THEN
			'no watch for three hours' END,
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
A role with USAGE on the history''s schema and SELECT on its tables sees all of the history.
For any other role it is a problem that the history cannot be judged.
Requests: none.';

CREATE VIEW @extschema@.chpg_self AS
	SELECT * FROM @extschema@.chpg_self();

COMMENT ON VIEW @extschema@.chpg_self IS
'How chpg itself is doing, one row: alert on problem IS NOT NULL.
Requests: none.';

GRANT SELECT ON @extschema@.chpg_self TO PUBLIC;

/* Everybody may read the options of servers, and nobody what else the catalogs have of a webhook. */
CREATE VIEW @extschema@.chpg_webhooks AS
	SELECT w.webhook, pg_get_userbyid(w.owner) AS owner, w.format, w.level, w.kind, w.service, w.tags, w.quiet_hours,
		pg_has_role(w.owner, n.nspowner, 'USAGE') AS gets_alerts, d.waiting AS waiting_alerts, d.waiting_since,
		d.failed AS failed_alerts, d.dead AS dead_letters, d.last_sent AS last_sent_at, d.last_error
	FROM @extschema@._chpg_webhooks() w
	LEFT JOIN @extschema@.chpg_history_schema h ON true
	LEFT JOIN pg_namespace n ON n.nspname = h.schema_name
	CROSS JOIN @extschema@._chpg_self_seen() s(history)
	LEFT JOIN LATERAL jsonb_to_record(s.history->'webhooks'->w.webhook)
		d(waiting bigint, failed bigint, dead bigint, waiting_since timestamptz, last_sent timestamptz, last_error text)
		ON true
	ORDER BY w.webhook;

COMMENT ON VIEW @extschema@.chpg_webhooks IS
'The webhooks, one row each: what they are to get, and what became of it.
URL and secret are never shown. What became of the alerts sees a role with USAGE on the history''s
  schema and SELECT on its tables; these columns are null for other roles, without a history, and
  for a webhook that gets no alerts.
Requests: none.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.webhook IS 'The name of the webhook, and of its server.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.owner IS 'The role that created it.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.format IS 'json, slack or pagerduty.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.level IS 'The least level of the alerts that it gets: WARN or ERROR.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.kind IS
'The kind that it gets: incident, risk or notification; null: incidents and risks.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.service IS 'The only service of its alerts, by id or name; null: all.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.tags IS 'Tags that a service must have, all of them; null: any.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.quiet_hours IS
'When nothing is sent, such as 22:00-07:00 Europe/Berlin; null: never.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.gets_alerts IS
'Whether its owner has the rights of the history''s owner, without which it gets nothing.
Null: no history. It does not say whether the history has such a service, or one with such tags.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.waiting_alerts IS
'Alerts that wait to be sent, also for the end of quiet hours, or after a try that failed.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.waiting_since IS
'When the first of these was raised; null: none waits.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.failed_alerts IS
'How many of these were tried, and not taken; they are tried again.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.dead_letters IS
'Alerts that are not tried again: see the view dead_letter, and chpg_redeliver.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.last_sent_at IS 'When it last took an alert; null: never, or long ago.';
COMMENT ON COLUMN @extschema@.chpg_webhooks.last_error IS
'What its receiver last answered, or what went wrong, for alerts that were not sent; null: nothing.';

GRANT SELECT ON @extschema@.chpg_webhooks TO PUBLIC;
