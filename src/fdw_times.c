/*-------------------------------------------------------------------------
 *
 * fdw_times.c
 *		Foreign tables: comparisons of times, which may name a window.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fdw_times.h"
#include "nodes/nodeFuncs.h"

bool
chpg_is_time(Node *node)
{
	switch (exprType(node))
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			return true;
		default:
			return false;
	}
}

typedef struct ColumnSearch
{
	ChpgColumnTest test;
	void	   *arg;
} ColumnSearch;

static bool
search_column(Node *node, ColumnSearch *search)
{
	if (node == NULL)
		return false;
	return search->test(node, search->arg) ||
		expression_tree_walker(node, search_column, search);
}

bool
chpg_contains(Node *node, ChpgColumnTest test, void *arg)
{
	ColumnSearch search = {test, arg};

	return search_column(node, &search);
}

static bool
search_comparison(Node *node, ColumnSearch *search)
{
	List	   *args = NIL;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr) && ((OpExpr *) node)->opresulttype == BOOLOID)
		args = ((OpExpr *) node)->args;
	else if (IsA(node, ScalarArrayOpExpr))
		args = ((ScalarArrayOpExpr *) node)->args;
	else if (IsA(node, RowCompareExpr))
		args = list_concat_copy(((RowCompareExpr *) node)->largs,
								((RowCompareExpr *) node)->rargs);
	foreach(lc, args)
	{
		if (chpg_is_time(lfirst(lc)) && search_column(lfirst(lc), search))
			return true;
	}
	return expression_tree_walker(node, search_comparison, search);
}

bool
chpg_compares_time(Node *node, ChpgColumnTest test, void *arg)
{
	ColumnSearch search = {test, arg};

	return search_comparison(node, &search);
}
