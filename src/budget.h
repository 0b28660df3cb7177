/*-------------------------------------------------------------------------
 *
 * budget.h
 *		When the next request with a key may be sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_BUDGET_H
#define CHPG_BUDGET_H

#include "connection.h"

/* The earliest time, on the clock of chpg_now(); in the past if free. */
extern int64 chpg_budget_next(const ChpgConnection *connection);

/* The API refused a request (429): nobody should ask again before then. */
extern void chpg_budget_block(const ChpgConnection *connection, int64 until);

/* Seconds that so many requests take at least, by the rate limit. */
extern double chpg_budget_duration(const ChpgConnection *connection,
								   int requests);

#endif							/* CHPG_BUDGET_H */
