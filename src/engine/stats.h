/*-------------------------------------------------------------------------
 *
 * stats.h
 *		Counting what calls cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_STATS_H
#define CHPG_STATS_H

#include "engine/keys.h"

/* Add to the counters of a connection's key and an operation. */
extern void chpg_count(const ChpgConnection *connection,
					   const ChpgEndpoint *endpoint,
					   const ChpgCounters *counters);

/* The sums of what this backend has counted since its start, for all keys and operations. */
extern const ChpgCounters *chpg_own_counters(void);

#endif							/* CHPG_STATS_H */
