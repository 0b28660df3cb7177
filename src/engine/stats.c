/*-------------------------------------------------------------------------
 *
 * stats.c
 *		Counting what calls cost, and showing it and the budgets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "compat.h"
#include "engine/budget.h"
#include "engine/cache.h"
#include "engine/stats.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* The columns of chpg_stats: the counters, and those around them. */
#define STATS_COLUMNS		(CHPG_NUM_COUNTERS + 4)
#define BUDGET_COLUMNS		10

/*
 * A key that fails is forgotten when no request with it has failed for this long: its
 * server, or user mapping, may be gone, and nothing would succeed any more.
 */
#define FAILURE_MEMORY		(3 * USECS_PER_HOUR)

static ChpgCounters own;

const ChpgCounters *
chpg_own_counters(void)
{
	return &own;
}

void
chpg_count(const ChpgConnection *connection, const ChpgEndpoint *endpoint,
		   const ChpgCounters *counters)
{
	ChpgSharedState *shared = chpg_keys_get();
	int			number;

	for (int i = 0; i < CHPG_NUM_COUNTERS; i++)
		own.values[i] += counters->values[i];
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	number = chpg_key_enter(shared, connection);
	if (number >= 0)
	{
		ChpgCounters *sum = &shared->keys[number].counters[chpg_operation_number(endpoint)];

		for (int i = 0; i < CHPG_NUM_COUNTERS; i++)
			sum->values[i] += counters->values[i];
	}
	LWLockRelease(&shared->lock);
}

/*
 * Which keys the current user may see
 */

typedef struct VisibleKey
{
	char		key_id[CHPG_SHOWN_KEY_LENGTH];
	char		server[NAMEDATALEN];
	ChpgBudgetState budget;
	ChpgCounters counters[CHPG_NUM_OPERATIONS + 1];
} VisibleKey;

static bool
sees_all(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
}

/*
 * Copy the keys of these connections, or all, as VisibleKey.  After a restart a key
 * has no id until it is used: it gets the connection's here.
 */
static List *
copy_keys(ChpgSharedState *shared, List *connections, bool all)
{
	bool		visible[CHPG_MAX_KEYS] = {0};
	VisibleKey *copies = palloc0(CHPG_MAX_KEYS * sizeof(VisibleKey));
	List	   *ids = NIL;
	List	   *keys = NIL;
	ListCell   *lc;

	foreach(lc, connections)
		ids = lappend(ids, chpg_key_shown_id(lfirst(lc)));
	LWLockAcquire(&shared->lock, LW_SHARED);
	foreach(lc, connections)
	{
		const ChpgConnection *connection = lfirst(lc);
		int			i = chpg_key_find(shared, connection);

		if (i < 0)
			continue;
		visible[i] = true;
		strlcpy(copies[i].key_id, list_nth(ids, foreach_current_index(lc)),
				sizeof(copies[i].key_id));
		strlcpy(copies[i].server, connection->server, sizeof(copies[i].server));
	}
	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		const ChpgKey *key = &shared->keys[i];

		visible[i] |= all && key->in_use;
		if (!visible[i])
			continue;
		if (key->key_id[0] != '\0')
		{
			memcpy(copies[i].key_id, key->key_id, sizeof(key->key_id));
			memcpy(copies[i].server, key->server, sizeof(key->server));
		}
		memcpy(copies[i].counters, key->counters, sizeof(key->counters));
		chpg_budget_state(i, &copies[i].budget);
	}
	LWLockRelease(&shared->lock);

	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		if (visible[i])
			keys = lappend(keys, &copies[i]);
	}
	return keys;
}

static List *
visible_keys(ChpgSharedState *shared)
{
	return sees_all() ? copy_keys(shared, NIL, true) :
		copy_keys(shared, chpg_connection_list(), false);
}

/*
 * chpg_stats()
 */

static char *
describe_operation(int operation)
{
	if (operation == CHPG_NUM_OPERATIONS)
		return "chpg_request()";
	return psprintf("%s %s", chpg_endpoints[operation].method,
					chpg_endpoints[operation].path);
}

/* Store a row of chpg_stats. */
static void
put_counters(ReturnSetInfo *rsinfo, const ChpgSharedState *shared, const char *key_id,
			 int operation, const ChpgCounters *counters)
{
	Datum		values[STATS_COLUMNS];
	bool		nulls[STATS_COLUMNS] = {0};
	int			n = 0;

	nulls[n] = key_id == NULL;
	values[n++] = key_id ? CStringGetTextDatum(key_id) : (Datum) 0;
	values[n++] = CStringGetTextDatum(describe_operation(operation));
	for (int i = 0; i < CHPG_NUM_COUNTERS; i++)
		values[n++] = Int64GetDatum(counters->values[i]);
	values[n++] = TimestampTzGetDatum(shared->stats_reset);
	values[n++] = BoolGetDatum(shared->is_shared);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Store a row for each operation that was used; key_id is NULL for several keys. */
static void
put_key_stats(ReturnSetInfo *rsinfo, ChpgSharedState *shared, const char *key_id,
			  const ChpgCounters *counters)
{
	static const ChpgCounters none = {{0}};

	for (int i = 0; i <= CHPG_NUM_OPERATIONS; i++)
	{
		if (memcmp(&counters[i], &none, sizeof(none)) != 0)
			put_counters(rsinfo, shared, key_id, i, &counters[i]);
	}
}

static ChpgCounters *
copy_others(ChpgSharedState *shared)
{
	ChpgCounters *others = palloc(sizeof(shared->others));

	LWLockAcquire(&shared->lock, LW_SHARED);
	memcpy(others, shared->others, sizeof(shared->others));
	LWLockRelease(&shared->lock);
	return others;
}

PG_FUNCTION_INFO_V1(chpg_stats);

/* chpg_stats(): what the keys that the user may see have cost, by operation */
Datum
chpg_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgSharedState *shared = chpg_keys_get();
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, visible_keys(shared))
	{
		const VisibleKey *key = lfirst(lc);

		put_key_stats(rsinfo, shared, key->key_id, key->counters);
	}
	if (sees_all())
		put_key_stats(rsinfo, shared, NULL, copy_others(shared));
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(chpg_stats_reset);

/* chpg_stats_reset(): begins to count anew, for all keys */
Datum
chpg_stats_reset(PG_FUNCTION_ARGS)
{
	ChpgSharedState *shared = chpg_keys_get();

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CHPG_MAX_KEYS; i++)
		memset(shared->keys[i].counters, 0, sizeof(shared->keys[i].counters));
	memset(shared->others, 0, sizeof(shared->others));
	shared->stats_reset = GetCurrentTimestamp();
	LWLockRelease(&shared->lock);
	PG_RETURN_VOID();
}

/*
 * chpg_budget()
 */

/* The wall-clock time of a time of clock.h. */
static TimestampTz
wall_time(int64 time)
{
	return GetCurrentTimestamp() + (time - chpg_now());
}

/* Store a row of chpg_budget. */
static void
put_budget(ReturnSetInfo *rsinfo, ChpgSharedState *shared, const VisibleKey *key)
{
	static const char *const sources[] = {
		[CHPG_LIMIT_UNKNOWN] = "",
		[CHPG_LIMIT_DOCUMENTED] = "documented",
		[CHPG_LIMIT_OPTION] = "option",
		[CHPG_LIMIT_HEADERS] = "headers"
	};
	const ChpgBudgetState *state = &key->budget;
	Datum		values[BUDGET_COLUMNS];
	bool		nulls[BUDGET_COLUMNS] = {0};

	values[0] = CStringGetTextDatum(key->server);
	values[1] = CStringGetTextDatum(key->key_id);
	nulls[0] = nulls[1] = key->key_id[0] == '\0';
	values[2] = CStringGetTextDatum(state->requests == 0 ? "unlimited" :
									psprintf("%d/%gs", state->requests,
											 (double) state->window / USECS_PER_SEC));
	values[3] = CStringGetTextDatum(sources[state->source]);
	nulls[2] = nulls[3] = state->source == CHPG_LIMIT_UNKNOWN;
	values[4] = Int32GetDatum(state->used);
	values[5] = Int32GetDatum(state->available);
	nulls[5] = state->requests == 0;
	values[6] = Int32GetDatum(state->remaining);
	nulls[6] = state->remaining < 0;
	values[7] = TimestampTzGetDatum(wall_time(state->blocked_until));
	nulls[7] = state->blocked_until == 0;
	values[8] = Int32GetDatum(state->waiting);
	values[9] = BoolGetDatum(shared->is_shared);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(chpg_budget);

/* A row for each key that the user may see */
Datum
chpg_budget(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgSharedState *shared = chpg_keys_get();
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, visible_keys(shared))
		put_budget(rsinfo, shared, lfirst(lc));
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(chpg_own_budget);

/*
 * _chpg_own_budget(server)
 *
 * The budget of a server's key.  A key's row in chpg_budget names the server that
 * used it last, so that a caller may not find its own server there.
 */
Datum
chpg_own_budget(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgSharedState *shared = chpg_keys_get();
	ChpgConnection *connection;
	ListCell   *lc;

	connection = chpg_connection_get(PG_ARGISNULL(0) ? NULL :
									 text_to_cstring(PG_GETARG_TEXT_PP(0)));
	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, copy_keys(shared, list_make1(connection), false))
		put_budget(rsinfo, shared, lfirst(lc));
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(chpg_budget_reset);

/* chpg_budget_reset(): ends the blocks of all keys */
Datum
chpg_budget_reset(PG_FUNCTION_ARGS)
{
	chpg_budget_unblock();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(chpg_cache_reset);

/* chpg_cache_reset(): removes all responses from the cache */
Datum
chpg_cache_reset(PG_FUNCTION_ARGS)
{
	chpg_cache_clear();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(chpg_engine_state);

/*
 * _chpg_engine_state()
 *
 * Returns since when the API has failed to answer some key that is in use, how long
 * the longest present wait of a request for a budget has lasted, and which process
 * waits so.  No row for roles that do not see all keys.
 */
Datum
chpg_engine_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ChpgSharedState *shared = chpg_keys_get();
	int64		now = chpg_now();
	TimestampTz remembered = GetCurrentTimestamp() - FAILURE_MEMORY;
	TimestampTz since = DT_NOEND;
	int64		waiting_since = CHPG_FOREVER;
	int			pid = 0;
	Datum		values[3];
	bool		nulls[3];

	InitMaterializedSRF(fcinfo, 0);
	if (!sees_all())
		return (Datum) 0;
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < CHPG_MAX_KEYS; i++)
	{
		const ChpgKey *key = &shared->keys[i];

		if (key->in_use && key->failures > 0 && key->failed_at > remembered)
			since = Min(since, key->failing_since);
	}
	for (int i = 0; i < shared->num_waiters; i++)
	{
		const ChpgWaiter *waiter = &shared->waiters[i];

		if (waiter->waiting && waiter->since < waiting_since)
		{
			waiting_since = waiter->since;
			pid = ProcGlobal->allProcs[i].pid;
		}
	}
	LWLockRelease(&shared->lock);
	nulls[0] = since == DT_NOEND;
	values[0] = TimestampTzGetDatum(since);
	nulls[1] = nulls[2] = waiting_since == CHPG_FOREVER;
	values[1] = Int64GetDatum(nulls[1] ? 0 : now - waiting_since);
	values[2] = Int32GetDatum(pid);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
