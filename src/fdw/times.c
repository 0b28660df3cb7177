/*-------------------------------------------------------------------------
 *
 * times.c
 *		Conditions on a time column, and the range of times that they leave.
 *
 * A range is kept in microseconds of whatever a step yields: of a time, of local time
 * in some time zone, of an interval, or of seconds since 1970.  Inverting a step may
 * only widen the range: the executor checks all conditions once more on the rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "ascii.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fdw/times.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* The furthest that an abbreviation of a time zone is from UTC, ... */
#define MAX_ABBREVIATED	(16 * USECS_PER_HOUR)

/* ... and that a zone in POSIX notation is */
#define MAX_OFFSET		(168 * USECS_PER_HOUR)

/* How far around a time its time zone's offsets are looked up */
#define OFFSET_RADIUS	(2 * USECS_PER_DAY)

/* Changes of a time zone's offset that are looked at; there are a few in a year. */
#define MAX_CHANGES		16

/* Microseconds from 1970 to 2000 */
#define UNIX_TO_POSTGRES \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/*
 * From expressions to steps
 */

bool
chpg_is_value(PlannerInfo *root, RelOptInfo *rel, Node *node)
{
	return !bms_is_member(rel->relid, pull_varnos(root, node)) &&
		!contain_volatile_functions(node) && !contain_subplans(node);
}

bool
chpg_is_column(RelOptInfo *rel, Node *node)
{
	return IsA(node, Var) && ((Var *) node)->varno == rel->relid &&
		((Var *) node)->varattno > 0 && ((Var *) node)->varlevelsup == 0;
}

/* The most steps that one function stands for */
#define MAX_STEPS	3

/* Operands that are no argument: none, and the unit "day" */
#define NO_OPERAND	(-1)
#define UNIT_DAY	(-2)

/* What a function makes of a time. */
typedef struct TimeFunction
{
	Oid			function;
	int			time;			/* number of the argument that is the time */
	struct
	{
		ChpgTimeStepKind kind;
		int			operand;	/* number of an argument, or one of the above */
	}			steps[MAX_STEPS];	/* the outermost first, up to CHPG_NO_STEP */
} TimeFunction;

static const TimeFunction functions[] = {
	{F_TIMESTAMP_TIMESTAMPTZ, 0, {{CHPG_TO_LOCAL, NO_OPERAND}}},
	{F_TIMEZONE_TEXT_TIMESTAMPTZ, 1, {{CHPG_TO_LOCAL, 0}}},
	{F_TIMESTAMPTZ_TIMESTAMP, 0, {{CHPG_FROM_LOCAL, NO_OPERAND}}},
	{F_TIMEZONE_TEXT_TIMESTAMP, 1, {{CHPG_FROM_LOCAL, 0}}},
	{F_TIMESTAMPTZ_DATE, 0, {{CHPG_FROM_LOCAL, NO_OPERAND}}},
	{F_TIMESTAMP_DATE, 0},
	{F_DATE_TIMESTAMP, 0, {{CHPG_TRUNCATE, UNIT_DAY}}},
	{F_DATE_TIMESTAMPTZ, 0, {{CHPG_TRUNCATE, UNIT_DAY}, {CHPG_TO_LOCAL, NO_OPERAND}}},
	{F_DATE_TRUNC_TEXT_TIMESTAMP, 1, {{CHPG_TRUNCATE, 0}}},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ, 1, {{CHPG_FROM_LOCAL, NO_OPERAND}, {CHPG_TRUNCATE, 0}, {CHPG_TO_LOCAL, NO_OPERAND}}},
	{F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT, 1, {{CHPG_FROM_LOCAL, 2}, {CHPG_TRUNCATE, 0}, {CHPG_TO_LOCAL, 2}}},
	{F_TIMESTAMP_TIMESTAMP_INT4, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_TIMESTAMPTZ_TIMESTAMPTZ_INT4, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_TIMESTAMPTZ_MI, 1, {{CHPG_SUBTRACT_FROM, 0}}},
	{F_TIMESTAMPTZ_MI, 0, {{CHPG_SUBTRACT_TIME, 1}}},
	{F_TIMESTAMP_MI, 1, {{CHPG_SUBTRACT_FROM, 0}}},
	{F_TIMESTAMP_MI, 0, {{CHPG_SUBTRACT_TIME, 1}}},
	{F_TIMESTAMPTZ_PL_INTERVAL, 0, {{CHPG_ADD_INTERVAL, 1}}},
	{F_TIMESTAMPTZ_MI_INTERVAL, 0, {{CHPG_SUBTRACT_INTERVAL, 1}}},
	{F_TIMESTAMP_PL_INTERVAL, 0, {{CHPG_ADD_INTERVAL, 1}}},
	{F_TIMESTAMP_MI_INTERVAL, 0, {{CHPG_SUBTRACT_INTERVAL, 1}}},
	{F_EXTRACT_TEXT_TIMESTAMPTZ, 1, {{CHPG_EPOCH, 0}}},
	{F_EXTRACT_TEXT_TIMESTAMP, 1, {{CHPG_EPOCH, 0}}},
	{F_EXTRACT_TEXT_DATE, 1, {{CHPG_EPOCH, 0}}},
	{F_DATE_PART_TEXT_TIMESTAMPTZ, 1, {{CHPG_EPOCH, 0}}},
	{F_DATE_PART_TEXT_TIMESTAMP, 1, {{CHPG_EPOCH, 0}}},
	{F_FLOAT8_NUMERIC, 0},
	{F_FLOAT8_INT8, 0},
	{F_FLOAT8_INT4, 0},
	{F_NUMERIC_INT8, 0},
	{F_NUMERIC_INT4, 0},
	{F_INT8_INT4, 0},
	{F_NUMERIC_FLOAT8, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_INT8_NUMERIC, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_INT4_NUMERIC, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_INT8_FLOAT8, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_INT4_FLOAT8, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_FLOOR_NUMERIC, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_FLOOR_FLOAT8, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_CEIL_NUMERIC, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_CEIL_FLOAT8, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_ROUND_NUMERIC, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_ROUND_FLOAT8, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_TRUNC_NUMERIC, 0, {{CHPG_ROUND, NO_OPERAND}}},
	{F_TRUNC_FLOAT8, 0, {{CHPG_ROUND, NO_OPERAND}}}
};

static ChpgTimeStep *
make_step(ChpgTimeStepKind kind, Expr *operand)
{
	ChpgTimeStep *step = palloc0(sizeof(ChpgTimeStep));

	step->kind = kind;
	step->has_operand = operand != NULL;
	step->operand = operand;
	return step;
}

/* Return true for the field "epoch", the only one that grows with the time. */
static bool
is_epoch(Node *node)
{
	const Const *field = (const Const *) node;

	return IsA(node, Const) && field->consttype == TEXTOID && !field->constisnull &&
		chpg_same_in_any_case(TextDatumGetCString(field->constvalue), "epoch");
}

/*
 * Take apart a call of a function, as chpg_match_time() does.  Return false if an
 * operand is no value, or the argument that is the time is not understood.
 */
static bool
match_function(PlannerInfo *root, RelOptInfo *rel, AttrNumber column,
			   const TimeFunction *function, List *args, List **steps)
{
	List	   *own = NIL;
	List	   *inner;

	for (int i = 0; i < MAX_STEPS && function->steps[i].kind != CHPG_NO_STEP; i++)
	{
		ChpgTimeStepKind kind = function->steps[i].kind;
		int			number = function->steps[i].operand;
		Node	   *operand = NULL;

		if (number == UNIT_DAY)
			operand = (Node *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
										 CStringGetTextDatum("day"), false, false);
		else if (number != NO_OPERAND)
			operand = list_nth(args, number);
		if (operand != NULL && !chpg_is_value(root, rel, operand))
			return false;
		if (kind == CHPG_EPOCH)
		{
			if (!is_epoch(operand))
				return false;
			operand = NULL;
		}
		own = lappend(own, make_step(kind, (Expr *) operand));
	}
	if (!chpg_match_time(root, rel, column, list_nth(args, function->time), &inner))
		return false;
	*steps = list_concat(own, inner);
	return true;
}

bool
chpg_match_time(PlannerInfo *root, RelOptInfo *rel, AttrNumber column, Node *node,
				List **steps)
{
	List	   *args;
	Oid			function;

	check_stack_depth();
	*steps = NIL;
	if (IsA(node, RelabelType))
		return chpg_match_time(root, rel, column,
							   (Node *) ((RelabelType *) node)->arg, steps);
	if (chpg_is_column(rel, node))
		return ((Var *) node)->varattno == column;
	if (IsA(node, FuncExpr))
	{
		function = ((FuncExpr *) node)->funcid;
		args = ((FuncExpr *) node)->args;
	}
	else if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		function = ((OpExpr *) node)->opfuncid;
		args = ((OpExpr *) node)->args;
	}
	else
		return false;
	for (int i = 0; i < lengthof(functions); i++)
	{
		if (functions[i].function == function &&
			match_function(root, rel, column, &functions[i], args, steps))
			return true;
	}
	return false;
}

/* A date, or a local time, becomes a time in the session's time zone. */
Oid
chpg_time_value_type(Oid expression, Oid value, List **steps)
{
	switch (expression)
	{
		case DATEOID:
		case TIMESTAMPOID:
			if (value != TIMESTAMPTZOID)
				return TIMESTAMPOID;
			*steps = lcons(make_step(CHPG_FROM_LOCAL, NULL), *steps);
			return TIMESTAMPTZOID;
		case TIMESTAMPTZOID:
			return TIMESTAMPTZOID;
		case INTERVALOID:
			return INTERVALOID;
		case NUMERICOID:
		case FLOAT8OID:
		case INT8OID:
		case INT4OID:
			return FLOAT8OID;
		default:
			return InvalidOid;
	}
}

/* Subtracting the time from another one turns the comparison round. */
bool
chpg_bounds_start(ChpgComparison comparison, const List *steps)
{
	bool		lower = comparison == CHPG_AT_LEAST || comparison == CHPG_GREATER;
	ListCell   *lc;

	if (comparison <= CHPG_EQUAL_ANY)
		return true;
	foreach(lc, steps)
		lower ^= ((const ChpgTimeStep *) lfirst(lc))->kind == CHPG_SUBTRACT_FROM;
	return lower;
}

/*
 * Ranges
 */

/* Return the smallest time that is later, or an infinite time itself. */
static TimestampTz
next_time(TimestampTz time)
{
	return TIMESTAMP_NOT_FINITE(time) ? time : time + 1;
}

void
chpg_add_start(ChpgRange *range, TimestampTz start)
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
chpg_add_comparison(ChpgRange *range, ChpgComparison comparison, TimestampTz time)
{
	switch (comparison)
	{
		case CHPG_EQUAL:
			chpg_add_start(range, time);
			chpg_add_end(range, next_time(time));
			break;
		case CHPG_LESS:
			chpg_add_end(range, time);
			break;
		case CHPG_AT_MOST:
			chpg_add_end(range, next_time(time));
			break;
		case CHPG_AT_LEAST:
			chpg_add_start(range, time);
			break;
		case CHPG_GREATER:
			chpg_add_start(range, next_time(time));
			break;
		case CHPG_EQUAL_ANY:
			break;				/* see chpg_add_times() */
	}
}

bool
chpg_add_times(ChpgRange *range, const Datum *times, int count)
{
	int			first = 0;
	int			last = count - 1;

	while (first <= last && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(times[first])))
		first++;
	while (first <= last && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(times[last])))
		last--;
	if (first > last)
		return false;
	chpg_add_start(range, DatumGetTimestampTz(times[first]));
	chpg_add_end(range, next_time(DatumGetTimestampTz(times[last])));
	return true;
}

/* Shift a bound by a distance; a bound that overflows is none. */
static void
shift_bound(bool *has_bound, int64 *bound, int64 distance)
{
	if (*has_bound && pg_add_s64_overflow(*bound, distance, bound))
		*has_bound = false;
}

/* Shift both bounds of a range, each by its own distance. */
static void
shift(ChpgRange *range, int64 start, int64 end)
{
	shift_bound(&range->has_start, &range->start, start);
	shift_bound(&range->has_end, &range->end, end);
}

static bool
is_finite(int64 time)
{
	return !TIMESTAMP_NOT_FINITE(time) && IS_VALID_TIMESTAMP(time);
}

/*
 * Inverting a change of time zone
 */

/*
 * Return the time zone that AT TIME ZONE takes a text for; NULL if that is not
 * certain, since abbreviations go by rules of their own.
 */
static const pg_tz *
find_zone(const char *name)
{
	if (chpg_same_in_any_case(name, "UTC") || chpg_same_in_any_case(name, "GMT"))
		return pg_tzset("GMT");
	return strchr(name, '/') != NULL ? pg_tzset(name) : NULL;
}

/* Return the furthest from UTC, in microseconds, that AT TIME ZONE may take a text for. */
static int64
furthest_offset(const char *name)
{
	return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/")] == '\0' ?
		MAX_ABBREVIATED : MAX_OFFSET;
}

/*
 * Find the smallest and the largest offset from UTC, in microseconds, that a time zone
 * has around a time: plus and minus furthest if that is not known.
 */
static void
find_offsets(const pg_tz * zone, int64 furthest, int64 time, int64 *least, int64 *most)
{
	pg_time_t	at;
	pg_time_t	until;
	bool		found_any = false;

	*least = -furthest;
	*most = furthest;
	if (zone == NULL || !is_finite(time) || !is_finite(time - OFFSET_RADIUS) ||
		!is_finite(time + OFFSET_RADIUS))
		return;
	at = timestamptz_to_time_t(time - OFFSET_RADIUS);
	until = timestamptz_to_time_t(time + OFFSET_RADIUS);
	for (int i = 0; i < MAX_CHANGES; i++)
	{
		long		offset;
		long		offset_after;
		int			is_dst;
		pg_time_t	change;
		int			found = pg_next_dst_boundary(&at, &offset, &is_dst, &change,
												 &offset_after, &is_dst, zone);

		if (found < 0)
			break;
		*least = found_any ? Min(*least, offset * USECS_PER_SEC) : offset * USECS_PER_SEC;
		*most = found_any ? Max(*most, offset * USECS_PER_SEC) : offset * USECS_PER_SEC;
		found_any = true;
		if (found == 0 || change > until)
			return;
		at = change;
	}
	*least = -furthest;
	*most = furthest;
}

/*
 * Shift a range by the offsets of a time zone, which is the session's if no name is
 * given: from local time to times, or the reverse.
 */
static void
shift_by_zone(ChpgRange *range, bool from_local, bool named, Datum name)
{
	const		pg_tz *zone = named ? find_zone(TextDatumGetCString(name)) : session_timezone;
	int64		furthest = named ? furthest_offset(TextDatumGetCString(name)) : MAX_OFFSET;
	int64		least;
	int64		most;

	if (range->has_start)
	{
		find_offsets(zone, furthest, range->start, &least, &most);
		shift_bound(&range->has_start, &range->start, from_local ? -most : least);
	}
	if (range->has_end)
	{
		find_offsets(zone, furthest, range->end, &least, &most);
		shift_bound(&range->has_end, &range->end, from_local ? -least : most);
	}
}

/*
 * Inverting a truncation
 */

/* Return the greatest length of a unit of date_trunc() in microseconds; 0: unknown. */
static int64
unit_length(Datum name)
{
	static const struct
	{
		int			unit;
		int64		length;
	}			lengths[] = {
		{DTK_MICROSEC, 1}, {DTK_MILLISEC, 1000}, {DTK_SECOND, USECS_PER_SEC},
		{DTK_MINUTE, USECS_PER_MINUTE}, {DTK_HOUR, USECS_PER_HOUR},
		{DTK_DAY, USECS_PER_DAY}, {DTK_WEEK, 7 * USECS_PER_DAY},
		{DTK_MONTH, 31 * USECS_PER_DAY}, {DTK_QUARTER, 92 * USECS_PER_DAY},
		{DTK_YEAR, 366 * USECS_PER_DAY}, {DTK_DECADE, 3653 * USECS_PER_DAY},
		{DTK_CENTURY, 36525 * USECS_PER_DAY}, {DTK_MILLENNIUM, 365250 * USECS_PER_DAY}
	};
	char	   *given = TextDatumGetCString(name);
	char	   *unit = downcase_truncate_identifier(given, strlen(given), false);
	int			value;

	if (DecodeUnits(0, unit, &value) != UNITS)
		return 0;
	for (int i = 0; i < lengthof(lengths); i++)
	{
		if (lengths[i].unit == value)
			return lengths[i].length;
	}
	return 0;
}

static int64
truncate_time(Datum unit, int64 time)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_trunc, unit,
												 TimestampGetDatum(time)));
}

/*
 * Raise a time to the start of the first unit that does not start before it.  Return
 * false if that is not known.
 */
static bool
next_unit(Datum unit, int64 *time)
{
	int64		length = unit_length(unit);
	int64		start;

	if (length == 0 || !is_finite(*time) || !is_finite(*time + length))
		return false;
	start = truncate_time(unit, *time);
	if (start != *time)
		*time = truncate_time(unit, start + length);
	return true;
}

/*
 * Inverting sums and differences
 */

/*
 * Convert an interval to microseconds as PostgreSQL compares intervals, with months of
 * 30 days and days of 24 hours.  Return false on overflow.
 */
static bool
interval_length(const Interval * interval, int64 *length)
{
	int64		days = interval->month * INT64CONST(30) + interval->day;

	return !pg_mul_s64_overflow(days, USECS_PER_DAY, length) &&
		!pg_add_s64_overflow(*length, interval->time, length);
}

/*
 * Find the smallest and the largest distance, in microseconds, between a time and the
 * time plus an interval.  Return false on overflow.
 */
static bool
interval_extent(const Interval * interval, int64 *least, int64 *most)
{
	int			month = interval->month;
	int64		slack = month != 0 || interval->day != 0;	/* a day, for changes of
															 * the offset */
	int64		least_days = month * (month > 0 ? INT64CONST(28) : INT64CONST(31)) +
	interval->day - slack;
	int64		most_days = month * (month > 0 ? INT64CONST(31) : INT64CONST(28)) +
	interval->day + slack;

	return !pg_mul_s64_overflow(least_days, USECS_PER_DAY, least) &&
		!pg_add_s64_overflow(*least, interval->time, least) &&
		!pg_mul_s64_overflow(most_days, USECS_PER_DAY, most) &&
		!pg_add_s64_overflow(*most, interval->time, most) &&
		*least != PG_INT64_MIN && *most != PG_INT64_MIN;
}

/* Invert the addition or the subtraction of an interval. */
static void
invert_interval(ChpgRange *range, bool added, const Interval * interval)
{
	int64		least;
	int64		most;

	if (!interval_extent(interval, &least, &most))
		range->has_start = range->has_end = false;
	else if (added)
		shift(range, -most, -least);
	else
		shift(range, least, most);
}

/* Invert a subtraction from another time: large differences come from early times. */
static void
invert_subtraction(ChpgRange *range, int64 from)
{
	ChpgRange	inverse = {
		.has_start = range->has_end && is_finite(from),
		.has_end = range->has_start && is_finite(from)
	};

	if (inverse.has_start && pg_sub_s64_overflow(from, range->end, &inverse.start))
		inverse.has_start = false;
	if (inverse.has_end && pg_sub_s64_overflow(from, range->start, &inverse.end))
		inverse.has_end = false;
	*range = inverse;
	shift(range, 1, 1);
}

/*
 * Inverting any step
 */

/* Turn the range of a step's results into a range that holds all its arguments. */
static void
invert_step(ChpgRange *range, const ChpgTimeStep *step, Datum operand)
{
	switch (step->kind)
	{
		case CHPG_TO_LOCAL:
			shift_by_zone(range, true, step->has_operand, operand);
			break;
		case CHPG_FROM_LOCAL:
			shift_by_zone(range, false, step->has_operand, operand);
			break;
		case CHPG_TRUNCATE:
			/* A unit whose start is in the range starts in it. */
			range->has_start = range->has_start && next_unit(operand, &range->start);
			range->has_end = range->has_end && next_unit(operand, &range->end);
			break;
		case CHPG_ROUND:
			shift(range, -USECS_PER_SEC, USECS_PER_SEC);
			break;
		case CHPG_EPOCH:
			/* The slack is the precision of a double. */
			shift(range, -UNIX_TO_POSTGRES - 10, -UNIX_TO_POSTGRES + 10);
			break;
		case CHPG_SUBTRACT_FROM:
			invert_subtraction(range, DatumGetTimestampTz(operand));
			break;
		case CHPG_SUBTRACT_TIME:
			if (is_finite(DatumGetTimestampTz(operand)))
				shift(range, DatumGetTimestampTz(operand), DatumGetTimestampTz(operand));
			else
				range->has_start = range->has_end = false;
			break;
		case CHPG_ADD_INTERVAL:
		case CHPG_SUBTRACT_INTERVAL:
			invert_interval(range, step->kind == CHPG_ADD_INTERVAL,
							DatumGetIntervalP(operand));
			break;
		case CHPG_NO_STEP:
			break;
	}
}

/* Convert a value to microseconds.  Return false for one that bounds nothing. */
static bool
value_time(Datum value, Oid type, int64 *time)
{
	double		seconds;

	switch (type)
	{
		case INTERVALOID:
			return interval_length(DatumGetIntervalP(value), time);
		case FLOAT8OID:
			seconds = DatumGetFloat8(value);
			if (isnan(seconds) || fabs(seconds) > (double) PG_INT64_MAX / USECS_PER_SEC / 2)
				return false;
			*time = (int64) rint(seconds * USECS_PER_SEC);
			return true;
		default:
			*time = DatumGetTimestampTz(value);
			return is_finite(*time);
	}
}

/* Return the range of the column's times for which a comparison with one value may hold. */
static ChpgRange
range_of_value(ChpgComparison comparison, const List *steps, Datum value, Oid type,
			   const Datum *operands)
{
	ChpgRange	range = {0};
	int64		time;
	ListCell   *lc;

	if (!value_time(value, type, &time))
		return range;
	chpg_add_comparison(&range, comparison == CHPG_EQUAL_ANY ? CHPG_EQUAL : comparison,
						time);
	foreach(lc, steps)
	{
		const ChpgTimeStep *step = lfirst(lc);

		invert_step(&range, step, step->has_operand ? *operands++ : (Datum) 0);
	}
	range.has_start &= is_finite(range.start);
	range.has_end &= is_finite(range.end);
	return range;
}

bool
chpg_add_time_condition(ChpgRange *range, ChpgComparison comparison,
						const List *steps, const Datum *values, int count, Oid type,
						const Datum *operands)
{
	ChpgRange	all = {.has_start = true, .has_end = true};

	if (count == 0)
		return false;
	for (int i = 0; i < count; i++)
	{
		ChpgRange	one = range_of_value(comparison, steps, values[i], type, operands);

		CHECK_FOR_INTERRUPTS();
		all.has_start &= one.has_start;
		all.has_end &= one.has_end;
		all.start = i > 0 ? Min(all.start, one.start) : one.start;
		all.end = i > 0 ? Max(all.end, one.end) : one.end;
	}
	if (all.has_start)
		chpg_add_start(range, all.start);
	if (all.has_end)
		chpg_add_end(range, all.end);
	return true;
}
