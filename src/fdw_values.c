/*-------------------------------------------------------------------------
 *
 * fdw_values.c
 *		Foreign tables: what a column can be, by all that is said of it, and
 *		the errors where that is not enough.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fdw_values.h"
#include "lib/qunique.h"
#include "lib/stringinfo.h"
#include "optimizer/optimizer.h"
#include "settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

void
chpg_set_values(ChpgValues *values, Datum *found, int count)
{
	if (values->known && values->count <= count)
		return;					/* whatever else it is: checked later */
	values->known = true;
	values->count = count;
	values->values = found;
}

static int
compare_values(const void *a, const void *b, void *comparison)
{
	return DatumGetInt32(FunctionCall2Coll((FmgrInfo *) comparison, C_COLLATION_OID,
										   *(const Datum *) a, *(const Datum *) b));
}

/* What is listed twice is asked once. */
void
chpg_add_array(ChpgValues *values, Datum value, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_CMP_PROC_FINFO);
	ArrayType  *array = DatumGetArrayTypeP(value);
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			present = 0;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			elements[present++] = elements[i];
	}
	qsort_arg(elements, present, sizeof(Datum), compare_values, &entry->cmp_proc_finfo);
	present = qunique_arg(elements, present, sizeof(Datum), compare_values,
						  &entry->cmp_proc_finfo);
	chpg_set_values(values, elements, present);
}

/* The smallest time that is later, unless there is none. */
static TimestampTz
next_time(TimestampTz time)
{
	return TIMESTAMP_NOT_FINITE(time) ? time : time + 1;
}

static void
add_start(ChpgRange *range, TimestampTz start)
{
	if (TIMESTAMP_IS_NOBEGIN(start))
		return;
	range->start = range->has_start ? Max(range->start, start) : start;
	range->has_start = true;
}

void
chpg_add_end(ChpgRange *range, TimestampTz end)
{
	if (TIMESTAMP_IS_NOEND(end))
		return;
	range->end = range->has_end ? Min(range->end, end) : end;
	range->has_end = true;
}

void
chpg_add_bound(ChpgRange *range, ChpgComparison comparison, TimestampTz time)
{
	switch (comparison)
	{
		case CHPG_EQUAL:
			add_start(range, time);
			chpg_add_end(range, next_time(time));
			break;
		case CHPG_LESS:
			chpg_add_end(range, time);
			break;
		case CHPG_AT_MOST:
			chpg_add_end(range, next_time(time));
			break;
		case CHPG_AT_LEAST:
			add_start(range, time);
			break;
		case CHPG_GREATER:
			add_start(range, next_time(time));
			break;
		case CHPG_EQUAL_ANY:
			break;				/* see chpg_add_times() */
	}
}

/* The API is told no list of times, but between which of them rows are, if any. */
bool
chpg_add_times(ChpgRange *range, const ChpgValues *times)
{
	int			first = 0;
	int			last = times->count - 1;

	while (first <= last && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(times->values[first])))
		first++;
	while (first <= last && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(times->values[last])))
		last--;
	if (first > last)
		return false;
	add_start(range, DatumGetTimestampTz(times->values[first]));
	chpg_add_end(range, next_time(DatumGetTimestampTz(times->values[last])));
	return true;
}

/*
 * What is not known
 */

/* What the messages are about. */
struct Lack
{
	ForeignScanState *node;
	const ChpgScanPlan *plan;
	const ChpgResource *resource;
	Oid			table;
	List	   *names;			/* of the columns that tell it */
};

static struct Lack
make_lack(ForeignScanState *node, List *names)
{
	struct Lack lack = {
		.node = node,
		.plan = chpg_plan_of_scan((ForeignScan *) node->ss.ps.plan),
		.table = RelationGetRelid(node->ss.ss_currentRelation),
		.names = names
	};

	lack.resource = chpg_table_resource(lack.table);
	return lack;
}

/* Each name with what comes before and after it. */
static char *
join_names(List *names, const char *before, const char *after,
		   const char *between, const char *last)
{
	StringInfoData joined;
	ListCell   *lc;

	initStringInfo(&joined);
	foreach(lc, names)
	{
		if (joined.len > 0)
			appendStringInfoString(&joined, lnext(names, lc) ? between : last);
		appendStringInfo(&joined, "%s%s%s", before, (char *) lfirst(lc), after);
	}
	return joined.data;
}

static char *
name_list(List *names)
{
	return join_names(names, "\"", "\"", ", ", " and ");
}

static bool
has_column(const struct Lack *lack, const char *name)
{
	return get_attnum(lack->table, name) != InvalidAttrNumber;
}

/* "use ALTER FOREIGN TABLE ...; then ", for the columns that the table lacks. */
static char *
addition(const struct Lack *lack)
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
concerns(const struct Lack *lack, Node *qual)
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
untold_conditions(const struct Lack *lack)
{
	PlannedStmt *statement = lack->node->ss.ps.state->es_plannedstmt;
	Plan	   *plan = lack->node->ss.ps.plan;
	Bitmapset  *relids = bms_make_singleton(((Scan *) plan)->scanrelid);
	List	   *names = select_rtable_names_for_explain(statement->rtable, relids);
	List	   *context = set_deparse_context_plan(deparse_context_for_plan_tree(statement, names),
												   plan, NIL);
	List	   *untold = NIL;
	ListCell   *lc;

	foreach(lc, plan->qual)
	{
		if (!is_told(lack->plan, foreach_current_index(lc)) && concerns(lack, lfirst(lc)))
			untold = lappend(untold, deparse_expression(lfirst(lc), context, false, false));
	}
	if (untold != NIL)
		return join_names(untold, "", "", ", ", " and ");
	if (lack->plan->unknown != InvalidAttrNumber)
		return psprintf("what \"%s\" is joined by",
						get_attname(lack->table, lack->plan->unknown, false));
	return NULL;
}

/* Who compares what is said to be unknown wants to know why. */
static int
detail_untold(const struct Lack *lack, bool in_window)
{
	char	   *untold = untold_conditions(lack);

	if (untold == NULL)
		return 0;
	if (in_window && lack->resource->ranges)
		return errdetail("The API cannot be told %s, only \"from_date\" and \"to_date\" by =, or \"timestamp\" by <, <=, >= and >, each with a value that is known beforehand, joined by AND.",
						 untold);
	return errdetail("The API cannot be told %s, only comparisons by = with values that are known beforehand, joined by AND.",
					 untold);
}

/* Advice as a sentence. */
static int
hint_advice(char *advice)
{
	advice[0] = pg_toupper((unsigned char) advice[0]);
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
					join_names(chpg_required_columns(resource), "", "", ", ", ", "),
					resource->name);
}

void
chpg_refuse_missing(ForeignScanState *node, List *names)
{
	struct Lack lack = make_lack(node, names);

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("foreign table \"%s\" needs to know %s",
					get_rel_name(lack.table), name_list(names)),
			 detail_untold(&lack, false),
			 hint_advice(psprintf("%sadd %s such as %s where the table is read, or %s.",
								  addition(&lack),
								  list_length(names) == 1 ? "a condition" : "conditions",
								  join_names(names, "", " = ...", " AND ", " AND "),
								  sources(lack.resource)))));
}

void
chpg_refuse_comparison(ForeignScanState *node, const char *name)
{
	struct Lack lack = make_lack(node, list_make1(pstrdup(name)));

	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("foreign table \"%s\" can only be told \"%s\" by =",
					get_rel_name(lack.table), name),
			 detail_untold(&lack, false),
			 errhint("Add a condition such as %s = ..., or leave all conditions on it out: the API then chooses.",
					 name)));
}

/* Conditions that name what is missing of the window. */
static char *
window_conditions(const struct Lack *lack)
{
	StringInfoData conditions;
	ListCell   *lc;

	initStringInfo(&conditions);
	foreach(lc, lack->names)
	{
		const char *name = lfirst(lc);

		if (conditions.len > 0)
			appendStringInfoString(&conditions, " AND ");
		if (strcmp(name, "timestamp") == 0)
			appendStringInfoString(&conditions, "\"timestamp\" >= now() - interval '1 hour'");
		else if (strcmp(name, "from_date") == 0)
			appendStringInfoString(&conditions, "from_date = now() - interval '1 day'");
		else
			appendStringInfo(&conditions, "%s = now()", name);
	}
	return conditions.data;
}

/*
 * The default window is for who names none, so that it is no advice for who
 * names half of one, or may name it in some other way.
 */
static char *
window_advice(const struct Lack *lack, bool none_named)
{
	bool		otherwise = lack->plan->no_default || lack->plan->unknown != InvalidAttrNumber;

	return psprintf("%s%sadd WHERE %s%s%s.",
					chpg_default_window > 0 && lack->plan->no_default ? "The query may name a window in a way that the API cannot be told, so that chpg.default_window is not used: " : "",
					addition(lack), window_conditions(lack),
					lack->plan->no_default ? " where the table is read" : "",
					chpg_default_window == 0 && none_named && !otherwise ? ", or SET chpg.default_window = '1d'" : "");
}

/* Where the window may be a range, its start is enough. */
void
chpg_refuse_missing_window(ForeignScanState *node, bool has_start, bool has_end)
{
	struct Lack lack = make_lack(node, NIL);
	bool		ranges = lack.resource->ranges;
	char	   *missing;

	if (ranges)
	{
		bool		by_date = has_column(&lack, "from_date") && !has_column(&lack, "timestamp");

		lack.names = list_make1(by_date ? "from_date" : "timestamp");
		missing = pstrdup("\"from_date\", or where \"timestamp\" begins");
	}
	else
	{
		if (!has_start)
			lack.names = lappend(lack.names, "from_date");
		if (!has_end)
			lack.names = lappend(lack.names, "to_date");
		missing = name_list(lack.names);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("foreign table \"%s\" needs to know %s",
					get_rel_name(lack.table), missing),
			 detail_untold(&lack, true),
			 hint_advice(window_advice(&lack, !has_start && !has_end))));
}
