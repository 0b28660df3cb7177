/*
 * Usage: the request budget, and counts of requests, of all backends.
 */

CREATE TYPE @extschema@.chpg_budget_row AS (
	server text,
	key_id text,
	rate_limit text,
	rate_limit_source text,
	used integer,
	free integer,
	remaining integer,
	blocked_until timestamptz,
	waiting integer,
	shared boolean
);

COMMENT ON TYPE @extschema@.chpg_budget_row IS 'The request budget of an API key.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.server IS
'Server that used the key last; null after a restart, until the key is used.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.key_id IS
'Id of the API key; its first four characters until the API accepts the key. Null after a restart, until the key '
'is used, except for roles that see only their own keys.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.rate_limit IS
'The strictest rate limit in force for the key, as requests/seconds, or unlimited. Null while no server has used it.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.rate_limit_source IS
'Where that limit is from: documented (the API''s documentation), headers (X-RateLimit-Limit and -Policy of the API''s '
'responses), or option (rate_limit of a server).';
COMMENT ON COLUMN @extschema@.chpg_budget_row.used IS
'Requests that count against the limit now, those under way included.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.free IS 'Requests that could be sent now; null without a limit.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.remaining IS
'X-RateLimit-Remaining of the API''s latest response; null if it had none.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.blocked_until IS
'When the API takes requests again, after it refused one (429); null if it did not.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.waiting IS
'Backends that wait for a place in the budget; not captures that leave others the setting reserve.';
COMMENT ON COLUMN @extschema@.chpg_budget_row.shared IS
'Whether all backends share the budget; else it is that of this backend.';

CREATE FUNCTION @extschema@.chpg_budget()
RETURNS SETOF @extschema@.chpg_budget_row
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'chpg_budget';

COMMENT ON FUNCTION @extschema@.chpg_budget() IS
'The request budget of each API key in use.
All keys for superusers and members of pg_monitor; for others those of their own user mappings.
Requests: none.';

CREATE FUNCTION @extschema@._chpg_own_budget(server text)
RETURNS SETOF @extschema@.chpg_budget_row
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'chpg_own_budget';

COMMENT ON FUNCTION @extschema@._chpg_own_budget(text) IS
'The request budget of the key that the caller uses for a server.
No row before the key''s first request.
Requests: none.
Errors: those of a missing server or key.';

CREATE VIEW @extschema@.chpg_budget AS
	SELECT * FROM @extschema@.chpg_budget();

COMMENT ON VIEW @extschema@.chpg_budget IS
'The request budget of each API key in use: chpg_budget().
Requests: none.';

GRANT SELECT ON @extschema@.chpg_budget TO PUBLIC;

CREATE TYPE @extschema@.chpg_stats_row AS (
	key_id text,
	operation text,
	requests bigint,
	succeeded bigint,
	refused bigint,
	rate_limited bigint,
	failed bigint,
	broken bigint,
	unsent bigint,
	retries bigint,
	waits bigint,
	wait_time_us bigint,
	received_bytes bigint,
	decoded_bytes bigint,
	cache_hits bigint,
	shared_flights bigint,
	connections_opened bigint,
	stats_reset timestamptz,
	shared boolean
);

COMMENT ON TYPE @extschema@.chpg_stats_row IS 'What an operation of the API has cost with a key.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.key_id IS
'Id of the API key; its first four characters until the API accepts the key. Null: sum of keys that gave up '
'their place to others.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.operation IS
'Method and path of the operation; chpg_request() for what that function sent.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.requests IS 'Requests sent.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.succeeded IS 'Requests answered with success (2xx).';
COMMENT ON COLUMN @extschema@.chpg_stats_row.refused IS 'Requests rejected by the API (4xx, except 429).';
COMMENT ON COLUMN @extschema@.chpg_stats_row.rate_limited IS 'Requests rejected for the rate limit (429).';
COMMENT ON COLUMN @extschema@.chpg_stats_row.failed IS 'Requests answered otherwise (3xx, 5xx, or not by HTTP).';
COMMENT ON COLUMN @extschema@.chpg_stats_row.broken IS
'Requests without a complete response: broken, timed out, too large.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.unsent IS
'Attempts beside them that failed before a request was sent: no connection, or no trusted one.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.retries IS 'Requests that were retried after a failure.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.waits IS 'Requests that waited for the budget.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.wait_time_us IS 'Time that they waited, in microseconds.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.received_bytes IS
'Bytes of headers and bodies received, compressed as they travel.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.decoded_bytes IS 'Bytes of the bodies, decompressed.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.cache_hits IS 'Reads served from the cache, without a request.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.shared_flights IS 'Reads that shared another backend''s request.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.connections_opened IS 'Connections opened to the API.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.stats_reset IS 'When counting began.';
COMMENT ON COLUMN @extschema@.chpg_stats_row.shared IS
'Whether all backends count together; else these are the counts of this backend.';

CREATE FUNCTION @extschema@.chpg_stats()
RETURNS SETOF @extschema@.chpg_stats_row
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'chpg_stats';

COMMENT ON FUNCTION @extschema@.chpg_stats() IS
'Requests to the API since the server''s start, or chpg_stats_reset(), by key and operation.
All keys for superusers and members of pg_monitor; for others those of their own user mappings.
Requests: none.';

CREATE VIEW @extschema@.chpg_stats AS
	SELECT * FROM @extschema@.chpg_stats();

COMMENT ON VIEW @extschema@.chpg_stats IS
'Requests to the API by key and operation: chpg_stats().
Requests: none.';

GRANT SELECT ON @extschema@.chpg_stats TO PUBLIC;

CREATE FUNCTION @extschema@.chpg_stats_reset()
RETURNS void
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_stats_reset';

COMMENT ON FUNCTION @extschema@.chpg_stats_reset() IS
'Reset the counters of chpg_stats, of all keys.
For superusers, unless granted.
Requests: none.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_stats_reset() FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_cache_reset()
RETURNS void
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_cache_reset';

COMMENT ON FUNCTION @extschema@.chpg_cache_reset() IS
'Discard all cached responses of the API.
For superusers, unless granted.
Requests: none.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_cache_reset() FROM PUBLIC;

CREATE FUNCTION @extschema@.chpg_budget_reset()
RETURNS void
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'chpg_budget_reset';

COMMENT ON FUNCTION @extschema@.chpg_budget_reset() IS
'End the block of every key that the API has rate-limited (429).
Requests sent still count against the rate limit. For superusers, unless granted.
Requests: none.';

REVOKE EXECUTE ON FUNCTION @extschema@.chpg_budget_reset() FROM PUBLIC;
