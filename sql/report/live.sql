/* Report: what there is without a history. */

CREATE FUNCTION @extschema@._chpg_requests_sent()
RETURNS bigint
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT coalesce(sum(s.requests), 0)::bigint FROM @extschema@.chpg_stats() s;
END;

COMMENT ON FUNCTION @extschema@._chpg_requests_sent() IS
'Requests that were sent with the keys that the caller may see, also by other sessions.
Requests: none.';

/* Nobody who may not read the history shall take its silence for good news. */
CREATE FUNCTION @extschema@._chpg_report_lacks(OUT problem text, OUT remedy text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	history record;
BEGIN
	SELECT h.schema_name, h.state, pg_get_userbyid(n.nspowner) AS owner INTO history
	FROM @extschema@._chpg_history_state() h
	LEFT JOIN pg_namespace n ON n.nspname = h.schema_name;
	IF history.schema_name IS NULL THEN
		problem := 'there is no history';
		remedy := 'To begin a history: SELECT chpg_history_enable(''fleet_history''); and CALL chpg_capture(); each hour.';
	ELSIF history.state LIKE '%your rights' THEN
		problem := format('the history belongs to role "%s", and only that role has a report of it', history.owner);
		remedy := format('Connect as role "%s", and call chpg_report again.', history.owner);
	ELSIF history.state IS NOT NULL THEN
		problem := format('the history cannot be used: schema "%s" ', history.schema_name) || history.state;
	ELSIF NOT @extschema@._chpg_history_is_readable() THEN
		problem := format('the history in schema "%s" may not be read', history.schema_name);
		remedy := format('Its owner grants it: GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I;', history.schema_name,
			current_user);
	ELSE
		problem := 'the history has no hour of this period';
		remedy := 'Captures add hours: CALL chpg_capture();';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_lacks() IS
'Why there is nothing of a period to report from, within a sentence.
remedy: a sentence; null: unknown here.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_of_api(of_service text, secret text, history_only boolean,
	INOUT report @extschema@._chpg_report)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = '2min'
SET chpg.on_service_error = 'warning'
AS $$
DECLARE
	last_day CONSTANT tstzrange := tstzrange(greatest(lower(report.period), upper(report.period) - interval '24 hours'),
		upper(report.period));
	before CONSTANT bigint := @extschema@._chpg_requests_sent();
	health @extschema@.chpg_health_row[];
	findings @extschema@.chpg_finding_row[];
	rows @extschema@.chpg_period_pattern_row[];
	lack record;
BEGIN
	SELECT * INTO lack FROM @extschema@._chpg_report_lacks();
	report.baseline := NULL;
	report.from_log := false;
	report.service := of_service;
	IF history_only THEN
		report.not_known := lack.problem;
		report.notes := report.notes || array_remove(ARRAY[lack.remedy,
			'To read the present state from the API instead: SELECT chpg_report(history_only => false);'], NULL);
		RETURN;
	END IF;
	findings := ARRAY(SELECT f FROM @extschema@.chpg_findings(last_day, of_service, report.server, false) f);
	rows := ARRAY(SELECT p FROM @extschema@._chpg_period_of_api(last_day, of_service, report.server) p);
	health := ARRAY(SELECT h FROM @extschema@.chpg_health(report.server) h
		WHERE of_service IS NULL OR of_service IN (h.service_id, h.service_name));
	report.period := last_day;
	report.judged_at := upper(last_day);
	report.notes := report.notes || ARRAY[
		@extschema@._chpg_sentence(lack.problem) || ' This is what the API has of the last day.',
		'Without a history there are no courses, nothing to compare with, and no incidents that have ended.'];
	report := @extschema@._chpg_report_sorted(findings, report);
	report.skipped := @extschema@._chpg_report_skipped(findings);
	report.pattern_count := (SELECT count(*) FROM unnest(rows) p WHERE p.query_id <> 0);
	report.services := ARRAY(
		SELECT jsonb_populate_record(NULL::@extschema@._chpg_report_service, jsonb_build_object(
			'service_id', n.service_id, 'service_name', @extschema@._chpg_plain_text(coalesce(n.service_name, n.service_id)),
			'link', @extschema@._chpg_report_service_link(n.service_id),
			'level', ('{ERROR,WARN}'::text[])[w.place], 'incidents', coalesce(w.incidents, 0), 'hours', 0,
			'load', p.total_us / 1e6 / l.seconds, 'calls_per_s', p.calls / l.seconds,
			'error_percent', 100 * p.errors / nullif(p.calls + p.errors, 0), 'memory_percent', n.memory_used_percent,
			'storage_percent', n.storage_used_percent, 'connections', n.active_connections + n.idle_connections))
		FROM (
			SELECT coalesce(h.service_id, f.service_id) AS service_id, h.service_name, h.memory_used_percent,
				h.storage_used_percent, h.active_connections, h.idle_connections
			FROM (SELECT u.* FROM unnest(health) u) h
			FULL JOIN (SELECT DISTINCT u.service_id FROM unnest(rows) u) f ON f.service_id = h.service_id
		) n
		CROSS JOIN (SELECT extract(epoch FROM upper(last_day) - lower(last_day))::float8 AS seconds) l
		LEFT JOIN (
			SELECT u.service_id, sum(u.total_duration_us) AS total_us, sum(u.call_count)::float8 AS calls,
				sum(u.error_count)::float8 AS errors
			FROM unnest(rows) u
			GROUP BY u.service_id
		) p ON p.service_id = n.service_id
		LEFT JOIN (
			SELECT u.service_id, count(*) AS incidents, min(@extschema@._chpg_level_place(u.level)) AS place
			FROM unnest(report.incidents) u
			WHERE u.level IN ('ERROR', 'WARN')
			GROUP BY u.service_id
		) w ON w.service_id = n.service_id
		WHERE n.service_id IS NOT NULL
		ORDER BY w.place, w.incidents DESC NULLS LAST, p.total_us DESC NULLS LAST, n.service_id);
	report.patterns := ARRAY(
		SELECT ROW(r, coalesce(s.service_name, r.service_id), 'pattern-' || @extschema@._chpg_report_hash(r.service_id,
				r.query_hex, r.db_name, r.db_user, r.db_operation, r.app), 100 * r.total_duration_us / nullif(a.total_us, 0),
			r.total_duration_us / 1e6 / extract(epoch FROM upper(last_day) - lower(last_day))::float8, NULL, NULL, NULL, true
			)::@extschema@._chpg_report_pattern
		FROM (
			SELECT p FROM unnest(rows) p WHERE p.query_id <> 0
			ORDER BY p.total_duration_us DESC NULLS LAST, p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation, p.app
			LIMIT CASE WHEN of_service IS NULL THEN 40 ELSE 20 END
		) o(p)
		CROSS JOIN (SELECT sum(u.total_duration_us) AS total_us FROM unnest(rows) u) a
		CROSS JOIN LATERAL jsonb_populate_record(o.p, jsonb_build_object(
			'query_text', @extschema@._chpg_report_query_text(secret, (o.p).query_text),
			'db_name', @extschema@._chpg_pseudonym('db'::text, secret, (o.p).db_name),
			'db_user', @extschema@._chpg_pseudonym('user'::text, secret, (o.p).db_user),
			'app', @extschema@._chpg_pseudonym('app'::text, secret, (o.p).app))) r
		LEFT JOIN unnest(report.services) s ON s.service_id = r.service_id
		ORDER BY r.total_duration_us DESC NULLS LAST, r.service_id, r.query_id);
	report.requests := @extschema@._chpg_requests_sent() - before;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_of_api(text, text, boolean, @extschema@._chpg_report) IS
'Put into a report what the API has of its last day; if history_only, only how to get more.
secret: for pseudonyms; null: names and texts are shown.
Requests: none if history_only; else as chpg_findings, chpg_slow_patterns and chpg_health.';
