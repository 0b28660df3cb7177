/*
 * Insight: the log of findings, which chpg_watch keeps in the history.
 *
 * A row of finding_log is an episode of a finding: from the watch that first saw it until
 * two watches in a row have not seen it.  Times are those of the captured hours that a watch
 * has judged, not those at which it ran.
 */

/*
 * How bad a finding is, in comparison with itself: hostile values are bounded.  What is a mean
 * since the onset hardly moves when the last hours get worse: rules have those in evidence, as
 * latest.
 */
CREATE FUNCTION @extschema@._chpg_finding_value("before" double precision, "now" double precision, evidence jsonb)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN v.latest >= 1e-9 AND v.latest <= 1e18 AND "before" >= 1e-9 AND "before" <= 1e18 THEN
			greatest(v.latest / "before", "before" / v.latest)
		WHEN v.latest >= 1e-9 AND v.latest <= 1e18 AND ("before" IS NULL OR "before" < 1e-9) THEN v.latest END
	FROM (SELECT CASE WHEN jsonb_typeof(evidence->'latest') = 'number'
		THEN (evidence->>'latest')::float8 ELSE "now" END AS latest) v;
END;

COMMENT ON FUNCTION @extschema@._chpg_finding_value(double precision, double precision, jsonb) IS
'How many times a measure is as before, or less; the measure if there was none before.
It is that of the latest hours, where evidence has them.';

/* A symptom is that of a time when it was found: the text of its end must not read as if it lasted. */
CREATE FUNCTION @extschema@._chpg_ended_symptom(state text, symptom text, since timestamptz, last_seen_at timestamptz)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' ', CASE state WHEN 'usual' THEN 'It is usual by now:' ELSE 'It is over:' END,
		CASE WHEN isfinite(since) AND isfinite(last_seen_at) AND since <= last_seen_at THEN
			format('found from %s to %s, for %s h.', @extschema@._chpg_time_literal(since),
				@extschema@._chpg_time_literal(last_seen_at),
				greatest(@extschema@._chpg_hours_between(since, last_seen_at), 1))
			WHEN isfinite(last_seen_at) THEN
				format('found until %s.', @extschema@._chpg_time_literal(last_seen_at)) END,
		'It was: ' || symptom)
$$;

COMMENT ON FUNCTION @extschema@._chpg_ended_symptom(text, text, timestamptz, timestamptz) IS
'What the alert of an incident''s end says: from when to when it was found, and what it was.';

CREATE FUNCTION @extschema@._chpg_log_is_readable()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT @extschema@._chpg_history_is_readable() THEN
		RETURN false;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN has_table_privilege('finding_log', 'SELECT');
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_log_is_readable() IS
'Whether there is a history whose log of findings the caller may read.';

/* Texts of executions and of the log may have values in them: only what they are about is kept. */
CREATE FUNCTION @extschema@._chpg_exemplar_text(exemplars jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT nullif(concat_ws(' ',
		CASE WHEN (exemplars->>'temp_blks_written')::float8 > 0 THEN 'Recent executions write temporary files.' END,
		CASE WHEN (exemplars->>'wal_fpi')::float8 >= 100 THEN
			'Recent executions write full-page images to the WAL.' END,
		CASE WHEN exemplars->>'sqlstates' IS NOT NULL THEN
			format('Recent executions fail with SQLSTATE %s.', exemplars->>'sqlstates') END,
		CASE WHEN exemplars->>'log_about' IS NOT NULL THEN
			format('The log of that time is about %s.', exemplars->>'log_about') END), '');
END;

COMMENT ON FUNCTION @extschema@._chpg_exemplar_text(jsonb) IS
'What the exemplars of an incident say; null: nothing.';

/* What happened at the onset is looked at first, whatever the rule would do otherwise. */
CREATE FUNCTION @extschema@._chpg_sharpened(explanation text, action text, exemplars jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN exemplars IS NULL THEN '{}'::jsonb ELSE jsonb_build_object(
		'explanation', nullif(concat_ws(' ', explanation, @extschema@._chpg_exemplar_text(exemplars)), ''),
		'action', nullif(concat_ws(' ', CASE
			WHEN exemplars->>'log_about' ~ 'memory' THEN 'Look first at what used the memory: it ran out at that time.'
			WHEN exemplars->>'log_about' ~ 'locks' THEN
				'Look first for what held locks at that time: see the log.'
			WHEN exemplars->>'log_about' ~ 'canceled' THEN
				'Look first at why statements were canceled at that time: the log says it.'
			WHEN (exemplars->>'temp_blks_written')::float8 > 0 THEN
				'Look first whether more work_mem spares the query its temporary files.' END, action), '')) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_sharpened(text, text, jsonb) IS
'The explanation and the action of a finding with what its exemplars say; {}: it has none.';

/* In its first day, the onset of a finding is better known from hour to hour. */
CREATE FUNCTION @extschema@._chpg_with_log(findings @extschema@.chpg_finding_row[], period tstzrange)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT @extschema@._chpg_log_is_readable() THEN
		RETURN QUERY SELECT f.* FROM unnest(findings) f;
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN QUERY
	SELECT r.*
	FROM unnest(findings) f
	LEFT JOIN finding_log l ON l.finding_key = f.finding_key AND l.resolved_at IS NULL
		AND l.opened_at <= upper(period) + interval '1 hour'
	CROSS JOIN LATERAL jsonb_populate_record(f, CASE WHEN l.finding_key IS NULL OR f.level = 'SKIPPED' THEN '{}'
		ELSE jsonb_build_object('state', l.state, 'incident_id', l.incident_id,
			'evidence', CASE WHEN l.finding ? 'exemplars' THEN coalesce(f.evidence, '{}')
				|| jsonb_build_object('exemplars', l.finding->'exemplars') ELSE f.evidence END,
			'since', CASE WHEN l.since IS NULL OR upper(period) < l.opened_at + interval '24 hours'
				THEN coalesce(f.since, l.since) ELSE l.since END)
			|| @extschema@._chpg_sharpened(f.explanation, f.action, l.finding->'exemplars') END) r;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_with_log(@extschema@.chpg_finding_row[], tstzrange) IS
'Findings of a period with the state, onset, incident and exemplars that the log has of them.';

/* A text of a query may be long; here it only says which one it is. */
CREATE FUNCTION @extschema@._chpg_logged_row(finding @extschema@.chpg_finding_row)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT to_jsonb(finding) || jsonb_build_object('urgency',
			@extschema@._chpg_urgency((finding).kind, (finding).level, (finding).rule_id))
		|| CASE WHEN length((finding).evidence->>'query_text') > 1000 THEN
			jsonb_build_object('evidence', (finding).evidence
				|| jsonb_build_object('query_text', left((finding).evidence->>'query_text', 1000)))
			ELSE '{}' END
$$;

COMMENT ON FUNCTION @extschema@._chpg_logged_row(@extschema@.chpg_finding_row) IS
'What the log keeps of a finding''s row: its urgency, too, and the query''s first characters.';

/*
 * Rules find some problems only while they are young, and some only in the hours in which much is
 * expected: that a watch is without them does not mean that they are over.  What they are about says it:
 *
 * age: it is usual once it is a day old and still there.
 * level: it is resolved once it runs, and is nearer to what it was before than to what it was since;
 *   usual, if it is not for four days.
 * return: it is resolved once it runs again; a surge, once it is nearer to what it was before.
 * run: it is resolved once it has run again.
 *
 * What cannot be known is resolved.  An episode lasts at most a week from when it was last found.
 */
CREATE FUNCTION @extschema@._chpg_episode_end(of_rule text, of_service text, finding jsonb, last_seen_at timestamptz,
	as_of timestamptz, OUT state text, OUT evidence jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	ends CONSTANT text := @extschema@._chpg_rule_ends(of_rule);
	seen CONSTANT jsonb := coalesce(nullif(finding->'evidence', 'null'), '{}');
	age CONSTANT interval := as_of - (finding->>'since')::timestamptz;
	-- a level is that of the last hours; that something runs may show in one of more
	first_start CONSTANT timestamptz := greatest(last_seen_at, as_of - CASE
		WHEN ends = 'level' OR seen->>'change' = 'surge' THEN interval '2 hours' ELSE interval '6 hours' END);
	-- half way between what it was before and what it was since, by factors
	middle CONSTANT double precision := CASE WHEN (finding->>'before')::float8 BETWEEN 1e-9 AND 1e18
		AND (finding->>'now')::float8 BETWEEN 1e-9 AND 1e18
		THEN sqrt((finding->>'before')::float8) * sqrt((finding->>'now')::float8) END;
	is_old CONSTANT boolean := as_of >= last_seen_at + interval '7 days';
	hours bigint;
	calls double precision;
	most_calls double precision;
	measure double precision;
BEGIN
	state := 'resolved';
	evidence := '{}';
	IF ends = '' OR of_service IS NULL OR age IS NULL THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	IF seen ?| '{query_id,renamed,query_ids,app}'::text[] THEN
		SELECT count(DISTINCT h.window_start), sum(h.calls), max(h.calls),
			CASE WHEN seen->>'metric' = 'p99' THEN sum(h.p99) / nullif(sum(h.p99_of), 0)
				ELSE sum(h.us) / nullif(sum(h.calls), 0) END
		INTO hours, calls, most_calls, measure
		FROM (
			SELECT c.window_start, coalesce(sum(w.call_count), 0)::float8 AS calls, sum(w.total_duration_us) AS us,
				sum(w.p99_duration_us * w.call_count) AS p99,
				sum(w.call_count) FILTER (WHERE w.p99_duration_us IS NOT NULL)::float8 AS p99_of
			FROM capture c
			LEFT JOIN (
				SELECT w.window_start, w.call_count, w.total_duration_us, w.p99_duration_us
				FROM service_key s
				JOIN @extschema@._chpg_window_hour() w ON w.service_key = s.service_key
				JOIN pattern_key k ON k.pattern_key = w.pattern_key
				WHERE s.service_id = of_service AND w.window_start >= first_start AND w.window_start < as_of
					AND w.call_count > 0 AND CASE
					WHEN seen ? 'query_id' THEN k.query_id::text = seen->>'query_id' AND k.db_name = seen->>'db_name'
						AND k.db_user = seen->>'db_user' AND k.db_operation = seen->>'db_operation'
						AND k.app = seen->>'app'
					WHEN seen ? 'renamed' THEN seen->'renamed' @> jsonb_build_array(
						jsonb_build_object('query_id', k.query_id::text))
					WHEN seen ? 'query_ids' THEN seen->'query_ids' ? k.query_id::text
					ELSE k.app = seen->>'app' END
			) w ON w.window_start = c.window_start
			WHERE c.service_id = of_service AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= first_start AND c.window_start < as_of
			GROUP BY c.window_start
		) h;
		IF calls = 0 AND seen ? 'query_id' AND NOT EXISTS (SELECT FROM pattern_key k
				WHERE k.query_id::text = seen->>'query_id' AND k.db_name = seen->>'db_name'
					AND k.db_user = seen->>'db_user' AND k.db_operation = seen->>'db_operation'
					AND k.app = seen->>'app') THEN
			RETURN;  -- the history has lost it
		END IF;
	ELSE
		SELECT count(*), sum(c.call_count), max(c.call_count) INTO hours, calls, most_calls
		FROM capture c
		WHERE c.service_id = of_service AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= first_start AND c.window_start < as_of;
	END IF;
	IF hours = 0 OR calls IS NULL THEN
		RETURN;
	END IF;
	state := CASE ends
		WHEN 'age' THEN CASE WHEN age >= interval '24 hours' AND calls > 0 THEN 'usual' ELSE 'resolved' END
		WHEN 'run' THEN CASE WHEN calls > 0 OR is_old THEN 'resolved' ELSE 'ongoing' END
		WHEN 'level' THEN CASE
			WHEN calls = 0 AND NOT is_old THEN 'ongoing'
			WHEN calls = 0 OR coalesce(measure < middle, true) THEN 'resolved'
			WHEN is_old OR age >= interval '4 days' THEN 'usual'
			ELSE 'ongoing' END
		ELSE CASE
			WHEN seen->>'change' = 'surge' AND coalesce(calls / hours < middle, true)
				OR seen->>'change' IS DISTINCT FROM 'surge' AND most_calls > coalesce(middle, 0) THEN 'resolved'
			WHEN is_old THEN 'usual'
			ELSE 'ongoing' END
		END;
	IF state = 'usual' THEN
		evidence := jsonb_strip_nulls(jsonb_build_object('hours', hours,
			'calls_per_h', round((calls / hours)::numeric, 1),
			CASE WHEN seen->>'metric' = 'p99' THEN 'p99_duration_us' ELSE 'avg_duration_us' END,
			round(measure::numeric, 1)));
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_episode_end(text, text, jsonb, timestamptz, timestamptz) IS
'What becomes of a finding that two watches did not have: resolved, usual, or ongoing.
finding: its row in the log. evidence: of what became usual, how it is now.
Callers are the owner of the history.';

/*
 * An earlier time than the log has judged changes nothing.  A finding that became a tag of
 * another one of its pattern is still there.  A service that has no further hour, and a rule
 * that was SKIPPED for it, resolve nothing, unless the service is gone.
 */
CREATE FUNCTION @extschema@._chpg_note_findings(members @extschema@._chpg_member[], of_services text[],
	of_fleet boolean, as_of timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	seen @extschema@._chpg_member[] := ARRAY(
		SELECT DISTINCT ON ((m.finding).finding_key) m
		FROM unnest(members) m
		WHERE (m.finding).level <> 'SKIPPED' AND octet_length((m.finding).finding_key) <= 2048
		ORDER BY (m.finding).finding_key, m.member_of NULLS FIRST);
	mutes CONSTANT jsonb := @extschema@._chpg_history_mutes(ARRAY(SELECT (m.finding).finding_key FROM unnest(seen) m));
	outgrown text[];  -- findings that became worse than their mute allows
	transitions text[];  -- states that findings came into
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	WITH present AS (
		SELECT l.opened_at, m.finding, m.member_of IS NULL AS is_root, v.value,
			@extschema@._chpg_level_place((m.finding).level) < @extschema@._chpg_level_place(l.noted_level)
				OR coalesce(v.value >= CASE WHEN t.settles THEN 3 ELSE 1.5 END * l.noted_value, false)
				OR l.kind = 'risk' AND (m.finding).kind = 'incident' OR o.is_outgrown AS is_worse,
			o.is_outgrown, t.settles
		FROM unnest(seen) m
		CROSS JOIN LATERAL (
			SELECT @extschema@._chpg_finding_value((m.finding)."before", (m.finding)."now",
				(m.finding).evidence) AS value) v
		JOIN finding_log l ON l.finding_key = (m.finding).finding_key AND l.resolved_at IS NULL
		-- a mean of three hours climbs for three hours after a step, to thrice what it was in the first
		CROSS JOIN LATERAL (SELECT coalesce((m.finding).evidence ? 'latest' AND l.worse_at < as_of
			AND l.worse_at > as_of - interval '3 hours', false) AS settles) t
		CROSS JOIN LATERAL (SELECT mutes ? l.finding_key AND NOT @extschema@._chpg_mute_holds(
			mutes->l.finding_key, (m.finding).level, v.value, as_of) AS is_outgrown) o
		WHERE l.last_seen_at <= as_of
	), changed AS (
		UPDATE finding_log l
		SET last_seen_at = as_of, missed = 0, missed_at = NULL,
			state = CASE WHEN l.opened_at = as_of THEN 'new' WHEN p.is_worse OR l.worse_at = as_of THEN 'worse'
				ELSE 'ongoing' END,
			worse_at = CASE WHEN p.is_worse THEN as_of ELSE l.worse_at END,
			noted_level = CASE WHEN p.is_worse AND @extschema@._chpg_level_place((p.finding).level)
					< @extschema@._chpg_level_place(l.noted_level) THEN (p.finding).level ELSE l.noted_level END,
			noted_value = CASE WHEN p.is_worse OR p.settles THEN greatest(l.noted_value, p.value)
				ELSE coalesce(l.noted_value, p.value) END,
			kind = (p.finding).kind, level = (p.finding).level, value = p.value,
			worst_level = CASE WHEN @extschema@._chpg_level_place((p.finding).level)
					< @extschema@._chpg_level_place(l.worst_level) THEN (p.finding).level ELSE l.worst_level END,
			worst_value = greatest(l.worst_value, p.value),
			service_name = coalesce((p.finding).service_name, l.service_name), since = (p.finding).since,
			incident_id = (p.finding).incident_id, is_root = p.is_root, muted = (p.finding).muted,
			finding = @extschema@._chpg_logged_row(p.finding) || CASE WHEN l.finding ? 'exemplars'
				THEN jsonb_build_object('exemplars', l.finding->'exemplars') ELSE '{}' END
		FROM present p
		WHERE l.finding_key = (p.finding).finding_key AND l.opened_at = p.opened_at
		RETURNING l.finding_key, l.opened_at < as_of AND p.is_worse AS got_worse, p.is_outgrown
	)
	SELECT array_agg('worse'::text) FILTER (WHERE c.got_worse),
		array_agg(c.finding_key) FILTER (WHERE c.is_outgrown)
	INTO transitions, outgrown FROM changed c;

	UPDATE finding_log l
	SET last_seen_at = as_of, missed = 0, missed_at = NULL,
		state = CASE WHEN l.opened_at = as_of THEN 'new' ELSE 'ongoing' END
	FROM unnest(seen) m
	WHERE l.resolved_at IS NULL AND l.last_seen_at < as_of AND left(l.finding_key, 8) = l.rule_id || ':'
		AND substr(l.finding_key, 9) = substr((m.finding).finding_key, 9) AND (m.finding).evidence ? 'query_id'
		AND EXISTS (SELECT FROM @extschema@.chpg_rule r
			WHERE r.rule_id = l.rule_id AND r.rule_name = ANY ((m.finding).tags));

	WITH gone AS (
		UPDATE finding_log l
		SET missed = l.missed + 1, missed_at = as_of, state = 'resolved', resolved_at = as_of
		WHERE l.resolved_at IS NULL AND l.last_seen_at < as_of
			AND (SELECT max(s.valid_to) FROM service s WHERE s.service_id = l.service_id) <= as_of
		RETURNING l.state
	)
	SELECT transitions || array_agg(g.state) INTO transitions FROM gone g;

	-- judged are services that have a further hour since they were last judged
	WITH unseen AS (
		SELECT l.finding_key, l.opened_at, e.state, e.evidence
		FROM finding_log l
		CROSS JOIN LATERAL (
			SELECT count(DISTINCT c.window_start) AS hours, max(c.window_end) AS captured_until
			FROM capture c
			WHERE (c.service_id = l.service_id OR l.service_id IS NULL AND c.service_id = ANY (of_services))
				AND c.grain = 'hour' AND c.status = 'ok' AND c.window_start >= l.last_seen_at AND c.window_end <= as_of
		) h
		CROSS JOIN LATERAL (
			SELECT n.* FROM @extschema@._chpg_episode_end(l.rule_id, l.service_id, l.finding, l.last_seen_at, as_of) n
			WHERE l.missed >= 1 AND h.hours >= 2
			UNION ALL
			SELECT 'ongoing', '{}' WHERE NOT (l.missed >= 1 AND h.hours >= 2)
		) e
		WHERE l.resolved_at IS NULL AND l.last_seen_at < as_of
			AND (l.service_id = ANY (of_services) OR l.service_id IS NULL AND of_fleet)
			AND h.captured_until > coalesce(l.missed_at, l.last_seen_at)
			AND NOT EXISTS (SELECT FROM unnest(members) m
				WHERE (m.finding).level = 'SKIPPED'
					AND ((m.finding).rule_id = l.rule_id OR (m.finding).evidence->'rule_ids' ? l.rule_id)
					AND coalesce((m.finding).service_id = l.service_id, true))
	), missed AS (
		UPDATE finding_log l
		SET missed = l.missed + 1, missed_at = as_of, state = u.state,
			resolved_at = CASE WHEN u.state <> 'ongoing' THEN as_of END,
			finding = CASE WHEN u.evidence = '{}' THEN l.finding ELSE l.finding || jsonb_build_object('evidence',
				coalesce(nullif(l.finding->'evidence', 'null'), '{}')
					|| jsonb_build_object('since_then', u.evidence)) END
		FROM unseen u
		WHERE l.finding_key = u.finding_key AND l.opened_at = u.opened_at
		RETURNING l.state
	)
	SELECT transitions || array_agg(m.state) FILTER (WHERE m.state <> 'ongoing') INTO transitions FROM missed m;

	WITH added AS (
		INSERT INTO finding_log AS l (finding_key, opened_at, last_seen_at, missed, state, kind, level, worst_level,
			noted_level, value, worst_value, noted_value, rule_id, service_id, service_name, since, incident_id,
			is_root, muted, finding)
		SELECT f.finding_key, as_of, as_of, 0, 'new', f.kind, f.level, f.level, f.level, v.value, v.value, v.value,
			f.rule_id, f.service_id, f.service_name, f.since, f.incident_id, m.member_of IS NULL, f.muted,
			@extschema@._chpg_logged_row(m.finding)
		FROM unnest(seen) m
		CROSS JOIN LATERAL (SELECT (m.finding).*) f
		CROSS JOIN LATERAL (SELECT @extschema@._chpg_finding_value(f."before", f."now", f.evidence) AS value) v
		WHERE NOT EXISTS (SELECT FROM finding_log o
			WHERE o.finding_key = f.finding_key
				AND (o.resolved_at IS NULL OR o.opened_at >= as_of OR o.resolved_at > as_of))
		RETURNING l.state
	)
	SELECT transitions || array_agg(a.state) INTO transitions FROM added a;

	DELETE FROM finding_mute m
	WHERE m.finding_key = ANY (outgrown)
		OR EXISTS (SELECT FROM finding_log l WHERE l.finding_key = m.finding_key AND l.resolved_at = as_of);
	-- a mute that did not know what it mutes learns it; one that held while its level rose knows that level
	UPDATE finding_mute m SET muted_level = l.worst_level,
		muted_value = CASE WHEN m.muted_level IS NULL THEN l.worst_value ELSE m.muted_value END
	FROM finding_log l
	WHERE l.finding_key = m.finding_key AND l.resolved_at IS NULL AND l.last_seen_at = as_of
		AND m.muted_level IS DISTINCT FROM l.worst_level;

	UPDATE finding_log l SET finding = l.finding || jsonb_build_object('state', l.state)
	WHERE l.finding->>'state' IS DISTINCT FROM l.state;
	RETURN (SELECT jsonb_build_object('as_of', as_of, 'new', count(*) FILTER (WHERE t.state = 'new'),
			'worse', count(*) FILTER (WHERE t.state = 'worse'), 'resolved', count(*) FILTER (WHERE t.state = 'resolved'),
			'usual', count(*) FILTER (WHERE t.state = 'usual'))
		FROM unnest(transitions) t(state));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_findings(@extschema@._chpg_member[], text[], boolean, timestamptz) IS
'Write to the log what a watch found in some services, and whether it was about the fleet.
members: with SKIPPED ones. as_of: end of the hours that were judged.
Returns the numbers of findings that are new, got worse, were resolved, and became usual.
For callers that have locked the mutes and the log.';

/*
 * What no service could be judged by is noted for each of them, so that a later watch of some
 * services replaces what is known of these.
 */
CREATE FUNCTION @extschema@._chpg_note_skipped(members @extschema@._chpg_member[], of_services text[],
	as_of timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('watch_skipped'::text, 'ROW EXCLUSIVE'::text);
	DELETE FROM watch_skipped w
	WHERE w.service_id = ANY (of_services) AND w.as_of <= _chpg_note_skipped.as_of
		OR NOT EXISTS (SELECT FROM service s WHERE s.service_id = w.service_id);
	INSERT INTO watch_skipped (service_id, finding_key, as_of, finding)
	SELECT s.service_id, m.finding_key, _chpg_note_skipped.as_of, m.finding
	FROM (
		SELECT DISTINCT ON ((n.finding).service_id, (n.finding).finding_key) (n.finding).service_id,
			(n.finding).finding_key, jsonb_strip_nulls(to_jsonb(n.finding)) AS finding
		FROM unnest(members) n
		WHERE (n.finding).level = 'SKIPPED' AND (n.finding).finding_key <> ''
			AND octet_length((n.finding).finding_key) <= 2048
		ORDER BY (n.finding).service_id, (n.finding).finding_key
	) m
	JOIN unnest(of_services) s(service_id) ON s.service_id = coalesce(m.service_id, s.service_id)
	WHERE NOT EXISTS (SELECT FROM watch_skipped w WHERE w.service_id = s.service_id)
	UNION ALL
	-- that there was a watch
	SELECT s.service_id, '', _chpg_note_skipped.as_of, '{}'
	FROM unnest(of_services) s(service_id)
	WHERE NOT EXISTS (SELECT FROM watch_skipped w WHERE w.service_id = s.service_id);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_skipped(@extschema@._chpg_member[], text[], timestamptz) IS
'Keep which rules a watch could not judge in some services.
That replaces what is known of the watch before.
For callers that have locked the log.';

/*
 * The locks make watches take turns, and keep other roles from creating triggers.  What mutes a
 * finding takes the same ones in this order: several mutes of one transaction wait for a watch, or
 * it for them, and never both.  Resolved findings are kept as long as days are.
 */
CREATE FUNCTION @extschema@._chpg_watch(at timestamptz, service text, server text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of_services text[];
	keys integer[];
	judged_until timestamptz;
	period tstzrange;
	candidates @extschema@._chpg_candidate[];
	members @extschema@._chpg_member[];
	noted jsonb;
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('finding_mute'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	PERFORM @extschema@._chpg_history_lock_table('finding_log'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	of_services := ARRAY(SELECT s.service_id FROM @extschema@._chpg_history_services(service, server, true) s);
	judged_until := (SELECT max(c.window_end) FROM capture c
		WHERE c.service_id = ANY (of_services) AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_end <= coalesce(at, now()));
	IF judged_until IS NULL THEN
		RETURN jsonb_build_object('as_of', NULL, 'new', 0, 'worse', 0, 'resolved', 0, 'usual', 0);
	END IF;
	period := tstzrange(judged_until - interval '24 hours', judged_until);
	keys := ARRAY(SELECT k.service_key FROM service_key k WHERE k.service_id = ANY (of_services) ORDER BY 1);
	-- captured windows have scores, imported ones may not
	IF EXISTS (SELECT FROM @extschema@._chpg_unscored(keys, judged_until - interval '48 hours', judged_until)) THEN
		PERFORM @extschema@._chpg_score_windows(keys, judged_until - interval '48 hours', judged_until);
	END IF;
	candidates := ARRAY(SELECT c FROM @extschema@._chpg_candidates(period, service, server, true) c);
	members := ARRAY(SELECT m FROM @extschema@._chpg_judged(candidates, period, service, server, true) m);
	noted := @extschema@._chpg_note_findings(members, of_services, service IS NULL AND server IS NULL, judged_until);
	PERFORM @extschema@._chpg_note_skipped(members, of_services, judged_until);
	PERFORM @extschema@._chpg_history_lock_table('watch_state'::text, 'ROW EXCLUSIVE'::text);
	UPDATE watch_state s SET watched_at = now(), as_of = judged_until, regular_since = CASE
		-- the setting, not its past, says whether watches are missed that end captures
		WHEN EXISTS (SELECT FROM setting o WHERE o.name = 'watch' AND o.value = 'on') THEN NULL
		WHEN s.watched_at > now() - interval '3 hours' THEN coalesce(s.regular_since, now())
		-- after those of a scheduler, one by hand leaves it missed; two in a row, and it has another schedule
		WHEN s.watched_at - s.regular_since > interval '24 hours' THEN now() - interval '24 hours'
		ELSE now() END;
	IF NOT FOUND THEN
		INSERT INTO watch_state (watched_at, as_of, regular_since) VALUES (now(), judged_until, now());
	END IF;
	-- while a backfill is under way, what is noted may be over: the first watch that is near says what is open
	IF judged_until >= coalesce(at, now()) - interval '6 hours' THEN
		PERFORM @extschema@._chpg_note_alerts(judged_until);
	END IF;
	DELETE FROM finding_log l WHERE l.resolved_at < (SELECT @extschema@._chpg_kept_from('day'::text));
	RETURN noted;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_watch(timestamptz, text, text) IS
'As chpg_watch, as of the last captured hour until a time, for the owner of the history.
at: null: now.
Returns that hour''s end, and the numbers of findings that are new, got worse, were resolved,
  and became usual.
Requests: none.';

/* As in chpg_capture: a procedure that commits cannot have a SET search_path. */
CREATE PROCEDURE @extschema@.chpg_watch(service text DEFAULT NULL, server text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	callers_path pg_catalog.text := pg_catalog.current_setting('search_path');
	noted pg_catalog.jsonb;
	can_commit boolean;
	sent bigint;
	failed bigint;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	PERFORM @extschema@._chpg_history_check_caller('a watch');
	PERFORM @extschema@._chpg_progress('watch'::text, 0::bigint, NULL::bigint);
	noted := @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
		'SELECT @extschema@._chpg_watch(NULL::timestamptz, $1, $2)'::text, ROW(service, server));
	PERFORM @extschema@._chpg_progress('watch'::text, NULL::bigint, NULL::bigint);
	IF noted->>'as_of' IS NULL THEN
		RAISE NOTICE 'the history has no hour to judge';
	ELSIF (noted->>'new')::integer + (noted->>'worse')::integer + (noted->>'resolved')::integer
			+ (noted->>'usual')::integer > 0 THEN
		RAISE NOTICE 'findings: % new, % worse, % resolved%', noted->>'new', noted->>'worse', noted->>'resolved',
			CASE WHEN noted->>'usual' <> '0' THEN format(', %s usual by now', noted->>'usual') ELSE '' END
			USING HINT = format('See the view finding: SELECT * FROM %I.finding;',
				(SELECT h.schema_name FROM @extschema@.chpg_history_schema h));
	END IF;
	CALL @extschema@._chpg_can_commit(can_commit);
	IF can_commit THEN
		CALL @extschema@._chpg_capture_commit();
		-- an API that does not answer holds back nothing of what was found
		CALL @extschema@._chpg_deliver(10, sent, failed);
		PERFORM @extschema@._chpg_read_notifications(server);
		CALL @extschema@._chpg_capture_commit();
		CALL @extschema@._chpg_deliver(10, sent, failed);
	END IF;
	PERFORM set_config('search_path', callers_path, true);
END
$$;

COMMENT ON PROCEDURE @extschema@.chpg_watch(text, text) IS
'Judge the last 24 captured hours, and keep the findings in the history''s log.
Of one service, by id or name, or of all of the server, or of the history (null).
Run it after each capture, or let captures do so: the setting watch of the history.
The views finding and finding_history show the log; chpg_findings takes state and since from it.
A finding is resolved once two watches in a row, and two captured hours, are without it. It is
  worse if its level rises, or its value by a half. What rules no longer find because it is old
  is usual. What is silent stays ongoing until it runs again; after a week it is usual, too.
A NOTICE says how many findings are new, worse, resolved or usual.
Transitions of incidents go to the table alert, and to listeners of chpg_incident; then,
  outside of a transaction block, chpg_deliver sends alerts for ten seconds, and again once
  notifications of the organization were read, if a webhook gets these. Alerts wait while the
  last captured hour is older than six hours: during a backfill, nothing is known of now.
Requests: none; with a webhook of kind notification, 1 for each 250 notifications of the last
  7 days, outside of a transaction block.
Errors: 22023 a setting of the history cannot be used; 25006 on a standby; 42501 the caller does
  not own the history; 42704 no such service; 55000 there is no history, or it cannot be used.';

REVOKE EXECUTE ON PROCEDURE @extschema@.chpg_watch(text, text) FROM PUBLIC;

/* The API keeps executions for a day. */
CREATE FUNCTION @extschema@._chpg_exemplars_due(server text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_server CONSTANT text := server;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN (
		SELECT coalesce(jsonb_agg(d), '[]')
		FROM (
			SELECT l.finding_key, l.opened_at, l.service_id, l.rule_id, coalesce(l.since, l.opened_at) AS since,
				l.finding->'evidence' AS evidence
			FROM finding_log l
			WHERE l.opened_at > now() - interval '1 day' AND l.resolved_at IS NULL AND l.is_root AND NOT l.muted
				AND l.level IN ('ERROR', 'WARN') AND (l.kind = 'incident' OR l.rule_id = 'CHPG702')
				AND l.last_seen_at > now() - interval '6 hours' AND NOT l.finding ? 'exemplars'
				AND EXISTS (SELECT FROM service s WHERE s.service_id = l.service_id AND s.server = of_server
					AND s.valid_to = 'infinity')
			ORDER BY l.level, l.finding_key
			LIMIT 5
		) d);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_exemplars_due(text) IS
'At most five new incidents of a server''s services that have no exemplars.
For the owner of the history.';

CREATE FUNCTION @extschema@._chpg_note_exemplars(finding_key text, opened_at timestamptz, exemplars jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_lock_table('finding_log'::text, 'SHARE UPDATE EXCLUSIVE'::text);
	UPDATE finding_log l SET finding = l.finding || jsonb_build_object('exemplars', exemplars)
		|| @extschema@._chpg_sharpened(l.finding->>'explanation', l.finding->>'action', exemplars)
	WHERE l.finding_key = _chpg_note_exemplars.finding_key AND l.opened_at = _chpg_note_exemplars.opened_at;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_note_exemplars(text, timestamptz, jsonb) IS
'Keep what recent executions and the log say of an incident, for the owner of the history.';

/* A request that fails leaves the incident without what it would have said. */
CREATE FUNCTION @extschema@._chpg_read_exemplars(due jsonb, server text, reserve integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	evidence CONSTANT jsonb := due->'evidence';
	onset CONSTANT timestamptz := (due->>'since')::timestamptz;
	found jsonb := '{}';
BEGIN
	IF evidence->>'query_id' ~ '^-?[0-9]{1,18}$|^-?[0-9]{19}$'
			AND NOT @extschema@._chpg_capture_must_wait(server, reserve) THEN
		BEGIN
			found := (SELECT jsonb_strip_nulls(jsonb_build_object('executions', count(*),
					'max_duration_us', max(@extschema@._chpg_bounded(e.duration_us)),
					'temp_blks_written', max(e.temp_blks_written),
					'wal_bytes', max(e.wal_bytes), 'wal_fpi', max(e.wal_fpi),
					'parallel_workers_launched', max(e.parallel_workers_launched),
					'sqlstates', string_agg(DISTINCT e.err_sqlstate, ', ' ORDER BY e.err_sqlstate)
						FILTER (WHERE e.err_sqlstate ~ '^[0-9A-Z]{5}$' AND e.err_sqlstate <> '00000')))
				FROM @extschema@.chpg_slow_pattern_executions(due->>'service_id', (evidence->>'query_id')::bigint,
					evidence->>'db_name', evidence->>'db_user', evidence->>'db_operation', nullif(evidence->>'app', ''),
					NULL::timestamptz, server) e);
		EXCEPTION WHEN OTHERS THEN
			found := jsonb_build_object('error', SQLSTATE);
		END;
	END IF;
	IF NOT @extschema@._chpg_capture_must_wait(server, reserve) THEN
		BEGIN
			found := found || (SELECT jsonb_strip_nulls(jsonb_build_object('log_lines', count(*),
					'log_about', string_agg(DISTINCT w.what, ', ' ORDER BY w.what)))
				FROM @extschema@.chpg_logs(onset - interval '5 minutes', least(onset + interval '65 minutes', now()),
					due->>'service_id',
					CASE WHEN due->>'rule_id' NOT IN ('CHPG702', 'CHPG707', 'CHPG709') THEN 'ERROR' END,
					CASE WHEN due->>'rule_id' IN ('CHPG707', 'CHPG709') THEN 'ock'  -- of locks, and ShareLock
						WHEN due->>'rule_id' = 'CHPG702' THEN 'memory' END,
					NULL::text, 100::bigint, server) g
				LEFT JOIN (VALUES ('deadlock detected', 'deadlocks'),
					('still waiting for|lock timeout', 'waits for locks'),
					('out of memory', 'memory that ran out'), ('canceling statement', 'canceled statements'),
					('too many clients|connection slots', 'too many connections'), ('No space left', 'a full disk'))
					w(pattern, what) ON g.body ~* w.pattern);
		EXCEPTION WHEN OTHERS THEN
			found := found || jsonb_build_object('log_error', SQLSTATE);
		END;
	END IF;
	RETURN found;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_read_exemplars(jsonb, text, integer) IS
'What recent executions, and the log around its onset, say of an incident: numbers and words.
Requests: 2 at most; none while the budget has no more than the reserve.';

/* Once the budget was left to others, there is one more request than their reserve for each of the two. */
CREATE FUNCTION @extschema@._chpg_capture_exemplars(server text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner CONSTANT oid := @extschema@._chpg_history_owner();
	settings CONSTANT jsonb := (SELECT to_jsonb(s) FROM @extschema@._chpg_history_settings() s);
	due jsonb;
	found jsonb;
BEGIN
	IF settings->>'watch' IS NULL THEN
		RETURN 'done';
	END IF;
	due := @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_exemplars_due($1)'::text,
		ROW(@extschema@._chpg_own_server(server)))->0;
	IF due IS NULL THEN
		RETURN 'done';
	ELSIF @extschema@._chpg_capture_must_wait(server, (settings->>'reserve')::integer + 1) THEN
		RETURN 'wait';
	END IF;
	-- no lock is held while requests are under way
	found := @extschema@._chpg_read_exemplars(due, server, (settings->>'reserve')::integer);
	PERFORM @extschema@._chpg_run_as(owner, 'SELECT @extschema@._chpg_note_exemplars($1, $2, $3)'::text,
		ROW(due->>'finding_key', (due->>'opened_at')::timestamptz, found));
	RETURN 'noted';
EXCEPTION WHEN query_canceled OR OTHERS THEN
	RETURN 'done';  -- the log of findings stays
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_capture_exemplars(text) IS
'Add to a new incident of a server''s services what recent executions and its log say.
Returns noted; wait, while the budget is to be left to others; done, if there is none.
Requests: 2 at most.';

/* For chpg_capture: what was captured stays, whatever happens here. */
CREATE FUNCTION @extschema@._chpg_watch_captured(service text, server text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text;
	message text;
	detail text;
BEGIN
	IF (SELECT s.watch FROM @extschema@._chpg_history_settings() s) THEN
		PERFORM @extschema@._chpg_run_as(@extschema@._chpg_history_owner(),
			'SELECT @extschema@._chpg_watch(NULL::timestamptz, $1, $2)'::text,
			ROW(service, @extschema@._chpg_own_server(server)));
	END IF;
	RETURN NULL;
EXCEPTION WHEN query_canceled OR OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN jsonb_build_object('state', state, 'message', message, 'detail', nullif(detail, ''));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_watch_captured(text, text) IS
'Watch after a capture, if the setting watch is on, and return the error of a watch that failed.
Requests: none.';
