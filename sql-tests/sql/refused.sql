-- What cannot be right is refused, with a reason and without a request
CREATE EXTENSION chpg;
SET timezone = 'UTC';
\getenv url CHPG_EMULATOR_URL
\! emulator/ctl reset
SELECT server FROM chpg_connect('thirdKeyId', 'demoKeySecret', api_url => :'url');
\! emulator/ctl clear

-- Windows
SELECT * FROM chpg_slow_patterns('2026-05-02', '2026-05-01');
SELECT * FROM chpg_slow_patterns('2026-05-01 00:00:00.0001+00', '2026-05-01 00:00:00.0009+00');
SELECT * FROM chpg_slow_patterns('-infinity', '2026-05-01');
SELECT * FROM chpg_slow_patterns('2026-05-01', 'infinity');
SELECT * FROM chpg_slow_patterns('4713-01-01 BC', '2026-05-01');
SELECT * FROM chpg_slow_patterns('2026-05-01', '20260-05-01');
SELECT * FROM chpg_slow_patterns(NULL, now());
SELECT * FROM chpg_slow_patterns(NULL::interval);

-- Sorting and counting
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), sort_by => 'query_text');
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), sort_by => '');
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), sort_order => 'down');
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), max_rows => 0);
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), max_rows => -9223372036854775808);
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), app => repeat('x', 257));

-- Services
SELECT * FROM chpg_service('');
SELECT * FROM chpg_service(repeat('x', 51));
SELECT * FROM chpg_service(E'orders\n');
SELECT * FROM chpg_service(E'\x7f');
SELECT * FROM chpg_service(NULL);
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), service => '');

-- Patterns
SELECT * FROM chpg_slow_pattern('orders', NULL, 'sales', 'x', 'SELECT');
SELECT * FROM chpg_slow_pattern('orders', 1, NULL, 'x', 'SELECT');
SELECT * FROM chpg_slow_pattern_executions(NULL, 1, 'sales', 'x', 'SELECT');
SELECT * FROM chpg_slow_pattern_executions('orders', 1, 'sales', 'x', 'SELECT', executed_at => 'infinity');

-- Servers
SELECT * FROM chpg_services('nowhere');
SELECT * FROM chpg_slow_patterns(now() - interval '1 day', now(), server => 'nowhere');

\! emulator/ctl count
SET client_min_messages = warning;
DROP EXTENSION chpg CASCADE;
