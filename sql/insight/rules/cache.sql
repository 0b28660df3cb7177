/* Rule CHPG301: the buffer cache is too small for what is read. */

INSERT INTO @extschema@.chpg_rule VALUES
	('CHPG301', 'cache_thrash', 'hit_ratio', 0.95, 'Share of blocks found in the buffer cache below which it is WARN.'),
	('CHPG301', 'cache_thrash', 'error_hit_ratio', 0.9,
		'Share of blocks found in the buffer cache below which it is ERROR.'),
	('CHPG301', 'cache_thrash', 'blks_per_h', 1000000, 'Blocks wanted per hour.');

SELECT @extschema@._chpg_declare_thresholds();

CREATE FUNCTION @extschema@._chpg_find_cache(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'CHPG301',
		CASE WHEN ratio < t.cache_thrash_error_hit_ratio THEN 'ERROR' ELSE 'WARN' END,
		'The buffer cache is too small for what is read', service_id,
		format('%s %% of blocks are found in the buffer cache, of %s per hour', round(ratio::numeric * 100, 1),
			round(blks / hours)),
		jsonb_build_object('hit_ratio', round(ratio::numeric, 4), 'blks_per_h', round(blks / hours),
			'readers', readers),
		'The data that is used does not fit into memory, or scans push it out. '
			'The operating system''s cache is not seen.',
		'Look at the patterns that read most first: a scan that needs not be is cheaper to mend than a bigger machine.',
		NULL::float8, 'medium', 'CHPG301:' || service_id, 'opportunity',
		NULL::timestamptz, NULL::float8, NULL::float8, NULL::text, NULL::text
	FROM (
		SELECT p.service_id, coalesce(max(h.hours), @extschema@._chpg_length_hours(scope)) AS hours,
			sum(total_shared_blks_hit)::float8
				/ nullif(sum(total_shared_blks_hit) + sum(total_shared_blks_read), 0)::float8 AS ratio,
			(sum(total_shared_blks_hit) + sum(total_shared_blks_read))::float8 AS blks,
			(array_agg(query_id::text ORDER BY total_shared_blks_read DESC NULLS LAST))[1:3] AS readers
		FROM unnest(pairs) u
		CROSS JOIN LATERAL (SELECT (u.b).*) p
		LEFT JOIN unnest(scope.period_hours) h ON h.service_id = p.service_id
		WHERE p.service_id IS NOT NULL
		GROUP BY 1
	) s
	WHERE ratio < t.cache_thrash_hit_ratio AND blks >= hours * t.cache_thrash_blks_per_h;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_cache(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of services whose buffer cache does not hold what they read.
Requests: none.';
