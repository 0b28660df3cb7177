SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_organizations() r
SELECT md5(string_agg((to_jsonb(r) - 'raw')::text, '' ORDER BY r::text)) FROM chpg_whoami() r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_quotas() r
SELECT count(r::text) FROM chpg_notifications() r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_notification_types() r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_services() r
SELECT count(*), max(name), min(created_at), count(tags->>'Environment') FROM chpg_services
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_service('orders') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_service(:'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_ip_access_list(:'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_private_endpoint(:'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_slow_patterns(:'start', :'stop') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_slow_patterns(:'start', :'stop', :'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_slow_patterns(:'start', :'stop', :'service', sort_by => 'call_count', max_rows => 7) r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_slow_pattern(:'service', :query_id, :'db_name', :'db_user', :'db_operation') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_slow_pattern_executions(:'service', :query_id, :'db_name', :'db_user', :'db_operation') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_prometheus() r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_prometheus(:'service') r
SELECT md5(chpg_prometheus_text(:'service'))
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_health r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_metrics(:'start', :'stop', :'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_metrics(:'start', :'stop', bucket => '1 hour') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_logs(:'start', :'stop', :'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_logs(:'start', :'stop', max_rows => 3) r
SELECT md5(chpg_config(:'service')::text)
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_backups(:'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.backups r
SELECT md5(chpg_ca_certificates(:'service'))
SELECT md5(chpg_connection_info(:'service')::text)
SELECT count(r::text) FROM chpg_request('GET', '/v1/organizations') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_period_patterns(tstzrange(:'start', :'stop'), :'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM chpg_compare(tstzrange(:'start', :'middle'), tstzrange(:'middle', :'stop'), :'service') r
SELECT count(*) FROM chpg_findings(tstzrange(:'start', :'stop'), :'service') r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.organizations r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.services r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.service_details r
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.service_details r WHERE id = :'service'
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.slow_patterns r WHERE from_date = :'start' AND to_date = :'stop'
SELECT md5(string_agg(p::text, '' ORDER BY p::text)) FROM (SELECT * FROM cloud.slow_patterns WHERE from_date = :'start' AND to_date = :'stop' AND service_id = :'service' ORDER BY total_duration_us DESC LIMIT 5) p
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.slow_pattern_executions r WHERE service_id = :'service' AND query_id = :query_id AND db_name = :'db_name' AND db_user = :'db_user' AND db_operation = :'db_operation'
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.services s JOIN cloud.config r ON r.service_id = s.id WHERE s.state = 'running'
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.metrics r WHERE "timestamp" >= :'start' AND "timestamp" < :'stop' AND service_id = :'service'
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.logs r WHERE "timestamp" >= :'start' AND "timestamp" < :'stop' AND service_id = :'service'
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.config r WHERE service_id = :'service'
SELECT md5(string_agg(r::text, '' ORDER BY r::text)) FROM cloud.prometheus r
