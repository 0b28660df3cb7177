/*-------------------------------------------------------------------------
 *
 * bind.c
 *		What a scan of a foreign table asks for: from the values of its
 *		conditions to services, a window and arguments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "engine/statement_cache.h"
#include "executor/executor.h"
#include "fdw/bind.h"
#include "fdw/bounds.h"
#include "fdw/errors.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* The severities that the API is known to take. */
static const char *const severities[] = {
	"DEBUG", "LOG", "INFO", "NOTICE", "WARNING", "ERROR", "FATAL", "PANIC", NULL
};

/* Values beside the one that a time is compared with */
#define MAX_OPERANDS	16

/* Requests that lists of several parameters may come to, for each service. */
#define MAX_VARIANTS	10000

typedef struct Known
{
	ChpgScan   *scan;
	ForeignScanState *node;
	const ChpgEndpoint *endpoint;
	ChpgValues *columns;		/* by attribute number - 1 */
	ChpgRange	range;			/* of "timestamp" */
	ChpgRange	from;			/* of "from_date", where it is no single time */
	ChpgRange	to;				/* of "to_date", the same */
	bool		changing_service;	/* a join names one after the other */
} Known;

static Form_pg_attribute
column_of(const ChpgScan *scan, AttrNumber number)
{
	return TupleDescAttr(RelationGetDescr(scan->relation), number - 1);
}

static bool
is_range_column(const ChpgScan *scan, AttrNumber number)
{
	return scan->resource->ranges &&
		strcmp(NameStr(column_of(scan, number)->attname), "timestamp") == 0;
}

/* Does it change from one reading of the table to the next? */
static bool
is_changing(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXEC;
	return expression_tree_walker(node, is_changing, unused);
}

/* Add the bounds of a condition on the time; told are its value and operands. */
static bool
add_times(Known *known, const ChpgCondition *condition, const ChpgTold *told, Oid type)
{
	ChpgRange	bounds;
	Datum		operands[MAX_OPERANDS];
	int			count = 0;
	ListCell   *lc;

	foreach(lc, condition->steps)
	{
		if (!((const ChpgTimeStep *) lfirst(lc))->has_operand)
			continue;
		if (count == MAX_OPERANDS)
			return true;		/* checked on the rows alone */
		count++;
		if (told[count].isnull)
			return false;
		operands[count - 1] = told[count].value;
	}
	if (condition->comparison != CHPG_EQUAL_ANY)
		bounds = chpg_bound_times(condition, told->value, type, operands);
	else if (!chpg_bound_array(condition, told->value, get_element_type(type),
							   operands, &bounds))
		return false;
	if (bounds.has_start)
		chpg_add_start(&known->range, bounds.start);
	if (bounds.has_end)
		chpg_add_end(&known->range, bounds.end);
	return true;
}

/*
 * A comparison of a bound of the window, by which it lies within a range.  The
 * window is the longest one that fits, and ends where its start may not be any
 * more.  False if the column is none of these.
 */
static bool
add_window(Known *known, const ChpgCondition *condition, TimestampTz time)
{
	const ChpgParameter *parameter = chpg_resource_parameter(known->scan->resource,
															 NameStr(column_of(known->scan, condition->column)->attname));
	bool		finite = !TIMESTAMP_NOT_FINITE(time);

	if (parameter == NULL || condition->comparison <= CHPG_EQUAL_ANY)
		return false;
	if (parameter->kind == CHPG_WINDOW_END)
		chpg_add_end(&known->to, time - (finite && condition->comparison == CHPG_LESS));
	else if (condition->comparison < CHPG_AT_LEAST)
		chpg_add_end(&known->from, time);
	else
		chpg_add_start(&known->from, time + (finite && condition->comparison == CHPG_GREATER));
	return true;
}

/* False if a condition is with a NULL, or with no value: it fits no row. */
static bool
add_condition(Known *known, const ChpgCondition *condition, ChpgTold *told, Oid type)
{
	Form_pg_attribute column = column_of(known->scan, condition->column);
	ChpgValues *values = &known->columns[condition->column - 1];
	bool		any = condition->comparison == CHPG_EQUAL_ANY;

	if (told->isnull)
		return false;
	if (condition->steps != NIL)
		return add_times(known, condition, told, type);
	if (any)
		chpg_add_array(values, told->value, column->atttypid);
	else if (is_range_column(known->scan, condition->column))
		chpg_add_bound(&known->range, condition->comparison, DatumGetTimestampTz(told->value));
	else if (!add_window(known, condition, DatumGetTimestampTz(told->value)))
		chpg_set_values(values, &told->value, 1);
	if (any && is_range_column(known->scan, condition->column) &&
		!chpg_add_times(&known->range, values))
		return false;
	return !values->known || values->count > 0;
}

static void
evaluate(const ChpgScan *scan, int number, ForeignScanState *node, ChpgTold *told)
{
	ExprState  *state = list_nth(scan->values, number);

	told->value = ExecEvalExprSwitchContext(state, node->ss.ps.ps_ExprContext,
											&told->isnull);
}

static Oid
type_of_value(const ChpgScan *scan, int number)
{
	return exprType((Node *) ((ExprState *) list_nth(scan->values, number))->expr);
}

static int
count_operands(const ChpgCondition *condition)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, condition->steps)
		count += ((const ChpgTimeStep *) lfirst(lc))->has_operand;
	return count;
}

/* What the API is told is kept, to be compared with what it would be told next. */
static bool
add_conditions(Known *known, ForeignScanState *node)
{
	ChpgScan   *scan = known->scan;
	bool		possible = true;
	int			number = 0;
	ListCell   *lc;

	scan->told = palloc0(list_length(scan->values) * sizeof(ChpgTold));
	for (int i = 0; i < list_length(scan->values); i++)
	{
		ChpgTold   *told = &scan->told[i];

		evaluate(scan, i, node, told);
		get_typlenbyval(type_of_value(scan, i), &told->length, &told->by_value);
		if (!told->isnull)
			told->value = datumCopy(told->value, told->by_value, told->length);
	}
	foreach(lc, scan->plan->conditions)
	{
		const ChpgCondition *condition = lfirst(lc);
		ExprState  *state = list_nth(scan->values, number);

		known->changing_service |= is_changing((Node *) state->expr, NULL) &&
			chpg_is_service_column(scan->resource,
								   NameStr(column_of(scan, condition->column)->attname));
		possible &= add_condition(known, condition, &scan->told[number],
								  type_of_value(scan, number));
		number += 1 + count_operands(condition);
	}
	return possible;
}

bool
chpg_scan_is_same(const ChpgScan *scan, ForeignScanState *node)
{
	for (int i = 0; i < list_length(scan->values); i++)
	{
		const ChpgTold *told = &scan->told[i];
		ChpgTold	now;

		evaluate(scan, i, node, &now);
		if (now.isnull != told->isnull ||
			(!now.isnull && !datumIsEqual(now.value, told->value, told->by_value,
										  told->length)))
			return false;
	}
	return true;
}

static AttrNumber
find_column(const ChpgScan *scan, const char *name)
{
	for (AttrNumber i = 1; i <= scan->num_columns; i++)
	{
		if (!column_of(scan, i)->attisdropped &&
			strcmp(NameStr(column_of(scan, i)->attname), name) == 0)
			return i;
	}
	return InvalidAttrNumber;
}

/* What is known of a parameter's column, or NULL. */
static const ChpgValues *
find_values(const Known *known, const char *name)
{
	AttrNumber	column = find_column(known->scan, name);

	return column != InvalidAttrNumber && known->columns[column - 1].known ?
		&known->columns[column - 1] : NULL;
}

/*
 * The window
 */

/* Nothing is known of times to come: who wants all of them wants until now. */
static void
limit_range(ChpgRange *range)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	TimestampTz latest = now + USECS_PER_DAY;

	if (!range->has_end)
		chpg_add_end(range, now);
	else if (range->end > latest)
		range->end = latest;
}

/* The window of the table itself */
static void
take_window(const Interval * length, ChpgRange *window)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	window->end = now;
	window->start = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
															TimestampTzGetDatum(now),
															IntervalPGetDatum(length)));
	window->has_start = window->has_end = true;
}

/*
 * The window that the columns name, as far as they do: each bound by a single time, or
 * by a range of the bound, or by a range of the rows' times.
 */
static void
find_bounds(const Known *known, const ChpgValues *from, const ChpgValues *to, ChpgRange *window)
{
	/*
	 * Where the rows' times are bounds, a condition on from_date alone is
	 * none.
	 */
	bool		from_ends = known->from.has_start ||
	!(from != NULL ? known->range.has_end : known->range.has_start);

	*window = known->range;
	if (known->from.has_end && from_ends)
		chpg_add_end(window, known->from.end);
	if (known->to.has_end)
		window->end = known->to.end;
	if (known->from.has_start)
		window->start = known->from.start;
	if (from != NULL)
		window->start = DatumGetTimestampTz(from->values[0]);
	if (to != NULL)
		window->end = DatumGetTimestampTz(to->values[0]);
	window->has_start |= from != NULL || known->from.has_start;
	window->has_end |= to != NULL || known->to.has_end;
}

/* The same as a whole */
static void
find_window(const Known *known, const ChpgValues *from, const ChpgValues *to, ChpgRange *window)
{
	bool		open = known->scan->resource->ranges || (from == NULL && known->from.has_start);

	find_bounds(known, from, to, window);
	if (!window->has_start || (!window->has_end && !open))
		chpg_refuse_missing_window(known->node, window);
	if (to == NULL)
		limit_range(window);
}

/* The API takes milliseconds: what ends within one ends after it. */
static TimestampTz
round_up(TimestampTz time)
{
	TimestampTz rest = time % 1000;

	if (TIMESTAMP_NOT_FINITE(time))
		return time;			/* refused by who is told it */
	return rest > 0 ? time + 1000 - rest : time - rest;
}

static void
give_column(ChpgScan *scan, const char *name, TimestampTz value)
{
	AttrNumber	column = find_column(scan, name);

	if (column == InvalidAttrNumber || column_of(scan, column)->atttypid != TIMESTAMPTZOID)
		return;
	scan->given[column - 1] = TimestampTzGetDatum(value);
	scan->is_given[column - 1] = true;
}

static void
set_time(Known *known, ChpgParameterKind kind, TimestampTz time)
{
	for (int i = 0; i < CHPG_MAX_PARAMETERS && known->endpoint->parameters[i].name; i++)
	{
		if (known->endpoint->parameters[i].kind == kind)
			chpg_set_argument(&known->scan->spec.arguments, known->endpoint,
							  &known->endpoint->parameters[i],
							  TimestampTzGetDatum(time));
	}
}

/* No row is in the window: say so where that is because it begins in the future. */
static bool
has_no_rows(const Known *known, TimestampTz start)
{
	if (start > GetCurrentTimestamp())
		chpg_warn_of_future(known->scan->spec.connection->statement_cache);
	return false;
}

/*
 * False if no row can be in it: ranges may leave nothing, but where both ends are
 * given by =, an empty window is an error.  The points of a series depend on the window
 * that is asked for; lines of a log do not, so that less can be asked.
 */
static bool
set_window(Known *known)
{
	const ChpgValues *from = find_values(known, "from_date");
	const ChpgValues *to = find_values(known, "to_date");
	const ChpgRange *range = &known->range;
	ChpgRange	window;

	if (known->scan->window != NULL)
		take_window(known->scan->window, &window);
	else
		find_window(known, from, to, &window);
	give_column(known->scan, "from_date", window.start);
	give_column(known->scan, "to_date", window.end);
	if ((from == NULL || to == NULL) && window.start >= window.end)
		return has_no_rows(known, window.start);
	if (known->endpoint->by_time)
	{
		if (range->has_start)
			window.start = Max(window.start, range->start);
		if (range->has_end)
			window.end = Min(window.end, range->end);
		if (window.start >= window.end && (range->has_start || range->has_end))
			return has_no_rows(known, window.start);
	}
	set_time(known, CHPG_WINDOW_START, window.start);
	set_time(known, CHPG_WINDOW_END, to != NULL && !known->endpoint->by_time ?
			 window.end : round_up(window.end));
	return true;
}

/*
 * Other parameters
 */

/* Is the API told a value as it is? */
static bool
is_exact_value(const ChpgParameter *parameter, Datum value)
{
	if (parameter->kind == CHPG_ANY_TEXT)
		return chpg_text_fits(value);
	if (parameter->kind == CHPG_SEVERITY)
		return chpg_is_listed(severities, TextDatumGetCString(value));
	if (parameter->kind == CHPG_TIME)
		return DatumGetTimestampTz(value) % 1000 == 0;
	return true;
}

/* The API takes whole seconds, and rows would not have what was asked for. */
static void
check_bucket(const ChpgParameter *parameter, Datum value)
{
	if (parameter->kind == CHPG_BUCKET &&
		DatumGetIntervalP(value)->time % USECS_PER_SEC != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\"", parameter->name,
						DatumGetCString(DirectFunctionCall1(interval_out, value))),
				 errhint("Give whole seconds.")));
}

/*
 * Several values of what may be left out are worth as many requests only if
 * reading without them takes more.
 */
static bool
is_worth_telling(const ChpgScan *scan, const ChpgParameter *parameter,
				 const ChpgValues *values)
{
	if (parameter->required)
		return true;
	if (parameter->kind != CHPG_BUCKET &&
		values->count > Max(scan->plan->pages, 1))
		return false;
	for (int i = 0; i < values->count; i++)
	{
		if (!is_exact_value(parameter, values->values[i]))
			return false;
	}
	return true;
}

static void
refuse_many(const Known *known)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("foreign table \"%s\" would have to be read with more than %d combinations of values",
					RelationGetRelationName(known->scan->relation), MAX_VARIANTS),
			 errhint("Give shorter lists of values.")));
}

/* The arguments so far, each with each of the values. */
static List *
combine(const Known *known, int number, List *arguments, const ChpgValues *values)
{
	List	   *combined = NIL;
	ListCell   *lc;

	if (values->count > MAX_VARIANTS / list_length(arguments))
		refuse_many(known);
	foreach(lc, arguments)
	{
		for (int i = 0; i < values->count; i++)
		{
			ChpgArguments *variant = palloc(sizeof(ChpgArguments));

			CHECK_FOR_INTERRUPTS();
			*variant = *(ChpgArguments *) lfirst(lc);
			chpg_set_argument(variant, known->endpoint,
							  &known->endpoint->parameters[number],
							  values->values[i]);
			combined = lappend(combined, variant);
		}
	}
	return combined;
}

static void
refuse_several(const Known *known, const ChpgParameter *parameter)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			 errmsg("foreign table \"%s\" needs to know one \"%s\"",
					RelationGetRelationName(known->scan->relation), parameter->name),
			 errhint("Ask for each value in a query of its own, and join them by UNION ALL.")));
}

/* Single values are the same in all variants. */
static void
set_parameters(Known *known)
{
	ChpgScan   *scan = known->scan;
	const ChpgParameter *parameters = known->endpoint->parameters;
	List	   *arguments = list_make1(&scan->spec.arguments);
	const ChpgValues *several[CHPG_MAX_PARAMETERS] = {0};

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		const ChpgValues *values = find_values(known, parameters[i].name);

		if (parameters[i].kind == CHPG_WINDOW_START || parameters[i].kind == CHPG_WINDOW_END)
			continue;
		if (values == NULL || !is_worth_telling(scan, &parameters[i], values))
			continue;
		check_bucket(&parameters[i], values->values[0]);
		scan->narrowed |= !parameters[i].required && parameters[i].kind != CHPG_BUCKET;
		if (values->count == 1)
			chpg_set_argument(&scan->spec.arguments, known->endpoint,
							  &parameters[i], values->values[0]);
		else if (parameters[i].kind == CHPG_BUCKET)
			refuse_several(known, &parameters[i]);
		else
			several[i] = values;
	}
	for (int i = 0; i < CHPG_MAX_PARAMETERS; i++)
	{
		if (several[i] != NULL)
			arguments = combine(known, i, arguments, several[i]);
	}
	if (linitial(arguments) != &scan->spec.arguments)
		scan->spec.alternatives = arguments;
}

static void
set_order(Known *known)
{
	ChpgScan   *scan = known->scan;
	const ChpgScanPlan *plan = scan->plan;

	if (plan->sort_column == 0)
		return;
	*chpg_argument(&scan->spec.arguments, known->endpoint, "sort_by") =
		chpg_sort_key(known->endpoint, NameStr(column_of(scan, plan->sort_column)->attname));
	*chpg_argument(&scan->spec.arguments, known->endpoint, "sort_order") =
		plan->descending ? "desc" : "asc";
}

/*
 * Services
 */

static const ChpgValues *
find_service_values(const Known *known)
{
	for (AttrNumber i = 1; i <= known->scan->num_columns; i++)
	{
		if (known->columns[i - 1].known &&
			chpg_is_service_column(known->scan->resource,
								   NameStr(column_of(known->scan, i)->attname)))
			return &known->columns[i - 1];
	}
	return NULL;
}

static void
set_services(Known *known, const ChpgValues *values)
{
	ChpgReadSpec *spec = &known->scan->spec;

	if (values == NULL)
		return;
	if (values->count > chpg_max_requests)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("foreign table \"%s\" would have to be read for %d services, more than \"chpg.max_requests\" (%d)",
						RelationGetRelationName(known->scan->relation),
						values->count, chpg_max_requests),
				 errhint("Give a shorter list. Superusers may raise \"chpg.max_requests\".")));
	spec->by_id = true;
	spec->one_of_many = known->changing_service;
	for (int i = 0; i < values->count; i++)
		spec->service_ids = lappend(spec->service_ids,
									TextDatumGetCString(values->values[i]));
}

/*
 * The whole
 */

/* All that is missing is said at once; the window is looked for later. */
static void
check_missing(const Known *known)
{
	const ChpgResource *resource = known->scan->resource;
	List	   *missing = NIL;
	ListCell   *lc;

	foreach(lc, chpg_required_columns(resource))
	{
		if (find_values(known, lfirst(lc)) == NULL &&
			!chpg_is_listed(resource->parameters, lfirst(lc)))
			missing = lappend(missing, lfirst(lc));
	}
	if (missing != NIL)
		chpg_refuse_missing(known->node, missing);
}

/* A column that no row tells is compared, and not told. */
static void
refuse_unknown(const Known *known, const char *name)
{
	const ChpgParameter *parameter = chpg_resource_parameter(known->scan->resource, name);
	ChpgRange	window;

	if (parameter->kind == CHPG_BUCKET)
		chpg_refuse_comparison(known->node, name);
	if ((parameter->kind == CHPG_WINDOW_START && (known->from.has_start || known->from.has_end)) ||
		(parameter->kind == CHPG_WINDOW_END && known->to.has_end))
		chpg_refuse_window_condition(known->node, name);
	if (parameter->kind == CHPG_WINDOW_START || parameter->kind == CHPG_WINDOW_END)
	{
		find_bounds(known, find_values(known, "from_date"), find_values(known, "to_date"), &window);
		window.has_start = parameter->kind == CHPG_WINDOW_END;
		chpg_refuse_missing_window(known->node, &window);
	}
	chpg_refuse_missing(known->node, list_make1(pstrdup(name)));
}

/* What has to be known, or is given back as it was told, has to be of its type. */
static void
check_type(const ChpgScan *scan, Form_pg_attribute column)
{
	const char *name = NameStr(column->attname);
	const ChpgParameter *parameter = chpg_resource_parameter(scan->resource, name);
	Oid			type = column->atttypid;

	if (scan->resource->ranges && strcmp(name, "timestamp") == 0)
		type = TIMESTAMPTZOID;
	else if (parameter != NULL &&
			 (parameter->required || chpg_is_listed(scan->resource->parameters, name)))
		type = chpg_parameter_type(parameter);
	if (type != column->atttypid)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
				 errmsg("column \"%s\" of foreign table \"%s\" must be of type %s, not %s",
						name, RelationGetRelationName(scan->relation),
						format_type_be(type), format_type_be(column->atttypid))));
}

/* A column that nothing stands in would be NULL for ever. */
static void
check_columns(const ChpgScan *scan)
{
	TupleDesc	rows = chpg_resource_rows(scan->resource,
										  GetForeignTable(RelationGetRelid(scan->relation))->serverid);
	ListCell   *lc;

	foreach(lc, scan->plan->columns)
	{
		const char *name = NameStr(column_of(scan, lfirst_int(lc))->attname);
		bool		found = chpg_is_listed(scan->resource->parameters, name);

		if (column_of(scan, lfirst_int(lc))->attisdropped)
			continue;
		for (int i = 0; i < rows->natts; i++)
			found |= strcmp(NameStr(TupleDescAttr(rows, i)->attname), name) == 0 &&
				!chpg_is_listed(scan->resource->hidden, name);
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
					 errmsg("resource \"%s\" has no column \"%s\"",
							scan->resource->name, name),
					 errhint("See %s for its columns.", scan->resource->row_type)));
		check_type(scan, column_of(scan, lfirst_int(lc)));
	}
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

static void
init_request(ChpgScan *scan, ForeignScanState *node, const ChpgEndpoint *endpoint)
{
	ChpgReadSpec *spec = &scan->spec;
	Oid			table = RelationGetRelid(scan->relation);

	scan->given = palloc0(scan->num_columns * sizeof(Datum));
	scan->is_given = palloc0(scan->num_columns * sizeof(bool));
	spec->endpoint = endpoint;
	spec->connection = chpg_connection_for(GetForeignServer(GetForeignTable(table)->serverid),
										   scan->user);
	spec->connection->statement_cache = chpg_statement_cache_get(node->ss.ps.state->es_query_cxt);
	spec->any_state = scan->resource->any_state;
	spec->first_page = scan->plan->first_page;
	spec->concurrency = scan->plan->concurrency;
}

bool
chpg_scan_request(ChpgScan *scan, ForeignScanState *node, const char **prometheus_of)
{
	Known		known = {
		.scan = scan,
		.node = node,
		.endpoint = &chpg_endpoints[scan->plan->list_only ? CHPG_LIST_SERVICES :
									scan->resource->operation],
		.columns = palloc0(scan->num_columns * sizeof(ChpgValues))
	};
	const ChpgValues *services;

	check_columns(scan);
	init_request(scan, node, known.endpoint);
	if (!add_conditions(&known, node))
		return false;
	if (scan->plan->unknown != InvalidAttrNumber)
		refuse_unknown(&known, NameStr(column_of(scan, scan->plan->unknown)->attname));
	services = find_service_values(&known);
	if (scan->resource->operation == CHPG_GET_PROMETHEUS)
	{
		if (services != NULL && services->count == 1)
			*prometheus_of = TextDatumGetCString(services->values[0]);
		return true;
	}
	if (!scan->plan->list_only)
		set_services(&known, services);
	check_missing(&known);
	if (chpg_is_listed(scan->resource->parameters, "from_date") && !set_window(&known))
		return false;
	set_order(&known);
	set_parameters(&known);
	chpg_check_arguments(&scan->spec.arguments, known.endpoint);
	return true;
}
