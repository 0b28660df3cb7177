/*
 * Rules CHPG501 and CHPG504: patterns that got slower, or are new.
 *
 * CHPG500 has the thresholds of chpg_compare, which judges.
 */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG500', 'change', 'calls_of_hour', 20, 'Executions in an hour from which it is compared with others.'),
	('CHPG500', 'change', 'hours', 3, 'So many hours have to be worse, or better ...'),
	('CHPG500', 'change', 'hours_ratio', 0.75, '... and such a share of those of the period.'),
	('CHPG500', 'change', 'p95_factor', 1.5, 'How many times the baseline''s 95th percentile ...'),
	('CHPG500', 'change', 'p95_gain_us', 5000, '... and how much above it, in microseconds ...'),
	('CHPG500', 'change', 'p95_calls', 200, '... with so many executions in both windows.'),
	('CHPG500', 'change', 'avg_factor', 1.3, 'How many times the baseline''s mean ...'),
	('CHPG500', 'change', 'avg_calls', 50, '... with so many executions in both windows.'),
	('CHPG500', 'change', 'excess_us', 5000000, 'Time lost, in microseconds ...'),
	('CHPG500', 'change', 'excess_ratio', 0.01, '... and its share of the service''s time.'),
	('CHPG500', 'change', 'baseline_hours', 10, 'Hours of the baseline below which blind_factor counts.'),
	('CHPG500', 'change', 'blind_factor', 2,
		'How many times slower, or faster, than the baseline''s mean, or 95th percentile, '
		'with a few hours of the baseline, or without a history.'),
	('CHPG500', 'change', 'blind_calls', 1000, 'Executions in both windows, without a history.'),
	('CHPG500', 'change', 'improved_factor', 0.7, 'The mean has improved up to so many times the baseline''s.'),
	('CHPG500', 'change', 'surge_factor', 3, 'How many times the baseline''s executions per hour ...'),
	('CHPG500', 'change', 'surge_calls', 1000, '... with so many of them ...'),
	('CHPG500', 'change', 'surge_ratio', 0.02, '... and a share of time that grew so much.'),
	('CHPG501', 'p95_regression', 'error_time_ratio', 0.05, 'Time lost, of all time, from which it is ERROR.'),
	('CHPG504', 'new_heavy', 'time_ratio', 0.01, 'Share of time from which a pattern is new, or gone ...'),
	('CHPG504', 'new_heavy', 'busy_s_per_h', 10, '... and seconds per hour.');

SELECT @extschema@._chpg_declare_thresholds();

CREATE FUNCTION @extschema@._chpg_find_changes(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT CASE WHEN c.change = 'regressed' THEN 'CHPG501' ELSE 'CHPG504' END,
		CASE WHEN c.change = 'regressed' AND c.excess_us * c.avg_duration_us * c.calls_per_s > 0
				AND c.excess_us / nullif(c.calls_per_s * 3600 * hours * c.avg_duration_us / nullif(c.time_ratio, 0), 0)
					>= t.p95_regression_error_time_ratio
			THEN 'ERROR' ELSE 'WARN' END,
		CASE WHEN c.change = 'regressed' THEN 'Slower than before' ELSE 'New, and heavy' END, c.service_id,
		CASE WHEN c.change = 'regressed'
			THEN format('%s ms for each execution, after %s ms; 95th percentile up to %s ms, after %s ms; %s s lost',
				round(c.avg_duration_us::numeric / 1000, 1), round(c.baseline_avg_duration_us::numeric / 1000, 1),
				round(c.p95_hi_us::numeric / 1000, 1), round(c.baseline_p95_hi_us::numeric / 1000, 1),
				round(c.excess_us / 1e6))
			ELSE format('%s executions per hour, %s %% of the time',
				round(c.calls_per_s * 3600), round(c.time_ratio::numeric * 100, 1)) END,
		jsonb_build_object('query_id', c.query_id::text, 'query_hex', c.query_hex, 'query_text', c.query_text,
			'db_name', c.db_name, 'db_user', c.db_user, 'db_operation', c.db_operation, 'app', c.app,
			'change', c.change,
			'baseline_avg_duration_us', round(c.baseline_avg_duration_us::numeric, 1),
			'avg_duration_us', round(c.avg_duration_us::numeric, 1),
			'baseline_p95_lo_us', round(c.baseline_p95_lo_us::numeric, 1),
			'baseline_p95_hi_us', round(c.baseline_p95_hi_us::numeric, 1),
			'p95_lo_us', round(c.p95_lo_us::numeric, 1), 'p95_hi_us', round(c.p95_hi_us::numeric, 1),
			'hours_worse', c.hours_worse, 'cause', c.cause, 'excess_us', round(c.excess_us)),
		CASE WHEN c.change = 'new?' THEN 'The baseline was truncated, or lacks hours: it may have been there, unseen.'
			WHEN c.change = 'new' THEN 'A deployment, or a job that does not run every day.'
			ELSE CASE c.cause WHEN 'more rows' THEN 'It returns more rows: the data grew, or a filter is gone.'
				WHEN 'more blocks' THEN 'It reads more blocks for the same rows: another plan, more data, or bloat.'
				WHEN 'colder cache' THEN 'More of its blocks come from storage: something else uses the cache.'
				WHEN 'waiting' THEN 'It waits longer: locks, storage, or the client.'
				WHEN 'computing' THEN 'It computes longer on the same blocks.'
				ELSE 'No single counter explains it.' END END,
		CASE WHEN c.change = 'regressed'
			THEN 'Compare EXPLAIN (ANALYZE, BUFFERS) with what it was; look for a deployment at that time.'
			ELSE 'Find out who runs it, by application and user, and whether that is meant to be.' END,
		CASE WHEN c.change = 'regressed' THEN c.excess_us ELSE c.calls_per_s * 3600 * hours * c.avg_duration_us END,
		c.confidence, CASE WHEN c.change = 'regressed' THEN 'CHPG501' ELSE 'CHPG504' END
			|| ':' || to_jsonb(ARRAY[c.service_id, c.query_id::text, c.db_name, c.db_user,
				c.db_operation, c.app])::text, 'incident',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM @extschema@._chpg_changes(t, scope, pairs, '{regressed,new,new?}'::text[]) c
	JOIN unnest(scope.period_hours) h ON h.service_id = c.service_id;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_changes(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of patterns that got slower, or are new.
Requests: none.';
