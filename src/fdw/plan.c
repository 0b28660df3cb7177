/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Foreign tables: what it costs to read them, and how that is planned.
 *
 * What counts is how many requests a plan needs.  Nothing is asked while
 * planning: what to expect is what was seen before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fdw/bounds.h"
#include "fdw/clauses.h"
#include "fdw/times.h"
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

/* A request takes the time of a second of the budget. */
#define REQUEST_COST		1000.0

/* A scan by the values of the join is to be preferred, however many there are. */
#define JOINED_RANGE_COST	(CHPG_IMPOSSIBLE_COST / 2)

/* Values that an array is expected to have. */
#define ARRAY_LENGTH		3

/* What a way to read a table takes. */
typedef struct Estimate
{
	bool		possible;		/* nothing that must be known is missing */
	bool		joined_range;	/* a bound of the window is joined, and known
								 * by a range only */
	double		requests;
	double		rows;
	Cost		startup_cost;
	Cost		total_cost;
} Estimate;

/*
 * Estimates
 */

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

/* The condition on a column that names the fewest values, or NULL. */
static const ChpgCondition *
find_condition(PlannerInfo *root, RelOptInfo *rel, List *conditions,
			   const char *name)
{
	const ChpgCondition *found = NULL;
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const ChpgCondition *condition = lfirst(lc);

		if (condition->comparison <= CHPG_EQUAL_ANY &&
			strcmp(chpg_column_name(root, rel, condition->column), name) == 0 &&
			(found == NULL || count_values(condition) < count_values(found)))
			found = condition;
	}
	return found;
}

/* Is the start of the window known by a range of "timestamp" or "from_date"? */
static bool
has_range(PlannerInfo *root, RelOptInfo *rel, List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const ChpgCondition *condition = lfirst(lc);

		if (condition->column == info->time && chpg_bounds_start(condition))
			return true;
		if (condition->comparison >= CHPG_AT_LEAST &&
			strcmp(chpg_column_name(root, rel, condition->column), "from_date") == 0)
			return true;
	}
	return false;
}

/* Does a condition tell what a parameter is, or its bound, or the table itself? */
static bool
is_told(PlannerInfo *root, RelOptInfo *rel, List *conditions, const char *name)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	ListCell   *lc;

	if (info->has_window && strcmp(name, "bucket") != 0)
		return true;
	foreach(lc, conditions)
	{
		if (strcmp(chpg_column_name(root, rel, ((ChpgCondition *) lfirst(lc))->column),
				   name) == 0)
			return true;
	}
	return false;
}

/* Is a parameter known? */
static bool
is_known(PlannerInfo *root, RelOptInfo *rel, List *conditions,
		 const ChpgParameter *parameter)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	bool		in_window = parameter->kind == CHPG_WINDOW_START ||
	parameter->kind == CHPG_WINDOW_END;

	return find_condition(root, rel, conditions, parameter->name) != NULL ||
		(in_window && (info->has_window || has_range(root, rel, conditions))) ||
		(parameter->kind == CHPG_WINDOW_END &&
		 is_told(root, rel, conditions, parameter->name));
}

/* Is the column a bound of a window that the query names, and named by no =? */
static bool
is_range_bound(PlannerInfo *root, RelOptInfo *rel, List *conditions, AttrNumber column)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	const char *name = chpg_column_name(root, rel, column);
	const ChpgParameter *parameter = chpg_resource_parameter(info->resource, name);

	return !info->has_window && parameter != NULL &&
		(parameter->kind == CHPG_WINDOW_START || parameter->kind == CHPG_WINDOW_END) &&
		find_condition(root, rel, conditions, name) == NULL;
}

/* Is a clause of the list one that is pushed down? */
static bool
is_pushed(List *conditions, int number)
{
	ListCell   *lc;

	foreach(lc, conditions)
	{
		if (((const ChpgCondition *) lfirst(lc))->qual == number)
			return true;
	}
	return false;
}

/*
 * Does a clause compare the column that is not pushed down?  Clauses of joins count
 * that the scan could check, and that are left to the join.
 */
static bool
has_unpushed(RelOptInfo *rel, List *clauses, List *conditions, AttrNumber column)
{
	ListCell   *lc;

	foreach(lc, clauses)
	{
		if (!is_pushed(conditions, foreach_current_index(lc)) &&
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
 * A parameter that is compared with something, and not known; 0: none.  A window
 * that a range bounds has one start and one end: any other condition on them would
 * be checked against these, and select nothing of what lies between.
 */
static AttrNumber
find_unknown(PlannerInfo *root, RelOptInfo *rel, List *clauses, List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	int			column = -1;

	while ((column = bms_next_member(info->compared, column)) >= 0)
	{
		const char *name = chpg_column_name(root, rel, column);

		if (!chpg_is_listed(info->resource->parameters, name))
			continue;
		if (!is_told(root, rel, conditions, name) ||
			(is_range_bound(root, rel, conditions, column) &&
			 has_unpushed(rel, clauses, conditions, column)))
			return column;
	}
	return InvalidAttrNumber;
}

/*
 * Is a bound of the window joined by =, and known by a range only?  Then a scan that
 * the join gives a value finds more rows.
 */
static bool
has_joined_range(PlannerInfo *root, RelOptInfo *rel, List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	int			column = -1;

	while ((column = bms_next_member(info->joined, column)) >= 0)
	{
		if (is_range_bound(root, rel, conditions, column) &&
			is_told(root, rel, conditions, chpg_column_name(root, rel, column)))
			return true;
	}
	return false;
}

/* Is all known that has to be? */
static bool
is_possible(PlannerInfo *root, RelOptInfo *rel, List *clauses, List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	const ChpgParameter *parameters = info->endpoint->parameters;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].required &&
			!is_known(root, rel, conditions, &parameters[i]))
			return false;
	}
	if (find_unknown(root, rel, clauses, conditions) != InvalidAttrNumber)
		return false;
	return info->endpoint->fleet || info->list_only ||
		info->resource->any_state ||
		!chpg_endpoint_is_per_service(info->endpoint) ||
		find_condition(root, rel, conditions, "service_id") != NULL;
}

/* How many services are asked, and whether they have to be listed for that. */
static double
count_services(PlannerInfo *root, RelOptInfo *rel, List *conditions, bool *listed)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	const char *name = info->endpoint->service_attribute;
	const ChpgCondition *condition;

	*listed = false;
	if (!chpg_endpoint_is_per_service(info->endpoint))
		return 1;
	condition = find_condition(root, rel, conditions, name ? name : "service_id");
	*listed = condition == NULL;
	return condition != NULL ? Max(count_values(condition), 1) : info->services;
}

/* In how many variants each service is asked. */
static double
count_alternatives(PlannerInfo *root, RelOptInfo *rel, List *conditions)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	const ChpgParameter *parameters = info->endpoint->parameters;
	double		alternatives = 1;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		const ChpgCondition *condition = find_condition(root, rel, conditions,
														parameters[i].name);

		if (condition != NULL && parameters[i].required)
			alternatives *= Max(count_values(condition), 1);
	}
	return alternatives;
}

static double
pages_of_service(const ChpgTableInfo *info)
{
	int			size = info->endpoint->page_size;

	return size == 0 ? 1 : Max(ceil(info->rows / size), 1);
}

/* Does it choose what is read, rather than some of it? */
static bool
chooses_scope(PlannerInfo *root, RelOptInfo *rel, const ChpgCondition *condition)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	const char *name = chpg_column_name(root, rel, condition->column);

	return chpg_is_service_column(info->resource, name) ||
		chpg_is_listed(info->resource->parameters, name) ||
		condition->column == info->time;
}

static Selectivity
remaining_selectivity(PlannerInfo *root, RelOptInfo *rel, List *clauses,
					  List *conditions)
{
	List	   *remaining = list_copy(clauses);
	ListCell   *lc;

	foreach(lc, conditions)
	{
		ChpgCondition *condition = lfirst(lc);

		if (chooses_scope(root, rel, condition))
			remaining = list_delete_ptr(remaining,
										list_nth(clauses, condition->qual));
	}
	return clauselist_selectivity(root, remaining, 0, JOIN_INNER, NULL);
}

static void
make_estimate(PlannerInfo *root, RelOptInfo *rel, List *clauses, double limit,
			  Estimate *estimate)
{
	const ChpgTableInfo *info = (ChpgTableInfo *) rel->fdw_private;
	List	   *conditions = chpg_match_clauses(root, rel, clauses);
	bool		listed;
	double		sources = count_services(root, rel, conditions, &listed) *
	count_alternatives(root, rel, conditions);
	double		rows = sources * info->rows;

	estimate->possible = is_possible(root, rel, clauses, conditions);
	estimate->joined_range = has_joined_range(root, rel, conditions);
	estimate->rows = clamp_row_est(rows * remaining_selectivity(root, rel, clauses,
																conditions));
	if (info->list_only)
		estimate->requests = 1;
	else if (info->endpoint->text_start != NULL)
		estimate->requests = 1;
	else if (limit > 0 && rows > 0)
		estimate->requests = ceil(Min(limit / rows, 1) * sources *
								  pages_of_service(info)) + listed;
	else
		estimate->requests = sources * pages_of_service(info) + listed;
	estimate->startup_cost = REQUEST_COST;
	estimate->total_cost = estimate->requests * REQUEST_COST + rows * cpu_tuple_cost;
	if (!estimate->possible)
	{
		estimate->startup_cost += CHPG_IMPOSSIBLE_COST;
		estimate->total_cost += CHPG_IMPOSSIBLE_COST;
	}
	else if (estimate->joined_range)
	{
		estimate->startup_cost += JOINED_RANGE_COST;
		estimate->total_cost += JOINED_RANGE_COST;
	}
}

/*
 * Which columns are needed
 */

static List *
needed_columns(RelOptInfo *rel, List *clauses, int num_columns)
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
	for (int i = 1; i <= num_columns; i++)
	{
		if (all || bms_is_member(i - FirstLowInvalidHeapAttributeNumber, numbers))
			columns = lappend_int(columns, i);
	}
	return columns;
}

static bool
is_list_enough(PlannerInfo *root, RelOptInfo *rel, const ChpgTableInfo *info,
			   List *columns)
{
	ListCell   *lc;

	if (info->resource->listed == NULL)
		return false;
	foreach(lc, columns)
	{
		if (!chpg_is_listed(info->resource->listed,
							chpg_column_name(root, rel, lfirst_int(lc))))
			return false;
	}
	return true;
}

/*
 * The column whose bounds are those of what is read.  The points of a series
 * depend on the window, so that one that is given cannot be made shorter.
 */
static AttrNumber
find_time(const ChpgTableInfo *info, Oid table)
{
	AttrNumber	time = get_attnum(table, "timestamp");

	if (!info->resource->ranges || (info->has_window && !info->endpoint->by_time) ||
		time == InvalidAttrNumber || get_atttype(table, time) != TIMESTAMPTZOID)
		return InvalidAttrNumber;
	return time;
}

void
chpgGetForeignRelSize(PlannerInfo *root, RelOptInfo *rel, Oid table)
{
	ChpgTableInfo *info = palloc0(sizeof(ChpgTableInfo));
	Estimate	estimate;

	rel->fdw_private = info;
	info->resource = chpg_table_resource(table);
	info->endpoint = &chpg_endpoints[info->resource->operation];
	chpg_offer_statistics(chpgGetForeignRelSize);
	info->has_window = chpg_table_window(table) != NULL;
	info->time = find_time(info, table);
	chpg_expected_size(rel->serverid, info->resource, &info->services, &info->rows);
	info->columns = needed_columns(rel, rel->baserestrictinfo, rel->max_attr);
	info->list_only = is_list_enough(root, rel, info, info->columns);
	chpg_find_compared(root, rel, info);
	make_estimate(root, rel, rel->baserestrictinfo, 0, &estimate);
	rel->tuples = info->services * info->rows;
	rel->rows = estimate.rows;
}

/*
 * Paths
 */

/* How many rows are wanted, if the scan's rows are what the query gives; or 0. */
static double
wanted_rows(PlannerInfo *root)
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

/*
 * The column by which the API can sort as the query wants, or 0: for one
 * service, of which everything that is wanted fits into one page.  Nulls that
 * come first may be anywhere in the API's order.
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
		list_length(conditions) != list_length(rel->baserestrictinfo))
		return 0;
	foreach(lc, conditions)
	{
		const ChpgCondition *condition = lfirst(lc);

		if (condition->comparison != CHPG_EQUAL &&
			!chpg_is_listed(info->resource->parameters,
							chpg_column_name(root, rel, condition->column)))
			return 0;
	}
	if (find_condition(root, rel, conditions, info->endpoint->service_attribute) == NULL)
		return 0;
	pathkey = linitial(root->query_pathkeys);
	foreach(lc, pathkey->pk_eclass->ec_members)
	{
		Var		   *column = (Var *) ((EquivalenceMember *) lfirst(lc))->em_expr;

		if (!chpg_is_column(rel, (Node *) column) ||
			lookup_type_cache(column->vartype,
							  TYPECACHE_BTREE_OPFAMILY)->btree_opf != pathkey->pk_opfamily ||
			(column->vartype != FLOAT8OID && column->vartype != INT8OID))
			continue;
		for (const ChpgSortField *field = info->endpoint->sort_fields;
			 field->key != NULL; field++)
		{
			if (strcmp(field->attribute,
					   chpg_column_name(root, rel, column->varattno)) == 0 &&
				(field->always || !pathkey->pk_nulls_first))
				return column->varattno;
		}
	}
	return 0;
}

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

static List *
add_parameterization(PlannerInfo *root, RelOptInfo *rel, List *ppis, Relids relids)
{
	Relids		outer = bms_del_member(bms_union(relids, rel->lateral_relids),
									   rel->relid);

	if (bms_is_empty(outer))
		return ppis;
	return list_append_unique_ptr(ppis, get_baserel_parampathinfo(root, rel, outer));
}

/* The ways to be told values by other tables: by one of them, or by all. */
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

/* Only where that takes fewer requests. */
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
	double		limit = wanted_rows(root);
	Estimate	all;
	Estimate	first;
	AttrNumber	sort_column;

	/* What is left to be checked here takes an unknown number of rows. */
	if (list_length(chpg_match_clauses(root, rel, clauses)) != list_length(clauses))
		limit = 0;
	make_estimate(root, rel, clauses, 0, &all);
	make_estimate(root, rel, clauses, limit, &first);
	first.rows = all.rows = rel->rows;
	if (limit > 0 && root->query_pathkeys == NIL)
		add_scan_path(root, rel, &first, limit, 0, rel->lateral_relids);
	else
		add_scan_path(root, rel, &all, 0, 0, rel->lateral_relids);
	sort_column = limit > 0 ? find_sort_column(root, rel, limit) : 0;
	if (sort_column != 0)
		add_scan_path(root, rel, &first, limit, sort_column, rel->lateral_relids);
	add_parameterized_paths(root, rel, &all);
}

/*
 * Plans
 */

static void
plan_order(const ForeignPath *path, ChpgScanPlan *plan)
{
	plan->sort_column = intVal(lsecond(path->fdw_private));
	if (plan->sort_column != 0)
	{
		const PathKey *pathkey = linitial(path->path.pathkeys);

		plan->descending = chpg_is_descending(pathkey);
		plan->nulls_first = pathkey->pk_nulls_first;
	}
}

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

	/* Clauses that concern no row are checked by a Result node. */
	foreach(lc, clauses)
	{
		if (!lfirst_node(RestrictInfo, lc)->pseudoconstant)
			actual = lappend(actual, lfirst(lc));
	}
	plan.conditions = chpg_match_clauses(root, rel, actual);
	make_estimate(root, rel, actual, limit, &estimate);
	plan.columns = needed_columns(rel, actual, rel->max_attr);
	plan.list_only = info->list_only;
	plan.pages = (int) Min(pages_of_service(info), PG_INT32_MAX);
	plan.requests = (int) Min(estimate.requests, PG_INT32_MAX);
	plan.rescanned = root->parent_root != NULL ||
		bms_membership(root->all_baserels) != BMS_SINGLETON;
	plan.unknown = find_unknown(root, rel, actual, plan.conditions);
	plan.first_page = (int) limit;
	if (limit > 0)
		plan.concurrency = (int) Min(ceil(limit / Max(info->rows, 1)), PG_INT32_MAX);
	plan_order(path, &plan);
	return make_foreignscan(tlist, extract_actual_clauses(actual, false),
							rel->relid, chpg_plan_values(&plan), chpg_plan_to_list(&plan),
							NIL, NIL, outer_plan);
}
