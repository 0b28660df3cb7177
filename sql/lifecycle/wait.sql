/* Waiting for a service to reach a state. */

CREATE FUNCTION @extschema@.chpg_wait(
	service text,
	state text DEFAULT 'running',
	timeout interval DEFAULT '30 minutes',
	poll_interval interval DEFAULT '5 seconds',
	expected jsonb DEFAULT NULL,
	server text DEFAULT NULL)
RETURNS SETOF @extschema@.chpg_service_detail_row
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'chpg_wait';

COMMENT ON FUNCTION @extschema@.chpg_wait(text, text, interval, interval, jsonb, text) IS
'Waits until a service has this state, and the values of expected (an object of attributes of the row, such as {"size": "r8gd.large"}), in three polls in a row, and returns it. Waiting for the state deleted ends with no row once the API does not know the service; give its id, since a deleted name is not found. A NOTICE reports each change of state, and what is waited for. The last poll is at the timeout, and may take 2 seconds longer. 1 request for each poll, 1 more if service is a name. Errors: 57014 it took longer than timeout; what the API answers with 401, 403 or 404. Holds a snapshot all the time, which keeps VACUUM from its work: in scripts, CALL chpg_wait_until.';

CREATE PROCEDURE @extschema@.chpg_wait_until(
	service text,
	state text DEFAULT 'running',
	timeout interval DEFAULT '30 minutes',
	poll_interval interval DEFAULT '5 seconds',
	expected jsonb DEFAULT NULL,
	server text DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'chpg_wait_until';

COMMENT ON PROCEDURE @extschema@.chpg_wait_until(text, text, interval, interval, jsonb, text) IS
'Waits as chpg_wait does, but ends its transaction before each pause, so that it holds no snapshot. 1 request for each poll, 1 more if service is a name. Not inside a transaction block.';
