/*-------------------------------------------------------------------------
 *
 * fdw.h
 *		The inside of foreign tables: what a plan says to its execution.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_FDW_H
#define CHPG_FDW_H

#include "datatype/timestamp.h"
#include "foreign/fdwapi.h"
#include "nodes/pathnodes.h"
#include "protocol/resources.h"

/* How a column is compared with a value that the API is told. */
typedef enum ChpgComparison
{
	CHPG_EQUAL,
	CHPG_EQUAL_ANY,				/* an element of an array */
	CHPG_LESS,
	CHPG_AT_MOST,
	CHPG_AT_LEAST,
	CHPG_GREATER
} ChpgComparison;

/* What an expression makes of a time before it is compared. */
typedef enum ChpgTimeStepKind
{
	CHPG_NO_STEP,
	CHPG_TO_CLOCK,				/* the clock in a time zone, or the session's */
	CHPG_FROM_CLOCK,			/* the reverse */
	CHPG_TRUNCATED,				/* to a unit: date_trunc(), or a date */
	CHPG_ROUNDED,				/* by up to a second */
	CHPG_SECONDS,				/* since 1970 */
	CHPG_SUBTRACTED,			/* from another time */
	CHPG_SINCE,					/* another time was subtracted */
	CHPG_PLUS,					/* an interval */
	CHPG_MINUS
}			ChpgTimeStepKind;

typedef struct ChpgTimeStep
{
	ChpgTimeStepKind kind;
	bool		has_operand;
	Expr	   *operand;		/* zone, unit, time or interval; in a plan it
								 * stands in fdw_exprs */
} ChpgTimeStep;

typedef struct ChpgCondition
{
	AttrNumber	column;
	ChpgComparison comparison;
	Expr	   *value;
	List	   *steps;			/* ChpgTimeStep, from the expression that is
								 * compared to the column; NIL: the column
								 * itself is */
	int			qual;			/* its place among the plan's quals */
} ChpgCondition;

/*
 * What a plan says.  In ForeignScan it is a list of nodes, and the values stand
 * in fdw_exprs, so that the plan can be copied and kept.
 */
typedef struct ChpgScanPlan
{
	List	   *conditions;		/* ChpgCondition, see chpg_plan_values() */
	List	   *columns;		/* attribute numbers that are needed */
	bool		list_only;		/* the list of services is enough */
	int			first_page;		/* rows that are probably enough; 0: all */
	int			concurrency;	/* 0: as the settings say */
	int			pages;			/* expected for a service */
	int			requests;		/* expected */
	bool		rescanned;		/* may be read several times */
	AttrNumber	unknown;		/* a parameter that the query compares, and
								 * that is not known here; 0: none */
	AttrNumber	sort_column;	/* rows come in its order; 0: in any */
	bool		descending;
	bool		nulls_first;
} ChpgScanPlan;

extern List *chpg_plan_to_list(const ChpgScanPlan *plan);

/* What fdw_exprs holds: the value of each condition, and what its steps need. */
extern List *chpg_plan_values(const ChpgScanPlan *plan);
extern ChpgScanPlan *chpg_plan_of_scan(const ForeignScan *scan);

/* The resource of a foreign table. */
extern const ChpgResource *chpg_table_resource(Oid table);

/*
 * The window of a table that always shows the latest rows: an interval up to now;
 * or NULL.  Error: that of a text that is no interval.
 */
extern Interval * chpg_table_window(Oid table);

/*
 * What was seen of a resource: how many services it is read of, and rows of
 * each, or what to expect as long as nothing was seen.
 */
extern void chpg_remember_size(Oid server, const ChpgResource *resource,
							   int services, double rows);
extern void chpg_expected_size(Oid server, const ChpgResource *resource,
							   double *services, double *rows);

/*
 * From now on, give the planner what was seen as statistics of the tables whose
 * wrapper has this function.
 */
extern void chpg_offer_statistics(GetForeignRelSize_function function);

/*
 * The row type of a resource, with all its attributes; belongs to the current
 * memory context.
 */
extern TupleDesc chpg_resource_rows(const ChpgResource *resource, Oid server);

/* The SQL function chpg_query_id() of the server's extension, or InvalidOid. */
extern Oid	chpg_query_id_function(Oid server);

/* The schema that is imported, and what tables with a window begin with. */
#define CHPG_REMOTE_SCHEMA	"chpg"
#define CHPG_RECENT			"recent_"

/* plan.c */
extern void chpgGetForeignRelSize(PlannerInfo *root, RelOptInfo *rel, Oid table);
extern void chpgGetForeignPaths(PlannerInfo *root, RelOptInfo *rel, Oid table);
extern ForeignScan *chpgGetForeignPlan(PlannerInfo *root, RelOptInfo *rel,
									   Oid table, ForeignPath *path,
									   List *tlist, List *clauses,
									   Plan *outer_plan);

/* import.c */
extern List *chpgImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid server);

#endif							/* CHPG_FDW_H */
