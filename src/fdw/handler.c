/*-------------------------------------------------------------------------
 *
 * handler.c
 *		Foreign tables: reading them, and showing what that asks of the API.
 *
 * A scan sends nothing before its first row.  What the API was told is checked
 * here once more, as all conditions are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "compat.h"
#include "engine/statement_cache.h"
#include "engine/stats.h"
#include "fdw/deparse.h"
#include "fdw/fdw.h"
#include "fdw/scan.h"
#include "fmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(chpg_handler);

/* What has been spent for a scan. */
static void
add_difference(ChpgCounters *sum, const ChpgCounters *before)
{
	const ChpgCounters *now = chpg_own_counters();

	for (int i = 0; i < CHPG_NUM_COUNTERS; i++)
		sum->values[i] += now->values[i] - before->values[i];
}

static void
begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	ChpgScan   *scan;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	scan = palloc0(sizeof(ChpgScan));
	scan->plan = chpg_plan_of_scan(plan);
	scan->values = ExecInitExprList(plan->fdw_exprs, &node->ss.ps);
	scan->relation = node->ss.ss_currentRelation;
	scan->resource = chpg_table_resource(RelationGetRelid(scan->relation));
	scan->window = chpg_table_window(RelationGetRelid(scan->relation));
	scan->context = AllocSetContextCreate(CurrentMemoryContext, "chpg scan",
										  ALLOCSET_DEFAULT_SIZES);
	scan->user = chpg_scan_user(&node->ss);
	scan->keep_rows = scan->plan->rescanned || (eflags & EXEC_FLAG_REWIND) != 0;
	node->fdw_state = scan;
}

static TupleTableSlot *
iterate_scan(ForeignScanState *node)
{
	ChpgScan   *scan = (ChpgScan *) node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	ChpgCounters before = *chpg_own_counters();
	bool		found;

	ExecClearTuple(slot);
	if (scan->again)
		chpg_scan_again(scan, node);
	if (!scan->started)
		chpg_scan_start(scan, node);
	found = chpg_scan_next(scan, slot);
	add_difference(&scan->spent, &before);
	return found ? slot : NULL;
}

static void
rescan(ForeignScanState *node)
{
	ChpgScan   *scan = (ChpgScan *) node->fdw_state;

	/* The values are there when the next row is wanted. */
	scan->again = scan->started;
}

static void
end_scan(ForeignScanState *node)
{
	ChpgScan   *scan = (ChpgScan *) node->fdw_state;

	if (scan != NULL)
		chpg_scan_end(scan);
}

/*
 * EXPLAIN
 */

static void
append_parameter(StringInfo template, const char *key, const char *value)
{
	appendStringInfo(template, "%c%s=%s",
					 strchr(template->data, '?') == NULL ? '?' : '&', key, value);
}

/* The request as it is planned, with names of columns in the place of values. */
static char *
request_template(const ChpgScanPlan *plan, const ChpgResource *resource, Oid table)
{
	const ChpgEndpoint *endpoint = &chpg_endpoints[resource->operation];
	StringInfoData template;
	ListCell   *lc;

	initStringInfo(&template);
	appendStringInfo(&template, "%s %s", endpoint->method, endpoint->path);
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
	{
		const ChpgParameter *parameter = &endpoint->parameters[i];

		bool		told = parameter->required;

		foreach(lc, plan->conditions)
			told |= strcmp(get_attname(table, ((ChpgCondition *) lfirst(lc))->column, false),
						   parameter->name) == 0;
		if (told && parameter->key != NULL)
			append_parameter(&template, parameter->key, psprintf("{%s}", parameter->name));
	}
	if (plan->sort_column != 0)
	{
		append_parameter(&template, "sort_by",
						 chpg_sort_key(endpoint, get_attname(table, plan->sort_column, false)));
		append_parameter(&template, "sort_order", plan->descending ? "desc" : "asc");
	}
	if (endpoint->page_size > 0)
		append_parameter(&template, "limit",
						 psprintf("%d", plan->first_page > 0 ?
								  Min(plan->first_page, endpoint->page_size) :
								  endpoint->page_size));
	return template.data;
}

/* Is a condition on the column that has the service's id? */
static bool
names_services(const ChpgScanPlan *plan, const ChpgResource *resource, Oid table)
{
	ListCell   *lc;

	foreach(lc, plan->conditions)
	{
		if (chpg_is_service_column(resource, get_attname(table, ((ChpgCondition *) lfirst(lc))->column, false)))
			return true;
	}
	return false;
}

static List *
request_templates(const ChpgScanPlan *plan, const ChpgResource *resource, Oid table)
{
	const ChpgEndpoint *endpoint = &chpg_endpoints[resource->operation];
	const ChpgEndpoint *list = &chpg_endpoints[CHPG_LIST_SERVICES];
	const ChpgEndpoint *all = &chpg_endpoints[CHPG_GET_ALL_PROMETHEUS];
	bool		named = names_services(plan, resource, table);

	if (resource->operation == CHPG_GET_PROMETHEUS && !named)
		return list_make1(psprintf("%s %s", all->method, all->path));
	if (plan->list_only)
		return list_make1(psprintf("%s %s", list->method, list->path));
	if (chpg_endpoint_is_per_service(endpoint) && !named)
		return list_make2(psprintf("%s %s", list->method, list->path),
						  request_template(plan, resource, table));
	return list_make1(request_template(plan, resource, table));
}

static void
explain_conditions(ForeignScanState *node, const ChpgScanPlan *plan, ExplainState *es)
{
	List	   *texts = chpg_deparse_quals(node, es->pstmt, es->deparse_cxt);
	List	   *told = NIL;
	List	   *checked = NIL;
	Bitmapset  *numbers = NULL;
	ListCell   *lc;

	foreach(lc, plan->conditions)
		numbers = bms_add_member(numbers, ((ChpgCondition *) lfirst(lc))->qual);
	foreach(lc, texts)
	{
		if (bms_is_member(foreach_current_index(lc), numbers))
			told = lappend(told, lfirst(lc));
		else
			checked = lappend(checked, lfirst(lc));
	}
	if (told != NIL)
		ExplainPropertyList("Pushed Conditions", told, es);
	if (checked != NIL)
		ExplainPropertyList("Local Conditions", checked, es);
}

static void
explain_scan(ForeignScanState *node, ExplainState *es)
{
	static const struct
	{
		const char *label;
		const char *unit;
		ChpgCounter counter;
	}			shown[] = {
		{"Requests Sent", NULL, CHPG_REQUESTS},
		{"Cache Hits", NULL, CHPG_CACHE_HITS},
		{"Shared Flights", NULL, CHPG_SHARED_FLIGHTS},
		{"Retries", NULL, CHPG_RETRIES},
		{"Waits", NULL, CHPG_WAITS},
		{"Wait Time", "us", CHPG_WAIT_TIME},
		{"Bytes Received", NULL, CHPG_BYTES_RECEIVED}
	};
	const ChpgScan *scan = (const ChpgScan *) node->fdw_state;
	ChpgScanPlan *plan = chpg_plan_of_scan((ForeignScan *) node->ss.ps.plan);
	Oid			table = RelationGetRelid(node->ss.ss_currentRelation);

	if (es->verbose)
	{
		ExplainPropertyList("Requests",
							request_templates(plan, chpg_table_resource(table), table), es);
		explain_conditions(node, plan, es);
		ExplainPropertyInteger("Estimated Requests", NULL, plan->requests, es);
	}
	if (!es->analyze || scan == NULL)
		return;
	for (int i = 0; i < lengthof(shown); i++)
	{
		int64		value = scan->spent.values[shown[i].counter];

		if (value > 0 || shown[i].counter == CHPG_REQUESTS || es->format != EXPLAIN_FORMAT_TEXT)
			ExplainPropertyInteger(shown[i].label, shown[i].unit, value, es);
	}
}

Datum
chpg_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = chpgGetForeignRelSize;
	routine->GetForeignPaths = chpgGetForeignPaths;
	routine->GetForeignPlan = chpgGetForeignPlan;
	routine->BeginForeignScan = begin_scan;
	routine->IterateForeignScan = iterate_scan;
	routine->ReScanForeignScan = rescan;
	routine->EndForeignScan = end_scan;
	routine->ExplainForeignScan = explain_scan;
	routine->ImportForeignSchema = chpgImportForeignSchema;
	PG_RETURN_POINTER(routine);
}
