/*
 * rule: CHPG202 wal_hog
 * title: Writes most of the WAL
 * kind: opportunity
 * scope: pattern
 * place: 50
 * needs: executions, durations, WAL
 * threshold: wal_ratio = 0.3 ratio; Share of the service's WAL.
 * threshold: wal_bytes_per_h = 104857600 bytes/h; WAL per hour.
 */
SELECT
	format('%s %% of the WAL, %s per hour', round(wal_ratio::numeric * 100),
		@extschema@._chpg_bytes_text(wal_bytes / hours)) AS symptom,
	'WAL delays replicas and fills storage. '
		'Full-page images, unused indexes or updates that are not HOT may be the cause.' AS explanation,
	'Write in batches; drop indexes that nobody uses; a lower fillfactor lets updates be HOT.' AS action,
	'high' AS confidence,
	wal_bytes / hours AS now,
	'bytes/h' AS unit
WHERE wal_ratio >= :wal_ratio
	AND wal_bytes >= hours * :wal_bytes_per_h;
