-- The API forgets. A history keeps the patterns of past hours in tables of your own.
\o /dev/null
SELECT chpg_history_enable('fleet_history');
\o
UPDATE fleet_history.setting SET value = '30 hours' WHERE name = 'backfill';
UPDATE fleet_history.setting SET value = 'off' WHERE name = 'metric_bucket';
CALL chpg_capture('hour');
SELECT count(*) AS windows, sum(patterns) AS patterns, min(window_start)::timestamptz(0) AS since
FROM fleet_history.capture
WHERE status = 'ok';

