/* Insight: all rules together, one finding for each pattern, the worst first. */

/*
 * What rules over patterns look at, read once.  Without a history, a service that
 * does not answer is no reason to say nothing of the others: who told no pattern is
 * asked alone, which asks nothing anew unless it failed.
 */
CREATE FUNCTION @extschema@._chpg_read_patterns(period tstzrange, service text, server text,
	OUT patterns @extschema@.chpg_period_pattern_row[], OUT skipped @extschema@.chpg_finding_row[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.on_service_error = 'warning'
AS $$
DECLARE
	alone text;
BEGIN
	patterns := ARRAY(SELECT p FROM @extschema@.chpg_period_patterns(period, service, server) p);
	IF service IS NOT NULL OR @extschema@._chpg_history_has(period, service, server) THEN
		RETURN;
	END IF;
	FOR alone IN SELECT s.id FROM @extschema@.chpg_services(server) s
			WHERE coalesce(s.state, '') NOT IN ('creating', 'deleting')
				AND s.id NOT IN (SELECT p.service_id FROM unnest(patterns) p WHERE p.service_id IS NOT NULL) LOOP
		BEGIN
			patterns := patterns || ARRAY(SELECT p FROM @extschema@._chpg_period_of_api(period, alone, server) p);
		EXCEPTION WHEN OTHERS THEN
			skipped := skipped || ARRAY(SELECT k FROM @extschema@._chpg_skip_patterns(SQLERRM, alone) k
				WHERE k.rule_id NOT IN ('CHPG402', 'CHPG501', 'CHPG504'));
		END;
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_read_patterns(tstzrange, text, text) IS
'The patterns of a period, as chpg_period_patterns, and for services of a fleet that do not tell theirs, SKIPPED of the rules over them. For chpg_findings.';

/* Rules that compare, for the services that have hours of both windows. */
CREATE FUNCTION @extschema@._chpg_find_differences(baseline tstzrange, period tstzrange, service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT @extschema@._chpg_history_has(period, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG402,CHPG501,CHPG504}'::text[],
			'There is no history, that you may read, of the period to compare.', NULL::text);
		RETURN;
	END IF;
	RETURN QUERY
	SELECT s.*
	FROM @extschema@._chpg_period_hours(period, service, server) h,
		@extschema@._chpg_skipped('{CHPG402,CHPG501,CHPG504}'::text[], 'The history has no hour of the baseline to compare with.', h.service_id) s
	WHERE NOT EXISTS (SELECT FROM @extschema@._chpg_period_hours(baseline, service, server) b WHERE b.service_id = h.service_id);
	IF @extschema@._chpg_history_has(baseline, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_changes(baseline, period, service, server);
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_error_spikes(baseline, period, service, server);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_differences(tstzrange, tstzrange, text, text) IS 'Findings of what is not as it was; SKIPPED where the history has no hours to compare. Sends no request. For chpg_findings.';

/* Rules that ask how services are now: what the API does not answer, they skip. */
CREATE FUNCTION @extschema@._chpg_find_present(service text, server text, of_history boolean)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- where there are no metrics, they are not asked for again
	BEGIN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_storage(service, server);
		IF service IS NULL AND of_history THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_unknown(server);
		END IF;
		BEGIN
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_connections(service, server);
		EXCEPTION WHEN OTHERS THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG703}'::text[], SQLERRM, NULL::text);
		END;
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG701,CHPG703}'::text[], SQLERRM, NULL::text);
	END;
	IF service IS NOT NULL THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[], 'Settings are compared with those of the whole fleet: give no service.', NULL::text);
		RETURN;
	END IF;
	BEGIN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_drift(server);
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[], SQLERRM, NULL::text);
	END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_present(text, text, boolean) IS 'Findings of storage, connections and settings; and of what the history, if it was looked at, does not know. As _chpg_find_storage, _chpg_find_unknown, _chpg_find_connections and _chpg_find_drift. For chpg_findings.';

CREATE FUNCTION @extschema@._chpg_all_findings(period tstzrange, service text, server text, baseline tstzrange, history_only boolean)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found record;
BEGIN
	IF history_only AND @extschema@._chpg_history_is_readable() THEN
		PERFORM @extschema@._chpg_history_check_service(service);
	END IF;
	IF history_only AND NOT @extschema@._chpg_history_has(period, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skip_patterns('The history, as far as you may read it, has no hour of the period.', NULL::text);
		RETURN;
	END IF;
	SELECT r.patterns, r.skipped INTO found FROM @extschema@._chpg_read_patterns(period, service, server) r;
	RETURN QUERY SELECT * FROM unnest(found.skipped);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_uncounted(found.patterns);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_patterns(found.patterns, period, service, server);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_errors(found.patterns, period, service, server);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_cache(found.patterns, period, service, server);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_differences(baseline, period, service, server);
	IF @extschema@._chpg_history_has(period, service, server) THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_quality(period, service, server);
	END IF;
	IF NOT history_only THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_present(service, server, @extschema@._chpg_history_has(period, service, server));
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_all_findings(tstzrange, text, text, tstzrange, boolean) IS 'The findings of all rules. For chpg_findings.';

/*
 * A pattern has one finding, the worst.  What else was found of it, a rule over its
 * counters or a change, becomes a tag, and part of the evidence where that differs;
 * but what is muted hides nothing.
 */
CREATE FUNCTION @extschema@._chpg_primary_findings(period tstzrange, service text, server text, baseline tstzrange, history_only boolean)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH found AS (
		SELECT f.*, @extschema@._chpg_is_muted(f.cache_key) AS is_muted,
			CASE WHEN f.evidence ? 'query_id' THEN substr(f.cache_key, length(f.rule_id) + 1) ELSE f.cache_key END AS subject,
			(SELECT max(r.rule_name) FROM @extschema@.chpg_rule r WHERE r.rule_id = f.rule_id) AS rule_name
		FROM @extschema@._chpg_all_findings(period, service, server, baseline, history_only) f
	), ranked AS (
		SELECT *, row_number() OVER w AS place, first_value(evidence) OVER w AS first_evidence
		FROM found
		WINDOW w AS (PARTITION BY service_id, subject, is_muted
			ORDER BY array_position(ARRAY['ERROR', 'WARN', 'INFO', 'SKIPPED'], level),
				array_position(ARRAY['CHPG601', 'CHPG201', 'CHPG101', 'CHPG102', 'CHPG202', 'CHPG607', 'CHPG501', 'CHPG504'], rule_id))
	), others AS (
		SELECT coalesce(service_id, '') AS of_service, subject, is_muted, array_agg(rule_name ORDER BY place) AS names,
			jsonb_object_agg(rule_name, evidence) FILTER (WHERE evidence <> first_evidence) AS evidence
		FROM ranked WHERE place > 1 GROUP BY 1, 2, 3
	)
	SELECT f.rule_id, f.level, f.title, f.service_id, f.symptom, f.evidence || coalesce(o.evidence, '{}'),
		f.explanation, f.action, f.impact_us, f.confidence, o.names, f.cache_key, f.is_muted
	FROM ranked f
	LEFT JOIN others o ON o.of_service = coalesce(f.service_id, '') AND o.subject = f.subject AND o.is_muted = f.is_muted
	WHERE f.place = 1;
END;

COMMENT ON FUNCTION @extschema@._chpg_primary_findings(tstzrange, text, text, tstzrange, boolean) IS
'The findings of all rules, at most one for each pattern, besides a muted one. For chpg_findings.';

/* Several rules look at the same answers. */
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
	distance interval;  -- in hours, whose length no time zone changes
BEGIN
	PERFORM @extschema@._chpg_check_period('period', period);
	IF baseline IS NULL THEN
		distance := make_interval(secs => greatest(extract(epoch FROM upper(period) - lower(period))::float8, 86400));
		baseline := tstzrange(lower(period) - distance, upper(period) - distance);
	END IF;
	PERFORM @extschema@._chpg_check_periods(baseline, period);
	PERFORM @extschema@._chpg_history_warn();
	RETURN QUERY
	SELECT f.* FROM @extschema@._chpg_primary_findings(period, service, server, baseline, coalesce(history_only, false)) f
	ORDER BY array_position(ARRAY['ERROR', 'WARN', 'INFO', 'SKIPPED'], f.level), f.impact_us DESC NULLS LAST, f.cache_key;
END
$$;

COMMENT ON FUNCTION @extschema@.chpg_findings(tstzrange, text, tstzrange, text, boolean) IS
'What is wrong with a service, by id or name, or with all, in a period, the worst first: one row for each finding, and one for each rule that could not judge (SKIPPED), such as those over patterns of a service of the fleet that does not answer. Patterns come from the history where it has the period, else from the API, as chpg_slow_patterns; what is compared is the baseline, the same hours of the day before unless given, of the history only. Storage, connections and settings are those of now: 1 request for the metrics, 1 for each service''s settings (which are compared for the whole fleet only), and 1 for the list; answers may be two minutes old, so that nothing is asked twice; with history_only, nothing is asked, and what the history does not have is not judged. Recommends only. Errors: 22004, 22023, those of chpg_slow_patterns.';
