/*-------------------------------------------------------------------------
 *
 * clauses.c
 *		Conditions on a foreign table: which are pushed down, and their text.
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
#include "fdw/tables.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

/*
 * Which conditions are pushed down
 */

/*
 * Return true if this comparison of a column can be pushed down.  A bound of the
 * window can be compared by <, too, which then is where the window ends.
 */
static bool
is_pushable(const ChpgTableInfo *info, const char *column, Oid type,
			ChpgComparison comparison)
{
	const ChpgResource *resource = info->resource;
	const ChpgParameter *parameter = chpg_resource_parameter(resource, column);
	bool		equal = comparison == CHPG_EQUAL || comparison == CHPG_EQUAL_ANY;

	if (chpg_is_service_column(resource, column) || chpg_is_service_name(resource, column))
		return type == TEXTOID && equal;
	if (parameter == NULL || chpg_parameter_type(parameter) != type)
		return false;
	if (parameter->kind != CHPG_WINDOW_START && parameter->kind != CHPG_WINDOW_END)
		return equal;
	if (info->has_window || comparison == CHPG_EQUAL_ANY)
		return false;
	return parameter->kind == CHPG_WINDOW_START || comparison < CHPG_AT_LEAST;
}

/* Find the comparison of a btree strategy; return false if there is none. */
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

/* Return true if the API compares texts as this collation does: byte by byte. */
static bool
is_exact(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* A clause that compares something of the table with a value */
typedef struct Comparison
{
	Node	   *compared;
	Node	   *value;
	Oid			operator;
	bool		any;			/* of an array's elements */
} Comparison;

/*
 * Decompose a clause that compares with a value, which stands on either side.  Return
 * false for any other clause.
 */
static bool
decompose_clause(PlannerInfo *root, RelOptInfo *rel, Expr *clause, Comparison *parts)
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

/* Make a call of chpg_query_id() for a text, or for each element of an array of texts. */
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
 * hexadecimal becomes NULL, which fits no row.  Return NULL if the table has no
 * "query_id", or the extension's SQL is older than the library.
 */
static ChpgCondition *
match_query_hex(RelOptInfo *rel, const Comparison *parts, ChpgComparison comparison)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	AttrNumber	query_id = get_attnum(info->table, "query_id");
	const Var  *column = (const Var *) parts->compared;
	ChpgCondition *condition;
	Oid			function;

	if (!chpg_is_column(rel, parts->compared) || column->vartype != TEXTOID ||
		strcmp(get_attname(info->table, column->varattno, false), "query_hex") != 0 ||
		query_id == InvalidAttrNumber ||
		exprType(parts->value) != (parts->any ? TEXTARRAYOID : TEXTOID) ||
		!is_pushable(info, "query_id", get_atttype(info->table, query_id), comparison))
		return NULL;
	function = chpg_query_id_function(rel->serverid);
	if (!OidIsValid(function))
		return NULL;
	condition = palloc0(sizeof(ChpgCondition));
	condition->column = query_id;
	condition->comparison = comparison;
	condition->value = (Expr *) query_id_of_hex(function, parts->value, parts->any);
	return condition;
}

/* Find how the clause's operator compares values of a type; false if it does not. */
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

/*
 * Fill in the column of a condition, and the steps of its expression.  Return the type
 * to which its value is converted; InvalidOid if the condition cannot be pushed down.
 * A single time is a window of log lines, but none of a series, whose points the API
 * aligns with the window.
 */
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
		if (condition->steps == NIL && condition->comparison <= CHPG_EQUAL_ANY &&
			!info->endpoint->by_time)
			return InvalidOid;
		return chpg_time_value_type(type, value_type, &condition->steps);
	}
	if (!chpg_is_column(rel, parts->compared))
		return InvalidOid;
	condition->column = ((Var *) parts->compared)->varattno;
	return is_pushable(info, get_attname(info->table, condition->column, false), type,
					   condition->comparison) ? type : InvalidOid;
}

/* Return the condition that a clause is pushed down as, or NULL. */
static ChpgCondition *
match_clause(PlannerInfo *root, RelOptInfo *rel, Expr *clause)
{
	ChpgCondition *condition = palloc0(sizeof(ChpgCondition));
	ChpgCondition *hexadecimal;
	Comparison	parts;
	Oid			type;

	if (!decompose_clause(root, rel, clause, &parts) ||
		!find_comparison(&parts, exprType(parts.compared), &condition->comparison))
		return NULL;
	hexadecimal = match_query_hex(rel, &parts, condition->comparison);
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
		ChpgCondition *condition = match_clause(root, rel, rinfo->clause);

		if (condition == NULL)
			continue;
		condition->qual = foreach_current_index(lc);
		conditions = lappend(conditions, condition);
	}
	return conditions;
}

bool
chpg_is_pushed(List *conditions, int qual)
{
	ListCell   *lc;

	foreach(lc, conditions)
	{
		if (((const ChpgCondition *) lfirst(lc))->qual == qual)
			return true;
	}
	return false;
}

/*
 * Which columns the query compares
 */

/* Return true if a member of an equivalence class is an expression of the column. */
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
		if (match_clause(root, rel, lfirst_node(RestrictInfo, lc)->clause) != NULL)
			found = lappend(found, lfirst(lc));
	}
	return found;
}

/* Add the columns that a clause compares; a test for NULL is no comparison. */
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

/*
 * Return true for an equivalence class that stands for an order only, with a single
 * member.  Before 18, members of children are among those of their parents.
 */
static bool
is_order(const EquivalenceClass *ec)
{
	int			members = 0;
	ListCell   *lc;

	foreach(lc, ec->ec_members)
		members += !((EquivalenceMember *) lfirst(lc))->em_is_child;
	return members == 1;
}

/*
 * Add the columns of the table that an equivalence class compares.  The members of a
 * class name the parent of an inheritance tree only.
 */
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

/*
 * The text of conditions
 *
 * A condition may hold a parameter that a nested loop or a correlated sub-query sets.
 * To print what the parameter stands for, ruleutils needs the plan nodes above the
 * scan.  Core does not pass them to a foreign scan, so they are searched for in the
 * statement.
 */

typedef struct AncestorSearch
{
	const Plan *target;
	PlannedStmt *statement;
	List	   *ancestors;		/* Plan and SubPlan nodes above the one that
								 * is searched, the nearest first */
} AncestorSearch;

static bool search_plan(Plan *plan, AncestorSearch *search);

/* Search the plans of the SubPlan nodes in an expression, or a list of them. */
static bool
search_expression(Node *node, AncestorSearch *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubPlan))
	{
		search->ancestors = lcons(node, search->ancestors);
		if (search_plan(list_nth(search->statement->subplans,
								 ((SubPlan *) node)->plan_id - 1), search))
			return true;
		search->ancestors = list_delete_first(search->ancestors);
	}
	return expression_tree_walker(node, search_expression, search);
}

/* Search each of a list of plans. */
static bool
search_plans(List *plans, AncestorSearch *search)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		if (search_plan(lfirst(lc), search))
			return true;
	}
	return false;
}

/* Search the expressions of INSERT, UPDATE, DELETE and MERGE. */
static bool
search_modification(ModifyTable * plan, AncestorSearch *search)
{
	return search_expression((Node *) plan->returningLists, search) ||
		search_expression((Node *) plan->withCheckOptionLists, search) ||
		search_expression((Node *) plan->onConflictSet, search) ||
		search_expression(plan->onConflictWhere, search) ||
		search_expression((Node *) plan->mergeActionLists, search);
}

/* Search the plans and expressions that only some types of plan nodes have. */
static bool
search_members(Plan *plan, AncestorSearch *search)
{
	List	   *expressions = NIL;

	switch (nodeTag(plan))
	{
		case T_Append:
			return search_plans(((Append *) plan)->appendplans, search);
		case T_MergeAppend:
			return search_plans(((MergeAppend *) plan)->mergeplans, search);
		case T_SubqueryScan:
			return search_plan(((SubqueryScan *) plan)->subplan, search);
		case T_CustomScan:
			return search_plans(((CustomScan *) plan)->custom_plans, search) ||
				search_expression((Node *) ((CustomScan *) plan)->custom_exprs, search);
		case T_HashJoin:
			expressions = ((HashJoin *) plan)->hashclauses;
			break;
		case T_MergeJoin:
			expressions = ((MergeJoin *) plan)->mergeclauses;
			break;
		case T_Memoize:
			expressions = ((Memoize *) plan)->param_exprs;
			break;
		case T_FunctionScan:
			expressions = ((FunctionScan *) plan)->functions;
			break;
		case T_ValuesScan:
			expressions = ((ValuesScan *) plan)->values_lists;
			break;
		case T_IndexScan:
			expressions = ((IndexScan *) plan)->indexqualorig;
			break;
		case T_IndexOnlyScan:
			expressions = ((IndexOnlyScan *) plan)->indexqual;
			break;
		case T_BitmapHeapScan:
			expressions = ((BitmapHeapScan *) plan)->bitmapqualorig;
			break;
		case T_ForeignScan:
			expressions = ((ForeignScan *) plan)->fdw_exprs;
			break;
		case T_ModifyTable:
			return search_modification((ModifyTable *) plan, search);
		case T_WindowAgg:
			expressions = list_make2(((WindowAgg *) plan)->startOffset,
									 ((WindowAgg *) plan)->endOffset);
			break;
		case T_SampleScan:
			return search_expression((Node *) ((SampleScan *) plan)->tablesample, search);
		case T_TidScan:
			expressions = ((TidScan *) plan)->tidquals;
			break;
		case T_Limit:
			expressions = list_make2(((Limit *) plan)->limitOffset,
									 ((Limit *) plan)->limitCount);
			break;
		case T_Result:
			return search_expression(((Result *) plan)->resconstantqual, search);
		case T_TableFuncScan:
			return search_expression((Node *) ((TableFuncScan *) plan)->tablefunc, search);
		default:
			break;
	}
	return search_expression((Node *) expressions, search);
}

/*
 * Search a plan and all below it.  Return true if the target is found: the search's
 * ancestors are then those of the target.
 */
static bool
search_plan(Plan *plan, AncestorSearch *search)
{
	if (plan == NULL)
		return false;
	if (plan == search->target)
		return true;
	check_stack_depth();
	search->ancestors = lcons(plan, search->ancestors);
	if (search_plan(plan->lefttree, search) || search_plan(plan->righttree, search) ||
		search_expression((Node *) plan->initPlan, search) ||
		search_expression((Node *) plan->targetlist, search) ||
		search_expression((Node *) plan->qual, search) ||
		((IsA(plan, NestLoop) || IsA(plan, MergeJoin) || IsA(plan, HashJoin)) &&
		 search_expression((Node *) ((Join *) plan)->joinqual, search)) ||
		search_members(plan, search))
		return true;
	search->ancestors = list_delete_first(search->ancestors);
	return false;
}

/* Return true if a nested loop passes the parameter to its inner side. */
static bool
sets_parameter(const NestLoop * join, int number)
{
	ListCell   *lc;

	foreach(lc, join->nestParams)
	{
		if (((NestLoopParam *) lfirst(lc))->paramno == number)
			return true;
	}
	return false;
}

/* Return true if one of the SubPlans sets the parameter to its result. */
static bool
is_output(List *plans, int number)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		if (list_member_int(((SubPlan *) lfirst(lc))->setParam, number))
			return true;
	}
	return false;
}

/* Return true if the target's ancestors, or its own initplans, set the parameter. */
static bool
has_source(const AncestorSearch *search, int number)
{
	ListCell   *lc;

	if (is_output(search->target->initPlan, number))
		return true;
	foreach(lc, search->ancestors)
	{
		Node	   *node = lfirst(lc);

		if (IsA(node, SubPlan))
		{
			if (list_member_int(((SubPlan *) node)->parParam, number) ||
				list_member_int(((SubPlan *) node)->paramIds, number) ||
				list_member_int(((SubPlan *) node)->setParam, number))
				return true;
		}
		else if (is_output(((Plan *) node)->initPlan, number) ||
				 (IsA(node, NestLoop) && sets_parameter((NestLoop *) node, number)))
			return true;
	}
	return false;
}

/*
 * Replace parameters of unknown source in an expression by external ones, which are
 * printed as $N: ruleutils requires the source of an internal one.
 */
static Node *
replace_unknown(Node *node, AncestorSearch *search)
{
	Param	   *param = (Param *) node;

	if (node == NULL)
		return node;
	if (IsA(node, SubPlan))
	{
		/* A sub-plan is the source of the parameters of its own test. */
		search->ancestors = lcons(node, search->ancestors);
		node = expression_tree_mutator(node, replace_unknown, search);
		search->ancestors = list_delete_first(search->ancestors);
		return node;
	}
	if (!IsA(node, Param) || param->paramkind != PARAM_EXEC ||
		has_source(search, param->paramid))
		return expression_tree_mutator(node, replace_unknown, search);
	param = copyObject(param);
	param->paramkind = PARAM_EXTERN;
	return (Node *) param;
}

List *
chpg_deparse_quals(const ForeignScanState *node, PlannedStmt *statement, List *tree)
{
	AncestorSearch search = {
		.target = node->ss.ps.plan,
		.statement = statement
	};
	List	   *context;
	List	   *texts = NIL;
	ListCell   *lc;

	(void) search_plan(statement->planTree, &search);
	context = set_deparse_context_plan(tree, node->ss.ps.plan, search.ancestors);
	foreach(lc, node->ss.ps.plan->qual)
		texts = lappend(texts, deparse_expression(replace_unknown(lfirst(lc), &search),
												  context, false, false));
	return texts;
}
