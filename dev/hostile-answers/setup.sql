-- What dev/hostile reads through: a connection to the proxy, and tables.
\set ON_ERROR_STOP on
CREATE EXTENSION chpg;
SELECT chpg_connect('demoKeyId', 'demoKeySecret', 'one', :'organization', :'url');
ALTER SERVER one OPTIONS (ADD rate_limit 'unlimited');
CREATE SCHEMA cloud;
IMPORT FOREIGN SCHEMA chpg FROM SERVER one INTO cloud;
