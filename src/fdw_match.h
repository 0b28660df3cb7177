/*-------------------------------------------------------------------------
 *
 * fdw_match.h
 *		Which conditions on a foreign table the API can be told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_FDW_MATCH_H
#define CHPG_FDW_MATCH_H

#include "fdw.h"

/* What is known of a foreign table while a query is planned. */
typedef struct ChpgTableInfo
{
	const ChpgResource *resource;
	const ChpgEndpoint *endpoint;
	double		services;
	double		rows;			/* of one service */
	List	   *columns;		/* attribute numbers that are needed */
	Bitmapset  *compared;		/* attribute numbers in conditions */
	bool		time_compared;	/* so that the query may name a window */
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

/* Fill in which columns the query compares. */
extern void chpg_find_compared(PlannerInfo *root, RelOptInfo *rel,
							   ChpgTableInfo *info);

/*
 * Comparisons of times, which may name a window: of what has a column in it,
 * and is a time still.  An hour of the day, or a distance, is none.
 */
typedef bool (*ChpgColumnTest) (Node *node, void *arg);
extern bool chpg_is_time(Node *node);
extern bool chpg_contains(Node *node, ChpgColumnTest test, void *arg);
extern bool chpg_compares_time(Node *node, ChpgColumnTest test, void *arg);

/*
 * Is a column compared by queries around the sub-query that the table is in, as
 * a time if that is what matters?  (fdw_outside.c)
 */
extern bool chpg_is_compared_outside(PlannerInfo *root, RelOptInfo *rel,
									 const char *column, bool as_time);

/* Is it a column of the table, as it stands? */
extern bool chpg_is_column(RelOptInfo *rel, Node *node);

#endif							/* CHPG_FDW_MATCH_H */
