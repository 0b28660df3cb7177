/*-------------------------------------------------------------------------
 *
 * fdw_match.c
 *		Foreign tables: which conditions the API can be told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/sysattr.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fdw_match.h"
#include "fdw_outside.h"
#include "fdw_times.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

const char *
chpg_column_name(PlannerInfo *root, RelOptInfo *rel, AttrNumber column)
{
	return get_attname(planner_rt_fetch(rel->relid, root)->relid, column, false);
}

/*
 * Can the API be told this?  Lines of a log are the same in any window, also in
 * the shortest; where points stand depends on it.
 */
static bool
is_told(const ChpgResource *resource, const char *name, Oid type,
		ChpgComparison comparison)
{
	const ChpgParameter *parameter = chpg_resource_parameter(resource, name);
	bool		equal = comparison == CHPG_EQUAL;

	if (chpg_is_service_column(resource, name))
		return type == TEXTOID && (equal || comparison == CHPG_EQUAL_ANY);
	if (resource->ranges && strcmp(name, "timestamp") == 0)
		return type == TIMESTAMPTZOID &&
			(comparison > CHPG_EQUAL_ANY || chpg_endpoints[resource->operation].by_time);
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

/* The value of chpg_query_id() for a text, or for each element of an array. */
static Node *
query_id_of_hex(Oid function, Node *hex, bool any)
{
	ArrayCoerceExpr *each;
	CaseTestExpr *element;

	if (!any)
		return (Node *) makeFuncExpr(function, INT8OID, list_make1(hex), InvalidOid,
									 DEFAULT_COLLATION_OID, COERCE_EXPLICIT_CALL);
	element = makeNode(CaseTestExpr);
	element->typeId = TEXTOID;
	element->typeMod = -1;
	element->collation = DEFAULT_COLLATION_OID;
	each = makeNode(ArrayCoerceExpr);
	each->arg = (Expr *) hex;
	each->elemexpr = (Expr *) query_id_of_hex(function, (Node *) element, false);
	each->resulttype = INT8ARRAYOID;
	each->resulttypmod = -1;
	each->coerceformat = COERCE_EXPLICIT_CALL;
	each->location = -1;
	return (Node *) each;
}

/*
 * Push a condition on "query_hex" down as one on "query_id".  A text that is not
 * hexadecimal becomes NULL, which no row fits.  NULL if the table has no "query_id", or
 * the extension's SQL is older than the library.
 */
static ChpgCondition *
match_query_hex(PlannerInfo *root, RelOptInfo *rel, const Var *column, Node *value,
				ChpgComparison comparison)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	Oid			table = planner_rt_fetch(rel->relid, root)->relid;
	AttrNumber	query_id = get_attnum(table, "query_id");
	bool		any = comparison == CHPG_EQUAL_ANY;
	ChpgCondition *condition;
	Oid			function;

	if (strcmp(chpg_column_name(root, rel, column->varattno), "query_hex") != 0 ||
		column->vartype != TEXTOID || query_id == InvalidAttrNumber ||
		exprType(value) != (any ? TEXTARRAYOID : TEXTOID) ||
		!is_told(info->resource, "query_id", get_atttype(table, query_id), comparison))
		return NULL;
	function = chpg_query_id_function(rel->serverid);
	if (!OidIsValid(function))
		return NULL;
	condition = palloc0(sizeof(ChpgCondition));
	condition->column = query_id;
	condition->comparison = comparison;
	condition->value = (Expr *) query_id_of_hex(function, value, any);
	return condition;
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
	condition = match_query_hex(root, rel, column, value, comparison);
	if (condition != NULL)
		return condition;
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

/*
 * What the query compares
 */

static bool
is_member_of_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec,
					EquivalenceMember *em, void *arg)
{
	return chpg_is_column(rel, (Node *) em->em_expr) &&
		((Var *) em->em_expr)->varattno == *(AttrNumber *) arg;
}

List *
chpg_find_join_clauses(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *candidates = NIL;
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, rel->joininfo)
	{
		if (join_clause_is_movable_to(lfirst_node(RestrictInfo, lc), rel))
			candidates = lappend(candidates, lfirst(lc));
	}
	for (AttrNumber i = 1; rel->has_eclass_joins && i <= rel->max_attr; i++)
		candidates = list_concat(candidates,
								 generate_implied_equalities_for_column(root, rel,
																		is_member_of_column, &i,
																		rel->lateral_referencers));
	foreach(lc, candidates)
	{
		if (chpg_match_clause(root, rel, lfirst_node(RestrictInfo, lc)->clause) != NULL)
			found = lappend(found, lfirst(lc));
	}
	return found;
}

/* Add the columns of a clause, unless it only asks whether they are null. */
static Bitmapset *
add_compared(RelOptInfo *rel, Bitmapset *columns, Node *clause)
{
	Bitmapset  *numbers = NULL;
	int			number = -1;

	if (!IsA(clause, NullTest))
		pull_varattnos(clause, rel->relid, &numbers);
	while ((number = bms_next_member(numbers, number)) >= 0)
	{
		if (number + FirstLowInvalidHeapAttributeNumber > 0)
			columns = bms_add_member(columns, number + FirstLowInvalidHeapAttributeNumber);
	}
	return columns;
}

/* The column of the table that a window may be a range of. */
typedef struct TimeColumn
{
	RelOptInfo *rel;
	AttrNumber	number;
} TimeColumn;

static bool
is_time_column(Node *node, void *arg)
{
	const TimeColumn *column = arg;

	return chpg_is_column(column->rel, node) &&
		((Var *) node)->varattno == column->number;
}

/* One with a single member is an order only; before 18, children are members, too. */
static bool
is_order(const EquivalenceClass *ec)
{
	int			members = 0;
	ListCell   *lc;

	foreach(lc, ec->ec_members)
		members += !((EquivalenceMember *) lfirst(lc))->em_is_child;
	return members == 1;
}

/* An equivalence class knows what is said of a parent only. */
static void
add_equivalent(PlannerInfo *root, RelOptInfo *rel, ChpgTableInfo *info,
			   EquivalenceClass *ec, TimeColumn *time)
{
	Relids		relids = rel->top_parent_relids ? rel->top_parent_relids : rel->relids;
	ListCell   *lc;

	if (is_order(ec) || !bms_is_subset(relids, ec->ec_relids))
		return;
	foreach(lc, ec->ec_members)
	{
		EquivalenceMember *em = (EquivalenceMember *) lfirst(lc);
		Node	   *compared = (Node *) em->em_expr;

		if (em->em_is_child || !bms_overlap(relids, em->em_relids))
			continue;
		if (rel->top_parent_relids != NULL)
			compared = chpg_translate_to_child(root, rel, compared);
		info->compared = add_compared(rel, info->compared, compared);
		info->time_compared |= chpg_is_time(compared) &&
			chpg_contains(compared, is_time_column, time);
	}
}

/* What is said there is not needed here, but may be why no window is named. */
static void
add_compared_outside(PlannerInfo *root, RelOptInfo *rel, ChpgTableInfo *info,
					 AttrNumber time)
{
	ListCell   *lc;

	foreach(lc, info->columns)
	{
		AttrNumber	column = lfirst_int(lc);
		const char *name = chpg_column_name(root, rel, column);
		const ChpgParameter *parameter = chpg_resource_parameter(info->resource, name);

		if (column == time ||
			(parameter != NULL && (parameter->kind == CHPG_WINDOW_START ||
								   parameter->kind == CHPG_WINDOW_END)))
			info->time_compared |= chpg_is_compared_outside(root, rel, name,
															column == time);
	}
}

void
chpg_find_compared(PlannerInfo *root, RelOptInfo *rel, ChpgTableInfo *info)
{
	TimeColumn	time = {.rel = rel};
	ListCell   *lc;

	foreach(lc, info->resource->ranges ? info->columns : NIL)
	{
		if (strcmp(chpg_column_name(root, rel, lfirst_int(lc)), "timestamp") == 0)
			time.number = lfirst_int(lc);
	}
	foreach(lc, list_concat_copy(rel->baserestrictinfo, rel->joininfo))
	{
		Node	   *clause = (Node *) lfirst_node(RestrictInfo, lc)->clause;

		info->compared = add_compared(rel, info->compared, clause);
		info->time_compared |= chpg_compares_time(clause, is_time_column, &time);
	}
	foreach(lc, root->eq_classes)
		add_equivalent(root, rel, info, lfirst(lc), &time);
	add_compared_outside(root, rel, info, time.number);
}
