/*-------------------------------------------------------------------------
 *
 * times.h
 *		Conditions on a time column, and the range of times that they leave.
 *
 * A condition compares an expression of the column with values.  The planner takes
 * the expression apart into steps; the executor inverts them, from the values to a
 * range of the column's times.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHPG_TIMES_H
#define CHPG_TIMES_H

#include "datatype/timestamp.h"
#include "nodes/pathnodes.h"

/* How a condition compares a column, or an expression of one, with its value. */
typedef enum ChpgComparison
{
	CHPG_EQUAL,
	CHPG_EQUAL_ANY,				/* with any element of an array */
	CHPG_LESS,
	CHPG_AT_MOST,
	CHPG_AT_LEAST,
	CHPG_GREATER
} ChpgComparison;

/* What a step of an expression makes of a time. */
typedef enum ChpgTimeStepKind
{
	CHPG_NO_STEP,
	CHPG_TO_LOCAL,				/* local time in the operand's time zone, or
								 * in the session's */
	CHPG_FROM_LOCAL,			/* the inverse */
	CHPG_TRUNCATE,				/* to the operand's unit */
	CHPG_ROUND,					/* by up to a second */
	CHPG_EPOCH,					/* seconds since 1970 */
	CHPG_SUBTRACT_FROM,			/* operand - time */
	CHPG_SUBTRACT_TIME,			/* time - operand */
	CHPG_ADD_INTERVAL,
	CHPG_SUBTRACT_INTERVAL
}			ChpgTimeStepKind;

typedef struct ChpgTimeStep
{
	ChpgTimeStepKind kind;
	bool		has_operand;
	Expr	   *operand;		/* time zone, unit, time or interval; NULL in
								 * a plan, where it stands in fdw_exprs */
} ChpgTimeStep;

/* A range of times from start up to, but not including, end */
typedef struct ChpgRange
{
	bool		has_start;
	bool		has_end;
	TimestampTz start;
	TimestampTz end;
} ChpgRange;

/*
 * Return true if an expression has one value for all rows of a scan, which is known
 * before the scan: it contains no column of the table, no volatile function and no
 * sub-query.
 */
extern bool chpg_is_value(PlannerInfo *root, RelOptInfo *rel, Node *node);

/* Return true if an expression is a plain column of the table. */
extern bool chpg_is_column(RelOptInfo *rel, Node *node);

/*
 * Take apart an expression of the column, which is of type timestamptz, and of
 * values.  *steps is then a list of ChpgTimeStep, the outermost first; NIL for the
 * plain column.  Return false if a part of the expression is not understood.
 */
extern bool chpg_match_time(PlannerInfo *root, RelOptInfo *rel, AttrNumber column,
							Node *node, List **steps);

/*
 * Return the type to which a value is converted before it is compared with such an
 * expression, given the types of both; InvalidOid if there is none.  Where the types
 * differ, a step may be added in front of *steps.
 */
extern Oid	chpg_time_value_type(Oid expression, Oid value, List **steps);

/* Return true if a comparison of such an expression bounds the column from below. */
extern bool chpg_bounds_start(ChpgComparison comparison, const List *steps);

/*
 * Narrow a range to times for which an expression with these steps compares with one
 * of the values.  type is that of the values; operands has a value for each step that
 * needs one.  The result may be wider than the condition.  Return false, with the
 * range as it was, if there are no values.
 */
extern bool chpg_add_time_condition(ChpgRange *range, ChpgComparison comparison,
									const List *steps, const Datum *values,
									int count, Oid type, const Datum *operands);

/* Narrow a range to times that compare with a time; not for CHPG_EQUAL_ANY. */
extern void chpg_add_comparison(ChpgRange *range, ChpgComparison comparison,
								TimestampTz time);

/* Narrow a range to times from start on; -infinity is no bound. */
extern void chpg_add_start(ChpgRange *range, TimestampTz start);

/* Narrow a range to times before end; infinity is no bound. */
extern void chpg_add_end(ChpgRange *range, TimestampTz end);

/*
 * Narrow a range to times between the first and the last of these, which are in
 * order.  Return false, with the range as it was, if none is finite.
 */
extern bool chpg_add_times(ChpgRange *range, const Datum *times, int count);

#endif							/* CHPG_TIMES_H */
