/*-------------------------------------------------------------------------
 *
 * coalesce.c
 *		Identical reads share one request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "engine/coalesce.h"
#include "engine/keys.h"
#include "engine/statement_cache.h"
#include "engine/stats.h"
#include "net/clock.h"
#include "settings.h"

/* May the response of a call be shared with others, and theirs with it? */
static bool
is_shareable(const ChpgCall *call)
{
	return !call->write && !call->request.connection->no_cache;
}

/*
 * Can the other call lead this one?  It is of the same execution, with the same
 * request under the same generation of the key, and waits for no leader itself.
 */
static bool
can_lead(const ChpgCall *other, const ChpgCall *call)
{
	return other != call &&
		(other->phase == CALL_FOLLOWING || other->phase == CALL_WAITING ||
		 other->phase == CALL_SENDING) && is_shareable(other) &&
		other->request.connection->statement_cache ==
		call->request.connection->statement_cache &&
		other->generation == call->generation &&
		memcmp(&other->id, &call->id, sizeof(ChpgReadId)) == 0;
}

/* The first of these calls that can lead the given one, or NULL. */
static ChpgCall *
find_leader(const ChpgCall *call, dlist_head * calls)
{
	dlist_iter	iter;

	dlist_foreach(iter, calls)
	{
		ChpgCall   *other = dlist_container(ChpgCall, node, iter.cur);

		if (can_lead(other, call))
			return other;
	}
	return NULL;
}

/*
 * End the call with the answer to another call's request, count it, and keep it
 * in the statement's cache.  Frees the body.
 */
static void
reuse(ChpgCall *call, ChpgAnswer *answer, ChpgCounter counter)
{
	ChpgStatementCache *statement_cache = call->request.connection->statement_cache;
	ChpgCounters counters = {0};

	call->reused = true;
	chpg_response_read(call, answer);
	counters.values[counter] = 1;
	chpg_count(call->request.connection, call->request.endpoint, &counters);
	if (call->phase == CALL_SUCCEEDED && statement_cache != NULL &&
		!chpg_statement_cache_has(statement_cache, &call->id, call->generation))
		chpg_statement_cache_store(statement_cache, &call->id, call->generation,
								   answer);
	pfree(answer->body);
}

/*
 * End the call with an answer to the same statement, or let another call of the
 * statement lead it; false if there is neither.
 */
static bool
look_into_statement(ChpgCall *call, dlist_head * calls)
{
	ChpgStatementCache *statement_cache = call->request.connection->statement_cache;
	ChpgAnswer	answer;

	if (statement_cache == NULL)
		return false;
	if (chpg_statement_cache_find(statement_cache, &call->id, call->generation,
								  &answer))
	{
		reuse(call, &answer, CHPG_CACHE_HITS);
		return true;
	}
	call->leader = find_leader(call, calls);
	if (call->leader != NULL)
		call->phase = CALL_LED;
	return call->leader != NULL;
}

void
chpg_coalesce_look_up(ChpgCall *call, dlist_head * calls)
{
	ChpgAnswer	answer;

	call->phase = CALL_WAITING;
	if (!is_shareable(call))
		return;
	chpg_read_id(call->request.connection, call->url, &call->id);
	call->generation = chpg_key_generation(call->request.connection);
	if (look_into_statement(call, calls))
		return;
	switch (chpg_cache_find(&call->id, call->generation,
							(int64) chpg_cache_ttl * 1000, &answer,
							&call->flight))
	{
		case CHPG_CACHE_ANSWER:
			reuse(call, &answer, CHPG_CACHE_HITS);
			break;
		case CHPG_CACHE_FOLLOW:
			call->phase = CALL_FOLLOWING;
			call->follows_since = call->look_again = chpg_now();
			call->flight_sent = 0;
			break;
		case CHPG_CACHE_OWN:
		case CHPG_CACHE_MISS:
			break;
	}
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
			chpg_statement_cache_waited(call->request.connection->statement_cache,
										call->waited_us);
	else
		deadline = Max(call->flight_sent, call->follows_since) +
			(int64) chpg_request_timeout * 1000;
	if (call->request.deadline > 0)
		deadline = Min(deadline, call->request.deadline);
	return deadline;
}

void
chpg_coalesce_follow(ChpgCall *call)
{
	ChpgAnswer	answer;
	int64		deadline;

	switch (chpg_cache_follow(&call->flight, &answer, &call->look_again,
							  &call->flight_sent))
	{
		case CHPG_CACHE_FOLLOW:
			deadline = follow_deadline(call);
			call->look_again = Min(call->look_again, deadline);
			if (deadline <= chpg_now())
				chpg_coalesce_leave(call);
			break;
		case CHPG_CACHE_ANSWER:
			call->phase = CALL_WAITING; /* it has no flight any more */
			reuse(call, &answer, CHPG_SHARED_FLIGHTS);
			break;
		case CHPG_CACHE_OWN:
		case CHPG_CACHE_MISS:
			call->phase = CALL_WAITING;
			break;
	}
}

/*
 * The call may have left a flight because the other backend's request took
 * longer than chpg.request_timeout of this one, or lost its own because this
 * backend was stopped.
 */
bool
chpg_coalesce_look_again(ChpgCall *call)
{
	ChpgAnswer	answer;

	if (!is_shareable(call) ||
		!chpg_cache_get(&call->id, call->generation,
						(int64) chpg_cache_ttl * 1000, &answer))
		return false;
	reuse(call, &answer, CHPG_CACHE_HITS);
	chpg_coalesce_leave(call);
	return true;
}

/*
 * The API's verdict concerns all that wait for it.  Whether a transient failure
 * is the end depends on the settings of each: one of them tries again.
 */
void
chpg_coalesce_share(ChpgCall *call, const ChpgAnswer *answer)
{
	ChpgStatementCache *statement_cache = call->request.connection->statement_cache;
	bool		succeeded = call->phase == CALL_SUCCEEDED;

	if (!is_shareable(call))
		return;
	if (succeeded && statement_cache != NULL)
		chpg_statement_cache_store(statement_cache, &call->id, call->generation,
								   answer);
	if (answer != NULL && chpg_cache_ttl > 0 && !chpg_call_is_transient(call))
		chpg_cache_publish(&call->id, call->request.connection->owner_id,
						   call->generation, &call->flight, answer, succeeded);
	chpg_coalesce_leave(call);
}

void
chpg_coalesce_leave(ChpgCall *call)
{
	if (call->flight.serial == 0)
		return;
	if (call->phase == CALL_FOLLOWING)
	{
		chpg_cache_unfollow(&call->flight);
		call->phase = CALL_WAITING;
	}
	else
		chpg_flight_hand_over(&call->flight);
}
