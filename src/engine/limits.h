/*-------------------------------------------------------------------------
 *
 * limits.h
 *		The limits of a key: what its log of requests must keep.
 *
 * A key keeps the limit of each server that uses it, the API's own limit as its
 * responses describe it (the learned limit, protocol/rate_limit.h), and what its
 * refusals leave.  A server with the option rate_limit 'auto' has the documented
 * limit, which a learned one replaces while it is confirmed.
 *
 * Everything here needs the lock of shared_state.h: shared to read, exclusive to
 * change.  Nothing throws.  Times are those of clock.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_LIMITS_H
#define CHPG_LIMITS_H

#include "engine/keys.h"
#include "protocol/rate_limit.h"

/* Where a limit is from. */
typedef enum ChpgLimitSource
{
	CHPG_LIMIT_UNKNOWN,			/* no server has used the key yet */
	CHPG_LIMIT_DOCUMENTED,
	CHPG_LIMIT_OPTION,			/* rate_limit of a server */
	CHPG_LIMIT_HEADERS			/* of responses */
} ChpgLimitSource;

/*
 * When a slot is free again for a limit of that window; 0 if it is.  A request under
 * way is taken to arrive at the given time, CHPG_FOREVER if that is not known.
 */
extern int64 chpg_slot_end(const ChpgSlot *slot, int64 window, int64 now,
						   int64 arrival);

/* The times at which the slots that are taken end, in order; their number. */
extern int	chpg_slot_ends(const ChpgKey *key, int64 window, int64 now,
						   int64 arrival, int64 *ends);

/* The limit of a connection's server, used now; needs no lock. */
extern ChpgLimit chpg_limit_of(const ChpgConnection *connection, int64 now);

/* The stricter of a server's limit and the learned one; its requests are 0 for none. */
extern ChpgLimit chpg_limits_with_learned(const ChpgKey *key, const ChpgLimit *own,
										  int64 now);

/* Remember a server's limit for all that use the key, in place of the oldest. */
extern void chpg_limits_note(ChpgSharedState *shared, int number,
							 const ChpgLimit *own);

/* When all limits of a key, and its block, let a request through; maybe CHPG_FOREVER. */
extern int64 chpg_limits_next(const ChpgKey *key, const ChpgLimit *own, int64 now);

/*
 * When the last of these requests could be sent by all limits of a key, and its
 * block; *available becomes at most how many could be sent at once.
 */
extern int64 chpg_limits_estimate(const ChpgKey *key, const ChpgLimit *own,
								  int64 requests, int64 now, int *available);

/* Note that a request was granted. */
extern void chpg_limits_granted(ChpgKey *key, int64 now);

/*
 * Learn from the response to a request that was granted at one time and whose
 * response began at another: from its headers, or, given NULL, that it has none.
 */
extern void chpg_limits_learn(ChpgSharedState *shared, int number,
							  const ChpgRateLimit *headers,
							  int64 granted, int64 began);

/* The API refused a request (429): others use the key, too. */
extern void chpg_limits_lower_share(ChpgKey *key, const ChpgLimit *own);

/* The API accepted a request: after a window without a refusal, allow one more. */
extern void chpg_limits_raise_share(ChpgKey *key, const ChpgLimit *own);

/* The strictest limit that a key keeps now; its requests are 0 if there is none. */
extern ChpgLimit chpg_limits_in_force(const ChpgKey *key, int64 now,
									  ChpgLimitSource *source);

/* How many of the requests that are free by that limit the other limits allow. */
extern int	chpg_limits_free(const ChpgKey *key, const ChpgLimit *limit,
							 int used, int64 now);

#endif							/* CHPG_LIMITS_H */
