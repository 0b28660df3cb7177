/*-------------------------------------------------------------------------
 *
 * bind.h
 *		What a scan of a foreign table reads, by the values of its conditions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_BIND_H
#define CHPG_BIND_H

#include "engine/rows.h"
#include "fdw/plan.h"
#include "nodes/execnodes.h"

/* The value of an expression that is pushed down */
typedef struct ChpgPushedValue
{
	Datum		value;
	bool		isnull;
	bool		by_value;		/* how its type is stored */
	int16		length;
} ChpgPushedValue;

/* A plan, and what it comes to with the present values of its expressions */
typedef struct ChpgBinding
{
	/* as long as the plan is executed; see chpg_bind_init() */
	ForeignScanState *node;
	const ChpgScanPlan *plan;
	const ChpgResource *resource;
	const		Interval *window;	/* of the table itself, or NULL */
	Relation	relation;
	int			num_columns;	/* of the table */
	List	   *expressions;	/* ExprState, of fdw_exprs */
	Oid			user;			/* the role whose key is used */

	/* as long as the values stay; see chpg_bind() */
	ChpgPushedValue *pushed;	/* of each expression */
	ChpgReadSpec spec;
	const char *prometheus_service; /* the only service whose Prometheus
									 * metrics are read; NULL: all */
	bool		narrowed;		/* optional filters leave out some rows */
	Datum	   *fixed;			/* value of a column in all rows, ... */
	bool	   *is_fixed;		/* ... if it is the same in all */
} ChpgBinding;

/*
 * Fill in what stays as long as the plan is executed.  The binding and all that it
 * holds belong to the current memory context.
 */
extern void chpg_bind_init(ChpgBinding *binding, ForeignScanState *node);

/*
 * Evaluate the expressions, and fill in what the scan reads.  Return false if the
 * values fit no row.  Nothing is sent.  What is filled in belongs to the current memory
 * context.  Errors: HV002 if a parameter is not bound that must be, 22023 for values
 * that the API rejects, 54000 for too many of them, HV005 and HV004 for columns that
 * the resource lacks or that have another type.
 */
extern bool chpg_bind(ChpgBinding *binding);

/* Return true if the expressions have the values that chpg_bind() found. */
extern bool chpg_bind_is_current(const ChpgBinding *binding);

#endif							/* CHPG_BIND_H */
