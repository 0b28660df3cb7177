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
'Wait until a service has a state, and attributes, in three polls in a row, and return it.
expected: attributes as an object, {"size": "r8gd.large"}. A private_endpoint in it is an object
  of attributes of chpg_private_endpoint: {"private_endpoint": {"state": "available"}}. Its
  state "deleted" means that there is none.
state deleted: ends without a row; give the id.
  A WARNING says if state looks like a wrong spelling of one that the API documents.
A NOTICE reports each change of state. The last poll is at the timeout.
The API queues commands. After a restart, promotion, switchover, deletion or change of size or
  ha_type, the state counts only once another state, or the effect, was seen. When
  chpg.command_lag (120 s) has passed since the command, it counts nevertheless, with a WARNING:
  the command may have ended between two polls, or may not have begun.
Holds a snapshot, which holds back VACUUM: in scripts, CALL chpg_wait_until.
Requests: 1 for each poll, 2 with a private_endpoint; 1 more for a name.
Errors: 57014 timeout; 28000, 42501, 42704 as the API answers.';

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
'Wait as chpg_wait does, without a snapshot: each pause follows a commit.
Requests: 1 for each poll, 2 with a private_endpoint; 1 more for a name.
Errors: those of chpg_wait; 25001 inside a transaction block.';
