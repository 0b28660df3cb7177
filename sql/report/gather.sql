/* Report: all that it says, gathered once. */

/*
 * Names and texts are hidden as in exports of the history.  Without a history there is no
 * secret to make pseudonyms with, and each report has others.
 */
CREATE FUNCTION @extschema@._chpg_report_secret(hide_texts boolean, has_history boolean)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT hide_texts THEN
		RETURN NULL;
	ELSIF NOT has_history THEN
		RETURN gen_random_uuid()::text;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	RETURN @extschema@._chpg_history_check_setting('pseudonym_key'::text,
		(SELECT s.value FROM setting s WHERE s.name = 'pseudonym_key'));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_secret(boolean, boolean) IS
'What pseudonyms of a report are made with; null: it shows names and texts.';

CREATE FUNCTION @extschema@._chpg_report_query_text(secret text, query_text text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN secret IS NULL THEN @extschema@._chpg_without_passwords(query_text)
		ELSE @extschema@._chpg_pseudonym('text', secret, query_text) END;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_query_text(text, text) IS
'The text of a query as a report shows it: without passwords, or a pseudonym.';

/*
 * What rules say may contain names and texts.  Of a finding whose texts are hidden there
 * remain its title, numbers, times and the service.
 */
CREATE FUNCTION @extschema@._chpg_report_finding(finding @extschema@.chpg_finding_row, secret text, query_text text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.*
	FROM (SELECT finding.evidence AS evidence) e
	CROSS JOIN LATERAL jsonb_populate_record(finding, CASE
		WHEN secret IS NULL THEN jsonb_build_object(
			'subject', @extschema@._chpg_without_passwords(finding.subject),
			'evidence', e.evidence || CASE WHEN query_text IS NOT NULL OR e.evidence ? 'query_text'
				THEN jsonb_build_object('query_text', @extschema@._chpg_report_query_text(NULL::text,
					coalesce(query_text, e.evidence->>'query_text'))) ELSE '{}' END)
		ELSE jsonb_build_object(
			'subject', CASE WHEN e.evidence ? 'query_id' THEN @extschema@._chpg_pseudonym('text'::text, secret,
					coalesce(query_text, e.evidence->>'query_text'))
				WHEN e.evidence ? 'app' THEN @extschema@._chpg_pseudonym('app'::text, secret, e.evidence->>'app') END,
			'symptom', CASE WHEN finding."before" IS NOT NULL AND finding."now" IS NOT NULL
				THEN format('%s, before %s', @extschema@._chpg_measure_text(finding."now", finding.unit),
					@extschema@._chpg_measure_text(finding."before", finding.unit))
				WHEN finding."now" IS NOT NULL THEN @extschema@._chpg_measure_text(finding."now", finding.unit) END,
			'explanation', NULL, 'action', NULL, 'next', NULL,
			'finding_key', finding.rule_id || ':' || md5(secret || finding.finding_key),
			'evidence', jsonb_strip_nulls(jsonb_build_object('query_id', e.evidence->'query_id',
				'member_count', e.evidence->'member_count', 'full_at', e.evidence->'full_at', 'ended_at', e.evidence->'ended_at',
				'db_name', @extschema@._chpg_pseudonym('db'::text, secret, e.evidence->>'db_name'),
				'db_user', @extschema@._chpg_pseudonym('user'::text, secret, e.evidence->>'db_user'),
				'app', @extschema@._chpg_pseudonym('app'::text, secret, e.evidence->>'app'),
				'members', (SELECT jsonb_agg(jsonb_build_object('rule_id', m.value->'rule_id', 'level', m.value->'level',
						'title', m.value->'title', 'since', m.value->'since', 'impact_us', m.value->'impact_us') ORDER BY m.place)
					FROM jsonb_array_elements(CASE jsonb_typeof(e.evidence->'members') WHEN 'array' THEN e.evidence->'members'
						ELSE '[]' END) WITH ORDINALITY m(value, place)))))
		END) r
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_finding(@extschema@.chpg_finding_row, text, text) IS
'A finding as a report shows it: without passwords, or with pseudonyms.
query_text: the complete text of the query that it is about; null: as in its evidence.';

CREATE FUNCTION @extschema@._chpg_report_log(scope @extschema@._chpg_scope, whole_fleet boolean,
	OUT judged_at timestamptz, OUT findings @extschema@.chpg_finding_row[], OUT resolved @extschema@.chpg_finding_row[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	until CONSTANT timestamptz := upper(scope.period);
BEGIN
	IF NOT @extschema@._chpg_log_is_readable() THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	judged_at := (SELECT max(greatest(l.last_seen_at, l.missed_at, l.resolved_at)) FROM finding_log l
		WHERE l.service_id = ANY (scope.service_ids) OR l.service_id IS NULL);
	IF judged_at IS NULL AND EXISTS (SELECT FROM setting s WHERE s.name = 'watch' AND s.value = 'on') THEN
		judged_at := until;
	END IF;
	IF judged_at < until - interval '26 hours' OR judged_at IS NULL THEN
		judged_at := NULL;
		RETURN;
	END IF;
	judged_at := least(judged_at, until);
	findings := ARRAY(
		SELECT f
		FROM finding_log l
		CROSS JOIN LATERAL jsonb_populate_record(NULL::@extschema@.chpg_finding_row, l.finding || jsonb_build_object(
			'state', CASE WHEN l.resolved_at IS NULL THEN l.state ELSE 'ongoing' END, 'muted', l.muted, 'since', l.since,
			'incident_id', l.incident_id)) f
		WHERE (l.service_id = ANY (scope.service_ids) OR l.service_id IS NULL AND whole_fleet) AND l.is_root
			AND l.opened_at <= until AND (l.resolved_at IS NULL OR l.resolved_at > until));
	resolved := ARRAY(
		SELECT f
		FROM finding_log l
		CROSS JOIN LATERAL jsonb_populate_record(NULL::@extschema@.chpg_finding_row, l.finding || jsonb_build_object(
			'state', 'resolved', 'muted', l.muted, 'level', l.worst_level, 'since', l.since, 'incident_id', l.incident_id,
			'evidence', coalesce(l.finding->'evidence', '{}') || jsonb_build_object('ended_at', l.last_seen_at))) f
		WHERE (l.service_id = ANY (scope.service_ids) OR l.service_id IS NULL AND whole_fleet) AND l.is_root AND NOT l.muted
			AND l.kind IN ('incident', 'risk') AND l.worst_level IN ('ERROR', 'WARN')
			AND l.resolved_at > lower(scope.period) AND l.resolved_at <= until
		ORDER BY l.resolved_at DESC, l.finding_key
		LIMIT 40);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_log(@extschema@._chpg_scope, boolean) IS
'Findings at the end of a period, and those resolved in it, by the log.
judged_at: end of the hours that the last watch judged; null: there is no log of that time.
whole_fleet: findings about no service, too.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_findings(scope @extschema@._chpg_scope, history_only boolean,
	INOUT report @extschema@._chpg_report)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	last_day CONSTANT tstzrange := tstzrange(greatest(lower(scope.period), upper(scope.period) - interval '24 hours'),
		upper(scope.period));
	findings @extschema@.chpg_finding_row[];
	logged record;
BEGIN
	IF history_only THEN
		SELECT * INTO logged FROM @extschema@._chpg_report_log(scope, scope.service IS NULL);
	END IF;
	report.from_log := coalesce(logged.judged_at IS NOT NULL, false);
	IF report.from_log THEN
		report.judged_at := logged.judged_at;
		findings := logged.findings;
		report.resolved := logged.resolved;
	ELSE
		report.judged_at := upper(last_day);
		findings := ARRAY(SELECT f FROM @extschema@.chpg_findings(last_day, scope.service, scope.server, history_only) f);
		report.resolved := '{}';
	END IF;
	report.muted := (SELECT count(*) FROM unnest(findings) f WHERE f.muted AND f.level <> 'SKIPPED');
	report.incidents := ARRAY(
		SELECT f FROM unnest(findings) f
		WHERE f.kind IN ('incident', 'risk') AND f.level <> 'SKIPPED' AND NOT f.muted
		ORDER BY @extschema@._chpg_urgency(f.kind, f.level, f.rule_id), @extschema@._chpg_level_place(f.level),
			f.impact_us DESC NULLS LAST, f.finding_key
		LIMIT 100);
	report.opportunities := ARRAY(
		SELECT f FROM unnest(findings) f
		WHERE f.kind IN ('opportunity', 'hygiene') AND f.level <> 'SKIPPED' AND NOT f.muted
		ORDER BY f.kind = 'hygiene', f.impact_us DESC NULLS LAST, f.finding_key
		LIMIT 100);
	report.skipped := ARRAY(
		SELECT f FROM unnest(findings) f WHERE f.level = 'SKIPPED' ORDER BY f.rule_id, f.service_name, f.finding_key LIMIT 1000);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_findings(@extschema@._chpg_scope, boolean, @extschema@._chpg_report) IS
'Put findings into a report: of the log, else of the last day of its period.
Requests: as chpg_findings, but none if history_only.';

/* Of the time since which it is so, a chart shows the step. */
CREATE FUNCTION @extschema@._chpg_report_since(avgs double precision[], starts timestamptz[], "before" double precision,
	"after" double precision)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH step AS (
		SELECT s.place, avgs[s.place] AS value, sqrt("before" * "after") AS middle
		FROM generate_series(1, cardinality(starts)) s(place)
		WHERE avgs[s.place] IS NOT NULL AND "before" > 0 AND "after" > 0 AND "before" < 1e15 AND "after" < 1e15
	), last AS (
		SELECT max(p.place) FILTER (WHERE CASE WHEN "after" > "before" THEN p.value < p.middle ELSE p.value > p.middle END) AS usual,
			max(p.place) AS place
		FROM step p
	)
	SELECT starts[min(p.place)]
	FROM step p, last l
	WHERE p.place > l.usual AND l.usual < l.place;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_since(double precision[], timestamptz[], double precision, double precision) IS
'Start of the step since which means have been nearer to after than to before.
Null if they always were, or are not any more.';

CREATE FUNCTION @extschema@._chpg_report_changes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_report_pair[], secret text, step interval, starts timestamptz[])
RETURNS SETOF @extschema@._chpg_report_change
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	compared @extschema@._chpg_pattern_pair[];
BEGIN
	IF cardinality(scope.baseline_hours) = 0 OR scope.baseline IS NULL THEN
		RETURN;
	END IF;
	compared := ARRAY(
		SELECT ROW(p.a, p.b, p.text_id, NULL, w.hours, w.hours_p95, w.hours_avg, w.hours_better, w.baseline_hours, NULL
			)::@extschema@._chpg_pattern_pair
		FROM unnest(pairs) p
		LEFT JOIN LATERAL @extschema@._chpg_worse_hours(p.hours_a, p.hours_b, t.change_calls_of_hour) w ON true
		ORDER BY (p.b).service_id, p.place);
	RETURN QUERY
	WITH judged AS MATERIALIZED (
		SELECT c.*
		FROM ROWS FROM (@extschema@._chpg_changes(t, scope, compared,
			'{regressed,improved,surged,new,new?,gone,gone?}'::text[])) WITH ORDINALITY c
		WHERE c.query_id <> -1 OR c.query_text IS NOT NULL
	), hours AS MATERIALIZED (
		SELECT n.service_id, n.query_id, n.db_name, n.db_user, n.db_operation, n.app, p.hours_a, p.hours_b
		FROM unnest(pairs) p
		CROSS JOIN LATERAL (SELECT (CASE WHEN (p.b).service_id IS NULL THEN p.a ELSE p.b END).*) n
	)
	SELECT r, n.service_name, 'change-' || l.hash, 'pattern-' || l.hash,
		CASE j.change WHEN 'new' THEN w.first WHEN 'new?' THEN w.first WHEN 'gone' THEN w.last WHEN 'gone?' THEN w.last
			WHEN 'surged' THEN NULL
			ELSE @extschema@._chpg_report_since(c.avgs, starts, j.baseline_avg_duration_us, w.recent_avg_us) END,
		c.avgs, b.low, b.high
	FROM judged j
	JOIN hours h ON h.service_id = j.service_id AND h.query_id = j.query_id AND h.db_name = j.db_name
		AND h.db_user = j.db_user AND h.db_operation = j.db_operation AND h.app = j.app
	JOIN @extschema@._chpg_report_names(scope.service_ids, upper(scope.period)) n ON n.service_id = j.service_id
	CROSS JOIN LATERAL jsonb_populate_record(NULL::@extschema@.chpg_change_row, to_jsonb(j) || jsonb_build_object(
		'query_text', @extschema@._chpg_report_query_text(secret, j.query_text),
		'db_name', @extschema@._chpg_pseudonym('db'::text, secret, j.db_name),
		'db_user', @extschema@._chpg_pseudonym('user'::text, secret, j.db_user),
		'app', @extschema@._chpg_pseudonym('app'::text, secret, j.app))) r
	CROSS JOIN LATERAL @extschema@._chpg_report_hash(j.service_id, j.query_hex, r.db_name, r.db_user,
		j.db_operation, r.app) l(hash)
	CROSS JOIN LATERAL @extschema@._chpg_report_course(h.hours_b, starts, NULL::integer[]) c
	LEFT JOIN LATERAL @extschema@._chpg_report_band(h.hours_a, starts, step, false) b ON true
	CROSS JOIN LATERAL (
		SELECT min(u.window_start) AS first, (SELECT max(a.window_start) FROM unnest(h.hours_a) a) AS last,
			sum(u.total_duration_us) FILTER (WHERE u.window_start >= upper(scope.period) - interval '24 hours')
				/ nullif(sum(u.call_count) FILTER (WHERE u.window_start >= upper(scope.period) - interval '24 hours'), 0)
				AS recent_avg_us
		FROM unnest(h.hours_b) u
		WHERE u.total_duration_us >= 0 AND u.total_duration_us < 1e300
	) w
	ORDER BY j.ordinality;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_changes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_report_pair[], text, interval, timestamptz[]) IS
'What became of the queries of a report, the greatest change first.
secret: for pseudonyms; null: names and texts are shown.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_patterns(scope @extschema@._chpg_scope, pairs @extschema@._chpg_report_pair[],
	secret text, starts timestamptz[], most integer)
RETURNS SETOF @extschema@._chpg_report_pattern
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT r, n.service_name, 'pattern-' || @extschema@._chpg_report_hash(r.service_id, r.query_hex, r.db_name, r.db_user,
			r.db_operation, r.app), 100 * r.total_duration_us / nullif(s.total_us, 0),
		r.total_duration_us / 3.6e9 / nullif(hb.hours, 0), (p.a).total_duration_us / 3.6e9 / nullif(ha.hours, 0),
		(p.a).avg_duration_us, c.loads, p.place <= most
	FROM unnest(pairs) p
	CROSS JOIN (SELECT sum((o.b).total_duration_us) AS total_us FROM unnest(pairs) o) s
	JOIN @extschema@._chpg_report_names(scope.service_ids, upper(scope.period)) n ON n.service_id = (p.b).service_id
	LEFT JOIN unnest(scope.period_hours) hb ON hb.service_id = n.service_id
	LEFT JOIN unnest(scope.baseline_hours) ha ON ha.service_id = n.service_id
	LEFT JOIN @extschema@._chpg_report_captured(scope, starts) k ON k.service_id = n.service_id
	LEFT JOIN @extschema@._chpg_query_texts(ARRAY(SELECT o.text_id FROM unnest(pairs) o WHERE o.text_id IS NOT NULL)) t
		ON t.text_id = p.text_id
	CROSS JOIN LATERAL jsonb_populate_record(p.b, jsonb_build_object(
		'query_text', @extschema@._chpg_report_query_text(secret, t.query_text),
		'db_name', @extschema@._chpg_pseudonym('db'::text, secret, (p.b).db_name),
		'db_user', @extschema@._chpg_pseudonym('user'::text, secret, (p.b).db_user),
		'app', @extschema@._chpg_pseudonym('app'::text, secret, (p.b).app))) r
	CROSS JOIN LATERAL @extschema@._chpg_report_course(p.hours_b, starts, k.hours) c
	WHERE p.place > 0
	ORDER BY p.place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_patterns(@extschema@._chpg_scope, @extschema@._chpg_report_pair[], text,
	timestamptz[], integer) IS
'The queries of a report with their texts, with most time first.
secret: for pseudonyms; null: names and texts are shown. most: number of those that are listed.
Requests: none.';

/* Seven colors are as many as a reader tells apart. */
CREATE FUNCTION @extschema@._chpg_report_layers_of(all_services @extschema@._chpg_report_service[],
	series @extschema@._chpg_report_series[])
RETURNS @extschema@._chpg_report_series[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT series[1:7] || CASE WHEN bool_or(r.value > 1e-9) THEN
		ARRAY[ROW(NULL, NULL, array_agg(r.value ORDER BY r.place))::@extschema@._chpg_report_series] ELSE '{}' END
	FROM (
		SELECT s.place, greatest(s.value - coalesce(l.value, 0), 0) AS value
		FROM (
			SELECT v.place, sum(v.value ORDER BY s.service_id) AS value
			FROM unnest(all_services) s
			CROSS JOIN LATERAL unnest(s.loads) WITH ORDINALITY v(value, place)
			GROUP BY v.place
		) s
		LEFT JOIN (
			SELECT v.place, sum(v.value ORDER BY l.name, l.link) AS value
			FROM unnest(series[1:7]) l
			CROSS JOIN LATERAL unnest(l."values") WITH ORDINALITY v(value, place)
			GROUP BY v.place
		) l USING (place)
	) r
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_layers_of(@extschema@._chpg_report_service[],
	@extschema@._chpg_report_series[]) IS
'The first seven of some series of load, and what is left of the load of all services.
The rest has no name.';
