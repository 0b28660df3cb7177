/*-------------------------------------------------------------------------
 *
 * budget.h
 *		When the next request with a key may be sent.
 *
 * The budget is a sliding log: each request takes a slot of its key's log, and one
 * more is granted when fewer slots than the limit's requests are taken within the
 * limit's window (limits.h).  All backends share the log.  A backend that cannot send takes a
 * ticket; it has one at most, and tickets are served in order.
 *
 * Layout: slots, limits and tickets are parts of shared_state.h.  Every function
 * here takes its lock, and none throws while it is held.  A key's log is written by
 * whoever sends with the key; a waiter only by its own backend, but for "passed" and
 * "called", which the backends behind it set.  Slots are written to a file as they
 * change (keys_file.h), so that a restart forgets none.  The slot of a backend that
 * is stopped, or ends without its callbacks, counts as arrived after
 * chpg.request_timeout, and leaves the log as others do.
 *
 * Times are those of clock.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_BUDGET_H
#define CHPG_BUDGET_H

#include "engine/cache.h"
#include "engine/connection.h"
#include "engine/limits.h"

/* A request's slot in the log. */
typedef struct ChpgGrant
{
	int			key;
	int			slot;			/* -1: the log is full, as no limit can fill
								 * it */
	uint64		serial;			/* 0: none */
	int64		taken;			/* when it was granted last */
} ChpgGrant;

/*
 * Take a slot for a request, if that is possible now: returns 0 then, and fills in
 * the grant.  Otherwise the backend has a ticket, and the result is the time to try
 * again at the latest, or when the latch is set.  *due is when the request can be
 * sent, or CHPG_FOREVER if that depends on others.  Without a place for the key,
 * grant->key is CHPG_NO_PLACE or CHPG_NO_ROLE_PLACE, and there is no ticket.
 */
extern int64 chpg_budget_take(const ChpgConnection *connection,
							  ChpgGrant *grant, int64 *due);

/*
 * Stop waiting for the budget.  The backend loses its ticket, or keeps it for a
 * moment (CHPG_AWAY_GRACE) in which it may be back.
 */
extern void chpg_budget_leave(bool for_a_moment);

/*
 * The request of a grant had arrived at the API by that time: its slot is taken
 * until a window after that.  Ends the grant.
 */
extern void chpg_budget_arrived(ChpgGrant *grant, int64 when);

/* The request of a grant was never sent: free its slot.  Ends the grant. */
extern void chpg_budget_return(ChpgGrant *grant);

/*
 * The backend turns to something else while its request is under way.  The slot of
 * one that was not sent goes to others in a moment (CHPG_AWAY_GRACE).
 */
extern void chpg_budget_pause(const ChpgGrant *grant, bool sent);

/* The backend is back; false if the slot has gone to another request. */
extern bool chpg_budget_resume(const ChpgGrant *grant);

/*
 * The API refused a request (429): block the key for that many seconds, or, if it
 * has refused others since it last accepted one, for up to max_seconds.  Returns
 * when the block ends.  Logs it.
 */
extern int64 chpg_budget_block(const ChpgConnection *connection, double seconds,
							   double max_seconds);

/* The API accepted a request: the next refusal is the first again. */
extern void chpg_budget_accepted(const ChpgConnection *connection);

/*
 * Note whether the API failed to answer a request (5xx, or no response).  The third
 * failure in a row is logged, and the end of such a series.  Failures of a key that
 * the API has not accepted are not noted.
 */
extern void chpg_budget_note_health(const ChpgConnection *connection, bool failed);

/*
 * Learn the API's limit from its response to the request of a grant: the headers are
 * NULL if it has none.  The time is that at which the response began.
 */
extern void chpg_budget_learn(const ChpgConnection *connection,
							  const ChpgRateLimit *headers,
							  const ChpgGrant *grant, int64 began);

/* The limit of the connection, or the learned one if that is stricter. */
extern ChpgLimit chpg_budget_limit(const ChpgConnection *connection);

/* End the blocks of all keys; their requests stay in the log. */
extern void chpg_budget_unblock(void);

/*
 * Estimate when the last of this number of requests could be sent, if no other backend
 * needs more than is known; CHPG_FOREVER if that is too far away.  *available is how
 * many could be sent at once, PG_INT32_MAX if all.  If the result is not after the
 * limit, others reckon with these requests from then on.
 *
 * Backends that need the same requests, by this id, share the responses, so that
 * these requests count once; the id is NULL if no responses are shared.
 */
extern int64 chpg_budget_estimate(const ChpgConnection *connection,
								  int64 requests, const ChpgReadId *id,
								  int64 limit, int *available);

/*
 * The backend waits for the first of this number of requests that its statement is
 * known to need, of that id or NULL: others reckon with them.
 */
extern void chpg_budget_expect(const ChpgConnection *connection,
							   int64 requests, const ChpgReadId *id);

/*
 * The backend waits no more: others reckon with its requests for a moment
 * (DEMAND_MEMORY), or not at all.
 */
extern void chpg_budget_rest(bool for_a_moment);

/*
 * Let others keep the limit of a server from now on: it was made after its first
 * request, or its request waits for the limit.
 */
extern void chpg_budget_note_limit(const ChpgConnection *connection);

/* The budget of a key, for monitoring; what is not in use is 0. */
typedef struct ChpgBudgetState
{
	ChpgLimitSource source;
	int			requests;		/* the strictest limit in use */
	int64		window;
	int			used;
	int			available;
	int			remaining;		/* by the latest response; -1 if it did not
								 * say */
	int64		blocked_until;
	int			waiting;		/* backends */
} ChpgBudgetState;

/* Describe a key by the number of its place; with the lock held. */
extern void chpg_budget_state(int key, ChpgBudgetState *state);

/* Does a refusal by the API (429) block the connection's key? */
extern bool chpg_budget_is_blocked(const ChpgConnection *connection);

#endif							/* CHPG_BUDGET_H */
