/*-------------------------------------------------------------------------
 *
 * fdw_match.c
 *		Foreign tables: which conditions the API can be told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "fdw_match.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

const char *
chpg_column_name(PlannerInfo *root, RelOptInfo *rel, AttrNumber column)
{
	return get_attname(planner_rt_fetch(rel->relid, root)->relid, column, false);
}

/* Can the API be told this? */
static bool
is_told(const ChpgResource *resource, const char *name, Oid type,
		ChpgComparison comparison)
{
	const ChpgParameter *parameter = chpg_resource_parameter(resource, name);
	bool		equal = comparison == CHPG_EQUAL;

	if (chpg_is_service_column(resource, name))
		return type == TEXTOID && (equal || comparison == CHPG_EQUAL_ANY);
	if (resource->ranges && strcmp(name, "timestamp") == 0)
		return type == TIMESTAMPTZOID && comparison != CHPG_EQUAL_ANY;
	if (parameter == NULL || chpg_parameter_type(parameter) != type)
		return false;
	if (parameter->kind == CHPG_WINDOW_START || parameter->kind == CHPG_WINDOW_END)
		return equal;
	return equal || comparison == CHPG_EQUAL_ANY;
}

static bool
strategy_comparison(int strategy, ChpgComparison *comparison)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			*comparison = CHPG_LESS;
			return true;
		case BTLessEqualStrategyNumber:
			*comparison = CHPG_AT_MOST;
			return true;
		case BTEqualStrategyNumber:
			*comparison = CHPG_EQUAL;
			return true;
		case BTGreaterEqualStrategyNumber:
			*comparison = CHPG_AT_LEAST;
			return true;
		case BTGreaterStrategyNumber:
			*comparison = CHPG_GREATER;
			return true;
		default:
			return false;
	}
}

/* Is it known before the table is read, and the same for all its rows? */
static bool
is_value(PlannerInfo *root, RelOptInfo *rel, Node *node)
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

/* The API compares texts byte by byte. */
static bool
is_exact(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* The parts of a comparison with one of the table's columns on the left. */
static bool
take_apart(PlannerInfo *root, RelOptInfo *rel, Expr *clause, Var **column,
		   Node **value, Oid *operator, bool *any)
{
	List	   *args;
	Oid			collation;

	*any = IsA(clause, ScalarArrayOpExpr);
	if (*any)
	{
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		if (!op->useOr)
			return false;
		args = op->args;
		*operator = op->opno;
		collation = op->inputcollid;
	}
	else if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
	{
		OpExpr	   *op = (OpExpr *) clause;

		args = op->args;
		*operator = op->opno;
		collation = op->inputcollid;
	}
	else
		return false;
	*value = lsecond(args);
	if (!chpg_is_column(rel, linitial(args)))
	{
		if (*any || !chpg_is_column(rel, *value))
			return false;
		*operator = get_commutator(*operator);
		*value = linitial(args);
		args = list_make1(lsecond(args));
	}
	*column = linitial(args);
	return OidIsValid(*operator) && is_exact(collation) &&
		is_value(root, rel, *value);
}

ChpgCondition *
chpg_match_clause(PlannerInfo *root, RelOptInfo *rel, Expr *clause)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	ChpgCondition *condition;
	ChpgComparison comparison;
	Var		   *column;
	Node	   *value;
	Oid			operator;
	Oid			type;
	bool		any;

	if (!take_apart(root, rel, clause, &column, &value, &operator, &any))
		return NULL;
	type = lookup_type_cache(column->vartype, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	if (!OidIsValid(type) ||
		!strategy_comparison(get_op_opfamily_strategy(operator, type), &comparison) ||
		(any && comparison != CHPG_EQUAL))
		return NULL;
	if (any)
		comparison = CHPG_EQUAL_ANY;
	if (!is_told(info->resource, chpg_column_name(root, rel, column->varattno),
				 column->vartype, comparison))
		return NULL;
	type = any ? get_array_type(column->vartype) : column->vartype;
	value = coerce_to_target_type(NULL, value, exprType(value), type, -1,
								  COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (value == NULL)
		return NULL;
	condition = palloc0(sizeof(ChpgCondition));
	condition->column = column->varattno;
	condition->comparison = comparison;
	condition->value = (Expr *) value;
	return condition;
}

List *
chpg_match_clauses(PlannerInfo *root, RelOptInfo *rel, List *clauses)
{
	List	   *conditions = NIL;
	ListCell   *lc;

	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		ChpgCondition *condition = chpg_match_clause(root, rel, rinfo->clause);

		if (condition == NULL)
			continue;
		condition->qual = foreach_current_index(lc);
		conditions = lappend(conditions, condition);
	}
	return conditions;
}
