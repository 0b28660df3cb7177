/*-------------------------------------------------------------------------
 *
 * data.c
 *		Foreign tables: what is known of them, and plans as lists of nodes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "engine/connection.h"
#include "fdw/fdw.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* Services of an organization of which nothing was seen yet. */
#define DEFAULT_SERVICES	20

/*
 * Tables
 */

const ChpgResource *
chpg_table_resource(Oid table)
{
	const char *name = chpg_get_option(GetForeignTable(table)->options, "resource");
	const ChpgResource *resource = name ? chpg_find_resource(name) : NULL;

	if (resource == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("foreign table \"%s\" lacks option \"%s\"",
						get_rel_name(table), "resource"),
				 errhint("Use ALTER FOREIGN TABLE ... OPTIONS (ADD resource '...'), with one of: %s.",
						 chpg_resource_names())));
	return resource;
}

Interval *
chpg_table_window(Oid table)
{
	const char *window = chpg_get_option(GetForeignTable(table)->options, "window");

	return window != NULL ? chpg_parse_window(window) : NULL;
}

/* The extension's schema: that of the wrapper's handler. */
static Oid
schema_of_server(Oid server)
{
	ForeignServer *foreign_server = GetForeignServer(server);

	return get_func_namespace(GetForeignDataWrapper(foreign_server->fdwid)->fdwhandler);
}

Oid
chpg_query_id_function(Oid server)
{
	Oid			text = TEXTOID;

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum("chpg_query_id"),
						   PointerGetDatum(buildoidvector(&text, 1)),
						   ObjectIdGetDatum(schema_of_server(server)));
}

TupleDesc
chpg_resource_rows(const ChpgResource *resource, Oid server)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum(resource->row_type),
									   ObjectIdGetDatum(schema_of_server(server)));

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s\" does not exist", resource->row_type)));
	return lookup_rowtype_tupdesc_copy(type, -1);
}

/*
 * Sizes
 */

typedef struct SizeKey
{
	Oid			server;
	int			resource;
} SizeKey;

typedef struct TableSize
{
	SizeKey		key;
	double		services;		/* 0: not seen yet */
	double		rows;			/* of one service */
} TableSize;

static HTAB *sizes = NULL;

static TableSize *
find_size(Oid server, const ChpgResource *resource, bool enter)
{
	HASHCTL		control = {
		.keysize = sizeof(SizeKey),
		.entrysize = sizeof(TableSize),
		.hcxt = TopMemoryContext
	};
	SizeKey		key = {server, (int) (resource - chpg_resources)};
	bool		found;
	TableSize  *size;

	if (sizes == NULL)
		sizes = hash_create("chpg sizes", 32, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	size = hash_search(sizes, &key, enter ? HASH_ENTER : HASH_FIND, &found);
	if (enter && !found)
		size->services = size->rows = 0;
	return size;
}

void
chpg_remember_size(Oid server, const ChpgResource *resource, int services,
				   double rows)
{
	TableSize  *size = find_size(server, resource, true);

	size->rows = rows;
	if (services > 0)
		size->services = services;
}

/* All resources are read of about the same services. */
void
chpg_expected_size(Oid server, const ChpgResource *resource, double *services,
				   double *rows)
{
	const TableSize *size = find_size(server, resource, false);
	const TableSize *list = find_size(server, chpg_find_resource("services"), false);

	*rows = size != NULL ? Max(size->rows, 1) : resource->rows;
	*services = DEFAULT_SERVICES;
	if (size != NULL && size->services > 0)
		*services = size->services;
	else if (list != NULL && list->rows > 0)
		*services = list->rows;
	if (!chpg_endpoint_is_per_service(&chpg_endpoints[resource->operation]))
		*services = 1;
}

/*
 * Plans
 */

/* The parts of a plan's list, in this order; numbers stand in lists of them. */
enum PlanPart
{
	PLAN_CONDITIONS,			/* a list of each */
	PLAN_COLUMNS,
	PLAN_NUMBERS
};

/* Its column, comparison and qual, and of each step the kind and the operand. */
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

List *
chpg_plan_values(const ChpgScanPlan *plan)
{
	List	   *values = NIL;
	ListCell   *lc;

	foreach(lc, plan->conditions)
	{
		const ChpgCondition *condition = lfirst(lc);
		ListCell   *cell;

		values = lappend(values, condition->value);
		foreach(cell, condition->steps)
		{
			const ChpgTimeStep *step = lfirst(cell);

			if (step->has_operand)
				values = lappend(values, step->operand);
		}
	}
	return values;
}

List *
chpg_plan_to_list(const ChpgScanPlan *plan)
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
	numbers = lappend_int(numbers, plan->unknown);
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
	plan->unknown = list_nth_int(numbers, i++);
	plan->sort_column = list_nth_int(numbers, i++);
	plan->descending = list_nth_int(numbers, i++) != 0;
	plan->nulls_first = list_nth_int(numbers, i++) != 0;
	return plan;
}
