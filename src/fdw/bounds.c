/*-------------------------------------------------------------------------
 *
 * bounds.c
 *		Foreign tables: from a comparison to a range of times that holds all
 *		that fit it.
 *
 * A range is kept in microseconds of whatever a step yields: of a time, of a
 * clock in some time zone, of an interval, or seconds since 1970.  Each step is
 * gone back in turn, and may only widen the range: all conditions are checked once
 * more on the rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "ascii.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fdw/bounds.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* No abbreviation of a time zone is further from UTC than this, ... */
#define MAX_ABBREVIATED	(16 * USECS_PER_HOUR)

/* ... and none of the zones that POSIX lets users make up. */
#define MAX_OFFSET		(168 * USECS_PER_HOUR)

/* How far around a time its time zone's offset is looked for. */
#define OFFSET_RADIUS	(2 * USECS_PER_DAY)

/* Time zones change their offsets a few times a year at most. */
#define MAX_CHANGES		16

/* Microseconds from 1970 to 2000 */
#define UNIX_TO_POSTGRES \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/*
 * Arithmetic: a bound that overflows is none.
 */

static void
shift_bound(bool *has_bound, int64 *bound, int64 distance)
{
	if (*has_bound && pg_add_s64_overflow(*bound, distance, bound))
		*has_bound = false;
}

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
 * Time zones
 */

/* The zone of a text that AT TIME ZONE takes, if that is certain; else NULL. */
static const pg_tz *
find_zone(const char *name)
{
	if (chpg_same_in_any_case(name, "UTC") || chpg_same_in_any_case(name, "GMT"))
		return pg_tzset("GMT");
	/* Others may be abbreviations, which go by rules of their own. */
	return strchr(name, '/') != NULL ? pg_tzset(name) : NULL;
}

/* How far from UTC may a text be that AT TIME ZONE takes? */
static int64
furthest_offset(const char *name)
{
	return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/")] == '\0' ?
		MAX_ABBREVIATED : MAX_OFFSET;
}

/*
 * Between which offsets from UTC, in microseconds, a clock is around a time: the
 * furthest there are, if that is not known.
 */
static void
find_offsets(const pg_tz * zone, int64 furthest, int64 time, int64 *least, int64 *most)
{
	pg_time_t	at;
	pg_time_t	until;
	bool		known = false;

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
		*least = known ? Min(*least, offset * USECS_PER_SEC) : offset * USECS_PER_SEC;
		*most = known ? Max(*most, offset * USECS_PER_SEC) : offset * USECS_PER_SEC;
		known = true;
		if (found == 0 || change > until)
			return;
		at = change;
	}
	*least = -furthest;
	*most = furthest;
}

/* From the clock to times, or from times to the clock */
static void
go_by_zone(ChpgRange *range, bool to_times, bool named, Datum name)
{
	const		pg_tz *zone = named ? find_zone(TextDatumGetCString(name)) : session_timezone;
	int64		furthest = named ? furthest_offset(TextDatumGetCString(name)) : MAX_OFFSET;
	int64		least;
	int64		most;

	if (range->has_start)
	{
		find_offsets(zone, furthest, range->start, &least, &most);
		shift_bound(&range->has_start, &range->start, to_times ? -most : least);
	}
	if (range->has_end)
	{
		find_offsets(zone, furthest, range->end, &least, &most);
		shift_bound(&range->has_end, &range->end, to_times ? -least : most);
	}
}

/*
 * Truncation
 */

/* How long a unit of date_trunc() may be; 0 if it is none. */
static int64
unit_length(Datum name)
{
	static const struct
	{
		int			unit;
		int64		length;
	}			known[] = {
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
	for (int i = 0; i < lengthof(known); i++)
	{
		if (known[i].unit == value)
			return known[i].length;
	}
	return 0;
}

static int64
truncate_time(Datum unit, int64 time)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_trunc, unit,
												 TimestampGetDatum(time)));
}

/* The beginning of the first unit that does not begin before a time. */
static bool
next_unit(Datum unit, int64 *time)
{
	int64		length = unit_length(unit);
	int64		begin;

	if (length == 0 || !is_finite(*time) || !is_finite(*time + length))
		return false;
	begin = truncate_time(unit, *time);
	if (begin != *time)
		*time = truncate_time(unit, begin + length);
	return true;
}

/* What is truncated to a time of the range lies in a unit that begins in it. */
static void
go_back_truncated(ChpgRange *range, Datum unit)
{
	range->has_start = range->has_start && next_unit(unit, &range->start);
	range->has_end = range->has_end && next_unit(unit, &range->end);
}

/*
 * Intervals
 */

/* How intervals are compared: a month is 30 days, a day 24 hours. */
static bool
interval_length(const Interval * interval, int64 *length)
{
	int64		days = interval->month * INT64CONST(30) + interval->day;

	return !pg_mul_s64_overflow(days, USECS_PER_DAY, length) &&
		!pg_add_s64_overflow(*length, interval->time, length);
}

/* How far apart times may be that differ by an interval: false if that overflows. */
static bool
interval_extent(const Interval * interval, int64 *least, int64 *most)
{
	int			month = interval->month;
	int64		slack = month != 0 || interval->day != 0;	/* the clock changes */
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

static void
go_back_interval(ChpgRange *range, bool added, Datum interval)
{
	int64		least;
	int64		most;

	if (!interval_extent(DatumGetIntervalP(interval), &least, &most))
		range->has_start = range->has_end = false;
	else if (added)
		shift(range, -most, -least);
	else
		shift(range, least, most);
}

/* The time was subtracted from another: late times give small distances. */
static void
go_back_subtracted(ChpgRange *range, int64 from)
{
	ChpgRange	turned = {
		.has_start = range->has_end && is_finite(from),
		.has_end = range->has_start && is_finite(from)
	};

	if (turned.has_start && pg_sub_s64_overflow(from, range->end, &turned.start))
		turned.has_start = false;
	if (turned.has_end && pg_sub_s64_overflow(from, range->start, &turned.end))
		turned.has_end = false;
	*range = turned;
	shift(range, 1, 1);
}

/*
 * The whole
 */

static void
go_back(ChpgRange *range, const ChpgTimeStep *step, Datum operand)
{
	switch (step->kind)
	{
		case CHPG_TO_CLOCK:
			go_by_zone(range, true, step->has_operand, operand);
			break;
		case CHPG_FROM_CLOCK:
			go_by_zone(range, false, step->has_operand, operand);
			break;
		case CHPG_TRUNCATED:
			go_back_truncated(range, operand);
			break;
		case CHPG_ROUNDED:
			shift(range, -USECS_PER_SEC, USECS_PER_SEC);
			break;
		case CHPG_SECONDS:
			/* A double has no more digits. */
			shift(range, -UNIX_TO_POSTGRES - 10, -UNIX_TO_POSTGRES + 10);
			break;
		case CHPG_SUBTRACTED:
			go_back_subtracted(range, DatumGetTimestampTz(operand));
			break;
		case CHPG_SINCE:
			if (is_finite(DatumGetTimestampTz(operand)))
				shift(range, DatumGetTimestampTz(operand), DatumGetTimestampTz(operand));
			else
				range->has_start = range->has_end = false;
			break;
		case CHPG_PLUS:
		case CHPG_MINUS:
			go_back_interval(range, step->kind == CHPG_PLUS, operand);
			break;
		case CHPG_NO_STEP:
			break;
	}
}

/* A value in microseconds; false if it has none. */
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

ChpgRange
chpg_bound_times(const ChpgCondition *condition, Datum value, Oid type,
				 const Datum *operands)
{
	ChpgRange	range = {0};
	int64		time;
	ListCell   *lc;

	if (!value_time(value, type, &time))
		return range;
	chpg_add_bound(&range, condition->comparison == CHPG_EQUAL_ANY ? CHPG_EQUAL :
				   condition->comparison, time);
	foreach(lc, condition->steps)
	{
		const ChpgTimeStep *step = lfirst(lc);

		go_back(&range, step, step->has_operand ? *operands++ : (Datum) 0);
	}
	range.has_start &= is_finite(range.start);
	range.has_end &= is_finite(range.end);
	return range;
}

bool
chpg_bound_array(const ChpgCondition *condition, Datum array, Oid type,
				 const Datum *operands, ChpgRange *range)
{
	ChpgValues	values = {0};
	ChpgRange	sum = {.has_start = true, .has_end = true};

	chpg_add_array(&values, array, type);
	for (int i = 0; i < values.count; i++)
	{
		ChpgRange	one = chpg_bound_times(condition, values.values[i], type, operands);

		CHECK_FOR_INTERRUPTS();
		sum.has_start &= one.has_start;
		sum.has_end &= one.has_end;
		sum.start = i > 0 ? Min(sum.start, one.start) : one.start;
		sum.end = i > 0 ? Max(sum.end, one.end) : one.end;
	}
	*range = sum;
	return values.count > 0;
}

bool
chpg_bounds_start(const ChpgCondition *condition)
{
	bool		lower = condition->comparison == CHPG_AT_LEAST ||
	condition->comparison == CHPG_GREATER;
	ListCell   *lc;

	if (condition->comparison <= CHPG_EQUAL_ANY)
		return true;
	foreach(lc, condition->steps)
		lower ^= ((const ChpgTimeStep *) lfirst(lc))->kind == CHPG_SUBTRACTED;
	return lower;
}
