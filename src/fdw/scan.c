/*-------------------------------------------------------------------------
 *
 * scan.c
 *		Executing scans of foreign tables.
 *
 * A scan sends nothing before its first row is fetched.  The executor checks all
 * conditions on the rows, also those that are pushed down.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "engine/prometheus_rows.h"
#include "engine/rows.h"
#include "engine/stats.h"
#include "executor/executor.h"
#include "fdw/bind.h"
#include "fdw/scan.h"
#include "fdw/tables.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sortsupport.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

/* A scan that is executed: ForeignScanState.fdw_state */
typedef struct RemoteScan
{
	ChpgBinding binding;
	bool		keep_rows;		/* for a repetition with the same values */
	ChpgCounters counters;		/* of its requests */

	bool		started;		/* the first row was fetched, */
	bool		rescan;			/* and the scan is to be repeated, perhaps
								 * with other values */

	/* rows of the API, until the values change */
	MemoryContext context;		/* has all below, and what is bound */
	ChpgStream *stream;			/* NULL: it has ended, or there is none */
	Datum	   *row;			/* of the stream; it may have a column more
								 * than the table */
	bool	   *row_nulls;
	int64		rows_read;

	/* rows that are kept */
	Tuplestorestate *store;
	TupleTableSlot *stored;

	/* rows in the API's order */
	SortSupportData sort;
	int64		verified;		/* rows in the store to be returned first */
	bool		first_page_read;
	Tuplesortstate *sorted;		/* all rows, or those after the verified ones */
	bool		has_last;		/* the sort column of the last row returned */
	bool		last_null;
	Datum		last;
} RemoteScan;

/*
 * Rows as they come
 */

/*
 * Describe the rows of the stream, in the current memory context: the columns that are
 * needed and not fixed.  Where rows come in order of time, the stream needs that itself.
 */
static TupleDesc
describe_rows(const ChpgBinding *binding)
{
	TupleDesc	table = RelationGetDescr(binding->relation);
	TupleDesc	tupdesc = CreateTemplateTupleDesc(table->natts + 1);
	AttrNumber	time = table->natts + 1;

	for (AttrNumber i = 1; i <= table->natts; i++)
	{
		Form_pg_attribute attribute;

		TupleDescCopyEntry(tupdesc, i, table, i);
		attribute = TupleDescAttr(tupdesc, i - 1);
		attribute->attisdropped |= binding->is_fixed[i - 1] ||
			!list_member_int(binding->plan->columns, i);
		if (attribute->atttypid == TIMESTAMPTZOID && !attribute->attisdropped &&
			strcmp(NameStr(attribute->attname), "timestamp") == 0)
			time = i;
	}
	TupleDescInitEntry(tupdesc, table->natts + 1, "timestamp", TIMESTAMPTZOID, -1, 0);
	if (time <= table->natts || !chpg_endpoints[binding->resource->operation].by_time)
		TupleDescAttr(tupdesc, table->natts)->attisdropped = true;
	return tupdesc;
}

/* End the stream, and record for later plans how much it read. */
static void
end_stream(RemoteScan *scan)
{
	const ChpgBinding *binding = &scan->binding;
	const ChpgReadSpec *spec = &binding->spec;
	int			targets = chpg_stream_targets(scan->stream);
	int			combinations = Max(list_length(spec->alternatives), 1);
	bool		list_only = binding->plan->list_only;

	if (targets > 0 && !binding->narrowed)
		chpg_record_size(GetForeignTable(RelationGetRelid(binding->relation))->serverid,
						 list_only ? chpg_find_resource("services") : binding->resource,
						 !spec->by_id && !list_only && spec->service_names == NIL ?
						 targets / combinations : 0,
						 (double) scan->rows_read / targets);
	chpg_stream_end(scan->stream);
	scan->stream = NULL;
}

/*
 * Fetch the next row of the stream, and fill in the fixed columns.  The row belongs to
 * the current memory context.  Return false after the last.
 */
static bool
next_of_stream(RemoteScan *scan, TupleTableSlot *slot)
{
	const ChpgBinding *binding = &scan->binding;

	if (scan->stream == NULL)
		return false;
	if (!chpg_stream_next(scan->stream, scan->row, scan->row_nulls))
	{
		end_stream(scan);
		return false;
	}
	scan->rows_read++;
	ExecClearTuple(slot);
	for (int i = 0; i < binding->num_columns; i++)
	{
		slot->tts_values[i] = binding->is_fixed[i] ? binding->fixed[i] : scan->row[i];
		slot->tts_isnull[i] = !binding->is_fixed[i] && scan->row_nulls[i];
	}
	ExecStoreVirtualTuple(slot);
	return true;
}

/*
 * Rows that are kept
 */

static void
create_store(RemoteScan *scan)
{
	scan->store = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(scan->store, EXEC_FLAG_REWIND);
	scan->stored = MakeSingleTupleTableSlot(RelationGetDescr(scan->binding.relation),
											&TTSOpsMinimalTuple);
}

/*
 * Fetch the next row of the store.  A row that was read back from a file lives in the
 * scan's memory until the next is fetched.
 */
static bool
next_of_store(RemoteScan *scan, TupleTableSlot *slot)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);
	bool		found = tuplestore_gettupleslot(scan->store, true, false, scan->stored);

	MemoryContextSwitchTo(caller);
	if (!found)
		return false;
	ExecCopySlot(slot, scan->stored);
	return true;
}

/* Fetch the next row of the store, or after its last one that of the stream, and keep it. */
static bool
next_kept(RemoteScan *scan, TupleTableSlot *slot)
{
	if (next_of_store(scan, slot))
		return true;
	if (!next_of_stream(scan, slot))
		return false;
	tuplestore_puttupleslot(scan->store, slot);
	return true;
}

/*
 * Rows in the API's order
 *
 * The API need not sort as PostgreSQL does, nulls above all.  So the first page is
 * verified before its first row is returned.  If it is not in order, or has a null while
 * there are more pages, everything is read and sorted here.
 */

/* Return the operator by which rows are sorted. */
static Oid
sort_operator(const ChpgBinding *binding)
{
	TupleDesc	tupdesc = RelationGetDescr(binding->relation);
	Oid			type = TupleDescAttr(tupdesc, binding->plan->sort_column - 1)->atttypid;
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);

	return binding->plan->descending ? entry->gt_opr : entry->lt_opr;
}

/* Prepare the comparison of rows by the sort column. */
static void
prepare_order(RemoteScan *scan)
{
	const ChpgScanPlan *plan = scan->binding.plan;

	memset(&scan->sort, 0, sizeof(SortSupportData));
	scan->sort.ssup_cxt = CurrentMemoryContext;
	scan->sort.ssup_nulls_first = plan->nulls_first;
	scan->sort.ssup_attno = plan->sort_column;
	PrepareSortSupportFromOrderingOp(sort_operator(&scan->binding), &scan->sort);
}

/* Return true if a row is in order after the last one, which it then becomes. */
static bool
follows(RemoteScan *scan, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, scan->binding.plan->sort_column, &isnull);
	bool		in_order = !scan->has_last ||
	ApplySortComparator(scan->last, scan->last_null, value, isnull, &scan->sort) <= 0;

	/* Both types that the API sorts by are as wide as a Datum. */
	scan->has_last = true;
	scan->last = value;
	scan->last_null = isnull;
	return in_order;
}

/* Begin to sort rows as the plan says. */
static void
begin_sort(RemoteScan *scan)
{
	AttrNumber	column = scan->binding.plan->sort_column;
	Oid			operator = sort_operator(&scan->binding);
	Oid			collation = InvalidOid;
	bool		nulls_first = scan->binding.plan->nulls_first;

	scan->sorted = tuplesort_begin_heap(RelationGetDescr(scan->binding.relation), 1,
										&column, &operator, &collation, &nulls_first,
										work_mem, NULL, TUPLESORT_NONE);
}

/* Read the rest of the stream, and sort it, together with the rows kept if these are wrong. */
static void
sort_rest(RemoteScan *scan, TupleTableSlot *slot, bool with_kept)
{
	MemoryContext row_context = AllocSetContextCreate(scan->context, "chpg row",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

	begin_sort(scan);
	MemoryContextSwitchTo(row_context);
	if (with_kept)
		tuplestore_rescan(scan->store);
	while (with_kept && next_of_store(scan, slot))
		tuplesort_puttupleslot(scan->sorted, slot);
	while (next_of_stream(scan, slot))
	{
		tuplesort_puttupleslot(scan->sorted, slot);
		ExecClearTuple(slot);
		MemoryContextReset(row_context);
	}
	ExecClearTuple(slot);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(row_context);
	tuplesort_performsort(scan->sorted);
}

/* Read the first page into the store, and verify its order; else sort all rows. */
static void
read_first_page(RemoteScan *scan, TupleTableSlot *slot)
{
	bool		in_order = true;
	bool		null_seen = false;
	int64		rows = 0;

	while (rows < scan->binding.plan->first_page && next_of_stream(scan, slot))
	{
		in_order &= follows(scan, slot);
		null_seen |= scan->last_null;
		tuplestore_puttupleslot(scan->store, slot);
		rows++;
	}
	ExecClearTuple(slot);
	scan->has_last = false;
	if (in_order && (!null_seen || scan->stream == NULL))
		scan->verified = rows;
	else
		sort_rest(scan, slot, true);
}

/*
 * Fetch the next row in order: the verified ones, then all others sorted.  Error: 40001
 * if one of these should have come before.
 */
static bool
next_in_order(RemoteScan *scan, TupleTableSlot *slot)
{
	if (!scan->first_page_read)
	{
		scan->first_page_read = true;
		read_first_page(scan, slot);
	}
	if (scan->verified > 0)
	{
		scan->verified--;
		return next_of_store(scan, slot) && (follows(scan, slot), true);
	}
	if (scan->sorted == NULL)
	{
		if (scan->stream == NULL)
			return false;
		sort_rest(scan, slot, false);
	}
	if (!tuplesort_gettupleslot(scan->sorted, true, false, scan->stored, NULL))
		return false;
	ExecCopySlot(slot, scan->stored);
	if (!follows(scan, slot))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("rows of foreign table \"%s\" changed order during the scan",
						RelationGetRelationName(scan->binding.relation)),
				 errhint("Run the query again, or without LIMIT.")));
	return true;
}

/*
 * The scan as a whole
 */

/* Bind the conditions, and begin to read; all that is made lives in the scan's memory. */
static void
start_scan(RemoteScan *scan)
{
	ChpgBinding *binding = &scan->binding;
	MemoryContext caller = MemoryContextSwitchTo(scan->context);
	bool		in_order = binding->plan->sort_column != 0;
	bool		is_prometheus = binding->resource->operation == CHPG_GET_PROMETHEUS;

	scan->started = true;
	if (chpg_bind(binding))
	{
		if (scan->keep_rows || in_order || is_prometheus)
			create_store(scan);
		if (is_prometheus)
			chpg_prometheus_put_by_id(binding->spec.connection, binding->prometheus_service,
									  binding->spec.one_of_many,
									  RelationGetDescr(binding->relation), scan->store);
		else
		{
			binding->spec.tupdesc = describe_rows(binding);
			scan->row = palloc((binding->num_columns + 1) * sizeof(Datum));
			scan->row_nulls = palloc((binding->num_columns + 1) * sizeof(bool));
			scan->stream = chpg_stream_begin(&binding->spec);
		}
		if (in_order)
			prepare_order(scan);
	}
	MemoryContextSwitchTo(caller);
}

/* Fetch the next row as the plan says; return false after the last. */
static bool
next_row(RemoteScan *scan, TupleTableSlot *slot)
{
	if (scan->binding.plan->sort_column != 0)
		return scan->store != NULL && next_in_order(scan, slot);
	return scan->store != NULL ? next_kept(scan, slot) : next_of_stream(scan, slot);
}

/* Release files; the scan's memory context, which refers to them, is reset afterwards. */
static void
release_rows(RemoteScan *scan)
{
	if (scan->sorted != NULL)
		tuplesort_end(scan->sorted);
	if (scan->store != NULL)
	{
		ExecDropSingleTupleTableSlot(scan->stored);
		tuplestore_end(scan->store);
	}
	scan->sorted = NULL;
	scan->store = NULL;
	scan->stream = NULL;
}

/* Begin again: with the rows that are kept if the values are the same, else anew. */
static void
repeat_scan(RemoteScan *scan)
{
	scan->rescan = false;
	if (scan->store != NULL && scan->binding.plan->sort_column == 0 &&
		chpg_bind_is_current(&scan->binding))
	{
		tuplestore_rescan(scan->store);
		return;
	}
	release_rows(scan);
	MemoryContextReset(scan->context);
	scan->started = false;
	scan->rows_read = 0;
	scan->first_page_read = false;
	scan->verified = 0;
	scan->has_last = false;
}

void
chpgBeginForeignScan(ForeignScanState *node, int eflags)
{
	RemoteScan *scan;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	scan = palloc0(sizeof(RemoteScan));
	chpg_bind_init(&scan->binding, node);
	scan->context = AllocSetContextCreate(CurrentMemoryContext, "chpg scan",
										  ALLOCSET_DEFAULT_SIZES);
	scan->keep_rows = scan->binding.plan->rescanned || (eflags & EXEC_FLAG_REWIND) != 0;
	node->fdw_state = scan;
}

/* Fetch the next row; NULL after the last. */
TupleTableSlot *
chpgIterateForeignScan(ForeignScanState *node)
{
	RemoteScan *scan = (RemoteScan *) node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	ChpgCounters before = *chpg_own_counters();
	bool		found;

	ExecClearTuple(slot);
	if (scan->rescan)
		repeat_scan(scan);
	if (!scan->started)
		start_scan(scan);
	found = next_row(scan, slot);
	for (int i = 0; i < CHPG_NUM_COUNTERS; i++)
		scan->counters.values[i] += chpg_own_counters()->values[i] - before.values[i];
	return found ? slot : NULL;
}

/* The new values may not be there yet: the scan begins again when a row is fetched. */
void
chpgReScanForeignScan(ForeignScanState *node)
{
	RemoteScan *scan = (RemoteScan *) node->fdw_state;

	scan->rescan = scan->started;
}

void
chpgEndForeignScan(ForeignScanState *node)
{
	RemoteScan *scan = (RemoteScan *) node->fdw_state;

	if (scan == NULL)
		return;
	release_rows(scan);
	MemoryContextDelete(scan->context);
}

const ChpgCounters *
chpg_scan_counters(const ForeignScanState *node)
{
	const RemoteScan *scan = (const RemoteScan *) node->fdw_state;

	return scan != NULL ? &scan->counters : NULL;
}
