/*-------------------------------------------------------------------------
 *
 * errors.c
 *		Errors of queries on foreign tables that restrict too little.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "ascii.h"
#include "catalog/pg_type.h"
#include "fdw/clauses.h"
#include "fdw/errors.h"
#include "fdw/plan.h"
#include "fdw/tables.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"

/* What a query has to restrict, and does not */
typedef struct MissingInput
{
	ForeignScanState *node;
	const ChpgScanPlan *plan;
	const ChpgResource *resource;
	Oid			table;
	List	   *names;			/* of the columns */
} MissingInput;

/* Gather what an error about columns of these names needs, from the scan's plan. */
static MissingInput
make_missing(ForeignScanState *node, List *names)
{
	MissingInput missing = {
		.node = node,
		.plan = chpg_plan_of_scan((ForeignScan *) node->ss.ps.plan),
		.table = RelationGetRelid(node->ss.ss_currentRelation),
		.names = names
	};

	missing.resource = chpg_table_resource(missing.table);
	return missing;
}

static bool
has_column(const MissingInput *missing, const char *name)
{
	return get_attnum(missing->table, name) != InvalidAttrNumber;
}

/*
 * Return "use ALTER FOREIGN TABLE ...; then " with the missing columns that the table
 * lacks; an empty string if it has all.
 */
static char *
addition(const MissingInput *missing)
{
	StringInfoData command;
	ListCell   *lc;

	initStringInfo(&command);
	foreach(lc, missing->names)
	{
		const char *name = lfirst(lc);
		const ChpgParameter *parameter = chpg_resource_parameter(missing->resource, name);
		Oid			type = TEXTOID;

		if (has_column(missing, name))
			continue;
		if (parameter != NULL)
			type = chpg_parameter_type(parameter);
		else if (strcmp(name, "timestamp") == 0)
			type = TIMESTAMPTZOID;
		if (command.len == 0)
			appendStringInfo(&command, "use ALTER FOREIGN TABLE %s",
							 DatumGetCString(DirectFunctionCall1(regclassout,
																 ObjectIdGetDatum(missing->table))));
		else
			appendStringInfoChar(&command, ',');
		appendStringInfo(&command, " ADD COLUMN %s %s", quote_identifier(name),
						 format_type_be(type));
	}
	if (command.len > 0)
		appendStringInfoString(&command, "; then ");
	return command.data;
}

/* Return true if a condition uses one of the missing columns. */
static bool
uses_missing_column(const MissingInput *missing, Node *qual)
{
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	pull_varattnos(qual, ((Scan *) missing->node->ss.ps.plan)->scanrelid, &columns);
	foreach(lc, missing->names)
	{
		AttrNumber	column = get_attnum(missing->table, lfirst(lc));

		if (column != InvalidAttrNumber &&
			bms_is_member(column - FirstLowInvalidHeapAttributeNumber, columns))
			return true;
	}
	return false;
}

/*
 * Return the text of the conditions on the missing columns that are not pushed down;
 * NULL if there are none.
 */
static char *
unpushed_conditions(const MissingInput *missing)
{
	PlannedStmt *statement = missing->node->ss.ps.state->es_plannedstmt;
	Bitmapset  *relids = bms_add_range(NULL, 1, list_length(statement->rtable));
	List	   *names = select_rtable_names_for_explain(statement->rtable, relids);
	List	   *texts = chpg_deparse_quals(missing->node, statement,
										   deparse_context_for_plan_tree(statement, names));
	List	   *unpushed = NIL;
	ListCell   *lc;

	foreach(lc, missing->node->ss.ps.plan->qual)
	{
		int			qual = foreach_current_index(lc);

		if (!chpg_is_pushed(missing->plan->conditions, qual) &&
			uses_missing_column(missing, lfirst(lc)))
			unpushed = lappend(unpushed, list_nth(texts, qual));
	}
	if (unpushed != NIL)
		return chpg_join_names(unpushed, "", "", ", ", " and ");
	if (missing->plan->unpushed != InvalidAttrNumber)
		return psprintf("the join condition on \"%s\"",
						get_attname(missing->table, missing->plan->unpushed, false));
	return NULL;
}

/* Add the DETAIL that says which conditions on the columns are not pushed down, and why. */
static int
detail_unpushed(const MissingInput *missing, bool is_window)
{
	char	   *unpushed = unpushed_conditions(missing);

	if (unpushed == NULL)
		return 0;
	if (is_window && missing->resource->ranges)
		return errdetail("No bound follows from %s: compare \"timestamp\", or \"from_date\" and \"to_date\", with values that are known before the scan, joined by AND.",
						 unpushed);
	if (is_window)
		return errdetail("No bound follows from %s: compare \"from_date\" and \"to_date\" with values that are known before the scan, joined by AND.",
						 unpushed);
	return errdetail("The API cannot apply %s, only comparisons by = with values that are known before the scan, joined by AND.",
					 unpushed);
}

/* Add a HINT, which then begins with a capital. */
static int
hint_sentence(char *hint)
{
	hint[0] = chpg_to_upper(hint[0]);
	return errhint("%s", hint);
}

/* Return the remedy by which another table's rows restrict all that is required. */
static const char *
join_remedy(const ChpgResource *resource)
{
	if (resource->source == NULL)
		return "join it with a table that has the values";
	return psprintf("join it with %s USING (%s), or call chpg_%s() in LATERAL",
					resource->source,
					chpg_join_names(chpg_required_columns(resource), "", "", ", ", ", "),
					resource->name);
}

void
chpg_raise_missing_columns(ForeignScanState *node, List *names)
{
	MissingInput missing = make_missing(node, names);

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("query on foreign table \"%s\" must restrict %s",
					get_rel_name(missing.table),
					chpg_join_names(chpg_name_alternatives(names, "\""),
									"\"", "\"", ", ", " and ")),
			 detail_unpushed(&missing, false),
			 hint_sentence(psprintf("%sadd %s such as %s where the table is read, or %s.",
									addition(&missing),
									list_length(names) == 1 ? "a condition" : "conditions",
									chpg_join_names(names, "", " = ...", " AND ", " AND "),
									join_remedy(missing.resource)))));
}

void
chpg_raise_unpushed_comparison(ForeignScanState *node, const char *name)
{
	MissingInput missing = make_missing(node, list_make1(pstrdup(name)));

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("query on foreign table \"%s\" must restrict \"%s\" by =, or not at all",
					get_rel_name(missing.table), name),
			 detail_unpushed(&missing, false),
			 errhint("Use a condition such as %s = ..., or remove all conditions on it: the API then chooses.",
					 name)));
}

void
chpg_raise_unpushed_bound(ForeignScanState *node, const char *name)
{
	MissingInput missing = make_missing(node, list_make1(pstrdup(name)));

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("query on foreign table \"%s\" must restrict \"%s\" by =, or by a range alone",
					get_rel_name(missing.table), name),
			 detail_unpushed(&missing, true),
			 errhint("Replace the range by a condition such as %s = ..., or remove the other condition on \"%s\".",
					 name, name)));
}

/*
 * Return a condition that gives the window the bound that it lacks, relative to the
 * window's end if that is in the past.
 */
static const char *
window_condition(const char *name, const ChpgRange *range)
{
	const char *end = "now()";

	if (strcmp(name, "to_date") == 0)
		return "to_date = now()";
	if (range->has_end && !TIMESTAMP_NOT_FINITE(range->end) &&
		range->end < GetCurrentTransactionStartTimestamp())
		end = psprintf("timestamptz '%s'",
					   DatumGetCString(DirectFunctionCall1(timestamptz_out,
														   TimestampTzGetDatum(range->end))));
	return psprintf("%s >= %s - interval '%s'", quote_identifier(name), end,
					strcmp(name, "timestamp") == 0 ? "1 hour" : "1 day");
}

/* Return a sentence that names the table of the resource's latest rows, or makes it. */
static char *
recent_table_sentence(const MissingInput *missing)
{
	Oid			schema = get_rel_namespace(missing->table);
	char	   *name = psprintf(CHPG_RECENT "%s", missing->resource->name);

	if (OidIsValid(get_relname_relid(name, schema)))
		return psprintf("A table of the latest rows is %s.",
						quote_qualified_identifier(get_namespace_name(schema), name));
	return psprintf("For a table of the latest rows, run: IMPORT FOREIGN SCHEMA %s LIMIT TO (%s) FROM SERVER %s INTO %s OPTIONS (window '1 day');",
					CHPG_REMOTE_SCHEMA, name,
					quote_identifier(GetForeignServer(GetForeignTable(missing->table)->serverid)->servername),
					quote_identifier(get_namespace_name(schema)));
}

void
chpg_raise_missing_window(ForeignScanState *node, const ChpgRange *range)
{
	MissingInput missing = make_missing(node, NIL);
	const char *name = range->has_start ? "to_date" : "from_date";

	if (missing.resource->ranges && !range->has_start &&
		(has_column(&missing, "timestamp") || !has_column(&missing, "from_date")))
		name = "timestamp";
	missing.names = list_make1(pstrdup(name));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("query on foreign table \"%s\" must restrict \"%s\", for example with %s",
					get_rel_name(missing.table), name, window_condition(name, range)),
			 detail_unpushed(&missing, true),
			 hint_sentence(psprintf("%sadd that condition where the table is read, or filter by that column in a BI tool. %s",
									addition(&missing), recent_table_sentence(&missing)))));
}
