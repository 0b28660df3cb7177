/*-------------------------------------------------------------------------
 *
 * deparse.c
 *		Foreign tables: the conditions of a scan as text.
 *
 * A condition may hold a parameter that a nested loop or a correlated sub-query
 * sets.  To print what the parameter stands for, ruleutils needs the plan nodes
 * above the scan.  Core does not pass them to a foreign scan, so they are looked
 * for in the statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fdw/deparse.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"

typedef struct AncestorSearch
{
	const Plan *target;
	PlannedStmt *statement;
	List	   *ancestors;		/* Plan and SubPlan nodes above the one at
								 * hand, the nearest first */
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

/* Search what INSERT, UPDATE, DELETE and MERGE have. */
static bool
search_modification(ModifyTable * plan, AncestorSearch *search)
{
	return search_expression((Node *) plan->returningLists, search) ||
		search_expression((Node *) plan->withCheckOptionLists, search) ||
		search_expression((Node *) plan->onConflictSet, search) ||
		search_expression(plan->onConflictWhere, search) ||
		search_expression((Node *) plan->mergeActionLists, search);
}

/* Search what only some types of plan nodes have. */
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

static bool
is_join(const Plan *plan)
{
	return IsA(plan, NestLoop) || IsA(plan, MergeJoin) || IsA(plan, HashJoin);
}

/* True if the target is found: the search's ancestors are then the target's. */
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
		(is_join(plan) &&
		 search_expression((Node *) ((Join *) plan)->joinqual, search)) ||
		search_members(plan, search))
		return true;
	search->ancestors = list_delete_first(search->ancestors);
	return false;
}

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

/* Can it be found out what sets the parameter? */
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
 * Make a parameter of unknown source an external one, which is printed as $N:
 * for an internal one ruleutils insists on its source.
 */
static Node *
replace_unknown(Node *node, AncestorSearch *search)
{
	Param	   *param = (Param *) node;

	if (node == NULL)
		return node;
	if (IsA(node, SubPlan))
	{
		/* It is itself the source of what its test compares with. */
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
chpg_deparse_quals(const ForeignScanState *node, PlannedStmt * statement, List *tree)
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
