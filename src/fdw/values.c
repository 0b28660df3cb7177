/*-------------------------------------------------------------------------
 *
 * values.c
 *		Foreign tables: what a column can be, by all that is said of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "fdw/values.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
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
	CHECK_FOR_INTERRUPTS();
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
chpg_add_bound(ChpgRange *range, ChpgComparison comparison, TimestampTz time)
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
	chpg_add_start(range, DatumGetTimestampTz(times->values[first]));
	chpg_add_end(range, next_time(DatumGetTimestampTz(times->values[last])));
	return true;
}
