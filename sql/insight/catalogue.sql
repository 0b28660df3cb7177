/*
 * Insight: the rules of chpg_findings, and their thresholds.
 *
 * Each file of rules/ enters its own rules and their thresholds here.
 */

CREATE TABLE @extschema@.chpg_rule (
	rule_id text NOT NULL,
	rule_name text NOT NULL,
	parameter text NOT NULL,
	threshold double precision NOT NULL,
	description text NOT NULL,
	PRIMARY KEY (rule_id, parameter)
);

COMMENT ON TABLE @extschema@.chpg_rule IS
'The rules of chpg_findings and their thresholds. Change a threshold in chpg_threshold.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_name IS 'Name of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.parameter IS 'Name of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_rule.threshold IS 'The threshold, unless chpg_threshold has another.';
COMMENT ON COLUMN @extschema@.chpg_rule.description IS 'What the threshold means, and its unit.';
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

CREATE FUNCTION @extschema@._chpg_threshold(rule_id text, parameter text)
RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(t.threshold, r.threshold)
	FROM @extschema@.chpg_rule r
	LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter
	WHERE r.rule_id = 'CHPG' || _chpg_threshold.rule_id AND r.parameter = _chpg_threshold.parameter;
END;

COMMENT ON FUNCTION @extschema@._chpg_threshold(text, text) IS
'A threshold: that of chpg_threshold, else that of chpg_rule. rule_id is without CHPG.';
