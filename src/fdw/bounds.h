/*-------------------------------------------------------------------------
 *
 * bounds.h
 *		From a comparison to a range of times that holds all that fit it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_BOUNDS_H
#define CHPG_BOUNDS_H

#include "fdw/values.h"

/*
 * The range of the column's times for which the condition may hold, given the
 * value, its type and what the condition's steps need, in their order.  It may be
 * wider than needed, and it may lack a bound.
 */
extern ChpgRange chpg_bound_times(const ChpgCondition *condition, Datum value,
								  Oid type, const Datum *operands);

/*
 * The same for a condition with an array: the range of all its elements.  False
 * if there is none.
 */
extern bool chpg_bound_array(const ChpgCondition *condition, Datum array,
							 Oid type, const Datum *operands, ChpgRange *range);

/* Does the condition bound the column's times from below? */
extern bool chpg_bounds_start(const ChpgCondition *condition);

#endif							/* CHPG_BOUNDS_H */
