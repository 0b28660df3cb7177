/* Rule CHPG301: the buffer cache is too small for what is read. */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG301', 'cache_thrash', 'hit_ratio', 0.95, 'Share of blocks found in the buffer cache below which it is WARN.'),
	('CHPG301', 'cache_thrash', 'error_hit_ratio', 0.9,
		'Share of blocks found in the buffer cache below which it is ERROR.'),
	('CHPG301', 'cache_thrash', 'blks_per_h', 1000000, 'Blocks wanted per hour.');

CREATE FUNCTION @extschema@._chpg_find_cache(patterns @extschema@.chpg_period_pattern_row[], period tstzrange,
	service text, server text)
RETURNS SETOF @extschema@.chpg_finding_row
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'CHPG301',
		CASE WHEN ratio < @extschema@._chpg_threshold('301', 'error_hit_ratio') THEN 'ERROR' ELSE 'WARN' END,
		'The buffer cache is too small for what is read', service_id,
		format('%s %% of blocks are found in the buffer cache, of %s per hour', round(ratio::numeric * 100, 1),
			round(blks / hours)),
		jsonb_build_object('hit_ratio', round(ratio::numeric, 4), 'blks_per_h', round(blks / hours),
			'readers', readers),
		'The data that is used does not fit into memory, or scans push it out. '
			'The operating system''s cache is not seen.',
		'Look at the patterns that read most first: a scan that needs not be is cheaper to mend than a bigger machine.',
		NULL::float8, 'medium', NULL::text[], 'CHPG301:' || service_id, false
	FROM (
		SELECT service_id, coalesce(max(h.hours), extract(epoch FROM upper(period) - lower(period))::float8 / 3600)
			AS hours,
			sum(total_shared_blks_hit)::float8
				/ nullif(sum(total_shared_blks_hit) + sum(total_shared_blks_read), 0)::float8 AS ratio,
			(sum(total_shared_blks_hit) + sum(total_shared_blks_read))::float8 AS blks,
			(array_agg(query_id::text ORDER BY total_shared_blks_read DESC NULLS LAST))[1:3] AS readers
		FROM unnest(patterns) p
		LEFT JOIN @extschema@._chpg_period_hours(period, service, server) h USING (service_id)
		GROUP BY 1
	) s
	WHERE ratio < @extschema@._chpg_threshold('301', 'hit_ratio')
		AND blks >= hours * @extschema@._chpg_threshold('301', 'blks_per_h');
END;

COMMENT ON FUNCTION @extschema@._chpg_find_cache(@extschema@.chpg_period_pattern_row[], tstzrange, text, text) IS
'Findings of services whose buffer cache does not hold what they read.
Requests: none.';
