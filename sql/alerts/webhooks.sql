/*
 * Alerts: webhooks.
 *
 * A webhook is a server of a wrapper of its own.  Its options (format, filters) are readable
 * by everybody; URL and secret are options of the user mapping of the role that sends.
 */

CREATE FUNCTION @extschema@.chpg_webhook_validator(options text[], catalog oid)
RETURNS void
LANGUAGE C STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'chpg_webhook_validator';

COMMENT ON FUNCTION @extschema@.chpg_webhook_validator(text[], oid) IS
'Check the options of servers and user mappings of the wrapper chpg_webhook.
Servers: format, level, kind, service, tags, quiet_hours, ca_file. User mappings: url, secret.';

CREATE FOREIGN DATA WRAPPER chpg_webhook NO HANDLER VALIDATOR @extschema@.chpg_webhook_validator;

COMMENT ON FOREIGN DATA WRAPPER chpg_webhook IS
'Webhooks that alerts are sent to: a server stands for a webhook, see chpg_create_webhook.
USAGE lets a role create webhooks, and post to any https URL of the public internet.';

/*
 * EXECUTE is not revoked: PostgreSQL would log the statement of a call that it denies, with
 * the secret.  USAGE on the wrapper governs, which no role has by default.
 */
CREATE FUNCTION @extschema@.chpg_create_webhook(
	name text,
	format text,
	url text,
	secret text DEFAULT NULL,
	level text DEFAULT 'WARN',
	kind text DEFAULT NULL,
	service text DEFAULT NULL,
	tags jsonb DEFAULT NULL,
	quiet_hours text DEFAULT NULL,
	ca_file text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_create_webhook';

COMMENT ON FUNCTION @extschema@.chpg_create_webhook(text, text, text, text, text, text, text, jsonb, text, text) IS
'Create a webhook that alerts are sent to, or replace all that it has.
Call it again with another secret to rotate that.
format: json, slack or pagerduty; this, level and kind in any case.
url: https; null: that of PagerDuty.
secret: signs json bodies (X-Chpg-Signature); PagerDuty''s integration key; none for slack.
Sent are alerts of this level or worse (WARN, ERROR), of this service (id or name), of services
  with all of these tags, and of this kind: incident, risk, null for both, or notification for
  the organization''s notifications, which chpg_watch then reads.
A WARNING names a service or tags that the history does not have yet. A NOTICE says how many
  incidents are open: they are sent only if they get worse.
quiet_hours: such as 22:00-07:00 Europe/Berlin; alerts of these hours are sent after them.
ca_file: CAs to trust instead of the system''s; needs pg_read_server_files.
URL and secret go to the caller''s user mapping: the caller''s chpg_deliver sends.
Keeps both out of the log and pg_stat_activity; a NOTICE says where they stay unless called as a
  plain SELECT.
Needs USAGE on the foreign-data wrapper chpg_webhook.
Requests: none.
Errors: 22004 an argument is null; 22023 a name, or a secret that is missing; 25006 read-only;
  42501 no USAGE, or the webhook belongs to another role; 42710 the name is that of another
  server; HV024 an invalid value.';

CREATE FUNCTION @extschema@._chpg_webhooks()
RETURNS TABLE (webhook text, server_id oid, owner oid, format text, level text, kind text, service text, tags jsonb,
	quiet_hours text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.srvname::text, s.oid, s.srvowner, o.options->>'format', coalesce(o.options->>'level', 'WARN'),
		o.options->>'kind', o.options->>'service', (o.options->>'tags')::jsonb, o.options->>'quiet_hours'
	FROM pg_foreign_data_wrapper w
	JOIN pg_foreign_server s ON s.srvfdw = w.oid
	CROSS JOIN LATERAL (
		SELECT jsonb_object_agg(t.option_name, t.option_value) AS options FROM pg_options_to_table(s.srvoptions) t) o
	WHERE w.fdwname = 'chpg_webhook'
$$;

COMMENT ON FUNCTION @extschema@._chpg_webhooks() IS
'All webhooks, with the options that are no secret.';

CREATE FUNCTION @extschema@._chpg_webhook_format(webhook text, argument text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of_format CONSTANT text := (SELECT w.format FROM @extschema@._chpg_webhooks() w
		WHERE w.webhook = _chpg_webhook_format.webhook);
BEGIN
	IF webhook IS NULL THEN
		RAISE EXCEPTION 'argument "%" must not be null', argument USING ERRCODE = 'null_value_not_allowed';
	ELSIF of_format IS NULL THEN
		RAISE EXCEPTION 'webhook "%" does not exist%', @extschema@._chpg_alert_text(webhook, 100),
				@extschema@._chpg_closest(left(webhook, 100),
					ARRAY(SELECT w.webhook FROM @extschema@._chpg_webhooks() w ORDER BY 1))
			USING ERRCODE = 'undefined_object', HINT = 'Create it with chpg_create_webhook.';
	END IF;
	RETURN of_format;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_webhook_format(text, text) IS
'The format of a webhook.
argument: that of the caller, for messages.
Errors: 22004, 42704 there is none of that name.';

/* That the URL goes, too, is no news. */
CREATE FUNCTION @extschema@.chpg_drop_webhook(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
	PERFORM @extschema@._chpg_webhook_format(name, 'name'::text);
	EXECUTE format('DROP SERVER %I CASCADE', name);
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_drop_webhook(text) IS
'Drop a webhook, with its URL and secret.
Alerts that it was still to get become dead letters.
Requests: none.
Errors: 22004, 42704 no such webhook; 25006 read-only; 42501 it belongs to another role.';

/* The history's owner sees all findings anyway. */
CREATE FUNCTION @extschema@._chpg_own_webhooks(owner oid)
RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(w.webhook ORDER BY w.webhook), '{}')
	FROM @extschema@._chpg_webhooks() w
	WHERE pg_has_role(w.owner, _chpg_own_webhooks.owner, 'USAGE')
		AND EXISTS (SELECT FROM pg_user_mappings m WHERE m.srvid = w.server_id
			AND m.umuser = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user))
$$;

COMMENT ON FUNCTION @extschema@._chpg_own_webhooks(oid) IS
'The webhooks that the caller can send alerts with.
The caller has their URLs, and their owners have the rights of the history''s owner.';

/* Another role's webhook may have the name of one that was dropped. */
CREATE FUNCTION @extschema@._chpg_served_webhooks(owner oid)
RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(w.webhook ORDER BY w.webhook), '{}')
	FROM @extschema@._chpg_webhooks() w
	WHERE pg_has_role(w.owner, _chpg_served_webhooks.owner, 'USAGE')
$$;

COMMENT ON FUNCTION @extschema@._chpg_served_webhooks(oid) IS
'The webhooks that get alerts: their owners have the rights of the history''s owner.';

CREATE FUNCTION @extschema@._chpg_is_quiet(quiet_hours text, at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(CASE WHEN q.starts < q.ends THEN q.now >= q.starts AND q.now < q.ends
		ELSE q.now >= q.starts OR q.now < q.ends END, false)
	FROM (SELECT left(quiet_hours, 5)::time AS starts, substr(quiet_hours, 7, 5)::time AS ends,
		(at AT TIME ZONE substr(quiet_hours, 13))::time AS now) q
$$;

COMMENT ON FUNCTION @extschema@._chpg_is_quiet(text, timestamptz) IS
'Whether a time is within quiet hours, such as 22:00-07:00 Europe/Berlin; null: it is not.';

CREATE FUNCTION @extschema@._chpg_alert_text(value text, width integer)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT @extschema@._chpg_line_text(@extschema@._chpg_without_controls(
		regexp_replace(left(value, 2000), '[[:space:]]+', ' ', 'g')), width)
$$;

COMMENT ON FUNCTION @extschema@._chpg_alert_text(text, integer) IS
'A text from outside as one line of at most this width, without controls and marks of direction.';

/* What a client of a chat shows as one line, and makes no link of. */
CREATE FUNCTION @extschema@._chpg_alert_line(value text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT replace(@extschema@._chpg_alert_text(value, 500), '://', ': //')
$$;

COMMENT ON FUNCTION @extschema@._chpg_alert_line(text) IS
'A field of an alert as one line, without controls, marks of direction and links.';

/* In Slack, < begins a mention or a link, which a service's name must not make. */
CREATE FUNCTION @extschema@._chpg_alert_body(format text, alert jsonb)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE format
		WHEN 'slack' THEN jsonb_build_object('text',
			replace(replace(replace(s.summary || coalesce(E'\n' || @extschema@._chpg_alert_line(alert->>'action'), ''),
				'&', '&amp;'), '<', '&lt;'), '>', '&gt;'))
		WHEN 'pagerduty' THEN jsonb_build_object(
			'event_action', CASE WHEN alert->>'transition' IN ('new', 'worse', 'summary') THEN 'trigger' ELSE 'resolve' END,
			'dedup_key', alert->>'incident_id', 'client', 'chpg',
			'payload', jsonb_build_object('summary', s.summary, 'source', s.source,
				'severity', CASE alert->>'level' WHEN 'ERROR' THEN 'critical' ELSE 'warning' END,
				'timestamp', alert->>'noted_at', 'custom_details', alert))
		ELSE alert END::text
	FROM (SELECT f.source, format('%s %s: %s: %s', alert->>'level', CASE alert->>'transition'
			WHEN 'usual' THEN 'is the usual now' ELSE alert->>'transition' END, f.source,
			concat_ws(' - ', @extschema@._chpg_alert_line(alert->>'title'),
				@extschema@._chpg_alert_line(alert->>'symptom'))) AS summary
		FROM (SELECT @extschema@._chpg_alert_line(coalesce(alert->>'service_name', alert->>'service_id', 'fleet'))
			AS source) f) s
$$;

COMMENT ON FUNCTION @extschema@._chpg_alert_body(text, jsonb) IS
'The body of a request to a webhook of a format, without PagerDuty''s key.';

CREATE FUNCTION @extschema@._chpg_post_webhook(webhook text, body text, idempotency_key text)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'chpg_post_webhook';

COMMENT ON FUNCTION @extschema@._chpg_post_webhook(text, text, text) IS
'Post a JSON object to a webhook, with the caller''s URL and secret.
Returns status (HTTP; 0: none), error (null: it was taken) and retry_after (seconds).
Errors: 22023 body or key.';

CREATE PROCEDURE @extschema@._chpg_post_webhook_alone(webhook text, body text, idempotency_key text,
	INOUT outcome jsonb)
LANGUAGE C
AS 'MODULE_PATHNAME', 'chpg_post_webhook_alone';

COMMENT ON PROCEDURE @extschema@._chpg_post_webhook_alone(text, text, text, jsonb) IS
'As _chpg_post_webhook, for a procedure that can commit.
Commits, and then sends without a snapshot.
Errors: 22004 an argument is null; 22023 body or key; 25001 it cannot.';

CREATE PROCEDURE @extschema@._chpg_can_commit(INOUT answer boolean)
LANGUAGE C
AS 'MODULE_PATHNAME', 'chpg_can_commit';

COMMENT ON PROCEDURE @extschema@._chpg_can_commit(boolean) IS
'Whether the calling procedure can end its transaction.';

CREATE FUNCTION @extschema@.chpg_test_webhook(webhook text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of_format CONSTANT text := @extschema@._chpg_webhook_format(webhook, 'webhook'::text);
	key CONSTANT uuid := gen_random_uuid();
	outcome jsonb;
	not_sent name;
BEGIN
	outcome := @extschema@._chpg_post_webhook(webhook, @extschema@._chpg_alert_body(of_format,
		jsonb_build_object('idempotency_key', key, 'transition', 'test', 'level', 'WARN', 'kind', 'incident',
			'incident_id', 'test-' || key, 'title', 'Test of webhook ' || webhook, 'noted_at', now())), key::text);
	IF outcome->>'error' IS NOT NULL THEN
		RAISE EXCEPTION 'could not post to webhook "%": %', webhook, outcome->>'error'
			USING ERRCODE = CASE WHEN (outcome->>'status')::integer > 0 THEN 'system_error' ELSE 'connection_exception' END;
	END IF;
	not_sent := (SELECT pg_get_userbyid(n.nspowner) FROM @extschema@.chpg_history_schema h
		JOIN pg_namespace n ON n.nspname = h.schema_name
		JOIN @extschema@._chpg_webhooks() w ON w.webhook = chpg_test_webhook.webhook
		WHERE NOT pg_has_role(w.owner, n.nspowner, 'USAGE'));
	IF not_sent IS NOT NULL THEN
		RAISE NOTICE 'webhook "%" gets no alert: its owner has not the rights of role "%", which owns the history',
			webhook, not_sent USING HINT = 'Create it as that role.';
	END IF;
	RETURN outcome->'status';
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_test_webhook(text) IS
'Post a test to a webhook, and return the HTTP status.
In PagerDuty the test is an event that resolves no incident. Filters do not count.
A NOTICE says if the webhook gets no alert, since its owner has not the rights of the history''s.
Requests: none of the API''s.
Errors: 08000 no request was answered; 22004, 42704 no such webhook; 58000 the receiver refused
  it.';
