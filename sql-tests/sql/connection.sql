-- Servers, user mappings, and the connection they make
CREATE ROLE regress_chpg SUPERUSER;
SET ROLE regress_chpg;
CREATE EXTENSION chpg;
\getenv url CHPG_EMULATOR_URL
\! emulator/ctl reset
SET chpg.cache_ttl = 0;

-- Every option is checked
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (hostname 'x');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (key_secret 'x');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url '');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'api.clickhouse.cloud');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'http://api.clickhouse.cloud');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'http://127.0.0.1.example.com');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'https://key:secret@api.clickhouse.cloud');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'https://api.clickhouse.cloud/?x=1');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'https://api.clickhouse.cloud:99999');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'file:///etc/passwd');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (organization_id '../organizations');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (rate_limit '10');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (rate_limit '0/10s');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (rate_limit '1001/10s');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (ca_file 'ca.pem');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (proxy 'socks5://localhost');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (proxy 'http://user:password@localhost:3128');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'http://localhost', proxy 'http://localhost:3128');
CREATE FOREIGN DATA WRAPPER other VALIDATOR chpg_validator OPTIONS (api_url 'https://x');
CREATE SERVER s FOREIGN DATA WRAPPER chpg OPTIONS (
	api_url 'https://api.clickhouse.cloud/v1/', ca_file '/etc/ssl/certs/ca-certificates.crt',
	organization_id '0b0f42a1-5f6c-4f2b-9d1c-3c1a1f4d0a11', proxy 'http://proxy.example.com:3128', rate_limit '10/10s');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (password 'x');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (key_id 'a:b');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (key_secret E'not\nshown');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (key_id 'only');
SELECT * FROM chpg_services;
DROP USER MAPPING FOR CURRENT_USER SERVER s;
DROP SERVER s;

-- Connecting by hand: the base with or without /v1 and slashes
CREATE SERVER by_hand FOREIGN DATA WRAPPER chpg OPTIONS (api_url :'url');
CREATE USER MAPPING FOR CURRENT_USER SERVER by_hand OPTIONS (key_id 'demoKeyId', key_secret 'demoKeySecret');
SELECT name FROM chpg_services ORDER BY name;
SELECT :'url' || '/' AS slash, :'url' || '/v1' AS v1, :'url' || '/v1/' AS v1_slash \gset
ALTER SERVER by_hand OPTIONS (SET api_url :'slash');
SELECT count(*) FROM chpg_services;
ALTER SERVER by_hand OPTIONS (SET api_url :'v1');
SELECT count(*) FROM chpg_services;
ALTER SERVER by_hand OPTIONS (SET api_url :'v1_slash');
SELECT count(*) FROM chpg_services;
ALTER USER MAPPING FOR CURRENT_USER SERVER by_hand OPTIONS (SET key_secret 'wrong');
\set VERBOSITY terse
SELECT count(*) FROM chpg_services('by_hand');
\set VERBOSITY default
DROP USER MAPPING FOR CURRENT_USER SERVER by_hand;
DROP SERVER by_hand;

-- No server, one, several
SELECT * FROM chpg_services;
SELECT server, organization_name FROM chpg_connect('demoKeyId', 'demoKeySecret', api_url => :'url');
SELECT count(*) FROM chpg_services;
SELECT server FROM chpg_connect('demoKeyId', 'demoKeySecret', 'second', api_url => :'url' || '/v1/');
SELECT count(*) FROM chpg_services;
SELECT count(*) FROM chpg_services('second');
SET chpg.server = 'second';
SELECT count(*) FROM chpg_services;
SET chpg.server = 'nowhere';
SELECT count(*) FROM chpg_services;
RESET chpg.server;
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER foreign_one FOREIGN DATA WRAPPER other;
SELECT count(*) FROM chpg_services('foreign_one');

-- A server belongs to one organization
ALTER SERVER second OPTIONS (SET organization_id '00000000-0000-4000-8000-000000000000');
SELECT * FROM chpg_connect('demoKeyId', 'demoKeySecret', 'second', organization_id => 'not a uuid');
\set SHOW_CONTEXT never
SELECT * FROM chpg_connect('demoKeyId', 'demoKeySecret', 'second', organization_id => '00000000-0000-4000-8000-000000000000');
\set SHOW_CONTEXT errors

-- No key in clear through a proxy
CREATE SERVER proxied FOREIGN DATA WRAPPER chpg OPTIONS (proxy 'http://127.0.0.1:9');
SELECT * FROM chpg_connect('demoKeyId', 'demoKeySecret', 'proxied', api_url => :'url');
DROP SERVER proxied;

-- Arguments
SELECT * FROM chpg_connect(NULL, 'x');
SELECT * FROM chpg_connect('x', NULL);
SELECT * FROM chpg_connect('x', 'y', NULL);
SELECT * FROM chpg_connect('x', 'y', '');
SELECT * FROM chpg_connect('x', 'y', api_url => 'ftp://x');
BEGIN READ ONLY;
SELECT * FROM chpg_connect('x', 'y');
ROLLBACK;

-- Disconnecting takes the key away
SELECT chpg_disconnect('chpg');
SELECT count(*) FROM chpg_services('chpg');
SELECT chpg_disconnect('chpg');

SET client_min_messages = warning;
DROP EXTENSION chpg CASCADE;
DROP FOREIGN DATA WRAPPER other CASCADE;
RESET ROLE;
DROP ROLE regress_chpg;
