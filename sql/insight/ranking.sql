/* Insight: one finding for each pattern, the most urgent first. */

/*
 * The statement is for people, who may run it with more rights than those who chose the names
 * in it: all of them are literals.
 */
CREATE FUNCTION @extschema@._chpg_next_statement(rule_id text, service_id text, evidence jsonb, since timestamptz,
	period tstzrange, server text, place name)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET quote_all_identifiers = off
AS $$
	SELECT 'SELECT * FROM ' || CASE
		WHEN service_id IS NULL AND rule_id = 'CHPG802' AND place IS NOT NULL THEN format('%I.archive_state', place)
		WHEN service_id IS NULL THEN
			format('@extschema@.chpg_fleet(%s)', coalesce(quote_literal(_chpg_next_statement.server), ''))
		WHEN evidence ? 'query_id' AND place IS NOT NULL THEN
			format('@extschema@.chpg_pattern_course(%L, %L, %L%s)', service_id, evidence->>'query_id', r.range,
				r.server)
		WHEN evidence ? 'query_id' THEN
			format('@extschema@.chpg_slow_pattern_executions(%L, %L, %L, %L, %L%s)', service_id, evidence->>'query_id',
				@extschema@._chpg_plain_text(coalesce(evidence->>'db_name', '')),
				@extschema@._chpg_plain_text(coalesce(evidence->>'db_user', '')),
				@extschema@._chpg_plain_text(coalesce(evidence->>'db_operation', '')), r.server)
		WHEN rule_id ^@ 'CHPG4' AND place IS NOT NULL THEN
			format('%I.error_hour WHERE service_id = %L%s AND "time" >= %L AND "time" < %L ORDER BY "time"',
				place, service_id, CASE WHEN evidence->>'app' = @extschema@._chpg_plain_text(evidence->>'app')
					THEN format(' AND app = %L', evidence->>'app') ELSE '' END, r.begins, r.ends)
		WHEN rule_id ^@ 'CHPG4' THEN
			format('@extschema@.chpg_logs(%L, %L, %L%s)', r.begins, r.ends, service_id, r.server)
		WHEN rule_id = 'CHPG706' THEN
			format('@extschema@.chpg_config(%L%s) WHERE component = %L AND name = %L', service_id, r.server,
			@extschema@._chpg_plain_text(coalesce(evidence->>'component', '')),
			@extschema@._chpg_plain_text(coalesce(evidence->>'name', '')))
		WHEN rule_id = 'CHPG801' AND place IS NOT NULL THEN
			format('%I.coverage WHERE service_id = %L AND "time" >= %L AND "time" < %L AND (status <> %L OR truncated)',
				place, service_id, r.begins, r.ends, 'ok')
		WHEN rule_id ^@ 'CHPG7' AND place IS NOT NULL THEN
			format('%I.metric WHERE service_id = %L AND day >= %L AND "time" >= %L AND "time" < %L '
					'ORDER BY metric, "time"',
				place, service_id, left(r.begins, 10) || ' 00:00Z', r.begins, r.ends)
		WHEN rule_id ^@ 'CHPG7' THEN
			format('@extschema@.chpg_metrics(%L, %L, %L%s)', r.begins, r.ends, service_id, r.server)
		WHEN place IS NOT NULL THEN format('@extschema@.chpg_history_top(%L, %L%s)', r.range, service_id, r.server)
		ELSE format('@extschema@.chpg_slow_patterns(%L, %L, %L%s)', r.begins, r.ends, service_id, r.server) END
	FROM (
		SELECT t.begins, t.ends, format('[%s,%s)', t.begins, t.ends) AS range,
			CASE WHEN _chpg_next_statement.server IS NULL THEN ''
				ELSE format(', server => %L', _chpg_next_statement.server) END AS server
		FROM (
			SELECT @extschema@._chpg_time_literal(least(lower(period), since - interval '24 hours')) AS begins,
				@extschema@._chpg_time_literal(upper(period)) AS ends
		) t
	) r
$$;

COMMENT ON FUNCTION @extschema@._chpg_next_statement(text, text, jsonb, timestamptz, tstzrange, text, name) IS
'A statement that shows more of a finding: of the history in the schema place, or of the API.';

/*
 * Names come from the history, else from the list of services, where that has been read.
 */
CREATE FUNCTION @extschema@._chpg_known_services(candidates @extschema@._chpg_candidate[], period tstzrange,
	service text, server text, history_only boolean, OUT place name, OUT kept text[], OUT names jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ids CONSTANT text[] := ARRAY(SELECT DISTINCT c.service_id FROM unnest(candidates) c WHERE c.service_id IS NOT NULL);
BEGIN
	kept := '{}';
	names := '{}';
	IF @extschema@._chpg_history_is_readable() THEN
		place := @extschema@._chpg_history_enter();
		kept := ARRAY(SELECT DISTINCT c.service_id FROM capture c
			WHERE c.service_id = ANY (ids) AND c.grain = 'hour' AND c.status = 'ok'
				AND c.window_start >= lower(period) AND c.window_end <= upper(period));
		names := (SELECT coalesce(jsonb_object_agg(n.service_id, n.service_name), '{}')
			FROM (
				SELECT DISTINCT ON (s.service_id) s.service_id, s.service_name
				FROM service s
				WHERE s.service_id = ANY (ids) AND s.service_name IS NOT NULL
				ORDER BY s.service_id, s.valid_to DESC, s.valid_from DESC
			) n);
	END IF;
	IF NOT history_only AND EXISTS (SELECT FROM unnest(ids) i WHERE NOT names ? i AND i IS DISTINCT FROM service) THEN
		BEGIN
			names := (SELECT coalesce(jsonb_object_agg(s.id, s.name)
					FILTER (WHERE s.id = ANY (ids) AND s.name IS NOT NULL), '{}')
				FROM @extschema@.chpg_services(server) s) || names;
		EXCEPTION WHEN OTHERS THEN
			NULL;  -- findings without names are better than none
		END;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_known_services(@extschema@._chpg_candidate[], tstzrange, text, text, boolean) IS
'The schema of the history, if it can be read, and what is known of the services of candidates.
kept: those with an hour of the period in the history. names: their names, by id.
Requests: none, as the list was read before.';

/*
 * Each pattern has one finding, the most urgent.  The other rules that hold for the pattern
 * become tags, and their evidence is added where it differs.  A muted finding hides no other
 * one.
 */
CREATE FUNCTION @extschema@._chpg_ranked(candidates @extschema@._chpg_candidate[], period tstzrange, server text,
	place name, kept text[], names jsonb, mutes jsonb)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH found AS (
		SELECT f.*, @extschema@._chpg_mute_holds(mutes->f.finding_key, f.level,
				@extschema@._chpg_finding_value(f."before", f."now", f.evidence), upper(period)) AS is_muted,
			CASE WHEN f.evidence ? 'query_id' THEN substr(f.finding_key, length(f.rule_id) + 1)
				ELSE f.finding_key END AS of_pattern,
			(SELECT max(r.rule_name) FROM @extschema@.chpg_rule r WHERE r.rule_id = f.rule_id) AS rule_name
		FROM unnest(candidates) f
	), ranked AS (
		SELECT *, row_number() OVER w AS place, first_value(evidence) OVER w AS first_evidence
		FROM found
		WINDOW w AS (PARTITION BY service_id, of_pattern, is_muted
			ORDER BY @extschema@._chpg_urgency(kind, level, rule_id), @extschema@._chpg_level_place(level),
				@extschema@._chpg_rule_place(rule_id), rule_id, finding_key)
	), others AS (
		SELECT coalesce(service_id, '') AS of_service, of_pattern, is_muted,
			array_agg(rule_name ORDER BY place) AS names,
			jsonb_object_agg(rule_name, evidence) FILTER (WHERE evidence <> first_evidence) AS evidence
		FROM ranked WHERE place > 1 GROUP BY 1, 2, 3
	)
	SELECT f.kind, f.level, f.rule_id, f.title, f.service_id, _chpg_ranked.names->>f.service_id,
		coalesce(nullif(@extschema@._chpg_plain_text(@extschema@._chpg_line_text(f.evidence->>'query_text', 80)), ''),
			nullif(@extschema@._chpg_plain_text(@extschema@._chpg_line_text(f.evidence->>'app', 80)), ''),
			@extschema@._chpg_plain_text(@extschema@._chpg_line_text(_chpg_ranked.names->>f.service_id, 80)),
			f.service_id),
		f.since, CASE WHEN f.level = 'SKIPPED' THEN NULL WHEN f.since >= lower(period) THEN 'new' ELSE 'ongoing' END,
		f.is_muted, @extschema@._chpg_plain_text(f.symptom), @extschema@._chpg_significant(f."before"),
		@extschema@._chpg_significant(f."now"), f.unit, f.explanation, f.action,
		CASE WHEN f.level <> 'SKIPPED' THEN
			coalesce(CASE WHEN NOT coalesce(f.evidence ? 'query_id', false) AND f.next !~ '(^|[^.[:alnum:]_])chpg_'
					AND f.next = @extschema@._chpg_plain_text(f.next) THEN rtrim(f.next, '; ') END,
				@extschema@._chpg_next_statement(f.rule_id, f.service_id, f.evidence, f.since, period, server,
					CASE WHEN f.service_id IS NULL OR f.service_id = ANY (kept) THEN _chpg_ranked.place END)) END,
		f.evidence || coalesce(o.evidence, '{}'), f.impact_us, f.confidence, o.names, f.finding_key, NULL::text
	FROM ranked f
	LEFT JOIN others o ON o.of_service = coalesce(f.service_id, '') AND o.of_pattern = f.of_pattern
		AND o.is_muted = f.is_muted
	WHERE f.place = 1
$$;

COMMENT ON FUNCTION @extschema@._chpg_ranked(@extschema@._chpg_candidate[], tstzrange, text, name, text[], jsonb,
	jsonb) IS
'The findings among candidates, in no order.
place, kept, names: as of _chpg_known_services. mutes: as of _chpg_mutes_of.';

/* The rows of findings, in the order in which they are completed. */
CREATE FUNCTION @extschema@._chpg_judged(candidates @extschema@._chpg_candidate[], period tstzrange, service text,
	server text, history_only boolean)
RETURNS SETOF @extschema@._chpg_member
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known record;
	findings @extschema@.chpg_finding_row[];
	members @extschema@._chpg_member[];
	fleet @extschema@._chpg_candidate[];
BEGIN
	SELECT * INTO known FROM @extschema@._chpg_known_services(candidates, period, service, server, history_only);
	findings := ARRAY(SELECT f
		FROM @extschema@._chpg_ranked(candidates, period, server, known.place, known.kept, known.names,
			@extschema@._chpg_mutes_of(ARRAY(SELECT c.finding_key FROM unnest(candidates) c))) f);
	-- the log knows onsets that have left the hours which rules judge
	findings := ARRAY(SELECT f FROM @extschema@._chpg_with_log(findings, period) f);
	findings := ARRAY(SELECT f FROM @extschema@._chpg_with_maintenance(findings) f);
	members := ARRAY(SELECT m FROM @extschema@._chpg_incidents(findings) m);
	RETURN QUERY SELECT m.* FROM unnest(members) m;
	IF service IS NULL THEN
		fleet := ARRAY(SELECT c
			FROM @extschema@._chpg_find_fleet_wide(@extschema@._chpg_thresholds(), members, period, server) c);
		findings := ARRAY(SELECT f
			FROM @extschema@._chpg_ranked(fleet, period, server, known.place, known.kept, known.names,
				@extschema@._chpg_mutes_of(ARRAY(SELECT c.finding_key FROM unnest(fleet) c))) f);
		findings := ARRAY(SELECT f FROM @extschema@._chpg_with_log(findings, period) f);
		RETURN QUERY SELECT m.* FROM @extschema@._chpg_incidents(findings) m;
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_judged(@extschema@._chpg_candidate[], tstzrange, text, text, boolean) IS
'The findings among candidates, by incident, in no order.
Requests: none.';

/* Several rules read the same responses, which are cached meanwhile. */
CREATE FUNCTION @extschema@.chpg_findings(
	period tstzrange,
	service text DEFAULT NULL,
	server text DEFAULT NULL,
	history_only boolean DEFAULT false)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = '2min'
AS $$
DECLARE
	only_history CONSTANT boolean := coalesce(history_only, false);
	candidates @extschema@._chpg_candidate[];
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	PERFORM @extschema@._chpg_history_warn();
	candidates := ARRAY(SELECT f
		FROM @extschema@._chpg_candidates(period, service, server, only_history) f);
	RETURN QUERY
	SELECT f.*
	FROM @extschema@._chpg_judged(candidates, period, service, server, only_history) m
	CROSS JOIN LATERAL (SELECT (m.finding).*) f
	WHERE m.member_of IS NULL
	ORDER BY @extschema@._chpg_urgency(f.kind, f.level, f.rule_id), @extschema@._chpg_level_place(f.level),
		f.impact_us DESC NULLS LAST, f.finding_key;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	message := CASE WHEN @extschema@._chpg_is_refusal(SQLSTATE) THEN
		@extschema@._chpg_raise(SQLSTATE, message, nullif(detail, ''), nullif(hint, ''), NULL::text) END;
	RAISE;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_findings(tstzrange, text, text, boolean) IS
'What is wrong with a service, by id or name, or with the fleet (null), the most urgent first.
What fails or is about to comes before what is slower, then what could be better, and hygiene.
SKIPPED rows name rules that could not judge. chpg only recommends; it changes nothing.
Patterns come from the history where it has the period, else from the API.
history_only: judge only by the history.
Requests: none with history_only, else 1 for the metrics, those of chpg_slow_patterns unless the
  history has the period, and for the fleet 1 for the settings of each service and 1 for the
  list.
Errors: 22004, 22023 the period cannot be used; 42704 no such service; those of
  chpg_slow_patterns.';
