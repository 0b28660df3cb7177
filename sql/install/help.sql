/* What there is to call, by topic.  In psql, its rows are at most 120 columns wide. */

CREATE VIEW @extschema@.chpg_help (topic, what, example, requests) AS VALUES
	('start', 'Check an API key, and keep it for you', $$SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET')$$, '1'),
	('start', 'The key, and its request budget', 'SELECT * FROM chpg_whoami(), chpg_budget()', '1'),
	('start', 'What sessions of chpg do, and wait for', 'SELECT * FROM chpg_activity', 'none'),
	('fleet', 'Storage, load, memory of all services', 'SELECT * FROM chpg_fleet', '2'),
	('fleet', 'The same, as exact numbers', 'SELECT * FROM chpg_health', '1'),
	('fleet', 'The services, in any state', 'SELECT * FROM chpg_services', '1'),
	('queries', 'What takes most time now', 'SELECT * FROM chpg_top', '1 + services'),
	('queries', 'The slowest queries of a service', $$SELECT * FROM chpg_top('1 day', 'orders', 'p99')$$, '2'),
	('queries', 'The same, with whole texts and ids', $$SELECT * FROM chpg_slow_patterns('1 day', 'orders')$$, '2'),
	('queries', 'Single executions of the top patterns', $$SELECT e.*
FROM chpg_slow_patterns('1 hour', 'orders',
max_rows => 3) p,
LATERAL chpg_slow_pattern_executions(p.service_id,
p.query_id, p.db_name, p.db_user, p.db_operation) e$$, '2 + patterns'),
	('insight', 'What changed since yesterday', $$SELECT change, cause, baseline_avg_duration_us,
avg_duration_us, left(query_text, 40) AS query
FROM chpg_compare('1 hour', 'orders')$$, '4'),
	('insight', 'What is wrong, and what to do', $$SELECT level, title, left(symptom, 40) AS symptom,
left(action, 40) AS action
FROM chpg_findings('1 day', 'orders')$$, 'up to 6'),
	('metrics', 'Time series of a service, such as CPU', $$SELECT * FROM chpg_metrics('1 hour', 'orders')$$, '2'),
	('logs', 'What a service logged', $$SELECT * FROM chpg_logs('1 hour', 'orders')$$, '2'),
	('history', 'Begin to keep what the API forgets', $$SELECT chpg_history_enable('fleet_history')$$, 'none'),
	('history', 'Capture what is due: run it each hour', 'CALL chpg_capture()', '1 + windows'),
	('history', 'Then judge, and keep a log of findings', 'CALL chpg_watch()', 'none'),
	('history', 'What took most, in any captured period', $$SELECT * FROM chpg_history_top('[yesterday, now]')$$, 'none'),
	('alerts', 'Post incidents to a webhook', $$SELECT chpg_create_webhook('ops', 'json',
'https://hooks.example.com/chpg', 'SECRET')$$, 'none'),
	('alerts', 'The webhooks, and what waits for them', 'SELECT * FROM chpg_webhooks', 'none'),
	('alerts', 'Send what is due: run it each minute', 'CALL chpg_deliver()', 'none'),
	('alerts', 'Whether chpg itself does its work', 'SELECT * FROM chpg_self', 'none'),
	('report', 'All of it as HTML: psql -At -o r.html', 'SELECT chpg_report()', 'none'),
	('service', 'The settings of a service', $$SELECT * FROM chpg_config('orders')$$, '2'),
	('service', 'Its backups', $$SELECT * FROM chpg_backups('orders')$$, '2'),
	('service', 'Who may connect to it', $$SELECT * FROM chpg_ip_access_list('orders')$$, '2'),
	('service', 'See what a change would send', $$SET chpg.dry_run = on;
SELECT * FROM chpg_set_tags('orders', '{"a": "b"}');
RESET chpg.dry_run$$, '2'),
	('tables', 'Foreign tables, for clients', $$CREATE SCHEMA cloud;
IMPORT FOREIGN SCHEMA chpg
FROM SERVER chpg INTO cloud$$, 'none'),
	('tables', 'Views for BI tools', $$SELECT * FROM chpg_bi_create('bi')$$, 'none');

COMMENT ON VIEW @extschema@.chpg_help IS
'What there is to call, by topic, with statements to copy. \df+ chpg_* says more.
In psql, \pset format wrapped breaks the lines of \df chpg_* at the width of the terminal.
Requests: none.';
COMMENT ON COLUMN @extschema@.chpg_help.topic IS 'What it is about.';
COMMENT ON COLUMN @extschema@.chpg_help.what IS 'What the statement does.';
COMMENT ON COLUMN @extschema@.chpg_help.example IS 'A statement to copy: "orders" stands for the name of your service.';
COMMENT ON COLUMN @extschema@.chpg_help.requests IS
'Requests that it takes of the budget of the key.
services, patterns: 1 for each one; windows: those of chpg_history_cost().';
GRANT SELECT ON @extschema@.chpg_help TO PUBLIC;
