/*-------------------------------------------------------------------------
 *
 * budget.h
 *		When the next request with a key may be sent.
 *
 * A key has a log of its requests: one may be sent when fewer than so many
 * others may have arrived at the API within the window before it.  All
 * backends share the log.  Whoever cannot send takes a ticket; each backend
 * has one at most, and they are served in order.
 *
 * Times are those of clock.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_BUDGET_H
#define CHPG_BUDGET_H

#include "engine/cache.h"
#include "engine/connection.h"

/* A request's place in the log. */
typedef struct ChpgGrant
{
	int			key;
	int			slot;			/* -1: the log is full, as no limit can fill
								 * it */
	uint64		serial;			/* 0: none */
} ChpgGrant;

/*
 * Take a place for a request, if that is possible now: returns 0 then, or else
 * when to try again at the latest, or when the latch is set.  Until then the
 * backend has a ticket.  *due is when the request can be sent, or CHPG_FOREVER
 * if that depends on others.  The grant's key is CHPG_NO_PLACE or
 * CHPG_NO_ROLE_PLACE if there is no place for it.
 */
extern int64 chpg_budget_take(const ChpgConnection *connection,
							  ChpgGrant *grant, int64 *due);

/*
 * This backend does not wait any more; if it is back in a moment it keeps its
 * ticket.
 */
extern void chpg_budget_leave(bool for_a_moment);

/* The request of a grant had arrived by that time, or was never sent. */
extern void chpg_budget_arrived(ChpgGrant *grant, int64 when);
extern void chpg_budget_return(ChpgGrant *grant);

/*
 * The backend turns to something else while the request travels.  One that was
 * not sent soon loses its place to others: chpg_budget_resume() then says
 * false.
 */
extern void chpg_budget_pause(const ChpgGrant *grant, bool sent);
extern bool chpg_budget_resume(const ChpgGrant *grant);

/*
 * The API refused a request (429): block the key for that many seconds, or, if
 * it has refused others since it last took one, for up to max_seconds.  Returns
 * when the block ends.  Log it.
 */
extern int64 chpg_budget_block(const ChpgConnection *connection, double seconds,
							   double max_seconds);

/* The API took a request. */
extern void chpg_budget_accepted(const ChpgConnection *connection);

/* End the blocks of all keys; their requests stay in the log. */
extern void chpg_budget_unblock(void);

/*
 * When the last of so many requests could be sent, if no other backend needs
 * more than is known, CHPG_FOREVER if that is too far away; and how many could
 * be sent at once, PG_INT32_MAX if all.  If that is not after the limit, others
 * reckon with them from then on.
 *
 * Backends that need the same requests, by this id, share the answers, so that
 * these requests count once; the id is NULL if no answers are shared.
 */
extern int64 chpg_budget_estimate(const ChpgConnection *connection,
								  int64 requests, const ChpgReadId *id,
								  int64 limit, int *available);

/*
 * The backend waits for the first of so many requests that its statement is
 * known to need, and others reckon with them.  When it waits no more, they do so
 * for a moment, or not at all.
 */
extern void chpg_budget_expect(const ChpgConnection *connection,
							   int64 requests, const ChpgReadId *id);
extern void chpg_budget_rest(bool for_a_moment);

/*
 * Let others keep the limit of a server from now on: it was made after its first
 * request, or its request waits for the limit.
 */
extern void chpg_budget_note_limit(const ChpgConnection *connection);

/* The state of a key, with the lock held; what is not in use is 0. */
typedef struct ChpgBudgetState
{
	bool		has_limit;		/* false: no server has used the key yet */
	int			requests;		/* the strictest limit in use */
	int64		window;
	int			used;
	int			available;
	int64		blocked_until;
	int			waiting;		/* backends */
} ChpgBudgetState;

extern void chpg_budget_state(int key, ChpgBudgetState *state);

/* Does a refusal by the API (429) block the key?  Takes the lock. */
extern bool chpg_budget_is_blocked(int key);

#endif							/* CHPG_BUDGET_H */
