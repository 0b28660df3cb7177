/*
 * rule: CHPG801 data_quality
 * title: The history is not complete
 * kind: hygiene
 * scope: history
 * threshold: coverage_ratio = 1 ratio; Captured hours of all hours of the period, below which it is reported.
 *
 * Expected are the hours since the service was first captured, while it existed, without
 * the last complete one, which may not have been captured yet.
 */
CREATE FUNCTION @extschema@._chpg_find_data_quality(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
	backfill interval;
	settle interval;
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	backfill := @extschema@._chpg_history_check_setting('backfill',
		(SELECT s.value FROM setting s WHERE s.name = 'backfill'));
	settle := @extschema@._chpg_history_check_setting('settle',
		(SELECT s.value FROM setting s WHERE s.name = 'settle'));
	RETURN QUERY
	WITH lived AS (
		SELECT s.service_id, max(s.valid_to) AS until, least(min(s.noted_at) - backfill,
			(SELECT min(c.window_start) FROM capture c WHERE c.service_id = s.service_id AND c.grain = 'hour')) AS since
		FROM service s
		WHERE s.service_id = ANY (scope.service_ids)
		GROUP BY s.service_id
	), seen AS (
		SELECT l.service_id, e.expected, count(c.window_start) AS captured, count(*) FILTER (WHERE c.truncated)
			AS truncated
		FROM lived l
		CROSS JOIN LATERAL (
			SELECT count(*) AS expected
			FROM generate_series(
				date_bin('1 hour', greatest(lower(scope.period), l.since) + interval '1 hour'
					- interval '1 microsecond', '2000-01-01 00:00Z'),
				least(upper(scope.period), l.until, now() - settle - interval '1 hour') - interval '1 hour', '1 hour')
		) e
		LEFT JOIN capture c ON c.service_id = l.service_id AND c.grain = 'hour' AND c.status = 'ok'
			AND c.window_start >= lower(scope.period) AND c.window_end <= upper(scope.period)
		GROUP BY l.service_id, e.expected
	)
	SELECT 'CHPG801', 'INFO', 'The history is not complete', service_id,
		format('%s of %s hours were captured, %s of them truncated', captured, greatest(expected, captured), truncated),
		jsonb_build_object('captured', captured, 'expected', expected, 'truncated', truncated),
		'Captures failed, began later, or the API had the hours no longer. Sums are too low.',
		'See the view coverage of the history.',
		NULL::float8, 'high', 'CHPG801:' || service_id, 'hygiene',
		NULL::timestamptz, NULL::float8, captured * 100.0::float8 / nullif(greatest(expected, captured), 0), 'percent',
		NULL::text
	FROM seen
	WHERE captured < expected * :coverage_ratio OR truncated > 0
	UNION ALL
	SELECT k.*
	FROM seen, @extschema@._chpg_skipped(NULL::text[],
		'The history has no hour of the period; the API is asked for a service that is named.', seen.service_id) k
	WHERE captured = 0 AND expected > 0;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_data_quality(@extschema@._chpg_thresholds, @extschema@._chpg_scope) IS
'Findings of hours that the history lacks, or has in part; SKIPPED for services without any hour.
Requests: none.
Errors: 55000 there is no history.';
