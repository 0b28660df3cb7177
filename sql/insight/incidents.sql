/*
 * Insight: findings that began together in a service are one incident.
 *
 * An incident has a root, the most urgent of its findings, which stands for it; the others
 * are its members.
 */

CREATE TYPE @extschema@._chpg_member AS (
	finding @extschema@.chpg_finding_row,
	member_of text
);

COMMENT ON TYPE @extschema@._chpg_member IS 'A finding, and the incident that it is a member of.';
COMMENT ON COLUMN @extschema@._chpg_member.finding IS 'The finding.';
COMMENT ON COLUMN @extschema@._chpg_member.member_of IS
'The finding_key of the root of its incident; null: the finding stands for itself.';

/*
 * Settings are read once a day: what two readings have differently may have changed at any time
 * between them.
 */
CREATE FUNCTION @extschema@._chpg_changed_limits(of_service integer, onset timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	limits jsonb;
	settings jsonb;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	IF NOT has_table_privilege('limit_day', 'SELECT') THEN
		RETURN '{}';
	END IF;
	-- those of a day are noted when it begins, and again when they change
	limits := (
		SELECT jsonb_object_agg(v.what, jsonb_build_object('before', v."before", 'after', v."after"))
		FROM (
			SELECT l.*, lag(l.day) OVER w AS last_day, lag(l.cpu_cores) OVER w AS last_cores,
				lag(l.memory_bytes) OVER w AS last_memory, lag(l.storage_bytes) OVER w AS last_storage
			FROM limit_day l
			WHERE l.service_key = of_service AND l.day > onset - interval '4 days'
				AND l.day <= onset + interval '3 hours' AND l.size IS NOT NULL
			WINDOW w AS (ORDER BY l.day)
		) d
		CROSS JOIN LATERAL (VALUES ('cpu_cores', d.last_cores::bigint, d.cpu_cores::bigint),
			('memory_bytes', d.last_memory, d.memory_bytes), ('storage_bytes', d.last_storage, d.storage_bytes))
			v(what, "before", "after")
		WHERE v."before" <> v."after" AND d.day + interval '25 hours' > onset);
	settings := (
		WITH reading AS (
			SELECT l.settings_at, l.settings, lag(l.settings_at) OVER w AS last_at,
				lag(l.settings) OVER w AS last_settings
			FROM limit_day l
			WHERE l.service_key = of_service AND l.day > onset - interval '4 days' AND l.day < onset + interval '3 days'
				AND l.settings IS NOT NULL
			WINDOW w AS (ORDER BY l.settings_at)
		), changed AS (
			SELECT DISTINCT ON (n.name) n.name, r.last_settings->>n.name AS "before", r.settings->>n.name AS "after"
			FROM reading r
			CROSS JOIN LATERAL (SELECT jsonb_object_keys(r.last_settings || r.settings) AS name) n
			WHERE r.last_at <= onset + interval '1 hour' AND r.settings_at >= onset - interval '1 hour'
				AND r.last_settings->>n.name IS DISTINCT FROM r.settings->>n.name
			ORDER BY n.name, r.settings_at
		)
		SELECT jsonb_object_agg(c.name,
			jsonb_build_object('before', left(c."before", 100), 'after', left(c."after", 100)))
		FROM (SELECT c.* FROM changed c ORDER BY c.name LIMIT 10) c);
	RETURN coalesce(limits, '{}')
		|| CASE WHEN settings IS NULL THEN '{}' ELSE jsonb_build_object('settings', settings) END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_changed_limits(integer, timestamptz) IS
'Limits and settings of a service that changed on the day of an onset, before and after.
At most ten settings; without the right to read limit_day, none.
Requests: none.
Errors: 55000 there is no history.';

CREATE FUNCTION @extschema@._chpg_new_queries(of_service integer, onset timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	keys integer[];
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	-- most patterns run each hour: a day is read only if some were not there in the hour before
	keys := ARRAY(
		SELECT DISTINCT w.pattern_key
		FROM @extschema@._chpg_window_hour() w
		WHERE w.service_key = of_service AND w.window_start >= onset AND w.window_start <= onset + interval '1 hour'
		EXCEPT
		SELECT w.pattern_key
		FROM @extschema@._chpg_window_hour() w
		WHERE w.service_key = of_service AND w.window_start = onset - interval '1 hour');
	IF cardinality(keys) = 0 THEN
		RETURN '{}';
	END IF;
	RETURN (
		WITH patterns AS (
			SELECT k.query_id, k.app, min(w.window_start) AS first_seen
			FROM @extschema@._chpg_window_hour() w
			JOIN pattern_key k ON k.pattern_key = w.pattern_key
			WHERE w.service_key = of_service AND w.window_start >= onset - interval '24 hours'
				AND w.window_start <= onset + interval '1 hour' AND k.query_id <> 0
				AND NOT @extschema@._chpg_is_monitoring(k.app)
			GROUP BY k.query_id, k.app
		), apps AS (
			SELECT p.app FROM patterns p GROUP BY p.app HAVING min(p.first_seen) >= onset ORDER BY p.app LIMIT 5
		), queries AS (
			SELECT count(*) AS count
			FROM (SELECT FROM patterns p GROUP BY p.query_id HAVING min(p.first_seen) >= onset) q
		)
		SELECT jsonb_strip_nulls(jsonb_build_object('new_queries', (SELECT nullif(q.count, 0) FROM queries q),
			'new_apps', (SELECT jsonb_agg(left(a.app, 100) ORDER BY a.app) FROM apps a))));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_new_queries(integer, timestamptz) IS
'How many queries, and which applications, ran first in the two hours from an onset on.
Those that did not run in the day before.
Requests: none.
Errors: 55000 there is no history.';

/*
 * What may have caused an incident.  A capture notes a change of a service up to an hour or
 * two after it.
 */
CREATE FUNCTION @extschema@._chpg_at_that_time(service_id text, onset timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	wanted CONSTANT text := service_id;
	of_service integer;
	found jsonb;
BEGIN
	IF NOT @extschema@._chpg_history_is_readable() THEN
		RETURN '{}';
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	found := (
		SELECT coalesce(jsonb_object_agg(c.what, jsonb_build_object('before', c."before", 'after', c."after")), '{}')
		FROM (
			SELECT DISTINCT ON (v.what) v.what, v."before", v."after"
			FROM service s
			JOIN service p ON p.service_id = s.service_id AND p.valid_to = s.valid_from
			CROSS JOIN LATERAL (VALUES ('service_name', p.service_name, s.service_name), ('size', p.size, s.size),
				('ha_type', p.ha_type, s.ha_type), ('postgres_version', p.postgres_version, s.postgres_version))
				v(what, "before", "after")
			WHERE s.service_id = wanted AND v."before" IS DISTINCT FROM v."after"
				AND s.valid_from BETWEEN onset - interval '1 hour' AND onset + interval '3 hours'
			ORDER BY v.what, s.valid_from
		) c);
	of_service := (SELECT k.service_key FROM service_key k WHERE k.service_id = wanted);
	found := found || @extschema@._chpg_changed_limits(of_service, onset);
	-- without a day before, every query would be new
	IF (SELECT count(*) FROM capture c WHERE c.service_id = wanted AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= onset - interval '24 hours' AND c.window_end <= onset) >= 12 THEN
		found := found || @extschema@._chpg_new_queries(of_service, onset);
	END IF;
	RETURN found;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_at_that_time(text, timestamptz) IS
'What else happened in a service at an hour, as far as the history knows.
Changes of its name, size, high availability, version, limits and settings; new queries and
  applications.
Requests: none.';

/* {first onset, last onset} of the incident that a finding belongs to, if onsets come in order */
CREATE FUNCTION @extschema@._chpg_add_onset(onsets timestamptz[], since timestamptz)
RETURNS timestamptz[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN since <= onsets[2] + interval '1 hour' AND since <= onsets[1] + interval '2 hours'
		THEN ARRAY[onsets[1], since] ELSE ARRAY[since, since] END
$$;

COMMENT ON FUNCTION @extschema@._chpg_add_onset(timestamptz[], timestamptz) IS
'First and last onset of an incident with one more onset, or of a new incident that it begins.';

CREATE AGGREGATE @extschema@._chpg_onsets(timestamptz) (
	SFUNC = @extschema@._chpg_add_onset,
	STYPE = timestamptz[]
);

COMMENT ON AGGREGATE @extschema@._chpg_onsets(timestamptz) IS
'First and last onset of the incident that the last of these onsets, in order, belongs to.';

/*
 * Onsets are known to the hour: a finding belongs to those that began up to an hour before it,
 * the first of them up to two hours.  One that the log has in an incident stays with the others
 * of that incident.  What is no alarm by itself joins alarms, but does not join two of them.  Rules
 * declare that an onset is shared with nothing else, such as that of storage that fills.
 */
CREATE FUNCTION @extschema@._chpg_incidents(findings @extschema@.chpg_finding_row[])
RETURNS SETOF @extschema@._chpg_member
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH item AS (
		SELECT f.*, @extschema@._chpg_urgency(f.kind, f.level, f.rule_id) AS urgency,
			CASE WHEN f.kind IN ('incident', 'risk') AND f.level <> 'SKIPPED' THEN
				CASE WHEN f.since IS NULL OR f.service_id IS NULL THEN f.finding_key
					WHEN @extschema@._chpg_rule_onset(f.rule_id) = 'alone' THEN f.rule_id ELSE '' END END AS family,
			f.level IN ('ERROR', 'WARN') AS is_alarm
		FROM unnest(findings) f
	), begins AS (
		SELECT *, (@extschema@._chpg_onsets(since) OVER w)[1] AS first_onset
		FROM item
		WINDOW w AS (PARTITION BY service_id, muted, family, is_alarm ORDER BY since, finding_key)
	), grouped AS (
		SELECT *, CASE WHEN incident_id IS NULL THEN first_onset
			ELSE min(first_onset) OVER (PARTITION BY service_id, muted, family, is_alarm, incident_id) END AS group_onset
		FROM begins
	), chained AS (
		SELECT g.*, coalesce(a.group_onset, g.group_onset) AS chain, g.is_alarm OR a.group_onset IS NOT NULL AS has_alarm
		FROM grouped g
		LEFT JOIN LATERAL (
			SELECT a.group_onset
			FROM grouped a
			WHERE a.is_alarm AND a.service_id = g.service_id AND a.muted = g.muted AND a.family = g.family
				AND a.since BETWEEN g.since - interval '1 hour' AND g.since + interval '1 hour'
			ORDER BY a.since > g.since, a.since DESC LIMIT 1
		) a ON NOT g.is_alarm
	), placed AS (
		SELECT *, row_number() OVER r AS place, first_value(finding_key) OVER r AS root_key,
			first_value(incident_id) OVER (PARTITION BY service_id, muted, family, chain, has_alarm
				ORDER BY incident_id IS NULL, since, incident_id) AS known_id,
			min(since) OVER (PARTITION BY service_id, muted, family, chain, has_alarm) AS onset
		FROM chained
		WHERE family IS NOT NULL
		WINDOW r AS (PARTITION BY service_id, muted, family, chain, has_alarm
			ORDER BY @extschema@._chpg_level_place(level), urgency, @extschema@._chpg_rule_place(rule_id),
				impact_us DESC NULLS LAST, finding_key)
	), members AS (
		SELECT p.root_key, count(*) AS count,
			jsonb_agg(jsonb_build_object('rule_id', p.rule_id, 'level', p.level, 'title', p.title, 'subject', p.subject,
				'symptom', p.symptom, 'since', p.since, 'impact_us', p.impact_us, 'finding_key', p.finding_key)
				ORDER BY p.place) FILTER (WHERE p.place <= 51) AS list,
			(SELECT array_agg(DISTINCT r.rule_name ORDER BY r.rule_name) FROM @extschema@.chpg_rule r
				WHERE r.rule_id = ANY (array_agg(p.rule_id))) AS names
		FROM placed p
		WHERE p.place > 1
		GROUP BY p.root_key
	)
	SELECT ROW(p.kind, p.level, p.rule_id, p.title, p.service_id, p.service_name, p.subject, p.since, p.state, p.muted,
			p.symptom, p."before", p."now", p.unit, p.explanation, p.action, p.next,
			CASE WHEN p.place > 1 THEN p.evidence
				ELSE coalesce(p.evidence, '{}') || CASE WHEN m.count > 0 THEN
						jsonb_build_object('member_count', m.count, 'members', m.list) ELSE '{}' END
					|| CASE WHEN t.happened <> '{}' THEN jsonb_build_object('at_that_time', t.happened) ELSE '{}' END
				END,
			p.impact_us, p.confidence,
			CASE WHEN p.place = 1 AND m.names IS NOT NULL THEN coalesce(p.tags, '{}')
				|| ARRAY(SELECT n FROM unnest(m.names) n WHERE n <> ALL (coalesce(p.tags, '{}'))) ELSE p.tags END,
			p.finding_key,
			coalesce(p.known_id, 'inc-' || left(md5(concat_ws(' ', p.service_id,
				@extschema@._chpg_time_literal(p.onset), p.family)), 12)))::@extschema@.chpg_finding_row,
		CASE WHEN p.place > 1 THEN p.root_key END
	FROM placed p
	LEFT JOIN members m ON m.root_key = p.finding_key
	LEFT JOIN LATERAL (
		SELECT @extschema@._chpg_at_that_time(p.service_id, p.since) AS happened
		WHERE p.place = 1 AND p.is_alarm AND p.since IS NOT NULL AND p.service_id IS NOT NULL
	) t ON true
	UNION ALL
	SELECT ROW(i.kind, i.level, i.rule_id, i.title, i.service_id, i.service_name, i.subject, i.since, i.state, i.muted,
			i.symptom, i."before", i."now", i.unit, i.explanation, i.action, i.next, i.evidence, i.impact_us,
			i.confidence, i.tags, i.finding_key, NULL::text)::@extschema@.chpg_finding_row, NULL::text
	FROM item i
	WHERE i.family IS NULL
$$;

COMMENT ON FUNCTION @extschema@._chpg_incidents(@extschema@.chpg_finding_row[]) IS
'Findings by incident: the root of each has its members in evidence, and what else happened then.
An incident_id that a finding has stays the incident''s.
Requests: none.';

/* Several services with one onset point to what they share, such as a region or a deployment. */
CREATE FUNCTION @extschema@._chpg_find_fleet_wide(t @extschema@._chpg_thresholds,
	members @extschema@._chpg_member[], period tstzrange, server text)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_server CONSTANT text := server;
	fleet bigint;
BEGIN
	IF NOT @extschema@._chpg_history_is_readable() THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	fleet := (SELECT count(DISTINCT s.service_id) FROM service s
		WHERE s.valid_from < upper(period) AND s.valid_to >= upper(period)
			AND (of_server IS NULL OR s.server = of_server));
	RETURN QUERY
	WITH roots AS (
		SELECT (m.finding).service_id, date_trunc('hour', (m.finding).since, 'UTC') AS hour,
			coalesce((m.finding).service_name, (m.finding).service_id) AS name
		FROM unnest(members) m
		WHERE m.member_of IS NULL AND (m.finding).kind IN ('incident', 'risk') AND NOT (m.finding).muted
			AND (m.finding).level IN ('ERROR', 'WARN') AND (m.finding).since IS NOT NULL
			AND (m.finding).service_id IS NOT NULL
	), hours AS (
		SELECT h.hour, count(DISTINCT r.service_id) AS services,
			(array_agg(DISTINCT r.name ORDER BY r.name))[1:20] AS names
		FROM (SELECT DISTINCT r.hour FROM roots r) h
		JOIN roots r ON r.hour BETWEEN h.hour AND h.hour + interval '1 hour'
		GROUP BY h.hour
	), peaks AS (
		SELECT h.*, row_number() OVER (PARTITION BY date_trunc('day', h.hour, 'UTC')
			ORDER BY h.services DESC, h.hour) AS place
		FROM hours h
		WHERE h.services >= t.fleet_wide_services AND h.services >= t.fleet_wide_services_ratio * fleet
	)
	SELECT 'CHPG809', 'INFO', 'Many services at one hour', NULL::text,
		format('%s of %s services have an incident that began within the same hours', p.services, fleet),
		jsonb_build_object('services', p.services, 'fleet', fleet, 'names', to_jsonb(p.names)),
		'What they share began then: a deployment, a region, a network, or their callers.',
		'Look for what these services share before you look at each of them.',
		NULL::float8, 'medium', 'CHPG809:' || @extschema@._chpg_time_literal(p.hour), 'incident', p.hour,
		0::float8, p.services::float8, 'services', NULL::text
	FROM peaks p
	WHERE p.place = 1;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_fleet_wide(@extschema@._chpg_thresholds, @extschema@._chpg_member[],
	tstzrange, text) IS
'A finding for each day with an hour in which incidents of many services began.
Requests: none.';
