/*
 * Insight: the rules of chpg_findings, and their thresholds.
 *
 * Each file of rules/ enters its own rules and their thresholds here.
 */

CREATE TABLE @extschema@.chpg_rule (
	rule_id text NOT NULL,
	rule_name text NOT NULL,
	parameter text NOT NULL,
	default_value double precision NOT NULL,
	description text NOT NULL,
	PRIMARY KEY (rule_id, parameter)
);

COMMENT ON TABLE @extschema@.chpg_rule IS 'The rules of chpg_findings and their thresholds; chpg_threshold has those that are to be others.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.rule_name IS 'Name of the rule.';
COMMENT ON COLUMN @extschema@.chpg_rule.parameter IS 'Name of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_rule.default_value IS 'The threshold, unless chpg_threshold has another.';
COMMENT ON COLUMN @extschema@.chpg_rule.description IS 'What it is, with its unit.';
GRANT SELECT ON @extschema@.chpg_rule TO PUBLIC;

CREATE TABLE @extschema@.chpg_threshold (
	rule_id text NOT NULL,
	parameter text NOT NULL,
	value double precision NOT NULL,
	PRIMARY KEY (rule_id, parameter),
	FOREIGN KEY (rule_id, parameter) REFERENCES @extschema@.chpg_rule
);

COMMENT ON TABLE @extschema@.chpg_threshold IS 'Thresholds of rules that are to be others than those of chpg_rule.';
COMMENT ON COLUMN @extschema@.chpg_threshold.rule_id IS 'Number of the rule.';
COMMENT ON COLUMN @extschema@.chpg_threshold.parameter IS 'Name of the threshold.';
COMMENT ON COLUMN @extschema@.chpg_threshold.value IS 'The threshold.';
GRANT SELECT ON @extschema@.chpg_threshold TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('@extschema@.chpg_threshold', '');

CREATE FUNCTION @extschema@._chpg_limit(rule_id text, parameter text)
RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(t.value, r.default_value)
	FROM @extschema@.chpg_rule r
	LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter
	WHERE r.rule_id = 'CHPG' || _chpg_limit.rule_id AND r.parameter = _chpg_limit.parameter;
END;

COMMENT ON FUNCTION @extschema@._chpg_limit(text, text) IS 'A threshold: that of chpg_threshold, or of chpg_rule. For the rules.';

CREATE FUNCTION @extschema@._chpg_limits()
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_object_agg(substr(r.rule_id, 5) || '.' || r.parameter, coalesce(t.value, r.default_value))
	FROM @extschema@.chpg_rule r
	LEFT JOIN @extschema@.chpg_threshold t ON t.rule_id = r.rule_id AND t.parameter = r.parameter;
END;

COMMENT ON FUNCTION @extschema@._chpg_limits() IS 'All thresholds, by rule and parameter, such as 501.error_time_share. For the functions that compare.';
