/*-------------------------------------------------------------------------
 *
 * fdw_times.h
 *		Comparisons of times, which may name a window.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_FDW_TIMES_H
#define CHPG_FDW_TIMES_H

#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/*
 * Comparisons of times, which may name a window: of what has a column in it,
 * and is a time still.  An hour of the day, or a distance, is none.
 */
typedef bool (*ChpgColumnTest) (Node *node, void *arg);
extern bool chpg_is_time(Node *node);
extern bool chpg_contains(Node *node, ChpgColumnTest test, void *arg);
extern bool chpg_compares_time(Node *node, ChpgColumnTest test, void *arg);

#endif							/* CHPG_FDW_TIMES_H */
