/*-------------------------------------------------------------------------
 *
 * bind.c
 *		What a scan of a foreign table reads, by the values of its conditions:
 *		services, a window and arguments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "engine/statement_cache.h"
#include "engine/window.h"
#include "executor/executor.h"
#include "fdw/bind.h"
#include "fdw/clauses.h"
#include "fdw/errors.h"
#include "fdw/tables.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* The most operands of one condition's steps; one with more is checked on the rows only. */
#define MAX_OPERANDS	16

/* The most combinations of values that each service is read with */
#define MAX_COMBINATIONS	10000

/* The values that a column can have, as far as conditions say; a NULL fits no row. */
typedef struct ColumnValues
{
	bool		is_set;			/* false: any value */
	int			count;
	Datum	   *values;
} ColumnValues;

/* The conditions of a scan with their values */
typedef struct BoundConditions
{
	ChpgBinding *binding;
	const ChpgEndpoint *endpoint;
	ColumnValues *columns;		/* by attribute number - 1 */
	ChpgRange	times;			/* of "timestamp" */
	ChpgRange	from;			/* of "from_date", if it has no single value */
	ChpgRange	to;				/* of "to_date", likewise */
	bool		joined_services;	/* a join gives one service after the
									 * other */
} BoundConditions;

static Form_pg_attribute
column_of(const ChpgBinding *binding, AttrNumber number)
{
	return TupleDescAttr(RelationGetDescr(binding->relation), number - 1);
}

static const char *
column_name(const ChpgBinding *binding, AttrNumber number)
{
	return NameStr(column_of(binding, number)->attname);
}

/*
 * The values of conditions
 */

/*
 * Restrict a column to a list of values, which is kept and not copied.  Of several lists
 * the shortest counts: the executor checks the others on the rows.
 */
static void
set_values(ColumnValues *column, Datum *values, int count)
{
	if (column->is_set && column->count <= count)
		return;
	column->is_set = true;
	column->count = count;
	column->values = values;
}

/* Compare two Datums for qsort_arg(), by a function of the type cache. */
static int
compare_values(const void *a, const void *b, void *comparison)
{
	CHECK_FOR_INTERRUPTS();
	return DatumGetInt32(FunctionCall2Coll((FmgrInfo *) comparison, C_COLLATION_OID,
										   *(const Datum *) a, *(const Datum *) b));
}

/* Restrict a column to the distinct elements of an array, sorted; type is theirs. */
static void
set_elements(ColumnValues *column, Datum array, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_CMP_PROC_FINFO);
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			present = 0;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(array), type, length, by_value, align,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			elements[present++] = elements[i];
	}
	qsort_arg(elements, present, sizeof(Datum), compare_values, &entry->cmp_proc_finfo);
	present = qunique_arg(elements, present, sizeof(Datum), compare_values,
						  &entry->cmp_proc_finfo);
	set_values(column, elements, present);
}

/*
 * Leave those texts of a column that the other list has, too.  Each service costs a
 * request: a view may have some of them only, and a join name others.
 */
static void
intersect_values(ColumnValues *column, const ColumnValues *other)
{
	TypeCacheEntry *entry = lookup_type_cache(TEXTOID, TYPECACHE_CMP_PROC_FINFO);
	Datum	   *common = palloc(column->count * sizeof(Datum));
	int			count = 0;

	for (int i = 0; i < column->count; i++)
	{
		if (bsearch_arg(&column->values[i], other->values, other->count, sizeof(Datum),
						compare_values, &entry->cmp_proc_finfo) != NULL)
			common[count++] = column->values[i];
	}
	column->values = common;
	column->count = count;
}

/* Return true for the column of the rows' times, if these bound the window. */
static bool
is_range_column(const ChpgBinding *binding, AttrNumber number)
{
	return binding->resource->ranges &&
		strcmp(column_name(binding, number), "timestamp") == 0;
}

/* Return true if an expression may have another value when the scan is repeated. */
static bool
is_changing(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXEC;
	return expression_tree_walker(node, is_changing, unused);
}

/*
 * Apply a condition on an expression of the time.  pushed has its value, of the given
 * type, then the operands of its steps.  Return false if it fits no row.
 */
static bool
add_time_expression(BoundConditions *bound, const ChpgCondition *condition,
					const ChpgPushedValue *pushed, Oid type)
{
	ColumnValues values = {0};
	Datum		value = pushed->value;
	Datum		operands[MAX_OPERANDS];
	int			count = 0;
	ListCell   *lc;

	foreach(lc, condition->steps)
	{
		if (!((const ChpgTimeStep *) lfirst(lc))->has_operand)
			continue;
		if (count == MAX_OPERANDS)
			return true;
		count++;
		if (pushed[count].isnull)
			return false;
		operands[count - 1] = pushed[count].value;
	}
	if (condition->comparison == CHPG_EQUAL_ANY)
	{
		type = get_element_type(type);
		set_elements(&values, value, type);
	}
	else
		set_values(&values, &value, 1);
	return chpg_add_time_condition(&bound->times, condition->comparison, condition->steps,
								   values.values, values.count, type, operands);
}

/*
 * Apply a range of a bound of the window.  The window is the longest that fits, and
 * ends where its start may not be any more.  Return false if the condition is another.
 */
static bool
add_bound_range(BoundConditions *bound, const ChpgCondition *condition, TimestampTz time)
{
	const ChpgParameter *parameter = chpg_resource_parameter(bound->binding->resource,
															 column_name(bound->binding, condition->column));
	bool		finite = !TIMESTAMP_NOT_FINITE(time);

	if (parameter == NULL || condition->comparison <= CHPG_EQUAL_ANY)
		return false;
	if (parameter->kind == CHPG_WINDOW_END)
		chpg_add_end(&bound->to, time - (finite && condition->comparison == CHPG_LESS));
	else if (condition->comparison < CHPG_AT_LEAST)
		chpg_add_end(&bound->from, time);
	else
		chpg_add_start(&bound->from, time + (finite && condition->comparison == CHPG_GREATER));
	return true;
}

/*
 * Apply a condition.  pushed has its value, of the given type, then the operands of its
 * steps.  Return false if the condition fits no row: for a NULL, or for no value.
 */
static bool
add_condition(BoundConditions *bound, const ChpgCondition *condition,
			  ChpgPushedValue *pushed, Oid type)
{
	const ChpgBinding *binding = bound->binding;
	ColumnValues *values = &bound->columns[condition->column - 1];
	bool		is_range = is_range_column(binding, condition->column);
	ColumnValues services = {0};

	if (pushed->isnull)
		return false;
	if (condition->steps != NIL)
		return add_time_expression(bound, condition, pushed, type);
	if (chpg_is_service_column(binding->resource, column_name(binding, condition->column)))
	{
		services = *values;
		values->is_set = false;
	}
	if (condition->comparison == CHPG_EQUAL_ANY)
	{
		set_elements(values, pushed->value, column_of(binding, condition->column)->atttypid);
		if (is_range && !chpg_add_times(&bound->times, values->values, values->count))
			return false;
	}
	else if (is_range)
		chpg_add_comparison(&bound->times, condition->comparison,
							DatumGetTimestampTz(pushed->value));
	else if (!add_bound_range(bound, condition, DatumGetTimestampTz(pushed->value)))
		set_values(values, &pushed->value, 1);
	if (services.is_set)
		intersect_values(values, &services);
	return !values->is_set || values->count > 0;
}

/* Evaluate the expression of that number; its value may live until the next call. */
static void
evaluate(const ChpgBinding *binding, int number, ChpgPushedValue *pushed)
{
	pushed->value = ExecEvalExprSwitchContext(list_nth(binding->expressions, number),
											  binding->node->ss.ps.ps_ExprContext,
											  &pushed->isnull);
}

static Node *
expression_of(const ChpgBinding *binding, int number)
{
	return (Node *) ((ExprState *) list_nth(binding->expressions, number))->expr;
}

/* Evaluate all expressions, and copy their values into binding->pushed. */
static void
evaluate_all(ChpgBinding *binding)
{
	binding->pushed = palloc0(list_length(binding->expressions) * sizeof(ChpgPushedValue));
	for (int i = 0; i < list_length(binding->expressions); i++)
	{
		ChpgPushedValue *pushed = &binding->pushed[i];

		evaluate(binding, i, pushed);
		get_typlenbyval(exprType(expression_of(binding, i)), &pushed->length,
						&pushed->by_value);
		if (!pushed->isnull)
			pushed->value = datumCopy(pushed->value, pushed->by_value, pushed->length);
	}
}

/* Apply all conditions.  Return false if one of them fits no row. */
static bool
add_conditions(BoundConditions *bound)
{
	const ChpgBinding *binding = bound->binding;
	bool		possible = true;
	int			number = 0;
	ListCell   *lc;

	foreach(lc, binding->plan->conditions)
	{
		const ChpgCondition *condition = lfirst(lc);
		const char *name = column_name(binding, condition->column);
		Node	   *expression = expression_of(binding, number);
		ListCell   *cell;

		bound->joined_services |= is_changing(expression, NULL) &&
			(chpg_is_service_column(binding->resource, name) ||
			 chpg_is_service_name(binding->resource, name));
		possible &= add_condition(bound, condition, &binding->pushed[number],
								  exprType(expression));
		number++;
		foreach(cell, condition->steps)
			number += ((const ChpgTimeStep *) lfirst(cell))->has_operand;
	}
	return possible;
}

bool
chpg_bind_is_current(const ChpgBinding *binding)
{
	for (int i = 0; i < list_length(binding->expressions); i++)
	{
		const ChpgPushedValue *pushed = &binding->pushed[i];
		ChpgPushedValue now;

		evaluate(binding, i, &now);
		if (now.isnull != pushed->isnull ||
			(!now.isnull && !datumIsEqual(now.value, pushed->value, pushed->by_value,
										  pushed->length)))
			return false;
	}
	return true;
}

/* Return the number of a column, or 0. */
static AttrNumber
find_column(const ChpgBinding *binding, const char *name)
{
	for (AttrNumber i = 1; i <= binding->num_columns; i++)
	{
		if (!column_of(binding, i)->attisdropped &&
			strcmp(column_name(binding, i), name) == 0)
			return i;
	}
	return InvalidAttrNumber;
}

/* Return the values of a parameter's column; NULL if it can have any. */
static const ColumnValues *
find_values(const BoundConditions *bound, const char *name)
{
	AttrNumber	column = find_column(bound->binding, name);

	return column != InvalidAttrNumber && bound->columns[column - 1].is_set ?
		&bound->columns[column - 1] : NULL;
}

/*
 * The window
 */

/* End an open range now, and any other within a day: the API has no later rows. */
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

/* Return the window of a table with the option "window". */
static ChpgRange
window_until_now(const Interval * length)
{
	ChpgRange	window = {.has_start = true, .has_end = true};

	window.end = GetCurrentTransactionStartTimestamp();
	window.start = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
														   TimestampTzGetDatum(window.end),
														   IntervalPGetDatum(length)));
	return window;
}

/*
 * Return the window by the query's conditions, as far as they bound it: each bound by a
 * single time, which from and to have, or by a range of the bound, or by a range of the
 * rows' times.
 */
static ChpgRange
window_of_conditions(const BoundConditions *bound, const ColumnValues *from,
					 const ColumnValues *to)
{
	/*
	 * Where the rows' times are bounds, a condition on from_date alone is
	 * none.
	 */
	bool		from_ends = bound->from.has_start ||
	!(from != NULL ? bound->times.has_end : bound->times.has_start);
	ChpgRange	window = bound->times;

	if (bound->from.has_end && from_ends)
		chpg_add_end(&window, bound->from.end);
	if (bound->to.has_end)
		window.end = bound->to.end;
	if (bound->from.has_start)
		window.start = bound->from.start;
	if (from != NULL)
		window.start = DatumGetTimestampTz(from->values[0]);
	if (to != NULL)
		window.end = DatumGetTimestampTz(to->values[0]);
	window.has_start |= from != NULL || bound->from.has_start;
	window.has_end |= to != NULL || bound->to.has_end;
	return window;
}

/* Round up to milliseconds, which is what the API takes. */
static TimestampTz
round_up(TimestampTz time)
{
	TimestampTz rest = time % 1000;

	if (TIMESTAMP_NOT_FINITE(time))
		return time;			/* chpg_set_argument() rejects it */
	return rest > 0 ? time + 1000 - rest : time - rest;
}

/* Give a bound of the window the same value in all rows, if the table has its column. */
static void
fix_column(ChpgBinding *binding, const char *name, TimestampTz value)
{
	AttrNumber	column = find_column(binding, name);

	if (column == InvalidAttrNumber ||
		column_of(binding, column)->atttypid != TIMESTAMPTZOID)
		return;
	binding->fixed[column - 1] = TimestampTzGetDatum(value);
	binding->is_fixed[column - 1] = true;
}

/* Set the argument of a bound of the window. */
static void
set_time(BoundConditions *bound, ChpgParameterKind kind, TimestampTz time)
{
	const ChpgParameter *parameters = bound->endpoint->parameters;

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		if (parameters[i].kind == kind)
			chpg_set_argument(&bound->binding->spec.arguments, bound->endpoint,
							  &parameters[i], TimestampTzGetDatum(time));
	}
}

/*
 * Set the arguments and the columns of the window.  Return false if ranges leave no
 * window; chpg_check_arguments() rejects an empty one whose bounds are both given by =.
 * Log lines are the same in any window, so the rows' times shorten it; the API aligns the
 * points of a series with the window, so they do not.  Error: HV002 for a window without
 * a start, or without an end.
 */
static bool
set_window(BoundConditions *bound)
{
	ChpgBinding *binding = bound->binding;
	const ColumnValues *from = find_values(bound, "from_date");
	const ColumnValues *to = find_values(bound, "to_date");
	const ChpgRange *times = &bound->times;
	ChpgRange	window;
	bool		is_empty;

	if (binding->window != NULL)
		window = window_until_now(binding->window);
	else
	{
		bool		open = binding->resource->ranges ||
		(from == NULL && bound->from.has_start);

		window = window_of_conditions(bound, from, to);
		if (!window.has_start || (!window.has_end && !open))
			chpg_raise_missing_window(binding->node, &window);
		if (to == NULL)
			limit_range(&window);
	}
	fix_column(binding, "from_date", window.start);
	fix_column(binding, "to_date", window.end);
	is_empty = (from == NULL || to == NULL) && window.start >= window.end;
	if (!is_empty && bound->endpoint->by_time)
	{
		if (times->has_start)
			window.start = Max(window.start, times->start);
		if (times->has_end)
			window.end = Min(window.end, times->end);
		is_empty = window.start >= window.end && (times->has_start || times->has_end);
	}
	if (is_empty)
	{
		if (window.start > GetCurrentTimestamp())
			chpg_warn_of_future(binding->spec.connection->statement_cache);
		return false;
	}
	set_time(bound, CHPG_WINDOW_START, window.start);
	set_time(bound, CHPG_WINDOW_END, to != NULL && !bound->endpoint->by_time ?
			 window.end : round_up(window.end));
	return true;
}

/*
 * Other parameters
 */

/* Return true if the API compares with a value as PostgreSQL does. */
static bool
is_exact_value(const ChpgParameter *parameter, Datum value)
{
	if (parameter->kind == CHPG_ANY_TEXT)
		return chpg_text_fits(value);
	if (parameter->kind == CHPG_SEVERITY)
		return chpg_is_listed(chpg_log_severities, TextDatumGetCString(value));
	if (parameter->kind == CHPG_TIME)
		return DatumGetTimestampTz(value) % 1000 == 0;
	return true;
}

/* Throw 22023 for a bucket with a fraction of a second, which the API does not take. */
static void
check_bucket(const ChpgParameter *parameter, Datum value)
{
	if (parameter->kind == CHPG_BUCKET &&
		DatumGetIntervalP(value)->time % USECS_PER_SEC != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\": give whole seconds", parameter->name,
						DatumGetCString(DirectFunctionCall1(interval_out, value)))));
}

/*
 * Return true if the values of a parameter are to be pushed down.  Each value is a
 * request of its own: for an optional parameter that pays only if it saves pages.
 */
static bool
is_worth_pushing(const ChpgBinding *binding, const ChpgParameter *parameter,
				 const ColumnValues *values)
{
	if (parameter->required)
		return true;
	if (parameter->kind != CHPG_BUCKET &&
		values->count > Max(binding->plan->pages, 1))
		return false;
	for (int i = 0; i < values->count; i++)
	{
		if (!is_exact_value(parameter, values->values[i]))
			return false;
	}
	return true;
}

/*
 * Combine a list of ChpgArguments with the values of a parameter: each with each.  Error:
 * 54000 for too many.
 */
static List *
combine(const BoundConditions *bound, const ChpgParameter *parameter, List *arguments,
		const ColumnValues *values)
{
	List	   *combined = NIL;
	ListCell   *lc;

	if (values->count > MAX_COMBINATIONS / list_length(arguments))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("query on foreign table \"%s\" would read more than %d combinations of values",
						RelationGetRelationName(bound->binding->relation),
						MAX_COMBINATIONS),
				 errhint("Use shorter lists of values.")));
	foreach(lc, arguments)
	{
		for (int i = 0; i < values->count; i++)
		{
			ChpgArguments *variant = palloc(sizeof(ChpgArguments));

			CHECK_FOR_INTERRUPTS();
			*variant = *(ChpgArguments *) lfirst(lc);
			chpg_set_argument(variant, bound->endpoint, parameter, values->values[i]);
			combined = lappend(combined, variant);
		}
	}
	return combined;
}

/*
 * Set the arguments of all parameters but the window.  Where parameters have several
 * values, the spec has the combinations of these as alternatives.  Error: HV002 for
 * several buckets.
 */
static void
set_parameters(BoundConditions *bound)
{
	ChpgBinding *binding = bound->binding;
	const ChpgParameter *parameters = bound->endpoint->parameters;
	List	   *arguments = list_make1(&binding->spec.arguments);
	const ColumnValues *several[CHPG_MAX_PARAMETERS] = {0};

	for (int i = 0; i < CHPG_MAX_PARAMETERS && parameters[i].name; i++)
	{
		const ColumnValues *values = find_values(bound, parameters[i].name);

		if (parameters[i].kind == CHPG_WINDOW_START || parameters[i].kind == CHPG_WINDOW_END)
			continue;
		if (values == NULL || !is_worth_pushing(binding, &parameters[i], values))
			continue;
		check_bucket(&parameters[i], values->values[0]);
		binding->narrowed |= !parameters[i].required && parameters[i].kind != CHPG_BUCKET;
		if (values->count == 1)
			chpg_set_argument(&binding->spec.arguments, bound->endpoint,
							  &parameters[i], values->values[0]);
		else if (parameters[i].kind == CHPG_BUCKET)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
					 errmsg("query on foreign table \"%s\" must restrict \"%s\" to one value",
							RelationGetRelationName(binding->relation),
							parameters[i].name),
					 errhint("Query each value on its own, and combine the results by UNION ALL.")));
		else
			several[i] = values;
	}
	for (int i = 0; i < CHPG_MAX_PARAMETERS; i++)
	{
		if (several[i] != NULL)
			arguments = combine(bound, &parameters[i], arguments, several[i]);
	}
	if (linitial(arguments) != &binding->spec.arguments)
		binding->spec.alternatives = arguments;
}

/* Set the arguments that sort, if the plan relies on the API's order. */
static void
set_order(BoundConditions *bound)
{
	ChpgBinding *binding = bound->binding;
	const ChpgScanPlan *plan = binding->plan;
	ChpgArguments *arguments = &binding->spec.arguments;

	if (plan->sort_column == 0)
		return;
	*chpg_argument(arguments, bound->endpoint, "sort_by") =
		chpg_sort_key(bound->endpoint, column_name(binding, plan->sort_column));
	*chpg_argument(arguments, bound->endpoint, "sort_order") =
		plan->descending ? "desc" : "asc";
}

/*
 * Services
 */

/* Return the services that conditions name; NULL: all. */
static const ColumnValues *
find_service_values(const BoundConditions *bound)
{
	for (AttrNumber i = 1; i <= bound->binding->num_columns; i++)
	{
		if (bound->columns[i - 1].is_set &&
			chpg_is_service_column(bound->binding->resource,
								   column_name(bound->binding, i)))
			return &bound->columns[i - 1];
	}
	return NULL;
}

/* Read these services only.  Error: 54000 for more than chpg.max_requests. */
static void
set_services(BoundConditions *bound, const ColumnValues *values)
{
	ChpgReadSpec *spec = &bound->binding->spec;

	if (values->count > chpg_max_requests)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("query on foreign table \"%s\" would read %d services, more than \"chpg.max_requests\" (%d)",
						RelationGetRelationName(bound->binding->relation),
						values->count, chpg_max_requests),
				 errhint("Use a shorter list. Superusers may raise \"chpg.max_requests\".")));
	spec->by_id = true;
	spec->one_of_many = bound->joined_services;
	for (int i = 0; i < values->count; i++)
		spec->service_ids = lappend(spec->service_ids,
									TextDatumGetCString(values->values[i]));
}

/* Of the services that are read, read those with the names of conditions only. */
static void
set_names(BoundConditions *bound)
{
	const ColumnValues *names = find_values(bound, "service_name");
	ChpgReadSpec *spec = &bound->binding->spec;

	if (names == NULL || !chpg_is_service_name(bound->binding->resource, "service_name"))
		return;
	spec->one_of_many = bound->joined_services;
	for (int i = 0; i < names->count; i++)
		spec->service_names = lappend(spec->service_names,
									  TextDatumGetCString(names->values[i]));
}

/*
 * Checks
 */

/* Throw HV002 if required columns have no value; set_window() checks the window. */
static void
check_required(const BoundConditions *bound)
{
	const ChpgResource *resource = bound->binding->resource;
	List	   *missing = NIL;
	ListCell   *lc;

	foreach(lc, chpg_required_columns(resource))
	{
		if (find_values(bound, lfirst(lc)) == NULL &&
			!chpg_is_listed(resource->parameters, lfirst(lc)))
			missing = lappend(missing, lfirst(lc));
	}
	if (missing != NIL)
		chpg_raise_missing_columns(bound->binding->node, missing);
}

/* Throw HV002 if the plan has a parameter that the query compares in vain. */
static void
check_unpushed(const BoundConditions *bound)
{
	const ChpgBinding *binding = bound->binding;
	const ChpgParameter *parameter;
	const char *name;
	bool		is_start;
	ChpgRange	window;

	if (binding->plan->unpushed == InvalidAttrNumber)
		return;
	name = column_name(binding, binding->plan->unpushed);
	parameter = chpg_resource_parameter(binding->resource, name);
	is_start = parameter->kind == CHPG_WINDOW_START;
	if (parameter->kind == CHPG_BUCKET)
		chpg_raise_unpushed_comparison(binding->node, name);
	if (!is_start && parameter->kind != CHPG_WINDOW_END)
		chpg_raise_missing_columns(binding->node, list_make1(pstrdup(name)));
	if (is_start ? bound->from.has_start || bound->from.has_end : bound->to.has_end)
		chpg_raise_unpushed_bound(binding->node, name);
	window = window_of_conditions(bound, find_values(bound, "from_date"),
								  find_values(bound, "to_date"));
	window.has_start = !is_start;
	chpg_raise_missing_window(binding->node, &window);
}

/* Throw HV004 for a column that is compared or filled in and has another type. */
static void
check_type(const ChpgBinding *binding, Form_pg_attribute column)
{
	const char *name = NameStr(column->attname);
	const ChpgParameter *parameter = chpg_resource_parameter(binding->resource, name);
	Oid			type = column->atttypid;

	if (binding->resource->ranges && strcmp(name, "timestamp") == 0)
		type = TIMESTAMPTZOID;
	else if (parameter != NULL &&
			 (parameter->required || chpg_is_listed(binding->resource->parameters, name)))
		type = chpg_parameter_type(parameter);
	if (type != column->atttypid)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
				 errmsg("column \"%s\" of foreign table \"%s\" must be of type %s, not %s",
						name, RelationGetRelationName(binding->relation),
						format_type_be(type), format_type_be(column->atttypid))));
}

/* Throw HV005 for a column that the resource lacks, which else would always be NULL. */
static void
check_columns(const ChpgBinding *binding)
{
	const ChpgResource *resource = binding->resource;
	Oid			table = RelationGetRelid(binding->relation);
	TupleDesc	rows = chpg_resource_tupdesc(resource, GetForeignTable(table)->serverid);
	ListCell   *lc;

	foreach(lc, binding->plan->columns)
	{
		Form_pg_attribute column = column_of(binding, lfirst_int(lc));
		const char *name = NameStr(column->attname);
		bool		found = chpg_is_listed(resource->parameters, name);

		if (column->attisdropped)
			continue;
		for (int i = 0; i < rows->natts; i++)
			found |= strcmp(NameStr(TupleDescAttr(rows, i)->attname), name) == 0 &&
				!chpg_is_listed(resource->hidden, name);
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
					 errmsg("resource \"%s\" has no column \"%s\"", resource->name, name),
					 errhint("See %s for its columns.", resource->row_type)));
		check_type(binding, column);
	}
}

/*
 * The whole
 */

void
chpg_bind_init(ChpgBinding *binding, ForeignScanState *node)
{
	ForeignScan *scan = (ForeignScan *) node->ss.ps.plan;
	Oid			table = RelationGetRelid(node->ss.ss_currentRelation);

	binding->node = node;
	binding->plan = chpg_plan_of_scan(scan);
	binding->expressions = ExecInitExprList(scan->fdw_exprs, &node->ss.ps);
	binding->relation = node->ss.ss_currentRelation;
	binding->num_columns = RelationGetDescr(binding->relation)->natts;
	binding->resource = chpg_table_resource(table);
	binding->window = chpg_table_window(table);
	binding->user = chpg_scan_user(&node->ss);
}

/* Fill in what does not depend on the values. */
static void
init_spec(ChpgBinding *binding, const ChpgEndpoint *endpoint)
{
	ChpgReadSpec *spec = &binding->spec;
	Oid			table = RelationGetRelid(binding->relation);

	memset(spec, 0, sizeof(ChpgReadSpec));
	spec->endpoint = endpoint;
	spec->connection = chpg_connection_for(GetForeignServer(GetForeignTable(table)->serverid),
										   binding->user);
	spec->connection->statement_cache =
		chpg_statement_cache_get(binding->node->ss.ps.state->es_query_cxt);
	spec->any_state = binding->resource->any_state;
	spec->first_page = binding->plan->first_page;
	spec->concurrency = binding->plan->concurrency;
	binding->prometheus_service = NULL;
	binding->narrowed = false;
	binding->fixed = palloc0(binding->num_columns * sizeof(Datum));
	binding->is_fixed = palloc0(binding->num_columns * sizeof(bool));
}

bool
chpg_bind(ChpgBinding *binding)
{
	const ChpgResource *resource = binding->resource;
	BoundConditions bound = {
		.binding = binding,
		.endpoint = &chpg_endpoints[binding->plan->list_only ? CHPG_LIST_SERVICES :
									resource->operation],
		.columns = palloc0(binding->num_columns * sizeof(ColumnValues))
	};
	const ColumnValues *services;

	check_columns(binding);
	init_spec(binding, bound.endpoint);
	evaluate_all(binding);
	if (!add_conditions(&bound))
		return false;
	check_unpushed(&bound);
	services = find_service_values(&bound);
	if (resource->operation == CHPG_GET_PROMETHEUS)
	{
		if (services != NULL && services->count == 1)
			binding->prometheus_service = TextDatumGetCString(services->values[0]);
		binding->spec.one_of_many = binding->prometheus_service != NULL && bound.joined_services;
		return true;
	}
	if (services != NULL && !binding->plan->list_only)
		set_services(&bound, services);
	set_names(&bound);
	check_required(&bound);
	if (chpg_has_window(resource) && !set_window(&bound))
		return false;
	set_order(&bound);
	set_parameters(&bound);
	chpg_check_arguments(&binding->spec.arguments, bound.endpoint);
	return true;
}
