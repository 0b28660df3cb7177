/*-------------------------------------------------------------------------
 *
 * fdw_outside.h
 *		What is said of a sub-query's columns outside of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_FDW_OUTSIDE_H
#define CHPG_FDW_OUTSIDE_H

#include "nodes/pathnodes.h"

/*
 * Is a column compared by queries around the sub-query that the table is in, as
 * a time if that is what matters?
 */
extern bool chpg_is_compared_outside(PlannerInfo *root, RelOptInfo *rel,
									 const char *column, bool as_time);

#endif							/* CHPG_FDW_OUTSIDE_H */
