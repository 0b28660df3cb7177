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

#include "fdw_match.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"

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
is_sought(const OutsideSearch *search, Node *node)
{
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
		strcmp(entry->resname, search->entry->resname) == 0;
}

static bool
search_conditions(Node *node, OutsideSearch *search)
{
	if (node == NULL || IsA(node, NullTest))
		return false;
	search->compared |= is_sought(search, node);
	return expression_tree_walker(node, search_conditions, search);
}

/* The query's column that is one of the table, as it stands, or NULL. */
static const TargetEntry *
find_entry(PlannerInfo *root, RelOptInfo *rel, const char *name)
{
	Relids		relids = rel->top_parent_relids ? rel->top_parent_relids : rel->relids;
	ListCell   *lc;

	foreach(lc, root->parse->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		Var		   *var = (Var *) entry->expr;

		if (!entry->resjunk && IsA(var, Var) && var->varlevelsup == 0 &&
			var->varattno > 0 && bms_is_member(var->varno, relids) &&
			strcmp(get_rte_attribute_name(planner_rt_fetch(var->varno, root),
										  var->varattno), name) == 0)
			return entry;
	}
	return NULL;
}

/* The outer query's column that is the one sought, as it stands, or NULL. */
static const TargetEntry *
find_outer_entry(const OutsideSearch *search)
{
	ListCell   *lc;

	foreach(lc, search->outer->parse->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (!entry->resjunk && is_sought(search, (Node *) entry->expr))
			return entry;
	}
	return NULL;
}

bool
chpg_is_compared_outside(PlannerInfo *root, RelOptInfo *rel, const char *column)
{
	OutsideSearch search = {.entry = find_entry(root, rel, column)};

	while (search.entry != NULL && root->parent_root != NULL)
	{
		search.length = count_columns(root->parse->targetList);
		search.outer = root = root->parent_root;
		(void) search_conditions((Node *) root->parse->jointree, &search);
		search.entry = find_outer_entry(&search);
	}
	return search.compared;
}
