/* Insight: one finding for each pattern, the worst first. */

/*
 * Each pattern has one finding, the worst.  The other rules that hold for the pattern become
 * tags, and their evidence is added where it differs.  A muted finding hides no other one.
 * Several rules read the same responses, which are cached meanwhile.
 */
CREATE FUNCTION @extschema@.chpg_findings(
	period tstzrange,
	service text DEFAULT NULL,
	baseline tstzrange DEFAULT NULL,
	server text DEFAULT NULL,
	history_only boolean DEFAULT false)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.cache_ttl = '2min'
AS $$
DECLARE
	levels CONSTANT text[] := '{ERROR,WARN,INFO,SKIPPED}';
	rules CONSTANT text[] := '{CHPG601,CHPG201,CHPG101,CHPG102,CHPG202,CHPG607,CHPG501,CHPG504}';
	distance interval;  -- in hours, whose length no time zone changes
	candidates @extschema@._chpg_candidate[];
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period, NULL::tstzrange);
	IF baseline IS NULL THEN
		distance := make_interval(secs => greatest(extract(epoch FROM upper(period) - lower(period))::float8, 86400));
		baseline := tstzrange(lower(period) - distance, upper(period) - distance);
	END IF;
	PERFORM @extschema@._chpg_check_period('baseline', baseline, NULL::tstzrange);
	PERFORM @extschema@._chpg_check_period('period', period, baseline);
	PERFORM @extschema@._chpg_history_warn();
	-- read first, so that the CONTEXT of an error does not show the whole query below
	candidates := ARRAY(SELECT f
		FROM @extschema@._chpg_candidates(period, service, server, baseline, coalesce(history_only, false)) f);
	RETURN QUERY
	WITH found AS (
		SELECT f.*, @extschema@._chpg_is_muted(f.finding_key) AS is_muted,
			CASE WHEN f.evidence ? 'query_id' THEN substr(f.finding_key, length(f.rule_id) + 1)
				ELSE f.finding_key END AS subject,
			(SELECT max(r.rule_name) FROM @extschema@.chpg_rule r WHERE r.rule_id = f.rule_id) AS rule_name
		FROM unnest(candidates) f
	), ranked AS (
		SELECT *, row_number() OVER w AS place, first_value(evidence) OVER w AS first_evidence
		FROM found
		WINDOW w AS (PARTITION BY service_id, subject, is_muted
			ORDER BY array_position(levels, level), array_position(rules, rule_id))
	), others AS (
		SELECT coalesce(service_id, '') AS of_service, subject, is_muted, array_agg(rule_name ORDER BY place) AS names,
			jsonb_object_agg(rule_name, evidence) FILTER (WHERE evidence <> first_evidence) AS evidence
		FROM ranked WHERE place > 1 GROUP BY 1, 2, 3
	)
	SELECT f.rule_id, f.level, f.title, f.service_id, f.symptom, f.evidence || coalesce(o.evidence, '{}'),
		f.explanation, f.action, f.impact_us, f.confidence, o.names, f.finding_key, f.is_muted
	FROM ranked f
	LEFT JOIN others o ON o.of_service = coalesce(f.service_id, '') AND o.subject = f.subject
		AND o.is_muted = f.is_muted
	WHERE f.place = 1
	ORDER BY array_position(levels, f.level), f.impact_us DESC NULLS LAST, f.finding_key;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_findings(tstzrange, text, tstzrange, text, boolean) IS
'What is wrong with a service, by id or name, or with the fleet (null), the worst first.
SKIPPED rows name rules that could not judge. chpg only recommends; it changes nothing.
Patterns come from the history where it has the period, else from the API.
baseline: period to compare with, of the history; null: the same hours of the day before.
history_only: judge only by the history.
Requests: none with history_only, else 1 for the metrics, those of chpg_slow_patterns unless the
  history has the period, and for the fleet 1 for the settings of each service and 1 for the
  list.
Errors: 22004, 22023 a period cannot be used; 42704 no such service; those of
  chpg_slow_patterns.';
