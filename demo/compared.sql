-- What changed since the same hours of yesterday, and why.
SELECT s.name AS service, left(c.query_text, 28) AS query, c.change, c.cause,
       round((c.baseline_avg_duration_us / 1000)::numeric, 1) AS before_ms,
       round((c.avg_duration_us / 1000)::numeric, 1) AS now_ms,
       round(c.excess_us / 1e6) AS lost_s, c.hours_worse
FROM chpg_compare(tstzrange(now() - interval '30 hours', now() - interval '24 hours'),
                  tstzrange(now() - interval '6 hours', now())) c
JOIN chpg_services s ON s.id = c.service_id
WHERE c.change <> 'steady';

-- When did it begin? The history knows each hour.
SELECT h."time", h.call_count AS calls, round((h.avg_duration_us / 1000)::numeric, 1) AS avg_ms,
       repeat('#', round(h.avg_duration_us / 500)::int) AS avg
FROM fleet_history.pattern_hour h
WHERE h.service_name = 'orders' AND h.query_text LIKE 'SELECT * FROM orders WHERE customer_id%'
  AND h."time" > now() - interval '13 hours'
ORDER BY 1;

