/*-------------------------------------------------------------------------
 *
 * scan.c
 *		Reading a foreign table, row by row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "compat.h"
#include "engine/prometheus_rows.h"
#include "engine/statement_cache.h"
#include "executor/executor.h"
#include "fdw/bind.h"
#include "fdw/scan.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

/*
 * Rows as they come
 */

/*
 * What the stream is to decode: the columns that are needed and not known
 * anyway.  Where rows come in order of time, it needs that itself.
 */
static TupleDesc
describe_rows(const ChpgScan *scan)
{
	TupleDesc	table = RelationGetDescr(scan->relation);
	TupleDesc	tupdesc = CreateTemplateTupleDesc(table->natts + 1);
	AttrNumber	time = table->natts + 1;

	for (AttrNumber i = 1; i <= table->natts; i++)
	{
		Form_pg_attribute attribute;

		TupleDescCopyEntry(tupdesc, i, table, i);
		attribute = TupleDescAttr(tupdesc, i - 1);
		attribute->attisdropped |= scan->is_given[i - 1] ||
			!list_member_int(scan->plan->columns, i);
		if (attribute->atttypid == TIMESTAMPTZOID && !attribute->attisdropped &&
			strcmp(NameStr(attribute->attname), "timestamp") == 0)
			time = i;
	}
	TupleDescInitEntry(tupdesc, table->natts + 1, "timestamp", TIMESTAMPTZOID, -1, 0);
	if (time <= table->natts || !chpg_endpoints[scan->resource->operation].by_time)
		TupleDescAttr(tupdesc, table->natts)->attisdropped = true;
	return tupdesc;
}

static void
start_stream(ChpgScan *scan)
{
	scan->spec.tupdesc = describe_rows(scan);
	scan->row = palloc((scan->num_columns + 1) * sizeof(Datum));
	scan->row_nulls = palloc((scan->num_columns + 1) * sizeof(bool));
	scan->stream = chpg_stream_begin(&scan->spec);
}

static void
create_store(ChpgScan *scan)
{
	scan->store = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(scan->store, EXEC_FLAG_REWIND);
	scan->stored = MakeSingleTupleTableSlot(RelationGetDescr(scan->relation),
											&TTSOpsMinimalTuple);
}

static void
end_stream(ChpgScan *scan)
{
	int			targets = chpg_stream_targets(scan->stream);
	int			variants = Max(list_length(scan->spec.alternatives), 1);
	bool		fleet = !scan->spec.by_id && !scan->plan->list_only;

	if (targets > 0 && !scan->narrowed)
		chpg_remember_size(GetForeignTable(RelationGetRelid(scan->relation))->serverid,
						   scan->plan->list_only ? chpg_find_resource("services") :
						   scan->resource,
						   fleet ? targets / variants : 0,
						   (double) scan->rows_read / targets);
	chpg_stream_end(scan->stream);
	scan->stream = NULL;
}

/* The next row, in the caller's memory; what is known anyway is filled in. */
static bool
next_of_stream(ChpgScan *scan, TupleTableSlot *slot)
{
	if (scan->stream == NULL)
		return false;
	if (!chpg_stream_next(scan->stream, scan->row, scan->row_nulls))
	{
		end_stream(scan);
		return false;
	}
	scan->rows_read++;
	ExecClearTuple(slot);
	for (int i = 0; i < scan->num_columns; i++)
	{
		slot->tts_values[i] = scan->is_given[i] ? scan->given[i] : scan->row[i];
		slot->tts_isnull[i] = !scan->is_given[i] && scan->row_nulls[i];
	}
	ExecStoreVirtualTuple(slot);
	return true;
}

/* Rows that are read back from a file live as long as their slot is not filled anew. */
static bool
next_of_store(ChpgScan *scan, TupleTableSlot *slot)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);
	bool		found = tuplestore_gettupleslot(scan->store, true, false, scan->stored);

	MemoryContextSwitchTo(caller);
	if (!found)
		return false;
	ExecCopySlot(slot, scan->stored);
	return true;
}

/* A row that is kept already, or the next, which is kept from now on. */
static bool
next_kept(ChpgScan *scan, TupleTableSlot *slot)
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
 * The API need not sort as PostgreSQL does, nulls above all.  So the first page
 * is looked through before its first row is given; if it is not in order, or
 * has a null while there are more pages, everything is read and sorted here.
 */

static void
prepare_order(ChpgScan *scan)
{
	TupleDesc	tupdesc = RelationGetDescr(scan->relation);
	Oid			type = TupleDescAttr(tupdesc, scan->plan->sort_column - 1)->atttypid;
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);
	SortSupport sort = &scan->sort;

	memset(sort, 0, sizeof(SortSupportData));
	sort->ssup_cxt = CurrentMemoryContext;
	sort->ssup_nulls_first = scan->plan->nulls_first;
	sort->ssup_attno = scan->plan->sort_column;
	PrepareSortSupportFromOrderingOp(scan->plan->descending ? entry->gt_opr : entry->lt_opr,
									 sort);
}

/* Is this row in order after the last one? */
static bool
follows(ChpgScan *scan, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, scan->plan->sort_column, &isnull);
	bool		in_order = !scan->has_last ||
	ApplySortComparator(scan->last, scan->last_null, value, isnull, &scan->sort) <= 0;

	/* Both types that the API sorts by are as wide as a Datum. */
	scan->has_last = true;
	scan->last = value;
	scan->last_null = isnull;
	return in_order;
}

static void
begin_sort(ChpgScan *scan)
{
	TupleDesc	tupdesc = RelationGetDescr(scan->relation);
	Oid			type = TupleDescAttr(tupdesc, scan->plan->sort_column - 1)->atttypid;
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);
	AttrNumber	column = scan->plan->sort_column;
	Oid			operator = scan->plan->descending ? entry->gt_opr : entry->lt_opr;
	Oid			collation = InvalidOid;
	bool		nulls_first = scan->plan->nulls_first;

	scan->sorted = tuplesort_begin_heap(tupdesc, 1, &column, &operator, &collation,
										&nulls_first, work_mem, NULL, TUPLESORT_NONE);
}

/* Sort all that is still to come, and what was kept unless it was given. */
static void
sort_rest(ChpgScan *scan, TupleTableSlot *slot, bool kept_too)
{
	MemoryContext row_context = AllocSetContextCreate(scan->context, "chpg row",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

	begin_sort(scan);
	MemoryContextSwitchTo(row_context);
	if (kept_too)
		tuplestore_rescan(scan->store);
	while (kept_too && next_of_store(scan, slot))
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

static void
read_first_page(ChpgScan *scan, TupleTableSlot *slot)
{
	bool		in_order = true;
	bool		null_seen = false;
	int64		rows = 0;

	while (rows < scan->plan->first_page && next_of_stream(scan, slot))
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

static bool
next_of_sorted(ChpgScan *scan, TupleTableSlot *slot)
{
	if (!tuplesort_gettupleslot(scan->sorted, true, false, scan->stored, NULL))
		return false;
	ExecCopySlot(slot, scan->stored);
	return true;
}

static bool
next_in_order(ChpgScan *scan, TupleTableSlot *slot)
{
	if (!scan->all_read)
	{
		scan->all_read = true;
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
	if (!next_of_sorted(scan, slot))
		return false;
	if (!follows(scan, slot))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("rows of foreign table \"%s\" changed their order while they were read",
						RelationGetRelationName(scan->relation)),
				 errhint("Run the query again, or without LIMIT.")));
	return true;
}

/*
 * The scan as a whole
 */

void
chpg_scan_start(ChpgScan *scan, ForeignScanState *node)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);
	const char *prometheus_of = NULL;

	scan->started = true;
	scan->num_columns = RelationGetDescr(scan->relation)->natts;
	if (!chpg_scan_request(scan, node, &prometheus_of))
	{
		MemoryContextSwitchTo(caller);
		return;
	}
	if (scan->keep_rows || scan->plan->sort_column != 0 ||
		scan->resource->operation == CHPG_GET_PROMETHEUS)
		create_store(scan);
	if (scan->resource->operation == CHPG_GET_PROMETHEUS)
		chpg_prometheus_put_by_id(scan->spec.connection, prometheus_of,
								  RelationGetDescr(scan->relation), scan->store);
	else
		start_stream(scan);
	if (scan->plan->sort_column != 0)
		prepare_order(scan);
	MemoryContextSwitchTo(caller);
}

bool
chpg_scan_next(ChpgScan *scan, TupleTableSlot *slot)
{
	if (scan->plan->sort_column != 0)
		return scan->store != NULL && next_in_order(scan, slot);
	return scan->store != NULL ? next_kept(scan, slot) : next_of_stream(scan, slot);
}

/* Files are released before the memory that knows of them. */
static void
forget_rows(ChpgScan *scan)
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

/* A join may ask for the same again and again. */
void
chpg_scan_again(ChpgScan *scan, ForeignScanState *node)
{
	scan->again = false;
	if (scan->store != NULL && scan->plan->sort_column == 0 &&
		chpg_scan_is_same(scan, node))
	{
		tuplestore_rescan(scan->store);
		return;
	}
	forget_rows(scan);
	MemoryContextReset(scan->context);
	memset(&scan->spec, 0, sizeof(ChpgReadSpec));
	scan->started = false;
	scan->narrowed = false;
	scan->rows_read = 0;
	scan->all_read = false;
	scan->verified = 0;
	scan->has_last = false;
}

void
chpg_scan_end(ChpgScan *scan)
{
	forget_rows(scan);
	MemoryContextDelete(scan->context);
}
