/*
 * Insight: the rules of chpg_findings, and their thresholds.
 *
 * rules.awk enters what the files of rules/ declare.
 */

CREATE TABLE @extschema@.chpg_rule (
	rule_id text NOT NULL,
	rule_name text NOT NULL,
	kind text NOT NULL,
	parameter text NOT NULL,
	threshold double precision NOT NULL,
	unit text NOT NULL,
	description text NOT NULL,
	PRIMARY KEY (rule_id, parameter)
);

COMMENT ON TABLE @extschema@.chpg_rule IS
'The rules of chpg_findings and their thresholds. Change a threshold in chpg_threshold.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_name IS 'Name of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.kind IS
'Kind of its findings: incident, risk, opportunity or hygiene; shared: thresholds that several rules use.';
COMMENT ON COLUMN @extschema@.chpg_rule.parameter IS 'Name of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_rule.threshold IS 'The threshold, unless chpg_threshold has another.';
COMMENT ON COLUMN @extschema@.chpg_rule.unit IS 'Unit of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_rule.description IS 'What the threshold means.';
GRANT SELECT ON @extschema@.chpg_rule TO PUBLIC;

CREATE TABLE @extschema@.chpg_threshold (
	rule_id text NOT NULL,
	parameter text NOT NULL,
	threshold double precision NOT NULL,
	PRIMARY KEY (rule_id, parameter),
	FOREIGN KEY (rule_id, parameter) REFERENCES @extschema@.chpg_rule
);

COMMENT ON TABLE @extschema@.chpg_threshold IS 'Thresholds that replace those of chpg_rule.';
COMMENT ON COLUMN @extschema@.chpg_threshold.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN @extschema@.chpg_threshold.parameter IS 'Name of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_threshold.threshold IS 'The threshold.';
GRANT SELECT ON @extschema@.chpg_threshold TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('@extschema@.chpg_threshold', '');

/* rules.awk adds the attributes: a threshold that no rule declares is an error when the extension is built. */
CREATE TYPE @extschema@._chpg_thresholds AS ();

COMMENT ON TYPE @extschema@._chpg_thresholds IS
'All thresholds: an attribute for each parameter of a rule, such as hot_loop_avg_us.';

CREATE FUNCTION @extschema@._chpg_thresholds()
RETURNS @extschema@._chpg_thresholds
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kept jsonb := '{}';
	place name;
	unknown text;
	refused record;
BEGIN
	IF @extschema@._chpg_history_is_readable() THEN
		place := @extschema@._chpg_history_enter();
		IF has_table_privilege('threshold', 'SELECT') THEN
			SELECT coalesce(jsonb_object_agg(h.rule_id || ' ' || h.parameter, h.threshold)
					FILTER (WHERE r.rule_id IS NOT NULL), '{}'),
				min(h.parameter || '" of rule "' || h.rule_id) FILTER (WHERE r.rule_id IS NULL)
			INTO kept, unknown
			FROM threshold h
			LEFT JOIN @extschema@.chpg_rule r ON r.rule_id = h.rule_id AND r.parameter = h.parameter;
		END IF;
	END IF;
	IF unknown IS NOT NULL THEN
		RAISE WARNING 'unknown threshold "%" in the history%', left(unknown, 200),
				@extschema@._chpg_closest(split_part(unknown, '"'::text, 1), ARRAY(
					SELECT r.parameter FROM @extschema@.chpg_rule r
					WHERE r.rule_id = split_part(unknown, '"'::text, 3)))
			USING HINT = 'The table chpg_rule has those that there are.';
	END IF;
	-- the rules count with it: no interval, or integer, is out of range
	SELECT r.rule_id, r.parameter, v.threshold, kept ? (r.rule_id || ' ' || r.parameter) AS is_kept INTO refused
	FROM @extschema@.chpg_rule r
	LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter
	CROSS JOIN LATERAL (SELECT coalesce((kept->>(r.rule_id || ' ' || r.parameter))::float8, t.threshold) AS threshold) v
	WHERE NOT v.threshold BETWEEN 0 AND CASE WHEN r.unit IN ('hours', 'days') THEN 100000 ELSE 1e15 END
	ORDER BY r.rule_id, r.parameter
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'invalid value for threshold "%" of rule "%": %', refused.parameter, refused.rule_id,
				refused.threshold
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = 'A threshold is from 0 to 1e15, one of hours or days up to 100000.',
				HINT = format('Set another one, or remove it: DELETE FROM %s WHERE rule_id = %L AND parameter = %L;',
					CASE WHEN refused.is_kept THEN format('%I.threshold', place) ELSE '@extschema@.chpg_threshold' END,
					refused.rule_id, refused.parameter);
	END IF;
	RETURN jsonb_populate_record(NULL::@extschema@._chpg_thresholds, (
		SELECT jsonb_object_agg(r.rule_name || '_' || r.parameter,
			coalesce((kept->>(r.rule_id || ' ' || r.parameter))::float8, t.threshold, r.threshold))
		FROM @extschema@.chpg_rule r
		LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter));
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_thresholds() IS
'The thresholds in use: those of the history, else of chpg_threshold, else of chpg_rule.
Errors: 22023 one of them is negative, too great, or not a number.';
