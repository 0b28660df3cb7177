/*-------------------------------------------------------------------------
 *
 * handler.c
 *		The foreign-data wrapper's callbacks, and EXPLAIN of scans.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "compat.h"
#include "fdw/clauses.h"
#include "fdw/import.h"
#include "fdw/plan.h"
#include "fdw/scan.h"
#include "fdw/tables.h"
#include "fmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(chpg_handler);

/*
 * EXPLAIN
 */

/* Add a parameter to the query of a request. */
static void
append_parameter(StringInfo request, const char *key, const char *value)
{
	appendStringInfo(request, "%c%s=%s",
					 strchr(request->data, '?') == NULL ? '?' : '&', key, value);
}

/* Return the request as it is planned, with names of columns in place of values. */
static char *
request_template(const ChpgScanPlan *plan, const ChpgResource *resource, Oid table)
{
	const ChpgEndpoint *endpoint = &chpg_endpoints[resource->operation];
	StringInfoData request;
	ListCell   *lc;

	initStringInfo(&request);
	appendStringInfo(&request, "%s %s", endpoint->method, endpoint->path);
	for (int i = 0; i < CHPG_MAX_PARAMETERS && endpoint->parameters[i].name; i++)
	{
		const ChpgParameter *parameter = &endpoint->parameters[i];
		bool		is_sent = parameter->required;

		foreach(lc, plan->conditions)
			is_sent |= strcmp(get_attname(table, ((ChpgCondition *) lfirst(lc))->column, false),
							  parameter->name) == 0;
		if (is_sent && parameter->key != NULL)
			append_parameter(&request, parameter->key, psprintf("{%s}", parameter->name));
	}
	if (plan->sort_column != 0)
	{
		append_parameter(&request, "sort_by",
						 chpg_sort_key(endpoint, get_attname(table, plan->sort_column, false)));
		append_parameter(&request, "sort_order", plan->descending ? "desc" : "asc");
	}
	if (endpoint->page_size > 0)
		append_parameter(&request, "limit",
						 psprintf("%d", plan->first_page > 0 ?
								  Min(plan->first_page, endpoint->page_size) :
								  endpoint->page_size));
	return request.data;
}

/* Return true if a condition restricts the column that has the services' ids. */
static bool
names_services(const ChpgScanPlan *plan, const ChpgResource *resource, Oid table)
{
	ListCell   *lc;

	foreach(lc, plan->conditions)
	{
		const ChpgCondition *condition = lfirst(lc);

		if (chpg_is_service_column(resource, get_attname(table, condition->column, false)))
			return true;
	}
	return false;
}

/* Return the kinds of requests that a scan sends, as texts. */
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

/* Add the conditions that are pushed down, and those that are checked here only. */
static void
explain_conditions(ForeignScanState *node, const ChpgScanPlan *plan, ExplainState *es)
{
	List	   *pushed = NIL;
	List	   *local = NIL;
	ListCell   *lc;

	foreach(lc, chpg_deparse_quals(node, es->pstmt, es->deparse_cxt))
	{
		if (chpg_is_pushed(plan->conditions, foreach_current_index(lc)))
			pushed = lappend(pushed, lfirst(lc));
		else
			local = lappend(local, lfirst(lc));
	}
	if (pushed != NIL)
		ExplainPropertyList("Pushed Conditions", pushed, es);
	if (local != NIL)
		ExplainPropertyList("Local Conditions", local, es);
}

/* Add the counters of a scan; as text only those that are not 0. */
static void
explain_counters(const ChpgCounters *counters, ExplainState *es)
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

	for (int i = 0; i < lengthof(shown); i++)
	{
		int64		value = counters->values[shown[i].counter];

		if (value > 0 || shown[i].counter == CHPG_REQUESTS || es->format != EXPLAIN_FORMAT_TEXT)
			ExplainPropertyInteger(shown[i].label, shown[i].unit, value, es);
	}
}

/*
 * EXPLAIN a scan: with VERBOSE its requests and conditions, with ANALYZE what it has
 * sent.
 */
static void
explain_scan(ForeignScanState *node, ExplainState *es)
{
	const ChpgCounters *counters = chpg_scan_counters(node);
	const ChpgScanPlan *plan = chpg_plan_of_scan((ForeignScan *) node->ss.ps.plan);
	Oid			table = RelationGetRelid(node->ss.ss_currentRelation);

	if (es->verbose)
	{
		ExplainPropertyList("Requests",
							request_templates(plan, chpg_table_resource(table), table), es);
		explain_conditions(node, plan, es);
		ExplainPropertyInteger("Estimated Requests", NULL, plan->requests, es);
	}
	if (es->analyze && counters != NULL)
		explain_counters(counters, es);
}

/* Return the wrapper's callbacks; SQL: chpg_handler(). */
Datum
chpg_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = chpgGetForeignRelSize;
	routine->GetForeignPaths = chpgGetForeignPaths;
	routine->GetForeignPlan = chpgGetForeignPlan;
	routine->BeginForeignScan = chpgBeginForeignScan;
	routine->IterateForeignScan = chpgIterateForeignScan;
	routine->ReScanForeignScan = chpgReScanForeignScan;
	routine->EndForeignScan = chpgEndForeignScan;
	routine->ExplainForeignScan = explain_scan;
	routine->ImportForeignSchema = chpgImportForeignSchema;
	PG_RETURN_POINTER(routine);
}
