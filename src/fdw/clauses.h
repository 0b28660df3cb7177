/*-------------------------------------------------------------------------
 *
 * clauses.h
 *		Conditions on a foreign table: which are pushed down, and their text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CLAUSES_H
#define CHPG_CLAUSES_H

#include "fdw/times.h"
#include "nodes/execnodes.h"
#include "nodes/plannodes.h"
#include "protocol/resources.h"

/* A condition that is pushed down, as an argument of requests or by their window */
typedef struct ChpgCondition
{
	AttrNumber	column;
	ChpgComparison comparison;
	Expr	   *value;			/* NULL in a plan, where it stands in
								 * fdw_exprs */
	List	   *steps;			/* ChpgTimeStep, of the expression of the
								 * column that is compared; NIL: the plain
								 * column */
	int			qual;			/* index of its clause among the plan's quals */
} ChpgCondition;

/* A foreign table in a query that is planned: RelOptInfo.fdw_private */
typedef struct ChpgTableInfo
{
	Oid			table;
	const ChpgResource *resource;
	const ChpgEndpoint *endpoint;
	double		services;		/* expected number */
	double		rows;			/* expected of one service */
	bool		has_window;		/* the table has the option "window" */
	bool		list_only;		/* all columns that are needed stand in the
								 * list of services */
	AttrNumber	time;			/* "timestamp", if comparisons of it bound the
								 * window; else 0 */
	Bitmapset  *compared;		/* attribute numbers in conditions */
	Bitmapset  *joined;			/* attribute numbers in joins by = */
} ChpgTableInfo;

/*
 * Return the clauses of a list of RestrictInfos that can be pushed down: a list of
 * ChpgCondition, whose quals are indexes in the list.  The results of the functions
 * below belong to the current memory context.
 */
extern List *chpg_match_clauses(PlannerInfo *root, RelOptInfo *rel, List *clauses);

/*
 * Return the join clauses, as RestrictInfos, that can be pushed down where the other
 * side of the join gives the values.
 */
extern List *chpg_find_join_clauses(PlannerInfo *root, RelOptInfo *rel);

/* Return true if a clause compares the column; a test for NULL is no comparison. */
extern bool chpg_compares(RelOptInfo *rel, Expr *clause, AttrNumber column);

/* Set info->compared and info->joined from all clauses of the query. */
extern void chpg_find_compared(PlannerInfo *root, RelOptInfo *rel,
							   ChpgTableInfo *info);

/* Return true if the clause at an index of the plan's quals is pushed down. */
extern bool chpg_is_pushed(List *conditions, int qual);

/*
 * Return the texts of a scan's conditions as EXPLAIN prints them, in the order of the
 * plan's quals.  statement has the scan's plan, and tree is what
 * deparse_context_for_plan_tree() made of it.
 */
extern List *chpg_deparse_quals(const ForeignScanState *node,
								PlannedStmt *statement, List *tree);

#endif							/* CHPG_CLAUSES_H */
