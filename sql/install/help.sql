/* What there is to call, by topic. */

CREATE VIEW @extschema@.chpg_help (topic, what, example, requests) AS VALUES
	('connect', 'Check an API key and keep it for your role',
		$$SELECT * FROM chpg_connect('KEY_ID', 'KEY_SECRET')$$, '1'),
	('connect', 'What the key is, and what is left of its request budget',
		'SELECT * FROM chpg_whoami(), chpg_budget()', '1'),
	('fleet', 'The services, in any state', 'SELECT * FROM chpg_services', '1'),
	('fleet', 'The load, storage, memory and open incidents of each service', 'SELECT * FROM chpg_fleet', '2'),
	('fleet', 'The same, as exact numbers', 'SELECT * FROM chpg_health', '1'),
	('queries', 'What takes most now', 'SELECT * FROM chpg_top', '1, and 1 per service'),
	('queries', 'The slowest queries of a service',
		$$SELECT * FROM chpg_top('1 day', 'orders', order_by => 'p99')$$, '2'),
	('queries', 'Slow query patterns, all columns',
		$$SELECT * FROM chpg_slow_patterns('1 hour', 'orders')$$, '2'),
	('queries', 'Recent executions of the patterns that take most',
		$$SELECT e.* FROM chpg_slow_patterns('1 hour', 'orders', max_rows => 3) p,
LATERAL chpg_slow_pattern_executions(p.service_id, p.query_id, p.db_name, p.db_user, p.db_operation) e$$,
		'2, and 1 per pattern'),
	('metrics', 'Time series of a service, such as CPU',
		$$SELECT * FROM chpg_metrics('1 hour', 'orders')$$, '2'),
	('logs', 'What a service logged', $$SELECT * FROM chpg_logs('1 hour', 'orders')$$, '2'),
	('insight', 'What is wrong, since when, and what to do',
		$$SELECT * FROM chpg_findings('1 day', 'orders')$$, '6 at most'),
	('insight', 'What changed since yesterday',
		$$SELECT * FROM chpg_compare('1 hour', 'orders')$$, '4'),
	('history', 'Begin to keep what the API forgets', $$SELECT chpg_history_enable('fleet_history')$$, 'none'),
	('history', 'Capture what is due: run it each hour', 'CALL chpg_capture(max_windows => 1)',
		'1, and chpg_history_cost()'),
	('history', 'Judge what was captured, and keep a log of findings: after each capture', 'CALL chpg_watch()', 'none'),
	('history', 'What took most, of any period that was captured',
		$$SELECT * FROM chpg_history_top(tstzrange(now() - interval '3 hours', now()))$$, 'none'),
	('alerts', 'Post incidents to a webhook: json, slack or pagerduty',
		$$SELECT chpg_create_webhook('ops', 'json', 'https://hooks.example.com/chpg', 'SECRET')$$, 'none'),
	('alerts', 'Send the alerts that are due: run it each minute', 'CALL chpg_deliver()', 'none'),
	('alerts', 'Whether chpg itself captures, watches and delivers', 'SELECT * FROM chpg_self', 'none'),
	('report', 'All of it as one page of HTML: psql -Atc "SELECT chpg_report()" -o report.html',
		'SELECT chpg_report()', 'none'),
	('configuration', 'The parameters of a service', $$SELECT * FROM chpg_config('orders')$$, '2'),
	('backups', 'Backups of a service', $$SELECT * FROM chpg_backups('orders')$$, '2'),
	('network', 'Who may connect to a service', $$SELECT * FROM chpg_ip_access_list('orders')$$, '2'),
	('change', 'See what a change would send, and send nothing',
		$$SET chpg.dry_run = on; SELECT * FROM chpg_set_tags('orders', '{"team": "sales"}'); RESET chpg.dry_run$$, '2'),
	('tables', 'Foreign tables, for clients that list tables',
		$$CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud$$, 'none'),
	('tables', 'Views for BI tools, of the fleet and its history',
		$$SELECT * FROM chpg_bi_create('bi', logs => '{orders}')$$, '1');

COMMENT ON VIEW @extschema@.chpg_help IS
'What there is to call, by topic, with statements to copy. \df+ and \dx+ chpg say more.
Requests: none.';
COMMENT ON COLUMN @extschema@.chpg_help.topic IS 'What it is about.';
COMMENT ON COLUMN @extschema@.chpg_help.what IS 'What the statement does.';
COMMENT ON COLUMN @extschema@.chpg_help.example IS 'A statement to copy: "orders" stands for the name of your service.';
COMMENT ON COLUMN @extschema@.chpg_help.requests IS 'Requests that it takes of the budget of the key.';
GRANT SELECT ON @extschema@.chpg_help TO PUBLIC;
