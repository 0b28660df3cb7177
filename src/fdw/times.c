/*-------------------------------------------------------------------------
 *
 * times.c
 *		Foreign tables: expressions of a time column that bound it when they are
 *		compared, as people and BI tools write them.
 *
 * Here an expression becomes a list of steps; bounds.c goes them back from a
 * value to a range of times.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "ascii.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fdw/fdw.h"
#include "fdw/times.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

bool
chpg_is_value(PlannerInfo *root, RelOptInfo *rel, Node *node)
{
	return !bms_is_member(rel->relid, pull_varnos(root, node)) &&
		!contain_volatile_functions(node) && !contain_subplans(node);
}

bool
chpg_is_column(RelOptInfo *rel, Node *node)
{
	return IsA(node, Var) && ((Var *) node)->varno == rel->relid &&
		((Var *) node)->varattno > 0 && ((Var *) node)->varlevelsup == 0;
}

/* What a function makes of a time: at most three steps, the outermost first. */
#define MAX_STEPS	3

/* In the place of an argument's number */
#define NO_ARGUMENT	(-1)
#define THE_DAY		(-2)

typedef struct TimeFunction
{
	Oid			function;
	int			time;			/* the argument that is the time */
	struct
	{
		ChpgTimeStepKind kind;
		int			operand;	/* the argument that the step needs */
	}			steps[MAX_STEPS];	/* up to CHPG_NO_STEP */
} TimeFunction;

static const TimeFunction functions[] = {
	{F_TIMESTAMP_TIMESTAMPTZ, 0, {{CHPG_TO_CLOCK, NO_ARGUMENT}}},
	{F_TIMEZONE_TEXT_TIMESTAMPTZ, 1, {{CHPG_TO_CLOCK, 0}}},
	{F_TIMESTAMPTZ_TIMESTAMP, 0, {{CHPG_FROM_CLOCK, NO_ARGUMENT}}},
	{F_TIMEZONE_TEXT_TIMESTAMP, 1, {{CHPG_FROM_CLOCK, 0}}},
	{F_TIMESTAMPTZ_DATE, 0, {{CHPG_FROM_CLOCK, NO_ARGUMENT}}},
	{F_TIMESTAMP_DATE, 0},
	{F_DATE_TIMESTAMP, 0, {{CHPG_TRUNCATED, THE_DAY}}},
	{F_DATE_TIMESTAMPTZ, 0, {{CHPG_TRUNCATED, THE_DAY}, {CHPG_TO_CLOCK, NO_ARGUMENT}}},
	{F_DATE_TRUNC_TEXT_TIMESTAMP, 1, {{CHPG_TRUNCATED, 0}}},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ, 1, {{CHPG_FROM_CLOCK, NO_ARGUMENT}, {CHPG_TRUNCATED, 0}, {CHPG_TO_CLOCK, NO_ARGUMENT}}},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT, 1, {{CHPG_FROM_CLOCK, 2}, {CHPG_TRUNCATED, 0}, {CHPG_TO_CLOCK, 2}}},
	{F_TIMESTAMP_TIMESTAMP_INT4, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_TIMESTAMPTZ_TIMESTAMPTZ_INT4, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_TIMESTAMPTZ_MI, 1, {{CHPG_SUBTRACTED, 0}}},
	{F_TIMESTAMPTZ_MI, 0, {{CHPG_SINCE, 1}}},
	{F_TIMESTAMP_MI, 1, {{CHPG_SUBTRACTED, 0}}},
	{F_TIMESTAMP_MI, 0, {{CHPG_SINCE, 1}}},
	{F_TIMESTAMPTZ_PL_INTERVAL, 0, {{CHPG_PLUS, 1}}},
	{F_TIMESTAMPTZ_MI_INTERVAL, 0, {{CHPG_MINUS, 1}}},
	{F_TIMESTAMP_PL_INTERVAL, 0, {{CHPG_PLUS, 1}}},
	{F_TIMESTAMP_MI_INTERVAL, 0, {{CHPG_MINUS, 1}}},
	{F_EXTRACT_TEXT_TIMESTAMPTZ, 1, {{CHPG_SECONDS, 0}}},
	{F_EXTRACT_TEXT_TIMESTAMP, 1, {{CHPG_SECONDS, 0}}},
	{F_EXTRACT_TEXT_DATE, 1, {{CHPG_SECONDS, 0}}},
	{F_DATE_PART_TEXT_TIMESTAMPTZ, 1, {{CHPG_SECONDS, 0}}},
	{F_DATE_PART_TEXT_TIMESTAMP, 1, {{CHPG_SECONDS, 0}}},
	{F_FLOAT8_NUMERIC, 0},
	{F_FLOAT8_INT8, 0},
	{F_FLOAT8_INT4, 0},
	{F_NUMERIC_INT8, 0},
	{F_NUMERIC_INT4, 0},
	{F_INT8_INT4, 0},
	{F_NUMERIC_FLOAT8, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_INT8_NUMERIC, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_INT4_NUMERIC, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_INT8_FLOAT8, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_INT4_FLOAT8, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_FLOOR_NUMERIC, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_FLOOR_FLOAT8, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_CEIL_NUMERIC, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_CEIL_FLOAT8, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_ROUND_NUMERIC, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_ROUND_FLOAT8, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_TRUNC_NUMERIC, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}},
	{F_TRUNC_FLOAT8, 0, {{CHPG_ROUNDED, NO_ARGUMENT}}}
};

static ChpgTimeStep *
make_step(ChpgTimeStepKind kind, Expr *operand)
{
	ChpgTimeStep *step = palloc0(sizeof(ChpgTimeStep));

	step->kind = kind;
	step->has_operand = operand != NULL;
	step->operand = operand;
	return step;
}

static Expr *
make_text(const char *text)
{
	return (Expr *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
							  CStringGetTextDatum(text), false, false);
}

/* Of the fields of a time, only this one grows with the time. */
static bool
is_epoch(Node *node)
{
	const Const *field = (const Const *) node;

	return IsA(node, Const) && field->consttype == TEXTOID && !field->constisnull &&
		chpg_same_in_any_case(TextDatumGetCString(field->constvalue), "epoch");
}

/* Take a function's steps, if what they need are values. */
static bool
take_function(PlannerInfo *root, RelOptInfo *rel, AttrNumber column,
			  const TimeFunction *function, List *args, List **steps)
{
	List	   *own = NIL;
	List	   *inner;

	for (int i = 0; i < MAX_STEPS && function->steps[i].kind != CHPG_NO_STEP; i++)
	{
		ChpgTimeStepKind kind = function->steps[i].kind;
		int			number = function->steps[i].operand;
		Node	   *operand = number >= 0 ? list_nth(args, number) : NULL;

		if (operand != NULL && !chpg_is_value(root, rel, operand))
			return false;
		if (kind == CHPG_SECONDS)
		{
			if (!is_epoch(operand))
				return false;
			operand = NULL;
		}
		own = lappend(own, make_step(kind, number == THE_DAY ? make_text("day") :
									 (Expr *) operand));
	}
	if (!chpg_match_time(root, rel, column, list_nth(args, function->time), &inner))
		return false;
	*steps = list_concat(own, inner);
	return true;
}

bool
chpg_match_time(PlannerInfo *root, RelOptInfo *rel, AttrNumber column, Node *node,
				List **steps)
{
	List	   *args;
	Oid			function;

	check_stack_depth();
	*steps = NIL;
	if (IsA(node, RelabelType))
		return chpg_match_time(root, rel, column,
							   (Node *) ((RelabelType *) node)->arg, steps);
	if (chpg_is_column(rel, node))
		return ((Var *) node)->varattno == column;
	if (IsA(node, FuncExpr))
	{
		function = ((FuncExpr *) node)->funcid;
		args = ((FuncExpr *) node)->args;
	}
	else if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		function = ((OpExpr *) node)->opfuncid;
		args = ((OpExpr *) node)->args;
	}
	else
		return false;
	for (int i = 0; i < lengthof(functions); i++)
	{
		if (functions[i].function == function &&
			take_function(root, rel, column, &functions[i], args, steps))
			return true;
	}
	return false;
}

/* A date, or a time of the clock, becomes a time by the session's time zone. */
Oid
chpg_bound_type(Oid expression, Oid value, List **steps)
{
	switch (expression)
	{
		case DATEOID:
		case TIMESTAMPOID:
			if (value != TIMESTAMPTZOID)
				return TIMESTAMPOID;
			*steps = lcons(make_step(CHPG_FROM_CLOCK, NULL), *steps);
			return TIMESTAMPTZOID;
		case TIMESTAMPTZOID:
			return TIMESTAMPTZOID;
		case INTERVALOID:
			return INTERVALOID;
		case NUMERICOID:
		case FLOAT8OID:
		case INT8OID:
		case INT4OID:
			return FLOAT8OID;
		default:
			return InvalidOid;
	}
}
