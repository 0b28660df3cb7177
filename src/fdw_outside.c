/*-------------------------------------------------------------------------
 *
 * fdw_outside.c
 *		Foreign tables: what is said of a sub-query's columns outside of it.
 *
 * A sub-query that is planned apart is told conditions with constants, if it may
 * be, but not how its columns are joined.  Who names a window that way must not
 * get the default one.  Where it is not certain whose column is compared, it is taken
 * for ours: the price is an error that asks for the window.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fdw_outside.h"
#include "fdw_times.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

typedef struct OutsideSearch
{
	PlannerInfo *outer;
	const		TargetEntry *entry; /* of the sub-query */
	int			length;			/* of its target list */
	bool		compared;
} OutsideSearch;

static int
count_columns(List *targets)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, targets)
		count += !lfirst_node(TargetEntry, lc)->resjunk;
	return count;
}

/* May it be the sub-query's column?  Those of a UNION go by their places. */
static bool
is_sought(Node *node, void *arg)
{
	const OutsideSearch *search = arg;
	Var		   *var = (Var *) node;
	RangeTblEntry *rte;
	TargetEntry *entry;

	if (!IsA(node, Var) || var->varlevelsup > 0 ||
		var->varattno != search->entry->resno)
		return false;
	rte = planner_rt_fetch(var->varno, search->outer);
	if (rte->rtekind == RTE_CTE)
		return list_length(rte->coltypes) == search->length;
	if (rte->rtekind != RTE_SUBQUERY ||
		count_columns(rte->subquery->targetList) != search->length)
		return false;
	entry = get_tle_by_resno(rte->subquery->targetList, var->varattno);
	return rte->subquery->setOperations != NULL ||
		search->outer->parse->setOperations != NULL ||
		strcmp(entry->resname, search->entry->resname) == 0;
}

static bool
search_conditions(Node *node, OutsideSearch *search)
{
	if (node == NULL || IsA(node, NullTest))
		return false;
	search->compared |= is_sought(node, search);
	return expression_tree_walker(node, search_conditions, search);
}

/* The table's column of this name; what was made of a time is still one. */
typedef struct NamedColumn
{
	PlannerInfo *root;
	Relids		relids;
	const char *name;
} NamedColumn;

static bool
is_named(Node *node, void *arg)
{
	const NamedColumn *column = arg;
	Var		   *var = (Var *) node;

	return IsA(node, Var) && var->varlevelsup == 0 && var->varattno > 0 &&
		bms_is_member(var->varno, column->relids) &&
		strcmp(get_rte_attribute_name(planner_rt_fetch(var->varno, column->root),
									  var->varattno), column->name) == 0;
}

static bool
is_entry_of(const TargetEntry * entry, NamedColumn *column, bool as_time)
{
	Node	   *expr = (Node *) entry->expr;

	if (entry->resjunk)
		return false;
	if (!as_time)
		return is_named(expr, column);
	return chpg_is_time(expr) && chpg_contains(expr, is_named, column) &&
		!contain_agg_clause(expr) && !contain_windowfuncs(expr);
}

/* The outer query's column that is the one sought, as it stands, or NULL. */
static const TargetEntry *
find_outer_entry(OutsideSearch *search)
{
	ListCell   *lc;

	foreach(lc, search->outer->parse->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (!entry->resjunk && is_sought((Node *) entry->expr, search))
			return entry;
	}
	return NULL;
}

static bool
is_entry_compared(PlannerInfo *root, const TargetEntry * entry, bool as_time)
{
	OutsideSearch search = {.entry = entry};

	while (search.entry != NULL && root->parent_root != NULL)
	{
		Node	   *outer;

		search.length = count_columns(root->parse->targetList);
		search.outer = root = root->parent_root;
		outer = (Node *) root->parse->jointree;
		if (as_time)
			search.compared |= chpg_compares_time(outer, is_sought, &search);
		else
			(void) search_conditions(outer, &search);
		search.entry = find_outer_entry(&search);
	}
	return search.compared;
}

bool
chpg_is_compared_outside(PlannerInfo *root, RelOptInfo *rel, const char *column,
						 bool as_time)
{
	NamedColumn named = {
		.root = root,
		.relids = rel->top_parent_relids ? rel->top_parent_relids : rel->relids,
		.name = column
	};
	ListCell   *lc;

	foreach(lc, root->parent_root != NULL ? root->parse->targetList : NIL)
	{
		const		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (is_entry_of(entry, &named, as_time) &&
			is_entry_compared(root, entry, as_time))
			return true;
	}
	return false;
}
