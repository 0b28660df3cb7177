/*-------------------------------------------------------------------------
 *
 * tables.c
 *		Foreign tables in the catalog, their sizes, and statistics of them.
 *
 * Foreign tables of this wrapper are not analyzed, which would take many requests.
 * Instead, each backend records the sizes that its scans found.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "engine/connection.h"
#include "fdw/tables.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* Services that an organization is expected to have before any were listed */
#define DEFAULT_SERVICES	20

/* Average length of a service's id, in bytes */
#define ID_LENGTH	32

/*
 * The catalog
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
				 errhint("Use ALTER FOREIGN TABLE %s OPTIONS (ADD resource '...'), with one of: %s.",
						 DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(table))),
						 chpg_resource_names())));
	return resource;
}

Interval *
chpg_table_window(Oid table)
{
	const char *window = chpg_get_option(GetForeignTable(table)->options, "window");

	return window != NULL ? chpg_parse_window(window) : NULL;
}

/* Return the extension's schema, which is that of the wrapper's handler. */
static Oid
extension_schema(Oid server)
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
						   ObjectIdGetDatum(extension_schema(server)));
}

TupleDesc
chpg_resource_tupdesc(const ChpgResource *resource, Oid server)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum(resource->row_type),
									   ObjectIdGetDatum(extension_schema(server)));

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
	int			resource;		/* index in chpg_resources */
} SizeKey;

typedef struct TableSize
{
	SizeKey		key;
	double		services;		/* 0: not recorded yet */
	double		rows;			/* of one service */
} TableSize;

/* Sizes of this backend's scans; made when the first is looked up, never freed. */
static HTAB *sizes = NULL;

/*
 * Return what is recorded of a resource.  With enter, an empty entry is made if there
 * is none; else the result is NULL then.
 */
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
chpg_record_size(Oid server, const ChpgResource *resource, int services,
				 double rows)
{
	TableSize  *size = find_size(server, resource, true);

	size->rows = rows;
	if (services > 0)
		size->services = services;
}

/* A resource that was not read yet is expected of all services that were listed. */
void
chpg_estimate_size(Oid server, const ChpgResource *resource, double *services,
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
 * Statistics
 *
 * The number of services decides how many rows a join or a grouping by services has.
 */

static get_relation_stats_hook_type previous_hook = NULL;

/* Identifies the tables of this wrapper; NULL until the hook is installed. */
static GetForeignRelSize_function our_function = NULL;

/*
 * Make a row of pg_statistic for the column that has the services' ids; return NULL
 * for another column.  The result belongs to the current memory context.
 */
static HeapTuple
make_statistics(Oid table, AttrNumber column)
{
	const ChpgResource *resource = chpg_table_resource(table);
	const char *name = get_attname(table, column, true);
	Datum		values[Natts_pg_statistic] = {0};
	bool		nulls[Natts_pg_statistic];
	bool		of_list = strcmp(resource->name, "services") == 0;
	double		services;
	double		rows;
	Relation	catalog;
	HeapTuple	tuple;

	if (name == NULL || !(of_list ? strcmp(name, "id") == 0 :
						  chpg_is_service_column(resource, name)))
		return NULL;
	chpg_estimate_size(GetForeignTable(table)->serverid, resource, &services, &rows);
	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < Anum_pg_statistic_stanumbers1 - 1; i++)
		nulls[i] = false;
	values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(table);
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(column);
	values[Anum_pg_statistic_stainherit - 1] = BoolGetDatum(false);
	values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(0);
	values[Anum_pg_statistic_stawidth - 1] = Int32GetDatum(ID_LENGTH);
	/* -1: the value is different in each row */
	values[Anum_pg_statistic_stadistinct - 1] =
		Float4GetDatum(of_list ? -1.0f : (float4) Max(services, 1));
	catalog = table_open(StatisticRelationId, AccessShareLock);
	tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
	table_close(catalog, AccessShareLock);
	return tuple;
}

/* The planner's hook: return true if there are statistics for the column. */
static bool
get_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber column,
			   VariableStatData * vardata)
{
	if (previous_hook != NULL && previous_hook(root, rte, column, vardata))
		return true;
	if (rte->relkind != RELKIND_FOREIGN_TABLE ||
		GetFdwRoutineByServerId(GetForeignServerIdByRelId(rte->relid))->GetForeignRelSize != our_function)
		return false;
	vardata->statsTuple = make_statistics(rte->relid, column);
	vardata->freefunc = heap_freetuple;
	vardata->acl_ok = true;		/* the statistics show no value of a row */
	return HeapTupleIsValid(vardata->statsTuple);
}

void
chpg_offer_statistics(GetForeignRelSize_function function)
{
	if (our_function != NULL)
		return;
	our_function = function;
	previous_hook = get_relation_stats_hook;
	get_relation_stats_hook = get_statistics;
}
