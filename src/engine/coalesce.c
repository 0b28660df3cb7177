/*-------------------------------------------------------------------------
 *
 * coalesce.c
 *		Answers to others' requests: earlier ones of the same execution of a
 *		statement, or those of other backends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/call.h"
#include "engine/keys.h"
#include "engine/statement_cache.h"
#include "engine/stats.h"
#include "net/clock.h"
#include "settings.h"

static bool
is_shareable(const ChpgCall *call)
{
	return !call->write && !call->request.connection->no_cache;
}

/* Does this call, of the same execution, ask the same? */
static bool
asks_the_same(const ChpgCall *call, const ChpgCall *other)
{
	return other != call && other->state == CALL_RUNNING &&
		other->looked_up && other->leader == NULL && is_shareable(other) &&
		other->request.connection->statement_cache == call->request.connection->statement_cache &&
		other->generation == call->generation &&
		memcmp(&other->id, &call->id, sizeof(ChpgReadId)) == 0;
}

static void
count_reuse(const ChpgCall *call, ChpgCounter counter)
{
	ChpgCounters counters = {0};

	counters.values[counter] = 1;
	chpg_count(call->request.connection, call->request.endpoint, &counters);
}

/* End the call with an answer that somebody else got. */
static void
take(ChpgCall *call, ChpgAnswer *answer, ChpgCounter counter)
{
	ChpgStatementCache *statement_cache = call->request.connection->statement_cache;

	call->reused = true;
	chpg_call_read(call, answer);
	count_reuse(call, counter);
	if (call->state == CALL_SUCCEEDED && statement_cache != NULL &&
		!chpg_statement_cache_has(statement_cache, &call->id, call->generation))
		chpg_statement_cache_store(statement_cache, &call->id, call->generation, answer);
	pfree(answer->body);
}

static bool
look_into_statement_cache(ChpgCall *call)
{
	ChpgStatementCache *statement_cache = call->request.connection->statement_cache;
	ChpgAnswer	answer;

	if (statement_cache == NULL)
		return false;
	if (chpg_statement_cache_find(statement_cache, &call->id, call->generation, &answer))
		take(call, &answer, CHPG_CACHE_HITS);
	else
		call->leader = chpg_find_call(call, asks_the_same);
	if (call->leader != NULL)
		chpg_call_resume(call->leader);
	return call->state != CALL_RUNNING || call->leader != NULL;
}

/*
 * When to give up following.  The call may spend in this backend what it could
 * spend if it were sent from here: what is left of the statement's chpg.max_wait
 * until it is sent, unless the call was admitted, and then chpg.request_timeout.
 * The other backend may have more time.
 */
static int64
follow_deadline(const ChpgCall *call)
{
	int64		deadline;

	if (call->flight_sent == 0 && call->admitted)
		deadline = CHPG_FOREVER;
	else if (call->flight_sent == 0)
		deadline = chpg_now() + (int64) chpg_max_wait * 1000 -
			chpg_statement_waited(call->request.connection, call->waited);
	else
		deadline = Max(call->flight_sent, call->follows_since) +
			(int64) chpg_request_timeout * 1000;
	if (call->request.deadline > 0)
		deadline = Min(deadline, call->request.deadline);
	return deadline;
}

bool
chpg_call_awaits_turn(const ChpgCall *call)
{
	return call->state == CALL_RUNNING && call->transfer == NULL &&
		(!call->follows || call->flight_sent == 0);
}

void
chpg_call_look_up(ChpgCall *call)
{
	ChpgAnswer	answer;

	call->looked_up = true;
	if (!is_shareable(call))
		return;
	chpg_read_id(call->request.connection, call->url, &call->id);
	call->generation = chpg_key_generation(call->request.connection);
	if (look_into_statement_cache(call))
		return;
	switch (chpg_cache_find(&call->id, call->generation,
							(int64) chpg_cache_ttl * 1000, &answer,
							&call->flight))
	{
		case CHPG_CACHE_ANSWER:
			take(call, &answer, CHPG_CACHE_HITS);
			break;
		case CHPG_CACHE_FOLLOW:
			call->follows = true;
			call->follows_since = call->look_again = chpg_now();
			call->flight_sent = 0;
			break;
		case CHPG_CACHE_OWN:
		case CHPG_CACHE_MISS:
			break;
	}
}

void
chpg_call_follow(ChpgCall *call)
{
	MemoryContext caller = MemoryContextSwitchTo(call->context);
	ChpgAnswer	answer;
	int64		deadline;

	switch (chpg_cache_follow(&call->flight, &answer, &call->look_again,
							  &call->flight_sent))
	{
		case CHPG_CACHE_FOLLOW:
			deadline = follow_deadline(call);
			call->look_again = Min(call->look_again, deadline);
			if (deadline <= chpg_now())
				chpg_call_leave_flight(call);
			break;
		case CHPG_CACHE_ANSWER:
			call->follows = false;
			take(call, &answer, CHPG_SHARED_FLIGHTS);
			break;
		case CHPG_CACHE_OWN:
		case CHPG_CACHE_MISS:
			call->follows = false;
			break;
	}
	MemoryContextSwitchTo(caller);
}

/*
 * The call may have left a flight because the other backend's request took
 * longer than chpg.request_timeout of this one, or lost its own because this
 * backend was stopped.
 */
bool
chpg_call_look_again(ChpgCall *call)
{
	ChpgAnswer	answer;

	if (!is_shareable(call) ||
		!chpg_cache_get(&call->id, call->generation,
						(int64) chpg_cache_ttl * 1000, &answer))
		return false;
	take(call, &answer, CHPG_CACHE_HITS);
	chpg_call_leave_flight(call);
	return true;
}

void
chpg_call_leave_flight(ChpgCall *call)
{
	if (call->flight.serial == 0)
		return;
	if (call->follows)
		chpg_cache_unfollow(&call->flight);
	else
		chpg_flight_hand_over(&call->flight);
	call->follows = false;
}

/*
 * The API's verdict concerns all who ask.  Whether a passing failure is the end
 * depends on the settings of each: one of them tries again.
 */
void
chpg_call_share(ChpgCall *call, const ChpgAnswer *answer)
{
	ChpgStatementCache *statement_cache = call->request.connection->statement_cache;
	bool		succeeded = call->state == CALL_SUCCEEDED;

	if (!is_shareable(call))
		return;
	if (succeeded && statement_cache != NULL)
		chpg_statement_cache_store(statement_cache, &call->id, call->generation, answer);
	if (answer != NULL && chpg_cache_ttl > 0 && !chpg_call_is_transient(call))
		chpg_cache_publish(&call->id, call->request.connection->owner_id,
						   call->generation, &call->flight, answer, succeeded);
	chpg_call_leave_flight(call);
}
