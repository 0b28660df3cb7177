/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Planning scans of foreign tables, and the plan that a scan executes.
 *
 * The cost of a plan is the number of its requests.  Estimates rest on the sizes that
 * earlier scans found: planning sends nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fdw/clauses.h"
#include "fdw/plan.h"
#include "fdw/tables.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* A request takes a second, by the documented limit of 10 per 10 s. */
#define REQUEST_COST		1000.0

/* A scan by the values of the join is better, however many values there are. */
#define JOINED_RANGE_COST	(CHPG_IMPOSSIBLE_COST / 2)

/* Number of values that an array is expected to have */
#define ARRAY_LENGTH		3

/* What one way to read a table is expected to take */
typedef struct Estimate
{
	bool		possible;		/* all parameters are bound that must be */
	bool		joined_range;	/* a bound of the window is joined by =, and
								 * has only a range */
	double		requests;
	double		rows;
	Cost		startup_cost;
	Cost		total_cost;
} Estimate;

/*
 * Which parameters are bound
 */

/* Return the number of values that a condition compares with, as far as known. */
static double
count_values(const ChpgCondition *condition)
{
	const Const *array = (const Const *) condition->value;

	if (condition->comparison == CHPG_EQUAL)
		return 1;
	if (IsA(condition->value, ArrayExpr))
		return list_length(((ArrayExpr *) condition->value)->elements);
	if (!IsA(array, Const) || array->constisnull)
		return ARRAY_LENGTH;
	return ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(array->constvalue)),
						  ARR_DIMS(DatumGetArrayTypeP(array->constvalue)));
}

/* Return the condition by = or IN on a column with the fewest values, or NULL. */
static const ChpgCondition *
find_condition(const ChpgTableInfo *info, List *conditions, const char *name)
{
	const ChpgCondition *found = NULL;
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const ChpgCondition *condition = lfirst(lc);

		if (condition->comparison <= CHPG_EQUAL_ANY &&
			strcmp(get_attname(info->table, condition->column, false), name) == 0 &&
			(found == NULL || count_values(condition) < count_values(found)))
			found = condition;
	}
	return found;
}

/* Return true if a range of "timestamp" or "from_date" bounds the window's start. */
static bool
has_range(const ChpgTableInfo *info, List *conditions)
{
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const ChpgCondition *condition = lfirst(lc);

		if (condition->column == info->time &&
			chpg_bounds_start(condition->comparison, condition->steps))
			return true;
		if (condition->comparison >= CHPG_AT_LEAST &&
			strcmp(get_attname(info->table, condition->column, false), "from_date") == 0)
			return true;
	}
	return false;
}

/* Return true if a condition, or the table's own window, restricts a parameter. */
static bool
is_restricted(const ChpgTableInfo *info, List *conditions, const char *name)
{
	ListCell   *lc;

	if (info->has_window && strcmp(name, "bucket") != 0)
		return true;
	foreach(lc, conditions)
	{
		if (strcmp(get_attname(info->table, ((ChpgCondition *) lfirst(lc))->column, false),
				   name) == 0)
			return true;
	}
	return false;
}

/* Return true if a parameter has a value, be it the bound of a range. */
static bool
is_bound(const ChpgTableInfo *info, List *conditions, const ChpgParameter *parameter)
{
	if (find_condition(info, conditions, parameter->name) != NULL)
		return true;
	switch (parameter->kind)
	{
		case CHPG_WINDOW_START:
			return info->has_window || has_range(info, conditions);
		case CHPG_WINDOW_END:
			return has_range(info, conditions) ||
				is_restricted(info, conditions, parameter->name);
		default:
			return false;
	}
}

/* Return true if the column is a bound of the query's window, and restricted by no =. */
static bool
is_range_bound(const ChpgTableInfo *info, List *conditions, AttrNumber column)
{
	const char *name = get_attname(info->table, column, false);
	const ChpgParameter *parameter = chpg_resource_parameter(info->resource, name);

	return !info->has_window && parameter != NULL &&
		(parameter->kind == CHPG_WINDOW_START || parameter->kind == CHPG_WINDOW_END) &&
		find_condition(info, conditions, name) == NULL;
}

/*
 * Return true if a clause compares the column and is not pushed down: one of the list,
 * or a join clause that the scan could check and that is left to the join.
 */
static bool
has_local_comparison(RelOptInfo *rel, List *clauses, List *conditions, AttrNumber column)
{
	ListCell   *lc;

	foreach(lc, clauses)
	{
		if (!chpg_is_pushed(conditions, foreach_current_index(lc)) &&
			chpg_compares(rel, lfirst_node(RestrictInfo, lc)->clause, column))
			return true;
	}
	foreach(lc, rel->joininfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (!list_member_ptr(clauses, rinfo) && join_clause_is_movable_to(rinfo, rel) &&
			chpg_compares(rel, rinfo->clause, column))
			return true;
	}
	return false;
}

/*
 * Return the column of a parameter that the query compares, but in no way that binds
 * it; 0 if there is none.  A window that a range bounds has one start and one end: any
 * other condition on them would be checked against these, and select nothing of what
 * lies between.
 */
static AttrNumber
find_unpushed(RelOptInfo *rel, List *clauses, List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	int			column = -1;

	while ((column = bms_next_member(info->compared, column)) >= 0)
	{
		const char *name = get_attname(info->table, column, false);

		if (!chpg_is_listed(info->resource->parameters, name))
			continue;
		if (!is_restricted(info, conditions, name) ||
			(is_range_bound(info, conditions, column) &&
			 has_local_comparison(rel, clauses, conditions, column)))
			return column;
	}
	return InvalidAttrNumber;
}

/*
 * Return true if a bound of the window is joined by =, and has only a range here.  All
 * rows of such a scan show the same bound, so the join finds few matches; a scan that is
 * parameterized by the join finds all.
 */
static bool
has_joined_range(const ChpgTableInfo *info, List *conditions)
{
	int			column = -1;

	while ((column = bms_next_member(info->joined, column)) >= 0)
	{
		if (is_range_bound(info, conditions, column) &&
			is_restricted(info, conditions, get_attname(info->table, column, false)))
			return true;
	}
	return false;
}

/* Return true if these conditions bind all that a scan requires. */
static bool
is_possible(RelOptInfo *rel, List *clauses, List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	const ChpgParameter *parameters = info->endpoint->parameters;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].required && !is_bound(info, conditions, &parameters[i]))
			return false;
	}
	if (find_unpushed(rel, clauses, conditions) != InvalidAttrNumber)
		return false;
	return info->endpoint->fleet || info->list_only || info->resource->any_state ||
		!chpg_endpoint_is_per_service(info->endpoint) ||
		find_condition(info, conditions, "service_id") != NULL;
}

/*
 * Estimates
 */

/*
 * Return the number of services that are read.  *listed is set if they have to be
 * listed first.
 */
static double
count_services(const ChpgTableInfo *info, List *conditions, bool *listed)
{
	const char *name = info->endpoint->service_attribute;
	const ChpgCondition *condition;
	const ChpgCondition *named = NULL;
	double		services;

	*listed = false;
	if (!chpg_endpoint_is_per_service(info->endpoint))
		return 1;
	condition = find_condition(info, conditions, name ? name : "service_id");
	if (info->endpoint->names_services)
		named = find_condition(info, conditions, "service_name");
	*listed = condition == NULL;
	services = condition != NULL ? Max(count_values(condition), 1) : info->services;
	return named != NULL ? Min(services, Max(count_values(named), 1)) : services;
}

/* Return the number of combinations of values that each service is read with. */
static double
count_combinations(const ChpgTableInfo *info, List *conditions)
{
	const ChpgParameter *parameters = info->endpoint->parameters;
	double		combinations = 1;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		const ChpgCondition *condition = find_condition(info, conditions,
														parameters[i].name);

		if (condition != NULL && parameters[i].required)
			combinations *= Max(count_values(condition), 1);
	}
	return combinations;
}

static double
pages_of_service(const ChpgTableInfo *info)
{
	int			size = info->endpoint->page_size;

	return size == 0 ? 1 : Max(ceil(info->rows / size), 1);
}

/*
 * Return the share of the rows that clauses select.  A condition on a service, a
 * parameter or the window counts for nothing: it chooses what is read.
 */
static Selectivity
selectivity_of_rows(PlannerInfo *root, RelOptInfo *rel, List *clauses,
					List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	List	   *remaining = list_copy(clauses);
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const ChpgCondition *condition = lfirst(lc);
		const char *name = get_attname(info->table, condition->column, false);

		if (chpg_is_service_column(info->resource, name) ||
			chpg_is_service_name(info->resource, name) ||
			chpg_is_listed(info->resource->parameters, name) ||
			condition->column == info->time)
			remaining = list_delete_ptr(remaining,
										list_nth(clauses, condition->qual));
	}
	return clauselist_selectivity(root, remaining, 0, JOIN_INNER, NULL);
}

/*
 * Estimate a scan with these clauses, which are RestrictInfos.  limit is the number of
 * rows after which it probably ends; 0: it reads all.
 */
static void
make_estimate(PlannerInfo *root, RelOptInfo *rel, List *clauses, double limit,
			  Estimate *estimate)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	List	   *conditions = chpg_match_clauses(root, rel, clauses);
	bool		listed;
	double		reads = count_services(info, conditions, &listed) *
	count_combinations(info, conditions);
	double		rows = reads * info->rows;
	Cost		extra = 0;

	estimate->possible = is_possible(rel, clauses, conditions);
	estimate->joined_range = has_joined_range(info, conditions);
	estimate->rows = clamp_row_est(rows * selectivity_of_rows(root, rel, clauses,
															  conditions));
	if (info->list_only || info->endpoint->text_start != NULL)
		estimate->requests = 1;
	else if (limit > 0 && rows > 0)
		estimate->requests = ceil(Min(limit / rows, 1) * reads *
								  pages_of_service(info)) + listed;
	else
		estimate->requests = reads * pages_of_service(info) + listed;
	if (!estimate->possible)
		extra = CHPG_IMPOSSIBLE_COST;
	else if (estimate->joined_range)
		extra = JOINED_RANGE_COST;
	estimate->startup_cost = REQUEST_COST + extra;
	estimate->total_cost = estimate->requests * REQUEST_COST + rows * cpu_tuple_cost +
		extra;
}

/*
 * Which columns are needed
 */

/* Return the numbers of the columns that the query's output and the clauses use. */
static List *
needed_columns(RelOptInfo *rel, List *clauses)
{
	Bitmapset  *numbers = NULL;
	List	   *columns = NIL;
	ListCell   *lc;
	bool		all;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &numbers);
	foreach(lc, clauses)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause, rel->relid,
					   &numbers);
	all = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, numbers);
	for (int i = 1; i <= rel->max_attr; i++)
	{
		if (all || bms_is_member(i - FirstLowInvalidHeapAttributeNumber, numbers))
			columns = lappend_int(columns, i);
	}
	return columns;
}

/* Return true if the list of services has all columns that the query uses. */
static bool
is_list_enough(RelOptInfo *rel, const ChpgTableInfo *info)
{
	ListCell   *lc;

	if (info->resource->listed == NULL)
		return false;
	foreach(lc, needed_columns(rel, rel->baserestrictinfo))
	{
		if (!chpg_is_listed(info->resource->listed,
							get_attname(info->table, lfirst_int(lc), false)))
			return false;
	}
	return true;
}

/*
 * Return the column whose comparisons bound the window, or 0.  The API aligns the points
 * of a series with the window, so a window of the table's own is not shortened there.
 */
static AttrNumber
find_time(const ChpgTableInfo *info)
{
	AttrNumber	time = get_attnum(info->table, "timestamp");

	if (!info->resource->ranges || (info->has_window && !info->endpoint->by_time) ||
		time == InvalidAttrNumber || get_atttype(info->table, time) != TIMESTAMPTZOID)
		return InvalidAttrNumber;
	return time;
}

/* Gather what planning needs to know of the table, and estimate its rows. */
void
chpgGetForeignRelSize(PlannerInfo *root, RelOptInfo *rel, Oid table)
{
	ChpgTableInfo *info = palloc0(sizeof(ChpgTableInfo));
	Estimate	estimate;

	rel->fdw_private = info;
	info->table = table;
	info->resource = chpg_table_resource(table);
	info->endpoint = &chpg_endpoints[info->resource->operation];
	chpg_offer_statistics(chpgGetForeignRelSize);
	info->has_window = chpg_table_window(table) != NULL;
	info->time = find_time(info);
	chpg_estimate_size(rel->serverid, info->resource, &info->services, &info->rows);
	info->list_only = is_list_enough(rel, info);
	chpg_find_compared(root, rel, info);
	make_estimate(root, rel, rel->baserestrictinfo, 0, &estimate);
	rel->tuples = info->services * info->rows;
	rel->rows = estimate.rows;
}

/*
 * Paths
 */

/* Return the query's limit if its rows are those of the scan; else 0. */
static double
limit_of_scan(PlannerInfo *root)
{
	const Query *query = root->parse;

	if (root->limit_tuples <= 0 ||
		bms_membership(root->all_baserels) != BMS_SINGLETON ||
		query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs ||
		query->groupClause != NIL || query->groupingSets != NIL ||
		query->havingQual != NULL || query->distinctClause != NIL ||
		query->setOperations != NULL || query->rowMarks != NIL)
		return 0;
	return root->limit_tuples;
}

const char *
chpg_sort_key(const ChpgEndpoint *endpoint, const char *column)
{
	for (const ChpgSortField *field = endpoint->sort_fields; field && field->key; field++)
	{
		if (strcmp(field->attribute, column) == 0)
			return field->key;
	}
	return NULL;
}

/*
 * Return true if the API can sort by a column as a pathkey says.  Nulls that come
 * first may be anywhere in the API's order.
 */
static bool
is_sortable(const ChpgTableInfo *info, const Var *column, const PathKey *pathkey)
{
	const char *name = get_attname(info->table, column->varattno, false);

	if (lookup_type_cache(column->vartype,
						  TYPECACHE_BTREE_OPFAMILY)->btree_opf != pathkey->pk_opfamily ||
		(column->vartype != FLOAT8OID && column->vartype != INT8OID))
		return false;
	for (const ChpgSortField *field = info->endpoint->sort_fields; field->key; field++)
	{
		if (strcmp(field->attribute, name) == 0 &&
			(field->always || !pathkey->pk_nulls_first))
			return true;
	}
	return false;
}

/*
 * Return the column by which the API can sort as ORDER BY requires, or 0.  It can for
 * one service, if a page has as many rows as the limit.
 */
static AttrNumber
find_sort_column(PlannerInfo *root, RelOptInfo *rel, double limit)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	List	   *conditions = chpg_match_clauses(root, rel, rel->baserestrictinfo);
	PathKey    *pathkey;
	ListCell   *lc;

	if (info->endpoint->sort_fields == NULL || limit > info->endpoint->page_size ||
		list_length(root->query_pathkeys) != 1 ||
		find_condition(info, conditions, info->endpoint->service_attribute) == NULL)
		return 0;
	foreach(lc, conditions)
	{
		const ChpgCondition *condition = lfirst(lc);

		if (condition->comparison != CHPG_EQUAL &&
			!chpg_is_listed(info->resource->parameters,
							get_attname(info->table, condition->column, false)))
			return 0;
	}
	pathkey = linitial(root->query_pathkeys);
	foreach(lc, pathkey->pk_eclass->ec_members)
	{
		Node	   *member = (Node *) ((EquivalenceMember *) lfirst(lc))->em_expr;

		if (chpg_is_column(rel, member) && is_sortable(info, (Var *) member, pathkey))
			return ((Var *) member)->varattno;
	}
	return 0;
}

/* Add a path; chpgGetForeignPlan() finds its limit and sort column in fdw_private. */
static void
add_scan_path(PlannerInfo *root, RelOptInfo *rel, const Estimate *estimate,
			  double limit, AttrNumber sort_column, Relids required_outer)
{
	List	   *private = list_make2(makeInteger((int) Min(limit, PG_INT32_MAX)),
									 makeInteger(sort_column));

	add_path(rel, (Path *)
			 chpg_create_foreignscan_path(root, rel, estimate->rows,
										  estimate->startup_cost,
										  estimate->total_cost, estimate->possible,
										  sort_column != 0 ? root->query_pathkeys : NIL,
										  required_outer, private));
}

/* Add the parameterization by some relations to a list, unless it is there already. */
static List *
add_parameterization(PlannerInfo *root, RelOptInfo *rel, List *ppis, Relids relids)
{
	Relids		outer = bms_del_member(bms_union(relids, rel->lateral_relids),
									   rel->relid);

	if (bms_is_empty(outer))
		return ppis;
	return list_append_unique_ptr(ppis, get_baserel_parampathinfo(root, rel, outer));
}

/* Return the parameterizations by each joined relation, and by all of them. */
static List *
find_parameterizations(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *ppis = NIL;
	Relids		all = NULL;
	ListCell   *lc;

	foreach(lc, chpg_find_join_clauses(root, rel))
	{
		Relids		relids = lfirst_node(RestrictInfo, lc)->clause_relids;

		ppis = add_parameterization(root, rel, ppis, relids);
		all = bms_union(all, relids);
	}
	return add_parameterization(root, rel, ppis, all);
}

/* Add paths with values of joined relations, where these save requests. */
static void
add_parameterized_paths(PlannerInfo *root, RelOptInfo *rel, const Estimate *base)
{
	ListCell   *lc;

	foreach(lc, find_parameterizations(root, rel))
	{
		ParamPathInfo *ppi = (ParamPathInfo *) lfirst(lc);
		Estimate	estimate;

		make_estimate(root, rel,
					  list_concat_copy(rel->baserestrictinfo, ppi->ppi_clauses),
					  0, &estimate);
		if (!estimate.possible ||
			(base->possible && !base->joined_range &&
			 estimate.requests >= base->requests))
			continue;
		ppi->ppi_rows = estimate.rows;
		add_scan_path(root, rel, &estimate, 0, 0, ppi->ppi_req_outer);
	}
}

void
chpgGetForeignPaths(PlannerInfo *root, RelOptInfo *rel, Oid table)
{
	List	   *clauses = rel->baserestrictinfo;
	double		limit = limit_of_scan(root);
	Estimate	all;
	Estimate	first;
	AttrNumber	sort_column = 0;

	/* How many rows pass a condition that is checked here is not known. */
	if (list_length(chpg_match_clauses(root, rel, clauses)) != list_length(clauses))
		limit = 0;
	make_estimate(root, rel, clauses, 0, &all);
	make_estimate(root, rel, clauses, limit, &first);
	first.rows = all.rows = rel->rows;
	if (limit > 0 && root->query_pathkeys == NIL)
		add_scan_path(root, rel, &first, limit, 0, rel->lateral_relids);
	else
		add_scan_path(root, rel, &all, 0, 0, rel->lateral_relids);
	if (limit > 0)
		sort_column = find_sort_column(root, rel, limit);
	if (sort_column != 0)
		add_scan_path(root, rel, &first, limit, sort_column, rel->lateral_relids);
	add_parameterized_paths(root, rel, &all);
}

/*
 * Plans as lists of nodes
 */

/* The parts of fdw_private, in this order */
enum PlanPart
{
	PLAN_CONDITIONS,			/* a list of integers for each condition */
	PLAN_COLUMNS,
	PLAN_NUMBERS				/* the other members of ChpgScanPlan */
};

/* Return column, comparison, qual, and of each step its kind and has_operand. */
static List *
condition_to_list(const ChpgCondition *condition)
{
	List	   *numbers = list_make3_int(condition->column, condition->comparison,
										 condition->qual);
	ListCell   *lc;

	foreach(lc, condition->steps)
	{
		const ChpgTimeStep *step = lfirst(lc);

		numbers = lappend_int(numbers, step->kind);
		numbers = lappend_int(numbers, step->has_operand);
	}
	return numbers;
}

/* Return the condition that condition_to_list() wrote, without its expressions. */
static ChpgCondition *
condition_of_list(const List *numbers)
{
	ChpgCondition *condition = palloc0(sizeof(ChpgCondition));

	condition->column = list_nth_int(numbers, 0);
	condition->comparison = list_nth_int(numbers, 1);
	condition->qual = list_nth_int(numbers, 2);
	for (int n = 3; n < list_length(numbers); n += 2)
	{
		ChpgTimeStep *step = palloc0(sizeof(ChpgTimeStep));

		step->kind = list_nth_int(numbers, n);
		step->has_operand = list_nth_int(numbers, n + 1) != 0;
		condition->steps = lappend(condition->steps, step);
	}
	return condition;
}

/* Return the expressions of the conditions, in the order of fdw_exprs. */
static List *
expressions_of_plan(const ChpgScanPlan *plan)
{
	List	   *expressions = NIL;
	ListCell   *lc;

	foreach(lc, plan->conditions)
	{
		const ChpgCondition *condition = lfirst(lc);
		ListCell   *cell;

		expressions = lappend(expressions, condition->value);
		foreach(cell, condition->steps)
		{
			const ChpgTimeStep *step = lfirst(cell);

			if (step->has_operand)
				expressions = lappend(expressions, step->operand);
		}
	}
	return expressions;
}

/* Return a plan as fdw_private has it. */
static List *
plan_to_list(const ChpgScanPlan *plan)
{
	List	   *conditions = NIL;
	List	   *numbers = NIL;
	ListCell   *lc;

	foreach(lc, plan->conditions)
		conditions = lappend(conditions, condition_to_list(lfirst(lc)));
	numbers = lappend_int(numbers, plan->list_only);
	numbers = lappend_int(numbers, plan->first_page);
	numbers = lappend_int(numbers, plan->concurrency);
	numbers = lappend_int(numbers, plan->pages);
	numbers = lappend_int(numbers, plan->requests);
	numbers = lappend_int(numbers, plan->rescanned);
	numbers = lappend_int(numbers, plan->unpushed);
	numbers = lappend_int(numbers, plan->sort_column);
	numbers = lappend_int(numbers, plan->descending);
	numbers = lappend_int(numbers, plan->nulls_first);
	return list_make3(conditions, plan->columns, numbers);
}

ChpgScanPlan *
chpg_plan_of_scan(const ForeignScan *scan)
{
	ChpgScanPlan *plan = palloc0(sizeof(ChpgScanPlan));
	List	   *conditions = list_nth(scan->fdw_private, PLAN_CONDITIONS);
	List	   *numbers = list_nth(scan->fdw_private, PLAN_NUMBERS);
	int			i = 0;
	ListCell   *lc;

	foreach(lc, conditions)
		plan->conditions = lappend(plan->conditions, condition_of_list(lfirst(lc)));
	plan->columns = list_nth(scan->fdw_private, PLAN_COLUMNS);
	plan->list_only = list_nth_int(numbers, i++) != 0;
	plan->first_page = list_nth_int(numbers, i++);
	plan->concurrency = list_nth_int(numbers, i++);
	plan->pages = list_nth_int(numbers, i++);
	plan->requests = list_nth_int(numbers, i++);
	plan->rescanned = list_nth_int(numbers, i++) != 0;
	plan->unpushed = list_nth_int(numbers, i++);
	plan->sort_column = list_nth_int(numbers, i++);
	plan->descending = list_nth_int(numbers, i++) != 0;
	plan->nulls_first = list_nth_int(numbers, i++) != 0;
	return plan;
}

/* Make the ForeignScan of a path; the executor checks all clauses on the rows. */
ForeignScan *
chpgGetForeignPlan(PlannerInfo *root, RelOptInfo *rel, Oid table,
				   ForeignPath *path, List *tlist, List *clauses, Plan *outer_plan)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	ChpgScanPlan plan = {0};
	Estimate	estimate;
	List	   *actual = NIL;
	double		limit = intVal(linitial(path->fdw_private));
	ListCell   *lc;

	/* A Result node checks clauses that do not depend on a row. */
	foreach(lc, clauses)
	{
		if (!lfirst_node(RestrictInfo, lc)->pseudoconstant)
			actual = lappend(actual, lfirst(lc));
	}
	plan.conditions = chpg_match_clauses(root, rel, actual);
	make_estimate(root, rel, actual, limit, &estimate);
	plan.columns = needed_columns(rel, actual);
	plan.list_only = info->list_only;
	plan.pages = (int) Min(pages_of_service(info), PG_INT32_MAX);
	plan.requests = (int) Min(estimate.requests, PG_INT32_MAX);
	plan.rescanned = root->parent_root != NULL ||
		bms_membership(root->all_baserels) != BMS_SINGLETON;
	plan.unpushed = find_unpushed(rel, actual, plan.conditions);
	plan.first_page = (int) limit;
	if (limit > 0)
		plan.concurrency = (int) Min(ceil(limit / Max(info->rows, 1)), PG_INT32_MAX);
	plan.sort_column = intVal(lsecond(path->fdw_private));
	if (plan.sort_column != 0)
	{
		const PathKey *pathkey = linitial(path->path.pathkeys);

		plan.descending = chpg_is_descending(pathkey);
		plan.nulls_first = pathkey->pk_nulls_first;
	}
	return make_foreignscan(tlist, extract_actual_clauses(actual, false),
							rel->relid, expressions_of_plan(&plan), plan_to_list(&plan),
							NIL, NIL, outer_plan);
}
