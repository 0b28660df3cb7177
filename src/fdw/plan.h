/*-------------------------------------------------------------------------
 *
 * plan.h
 *		Planning scans of foreign tables, and the plan that a scan executes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_PLAN_H
#define CHPG_PLAN_H

#include "foreign/fdwapi.h"
#include "nodes/pathnodes.h"
#include "protocol/resources.h"

/*
 * The plan of a scan.  ForeignScan.fdw_private has it as lists of nodes, so that it
 * can be copied, and fdw_exprs has the expressions: of each condition its value, then
 * the operands of its steps.
 */
typedef struct ChpgScanPlan
{
	List	   *conditions;		/* ChpgCondition, without expressions */
	List	   *columns;		/* attribute numbers that are needed */
	bool		list_only;		/* the list of services has all columns */
	int			first_page;		/* rows that are probably enough; 0: all */
	int			concurrency;	/* services read at once; 0: as the settings
								 * say */
	int			pages;			/* expected of a service */
	int			requests;		/* expected of the scan */
	bool		rescanned;		/* the scan may be repeated */
	AttrNumber	unpushed;		/* a parameter that the query compares in no
								 * way that can be pushed down; 0: none */
	AttrNumber	sort_column;	/* rows come in its order; 0: in any */
	bool		descending;
	bool		nulls_first;
} ChpgScanPlan;

/*
 * Return the plan that a ForeignScan holds.  The result belongs to the current memory
 * context.
 */
extern ChpgScanPlan *chpg_plan_of_scan(const ForeignScan *scan);

/* Return the API's name of the field that sorts by a column; NULL if there is none. */
extern const char *chpg_sort_key(const ChpgEndpoint *endpoint, const char *column);

/* The planner's callbacks; none sends a request. */
extern void chpgGetForeignRelSize(PlannerInfo *root, RelOptInfo *rel, Oid table);
extern void chpgGetForeignPaths(PlannerInfo *root, RelOptInfo *rel, Oid table);
extern ForeignScan *chpgGetForeignPlan(PlannerInfo *root, RelOptInfo *rel,
									   Oid table, ForeignPath *path,
									   List *tlist, List *clauses,
									   Plan *outer_plan);

#endif							/* CHPG_PLAN_H */
