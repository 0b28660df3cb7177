/*-------------------------------------------------------------------------
 *
 * statistics.c
 *		Foreign tables: statistics for the planner.
 *
 * Foreign tables of this wrapper are not analyzed: that would take many requests.
 * But it is known of how many services their rows are, which decides how many
 * rows a join or a grouping by services has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "fdw/fdw.h"
#include "foreign/foreign.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

/* The average length of a service's id, for the planner */
#define ID_LENGTH	32

static get_relation_stats_hook_type previous_hook = NULL;

/* By which our tables are known; NULL until statistics are offered. */
static GetForeignRelSize_function our_function = NULL;

static bool
is_our_table(Oid table)
{
	Oid			server = GetForeignServerIdByRelId(table);

	return GetFdwRoutineByServerId(server)->GetForeignRelSize == our_function;
}

/*
 * A row of pg_statistic for the column of a table that has the services' ids; NULL
 * for other columns.  Belongs to the current memory context.
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
	chpg_expected_size(GetForeignTable(table)->serverid, resource, &services, &rows);
	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < Anum_pg_statistic_stanumbers1 - 1; i++)
		nulls[i] = false;
	values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(table);
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(column);
	values[Anum_pg_statistic_stainherit - 1] = BoolGetDatum(false);
	values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(0);
	values[Anum_pg_statistic_stawidth - 1] = Int32GetDatum(ID_LENGTH);
	/* -1: each row has another one */
	values[Anum_pg_statistic_stadistinct - 1] =
		Float4GetDatum(of_list ? -1.0f : (float4) Max(services, 1));
	catalog = table_open(StatisticRelationId, AccessShareLock);
	tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
	table_close(catalog, AccessShareLock);
	return tuple;
}

static bool
get_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber column,
			   VariableStatData * vardata)
{
	if (previous_hook != NULL && previous_hook(root, rte, column, vardata))
		return true;
	if (rte->relkind != RELKIND_FOREIGN_TABLE || !is_our_table(rte->relid))
		return false;
	vardata->statsTuple = make_statistics(rte->relid, column);
	vardata->freefunc = heap_freetuple;
	vardata->acl_ok = true;		/* it shows no value of a row */
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
