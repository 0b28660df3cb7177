/*-------------------------------------------------------------------------
 *
 * clauses.c
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
#include "fdw/clauses.h"
#include "fdw/times.h"
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

/* Can a bound of the window be told by this comparison of its column? */
static bool
is_window_told(ChpgParameterKind kind, ChpgComparison comparison)
{
	switch (comparison)
	{
		case CHPG_EQUAL:
		case CHPG_LESS:
		case CHPG_AT_MOST:
			return true;
		case CHPG_AT_LEAST:
		case CHPG_GREATER:
			return kind == CHPG_WINDOW_START;
		default:
			return false;
	}
}

/*
 * Can the API be told this?  Lines of a log are the same in any window, also in
 * the shortest; where points stand depends on it.
 */
static bool
is_told(const ChpgTableInfo *info, const char *name, Oid type,
		ChpgComparison comparison)
{
	const ChpgResource *resource = info->resource;
	const ChpgParameter *parameter = chpg_resource_parameter(resource, name);
	bool		equal = comparison == CHPG_EQUAL;

	if (chpg_is_service_column(resource, name))
		return type == TEXTOID && (equal || comparison == CHPG_EQUAL_ANY);
	if (parameter == NULL || chpg_parameter_type(parameter) != type)
		return false;
	if (parameter->kind == CHPG_WINDOW_START || parameter->kind == CHPG_WINDOW_END)
		return !info->has_window && is_window_told(parameter->kind, comparison);
	return equal || comparison == CHPG_EQUAL_ANY;
}

/* The same of the time, as it stands or by what an expression makes of it. */
static bool
is_time_told(const ChpgTableInfo *info, const ChpgCondition *condition)
{
	return condition->steps != NIL || condition->comparison > CHPG_EQUAL_ANY ||
		chpg_endpoints[info->resource->operation].by_time;
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

/* The API compares texts byte by byte. */
static bool
is_exact(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* A comparison of something with a value */
typedef struct Comparison
{
	Node	   *compared;
	Node	   *value;
	Oid			operator;
	bool		any;			/* with any element of an array */
} Comparison;

/* The parts of a clause that compares with a value, which then is on the right. */
static bool
take_apart(PlannerInfo *root, RelOptInfo *rel, Expr *clause, Comparison *parts)
{
	List	   *args;
	Oid			collation;

	parts->any = IsA(clause, ScalarArrayOpExpr);
	if (parts->any)
	{
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		if (!op->useOr)
			return false;
		args = op->args;
		parts->operator = op->opno;
		collation = op->inputcollid;
	}
	else if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
	{
		OpExpr	   *op = (OpExpr *) clause;

		args = op->args;
		parts->operator = op->opno;
		collation = op->inputcollid;
	}
	else
		return false;
	parts->compared = linitial(args);
	parts->value = lsecond(args);
	if (!parts->any && !chpg_is_value(root, rel, parts->value))
	{
		parts->operator = get_commutator(parts->operator);
		parts->compared = lsecond(args);
		parts->value = linitial(args);
	}
	return OidIsValid(parts->operator) && is_exact(collation) &&
		chpg_is_value(root, rel, parts->value);
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
match_query_hex(PlannerInfo *root, RelOptInfo *rel, Node *compared, Node *value,
				ChpgComparison comparison)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	Oid			table = planner_rt_fetch(rel->relid, root)->relid;
	AttrNumber	query_id = get_attnum(table, "query_id");
	bool		any = comparison == CHPG_EQUAL_ANY;
	ChpgCondition *condition;
	Oid			function;

	if (!chpg_is_column(rel, compared) || exprType(compared) != TEXTOID ||
		strcmp(chpg_column_name(root, rel, ((Var *) compared)->varattno), "query_hex") != 0 ||
		query_id == InvalidAttrNumber ||
		exprType(value) != (any ? TEXTARRAYOID : TEXTOID) ||
		!is_told(info, "query_id", get_atttype(table, query_id), comparison))
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

/* How an operator compares values of a type; false if it does not. */
static bool
find_comparison(const Comparison *parts, Oid type, ChpgComparison *comparison)
{
	Oid			family = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;

	if (!OidIsValid(family) ||
		!strategy_comparison(get_op_opfamily_strategy(parts->operator, family),
							 comparison) ||
		(parts->any && *comparison != CHPG_EQUAL))
		return false;
	if (parts->any)
		*comparison = CHPG_EQUAL_ANY;
	return true;
}

/* The type that the value is wanted in, once the condition is told; or InvalidOid. */
static Oid
match_compared(PlannerInfo *root, RelOptInfo *rel, const Comparison *parts,
			   ChpgCondition *condition)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	Oid			type = exprType(parts->compared);
	Oid			value_type = exprType(parts->value);

	if (parts->any)
		value_type = get_base_element_type(value_type);
	if (info->time != InvalidAttrNumber &&
		chpg_match_time(root, rel, info->time, parts->compared, &condition->steps))
	{
		condition->column = info->time;
		return is_time_told(info, condition) ?
			chpg_bound_type(type, value_type, &condition->steps) : InvalidOid;
	}
	if (!chpg_is_column(rel, parts->compared))
		return InvalidOid;
	condition->column = ((Var *) parts->compared)->varattno;
	return is_told(info, chpg_column_name(root, rel, condition->column), type,
				   condition->comparison) ? type : InvalidOid;
}

ChpgCondition *
chpg_match_clause(PlannerInfo *root, RelOptInfo *rel, Expr *clause)
{
	ChpgCondition *condition = palloc0(sizeof(ChpgCondition));
	ChpgCondition *hexadecimal;
	Comparison	parts;
	Oid			type;

	if (!take_apart(root, rel, clause, &parts) ||
		!find_comparison(&parts, exprType(parts.compared), &condition->comparison))
		return NULL;
	hexadecimal = match_query_hex(root, rel, parts.compared, parts.value,
								  condition->comparison);
	if (hexadecimal != NULL)
		return hexadecimal;
	type = match_compared(root, rel, &parts, condition);
	if (!OidIsValid(type))
		return NULL;
	if (parts.any)
		type = get_array_type(type);
	condition->value = (Expr *) coerce_to_target_type(NULL, parts.value,
													  exprType(parts.value), type, -1,
													  COERCION_ASSIGNMENT,
													  COERCE_IMPLICIT_CAST, -1);
	return condition->value != NULL ? condition : NULL;
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
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	AttrNumber	column = *(AttrNumber *) arg;
	List	   *steps;

	if (chpg_is_column(rel, (Node *) em->em_expr))
		return ((Var *) em->em_expr)->varattno == column;
	return column == info->time &&
		chpg_match_time(root, rel, column, (Node *) em->em_expr, &steps);
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

bool
chpg_compares(RelOptInfo *rel, Expr *clause, AttrNumber column)
{
	return bms_is_member(column, add_compared(rel, NULL, (Node *) clause));
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
			   EquivalenceClass *ec)
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
		if (!ec->ec_has_const)
			info->joined = add_compared(rel, info->joined, compared);
	}
}

void
chpg_find_compared(PlannerInfo *root, RelOptInfo *rel, ChpgTableInfo *info)
{
	ListCell   *lc;

	foreach(lc, list_concat_copy(rel->baserestrictinfo, rel->joininfo))
		info->compared = add_compared(rel, info->compared,
									  (Node *) lfirst_node(RestrictInfo, lc)->clause);
	foreach(lc, root->eq_classes)
		add_equivalent(root, rel, info, lfirst(lc));
}
