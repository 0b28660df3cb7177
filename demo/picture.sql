SELECT service_name, status, round(storage_used_percent) AS storage, round(memory_used_percent) AS memory,
       active_connections AS active, idle_connections AS idle, cache_hit_ratio
FROM chpg_health ORDER BY 3 DESC LIMIT 6;

SELECT f.level, f.service_name AS service, f.title || ': ' || f.symptom AS finding
FROM chpg_findings(tstzrange(now() - interval '6 hours', now())) f
WHERE f.service_id IS NOT NULL;
