/*
 * Alerts: the outbox.
 *
 * The table alert has the transitions of incidents, each written once, in the transaction
 * of the watch that found it, and notifications of the organization; alert_delivery has a
 * row for each webhook that is to get one.
 * A delivery is pending until a receiver has taken it (sent), or all tries are spent (dead).
 */

/* Alerts leave the database: a query's text may have somebody's name in it, or a password. */
CREATE FUNCTION @extschema@._chpg_without_query(symptom text, evidence jsonb)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(left(symptom, min(q.place) - 1) || 'a query', symptom)
	FROM (SELECT strpos(symptom, left(@extschema@._chpg_line_text(t.text #>> '{}', 80), 12)) AS place
		FROM jsonb_path_query(evidence, '$.**.query_text') AS t(text)
		WHERE t.text #>> '{}' <> '') q
	WHERE q.place > 0
$$;

COMMENT ON FUNCTION @extschema@._chpg_without_query(text, jsonb) IS
'A symptom up to where it cites a query of the evidence.';

CREATE FUNCTION @extschema@._chpg_alert_webhooks(alert_ids bigint[], owner oid)
RETURNS TABLE (alert_id bigint, webhook text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	served CONSTANT text[] := @extschema@._chpg_served_webhooks(owner);
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT a.alert_id, w.webhook
	FROM alert a
	CROSS JOIN @extschema@._chpg_webhooks() w
	WHERE a.alert_id = ANY (alert_ids) AND w.webhook = ANY (served)
		AND CASE WHEN a.transition IN ('new', 'worse') THEN
			@extschema@._chpg_level_place(a.level) <= @extschema@._chpg_level_place(w.level)
			AND coalesce(w.kind = a.kind, a.kind <> 'notification')
			AND (w.service IS NULL OR w.service IN (a.service_id, a.service_name))
			AND (w.tags IS NULL OR EXISTS (SELECT FROM service s WHERE s.service_id = a.service_id
				AND s.valid_to = 'infinity' AND s.tags @> w.tags))
		-- a webhook that was sent an incident is sent its end, whatever its level is then
		ELSE EXISTS (SELECT FROM alert b JOIN alert_delivery d ON d.alert_id = b.alert_id
			WHERE b.incident_id = a.incident_id AND d.webhook = w.webhook) END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_alert_webhooks(bigint[], oid) IS
'Which webhooks are to get some alerts: their filters, and the rights of the history''s owner.';

/* For chpg_create_webhook: a service may come later, and incidents have their transitions behind them. */
CREATE FUNCTION @extschema@._chpg_check_webhook(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_webhook CONSTANT text := name;
	owner CONSTANT oid := (SELECT n.nspowner FROM @extschema@._chpg_history_state() h
		JOIN pg_namespace n ON n.nspname = h.schema_name WHERE h.state IS NULL);
	of_service text;
	of_tags jsonb;
	names text[];
	count bigint;
BEGIN
	IF owner IS NULL OR NOT pg_has_role(owner, 'USAGE')
			OR NOT has_function_privilege('@extschema@._chpg_history_owner()', 'EXECUTE') THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	SELECT w.service, w.tags INTO of_service, of_tags FROM @extschema@._chpg_webhooks() w WHERE w.webhook = of_webhook;
	names := ARRAY(SELECT n.name FROM service s CROSS JOIN LATERAL (VALUES (s.service_name), (s.service_id)) n(name)
		WHERE s.valid_to = 'infinity' AND n.name IS NOT NULL ORDER BY 1);
	IF of_service <> ALL (names) AND names <> '{}' THEN
		RAISE WARNING 'no service of the history has the id or the name "%"%', of_service,
				@extschema@._chpg_closest(of_service, names)
			USING HINT = format('Webhook "%s" gets no alerts until there is one.', of_webhook);
	END IF;
	IF of_tags IS NOT NULL AND names <> '{}'
			AND NOT EXISTS (SELECT FROM service s WHERE s.valid_to = 'infinity' AND s.tags @> of_tags) THEN
		RAISE WARNING 'no service of the history has the tags %', of_tags
			USING HINT = format('Webhook "%s" gets no alerts until there is one.', of_webhook);
	END IF;
	count := (
		SELECT count(*)
		FROM @extschema@._chpg_alert_webhooks(ARRAY(
			SELECT l.alert_id FROM (SELECT DISTINCT ON (a.incident_id) a.alert_id, a.transition FROM alert a
				WHERE a.kind <> 'notification' ORDER BY a.incident_id, a.alert_id DESC) l
			WHERE l.transition IN ('new', 'worse')), owner) t
		JOIN alert a ON a.alert_id = t.alert_id
		WHERE t.webhook = of_webhook AND NOT EXISTS (SELECT FROM alert_delivery d JOIN alert b ON b.alert_id = d.alert_id
			WHERE d.webhook = of_webhook AND b.incident_id = a.incident_id));
	IF count > 0 THEN
		RAISE NOTICE 'webhook "%" is sent incidents that are open already (%) only if they get worse',
				of_webhook, count
			USING HINT = format('See the view finding: SELECT * FROM %I.finding;',
				(SELECT h.schema_name FROM @extschema@.chpg_history_schema h));
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_check_webhook(text) IS
'Say what a webhook is not sent: alerts of an unknown service, and incidents that are open.
Says nothing to a caller without the rights of the history''s owner.';

CREATE FUNCTION @extschema@._chpg_queue_alerts(alert_ids bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	PERFORM pg_notify('chpg_incident', jsonb_build_object('finding_key', a.finding_key, 'incident_id', a.incident_id,
		'service_id', a.service_id, 'level', a.level, 'transition', a.transition)::text)
	FROM (SELECT * FROM alert n WHERE n.alert_id = ANY (alert_ids) ORDER BY n.alert_id) a;
	INSERT INTO alert_delivery (alert_id, webhook, state, attempts, next_try)
	SELECT t.alert_id, t.webhook, 'pending', 0, now()
	FROM @extschema@._chpg_alert_webhooks(alert_ids, (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)) t
	ORDER BY t.alert_id, t.webhook;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_queue_alerts(bigint[]) IS
'Notify listeners of alerts, and let webhooks get them.
For the owner of the history, with locks on alert and alert_delivery.';

/*
 * What an alert says is compared with what the last alert of its incident said, so that
 * nothing is written twice, whatever is judged again.  A muted incident raises no alert;
 * what an alert has opened is closed also if it was muted meanwhile.
 */
CREATE FUNCTION @extschema@._chpg_note_alerts(as_of timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	noted bigint[];
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('alert'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	PERFORM @extschema@._chpg_history_lock_table('alert_delivery'::text, 'ROW EXCLUSIVE'::text);
	PERFORM @extschema@._chpg_history_lock_table('notification_state'::text, 'ROW EXCLUSIVE'::text);
	WITH latest AS (
		SELECT DISTINCT ON (a.incident_id) a.* FROM alert a
		WHERE a.kind <> 'notification'
		ORDER BY a.incident_id, a.alert_id DESC
	), roots AS (
		SELECT DISTINCT ON (l.incident_id) l.*
		FROM finding_log l
		WHERE l.resolved_at IS NULL AND l.last_seen_at = _chpg_note_alerts.as_of AND l.is_root AND NOT l.muted
			AND l.level IN ('ERROR', 'WARN') AND l.incident_id IS NOT NULL
		ORDER BY l.incident_id, l.level, l.opened_at DESC, l.finding_key
	), begun AS (
		SELECT CASE WHEN coalesce(t.transition IN ('resolved', 'usual'), true) THEN 'new' ELSE 'worse' END AS transition,
			r.incident_id, r.finding_key, r.rule_id, r.kind, r.level, r.service_id, r.service_name, r.since, r.finding
		FROM roots r
		LEFT JOIN latest t ON t.incident_id = r.incident_id
		WHERE coalesce(t.transition IN ('resolved', 'usual'), true)
			OR t.as_of < _chpg_note_alerts.as_of AND (r.worse_at = _chpg_note_alerts.as_of
				OR NOT EXISTS (SELECT FROM alert a
					WHERE a.incident_id = t.incident_id AND a.kind <> 'notification' AND a.transition IN ('new', 'worse')
						AND @extschema@._chpg_level_place(a.level) <= @extschema@._chpg_level_place(r.level)
						AND a.alert_id > coalesce((SELECT max(e.alert_id) FROM alert e WHERE e.incident_id = t.incident_id
							AND e.transition IN ('resolved', 'usual')), 0)))
	), ended AS (
		SELECT CASE f.state WHEN 'usual' THEN 'usual' ELSE 'resolved' END AS transition, t.incident_id, t.finding_key,
			t.rule_id, t.kind, t.level, t.service_id, t.service_name, t.since,
			jsonb_build_object('title', t.title, 'symptom', @extschema@._chpg_ended_symptom(f.state, t.symptom,
				coalesce(f.since, t.since), (SELECT max(l.last_seen_at) FROM finding_log l
					WHERE l.incident_id = t.incident_id)), 'action', NULL) AS finding
		FROM latest t
		LEFT JOIN LATERAL (
			SELECT l.state, l.since FROM finding_log l WHERE l.finding_key = t.finding_key
			ORDER BY l.opened_at DESC LIMIT 1) f ON true
		WHERE t.transition NOT IN ('resolved', 'usual') AND NOT EXISTS (SELECT FROM finding_log l
			WHERE l.incident_id = t.incident_id AND l.resolved_at IS NULL)
	), added AS (
		INSERT INTO alert (alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level,
			service_id, service_name, since, title, symptom, action)
		SELECT gen_random_uuid(), now(), _chpg_note_alerts.as_of, c.transition, c.incident_id, c.finding_key, c.rule_id,
			c.kind, c.level, c.service_id, c.service_name, c.since, left(c.finding->>'title', 200),
			left(@extschema@._chpg_without_query(c.finding->>'symptom', c.finding->'evidence'), 500),
			left(c.finding->>'action', 500)
		FROM (SELECT * FROM begun UNION ALL SELECT * FROM ended) c
		ORDER BY c.transition IN ('new', 'worse'), @extschema@._chpg_level_place(c.level), c.incident_id
		RETURNING alert_id
	)
	SELECT array_agg(n.alert_id ORDER BY n.alert_id) INTO noted FROM added n;
	PERFORM @extschema@._chpg_queue_alerts(noted);
	DELETE FROM notification_state n WHERE NOT @extschema@._chpg_wants_notifications(
		(SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user));
	DELETE FROM alert a
	WHERE a.noted_at < (SELECT @extschema@._chpg_kept_from('day'::text))
		-- the API shows a notification for 180 days, and must not find it forgotten
		AND (a.kind <> 'notification' OR a.noted_at < now() - interval '200 days')
		AND NOT EXISTS (SELECT FROM finding_log l WHERE l.incident_id = a.incident_id AND l.resolved_at IS NULL);
	DELETE FROM alert_delivery d WHERE NOT EXISTS (SELECT FROM alert a WHERE a.alert_id = d.alert_id);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_alerts(timestamptz) IS
'Write the transitions of incidents that a watch has noted to the outbox, and notify listeners.
as_of: end of the hours that were judged. For callers that have locked the log.
Forgets alerts that are older than days are kept, unless their incident is open.';

/*
 * A notification of the organization is an alert that has no end.  Its id alone says whether
 * it was noted before, at least at its level: times of the API may be missing, impossible or
 * out of order.  What is listed when folding in begins is noted as known, and nobody gets it.
 */
CREATE FUNCTION @extschema@._chpg_wants_notifications(owner oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM @extschema@._chpg_webhooks() w
		WHERE w.kind = 'notification'
			AND w.webhook = ANY (@extschema@._chpg_served_webhooks(_chpg_wants_notifications.owner)))
$$;

COMMENT ON FUNCTION @extschema@._chpg_wants_notifications(oid) IS
'Whether a webhook whose owner has the rights of the history''s owner gets notifications.';

CREATE FUNCTION @extschema@._chpg_note_notifications(of_server text, listed @extschema@.chpg_notification_row[])
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	noted bigint[];
	begins boolean;
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('alert'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	PERFORM @extschema@._chpg_history_lock_table('alert_delivery'::text, 'ROW EXCLUSIVE'::text);
	PERFORM @extschema@._chpg_history_lock_table('notification_state'::text, 'ROW EXCLUSIVE'::text);
	INSERT INTO notification_state (server, begun_at) VALUES (of_server, now()) ON CONFLICT DO NOTHING;
	begins := FOUND;
	WITH keyed AS (
		SELECT DISTINCT ON (k.key) k.key, k.level, (k.n).*
		FROM (SELECT n, 'ntf-' || left(md5(coalesce('id ' || n.id, concat_ws(E'\n', 'of', n.type, n.title, n.message,
				n.resource_id, n.raw->>'createdAt'))), 16) AS key,
				CASE WHEN lower(n.severity) = 'critical' THEN 'ERROR' ELSE 'WARN' END AS level
			FROM unnest(listed) n
			WHERE coalesce(n.id, n.type, n.title, n.message) IS NOT NULL
				AND lower(n.severity) IS DISTINCT FROM 'info') k
		ORDER BY k.key, @extschema@._chpg_level_place(k.level)
	), added AS (
		INSERT INTO alert (alert_key, noted_at, as_of, transition, incident_id, finding_key, rule_id, kind, level,
			service_id, service_name, since, title, symptom)
		SELECT gen_random_uuid(), now(), now(), CASE WHEN begins THEN 'known'
				WHEN EXISTS (SELECT FROM alert a WHERE a.incident_id = k.key) THEN 'worse' ELSE 'new' END, k.key, k.key,
			coalesce(nullif(@extschema@._chpg_alert_text(k.type, 100), ''), 'notification'), 'notification', k.level,
			@extschema@._chpg_alert_text(k.resource_id, 100),
			coalesce((SELECT s.service_name FROM service s WHERE s.service_id = k.resource_id AND s.valid_to = 'infinity'),
				@extschema@._chpg_alert_text(k.resource_name, 100)),
			CASE WHEN k.created_at BETWEEN now() - interval '200 days' AND now() + interval '1 day' THEN k.created_at END,
			coalesce(nullif(@extschema@._chpg_alert_text(coalesce(k.title, k.type), 200), ''), 'Notification'),
			@extschema@._chpg_alert_text(k.message, 500)
		FROM keyed k
		WHERE NOT EXISTS (SELECT FROM alert a WHERE a.incident_id = k.key
			AND @extschema@._chpg_level_place(a.level) <= @extschema@._chpg_level_place(k.level))
		ORDER BY k.created_at, k.key
		RETURNING alert_id
	)
	SELECT array_agg(n.alert_id ORDER BY n.alert_id) INTO noted FROM added n;
	IF NOT begins THEN
		PERFORM @extschema@._chpg_queue_alerts(noted);
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_notifications(text, @extschema@.chpg_notification_row[]) IS
'Write the notifications of a server''s organization that are not in the outbox to it.
The first time, those that are there already are noted as known: they go to nobody.
One that has become critical since it was noted is noted again, as worse.
critical is ERROR, info is no alert, and any other severity is WARN.
For the owner of the history.';

/* Judgement and delivery go on without them. */
CREATE FUNCTION @extschema@._chpg_read_notifications(server text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.max_retries = 0
AS $$
DECLARE
	owner CONSTANT oid := @extschema@._chpg_history_owner();
	of_server CONSTANT text := @extschema@._chpg_own_server(server);
	listed @extschema@.chpg_notification_row[];
	max_listed CONSTANT bigint := 1000;
BEGIN
	IF NOT @extschema@._chpg_wants_notifications(owner) THEN
		RETURN;
	END IF;
	-- no lock is held while requests are under way
	listed := ARRAY(SELECT n FROM @extschema@.chpg_notifications(NULL::text, NULL::text, now() - interval '7 days',
		max_listed, of_server) n);
	IF cardinality(listed) >= max_listed THEN
		RAISE WARNING 'the organization has % or more notifications of seven days: older ones may have raised no alert',
				max_listed
			USING HINT = format('See all: SELECT * FROM chpg_notifications(max_rows => 10000, server => %L);', of_server);
	END IF;
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_note_notifications($1, $2)'::text,
		ROW(of_server, listed));
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'watched without the organization''s notifications: %', SQLERRM
		USING ERRCODE = SQLSTATE, HINT = 'The next watch reads them again.';
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_read_notifications(text) IS
'Make alerts of the notifications of a server''s organization, if a webhook gets them.
A failure is a WARNING; so is a list of 1000, which may leave older ones out.
Requests: none without such a webhook; 1 for each 250 notifications of the last 7 days.';

/* Receivers that act by incident_id read the list of alerts; PagerDuty, which takes one at a time, gets no summary. */
CREATE FUNCTION @extschema@._chpg_summary(summary_key uuid, webhook text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (
		WITH part AS (
			SELECT a.*, row_number() OVER (ORDER BY @extschema@._chpg_level_place(a.level),
				a.transition NOT IN ('new', 'worse'), a.alert_id) AS place
			FROM alert_delivery d
			JOIN alert a ON a.alert_id = d.alert_id
			WHERE d.summary_key = _chpg_summary.summary_key AND d.webhook = _chpg_summary.webhook
		), counts AS (
			SELECT jsonb_object_agg(l.level, l.count) AS levels,
				string_agg(l.count || ' ' || l.level, ', ' ORDER BY @extschema@._chpg_level_place(l.level)) AS line
			FROM (SELECT p.level, count(*) FROM part p GROUP BY p.level) l
		)
		SELECT jsonb_build_object('idempotency_key', summary_key, 'transition', 'summary', 'incident_id',
			'sum-' || left(summary_key::text, 12), 'kind', 'summary', 'noted_at', max(p.noted_at),
			'level', min(p.level) FILTER (WHERE p.place = 1), 'count', count(*), 'levels', min(c.levels::text)::jsonb,
			'title', format('%s alerts: %s', count(*), min(c.line)),
			'symptom', 'The worst: ' || string_agg(format('%s: %s (%s)', @extschema@._chpg_alert_text(
				coalesce(p.service_name, p.service_id, 'fleet'), 40), @extschema@._chpg_alert_text(p.title, 40),
				p.transition), '; ' ORDER BY p.place) FILTER (WHERE p.place <= 5),
			'alerts', jsonb_agg(jsonb_build_object('incident_id', p.incident_id, 'transition', p.transition,
				'level', p.level, 'service_id', p.service_id, 'idempotency_key', p.alert_key) ORDER BY p.alert_id))
		FROM part p
		CROSS JOIN counts c);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_summary(uuid, text) IS
'What a summary says: numbers by level, the five worst alerts, and the list of all.
Always the same for the same summary.';

/*
 * Back-off doubles from a minute to an hour: twelve tries take about seven hours.  What makes
 * a summary stays together, under one key, whatever becomes of it.  An alert that was tried
 * alone may have arrived, and so it keeps the key of its own.
 */
CREATE FUNCTION @extschema@._chpg_claim_delivery(webhooks text[])
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	claimed record;
	-- more alerts than somebody reads one by one
	to_sum_up CONSTANT integer := 50;
	new_key CONSTANT uuid := gen_random_uuid();
	served CONSTANT text[] := @extschema@._chpg_served_webhooks(
		(SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user));
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('alert_delivery'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	UPDATE alert_delivery d
	SET state = 'dead', leased_until = NULL,
		error = CASE WHEN d.attempts >= 12 THEN coalesce(d.error, 'every try was interrupted')
			WHEN d.webhook IN (SELECT w.webhook FROM @extschema@._chpg_webhooks() w) THEN
				'its owner lacks the rights of the history''s owner'
			ELSE 'the webhook does not exist' END
	WHERE d.state = 'pending' AND coalesce(d.leased_until < clock_timestamp(), true)
		AND (d.attempts >= 12 OR d.webhook <> ALL (served));
	SELECT d.alert_id, d.webhook, d.summary_key, w.format, a.incident_id,
		d.attempts = 0 AND d.error IS NULL AS is_untried INTO claimed
	FROM alert_delivery d
	JOIN alert a ON a.alert_id = d.alert_id
	JOIN @extschema@._chpg_webhooks() w ON w.webhook = d.webhook
	WHERE d.state = 'pending' AND d.webhook = ANY (webhooks) AND d.next_try <= clock_timestamp()
		AND coalesce(d.leased_until < clock_timestamp(), true)
		AND NOT @extschema@._chpg_is_quiet(w.quiet_hours, clock_timestamp())
		-- alerts of an incident arrive in their order
		AND NOT EXISTS (SELECT FROM alert_delivery e JOIN alert b ON b.alert_id = e.alert_id
			WHERE e.webhook = d.webhook AND e.state = 'pending' AND b.incident_id = a.incident_id
				AND e.alert_id < d.alert_id)
	-- what is worst does not wait behind a flood
	ORDER BY @extschema@._chpg_level_place(a.level), d.alert_id, d.webhook
	LIMIT 1;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	IF claimed.summary_key IS NOT NULL AND claimed.format = 'pagerduty' THEN
		-- the webhook has become one
		UPDATE alert_delivery d SET summary_key = NULL
		WHERE d.webhook = claimed.webhook AND d.summary_key = claimed.summary_key;
		claimed.summary_key := NULL;
	ELSIF claimed.summary_key IS NULL AND claimed.format <> 'pagerduty' AND claimed.is_untried THEN
		WITH untried AS (
			SELECT d.alert_id, a.incident_id, @extschema@._chpg_level_place(a.level) AS place
			FROM alert_delivery d
			JOIN alert a ON a.alert_id = d.alert_id
			WHERE d.webhook = claimed.webhook AND d.state = 'pending' AND d.summary_key IS NULL
				AND d.attempts = 0 AND d.error IS NULL
				-- not before what was tried, or is in an earlier summary
				AND NOT EXISTS (SELECT FROM alert_delivery e JOIN alert b ON b.alert_id = e.alert_id
					WHERE e.webhook = d.webhook AND e.state = 'pending' AND b.incident_id = a.incident_id
						AND e.alert_id < d.alert_id
						AND (e.summary_key IS NOT NULL OR e.attempts > 0 OR e.error IS NOT NULL))
		), waiting AS (
			-- no end of an incident without its beginning
			SELECT u.alert_id
			FROM (SELECT u.*, min(u.place) OVER i AS worst, min(u.alert_id) OVER i AS begin
				FROM untried u WINDOW i AS (PARTITION BY u.incident_id)) u
			ORDER BY u.incident_id = claimed.incident_id DESC, u.worst, u.begin, u.alert_id
			LIMIT 1000
		)
		UPDATE alert_delivery d SET summary_key = new_key
		WHERE d.webhook = claimed.webhook AND d.alert_id IN (SELECT t.alert_id FROM waiting t)
			AND (SELECT count(*) FROM waiting) > to_sum_up;
		claimed.summary_key := CASE WHEN FOUND THEN new_key END;
	END IF;
	UPDATE alert_delivery d
	SET leased_until = clock_timestamp() + interval '2 minutes',
		attempts = 1 + (SELECT min(e.attempts) FROM alert_delivery e WHERE e.webhook = claimed.webhook
			AND (e.alert_id = claimed.alert_id OR e.summary_key = claimed.summary_key))
	WHERE d.webhook = claimed.webhook AND d.state = 'pending'
		AND (d.alert_id = claimed.alert_id OR d.summary_key = claimed.summary_key);
	RETURN (SELECT jsonb_build_object('alert_id', a.alert_id, 'webhook', claimed.webhook,
			'key', coalesce(claimed.summary_key, a.alert_key), 'body', @extschema@._chpg_alert_body(claimed.format,
				CASE WHEN claimed.summary_key IS NOT NULL THEN
					@extschema@._chpg_summary(claimed.summary_key, claimed.webhook)
				ELSE jsonb_build_object('idempotency_key', a.alert_key, 'transition', a.transition,
					'incident_id', a.incident_id, 'finding_key', a.finding_key, 'service_id', a.service_id,
					'service_name', a.service_name, 'level', a.level, 'kind', a.kind, 'rule_id', a.rule_id,
					'since', a.since, 'title', a.title, 'symptom', a.symptom, 'action', a.action,
					'noted_at', a.noted_at) END))
		FROM alert a WHERE a.alert_id = claimed.alert_id);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_claim_delivery(text[]) IS
'Lease the next delivery of some webhooks for two minutes, as the owner of the history.
If more than 50 alerts that were never tried wait for its webhook, they become one summary, of
  1000 at most.
Returns what to post, or null: nothing is due.';

CREATE FUNCTION @extschema@._chpg_record_delivery(alert_id bigint, webhook text, outcome jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_alert CONSTANT bigint := alert_id;
	of_webhook CONSTANT text := webhook;
	failure CONSTANT text := outcome->>'error';
	retry_after CONSTANT integer := least((outcome->>'retry_after')::numeric, 3600)::integer;
	noted_at CONSTANT timestamptz := clock_timestamp();
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('alert_delivery'::text, 'ROW EXCLUSIVE'::text);
	UPDATE alert_delivery d
	SET state = CASE WHEN failure IS NULL THEN 'sent' WHEN d.attempts >= 12 THEN 'dead' ELSE 'pending' END,
		sent_at = CASE WHEN failure IS NULL THEN noted_at END, leased_until = NULL, error = failure,
		status = nullif((outcome->>'status')::integer, 0),
		-- once, a receiver that is busy is asked again when it wants to be
		next_try = noted_at + CASE WHEN d.attempts = 1 AND retry_after BETWEEN 1 AND 30
			THEN make_interval(secs => retry_after)
			ELSE greatest(make_interval(mins => least((2 ^ (d.attempts - 1))::integer, 60)),
				make_interval(secs => retry_after)) END
	WHERE d.webhook = of_webhook AND d.state = 'pending' AND (d.alert_id = of_alert
		OR d.summary_key = (SELECT e.summary_key FROM alert_delivery e WHERE e.alert_id = of_alert
			AND e.webhook = of_webhook));
	RETURN to_jsonb(failure IS NULL);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_record_delivery(bigint, text, jsonb) IS
'Note what became of a delivery, or of a summary with all its alerts: sent, tried again, or dead.
For the owner of the history.';

/* As in chpg_capture: a procedure that commits cannot have a SET search_path. */
CREATE PROCEDURE @extschema@._chpg_deliver(seconds integer, INOUT sent bigint, INOUT failed bigint)
LANGUAGE plpgsql
AS $$
DECLARE
	owner CONSTANT pg_catalog.oid := @extschema@._chpg_history_owner();
	webhooks pg_catalog.text[] := @extschema@._chpg_own_webhooks(owner);
	ends_at CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp()
		OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => seconds);
	due pg_catalog.jsonb;
	outcome pg_catalog.jsonb;
	is_sent pg_catalog.jsonb;
	busy pg_catalog.text;
	busy_until pg_catalog.timestamptz;
	is_busy pg_catalog.bool;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	sent := 0;
	failed := 0;
	WHILE clock_timestamp() < ends_at LOOP
		PERFORM @extschema@._chpg_progress('deliver alerts'::text, sent + failed, NULL::bigint);
		is_busy := coalesce(busy_until > clock_timestamp(), false);
		due := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_claim_delivery($1)'::text,
			ROW(CASE WHEN is_busy THEN array_remove(webhooks, busy) ELSE webhooks END));
		EXIT WHEN due IS NULL AND NOT is_busy;
		IF due IS NULL THEN
			-- no snapshot is held for longer than this
			PERFORM pg_sleep(least(0.2, greatest(0, extract(epoch FROM busy_until - clock_timestamp()))));
			CALL @extschema@._chpg_capture_commit();
			CONTINUE;
		END IF;
		-- it commits, and then sends
		CALL @extschema@._chpg_post_webhook_alone(due->>'webhook', due->>'body', due->>'key', outcome);
		is_sent := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_record_delivery($1, $2, $3)'::text,
			ROW((due->>'alert_id')::bigint, due->>'webhook', outcome));
		CALL @extschema@._chpg_capture_commit();
		IF is_sent::boolean THEN
			sent := sent + 1;
			busy := nullif(busy, due->>'webhook');
		ELSE
			-- a receiver that fails does not keep the others waiting, and one that is busy is asked again
			failed := failed + 1;
			IF busy IS DISTINCT FROM due->>'webhook' AND (outcome->>'retry_after')::numeric BETWEEN 1 AND 30
				AND clock_timestamp() + make_interval(secs => (outcome->>'retry_after')::numeric::integer) < ends_at THEN
				busy := due->>'webhook';
				busy_until := clock_timestamp() + make_interval(secs => (outcome->>'retry_after')::numeric::integer);
			ELSE
				webhooks := array_remove(webhooks, due->>'webhook');
			END IF;
			RAISE WARNING 'could not deliver an alert to webhook "%": %', due->>'webhook', outcome->>'error';
		END IF;
	END LOOP;
	PERFORM @extschema@._chpg_progress('deliver alerts'::text, NULL::bigint, NULL::bigint);
	CALL @extschema@._chpg_capture_commit();
END
$$;

COMMENT ON PROCEDURE @extschema@._chpg_deliver(integer, bigint, bigint) IS
'Deliver alerts for so many seconds, and return how many were sent, and how many were not.
For a caller that can commit.';

CREATE PROCEDURE @extschema@.chpg_deliver(max_seconds integer DEFAULT 50)
LANGUAGE plpgsql
AS $$
DECLARE
	callers_path pg_catalog.text := pg_catalog.current_setting('search_path');
	sent bigint;
	failed bigint;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM @extschema@._chpg_history_check_caller('a delivery');
	CALL @extschema@._chpg_check_commits('chpg_deliver'::text, 'psql -c "CALL chpg_deliver()"'::text);
	IF max_seconds IS NULL OR max_seconds < 0 OR max_seconds > 3600 THEN
		RAISE EXCEPTION 'invalid value for "max_seconds": %', max_seconds
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number of seconds up to 3600.';
	END IF;
	CALL @extschema@._chpg_deliver(max_seconds, sent, failed);
	PERFORM set_config('search_path', callers_path, true);
END
$$;

COMMENT ON PROCEDURE @extschema@.chpg_deliver(integer) IS
'Send the alerts that are due to the webhooks whose URLs the caller has.
Run it each minute: pg_cron, or any scheduler. No snapshot and no lock is held across a request.
Each is sent at least once, always with the same Idempotency-Key, those of an incident in order,
  ERROR before WARN. If more than 50 new ones wait for a webhook that is not PagerDuty''s, it
  gets one summary of them. A receiver that asks for up to 30 s of patience (Retry-After) gets
  them.
A try that fails is a WARNING, and is repeated after 1, 2, 4 ... 60 minutes; after twelve tries
  the alert is a dead letter: see the view dead_letter, and chpg_redeliver.
max_seconds: begin no request after this time; one takes ten seconds at most.
Requests: none of the API''s.
Errors: 22023 max_seconds; 25001 in a transaction block; 25006 on a
  standby; 42501 the caller does not own the history; 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_redeliver(webhook text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	served CONSTANT text[] := @extschema@._chpg_served_webhooks(
		(SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user));
	count bigint;
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('alert_delivery'::text, 'ROW EXCLUSIVE'::text);
	IF webhook IS NOT NULL AND webhook <> ALL (served) THEN
		IF EXISTS (SELECT FROM @extschema@._chpg_webhooks() w WHERE w.webhook = _chpg_redeliver.webhook) THEN
			RAISE EXCEPTION 'webhook "%" gets no alert: its owner has not the rights of role "%", which owns the history',
					webhook, current_user
				USING ERRCODE = 'insufficient_privilege';
		END IF;
		RAISE EXCEPTION 'webhook "%" does not exist%', webhook, @extschema@._chpg_closest(webhook, served)
			USING ERRCODE = 'undefined_object', HINT = format('Create it with chpg_create_webhook, or give up on its '
				'dead letters: DELETE FROM %I.alert_delivery WHERE state = ''dead'' AND webhook = %L;',
				(SELECT h.schema_name FROM @extschema@.chpg_history_schema h), webhook);
	END IF;
	-- what was never tried can still be part of a summary
	UPDATE alert_delivery d SET state = 'pending', attempts = 0, next_try = clock_timestamp(),
		error = CASE WHEN d.attempts > 0 THEN d.error END
	WHERE d.state = 'dead' AND d.webhook = ANY (served) AND coalesce(d.webhook = _chpg_redeliver.webhook, true);
	GET DIAGNOSTICS count = ROW_COUNT;
	RETURN to_jsonb(count);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_redeliver(text) IS 'As chpg_redeliver, as the owner of the history.';

CREATE FUNCTION @extschema@.chpg_redeliver(webhook text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_check_caller('a delivery');
	RETURN @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT @extschema@._chpg_redeliver($1)'::text, ROW(webhook));
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_redeliver(text) IS
'Let the next chpg_deliver try dead letters again, and return their number.
webhook: those of one webhook; null: of all that exist.
Requests: none.
Errors: 25006 on a standby; 42501 the caller does not own the history, or the owner of the
  webhook has not the rights of the history''s; 42704 no such webhook; 55000 there is no history.';

REVOKE EXECUTE ON ROUTINE @extschema@.chpg_deliver(integer), @extschema@.chpg_redeliver(text) FROM PUBLIC;
