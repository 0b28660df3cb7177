/* Insight: all that rules find of what changed; the services and their last hours are read once. */

CREATE FUNCTION @extschema@._chpg_find_changes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	judged CONSTANT @extschema@._chpg_judged_service[] := ARRAY(
		SELECT j FROM @extschema@._chpg_judged_services(scope) j);
	recent @extschema@._chpg_hour_score[];
	fresh @extschema@._chpg_fresh_pattern[];
	episodes @extschema@._chpg_episode[];
BEGIN
	IF cardinality(judged) = 0 THEN
		RETURN;
	END IF;
	recent := ARRAY(SELECT s FROM @extschema@._chpg_recent_scores(judged) s);
	fresh := ARRAY(SELECT f FROM @extschema@._chpg_find_fresh(t, judged, recent) f);
	episodes := ARRAY(SELECT e FROM @extschema@._chpg_find_episodes(t, judged, recent) e);
	RETURN QUERY
	WITH found AS MATERIALIZED (
		SELECT * FROM @extschema@._chpg_find_slower(t, judged, episodes)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_slower_services(t, judged, recent)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_new(t, judged, fresh)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_renamed(t, judged, fresh)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_counters(t, judged, episodes)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_volume(t, judged, recent, fresh)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_batches(t, judged, recent)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_missed_runs(t, judged, fresh)
		UNION ALL
		SELECT * FROM @extschema@._chpg_find_creep(t, judged)
	)
	SELECT DISTINCT ON (c.finding_key) c.*
	FROM found c
	-- of a pattern that got slower, more blocks are the cause
	WHERE c.rule_id <> 'CHPG503' OR NOT EXISTS (SELECT FROM found s
		WHERE s.rule_id = 'CHPG501' AND substr(s.finding_key, 9) = substr(c.finding_key, 9))
	ORDER BY c.finding_key, c.impact_us DESC NULLS LAST;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_changes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of what changed by the end of the period, compared with the same hours of past days.
Requests: none.
Errors: 55000 there is no history.';
