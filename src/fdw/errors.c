/*-------------------------------------------------------------------------
 *
 * errors.c
 *		Foreign tables: the errors of a scan that is told too little.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "ascii.h"
#include "catalog/pg_type.h"
#include "fdw/deparse.h"
#include "fdw/errors.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"

/* What the messages are about. */
typedef struct Lack
{
	ForeignScanState *node;
	const ChpgScanPlan *plan;
	const ChpgResource *resource;
	Oid			table;
	List	   *names;			/* of the columns that tell it */
} Lack;

static Lack
make_lack(ForeignScanState *node, List *names)
{
	Lack		lack = {
		.node = node,
		.plan = chpg_plan_of_scan((ForeignScan *) node->ss.ps.plan),
		.table = RelationGetRelid(node->ss.ss_currentRelation),
		.names = names
	};

	lack.resource = chpg_table_resource(lack.table);
	return lack;
}

static char *
name_list(List *names)
{
	return chpg_join_names(chpg_name_alternatives(names, "\""), "\"", "\"", ", ", " and ");
}

static bool
has_column(const Lack *lack, const char *name)
{
	return get_attnum(lack->table, name) != InvalidAttrNumber;
}

/* "use ALTER FOREIGN TABLE ...; then ", for the columns that the table lacks. */
static char *
addition(const Lack *lack)
{
	StringInfoData command;
	ListCell   *lc;

	initStringInfo(&command);
	foreach(lc, lack->names)
	{
		const char *name = lfirst(lc);
		const ChpgParameter *parameter = chpg_resource_parameter(lack->resource, name);
		Oid			type = TEXTOID;

		if (has_column(lack, name))
			continue;
		if (parameter != NULL)
			type = chpg_parameter_type(parameter);
		else if (strcmp(name, "timestamp") == 0)
			type = TIMESTAMPTZOID;
		if (command.len == 0)
			appendStringInfo(&command, "use ALTER FOREIGN TABLE %s",
							 DatumGetCString(DirectFunctionCall1(regclassout,
																 ObjectIdGetDatum(lack->table))));
		else
			appendStringInfoChar(&command, ',');
		appendStringInfo(&command, " ADD COLUMN %s %s", quote_identifier(name),
						 format_type_be(type));
	}
	if (command.len > 0)
		appendStringInfoString(&command, "; then ");
	return command.data;
}

static bool
is_told(const ChpgScanPlan *plan, int qual)
{
	ListCell   *lc;

	foreach(lc, plan->conditions)
	{
		if (((const ChpgCondition *) lfirst(lc))->qual == qual)
			return true;
	}
	return false;
}

static bool
concerns(const Lack *lack, Node *qual)
{
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	pull_varattnos(qual, ((Scan *) lack->node->ss.ps.plan)->scanrelid, &columns);
	foreach(lc, lack->names)
	{
		AttrNumber	column = get_attnum(lack->table, lfirst(lc));

		if (column != InvalidAttrNumber &&
			bms_is_member(column - FirstLowInvalidHeapAttributeNumber, columns))
			return true;
	}
	return false;
}

/* The conditions that concern it and that the API is not told, or NULL. */
static char *
untold_conditions(const Lack *lack)
{
	PlannedStmt *statement = lack->node->ss.ps.state->es_plannedstmt;
	Bitmapset  *relids = bms_add_range(NULL, 1, list_length(statement->rtable));
	List	   *names = select_rtable_names_for_explain(statement->rtable, relids);
	List	   *texts = chpg_deparse_quals(lack->node, statement,
										   deparse_context_for_plan_tree(statement, names));
	List	   *untold = NIL;
	ListCell   *lc;

	foreach(lc, lack->node->ss.ps.plan->qual)
	{
		if (!is_told(lack->plan, foreach_current_index(lc)) && concerns(lack, lfirst(lc)))
			untold = lappend(untold, list_nth(texts, foreach_current_index(lc)));
	}
	if (untold != NIL)
		return chpg_join_names(untold, "", "", ", ", " and ");
	if (lack->plan->unknown != InvalidAttrNumber)
		return psprintf("what \"%s\" is joined by",
						get_attname(lack->table, lack->plan->unknown, false));
	return NULL;
}

/* Who compares what is said to be unknown wants to know why. */
static int
detail_untold(const Lack *lack, bool in_window)
{
	char	   *untold = untold_conditions(lack);

	if (untold == NULL)
		return 0;
	if (in_window && lack->resource->ranges)
		return errdetail("No bound follows from %s: give comparisons of \"timestamp\", or of \"from_date\" and \"to_date\", with values that are known beforehand, joined by AND.",
						 untold);
	if (in_window)
		return errdetail("No bound follows from %s: give comparisons of \"from_date\" and \"to_date\" with values that are known beforehand, joined by AND.",
						 untold);
	return errdetail("The API cannot be told %s, only comparisons by = with values that are known beforehand, joined by AND.",
					 untold);
}

/* Advice as a sentence. */
static int
hint_advice(char *advice)
{
	advice[0] = chpg_to_upper(advice[0]);
	return errhint("%s", advice);
}

/* What can be done where a row of another table tells it all. */
static const char *
sources(const ChpgResource *resource)
{
	if (resource->told_by == NULL)
		return "join it with one that tells it";
	return psprintf("join it with %s USING (%s), or call chpg_%s() in LATERAL",
					resource->told_by,
					chpg_join_names(chpg_required_columns(resource), "", "", ", ", ", "),
					resource->name);
}

void
chpg_refuse_missing(ForeignScanState *node, List *names)
{
	Lack		lack = make_lack(node, names);

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("foreign table \"%s\" needs to know %s",
					get_rel_name(lack.table), name_list(names)),
			 detail_untold(&lack, false),
			 hint_advice(psprintf("%sadd %s such as %s where the table is read, or %s.",
								  addition(&lack),
								  list_length(names) == 1 ? "a condition" : "conditions",
								  chpg_join_names(names, "", " = ...", " AND ", " AND "),
								  sources(lack.resource)))));
}

void
chpg_refuse_comparison(ForeignScanState *node, const char *name)
{
	Lack		lack = make_lack(node, list_make1(pstrdup(name)));

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("foreign table \"%s\" can only be told \"%s\" by =",
					get_rel_name(lack.table), name),
			 detail_untold(&lack, false),
			 errhint("Add a condition such as %s = ..., or leave all conditions on it out: the API then chooses.",
					 name)));
}

/* The condition that would do, relative to the window's end if that is in the past. */
static const char *
window_condition(const char *name, const ChpgRange *known)
{
	const char *end = "now()";

	if (strcmp(name, "to_date") == 0)
		return "to_date = now()";
	if (known->has_end && !TIMESTAMP_NOT_FINITE(known->end) &&
		known->end < GetCurrentTransactionStartTimestamp())
		end = psprintf("timestamptz '%s'",
					   DatumGetCString(DirectFunctionCall1(timestamptz_out,
														   TimestampTzGetDatum(known->end))));
	return psprintf("%s >= %s - interval '%s'", quote_identifier(name), end,
					strcmp(name, "timestamp") == 0 ? "1 hour" : "1 day");
}

void
chpg_refuse_window_condition(ForeignScanState *node, const char *name)
{
	Lack		lack = make_lack(node, list_make1(pstrdup(name)));

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("query on foreign table \"%s\" needs a condition such as %s = ...",
					get_rel_name(lack.table), name),
			 detail_untold(&lack, true),
			 errhint("Give it in the place of the range, or leave the other condition on \"%s\" out.",
					 name)));
}

/* The table that needs no condition, or the statement that makes it. */
static char *
recent_table(const Lack *lack)
{
	Oid			schema = get_rel_namespace(lack->table);
	char	   *name = psprintf(CHPG_RECENT "%s", lack->resource->name);

	if (OidIsValid(get_relname_relid(name, schema)))
		return quote_qualified_identifier(get_namespace_name(schema), name);
	return psprintf("IMPORT FOREIGN SCHEMA %s LIMIT TO (%s) FROM SERVER %s INTO %s OPTIONS (window '1 day')",
					CHPG_REMOTE_SCHEMA, name,
					quote_identifier(GetForeignServer(GetForeignTable(lack->table)->serverid)->servername),
					quote_identifier(get_namespace_name(schema)));
}

void
chpg_refuse_missing_window(ForeignScanState *node, const ChpgRange *known)
{
	Lack		lack = make_lack(node, NIL);
	const char *name = known->has_start ? "to_date" : "from_date";

	if (lack.resource->ranges && !known->has_start &&
		(has_column(&lack, "timestamp") || !has_column(&lack, "from_date")))
		name = "timestamp";
	lack.names = list_make1(pstrdup(name));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("query on foreign table \"%s\" needs a condition such as %s",
					get_rel_name(lack.table), window_condition(name, known)),
			 detail_untold(&lack, true),
			 hint_advice(psprintf("%sadd that condition where the table is read, or filter by that column in a BI tool; a table of the latest rows needs none: %s.",
								  addition(&lack), recent_table(&lack)))));
}
