/*-------------------------------------------------------------------------
 *
 * times.h
 *		Expressions of a time column that bound it when they are compared.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_TIMES_H
#define CHPG_TIMES_H

#include "nodes/pathnodes.h"

/* Is it known before the table is read, and the same for all its rows? */
extern bool chpg_is_value(PlannerInfo *root, RelOptInfo *rel, Node *node);

/* Is it a column of the table, as it stands? */
extern bool chpg_is_column(RelOptInfo *rel, Node *node);

/*
 * Take an expression apart that is made of this column, of type timestamptz, and
 * of values.  *steps is then what was made of the column: ChpgTimeStep, the
 * outermost first.  False if nothing is known of the expression.
 */
extern bool chpg_match_time(PlannerInfo *root, RelOptInfo *rel, AttrNumber column,
							Node *node, List **steps);

/*
 * The type in which a value that such an expression is compared with is wanted,
 * or InvalidOid.  May add a step.
 */
extern Oid	chpg_bound_type(Oid expression, Oid value, List **steps);

#endif							/* CHPG_TIMES_H */
