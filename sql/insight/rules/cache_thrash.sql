/*
 * rule: CHPG301 cache_thrash
 * title: The buffer cache is too small for what is read
 * kind: opportunity
 * scope: service
 * needs: blocks
 * threshold: hit_ratio = 0.95 ratio; Share of blocks found in the buffer cache below which it is too small ...
 * threshold: blks_per_h = 1000000 blocks/h; ... where at least this number of blocks is wanted per hour.
 * threshold: read_us = 100 us; Time that a block which is not in the buffer cache takes to be read.
 *
 * What batch jobs and backups read is left out: it fits into no cache.
 */
CREATE FUNCTION @extschema@._chpg_find_cache_thrash(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'CHPG301', 'INFO', 'The buffer cache is too small for what is read', service_id,
		format('%s %% of blocks are found in the buffer cache, of %s per hour', round(ratio::numeric * 100, 1),
			@extschema@._chpg_bytes_text(blks / hours * 8192)),
		jsonb_build_object('hit_ratio', round(ratio::numeric, 4), 'blks_per_h', round(blks / hours),
			'readers', readers, 'saving', format('reads of %s a block, but no more than the time that is not on CPU',
				@extschema@._chpg_duration_text(:read_us))),
		'The data that is used does not fit into memory, or scans push it out. '
			'The operating system''s cache is not seen.',
		'Look at the patterns that read most first: a scan that needs not be is cheaper to mend than a bigger machine.',
		read_us, 'medium', 'CHPG301:' || service_id, 'opportunity',
		NULL::timestamptz, NULL::float8, ratio * 100, 'percent', NULL::text
	FROM (
		SELECT p.service_id, coalesce(max(h.hours), @extschema@._chpg_length_hours(scope)) AS hours,
			sum(p.total_shared_blks_hit)::float8
				/ nullif(sum(p.total_shared_blks_hit) + sum(p.total_shared_blks_read), 0)::float8 AS ratio,
			(sum(p.total_shared_blks_hit) + sum(p.total_shared_blks_read))::float8 AS blks,
			sum(w.read_us ORDER BY w.read_us) AS read_us,
			(array_agg(p.query_id::text
				ORDER BY p.total_shared_blks_read DESC NULLS LAST, p.query_id))[1 : 3] AS readers
		FROM @extschema@._chpg_judged_patterns(t, scope, pairs) j
		CROSS JOIN LATERAL (SELECT (j.pattern).*) p
		CROSS JOIN LATERAL (SELECT least(p.total_shared_blks_read * :read_us,
			greatest(p.total_duration_us - coalesce(p.total_cpu_time_us, 0), 0)) AS read_us) w
		LEFT JOIN unnest(scope.period_hours) h ON h.service_id = p.service_id
		WHERE NOT j.is_batch
		GROUP BY 1
	) s
	WHERE ratio < :hit_ratio AND blks >= hours * :blks_per_h;
END;

COMMENT ON FUNCTION @extschema@._chpg_find_cache_thrash(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'Findings of services whose buffer cache does not hold what they read.
Requests: none.';
