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
BEGIN ATOMIC
	SELECT r.*
	FROM (SELECT finding.evidence AS evidence) e
	CROSS JOIN LATERAL jsonb_populate_record(finding, CASE
		WHEN secret IS NULL THEN jsonb_build_object(
			'subject', @extschema@._chpg_without_passwords(finding.subject),
			'symptom', @extschema@._chpg_without_passwords(@extschema@._chpg_report_symptom(finding.symptom, e.evidence)),
			'explanation', @extschema@._chpg_without_passwords(finding.explanation),
			'action', @extschema@._chpg_without_passwords(finding.action),
			'next', @extschema@._chpg_without_passwords(finding.next),
			'evidence', e.evidence || CASE jsonb_typeof(e.evidence->'members') WHEN 'array' THEN jsonb_build_object('members', (
					SELECT jsonb_agg(CASE jsonb_typeof(m.value) WHEN 'object' THEN m.value || jsonb_build_object(
						'subject', @extschema@._chpg_without_passwords(m.value->>'subject'),
						'symptom', @extschema@._chpg_without_passwords(m.value->>'symptom')) ELSE m.value END ORDER BY m.place)
					FROM jsonb_array_elements(e.evidence->'members') WITH ORDINALITY m(value, place))) ELSE '{}' END || CASE
						WHEN query_text IS NOT NULL OR e.evidence ? 'query_text'
				THEN jsonb_build_object('query_text', @extschema@._chpg_report_query_text(NULL::text,
					coalesce(query_text, e.evidence->>'query_text'))) ELSE '{}' END)
		ELSE jsonb_build_object(
			'subject', CASE WHEN e.evidence ? 'query_id' THEN @extschema@._chpg_pseudonym('text', secret,
					coalesce(query_text, e.evidence->>'query_text'))
				WHEN e.evidence ? 'app' THEN @extschema@._chpg_pseudonym('app', secret, e.evidence->>'app') END,
			'symptom', CASE WHEN finding."before" IS NOT NULL AND finding."now" IS NOT NULL
				THEN format('%s, before %s', @extschema@._chpg_measure_text(finding."now", finding.unit),
					@extschema@._chpg_measure_text(finding."before", finding.unit))
				WHEN finding."now" IS NOT NULL THEN @extschema@._chpg_measure_text(finding."now", finding.unit) END,
			'explanation', NULL, 'action', NULL, 'next', NULL,
			'finding_key', finding.rule_id || ':' || md5(secret || finding.finding_key),
			'evidence', jsonb_strip_nulls(jsonb_build_object('query_id', e.evidence->'query_id',
				'no_metric', e.evidence->'no_metric',
				'rule_ids', e.evidence->'rule_ids',
				'member_count', e.evidence->'member_count', 'full_at', e.evidence->'full_at', 'ended_at', e.evidence->'ended_at',
				'db_name', @extschema@._chpg_pseudonym('db', secret, e.evidence->>'db_name'),
				'db_user', @extschema@._chpg_pseudonym('user', secret, e.evidence->>'db_user'),
				'app', @extschema@._chpg_pseudonym('app', secret, e.evidence->>'app'),
				'members', (SELECT jsonb_agg(jsonb_build_object('rule_id', m.value->'rule_id', 'level', m.value->'level',
						'title', m.value->'title', 'since', m.value->'since', 'impact_us', m.value->'impact_us') ORDER BY m.place)
					FROM jsonb_array_elements(CASE jsonb_typeof(e.evidence->'members') WHEN 'array' THEN e.evidence->'members'
						ELSE '[]' END) WITH ORDINALITY m(value, place)))))
		END) r;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_finding(@extschema@.chpg_finding_row, text, text) IS
'A finding as a report shows it: without passwords, or with pseudonyms.
query_text: the complete text of the query that it is about; null: as in its evidence.';

/*
 * Each watch leaves its time where something was seen or missed; of the last one it is known in
 * any case.  One after the period does not say what was so at its end.
 */
CREATE FUNCTION @extschema@._chpg_report_log(scope @extschema@._chpg_scope, whole_fleet boolean,
	OUT judged_at timestamptz, OUT is_past boolean, OUT findings @extschema@.chpg_finding_row[],
	OUT resolved @extschema@.chpg_finding_row[], OUT skipped @extschema@.chpg_finding_row[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	until CONSTANT timestamptz := upper(scope.period);
	watches timestamptz[];
BEGIN
	IF NOT @extschema@._chpg_log_is_readable() THEN
		RETURN;
	END IF;
	PERFORM @extschema@._chpg_history_enter();
	watches := ARRAY(
		SELECT w.at
		FROM finding_log l
		CROSS JOIN LATERAL (VALUES (l.opened_at), (l.last_seen_at), (l.missed_at), (l.resolved_at)) w(at)
		WHERE (l.service_id = ANY (scope.service_ids) OR l.service_id IS NULL) AND w.at > lower(scope.period));
	IF has_table_privilege('watch_state', 'SELECT') THEN
		watches := watches || ARRAY(SELECT w.as_of FROM watch_state w);
	END IF;
	IF has_table_privilege('watch_skipped', 'SELECT') THEN
		watches := watches || ARRAY(SELECT w.as_of FROM watch_skipped w WHERE w.service_id = ANY (scope.service_ids));
	END IF;
	SELECT max(w.at) FILTER (WHERE w.at > lower(scope.period) AND w.at <= until), coalesce(max(w.at) > until, false)
	INTO judged_at, is_past
	FROM unnest(watches) w(at);
	IF judged_at IS NULL THEN
		RETURN;
	END IF;
	findings := ARRAY(
		SELECT f
		FROM finding_log l
		CROSS JOIN LATERAL jsonb_populate_record(NULL::@extschema@.chpg_finding_row, l.finding || jsonb_build_object(
			'state', CASE WHEN l.resolved_at IS NULL THEN l.state ELSE 'ongoing' END, 'muted', l.muted, 'since', CASE
				WHEN isfinite(l.since) THEN l.since END,
			'incident_id', l.incident_id)) f
		WHERE (l.service_id = ANY (scope.service_ids) OR l.service_id IS NULL AND whole_fleet) AND l.is_root
			AND l.opened_at <= until AND (l.resolved_at IS NULL OR l.resolved_at > until));
	resolved := ARRAY(
		SELECT f
		FROM finding_log l
		CROSS JOIN LATERAL jsonb_populate_record(NULL::@extschema@.chpg_finding_row, l.finding || jsonb_build_object(
			'state', 'resolved', 'muted', l.muted, 'level', l.worst_level, 'since', CASE WHEN isfinite(l.since)
				THEN l.since END, 'incident_id', l.incident_id,
			'evidence', coalesce(l.finding->'evidence', '{}') || jsonb_build_object('ended_at', l.last_seen_at))) f
		WHERE (l.service_id = ANY (scope.service_ids) OR l.service_id IS NULL AND whole_fleet) AND l.is_root AND NOT l.muted
			AND l.kind IN ('incident', 'risk') AND l.worst_level IN ('ERROR', 'WARN')
			AND l.resolved_at > lower(scope.period) AND l.resolved_at <= until
		ORDER BY l.resolved_at DESC, l.finding_key
		LIMIT 40);
	IF NOT has_table_privilege('watch_skipped', 'SELECT') THEN
		RETURN;
	END IF;
	IF (SELECT max(w.as_of) <= until + interval '1 day' FROM watch_skipped w
			WHERE w.service_id = ANY (scope.service_ids)) THEN
		skipped := ARRAY(
			SELECT f
			FROM watch_skipped w
			CROSS JOIN LATERAL jsonb_populate_record(NULL::@extschema@.chpg_finding_row, jsonb_build_object(
				'level', 'SKIPPED', 'service_id', w.service_id, 'finding_key', w.finding_key,
				'rule_id', w.finding->>'rule_id', 'title', w.finding->>'title',
				'service_name', w.finding->>'service_name', 'symptom', w.finding->>'symptom',
				'evidence', w.finding->'evidence')) f
			WHERE w.service_id = ANY (scope.service_ids) AND w.finding_key <> '' AND w.as_of > judged_at - interval '1 day'
			ORDER BY f.rule_id, w.service_id, w.finding_key
			LIMIT 1000);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_log(@extschema@._chpg_scope, boolean) IS
'Findings at the end of a period, and those resolved in it, by the log.
judged_at: end of the hours that its last watch judged, as far as is known; null: no watch of
  the period is known.
is_past: there was a watch after the period.
skipped: rules that the last watch could not judge; null: that is not known, or it was long
  after the period.
whole_fleet: findings about no service, too.
Requests: none.';

/* What the fleet has no measure of is never judged: each report would begin with it. */
CREATE FUNCTION @extschema@._chpg_report_unjudged(skipped @extschema@.chpg_finding_row[], without_metric boolean)
RETURNS bigint
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT count(DISTINCT r.rule_id)
	FROM unnest(skipped) f
	CROSS JOIN LATERAL (
		SELECT f.rule_id
		UNION
		SELECT jsonb_array_elements_text(CASE jsonb_typeof(f.evidence->'rule_ids') WHEN 'array'
			THEN f.evidence->'rule_ids' ELSE '[]' END)
	) r
	WHERE coalesce(f.evidence ? 'no_metric', false) = without_metric;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_unjudged(@extschema@.chpg_finding_row[], boolean) IS
'Number of rules that could not judge, some service or all.
without_metric: of those that need a metric which no service has, or of the others.';

/* Without any rule that could judge, nothing is known. */
CREATE FUNCTION @extschema@._chpg_report_why_unjudged(skipped @extschema@.chpg_finding_row[], service text)
RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT 'no rule could judge'
		|| coalesce(': ' || lower(left(max(f.symptom), 1)) || substr(rtrim(max(f.symptom), '.'), 2), '')
	FROM unnest(skipped) f
	WHERE f.service_id IS NULL OR service IS NOT NULL
	HAVING array_agg(f.rule_id) @> (SELECT array_agg(r.rule_id) FROM @extschema@._chpg_rules() r
		WHERE r.scope IN ('pattern', 'service', 'change'));
END;

COMMENT ON FUNCTION @extschema@._chpg_report_why_unjudged(@extschema@.chpg_finding_row[], text) IS
'Why no rule could judge, within a sentence; null: some could.
service: the one that a report is about; null: the fleet.';

CREATE FUNCTION @extschema@._chpg_report_skipped(findings @extschema@.chpg_finding_row[])
RETURNS @extschema@.chpg_finding_row[]
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT ARRAY(
		SELECT f FROM unnest(findings) f WHERE f.level = 'SKIPPED' ORDER BY f.rule_id, f.service_name, f.finding_key
		LIMIT 1000);
END;

COMMENT ON FUNCTION @extschema@._chpg_report_skipped(@extschema@.chpg_finding_row[]) IS
'At most a thousand rules that could not judge, of some findings.';

CREATE FUNCTION @extschema@._chpg_report_unjudged_text(skipped @extschema@.chpg_finding_row[])
RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE WHEN skipped IS NULL
		THEN 'Which rules could not judge then is not known: the log keeps those of its last watch'
		WHEN n.others > 0 THEN format('Rules that could not judge: %s', n.others) || CASE WHEN n.without_metric > 0 THEN
			format(', and %s without a metric of what they judge', n.without_metric) ELSE '' END
		ELSE 'All rules could judge' || CASE n.without_metric WHEN 0 THEN ''
			WHEN 1 THEN ', but for one without a metric of what it judges'
			ELSE format(', but for %s without a metric of what they judge', n.without_metric) END END
	FROM (SELECT @extschema@._chpg_report_unjudged(skipped, false) AS others,
		@extschema@._chpg_report_unjudged(skipped, true) AS without_metric) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_unjudged_text(@extschema@.chpg_finding_row[]) IS
'How many rules could not judge, in words without a period; skipped: null: that is not known.';

CREATE FUNCTION @extschema@._chpg_report_doubt(skipped @extschema@.chpg_finding_row[])
RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE WHEN skipped IS NULL THEN 'The log has no incident; which rules could not judge is not known.'
		WHEN n.others > 0 THEN format('Not as far as rules could judge: %s could not.', n.others) END
	FROM (SELECT @extschema@._chpg_report_unjudged(skipped, false) AS others) n;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_doubt(@extschema@.chpg_finding_row[]) IS
'What to say where there is no incident, but not all rules could judge; null: they could.';

CREATE FUNCTION @extschema@._chpg_report_skipped_lines(skipped @extschema@.chpg_finding_row[])
RETURNS text[]
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT coalesce(array_agg(s.line ORDER BY s.rule_id, s.line), '{}')
	FROM (
		SELECT f.rule_id, concat_ws(': ', format('%s (%s)%s', CASE WHEN f.evidence ? 'rule_ids' THEN f.title
					ELSE coalesce(r.title, f.title) END, f.rule_id, CASE WHEN count(f.service_id) > 1
				THEN format(', %s services', count(f.service_id))
				ELSE coalesce(', ' || @extschema@._chpg_plain_text(max(f.service_name)), '') END), f.symptom) AS line
		FROM unnest(skipped) f
		LEFT JOIN @extschema@._chpg_rules() r ON r.rule_id = f.rule_id
		GROUP BY f.rule_id, f.title, r.title, f.symptom, f.evidence ? 'rule_ids'
	) s;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_skipped_lines(@extschema@.chpg_finding_row[]) IS
'A line for each rule that could not judge, and reason: how many services, or which one.';

CREATE FUNCTION @extschema@._chpg_report_sorted(findings @extschema@.chpg_finding_row[],
	INOUT report @extschema@._chpg_report)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
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
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_sorted(@extschema@.chpg_finding_row[], @extschema@._chpg_report) IS
'Put findings into a report: incidents and opportunities, the most urgent ones first.
Of muted ones it has the number only. Those of level SKIPPED are left out.';

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
	-- the present state is not in the log, nor what happened since the last watch; the hours after an
	-- old one of the past are known by now
	SELECT * INTO logged FROM @extschema@._chpg_report_log(scope, scope.service IS NULL);
	report.from_log := history_only AND logged.judged_at >= upper(scope.period)
		- CASE WHEN logged.is_past THEN interval '4 hours' ELSE interval '26 hours' END;
	report.skipped := logged.skipped;
	IF report.from_log IS NOT TRUE THEN
		findings := ARRAY(SELECT f FROM @extschema@.chpg_findings(last_day, scope.service, scope.server, history_only) f);
		report.skipped := @extschema@._chpg_report_skipped(findings);
		-- an old log is better than none
		report.from_log := history_only AND logged.judged_at IS NOT NULL
			AND @extschema@._chpg_report_why_unjudged(report.skipped, scope.service) IS NOT NULL;
	END IF;
	IF report.from_log THEN
		report.judged_at := logged.judged_at;
		findings := logged.findings;
		report.resolved := logged.resolved;
	ELSE
		report.judged_at := upper(last_day);
		-- what the log has as resolved was, unless rules find it at the end
		report.resolved := ARRAY(
			SELECT (logged.resolved)[r.ordinality]
			FROM ROWS FROM (unnest(logged.resolved)) WITH ORDINALITY r
			WHERE history_only AND NOT EXISTS (SELECT FROM unnest(findings) f
				WHERE f.finding_key = r.finding_key AND f.level <> 'SKIPPED')
			ORDER BY r.ordinality);
	END IF;
	report := @extschema@._chpg_report_sorted(findings, report);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_findings(@extschema@._chpg_scope, boolean, @extschema@._chpg_report) IS
'Put findings into a report: of the log, else of the last day of its period.
Without an hour of that day, those of an older watch.
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
		SELECT max(p.place) FILTER (WHERE CASE WHEN "after" > "before" THEN p.value < p.middle ELSE p.value > p.middle END)
			AS usual,
			max(p.place) AS place
		FROM step p
	)
	SELECT starts[min(p.place)]
	FROM step p, last l
	WHERE p.place > l.usual AND l.usual < l.place;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_since(double precision[], timestamptz[], double precision,
	double precision) IS
'Start of the step since which means have been nearer to after than to before.
Null if they always were, or are not any more.';

/*
 * A query that got slower on the last day has changed little in a week: that day is compared
 * with the baseline, too.  Only executions and times are known of it by hours.
 */
CREATE FUNCTION @extschema@._chpg_report_recent_pairs(pairs @extschema@._chpg_report_pair[], recent tstzrange,
	service_ids text[])
RETURNS @extschema@._chpg_report_pair[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	RETURN ARRAY(
		WITH day AS MATERIALIZED (
			SELECT p AS pair, coalesce((p.a).service_id, (p.b).service_id) AS service_id, h.*
			FROM unnest(pairs) p
			CROSS JOIN LATERAL (
				SELECT sum(u.call_count) AS calls, sum(u.total_duration_us) AS total_us, count(*) AS buckets,
					min(u.p95_duration_us) AS p95_lo, max(u.p95_duration_us) AS p95_hi,
					sum(u.p95_duration_us * u.call_count) / nullif(sum(u.call_count) FILTER (WHERE u.p95_duration_us IS NOT NULL), 0)
						AS p95_us,
					array_agg(u) AS hours
				FROM unnest(p.hours_b) u
				WHERE u.window_start >= lower(recent) AND u.call_count > 0 AND u.total_duration_us IS NOT NULL
			) h
		), whole AS (
			SELECT c.service_id, sum(c.total_duration_us) FILTER (WHERE c.total_duration_us < 1e18) AS total_us
			FROM capture c
			WHERE c.service_id = ANY (service_ids) AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= lower(recent) AND c.window_end <= upper(recent)
			GROUP BY c.service_id
		), known AS (
			SELECT d.service_id, sum(d.total_us) AS total_us FROM day d GROUP BY d.service_id
		)
		SELECT ROW((d.pair).a,
			CASE WHEN (d.pair).place = 0 THEN jsonb_populate_record((d.pair).b,
					jsonb_build_object('total_duration_us', greatest(w.total_us - coalesce(k.total_us, 0), 0)))
				WHEN d.buckets > 0 THEN jsonb_populate_record((d.pair).b, jsonb_build_object(
					'call_count', @extschema@._chpg_counted(round(d.calls)), 'total_duration_us', d.total_us,
					'avg_duration_us', d.total_us / d.calls, 'buckets', d.buckets, 'p95_lo_us', d.p95_lo,
					'p95_hi_us', d.p95_hi, 'p95_est_us', d.p95_us, 'total_rows', NULL, 'total_shared_blks_read', NULL,
					'total_shared_blks_hit', NULL, 'total_cpu_time_us', NULL)) END,
			(d.pair).text_id, (d.pair).hours_a, d.hours, (d.pair).place)::@extschema@._chpg_report_pair
		FROM day d
		LEFT JOIN whole w ON w.service_id = d.service_id
		LEFT JOIN known k ON k.service_id = d.service_id);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_recent_pairs(@extschema@._chpg_report_pair[], tstzrange, text[]) IS
'Queries as of _chpg_report_pairs, in the baseline and on the last day of the period.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_judged(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_report_pair[], kinds text[])
RETURNS SETOF @extschema@.chpg_change_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT c.*
	FROM @extschema@._chpg_changes(t, scope, ARRAY(
		SELECT ROW(p.a, p.b, p.text_id, NULL, w.hours, w.hours_p95, w.hours_avg, w.hours_better, w.baseline_hours,
			NULL, NULL, NULL)::@extschema@._chpg_pattern_pair
		FROM unnest(pairs) p
		LEFT JOIN LATERAL @extschema@._chpg_worse_hours(p.hours_a, p.hours_b, t.change_calls_of_hour) w ON true), kinds) c
	WHERE c.query_id <> -1 OR c.query_text IS NOT NULL;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_judged(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_report_pair[], text[]) IS
'What became of queries, as chpg_compare says it, without the rest of each service.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_key(c @extschema@.chpg_change_row)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT @extschema@._chpg_report_hash(c.service_id, c.query_hex, c.db_name, c.db_user, c.db_operation, c.app);
END;

COMMENT ON FUNCTION @extschema@._chpg_report_key(@extschema@.chpg_change_row) IS
'What identifies the query of a change.';

/*
 * An application that writes its queries otherwise makes each of them vanish, and another
 * one appear: what is similar, and had its last hour when the other one had its first, is
 * one query.  That may have been within the baseline, too.
 */
CREATE FUNCTION @extschema@._chpg_report_renamed(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_report_pair[])
RETURNS TABLE (new_key text, gone_key text, gone @extschema@.chpg_period_pattern_row,
	hours @extschema@._chpg_pattern_hour[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH listed AS MATERIALIZED (
		SELECT @extschema@._chpg_report_hash(n.service_id, n.query_hex, n.db_name, n.db_user, n.db_operation, n.app) AS key,
			n.service_id, n.db_name, n.db_user, n.db_operation, p.a, p.hours_a, (p.b).service_id IS NOT NULL AS is_there,
			@extschema@._chpg_query_words(x.query_text) AS words,
			(SELECT min(h.window_start) FROM unnest(p.hours_a || p.hours_b) h) AS first,
			(SELECT max(h.window_start) FROM unnest(p.hours_a || p.hours_b) h) AS last
		FROM unnest(pairs) p
		CROSS JOIN LATERAL (SELECT (CASE WHEN (p.b).service_id IS NULL THEN p.a ELSE p.b END).*) n
		JOIN @extschema@._chpg_query_texts(ARRAY(SELECT o.text_id FROM unnest(pairs) o WHERE o.text_id IS NOT NULL)) x
			ON x.text_id = p.text_id
		WHERE p.place > 0
	), alike AS MATERIALIZED (
		SELECT n.key AS new_key, g.key AS gone_key, g.a, g.hours_a,
			@extschema@._chpg_word_similarity(n.words, g.words) AS similarity
		FROM listed n
		JOIN listed g ON n.is_there AND (g.a).service_id IS NOT NULL AND n.key <> g.key
			AND n.service_id = g.service_id AND n.db_name = g.db_name
			AND n.db_user = g.db_user AND n.db_operation = g.db_operation
			AND g.first < n.first AND coalesce(g.last <= n.first + interval '2 hours', true)
	)
	SELECT DISTINCT ON (f.gone_key) f.new_key, f.gone_key, f.a, f.hours_a
	FROM (
		SELECT DISTINCT ON (a.new_key) a.*
		FROM alike a
		WHERE a.similarity >= t.renamed_similarity
		ORDER BY a.new_key, a.similarity DESC, a.gone_key
	) f
	ORDER BY f.gone_key, f.similarity DESC, f.new_key;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_renamed(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_report_pair[]) IS
'Which queries of a report replace which ones that are gone, by their words.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_report_changes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_report_pair[], incidents @extschema@.chpg_finding_row[], secret text, step interval,
	starts timestamptz[], most integer, OUT changes @extschema@._chpg_report_change[], OUT renamed integer)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	last_day CONSTANT tstzrange := tstzrange(upper(scope.period) - interval '24 hours', upper(scope.period));
	recent @extschema@._chpg_scope := scope;
	judged @extschema@.chpg_change_row[];
	part interval;
BEGIN
	changes := '{}';
	renamed := 0;
	IF cardinality(scope.baseline_hours) = 0 OR scope.baseline IS NULL THEN
		RETURN;
	END IF;
	judged := ARRAY(SELECT c FROM @extschema@._chpg_report_judged(t, scope, pairs,
		'{regressed,improved,surged,new,new?,gone,gone?}'::text[]) c);
	-- executions of the last hours may be slower, too, that are few of a day's
	FOREACH part IN ARRAY '{24 hours,6 hours}'::interval[] LOOP
		CONTINUE WHEN upper(scope.period) - lower(scope.period) < 2 * part;
		recent.period := tstzrange(upper(scope.period) - part, upper(scope.period));
		recent.period_hours := @extschema@._chpg_period_hours(recent.period, scope.service_ids);
		CONTINUE WHEN cardinality(recent.period_hours) = 0;
		judged := judged || ARRAY(
			SELECT c
			FROM @extschema@._chpg_report_judged(t, recent, @extschema@._chpg_report_recent_pairs(pairs, recent.period,
				scope.service_ids), CASE WHEN part > interval '12 hours' THEN '{regressed,improved,surged,new}'::text[]
				ELSE '{regressed}'::text[] END) c
			WHERE @extschema@._chpg_report_key(c) NOT IN (SELECT @extschema@._chpg_report_key(o) FROM unnest(judged) o));
	END LOOP;
	WITH pair AS MATERIALIZED (
		SELECT @extschema@._chpg_report_hash(n.service_id, n.query_hex, n.db_name, n.db_user, n.db_operation, n.app) AS key,
			p.a AS pair_a, p.hours_a, p.hours_b, p.place
		FROM unnest(pairs) p
		CROSS JOIN LATERAL (SELECT (CASE WHEN (p.b).service_id IS NULL THEN p.a ELSE p.b END).*) n
		WHERE p.place > 0
	), replaced AS MATERIALIZED (
		SELECT n.* FROM @extschema@._chpg_report_renamed(t, scope, pairs) n
	), listed AS MATERIALIZED (
		SELECT x.key, x.pair_a, x.hours_b, x.place, coalesce(r.hours, x.hours_a) AS hours_a,
			r.gone_key IS NOT NULL AS is_renamed,
			jsonb_populate_record(c, CASE WHEN r.gone_key IS NULL THEN '{}' ELSE jsonb_build_object(
				'change', CASE WHEN c.avg_duration_us >= t.change_avg_factor * (r.gone).avg_duration_us THEN 'regressed'
					WHEN c.avg_duration_us <= t.change_improved_factor * (r.gone).avg_duration_us THEN 'improved'
					ELSE 'renamed' END,
				'baseline_calls_per_s', (r.gone).call_count / (ha.hours * 3600.0),
				'baseline_avg_duration_us', (r.gone).avg_duration_us,
				'baseline_p95_lo_us', (r.gone).p95_lo_us, 'baseline_p95_hi_us', (r.gone).p95_hi_us, 'cause', 'new id',
				'excess_us', c.calls_per_s * extract(epoch FROM upper(scope.period) - lower(scope.period))
					* (c.avg_duration_us - (r.gone).avg_duration_us)) END) AS change
		FROM unnest(judged) c
		JOIN pair x ON x.key = @extschema@._chpg_report_key(c)
		LEFT JOIN replaced r ON r.new_key = x.key
		LEFT JOIN unnest(scope.baseline_hours) ha ON ha.service_id = c.service_id
		WHERE x.key NOT IN (SELECT o.gone_key FROM replaced o)
	)
	SELECT coalesce(array_agg(ROW(s.shown, n.service_name, 'change-' || s.hash,
			CASE WHEN l.place <= most AND j.calls_per_s IS NOT NULL THEN 'pattern-' || s.hash END,
			v.since, c.avgs, b.low, b.high)::@extschema@._chpg_report_change
			ORDER BY abs(coalesce(x.excess_us, w.total_us)) DESC NULLS LAST, j.service_id, l.key)
			FILTER (WHERE j.change <> 'renamed'), '{}'),
		count(*) FILTER (WHERE l.is_renamed)
	INTO changes, renamed
	FROM listed l
	CROSS JOIN LATERAL (SELECT (l.change).*) j
	JOIN @extschema@._chpg_report_names(scope.service_ids, upper(scope.period)) n ON n.service_id = j.service_id
	CROSS JOIN LATERAL @extschema@._chpg_report_course(l.hours_b, starts, NULL::integer[]) c
	LEFT JOIN LATERAL @extschema@._chpg_report_band(l.hours_a, starts, step, false) b ON true
	CROSS JOIN LATERAL (
		SELECT min(u.window_start) AS first, (SELECT max(a.window_start) + interval '1 hour' FROM unnest(l.hours_a) a)
			AS last,
			coalesce(sum(u.total_duration_us), (SELECT sum(a.total_duration_us) FROM unnest(l.hours_a) a)) AS total_us,
			sum(u.total_duration_us) FILTER (WHERE u.window_start >= lower(last_day))
				/ nullif(sum(u.call_count) FILTER (WHERE u.window_start >= lower(last_day)), 0) AS recent_avg_us
		FROM unnest(l.hours_b) u
		WHERE u.total_duration_us >= 0 AND u.total_duration_us < 1e300
	) w
	-- the incident of a query knows when it began, to the hour, and why
	CROSS JOIN LATERAL (
		SELECT max(i.since) AS since, max(i.evidence->>'cause') AS cause
		FROM unnest(incidents) i
		WHERE j.change = 'regressed' AND i.rule_id = 'CHPG501' AND i.service_id = j.service_id
			AND i.since >= lower(scope.period) AND i.evidence @> jsonb_build_object('query_id', j.query_id::text,
				'db_name', j.db_name, 'db_user', j.db_user, 'db_operation', j.db_operation, 'app', j.app)
	) o
	CROSS JOIN LATERAL (
		SELECT CASE WHEN j.change ^@ 'new' THEN w.first WHEN j.change ^@ 'gone' THEN w.last
			WHEN l.is_renamed AND (l.pair_a).service_id IS NULL THEN w.first
			WHEN j.change <> 'surged' THEN
				coalesce(o.since, @extschema@._chpg_report_since(c.avgs, starts, j.baseline_avg_duration_us,
					CASE j.change WHEN 'regressed' THEN greatest(j.avg_duration_us, w.recent_avg_us)
						ELSE least(j.avg_duration_us, w.recent_avg_us) END)) END AS since
	) v
	-- what was seen in the last hours of the period may have begun before them
	CROSS JOIN LATERAL (
		SELECT CASE WHEN j.change = 'regressed' AND NOT l.is_renamed THEN greatest(j.excess_us, (
				SELECT sum(u.total_duration_us - u.call_count * j.baseline_avg_duration_us)
				FROM unnest(l.hours_b) u
				WHERE u.window_start >= v.since AND u.call_count > 0
					AND u.total_duration_us >= 0 AND u.total_duration_us < 1e300))
			ELSE j.excess_us END AS excess_us
	) x
	CROSS JOIN LATERAL (
		SELECT u.shown, @extschema@._chpg_report_key(u.shown) AS hash
		FROM (SELECT jsonb_populate_record(l.change, jsonb_build_object('excess_us', x.excess_us,
			'cause', coalesce(nullif(j.cause, 'mixed'), nullif(o.cause, 'mixed')),
			'query_text', @extschema@._chpg_report_query_text(secret, j.query_text),
			'db_name', @extschema@._chpg_pseudonym('db'::text, secret, j.db_name),
			'db_user', @extschema@._chpg_pseudonym('user'::text, secret, j.db_user),
			'app', @extschema@._chpg_pseudonym('app'::text, secret, j.app))) AS shown OFFSET 0) u
	) s;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_changes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_report_pair[], @extschema@.chpg_finding_row[], text, interval, timestamptz[], integer) IS
'What became of the queries of a report, the greatest change first.
incidents: those that are open, whose onset is that of their queries, too.
renamed: how many have a new id. They are compared with what they replace, and left out if
  their time is as before.
secret: for pseudonyms; null: names and texts are shown.
most: number of queries that are listed.
Requests: none.';

/* A query that replaces another one had the time of both. */
CREATE FUNCTION @extschema@._chpg_report_patterns(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_report_pair[], secret text, starts timestamptz[], most integer)
RETURNS SETOF @extschema@._chpg_report_pattern
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT r, n.service_name, 'pattern-' || @extschema@._chpg_report_hash(r.service_id, r.query_hex, r.db_name, r.db_user,
			r.db_operation, r.app), 100 * r.total_duration_us / nullif(s.total_us, 0),
		r.total_duration_us / 3.6e9 / nullif(hb.hours, 0), a.total_us / 3.6e9 / nullif(ha.hours, 0),
		CASE WHEN g.new_key IS NULL THEN (p.a).avg_duration_us ELSE a.total_us / nullif(a.calls, 0) END, c.loads,
		p.place <= most
	FROM unnest(pairs) p
	LEFT JOIN @extschema@._chpg_report_renamed(t, scope, pairs) g ON g.new_key = @extschema@._chpg_report_hash(
		(p.b).service_id, (p.b).query_hex, (p.b).db_name, (p.b).db_user, (p.b).db_operation, (p.b).app)
	CROSS JOIN LATERAL (
		SELECT sum(o.total_us) AS total_us, sum(o.calls) AS calls
		FROM (VALUES ((p.a).total_duration_us, (p.a).call_count), ((g.gone).total_duration_us, (g.gone).call_count))
			o(total_us, calls)
	) a
	CROSS JOIN (SELECT sum((o.b).total_duration_us) AS total_us FROM unnest(pairs) o) s
	JOIN @extschema@._chpg_report_names(scope.service_ids, upper(scope.period)) n ON n.service_id = (p.b).service_id
	LEFT JOIN unnest(scope.period_hours) hb ON hb.service_id = n.service_id
	LEFT JOIN unnest(scope.baseline_hours) ha ON ha.service_id = n.service_id
	LEFT JOIN @extschema@._chpg_report_captured(scope, starts) k ON k.service_id = n.service_id
	LEFT JOIN @extschema@._chpg_query_texts(ARRAY(SELECT o.text_id FROM unnest(pairs) o WHERE o.text_id IS NOT NULL)) x
		ON x.text_id = p.text_id
	CROSS JOIN LATERAL jsonb_populate_record(p.b, jsonb_build_object(
		'query_text', @extschema@._chpg_report_query_text(secret, x.query_text),
		'db_name', @extschema@._chpg_pseudonym('db'::text, secret, (p.b).db_name),
		'db_user', @extschema@._chpg_pseudonym('user'::text, secret, (p.b).db_user),
		'app', @extschema@._chpg_pseudonym('app'::text, secret, (p.b).app))) r
	CROSS JOIN LATERAL @extschema@._chpg_report_course(p.hours_b, starts, k.hours) c
	WHERE p.place > 0
	ORDER BY p.place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_report_patterns(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_report_pair[], text, timestamptz[], integer) IS
'The queries of a report with their texts, with most time first.
secret: for pseudonyms; null: names and texts are shown. most: number of those that are listed.
Requests: none.';

/* Seven colors are as many as a reader tells apart. */
CREATE FUNCTION @extschema@._chpg_report_layers_of(all_services @extschema@._chpg_report_service[],
	series @extschema@._chpg_report_series[])
RETURNS @extschema@._chpg_report_series[]
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT series[1:7] || CASE WHEN bool_or(r.value > 1e-9) THEN
		ARRAY[ROW(NULL, NULL, array_agg(r.value ORDER BY r.place))::@extschema@._chpg_report_series] ELSE '{}' END
	FROM (
		SELECT s.place, CASE WHEN s.value IS NOT NULL THEN greatest(s.value - coalesce(l.value, 0), 0) END AS value
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
	) r;
END;

COMMENT ON FUNCTION @extschema@._chpg_report_layers_of(@extschema@._chpg_report_service[],
	@extschema@._chpg_report_series[]) IS
'The first seven of some series of load, and what is left of the load of all services.
The rest has no name.';
