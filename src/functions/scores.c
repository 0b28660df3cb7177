/*-------------------------------------------------------------------------
 *
 * scores.c
 *		The aggregate _chpg_baseline(): what is usual for the patterns of a service.
 *
 * An hour is compared with up to 84 others, each with hundreds of patterns, and each
 * pattern has six measures.  Medians of these in SQL take five times as long as reading
 * the rows.  Here each window comes as the arrays that the history has sealed.
 *
 * The state is a hash table of the patterns and a list of their observations, both in the
 * memory context of the aggregate.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#define ST_SORT sort_values
#define ST_ELEMENT_TYPE float
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b) ? 1 : 0)
#define ST_COMPARE_TYPE int
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

PG_FUNCTION_INFO_V1(chpg_baseline_add);
PG_FUNCTION_INFO_V1(chpg_baseline_rows);

/* What is compared, in the order of the attributes of _chpg_baseline_row. */
typedef enum Measure
{
	CALLS,						/* ln(1 + executions) in an hour */
	AVG,						/* ln of the mean time of an execution */
	P99,						/* ln of the 99th percentile */
	ROWS,						/* ln(1 + rows of an execution) */
	BLKS,						/* ln(1 + blocks of an execution) */
	WAL,						/* ln(1 + bytes of WAL of an execution) */
	MEASURES
} Measure;

/* The arrays of a window, in the order of the aggregate's arguments. */
enum
{
	PATTERN_KEY,
	CALL_COUNT,
	TOTAL_DURATION_US,
	P99_DURATION_US,
	TOTAL_ROWS,
	TOTAL_SHARED_BLKS_READ,
	TOTAL_SHARED_BLKS_HIT,
	TOTAL_WAL_BYTES,
	COLUMNS
};

static const Oid column_types[COLUMNS] = {
	INT4OID, INT8OID, FLOAT4OID, FLOAT4OID, INT8OID, INT8OID, INT8OID, INT8OID
};

/* An array of a window; it may be missing as a whole. */
typedef struct Elements
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
} Elements;

typedef struct BaselinePattern
{
	int32		key;			/* of the hash table */
	int			number;			/* counted from 0 in the order of their
								 * appearance */
	int			complete_hours; /* complete windows of the same hour that have
								 * it */
} BaselinePattern;

/* A pattern in a window: NAN is what is not known. */
typedef struct Observation
{
	int			pattern;		/* number of the pattern */
	float		measures[MEASURES];
} Observation;

typedef struct Baseline
{
	MemoryContext context;
	HTAB	   *patterns;
	int			complete_hours; /* windows of the same hour that are not
								 * truncated */
	Observation *observations;
	Size		count;
	Size		size;			/* that observations has place for */
} Baseline;

/* From this number of executions on, a 99th percentile is one. */
#define MIN_P99_CALLS 200

#define ATTRIBUTES (2 + 2 * MEASURES)

/*
 * Windows
 */

static Baseline *
new_baseline(MemoryContext context)
{
	Baseline   *baseline = MemoryContextAllocZero(context, sizeof(Baseline));
	HASHCTL		control = {
		.keysize = sizeof(int32), .entrysize = sizeof(BaselinePattern), .hcxt = context
	};

	baseline->context = context;
	baseline->patterns = hash_create("patterns of a baseline", 256, &control,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return baseline;
}

/* Return the elements of an array argument; none of a null. */
static Elements
elements_of(FunctionCallInfo fcinfo, int i, Oid type)
{
	Elements	elements = {NULL};
	ArrayType  *array;
	int16		length;
	bool		by_value;
	char		align;

	if (PG_ARGISNULL(i))
		return elements;
	array = PG_GETARG_ARRAYTYPE_P(i);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays of a window must have one dimension")));
	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &elements.values, &elements.nulls,
					  &elements.count);
	return elements;
}

static bool
is_known(const Elements *column, int i)
{
	return column->values != NULL && !column->nulls[i];
}

/* Return an element of a column of counters, at least 0; NAN if it is not known. */
static double
counter(const Elements *column, int i)
{
	return is_known(column, i) ? Max((double) DatumGetInt64(column->values[i]), 0) : NAN;
}

/* Return an element of a column of durations; NAN if it is not known. */
static double
duration(const Elements *column, int i)
{
	return is_known(column, i) ? DatumGetFloat4(column->values[i]) : NAN;
}

/* The logarithm of a time in microseconds, from a tenth of one to 1e18; NAN of NAN */
static float
ln_time(double us)
{
	return isnan(us) ? NAN : log(Min(Max(us, 0.1), 1e18));
}

static Observation
observe(const Elements *columns, int i, bool is_same_hour)
{
	double		calls = counter(&columns[CALL_COUNT], i);
	Observation observation;

	observation.measures[CALLS] = is_same_hour ? log1p(calls) : NAN;
	/* nothing is known of no executions */
	if (!(calls > 0))
		calls = NAN;
	observation.measures[AVG] = ln_time(duration(&columns[TOTAL_DURATION_US], i) / calls);
	observation.measures[P99] = calls >= MIN_P99_CALLS
		? ln_time(duration(&columns[P99_DURATION_US], i)) : NAN;
	observation.measures[ROWS] = log1p(counter(&columns[TOTAL_ROWS], i) / calls);
	observation.measures[BLKS] = log1p((counter(&columns[TOTAL_SHARED_BLKS_READ], i) +
										counter(&columns[TOTAL_SHARED_BLKS_HIT], i)) / calls);
	observation.measures[WAL] = log1p(counter(&columns[TOTAL_WAL_BYTES], i) / calls);
	return observation;
}

/* Make place for more observations. */
static void
reserve(Baseline *baseline, int more)
{
	Size		size = Max(baseline->size, 1024);

	while (baseline->count + more > size)
		size *= 2;
	if (size == baseline->size)
		return;
	baseline->observations = baseline->observations == NULL
		? MemoryContextAllocHuge(baseline->context, size * sizeof(Observation))
		: repalloc_huge(baseline->observations, size * sizeof(Observation));
	baseline->size = size;
}

/*
 * _chpg_baseline_add(state, is_same_hour, truncated, pattern_key, call_count, ...)
 *
 * Add a window to the baseline: arrays over its patterns, null for what is not known of
 * any.  Executions are taken from windows of the same hour only, and patterns that are
 * missing in one that is not truncated did not run.  Error 2202E: arrays that differ in
 * length, or have several dimensions.
 */
Datum
chpg_baseline_add(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	Baseline   *baseline;
	Elements	columns[COLUMNS];
	bool		is_same_hour = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	bool		is_complete = is_same_hour && !PG_ARGISNULL(2) && !PG_GETARG_BOOL(2);

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "_chpg_baseline_add called outside of an aggregate");
	baseline = PG_ARGISNULL(0) ? new_baseline(context) : (Baseline *) PG_GETARG_POINTER(0);
	for (int c = 0; c < COLUMNS; c++)
	{
		columns[c] = elements_of(fcinfo, 3 + c, column_types[c]);
		if (columns[c].values != NULL && columns[c].count != columns[PATTERN_KEY].count)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("arrays of a window must have the same length")));
	}

	reserve(baseline, columns[PATTERN_KEY].count);
	baseline->complete_hours += is_complete;
	for (int i = 0; i < columns[PATTERN_KEY].count; i++)
	{
		int32		key = DatumGetInt32(columns[PATTERN_KEY].values[i]);
		bool		found;
		BaselinePattern *pattern;

		if (columns[PATTERN_KEY].nulls[i])
			continue;
		pattern = hash_search(baseline->patterns, &key, HASH_ENTER, &found);
		if (!found)
		{
			pattern->number = hash_get_num_entries(baseline->patterns) - 1;
			pattern->complete_hours = 0;
		}
		pattern->complete_hours += is_complete;
		baseline->observations[baseline->count] = observe(columns, i, is_same_hour);
		baseline->observations[baseline->count++].pattern = pattern->number;
	}
	PG_RETURN_POINTER(baseline);
}

/*
 * Results
 */

/* The observations sorted by pattern: those of pattern n begin at starts[n]. */
typedef struct Sorted
{
	Size	   *starts;
	const Observation **observations;
	float	   *values;			/* place for one measure of any pattern */
} Sorted;

static Sorted
sort_observations(const Baseline *baseline)
{
	int			patterns = hash_get_num_entries(baseline->patterns);
	Sorted		sorted;
	Size	   *next;
	Size		most = 0;

	sorted.starts = palloc0((patterns + 1) * sizeof(Size));
	sorted.observations = MemoryContextAllocHuge(CurrentMemoryContext,
												 Max(baseline->count, 1) * sizeof(Observation *));
	for (Size i = 0; i < baseline->count; i++)
		sorted.starts[baseline->observations[i].pattern + 1]++;
	for (int n = 0; n < patterns; n++)
	{
		most = Max(most, sorted.starts[n + 1]);
		sorted.starts[n + 1] += sorted.starts[n];
	}
	next = palloc((patterns + 1) * sizeof(Size));
	memcpy(next, sorted.starts, (patterns + 1) * sizeof(Size));
	for (Size i = 0; i < baseline->count; i++)
		sorted.observations[next[baseline->observations[i].pattern]++] = &baseline->observations[i];
	sorted.values = MemoryContextAllocHuge(CurrentMemoryContext,
										   (most + baseline->complete_hours + 1) * sizeof(float));
	return sorted;
}

/* Return a percentile of sorted values, as percentile_cont() does. */
static double
percentile(const float *values, Size count, double fraction)
{
	double		place = fraction * (count - 1);
	Size		below = (Size) place;
	Size		above = Min(below + 1, count - 1);

	return values[below] + (place - below) * ((double) values[above] - values[below]);
}

/*
 * Set two attributes: the median of a measure, and its spread, half of what is between the
 * 16th and 84th percentiles.  Those of few values are too close to each other.
 */
static void
set_measure(Datum *datums, bool *nulls, Measure measure, float *values, Size count)
{
	int			i = 2 + 2 * measure;

	nulls[i] = nulls[i + 1] = count == 0;
	if (count == 0)
		return;
	sort_values(values, count);
	datums[i] = Float8GetDatum(percentile(values, count, 0.5));
	datums[i + 1] = Float8GetDatum((percentile(values, count, 0.84) - percentile(values, count, 0.16)) /
								   2 * (1 + 2.0 / count));
}

static HeapTuple
baseline_row(const Baseline *baseline, const BaselinePattern *pattern, const Sorted *sorted,
			 TupleDesc descriptor)
{
	Datum		datums[ATTRIBUTES];
	bool		nulls[ATTRIBUTES] = {false};

	datums[0] = Int32GetDatum(pattern->key);
	for (int measure = 0; measure < MEASURES; measure++)
	{
		Size		count = 0;

		for (Size i = sorted->starts[pattern->number]; i < sorted->starts[pattern->number + 1]; i++)
			if (!isnan(sorted->observations[i]->measures[measure]))
				sorted->values[count++] = sorted->observations[i]->measures[measure];
		if (measure == AVG)
			datums[1] = Int32GetDatum((int32) count);
		if (measure == CALLS)
			for (int i = pattern->complete_hours; i < baseline->complete_hours; i++)
				sorted->values[count++] = 0;
		set_measure(datums, nulls, measure, sorted->values, count);
	}
	return heap_form_tuple(descriptor, datums, nulls);
}

/*
 * _chpg_baseline_rows(state)
 *
 * Return an array of _chpg_baseline_row, one for each pattern, in no certain order; null
 * without a window.
 */
Datum
chpg_baseline_rows(PG_FUNCTION_ARGS)
{
	const Baseline *baseline;
	Oid			type = get_element_type(get_fn_expr_rettype(fcinfo->flinfo));
	TupleDesc	descriptor;
	Sorted		sorted;
	HASH_SEQ_STATUS scan;
	BaselinePattern *pattern;
	Datum	   *rows;
	int			count = 0;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "_chpg_baseline_rows called outside of an aggregate");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	baseline = (const Baseline *) PG_GETARG_POINTER(0);
	descriptor = lookup_rowtype_tupdesc(type, -1);
	if (descriptor->natts != ATTRIBUTES)
		elog(ERROR, "_chpg_baseline_row has %d attributes", descriptor->natts);

	sorted = sort_observations(baseline);
	rows = palloc_extended(Max(hash_get_num_entries(baseline->patterns), 1) * sizeof(Datum),
						   MCXT_ALLOC_HUGE);
	hash_seq_init(&scan, baseline->patterns);
	while ((pattern = hash_seq_search(&scan)) != NULL)
	{
		rows[count++] = HeapTupleGetDatum(baseline_row(baseline, pattern, &sorted, descriptor));
		if (count % 1000 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	ReleaseTupleDesc(descriptor);
	PG_RETURN_ARRAYTYPE_P(construct_array(rows, count, type, -1, false, TYPALIGN_DOUBLE));
}
