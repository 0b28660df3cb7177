/*-------------------------------------------------------------------------
 *
 * clauses.h
 *		Which conditions on a foreign table the API can be told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_CLAUSES_H
#define CHPG_CLAUSES_H

#include "fdw/fdw.h"

/* What is known of a foreign table while a query is planned. */
typedef struct ChpgTableInfo
{
	const ChpgResource *resource;
	const ChpgEndpoint *endpoint;
	double		services;
	double		rows;			/* of one service */
	List	   *columns;		/* attribute numbers that are needed */
	Bitmapset  *compared;		/* attribute numbers in conditions */
	Bitmapset  *joined;			/* those that a join compares by = */
	bool		has_window;		/* of its own: the option "window" */
	AttrNumber	time;			/* "timestamp", where it bounds what is read;
								 * or 0 */
	bool		list_only;
} ChpgTableInfo;

/* What the API can be told of a clause, or NULL. */
extern ChpgCondition *chpg_match_clause(PlannerInfo *root, RelOptInfo *rel,
										Expr *clause);

/* All that it can be told of a list of RestrictInfos. */
extern List *chpg_match_clauses(PlannerInfo *root, RelOptInfo *rel, List *clauses);

extern const char *chpg_column_name(PlannerInfo *root, RelOptInfo *rel,
									AttrNumber column);

/* Join clauses that tell the API something once the other side is known. */
extern List *chpg_find_join_clauses(PlannerInfo *root, RelOptInfo *rel);

/* Does a clause compare the column, rather than ask whether it is null? */
extern bool chpg_compares(RelOptInfo *rel, Expr *clause, AttrNumber column);

/* Fill in which columns the query compares, and which it joins. */
extern void chpg_find_compared(PlannerInfo *root, RelOptInfo *rel,
							   ChpgTableInfo *info);

#endif							/* CHPG_CLAUSES_H */
